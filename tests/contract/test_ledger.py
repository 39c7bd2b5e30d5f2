"""What every implementation of `Ledger` has to do."""

import asyncio
from datetime import timedelta

import pytest

from cimcare.exchange.ledger import Account, Ends, Line
from cimcare.exchange.log import Direction, Outcome
from cimcare.exchange.store import Store
from tests.support.stored import NOON, an_entry

HOUR = NOON.replace(minute=0, second=0, microsecond=0)
NEXT = HOUR + timedelta(hours=1)
END = HOUR + timedelta(hours=2)


async def test_counts_by_partner_hour_account_and_column(store: Store) -> None:
    """Each figure of the balance stands where it belongs; what left a column again is taken off."""
    async with store.transaction() as transaction:
        ledger = transaction.ledger
        await ledger.count("GIS", HOUR, Account.IN, Ends.RECEIVED)
        await ledger.count("GIS", NEXT - timedelta(microseconds=1), Account.IN, Ends.RECEIVED, 2)
        await ledger.count("GIS", NOON, Account.IN, Ends.REFUSED)
        await ledger.count("GIS", NOON, Account.IN, Ends.REPEATS)
        await ledger.count("GIS", NOON, Account.OUT, Ends.DEAD, 3)
        await ledger.count("GIS", NOON, Account.OUT, Ends.DEAD, -1)
        await ledger.count("GIS", NEXT, Account.IN, Ends.RECEIVED)
        await ledger.count("", NOON, Account.IN, Ends.DELIVERED)
        inside = await ledger.lines(HOUR, END)
    assert inside == (
        Line(hour=HOUR, partner="", account=Account.IN, delivered=1),
        Line(hour=HOUR, partner="GIS", account=Account.IN, received=3, refused=1, repeats=1),
        Line(hour=HOUR, partner="GIS", account=Account.OUT, dead=2),
        Line(hour=NEXT, partner="GIS", account=Account.IN, received=1),
    )
    assert await store.reader.ledger.lines(HOUR, END) == inside


async def test_lines_are_chosen_by_hour_and_partner(store: Store) -> None:
    """One partner's yesterday is looked at alone."""
    async with store.transaction() as transaction:
        for hour in (HOUR - timedelta(hours=1), HOUR, NEXT):
            for partner in ("a", "b", "ä", "Z"):
                await transaction.ledger.count(partner, hour, Account.IN, Ends.RECEIVED)
    ledger = store.reader.ledger
    assert [line.partner for line in await ledger.lines(HOUR, NEXT)] == ["Z", "a", "b", "ä"]
    assert [line.hour for line in await ledger.lines(HOUR, END, "a")] == [HOUR, NEXT]
    assert await ledger.lines(END, END + timedelta(days=1)) == ()
    assert await ledger.lines(HOUR, END, "nobody") == ()


async def test_what_was_undone_is_not_counted(store: Store) -> None:
    """A message that was not kept is in no sum, nor is a part of one."""
    async with store.transaction() as transaction:
        await transaction.ledger.count("GIS", NOON, Account.IN, Ends.RECEIVED)
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await transaction.ledger.count("GIS", NOON, Account.IN, Ends.RECEIVED)
                await transaction.ledger.count("CRM", NOON, Account.IN, Ends.RECEIVED)
                raise LookupError("on purpose")
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            await transaction.ledger.count("GIS", NOON, Account.IN, Ends.DEAD)
            raise LookupError("on purpose")
    assert await store.reader.ledger.lines(HOUR, END) == (
        Line(hour=HOUR, partner="GIS", account=Account.IN, received=1),
    )


async def test_many_that_count_at_once_lose_nothing(store: Store) -> None:
    """The sum is right when many messages of one hour share commits."""

    async def count() -> None:
        async with store.transaction() as transaction:
            await transaction.ledger.count("GIS", NOON, Account.IN, Ends.RECEIVED)

    await asyncio.gather(*(count() for _ in range(100)))
    (line,) = await store.reader.ledger.lines(HOUR, END)
    assert line.received == 100


async def test_counts_what_came_in_and_has_no_outcome(store: Store) -> None:
    """What waits is counted from the messages themselves, so that one that got lost shows (G7)."""
    in_work = {"partner": "GIS", "received_at": HOUR}
    async with store.transaction() as transaction:
        log = transaction.log
        first = await log.append(an_entry(**in_work), b"")
        await log.append(an_entry(**in_work), b"")
        await log.append(an_entry(**in_work | {"received_at": NEXT}), b"")
        await log.append(an_entry(**in_work | {"received_at": HOUR - timedelta(microseconds=1)}), b"")
        await log.append(an_entry(**in_work | {"partner": "CRM"}), b"")
        await log.append(an_entry(**in_work | {"outcome": Outcome.OK}), b"")
        await log.append(an_entry(**in_work | {"direction": Direction.OUT}), b"")
        await log.append(an_entry(**in_work | {"repeat_of": first}), b"")
        assert await transaction.ledger.count_in_work("GIS", HOUR, NEXT) == 2
        await log.settle(first, Outcome.FAILED)
        assert await transaction.ledger.count_in_work("GIS", HOUR, NEXT) == 1
    assert await store.reader.ledger.count_in_work("GIS", HOUR, NEXT) == 1
    assert await store.reader.ledger.count_in_work("nobody", HOUR, NEXT) == 0
