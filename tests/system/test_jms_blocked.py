"""A broker that takes nothing more, for want of memory or disk: deliveries wait, it is told, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.partners import Tls
from cimcare.hub.serving.lifespan import RunningHub
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_reader
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    BrokerError,
    BrokerMessage,
    Credentials,
    HeartBeat,
    Session,
    parse_address,
    parse_destination,
)
from tests.support.broker_peer import broker_peer
from tests.support.brokers import require_library
from tests.support.hub import local_hub
from tests.support.listening import PASSWORD, USER, broker_table, declare, until_attached
from tests.support.services import Broker, NotInstalledError, RabbitMQ, SmallActiveMQ

SECONDS = 60.0
MANY = 8
QUICK = "confirm_seconds = 1\nreconnect_first_seconds = 0.1\nreconnect_most_seconds = 0.5\nwatch_seconds = 1\n"
BUS = """
[subscriptions.bus]
kind = "jms"
broker = "main"
destination = "topic:{context}.EVENTS.{{noun}}"
nouns = ["TroubleTickets"]
deadline_seconds = 2
retry_first_seconds = 0.1
retry_most_seconds = 0.5
"""


@asynccontextmanager
async def blocked(broker: Broker, context: str) -> AsyncIterator[None]:
    """Inside it the broker takes nothing: RabbitMQ believes its memory to be full, the store of ActiveMQ is full."""
    if isinstance(broker, RabbitMQ):
        await asyncio.to_thread(broker.block)
        try:
            yield
        finally:
            await asyncio.to_thread(broker.unblock)
        return
    fill = parse_destination(f"queue:{context}.FILL")
    sender, taker = await a_session(broker), await a_session(broker)
    with pytest.raises(BrokerError) as caught:
        while True:
            await sender.publish(fill, BrokerMessage(body=b"x" * 60_000), within=1)
    assert caught.value.code in ("NET-122", "NET-130")
    yield
    tasks: list[asyncio.Future[None]] = []
    await taker.subscribe(fill, lambda arrived: tasks.append(asyncio.ensure_future(taker.acknowledge(arrived))))
    await asyncio.sleep(1)
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(sender.close(), taker.close())


async def a_session(broker: Broker) -> Session:
    return await open_session(
        parse_address(broker.url("stomp")),
        client_id="",
        credentials=Credentials(user=USER, password=PASSWORD),
        tls=Tls(),
        heart_beat=HeartBeat(),
        within=30,
    )


@pytest.fixture(
    params=["rabbitmq amqp", "rabbitmq stomp", "rabbitmq amqp10", "activemq stomp", "activemq-refusing stomp"]
)
def at_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A broker and by which scheme the hub speaks with it."""
    name, _, scheme = request.param.partition(" ")
    require_library({"amqp": "aiormq", "amqp10": "proton", "stomp": "stomp"}[scheme])
    if name == "rabbitmq":
        return request.getfixturevalue("rabbitmq"), scheme
    broker = SmallActiveMQ(tmp_path_factory.mktemp(name), says_so=name != "activemq")
    try:
        broker.start()
    except NotInstalledError:
        request.getfixturevalue("activemq")  # which skips, or fails where nothing may be skipped
    request.addfinalizer(broker.stop)
    return broker, scheme


async def test_deliveries_wait_and_all_arrive_when_it_takes_again(
    at_broker: tuple[Broker, str], broker_context: str, tmp_path: Path
) -> None:
    """Calls are still taken meanwhile; nobody has to look after anything when the disk has room again."""
    broker, scheme = at_broker
    await declare(broker, scheme, broker_context)
    table = broker_table(broker, scheme, broker_context, tmp_path, QUICK)
    takes_on = scheme == "amqp10"  # RabbitMQ over AMQP 1.0 does, and keeps what it confirms
    named = {"client_id": f"{broker_context}-peer", "user": USER, "password": PASSWORD}
    text = f"delivery.poll_seconds = 0.05\n{table}{BUS.format(context=broker_context)}"
    async with broker_peer(broker.url("amqp" if broker.name == "rabbitmq" else "stomp"), **named) as peer:
        await peer.hear(f"topic:{broker_context}.EVENTS.TroubleTickets", durable="events")
        async with local_hub(tmp_path, text) as running:
            await until_attached(running.address)
            async with blocked(broker, broker_context):
                await take_calls(running)
                if not takes_on:
                    await until_told(running)
                    assert await count(tmp_path, DeliveryState.DELIVERED) < MANY
            async with asyncio.timeout(SECONDS):
                while await count(tmp_path, DeliveryState.DELIVERED) < MANY:
                    await asyncio.sleep(0.1)
                while running.hub.listeners[0].state().trouble:
                    await asyncio.sleep(0.1)
            assert await count(tmp_path, DeliveryState.DEAD) == 0
            await peer.until_heard(MANY, within=SECONDS)
    heard = {str(parse_message(one.message.body).header.correlation_id) for one in peer.heard}
    assert heard == {f"call-{number}" for number in range(MANY)}


async def take_calls(running: RunningHub) -> None:
    """Tickets over HTTP."""
    async with aiohttp.ClientSession() as session:
        for number in range(MANY):
            message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=number)
            header = msgspec.structs.replace(
                message.header, source="CALLS", message_id=MessageID(f"call-{number}"), correlation_id=None
            )
            raw = render_message(msgspec.structs.replace(message, header=header))
            given = {"data": raw, "headers": {"content-type": "application/xml"}}
            async with session.post(f"{running.address}/messages", **given) as response:
                assert b"<Result>OK</Result>" in await response.read()


async def until_told(running: RunningHub) -> None:
    """Until an operator can read that the broker is blocked."""
    async with asyncio.timeout(SECONDS):
        while not running.hub.listeners[0].state().trouble.startswith("blocked: "):
            await asyncio.sleep(0.05)
    assert running.hub.listeners[0].state().trouble_since is not None


async def count(folder: Path, state: DeliveryState) -> int:
    async with open_reader(f"sqlite:///{folder / 'hub.db'}") as reader:
        return len(await reader.outbox.select(DeliverySelection(states=(state,), limit=1000)))
