"""From the wish for work to the report of a crew: orders, crews, appointments, readings, notices of digging."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cimcare.exchange.ports import Event, Selection, Served, ServingContext
from cimcare.model import service_order, service_request, work_request
from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTaskKind, WorkTimeScheduleKind
from cimcare.model.envelope import Header, Result
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.values import DateTimeInterval, Priority
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew, MeterReading, Reading
from cimcare.samples.northlake import CREWS as NORTHLAKE
from cimcare.samples.northlake import Crew as Team
from cimcare.samples.northlake import find_premises
from cimcare.systems.cis import seed_town
from cimcare.systems.wms import TICKS
from cimcare.systems.wms.appointments import WINDOWS, Visit, does_fit
from cimcare.systems.wms.crews import CREWS, CrewRecord, distance, seed_crews
from cimcare.systems.wms.jobs import JOBS
from tests.unit.systems.utility import MONDAY, Utility, codes_of, events_of, items_of, mrid, names

SR, SO, WR = Noun.SERVICE_REQUESTS, Noun.SERVICE_ORDERS, Noun.WORK_REQUESTS
W = WorkStatusKind
TUESDAY = MONDAY + timedelta(days=1)
LINES, LINES_TOO, METERS, METERS_TOO = NORTHLAKE


@pytest.fixture
async def utility() -> Utility:
    made = Utility()
    await seed_town(made.records, made.now)
    await seed_crews(made.records, made.now)
    return made


def wish(kind: WorkKind, number: str = "r-1", **members: object) -> service_request.Work:
    home = find_premises(3)
    place = service_request.ServiceLocation(mrid=home.mrid("location"), access_method="ring twice")
    base = service_request.Work(mrid=mrid(number), kind=kind, request_date_time=MONDAY, work_location=place)
    return msgspec.structs.replace(base, **members)


def job(number: str = "o-1", **members: object) -> service_order.Work:
    base = service_order.Work(mrid=mrid(number), request_date_time=MONDAY)
    return msgspec.structs.replace(base, **members)


def sent(crew: Team, number: str = "o-1", status: WorkStatusKind | None = W.dispatched) -> service_order.Work:
    named = Crew(mrid=crew.mrid)
    return service_order.Work(
        mrid=mrid(number),
        status_kind=status,
        work_tasks=(service_order.WorkTask(mrid=mrid(f"t {number}"), crews=(named,)),),
    )


def read(value: str) -> tuple[MeterReading, ...]:
    return (MeterReading(readings=(Reading(value=value, time_stamp=MONDAY),)),)


async def one_of(utility: Utility, noun: Noun, number: str) -> Structure:
    (found,) = items_of((await utility.ask(Verb.GET, noun, ids=(number,))).payload)
    return found


async def state_of(utility: Utility, noun: Noun, number: str) -> WorkStatusKind:
    return (await one_of(utility, noun, number)).status_kind  # type: ignore[attr-defined, no-any-return]


async def orders_of(utility: Utility, request: str = "r-1") -> list[service_order.Work]:
    found = items_of((await utility.ask(Verb.GET, SO)).payload)
    return [
        one for one in found if isinstance(one, service_order.Work) and request in [name.name for name in one.names]
    ]


async def report(utility: Utility, number: str, *states: WorkStatusKind, **members: object) -> Served:
    served = None
    for state in states:
        served = await utility.ask(Verb.CHANGE, SO, service_order.Work(mrid=mrid(number), status_kind=state, **members))  # type: ignore[arg-type]
        assert served.result is Result.OK, served.findings
    assert served is not None
    return served


async def crew_of(utility: Utility, crew: Team) -> CrewRecord:
    stored = await utility.records.find(CREWS, crew.mrid)
    assert stored is not None
    return stored.body


async def tick(utility: Utility) -> tuple[Event, ...]:
    events: list[Event] = []
    for each in TICKS:
        context = ServingContext(
            records=utility.records,
            now=utility.now,
            new_id=utility._mint,
            header=Header(verb=Verb.CHANGED, noun="", source="WMS"),
        )
        events.extend((await each(context)).events)
    return tuple(events)


# ------------------------------------------------------------------------------------- a request leads to orders


@pytest.mark.parametrize(
    ("kind", "members", "orders", "has_appointment"),
    [
        (WorkKind.connect, {}, ["service line", "connection"], True),
        (WorkKind.disconnect, {}, ["disconnection"], False),
        (WorkKind.reconnect, {}, ["reconnection"], False),
        (WorkKind.inspection, {}, ["inspection"], True),
        (WorkKind.test, {}, ["meter test"], True),
        (WorkKind.repair, {}, ["repair"], False),
        (WorkKind.service, {"type": "special read"}, ["special read"], True),
        (WorkKind.repair, {"type": "street light"}, ["street light"], False),
        (
            WorkKind.service,
            {"work_tasks": (service_request.WorkTask(task_kind=WorkTaskKind.exchange),)},
            ["meter exchange"],
            True,
        ),
        (WorkKind.other, {}, [], True),
    ],
    ids=lambda value: value.value if isinstance(value, WorkKind) else None,
)
async def test_a_request_leads_to_the_orders_of_its_type(
    utility: Utility, kind: WorkKind, members: dict[str, object], orders: list[str], has_appointment: bool
) -> None:
    """The wish as the customer has it becomes the jobs as the crews know them."""
    served = await utility.ask(Verb.CREATE, SR, wish(kind, **members))
    assert served.result is Result.OK, served.findings
    expected = [("created", "ServiceRequests", 1)]
    if orders:
        expected.append(("created", "ServiceOrders", len(orders)))
    assert events_of(served) == expected
    made = await orders_of(utility)
    assert [one.type for one in made] == orders
    state = W.scheduled if has_appointment else W.waitingToBeScheduled
    assert await state_of(utility, SR, "r-1") is state
    assert {one.status_kind for one in made} <= {state}
    assert {len(one.appointments) for one in made} <= {1 if has_appointment else 0}


async def test_an_order_says_where_who_and_how_to_get_in(utility: Utility) -> None:
    """The crew has the order alone; what the customer told has to be on it, and what the directory knows."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection, priority=Priority(rank=2), comment="Seal open."))
    (order,) = await orders_of(utility)
    (task,) = order.work_tasks
    assert task.crew_eta == MONDAY.replace(hour=13)
    home = find_premises(3)
    assert task.work_location is not None
    assert (task.work_location.mrid, task.work_location.access_method) == (home.mrid("location"), "ring twice")
    assert [point.mrid for point in task.work_location.usage_points] == [home.mrid("usage_point")]
    assert (task.instruction, order.priority) == ("Seal open.", Priority(rank=2))
    served = await utility.ask(
        Verb.CHANGE, SR, wish(WorkKind.inspection, work_location=service_request.ServiceLocation(access_method="key"))
    )
    assert ("changed", "ServiceOrders", 1) in events_of(served)
    (order,) = await orders_of(utility)
    (task,) = order.work_tasks
    assert task.work_location is not None
    assert task.work_location.access_method == "key"


async def test_a_request_that_waits_for_approval_leads_to_nothing_yet(utility: Utility) -> None:
    """Approval comes first; then orders and appointment follow, once."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection, status_kind=W.waitingOnApproval))
    assert await orders_of(utility) == []
    late = await utility.ask(Verb.CHANGE, SR, wish(WorkKind.inspection, status_kind=W.completed))
    assert codes_of(late) == ["BUS-155"]
    assert codes_of(await utility.ask(Verb.CHANGE, SR, wish(WorkKind.inspection, status_kind=W.approved))) == []
    assert await state_of(utility, SR, "r-1") is W.scheduled
    await utility.ask(Verb.CHANGE, SR, wish(WorkKind.inspection, status_kind=W.scheduled))
    assert len(await orders_of(utility)) == 1


async def test_orders_are_found_by_their_request(utility: Utility) -> None:
    """Whoever knows the request asks for its jobs."""
    from cimcare.model.envelope import ObjectID

    await utility.ask(Verb.CREATE, SR, wish(WorkKind.connect), wish(WorkKind.inspection, "r-2"))
    asked = ObjectID(value="r-1", object_type="ServiceRequest")
    assert len(items_of((await utility.ask(Verb.GET, SO, ids=(asked,))).payload)) == 2


# ------------------------------------------------------------------------- the progress of the orders is the request's


async def test_a_request_is_completed_when_a_crew_has_reported_all_its_orders(utility: Utility) -> None:
    """The customer is not told that all is done while half of it is."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.connect))
    line, connection = (str(one.mrid) for one in await orders_of(utility))
    seen = []
    for order, crew in ((line, LINES), (connection, METERS)):
        served = await utility.ask(Verb.CHANGE, SO, sent(crew, order))
        assert events_of(served)[0] == ("changed", "ServiceOrders", 1)
        seen.append(await state_of(utility, SR, "r-1"))
        await report(utility, order, W.enroute, W.onSite)
        seen.append(await state_of(utility, SR, "r-1"))
        served = await report(utility, order, W.completed)
        seen.append(await state_of(utility, SR, "r-1"))
    assert seen == [W.dispatched, W.onSite, W.scheduled, W.inProgress, W.inProgress, W.completed]
    assert events_of(served) == [("changed", "ServiceOrders", 1), ("changed", "ServiceRequests", 1)]
    closed = await utility.ask(Verb.CLOSE, SR, ids=("r-1",))
    assert [one[0] for one in events_of(closed)] == ["closed", "closed", "closed"]
    assert {one.status_kind for one in await orders_of(utility)} == {W.closed}


async def test_nobody_but_a_crew_completes_a_request(utility: Utility) -> None:
    """A word in the office does not connect a house."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection))
    for verb, asked in (
        (Verb.CHANGE, wish(WorkKind.inspection, status_kind=W.completed)),
        (Verb.CHANGE, wish(WorkKind.inspection, status_kind=W.onSite)),
        (Verb.CLOSE, wish(WorkKind.inspection)),
    ):
        served = await utility.ask(verb, SR, asked)
        assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-155"], ())
    (order,) = await orders_of(utility)
    served = await utility.ask(Verb.CHANGE, SO, job(str(order.mrid), status_kind=W.completed))
    assert codes_of(served) == ["BUS-152"]
    assert codes_of(await utility.ask(Verb.CLOSE, SO, ids=(str(order.mrid),))) == ["BUS-152"]
    assert await state_of(utility, SR, "r-1") is W.scheduled


async def test_a_visit_that_was_not_completed_is_to_be_scheduled_again(utility: Utility) -> None:
    """Nobody at home: the crew says so, is free for the next, and the customer hears why."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection))
    (order,) = (str(one.mrid) for one in await orders_of(utility))
    await utility.ask(Verb.CHANGE, SO, sent(METERS, order))
    await report(utility, order, W.onSite)
    bare = await utility.ask(Verb.CHANGE, SO, job(order, status_kind=W.waitingToBeScheduled))
    assert (codes_of(bare), (await crew_of(utility, METERS)).order) == (["BUS-153"], order)
    (task,) = (await orders_of(utility))[0].work_tasks[:1]
    told = service_order.WorkTask(
        mrid=task.mrid, work_location=service_order.ServiceLocation(site_access_problem="nobody at home")
    )
    served = await utility.ask(
        Verb.CHANGE, SO, service_order.Work(mrid=mrid(order), status_kind=W.waitingToBeScheduled, work_tasks=(told,))
    )
    assert served.result is Result.OK, served.findings
    request = await one_of(utility, SR, "r-1")
    assert isinstance(request, service_request.Work)
    assert (request.status_kind, request.comment) == (W.waitingToBeScheduled, "Visit not completed: nobody at home")
    assert (await crew_of(utility, METERS)).order is None
    assert all(not task.crews for task in (await orders_of(utility))[0].work_tasks if task.mrid != mrid(f"t {order}"))
    assert await utility.records.select(WINDOWS, Selection()) == ()
    assert codes_of(await utility.ask(Verb.CANCEL, SR, ids=("r-1",))) == []


async def test_a_customer_moves_the_visit_and_its_orders_move_with_it(utility: Utility) -> None:
    """One promise: what the request says and what the crew has on its list are the same."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.connect))
    visit = Appointment(meeting_interval=DateTimeInterval(start=TUESDAY.replace(hour=13), end=TUESDAY.replace(hour=17)))
    served = await utility.ask(Verb.CHANGE, SR, wish(WorkKind.connect, appointments=(visit,)))
    assert events_of(served) == [("changed", "ServiceRequests", 1)] + [("changed", "ServiceOrders", 1)] * 2
    assert {one.appointments[-1] for one in await orders_of(utility)} == {visit}
    (load,) = await utility.records.select(WINDOWS, Selection())
    assert (load.body.start, len(load.body.visits)) == (TUESDAY.replace(hour=13), 2)
    order = str((await orders_of(utility))[0].mrid)
    other = Appointment(meeting_interval=DateTimeInterval(start=TUESDAY.replace(hour=8), end=TUESDAY.replace(hour=12)))
    await utility.ask(Verb.CHANGE, SO, job(order, appointments=(other,)))
    assert (await one_of(utility, SR, "r-1")).appointments[-1] == other  # type: ignore[attr-defined]


async def test_a_request_takes_its_orders_with_it_when_it_ends(utility: Utility) -> None:
    """No crew drives to a customer who has withdrawn."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.connect), wish(WorkKind.inspection, "r-2"))
    served = await utility.ask(Verb.CANCEL, SR, ids=("r-1",))
    assert [one[0] for one in events_of(served)] == ["canceled"] * 3
    assert {one.status_kind for one in await orders_of(utility)} == {W.cancelled}
    served = await utility.ask(Verb.DELETE, SR, ids=("r-2",))
    assert events_of(served) == [("deleted", "ServiceRequests", 1), ("deleted", "ServiceOrders", 1)]
    assert await orders_of(utility, "r-2") == []
    assert await utility.records.select(WINDOWS, Selection()) == ()


async def test_a_request_whose_orders_were_all_cancelled_waits_again(utility: Utility) -> None:
    """The wish is still there."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection))
    (order,) = (str(one.mrid) for one in await orders_of(utility))
    served = await utility.ask(Verb.CANCEL, SO, ids=(order,))
    assert events_of(served) == [("canceled", "ServiceOrders", 1), ("changed", "ServiceRequests", 1)]
    assert await state_of(utility, SR, "r-1") is W.waitingToBeScheduled


# ---------------------------------------------------------------------------------------------------------- crews


async def test_a_crew_without_the_skill_is_refused_with_those_that_have_it(utility: Utility) -> None:
    """Who is sent without the tools comes back without the work."""
    await utility.ask(Verb.CREATE, SO, job(kind=WorkKind.repair))
    served = await utility.ask(Verb.CHANGE, SO, sent(METERS))
    assert codes_of(served) == ["BUS-150"]
    assert "CREW-21 has no skill lines" in served.findings[0].found
    assert "CREW-11, CREW-12" in served.findings[0].accepted
    assert (await crew_of(utility, METERS)).order is None


async def test_a_crew_has_one_order_at_a_time(utility: Utility) -> None:
    """A crew cannot be at two places."""
    await utility.ask(Verb.CREATE, SO, job(kind=WorkKind.repair), job("o-2", kind=WorkKind.repair))
    assert codes_of(await utility.ask(Verb.CHANGE, SO, sent(LINES))) == []
    served = await utility.ask(Verb.CHANGE, SO, sent(LINES, "o-2"))
    assert (codes_of(served), await state_of(utility, SO, "o-2")) == (["BUS-151"], W.waitingToBeScheduled)
    assert "CREW-12" in served.findings[0].accepted
    await report(utility, "o-1", W.completed)
    assert codes_of(await utility.ask(Verb.CHANGE, SO, sent(LINES, "o-2"))) == []
    both = await utility.ask(Verb.CREATE, SO, msgspec.structs.replace(sent(LINES, "o-3"), kind=WorkKind.repair))
    assert codes_of(both) == ["BUS-151"]


async def test_an_unknown_crew_is_not_sent(utility: Utility) -> None:
    """Whoever names a crew that is not there has mistyped it."""
    await utility.ask(Verb.CREATE, SO, job(kind=WorkKind.repair))
    task = service_order.WorkTask(crews=(Crew(names=names("CREW-99")),))
    served = await utility.ask(Verb.CHANGE, SO, job(status_kind=W.dispatched, work_tasks=(task,)))
    assert (codes_of(served), "CREW-11" in served.findings[0].accepted) == (["REF-103"], True)


async def test_who_names_no_crew_gets_the_nearest_that_is_free(utility: Utility) -> None:
    """A dispatcher in a storm says `send somebody`."""
    await utility.ask(Verb.CREATE, SO, *(job(f"o-{number}", kind=WorkKind.repair) for number in range(1, 4)))
    for number in (1, 2):
        assert codes_of(await utility.ask(Verb.CHANGE, SO, job(f"o-{number}", status_kind=W.dispatched))) == []
    assert {(await crew_of(utility, one)).order for one in (LINES, LINES_TOO)} == {"o-1", "o-2"}
    served = await utility.ask(Verb.CHANGE, SO, job("o-3", status_kind=W.dispatched))
    assert (codes_of(served), "CREW-11 (order o-1)" in served.findings[0].found) == (["BUS-152"], True)


async def test_another_crew_than_planned_may_be_sent(utility: Utility) -> None:
    """Who is named when a crew is sent is sent; the one that was planned is off the list, and that is told."""
    planned = msgspec.structs.replace(sent(LINES, status=W.scheduled), kind=WorkKind.repair)
    await utility.ask(Verb.CREATE, SO, planned)
    served = await utility.ask(Verb.CHANGE, SO, sent(LINES_TOO))
    assert events_of(served) == [("deleted", "ServiceOrders", 1), ("changed", "ServiceOrders", 1)]
    order = await one_of(utility, SO, "o-1")
    assert isinstance(order, service_order.Work)
    assert [crew.mrid for task in order.work_tasks for crew in task.crews] == [LINES_TOO.mrid]
    assert ((await crew_of(utility, LINES)).order, (await crew_of(utility, LINES_TOO)).order) == (None, "o-1")


async def test_without_known_crews_nothing_is_judged_and_nothing_offered() -> None:
    """A work management that knows no crew promises none, and takes what those say who do."""
    utility = Utility()
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection))
    assert await state_of(utility, SR, "r-1") is W.waitingToBeScheduled
    (order,) = (str(one.mrid) for one in await orders_of(utility))
    assert codes_of(await utility.ask(Verb.CHANGE, SO, sent(METERS, order))) == []
    await report(utility, order, W.completed)
    assert await state_of(utility, SR, "r-1") is W.completed


# -------------------------------------------------------------------------------------------------------- windows


async def test_capacity_is_what_the_crews_with_the_skill_can_do(utility: Utility) -> None:
    """Two crews read meters: eight exchanges of an hour in a window of four, however many line crews are idle."""
    exchange = {"work_tasks": (service_request.WorkTask(task_kind=WorkTaskKind.exchange),)}
    starts = []
    for number in range(9):
        await utility.ask(Verb.CREATE, SR, wish(WorkKind.service, f"r-{number}", **exchange))
        (visit,) = (await one_of(utility, SR, f"r-{number}")).appointments  # type: ignore[attr-defined]
        starts.append(visit.meeting_interval.start)
    assert starts == [MONDAY.replace(hour=13)] * 8 + [TUESDAY.replace(hour=8)]
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.service, "read", type="special read"))
    (visit,) = (await one_of(utility, SR, "read")).appointments  # type: ignore[attr-defined]
    assert visit.meeting_interval.start == TUESDAY.replace(hour=8)


async def test_a_window_that_is_full_for_one_skill_has_room_for_another(utility: Utility) -> None:
    """Room is a crew's time, not a number beside the window."""
    visit = Appointment(meeting_interval=DateTimeInterval(start=TUESDAY.replace(hour=8), end=TUESDAY.replace(hour=12)))
    for number in range(8):
        done = await utility.ask(Verb.CREATE, SO, job(f"o-{number}", kind=WorkKind.inspection, appointments=(visit,)))
        assert codes_of(done) == []
    full = await utility.ask(Verb.CREATE, SO, job("o-9", kind=WorkKind.inspection, appointments=(visit,)))
    assert codes_of(full) == ["BUS-107"]
    assert "60 minutes of a crew with inspection" in full.findings[0].found
    assert codes_of(await utility.ask(Verb.CREATE, SO, job("o-9", kind=WorkKind.repair, appointments=(visit,)))) == []


@pytest.mark.parametrize(
    ("visits", "fits"),
    [
        ([(8, 12, 240)], True),
        ([(8, 12, 241)], False),
        ([(8, 12, 180), (9, 10, 60)], True),
        ([(9, 10, 40), (9, 10, 30)], False),
        ([(8, 10, 60), (9, 11, 60), (8, 11, 60)], True),
        ([(8, 10, 60), (9, 11, 60), (8, 11, 61)], False),
        ([(6, 7, 10)], False),
    ],
)
def test_visits_fit_if_each_can_be_made_in_its_own_time(visits: list[tuple[int, int, int]], fits: bool) -> None:
    """A promise for nine o'clock counts within nine and ten, not somewhere in the morning."""

    def at(hour: int) -> datetime:
        return datetime(2026, 3, 3, hour, tzinfo=UTC)

    made = [
        Visit(work=mrid("w"), part=str(number), crew=mrid("c"), minutes=minutes, start=at(start), end=at(end))
        for number, (start, end, minutes) in enumerate(visits)
    ]
    assert does_fit(made, (at(8), at(12))) is fits


# ------------------------------------------------------------------------------------------------------- readings


EXCHANGE = service_order.WorkTask(mrid=mrid("t"), task_kind=WorkTaskKind.exchange)
OLD = service_order.Asset(mrid=mrid("old"), meter_readings=read("41007"))
NEW = service_order.Asset(serial_number="NLK1", meter_readings=read("0"))


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        (None, (), "the removed meter and without the installed meter"),
        (OLD, (), "the installed meter"),
        (OLD, (msgspec.structs.replace(OLD),), "the installed meter"),
        (None, (NEW,), "the removed meter"),
        (msgspec.structs.replace(OLD, meter_readings=()), (NEW,), "a reading of the removed meter"),
        (OLD, (msgspec.structs.replace(NEW, meter_readings=()),), "a reading of the installed meter"),
        (OLD, (NEW,), ""),
    ],
)
async def test_an_exchange_names_both_meters_with_their_readings(
    utility: Utility, old: service_order.Asset | None, new: tuple[service_order.Asset, ...], missing: str
) -> None:
    """Billing needs what the old one showed and where the new one began."""
    await utility.ask(Verb.CREATE, SO, job(kind=WorkKind.service, work_tasks=(EXCHANGE,)))
    assert codes_of(await utility.ask(Verb.CHANGE, SO, sent(METERS))) == []
    done = msgspec.structs.replace(EXCHANGE, old_asset=old, assets=new)
    served = await utility.ask(Verb.CHANGE, SO, job(status_kind=W.completed, work_tasks=(done,)))
    if not missing:
        assert served.result is Result.OK, served.findings
        return
    assert codes_of(served) == ["BUS-154"]
    assert missing in served.findings[0].found
    assert "WorkTasks/OldAsset" in served.findings[0].accepted
    assert await state_of(utility, SO, "o-1") is W.dispatched


async def test_a_special_read_brings_a_reading_and_the_request_shows_it(utility: Utility) -> None:
    """The customer asked for a number."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.service, type="special read"))
    (order,) = (str(one.mrid) for one in await orders_of(utility))
    await utility.ask(Verb.CHANGE, SO, sent(METERS, order))
    assert codes_of(await utility.ask(Verb.CHANGE, SO, job(order, status_kind=W.completed))) == ["BUS-154"]
    task = service_order.WorkTask(mrid=mrid(f"t {order}"), assets=(OLD,))
    served = await utility.ask(Verb.CHANGE, SO, job(order, status_kind=W.completed, work_tasks=(task,)))
    assert served.result is Result.OK, served.findings
    request = await one_of(utility, SR, "r-1")
    assert isinstance(request, service_request.Work)
    values = [
        value.value
        for each in request.work_tasks
        for asset in each.assets
        for reading in asset.meter_readings
        for value in reading.readings
    ]
    assert values == ["41007"]


# ---------------------------------------------------------------------------------------------------- by the clock


async def test_the_clock_sends_the_crew_that_is_planned_when_its_window_begins(utility: Utility) -> None:
    """Nobody has to press a button for what was promised."""
    await utility.ask(Verb.CREATE, SR, wish(WorkKind.inspection))
    assert await tick(utility) == ()
    utility.now = MONDAY.replace(hour=13)
    events = await tick(utility)
    assert [(one.verb, one.noun) for one in events] == [(Verb.CHANGED, SO), (Verb.CHANGED, SR)]
    assert await state_of(utility, SR, "r-1") is W.dispatched
    (load,) = await utility.records.select(WINDOWS, Selection())
    (order,) = await orders_of(utility)
    stored = await utility.records.find(CREWS, load.body.visits[0].crew)
    assert stored is not None
    assert stored.body.order == order.mrid
    assert await tick(utility) == ()


async def test_the_clock_sends_the_most_urgent_first_and_only_whom_it_may(utility: Utility) -> None:
    """Two line crews for three repairs: the least rank goes first; at night who is on call goes to repairs alone."""
    ranks = {"o-1": 5, "o-2": 1, "o-3": 2}
    await utility.ask(
        Verb.CREATE,
        SO,
        *(job(number, kind=WorkKind.repair, priority=Priority(rank=rank)) for number, rank in ranks.items()),
    )
    await utility.ask(Verb.CREATE, SO, job("read", type="special read"), job("light", type="street light"))
    utility.now = MONDAY.replace(hour=22)
    await tick(utility)
    states = {number: await state_of(utility, SO, number) for number in (*ranks, "read", "light")}
    waiting = W.waitingToBeScheduled
    assert states == {"o-1": waiting, "o-2": W.dispatched, "o-3": W.dispatched, "read": waiting, "light": waiting}
    utility.now = TUESDAY.replace(hour=8)
    await tick(utility)
    assert await state_of(utility, SO, "read") is W.dispatched
    assert await state_of(utility, SO, "light") is waiting


async def test_an_urgent_order_is_not_behind_the_many_that_came_before(utility: Utility) -> None:
    """In a storm the list is long, and the hospital calls last."""
    many = [job(f"o-{number}", kind=WorkKind.repair, priority=Priority(rank=5)) for number in range(60)]
    await utility.ask(Verb.CREATE, SO, *many)
    utility.pass_time(minutes=1)
    late = job("hospital", kind=WorkKind.repair, priority=Priority(rank=1), request_date_time=utility.now)
    await utility.ask(Verb.CREATE, SO, late)
    await tick(utility)
    assert await state_of(utility, SO, "hospital") is W.dispatched
    assert sum([await state_of(utility, SO, one.mrid or "") is W.dispatched for one in many]) == 1


async def test_work_without_appointment_takes_no_time_that_was_promised(utility: Utility) -> None:
    """A window that is full of promises has none left for who just comes along."""
    visit = Appointment(meeting_interval=DateTimeInterval(start=TUESDAY.replace(hour=8), end=TUESDAY.replace(hour=12)))
    booked = [job(f"o-{number}", kind=WorkKind.inspection, appointments=(visit,)) for number in range(8)]
    await utility.ask(Verb.CREATE, SO, *booked)
    await utility.ask(Verb.CREATE, SO, job("off", kind=WorkKind.disconnect))
    for each in booked:  # a morning on which nobody is sent to what was promised
        found = await utility.records.find(JOBS, each.mrid or mrid(""))
        assert found is not None
        await utility.records.save(JOBS, msgspec.structs.replace(found, state="held back"))
    utility.now = TUESDAY.replace(hour=8, minute=30)
    assert await tick(utility) == ()
    utility.now = TUESDAY.replace(hour=13)
    await tick(utility)
    assert await state_of(utility, SO, "off") is W.dispatched


def test_the_nearest_is_told_from_the_one_further_away() -> None:
    """A degree of longitude is shorter in the north."""
    assert distance((-87.5, 47.6), (-87.4, 47.6)) < distance((-87.5, 47.6), (-87.5, 47.7))
    assert distance(None, (0.0, 0.0)) == float("inf")


# ---------------------------------------------------------------------------------------------------- work requests


def notice(number: str = "n-1", **members: object) -> work_request.Work:
    home = find_premises(3)
    period = DateTimeInterval(start=TUESDAY, end=TUESDAY + timedelta(days=2))
    base = work_request.Work(
        mrid=mrid(number),
        kind=WorkKind.construction,
        names=(*names("DN-1", scheme="WorkRequestNumber"), *names("dig notice", scheme="WorkType")),
        time_schedules=(work_request.WorkTimeSchedule(kind=WorkTimeScheduleKind.request, schedule_interval=period),),
        work_location=work_request.WorkLocation(mrid=home.mrid("location")),
    )
    return msgspec.structs.replace(base, **members)


async def test_who_is_going_to_dig_hears_what_lies_there(utility: Utility) -> None:
    """The excavator does not wait for a letter."""
    served = await utility.ask(Verb.CREATE, WR, notice())
    assert (served.result, codes_of(served)) == (Result.OK, ["BUS-157"])
    home = find_premises(3)
    assert f"transformer {home.device} of feeder {home.feeder} with 5 premises" in served.findings[0].found
    nowhere = work_request.WorkLocation(mrid=mrid("moor"))
    served = await utility.ask(
        Verb.CREATE, WR, notice("n-2", names=names("dig notice", scheme="WorkType"), work_location=nowhere)
    )
    assert "nothing is known" in served.findings[0].found
    assert "does not mean that nothing does" in served.findings[0].found


@pytest.mark.parametrize("lacking", [{"work_location": None}, {"time_schedules": ()}])
async def test_a_dig_notice_says_where_and_when(utility: Utility, lacking: dict[str, object]) -> None:
    """Without either nobody can say what is in the way."""
    served = await utility.ask(Verb.CREATE, WR, notice(**lacking))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-156"])


async def test_an_approved_dig_notice_has_its_lines_marked_and_ends_by_itself(utility: Utility) -> None:
    """Approval sends somebody to mark the lines; after its time the notice is worth nothing."""
    await utility.ask(Verb.CREATE, WR, notice(), notice("n-2", names=names("dig notice", scheme="WorkType")))
    served = await utility.ask(Verb.CHANGE, WR, work_request.Work(mrid=mrid("n-1"), status_kind=W.approved))
    assert events_of(served) == [("changed", "WorkRequests", 1), ("created", "ServiceOrders", 1)]
    (order,) = (str(one.mrid) for one in await orders_of(utility, "n-1"))
    await utility.ask(Verb.CHANGE, SO, sent(LINES, order))
    await report(utility, order, W.completed)
    assert await state_of(utility, WR, "n-1") is W.completed
    utility.now = TUESDAY + timedelta(days=2, minutes=-1)
    assert await tick(utility) == ()
    utility.pass_time(minutes=1)
    verbs = sorted((one.verb.value, one.noun.value) for one in await tick(utility))
    assert verbs == [("canceled", "WorkRequests"), ("closed", "ServiceOrders"), ("closed", "WorkRequests")]
    assert (await state_of(utility, WR, "n-1"), await state_of(utility, WR, "n-2")) == (W.closed, W.cancelled)
    assert await tick(utility) == ()


async def test_a_street_light_that_a_road_authority_reports_is_repaired(utility: Utility) -> None:
    """Approved, given to a crew with a lift, reported, done."""
    light = notice(names=names("street light", scheme="WorkType"), time_schedules=())
    assert codes_of(await utility.ask(Verb.CREATE, WR, light)) == []
    await utility.ask(Verb.CHANGE, WR, work_request.Work(mrid=mrid("n-1"), status_kind=W.approved))
    await tick(utility)
    (order,) = await orders_of(utility, "n-1")
    assert (order.type, order.status_kind) == ("street light", W.dispatched)
    await report(utility, str(order.mrid), W.onSite, W.completed)
    assert await state_of(utility, WR, "n-1") is W.completed
