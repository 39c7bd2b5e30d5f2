"""What is kept to count the minutes of each point: what was said of it, and which outages had it. It is only added to.

An outage is entered when it has ended, by what it is then: its device, since when, and who was in it. What an incident
was taken for in between leaves nothing here, nor does one that was cancelled. How entries are counted: `counting`.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID

__all__ = ["ENTRIES", "EntryRecord", "EntrySort", "OutageSpan", "all_entries", "note_entry"]

_PAGE = 1000


class EntrySort(StrEnum):
    """What an entry says of its point."""

    OUTAGE = "outage"
    """An outage had it."""
    CALL = "call"
    """Somebody called from there: it is out."""
    BACK = "back"
    """Somebody said of this very point that it has supply."""
    LOST = "lost"
    """Its meter had supply until then and has lost it."""


class OutageSpan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outage that is over: from when to when.

    With `is_of_places` it had no device. It is a list of places then, and its end is a word about each of them.
    """

    incident: MRID
    started_at: datetime
    ended_at: datetime
    is_planned: bool = False
    is_of_places: bool = False


class EntryRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry in the account of a point.

    `point` is the mRID of the usage point, failing that the key of the premises; `customers` are those there. `outage`
    is the one that had the point, or in which the call was. `until` is when the outage lost the point, if that was
    before its end. A call contradicts what was said from `contradicts_since` on.
    """

    point: str
    sort: EntrySort
    at: datetime
    until: datetime | None = None
    outage: OutageSpan | None = None
    customers: int = 1
    contradicts_since: datetime | None = None


ENTRIES: Collection[EntryRecord] = Collection("oms.Entries", EntryRecord)
"""Found by the key `point`, in the order of their instants."""


async def note_entry(records: Records, entry: EntryRecord, now: datetime, *, of: str = "") -> None:
    """Enter something. The same entered again changes nothing.

    Args:
        records: Objects of the store.
        entry: What is entered.
        now: An aware instant in UTC.
        of: What tells apart entries of one sort, point and instant: the ticket of a call.
    """
    of = of or (entry.outage.incident if entry.outage is not None else "")
    until = f"..{entry.until.isoformat()}" if entry.until is not None else ""
    stored = Stored(
        mrid=MRID(f"{entry.sort}/{entry.point}@{entry.at.isoformat()}{until}/{of}"),
        body=entry,
        created_at=entry.at,
        modified_at=now,
        keys=frozenset({Key("point", entry.point)}),
    )
    await records.save(ENTRIES, stored)


async def all_entries(records: Records, since: datetime) -> AsyncIterator[EntryRecord]:
    """Entries from an instant on, in the order of their instants. For reports, not for the way of a message."""
    wanted = Selection(since=since, limit=_PAGE)
    while True:
        page = await records.select(ENTRIES, wanted)
        for stored in page:
            yield stored.body
        if len(page) < wanted.limit:
            return
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
