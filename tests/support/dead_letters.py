"""Dead letters for tests, with the counts and messages that belong to them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from cimcare.exchange.booking import book_buried, book_delivered, book_put
from cimcare.exchange.log import Direction, Transport
from cimcare.exchange.outbox import Delivery
from cimcare.exchange.store import Store
from cimcare.hub.outgoing.dead_letters import Control, Tally
from tests.support.stored import NOON, a_delivery, an_entry

__all__ = ["FAILED", "Steering", "bury_again", "deliver", "put", "put_dead"]

FAILED = "FAILED: 2.15 no such premises"


async def put(store: Store, key: str, partner: str = "gis", **changes: object) -> int:
    """Put a delivery in, with its message; its number."""
    async with store.transaction() as transaction:
        entry = an_entry(
            direction=Direction.OUT,
            transport=Transport.INTERNAL,
            verb="created",
            noun="TroubleTickets",
            message_id=f"m-{key}",
        )
        sequence = await transaction.log.append(entry, f"<message>{key}</message>".encode())
        return await book_put(
            transaction,
            a_delivery(
                f"TroubleTickets {key}",
                **{
                    "partner": partner,
                    "message": sequence,
                    "cause": sequence,
                    "message_id": f"m-{key}",
                    "created_at": NOON + timedelta(minutes=sequence),
                    **changes,
                },
            ),
        )


async def put_dead(
    store: Store,
    count: int = 1,
    *,
    partner: str = "gis",
    reason: str = FAILED,
    received: bytes = b"",
    **changes: object,
) -> list[int]:
    """Put deliveries in that die at once; their numbers."""
    numbers = []
    for place in range(count):
        number = await put(store, f"{partner}{place}{reason[:20]}{changes}", partner, **changes)
        await _end(store, number, lambda one: bury(store, one, reason, received))
        numbers.append(number)
    return numbers


async def deliver(store: Store, number: int) -> None:
    """The partner has it."""

    async def end(delivery: Delivery) -> bool:
        async with store.transaction() as transaction:
            return await book_delivered(transaction, delivery, now=NOON)

    await _end(store, number, end)


async def bury_again(store: Store, number: int) -> None:
    """It dies anew."""
    await _end(store, number, lambda one: bury(store, one, FAILED, b""))


async def bury(store: Store, delivery: Delivery, reason: str, received: bytes) -> bool:
    """Give up a delivery that is leased."""
    async with store.transaction() as transaction:
        return await book_buried(transaction, delivery, now=NOON, reason=reason, received=received)


async def _end(store: Store, number: int, end: Callable[[Delivery], Awaitable[bool]]) -> None:
    delivery = await store.reader.outbox.find(number)
    assert delivery is not None
    later = NOON + timedelta(days=365 * 50)
    async with store.transaction() as transaction:
        claimed = await transaction.outbox.claim(delivery.partner, now=later, until=later, limit=1000)
    (wanted,) = (one for one in claimed if one.number == number)
    for other in claimed:
        if other is not wanted:
            async with store.transaction() as transaction:
                await transaction.outbox.fail(
                    other.number, other.attempts, due_at=other.created_at, reason="", received=b""
                )
    assert await end(wanted)


class Steering:
    """Steers work from a test: notes what it is told, halts after so many reports, and never sleeps."""

    def __init__(self, *, halt_after: int = 10**9, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self.reports: list[Tally] = []
        self.pauses: list[float] = []
        self._halt_after = halt_after
        self._meanwhile = meanwhile

    @property
    def control(self) -> Control:
        return Control(is_halted=self._is_halted, pause=self._pause, report=self.reports.append)

    def _is_halted(self) -> bool:
        return len(self.reports) >= self._halt_after

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self._meanwhile is not None:
            await self._meanwhile()
