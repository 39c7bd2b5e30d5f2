"""Why a request about an incident is refused, or what of it was not taken over: findings in words.

Source: IEC 61968-8:2015, clause 5.3, which knows the events and the get; the requests are our profile.
"""

from datetime import datetime

from cimcare.errors import Finding
from cimcare.exchange.ports import Stored
from cimcare.model.incident import Incident, IncidentOutage, UsagePointIdentity
from cimcare.systems.identity import describe_identity
from cimcare.systems.objects import Said, as_utc, refused, warning_of
from cimcare.systems.oms.kinds import INCIDENTS, ExtentRecord
from cimcare.systems.oms.restored import SKEW, Evidence, start_of
from cimcare.systems.oms.restoring import MOST_LATE

__all__ = [
    "contradicted",
    "goes_on",
    "nobody",
    "not_at",
    "not_covered",
    "not_its_point",
    "not_removed",
    "out_above",
    "point_goes_on",
    "points_without_instant",
    "restored_at_birth",
    "state_is_ours",
    "whole_by_change",
]

_CLAUSE = "IEC 61968-8:2015, 5.3"
_WHO = "status.reason operator, crew, meter or callback, and who says it in status.remark or Header/User"


def not_at(
    said: Said[Incident], incident: Stored[Incident], outage: IncidentOutage | None, at: datetime | None, now: datetime
) -> Finding | None:
    """BUS-134 if an outage cannot have begun then, or been over at that instant."""
    period = outage.actual_period if outage is not None else None
    stated = as_utc(period.start) if period is not None else None
    start = stated or start_of(incident)
    found = ""
    latest = now + SKEW
    if stated is not None and stated > latest:
        found = f"an outage that has begun at {stated.isoformat()}"
    elif at is not None and not start <= at <= latest:
        found = f"restored at {at.isoformat()}, of an outage since {start.isoformat()}"
    if not found:
        return None
    return refused("BUS-134", said, INCIDENTS, found, "an instant since then that is not in the future", _CLAUSE)


def nobody(said: Said[Incident], what: str) -> Finding:
    """BUS-130: nobody is named who knows it."""
    return refused("BUS-130", said, INCIDENTS, f"{what}, and nobody is named who knows it", _WHO, _CLAUSE)


def not_covered(said: Said[Incident], evidence: Evidence, lacking: int) -> Finding:
    """BUS-131: the evidence does not speak for all who are believed out."""
    found = f"{evidence} speaks for single points, and at least {lacking} more customers are believed out"
    accepted = "the word of an operator or a crew, or a change with the points that have supply again"
    return refused("BUS-131", said, INCIDENTS, found, accepted, _CLAUSE)


def out_above(said: Said[Incident], above: Stored[Incident]) -> Finding:
    """BUS-136: an outage above keeps it out."""
    place = above.body.location
    where = describe_identity(place) if place is not None else above.mrid
    found = f"restored below {where}, where an outage goes on (incident {above.mrid})"
    accepted = "a close of that one first, or a change with the points that have supply again"
    return refused("BUS-136", said, INCIDENTS, found, accepted, _CLAUSE)


def contradicted(said: Said[Incident], at: datetime) -> Finding:
    """BUS-134: too many have called since."""
    found = f"more than {MOST_LATE} tickets were reported after {at.isoformat()}"
    return refused("BUS-134", said, INCIDENTS, found, "an instant that so many callers do not contradict", _CLAUSE)


def goes_on(said: Said[Incident], below: ExtentRecord) -> Finding:
    """BUS-135, a warning: an outage below goes on."""
    where = f"{below.kind} {below.device_name}" if below.device is not None else "premises below"
    found = f"the outage at {where} goes on: its own incident is open"
    return warning_of(refused("BUS-135", said, INCIDENTS, found, "a close of that incident too", _CLAUSE))


def point_goes_on(said: Said[Incident], point: UsagePointIdentity, why: str) -> Finding:
    """BUS-135, a warning: a point that was named stays out."""
    found = f"usage point {describe_identity(point)} was not restored: {why}"
    return warning_of(refused("BUS-135", said, INCIDENTS, found, "points that have supply again", _CLAUSE))


def not_its_point(said: Said[Incident], point: UsagePointIdentity) -> Finding:
    """REF-107, a warning: a point of another outage."""
    found = f"usage point {describe_identity(point)} is not of this outage"
    accepted = "points below its device, or of its tickets"
    return warning_of(refused("REF-107", said, INCIDENTS, found, accepted, _CLAUSE))


def whole_by_change(said: Said[Incident]) -> Finding:
    """LIF-102: the end of an outage by a change."""
    found = "a change with the end of the actual period and no points"
    accepted = "the verb close for the whole outage, or Outage/UsagePoints for a part of it"
    return refused("LIF-102", said, INCIDENTS, found, accepted, _CLAUSE)


def points_without_instant(said: Said[Incident]) -> Finding:
    """BUS-134: points, and no instant."""
    found = "usage points without the instant since when they have supply"
    return refused("BUS-134", said, INCIDENTS, found, "Outage/actualPeriod/end beside them", _CLAUSE)


def restored_at_birth(said: Said[Incident]) -> Finding:
    """LIF-102: a new incident that is over."""
    found = "a new incident whose outage is over"
    return refused("LIF-102", said, INCIDENTS, found, "create it, and close it with evidence", _CLAUSE)


def not_removed(said: Said[Incident]) -> Finding:
    """LIF-106: members are not removed."""
    return refused(
        "LIF-106", said, INCIDENTS, "removal of members of an incident", "a change with what holds now", _CLAUSE
    )


def state_is_ours(said: Said[Incident], value: str) -> Finding:
    """LIF-102, a warning: a state that was not taken over."""
    found = f"status value {value} was not taken over"
    accepted = "the verbs cancel and close; the state of an incident is set by the OMS"
    return warning_of(refused("LIF-102", said, INCIDENTS, found, accepted, _CLAUSE))
