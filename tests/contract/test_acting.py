"""What a built-in system does without a message: kept, told, counted and sealed as what a message leads to."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cimcare.errors import finding_of
from cimcare.exchange.ledger import Account
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, Priority
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Event, Served, ServingContext
from cimcare.exchange.store import Store
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.acts.acting import Acting, NotBuiltInError
from cimcare.hub.intake.reading import read_back
from cimcare.hub.intake.setup import Setup, setup_of
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.retention import Ages, Retention
from cimcare.model.envelope import ObjectID, Result
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.samples import build_payload
from tests.support.stored import NOON, THINGS, a_thing, stored_in

SOURCES = {Role.CIS: "CIS", Role.OMS: "OMS", Role.WMS: "WMS", Role.THIRD_PARTY: "TP"}
GIS = Partner(name="gis", url="http://gis.example/soap", source="GIS")
CRM = Partner(name="crm", url="http://crm.example/soap", source="CRM")
REAL_OMS = Partner(name="adms", url="http://adms.example/soap", source="ADMS", role=Role.OMS)
SUBSCRIPTIONS = (
    Subscription(name="gis", partner="gis", filter=Filter(nouns=("TroubleTickets", "Incidents"))),
    Subscription(name="crm", partner="crm", filter=Filter(nouns=("TroubleTickets",))),
)
SOON = timedelta(minutes=1)


class Scene:
    """A store, two partners that listen, and what acts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ids = 0
        self.now = NOON
        self.woken: list[set[str]] = []
        self.setup: Setup = setup_of(SOURCES, (GIS, CRM), SUBSCRIPTIONS)
        self.acting = Acting(
            store=store,
            setup=lambda: self.setup,
            clock=lambda: self.now,
            new_id=self.new_id,
            on_put=lambda names: self.woken.append(set(names)),
        )

    def new_id(self) -> str:
        self.ids += 1
        return f"00000000-0000-4000-9000-{self.ids:012}"

    async def log(self) -> tuple[LogEntry, ...]:
        return await self.store.reader.log.select(LogSelection(limit=100))

    async def deliveries(self) -> tuple[Delivery, ...]:
        return await self.store.reader.outbox.select(DeliverySelection(limit=100))


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def telling(*seeds: int, result: Result = Result.OK) -> Callable[[ServingContext], object]:
    """Work that keeps an object and tells of new tickets, of which the OMS hears."""

    async def work(context: ServingContext) -> Served:
        await context.records.save(THINGS, a_thing(context.new_id()))
        events = tuple(
            Event(
                verb=Verb.CREATED,
                noun=Noun.TROUBLE_TICKETS,
                payload=build_payload(Noun.TROUBLE_TICKETS, seed=seed),
                source=Role.CIS,
            )
            for seed in seeds
        )
        findings = () if result is Result.OK else (finding_of("BUS-101", "/", "nothing", "something", "ours"),)
        return Served(result=result, ids=(ObjectID(value="x"),), events=events, findings=findings, has_more=True)

    return work


async def test_events_stand_in_the_log_without_a_cause_and_belong_together(scene: Scene) -> None:
    """Nobody asked, so nothing is answered; who looks for what happened together finds it by the CorrelationID."""
    served = await scene.acting.act(Role.CIS, telling(1, 2))
    assert (served.result, served.has_more, len(served.events)) == (Result.OK, True, 2)
    entries = await scene.log()
    first = [entry for entry in entries if entry.answer_to is None]
    assert [(one.verb, one.noun) for one in first] == [("created", "TroubleTickets")] * 2
    further = [entry for entry in entries if entry.answer_to is not None]
    assert {one.noun for one in further} >= {"Incidents"}
    assert {one.answer_to for one in further} <= {one.sequence for one in entries}
    assert len({one.correlation_id for one in entries}) == 1
    assert entries[0].correlation_id
    assert {(one.direction, one.transport) for one in entries} == {(Direction.OUT, Transport.INTERNAL)}
    raw = await scene.store.reader.log.find_raw(entries[0].sequence)
    assert raw is not None
    assert read_back(entries[0], raw).header.source == "CIS"


async def test_each_partner_that_listens_gets_what_followed_with_the_first_event_as_its_cause(scene: Scene) -> None:
    """All deliveries of one course of events are found under one number."""
    await scene.acting.act(Role.CIS, telling(1), priority=Priority.HAZARD)
    root = (await scene.log())[0].sequence
    deliveries = await scene.deliveries()
    assert {one.partner for one in deliveries} == {"gis", "crm"}
    assert {one.noun for one in deliveries if one.partner == "gis"} == {"TroubleTickets", "Incidents"}
    assert {(one.cause, one.priority, one.kind) for one in deliveries} == {(root, Priority.HAZARD, DeliveryKind.EVENT)}
    assert scene.woken == [{"gis", "crm"}]


async def test_ledger_and_trail_are_sound_afterwards(scene: Scene) -> None:
    """G7 and G10 hold for what no message caused, too."""
    await scene.acting.act(Role.CIS, telling(1, 2))
    found = await balances(scene.store.reader, NOON - SOON, NOON + SOON)
    assert {(one.line.partner, one.line.account, one.missing) for one in found} == {
        ("gis", Account.OUT, 0),
        ("crm", Account.OUT, 0),
    }
    assert sum(one.waiting for one in found) == len(await scene.deliveries())
    verified = await verify(scene.store.reader)
    assert (verified.flaws, verified.messages) == ((), len(await scene.log()))


async def test_what_is_still_to_be_delivered_is_kept_and_goes_when_it_is(scene: Scene) -> None:
    """Retention needs no message that led to it."""
    await scene.acting.act(Role.CIS, telling(1))
    scene.now += timedelta(days=500)
    day = timedelta(days=1)
    ages = Ages(requests=day, events=day, queries=day, refused=day, deliveries=day, window=day)
    retention = Retention(scene.store, ages, lambda: scene.now)
    before = await scene.log()
    await retention.sweep()
    assert await scene.log() == before
    async with scene.store.transaction() as transaction:
        for partner in ("gis", "crm"):
            while claimed := await transaction.outbox.claim(partner, now=scene.now, until=scene.now + SOON, limit=100):
                for one in claimed:
                    assert await transaction.outbox.succeed([(one.number, one.attempts)], now=scene.now)
    await retention.sweep()
    assert await scene.log() == ()
    assert (await verify(scene.store.reader)).flaws == ()


async def test_what_failed_leaves_nothing(scene: Scene) -> None:
    """Half of a clean-up, told to nobody, would be worse than none."""
    served = await scene.acting.act(Role.CIS, telling(1, result=Result.FAILED))
    assert (served.result, served.events, served.ids, served.has_more) == (Result.FAILED, (), (), False)
    assert [one.code for one in served.findings] == ["BUS-101"]
    assert (await scene.log(), await scene.deliveries(), await stored_in(scene.store)) == ((), (), [])
    assert scene.woken == []


async def test_an_error_leaves_nothing(scene: Scene) -> None:
    """Who called it hears of it."""

    async def work(context: ServingContext) -> Served:
        await context.records.save(THINGS, a_thing("a"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await scene.acting.act(Role.CIS, work)
    assert await stored_in(scene.store) == []


async def test_what_a_partner_plays_does_nothing_here(scene: Scene) -> None:
    """Two systems that both believe to be the OMS would contradict each other."""
    scene.setup = setup_of(SOURCES, (REAL_OMS,))
    with pytest.raises(NotBuiltInError, match="oms is played by ADMS"):
        await scene.acting.act(Role.OMS, telling(1))
    assert await stored_in(scene.store) == []
    assert (await scene.acting.act(Role.CIS, telling(1))).result is Result.OK
