"""The ways on which the table of exchanges is driven: which of its cells each carries, and a hub that can be asked so.

A new transport is one more entry of `WAYS`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import cycle
from pathlib import Path

import msgspec

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Message,
    RequestMessage,
    ResponseMessage,
)
from cimcare.samples.build import BASE_INSTANT
from tests.exchange.cells import CELLS, SERVED_AND_ONE_OF_EACH_REFUSAL, TYPED, Cell
from tests.support.broker_peer import broker_peer
from tests.support.channels import CHANNELS
from tests.support.java_peers import JavaPeers
from tests.support.listening import PASSWORD, USER, broker_table, declare, request_queue
from tests.support.services import Broker
from tests.unit.hub.conftest import HeldHub

__all__ = ["WAYS", "Asked", "Way", "a_hub"]


Answered = ResponseMessage | FaultMessage


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A hub and a way into it: `ask` sends a message by it and returns the message that came back."""

    hub: HeldHub
    ask: Callable[[AnyMessage], Awaitable[Answered]]


Open = Callable[..., AbstractAsyncContextManager[Asked]]
"""Opens a hub and the way into it: given a folder for the hub's database, and the fixtures that the way needs."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way in. `needs` are names of fixtures."""

    cells: Sequence[Cell]
    opened: Open
    needs: tuple[str, ...] = ()


@asynccontextmanager
async def a_hub(folder: Path, more: str = "") -> AsyncIterator[HeldHub]:
    """A hub at the instant at which the samples play, so that what was agreed has begun and can end."""
    held = HeldHub()
    held.now = BASE_INSTANT
    await held.open(folder, more)
    try:
        yield held
    finally:
        await held.hub.close()
    assert [entry for entry in held.logged if entry["log_level"] != "info"] == []


def _posted(*names: str) -> Open:
    """By HTTP, without sockets; with several channels message by message in turn."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Asked]:
        channels = cycle([CHANNELS[name] for name in names])
        async with a_hub(folder) as held:
            yield Asked(hub=held, ask=lambda message: held.ask(message, next(channels)))

    return opened


@asynccontextmanager
async def _by_java(folder: Path, activemq: Broker, broker_context: str, java_peers: JavaPeers) -> AsyncIterator[Asked]:
    """By JMS: a program that knows nothing but javax.jms asks, the hub listens by STOMP, ActiveMQ is between them."""
    async with (
        a_hub(folder, broker_table(activemq, "stomp", broker_context, folder)) as held,
        java_peers.cis(activemq.url("tcp"), client_id=f"{broker_context}-java", log=folder / "java.log") as cis,
    ):

        async def ask(message: Named) -> bytes:
            destination = _where(activemq, broker_context, message)
            text = render_message(message).decode()
            if isinstance(message, ResponseMessage):
                await cis.order("send", destination=destination, text=text)
                return await _kept_answer(held, message)
            return (await cis.order("ask", destination=destination, text=text))["text"].encode()

        yield Asked(hub=held, ask=_answered(ask))


def _by_session(hub_scheme: str, peer_scheme: str) -> Open:
    """Over RabbitMQ: who asks speaks another protocol than the hub does."""

    @asynccontextmanager
    async def opened(folder: Path, rabbitmq: Broker, broker_context: str) -> AsyncIterator[Asked]:
        named = {"client_id": f"{broker_context}-peer", "user": USER, "password": PASSWORD}
        await declare(rabbitmq, hub_scheme, broker_context)
        async with (
            a_hub(folder, broker_table(rabbitmq, hub_scheme, broker_context, folder)) as held,
            broker_peer(rabbitmq.url(peer_scheme), **named) as peer,
        ):

            async def ask(message: Named) -> bytes:
                destination = _where(rabbitmq, broker_context, message)
                if isinstance(message, ResponseMessage):
                    assert await peer.send(destination, message)
                    return await _kept_answer(held, message)
                arrived = await peer.ask(destination, message)
                assert arrived is not None, f"no answer to {message}"
                return arrived.message.body

            yield Asked(hub=held, ask=_answered(ask))

    return opened


Named = RequestMessage | ResponseMessage | EventMessage | Message


def _answered(ask: Callable[[Named], Awaitable[bytes]]) -> Callable[[AnyMessage], Awaitable[Answered]]:
    async def asked(message: AnyMessage) -> Answered:
        assert not isinstance(message, FaultMessage)
        answer = parse_message(await ask(message))
        assert isinstance(answer, ResponseMessage | FaultMessage)
        return answer

    return asked


def _where(broker: Broker, context: str, message: Named) -> str:
    """The queue of requests, whatever it is: who sends an event there, and wants an answer, gets one."""
    return request_queue(broker, context, message.header.noun, message.header.verb)


async def _kept_answer(held: HeldHub, message: ResponseMessage) -> bytes:
    """What the hub has to say to a reply: over a broker nobody is told, or two hubs would answer one another for ever.

    It stands in the log.
    """
    reader = held.store.reader
    async with asyncio.timeout(20):
        while True:
            for entry in await held.log(message_id=message.header.message_id):
                answer = await reader.log.find_answer(entry.sequence)
                if answer is not None:
                    return await reader.log.find_raw(answer.sequence) or b""
            await asyncio.sleep(0.01)


RABBITMQ = ("rabbitmq", "broker_context")
WAYS = {
    "soap": Way(cells=CELLS, opened=_posted("soap11", "soap12")),
    "soap-typed": Way(cells=TYPED, opened=_posted("soap-typed")),
    "rest-xml": Way(cells=SERVED_AND_ONE_OF_EACH_REFUSAL, opened=_posted("rest-xml")),
    "rest-json": Way(cells=SERVED_AND_ONE_OF_EACH_REFUSAL, opened=_posted("rest-json")),
    "jms": Way(cells=CELLS, opened=_by_java, needs=("activemq", "broker_context", "java_peers")),
    "amqp": Way(cells=CELLS, opened=_by_session("amqp", "stomp"), needs=RABBITMQ),
    "amqp10": Way(cells=CELLS, opened=_by_session("amqp10", "amqp"), needs=RABBITMQ),
    "rabbitmq-stomp": Way(cells=CELLS, opened=_by_session("stomp", "amqp"), needs=RABBITMQ),
}
