"""What people say of an incident, as the requests that say it. Pure.

Commands and pages build the same requests, so that both mean the same. The names of who says it begin with how it is
known: `operator Ana Ruiz`, `crew 7`.

Source: IEC 61968-8:2015, clause 5.3, which knows the events and the get; the requests are our profile.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Payload
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import (
    Incident,
    IncidentLocation,
    IncidentOutage,
    Incidents,
    IncidentWork,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems.etr import Etr, render_remark
from cimcare.systems.oms.devices import names_of_device
from cimcare.systems.oms.opening import SERVICE
from cimcare.systems.oms.restored import EvidenceKind

__all__ = [
    "CREW_STATES",
    "Saying",
    "build_cancellation",
    "build_confirmation",
    "build_dispatch",
    "build_estimate",
    "build_move",
    "build_restoration",
    "build_split",
    "build_withdrawal",
    "name_source",
]

CREW_STATES = (WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite)
"""How far a crew can be said to be."""


class Saying(NamedTuple):
    """A request about one incident: its verb, and what is said."""

    verb: Verb
    incident: Incident

    @property
    def payload(self) -> Payload:
        """As a message holds it."""
        return Payload(content=(Incidents(incident=(self.incident,)),))


def name_source(kind: EvidenceKind, who: str) -> str:
    """Who says something, with how it is known before the name; the name must not be empty."""
    named = " ".join(who.split())
    if not named:
        raise ValueError(f"which {kind} says it")
    return f"{kind} {named.removeprefix(f'{kind} ')}"


def build_estimate(
    incident: MRID,
    *,
    at: datetime,
    kind: EvidenceKind,
    who: str,
    confidence: float | None = None,
    valid_until: datetime | None = None,
) -> Saying:
    """Supply is expected back. An operator estimates an area, a crew its outage.

    Args:
        incident: Of which.
        at: When, aware.
        kind: How it is known.
        who: Who says it.
        confidence: How sure that is, from 0 to 1.
        valid_until: Until when it may be told; until `at` if None.
    """
    said = Etr(source=name_source(kind, who), confidence=confidence, valid_until=valid_until)
    outage = IncidentOutage(estimated_period=DateTimeInterval(end=at))
    status = Status(reason=kind.value, remark=render_remark(said))
    return Saying(Verb.CHANGE, Incident(mrid=incident, outage=outage, status=status))


def build_withdrawal(
    incident: MRID,
    *,
    kind: EvidenceKind,
    who: str,
    confidence: float | None = None,
    valid_until: datetime | None = None,
) -> Saying:
    """The present estimate is taken back."""
    said = Etr(source=name_source(kind, who), confidence=confidence, valid_until=valid_until)
    return Saying(Verb.CHANGE, Incident(mrid=incident, status=Status(reason="withdrawn", remark=render_remark(said))))


def build_dispatch(incident: MRID, *, crew: str, state: WorkStatusKind) -> Saying:
    """A crew is sent to an outage, on its way, or there."""
    work = IncidentWork(status_kind=state, names=(Name(name=crew),))
    return Saying(Verb.CHANGE, Incident(mrid=incident, works=(work,)))


def build_confirmation(incident: MRID, *, device: str, kind: EvidenceKind, who: str) -> Saying:
    """Somebody knows the device that is out, by its name."""
    location = IncidentLocation(names=names_of_device(device))
    status = Status(reason=kind.value, remark=name_source(kind, who))
    return Saying(Verb.CHANGE, Incident(mrid=incident, location=location, status=status))


def build_restoration(
    incident: MRID, *, at: datetime | None, kind: EvidenceKind, who: str, points: Iterable[MRID] = ()
) -> Saying:
    """Supply is back: for the whole outage, or for the points named, which need an instant.

    Operators and crews speak for all below the device but for outages of their own there; a meter or a call-back speaks
    for its own point.
    """
    named = tuple(UsagePointIdentity(mrid=point) for point in points)
    period = DateTimeInterval(end=at) if at is not None else None
    outage = IncidentOutage(actual_period=period, usage_points=named)
    status = Status(reason=kind.value, remark=name_source(kind, who))
    return Saying(Verb.CHANGE if named else Verb.CLOSE, Incident(mrid=incident, outage=outage, status=status))


def build_cancellation(incident: MRID, *, who: str) -> Saying:
    """The outage proved false. Refused as long as somebody in it says otherwise."""
    status = Status(reason="operator", remark=name_source(EvidenceKind.OPERATOR, who))
    return Saying(Verb.CANCEL, Incident(mrid=incident, status=status))


def build_move(incident: MRID, *, tickets: Iterable[MRID], who: str) -> Saying:
    """Tickets belong to this incident, with all others of their premises; no rule moves them any more."""
    status = Status(reason="operator", remark=name_source(EvidenceKind.OPERATOR, who))
    return Saying(Verb.CHANGE, Incident(mrid=incident, trouble_tickets=_identities(tickets), status=status))


def build_split(new: MRID, *, tickets: Iterable[MRID], since: datetime, device: str, who: str) -> Saying:
    """Tickets are an outage of their own, of the device of this name; without one, of their premises alone.

    Args:
        new: mRID of the incident that is to be.
        tickets: Those that belong to it.
        since: When the first of them was reported.
        device: Name of the device; empty for none.
        who: Who says it.
    """
    location = IncidentLocation(names=names_of_device(device)) if device else IncidentLocation(type=SERVICE)
    outage = IncidentOutage(is_planned=False, actual_period=DateTimeInterval(start=since))
    status = Status(reason="operator", remark=name_source(EvidenceKind.OPERATOR, who))
    body = Incident(mrid=new, location=location, outage=outage, trouble_tickets=_identities(tickets), status=status)
    return Saying(Verb.CREATE, body)


def _identities(tickets: Iterable[MRID]) -> tuple[TroubleTicketIdentity, ...]:
    return tuple(TroubleTicketIdentity(mrid=ticket) for ticket in tickets)
