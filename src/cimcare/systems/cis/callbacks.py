"""Call-back lists: customers whom no channel could tell for certain, and whom people call instead.

Lists have groups, one with those who depend on supply to live, else one for each feeder. An agent claims a call for a
while, calls, and answers: `restored`, `stillOut`, `noAnswer` or `doNotCall`. What is not true any more by then is
not called, and who has said in another way that supply is back is taken off. The answer to the outage management is a
message like any other; who makes it comes back to note it.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.identity import MRID
from cimcare.systems.cis.contacts import PREFERENCES
from cimcare.systems.cis.members import out_at
from cimcare.systems.cis.notices import NOTICES, NoticeRecord, find_untrue
from cimcare.systems.cis.wording import shown_address
from cimcare.systems.premises import CUSTOMERS, PREMISES

__all__ = [
    "CALL_BACKS",
    "CLAIMED_FOR",
    "LIFE_SUPPORT",
    "LINE",
    "MOST_TRIES",
    "UNPLACED",
    "CallBack",
    "CallBackAnswer",
    "CallBackError",
    "CallBackState",
    "claim_call_back",
    "claim_next",
    "drop_call_back",
    "drop_call_backs_at",
    "list_call_back",
    "note_answer",
    "put_in_line",
    "require_claimed",
    "select_open",
]

CLAIMED_FOR = timedelta(minutes=15)
"""How long a call belongs to the agent who claimed it."""

TRY_AGAIN_AFTER = timedelta(minutes=30)
MOST_TRIES = 3
"""Calls without answer after which nobody calls again."""

LIFE_SUPPORT = "life-support"
UNPLACED = "unplaced"
"""Group of those whose feeder is not known."""

_CLAUSE = "call-back lists (our profile)"


class CallBackAnswer(StrEnum):
    """What became of a call."""

    RESTORED = "restored"
    STILL_OUT = "stillOut"
    NO_ANSWER = "noAnswer"
    DO_NOT_CALL = "doNotCall"


class CallBackState:
    """`waiting` for an agent, `claimed` by one, `answered`, or `dropped`: nothing true was left to say."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    ANSWERED = "answered"
    DROPPED = "dropped"


class CallBack(msgspec.Struct, frozen=True, kw_only=True):
    """One call to be made.

    `notice` is what could not be told, `why` the reason, `text` what to say. `tries` counts calls without answer.
    `claimed_until` is the end of the agent's claim. `ticket` is the ticket of the call that led to it.
    """

    group: str
    notice: MRID
    trigger: NotificationTriggerKind
    why: str
    text: str
    incident: MRID
    place: str
    contact_kind: ContactKind
    contact: str
    name: str = ""
    address: str = ""
    premises: MRID | None = None
    customer: MRID | None = None
    ticket: MRID | None = None
    tries: int = 0
    agent: str = ""
    claimed_until: datetime | None = None
    answer: CallBackAnswer | None = None
    remark: str = ""
    ended_at: datetime | None = None


CALL_BACKS: Collection[CallBack] = Collection("cis.CallBacks", CallBack)


class Place(msgspec.Struct, frozen=True):
    """The place of a call in the line of all that have not ended: its mRID, and when it may be made (`created_at`)."""


LINE: Collection[Place] = Collection("cis.CallLine", Place)
"""Without what has ended among it, so that the first of the line are found however many calls there are and were."""

_OPEN = (CallBackState.WAITING, CallBackState.CLAIMED)


class CallBackError(CimcareError):
    """A call-back that cannot be claimed or answered."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code


async def list_call_back(records: Records, notice: Stored[NoticeRecord], why: str, now: datetime) -> None:
    """Put whom a notice could not be brought on the list, by telephone if a number is known."""
    body = notice.body
    premises = await records.find(PREMISES, body.premises) if body.premises is not None else None
    customer = await records.find(CUSTOMERS, body.customer) if body.customer is not None else None
    kind, contact = body.kind, body.contact
    if kind is not ContactKind.PHONE and customer is not None and customer.body.telephone:
        kind, contact = ContactKind.PHONE, customer.body.telephone
    group = premises.body.feeder or UNPLACED if premises is not None else UNPLACED
    if premises is not None and premises.body.is_critical:
        group = LIFE_SUPPORT
    call = CallBack(
        group=group,
        notice=notice.mrid,
        trigger=body.trigger,
        why=why,
        text=body.text,
        incident=body.incident,
        place=body.place,
        contact_kind=kind,
        contact=contact,
        name=customer.body.full_name if customer is not None else "",
        address=shown_address(premises.body.address) if premises is not None else "",
        premises=body.premises,
        customer=body.customer,
        ticket=body.ticket,
    )
    stored = Stored(
        mrid=notice.mrid, body=call, created_at=now, modified_at=now, state=CallBackState.WAITING, keys=_keys_of(call)
    )
    if await records.find(CALL_BACKS, notice.mrid) is None:
        await put_in_line(records, stored)


async def put_in_line(records: Records, call: Stored[CallBack]) -> None:
    """Keep a call that waits, or waits again; it may be made from its `created_at` on."""
    await records.save(CALL_BACKS, call)
    place = Stored(mrid=call.mrid, body=Place(), created_at=call.created_at, modified_at=call.modified_at)
    await records.save(LINE, place)


async def select_open(
    records: Records, group: str, *, until: datetime | None = None, after: MRID | None = None, limit: int
) -> tuple[Stored[CallBack], ...]:
    """Calls of a group, or of all, that have not ended, by when they may be made; with `until` by then."""
    if group:
        wanted = Selection(keys=((Key("group", group),),), until=until, after=after, limit=limit)
        return await records.select(CALL_BACKS, wanted)
    places = await records.select(LINE, Selection(until=until, after=after, limit=limit))
    if not places:
        return ()
    named = Selection(mrids=tuple(one.mrid for one in places), limit=len(places))
    calls = {one.mrid: one for one in await records.select(CALL_BACKS, named)}
    # Outside of a transaction a call may have ended between the two looks.
    return tuple(calls[one.mrid] for one in places if one.mrid in calls and calls[one.mrid].state in _OPEN)


async def drop_call_back(records: Records, notice: MRID, reason: str, now: datetime) -> None:
    """Take a call off the list that nobody has begun."""
    stored = await records.find(CALL_BACKS, notice)
    if stored is not None and stored.state == CallBackState.WAITING:
        await _end(records, stored, CallBackState.DROPPED, now, remark=reason)


async def drop_call_backs_at(records: Records, place: str, reason: str, now: datetime) -> None:
    """Take all calls to a place off the list that nobody has begun."""
    wanted = Selection(keys=((Key("place", place),),), states=(CallBackState.WAITING,))
    for stored in await records.select(CALL_BACKS, wanted):
        await _end(records, stored, CallBackState.DROPPED, now, remark=reason)


async def claim_next(records: Records, group: str, agent: str, now: datetime) -> Stored[CallBack] | None:
    """The oldest call of a group, or of all, for an agent; None if there is none.

    What is not true any more is dropped on the way.
    """
    after: MRID | None = None
    while True:
        page = await select_open(records, group, until=now, after=after, limit=20)
        for stored in page:
            after = stored.mrid
            if not _is_free(stored, now):
                continue
            reason = await _why_not(records, stored, now)
            if reason:
                await _end(records, stored, CallBackState.DROPPED, now, remark=reason)
                continue
            return await _claim(records, stored, agent, now)
        if len(page) < 20:
            return None


async def claim_call_back(records: Records, mrid: MRID, agent: str, now: datetime) -> Stored[CallBack]:
    """One call for an agent.

    Raises:
        CallBackError: REF-103 there is none, BUS-140 somebody else has it or it has ended.
    """
    stored = await _load(records, mrid)
    if stored.state not in _OPEN:
        raise _not_now(stored, f"it is {stored.state}")
    if not _is_free(stored, now) and stored.body.agent != agent:
        raise _not_now(stored, f"{stored.body.agent} has it until {stored.body.claimed_until}")
    reason = await _why_not(records, stored, now)
    if reason:
        raise _not_now(stored, reason)
    return await _claim(records, stored, agent, now)


async def require_claimed(records: Records, mrid: MRID, agent: str) -> Stored[CallBack]:
    """A call that this agent has claimed. Raises CallBackError as `claim_call_back` does."""
    stored = await _load(records, mrid)
    if stored.state != CallBackState.CLAIMED or stored.body.agent != agent:
        whose = f"{stored.body.agent} has it" if stored.state == CallBackState.CLAIMED else f"it is {stored.state}"
        raise _not_now(stored, whose)
    return stored


async def note_answer(
    records: Records, mrid: MRID, agent: str, answer: CallBackAnswer, remark: str, now: datetime
) -> Stored[CallBack]:
    """Note what became of a call. Without answer it waits again, up to `MOST_TRIES`.

    Raises:
        CallBackError: As `require_claimed`.
    """
    stored = await require_claimed(records, mrid, agent)
    tries = stored.body.tries + 1
    if answer is CallBackAnswer.NO_ANSWER and tries < MOST_TRIES:
        body = msgspec.structs.replace(
            stored.body, tries=tries, agent="", claimed_until=None, remark=remark or stored.body.remark
        )
        again = msgspec.structs.replace(
            stored, body=body, state=CallBackState.WAITING, created_at=now + TRY_AGAIN_AFTER, modified_at=now
        )
        await put_in_line(records, again)
        return again
    if answer is CallBackAnswer.DO_NOT_CALL and stored.body.customer is not None:
        await _without_calls(records, stored.body.customer, now)
    return await _end(records, stored, CallBackState.ANSWERED, now, remark=remark, answer=answer, tries=tries)


async def _without_calls(records: Records, customer: MRID, now: datetime) -> None:
    preferences = await records.find(PREFERENCES, customer)
    if preferences is None:
        return
    contacts = tuple(one for one in preferences.body.contacts if one.kind is not ContactKind.PHONE)
    body = msgspec.structs.replace(preferences.body, contacts=contacts)
    await records.save(PREFERENCES, msgspec.structs.replace(preferences, body=body, modified_at=now))


async def _load(records: Records, mrid: MRID) -> Stored[CallBack]:
    stored = await records.find(CALL_BACKS, mrid)
    if stored is None:
        raise CallBackError(finding_of("REF-103", "/callbacks", f"no call-back {mrid[:100]!r}", "one of the list"))
    return stored


def _not_now(stored: Stored[CallBack], why: str) -> CallBackError:
    found = f"call-back {stored.mrid}: {why}"
    return CallBackError(finding_of("BUS-140", "/callbacks", found, "a call that waits, or that is yours", _CLAUSE))


def _is_free(stored: Stored[CallBack], now: datetime) -> bool:
    until = stored.body.claimed_until
    return stored.state == CallBackState.WAITING or until is None or until <= now


async def _why_not(records: Records, stored: Stored[CallBack], now: datetime) -> str:
    notice = await records.find(NOTICES, stored.body.notice)
    if notice is None or stored.state == CallBackState.CLAIMED:
        return ""
    if stored.body.trigger is NotificationTriggerKind.powerRestored and await out_at(records, stored.body.place):
        return "supply at this place is reported to be out again"
    return await find_untrue(records, notice.body, now)


async def _claim(records: Records, stored: Stored[CallBack], agent: str, now: datetime) -> Stored[CallBack]:
    body = msgspec.structs.replace(stored.body, agent=agent, claimed_until=now + CLAIMED_FOR)
    claimed = msgspec.structs.replace(stored, body=body, state=CallBackState.CLAIMED, modified_at=now)
    await records.save(CALL_BACKS, claimed)
    return claimed


async def _end(
    records: Records,
    stored: Stored[CallBack],
    state: str,
    now: datetime,
    *,
    remark: str,
    answer: CallBackAnswer | None = None,
    tries: int | None = None,
) -> Stored[CallBack]:
    body = msgspec.structs.replace(
        stored.body,
        answer=answer,
        remark=remark or stored.body.remark,
        ended_at=now,
        claimed_until=None,
        tries=stored.body.tries if tries is None else tries,
    )
    keys = frozenset(key for key in stored.keys if key.sort != "group")
    ended = msgspec.structs.replace(stored, body=body, state=state, modified_at=now, keys=keys)
    await records.save(CALL_BACKS, ended)
    await records.drop(LINE, ended.mrid)
    return ended


def _keys_of(call: CallBack) -> frozenset[Key]:
    return frozenset({Key("group", call.group), Key("incident", call.incident), Key("place", call.place)})
