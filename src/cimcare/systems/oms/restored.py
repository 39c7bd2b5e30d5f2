"""What is known of restoration: who says that supply is back, for whom, since when. Records, and how they are found.

Nothing here is assumed. `RestorationRecord` is the word of somebody for a whole outage, `InterruptionRecord` that one
point was without supply and since when it has it again.

Source: guarantee G12; IEC 61968-8:2015, clause 5.3 for the messages; the evidence and its reach are our rule.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.envelope import Header
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.values import Status
from cimcare.systems.etr import parse_remark
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.accounts import OutageSpan
from cimcare.systems.oms.devices import DEVICES, DeviceRecord, ServicePointRecord, points_below
from cimcare.systems.oms.interruptions import Interval
from cimcare.systems.oms.kinds import EXTENTS, INCIDENTS, OPEN, ExtentRecord

__all__ = [
    "DONE",
    "ENDED",
    "GOING_ON",
    "INTERRUPTIONS",
    "PENDING",
    "RESTORATIONS",
    "SKEW",
    "Evidence",
    "EvidenceKind",
    "InterruptionRecord",
    "Part",
    "RestorationRecord",
    "Restored",
    "count_lacking",
    "count_restored_below",
    "devices_below",
    "find_interruption",
    "find_past",
    "is_planned",
    "named_in",
    "outages_above",
    "outages_below",
    "read_evidence",
    "reconsider",
    "save_interruption",
    "save_word",
    "start_of",
    "word_of_callbacks",
]

PENDING, DONE = "pending", "done"
"""States of a restoration: its points and tickets are still being gone through, or all are."""
GOING_ON, ENDED = "going on", "ended"
"""States of an interruption."""


_PAGE = 500

SKEW = timedelta(minutes=5)
"""How far the clock of who says something may be ahead of ours; what lies further in the future is refused."""


class EvidenceKind(StrEnum):
    """How somebody knows that supply is back; literals of `status.reason` in a request."""

    OPERATOR = "operator"
    CREW = "crew"
    METER = "meter"
    CALLBACK = "callback"

    @property
    def covers_device(self) -> bool:
        """Whether it speaks for all that a device feeds: who switches or repairs it does, a caller does not."""
        return self in (EvidenceKind.OPERATOR, EvidenceKind.CREW)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Who says it, and how they know."""

    kind: EvidenceKind
    who: str

    def __str__(self) -> str:
        """In words: `crew 7`, `operator Ana Ruiz`."""
        return f"{self.kind} {self.who}"


class Part(StrEnum):
    """What of a restoration is gone through next."""

    TICKETS = "tickets"
    POINTS = "points"
    LEFT = "left"
    PLACES = "places"


class RestorationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody's word that an outage is over. Its mRID is that of the incident; it is created at the instant of it.

    `device` is the one that was restored, None if the outage was not of a device of the model. `excepted` are devices
    of outages below that are not over. `part` and `after` say how far its tickets and points were gone through.
    """

    incident: MRID
    at: datetime
    started_at: datetime
    evidence: Evidence
    device: MRID | None = None
    device_name: str = ""
    excepted: tuple[MRID, ...] = ()
    is_planned: bool = False
    part: Part = Part.TICKETS
    after: MRID | None = None

    @property
    def span(self) -> OutageSpan:
        """The outage as it stands in the accounts of points."""
        return OutageSpan(
            incident=self.incident,
            started_at=self.started_at,
            ended_at=self.at,
            is_planned=self.is_planned,
            is_of_places=self.device is None,
        )


class InterruptionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One point without supply: by which incident, from when, and until when if that is known.

    `point` is the mRID of the usage point, failing that the key of the premises. The mRID of the record is
    `<incident>/<point>`. A point that has supply and loses it once more within the same outage is out anew: the record
    is then of the last time (`is_again`), and those before stand beside it (`is_past`). With an end and no evidence
    the outage is over and nobody has said that this point has supply: another outage, or a caller, says that it has
    none.

    With `is_by_point` somebody has spoken of this point and not of an outage as a whole: that holds in whatever
    incident the point comes to be. `contradicted` is the last word that a caller from there has said was not true.
    """

    point: str
    incident: MRID
    started_at: datetime
    ended_at: datetime | None = None
    customers: int = 1
    is_planned: bool = False
    device: MRID | None = None
    evidence: Evidence | None = None
    is_by_point: bool = False
    is_again: bool = False
    is_past: bool = False
    contradicted: "Restored | None" = None

    @property
    def interval(self) -> Interval:
        """From when to when."""
        return Interval(self.started_at, self.ended_at)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of premises: back since `at`, by whom, in which incident; and since when they were out before."""

    incident: MRID
    at: datetime
    started_at: datetime
    evidence: Evidence | None


RESTORATIONS: Collection[RestorationRecord] = Collection("oms.Restorations", RestorationRecord)
INTERRUPTIONS: Collection[InterruptionRecord] = Collection("oms.Interruptions", InterruptionRecord)


def read_evidence(status: Status | None, header: Header) -> Evidence | None:
    """The evidence that a request states; None if it does not say both how it is known and by whom.

    Who it is stands in `status.remark`, failing that in Header/User. For meters and call-backs the system that asked
    them will do, Header/Source.
    """
    reason = (status.reason or "").strip() if status is not None else ""
    if reason not in frozenset(EvidenceKind):
        return None
    kind = EvidenceKind(reason)
    who = named_in(status, header)
    if not who and not kind.covers_device:
        who = (header.source or "").strip()
    return Evidence(kind=kind, who=_without_kind(who, kind)) if who else None


def named_in(status: Status | None, header: Header) -> str:
    """The person or crew that a request names; empty if it names none."""
    remark = " ".join((status.remark or "").split()) if status is not None else ""
    who = parse_remark(remark).source or remark
    if not who and header.user is not None:
        who = " ".join(header.user.user_id.split())
    return who


def _without_kind(who: str, kind: EvidenceKind) -> str:
    """`crew 7` of a crew is `7`: what sort of source it is stands before it anyway."""
    return who.removeprefix(f"{kind} ").strip() or who


def start_of(incident: Stored[Incident]) -> datetime:
    """Since when the outage of an incident lasts: as somebody has said, failing that since the first report."""
    outage = incident.body.outage
    if outage is not None:
        for period in (outage.actual_period, outage.estimated_period):
            start = as_utc(period.start) if period is not None else None
            if start is not None:
                return start
    return incident.created_at


def is_planned(incident: Stored[Incident]) -> bool:
    """Whether somebody has planned the outage."""
    outage = incident.body.outage
    return outage is not None and outage.is_planned is True


async def word_of_callbacks(
    records: Records, incident: Stored[Incident], extent: ExtentRecord, at: datetime
) -> RestorationRecord:
    """The end of an outage of which all who were believed out have said, each of them alone, that supply is back."""
    below: tuple[ExtentRecord, ...] = ()
    if extent.device is not None:
        below = await outages_below(records, extent.device, but=incident.mrid, since_before=at)
    return RestorationRecord(
        incident=incident.mrid,
        at=at,
        started_at=start_of(incident),
        evidence=Evidence(kind=EvidenceKind.CALLBACK, who="all who were believed out"),
        device=extent.device,
        device_name=extent.device_name,
        excepted=tuple(one.device for one in below if one.device is not None),
        is_planned=is_planned(incident),
    )


async def save_word(records: Records, word: RestorationRecord, state: str, now: datetime) -> None:
    """Write a restoration. One that is pending is gone through by the tick."""
    keys = {Key("incident", word.incident)} | {Key("excepted", device) for device in word.excepted}
    if word.device is not None and word.evidence.kind.covers_device:
        keys.add(Key("device", word.device))
    stored = Stored(
        mrid=word.incident, body=word, created_at=word.at, modified_at=now, state=state, keys=frozenset(keys)
    )
    await records.save(RESTORATIONS, stored)


async def outages_below(
    records: Records, device: MRID, *, but: MRID, since_before: datetime
) -> tuple[ExtentRecord, ...]:
    """Open outages below a device that began before an instant, the topmost of each branch; `but` is not looked at."""
    found: list[ExtentRecord] = []
    wanted = Selection(keys=((Key("above", device),),), states=(OPEN,), until=since_before)
    while True:
        page = await records.select(EXTENTS, wanted)
        found.extend(stored.body for stored in page if stored.mrid != but and stored.body.device != device)
        if len(page) < wanted.limit:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    below = [one for one in found if one.device is not None or one.dark]
    devices = {one.device for one in below if one.device is not None}
    return tuple(one for one in below if devices.isdisjoint(one.path))


async def count_lacking(
    records: Records,
    incident: MRID,
    device: MRID,
    excepted: Sequence[ExtentRecord],
    named: frozenset[str] = frozenset(),
) -> int:
    """Customers below a device of whom nobody has said that supply is back; the first ones found, 0 if there are none.

    Those below an outage of its own do not count, nor do the points `named`. Looks at points until one is lacking.
    """
    devices_out = frozenset(one.device for one in excepted if one.device is not None)
    forgiven = sum(max(one.premises, 1) for one in excepted if one.device is None)
    after: MRID | None = None
    while True:
        page = await points_below(records, device, after, _PAGE)
        known = await records.select(
            INTERRUPTIONS, Selection(mrids=tuple(MRID(f"{incident}/{point.mrid}") for point in page), limit=_PAGE)
        )
        back = {stored.body.point for stored in known if stored.body.ended_at is not None} if page else set()
        below = await devices_below(records, page, devices_out)
        lacking = 0
        for point in page:
            if point.mrid not in back and point.mrid not in named and point.device not in below:
                lacking += max(point.customers, 1)
        forgiven, lacking = max(0, forgiven - lacking), max(0, lacking - forgiven)
        if lacking or len(page) < _PAGE:
            return lacking
        after = page[-1].mrid


async def devices_below(
    records: Records, points: Sequence[ServicePointRecord], tops: frozenset[MRID]
) -> frozenset[MRID]:
    """Of the devices of these points, those that are at or below one of `tops`."""
    devices = tuple({point.device for point in points if point.device is not None})
    if not tops or not devices:
        return frozenset()
    found = await records.select(DEVICES, Selection(mrids=devices, limit=len(devices)))
    return frozenset(one.mrid for one in found if not tops.isdisjoint((one.mrid, *one.body.path)))


async def count_restored_below(records: Records, incident: MRID, device: MRID | None) -> int:
    """Customers of an incident of whom somebody has said that supply is back, as far as they are below a device."""
    total = 0
    wanted = Selection(keys=((Key("incident", incident),),), states=(ENDED,), limit=_PAGE)
    while True:
        page = await records.select(INTERRUPTIONS, wanted)
        for stored in page:
            own = stored.body.device
            if device is None or own is None:
                total += stored.body.customers if device is None else 0
                continue
            above = await records.find(DEVICES, own)
            if own == device or (above is not None and device in above.body.path):
                total += stored.body.customers
        if len(page) < wanted.limit:
            return total
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)


async def reconsider(records: Records, device: MRID, now: datetime) -> None:
    """An outage of a device was not true: words that excepted it hold below it too."""
    for stored in await records.select(RESTORATIONS, Selection(keys=((Key("excepted", device),),))):
        excepted = tuple(one for one in stored.body.excepted if one != device)
        await save_word(records, msgspec.structs.replace(stored.body, excepted=excepted), stored.state, now)


async def outages_above(
    records: Records, path: Sequence[DeviceRecord], *, but: MRID, since_before: datetime
) -> tuple[Stored[Incident], ...]:
    """Open outages of these devices that began before an instant; `but` is not looked at."""
    keys = tuple(Key("device", device.name) for device in path)
    if not keys:
        return ()
    wanted = Selection(keys=(keys,), states=(OPEN,), until=since_before)
    return tuple(one for one in await records.select(INCIDENTS.collection, wanted) if one.mrid != but)


async def find_interruption(records: Records, incident: MRID, point: str) -> Stored[InterruptionRecord] | None:
    """What an incident has interrupted at a point."""
    return await records.find(INTERRUPTIONS, MRID(f"{incident}/{point}"))


async def save_interruption(records: Records, record: InterruptionRecord, now: datetime) -> None:
    """Write an interruption. Found by its point and its incident, in the order in which interruptions began.

    An earlier one of the same outage is found by its point, and by the key `past` of the one that came after it.
    """
    mrid = MRID(f"{record.incident}/{record.point}")
    own = Key("past", mrid) if record.is_past else Key("incident", record.incident)
    await records.save(
        INTERRUPTIONS,
        Stored(
            mrid=MRID(f"{mrid}@{record.started_at.isoformat()}") if record.is_past else mrid,
            body=record,
            created_at=record.started_at,
            modified_at=now,
            state=GOING_ON if record.ended_at is None else ENDED,
            keys=frozenset({Key("point", record.point), own}),
        ),
    )


async def find_past(records: Records, rows: Sequence[InterruptionRecord]) -> tuple[Stored[InterruptionRecord], ...]:
    """Earlier interruptions by the same outages at the same points."""
    keys = tuple(Key("past", f"{row.incident}/{row.point}") for row in rows if row.is_again)
    found: list[Stored[InterruptionRecord]] = []
    wanted = Selection(keys=(keys,), limit=_PAGE)
    while keys:
        page = await records.select(INTERRUPTIONS, wanted)
        found.extend(page)
        if len(page) < wanted.limit:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return tuple(found)
