"""The feed of events: what happened, once each, page by page and by filter."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
import pytest
import pytest_asyncio

from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import parse_json
from cimcare.codec.payload import render_payload
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport, is_event
from cimcare.exchange.subscriptions import Filter
from cimcare.hub.rest import events as feed
from cimcare.hub.rest.events import Events
from cimcare.hub.rest.filters import EVENT_FILTERS, STREAM_FILTERS
from cimcare.model.envelope import EventMessage, Message, MessageProperty, Payload, RequestMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS
from tests.support.hub import call
from tests.unit.hub.conftest import NOON, HeldHub

pytestmark = pytest.mark.asyncio(loop_scope="module")


def an_event(seed: int = 0, noun: Noun = Noun.SERVICE_ORDERS, verb: Verb = Verb.CREATED) -> EventMessage:
    message = build_message(noun, verb, seed=seed)
    assert isinstance(message, EventMessage)
    return message


def pack(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw)).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HeldHub]:
    """A hub with a ticket and what followed, events of a partner in three forms, a repeat, and one that was refused."""
    held = HeldHub()
    await held.open(tmp_path_factory.mktemp("filled"))
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=0))
    await held.ask(an_event(0), CHANNELS["soap12"])
    await held.ask(an_event(0), CHANNELS["rest-json"])  # a repeat
    marked = an_event(1, Noun.SERVICE_REQUESTS)
    header = msgspec.structs.replace(marked.header, property=(MessageProperty(name="channel", value="voice"),))
    await held.ask(Message(header=header, payload=marked.payload))
    await held.ask(an_event(2, Noun.WORK_REQUESTS, Verb.EXECUTED), CHANNELS["rest-json"])
    refused = msgspec.structs.replace(an_event(3), payload=None)
    assert (await held.ask(refused)).reply.result == "FAILED"
    yield held
    await held.hub.close()


async def pages(held: HeldHub, query: str = "") -> list[dict[str, object]]:
    response = await held.get(f"/api/v1/events{query}")
    assert response.status == 200, response.body
    found: list[dict[str, object]] = json.loads(response.body)["items"]
    return found


def names(items: list[dict[str, object]]) -> list[str]:
    return [f"{item['verb']} {item['noun']}" for item in items]


async def test_each_event_stands_once_and_nothing_else_does(filled: HeldHub) -> None:
    """Own events and those of partners; neither requests and replies, nor repeats, nor what was refused."""
    items = await pages(filled)
    assert names(items) == [
        "created TroubleTickets",
        "created Incidents",
        "created ServiceOrders",
        "created ServiceRequests",
        "executed OperationSet",
    ]
    sequences = [item["sequence"] for item in items]
    assert sequences == sorted(set(sequences))


async def test_an_event_is_shown_whole_in_the_json_form(filled: HeldHub) -> None:
    """A program that reads the feed needs no XML and no second request."""
    items = await pages(filled, "?noun=ServiceOrders")
    sent = an_event(0)
    (item,) = items
    assert parse_json(json.dumps(item.pop("message")).encode()) == sent
    assert item.pop("sequence") > 0
    assert item == {
        "receivedAt": NOON.isoformat().replace("+00:00", "Z"),
        "verb": "created",
        "noun": "ServiceOrders",
        "source": sent.header.source,
        "messageId": sent.header.message_id,
        "correlationId": sent.header.correlation_id,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?verb=executed", ["executed OperationSet"]),
        ("?verb=executed&noun=OperationSet", ["executed OperationSet"]),
        ("?verb=deleted", ["executed OperationSet"]),
        ("?noun=Incidents&noun=ServiceOrders", ["created Incidents", "created ServiceOrders"]),
        ("?noun=Incidents&verb=closed", []),
        ("?source=OMS", ["created TroubleTickets", "created Incidents"]),
        ("?source=nobody", []),
        ("?area=NORTHLAKE&noun=ServiceOrders", ["created ServiceOrders"]),
        ("?area=southlake", []),
        ("?property=channel", ["created ServiceRequests"]),
        ("?property=channel%3Avoice", ["created ServiceRequests"]),
        ("?property=channel%3Aweb", []),
    ],
)
async def test_filters_of_events(filled: HeldHub, query: str, expected: list[str]) -> None:
    """As in a subscription."""
    assert names(await pages(filled, query)) == expected


async def test_an_event_is_found_by_its_premises(filled: HeldHub) -> None:
    """By mRID and by name, without regard to case."""
    (order,) = await pages(filled, "?noun=ServiceOrders")
    (item,) = order["message"]["Payload"]["content"][0]["Work"]
    place = item["WorkTasks"][0]["WorkLocation"]
    assert names(await pages(filled, f"?premises={quote(place['mRID'].upper())}&premises=x")) == [
        "created ServiceOrders"
    ]


async def test_pages_follow_one_another_and_say_where_to_go_on(filled: HeldHub) -> None:
    """Whoever was away asks with the last number that he knows, and misses nothing."""
    whole = await pages(filled)
    address, seen, last = "/api/v1/events?limit=2", [], 0
    while address:
        page = json.loads((await filled.get(address)).body)
        seen += page["items"]
        assert page["last"] >= last
        address, last = page["next"], page["last"]
    assert seen == whole
    assert await pages(filled, f"?after={last}") == []
    await filled.ask(an_event(9))
    assert names(await pages(filled, f"?after={last}")) == ["created ServiceOrders"]


@pytest.mark.parametrize(
    "query",
    [
        "?verb=create",
        "?noun=TroubleTicket",
        "?premises=",
        "?property=%3Avoice",
        "?after=-1",
        "?limit=0",
        "?colour=red",
        "?property=a&property=b",
        "?after=1&after=2",
    ],
)
async def test_filters_of_events_that_are_not_served(filled: HeldHub, query: str) -> None:
    """A filter that was misunderstood would hide events."""
    response = await filled.get(f"/api/v1/events{query}")
    assert response.status == 400
    assert json.loads(response.body)["finding"]["code"] == "EXC-110"


async def test_a_page_ends_when_it_has_cost_enough(filled: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that nothing passes must not read a log of millions in one go; the reader goes on from `last`."""
    monkeypatch.setattr(feed, "_AT_ONCE", 2)
    monkeypatch.setattr(feed, "_MOST_READ", 4)
    events = Events(filled.hub._store.reader, None)
    position, found, readings = 0, [], 0
    while True:
        page = await events.page(Filter(nouns=("WorkRequests",)), after=position, limit=100)
        assert page.last - position <= 4
        found += page.items
        position, readings = page.last, readings + 1
        if page.is_end:
            break
    assert [told.name for told in found] == ["executed.OperationSet"]
    assert readings > 2


async def test_a_page_ends_when_it_is_large_enough(filled: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand events may have a thousand megabytes."""
    monkeypatch.setattr(feed, "_MOST_BYTES", 1)
    page = await Events(filled.hub._store.reader, None).page(Filter(), after=0, limit=100)
    assert len(page.items) == 1
    assert not page.is_end


async def test_events_of_one_sender_can_be_left_out(filled: HeldHub) -> None:
    """A partner is not told what it has told itself."""
    page = await Events(filled.hub._store.reader, None).page(Filter(), after=0, limit=100, sender="OMS")
    assert {told.facts.source for told in page.items} == {"WMS-NORTHLAKE"}


async def test_compressed_content_is_unpacked(tmp_path: Path) -> None:
    """The filter looks into it, and the reader need not."""
    held = HeldHub()
    await held.open(tmp_path)
    event = an_event(0)
    assert event.payload is not None
    packed = pack(render_payload(event.payload.content[0]))
    await held.ask(msgspec.structs.replace(event, payload=Payload(compressed=packed)))
    (item,) = await pages(held, "?area=northlake")
    assert item["message"]["Payload"] == {"content": json.loads(msgspec.json.encode(event.payload))["content"]}
    await held.hub.close()


async def test_an_event_that_cannot_be_read_back_does_not_stop_the_feed(tmp_path: Path) -> None:
    """One broken row must not hide all that came after it; the operator is told which it is."""
    held = HeldHub()
    await held.open(tmp_path)
    entry = LogEntry(
        received_at=NOON,
        direction=Direction.OUT,
        transport=Transport.INTERNAL,
        archetype="EventMessage",
        verb="created",
        noun="Incidents",
    )
    request = build_message(Noun.INCIDENTS, Verb.CREATE)
    assert isinstance(request, RequestMessage)
    wrong = Payload(compressed=pack(b'<GetIncidents xmlns="http://iec.ch/TC57/2014/GetIncidents#"/>'))
    async with held.hub._store.transaction() as transaction:
        for raw in (
            b"no XML",
            render_message(request),
            render_message(msgspec.structs.replace(an_event(), payload=wrong)),
            render_message(an_event(5)),
        ):
            await transaction.log.append(entry, raw)
    assert len(await pages(held)) == 1
    assert [line["sequence"] for line in held.logged if line["event"] == "event cannot be read"] == [1, 2, 3]
    await held.hub.close()


async def test_an_event_that_is_removed_while_it_is_read_is_left_out(filled: HeldHub) -> None:
    """Retention goes on under a reader."""

    class Forgetful:
        def __init__(self, log: object) -> None:
            self.select = log.select

        async def find_raw(self, sequence: int) -> None:
            return None

    class Reader:
        log = Forgetful(filled.hub._store.reader.log)

    page = await Events(Reader(), None).page(Filter(), after=0, limit=100)
    assert not page.items
    assert page.is_end


def an_entry(**facts: object) -> LogEntry:
    usual = {"direction": Direction.IN, "transport": Transport.SOAP11, "archetype": "EventMessage", "verb": "created"}
    return LogEntry(received_at=NOON, **(usual | facts))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, True),
        ({"outcome": Outcome.OK}, True),
        ({"outcome": Outcome.PARTIAL, "archetype": "Message"}, True),
        ({"outcome": Outcome.FAILED}, False),
        ({"outcome": Outcome.FAULT}, False),
        ({"repeat_of": 3, "outcome": Outcome.OK}, False),
        ({"archetype": "RequestMessage", "verb": "create"}, False),
        ({"archetype": "Message", "verb": "create"}, False),
        ({"archetype": "ResponseMessage"}, False),
        ({"direction": Direction.OUT, "transport": Transport.INTERNAL, "outcome": Outcome.FAILED}, True),
        ({"direction": Direction.OUT, "transport": Transport.INTERNAL, "archetype": "RequestMessage"}, False),
        ({"direction": Direction.OUT}, False),
    ],
)
async def test_what_an_event_is(facts: dict[str, object], expected: bool) -> None:
    """It has happened even where a built-in listener could make nothing of it; what goes to a partner is a copy."""
    assert is_event(an_entry(**facts)) is expected


async def test_next_keeps_the_filter(filled: HeldHub) -> None:
    """Following `next` is the same as asking for a longer page."""
    query = urlencode([("noun", "Incidents"), ("noun", "ServiceOrders"), ("limit", "1")])
    page = json.loads((await filled.get(f"/api/v1/events?{query}")).body)
    assert page["next"] == f"/api/v1/events?{query}&after={page['last']}"


async def test_the_stream_begins_behind_what_a_client_knows(filled: HeldHub) -> None:
    """A browser that comes again says the last number itself; it counts more than that in the address."""
    response = await call(filled.hub.app, "/api/v1/events/stream?after=0", method="GET", headers={"last-event-id": "7"})
    assert response is not None
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?limit=1", {}), ("?after=x", {}), ("", {"last-event-id": "x"}), ("", {"last-event-id": "-1"})],
)
async def test_a_stream_from_nowhere_is_not_begun(filled: HeldHub, query: str, headers: dict[str, str]) -> None:
    """Who means a place that does not exist would wait for what never comes."""
    response = await call(filled.hub.app, f"/api/v1/events/stream{query}", method="GET", headers=headers)
    assert response is not None
    assert response.status == 400
    assert json.loads(response.body)["finding"]["code"] == "EXC-110"


async def test_too_many_streams_are_told_to_come_later(filled: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a status that a client understands, and another way to get the events."""
    monkeypatch.setattr(filled.hub.streams, "most", 0)
    response = await filled.get("/api/v1/events/stream")
    assert (response.status, json.loads(response.body)["finding"]["code"]) == (503, "EXC-120")
    assert response.headers["retry-after"] == "30"


async def test_the_description_names_every_filter_of_events(filled: HeldHub) -> None:
    """Made from the tables that read them."""
    paths = json.loads((await filled.get("/api/v1/openapi.json")).body)["paths"]
    listed = {one["name"] for one in paths["/api/v1/events"]["get"]["parameters"]}
    streamed = {one["name"] for one in paths["/api/v1/events/stream"]["get"]["parameters"]}
    assert listed == set(EVENT_FILTERS)
    assert streamed == {*STREAM_FILTERS, "Last-Event-ID"}
