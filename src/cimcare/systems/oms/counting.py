"""When a point was out, by all that was entered of it. Pure.

Entries are taken in the order of the instants of which they speak, whenever they came. At each instant there are
outages that have the point, and some of these keep it out.

- An outage keeps out what it has, from when it began until it is over.
- Whoever says of the point that it has supply lets it off: no outage that has begun keeps it out any more.
- A loss told from there, by a caller or a meter, puts it out anew by every outage that has it.
- A caller from there, besides, contradicts the word by which the point had last got supply back, if that was not long
  ago and nobody has told of a loss from there since: it was out all the time in between.
- What a meter has lost while no outage has the point, it has lost until somebody says that supply is back.

The end of an outage of a device is a word that supply is back where no other outage keeps the point out.

Source: decision 102; IEEE 1366 for what an interruption is. The rules are ours.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from cimcare.model.identity import MRID
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, OutageSpan
from cimcare.systems.oms.interruptions import Interval, union

__all__ = ["Outs", "outs_of"]


class Outs(NamedTuple):
    """When a point was out by unplanned outages, and when by planned ones; what goes on has no end."""

    unplanned: tuple[Interval, ...]
    planned: tuple[Interval, ...]


class _Step(IntEnum):
    """What happens to a point, in the order in which things of one instant are taken."""

    HAS = 0
    LAST_CALL = 1  # in the outage that ends at this very instant: whoever ended it has heard of it
    BACK = 2
    LET_GO = 3
    OVER = 4
    CALL = 5
    LOST = 6


class _Happening(NamedTuple):
    at: datetime
    step: _Step
    outage: OutageSpan | None = None
    entry: EntryRecord | None = None


def outs_of(entries: Sequence[EntryRecord]) -> Outs:
    """When the point of these entries was out. The order of the entries does not matter."""
    state = _State()
    for one in sorted(_happenings(entries), key=_order):
        state.take(one)
    return Outs(union(state.finish(is_planned=False)), union(state.finish(is_planned=True)))


def _order(one: _Happening) -> tuple[datetime, int, str]:
    return one.at, one.step, one.outage.incident if one.outage is not None else ""


def _happenings(entries: Iterable[EntryRecord]) -> Iterable[_Happening]:
    outages: dict[MRID, OutageSpan] = {}
    spans: dict[MRID, list[Interval]] = {}
    for entry in entries:
        outage = entry.outage
        if entry.sort is EntrySort.BACK:
            yield _Happening(entry.at, _Step.BACK)
        elif entry.sort is EntrySort.LOST:
            yield _Happening(entry.at, _Step.LOST)
        elif outage is not None:
            outages[outage.incident] = outage
            start = min(entry.at, outage.started_at) if entry.sort is EntrySort.CALL else entry.at
            spans.setdefault(outage.incident, []).append(Interval(start, entry.until or outage.ended_at))
            if entry.sort is EntrySort.CALL:
                step = _Step.LAST_CALL if entry.at == outage.ended_at else _Step.CALL
                yield _Happening(entry.at, step, outage, entry)
    for mrid, own in spans.items():
        outage = outages[mrid]
        for span in union(own):
            yield _Happening(span.start, _Step.HAS, outage)
            assert span.end is not None  # an outage is entered when it is over
            yield _Happening(span.end, _Step.OVER if span.end == outage.ended_at else _Step.LET_GO, outage)


class _State:
    """A point at an instant: which outages have it, which keep it out, and when it was out so far."""

    def __init__(self) -> None:
        self._having: dict[MRID, OutageSpan] = {}
        self._keeping: dict[MRID, OutageSpan] = {}
        self._is_lost = False
        self._since: dict[bool, datetime] = {}
        self._out_since: datetime | None = None
        self._back_at: datetime | None = None
        self._found: dict[bool, list[Interval]] = {False: [], True: []}

    def take(self, one: _Happening) -> None:
        """What happens next."""
        is_word = False
        if one.step is _Step.HAS and one.outage is not None:
            self._having[one.outage.incident] = one.outage
            self._keeping[one.outage.incident] = one.outage
        elif one.step is _Step.BACK:
            self._let_off()
            is_word = True
        elif one.step in (_Step.LET_GO, _Step.OVER) and one.outage is not None:
            is_word = one.step is _Step.OVER
            if is_word and one.outage.is_of_places:
                self._let_off()
            self._having.pop(one.outage.incident, None)
            self._keeping.pop(one.outage.incident, None)
            if is_word and not self._keeping:
                self._is_lost = False
        elif one.step is _Step.LOST:
            self._back_at = None
            self._keeping = dict(self._having)
            self._is_lost = self._is_lost or not self._having
        elif one.entry is not None and one.outage is not None:
            self._hear_call(one.at, one.entry, one.outage)
        self._note(one.at, is_word=is_word)

    def _let_off(self) -> None:
        self._keeping = {}
        self._is_lost = False

    def _hear_call(self, at: datetime, call: EntryRecord, outage: OutageSpan) -> None:
        back_at, self._back_at = self._back_at, None
        if back_at is not None and (call.contradicts_since is None or back_at >= call.contradicts_since):
            self._found[outage.is_planned].append(Interval(back_at, at))
            self._out_since = min(back_at, self._out_since or back_at)
        self._keeping = dict(self._having)

    def _note(self, at: datetime, *, is_word: bool) -> None:
        """Where times without supply begin and end."""
        kinds = {outage.is_planned for outage in self._keeping.values()} | ({False} if self._is_lost else set())
        for kind in (False, True):
            if kind in kinds:
                self._since.setdefault(kind, at)
            elif kind in self._since:
                self._found[kind].append(Interval(self._since.pop(kind), at))
        if kinds:
            self._out_since = self._out_since or at
        elif self._out_since is not None:
            if is_word and at > self._out_since:
                self._back_at = at
            self._out_since = None

    def finish(self, *, is_planned: bool) -> list[Interval]:
        """When the point was out; what goes on has no end."""
        since = self._since.get(is_planned)
        return [*self._found[is_planned], *([Interval(since, None)] if since is not None else [])]
