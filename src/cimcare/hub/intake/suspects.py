"""Messages of brokers that may be the death of the hub: how often each was begun and not ended.

Only what a broker hands out again is looked at, so an ordinary message costs nothing. A mark is written before such a
message is given to the pipeline, and taken away when the pipeline is done with it, well or not: what stays is of
messages whose process died over them, or beside them.
"""

from hashlib import sha256
from typing import Protocol

import msgspec

from cimcare.exchange.ports import Clock, Collection, Stored
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID
from cimcare.transport.channel import Origin

__all__ = ["Begun", "StoredSuspects", "Suspects"]


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """How often a message was begun."""

    times: int


_BEGUN: Collection[Begun] = Collection("hub.begun", Begun)


class Suspects(Protocol):
    """How often messages were begun and not ended. Each method raises StoreError."""

    async def times(self, origin: Origin) -> int:
        """How often."""
        ...

    async def begin(self, origin: Origin) -> None:
        """It is begun once more."""
        ...

    async def end(self, origin: Origin) -> None:
        """The pipeline is done with it."""
        ...


class StoredSuspects:
    """Remembered by the store, which outlives the process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def times(self, origin: Origin) -> int:
        """How often."""
        found = await self._store.reader.records.find(_BEGUN, _key_of(origin))
        return found.body.times if found is not None else 0

    async def begin(self, origin: Origin) -> None:
        """It is begun once more."""
        now, key = self._clock(), _key_of(origin)
        async with self._store.transaction() as transaction:
            found = await transaction.records.find(_BEGUN, key)
            times = found.body.times if found is not None else 0
            stored = Stored(mrid=key, body=Begun(times=times + 1), created_at=now, modified_at=now)
            await transaction.records.save(_BEGUN, stored)

    async def end(self, origin: Origin) -> None:
        """The pipeline is done with it."""
        async with self._store.transaction() as transaction:
            await transaction.records.drop(_BEGUN, _key_of(origin))


def _key_of(origin: Origin) -> MRID:
    return MRID(sha256(f"{origin.broker}\n{origin.place}\n{origin.key}".encode()).hexdigest())
