"""Customer agreements: move-in, move-out, switch of supplier.

A move-in creates an agreement, a move-out closes it, a switch of supplier changes it. At one place and for one kind of
service only one agreement is valid at a time.

Source: IEC 61968-8:2015, clause 5.7 (our reading of its exchange).
"""

from datetime import UTC, datetime

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Selection, Served, ServingContext, Stored
from cimcare.model.customer_agreement import CustomerAgreement, ServiceCategory
from cimcare.model.envelope import RequestMessage
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState, agreement_state, check_transition
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.identity import is_same
from cimcare.systems.objects import Said, as_utc, refused, warning_of
from cimcare.systems.selecting import get_objects
from cimcare.systems.serving import Verdict, change_each, create_each, delete_each, end_each, file_object

__all__ = [
    "cancel_customer_agreements",
    "change_customer_agreements",
    "close_customer_agreements",
    "create_customer_agreements",
    "delete_customer_agreements",
    "get_customer_agreements",
]

_CLAUSE = "IEC 61968-8:2015, 5.7"
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_PLACES = ("premises", "service-location", "usage-point")

_Verdict = Verdict[CustomerAgreement]


async def create_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Take new agreements: a customer moves in, or signs."""
    return (await create_each(message, context, AGREEMENTS, _Desk(context).open)).served(Verb.CREATED)


async def change_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Change agreements: other supplier, other prices, other contact."""
    return (await change_each(message, context, AGREEMENTS, _Desk(context).change)).served(Verb.CHANGED)


async def cancel_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Withdraw agreements that were entered by mistake."""
    return (await end_each(message, context, AGREEMENTS, _Desk(context).cancel)).served(Verb.CANCELED)


async def close_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """End agreements: a customer moves out. At validityInterval.end if that is given, else now."""
    return (await end_each(message, context, AGREEMENTS, _Desk(context).close)).served(Verb.CLOSED)


async def delete_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Remove agreements that have not begun, have ended, or were cancelled."""

    def is_free(stored: Stored[CustomerAgreement]) -> bool:
        return _state_at(stored, context.now) != AgreementState.ACTIVE

    return (await delete_each(message, context, AGREEMENTS, is_free)).served(Verb.DELETED)


async def get_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Answer with agreements."""
    return await get_objects(message, context, AGREEMENTS)


class _Desk:
    """Judges the agreements of one message, one by one."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context

    async def open(self, said: Said[CustomerAgreement], body: CustomerAgreement) -> _Verdict:
        """A new agreement, valid from now on unless it says from when."""
        now = self._context.now
        validity = body.validity_interval or DateTimeInterval()
        if validity.start is None:
            validity = msgspec.structs.replace(validity, start=now)
        end = as_utc(validity.end)
        state = agreement_state(as_utc(validity.start), now)
        if end is not None and end <= now:
            state = AgreementState.ENDED
        body = msgspec.structs.replace(
            body,
            created_date_time=body.created_date_time or now,
            last_modified_date_time=now,
            status=self._status(body.status, state),
            validity_interval=validity,
        )
        return await self._settled(said, None, body, state)

    async def change(
        self, said: Said[CustomerAgreement], stored: Stored[CustomerAgreement], wanted: CustomerAgreement
    ) -> _Verdict:
        """A changed agreement. Its state notes from when another supplier serves the customer."""
        state = _state_at(stored, self._context.now)
        refusal = check_transition(AGREEMENTS.noun, state, Verb.CHANGE, path=said.path, object_id=stored.mrid)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        findings: tuple[Finding, ...] = ()
        if wanted.status is not None and wanted.status.value not in (None, stored.state, state):
            findings = (_state_is_ours(said, wanted.status.value),)
        status = self._status(wanted.status, state)
        if _is_switched(stored.body, wanted):
            effective_at = self._effective_at(said.body)
            begins_at = as_utc(stored.body.validity_interval.start) if stored.body.validity_interval else None
            if begins_at is not None and effective_at < begins_at:
                return Verdict(findings=(_too_early(said, effective_at, begins_at),))
            reason = said.body.status.reason if said.body is not None and said.body.status is not None else None
            status = msgspec.structs.replace(status, date_time=effective_at, reason=reason or "switch of supplier")
        body = msgspec.structs.replace(wanted, last_modified_date_time=self._context.now, status=status)
        verdict = await self._settled(said, stored, body, state)
        return msgspec.structs.replace(verdict, findings=(*verdict.findings, *findings))

    async def cancel(
        self, said: Said[CustomerAgreement], stored: Stored[CustomerAgreement], wanted: CustomerAgreement
    ) -> _Verdict:
        """The end of an agreement that should not have been."""
        return await self._ended(said, stored, wanted, Verb.CANCEL, AgreementState.CANCELLED)

    async def close(
        self, said: Said[CustomerAgreement], stored: Stored[CustomerAgreement], wanted: CustomerAgreement
    ) -> _Verdict:
        """The end of an agreement: as told, failing that now; an end agreed before and past by now stays."""
        told = said.body.validity_interval.end if said.body is not None and said.body.validity_interval else None
        validity = wanted.validity_interval or DateTimeInterval()
        agreed = as_utc(validity.end)
        if told is None and (agreed is None or agreed > self._context.now):
            validity = msgspec.structs.replace(validity, end=self._context.now)
        wanted = msgspec.structs.replace(wanted, validity_interval=validity)
        return await self._ended(said, stored, wanted, Verb.CLOSE, AgreementState.ENDED)

    async def _ended(
        self,
        said: Said[CustomerAgreement],
        stored: Stored[CustomerAgreement],
        wanted: CustomerAgreement,
        verb: Verb,
        state: AgreementState,
    ) -> _Verdict:
        before = _state_at(stored, self._context.now)
        refusal = check_transition(AGREEMENTS.noun, before, verb, path=said.path, object_id=stored.mrid)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = msgspec.structs.replace(
            wanted, last_modified_date_time=self._context.now, status=self._status(wanted.status, state)
        )
        return await self._settled(said, stored, body, state)

    async def _settled(
        self,
        said: Said[CustomerAgreement],
        before: Stored[CustomerAgreement] | None,
        body: CustomerAgreement,
        state: AgreementState,
    ) -> _Verdict:
        """The agreement to be kept, if its period is in order and free."""
        start, end = _period_of(body)
        if end < start:
            return Verdict(findings=(_ends_before_start(said, start, end),))
        stored = await file_object(
            AGREEMENTS,
            body,
            self._context,
            state=state,
            filed_at=as_utc(body.created_date_time),
            before=before,
        )
        if state is not AgreementState.CANCELLED:
            other = await self._overlapping(stored)
            if other is not None:
                return Verdict(findings=(_overlaps(said, stored, other),))
        return Verdict(stored=stored, shown=body)

    async def _overlapping(self, stored: Stored[CustomerAgreement]) -> Stored[CustomerAgreement] | None:
        """Another agreement for the same place and kind of service, valid in part of the same time."""
        places = tuple(sorted(key for key in stored.keys if key.sort in _PLACES))
        if not places:
            return None
        states = (AgreementState.PROPOSED, AgreementState.ACTIVE, AgreementState.ENDED)
        start, end = _period_of(stored.body)
        wanted = Selection(keys=(places,), states=states)
        while True:
            page = await self._context.records.select(AGREEMENTS.collection, wanted)
            for other in page:
                other_start, other_end = _period_of(other.body)
                is_apart = other.mrid == stored.mrid or other_end <= start or end <= other_start
                if not is_apart and _is_same_service(stored.body.service_category, other.body.service_category):
                    return other
            if len(page) < wanted.limit:
                return None
            wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)

    def _effective_at(self, patch: CustomerAgreement | None) -> datetime:
        """From when a switch of supplier holds: start of validity in the change, its status, or now."""
        validity = patch.validity_interval if patch is not None else None
        status = patch.status if patch is not None else None
        start = as_utc(validity.start) if validity is not None else None
        stated = as_utc(status.date_time) if status is not None else None
        return start or stated or self._context.now

    def _status(self, given: Status | None, state: AgreementState) -> Status:
        status = given or Status()
        is_new = status.value != state or status.date_time is None
        return msgspec.structs.replace(
            status, value=state.value, date_time=self._context.now if is_new else status.date_time
        )


def _state_at(stored: Stored[CustomerAgreement], now: datetime) -> AgreementState:
    """State now: a proposed agreement becomes active when its validity begins, without any message."""
    state = AgreementState(stored.state)
    validity = stored.body.validity_interval
    if state is AgreementState.PROPOSED:
        return agreement_state(as_utc(validity.start) if validity is not None else None, now)
    return state


def _period_of(agreement: CustomerAgreement) -> tuple[datetime, datetime]:
    validity = agreement.validity_interval or DateTimeInterval()
    return as_utc(validity.start) or _BEGINNING, as_utc(validity.end) or _END


def _is_same_service(one: ServiceCategory | None, other: ServiceCategory | None) -> bool:
    """Whether two categories are one; a category that is not said may be any."""
    if one is None or other is None:
        return True
    if one.kind is not None and other.kind is not None:
        return one.kind is other.kind
    return one.kind is None and other.kind is None and (one == other or is_same(one, other))


def _is_switched(before: CustomerAgreement, now: CustomerAgreement) -> bool:
    old, new = before.service_supplier, now.service_supplier
    return old is not None and new is not None and old != new and not is_same(old, new)


def _overlaps(
    said: Said[CustomerAgreement], stored: Stored[CustomerAgreement], other: Stored[CustomerAgreement]
) -> Finding:
    start, end = _period_of(other.body)
    until = "" if end == _END else f" until {end.isoformat()}"
    return refused(
        "BUS-108",
        said,
        AGREEMENTS,
        f"agreement {stored.mrid} overlaps agreement {other.mrid} at the same place,"
        f" which is valid from {start.isoformat()}{until}",
        "a validityInterval outside that of the other agreement; a move-out closes it first",
        _CLAUSE,
    )


def _ends_before_start(said: Said[CustomerAgreement], start: datetime, end: datetime) -> Finding:
    return refused(
        "BUS-104",
        said,
        AGREEMENTS,
        f"validityInterval ends at {end.isoformat()}, before its start at {start.isoformat()}",
        "an end at or after the start",
        _CLAUSE,
    )


def _too_early(said: Said[CustomerAgreement], effective_at: datetime, begins_at: datetime) -> Finding:
    return refused(
        "BUS-104",
        said,
        AGREEMENTS,
        f"switch of supplier at {effective_at.isoformat()}, before the agreement begins at {begins_at.isoformat()}",
        "a switch at or after the start of the agreement",
        _CLAUSE,
    )


def _state_is_ours(said: Said[CustomerAgreement], value: str) -> Finding:
    return warning_of(
        refused(
            "LIF-102",
            said,
            AGREEMENTS,
            f"status value {value} was not taken over",
            "the verbs cancel and close; the state of an agreement is set by its owner",
            _CLAUSE,
        )
    )
