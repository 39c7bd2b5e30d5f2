"""The console in a real browser, over a real hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cimcare.codec.envelope import render_message
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.browser import PAGES, open_browser, utility
from tests.support.hub import HubProcess

WIDTHS = (1280, 768)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with utility(tmp_path_factory.mktemp("console")) as hub:
        yield hub


def correlation_of(town: HubProcess) -> str:
    """That of the first service request, which three systems hear of."""
    with urlopen(f"{town.address}/api/v1/messages?noun=ServiceRequests&verb=create&limit=1") as answer:
        return str(json.load(answer)["items"][0]["correlationId"])


def address_of(town: HubProcess, name: str) -> str:
    return town.address + PAGES[name].format(correlation=correlation_of(town))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_and_everybody_can_use_it(
    browser: Browser, town: HubProcess, name: str, width: int, scheme: str
) -> None:
    """On a desk and on a tablet in a storm room, by day and by night, with a screen reader too."""
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
        page.goto(address_of(town, name))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("h1")).to_have_count(1)
        found = Axe().run(page)
        grave = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert not grave, [(one["id"], one["help"], [each["html"] for each in one["nodes"]][:3]) for one in grave]
        assert not troubles


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_every_page_shows_its_data(browser: Browser, town: HubProcess, name: str) -> None:
    """What shows data must not depend on what keeps it live."""
    told = {
        "overview": "All is well",
        "messages": "TroubleTickets",
        "message": "RequestMessage",
        "message-refused": "BUS-105",
        "message-source": "Envelope",
        "message-json": '"RequestMessage"',
        "conversation": "create ServiceRequests",
        "readiness": "this hub",
        "nothing": "NET-103",
    }
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address_of(town, name))
        assert told[name] in page.locator("main").inner_text()


@pytest.mark.parametrize("name", [name for name in PAGES if name != "nothing"])
def test_the_content_policy_has_no_unsafe_word(town: HubProcess, name: str) -> None:
    """What a partner sends is shown here, and must not run here."""
    with urlopen(address_of(town, name)) as answer:
        policy = answer.headers["content-security-policy"]
        body = answer.read().decode()
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert "<script>" not in body
    assert "style=" not in body


def test_the_overview_shows_what_comes_without_being_asked_again(page: Page, town: HubProcess) -> None:
    """An operator has it open all day."""
    page.goto(address_of(town, "overview"))
    latest = page.locator("section[aria-labelledby=latest-head]")
    before = latest.locator("a").first.get_attribute("href")
    page.evaluate("window.isSame = true")
    ticket = render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=77))
    with urlopen(Request(f"{town.address}/messages", ticket, {"content-type": "application/xml"})) as answer:
        assert answer.status == 200
    expect(latest.locator("a").first).not_to_have_attribute("href", str(before), timeout=15_000)
    assert page.evaluate("window.isSame")


def test_from_the_overview_to_the_message_that_lies_on_the_table(page: Page, town: HubProcess) -> None:
    """Every number can be opened until one message is there."""
    page.goto(address_of(town, "overview"))
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
    page.goto(address_of(town, "messages"))
    seen: list[int] = []
    while True:
        seen += [int(text) for text in page.locator("tbody td:first-child").all_inner_texts()]
        if not page.get_by_role("link", name="Older").count():
            break
        page.get_by_role("link", name="Older").click()
    assert seen == list(range(seen[0], 0, -1))


def test_a_wrong_filter_says_what_would_do(page: Page, town: HubProcess) -> None:
    """As every error of the hub does."""
    response = page.goto(f"{town.address}/console/messages?since=yesterday")
    assert response is not None
    assert response.status == 400
    expect(page.locator("main")).to_contain_text("EXC-110")


def test_a_drawing_stands_alone(browser: Browser, town: HubProcess, tmp_path: Path) -> None:
    """It goes into a report."""
    with urlopen(address_of(town, "conversation") + ".svg") as answer:
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
    with urlopen(address_of(town, "conversation") + ".mmd") as answer:
        lines = answer.read().decode().splitlines()
    assert lines[0] == "sequenceDiagram"
    assert [line.strip() for line in lines[1:4]] == [
        "participant s0 as CIS",
        "participant s1 as WMS",
        "participant s2 as OMS",
    ]
    assert "s0->>s1" in lines[4]
    assert "create ServiceRequests" in lines[4]


def test_a_drill_is_one_button(page: Page, town: HubProcess) -> None:
    """Before the storm somebody asks whether all is ready, and has the answer."""
    page.goto(address_of(town, "readiness"))
    page.get_by_role("button", name="Drill all partners now").click()
    expect(page.locator("h2#verdict")).to_have_text("Go")
    expect(page.locator("tbody tr").first).to_contain_text("this hub")
