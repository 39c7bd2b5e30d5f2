"""One stream of news for all windows of a browser: what they fetch when, how many there may be, and what they say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.support.hub import HubProcess, hub_process
from tests.system.console.test_messages import send

_MORE_THAN_CONNECTIONS = 8
"""Browsers keep six connections of HTTP/1.1 to one address, in all windows together."""

_WITHOUT_WORKERS = "delete window.SharedWorker"
"""What browsers of some telephones and tablets have not got."""

_HIDDEN = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.show = (seen) => { hidden = !seen; document.dispatchEvent(new Event("visibilitychange")); };
"""
"""A headless browser shows all windows at once, so a test says which of them somebody sees."""


@contextmanager
def quiet_hub(folder: Path) -> Iterator[HubProcess]:
    """A hub in which nothing happens unless a test does it."""
    with hub_process(folder, seed_town=True) as hub:
        yield hub


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with quiet_hub(tmp_path_factory.mktemp("quiet")) as hub:
        yield hub


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield context


def fetched_by(page: Page) -> list[float]:
    """When the page fetched a part of itself, in seconds of its clock; it is filled while the page is open."""
    found: list[float] = []

    def note(request: Request) -> None:
        if request.headers.get("hx-request") == "true":
            found.append(request.timing["startTime"] / 1000)

    page.on("request", note)
    return found


def newest(page: Page) -> str:
    return str(page.locator("#found tbody tr a").first.get_attribute("href"))


def test_a_message_is_shown_soon_after_it_came(page: Page, quiet: HubProcess) -> None:
    """An operator who waits for a message watches the list."""
    send(quiet, 901, "first")
    page.goto(f"{quiet.address}/console/messages")
    page.wait_for_timeout(4000)  # the news that nobody watched before
    known = newest(page)
    send(quiet, 902, "second")
    expect(page.locator("#found tbody tr a").first).not_to_have_attribute("href", known, timeout=6000)


def test_a_page_asks_for_nothing_while_nothing_changes(page: Page, quiet: HubProcess) -> None:
    """But for the looks by which it keeps its times right, ten seconds apart."""
    fetched = fetched_by(page)
    page.goto(f"{quiet.address}/console/messages")
    page.wait_for_timeout(14_000)
    assert 1 <= len(fetched) <= 3


def test_in_a_storm_a_page_asks_no_more_often_than_it_says(page: Page, quiet: HubProcess) -> None:
    """Two hundred screens must not slow down what they show."""
    page.goto(f"{quiet.address}/console/messages")
    page.wait_for_timeout(4000)
    fetched = fetched_by(page)
    for number in range(24):
        send(quiet, 910 + number, f"storm {number}")
        page.wait_for_timeout(500)
    assert 1 <= len(fetched) <= 3


def test_more_windows_than_a_browser_has_connections(context: BrowserContext, quiet: HubProcess) -> None:
    """A wall of screens in a control room is one browser, and somebody looks at all of them."""
    pages = [context.new_page() for _ in range(_MORE_THAN_CONNECTIONS)]
    for page in pages:
        page.goto(f"{quiet.address}/console/", timeout=10_000)
    latest = [page.locator("section", has=page.locator("#latest-head")).locator("tbody a").first for page in pages]
    known = str(latest[0].get_attribute("href"))
    send(quiet, 970, "all windows")
    for one in latest:
        expect(one).not_to_have_attribute("href", known, timeout=14_000)


def test_a_window_that_nobody_sees_holds_no_stream(context: BrowserContext, quiet: HubProcess) -> None:
    """Where windows cannot share one: seven in the background would keep the eighth from opening."""
    context.add_init_script(_WITHOUT_WORKERS)
    context.add_init_script(_HIDDEN)
    pages = []
    for _ in range(_MORE_THAN_CONNECTIONS):
        page = context.new_page()
        page.goto(f"{quiet.address}/console/", timeout=10_000)
        pages.append(page)
        page.wait_for_timeout(500)
        if len(pages) < _MORE_THAN_CONNECTIONS:
            page.evaluate("show(false)")
    first, last = pages[0], pages[-1]
    stood = first.locator("#verdict + p time").inner_text()
    at = last.locator("#verdict + p time")
    before = at.inner_text()
    send(quiet, 971, "seen")
    expect(at).not_to_have_text(before, timeout=14_000)
    assert first.locator("#verdict + p time").inner_text() == stood
    first.evaluate("show(true)")
    expect(first.locator("#verdict + p time")).not_to_have_text(stood, timeout=3000)


def test_two_windows_without_shared_workers(context: BrowserContext, quiet: HubProcess) -> None:
    """Each holds its own stream then, and both go on."""
    context.add_init_script(_WITHOUT_WORKERS)
    pages = [context.new_page() for _ in range(2)]
    for page in pages:
        page.goto(f"{quiet.address}/console/messages")
    page.wait_for_timeout(4000)
    known = newest(page)
    send(quiet, 972, "both")
    for page in pages:
        expect(page.locator("#found tbody tr a").first).not_to_have_attribute("href", known, timeout=14_000)


def test_without_its_stream_a_page_looks_by_the_clock(context: BrowserContext, quiet: HubProcess) -> None:
    """Too many watch, or what stands between holds streams back."""
    context.add_init_script(_WITHOUT_WORKERS)  # requests of a shared worker are not seen from here
    context.route("**/console/news", lambda route: route.fulfill(status=503, body="too many"))
    page = context.new_page()
    page.goto(f"{quiet.address}/console/messages")
    known = newest(page)
    send(quiet, 973, "by the clock")
    expect(page.locator("#found tbody tr a").first).not_to_have_attribute("href", known, timeout=30_000)


def test_a_page_says_that_it_stands_still(page: Page, tmp_path: Path) -> None:
    """Whoever reads "All is well" must not read what was an hour ago."""
    with quiet_hub(tmp_path) as hub:
        page.goto(f"{hub.address}/console/")
        expect(page.locator("#stands")).to_be_empty()
        page.wait_for_timeout(2000)
        hub.process.kill()
        hub.process.wait()
        expect(page.locator("#stands")).to_contain_text("stands still", timeout=30_000)
        expect(page.locator("#stands")).to_contain_text("the hub does not answer")


def test_a_page_that_could_not_look_goes_on_by_itself(context: BrowserContext, quiet: HubProcess) -> None:
    """A screen on a wall has nobody who loads it again."""
    page = context.new_page()
    page.goto(f"{quiet.address}/console/")
    context.route("**/console/", lambda route: route.fulfill(status=503, body="later"))
    send(quiet, 974, "unseen")
    expect(page.locator("#stands")).to_contain_text("database", timeout=14_000)
    expect(page.locator("body")).to_have_class("stands")
    context.unroute("**/console/")
    expect(page.locator("#stands")).to_be_empty(timeout=25_000)
    expect(page.locator("body")).not_to_have_class("stands")


def test_the_past_goes_on_only_while_it_is_now(page: Page, quiet: HubProcess) -> None:
    """Whoever has moved the knob looks at that minute, and is not taken back to the present."""
    page.goto(f"{quiet.address}/console/history")
    shown = page.locator("#stood-head time")
    before = shown.get_attribute("datetime")
    expect(shown).not_to_have_attribute("datetime", str(before), timeout=14_000)
    with page.expect_response(lambda answer: "step=" in answer.url):
        page.locator("input[type=range]").fill("3")
    expect(page.locator("#stood .tag.good", has_text="now")).to_have_count(0)
    moved = str(shown.get_attribute("datetime"))
    send(quiet, 975, "later")
    page.wait_for_timeout(13_000)  # nothing is fetched, so there is nothing to wait for
    expect(shown).to_have_attribute("datetime", moved)


def test_a_configuration_that_is_edited_stays(page: Page, quiet: HubProcess) -> None:
    """A text of an hour's work must not be replaced by what is in force."""
    page.goto(f"{quiet.address}/console/configuration")
    text = page.locator("textarea")
    fetched = fetched_by(page)
    text.fill("[partners]")
    text.blur()
    page.wait_for_timeout(13_000)
    expect(text).to_have_value("[partners]")
    assert not fetched


def test_news_of_what_another_process_took_in(page: Page, tmp_path: Path) -> None:
    """Behind one address the stream, the page and the message may each be with another process."""
    with hub_process(tmp_path, seed_town=True, workers=2) as hub:
        send(hub, 980, "before")
        page.goto(f"{hub.address}/console/")
        latest = page.locator("section", has=page.locator("#latest-head")).locator("tbody a").first
        for number in range(4):
            known = str(latest.get_attribute("href"))
            send(hub, 981 + number, f"by any of them {number}")
            expect(latest).not_to_have_attribute("href", known, timeout=9000)
