"""Replies that go later, to the ReplyAddress of who asked: where to, in how many pieces, and as which deliveries.

Source: IEC 61968-100:2013, asynchronous request/reply.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import TypeGuard
from urllib.parse import urlsplit

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.errors import Finding, finding_of
from cimcare.exchange.booking import book_put
from cimcare.exchange.log import Direction, LogEntry, LogSelection, MessageReader, Outcome, Transport
from cimcare.exchange.outbox import DeliveryKind, NewDelivery, Priority
from cimcare.exchange.partners import DIRECT
from cimcare.exchange.ports import NewID
from cimcare.exchange.routing import Routes
from cimcare.exchange.splitting import MORE_FOLLOWS, is_last, pieces_of
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.reading import read_back
from cimcare.model.envelope import AnyMessage, Header, Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import PayloadRoot
from cimcare.model.verbs import Verb
from cimcare.transport.broker.mapping import reply_place

__all__ = [
    "ReplyTo",
    "check_reply_address",
    "has_last_reply",
    "is_answered_later",
    "later_replies",
    "reply_to_of",
    "split_reply",
]

_PAGE = 1000
_BROKER = "jms:"
_CLAUSE = "IEC 61968-100:2013, HeaderType/ReplyAddress"


class ReplyTo(msgspec.Struct, frozen=True, kw_only=True):
    """Where later replies to a request go: destination, address, and what links them.

    `cause` is the sequence of the request, `source` who sent it, `noun` its noun.
    """

    destination: str
    address: str
    cause: int
    source: str
    noun: str
    correlation_id: str
    priority: Priority

    async def put(self, transaction: Transaction, sequence: int, message: ResponseMessage, *, now: datetime) -> None:
        """Put a reply that is in the log under `sequence` into the outbox, behind the ones before it."""
        await book_put(
            transaction,
            NewDelivery(
                message=sequence,
                cause=self.cause,
                partner=self.destination,
                kind=DeliveryKind.REPLY,
                object_keys=(f"reply {self.correlation_id}",),
                verb=message.header.verb.value,
                noun=message.header.noun,
                message_id=message.header.message_id or "",
                created_at=now,
                priority=self.priority,
                address=self.address,
            ),
        )

    async def keep_and_put(self, transaction: Transaction, message: ResponseMessage, *, now: datetime) -> None:
        """Put a reply that was made here into the log, and then into the outbox."""
        raw = render_message(message)
        sequence = await transaction.log.append(
            LogEntry(
                received_at=now,
                direction=Direction.OUT,
                transport=Transport.INTERNAL,
                partner=self.source,
                archetype="ResponseMessage",
                verb=message.header.verb.value,
                noun=message.header.noun,
                message_id=message.header.message_id or "",
                correlation_id=message.header.correlation_id or "",
                context=message.header.context or "",
                outcome=Outcome(message.reply.result.value),
                codes=tuple(dict.fromkeys(error.code for error in message.reply.error)),
                answer_to=self.cause,
                content_type="application/xml",
                size_bytes=len(raw),
            ),
            raw,
            message,
        )
        await self.put(transaction, sequence, message, now=now)


async def has_last_reply(log: MessageReader, cause: int, *, by_itself: bool = False) -> bool:
    """Whether a reply to the message with this sequence has come that says that nothing more follows.

    With `by_itself` only one counts that came later, and not in the exchange in which the request was sent.
    """
    async for entry in later_replies(log, cause):
        if not (by_itself and entry.status):
            message = read_back(entry, await log.find_raw(entry.sequence) or b"")
            if isinstance(message, ResponseMessage) and is_last(message.reply):
                return True
    return False


async def later_replies(log: MessageReader, cause: int) -> AsyncIterator[LogEntry]:
    """The replies to the message with this sequence that came later, or all pieces of one, in the order of arrival."""
    after: int | None = None
    while True:
        wanted = LogSelection(answer_to=cause, direction=Direction.IN, after=after, limit=_PAGE)
        found = await log.select(wanted)
        for entry in found:
            if _is_later_reply(entry):
                yield entry
        if len(found) < _PAGE:
            return
        after = found[-1].sequence


def _is_later_reply(entry: LogEntry) -> bool:
    """Whether an entry that answers something is a later reply that was taken in, be it in the generic form."""
    is_reply = entry.archetype == "ResponseMessage" or entry.verb == Verb.REPLY
    return is_reply and entry.outcome is not Outcome.FAILED


def is_answered_later(message: AnyMessage) -> TypeGuard[RequestMessage]:
    """Whether the reply to a message goes to a ReplyAddress. Who wants no reply at all gets none there either."""
    if not isinstance(message, RequestMessage) or message.header.ack_required is False:
        return False
    return bool(message.header.async_reply_flag)


def check_reply_address(
    header: Header, routes: Routes, hosts: Collection[str], *, transport: Transport
) -> Finding | None:
    """Why no later reply can be sent to where the header wants it; None if it can.

    What came by way of a broker is answered there, for whoever may send to a broker may be sent to by it.
    """
    address = (header.reply_address or "").strip()
    if address.startswith(_BROKER) and transport is Transport.JMS:
        return None
    if routes.may_reply_to(address, hosts):
        return None
    return finding_of(
        "EXC-116",
        "/RequestMessage/Header/ReplyAddress",
        f"ReplyAddress {address}",
        "an http or https address at a host of a partner, or at one of the setting hub.reply_hosts; in what comes by"
        " way of a broker also jms:queue: or jms:topic: and a name",
        _CLAUSE,
    )


def reply_to_of(header: Header, routes: Routes, *, cause: int, priority: Priority) -> ReplyTo:
    """Where later replies to a request go. Who is no partner shares a destination with others at the same host."""
    address = (header.reply_address or "").strip()
    partner = routes.by_source(header.source or "")
    return ReplyTo(
        destination=partner.name if partner is not None else f"{DIRECT} {_host_of(address)}",
        address=address,
        cause=cause,
        source=header.source or "",
        noun=header.noun,
        correlation_id=header.correlation_id or header.message_id or "",
        priority=priority,
    )


def _host_of(address: str) -> str:
    """What those who are no partners share a courier by: a host, or a broker."""
    if address.startswith(_BROKER):
        return f"{_BROKER}{reply_place(address)[0]}"
    return urlsplit(address).netloc


def split_reply(
    reply: ResponseMessage, payload: PayloadRoot | None, *, most: int, new_id: NewID
) -> Sequence[ResponseMessage]:
    """The reply in as many messages as its payload needs: all but the last are PARTIAL and say that more follows.

    Args:
        reply: Without payload. Its outcome, codes and identifiers go into the last message.
        payload: All of it.
        most: Objects of one message.
        new_id: New identifiers; the last message keeps that of `reply`.
    """
    *before, last = pieces_of(payload, most)
    more = msgspec.structs.replace(reply.reply, result=Result.PARTIAL, error=(MORE_FOLLOWS,), id=())
    return (
        *(
            ResponseMessage(
                header=msgspec.structs.replace(reply.header, message_id=MessageID(new_id())),
                reply=more,
                payload=Payload(content=(piece,)) if piece is not None else None,
            )
            for piece in before
        ),
        msgspec.structs.replace(reply, payload=Payload(content=(last,)) if last is not None else None),
    )
