"""The message log on SQLite: hot statements written by hand."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

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
from cimcare.store.sealing import Sealing
from cimcare.store.searching import COUNTED, Stretch, search
from cimcare.store.sqlite_session import Session, Value, Values

__all__ = ["SqliteLog", "SqliteLogReader"]

_COLUMNS = (
    "received_at, direction, transport, partner, archetype, verb, noun, message_id, correlation_id, context, outcome,"
    " codes, answer_to, repeat_of, digest, content_type, status, truncated, size_bytes, redeliveries"
)
_INSERT = f"INSERT INTO messages ({_COLUMNS}, raw, terms) VALUES ({', '.join('?' * 22)})"  # noqa: S608 - constants only
_SELECT = f"SELECT sequence, {_COLUMNS} FROM messages"  # noqa: S608 - constants only
_FIND_WHOLE = f"SELECT sequence, {_COLUMNS}, raw FROM messages WHERE sequence IN (SELECT value FROM json_each(?))"  # noqa: S608
_IN_WORK = "direction = 'in' AND outcome = '' AND repeat_of IS NULL"  # as in the partial index
_LIVE = "state IN ('waiting', 'leased', 'awaiting', 'dead')"
_FIND_ORIGINAL = (
    f"{_SELECT} WHERE message_id = :id AND partner = :partner AND direction = 'in' AND repeat_of IS NULL"
    " AND received_at >= :since AND outcome IN ('OK', 'PARTIAL', '')"
    " ORDER BY outcome = '', CASE outcome WHEN '' THEN -sequence ELSE sequence END LIMIT 1"
)
_IS_NEEDED = (
    f"({_IN_WORK} OR EXISTS (SELECT 1 FROM deliveries WHERE message = m.sequence AND {_LIVE})"  # noqa: S608
    f" OR EXISTS (SELECT 1 FROM deliveries WHERE cause = m.sequence AND {_LIVE})"
    " OR direction = 'out' AND archetype IN ('ResponseMessage', 'FaultMessage')"
    f" AND EXISTS (SELECT 1 FROM deliveries WHERE cause = m.answer_to AND {_LIVE}))"
)
_PUT_TERMS = "INSERT INTO message_terms (rowid, terms) VALUES (?, ?)"
_TAKE_TERMS = "INSERT INTO message_terms (message_terms, rowid, terms) VALUES ('delete', ?, ?)"
_MATCH = "SELECT rowid FROM message_terms WHERE message_terms MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid"
_HAS = "instr(terms, ?) AND instr(' ' || terms || ' ', ?)"
"""As terms are kept, so that none is read: a text, one space between two. Most have not even a part of a term."""

_WALKED_TOGETHER = 1000
"""Rows of one step of a long walk, between which others get to work."""

_Row = tuple[
    int,
    int,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    int | None,
    int | None,
    bytes,
    str,
    int,
    int,
    int,
    int,
]

_encode = msgspec.json.Encoder().encode


class SqliteLogReader:
    """The message log over one connection, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        return self._find_one(f"{_SELECT} WHERE sequence = ?", (sequence,))

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        row: tuple[bytes] | None = self._session.one("SELECT raw FROM messages WHERE sequence = ?", (sequence,))
        return None if row is None else row[0]

    async def find_whole(self, sequences: Collection[int]) -> Mapping[int, tuple[LogEntry, bytes]]:
        """Entries with the bytes of their messages."""
        rows: list[tuple[Any, ...]] = self._session.all(_FIND_WHOLE, (_encode(list(sequences)).decode(),))
        return {row[0]: (_entry_of(row[:-1]), row[-1]) for row in rows}

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then, or the last in work."""
        values: dict[str, Value] = {"id": message_id, "partner": partner, "since": to_micros(since)}
        return self._find_one(_FIND_ORIGINAL, values)

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        return self._find_one(
            f"{_SELECT} WHERE answer_to = ? AND direction = 'out' AND archetype IN ('ResponseMessage', 'FaultMessage')"
            " ORDER BY sequence LIMIT 1",
            (sequence,),
        )

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        return self._find_one(
            f"{_SELECT} WHERE (message_id = ? OR correlation_id = ?)"
            " AND archetype IN ('RequestMessage', 'EventMessage', 'Message')"
            " AND outcome NOT IN ('FAILED', 'FAULT') ORDER BY sequence LIMIT 1",
            (correlation_id, correlation_id),
        )

    async def find_in_work(self, before: datetime, limit: int) -> tuple[LogEntry, ...]:
        """What came in before then and has no outcome yet."""
        return self._find_all(
            f"{_SELECT} WHERE {_IN_WORK} AND received_at < ? ORDER BY received_at, sequence LIMIT ?",
            (to_micros(before), limit),
        )

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences of messages that may be forgotten. Others get to work meanwhile, for the walk may be long."""
        statement, values = _walk_of(expiry)
        found: list[int] = []
        while len(found) < limit:
            rows: list[tuple[int, int, int]] = self._session.all(statement, (*values, after, _WALKED_TOGETHER))
            found += [sequence for sequence, _, is_expired in rows if is_expired]
            if not any(is_old for _, is_old, _ in rows):  # instants of receipt rise with sequences
                break
            after = rows[-1][0]
            await asyncio.sleep(0)
        return tuple(found[:limit])

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match, in the order asked for."""
        return self._select(selection)

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match, and whose messages have a term of each group."""
        return await search(self, selection, groups)

    async def find_unindexed(self, limit: int) -> tuple[int, ...]:
        """Messages that are not in the index of terms, newest first."""
        rows = self._session.all(
            "SELECT sequence FROM messages WHERE terms IS NULL ORDER BY sequence DESC LIMIT ?", (limit,)
        )
        return tuple(row[0] for row in rows)

    # What a search asks, see `SearchIndex`.

    async def last_sequence(self) -> int:
        """The newest message; 0 if there is none."""
        return self._session.one("SELECT max(sequence) FROM messages")[0] or 0

    async def last_unindexed(self) -> int:
        """The newest message that is not in the index of terms yet; 0 if all are."""
        return next(iter(await self.find_unindexed(1)), 0)

    async def instant_at(self, sequence: int) -> tuple[int, int] | None:
        """The first message at or behind a sequence, and when it was received."""
        found: tuple[int, int] | None = self._session.one(
            "SELECT sequence, received_at FROM messages WHERE sequence >= ? ORDER BY sequence LIMIT 1", (sequence,)
        )
        return found

    async def having(self, group: Group, stretch: Stretch, limit: int) -> Sequence[int]:
        """Messages of a stretch with one of these terms, in its order, up to a limit."""
        values = (_match_of(group), stretch.low, stretch.high, limit)
        return [row[0] for row in self._session.all(f"{_MATCH}{_order_of(stretch)} LIMIT ?", values)]

    async def among(
        self, candidates: Sequence[int], selection: LogSelection, groups: Sequence[Group]
    ) -> Sequence[LogEntry]:
        """Entries of some messages that match and have a term of each group, in the order of the selection.

        The index alone could do it, but while it finds none that has all of them it goes on beyond the candidates, to
        the end of the log. So each is looked at.
        """
        return self._select(selection, candidates=candidates, groups=groups)

    async def within(self, selection: LogSelection, stretch: Stretch) -> Sequence[LogEntry]:
        """Entries of a stretch that match, in its order."""
        return self._select(selection, stretch)

    async def terms(self, sequences: Sequence[int]) -> dict[int, frozenset[int]]:
        """Terms of messages."""
        kept = self._kept_terms(sequences)
        return {sequence: frozenset(int(each, 16) for each in terms.split()) for sequence, terms in kept.items()}

    def _kept_terms(self, sequences: Sequence[int]) -> dict[int, str]:
        marks = ", ".join("?" * len(sequences))
        rows: list[tuple[int, str | None]] = self._session.all(
            f"SELECT sequence, terms FROM messages WHERE sequence IN ({marks})",  # noqa: S608 - constants only
            tuple(sequences),
        )
        return {sequence: terms or "" for sequence, terms in rows}

    def _select(
        self,
        selection: LogSelection,
        stretch: Stretch | None = None,
        *,
        candidates: Sequence[int] | None = None,
        groups: Sequence[Group] = (),
    ) -> tuple[LogEntry, ...]:
        conditions: list[str] = []
        values: list[Value] = []
        for column, value in (
            ("verb", selection.verb),
            ("noun", selection.noun),
            ("partner", selection.partner),
            ("message_id", selection.message_id),
            ("correlation_id", selection.correlation_id),
            ("direction", selection.direction),
        ):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)
        if selection.outcomes:
            conditions.append(f"outcome IN ({', '.join('?' * len(selection.outcomes))})")
            values += [one.value for one in selection.outcomes]
        if selection.counted is not None:
            conditions.append(COUNTED[selection.counted])
        if selection.answer_to is not None:
            conditions.append("answer_to = ?")
            values.append(selection.answer_to)
        if selection.since is not None:
            conditions.append("received_at >= ?")
            values.append(to_micros(selection.since))
        if selection.until is not None:
            conditions.append("received_at <= ?")
            values.append(to_micros(selection.until))
        if selection.after is not None:
            conditions.append("sequence < ?" if selection.newest_first else "sequence > ?")
            values.append(selection.after)
        if stretch is not None:
            conditions.append("sequence BETWEEN ? AND ?")
            values += [stretch.low, stretch.high]
        if candidates is not None:
            conditions.append("sequence IN (SELECT value FROM json_each(?))")
            values.append(_encode(candidates).decode())
        for group in groups:
            terms = _text_of(sorted(group)).split()
            conditions.append(f"({' OR '.join([_HAS] * len(terms))})")
            values += [part for term in terms for part in (term, f" {term} ")]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if selection.newest_first else "ASC"
        values.append(selection.limit)
        return self._find_all(f"{_SELECT}{where} ORDER BY sequence {order} LIMIT ?", values)

    def _find_one(self, statement: str, values: Values) -> LogEntry | None:
        row: _Row | None = self._session.one(statement, values)
        return None if row is None else _entry_of(row)

    def _find_all(self, statement: str, values: Values) -> tuple[LogEntry, ...]:
        return tuple(_entry_of(row) for row in self._session.all(statement, values))


class SqliteLog(SqliteLogReader):
    """The message log inside the transaction that is open. What it keeps or settles goes into `sealing`."""

    def __init__(self, session: Session, sealing: Sealing, write_outbox: Callable[[], None]) -> None:
        super().__init__(session)
        self._sealing = sealing
        self._write_outbox = write_outbox
        self.pending: Pending[tuple[int, str]] = Pending()

    def write(self) -> None:
        """Give the index of terms what it does not have yet. It takes many messages at once for little."""
        if rows := self.pending.unwritten:
            self._session.run_each(_PUT_TERMS, rows)
            self.pending.note_written()

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match, what was kept just now among them."""
        self.write()
        return await super().search(selection, groups)

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences of messages that may be forgotten, in the light of what was put into the outbox just now."""
        self._write_outbox()
        return await super().find_expired(expiry, after=after, limit=limit)

    async def append(self, entry: LogEntry, raw: bytes, about: Content | None = None) -> int:
        """Keep the message; return its sequence."""
        terms = _text_of(terms_of(entry, raw, about))
        cursor = self._session.run(
            _INSERT,
            (
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
                terms,
            ),
        )
        assert cursor.lastrowid is not None
        self.pending.add((cursor.lastrowid, terms))
        self._sealing.add(msgspec.structs.replace(entry, sequence=cursor.lastrowid), raw)
        return cursor.lastrowid

    async def settle(self, sequence: int, outcome: Outcome, codes: tuple[str, ...] = ()) -> bool:
        """Give a message that was passed on its outcome."""
        term = _text_of((outcome_term(outcome),)) if outcome else ""
        cursor = self._session.run(
            "UPDATE messages SET outcome = ?, codes = ?, terms = terms || ' ' || ?"
            " WHERE sequence = ? AND direction = 'in' AND outcome = ''",
            (outcome.value, " ".join(codes), term, sequence),
        )
        if cursor.rowcount != 1:
            return False
        if term and self._session.one("SELECT terms IS NOT NULL FROM messages WHERE sequence = ?", (sequence,))[0]:
            self.pending.add((sequence, term))  # the index adds it to what it has of the message
        entry, raw = await self.find(sequence), await self.find_raw(sequence)
        assert entry is not None
        assert raw is not None
        self._sealing.add(entry, raw)
        return True

    async def index(self, sequence: int, about: Content | None) -> None:
        """Put a message of an earlier release into the index of terms."""
        entry, raw = await self.find(sequence), await self.find_raw(sequence)
        if entry is None or raw is None:
            return
        terms = _text_of(terms_of(entry, raw, about))
        cursor = self._session.run(
            "UPDATE messages SET terms = ? WHERE sequence = ? AND terms IS NULL", (terms, sequence)
        )
        if cursor.rowcount == 1:
            self.pending.add((sequence, terms))

    async def remove(self, sequences: Iterable[int]) -> None:
        """Forget messages for good."""
        gone = list(sequences)
        self.write()
        for sequence in gone:  # the index is told what it had of them, and knows nothing of them afterwards
            row = self._session.one("SELECT terms FROM messages WHERE sequence = ?", (sequence,))
            if row is not None and row[0] is not None:
                self._session.run(_TAKE_TERMS, (sequence, row[0]))
        self._session.run_each("DELETE FROM messages WHERE sequence = ?", [(sequence,) for sequence in gone])
        for sequence in gone:
            self._sealing.drop(sequence)


def _text_of(terms: Iterable[int]) -> str:
    """Terms as the index takes them: words of hexadecimal digits."""
    return " ".join([f"{term:x}" for term in terms])


def _match_of(group: Group) -> str:
    """What the index is asked: one of these terms."""
    return " OR ".join(f'"{term:x}"' for term in sorted(group))


def _order_of(stretch: Stretch) -> str:
    return " DESC" if stretch.newest_first else ""


def _walk_of(expiry: Expiry) -> tuple[str, tuple[Value, ...]]:
    """Statement that goes along the log, and its first values: sequence, whether old enough, whether it may go."""
    outcome = "outcome IN ('FAILED', 'FAULT')"
    conditions = [outcome if expiry.refused else f"NOT {outcome}"]
    values: list[Value] = [to_micros(expiry.before), to_micros(expiry.before)]
    for column, wanted in (("archetype", expiry.archetypes), ("verb", expiry.verbs)):
        if wanted:
            conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values.extend(wanted)
    return (
        f"SELECT sequence, received_at < ?, received_at < ? AND {' AND '.join(conditions)} AND NOT {_IS_NEEDED}"  # noqa: S608
        " FROM messages AS m WHERE sequence > ? ORDER BY sequence LIMIT ?",
        tuple(values),
    )


def _entry_of(row: _Row) -> LogEntry:
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
        truncated=bool(row[18]),
        size_bytes=row[19],
        redeliveries=row[20],
    )
