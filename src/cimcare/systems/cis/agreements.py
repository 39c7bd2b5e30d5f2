"""Customer agreements: move-in, move-out, switch of supplier, and changes from a date on.

A move-in creates an agreement and a move-out closes it. A change that names another supplier is a switch: the
agreement ends, and a new one with the other supplier begins at the same instant. At one place and for one kind of
service only one agreement is valid at a time. What is to happen at an instant to come waits until then, and is told
then; see `dates`.

Source: IEC 61968-8:2015, clause 5.7 (our reading of its exchange).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Event, Served, ServingContext, Stored
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.envelope import ObjectID, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState, agreement_state, check_transition
from cimcare.systems.cis.dates import keep_dates, told_of_end
from cimcare.systems.cis.directory import settle_place
from cimcare.systems.cis.due import DueKind, DueRecord, drop_due, file_due, find_due, find_successor, schedule
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.links import bury
from cimcare.systems.cis.permitting import check_consent, get_seen, hear_consents, not_for_third_parties, veiled
from cimcare.systems.cis.switching import (
    ends_before_start,
    find_overlap,
    is_switched,
    outside,
    overlaps,
    period_of,
    state_is_ours,
    successor_of,
    switch_waits,
    waits_until,
)
from cimcare.systems.objects import Said, as_utc
from cimcare.systems.selecting import get_objects
from cimcare.systems.serving import Course, Verdict, change_each, create_each, delete_each, end_each, file_object

__all__ = [
    "cancel_customer_agreements",
    "change_customer_agreements",
    "close_customer_agreements",
    "create_customer_agreements",
    "delete_customer_agreements",
    "get_customer_agreements",
]

_Verdict = Verdict[CustomerAgreement]
_Stored = Stored[CustomerAgreement]


async def create_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Take new agreements: a customer moves in, or signs."""
    desk = await _Desk.at_work(context)
    return desk.served(await create_each(message, context, AGREEMENTS, desk.open), Verb.CREATED)


async def change_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Change agreements: other prices, other contact, or another supplier, who gets an agreement of his own."""
    desk = await _Desk.at_work(context)
    return desk.served(await change_each(message, veiled(context), AGREEMENTS, desk.change), Verb.CHANGED)


async def cancel_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Withdraw agreements that were entered by mistake, or a switch that has not taken place yet."""
    desk = await _Desk.at_work(context)
    return desk.served(await end_each(message, veiled(context), AGREEMENTS, desk.cancel), Verb.CANCELED)


async def close_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """End agreements: a customer moves out. At validityInterval.end if that is given, else now."""
    desk = await _Desk.at_work(context)
    return desk.served(await end_each(message, veiled(context), AGREEMENTS, desk.close), Verb.CLOSED)


async def delete_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Remove agreements that have not begun, have ended, or were cancelled."""
    desk = await _Desk.at_work(context)

    def is_free(stored: _Stored) -> bool:
        return _state_at(stored, context.now) != AgreementState.ACTIVE

    if context.third_party:
        return Served(result=Result.FAILED, findings=(not_for_third_parties("/RequestMessage/Header/Verb", "delete"),))
    return desk.served(await delete_each(message, veiled(context), AGREEMENTS, is_free, desk.release), Verb.DELETED)


async def get_customer_agreements(message: RequestMessage, context: ServingContext) -> Served:
    """Answer with agreements."""
    return await get_seen(message, context) if context.third_party else await get_objects(message, context, AGREEMENTS)


class _Desk:
    """Judges the agreements of one message, one by one. Make one with `at_work`."""

    def __init__(self, context: ServingContext, events: Sequence[Event]) -> None:
        self._context = context
        self._before = tuple(events)
        self._after: list[Event] = []
        self._ids: list[ObjectID] = []

    @classmethod
    async def at_work(cls, context: ServingContext) -> "_Desk":
        """A desk that has seen to all that is due, so that nothing is judged by a state which is over."""
        return cls(context, (await keep_dates(context)).events)

    def served(self, course: Course[CustomerAgreement], verb: Verb) -> Served:
        """Outcome of the message, with what was due before it, and with the agreements to which switches led."""
        served = course.served(verb, self._after)
        return msgspec.structs.replace(served, ids=(*served.ids, *self._ids), events=(*self._before, *served.events))

    async def open(self, said: Said[CustomerAgreement], body: CustomerAgreement) -> _Verdict:
        """A new agreement, valid from now on unless it says from when."""
        refusal = await check_consent(self._context, said, body)
        if refusal is not None:
            return Verdict(findings=(refusal,))
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

    async def change(self, said: Said[CustomerAgreement], stored: _Stored, wanted: CustomerAgreement) -> _Verdict:
        """A changed agreement, now or from `status.dateTime` on; a switch where the supplier is another one."""
        state = _state_at(stored, self._context.now)
        refusal = await check_consent(self._context, said, stored.body, wanted) or check_transition(
            AGREEMENTS.noun, state, Verb.CHANGE, path=said.path, object_id=stored.mrid
        )
        if refusal is not None:
            return Verdict(findings=(refusal,))
        if state is AgreementState.ACTIVE and is_switched(stored.body, wanted):
            return await self._switch(said, stored, wanted)
        findings: tuple[Finding, ...] = ()
        if wanted.status is not None and wanted.status.value not in (None, stored.state, state):
            findings = (state_is_ours(said, wanted.status.value),)
        effective_at = as_utc(said.body.status.date_time) if said.body is not None and said.body.status else None
        is_later = effective_at is not None and effective_at > self._context.now and not self._context.removes
        # A date to come is when the change takes place, and not since when the agreement is in its state.
        given = stored.body.status if is_later else wanted.status
        body = msgspec.structs.replace(
            wanted, last_modified_date_time=self._context.now, status=self._status(given, state)
        )
        if is_later and effective_at is not None:
            return await self._put_off(said, stored, body, state, effective_at, findings)
        verdict = await self._settled(said, stored, body, state)
        return msgspec.structs.replace(verdict, findings=(*verdict.findings, *findings))

    async def cancel(self, said: Said[CustomerAgreement], stored: _Stored, wanted: CustomerAgreement) -> _Verdict:
        """The end of an agreement that should not have been. The agreement from which it was a switch goes on."""
        due = await find_due(self._context.records, DueKind.BEGIN, stored.mrid)
        verdict = await self._ended(said, stored, wanted, Verb.CANCEL, AgreementState.CANCELLED)
        if verdict.stored is None or due is None or due.predecessor is None:
            return verdict
        await self._reopen(due.predecessor, due.former_end)
        return msgspec.structs.replace(verdict, is_told=False)

    async def close(self, said: Said[CustomerAgreement], stored: _Stored, wanted: CustomerAgreement) -> _Verdict:
        """The end of an agreement: as told, failing that now; an end agreed before and past by now stays.

        At an end to come the agreement ends then, and until then it holds.
        """
        told = said.body.validity_interval.end if said.body is not None and said.body.validity_interval else None
        validity = wanted.validity_interval or DateTimeInterval()
        agreed = as_utc(validity.end)
        if told is None and (agreed is None or agreed > self._context.now):
            agreed = self._context.now
            validity = msgspec.structs.replace(validity, end=agreed)
        wanted = msgspec.structs.replace(wanted, validity_interval=validity)
        if agreed is None or agreed <= self._context.now:
            return await self._ended(said, stored, wanted, Verb.CLOSE, AgreementState.ENDED)
        verdict = await self._ended(said, stored, wanted, Verb.CLOSE, AgreementState.ACTIVE)
        if verdict.stored is None:
            return verdict
        waits = waits_until(said, f"agreement {stored.mrid} ends", agreed)
        return msgspec.structs.replace(verdict, is_told=False, findings=(*verdict.findings, waits))

    async def release(self, stored: _Stored) -> None:
        """Let go of what a deleted agreement held."""
        due = await find_due(self._context.records, DueKind.BEGIN, stored.mrid)
        if due is not None and due.predecessor is not None:
            await self._reopen(due.predecessor, due.former_end)
        await drop_due(self._context.records, stored.mrid)
        await bury(self._context.records, stored, self._context.now)
        await settle_place(self._context, stored, AgreementState.CANCELLED)

    async def _switch(self, said: Said[CustomerAgreement], stored: _Stored, wanted: CustomerAgreement) -> _Verdict:
        """The agreement ends, and one with the other supplier begins; see `switching`."""
        context, now = self._context, self._context.now
        effective_at = self._effective_at(said.body)
        begins_at, ends_at = period_of(stored.body)
        waiting = await find_successor(context.records, stored.mrid)
        if waiting is not None:
            return Verdict(findings=(switch_waits(said, waiting),))
        if not begins_at <= effective_at < ends_at:
            return Verdict(findings=(outside(said, effective_at, begins_at, ends_at),))
        refusal = await hear_consents(context, said, stored.body, wanted)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        state = agreement_state(effective_at, now)
        body = successor_of(
            stored.body, wanted, said.body, mrid=MRID(context.new_id()), at=effective_at, state=state, now=now
        )
        successor = await file_object(AGREEMENTS, body, context, state=state, filed_at=now)
        other = await find_overlap(context.records, successor, besides=stored.mrid)
        if other is not None:
            return Verdict(findings=(overlaps(said, successor, other),))
        former = stored.body.validity_interval or DateTimeInterval()
        ended = state is AgreementState.ACTIVE
        old_state = AgreementState.ENDED if ended else AgreementState.ACTIVE
        old = await file_object(
            AGREEMENTS,
            msgspec.structs.replace(
                stored.body,
                validity_interval=msgspec.structs.replace(former, end=effective_at),
                last_modified_date_time=now,
                status=self._status(stored.body.status, old_state),
            ),
            context,
            state=old_state,
            before=stored,
        )
        await context.records.save(AGREEMENTS.collection, successor)
        if not ended:
            record = DueRecord(
                agreement=successor.mrid,
                kind=DueKind.BEGIN,
                at=effective_at,
                predecessor=stored.mrid,
                former_end=as_utc(former.end),
            )
            await schedule(context.records, old, now)
            await file_due(context.records, record, now)
            await schedule(context.records, successor, now)
        else:
            await self._arrange(old)
            await self._arrange(successor)
            self._after.append(AGREEMENTS.event(Verb.CLOSED, [told_of_end(stored, old)]))
            self._after.append(AGREEMENTS.event(Verb.CREATED, [successor.body]))
        self._ids.append(AGREEMENTS.id_of(successor.mrid))
        waits = (
            () if ended else (waits_until(said, f"agreement {successor.mrid} follows on {stored.mrid}", effective_at),)
        )
        return Verdict(stored=old, is_told=False, findings=waits)

    async def _put_off(
        self,
        said: Said[CustomerAgreement],
        stored: _Stored,
        body: CustomerAgreement,
        state: AgreementState,
        at: datetime,
        findings: tuple[Finding, ...],
    ) -> _Verdict:
        """A change from an instant to come on: judged now, made then."""
        _, ends_at = period_of(body)
        if at >= ends_at:
            return Verdict(findings=(outside(said, at, period_of(body)[0], ends_at),))
        judged = await self._judged(said, stored, body, state)
        if judged.stored is None or said.body is None:
            return judged
        refusal = await hear_consents(self._context, said, stored.body, body)  # which say themselves from when
        if refusal is not None:
            return Verdict(findings=(refusal,))
        change = AGREEMENTS.put(msgspec.structs.replace(said.body, status=None), mrid=stored.mrid)
        record = DueRecord(agreement=stored.mrid, kind=DueKind.CHANGE, at=at, change=change)
        await file_due(self._context.records, record, self._context.now)
        waits = waits_until(said, f"agreement {stored.mrid} changes", at)
        return Verdict(stored=stored, is_told=False, findings=(*findings, waits))

    async def _reopen(self, mrid: MRID, end: datetime | None) -> None:
        """Let an agreement go on whose successor will not be."""
        stored = await self._context.records.find(AGREEMENTS.collection, mrid)
        if stored is None or stored.state != AgreementState.ACTIVE:
            return
        validity = msgspec.structs.replace(stored.body.validity_interval or DateTimeInterval(), end=end)
        body = msgspec.structs.replace(
            stored.body, validity_interval=validity, last_modified_date_time=self._context.now
        )
        reopened = msgspec.structs.replace(stored, body=body, modified_at=self._context.now)
        await self._context.records.save(AGREEMENTS.collection, reopened)
        await schedule(self._context.records, reopened, self._context.now)

    async def _ended(
        self,
        said: Said[CustomerAgreement],
        stored: _Stored,
        wanted: CustomerAgreement,
        verb: Verb,
        state: AgreementState,
    ) -> _Verdict:
        before = _state_at(stored, self._context.now)
        refusal = await check_consent(self._context, said, stored.body, wanted) or check_transition(
            AGREEMENTS.noun, before, verb, path=said.path, object_id=stored.mrid
        )
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = msgspec.structs.replace(
            wanted, last_modified_date_time=self._context.now, status=self._status(wanted.status, state)
        )
        return await self._settled(said, stored, body, state)

    async def _settled(
        self,
        said: Said[CustomerAgreement],
        before: _Stored | None,
        body: CustomerAgreement,
        state: AgreementState,
    ) -> _Verdict:
        """The agreement to be kept, if its period is in order and free, with all that follows from it."""
        verdict = await self._judged(said, before, body, state)
        if verdict.stored is None:
            return verdict
        await self._arrange(verdict.stored)
        refusal = await hear_consents(self._context, said, before.body if before is not None else None, body)
        return verdict if refusal is None else Verdict(findings=(refusal,))

    async def _judged(
        self,
        said: Said[CustomerAgreement],
        before: _Stored | None,
        body: CustomerAgreement,
        state: AgreementState,
    ) -> _Verdict:
        start, end = period_of(body)
        if end < start:
            return Verdict(findings=(ends_before_start(said, start, end),))
        stored = await file_object(
            AGREEMENTS,
            body,
            self._context,
            state=state,
            filed_at=as_utc(body.created_date_time),
            before=before,
        )
        if state is not AgreementState.CANCELLED:
            other = await find_overlap(self._context.records, stored)
            if other is not None:
                return Verdict(findings=(overlaps(said, stored, other),))
        return Verdict(stored=stored, shown=body)

    async def _arrange(self, stored: _Stored) -> None:
        """What is due for the agreement from now on, and who is at its place."""
        await schedule(self._context.records, stored, self._context.now)
        await settle_place(self._context, stored, AgreementState(stored.state))

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


def _state_at(stored: _Stored, now: datetime) -> AgreementState:
    """State now: a proposed agreement becomes active when its validity begins, without any message."""
    state = AgreementState(stored.state)
    validity = stored.body.validity_interval
    if state is AgreementState.PROPOSED:
        return agreement_state(as_utc(validity.start) if validity is not None else None, now)
    return state
