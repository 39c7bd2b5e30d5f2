"""What meters say of their supply: evidence of an outage without a call, and of restoration for their own point.

A meter that loses supply counts like a call, without a ticket. One that has it again within five minutes was
interrupted for a moment only, and counts no longer; later than that it was restored, which is evidence for its premises
and for nobody else. Every event is kept, so that one which comes again has no effect.

Source: end device events as the head end of the meters gives them, as a table; the rules are ours.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Collection, Key, Records, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import UsagePointIdentity
from cimcare.model.network import MeterEvent
from cimcare.systems.identity import Label, lookup_keys
from cimcare.systems.objects import warning_of
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, note_entry
from cimcare.systems.oms.devices import SERVICE_POINTS, ServicePointRecord, find_supply
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import ReportRecord
from cimcare.systems.oms.places import key_of_point
from cimcare.systems.oms.reports import above
from cimcare.systems.oms.restored import (
    Evidence,
    EvidenceKind,
    find_interruption,
    outages_above,
)
from cimcare.systems.oms.restoring import Restorer, is_later
from cimcare.systems.oms.words import WordRecord, note_word
from cimcare.systems.premises import PremisesRecord, find_premises

__all__ = ["METER_EVENTS", "MOMENTARY", "MeterEventRecord", "take_meter_events"]

MOMENTARY = timedelta(minutes=5)
"""The longest interruption that is none: IEEE 1366 counts it apart."""


class MeterEventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter has said. `point` is the mRID of its usage point where that is known, else as it was named."""

    point: str
    is_off: bool
    at: datetime


METER_EVENTS: Collection[MeterEventRecord] = Collection("oms.MeterEvents", MeterEventRecord)
"""Found by the key `point`, in the order in which they happened."""


class _Meter(msgspec.Struct, frozen=True, kw_only=True):
    """Where a meter is: the key of its premises, its point in the model, and what the directory knows."""

    key: str
    name: str
    point: ServicePointRecord | None = None
    premises: PremisesRecord | None = None

    @property
    def keys(self) -> frozenset[Key]:
        mrid = self.point.mrid if self.point is not None else self.premises.usage_point if self.premises else None
        return frozenset({Key("usage-point", mrid)} if mrid else ())

    @property
    def place(self) -> str:
        """By what its interruptions are known: its usage point, failing that its premises."""
        if self.point is not None:
            return self.point.mrid
        return self.premises.usage_point if self.premises is not None else self.key

    @property
    def customers(self) -> int:
        """How many are behind it."""
        return self.point.customers if self.point is not None else 1

    @property
    def mrid(self) -> MRID:
        """The usage point."""
        if self.point is not None:
            return self.point.mrid
        return self.premises.usage_point if self.premises is not None else MRID(self.name)


async def take_meter_events(events: tuple[MeterEvent, ...], context: ServingContext) -> Served:
    """Take what meters say, in whatever order it comes. REF-140 names meters that nobody knows.

    Args:
        events: `point` is the mRID or a name of a usage point.
        context: Records, clock and the header that names the head end.
    """
    book = IncidentBook(context)
    restorer = Restorer(context, book)
    findings: list[Finding] = []
    taken = 0
    for row, group in _by_point(events):
        meter = await _find_meter(context.records, group[0].point)
        if meter is None:
            findings.append(_unknown(row, group[0]))
            continue
        taken += len(group)
        new = [one for one in group if await _keep(one, meter, context)]
        for event in _lasting(new):
            await (_off if event.is_off else _on)(event, meter, book, restorer, context)
    result = Result.OK if not findings else Result.PARTIAL if taken else Result.FAILED
    if taken:
        findings = [warning_of(one) for one in findings]
    restored = restorer.events()
    return Served(result=result, findings=tuple(findings), events=(*restored, *await book.events()))


def _by_point(events: Iterable[MeterEvent]) -> list[tuple[int, list[MeterEvent]]]:
    """Events of each point in order of time, with the row in which the point comes first."""
    groups: dict[str, tuple[int, list[MeterEvent]]] = {}
    for row, event in enumerate(events, 1):
        groups.setdefault(event.point.strip(), (row, []))[1].append(event)
    for _, group in groups.values():
        group.sort(key=lambda one: (one.at, not one.is_off))
    return sorted(groups.values(), key=lambda one: one[1][0].at)


def _lasting(events: list[MeterEvent]) -> list[MeterEvent]:
    """Events without losses for a moment: these are no outage, and there is supply all the same after them."""
    lasting: list[MeterEvent] = []
    for event in events:
        last = lasting[-1] if lasting else None
        if not event.is_off and last is not None and last.is_off and event.at - last.at <= MOMENTARY:
            lasting.pop()
        lasting.append(event)
    return lasting


async def _find_meter(records: Records, named: str) -> _Meter | None:
    name = named.strip()
    if not name:
        return None
    identity = UsagePointIdentity(mrid=MRID(name), names=(Name(name=name),))
    premises = await find_premises(records, "usage-point", identity)
    known = premises[0].body if len(premises) == 1 else None
    keys = list(lookup_keys("usage-point", MRID(name), (Label("", "", name),)))
    keys += [Key("usage-point", known.usage_point)] if known is not None else []
    found = await records.select(SERVICE_POINTS, Selection(keys=(tuple(keys),), limit=2))
    point = found[0].body if len(found) == 1 else None
    if known is None and point is None:
        return None
    if known is None and point is not None:
        identity = UsagePointIdentity(mrid=point.mrid, names=point.names)
        premises = await find_premises(records, "usage-point", identity)
        known = premises[0].body if len(premises) == 1 else None
    key = known.mrid if known is not None else key_of_point(point) if point is not None else name
    return _Meter(key=key, name=name, point=point, premises=known)


async def _keep(event: MeterEvent, meter: _Meter, context: ServingContext) -> bool:
    """Keep an event. Whether it is new."""
    mrid = MRID(f"{meter.mrid}@{event.at.isoformat()}@{'off' if event.is_off else 'on'}")
    if await context.records.find(METER_EVENTS, mrid) is not None:
        return False
    body = MeterEventRecord(point=meter.mrid, is_off=event.is_off, at=event.at)
    keys = frozenset({Key("point", meter.mrid)})
    stored = Stored(mrid=mrid, body=body, created_at=event.at, modified_at=context.now, keys=keys)
    await context.records.save(METER_EVENTS, stored)
    sort = EntrySort.LOST if event.is_off else EntrySort.BACK
    entry = EntryRecord(point=meter.place, sort=sort, at=event.at, customers=meter.customers)
    await note_entry(context.records, entry, context.now)
    return True


async def _off(
    event: MeterEvent, meter: _Meter, book: IncidentBook, restorer: Restorer, context: ServingContext
) -> None:
    if await _is_over(event, meter, context):
        return
    transformer = meter.premises.transformer if meter.premises is not None else None
    supply = await find_supply(context.records, meter.keys, transformer)
    report = await book.current_report(meter.key)
    if report is None:
        is_critical = (meter.point is not None and meter.point.is_critical) or (
            meter.premises is not None and meter.premises.is_critical
        )
        report = ReportRecord(
            premises=meter.key,
            incident=MRID(""),
            at=event.at,
            off_at=event.at,
            is_critical=is_critical,
            point=meter.place,
            customers=meter.customers,
        )
        report = await book.admit(above(report, supply), None, "")
    else:
        off_at = event.at if report.off_at is None or report.on_at is not None else min(report.off_at, event.at)
        after = msgspec.structs.replace(
            report,
            off_at=off_at,
            on_at=None,
            at=min(report.at, event.at),
            point=meter.place,
            customers=meter.customers,
        )
        report = await book.rewrite(report, after, "its meter has lost supply")
    incident = await book.find_open(report.incident)
    if incident is not None:
        evidence = _evidence(meter, context)
        await restorer.points.lose(incident, meter.place, meter.customers, event.at, evidence, supply.path)


async def _is_over(event: MeterEvent, meter: _Meter, context: ServingContext) -> bool:
    """Whether the meter has said since that it has supply."""
    wanted = Selection(keys=((Key("point", meter.mrid),),), since=event.at)
    later = await context.records.select(METER_EVENTS, wanted)
    return any(not one.body.is_off and one.body.at > event.at for one in later)


async def _on(
    event: MeterEvent, meter: _Meter, book: IncidentBook, restorer: Restorer, context: ServingContext
) -> None:
    report = await book.current_report(meter.key)
    if report is None:
        await _on_unheard(event, meter, book, restorer, context)
        return
    if event.at < (report.off_at or report.at):
        return
    incident = await book.find_open(report.incident)
    if incident is None:
        return
    named = UsagePointIdentity(mrid=meter.mrid)
    tickets = await restorer.open_tickets(incident.mrid, named, meter.point)
    if any(is_later(ticket, event.at) for ticket in tickets):
        return
    is_alone = report.tickets == 0 and report.settled == 0
    if is_alone and report.off_at is not None and event.at - report.off_at <= MOMENTARY:
        await book.drop(report, "its meter was without supply for a moment only")
        await _on_unheard(event, meter, book, restorer, context)
        return
    evidence = _evidence(meter, context)
    supply = await find_supply(context.records, meter.keys)
    await restorer.points.restore(incident, meter.place, meter.customers, event.at, evidence, supply.path)
    if report.off_at is not None:
        after = msgspec.structs.replace(report, on_at=event.at)
        await book.rewrite(report, after, "its meter has supply again", settled_at=event.at)
    for ticket in tickets:
        await book.settle(await restorer.resolve(ticket, event.at, f"restored, by {evidence}"))
    book.tell_restored(incident.mrid, event.at, (named,))


async def _on_unheard(
    event: MeterEvent, meter: _Meter, book: IncidentBook, restorer: Restorer, context: ServingContext
) -> None:
    """Of a point nobody has reported anything; it is believed out by every open outage above it that had begun."""
    if meter.point is None:
        return  # no outage counts what the model does not know
    supply = await find_supply(context.records, meter.keys)
    evidence = _evidence(meter, context)
    word = WordRecord(point=meter.place, incident=MRID(""), at=event.at, evidence=evidence)
    await note_word(context.records, word, context.now)  # should calls show later that an outage had it, it holds there
    believing = []
    for incident in await outages_above(context.records, supply.path, but=MRID(""), since_before=event.at):
        known = await find_interruption(context.records, incident.mrid, meter.point.mrid)
        if known is None or known.body.ended_at is None:
            believing.append(incident)
    if not believing:
        return
    await restorer.points.restore(believing[0], meter.place, meter.customers, event.at, evidence, supply.path)
    for incident in believing:
        book.tell_restored(incident.mrid, event.at, (UsagePointIdentity(mrid=meter.mrid),))


def _evidence(meter: _Meter, context: ServingContext) -> Evidence:
    return Evidence(kind=EvidenceKind.METER, who=context.header.source or meter.name)


def _unknown(row: int, event: MeterEvent) -> Finding:
    return finding_of(
        "REF-140",
        f"/events[{row}]/point",
        f"no usage point {event.point} is known",
        "the mRID or a name of a usage point of the network model or of the directory of premises",
        "meter events (our profile)",
        object_id=event.point or None,
    )
