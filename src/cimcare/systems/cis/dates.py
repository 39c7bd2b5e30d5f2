"""What the clock does to agreements: they begin, end and change at the instant that was agreed, and are told of then.

Runs by itself from time to time, and before any message about agreements is judged.
"""

from itertools import groupby

import msgspec

from cimcare.exchange.ports import Event, Selection, Served, ServingContext, Stored
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.envelope import ObjectID, Result
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.directory import settle_place
from cimcare.systems.cis.due import DUE, DueKind, DueRecord, drop_due, schedule
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.switching import find_overlap
from cimcare.systems.merging import difference, merge
from cimcare.systems.serving import file_object

__all__ = ["keep_dates", "told_of_end"]

_AT_ONCE = 100
"""How much is done in one transaction, which others wait for."""

_Told = tuple[Verb, CustomerAgreement]


async def keep_dates(context: ServingContext) -> Served:
    """Do what is due by now, the oldest first, and no more than a transaction can bear; `ids` names what was done."""
    wanted = Selection(until=context.now, limit=_AT_ONCE)
    found = await context.records.select(DUE, wanted)
    told: list[_Told] = []
    ids: list[ObjectID] = []
    # What ends makes way for what begins at the same instant.
    for stored in sorted(found, key=lambda one: (one.created_at, one.body.kind is not DueKind.END)):
        one = await _do(context, stored)
        ids.append(AGREEMENTS.id_of(stored.body.agreement))
        if one is not None:
            told.append(one)
    return Served(
        result=Result.OK, ids=tuple(dict.fromkeys(ids)), events=tuple(_events(told)), has_more=len(found) == _AT_ONCE
    )


def told_of_end(before: Stored[CustomerAgreement], now: Stored[CustomerAgreement]) -> CustomerAgreement:
    """What the event of an end shows: who it is, what has altered, and the state."""
    return _told(before, now, with_state=True)


def _events(told: list[_Told]) -> list[Event]:
    """One event for those in a row that have the same verb."""
    return [
        AGREEMENTS.event(verb, [body for _, body in several]) for verb, several in groupby(told, key=lambda one: one[0])
    ]


async def _do(context: ServingContext, due: Stored[DueRecord]) -> _Told | None:
    record = due.body
    await context.records.drop(DUE, due.mrid)
    stored = await context.records.find(AGREEMENTS.collection, record.agreement)
    if stored is None:
        return None
    if record.kind is DueKind.BEGIN and stored.state == AgreementState.PROPOSED:
        now = await _moved(context, stored, AgreementState.ACTIVE, record)
        if record.predecessor is not None:  # whom nobody was told of so far
            return Verb.CREATED, now.body
        return Verb.CHANGED, _told(stored, now, with_state=True)
    if record.kind is DueKind.END and stored.state == AgreementState.ACTIVE:
        now = await _moved(context, stored, AgreementState.ENDED, record)
        await drop_due(context.records, stored.mrid)
        return Verb.CLOSED, told_of_end(stored, now)
    if record.kind is DueKind.CHANGE and stored.state == AgreementState.ACTIVE:
        return await _change(context, stored, record)
    return None


async def _moved(
    context: ServingContext, stored: Stored[CustomerAgreement], state: AgreementState, record: DueRecord
) -> Stored[CustomerAgreement]:
    status = msgspec.structs.replace(stored.body.status or Status(), value=state.value, date_time=record.at)
    body = msgspec.structs.replace(stored.body, status=status, last_modified_date_time=context.now)
    now = await file_object(AGREEMENTS, body, context, state=state, before=stored)
    await context.records.save(AGREEMENTS.collection, now)
    await settle_place(context, now, state)
    return now


async def _change(context: ServingContext, stored: Stored[CustomerAgreement], record: DueRecord) -> _Told:
    """Make the change as the agreement is now; where it is no longer possible, the agreement says so in a remark."""
    assert record.change is not None
    merged = merge(stored.body, record.change)
    body = msgspec.structs.replace(merged, last_modified_date_time=context.now)
    now = await file_object(AGREEMENTS, body, context, state=stored.state, before=stored)
    other = await find_overlap(context.records, now)
    if other is None:
        await context.records.save(AGREEMENTS.collection, now)
        await schedule(context.records, now, context.now)
        await settle_place(context, now, AgreementState(now.state))
        return Verb.CHANGED, _told(stored, now, with_state=False)
    remark = f"change of {record.at.isoformat()} not made: overlaps agreement {other.mrid} at the same place"
    status = msgspec.structs.replace(stored.body.status or Status(), remark=remark)
    body = msgspec.structs.replace(stored.body, status=status, last_modified_date_time=context.now)
    kept = msgspec.structs.replace(stored, body=body, modified_at=context.now)
    await context.records.save(AGREEMENTS.collection, kept)
    return Verb.CHANGED, _told(stored, kept, with_state=True)


def _told(before: Stored[CustomerAgreement], now: Stored[CustomerAgreement], *, with_state: bool) -> CustomerAgreement:
    bare = AGREEMENTS.identity_only(AGREEMENTS.put(now.body, mrid=now.mrid))
    altered = difference(before.body, now.body)
    shown = bare if altered is None else merge(bare, altered)
    return AGREEMENTS.told(shown, now.body, with_state=with_state)
