"""Appointments: windows of working days, how many visits each can take, and which one is offered.

Every working day, Monday to Friday, has a window in the morning and one in the afternoon (UTC). The last appointment of
a work is the one that holds; earlier ones stay in the list, because a change removes nothing.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.values import DateTimeInterval
from cimcare.model.work import Appointment
from cimcare.systems.objects import as_utc

__all__ = [
    "CAPACITY",
    "WINDOWS",
    "Window",
    "WindowLoad",
    "appointment_of",
    "book_window",
    "find_window",
    "interval_of",
    "is_free",
    "release_window",
    "windows_in",
]

CAPACITY = 8
"""Visits that one window can take."""

_WINDOWS = ((time(8), time(12)), (time(13), time(17)))
_HORIZON_DAYS = 60
_LONGEST_VISIT_DAYS = 7


class WindowLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one window is taken: by which works."""

    start: datetime
    end: datetime
    works: tuple[MRID, ...] = ()


WINDOWS: Collection[WindowLoad] = Collection("wms.Windows", WindowLoad)
"""Windows with at least one visit; their state is `full` or `free`."""

Window = tuple[datetime, datetime]
"""Start and end of a window or a visit, in UTC."""


def interval_of(appointment: Appointment) -> Window | None:
    """Start and end of an appointment in UTC; None if it does not give both in order."""
    interval = appointment.meeting_interval
    start, end = (as_utc(interval.start), as_utc(interval.end)) if interval is not None else (None, None)
    return (start, end) if start is not None and end is not None and start < end else None


def windows_in(start: datetime, end: datetime) -> tuple[Window, ...]:
    """Windows that overlap the period; none if it is longer than a week, for no visit is."""
    if end - start > timedelta(days=_LONGEST_VISIT_DAYS):
        return ()
    days = (end.date() - start.date()).days
    return tuple(window for window in _windows_of_days(start, days + 1) if window[0] < end and window[1] > start)


def _windows_of_days(start: datetime, days: int) -> Iterator[Window]:
    for offset in range(days):
        try:
            day = (start + timedelta(days=offset)).date()
        except OverflowError:  # the calendar ends
            return
        if day.weekday() < 5:
            for opens, closes in _WINDOWS:
                yield datetime.combine(day, opens, UTC), datetime.combine(day, closes, UTC)


async def find_window(
    records: Records, now: datetime, *, earliest: datetime | None = None, latest: datetime | None = None
) -> Window | None:
    """The first window with room that starts after now, not before `earliest` and not after `latest`.

    A window in which `earliest` lies counts, as long as it has not started by now. None if 60 days hold none.
    """
    start = max(now, earliest) if earliest is not None else now
    windows = [
        (opens, closes)
        for opens, closes in _windows_of_days(start, _HORIZON_DAYS)
        if opens > now and closes > start and (latest is None or opens < latest)
    ]
    if not windows:
        return None
    wanted = Selection(states=("full",), since=windows[0][0], until=windows[-1][0])
    full = {stored.body.start for stored in await records.select(WINDOWS, wanted)}
    return next((window for window in windows if window[0] not in full), None)


async def is_free(records: Records, start: datetime, end: datetime, work: MRID) -> bool:
    """Whether every window that the period overlaps has room for this work. Outside the windows no limit is known."""
    for window in windows_in(start, end):
        stored = await records.find(WINDOWS, _mrid_of(window))
        if stored is not None and work not in stored.body.works and len(stored.body.works) >= CAPACITY:
            return False
    return True


async def book_window(records: Records, start: datetime, end: datetime, work: MRID, now: datetime) -> None:
    """Count the work in every window that the period overlaps."""
    for window in windows_in(start, end):
        await _write(records, window, now, add=work)


async def release_window(records: Records, start: datetime, end: datetime, work: MRID, now: datetime) -> None:
    """Give the room back."""
    for window in windows_in(start, end):
        await _write(records, window, now, remove=work)


async def _write(
    records: Records, window: Window, now: datetime, *, add: MRID | None = None, remove: MRID | None = None
) -> None:
    mrid = _mrid_of(window)
    before = await records.find(WINDOWS, mrid)
    works = before.body.works if before is not None else ()
    left = tuple(work for work in works if work not in (add, remove))
    if add is not None:
        left = (*left, add)
    if not left:
        await records.drop(WINDOWS, mrid)
        return
    await records.save(
        WINDOWS,
        Stored(
            mrid=mrid,
            body=WindowLoad(start=window[0], end=window[1], works=left),
            created_at=window[0],
            modified_at=now,
            state="full" if len(left) >= CAPACITY else "free",
        ),
    )


def _mrid_of(window: Window) -> MRID:
    return MRID(f"{window[0]:%Y-%m-%dT%H:%MZ}")


def appointment_of(window: Window) -> Appointment:
    """The window as appointment."""
    return Appointment(meeting_interval=DateTimeInterval(start=window[0], end=window[1]))
