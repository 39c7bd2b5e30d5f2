"""Premises are looked at again, and what was said of points goes along: the work that a worklist asks for."""

from datetime import timedelta

import msgspec

from cimcare.exchange.ports import Key, Selection, ServingContext
from cimcare.model.identity import MRID
from cimcare.systems.oms.grouping import Judge
from cimcare.systems.oms.judgement import instant_of
from cimcare.systems.oms.kinds import EXTENTS, OPEN, REPORTS, ReportRecord
from cimcare.systems.oms.opening import Openings
from cimcare.systems.oms.regrouping import FOR_EVER, Regrouping, Worklist, behind, next_page
from cimcare.systems.oms.reports import Reports
from cimcare.systems.oms.restored import INTERRUPTIONS
from cimcare.systems.oms.words import carry_words

__all__ = ["Regrouper"]

_PAGE = 50


class Regrouper:
    """Does what is on the worklist of one message, a part at a time."""

    def __init__(
        self, context: ServingContext, openings: Openings, judge: Judge, work: Worklist, reports: Reports
    ) -> None:
        self._context = context
        self._records = context.records
        self._openings = openings
        self._judge = judge
        self._work = work
        self._reports = reports

    async def regroup(self, item: Regrouping, most: int) -> int:
        """Do a part of the work; what is left of it goes back onto the list. How much of the budget it took."""
        if item.incident is None:
            return await self._spread(item)
        if item.into is not None:
            return await self._carry(item, item.incident, item.into)
        incident = await self._openings.find(item.incident)
        if incident is None or (incident.state == OPEN) == item.is_ended:
            return 1
        if not item.is_ended and item.after is None:
            await self._judge.loosen(incident)
        wanted = Selection(keys=((Key("incident", item.incident),),), limit=min(most, _PAGE))
        page = await next_page(self._records, REPORTS, wanted, item)
        for stored in page:
            if item.is_ended:
                await self._reports.forget(stored.body)
            else:
                await self._look_again(stored.body, item)
        if len(page) == wanted.limit:
            self._work.put_back(item if item.is_ended else behind(item, page[-1]))
        elif item.is_ended:
            await self._judge.release(item.incident)
        else:
            await self._ground(item)
        return max(1, len(page))

    async def _carry(self, item: Regrouping, source: MRID, into: MRID) -> int:
        """What was said of single points of an incident holds in the one to which premises of it have moved."""
        target = await self._openings.find_open(into)
        if target is None:
            return 1
        wanted = Selection(keys=((Key("incident", source),),), limit=_PAGE)
        page = await next_page(self._records, INTERRUPTIONS, wanted, item)
        if len(page) == wanted.limit:
            self._work.put_back(behind(item, page[-1]))
        device = (await self._openings.extent(into)).device
        restored, is_any = await carry_words(self._records, page, target, device, self._context.now)
        if is_any:
            await self._reports.count_restored(into, restored)
        return max(1, len(page))

    async def _spread(self, item: Regrouping) -> int:
        """Put the incidents on the list that are below a device, or all that are open."""
        wanted = Selection(states=(OPEN,), limit=_PAGE)
        if item.device is not None:
            wanted = msgspec.structs.replace(
                wanted,
                keys=((Key("above", item.device),),),
                since=instant_of(item.first),
                until=instant_of(item.last + 1) - timedelta(microseconds=1),
            )
        page = await next_page(self._records, EXTENTS, wanted, item)
        if len(page) == wanted.limit:
            self._work.put_back(behind(item, page[-1]))
        for stored in page:
            # What a suspected device has gathered is at home there; a confirmed one takes that over, too.
            is_at_home = stored.body.device == item.device and item.device is not None and item.last < FOR_EVER
            if not stored.body.is_pinned and not is_at_home:
                self._work.add(Regrouping(incident=stored.mrid, why=item.why))
        return max(1, len(page) // 5)

    async def _look_again(self, report: ReportRecord, item: Regrouping) -> None:
        """A premises in the incident where it belongs by now."""
        report = await self._reports.report_of(report.premises) or report
        incident = await self._openings.find_open(item.incident)
        if incident is None or report.incident != item.incident or report.is_placed:
            return
        extent = await self._openings.extent(incident.mrid)
        target, why = await self._judge.target(report, incident if extent.is_adrift else None)
        extent = await self._openings.extent(incident.mrid)
        if target is None:
            if extent.is_adrift:
                await self._openings.place(
                    incident, None, f"{item.why}; {why}", path=report.path, service=report.premises
                )
                return
            if extent.device is None and extent.service == report.premises:
                return
            target = await self._reports.open_alone(report, why)
        await self._reports.move(report, target, why if item.why == why else f"{item.why}; {why}")

    async def _ground(self, item: Regrouping) -> None:
        """All of an incident were looked at, and nothing has claimed it: what is left in it was put there by hand."""
        incident = await self._openings.find_open(item.incident)
        if incident is None:
            return
        extent = await self._openings.extent(incident.mrid)
        self._reports.touched.setdefault(incident.mrid, item.why)
        if extent.is_adrift and extent.premises > 0:
            await self._openings.place(incident, None, item.why, path=())
