"""Couriers: they carry what is in the outbox to the partners, one courier a destination, and none waits for another.

A courier claims deliveries under a lease, sends them, and writes what came of it. If the process dies, its leases run
out and another process, or the next one, takes over. Everything a courier knows is in the database but the circuit,
which it learns again.

Source: guarantees G3 to G6 and G11.
"""

import asyncio
import contextlib
import random
import traceback
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

import msgspec
import structlog

from cimcare.exchange.booking import book_buried, book_delivered, book_expired
from cimcare.exchange.correlation import correlation_of, linked
from cimcare.exchange.log import LogEntry, MessageReader, Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState, Priority
from cimcare.exchange.partners import DIRECT, Partner, Wire
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.sending import Next, Sender, Sent, Verdict, judge_attempt, pause_of
from cimcare.exchange.splitting import is_last
from cimcare.exchange.store import Store, StoreError, Transaction
from cimcare.hub.intake.entries import entry_of_exchange
from cimcare.hub.intake.judging import Readable
from cimcare.hub.intake.later import has_last_reply, reply_to_of
from cimcare.hub.intake.passing import Circuits, comes_later, for_partner
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import Written
from cimcare.hub.intake.veiling import NOT_CONSENTED, seen_now
from cimcare.hub.outgoing.ahead import Ahead
from cimcare.hub.outgoing.given_up import find_waiting, tell_given_up
from cimcare.hub.outgoing.halting import find_halt
from cimcare.hub.outgoing.recalling import Recalled, Recalling
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MessageID

__all__ = ["CourierTimes", "Couriers"]

_KEPT_OF_ANSWER_BYTES = 16 * 1024
"""How much of an answer is kept with a delivery that failed."""

_OPEN = (DeliveryState.WAITING, DeliveryState.LEASED)
_MOST_EXPIRED = 100
_STORE_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 2.0
_GATHER_SECONDS = 0.01
"""For so long what was delivered waits for the next one to end, so that one commit serves them."""
_LONGEST_GATHER_SECONDS = 0.03
_QUICK_SECONDS = 0.25
"""A partner that takes no longer than that is claimed ahead for; to a slower one a commit is no pause worth a lease."""
_PLACES_AHEAD = 2
"""So many times as many as may be under way are claimed ahead: what ends while one commit gathers and is written."""
_IDLE_LOOKS = 60
"""After so many looks that found nothing a courier for one address ends; the next reply for it brings another."""


class CourierTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long a lease lasts, and how often a courier looks for work of which nobody told it."""

    lease: timedelta = timedelta(seconds=15)
    poll: timedelta = timedelta(seconds=1)


class Couriers:
    """The couriers of one process. `start` and `stop` frame their life.

    Args:
        store: Where deliveries are.
        sender: The way out.
        setup: Who is a partner.
        circuits: Who is spared.
        address: Our own address for later replies.
        times: Leases and polls.
        clock: Now.
        new_id: New identifiers.
        chance: Jitter.
        logger: Where failures are noted.
        on_attempt: Told of each attempt: the destination, and what became of the delivery.
    """

    def __init__(
        self,
        *,
        store: Store,
        sender: Sender,
        setup: Setup,
        circuits: Circuits,
        address: str,
        times: CourierTimes,
        clock: Clock,
        new_id: NewID,
        chance: random.Random,
        logger: structlog.typing.FilteringBoundLogger,
        on_attempt: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.store = store
        self.sender = sender
        self.circuits = circuits
        self.address = address
        self.times = times
        self.clock = clock
        self.new_id = new_id
        self.chance = chance
        self.logger = logger
        self.on_attempt = on_attempt
        self.setup = setup
        self.recalling = Recalling(store.reader.log)
        self._couriers: dict[str, _Courier] = {}
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._watch = asyncio.create_task(self._watch_over())
        self.change(self.setup)

    async def stop(self) -> None:
        """Begin nothing more, let go of what has not ended within a moment, and end. Leases free what was let go of."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        couriers, self._couriers = list(self._couriers.values()), {}
        self._watch = None
        await asyncio.gather(*(courier.stop() for courier in couriers))

    def change(self, setup: Setup) -> None:
        """Go on with another set-up: what is under way ends as it began."""
        self.setup = setup
        for partner in setup.routes.partners:
            self._courier_of(partner.name)
        self.wake(list(self._couriers))

    def take_over(self, names: Collection[str], written: Collection[Written]) -> None:
        """Something was put in for these destinations; events that were written need not be read again.

        Of events that are not urgent nobody has to know before what waits already is begun.
        """
        for one in written:
            self.recalling.remember(one.sequence, Recalled(message=one.message, raw=one.raw))
        self.wake(names, is_news=not written or any(one.priority > Priority.NORMAL for one in written))

    def wake(self, names: Collection[str], *, is_news: bool = True) -> None:
        """Tell the couriers of these destinations that there is something to do; or that there may be, without news."""
        for name in sorted(names):  # in an order that does not change from run to run
            courier = self._courier_of(name)
            if courier is not None:
                courier.wake(is_news=is_news)

    async def look(self) -> None:
        """Wake the couriers of all destinations for which something waits, put in by whoever. Raises StoreError."""
        self.wake([one.partner for one in await self.store.reader.outbox.backlogs() if one.waiting], is_news=False)

    def partner_of(self, name: str) -> Partner | None:
        """The partner that a destination means; None if there is none of that name now."""
        if name.startswith(f"{DIRECT} "):
            return Partner(name=name, source=name, url="")
        return self.setup.routes.partner(name)

    def dismiss(self, name: str) -> None:
        """A courier has ended of itself."""
        self._couriers.pop(name, None)
        self.circuits.forget(name)

    def note_broken(self, event: str, error: Exception, **facts: str | int) -> None:
        """A line for the operator about an error of the program, without its text, which may quote content."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.logger.error(event, code="EXC-109", error=type(error).__name__, trace=trace, **facts)

    def _courier_of(self, name: str) -> "_Courier | None":
        courier = self._couriers.get(name)
        if courier is None and self._watch is not None and self.partner_of(name) is not None:
            courier = self._couriers[name] = _Courier(self, name)
        return courier

    async def _watch_over(self) -> None:
        """What no courier does: destinations that nobody told of, and replies that never came."""
        while True:
            try:
                await self._expire()
                await self.look()
            except StoreError as error:
                self.logger.error("deliveries not looked at", code=error.code, reason=str(error))
            except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: it must go on
                self.note_broken("deliveries not looked at", error)
            await asyncio.sleep(5 * self.times.poll.total_seconds())

    async def _expire(self) -> None:
        awaiting = DeliverySelection(states=(DeliveryState.AWAITING,), limit=1)
        if not await self.store.reader.outbox.select(awaiting):
            return
        async with self.store.transaction() as transaction:
            reason = "acknowledged, and no reply came within the time agreed"
            for delivery in await book_expired(transaction, now=self.clock(), reason=reason, limit=_MOST_EXPIRED):
                await self.tell_failure(transaction, delivery, "EXC-119", reason)

    async def tell_failure(self, transaction: Transaction, delivery: Delivery, code: str, reason: str) -> None:
        """Who waits for the later reply to a request that was given up hears of it."""
        destination = await tell_given_up(
            transaction,
            delivery,
            code,
            reason,
            routes=self.setup.routes,
            owner=self.partner_of(delivery.partner),
            now=self.clock(),
            new_id=self.new_id,
        )
        if destination is not None:
            self.wake([destination])


class _Courier:
    """Delivers to one destination.

    What was delivered is written together with what is claimed next, for all that ended meanwhile: one transaction
    where each delivery would need two. They gather until no other ends for a moment, or the first of them has waited
    long enough, or half of the places are done; or as many as there are places, while places do not wait for it.

    A place that is free again is filled at once from what was claimed ahead, while all this goes on behind it. Without
    that, or where somebody more urgent may have come, it stays free until the next claim.
    """

    def __init__(self, house: Couriers, name: str) -> None:
        self._woken = asyncio.Event()
        self._woken.set()
        self._house = house
        self._name = name
        # By number and attempt: a lease that ran out may be taken again before the attempt under it has ended.
        self._under_way: dict[tuple[int, int], tuple[Delivery, asyncio.Task[None]]] = {}
        self._delivered: list[Delivery] = []
        self._ends_in_writing = 0
        self._ahead = Ahead()
        self._last_took = float("inf")  # seconds, if it was delivered
        self._is_stopping = False
        self._first_ended = self._last_ended = 0.0
        self._is_more_expected = True  # there may be work from before
        self._next_start = 0.0
        self._task = asyncio.create_task(self._run())

    def wake(self, *, is_news: bool = True) -> None:
        """There is something to do; with news something was put in, which may be more urgent than what is here."""
        if is_news:
            self._ahead.note_news()
        self._is_more_expected = True
        self._woken.set()

    async def stop(self) -> None:
        """Begin nothing more; what is under way is given a moment, and then let go of."""
        self._is_stopping = True
        self._woken.set()
        # A claim that is being written is waited for, so that what it gets can be given back.
        tasks = [self._task, *(task for _, task in self._under_way.values())]
        _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        try:
            await self._write(0, self._ahead.take_back(self._house.clock()))
        except StoreError as error:
            self._note_trouble(error)

    # ------------------------------------------------------------------------------------------------ claiming

    async def _run(self) -> None:
        renewed_at = asyncio.get_running_loop().time()
        idle = 0
        while idle < _IDLE_LOOKS or not self._name.startswith(f"{DIRECT} "):
            self._woken.clear()
            if self._is_stopping:
                return
            try:
                begun = await self._go_on()
                if asyncio.get_running_loop().time() - renewed_at > self._house.times.lease.total_seconds() / 3:
                    renewed_at = asyncio.get_running_loop().time()
                    await self._renew()
            except StoreError as error:
                self._note_trouble(error)
                await self._pause_for_trouble()
                continue
            except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: it must go on
                self._house.note_broken("courier failed", error, partner=self._name)
                await self._pause_for_trouble()
                continue
            if begun:
                idle = 0
                continue
            idle = 0 if self._under_way or self._ahead else idle + 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._woken.wait()
                    idle = 0
        self._house.dismiss(self._name)

    async def _pause_for_trouble(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STORE_PAUSE_SECONDS):
                while not self._is_stopping:
                    self._woken.clear()
                    await self._woken.wait()

    def _pause(self) -> float:
        """Seconds until the next look, if nobody wakes the courier before."""
        poll = self._house.times.poll.total_seconds()
        until_next = self._next_start - asyncio.get_running_loop().time()
        pause = min(poll, until_next) if until_next > 0 else poll
        partner = self._house.partner_of(self._name)
        return min(pause, max(self._gathers(partner), 0)) if partner is not None and self._delivered else pause

    def _gathers(self, partner: Partner) -> float:
        """For how many seconds more what was delivered is not written yet."""
        half = min(partner.parallel, len(self._under_way)) / 2
        if len(self._delivered) >= (partner.parallel if self._ahead else half):
            return 0
        until = min(self._last_ended + _GATHER_SECONDS, self._first_ended + _LONGEST_GATHER_SECONDS)
        return until - asyncio.get_running_loop().time()

    async def _go_on(self) -> bool:
        """Write what was delivered, claim what may be begun now, and begin it; whether anything was done."""
        house = self._house
        partner = house.partner_of(self._name)
        if partner is not None and self._delivered and self._gathers(partner) > 0:
            return False
        free = self._places(partner) if partner is not None else 0
        wanted = self._wanted(partner, free) if partner is not None else 0
        if wanted and not (self._delivered or self._is_more_expected or await self._has_work()):
            wanted = 0
        is_halted = bool(wanted or self._ahead) and await find_halt(house.store.reader.records, self._name) is not None
        if is_halted:
            free = wanted = 0
        is_usable = partner is not None and not is_halted and self._is_usable(partner)
        unwanted = [] if is_usable else self._ahead.take_back(house.clock())
        if not wanted and not self._delivered and not unwanted and not (free and self._ahead):
            return False
        claimed, written = await self._write(wanted, unwanted)
        self._is_more_expected = bool(wanted) and len(claimed) == wanted
        if partner is None:
            return bool(written)
        if wanted:
            messages = dict.fromkeys(delivery.message for delivery in claimed)
            recalled = await house.recalling.recall(messages, whole=not partner.takes_kept) if claimed else {}
            ready = [(delivery, recalled[delivery.message]) for delivery in claimed]
            self._ahead.add(ready, partner)
        begun = self._begin(partner) if free else 0
        return bool(claimed or written or begun)

    def _begin(self, partner: Partner) -> int:
        """Begin as many of what was claimed as there are places; how many."""
        if self._is_stopping:
            return 0
        taken = self._ahead.take(self._places(partner), self._house.clock())
        for delivery, recalled in taken:
            if partner.rate:
                self._next_start = max(self._next_start, asyncio.get_running_loop().time()) + 1 / partner.rate
            task = asyncio.create_task(self._deliver(delivery, partner, recalled))
            self._under_way[delivery.number, delivery.attempts] = (delivery, task)
        return len(taken)

    def _refill(self) -> None:
        """Fill the places that are free with what was claimed ahead, without waiting for another claim."""
        house = self._house
        partner = house.partner_of(self._name)
        if partner is None or not self._ahead or house.circuits.of(partner).failures:
            return
        if self._ahead.is_current(partner, asyncio.get_running_loop().time()):
            self._begin(partner)

    def _is_usable(self, partner: Partner) -> bool:
        """Whether what was claimed ahead may be begun: it was read for the partner as he is, and he is not spared."""
        return self._ahead.is_for(partner) and not self._house.circuits.of(partner).is_open

    def _wanted(self, partner: Partner, free: int) -> int:
        """How many to claim: for the free places, since there may be more urgent ones than are here, and ahead."""
        if not free and not self._delivered:
            return 0
        is_worth_it = partner.parallel > 1 and not partner.rate and self._last_took <= _QUICK_SECONDS
        if not is_worth_it or self._house.circuits.of(partner).failures:
            return free
        return free + max(0, _PLACES_AHEAD * partner.parallel - len(self._ahead))

    async def _write(self, wanted: int, unwanted: Sequence[Delivery] = ()) -> tuple[tuple[Delivery, ...], int]:
        """Write what was delivered, give back what is unwanted, and claim as many as are wanted.

        Returns what was claimed, and how many were written. If it fails their leases run out, and they are sent again.
        """
        delivered, self._delivered = self._delivered, []
        if not wanted and not delivered and not unwanted:
            return (), 0
        house, now = self._house, self._house.clock()
        priority = max((one.priority for one in delivered), default=Priority.NORMAL)
        claimed: tuple[Delivery, ...] = ()
        self._ends_in_writing = len(delivered)
        try:
            async with house.store.transaction(priority) as transaction:
                if delivered:
                    await book_delivered(transaction, *delivered, now=now)
                if unwanted:
                    await transaction.outbox.give_back([(one.number, one.attempts) for one in unwanted], now=now)
                if wanted:
                    self._ahead.note_claim(asyncio.get_running_loop().time())
                    until = now + house.times.lease
                    claimed = await transaction.outbox.claim(self._name, now=now, until=until, limit=wanted)
        except asyncio.CancelledError:
            self._delivered += delivered  # it may be on disk or not; to write it once more does no harm
            raise
        finally:
            self._ends_in_writing = 0
            for delivery in delivered:
                self._under_way.pop((delivery.number, delivery.attempts), None)
        return claimed, len(delivered) + len(unwanted)

    def _note_trouble(self, error: StoreError) -> None:
        self._house.logger.error("not delivered", code=error.code, partner=self._name, reason=str(error))

    def _places(self, partner: Partner) -> int:
        """How many deliveries may be begun now."""
        under_way = len(self._under_way) - len(self._delivered) - self._ends_in_writing
        places = partner.parallel - under_way
        if partner.rate and self._next_start > asyncio.get_running_loop().time():
            return 0
        if partner.rate:
            places = min(places, 1)
        circuit = self._house.circuits.of(partner)
        return max(0, circuit.allows(places, now=self._house.clock(), under_way=under_way))

    async def _has_work(self) -> bool:
        """A look without a transaction, since most looks find nothing."""
        mine = self._under_way.keys() | self._ahead.attempts()
        selection = DeliverySelection(partner=self._name, states=_OPEN, limit=len(mine) + 1)
        found = await self._house.store.reader.outbox.select(selection)
        return any((delivery.number, delivery.attempts) not in mine for delivery in found)

    async def _renew(self) -> None:
        """Keep the leases of what is still under way, and give back what was not begun for so long."""
        if not self._under_way and not self._ahead:
            return
        now, lease = self._house.clock(), self._house.times.lease
        until = now + lease
        unwanted = self._ahead.take_back(now, before=now + lease * 2 / 3)
        async with self._house.store.transaction() as transaction:
            if unwanted:
                await transaction.outbox.give_back([(one.number, one.attempts) for one in unwanted], now=now)
            for delivery, _ in list(self._under_way.values()):
                await transaction.outbox.renew(delivery.number, delivery.attempts, until=until)

    # ------------------------------------------------------------------------------------------------ one delivery

    async def _deliver(self, delivery: Delivery, partner: Partner, recalled: Recalled) -> None:
        """One attempt, and what follows from it."""
        is_delivered = False
        begun_at = asyncio.get_running_loop().time()
        try:
            is_delivered = await self._attempt(delivery, partner, recalled)
        except StoreError as error:  # its lease runs out, and it is tried again
            self._note_trouble(error)
        except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: a courier must go on
            self._house.note_broken("delivery failed", error, partner=self._name, number=delivery.number)
            await self._give_up_broken(delivery, type(error).__name__)
        finally:
            if is_delivered:
                self._last_ended = asyncio.get_running_loop().time()
                self._last_took = self._last_ended - begun_at
                if not self._delivered:
                    self._first_ended = self._last_ended
                self._delivered.append(delivery)
            else:
                del self._under_way[delivery.number, delivery.attempts]
            self._refill()
            # The first tells it to look again when gathering is over; what comes meanwhile need not wake it.
            if not is_delivered or len(self._delivered) == 1 or self._gathers(partner) <= 0:
                self._woken.set()

    async def _attempt(self, delivery: Delivery, partner: Partner, recalled: Recalled) -> bool:
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

    async def _give_up_broken(self, delivery: Delivery, error: str) -> None:
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
