"""What there is to see of field work: orders, crews and windows. Reads only.

Each look is bounded: crews are few, orders come a page at a time, windows are those of the next days.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.work import Crew
from cimcare.rules.lifecycle import is_ended
from cimcare.systems.wms.appointments import WINDOWS, Visit, Window, WindowLoad, interval_of, windows_in
from cimcare.systems.wms.catalog import ORDER_TYPES, OTHER_ORDER
from cimcare.systems.wms.crews import CREWS, CrewRecord, duty_within, is_on_duty, load_crews, name_of_crew
from cimcare.systems.wms.jobs import JOBS, LAST_RANK, skills_key
from cimcare.systems.wms.kinds import SERVICE_ORDERS

__all__ = [
    "OPEN_STATES",
    "Board",
    "CalendarView",
    "Column",
    "CrewView",
    "OrderView",
    "Stage",
    "WindowView",
    "list_orders",
    "load_board",
    "load_calendar",
    "load_columns",
    "view_crew",
    "view_order",
]

OPEN_STATES = tuple(one.value for one in WorkStatusKind if not is_ended(one))
"""States of orders that have not ended."""

_DAYS = 7
_WAITING = tuple(
    skills_key(skills, rank)
    for skills in sorted({OTHER_ORDER.skills, *(one.skills for one in ORDER_TYPES.values())}, key=sorted)
    for rank in range(LAST_RANK + 1)
)
_MOST_TO_SEND = 1000
_MOST_WAITING = 60
_MOST_NEWEST = 60


class Stage(StrEnum):
    """How far an order is, in the words of a board."""

    TO_SCHEDULE = "to schedule"
    SCHEDULED = "scheduled"
    DISPATCHED = "dispatched"
    ON_SITE = "on site"
    DONE = "done"
    INCOMPLETE = "visit again"


_STAGES = {
    WorkStatusKind.scheduled: Stage.SCHEDULED,
    WorkStatusKind.dispatched: Stage.DISPATCHED,
    WorkStatusKind.enroute: Stage.DISPATCHED,
    WorkStatusKind.onSite: Stage.ON_SITE,
    WorkStatusKind.inProgress: Stage.ON_SITE,
    WorkStatusKind.completed: Stage.DONE,
    WorkStatusKind.closed: Stage.DONE,
}
"""Stages of states; of all others it is to be scheduled, unless it was cancelled."""


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order in one line. `due` is the beginning of its appointment, `request` what it carries out."""

    order: MRID
    status: str
    type: str
    crews: tuple[str, ...] = ()
    due: datetime | None = None
    until: datetime | None = None
    place: str = ""
    request: MRID | None = None
    reason: str | None = None


class CrewView(msgspec.Struct, frozen=True, kw_only=True):
    """A crew in one line."""

    crew: str
    mrid: MRID
    skills: tuple[str, ...]
    on_duty: bool
    on_call: bool
    takes_jobs: bool
    order: MRID | None = None


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """A window: for each crew the minutes that are put down, and those that it has."""

    start: datetime
    end: datetime
    minutes: dict[str, tuple[int, int]]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one stage. `has_more` says that others are of it, which are not looked at."""

    stage: Stage
    orders: tuple[OrderView, ...]
    has_more: bool = False


class CalendarView(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of some days with their visits, and the minutes that each crew has in each; None if it is off duty."""

    crews: tuple[CrewRecord, ...]
    windows: tuple[tuple[Window, tuple[Visit, ...]], ...]

    def minutes_of(self, crew: CrewRecord, window: Window) -> tuple[int, int] | None:
        """Minutes that are put down for a crew in a window, and those that it has."""
        visits = next((visits for one, visits in self.windows if one == window), ())
        return _minutes_of(crew, window, visits)


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """All at a glance. `to_send` counts orders that are due and wait for a crew, up to 1,000."""

    crews: tuple[tuple[CrewView, OrderView | None], ...]
    to_send: int
    windows: tuple[WindowView, ...]


def view_crew(crew: CrewRecord, now: datetime) -> CrewView:
    """A crew as it is shown."""
    return CrewView(
        crew=name_of_crew(crew),
        mrid=crew.mrid,
        skills=tuple(sorted(crew.skills)),
        on_duty=is_on_duty(crew, now),
        on_call=crew.is_on_call,
        takes_jobs=crew.takes_jobs,
        order=crew.order,
    )


async def list_orders(
    records: Records,
    *,
    states: tuple[str, ...] = OPEN_STATES,
    crew: MRID | None = None,
    after: MRID | None = None,
    limit: int = 50,
) -> tuple[OrderView, ...]:
    """A page of orders in these states, oldest first; of one crew, if it is named."""
    keys = ((Key("crew", crew),),) if crew is not None else ()
    found = await records.select(
        SERVICE_ORDERS.collection, Selection(states=states, keys=keys, after=after, limit=limit)
    )
    return tuple([await view_order(records, one) for one in found])


async def load_board(records: Records, now: datetime) -> Board:
    """Crews with what they have in hand, what waits, and the windows of the next seven days."""
    crews = await load_crews(records)
    shown = []
    for crew in crews:
        order = await records.find(SERVICE_ORDERS.collection, crew.order) if crew.order is not None else None
        shown.append((view_crew(crew, now), await view_order(records, order) if order is not None else None))
    due = await records.select(JOBS, Selection(keys=(_WAITING,), until=now, limit=_MOST_TO_SEND))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    loads = await records.select(WINDOWS, Selection(since=day, until=day + timedelta(days=_DAYS)))
    windows = tuple(_view_window(load.body, crews) for load in loads)
    return Board(crews=tuple(shown), to_send=len(due), windows=windows)


def _view_window(load: WindowLoad, crews: Sequence[CrewRecord]) -> WindowView:
    window = (load.start, load.end)
    found = ((name_of_crew(crew), _minutes_of(crew, window, load.visits)) for crew in crews)
    return WindowView(
        start=load.start, end=load.end, minutes={name: minutes for name, minutes in found if minutes is not None}
    )


def _minutes_of(crew: CrewRecord, window: Window, visits: Sequence[Visit]) -> tuple[int, int] | None:
    duty = duty_within(crew, *window)
    if duty is None:
        return None
    taken = sum(visit.minutes for visit in visits if visit.crew == crew.mrid)
    return taken, int((duty[1] - duty[0]).total_seconds() // 60)


async def load_calendar(records: Records, day: datetime, days: int = _DAYS) -> CalendarView:
    """The windows from the beginning of a day on, at most seven days, also those in which nothing is put down."""
    first = day.replace(hour=0, minute=0, second=0, microsecond=0)
    last = first + timedelta(days=days)
    loads = await records.select(WINDOWS, Selection(since=first, until=last))
    visits = {(one.body.start, one.body.end): one.body.visits for one in loads}
    return CalendarView(
        crews=await load_crews(records), windows=tuple((one, visits.get(one, ())) for one in windows_in(first, last))
    )


async def load_columns(records: Records, collection: Collection[service_order.Work]) -> tuple[Column, ...]:
    """Orders by stage: those that wait, by due date; those that crews have in hand; and the rest of the newest.

    What is done is shown as far as it is among the newest orders, so that the look does not grow with what was done.
    """
    waiting = await records.select(JOBS, Selection(keys=(_WAITING,), limit=_MOST_WAITING + 1))
    due = [one.mrid for one in waiting[:_MOST_WAITING]]
    in_hand = [crew.order for crew in await load_crews(records) if crew.order is not None]
    named = tuple(dict.fromkeys((*due, *in_hand)))
    orders = {}
    if named:
        found = await records.select(collection, Selection(mrids=named, limit=len(named)))
        orders = {one.mrid: one for one in found}
    ordered = [orders[mrid] for mrid in named if mrid in orders]
    newest = await records.select(collection, Selection(newest_first=True, limit=_MOST_NEWEST))
    ordered += [one for one in newest if one.mrid not in orders]
    columns: dict[Stage, list[OrderView]] = {stage: [] for stage in Stage}
    for stored in ordered:
        shown = await view_order(records, stored)
        stage = _stage_of(shown)
        if stage is not None:
            columns[stage].append(shown)
    has_more = len(waiting) > _MOST_WAITING
    waits = (Stage.TO_SCHEDULE, Stage.SCHEDULED, Stage.INCOMPLETE)
    return tuple(
        Column(stage=stage, orders=tuple(shown), has_more=has_more and stage in waits)
        for stage, shown in columns.items()
    )


def _stage_of(order: OrderView) -> Stage | None:
    status = next((one for one in WorkStatusKind if one == order.status), None)
    if status is WorkStatusKind.cancelled:
        return None
    stage = _STAGES.get(status, Stage.TO_SCHEDULE) if status is not None else Stage.TO_SCHEDULE
    return Stage.INCOMPLETE if stage is Stage.TO_SCHEDULE and order.reason else stage


async def view_order(records: Records, stored: Stored[service_order.Work]) -> OrderView:
    """An order as it is shown."""
    order = stored.body
    job = await records.find(JOBS, stored.mrid)
    visit = interval_of(order.appointments[-1]) if order.appointments else None
    crews = dict.fromkeys([await _name_of(records, crew) for task in order.work_tasks for crew in task.crews])
    return OrderView(
        order=stored.mrid,
        status=stored.state,
        type=order.type or (order.kind.value if order.kind is not None else ""),
        crews=tuple(crews),
        due=visit[0] if visit is not None else None,
        until=visit[1] if visit is not None else None,
        place=_address_of(order),
        request=job.body.parent.mrid if job is not None and job.body.parent is not None else None,
        reason=job.body.reason if job is not None else None,
    )


async def _name_of(records: Records, crew: Crew) -> str:
    """What a crew is called where an order names it, by its mRID alone too."""
    if crew.names:
        return crew.names[0].name
    known = await records.find(CREWS, crew.mrid) if crew.mrid is not None else None
    return name_of_crew(known.body) if known is not None else crew.mrid or ""


def _address_of(order: service_order.Work) -> str:
    for task in order.work_tasks:
        address = task.work_location.main_address if task.work_location is not None else None
        street = address.street_detail if address is not None else None
        if street is not None:
            return " ".join(part for part in (street.number, street.name, street.type) if part)
    return ""
