"""Crews at incidents: the outage management listens to the work management."""

from datetime import timedelta

import pytest

from cimcare.model import service_order
from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Crew, WorkTimeSchedule
from cimcare.samples.northlake import CREWS
from cimcare.systems import oms
from cimcare.systems.oms.estimates import EstimateSource, Stage
from cimcare.systems.oms.estimating import estimate_shown, load_history
from cimcare.systems.oms.kinds import INCIDENTS
from cimcare.systems.wms.crews import seed_crews
from tests.unit.systems.utility import MONDAY, Utility, codes_of, items_of, mrid, names

SO = Noun.SERVICE_ORDERS
W = WorkStatusKind


@pytest.fixture
async def utility() -> Utility:
    made = Utility()
    await seed_crews(made.records, made.now)
    return made


async def an_incident(utility: Utility) -> Incident:
    ticket = TroubleTicket(mrid=mrid("t"), date_time_of_report=MONDAY, names=names("TX-1", scheme="Device"))
    await utility.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, ticket)
    return await the_incident(utility)


async def the_incident(utility: Utility) -> Incident:
    (found,) = items_of((await utility.ask(Verb.GET, Noun.INCIDENTS)).payload)
    assert isinstance(found, Incident)
    return found


async def serve(utility: Utility, verb: Verb, order: service_order.Work) -> list[tuple[str, str]]:
    """Have an order served, tell the outage management, and say what that tells in turn."""
    served = await utility.ask(verb, SO, order)
    assert codes_of(served) == []
    told = []
    for event in served.events:
        if (event.verb, event.noun) in oms.LISTENS:
            heard = await utility.tell(oms.LISTENS, event.verb, event.noun, payload=event.payload)
            told += [(one.verb.value, one.noun.value) for one in heard.events]
    return told


def repair(incident: Incident) -> service_order.Work:
    reference = names(str(incident.mrid), scheme="Incident")
    number = names("SO-7", scheme="ServiceOrderNumber")
    return service_order.Work(mrid=mrid("o"), kind=WorkKind.repair, names=(*reference, *number))


def progress(status: WorkStatusKind) -> service_order.Work:
    return service_order.Work(mrid=mrid("o"), status_kind=status)


async def test_an_incident_shows_how_far_the_crew_is(utility: Utility) -> None:
    """The customer who calls hears that somebody is on the way."""
    incident = await an_incident(utility)
    assert await serve(utility, Verb.CREATE, repair(incident)) == [("changed", "Incidents")]
    sent = service_order.WorkTask(crews=(Crew(mrid=CREWS[0].mrid),))
    order = service_order.Work(mrid=mrid("o"), status_kind=W.dispatched, work_tasks=(sent,))
    seen = [(await serve(utility, Verb.CHANGE, order), (await the_incident(utility)).works[0].status_kind)]
    for status in (W.enroute, W.onSite, W.completed):
        told = await serve(utility, Verb.CHANGE, progress(status))
        seen.append((told, (await the_incident(utility)).works[0].status_kind))
    assert [told for told, _ in seen] == [[("changed", "Incidents")]] * 4
    assert [status for _, status in seen] == [W.dispatched, W.enroute, W.onSite, W.completed]
    (work,) = (await the_incident(utility)).works
    assert (work.mrid, work.names) == (mrid("o"), names("SO-7", scheme="ServiceOrderNumber"))


async def test_an_order_that_is_done_restores_nobody(utility: Utility) -> None:
    """G12: that a crew has left is no evidence that the light is on."""
    incident = await an_incident(utility)
    await serve(utility, Verb.CREATE, repair(incident))
    crew = service_order.WorkTask(crews=(Crew(mrid=CREWS[0].mrid),))
    await serve(utility, Verb.CHANGE, service_order.Work(mrid=mrid("o"), status_kind=W.completed, work_tasks=(crew,)))
    await serve(utility, Verb.CLOSE, service_order.Work(mrid=mrid("o")))
    stored = await utility.records.find(INCIDENTS.collection, incident.mrid or mrid(""))
    assert stored is not None
    assert stored.state == "open"
    assert stored.body.outage is not None
    assert stored.body.outage.actual_period is None


async def test_what_is_told_late_or_twice_changes_nothing(utility: Utility) -> None:
    """Events of a remote work management may come out of order, and hold no more than the state."""
    incident = await an_incident(utility)
    for verb, order in (
        (Verb.CREATED, repair(incident)),
        (Verb.CHANGED, progress(W.onSite)),
        (Verb.CHANGED, progress(W.onSite)),
        (Verb.CHANGED, progress(W.dispatched)),
    ):
        await utility.tell(oms.LISTENS, verb, SO, order)
    heard = await utility.tell(oms.LISTENS, Verb.CHANGED, SO, progress(W.onSite))
    assert (heard.events, (await the_incident(utility)).works[0].status_kind) == ((), W.onSite)
    await utility.tell(oms.LISTENS, Verb.CANCELED, SO, ids=("o",))
    assert (await the_incident(utility)).works[0].status_kind is W.cancelled


async def test_orders_for_nothing_that_is_known_are_left_alone(utility: Utility) -> None:
    """Most orders have nothing to do with an outage."""
    await an_incident(utility)
    stranger = service_order.Work(mrid=mrid("x"), names=names("nowhere", scheme="Incident"))
    for order in (service_order.Work(mrid=mrid("y")), stranger, service_order.Work()):
        heard = await utility.tell(oms.LISTENS, Verb.CREATED, SO, order)
        assert (heard.result.value, heard.ids, heard.events) == ("OK", (), ())
    assert (await the_incident(utility)).works == ()


async def test_what_the_crew_expects_is_its_estimate_and_nothing_else_is(utility: Utility) -> None:
    """A time of restoration has a source: no schedule, no time; and none before somebody is sent."""
    incident = await an_incident(utility)
    await serve(utility, Verb.CREATE, repair(incident))
    sent = service_order.WorkTask(crews=(Crew(mrid=CREWS[0].mrid, names=names("CREW-11")),))
    order = service_order.Work(mrid=mrid("o"), status_kind=W.dispatched, work_tasks=(sent,))
    await serve(utility, Verb.CHANGE, order)
    shown = estimate_shown(await the_incident(utility))
    assert (shown.stage, shown.at, shown.source) == (Stage.ASSESSING, None, EstimateSource.CREW)
    done_at = MONDAY + timedelta(hours=3)
    schedule = WorkTimeSchedule(
        kind=WorkTimeScheduleKind.estimate, schedule_interval=DateTimeInterval(start=MONDAY, end=done_at)
    )
    on_site = service_order.Work(mrid=mrid("o"), status_kind=W.onSite, time_schedules=(schedule,))
    await serve(utility, Verb.CHANGE, on_site)
    shown = estimate_shown(await the_incident(utility))
    assert (shown.stage, shown.at, shown.who) == (Stage.CREW, done_at, "CREW-11")
    await serve(utility, Verb.CHANGE, progress(W.inProgress))
    history = await load_history(utility.records, incident.mrid or mrid(""))
    assert [one.estimate.stage for one in history.records] == [Stage.ASSESSING, Stage.CREW]
