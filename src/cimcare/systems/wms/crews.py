"""Crews: what each can do, when it works, where it is, and the one order that it has in hand.

Source: CIM class Crew for identity; skills, shifts and the rest are ours.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from math import cos, hypot, radians

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import Structure
from cimcare.samples.northlake import CREWS as NORTHLAKE
from cimcare.samples.northlake import name_of
from cimcare.systems.identity import Label, label_of, labels_of, lookup_keys, mrid_of, stored_keys

__all__ = [
    "CREWS",
    "MOST_CREWS",
    "CrewRecord",
    "Place",
    "Shift",
    "crew_named",
    "distance",
    "duty_within",
    "has_skills",
    "is_on_duty",
    "load_crews",
    "name_of_crew",
    "save_crew",
    "seed_crews",
]

MOST_CREWS = 1000
"""Crews that one work management looks after at most; each look at them reads all."""

Place = tuple[float, float]
"""x and y: degrees of longitude and latitude (WGS 84)."""


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """When a crew works: on these days of the week (0 is Monday), from `start` to `end`, in UTC, within one day."""

    days: tuple[int, ...]
    start: time
    end: time


class CrewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A crew.

    `order` is the service order that it has in hand, from dispatched until it is done there; never more than one.
    `place` is where it was last, its depot at first. `takes_jobs` says that orders may be given to it by the clock, not
    by people alone. `is_on_call`: urgent orders at any hour.
    """

    mrid: MRID
    names: tuple[Name, ...]
    skills: frozenset[str]
    shifts: tuple[Shift, ...]
    members: tuple[str, ...] = ()
    place: Place | None = None
    takes_jobs: bool = True
    is_on_call: bool = False
    order: MRID | None = None


CREWS: Collection[CrewRecord] = Collection("wms.Crews", CrewRecord)
"""All crews; their state is `free` or `busy`."""


def name_of_crew(crew: CrewRecord) -> str:
    """Its first name, failing that its mRID."""
    return crew.names[0].name if crew.names else crew.mrid


async def load_crews(records: Records) -> tuple[CrewRecord, ...]:
    """All crews, by name."""
    found = await records.select(CREWS, Selection(limit=MOST_CREWS))
    return tuple(sorted((stored.body for stored in found), key=name_of_crew))


async def crew_named(records: Records, value: Structure) -> CrewRecord | None:
    """The crew that a value means; None if it is not known or the name means several."""
    mrid = mrid_of(value)
    if mrid is not None:
        stored = await records.find(CREWS, mrid)
        return stored.body if stored is not None else None
    for key in lookup_keys("name", None, labels_of(value)):
        found = await records.find_by_key(CREWS, key)
        if len(found) == 1:
            return found[0].body
    return None


async def save_crew(records: Records, crew: CrewRecord, now: datetime) -> None:
    """Keep a crew as it is now."""
    before = await records.find(CREWS, crew.mrid)
    await records.save(
        CREWS,
        Stored(
            mrid=crew.mrid,
            body=crew,
            created_at=before.created_at if before is not None else now,
            modified_at=now,
            state="free" if crew.order is None else "busy",
            keys=stored_keys("name", _labels(crew)) | {Key("skill", skill) for skill in crew.skills},
        ),
    )


def _labels(crew: CrewRecord) -> tuple[Label, ...]:
    return tuple(label_of(name) for name in crew.names)


def has_skills(crew: CrewRecord, skills: Iterable[str]) -> bool:
    """Whether a crew can do what asks for these skills."""
    return crew.skills.issuperset(skills)


def is_on_duty(crew: CrewRecord, at: datetime) -> bool:
    """Whether an instant lies in a shift of the crew."""
    return any(
        at.weekday() in shift.days
        and datetime.combine(at.date(), shift.start, UTC) <= at < datetime.combine(at.date(), shift.end, UTC)
        for shift in crew.shifts
    )


def duty_within(crew: CrewRecord, start: datetime, end: datetime) -> tuple[datetime, datetime] | None:
    """The longest time on duty within a period of one day; None if the crew has none."""
    spans = []
    for shift in crew.shifts:
        if start.weekday() in shift.days:
            begins = max(start, datetime.combine(start.date(), shift.start, UTC))
            ends = min(end, datetime.combine(start.date(), shift.end, UTC))
            spans.append((begins, ends))
    longest = max(spans, key=lambda span: span[1] - span[0], default=None)
    return longest if longest is not None and longest[1] - longest[0] > timedelta() else None


def distance(one: Place | None, other: Place | None) -> float:
    """Distance in degrees of latitude, flat earth: enough to tell which crew is nearer. Infinite if one is unknown."""
    if one is None or other is None:
        return float("inf")
    return hypot((one[0] - other[0]) * cos(radians((one[1] + other[1]) / 2)), one[1] - other[1])


_WEEKDAYS = (0, 1, 2, 3, 4)
_NORTHLAKE: dict[str, frozenset[str]] = {
    "CREW-11": frozenset({"lines", "lights", "locating"}),
    "CREW-12": frozenset({"lines", "lights", "locating"}),
    "CREW-21": frozenset({"service", "meters", "inspection"}),
    "CREW-22": frozenset({"service", "meters", "inspection"}),
}
_DEPOT: Place = (-87.482, 47.605)


async def seed_crews(records: Records, now: datetime) -> bool:
    """Write the four crews of Northlake unless crews are known already. Whether anything was written."""
    if await records.select(CREWS, Selection(limit=1)):
        return False
    day: Sequence[Shift] = (Shift(days=_WEEKDAYS, start=time(8), end=time(17)),)
    for crew in NORTHLAKE:
        skills = _NORTHLAKE[crew.name]
        record = CrewRecord(
            mrid=crew.mrid,
            names=name_of(crew.name, "CrewName", "Northlake WMS"),
            skills=skills,
            shifts=tuple(day),
            members=tuple(f"{first} {last}" for first, last in crew.members),
            place=_DEPOT,
            is_on_call="lines" in skills,
        )
        await save_crew(records, record, now)
    return True
