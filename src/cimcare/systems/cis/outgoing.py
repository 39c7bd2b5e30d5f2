"""Notices on their way out: taken from the queue when they are due and still true, and what became of them.

At most once: a notice is marked before it is handed over. If whoever had it dies in between, it is `unknown` whether it
left; it is not sent again by itself, but put on the call-back list.
"""

from collections.abc import Set
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.ports import Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.cis import wording
from cimcare.systems.cis.callbacks import drop_call_back, list_call_back
from cimcare.systems.cis.contacts import Contact, next_allowed, notice_zone
from cimcare.systems.cis.kinds import INCIDENTS
from cimcare.systems.cis.members import OUT, PLANNED, members_at
from cimcare.systems.cis.notices import (
    ETR_TRIGGERS,
    NOTICES,
    QUEUE,
    NoticeRecord,
    NoticeState,
    Queued,
    find_untrue,
    told_last,
)
from cimcare.systems.cis.wording import shown_address
from cimcare.systems.etr import etr_of
from cimcare.systems.premises import PREMISES

__all__ = ["MOST_ATTEMPTS", "claim_notices", "settle_notice"]

MOST_ATTEMPTS = 6
"""Attempts of which nothing left, after which people are to call."""

_FIRST_PAUSE = timedelta(seconds=30)
_BEHIND_ANOTHER = timedelta(seconds=5)
_DIED = "whoever was sending it ended before it could say whether it left"


async def claim_notices(
    records: Records, now: datetime, *, channels: Set[ContactKind], process: str, lease: timedelta, limit: int
) -> tuple[Outgoing, ...]:
    """Mark what is due as being sent, and give it to whoever sends it.

    What is not true any more is withdrawn, what may not go out at this hour waits, what has no channel goes to the
    call-back list.

    Args:
        records: Of a transaction that is committed before anything is handed over.
        now: The instant.
        channels: Kinds of contacts that have a channel.
        process: Who sends.
        lease: How long it may take until it is said what became of it.
        limit: Most notices that are looked at.
    """
    claimed = []
    for queued in await records.select(QUEUE, Selection(until=now, limit=limit)):
        notice = await records.find(NOTICES, queued.mrid)
        if notice is None or notice.state not in (NoticeState.PLANNED, NoticeState.SENDING):
            await records.drop(QUEUE, queued.mrid)
        elif notice.state == NoticeState.SENDING:
            await _finish(records, notice, NoticeState.UNKNOWN, _DIED, now, is_listed=True)
        else:
            outgoing = await _claim(records, notice, now, channels=channels, process=process, lease=lease)
            if outgoing is not None:
                claimed.append(outgoing)
    return tuple(claimed)


async def _claim(
    records: Records,
    notice: Stored[NoticeRecord],
    now: datetime,
    *,
    channels: Set[ContactKind],
    process: str,
    lease: timedelta,
) -> Outgoing | None:
    body = notice.body
    untrue = await find_untrue(records, body, now)
    if untrue:
        await _finish(records, notice, NoticeState.WITHDRAWN, untrue, now)
        return None
    due = next_allowed(body.hours, await notice_zone(records, body.time_zone), now)
    if due is None:
        reason = "the hours in which the customer may be told are over"
        await _finish(records, notice, NoticeState.WITHDRAWN, reason, now)
        return None
    if due <= now and body.trigger in ETR_TRIGGERS:
        if await _is_another_under_way(records, notice):
            due = now + _BEHIND_ANOTHER
        else:
            text = await _text_now(records, body)
            if not text:
                await _finish(records, notice, NoticeState.WITHDRAWN, "the customer knows it already", now)
                return None
            body = msgspec.structs.replace(body, text=text)
    if due > now:
        await records.save(QUEUE, _queued(notice.mrid, due, now))
        return None
    if body.kind not in channels:
        named = msgspec.structs.replace(notice, body=body)
        await _finish(records, named, NoticeState.LISTED, f"no channel for {body.kind}", now, is_listed=True)
        return None
    body = msgspec.structs.replace(body, attempts=body.attempts + 1, process=process, reason="")
    sending = msgspec.structs.replace(notice, body=body, state=NoticeState.SENDING, modified_at=now)
    await records.save(NOTICES, sending)
    await records.save(QUEUE, _queued(notice.mrid, now + lease, now))
    return Outgoing(
        id=notice.mrid,
        kind=body.kind,
        address=body.contact,
        subject=body.subject,
        text=body.text,
        trigger=body.trigger.value,
        incident=body.incident,
    )


async def settle_notice(records: Records, mrid: MRID, handed: HandOver, now: datetime, *, process: str) -> str:
    """Note what became of an attempt; the state of the notice now, empty if it is nobody's business any more.

    Whoever comes late, after its lease was over, may still say that the notice was sent.
    """
    notice = await records.find(NOTICES, mrid)
    if notice is None or notice.body.process != process:
        return ""
    if notice.state == NoticeState.UNKNOWN and handed.result is Handed.SENT:
        await drop_call_back(records, mrid, "it was sent after all", now)
        return await _finish(records, notice, NoticeState.SENT, handed.reason, now)
    if notice.state != NoticeState.SENDING:
        return ""
    if handed.result is Handed.SENT:
        return await _finish(records, notice, NoticeState.SENT, handed.reason, now)
    if handed.result is Handed.REFUSED:
        return await _finish(records, notice, NoticeState.REFUSED, handed.reason, now, is_listed=True)
    if handed.result is Handed.UNKNOWN:
        return await _finish(records, notice, NoticeState.UNKNOWN, handed.reason, now, is_listed=True)
    if notice.body.attempts >= MOST_ATTEMPTS:
        reason = f"{notice.body.attempts} attempts of which nothing left, the last: {handed.reason}"
        return await _finish(records, notice, NoticeState.LISTED, reason, now, is_listed=True)
    body = msgspec.structs.replace(notice.body, reason=handed.reason, process="")
    again = msgspec.structs.replace(notice, body=body, state=NoticeState.PLANNED, modified_at=now)
    await records.save(NOTICES, again)
    await records.save(QUEUE, _queued(mrid, now + _FIRST_PAUSE * 2 ** (notice.body.attempts - 1), now))
    return NoticeState.PLANNED


async def _finish(
    records: Records, notice: Stored[NoticeRecord], state: str, reason: str, now: datetime, *, is_listed: bool = False
) -> str:
    body = msgspec.structs.replace(notice.body, reason=reason, ended_at=now)
    ended = msgspec.structs.replace(notice, body=body, state=state, modified_at=now)
    await records.save(NOTICES, ended)
    await records.drop(QUEUE, notice.mrid)
    if is_listed:
        await list_call_back(records, ended, reason, now)
    return state


async def _is_another_under_way(records: Records, notice: Stored[NoticeRecord]) -> bool:
    """Whether another restoration time is just being told to the same contact; what comes second must come second."""
    for key in notice.keys:
        if key.sort == "told":
            others = await records.find_by_key(NOTICES, key)
            return any(other.state == NoticeState.SENDING and other.mrid != notice.mrid for other in others)
    return False


async def _text_now(records: Records, body: NoticeRecord) -> str:
    """What is to be said of the restoration time now, by what was told before; empty if that was the same."""
    incident = await records.find(INCIDENTS.collection, body.incident)
    here = [one for one in await members_at(records, body.incident, body.place) if one.state in (OUT, PLANNED)]
    if incident is None or not here:
        return body.text
    etr = etr_of(incident.body)
    member = next((one for one in here if one.body.ticket == body.ticket), here[0]).body
    _, last, is_told = await told_last(records, Contact(body.kind, body.contact), member)
    if last == etr.at or (etr.at is None and not is_told):
        return ""
    zone = await notice_zone(records, body.time_zone)
    premises = await records.find(PREMISES, body.premises) if body.premises is not None else None
    place = shown_address(premises.body.address) if premises is not None else ""
    return (wording.say_changed if is_told else wording.say_first)(etr, place, zone)


def _queued(mrid: MRID, due: datetime, now: datetime) -> Stored[Queued]:
    return Stored(mrid=mrid, body=Queued(), created_at=due, modified_at=now)
