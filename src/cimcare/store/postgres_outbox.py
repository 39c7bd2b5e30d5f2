"""The outbox on PostgreSQL: put in together with its neighbours, and every step from there on in one statement.

`is_head` is kept with every step, so that claiming looks at nothing that stands behind others. Who is next of a key is
one look-up in `delivery_keys`, which holds what waits or is leased. What a partner has not got is counted with every
step. All parts of a statement see what was there before it. Decisions 0040, 0042 and 0123 have the reasons.

Conditions stand in the statements as in the partial indexes, which PostgreSQL uses only then.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from cimcare.exchange.outbox import (
    CARRIED,
    Backlog,
    Delivery,
    DeliveryKind,
    DeliverySelection,
    DeliveryState,
    NewDelivery,
    Priority,
)
from cimcare.exchange.store import StoreError
from cimcare.store.backlogs import Counts
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.postgres_session import Row, Session, Value, as_key, as_text

__all__ = ["PostgresOutbox", "PostgresOutboxReader"]

_COLUMNS = (
    "number", "message", "cause", "partner", "kind", "object_keys", "priority", "address", "verb", "noun", "message_id",
    "created_at", "state", "is_head", "due_at", "attempts", "attempts_before", "reason", "received",
)  # fmt: skip
_ALL = ", ".join(f"d.{column}" for column in _COLUMNS)

_FRESH = "d.is_head AND d.state = 'waiting' AND d.attempts = d.attempts_before"
_TRIED = "d.state IN ('waiting', 'leased') AND d.attempts > d.attempts_before AND (d.is_head OR d.state = 'leased')"
_OPEN = "d.state IN ('waiting', 'leased', 'awaiting')"
_LIVE = "d.state IN ('waiting', 'leased', 'awaiting', 'dead')"
_ENDED = "d.state IN ('delivered', 'discarded')"
_LAST_NUMBER = 2**63 - 1

_SELECT = f"SELECT {_ALL} FROM deliveries AS d"  # noqa: S608 - constants only
_FIND = f"{_SELECT} WHERE d.number = $1"
# Said so that no other index will do than that of what lives.
_FIRST_OF_STATE = (
    f"(SELECT d.number FROM deliveries AS d WHERE {_LIVE} AND (d.partner, d.state, d.number) > (b.partner, '{{0}}', 0)"  # noqa: S608
    " AND (d.partner, d.state) <= (b.partner, '{0}') ORDER BY d.partner, d.state, d.number LIMIT 1)"
)
_BACKLOGS = (
    "SELECT b.partner, b.waiting, b.awaiting, b.dead, (SELECT d.created_at FROM deliveries AS d WHERE d.number ="  # noqa: S608
    f" least({_FIRST_OF_STATE.format('waiting')}, {_FIRST_OF_STATE.format('leased')})) AS oldest"
    " FROM backlogs AS b WHERE b.waiting > 0 OR b.awaiting > 0 OR b.dead > 0"
)
_COUNT_OPEN = (
    f"SELECT count(*) FROM deliveries AS d WHERE {_OPEN} AND d.partner = $1"  # noqa: S608
    " AND d.created_at >= $2 AND d.created_at < $3"
)

_KEYS = "json_array_elements_text({}.object_keys::json) AS own (key)"
# As `as_key` has it.
_KEY = (
    "CASE WHEN octet_length(own.key) <= 2000 THEN own.key"
    r" ELSE E'\x01' || encode(sha256(convert_to(own.key, 'UTF8')), 'hex') END"
)

_ADD = (
    "INSERT INTO backlogs (partner, waiting, awaiting, dead)"
    " SELECT * FROM unnest(${}::text[], ${}::bigint[], ${}::bigint[], ${}::bigint[])"
    " ON CONFLICT (partner) DO UPDATE SET waiting = backlogs.waiting + excluded.waiting,"
    " awaiting = backlogs.awaiting + excluded.awaiting, dead = backlogs.dead + excluded.dead"
)
_COUNT = _ADD.format(1, 2, 3, 4)

# Rows of one transaction among each other are looked at before: `is_first`. What is counted goes with them.
_WRITE = (
    "WITH key AS MATERIALIZED (SELECT * FROM unnest($13::text[], $14::text[], $15::bigint[])"  # noqa: S608
    " AS key (partner, object_key, number)),"
    f" counted AS ({_ADD.format(17, 18, 19, 20)}),"
    " kept AS (INSERT INTO delivery_keys (partner, object_key, number) SELECT partner, object_key, number FROM key),"
    " blocked AS MATERIALIZED (SELECT key.number FROM key WHERE EXISTS (SELECT FROM delivery_keys AS older"
    " WHERE older.partner = key.partner AND older.object_key = key.object_key))"
    " INSERT INTO deliveries (number, message, cause, partner, kind, object_keys, priority, address, verb, noun,"
    " message_id, created_at, state, is_head, due_at, attempts, attempts_before, reason, received)"
    " SELECT number, message, cause, partner, kind, object_keys, priority, address, verb, noun, message_id, created_at,"
    " 'waiting', is_first AND number NOT IN (SELECT number FROM blocked), created_at, 0, 0, '', ''"
    " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::smallint[],"
    " $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $16::boolean[]) AS new (number, message, cause,"
    " partner, kind, object_keys, priority, address, verb, noun, message_id, created_at, is_first)"
)

# One sent again waits for a younger one of its objects that is under way still.
_IS_FREE = (
    "(d.attempts_before = 0 OR NOT EXISTS (SELECT FROM "
    f"{_KEYS.format('d')} JOIN busy ON busy.key = own.key AND busy.number > d.number))"
)
_OF_ONE_KIND = (
    "SELECT d.number FROM deliveries AS d WHERE d.partner = $1 AND d.kind = sort.kind AND d.priority = sort.priority"
)
# Each part is one walk along an index, of $4 rows at most; only leases that ran out are all looked at, which are no
# more than what was under way.
_CLAIM = (
    "WITH busy AS MATERIALIZED (SELECT own.key, max(d.number) AS number FROM deliveries AS d CROSS JOIN LATERAL"  # noqa: S608
    f" {_KEYS.format('d')} WHERE d.partner = $1 AND {_TRIED} AND d.state = 'leased' AND d.due_at > $2"
    " GROUP BY own.key),"
    " due AS MATERIALIZED (SELECT one.number FROM unnest($5::varchar[]) AS kinds (kind)"
    " CROSS JOIN unnest($6::smallint[]) AS priorities (priority)"
    " CROSS JOIN LATERAL (SELECT kinds.kind, priorities.priority) AS sort CROSS JOIN LATERAL ("
    f"(({_OF_ONE_KIND} AND {_FRESH} AND d.due_at <= $2 AND {_IS_FREE} ORDER BY d.number LIMIT $4)"
    f" UNION ALL ({_OF_ONE_KIND} AND {_TRIED} AND d.is_head AND d.state = 'waiting' AND d.due_at <= $2 AND {_IS_FREE}"
    " ORDER BY d.due_at LIMIT $4)"
    f" UNION ALL {_OF_ONE_KIND} AND {_TRIED} AND d.is_head AND d.state = 'leased' AND d.due_at <= $2)"
    ") AS one ORDER BY sort.priority DESC, one.number LIMIT $4)"
    " UPDATE deliveries AS d SET state = 'leased', due_at = $3, attempts = d.attempts + 1 FROM due"
    f" WHERE d.number = due.number RETURNING {_ALL}"
)

_OF_ATTEMPT = "d.number = $1 AND d.state = 'leased' AND d.attempts = $2"
_RENEW = f"UPDATE deliveries AS d SET due_at = $3 WHERE {_OF_ATTEMPT} RETURNING 1"  # noqa: S608 - constants only
_FAIL = (
    "UPDATE deliveries AS d SET state = 'waiting', due_at = $3, reason = $4, received = $5"  # noqa: S608
    f" WHERE {_OF_ATTEMPT} RETURNING 1"
)
_GIVE_BACK = (
    "UPDATE deliveries AS d SET state = 'waiting', due_at = $3, attempts = d.attempts - 1"
    " FROM unnest($1::bigint[], $2::integer[]) AS wanted (number, attempt)"
    " WHERE d.number = wanted.number AND d.state = 'leased' AND d.attempts = wanted.attempt"
)
_OWN_KEYS = (
    f"key AS MATERIALIZED (SELECT DISTINCT changed.partner, changed.number, {_KEY} AS object_key"  # noqa: S608
    f" FROM changed CROSS JOIN LATERAL {_KEYS.format('changed')})"
)
# One look-up for each key, whatever the planner believes to know of how many there are.
_SHARES_WITH_OLDER = (
    f"EXISTS (SELECT FROM {_KEYS.format('d')}"  # noqa: S608 - constants only
    " WHERE (SELECT min(older.number) FROM delivery_keys AS older"
    f" WHERE older.partner = d.partner AND older.object_key = {_KEY}{{}}) < d.number)"
)
_END = (
    "WITH changed AS (UPDATE deliveries AS d SET state = $3, due_at = $4, is_head = true, reason = $5,"  # noqa: S608
    f" received = $6 WHERE {_OF_ATTEMPT} RETURNING d.number, d.partner, d.object_keys), {_OWN_KEYS},"
    " gone AS (DELETE FROM delivery_keys AS d USING key WHERE d.partner = key.partner AND d.object_key = key.object_key"
    " AND d.number = key.number),"
    " follower AS MATERIALIZED (SELECT DISTINCT (SELECT min(d.number) FROM delivery_keys AS d"
    " WHERE d.partner = key.partner AND d.object_key = key.object_key AND d.number <> key.number) AS number FROM key),"
    " promoted AS (UPDATE deliveries AS d SET is_head = true FROM follower WHERE d.number = follower.number"
    f" AND NOT d.is_head AND NOT {_SHARES_WITH_OLDER.format(' AND older.number <> $1')})"
    " SELECT partner FROM changed"
)
_SUCCEED = (
    "WITH changed AS (UPDATE deliveries AS d SET state = 'delivered', due_at = $3, is_head = true, reason = '',"  # noqa: S608
    " received = '' FROM unnest($1::bigint[], $2::integer[]) AS wanted (number, attempt)"
    " WHERE d.number = wanted.number AND d.state = 'leased' AND d.attempts = wanted.attempt"
    f" RETURNING d.number, d.partner, d.object_keys), {_OWN_KEYS},"
    " gone AS (DELETE FROM delivery_keys AS d USING key WHERE d.partner = key.partner AND d.object_key = key.object_key"
    " AND d.number = key.number),"
    " follower AS MATERIALIZED (SELECT DISTINCT (SELECT min(d.number) FROM delivery_keys AS d"
    " WHERE d.partner = key.partner AND d.object_key = key.object_key"
    " AND d.number NOT IN (SELECT changed.number FROM changed)) AS number FROM key),"
    " promoted AS (UPDATE deliveries AS d SET is_head = true FROM follower WHERE d.number = follower.number"
    f" AND NOT d.is_head AND NOT {_SHARES_WITH_OLDER.format(' AND older.number NOT IN (SELECT number FROM changed)')})"
    " SELECT number, partner FROM changed"
)
_RESEND = (
    "WITH changed AS (UPDATE deliveries AS d SET state = 'waiting', due_at = $2,"  # noqa: S608
    f" attempts_before = d.attempts, is_head = NOT {_SHARES_WITH_OLDER.format('')}"
    " WHERE d.number = $1 AND d.state = 'dead'"
    f" RETURNING d.number, d.partner, d.object_keys), {_OWN_KEYS},"
    " kept AS (INSERT INTO delivery_keys (partner, object_key, number) SELECT partner, object_key, number FROM key),"
    " follower AS MATERIALIZED (SELECT DISTINCT (SELECT min(d.number) FROM delivery_keys AS d"
    " WHERE d.partner = key.partner AND d.object_key = key.object_key AND d.number > key.number) AS number FROM key),"
    " demoted AS (UPDATE deliveries AS d SET is_head = false FROM follower WHERE d.number = follower.number"
    " AND d.is_head)"
    " SELECT partner FROM changed"
)
_FIND_AWAITING = f"{_SELECT} WHERE d.message = $1 AND d.state = 'awaiting' ORDER BY d.number LIMIT 1"
_ANSWER = (
    "UPDATE deliveries AS d SET state = 'delivered', due_at = $2 WHERE d.number = $1 AND d.state = 'awaiting'"
    " RETURNING d.partner"
)
_EXPIRE = (
    "WITH found AS MATERIALIZED (SELECT number, due_at FROM deliveries WHERE state = 'awaiting' AND due_at <= $1"  # noqa: S608
    " ORDER BY due_at, number LIMIT $3)"
    " UPDATE deliveries AS d SET state = 'dead', due_at = $1, reason = $2 FROM found WHERE d.number = found.number"
    f" RETURNING {_ALL}, found.due_at AS was_due_at"
)
# For each state one walk along the index of what lives; said so that no other index will do.
_OPEN_OF_STATE = (
    f"(SELECT d.number, d.state FROM deliveries AS d WHERE {_LIVE}"  # noqa: S608 - constants only
    " AND (d.partner, d.state, d.number) > ($1, '{state}', $6)"
    " AND (d.partner, d.state) <= ($1, '{state}') AND ($4::text = '' OR d.noun = $4)"
    " AND ($5::bigint IS NULL OR d.created_at <= $5){also} ORDER BY d.partner, d.state, d.number LIMIT $7)"
)
_ABANDON = (
    "WITH found AS MATERIALIZED (SELECT one.number, one.state FROM ("  # noqa: S608 - constants only
    f"{_OPEN_OF_STATE.format(state='waiting', also='')} UNION ALL {_OPEN_OF_STATE.format(state='awaiting', also='')}"
    f" UNION ALL {_OPEN_OF_STATE.format(state='leased', also=' AND d.due_at <= $2')}"
    ") AS one ORDER BY one.number LIMIT $7),"
    " changed AS (UPDATE deliveries AS d SET state = 'dead', due_at = $2, is_head = true, reason = $3 FROM found"
    f" WHERE d.number = found.number RETURNING {_ALL}, found.state AS before), {_OWN_KEYS},"
    " gone AS (DELETE FROM delivery_keys AS d USING key WHERE d.partner = key.partner AND d.object_key = key.object_key"
    " AND d.number = key.number),"
    " follower AS MATERIALIZED (SELECT DISTINCT (SELECT min(d.number) FROM delivery_keys AS d"
    " WHERE d.partner = object.partner AND d.object_key = object.object_key"
    " AND d.number NOT IN (SELECT number FROM key)) AS number"
    " FROM (SELECT DISTINCT partner, object_key FROM key) AS object),"
    " promoted AS (UPDATE deliveries AS d SET is_head = true FROM follower WHERE d.number = follower.number"
    f" AND NOT d.is_head AND NOT {_SHARES_WITH_OLDER.format(' AND older.number NOT IN (SELECT number FROM key)')})"
    " SELECT * FROM changed ORDER BY number"
)
_DISCARD = (
    "UPDATE deliveries AS d SET state = 'discarded', due_at = $2, reason = $3 WHERE d.number = $1 AND d.state = 'dead'"
    " RETURNING d.partner"
)
_SETTLE = (
    "UPDATE deliveries AS d SET state = 'delivered', due_at = $2, reason = $3 WHERE d.number = $1 AND d.state = 'dead'"
    " RETURNING d.partner"
)
_REMOVE_EMPTY = "DELETE FROM backlogs WHERE waiting = 0 AND awaiting = 0 AND dead = 0"
_REMOVE_ENDED = (
    "DELETE FROM deliveries WHERE number = ANY(ARRAY("  # noqa: S608
    f"SELECT d.number FROM deliveries AS d WHERE {_ENDED} AND d.due_at < $1 ORDER BY d.due_at, d.number LIMIT $2))"
    " RETURNING 1"
)

_LONGEST_NAME_BYTES = 1000
_LIVE_STATES = frozenset(DeliveryState) - {DeliveryState.DELIVERED, DeliveryState.DISCARDED}

_Sums = tuple[list[str], list[int], list[int], list[int]]
"""What is added to counts, by column: partner, waiting, awaiting, dead."""

_encode = msgspec.json.Encoder().encode
_decode_keys = msgspec.json.Decoder(tuple[str, ...]).decode


class PostgresOutboxReader:
    """The outbox over one session, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        row = await self._session.fetch_one(_FIND, number)
        return None if row is None else _delivery_of(row)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        conditions, values = _conditions_of(selection)
        by_message = selection.message is not None or selection.cause is not None
        if selection.states and not by_message and _LIVE_STATES.issuperset(selection.states):
            values += [
                as_text(selection.partner) or None,
                [str(state) for state in dict.fromkeys(selection.states)],
                selection.limit,
            ]
            statement = _select_live(conditions, len(values), newest_first=selection.newest_first)
        else:
            if selection.partner:
                values.append(as_text(selection.partner))
                conditions.append(f"d.partner = ${len(values)}")
            if selection.states:
                values.append([str(state) for state in selection.states])
                conditions.append(f"d.state = ANY(${len(values)})")
            values.append(selection.limit)
            order = "d.number + 0" if by_message else "d.number"  # by the few of that message, not along all
            page = "d.number < $1" if selection.newest_first else "d.number > $1"
            way = " DESC" if selection.newest_first else ""
            statement = (
                f"{_SELECT} WHERE {' AND '.join([page, *conditions])} ORDER BY {order}{way} LIMIT ${len(values)}"
            )
        return tuple(_delivery_of(row) for row in await self._session.fetch(statement, *values))

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait, await or are dead."""
        rows = await self._session.fetch(_BACKLOGS)
        return tuple(_backlog_of(row) for row in sorted(rows, key=lambda row: row["partner"]))

    async def count_open(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of a partner's wait, are leased or await."""
        row = await self._session.fetch_one(_COUNT_OPEN, as_text(partner), to_micros(since), to_micros(until))
        assert row is not None
        counted: int = row["count"]
        return counted


class PostgresOutbox(PostgresOutboxReader):
    """The outbox inside one transaction. Every answer covers what was not written yet, which waits and was not tried.

    What ends an attempt, an expectation or a dead letter finds none there, so it writes nothing before; what is
    abandoned may be there.
    """

    def __init__(self, session: Session, *, last: int) -> None:
        """Begin behind the number `last`."""
        super().__init__(session)
        self._last = last
        self.counts = Counts()
        self.pending: Pending[tuple[int, NewDelivery]] = Pending()

    @property
    def last(self) -> int:
        """The number given last."""
        return self._last + len(self.pending)

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        await self.write()
        return await super().find(number)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        await self.write()
        return await super().select(selection)

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait, await or are dead."""
        await self.write()
        return await super().backlogs()

    async def count_open(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of a partner's wait, are leased or await."""
        await self.write()
        return await super().count_open(partner, since, until)

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in; its number.

        Raises:
            StoreError: The name of the destination is too long for an index. Said at once, for this message alone.
        """
        if len(as_text(new.partner).encode()) > _LONGEST_NAME_BYTES:
            raise StoreError(f"a destination with a name of more than {_LONGEST_NAME_BYTES} bytes")
        number = self.last + 1
        self.pending.add((number, new))
        self.counts.note(as_text(new.partner), None, DeliveryState.WAITING)
        return number

    async def claim(
        self, partner: str, *, now: datetime, until: datetime, limit: int, only: Collection[DeliveryKind] = ()
    ) -> tuple[Delivery, ...]:
        """Lease deliveries that are due, the urgent first, then the oldest."""
        await self.write()
        rows = await self._session.fetch(
            _CLAIM,
            as_text(partner),
            to_micros(now),
            to_micros(until),
            limit,
            [kind.value for kind in DeliveryKind if kind in (only or CARRIED)],
            [priority.value for priority in Priority],
        )
        claimed = (_delivery_of(row) for row in rows)
        return tuple(sorted(claimed, key=lambda delivery: (-delivery.priority, delivery.number)))

    async def renew(self, number: int, attempt: int, *, until: datetime) -> bool:
        """Make a lease longer."""
        return await self._does(_RENEW, number, attempt, to_micros(until))

    async def give_back(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> None:
        """These were claimed and nothing of them was sent."""
        numbers, tries = [number for number, _ in attempts], [attempt for _, attempt in attempts]
        await self._session.fetch(_GIVE_BACK, numbers, tries, to_micros(now))

    async def succeed(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> frozenset[int]:
        """The partner has them."""
        numbers, tries = [number for number, _ in attempts], [attempt for _, attempt in attempts]
        rows = await self._session.fetch(_SUCCEED, numbers, tries, to_micros(now))
        for row in rows:
            self.counts.note(row["partner"], DeliveryState.LEASED, DeliveryState.DELIVERED)
        return frozenset(row["number"] for row in rows)

    async def wait_for_reply(self, number: int, attempt: int, *, until: datetime) -> bool:
        """The partner has acknowledged a request."""
        return await self._end(number, attempt, DeliveryState.AWAITING, until, "", b"")

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing. The delivery keeps its place."""
        return await self._does(_FAIL, number, attempt, to_micros(due_at), as_text(reason), received)

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up."""
        return await self._end(number, attempt, DeliveryState.DEAD, now, reason, received)

    async def find_awaiting(self, message: int) -> Delivery | None:
        """The delivery of this message that awaits its reply."""
        row = await self._session.fetch_one(_FIND_AWAITING, message)
        return None if row is None else _delivery_of(row)

    async def answer(self, number: int, *, now: datetime) -> bool:
        """The reply that was awaited has come."""
        return await self._moves(_ANSWER, DeliveryState.AWAITING, DeliveryState.DELIVERED, number, to_micros(now))

    async def expire(self, *, now: datetime, reason: str, limit: int) -> tuple[Delivery, ...]:
        """Make dead letters of those that got no reply in time."""
        rows = await self._session.fetch(_EXPIRE, to_micros(now), as_text(reason), limit)
        rows.sort(key=lambda row: (row["was_due_at"], row["number"]))
        for row in rows:
            self.counts.note(row["partner"], DeliveryState.AWAITING, DeliveryState.DEAD)
        return tuple(_delivery_of(row) for row in rows)

    async def abandon(
        self,
        partner: str,
        *,
        now: datetime,
        reason: str,
        noun: str = "",
        before: datetime | None = None,
        after: int = 0,
        limit: int,
    ) -> tuple[Delivery, ...]:
        """Make dead letters of those of a destination that wait or await their reply."""
        await self.write()
        rows = await self._session.fetch(
            _ABANDON,
            as_text(partner),
            to_micros(now),
            as_text(reason),
            as_text(noun),
            None if before is None else to_micros(before),
            after,
            limit,
        )
        for row in rows:
            self.counts.note(row["partner"], DeliveryState(row["before"]), DeliveryState.DEAD)
        return tuple(_delivery_of(row) for row in rows)

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again, before the younger ones of its objects."""
        return await self._moves(_RESEND, DeliveryState.DEAD, DeliveryState.WAITING, number, to_micros(now))

    async def settle(self, number: int, *, now: datetime, reason: str) -> bool:
        """The answer to a dead letter has come after all."""
        values = (number, to_micros(now), as_text(reason))
        return await self._moves(_SETTLE, DeliveryState.DEAD, DeliveryState.DELIVERED, *values)

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good."""
        values = (number, to_micros(now), as_text(reason))
        return await self._moves(_DISCARD, DeliveryState.DEAD, DeliveryState.DISCARDED, *values)

    async def remove_ended(self, before: datetime, *, limit: int) -> int:
        """Forget deliveries that were delivered or discarded before then."""
        await self._session.fetch(_REMOVE_EMPTY)
        return len(await self._session.fetch(_REMOVE_ENDED, to_micros(before), limit))

    async def write(self) -> None:
        """Write what was not written yet. Raises StoreError."""
        rows, sums = self.pending.unwritten, _columns_of(self.counts.sums())
        if rows:
            await self._write(rows, sums)
        elif sums[0]:
            await self._session.fetch(_COUNT, *sums)
        self.pending.note_written()
        self.counts.pending.note_written()

    async def _write(self, rows: list[tuple[int, NewDelivery]], sums: _Sums) -> None:
        keys: list[tuple[str, str, int]] = []
        firsts: list[bool] = []
        taken: set[tuple[str, str]] = set()
        for number, new in rows:
            partner = as_text(new.partner)
            own = {(partner, as_key(as_text(key))) for key in new.object_keys}
            firsts.append(own.isdisjoint(taken))
            taken |= own
            keys += [(*key, number) for key in sorted(own)]
        await self._session.fetch(
            _WRITE,
            [number for number, _ in rows],
            [new.message for _, new in rows],
            [new.cause for _, new in rows],
            [as_text(new.partner) for _, new in rows],
            [new.kind.value for _, new in rows],
            [_encode([as_text(key) for key in new.object_keys]).decode() for _, new in rows],
            [new.priority.value for _, new in rows],
            [as_text(new.address) for _, new in rows],
            [as_text(new.verb) for _, new in rows],
            [as_text(new.noun) for _, new in rows],
            [as_text(new.message_id) for _, new in rows],
            [to_micros(new.created_at) for _, new in rows],
            [partner for partner, _, _ in keys],
            [key for _, key, _ in keys],
            [number for _, _, number in keys],
            firsts,
            *sums,
        )

    async def _end(
        self, number: int, attempt: int, state: DeliveryState, at: datetime, reason: str, received: bytes
    ) -> bool:
        """End an attempt so that nobody is held up by this delivery any more."""
        values = (number, attempt, state.value, to_micros(at), as_text(reason), received)
        return await self._moves(_END, DeliveryState.LEASED, state, *values)

    async def _moves(self, statement: str, before: DeliveryState, after: DeliveryState, *values: Value) -> bool:
        """Take one delivery, whose partner the statement gives back, from one state to another."""
        rows = await self._session.fetch(statement, *values)
        for row in rows:
            self.counts.note(row["partner"], before, after)
        return bool(rows)

    async def _does(self, statement: str, *values: Value) -> bool:
        return bool(await self._session.fetch(statement, *values))


def _conditions_of(selection: DeliverySelection) -> tuple[list[str], list[Value]]:
    """Conditions of a selection and their values, but for the page, which is the first value, partner and states."""
    conditions: list[str] = []
    first = _LAST_NUMBER if selection.newest_first else 0
    values: list[Value] = [first if selection.after is None else selection.after]
    for condition, value in (
        ("d.noun =", as_text(selection.noun) or None),
        ("d.verb =", as_text(selection.verb) or None),
        ("d.message =", selection.message),
        ("d.cause =", selection.cause),
        ("d.created_at >=", None if selection.since is None else to_micros(selection.since)),
        ("d.created_at <=", None if selection.before is None else to_micros(selection.before)),
    ):
        if value is not None:
            values.append(value)
            conditions.append(f"{condition} ${len(values)}")
    return conditions, values


def _select_live(conditions: list[str], values: int, *, newest_first: bool) -> str:
    """What is left of all that ever was, by an index of its own: for each partner and state one walk along it.

    The last three values are the partner, None for all; the states; the limit.
    """
    behind, within, way = ("<", ">=", " DESC") if newest_first else (">", "<=", "")
    return (
        f"WITH RECURSIVE known AS (SELECT coalesce(${values - 2}, (SELECT min(partner) FROM deliveries AS d"  # noqa: S608
        f" WHERE {_LIVE})) AS partner UNION ALL SELECT (SELECT min(d.partner) FROM deliveries AS d WHERE {_LIVE}"
        f" AND d.partner > known.partner) FROM known WHERE known.partner IS NOT NULL AND ${values - 2} IS NULL)"
        f" SELECT {_ALL} FROM known CROSS JOIN unnest(${values - 1}::varchar[]) AS wanted (state)"
        # Said so that no other index will do.
        f" CROSS JOIN LATERAL (SELECT * FROM deliveries AS d WHERE {_LIVE}"
        f" AND (d.partner, d.state, d.number) {behind} (known.partner, wanted.state, $1)"
        f" AND (d.partner, d.state) {within} (known.partner, wanted.state)"
        f"{''.join(f' AND {condition}' for condition in conditions)}"
        f" ORDER BY d.partner{way}, d.state{way}, d.number{way} LIMIT ${values}) AS d"
        f" ORDER BY d.number{way} LIMIT ${values}"
    )


def _columns_of(sums: Sequence[tuple[str, int, int, int]]) -> _Sums:
    return (
        [partner for partner, _, _, _ in sums],
        [waiting for _, waiting, _, _ in sums],
        [awaiting for _, _, awaiting, _ in sums],
        [dead for _, _, _, dead in sums],
    )


def _backlog_of(row: Row) -> Backlog:
    return Backlog(
        partner=row["partner"],
        waiting=row["waiting"],
        awaiting=row["awaiting"],
        dead=row["dead"],
        oldest_at=None if row["oldest"] is None else from_micros(row["oldest"]),
    )


def _delivery_of(row: Row) -> Delivery:
    return Delivery(
        number=row[0],
        message=row[1],
        cause=row[2],
        partner=row[3],
        kind=DeliveryKind(row[4]),
        object_keys=_decode_keys(row[5]),
        priority=Priority(row[6]),
        address=row[7],
        verb=row[8],
        noun=row[9],
        message_id=row[10],
        created_at=from_micros(row[11]),
        state=DeliveryState(row[12]),
        is_head=row[13],
        due_at=from_micros(row[14]),
        attempts=row[15],
        attempts_before=row[16],
        reason=row[17],
        received=row[18],
    )
