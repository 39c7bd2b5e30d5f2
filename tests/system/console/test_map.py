"""The map in a real browser: moved, zoomed, kept up to date, with tiles and without, without scripts, and on paper."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from cimcare.samples.northlake import find_premises
from cimcare.samples.northlake_network import build_network
from tests.support.console.browser import require_fit
from tests.support.console.incidents import Evening
from tests.support.hub import HubProcess, hub_process

LAYOUTS = ("scheme", "places")
LINK = "fuse F-121, out, suspected"
PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\xdac\xfc\xcf\xc0P\x0f\x00\x04\x85\x01\x80\x84\xa9\x8c!\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Watched:
    """A page, with what it asked for and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.troubles: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", self._note_failure)
        page.on("response", lambda answer: self.troubles.append(answer.url) if answer.status >= 400 else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda said: self.troubles.append(said.text) if said.type in ("error", "warning") else None)

    def _note_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # given up by the page itself when it was left
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def origins(self) -> set[str]:
        """Of all that was asked for."""
        return {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, self.asked)}


def drawn(page: Page) -> Locator:
    return page.locator("#chart svg.town")


def width_of(page: Page) -> float:
    """How large the drawing is on the screen."""
    box = drawn(page).bounding_box()
    assert box is not None
    return box["width"]


def view_of(page: Page) -> tuple[float, ...]:
    """Where the drawing lies on the screen, in whole pixels."""
    box = drawn(page).bounding_box()
    assert box is not None
    return tuple(round(box[side]) for side in ("x", "y", "width", "height"))  # type: ignore[literal-required]


def is_calm(page: Page) -> bool:
    """Whether nothing moves any more."""
    before = view_of(page)
    page.wait_for_timeout(300)
    return view_of(page) == before


def come_to_rest(page: Page) -> tuple[float, ...]:
    for _ in range(20):
        if is_calm(page):
            break
    return view_of(page)


def zoom_in(page: Page, times: int = 1) -> tuple[float, ...]:
    for _ in range(times):
        page.get_by_role("button", name="Zoom in").click()
        come_to_rest(page)
    return view_of(page)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_buttons_and_keys_zoom_and_move(page: Page, town: HubProcess, layout: str) -> None:
    """With a mouse, on a tablet, and by the keyboard alone."""
    page.goto(f"{town.address}/console/map?as={layout}")
    first = come_to_rest(page)
    sign = page.get_by_role("link", name=LINK).locator(".sus").first
    small = sign.bounding_box()
    zoom_in(page, 2)
    large = sign.bounding_box()
    assert small is not None
    assert large is not None
    assert width_of(page) > 3.5 * first[2]
    assert large["width"] < 2 * small["width"]  # it is to be read, not to cover the map
    page.locator("#chart").focus()
    page.keyboard.press("-")
    come_to_rest(page)
    assert width_of(page) < 2.5 * first[2]
    before = view_of(page)
    page.keyboard.press("ArrowRight")
    assert come_to_rest(page)[0] < before[0]
    page.get_by_role("button", name="All of the drawing").click()
    assert come_to_rest(page) == first


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_come_with_the_zoom(page: Page, town: HubProcess, layout: str) -> None:
    """What there is no room for from afar; on a tablet nothing hovers."""
    page.goto(f"{town.address}/console/map?root=F-113&as={layout}")
    label = drawn(page).get_by_text(find_premises(41).location, exact=True)
    expect(label).to_be_hidden()
    zoom_in(page, 3)
    expect(label).to_be_visible()


def test_the_wheel_zooms_where_the_pointer_is(page: Page, town: HubProcess) -> None:
    """What is under it stays under it."""
    page.goto(f"{town.address}/console/map")
    before = come_to_rest(page)
    sign = page.get_by_role("link", name=LINK).locator(".sus").first
    box = sign.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(500)
    assert come_to_rest(page)[2] > before[2]
    now = sign.bounding_box()
    assert now is not None
    assert math.dist((now["x"], now["y"]), (box["x"], box["y"])) < 12


def test_all_of_it_fits_the_window_until_somebody_chooses_a_view(page: Page, town: HubProcess) -> None:
    """A tablet that is turned shows all of it again; what somebody looks at stays as large as it is."""

    def is_inside() -> bool:
        left, top, wide, high = come_to_rest(page)
        box = page.locator("#chart").bounding_box()
        assert box is not None
        return (
            box["x"] <= left
            and box["y"] <= top
            and left + wide <= box["x"] + box["width"]
            and top + high <= box["y"] + box["height"]
        )

    page.goto(f"{town.address}/console/map")
    assert is_inside()
    for width, height in ((768, 1024), (1024, 620), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        assert is_inside(), (width, height)
    large = zoom_in(page)[2]
    page.set_viewport_size({"width": 1024, "height": 700})
    page.wait_for_timeout(500)
    assert come_to_rest(page)[2] == large


def test_from_a_sign_to_its_incident_and_back_to_the_same_view(page: Page, town: HubProcess) -> None:
    """Who looks at one outage after another does not search for the street each time."""
    page.goto(f"{town.address}/console/map?as=places")
    come_to_rest(page)
    page.get_by_role("link", name=LINK).focus()
    for _ in range(2):
        page.keyboard.press("+")
        come_to_rest(page)
    seen = view_of(page)
    expect(page.get_by_role("link", name=LINK).locator(".sus").first).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("fuse F-121")
    page.go_back()
    assert come_to_rest(page) == seen


def test_a_sign_under_the_hand_that_moves_the_map_is_not_followed(page: Page, town: HubProcess) -> None:
    """In a dense drawing there is a sign under every finger."""
    page.goto(f"{town.address}/console/map")
    zoom_in(page)
    sign = page.get_by_role("link", name=LINK).locator(".sus").first
    sign.scroll_into_view_if_needed()
    before, box = come_to_rest(page), sign.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 80, steps=6)
    page.mouse.up()
    after = come_to_rest(page)
    assert (after[0], after[1]) != (before[0], before[1])
    expect(page.locator("h1")).to_have_text("The network")
    sign.click()
    expect(page.locator("h1")).to_contain_text("fuse F-121")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_comes_is_drawn_and_the_view_stays(page: Page, town: HubProcess, layout: str) -> None:
    """Zoomed in on a street during a storm, one is not thrown out of it every few seconds."""
    index, minutes, device = {"scheme": (141, -1500, "TX-1229"), "places": (146, -1900, "TX-1230")}[layout]
    watched = Watched(page)
    page.goto(f"{town.address}/console/map?as={layout}")
    view = zoom_in(page)
    link = page.get_by_role("link", name="fuse F-124, out, confirmed")  # drawn after what comes
    link.focus()
    view = come_to_rest(page)
    evening = Evening(town)
    evening.confirm(evening.call(index, minutes).incident, device)
    added = page.get_by_role("link", name=f"transformer {device}, out, confirmed")
    expect(added).to_be_attached(timeout=30_000)
    assert view_of(page) == view
    expect(link).to_be_focused()
    assert not watched.troubles
    assert page.locator("#chart [data-at]").count() == (
        0 if layout == "scheme" else page.locator("#drawing [data-at]").count()
    )


_NEW_LINKS = """
number => {
  const link = document.querySelector("#drawing a[aria-label^='fuse F-124']");
  for (let one = 0; one < number; one++) {
    const other = link.cloneNode(true);
    other.removeAttribute("id");
    other.setAttribute("aria-label", `fuse of another town ${one}`);
    link.before(other);
  }
}
"""


@pytest.mark.parametrize("number", [1, 2, 7])
def test_the_focus_stays_on_its_sign_whatever_comes_before_it(page: Page, town: HubProcess, number: int) -> None:
    """Or whoever works with the keyboard opens another incident than the one that was read out."""
    page.goto(f"{town.address}/console/map")
    link = page.get_by_role("link", name="fuse F-124, out, confirmed")
    link.focus()
    page.evaluate(_NEW_LINKS, number)
    expect(page.locator("#chart a[aria-label^='fuse of another town']")).to_have_count(number)
    expect(link).to_be_focused()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_asked_of_anybody_else_and_nothing_that_is_not_there(
    page: Page, town: HubProcess, layout: str
) -> None:
    """Air-gapped, and with a content policy that has nothing to complain about."""
    watched = Watched(page)
    page.goto(f"{town.address}/console/map?as={layout}")
    zoom_in(page, 2)
    page.keyboard.press("ArrowUp")
    page.get_by_role("button", name="All of the drawing").click()
    come_to_rest(page)
    assert watched.origins() == {town.address}
    assert not watched.troubles


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_scripts_and_on_paper_there_is_the_whole_drawing(
    browser: Browser, town: HubProcess, layout: str
) -> None:
    """Nothing to operate, and nothing that is missing."""
    address = f"{town.address}/console/map?as={layout}"
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("link", name=LINK)).to_be_visible()
        expect(page.locator("#chart")).to_be_hidden()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#drawing svg")).to_be_hidden()
        page.emulate_media(media="print")
        expect(page.locator("#drawing svg")).to_be_visible()
        expect(page.locator("#chart")).to_be_hidden()


# ------------------------------------------------------------------------------------------------------------- tiles


class Tiles:
    """A tile server on loopback: its address, and the paths and referrers that it was asked with."""

    def __init__(self, address: str, asked: list[tuple[str, str]]) -> None:
        self.address = address
        self.asked = asked


@contextmanager
def tile_server() -> Iterator[Tiles]:
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("referer", "")))
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(PICTURE)))
            self.end_headers()
            self.wfile.write(PICTURE)

        def log_message(self, *_: object) -> None:
            """Nothing is said on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Tiles(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def tiles() -> Iterator[Tiles]:
    with tile_server() as served:
        yield served


@pytest.fixture(scope="module")
def tiled(tiles: Tiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder: Path = tmp_path_factory.mktemp("tiled")
    more = (
        f'[console]\ntiles = "{tiles.address}/t/{{z}}/{{x}}/{{y}}.png?style=grey"\n'
        'tiles_attribution = "© <b>Northlake</b> surveyors"\ntiles_zoom = 16\n'
    )
    with hub_process(folder, more, seed_town=True) as hub:
        yield hub


def policy_of(hub: HubProcess, path: str) -> str:
    with urlopen(f"{hub.address}{path}") as answer:
        return str(answer.headers["content-security-policy"])


def test_the_policy_lets_the_map_alone_have_images_of_the_tile_server(tiles: Tiles, tiled: HubProcess) -> None:
    """And only where there are tiles to show."""
    wanted = f"img-src 'self' {tiles.address};"
    assert wanted in policy_of(tiled, "/console/map?as=places")
    assert policy_of(tiled, "/console/map?as=places").replace(wanted, "img-src 'self';") == policy_of(
        tiled, "/console/"
    )
    for path in ("/console/map", "/console/map?as=places&root=nowhere", "/console/incidents"):
        try:
            assert tiles.address not in policy_of(tiled, path)
        except OSError as error:  # a problem is a page, too
            assert tiles.address not in error.headers["content-security-policy"]  # type: ignore[attr-defined]


def test_tiles_are_asked_for_and_everything_lies_where_it_is_on_them(
    page: Page, tiles: Tiles, tiled: HubProcess
) -> None:
    """Held to the tiles themselves: their numbers say where on earth they are."""
    watched = Watched(page)
    page.goto(f"{tiled.address}/console/map")
    come_to_rest(page)
    assert not tiles.asked
    page.goto(f"{tiled.address}/console/map?as=places")
    zoom_in(page, 2)
    page.get_by_role("button", name="Zoom out").click()
    come_to_rest(page)
    assert watched.origins() == {tiled.address, tiles.address}
    assert not watched.troubles
    assert all(path.startswith("/t/") and path.endswith(".png?style=grey") for path, _ in tiles.asked)
    assert {referrer for _, referrer in tiles.asked} == {f"{tiled.address}/"}
    expect(page.locator(".leaflet-control-attribution")).to_have_text("© <b>Northlake</b> surveyors")
    tile = page.locator(".leaflet-tile-loaded").first
    box, source = tile.bounding_box(), urlsplit(str(tile.get_attribute("src"))).path
    assert box is not None
    zoom, column, line = (int(one) for one in source.removesuffix(".png").split("/")[2:])
    positions = {one.name: one.position for one in build_network().devices}
    for name in ("NL-SUB", "F-113", "TX-1240"):
        longitude, latitude = positions[name] or (0.0, 0.0)
        x = (longitude + 180) / 360 * 2**zoom - column
        y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * 2**zoom - line
        sign = page.locator("#chart g.dev", has_text=name).locator(".fed").bounding_box()
        assert sign is not None
        middle = (sign["x"] + sign["width"] / 2, sign["y"] + sign["height"] / 2)
        assert math.dist(middle, (box["x"] + x * box["width"], box["y"] + y * box["height"])) < 2


def test_deeper_than_the_server_has_tiles_they_are_enlarged(page: Page, tiles: Tiles, tiled: HubProcess) -> None:
    """Rather than asked for in vain."""
    page.goto(f"{tiled.address}/console/map?as=places&root=F-113")
    zoom_in(page, 3)
    page.wait_for_timeout(500)
    assert max(int(path.split("/")[2]) for path, _ in tiles.asked) == 16


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (768, "light")])
def test_with_tiles_too_everybody_can_use_it(browser: Browser, tiled: HubProcess, width: int, scheme: str) -> None:
    """Names on the map stay readable, whatever is below them."""
    require_fit(browser, f"{tiled.address}/console/map?as=places", width=width, scheme=scheme)
