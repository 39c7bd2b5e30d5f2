"""Messages and conversations in a real browser."""

from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, expect

from tests.support.console.exchanges import PAGES
from tests.support.hub import HubProcess


def test_from_the_overview_to_the_message_that_lies_on_the_table(page: Page, town: HubProcess) -> None:
    """Every number can be opened until one message is there."""
    page.goto(f"{town.address}/console/")
    page.get_by_role("link", name="CIS", exact=True).click()
    expect(page.get_by_label("Partner")).to_have_value("CIS")
    page.get_by_label("Outcome").select_option("FAILED")
    page.get_by_label("Way").select_option("in")
    page.get_by_role("button", name="Search").click()
    row = page.locator("tbody tr", has_text="TroubleTickets").last
    row.get_by_role("link").first.click()
    expect(page.locator("main")).to_contain_text("no customer, place or hazard that could be identified")
    page.get_by_role("link", name="JSON").click()
    expect(page.locator("main")).to_contain_text('"TroubleTickets"')
    page.get_by_role("link", name="The whole conversation").click()
    expect(page.locator("svg.cv")).to_be_visible()
    page.locator("svg.cv a").last.click()
    expect(page.locator("h1")).to_contain_text("reply TroubleTickets")


def test_the_list_goes_back_page_by_page_to_the_first_message(page: Page, town: HubProcess) -> None:
    """Nothing is out of reach."""
    page.goto(f"{town.address}/console/messages")
    seen: list[int] = []
    while True:
        seen += [int(text) for text in page.locator("tbody td:first-child").all_inner_texts()]
        if not page.get_by_role("link", name="Older").count():
            break
        page.get_by_role("link", name="Older").click()
    assert seen == list(range(seen[0], 0, -1))


def test_what_was_said_of_premises_is_found_and_compared(page: Page, town: HubProcess) -> None:
    """A caller names the house and a word of it; what changed since lies on the table."""
    page.goto(f"{town.address}/console/messages")
    page.get_by_label("Premises").fill("sl-30021")
    page.get_by_label("Text").fill("NO_SUPPLY")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text("TroubleTickets")
    rows.last.get_by_role("link").first.click()
    expect(page.locator(".beside")).to_contain_text("Its reply")
    page.goto(f"{town.address}/console/messages?verb=changed")
    page.locator("tbody tr").first.get_by_role("link").first.click()
    page.get_by_role("link", name="Changes", exact=True).click()
    expect(page.locator(".diff .new, .diff .gone").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("changed")


def test_a_wrong_filter_says_what_would_do(page: Page, town: HubProcess) -> None:
    """As every error of the hub does."""
    response = page.goto(f"{town.address}/console/messages?since=yesterday")
    assert response is not None
    assert response.status == 400
    expect(page.locator("main")).to_contain_text("EXC-110")


def test_a_drawing_stands_alone(browser: Browser, town: HubProcess, tmp_path: Path) -> None:
    """It goes into a report."""
    with urlopen(PAGES["conversation"].address(town) + ".svg") as answer:
        assert answer.headers["content-type"] == "image/svg+xml"
        drawing = answer.read().decode()
    assert "href" not in drawing
    file = tmp_path / "drawing.svg"
    file.write_text(drawing)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.locator("text", has_text="create ServiceRequests").count() == 1


def test_the_same_for_mermaid(town: HubProcess) -> None:
    """Whose diagrams stand in many a project's pages."""
    with urlopen(PAGES["conversation"].address(town) + ".mmd") as answer:
        lines = answer.read().decode().splitlines()
    assert lines[0] == "sequenceDiagram"
    assert [line.strip() for line in lines[1:4]] == [
        "participant s0 as CIS",
        "participant s1 as WMS",
        "participant s2 as OMS",
    ]
    assert "s0->>s1" in lines[4]
    assert "create ServiceRequests" in lines[4]
