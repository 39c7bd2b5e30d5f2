"""Passes requests on to the partner that owns their noun while the sender waits, and waits for replies that come later.

Nothing here writes: the pipeline keeps what was asked before, and what was answered after.

Source: IEC 61968-100:2013, synchronous and asynchronous request/reply; guarantees G8 and G11.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import timedelta

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.log import LogEntry
from cimcare.exchange.partners import Partner, Replies, Retry
from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Circuit, Sender, Sent
from cimcare.exchange.splitting import is_last, is_receipt, joined
from cimcare.exchange.store import Reader
from cimcare.hub.intake.later import later_replies
from cimcare.hub.intake.reading import read_back, unpacked
from cimcare.hub.intake.unanswered import attempts_of
from cimcare.model.envelope import RequestMessage, ResponseMessage
from cimcare.transport.channel import Answer

__all__ = ["AGAIN", "Circuits", "Passed", "Passing", "comes_later", "for_partner"]

_PLACES = 25
"""Requests that may wait for a partner for each that it is sent at once."""

_MOST_JOINING = 100
"""Repeats that may wait for the outcome of the first: each looks at the log again and again."""

_MOST_LOOKS_FOR_FIRST = 40
"""A repeat may come so soon that the first is not on disk yet; and what cannot be kept never will be."""

_LOOK_SECONDS = 0.2
"""How often the log is looked at for what another process of the hub may have taken in."""

_CLAUSE = "IEC 61968-100:2013, request/reply"

_NOT_SENT = frozenset({"NET-107", "NET-108", "NET-114", "NET-120", "NET-121", "NET-124"})
"""Failures of an attempt before anything of the message had left."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """What passing a request on came to: the attempt, the reply if there is one, else why not.

    There is no attempt if it did not end, or if the reply to an earlier one was there by now.
    """

    sent: Sent | None = None
    reply: ResponseMessage | None = None
    finding: Finding | None = None


class Circuits:
    """The circuit of each partner, shared by all that send to it."""

    def __init__(self, opens_after: int) -> None:
        self._opens_after = opens_after
        self._circuits: dict[str, tuple[str, Retry, Circuit]] = {}

    def of(self, partner: Partner) -> Circuit:
        """The circuit of a partner. One that has got another address or other pauses begins anew."""
        url, retry, circuit = self._circuits.get(partner.name, ("", None, None))
        if circuit is None or (url, retry) != (partner.url, partner.retry):
            circuit = Circuit(partner.retry, opens_after=self._opens_after)
            self._circuits[partner.name] = (partner.url, partner.retry, circuit)
        return circuit

    def forget(self, name: str) -> None:
        """Nobody sends to this partner any more."""
        self._circuits.pop(name, None)

    def all(self) -> dict[str, Circuit]:
        """All circuits by the name of the partner."""
        return {name: circuit for name, (_, _, circuit) in self._circuits.items()}


class Passing:
    """Passes requests on. One object for a hub.

    Args:
        sender: The way out.
        reader: The log, where later replies appear.
        circuits: Who is spared.
        address: Our own address for later replies.
        clock: Now.
        chance: Jitter.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        reader: Reader,
        circuits: Circuits,
        address: str,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._sender = sender
        self._reader = reader
        self._circuits = circuits
        self._address = address
        self._clock = clock
        self._chance = chance
        self._waiting: Counter[str] = Counter()
        self._joining = 0
        self._is_stopping = False
        self._exchanges: set[asyncio.Task[Answer]] = set()
        self._bounds: set[asyncio.Timeout] = set()
        self._arrivals: dict[int, asyncio.Event] = {}

    def enter(self, partner: Partner) -> Finding | None:
        """Take a place among those that wait for a partner, which `leave` gives back; or why there is none."""
        circuit = self._circuits.of(partner)
        if not circuit.allows(1, now=self._clock(), under_way=self._waiting[partner.name]):
            found = f"{partner.name} has not answered {circuit.failures} times in a row ({circuit.reason})"
            return finding_of("NET-105", "/", found, "the same message when it answers again", _CLAUSE)
        if self._waiting[partner.name] >= _PLACES * partner.parallel:
            found = f"{self._waiting[partner.name]} requests wait for {partner.name}"
            return finding_of("EXC-108", "/", found, "the same message later", "setting parallel of the partner")
        self._waiting[partner.name] += 1
        return None

    def leave(self, partner: Partner) -> None:
        """Give a place back."""
        self._waiting[partner.name] -= 1

    async def see_through(self, exchange: Coroutine[None, None, Answer]) -> Answer:
        """Go through with an exchange even if nobody waits for its answer any more, for the partner has the message."""
        task = asyncio.create_task(exchange)
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """Wait for no partner any longer, and return when all that was passed on has its outcome."""
        self._is_stopping = True
        for bound in self._bounds:
            bound.reschedule(asyncio.get_running_loop().time())
        await asyncio.gather(*self._exchanges, return_exceptions=True)

    async def pass_on(self, partner: Partner, message: RequestMessage, sequence: int) -> Passed:
        """Send the request that is in the log under this sequence, and wait for the reply, if need be a later one.

        If it was passed on before, and its reply came when nobody waited for it any more, that is the reply.
        """
        attempts = await attempts_of(self._reader.log, sequence)
        if len(attempts) > 1 and (reply := await self._reply_to(attempts)) is not None:
            return Passed(reply=reply)
        self._arrivals.update(dict.fromkeys(attempts, asyncio.Event()))
        sent = None
        bound = asyncio.timeout(0 if self._is_stopping else None)
        self._bounds.add(bound)
        try:
            async with bound:
                sent = await self._sender.send(partner, for_partner(message, partner, self._address))
                self._circuits.of(partner).note(
                    is_reached=sent.is_reached, reason=sent.failure, now=self._clock(), chance=self._chance
                )
                if sent.failure:
                    return Passed(sent=sent, finding=_unanswered(partner, sent))
                first = sent.reply if _has_more(partner, sent) else None
                if first is None and not comes_later(partner, message, sent):
                    finding = _without_reply(partner) if sent.reply is None else None
                    return Passed(sent=sent, reply=sent.reply, finding=finding)
                reply = await self._wait(attempts, partner.deadline)
                if first is not None and reply is not None:
                    reply = joined([unpacked(first), reply])
                return Passed(sent=sent, reply=reply, finding=_too_late(partner) if reply is None else None)
        except TimeoutError:
            return Passed(sent=sent, finding=_cut_short(partner))
        finally:
            self._bounds.discard(bound)
            for attempt in attempts:
                self._arrivals.pop(attempt, None)

    def arrived(self, sequence: int) -> None:
        """A later reply to the request with this sequence is in the log."""
        arrival = self._arrivals.get(sequence)
        if arrival is not None:
            arrival.set()

    async def settled(self, original: LogEntry, patience: timedelta) -> LogEntry | None:
        """The entry of a request that is being passed on, once it has its outcome.

        None if that takes too long, if too many wait so already, or if another message is there by now: what was seen
        in the log may not have become durable, and then its sequence is given again.
        """
        if self._joining >= _MOST_JOINING:
            return None
        ends_at = self._clock() + patience
        looks = 0
        self._joining += 1
        try:
            while True:
                entry = await self._reader.log.find(original.sequence)
                if entry is not None and not _is_same(entry, original):
                    return None
                if entry is not None and entry.outcome:
                    return entry
                looks += 1
                if self._clock() >= ends_at or (entry is None and looks > _MOST_LOOKS_FOR_FIRST):
                    return None
                await asyncio.sleep(_LOOK_SECONDS / 4)
        finally:
            self._joining -= 1

    async def _wait(self, attempts: Sequence[int], patience: timedelta) -> ResponseMessage | None:
        ends_at = self._clock() + patience
        arrival = self._arrivals[attempts[0]]
        while True:
            reply = await self._reply_to(attempts)
            if reply is not None:
                return reply
            if self._clock() >= ends_at:
                return None
            arrival.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await arrival.wait()
            except TimeoutError:
                continue

    async def _reply_to(self, attempts: Sequence[int]) -> ResponseMessage | None:
        """The reply that has come in the meantime, its pieces as one; None as long as it is not whole."""
        entries = [entry for attempt in attempts async for entry in later_replies(self._reader.log, attempt)]
        replies = []
        for entry in sorted(entries, key=lambda one: one.sequence):
            raw = await self._reader.log.find_raw(entry.sequence)
            message = read_back(entry, raw or b"")
            if isinstance(message, ResponseMessage):
                replies.append(message)
                if is_last(message.reply):
                    return joined(replies if len(replies) == 1 else [unpacked(one) for one in replies])
        return None


def _is_same(one: LogEntry, other: LogEntry) -> bool:
    return (one.partner, one.message_id, one.digest) == (other.partner, other.message_id, other.digest)


def for_partner(message: RequestMessage, partner: Partner, address: str) -> RequestMessage:
    """The request as it goes to its owner: who asked wants the reply from us, wherever we get it from.

    Args:
        message: As it came.
        partner: Who owns its noun.
        address: Our own address, to which the partner may reply later.
    """
    header = message.header
    if partner.replies is Replies.LATER and header.ack_required is not False:
        reply_to = partner.reply_to or f"{address.rstrip('/')}/soap"
        header = msgspec.structs.replace(header, async_reply_flag=True, reply_address=reply_to)
    elif header.async_reply_flag or header.reply_address:
        header = msgspec.structs.replace(header, async_reply_flag=None, reply_address=None)
    return message if header is message.header else msgspec.structs.replace(message, header=header)


def _has_more(partner: Partner, sent: Sent) -> bool:
    """Whether the answer is the first piece of a reply, and the partner knows where to send the others."""
    reply = sent.reply
    return (
        partner.replies is Replies.LATER
        and reply is not None
        and not is_receipt(reply.reply)
        and not is_last(reply.reply)
    )


def comes_later(partner: Partner, message: RequestMessage, sent: Sent) -> bool:
    """Whether the answer to a request said no more than that it came, and the reply is to follow."""
    if message.header.ack_required is False:  # then nothing follows
        return False
    return partner.replies is Replies.LATER if sent.reply is None else is_receipt(sent.reply.reply)


AGAIN = "the same message with the same MessageID again, which has one effect"


def _unanswered(partner: Partner, sent: Sent) -> Finding:
    if sent.is_refused:
        found = f"{partner.name} refused the message: {sent.failure}"
        accepted = "a message without what it names, with a MessageID of its own; the same one is refused again"
        return finding_of("EXC-125", "/", found, accepted, _CLAUSE)
    if sent.is_reached:
        return finding_of("EXC-117", "/", f"{partner.name} answered with an error: {sent.failure}", AGAIN, _CLAUSE)
    known = "this attempt did not reach it" if sent.code in _NOT_SENT else "whether it took the message is not known"
    found = f"no answer from {partner.name}: {sent.failure}; {known}"
    return finding_of("NET-105", "/", found, AGAIN, _CLAUSE)


def _without_reply(partner: Partner) -> Finding:
    return finding_of("EXC-117", "/", f"{partner.name} acknowledged without any reply", AGAIN, _CLAUSE)


def _cut_short(partner: Partner) -> Finding:
    found = f"the hub was stopped before {partner.name} had answered; whether it took the message is not known"
    return finding_of("NET-105", "/", found, AGAIN, _CLAUSE)


def _too_late(partner: Partner) -> Finding:
    found = f"{partner.name} has the message and has not answered within {partner.deadline.total_seconds():g} s"
    return finding_of("NET-105", "/", found, AGAIN, _CLAUSE)
