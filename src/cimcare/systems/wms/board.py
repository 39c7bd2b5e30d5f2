"""What there is to see of field work: orders, crews and windows. Reads only.

Each look is bounded: crews are few, orders come a page at a time, windows are those of the next days.
"""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.rules.lifecycle import is_ended
from cimcare.systems.wms.appointments import WINDOWS, interval_of
from cimcare.systems.wms.catalog import ORDER_TYPES, OTHER_ORDER
from cimcare.systems.wms.crews import CrewRecord, duty_within, is_on_duty, load_crews, name_of_crew
from cimcare.systems.wms.jobs import JOBS, LAST_RANK, skills_key
from cimcare.systems.wms.kinds import SERVICE_ORDERS

__all__ = ["OPEN_STATES", "Board", "CrewView", "OrderView", "WindowView", "list_orders", "load_board", "view_crew"]

OPEN_STATES = tuple(one.value for one in WorkStatusKind if not is_ended(one))
"""States of orders that have not ended."""

_DAYS = 7
_WAITING = tuple(
    skills_key(skills, rank)
    for skills in sorted({OTHER_ORDER.skills, *(one.skills for one in ORDER_TYPES.values())}, key=sorted)
    for rank in range(LAST_RANK + 1)
)
_MOST_TO_SEND = 1000


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
    return tuple([await _view_order(records, one) for one in found])


async def load_board(records: Records, now: datetime) -> Board:
    """Crews with what they have in hand, what waits, and the windows of the next seven days."""
    crews = await load_crews(records)
    shown = []
    for crew in crews:
        order = await records.find(SERVICE_ORDERS.collection, crew.order) if crew.order is not None else None
        shown.append((view_crew(crew, now), await _view_order(records, order) if order is not None else None))
    due = await records.select(JOBS, Selection(keys=(_WAITING,), until=now, limit=_MOST_TO_SEND))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    loads = await records.select(WINDOWS, Selection(since=day, until=day + timedelta(days=_DAYS)))
    windows = []
    for load in loads:
        minutes = {}
        for crew in crews:
            duty = duty_within(crew, load.body.start, load.body.end)
            if duty is not None:
                taken = sum(visit.minutes for visit in load.body.visits if visit.crew == crew.mrid)
                minutes[name_of_crew(crew)] = (taken, int((duty[1] - duty[0]).total_seconds() // 60))
        windows.append(WindowView(start=load.body.start, end=load.body.end, minutes=minutes))
    return Board(crews=tuple(shown), to_send=len(due), windows=tuple(windows))


async def _view_order(records: Records, stored: Stored[service_order.Work]) -> OrderView:
    order = stored.body
    job = await records.find(JOBS, stored.mrid)
    visit = interval_of(order.appointments[-1]) if order.appointments else None
    crews = dict.fromkeys(
        crew.names[0].name if crew.names else crew.mrid or "" for task in order.work_tasks for crew in task.crews
    )
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


def _address_of(order: service_order.Work) -> str:
    for task in order.work_tasks:
        address = task.work_location.main_address if task.work_location is not None else None
        street = address.street_detail if address is not None else None
        if street is not None:
            return " ".join(part for part in (street.number, street.name, street.type) if part)
    return ""
