"""Couriers: they carry what is in the outbox to the partners, one courier a destination, and none waits for another.

A courier claims deliveries under a lease, sends them, and writes what came of it. If the process dies, its leases run
out and another process, or the next one, takes over. Everything a courier knows is in the database but the circuit,
which it learns again.

Source: guarantees G3 to G6 and G11.
"""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field

from cimcare.exchange.booking import book_expired
from cimcare.exchange.outbox import DeliverySelection, DeliveryState, Priority
from cimcare.exchange.store import StoreError
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import Written
from cimcare.hub.outgoing.courier import Courier
from cimcare.hub.outgoing.house import House
from cimcare.hub.outgoing.recalling import Recalled

__all__ = ["Couriers"]

_MOST_EXPIRED = 100


@dataclass(kw_only=True, eq=False)
class Couriers(House):
    """The couriers of one process. `start` and `stop` frame their life; `House` says what they are given."""

    _couriers: dict[str, Courier] = field(default_factory=dict, init=False)
    _watch: asyncio.Task[None] | None = field(default=None, init=False)

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
        """Tell the couriers of these destinations; those that are not there yet begin."""
        for name in sorted(names):  # in an order that does not change from run to run
            courier = self._courier_of(name)
            if courier is not None:
                courier.wake(is_news=is_news)

    async def look(self) -> None:
        """Wake the couriers of all destinations for which something waits, put in by whoever. Raises StoreError."""
        self.wake([one.partner for one in await self.store.reader.outbox.backlogs() if one.waiting], is_news=False)

    def dismiss(self, name: str) -> None:
        """A courier has ended of itself."""
        self._couriers.pop(name, None)
        self.circuits.forget(name)

    def _courier_of(self, name: str) -> Courier | None:
        courier = self._couriers.get(name)
        if courier is None and self._watch is not None and self.partner_of(name) is not None:
            courier = self._couriers[name] = Courier(self, name)
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
