"""Messages of a run: samples under other identifiers, built once for all runs; replies; names for people."""

from datetime import datetime
from functools import cache

import msgspec

from cimcare.exchange.correlation import correlation_of
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Header,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.simulation.plan import Manner

__all__ = ["Sendable", "a_message", "a_reply", "codes_in", "is_passing", "name_of"]

Sendable = RequestMessage | EventMessage | ResponseMessage

_PASSING_CODES = ("3.2", "4.", "5.1", "5.2", "5.3")
"""Reply codes after which a sender tries the same message again."""


@cache
def _sample(noun: Noun, verb: Verb, number: int) -> AnyMessage:
    return build_message(noun, verb, seed=number)


def a_message(
    noun: Noun, verb: Verb, number: int, *, source: str, message_id: str, manner: Manner, address: str
) -> RequestMessage | EventMessage:
    """The sample as somebody sends it."""
    message = _sample(noun, verb, number)
    assert isinstance(message, RequestMessage | EventMessage)
    header = msgspec.structs.replace(
        message.header,
        source=source,
        message_id=MessageID(message_id) if manner is not Manner.ANONYMOUS else None,
        correlation_id=None,
        ack_required=False if manner is Manner.ONE_WAY else None,
        async_reply_flag=True if manner is Manner.LATER else None,
        reply_address=address if manner is Manner.LATER else None,
    )
    return msgspec.structs.replace(message, header=header)


def a_reply(
    message: Sendable, *, source: str, message_id: str, now: datetime, result: Result, codes: tuple[str, ...]
) -> ResponseMessage:
    """A reply as the standard wants it; to a get that went well, with what was asked for."""
    header = message.header
    payload = None
    if header.verb is Verb.GET and result is not Result.FAILED and "0.3" not in codes:
        sample = _sample(Noun(header.noun), Verb.CREATED, 0)
        assert isinstance(sample, EventMessage) and sample.payload is not None
        payload = Payload(content=sample.payload.content)
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun=header.noun,
            timestamp=now,
            source=source,
            message_id=MessageID(message_id),
            correlation_id=correlation_of(header.message_id, header.correlation_id),
        ),
        reply=Reply(result=result, error=tuple(ReplyError(code=code) for code in codes)),
        payload=payload,
    )


def codes_in(message: ResponseMessage | FaultMessage) -> tuple[str, ...]:
    """Reply codes."""
    return tuple(error.code for error in message.reply.error)


def is_passing(message: ResponseMessage | FaultMessage) -> bool:
    """Whether a sender that got this tries the same message again."""
    codes = codes_in(message)
    return (
        message.reply.result is Result.FAILED and bool(codes) and all(code.startswith(_PASSING_CODES) for code in codes)
    )


def name_of(message: Sendable) -> str:
    """What a message is called in a trace."""
    header = message.header
    told = f" {message.reply.result.value}" if isinstance(message, ResponseMessage) else ""
    return f"{header.verb.value} {header.noun}{told} {_short(header.message_id)} of {header.source}" + (
        f" (to {_short(header.correlation_id)})" if header.correlation_id else ""
    )


def _short(identifier: str | None) -> str:
    """An identifier without what all of them share."""
    head, _, tail = (identifier or "-").rpartition("-8000-")
    return f"~{int(tail)}" if head else tail
