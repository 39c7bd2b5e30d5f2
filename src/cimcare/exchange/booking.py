"""Steps of a delivery with the count that belongs to each, so that none is done without the other.

A delivery is counted in the hour in which it was put in, whenever it ends. Source: guarantees G3, G5 and G7.
"""

from datetime import datetime

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.outbox import Delivery, DeliveryState, NewDelivery
from cimcare.exchange.store import Transaction

__all__ = [
    "book_abandoned",
    "book_answered",
    "book_buried",
    "book_delivered",
    "book_discarded",
    "book_expired",
    "book_put",
    "book_resent",
    "book_settled",
]


async def book_put(transaction: Transaction, new: NewDelivery) -> int:
    """Put a delivery in; its number."""
    await _count(transaction, new, Ends.RECEIVED)
    return await transaction.outbox.enqueue(new)


async def book_delivered(transaction: Transaction, *deliveries: Delivery, now: datetime) -> bool:
    """The partner has them. Nothing is done about those whose lease has gone to somebody else; False if about any."""
    done = await transaction.outbox.succeed([(one.number, one.attempts) for one in deliveries], now=now)
    for delivery in deliveries:
        if delivery.number in done:
            await _count(transaction, delivery, Ends.DELIVERED)
    return len(done) == len(deliveries)


async def book_answered(transaction: Transaction, delivery: Delivery, *, now: datetime) -> bool:
    """The reply that was awaited has come, whole. False if it was not awaited any more."""
    done = await transaction.outbox.answer(delivery.number, now=now)
    if done:
        await _count(transaction, delivery, Ends.DELIVERED)
    return done


async def book_buried(
    transaction: Transaction, delivery: Delivery, *, now: datetime, reason: str, received: bytes
) -> bool:
    """Give the delivery up. False, and nothing is done, if the lease has gone to somebody else."""
    done = await transaction.outbox.bury(delivery.number, delivery.attempts, now=now, reason=reason, received=received)
    if done:
        await _count(transaction, delivery, Ends.DEAD)
    return done


async def book_expired(transaction: Transaction, *, now: datetime, reason: str, limit: int) -> tuple[Delivery, ...]:
    """Make dead letters of those whose reply has not come in time."""
    expired = await transaction.outbox.expire(now=now, reason=reason, limit=limit)
    for delivery in expired:
        await _count(transaction, delivery, Ends.DEAD)
    return expired


async def book_abandoned(
    transaction: Transaction,
    partner: str,
    *,
    now: datetime,
    reason: str,
    noun: str = "",
    before: datetime | None = None,
    after: int = 0,
    limit: int,
) -> tuple[Delivery, ...]:
    """Make dead letters of those of a destination that wait or await their reply; see `Outbox.abandon`."""
    abandoned = await transaction.outbox.abandon(
        partner, now=now, reason=reason, noun=noun, before=before, after=after, limit=limit
    )
    for delivery in abandoned:
        await _count(transaction, delivery, Ends.DEAD)
    return abandoned


async def book_resent(transaction: Transaction, number: int, *, now: datetime) -> bool:
    """Let a dead letter wait again. False if it is none."""
    delivery = await _find_dead(transaction, number)
    if delivery is None or not await transaction.outbox.resend(number, now=now):
        return False
    await _count(transaction, delivery, Ends.DEAD, -1)
    return True


async def book_settled(transaction: Transaction, delivery: Delivery, *, now: datetime) -> bool:
    """The answer to a dead letter has come after all: it is delivered, and why it was given up stays with it."""
    reason = f"answered after it was given up: {delivery.reason}"
    done = await transaction.outbox.settle(delivery.number, now=now, reason=reason)
    if done:
        await _count(transaction, delivery, Ends.DEAD, -1)
        await _count(transaction, delivery, Ends.DELIVERED)
    return done


async def book_discarded(transaction: Transaction, number: int, *, now: datetime, reason: str) -> bool:
    """End a dead letter for good. False if it is none."""
    delivery = await _find_dead(transaction, number)
    if delivery is None or not await transaction.outbox.discard(number, now=now, reason=reason):
        return False
    await _count(transaction, delivery, Ends.DEAD, -1)
    await _count(transaction, delivery, Ends.REFUSED)
    return True


async def _find_dead(transaction: Transaction, number: int) -> Delivery | None:
    delivery = await transaction.outbox.find(number)
    return delivery if delivery is not None and delivery.state is DeliveryState.DEAD else None


async def _count(transaction: Transaction, delivery: NewDelivery, column: Ends, by: int = 1) -> None:
    await transaction.ledger.count(delivery.partner, delivery.created_at, Account.OUT, column, by)
