"""The overview and the sheet of readiness in a real browser."""

from urllib.request import Request, urlopen

from playwright.sync_api import Page, expect

from cimcare.codec.envelope import render_message
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import HubProcess


def test_the_overview_shows_what_comes_without_being_asked_again(page: Page, town: HubProcess) -> None:
    """An operator has it open all day."""
    page.goto(f"{town.address}/console/")
    latest = page.locator("section[aria-labelledby=latest-head]")
    before = latest.locator("a").first.get_attribute("href")
    page.evaluate("window.isSame = true")
    ticket = render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=77))
    with urlopen(Request(f"{town.address}/messages", ticket, {"content-type": "application/xml"})) as answer:
        assert answer.status == 200
    expect(latest.locator("a").first).not_to_have_attribute("href", str(before), timeout=15_000)
    assert page.evaluate("window.isSame")


def test_a_drill_is_one_button(page: Page, town: HubProcess) -> None:
    """Before the storm somebody asks whether all is ready, and has the answer."""
    page.goto(f"{town.address}/console/readiness")
    page.get_by_role("button", name="Drill all partners now").click()
    expect(page.locator("h2#verdict")).to_have_text("Go")
    expect(page.locator("tbody tr").first).to_contain_text("this hub")
