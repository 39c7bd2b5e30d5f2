"""What a request states about an incident, and which of it is taken over. Pure.

Source: IEC 61968-8:2015, clause 5.3, which knows the events and the get; the requests are our profile.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Stored
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Header
from cimcare.model.incident import Incident, IncidentOutage, IncidentWork
from cimcare.model.values import DateTimeInterval, Status
from cimcare.systems.etr import parse_remark
from cimcare.systems.identity import describe_identity, labels_of
from cimcare.systems.merging import merge
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.estimates import Estimate, EstimateSource, Stage
from cimcare.systems.oms.estimating import estimate_shown
from cimcare.systems.oms.restored import EvidenceKind, named_in

__all__ = ["assessing_since", "copied", "ends_at", "estimate_of", "owner_of"]

_SENT = frozenset({WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite, WorkStatusKind.inProgress})
"""States of work in which a crew is on it."""

_OURS = ("created_date_time", "last_modified_date_time", "location", "outage", "status", "trouble_tickets", "type")
"""Members of an incident that a request may state and that are not merely copied."""


def estimate_of(body: Incident, header: Header, now: datetime) -> Estimate | str | None:
    """What a request says about the restoration time; a text saying what of it is by nobody; None if nothing."""
    outage = body.outage
    period = outage.estimated_period if outage is not None else None
    at = as_utc(period.end) if period is not None else None
    status = body.status or Status()
    reason = (status.reason or "").strip()
    who = named_in(status, header)
    stage = Stage(reason) if reason in frozenset(Stage) - {Stage.NONE} else None
    if at is None and stage not in (Stage.ASSESSING, Stage.WITHDRAWN):
        return None
    said = parse_remark(status.remark)
    if reason == EvidenceKind.CREW or stage is Stage.CREW or who.startswith("crew "):
        source = EstimateSource.CREW
    elif reason == EvidenceKind.OPERATOR or stage is not None:
        source = EstimateSource.OPERATOR
    elif not reason and owner_of(body):
        source, who = EstimateSource.OPERATOR, who or owner_of(body)
    else:
        return "an estimate"
    if not who:
        return "an estimate"
    if at is not None and stage not in (Stage.AREA, Stage.CREW):
        stage = Stage.CREW if source is EstimateSource.CREW else Stage.AREA
    assert stage is not None  # a time without stage has just got one
    return Estimate(
        stage=stage,
        at=at if stage in (Stage.AREA, Stage.CREW) else None,
        source=source,
        who=who.removeprefix(f"{source} ").strip() or who,
        confidence=said.confidence,
        valid_until=said.valid_until if stage in (Stage.AREA, Stage.CREW) else None,
        said_at=now,
    )


def assessing_since(incident: Stored[Incident], body: Incident, now: datetime) -> Estimate | None:
    """Damage is being assessed from when a crew is sent, unless somebody has said more already."""
    crews = [work for work in body.works if work.status_kind in _SENT]
    if not crews or estimate_shown(incident.body).stage is not Stage.NONE:
        return None
    return Estimate(
        stage=Stage.ASSESSING,
        source=EstimateSource.CREW,
        who=_crew_of(crews[0]),
        said_at=now,
    )


def copied(known: Incident, said: Incident) -> Incident:
    """The known incident with what a request says of members that are nobody's in particular."""
    blank = Incident()
    patch = msgspec.structs.replace(said, **{name: getattr(blank, name) for name in _OURS}, mrid=known.mrid)
    body = merge(known, patch)
    if said.outage is None:
        return body
    outage = body.outage or IncidentOutage()
    start = said.outage.actual_period.start if said.outage.actual_period is not None else None
    about = IncidentOutage(
        mrid=said.outage.mrid,
        names=said.outage.names,
        cause=said.outage.cause,
        is_planned=said.outage.is_planned,
        actual_period=DateTimeInterval(start=start) if start is not None else None,
    )
    return msgspec.structs.replace(body, outage=merge(outage, about))


def ends_at(outage: IncidentOutage) -> datetime | None:
    """When an outage ended, as a message says."""
    return as_utc(outage.actual_period.end) if outage.actual_period is not None else None


def owner_of(body: Incident) -> str:
    """The operator in charge, by name; empty if there is none."""
    return describe_identity(body.owner) if body.owner is not None else ""


def _crew_of(work: IncidentWork) -> str:
    labels = labels_of(work)
    return labels[0].name if labels else describe_identity(work) or "sent"
