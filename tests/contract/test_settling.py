"""Messages that are passed on: found while they are in work, settled, and forgotten when nobody needs them any more."""

from datetime import timedelta

import pytest

from cimcare.exchange.log import Direction, Expiry, LogSelection, Outcome
from cimcare.exchange.outbox import DeliveryKind
from cimcare.exchange.store import Store
from tests.support.stored import NOON, a_delivery, an_entry

LATER = NOON + timedelta(minutes=1)


async def append(store: Store, *entries: dict[str, object]) -> list[int]:
    async with store.transaction() as transaction:
        return [await transaction.log.append(an_entry(**entry), b"raw") for entry in entries]


# ----------------------------------------------------------------------------------------------------- in work


async def test_what_is_in_work_is_found_from_the_oldest_on(store: Store) -> None:
    """After a restart the hub finds requests whose partner has to be asked again, or given up."""
    in_work = {"verb": "create"}
    first, second, _, _, _, young = await append(
        store,
        in_work,
        in_work,
        in_work | {"outcome": Outcome.OK},
        in_work | {"direction": Direction.OUT},
        in_work | {"repeat_of": 1},
        in_work | {"received_at": LATER},
    )
    log = store.reader.log
    assert [entry.sequence for entry in await log.find_in_work(LATER, 10)] == [first, second]
    assert [entry.sequence for entry in await log.find_in_work(LATER, 1)] == [first]
    after = LATER + timedelta(microseconds=1)
    assert [entry.sequence for entry in await log.find_in_work(after, 10)] == [first, second, young]
    async with store.transaction() as transaction:
        assert await transaction.log.settle(first, Outcome.PARTIAL, ("0.2", "2.15"))
        assert [entry.sequence for entry in await transaction.log.find_in_work(LATER, 10)] == [second]


async def test_an_outcome_is_given_once(store: Store) -> None:
    """Of two that bring the answer the second comes too late, and changes nothing."""
    sequence, judged, out = await append(store, {}, {"outcome": Outcome.OK}, {"direction": Direction.OUT})
    async with store.transaction() as transaction:
        assert await transaction.log.settle(sequence, Outcome.PARTIAL, ("0.2", "2.15"))
        assert not await transaction.log.settle(sequence, Outcome.FAILED)
        assert not await transaction.log.settle(judged, Outcome.FAILED)
        assert not await transaction.log.settle(out, Outcome.OK)
        assert not await transaction.log.settle(99, Outcome.OK)
    found = await store.reader.log.select(LogSelection())
    assert [entry.outcome for entry in found] == [Outcome.PARTIAL, Outcome.OK, Outcome.NONE]
    assert found[0] == an_entry(sequence=sequence, outcome=Outcome.PARTIAL, codes=("0.2", "2.15"))
    assert await store.reader.log.find_raw(sequence) == b"raw"


async def test_an_outcome_that_was_undone_was_not_given(store: Store) -> None:
    """What the message waits for can still come."""
    (sequence,) = await append(store, {})
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            assert await transaction.log.settle(sequence, Outcome.OK)
            raise LookupError("on purpose")
    assert [entry.sequence for entry in await store.reader.log.find_in_work(LATER, 10)] == [sequence]
    async with store.transaction() as transaction:
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                assert await transaction.log.settle(sequence, Outcome.OK)
                raise LookupError("on purpose")
        assert await transaction.log.settle(sequence, Outcome.FAILED)


async def test_original_in_work_stands_in_where_none_was_accepted(store: Store) -> None:
    """A repeat of a request that is being passed on joins it, and is not passed on a second time (G2)."""
    mine = {"partner": "A", "message_id": "1"}
    _, _, last, *_ = await append(
        store,
        mine | {"outcome": Outcome.FAILED},
        mine,
        mine,
        mine | {"repeat_of": 1},
        mine | {"partner": "B"},
        mine | {"message_id": "2"},
        mine | {"direction": Direction.OUT},
    )
    async with store.transaction() as transaction:
        for log in (transaction.log, store.reader.log):
            found = await log.find_original("A", "1", NOON)
            assert found is not None
            assert found.sequence == last
            assert await log.find_original("A", "1", LATER) is None
        later = await transaction.log.append(an_entry(**mine, received_at=LATER), b"")
        found = await transaction.log.find_original("A", "1", NOON)
        assert found is not None
        assert found.sequence == later
        await transaction.log.settle(last, Outcome.OK)
        found = await transaction.log.find_original("A", "1", NOON)
        assert found is not None
        assert found.sequence == last


# ---------------------------------------------------------------------------------------------------- expired


async def test_messages_expire_by_age_kind_and_whether_they_were_refused(store: Store) -> None:
    """Each class of messages is kept as long as its rule says."""
    request, event = {"archetype": "RequestMessage"}, {"archetype": "EventMessage"}
    ok, failed = {"outcome": Outcome.OK}, {"outcome": Outcome.FAILED}
    made, told, got, refused, fault, answer, out, young = await append(
        store,
        request | ok | {"verb": "create"},
        event | ok | {"verb": "created"},
        request | ok | {"verb": "get"},
        request | failed | {"verb": "create"},
        {"archetype": "Message", "outcome": Outcome.FAULT},
        failed | {"archetype": "ResponseMessage", "verb": "reply", "direction": Direction.OUT},
        event | {"verb": "created", "direction": Direction.OUT},
        request | ok | {"verb": "create", "received_at": LATER},
    )

    async def expired(*, after: int = 0, limit: int = 100, **rule: object) -> list[int]:
        expiry = Expiry(**({"before": LATER} | rule))
        found = await store.reader.log.find_expired(expiry, after=after, limit=limit)
        async with store.transaction() as transaction:
            assert await transaction.log.find_expired(expiry, after=after, limit=limit) == found
        return list(found)

    assert await expired() == [made, told, got, out]
    assert await expired(refused=True) == [refused, fault, answer]
    assert await expired(verbs=("get", "create")) == [made, got]
    assert await expired(archetypes=("EventMessage",)) == [told, out]
    assert await expired(archetypes=("RequestMessage", "Message"), verbs=("create",), refused=True) == [refused]
    assert await expired(before=NOON) == []
    assert await expired(before=LATER + timedelta(seconds=1)) == [made, told, got, out, young]
    assert await expired(limit=2) == [made, told]
    assert await expired(after=told) == [got, out]


async def test_what_live_or_failed_work_needs_does_not_expire(store: Store) -> None:
    """Clean-up that takes a message which is still to be delivered is what hubs are hated for (G9)."""
    out = {"direction": Direction.OUT, "outcome": Outcome.OK}
    (cause,) = await append(store, {"outcome": Outcome.OK, "archetype": "RequestMessage"})
    told, answer, other, in_work = await append(
        store,
        out | {"archetype": "EventMessage", "answer_to": cause},
        out | {"archetype": "ResponseMessage", "answer_to": cause},
        out | {"archetype": "EventMessage", "answer_to": cause},
        {},
    )
    expiry = Expiry(before=LATER)
    needed = [cause, told, answer]

    async def expired() -> list[int]:
        found = list(await store.reader.log.find_expired(expiry, after=0, limit=100))
        assert in_work not in found
        return found

    async with store.transaction() as transaction:
        number = await transaction.outbox.enqueue(a_delivery(message=told, cause=cause, kind=DeliveryKind.REQUEST))
    assert await expired() == [other]
    async with store.transaction() as transaction:
        await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=1)
    assert await expired() == [other]
    async with store.transaction() as transaction:
        assert await transaction.outbox.wait_for_reply(number, 1, until=LATER)
    assert await expired() == [other]
    async with store.transaction() as transaction:
        assert len(await transaction.outbox.expire(now=LATER, reason="", limit=1)) == 1
    assert await expired() == [other]
    async with store.transaction() as transaction:
        assert await transaction.outbox.discard(number, now=LATER, reason="")
    assert await expired() == sorted([*needed, other])


async def test_a_long_log_is_walked_to_its_end(store: Store) -> None:
    """What may go is found behind thousands that may not, and the walk ends where messages are too young."""
    await append(store, *[{"verb": "create"} for _ in range(2500)])
    found = await append(store, {"outcome": Outcome.OK}, {"outcome": Outcome.OK})
    await append(store, *[{"received_at": LATER, "outcome": Outcome.OK} for _ in range(1500)])
    assert list(await store.reader.log.find_expired(Expiry(before=LATER), after=0, limit=100)) == found


async def test_what_was_removed_is_gone_and_its_number_stays_unused(store: Store) -> None:
    """A number in a ticket never comes to mean another message."""
    numbers = await append(store, {"message_id": "1", "outcome": Outcome.OK}, {}, {"answer_to": 1})
    async with store.transaction() as transaction:
        await transaction.log.remove(numbers[0:1])
        await transaction.log.remove([numbers[2], 99])
        assert await transaction.log.find(numbers[0]) is None
    log = store.reader.log
    assert [entry.sequence for entry in await log.select(LogSelection())] == [numbers[1]]
    assert await log.find_raw(numbers[0]) is None
    assert await log.find_original("", "1", NOON) is None
    assert await log.select(LogSelection(message_id="1")) == ()
    async with store.transaction() as transaction:
        await transaction.log.remove([])
    (again,) = await append(store, {})
    assert again > numbers[2]
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            await transaction.log.remove([numbers[1], again])
            raise LookupError("on purpose")
    assert [entry.sequence for entry in await log.select(LogSelection())] == [numbers[1], again]
