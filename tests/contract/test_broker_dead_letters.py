"""What came from a broker and could not be taken in is a dead letter like any other, on every store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState
from cimcare.exchange.store import Store
from cimcare.hub.app import Hub
from cimcare.hub.operation.balance import balances
from cimcare.hub.outgoing.dead_letters import Control, DeadLetters
from cimcare.hub.outgoing.halting import halt, release
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.broker.ports import BrokerError, BrokerMessage
from tests.support.broker_sessions import MemoryBroker, MemorySession, a_place
from tests.support.hub import hub_settings

QUEUE = "queue:TESTING.REQUESTS.TroubleTickets.create"
SETTINGS = """
hub.context = "TESTING"
delivery.poll_seconds = 0.05
[brokers.main]
urls = ["stomp://here"]
reconnect_first_seconds = 0.01
reconnect_most_seconds = 0.02
watch_seconds = 0
"""
NOBODY = Control(is_halted=lambda: False, pause=asyncio.sleep, report=lambda _: None)


class House:
    def __init__(self, store: Store, broker: MemoryBroker) -> None:
        self.store = store
        self.broker = broker
        self.hub: Hub

    async def put(self, body: bytes, **more: object) -> None:
        self.broker.put(QUEUE, BrokerMessage(body=body, reply_to=a_place("queue:BACK"), **more))

    async def dead(self, count: int = 1) -> list[Delivery]:
        async with asyncio.timeout(10):
            while True:
                found = await self.store.reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,)))
                if len(found) >= count:
                    return list(found)
                await asyncio.sleep(0.01)

    async def ended(self, number: int, state: DeliveryState) -> Delivery:
        async with asyncio.timeout(10):
            while True:
                found = await self.store.reader.outbox.find(number)
                assert found is not None
                if found.state is state and found.attempts:
                    return found
                await asyncio.sleep(0.01)

    async def came(self) -> list[LogEntry]:
        found = await self.store.reader.log.select(LogSelection(direction=Direction.IN))
        return [one for one in found if one.transport == "jms"]

    async def settled(self) -> None:
        """Until the broker has nothing of ours that is not acknowledged."""
        async with asyncio.timeout(10):
            while any(str(to) == f"jms:{QUEUE}" for to, _ in self.broker.waiting) or any(
                session.unsettled for session in self.broker.sessions
            ):
                await asyncio.sleep(0.01)

    async def is_balanced(self) -> bool:
        now = datetime.now(UTC)
        found = await balances(self.store.reader, now - timedelta(hours=2), now + timedelta(hours=1))
        return bool(found) and not any(one.missing for one in found)

    def letters(self, reason: str) -> DeadLetters:
        return DeadLetters(self.store, actor="ann", reason=reason, clock=lambda: datetime.now(UTC))


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[House]:
    broker = MemoryBroker()
    made = House(store, broker)
    logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()])
    made.hub = await Hub.open(
        hub_settings(tmp_path, SETTINGS), store=store, open_session=broker.open_session, logger=logger
    )
    async with asyncio.timeout(10):
        while not all(each.attached for each in made.hub.listeners[0].state().consumers):
            await asyncio.sleep(0.01)
    yield made
    await made.hub.close()


def a_request(message_id: str = "m-1") -> bytes:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=7)
    header = msgspec.structs.replace(message.header, context="TESTING", message_id=MessageID(message_id))
    return render_message(msgspec.structs.replace(message, header=header))


async def test_poison_is_found_with_its_reason_its_bytes_and_where_it_came_from(house: House) -> None:
    """An operator looks in one place for what went wrong; a queue at the broker is not that place."""
    await house.put(b"<no/>envelope", message_id="ID:7")
    (dead,) = await house.dead()
    assert (dead.partner, dead.kind, dead.message_id) == ("broker main", DeliveryKind.INTAKE, "ID:7")
    assert dead.address == f"jms:{QUEUE}"
    assert dead.reason.strip()
    assert await house.store.reader.log.find_raw(dead.message) == b"<no/>envelope"
    await house.settled()
    assert b"FaultMessage" in house.broker.sent_to("queue:BACK")[0].body
    assert await house.is_balanced()


async def test_a_message_that_expired_is_found_too_and_names_what_it_is(house: House) -> None:
    """Its sender gave it up; whether anything was lost with it only a human can say."""
    await house.put(a_request(), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (dead,) = await house.dead()
    assert (dead.verb, dead.noun, dead.message_id) == ("create", "TroubleTickets", "m-1")
    assert "NET-127" in dead.reason
    await house.settled()
    assert not house.broker.sent_to("queue:BACK")
    (entry,) = await house.came()
    assert (entry.outcome, entry.codes) == (Outcome.FAULT, ("NET-127",))
    assert await house.is_balanced()


async def test_what_was_not_acknowledged_is_one_dead_letter_however_often_it_comes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that dies between its commit and the acknowledgement must not show one message twice."""
    failing = [3]
    acknowledge = MemorySession.acknowledge

    async def fails(session: MemorySession, arrived: object) -> None:
        if failing[0]:
            failing[0] -= 1
            session.end("cut off")
            raise BrokerError("NET-123", "there", "cut off", "a connection")
        await acknowledge(session, arrived)

    monkeypatch.setattr(MemorySession, "acknowledge", fails)
    await house.put(b"poison", message_id="ID:7")
    async with asyncio.timeout(10):
        while failing[0]:
            await asyncio.sleep(0.01)
    await house.settled()
    assert len(await house.dead()) == 1
    assert len(await house.came()) == 4
    await house.put(b"poison", message_id="ID:8")  # another one with the same bytes is another one
    assert len(await house.dead(2)) == 2
    assert await house.is_balanced()


async def test_sent_again_a_message_goes_through_all_steps_and_takes_effect(house: House) -> None:
    """Such as a request that waited at the broker while the hub was being repaired."""
    await house.put(a_request(), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (dead,) = await house.dead()
    assert (await house.letters("the customer still wants it").resend([dead.number], NOBODY)).done == 1
    await house.ended(dead.number, DeliveryState.DELIVERED)
    assert [one.outcome for one in await house.came()] == [Outcome.FAULT, Outcome.OK]
    assert await house.is_balanced()


async def test_sent_again_after_its_sender_did_so_too_it_has_no_second_effect(house: House) -> None:
    """G2: the MessageID is the same."""
    await house.put(a_request(), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (dead,) = await house.dead()
    await house.put(a_request())
    async with asyncio.timeout(10):
        while not house.broker.sent_to("queue:BACK"):
            await asyncio.sleep(0.01)
    await house.letters("not sure whether it came").resend([dead.number], NOBODY)
    await house.ended(dead.number, DeliveryState.DELIVERED)
    *_, last = await house.came()
    assert last.repeat_of is not None
    assert await house.is_balanced()


async def test_sent_again_and_still_not_readable_it_is_dead_again(house: House) -> None:
    """It must not vanish on the way, nor be tried for ever."""
    await house.put(b"poison", message_id="ID:7")
    (dead,) = await house.dead()
    await house.letters("let us see").resend([dead.number], NOBODY)
    again = await house.ended(dead.number, DeliveryState.DEAD)
    assert again.reason
    assert len(await house.dead()) == 1
    assert await house.is_balanced()


async def test_sent_again_and_refused_it_is_dead_again_with_the_answer(house: House) -> None:
    """A reply FAILED goes to nobody, so the operator is the one who has to read it."""
    raw = a_request().replace(b"<Context>TESTING</Context>", b"<Context>PRODUCTION</Context>")
    await house.put(raw, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (dead,) = await house.dead()
    await house.letters("let us see").resend([dead.number], NOBODY)
    again = await house.ended(dead.number, DeliveryState.DEAD)
    assert again.reason.startswith("FAILED: ")
    assert await house.is_balanced()


async def test_discarded_it_is_done_with(house: House) -> None:
    """With a reason, which stays with it."""
    await house.put(b"poison")
    (dead,) = await house.dead()
    assert (await house.letters("a test of the gateway").discard([dead.number], NOBODY)).done == 1
    ended = await house.store.reader.outbox.find(dead.number)
    assert ended is not None
    assert (ended.state, ended.reason) == (DeliveryState.DISCARDED, "a test of the gateway")
    assert await house.is_balanced()


async def test_a_halt_holds_what_is_sent_again(house: House) -> None:
    """As it holds the deliveries of a partner."""
    await house.put(a_request(), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (dead,) = await house.dead()
    now = datetime.now(UTC)
    async with house.store.transaction() as transaction:
        await halt(transaction, "broker main", actor="ann", reason="maintenance", now=now)
    await house.letters("later").resend([dead.number], NOBODY)
    await asyncio.sleep(0.4)
    waiting = await house.store.reader.outbox.find(dead.number)
    assert waiting is not None
    assert waiting.state is DeliveryState.WAITING
    async with house.store.transaction() as transaction:
        await release(transaction, "broker main", actor="ann", reason="done", now=now)
    await house.ended(dead.number, DeliveryState.DELIVERED)
