"""What came of something that was just said: the answer as it stands in the log, and the sentence that explains it."""

from collections.abc import Mapping

import msgspec

from cimcare.codec.envelope import parse_message
from cimcare.console.incidents.reading import Seen
from cimcare.errors import InputError
from cimcare.exchange.log import LogSelection
from cimcare.hub.rest.inside import Inside
from cimcare.model.envelope import ResponseMessage
from cimcare.systems.oms.estimates import say_estimate

__all__ = ["Said", "find_said"]

_MOST_ANSWERS = 5
_OF_TIMES = frozenset({"estimate", "withdraw"})


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said: its number in the log, how it was answered, what was remarked, and why things are as they are."""

    sequence: int
    message_id: str
    outcome: str
    sentence: str
    remarks: tuple[str, ...]


async def find_said(inside: Inside, given: Mapping[str, str], seen: Seen) -> Said | None:
    """What the parameters `did` and `said` of an address name; None if that is nothing.

    Raises:
        StoreError: The database cannot be read.
    """
    message_id = given.get("said", "")
    if not message_id:
        return None
    found = await inside.reader.log.select(LogSelection(message_id=message_id, limit=1))
    if not found:
        return None
    asked = found[0]
    remarks: tuple[str, ...] = ()
    for answer in await inside.reader.log.select(LogSelection(answer_to=asked.sequence, limit=_MOST_ANSWERS)):
        if answer.archetype == "ResponseMessage":
            remarks += _remarks_in(await inside.reader.log.find_raw(answer.sequence) or b"")
    return Said(
        sequence=asked.sequence,
        message_id=message_id,
        outcome=asked.outcome or "in work",
        sentence=_explain(given.get("did", ""), seen),
        remarks=remarks,
    )


def _remarks_in(raw: bytes) -> tuple[str, ...]:
    """What a reply warns of."""
    try:
        message = parse_message(raw)
    except InputError:
        return ()
    if not isinstance(message, ResponseMessage):
        return ()
    return tuple(one.details or one.reason or one.code for one in message.reply.error if one.code != "0.0")


def _explain(act: str, seen: Seen) -> str:
    """Why the incident is now as it is."""
    if act in _OF_TIMES and seen.history.records:
        last = seen.history.records[-1]
        told = "it was told" if last.is_told else "it was not told"
        return f"{say_estimate(last.estimate)} {told[:1].upper()}{told[1:]}: {last.reason}."
    if act == "crew" and seen.row.crews:
        crew = seen.row.crews[-1]
        return f"{crew.name} is {seen.row.progress}. {seen.sentence}"
    if act == "part":
        return f"{seen.row.restored} of {seen.row.of} customers are known to have supply again."
    return seen.row.why
