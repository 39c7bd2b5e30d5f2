"""Objects of the built-in systems on SQLite: bodies and keys as JSON, keys beside them as an index."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.key_rows import has_own_row, row_of, rows_of
from cimcare.store.remembering import Encoded, Written
from cimcare.store.sqlite_session import Session, Value

__all__ = ["SqliteRecords", "SqliteRow"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

SqliteRow: TypeAlias = tuple[int, str, str, int, int, bytes, bytes]

_SELECT = "SELECT id, mrid, state, created_at, modified_at, keys, body FROM records"
_FIND = f"{_SELECT} WHERE collection = ? AND mrid = ?"
_HAS_KEY = "id IN (SELECT record_id FROM record_keys WHERE collection = ? AND sort = ? AND value = ?)"
_IS_KEY = "instr(keys, ?)"
_FIND_BY_KEY = f"{_SELECT} WHERE {_HAS_KEY} ORDER BY created_at, id"
_FIND_BY_SHARED_KEY = f"{_SELECT} WHERE {_HAS_KEY} AND {_IS_KEY} ORDER BY created_at, id"
_ANY = "SELECT 1 FROM records WHERE collection = ? LIMIT 1"
_ANY_KEY = "SELECT 1 FROM record_keys WHERE collection = ? AND sort = ? LIMIT 1"
_FIND_OLD = "SELECT id, keys FROM records WHERE collection = ? AND mrid = ?"
_FIND_OLD_OF = (
    "SELECT wanted.key, records.id, records.keys FROM json_each(?) AS wanted CROSS JOIN records"
    " WHERE collection = json_extract(wanted.value, '$[0]') AND mrid = json_extract(wanted.value, '$[1]')"
)
_COLUMNS = "id, collection, mrid, state, created_at, modified_at, keys, body"
_INSERT = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants only
_LAST = "SELECT max(id) FROM records"
_UPDATE = "UPDATE records SET state = ?, created_at = ?, modified_at = ?, keys = ?, body = ? WHERE id = ?"
_INSERT_KEY = "INSERT INTO record_keys (collection, sort, value, record_id) VALUES (?, ?, ?, ?)"
_DELETE_KEY = "DELETE FROM record_keys WHERE collection = ? AND sort = ? AND value = ? AND record_id = ?"
_ONE_OF = (
    "SELECT record_id FROM json_each(?) AS wanted CROSS JOIN record_keys WHERE record_keys.collection = ?"
    " AND sort = json_extract(wanted.value, '$[0]') AND record_keys.value = json_extract(wanted.value, '$[1]')"
)
_IS_ONE_OF = f"id IN ({_ONE_OF})"
_HAS_ONE_OF = f"EXISTS ({_ONE_OF} AND record_id = records.id)"
_IS_KEY_OF = "EXISTS (SELECT 1 FROM json_each(?) WHERE instr(records.keys, value))"
_PLACE = "SELECT created_at, id FROM records WHERE collection = ? AND mrid = ?"
_FEW = 100
_FEW_NAMES = 3
_FEW_KEYS = 6
_OF_KEY = "SELECT record_id FROM record_keys WHERE collection = ? AND sort = ? AND value = ?"
_IS_ONE_OF_FEW = ["0", *(f"id IN ({' UNION ALL '.join([_OF_KEY] * count)})" for count in range(1, _FEW_KEYS + 1))]
_COUNT = f"(SELECT count(*) FROM ({_ONE_OF} LIMIT {_FEW}))"  # noqa: S608 - constants only

_encode = msgspec.json.Encoder().encode
_keys_of = msgspec.json.Decoder(frozenset[Key]).decode


@cache
def _decoder_of(body: type[BodyT]) -> msgspec.json.Decoder[BodyT]:
    return msgspec.json.Decoder(body)


class SqliteRecords:
    """Objects over one connection, to be read; and as rows, which is what is written."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID."""
        row = await self.find_row(collection.name, mrid)
        return None if row is None else self.stored_of(collection, row)

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        return tuple(self.stored_of(collection, row) for row in await self.rows_by_key(collection.name, key))

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match, in the order asked for."""
        return tuple(self.stored_of(collection, row) for row in await self.select_rows(collection.name, selection))

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        (found,) = await self.find_ids([(collection.name, stored.mrid)])
        number, had = found or (None, frozenset())
        await self.write([Written(collection.name, stored, self.encode(stored), number, had)])

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order."""
        for one in stored:
            await self.save(collection, one)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        await self.remove(collection.name, mrid)

    # ------------------------------------------------------------------------------------------------- rows

    async def find_row(self, collection: str, mrid: MRID) -> SqliteRow | None:
        """The row of an object."""
        row: SqliteRow | None = self._session.one(_FIND, (collection, mrid))
        return row

    async def is_empty(self, collection: str, sort: str = "") -> bool:
        """Whether there is no object of the collection, or with a sort, none with a key of it."""
        if sort:
            return self._session.one(_ANY_KEY, (collection, sort)) is None
        return self._session.one(_ANY, (collection,)) is None

    async def rows_by_key(self, collection: str, key: Key) -> Sequence[SqliteRow]:
        """Rows of the objects with this key, oldest first."""
        values = (collection, *row_of(key))
        if has_own_row(key):
            return self._session.all(_FIND_BY_KEY, values)
        return self._session.all(_FIND_BY_SHARED_KEY, (*values, _encode(key)))

    def identity_of(self, row: SqliteRow) -> tuple[int, MRID]:
        """Number of the row, and the mRID in it."""
        return row[0], MRID(row[1])

    def stored_of(self, collection: Collection[BodyT], row: SqliteRow) -> Stored[BodyT]:
        """The object in a row."""
        _, mrid, state, created_at, modified_at, keys, body = row
        return Stored(
            mrid=MRID(mrid),
            state=state,
            created_at=from_micros(created_at),
            modified_at=from_micros(modified_at),
            keys=_keys_of(keys),
            body=_decoder_of(collection.body).decode(body),
        )

    async def find_ids(self, names: Sequence[tuple[str, MRID]]) -> Sequence[tuple[int, frozenset[Key]] | None]:
        """Number and keys of the row of each of these objects."""
        found: dict[int, tuple[int, bytes]] = {}
        if len(names) < _FEW_NAMES or not _fit_json(mrid for _, mrid in names):
            for at, name in enumerate(names):
                if (row := self._session.one(_FIND_OLD, name)) is not None:
                    found[at] = row
        else:
            rows: list[tuple[int, int, bytes]] = self._session.all(_FIND_OLD_OF, (_encode(names).decode(),))
            found = {at: (number, keys) for at, number, keys in rows}
        return [(found[at][0], _keys_of(found[at][1])) if at in found else None for at in range(len(names))]

    def encode(self, stored: Stored[Any]) -> Encoded:
        """Keys and body of an object as they are stored."""
        return Encoded(_encode(sorted(stored.keys)), _encode(stored.body))

    async def write(self, objects: Sequence[Written]) -> Sequence[int]:
        """Write them, one statement for all that are new, one for all others, and two for keys."""
        numbers = self._numbers_of(objects)
        new: list[tuple[Value, ...]] = []
        changed: list[tuple[Value, ...]] = []
        gone: list[tuple[Value, ...]] = []
        come: list[tuple[Value, ...]] = []
        for (name, stored, encoded, before, had), number in zip(objects, numbers, strict=True):
            columns = (stored.state, to_micros(stored.created_at), to_micros(stored.modified_at), *encoded)
            if before is None:
                new.append((number, name, stored.mrid, *columns))
                come += [(name, *row, number) for row in sorted(rows_of(stored.keys))]
                continue
            changed.append((*columns, before))
            if had != stored.keys:
                old, now = rows_of(had), rows_of(stored.keys)
                gone += [(name, *row, number) for row in old - now]
                come += [(name, *row, number) for row in now - old]
        for statement, rows in ((_INSERT, new), (_UPDATE, changed), (_DELETE_KEY, gone), (_INSERT_KEY, come)):
            if rows:
                self._session.run_each(statement, rows)
        return numbers

    def _numbers_of(self, objects: Sequence[Written]) -> list[int]:
        """Of each its row; new ones go behind all others, which nobody else adds to meanwhile."""
        free = 0
        if any(one.id is None for one in objects):
            free = self._session.one(_LAST)[0] or 0
        numbers = []
        for one in objects:
            free += one.id is None
            numbers.append(free if one.id is None else one.id)
        return numbers

    def require_open(self) -> None:
        """Raise StoreError if the database has undone the transaction by itself."""
        self._session.require_transaction()

    async def remove(self, collection: str, mrid: MRID) -> None:
        """Remove an object with its keys; nothing happens if there is none."""
        old: tuple[int, bytes] | None = self._session.one(_FIND_OLD, (collection, mrid))
        if old is None:
            return
        record_id, keys = old
        self._session.run_each(_DELETE_KEY, [(collection, *row, record_id) for row in rows_of(_keys_of(keys))])
        self._session.run("DELETE FROM records WHERE id = ?", (record_id,))

    async def select_rows(self, collection: str, selection: Selection) -> Sequence[SqliteRow]:
        """Rows of the objects that match, in the order asked for."""
        # A plus sign keeps a column from being looked up by an index. Without it the planner walks the collection in
        # the order in which it is wanted, and holds each object against the few that are asked for.
        is_by_key = bool(selection.keys) and not selection.mrids
        by_other = "+" if selection.keys or selection.mrids else ""
        conditions = ["+collection = ?" if is_by_key else "collection = ?"]
        values: list[Value] = [collection]
        if _fit_json(selection.mrids):
            conditions.append("mrid IN (SELECT value FROM json_each(?))")  # one variable, however many are asked for
            values.append(_text_of(selection.mrids))
        elif selection.mrids:
            conditions.append(f"mrid IN ({', '.join('?' * len(selection.mrids))})")
            values.extend(selection.mrids)
        if selection.states:
            conditions.append("state IN (SELECT value FROM json_each(?))")
            values.append(_text_of(selection.states))
        for number, group in enumerate(self._rarest_first(collection, selection.keys)):
            rows_of_group = tuple(rows_of(group))
            leads = is_by_key and not number
            if leads and len(rows_of_group) <= _FEW_KEYS:  # where JSON would cost more than the look-up
                conditions.append(_IS_ONE_OF_FEW[len(rows_of_group)])
                values.extend(value for row in rows_of_group for value in (collection, *row))
            else:
                conditions.append(_IS_ONE_OF if leads else _HAS_ONE_OF)
                values.extend((_text_of(rows_of_group), collection))
            if not all(map(has_own_row, group)):
                condition, texts = _exactly(group)
                conditions.append(condition)
                values.extend(texts)
        if selection.since is not None:
            conditions.append(f"{by_other}created_at >= ?")
            values.append(to_micros(selection.since))
        if selection.until is not None:
            conditions.append(f"{by_other}created_at <= ?")
            values.append(to_micros(selection.until))
        way = " DESC" if selection.newest_first else ""
        order = f"ORDER BY {by_other}created_at{way}, {by_other}id{way} LIMIT ?"
        rows: list[SqliteRow] = []
        for condition, place in self._starts(collection, selection, is_narrow=bool(by_other)):
            wanted = [*conditions, condition] if condition else conditions
            statement = f"{_SELECT} WHERE {' AND '.join(wanted)} {order}"
            rows += self._session.all(statement, (*values, *place, selection.limit - len(rows)))
            if len(rows) >= selection.limit:
                break
        return rows

    def _starts(self, collection: str, selection: Selection, *, is_narrow: bool) -> list[tuple[str, tuple[int, ...]]]:
        """Conditions under which a page is looked for, one after another: where it begins.

        Behind an object in its instant, and then in later instants (newest first: before it, and in earlier ones): one
        comparison of both columns would walk over all objects of the instant, and an import makes very many in one. Few
        objects are just held against it.
        """
        if selection.after is None:
            return [("", ())]
        place: tuple[int, int] | None = self._session.one(_PLACE, (collection, selection.after))
        if place is None:
            return []
        behind = "<" if selection.newest_first else ">"
        if is_narrow:
            return [(f"(+created_at, +id) {behind} (?, ?)", place)]
        return [(f"created_at = ? AND id {behind} ?", place), (f"created_at {behind} ?", place[:1])]

    def _rarest_first(self, name: str, groups: tuple[tuple[Key, ...], ...]) -> Sequence[tuple[Key, ...]]:
        """The groups, that with the fewest objects first, as far as it is few: these are looked at one by one."""
        if len(groups) < 2:
            return groups
        values = [value for group in groups for value in (_text_of(tuple(rows_of(group))), name)]
        counts: list[int] = self._session.one(f"SELECT {', '.join([_COUNT] * len(groups))}", values)
        return [groups[number] for number in sorted(range(len(groups)), key=counts.__getitem__)]


def _fit_json(mrids: Iterable[MRID]) -> bool:
    """Whether there are any, and SQLite reads each of them from JSON as it is: it ends a text at a NUL."""
    some = tuple(mrids)
    return bool(some) and not any("\0" in mrid for mrid in some)


def _exactly(group: tuple[Key, ...]) -> tuple[str, list[Value]]:
    """That the object itself says one of these keys, as text of its JSON; and the values of the condition."""
    if len(group) <= _FEW_KEYS:
        return f"({' OR '.join([_IS_KEY] * len(group))})", [_encode(key) for key in group]
    return _IS_KEY_OF, [_text_of(tuple(_encode(key).decode() for key in group))]


def _text_of(values: tuple[object, ...]) -> str:
    return _encode(values).decode()
