"""What every implementation of `Outbox` has to do; the memory one is the reference."""

import random
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import msgspec
import pytest

from cimcare.exchange.outbox import (
    CARRIED,
    Backlog,
    Delivery,
    DeliveryKind,
    DeliverySelection,
    DeliveryState,
    NewDelivery,
    Outbox,
    Priority,
)
from cimcare.exchange.store import Store
from tests.support.steps import steps_of
from tests.support.stored import NOON, a_delivery

LEASE = timedelta(seconds=30)
LATER = NOON + timedelta(minutes=1)


@pytest.fixture
async def outbox(store: Store) -> AsyncIterator[Outbox]:
    async with store.transaction() as transaction:
        yield transaction.outbox


async def claimed(
    outbox: Outbox,
    *,
    now: object = NOON,
    limit: int = 10,
    partner: str = "GIS",
    only: Collection[DeliveryKind] = (),
) -> list[int]:
    found = await outbox.claim(partner, now=now, until=now + LEASE, limit=limit, only=only)
    return [one.number for one in found]


async def loaded(outbox: Outbox, number: int) -> Delivery:
    found = await outbox.find(number)
    assert found is not None
    return found


async def fail(outbox: Outbox, number: int, attempt: int = 1, *, due_at: object = LATER) -> None:
    assert await outbox.fail(number, attempt, due_at=due_at, reason="no answer", received=b"")


async def bury(outbox: Outbox, number: int, attempt: int = 1) -> None:
    assert await outbox.bury(number, attempt, now=NOON, reason="gave up", received=b"")


# ----------------------------------------------------------------------------------------------------- leases


async def test_gives_back_what_was_put_in(outbox: Outbox) -> None:
    """A retry after a restart sends the same message to the same place."""
    new = NewDelivery(
        message=8,
        cause=5,
        partner="http://peer/ä",
        kind=DeliveryKind.REPLY,
        object_keys=("TroubleTickets b", "TroubleTickets a", "TroubleTickets b"),
        verb="reply",
        noun="TroubleTickets",
        message_id="m",
        created_at=NOON,
        priority=Priority.HAZARD,
        address="http://peer/reply?x=1",
    )
    number = await outbox.enqueue(new)
    given = {name: getattr(new, name) for name in NewDelivery.__struct_fields__}
    expected = Delivery(number=number, state=DeliveryState.WAITING, due_at=NOON, **given)
    assert await outbox.find(number) == expected
    assert await outbox.find(number + 1) is None
    assert await outbox.enqueue(a_delivery()) > number


async def test_what_is_put_in_is_claimed_once(outbox: Outbox) -> None:
    """Two workers must not send the same thing at the same time."""
    number = await outbox.enqueue(a_delivery())
    (delivery,) = await outbox.claim("GIS", now=NOON, until=LATER, limit=10)
    assert (delivery.number, delivery.state, delivery.attempts) == (number, DeliveryState.LEASED, 1)
    assert (delivery.message, delivery.message_id, delivery.due_at) == (7, "m-1", LATER)
    assert await outbox.find(number) == delivery
    assert await claimed(outbox) == []


async def test_no_more_than_the_limit(outbox: Outbox) -> None:
    """The number under way at once is the partner's setting."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(5)]
    assert await claimed(outbox, limit=2) == numbers[:2]
    assert await claimed(outbox, limit=9) == numbers[2:]


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_owner_is_too_late(outbox: Outbox) -> None:
    """A worker that died must not hold a delivery for ever, and one that only slept must not end it twice (G6)."""
    number = await outbox.enqueue(a_delivery())
    assert await claimed(outbox) == [number]
    assert await claimed(outbox, now=NOON + timedelta(seconds=29)) == []
    assert await claimed(outbox, now=NOON + LEASE) == [number]
    assert not await outbox.succeed([(number, 1)], now=LATER)
    assert not await outbox.fail(number, 1, due_at=LATER, reason="late", received=b"")
    assert not await outbox.bury(number, 1, now=LATER, reason="late", received=b"")
    assert not await outbox.renew(number, 1, until=LATER)
    assert not await outbox.wait_for_reply(number, 1, until=LATER)
    assert await outbox.succeed([(number, 2)], now=LATER)
    delivered = await loaded(outbox, number)
    assert (delivered.state, delivered.attempts, delivered.due_at) == (DeliveryState.DELIVERED, 2, LATER)
    assert not await outbox.succeed([(number, 2)], now=LATER)


async def test_a_lease_that_is_renewed_is_not_taken_over(outbox: Outbox) -> None:
    """A partner that takes long to answer is not sent the same thing twice."""
    number = await outbox.enqueue(a_delivery())
    assert await claimed(outbox) == [number]
    assert await outbox.renew(number, 1, until=LATER)
    assert await claimed(outbox, now=NOON + LEASE) == []
    assert (await loaded(outbox, number)).due_at == LATER
    assert await claimed(outbox, now=LATER) == [number]
    assert not await outbox.renew(99, 1, until=LATER)


async def test_what_is_given_back_is_due_as_if_it_had_not_been_claimed(outbox: Outbox) -> None:
    """Whoever claims ahead and sends nothing leaves no attempt behind, and no place is lost."""
    number, behind = [await outbox.enqueue(a_delivery()) for _ in range(2)]
    before = await loaded(outbox, number)
    (claim,) = await outbox.claim("GIS", now=NOON, until=LATER, limit=10)
    await outbox.give_back([(claim.number, claim.attempts)], now=NOON)
    assert await loaded(outbox, number) == before
    assert not await outbox.succeed([(number, 1)], now=NOON)
    assert await claimed(outbox) == [number]
    await fail(outbox, number, due_at=NOON)
    assert await claimed(outbox) == [number]
    await outbox.give_back([(number, 2)], now=LATER)
    tried = await loaded(outbox, number)
    assert (tried.state, tried.attempts, tried.due_at) == (DeliveryState.WAITING, 1, LATER)
    assert tried.reason == "no answer", "that of the attempt that was made"
    assert await claimed(outbox, now=NOON) == []
    assert await claimed(outbox, now=LATER) == [number]
    assert await outbox.succeed([(number, 2)], now=LATER)
    assert await claimed(outbox, now=LATER) == [behind]


async def test_only_who_has_the_lease_gives_it_back(outbox: Outbox) -> None:
    """A process that slept must not take a delivery away from the one that sends it."""
    number, other = [await outbox.enqueue(a_delivery(each)) for each in "ab"]
    assert await claimed(outbox) == [number, other]
    assert await claimed(outbox, now=NOON + LEASE, limit=1) == [number]
    await outbox.give_back([(number, 1), (other, 1), (99, 1)], now=LATER)
    assert (await loaded(outbox, number)).state is DeliveryState.LEASED
    assert (await loaded(outbox, other)).attempts == 0
    assert await outbox.succeed([(number, 2)], now=LATER)
    await outbox.give_back([(number, 2)], now=LATER)
    assert (await loaded(outbox, number)).state is DeliveryState.DELIVERED


async def test_what_was_sent_again_and_given_back_goes_before_younger_ones(outbox: Outbox) -> None:
    """It stands again where an operator has put it."""
    first, second = [await outbox.enqueue(a_delivery()) for _ in range(2)]
    assert await claimed(outbox) == [first]
    await bury(outbox, first)
    assert await outbox.resend(first, now=NOON)
    assert await claimed(outbox) == [first]
    await outbox.give_back([(first, 2)], now=NOON)
    assert ((await loaded(outbox, first)).attempts, (await loaded(outbox, second)).is_head) == (1, False)
    assert await claimed(outbox) == [first]


async def test_only_these_kinds(outbox: Outbox) -> None:
    """Where requests are answered on another way, couriers take the rest."""
    event = await outbox.enqueue(a_delivery("a"))
    request = await outbox.enqueue(a_delivery("b", kind=DeliveryKind.REQUEST))
    reply = await outbox.enqueue(a_delivery("c", kind=DeliveryKind.REPLY))
    assert await claimed(outbox, only=(DeliveryKind.REQUEST,)) == [request]
    assert await claimed(outbox, now=NOON + LEASE, only=frozenset({DeliveryKind.EVENT, DeliveryKind.REPLY})) == [
        event,
        reply,
    ]
    assert await claimed(outbox, now=NOON + LEASE) == [request]


# ------------------------------------------------------------------------------------------------------ order


async def test_only_the_oldest_of_an_object_is_claimed(outbox: Outbox) -> None:
    """A ticket must not be closed at the partner before it was created there (G4)."""
    first = await outbox.enqueue(a_delivery("a"))
    second = await outbox.enqueue(a_delivery("a"))
    other = await outbox.enqueue(a_delivery("b"))
    elsewhere = await outbox.enqueue(a_delivery("a", partner="CRM"))
    assert await claimed(outbox) == [first, other]
    assert await claimed(outbox, partner="CRM") == [elsewhere]
    await fail(outbox, first)
    assert await claimed(outbox) == []
    assert await claimed(outbox, now=LATER) == [first, other]
    assert await outbox.succeed([(first, 2)], now=LATER)
    assert await claimed(outbox, now=LATER) == [second]


async def test_one_of_several_objects_waits_for_all_of_them(outbox: Outbox) -> None:
    """An event on two tickets goes neither before the news of the one nor before that of the other."""
    a = await outbox.enqueue(a_delivery("a"))
    b = await outbox.enqueue(a_delivery("b"))
    both = await outbox.enqueue(a_delivery("a", "b"))
    behind = await outbox.enqueue(a_delivery("b", "c"))
    c = await outbox.enqueue(a_delivery("c"))
    heads = [(await loaded(outbox, number)).is_head for number in (a, b, both, behind, c)]
    assert heads == [True, True, False, False, False]
    assert await claimed(outbox) == [a, b]
    assert await outbox.succeed([(b, 1)], now=NOON)
    assert await claimed(outbox) == []
    assert await outbox.succeed([(a, 1)], now=NOON)
    assert await claimed(outbox) == [both]
    assert await outbox.succeed([(both, 1)], now=NOON)
    assert await claimed(outbox) == [behind]
    assert await outbox.succeed([(behind, 1)], now=NOON)
    assert await claimed(outbox) == [c]


async def test_one_without_objects_waits_for_nobody(outbox: Outbox) -> None:
    """What is about nothing in particular is held up by nothing, and holds up nothing."""
    numbers = [await outbox.enqueue(msgspec.structs.replace(a_delivery(), object_keys=())) for _ in range(3)]
    assert await claimed(outbox) == numbers


async def test_the_urgent_first_then_the_oldest(outbox: Outbox) -> None:
    """A gas leak overtakes meter readings, in delivery too; but never the news before it on its own object (G8)."""
    normal = await outbox.enqueue(a_delivery("a"))
    life = await outbox.enqueue(a_delivery("b", priority=Priority.LIFE_SUPPORT))
    hazards = [await outbox.enqueue(a_delivery(key, priority=Priority.HAZARD)) for key in ("c", "d")]
    behind = await outbox.enqueue(a_delivery("a", priority=Priority.HAZARD))
    assert await claimed(outbox, limit=3) == [*hazards, life]
    assert await claimed(outbox) == [normal]
    await outbox.succeed([(normal, 1)], now=NOON)
    assert await claimed(outbox) == [behind]


async def test_an_urgent_retry_goes_before_what_was_never_tried(outbox: Outbox) -> None:
    """That a first attempt failed makes a danger no smaller."""
    hazard = await outbox.enqueue(a_delivery("a", priority=Priority.HAZARD))
    assert await claimed(outbox) == [hazard]
    await fail(outbox, hazard)
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(3)]
    assert await claimed(outbox, now=LATER, limit=2) == [hazard, numbers[0]]


async def test_a_pause_holds_up_its_object_and_nothing_else(outbox: Outbox) -> None:
    """Other objects go on while one is tried again and again (G4)."""
    stuck = await outbox.enqueue(a_delivery("a"))
    behind = await outbox.enqueue(a_delivery("a"))
    free = await outbox.enqueue(a_delivery("b"))
    assert await claimed(outbox, limit=1) == [stuck]
    await fail(outbox, stuck)
    assert await claimed(outbox) == [free]
    assert not (await loaded(outbox, behind)).is_head


# ------------------------------------------------------------------------------------------------ dead letters


async def test_a_dead_letter_has_its_reason_and_holds_up_nothing(outbox: Outbox) -> None:
    """What the partner will never take must not dam up what follows."""
    first = await outbox.enqueue(a_delivery())
    second = await outbox.enqueue(a_delivery())
    await claimed(outbox)
    assert await outbox.bury(first, 1, now=LATER, reason="2.5 unknown noun", received=b"<no/>")
    dead = await loaded(outbox, first)
    assert (dead.state, dead.reason, dead.received) == (DeliveryState.DEAD, "2.5 unknown noun", b"<no/>")
    assert await claimed(outbox) == [second]


async def test_a_dead_letter_is_settled_by_an_answer_and_nothing_else_is(outbox: Outbox) -> None:
    """What the partner has answered after all is delivered, and no operator sends it again."""
    number = await outbox.enqueue(a_delivery())
    assert not await outbox.settle(number, now=NOON, reason="x")
    assert await claimed(outbox) == [number]
    assert not await outbox.settle(number, now=NOON, reason="x")
    assert await outbox.bury(number, 1, now=NOON, reason="no answer", received=b"")
    assert await outbox.settle(number, now=LATER, reason="answered")
    settled = await loaded(outbox, number)
    assert (settled.state, settled.reason, settled.due_at) == (DeliveryState.DELIVERED, "answered", LATER)
    assert not await outbox.settle(number, now=LATER, reason="x")
    assert not await outbox.resend(number, now=LATER)
    assert not await outbox.discard(number, now=LATER, reason="x")
    assert not await outbox.settle(99, now=LATER, reason="x")
    assert await outbox.remove_ended(LATER + timedelta(seconds=1), limit=10) == 1


async def test_an_operator_sends_again_or_discards_dead_letters_only(outbox: Outbox) -> None:
    """And a delivery sent again has all its attempts."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(2)]
    assert not await outbox.resend(numbers[0], now=NOON)
    assert not await outbox.discard(numbers[0], now=NOON, reason="x")
    for number in await claimed(outbox):
        await bury(outbox, number)
    assert await outbox.resend(numbers[0], now=LATER)
    assert await outbox.discard(numbers[1], now=LATER, reason="obsolete")
    again, discarded = await loaded(outbox, numbers[0]), await loaded(outbox, numbers[1])
    assert (again.state, again.due_at, again.attempts_before) == (DeliveryState.WAITING, LATER, 1)
    assert (discarded.state, discarded.reason) == (DeliveryState.DISCARDED, "obsolete")
    assert not await outbox.resend(numbers[1], now=LATER)
    assert not await outbox.resend(99, now=LATER)
    assert await claimed(outbox, now=LATER) == [numbers[0]]


async def test_what_is_sent_again_goes_before_younger_ones_of_its_objects(outbox: Outbox) -> None:
    """A ticket whose creation was given up is created at the partner before it is changed there."""
    first = await outbox.enqueue(a_delivery("a", "b"))
    assert await claimed(outbox) == [first]
    await bury(outbox, first)
    a = await outbox.enqueue(a_delivery("a"))
    b = await outbox.enqueue(a_delivery("b"))
    assert await outbox.resend(first, now=NOON)
    assert [(await loaded(outbox, number)).is_head for number in (first, a, b)] == [True, False, False]
    assert await claimed(outbox) == [first]
    assert await outbox.succeed([(first, 2)], now=NOON)
    assert await claimed(outbox) == [a, b]


async def test_what_is_sent_again_waits_for_older_ones_of_its_objects(outbox: Outbox) -> None:
    """Order among several that are sent again is theirs, whichever the operator chose first."""
    numbers = [await outbox.enqueue(a_delivery()) for _ in range(3)]
    for number in numbers:
        assert await claimed(outbox) == [number]
        await bury(outbox, number)
    for number in reversed(numbers):
        assert await outbox.resend(number, now=NOON)
    for number in numbers:
        assert await claimed(outbox) == [number]
        assert await outbox.succeed([(number, 2)], now=NOON)


async def test_what_is_sent_again_waits_for_a_younger_one_that_has_begun(outbox: Outbox) -> None:
    """Two messages on one object are never under way at once; the younger goes behind when its attempt fails."""
    first = await outbox.enqueue(a_delivery("a"))
    await claimed(outbox)
    await bury(outbox, first)
    younger = await outbox.enqueue(a_delivery("a"))
    assert await claimed(outbox) == [younger]
    assert await outbox.resend(first, now=NOON)
    assert await claimed(outbox) == []
    await fail(outbox, younger, due_at=NOON)
    assert await claimed(outbox) == [first]
    assert await outbox.succeed([(first, 2)], now=NOON)
    assert await claimed(outbox) == [younger]


async def test_what_is_sent_again_waits_for_no_lease_that_ran_out(outbox: Outbox) -> None:
    """Whoever had the younger one is gone; the older goes first, and the younger behind it."""
    first = await outbox.enqueue(a_delivery("a"))
    await claimed(outbox)
    await bury(outbox, first)
    younger = await outbox.enqueue(a_delivery("a"))
    assert await claimed(outbox) == [younger]
    assert await outbox.resend(first, now=NOON)
    assert await claimed(outbox, now=NOON + LEASE) == [first]
    assert await claimed(outbox, now=NOON + LEASE) == []
    assert await outbox.succeed([(first, 2)], now=LATER)
    assert await claimed(outbox, now=NOON + LEASE) == [younger]


# --------------------------------------------------------------------------------------------- awaited replies


async def test_a_request_that_awaits_its_reply_holds_up_nothing(outbox: Outbox) -> None:
    """The partner has it, and may take days to answer."""
    request = await outbox.enqueue(a_delivery(kind=DeliveryKind.REQUEST))
    behind = await outbox.enqueue(a_delivery())
    await claimed(outbox)
    assert await outbox.wait_for_reply(request, 1, until=LATER)
    awaiting = await loaded(outbox, request)
    assert (awaiting.state, awaiting.due_at) == (DeliveryState.AWAITING, LATER)
    assert await claimed(outbox) == [behind]
    assert await outbox.find_awaiting(7) == awaiting
    assert await outbox.find_awaiting(8) is None


async def test_a_reply_ends_what_awaits_it_once(outbox: Outbox) -> None:
    """The second of two replies finds nobody who waits for it."""
    request = await outbox.enqueue(a_delivery(kind=DeliveryKind.REQUEST))
    await claimed(outbox)
    assert not await outbox.answer(request, now=LATER)
    assert await outbox.wait_for_reply(request, 1, until=LATER)
    assert await outbox.answer(request, now=LATER)
    answered = await loaded(outbox, request)
    assert (answered.state, answered.due_at) == (DeliveryState.DELIVERED, LATER)
    assert not await outbox.answer(request, now=LATER)
    assert await outbox.find_awaiting(7) is None


async def test_who_awaits_a_reply_in_vain_becomes_a_dead_letter(outbox: Outbox) -> None:
    """And can be sent again from there, in its place before younger ones."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(3)]
    await claimed(outbox)
    for number, seconds in zip(numbers, (30, 20, 61), strict=True):
        assert await outbox.wait_for_reply(number, 1, until=NOON + timedelta(seconds=seconds))
    first, second = await outbox.expire(now=LATER, reason="no reply", limit=10)
    assert (first.number, second.number) == (numbers[1], numbers[0])
    assert (first.state, first.reason, first.due_at) == (DeliveryState.DEAD, "no reply", LATER)
    assert await loaded(outbox, numbers[1]) == first
    assert await outbox.expire(now=LATER, reason="no reply", limit=10) == ()
    younger = await outbox.enqueue(a_delivery("1"))
    assert await outbox.resend(numbers[1], now=LATER)
    assert await claimed(outbox, now=LATER) == [numbers[1]]
    assert await outbox.succeed([(numbers[1], 2)], now=LATER)
    assert await claimed(outbox, now=LATER) == [younger]


async def test_no_more_than_the_limit_expires_at_once(outbox: Outbox) -> None:
    """After a long stop the first transactions are as short as all others."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(3)]
    await claimed(outbox)
    for number in numbers:
        await outbox.wait_for_reply(number, 1, until=NOON)
    assert [one.number for one in await outbox.expire(now=LATER, reason="", limit=2)] == numbers[:2]
    assert [one.number for one in await outbox.expire(now=LATER, reason="", limit=2)] == numbers[2:]


# --------------------------------------------------------------------------------------------------- abandoned


async def abandoned(outbox: Outbox, *, partner: str = "GIS", limit: int = 100, **wanted: object) -> list[int]:
    found = await outbox.abandon(partner, now=LATER, reason="abandoned: gone", limit=limit, **wanted)
    assert all((one.state, one.due_at, one.is_head) == (DeliveryState.DEAD, LATER, True) for one in found)
    for one in found:
        assert await outbox.find(one.number) == one
    return [one.number for one in found]


async def test_what_waits_or_awaits_is_abandoned_and_what_is_being_sent_is_not(outbox: Outbox) -> None:
    """A destination that is gone must not hold up alarms for ever, and nobody is robbed of what he has in hand."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(6)]
    failed, awaiting, delivered, dead, stranded, leased = numbers
    assert await claimed(outbox, limit=5) == numbers[:5]
    assert await outbox.fail(failed, 1, due_at=LATER, reason="no answer", received=b"<late/>")
    assert await outbox.wait_for_reply(awaiting, 1, until=LATER)
    await outbox.succeed([(delivered, 1)], now=NOON)
    await bury(outbox, dead)
    assert [one.number for one in await outbox.claim("GIS", now=NOON, until=LATER + LEASE, limit=1)] == [leased]
    fresh = await outbox.enqueue(a_delivery("fresh"))
    elsewhere = await outbox.enqueue(a_delivery(partner="CRM"))
    assert await abandoned(outbox) == [failed, awaiting, stranded, fresh]
    kept = await loaded(outbox, failed)
    assert (kept.reason, kept.received, kept.attempts) == ("abandoned: gone", b"<late/>", 1)
    assert not await outbox.succeed([(stranded, 1)], now=LATER)
    assert not await outbox.answer(awaiting, now=LATER)
    assert await outbox.find_awaiting(7) is None
    assert await outbox.expire(now=LATER, reason="", limit=10) == ()
    assert await abandoned(outbox) == []
    assert await claimed(outbox, now=LATER) == []
    assert (await loaded(outbox, dead)).reason == "gave up"
    assert (await loaded(outbox, elsewhere)).state is DeliveryState.WAITING
    assert await outbox.succeed([(leased, 1)], now=LATER)


async def test_only_what_matches_is_abandoned_and_no_more_than_the_limit(outbox: Outbox) -> None:
    """Small transactions, each going on behind the one before."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(4)]
    incident = await outbox.enqueue(a_delivery("i", noun="Incidents"))
    late = await outbox.enqueue(a_delivery("l", created_at=LATER))
    assert await abandoned(outbox, noun="Incidents", after=incident) == []
    assert await abandoned(outbox, noun="Incidents") == [incident]
    assert await abandoned(outbox, before=NOON - timedelta(microseconds=1)) == []
    assert await abandoned(outbox, before=NOON, after=numbers[0], limit=2) == numbers[1:3]
    assert await abandoned(outbox, before=NOON) == [numbers[0], numbers[3]]
    assert await abandoned(outbox, partner="nobody") == []
    assert await abandoned(outbox) == [late]


async def test_who_stood_behind_what_is_abandoned_goes_next(outbox: Outbox) -> None:
    """Also behind several, of several objects, in one step."""
    first = await outbox.enqueue(a_delivery("a", "b", noun="Incidents"))
    second = await outbox.enqueue(a_delivery("b", "a", noun="Incidents"))
    other = await outbox.enqueue(a_delivery("c"))
    free = await outbox.enqueue(a_delivery("a"))
    held = await outbox.enqueue(a_delivery("b", "c"))
    assert await abandoned(outbox, noun="Incidents") == [first, second]
    heads = [(await loaded(outbox, number)).is_head for number in (other, free, held)]
    assert heads == [True, True, False]
    assert await claimed(outbox) == [other, free]
    assert await outbox.succeed([(other, 1)], now=NOON)
    assert await claimed(outbox) == [held]


async def test_what_was_abandoned_is_sent_again_in_its_order(outbox: Outbox) -> None:
    """The destination may come back after all."""
    numbers = [await outbox.enqueue(a_delivery()) for _ in range(3)]
    assert await abandoned(outbox, limit=2) == numbers[:2]
    for number in reversed(numbers[:2]):
        assert await outbox.resend(number, now=NOON)
    for number in numbers:
        assert await claimed(outbox) == [number]
        assert await outbox.succeed([(number, 1)], now=NOON)


# --------------------------------------------------------------------------------------------------- looking


async def test_deliveries_are_selected_by_page_and_filter(outbox: Outbox) -> None:
    """An operator looks for those of one partner, state, noun or time."""
    one = await outbox.enqueue(a_delivery("a"))
    two = await outbox.enqueue(a_delivery(partner="CRM", noun="Incidents", created_at=LATER, cause=4))
    three = await outbox.enqueue(a_delivery("c", created_at=LATER, message=8, verb="closed"))
    four = await outbox.enqueue(a_delivery("d", created_at=LATER))
    assert await claimed(outbox, limit=1) == [one]
    assert await claimed(outbox, now=LATER, limit=1, partner="CRM") == [two]
    await outbox.bury(two, 1, now=NOON, reason="", received=b"")
    assert await claimed(outbox, now=LATER) == [one, three, four]
    await outbox.succeed([(four, 1)], now=NOON)

    async def numbers(**wanted: object) -> list[int]:
        selection = msgspec.structs.replace(DeliverySelection(), **wanted)
        return [delivery.number for delivery in await outbox.select(selection)]

    waits = (DeliveryState.WAITING, DeliveryState.LEASED)
    assert await numbers() == [one, two, three, four]
    assert await numbers(after=one, limit=1) == [two]
    assert await numbers(partner="GIS") == [one, three, four]
    assert await numbers(noun="Incidents") == [two]
    assert await numbers(verb="closed") == [three]
    assert await numbers(before=NOON) == [one]
    assert await numbers(since=LATER) == [two, three, four]
    assert await numbers(message=8) == [three]
    assert await numbers(cause=3) == [one, three, four]
    assert await numbers(cause=3, states=(DeliveryState.DELIVERED,)) == [four]
    assert await numbers(states=waits) == [one, three]
    assert await numbers(states=(DeliveryState.WAITING,)) == []
    assert await numbers(states=(DeliveryState.DEAD, *waits)) == [one, two, three]
    assert await numbers(states=(DeliveryState.DEAD, *waits), limit=2) == [one, two]
    assert await numbers(states=waits, partner="GIS", after=one) == [three]
    assert await numbers(states=waits, partner="GIS", noun="TroubleTickets", since=LATER) == [three]
    assert await numbers(states=(DeliveryState.DEAD,), partner="GIS") == []
    assert await numbers(states=(DeliveryState.DELIVERED, DeliveryState.LEASED)) == [one, three, four]
    assert await numbers(states=(DeliveryState.AWAITING,)) == []
    assert await numbers(newest_first=True) == [four, three, two, one]
    assert await numbers(newest_first=True, after=three, limit=1) == [two]
    assert await numbers(newest_first=True, cause=3) == [four, three, one]
    assert await numbers(newest_first=True, partner="GIS", after=four) == [three, one]
    assert await numbers(newest_first=True, states=(DeliveryState.DEAD, *waits)) == [three, two, one]
    assert await numbers(newest_first=True, states=(DeliveryState.DEAD, *waits), after=three, limit=1) == [two]
    assert await numbers(newest_first=True, states=waits, partner="GIS", after=three) == [one]


async def test_backlogs_count_what_has_not_arrived(outbox: Outbox) -> None:
    """The figures behind the metrics and their alarms."""
    assert await outbox.backlogs() == ()
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(4)]
    await outbox.enqueue(a_delivery(partner="CRM", created_at=LATER))
    await outbox.enqueue(a_delivery("x", created_at=LATER))
    await claimed(outbox, limit=3)
    await outbox.succeed([(numbers[0], 1)], now=NOON)
    await outbox.bury(numbers[1], 1, now=NOON, reason="x", received=b"")
    await outbox.wait_for_reply(numbers[2], 1, until=LATER)
    assert await outbox.backlogs() == (
        Backlog(partner="CRM", waiting=1, awaiting=0, dead=0, oldest_at=LATER),
        Backlog(partner="GIS", waiting=2, awaiting=1, dead=1, oldest_at=NOON),
    )
    assert await claimed(outbox, limit=1) == [numbers[3]]
    await outbox.bury(numbers[3], 1, now=NOON, reason="x", received=b"")
    assert (await outbox.backlogs())[1].oldest_at == LATER
    assert await claimed(outbox, now=LATER, partner="CRM") != []
    (crm,) = await outbox.select(DeliverySelection(partner="CRM"))
    await bury(outbox, crm.number)
    assert (await outbox.backlogs())[0] == Backlog(partner="CRM", waiting=0, awaiting=0, dead=1, oldest_at=None)


async def test_open_ones_are_counted_by_when_they_were_put_in(outbox: Outbox) -> None:
    """The ledger of an hour balances against them, whatever hour it is now (G7)."""
    hour = NOON.replace(minute=0, second=0, microsecond=0)
    next_hour = hour + timedelta(hours=1)
    before = await outbox.enqueue(a_delivery("a", created_at=hour - timedelta(microseconds=1)))
    numbers = [await outbox.enqueue(a_delivery(str(n), created_at=hour)) for n in range(5)]
    await outbox.enqueue(a_delivery("b", created_at=next_hour))
    await outbox.enqueue(a_delivery("a", partner="CRM", created_at=hour))
    assert await outbox.count_open("GIS", hour, next_hour) == 5
    assert await claimed(outbox) == [before, *numbers]
    assert await outbox.count_open("GIS", hour, next_hour) == 5
    await outbox.succeed([(numbers[0], 1)], now=NOON)
    await outbox.bury(numbers[1], 1, now=NOON, reason="", received=b"")
    await outbox.wait_for_reply(numbers[2], 1, until=LATER)
    await outbox.fail(numbers[3], 1, due_at=LATER, reason="", received=b"")
    assert await outbox.count_open("GIS", hour, next_hour) == 3
    assert await outbox.count_open("nobody", hour, next_hour) == 0


async def test_ended_ones_are_forgotten_from_the_oldest_on(outbox: Outbox) -> None:
    """Retention takes what was delivered or discarded before an instant, and never anything that lives (G9)."""
    numbers = [await outbox.enqueue(a_delivery(str(number))) for number in range(7)]
    delivered, late, discarded, dead, awaiting, leased = numbers[:6]
    await claimed(outbox, limit=6)
    await outbox.succeed([(delivered, 1)], now=NOON)
    await outbox.succeed([(late, 1)], now=LATER)
    for number in (discarded, dead):
        await bury(outbox, number)
    await outbox.discard(discarded, now=NOON + timedelta(seconds=1), reason="")
    await outbox.wait_for_reply(awaiting, 1, until=NOON)
    assert await outbox.remove_ended(LATER, limit=1) == 1
    assert await outbox.find(delivered) is None
    assert await outbox.find(discarded) is not None
    assert await outbox.remove_ended(LATER, limit=10) == 1
    assert await outbox.remove_ended(LATER, limit=10) == 0
    left = [delivery.number for delivery in await outbox.select(DeliverySelection())]
    assert left == [late, dead, awaiting, leased, numbers[6]]
    assert await outbox.enqueue(a_delivery()) > numbers[6]


# ------------------------------------------------------------------------------------------- together, at length


async def test_what_was_undone_was_never_put_in_claimed_or_ended(store: Store) -> None:
    """Places in the order come back with what was undone."""
    async with store.transaction() as transaction:
        outbox = transaction.outbox
        first, second = [await outbox.enqueue(a_delivery()) for _ in range(2)]
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                assert await claimed(outbox) == [first]
                assert await outbox.succeed([(first, 1)], now=NOON)
                assert await claimed(outbox) == [second]
                await outbox.enqueue(a_delivery())
                raise LookupError("on purpose")
        assert [one.state for one in await outbox.select(DeliverySelection())] == [DeliveryState.WAITING] * 2
        assert [one.is_head for one in await outbox.select(DeliverySelection())] == [True, False]
        assert await claimed(outbox) == [first]
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            assert await transaction.outbox.succeed([(first, 1)], now=NOON)
            raise LookupError("on purpose")
    found = await store.reader.outbox.find(first)
    assert found is not None
    assert found.state is DeliveryState.LEASED
    async with store.transaction() as transaction:
        assert await claimed(transaction.outbox) == []
        assert await claimed(transaction.outbox, now=NOON + LEASE) == [first]


@pytest.mark.parametrize("seed", range(12))
async def test_any_course_of_events_keeps_the_order(outbox: Outbox, seed: int) -> None:
    """Held against the plain rule, row by row: who is the oldest of its objects, and who may be claimed."""
    chance = random.Random(seed)
    now = NOON
    for _ in range(250):
        rows = await outbox.select(DeliverySelection(limit=10_000))
        one = chance.choice(rows) if rows else None
        match chance.randrange(11):
            case 0 | 1 | 2:
                keys = tuple(chance.choices("abcd", k=chance.randrange(4)))
                new = a_delivery(priority=chance.choice(list(Priority)), kind=chance.choice(CARRIED), created_at=now)
                partner = chance.choice(["GIS", "CRM"])
                await outbox.enqueue(msgspec.structs.replace(new, object_keys=keys, partner=partner))
            case 3 | 4:
                partner = chance.choice(["GIS", "CRM"])
                expected = claimable(rows, partner, now)
                limit = chance.choice([1, 3, 100])
                found = await claimed(outbox, now=now, partner=partner, limit=limit)
                if limit == 100:
                    assert found == expected
                else:
                    assert len(found) == min(limit, len(expected))
                    assert set(found) <= set(expected)
            case 5 if one is not None:
                await outbox.succeed([(one.number, one.attempts)], now=now)
                await outbox.answer(one.number, now=now)
            case 6 if one is not None:
                pause = timedelta(seconds=chance.randrange(60))
                await outbox.fail(one.number, one.attempts, due_at=now + pause, reason="", received=b"")
                await outbox.resend(one.number, now=now)
            case 7 if one is not None:
                await outbox.bury(one.number, one.attempts, now=now, reason="", received=b"")
            case 8 if one is not None:
                await outbox.wait_for_reply(one.number, one.attempts, until=now + LEASE)
                await outbox.expire(now=now, reason="", limit=1)
            case 9 if one is not None and chance.random() < 0.3:
                bounds = one.partner, one.created_at, chance.choice([0, one.number])
                limit = chance.choice([1, 3, 100])
                gone = await outbox.abandon(
                    bounds[0], now=now, reason="", before=bounds[1], after=bounds[2], limit=limit
                )
                assert [each.number for each in gone] == abandonable(rows, *bounds, now)[:limit]
            case 10 if one is not None:
                await outbox.give_back([(one.number, one.attempts)], now=now)
        now += timedelta(seconds=chance.randrange(20))
        assert_order(await outbox.select(DeliverySelection(limit=10_000)))


_OPEN = frozenset({DeliveryState.WAITING, DeliveryState.LEASED})


def share(one: Delivery, other: Delivery) -> bool:
    return one.partner == other.partner and not set(one.object_keys).isdisjoint(other.object_keys)


def assert_order(rows: tuple[Delivery, ...]) -> None:
    waiting = [row for row in rows if row.state in _OPEN]
    for row in waiting:
        older = [other.number for other in waiting if other.number < row.number and share(row, other)]
        assert row.is_head == (not older), f"{row.number} stands behind {older}"


def claimable(rows: tuple[Delivery, ...], partner: str, now: object) -> list[int]:
    """All that may be claimed, by the plain rule."""
    waiting = [row for row in rows if row.partner == partner and row.state in _OPEN]
    found = [
        row
        for row in waiting
        if row.due_at <= now
        and not any(share(row, other) and other.number < row.number for other in waiting)
        and not any(
            share(row, other) and other.number != row.number and other.state is DeliveryState.LEASED
            and other.due_at > now
            for other in waiting
        )
    ]  # fmt: skip
    return [row.number for row in sorted(found, key=lambda row: (-row.priority, row.number))]


def abandonable(rows: tuple[Delivery, ...], partner: str, before: object, after: int, now: object) -> list[int]:
    """All that may be abandoned, by the plain rule."""
    return [
        row.number
        for row in rows
        if row.partner == partner and row.created_at <= before and row.number > after
        and (row.state in (DeliveryState.WAITING, DeliveryState.AWAITING)
             or (row.state is DeliveryState.LEASED and row.due_at <= now))
    ]  # fmt: skip


@pytest.mark.parametrize("keys", ["one", "each"])
async def test_a_step_costs_the_same_however_many_wait(store: Store, keys: str) -> None:
    """With 100,000 pending the first delivery leaves as quickly as with ten (G6)."""

    async def put_in(number_of: int) -> None:
        async with store.transaction() as transaction:
            for number in range(number_of):
                await transaction.outbox.enqueue(a_delivery("k" if keys == "one" else f"k{number}"))

    async def deliver() -> None:
        async with store.transaction() as transaction:
            (delivery,) = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=1)
            assert await transaction.outbox.fail(delivery.number, 1, due_at=LATER, reason="", received=b"")
            assert len(await transaction.outbox.claim("GIS", now=LATER, until=LATER + LEASE, limit=1)) == 1
            selection = DeliverySelection(partner="GIS", states=(DeliveryState.LEASED,), limit=1)
            (delivery,) = await transaction.outbox.select(selection)
            assert await transaction.outbox.succeed([(delivery.number, delivery.attempts)], now=LATER)
            assert len(await transaction.outbox.abandon("GIS", now=LATER, reason="", limit=1)) == 1

    await put_in(20)
    few = await steps_of(store, deliver)
    await put_in(100_000)
    many = await steps_of(store, deliver)
    assert many <= 1.5 * few
