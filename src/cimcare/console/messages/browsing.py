"""The message browser: a list by filter and page, and one message as tree, XML or JSON, findings beside the lines."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlencode

import msgspec

from cimcare.codec.limits import Limits
from cimcare.codec.outline import OutlineLine, as_json, outline
from cimcare.console.messages.changes import Changes, find_changes
from cimcare.errors import Finding, InputError
from cimcare.exchange.log import Direction, LogEntry, LogSelection, MessageReader, Transport
from cimcare.exchange.outbox import Delivery, DeliverySelection
from cimcare.hub.rest.filters import read_message_filters
from cimcare.hub.rest.inside import Inside
from cimcare.validation import judge

__all__ = [
    "MOST_BESIDE",
    "MOST_LINES",
    "Form",
    "Line",
    "MessagePage",
    "ShownMessage",
    "find_message",
    "list_messages",
]

_PER_PAGE = 50
_MOST_RELATED = 50
_LIMITS = Limits(max_bytes=2**31, max_elements=2**31, max_attributes=2**31, max_unpacked_bytes=2**31)
"""For what is kept already."""

_ANSWERS = frozenset({"ResponseMessage", "FaultMessage"})

MOST_BESIDE = 60
"""Lines of a reply that stand beside what it answers."""

MOST_LINES = 2000
"""Lines of a message that a page shows; the rest is in the file."""


class Form(StrEnum):
    """How a message is shown. `changes` is what it says otherwise than the one before it about the same object."""

    TREE = "tree"
    SOURCE = "source"
    JSON = "json"
    CHANGES = "changes"


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list, newest first. `given` are the filters as they were asked for, `next` the address behind.

    `back` leads from one instant on in the other direction of time. `looked_to` is how far was looked where that was
    not enough to fill the page. Messages up to `unindexed` (0: none) can not be found by what they say yet.
    """

    items: tuple[LogEntry, ...]
    given: Mapping[str, str]
    next: str
    back: str
    is_first: bool
    newest_first: bool
    looked_to: datetime | None
    unindexed: int

    @property
    def is_live(self) -> bool:
        """Whether new messages come into it by themselves: on the first page, which has no end in the past."""
        return self.is_first and self.newest_first and "until" not in self.given


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a message with the findings that belong beside it. `outline` is None in other forms than the tree."""

    number: int | None
    text: str
    outline: OutlineLine | None = None
    findings: tuple[Finding, ...] = ()


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message with all that belongs to it.

    `problem` says why it cannot be shown in the form that was asked for. `loose` are findings without a line of their
    own. `changes` are there in their form alone. `reply` is what was answered, with its tree beside it, where the
    message came in or was sent to a partner. `judged` says as what it was taken, and `checked` what was looked at.
    """

    entry: LogEntry
    form: Form
    lines: tuple[Line, ...]
    is_cut: bool
    problem: str
    loose: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    judged: str
    checked: tuple[str, ...]
    answers: tuple[LogEntry, ...]
    deliveries: tuple[Delivery, ...]
    changes: Changes | None
    reply: LogEntry | None
    reply_lines: tuple[OutlineLine, ...]
    newer: int | None
    older: int | None


async def list_messages(inside: Inside, given: Iterable[tuple[str, str]]) -> MessagePage:
    """A page of messages.

    Args:
        inside: The hub.
        given: Parameters of the address, those of the REST interface; empty ones come from fields left empty.

    Raises:
        FilterError: A parameter is unknown or wrong.
        StoreError: The database cannot be read.
    """
    filled = [(name, value.strip()) for name, value in given if value.strip()]
    wanted = read_message_filters([*filled, *((("order", "newest"),) if "order" not in dict(filled) else ())])
    if "limit" not in dict(filled):
        wanted = msgspec.structs.replace(wanted, limit=_PER_PAGE)
    page = await inside.queries.list_messages(wanted)
    kept = [(name, value) for name, value in filled if name not in ("after", "order")]
    order, other = ("newest", "oldest") if wanted.newest_first else ("oldest", "newest")
    first = page.items[0].sequence if page.items else wanted.after
    unindexed = await inside.reader.log.find_unindexed(1)
    return MessagePage(
        items=page.items,
        given=dict(filled),
        next=_address([*kept, ("order", order), ("after", str(page.after))]) if page.after is not None else "",
        back=_address([*kept, ("order", other), ("after", str(first))]) if wanted.after is not None else "",
        is_first=wanted.after is None,
        newest_first=wanted.newest_first,
        looked_to=page.looked_to,
        unindexed=unindexed[0] if unindexed else 0,
    )


def _address(given: Iterable[tuple[str, str]]) -> str:
    return f"/console/messages?{urlencode(list(given))}"


async def find_message(inside: Inside, sequence: int, form: Form) -> ShownMessage | None:
    """One message; None if there is none of this number.

    Raises:
        StoreError: The database cannot be read.
    """
    log = inside.reader.log
    entry = await log.find(sequence)
    if entry is None:
        return None
    raw = await log.find_raw(sequence) or b""
    is_table = entry.transport is Transport.REST_TABLE
    judged = None if is_table or entry.truncated else judge(raw, inside.catalog, lenient=True, limits=_LIMITS)
    findings = judged.findings if judged is not None else ()
    lines, problem = _lines_of(raw, Form.SOURCE if is_table else form, findings)
    beside = {id(finding) for line in lines for finding in line.findings}
    answers = await log.select(LogSelection(answer_to=sequence, limit=_MOST_RELATED))
    deliveries = await inside.reader.outbox.select(DeliverySelection(message=sequence, limit=_MOST_RELATED))
    reply = await _reply_of(log, entry, answers)
    newer = await log.select(LogSelection(after=sequence, limit=1))
    older = await log.select(LogSelection(after=sequence, limit=1, newest_first=True))
    return ShownMessage(
        entry=entry,
        form=form,
        lines=lines[:MOST_LINES],
        is_cut=len(lines) > MOST_LINES,
        problem=problem,
        loose=tuple(finding for finding in findings if id(finding) not in beside),
        findings=findings,
        judged=f"{judged.kind}{': ' + judged.title if judged.title else ''}" if judged is not None else "",
        checked=judged.checked if judged is not None else (),
        answers=answers,
        deliveries=deliveries,
        changes=await find_changes(log, entry, raw) if form is Form.CHANGES else None,
        reply=reply,
        reply_lines=_tree_beside(await log.find_raw(reply.sequence) or b"") if reply is not None else (),
        newer=newer[0].sequence if newer else None,
        older=older[0].sequence if older else None,
    )


async def _reply_of(log: MessageReader, entry: LogEntry, answers: Iterable[LogEntry]) -> LogEntry | None:
    """What was answered to it: the reply that was sent, or else the first that came."""
    if entry.archetype in _ANSWERS:
        return None
    sent = await log.find_answer(entry.sequence) if entry.direction is Direction.IN else None
    return sent or next((one for one in answers if one.archetype in _ANSWERS), None)


def _tree_beside(raw: bytes) -> tuple[OutlineLine, ...]:
    """A reply as it is shown beside what it answers: what it says, without its header."""
    try:
        lines = outline(raw, _LIMITS)
    except InputError:
        return ()
    start = next((at for at, line in enumerate(lines) if line.name in ("Reply", "Fault")), 0)
    top = lines[start].depth if lines else 0
    shown = lines[start : start + MOST_BESIDE + 1]
    return tuple(msgspec.structs.replace(line, depth=max(line.depth - top, 0)) for line in shown)


def _lines_of(raw: bytes, form: Form, findings: Iterable[Finding]) -> tuple[tuple[Line, ...], str]:
    """The lines of a form, and why there are none of the form that was asked for."""
    try:
        if form is Form.CHANGES:
            return (), ""
        if form is Form.TREE:
            return _tree_of(raw, tuple(findings)), ""
        if form is Form.JSON:
            text = as_json(raw, _LIMITS).decode()
            return tuple(Line(number=number, text=one) for number, one in enumerate(text.splitlines(), 1)), ""
    except InputError as error:
        return _source_of(raw, findings), f"It cannot be shown as {form}: {error.finding.describe()}"
    return _source_of(raw, findings), ""


def _tree_of(raw: bytes, findings: tuple[Finding, ...]) -> tuple[Line, ...]:
    at: dict[str, list[Finding]] = {}
    for finding in findings:
        at.setdefault(finding.path, []).append(finding)
    return tuple(
        Line(number=one.line, text=one.text, outline=one, findings=tuple(at.get(one.path, ())))
        for one in outline(raw, _LIMITS)
    )


def _source_of(raw: bytes, findings: Iterable[Finding]) -> tuple[Line, ...]:
    at: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.line:
            at.setdefault(finding.line, []).append(finding)
    text = raw.decode("utf-8", "replace")
    return tuple(
        Line(number=number, text=one, findings=tuple(at.get(number, ())))
        for number, one in enumerate(text.splitlines(), 1)
    )
