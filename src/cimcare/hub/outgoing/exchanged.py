"""What the log has of a delivery: what went to the partner, and what came back in the same exchange.

It is kept of deliveries that were given up, and of requests that were answered.
"""

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection
from cimcare.exchange.outbox import Delivery, DeliveryKind
from cimcare.exchange.store import Reader
from cimcare.hub.config.configuration import in_force

__all__ = ["Attempt", "Carried", "Exchanged", "find_attempts", "find_exchanged", "load_carried"]

_MOST = 1000
_BACK = ("ResponseMessage", "FaultMessage")


class Exchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The last attempt of which the log has something; None for what it has not."""

    sent: LogEntry | None
    received: LogEntry | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of which the log has something: what went out, and what came back; None for what it has not."""

    sent: LogEntry | None
    received: LogEntry | None


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a delivery: `sent` is what went out last, else the message as the log has it."""

    exchanged: Exchanged
    sent: bytes
    received: bytes


async def find_exchanged(reader: Reader, delivery: Delivery) -> Exchanged:
    """What was sent last for a delivery, and what came back."""
    found = await _entries(reader, delivery)
    sent = [entry for entry in found if entry.direction is Direction.OUT]
    received = [entry for entry in found if entry.direction is Direction.IN]
    return Exchanged(sent=sent[-1] if sent else None, received=received[-1] if received else None)


async def find_attempts(reader: Reader, delivery: Delivery) -> tuple[Attempt, ...]:
    """Every attempt of a delivery of which the log has something, the oldest first."""
    attempts: list[Attempt] = []
    for entry in await _entries(reader, delivery):
        if entry.direction is Direction.OUT:
            attempts.append(Attempt(sent=entry, received=None))
        elif attempts and attempts[-1].received is None:
            attempts[-1] = msgspec.structs.replace(attempts[-1], received=entry)
        else:
            attempts.append(Attempt(sent=None, received=entry))
    return tuple(attempts)


async def load_carried(reader: Reader, delivery: Delivery) -> Carried:
    """What went out last for a delivery and what came back, as bytes, as far as they are kept."""
    exchanged = await find_exchanged(reader, delivery)
    sequence = exchanged.sent.sequence if exchanged.sent is not None else delivery.message
    received = delivery.received
    if exchanged.received is not None:
        received = await reader.log.find_raw(exchanged.received.sequence) or received
    return Carried(exchanged=exchanged, sent=await reader.log.find_raw(sequence) or b"", received=received)


async def _entries(reader: Reader, delivery: Delivery) -> list[LogEntry]:
    """What went to the partner for a delivery and what came from it in the same exchanges, the oldest first."""
    partners = (await in_force(reader.records)).partners
    source = next((one.source for one in partners if one.name == delivery.partner), delivery.partner)
    # The answer to a request stands in the log with what led to the request, which the request itself may be.
    causes = {delivery.message, delivery.cause} if delivery.kind is DeliveryKind.REQUEST else {delivery.message}
    found: dict[int, LogEntry] = {}
    for cause in causes:
        selection = LogSelection(answer_to=cause, partner=source, newest_first=True, limit=_MOST)
        for entry in await reader.log.select(selection):
            is_out = entry.direction is Direction.OUT and (entry.verb, entry.noun) == (delivery.verb, delivery.noun)
            is_back = entry.direction is Direction.IN and entry.archetype in _BACK
            if entry.sequence != delivery.message and (is_out or is_back):
                found[entry.sequence] = entry
    return [found[sequence] for sequence in sorted(found)]
