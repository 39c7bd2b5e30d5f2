"""The outbox on SQLite: hot statements written by hand.

`is_head` is kept with every step, so that claiming looks at nothing that stands behind others. Who is next of a key is
one look-up in `delivery_keys`, which holds what waits or is leased. What a partner has not got is counted with every
step. Decisions 0040 and 0123 have the reasons.

Conditions stand in the statements as in the partial indexes, which SQLite uses only then.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from heapq import merge

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
from cimcare.store.backlogs import Counts
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.sqlite_session import CatchingUp, Session, Value

__all__ = ["SqliteOutbox", "SqliteOutboxReader"]

_COLUMNS = (
    "number, message, cause, partner, kind, object_keys, priority, address, verb, noun, message_id, created_at, state,"
    " is_head, due_at, attempts, attempts_before, reason, received"
)
_Row = tuple[int, int, int, str, str, str, int, str, str, str, str, int, str, int, int, int, int, str, bytes]

_FRESH = "is_head AND state = 'waiting' AND attempts = attempts_before"
_TRIED = "state IN ('waiting', 'leased') AND attempts > attempts_before AND (is_head OR state = 'leased')"
_LIVE = "state IN ('waiting', 'leased', 'awaiting', 'dead')"
_OPEN = "state IN ('waiting', 'leased', 'awaiting')"
_ENDED = "state IN ('delivered', 'discarded')"
_OPEN_STATES = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING)
_LIVE_STATES = (*_OPEN_STATES, DeliveryState.DEAD)

_SELECT = f"SELECT {_COLUMNS} FROM deliveries"  # noqa: S608 - constants only
_FIND = f"{_SELECT} WHERE number = ?"
# The state is said as a range: of two equations, this one and that of what lives, SQLite takes the wrong one for the
# index, and sorts all that lives.
_FIRST_OF_STATE = (
    f"(SELECT number FROM deliveries WHERE {_LIVE} AND partner = b.partner AND state >= '{{0}}' AND state <= '{{0}}'"  # noqa: S608
    " ORDER BY partner, state, number LIMIT 1)"
)
_BACKLOGS = (
    "SELECT partner, waiting, awaiting, dead, (SELECT created_at FROM deliveries WHERE number ="  # noqa: S608
    f" min(ifnull({_FIRST_OF_STATE.format('waiting')}, 9e18), ifnull({_FIRST_OF_STATE.format('leased')}, 9e18)))"
    " FROM backlogs AS b WHERE waiting > 0 OR awaiting > 0 OR dead > 0 ORDER BY partner"
)
_COUNT = (
    "INSERT INTO backlogs (partner, waiting, awaiting, dead) VALUES (?, ?, ?, ?) ON CONFLICT (partner) DO UPDATE SET"
    " waiting = waiting + excluded.waiting, awaiting = awaiting + excluded.awaiting, dead = dead + excluded.dead"
)
_REMOVE_EMPTY = "DELETE FROM backlogs WHERE waiting = 0 AND awaiting = 0 AND dead = 0"
_COUNT_OPEN = f"SELECT count(*) FROM deliveries WHERE {_OPEN} AND partner = ? AND created_at >= ? AND created_at < ?"  # noqa: S608

_INSERT = (
    "INSERT INTO deliveries (number, message, cause, partner, kind, object_keys, priority, address, verb, noun,"
    " message_id, created_at, state, is_head, due_at, attempts, attempts_before, reason, received)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, 0, 0, '', x'')"
)
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'deliveries'"
_TAKEN = (
    "SELECT wanted.key FROM json_each(?) AS wanted WHERE EXISTS (SELECT 1 FROM delivery_keys"
    " WHERE partner = json_extract(wanted.value, '$[0]') AND object_key = json_extract(wanted.value, '$[1]'))"
)
_INSERT_KEY = "INSERT INTO delivery_keys (partner, object_key, number) VALUES (?, ?, ?)"
_DELETE_KEY = "DELETE FROM delivery_keys WHERE partner = ? AND object_key = ? AND number = ?"
_IS_TAKEN = "SELECT 1 FROM delivery_keys WHERE partner = ? AND object_key = ? AND number < ? LIMIT 1"
_FIRST_OF_KEYS = (
    "SELECT DISTINCT (SELECT min(number) FROM delivery_keys WHERE partner = json_extract(wanted.value, '$[0]')"
    " AND object_key = json_extract(wanted.value, '$[1]')) FROM json_each(?) AS wanted"
)
_NEXT_OF_KEY = "SELECT min(number) FROM delivery_keys WHERE partner = ? AND object_key = ? AND number > ?"
_PROMOTE = (
    "UPDATE deliveries SET is_head = 1 WHERE number = ? AND NOT is_head AND NOT EXISTS (SELECT 1"
    " FROM json_each(deliveries.object_keys) AS own CROSS JOIN delivery_keys AS older WHERE older.partner ="
    " deliveries.partner AND older.object_key = own.value AND older.number < deliveries.number)"
)
_DEMOTE = "UPDATE deliveries SET is_head = 0 WHERE number = ? AND is_head"

# A younger one of its objects may be under way still when a delivery is sent again: that one is waited for.
_WAITS_FOR_YOUNGER = (
    "attempts_before > 0 AND EXISTS (SELECT 1 FROM deliveries AS younger WHERE younger.partner = d.partner"
    " AND younger.state = 'leased' AND younger.state IN ('waiting', 'leased')"
    " AND younger.attempts > younger.attempts_before AND (younger.is_head OR younger.state = 'leased')"
    " AND younger.due_at > :now AND younger.number > d.number AND EXISTS (SELECT 1"
    " FROM json_each(d.object_keys) AS own CROSS JOIN delivery_keys AS shared WHERE shared.partner = d.partner"
    " AND shared.object_key = own.value AND shared.number = younger.number))"
)
_OF_ONE_KIND = "FROM deliveries AS d WHERE partner = :partner AND kind = '{kind}' AND priority = {priority}"
_FRESH_OF_ONE_KIND = (
    f"SELECT {{priority}}, number {_OF_ONE_KIND} AND {_FRESH} AND due_at <= :now AND NOT ({_WAITS_FOR_YOUNGER})"
    " ORDER BY number LIMIT :limit"
)
_TRIED_OF_ONE_KIND = (
    f"SELECT {{priority}}, number {_OF_ONE_KIND} AND {_TRIED} AND is_head AND state = 'waiting' AND due_at <= :now"
    f" AND NOT ({_WAITS_FOR_YOUNGER}) ORDER BY due_at, number LIMIT :limit"
)
_ABANDONED = (
    f"SELECT number, kind, priority FROM deliveries WHERE partner = ? AND {_TRIED}"  # noqa: S608 - constants only
    " AND is_head AND state = 'leased' AND due_at <= ?"
)
_LEASE = (
    "UPDATE deliveries SET state = 'leased', due_at = ?, attempts = attempts + 1"  # noqa: S608 - constants only
    f" WHERE number IN (SELECT value FROM json_each(?)) RETURNING {_COLUMNS}"
)

_OF_ATTEMPT = "WHERE number = ? AND state = 'leased' AND attempts = ?"
_END = (
    f"UPDATE deliveries SET state = ?, due_at = ?, is_head = 1, reason = ?, received = ? {_OF_ATTEMPT}"  # noqa: S608
    " RETURNING partner, object_keys"
)
_LEASED_OF = (
    "SELECT number, attempts, partner, object_keys FROM deliveries"
    " WHERE number IN (SELECT value FROM json_each(?)) AND state = 'leased'"
)
_SUCCEED = (
    "UPDATE deliveries SET state = 'delivered', due_at = ?, is_head = 1, reason = '', received = x''"
    " WHERE number IN (SELECT value FROM json_each(?))"
)
_FAIL = f"UPDATE deliveries SET state = 'waiting', due_at = ?, reason = ?, received = ? {_OF_ATTEMPT}"  # noqa: S608
_RENEW = f"UPDATE deliveries SET due_at = ? {_OF_ATTEMPT}"  # noqa: S608 - constants only
_GIVE_BACK = f"UPDATE deliveries SET state = 'waiting', due_at = ?, attempts = attempts - 1 {_OF_ATTEMPT}"  # noqa: S608
_EXPIRED = (
    "SELECT number, partner FROM deliveries WHERE state = 'awaiting' AND due_at <= ? ORDER BY due_at, number LIMIT ?"
)
_BURY_AWAITING = "UPDATE deliveries SET state = 'dead', due_at = ?, reason = ? WHERE number = ?"
_ABANDON = "UPDATE deliveries SET state = 'dead', due_at = ?, is_head = 1, reason = ? WHERE number = ?"
_ANSWER = (
    "UPDATE deliveries SET state = 'delivered', due_at = ? WHERE number = ? AND state = 'awaiting' RETURNING partner"
)
_RESEND = (
    "UPDATE deliveries SET state = 'waiting', due_at = ?, is_head = ?, attempts_before = attempts WHERE number = ?"
)
_END_DEAD = (
    "UPDATE deliveries SET state = ?, due_at = ?, reason = ? WHERE number = ? AND state = 'dead' RETURNING partner"
)
_REMOVE_ENDED = (
    "DELETE FROM deliveries WHERE number IN"  # noqa: S608 - constants only
    f" (SELECT number FROM deliveries WHERE {_ENDED} AND due_at < ? ORDER BY due_at, number LIMIT ?)"
)

_LAST_NUMBER = 2**63 - 1
_encode = msgspec.json.Encoder().encode
_keys_of = msgspec.json.Decoder(tuple[str, ...]).decode


class SqliteOutboxReader:
    """The outbox over one connection, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        row: _Row | None = self._session.one(_FIND, (number,))
        return None if row is None else _delivery_of(row)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        conditions, values = _conditions_of(selection)
        is_by_message = selection.message is not None or selection.cause is not None
        if is_by_message or not selection.states or not set(selection.states) <= set(_LIVE_STATES):
            if selection.states:
                conditions.append(f"state IN ({', '.join('?' * len(selection.states))})")
                values.extend(state.value for state in selection.states)
            return self._select(conditions, values, selection)
        # What is left of all that ever was is found by an index of its own: partner, state, number.
        partners = [selection.partner] if selection.partner else self._partners()
        found = [
            self._select([*conditions, _LIVE, "partner = ?", "state = ?"], [*values, partner, state], selection)
            for partner in partners
            for state in dict.fromkeys(selection.states)
        ]
        in_order = merge(*found, key=lambda delivery: delivery.number, reverse=selection.newest_first)
        return tuple(in_order)[: selection.limit]

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait, await or are dead."""
        return tuple(
            Backlog(
                partner=partner,
                waiting=waiting,
                awaiting=awaiting,
                dead=dead,
                oldest_at=None if oldest is None else from_micros(oldest),
            )
            for partner, waiting, awaiting, dead, oldest in self._session.all(_BACKLOGS)
        )

    async def count_open(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of a partner's wait, are leased or await."""
        counted: int = self._session.one(_COUNT_OPEN, (partner, to_micros(since), to_micros(until)))[0]
        return counted

    def _partners(self) -> list[str]:
        """Partners that have anything left."""
        return [backlog[0] for backlog in self._session.all("SELECT partner FROM backlogs")]

    def _select(self, conditions: list[str], values: list[Value], selection: DeliverySelection) -> tuple[Delivery, ...]:
        order = "number DESC" if selection.newest_first else "number"
        statement = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
        return tuple(_delivery_of(row) for row in self._session.all(statement, (*values, selection.limit)))


class SqliteOutbox(SqliteOutboxReader):
    """The outbox inside the transaction that is open.

    What is put in waits in memory until somebody looks, or the commit; what has ended holds its objects until then.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(CatchingUp(session, self.write))
        self._written = session
        self._last: int | None = None
        self.counts = Counts()
        self._ended: list[tuple[str, str, int]] = []
        self.pending: Pending[tuple[int, NewDelivery, str]] = Pending()

    def forget_last(self) -> None:
        """Others may have put something in, or what was put in was undone: look anew for the last number."""
        self._last = None

    def let_go(self) -> None:
        """Whoever waits for what has ended need not wait any more."""
        ended, self._ended = self._ended, []
        if ended:
            self._let_go(ended)

    def drop_ended(self) -> None:
        """What has ended since `let_go` was undone."""
        self._ended = []

    def write(self) -> None:
        """Write what was not written yet."""
        self.let_go()
        self._write_new()
        if sums := self.counts.sums():
            self._written.run_each(_COUNT, sums)
        self.counts.pending.note_written()

    def _write_new(self) -> None:
        waiting = self.pending.unwritten
        if not waiting:
            return
        keys = [(new.partner, key) for _, new, _ in waiting for key in dict.fromkeys(new.object_keys)]
        every = list(dict.fromkeys(keys))
        taken = {every[at] for (at,) in self._written.all(_TAKEN, (_encode(every).decode(),))}
        rows: list[tuple[Value, ...]] = []
        key_rows: list[tuple[str, str, int]] = []
        for number, new, object_keys in waiting:
            own = [(new.partner, key) for key in dict.fromkeys(new.object_keys)]
            is_head = taken.isdisjoint(own)
            taken.update(own)
            key_rows += [(*key, number) for key in own]
            created_at = to_micros(new.created_at)
            rows.append(
                (
                    number,
                    new.message,
                    new.cause,
                    new.partner,
                    new.kind.value,
                    object_keys,
                    new.priority.value,
                    new.address,
                    new.verb,
                    new.noun,
                    new.message_id,
                    created_at,
                    is_head,
                    created_at,
                )
            )
        self._written.run_each(_INSERT, rows)
        self._written.run_each(_INSERT_KEY, key_rows)
        self.pending.note_written()

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in."""
        self._written.require_transaction()
        for text in (new.partner, new.address, new.verb, new.noun, new.message_id):
            text.encode()  # what the database cannot hold fails here, and not those who share the commit
        if self._last is None:
            found: tuple[int] | None = self._written.one(_LAST)
            last = self.pending.last
            self._last = max(found[0] if found else 0, last[0] if last else 0)
        self._last += 1
        self.pending.add((self._last, new, _encode(new.object_keys).decode()))
        self.counts.note(new.partner, None, DeliveryState.WAITING)
        return self._last

    async def claim(
        self, partner: str, *, now: datetime, until: datetime, limit: int, only: Collection[DeliveryKind] = ()
    ) -> tuple[Delivery, ...]:
        """Lease deliveries that are due."""
        kinds = tuple(kind for kind in DeliveryKind if kind in (only or CARRIED))
        due = self._due(partner, to_micros(now), limit, kinds)
        if not due:
            return ()
        self._written.require_transaction()
        rows: list[_Row] = self._session.all(_LEASE, (to_micros(until), _encode(due).decode()))
        found = {row[0]: _delivery_of(row) for row in rows}
        return tuple(found[number] for number in due)

    async def renew(self, number: int, attempt: int, *, until: datetime) -> bool:
        """Make a lease longer."""
        return self._session.run(_RENEW, (to_micros(until), number, attempt)).rowcount == 1

    async def give_back(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> None:
        """These were claimed and nothing of them was sent."""
        self._session.run_each(_GIVE_BACK, [(to_micros(now), *one) for one in attempts])

    async def succeed(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> frozenset[int]:
        """The partner has them."""
        wanted = frozenset(attempts)
        numbers = _encode([number for number, _ in attempts]).decode()
        found: list[tuple[int, int, str, str]] = self._session.all(_LEASED_OF, (numbers,))
        ended = [(number, partner, text) for number, attempt, partner, text in found if (number, attempt) in wanted]
        self._session.run(_SUCCEED, (to_micros(now), _encode([number for number, _, _ in ended]).decode()))
        for number, partner, text in ended:
            self.counts.note(partner, DeliveryState.LEASED, DeliveryState.DELIVERED)
            self._ended += [(partner, key, number) for key in dict.fromkeys(_keys_of(text))]
        return frozenset(number for number, _, _ in ended)

    async def wait_for_reply(self, number: int, attempt: int, *, until: datetime) -> bool:
        """The partner has acknowledged a request."""
        return self._end(DeliveryState.AWAITING, until, "", b"", number, attempt)

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing. It keeps its place."""
        return self._session.run(_FAIL, (to_micros(due_at), reason, received, number, attempt)).rowcount == 1

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up."""
        return self._end(DeliveryState.DEAD, now, reason, received, number, attempt)

    async def find_awaiting(self, message: int) -> Delivery | None:
        """The delivery of this message that awaits its reply."""
        row: _Row | None = self._session.one(
            f"{_SELECT} WHERE message = ? AND state = 'awaiting' ORDER BY number LIMIT 1", (message,)
        )
        return None if row is None else _delivery_of(row)

    async def answer(self, number: int, *, now: datetime) -> bool:
        """The reply that was awaited has come."""
        row = self._session.one(_ANSWER, (to_micros(now), number))
        return self._note(row, DeliveryState.AWAITING, DeliveryState.DELIVERED)

    async def expire(self, *, now: datetime, reason: str, limit: int) -> tuple[Delivery, ...]:
        """Make dead letters of those that got no reply in time."""
        expired: list[tuple[int, str]] = self._session.all(_EXPIRED, (to_micros(now), limit))
        self._session.run_each(_BURY_AWAITING, [(to_micros(now), reason, number) for number, _ in expired])
        for _, partner in expired:
            self.counts.note(partner, DeliveryState.AWAITING, DeliveryState.DEAD)
        return tuple(_delivery_of(self._session.one(_FIND, (number,))) for number, _ in expired)

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
        wanted = DeliverySelection(partner=partner, noun=noun, before=before, after=after, limit=limit)
        conditions, values = _conditions_of(wanted)
        # One walk along the index of what lives for each state, of `limit` rows at most but for what does not match.
        found = [
            self._select(
                [*conditions, _LIVE, "state = ?", "(state <> 'leased' OR due_at <= ?)"],
                [*values, state, to_micros(now)],
                wanted,
            )
            for state in _OPEN_STATES
        ]
        rows = tuple(merge(*found, key=lambda delivery: delivery.number))[:limit]
        self._session.run_each(_ABANDON, [(to_micros(now), reason, row.number) for row in rows])
        for row in rows:
            self.counts.note(row.partner, row.state, DeliveryState.DEAD)
        self._let_go([(row.partner, key, row.number) for row in rows for key in dict.fromkeys(row.object_keys)])
        return tuple(_delivery_of(self._session.one(_FIND, (row.number,))) for row in rows)

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again, before the younger ones of its objects."""
        delivery = await self.find(number)
        if delivery is None or delivery.state is not DeliveryState.DEAD:
            return False
        keys = [(delivery.partner, key, number) for key in dict.fromkeys(delivery.object_keys)]
        is_head = not any(self._session.one(_IS_TAKEN, key) for key in keys)
        self._session.run(_RESEND, (to_micros(now), is_head, number))
        self.counts.note(delivery.partner, DeliveryState.DEAD, DeliveryState.WAITING)
        self._session.run_each(_INSERT_KEY, keys)
        followers: Iterable[tuple[int | None]] = [self._session.one(_NEXT_OF_KEY, key) for key in keys]
        self._session.run_each(_DEMOTE, [(follower,) for (follower,) in followers if follower is not None])
        return True

    async def settle(self, number: int, *, now: datetime, reason: str) -> bool:
        """The answer to a dead letter has come after all."""
        row = self._session.one(_END_DEAD, ("delivered", to_micros(now), reason, number))
        return self._note(row, DeliveryState.DEAD, DeliveryState.DELIVERED)

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good."""
        row = self._session.one(_END_DEAD, ("discarded", to_micros(now), reason, number))
        return self._note(row, DeliveryState.DEAD, DeliveryState.DISCARDED)

    async def remove_ended(self, before: datetime, *, limit: int) -> int:
        """Forget deliveries that were delivered or discarded before then."""
        self._session.run(_REMOVE_EMPTY)
        return self._session.run(_REMOVE_ENDED, (to_micros(before), limit)).rowcount

    def _due(self, partner: str, now: int, limit: int, kinds: tuple[DeliveryKind, ...]) -> list[int]:
        """Numbers of what may be claimed, by urgency and number.

        Each part of the look is one walk along an index, of `limit` rows at most; only leases that ran out are all
        looked at, which are no more than what was under way.
        """
        abandoned: list[tuple[int, str, int]] = self._session.all(_ABANDONED, (partner, now))
        due = [(-priority, number) for number, kind, priority in abandoned if kind in kinds]
        found: list[tuple[int, int]] = self._session.all(
            _due_of_kinds(kinds), {"partner": partner, "now": now, "limit": limit}
        )
        due += [(-priority, number) for priority, number in found]
        return [number for _, number in sorted(due)[:limit]]

    def _end(self, state: DeliveryState, at: datetime, reason: str, received: bytes, number: int, attempt: int) -> bool:
        """End an attempt so that nobody is held up by this delivery any more."""
        self._written.require_transaction()
        row: tuple[str, str] | None = self._written.one(
            _END, (state.value, to_micros(at), reason, received, number, attempt)
        )
        if row is None:
            return False
        partner, text = row
        self.counts.note(partner, DeliveryState.LEASED, state)
        self._ended += [(partner, key, number) for key in dict.fromkeys(_keys_of(text))]
        return True

    def _note(self, row: tuple[str] | None, before: DeliveryState, after: DeliveryState) -> bool:
        """Count a step of a delivery, of which the row has the partner; False without one."""
        self._written.require_transaction()
        if row is not None:
            self.counts.note(row[0], before, after)
        return row is not None

    def _let_go(self, keys: list[tuple[str, str, int]]) -> None:
        """Take keys of what waits no more away (partner, key, number); who stood behind them alone goes to the head."""
        self._written.run_each(_DELETE_KEY, keys)
        objects = list(dict.fromkeys((partner, key) for partner, key, _ in keys))
        followers: list[tuple[int | None]] = self._written.all(_FIRST_OF_KEYS, (_encode(objects).decode(),))
        behind = [(follower,) for (follower,) in followers if follower is not None]
        if behind:
            self._written.run_each(_PROMOTE, behind)


@cache
def _due_of_kinds(kinds: tuple[DeliveryKind, ...]) -> str:
    """One statement for all that may be claimed, urgent first."""
    parts = [
        f"SELECT * FROM ({part.format(kind=kind.value, priority=priority.value)})"  # noqa: S608 - constants only
        for priority in sorted(Priority, reverse=True)
        for kind in kinds
        for part in (_FRESH_OF_ONE_KIND, _TRIED_OF_ONE_KIND)
    ]
    return " UNION ALL ".join(parts)


def _conditions_of(selection: DeliverySelection) -> tuple[list[str], list[Value]]:
    """Conditions of a selection and their values, without partner and states where these choose the index."""
    conditions = ["number < ?" if selection.newest_first else "number > ?"]
    values: list[Value] = [_after_of(selection)]
    for condition, value in (
        ("partner = ?", selection.partner or None),
        ("noun = ?", selection.noun or None),
        ("verb = ?", selection.verb or None),
        ("message = ?", selection.message),
        ("cause = ?", selection.cause),
        ("created_at >= ?", None if selection.since is None else to_micros(selection.since)),
        ("created_at <= ?", None if selection.before is None else to_micros(selection.before)),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return conditions, values


def _after_of(selection: DeliverySelection) -> int:
    """The number behind which the page begins."""
    return selection.after if selection.after is not None else _LAST_NUMBER if selection.newest_first else 0


def _delivery_of(row: _Row) -> Delivery:
    return Delivery(
        number=row[0],
        message=row[1],
        cause=row[2],
        partner=row[3],
        kind=DeliveryKind(row[4]),
        object_keys=_keys_of(row[5]),
        priority=Priority(row[6]),
        address=row[7],
        verb=row[8],
        noun=row[9],
        message_id=row[10],
        created_at=from_micros(row[11]),
        state=DeliveryState(row[12]),
        is_head=bool(row[13]),
        due_at=from_micros(row[14]),
        attempts=row[15],
        attempts_before=row[16],
        reason=row[17],
        received=row[18],
    )
