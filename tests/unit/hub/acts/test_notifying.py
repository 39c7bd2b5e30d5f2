"""Sending notices from a hub: a real ticket, a real mail server, and processes that die at the worst instant."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.outbox import Priority
from cimcare.exchange.ports import Records, Selection, Stored
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.acts import notifying
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
from cimcare.store.sqlite_session import Session
from cimcare.systems.cis.callbacks import CALL_BACKS
from cimcare.systems.cis.contacts import Contact, Hours, Wish
from cimcare.systems.cis.following import ANNOUNCEMENTS, Announcement, carry_on
from cimcare.systems.cis.kinds import INCIDENTS, TICKETS
from cimcare.systems.cis.members import OUT, SHELF_SIZE, Member, save_member
from cimcare.systems.cis.notices import NOTICES, Planned, plan_notice
from cimcare.systems.etr import Etr, EtrStage, render_remark
from tests.support.mail import mail_server
from tests.support.stored import ALL_STORES
from tests.unit.hub.conftest import NOON, HeldHub
from tests.unit.systems.utility import root_of

INCIDENT = MRID("INC")
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


def a_notifier(
    store: Store,
    channel: Probe,
    clock: Clock,
    process: str = "one",
    elapsed: Callable[[], float] = time.monotonic,
) -> Notifier:
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
        elapsed=elapsed,
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


async def announce(store: Store, members: int) -> None:
    """A restoration time for so many members of an incident, each by a ticket of its own, that nobody was told yet."""
    async with store.transaction() as transaction:
        records = transaction.records
        for number in range(members):
            ticket = TroubleTicket(mrid=MRID(f"T-{number}"))
            facts = {"mrid": MRID(f"T-{number}"), "created_at": NOON, "modified_at": NOON}
            await records.save(TICKETS.collection, Stored(body=ticket, state="open", **facts))
            member = Member(incident=INCIDENT, place=f"p{number}", since=NOON, ticket=ticket.mrid, customer=MRID("C"))
            await save_member(records, member, OUT, NOON)
        told = Announcement(
            incident=INCIDENT,
            trigger=NotificationTriggerKind.etrChange,
            is_first=True,
            shelves=-(-members // SHELF_SIZE),
        )
        await records.save(ANNOUNCEMENTS, Stored(mrid=MRID("A"), body=told, created_at=NOON, modified_at=NOON))


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


class Passing:
    """Time that passes where the test says so: while a slice waits for its turn, and while it is carried out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self.now = 0.0
        self.waits = self.takes = 0.0
        self.slices = 0
        transaction = store.transaction

        def waiting(priority: Priority = Priority.NORMAL) -> AbstractAsyncContextManager[Transaction]:
            self.now += self.waits
            return transaction(priority)

        async def carried(records: Records, now: datetime, new_id: Callable[[], str]) -> bool:
            self.slices += 1
            self.now += self.takes
            return await carry_on(records, now, new_id)

        monkeypatch.setattr(store, "transaction", waiting)
        monkeypatch.setattr(notifying, "carry_on", carried)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("waits", "takes", "rest"), [(0.0, 0.02, 0.02), (0.1, 0.02, 0.3), (0.0, 0.2, 0.2), (9.0, 0.1, 1.0)]
)
async def test_what_is_told_to_many_leaves_calls_their_turn(
    monkeypatch: pytest.MonkeyPatch, waits: float, takes: float, rest: float
) -> None:
    """A new restoration time of an outage of thousands took a storm's hub for minutes: one slice behind the other."""
    store = await open_store("memory:")
    await announce(store, 3 * SHELF_SIZE)
    passing = Passing(monkeypatch, store)
    passing.waits, passing.takes = waits, takes
    notifier = a_notifier(store, Probe(), Clock(), elapsed=passing)
    for slices in (1, 2, 3):
        assert await notifier.round()
        assert not await notifier.round()
        passing.now += rest * 0.9
        assert not await notifier.round()
        assert passing.slices == slices
        passing.now += rest * 0.11
    assert not await notifier.round()
    assert await store.reader.records.select(ANNOUNCEMENTS, Selection()) == ()
    await store.close()


async def test_notices_leave_while_what_is_told_to_many_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whom the first slice was about are told before the last slice is planned."""
    store = await open_store("memory:")
    await announce(store, 2 * SHELF_SIZE)
    passing, channel = Passing(monkeypatch, store), Probe()
    passing.waits = 1.0
    notifier = a_notifier(store, channel, Clock(), elapsed=passing)
    assert await notifier.round()
    monkeypatch.undo()
    await plan(store)
    assert await notifier.round()
    assert len(channel.given) == 1
    assert len(await store.reader.records.select(ANNOUNCEMENTS, Selection())) == 1
    await store.close()


async def test_all_of_many_are_gone_through_by_whoever_runs(store: Store) -> None:
    """Rests are no end."""
    await announce(store, 4 * SHELF_SIZE)
    notifier = a_notifier(store, Probe(), Clock())
    notifier.start()
    async with asyncio.timeout(30):
        while await store.reader.records.select(ANNOUNCEMENTS, Selection()):
            await asyncio.sleep(0.01)
    await notifier.stop()


async def test_a_slice_of_those_who_want_nothing_takes_few_look_ups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most who are out want no notice, and it is asked for all of them."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    store = await open_store(url)
    await announce(store, SHELF_SIZE)
    await store.close()
    store = await open_store(url)
    statements: list[str] = []
    for name in ("all", "one"):
        method = getattr(Session, name)

        def watched(session: Session, statement: str, *rest: object, _method: object = method) -> object:
            statements.append(statement)
            return _method(session, statement, *rest)  # type: ignore[operator]

        monkeypatch.setattr(Session, name, watched)
    assert await a_notifier(store, Probe(), Clock()).round()
    assert len(statements) < SHELF_SIZE
    monkeypatch.undo()
    await store.close()


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
