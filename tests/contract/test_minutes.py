"""What is kept by the minute, and instants among what is numbered: the same on every store."""

from datetime import timedelta

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import LogSelection
from cimcare.exchange.store import Store
from cimcare.hub.operation.minutes import find_minute, keep_minute, keeps_since, list_minutes, load_recent
from cimcare.hub.operation.positions import last_audit_row, last_delivery, last_message
from tests.support.stored import NOON, a_delivery, an_entry

_MINUTE = timedelta(minutes=1)


async def test_an_instant_is_found_among_messages_deliveries_and_rows_of_the_trail(store: Store) -> None:
    """By halving, so it must hold of numbers as each store gives them."""
    for number in range(9):
        at = NOON + number * _MINUTE
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(received_at=at), b"<m/>")
            await transaction.outbox.enqueue(a_delivery(f"T {number}", created_at=at))
            await transaction.audit.append(Note(at=at, action=Action.HALT, subject=str(number)))
    reader = store.reader
    entries = await reader.log.select(LogSelection())
    assert await last_message(reader.log, NOON - _MINUTE) == 0
    for number, entry in enumerate(entries):
        at = NOON + (number + 0.5) * _MINUTE
        assert await last_message(reader.log, at) == entry.sequence
        (row,) = await reader.audit.rows(await last_audit_row(reader.audit, at) - 1, 1)
        assert row.at <= at
        delivery = await reader.outbox.find(await last_delivery(reader.outbox, at))
        assert delivery is not None
        assert delivery.created_at == NOON + number * _MINUTE


async def test_minutes_are_kept_once_found_again_and_forgotten(store: Store) -> None:
    """And the pace is what the ledger counted since."""
    for number in range(4):
        now = NOON + number * _MINUTE
        assert await keep_minute(store, now, has_outages=True, keep=timedelta(days=1))
        assert not await keep_minute(store, now, has_outages=True, keep=timedelta(days=1))
        async with store.transaction() as transaction:
            await transaction.ledger.count("CIS", now, Account.IN, Ends.RECEIVED, 10)
    records = store.reader.records
    assert await keeps_since(records) == NOON
    found = await find_minute(records, NOON + 2.5 * _MINUTE)
    assert found is not None
    assert (found.at, found.incidents, [one.received for one in found.counted]) == (NOON + 2 * _MINUTE, 0, [20])
    pace = (await load_recent(store.reader, NOON + 4 * _MINUTE, _MINUTE)).pace(_MINUTE)
    assert pace is not None
    assert (pace.received, pace.over) == (10, _MINUTE)
    await keep_minute(store, NOON + timedelta(days=3), has_outages=False, keep=timedelta(days=1))
    kept = await list_minutes(records, NOON, NOON + timedelta(days=4), limit=100)
    assert [one.incidents for one in kept] == [None]
