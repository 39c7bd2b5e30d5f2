"""Calls, call-backs, work and customers as people do them, in a real browser."""

from urllib.request import urlopen

from playwright.sync_api import Browser, Page, expect

from cimcare.samples.northlake import CREWS, find_premises
from tests.support.console.desk import DISPATCHED, ON_SITE, REPORTED_HOME
from tests.support.hub import HubProcess


def test_a_call_from_the_first_key_to_the_sentence(page: Page, town: HubProcess) -> None:
    """Danger by one key, the caller as one types, Enter; and the next call."""
    home = find_premises(182)
    page.goto(f"{town.address}/console/tickets")
    page.get_by_label("Who or where").focus()
    page.keyboard.press("Alt+1")
    expect(page.get_by_role("checkbox", name="Wire down")).to_be_checked()
    page.get_by_label("Who or where").press_sequentially(home.account, delay=20)
    expect(page.get_by_role("radio", name=home.organisation)).to_be_checked()
    page.get_by_label("What the caller says").fill("it lies on the road")
    page.get_by_role("button", name="Take the call").click()
    expect(page.get_by_role("heading", name="Say to the caller")).to_be_visible()
    expect(page.locator(".sentence")).to_contain_text("keep away")
    page.get_by_role("link", name="Next call").click()
    expect(page.locator("tbody tr").first).to_contain_text("wireDown")


def test_who_calls_again_hears_it_before_anything_is_taken(page: Page, town: HubProcess) -> None:
    """As soon as the name is typed."""
    home = find_premises(REPORTED_HOME)
    page.goto(f"{town.address}/console/tickets")
    page.get_by_label("Who or where").press_sequentially(home.location, delay=20)
    expect(page.locator("#found")).to_contain_text("reported already")
    page.get_by_role("button", name="Take the call").click()
    expect(page.locator(".sentence")).to_contain_text("is reported already; your call is noted")


def test_the_newest_tickets_come_by_themselves(page: Page, browser: Browser, town: HubProcess) -> None:
    """And what is typed beside them stays."""
    page.goto(f"{town.address}/console/tickets")
    page.get_by_label("What the caller says").fill("half a sen")
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(f"{town.address}/console/tickets")
        other.get_by_label("Who or where").fill("the old lighthouse")
        other.get_by_role("checkbox", name="Fire").check(force=True)
        other.get_by_role("button", name="Take the call").click()
    expect(page.locator("tbody tr").first).to_contain_text("the old lighthouse", timeout=15_000)
    expect(page.get_by_label("What the caller says")).to_have_value("half a sen")


def test_of_several_one_is_chosen_and_nothing_is_typed_again(browser: Browser, town: HubProcess) -> None:
    """Without scripts, too."""
    home = find_premises(184)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{town.address}/console/tickets")
        page.get_by_label("Who or where").fill("station road")
        page.get_by_label("What the caller says").fill("lights flicker")
        page.get_by_role("button", name="Take the call").click()
        expect(page.get_by_role("alert")).to_contain_text("BUS-143")
        page.locator(f"input[value='{home.mrid('location')}']").check()
        expect(page.get_by_label("What the caller says")).to_have_value("lights flicker")
        page.get_by_role("button", name="Take the call").click()
        expect(page.locator("main")).to_contain_text("lights flicker")


def test_an_agent_works_off_the_list(page: Page, town: HubProcess) -> None:
    """Claim, call, answer, the next one."""
    page.goto(f"{town.address}/console/tickets/callbacks")
    page.get_by_label("Your name").fill("Ole Brandt")
    page.get_by_role("button", name="Next call").click()
    expect(page.get_by_role("heading", name="Your call")).to_be_visible()
    expect(page.locator(".facts .big")).to_contain_text("555-01")
    page.get_by_label("What else was said").fill("the neighbour answered")
    page.get_by_role("button", name="No answer").click()
    expect(page.get_by_role("status")).to_contain_text("called again later")
    expect(page.get_by_label("Your name")).to_have_value("Ole Brandt")


def test_a_crew_is_followed_to_the_reading(page: Page, town: HubProcess) -> None:
    """From the board to the report, which without a reading is refused."""
    page.goto(f"{town.address}/console/work")
    page.locator(f"a[href$='{DISPATCHED}']").click()
    page.get_by_role("button", name="It has arrived").click()
    expect(page.locator("h1")).to_contain_text("onSite")
    page.get_by_role("button", name="It is done").click()
    expect(page.get_by_role("alert")).to_contain_text("BUS-154")
    page.get_by_label("Meter", exact=True).fill("M-7")
    page.get_by_label("Reading", exact=True).fill("41007")
    page.get_by_role("button", name="It is done").click()
    expect(page.locator("h1")).to_contain_text("completed")
    expect(page.locator("main")).to_contain_text("41007")


def test_a_cancel_that_comes_too_late_shows_why(page: Page, town: HubProcess) -> None:
    """The crew has begun."""
    page.goto(f"{town.address}/console/work/{ON_SITE}")
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_role("alert")).to_contain_text("6.1")
    expect(page.locator("h1")).to_contain_text("onSite")


def test_the_calendar_leads_to_the_work(page: Page, town: HubProcess) -> None:
    """And a crew to what it has."""
    page.goto(f"{town.address}/console/work/calendar")
    page.get_by_role("link", name="SR-DESK-66").click()
    expect(page.locator("h1")).to_contain_text("meter exchange")
    page.get_by_role("link", name="calendar").first.click()
    page.get_by_role("link", name=CREWS[2].name).click()
    expect(page.locator("h2")).to_contain_text(CREWS[2].name)


def test_personal_data_are_shown_to_who_asks_and_it_is_noted(page: Page, town: HubProcess) -> None:
    """The row is in the audit trail before the number is on the screen."""
    home = find_premises(68)
    page.goto(f"{town.address}/console/customers")
    page.get_by_label("Who").press_sequentially(home.organisation, delay=20)
    page.locator(f"a[href$='{home.account}']").click()
    expect(page.locator("main")).not_to_contain_text(home.local_number)
    page.get_by_label("Why").fill("asked for a call")
    page.get_by_role("button", name="Show personal data").click()
    expect(page.locator("main")).to_contain_text(home.local_number)
    page.get_by_role("link", name="Mask again").click()
    expect(page.locator("main")).not_to_contain_text(home.local_number)
    with urlopen(f"{town.address}/console/customers/{home.account}") as answer:
        assert home.email not in answer.read().decode()
