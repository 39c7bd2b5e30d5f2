"""Estimates through the outage management: who may say them, who hears of them, and when they are taken back."""

from datetime import timedelta

import msgspec
import pytest

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Result
from cimcare.model.identity import Name
from cimcare.model.incident import Incident, IncidentOutage, IncidentWork, Operator
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems.etr import etr_of
from cimcare.systems.oms.estimates import EstimateRules, StormMode
from cimcare.systems.oms.estimating import load_history, save_rules
from tests.unit.systems.outages import ControlRoom
from tests.unit.systems.utility import codes_of, events_of, mrid

INC = Noun.INCIDENTS


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open()
    await room.outage("I", "F1")
    return room


async def test_an_outage_of_which_nobody_has_said_anything_has_no_time(room: ControlRoom) -> None:
    """No rule makes one up."""
    await room.call("H11-1", "T1")
    assert await room.etr("I") == ("none", None)


async def test_an_operator_estimates_the_area_and_a_crew_the_outage(room: ControlRoom) -> None:
    """The stage says how good the time is, the sentence beside it whose it is."""
    served = await room.say("I", kind="operator", etr=room.minutes(120))
    assert events_of(served) == [("changed", "Incidents", 1)]
    assert await room.etr("I") == ("areaEstimate", room.minutes(120))
    await room.say("I", kind="crew", who="crew 7", etr=room.minutes(180))
    assert await room.etr("I") == ("crewEstimate", room.minutes(180))
    told = etr_of(await room.incident("I"))
    assert (told.source, told.said_at) == ("crew 7", room.now)


async def test_confidence_and_validity_are_those_of_the_source(room: ControlRoom) -> None:
    """What a crew says of its own estimate reaches the customer system as it was said."""
    remark = "by crew 7, confidence 80 %, valid until 2026-03-02T10:00:00Z"
    await room.say("I", kind="crew", who=remark, etr=room.minutes(120))
    told = etr_of(await room.incident("I"))
    assert (told.source, told.confidence, told.valid_until) == ("crew 7", 0.8, room.minutes(60))


@pytest.mark.parametrize(("kind", "who"), [(None, None), ("operator", None), (None, "Ana"), ("meter", None)])
async def test_a_time_by_nobody_is_refused(room: ControlRoom, kind: str | None, who: str | None) -> None:
    """Every restoration time that a customer hears has somebody who said it."""
    served = await room.say("I", kind=kind, who=who, etr=room.minutes(120))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-130"], ())
    assert await room.etr("I") == ("none", None)


@pytest.mark.parametrize("minutes", [-10, 0])
async def test_a_time_that_is_past_is_refused(room: ControlRoom, minutes: int) -> None:
    """It would be untrue before anybody heard it."""
    served = await room.say("I", etr=room.minutes(minutes))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-132"], ())


async def test_a_guess_for_the_area_does_not_replace_what_the_crew_said(room: ControlRoom) -> None:
    """Back from crew estimate to area estimate there is no way but by withdrawal."""
    await room.say("I", kind="crew", who="crew 7", etr=room.minutes(120))
    assert codes_of(await room.say("I", kind="operator", etr=room.minutes(90))) == ["BUS-132"]
    await room.say("I", kind="withdrawn")
    assert await room.etr("I") == ("withdrawn", None)
    assert (await room.say("I", kind="operator", etr=room.minutes(90))).result is Result.OK


async def test_small_changes_go_to_nobody_and_are_kept(room: ControlRoom) -> None:
    """The CIS and through it the customers hear of real changes only."""
    await room.say("I", etr=room.minutes(120))
    for minutes in (120, 125, 130):
        served = await room.say("I", etr=room.minutes(minutes))
        assert (served.result, served.events) == (Result.OK, ())
    assert await room.etr("I") == ("areaEstimate", room.minutes(120))
    assert events_of(await room.say("I", etr=room.minutes(140))) == [("changed", "Incidents", 1)]
    history = await load_history(room.records, mrid("I"))
    assert [one.is_told for one in history.records] == [True, False, False, False, True]
    assert history.churn == 1


async def test_an_estimate_is_taken_back_when_its_validity_is_over(room: ControlRoom) -> None:
    """By the clock, and told: nobody waits for a time that has gone by."""
    await room.say("I", etr=room.minutes(120))
    room.pass_time(minutes=119)
    assert all(done.events == () for done in await room.tick())
    room.pass_time(minutes=1)
    events = [event for done in await room.tick() for event in done.events]
    assert [(event.verb, event.noun) for event in events] == [(Verb.CHANGED, INC)]
    assert await room.etr("I") == ("withdrawn", None)
    assert all(done.events == () for done in await room.tick())
    assert (await load_history(room.records, mrid("I"))).churn == 1


async def test_a_newer_time_that_was_too_near_to_be_told_takes_the_place_of_one_that_is_over(
    room: ControlRoom,
) -> None:
    """It was no news as long as the first one held; now it is all there is."""
    await room.say("I", etr=room.minutes(120))
    await room.say("I", etr=room.minutes(130))
    room.pass_time(minutes=120)
    await room.tick()
    assert await room.etr("I") == ("areaEstimate", room.minutes(130))
    room.pass_time(minutes=10)
    await room.tick()
    assert await room.etr("I") == ("withdrawn", None)


async def test_an_outage_that_is_over_has_no_estimate_to_be_taken_back(room: ControlRoom) -> None:
    """A withdrawal after the good news would be noise."""
    await room.say("I", etr=room.minutes(120))
    await room.close("I")
    await room.tick()
    room.pass_time(hours=3)
    assert [event for done in await room.tick() for event in done.events] == []


async def test_damage_is_assessed_once_a_crew_is_sent(room: ControlRoom) -> None:
    """Somebody looks at it, and that is all that is known."""
    crew = IncidentWork(status_kind=WorkStatusKind.dispatched, names=(Name(name="7"),))
    served = await room.say("I", kind=None, who=None, works=(crew,))
    assert served.result is Result.OK
    assert await room.etr("I") == ("assessing", None)
    assert (await room.incident("I")).works == (crew,)


async def test_a_new_outage_may_come_with_its_time_by_its_owner(room: ControlRoom) -> None:
    """A planned outage has a time from the beginning, and an operator who planned it."""
    body = Incident(
        mrid=mrid("P"),
        owner=Operator(names=(Name(name="Ana Ruiz"),)),
        outage=IncidentOutage(
            is_planned=True,
            estimated_period=DateTimeInterval(start=room.minutes(600), end=room.minutes(900)),
        ),
    )
    served = await room.ask(Verb.CREATE, INC, body)
    assert served.result is Result.OK
    assert await room.etr("P") == ("areaEstimate", room.minutes(900))
    planned = (await room.incident("P")).outage
    assert planned is not None
    assert planned.is_planned
    assert planned.estimated_period == DateTimeInterval(start=room.minutes(600), end=room.minutes(900))
    nameless = msgspec.structs.replace(body, mrid=mrid("Q"), owner=None)
    assert codes_of(await room.ask(Verb.CREATE, INC, nameless)) == ["BUS-130"]


async def test_the_state_of_an_incident_is_not_set_by_a_change(room: ControlRoom) -> None:
    """`closed` as a word in a change is no restoration."""
    body = Incident(mrid=mrid("I"), cause="tree", status=Status(value="closed"))
    served = await room.ask(Verb.CHANGE, INC, body)
    assert (served.result, codes_of(served)) == (Result.OK, ["LIF-102"])
    assert await room.state("I") == "open"
    incident = await room.incident("I")
    assert incident.status is not None
    assert (incident.cause, incident.status.value) == ("tree", "open")


# ---------------------------------------------------------------------------------------------- automatic, storm


async def with_history(room: ControlRoom, **rules: object) -> None:
    """Ten outages of fuses that took from 60 to 69 minutes, and rules that want estimates from them."""
    wanted = msgspec.structs.replace(EstimateRules(automatic=True), **rules)
    await save_rules(room.records, wanted, room.now)
    for number in range(10):
        await room.outage(f"past-{number}", "F2")
        room.pass_time(minutes=60 + number)
        await room.close(f"past-{number}")
        await room.tick()


async def test_by_default_nothing_is_estimated_by_itself(room: ControlRoom) -> None:
    """An automatic time is a decision of the utility, not of the program."""
    await with_history(room, automatic=False)
    await room.outage("N", "F1")
    room.pass_time(minutes=15)
    await room.tick()
    assert await room.etr("N") == ("none", None)


async def test_where_the_utility_wants_it_past_outages_estimate_a_new_one(room: ControlRoom) -> None:
    """The median of what fuses took, said to be that, with the share that was over by then."""
    await with_history(room)
    await room.outage("N", "F1")
    begun = room.now
    room.pass_time(minutes=5)
    await room.tick()
    assert await room.etr("N") == ("none", None)
    room.pass_time(minutes=5)
    await room.tick()
    assert await room.etr("N") == ("areaEstimate", begun + timedelta(minutes=64.5))
    told = etr_of(await room.incident("N"))
    assert (told.source, told.confidence) == ("history median of 10 outages of the kind fuse", 0.5)


@pytest.mark.parametrize("rules", [{"storm": StormMode.ON}, {"storm_incidents": 1}, {"history_least": 11}])
async def test_in_storm_assessment_or_without_history_nothing_is_estimated(
    room: ControlRoom, rules: dict[str, object]
) -> None:
    """When everything is down, what fuses took last summer says nothing."""
    await with_history(room, **rules)
    for name in ("N", "M"):
        await room.outage(name, "F1")
    room.pass_time(minutes=10)
    await room.tick()
    assert await room.etr("N") == ("none", None)
