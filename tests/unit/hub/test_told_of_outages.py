"""From calls through the built-in outage management to notices: only what the OMS itself has told, and all of that."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.ports import Selection
from cimcare.hub.app import Hub
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Header, Payload, RequestMessage, User
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, IncidentOutage, Incidents, IncidentWork, UsagePointIdentity
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import Premises, find_premises
from cimcare.store.opening import open_store
from cimcare.systems.oms.kinds import INCIDENTS
from tests.support.hub import hub_settings
from tests.unit.hub.acts.test_calling import Desk
from tests.unit.hub.conftest import NOON

STREET = [find_premises(index) for index in range(5)]
"""All that hang on one transformer."""


class Probe:
    """A channel that takes all."""

    def __init__(self) -> None:
        self.given: list[Outgoing] = []

    async def send(self, notice: Outgoing) -> HandOver:
        self.given.append(notice)
        return HandOver(result=Handed.SENT)

    async def close(self) -> None:
        pass


class Room(Desk):
    """A hub with the town and its network, a control room, and customers who read what they get."""

    def __init__(self) -> None:
        super().__init__()
        self.probe = Probe()

    async def open_with_probe(self, folder: Path) -> None:
        settings = hub_settings(folder, seed_town=True)
        self.store = await open_store(settings.database)
        self.hub = await Hub.open(
            settings,
            clock=self.clock,
            new_id=self.new_id,
            store=self.store,
            channels=dict.fromkeys(ContactKind, self.probe),
            logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()]),
        )
        await self.hub.notifier.stop()

    async def call_from(self, home: Premises, trigger: str) -> str:
        wish = {"trigger": trigger, "contactType": "email", "contactValue": f"{home.index}@post.example"}
        taken = await self.take(account=home.account, trouble="noPower", notify=wish)
        return str(taken["incident"])

    async def order(self, verb: Verb, incident: str, reason: str = "crew", **members: object) -> None:
        status = Status(reason=reason, remark="CREW-11")
        body = msgspec.structs.replace(Incident(mrid=MRID(incident), status=status), **members)
        header = Header(
            verb=verb,
            noun=Noun.INCIDENTS,
            source="CONTROL",
            user=User(user_id="dispatcher"),
            message_id=MessageID(self.new_id()),
            timestamp=self.now,
        )
        request = RequestMessage(header=header, payload=Payload(content=(Incidents(incident=(body,)),)))
        reply = await self.ask(request)
        assert reply.reply.result.value == "OK", reply

    async def estimate(self, incident: str, at: datetime) -> None:
        await self.order(Verb.CHANGE, incident, outage=IncidentOutage(estimated_period=DateTimeInterval(end=at)))

    async def told(self) -> list[tuple[str, str]]:
        """Address and trigger of what was told since the last time."""
        before = len(self.probe.given)
        while await self.hub.notifier.round():
            pass
        return sorted((one.address.partition("@")[0], one.trigger) for one in self.probe.given[before:])


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room()
    await room.open_with_probe(tmp_path)
    yield room
    await room.hub.close()


async def test_an_evening_without_supply(room: Room) -> None:
    """Three neighbours call, a crew goes, half is back, one is not, in the end all are; nobody hears an untruth."""
    a, b, c = STREET[0], STREET[1], STREET[2]
    incident = await room.call_from(a, "initialEtr")
    room.later(minutes=2)
    assert await room.call_from(b, "powerRestored")
    room.later(minutes=2)
    last = await room.call_from(c, "powerRestored")
    assert await room.told() == []  # nothing is known that they had not said themselves

    room.later(minutes=10)
    await room.order(
        Verb.CHANGE,
        last,
        works=(IncidentWork(mrid=MRID("W-1"), status_kind=WorkStatusKind.dispatched),),
    )
    await room.estimate(last, NOON + timedelta(hours=3))
    told = await room.told()
    assert told == [("0", "initialEtr")]
    assert "Supply is expected back at 15:00 on Saturday, 1 June (UTC), an estimate by crew" in room.probe.given[0].text

    room.later(minutes=30)
    await room.estimate(last, NOON + timedelta(hours=5))
    assert await room.told() == [("0", "etrChange")]

    room.later(minutes=60)
    await room.order(
        Verb.CHANGE,
        last,
        outage=IncidentOutage(
            actual_period=DateTimeInterval(end=room.now),
            usage_points=(UsagePointIdentity(mrid=b.mrid("usage_point")),),
        ),
    )
    assert await room.told() == [("1", "powerRestored")]

    room.later(minutes=60)
    await room.order(Verb.CLOSE, last, outage=IncidentOutage(actual_period=DateTimeInterval(end=room.now)))
    assert await room.told() == [("2", "powerRestored")]
    assert incident


async def test_who_calls_again_after_restored_is_not_told_restored(room: Room) -> None:
    """A notice that waits for the morning meets a customer who says that it is dark."""
    home = STREET[0]
    wish = {
        "trigger": "powerRestored",
        "contactType": "email",
        "contactValue": "0@post.example",
        "earliest": (NOON + timedelta(hours=5)).isoformat(),
    }
    incident = str((await room.take(account=home.account, trouble="noPower", notify=wish))["incident"])
    room.later(hours=1)
    await room.order(Verb.CLOSE, incident, outage=IncidentOutage(actual_period=DateTimeInterval(end=room.now)))
    room.later(minutes=20)
    again = await room.take(account=home.account, trouble="noPower")
    assert again["isNew"] is True
    room.later(hours=5)

    assert await room.told() == []


async def test_a_closed_ticket_by_crew_tells_its_caller(room: Room) -> None:
    """The trouble of one house, settled by the crew at its door."""
    home = STREET[0]
    incident = await room.call_from(home, "powerRestored")
    room.later(hours=1)
    await room.order(Verb.CLOSE, incident)
    assert await room.told() == [("0", "powerRestored")]
    assert await room.told() == []


async def test_callers_of_incidents_that_grow_together_are_told_once(room: Room) -> None:
    """Calls from many houses move the suspected device up, incidents merge, tickets move; each caller hears it once."""
    homes = [find_premises(index) for index in range(20)]
    for home in homes:
        await room.call_from(home, "initialEtr")
        room.later(seconds=20)
    incidents = await room.store.reader.records.select(INCIDENTS.collection, Selection(states=("open",)))
    assert len(incidents) < len(homes)  # they have grown together
    room.later(minutes=5)
    for incident in incidents:
        await room.estimate(incident.mrid, NOON + timedelta(hours=3))

    assert await room.told() == sorted((str(home.index), "initialEtr") for home in homes)
    room.later(minutes=30)
    for incident in incidents:
        await room.order(Verb.CLOSE, incident.mrid, outage=IncidentOutage(actual_period=DateTimeInterval(end=room.now)))
    assert await room.told() == []
