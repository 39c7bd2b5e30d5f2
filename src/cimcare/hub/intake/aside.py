"""What came from a broker and nobody can serve: a dead letter of the hub's own, in the transaction that keeps it.

It stands in the outbox like any other, as one to the hub itself, so that whoever looks after dead letters finds it in
the same place: with its reason, its bytes, and where at which broker it came from.

Source: guarantees G1, G5 and G7.
"""

from datetime import datetime

from cimcare.exchange.booking import book_abandoned, book_put
from cimcare.exchange.log import Direction, LogSelection, Outcome
from cimcare.exchange.outbox import DeliveryKind, DeliverySelection, DeliveryState, NewDelivery
from cimcare.exchange.partners import BROKER
from cimcare.exchange.patterns import Asked
from cimcare.exchange.store import Transaction
from cimcare.transport.channel import Origin

__all__ = ["put_aside"]

_OPEN = (DeliveryState.DEAD, DeliveryState.WAITING, DeliveryState.LEASED)
_MOST = 100
"""How many messages of one identifier are compared, so that a flood of them does not become slow."""


async def put_aside(
    transaction: Transaction, origin: Origin, asked: Asked, *, sequence: int, raw: bytes, reason: str, now: datetime
) -> None:
    """Make a dead letter of a message that was kept just now, unless it is one already and has only come again.

    Args:
        transaction: The one that keeps it.
        origin: Where it came from.
        asked: What could be read of its header.
        sequence: It in the log, where it bears its MessageID, or without one the `key` of its origin.
        raw: It, as kept.
        reason: Why it cannot be served, for an operator.
        now: Instant at which it was kept.
    """
    message_id = asked.message_id or origin.key
    if await _is_aside(transaction, message_id, sequence, raw):
        return
    new = NewDelivery(
        message=sequence,
        cause=sequence,
        partner=f"{BROKER} {origin.broker}",
        kind=DeliveryKind.INTAKE,
        object_keys=(),
        verb=asked.verb[:16],
        noun=asked.noun,
        message_id=message_id,
        created_at=now,
        address=origin.place,
    )
    number = await book_put(transaction, new)
    await book_abandoned(transaction, new.partner, now=now, reason=reason, after=number - 1, limit=1)


async def _is_aside(transaction: Transaction, message_id: str, sequence: int, raw: bytes) -> bool:
    """Whether the same bytes are a dead letter already: a hub died before it could acknowledge them."""
    wanted = LogSelection(
        message_id=message_id, direction=Direction.IN, outcomes=(Outcome.FAULT,), newest_first=True, limit=_MOST
    )
    for entry in await transaction.log.select(wanted):
        if entry.sequence == sequence or await transaction.log.find_raw(entry.sequence) != raw:
            continue
        if await transaction.outbox.select(DeliverySelection(message=entry.sequence, states=_OPEN, limit=1)):
            return True
    return False
