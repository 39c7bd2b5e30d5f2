"""The message log on PostgreSQL: read by statement, written by COPY together with its neighbours."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.postgres_session import Connection, Row, Session, Value, as_text

__all__ = ["Page", "PostgresLog", "PostgresLogReader"]

_COLUMNS = (
    "sequence", "received_at", "direction", "transport", "partner", "archetype", "verb", "noun", "message_id",
    "correlation_id", "context", "outcome", "codes", "answer_to", "repeat_of", "digest", "content_type", "status",
    "truncated", "size_bytes",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM messages"  # noqa: S608 - constants only
_FIND = f"{_SELECT} WHERE sequence = $1"
_FIND_RAW = "SELECT raw FROM messages WHERE sequence = $1"
_FIND_ORIGINAL = (
    f"{_SELECT} WHERE message_id = $1 AND partner = $2 AND direction = 'in' AND repeat_of IS NULL"
    " AND outcome IN ('OK', 'PARTIAL') AND received_at >= $3 ORDER BY sequence LIMIT 1"
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

_ACCEPTED = frozenset({Outcome.OK, Outcome.PARTIAL})
_REFUSED = frozenset({Outcome.FAILED, Outcome.FAULT})
_ANSWERS = frozenset({"ResponseMessage", "FaultMessage"})
_CAUSES = frozenset({"RequestMessage", "EventMessage", "Message"})


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

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then."""
        return await self._find_one(_FIND_ORIGINAL, as_text(message_id), as_text(partner), to_micros(since))

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        return await self._find_one(_FIND_ANSWER, sequence)

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        return await self._find_one(_FIND_CORRELATED, as_text(correlation_id))

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match, in the order asked for."""
        texts = ("verb", "noun", "partner", "message_id", "correlation_id")
        wanted: list[tuple[str, Value]] = [
            (f"{column} =", as_text(text)) for column in texts if (text := getattr(selection, column))
        ]
        if selection.direction is not None:
            wanted.append(("direction =", selection.direction.value))
        if selection.outcome is not None:
            wanted.append(("outcome =", selection.outcome.value))
        if selection.answer_to is not None:
            wanted.append(("answer_to =", selection.answer_to))
        if selection.since is not None:
            wanted.append(("received_at >=", to_micros(selection.since)))
        if selection.until is not None:
            wanted.append(("received_at <=", to_micros(selection.until)))
        if selection.after is not None:
            wanted.append(("sequence <" if selection.newest_first else "sequence >", selection.after))
        conditions = [f"{condition} ${number}" for number, (condition, _) in enumerate(wanted, start=1)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if selection.newest_first else "ASC"
        rows = await self._session.fetch(
            f"{_SELECT}{where} ORDER BY sequence {order} LIMIT ${len(wanted) + 1}",
            *(value for _, value in wanted),
            selection.limit,
        )
        return tuple(_entry_of(row) for row in rows)

    async def _find_one(self, statement: str, *values: Value) -> LogEntry | None:
        row = await self._session.fetch_one(statement, *values)
        return None if row is None else _entry_of(row)


class Page:
    """Entries of one database transaction, in memory until they are written all at once.

    `last` is the sequence given last. What was written for a message that is then undone counts as not written.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self._entries: list[tuple[LogEntry, bytes]] = []
        self._written = 0
        self._mark = (last, 0, 0)

    def mark(self) -> None:
        """A message begins."""
        self._mark = self.mark_part()

    def undo(self) -> None:
        """The message that began last was undone, in the database too."""
        self.undo_part(self._mark)

    def mark_part(self) -> tuple[int, int, int]:
        """Where a part of the message begins, for `undo_part`."""
        return self.last, len(self._entries), self._written

    def undo_part(self, mark: tuple[int, int, int]) -> None:
        """What was added since the mark was undone, in the database too."""
        self.last, kept, self._written = mark
        del self._entries[kept:]

    def add(self, entry: LogEntry, raw: bytes) -> int:
        """Keep an entry; its sequence."""
        self.last += 1
        self._entries.append((msgspec.structs.replace(entry, sequence=self.last), raw))
        return self.last

    @property
    def unwritten(self) -> list[tuple[LogEntry, bytes]]:
        """What the database does not have yet, oldest first."""
        return self._entries[self._written :]

    async def write(self, connection: Connection) -> None:
        """Write what was not written yet."""
        if not (rows := self.unwritten):
            return
        await connection.copy_records_to_table(
            "messages", records=[_row_of(entry, raw) for entry, raw in rows], columns=[*_COLUMNS, "raw"]
        )
        self._written = len(self._entries)


class PostgresLog(PostgresLogReader):
    """The message log inside one transaction. Every answer covers what was not written yet."""

    def __init__(self, session: Session, page: Page, write: Callable[[], Awaitable[None]]) -> None:
        super().__init__(session)
        self._page = page
        self._write = write

    async def append(self, entry: LogEntry, raw: bytes) -> int:
        """Keep the message; return its sequence."""
        return self._page.add(entry, raw)

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match."""
        await self._write()
        return await super().select(selection)

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        return self._first(entry for entry, _ in self._page.unwritten if entry.sequence == sequence) or (
            await super().find(sequence)
        )

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        for entry, raw in self._page.unwritten:
            if entry.sequence == sequence:
                return raw
        return await super().find_raw(sequence)

    # What is not written yet is younger than all that is: it counts where the database knows nothing.

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then."""
        return await super().find_original(partner, message_id, since) or self._first(
            entry
            for entry, _ in self._page.unwritten
            if entry.message_id == message_id
            and entry.partner == partner
            and entry.direction is Direction.IN
            and entry.repeat_of is None
            and entry.outcome in _ACCEPTED
            and entry.received_at >= since
        )

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        return await super().find_answer(sequence) or self._first(
            entry
            for entry, _ in self._page.unwritten
            if entry.answer_to == sequence and entry.direction is Direction.OUT and entry.archetype in _ANSWERS
        )

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        return await super().find_correlated(correlation_id) or self._first(
            entry
            for entry, _ in self._page.unwritten
            if correlation_id in (entry.message_id, entry.correlation_id)
            and entry.archetype in _CAUSES
            and entry.outcome not in _REFUSED
        )

    @staticmethod
    def _first(entries: Iterable[LogEntry]) -> LogEntry | None:
        return next(iter(entries), None)


def _row_of(entry: LogEntry, raw: bytes) -> tuple[Value, ...]:
    return (
        entry.sequence,
        to_micros(entry.received_at),
        entry.direction.value,
        entry.transport.value,
        as_text(entry.partner),
        as_text(entry.archetype),
        as_text(entry.verb),
        as_text(entry.noun),
        as_text(entry.message_id),
        as_text(entry.correlation_id),
        as_text(entry.context),
        entry.outcome.value,
        as_text(" ".join(entry.codes)),
        entry.answer_to,
        entry.repeat_of,
        entry.digest,
        as_text(entry.content_type),
        entry.status,
        entry.truncated,
        entry.size_bytes,
        raw,
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
    )
