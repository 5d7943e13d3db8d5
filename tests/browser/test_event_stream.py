"""What a browser's own EventSource makes of event names that try to forge events."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext

from pondsocket import JoinContext, PondSocket
from pondsocket_asgi.runner import serve
from tests.adapters.running import served

pytestmark = pytest.mark.browser

LISTEN = """
async () => {
  const seen = [];
  const source = new EventSource("/socket");
  const names = ["CONNECTION", "ACKNOWLEDGE", "forged", "xforged", "done", "message"];
  for (const name of names) {
    source.addEventListener(name, (event) => seen.push([name, event.data]));
  }
  const until = async (name) => {
    while (!seen.some(([seenName]) => seenName === name)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await until("CONNECTION");
  const { connectionId } = JSON.parse(seen[0][1]).payload;
  const say = (action, event, payload) => fetch("/socket", {
    method: "POST",
    headers: { "X-Connection-ID": connectionId },
    body: JSON.stringify(
      { action, event, channelName: "/room", requestId: "r", payload }
    ),
  });
  await say("JOIN_CHANNEL", "join", {});
  await until("ACKNOWLEDGE");
  for (const name of NAMES) await say("BROADCAST", "say", { name });
  await say("BROADCAST", "say", { name: "done" });
  await until("done");
  source.close();
  return seen.map(([name, data]) => [name, JSON.parse(data).event]);
}
"""

HOSTILE = [
    "x\nevent: forged",
    "x\revent: forged",
    "x\r\n\r\nevent: forged",
    "x\0forged",
]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    pond = PondSocket()
    endpoint = pond.create_endpoint("/socket", lambda ctx: ctx.accept())

    async def join(ctx: JoinContext) -> None:
        await ctx.accept()

    lobby = endpoint.create_channel("/room", join)
    lobby.on_message(
        "say", lambda ctx: ctx.broadcast(ctx.get_payload()["name"], {"n": 1})
    )
    pages = {"/": ("text/html", b"<!doctype html><title>test</title>")}
    async with served(serve, pond, pages=pages) as port:
        yield f"http://127.0.0.1:{port}/"


async def test_an_event_name_with_line_breaks_forges_no_event(
    url: str, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(url)
    names = "[" + ",".join(repr(name) for name in HOSTILE).replace("\\x00", "\\0") + "]"

    seen = await page.evaluate(LISTEN.replace("NAMES", names))

    assert [name for name, _ in seen if name in {"forged", "message"}] == []
    assert seen[-1] == ["done", "done"]
