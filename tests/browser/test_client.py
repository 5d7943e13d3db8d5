"""``pondsocket.js`` in a real browser: several messages in a frame, and presence."""

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page

from pondsocket import EventContext, JoinContext, Options, PondSocket
from pondsocket_asgi.runner import serve
from tests.adapters.running import served

pytestmark = pytest.mark.browser

CLIENT = (files("pondsocket") / "static" / "pondsocket.js").read_bytes()

# Everybody enters; `room(name, options)` is a room, what it told, and its frames.
PEOPLE = """
async (script) => {
  const { PondClient } = await import("/pondsocket.js");
  const clients = [];
  const room = async (name, options = {}) => {
    const [frames, told] = [[], []];
    class NotedWebSocket extends WebSocket {
      constructor(url) {
        super(url);
        this.addEventListener("message", ({ data }) => frames.push(data));
      }
    }
    const client = new PondClient("/socket", { WebSocket: NotedWebSocket, ...options });
    clients.push(client);
    const room = client.channel("/room", { name });
    room.onPresence((change) => told.push(change));
    client.connect();
    await room.join();
    return { room, told, frames };
  };
  const result = await new Function("room", `return (async () => {${script}})()`)(room);
  clients.forEach((client) => client.disconnect());
  return result;
}
"""


async def join(ctx: JoinContext) -> None:
    await ctx.accept()
    await ctx.track({"name": ctx.join_params["name"]})


async def burst(ctx: EventContext) -> None:
    """Say many things in one turn of the event loop, presence among them."""
    for number in range(100):
        await ctx.broadcast("tick", {"n": number, "text": "a\nb"})
        await ctx.update_presence({"name": "Ann", "n": number})
    await ctx.reply("done", {})


async def turn_away(ctx: EventContext) -> None:
    await ctx.update_presence({"name": ctx.get_payload()["name"], "away": True})
    await ctx.reply("done", {})


async def answer(ctx: EventContext) -> None:
    await ctx.reply("done", {})


@pytest.fixture
async def page(context: BrowserContext, errors: list[str]) -> AsyncIterator[Page]:
    """A page of a server whose members are all tracked; nothing fails in it."""
    pond = PondSocket(options=Options(presence_budget=0))
    endpoint = pond.create_endpoint("/socket", lambda ctx: ctx.accept())
    lobby = endpoint.create_channel("/room", join)
    lobby.on_message("burst", burst)
    lobby.on_message("away", turn_away)
    lobby.on_message("fence", answer)
    pages = {
        "/": ("text/html", b"<!doctype html><title>test</title>"),
        "/pondsocket.js": ("text/javascript", CLIENT),
    }
    async with served(serve, pond, pages=pages) as port:
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        yield page
    assert errors == []


async def play(page: Page, script: str) -> Any:
    return await page.evaluate(PEOPLE, script)


@pytest.mark.parametrize("presence", ["list", "diff"])
async def test_what_shares_a_frame_arrives_one_by_one_and_in_order(
    page: Page, presence: str
) -> None:
    heard, frames = await play(
        page,
        f"""
        const {{ room: ann, frames }} = await room("Ann", {{ presence: "{presence}" }});
        const heard = [];
        ann.on("tick", ({{ n, text }}) => heard.push([n, text, ann.presence[0].n]));
        await ann.request("burst");
        return [heard, frames.length];
        """,
    )

    before = [None, *range(99)]
    assert heard == [[n, "a\nb", before[n]] for n in range(100)]
    assert frames < 50


async def test_whoever_asks_for_changes_shows_the_same_as_who_gets_lists(
    page: Page,
) -> None:
    lists = await play(
        page,
        """
        const everybody = [
          await room("Ann"),
          await room("Bob", { presence: "diff" }),
          await room("Cid", { presence: "diff", transports: ["sse"] }),
          await room("Dan", { presence: "diff", params: { "pond.frames": "" } }),
          await room("Eve", { presence: "diff" }),
        ];
        await everybody[0].room.request("away", { name: "Ann" });
        await everybody.pop().room.leave();
        await Promise.all(everybody.map(({ room }) => room.request("fence")));
        return everybody.map(({ room, told }) => [room.presence, told.at(-1).list]);
        """,
    )

    names = [
        {"name": "Ann", "away": True},
        *({"name": n} for n in ("Bob", "Cid", "Dan")),
    ]
    for shown, told in lists:
        assert sorted(shown, key=lambda each: each["name"]) == names
        assert told == shown


async def test_a_listener_is_told_the_same_whichever_way_presence_comes(
    page: Page,
) -> None:
    by_lists, by_changes = await play(
        page,
        """
        const people = [await room("Ann"), await room("Bob", { presence: "diff" })];
        await people[1].room.request("fence");
        people.forEach(({ told }) => told.splice(0));
        const { room: cid } = await room("Cid");
        await cid.request("away", { name: "Cid" });
        await cid.leave();
        await Promise.all(people.map(({ room }) => room.request("fence")));
        return people.map(({ told }) => told.map(({ changes, ...others }) => others));
        """,
    )

    assert [list(change) for change in by_lists] == [
        ["list", "joined"],
        ["list", "updated"],
        ["list", "left"],
    ]
    for change in (*by_lists, *by_changes):
        change["list"].sort(key=lambda each: each["name"])
    assert by_changes == by_lists
