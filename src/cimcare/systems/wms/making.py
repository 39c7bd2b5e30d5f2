"""The service order that follows from a request: who, where, what, and how to get in, as far as the request says.

Source: IEC 61968-8:2015, clause 5.5, and the members of IEC 61968-6 service orders; that they are taken from the
request is ours.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import ServingContext
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.values import Priority
from cimcare.model.work import Appointment, WorkTimeSchedule
from cimcare.systems.identity import mrid_of
from cimcare.systems.premises import PremisesRecord, find_premises
from cimcare.systems.wms.catalog import Evidence, OrderType
from cimcare.systems.wms.links import names_for, recast

__all__ = ["build_order", "premises_of"]


async def build_order(
    context: ServingContext,
    noun: Noun,
    mrid: MRID,
    request: Structure,
    order_type: OrderType,
    appointments: tuple[Appointment, ...],
    eta: datetime | None,
) -> service_order.Work:
    """The order of a type that follows from a request. What the directory of premises knows of the place is added.

    `eta` is when a crew could come: IEC 61968-6 asks for it in every task. It is a plan, and a promise to nobody.
    """
    task = service_order.WorkTask(
        mrid=MRID(context.new_id()),
        crew_eta=eta,
        instruction=_instruction(request),
        subject=getattr(request, "subject", None) or order_type.name.capitalize(),
        task_kind=order_type.task,
        old_asset=_meter_there(request) if order_type.evidence is Evidence.EXCHANGE else None,
        work_location=await _place(context, request),
    )
    priority = getattr(request, "priority", None)
    return service_order.Work(
        mrid=MRID(context.new_id()),
        kind=order_type.kind,
        last_modified_date_time=context.now,
        request_date_time=getattr(request, "request_date_time", None) or context.now,
        status_kind=WorkStatusKind.scheduled if appointments else WorkStatusKind.waitingToBeScheduled,
        type=order_type.name,
        appointments=appointments,
        customers=tuple(recast(one, service_order.Customer) for one in getattr(request, "customers", ())),
        names=names_for(noun, mrid, request),
        priority=priority if isinstance(priority, Priority) else None,
        time_schedules=tuple(recast(one, WorkTimeSchedule) for one in getattr(request, "time_schedules", ())),
        work_tasks=(task,),
    )


def _instruction(request: Structure) -> str | None:
    told = [getattr(request, "comment", None), *(one.instruction for one in getattr(request, "work_tasks", ()))]
    return next((text for text in told if text and text.strip()), None)


def _meter_there(request: Structure) -> service_order.Asset | None:
    """The meter that is to be taken out, if the request names one."""
    for task in getattr(request, "work_tasks", ()):
        if getattr(task, "old_asset", None) is not None:
            return recast(task.old_asset, service_order.Asset)
    return None


async def _place(context: ServingContext, request: Structure) -> service_order.ServiceLocation | None:
    place = getattr(request, "work_location", None)
    known = await premises_of(context, request)
    if place is None and known is None:
        return None
    made = recast(place, service_order.ServiceLocation) if place is not None else service_order.ServiceLocation()
    # The points of an order have three dimensions, those of a request two: what is not said is on the ground.
    points = tuple(
        msgspec.structs.replace(one, z_position="0") if one.z_position is None else one for one in made.position_points
    )
    made = msgspec.structs.replace(made, position_points=points)
    if known is None:
        return made
    made = msgspec.structs.replace(made, mrid=made.mrid or known.mrid)
    if made.main_address is None:
        made = msgspec.structs.replace(made, main_address=recast(known.address, service_order.StreetAddress))
    if not made.usage_points:
        point = service_order.UsagePoint(mrid=known.usage_point, names=known.usage_point_names)
        made = msgspec.structs.replace(made, usage_points=(point,))
    return made


async def premises_of(context: ServingContext, request: Structure) -> PremisesRecord | None:
    """The premises that a request is about, if the directory knows them: by place, usage point, or its customer."""
    place = getattr(request, "work_location", None)
    asked = [("service-location", place)] if place is not None and _says_who(place) else []
    asked += [("usage-point", one) for one in getattr(place, "usage_points", ())]
    asked += [("customer", one) for one in getattr(request, "customers", ())]
    for sort, value in asked:
        found = await find_premises(context.records, sort, value)
        if len(found) == 1:
            return found[0].body
    return None


def _says_who(place: Structure) -> bool:
    return mrid_of(place) is not None or bool(getattr(place, "names", ()))
