"""The crews of a work management as somebody has written them down, and their taking effect.

Source: ours.
"""

from collections.abc import Mapping
from datetime import datetime, time

import msgspec

from cimcare.errors import InputError, finding_of
from cimcare.exchange.ports import NewID, Records
from cimcare.model.identity import MRID, Name, NameType
from cimcare.systems.wms.catalog import ORDER_TYPES
from cimcare.systems.wms.crews import CREWS, MOST_CREWS, CrewRecord, Shift, load_crews, name_of_crew, save_crew

__all__ = ["CrewEntry", "read_crews", "replace_crews"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CrewEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A crew as it is written down. Times are UTC; `place` is x and y of where it starts."""

    skills: tuple[str, ...]
    days: tuple[str, ...] = _DAYS[:5]
    start: time = time(8)
    end: time = time(17)
    members: tuple[str, ...] = ()
    place: tuple[float, float] | None = None
    takes_jobs: bool = True
    on_call: bool = False


def read_crews(content: Mapping[str, object], source: str) -> dict[str, CrewEntry]:
    """Entries by name, from a table `crews` of a TOML file.

    Raises:
        InputError: BUS-158, with what is wrong in which entry.
    """
    table = content.get("crews")
    if not isinstance(table, Mapping) or not table or set(content) != {"crews"} or len(table) > MOST_CREWS:
        raise InputError(
            finding_of(
                "BUS-158", source, f"{', '.join(content) or 'nothing'}", f"[crews.NAME], 1 to {MOST_CREWS} times"
            )
        )
    skills = frozenset().union(*(one.skills for one in ORDER_TYPES.values()))
    found = {}
    for name, entry in table.items():
        path = f"{source}, crews.{name}"
        try:
            read = msgspec.convert(entry, CrewEntry)
        except msgspec.ValidationError as error:
            raise InputError(finding_of("BUS-158", path, str(error), "the keys of the guide")) from error
        if odd := [day for day in read.days if day not in _DAYS]:
            raise InputError(finding_of("BUS-158", path, f"days {', '.join(odd)}", f"of {', '.join(_DAYS)}"))
        if odd := sorted(set(read.skills) - skills):
            raise InputError(finding_of("BUS-158", path, f"skills {', '.join(odd)}", f"of {', '.join(sorted(skills))}"))
        if read.start >= read.end:
            raise InputError(finding_of("BUS-158", path, f"from {read.start} to {read.end}", "a shift within one day"))
        found[name] = read
    return found


async def replace_crews(
    records: Records, entries: Mapping[str, CrewEntry], now: datetime, new_id: NewID
) -> tuple[int, int, int]:
    """Make these the crews that there are. How many were added, changed, and removed.

    What a crew has in hand, and where it is, stays. Visits that are put down for a crew that goes, or that loses the
    skill or the time for them, stay put down; when they are due, another crew is sent.

    Raises:
        InputError: BUS-151, a crew that is to go has an order in hand. Nothing is written.
    """
    known = {name_of_crew(one): one for one in await load_crews(records)}
    gone = [one for name, one in known.items() if name not in entries]
    for crew in gone:
        if crew.order is not None:
            raise InputError(
                finding_of(
                    "BUS-151",
                    f"crews.{name_of_crew(crew)}",
                    f"it is missing, and has order {crew.order} in hand",
                    "the report that the order is completed or not, or the crew in the file",
                )
            )
    added = changed = 0
    for name, entry in entries.items():
        before = known.get(name)
        after = _record(name, entry, before, new_id)
        added += before is None
        if after != before:
            changed += before is not None
            await save_crew(records, after, now)
    for crew in gone:
        await records.drop(CREWS, crew.mrid)
    return added, changed, len(gone)


def _record(name: str, entry: CrewEntry, before: CrewRecord | None, new_id: NewID) -> CrewRecord:
    shift = Shift(days=tuple(sorted(_DAYS.index(day) for day in entry.days)), start=entry.start, end=entry.end)
    is_out = before is not None and before.order is not None
    return CrewRecord(
        mrid=before.mrid if before is not None else MRID(new_id()),
        names=before.names if before is not None else (Name(name=name, name_type=NameType(name="CrewName")),),
        skills=frozenset(entry.skills),
        shifts=(shift,),
        members=entry.members,
        place=before.place if before is not None and (is_out or entry.place is None) else entry.place,
        takes_jobs=entry.takes_jobs,
        is_on_call=entry.on_call,
        order=before.order if before is not None else None,
    )
