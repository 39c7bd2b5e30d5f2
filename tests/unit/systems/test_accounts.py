"""Minutes of points by what was said of them: small histories, each of which was once counted otherwise."""

from datetime import timedelta

import msgspec
import pytest

from cimcare.exchange.ports import Selection
from cimcare.model.envelope import Header
from cimcare.model.identity import Name, NameType
from cimcare.model.incident import IncidentOutage, TroubleTicketIdentity
from cimcare.model.network import Device, DeviceKind, MeterEvent, Network
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.samples.northlake_network import build_network
from cimcare.systems.cis import seed_town
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.indices import Indices
from cimcare.systems.oms.kinds import EXTENTS, INCIDENTS, OPEN
from cimcare.systems.oms.meters import take_meter_events
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.reliability import count_customers, load_reliability
from tests.unit.systems.outages import ControlRoom, feeder
from tests.unit.systems.utility import MONDAY, mrid


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open()
    return room


@pytest.fixture
def town() -> ControlRoom:
    return ControlRoom()


async def meters_say(room: ControlRoom, *said: tuple[str, str, float]) -> None:
    """Point, off or on, minutes after the beginning; told now."""
    events = tuple(
        MeterEvent(point=point, is_off=what == "off", at=room.minutes(minute)) for point, what, minute in said
    )
    await take_meter_events(events, room._context(Header(verb=Verb.EXECUTE, noun=Noun.INCIDENTS, source="HES")))


async def close_all(room: ControlRoom) -> None:
    for stored in await room.records.select(INCIDENTS.collection, Selection(states=(OPEN,))):
        await room.close(stored.mrid)
    await room.tick()


async def indices(room: ControlRoom, *, planned: bool = False) -> Indices:
    found = await load_reliability(
        room.records,
        since=MONDAY - timedelta(days=1),
        until=MONDAY + timedelta(days=30),
        now=room.now,
        customers=await count_customers(room.records),
    )
    return found.planned if planned else found.unplanned


async def test_a_device_that_was_given_up_leaves_no_minutes_behind(room: ControlRoom) -> None:
    """Two transformers called, and the fuse was suspected; then one of the calls was none. Its neighbour never was out,
    though his meter had said within the time of the suspicion that he had supply.
    """
    for house in ("H11-1", "H11-2", "H12-1"):
        await room.call(house, f"T{house}")
    extents = await room.records.select(EXTENTS, Selection(states=(OPEN,)))
    assert [one.body.device_name for one in extents] == ["F1"]
    room.pass_time(minutes=10)
    await meters_say(room, ("UP12-2", "on", 10))
    await room.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("TH12-1",))
    await room.tick()
    room.pass_time(minutes=20)
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions, found.momentary) == (60, 2, 0)


async def test_the_end_of_an_outage_is_no_word_for_those_whom_another_keeps_out(room: ControlRoom) -> None:
    """The breaker is back, the fuse below is not. A caller from there contradicts his meter, and not the breaker."""
    await room.outage("I", "B")
    room.pass_time(minutes=10)
    await room.outage("J", "F1")
    room.pass_time(minutes=10)
    await meters_say(room, ("UP11-1", "on", 20))
    room.pass_time(minutes=10)
    await room.close("I")
    room.pass_time(minutes=10)
    await room.call("H11-1", "T1")
    room.pass_time(minutes=20)
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (4 * 30 + 4 * 60, 8)


async def test_who_called_before_a_planned_outage_that_he_is_in_was_out_since_then(room: ControlRoom) -> None:
    """The switch was opened earlier than announced, and one of two customers has said so."""
    await room.call("H11-1", "T1")
    room.pass_time(minutes=30)
    period = DateTimeInterval(start=room.now)
    await room.outage("P", "T11", outage=IncidentOutage(is_planned=True, actual_period=period))
    await room.say("P", trouble_tickets=(TroubleTicketIdentity(mrid=mrid("T1")),))
    room.pass_time(minutes=30)
    await close_all(room)
    assert (await indices(room, planned=True)).customer_minutes == 60 + 30
    assert (await indices(room)).customer_minutes == 0


async def test_a_loss_of_which_the_meter_tells_when_it_is_over_counts(room: ControlRoom) -> None:
    """It had no way to tell before; there was no incident, and the customer was in the dark for half an hour."""
    room.pass_time(minutes=60)
    await meters_say(room, ("UP11-1", "off", 10), ("UP11-1", "on", 40))
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (30, 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_in_which_order_meters_are_heard_does_not_matter(room: ControlRoom, order: tuple[int, ...]) -> None:
    """A head end reads its meters when it can."""
    await room.outage("I", "F1")
    room.pass_time(minutes=40)
    await room.close("I")
    await room.tick()
    room.pass_time(minutes=20)
    said = (("UP11-1", "on", 10), ("UP11-1", "off", 20), ("UP11-1", "on", 30))
    for number in order:
        await meters_say(room, said[number])
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (3 * 40 + 10 + 10, 5)


async def test_who_was_called_back_is_believed_rather_than_his_meter(room: ControlRoom) -> None:
    """The meter is still silent, and the lights are on."""
    await room.outage("I", "F1")
    await room.call("H11-1", "T1")
    await meters_say(room, ("UP11-1", "off", 0))
    room.pass_time(minutes=15)
    answered = TroubleTicket(mrid=mrid("T1"), resolved_date_time=room.now, status=Status(reason="callback"))
    await room.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, answered)
    room.pass_time(minutes=15)
    await close_all(room)
    assert (await indices(room)).customer_minutes == 3 * 30 + 15


def tied_feeder() -> Network:
    """The feeder with a tie between the laterals of its two fuses."""
    tie = Device(
        mrid=mrid("TIE"),
        name="TIE",
        kind=DeviceKind.SWITCH,
        nodes=("f1", "f2"),
        is_open=True,
        is_normally_open=True,
    )
    own = feeder()
    return msgspec.structs.replace(own, devices=(*own.devices, tie))


async def test_who_was_fed_from_elsewhere_is_no_longer_of_the_outage() -> None:
    """A lateral is cut off and gets its supply over the tie, half way through; the fuse is replaced later."""
    room = ControlRoom()
    await room.open(tied_feeder())
    await room.outage("I", "F1")
    room.pass_time(minutes=20)
    await operate(room.records, "F1", room.now, is_open=True)
    await operate(room.records, "TIE", room.now, is_open=False)
    room.pass_time(minutes=20)
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (4 * 20, 4)


async def test_who_was_switched_to_a_device_that_is_out_is_out_since_then() -> None:
    """The lateral had supply until somebody tied it to the one that has none; and is back where it was soon after."""
    room = ControlRoom()
    await room.open(tied_feeder())
    await room.outage("I", "F2")
    room.pass_time(minutes=10)
    await operate(room.records, "F1", room.now, is_open=True)
    await operate(room.records, "TIE", room.now, is_open=False)
    room.pass_time(minutes=10)
    await operate(room.records, "TIE", room.now, is_open=True)
    await operate(room.records, "F1", room.now, is_open=False)
    room.pass_time(minutes=10)
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (4 * 30 + 4 * 10, 8)


async def test_premises_that_have_left_the_network_count_until_then(room: ControlRoom) -> None:
    """A house is taken off the model while its fuse is out, and another one hangs at the other fuse from now on."""
    await room.outage("I", "F1")
    room.pass_time(minutes=20)
    own = feeder()
    points = tuple(
        msgspec.structs.replace(point, node="t21") if point.name == "UP11-2" else point
        for point in own.points
        if point.name != "UP11-1"
    )
    await import_network(room.records, msgspec.structs.replace(own, points=points), room.now)
    room.pass_time(minutes=20)
    await close_all(room)
    found = await indices(room)
    assert (found.customer_minutes, found.interruptions) == (2 * 40 + 2 * 20, 4)


async def test_a_call_from_premises_that_have_left_is_of_the_same_place(town: ControlRoom) -> None:
    """The model is ahead of the people there: what they say counts for the place that was out before."""
    place, network = find_premises(0), build_network()
    await town.open(network)
    await seed_town(town.records, MONDAY)
    await town.outage("I", "TX-1101")
    town.pass_time(minutes=20)
    points = tuple(point for point in network.points if point.name != place.usage_point)
    await import_network(town.records, msgspec.structs.replace(network, points=points), town.now)
    name = Name(name=place.location, name_type=NameType(name="ServiceLocationNumber"))
    named = ServiceLocationIdentity(names=(name,))
    ticket = TroubleTicket(mrid=mrid("T1"), date_time_of_report=town.now, service_location=named)
    await town.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, ticket)
    town.pass_time(minutes=20)
    await close_all(town)
    found = await indices(town)
    assert (found.customer_minutes, found.interruptions) == (5 * 40, 5)
