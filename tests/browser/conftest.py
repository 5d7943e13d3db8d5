"""A real browser, and the demo in a process of its own that can be killed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.demo_server import DemoServer

# No request leaves the machine: the browser's own services are switched off.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def demo() -> AsyncIterator[DemoServer]:
    server = DemoServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(chromium), args=QUIET
        )
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> BrowserContext:
    """One person's browser; fails on what goes wrong in a page."""
    context = await browser.new_context()
    context.set_default_timeout(20_000)  # milliseconds
    return context


@pytest.fixture
def errors(context: BrowserContext) -> list[str]:
    """What went wrong in the pages of the context."""
    found: list[str] = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: found.append(str(error)))

    context.on("page", listen)
    return found
