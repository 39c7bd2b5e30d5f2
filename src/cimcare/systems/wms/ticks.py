"""What the work management does by the clock: gives due orders to free crews, and ends dig notices whose time is over.

Orders with an appointment are due when it begins, others when they were asked for. For each set of skills for which a
crew is free the due orders are looked at, the most urgent first (the least rank, of 0 to 9), then the oldest. An
order with an appointment gets the crew that is put down for it if that one is free, else the nearest; any other gets
the nearest that has room left in the window now; urgent ones need no room. Orders of no type of the catalogue are for
people.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cimcare.exchange.ports import Event, Selection, Served, ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.envelope import ObjectID, Result
from cimcare.systems.wms.appointments import Calendar, Window, windows_in
from cimcare.systems.wms.catalog import ORDER_TYPES, OrderType
from cimcare.systems.wms.crews import CrewRecord, has_skills, is_on_duty, load_crews
from cimcare.systems.wms.jobs import JOBS, LAST_RANK, NOTICES, TO_SEND, JobRecord, demand_of, skills_key
from cimcare.systems.wms.kinds import SERVICE_ORDERS, WORK_REQUESTS
from cimcare.systems.wms.orders import Orders
from cimcare.systems.wms.requests import Requests
from cimcare.systems.wms.sending import nearest_first

__all__ = ["dispatch_orders", "end_dig_notices"]

_LOOKED_AT = 20
"""Due orders of one set of skills and one rank that one tick looks at."""
_URGENT = frozenset(one.skills for one in ORDER_TYPES.values() if one.is_urgent)
_AT_ONCE = 20
"""Notices that one tick ends."""


async def dispatch_orders(context: ServingContext) -> Served:
    """Give due orders to crews that are free."""
    calendar = Calendar(context.records, context.now)
    office = Orders(context, calendar)
    free = {one.mrid: one for one in await load_crews(context.records) if one.order is None and one.takes_jobs}
    events: list[Event] = []
    ids: list[ObjectID] = []
    for skills in sorted({one.skills for one in ORDER_TYPES.values()}, key=sorted):
        for stored in await _due(context, skills, sum(_is_ready(one, skills, context.now) for one in free.values())):
            job, order_type = stored.body, ORDER_TYPES.get(stored.body.type)
            order = await context.records.find(SERVICE_ORDERS.collection, job.mrid)
            if order is None or order_type is None:
                continue
            able = [one for one in free.values() if has_skills(one, order_type.skills)]
            sent = await _choose(context, calendar, order, job, order_type, able)
            if sent is None:
                continue
            crew, held = sent
            del free[crew.mrid]
            events.append(await office.dispatch(order, crew, held))
            ids.append(SERVICE_ORDERS.id_of(order.mrid))
            office.touch(job)
    events.extend(await office.follow())
    return Served(result=Result.OK, ids=tuple(ids), events=tuple(events))


def _is_ready(crew: CrewRecord, skills: frozenset[str], now: datetime) -> bool:
    """Whether a crew may be sent now to anything that asks for these skills."""
    return has_skills(crew, skills) and (is_on_duty(crew, now) or (crew.is_on_call and skills in _URGENT))


async def _due(context: ServingContext, skills: frozenset[str], crews: int) -> Sequence[Stored[JobRecord]]:
    """What is due and asks for these skills, the most urgent first, then the oldest; none if there are no crews."""
    due: list[Stored[JobRecord]] = []
    for rank in range(LAST_RANK + 1):
        if not crews or len(due) >= crews + _LOOKED_AT:
            break
        key = skills_key(skills, rank)
        wanted = Selection(states=(TO_SEND,), keys=((key,),), until=context.now, limit=_LOOKED_AT)
        due.extend(await context.records.select(JOBS, wanted))
    return due


async def _choose(
    context: ServingContext,
    calendar: Calendar,
    order: Stored[service_order.Work],
    job: JobRecord,
    order_type: OrderType,
    able: Sequence[CrewRecord],
) -> tuple[CrewRecord, Window | None] | None:
    """The crew to send, and the time that is held for it unless some is held already."""
    ready = nearest_first(able, job.place, order_type, context)
    if not ready:
        return None
    if job.held is not None:
        planned = await calendar.planned_crew(job.held, demand_of(job, order_type))
        return next((one for one in ready if one.mrid == planned), ready[0]), None
    if order_type.is_urgent or order.body.appointments:
        return ready[0], None
    now = windows_in(context.now, context.now + timedelta(minutes=1))
    if not now:
        return None
    held = (context.now, now[0][1])
    for crew in ready:
        if await calendar.book(held, (demand_of(job, order_type),), among=(crew,)):
            return crew, held
    return None


async def end_dig_notices(context: ServingContext) -> Served:
    """End dig notices whose time is over."""
    due = await context.records.select(JOBS, Selection(keys=((NOTICES,),), until=context.now, limit=_AT_ONCE))
    office = Requests(WORK_REQUESTS, context)
    events: list[Event] = []
    ids: list[ObjectID] = []
    for job in due:
        await context.records.drop(JOBS, job.mrid)
        notice = await context.records.find(WORK_REQUESTS.collection, job.mrid)
        if notice is not None:
            events.append(await office.expire(notice))
            ids.append(WORK_REQUESTS.id_of(notice.mrid))
    events.extend(await office.follow())
    has_more = len(due) == _AT_ONCE
    return Served(result=Result.OK, ids=tuple(ids), events=tuple(events), has_more=has_more)
