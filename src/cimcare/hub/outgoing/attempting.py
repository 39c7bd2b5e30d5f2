"""One attempt of a delivery, and what follows from it: it waits for another, for a reply, is given up, or has arrived.

Source: guarantees G3 and G5.
"""

import contextlib
from datetime import timedelta

import msgspec

from cimcare.exchange.booking import book_buried, book_delivered
from cimcare.exchange.correlation import correlation_of, linked
from cimcare.exchange.log import LogEntry, MessageReader, Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind
from cimcare.exchange.partners import DIRECT, Partner, Wire
from cimcare.exchange.sending import Next, Sent, Verdict, judge_attempt, pause_of
from cimcare.exchange.splitting import is_last
from cimcare.exchange.store import StoreError
from cimcare.hub.intake.entries import entry_of_exchange
from cimcare.hub.intake.judging import Readable
from cimcare.hub.intake.later import has_last_reply, reply_to_of
from cimcare.hub.intake.passing import comes_later, for_partner
from cimcare.hub.intake.veiling import NOT_CONSENTED, seen_now
from cimcare.hub.outgoing.given_up import find_waiting
from cimcare.hub.outgoing.house import House
from cimcare.hub.outgoing.recalling import Recalled
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MessageID

__all__ = ["Attempting"]

_KEPT_OF_ANSWER_BYTES = 16 * 1024
"""How much of an answer is kept with a delivery that failed."""


class Attempting:
    """Sends to one destination, and writes what came of it where it did not simply arrive.

    Args:
        house: What couriers share.
        name: The destination.
    """

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._name = name

    async def attempt(self, delivery: Delivery, partner: Partner, recalled: Recalled) -> bool:
        """Send it, and write what came of it. True if the partner has it, which is still to be written."""
        house = self._house
        if delivery.attempts > 1 and await self._settle_answered(delivery):
            return False
        loaded = recalled.message
        if loaded is None:
            await self._bury(delivery, recalled.reason, b"", partner, None, None)
            return False
        if partner.is_third_party:
            loaded = await seen_now(house.store.reader.records, loaded, partner.source, house.clock())
            if loaded is None:
                await self._bury(delivery, NOT_CONSENTED, b"", partner, None, None)
                return False
        cause = await house.store.reader.log.find(delivery.cause) if delivery.kind is DeliveryKind.REPLY else None
        message = self._as_sent(loaded, delivery, partner, cause)
        kept = recalled.raw if message is recalled.message else b""
        sent = await house.sender.send(
            _wire_of(partner, cause), message, address=delivery.address, kept=kept, priority=delivery.priority
        )
        now = house.clock()
        at_least = timedelta(seconds=sent.retry_after_seconds)
        house.circuits.of(partner).note(
            is_reached=sent.is_reached, reason=sent.failure, now=now, chance=house.chance, at_least=at_least
        )
        is_request = isinstance(message, RequestMessage)
        is_receipt = isinstance(message, RequestMessage) and comes_later(partner, message, sent)
        verdict = judge_attempt(sent, awaits_reply=is_receipt)
        if verdict.next is Next.RETRY:
            pause = pause_of(partner.retry, delivery, now=now, chance=house.chance, at_least=at_least)
            if pause is not None:
                house.on_attempt(self._name, verdict.next.value)
                async with house.store.transaction(delivery.priority) as transaction:
                    await transaction.outbox.fail(
                        delivery.number,
                        delivery.attempts,
                        due_at=now + pause,
                        reason=verdict.reason,
                        received=sent.received[:_KEPT_OF_ANSWER_BYTES],
                    )
                return False
            verdict = Verdict(next=Next.BURY, reason=f"given up after {delivery.attempts} attempts: {verdict.reason}")
        house.on_attempt(self._name, verdict.next.value)
        if is_request and sent.reply is not None and not is_receipt:
            await self._take_answer(delivery, partner, message, sent, verdict)
        elif verdict.next is Next.BURY:
            content: Readable | None = message
            if not recalled.is_whole:  # it is found by what it is about
                content = (await house.recalling.recall([delivery.message]))[delivery.message].message
            await self._bury(delivery, verdict.reason, sent.received, partner, content, sent)
        elif verdict.next is Next.AWAIT:
            await self._await_reply(delivery, partner)
        else:
            return True
        return False

    async def _settle_answered(self, delivery: Delivery) -> bool:
        """Whether a request has its reply already, in which case it is done."""
        if not await _is_answered(self._house.store.reader.log, delivery):
            return False
        async with self._house.store.transaction() as transaction:
            await book_delivered(transaction, delivery, now=self._house.clock())
        return True

    async def _await_reply(self, delivery: Delivery, partner: Partner) -> None:
        """The request was acknowledged; its reply is to come, if it was not quicker than the acknowledgement."""
        now = self._house.clock()
        async with self._house.store.transaction(delivery.priority) as transaction:
            if await _is_answered(transaction.log, delivery):
                await book_delivered(transaction, delivery, now=now)
            else:
                await transaction.outbox.wait_for_reply(
                    delivery.number, delivery.attempts, until=now + partner.reply_within
                )

    def _as_sent(self, message: Readable, delivery: Delivery, partner: Partner, cause: LogEntry | None) -> Readable:
        """The message as it goes out: each attempt the same, with one identifier, and linked to what it answers."""
        header = message.header
        if header.message_id is None and delivery.message_id:
            header = msgspec.structs.replace(header, message_id=MessageID(delivery.message_id))
        if cause is not None:
            header = linked(header, correlation_of(cause.message_id, cause.correlation_id))
        if header is not message.header:
            message = msgspec.structs.replace(message, header=header)
        return for_partner(message, partner, self._house.address) if isinstance(message, RequestMessage) else message

    async def _take_answer(
        self, delivery: Delivery, partner: Partner, message: Readable, sent: Sent, verdict: Verdict
    ) -> None:
        """A request was answered in the same exchange: the answer is kept, and goes on to who waits for it."""
        house, now = self._house, self._house.clock()
        reply = sent.reply
        assert reply is not None
        async with house.store.transaction(delivery.priority) as transaction:
            if await _is_answered(transaction.log, delivery):
                await book_delivered(transaction, delivery, now=now)
                return
            asked = await find_waiting(transaction, delivery)
            if asked is None and verdict.next is Next.BURY:
                done = await book_buried(
                    transaction,
                    delivery,
                    now=now,
                    reason=verdict.reason,
                    received=sent.received[:_KEPT_OF_ANSWER_BYTES],
                )
            elif asked is not None and not is_last(reply.reply):  # the rest of it is to come by itself
                until = now + partner.reply_within
                done = await transaction.outbox.wait_for_reply(delivery.number, delivery.attempts, until=until)
            else:
                done = await book_delivered(transaction, delivery, now=now)
            if not done:
                return
            sequence = 0
            exchange = entry_of_exchange(sent, message.header, partner, answer_to=delivery.cause, now=now)
            for (entry, raw), content in zip(exchange, (message, reply), strict=False):
                sequence = await transaction.log.append(entry, raw, content)
            if asked is not None:
                reply_to = reply_to_of(
                    asked.header, house.setup.routes, cause=delivery.cause, priority=delivery.priority
                )
                await reply_to.put(transaction, sequence, reply, now=now)
                house.wake([reply_to.destination])

    async def _bury(
        self,
        delivery: Delivery,
        reason: str,
        received: bytes,
        partner: Partner,
        message: Readable | None,
        sent: Sent | None,
    ) -> None:
        """Give up: the reason, and the bytes that went out and came back, in one transaction."""
        house, now = self._house, self._house.clock()
        async with house.store.transaction(delivery.priority) as transaction:
            if await _is_answered(transaction.log, delivery):  # nobody is told that it came to nothing
                await book_delivered(transaction, delivery, now=now)
                return
            if not await book_buried(
                transaction, delivery, now=now, reason=reason, received=received[:_KEPT_OF_ANSWER_BYTES]
            ):
                return
            if message is not None and sent is not None:
                archetype = type(message).__name__
                exchange = entry_of_exchange(
                    sent, message.header, partner, answer_to=delivery.message, now=now, archetype=archetype
                )
                for (entry, raw), content in zip(exchange, (message, sent.reply), strict=False):
                    await transaction.log.append(entry, raw, content)
            await house.tell_failure(transaction, delivery, "NET-105", reason)
        house.logger.warning("dead letter", partner=self._name, number=delivery.number, reason=reason)

    async def give_up_broken(self, delivery: Delivery, error: str) -> None:
        """An error of the program would come again with every attempt."""
        with contextlib.suppress(StoreError):
            async with self._house.store.transaction() as transaction:
                reason = f"EXC-109: an error inside the hub while it delivered ({error})"
                await book_buried(transaction, delivery, now=self._house.clock(), reason=reason, received=b"")


def _wire_of(partner: Partner, cause: LogEntry | None) -> Partner:
    """How a destination is spoken to; who is no partner gets later replies in the form in which it asked."""
    if not partner.name.startswith(f"{DIRECT} "):
        return partner
    transport = cause.transport if cause is not None else Transport.SOAP11
    return msgspec.structs.replace(
        partner,
        wire=Wire.REST if transport in (Transport.REST_XML, Transport.REST_JSON) else Wire.SOAP,
        as_json=transport is Transport.REST_JSON,
        soap_12=transport is Transport.SOAP12,
    )


async def _is_answered(log: MessageReader, delivery: Delivery) -> bool:
    """Whether the reply to a request has come by itself, quicker than the answer to the attempt that brought it."""
    return delivery.kind is DeliveryKind.REQUEST and await has_last_reply(log, delivery.message, by_itself=True)
