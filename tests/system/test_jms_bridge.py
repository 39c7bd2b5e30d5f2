"""Generic SOAP in, a broker between two hubs, strongly typed SOAP at the far end: the content stays what it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from cimcare.client import Peer
from cimcare.codec.digest import digest_of
from cimcare.codec.envelope import parse_message, read_message
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import is_soap, read_soap
from cimcare.exchange.log import Direction, LogSelection, Transport
from cimcare.hub.serving.lifespan import RunningHub
from cimcare.model.envelope import AnyMessage, EventMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.support.channels import CHANNELS
from tests.support.hub import local_hub
from tests.support.listening import broker_table, declare, request_queue, until_attached
from tests.support.services import Broker

CASES = {
    "activemq by stomp": ("activemq", "stomp"),
    "rabbitmq by amqp 0-9-1": ("rabbitmq", "amqp"),
    "rabbitmq by amqp 1.0": ("rabbitmq", "amqp10"),
    "rabbitmq by stomp": ("rabbitmq", "stomp"),
}
VERBS = (Verb.CREATE, Verb.CHANGE, Verb.GET, Verb.CLOSE)


class Bridge(msgspec.Struct, frozen=True):
    """Both hubs and the partner behind the far one."""

    near: RunningHub
    far: RunningHub
    partner: SimulatedPartner
    listener: SimulatedPartner
    folder: Path

    async def raw_of(self, hub: str, message_id: str) -> list[tuple[Transport, bytes]]:
        """What a hub got with this identifier."""
        async with open_reader(f"sqlite:///{self.folder / hub / 'hub.db'}") as reader:
            entries = await reader.log.select(LogSelection(limit=1000))
            found = [one for one in entries if one.message_id == message_id and one.direction is Direction.IN]
            return [(one.transport, await reader.log.find_raw(one.sequence) or b"") for one in found]


@pytest.fixture(params=CASES)
async def bridge(
    request: pytest.FixtureRequest, broker: Broker, broker_context: str, tmp_path: Path
) -> AsyncIterator[Bridge]:
    scheme = CASES[request.param][1]
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    with running_partner(name="FAR-OMS") as partner, running_partner(name="NEAR-LISTENER") as listener:
        near = f"""
[systems.oms]
kind = "jms"
broker = "main"
destination = "{request_queue(broker, f"{broker_context}.FAR", "{noun}", "{verb}")}"
source = "FAR-OMS"
[subscriptions.listener]
url = "{listener.address}/soap"
nouns = ["TroubleTickets"]
"""
        far = f"""
[systems.oms]
kind = "soap-typed"
url = "{partner.address}/soap"
source = "FAR-OMS"
[subscriptions.near]
kind = "jms"
broker = "main"
destination = "topic:{broker_context}.NEAR.EVENTS.{{noun}}.{{verb}}"
nouns = ["TroubleTickets"]
"""
        async with (
            a_hub(tmp_path / "near", broker, scheme, f"{broker_context}.NEAR", near) as near_hub,
            a_hub(tmp_path / "far", broker, scheme, f"{broker_context}.FAR", far) as far_hub,
        ):
            yield Bridge(near_hub, far_hub, partner, listener, tmp_path)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    name = CASES[request.node.callspec.params["bridge"]][0]
    found: Broker = request.getfixturevalue(name)
    return found


@asynccontextmanager
async def a_hub(folder: Path, broker: Broker, scheme: str, context: str, more: str) -> AsyncIterator[RunningHub]:
    await declare(broker, scheme, context)
    text = f"[delivery]\npoll_seconds = 0.05\n{broker_table(broker, scheme, context, folder, more)}"
    async with local_hub(folder, text) as running:
        await until_attached(running.address)
        yield running


def a_message(verb: Verb, **header: Any) -> RequestMessage | EventMessage:
    message = build_message(Noun.TROUBLE_TICKETS, verb, seed=5)
    assert isinstance(message, RequestMessage | EventMessage)
    given = {"source": "CALLS", "message_id": MessageID(str(uuid4())), "correlation_id": None, **header}
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **given))


def message_in(raw: bytes) -> AnyMessage:
    root = parse_xml(raw)
    if not is_soap(root):
        return parse_message(raw)
    element = read_soap(root).element
    assert element is not None
    return read_message(element)


async def test_a_request_is_the_same_at_each_hop_and_so_is_its_reply(bridge: Bridge) -> None:
    """A bridge that loses an element loses a hazard one day. Each hop is another carrier, and none changes content."""
    async with Peer(bridge.near.address) as peer:
        soap = await peer.soap()
        for verb in VERBS:
            request = a_message(verb)
            reply = (await soap.send(request)).message
            assert isinstance(reply, ResponseMessage)
            assert (reply.reply.result, reply.header.source) == (Result.OK, "FAR-OMS"), reply
            assert reply.header.correlation_id == request.header.message_id

            message_id = str(request.header.message_id)
            ((near_transport, near_raw),) = await bridge.raw_of("near", message_id)
            ((far_transport, far_raw),) = await bridge.raw_of("far", message_id)
            arrived = bridge.partner.messages[-1]
            assert (near_transport, far_transport) == (Transport.SOAP11, Transport.JMS)
            assert bridge.partner.entries[-1].path == f"/soap/{'Get' if verb is Verb.GET else 'Execute'}TroubleTickets"
            hops = [request, message_in(near_raw), message_in(far_raw), arrived]
            assert {digest_of(hop) for hop in hops} == {digest_of(request)}

            reply_id = str(reply.header.message_id)
            ((_, far_reply),) = await bridge.raw_of("far", reply_id)
            ((_, near_reply),) = await bridge.raw_of("near", reply_id)
            replies = [message_in(far_reply), message_in(near_reply), reply]
            assert {digest_of(hop) for hop in replies} == {digest_of(reply)}


async def test_an_event_of_the_far_end_is_the_same_where_it_is_heard(bridge: Bridge) -> None:
    """The way back: strongly typed SOAP into the far hub, a topic, generic SOAP to who subscribes at the near one."""
    event = a_message(Verb.CREATED, source="FAR-OMS")
    typed = CHANNELS["soap-typed"]
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            bridge.far.address + typed.path(event), data=typed.render(event), headers={"content-type": "text/xml"}
        ) as response,
    ):
        answer = typed.parse(await response.read())
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    async with asyncio.timeout(30):
        while not bridge.listener.entries:
            await asyncio.sleep(0.02)
    message_id = str(event.header.message_id)
    ((far_transport, far_raw),) = await bridge.raw_of("far", message_id)
    ((near_transport, near_raw),) = await bridge.raw_of("near", message_id)
    assert (far_transport, near_transport) == (Transport.SOAP_TYPED, Transport.JMS)
    hops = [event, message_in(far_raw), message_in(near_raw), bridge.listener.messages[0]]
    assert {digest_of(hop) for hop in hops} == {digest_of(event)}
