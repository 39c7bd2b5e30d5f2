"""Crews at incidents: what the work management tells of service orders that are for an incident.

An order names its incident: Names of type `Incident` with the mRID. Which order is for which incident is kept from the
event that says it, since later ones may hold no more than the state. The incident shows each order among its Works with
its state; what an event tells that came late, a step back, changes nothing. An order that is done ends no incident:
that supply is back is for somebody else to say.

Once a crew is sent, the damage is being assessed, unless more has been said already. Where the schedule of the order
(kind estimate) says when it will be done, that is the estimate of the crew, judged like any other.

Source: IEC 61968-8:2015, clauses 5.3 and 5.5; the link is ours.
"""

from datetime import datetime

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Collection, EventHandler, Served, ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.envelope import EventMessage, Result
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import Incident, IncidentWork
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import UNDER_WAY, is_ended, work_transition
from cimcare.systems.identity import Label, is_same, label_of_id, labels_of, mrid_of
from cimcare.systems.objects import Said, as_utc, find_by_names, kind_of, said_or_named_in
from cimcare.systems.oms.estimates import Estimate, EstimateSource, Stage
from cimcare.systems.oms.estimating import estimate_shown, judge_estimate, keep_estimate, with_estimate
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import INCIDENTS, OPEN

__all__ = ["LISTENS", "WORKS", "WorkLink"]

_INCIDENT = "Incident"
_REFERENCES = {_INCIDENT: "incident"}
_ORDERS = kind_of(Noun.SERVICE_ORDERS, Role.OMS, service_order.Work, references=_REFERENCES)
"""How orders stand in messages. They are not kept here."""


class WorkLink(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is for incidents, as it was told last."""

    mrid: MRID
    names: tuple[Name, ...] = ()
    incidents: tuple[MRID, ...] = ()
    status: WorkStatusKind | None = None
    crew: str = ""
    ready_at: datetime | None = None


WORKS: Collection[WorkLink] = Collection("oms.Works", WorkLink)
"""Orders for incidents, by the mRID of the order."""


async def hear_service_orders(message: EventMessage, context: ServingContext) -> Served:
    """Take what is told of orders into the incidents that they are for."""
    book = IncidentBook(context)
    ids = []
    for said in () if context.removes else said_or_named_in(message, _ORDERS):
        link = await _link_of(said, message.header.verb, context)
        if link is None:
            continue
        for mrid in link.incidents:
            incident = await book.find_open(mrid)
            if incident is None:
                continue
            body = await _estimated(incident, _with_work(incident.body, link), link, context)
            if body != incident.body:
                await book.save(incident, body)
                ids.append(INCIDENTS.id_of(mrid))
    return Served(result=Result.OK, ids=tuple(ids), events=await book.events())


async def _link_of(said: Said[service_order.Work], verb: Verb, context: ServingContext) -> WorkLink | None:
    """What is known of an order with what the event tells; None if it is for no incident, or tells nothing new."""
    order = said.body
    mrid = mrid_of(order) if order is not None else _mrid_in(said)
    if mrid is None:
        return None
    stored = await context.records.find(WORKS, mrid)
    link = stored.body if stored is not None else WorkLink(mrid=mrid)
    named = labels_of(order) if order is not None else ()
    found = [await _incident(label.name, context) for label in named if label.type == _INCIDENT]
    incidents = dict.fromkeys((*link.incidents, *(one for one in found if one is not None)))
    if not incidents:
        return None
    status = _status_of(order, verb) or link.status
    if status is not None and work_transition(link.status, status) is not None:
        return None
    names = tuple(one for one in order.names if _is_own(one)) if order is not None else ()
    new = msgspec.structs.replace(
        link,
        incidents=tuple(incidents),
        status=status,
        names=names or link.names,
        crew=_crew_in(order) or link.crew,
        ready_at=_ready_at(order) or link.ready_at,
    )
    if new == link:
        return None
    created_at = stored.created_at if stored is not None else context.now
    await context.records.save(WORKS, Stored(mrid=mrid, body=new, created_at=created_at, modified_at=context.now))
    return new


def _mrid_in(said: Said[service_order.Work]) -> MRID | None:
    return MRID(label_of_id(said.id).name) if said.id is not None else None


async def _incident(name: str, context: ServingContext) -> MRID | None:
    """The open incident with this mRID, failing that with this name."""
    stored = await context.records.find(INCIDENTS.collection, MRID(name))
    found = (stored,) if stored is not None else await find_by_names(context.records, INCIDENTS, (Label("", "", name),))
    is_open = [one.mrid for one in found if one.state == OPEN]
    return is_open[0] if len(is_open) == 1 else None


def _status_of(order: service_order.Work | None, verb: Verb) -> WorkStatusKind | None:
    if verb is Verb.CLOSED:
        return WorkStatusKind.closed
    if verb in (Verb.CANCELED, Verb.DELETED):
        return WorkStatusKind.cancelled
    return order.status_kind if order is not None else None


def _is_own(name: Name) -> bool:
    return name.name_type is None or name.name_type.name not in _FOREIGN


_FOREIGN = frozenset({_INCIDENT, "ServiceRequest", "ServiceRequestNumber", "WorkRequest", "WorkRequestNumber"})
"""Types of names of an order that mean something else."""


def _crew_in(order: service_order.Work | None) -> str:
    for task in order.work_tasks if order is not None else ():
        for crew in task.crews:
            return crew.names[0].name if crew.names else crew.mrid or ""
    return ""


def _ready_at(order: service_order.Work | None) -> datetime | None:
    """When the order will be done, by its own estimate."""
    if order is None:
        return None
    schedules = (*order.time_schedules, *(task.time_schedules for task in order.work_tasks))
    ends = [
        as_utc(one.schedule_interval.end)
        for one in schedules
        if one is not None and one.kind is WorkTimeScheduleKind.estimate and one.schedule_interval is not None
    ]
    return ends[-1] if ends else None


async def _estimated(incident: Stored[Incident], body: Incident, link: WorkLink, context: ServingContext) -> Incident:
    """The incident with what the crew that has the order says of its end, if it says something new."""
    shown = estimate_shown(body)
    if link.status not in UNDER_WAY:
        return body
    who = link.crew or f"crew of order {link.mrid}"
    if link.ready_at is not None:
        stage, at = Stage.CREW, link.ready_at
    elif shown.stage is Stage.NONE:
        stage, at = Stage.ASSESSING, None
    else:
        return body
    new = Estimate(stage=stage, at=at, source=EstimateSource.CREW, who=who, said_at=context.now)
    said: Said[Incident] = Said(path="/EventMessage/Payload/ServiceOrders", body=body)
    decision = await judge_estimate(said, body, new, context)
    if isinstance(decision, Finding) or (new.stage, new.at, new.who) == (shown.stage, shown.at, shown.who):
        return body
    await keep_estimate(context, incident.mrid, shown, new, decision)
    return with_estimate(body, new) if decision.is_told else body


def _with_work(incident: Incident, link: WorkLink) -> Incident:
    """The incident with this order as it is now."""
    work = IncidentWork(mrid=link.mrid, names=link.names, status_kind=link.status)
    others = tuple(one for one in incident.works if not is_same(one, work))
    known = next((one for one in incident.works if is_same(one, work)), None)
    if known == work or (known is not None and known.status_kind is not None and is_ended(known.status_kind)):
        return incident
    return msgspec.structs.replace(incident, works=(*others, work))


LISTENS: dict[tuple[Verb, Noun], EventHandler] = {
    (verb, Noun.SERVICE_ORDERS): hear_service_orders
    for verb in (Verb.CREATED, Verb.CHANGED, Verb.CANCELED, Verb.CLOSED, Verb.DELETED)
}
"""Events of service orders that the outage management takes."""
