"""Requests without an outcome whose hub is gone."""

from datetime import timedelta

import pytest

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Direction, Outcome
from cimcare.hub.operation import stale
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.stale import settle_stale
from cimcare.store.memory import MemoryStore
from tests.support.stored import NOON, an_entry

HOUR = timedelta(hours=1)


async def test_what_nobody_works_on_is_refused_and_booked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be in work for ever, and keep its message from retention."""
    monkeypatch.setattr(stale, "_TOGETHER", 2)
    store = MemoryStore()
    ages = [3, 3, 2, 2, 2, 1]
    for hours in ages:
        async with store.transaction() as transaction:
            at = NOON - hours * HOUR
            await transaction.log.append(an_entry(received_at=at, partner="CIS"), b"")
            await transaction.ledger.count("CIS", at, Account.IN, Ends.RECEIVED)
    async with store.transaction() as transaction:
        await transaction.log.append(an_entry(received_at=NOON - 9 * HOUR, direction=Direction.OUT), b"")

    assert await settle_stale(store, NOON - 1.5 * HOUR) == 5
    assert await settle_stale(store, NOON - 1.5 * HOUR) == 0

    entries = [await store.reader.log.find(sequence) for sequence in range(1, 8)]
    assert [(one.outcome, one.codes) for one in entries if one is not None] == [
        *[(Outcome.FAILED, ("NET-105",))] * 5,
        *[(Outcome.NONE, ())] * 2,
    ]
    found = await balances(store.reader, NOON - 9 * HOUR, NOON)
    assert [(one.line.refused, one.waiting, one.missing) for one in found] == [(2, 0, 0), (3, 0, 0), (0, 1, 0)]
    assert (await verify(store.reader)).is_whole
