"""A real hub with a remote outage system and a subscriber, over every wire that the configuration knows."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cimcare.client import Peer
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.serving.lifespan import RunningHub, running_hub
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.support.hub import hub_settings, local_hub

WIRES = {
    "soap 1.1": 'url = "{}/soap"',
    "soap 1.2": 'url = "{}/soap"\nsoap_version = "1.2"',
    "soap of the late drafts": 'url = "{}/soap"\nedition = "2013-draft"',
    "strongly typed soap": 'kind = "soap-typed"\nurl = "{}/soap"',
    "plain xml": 'kind = "rest"\nurl = "{}/messages"',
    "json": 'kind = "rest"\nurl = "{}/messages"\nformat = "json"',
    "compressed": 'url = "{}/soap"\ncompress_above_bytes = 100',
}
QUICK = "[delivery]\npoll_seconds = 0.05\n"


@asynccontextmanager
async def hub_with(folder: Path, wire: str, partner: SimulatedPartner, more: str = "") -> AsyncIterator[RunningHub]:
    """A hub whose outage system is the partner, over this wire."""
    table = f'[systems.oms]\nsource = "{partner.name}"\n{WIRES[wire].format(partner.address)}\n{more}'
    async with local_hub(folder, QUICK + table) as running:
        yield running


def a_request(verb: Verb, number: int = 1) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, verb, seed=2)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(
        message.header, source="CALLS", message_id=MessageID(f"{verb}-{number}"), correlation_id=None
    )
    return msgspec.structs.replace(message, header=header)


async def states(folder: Path) -> set[DeliveryState]:
    async with open_reader(f"sqlite:///{folder / 'hub.db'}") as reader:
        return {one.state for one in await reader.outbox.select(DeliverySelection())}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wire", WIRES)
async def test_requests_reach_the_owner_over_every_wire_and_its_replies_come_back(tmp_path: Path, wire: str) -> None:
    """One line of configuration, whatever the other side speaks; who asks over SOAP notices nothing of it."""
    with running_partner(name="NEW-OMS") as partner:
        async with hub_with(tmp_path, wire, partner) as running, Peer(running.address) as peer:
            soap = await peer.soap()
            for verb in (Verb.CREATE, Verb.CHANGE, Verb.CLOSE, Verb.GET):
                reply = (await soap.send(a_request(verb))).message
                assert isinstance(reply, ResponseMessage)
                assert (reply.reply.result, reply.header.correlation_id) == (Result.OK, f"{verb}-1")
            assert reply.payload is not None, "the answer to the get"
    assert [(one.verb, one.message_id, one.source) for one in partner.entries] == [
        (verb, f"{verb}-1", "CALLS") for verb in ("create", "change", "close", "get")
    ]


@pytest.mark.parametrize("wire", [*WIRES, "webhook"])
async def test_events_reach_a_subscriber_over_every_wire(tmp_path: Path, wire: str) -> None:
    """And are acknowledged in the form in which they were sent."""
    (tmp_path / "key").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    webhook = f'kind = "webhook"\nurl = "{{}}/hook"\nsecret_file = "{tmp_path / "key"}"'
    with running_partner(name="GIS") as partner:
        table = {**WIRES, "webhook": webhook}[wire].format(partner.address)
        more = f'[partners.gis]\nsource = "GIS"\n{table}\n[subscriptions.gis]\npartner = "gis"\n'
        async with local_hub(tmp_path, QUICK + more) as running, Peer(running.address) as peer:
            assert (await peer.send(a_request(Verb.CREATE))).message is not None
            await until(lambda: len(partner.entries) >= 2)
            async with asyncio.timeout(30):
                while await states(tmp_path) != {DeliveryState.DELIVERED}:
                    await asyncio.sleep(0.02)
    assert {(one.verb, one.noun) for one in partner.entries} == {
        ("created", "TroubleTickets"),
        ("created", "Incidents"),
    }
    if wire == "webhook":
        assert all("webhook-signature" in headers for headers in partner.headers)


@pytest.mark.parametrize("wire", ["soap 1.1", "soap 1.2", "strongly typed soap"])
async def test_an_owner_that_replies_later_over_the_wire(tmp_path: Path, wire: str) -> None:
    """It acknowledges, and posts its reply in two parts to the hub's own address; the sender waits in one exchange."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with running_partner(name="NEW-OMS", behaviour="later:1:0.1") as partner:
        more = f'[hub]\naddress = "http://127.0.0.1:{port}"\n{QUICK}[systems.oms]\nsource = "NEW-OMS"\n'
        text = f'{more}{WIRES[wire].format(partner.address)}\nreplies = "later"\n'
        settings = msgspec.structs.replace(hub_settings(tmp_path, text), port=port)
        async with running_hub(settings) as running, Peer(running.address) as peer:
            reply = (await peer.send(a_request(Verb.GET))).message
    assert isinstance(reply, ResponseMessage)
    assert (reply.reply.result, reply.header.correlation_id) == (Result.OK, "get-1")
    assert reply.payload is not None
