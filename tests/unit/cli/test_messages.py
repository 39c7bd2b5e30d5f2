"""messages list and show, on the database of a hub that has run."""

import asyncio
import json
import re
import shutil
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from cimcare.cli import stored
from cimcare.exchange.log import Transport
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_store
from tests.support.channels import CHANNELS
from tests.support.hub import call
from tests.support.stored import an_entry
from tests.unit.cli.conftest import Run
from tests.unit.hub.conftest import HeldHub

ODD = b"<a>\xff"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ticket, the question for it, a refusal and something unreadable: ten messages with answers and events."""
    folder = tmp_path_factory.mktemp("hub")

    async def play() -> None:
        held = HeldHub()
        await held.open(folder)
        for verb, seed in ((Verb.CREATE, 0), (Verb.GET, 0), (Verb.CANCEL, 9)):
            await held.post(build_message(Noun.TROUBLE_TICKETS, verb, seed=seed), CHANNELS["soap11"])
            held.later(hours=1)
        await call(held.hub.app, "/messages", ODD, headers={"content-type": "application/xml"})
        await held.hub.close()

    asyncio.run(play())
    return f"sqlite:///{folder / 'hub.db'}"


def numbers(text: str) -> list[int]:
    return [int(line.split()[0]) for line in text.splitlines()]


def test_list_is_a_line_a_message(run: Run, database: str) -> None:
    """The first look at what has happened: in, out, and what it answers."""
    result = run("messages", "--database", database, "list")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) == 10
    assert numbers(result.stdout) == sorted(numbers(result.stdout))
    assert re.match(
        r"1 2030-06-01T12:00:00\.000\+00:00 in  soap11 CIS-NORTHLAKE create TroubleTickets OK BUS-120 [\w-]{36}$",
        lines[0],
    )
    assert re.match(r"2 \S+ out soap11 CIS-NORTHLAKE reply TroubleTickets OK BUS-120 [\w-]+ \(to 1\)$", lines[1])
    assert any(" FAILED REF-103 " in line for line in lines)
    assert " - - - FAULT " in lines[-2]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--direction", "in"], 4),
        (["--verb", "get"], 1),
        (["--verb", "created"], 2),
        (["--noun", "Incidents"], 1),
        (["--outcome", "FAILED"], 2),
        (["--outcome", "FAULT"], 2),
        (["--source", "CIS-NORTHLAKE"], 6),
        (["--since", "2030-06-01T14:00:00Z"], 4),
        (["--since", "2030-06-01T16:00:00+02:00"], 4),
        (["--verb", "get", "--direction", "out"], 0),
        (["--message-id", "nobody"], 0),
        (["--after", "8"], 2),
    ],
)
def test_list_filters(run: Run, database: str, filters: list[str], expected: int) -> None:
    """In a log of millions only the filtered list is of use."""
    found = run("messages", "--database", database, "list", *filters).stdout.splitlines()
    assert (" ".join(filters), len(found)) == (" ".join(filters), expected)


def test_list_by_identifiers(run: Run, database: str) -> None:
    """A partner asks for one message by its MessageID; the answers bear it as CorrelationID."""
    first = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=0)
    identifier = first.header.message_id
    found = run("messages", "--database", database, "list", "--message-id", identifier)
    assert numbers(found.stdout) == [1]
    linked = run("messages", "--database", database, "list", "--correlation", identifier)
    assert {line.split()[2] for line in linked.stdout.splitlines()} == {"out"}
    assert 2 in numbers(linked.stdout)


def test_list_goes_on_where_it_ended(run: Run, database: str) -> None:
    """How to see more is said on stderr, so that the list stays a list."""
    seen: list[int] = []
    after: list[str] = []
    while True:
        result = run("messages", "--database", database, "list", "--limit", "4", *after)
        seen += numbers(result.stdout)
        if not result.stderr:
            break
        match = re.fullmatch(r"more: (--after) (\d+)\n", result.stderr)
        assert match
        after = [match[1], match[2]]
    assert seen == list(range(1, 11))
    newest = run("messages", "--database", database, "list", "--newest", "--limit", "2")
    assert numbers(newest.stdout) == [10, 9]


def test_list_for_programs(run: Run, database: str) -> None:
    """One object a line, as the read interface has it."""
    lines = run("messages", "--database", database, "list", "--json").stdout.splitlines()
    first = json.loads(lines[0])
    assert (first["sequence"], first["verb"], first["outcome"], first["codes"]) == (1, "create", "OK", ["BUS-120"])
    assert re.fullmatch("[0-9a-f]{64}", first["digest"])
    assert json.loads(lines[1])["answer_to"] == 1


def test_show_says_what_is_known_then_the_bytes(run: Run, database: str) -> None:
    """All about one message on one screen."""
    result = run("messages", "--database", database, "show", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    facts, raw = result.stdout.split("\n\n", 1)
    assert "verb: create\n" in facts
    assert raw.encode() == CHANNELS["soap11"].render(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=0)) + b"\n"


def test_show_says_how_often_a_broker_had_handed_it_out(run: Run, tmp_path: Path) -> None:
    """Who looks for why something came twice sees that it did not come from its sender."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"

    async def keep() -> None:
        store = await open_store(url)
        async with store.transaction() as transaction:
            for times in (0, 2):
                entry = an_entry(transport=Transport.JMS, redeliveries=times)
                await transaction.log.append(entry, b"<m/>")
        await store.close()

    asyncio.run(keep())
    first, again = (run("messages", "--database", url, "show", number).stdout for number in ("1", "2"))
    assert "redeliveries" not in first
    assert "redeliveries: 2\n" in again


def test_show_raw_is_what_came(run: Run, database: str) -> None:
    """Byte for byte, also where it was no text at all."""
    result = run("messages", "--database", database, "show", "9", "--raw")
    assert (result.exit_code, result.stdout_bytes) == (0, ODD)


@pytest.mark.parametrize("sequence", [0, 11, 2**63 - 1])
def test_show_of_no_message_says_no(run: Run, database: str, sequence: int) -> None:
    """The answer is no; nothing goes to stdout."""
    result = run("messages", "--database", database, "show", sequence)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no message with sequence {sequence}" in result.stderr


def test_numbers_beyond_the_log_are_wrong_use(run: Run, database: str) -> None:
    """More than a sequence can be."""
    assert run("messages", "--database", database, "show", 2**63).exit_code == 2
    assert run("messages", "--database", database, "list", "--after", 2**63).exit_code == 2


@pytest.mark.parametrize("address", ["sqlite:///missing.db", "nonsense", "sqlite:///notes.txt", "sqlite:///."])
def test_unusable_database_is_wrong_use(run: Run, address: str) -> None:
    """A look at a log that is not there must not make an empty one."""
    Path("notes.txt").write_text("notes " * 1000)
    result = run("messages", "--database", address, "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("cimcare: ")
    assert address.removeprefix("sqlite:///") in result.stderr
    assert sorted(file.name for file in Path().iterdir()) == ["notes.txt"]


def test_database_comes_from_the_settings(run: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the file of settings of the hub nothing needs to be typed."""
    Path("hub.toml").write_text(f'database = "{database}"\n')
    assert len(run("messages", "--config", "hub.toml", "list").stdout.splitlines()) == 10
    monkeypatch.setenv("CIMCARE_DATABASE", database)
    assert len(run("messages", "list").stdout.splitlines()) == 10
    result = run("messages", "--config", "missing.toml", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "missing.toml" in result.stderr


def copy_of(database: str, tmp_path: Path) -> str:
    """A database of its own for a test that changes it."""
    shutil.copy(database.removeprefix("sqlite:///"), tmp_path / "copy.db")
    return f"sqlite:///{tmp_path / 'copy.db'}"


@pytest.mark.usefixtures("_in_a_year")
def test_purge_counts_before_it_removes(run: Run, database: str, tmp_path: Path) -> None:
    """Whoever is about to remove for good wants to see how much first."""
    place = ("messages", "--database", copy_of(database, tmp_path))
    expected = {"queries": 2, "events": 2, "refused": 4, "requests": 0, "leftovers": 0}
    for options in (["--dry-run"], ["--dry-run"], ["--actor", "somebody"]):
        result = run(*place, "purge", *options, "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"messages": expected, "deliveries": 0})
    assert numbers(run(*place, "list").stdout) == [1, 2]
    result = run(*place, "purge")
    assert result.stdout.splitlines()[-1] == "deliveries: 0"
    assert "messages, queries: 0" in result.stdout


@pytest.mark.usefixtures("_in_a_year")
def test_purge_goes_by_the_settings(run: Run, database: str, tmp_path: Path) -> None:
    """The same as the hub itself would do."""
    (tmp_path / "cimcare.toml").write_text("retention.requests_days = 30\n")
    place = ("messages", "--database", copy_of(database, tmp_path))
    assert run(*place, "purge").exit_code == 0
    assert run(*place, "list").stdout == ""


@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_purge_makes_no_database(run: Run, tmp_path: Path, option: list[str]) -> None:
    """A mistyped name is an error, and no new file."""
    result = run("messages", "--database", f"sqlite:///{tmp_path / 'typo.db'}", "purge", *option)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "typo.db" in result.stderr
    assert not (tmp_path / "typo.db").exists()


@pytest.fixture
def _in_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the command shows a time in which most of the log is too old."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2031, 6, 1, 12, tzinfo=tz)

    monkeypatch.setattr(stored, "datetime", Later)
