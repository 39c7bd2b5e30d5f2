"""ledger and ledger check, with the exit codes that scripts go by."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from cimcare.cli import balancing
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.store import Store
from cimcare.store.opening import open_store
from tests.support.dead_letters import deliver, put, put_dead
from tests.support.stored import NOON
from tests.unit.cli.conftest import Run

DATABASE = "sqlite:///hub.db"


def on_store(deed: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await open_store(DATABASE)
        try:
            await deed(store)
        finally:
            await store.close()

    asyncio.run(run())


async def fill(store: Store) -> None:
    """Three deliveries for one partner, and one for another an hour later."""
    await deliver(store, await put(store, "a"))
    await put(store, "b")
    await put_dead(store, 1)
    await put(store, "c", "crm", created_at=NOON + timedelta(hours=1))


async def lose(store: Store) -> None:
    """Count one that nobody has."""
    async with store.transaction() as transaction:
        await transaction.ledger.count("crm", NOON, Account.OUT, Ends.RECEIVED)
        await transaction.ledger.count("", NOON, Account.IN, Ends.DELIVERED)


@pytest.fixture(autouse=True)
def _filled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evening(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2030, 6, 2, 12, 30, tzinfo=tz)

    monkeypatch.setattr(balancing, "datetime", Evening)
    Path("cimcare.toml").write_text(f'database = "{DATABASE}"\n')
    on_store(fill)


def test_the_table_is_a_line_an_hour_partner_and_account(run: Run) -> None:
    """Of the last day, if nothing else is asked for."""
    result = run("ledger")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "hour             partner account  received delivered   waiting   refused      dead   repeats   missing",
        "2030-06-01T12:00 gis     out             3         1         1         0         1         0         0",
        "2030-06-01T13:00 crm     out             1         0         1         0         0         0         0",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--partner", "crm"], ["crm"]),
        (["--since", "2030-06-01T13:00:00Z"], ["crm"]),
        (["--since", "2030-06-01T14:59:00+02:00"], ["gis", "crm"]),
        (["--since", "2030-06-01T19:10:00+05:30"], ["crm"]),
        (["--since", "0001-01-01T00:00:00+14:00"], ["gis", "crm"]),
        (["--until", "9999-12-31T23:59:59-14:00", "--since", "2030-06-01T12:59:59Z"], ["gis", "crm"]),
        (["--until", "2030-06-01T13:00:00Z"], ["gis"]),
        (["--since", "2030-06-02T00:00:00Z"], []),
    ],
)
def test_the_table_is_narrowed(run: Run, options: list[str], expected: list[str]) -> None:
    """By hours and partner, for people and programs."""
    lines = [json.loads(line) for line in run("ledger", *options, "--json").stdout.splitlines()]
    assert [line["partner"] for line in lines] == expected
    assert len(run("ledger", *options).stdout.splitlines()) == len(expected) + 1


def test_for_programs_all_columns_are_there(run: Run) -> None:
    """The sum can be made again."""
    (line,) = map(json.loads, run("ledger", "--partner", "gis", "--json").stdout.splitlines())
    assert line == {
        "hour": "2030-06-01T12:00:00Z",
        "partner": "gis",
        "account": "out",
        "received": 3,
        "delivered": 1,
        "waiting": 1,
        "refused": 0,
        "dead": 1,
        "repeats": 0,
        "missing": 0,
    }


def test_check_says_that_all_is_accounted_for(run: Run) -> None:
    """Nothing on stdout: there is nothing to name."""
    result = run("ledger", "check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "2 accounts balance\n")


def test_check_names_what_is_missing(run: Run) -> None:
    """One that got lost has an hour and a partner, so somebody can go and look (G7)."""
    on_store(lose)
    result = run("ledger", "check", "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["partner"], one["account"], one["missing"]) for one in lines] == [("", "in", -1), ("crm", "out", 1)]
    assert "2030-06-01T12:00+00:00 crm out: EXC-137 1 missing" in result.stderr
    assert "2030-06-01T12:00+00:00 - in: EXC-137 -1 missing" in result.stderr
    table = run("ledger", "check")
    assert table.exit_code == 1
    assert len(table.stdout.splitlines()) == 3


def test_check_looks_at_all_hours_unless_told_otherwise(run: Run) -> None:
    """What was lost a year ago is lost still; options may stand before or behind the word."""

    async def lose_long_ago(store: Store) -> None:
        async with store.transaction() as transaction:
            long_ago = datetime(2029, 6, 1, tzinfo=UTC)
            await transaction.ledger.count("crm", long_ago, Account.OUT, Ends.RECEIVED)

    on_store(lose_long_ago)
    assert run("ledger", "check").exit_code == 1
    since = ("--since", "2030-01-01T00:00:00Z")
    assert run("ledger", "check", *since).exit_code == 0
    assert run("ledger", *since, "check").exit_code == 0
    assert run("ledger", "--partner", "gis", "check").exit_code == 0
    assert run("ledger", "check", "--until", "2029-05-01T00:00:00Z").exit_code == 0
    assert json.loads(run("ledger", "--json", "check").stdout)["missing"] == 1


@pytest.mark.parametrize("arguments", [[], ["check"]])
def test_a_database_that_is_not_there_is_wrong_use(run: Run, arguments: list[str]) -> None:
    """Nothing is missing from a ledger that is not there, and that is no good news."""
    result = run("ledger", "--database", "sqlite:///typo.db", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "typo.db" in result.stderr
