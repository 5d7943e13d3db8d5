"""The demo as people meet it: our client in a real browser, on real sockets."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.demo_server import DemoServer
from tests.browser.network import without_websockets

pytestmark = pytest.mark.browser

SECONDS = 1000  # of Playwright's milliseconds


class Tab:
    """One open page of the demo."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.members = page.get_by_test_id("member")
        self.messages = page.get_by_test_id("message-text")
        self.state = page.get_by_test_id("connection-state")
        self.transport = page.get_by_test_id("transport")
        self.typing = page.get_by_test_id("typing")

    async def say(self, text: str) -> None:
        await self.page.get_by_test_id("message-input").fill(text)
        await self.page.get_by_test_id("message-input").press("Enter")

    async def sees_members(self, *names: str, seconds: int = 15) -> None:
        await expect(self.members).to_have_count(len(names), timeout=seconds * SECONDS)
        for name in names:
            await expect(self.members.filter(has_text=name)).to_have_count(1)

    async def sees_last(self, text: str, seconds: int = 15) -> None:
        await expect(self.messages.last).to_have_text(text, timeout=seconds * SECONDS)


async def open_tab(context: BrowserContext, url: str, name: str, rest: str = "") -> Tab:
    page = await context.new_page()
    await page.goto(f"{url}?name={name}{rest}")
    tab = Tab(page)
    await expect(tab.state).to_have_text("connected", timeout=15 * SECONDS)
    return tab


@pytest.fixture
async def other_context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A second person, with a browser profile of its own."""
    context = await browser.new_context()
    yield context
    await context.close()


async def test_two_people_chat_and_see_each_other(
    demo: DemoServer,
    context: BrowserContext,
    other_context: BrowserContext,
    errors: list[str],
) -> None:
    ada = await open_tab(context, demo.url, "Ada")
    bob = await open_tab(other_context, demo.url, "Bob")

    await ada.sees_members("Ada", "Bob")
    await bob.sees_members("Ada", "Bob")
    await ada.say("hello Bob \N{FROG FACE}")
    await bob.sees_last("hello Bob \N{FROG FACE}")
    await bob.say("hello <b>Ada</b> & all")
    await ada.sees_last("hello <b>Ada</b> & all")  # text, and never markup
    await expect(ada.transport).to_have_text("WebSocket")

    await bob.page.close()

    await ada.sees_members("Ada")
    assert errors == []


async def test_the_sender_learns_how_long_its_message_took(
    demo: DemoServer, context: BrowserContext
) -> None:
    ada = await open_tab(context, demo.url, "Ada")

    await ada.say("how long?")

    delivery = ada.page.get_by_test_id("delivery").last
    await expect(delivery).to_have_text(re.compile(r"\d+(\.\d+)? ms"))


async def test_typing_shows_at_the_other_and_ends(
    demo: DemoServer, context: BrowserContext, other_context: BrowserContext
) -> None:
    ada = await open_tab(context, demo.url, "Ada")
    bob = await open_tab(other_context, demo.url, "Bob")
    await ada.sees_members("Ada", "Bob")

    await bob.page.get_by_test_id("message-input").press_sequentially("hm")
    await expect(ada.typing).to_contain_text("Bob is typing")

    await bob.say("here it is")
    await expect(ada.typing).to_have_text("")


async def test_rooms_are_apart(
    demo: DemoServer, context: BrowserContext, other_context: BrowserContext
) -> None:
    ada = await open_tab(context, demo.url, "Ada")
    bob = await open_tab(other_context, demo.url, "Bob")
    await ada.sees_members("Ada", "Bob")

    await bob.page.get_by_test_id("room-input").fill("frog-facts")
    await bob.page.get_by_test_id("room-create").click()

    await expect(bob.page.get_by_test_id("room")).to_have_text("frog-facts")
    await bob.sees_members("Bob")
    await ada.sees_members("Ada")
    await bob.say("frogs are fine")
    await bob.sees_last("frogs are fine")
    await expect(ada.messages).to_have_count(0)


async def test_live_numbers_come_in(demo: DemoServer, context: BrowserContext) -> None:
    ada = await open_tab(context, demo.url, "Ada")

    await expect(ada.page.get_by_test_id("stat-connections")).to_have_text("1")
    await expect(ada.page.get_by_test_id("stat-channels")).to_have_text("2")
    await expect(ada.page.get_by_test_id("stat-outbox")).to_have_text("0")


async def test_tabs_recover_by_themselves_when_the_server_was_killed(
    demo: DemoServer,
    context: BrowserContext,
    other_context: BrowserContext,
    errors: list[str],
) -> None:
    ada = await open_tab(context, demo.url, "Ada")
    bob = await open_tab(other_context, demo.url, "Bob")
    await ada.sees_members("Ada", "Bob")

    await demo.kill()
    await expect(ada.state).to_contain_text("reconnecting")
    await demo.start()

    await expect(ada.state).to_have_text("connected", timeout=25 * SECONDS)
    await expect(bob.state).to_have_text("connected", timeout=25 * SECONDS)
    await ada.sees_members("Ada", "Bob")
    await bob.say("back again")
    await ada.sees_last("back again")
    assert errors == []


async def test_sse_takes_over_where_websockets_are_blocked(
    demo: DemoServer,
    context: BrowserContext,
    other_context: BrowserContext,
    errors: list[str],
) -> None:
    async with without_websockets(demo.port) as port:
        ada = await open_tab(context, f"http://127.0.0.1:{port}/", "Ada")
        bob = await open_tab(other_context, demo.url, "Bob")

        await expect(ada.transport).to_have_text("SSE")
        await expect(bob.transport).to_have_text("WebSocket")
        await ada.sees_members("Ada", "Bob")
        await ada.say("from behind a proxy")
        await bob.sees_last("from behind a proxy")
        await bob.say("read you")
        await ada.sees_last("read you")

        await ada.page.close()

        await bob.sees_members("Bob")
    assert errors == []


async def test_the_demo_ends_in_peace_while_people_are_there(
    demo: DemoServer, context: BrowserContext
) -> None:
    ada = await open_tab(context, demo.url, "Ada")

    exit_code = await demo.stop()

    assert exit_code == 0
    await expect(ada.state).to_contain_text("reconnecting")
