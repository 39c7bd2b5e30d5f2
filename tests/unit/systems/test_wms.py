"""Behaviour of the built-in work management."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cimcare.model import service_order, service_request, work_request
from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.service_request import ServiceLocation, Work
from cimcare.model.structure import Structure
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, WorkTimeSchedule
from cimcare.model.work_request import Organisation, WorkRequests
from cimcare.systems.wms.crews import seed_crews
from tests.unit.systems.utility import (
    MONDAY,
    Utility,
    codes_of,
    events_of,
    ids_of,
    items_of,
    mrid,
    names,
    shown_in,
)

SR, SO, WR = Noun.SERVICE_REQUESTS, Noun.SERVICE_ORDERS, Noun.WORK_REQUESTS
WORK: dict[Noun, type[Structure]] = {SR: service_request.Work, SO: service_order.Work, WR: work_request.Work}
AFTERNOON = (MONDAY.replace(hour=13), MONDAY.replace(hour=17))
FRIDAY_NIGHT = datetime(2026, 3, 6, 20, tzinfo=UTC)

nouns = pytest.mark.parametrize("noun", [SR, SO, WR])


CAPACITY = 16
"""Visits of an hour that the four crews of Northlake can make in four hours, whatever they are skilled for."""


@pytest.fixture
async def utility() -> Utility:
    made = Utility()
    await seed_crews(made.records, made.now)
    return made


def work(noun: Noun, number: str = "w-1", **members: object) -> Structure:
    return msgspec.structs.replace(WORK[noun](), mrid=number, **members)


def window(start: datetime, end: datetime) -> Appointment:
    return Appointment(meeting_interval=DateTimeInterval(start=start, end=end))


def wish(kind: WorkTimeScheduleKind, start: datetime | None, end: datetime | None = None) -> WorkTimeSchedule:
    return WorkTimeSchedule(kind=kind, schedule_interval=DateTimeInterval(start=start, end=end))


async def state_of(utility: Utility, noun: Noun, number: str = "w-1") -> WorkStatusKind:
    status = (await work_of(utility, noun, number)).status_kind  # type: ignore[attr-defined]
    assert isinstance(status, WorkStatusKind)
    return status


async def work_of(utility: Utility, noun: Noun, number: str = "w-1") -> Structure:
    (found,) = items_of((await utility.ask(Verb.GET, noun, ids=(number,))).payload)
    return found


async def report(utility: Utility, noun: Noun, *states: WorkStatusKind) -> None:
    for state in states:
        served = await utility.ask(Verb.CHANGE, noun, work(noun, status_kind=state))
        assert served.result is Result.OK, served.findings


# ------------------------------------------------------------------------------------------------------ create


@pytest.mark.parametrize(
    ("noun", "state"),
    [
        (SR, WorkStatusKind.scheduled),
        (SO, WorkStatusKind.waitingToBeScheduled),
        (WR, WorkStatusKind.waitingOnApproval),
    ],
)
async def test_create_sets_the_first_state(utility: Utility, noun: Noun, state: WorkStatusKind) -> None:
    """A request of a customer is planned at once, one of another party waits for approval."""
    served = await utility.ask(Verb.CREATE, noun, work(noun))
    assert (served.result, ids_of(served), served.findings) == (Result.OK, ["w-1"], ())
    assert events_of(served) == [("created", noun.value, 1)]
    shown = shown_in(served, Verb.CREATED, noun)
    assert shown.status_kind is state  # type: ignore[attr-defined]
    assert shown.last_modified_date_time == MONDAY  # type: ignore[attr-defined]
    assert await work_of(utility, noun) == shown


@nouns
async def test_create_keeps_the_state_that_was_given(utility: Utility, noun: Noun) -> None:
    """A partner may hand over work that is on its way."""
    await utility.ask(Verb.CREATE, noun, work(noun, status_kind=WorkStatusKind.dispatched))
    assert await state_of(utility, noun) is WorkStatusKind.dispatched


@nouns
async def test_create_mints_and_refuses_twins(utility: Utility, noun: Noun) -> None:
    """EPRI cases 1a to 1d, for each noun."""
    named = {"names": names("W-1", scheme="No", authority="CIS")}
    served = await utility.ask(Verb.CREATE, noun, work(noun, "", **named))
    assert ids_of(served) == ["minted-1"]
    served = await utility.ask(Verb.CREATE, noun, work(noun, "w-2", **named))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["LIF-103"], ())
    served = await utility.ask(Verb.CREATE, noun, work(noun, "w-2"), work(noun, "w-3", **named))
    assert (served.result, ids_of(served), codes_of(served)) == (Result.PARTIAL, ["w-2"], ["LIF-103"])
    served = await utility.ask(Verb.CREATE, noun, work(noun, "w-4"), work(noun, "w-5"))
    assert (served.result, ids_of(served)) == (Result.OK, ["w-4", "w-5"])


async def test_orders_may_share_the_number_of_their_request(utility: Utility) -> None:
    """One request may lead to several orders."""
    number = names("SR-1", scheme="ServiceRequestNumber")
    for order in ("o-1", "o-2"):
        served = await utility.ask(Verb.CREATE, SO, work(SO, order, names=number))
        assert served.result is Result.OK


async def test_organisations_stay_with_the_work_they_came_with(utility: Utility) -> None:
    """A work request without its organisation has lost who asked."""
    root = WorkRequests(organisation=(Organisation(names=names("Roads")),), work=(work_request.Work(mrid=mrid("w")),))
    served = await utility.ask(Verb.CREATE, WR, payload=root)
    event = served.events[0].payload
    assert isinstance(event, WorkRequests)
    assert event.organisation == root.organisation
    phone = WorkRequests(
        organisation=(Organisation(names=names("Roads"), mrid=mrid("org")),), work=(work_request.Work(mrid=mrid("w")),)
    )
    await utility.ask(Verb.CHANGE, WR, payload=phone)
    got = (await utility.ask(Verb.GET, WR)).payload
    assert isinstance(got, WorkRequests)
    assert got.organisation == (Organisation(names=names("Roads"), mrid=mrid("org")),)


# ------------------------------------------------------------------------------------------------ appointments


async def test_a_service_request_is_offered_the_next_window(utility: Utility) -> None:
    """The customer on the phone hears when somebody will come."""
    await utility.ask(Verb.CREATE, SR, work(SR))
    assert (await work_of(utility, SR)).appointments == (window(*AFTERNOON),)  # type: ignore[attr-defined]


async def test_no_window_is_offered_at_the_weekend(utility: Utility) -> None:
    """Friday evening: Monday morning."""
    utility.now = FRIDAY_NIGHT
    await utility.ask(Verb.CREATE, SR, work(SR))
    monday = FRIDAY_NIGHT + timedelta(days=3)
    assert (await work_of(utility, SR)).appointments == (  # type: ignore[attr-defined]
        window(monday.replace(hour=8), monday.replace(hour=12)),
    )


@pytest.mark.parametrize(
    ("schedules", "start"),
    [
        (
            (wish(WorkTimeScheduleKind.request, MONDAY + timedelta(days=2), MONDAY + timedelta(days=3)),),
            "2026-03-04T08",
        ),
        ((wish(WorkTimeScheduleKind.earliest, datetime(2026, 3, 4, 12, 30, tzinfo=UTC)),), "2026-03-04T13"),
        ((wish(WorkTimeScheduleKind.latest, None, MONDAY + timedelta(days=1)),), "2026-03-02T13"),
        ((wish(WorkTimeScheduleKind.latest, None, MONDAY - timedelta(days=1)),), "2026-03-02T13"),
        (
            (
                wish(WorkTimeScheduleKind.request, MONDAY + timedelta(days=1)),
                wish(WorkTimeScheduleKind.request, MONDAY + timedelta(days=8)),
            ),
            "2026-03-10T08",
        ),
        ((wish(WorkTimeScheduleKind.request, datetime(9999, 12, 30, tzinfo=UTC)),), "9999-12-30T08"),
    ],
    ids=["request", "earliest", "latest", "too late", "the last wish holds", "end of time"],
)
async def test_the_offer_follows_the_wish(
    utility: Utility, schedules: tuple[WorkTimeSchedule, ...], start: str
) -> None:
    """A wished time is kept where there is room, and nobody is sent away without an offer."""
    await utility.ask(Verb.CREATE, SR, work(SR, time_schedules=schedules))
    (appointment,) = (await work_of(utility, SR)).appointments  # type: ignore[attr-defined]
    assert f"{appointment.meeting_interval.start:%Y-%m-%dT%H}" == start


async def test_a_window_takes_the_visits_that_the_crews_can_make(utility: Utility) -> None:
    """Who calls when all crews are taken is offered the next window; a visit that is withdrawn makes room."""
    for number in range(CAPACITY + 1):
        await utility.ask(Verb.CREATE, SR, work(SR, f"w-{number}"))
    last = await work_of(utility, SR, f"w-{CAPACITY}")
    tuesday = MONDAY + timedelta(days=1)
    assert last.appointments == (window(tuesday.replace(hour=8), tuesday.replace(hour=12)),)  # type: ignore[attr-defined]
    for verb, number in ((Verb.CANCEL, "w-0"), (Verb.CLOSE, "w-1"), (Verb.DELETE, "w-2")):
        assert (await utility.ask(verb, SR, ids=(number,))).result is Result.OK
        await utility.ask(Verb.CREATE, SR, work(SR, f"after {verb}"))
        held = (await work_of(utility, SR, f"after {verb}")).appointments  # type: ignore[attr-defined]
        assert held == (window(*AFTERNOON),)


async def test_an_appointment_that_comes_with_the_work_needs_room(utility: Utility) -> None:
    """The CIS may have promised a window; the WMS keeps it or says that it cannot."""
    for number in range(CAPACITY):
        noun = SO if number % 2 else SR
        served = await utility.ask(Verb.CREATE, noun, work(noun, f"w-{number}", appointments=(window(*AFTERNOON),)))
        assert served.result is Result.OK
        assert await state_of(utility, noun, f"w-{number}") is WorkStatusKind.scheduled
    served = await utility.ask(Verb.CREATE, SR, work(SR, "one more", appointments=(window(*AFTERNOON),)))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-107"])
    assert codes_of(await utility.ask(Verb.GET, SR, ids=("one more",))) == ["REF-103"]


async def test_work_that_waits_for_approval_is_offered_nothing(utility: Utility) -> None:
    """A promise before the approval would bind the utility."""
    await utility.ask(Verb.CREATE, SR, work(SR, status_kind=WorkStatusKind.waitingOnApproval))
    assert (await work_of(utility, SR)).appointments == ()  # type: ignore[attr-defined]


async def test_change_moves_the_appointment(utility: Utility) -> None:
    """The last appointment holds, and the window before is free again."""
    for number in range(CAPACITY):
        await utility.ask(Verb.CREATE, SR, work(SR, f"w-{number}"))
    wednesday = MONDAY + timedelta(days=2)
    other = window(wednesday.replace(hour=8), wednesday.replace(hour=12))
    served = await utility.ask(Verb.CHANGE, SR, work(SR, "w-0", appointments=(other,)))
    shown = shown_in(served, Verb.CHANGED, SR)
    assert isinstance(shown, Work)
    assert shown.appointments == (other,)
    assert (await work_of(utility, SR, "w-0")).appointments == (window(*AFTERNOON), other)  # type: ignore[attr-defined]
    await utility.ask(Verb.CREATE, SR, work(SR, "one more"))
    assert (await work_of(utility, SR, "one more")).appointments == (window(*AFTERNOON),)  # type: ignore[attr-defined]


async def test_change_to_a_full_window_is_refused_and_nothing_moves(utility: Utility) -> None:
    """The appointment that holds is not given up for one that cannot be had."""
    wednesday = MONDAY + timedelta(days=2)
    full = window(wednesday.replace(hour=8), wednesday.replace(hour=12))
    for number in range(CAPACITY):
        await utility.ask(Verb.CREATE, SR, work(SR, f"full-{number}", appointments=(full,)))
    await utility.ask(Verb.CREATE, SR, work(SR))
    before = await work_of(utility, SR)
    within = window(wednesday.replace(hour=9), wednesday.replace(hour=10))
    for change in (
        work(SR, appointments=(within,)),
        work(SR, time_schedules=(wish(WorkTimeScheduleKind.request, wednesday, wednesday.replace(hour=11)),)),
    ):
        served = await utility.ask(Verb.CHANGE, SR, change)
        assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-107"], ())
        assert await work_of(utility, SR) == before


async def test_another_wish_is_another_window(utility: Utility) -> None:
    """The CIS may state the wish and leave the window to the WMS."""
    await utility.ask(Verb.CREATE, SR, work(SR))
    friday = MONDAY + timedelta(days=4)
    asked = wish(WorkTimeScheduleKind.request, friday.replace(hour=13), friday.replace(hour=17))
    served = await utility.ask(Verb.CHANGE, SR, work(SR, time_schedules=(asked,)))
    shown = shown_in(served, Verb.CHANGED, SR)
    assert isinstance(shown, Work)
    assert shown.appointments == (window(friday.replace(hour=13), friday.replace(hour=17)),)
    assert shown.time_schedules == (asked,)


async def test_access_note_and_contact_leave_the_appointment_alone(utility: Utility) -> None:
    """A word about the key is no wish for another day."""
    await utility.ask(Verb.CREATE, SR, work(SR, names=names("SR-1")))
    utility.pass_time(minutes=1)
    note = Work(names=names("SR-1"), work_location=ServiceLocation(access_method="key with the neighbour"))
    served = await utility.ask(Verb.CHANGE, SR, note)
    assert shown_in(served, Verb.CHANGED, SR) == msgspec.structs.replace(
        note, mrid=mrid("w-1"), last_modified_date_time=utility.now
    )
    assert len((await work_of(utility, SR)).appointments) == 1  # type: ignore[attr-defined]


async def test_no_other_appointment_once_the_crew_is_there(utility: Utility) -> None:
    """LIF-104, 6.1."""
    await utility.ask(Verb.CREATE, SR, work(SR))
    await report(utility, SR, WorkStatusKind.onSite)
    served = await utility.ask(Verb.CHANGE, SR, work(SR, appointments=(window(*AFTERNOON), window(MONDAY, MONDAY))))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-104"])


async def test_odd_appointments_are_taken_without_an_exception(utility: Utility) -> None:
    """Bad content must become a finding or pass; it must not stop the hub."""
    never = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    for number, appointment in enumerate(
        (
            Appointment(),
            window(*never),
            window(never[1], never[0]),
            window(*AFTERNOON[::-1]),
            window(never[0], never[0]),
        )
    ):
        served = await utility.ask(Verb.CREATE, SR, work(SR, f"w-{number}", appointments=(appointment,)))
        assert served.result is Result.OK
        assert (await utility.ask(Verb.CANCEL, SR, ids=(f"w-{number}",))).result is Result.OK


# ------------------------------------------------------------------------------------------------------ states


@nouns
async def test_work_passes_its_states_and_each_is_told(utility: Utility, noun: Noun) -> None:
    """A crew reports its progress by change; listeners see every step."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    for state in (
        WorkStatusKind.scheduled,
        WorkStatusKind.dispatched,
        WorkStatusKind.enroute,
        WorkStatusKind.onSite,
        WorkStatusKind.inProgress,
        WorkStatusKind.completed,
    ):
        utility.pass_time(minutes=10)
        served = await utility.ask(Verb.CHANGE, noun, work(noun, status_kind=state))
        assert served.result is Result.OK
        shown = shown_in(served, Verb.CHANGED, noun)
        assert (shown.status_kind, shown.last_modified_date_time) == (state, utility.now)  # type: ignore[attr-defined]
        assert await state_of(utility, noun) is state


@nouns
async def test_a_step_back_is_refused(utility: Utility, noun: Noun) -> None:
    """A report that comes late must not put a crew back on the road."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    await report(utility, noun, WorkStatusKind.inProgress)
    served = await utility.ask(Verb.CHANGE, noun, work(noun, status_kind=WorkStatusKind.enroute, kind=WorkKind.test))
    assert (served.result, codes_of(served), served.findings[0].object_id) == (Result.FAILED, ["LIF-102"], "w-1")
    assert (await work_of(utility, noun)).kind is None  # type: ignore[attr-defined]


@nouns
async def test_cancel_before_the_work_begins(utility: Utility, noun: Noun) -> None:
    """The customer withdraws."""
    await utility.ask(Verb.CREATE, noun, work(noun, names=names("W-1")))
    utility.pass_time(minutes=1)
    served = await utility.ask(Verb.CANCEL, noun, ids=("W-1",))
    assert served.result is Result.OK
    shown = shown_in(served, Verb.CANCELED, noun)
    expected = work(noun, names=names("W-1"), status_kind=WorkStatusKind.cancelled, last_modified_date_time=utility.now)
    assert shown == expected
    assert await state_of(utility, noun) is WorkStatusKind.cancelled


@nouns
@pytest.mark.parametrize("state", [WorkStatusKind.onSite, WorkStatusKind.inProgress, WorkStatusKind.completed])
async def test_cancel_is_refused_once_work_has_begun(utility: Utility, noun: Noun, state: WorkStatusKind) -> None:
    """6.1, LIF-104: the crew is there."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    await report(utility, noun, state)
    served = await utility.ask(Verb.CANCEL, noun, work(noun))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["LIF-104"], ())
    assert await state_of(utility, noun) is state


@nouns
async def test_close_notes_the_actual_end(utility: Utility, noun: Noun) -> None:
    """Billing and statistics ask when the work was done."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    utility.pass_time(hours=5)
    served = await utility.ask(Verb.CLOSE, noun, ids=("w-1",))
    assert events_of(served) == [("closed", noun.value, 1)]
    shown = shown_in(served, Verb.CLOSED, noun)
    assert shown.status_kind is WorkStatusKind.closed  # type: ignore[attr-defined]
    (schedule,) = shown.time_schedules  # type: ignore[attr-defined]
    assert schedule.kind is WorkTimeScheduleKind.actual
    assert schedule.schedule_interval.end == utility.now


async def test_close_takes_the_times_and_readings_that_come_with_it(utility: Utility) -> None:
    """A completion reports what was done and when; the hub's clock does not overrule the crew's."""
    await utility.ask(Verb.CREATE, SR, work(SR))
    done = wish(WorkTimeScheduleKind.actual, MONDAY, MONDAY + timedelta(hours=2))
    utility.pass_time(days=1)
    served = await utility.ask(Verb.CLOSE, SR, work(SR, time_schedules=(done,), comment="Meter exchanged."))
    shown = shown_in(served, Verb.CLOSED, SR)
    assert isinstance(shown, Work)
    assert (shown.time_schedules, shown.comment) == ((done,), "Meter exchanged.")


@nouns
@pytest.mark.parametrize("end", [Verb.CANCEL, Verb.CLOSE])
@pytest.mark.parametrize("verb", [Verb.CHANGE, Verb.CANCEL, Verb.CLOSE])
async def test_nothing_more_happens_to_work_that_has_ended(utility: Utility, noun: Noun, end: Verb, verb: Verb) -> None:
    """Done is done."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    await utility.ask(end, noun, ids=("w-1",))
    served = await utility.ask(verb, noun, work(noun, kind=WorkKind.test))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-105"])


@nouns
async def test_delete_before_the_beginning_and_after_the_end(utility: Utility, noun: Noun) -> None:
    """Work in hand cannot vanish."""
    await utility.ask(Verb.CREATE, noun, work(noun), work(noun, "w-2"))
    assert (await utility.ask(Verb.DELETE, noun, ids=("w-2",))).result is Result.OK
    await report(utility, noun, WorkStatusKind.onSite)
    served = await utility.ask(Verb.DELETE, noun, ids=("w-1",))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-101"])
    await utility.ask(Verb.CLOSE, noun, ids=("w-1",))
    served = await utility.ask(Verb.DELETE, noun, ids=("w-1",))
    assert events_of(served) == [("deleted", noun.value, 1)]
    assert items_of((await utility.ask(Verb.GET, noun)).payload) == ()


@nouns
@pytest.mark.parametrize("verb", [Verb.CHANGE, Verb.CANCEL, Verb.CLOSE, Verb.DELETE])
async def test_unknown_work_is_named(utility: Utility, noun: Noun, verb: Verb) -> None:
    """2.15 with the identity, and what is known is served all the same."""
    await utility.ask(Verb.CREATE, noun, work(noun))
    served = await utility.ask(verb, noun, work(noun, "w-9"), work(noun))
    assert (served.result, ids_of(served)) == (Result.PARTIAL, ["w-1"])
    assert [(one.code, one.object_id) for one in served.findings] == [("REF-103", "w-9")]
