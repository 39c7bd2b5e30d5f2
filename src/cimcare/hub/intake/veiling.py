"""What leaves for third parties: events and replies, cut to what customers consent to, each as a copy of its own.

Every way to a third party leads through here: the outbox, replies in the same exchange and later ones, the feed of
events, its stream, and objects over REST. The log keeps the copy that was sent beside the message as it was, and the
audit trail says of which it is a copy. A copy has the MessageID of its original, since it tells of the same event.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from cimcare.codec.envelope import render_message
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.audit import Action, Note
from cimcare.exchange.log import Direction, LogEntry, Transport
from cimcare.exchange.operations import finding_at, steps_of
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Clock, Records
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.judging import Readable
from cimcare.hub.intake.reading import unpacked
from cimcare.model.envelope import EventMessage, OperationSet, RequestMessage, ResponseMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.cis.sight import OPEN, Sight, is_open

__all__ = [
    "NOT_CONSENTED",
    "Viewer",
    "check_open",
    "keep_copy",
    "note_reply",
    "seen_event",
    "seen_now",
    "seen_reply",
    "viewer_of",
]

Viewer = Callable[[EventMessage], Awaitable[EventMessage | None]]
"""What somebody sees of an event; None if nothing."""

NOT_CONSENTED = "nothing of it may be seen any more: customers have withdrawn their consent while it waited"
"""Why what has waited for a third party is not sent."""

_OUR_RULE = "consents (our profile)"
_SEEN = (Noun.CUSTOMER_AGREEMENTS, OperationSet.XML_TYPE)


async def seen_event(records: Records, message: EventMessage, third_party: str, now: datetime) -> EventMessage | None:
    """What a third party sees of an event that is being told; None if nothing."""
    message = _readable(message)
    if message.header.noun not in _SEEN:
        return None
    sight = Sight(records, third_party, now)
    await sight.remember(message)
    return await sight.event(message)


async def seen_reply(records: Records, message: ResponseMessage, third_party: str, now: datetime) -> ResponseMessage:
    """What a third party sees of the reply of another system."""
    try:
        message = unpacked(message)
    except InputError:  # what cannot be read cannot be cut, and stays here
        message = ResponseMessage(header=message.header, reply=message.reply)
    return await Sight(records, third_party, now).reply(message)


def viewer_of(records: Records, third_party: str, clock: Clock) -> Viewer:
    """How a third party sees events that were told before, by the consents that hold when it looks."""

    async def view(message: EventMessage) -> EventMessage | None:
        message = _readable(message)
        if message.header.noun not in _SEEN:
            return None
        return await Sight(records, third_party, clock()).event(message)

    return view


async def seen_now(records: Records, message: Readable, third_party: str, now: datetime) -> Readable | None:
    """What a third party may see of what has waited for it, by the consents that hold when it is sent; None if nothing.

    Requests hold what the third party has asked for or owns, and go as they are.
    """
    if isinstance(message, EventMessage):
        return await viewer_of(records, third_party, lambda: now)(message)
    return await seen_reply(records, message, third_party, now) if isinstance(message, ResponseMessage) else message


def check_open(message: RequestMessage) -> tuple[Finding, ...]:
    """BUS-163 for each thing that a third party may not ask for, wherever it would be served."""
    header = message.header
    if header.verb is Verb.EXECUTE:
        sets = message.payload.operation_set if message.payload is not None else None
        asked = [
            (step.verb, step.noun.value, finding_at(step, RequestMessage.ARCHETYPE))
            for step in (steps_of(sets) if sets is not None else ())
        ]
    else:
        asked = [(header.verb, header.noun, "/RequestMessage/Header/Noun")]
    accepted = ", ".join(sorted({noun.value for _, noun in OPEN}))
    return tuple(
        finding_of("BUS-163", where, f"{verb} {noun} from a third party", f"among others {accepted}", _OUR_RULE)
        for verb, noun, where in asked
        if not is_open(verb, noun)
    )


async def keep_copy(
    transaction: Transaction, message: EventMessage, partner: Partner, *, of: int, now: datetime
) -> int:
    """Put what a third party is sent into the log, and say so in the audit trail; the sequence of the copy."""
    raw = render_message(message)
    header = message.header
    sequence = await transaction.log.append(
        LogEntry(
            received_at=now,
            direction=Direction.OUT,
            transport=Transport.FILTERED,
            partner=partner.source,
            archetype="EventMessage",
            verb=header.verb.value,
            noun=header.noun,
            message_id=header.message_id or "",
            correlation_id=header.correlation_id or "",
            context=header.context or "",
            answer_to=of,
            content_type="application/xml",
            size_bytes=len(raw),
        ),
        raw,
        message,
    )
    await transaction.audit.append(
        Note(
            at=now,
            action=Action.FILTER,
            subject=f"message {of}",
            details=f"message {sequence} is the copy for {partner.name}, cut to what customers consent to",
        )
    )
    return sequence


async def note_reply(transaction: Transaction, third_party: str, *, of: int, now: datetime) -> None:
    """Say in the audit trail that the reply to a message was cut."""
    await transaction.audit.append(
        Note(
            at=now,
            action=Action.FILTER,
            subject=f"message {of}",
            details=f"the reply to {third_party} is cut to what customers consent to",
        )
    )


def _readable(message: EventMessage) -> EventMessage:
    """The event with its content in its place; without any content where that cannot be read."""
    try:
        return unpacked(message)
    except InputError:
        return EventMessage(header=message.header)
