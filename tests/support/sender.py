"""The way to partners without a wire: a test says what each partner answers, and sees what it got."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.correlation import correlation_of
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Partner
from cimcare.exchange.sending import Sent
from cimcare.model.envelope import (
    EventMessage,
    Header,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MessageID
from cimcare.model.verbs import Verb

__all__ = ["Given", "ScriptedSender", "broken", "fault", "replied", "reply_to", "silent"]

Sendable = RequestMessage | EventMessage | ResponseMessage
Answering = Callable[["Given"], Sent]


class Given(msgspec.Struct, frozen=True):
    """What a partner was given."""

    partner: str
    message: Sendable
    address: str
    wire: Partner
    kept: bytes = b""
    priority: Priority | None = None

    @property
    def id(self) -> str:
        return self.message.header.message_id or ""

    @property
    def verb(self) -> str:
        return self.message.header.verb.value


class ScriptedSender:
    """`answers` holds, for each partner, what it does in turn; the last one goes on for ever. OK without any."""

    def __init__(self) -> None:
        self.given: list[Given] = []
        self.answers: dict[str, list[Answering]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def send(
        self,
        partner: Partner,
        message: Sendable,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        if kept and partner.takes_kept:  # that is what goes out
            message = _as_kept(kept)
        given = Given(partner.name, message, address, partner, kept, priority)
        self.given.append(given)
        if partner.name in self.gates:
            await self.gates[partner.name].wait()
        script = self.answers.get(partner.name) or [replied()]
        answer = script.pop(0) if len(script) > 1 else script[0]
        return answer(given)

    def to(self, partner: str) -> list[Given]:
        """What a partner was given so far."""
        return [given for given in self.given if given.partner == partner]


def _as_kept(kept: bytes) -> Sendable:
    message = parse_message(kept)
    assert isinstance(message, Sendable)
    return message


def reply_to(
    message: Sendable,
    result: Result = Result.OK,
    *codes: str,
    payload: object = None,
    source: str = "PARTNER",
    message_id: str | None = None,
) -> ResponseMessage:
    """A reply as the standard wants it."""
    header = message.header
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun=header.noun,
            timestamp=datetime(2030, 6, 1, 12, tzinfo=UTC),
            source=source,
            message_id=MessageID(message_id or f"reply-{header.message_id}"),
            correlation_id=correlation_of(header.message_id, header.correlation_id),
        ),
        reply=Reply(result=result, error=tuple(ReplyError(code=code, details=f"told {code}") for code in codes)),
        payload=None if payload is None else Payload(content=(payload,)),
    )


def replied(result: Result = Result.OK, *codes: str, **more: object) -> Answering:
    """Answers with a reply."""

    def answer(given: Given) -> Sent:
        reply = reply_to(given.message, result, *codes, **more)  # type: ignore[arg-type]
        return msgspec.structs.replace(
            _sent(given), status=200, reply=reply, received=render_message(reply), received_type="application/xml"
        )

    return answer


def silent(reason: str = "no answer within 30 s") -> Answering:
    """Does not answer."""
    return lambda given: msgspec.structs.replace(_sent(given), failure=reason, is_reached=False)


def fault(reason: str = "Server: out of order", *, blames_us: bool = False, status: int = 500) -> Answering:
    """Answers with a fault."""
    return lambda given: msgspec.structs.replace(
        _sent(given), status=status, failure=reason, blames_us=blames_us, received=b"<Fault/>", received_type="text/xml"
    )


def broken(_: Given) -> Sent:
    """Breaks the contract: a sender raises nothing."""
    raise LookupError("on purpose")


def _sent(given: Given) -> Sent:
    return Sent(transport=Transport.REST_XML, sent=render_message(given.message), content_type="application/xml")


Scripts = Mapping[str, list[Answering]]
