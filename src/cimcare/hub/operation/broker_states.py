"""How it is with brokers, of all processes of a hub: each writes what it sees, and whoever asks reads.

What a process that has ended wrote last goes after a while.
"""

from collections.abc import Collection as Many
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.exchange.store import Store
from cimcare.hub.intake.listening import BrokerState
from cimcare.model.identity import MRID

__all__ = ["SeenBroker", "list_brokers", "note_brokers"]

_MANY = 10_000


class SeenBroker(msgspec.Struct, frozen=True, kw_only=True):
    """A broker as one process saw it then."""

    process: str
    seen_at: datetime
    broker: BrokerState


_SEEN: Collection[SeenBroker] = Collection("hub.brokers", SeenBroker)


async def note_brokers(
    store: Store, states: Many[BrokerState], *, process: str, now: datetime, hold: timedelta
) -> None:
    """Write what this process sees, and drop what was not renewed within `hold`. Raises StoreError."""
    found = await store.reader.records.select(_SEEN, Selection(limit=_MANY))
    names = {state.name for state in states}
    old = [
        one.mrid
        for one in found
        if now - one.body.seen_at > hold or (one.body.process == process and one.body.broker.name not in names)
    ]
    if not states and not old:
        return
    async with store.transaction() as transaction:
        for mrid in old:
            await transaction.records.drop(_SEEN, mrid)
        for state in states:
            seen = SeenBroker(process=process, seen_at=now, broker=state)
            mrid = MRID(f"{state.name} {process}")
            await transaction.records.save(_SEEN, Stored(mrid=mrid, body=seen, created_at=now, modified_at=now))


async def list_brokers(records: Records) -> tuple[SeenBroker, ...]:
    """What all processes saw last, by broker and process. Raises StoreError."""
    found = await records.select(_SEEN, Selection(limit=_MANY))
    return tuple(sorted((one.body for one in found), key=lambda one: (one.broker.name, one.process)))
