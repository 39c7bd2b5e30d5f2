"""What the three nouns of field work have in common: their members, wishes for a time, and refusals.

Source: IEC 61968-8:2015, clauses 5.4 to 5.6 (our reading of their exchanges).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from cimcare.errors import Finding
from cimcare.exchange.ports import Event, ServingContext, Stored
from cimcare.model import work as shared_work
from cimcare.model import work_request
from cimcare.model.enumerations import WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.rules.lifecycle import check_transition, is_begun, is_ended
from cimcare.systems.objects import Kind, Said, as_utc, refused
from cimcare.systems.serving import Verdict
from cimcare.systems.wms.appointments import Calendar, Demand, Window, interval_of

__all__ = ["READY", "AnySchedule", "Office", "appointments_of", "held_by", "schedules_of", "status_of", "wish_of"]

BodyT = TypeVar("BodyT", bound=Structure)
AnySchedule = shared_work.WorkTimeSchedule | work_request.WorkTimeSchedule

READY = frozenset({WorkStatusKind.approved, WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled})
"""States in which work can be planned."""

_WISHES = frozenset({WorkTimeScheduleKind.request, WorkTimeScheduleKind.earliest, WorkTimeScheduleKind.latest})


class Office(Generic[BodyT]):
    """Judges the work of one message, one by one. `follow` gives the events that come of it beside its own."""

    def __init__(self, kind: Kind[BodyT], context: ServingContext, calendar: Calendar | None = None) -> None:
        self._kind = kind
        self._context = context
        self._calendar = calendar or Calendar(context.records, context.now)
        self._clause = NOUNS[kind.noun].clause

    async def named(self, message: RequestMessage) -> RequestMessage:
        """The message with what it means but does not name."""
        return message

    async def open(self, said: Said[BodyT], body: BodyT) -> Verdict[BodyT]:
        """New work."""
        raise NotImplementedError

    async def change(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """Work as a change wants it."""
        raise NotImplementedError

    async def cancel(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of work that is not to be carried out."""
        raise NotImplementedError

    async def close(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of work that was done."""
        raise NotImplementedError

    async def release(self, stored: Stored[BodyT]) -> None:
        """Give back what deleted work held."""
        raise NotImplementedError

    async def follow(self) -> Sequence[Event]:
        """What follows for other objects, once all of the message is kept."""
        raise NotImplementedError

    def is_deletable(self, stored: Stored[BodyT]) -> bool:
        """Whether work has not begun or has ended."""
        status = status_of(self._kind.core(stored.body))
        return status is None or not is_begun(status) or is_ended(status)

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

    def _refused(self, code: str, said: Said[BodyT], found: str, accepted: str) -> Verdict[BodyT]:
        return Verdict(findings=(refused(code, said, self._kind, found, accepted, self._clause),))

    def _no_room(self, said: Said[BodyT], demands: Sequence[Demand]) -> Verdict[BodyT]:
        wanted = " and ".join(f"{one.minutes} minutes of a crew{_with_skills(one.skills)}" for one in demands)
        return self._refused(
            "BUS-107",
            said,
            f"no window with room at the time asked for ({wanted})",
            "another time, or no time at all to be offered the next window with room",
        )

    def _has_begun(self, said: Said[BodyT], status: WorkStatusKind) -> Verdict[BodyT]:
        return self._refused(
            "LIF-104",
            said,
            f"another appointment for work that is {status}",
            "a change before the crew is on site",
        )


def _with_skills(skills: frozenset[str]) -> str:
    return f" with {', '.join(sorted(skills))}" if skills else ""


def status_of(core: Structure) -> WorkStatusKind | None:
    """State of work; None if it does not say."""
    status = getattr(core, "status_kind", None)
    return status if isinstance(status, WorkStatusKind) else None


def appointments_of(core: Structure) -> tuple[Appointment, ...]:
    """Appointments of work, the one that holds last."""
    return tuple(one for one in getattr(core, "appointments", ()) if isinstance(one, Appointment))


def schedules_of(core: Structure) -> tuple[AnySchedule, ...]:
    """Time schedules of work."""
    return tuple(one for one in getattr(core, "time_schedules", ()) if isinstance(one, AnySchedule))


def held_by(core: Structure) -> Window | None:
    """The time that work holds in the windows: its last appointment, unless it has ended or is to be planned anew."""
    status, appointments = status_of(core), appointments_of(core)
    is_idle = status is None or is_ended(status) or status is WorkStatusKind.waitingToBeScheduled
    return None if is_idle or not appointments else interval_of(appointments[-1])


def wish_of(core: Structure) -> tuple[datetime | None, datetime | None]:
    """Earliest and latest instant wished for. Of several schedules of one kind the last one holds."""
    earliest: datetime | None = None
    latest: datetime | None = None
    wishes = {one.kind: one.schedule_interval for one in schedules_of(core) if one.kind in _WISHES}
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
