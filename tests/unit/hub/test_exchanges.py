"""Exchanges with a partner that do not go as they should: senders that hang up, a hub that stops or breaks."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.ledger import balance_of
from cimcare.exchange.log import Direction, Outcome
from cimcare.exchange.outbox import DeliveryState, Priority
from cimcare.exchange.store import StoreError
from cimcare.hub.intake.passage import Passage
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.outgoing.delivery import Couriers
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from tests.support.sender import broken, replied, silent
from tests.support.stored import an_entry
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create, ask_ok
from tests.unit.hub.test_forwarding import OMS, codes_of, opened


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, OMS)
    yield hub
    await hub.hub.close()


async def balances(hub: Delivering) -> list[int]:
    """What the ledger misses, of each line."""
    start = hub.now.replace(minute=0)
    reader, end = hub.store.reader.ledger, start + timedelta(hours=1)
    lines = await reader.lines(start, end)
    return [balance_of(line, await reader.count_in_work(line.partner, start, end)).missing for line in lines]


async def test_a_sender_that_hangs_up_does_not_undo_the_exchange(remote: Delivering) -> None:
    """The owner has the message; when its sender comes back, it gets the reply that the owner gave."""
    remote.sender.gates["oms"] = asyncio.Event()
    task = asyncio.create_task(remote.post(a_create()))
    await remote.until_given("oms", 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    remote.sender.gates["oms"].set()
    await ask_ok(remote, a_create())
    assert len(remote.sender.to("oms")) == 1
    assert remote.hub.pipeline.waiting == 0


async def test_a_hub_that_stops_leaves_no_request_without_outcome(tmp_path: Path) -> None:
    """Who waits is told that nothing is known, and the log says the same."""
    hub = await opened(tmp_path, OMS)
    hub.sender.gates["oms"] = asyncio.Event()
    task = asyncio.create_task(hub.ask(a_create()))
    await hub.until_given("oms", 1)
    await hub.hub.close()
    answer = await task
    assert codes_of(answer) == ["4.1"]
    assert "the hub was stopped before oms had answered" in (answer.reply.error[0].details or "")
    again = await opened(tmp_path, OMS)
    (came,) = await again.log(direction=Direction.IN)
    assert came.outcome is Outcome.FAILED
    await ask_ok(again, a_create())
    await again.hub.close()


async def test_an_error_of_the_program_ends_the_exchange_once(remote: Delivering) -> None:
    """One message is one entry and one count, and its repeat is worked on at once."""
    remote.sender.answers["oms"] = [broken, replied()]
    answer = await remote.ask(a_create())
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_of(answer)) == (Result.FAILED, ["5.3"])
    assert "while oms had this message (LookupError)" in (answer.reply.error[0].details or "")
    (came,) = await remote.log(direction=Direction.IN)
    assert came.outcome is Outcome.FAILED
    assert await balances(remote) == [0]
    await ask_ok(remote, a_create())


async def test_an_outcome_that_cannot_be_kept_is_not_said_to_be_nothing(
    remote: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """'Nothing of it was kept' would be a lie: the owner may have done what was asked."""
    remote.sender.gates["oms"] = asyncio.Event()
    task = asyncio.create_task(remote.ask(a_create()))
    await remote.until_given("oms", 1)
    kept = remote.store.transaction

    def full(priority: Priority = Priority.NORMAL) -> object:
        raise StoreError("disk full")

    monkeypatch.setattr(remote.store, "transaction", full)
    remote.sender.gates["oms"].set()
    answer = await task
    monkeypatch.setattr(remote.store, "transaction", kept)
    assert answer.reply.result is Result.FAILED
    assert "what came of passing the message on to oms could not be made durable" in (
        answer.reply.error[0].details or ""
    )


async def test_places_are_taken_before_the_message_is_kept(remote: Delivering) -> None:
    """Messages of one commit must not all find the last place free."""
    remote.sender.gates["oms"] = asyncio.Event()
    tasks = [asyncio.create_task(remote.ask(a_create(seed))) for seed in range(2, 123)]
    await remote.until_given("oms", 100)
    await remote.quiet()
    assert len(remote.sender.to("oms")) == 100
    remote.sender.gates["oms"].set()
    answers = await asyncio.gather(*tasks)
    assert sorted(code for answer in answers for code in codes_of(answer)) == ["5.1"] * 21


async def test_a_message_that_is_not_kept_gives_its_place_back(
    remote: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the places of a partner would be lost one by one."""

    async def fail(*_: object, **__: object) -> int:
        raise StoreError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Passage, "_keep", fail)
        assert (await remote.ask(a_create())).reply.result is Result.FAILED
    assert remote.hub._passing._waiting["oms"] == 0
    await ask_ok(remote, a_create())


async def test_not_all_may_wait_for_the_same_message(remote: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that waits looks at the database again and again."""
    monkeypatch.setattr("cimcare.hub.intake.passing._MOST_JOINING", 1)
    remote.sender.gates["oms"] = asyncio.Event()
    tasks = [asyncio.create_task(remote.post(a_create())) for _ in range(3)]
    await remote.until_given("oms", 1)
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status for task in done] == [503]
    remote.sender.gates["oms"].set()
    assert sorted([(await task).status for task in tasks]) == [200, 200, 503]


async def test_a_repeat_of_what_never_was_kept_is_not_waited_for(
    remote: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit that was to keep the first may fail."""
    monkeypatch.setattr("cimcare.hub.intake.passing._LOOK_SECONDS", 0.0)
    assert await remote.hub._passing.settled(an_entry(sequence=4711), timedelta(hours=1)) is None


async def test_a_partner_at_another_address_is_not_spared_for_the_old_one(remote: Delivering) -> None:
    """An operator who mends the address must not wait for a pause that the wrong one has earned."""
    remote.sender.answers["oms"] = [silent("connection refused")]
    for seed in range(2, 7):
        await remote.ask(a_create(seed))
    moved = msgspec.structs.replace(OMS, url="http://oms-2.example/soap")
    remote.hub.pipeline.setup = setup_of(remote.hub.pipeline.setup.sources, [moved])
    remote.sender.answers["oms"] = [replied()]
    await ask_ok(remote, a_create(7))


async def test_an_error_of_the_program_ends_neither_a_courier_nor_the_watch(
    remote: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everything for that partner, or every reply that does not come, would wait until the next start."""
    monkeypatch.setattr("cimcare.hub.outgoing.courier._STORE_PAUSE_SECONDS", 0.01)

    async def fail(*_: object) -> None:
        raise LookupError("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr("cimcare.hub.outgoing.courier.find_halt", fail)
        patched.setattr(Couriers, "_expire", fail)
        await remote.post(one_way(a_create()))

        async def is_noted() -> bool:
            told = {str(line["event"]) for line in remote.logged if line.get("code") == "EXC-109"}
            return told >= {"courier failed", "deliveries not looked at"}

        await remote.until(is_noted)
    await remote.until_state("oms", DeliveryState.DELIVERED)


def one_way(message: RequestMessage) -> RequestMessage:
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, ack_required=False))
