"""The hub and JMS programs in Java meet at a broker: who asks, who hears, who owns the trouble tickets."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner

from cimcare.cli import main
from cimcare.client import Peer
from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.log import LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.intake.listening import Taken
from cimcare.hub.serving.lifespan import RunningHub
from cimcare.model.envelope import EventMessage, FaultMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.support.hub import hub_settings, local_hub
from tests.support.java_peers import SOURCES, Fields, JavaPeer, JavaPeers
from tests.support.listening import broker_table, until_attached
from tests.support.services import Broker

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/brokers.md"
BUS = '[subscriptions.bus]\nkind = "jms"\nbroker = "main"\n'
"""All events to the broker."""

EVENT_SELECTOR = "Verb = 'created' AND Noun = 'TroubleTickets'"


def test_the_peer_knows_nothing_but_javax_jms(java_peers: JavaPeers) -> None:
    """A peer that used the broker's own classes would show nothing about JMS."""
    imports = {
        found
        for source in SOURCES.glob("*.java")
        for found in re.findall(r"^import ([\w.]+);", source.read_text(), re.MULTILINE)
    }
    foreign = {one for one in imports if not one.startswith(("java.", "javax.", "org.w3c.dom.", "org.xml.sax."))}
    assert foreign == set()
    assert {one.name for one in java_peers.classes.glob("*.class")} >= {"CisClient.class", "OmsServer.class"}


class Scene:
    """A broker, a context of names of its own, and the programs in Java."""

    def __init__(self, broker: Broker, context: str, peers: JavaPeers, folder: Path) -> None:
        self.context = context
        self.folder = folder
        self.broker = broker
        self._peers = peers

    def run(self, source: str, program: str, *arguments: str) -> str:
        """What a program that is given as text prints."""
        return self._peers.run(source, program, self.url, *arguments)

    def queue(self, noun: str, verb: str) -> str:
        return f"queue:{self.context}.REQUESTS.{noun}.{verb}"

    @property
    def url(self) -> str:
        return self.broker.url("tcp")

    @asynccontextmanager
    async def hub(self, more: str = "") -> AsyncIterator[RunningHub]:
        """A hub that listens to the broker, by STOMP."""
        table = broker_table(self.broker, "stomp", self.context, self.folder, more)
        text = f"[delivery]\npoll_seconds = 0.05\n{table}"
        async with local_hub(self.folder, text) as running:
            await until_attached(running.address)
            yield running

    async def until_delivered(self) -> None:
        """Wait until the hub has sent all that it has to send."""
        async with open_reader(f"sqlite:///{self.folder / 'hub.db'}") as reader, asyncio.timeout(30):
            while {one.state for one in await reader.outbox.select(DeliverySelection())} != {DeliveryState.DELIVERED}:
                await asyncio.sleep(0.02)

    async def dead_letters(self) -> list[dict[str, object]]:
        """What an operator sees."""
        command = ["deadletters", "--database", f"sqlite:///{self.folder / 'hub.db'}", "list", "--partner"]
        done = await asyncio.to_thread(CliRunner().invoke, main, [*command, "broker main", "--json"])
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    async def log(self, **selection: object) -> tuple[LogEntry, ...]:
        """What the hub has kept."""
        async with open_reader(f"sqlite:///{self.folder / 'hub.db'}") as reader:
            return tuple(await reader.log.select(LogSelection(**{"limit": 1000, **selection})))

    @asynccontextmanager
    async def cis(self, client_id: str = "cis") -> AsyncIterator[JavaPeer]:
        named = f"{self.context}-{client_id}"
        async with self._peers.cis(self.url, client_id=named, log=self.folder / "java.log") as cis:
            yield cis

    @asynccontextmanager
    async def oms(self, **served: str) -> AsyncIterator[JavaPeer]:
        """An OMS that serves the queues below CONTEXT.OMS and publishes its events where all events are."""
        destination = f"queue:{self.context}.OMS.>"
        events = f"{self.context}.EVENTS"
        log = self.folder / "java.log"
        given = {"destination": destination, "source": "JAVA-OMS", "events": events, "context": self.context, **served}
        async with self._peers.oms(self.url, log=log, **given) as oms:
            yield oms


@pytest.fixture
def scene(activemq: Broker, broker_context: str, java_peers: JavaPeers, tmp_path: Path) -> Scene:
    return Scene(activemq, broker_context, java_peers, tmp_path)


def a_request(verb: Verb, seed: int = 2, **header: object) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, verb, seed=seed)
    assert isinstance(message, RequestMessage)
    given = {"source": "CALLS", "message_id": MessageID(str(uuid4())), "correlation_id": None, **header}
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **given))


def message_in(fields: Fields) -> object:
    return parse_message(fields["text"].encode())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------------------------------------ who asks and hears


async def test_a_jms_program_creates_a_ticket_and_hears_of_it_also_of_what_it_missed(scene: Scene) -> None:
    """A customer system on JMS is served like one on SOAP, and an event that it was not there for is not lost to it."""
    events = f"{scene.context}.EVENTS.>"
    async with scene.hub(BUS) as _, scene.cis() as cis, scene.cis("other") as other:
        await cis.order("subscribe", topic=events, name="tickets", selector=EVENT_SELECTOR)
        create = {"destination": scene.queue("TroubleTickets", "create"), "context": scene.context}
        first, second = str(uuid4()), str(uuid4())

        answer = await cis.order("create", mrid=first, messageID="java-1", **create)
        assert (answer["class"], answer["root"]) == ("TextMessage", "ResponseMessage")
        assert (answer["result"], answer["code"]) == ("OK", "0.0")
        assert answer["ids"].split()[0] == first
        assert answer["JMSCorrelationID"] == answer["asked"]
        assert answer["correlation"] == "java-1"
        assert (answer["property.Verb"], answer["property.Noun"]) == ("reply", "TroubleTickets")

        (event,) = await cis.hear("event", 1)
        assert event["JMSDestination"] == f"topic:{scene.context}.EVENTS.TroubleTickets.created"
        assert (event["class"], event["JMSDeliveryMode"]) == ("TextMessage", "2")
        assert (event["property.Verb"], event["property.Noun"]) == ("created", "TroubleTickets")
        assert event["property.Source"] == "OMS"
        told = message_in(event)
        assert isinstance(told, EventMessage)
        assert told.header.correlation_id == "java-1"
        assert event["property.MessageID"] == told.header.message_id

        await cis.order("disconnect")
        missed = await other.order("create", mrid=second, messageID="java-2", **create)
        assert missed["result"] == "OK"
        await scene.until_delivered()
        assert len(cis.told("event")) == 1

        await cis.order("connect", clientID=f"{scene.context}-cis")
        await cis.order("subscribe", topic=events, name="tickets", selector=EVENT_SELECTOR)
        _, again = await cis.hear("event", 2)
        heard = message_in(again)
        assert isinstance(heard, EventMessage)
        assert heard.payload is not None
        (tickets,) = heard.payload.content
        assert isinstance(tickets, TroubleTickets)
        assert [ticket.mrid for ticket in tickets.trouble_ticket] == [second]
        assert cis.told("trouble") == other.told("trouble") == []


async def test_the_program_of_the_guide_does_as_it_stands(scene: Scene) -> None:
    """It is what an integrator copies first."""
    (source,) = re.findall(r"^```java\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    async with scene.hub():
        printed = await asyncio.to_thread(scene.run, source, "FirstTicket", scene.context)
    reply = parse_message(printed.encode())
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is Result.OK, reply.reply.error


def test_the_settings_of_the_guide_are_good(tmp_path: Path) -> None:
    """A table that is copied and refused costs the afternoon."""
    tables = re.findall(r"^ *```toml\n(.*?)^ *```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(tables) == 5
    (tmp_path / "password").write_text("secret\n")
    text = re.sub(r"/etc/cimcare/\w+\.password", str(tmp_path / "password"), "".join(tables))
    settings = hub_settings(tmp_path, text)
    assert {broker.name for broker in settings.brokers} == {"main", "rabbit"}


async def test_a_repeat_over_jms_gets_the_answer_of_the_first_time(scene: Scene) -> None:
    """Who lost its patience sends again; also over another transport there is one effect (G2)."""
    request = a_request(Verb.CREATE)
    given = {"destination": scene.queue("TroubleTickets", "create"), "text": render_message(request).decode()}
    async with scene.hub() as running, scene.cis() as cis, Peer(running.address) as peer:
        first = await cis.order("ask", **given)
        again = await cis.order("ask", **given)
        over_http = (await peer.send(request)).message
    assert message_in(first) == message_in(again) == over_http
    assert again["JMSCorrelationID"] == again["asked"] != first["asked"]
    came = [one for one in await scene.log(verb="create") if one.archetype == "RequestMessage"]
    assert [one.repeat_of is None for one in came] == [True, False, False]


async def test_the_correlation_of_jms_is_apart_from_that_of_the_envelope(scene: Scene) -> None:
    """Each level is served by its own values: JMS programs match JMSCorrelationID, applications CorrelationID."""
    request = a_request(Verb.CREATE, correlation_id="of the application")
    given = {"destination": scene.queue("TroubleTickets", "create"), "text": render_message(request).decode()}
    async with scene.hub(), scene.cis() as cis:
        answer = await cis.order("ask", correlationID="of the transport", **given)
    assert answer["JMSCorrelationID"] == "of the transport"
    assert answer["correlation"] == "of the application"


async def test_replies_go_to_a_static_queue_too(scene: Scene) -> None:
    """JMSReplyTo need not be temporary: a farm of consumers may share one, and select by correlation."""
    replies = f"queue:{scene.context}.REPLIES"
    text = render_message(a_request(Verb.CREATE)).decode()
    async with scene.hub(), scene.cis() as cis:
        where = scene.queue("TroubleTickets", "create")
        await cis.order("send", destination=where, text=text, replyTo=replies, correlationID="c-1")
        answer = await cis.order("receive", destination=replies, selector="JMSCorrelationID = 'c-1'")
    reply = message_in(answer)
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is Result.OK


async def test_a_one_way_request_needs_no_place_for_a_reply(scene: Scene) -> None:
    """A reply may be absent; what was asked is done all the same."""
    request = a_request(Verb.CREATE, ack_required=False)
    async with scene.hub(BUS), scene.cis() as cis:
        await cis.order("subscribe", topic=f"{scene.context}.EVENTS.>", name="tickets", selector=EVENT_SELECTOR)
        await cis.order(
            "send", destination=scene.queue("TroubleTickets", "create"), text=render_message(request).decode()
        )
        (event,) = await cis.hear("event", 1)
    told = message_in(event)
    assert isinstance(told, EventMessage)
    assert told.header.correlation_id == request.header.message_id


async def test_a_later_reply_comes_to_the_queue_that_the_envelope_names(scene: Scene) -> None:
    """Asynchronous request and reply: receipt at once, and the outcome at ReplyAddress, which is a queue here."""
    address = f"jms:queue:{scene.context}.LATER"
    request = a_request(Verb.CREATE, async_reply_flag=True, reply_address=address)
    async with scene.hub(), scene.cis() as cis:
        given = {"destination": scene.queue("TroubleTickets", "create"), "text": render_message(request).decode()}
        receipt = await cis.order("ask", **given)
        later = await cis.order("receive", destination=f"queue:{scene.context}.LATER")
    assert (receipt["result"], receipt["code"]) == ("OK", "0.3")
    reply = message_in(later)
    assert isinstance(reply, ResponseMessage)
    assert (reply.reply.result, reply.reply.error[0].code) == (Result.OK, "0.0")
    assert reply.header.correlation_id == request.header.message_id


@pytest.mark.parametrize("kind", ["text", "bytes", "map"])
async def test_what_cannot_be_read_is_answered_kept_and_does_not_come_again(scene: Scene, kind: str) -> None:
    """One poisoned message must neither vanish nor stop the queue behind it."""
    where = scene.queue("TroubleTickets", "create")
    replies = f"queue:{scene.context}.REPLIES"
    async with scene.hub(), scene.cis() as cis:
        poison = {"text": "no envelope at all", "class": kind, "replyTo": replies, "correlationID": "poison"}
        await cis.order("send", destination=where, **poison)
        fault = await cis.order("receive", destination=replies, selector="JMSCorrelationID = 'poison'")
        answer = await cis.order("create", destination=where, mrid=str(uuid4()), messageID="behind it")
        again = await cis.order("receive", destination=where, within=500)
        (dead,) = await scene.dead_letters()
    assert dead["partner"] == "broker main"
    assert dead["reason"]
    assert dead["address"] == f"jms:{where}"
    assert isinstance(message_in(fault), FaultMessage)
    assert answer["result"] == "OK"
    assert again.get("silence") == "true"
    refused = [one for one in await scene.log() if one.outcome is Outcome.FAULT and one.direction == "in"]
    assert len(refused) == 1


async def test_a_message_as_bytes_is_read_like_a_text(scene: Scene) -> None:
    """Some programs send the envelope as a BytesMessage; the standard's text names no class."""
    given = {"destination": scene.queue("TroubleTickets", "create"), "replyTo": f"queue:{scene.context}.REPLIES"}
    text = render_message(a_request(Verb.CREATE)).decode()
    async with scene.hub(), scene.cis() as cis:
        await cis.order("send", text=text, **given, **{"class": "bytes"})
        answer = await cis.order("receive", destination=given["replyTo"])
    reply = message_in(answer)
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is Result.OK


async def test_what_has_expired_at_the_broker_is_not_done(scene: Scene) -> None:
    """Who asked with a time to live does not want the answer to yesterday's question; no hub was there in time."""
    where = scene.queue("TroubleTickets", "create")
    text = render_message(a_request(Verb.CREATE)).decode()
    async with scene.cis() as cis:
        await cis.order("send", destination=where, text=text, timeToLive=50)
        await asyncio.sleep(0.3)
        async with scene.hub():
            answer = await cis.order("create", destination=where, mrid=str(uuid4()), messageID="in time")
    assert answer["result"] == "OK"
    done = [one for one in await scene.log(verb="create") if one.archetype == "RequestMessage"]
    assert [one.message_id for one in done if one.outcome is not Outcome.FAULT] == ["in time"]
    # Whether the hub or the broker saw first that it had expired is up to them; what the hub saw it shows.
    late = [one for one in done if one.outcome is Outcome.FAULT]
    assert len(await scene.dead_letters()) == len(late)


async def test_with_a_selector_the_hub_takes_its_own_and_leaves_the_rest(scene: Scene) -> None:
    """Two systems share a queue; each takes what it serves, and the hub still proves that its consumer is attached."""
    wanted = "Noun = 'TroubleTickets'"
    listen = [f"queue:{scene.context}.SHARED WHERE {wanted}", f"topic:{scene.context}.EVENTS.> WHERE Verb = 'closed'"]
    shared = f"queue:{scene.context}.SHARED"
    event = render_message(build_message(Noun.SERVICE_ORDERS, Verb.CHANGED, seed=3)).decode()
    closed = render_message(build_message(Noun.SERVICE_ORDERS, Verb.CLOSED, seed=3)).decode()
    async with scene.hub(f"listen = {json.dumps(listen)}\nwatch_seconds = 1\n") as running, scene.cis() as cis:
        text = render_message(a_request(Verb.CREATE)).decode()
        await cis.order("send", destination=shared, text=text, property_Noun="WorkRequests")
        answer = await cis.order("ask", destination=shared, text=text, property_Noun="TroubleTickets")
        topic = f"topic:{scene.context}.EVENTS.ServiceOrders"
        await cis.order("send", destination=f"{topic}.changed", text=event, property_Verb="changed")
        await cis.order("send", destination=f"{topic}.closed", text=closed, property_Verb="closed")
        await until(lambda: bool(running.hub.listeners[0].counts.by[Taken.SERVED] >= 2))
        await until(lambda: all(one.proven_at for one in running.hub.listeners[0].state().consumers))
        await asyncio.sleep(2.5)
        state = running.hub.listeners[0].state()
        assert (state.trouble, [link.opened for link in state.links]) == ("", [1, 1, 1])
        left = await cis.order("receive", destination=shared)
    assert answer["result"] == "OK"
    assert left["text"] == text
    heard = [one.verb for one in await scene.log() if one.archetype == "EventMessage" and one.direction == "in"]
    assert heard == ["closed"]


async def test_a_selector_that_the_broker_cannot_read_is_told(scene: Scene) -> None:
    """The hub cannot know the language of each broker; an operator sees what the broker said."""
    listen = [f"queue:{scene.context}.SHARED WHERE Noun == 'A' AND"]
    table = broker_table(scene.broker, "stomp", scene.context, scene.folder, f"listen = {json.dumps(listen)}\n")
    async with local_hub(scene.folder, table) as running:
        await until(lambda: running.hub.listeners[0].state().links[1].failures > 0)
        trouble = running.hub.listeners[0].state().trouble
    assert "NET-12" in trouble
    assert "Noun == 'A' AND" in trouble


# ------------------------------------------------------------------------------------------------------- who owns


OMS = """
[systems.oms]
kind = "jms"
broker = "main"
destination = "queue:{context}.OMS.{{noun}}.{{verb}}"
source = "JAVA-OMS"
[subscriptions.feed]
kind = "rest"
url = "{address}/messages"
nouns = ["TroubleTickets"]
"""


async def test_the_outage_system_is_a_jms_program(scene: Scene) -> None:
    """One line of configuration, and the OMS is somebody else's on JMS; who asks over SOAP notices nothing of it."""
    with running_partner(name="FEED") as feed:
        more = OMS.format(context=scene.context, address=feed.address)
        async with scene.oms() as oms, scene.hub(more) as running, Peer(running.address) as peer:
            soap = await peer.soap()
            for verb in (Verb.CREATE, Verb.CHANGE, Verb.GET, Verb.CLOSE):
                request = a_request(verb)
                reply = (await soap.send(request)).message
                assert isinstance(reply, ResponseMessage)
                assert (reply.reply.result, reply.header.source) == (Result.OK, "JAVA-OMS"), reply
                assert reply.header.correlation_id == request.header.message_id
                assert (reply.payload is not None) == (verb is Verb.GET)
            await until(lambda: len(feed.entries) >= 3)
    asked = oms.told("request")
    assert [(one["verb"], one["source"]) for one in asked] == [
        (verb, "CALLS") for verb in ("create", "change", "get", "close")
    ]
    for one in asked:
        assert (one["class"], one["JMSDeliveryMode"]) == ("TextMessage", "2")
        assert one["JMSReplyTo"].startswith("queue:")
        assert (one["property.Verb"], one["property.Noun"]) == (one["verb"], "TroubleTickets")
        assert (one["property.Source"], one["property.MessageID"]) == ("CALLS", one["messageID"])
        assert int(one["JMSExpiration"]) > int(one["JMSTimestamp"])
    # Its events came into the hub by the topic, and went on to who subscribes.
    assert [(one.verb, one.source) for one in feed.entries] == [
        (verb, "JAVA-OMS") for verb in ("created", "changed", "closed")
    ]
    events = [one for one in await scene.log(noun="TroubleTickets") if one.archetype == "EventMessage"]
    assert {one.transport for one in events if one.direction == "in"} == {Transport.JMS}
    assert oms.told("trouble") == []


async def test_a_refusal_of_the_jms_program_is_passed_on(scene: Scene) -> None:
    """What the owner says is what the caller hears, with the owner's own code."""
    with running_partner(name="FEED") as feed:
        more = OMS.format(context=scene.context, address=feed.address)
        async with scene.oms() as oms, scene.hub(more) as running, Peer(running.address) as peer:
            reply = (await peer.send(a_request(Verb.CHANGE))).message
    assert isinstance(reply, ResponseMessage)
    assert (reply.reply.result, reply.reply.error[0].code) == (Result.FAILED, "2.15")
    assert len(oms.told("request")) == 1
