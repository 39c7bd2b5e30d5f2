"""Settings of a hub that listens to one of the brokers of the tests, and where its requests go there."""

import asyncio
from pathlib import Path

import aiohttp

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import Credentials, HeartBeat, parse_address, parse_destination
from tests.support.services import Broker

__all__ = ["PASSWORD", "USER", "broker_table", "declare", "request_queue", "until_attached"]

USER = PASSWORD = "guest"
"""RabbitMQ's own; ActiveMQ asks for none, and takes any."""


def request_queue(broker: Broker, context: str, noun: str, verb: str) -> str:
    """Where requests go: by noun and verb, but at RabbitMQ, which has no patterns over queues, all to one queue."""
    return f"queue:{context}.REQUESTS" if broker.name == "rabbitmq" else f"queue:{context}.REQUESTS.{noun}.{verb}"


def broker_table(broker: Broker, scheme: str, context: str, folder: Path, more: str = "") -> str:
    """The table `[brokers.main]`. The file with the password is written into the folder."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    listen = f'listen = ["queue:{context}.REQUESTS", "topic:{context}.EVENTS.>"]\n' if broker.name == "rabbitmq" else ""
    return (
        f'[brokers.main]\nurls = ["{broker.url(scheme)}"]\ncontext = "{context}"\nclient_id = "{context}-hub"\n'
        f'user = "{USER}"\npassword_file = "{folder / "password"}"\n{listen}{more}'
    )


async def until_attached(address: str) -> None:
    """Wait until the hub at this address is attached to all that it listens to: what a topic brings before is lost."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.get(f"{address}/api/v1/brokers") as response:
                seen = (await response.json())["items"]
            # A consumer that waits for its turn is no trouble, and not attached either.
            consumers = [consumer for one in seen for consumer in one["broker"]["consumers"]]
            if consumers and all(consumer["attached"] for consumer in consumers):
                return
            await asyncio.sleep(0.02)


async def declare(broker: Broker, scheme: str, context: str) -> None:
    """Make what a hub cannot make for itself: over AMQP 1.0 the durable subscription to its events at RabbitMQ."""
    if scheme == "amqp10":
        session = await open_session(
            parse_address(broker.url("amqp")),
            client_id=f"{context}-hub",
            credentials=Credentials(user=USER, password=PASSWORD),
            tls=Tls(),
            heart_beat=HeartBeat(),
            within=30,
        )
        events = parse_destination(f"topic:{context}.EVENTS.>", patterns=True)
        await session.subscribe(events, lambda _: None, durable=f"{context}-hub.{context}.EVENTS.all")
        await session.close()
