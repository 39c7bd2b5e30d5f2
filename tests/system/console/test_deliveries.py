"""Dead letters and partners in a real browser, at a hub whose partners are in trouble."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.console.deliveries import Trouble, trouble
from tests.support.hub import HubProcess


@pytest.fixture
def broken(town: HubProcess) -> Trouble:
    """The hub in trouble that stands beside the town."""
    assert town.address
    return trouble()


def test_a_dead_letter_is_looked_at_mended_and_sent_again(page: Page, broken: Trouble) -> None:
    """What an operator does on most mornings."""
    broken.post(31)
    broken.until("GIS", "dead", 1)
    page.goto(f"{broken.hub.address}/console/deliveries")
    given_up = page.locator("section", has=page.get_by_role("heading", name="Given up"))
    given_up.locator("tbody tr").first.get_by_role("link").first.click()
    number = page.url.rpartition("/")[2]
    expect(page.locator("main")).to_contain_text("FAILED: 2.15")
    broken.mend()
    page.get_by_role("button", name="Send again …").click()
    expect(page.locator("h1")).to_have_text("Send again: 1 dead letter")
    page.get_by_role("button", name="Send 1 again").click()
    assert "preview" in page.url  # a reason is required
    page.get_by_label("Why, for the audit trail").fill("GIS knows the premises now")
    page.get_by_role("button", name="Send 1 again").click()
    expect(page.locator("#job-head")).to_have_text("Done", timeout=20_000)
    expect(page.locator("main")).to_contain_text("1 of 1 sent again")
    page.get_by_role("link", name=number, exact=True).click()
    expect(page.locator("h1")).to_contain_text("delivered")
    broken.worsen()


def test_a_job_is_watched_and_halted(page: Page, broken: Trouble) -> None:
    """Somebody sees that it goes wrong, and stops it."""
    for seed in (41, 42, 43):
        broken.post(seed)
    broken.until("GIS", "dead", 3)
    page.goto(f"{broken.hub.address}/console/deliveries?state=dead&partner=GIS")
    for box in page.get_by_role("checkbox").all()[:3]:
        box.check()
    page.get_by_role("button", name="Send ticked again").click()
    expect(page.locator("h1")).to_have_text("Send again: 3 dead letters")
    page.get_by_label("Why, for the audit trail").fill("one at a time")
    page.get_by_label("Most a second").fill("0.1")
    page.get_by_role("button", name="Send 3 again").click()
    expect(page.locator("#job-head")).to_have_text("At work")
    page.get_by_role("button", name="Halt").click()
    expect(page.locator("#job-head")).to_have_text("Halted", timeout=20_000)
    expect(page.get_by_role("button", name="Go on with the 2")).to_be_visible()


def test_a_dead_letter_is_discarded_with_a_reason(page: Page, broken: Trouble) -> None:
    """For good, so it is asked once more."""
    broken.post(51)
    broken.until("GIS", "dead", 1)
    page.goto(f"{broken.hub.address}/console/deliveries?state=dead&partner=GIS")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Discard ticked").click()
    page.get_by_label("Why, for the audit trail").fill("was told by telephone")
    page.get_by_role("button", name="Discard 1 for good").click()
    expect(page.locator("#job-head")).to_have_text("Done", timeout=20_000)
    page.get_by_role("link", name="sent again, discarded").click()
    expect(page.locator("tbody tr").first).to_contain_text("was told by telephone")


def test_a_partner_is_halted_and_goes_on(page: Page, broken: Trouble) -> None:
    """While its people restart it."""
    page.goto(f"{broken.hub.address}/console/partners")
    page.get_by_role("link", name="CRM").click()
    page.get_by_label("Why, for the audit trail").fill("restarts at noon")
    page.get_by_role("button", name="Halt delivery").click()
    expect(page.locator("h1")).to_contain_text("halted")
    broken.post(61)
    broken.until("CRM", "waiting", 1)
    page.reload()
    expect(page.locator("main")).to_contain_text("restarts at noon")
    page.get_by_label("Why, for the audit trail").fill("is back")
    page.get_by_role("button", name="Let it go on").click()
    expect(page.locator("h1")).not_to_contain_text("halted")
