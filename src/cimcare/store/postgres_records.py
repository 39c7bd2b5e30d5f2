"""Objects of the built-in systems on PostgreSQL: bodies and keys as JSON, keys beside them as an index."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.key_rows import has_own_row, row_of, rows_of
from cimcare.store.postgres_session import Row, Session, Value, as_key

__all__ = ["PostgresRecords"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_SELECT = "SELECT mrid, state, created_at, modified_at, keys, body FROM records"
_FIND = f"{_SELECT} WHERE collection = $1 AND mrid = $2"
# As arrays, so that the keys are looked up first and once, whatever the planner thinks of tables that grew just now.
_HAS_KEY = "id = ANY(ARRAY(SELECT record_id FROM record_keys WHERE collection = $1 AND sort = $2 AND value = $3))"
_FIND_BY_KEY = f"{_SELECT} WHERE {_HAS_KEY} ORDER BY created_at, id"
_FIND_BY_SHARED_KEY = f"{_SELECT} WHERE {_HAS_KEY} AND position($4::bytea IN keys) > 0 ORDER BY created_at, id"
_ONE_OF = (
    "SELECT record_id FROM unnest(${0}::text[], ${1}::text[]) AS wanted (sort, value) JOIN record_keys"
    " ON record_keys.collection = $1 AND record_keys.sort = wanted.sort AND record_keys.value = wanted.value"
)
_PLACE = "SELECT created_at, id FROM records WHERE collection = $1 AND mrid = $2"
_IS_ONE_OF = f"id = ANY(ARRAY({_ONE_OF}))"
_HAS_ONE_OF = f"EXISTS ({_ONE_OF} AND record_keys.record_id = records.id)"
_IS_KEY_OF = "EXISTS (SELECT 1 FROM unnest(${}::bytea[]) AS exact (key) WHERE position(exact.key IN records.keys) > 0)"
_FEW = 100
_COUNT = f"(SELECT count(*) FROM ({_ONE_OF} LIMIT {_FEW}) AS found)"  # noqa: S608 - constants only
# Nobody else writes meanwhile, so what the subquery sees is what the update replaces.
_UPDATE = (
    "UPDATE records SET state = $3, created_at = $4, modified_at = $5, keys = $6, body = $7"
    " FROM (SELECT id, keys FROM records WHERE collection = $1 AND mrid = $2) AS old WHERE records.id = old.id"
    " RETURNING old.id, old.keys"
)
_INSERT = (
    "WITH saved AS (INSERT INTO records (collection, mrid, state, created_at, modified_at, keys, body)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id)"
    " INSERT INTO record_keys (collection, sort, value, record_id)"
    " SELECT $1, key.sort, key.value, saved.id FROM saved, unnest($8::text[], $9::text[]) AS key (sort, value)"
)
_FIND_OLD = "SELECT mrid FROM records WHERE collection = $1 AND mrid = ANY($2::text[])"
_INSERT_ALL = (
    "WITH new AS MATERIALIZED (SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[],"
    " $7::bytea[]) WITH ORDINALITY AS new (mrid, state, created_at, modified_at, keys, body, number)),"
    " saved AS (INSERT INTO records (collection, mrid, state, created_at, modified_at, keys, body)"
    " SELECT $1, mrid, state, created_at, modified_at, keys, body FROM new ORDER BY number RETURNING id, mrid)"
    " INSERT INTO record_keys (collection, sort, value, record_id)"
    " SELECT $1, key.sort, key.value, saved.id FROM saved"
    " JOIN unnest($8::text[], $9::text[], $10::text[]) AS key (mrid, sort, value) ON key.mrid = saved.mrid"
)
_INSERT_KEYS = (
    "INSERT INTO record_keys (collection, sort, value, record_id)"
    " SELECT $1, key.sort, key.value, $2 FROM unnest($3::text[], $4::text[]) AS key (sort, value)"
)
_DELETE_KEYS = (
    "DELETE FROM record_keys USING unnest($3::text[], $4::text[]) AS gone (sort, value) WHERE collection = $1"
    " AND record_id = $2 AND record_keys.sort = gone.sort AND record_keys.value = gone.value"
)
_DELETE = "DELETE FROM records WHERE collection = $1 AND mrid = $2 RETURNING id, keys"

_WHOLE_MRID = ""
"""Sort of the key that carries an mRID which its column could not hold."""

_TOGETHER = 500
"""Objects that one statement inserts."""

_encode = msgspec.json.Encoder().encode
_decode_keys = msgspec.json.Decoder(list[tuple[str, str]]).decode


@cache
def _decoder_of(body: type[BodyT]) -> msgspec.json.Decoder[BodyT]:
    return msgspec.json.Decoder(body)


class PostgresRecords:
    """Objects over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID."""
        row = await self._session.fetch_one(_FIND, collection.name, as_key(mrid))
        return None if row is None else _stored_of(collection, row)

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        row = row_of(key)
        values: list[Value] = [collection.name, as_key(row.sort), as_key(row.value)]
        if has_own_row(key):
            rows = await self._session.fetch(_FIND_BY_KEY, *values)
        else:
            rows = await self._session.fetch(_FIND_BY_SHARED_KEY, *values, _encode(key))
        return tuple(_stored_of(collection, row) for row in rows)

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match, in the order asked for."""
        conditions = ["collection = $1"]
        values: list[Value] = [collection.name]

        def wanted(condition: str, *more: Value) -> None:
            numbers = range(len(values) + 1, len(values) + len(more) + 1)
            conditions.append(condition.format(*numbers))
            values.extend(more)

        if selection.mrids:
            wanted("mrid = ANY(${}::text[])", [as_key(mrid) for mrid in selection.mrids])
        if selection.states:
            wanted("state = ANY(${}::text[])", list(selection.states))
        for number, group in enumerate(await self._rarest_first(collection.name, selection.keys)):
            wanted(_HAS_ONE_OF if number else _IS_ONE_OF, *_columns_of(group))
            if not all(map(has_own_row, group)):
                wanted(_IS_KEY_OF, [_encode(key) for key in group])
        if selection.since is not None:
            wanted("created_at >= ${}", to_micros(selection.since))
        if selection.until is not None:
            wanted("created_at <= ${}", to_micros(selection.until))
        if selection.after is not None:
            # Looked up beforehand: what is compared with a subquery is not looked up in the index.
            place = await self._session.fetch_one(_PLACE, collection.name, as_key(selection.after))
            if place is None:
                return ()
            behind = "<" if selection.newest_first else ">"
            wanted(f"(created_at, id) {behind} (${{}}::bigint, ${{}}::bigint)", place["created_at"], place["id"])
        values.append(selection.limit)
        order = "created_at DESC, id DESC" if selection.newest_first else "created_at, id"
        rows = await self._session.fetch(
            f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ${len(values)}", *values
        )
        return tuple(_stored_of(collection, row) for row in rows)

    async def _rarest_first(self, name: str, groups: tuple[tuple[Key, ...], ...]) -> Sequence[tuple[Key, ...]]:
        """The groups, that with the fewest objects first, as far as it is few: these are looked at one by one."""
        if len(groups) < 2:
            return groups
        counts = [_COUNT.format(2 * number + 2, 2 * number + 3) for number in range(len(groups))]
        columns = [column for group in groups for column in _columns_of(group)]
        row = await self._session.fetch_one(f"SELECT {', '.join(counts)}", name, *columns)
        assert row is not None
        return [groups[number] for number in sorted(range(len(groups)), key=lambda one: row[one])]

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        name = collection.name
        values = (name, *_columns_of_new(stored))
        old = await self._session.fetch_one(_UPDATE, *values)
        if old is None:
            await self._session.fetch(_INSERT, *values, *_columns_of(stored.keys))
            return
        before, now = rows_of(_keys_of(old["keys"])), rows_of(stored.keys)
        if gone := before - now:
            await self._session.fetch(_DELETE_KEYS, name, old["id"], *_columns_of(gone))
        if new := now - before:
            await self._session.fetch(_INSERT_KEYS, name, old["id"], *_columns_of(new))

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order; those that are new with one statement for many."""
        for at in range(0, len(stored), _TOGETHER):
            some = stored[at : at + _TOGETHER]
            mrids = [as_key(one.mrid) for one in some]
            found = await self._session.fetch(_FIND_OLD, collection.name, mrids)
            old = {row["mrid"] for row in found}
            new = [one for one, mrid in zip(some, mrids, strict=True) if mrid not in old]
            if new:
                await self._insert_all(collection.name, new)
            for one, mrid in zip(some, mrids, strict=True):
                if mrid in old:
                    await self.save(collection, one)

    async def _insert_all(self, name: str, new: Sequence[Stored[BodyT]]) -> None:
        rows = [_columns_of_new(one) for one in new]
        keys = [
            (row[0], as_key(key.sort), as_key(key.value))
            for row, one in zip(rows, new, strict=True)
            for key in sorted(rows_of(one.keys))
        ]
        await self._session.fetch(
            _INSERT_ALL,
            name,
            [row[0] for row in rows],
            [row[1] for row in rows],
            [row[2] for row in rows],
            [row[3] for row in rows],
            [row[4] for row in rows],
            [row[5] for row in rows],
            [mrid for mrid, _, _ in keys],
            [sort for _, sort, _ in keys],
            [value for _, _, value in keys],
        )

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        old = await self._session.fetch_one(_DELETE, collection.name, as_key(mrid))
        if old is not None:
            await self._session.fetch(_DELETE_KEYS, collection.name, old["id"], *_columns_of(_keys_of(old["keys"])))


def _columns_of_new(stored: Stored[BodyT]) -> tuple[str, str, int, int, bytes, bytes]:
    """The object as columns, behind that of its collection."""
    keys = sorted(stored.keys)
    mrid = as_key(stored.mrid)
    kept = keys if mrid == stored.mrid else [Key(_WHOLE_MRID, stored.mrid), *keys]
    return (
        mrid,
        stored.state,
        to_micros(stored.created_at),
        to_micros(stored.modified_at),
        _encode(kept),
        _encode(stored.body),
    )


def _columns_of(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    """Sorts and values of the rows in which these keys are entered, as two columns for unnest."""
    rows = sorted(rows_of(keys))
    return [as_key(row.sort) for row in rows], [as_key(row.value) for row in rows]


def _keys_of(encoded: bytes) -> frozenset[Key]:
    return frozenset(Key(sort, value) for sort, value in _decode_keys(encoded) if sort != _WHOLE_MRID)


def _whole_mrid(row: Row) -> MRID:
    mrid: str = row["mrid"]
    if mrid.startswith("\x01"):
        mrid = next((value for sort, value in _decode_keys(row["keys"]) if sort == _WHOLE_MRID), mrid)
    return MRID(mrid)


def _stored_of(collection: Collection[BodyT], row: Row) -> Stored[BodyT]:
    return Stored(
        mrid=_whole_mrid(row),
        state=row["state"],
        created_at=from_micros(row["created_at"]),
        modified_at=from_micros(row["modified_at"]),
        keys=_keys_of(row["keys"]),
        body=_decoder_of(collection.body).decode(row["body"]),
    )
