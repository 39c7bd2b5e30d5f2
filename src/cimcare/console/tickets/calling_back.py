"""What the page of call-back lists shows: the call that an agent has, and the list behind it. Reads only."""

import msgspec

from cimcare.console.masking import mask_address, mask_contact
from cimcare.exchange.ports import Stored
from cimcare.hub.rest.inside import Inside
from cimcare.model.identity import MRID
from cimcare.systems.cis.callbacks import CallBack, CallBackAnswer, CallBackState, select_open

__all__ = ["ANSWERS", "CallList", "CallRow", "look_at_list"]

ANSWERS = (
    (CallBackAnswer.RESTORED, "Supply is back", "closes the ticket of the place"),
    (CallBackAnswer.STILL_OUT, "Still out", "is believed at once"),
    (CallBackAnswer.NO_ANSWER, "No answer", "is called again later"),
    (CallBackAnswer.DO_NOT_CALL, "Wants no calls", "is called no more"),
)
"""Answers, in words, with what follows."""

_MOST = 100


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """A call in one line, personal data masked. `is_due` says that it may be made now."""

    mrid: MRID
    call: CallBack
    name: str
    contact: str
    address: str
    state: str
    is_due: bool


class CallList(msgspec.Struct, frozen=True, kw_only=True):
    """The call that an agent has, if there is one, and the list that has not ended: at most a hundred, oldest first."""

    mine: Stored[CallBack] | None
    rows: tuple[CallRow, ...]
    groups: tuple[str, ...]
    has_more: bool


async def look_at_list(inside: Inside, agent: str, group: str) -> CallList:
    """The list of a group, or of all."""
    now = inside.clock()
    found = await select_open(inside.reader.records, group, limit=_MOST + 1)
    mine = next((one for one in found if _is_with(one, agent) and (one.body.claimed_until or now) > now), None)
    rows = tuple(
        CallRow(
            mrid=one.mrid,
            call=one.body,
            name=one.body.name,
            contact=mask_contact(one.body.contact),
            address=mask_address(one.body.address),
            state=one.state,
            is_due=one.created_at <= now,
        )
        for one in found[:_MOST]
    )
    groups = tuple(sorted({one.body.group for one in found} | ({group} if group else set())))
    return CallList(mine=mine, rows=rows, groups=groups, has_more=len(found) > _MOST)


def _is_with(stored: Stored[CallBack], agent: str) -> bool:
    return bool(agent) and stored.state == CallBackState.CLAIMED and stored.body.agent == agent
