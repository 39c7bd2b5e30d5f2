"""Tells of what happened: to the built-in systems in the same transaction, to partners by the outbox.

Source: IEC 61968-100:2013, events that follow a transaction; guarantees G1 and G3.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from cimcare.codec.envelope import render_message
from cimcare.codec.own import own_content
from cimcare.exchange.booking import book_put
from cimcare.exchange.correlation import correlation_of
from cimcare.exchange.facts import facts_of, object_keys_of, priority_of
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.outbox import DeliveryKind, NewDelivery, Priority
from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.patterns import Asked, build_event, codes_of
from cimcare.exchange.ports import Event, ExecutedEvent, NewID, OwnEvent, Served
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.operations import MakeContext, hear, told
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.veiling import keep_copy, seen_event
from cimcare.model.envelope import EventMessage, Header, Payload, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Role

__all__ = ["OnPut", "Teller", "Written", "joint_result"]

_DEEPEST_CASCADE = 8
"""Events may cause events; more than this many generations would be a circle."""


class Written(NamedTuple):
    """An event that was written here: its sequence in the log, its value, its bytes as they are kept, its urgency."""

    sequence: int
    message: EventMessage
    raw: bytes
    priority: Priority


OnPut = Callable[[Collection[str], Collection[Written]], None]
"""Told for whom something was put into the outbox, and what was written, once it is on disk."""


class Teller:
    """Tells, within one transaction, of what one message led to, or what was done without one.

    Args:
        transaction: Where all of it is written.
        setup: Who listens, and who speaks under which name.
        asked: The message; without one, what links the events.
        cause: Its sequence. None without one: each event is then the cause of its deliveries, and of what follows it.
        priority: Its urgency, which what follows from it shares.
        make_context: Context in which a listener works.
        now: The instant of it all.
        new_id: New identifiers.
    """

    def __init__(
        self,
        transaction: Transaction,
        setup: Setup,
        asked: Asked,
        *,
        cause: int | None,
        priority: Priority,
        make_context: MakeContext,
        now: datetime,
        new_id: NewID,
    ) -> None:
        self._transaction = transaction
        self._setup = setup
        self._asked = asked
        self._cause = cause
        self._priority = priority
        self._make_context = make_context
        self._now = now
        self._new_id = new_id
        self.destinations: set[str] = set()
        """For whom something was put into the outbox."""
        self.written: list[Written] = []
        """Events that were written. They hold once the transaction is committed."""

    async def tell(self, events: Iterable[Event | ExecutedEvent]) -> None:
        """Keep each event as sent, hand it to the built-in systems that listen, and put it in for partners."""
        waiting = deque((told(event), self._cause, self._cause, 1) for event in events)
        while waiting:
            event, caused_by, root, generation = waiting.popleft()
            if generation > _DEEPEST_CASCADE:
                raise RuntimeError(
                    f"{event.verb} {event.noun}: event of generation {generation}; listeners go in circles"
                )
            message = build_event(
                event,
                self._asked,
                source=self._setup.sources[event.source],
                now=self._now,
                message_id=self._new_id(),
            )
            heard = await hear(message, self._setup.dispatcher, self._make_context, speaker=event.source)
            served = [one for _, one in heard]
            sequence = await self._keep(message, caused_by, tuple(role for role, _ in heard), served)
            root = sequence if root is None else root
            await self.pass_on(message, sequence, cause=root)
            waiting.extend((told(further), sequence, root, generation + 1) for one in served for further in one.events)

    async def tell_own(self, events: Iterable[OwnEvent]) -> None:
        """Keep events of our own, and put them in for partners that have subscribed to their noun or to everything.

        Strongly typed services have no operation for them, and third parties do not see them.
        """
        for event in events:
            message = EventMessage(
                header=Header(
                    verb=event.verb,
                    noun=event.noun,
                    timestamp=self._now,
                    source=self._setup.sources[event.source],
                    message_id=MessageID(self._new_id()),
                    correlation_id=correlation_of(self._asked.message_id, self._asked.correlation_id),
                ),
                payload=Payload(content=(own_content(event.content),)),
            )
            sequence = await self._keep(message, self._cause, (), [Served(result=Result.OK)])
            cause = sequence if self._cause is None else self._cause
            for partner in self._setup.routes.receivers(facts_of(message), sender=message.header.source or ""):
                if partner.wire is not Wire.SOAP_TYPED:
                    await self._put(message, sequence, partner, cause, self._priority, keys=event.keys)

    async def pass_on(self, message: EventMessage, sequence: int, *, cause: int) -> None:
        """Put an event that is in the log under this sequence in for each partner that wants it.

        It is as urgent as what led to it, or more if it says so itself.

        Args:
            message: The event.
            sequence: Its sequence.
            cause: Sequence of the message that led to it all, itself if none did.
        """
        if not self._setup.routes.has_receivers:
            return
        source = message.header.source or ""
        priority = max(self._priority, priority_of(message))
        for partner in self._setup.routes.receivers(facts_of(message), sender=source):
            await self._put(message, sequence, partner, cause, priority)
        for partner in self._setup.routes.third_parties:
            await self._pass_on_outside(message, sequence, partner, cause, priority)

    async def _pass_on_outside(
        self, message: EventMessage, sequence: int, partner: Partner, cause: int, priority: Priority
    ) -> None:
        """Put in for a third party what it may see of an event, if it wants that."""
        sender = message.header.source or ""
        seen = await seen_event(self._transaction.records, message, partner.source, self._now)
        if seen is None or not self._setup.routes.is_wanted_by(partner, facts_of(seen), sender=sender):
            return
        copy = await keep_copy(self._transaction, seen, partner, of=sequence, now=self._now)
        await self._put(seen, copy, partner, cause, priority)

    async def _put(
        self,
        message: EventMessage,
        sequence: int,
        partner: Partner,
        cause: int,
        priority: Priority,
        *,
        keys: tuple[str, ...] = (),
    ) -> None:
        await book_put(
            self._transaction,
            NewDelivery(
                message=sequence,
                cause=cause,
                partner=partner.name,
                kind=DeliveryKind.EVENT,
                object_keys=keys or object_keys_of(message),
                verb=message.header.verb.value,
                noun=message.header.noun,
                message_id=message.header.message_id or self._new_id(),
                created_at=self._now,
                priority=priority,
            ),
        )
        self.destinations.add(partner.name)

    async def _keep(
        self, message: EventMessage, caused_by: int | None, roles: tuple[Role, ...], served: list[Served]
    ) -> int:
        raw = render_message(message)
        header = message.header
        sequence = await self._transaction.log.append(
            LogEntry(
                received_at=self._now,
                direction=Direction.OUT,
                transport=Transport.INTERNAL,
                partner=" ".join(dict.fromkeys(self._setup.sources[role] for role in roles)),
                archetype="EventMessage",
                verb=header.verb.value,
                noun=header.noun,
                message_id=header.message_id or "",
                correlation_id=header.correlation_id or "",
                context=header.context or "",
                outcome=Outcome(joint_result(served).value),
                codes=codes_of(finding for one in served for finding in one.findings),
                answer_to=caused_by,
                content_type="application/xml",
                size_bytes=len(raw),
            ),
            raw,
            message,
        )
        self.written.append(Written(sequence, message, raw, max(self._priority, priority_of(message))))
        return sequence


def joint_result(served: Iterable[Served]) -> Result:
    """OK if all listeners said so, FAILED if none did anything, else PARTIAL."""
    results = {one.result for one in served}
    if results <= {Result.OK}:
        return Result.OK
    return Result.FAILED if results == {Result.FAILED} else Result.PARTIAL
