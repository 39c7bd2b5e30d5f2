"""Sending notices from a hub: a real ticket, a real mail server, and processes that die at the worst instant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.ports import Selection
from cimcare.exchange.store import Store
from cimcare.hub.acts.notifying import Notifier
from cimcare.hub.metrics import Metrics
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.envelope import EventMessage, Header, Payload
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, IncidentOutage, Incidents
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import CustomerNotification, ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.samples.northlake import find_premises
from cimcare.store.opening import open_store
from cimcare.systems.cis.callbacks import CALL_BACKS
from cimcare.systems.cis.contacts import Contact, Hours, Wish
from cimcare.systems.cis.kinds import INCIDENTS
from cimcare.systems.cis.members import OUT, Member, save_member
from cimcare.systems.cis.notices import NOTICES, Planned, plan_notice
from cimcare.systems.etr import Etr, EtrStage, render_remark
from tests.support.mail import mail_server
from tests.support.stored import ALL_STORES
from tests.unit.hub.conftest import NOON, HeldHub
from tests.unit.systems.utility import root_of

LEASE = timedelta(minutes=1)
WISH = Wish(Contact(ContactKind.EMAIL, "ada@post.example"), frozenset(NotificationTriggerKind), Hours())


@pytest.fixture(params=ALL_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each of the stores."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'hub.db'}"}
    store = await open_store(urls.get(request.param) or request.getfixturevalue("postgres_url"))
    yield store
    await store.close()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Probe:
    """A channel that does what the test wants, and notes what it was given."""

    def __init__(self, act: Callable[[], Awaitable[HandOver]] | None = None) -> None:
        self.given: list[Outgoing] = []
        self._act = act

    async def send(self, notice: Outgoing) -> HandOver:
        self.given.append(notice)
        return HandOver(result=Handed.SENT) if self._act is None else await self._act()

    async def close(self) -> None:
        pass


def a_notifier(store: Store, channel: Probe, clock: Clock, process: str = "one") -> Notifier:
    return Notifier(
        store=store,
        channels={ContactKind.EMAIL: channel},
        lease=LEASE,
        parallel=4,
        poll=timedelta(seconds=0.05),
        process=process,
        clock=clock,
        new_id=iter(map(str, range(10_000))).__next__,
        metrics=Metrics(),
        logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()]),
    )


async def plan(store: Store, count: int = 1) -> None:
    """Notices that are due at noon, each for a customer of its own."""
    async with store.transaction() as transaction:
        for number in range(count):
            member = await save_member(
                transaction.records, Member(incident=MRID("INC"), place=f"p{number}", since=NOON), OUT, NOON
            )
            planned = Planned(trigger=NotificationTriggerKind.powerOut, content="out", text="Supply is out.")
            await plan_notice(transaction.records, WISH, member, planned, NOON)


async def states(store: Store) -> list[str]:
    return sorted(one.state for one in await store.reader.records.select(NOTICES, Selection()))


async def test_each_notice_leaves_once_whichever_process_takes_it(store: Store) -> None:
    """Several processes look at one queue."""
    clock, channel = Clock(), Probe()
    await plan(store, 30)
    notifiers = [a_notifier(store, channel, clock, name) for name in ("one", "two", "three")]

    await asyncio.gather(*(notifier.round() for notifier in notifiers))
    while any([await notifier.round() for notifier in notifiers]):
        pass

    assert len(channel.given) == 30
    assert len({notice.id for notice in channel.given}) == 30
    assert await states(store) == ["sent"] * 30


async def test_no_more_is_taken_than_can_begin_at_once(store: Store) -> None:
    """What only waited in a process would run out of its lease, and people would call beside the mail."""
    clock, all_under_way, go = Clock(), asyncio.Event(), asyncio.Event()

    async def act() -> HandOver:
        if len(channel.given) == 4:
            all_under_way.set()
        await go.wait()
        return HandOver(result=Handed.SENT)

    channel = Probe(act)
    await plan(store, 10)
    round_ = asyncio.create_task(a_notifier(store, channel, clock).round())
    await all_under_way.wait()

    assert await states(store) == ["planned"] * 6 + ["sending"] * 4
    go.set()
    assert await round_
    assert await states(store) == ["planned"] * 6 + ["sent"] * 4


async def test_nothing_is_handed_over_that_is_not_marked_on_disk(store: Store) -> None:
    """The mark comes first: who finds it knows that the notice may have left."""
    clock = Clock()
    seen: list[list[str]] = []

    async def look() -> HandOver:
        seen.append(await states(store))
        return HandOver(result=Handed.SENT)

    await plan(store)
    await a_notifier(store, Probe(look), clock).round()

    assert seen == [["sending"]]


async def test_a_process_that_dies_while_sending_leaves_a_call_to_make(store: Store) -> None:
    """Killed between mark and outcome: nobody sends it again by himself."""
    clock = Clock()
    under_way = asyncio.Event()

    async def hang() -> HandOver:
        under_way.set()
        await asyncio.sleep(3600)
        return HandOver(result=Handed.SENT)

    await plan(store)
    dead = asyncio.create_task(a_notifier(store, Probe(hang), clock, "dead").round())
    await under_way.wait()
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)
    heir = Probe()
    await a_notifier(store, heir, clock, "heir").round()
    assert await states(store) == ["sending"]

    clock.now += LEASE
    await a_notifier(store, heir, clock, "heir").round()

    assert heir.given == []
    assert await states(store) == ["unknown"]
    (call,) = await store.reader.records.select(CALL_BACKS, Selection())
    assert (call.state, call.body.why) == (
        "waiting",
        "whoever was sending it ended before it could say whether it left",
    )


async def test_an_error_of_the_program_costs_one_notice_and_not_the_others(store: Store) -> None:
    """It is unknown how far it came."""
    clock = Clock()
    tries = iter([True, False])

    async def act() -> HandOver:
        if next(tries):
            raise RuntimeError("broken")
        return HandOver(result=Handed.SENT)

    await plan(store, 2)
    await a_notifier(store, Probe(act), clock).round()

    assert await states(store) == ["sent", "unknown"]


async def test_stopping_ends_what_is_under_way(store: Store) -> None:
    """A hub that is restarted for an update makes no work for the call centre."""
    clock = Clock()

    async def act() -> HandOver:
        await asyncio.sleep(0.2)
        return HandOver(result=Handed.SENT)

    await plan(store)
    notifier = a_notifier(store, channel := Probe(act), clock)
    notifier.start()
    while not channel.given:
        await asyncio.sleep(0.01)
    await notifier.stop()

    assert await states(store) == ["sent"]


async def test_from_a_call_to_the_mail(tmp_path: Path) -> None:
    """The whole way: the ticket by its message, the restoration time by an event, the notice by SMTP."""
    home, held = find_premises(3), HeldHub()
    async with mail_server() as mail:
        more = (
            '[notices]\ntime_zone = "Europe/Berlin"\n[notices.smtp]\nhost = "127.0.0.1"\n'
            f'port = {mail.port}\nsecurity = "none"\nsender = "notices@utility.example"\n'
        )
        await held.open(tmp_path, more, seed_town=True)
        create = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=3)
        ticket = TroubleTicket(
            mrid=MRID("T-1"),
            date_time_of_report=NOON,
            service_location=ServiceLocationIdentity(mrid=home.mrid("location")),
            notification=CustomerNotification(
                contact_type="email",
                contact_value="ada@post.example",
                trigger=NotificationTriggerKind.initialEtr,
            ),
        )
        create = msgspec.structs.replace(
            create,
            header=msgspec.structs.replace(create.header, message_id=MessageID("c-1"), correlation_id=None),
            payload=Payload(content=(root_of(Noun.TROUBLE_TICKETS, ticket),)),
        )
        await held.post(create)
        (incident,) = await held.store.reader.records.select(INCIDENTS.collection, Selection())
        etr = Etr(source="crew CREW-11", said_at=NOON, valid_until=NOON + timedelta(hours=2))
        told = Incident(
            mrid=incident.mrid,
            last_modified_date_time=NOON + timedelta(minutes=1),
            outage=IncidentOutage(estimated_period=DateTimeInterval(end=NOON + timedelta(hours=3))),
            status=Status(value="open", reason=EtrStage.CREW.value, remark=render_remark(etr)),
        )
        event = EventMessage(
            header=Header(
                verb=Verb.CHANGED,
                noun=Noun.INCIDENTS,
                source="CONTROL-ROOM",
                message_id=MessageID("e-1"),
                timestamp=NOON + timedelta(minutes=1),
            ),
            payload=Payload(content=(Incidents(incident=(told,)),)),
        )
        await held.post(event)
        while not mail.box.taken:
            await held.hub.notifier.round()
            await asyncio.sleep(0.02)
        response = await held.get("/metrics")

    (message,) = mail.box.taken
    text = " ".join(message.get_content().split())  # type: ignore[attr-defined]
    assert "Supply is expected back at 17:00 on Saturday, 1 June (CEST), an estimate by crew CREW-11" in text
    assert 'cimcare_notices_total{kind="email",outcome="sent"} 1.0' in response.body.decode()
    await held.hub.close()
