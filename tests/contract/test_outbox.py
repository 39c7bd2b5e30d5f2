"""What every implementation of `Outbox` has to do; the memory one is the reference."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.outbox import Backlog, DeliverySelection, DeliveryState, NewDelivery, Outbox
from cimcare.store.memory_outbox import MemoryOutbox
from cimcare.store.sqlite import SqliteStore

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)


@pytest.fixture(params=["memory", "sqlite"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    if request.param == "memory":
        yield MemoryOutbox()
        return
    store = SqliteStore.open(tmp_path / "hub.db")
    async with store.transaction() as transaction:
        yield store.outbox_of(transaction)
    await store.close()


def a_delivery(**changes: object) -> NewDelivery:
    new = NewDelivery(
        message=7,
        partner="GIS",
        object_key="TroubleTickets a",
        verb="created",
        noun="TroubleTickets",
        message_id="m-1",
        created_at=NOON,
    )
    return msgspec.structs.replace(new, **changes)


async def claimed(outbox: Outbox, *, now: datetime = NOON, limit: int = 10, partner: str = "GIS") -> list[int]:
    found = await outbox.claim(partner, now=now, until=now + timedelta(seconds=30), limit=limit)
    return [one.number for one in found]


async def test_what_is_put_in_is_claimed_once(outbox: Outbox) -> None:
    """Two workers must not send the same thing at the same time."""
    number = await outbox.enqueue(a_delivery())
    (delivery,) = await outbox.claim("GIS", now=NOON, until=LATER, limit=10)
    assert (delivery.number, delivery.state, delivery.attempts) == (number, DeliveryState.LEASED, 1)
    assert (delivery.message, delivery.message_id, delivery.due_at) == (7, "m-1", LATER)
    assert await outbox.find(number) == delivery
    assert await claimed(outbox) == []


async def test_only_the_oldest_of_an_object_is_claimed(outbox: Outbox) -> None:
    """A ticket must not be closed at the partner before it was created there (G4)."""
    first = await outbox.enqueue(a_delivery())
    second = await outbox.enqueue(a_delivery())
    other = await outbox.enqueue(a_delivery(object_key="TroubleTickets b"))
    elsewhere = await outbox.enqueue(a_delivery(partner="CRM"))
    assert await claimed(outbox) == [first, other]
    assert await claimed(outbox, partner="CRM") == [elsewhere]
    await outbox.fail(first, 1, due_at=LATER, reason="no answer", received=b"")
    assert await claimed(outbox) == []
    assert await claimed(outbox, now=LATER) == [first, other]
    assert await outbox.succeed(first, 2, now=LATER)
    assert await claimed(outbox, now=LATER) == [second]


async def test_no_more_than_the_limit(outbox: Outbox) -> None:
    """The number under way at once is the partner's setting."""
    numbers = [await outbox.enqueue(a_delivery(object_key=str(number))) for number in range(5)]
    assert await claimed(outbox, limit=2) == numbers[:2]
    assert await claimed(outbox, limit=9) == numbers[2:]


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_owner_is_too_late(outbox: Outbox) -> None:
    """A worker that died must not hold a delivery for ever, and one that only slept must not end it twice (G6)."""
    number = await outbox.enqueue(a_delivery())
    assert await claimed(outbox) == [number]
    assert await claimed(outbox, now=NOON + timedelta(seconds=29)) == []
    assert await claimed(outbox, now=NOON + timedelta(seconds=30)) == [number]
    assert not await outbox.succeed(number, 1, now=LATER)
    assert not await outbox.fail(number, 1, due_at=LATER, reason="late", received=b"")
    assert not await outbox.bury(number, 1, now=LATER, reason="late", received=b"")
    assert await outbox.succeed(number, 2, now=LATER)
    delivered = await outbox.find(number)
    assert delivered is not None
    assert (delivered.state, delivered.attempts, delivered.due_at) == (DeliveryState.DELIVERED, 2, LATER)
    assert not await outbox.succeed(number, 2, now=LATER)


async def test_a_dead_letter_has_its_reason_and_holds_up_nothing(outbox: Outbox) -> None:
    """What the partner will never take must not dam up what follows."""
    first = await outbox.enqueue(a_delivery())
    second = await outbox.enqueue(a_delivery())
    await claimed(outbox)
    assert await outbox.bury(first, 1, now=LATER, reason="2.5 unknown noun", received=b"<no/>")
    dead = await outbox.find(first)
    assert dead is not None
    assert (dead.state, dead.reason, dead.received) == (DeliveryState.DEAD, "2.5 unknown noun", b"<no/>")
    assert await claimed(outbox) == [second]


async def test_an_operator_sends_again_or_discards_dead_letters_only(outbox: Outbox) -> None:
    """And a delivery sent again has all its attempts."""
    numbers = [await outbox.enqueue(a_delivery(object_key=str(number))) for number in range(2)]
    assert not await outbox.resend(numbers[0], now=NOON)
    assert not await outbox.discard(numbers[0], now=NOON, reason="x")
    for number in await claimed(outbox):
        await outbox.bury(number, 1, now=NOON, reason="gave up", received=b"")
    assert await outbox.resend(numbers[0], now=LATER)
    assert await outbox.discard(numbers[1], now=LATER, reason="obsolete")
    again, discarded = await outbox.find(numbers[0]), await outbox.find(numbers[1])
    assert again is not None
    assert discarded is not None
    assert (again.state, again.due_at, again.attempts_before) == (DeliveryState.WAITING, LATER, 1)
    assert (discarded.state, discarded.reason) == (DeliveryState.DISCARDED, "obsolete")
    assert not await outbox.resend(numbers[1], now=LATER)
    assert not await outbox.resend(99, now=LATER)
    assert await claimed(outbox, now=LATER) == [numbers[0]]


async def test_deliveries_are_selected_by_page_and_filter(outbox: Outbox) -> None:
    """An operator looks for those of one partner, state, noun or time."""
    one = await outbox.enqueue(a_delivery())
    two = await outbox.enqueue(a_delivery(partner="CRM", noun="Incidents", created_at=LATER))
    three = await outbox.enqueue(a_delivery(object_key="c", created_at=LATER))
    await claimed(outbox, limit=1)

    async def numbers(**wanted: object) -> list[int]:
        selection = msgspec.structs.replace(DeliverySelection(), **wanted)
        return [delivery.number for delivery in await outbox.select(selection)]

    assert await numbers() == [one, two, three]
    assert await numbers(after=one, limit=1) == [two]
    assert await numbers(partner="GIS") == [one, three]
    assert await numbers(noun="Incidents") == [two]
    assert await numbers(before=NOON) == [one]
    assert await numbers(state=DeliveryState.LEASED) == [one]
    assert await outbox.find(99) is None


async def test_backlogs_count_what_has_not_arrived(outbox: Outbox) -> None:
    """The figures behind the metrics and their alarms."""
    assert await outbox.backlogs() == ()
    numbers = [await outbox.enqueue(a_delivery(object_key=str(number))) for number in range(3)]
    await outbox.enqueue(a_delivery(partner="CRM", created_at=LATER))
    await claimed(outbox, limit=2)
    await outbox.succeed(numbers[0], 1, now=NOON)
    await outbox.bury(numbers[1], 1, now=NOON, reason="x", received=b"")
    assert await outbox.backlogs() == (
        Backlog(partner="CRM", waiting=1, dead=0, oldest_at=LATER),
        Backlog(partner="GIS", waiting=1, dead=1, oldest_at=NOON),
    )
