"""Entries of the log: for what was received, what was answered, and what went to and came from a partner."""

from collections.abc import Iterator
from datetime import datetime

from cimcare.codec.digest import digest_of
from cimcare.exchange.ledger import Ends
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.partners import Partner
from cimcare.exchange.patterns import Asked
from cimcare.exchange.sending import Sent
from cimcare.model.envelope import Header
from cimcare.transport.channel import Answer, Received

__all__ = ["count_of", "entry_of_answer", "entry_of_exchange", "entry_of_received"]

_MOST_REDELIVERIES = 2**31 - 1
"""What the log has room for; a broker may say what it likes."""


def entry_of_received(
    received: Received,
    asked: Asked,
    *,
    kept_bytes: int,
    now: datetime,
    outcome: Outcome,
    codes: tuple[str, ...],
    answer_to: int | None,
    repeat_of: int | None,
    digest: bytes,
) -> LogEntry:
    """Entry of a message that came, of which `kept_bytes` are kept."""
    return LogEntry(
        received_at=now,
        direction=Direction.IN,
        transport=received.channel.transport,
        partner=asked.source or "",
        archetype=asked.archetype,
        verb=asked.verb[:16],
        noun=asked.noun,
        message_id=asked.message_id or "",
        correlation_id=asked.correlation_id or "",
        context=asked.context or "",
        outcome=outcome,
        codes=codes,
        answer_to=answer_to,
        repeat_of=repeat_of,
        digest=digest,
        content_type=received.content_type,
        truncated=kept_bytes < received.size_bytes,
        size_bytes=received.size_bytes,
        redeliveries=0 if received.origin is None else min(received.origin.redeliveries, _MOST_REDELIVERIES),
    )


def count_of(entry: LogEntry) -> Ends | None:
    """Column of the ledger to which a message that came belongs; None while it has no outcome."""
    if entry.repeat_of is not None:
        return Ends.REPEATS
    if entry.outcome in (Outcome.FAILED, Outcome.FAULT):
        return Ends.REFUSED
    return Ends.DELIVERED if entry.outcome else None


def entry_of_answer(
    answer: Answer,
    asked: Asked,
    *,
    transport: Transport,
    sequence: int,
    now: datetime,
    archetype: str,
    outcome: Outcome,
    codes: tuple[str, ...],
    verb: str = "",
    message_id: str = "",
    correlation_id: str = "",
) -> LogEntry:
    """Entry of the answer, as sent, to the message with this sequence."""
    return LogEntry(
        received_at=now,
        direction=Direction.OUT,
        transport=transport,
        partner=asked.source or "",
        archetype=archetype,
        verb=verb,
        noun=asked.noun,
        message_id=message_id,
        correlation_id=correlation_id,
        context=asked.context or "",
        outcome=outcome,
        codes=codes,
        answer_to=sequence,
        content_type=answer.content_type,
        status=answer.status,
        size_bytes=len(answer.body),
    )


def entry_of_exchange(
    sent: Sent, header: Header, partner: Partner, *, answer_to: int, now: datetime, archetype: str = "RequestMessage"
) -> Iterator[tuple[LogEntry, bytes]]:
    """Entries, with their bytes, of what went to a partner and of what it answered in the same exchange."""
    yield (
        LogEntry(
            received_at=now,
            direction=Direction.OUT,
            transport=sent.transport,
            partner=partner.source,
            archetype=archetype,
            verb=header.verb.value,
            noun=header.noun,
            message_id=header.message_id or "",
            correlation_id=header.correlation_id or "",
            context=header.context or "",
            outcome=Outcome.FAILED if sent.failure else Outcome.NONE,
            answer_to=answer_to,
            content_type=sent.content_type,
            status=sent.status,
            size_bytes=len(sent.sent),
        ),
        sent.sent,
    )
    if not sent.received:
        return
    reply = sent.reply
    yield (
        LogEntry(
            received_at=now,
            direction=Direction.IN,
            transport=sent.transport,
            partner=partner.source,
            archetype="FaultMessage" if reply is None else "ResponseMessage",
            verb="" if reply is None else reply.header.verb.value,
            noun=header.noun,
            message_id="" if reply is None else reply.header.message_id or "",
            correlation_id="" if reply is None else reply.header.correlation_id or "",
            context=header.context or "",
            outcome=Outcome.FAULT if reply is None else Outcome(reply.reply.result.value),
            codes=() if reply is None else tuple(dict.fromkeys(error.code for error in reply.reply.error)),
            answer_to=answer_to,
            digest=b"" if reply is None else digest_of(reply),
            content_type=sent.received_type,
            status=sent.status,
            size_bytes=len(sent.received),
        ),
        sent.received,
    )
