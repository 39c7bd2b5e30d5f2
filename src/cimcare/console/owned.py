"""Where the objects of a noun are kept here: by their owner if it is built in, failing that by who was told of them."""

from collections.abc import Mapping

from cimcare.exchange.ports import Collection, Records, Selection
from cimcare.hub.rest.inside import Inside
from cimcare.model import service_order, service_request
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.nouns import Role
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.work_request import WorkRequests
from cimcare.systems.cis import kinds as cis
from cimcare.systems.cis.callers import CALLERS, Caller
from cimcare.systems.oms import kinds as oms
from cimcare.systems.wms import kinds as wms

__all__ = ["callers_at", "incidents", "service_orders", "service_requests", "tickets", "work_requests"]


def tickets(inside: Inside) -> Collection[TroubleTicket]:
    """Trouble tickets."""
    return (oms.TICKETS if inside.acting.is_built_in(Role.OMS) else cis.TICKETS).collection


def incidents(inside: Inside) -> Collection[Incident]:
    """Incidents."""
    return (oms.INCIDENTS if inside.acting.is_built_in(Role.OMS) else cis.INCIDENTS).collection


def service_orders(inside: Inside) -> Collection[service_order.Work]:
    """Service orders."""
    return (wms.SERVICE_ORDERS if inside.acting.is_built_in(Role.WMS) else cis.SERVICE_ORDERS).collection


def service_requests(inside: Inside) -> Collection[service_request.Work]:
    """Service requests."""
    return (wms.SERVICE_REQUESTS if inside.acting.is_built_in(Role.WMS) else cis.SERVICE_REQUESTS).collection


def work_requests(inside: Inside) -> Collection[WorkRequests]:
    """Work requests."""
    return (wms.WORK_REQUESTS if inside.acting.is_built_in(Role.WMS) else cis.WORK_REQUESTS).collection


async def callers_at(records: Records, premises: list[MRID]) -> Mapping[MRID, Caller]:
    """Who is supplied at these premises, as far as the directory knows them."""
    if not premises:
        return {}
    wanted = tuple(dict.fromkeys(premises))
    found = await records.select(CALLERS, Selection(mrids=wanted, limit=len(wanted)))
    return {one.mrid: one.body for one in found}
