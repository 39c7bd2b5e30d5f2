"""Which order carries out which request, and what the progress of orders means for it.

An order names its request: Names of type `ServiceRequest` or `WorkRequest` with the mRID, or of type
`ServiceRequestNumber` or `WorkRequestNumber` with the number. The progress of a request with orders is theirs.

Source: our reading of IEC 61968-8:2015, clauses 5.4 to 5.6; the link itself is ours.
"""

from functools import cache
from typing import TypeVar, cast

import msgspec

from cimcare.exchange.ports import Event, Key, Records, ServingContext, Stored
from cimcare.model import service_order, service_request
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.nouns import Noun
from cimcare.model.structure import Element, Structure, elements_of
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import UNDER_WAY, is_ended_state, progress_of
from cimcare.systems.identity import Label, labels_of
from cimcare.systems.merging import difference, merge
from cimcare.systems.objects import Kind, find_by_names
from cimcare.systems.serving import file_object
from cimcare.systems.wms.jobs import Parent
from cimcare.systems.wms.kinds import SERVICE_ORDERS, SERVICE_REQUESTS, WORK_REQUESTS
from cimcare.systems.wms.office import appointments_of, status_of

__all__ = ["incident_names", "names_for", "orders_of", "parent_of", "progressed", "recast"]

StructureT = TypeVar("StructureT", bound=Structure)
BodyT = TypeVar("BodyT", bound=Structure)

_TYPES = {
    Noun.SERVICE_REQUESTS: ("ServiceRequest", "ServiceRequestNumber", "service-request"),
    Noun.WORK_REQUESTS: ("WorkRequest", "WorkRequestNumber", "work-request"),
}
"""Types of names by mRID and by number, and the sort of key under which the order is found."""

_INCIDENT = "Incident"


def recast(value: Structure, wanted: type[StructureT]) -> StructureT:
    """A value as another class that describes the same thing; members that this one does not have are left out."""
    members: dict[str, object] = {}
    for element in _elements_of(wanted):
        found = getattr(value, element.field, None)
        if element.is_complex and isinstance(found, tuple):
            members[element.field] = tuple(_recast_one(one, element.kind) for one in found)
        elif element.is_complex and found is not None:
            members[element.field] = _recast_one(found, element.kind)
        elif found is not None:
            members[element.field] = found
    return msgspec.structs.replace(wanted(), **members)


@cache
def _elements_of(structure: type[Structure]) -> tuple[Element, ...]:
    return elements_of(structure)


def _recast_one(value: Structure, wanted: type[Structure]) -> Structure:
    return value if isinstance(value, wanted) else recast(value, wanted)


def names_for(noun: Noun, mrid: MRID, core: Structure) -> tuple[Name, ...]:
    """Names by which an order says that it carries out this request."""
    by_mrid, by_number, _ = _TYPES[noun]
    numbers = tuple(
        name
        for name in getattr(core, "names", ())
        if isinstance(name, Name) and name.name_type is not None and name.name_type.name == by_number
    )
    return (Name(name=mrid, name_type=NameType(name=by_mrid)), *numbers)


def incident_names(core: Structure) -> tuple[str, ...]:
    """MRIDs or names of the incidents for which an order is."""
    return tuple(label.name for label in labels_of(core) if label.type == _INCIDENT)


async def parent_of(records: Records, order: service_order.Work) -> Parent | None:
    """The request that an order carries out; None if it names none that is known and has not ended."""
    for label in labels_of(order):
        for noun, (by_mrid, by_number, _) in _TYPES.items():
            if label.type in (by_mrid, by_number):
                found = await _find(records, noun, label, is_mrid=label.type == by_mrid)
                if found is not None:
                    return Parent(noun, found)
    return None


async def _find(records: Records, noun: Noun, label: Label, *, is_mrid: bool) -> MRID | None:
    if noun is Noun.SERVICE_REQUESTS:
        return await _find_open(records, SERVICE_REQUESTS, label, is_mrid=is_mrid)
    return await _find_open(records, WORK_REQUESTS, label, is_mrid=is_mrid)


async def _find_open(records: Records, kind: Kind[BodyT], label: Label, *, is_mrid: bool) -> MRID | None:
    stored = await records.find(kind.collection, MRID(label.name)) if is_mrid else None
    asked = Label("", "", label.name) if is_mrid else label
    found = (stored,) if stored is not None else await find_by_names(records, kind, (asked,))
    open_ones = [one for one in found if not is_ended_state(kind.noun, one.state)]
    return open_ones[0].mrid if len(open_ones) == 1 else None


async def orders_of(
    records: Records, noun: Noun, mrid: MRID, core: Structure
) -> tuple[Stored[service_order.Work], ...]:
    """Orders that carry out a request, oldest first."""
    sort = _TYPES[noun][2]
    found: dict[MRID, Stored[service_order.Work]] = {}
    for name in dict.fromkeys(name.name.strip() for name in names_for(noun, mrid, core)):
        for stored in await records.find_by_key(SERVICE_ORDERS.collection, Key(sort, name)):
            found[stored.mrid] = stored
    return tuple(sorted(found.values(), key=lambda one: (one.created_at, one.mrid)))


async def progressed(context: ServingContext, parent: Parent, remark: str | None = None) -> Event | None:
    """Bring a request up to what its orders are, and tell of it; None if that is what it was.

    `remark` becomes the comment of a service request.
    """
    if parent.noun is Noun.SERVICE_REQUESTS:
        return await _progressed(context, SERVICE_REQUESTS, parent.mrid, remark)
    return await _progressed(context, WORK_REQUESTS, parent.mrid, remark)


async def _progressed(context: ServingContext, kind: Kind[BodyT], mrid: MRID, remark: str | None) -> Event | None:
    stored = await context.records.find(kind.collection, mrid)
    if stored is None or is_ended_state(kind.noun, stored.state):
        return None
    core = kind.core(stored.body)
    orders = await orders_of(context.records, kind.noun, mrid, core)
    states = [state for state in (status_of(one.body) for one in orders) if state is not None]
    old = status_of(core)
    # Orders that were deleted are as good as cancelled: the wish is still there.
    status = progress_of(old, states or [WorkStatusKind.cancelled])
    body = kind.put(stored.body, status_kind=status)
    if remark is not None:
        body = kind.put(body, comment=remark)
    body = _with_appointment(kind, body, orders)
    if status is WorkStatusKind.completed and old is not WorkStatusKind.completed:
        body = _with_readings(kind, body, orders)
    if body == stored.body:
        return None
    body = kind.put(body, last_modified_date_time=context.now)
    now = await file_object(kind, body, context, state=status or stored.state, before=stored)
    await context.records.save(kind.collection, now)
    shown = difference(stored.body, body)
    return kind.event(Verb.CHANGED, (kind.told(shown, body),)) if shown is not None else None


def _with_appointment(kind: Kind[BodyT], body: BodyT, orders: tuple[Stored[service_order.Work], ...]) -> BodyT:
    """The request with the appointment that the first of its orders has which is still to be done."""
    for order in orders:
        status, visits = status_of(order.body), order.body.appointments
        if not visits or status not in UNDER_WAY | {WorkStatusKind.scheduled}:
            continue
        held = appointments_of(kind.core(body))
        if held and held[-1] == visits[-1]:
            return body
        return kind.put(body, appointments=(*(one for one in held if one != visits[-1]), visits[-1]))
    return body


def _with_readings(kind: Kind[BodyT], body: BodyT, orders: tuple[Stored[service_order.Work], ...]) -> BodyT:
    """The request with the meters and readings that its orders brought, as found and as left."""
    core = kind.core(body)
    if not isinstance(core, service_request.Work):
        return body
    tasks = tuple(
        service_request.WorkTask(
            mrid=task.mrid,
            names=task.names,
            status_kind=WorkStatusKind.completed,
            assets=tuple(recast(asset, service_request.Asset) for asset in task.assets),
            old_asset=recast(task.old_asset, service_request.Asset) if task.old_asset is not None else None,
        )
        for order in orders
        for task in order.body.work_tasks
        if task.assets or task.old_asset is not None
    )
    merged = merge(core, service_request.Work(work_tasks=tasks))
    return kind.with_core(body, cast("Structure", merged))
