"""A real browser, and a real hub after the seeded day, one for all tests of the console that run in a process.

What a test does there stays: no test counts on being the only one.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.console.browser import open_browser
from tests.support.console.day import utility
from tests.support.hub import HubProcess


@pytest.fixture(scope="module")  # no longer: its loop would be in the way of tests that have one
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with utility(tmp_path_factory.mktemp("console")) as hub:
        yield hub


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if "Content Security" in said.text else None)
        yield page
        assert not refused, "what a page does keeps to the content policy"
