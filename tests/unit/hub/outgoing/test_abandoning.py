"""Abandoning a destination: what was for it is an operator's again, with its counts, its row and word to who waits."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.booking import book_put, book_resent
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState
from cimcare.exchange.store import Store
from cimcare.hub.operation.balance import balances
from cimcare.hub.outgoing import abandoning
from cimcare.hub.outgoing.abandoning import Abandonable, abandon, count_abandonable
from cimcare.model.envelope import ResponseMessage, Result
from cimcare.store.opening import open_store
from tests.support.sender import silent
from tests.support.stored import NOON, a_delivery, an_entry
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create
from tests.unit.hub.test_forwarding import OMS, asynchronous, codes_of, opened

NOW = NOON + timedelta(hours=5)
GIS = DeliverySelection(partner="gis")


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = await open_store("memory:")
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and transactions of a few, so that a few deliveries need several."""
    monkeypatch.setattr(abandoning, "_PAGE", 3)
    monkeypatch.setattr(abandoning, "_BATCH", 4)


async def put(store: Store, count: int = 1, *, partner: str = "gis", raw: bytes = b"<m/>", **changes: object) -> None:
    """Put deliveries in, with the message that led to each."""
    for place in range(count):
        async with store.transaction() as transaction:
            entry = an_entry(transport=Transport.REST_XML, verb="create", noun="TroubleTickets")
            sequence = await transaction.log.append(entry, raw)
            new = a_delivery(f"{partner} {sequence} {place}", partner=partner, message=sequence, cause=sequence)
            await book_put(transaction, msgspec.structs.replace(new, **changes))


async def claim(store: Store, count: int, *, minutes: float) -> tuple[Delivery, ...]:
    """Lease some from noon on."""
    async with store.transaction() as transaction:
        return await transaction.outbox.claim("gis", now=NOON, until=NOON + timedelta(minutes=minutes), limit=count)


async def go(store: Store, wanted: DeliverySelection = GIS, *, reason: str = "gone for good") -> list[list[int]]:
    """Abandon; the numbers of each batch."""
    ids = iter(range(1, 1000))
    done = abandon(store, wanted, actor="ann", reason=reason, clock=lambda: NOW, new_id=lambda: f"id-{next(ids)}")
    return [[one.number for one in batch] async for batch in done]


async def deliveries(store: Store, partner: str = "") -> tuple[Delivery, ...]:
    return await store.reader.outbox.select(DeliverySelection(partner=partner, limit=1000))


async def states(store: Store, partner: str = "gis") -> list[str]:
    return [one.state.value for one in await deliveries(store, partner)]


async def acts(store: Store) -> list[AuditRow]:
    """Rows of the trail that tell of what operators did."""
    return [row for row in await store.reader.audit.rows() if row.action is not Action.MESSAGES]


async def sums(store: Store) -> tuple[int, int, int, int]:
    """Received, waiting, dead and missing over all hours and partners."""
    found = [one for one in await balances(store.reader, NOON - timedelta(hours=1), NOW) if one.line.partner == "gis"]
    return (
        sum(one.line.received for one in found),
        sum(one.waiting for one in found),
        sum(one.line.dead for one in found),
        sum(abs(one.missing) for one in found),
    )


async def backlog(store: Store) -> tuple[int, int, int]:
    (found,) = [one for one in await store.reader.outbox.backlogs() if one.partner == "gis"]
    return found.waiting, found.awaiting, found.dead


async def test_what_was_for_a_destination_becomes_dead_letters(store: Store) -> None:
    """The queue of one that is gone ends, the ledger balances, and the trail says who did it and why (G7, G10)."""
    await put(store, 3)
    await put(store, partner="crm")
    first, _ = await claim(store, 2, minutes=1)
    async with store.transaction() as transaction:
        assert await transaction.outbox.wait_for_reply(first.number, 1, until=NOON)
    assert await backlog(store) == (2, 1, 0)
    assert await sums(store) == (3, 3, 0, 0)
    assert await go(store) == [[1, 2, 3]]
    assert await backlog(store) == (0, 0, 3)
    assert await sums(store) == (3, 0, 3, 0)
    assert [(one.reason, one.due_at) for one in await deliveries(store, "gis")] == [
        ("abandoned: gone for good", NOW)
    ] * 3
    (row,) = await acts(store)
    assert (row.action, row.actor, row.at) == (Action.ABANDON, "ann", NOW)
    assert (row.subject, row.details) == ("deliveries to gis", "1-3: gone for good")
    assert await states(store, "crm") == ["waiting"]
    assert await go(store) == []
    assert len(await acts(store)) == 1, "where nothing was done there is nothing to tell"


async def test_what_was_abandoned_may_be_sent_again(store: Store) -> None:
    """It goes on as with every dead letter."""
    await put(store)
    await go(store)
    async with store.transaction() as transaction:
        assert await book_resent(transaction, 1, now=NOW)
    assert await states(store) == ["waiting"]
    assert await sums(store) == (1, 1, 0, 0)


async def test_what_is_being_sent_is_left_alone(store: Store) -> None:
    """The partner may have it by now; whoever sends it says what came of it."""
    await put(store, 5)
    await claim(store, 1, minutes=1)
    await claim(store, 1, minutes=600)
    assert await count_abandonable(store.reader.outbox, GIS, lambda: NOW) == Abandonable(
        waiting=4, awaiting=0, leased=1
    )
    assert await go(store) == [[1, 3, 4, 5]]
    assert await states(store) == ["dead", "leased", "dead", "dead", "dead"]
    assert await count_abandonable(store.reader.outbox, GIS, lambda: NOW) == Abandonable(
        waiting=0, awaiting=0, leased=1
    )


async def test_many_are_done_in_small_transactions(store: Store) -> None:
    """A hub that takes messages meanwhile must not wait for ten thousand of them."""
    await put(store, 10)
    assert await go(store) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert [row.details for row in await acts(store)] == [
        "1-4: gone for good",
        "5-8: gone for good",
        "9-10: gone for good",
    ]
    assert await sums(store) == (10, 0, 10, 0)


async def test_stopped_anywhere_nothing_is_half_done(store: Store) -> None:
    """What is done is done with count and row, and what is not is as it was."""
    await put(store, 8)
    batches = abandon(store, GIS, actor="ann", reason="gone", clock=lambda: NOW, new_id=lambda: "id")
    assert len(await anext(batches)) == 4
    await batches.aclose()
    assert await states(store) == ["dead"] * 4 + ["waiting"] * 4
    assert len(await acts(store)) == 1
    assert await sums(store) == (8, 4, 4, 0)
    assert await go(store) == [[5, 6, 7, 8]]


async def test_a_transaction_that_fails_does_nothing_of_it(store: Store) -> None:
    """A disk that is full, or a second Ctrl-C, between the dead letter and the word to who waits."""

    def broken() -> str:
        raise KeyboardInterrupt

    await put(store, kind=DeliveryKind.REQUEST, raw=render_message(asynchronous(a_create())))
    with pytest.raises(KeyboardInterrupt):
        await anext(abandon(store, GIS, actor="ann", reason="gone", clock=lambda: NOW, new_id=broken))
    assert await states(store) == ["waiting"]
    assert await acts(store) == []
    assert await sums(store) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"noun": "Incidents"}, [2]),
        ({"before": NOON}, [1, 2]),
        ({"after": 1}, [2, 3]),
        ({"partner": "nobody"}, []),
    ],
)
async def test_only_what_matches_is_abandoned_and_counted(
    store: Store, wanted: dict[str, object], expected: list[int]
) -> None:
    """What was seen by a look before is what is done."""
    await put(store)
    await put(store, noun="Incidents")
    await put(store, created_at=NOON + timedelta(seconds=1))
    selection = msgspec.structs.replace(GIS, **wanted)
    counted = await count_abandonable(store.reader.outbox, selection, lambda: NOW)
    assert counted == Abandonable(waiting=len(expected), awaiting=0, leased=0)
    assert await go(store, selection) == ([expected] if expected else [])


async def test_who_waits_for_a_later_reply_hears_that_none_comes(store: Store) -> None:
    """Its sender must not wait for ever either (G5)."""
    await put(store, kind=DeliveryKind.REQUEST, raw=render_message(asynchronous(a_create())))
    await go(store, reason="the system was closed down")
    (told,) = await deliveries(store, "reply caller.example")
    assert (told.state, told.kind, told.cause) == (DeliveryState.WAITING, DeliveryKind.REPLY, 1)
    assert told.address == "http://caller.example/replies"
    entry, raw = await store.reader.log.find(told.message), await store.reader.log.find_raw(told.message)
    assert entry is not None
    assert raw is not None
    assert (entry.outcome.value, entry.codes, entry.answer_to) == (Result.FAILED.value, ("4.1",), 1)
    assert b"gis: abandoned: the system was closed down" in raw
    assert await go(store) == [], "a reply that was put in for somebody else is not meant"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (DeliveryKind.REQUEST, render_message(a_create())),
        (DeliveryKind.REQUEST, b"<this is no message"),
        (DeliveryKind.EVENT, render_message(asynchronous(a_create()))),
    ],
    ids=["nobody waits", "unreadable", "an event"],
)
async def test_where_nobody_waits_nobody_is_told(store: Store, kind: DeliveryKind, raw: bytes) -> None:
    """And one message that cannot be read any more keeps no other from its end."""
    await put(store, kind=kind, raw=raw)
    await put(store)
    assert await go(store) == [[1, 2]]
    assert len(await deliveries(store)) == 2


async def test_a_request_that_is_not_in_the_log_any_more_is_abandoned_too(store: Store) -> None:
    """Whatever became of its message."""
    await put(store, kind=DeliveryKind.REQUEST, cause=99)
    assert await go(store) == [[1]]


async def test_a_hub_at_work_delivers_the_word_to_who_waits(tmp_path: Path) -> None:
    """Abandoned beside a hub that runs: its couriers find out by themselves."""
    hub: Delivering = await opened(tmp_path, OMS)
    try:
        hub.sender.answers["oms"] = [silent("nobody there")]
        await hub.ask(asynchronous(a_create()))
        await hub.until_failed("oms", 1)
        wanted = DeliverySelection(partner="oms")
        done = abandon(hub.store, wanted, actor="ann", reason="gone", clock=hub.clock, new_id=hub.new_id)
        assert [len(batch) async for batch in done] == [1]
        assert await hub.states("oms") == [DeliveryState.DEAD]
        await hub.until_state("reply caller.example", DeliveryState.DELIVERED)
        (told,) = hub.sender.to("reply caller.example")
        assert isinstance(told.message, ResponseMessage)
        assert (told.message.header.source, codes_of(told.message)) == (OMS.source, ["4.1"])
        hub.later(hours=25)
        await hub.quiet()
        assert len(hub.sender.to("oms")) == 1, "and nothing of it is tried again"
    finally:
        await hub.hub.close()
