"""A hub at an ActiveMQ: what is promised over HTTP is promised over JMS, whatever of the two is killed (G1 to G4)."""

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.partners import Tls
from cimcare.model.envelope import Header, Reply, ReplyError, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    Arrived,
    BrokerError,
    BrokerMessage,
    Credentials,
    HeartBeat,
    Session,
    parse_address,
    parse_destination,
)
from tests.support.hub import hub_process
from tests.support.services import Broker

SECONDS = 60.0
MANY = 60


def a_ticket(number: int) -> tuple[str, RequestMessage]:
    """Identity and request of one ticket."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=number)
    ticket = message.payload.content[0].trouble_ticket[0]
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    ticket = msgspec.structs.replace(ticket, mrid=mrid, names=(), incident=None)
    payload = msgspec.structs.replace(message.payload.content[0], trouble_ticket=(ticket,))
    header = msgspec.structs.replace(
        message.header, source="PEER", context="TESTING", message_id=MessageID(f"jms-{number}"), correlation_id=None
    )
    return mrid, msgspec.structs.replace(
        message, header=header, payload=msgspec.structs.replace(message.payload, content=(payload,))
    )


class Peer:
    """A customer system that knows the broker alone; it reconnects, and asks again what was not answered."""

    def __init__(self, broker: Broker, context: str) -> None:
        self._broker = broker
        self._context = context
        self.replies: dict[str, list[Result]] = {}
        self.events: list[str] = []
        self.session: Session | None = None
        self._tasks: set[asyncio.Future[None]] = set()

    async def connect(self) -> Session:
        """A session with its reply queue and durable subscription, as soon as there is a broker."""
        async with asyncio.timeout(SECONDS):
            while self.session is None or self.session.lost.done():
                try:
                    session = await open_session(
                        parse_address(self._broker.url("stomp")),
                        client_id=f"peer-{self._context}",
                        credentials=Credentials(),
                        tls=Tls(),
                        heart_beat=HeartBeat(seconds=2),
                        within=10,
                    )
                    self.reply_to = await session.open_reply_queue(self._reply)
                    events = parse_destination(f"topic:{self._context}.EVENTS.TroubleTickets.>", patterns=True)
                    await session.subscribe(events, self._event, durable="peer")
                    self.session = session
                except BrokerError:
                    await asyncio.sleep(0.2)
            return self.session

    def _reply(self, arrived: Arrived) -> None:
        message = parse_message(arrived.message.body)
        assert isinstance(message, ResponseMessage)
        self.replies.setdefault(arrived.message.correlation_id, []).append(message.reply.result)

    def _event(self, arrived: Arrived) -> None:
        self.events.append(arrived.message.properties["MessageID"])
        task = asyncio.ensure_future(self._acknowledge(arrived))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _acknowledge(self, arrived: Arrived) -> None:
        while self.session is None:
            await asyncio.sleep(0.01)
        with contextlib.suppress(BrokerError):  # it comes again
            await self.session.acknowledge(arrived)

    async def ask(self, message: RequestMessage) -> None:
        """Ask until it is answered."""
        key = str(message.header.message_id)
        async with asyncio.timeout(SECONDS):
            while key not in self.replies:
                session = await self.connect()
                asked = BrokerMessage(body=render_message(message), correlation_id=key, reply_to=self.reply_to)
                name = f"{self._context}.REQUESTS.{message.header.noun}.{message.header.verb}"
                try:
                    await session.publish(parse_destination(f"queue:{name}"), asked, within=10)
                except BrokerError:
                    continue
                for _ in range(50):
                    if key in self.replies or session.lost.done():
                        break
                    await asyncio.sleep(0.1)

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


@pytest.fixture
async def peer(activemq: Broker, broker_context: str) -> AsyncIterator[Peer]:
    made = Peer(activemq, broker_context)
    yield made
    await made.close()


def settings_for(broker: Broker, context: str, more: str = "") -> str:
    return (
        f'brokers.main.urls = ["{broker.url("stomp")}"]\nbrokers.main.context = "{context}"\n'
        "brokers.main.heart_beat_seconds = 2\nbrokers.main.reconnect_most_seconds = 1\nbrokers.main.watch_seconds = 2\n"
        "delivery.lease_seconds = 2\n"
        '[partners.bus]\nkind = "jms"\nbroker = "main"\nretry_most_seconds = 1\n[subscriptions.all]\npartner = "bus"\n'
        f"{more}"
    )


def tickets_in(folder: Path) -> Counter[str]:
    with sqlite3.connect(folder / "hub.db") as connection:
        rows = connection.execute("SELECT mrid FROM records WHERE collection = 'oms.TroubleTickets'").fetchall()
    connection.close()
    return Counter(mrid for (mrid,) in rows)


def created_in(folder: Path) -> list[str]:
    """MessageIDs of the events that tell of tickets, as many as there were effects."""
    with sqlite3.connect(folder / "hub.db") as connection:
        rows = connection.execute(
            "SELECT message_id FROM messages WHERE direction = 'out' AND transport = 'internal'"
            " AND verb = 'created' AND noun = 'TroubleTickets'"
        ).fetchall()
    connection.close()
    return [message_id for (message_id,) in rows]


async def until(is_so: object) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.1)


async def test_a_request_is_answered_and_its_event_told(
    activemq: Broker, broker_context: str, peer: Peer, tmp_path: Path
) -> None:
    """The whole way, there and back."""
    mrid, message = a_ticket(1)
    with hub_process(tmp_path, settings_for(activemq, broker_context)):
        await peer.ask(message)
        await until(lambda: peer.events)
    assert peer.replies == {"jms-1": [Result.OK]}
    assert tickets_in(tmp_path) == Counter([mrid])
    assert set(peer.events) == set(created_in(tmp_path))


@pytest.mark.parametrize("victim", ["broker", "hub"])
async def test_whoever_is_killed_nothing_is_lost_and_nothing_doubled(
    activemq: Broker, broker_context: str, peer: Peer, tmp_path: Path, victim: str
) -> None:
    """G1 to G3: under load, consumers come back by themselves, redeliveries have no effect, no event is missed."""
    tickets = dict(a_ticket(number) for number in range(MANY))
    text = settings_for(activemq, broker_context)
    await peer.connect()
    asking = [asyncio.create_task(peer.ask(message)) for message in tickets.values()]
    with hub_process(tmp_path, text) as first:
        await until(lambda: len(peer.replies) >= MANY // 10)
        if victim == "broker":
            await asyncio.to_thread(activemq.restart)
            await asyncio.gather(*asking)
            await until(lambda: set(created_in(tmp_path)) <= set(peer.events))
        else:
            first.kill()
    if victim == "hub":
        assert len(peer.replies) < MANY
        with hub_process(tmp_path, text):
            await asyncio.gather(*asking)
            await until(lambda: set(created_in(tmp_path)) <= set(peer.events))
    assert {result for results in peer.replies.values() for result in results} == {Result.OK}
    assert tickets_in(tmp_path) == Counter(list(tickets))
    assert len(created_in(tmp_path)) == MANY


async def test_a_partner_behind_a_broker_plays_the_outage_management(
    activemq: Broker, broker_context: str, tmp_path: Path
) -> None:
    """Asked by HTTP, served by JMS: the sender sees no difference, and order is kept (G4)."""
    served: list[str] = []
    session = await open_session(
        parse_address(activemq.url("stomp")),
        client_id="",
        credentials=Credentials(),
        tls=Tls(),
        heart_beat=HeartBeat(),
        within=10,
    )

    async def serve(arrived: Arrived) -> None:
        asked = parse_message(arrived.message.body)
        served.append(str(asked.header.message_id))
        header = Header(
            verb=Verb.REPLY, noun=asked.header.noun, correlation_id=CorrelationID(str(asked.header.message_id))
        )
        body = render_message(
            ResponseMessage(header=header, reply=Reply(result=Result.OK, error=(ReplyError(code="0.0"),)))
        )
        assert arrived.message.reply_to is not None
        reply = BrokerMessage(body=body, correlation_id=arrived.message.correlation_id)
        await session.publish(arrived.message.reply_to, reply, within=10)
        await session.acknowledge(arrived)

    tasks = set()
    queue = parse_destination(f"queue:OMS.{broker_context}.>", patterns=True)
    await session.subscribe(queue, lambda arrived: tasks.add(asyncio.ensure_future(serve(arrived))))
    more = (
        '[systems.oms]\nkind = "jms"\nbroker = "main"\ndestination = "queue:OMS.{context}.{noun}.{verb}"\n'
        "deadline_seconds = 20\n"
    )
    try:
        with hub_process(tmp_path, settings_for(activemq, broker_context, more)) as hub:
            async with aiohttp.ClientSession() as http:
                for number in range(5):
                    _, message = a_ticket(number)
                    async with http.post(
                        f"{hub.address}/messages",
                        data=render_message(message),
                        headers={"content-type": "application/xml"},
                    ) as answer:
                        reply = parse_message(await answer.read())
                    assert isinstance(reply, ResponseMessage)
                    assert (reply.reply.result, reply.header.correlation_id) == (Result.OK, f"jms-{number}")
    finally:
        await session.close()
    assert served == [f"jms-{number}" for number in range(5)]


async def test_events_about_one_object_come_in_order(
    activemq: Broker, broker_context: str, peer: Peer, tmp_path: Path
) -> None:
    """G4: the courier begins the next event about an object when the broker has confirmed the one before."""
    messages = [a_ticket(number)[1] for number in range(20)]
    with hub_process(tmp_path, settings_for(activemq, broker_context)):
        for message in messages:
            await peer.ask(message)
        await until(lambda: set(created_in(tmp_path)) <= set(peer.events))
    assert list(dict.fromkeys(peer.events)) == created_in(tmp_path)
