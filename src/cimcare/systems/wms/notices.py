"""Dig notices: a builder or a road authority says where and when it is going to dig, and hears what lies there.

A work request with a name of type `WorkType`, `dig notice`. It needs a place and a period (a schedule of kind request
with start and end). The answer says what the directory of premises knows of the place, and no more: that nothing is
known does not mean that nothing lies there. Approved, it leads to an order to mark the lines; when its time is over it
ends by itself.

Source: ours. IEC 61968-8:2015, clause 5.6, knows the message.
"""

from datetime import datetime

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Key, ServingContext, Stored
from cimcare.model.enumerations import WorkTimeScheduleKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure
from cimcare.systems.identity import labels_of, mrid_of
from cimcare.systems.objects import as_utc
from cimcare.systems.premises import PREMISES
from cimcare.systems.wms.jobs import JOBS, NOTICE, NOTICES, JobRecord
from cimcare.systems.wms.making import premises_of
from cimcare.systems.wms.office import schedules_of

__all__ = ["answer_notice", "flaw_of_notice", "keep_notice"]

_MOST_PREMISES = 1000
_MOST_DEVICES = 5


def _period(core: Structure) -> tuple[datetime | None, datetime | None]:
    """The time of the digging: the last schedule of kind request."""
    wished = [one.schedule_interval for one in schedules_of(core) if one.kind is WorkTimeScheduleKind.request]
    interval = wished[-1] if wished else None
    return (as_utc(interval.start), as_utc(interval.end)) if interval is not None else (None, None)


def flaw_of_notice(core: Structure) -> tuple[str, str] | None:
    """What a dig notice lacks, and what would pass; None if it has both a place and a time."""
    place = getattr(core, "work_location", None)
    is_somewhere = place is not None and (
        mrid_of(place) is not None or place.main_address is not None or place.position_points
    )
    if not is_somewhere:
        return "a dig notice that does not say where", "WorkLocation with mRID, mainAddress or PositionPoints"
    start, end = _period(core)
    if start is None or end is None or start >= end:
        return (
            "a dig notice that does not say when",
            "TimeSchedules of kind request with start and end in scheduleInterval",
        )
    return None


async def keep_notice(context: ServingContext, mrid: MRID, core: Structure) -> None:
    """Note when the notice is over."""
    _, end = _period(core)
    if end is None:
        return
    job = JobRecord(mrid=mrid, type="dig notice", slot=mrid)
    stored = Stored(
        mrid=mrid, body=job, created_at=end, modified_at=context.now, state=NOTICE, keys=frozenset({NOTICES})
    )
    await context.records.save(JOBS, stored)


async def answer_notice(context: ServingContext, path: str, mrid: MRID, core: Structure) -> Finding:
    """What lies where digging is planned, as far as it is known: BUS-157, which is no fault."""
    return finding_of(
        "BUS-157",
        path,
        await _what_lies_there(context, core),
        "digging only after the lines were marked on site",
        NOUNS[Noun.WORK_REQUESTS].clause,
        object_id=mrid,
    )


async def _what_lies_there(context: ServingContext, core: Structure) -> str:
    premises = await premises_of(context, core)
    devices: dict[str, str] = {}
    if premises is not None:
        devices[premises.transformer] = premises.feeder
    for task in getattr(core, "work_tasks", ()):
        for label in (label for asset in task.assets for label in labels_of(asset)):
            devices.setdefault(label.name, "")
    told = []
    for device, feeder in list(devices.items())[:_MOST_DEVICES]:
        fed = (await context.records.find_by_key(PREMISES, Key("transformer", device)))[:_MOST_PREMISES]
        if fed:
            homes = sum(one.body.is_critical for one in fed)
            critical = f", {homes} of them on life support" if homes else ""
            told.append(
                f"transformer {device} of feeder {feeder or fed[0].body.feeder} with {len(fed)} premises{critical}"
            )
    if not told:
        return "nothing is known here of what lies at this place, which does not mean that nothing does"
    return f"lines of {' and '.join(told)}"
