"""What happened to an order or a request, as the events told it that are still in the log."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from cimcare.codec.envelope import parse_message
from cimcare.errors import InputError
from cimcare.exchange.log import LogEntry, is_event
from cimcare.exchange.store import Reader
from cimcare.model import service_order
from cimcare.model.envelope import EventMessage
from cimcare.model.identity import MRID
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure
from cimcare.systems.identity import mrid_of
from cimcare.systems.wms.office import status_of
from cimcare.systems.wms.order_tasks import reason_in

__all__ = ["Step", "history_of"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event: when, what it told, and its message."""

    at: datetime
    what: str
    sequence: int


async def history_of(reader: Reader, noun: Noun, mrid: MRID, entries: Iterable[LogEntry]) -> tuple[Step, ...]:
    """The events among these messages, newest first, that tell of the work; oldest first."""
    steps: list[Step] = []
    for entry in entries:
        if entry.noun != noun or not is_event(entry):
            continue
        raw = await reader.log.find_raw(entry.sequence) or b""
        told = [_said(entry.verb, work) for work in _told_in(raw, noun) if mrid_of(work) == mrid]
        steps += [Step(at=entry.received_at, what=one, sequence=entry.sequence) for one in told]
    return tuple(reversed(steps))


def _told_in(raw: bytes, noun: Noun) -> Iterator[Structure]:
    try:
        message = parse_message(raw)
    except InputError:  # only its beginning was kept
        return
    payload = message.payload if isinstance(message, EventMessage) else None
    for root in payload.content if payload is not None else ():
        yield from getattr(root, NOUNS[noun].item, ())


def _said(verb: str, work: Structure) -> str:
    status = status_of(work)
    told = status.value if status is not None and verb != "created" else verb
    crews = [
        crew.names[0].name
        for task in getattr(work, "work_tasks", ())
        for crew in getattr(task, "crews", ())
        if crew.names
    ]
    reason = reason_in(work) if isinstance(work, service_order.Work) else ""
    more = ", ".join(part for part in (*dict.fromkeys(crews), reason) if part)
    return f"{told} ({more})" if more else told
