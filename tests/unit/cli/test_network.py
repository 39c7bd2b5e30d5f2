"""network: check, import, show, trace, open and close, with the exit codes that scripts go by."""

import asyncio
import json
from pathlib import Path

import pytest

from cimcare.exchange.audit import AuditRow
from cimcare.store.opening import open_reader, open_store
from tests.unit.cli.conftest import Run

DEVICES = """device,kind,from,to,normally_open
SUB,source,,,
CB-1,breaker,SUB,,
F-1,fuse,CB-1,,
TX-1,transformer,F-1,,
CB-2,breaker,SUB,,
TIE,switch,CB-1,CB-2,yes
"""
POINTS = """point,at,location,customers,critical
UP-1,TX-1,SL-1,,yes
UP-2,TX-1,SL-2,2,
UP-3,CB-2,SL-3,,
"""


@pytest.fixture
def files(run: Run) -> list[str]:
    """Tables beside an empty database."""

    async def make() -> None:
        store = await open_store("sqlite:///cimcare.db")
        await store.close()

    asyncio.run(make())
    Path("devices.csv").write_text(DEVICES)
    Path("points.csv").write_text(POINTS)
    return ["devices.csv", "points.csv"]


@pytest.fixture
def known(run: Run, files: list[str]) -> list[str]:
    """The same, imported."""
    assert run("network", "import", *files, "--actor", "gis").exit_code == 0
    return files


def trail() -> list[AuditRow]:
    async def read() -> list[AuditRow]:
        async with open_reader("sqlite:///cimcare.db") as reader:
            return list(await reader.audit.rows())

    return asyncio.run(read())


def test_check_says_what_is_there(run: Run, files: list[str]) -> None:
    """Before anything is stored; no database is needed."""
    Path("cimcare.db").unlink()
    result = run("network", "check", *files)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "devices: 6 (1 source, 2 breaker, 1 fuse, 1 transformer, 1 switch)",
        "lines: 0",
        "points: 3, customers: 4",
    ]
    found = json.loads(run("network", "check", *files, "--json").stdout)
    assert (found["points"], found["customers"], found["findings"]) == (3, 4, [])


def test_check_warns_of_a_loop_and_lets_it_pass(run: Run, files: list[str]) -> None:
    """A feeder that is run as a ring is odd, and can be imported."""
    Path("devices.csv").write_text(DEVICES.replace("yes", "no"))
    result = run("network", "check", *files)
    assert result.exit_code == 0
    assert "warning: device TIE: REF-126 a loop of 3 devices: TIE, CB-2, CB-1" in result.stderr


@pytest.mark.parametrize("command", ["check", "import"])
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("F-1,fuse", "F-1,lemon", "fatal: devices.csv, column kind, line 4: REF-121 lemon"),
        ("SUB,source,,,", "SUB,fuse,X,,", "fatal: network: REF-124 6 devices and no source"),
        ("device,", "thing,", "fatal: devices.csv, line 1: REF-120 columns thing, kind, from, to, normally_open"),
    ],
)
def test_what_cannot_be_used_is_refused(
    run: Run, files: list[str], command: str, old: str, new: str, told: str
) -> None:
    """With the place where it is to be mended, and nothing written."""
    Path("devices.csv").write_text(DEVICES.replace(old, new))
    result = run("network", command, *files)
    assert result.exit_code == 1
    assert told in result.stderr
    assert trail() == []


def test_a_row_of_too_many_devices_is_refused(run: Run, files: list[str]) -> None:
    """By check as by import."""
    rows = "".join(f"S-{at},switch,{f'S-{at - 1}' if at else 'CB-1'},,\n" for at in range(1001))
    Path("devices.csv").write_text(DEVICES + rows)
    for command in ("check", "import"):
        result = run("network", command, *files)
        assert result.exit_code == 1
        assert "REF-129" in result.stderr


@pytest.mark.parametrize("content", [None, "<rdf:RDF", "<!DOCTYPE a><a/>"])
def test_files_that_cannot_be_read_are_told(run: Run, files: list[str], content: str | None) -> None:
    """A missing file is wrong use, a broken one the answer no."""
    if content is not None:
        Path("model.xml").write_text(content)
    result = run("network", "check", "model.xml")
    assert result.exit_code == (2 if content is None else 1)
    assert ("model.xml: cannot be read" if content is None else "fatal: ") in result.stderr


def test_import_says_what_differs(run: Run, files: list[str]) -> None:
    """And the audit trail who did it."""
    result = run("network", "import", *files, "--actor", "gis")
    assert result.exit_code == 0
    devices, points = result.stdout.splitlines()
    assert devices.startswith("devices: 6 added (")
    assert points == "points: 3 added (UP-1, UP-2, UP-3), 0 changed, 0 removed, 0 as they were"
    (row,) = trail()
    assert (row.action, row.actor, row.subject) == ("network", "gis", "network")
    assert row.details == "devices: 6 added, 0 changed, 0 removed; points: 3 added, 0 changed, 0 removed"

    again = run("network", "import", *files)
    assert again.stdout.splitlines()[0] == "devices: 0 added, 0 changed, 0 removed, 6 as they were"
    assert len(trail()) == 1


def test_a_dry_run_writes_nothing(run: Run, known: list[str]) -> None:
    """What would be new and gone is told by name."""
    Path("devices.csv").write_text(DEVICES.replace("TIE", "TIE-9"))
    for _ in range(2):
        result = run("network", "import", *known, "--dry-run")
        assert "1 added (TIE-9), 0 changed, 1 removed (TIE)" in result.stdout
        assert result.stderr == "nothing was written\n"
    assert len(trail()) == 1


def test_what_was_operated_is_left_and_told(run: Run, known: list[str]) -> None:
    """Unless the file is said to know better."""
    run("network", "open", "F-1")
    result = run("network", "import", *known)
    assert "left as they stand, other than in the files: F-1" in result.stderr
    found = json.loads(run("network", "import", *known, "--take-states", "--json").stdout)
    assert (found["kept"], found["devices"]["changed"]) == ([], 2)


def test_show_sums_up_the_feeders(run: Run, known: list[str]) -> None:
    """Where customers are, and what does not stand as it should."""
    run("network", "open", "F-1")
    assert run("network", "show").stdout.splitlines() == [
        "CB-1: 3 customers, 1 critical; 1 breaker, 1 fuse, 1 transformer; operated: F-1; not fed: 1 devices",
        "CB-2: 1 customers, 0 critical; 1 breaker, 1 switch",
        "SUB: 4 customers, 1 critical; 1 source",
    ]
    feeders = [json.loads(line) for line in run("network", "show", "--json").stdout.splitlines()]
    assert [(one["name"], one["customers"], one["operated"]) for one in feeders] == [
        ("CB-1", 3, ["F-1"]),
        ("CB-2", 1, []),
        ("SUB", 4, []),
    ]


def test_show_one_feeder_as_a_tree(run: Run, known: list[str]) -> None:
    """Each device stands below the one that feeds it."""
    run("network", "open", "F-1")
    assert run("network", "show", "--feeder", "CB-1").stdout.splitlines() == [
        "breaker CB-1: 3 customers, 1 critical",
        "  fuse F-1: 3 customers, 1 critical, open",
        "    transformer TX-1: 3 customers, 1 critical, not fed",
    ]
    assert run("network", "show", "--feeder", "CB-2").stdout.splitlines() == [
        "breaker CB-2: 1 customers",
        "  switch TIE: 0 customers, open, as it normally is",
    ]
    lines = run("network", "show", "--feeder", "CB-1", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["CB-1", "F-1", "TX-1"]


def test_show_says_what_is_not_there(run: Run, files: list[str]) -> None:
    assert run("network", "show").exit_code == 1
    run("network", "import", *files)
    result = run("network", "show", "--feeder", "CB-9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no device belongs to feeder CB-9" in result.stderr


@pytest.mark.parametrize("name", ["UP-1", "SL-1", "TX-1"])
def test_trace_shows_the_way_up(run: Run, known: list[str], name: str) -> None:
    """The first question about any call."""
    result = run("network", "trace", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "transformer TX-1: 3 customers, 1 critical",
        "fuse F-1: 3 customers, 1 critical",
        "breaker CB-1: 3 customers, 1 critical",
        "source SUB: 4 customers, 1 critical",
    ]
    found = json.loads(run("network", "trace", name, "--json").stdout)
    assert [device["name"] for device in found["path"]] == ["TX-1", "F-1", "CB-1", "SUB"]


def test_trace_says_that_it_does_not_know(run: Run, known: list[str]) -> None:
    """Unknown, and known without supply, are two things."""
    result = run("network", "trace", "UP-9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "knows no device, usage point, meter or service location UP-9" in result.stderr
    Path("points.csv").write_text(POINTS + "UP-9,ISLAND,,,\n")
    Path("lines.csv").write_text("from,to\nISLAND,ISLAND-2\n")
    assert run("network", "import", *known, "lines.csv").exit_code == 0
    result = run("network", "trace", "UP-9", "--json")
    assert (result.exit_code, json.loads(result.stdout)["device"]) == (1, None)
    assert "UP-9 is known, and no device of the network leads to it" in result.stderr


def test_open_and_close_are_recorded(run: Run, known: list[str]) -> None:
    """With what it means for customers, and with who said so and why."""
    result = run("network", "open", "F-1", "--actor", "dispatcher 4", "--reason", "tree on the line")
    assert (result.exit_code, result.stdout) == (0, "fuse F-1: 3 customers, 1 critical, open\n")
    assert result.stderr == "customers: 3 without supply now, 0 with supply again\n"
    assert run("network", "open", "F-1").stderr == "it stood so already\n"
    found = json.loads(run("network", "close", "F-1", "--json").stdout)
    assert (found["gained"], found["changed"], found["findings"]) == (3, 2, [])
    rows = trail()[1:]
    assert (rows[0].action, rows[0].actor, rows[0].subject) == ("operate", "dispatcher 4", "F-1")
    assert rows[0].details == "opened, 3 customers lost supply, 0 got it; tree on the line"
    assert rows[1].details == "closed, 0 customers lost supply, 3 got it"


def test_a_loop_that_was_closed_is_told(run: Run, known: list[str]) -> None:
    result = run("network", "close", "TIE")
    assert result.exit_code == 0
    assert "warning: device TIE: REF-126 a loop of 3 devices: TIE, CB-2, CB-1" in result.stderr


@pytest.mark.parametrize("name", ["TX-1", "F-9"])
def test_what_cannot_be_operated_is_refused(run: Run, known: list[str], name: str) -> None:
    result = run("network", "open", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "REF-130" in result.stderr
    assert len(trail()) == 1


def test_a_database_that_is_not_there_is_wrong_use(run: Run) -> None:
    """A mistyped name must not make a new one."""
    result = run("network", "--database", "sqlite:///other.db", "show")
    assert result.exit_code == 2
    assert not Path("other.db").exists()
