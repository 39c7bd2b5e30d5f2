"""Curves in a real browser: what is under the pointer, a part taken by dragging, what is behind a click."""

import re
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from cimcare.codec.envelope import render_message
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.console import storm_hour
from tests.support.hub import HubProcess

CURVES = {"overview": "/console/", "history": "/console/history", "report": "/console/report"}


@pytest.fixture
def storm(town: HubProcess) -> HubProcess:
    """The hub after an hour of storm that stands beside the town."""
    assert town.address
    return storm_hour.storm()


def point(page: Page, share: float) -> tuple[float, float]:
    """A place over the curve, from its left edge at 0 to its right at 1."""
    page.locator(".u-over").scroll_into_view_if_needed()
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def drag(page: Page, first: float, last: float) -> None:
    """Take the part between two places."""
    page.mouse.move(*point(page, first))
    page.mouse.down()
    page.mouse.move(*point(page, (first + last) / 2))
    page.mouse.move(*point(page, last))
    page.mouse.up()


def given(page: Page) -> dict[str, datetime]:
    """The instants in the address."""
    query = parse_qs(urlsplit(page.url).query)
    return {name: datetime.fromisoformat(query[name][0]) for name in ("since", "until", "at") if name in query}


def table_of(page: Page) -> Locator:
    return page.locator("figure.graph details table")


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_is_drawn_where_that_of_the_server_stood(page: Page, storm: HubProcess, name: str) -> None:
    """One of the two, and that of the server on paper; both are of the table, which can be opened."""
    page.goto(storm.address + CURVES[name])
    canvas, still = page.locator(".drawn canvas"), page.locator("figure.graph .still")
    expect(canvas).to_be_visible()
    expect(still).to_be_hidden()
    page.locator("figure.graph summary").click()
    expect(table_of(page)).to_be_visible()
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function("document.querySelector('.drawn canvas').clientWidth < 800")
    page.emulate_media(media="print")
    expect(canvas).to_be_hidden()
    expect(still).to_be_visible()


def test_without_scripts_there_is_the_drawing_of_the_server(browser: Browser, storm: HubProcess) -> None:
    """With its links, and the table."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(storm.address + CURVES["history"])
        expect(page.locator("svg.curve")).to_be_visible()
        expect(page.locator(".hint")).to_be_hidden()
        page.locator("figure.graph summary").click()
        table_of(page).get_by_role("link").nth(20).click()
        expect(page).to_have_url(re.compile(r"/console/history\?at=.*"))


def test_what_is_under_the_pointer_stands_in_words_and_opens(page: Page, storm: HubProcess) -> None:
    """The same words as in the table; a gap says that it is one."""
    page.goto(storm.address + CURVES["history"])
    shown = page.locator(".u-legend .u-value")
    page.mouse.move(*point(page, 0.7))
    texts = shown.all_inner_texts()
    row = table_of(page).locator("tr", has=page.locator("time", has_text=texts[0]))
    assert row.locator("td").all_text_contents() == texts[1:]
    rows = table_of(page).locator("tbody tr").all_text_contents()
    gap = next(place for place, text in enumerate(rows) if "not kept" in text)
    page.mouse.move(*point(page, (gap + 0.5) / len(rows)))
    assert shown.all_inner_texts()[1:] == ["–", "–", "–"]
    page.mouse.move(*point(page, 0.7))
    href = row.get_by_role("link", include_hidden=True).get_attribute("href")
    page.mouse.click(*point(page, 0.7))
    expect(page).to_have_url(f"{storm.address}{href}")
    expect(page.locator("#stood-head time")).to_have_attribute("datetime", given(page)["at"].isoformat())


def test_a_part_is_taken_by_dragging_and_can_be_passed_on(page: Page, storm: HubProcess) -> None:
    """The minutes around the summit; the knob moves within them, and back leads to the whole."""
    page.goto(f"{storm.address}/console/history?span=1h")
    whole = page.url
    drag(page, 0.5, 0.75)
    page.wait_for_url("**/console/history?since=*")
    asked = given(page)
    assert timedelta(minutes=13) < asked["until"] - asked["since"] < timedelta(minutes=17)
    times = [datetime.fromisoformat(str(one.get_attribute("datetime"))) for one in table_of(page).locator("time").all()]
    assert abs(times[0] - asked["since"]) <= timedelta(minutes=1)
    assert abs(times[-1] - asked["until"]) <= timedelta(minutes=2)
    expect(page.locator(".chips a[aria-current]")).to_have_count(0)
    instant = page.locator("#stood-head time")
    before = str(instant.get_attribute("datetime"))
    page.get_by_label("Instant within the stretch").press("Home")
    expect(instant).to_have_attribute("datetime", times[0].isoformat())
    expect(page.locator(".drawn canvas")).to_have_count(1)  # the part that the knob has replaced was drawn anew
    page.goto(page.url)
    expect(instant).to_have_attribute("datetime", times[0].isoformat())
    assert before != times[0].isoformat()
    page.go_back()
    expect(page).to_have_url(whole)


def test_a_part_is_taken_with_a_finger(browser: Browser, storm: HubProcess) -> None:
    """On the tablet in the storm room."""
    with browser.new_context(viewport={"width": 768, "height": 900}, has_touch=True) as context:
        page = context.new_page()
        page.goto(storm.address + CURVES["report"])
        touch = context.new_cdp_session(page)
        (x, y), (last, _) = point(page, 0.6), point(page, 0.95)
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 9):
            where = {"x": x + (last - x) * step / 8, "y": y}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [where]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_url("**/console/report?since=*")
        assert timedelta(hours=8) < given(page)["until"] - given(page)["since"] < timedelta(hours=9)


def test_from_the_report_to_how_it_stood(page: Page, storm: HubProcess) -> None:
    """Whoever wonders at a bar opens it."""
    page.goto(storm.address + CURVES["report"])
    page.mouse.click(*point(page, 0.96))
    page.wait_for_url("**/console/history?at=*")
    expect(page.locator("h1")).to_have_text("How it stood")


def test_a_curve_has_the_colours_of_the_page(page: Page, storm: HubProcess) -> None:
    """Also when they are changed under it."""
    page.goto(storm.address + CURVES["history"])
    drawing = "document.querySelector('.drawn canvas').toDataURL()"
    light = page.evaluate(drawing)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"one => {drawing} !== one", arg=light)
    dark = page.evaluate(drawing)
    page.get_by_role("radio", name="Light").check(force=True)
    page.wait_for_function(f"one => {drawing} !== one", arg=dark)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.get_by_label("Instant within the stretch").press("Home")
    expect(page.locator("#stood-head")).not_to_contain_text("now")
    page.get_by_role("radio", name="Dark").check(force=True)
    expect(page.locator(".drawn canvas")).to_have_count(1)
    assert not troubles, "what was replaced is not drawn any more"


def test_the_pace_is_brought_up_to_date_and_the_drawing_stays(page: Page, storm: HubProcess) -> None:
    """It is drawn on, and not anew: what is under the pointer stays under it."""
    page.goto(storm.address + CURVES["overview"])
    page.evaluate("document.querySelector('.drawn canvas').isSame = true")
    page.mouse.move(*point(page, 0.3))
    words = page.locator(".u-legend .u-value").first
    before = words.inner_text()
    drawing = "document.querySelector('.drawn canvas').toDataURL()"
    then = page.evaluate(drawing)
    message = render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    with urlopen(Request(f"{storm.address}/messages", message, {"content-type": "application/xml"})) as answer:
        assert answer.status == 200
    expect(table_of(page).locator("tr").last.locator("data")).not_to_have_attribute("value", "0", timeout=15_000)
    page.wait_for_function(f"one => {drawing} !== one", arg=then)
    assert page.evaluate("document.querySelector('.drawn canvas').isSame")
    assert before != "–"
    assert words.inner_text() != "–"
    page.mouse.move(0, 0)
    last = table_of(page).locator("tr").last
    href = str(last.get_by_role("link", include_hidden=True).get_attribute("href"))
    page.mouse.click(*point(page, 0.999))
    page.wait_for_url("**/console/messages?**")
    assert href.startswith("/console/messages?counted=received")
    expect(page.locator("#found")).to_contain_text("TroubleTickets")
