"""The message log on SQLite: hot statements written by hand."""

import sqlite3
from datetime import datetime

from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.store.instants import from_micros, to_micros

__all__ = ["SqliteLog"]

_COLUMNS = (
    "received_at, direction, transport, partner, archetype, verb, noun, message_id, correlation_id, context, outcome,"
    " codes, answer_to, repeat_of, digest, content_type, status, truncated, size_bytes"
)
_INSERT = f"INSERT INTO messages ({_COLUMNS}, raw) VALUES ({', '.join('?' * 20)})"  # noqa: S608 - constants only
_SELECT = f"SELECT sequence, {_COLUMNS} FROM messages"  # noqa: S608 - constants only
_Row = tuple[
    int, int, str, str, str, str, str, str, str, str, str, str, str, int | None, int | None, bytes, str, int, int, int
]


class SqliteLog:
    """The message log over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def append(self, entry: LogEntry, raw: bytes) -> int:
        """Keep the message; return its sequence."""
        cursor = self._connection.execute(
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
                raw,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        return self._find_one(f"{_SELECT} WHERE sequence = ?", (sequence,))

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        row: tuple[bytes] | None = self._connection.execute(
            "SELECT raw FROM messages WHERE sequence = ?", (sequence,)
        ).fetchone()
        return None if row is None else row[0]

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then."""
        return self._find_one(
            f"{_SELECT} WHERE message_id = ? AND partner = ? AND direction = 'in' AND repeat_of IS NULL"
            " AND outcome IN ('OK', 'PARTIAL') AND received_at >= ? ORDER BY sequence LIMIT 1",
            (message_id, partner, to_micros(since)),
        )

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

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match, in the order asked for."""
        conditions: list[str] = []
        values: list[str | int] = []
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
        if selection.outcome is not None:
            conditions.append("outcome = ?")
            values.append(selection.outcome.value)
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
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if selection.newest_first else "ASC"
        values.append(selection.limit)
        rows: list[_Row] = self._connection.execute(
            f"{_SELECT}{where} ORDER BY sequence {order} LIMIT ?", values
        ).fetchall()
        return tuple(_entry_of(row) for row in rows)

    def _find_one(self, statement: str, values: tuple[str | int, ...]) -> LogEntry | None:
        row: _Row | None = self._connection.execute(statement, values).fetchone()
        return None if row is None else _entry_of(row)


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
    )
