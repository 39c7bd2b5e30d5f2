"""The arithmetic of minutes against a count of them, over any entries whatever, also such as no storm brings about."""

from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.model.identity import MRID
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, OutageSpan
from cimcare.systems.oms.counting import outs_of
from cimcare.systems.oms.interruptions import Interval
from tests.drill.beliefs import Outage, Said, minutes_out
from tests.drill.scenario import instant
from tests.drill.world import MINUTE

START = instant("06:00")
_LAST = 60
_MINUTES = st.integers(0, 30)


class Had(NamedTuple):
    """An outage, the times at which it had the point, and when somebody from there called in it; minutes."""

    start: int
    length: int
    is_planned: bool
    is_of_places: bool
    pieces: list[tuple[int, int]]
    calls: list[int]


OUTAGES = st.builds(
    Had,
    _MINUTES,
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 20)), max_size=2),
    st.lists(_MINUTES, max_size=2),
)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def as_entries(outages: list[Had], back: set[int], lost: set[int], days: int) -> list[EntryRecord]:
    entries = [EntryRecord(point="p", sort=EntrySort.BACK, at=at(minute)) for minute in back]
    entries += [EntryRecord(point="p", sort=EntrySort.LOST, at=at(minute)) for minute in lost]
    for number, one in enumerate(outages):
        end = one.start + one.length
        span = OutageSpan(
            incident=MRID(f"i{number}"),
            started_at=at(one.start),
            ended_at=at(end),
            is_planned=one.is_planned,
            is_of_places=one.is_of_places,
        )
        for offset, length in one.pieces:
            since = min(one.start + offset, end)
            entries.append(
                EntryRecord(
                    point="p",
                    sort=EntrySort.OUTAGE,
                    at=at(since),
                    until=at(min(since + length, end)),
                    outage=span,
                )
            )
        for call in one.calls:
            entries.append(
                EntryRecord(
                    point="p",
                    sort=EntrySort.CALL,
                    at=at(min(call, end)),
                    outage=span,
                    contradicts_since=at(min(call, end) - days),
                )
            )
    return entries


def as_said(outages: list[Had], back: set[int], lost: set[int]) -> Said:
    said = Said({}, set(map(at, back)), set(map(at, lost)), set())
    for number, one in enumerate(outages):
        end = one.start + one.length
        calls = [min(call, end) for call in one.calls]
        pieces = [
            (min(one.start + offset, end), min(min(one.start + offset, end) + length, end))
            for offset, length in one.pieces
        ]
        pieces += [(min(one.start, call), end) for call in calls]
        minutes = {minute for first, last in pieces for minute in range(first, last)}
        firsts = sorted(minute for minute in minutes if minute - 1 not in minutes)
        lasts = sorted(minute + 1 for minute in minutes if minute + 1 not in minutes)
        spans = [(at(first), at(last)) for first, last in zip(firsts, lasts, strict=True)]
        if not spans:
            continue
        said.outages[f"i{number}"] = Outage(at(end), one.is_planned, one.is_of_places, spans)
        said.calls.update((at(call), f"i{number}") for call in calls)
    return said


def minutes_of(intervals: tuple[Interval, ...]) -> set[datetime]:
    found: set[datetime] = set()
    for start, end in intervals:
        minute = start
        while minute < (end or at(_LAST)):
            found.add(minute)
            minute += MINUTE
    return found


@settings(max_examples=settings.default.max_examples * 5)
@given(
    outages=st.lists(OUTAGES, max_size=4),
    back=st.sets(_MINUTES, max_size=4),
    lost=st.sets(_MINUTES, max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_minutes_are_those_that_a_count_finds(
    outages: list[Had], back: set[int], lost: set[int], order: object
) -> None:
    """Whoever disputes a bill for lost minutes can count them by hand, and comes to the same."""
    entries = as_entries(outages, back, lost, 24 * 60)
    order.shuffle(entries)  # type: ignore[attr-defined]
    found = outs_of(entries)
    unplanned, planned = minutes_out(as_said(outages, back, lost), at(_LAST))
    assert (minutes_of(found.unplanned), minutes_of(found.planned)) == (unplanned, planned)
