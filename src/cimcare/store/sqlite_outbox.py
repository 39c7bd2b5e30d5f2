"""The outbox on SQLite: hot statements written by hand.

`state IN ('waiting', 'leased')` stands in them as in the partial indexes, which SQLite uses only then.
"""

import sqlite3
from datetime import datetime

from cimcare.exchange.outbox import Backlog, Delivery, DeliverySelection, DeliveryState, NewDelivery
from cimcare.store.instants import from_micros, to_micros

__all__ = ["SqliteOutbox"]

_NEW = "message, partner, object_key, verb, noun, message_id, created_at"
_SELECT = (
    f"SELECT number, {_NEW}, state, due_at, attempts, attempts_before, reason, received"  # noqa: S608 - constants only
    " FROM deliveries"
)
_OPEN = "state IN ('waiting', 'leased')"
# Both states may be claimed once they are due: of a leased one, `due_at` is the end of its lease.
_DUE = (
    f"SELECT number FROM deliveries AS d WHERE partner = ? AND {_OPEN} AND due_at <= ? AND NOT EXISTS"  # noqa: S608
    " (SELECT 1 FROM deliveries AS e WHERE e.partner = d.partner AND e.object_key = d.object_key"
    f" AND e.{_OPEN} AND e.number < d.number) ORDER BY number LIMIT ?"
)
_END = (
    "UPDATE deliveries SET state = ?, due_at = ?, reason = ?, received = ?"
    " WHERE number = ? AND state = 'leased' AND attempts = ?"
)
_Row = tuple[int, int, str, str, str, str, str, int, str, int, int, int, str, bytes]


class SqliteOutbox:
    """The outbox over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        row: _Row | None = self._connection.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
        return None if row is None else _delivery_of(row)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        conditions: list[str] = ["number > ?"]
        values: list[str | int] = [selection.after or 0]
        for column, value in (
            ("partner", selection.partner),
            ("noun", selection.noun),
            ("state", selection.state.value if selection.state else ""),
        ):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)
        if selection.before is not None:
            conditions.append("created_at <= ?")
            values.append(to_micros(selection.before))
        rows: list[_Row] = self._connection.execute(
            f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY number LIMIT ?", (*values, selection.limit)
        ).fetchall()
        return tuple(_delivery_of(row) for row in rows)

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait or are dead."""
        counts: dict[str, list[int | None]] = {}
        for partner, waiting, oldest in self._connection.execute(
            f"SELECT partner, count(*), min(created_at) FROM deliveries WHERE {_OPEN} GROUP BY partner"  # noqa: S608
        ):
            counts[partner] = [waiting, 0, oldest]
        for partner, dead in self._connection.execute(
            "SELECT partner, count(*) FROM deliveries WHERE state = 'dead' GROUP BY partner"
        ):
            counts.setdefault(partner, [0, 0, None])[1] = dead
        return tuple(
            Backlog(
                partner=partner,
                waiting=waiting or 0,
                dead=dead or 0,
                oldest_at=None if oldest is None else from_micros(oldest),
            )
            for partner, (waiting, dead, oldest) in sorted(counts.items())
        )

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in."""
        created_at = to_micros(new.created_at)
        cursor = self._connection.execute(
            f"INSERT INTO deliveries ({_NEW}, state, due_at, attempts, attempts_before, reason, received)"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', ?, 0, 0, '', x'')",
            (
                new.message,
                new.partner,
                new.object_key,
                new.verb,
                new.noun,
                new.message_id,
                created_at,
                created_at,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    async def claim(self, partner: str, *, now: datetime, until: datetime, limit: int) -> tuple[Delivery, ...]:
        """Lease deliveries that are due."""
        due: list[tuple[int]] = self._connection.execute(_DUE, (partner, to_micros(now), limit)).fetchall()
        claimed = []
        for (number,) in due:
            self._connection.execute(
                "UPDATE deliveries SET state = 'leased', due_at = ?, attempts = attempts + 1 WHERE number = ?",
                (to_micros(until), number),
            )
            delivery = await self.find(number)
            assert delivery is not None
            claimed.append(delivery)
        return tuple(claimed)

    async def succeed(self, number: int, attempt: int, *, now: datetime) -> bool:
        """The partner has it."""
        return self._end("delivered", now, "", b"", number, attempt)

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing."""
        return self._end("waiting", due_at, reason, received, number, attempt)

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up."""
        return self._end("dead", now, reason, received, number, attempt)

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again."""
        cursor = self._connection.execute(
            "UPDATE deliveries SET state = 'waiting', due_at = ?, attempts_before = attempts"
            " WHERE number = ? AND state = 'dead'",
            (to_micros(now), number),
        )
        return cursor.rowcount == 1

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good."""
        cursor = self._connection.execute(
            "UPDATE deliveries SET state = 'discarded', due_at = ?, reason = ? WHERE number = ? AND state = 'dead'",
            (to_micros(now), reason, number),
        )
        return cursor.rowcount == 1

    def _end(self, state: str, at: datetime, reason: str, received: bytes, number: int, attempt: int) -> bool:
        return self._connection.execute(_END, (state, to_micros(at), reason, received, number, attempt)).rowcount == 1


def _delivery_of(row: _Row) -> Delivery:
    return Delivery(
        number=row[0],
        message=row[1],
        partner=row[2],
        object_key=row[3],
        verb=row[4],
        noun=row[5],
        message_id=row[6],
        created_at=from_micros(row[7]),
        state=DeliveryState(row[8]),
        due_at=from_micros(row[9]),
        attempts=row[10],
        attempts_before=row[11],
        reason=row[12],
        received=row[13],
    )
