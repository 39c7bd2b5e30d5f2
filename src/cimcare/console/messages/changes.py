"""What a message says otherwise than the message before it about the same object.

Compared are the trees of the object in both, as the outline gives them: names, attributes and texts, whatever the
transport, the envelope around it and the spelling of the XML.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum

import msgspec

from cimcare.codec.limits import Limits
from cimcare.codec.outline import OutlineLine, outline
from cimcare.errors import InputError
from cimcare.exchange.facts import fold, subjects_of
from cimcare.exchange.log import Content, LogEntry, LogSelection, MessageReader
from cimcare.exchange.searching import Subject, term_of
from cimcare.hub.intake.reading import read_back
from cimcare.model.envelope import OperationSet

__all__ = ["Change", "ChangeKind", "Changes", "find_changes"]

MOST_COMPARED = 1000
"""Lines of an object that are compared."""

_AROUND = 2
"""Lines that are shown before and behind what changed."""

_LIMITS = Limits(max_bytes=2**31, max_elements=2**31, max_attributes=2**31, max_unpacked_bytes=2**31)


class ChangeKind(StrEnum):
    """What became of a line. `skipped` stands for several that are the same."""

    SAME = "same"
    GONE = "gone"
    NEW = "new"
    SKIPPED = "skipped"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the object. `count` is how many lines are skipped."""

    kind: ChangeKind
    line: OutlineLine | None = None
    count: int = 0


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How an object changed since `before`.

    `name` is how the message names the object, and `objects` how many the message holds; the first of them is shown.
    Without `before` no message of the log that came earlier holds the object, as far as was looked. `problem` says why
    nothing can be compared.
    """

    name: str = ""
    objects: int = 0
    before: LogEntry | None = None
    lines: tuple[Change, ...] = ()
    is_cut: bool = False
    problem: str = ""

    @property
    def changed(self) -> int:
        """How many lines went or came."""
        return sum(one.kind in (ChangeKind.GONE, ChangeKind.NEW) for one in self.lines)


async def find_changes(log: MessageReader, entry: LogEntry, raw: bytes) -> Changes:
    """What a message says of its first object otherwise than the message before it. Raises StoreError."""
    content = _content_of(entry, raw)
    objects = subjects_of(content).objects if content is not None else ()
    if not objects:
        return Changes(problem="This message holds no object that has an mRID or a name.")
    names = objects[0]
    group = frozenset(term_of(Subject.OBJECT, name) for name in names)
    noun = "" if entry.noun == OperationSet.XML_TYPE else entry.noun
    wanted = LogSelection(after=entry.sequence, newest_first=True, limit=1, noun=noun)
    found = await log.search(wanted, (group,))
    if not found.entries:
        return Changes(name=names[0], objects=len(objects))
    before = found.entries[0]
    try:
        old = _object_in(await log.find_raw(before.sequence) or b"", names)
        new = _object_in(raw, names)
    except InputError as error:
        return Changes(name=names[0], objects=len(objects), before=before, problem=error.finding.describe())
    lines = _folded(list(_compared(old[:MOST_COMPARED], new[:MOST_COMPARED])))
    is_cut = max(len(old), len(new)) > MOST_COMPARED
    return Changes(name=names[0], objects=len(objects), before=before, lines=tuple(lines), is_cut=is_cut)


def _content_of(entry: LogEntry, raw: bytes) -> Content | None:
    try:
        return None if entry.truncated else read_back(entry, raw)
    except InputError:
        return None


def _object_in(raw: bytes, names: Sequence[str]) -> Sequence[OutlineLine]:
    """Lines of the object with one of these names, from its own element on; of all that the payload has without it."""
    lines = outline(raw, _LIMITS)
    start = next((at for at, line in enumerate(lines) if line.name == "Payload"), None)
    if start is None:
        return ()
    payload = _below(lines, start)
    wanted = set(map(fold, names))
    hits: list[int] = []
    parents: list[int] = []
    for at, line in enumerate(payload):
        del parents[line.depth - payload[0].depth :]
        if fold(line.text) in wanted:
            if line.name == "mRID":
                hits.append(parents[-1])
            elif line.name == "name" and len(parents) > 1 and payload[parents[-1]].name == "Names":
                hits.append(parents[-2])
        parents.append(at)
    if not hits:
        return _raised(payload[1:])
    return _raised(_below(payload, min(hits, key=lambda at: payload[at].depth)))


def _below(lines: Sequence[OutlineLine], start: int) -> Sequence[OutlineLine]:
    """An element with all that is in it."""
    end = start + 1
    while end < len(lines) and lines[end].depth > lines[start].depth:
        end += 1
    return lines[start:end]


def _raised(lines: Sequence[OutlineLine]) -> Sequence[OutlineLine]:
    """The lines with depths from 0 on."""
    if not lines:
        return ()
    top = lines[0].depth
    return [msgspec.structs.replace(line, depth=line.depth - top) for line in lines]


def _compared(old: Sequence[OutlineLine], new: Sequence[OutlineLine]) -> Iterator[Change]:
    before, after = ([(line.depth, line.name, line.attributes, line.text) for line in lines] for lines in (old, new))
    for what, old_from, old_to, new_from, new_to in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            yield from (Change(kind=ChangeKind.SAME, line=line) for line in new[new_from:new_to])
        else:
            yield from (Change(kind=ChangeKind.GONE, line=line) for line in old[old_from:old_to])
            yield from (Change(kind=ChangeKind.NEW, line=line) for line in new[new_from:new_to])


def _folded(lines: Sequence[Change]) -> Iterator[Change]:
    """The lines without those that are the same and stand far from what changed."""
    near = {
        at + around
        for at, one in enumerate(lines)
        if one.kind is not ChangeKind.SAME
        for around in range(-_AROUND, _AROUND + 1)
    }
    skipped = 0
    for at, one in enumerate(lines):
        if at in near:
            if skipped:
                yield Change(kind=ChangeKind.SKIPPED, count=skipped)
            yield one
            skipped = 0
        else:
            skipped += 1
    if skipped:
        yield Change(kind=ChangeKind.SKIPPED, count=skipped)
