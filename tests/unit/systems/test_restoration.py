"""Truthful restoration (guarantee G12): every lie that could be told about a dark house is tried here."""

from datetime import datetime, timedelta

import msgspec
import pytest

from cimcare.exchange.ports import Key, Selection, Served, Stored
from cimcare.model.envelope import Header, Payload, RequestMessage, Result
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.incident import Incident, IncidentLocation, Incidents, TroubleTicketIdentity
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import Status, StreetAddress
from cimcare.model.verbs import Verb
from cimcare.systems import oms
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.interruptions import Interval, duration_of
from cimcare.systems.oms.kinds import EXTENTS
from cimcare.systems.premises import PREMISES, PremisesRecord
from tests.unit.systems.outages import ControlRoom, feeder, restored_points
from tests.unit.systems.utility import MONDAY, codes_of, events_of, ids_of, mrid

TT, INC = Noun.TROUBLE_TICKETS, Noun.INCIDENTS


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open()
    return room


# -------------------------------------------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("kind", "who"),
    [(None, None), ("operator", None), ("crew", ""), ("somebody", "Ana"), (None, "Ana"), ("all restored", "Ana")],
)
async def test_nobody_closes_an_outage_without_saying_how_it_is_known(
    room: ControlRoom, kind: str | None, who: str | None
) -> None:
    """A "restored" that no one answers for is how dark houses get good news."""
    await room.outage("I", "F1")
    served = await room.close("I", kind=kind, who=who)
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-130"], ())
    assert await room.state("I") == "open"


async def test_a_close_by_identifier_alone_is_no_evidence(room: ControlRoom) -> None:
    """A bare `close` says that somebody wants it over, not that it is."""
    await room.outage("I", "F1")
    served = await room.ask(Verb.CLOSE, INC, ids=("I",))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-130"])


async def test_points_are_not_restored_without_evidence(room: ControlRoom) -> None:
    """The same holds for a part of an outage."""
    await room.outage("I", "F1")
    room.pass_time(minutes=10)
    served = await room.say("I", kind=None, who=None, restored_at=room.now, points=("UP11-1",))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-130"], ())
    assert await room.interruptions() == ()


async def test_the_ticket_of_one_house_does_not_restore_a_feeder(room: ControlRoom) -> None:
    """The caller of the only ticket has supply again; of seven other houses nobody knows anything."""
    await room.outage("I", "B")
    await room.call("H11-1", "T1", incident="I")
    room.pass_time(minutes=30)
    served = await room.hang_up("T1")
    assert served.result is Result.OK
    assert ("closed", "Incidents", 1) not in events_of(served)
    assert await room.state("I") == "open"
    assert await room.extent("I") == 7
    assert [one.point for one in await room.interruptions()] == ["UP11-1"]


async def test_when_all_below_a_device_have_said_so_the_outage_is_over(room: ControlRoom) -> None:
    """Call-backs of every house are as good as the word of a crew."""
    await room.outage("I", "T11")
    await room.call("H11-1", "T1", incident="I")
    await room.call("H11-2", "T2", incident="I")
    room.pass_time(minutes=30)
    await room.hang_up("T1")
    assert await room.state("I") == "open"
    served = await room.hang_up("T2")
    assert ("closed", "Incidents", 1) in events_of(served)
    assert await room.state("I") == "closed"


@pytest.mark.parametrize("kind", ["meter", "callback"])
async def test_meters_and_callers_speak_for_their_own_points_alone(room: ControlRoom, kind: str) -> None:
    """A meter that has voltage says nothing about the one behind the blown fuse next door."""
    await room.outage("I", "T11")
    room.pass_time(minutes=10)
    served = await room.close("I", kind=kind, who=None, restored_at=room.now, points=("UP11-1",))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-131"], ())
    assert await room.state("I") == "open"
    assert await room.interruptions() == ()
    both = await room.close("I", kind=kind, who=None, restored_at=room.now, points=("UP11-1", "UP11-2"))
    assert both.result is Result.OK
    assert await room.state("I") == "closed"


async def test_a_named_point_counts_once_however_often_it_is_named(room: ControlRoom) -> None:
    """Naming one house twice does not restore its neighbour."""
    await room.outage("I", "T11")
    room.pass_time(minutes=10)
    await room.say("I", kind="meter", restored_at=room.now, points=("UP11-1", "UP11-1"))
    await room.say("I", kind="meter", restored_at=room.now, points=("UP11-1",))
    assert (await room.state("I"), await room.extent("I")) == ("open", 1)
    served = await room.close("I", kind="meter", restored_at=room.now, points=("UP11-1", "UP11-1"))
    assert codes_of(served) == ["BUS-131"]


async def test_a_meter_does_not_resolve_the_ticket_of_another_house(room: ControlRoom) -> None:
    """A dispatcher has put a caller from elsewhere into the outage; the two meters of its transformer know nothing."""
    await room.outage("I", "T11")
    await room.call("H22-1", "T1")
    await room.say("I", trouble_tickets=(TroubleTicketIdentity(mrid=mrid("T1")),))
    room.pass_time(minutes=10)
    served = await room.close("I", kind="meter", restored_at=room.now, points=("UP11-1", "UP11-2"))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-131"])
    await room.tick()
    assert (await room.state("I"), await room.state("T1")) == ("open", "open")


async def test_a_close_by_meters_that_somebody_contradicts_is_refused(room: ControlRoom) -> None:
    """One of the two houses has called since."""
    await room.outage("I", "T11")
    room.pass_time(minutes=10)
    await room.call("H11-1", "T1", incident="I")
    served = await room.close("I", kind="meter", restored_at=room.minutes(5), points=("UP11-1", "UP11-2"))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-131"])
    assert await room.state("I") == "open"


async def test_what_was_said_of_one_place_does_not_count_for_another(room: ControlRoom) -> None:
    """The outage turns out to be at another transformer than the one that was restored."""
    await room.outage("I", "F1")
    await room.call("H11-1", "T1", incident="I")
    room.pass_time(minutes=10)
    await room.say("I", kind="crew", who="crew 7", restored_at=room.now, points=("UP12-1", "UP12-2"))
    place = IncidentLocation(names=(Name(name="T11", name_type=NameType(name="Device")),))
    await room.say("I", kind="crew", who="crew 7", location=place)
    assert (await room.state("I"), await room.extent("I")) == ("open", 2)
    await room.hang_up("T1")
    assert (await room.state("I"), await room.extent("I")) == ("open", 1)


async def test_a_house_counts_for_itself_and_for_no_other(room: ControlRoom) -> None:
    """One that was restored before an outage below began is not counted for a neighbour of that one."""
    await room.outage("I", "F1")
    room.pass_time(minutes=10)
    await room.say("I", kind="meter", restored_at=room.now, points=("UP11-1",))
    await room.outage("N", "T11")
    await room.call("H12-1", "T1", incident="I")
    await room.hang_up("T1")
    assert await room.state("I") == "open"
    await room.say("I", kind="meter", restored_at=room.now, points=("UP12-2",))
    assert await room.state("I") == "closed"


async def test_the_word_of_a_crew_covers_all_below_the_device(room: ControlRoom) -> None:
    """Who has put in the new fuse has restored everybody behind it, callers or not."""
    await room.outage("I", "F1")
    await room.call("H11-1", "T1", incident="I")
    room.pass_time(minutes=30)
    served = await room.close("I", kind="crew", who="crew 7")
    assert (served.result, ids_of(served)) == (Result.OK, ["I"])
    (closed,) = [event for event in served.events if event.noun is INC]
    assert closed.verb is Verb.CLOSED
    outage = closed.payload.incident[0].outage  # type: ignore[union-attr]
    assert outage.actual_period.end == room.minutes(30)
    assert "by crew 7" in closed.payload.incident[0].comment  # type: ignore[union-attr]
    await room.tick()
    ended = {one.point: one.interval for one in await room.interruptions()}
    assert set(ended) == {"UP11-1", "UP11-2", "UP12-1", "UP12-2"}
    assert set(ended.values()) == {Interval(room.minutes(0), room.minutes(30))}
    assert await room.state("T1") == "resolved"


# ------------------------------------------------------------------------------------------------------ instants


async def test_supply_is_not_back_in_the_future_nor_before_it_was_lost(room: ControlRoom) -> None:
    """An instant that cannot be is a typing error, or worse."""
    await room.outage("I", "F1")
    room.pass_time(minutes=30)
    for minute in (-1, 36):
        at = room.minutes(minute)
        assert codes_of(await room.close("I", restored_at=at)) == ["BUS-134"]
        assert codes_of(await room.say("I", restored_at=at, points=("UP11-1",))) == ["BUS-134"]
    assert await room.state("I") == "open"


async def test_clocks_may_differ_by_minutes(room: ControlRoom) -> None:
    """A console whose clock is ahead can close an outage; what is noted is now."""
    await room.outage("I", "F1")
    room.pass_time(minutes=30)
    assert (await room.close("I", restored_at=room.minutes(33))).result is Result.OK
    await room.tick()
    assert {one.ended_at for one in await room.interruptions()} == {room.minutes(30)}


async def test_a_caller_does_not_know_the_future(room: ControlRoom) -> None:
    """A ticket resolved tomorrow is not resolved."""
    from cimcare.model.trouble_ticket import TroubleTicket

    await room.call("H11-1", "T1")
    tomorrow = TroubleTicket(mrid=mrid("T1"), resolved_date_time=room.now + timedelta(days=1))
    served = await room.ask(Verb.CLOSE, TT, tomorrow)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-134"])
    assert await room.state("T1") == "open"


async def test_a_change_does_not_end_an_outage(room: ControlRoom) -> None:
    """An end without points would be a close that nobody had to answer for."""
    await room.outage("I", "F1")
    room.pass_time(minutes=30)
    assert codes_of(await room.say("I", restored_at=room.now)) == ["LIF-102"]
    assert codes_of(await room.say("I", points=("UP11-1",))) == ["BUS-134"]


# --------------------------------------------------------------------------------------------------------- steps


async def test_a_part_that_is_back_is_told_with_its_points_and_nothing_more(room: ControlRoom) -> None:
    """Those who are told that supply is back are those of whom somebody said so."""
    await room.outage("I", "F1")
    await room.call("H11-1", "T1", incident="I")
    await room.call("H12-1", "T2", incident="I")
    room.pass_time(minutes=20)
    served = await room.say("I", kind="crew", who="crew 7", restored_at=room.now, points=("UP11-1", "UP11-2"))
    assert restored_points(served) == {"UP11-1", "UP11-2"}
    assert (await room.state("I"), await room.extent("I")) == ("open", 2)
    assert (await room.state("T1"), await room.state("T2")) == ("resolved", "open")
    assert (await room.incident("I")).outage.actual_period.end is None  # type: ignore[union-attr]
    room.pass_time(minutes=40)
    await room.close("I", kind="crew", who="crew 7")
    await room.tick()
    minutes = {one.point: (one.ended_at or MONDAY) - one.started_at for one in await room.interruptions()}
    assert minutes == {
        "UP11-1": timedelta(minutes=20),
        "UP11-2": timedelta(minutes=20),
        "UP12-1": timedelta(minutes=60),
        "UP12-2": timedelta(minutes=60),
    }


async def test_points_of_another_outage_are_not_restored_by_this_one(room: ControlRoom) -> None:
    """A typing error must not bring light to the wrong street."""
    await room.outage("I", "F1")
    room.pass_time(minutes=20)
    served = await room.say("I", restored_at=room.now, points=("UP21-1", "UP11-1"))
    assert codes_of(served) == ["REF-107"]
    assert restored_points(served) == {"UP11-1"}


async def test_the_last_part_ends_the_outage(room: ControlRoom) -> None:
    """Where nobody is believed out any more there is no outage."""
    await room.outage("I", "T11")
    room.pass_time(minutes=20)
    await room.say("I", restored_at=room.now, points=("UP11-1",))
    assert await room.state("I") == "open"
    served = await room.say("I", restored_at=room.now, points=("UP11-2",))
    assert ("closed", "Incidents", 1) in events_of(served)
    assert await room.state("I") == "closed"


# ------------------------------------------------------------------------------------------------ nested outages


async def test_a_feeder_is_back_and_the_transformer_below_it_is_not(room: ControlRoom) -> None:
    """The customers of the burnt transformer are told nothing, and stay out since the feeder went."""
    await room.outage("F", "B")
    await room.call("H11-1", "T1", incident="F")
    await room.call("H21-1", "T2", incident="F")
    room.pass_time(minutes=20)
    await room.outage("N", "T11")
    room.pass_time(minutes=10)
    served = await room.close("F")
    assert served.result is Result.OK
    assert codes_of(served) == ["BUS-135"]
    assert (await room.state("F"), await room.state("N")) == ("closed", "open")
    # Before anybody hears that F is over, they hear that its ticket below N is of N.
    assert events_of(served)[-2:] == [("changed", "TroubleTickets", 1), ("closed", "Incidents", 1)]
    assert (await room.state("T1"), await room.incident_of("T1")) == ("open", "N")
    await room.tick()
    assert (await room.state("T1"), await room.incident_of("T1")) == ("open", "N")
    assert await room.state("T2") == "resolved"
    assert await room.dark() == {"UP11-1", "UP11-2"}
    room.pass_time(minutes=30)
    await room.close("N", kind="crew", who="crew 7")
    await room.tick()
    assert await room.dark() == set()
    assert await room.state("T1") == "resolved"
    own = [one.interval for one in await room.interruptions("UP11-2")]
    assert duration_of(own, room.now) == timedelta(minutes=60)
    (other,) = [one.interval for one in await room.interruptions("UP21-1")]
    assert other == Interval(room.minutes(0), room.minutes(30))


async def test_a_point_below_a_nested_outage_cannot_be_restored_by_the_outer_one(room: ControlRoom) -> None:
    """Though an operator lists the whole street."""
    await room.outage("F", "F1")
    await room.outage("N", "T11")
    room.pass_time(minutes=10)
    served = await room.say("F", restored_at=room.now, points=("UP11-1", "UP12-1"))
    assert codes_of(served) == ["BUS-135"]
    assert restored_points(served) == {"UP12-1"}


async def test_a_nested_outage_that_was_false_does_not_keep_anybody_out(room: ControlRoom) -> None:
    """When the inner outage is taken back, the word about the outer one holds below it too."""
    await room.outage("F", "F1")
    await room.outage("N", "T11")
    room.pass_time(minutes=30)
    await room.close("F")
    await room.tick()
    assert await room.dark() == {"UP11-1", "UP11-2"}
    room.pass_time(minutes=30)
    assert (await room.ask(Verb.CANCEL, INC, ids=("N",))).result is Result.OK
    (own,) = [one.interval for one in await room.interruptions("UP11-1")]
    assert own == Interval(room.minutes(0), room.minutes(30))
    await room.call("H11-1", "T1")
    status = (await room.ticket("T1")).status
    assert status is not None
    assert (status.reason, "incident F" in (status.remark or "")) == ("stillOut", True)


async def test_what_lies_below_an_outage_that_goes_on_is_not_back(room: ControlRoom) -> None:
    """The fuse is in again, and the feeder above it is still out: nobody behind the fuse has supply."""
    await room.outage("F", "B")
    await room.outage("N", "F1")
    await room.call("H11-1", "T1", incident="N")
    room.pass_time(minutes=30)
    served = await room.close("N", kind="crew", who="crew 7")
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-136"], ())
    await room.close("F")
    assert (await room.close("N", kind="crew", who="crew 7")).result is Result.OK


async def test_a_point_that_has_supply_is_back_in_every_outage(room: ControlRoom) -> None:
    """A meter below the fuse that has voltage is out neither by the fuse nor by the feeder."""
    await room.outage("F", "B")
    await room.outage("N", "F1")
    room.pass_time(minutes=30)
    await room.say("N", kind="meter", restored_at=room.now, points=("UP11-1",))
    assert (await room.extent("F"), await room.extent("N")) == (7, 3)


# ----------------------------------------------------------------------------------------------------- still out


async def test_still_out_after_a_restoration_is_believed_at_once(room: ControlRoom) -> None:
    """The call opens an incident of its own, tied to what was said before, and the interruption never ended."""
    await room.outage("F", "F1")
    await room.call("H11-1", "T1", incident="F")
    room.pass_time(minutes=30)
    await room.close("F", kind="crew", who="crew 7")
    await room.tick()
    room.pass_time(minutes=15)
    served = await room.call("H12-2", "T9")
    assert ("created", "Incidents", 1) in events_of(served)
    again = await room.incident_of("T9")
    assert again != "F"
    body = await room.incident(again)
    assert body.comment is not None
    assert "incident F" in body.comment
    assert "crew 7" in body.comment
    status = (await room.ticket("T9")).status
    assert status is not None
    assert status.reason == "stillOut"
    assert await room.dark() == {"UP12-2"}
    room.pass_time(minutes=15)
    await room.close(again, kind="crew", who="crew 8")
    await room.tick()
    assert await room.dark() == set()
    own = [one.interval for one in await room.interruptions("UP12-2")]
    assert duration_of(own, room.now) == timedelta(minutes=60)


async def test_still_out_is_believed_before_the_restoration_is_gone_through(room: ControlRoom) -> None:
    """The call that comes a second after the good news finds no half-done books."""
    await room.outage("F", "F1")
    await room.call("H11-1", "T1", incident="F")
    room.pass_time(minutes=30)
    await room.close("F")
    room.pass_time(minutes=1)
    await room.call("H11-1", "T9")
    again = await room.incident_of("T9")
    assert (await room.state(again), again != "F") == ("open", True)
    await room.tick()
    assert (await room.state("T1"), await room.state("T9")) == ("resolved", "open")
    assert await room.dark() == {"UP11-1"}


async def test_who_called_after_the_instant_of_the_restoration_is_still_out(room: ControlRoom) -> None:
    """The crew says ten o'clock, somebody called at five past, and the word comes at ten past."""
    await room.outage("F", "F1")
    await room.call("H11-1", "T1", incident="F")
    room.pass_time(minutes=20)
    await room.call("H12-1", "T2", incident="F")
    room.pass_time(minutes=5)
    served = await room.close("F", kind="crew", who="crew 7", restored_at=room.minutes(10))
    assert served.result is Result.OK
    assert events_of(served)[-2:] == [("changed", "TroubleTickets", 1), ("closed", "Incidents", 1)]
    again = await room.incident_of("T2")
    assert (again != "F", await room.state(again), await room.state("T2")) == (True, "open", "open")
    await room.tick()
    assert (await room.state("T1"), await room.state("T2")) == ("resolved", "open")
    assert await room.dark() == {"UP12-1"}


async def test_still_out_in_an_outage_that_goes_on_takes_the_part_back(room: ControlRoom) -> None:
    """A point that was said to be back within an open incident, and is not."""
    await room.outage("F", "F1")
    room.pass_time(minutes=10)
    await room.say("F", restored_at=room.now, points=("UP11-1",))
    assert await room.extent("F") == 3
    room.pass_time(minutes=10)
    await room.call("H11-1", "T9", incident="F")
    assert await room.dark() == {"UP11-1"}
    room.pass_time(minutes=10)
    await room.close("F")
    await room.tick()
    own = [one.interval for one in await room.interruptions("UP11-1")]
    assert duration_of(own, room.now) == timedelta(minutes=30)


async def test_still_out_is_believed_of_premises_that_only_the_directory_knows(room: ControlRoom) -> None:
    """The model ends at the transformer; which houses it feeds is what the customer system says."""
    premises = PremisesRecord(
        mrid=mrid("H11-9"),
        names=(),
        usage_point=mrid("UP11-9"),
        usage_point_names=(),
        address=StreetAddress(),
        feeder="B",
        transformer="T11",
    )
    keys = frozenset({Key("service-location", "H11-9"), Key("premises", "H11-9")})
    kept = Stored(mrid=premises.mrid, body=premises, created_at=room.now, modified_at=room.now, keys=keys)
    await room.records.save(PREMISES, kept)
    await room.outage("F", "F1")
    room.pass_time(minutes=30)
    await room.close("F", kind="crew", who="crew 7")
    await room.tick()
    room.pass_time(minutes=5)
    await room.call("H11-9", "T9")
    status = (await room.ticket("T9")).status
    assert status is not None
    assert (status.reason, "incident F" in (status.remark or "")) == ("stillOut", True)
    (own,) = await room.interruptions("UP11-9")
    assert own.interval == Interval(room.minutes(0), None)


async def test_members_of_an_incident_are_not_removed(room: ControlRoom) -> None:
    """An operation that takes away the estimate would leave a stage without its time."""
    await room.outage("I", "F1")
    await room.say("I", etr=room.minutes(60))
    message = RequestMessage(
        header=Header(verb=Verb.CHANGE, noun=INC),
        payload=Payload(content=(Incidents(incident=(Incident(mrid=mrid("I"), comment="x"),)),)),
    )
    context = msgspec.structs.replace(room._context(message.header), removes=True)
    served = await oms.SERVES[Verb.CHANGE, INC](message, context)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-106"])


async def test_a_call_long_after_a_restoration_is_a_new_outage(room: ControlRoom) -> None:
    """A fault of next week has nothing to do with this one."""
    await room.outage("F", "F1")
    room.pass_time(minutes=30)
    await room.close("F")
    await room.tick()
    room.pass_time(days=3)
    await room.call("H11-1", "T9")
    status = (await room.ticket("T9")).status
    assert status is not None
    assert status.reason is None
    assert await room.dark() == set()


async def test_still_out_that_was_withdrawn_leaves_the_restoration_as_it_was(room: ControlRoom) -> None:
    """It was the customer's own fuse after all."""
    await room.outage("F", "F1")
    room.pass_time(minutes=30)
    await room.close("F")
    await room.tick()
    room.pass_time(minutes=15)
    await room.call("H11-1", "T9")
    assert await room.dark() == {"UP11-1"}
    await room.ask(Verb.CANCEL, TT, ids=("T9",))
    assert await room.dark() == set()
    (own,) = [one.interval for one in await room.interruptions("UP11-1")]
    assert own == Interval(room.minutes(0), room.minutes(30))


# ------------------------------------------------------------------------------------- the word of the premises


async def _say_back(room: ControlRoom, *tickets: str, at: datetime | None = None, reason: str = "callback") -> Served:
    """Somebody is called back, and says that supply is there."""
    said = Status(reason=reason)
    closed = tuple(TroubleTicket(mrid=mrid(one), resolved_date_time=at or room.now, status=said) for one in tickets)
    return await room.ask(Verb.CLOSE, TT, *closed)


async def test_who_is_called_back_speaks_for_all_tickets_of_the_premises(room: ControlRoom) -> None:
    """She has called twice. One of the tickets would stay, and her house would be counted as dark for ever."""
    await room.call("H11-1", "T1")
    await room.call("H11-1", "T2", at=room.minutes(5))
    await room.call("H21-1", "T3")
    incident = await room.incident_of("T1")
    room.pass_time(minutes=30)
    served = await _say_back(room, "T1")
    assert [await room.state(one) for one in ("T1", "T2", "T3", incident)] == ["resolved", "resolved", "open", "closed"]
    assert events_of(served) == [
        ("closed", "TroubleTickets", 1),
        ("closed", "TroubleTickets", 1),
        ("closed", "Incidents", 1),
    ]
    other = await room.ticket("T2")
    assert other.status is not None
    assert (other.status.reason, other.resolved_date_time) == ("callback", room.now)
    assert [one.interval for one in await room.interruptions("UP11-1")] == [Interval(room.minutes(0), room.now)]


async def test_the_word_of_the_premises_holds_when_all_their_tickets_are_named(room: ControlRoom) -> None:
    """The customer system knows them all and names them all: each is told of once."""
    for ticket in ("T1", "T2", "T3"):
        await room.call("H11-1", ticket)
    incident = await room.incident_of("T1")
    room.pass_time(minutes=30)
    served = await _say_back(room, "T1", "T2")
    assert [await room.state(one) for one in ("T1", "T2", "T3", incident)] == ["resolved"] * 3 + ["closed"]
    assert events_of(served)[:2] == [("closed", "TroubleTickets", 2), ("closed", "TroubleTickets", 1)]
    (extent,) = [one.body for one in await room.records.select(EXTENTS, Selection())]
    assert (extent.restored, extent.dark) == (1, 0)


async def test_who_reported_after_the_word_of_the_premises_is_still_out(room: ControlRoom) -> None:
    """The answer is entered late; in between the light has gone out again, and somebody of the house has called."""
    await room.call("H11-1", "T1")
    await room.call("H11-1", "T2", at=room.minutes(20))
    room.pass_time(minutes=30)
    await _say_back(room, "T1", at=room.minutes(10))
    assert [await room.state(one) for one in ("T1", "T2")] == ["resolved", "open"]
    assert await room.state(await room.incident_of("T2")) == "open"


async def test_a_ticket_that_is_closed_as_a_duplicate_says_nothing_of_the_premises(room: ControlRoom) -> None:
    """Nobody was called back: one of two tickets is tidied away, and the house is as dark as before."""
    await room.call("H11-1", "T1")
    await room.call("H11-1", "T2")
    room.pass_time(minutes=30)
    await room.hang_up("T2")
    assert [await room.state(one) for one in ("T1", "T2")] == ["open", "resolved"]
    assert await room.state(await room.incident_of("T1")) == "open"


async def test_one_of_several_customers_of_a_point_speaks_for_himself(room: ControlRoom) -> None:
    """Behind the point is a house of flats that the model does not tell apart: the neighbour is still to be heard."""
    network = feeder()
    points = tuple(
        msgspec.structs.replace(one, customers=12) if one.name == "UP11-1" else one for one in network.points
    )
    await room.open(msgspec.structs.replace(network, points=points))
    await room.call("H11-1", "T1")
    await room.call("H11-1", "T2")
    room.pass_time(minutes=30)
    await _say_back(room, "T1")
    assert [await room.state(one) for one in ("T1", "T2")] == ["resolved", "open"]


async def test_the_customer_system_tells_of_a_call_back(room: ControlRoom) -> None:
    """The same, where it does not ask but has closed its own ticket: what follows is told back."""
    await room.call("H11-1", "T1")
    await room.call("H11-1", "T2")
    room.pass_time(minutes=30)
    closed = TroubleTicket(mrid=mrid("T1"), resolved_date_time=room.now, status=Status(reason="callback"))
    served = await room.tell(oms.LISTENS, Verb.CLOSED, TT, closed)
    assert [await room.state(one) for one in ("T1", "T2")] == ["resolved", "resolved"]
    assert events_of(served) == [("closed", "TroubleTickets", 1), ("closed", "Incidents", 1)]


# -------------------------------------------------------------------------------------------------------- slices


async def test_a_word_that_cannot_be_gone_through_does_not_hold_up_the_others(
    room: ControlRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One broken record, and the tickets of every later outage would stay open for ever."""
    told = dict(zip(("A", "B", "C", "D"), ("T11", "T12", "T21", "T22"), strict=True))
    for incident, device in told.items():
        await room.outage(incident, device)
        await room.call(f"H{device[1:]}-1", f"ticket-{incident}")
        room.pass_time(minutes=1)
        await room.close(incident, restored_at=room.now)
    find, broken = IncidentBook.find, {"A", "C"}

    async def fails(book: IncidentBook, named: MRID) -> Stored[Incident] | None:
        if named in broken:
            raise RuntimeError(f"cannot read {named}")
        return await find(book, named)

    async def states(*rounds: int) -> list[str]:
        for _ in rounds:
            for tick in oms.TICKS:
                has_more = True
                while has_more:
                    try:
                        has_more = (await tick(room.context())).has_more
                    except RuntimeError:
                        has_more = False
        return [await room.state(f"ticket-{incident}") for incident in told]

    monkeypatch.setattr(IncidentBook, "find", fails)
    assert await states(1, 2, 3) == ["open", "resolved", "open", "resolved"]
    assert await states(4, 5, 6) == ["open", "resolved", "open", "resolved"]
    broken.clear()
    assert await states(7) == ["resolved"] * 4
    assert await room.dark() == set()


async def test_many_tickets_are_resolved_in_slices(room: ControlRoom) -> None:
    """An outage with very many tickets does not stop all messages while they are resolved."""
    await room.open(feeder(houses=80))
    await room.outage("F", "B")
    for fuse, at, number in ((f, t, n) for f in "12" for t in "12" for n in range(1, 81)):
        await room.call(f"H{fuse}{at}-{number}", f"T{fuse}{at}-{number}", incident="F")
    room.pass_time(minutes=30)
    served = await room.close("F")
    assert [event for event in served.events if event.noun is TT] == []
    told = await room.tick()
    closed = [
        len(event.payload.trouble_ticket)  # type: ignore[union-attr]
        for done in told
        for event in done.events
        if (event.verb, event.noun) == (Verb.CLOSED, TT)
    ]
    assert sum(closed) == 320
    assert max(closed) <= 100
    assert len(await room.interruptions()) == 320
    assert await room.dark() == set()


# ------------------------------------------------------------------------------------------------ cancel, create


async def test_an_outage_that_somebody_calls_about_cannot_be_cancelled(room: ControlRoom) -> None:
    """That a predicted outage proved false is no answer to somebody who sits in the dark."""
    await room.outage("I", "F1")
    await room.call("H11-1", "T1", incident="I")
    served = await room.ask(Verb.CANCEL, INC, ids=("I",))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-133"])
    await room.ask(Verb.CANCEL, TT, ids=("T1",))
    served = await room.ask(Verb.CANCEL, INC, ids=("I",))
    assert (served.result, events_of(served)) == (Result.OK, [("canceled", "Incidents", 1)])


async def test_an_outage_does_not_come_into_the_world_restored(room: ControlRoom) -> None:
    """A create with an end would be a close without evidence."""
    from cimcare.model.incident import IncidentOutage
    from cimcare.model.values import DateTimeInterval

    over = IncidentOutage(actual_period=DateTimeInterval(start=MONDAY, end=MONDAY))
    served = await room.outage("I", "F1", outage=over)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-102"])


async def test_an_incident_is_created_once(room: ControlRoom) -> None:
    """The same identity again is a repeat or an error."""
    assert (await room.outage("I", "F1")).result is Result.OK
    assert codes_of(await room.outage("I", "F1")) == ["LIF-103"]


async def test_what_has_ended_is_final(room: ControlRoom) -> None:
    """The table of states holds for requests."""
    await room.outage("I", "F1")
    await room.close("I")
    for served in (await room.say("I"), await room.close("I"), await room.ask(Verb.CANCEL, INC, ids=("I",))):
        assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-105"])


async def test_tickets_are_moved_by_who_names_them(room: ControlRoom) -> None:
    """A dispatcher knows better than any rule; an incident that loses its last ticket was none."""
    await room.call("H11-1", "T1")
    old = await room.incident_of("T1")
    await room.outage("I", "F1")
    named = (TroubleTicketIdentity(mrid=mrid("T1")), TroubleTicketIdentity(mrid=mrid("nobody")))
    served = await room.say("I", trouble_tickets=named)
    assert codes_of(served) == ["REF-107"]
    assert await room.incident_of("T1") == "I"
    assert old == "I" or await room.state(old) == "cancelled"


async def test_an_outage_without_model_ends_with_its_last_caller() -> None:
    """A utility without a network model knows its callers and nobody else."""
    room = ControlRoom()
    await room.call("H11-1", "T1")
    incident = await room.incident_of("T1")
    room.pass_time(minutes=30)
    await room.hang_up("T1")
    assert await room.state(incident) == "closed"
    (own,) = await room.interruptions()
    assert own.interval == Interval(room.minutes(0), room.minutes(30))
