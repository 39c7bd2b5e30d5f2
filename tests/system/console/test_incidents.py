"""The outage board and what a dispatcher does there, in a real browser."""

from playwright.sync_api import Page, expect

from cimcare.model.incident import IncidentHazard
from tests.support.console.incidents import Evening
from tests.support.hub import HubProcess


def test_from_what_nobody_works_on_to_a_crew_and_a_time(page: Page, town: HubProcess) -> None:
    """The board says what is worst; three clicks later somebody is on the way and callers hear when."""
    evening = Evening(town)
    incident = evening.call(193, -700, hazards=(IncidentHazard(type="poleBroken"),)).incident
    page.goto(f"{town.address}/console/incidents")
    waiting = page.get_by_role("region", name="Nobody is working on these")
    waiting.locator(f"#row-{incident}").get_by_role("link").first.click()
    page.get_by_role("combobox", name="Crew").fill("CREW-22")
    page.get_by_role("button", name="Say so").first.click()
    expect(page.get_by_role("status")).to_contain_text("CREW-22 is dispatched")
    page.get_by_text("Say when supply is back").click()
    estimate = page.locator("#act-estimate")
    estimate.get_by_label("Back at").fill("soon")
    estimate.get_by_label("Who says it").fill("Ana Ruiz")
    estimate.get_by_role("button", name="Say so").click()
    expect(page.get_by_role("alert").first).to_contain_text("EXC-128")
    expect(estimate.get_by_label("Who says it")).to_have_value("Ana Ruiz")
    estimate.get_by_label("Back at").fill("45")
    estimate.get_by_label("How sure, in %").fill("70")
    estimate.get_by_role("button", name="Say so").click()
    expect(page.get_by_role("status")).to_contain_text("confidence 70 %")
    page.get_by_role("link", name="the message", exact=True).click()
    expect(page.locator("h1")).to_contain_text("change Incidents")


def test_the_board_shows_what_comes_without_being_asked_again(page: Page, town: HubProcess) -> None:
    """It hangs on the wall of the control room, filtered or not."""
    page.goto(f"{town.address}/console/incidents")
    page.evaluate("window.isSame = true")
    incident = Evening(town).call(196, -1100, hazards=(IncidentHazard(type="gasSmell"),)).incident
    expect(page.locator(f"#row-{incident}")).to_contain_text("gasSmell", timeout=20_000)
    assert page.evaluate("window.isSame")
    page.get_by_label("with hazards only").check()
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(f"#row-{incident}")).to_be_visible()
    other = Evening(town).call(182, -1300, hazards=(IncidentHazard(type="fire"),)).incident
    expect(page.locator(f"#row-{other}")).to_contain_text("fire", timeout=20_000)


def test_a_part_is_restored_by_ticking_it(page: Page, town: HubProcess) -> None:
    """What is ticked goes out as points with evidence, and the page says who has supply."""
    evening = Evening(town)
    evening.call(86, -900)
    incident = evening.call(87, -899).incident
    evening.confirm(incident, "TX-1118")
    page.goto(f"{town.address}/console/incidents/{incident}")
    page.locator("input[name=points]").first.check()
    part = page.locator("#part")
    part.get_by_label("Who says it").fill("CREW-12")
    part.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 5 customers are known to have supply again")


def test_from_the_map_to_an_incident_and_back(page: Page, town: HubProcess) -> None:
    """Where it is, what it is, and what else hangs on it."""
    page.goto(f"{town.address}/console/map")
    page.get_by_role("link", name="fuse F-121, out, suspected").click()
    expect(page.locator("h1")).to_contain_text("fuse F-121")
    page.get_by_role("link", name="On the map").click()
    expect(page.locator("svg.town").last).to_be_visible()
    page.get_by_text("as a list").click()
    expect(page.get_by_role("row", name="transformer TX-1221")).to_contain_text("out, suspected")
    page.get_by_role("link", name="CB-12").click()
    page.get_by_role("link", name="Places").click()
    expect(page.get_by_role("link", name="fuse F-124, out, confirmed")).to_be_visible()


def test_the_map_shows_what_comes_without_being_asked_again(page: Page, town: HubProcess) -> None:
    """Who keeps it open during a storm sees outages appear, where they had looked, with the list still open."""
    page.goto(f"{town.address}/console/map")
    page.get_by_text("as a list").click()
    page.evaluate("window.isSame = true")
    evening = Evening(town)
    incident = evening.call(155, -900).incident
    evening.confirm(incident, "TX-1232")
    expect(page.locator(f".places a[href='/console/incidents/{incident}']")).to_be_visible(timeout=30_000)
    expect(page.locator(f"#devices a[href='/console/incidents/{incident}']")).to_be_visible()
    assert page.evaluate("window.isSame")
