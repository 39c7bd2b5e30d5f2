"""The message log on PostgreSQL: read by statement, written by COPY together with its neighbours."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from cimcare.exchange.log import (
    Content,
    Direction,
    Expiry,
    Found,
    Group,
    LogEntry,
    LogSelection,
    Outcome,
    Transport,
)
from cimcare.exchange.searching import outcome_term, terms_of
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.postgres_session import Row, Session, Value, WritingSession, as_text
from cimcare.store.sealing import Sealing
from cimcare.store.searching import COUNTED, Stretch, search

__all__ = ["PostgresLog", "PostgresLogReader"]

_COLUMNS = (
    "sequence", "received_at", "direction", "transport", "partner", "archetype", "verb", "noun", "message_id",
    "correlation_id", "context", "outcome", "codes", "answer_to", "repeat_of", "digest", "content_type", "status",
    "truncated", "size_bytes", "redeliveries",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM messages"  # noqa: S608 - constants only
_FIND = f"{_SELECT} WHERE sequence = $1"
_FIND_WHOLE = f"SELECT {', '.join(_COLUMNS)}, raw FROM messages WHERE sequence = ANY($1::bigint[])"  # noqa: S608
_FIND_RAW = "SELECT raw FROM messages WHERE sequence = $1"
# The first that was accepted; behind those, the last that was passed on and has no outcome.
_FIND_ORIGINAL = (
    f"{_SELECT} WHERE message_id = $1 AND partner = $2 AND direction = 'in' AND repeat_of IS NULL"
    " AND outcome IN ('OK', 'PARTIAL', '') AND received_at >= $3"
    " ORDER BY outcome = '', CASE outcome WHEN '' THEN -sequence ELSE sequence END LIMIT 1"
)
_FIND_ANSWER = (
    f"{_SELECT} WHERE answer_to = $1 AND direction = 'out' AND archetype IN ('ResponseMessage', 'FaultMessage')"
    " ORDER BY sequence LIMIT 1"
)
_FIND_CORRELATED = (
    f"{_SELECT} WHERE (message_id = $1 OR correlation_id = $1)"
    " AND archetype IN ('RequestMessage', 'EventMessage', 'Message') AND outcome NOT IN ('FAILED', 'FAULT')"
    " ORDER BY sequence LIMIT 1"
)
_IN_WORK = "direction = 'in' AND outcome = '' AND repeat_of IS NULL"  # as in the index
_FIND_IN_WORK = f"{_SELECT} WHERE {_IN_WORK} AND received_at < $1 ORDER BY received_at, sequence LIMIT $2"
_SETTLE = (
    "UPDATE messages SET outcome = $2, codes = $3,"  # noqa: S608
    " terms = CASE WHEN terms IS NOT NULL THEN terms || $4::bigint[] END"  # nothing and a list would be the list
    f" WHERE sequence = $1 AND {_IN_WORK}"
    f" RETURNING {', '.join(_COLUMNS)}, raw, terms IS NOT NULL AS is_indexed"
)
_LIVE = "FROM deliveries AS d WHERE d.state NOT IN ('delivered', 'discarded')"
# Some rows along the log: the last of them, whether any is old enough, and which may be forgotten.
_WALK = (
    "WITH walked AS MATERIALIZED (SELECT sequence, received_at, direction, archetype, verb, outcome, answer_to,"  # noqa: S608
    " repeat_of FROM messages WHERE sequence > $1 ORDER BY sequence LIMIT $2)"
    " SELECT (SELECT max(sequence) FROM walked) AS last,"
    " EXISTS (SELECT FROM walked WHERE received_at < $3) AS is_old,"
    " ARRAY (SELECT sequence FROM walked AS m WHERE received_at < $3"
    " AND (cardinality($4::text[]) = 0 OR archetype = ANY($4)) AND (cardinality($5::text[]) = 0 OR verb = ANY($5))"
    f" AND (outcome IN ('FAILED', 'FAULT')) = $6 AND NOT ({_IN_WORK})"
    f" AND NOT EXISTS (SELECT {_LIVE} AND d.message = m.sequence)"
    f" AND NOT EXISTS (SELECT {_LIVE} AND d.cause = m.sequence)"
    f" AND NOT EXISTS (SELECT {_LIVE} AND d.cause = m.answer_to"
    " AND m.direction = 'out' AND m.archetype IN ('ResponseMessage', 'FaultMessage'))"
    " ORDER BY sequence) AS expired"
)
_WALKED_TOGETHER = 1000
_REMOVE = (
    "WITH gone AS (DELETE FROM messages WHERE sequence = ANY($1) RETURNING sequence, terms)"
    " DELETE FROM message_terms AS t USING gone CROSS JOIN LATERAL unnest(gone.terms) AS had(term)"
    " WHERE t.term = had.term AND t.sequence = gone.sequence"
)
_INDEX = "UPDATE messages SET terms = $2 WHERE sequence = $1 AND terms IS NULL RETURNING sequence"
# Of each term some messages in order, of all of them the first: for one term, as for several, the index is read in its
# order, and no further than the limit.
_STRETCH = (
    "SELECT DISTINCT found.sequence FROM unnest($1::bigint[]) AS wanted(term) CROSS JOIN LATERAL"
    " (SELECT t.sequence FROM message_terms AS t WHERE t.term = wanted.term AND t.sequence BETWEEN $2 AND $3"
    " ORDER BY t.sequence {order} LIMIT $4) AS found ORDER BY found.sequence {order} LIMIT $4"
)
_HAVING = "SELECT array_agg(sequence ORDER BY sequence {order}) AS having FROM ({stretch}) AS had"
_ACCEPTED = frozenset({Outcome.OK, Outcome.PARTIAL})
_REFUSED = frozenset({Outcome.FAILED, Outcome.FAULT})
_ANSWERS = frozenset({"ResponseMessage", "FaultMessage"})
_CAUSES = frozenset({"RequestMessage", "EventMessage", "Message"})

_TEXTS = ("verb", "noun", "partner", "message_id", "correlation_id")

_Kept: TypeAlias = tuple[LogEntry, bytes, tuple[int, ...]]


class PostgresLogReader:
    """The message log over one session, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        return await self._find_one(_FIND, sequence)

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        row = await self._session.fetch_one(_FIND_RAW, sequence)
        return None if row is None else bytes(row["raw"])

    async def find_whole(self, sequences: Collection[int]) -> Mapping[int, tuple[LogEntry, bytes]]:
        """Entries with the bytes of their messages."""
        rows = await self._session.fetch(_FIND_WHOLE, list(sequences))
        return {row["sequence"]: (_entry_of(row), bytes(row["raw"])) for row in rows}

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then, or is in work."""
        return await self._find_one(_FIND_ORIGINAL, as_text(message_id), as_text(partner), to_micros(since))

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        return await self._find_one(_FIND_ANSWER, sequence)

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        return await self._find_one(_FIND_CORRELATED, as_text(correlation_id))

    async def find_in_work(self, before: datetime, limit: int) -> tuple[LogEntry, ...]:
        """Messages that came in before then, were passed on and have no outcome yet, oldest first."""
        rows = await self._session.fetch(_FIND_IN_WORK, to_micros(before), limit)
        return tuple(_entry_of(row) for row in rows)

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences behind `after` of messages that match and that no live or failed work needs, oldest first."""
        wanted: tuple[Value, ...] = (
            to_micros(expiry.before),
            [as_text(archetype) for archetype in expiry.archetypes],
            [as_text(verb) for verb in expiry.verbs],
            expiry.refused,
        )
        found: list[int] = []
        while len(found) < limit:
            row = await self._session.fetch_one(_WALK, after, _WALKED_TOGETHER, *wanted)
            if row is None or not row["is_old"]:  # instants of receipt rise with sequences
                break
            found += row["expired"]
            after = row["last"]
        return tuple(found[:limit])

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match, in the order asked for."""
        return await self._select(selection)

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match, and whose messages have a term of each group."""
        texts = {name: as_text(getattr(selection, name)) for name in _TEXTS}
        return await search(self, msgspec.structs.replace(selection, **texts), groups)

    async def find_unindexed(self, limit: int) -> tuple[int, ...]:
        """Messages that are not in the index of terms, newest first."""
        rows = await self._session.fetch(
            "SELECT sequence FROM messages WHERE terms IS NULL ORDER BY sequence DESC LIMIT $1", limit
        )
        return tuple(row["sequence"] for row in rows)

    # What a search asks, see `SearchIndex`.

    async def last_sequence(self) -> int:
        """The newest message; 0 if there is none."""
        row = await self._session.fetch_one("SELECT max(sequence) AS last FROM messages")
        return (row["last"] if row is not None else 0) or 0

    async def last_unindexed(self) -> int:
        """The newest message that is not in the index of terms yet; 0 if all are."""
        return next(iter(await self.find_unindexed(1)), 0)

    async def instant_at(self, sequence: int) -> tuple[int, int] | None:
        """The first message at or behind a sequence, and when it was received."""
        row = await self._session.fetch_one(
            "SELECT sequence, received_at FROM messages WHERE sequence >= $1 ORDER BY sequence LIMIT 1", sequence
        )
        return None if row is None else (row["sequence"], row["received_at"])

    async def having(self, group: Group, stretch: Stretch, limit: int) -> Sequence[int]:
        """Messages of a stretch with one of these terms, in its order, up to a limit."""
        order = "DESC" if stretch.newest_first else "ASC"
        statement = _HAVING.format(order=order, stretch=_STRETCH.format(order=order))
        row = await self._session.fetch_one(statement, sorted(group), stretch.low, stretch.high, limit)
        assert row is not None
        return row["having"] or ()

    async def among(
        self, candidates: Sequence[int], selection: LogSelection, groups: Sequence[Group]
    ) -> Sequence[LogEntry]:
        """Entries of some messages that match and have a term of each group, in the order of the selection."""
        return await self._select(selection, candidates=candidates, groups=groups)

    async def within(self, selection: LogSelection, stretch: Stretch) -> Sequence[LogEntry]:
        """Entries of a stretch that match, in its order."""
        return await self._select(selection, stretch)

    async def terms(self, sequences: Sequence[int]) -> dict[int, frozenset[int]]:
        """Terms of messages."""
        rows = await self._session.fetch(
            "SELECT sequence, terms FROM messages WHERE sequence = ANY($1)", list(sequences)
        )
        return {row["sequence"]: frozenset(row["terms"] or ()) for row in rows}

    async def _select(
        self,
        selection: LogSelection,
        stretch: Stretch | None = None,
        *,
        candidates: Sequence[int] | None = None,
        groups: Sequence[Group] = (),
    ) -> tuple[LogEntry, ...]:
        wanted: list[tuple[str, Value]] = [
            (f"{column} =", as_text(text)) for column in _TEXTS if (text := getattr(selection, column))
        ]
        if selection.direction is not None:
            wanted.append(("direction =", selection.direction.value))
        if selection.answer_to is not None:
            wanted.append(("answer_to =", selection.answer_to))
        if selection.since is not None:
            wanted.append(("received_at >=", to_micros(selection.since)))
        if selection.until is not None:
            wanted.append(("received_at <=", to_micros(selection.until)))
        if selection.after is not None:
            wanted.append(("sequence <" if selection.newest_first else "sequence >", selection.after))
        if stretch is not None:
            wanted += [("sequence >=", stretch.low), ("sequence <=", stretch.high)]
        conditions = [f"{condition} ${number}" for number, (condition, _) in enumerate(wanted, start=1)]
        values: list[Value] = [value for _, value in wanted]
        if candidates is not None:
            values.append(list(candidates))
            conditions.append(f"sequence = ANY(${len(values)}::bigint[])")
        if selection.counted is not None:
            conditions.append(COUNTED[selection.counted])
        if selection.outcomes:
            values.append([one.value for one in selection.outcomes])
            conditions.append(f"outcome = ANY(${len(values)}::text[])")
        for group in groups:
            values.append(sorted(group))
            conditions.append(f"terms && ${len(values)}::bigint[]")
        values.append(selection.limit)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        by = "sequence" if candidates is None else "sequence + 0"  # by the few that are named, not along all
        order = "DESC" if selection.newest_first else "ASC"
        rows = await self._session.fetch(f"{_SELECT}{where} ORDER BY {by} {order} LIMIT ${len(values)}", *values)
        return tuple(_entry_of(row) for row in rows)

    async def _find_one(self, statement: str, *values: Value) -> LogEntry | None:
        row = await self._session.fetch_one(statement, *values)
        return None if row is None else _entry_of(row)


class PostgresLog(PostgresLogReader):
    """The message log inside one transaction. Every answer covers what was not written yet.

    `pending` are the messages that were kept.
    """

    def __init__(self, session: WritingSession, *, last: int, write_outbox: Callable[[], Awaitable[None]]) -> None:
        """Begin behind the sequence `last`."""
        super().__init__(session)
        self._writing = session
        self._last = last
        self._write_outbox = write_outbox
        self.pending: Pending[_Kept] = Pending()
        self.sealing = Sealing()

    @property
    def last(self) -> int:
        """The sequence given last."""
        return self._last + len(self.pending)

    async def append(self, entry: LogEntry, raw: bytes, about: Content | None = None) -> int:
        """Keep the message; return its sequence."""
        kept = _as_stored(entry, self.last + 1)
        self.pending.add((kept, raw, terms_of(kept, raw, about)))
        self.sealing.add(kept, raw)
        return kept.sequence

    async def write(self) -> None:
        """Write what was not written yet. Raises StoreError."""
        if rows := self.pending.unwritten:
            await self._writing.copy("messages", (*_COLUMNS, "raw", "terms"), [_row_of(*row) for row in rows])
            terms = sorted((term, entry.sequence) for entry, _, terms in rows for term in terms)
            await self._writing.copy("message_terms", ("term", "sequence"), terms)
            self.pending.note_written()

    async def settle(self, sequence: int, outcome: Outcome, codes: tuple[str, ...] = ()) -> bool:
        """Give a message that was passed on its outcome."""
        if sequence > self.last - len(self.pending.unwritten):
            await self.write()
        terms = [outcome_term(outcome)] if outcome else []
        row = await self._session.fetch_one(_SETTLE, sequence, outcome.value, as_text(" ".join(codes)), terms)
        if row is None:
            return False
        if row["is_indexed"]:
            await self._writing.copy("message_terms", ("term", "sequence"), [(term, sequence) for term in terms])
        self.sealing.add(_entry_of(row), bytes(row["raw"]))
        return True

    async def index(self, sequence: int, about: Content | None) -> None:
        """Put a message of an earlier release into the index of terms."""
        entry, raw = await self.find(sequence), await self.find_raw(sequence)
        if entry is None or raw is None:
            return
        terms = terms_of(entry, raw, about)
        if await self._session.fetch_one(_INDEX, sequence, list(terms)) is not None:
            await self._writing.copy("message_terms", ("term", "sequence"), [(term, sequence) for term in terms])

    async def remove(self, sequences: Iterable[int]) -> None:
        """Forget messages for good."""
        gone = list(sequences)
        await self.write()
        await self._session.fetch(_REMOVE, gone)
        for sequence in gone:
            self.sealing.drop(sequence)

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match."""
        await self.write()
        return await super().select(selection)

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match."""
        await self.write()
        return await super().search(selection, groups)

    async def find_in_work(self, before: datetime, limit: int) -> tuple[LogEntry, ...]:
        """Messages that came in before then, were passed on and have no outcome yet."""
        await self.write()
        return await super().find_in_work(before, limit)

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences of messages that match and that no live or failed work needs."""
        await self.write()
        await self._write_outbox()
        return await super().find_expired(expiry, after=after, limit=limit)

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        found = next((entry for entry, *_ in self.pending.unwritten if entry.sequence == sequence), None)
        return found or await super().find(sequence)

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        for entry, raw, _ in self.pending.unwritten:
            if entry.sequence == sequence:
                return raw
        return await super().find_raw(sequence)

    async def find_whole(self, sequences: Collection[int]) -> Mapping[int, tuple[LogEntry, bytes]]:
        """Entries with the bytes of their messages."""
        await self.write()
        return await super().find_whole(sequences)

    # What is not written yet is younger than all that is: it counts where the database knows nothing.

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then, or is in work."""
        stored = await super().find_original(partner, message_id, since)
        if stored is not None and stored.outcome in _ACCEPTED:
            return stored
        partner, message_id = as_text(partner), as_text(message_id)
        candidates = [
            entry
            for entry in self._unwritten()
            if entry.message_id == message_id
            and entry.partner == partner
            and entry.direction is Direction.IN
            and entry.repeat_of is None
            and entry.received_at >= since
        ]
        accepted = (entry for entry in candidates if entry.outcome in _ACCEPTED)
        in_work = (entry for entry in reversed(candidates) if entry.outcome is Outcome.NONE)
        return next(accepted, None) or next(in_work, None) or stored

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        stored = await super().find_answer(sequence)
        answers = (
            entry
            for entry in self._unwritten()
            if entry.answer_to == sequence and entry.direction is Direction.OUT and entry.archetype in _ANSWERS
        )
        return stored or next(answers, None)

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        stored = await super().find_correlated(correlation_id)
        correlation_id = as_text(correlation_id)
        causes = (
            entry
            for entry in self._unwritten()
            if correlation_id in (entry.message_id, entry.correlation_id)
            and entry.archetype in _CAUSES
            and entry.outcome not in _REFUSED
        )
        return stored or next(causes, None)

    def _unwritten(self) -> Iterator[LogEntry]:
        return (entry for entry, *_ in self.pending.unwritten)


def _as_stored(entry: LogEntry, sequence: int) -> LogEntry:
    """The entry as it will be read: the audit trail holds a hash of it."""
    return msgspec.structs.replace(
        entry,
        sequence=sequence,
        received_at=from_micros(to_micros(entry.received_at)),
        partner=as_text(entry.partner),
        archetype=as_text(entry.archetype),
        verb=as_text(entry.verb),
        noun=as_text(entry.noun),
        message_id=as_text(entry.message_id),
        correlation_id=as_text(entry.correlation_id),
        context=as_text(entry.context),
        codes=tuple(as_text(" ".join(entry.codes)).split()),
        content_type=as_text(entry.content_type),
    )


def _row_of(entry: LogEntry, raw: bytes, terms: tuple[int, ...]) -> tuple[Value, ...]:
    return (
        entry.sequence,
        to_micros(entry.received_at),
        entry.direction.value,
        entry.transport.value,
        entry.partner,
        entry.archetype,
        entry.verb,
        entry.noun,
        entry.message_id,
        entry.correlation_id,
        entry.context,
        entry.outcome.value,
        " ".join(entry.codes),
        entry.answer_to,
        entry.repeat_of,
        entry.digest,
        entry.content_type,
        entry.status,
        entry.truncated,
        entry.size_bytes,
        entry.redeliveries,
        raw,
        list(terms),
    )


def _entry_of(row: Row) -> LogEntry:
    return LogEntry(
        sequence=row[0],
        received_at=from_micros(row[1]),
        direction=Direction(row[2]),
        transport=Transport(row[3]),
        partner=row[4],
        archetype=row[5],
        verb=row[6],
        noun=row[7],
        message_id=row[8],
        correlation_id=row[9],
        context=row[10],
        outcome=Outcome(row[11]),
        codes=tuple(row[12].split()),
        answer_to=row[13],
        repeat_of=row[14],
        digest=row[15],
        content_type=row[16],
        status=row[17],
        truncated=row[18],
        size_bytes=row[19],
        redeliveries=row[20],
    )
