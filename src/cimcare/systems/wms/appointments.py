"""Appointments: windows of working days, which crew has room in each, and which window is offered.

Every working day, Monday to Friday, has a window in the morning and one in the afternoon (UTC). How many visits a
window takes is not a number: each visit is put down for a crew that has the skills and the time, and a window is full
for a visit when no such crew is left. The crew that is put down is the one that is planned; another one may be sent.

The last appointment of a work is the one that holds; earlier ones stay in the list, because a change removes nothing.
Outside the windows, and as long as no crews are known, no limit is known: what is asked for is taken, and nothing is
offered.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.values import DateTimeInterval
from cimcare.model.work import Appointment
from cimcare.systems.objects import as_utc
from cimcare.systems.wms.crews import CrewRecord, duty_within, has_skills, load_crews, name_of_crew

__all__ = [
    "WINDOWS",
    "Calendar",
    "Demand",
    "Visit",
    "Window",
    "WindowLoad",
    "appointment_of",
    "does_fit",
    "interval_of",
    "windows_in",
]

_WINDOWS = ((time(8), time(12)), (time(13), time(17)))
_HORIZON_DAYS = 60
_LONGEST_VISIT_DAYS = 7

Window = tuple[datetime, datetime]
"""Start and end of a window or a visit, in UTC."""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """Time of a crew that a work needs: `part` tells the visits of one work apart."""

    work: MRID
    part: str
    skills: frozenset[str]
    minutes: int


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit for which a crew is put down: some time between `start` and `end`."""

    work: MRID
    part: str
    crew: MRID
    minutes: int
    start: datetime
    end: datetime


class WindowLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What is put down in one window."""

    start: datetime
    end: datetime
    visits: tuple[Visit, ...] = ()


WINDOWS: Collection[WindowLoad] = Collection("wms.Windows", WindowLoad)
"""Windows with at least one visit."""


def interval_of(appointment: Appointment) -> Window | None:
    """Start and end of an appointment in UTC; None if it does not give both in order."""
    interval = appointment.meeting_interval
    start, end = (as_utc(interval.start), as_utc(interval.end)) if interval is not None else (None, None)
    return (start, end) if start is not None and end is not None and start < end else None


def appointment_of(window: Window) -> Appointment:
    """The window as appointment."""
    return Appointment(meeting_interval=DateTimeInterval(start=window[0], end=window[1]))


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


def does_fit(visits: Sequence[Visit], duty: Window) -> bool:
    """Whether one crew can make all visits, each within its own time and all within its time on duty.

    So it is exactly if for no two instants the visits that must lie between them take longer than the time between;
    it is enough to look at instants at which a visit may begin or must have ended.
    """
    spans = [(max(one.start, duty[0]), min(one.end, duty[1]), timedelta(minutes=one.minutes)) for one in visits]
    for start in {span[0] for span in spans}:
        for end in {span[1] for span in spans}:
            need = sum((took for begins, ends, took in spans if begins >= start and ends <= end), timedelta())
            if need > max(end - start, timedelta()):
                return False
    return True


class Calendar:
    """The windows, while one message is served.

    Args:
        records: Where windows and crews are kept.
        now: The instant of it all.
    """

    def __init__(self, records: Records, now: datetime) -> None:
        self._records = records
        self._now = now
        self._crews: tuple[CrewRecord, ...] | None = None

    async def crews(self) -> tuple[CrewRecord, ...]:
        """All crews, by name, as they were when first asked for; skills and shifts do not change meanwhile."""
        if self._crews is None:
            self._crews = await load_crews(self._records)
        return self._crews

    async def find(
        self, demands: Sequence[Demand], *, earliest: datetime | None = None, latest: datetime | None = None
    ) -> Window | None:
        """The first window with room for all of it that starts after now, not before `earliest`, not after `latest`.

        A window in which `earliest` lies counts, as long as it has not started by now. None if 60 days hold none.
        """
        crews = await self.crews()
        start = max(self._now, earliest) if earliest is not None else self._now
        windows = [
            (opens, closes)
            for opens, closes in _windows_of_days(start, _HORIZON_DAYS)
            if opens > self._now and closes > start and (latest is None or opens < latest)
        ]
        if not windows or not crews:
            return None
        wanted = Selection(since=windows[0][0], until=windows[-1][0])
        loads = {stored.body.start: stored.body.visits for stored in await self._records.select(WINDOWS, wanted)}
        for window in windows:
            if _planned(loads.get(window[0], ()), window, window, demands, crews) is not None:
                return window
        return None

    async def book(
        self, period: Window, demands: Sequence[Demand], *, among: Iterable[CrewRecord] | None = None
    ) -> bool:
        """Put the visits down in the first window of the period that has room for all of them; False if none has.

        What was put down for them before has to be released first. `among` are the crews that may be put down.
        """
        windows = windows_in(*period)
        crews = await self.crews()
        if not windows or not crews or not demands:
            return True
        for window in windows:
            visits = await self._visits(window)
            planned = _planned(visits, window, period, demands, crews if among is None else tuple(among))
            if planned is not None:
                await self._write(window, (*visits, *planned))
                return True
        return False

    async def has_room(self, period: Window, demands: Sequence[Demand]) -> bool:
        """Whether the visits could be put down, those that are put down for them already left out."""
        windows = windows_in(*period)
        crews = await self.crews()
        if not windows or not crews or not demands:
            return True
        for window in windows:
            others = _without(await self._visits(window), demands)
            if _planned(others, window, period, demands, crews) is not None:
                return True
        return False

    async def release(self, period: Window, demands: Sequence[Demand]) -> None:
        """Give the room back."""
        for window in windows_in(*period):
            visits = await self._visits(window)
            left = _without(visits, demands)
            if left != visits:
                await self._write(window, left)

    async def planned_crew(self, period: Window, demand: Demand) -> MRID | None:
        """The crew that is put down for a visit; None if none is."""
        for window in windows_in(*period):
            for visit in await self._visits(window):
                if (visit.work, visit.part) == (demand.work, demand.part):
                    return visit.crew
        return None

    async def _visits(self, window: Window) -> tuple[Visit, ...]:
        stored = await self._records.find(WINDOWS, _mrid_of(window))
        return stored.body.visits if stored is not None else ()

    async def _write(self, window: Window, visits: tuple[Visit, ...]) -> None:
        mrid = _mrid_of(window)
        if not visits:
            await self._records.drop(WINDOWS, mrid)
            return
        body = WindowLoad(start=window[0], end=window[1], visits=visits)
        await self._records.save(
            WINDOWS, Stored(mrid=mrid, body=body, created_at=window[0], modified_at=self._now, state="taken")
        )


def _without(visits: tuple[Visit, ...], demands: Sequence[Demand]) -> tuple[Visit, ...]:
    gone = {(one.work, one.part) for one in demands}
    return tuple(one for one in visits if (one.work, one.part) not in gone)


def _planned(
    visits: tuple[Visit, ...],
    window: Window,
    period: Window,
    demands: Sequence[Demand],
    crews: Sequence[CrewRecord],
) -> tuple[Visit, ...] | None:
    """A crew for each demand, in the part of the window that lies in the period; None if there is not one for each.

    The crew with the fewest skills that will do goes first, so that the others stay free for what only they can do.
    """
    start, end = max(window[0], period[0]), min(window[1], period[1])
    planned: list[Visit] = []
    for demand in demands:
        able = (crew for crew in crews if has_skills(crew, demand.skills))
        for crew in sorted(able, key=lambda one: (len(one.skills), name_of_crew(one))):
            duty = duty_within(crew, *window)
            if duty is None:
                continue
            visit = Visit(
                work=demand.work, part=demand.part, crew=crew.mrid, minutes=demand.minutes, start=start, end=end
            )
            own = [one for one in (*visits, *planned) if one.crew == crew.mrid]
            if does_fit([*own, visit], duty):
                planned.append(visit)
                break
        else:
            return None
    return tuple(planned)


def _mrid_of(window: Window) -> MRID:
    return MRID(f"{window[0]:%Y-%m-%dT%H:%MZ}")
