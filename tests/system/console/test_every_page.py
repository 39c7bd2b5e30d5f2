"""What holds of every page of the console, in a real browser, over a real hub after the seeded day."""

from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser

from tests.support.console.browser import require_fit
from tests.support.console.day import PAGES
from tests.support.hub import HubProcess


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_and_everybody_can_use_it(
    browser: Browser, town: HubProcess, name: str, width: int, scheme: str
) -> None:
    """On a desk and on a tablet in a storm room, by day and by night, with a screen reader too."""
    require_fit(browser, PAGES[name].address(town), width=width, scheme=scheme)


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_every_page_shows_its_data(browser: Browser, town: HubProcess, name: str) -> None:
    """What shows data must not depend on what keeps it live."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(PAGES[name].address(town))
        assert PAGES[name].told in page.locator("main").inner_text()


@pytest.mark.parametrize("name", [name for name in PAGES if name != "nothing"])
def test_the_content_policy_has_no_unsafe_word(town: HubProcess, name: str) -> None:
    """What a partner sends is shown here, and must not run here."""
    with urlopen(PAGES[name].address(town)) as answer:
        policy = answer.headers["content-security-policy"]
        body = answer.read().decode()
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert "<script>" not in body
    assert "style=" not in body
