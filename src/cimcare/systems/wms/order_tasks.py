"""Tasks of a service order: where they are, who is named in them, what stands in the way. Pure.

Source: IEC 61968-8:2015, clause 5.5; members of IEC 61968-6.
"""

from collections.abc import Sequence

import msgspec

from cimcare.exchange.ports import NewID
from cimcare.model import service_order
from cimcare.model.identity import MRID
from cimcare.model.work import Crew
from cimcare.systems.identity import has_identity, is_same
from cimcare.systems.wms.crews import CrewRecord, Place

__all__ = ["crews_in", "named_tasks", "place_of", "place_with", "reason_in", "with_crews", "without_crews"]


def place_of(order: service_order.Work) -> Place | None:
    """Where an order is, by the first point of the place of its tasks."""
    for task in order.work_tasks:
        points = task.work_location.position_points if task.work_location is not None else ()
        for point in points:
            try:
                return float(point.x_position or ""), float(point.y_position or "")
            except ValueError:
                continue
    return None


def crews_in(order: service_order.Work) -> tuple[Crew, ...]:
    """Crews that an order names, each once."""
    named: list[Crew] = []
    for crew in (crew for task in order.work_tasks for crew in task.crews):
        if has_identity(crew) and not any(is_same(crew, other) for other in named):
            named.append(crew)
    return tuple(named)


def with_crews(order: service_order.Work, crews: Sequence[CrewRecord]) -> service_order.Work:
    """The order with these crews in its first task, where it does not name them."""
    named = crews_in(order)
    new = tuple(Crew(mrid=one.mrid, names=one.names) for one in crews)
    new = tuple(one for one in new if not any(is_same(one, other) for other in named))
    if not new:
        return order
    first = order.work_tasks[0] if order.work_tasks else service_order.WorkTask()
    return msgspec.structs.replace(
        order, work_tasks=(msgspec.structs.replace(first, crews=(*first.crews, *new)), *order.work_tasks[1:])
    )


def without_crews(
    order: service_order.Work, *, keep: Sequence[Crew]
) -> tuple[service_order.Work, service_order.Work | None]:
    """The order without the crews that are not to be kept, and the path to those that went; None if none did.

    Of a task without identity nobody could be told which one has lost a crew, so it keeps them.
    """
    tasks, gone = [], []
    for task in order.work_tasks:
        leaving = tuple(one for one in task.crews if not any(is_same(one, other) for other in keep))
        if leaving and has_identity(task):
            gone.append(
                service_order.WorkTask(
                    mrid=task.mrid,
                    names=task.names,
                    crews=tuple(Crew(mrid=one.mrid, names=one.names) for one in leaving),
                )
            )
            task = msgspec.structs.replace(task, crews=tuple(one for one in task.crews if one not in leaving))
        tasks.append(task)
    if not gone:
        return order, None
    path = service_order.Work(mrid=order.mrid, names=(), work_tasks=tuple(gone))
    return msgspec.structs.replace(order, work_tasks=tuple(tasks)), path


def reason_in(said: service_order.Work | None) -> str:
    """What keeps a crew from the work at its place, as an order says; empty if nothing."""
    for task in said.work_tasks if said is not None else ():
        problem = task.work_location.site_access_problem if task.work_location is not None else None
        if problem and problem.strip():
            return problem.strip()
    return ""


def place_with(
    place: service_order.ServiceLocation | None, method: str, *, whole: bool = False
) -> service_order.ServiceLocation:
    """The place with the way in; the whole of it, or what of it is to be told."""
    if whole:
        return msgspec.structs.replace(place or service_order.ServiceLocation(), access_method=method)
    return service_order.ServiceLocation(mrid=place.mrid if place is not None else None, access_method=method)


def named_tasks(
    order: service_order.Work, new_id: NewID, only: service_order.WorkTask | None = None
) -> service_order.Work:
    """The order with identities for all its tasks: one that has none is `only`, failing that it is new."""
    tasks = tuple(
        task
        if has_identity(task)
        else msgspec.structs.replace(
            task,
            mrid=only.mrid if only is not None else MRID(new_id()),
            names=only.names if only is not None else (),
        )
        for task in order.work_tasks
    )
    return msgspec.structs.replace(order, work_tasks=tasks)
