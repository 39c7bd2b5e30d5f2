"""Drills touch nothing that is real: whatever is marked as one, in and out, on every store."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from cimcare.exchange.drills import DRILLED, DRILLS, HEARD, PROPERTY, REPLIES, Drilled, Ending
from cimcare.exchange.partners import Drill, Partner, Replies
from cimcare.exchange.ports import Selection, Stored
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.app import Hub
from cimcare.hub.intake.admission import Place
from cimcare.hub.operation.auditing import verify
from cimcare.hub.outgoing import drilling
from cimcare.model.envelope import (
    AnyMessage,
    FaultMessage,
    Header,
    MessageProperty,
    Operation,
    OperationSet,
    Payload,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.nouns import ENTRIES, Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.samples import build_message
from cimcare.store.memory import MemoryStore
from cimcare.store.opening import open_store
from cimcare.store.tables import METADATA
from tests.support.channels import CHANNELS
from tests.support.hub import hub_settings
from tests.support.sender import broken, replied, reply_to, silent
from tests.support.stored import ALL_STORES
from tests.unit.hub.outgoing.test_delivery import Delivering

MORE = """
[hub]
context = "PRODUCTION"
address = "http://hub.example"
tick_seconds = 0
[delivery]
poll_seconds = 0.05
[retention]
every_minutes = 0
[alarms]
every_seconds = 3600
[doctor]
pause_seconds = 0
"""
DECLARED = {"hub.drills", "hub.drilled", "hub.drills-heard", "hub.drill-replies", "hub.touched", "hub.disk"}
"""Collections that are there for drills and the sheet."""
BY_THE_CLOCK = {"hub.Minutes", "hub.Standings"}
"""Collections that grow by the minute, whatever else is done."""

LISTENER = Partner(name="crm", url="http://crm.example/soap", source="CRM", drill=Drill.TICKET)
RETAILER = Partner(name="shop", url="http://shop.example/soap", source="SHOP", third_party=True, drill=Drill.TICKET)
WORKS = Partner(name="wms", url="http://wms.example/soap", source="NEW-WMS", owns=(Noun.WORK_REQUESTS,))
EVERYTHING = tuple(Subscription(name=name, partner=name, filter=Filter()) for name in (LISTENER.name, RETAILER.name))
NOT_COUNTED = ("cimcare_readiness", "cimcare_drill", "cimcare_commit_batch", "cimcare_queue_depth", "#")


class Drilling(Delivering):
    """A hub on any store, with real partners and real traffic behind it."""

    database: str

    async def start(self, folder: Path, database: str, *partners: Partner) -> None:
        self.database = database
        settings = msgspec.structs.replace(
            hub_settings(folder, MORE, seed_town=True, database=database),
            partners=partners or (LISTENER, RETAILER, WORKS),
            subscriptions=() if partners else EVERYTHING,
        )
        self.store = await open_store(database)
        self.hub = await Hub.open(
            settings, clock=self.clock, new_id=self.new_id, store=self.store, sender=self.sender, channels={}
        )

    async def rest(self) -> None:
        """Wait until nothing is under way."""

        async def is_so() -> bool:
            return not any(one.waiting for one in await self.store.reader.outbox.backlogs())

        await self.until(is_so)

    async def everything(self) -> dict[str, list[str]]:
        """Every row of every table, but for what is declared."""
        if isinstance(self.store, MemoryStore):
            snapshot = self.store.snapshot()
            tables = {
                name: [(key, *(row if isinstance(row, tuple) else (row,))) for key, row in rows.items()]
                for name in ("messages", "records", "deliveries", "ledger", "audit")
                for rows in [getattr(snapshot, name)]
            }
        elif self.database.startswith("sqlite"):
            with sqlite3.connect(urlsplit(self.database).path) as connection:
                tables = {name: list(connection.execute(f"SELECT * FROM {name}")) for name in METADATA.tables}
            connection.close()
        else:
            postgres = await asyncpg.connect(self.database)
            tables = {
                name: [tuple(row) for row in await postgres.fetch(f"SELECT * FROM {name}")] for name in METADATA.tables
            }
            await postgres.close()
        told = {name: sorted(map(repr, rows)) for name, rows in tables.items()}
        told["records"] = [
            row for row in told["records"] if not any(f"'{name}'" in row for name in DECLARED | BY_THE_CLOCK)
        ]
        told["audit"] = [row for row in told["audit"] if "'drill'" not in row and "Action.DRILL" not in row]
        return told

    async def numbers(self) -> list[str]:
        """What is counted, but for drills."""
        lines = (await self.get("/metrics")).body.decode().splitlines()
        return [line for line in lines if not line.startswith(NOT_COUNTED) and "_created" not in line]


@pytest.fixture(params=ALL_STORES)
async def drilling_hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Drilling]:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'hub.db'}"}
    held = Drilling()
    await held.start(tmp_path, urls.get(request.param) or request.getfixturevalue("postgres_url"))
    yield held
    await held.hub.close()


@pytest.fixture
async def quiet(tmp_path: Path) -> AsyncIterator[Drilling]:
    held = Drilling()
    await held.start(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}")
    yield held
    await held.hub.close()


@pytest.fixture(autouse=True)
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(drilling, "_LOOK_SECONDS", 0.01)


def marked(message: AnyMessage, number: str, **header: object) -> AnyMessage:
    """The message as a drill."""
    assert not isinstance(message, FaultMessage)
    mark = MessageProperty(name=PROPERTY, value=number)
    given = {"message_id": MessageID(number), "context": "PRODUCTION", "property": (mark,), **header}
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **given))


def a_set(verb: Verb, noun: Noun) -> AnyMessage:
    """A set of operations that creates."""
    inner = build_message(noun, Verb.CREATE, seed=3)
    assert isinstance(inner, RequestMessage)
    assert inner.payload is not None
    operation = Operation(operation_id=1, noun=noun, verb=verb, content=inner.payload.content[0])
    header = Header(verb=Verb.EXECUTE, noun="OperationSet", source="CALLS", message_id=MessageID("set"))
    payload = Payload(operation_set=OperationSet(operation=(operation,)))
    return RequestMessage(header=header, payload=payload)


def drills() -> Iterator[AnyMessage]:
    """Whatever somebody may mark as a drill: every noun and verb, hazards, one-way, later, from us, from outside."""
    numbers = iter(range(10_000))

    def one(message: AnyMessage, **header: object) -> AnyMessage:
        return marked(message, f"drill-{next(numbers)}", **header)

    for entry in ENTRIES:
        for verb in sorted((REQUEST_VERBS | EVENT_VERBS | {Verb.REPLY}) - {Verb.EXECUTE, Verb.EXECUTED}):
            for seed in (1, 2):
                yield one(build_message(entry.noun, verb, seed=seed))
    ticket = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4)
    yield one(ticket, ack_required=False)
    yield one(ticket, async_reply_flag=True, reply_address="http://127.0.0.1:9/soap")
    yield one(ticket, source="SHOP")
    yield one(ticket, source="CRM")
    yield one(ticket, source="OMS")
    yield one(ticket, context="TESTING")
    yield one(ticket, revision="9")
    yield one(ticket, noun="Nothing")
    yield one(build_message(Noun.INCIDENTS, Verb.CREATED, seed=1), source="OMS")
    yield one(a_set(Verb.CREATE, Noun.TROUBLE_TICKETS))
    yield one(a_set(Verb.CREATE, Noun.SERVICE_REQUESTS))
    empty = msgspec.structs.replace(ticket, payload=Payload())
    yield one(empty)


async def traffic(held: Drilling) -> None:
    """Real tickets, an outage, work, customers."""
    for entry in ENTRIES:
        for verb in (Verb.CREATE, Verb.CHANGE, Verb.GET):
            for seed in (1, 2):
                message = build_message(entry.noun, verb, seed=seed)
                assert isinstance(message, RequestMessage)
                header = msgspec.structs.replace(message.header, context="PRODUCTION", source="CALLS")
                await held.post(msgspec.structs.replace(message, header=header))
    await held.rest()


async def test_nothing_real_is_touched_by_any_drill_that_comes_in(drilling_hub: Drilling) -> None:
    """A drill that opened an incident, or moved an index, would be worse than no drill.

    Every table of the store is held against itself, and every count; only what is declared for drills may differ.
    """
    held = drilling_hub
    await traffic(held)
    before, counted = await held.everything(), await held.numbers()
    assert all(before[name] for name in ("messages", "records", "ledger", "audit", "deliveries"))
    sent = 0
    for message in drills():
        for name in ("rest-xml", "rest-json", "soap11"):
            response = await held.post(message, CHANNELS[name])
            assert response.status in (200, 202, 400, 403, 415, 500), response
            sent += 1
    held.later(days=1)
    await held.rest()
    assert await held.everything() == before
    assert await held.numbers() == counted
    heard = await held.store.reader.records.select(HEARD, Selection())
    assert sum(one.body.count for one in heard) == sent
    assert {str(one.mrid) for one in heard} >= {"crm", "shop", "others"}


async def test_nothing_real_is_touched_by_drills_of_partners(drilling_hub: Drilling) -> None:
    """Those that answer, those that refuse, and those that are not there."""
    held = drilling_hub
    await traffic(held)
    before, counted = await held.everything(), await held.numbers()
    given = len(held.sender.given)
    for answer in (replied(), replied(Result.FAILED, "2.15"), replied(Result.FAILED, "5.3"), silent(), broken):
        held.sender.answers = {name: [answer] for name in ("crm", "shop", "wms")}
        assert (await held.get("/api/v1/readiness", "POST")).status == 200
        held.later(minutes=1)
    sent = held.sender.given[given:]
    assert {(one.partner, one.verb) for one in sent} == {("crm", "created"), ("shop", "created"), ("wms", "get")}
    assert all(PROPERTY in [each.name for each in one.message.header.property] for one in sent)
    assert await held.everything() == before
    assert await held.numbers() == counted
    assert (await verify(held.store.reader)).is_whole
    kept = await held.store.reader.records.select(DRILLS, Selection())
    assert len(kept) == len(sent) == 15


async def test_the_same_without_the_mark_does_touch_it(quiet: Drilling) -> None:
    """Or the tests above would prove nothing."""
    await traffic(quiet)
    before, counted = await quiet.everything(), await quiet.numbers()
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4)
    assert isinstance(message, RequestMessage)
    await quiet.post(msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, context=None)))
    await quiet.rest()
    after = await quiet.everything()
    assert all(after[name] != before[name] for name in ("messages", "records", "ledger", "audit", "deliveries"))
    assert await quiet.numbers() != counted


async def test_a_number_that_looks_like_a_drill_is_no_mark(quiet: Drilling) -> None:
    """A partner may number its messages so by chance, and what it reports is real."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, message_id=MessageID("drill-1"), context=None)
    reply = await quiet.ask(msgspec.structs.replace(message, header=header))
    assert isinstance(reply, ResponseMessage)
    assert PROPERTY not in [each.name for each in reply.header.property]
    assert len(await quiet.log(message_id="drill-1")) == 1


async def test_the_answer_says_that_nothing_was_done(quiet: Drilling) -> None:
    """Whoever marks a real message by mistake must not believe that somebody is on the way."""
    reply = await quiet.ask(marked(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4), "drill-1"))
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is Result.OK
    assert [each.value for each in reply.header.property if each.name == PROPERTY] == ["drill-1"]
    assert [one.reason for one in reply.reply.error][-1] == "drill: nothing was done"
    assert not reply.reply.id


async def test_a_drill_is_refused_for_what_a_message_is_refused_for(quiet: Drilling) -> None:
    """A drill that any door lets in would prove nothing of the door."""
    ticket = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4)
    other = await quiet.ask(marked(ticket, "drill-1", context="TESTING"))
    empty = await quiet.ask(marked(msgspec.structs.replace(ticket, payload=None), "drill-2"))
    for reply, code in ((other, "7.7"), (empty, "1.7")):
        assert isinstance(reply, ResponseMessage)
        assert (reply.reply.result, reply.reply.error[0].code) == (Result.FAILED, code)
    assert await quiet.log(message_id="drill-1") == ()


# ----------------------------------------------------------------------------------------------------------- bounds


async def drilled_of(held: Drilling, partner: str) -> Drilled:
    stored = await held.store.reader.records.find(DRILLED, MRID(partner))
    assert stored is not None
    return stored.body


async def test_a_partner_has_one_drill_under_way_whoever_asks(quiet: Drilling) -> None:
    """Several processes and people ask at once; a partner in trouble must not be asked by all of them."""
    gate = quiet.sender.gates["crm"] = asyncio.Event()
    first = asyncio.create_task(quiet.get("/api/v1/readiness", "POST"))
    while not quiet.sender.to("crm"):
        await asyncio.sleep(0.005)
    other = drilling.Driller(
        store=quiet.store,
        sender=quiet.sender,
        catalog=quiet.hub.pipeline._means.catalog,
        settings=quiet.hub.settings.doctor,
        sources={},
        context="",
        address="",
        circuits=dict,
        is_busy=lambda: False,
        clock=quiet.clock,
        new_id=quiet.new_id,
    )
    (found,) = await other.drill([LISTENER])
    assert found.ending is Ending.UNDER_WAY
    gate.set()
    await first
    assert len(quiet.sender.to("crm")) == 1
    assert (await drilled_of(quiet, "crm")).ending is Ending.ANSWERED


async def test_a_drill_of_a_process_that_died_does_not_stand_for_ever(quiet: Drilling) -> None:
    """Else a partner would never be drilled again."""
    left = Drilled(id="drill-left", partner="crm", kind=Drill.TICKET, began_at=quiet.now)
    async with quiet.store.transaction() as transaction:
        stored = Stored(mrid=MRID("crm"), body=left, created_at=quiet.now, modified_at=quiet.now)
        await transaction.records.save(DRILLED, stored)
    await quiet.get("/api/v1/readiness", "POST")
    assert not quiet.sender.to("crm")
    quiet.later(minutes=2)
    await quiet.get("/api/v1/readiness", "POST")
    assert len(quiet.sender.to("crm")) == 1


async def test_what_is_real_goes_before_a_drill(quiet: Drilling) -> None:
    """A partner that has as much to do as it takes at once is not given more."""
    gate = quiet.sender.gates["crm"] = asyncio.Event()
    for number in range(LISTENER.parallel):
        message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=10 + number)
        assert isinstance(message, RequestMessage)
        header = msgspec.structs.replace(message.header, context=None, source="CALLS")
        await quiet.post(msgspec.structs.replace(message, header=header))
    await quiet.get("/api/v1/readiness", "POST")
    spared = await drilled_of(quiet, "crm")
    assert (spared.ending, "deliveries go before it" in spared.failure) == (Ending.SPARED, True)
    gate.set()
    await quiet.rest()
    await quiet.get("/api/v1/readiness", "POST")
    assert (await drilled_of(quiet, "crm")).ending is Ending.ANSWERED


async def test_a_drill_that_comes_in_goes_behind_everything(quiet: Drilling, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a crowd its place is better given to somebody who is out; a danger that it tells of changes nothing."""
    monkeypatch.setattr(Place, "is_crowded", property(lambda _: True))
    counted = await quiet.numbers()
    response = await quiet.post(marked(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4), "drill-1"))
    assert response.status == 503
    assert await quiet.store.reader.records.select(HEARD, Selection()) == ()
    assert await quiet.numbers() == counted


async def test_nobody_is_drilled_while_the_hub_is_overloaded(quiet: Drilling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a drill would be one message more."""
    monkeypatch.setattr(type(quiet.hub.pipeline), "waiting", property(lambda _: 10_000))
    sheet = json.loads((await quiet.get("/api/v1/readiness", "POST")).body)
    assert not quiet.sender.given
    assert [one["found"] for one in sheet["checks"] if one["name"] == "load"] == ["10000 messages in work"]


async def test_asking_again_at_once_sends_nothing(tmp_path: Path) -> None:
    """The page may be pressed as often as one likes."""
    held = Drilling()
    global_pause = MORE.replace("pause_seconds = 0", "pause_seconds = 5")
    settings = msgspec.structs.replace(hub_settings(tmp_path, global_pause), partners=(LISTENER,))
    held.store = await open_store(settings.database)
    held.hub = await Hub.open(settings, clock=held.clock, new_id=held.new_id, store=held.store, sender=held.sender)
    for _ in range(3):
        await held.get("/api/v1/readiness", "POST")
    assert len(held.sender.given) == 1
    held.later(seconds=6)
    await held.get("/api/v1/readiness", "POST")
    assert len(held.sender.given) == 2
    await held.hub.close()


async def test_reading_the_sheet_sends_and_writes_nothing(quiet: Drilling) -> None:
    """A GET is for reading, as often as somebody wants."""
    await quiet.get("/api/v1/readiness", "POST")
    async with quiet.store.transaction():
        pass
    given = len(quiet.sender.given)
    with sqlite3.connect(urlsplit(quiet.database).path) as connection:
        before = list(connection.execute("SELECT * FROM records"))
        for _ in range(3):
            assert (await quiet.get("/api/v1/readiness")).status == 200
        assert list(connection.execute("SELECT * FROM records")) == before
    connection.close()
    assert len(quiet.sender.given) == given


async def test_a_reply_that_comes_later_is_the_answer_to_the_drill(tmp_path: Path) -> None:
    """Partners that answer by an exchange of their own are drilled there and back, too; and nobody else is told."""
    held = Drilling()
    works = msgspec.structs.replace(WORKS, replies=Replies.LATER)
    await held.start(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}", works)
    before = await held.everything()
    held.sender.answers["wms"] = [replied(Result.OK, "0.3")]
    asking = asyncio.create_task(held.get("/api/v1/readiness", "POST"))
    while not held.sender.given:
        await asyncio.sleep(0.005)
    asked = held.sender.given[0].message
    assert isinstance(asked, RequestMessage)
    assert asked.header.reply_address == "http://hub.example/soap"
    reply = reply_to(asked, Result.FAILED, "2.15", source="NEW-WMS")
    header = msgspec.structs.replace(reply.header, correlation_id=CorrelationID(asked.header.message_id or ""))
    taken = await held.ask(msgspec.structs.replace(reply, header=header))
    assert isinstance(taken, ResponseMessage)
    assert taken.reply.result is Result.OK
    await asking
    found = await drilled_of(held, "wms")
    assert (found.ending, found.result, found.codes) == (Ending.ANSWERED, "FAILED", ("2.15",))
    assert await held.store.reader.records.select(REPLIES, Selection()) == ()
    assert await held.everything() == before
    await held.hub.close()


async def test_old_drills_are_removed(quiet: Drilling) -> None:
    """By age; the last one of a partner stays, for it is what is known of it."""
    await quiet.get("/api/v1/readiness", "POST")
    quiet.later(days=29)
    await quiet.get("/api/v1/readiness", "POST")
    quiet.later(days=2)
    await quiet.hub.upkeep.sweep()
    kept = await quiet.store.reader.records.select(DRILLS, Selection())
    assert [quiet.now - one.body.began_at for one in kept] == [timedelta(days=2)] * 3
    assert len(await quiet.store.reader.records.select(DRILLED, Selection())) == 3
