"""What the log has of a delivery: what went to the partner, and what came back in the same exchange.

It is kept of deliveries that were given up, and of requests that were answered.
"""

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection
from cimcare.exchange.outbox import Delivery, DeliveryKind
from cimcare.exchange.store import Reader
from cimcare.hub.config.configuration import in_force

__all__ = ["Exchanged", "find_exchanged"]

_MOST = 1000
_BACK = ("ResponseMessage", "FaultMessage")


class Exchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The last attempt of which the log has something; None for what it has not."""

    sent: LogEntry | None
    received: LogEntry | None


async def find_exchanged(reader: Reader, delivery: Delivery) -> Exchanged:
    """What was sent last for a delivery, and what came back."""
    partners = (await in_force(reader.records)).partners
    source = next((one.source for one in partners if one.name == delivery.partner), delivery.partner)
    # The answer to a request stands in the log with what led to the request, which the request itself may be.
    causes = {delivery.message, delivery.cause} if delivery.kind is DeliveryKind.REQUEST else {delivery.message}
    sent: LogEntry | None = None
    received: LogEntry | None = None
    for cause in sorted(causes):
        selection = LogSelection(answer_to=cause, partner=source, newest_first=True, limit=_MOST)
        for entry in await reader.log.select(selection):
            if entry.sequence == delivery.message:
                continue
            if entry.direction is Direction.OUT and (entry.verb, entry.noun) == (delivery.verb, delivery.noun):
                sent = _newer(sent, entry)
            elif entry.direction is Direction.IN and entry.archetype in _BACK:
                received = _newer(received, entry)
    return Exchanged(sent=sent, received=received)


def _newer(one: LogEntry | None, other: LogEntry) -> LogEntry:
    return other if one is None or other.sequence > one.sequence else one
