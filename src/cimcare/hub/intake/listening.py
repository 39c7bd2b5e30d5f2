"""Takes in what brokers bring: the way in for JMS, beside that of HTTP.

A message is given to the pipeline, its answer is sent to where the sender wants it, and only then is it acknowledged to
the broker. If the hub dies in between it comes again, is known as a repeat, and gets the same answer. What cannot be
kept now is not acknowledged and offered again after a pause; meanwhile the broker hands out no more than `prefetch`.

Messages that may be about the same objects are taken in one after another, in the order of the broker; others go past.

Source: IEC 61968-100:2013, JMS binding; guarantees G1, G2, G4 and G8.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
import structlog

from cimcare.codec.limits import Limits
from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.store import StoreError
from cimcare.hub.intake.suspects import Suspects
from cimcare.transport.broker.brokers import Broker, Consumed
from cimcare.transport.broker.channel import BrokerChannel
from cimcare.transport.broker.life import Link, LinkState
from cimcare.transport.broker.mapping import (
    HUB,
    PROBE,
    as_kept,
    is_expired,
    keys_in,
    named_reply_to,
    origin_of,
    properties_in,
)
from cimcare.transport.broker.opening import OpenSession
from cimcare.transport.broker.ports import (
    Arrived,
    BrokerError,
    BrokerMessage,
    Destination,
    DestinationKind,
    Session,
    Subscription,
)
from cimcare.transport.broker.sender import CONTENT_TYPE, Outlet
from cimcare.transport.channel import Answer, Origin, Receive, Received

__all__ = ["BrokerCounts", "BrokerState", "ConsumerState", "Listener", "Taken"]

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_LEASE_TIMES = 3
"""A turn at durable subscriptions that was not renewed for so many intervals goes to another process."""

_TURN_SECONDS = 5.0
_STOP_SECONDS = 5.0
_SILENT = frozenset({"ResponseMessage", "FaultMessage"})
"""Messages that are answers themselves: two hubs would answer one another for ever."""


class Taken(StrEnum):
    """What became of a message of a broker: given to the pipeline and answered, or why not."""

    SERVED = "served"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    OWN = "own"
    HELD = "held"
    REDELIVERED = "redelivered"
    UNANSWERED = "unanswered"


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """How it is with one consumer.

    `attached` from when the broker confirmed it until the session ends. `proven_at` is when a message of ours last came
    back through it; None if it has not, or if that is not looked at. `waits` says that another process has its turn.
    `selector` says which messages it takes; empty for all.
    """

    destination: str
    selector: str = ""
    attached: bool
    waits: bool
    proven_at: datetime | None


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """How it is with a broker, seen from this process.

    `trouble` says what is wrong, empty if nothing is, and `trouble_since` since when. `holding` are messages that are
    here and not acknowledged.
    """

    name: str
    links: tuple[LinkState, ...]
    consumers: tuple[ConsumerState, ...]
    holding: int
    counts: dict[str, int]
    trouble: str
    trouble_since: datetime | None


class BrokerCounts(msgspec.Struct):
    """Counts since the start of the process, by what became of messages."""

    by: dict[Taken, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Taken, 0))


class _Consumer:
    """One of the destinations that are listened to."""

    def __init__(self, consumed: Consumed) -> None:
        self.destination = destination = consumed.destination
        self.selector = consumed.selector
        self.is_durable = destination.kind is DestinationKind.TOPIC
        self.subscription: Subscription | None = None
        self.proven_at: datetime | None = None
        self.asked_at: datetime | None = None
        self.probe = ""

    def forget(self) -> None:
        """Its session has ended."""
        self.subscription = None
        self.proven_at = None
        self.asked_at = None
        self.probe = ""


class Listener:
    """Listens to one broker. `start` and `stop` frame its life.

    Args:
        outlet: By which answers are sent.
        receive: The pipeline.
        open_session: How a session is opened.
        hold_turn: Whether this process has, or gets now, the turn at durable subscriptions, which one process holds.
        limits: Bounds of messages.
        clock: Now.
        new_id: New identifiers.
        chance: Jitter.
        logger: Where it is noted what failed.
        suspects: What remembers over a death of the process what was begun.
        listens: Whether this process listens at all, and is to be started; else it only tells how it is with sending.
        on_taken: Told what became of each message: the name of the broker, and a word.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        receive: Receive,
        open_session: OpenSession,
        hold_turn: Callable[[str, timedelta], Awaitable[bool]],
        limits: Limits,
        clock: Clock,
        new_id: NewID,
        chance: random.Random,
        logger: structlog.typing.FilteringBoundLogger,
        suspects: Suspects,
        listens: bool = True,
        on_taken: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.broker: Broker = outlet.broker
        self.counts = BrokerCounts()
        self._outlet = outlet
        self._receive = receive
        self._hold_turn = hold_turn
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._chance = chance
        self._log = logger
        self._on_taken = on_taken
        self._suspects = suspects
        self._alone = asyncio.Lock()
        self._process = new_id()
        consumed = self.broker.consumed if listens else ()
        self._consumers = tuple(_Consumer(each) for each in sorted(consumed, key=_is_of_topic))
        self._has_turn = False
        self._is_stopping = False
        self._loop: Destination | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._last: dict[bytes, asyncio.Task[None]] = {}
        self._trouble: tuple[str, datetime | None] = ("", None)
        self._began_at = clock()
        self._queues = Link(
            self.broker,
            "queues",
            open_session=open_session,
            on_open=self._attach_queues,
            clock=clock,
            chance=chance,
            logger=logger,
        )
        self._topics = Link(
            self.broker,
            "topics",
            client_id=self.broker.client_id,
            open_session=open_session,
            on_open=self._attach_topics,
            clock=clock,
            chance=chance,
            logger=logger,
        )
        outlet.on_probe = self._take_probe

    # ------------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin."""
        if any(not each.is_durable for each in self._consumers):
            self._queues.start()
        if any(each.is_durable for each in self._consumers):
            self._loops.append(asyncio.create_task(self._take_turns()))
        if self.broker.watch:
            self._loops.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        """Take nothing more, end what is under way, and detach. What is not acknowledged is handed out again."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
        self._is_stopping = True  # detached now, what is under way would be handed to others meanwhile
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._queues.stop()
        await self._topics.stop()

    def state(self) -> BrokerState:
        """How it is now."""
        links = [self._outlet.link.state]
        if any(not each.is_durable for each in self._consumers):
            links.append(self._queues.state)
        if self._has_turn:
            links.append(self._topics.state)
        consumers = tuple(
            ConsumerState(
                destination=str(each.destination),
                selector=each.selector,
                attached=self._is_attached(each),
                waits=each.is_durable and not self._has_turn,
                proven_at=each.proven_at,
            )
            for each in self._consumers
        )
        trouble = self._trouble_of(links, consumers)
        if not trouble:
            self._trouble = ("", None)
        elif self._trouble[1] is None:
            # From when the first link was lost or the process began, not from when somebody looked.
            since = min((link.since for link in links if not link.is_open), default=self._clock())
            if self._outlet.blocked is not None:
                since = self._outlet.blocked.since
            self._trouble = (trouble, since)
        return BrokerState(
            name=self.broker.name,
            links=tuple(links),
            consumers=consumers,
            holding=len(self._tasks),
            counts={word.value: number for word, number in self.counts.by.items()},
            trouble=trouble,
            trouble_since=self._trouble[1],
        )

    def _trouble_of(self, links: Iterable[LinkState], consumers: Iterable[ConsumerState]) -> str:
        blocked = self._outlet.blocked
        if blocked is not None:
            return f"blocked: the broker takes no messages, for want of memory or disk as it seems ({blocked.reason})"
        for link in links:
            if not link.is_open:
                return f"no session for {link.purpose} ({link.reason or 'not yet tried'})"
        for consumer in consumers:
            if not consumer.attached and not consumer.waits:
                return f"no consumer is attached to {consumer.destination}"
        return ""

    def _is_attached(self, consumer: _Consumer) -> bool:
        link = self._topics if consumer.is_durable else self._queues
        return consumer.subscription is not None and link.session is not None

    async def _take_turns(self) -> None:
        """One process of several holds the durable subscriptions."""
        lease = timedelta(seconds=_LEASE_TIMES * _TURN_SECONDS)
        try:
            while True:
                try:
                    has_turn = await self._hold_turn(f"broker {self.broker.name}", lease)
                except StoreError:
                    has_turn = self._has_turn  # what nobody can write nobody else has taken
                if has_turn and not self._has_turn:
                    self._topics.start()
                elif self._has_turn and not has_turn:
                    await self._topics.stop()
                    self._forget(is_durable=True)
                self._has_turn = has_turn
                await asyncio.sleep(_TURN_SECONDS)
        finally:
            self._has_turn = False

    # ------------------------------------------------------------------------------------------------- attaching

    async def _attach_queues(self, session: Session) -> None:
        await self._attach(session, is_durable=False)

    async def _attach_topics(self, session: Session) -> None:
        await self._attach(session, is_durable=True)

    async def _attach(self, session: Session, *, is_durable: bool) -> None:
        self._forget(is_durable=is_durable)
        within = self.broker.confirm.total_seconds()
        if is_durable:
            self._loop = await session.open_reply_queue(self._take_loop, within=within)
        for consumer in self._consumers:
            if consumer.is_durable is not is_durable:
                continue
            consumer.subscription = await session.subscribe(
                consumer.destination,
                self._taker(session, consumer),
                durable=_durable_name(self.broker.client_id, consumer.destination) if is_durable else "",
                selector=_selector_of(consumer),
                prefetch=self.broker.prefetch,
                within=within,
            )

    def _forget(self, *, is_durable: bool) -> None:
        for consumer in self._consumers:
            if consumer.is_durable is is_durable:
                consumer.forget()

    # ------------------------------------------------------------------------------------------------- watching

    async def _watch(self) -> None:
        """Prove from time to time that consumers are attached, by a message of ours that has to come back."""
        every = self.broker.watch.total_seconds()
        while True:
            # Soon behind a new session, for a consumer that is not attached after a reconnect is what is feared.
            is_all_proven = all(each.proven_at or not self._is_attached(each) for each in self._consumers)
            await asyncio.sleep(every if is_all_proven else min(1.0, every))
            for consumer in self._consumers:
                await self._prove(consumer, every)

    async def _prove(self, consumer: _Consumer, every: float) -> None:
        now = self._clock()
        if not self._is_attached(consumer):
            return
        if consumer.asked_at is not None:
            if (now - consumer.asked_at).total_seconds() < max(every, self.broker.confirm.total_seconds()):
                return
            reason = f"nothing comes through the consumer of {consumer.destination}"
            self._log.error("consumer not attached", broker=self.broker.name, code="NET-129", reason=reason)
            (self._topics if consumer.is_durable else self._queues).give_up(reason)
            consumer.forget()
            return
        if consumer.proven_at is not None and (now - consumer.proven_at).total_seconds() < every * 0.9:
            return
        consumer.probe = self._new_id()
        consumer.asked_at = now
        message = BrokerMessage(
            body=b"<Probe/>",
            persistent=False,
            expires_at=now + timedelta(seconds=max(60.0, 2 * every)),
            properties={PROBE: f"{self._process} {consumer.probe}", HUB: self.broker.client_id},
        )
        try:
            if not consumer.is_durable:
                await self._outlet.probe(_probe_place(consumer.destination), message)
            elif self._outlet.blocked is not None:
                consumer.asked_at = None  # what publishes there would be blocked too, acknowledgements included
            elif (session := self._topics.session) is not None and self._loop is not None:
                # Others listen to the topic too, and could make nothing of it: it goes round by a queue of the session.
                await session.publish(self._loop, message, within=self.broker.confirm.total_seconds())
        except BrokerError:
            consumer.asked_at = None  # that no message goes out says nothing of those that come

    def _take_loop(self, arrived: Arrived) -> None:
        self._take_probe(arrived.message.properties.get(PROBE, ""))

    def _take_probe(self, text: str) -> None:
        """A probe of ours came back: through a consumer here, or of a queue that others consume too, through theirs."""
        process, _, probe = text.partition(" ")
        for consumer in self._consumers:
            if process == self._process and consumer.probe == probe:
                consumer.proven_at, consumer.asked_at = self._clock(), None

    # ------------------------------------------------------------------------------------------------- taking in

    def _taker(self, session: Session, consumer: _Consumer) -> Callable[[Arrived], None]:
        def take(arrived: Arrived) -> None:
            if self._is_stopping:
                return  # it is handed out again
            keys = keys_in(arrived.message.body)
            task = asyncio.create_task(self._take(session, consumer, arrived, self._before(keys)))
            self._tasks.add(task)
            self._follow(task, keys)
            task.add_done_callback(self._done)

        return take

    def _before(self, keys: Collection[bytes]) -> tuple[asyncio.Task[None], ...]:
        """Those under way that may be about the same objects."""
        found = {task for key in keys if (task := self._last.get(key)) is not None}
        return tuple(found)

    def _follow(self, task: asyncio.Task[None], keys: Collection[bytes]) -> None:
        for key in keys:
            self._last[key] = task

        def forget(_: object) -> None:
            for key in keys:
                if self._last.get(key) is task:
                    del self._last[key]

        task.add_done_callback(forget)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("broker message failed", broker=self.broker.name, error=type(error).__name__)

    async def _take(
        self, session: Session, consumer: _Consumer, arrived: Arrived, before: Iterable[asyncio.Task[None]]
    ) -> None:
        """One message, from its arrival to its acknowledgement."""
        message = arrived.message
        probe = message.properties.get(PROBE, "")
        if probe:
            self._take_probe(probe)
            if message.reply_to is not None and not probe.startswith(self._process):
                with contextlib.suppress(BrokerError):
                    echo = BrokerMessage(body=message.body, persistent=False, properties={PROBE: probe})
                    await self._outlet.publish(message.reply_to, echo, within=self.broker.confirm.total_seconds())
            await self._acknowledge(session, arrived)
            return
        consumer.proven_at, consumer.asked_at = self._clock(), None  # whatever comes through proves it as well
        if consumer.is_durable and message.properties.get(HUB) == self.broker.client_id:
            self._count(Taken.OWN)
            await self._acknowledge(session, arrived)
            return
        if message.redeliveries:
            self._count(Taken.REDELIVERED)
        for task in before:
            await asyncio.wait((task,))
        if session.lost.done():
            return  # it comes again
        if is_expired(message, self._clock()):
            assert message.expires_at is not None
            found = f"a message that expired at {message.expires_at.isoformat(timespec='seconds')}"
            finding = finding_of("NET-127", str(arrived.destination), found, "one that comes in time", "JMSExpiration")
            if await self._offer(session, arrived, aside=finding) is not None:  # who gave it up waits for no answer
                await self._end(session, arrived, Taken.EXPIRED, finding)
            return
        offer = self._offer_again if message.redeliveries else self._offer
        offered = await offer(session, arrived)
        if offered is None:
            return  # it comes again
        channel, answer = offered
        if await self._answer(session, arrived, channel, answer):
            await self._end(session, arrived, Taken.UNREADABLE if channel.fault else Taken.SERVED, channel.fault)

    async def _end(self, session: Session, arrived: Arrived, word: Taken, finding: Finding | None) -> None:
        """It is on disk with all that follows from it, among the dead letters too if it belongs there."""
        self._count(word)
        if finding is not None:
            self._log.warning(
                "broker message put aside",
                broker=self.broker.name,
                code=finding.code,
                reason=finding.describe(),
                message_id=arrived.message.message_id,
            )
        await self._acknowledge(session, arrived)

    async def _offer_again(self, session: Session, arrived: Arrived) -> tuple[BrokerChannel, Answer] | None:
        """As `_offer`, of what was handed out before: it may be what the hub died of.

        What was begun once without an end is begun alone among its like: the next death is not blamed on others.
        """
        origin = origin_of(arrived.message, arrived.destination, self.broker.name)
        limit, times = self.broker.redelivery_limit, 0
        with contextlib.suppress(StoreError):  # then nothing can be kept either, and it waits for that
            times = await self._suspects.times(origin)
        if limit and times >= limit:
            found = f"a message begun {times} times and never ended, handed out {origin.redeliveries} times before"
            accepted = "one that the hub outlives; setting redelivery_limit of the broker"
            finding = finding_of("NET-131", str(arrived.destination), found, accepted, "guarantee G6")
            offered = await self._offer(session, arrived, aside=finding)
            if offered is not None:
                await self._forget_suspect(origin)
            return offered
        async with contextlib.AsyncExitStack() as stack:
            if times:
                await stack.enter_async_context(self._alone)
            with contextlib.suppress(StoreError):
                await self._suspects.begin(origin)
            try:
                return await self._offer(session, arrived)
            finally:
                await self._forget_suspect(origin)

    async def _forget_suspect(self, origin: Origin) -> None:
        with contextlib.suppress(StoreError):
            await self._suspects.end(origin)

    async def _offer(
        self, session: Session, arrived: Arrived, *, aside: Finding | None = None
    ) -> tuple[BrokerChannel, Answer] | None:
        """Give it to the pipeline until it is kept; None if the session ends before. `aside`: why it is not served."""
        raw = as_kept(arrived.message, self.broker.name, self._limits)
        if aside is None and (arrived.problem or not raw.strip()):
            found = arrived.problem or "a message without text"
            aside = finding_of("NET-128", str(arrived.destination), found, "an envelope as text", "JMS binding")
        origin = origin_of(arrived.message, arrived.destination, self.broker.name)
        pause = _PAUSE_SECONDS
        while True:
            channel = BrokerChannel()
            answer = await self._receive(
                Received(
                    channel=channel,
                    raw=raw,
                    size_bytes=len(raw),
                    content_type=CONTENT_TYPE,
                    aside=aside,
                    origin=origin,
                )
            )
            if answer.is_kept:
                return channel, answer
            self._count(Taken.HELD)
            pause = max(pause, float(answer.retry_after_seconds))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * (1 - 0.3 * self._chance.random())):
                    await asyncio.wait((session.lost,))
            if session.lost.done():
                return None
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _answer(self, session: Session, arrived: Arrived, channel: BrokerChannel, answer: Answer) -> bool:
        """Send the answer to where it is wanted; False if it cannot be sent before the session ends."""
        message = arrived.message
        if not answer.body or channel.archetype in _SILENT:
            return True
        destination = message.reply_to or named_reply_to(message.body)
        if destination is None:
            return True
        reply = BrokerMessage(
            body=answer.body,
            correlation_id=message.correlation_id or message.message_id,
            priority=message.priority,
            persistent=message.persistent,
            properties=properties_in(answer.body, hub=self.broker.client_id),
        )
        pause = _PAUSE_SECONDS
        while not session.lost.done():
            try:
                await self._outlet.publish(destination, reply, within=self.broker.confirm.total_seconds())
            except BrokerError as error:
                if error.code == "NET-124":  # such as a temporary queue whose owner has gone
                    self._count(Taken.UNANSWERED)
                    self._log.warning(
                        "reply not taken", broker=self.broker.name, code=error.code, reason=error.finding.describe()
                    )
                    return True
            else:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await asyncio.wait((session.lost,))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return False

    async def _acknowledge(self, session: Session, arrived: Arrived) -> None:
        with contextlib.suppress(BrokerError):  # then it comes again, and is known
            await session.acknowledge(arrived)

    def _count(self, word: Taken) -> None:
        self.counts.by[word] += 1
        self._on_taken(self.broker.name, word.value)


def _probe_place(destination: Destination) -> Destination:
    """A plain destination that the consumer of this queue, or pattern of queues, gets."""
    levels = [each.replace(">", "cimcare.probe").replace("*", "cimcare-probe") for each in destination.name.split(".")]
    return Destination(kind=destination.kind, name=".".join(levels))


def _is_of_topic(consumed: Consumed) -> bool:
    return consumed.destination.kind is DestinationKind.TOPIC


def _selector_of(consumer: _Consumer) -> str:
    """What the broker is told: the messages that are wanted, and through a queue our own probes too."""
    if not consumer.selector or consumer.is_durable:
        return consumer.selector
    return f"({consumer.selector}) OR {PROBE} IS NOT NULL"


def _durable_name(client_id: str, destination: Destination) -> str:
    """Name of a durable subscription, the same at each start."""
    return f"{client_id}.{destination.name.replace('>', 'all').replace('*', 'any')}"
