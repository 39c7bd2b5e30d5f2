"""The ledger held against what waits."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.ledger import Account, Balance, Line
from cimcare.exchange.store import Reader
from cimcare.hub.operation.balance import balances

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Books:
    """A ledger and an outbox of nothing but numbers. `between` happens before each read but the first."""

    def __init__(self, *lines: Line, waiting: dict[tuple[str, datetime, Account], int] | None = None) -> None:
        self.lines_now = {(line.hour, line.partner, line.account): line for line in lines}
        self.waiting = Counter(waiting or {})
        self.between: list[Callable[[], None]] = []
        self.reads = 0
        ledger = SimpleNamespace(lines=self._lines, count_in_work=self._counter(Account.IN))
        outbox = SimpleNamespace(count_open=self._counter(Account.OUT))
        self.reader = cast("Reader", SimpleNamespace(ledger=ledger, outbox=outbox))

    def count(self, line: Line, waiting: int = 0, **columns: int) -> None:
        key = (line.hour, line.partner, line.account)
        was = self.lines_now[key]
        self.lines_now[key] = msgspec.structs.replace(
            was, **{name: getattr(was, name) + by for name, by in columns.items()}
        )
        self.waiting[line.partner, line.hour, line.account] += waiting

    def _step(self) -> None:
        self.reads += 1
        if self.reads > 1 and self.between:
            self.between.pop(0)()

    async def _lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        self._step()
        found = (line for _, line in sorted(self.lines_now.items()))
        return tuple(one for one in found if since <= one.hour < until and partner in ("", one.partner))

    def _counter(self, account: Account) -> object:
        async def count(partner: str, since: datetime, until: datetime) -> int:
            self._step()
            return sum(
                number
                for (name, at, of), number in self.waiting.items()
                if (name, of) == (partner, account) and since <= at < until
            )

        return count

    async def balances(self, partner: str = "", hours: int = 24) -> tuple[Balance, ...]:
        return await balances(self.reader, NOON - hours * HOUR, NOON + HOUR, partner)


def a_line(account: Account = Account.OUT, partner: str = "OMS", hour: datetime = NOON, **columns: int) -> Line:
    return Line(hour=hour, partner=partner, account=account, **columns)


async def test_what_waits_makes_up_for_what_has_not_ended() -> None:
    """Each account has its own rows: deliveries on the way out, messages without outcome on the way in."""
    books = Books(
        a_line(received=10, delivered=4, refused=1, dead=2),
        a_line(Account.IN, received=5, delivered=2, refused=1, repeats=1),
        waiting={("OMS", NOON, Account.OUT): 3, ("OMS", NOON, Account.IN): 1},
    )
    assert [(one.line.account, one.waiting, one.missing) for one in await books.balances()] == [
        (Account.IN, 1, 0),
        (Account.OUT, 3, 0),
    ]


@pytest.mark.parametrize(("waiting", "missing"), [(2, 1), (0, 3), (5, -2)])
async def test_a_row_too_few_or_too_many_shows(waiting: int, missing: int) -> None:
    """That is what the ledger is for."""
    books = Books(a_line(received=7, delivered=4), waiting={("OMS", NOON, Account.OUT): waiting})
    (found,) = await books.balances()
    assert (found.waiting, found.missing) == (waiting, missing)


async def test_something_that_waits_where_nothing_was_counted_shows() -> None:
    """A line of the ledger that was taken away leaves its rows."""
    books = Books(a_line(), waiting={("OMS", NOON - 5 * HOUR, Account.OUT): 2})
    assert [(one.line.hour, one.missing) for one in await books.balances()] == [(NOON - 5 * HOUR, -2), (NOON, 0)]


async def test_only_the_hours_and_the_partner_asked_for() -> None:
    """Part of an hour asks for all of it."""
    books = Books(
        a_line(received=1, hour=NOON - HOUR), a_line(received=2), a_line(received=3, partner="WMS"), a_line(Account.IN)
    )
    found = await balances(books.reader, NOON + HOUR / 2, NOON + 0.6 * HOUR, "OMS")
    assert [(one.line.account, one.missing) for one in found] == [(Account.IN, 0), (Account.OUT, 2)]


async def test_long_times_in_which_nothing_waits_cost_little() -> None:
    """A year of hours is looked at several times a minute."""
    books = Books(*(a_line(received=1, delivered=1, hour=NOON - hours * HOUR) for hours in range(8000)))
    assert len(await books.balances(hours=8000)) == 8000
    assert books.reads == 2


async def test_what_moves_between_two_reads_is_not_missing() -> None:
    """A courier that delivers while the ledger is read must not raise an alarm."""
    line = a_line(received=5, delivered=2)
    books = Books(line, waiting={("OMS", NOON, Account.OUT): 3})
    deliver = lambda: books.count(line, waiting=-1, delivered=1)  # noqa: E731
    books.between = [deliver]
    (found,) = await books.balances()
    assert found.missing == 0
    books = Books(line, waiting={("OMS", NOON, Account.OUT): 3})
    books.between = [deliver, lambda: None, lambda: None, deliver, deliver]
    (found,) = await books.balances()
    assert found.missing == 0


async def test_what_is_missing_from_a_line_that_moves_shows() -> None:
    """Under load an hour is hardly ever still; a loss must show all the same."""
    line = a_line(received=50, delivered=2)
    books = Books(line, waiting={("OMS", NOON, Account.OUT): 38})
    books.between = [lambda: books.count(line, waiting=1, received=1)] * 20
    (found,) = await books.balances()
    assert 8 <= found.missing <= 10


@given(st.data())
async def test_no_order_of_events_makes_a_sound_ledger_look_wrong(data: st.DataObject) -> None:
    """Whatever is put in or ends between any two reads, each with its count, nothing is missing."""
    line = a_line(received=9, delivered=3)
    books = Books(line, waiting={("OMS", NOON, Account.OUT): 6})

    def happen() -> None:
        for kind in data.draw(st.lists(st.sampled_from(("received", "delivered", "dead", "refused")), max_size=3)):
            books.count(line, waiting=1 if kind == "received" else -1, **{kind: 1})

    books.between = [happen] * 20
    assert [one.missing for one in await books.balances()] == [0]
