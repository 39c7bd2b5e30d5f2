"""Work that one process of several does for all of them: who has it in hand stands in the database."""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Collection, Records, Stored
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID

__all__ = ["Turns"]


class _Turn(msgspec.Struct, frozen=True, kw_only=True):
    """When a process last began, or went on with, what one of them does for all."""

    at: datetime
    process: str


_TURNS: Collection[_Turn] = Collection("hub.upkeep", _Turn)


class Turns:
    """Turns of one process.

    Args:
        store: Where all processes look.
        process: A name that no other process has.
    """

    def __init__(self, store: Store, process: str) -> None:
        self._store = store
        self._process = process

    async def take(self, name: str, now: datetime, pause: timedelta) -> bool:
        """Whether nobody has done this within the pause; then it is noted that somebody does now.

        A turn that was taken in the future, by a clock that was set back since, holds nobody up. Raises StoreError.
        """
        if await _is_taken(self._store.reader.records, name, now, pause):
            return False  # without a transaction, of which most would be for nothing
        async with self._store.transaction() as transaction:
            if await _is_taken(transaction.records, name, now, pause):
                return False
            await self._note(transaction.records, name, now)
        return True

    async def keep(self, name: str, now: datetime) -> bool:
        """Whether the turn is still with this process; then it is as if it were taken now. Raises StoreError."""
        async with self._store.transaction() as transaction:
            last = await transaction.records.find(_TURNS, MRID(name))
            if last is None or last.body.process != self._process:
                return False
            await self._note(transaction.records, name, now)
        return True

    async def _note(self, records: Records, name: str, now: datetime) -> None:
        turn = _Turn(at=now, process=self._process)
        await records.save(_TURNS, Stored(mrid=MRID(name), body=turn, created_at=now, modified_at=now))


async def _is_taken(records: Records, name: str, now: datetime, pause: timedelta) -> bool:
    last = await records.find(_TURNS, MRID(name))
    return last is not None and timedelta() <= now - last.body.at < pause
