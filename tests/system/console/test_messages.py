"""Messages and conversations in a real browser."""

from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
from playwright.sync_api import Browser, Page, expect

from cimcare.codec.envelope import render_message
from cimcare.model.envelope import AnyMessage
from cimcare.model.identity import CorrelationID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.console.exchanges import PAGES
from tests.support.hub import HubProcess


def send(hub: HubProcess, seed: int, correlation: str) -> None:
    """Somebody reports trouble."""
    message: AnyMessage = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed)
    header = msgspec.structs.replace(message.header, correlation_id=CorrelationID(correlation))  # type: ignore[union-attr]
    raw = render_message(msgspec.structs.replace(message, header=header))
    with urlopen(Request(f"{hub.address}/messages", raw, {"Content-Type": "application/xml"})) as answer:
        assert answer.status == 200


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
    page.get_by_role("tab", name="JSON").click()
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


def test_forms_of_a_message_are_tabs(page: Page, town: HubProcess) -> None:
    """By keyboard too; its address leads to the form that is open, and the page goes on in that form."""
    send(town, 783, "tabs")
    page.goto(f"{town.address}/console/messages?correlation=tabs")
    page.locator("#found tbody a", has_text="create TroubleTickets").click()
    expect(page.locator("h1")).to_contain_text("create TroubleTickets")
    page.evaluate("window.isSame = true")
    page.get_by_role("tab", selected=True).focus()
    for key in ("ArrowLeft", "ArrowLeft", "Space"):  # round the end
        page.keyboard.press(key)
    chosen = page.get_by_role("tab", selected=True)
    expect(chosen).to_have_text("JSON")
    expect(chosen).to_be_focused()
    expect(page.get_by_role("tabpanel", name="JSON")).to_contain_text('"TroubleTickets"')
    expect(page).to_have_url(f"{page.url.partition('?')[0]}?as=json")
    assert page.evaluate("window.isSame")
    assert page.get_by_role("tab").evaluate_all("all => all.filter(one => one.tabIndex === 0).length") == 1
    with page.expect_response("**?as=json", timeout=25_000):
        pass
    page.wait_for_timeout(200)
    expect(page.get_by_role("tabpanel", name="JSON")).to_contain_text('"TroubleTickets"')


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
    page.get_by_role("tab", name="Changes", exact=True).click()
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
        assert "unsafe" not in answer.headers["content-security-policy"]
        drawing = answer.read().decode()
    assert "href" not in drawing
    file = tmp_path / "drawing.svg"
    file.write_text(drawing)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.locator("text", has_text="create ServiceRequests").count() == 1
        page.goto(PAGES["conversation"].address(town) + ".svg")  # where a policy lets it have its style, and no more
        assert page.locator("rect.box").first.evaluate("one => getComputedStyle(one).fill") == "rgb(238, 243, 244)"


def test_a_conversation_goes_on_while_it_is_looked_at(page: Page, town: HubProcess) -> None:
    """Who waits for a reply need not ask again."""
    send(town, 771, "goes-on")
    page.goto(f"{town.address}/console/conversations/goes-on")
    before = page.locator("ol.words li").count()
    assert before
    send(town, 772, "goes-on")
    expect(page.locator("ol.words li").nth(before + 1)).to_be_visible(timeout=15_000)


def test_new_messages_come_by_themselves(page: Page, town: HubProcess) -> None:
    """On the first page alone: further back nothing moves under somebody's hand."""
    page.goto(f"{town.address}/console/messages?noun=TroubleTickets")
    newest = page.locator("#found tbody a").first
    before = str(newest.get_attribute("href"))
    send(town, 773, "newest")
    expect(newest).not_to_have_attribute("href", before, timeout=20_000)
    page.goto(f"{town.address}/console/messages?after=5")
    assert page.locator("#found").get_attribute("hx-get") is None


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
