"""Work: service requests, service orders and work requests on their way from wish to done.

One state machine for all three (see `cimcare.rules.lifecycle`). A service request is offered an appointment when it is
taken; a change may ask for another; a crew reports its progress as a change of statusKind.

Source: IEC 61968-8:2015, clauses 5.4 to 5.6 (our reading of their exchanges).
"""

from datetime import datetime
from typing import Generic, TypeVar

from cimcare.errors import Finding
from cimcare.exchange.ports import Handler, Served, ServingContext, Stored
from cimcare.model import work as shared_work
from cimcare.model import work_request
from cimcare.model.enumerations import WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.rules.lifecycle import check_transition, is_begun, is_ended, work_transition
from cimcare.systems.objects import Kind, Said, as_utc, refused
from cimcare.systems.selecting import get_objects
from cimcare.systems.serving import Verdict, change_each, create_each, delete_each, end_each, file_object
from cimcare.systems.wms.appointments import (
    CAPACITY,
    Window,
    appointment_of,
    book_window,
    find_window,
    interval_of,
    is_free,
    release_window,
)

__all__ = ["handlers_of"]

BodyT = TypeVar("BodyT", bound=Structure)
AnySchedule = shared_work.WorkTimeSchedule | work_request.WorkTimeSchedule

_READY = frozenset({WorkStatusKind.approved, WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled})
"""States in which a service request without appointment is offered one."""

_WISHES = frozenset({WorkTimeScheduleKind.request, WorkTimeScheduleKind.earliest, WorkTimeScheduleKind.latest})


def handlers_of(kind: Kind[BodyT]) -> dict[tuple[Verb, Noun], Handler]:
    """The handlers that serve one of the three nouns."""

    async def create_work(message: RequestMessage, context: ServingContext) -> Served:
        """Take wishes for work."""
        return (await create_each(message, context, kind, _Office(kind, context).open)).served(Verb.CREATED)

    async def change_work(message: RequestMessage, context: ServingContext) -> Served:
        """Another window, contact or access note; or the progress that a crew reports."""
        return (await change_each(message, context, kind, _Office(kind, context).change)).served(Verb.CHANGED)

    async def cancel_work(message: RequestMessage, context: ServingContext) -> Served:
        """Withdraw work that has not begun."""
        return (await end_each(message, context, kind, _Office(kind, context).cancel)).served(Verb.CANCELED)

    async def close_work(message: RequestMessage, context: ServingContext) -> Served:
        """End work that was done."""
        return (await end_each(message, context, kind, _Office(kind, context).close)).served(Verb.CLOSED)

    async def delete_work(message: RequestMessage, context: ServingContext) -> Served:
        """Remove work that has not begun or has ended."""
        office = _Office(kind, context)
        return (await delete_each(message, context, kind, office.is_deletable, office.release)).served(Verb.DELETED)

    async def get_work(message: RequestMessage, context: ServingContext) -> Served:
        """Answer with work."""
        return await get_objects(message, context, kind)

    return {
        (Verb.CREATE, kind.noun): create_work,
        (Verb.CHANGE, kind.noun): change_work,
        (Verb.CANCEL, kind.noun): cancel_work,
        (Verb.CLOSE, kind.noun): close_work,
        (Verb.DELETE, kind.noun): delete_work,
        (Verb.GET, kind.noun): get_work,
    }


class _Office(Generic[BodyT]):
    """Judges the work of one message, one by one."""

    def __init__(self, kind: Kind[BodyT], context: ServingContext) -> None:
        self._kind = kind
        self._context = context
        self._clause = NOUNS[kind.noun].clause

    async def open(self, said: Said[BodyT], body: BodyT) -> Verdict[BodyT]:
        """New work, with an appointment where that is due."""
        core = self._kind.core(body)
        given, appointments = _status_of(core), _appointments_of(core)
        initial = WorkStatusKind.waitingToBeScheduled
        if self._kind.noun is Noun.WORK_REQUESTS:
            initial = WorkStatusKind.waitingOnApproval
        status = given or (WorkStatusKind.scheduled if appointments else initial)
        is_ready = self._kind.noun is Noun.SERVICE_REQUESTS and status in _READY
        if is_ready and not appointments:
            window = await self._offered(core)
            if window is not None:
                appointments, status = (appointment_of(window),), WorkStatusKind.scheduled
        body = self._kind.put(
            body,
            appointments=appointments,
            status_kind=status,
            created_date_time=getattr(core, "created_date_time", None) or self._context.now,
            last_modified_date_time=self._context.now,
        )
        return await self._settled(said, None, body)

    async def change(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """Work as a change wants it, if its state and the room in the windows allow it."""
        refusal = self._refusal(said, stored, Verb.CHANGE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        before, core = self._kind.core(stored.body), self._kind.core(wanted)
        old, new = _status_of(before), _status_of(core)
        if new is not None:
            refusal = work_transition(old, new, path=said.path, object_id=stored.mrid)
            if refusal is not None:
                return Verdict(findings=(refusal,))
        appointments = _appointments_of(core)
        is_moved = appointments != _appointments_of(before)
        if not is_moved and self._is_other_wish(before, core):
            window = await self._wished(core)
            if window is None:
                return Verdict(findings=(self._no_room(said),))
            held = interval_of(appointments[-1]) if appointments else None
            if window != held:
                appointments, is_moved = (*appointments, appointment_of(window)), True
        if is_moved:
            if old is not None and is_begun(old):
                return Verdict(findings=(self._has_begun(said, old),))
            if new is old and new in _READY:
                new = WorkStatusKind.scheduled
        body = self._kind.put(
            wanted, appointments=appointments, status_kind=new, last_modified_date_time=self._context.now
        )
        return await self._settled(said, stored, body)

    async def cancel(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of work that is not to be carried out."""
        refusal = self._refusal(said, stored, Verb.CANCEL)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = self._kind.put(wanted, status_kind=WorkStatusKind.cancelled, last_modified_date_time=self._context.now)
        return await self._settled(said, stored, body)

    async def close(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of work that was done, with its actual end: as told, failing that now."""
        refusal = self._refusal(said, stored, Verb.CLOSE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = self._kind.put(
            wanted,
            status_kind=WorkStatusKind.closed,
            time_schedules=self._with_actual_end(_schedules_of(self._kind.core(wanted))),
            last_modified_date_time=self._context.now,
        )
        return await self._settled(said, stored, body)

    def is_deletable(self, stored: Stored[BodyT]) -> bool:
        """Whether work has not begun or has ended."""
        status = _status_of(self._kind.core(stored.body))
        return status is None or not is_begun(status) or is_ended(status)

    async def release(self, stored: Stored[BodyT]) -> None:
        """Give back the window that work holds."""
        held = _held_by(self._kind.core(stored.body))
        if held is not None:
            await release_window(self._context.records, *held, stored.mrid, self._context.now)

    async def _settled(self, said: Said[BodyT], before: Stored[BodyT] | None, body: BodyT) -> Verdict[BodyT]:
        """The work to be kept, with its window booked; BUS-107 if that has no room."""
        core = self._kind.core(body)
        filed_at = as_utc(getattr(core, "request_date_time", None) or getattr(core, "created_date_time", None))
        stored = await file_object(
            self._kind, body, self._context, state=_status_of(core) or "", filed_at=filed_at, before=before
        )
        held = _held_by(self._kind.core(before.body)) if before is not None else None
        wanted = _held_by(core)
        if wanted != held:
            records, now = self._context.records, self._context.now
            if wanted is not None and not await is_free(records, *wanted, stored.mrid):
                return Verdict(findings=(self._no_room(said),))
            if held is not None:
                await release_window(records, *held, stored.mrid, now)
            if wanted is not None:
                await book_window(records, *wanted, stored.mrid, now)
        return Verdict(stored=stored, shown=body)

    async def _offered(self, core: Structure) -> Window | None:
        """The window within the wish, failing that the first one after the earliest instant of the wish."""
        window = await self._wished(core)
        if window is not None:
            return window
        earliest, _ = _wish_of(core)
        return await find_window(self._context.records, self._context.now, earliest=earliest)

    async def _wished(self, core: Structure) -> Window | None:
        earliest, latest = _wish_of(core)
        return await find_window(self._context.records, self._context.now, earliest=earliest, latest=latest)

    def _is_other_wish(self, before: Structure, core: Structure) -> bool:
        """Whether the customer of a service request that can be planned now wishes for another time."""
        status = _status_of(core)
        if self._kind.noun is not Noun.SERVICE_REQUESTS or status is None or is_begun(status) or is_ended(status):
            return False
        return status is not WorkStatusKind.waitingOnApproval and _wish_of(core) != _wish_of(before)

    def _with_actual_end(self, schedules: tuple[AnySchedule, ...]) -> tuple[AnySchedule, ...]:
        actual = [one.schedule_interval for one in schedules if one.kind is WorkTimeScheduleKind.actual]
        if any(interval is not None and interval.end is not None for interval in actual):
            return schedules
        start = next((interval.start for interval in reversed(actual) if interval is not None), None)
        interval = DateTimeInterval(start=start, end=self._context.now)
        if self._kind.noun is Noun.WORK_REQUESTS:
            done: AnySchedule = work_request.WorkTimeSchedule(
                kind=WorkTimeScheduleKind.actual, schedule_interval=interval
            )
        else:
            done = shared_work.WorkTimeSchedule(kind=WorkTimeScheduleKind.actual, schedule_interval=interval)
        return (*schedules, done)

    def _refusal(self, said: Said[BodyT], stored: Stored[BodyT], verb: Verb) -> Finding | None:
        return check_transition(self._kind.noun, stored.state, verb, path=said.path, object_id=stored.mrid)

    def _no_room(self, said: Said[BodyT]) -> Finding:
        return refused(
            "BUS-107",
            said,
            self._kind,
            f"no window with room at the time asked for (each takes {CAPACITY} visits)",
            "another time, or no time at all to be offered the next window with room",
            self._clause,
        )

    def _has_begun(self, said: Said[BodyT], status: WorkStatusKind) -> Finding:
        return refused(
            "LIF-104",
            said,
            self._kind,
            f"another appointment for work that is {status}",
            "a change before the crew is on site",
            self._clause,
        )


def _status_of(core: Structure) -> WorkStatusKind | None:
    status = getattr(core, "status_kind", None)
    return status if isinstance(status, WorkStatusKind) else None


def _appointments_of(core: Structure) -> tuple[Appointment, ...]:
    return tuple(one for one in getattr(core, "appointments", ()) if isinstance(one, Appointment))


def _schedules_of(core: Structure) -> tuple[AnySchedule, ...]:
    return tuple(one for one in getattr(core, "time_schedules", ()) if isinstance(one, AnySchedule))


def _held_by(core: Structure) -> Window | None:
    """The time that work holds in the windows: its last appointment, unless it has ended or is to be planned anew."""
    status, appointments = _status_of(core), _appointments_of(core)
    is_idle = status is None or is_ended(status) or status is WorkStatusKind.waitingToBeScheduled
    return None if is_idle or not appointments else interval_of(appointments[-1])


def _wish_of(core: Structure) -> tuple[datetime | None, datetime | None]:
    """Earliest and latest instant wished for. Of several schedules of one kind the last one holds."""
    earliest: datetime | None = None
    latest: datetime | None = None
    wishes = {one.kind: one.schedule_interval for one in _schedules_of(core) if one.kind in _WISHES}
    request = wishes.get(WorkTimeScheduleKind.request)
    if request is not None:
        earliest, latest = as_utc(request.start), as_utc(request.end)
    not_before = wishes.get(WorkTimeScheduleKind.earliest)
    if not_before is not None:
        earliest = as_utc(not_before.start or not_before.end) or earliest
    not_after = wishes.get(WorkTimeScheduleKind.latest)
    if not_after is not None:
        latest = as_utc(not_after.end or not_after.start) or latest
    return earliest, latest
