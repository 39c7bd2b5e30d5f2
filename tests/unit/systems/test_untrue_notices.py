"""Outage management and customer system together: told that supply is back is who has it, as far as anybody knows."""

from datetime import timedelta
from typing import Any

import pytest

from cimcare.exchange.ports import Selection, Served
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.envelope import Header
from cimcare.model.incident import Incident, TroubleTicketIdentity
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import CustomerNotification, ServiceLocationIdentity, TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.samples.northlake_network import build_network
from cimcare.systems import cis, oms
from cimcare.systems.cis.notices import NOTICES
from tests.unit.systems.outages import ControlRoom
from tests.unit.systems.utility import MONDAY, mrid

TT, INC = Noun.TROUBLE_TICKETS, Noun.INCIDENTS


class House(ControlRoom):
    """Everything that the outage management tells reaches the customer system, as events, in their order."""

    async def ask(self, verb: Verb, noun: Noun, *objects: Any, **more: Any) -> Served:
        served = await super().ask(verb, noun, *objects, **more)
        await self.pass_on(cis.LISTENS, served.events)
        return served

    async def tick(self, most: int = 200) -> list[Served]:
        done = await super().tick(most)
        for served in done:
            await self.pass_on(cis.LISTENS, served.events)
        for tick in cis.TICKS:
            while (await tick(self._context(self._header(Verb.EXECUTE, INC)))).has_more:
                pass
        return done

    async def wish(self, house: str, ticket: str, incident: str) -> None:
        """A call from a house that wants to hear when supply is back."""
        wanted = CustomerNotification(
            contact_type="e-mail",
            contact_value=f"{house}@post.example",
            trigger=NotificationTriggerKind.powerRestored,
        )
        body = TroubleTicket(
            mrid=mrid(ticket),
            date_time_of_report=self.now,
            service_location=ServiceLocationIdentity(mrid=mrid(house)),
            notification=wanted,
        )
        await self.ask(Verb.CREATE, TT, body)
        if await self.incident_of(ticket) != incident:
            named = TroubleTicketIdentity(mrid=mrid(ticket))
            await self.ask(Verb.CHANGE, INC, Incident(mrid=mrid(incident), trouble_tickets=(named,)))

    async def told(self) -> set[str]:
        """Houses for which there is a notice that supply is back."""
        found = await self.records.select(NOTICES, Selection())
        restored = (one.body for one in found if one.body.trigger is NotificationTriggerKind.powerRestored)
        return {one.contact.split("@")[0].split()[-1].split(":")[-1].upper() for one in restored}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.open()
    return house


async def test_below_a_nested_outage_nobody_is_told(house: House) -> None:
    """The feeder is back, the burnt transformer is not: its customers hear nothing until it is."""
    await house.outage("F", "B")
    await house.wish("H11-1", "T1", "F")
    await house.wish("H21-1", "T2", "F")
    house.pass_time(minutes=20)
    await house.outage("N", "T11")
    house.pass_time(minutes=10)
    await house.close("F")
    await house.tick()
    assert await house.told() == {"H21-1"}
    house.pass_time(minutes=30)
    await house.close("N", kind="crew", who="crew 7")
    await house.tick()
    assert await house.told() == {"H11-1", "H21-1"}


async def test_who_has_called_since_is_not_told(house: House) -> None:
    """The crew speaks of ten o'clock, and somebody called after that."""
    await house.outage("F", "F1")
    await house.wish("H11-1", "T1", "F")
    house.pass_time(minutes=20)
    await house.wish("H12-1", "T2", "F")
    house.pass_time(minutes=5)
    await house.close("F", kind="crew", who="crew 7", restored_at=house.now - timedelta(minutes=15))
    await house.tick()
    assert await house.told() == {"H11-1"}


async def test_of_a_part_those_are_told_who_are_in_it(house: House) -> None:
    """Restoration in steps, house by house."""
    await house.outage("F", "F1")
    await house.wish("H11-1", "T1", "F")
    await house.wish("H12-1", "T2", "F")
    house.pass_time(minutes=20)
    await house.say("F", kind="crew", who="crew 7", restored_at=house.now, points=("UP11-1", "UP11-2"))
    await house.tick()
    assert "H12-1" not in await house.told()
    house.pass_time(minutes=20)
    await house.close("F", kind="crew", who="crew 7")
    await house.tick()
    assert "H12-1" in await house.told()


async def test_the_caller_of_one_house_lets_nobody_else_be_told(house: House) -> None:
    """Whoever has supply has said so, and no one else."""
    await house.outage("F", "F1")
    await house.wish("H11-1", "T1", "F")
    await house.wish("H12-1", "T2", "F")
    house.pass_time(minutes=20)
    await house.hang_up("T1")
    await house.tick()
    assert "H12-1" not in await house.told()


async def test_what_is_refused_is_told_to_nobody(house: House) -> None:
    """A close without evidence leaves no trace at the customers."""
    await house.outage("F", "F1")
    await house.wish("H11-1", "T1", "F")
    house.pass_time(minutes=20)
    await house.close("F", kind=None, who=None)
    await house.close("F", kind="meter", points=("UP11-1",))
    await house.tick()
    assert await house.told() == set()


async def test_one_word_about_a_house_is_told_once_however_many_outages_had_it() -> None:
    """Its meter has supply again: that is one thing to hear, and not one for the fuse and one for the breaker."""
    town = House()
    await town.open(build_network())
    await cis.seed_town(town.records, MONDAY)
    for incident, device in (("B", "CB-11"), ("F", "F-112"), ("T", "TX-1107")):
        await town.outage(incident, device)
    town.pass_time(minutes=20)
    event = MeterEvent(point=find_premises(32).usage_point, is_off=False, at=town.now)
    header = Header(verb=Verb.EXECUTE, noun=INC, source="HES")
    served = await oms.take_meter_events((event,), town._context(header))
    await town.pass_on(cis.LISTENS, served.events)
    await town.tick()
    found = await town.records.select(NOTICES, Selection())
    restored = [one.body for one in found if one.body.trigger is NotificationTriggerKind.powerRestored]
    assert len(restored) == 1
