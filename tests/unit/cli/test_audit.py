"""audit: list, verify and head, with the exit codes that scripts go by."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.store import Store
from cimcare.hub.operation import trail
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.trail import TrailError, find_head, list_rows
from cimcare.store.opening import open_store
from tests.support.stored import NOON, an_entry
from tests.unit.cli.conftest import Run

DATABASE = "sqlite:///hub.db"


async def fill(store: Store) -> None:
    """Rows: messages 1 to 3 and 4, a halt, message 5."""
    async with store.transaction() as transaction:
        for _ in range(3):
            await transaction.log.append(an_entry(), b"<a/>")
    async with store.transaction() as transaction:
        await transaction.log.append(an_entry(), b"<a/>")
    async with store.transaction() as transaction:
        await transaction.audit.append(
            Note(at=NOON, action=Action.HALT, actor="ann", subject="gis", details="two\nlines")
        )
    async with store.transaction() as transaction:
        await transaction.log.append(an_entry(), b"<a/>")


@pytest.fixture(autouse=True)
def _filled(run: Run) -> None:
    async def make() -> None:
        store = await open_store(DATABASE)
        await fill(store)
        await store.close()

    Path("cimcare.toml").write_text(f'database = "{DATABASE}"\n')
    asyncio.run(make())


def change(statement: str) -> None:
    """What somebody does who may write to the file."""
    with closing(sqlite3.connect("hub.db")) as connection, connection:
        connection.execute(statement)


def test_list_is_a_line_a_row(run: Run) -> None:
    """What was kept, and who did what to what, and why."""
    result = run("audit", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert lines[0].endswith(" messages 1-3")
    assert lines[1].endswith(" messages 4")
    assert lines[2] == "3 2030-06-01T12:00:00.123+00:00 halt by ann gis (two lines)"


def test_list_filters_and_goes_on(run: Run) -> None:
    """What operators did stands between a million rows of messages."""
    (halt,) = run("audit", "list", "--action", "halt", "--json").stdout.splitlines()
    assert json.loads(halt)["number"] == 3
    first = run("audit", "list", "--limit", 2)
    assert first.stderr == "more: --after 2\n"
    rest = run("audit", "list", "--limit", 2, "--after", 2, "--json")
    assert rest.stderr == ""
    rows = [json.loads(line) for line in rest.stdout.splitlines()]
    assert [row["number"] for row in rows] == [3, 4]
    assert rows[1]["previous"] == rows[0]["hash"]
    assert [one["sequence"] for one in rows[1]["messages"]] == [5]


def test_verify_says_what_it_checked(run: Run) -> None:
    """An answer of `good` alone leaves open what was looked at."""
    result = run("audit", "verify")
    assert (result.exit_code, result.stderr) == (0, "")
    number, head = run("audit", "head").stdout.split()
    assert result.stdout.splitlines() == [
        "rows: 4",
        "messages as sealed: 5",
        "messages removed by retention: 0",
        f"head: 4 {head}",
    ]
    assert (number, len(head)) == ("4", 64)
    data = json.loads(run("audit", "verify", "--json").stdout)
    assert (data["whole"], data["head"], data["flaws"]) == (True, head, [])
    assert json.loads(run("audit", "head", "--json").stdout) == {"number": 4, "hash": head}


def test_verify_finds_what_was_done_to_the_file(run: Run) -> None:
    """Altered, removed, or taken off the end: each has its line (G10)."""
    head = run("audit", "head").stdout.split()[1]
    assert run("audit", "verify", "--head", head).exit_code == 0
    change("UPDATE audit SET actor = 'bob' WHERE number = 3")
    result = run("audit", "verify")
    assert (result.exit_code, result.stdout.splitlines()[0].split(" is ")[0]) == (1, "row 3: EXC-131")
    assert json.loads(run("audit", "verify", "--json").stdout)["whole"] is False
    change("UPDATE audit SET actor = 'ann' WHERE number = 3")
    change("DELETE FROM audit WHERE number = 4")
    result = run("audit", "verify", "--head", head)
    assert result.exit_code == 1
    assert "EXC-134 no row has the hash" in result.stdout
    assert "message 5: EXC-134" in result.stdout


def test_messages_of_a_release_without_a_trail_need_no_row(run: Run) -> None:
    """An upgrade must not look like a break-in."""
    change("DELETE FROM audit")
    assert run("audit", "verify").exit_code == 1
    result = run("audit", "verify", "--since", 6)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "head: 0 -")
    head = run("audit", "head")
    assert (head.exit_code, head.stdout) == (1, "")
    assert "no row yet" in head.stderr


def test_more_findings_than_are_listed_are_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million lines are no help."""
    change("UPDATE audit SET actor = 'bob'")
    monkeypatch.setattr("cimcare.cli.trail.verify_trail", lambda reader, **given: verify(reader, most=3, **given))
    assert "and 1 more" in run("audit", "verify").stdout.splitlines()


@pytest.mark.parametrize("head", ["", "zz" * 32, "00" * 31, "00" * 31 + " 0", "0 " * 32])
def test_a_head_that_is_no_hash_is_wrong_use(run: Run, head: str) -> None:
    """A hash cut short by copying must not be taken for none."""
    result = run("audit", "verify", "--head", head)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "64 hexadecimal digits" in result.stderr


def test_a_row_that_cannot_be_read_is_told(run: Run) -> None:
    """By what somebody wrote who is no hub; verify says which row it is."""
    change("UPDATE audit SET action = 'dance' WHERE number = 2")
    result = run("audit", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "EXC-131" in result.stderr
    assert "cimcare audit verify" in result.stderr
    assert "row 2: EXC-131" in run("audit", "verify").stdout


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = await open_store("memory:")
    yield store
    await store.close()


async def note(store: Store, *actions: Action) -> None:
    for action in actions:
        async with store.transaction() as transaction:
            await transaction.audit.append(Note(at=NOON, action=action))


async def test_the_head_is_found_whatever_the_length(store: Store) -> None:
    """In a number of looks that grows with the digits alone."""
    assert await find_head(store.reader.audit) is None
    for length in range(1, 40):
        await note(store, Action.START)
        head = await find_head(store.reader.audit)
        assert head is not None
        assert head.number == length


async def test_pages_of_few_among_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page costs a bounded amount of work, so it may be empty and not the last."""
    monkeypatch.setattr(trail, "_PAGE", 2)
    await note(store, *[Action.START] * 5, Action.HALT, Action.START, Action.HALT)
    found, after, pages = [], 0, 0
    while True:
        page = await list_rows(store.reader.audit, after=after, limit=1, action=Action.HALT, most=3)
        found += [row.number for row in page.items]
        pages += 1
        if page.after is None:
            break
        after = page.after
    assert (found, pages) == ([6, 8], 3)
    whole = await list_rows(store.reader.audit, limit=8)
    assert (len(whole.items), whole.after) == (8, None)
    assert (await list_rows(store.reader.audit, limit=7)).after == 7


async def test_no_page_begins_with_what_cannot_be_read() -> None:
    """An error of a value becomes one of ours, with the place."""

    class Broken:
        async def rows(self, after: int = 0, limit: int = 1000) -> tuple[()]:
            raise ValueError(limit)

    with pytest.raises(TrailError, match="behind row 7"):
        await list_rows(Broken(), after=7, limit=3)


@pytest.mark.parametrize(("spoilt", "state"), [(False, "go"), (True, "no-go")])
def test_a_verification_that_is_noted_is_seen_by_the_doctor(run: Run, spoilt: bool, state: str) -> None:
    """Nothing is written by a verification that was not told to: it may be one of a copy that has to stay as it is."""
    if spoilt:
        change("UPDATE messages SET raw = x'00' WHERE sequence = 1")
    before = Path("hub.db").read_bytes()
    run("audit", "verify")
    assert Path("hub.db").read_bytes() == before
    result = run("audit", "verify", "--note")
    assert result.exit_code == int(spoilt)
    sheet = json.loads(run("doctor", "--no-drill", "--json").stdout)
    (check,) = [one for one in sheet["checks"] if one["name"] == "audit"]
    assert (check["state"], check["found"].startswith("verified ")) == (state, True)
