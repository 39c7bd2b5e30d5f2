"""Objects of the built-in systems in memory: the reference of what `Records` means.

Frozen values are handed out as they are.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.exchange.store import StoreError
from cimcare.model.identity import MRID
from cimcare.store.memory_tables import Place, Record, Tables

__all__ = ["MemoryRecords", "MemoryRecordsReader"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


class MemoryRecords:
    """Implements `cimcare.exchange.ports.Records`, over tables of its own if none are given."""

    def __init__(self, tables: Tables | None = None) -> None:
        self._tables = tables or Tables()

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID; None if there is none."""
        record = self._find(collection.name, mrid)
        # A collection name stands for one type of body, which the table cannot express.
        return None if record is None else cast("Stored[BodyT]", record.stored)

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        places = self._tables.records.places((collection.name, key))
        return cast("tuple[Stored[BodyT], ...]", tuple(self._stored(places)))

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match, in the order asked for; none if `after` names an object that is not there."""
        start: Place | None = None
        if selection.after is not None:
            last = self._tables.records.places((collection.name, selection.after))
            if not last:
                return ()
            start = last[0]
        found: list[Stored[msgspec.Struct]] = []
        places = self._candidates(collection.name, selection)
        if start is not None:
            at = bisect_left(places, start) if selection.newest_first else bisect_right(places, start)
            places = places[:at] if selection.newest_first else places[at:]
        for stored in self._stored(reversed(places) if selection.newest_first else places):
            if len(found) >= selection.limit:
                break
            if _is_wanted(stored, selection):
                found.append(stored)
        return cast("tuple[Stored[BodyT], ...]", tuple(found))

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        tables = self._tables
        before = self._find(collection.name, stored.mrid)
        if before is None:
            number = tables.numbers.record + 1
            tables.give(tables.numbers._replace(record=number))
        else:
            number = before.number
        tables.records.put(number, Record(number, collection.name, cast("Stored[msgspec.Struct]", stored)))

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order."""
        for one in stored:
            await self.save(collection, one)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        before = self._find(collection.name, mrid)
        if before is not None:
            self._tables.records.put(before.number, None)

    def _find(self, name: str, mrid: MRID) -> Record | None:
        places = self._tables.records.places((name, mrid))
        return self._tables.records.rows[places[0][-1]] if places else None

    def _stored(self, places: Iterable[Place]) -> Iterable[Stored[msgspec.Struct]]:
        return (self._tables.records.rows[place[-1]].stored for place in places)

    def _candidates(self, name: str, selection: Selection) -> list[Place]:
        """Places of objects with one of the mRIDs and one key of each group, in order."""
        groups: list[list[tuple[str, MRID | Key]]] = [[(name, key) for key in keys] for keys in selection.keys]
        if selection.mrids:
            groups.append([(name, mrid) for mrid in selection.mrids])
        if not groups:
            return self._tables.records.places(name)
        sets = [{place for one in group for place in self._tables.records.places(one)} for group in groups]
        return sorted(set.intersection(*sets))


class MemoryRecordsReader(MemoryRecords):
    """The same, to be read."""

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Refused."""
        raise StoreError(f"memory: {collection.name} {stored.mrid}: attempt to write what is read-only")

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Refused."""
        raise StoreError(f"memory: {collection.name} {mrid}: attempt to write what is read-only")


def _is_wanted(stored: Stored[msgspec.Struct], selection: Selection) -> bool:
    return (
        (not selection.states or stored.state in selection.states)
        and (selection.since is None or stored.created_at >= selection.since)
        and (selection.until is None or stored.created_at <= selection.until)
    )
