"""What the pages of field work show of one order or request, and what may be done about it. Reads only."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cimcare.console.owned import service_orders, service_requests, work_requests
from cimcare.exchange.ports import Selection, Stored
from cimcare.hub.rest.inside import Inside
from cimcare.model import service_order, service_request, work_request
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.work import MeterReading
from cimcare.rules.lifecycle import UNDER_WAY, is_begun, is_ended
from cimcare.systems.identity import labels_of, mrid_of
from cimcare.systems.objects import as_utc
from cimcare.systems.premises import CUSTOMERS
from cimcare.systems.wms.appointments import interval_of
from cimcare.systems.wms.board import OrderView, view_order
from cimcare.systems.wms.catalog import Evidence, type_of_order, type_of_request
from cimcare.systems.wms.crews import CrewRecord, has_skills, load_crews
from cimcare.systems.wms.jobs import JOBS
from cimcare.systems.wms.links import incident_names, orders_of, parent_of
from cimcare.systems.wms.office import appointments_of, schedules_of, status_of

__all__ = ["Deed", "Meter", "WorkView", "find_work"]

AnyWork = service_order.Work | service_request.Work | work_request.Work


class Deed:
    """What may be done about work; the names are those of the buttons' fields."""

    DISPATCH = "dispatch"
    EN_ROUTE = "enroute"
    ON_SITE = "onSite"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    CLOSE = "close"
    CANCEL = "cancel"


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """A meter of an order: `how` it was met (as found, as left), its name, and its readings with their instants."""

    how: str
    name: str
    readings: tuple[tuple[str, datetime | None], ...]


class WorkView(msgspec.Struct, frozen=True, kw_only=True):
    """An order or a request, with what belongs to it."""

    noun: Noun
    mrid: MRID
    number: str
    state: str
    type: str
    created_at: datetime
    requested_at: datetime | None
    rank: int | None
    place: str
    access: str
    hazards: tuple[str, ...]
    said: str
    reason: str
    crews: tuple[str, ...]
    visits: tuple[tuple[datetime, datetime], ...]
    schedules: tuple[tuple[str, datetime | None, datetime | None], ...]
    customers: tuple[tuple[str, str], ...]
    incidents: tuple[str, ...]
    parent: MRID | None
    orders: tuple[OrderView, ...]
    meters: tuple[Meter, ...]
    deeds: tuple[str, ...]
    able: tuple[CrewRecord, ...] = ()
    evidence: Evidence = Evidence.NONE


async def find_work(inside: Inside, mrid: MRID) -> WorkView | None:
    """The order, service request or work request with this mRID; None if there is none."""
    records = inside.reader.records
    order = await records.find(service_orders(inside), mrid)
    if order is not None:
        return await _view_order(inside, order)
    request = await records.find(service_requests(inside), mrid)
    if request is not None:
        return await _view_request(inside, Noun.SERVICE_REQUESTS, request, request.body)
    wish = await records.find(work_requests(inside), mrid)
    if wish is not None and wish.body.work:
        return await _view_request(inside, Noun.WORK_REQUESTS, wish, wish.body.work[0])
    return None


async def _view_order(inside: Inside, stored: Stored[service_order.Work]) -> WorkView:
    records, body = inside.reader.records, stored.body
    shown = await view_order(records, stored)
    job = await records.find(JOBS, stored.mrid)
    parent = job.body.parent if job is not None else await parent_of(records, body)
    kind, status = type_of_order(body), status_of(body)
    crews = await load_crews(records)
    view = await _view(inside, Noun.SERVICE_ORDERS, stored, body)
    return msgspec.structs.replace(
        view,
        type=shown.type,
        place=shown.place,
        crews=shown.crews,
        access=next((at for one in body.work_tasks if (at := _access_of(one.work_location))), ""),
        hazards=_hazards_in([one.work_location for one in body.work_tasks]),
        said=" ".join(one.instruction for one in body.work_tasks if one.instruction),
        reason=shown.reason or "",
        parent=parent.mrid if parent is not None else None,
        meters=_meters_in(body.work_tasks),
        deeds=_deeds_for(status),
        able=tuple(one for one in crews if has_skills(one, kind.skills)),
        evidence=kind.evidence,
    )


async def _view_request(
    inside: Inside, noun: Noun, stored: Stored[service_request.Work] | Stored[work_request.WorkRequests], body: AnyWork
) -> WorkView:
    records = inside.reader.records
    orders = await orders_of(records, noun, stored.mrid, body)
    view = await _view(inside, noun, stored, body)
    place = getattr(body, "work_location", None)
    status = status_of(body)
    return msgspec.structs.replace(
        view,
        type=type_of_request(body).name or view.type,
        place=_street_of(place),
        access=_access_of(place),
        hazards=_hazards_in([place]),
        said=getattr(body, "comment", None) or getattr(body, "description", None) or "",
        orders=tuple([await view_order(records, one) for one in orders]),
        meters=_meters_in(body.work_tasks) if isinstance(body, service_request.Work) else (),
        deeds=() if status is None or is_ended(status) else _ends_of(status),
    )


async def _view(
    inside: Inside,
    noun: Noun,
    stored: Stored[service_order.Work] | Stored[service_request.Work] | Stored[work_request.WorkRequests],
    body: AnyWork,
) -> WorkView:
    """What all work has."""
    labels = labels_of(body)
    number = next((one.name for one in labels if one.type not in _REFERENCES), "")
    priority = getattr(body, "priority", None)
    kind = getattr(body, "kind", None)
    named = {mrid for one in getattr(body, "incidents", ()) if (mrid := mrid_of(one))}
    return WorkView(
        noun=noun,
        mrid=stored.mrid,
        number=number or f"{stored.mrid[:8]}…",
        state=stored.state,
        type=getattr(body, "type", None) or (kind.value if kind is not None else ""),
        created_at=stored.created_at,
        requested_at=as_utc(getattr(body, "request_date_time", None)),
        rank=priority.rank if priority is not None else None,
        place="",
        access="",
        hazards=(),
        said="",
        reason="",
        crews=(),
        visits=tuple(visit for one in appointments_of(body) if (visit := interval_of(one)) is not None),
        schedules=tuple(
            (
                one.kind.value if one.kind is not None else "",
                as_utc(one.schedule_interval.start) if one.schedule_interval is not None else None,
                as_utc(one.schedule_interval.end) if one.schedule_interval is not None else None,
            )
            for one in schedules_of(body)
        ),
        customers=await _customers_of(inside, getattr(body, "customers", ())),
        incidents=tuple(dict.fromkeys((*incident_names(body), *sorted(named)))),
        parent=None,
        orders=(),
        meters=(),
        deeds=(),
    )


_REFERENCES = frozenset({"ServiceRequest", "ServiceRequestNumber", "WorkRequest", "WorkRequestNumber", "Incident"})


async def _customers_of(inside: Inside, customers: Sequence[Structure]) -> tuple[tuple[str, str], ...]:
    """Customers as they are called, each with what leads to its page."""
    mrids = tuple(mrid for one in customers if (mrid := mrid_of(one)))
    known = {}
    if mrids:
        found = await inside.reader.records.select(CUSTOMERS, Selection(mrids=mrids, limit=len(mrids)))
        known = {one.mrid: one.body.full_name for one in found}
    told = []
    for one in customers:
        mrid, labels = mrid_of(one), labels_of(one)
        link = mrid or (labels[0].name if labels else "")
        name = (known.get(mrid, "") if mrid else "") or (labels[0].name if labels else link)
        if link:
            told.append((name, link))
    return tuple(told)


def _deeds_for(status: WorkStatusKind | None) -> tuple[str, ...]:
    if status is None or is_ended(status):
        return ()
    if status is WorkStatusKind.completed:
        return (Deed.CLOSE,)
    if status not in UNDER_WAY:
        return (Deed.DISPATCH, Deed.CANCEL)
    if is_begun(status):
        return (Deed.COMPLETE, Deed.INCOMPLETE, Deed.CANCEL)
    first = (Deed.EN_ROUTE,) if status is WorkStatusKind.dispatched else ()
    return (*first, Deed.ON_SITE, Deed.COMPLETE, Deed.INCOMPLETE, Deed.CANCEL)


def _ends_of(status: WorkStatusKind) -> tuple[str, ...]:
    return (Deed.CLOSE,) if status is WorkStatusKind.completed else (Deed.CANCEL,)


def _meters_in(tasks: Sequence[service_order.WorkTask | service_request.WorkTask]) -> tuple[Meter, ...]:
    """Meters of the tasks: the one that was there as found, those that are there as left."""
    found: list[Meter] = []
    for task in tasks:
        if task.old_asset is not None:
            found.append(_meter_of("as found", task.old_asset))
        found += [_meter_of("as left", one) for one in task.assets]
    return tuple(found)


def _meter_of(how: str, asset: service_order.Asset | service_request.Asset) -> Meter:
    labels = labels_of(asset)
    name = labels[0].name if labels else asset.serial_number or asset.mrid or "meter"
    return Meter(how=how, name=name, readings=tuple(_values_in(asset.meter_readings)))


def _values_in(readings: Sequence[MeterReading]) -> list[tuple[str, datetime | None]]:
    return [
        (value.value or "", as_utc(value.time_stamp or value.reported_date_time))
        for one in readings
        for value in one.readings
    ]


def _access_of(place: Structure | None) -> str:
    return getattr(place, "access_method", None) or ""


def _hazards_in(places: Sequence[Structure | None]) -> tuple[str, ...]:
    hazards = (one for place in places for one in getattr(place, "hazards", ()))
    return tuple(dict.fromkeys(one.type for one in hazards if one.type))


def _street_of(place: Structure | None) -> str:
    address = getattr(place, "main_address", None)
    street = getattr(address, "street_detail", None)
    if street is not None:
        return " ".join(part for part in (street.number, street.name, street.type) if part)
    labels = labels_of(place) if place is not None else ()
    return labels[0].name if labels else ""
