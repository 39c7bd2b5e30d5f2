"""Single points of supply: they have it again, or have lost it once more, in every outage that has them.

Source: guarantee G12; the arithmetic of intervals is ours.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from cimcare.exchange.ports import Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.oms.devices import DeviceRecord
from cimcare.systems.oms.restored import (
    GOING_ON,
    INTERRUPTIONS,
    Evidence,
    InterruptionRecord,
    find_interruption,
    is_planned,
    outages_above,
    save_interruption,
    start_of,
)
from cimcare.systems.oms.words import Out, WordRecord, note_word, outs_between, save_outs, words_about

__all__ = ["Points"]


class Points:
    """What is said of points during one message.

    Args:
        context: Of the message.
        find_open: The incident of an mRID, if it is open.
        count_restored: Told how many customers of an incident have supply again (less than none if they lost it).
    """

    def __init__(
        self,
        context: ServingContext,
        find_open: Callable[[MRID], Awaitable[Stored[Incident] | None]],
        count_restored: Callable[[MRID, int], Awaitable[None]],
    ) -> None:
        self._context = context
        self._records = context.records
        self._find_open = find_open
        self._count_restored = count_restored

    async def restore(
        self,
        incident: Stored[Incident],
        point: str,
        customers: int,
        at: datetime,
        evidence: Evidence,
        path: Sequence[DeviceRecord] = (),
        *,
        is_by_point: bool = True,
    ) -> None:
        """Somebody says that a point has supply again: no outage on its way to the source keeps it out.

        Args:
            incident: The one of which somebody speaks.
            point: mRID of the usage point, failing that the key of the premises.
            customers: How many are there.
            at: Since when.
            evidence: Who says it.
            path: Devices above, nearest first; outages that are open there have not got this point any more.
            is_by_point: Whether it was said of the point, and not of the outage as a whole: other outages that go on
                keep it out then.
        """
        device = path[0].mrid if path else None
        if is_by_point:
            word = WordRecord(point=point, incident=incident.mrid, at=at, evidence=evidence)
            await note_word(self._records, word, self._context.now)
        above = await outages_above(self._records, path if is_by_point else (), but=incident.mrid, since_before=at)
        for one in (incident, *above):
            await self._end_for(one, point, customers, at, evidence, device, is_by_point=is_by_point)
        going_on = Selection(keys=((Key("point", point),),), states=(GOING_ON,))
        for stored in await self._records.select(INTERRUPTIONS, going_on):
            if not is_by_point and await self._find_open(stored.body.incident) is not None:
                continue
            ended_at = max(at, stored.body.started_at)
            ended = msgspec.structs.replace(stored.body, ended_at=ended_at, evidence=evidence, is_by_point=is_by_point)
            await save_interruption(self._records, ended, self._context.now)

    async def _end_for(
        self,
        incident: Stored[Incident],
        point: str,
        customers: int,
        at: datetime,
        evidence: Evidence,
        device: MRID | None,
        *,
        is_by_point: bool,
    ) -> None:
        """One incident does not keep the point out any more."""
        known = await find_interruption(self._records, incident.mrid, point)
        if known is not None and known.body.ended_at is not None:
            return
        start = start_of(incident)
        row = InterruptionRecord(
            point=point,
            incident=incident.mrid,
            started_at=start,
            customers=customers,
            is_planned=is_planned(incident),
            device=device,
        )
        if known is not None:
            row = known.body
            started_at = row.started_at if row.is_again else min(start, row.started_at)
            ended_at = max(at, started_at)
            row = msgspec.structs.replace(
                row, started_at=started_at, ended_at=ended_at, evidence=evidence, is_by_point=is_by_point
            )
            await save_interruption(self._records, row, self._context.now)
        else:
            words = await words_about(self._records, (point,), start, at)
            outs = outs_between(words[point], start, at)
            if outs[-1].end is None:
                outs[-1] = Out(outs[-1].start, max(at, outs[-1].start), evidence, is_by_point)
            await save_outs(self._records, row, outs, self._context.now)
        await self._count_restored(incident.mrid, customers)

    async def lose(
        self,
        incident: Stored[Incident],
        point: str,
        customers: int,
        at: datetime,
        evidence: Evidence,
        path: Sequence[DeviceRecord] = (),
    ) -> None:
        """A meter had supply until an instant and has lost it: its point is out anew by all outages that have it."""
        await note_word(
            self._records,
            WordRecord(point=point, incident=incident.mrid, at=at, evidence=evidence, is_off=True),
            self._context.now,
        )
        having = {one.mrid: one for one in await outages_above(self._records, path, but=incident.mrid, since_before=at)}
        having[incident.mrid] = incident
        for row in await self._records.find_by_key(INTERRUPTIONS, Key("point", point)):
            one = await self._find_open(row.body.incident)
            if one is not None:
                having[one.mrid] = one
        for one in having.values():
            await self.lose_again(one, point, customers, at, path[0].mrid if path else None)

    async def lose_again(
        self, incident: Stored[Incident], point: str, customers: int, at: datetime, device: MRID | None
    ) -> None:
        """A point is out anew by an incident, if somebody has said before that it had supply again."""
        known = await find_interruption(self._records, incident.mrid, point)
        if known is not None:
            row = known.body
            if row.ended_at is None or row.ended_at > at:
                return
            if row.ended_at > row.started_at:
                past = msgspec.structs.replace(row, is_past=True)
                await save_interruption(self._records, past, self._context.now)
            again = msgspec.structs.replace(
                row,
                started_at=at,
                ended_at=None,
                evidence=None,
                is_by_point=False,
                is_again=True,
                contradicted=None,
            )
            await save_interruption(self._records, again, self._context.now)
            await self._count_restored(incident.mrid, -customers)
            return
        start = start_of(incident)
        words = (await words_about(self._records, (point,), start, at))[point]
        outs = outs_between(words, start, at)
        if outs[-1].end is not None:
            outs.append(Out(at))
        if len(outs) == 1:
            return  # it has been out all the time
        row = InterruptionRecord(
            point=point,
            incident=incident.mrid,
            started_at=start,
            customers=customers,
            is_planned=is_planned(incident),
            device=device,
        )
        await save_outs(self._records, row, outs, self._context.now)
