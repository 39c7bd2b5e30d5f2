"""Copying identifiers and messages, in a real browser."""

import json
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.hub import HubProcess

_BROUGHT_UP_TO_DATE = """async () => {
  const text = await (await fetch(location.href)).text();
  const part = new DOMParser().parseFromString(text, "text/html").getElementById("message");
  Idiomorph.morph(document.getElementById("message"), part, { morphStyle: "outerHTML" });
}"""


@pytest.fixture
def copying(browser: Browser, town: HubProcess) -> Iterator[Page]:
    """A message whose parts may be copied."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(f"{town.address}/console/messages/1")
        yield page


def copied(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_an_identifier_is_one_click_away_from_a_mail(copying: Page) -> None:
    """And who cannot see the tick hears of it."""
    button = copying.get_by_role("button", name="Copy CorrelationID")
    button.click()
    expect(copying.locator("#said")).to_have_text("CorrelationID copied")
    expect(button).to_have_attribute("data-state", "copied")
    assert copied(copying) == copying.locator("dt:has-text('CorrelationID') + dd").inner_text().strip()
    expect(button).to_have_attribute("data-state", "", timeout=5000)
    expect(copying.locator("#said")).to_have_text("")


def test_a_message_is_copied_as_it_came_and_as_json(copying: Page, town: HubProcess) -> None:
    """All of it, whatever the page makes of it."""
    copying.get_by_role("button", name="Copy message", exact=True).click()
    expect(copying.locator("#said")).to_have_text("message copied")
    with urlopen(f"{town.address}/api/v1/messages/1/raw") as answer:
        assert copied(copying) == answer.read().decode()
    copying.get_by_role("tab", name="JSON").click()
    copying.get_by_role("button", name="Copy JSON").click()
    expect(copying.locator("#said")).to_have_text("JSON copied")
    assert json.loads(copied(copying))["message"] == "RequestMessage"


def test_what_was_copied_stays_told_while_the_part_is_brought_up_to_date(copying: Page) -> None:
    """Else the tick is gone before it is seen."""
    button = copying.get_by_role("button", name="Copy MessageID")
    button.click()
    expect(button).to_have_attribute("data-state", "copied")
    copying.evaluate(_BROUGHT_UP_TO_DATE)
    expect(button).to_be_visible()
    assert button.get_attribute("data-state") == "copied"
    assert copying.get_by_role("tab", name="JSON").get_attribute("tabindex") == "-1"


def test_over_plain_http_it_is_copied_the_old_way(browser: Browser, town: HubProcess) -> None:
    """There a browser has no clipboard for pages."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page, other = context.new_page(), context.new_page()
        page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined })")
        page.goto(f"{town.address}/console/messages/1")
        other.goto(f"{town.address}/console/messages/1")
        button = page.get_by_role("button", name="Copy MessageID")
        button.click()
        expect(page.locator("#said")).to_have_text("MessageID copied")
        assert page.evaluate("document.activeElement.dataset.what") == "MessageID"
        other.bring_to_front()
        assert copied(other) == page.locator("dt:has-text('MessageID') + dd").inner_text().strip()


def test_what_could_not_be_copied_is_said(browser: Browser, town: HubProcess) -> None:
    """Who pastes must not find what was copied before."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/raw", lambda route: route.fulfill(status=503))
        page.goto(f"{town.address}/console/messages/1")
        button = page.get_by_role("button", name="Copy message", exact=True)
        button.click()
        expect(page.locator("#said")).to_contain_text("message could not be copied")
        expect(button).to_have_attribute("data-state", "failed")
