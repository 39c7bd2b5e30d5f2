"""The pages that show commands and programs: all of them are run, against a hub of their own."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from docs.tables import ROOT

from cimcare.codec.directory_csv import DIRECTORY_COLUMNS
from cimcare.store.opening import open_store
from cimcare.systems.cis.disclosure import MEMBERS
from tests.docs.snippets import is_like, needs_curl, read_snippets, run_page
from tests.support.hub import HubProcess, hub_process

DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub(hub_folder: Path) -> Iterator[HubProcess]:
    with hub_process(hub_folder, seed_town=True) as running:
        yield running


@needs_curl
def test_the_tutorial_does_what_it_says(hub: HubProcess, tmp_path: Path) -> None:
    """Whoever meets an error on the first page does not read a second."""
    assert run_page(DOCS / "tutorial/first-trouble-ticket.md", tmp_path, hub.address) >= 8


def test_the_storm_day_goes_as_it_says(tmp_path: Path) -> None:
    """It shows what all parts are for, together. Beside a hub of its own, for its books are looked at."""
    with hub_process(tmp_path, "hub.tick_seconds = 1\n", seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "tutorial/storm-day.md", tmp_path, running.address) == 17


def test_the_soap_client_works_as_shown(hub: HubProcess, tmp_path: Path) -> None:
    """It is the program that an integrator copies first."""
    assert run_page(DOCS / "guides/soap-client.md", tmp_path, hub.address) == 1


@needs_curl
def test_events_are_got_as_shown(hub: HubProcess, tmp_path: Path) -> None:
    """Whoever connects the second system wants to hear of what happens in the first."""
    assert run_page(DOCS / "guides/subscribe.md", tmp_path, hub.address) == 6


def test_webhooks_are_received_as_shown(tmp_path: Path) -> None:
    """A receiver that is copied from here must refuse what is forged, and serve once what comes twice."""
    assert run_page(DOCS / "guides/webhooks.md", tmp_path, "") == 3


def test_own_schemas_take_their_place_as_shown(hub: HubProcess, tmp_path: Path) -> None:
    """The way out for everybody who owns the official schemas."""
    assert run_page(DOCS / "guides/own-schemas.md", tmp_path, hub.address) == 3


async def test_a_network_is_given_as_shown(tmp_path: Path) -> None:
    """A small utility brings its own tables; a page that fails them costs it the afternoon."""
    store = await open_store(f"sqlite:///{tmp_path / 'cimcare.db'}")
    await store.close()
    assert run_page(DOCS / "guides/network.md", tmp_path, "") == 7


def test_a_system_is_connected_as_shown(tmp_path: Path) -> None:
    """Beside a running hub of its own: what is put in force here would lead other pages astray."""
    with hub_process(tmp_path) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/connect-a-system.md", tmp_path, running.address) == 6


async def test_customers_are_brought_as_shown(tmp_path: Path) -> None:
    """The first thing that a utility without a customer system has to do; the page names each column as it is read."""
    store = await open_store(f"sqlite:///{tmp_path / 'cimcare.db'}")
    await store.close()
    page = DOCS / "guides/customers.md"
    assert run_page(page, tmp_path, "") == 3
    for column, text in DIRECTORY_COLUMNS.items():
        assert f"| `{column}` | {text} |" in page.read_text("utf-8")


def test_calls_are_taken_and_customers_told_as_shown(tmp_path: Path) -> None:
    """Whoever stands in for the call centre in a storm learns it from this page."""
    with hub_process(tmp_path, seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/notices.md", tmp_path, running.address) == 6


@needs_curl
def test_third_parties_are_let_in_as_shown(tmp_path: Path) -> None:
    """Beside a hub of its own, whose configuration and consents it changes."""
    with hub_process(tmp_path, "delivery.poll_seconds = 0.1\n", seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/third-parties.md", tmp_path, running.address) == 7


def test_the_guide_names_every_scope_with_its_members() -> None:
    """What a customer is told to consent to is what the program shows."""
    text = (DOCS / "guides/third-parties.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", text, re.MULTILINE))
    assert {scope: tuple(re.findall(r"`([^`]+)`", told)) for scope, told in rows.items()} == MEMBERS


@needs_curl
def test_meters_report_as_shown(tmp_path: Path) -> None:
    """Beside a hub of its own, in which nobody else has called."""
    with hub_process(tmp_path, seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/meter-events.md", tmp_path, running.address) == 5


@needs_curl
def test_points_of_sale_work_as_shown(tmp_path: Path) -> None:
    """Who writes the program of a kiosk copies the receipt from here."""
    with hub_process(tmp_path, seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/point-of-sale.md", tmp_path, running.address) == 6


@needs_curl
def test_field_work_goes_as_shown(tmp_path: Path) -> None:
    """A planner tries it with a hub of her own: the crews of the page would be missing on other pages."""
    with hub_process(tmp_path, seed_town=True) as running:
        (tmp_path / "cimcare.db").symlink_to(tmp_path / "hub.db")
        assert run_page(DOCS / "guides/field-work.md", tmp_path, running.address) == 8


@needs_curl
def test_operation_is_as_shown(hub: HubProcess, hub_folder: Path, tmp_path: Path) -> None:
    """Commands that are looked up at night have to work, the copy of a running hub's database above all."""
    (tmp_path / "cimcare.db").symlink_to(hub_folder / "hub.db")
    assert run_page(DOCS / "operations/README.md", tmp_path, hub.address) >= 2
    with closing(sqlite3.connect(tmp_path / "backup.db")) as copy:
        (count,) = copy.execute("SELECT count(*) FROM records WHERE collection = 'cis.Premises'").fetchone()
    assert count == 200


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    """The run of the pages must be able to fail."""
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one\n```\n\n```text\ntwo\n```\n")
    with pytest.raises(AssertionError, match="printed"):
        run_page(page, tmp_path, "")
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(AssertionError):
        run_page(page, tmp_path, "")
    page.write_text("```console\nfalse\n```\n\n```sh\necho one two three\n```\n\n```text\none ... three\n```\n")
    assert run_page(page, tmp_path, "") == 1
    assert len(read_snippets(page)) == 1


@pytest.mark.parametrize(
    ("expected", "printed", "like"),
    [("a b", "a\nb\n", True), ("a...c", "a b c", True), ("a", "a b", False), ("a.c", "abc", False)],
)
def test_what_is_alike(expected: str, printed: str, like: bool) -> None:
    """Identifiers and times differ from run to run, and nothing else may."""
    assert is_like(expected, printed) is like


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A page that leads nowhere is the last one read."""
    text = page.read_text("utf-8")
    broken = []
    for target in LINK.findall(text):
        file, _, heading = target.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (heading and path.suffix == ".md" and heading not in anchors_of(path)):
            broken.append(target)
    assert broken == []


def anchors_of(page: Path) -> set[str]:
    """Anchors of the headings of a page, and those set by hand."""
    from docs.markdown import anchor

    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {anchor(heading.strip()) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))
