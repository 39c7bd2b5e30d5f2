"""Answers and consequent events: what is sent back, and what is told to others, as values.

Source: IEC 61968-100:2013, Reply (choice of Result and codes) and Header; patterns request/reply, event, one-way.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from cimcare.errors import ERRORS, Finding, Level
from cimcare.exchange.correlation import correlation_of
from cimcare.exchange.ports import Event, ExecutedEvent
from cimcare.model.envelope import (
    ErrorLevel,
    EventMessage,
    FaultMessage,
    Header,
    Location,
    ObjectID,
    Payload,
    Reply,
    ReplyError,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MessageID
from cimcare.model.nouns import PayloadRoot
from cimcare.model.verbs import Verb

__all__ = ["RECEIVED", "Asked", "build_event", "build_fault", "build_reply", "codes_of", "error_of", "writable"]

_STAGES = {
    "XML": "limits",
    "ENV": "envelope",
    "COD": "binding",
    "SCH": "schema",
    "LEN": "leniency",
    "CNV": "rules",
    "REF": "rules",
    "LIF": "rules",
    "BUS": "rules",
    "EXC": "exchange",
    "DRL": "exchange",
    "NET": "transport",
    "SET": "settings",
}

_FINE = ReplyError(code="0.0", level=ErrorLevel.INFORM, reason="no error")
_NOTHING_FOLLOWS = ReplyError(code="0.2", level=ErrorLevel.INFORM, reason="partial, nothing more follows")
RECEIVED = ReplyError(code="0.3", level=ErrorLevel.INFORM, reason="received, no result yet")
"""Simple acknowledgement."""

# What XML cannot carry, and so must not be echoed in an error text.
_UNWRITABLE = dict.fromkeys(
    (*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), "\N{REPLACEMENT CHARACTER}"
)


def writable(text: str) -> str:
    """The text with a replacement character for each that XML cannot carry, so that every answer can be written."""
    return text.translate(_UNWRITABLE)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer must know of the message that it answers. Texts as sent, whether or not they make sense."""

    noun: str
    verb: str = ""
    archetype: str = ""
    revision: str | None = None
    context: str | None = None
    source: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None


def error_of(finding: Finding, *, node: str) -> ReplyError:
    """Error of a reply for a finding. `node` is the system that speaks."""
    row = ERRORS[finding.code]
    return ReplyError(
        code=row.reply_code,
        level=ErrorLevel(finding.level.value),
        reason=row.title,
        details=writable(finding.describe()),
        location=Location(node=node, stage=_STAGES.get(finding.code[:3], "hub")),
        id=ObjectID(value=writable(finding.object_id)) if finding.object_id else None,
        operation_id=finding.operation_id,
    )


def build_reply(
    asked: Asked,
    *,
    result: Result,
    findings: Iterable[Finding],
    ids: tuple[ObjectID, ...] = (),
    payload: PayloadRoot | None = None,
    source: str,
    now: datetime,
    message_id: str,
    acknowledged: bool = False,
) -> ResponseMessage:
    """The reply.

    OK carries code 0.0 (0.3 if merely `acknowledged`) before warnings, PARTIAL 0.2 before errors, FAILED errors alone.

    Args:
        asked: The message answered.
        result: Outcome.
        findings: One Error each.
        ids: Identifiers that resulted.
        payload: Answer to a get.
        source: Name of the system that answers.
        now: Instant of the answer, aware.
        message_id: Its new identifier.
        acknowledged: Whether the reply says no more than that the message came.
    """
    first: tuple[ReplyError, ...] = ()
    if result is Result.OK:
        first = (RECEIVED if acknowledged else _FINE,)
    elif result is Result.PARTIAL:
        first = (_NOTHING_FOLLOWS,)
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun=asked.noun,
            revision=asked.revision,
            context=asked.context,
            timestamp=now,
            source=source,
            message_id=MessageID(message_id),
            correlation_id=correlation_of(asked.message_id, asked.correlation_id),
        ),
        reply=Reply(result=result, error=(*first, *(error_of(finding, node=source) for finding in findings)), id=ids),
        payload=None if payload is None else Payload(content=(payload,)),
    )


def build_fault(findings: Iterable[Finding], *, node: str) -> FaultMessage:
    """The answer to input of which not even the header could be read."""
    return FaultMessage(
        reply=Reply(result=Result.FAILED, error=tuple(error_of(finding, node=node) for finding in findings))
    )


def build_event(
    event: Event | ExecutedEvent, asked: Asked, *, source: str, now: datetime, message_id: str
) -> EventMessage:
    """An event that a request or another event caused. It carries the identifier that links all of them."""
    return EventMessage(
        header=Header(
            verb=event.verb,
            noun=str(event.noun),
            revision=asked.revision if asked.noun == event.noun else None,
            context=asked.context,
            timestamp=now,
            source=source,
            message_id=MessageID(message_id),
            correlation_id=correlation_of(asked.message_id, asked.correlation_id),
        ),
        payload=Payload(operation_set=event.operation_set)
        if isinstance(event, ExecutedEvent)
        else Payload(content=(event.payload,)),
    )


def codes_of(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Codes of findings, each once, errors before warnings before notes."""
    order = {Level.FATAL: 0, Level.WARNING: 1, Level.INFORM: 2}
    return tuple(dict.fromkeys(finding.code for finding in sorted(findings, key=lambda one: order[one.level])))
