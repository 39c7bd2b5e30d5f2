"""What was said of single points, in whatever incident the points come to be.

Incidents are merged and come apart as calls come in; that somebody has supply again does not depend on it. Words of an
outage as a whole are not looked at here: they end with their incident.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.oms.devices import DEVICES
from cimcare.systems.oms.restored import (
    ENDED,
    INTERRUPTIONS,
    InterruptionRecord,
    is_planned,
    save_interruption,
    start_of,
)

__all__ = ["carry_words", "first_words"]

_PAGE = 500


async def carry_words(
    records: Records,
    page: Sequence[Stored[InterruptionRecord]],
    target: Stored[Incident],
    device: MRID | None,
    now: datetime,
) -> tuple[int, bool]:
    """Note in an incident what was said of points elsewhere, as far as they are below its device.

    What is noted there already stays, but for a word that a caller has contradicted since.

    Returns: how many customers more have supply again (less than none if it was contradicted), and whether anything was
    noted.
    """
    rows = [stored.body for stored in page if stored.body.ended_at is None or stored.body.is_by_point]
    below = await _below(records, rows, device) if device is not None else frozenset()
    rows = [row for row in rows if row.device in below]
    if not rows:
        return 0, False
    mrids = tuple(MRID(f"{target.mrid}/{row.point}") for row in rows)
    known = await records.select(INTERRUPTIONS, Selection(mrids=mrids, limit=len(mrids)))
    own = {stored.body.point: stored.body for stored in known}
    restored, start, is_any = 0, start_of(target), False
    for row in rows:
        before = own.get(row.point)
        is_new = before is None and (row.ended_at is None or row.ended_at >= start)
        if not is_new and not _is_contradicted(before, row):
            continue
        was_restored = before is not None and before.ended_at is not None
        restored += row.customers * ((row.ended_at is not None) - was_restored)
        started_at = start if row.contradicted is None else min(start, row.started_at)
        after = msgspec.structs.replace(row, incident=target.mrid, started_at=started_at, is_planned=is_planned(target))
        await save_interruption(records, after, now)
        is_any = True
    return restored, is_any


def _is_contradicted(before: InterruptionRecord | None, row: InterruptionRecord) -> bool:
    """Whether a caller has contradicted what was noted."""
    if before is None or before.ended_at is None or row.ended_at is not None or row.contradicted is None:
        return False
    return before.ended_at <= row.contradicted.at


async def _below(records: Records, rows: Sequence[InterruptionRecord], device: MRID) -> frozenset[MRID]:
    """Of the devices of these rows, those that are at or below a device."""
    own = tuple({row.device for row in rows if row.device is not None})
    found = await records.select(DEVICES, Selection(mrids=own, limit=len(own))) if own else ()
    return frozenset(one.mrid for one in found if device in (one.mrid, *one.body.path))


async def first_words(
    records: Records, points: Sequence[str], since: datetime, until: datetime, known: Mapping[str, InterruptionRecord]
) -> dict[str, InterruptionRecord]:
    """For each point the first word of which it was spoken itself between two instants, in whatever incident.

    What a caller has contradicted in the incident in question (`known` are its interruptions) is left out.
    """
    keys = tuple(Key("word", point) for point in points)
    first: dict[str, InterruptionRecord] = {}
    wanted = Selection(keys=(keys,), states=(ENDED,), limit=_PAGE)
    while keys:
        page = await records.select(INTERRUPTIONS, wanted)
        for stored in page:
            row = stored.body
            if row.ended_at is None or row.evidence is None or not since <= row.ended_at <= until:
                continue
            own = known.get(row.point)
            if own is not None and own.contradicted is not None and row.ended_at <= own.contradicted.at:
                continue
            before = first.get(row.point)
            if before is None or before.ended_at is None or row.ended_at < before.ended_at:
                first[row.point] = row
        if len(page) < wanted.limit:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return first
