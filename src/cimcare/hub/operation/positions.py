"""Where an instant lies in what is numbered as it comes: the log, the outbox, the audit trail.

Numbers rise with time, so the place is found by halving: some thirty look-ups by number among a thousand million, and
no index by time has to be paid for with every message. Rows of one commit may be out of order by what they waited
for their turn; an instant is found to within that.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from cimcare.exchange.audit import AuditReader
from cimcare.exchange.log import LogSelection, MessageReader
from cimcare.exchange.outbox import DeliverySelection, OutboxReader

__all__ = ["last_audit_row", "last_delivery", "last_message"]

_Next = Callable[[int], Awaitable[tuple[int, datetime] | None]]
"""The first row behind a number: its own number and instant; None if there is none."""


async def last_message(log: MessageReader, at: datetime) -> int:
    """Sequence of the last message that was received or made by an instant; 0 if there was none."""

    async def following(number: int) -> tuple[int, datetime] | None:
        found = await log.select(LogSelection(after=number, limit=1))
        return (found[0].sequence, found[0].received_at) if found else None

    return await _last(following, at)


async def last_delivery(outbox: OutboxReader, at: datetime) -> int:
    """Number of the last delivery that was put in by an instant; 0 if there was none."""

    async def following(number: int) -> tuple[int, datetime] | None:
        found = await outbox.select(DeliverySelection(after=number, limit=1))
        return (found[0].number, found[0].created_at) if found else None

    return await _last(following, at)


async def last_audit_row(audit: AuditReader, at: datetime) -> int:
    """Number of the last row of the audit trail that was written by an instant; 0 if there was none."""

    async def following(number: int) -> tuple[int, datetime] | None:
        found = await audit.rows(number, 1)
        return (found[0].number, found[0].at) if found else None

    return await _last(following, at)


async def _last(following: _Next, at: datetime) -> int:
    """All rows up to the number that is returned are not later than `at`, all behind it are."""
    low, high = 0, 1
    while (row := await following(high)) is not None and row[1] <= at:
        low, high = row[0], 2 * row[0]
    while low < high:
        middle = (low + high) // 2
        row = await following(middle)
        if row is None or row[0] > high or row[1] > at:
            high = middle
        else:
            low = row[0]
    return low
