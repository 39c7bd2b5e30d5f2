"""consents: give, withdraw, list, scopes; with the exit codes that scripts go by, and rows in the audit trail."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.store import Store
from cimcare.samples.northlake import PREMISES_COUNT, find_premises
from cimcare.store.opening import open_store
from cimcare.systems.cis import seed_town
from cimcare.systems.cis.disclosure import MEMBERS, Scope
from cimcare.systems.cis.town import is_vacant
from tests.unit.cli.conftest import Run

T = TypeVar("T")

DATABASE = "sqlite:///hub.db"
HOME = next(find_premises(index) for index in range(PREMISES_COUNT) if not is_vacant(index))


def on_store(deed: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = await open_store(DATABASE)
        try:
            return await deed(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def town(store: Store) -> None:
    async with store.transaction() as transaction:
        await seed_town(transaction.records, datetime(2026, 3, 2, tzinfo=UTC))


async def rows(store: Store) -> tuple[AuditRow, ...]:
    return tuple(row for row in await store.reader.audit.rows() if row.action is Action.CONSENT)


@pytest.fixture
def seeded(run: Run) -> Run:
    on_store(town)

    def with_database(*arguments: object, **how: bytes) -> object:
        return run("consents", "--database", DATABASE, *arguments, **how)

    return with_database  # type: ignore[return-value]


def test_given_listed_and_withdrawn_with_a_row_each(seeded: Run) -> None:
    """By the number on the bill; the trail says who did it."""
    given = seeded("give", HOME.customer, "RETAIL", "agreement", "contact", "--actor", "Ada")
    assert (given.exit_code, "holds  agreement contact" in given.stdout) == (0, True)
    (line,) = seeded("list", "--third-party", "RETAIL", "--json").stdout.splitlines()
    told = json.loads(line)
    assert (told["customer"], told["scopes"]) == (HOME.mrid("customer"), ["agreement", "contact"])
    assert seeded("withdraw", HOME.mrid("customer"), "RETAIL", "--actor", "Bob").exit_code == 0
    assert "withdrawn" in seeded("list", "--customer", HOME.customer).stdout
    again = seeded("withdraw", HOME.customer, "RETAIL")
    assert (again.exit_code, again.stdout) == (1, "")
    first, second = on_store(rows)
    assert (first.actor, second.actor) == ("Ada", "Bob")
    assert first.details.startswith("given: agreement contact from ")
    assert second.details == "withdrawn"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("give", "C-nobody", "RETAIL", "agreement"), 1),
        (("give", HOME.customer, "RETAIL"), 2),
        (("give", HOME.customer, "RETAIL", "everything"), 2),
        (
            (
                "give",
                HOME.customer,
                "RETAIL",
                "agreement",
                "--from",
                "2026-05-01T00:00:00+0000",
                "--until",
                "2026-04-01T00:00:00+0000",
            ),
            2,
        ),
        (("withdraw", HOME.customer, "RETAIL"), 1),
        (("list", "--customer", "C-nobody"), 1),
        (("list", "--after", "x"), 2),
    ],
)
def test_what_cannot_be_done_says_so_and_leaves_nothing(seeded: Run, arguments: tuple[str, ...], code: int) -> None:
    """A consent for nobody, or for ever in the past."""
    result = seeded(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr
    assert on_store(rows) == ()


def test_long_lists_go_on_behind_a_customer(seeded: Run) -> None:
    """Page by page."""
    homes = [find_premises(index) for index in range(12) if not is_vacant(index)][:3]
    for home in homes:
        seeded("give", home.customer, "RETAIL", "agreement")
    first = seeded("list", "--third-party", "RETAIL", "--limit", 2)
    assert len(first.stdout.splitlines()) == 2
    after = first.stderr.rpartition("--after ")[2].strip()
    rest = seeded("list", "--third-party", "RETAIL", "--after", after)
    assert len(rest.stdout.splitlines()) == 1
    assert homes[2].mrid("customer") in rest.stdout


def test_scopes_are_shown_with_their_members(run: Run) -> None:
    """What a clerk reads out before the customer says yes."""
    lines = run("consents", "scopes").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(Scope)
    assert lines[0] == f"agreement: {', '.join(MEMBERS[Scope.AGREEMENT])}"
