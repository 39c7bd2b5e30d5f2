"""Tickets and incidents pass through the states of their tables and no others, whoever says what through which channel.

Random requests and events, sensible and not, come over every channel at one hub, and the clock goes on between them.
The tables are written out by hand.
"""

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cimcare.exchange.ports import Selection
from cimcare.hub.acts.acting import Acting
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import (
    EventMessage,
    Header,
    IDKind,
    ObjectID,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
    User,
)
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import (
    Incident,
    IncidentIdentity,
    IncidentLocation,
    IncidentOutage,
    Incidents,
    IncidentWork,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.systems import oms
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.kinds import INCIDENTS, TICKETS
from tests.support.channels import CHANNELS
from tests.unit.hub.conftest import NOON, HeldHub
from tests.unit.systems.outages import feeder

TICKET_TABLE = {
    ("", "create"): "open",
    ("open", "change"): "open",
    ("open", "cancel"): "cancelled",
    ("open", "close"): "resolved",
    ("resolved", "delete"): "",
    ("cancelled", "delete"): "",
}
"""What a request makes of a ticket. It comes into the world resolved if it says when it was; see `BORN`."""

INCIDENT_TABLE = {
    ("", "create"): "open",
    ("open", "change"): "open",
    ("open", "cancel"): "cancelled",
    ("open", "close"): "closed",
}
"""What a request makes of an incident."""

TABLES = {Noun.TROUBLE_TICKETS: TICKET_TABLE, Noun.INCIDENTS: INCIDENT_TABLE}
BORN = {Noun.TROUBLE_TICKETS: {"open", "resolved"}, Noun.INCIDENTS: {"open"}}

EDGES = {
    Noun.TROUBLE_TICKETS: {
        ("", "open"),
        ("", "resolved"),
        ("open", "resolved"),
        ("open", "cancelled"),
        ("resolved", ""),
        ("cancelled", ""),
    },
    Noun.INCIDENTS: {("", "open"), ("open", "closed"), ("open", "cancelled"), ("", "cancelled"), ("", "closed")},
}
"""How any object may go on, also one of which a message does not speak. One that is opened and ended at once is seen
ended alone."""

VERBS = ("create", "change", "cancel", "close", "delete")
EVENTS = ("created", "changed", "canceled", "closed", "deleted")


class Play:
    """One hub, and random messages about a few tickets and incidents."""

    def __init__(self, held: HeldHub, seed: int) -> None:
        self.held = held
        self.seed = seed
        self.draw = random.Random(seed)
        self.names = {
            Noun.TROUBLE_TICKETS: [f"T{seed}-{number}" for number in range(3)],
            Noun.INCIDENTS: [f"I{seed}-{number}" for number in range(2)],
        }
        self.sent = 0

    async def states(self) -> dict[tuple[Noun, str], str]:
        """State of every ticket and incident that the OMS keeps."""
        found: dict[tuple[Noun, str], str] = {}
        for kind in (TICKETS, INCIDENTS):
            wanted = Selection(limit=100_000)
            for stored in await self.held.store.reader.records.select(kind.collection, wanted):  # type: ignore[arg-type]
                found[kind.noun, stored.mrid] = stored.state
        return found

    def instant(self) -> datetime | None:
        """Often a sensible one."""
        minutes = self.draw.choice([None, None, 0, -5, -500, 30, 120])
        return None if minutes is None else self.held.now + timedelta(minutes=minutes)

    def status(self) -> Status | None:
        """With evidence, without, with nonsense."""
        if self.draw.random() < 0.2:
            return None
        reason = self.draw.choice(
            ["operator", "operator", "crew", "crew", "meter", "callback", "withdrawn", "assessing", "none", None, "x"]
        )
        value = self.draw.choice([None, None, None, "open", "closed", "resolved", "cancelled", "nonsense"])
        return Status(reason=reason, value=value, remark=self.draw.choice([None, "Ana", "by crew 7, confidence 50 %"]))

    def ticket(self, name: str) -> TroubleTicket:
        house = self.draw.choice(["H11-1", "H11-2", "H12-1", "H21-1", "nowhere"])
        incident = self.draw.choice([None, None, None, *self.names[Noun.INCIDENTS]])
        return TroubleTicket(
            mrid=MRID(name),
            date_time_of_report=self.draw.choice([self.held.now, self.held.now - timedelta(minutes=20)]),
            resolved_date_time=self.instant() if self.draw.random() < 0.15 else None,
            service_location=ServiceLocationIdentity(mrid=MRID(house)),
            status=self.status(),
            incident=IncidentIdentity(mrid=MRID(incident)) if incident else None,
        )

    def incident(self, name: str) -> Incident:
        device = self.draw.choice([None, "B", "F1", "T11", "nothing"])
        place = IncidentLocation(names=(Name(name=device, name_type=NameType(name="Device")),)) if device else None
        named = self.draw.sample(self.names[Noun.TROUBLE_TICKETS], self.draw.choice([0, 0, 1, 2]))
        crew = IncidentWork(status_kind=WorkStatusKind.onSite, names=(Name(name="7"),))
        return Incident(
            mrid=MRID(name),
            location=place if self.draw.random() < 0.5 else None,
            outage=self.outage(),
            status=self.status(),
            trouble_tickets=tuple(TroubleTicketIdentity(mrid=MRID(one)) for one in named),
            works=(crew,) if self.draw.random() < 0.2 else (),
        )

    def outage(self) -> IncidentOutage | None:
        """Over since some instant or not, with points or without, with a time at which supply is expected back."""
        if self.draw.random() < 0.4:
            return None
        end = self.instant() if self.draw.random() < 0.5 else None
        points = self.draw.sample(["UP11-1", "UP11-2", "UP12-1", "UP12-2", "UP21-1"], self.draw.choice([0, 0, 1, 2, 4]))
        return IncidentOutage(
            actual_period=DateTimeInterval(end=end) if end is not None else None,
            estimated_period=DateTimeInterval(end=self.instant()) if self.draw.random() < 0.3 else None,
            usage_points=tuple(UsagePointIdentity(mrid=MRID(point)) for point in points),
        )

    def message(self, known: dict[tuple[Noun, str], str]) -> tuple[Noun, str, RequestMessage | EventMessage]:
        """A message about one object; where that is not there it is often created."""
        noun = self.draw.choice(list(self.names))
        name = self.draw.choice(self.names[noun])
        is_event = self.draw.random() < 0.25
        verb = Verb(self.draw.choice(EVENTS if is_event else VERBS))
        if (noun, name) not in known and self.draw.random() < 0.7:
            verb = Verb.CREATE
        self.sent += 1
        header = Header(
            verb=verb,
            noun=noun,
            message_id=MessageID(f"m{self.seed}-{self.sent}"),
            source=self.draw.choice(["CIS", "CONTROL-ROOM"]),
            user=User(user_id="ana") if self.draw.random() < 0.3 else None,
        )
        is_bare = verb not in (Verb.CREATE, Verb.CHANGE, Verb.CREATED, Verb.CHANGED) and self.draw.random() < 0.4
        root = (
            TroubleTickets(trouble_ticket=(self.ticket(name),))
            if noun is Noun.TROUBLE_TICKETS
            else Incidents(incident=(self.incident(name),))
        )
        named = (ObjectID(value=name, kind=IDKind.uuid),)
        if verb in EVENT_VERBS:
            payload = Payload(id=named) if is_bare else Payload(content=(root,))
            return noun, name, EventMessage(header=header, payload=payload)
        request = Request(id=named) if verb not in (Verb.CREATE, Verb.CHANGE) else None
        return (
            noun,
            name,
            RequestMessage(header=header, request=request, payload=None if is_bare else Payload(content=(root,))),
        )

    async def step(self, before: dict[tuple[Noun, str], str]) -> dict[tuple[Noun, str], str]:
        """Send a message, or let the clock go on, and judge what has become of everything."""
        if self.draw.random() < 0.15:
            self.held.later(minutes=self.draw.choice([1, 10, 60]))
            acting = Acting(
                store=self.held.store,
                setup=lambda: self.held.hub.pipeline.setup,
                clock=self.held.clock,
                new_id=self.held.new_id,
            )
            for tick in oms.TICKS:
                await acting.act(Role.OMS, tick)
            after = await self.states()
            self.judge(before, after, "tick")
            return after
        noun, name, message = self.message(before)
        channel = CHANNELS[self.draw.choice(["soap11", "soap12", "soap-typed", "rest-xml", "rest-json"])]
        answer = await self.held.ask(message, channel)
        said = f"seed {self.seed}: {message.header.verb} {noun} {name} over {channel.name}"
        after = await self.states()
        self.judge(before, after, said)
        old, new = before.get((noun, name), ""), after.get((noun, name), "")
        verb = message.header.verb.value
        if isinstance(message, EventMessage):
            if noun is Noun.INCIDENTS:  # whoever tells of incidents does not make them
                assert new == old, said
            return after
        assert isinstance(answer, ResponseMessage), (said, answer)
        wanted = TABLES[noun].get((old, verb))
        if answer.reply.result is Result.FAILED:
            assert after == before, (said, answer.reply.error)
        elif verb == "create":
            assert (old, new in BORN[noun]) == ("", True), (said, old, new)
        elif (
            verb == "change" and noun is Noun.INCIDENTS
        ):  # the last part that is back ends it, the last ticket gone too
            assert old == "open", (said, old)
            assert new in ("open", "closed", "cancelled"), (said, new)
        else:
            assert new == wanted, (said, old, new)
        return after

    def judge(self, before: dict[tuple[Noun, str], str], after: dict[tuple[Noun, str], str], said: str) -> None:
        """No object has gone a way that its table does not have."""
        for key in before.keys() | after.keys():
            edge = before.get(key, ""), after.get(key, "")
            assert edge[0] == edge[1] or edge in EDGES[key[0]], (said, key, edge)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HeldHub]:
    held = HeldHub()
    # Half of what is played is refused, of which an alarm would be raised where the play takes long.
    await held.open(tmp_path, "alarms.failure_percent = 100\n")
    async with held.store.transaction() as transaction:
        await import_network(transaction.records, feeder(), NOON)
    yield held
    await held.hub.close()


async def test_no_message_moves_a_ticket_or_an_incident_where_its_table_does_not(hub: HeldHub) -> None:
    """A closed incident that comes back to life, or an open one that an event talks to death, is a lie to somebody."""
    seen: set[tuple[Noun, str, str]] = set()
    for seed in range(40):
        play = Play(hub, seed)
        states = await play.states()
        for _ in range(25):
            after = await play.step(states)
            seen |= {(noun, states.get((noun, key), ""), state) for (noun, key), state in after.items()}
            states = after
    assert hub.logged == []
    # The play has gone every way that there is, else it would show nothing.
    for noun, edge in ((noun, edge) for noun, edges in EDGES.items() for edge in edges if edge[0] and edge[1]):
        assert (noun, *edge) in seen, (noun, edge)
