"""One conversation: all that was said under one correlation, as arrows between systems, in the order in which it was.

Drawn from the log and the outbox and from nothing else, so it shows what happened: repeats, refusals, what still waits
and what was given up.

Source: IEC 61968-8:2015, the figures of the exchanges; IEC 61968-100:2013, Header/CorrelationID.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState
from cimcare.exchange.store import Reader
from cimcare.hub.intake.setup import Setup
from cimcare.model.nouns import Role
from cimcare.model.verbs import Verb

__all__ = ["HUB", "Arrow", "ArrowKind", "Conversation", "Lane", "find_conversation"]

HUB = "hub"
"""The lane of the hub where it only passes on."""

MOST = 300
"""Messages of one conversation that are drawn."""


class ArrowKind(StrEnum):
    """What an arrow is. `waiting` and `dead` are deliveries that have not arrived, or never will by themselves."""

    REQUEST = "request"
    REPLY = "reply"
    EVENT = "event"
    WAITING = "waiting"
    DEAD = "dead"


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A system. `kind` says what it is: built in, partner, the hub itself, or somebody who is no partner."""

    name: str
    kind: str


class Arrow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said, or is to be said.

    `sequence` is the number in the log, `delivery` that of a delivery, 0 where there is none. `note` is what there is
    to say besides verb and noun.
    """

    at: datetime
    sender: str
    receiver: str
    verb: str
    noun: str
    kind: ArrowKind
    outcome: Outcome = Outcome.NONE
    codes: tuple[str, ...] = ()
    note: str = ""
    sequence: int = 0
    delivery: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """Lanes from left to right, arrows from top to bottom. `is_cut`: there is more than is drawn."""

    correlation: str
    lanes: tuple[Lane, ...]
    arrows: tuple[Arrow, ...]
    is_cut: bool = False


async def find_conversation(reader: Reader, setup: Setup, correlation: str) -> Conversation | None:
    """The conversation with this correlation, which is that of a CorrelationID or MessageID; None if there is none.

    Each look-up goes by an index; what is read grows with the conversation alone.
    """
    entries = await _entries_of(reader, correlation)
    if not entries:
        return None
    drawn = entries[:MOST]
    deliveries = [
        delivery
        for entry in drawn
        if entry.direction is Direction.OUT and entry.transport is Transport.INTERNAL
        for delivery in await reader.outbox.select(DeliverySelection(message=entry.sequence))
    ]
    arrows = sorted(_arrows_of(drawn, deliveries, setup), key=lambda arrow: (arrow.at, arrow.sequence or 2**62))
    return Conversation(
        correlation=correlation,
        lanes=_lanes_of(arrows, setup),
        arrows=tuple(arrows),
        is_cut=len(entries) > MOST,
    )


async def _entries_of(reader: Reader, correlation: str) -> list[LogEntry]:
    """What carries the correlation or is what it names, and all answers to that, by number."""
    wanted = (
        LogSelection(correlation_id=correlation, limit=MOST + 1),
        LogSelection(message_id=correlation, limit=MOST + 1),
    )
    found = {entry.sequence: entry for one in wanted for entry in await reader.log.select(one)}
    for sequence, entry in list(found.items()):
        if entry.direction is Direction.IN and len(found) <= MOST:
            answers = await reader.log.select(LogSelection(answer_to=sequence, limit=MOST + 1))
            found.update({answer.sequence: answer for answer in answers})
    return [found[sequence] for sequence in sorted(found)]


def _arrows_of(entries: Sequence[LogEntry], deliveries: Iterable[Delivery], setup: Setup) -> Iterable[Arrow]:
    known = {entry.sequence: entry for entry in entries}
    for entry in entries:
        kind = ArrowKind.REQUEST
        if entry.archetype in ("ResponseMessage", "FaultMessage"):
            kind = ArrowKind.REPLY
        elif entry.archetype == "EventMessage":
            kind = ArrowKind.EVENT
        for sender, receiver in _ends_of(entry, known, setup):
            yield Arrow(
                at=entry.received_at,
                sender=sender,
                receiver=receiver,
                verb=entry.verb or "fault",
                noun=entry.noun,
                kind=kind,
                outcome=entry.outcome,
                codes=entry.codes,
                note=f"repeat of {entry.repeat_of}" if entry.repeat_of else "",
                sequence=entry.sequence,
            )
    for delivery in deliveries:
        if delivery.state in (DeliveryState.DELIVERED, DeliveryState.DISCARDED):
            continue  # the log has what went out
        is_dead = delivery.state is DeliveryState.DEAD
        yield Arrow(
            at=delivery.created_at,
            sender=_owner(delivery.noun, setup),
            receiver=delivery.partner,
            verb=delivery.verb,
            noun=delivery.noun,
            kind=ArrowKind.DEAD if is_dead else ArrowKind.WAITING,
            note=f"{delivery.state}, {delivery.attempts} attempts{': ' + delivery.reason if delivery.reason else ''}",
            delivery=delivery.number,
        )


def _ends_of(entry: LogEntry, known: dict[int, LogEntry], setup: Setup) -> list[tuple[str, str]]:
    """From where to where; an event inside the house goes to all that heard it."""
    other = entry.partner or "somebody"
    if entry.direction is Direction.IN:
        return [(other, _receiver(entry, setup))]
    if entry.transport is Transport.INTERNAL:
        sender = _owner(entry.noun, setup)
        return [(sender, receiver) for receiver in entry.partner.split() or [HUB]]
    asked = known.get(entry.answer_to or 0)
    if asked is not None and asked.direction is Direction.IN and entry.archetype in ("ResponseMessage", "FaultMessage"):
        return [(_receiver(asked, setup), other)]
    return [(HUB if entry.archetype == "RequestMessage" else _owner(entry.noun, setup), other)]


def _receiver(entry: LogEntry, setup: Setup) -> str:
    """Who takes what came: the built-in owner of the noun, the first built-in listener, or the hub to pass it on."""
    if entry.archetype == "RequestMessage":
        return _owner(entry.noun, setup)
    if entry.archetype == "EventMessage" and entry.verb in frozenset(Verb):
        listeners = setup.dispatcher.listeners(Verb(entry.verb), entry.noun)
        if listeners:
            return setup.sources[listeners[0][0]]
    return HUB


def _owner(noun: str, setup: Setup) -> str:
    """Built-in system that serves the noun; the hub where none does."""
    if setup.routes.owner_of(noun) is not None:
        return HUB
    handler = setup.dispatcher.find_handler(Verb.GET, noun)
    return setup.sources[handler[0]] if isinstance(handler, tuple) else HUB


def _lanes_of(arrows: Iterable[Arrow], setup: Setup) -> tuple[Lane, ...]:
    """Systems in the order in which they come in, the hub in the middle of nothing: where it first stands."""
    names = dict.fromkeys(name for arrow in arrows for name in (arrow.sender, arrow.receiver))
    built_in = {setup.sources[role] for role in Role if role not in setup.routes.remote_roles()}
    return tuple(Lane(name=name, kind=_kind_of(name, built_in, setup)) for name in names)


def _kind_of(name: str, built_in: set[str], setup: Setup) -> str:
    if name == HUB:
        return "passes on"
    if setup.routes.partner(name) is not None or setup.routes.by_source(name) is not None:
        return "partner"
    return "built in" if name in built_in else "caller"
