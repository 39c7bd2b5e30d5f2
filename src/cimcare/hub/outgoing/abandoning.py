"""Abandoning a destination: what waits for it, or awaits its reply, becomes dead letters.

For a partner or subscription that was taken away for good. Deliveries stay when their destination goes, since it may
come back; nobody sends them, and nothing ends them. As dead letters they are an operator's again, to be discarded or,
when there is a destination of that name, sent again.

Source: guarantees G3, G5, G7 and G10.
"""

from collections.abc import AsyncGenerator
from datetime import datetime

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.booking import book_abandoned, book_settled
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState, OutboxReader
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.removal import describe_runs
from cimcare.exchange.routing import Routes
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.config.configuration import in_force
from cimcare.hub.intake.later import has_last_reply
from cimcare.hub.outgoing.given_up import tell_given_up

__all__ = ["Abandonable", "abandon", "count_abandonable"]

_BATCH = 100
"""Most deliveries of one transaction."""

_PAGE = 1000
_OPEN = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING)


class Abandonable(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries of a destination wait and await their reply; `leased` are being sent, and would be left."""

    waiting: int
    awaiting: int
    leased: int


async def count_abandonable(outbox: OutboxReader, wanted: DeliverySelection, clock: Clock) -> Abandonable:
    """What `abandon` would do now. Raises StoreError.

    Args:
        outbox: Where deliveries are.
        wanted: As for `abandon`.
        clock: Now. A lease that has run out counts as waiting.
    """
    now = clock()
    counts = dict.fromkeys(_OPEN, 0)
    after = wanted.after
    while True:
        page = await outbox.select(msgspec.structs.replace(wanted, states=_OPEN, after=after, limit=_PAGE))
        for one in page:
            is_stranded = one.state is DeliveryState.LEASED and one.due_at <= now
            counts[DeliveryState.WAITING if is_stranded else one.state] += 1
        if len(page) < _PAGE:
            return Abandonable(**{state.value: count for state, count in counts.items()})
        after = page[-1].number


async def abandon(
    store: Store, wanted: DeliverySelection, *, actor: str, reason: str, clock: Clock, new_id: NewID
) -> AsyncGenerator[tuple[Delivery, ...], None]:
    """Make dead letters of what waits for a destination or awaits its reply, the oldest first; what each batch was.

    Each batch is one transaction, with its counts, its row of the audit trail, which names the numbers, and replies to
    those who wait for later ones. What is being sent is left alone. It ends when nothing is left that was there before.

    Args:
        store: Where deliveries are.
        wanted: The destination as `partner`; `noun`, `before` and `after` restrict them, all else is not looked at.
        actor: Who does it, for the audit trail.
        reason: Why: with the dead letters, in the audit trail, and to those who wait for a later reply.
        clock: Now.
        new_id: New identifiers.

    Raises:
        StoreError: What was done before stays done.
    """
    after = wanted.after or 0
    batch: tuple[Delivery, ...] = ()
    while not batch or len(batch) == _BATCH:
        async with store.transaction() as transaction:
            now = clock()
            batch = await book_abandoned(
                transaction,
                wanted.partner,
                now=now,
                reason=f"abandoned: {reason}",
                noun=wanted.noun,
                before=wanted.before,
                after=after,
                limit=_BATCH,
            )
            if not batch:
                return
            await _tell(transaction, batch, now, new_id)
            numbers = describe_runs(one.number for one in batch)
            note = Note(
                at=now,
                action=Action.ABANDON,
                actor=actor,
                subject=f"deliveries to {wanted.partner}",
                details=f"{numbers}: {reason}",
            )
            await transaction.audit.append(note)
        after = batch[-1].number
        yield batch


async def _tell(transaction: Transaction, batch: tuple[Delivery, ...], now: datetime, new_id: NewID) -> None:
    """Whoever waits for a later reply to one of these hears that none will come.

    A request whose reply has come by itself, while it waited for its next attempt, is delivered: it was passed on.
    """
    routes = Routes((await in_force(transaction.records)).partners, (), {})
    for delivery in batch:
        is_request = delivery.kind is DeliveryKind.REQUEST
        if is_request and await has_last_reply(transaction.log, delivery.message, by_itself=True):
            await book_settled(transaction, delivery, now=now)
            continue
        owner = routes.partner(delivery.partner)
        await tell_given_up(
            transaction, delivery, "NET-105", delivery.reason, routes=routes, owner=owner, now=now, new_id=new_id
        )
