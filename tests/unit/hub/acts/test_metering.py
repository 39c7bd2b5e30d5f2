"""Tables of meter events over REST: each taken once, kept, counted, sealed, and answered so that rows can be found."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.errors import finding_of
from cimcare.exchange.ledger import Account
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.outbox import DeliverySelection
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Event, Served, ServingContext
from cimcare.exchange.store import StoreError
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub import app
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import ObjectID, Result
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.samples import build_payload
from cimcare.samples.northlake import PREMISES_COUNT, find_premises
from tests.support.hub import Response, call
from tests.support.sender import ScriptedSender
from tests.support.stored import THINGS, a_thing, stored_in
from tests.unit.hub.conftest import NOON, HeldHub

TABLE = b"point,state,at\nUP-1,off,2030-06-01T11:58:00Z\nUP-2,off,2030-06-01T11:59:00Z\n"
AS_JSON = msgspec.json.encode(
    [
        {"point": "UP-1", "state": "off", "at": "2030-06-01T11:58:00Z"},
        {"point": "UP-2", "state": "off", "at": "2030-06-01T12:59:00+01:00"},
    ]
)
GIS = Partner(name="gis", url="http://gis.example/soap", source="GIS")
SUBSCRIPTION = Subscription(name="gis", partner="gis", filter=Filter(nouns=("Incidents",)))


class Judge:
    """Judges tables as the test says, and remembers them."""

    def __init__(self) -> None:
        self.tables: list[tuple[MeterEvent, ...]] = []
        self.contexts: list[ServingContext] = []
        self.says: Served | Exception = Served(result=Result.OK, ids=(ObjectID(value="i-1"),))
        self.gate: asyncio.Event | None = None

    async def __call__(self, events: tuple[MeterEvent, ...], context: ServingContext) -> Served:
        self.tables.append(events)
        self.contexts.append(context)
        await context.records.save(THINGS, a_thing(f"table {len(self.tables)}"))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Metered(HeldHub):
    """A hub with such a judge, and one partner that hears of incidents."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()

    async def send(self, raw: bytes = TABLE, content_type: str = "text/csv", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await call(
            self.hub.app, "/api/v1/meter-events", raw, headers={"content-type": content_type, **named}
        )
        assert response is not None
        return response

    async def tables(self, **wanted: object) -> tuple[LogEntry, ...]:
        return await self.log(noun="MeterEvents", **wanted)


@pytest.fixture
async def metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    held = Metered()
    monkeypatch.setattr(app, "take_meter_events", held.judge)
    await held.open(tmp_path, sender=ScriptedSender(), partners=[GIS], subscriptions=[SUBSCRIPTION])
    yield held
    await held.hub.close()


def told(response: Response) -> dict[str, object]:
    return msgspec.json.decode(response.body, type=dict[str, object])


async def assert_sound(held: Metered) -> None:
    """Counts and seals are as they are to be."""
    found = await balances(held.store.reader, NOON - timedelta(hours=1), held.now + timedelta(hours=1))
    assert [one for one in found if one.missing] == []
    assert (await verify(held.store.reader)).flaws == ()


async def test_a_table_is_judged_kept_and_answered(metered: Metered) -> None:
    """The log has it as it came, for whoever asks later why an incident was opened."""
    response = await metered.send(x_actor="HEAD-END")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert told(response) == {
        "sequence": 1,
        "result": "OK",
        "events": 2,
        "ids": [{"value": "i-1"}],
        "findings": [],
    }
    (events,) = metered.judge.tables
    assert [(one.point, one.is_off) for one in events] == [("UP-1", True), ("UP-2", True)]
    (context,) = metered.judge.contexts
    assert (context.header.source, context.now) == ("HEAD-END", NOON)
    table, answer = await metered.tables()
    assert (table.archetype, table.partner, table.transport) == ("Table", "HEAD-END", Transport.REST_TABLE)
    assert (table.outcome, table.direction) == (Outcome.OK, Direction.IN)
    assert await metered.store.reader.log.find_raw(table.sequence) == TABLE
    assert (answer.archetype, answer.answer_to, answer.direction) == ("TableAnswer", table.sequence, Direction.OUT)
    assert await metered.store.reader.log.find_raw(answer.sequence) == response.body
    await assert_sound(metered)


async def test_what_follows_is_told_with_the_table_as_its_cause(metered: Metered) -> None:
    """Partners hear of the incident, and who looks back finds the table behind it."""
    payload = build_payload(Noun.INCIDENTS)
    event = Event(verb=Verb.CREATED, noun=Noun.INCIDENTS, payload=payload, source=Role.OMS)
    metered.judge.says = Served(result=Result.OK, events=(event,))
    sequence = told(await metered.send(idempotency_key="k-1"))["sequence"]
    (told_event,) = await metered.log(noun="Incidents")
    assert (told_event.answer_to, told_event.correlation_id) == (sequence, "k-1")
    (delivery,) = await metered.store.reader.outbox.select(DeliverySelection(partner="gis"))
    assert (delivery.cause, delivery.message) == (sequence, told_event.sequence)
    await assert_sound(metered)


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "k-1"}], ids=["by its events", "by a key"])
async def test_a_repeat_gets_the_same_answer_and_has_no_second_effect(
    metered: Metered, headers: dict[str, str]
) -> None:
    """A sender that lost the answer sends again, be it in the other form."""
    first = await metered.send(**headers)
    metered.later(hours=1)
    second = await metered.send(AS_JSON, "application/json; charset=utf-8", **headers)
    assert (second.status, second.body) == (200, first.body)
    assert len(metered.judge.tables) == 1
    assert [one.repeat_of for one in await metered.tables(direction=Direction.IN)] == [None, 1]
    await assert_sound(metered)


async def test_two_senders_do_not_repeat_each_other(metered: Metered) -> None:
    """Keys are a sender's own."""
    for sender in ("A", "B"):
        await metered.send(x_actor=sender, idempotency_key="k-1")
    assert len(metered.judge.tables) == 2


async def test_other_content_under_the_same_key_is_refused(metered: Metered) -> None:
    """One of the two would be lost without a word."""
    await metered.send(idempotency_key="k-1")
    other = await metered.send(TABLE.replace(b"off", b"on"), idempotency_key="k-1")
    assert (other.status, told(other)["type"]) == (400, "urn:cimcare:error:EXC-101")
    assert len(metered.judge.tables) == 1
    await assert_sound(metered)


async def test_a_wrong_table_is_refused_as_a_whole_kept_and_explained(metered: Metered) -> None:
    """With the rows, and without a half of it having happened."""
    response = await metered.send(TABLE + b"UP-3,away,now\n")
    assert (response.status, response.headers["content-type"]) == (400, "application/problem+json")
    findings = told(response)["findings"]
    assert isinstance(findings, list)
    assert [one["path"] for one in findings] == ["/events[3]/state", "/events[3]/at"]
    assert metered.judge.tables == []
    (kept,) = await metered.tables()
    assert (kept.outcome, kept.codes) == (Outcome.FAILED, ("COD-101",))
    assert (await metered.send()).status == 200, "a corrected one is another one"
    await assert_sound(metered)


async def test_what_the_judgement_refuses_leaves_nothing_and_may_come_again(metered: Metered) -> None:
    """None of the meters is known yet; after the network was imported they are."""
    finding = finding_of("REF-103", "/events[1]/point", "UP-1", "a usage point that is known")
    metered.judge.says = Served(result=Result.FAILED, findings=(finding,))
    response = await metered.send()
    assert (response.status, told(response)["type"]) == (404, "urn:cimcare:error:REF-103")
    assert await stored_in(metered.store) == []
    metered.judge.says = Served(result=Result.OK)
    assert (await metered.send()).status == 200
    assert await stored_in(metered.store) == ["table 2"]
    await assert_sound(metered)


async def test_an_error_is_said_to_be_one_and_leaves_nothing(metered: Metered) -> None:
    """The same table may be sent again."""
    metered.judge.says = ZeroDivisionError("content")
    response = await metered.send()
    assert (response.status, told(response)["type"]) == (500, "urn:cimcare:error:EXC-109")
    assert "content" not in str(told(response))
    metered.judge.says = StoreError("disk full")
    assert (await metered.send()).status == 503
    metered.judge.says = Served(result=Result.OK)
    assert (await metered.send()).status == 200
    assert await stored_in(metered.store) == ["table 3"]
    await assert_sound(metered)


async def test_only_so_many_at_once(metered: Metered) -> None:
    """Each holds its table in memory, and the store serves one after another (G8)."""
    metered.judge.gate = asyncio.Event()
    others = [asyncio.create_task(metered.send(x_actor=f"M{number}")) for number in range(8)]
    for _ in range(200):
        await asyncio.sleep(0)
    late = await metered.send()
    assert (late.status, told(late)["type"], late.headers["retry-after"]) == (503, "urn:cimcare:error:EXC-108", "2")
    metered.judge.gate.set()
    assert [one.status for one in await asyncio.gather(*others)] == [200] * 8
    assert (await metered.send()).status == 200


async def test_without_an_outage_management_here_nothing_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one has its own meters; to keep events that nobody judges would look like taking them."""
    held = Metered()
    monkeypatch.setattr(app, "take_meter_events", held.judge)
    owns = (Noun.TROUBLE_TICKETS, Noun.INCIDENTS)
    oms = Partner(name="adms", url="http://adms.example/soap", source="ADMS", role=Role.OMS, owns=owns)
    await held.open(tmp_path, sender=ScriptedSender(), partners=[oms])
    response = await held.send()
    await held.hub.close()
    assert (response.status, told(response)["type"]) == (409, "urn:cimcare:error:EXC-138")
    assert held.judge.tables == []


async def test_bounds_and_forms_of_the_request(metered: Metered) -> None:
    """Each with its own status."""
    assert (await metered.send(b"x" * (8 * 1024 * 1024 + 1))).status == 413
    assert (await metered.send(content_type="text/plain")).status == 415
    assert (await metered.send(idempotency_key="k" * 201)).status == 400
    response = await call(metered.hub.app, "/api/v1/meter-events", method="GET")
    assert response is not None
    assert (response.status, response.headers["allow"]) == (405, "POST")


async def test_a_table_is_a_message_to_whom_it_may_concern(metered: Metered) -> None:
    """The ledger has it under its sender."""
    await metered.send(x_actor="HEAD-END")
    await metered.send(x_actor="HEAD-END")
    await metered.send(b"", x_actor="HEAD-END")
    found = await balances(metered.store.reader, NOON - timedelta(hours=1), NOON + timedelta(hours=1), "HEAD-END")
    ((line, waiting, missing),) = [(one.line, one.waiting, one.missing) for one in found]
    assert (line.account, line.received, line.delivered, line.repeats, line.refused) == (Account.IN, 3, 1, 1, 1)
    assert (waiting, missing) == (0, 0)


async def test_meters_that_go_off_open_an_incident_which_they_end(tmp_path: Path) -> None:
    """The whole way, with the judgement that is built in: what meters say is seen, and told on as messages."""
    held = HeldHub()
    sender = ScriptedSender()
    await held.open(tmp_path, seed_town=True, sender=sender, partners=[GIS], subscriptions=[SUBSCRIPTION])
    fed_by = find_premises(0).device
    homes = [one for one in map(find_premises, range(PREMISES_COUNT)) if one.device == fed_by]

    def table(state: str, minutes: int) -> bytes:
        rows = (f"{home.mrid('usage_point')},{state},2030-06-01T12:{minutes:02}:00Z\n" for home in homes)
        return ("point,state,at\n" + "".join(rows) + f"NO-SUCH,{state},2030-06-01T12:{minutes:02}:00Z\n").encode()

    held.later(minutes=10)
    response = await call(held.hub.app, "/api/v1/meter-events", table("off", 1), headers={"content-type": "text/csv"})
    assert response is not None
    assert (response.status, told(response)["result"]) == (200, "PARTIAL")
    findings = told(response)["findings"]
    assert isinstance(findings, list)
    assert [(one["code"], one["path"]) for one in findings] == [("REF-140", f"/events[{len(homes) + 1}]/point")]
    opened = msgspec.json.decode((await held.get("/api/v1/Incidents")).body)["items"]
    assert opened
    held.later(minutes=20)
    response = await call(held.hub.app, "/api/v1/meter-events", table("on", 20), headers={"content-type": "text/csv"})
    assert response is not None
    assert response.status == 200
    after = msgspec.json.decode((await held.get("/api/v1/Incidents")).body)["items"]
    assert {one["mRID"] for one in after} == {one["mRID"] for one in opened}
    assert {one["state"] for one in after} != {one["state"] for one in opened}
    verbs = [one.verb for one in await held.log(noun="Incidents") if one.archetype == "EventMessage"]
    assert verbs[0] == "created"
    assert "closed" in verbs
    assert (await verify(held.store.reader)).flaws == ()
    await held.hub.close()
