"""What the couriers of one process share: their means, who is meant by a destination, and who hears of a failure."""

import random
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import structlog

from cimcare.exchange.outbox import Delivery
from cimcare.exchange.partners import DIRECT, Partner
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.sending import Sender
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.intake.passing import Circuits
from cimcare.hub.intake.setup import Setup
from cimcare.hub.outgoing.given_up import tell_given_up
from cimcare.hub.outgoing.recalling import Recalling

__all__ = ["CourierTimes", "House"]


class CourierTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long a lease lasts, and how often a courier looks for work of which nobody told it."""

    lease: timedelta = timedelta(seconds=15)
    poll: timedelta = timedelta(seconds=1)


@dataclass(kw_only=True, eq=False)
class House(ABC):
    """What the couriers of one process share.

    Args:
        store: Where deliveries are.
        sender: The way out.
        setup: Who is a partner; replaced as a whole.
        circuits: Who is spared.
        address: Our own address for later replies.
        times: Leases and polls.
        clock: Now.
        new_id: New identifiers.
        chance: Jitter.
        logger: Where failures are noted.
        on_attempt: Told of each attempt: the destination, and what became of the delivery.
    """

    store: Store
    sender: Sender
    setup: Setup
    circuits: Circuits
    address: str
    times: CourierTimes
    clock: Clock
    new_id: NewID
    chance: random.Random
    logger: structlog.typing.FilteringBoundLogger
    on_attempt: Callable[[str, str], None] = lambda _, __: None
    recalling: Recalling = field(init=False)

    def __post_init__(self) -> None:
        self.recalling = Recalling(self.store.reader.log)

    @abstractmethod
    def wake(self, names: Collection[str], *, is_news: bool = True) -> None:
        """Tell the couriers of these destinations that there is something to do; or that there may be, without news."""

    @abstractmethod
    def dismiss(self, name: str) -> None:
        """A courier has ended of itself."""

    def partner_of(self, name: str) -> Partner | None:
        """The partner that a destination means; None if there is none of that name now."""
        if name.startswith(f"{DIRECT} "):
            return Partner(name=name, source=name, url="")
        return self.setup.routes.partner(name)

    def note_broken(self, event: str, error: Exception, **facts: str | int) -> None:
        """A line for the operator about an error of the program, without its text, which may quote content."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.logger.error(event, code="EXC-109", error=type(error).__name__, trace=trace, **facts)

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
