"""Switch of supplier, and the periods of agreements: what follows on what, and what overlaps. Findings say why not.

A period begins with its start and ends before its end: an agreement that ends at midnight had its last day the day
before, and the next one may begin at that midnight.

Source: IEC 61968-8:2015, clause 5.7 (our reading of its exchange).
"""

from datetime import UTC, datetime

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Records, Selection, Stored
from cimcare.model.customer_agreement import CustomerAgreement, ServiceCategory
from cimcare.model.identity import MRID
from cimcare.model.values import DateTimeInterval, Status
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.due import DueRecord
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.identity import is_same
from cimcare.systems.objects import Said, as_utc, refused, warning_of

__all__ = [
    "CLAUSE",
    "ends_before_start",
    "find_overlap",
    "is_switched",
    "outside",
    "overlaps",
    "period_of",
    "state_is_ours",
    "successor_of",
    "switch_waits",
    "waits_until",
]

CLAUSE = "IEC 61968-8:2015, 5.7"
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_PLACES = ("premises", "service-location", "usage-point")


def period_of(agreement: CustomerAgreement) -> tuple[datetime, datetime]:
    """From when, included, and until when, not included, an agreement is valid; an open side is that of all time."""
    validity = agreement.validity_interval or DateTimeInterval()
    return as_utc(validity.start) or _BEGINNING, as_utc(validity.end) or _END


def is_switched(before: CustomerAgreement, now: CustomerAgreement) -> bool:
    """Whether a change names another supplier."""
    old, new = before.service_supplier, now.service_supplier
    return old is not None and new is not None and old != new and not is_same(old, new)


def successor_of(
    before: CustomerAgreement,
    wanted: CustomerAgreement,
    patch: CustomerAgreement | None,
    *,
    mrid: MRID,
    at: datetime,
    state: AgreementState,
    now: datetime,
) -> CustomerAgreement:
    """The agreement with the other supplier that follows on one.

    Customer, account, places and kind of service are those of the agreement before it, as the change has them; prices
    and programmes are the new supplier's own, and so only what the change names. It has no name: those that there are
    belong to the agreement before it. It ends when that was to end.
    """
    patch = patch or CustomerAgreement()
    reason = patch.status.reason if patch.status is not None else None
    return msgspec.structs.replace(
        wanted,
        mrid=mrid,
        names=(),
        created_date_time=now,
        last_modified_date_time=now,
        revision_number=None,
        shut_off_date_time=None,
        sign_date=patch.sign_date,
        comment=patch.comment,
        auxiliary_agreements=(),
        demand_response_programs=patch.demand_response_programs,
        pricing_structures=patch.pricing_structures,
        doc_status=None,
        status=Status(value=state.value, date_time=now, reason=reason or "switch of supplier"),
        validity_interval=DateTimeInterval(
            start=at, end=before.validity_interval.end if before.validity_interval is not None else None
        ),
    )


async def find_overlap(
    records: Records, stored: Stored[CustomerAgreement], besides: MRID | None = None
) -> Stored[CustomerAgreement] | None:
    """Another agreement than `besides` for the same place and kind of service, valid in part of the same time."""
    places = tuple(sorted(key for key in stored.keys if key.sort in _PLACES))
    if not places:
        return None
    states = (AgreementState.PROPOSED, AgreementState.ACTIVE, AgreementState.ENDED)
    start, end = period_of(stored.body)
    wanted = Selection(keys=(places,), states=states)
    while True:
        page = await records.select(AGREEMENTS.collection, wanted)
        for other in page:
            other_start, other_end = period_of(other.body)
            is_apart = other.mrid in (stored.mrid, besides) or other_end <= start or end <= other_start
            if not is_apart and _is_same_service(stored.body.service_category, other.body.service_category):
                return other
        if len(page) < wanted.limit:
            return None
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)


def _is_same_service(one: ServiceCategory | None, other: ServiceCategory | None) -> bool:
    """Whether two categories are one; a category that is not said may be any."""
    if one is None or other is None:
        return True
    if one.kind is not None and other.kind is not None:
        return one.kind is other.kind
    return one.kind is None and other.kind is None and (one == other or is_same(one, other))


def overlaps(
    said: Said[CustomerAgreement], stored: Stored[CustomerAgreement], other: Stored[CustomerAgreement]
) -> Finding:
    """BUS-108."""
    start, end = period_of(other.body)
    until = "" if end == _END else f" until {end.isoformat()}"
    return refused(
        "BUS-108",
        said,
        AGREEMENTS,
        f"agreement {stored.mrid} overlaps agreement {other.mrid} at the same place,"
        f" which is valid from {start.isoformat()}{until}",
        "a validityInterval outside that of the other agreement; a move-out closes it first",
        CLAUSE,
    )


def ends_before_start(said: Said[CustomerAgreement], start: datetime, end: datetime) -> Finding:
    """BUS-104 about a period."""
    return refused(
        "BUS-104",
        said,
        AGREEMENTS,
        f"validityInterval ends at {end.isoformat()}, before its start at {start.isoformat()}",
        "an end at or after the start",
        CLAUSE,
    )


def outside(said: Said[CustomerAgreement], at: datetime, begins_at: datetime, ends_at: datetime) -> Finding:
    """BUS-104 about a change outside the period of the agreement."""
    until = "" if ends_at == _END else f" and before it ends at {ends_at.isoformat()}"
    return refused(
        "BUS-104",
        said,
        AGREEMENTS,
        f"a change from {at.isoformat()} on, outside the period of the agreement",
        f"an instant at or after its start at {begins_at.isoformat()}{until}",
        CLAUSE,
    )


def switch_waits(said: Said[CustomerAgreement], waiting: DueRecord) -> Finding:
    """BUS-161."""
    return refused(
        "BUS-161",
        said,
        AGREEMENTS,
        f"a switch of supplier waits for {waiting.at.isoformat()}: agreement {waiting.agreement} follows then",
        "a switch of that agreement, or this one once that is cancelled",
        CLAUSE,
    )


def waits_until(said: Said[CustomerAgreement], what: str, at: datetime) -> Finding:
    """BUS-162, for what was accepted and takes place at an instant to come."""
    accepted = "nothing more to be done; listeners are told then"
    return refused("BUS-162", said, AGREEMENTS, f"{what} at {at.isoformat()}", accepted, CLAUSE)


def state_is_ours(said: Said[CustomerAgreement], value: str) -> Finding:
    """LIF-102 as a warning: a state that was not taken over."""
    return warning_of(
        refused(
            "LIF-102",
            said,
            AGREEMENTS,
            f"status value {value} was not taken over",
            "the verbs cancel and close; the state of an agreement is set by its owner",
            CLAUSE,
        )
    )
