"""Objects of the built-in systems on SQLite: bodies and keys as JSON, keys beside them as an index."""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.sqlite_session import Session

__all__ = ["SqliteRecords"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_Row = tuple[str, str, int, int, bytes, bytes]

_SELECT = "SELECT mrid, state, created_at, modified_at, keys, body FROM records"
_FIND = f"{_SELECT} WHERE collection = ? AND mrid = ?"
_HAS_KEY = "id IN (SELECT record_id FROM record_keys WHERE collection = ? AND sort = ? AND value = ?)"
_FIND_BY_KEY = f"{_SELECT} WHERE {_HAS_KEY} ORDER BY created_at, id"
_FIND_OLD = "SELECT id, keys FROM records WHERE collection = ? AND mrid = ?"
_INSERT = (
    "INSERT INTO records (collection, mrid, state, created_at, modified_at, keys, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = "UPDATE records SET state = ?, created_at = ?, modified_at = ?, keys = ?, body = ? WHERE id = ?"
_INSERT_KEY = "INSERT INTO record_keys (collection, sort, value, record_id) VALUES (?, ?, ?, ?)"
_DELETE_KEY = "DELETE FROM record_keys WHERE collection = ? AND sort = ? AND value = ? AND record_id = ?"
_ONE_OF = (
    "SELECT record_id FROM json_each(?) AS wanted CROSS JOIN record_keys WHERE record_keys.collection = ?"
    " AND sort = json_extract(wanted.value, '$[0]') AND record_keys.value = json_extract(wanted.value, '$[1]')"
)
_IS_ONE_OF = f"id IN ({_ONE_OF})"
_HAS_ONE_OF = f"EXISTS ({_ONE_OF} AND record_id = records.id)"
_PLACE = "SELECT created_at, id FROM records WHERE collection = ? AND mrid = ?"
_FEW = 100
_COUNT = f"(SELECT count(*) FROM ({_ONE_OF} LIMIT {_FEW}))"  # noqa: S608 - constants only

_encode = msgspec.json.Encoder().encode
_keys_of = msgspec.json.Decoder(frozenset[Key]).decode


@cache
def _decoder_of(body: type[BodyT]) -> msgspec.json.Decoder[BodyT]:
    return msgspec.json.Decoder(body)


class SqliteRecords:
    """Objects over one connection."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID."""
        row: _Row | None = self._session.one(_FIND, (collection.name, mrid))
        return None if row is None else _stored_of(collection, row)

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        rows: list[_Row] = self._session.all(_FIND_BY_KEY, (collection.name, key.sort, key.value))
        return tuple(_stored_of(collection, row) for row in rows)

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match, oldest first."""
        # A plus sign keeps a column from being looked up by an index. Without it the planner walks the collection in
        # the order in which it is wanted, and holds each object against the few that are asked for.
        is_by_key = bool(selection.keys) and not selection.mrids
        by_other = "+" if selection.keys or selection.mrids else ""
        conditions = ["+collection = ?" if is_by_key else "collection = ?"]
        values: list[str | int] = [collection.name]
        if selection.mrids:
            conditions.append("mrid IN (SELECT value FROM json_each(?))")  # one variable, however many are asked for
            values.append(_text_of(selection.mrids))
        if selection.states:
            conditions.append("state IN (SELECT value FROM json_each(?))")
            values.append(_text_of(selection.states))
        for number, group in enumerate(self._rarest_first(collection.name, selection.keys)):
            conditions.append(_IS_ONE_OF if is_by_key and not number else _HAS_ONE_OF)
            values.extend((_text_of(group), collection.name))
        if selection.since is not None:
            conditions.append(f"{by_other}created_at >= ?")
            values.append(to_micros(selection.since))
        if selection.until is not None:
            conditions.append(f"{by_other}created_at <= ?")
            values.append(to_micros(selection.until))
        order = f"ORDER BY {by_other}created_at, {by_other}id LIMIT ?"
        rows: list[_Row] = []
        for condition, place in self._starts(collection.name, selection.after, is_narrow=bool(by_other)):
            wanted = [*conditions, condition] if condition else conditions
            statement = f"{_SELECT} WHERE {' AND '.join(wanted)} {order}"
            rows += self._session.all(statement, (*values, *place, selection.limit - len(rows)))
            if len(rows) >= selection.limit:
                break
        return tuple(_stored_of(collection, row) for row in rows)

    def _starts(self, collection: str, after: MRID | None, *, is_narrow: bool) -> list[tuple[str, tuple[int, ...]]]:
        """Conditions under which a page is looked for, one after another: where it begins.

        Behind an object in its instant, and then in later instants: one comparison of both columns would walk over all
        objects of the instant, and an import makes very many in one. Few objects are just held against it.
        """
        if after is None:
            return [("", ())]
        place: tuple[int, int] | None = self._session.one(_PLACE, (collection, after))
        if place is None:
            return []
        if is_narrow:
            return [("(+created_at, +id) > (?, ?)", place)]
        return [("created_at = ? AND id > ?", place), ("created_at > ?", place[:1])]

    def _rarest_first(self, name: str, groups: tuple[tuple[Key, ...], ...]) -> Sequence[tuple[Key, ...]]:
        """The groups, that with the fewest objects first, as far as it is few: these are looked at one by one."""
        if len(groups) < 2:
            return groups
        values = [value for group in groups for value in (_text_of(group), name)]
        counts: list[int] = self._session.one(f"SELECT {', '.join([_COUNT] * len(groups))}", values)
        return [groups[number] for number in sorted(range(len(groups)), key=counts.__getitem__)]

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        name = collection.name
        keys = sorted(stored.keys)
        body = _encode(stored.body)
        instants = (to_micros(stored.created_at), to_micros(stored.modified_at))
        old: tuple[int, bytes] | None = self._session.one(_FIND_OLD, (name, stored.mrid))
        if old is None:
            cursor = self._session.run(_INSERT, (name, stored.mrid, stored.state, *instants, _encode(keys), body))
            assert cursor.lastrowid is not None
            record_id = cursor.lastrowid
            gone: set[Key] = set()
            new: list[Key] = keys
        else:
            record_id, before = old
            self._session.run(_UPDATE, (stored.state, *instants, _encode(keys), body, record_id))
            had = _keys_of(before)
            gone = set(had - stored.keys)
            new = [key for key in keys if key not in had]
        self._session.run_each(_DELETE_KEY, [(name, *key, record_id) for key in gone])
        self._session.run_each(_INSERT_KEY, [(name, *key, record_id) for key in new])

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order. There is no way to the server that could be spared."""
        for one in stored:
            await self.save(collection, one)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        name = collection.name
        old: tuple[int, bytes] | None = self._session.one(_FIND_OLD, (name, mrid))
        if old is None:
            return
        record_id, keys = old
        self._session.run_each(_DELETE_KEY, [(name, *key, record_id) for key in _keys_of(keys)])
        self._session.run("DELETE FROM records WHERE id = ?", (record_id,))


def _text_of(values: tuple[object, ...]) -> str:
    return _encode(values).decode()


def _stored_of(collection: Collection[BodyT], row: _Row) -> Stored[BodyT]:
    mrid, state, created_at, modified_at, keys, body = row
    return Stored(
        mrid=MRID(mrid),
        state=state,
        created_at=from_micros(created_at),
        modified_at=from_micros(modified_at),
        keys=_keys_of(keys),
        body=_decoder_of(collection.body).decode(body),
    )
