"""The courier of one destination: what it claims, when it begins it, and how it writes what has arrived.

Source: guarantees G3, G4, G6 and G11.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from cimcare.exchange.booking import book_delivered
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState, Priority
from cimcare.exchange.partners import DIRECT, Partner
from cimcare.exchange.store import StoreError
from cimcare.hub.outgoing.ahead import Ahead
from cimcare.hub.outgoing.attempting import Attempting
from cimcare.hub.outgoing.halting import find_halt
from cimcare.hub.outgoing.house import House
from cimcare.hub.outgoing.recalling import Recalled

__all__ = ["Courier"]

_OPEN = (DeliveryState.WAITING, DeliveryState.LEASED)
_STORE_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 2.0
_GATHER_SECONDS = 0.01
"""For so long what was delivered waits for the next one to end, so that one commit serves them."""
_LONGEST_GATHER_SECONDS = 0.03
_QUICK_SECONDS = 0.25
"""A partner that takes no longer than that is claimed ahead for; to a slower one a commit is no pause worth a lease."""
_PLACES_AHEAD = 6
"""So many times as many as may be under way are claimed ahead: what ends until a courier may write again."""
_IDLE_LOOKS = 60
"""After so many looks that found nothing a courier for one address ends; the next reply for it brings another."""


class Courier:
    """Delivers to one destination.

    What was delivered is written together with what is claimed next, for all that ended meanwhile: one transaction
    where each delivery would need two. They gather until no other ends for a moment, or the first of them has waited
    long enough, or half of the places are done; or as many as there are places, while places do not wait for it.

    A place that is free again is filled at once from what was claimed ahead, while all this goes on behind it. Without
    that, or where somebody more urgent may have come, it stays free until the next claim.
    """

    def __init__(self, house: House, name: str) -> None:
        self._woken = asyncio.Event()
        self._woken.set()
        self._house = house
        self._name = name
        self._attempting = Attempting(house, name)
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
            is_delivered = await self._attempting.attempt(delivery, partner, recalled)
        except StoreError as error:  # its lease runs out, and it is tried again
            self._note_trouble(error)
        except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: a courier must go on
            self._house.note_broken("delivery failed", error, partner=self._name, number=delivery.number)
            await self._attempting.give_up_broken(delivery, type(error).__name__)
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
