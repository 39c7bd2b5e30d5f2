"""Objects inside a transaction: read from the database once, written to it once, however often a message needs them.

One message reads the same objects again and again, and changes some of them several times; so do the messages of one
commit, which in a storm are about the same few devices. What was read is remembered as long as nobody else can have
written; what was saved is written with the commit, or before a look-up that could find it. The databases see the same
in fewer statements, each for many rows.

Undoing goes back step by step, so that what a message that failed has saved is as if it had never been.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID

__all__ = ["Encoded", "RememberingRecords", "RowsOfRecords", "Written"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
RowT = TypeVar("RowT")

_MOST_REMEMBERED = 4000
"""Objects; more are read again."""

_MOST_UNWRITTEN = 500
"""Objects; with so many the database is given them, so that an import does not stand in memory as a whole."""

_Name = tuple[str, MRID]
"""Collection and mRID."""


class Encoded(NamedTuple):
    """Keys and body as they are stored."""

    keys: bytes
    body: bytes


class Written(NamedTuple):
    """An object on its way to the database. `id` is its row, None if it is new; `had` are the keys of the row."""

    collection: str
    stored: Stored[Any]
    encoded: Encoded
    id: int | None
    had: frozenset[Key]


class RowsOfRecords(Protocol[RowT]):
    """Objects as rows of a database, inside its transaction."""

    async def find_row(self, collection: str, mrid: MRID) -> RowT | None:
        """The row of an object."""
        ...

    async def is_empty(self, collection: str, sort: str = "") -> bool:
        """Whether the database has no object of the collection, or with a sort, none with a key of it."""
        ...

    async def rows_by_key(self, collection: str, key: Key) -> Sequence[RowT]:
        """Rows of the objects with this key, oldest first."""
        ...

    async def select_rows(self, collection: str, selection: Selection) -> Sequence[RowT]:
        """Rows of the objects that match, oldest first."""
        ...

    def identity_of(self, row: RowT) -> tuple[int, MRID]:
        """Number of the row, and the mRID in it."""
        ...

    def stored_of(self, collection: Collection[BodyT], row: RowT) -> Stored[BodyT]:
        """The object in a row."""
        ...

    async def find_ids(self, names: Sequence[tuple[str, MRID]]) -> Sequence[tuple[int, frozenset[Key]] | None]:
        """Number and keys of the row of each of these objects (collection and mRID); None where there is none."""
        ...

    def require_open(self) -> None:
        """Raise StoreError if the transaction is known to have ended."""
        ...

    def encode(self, stored: Stored[Any]) -> Encoded:
        """Keys and body of an object as they are stored. Raises UnicodeError or TypeError if they cannot be."""
        ...

    async def write(self, objects: Sequence[Written]) -> Sequence[int]:
        """Write them; numbers of their rows. New ones get theirs in this order."""
        ...

    async def remove(self, collection: str, mrid: MRID) -> None:
        """Remove an object with its keys; nothing happens if there is none."""
        ...


class _Known(NamedTuple):
    """What is known of a name: the object, None if there is none.

    `id` is the number of its row: 0 if the database has none, None if that was not looked up. `had` are the keys that
    the row has.
    """

    stored: Stored[Any] | None
    id: int | None
    had: frozenset[Key]


class _Step(NamedTuple):
    """What was known of a name before something was done, and the place at which it waited to be written."""

    name: _Name
    known: _Known | None
    order: int | None


class _Placed(NamedTuple):
    """An object in its place among those that were created in one instant: number of its row, and order behind it."""

    number: int
    order: int
    stored: Stored[Any]


_NO_KEYS: frozenset[Key] = frozenset()
_ALL = 2**63 - 1
_NOTHING = _Known(None, 0, _NO_KEYS)


class RememberingRecords(Generic[RowT]):
    """Implements `cimcare.exchange.ports.Records` over rows that nobody else writes meanwhile."""

    def __init__(self, rows: RowsOfRecords[RowT]) -> None:
        self._rows = rows
        self._known: dict[_Name, _Known] = {}
        self._unwritten: dict[str, dict[MRID, int]] = {}
        self._unwritten_keys: dict[str, set[Key]] = {}  # all that they have, and perhaps more
        self._count = 0
        self._order = 0
        self._encoded: dict[_Name, Encoded] = {}
        self._empty: dict[tuple[str, str], bool] = {}  # of the database, by collection and sort of key; "" for any
        self._steps: list[_Step] = []
        self.has_written = False
        """Whether the database was given anything, or removed it, since `note_end`; also if that was undone since."""

    # ------------------------------------------------------------------------------------------------- the port

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID; None if there is none."""
        known = self._known.get((collection.name, mrid))
        if known is None:
            if not await self._is_empty(collection.name):
                row = await self._rows.find_row(collection.name, mrid)
                if row is not None:
                    return self._learn(collection, row)
            self._remember((collection.name, mrid), _NOTHING)
            return None
        return cast("Stored[BodyT] | None", known.stored)  # a collection name stands for one type of body

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        name = collection.name
        rows = () if await self._is_empty(name, key.sort) else await self._rows.rows_by_key(name, key)
        if name not in self._unwritten:
            return tuple(self._learn(collection, row) for row in rows)
        return await self._joined(collection, rows, Selection(keys=((key,),), limit=_ALL))

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match."""
        name = collection.name
        if selection.mrids and not selection.keys and selection.after is None:
            return await self._select_named(collection, selection)
        is_bounded = bool(selection.keys or selection.mrids) and selection.after is None
        if not is_bounded:
            await self._write_all(name)
        rows = () if await self._has_none(name, selection) else await self._rows.select_rows(name, selection)
        if name not in self._unwritten:
            return tuple(self._learn(collection, row) for row in rows)
        if len(rows) >= selection.limit and any(self._is_unwritten(name, row) for row in rows):
            await self._write_all(name)  # there may be more rows in place of those that no longer hold
            rows = await self._rows.select_rows(name, selection)
            return tuple(self._learn(collection, row) for row in rows)
        return await self._joined(collection, rows, selection)

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        self._rows.require_open()
        name = (collection.name, stored.mrid)
        known = self._known.get(name)
        self._note(name, known)
        self._known[name] = _Known(stored, None, _NO_KEYS) if known is None else _Known(stored, known.id, known.had)
        self._encoded.pop(name, None)
        if stored.keys:
            self._unwritten_keys.setdefault(collection.name, set()).update(stored.keys)
        waiting = self._unwritten.setdefault(collection.name, {})
        if stored.mrid not in waiting:
            self._order += 1
            waiting[stored.mrid] = self._order
            self._count += 1
        if self._count >= _MOST_UNWRITTEN:
            await self.write()

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order."""
        for one in stored:
            await self.save(collection, one)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        self._rows.require_open()
        name = (collection.name, mrid)
        if self._known.get(name) == _NOTHING:
            return
        is_stored = True
        if mrid in self._unwritten.get(collection.name, ()):
            await self._look_up([name])
            is_stored = bool(self._known[name].id)
        self._note(name, self._known.get(name))
        self._known[name] = _NOTHING
        self._need_not_write(name)
        if is_stored:
            await self._rows.remove(collection.name, mrid)
            self.has_written = True

    # -------------------------------------------------------------------------------------------- transactions

    def begin(self) -> None:
        """A message begins: what was done before it is not undone with it."""
        self._steps.clear()
        self._order += 1

    def end(self) -> None:
        """A message ends: what it saved is encoded, so that what cannot be stored fails it and no other."""
        for name in {step.name for step in self._steps}:
            if name[1] in self._unwritten.get(name[0], ()) and name not in self._encoded:
                known = self._known[name]
                assert known.stored is not None
                self._encoded[name] = self._rows.encode(known.stored)

    def mark(self) -> int:
        """Where a part begins, for `undo`."""
        return len(self._steps)

    def undo(self, mark: int = 0) -> None:
        """All that was done since the mark was undone, in the database too."""
        while len(self._steps) > mark:
            name, known, order = self._steps.pop()
            self._encoded.pop(name, None)
            if known is None:
                self._known.pop(name, None)
            else:
                self._known[name] = known
            if order is None:
                self._need_not_write(name)
            else:
                assert known is not None
                assert known.stored is not None
                waiting = self._unwritten.setdefault(name[0], {})
                self._count += name[1] not in waiting
                waiting[name[1]] = order
                self._unwritten_keys.setdefault(name[0], set()).update(known.stored.keys)

    def note_end(self) -> None:
        """A transaction of the database was committed. What is remembered holds in the next one too."""
        self.has_written = False

    def forget(self) -> None:
        """Others may have written since, or the database has undone everything."""
        self.has_written = False
        self._known.clear()
        self._empty.clear()
        self._unwritten.clear()
        self._unwritten_keys.clear()
        self._encoded.clear()
        self._steps.clear()
        self._count = 0

    async def write(self) -> None:
        """Give the database all that it does not have yet. Raises StoreError."""
        if self._count:
            await self._write_names(
                (order, (collection, mrid))
                for collection, waiting in self._unwritten.items()
                for mrid, order in waiting.items()
            )
        if len(self._known) > _MOST_REMEMBERED:
            self._known.clear()

    # ------------------------------------------------------------------------------------------------- writing

    async def _write_all(self, collection: str) -> None:
        """Give the database all that it does not have yet of a collection."""
        if waiting := self._unwritten.get(collection):
            await self._write_names((order, (collection, mrid)) for mrid, order in waiting.items())

    async def _write_names(self, waiting: Iterable[tuple[int, _Name]]) -> None:
        names = [name for _, name in sorted(waiting)]
        await self._look_up(names)
        objects = []
        for name in names:
            known = self._known[name]
            assert known.stored is not None
            encoded = self._encoded.pop(name, None) or self._rows.encode(known.stored)
            objects.append(Written(name[0], known.stored, encoded, known.id or None, known.had))
        numbers = await self._rows.write(objects)
        self.has_written = True
        for name, one, number in zip(names, objects, numbers, strict=True):
            self._note(name, self._known[name])
            self._known[name] = _Known(one.stored, number, one.stored.keys)
            self._need_not_write(name)
            self._empty[name[0], ""] = False
            if one.had != one.stored.keys:
                self._empty.update(((name[0], key.sort), False) for key in one.stored.keys)

    def _need_not_write(self, name: _Name) -> None:
        """The database has the object, or is not to have it any more."""
        waiting = self._unwritten.get(name[0], {})
        if waiting.pop(name[1], None) is not None:
            self._count -= 1
            if not waiting:
                del self._unwritten[name[0]]
                self._unwritten_keys.pop(name[0], None)

    async def _look_up(self, names: Sequence[_Name]) -> None:
        """Learn the rows of objects that were saved without having been read."""
        unseen = [name for name in names if self._known[name].id is None]
        if unseen:
            for name, found in zip(unseen, await self._rows.find_ids(unseen), strict=True):
                self._known[name] = _Known(self._known[name].stored, *(found or (0, _NO_KEYS)))

    def _note(self, name: _Name, known: _Known | None) -> None:
        self._steps.append(_Step(name, known, self._unwritten.get(name[0], {}).get(name[1])))

    # ------------------------------------------------------------------------------------------------- reading

    async def _select_named(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """Of objects that are named those that match; only what is not known of them is looked for."""
        name = collection.name
        known = {mrid: self._known.get((name, mrid)) for mrid in selection.mrids}
        found = await self._placed(name, [mrid for mrid, one in known.items() if one is not None and one.stored])
        unknown = tuple(mrid for mrid, one in known.items() if one is None)
        if unknown:
            rows: Sequence[RowT] = ()
            if not await self._is_empty(name):
                rows = await self._rows.select_rows(name, Selection(mrids=unknown, limit=len(unknown)))
            missing = set(unknown)
            for row in rows:
                number, mrid = self._rows.identity_of(row)
                missing.discard(mrid)
                found.append(_Placed(number, 0, self._learn(collection, row)))
            for mrid in missing:
                self._remember((name, mrid), _NOTHING)
        return _in_order((one for one in found if _is_wanted(one.stored, selection)), selection)

    async def _joined(
        self, collection: Collection[BodyT], rows: Sequence[RowT], selection: Selection
    ) -> tuple[Stored[BodyT], ...]:
        """What the database has, with what it does not have yet in place of what no longer holds."""
        name = collection.name
        waiting = self._unwritten[name]
        found: list[_Placed] = []
        for row in rows:
            number, mrid = self._rows.identity_of(row)
            if mrid not in waiting:
                found.append(_Placed(number, 0, self._learn(collection, row)))
        is_all = len(found) == len(rows)
        matching: list[MRID] = []
        keys = self._unwritten_keys.get(name, _NO_KEYS)
        if not any(keys.isdisjoint(group) for group in selection.keys):  # as is most often so: nobody has just saved it
            for mrid in waiting:
                stored = self._known[name, mrid].stored
                if stored is not None and _is_wanted(stored, selection):
                    matching.append(mrid)
        if is_all and not matching:
            return tuple(cast("Stored[BodyT]", one.stored) for one in found)
        return _in_order([*found, *await self._placed(name, matching)], selection)

    async def _placed(self, collection: str, mrids: Sequence[MRID]) -> list[_Placed]:
        """Objects that are known, with what their order among those of one instant goes by."""
        await self._look_up([(collection, mrid) for mrid in mrids])
        waiting = self._unwritten.get(collection, {})
        placed = []
        for mrid in mrids:
            known = self._known[collection, mrid]
            assert known.stored is not None
            placed.append(_Placed(known.id or _ALL, waiting.get(mrid, 0) if not known.id else 0, known.stored))
        return placed

    def _is_unwritten(self, collection: str, row: RowT) -> bool:
        return self._rows.identity_of(row)[1] in self._unwritten.get(collection, ())

    async def _has_none(self, collection: str, selection: Selection) -> bool:
        """Whether the database has nothing that could match, since it has no keys of a sort that is asked for."""
        if not selection.keys:
            return await self._is_empty(collection)
        for group in selection.keys:
            for sort in {key.sort for key in group}:
                if not await self._is_empty(collection, sort):
                    break
            else:
                return True
        return False

    async def _is_empty(self, collection: str, sort: str = "") -> bool:
        """Whether the database has nothing to look for: no object, or none with a key of a sort.

        Most of what a message is held against is hardly ever there.
        """
        is_empty = self._empty.get((collection, "")) or self._empty.get((collection, sort))
        if is_empty is None:
            is_empty = self._empty[collection, sort] = await self._rows.is_empty(collection, sort)
        return is_empty

    def _learn(self, collection: Collection[BodyT], row: RowT) -> Stored[BodyT]:
        """The object of a row that was read; as it is known, if it is, for that is what was written last."""
        number, mrid = self._rows.identity_of(row)
        name = (collection.name, mrid)
        known = self._known.get(name)
        if known is not None and known.stored is not None:
            return cast("Stored[BodyT]", known.stored)
        stored = self._rows.stored_of(collection, row)
        self._remember(name, _Known(stored, number, stored.keys))
        return stored

    def _remember(self, name: _Name, known: _Known) -> None:
        if len(self._known) >= 2 * _MOST_REMEMBERED:
            waiting = {(of, mrid) for of, some in self._unwritten.items() for mrid in some}
            self._known = {one: kept for one, kept in self._known.items() if one in waiting}
        self._known[name] = known


def _is_wanted(stored: Stored[Any], selection: Selection) -> bool:
    """Whether an object matches, wherever the page begins."""
    if selection.mrids and stored.mrid not in selection.mrids:
        return False
    if any(stored.keys.isdisjoint(group) for group in selection.keys):
        return False
    return (
        (not selection.states or stored.state in selection.states)
        and (selection.since is None or stored.created_at >= selection.since)
        and (selection.until is None or stored.created_at <= selection.until)
    )


def _in_order(found: Iterable[_Placed], selection: Selection) -> tuple[Stored[Any], ...]:
    """The objects in the order asked for, so many as are asked for."""
    ordered = sorted(
        found, key=lambda one: (one.stored.created_at, one.number, one.order), reverse=selection.newest_first
    )
    return tuple(one.stored for one in ordered[: selection.limit])
