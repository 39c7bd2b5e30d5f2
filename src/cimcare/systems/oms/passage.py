"""The way through the tickets and points of an outage that is over: a slice a tick, so that its end stops nothing else.

Source: guarantee G12; the order is ours.
"""

from collections.abc import Sequence

import msgspec

from cimcare.exchange.ports import Key, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, note_entry
from cimcare.systems.oms.devices import ServicePointRecord, points_below
from cimcare.systems.oms.estimating import load_rules
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.interruptions import Interval
from cimcare.systems.oms.kinds import OPEN, RESOLVED, TICKETS, incident_of
from cimcare.systems.oms.queueing import pass_turn, whose_turn
from cimcare.systems.oms.reports import reported_at
from cimcare.systems.oms.restored import (
    DONE,
    GOING_ON,
    INTERRUPTIONS,
    PENDING,
    Evidence,
    InterruptionRecord,
    Part,
    RestorationRecord,
    devices_below,
    find_interruption,
    find_past,
    save_interruption,
    save_word,
)
from cimcare.systems.oms.restoring import FIRST, GOES_ON, Restorer, place_keys
from cimcare.systems.oms.ways import left_since, times_below
from cimcare.systems.oms.words import Out, WordRecord, outs_between, save_outs, words_about

__all__ = ["go_through_restorations"]

_SLICE = 100
_PAGE = 250


async def go_through_restorations(context: ServingContext) -> Served:
    """Go on with the restoration whose turn it is: a slice of its tickets or points."""
    stored = await whose_turn(context.records)
    if stored is None:
        return Served(result=Result.OK)
    book = IncidentBook(context)
    restorer = Restorer(context, book)
    passage = _Passage(context, book, restorer, stored)
    await passage.go_on()
    events = (*restorer.events(), *await book.events())
    has_more = not passage.is_done or await pass_turn(context, stored.mrid)
    return Served(result=Result.OK, events=events, has_more=has_more)


class _Passage:
    """One slice of the way through a restoration."""

    def __init__(
        self, context: ServingContext, book: IncidentBook, restorer: Restorer, stored: Stored[RestorationRecord]
    ) -> None:
        self._context = context
        self._records = context.records
        self._book = book
        self._restorer = restorer
        self._stored = stored
        self._word = stored.body
        self.is_done = False

    async def go_on(self) -> None:
        """Do the next slice, and note how far it went."""
        word = self._word
        incident = await self._book.find(word.incident)
        part, after = word.part, word.after
        if part is Part.TICKETS:
            if incident is None or not await self._tickets(incident):
                part, after = Part.POINTS, None
        elif part is Part.POINTS:
            after = await self._points(incident) if incident is not None else None
            if after is None:
                part = Part.LEFT if word.device is not None else Part.PLACES
        elif part is Part.LEFT:
            after = await self._left()
            if after is None:
                part = Part.PLACES
        else:
            after = await self._places(incident) if incident is not None else None
            self.is_done = after is None
        word = msgspec.structs.replace(word, part=part, after=after)
        await save_word(self._records, word, DONE if self.is_done else PENDING, self._context.now)

    async def _tickets(self, incident: Stored[Incident]) -> bool:
        """Resolve open tickets, but for those below an outage that goes on. False if none was left."""
        wanted = Selection(keys=((Key("incident", incident.mrid),),), states=(OPEN,), limit=_SLICE)
        found = await self._records.select(TICKETS.collection, wanted)
        word = self._word
        for ticket in found:
            fresh = await self._records.find(TICKETS.collection, ticket.mrid)
            if fresh is None or fresh.state != OPEN or incident_of(fresh.body) != incident.mrid:
                continue  # it went with another ticket of its premises
            supply = await self._restorer.supply_of(ticket)
            nested = next((one.mrid for one in supply.path if one.mrid in word.excepted), None)
            target = await self._restorer.open_at(nested) if nested is not None else None
            if target is not None:
                await self._book.move(fresh, target, GOES_ON)
                continue
            is_of_it = word.device is None or any(one.mrid == word.device for one in supply.path)
            if not is_of_it and (other := await self._restorer.out_above(supply, word.at, but=incident.mrid)):
                await self._book.move(fresh, other, GOES_ON)  # somebody had put it here, below another outage
                continue
            # What is below the device is gone through point by point; here it is for what the model does not know.
            is_below = word.evidence.kind.covers_device and any(one.mrid == word.device for one in supply.path)
            if not (is_below and supply.point is not None) and not await self._is_out_elsewhere(fresh):
                await self._restorer.settle(fresh, word.at, word.evidence, is_by_point=word.device is None)
            resolved_at = max(word.at, reported_at(fresh.body, fresh.created_at))
            await self._restorer.resolve(fresh, resolved_at, f"restored, by {word.evidence}")
        return bool(found)

    async def _is_out_elsewhere(self, ticket: Stored[TroubleTicket]) -> bool:
        """Whether the premises of a ticket have an open one in another incident: somebody has called again since."""
        keys = tuple(key for key in ticket.keys if key.sort == "premises")
        found = await self._records.select(TICKETS.collection, Selection(keys=(keys,), states=(OPEN,)))
        return any(incident_of(one.body) != self._word.incident for one in found)

    async def _points(self, incident: Stored[Incident]) -> MRID | None:
        """Note for points of the model that they have supply again; the last one, None if there are no more."""
        word = self._word
        if word.device is None:
            return None
        page = await points_below(self._records, word.device, word.after, _PAGE)
        mrids = tuple(MRID(f"{incident.mrid}/{point.mrid}") for point in page)
        dark = await self._dark(page) if word.evidence.kind.covers_device else frozenset(point.mrid for point in page)
        keys = tuple(Key("point", point.mrid) for point in page if point.mrid not in dark)
        known = await self._records.select(INTERRUPTIONS, Selection(mrids=mrids, limit=_PAGE)) if page else ()
        going_on = Selection(keys=(keys,), states=(GOING_ON,))
        others = await self._records.select(INTERRUPTIONS, going_on) if keys else ()
        rows = {stored.body.point: stored.body for stored in known}
        words = await words_about(self._records, tuple(point.mrid for point in page), word.started_at, word.at)
        for point in page:
            evidence = None if point.mrid in dark else word.evidence
            row, said = rows.get(point.mrid), words[point.mrid]
            if row is None or (row.contradicted is None and not row.is_again):
                await self._count(row or self._row(incident, point), said, evidence)
            elif row.ended_at is None:
                since = row.contradicted.at if row.contradicted is not None else row.started_at
                later = (one for one in said if one.at > since and not one.is_off)
                await self._end(row, evidence, next(later, None))
            elif word.started_at < row.started_at and not row.is_again:
                begun = msgspec.structs.replace(row, started_at=min(word.started_at, row.ended_at))
                await save_interruption(self._records, begun, self._context.now)
        for stored in await find_past(self._records, tuple(rows.values())):
            if not stored.body.is_again and word.started_at < stored.body.started_at:
                await self._records.drop(INTERRUPTIONS, stored.mrid)
                begun = msgspec.structs.replace(stored.body, started_at=word.started_at)
                await save_interruption(self._records, begun, self._context.now)
        await self._enter(page, word.device)
        for stored in others:
            if stored.body.ended_at is not None or stored.mrid in mrids:
                continue
            if await self._book.find_open(stored.body.incident) is None:
                await self._end(stored.body, word.evidence)
            else:  # the premises have left that outage; should it come to have them after all, it counts them anew
                await self._records.drop(INTERRUPTIONS, stored.mrid)
        return page[-1].mrid if len(page) == _PAGE else None

    async def _left(self) -> MRID | None:
        """The same for points that the outage has had, and that hang elsewhere by now."""
        word = self._word
        assert word.device is not None  # without a device nothing is below it
        points, after = await left_since(self._records, word.device, word.started_at, word.after, _PAGE)
        await self._enter(points, word.device)
        return after

    async def _enter(self, points: Sequence[ServicePointRecord], device: MRID) -> None:
        """Enter when the outage had these points: while they were below its device."""
        span = self._word.span
        while_it_lasted = Interval(span.started_at, span.ended_at)
        for point, times in await times_below(self._records, points, device, while_it_lasted):
            for start, end in times:
                until = None if end == span.ended_at else end
                entry = EntryRecord(
                    point=point.mrid,
                    sort=EntrySort.OUTAGE,
                    at=start,
                    until=until,
                    outage=span,
                    customers=point.customers,
                )
                await note_entry(self._records, entry, self._context.now)

    async def _places(self, incident: Stored[Incident]) -> MRID | None:
        """Enter the calls. Where the outage had no device, the places of tickets are gone through as points are."""
        word = self._word
        wanted = Selection(
            keys=((Key("incident", incident.mrid),),), states=(RESOLVED,), after=word.after, limit=_SLICE
        )
        page = await self._records.select(TICKETS.collection, wanted)
        rules = await load_rules(self._records)
        for ticket in page:
            point, customers, path = await self._restorer.point_of(ticket)
            reported = reported_at(ticket.body, ticket.created_at)
            entry = EntryRecord(
                point=point,
                sort=EntrySort.CALL,
                at=reported,
                outage=word.span,
                customers=customers,
                contradicts_since=reported - min(rules.still_out, reported - FIRST),
            )
            await note_entry(self._records, entry, self._context.now, of=ticket.mrid)
            if word.device is not None or await find_interruption(self._records, incident.mrid, point) is not None:
                continue
            outs = outs_between(
                (await words_about(self._records, (point,), word.started_at, word.at))[point], word.started_at, word.at
            )
            if outs[-1].end is None:
                resolved = as_utc(ticket.body.resolved_date_time) or word.at
                outs[-1] = Out(outs[-1].start, max(min(resolved, word.at), outs[-1].start), word.evidence)
            row = InterruptionRecord(
                point=point,
                incident=incident.mrid,
                started_at=word.started_at,
                customers=customers,
                is_planned=word.is_planned,
                device=path[0].mrid if path else None,
            )
            await save_outs(self._records, row, outs, self._context.now)
        return page[-1].mrid if len(page) == _SLICE else None

    def _row(self, incident: Stored[Incident], point: ServicePointRecord) -> InterruptionRecord:
        return InterruptionRecord(
            point=point.mrid,
            incident=incident.mrid,
            started_at=self._word.started_at,
            customers=point.customers,
            is_planned=self._word.is_planned,
            device=point.device,
        )

    async def _count(self, row: InterruptionRecord, said: Sequence[WordRecord], evidence: Evidence | None) -> None:
        """When a point was out by this outage, by all that was said of it; without a contradiction among it.

        When the outage began may have been found out since something was noted.
        """
        start = self._word.started_at
        if row.ended_at is not None and row.started_at <= start:
            return
        outs = outs_between(said, start, self._word.at)
        if row.ended_at is not None and outs[-1].end is None:  # by a word that is none about the point alone
            outs[-1] = Out(outs[-1].start, max(row.ended_at, outs[-1].start), row.evidence)
        if outs[-1].end is None:
            outs[-1] = Out(outs[-1].start, max(self._word.at, outs[-1].start), evidence)
        await save_outs(self._records, row, outs, self._context.now)

    async def _end(self, row: InterruptionRecord, evidence: Evidence | None, word: WordRecord | None = None) -> None:
        """The outage is over for a point. Without evidence nobody has said that it has supply: it is out otherwise.

        `word` is what somebody has said of the point itself before, in this incident or another.
        """
        at, is_by_point = self._word.at, word is not None
        if word is not None:
            at, evidence = word.at, word.evidence
        is_own = row.incident == self._word.incident and not row.is_again
        started_at = min(row.started_at, self._word.started_at) if is_own else row.started_at
        ended = msgspec.structs.replace(
            row, started_at=started_at, ended_at=max(at, started_at), evidence=evidence, is_by_point=is_by_point
        )
        await save_interruption(self._records, ended, self._context.now)

    async def _dark(self, page: Sequence[ServicePointRecord]) -> frozenset[MRID]:
        """Points of a page that are below an outage that goes on, or whose premises still have an open ticket."""
        word = self._word
        below = await devices_below(self._records, page, frozenset(word.excepted))
        dark = {point.mrid for point in page if point.device in below}
        by_key = {key: point.mrid for point in page for key in place_keys(point)}
        if by_key:
            wanted = Selection(keys=(tuple(by_key),), states=(OPEN,))
            for ticket in await self._records.select(TICKETS.collection, wanted):
                dark.update(mrid for key, mrid in by_key.items() if key in ticket.keys)
        return frozenset(dark)
