"""Pages go on by themselves, and what a person holds in them stays as it is."""

from playwright.sync_api import Page, expect

from cimcare.samples.northlake import find_premises
from tests.support.console.deliveries import Trouble, trouble
from tests.support.console.desk import Desk
from tests.support.console.incidents import Evening
from tests.support.hub import HubProcess
from tests.system.console.test_messages import send

_PATIENCE = 25_000
"""Milliseconds in which a part is fetched again, twice over."""


def broken(town: HubProcess) -> Trouble:
    """The hub in trouble that stands beside the town."""
    assert town.address
    return trouble()


def test_dead_letters_come_by_themselves_unless_some_are_ticked(page: Page, town: HubProcess) -> None:
    """Who has ticked five of fifty does not begin again."""
    hub = broken(town)
    hub.post(81)
    hub.until("GIS", "dead", 1)
    page.goto(f"{hub.hub.address}/console/deliveries?state=dead&partner=GIS")
    newest = page.locator("#shelves tbody tr").first
    known = str(newest.get_attribute("id"))
    hub.post(82)
    expect(newest).not_to_have_attribute("id", known, timeout=_PATIENCE)
    known = str(newest.get_attribute("id"))
    box = page.locator(f"#{known}").get_by_role("checkbox")
    box.check()
    count = hub.count("GIS", "dead")
    hub.post(83)
    hub.until("GIS", "dead", count + 1)
    page.wait_for_timeout(12_000)  # nothing is fetched, so there is nothing to wait for
    expect(box).to_be_checked()
    expect(newest).to_have_attribute("id", known)
    box.uncheck()
    box.blur()
    expect(newest).not_to_have_attribute("id", known, timeout=_PATIENCE)


def test_where_the_keyboard_is_stays_with_what_it_is_about(page: Page, town: HubProcess) -> None:
    """A row that comes above must not put another delivery under the finger."""
    hub = broken(town)
    page.goto(f"{hub.hub.address}/console/deliveries?state=dead&partner=GIS")
    newest = page.locator("#shelves tbody tr").first
    known = str(newest.get_attribute("id"))
    newest.get_by_role("link").first.focus()
    hub.post(84)
    expect(newest).not_to_have_attribute("id", known, timeout=_PATIENCE)
    assert page.evaluate("document.activeElement.closest('tr').id") == known


def test_partners_go_on(page: Page, town: HubProcess) -> None:
    """In their list and on their own pages, and a reason that is being typed stays."""
    hub = broken(town)
    page.goto(f"{hub.hub.address}/console/partners")
    row = page.locator("#partners tbody tr", has=page.get_by_role("link", name="GIS"))
    dead = row.locator("td").nth(7)
    before = dead.inner_text()
    hub.post(85)
    expect(dead).not_to_have_text(before, timeout=_PATIENCE)
    page.goto(f"{hub.hub.address}/console/partners/GIS")
    given_up = page.locator("dl.counts div", has_text="Given up").locator("dd")
    before = given_up.inner_text()
    hub.post(86)
    expect(given_up).not_to_have_text(before, timeout=_PATIENCE)
    why = page.get_by_label("Why, for the audit trail")
    why.fill("restar")
    before = given_up.inner_text()
    hub.post(87)
    page.wait_for_timeout(12_000)
    expect(why).to_have_value("restar")
    expect(given_up).to_have_text(before)


def test_a_young_message_goes_on(page: Page, town: HubProcess) -> None:
    """Its replies, what followed and what came behind it; what was opened stays open."""
    send(town, 781, "young")
    page.goto(f"{town.address}/console/messages?correlation=young")
    page.locator("#found tbody a").first.click()
    expect(page.locator("#message")).to_have_attribute("data-goes-on", "10")
    page.goto(f"{town.address}/console/messages")
    page.locator("#found tbody tr").first.get_by_role("link").first.click()
    checked = page.locator("details", has_text="What was checked")
    checked.locator("summary").click()
    expect(page.get_by_role("link", name="newer", exact=True)).to_have_count(0)
    send(town, 782, "younger")
    expect(page.get_by_role("link", name="newer", exact=True)).to_be_visible(timeout=_PATIENCE)
    expect(checked).to_have_attribute("open", "")


def test_an_incident_goes_on_under_a_form_that_is_open(page: Page, town: HubProcess) -> None:
    """Who reads the forms sees the tickets come; who has begun to type keeps what is typed."""
    evening = Evening(town)
    evening.call(31, -3)
    incident = evening.call(32, -3).incident
    evening.confirm(incident, find_premises(32).device)
    page.goto(f"{town.address}/console/incidents/{incident}")
    form = page.locator("#act-estimate")
    form.locator("summary").click()
    tickets = page.locator("section[aria-labelledby=tickets-head] tbody tr")
    before = tickets.count()
    evening.call(33, -2)
    expect(tickets).to_have_count(before + 1, timeout=_PATIENCE)
    expect(form).to_have_attribute("open", "")
    form.get_by_label("Back at").fill("45")
    evening.call(34, -1)
    page.wait_for_timeout(12_000)
    expect(form.get_by_label("Back at")).to_have_value("45")
    expect(tickets).to_have_count(before + 1)


def test_call_backs_go_on(page: Page, town: HubProcess) -> None:
    """An agent sees which call another one has taken."""
    page.goto(f"{town.address}/console/tickets/callbacks")
    free = page.locator("#callbacks tbody tr:not(:has-text('claimed'))").first
    row = str(free.get_attribute("id"))
    Desk(town).post(f"callbacks/{row.removeprefix('row-')}/claim", {"agent": "Kim Soto"})
    expect(page.locator(f"#{row}")).to_contain_text("Kim Soto", timeout=_PATIENCE)


def test_a_customer_goes_on(page: Page, town: HubProcess) -> None:
    """While somebody speaks with them, a colleague takes the call of another in the house."""
    home = find_premises(70)
    page.goto(f"{town.address}/console/customers/{home.account}")
    tickets = page.locator("section[aria-labelledby=tickets-head] li")
    before = tickets.count()
    Desk(town).call(70, comment="dark")
    expect(tickets).to_have_count(before + 1, timeout=_PATIENCE)
    page.goto(f"{town.address}/console/customers?q={home.account}")
    expect(page.locator("#listed")).to_have_attribute("data-goes-on", "10")


def test_the_report_goes_on_and_its_files_with_it(page: Page, town: HubProcess) -> None:
    """In the storm room it hangs on the wall; what is taken from it as a file is what is shown."""
    page.goto(f"{town.address}/console/report")
    offered = page.locator("#report dl.figures div", has_text="Offered").locator("dd")
    file = page.locator("#files").get_by_role("link", name="PDF")
    before, address = offered.inner_text(), str(file.get_attribute("href"))
    send(town, 791, "reported")
    expect(offered).not_to_have_text(before, timeout=_PATIENCE + 15_000)
    expect(file).not_to_have_attribute("href", address)
