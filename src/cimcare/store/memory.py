"""Objects of the built-in systems in memory: the reference of what `Records` means, held to the tests of every store.

Nothing survives the process. Frozen values are handed out as they are.
"""

from collections.abc import Iterator
from itertools import count
from typing import TypeVar, cast

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID

__all__ = ["MemoryRecords"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
_Any = Stored[msgspec.Struct]


class _Shelf:
    """Objects of one collection. `numbers` keeps the order of insertion for objects of one instant."""

    __slots__ = ("by_key", "numbers", "objects")

    def __init__(self) -> None:
        self.objects: dict[MRID, _Any] = {}
        self.numbers: dict[MRID, int] = {}
        self.by_key: dict[Key, set[MRID]] = {}


class MemoryRecords:
    """Implements `cimcare.exchange.ports.Records`."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._numbers = count()

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID; None if there is none."""
        # A collection name stands for one type of body, which the dictionary cannot express.
        return cast("Stored[BodyT] | None", self._shelf(collection.name).objects.get(mrid))

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        shelf = self._shelf(collection.name)
        return cast("tuple[Stored[BodyT], ...]", tuple(_in_order(shelf, shelf.by_key.get(key, set()))))

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match, oldest first; none if `after` names an object that is not there."""
        shelf = self._shelf(collection.name)
        mrids = set(selection.mrids) & shelf.objects.keys() if selection.mrids else set(shelf.objects)
        for group in selection.keys:
            mrids &= set[MRID]().union(*(shelf.by_key.get(key, set()) for key in group))
        start = None
        if selection.after is not None:
            last = shelf.objects.get(selection.after)
            if last is None:
                return ()
            start = (last.created_at, shelf.numbers[last.mrid])
        found: list[_Any] = []
        for stored in _in_order(shelf, mrids):
            if start is not None and (stored.created_at, shelf.numbers[stored.mrid]) <= start:
                continue
            if _is_wanted(stored, selection):
                if len(found) >= selection.limit:
                    break
                found.append(stored)
        return cast("tuple[Stored[BodyT], ...]", tuple(found))

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        shelf = self._shelf(collection.name)
        before = shelf.objects.get(stored.mrid)
        if before is None:
            shelf.numbers[stored.mrid] = next(self._numbers)
        else:
            _forget_keys(shelf, before)
        shelf.objects[stored.mrid] = cast("_Any", stored)
        for key in stored.keys:
            shelf.by_key.setdefault(key, set()).add(stored.mrid)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        shelf = self._shelf(collection.name)
        before = shelf.objects.pop(mrid, None)
        if before is not None:
            del shelf.numbers[mrid]
            _forget_keys(shelf, before)

    def _shelf(self, name: str) -> _Shelf:
        return self._shelves.setdefault(name, _Shelf())


def _in_order(shelf: _Shelf, mrids: set[MRID]) -> Iterator[_Any]:
    objects = (shelf.objects[mrid] for mrid in mrids)
    return iter(sorted(objects, key=lambda stored: (stored.created_at, shelf.numbers[stored.mrid])))


def _is_wanted(stored: _Any, selection: Selection) -> bool:
    return (
        (not selection.states or stored.state in selection.states)
        and (selection.since is None or stored.created_at >= selection.since)
        and (selection.until is None or stored.created_at <= selection.until)
    )


def _forget_keys(shelf: _Shelf, stored: _Any) -> None:
    for key in stored.keys:
        mrids = shelf.by_key[key]
        mrids.discard(stored.mrid)
        if not mrids:
            del shelf.by_key[key]
