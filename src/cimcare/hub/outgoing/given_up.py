"""Requests that were given up: whoever waits for a later reply to one hears of it.

Source: guarantee G5.
"""

from datetime import datetime

from cimcare.errors import ERRORS, CimcareError, Finding, finding_of
from cimcare.exchange.outbox import Delivery, DeliveryKind
from cimcare.exchange.partners import Partner
from cimcare.exchange.patterns import Asked, build_reply
from cimcare.exchange.ports import NewID
from cimcare.exchange.routing import Routes
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.later import is_answered_later, reply_to_of
from cimcare.hub.intake.reading import read_back
from cimcare.model.envelope import RequestMessage, Result

__all__ = ["find_waiting", "tell_given_up"]

_INSTEAD = (
    "a request with a new MessageID, since this one again brings no more than its receipt; or the true reply, which"
    " follows if the owner answers after all or an operator sends the request to it again"
)


async def tell_given_up(
    transaction: Transaction,
    delivery: Delivery,
    code: str,
    reason: str,
    *,
    routes: Routes,
    owner: Partner | None,
    now: datetime,
    new_id: NewID,
) -> str | None:
    """Put a FAILED reply in for who waits for a later one; its destination, None if nobody waits.

    Args:
        transaction: The one in which the delivery was given up.
        delivery: It. Only of a request can anybody wait for a reply.
        code: Row of the error table.
        reason: Why, as who waits reads it.
        routes: Who is a partner now.
        owner: To whom the request was to go; None if no such partner is there any more.
        now: Instant of the reply.
        new_id: New identifiers.
    """
    if delivery.kind is not DeliveryKind.REQUEST:
        return None
    request = await find_waiting(transaction, delivery)
    if request is None:
        return None
    header = request.header
    asked = Asked(
        noun=header.noun,
        verb=header.verb.value,
        context=header.context,
        source=header.source,
        message_id=header.message_id,
        correlation_id=header.correlation_id,
    )
    findings: tuple[Finding, ...] = (finding_of(code, "/", f"{delivery.partner}: {reason}", _INSTEAD, "guarantee G5"),)
    if routes.third_party(header.source or ""):  # who must not read what the owner said of objects of others
        findings = (finding_of(code, "/", ERRORS[code].title, _INSTEAD, "guarantee G5"),)
    reply = build_reply(
        asked,
        result=Result.FAILED,
        findings=findings,
        source=owner.source if owner is not None else delivery.partner,
        now=now,
        message_id=new_id(),
    )
    reply_to = reply_to_of(header, routes, cause=delivery.cause, priority=delivery.priority)
    await reply_to.keep_and_put(transaction, reply, now=now)
    return reply_to.destination


async def find_waiting(transaction: Transaction, delivery: Delivery) -> RequestMessage | None:
    """The request that led to a delivery, as it came, if its sender waits for a later reply."""
    entry, raw = await transaction.log.find(delivery.cause), await transaction.log.find_raw(delivery.cause)
    if entry is None or raw is None:
        return None
    try:
        message = read_back(entry, raw)
    except CimcareError:  # one that cannot be read any more must not keep the others from their end
        return None
    return message if is_answered_later(message) else None
