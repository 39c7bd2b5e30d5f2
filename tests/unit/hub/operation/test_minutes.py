"""What is kept once a minute, and what is made of it."""

from datetime import timedelta

import pytest

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.ports import Selection
from cimcare.hub.operation.minutes import MINUTES, STANDINGS, find_minute, keep_minute, list_minutes, load_recent
from cimcare.hub.operation.positions import last_delivery, last_message
from cimcare.store.memory import MemoryStore
from tests.support.stored import a_delivery, an_entry
from tests.unit.hub.conftest import NOON

KEEP = timedelta(days=1)


async def count(store: MemoryStore, minutes: float, number: int) -> None:
    async with store.transaction() as transaction:
        at = NOON + timedelta(minutes=minutes)
        await transaction.ledger.count("CIS", at, Account.IN, Ends.RECEIVED, number)


async def keep(store: MemoryStore, minutes: float) -> bool:
    return await keep_minute(store, NOON + timedelta(minutes=minutes), has_outages=True, keep=KEEP)


async def test_a_minute_is_kept_once_whichever_process_comes_first() -> None:
    """Several processes would else write the same over and over."""
    store = MemoryStore()
    assert await keep(store, 0.1)
    assert not await keep(store, 0.9)
    assert await keep(store, 1)
    assert len(await store.reader.records.select(MINUTES, Selection())) == 2


async def test_the_pace_counts_over_the_hour() -> None:
    """A storm does not pause when the hour strikes."""
    store = MemoryStore()
    await count(store, 57.5, 100)
    await keep(store, 58)
    await count(store, 58.5, 30)
    await keep(store, 59)
    await count(store, 59.5, 7)
    await count(store, 60.2, 5)
    quarter_hour = timedelta(minutes=15)
    recent = await load_recent(store.reader, NOON + timedelta(minutes=60.5), quarter_hour)
    minute, quarter = recent.pace(timedelta(minutes=1)), recent.pace(quarter_hour)
    assert minute is not None
    assert quarter is not None
    assert (minute.received, minute.over) == (12, timedelta(minutes=1.5))
    assert minute.per_hour == pytest.approx(480)
    assert (quarter.received, quarter.over) == (42, timedelta(minutes=2.5))


async def test_no_pace_is_made_up_where_no_minute_is_kept() -> None:
    """A hub that has just begun knows nothing of the minute before."""
    store = MemoryStore()
    await count(store, 0, 100)
    recent = await load_recent(store.reader, NOON, timedelta(minutes=1))
    assert recent.pace(timedelta(minutes=1)) is None
    assert recent.course() == ()


async def test_the_course_of_the_pace_ends_now_and_has_gaps() -> None:
    """Where no hub ran there is no pace, not one that is low."""
    store = MemoryStore()
    await keep(store, 0)
    for minute in (1, 6, 7):
        await count(store, minute - 0.5, 2 * minute)
        await keep(store, minute)
    await count(store, 7.5, 5)
    recent = await load_recent(store.reader, NOON + timedelta(minutes=8), timedelta(minutes=15))
    course = [((at - NOON) / timedelta(minutes=1), pace and pace.received) for at, pace in recent.course()]
    assert course == [(1, 2), (6, None), (7, 14), (8, 5)]
    later = await load_recent(store.reader, NOON + timedelta(minutes=12), timedelta(minutes=15))
    assert [pace and pace.received for _, pace in later.course()] == [2, None, 14], "silence is not a pace"


async def test_a_minute_is_found_by_any_instant_in_it_and_not_long_after() -> None:
    """What stood an hour before a hub was started anew is not how it stood."""
    store = MemoryStore()
    await keep(store, 0.5)
    records = store.reader.records
    assert await find_minute(records, NOON + timedelta(minutes=0.4)) is None
    for minutes in (0.5, 0.9, 2, 4):
        assert await find_minute(records, NOON + timedelta(minutes=minutes)) is not None
    assert await find_minute(records, NOON + timedelta(minutes=30)) is None


async def test_minutes_are_forgotten_when_they_are_too_old() -> None:
    """With what was out then; each removes a few, so that none takes long."""
    store = MemoryStore()
    for minutes in range(25):
        await keep(store, minutes)
    for minutes in range(3):
        await keep_minute(store, NOON + timedelta(days=2, minutes=minutes), has_outages=False, keep=KEEP)
    kept = await list_minutes(store.reader.records, NOON, NOON + timedelta(days=3), limit=100)
    assert len(kept) == 3
    assert kept[0].incidents is None
    assert await store.reader.records.select(STANDINGS, Selection()) == ()


@pytest.mark.parametrize("missing", [(), (1, 2, 3), (40, 41), (99, 100), (50,)])
async def test_the_place_of_an_instant_is_found_whatever_numbers_are_missing(missing: tuple[int, ...]) -> None:
    """Retention leaves gaps, and so do transactions that were undone."""
    store = MemoryStore()
    async with store.transaction() as transaction:
        for number in range(100):
            await transaction.log.append(an_entry(received_at=NOON + timedelta(seconds=number)), b"")
    async with store.transaction() as transaction:
        await transaction.log.remove(missing)
    left = [number for number in range(1, 101) if number not in missing]
    for second in range(-1, 101):
        found = await last_message(store.reader.log, NOON + timedelta(seconds=second))
        wanted = [number for number in left if number <= second + 1]
        assert [number for number in left if number <= found] == wanted


async def test_the_place_among_deliveries_is_found_too() -> None:
    """By when they were put in."""
    store = MemoryStore()
    async with store.transaction() as transaction:
        for number in range(7):
            await transaction.outbox.enqueue(a_delivery(created_at=NOON + timedelta(minutes=number)))
    assert await last_delivery(store.reader.outbox, NOON + timedelta(minutes=3.5)) == 4
    assert await last_delivery(store.reader.outbox, NOON - timedelta(minutes=1)) == 0
