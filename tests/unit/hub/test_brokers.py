"""A whole hub at a broker in memory: in by queue, out by topic, and what operators see of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.codec.envelope import parse_message, render_message
from cimcare.hub.app import Hub
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.broker.ports import BrokerMessage
from tests.support.broker_sessions import MemoryBroker, a_place
from tests.support.hub import Response, call, hub_settings

SETTINGS = """
hub.context = "TESTING"
delivery.poll_seconds = 0.05
[brokers.main]
urls = ["stomp://here"]
reconnect_first_seconds = 0.01
reconnect_most_seconds = 0.02
watch_seconds = 0
[partners.bus]
kind = "jms"
broker = "main"
[subscriptions.all]
partner = "bus"
"""
QUEUE = "queue:TESTING.REQUESTS.TroubleTickets.create"


def a_request(**header: object) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=7)
    changed = msgspec.structs.replace(message.header, context="TESTING", **header)
    return msgspec.structs.replace(message, header=changed)


class House:
    def __init__(self, hub: Hub, broker: MemoryBroker) -> None:
        self.hub = hub
        self.broker = broker

    async def until(self, text: str, count: int = 1) -> list[BrokerMessage]:
        async with asyncio.timeout(10):
            while len(self.broker.sent_to(text)) < count:
                await asyncio.sleep(0.01)
        return self.broker.sent_to(text)

    async def get(self, path: str) -> bytes:
        response = await call(self.hub.app, path, method="GET")
        assert response is not None
        return response.body

    async def post(self, path: str, body: bytes, content_type: str) -> Response:
        response = await call(self.hub.app, path, body, headers={"content-type": content_type})
        assert response is not None
        return response


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    broker = MemoryBroker()
    logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()])
    hub = await Hub.open(hub_settings(tmp_path, SETTINGS), open_session=broker.open_session, logger=logger)
    async with asyncio.timeout(10):
        while not all(each.attached for each in hub.listeners[0].state().consumers):
            await asyncio.sleep(0.01)
    yield House(hub, broker)
    await hub.close()
    assert not broker.sessions


async def test_a_request_by_queue_has_its_reply_and_its_event_by_topic(house: House) -> None:
    """The whole way, with the log telling how each message came and went."""
    house.broker.put(QUEUE, BrokerMessage(body=render_message(a_request()), reply_to=a_place("queue:BACK")))
    (reply,) = await house.until("queue:BACK")
    message = parse_message(reply.body)
    assert isinstance(message, ResponseMessage)
    assert message.reply.result is Result.OK
    (event,) = await house.until("topic:TESTING.EVENTS.TroubleTickets.created")
    assert event.properties["Verb"] == "created"
    listed = json.loads(await house.get("/api/v1/messages"))["items"]
    assert {(one["direction"], one["transport"]) for one in listed} >= {("in", "jms"), ("out", "jms")}


async def test_a_repeat_gets_the_same_answer_byte_for_byte(house: House) -> None:
    """G2: a redelivery is the everyday life of a queue."""
    message = BrokerMessage(body=render_message(a_request(message_id=None)), message_id="ID:1")
    for times in (0, 3):
        house.broker.put(QUEUE, msgspec.structs.replace(message, reply_to=a_place("queue:BACK"), redeliveries=times))
    first, second = await house.until("queue:BACK", 2)
    assert first.body == second.body
    listed = json.loads(await house.get("/api/v1/messages"))["items"]
    came = sorted((one["sequence"], one["redeliveries"]) for one in listed if one["direction"] == "in")
    assert [times for _, times in came] == [0, 3]
    await asyncio.sleep(0.1)
    assert len(house.broker.sent_to("topic:TESTING.EVENTS.TroubleTickets.created")) == 1


async def test_an_asynchronous_request_is_acknowledged_and_answered_by_queue(house: House) -> None:
    """JMSReplyTo is the ReplyAddress of who names none."""
    body = render_message(a_request(async_reply_flag=True))
    house.broker.put(QUEUE, BrokerMessage(body=body, reply_to=a_place("queue:BACK")))
    receipt, reply = await house.until("queue:BACK", 2)
    assert b"<code>0.3</code>" in receipt.body
    assert b"<Result>OK</Result>" in reply.body


async def test_a_queue_as_reply_address_is_refused_of_what_came_by_http(house: House) -> None:
    """Whoever can send to the hub must not thereby write into any queue."""
    raw = render_message(a_request(async_reply_flag=True, reply_address="jms:queue:SECRET?broker=main"))
    response = await house.post("/messages", raw, "application/xml")
    assert b"EXC-116" in response.body
    assert not house.broker.sent_to("queue:SECRET")


async def test_a_subscription_by_api_may_name_a_broker(house: House) -> None:
    """A broker is part of the configuration; where at it, is the subscriber's affair."""
    body = json.dumps({"name": "gis", "kind": "jms", "broker": "main", "destination": "topic:GIS.{noun}"}).encode()
    response = await house.post("/api/v1/subscriptions", body, "application/json")
    assert response.status == 201, response.body
    house.broker.put(QUEUE, BrokerMessage(body=render_message(a_request())))
    await house.until("topic:GIS.TroubleTickets")
    body = json.dumps({"name": "other", "kind": "jms", "broker": "none"}).encode()
    response = await house.post("/api/v1/subscriptions", body, "application/json")
    assert (response.status, b"SET-132" in response.body) == (400, True)


async def test_operators_see_how_it_is_with_brokers(house: House) -> None:
    """Over REST, in metrics, and in the database for commands."""
    (item,) = json.loads(await house.get("/api/v1/brokers"))["items"]
    assert item["broker"]["trouble"] == ""
    assert [each["attached"] for each in item["broker"]["consumers"]] == [True, True, True]
    house.broker.put(QUEUE, BrokerMessage(body=b"<a"))
    async with asyncio.timeout(10):
        while not house.hub.listeners[0].state().counts["unreadable"]:
            await asyncio.sleep(0.01)
    await house.hub.upkeep.watcher.look()
    shown = (await house.get("/metrics")).decode()
    assert 'cimcare_broker_messages_total{broker="main",outcome="unreadable"} 1.0' in shown
    assert 'cimcare_broker_sessions{broker="main",purpose="topics"} 1.0' in shown
    assert 'cimcare_broker_consumers{broker="main"} 3.0' in shown
    house.broker.is_up = False
    house.broker.break_off()
    (item,) = json.loads(await house.get("/api/v1/brokers"))["items"]
    assert re.match("no session for (sending|queues|topics)", item["broker"]["trouble"])
