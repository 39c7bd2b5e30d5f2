"""Which incident the calls of a place belong to, by the network and by the rules.

A call goes up its path: the topmost device that the calls below it make suspected has the incident. Whether a device is
suspected follows from the calls that count and from nothing else, so no order in which they come alters what they make
in the end. What has to be moved when a device becomes suspected, or is no longer, goes onto the worklist.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.oms.devices import (
    DEVICES,
    PLACE_SORTS,
    DeviceRecord,
    Supply,
    find_supply_below,
    find_supply_of_place,
)
from cimcare.systems.oms.evidence import Evidence
from cimcare.systems.oms.judgement import (
    DEFAULT_RULES,
    SILENCE,
    GroupingRules,
    Run,
    bucket_of,
    instant_of,
    is_suspected,
    say_evidence,
)
from cimcare.systems.oms.kinds import EXTENTS, INCIDENTS, OPEN, ExtentRecord, ReportRecord
from cimcare.systems.oms.opening import Openings
from cimcare.systems.oms.regrouping import Regrouping, Worklist
from cimcare.systems.oms.rules import load_rules

__all__ = ["Judge"]

SupplyT = TypeVar("SupplyT", Supply, Supply | None)

_MOST_PINNED = 100


class Judge:
    """Judges the reports of one message."""

    def __init__(self, context: ServingContext, openings: Openings, work: Worklist) -> None:
        self._context = context
        self._records = context.records
        self._openings = openings
        self._work = work
        self._evidence = Evidence(context.records, context.now)
        self._devices: dict[MRID, DeviceRecord] = {}
        self._places: dict[frozenset[Key], Supply | None] = {}
        self._below: dict[str, Supply] = {}
        self._rules: GroupingRules | None = None

    async def rules(self) -> GroupingRules:
        """The rules in force."""
        if self._rules is None:
            record = await load_rules(self._records)
            self._rules = record.rules if record is not None else DEFAULT_RULES
        return self._rules

    async def find_supply(self, keys: frozenset[Key], transformer: str, stated: str) -> Supply:
        """What supplies a place: by its point of supply, by its transformer, failing both by the device it states."""
        place = frozenset(key for key in keys if key.sort in PLACE_SORTS)
        if place not in self._places:
            self._places[place] = self._known(await find_supply_of_place(self._records, place))
        supply = self._places[place]
        if supply is None:
            supply = await self._supply_below(transformer) if transformer else Supply()
        if supply.device is None and stated:
            below = await self._supply_below(stated)
            supply = below if below.device is not None else supply
        return supply

    async def _supply_below(self, device: str) -> Supply:
        if device not in self._below:
            self._below[device] = self._known(await find_supply_below(self._records, device))
        return self._below[device]

    def _known(self, supply: SupplyT) -> SupplyT:
        if supply is not None:
            self._devices |= {device.mrid: device for device in supply.path}
        return supply

    async def devices(self, mrids: Sequence[MRID]) -> tuple[DeviceRecord, ...]:
        """Devices of a path, in its order; one that is no longer in the model is left out."""
        missing = tuple(mrid for mrid in mrids if mrid not in self._devices)
        if missing:
            for stored in await self._records.select(DEVICES, Selection(mrids=missing, limit=len(missing))):
                self._devices[stored.mrid] = stored.body
        return tuple(self._devices[mrid] for mrid in mrids if mrid in self._devices)

    async def count(self, report: ReportRecord, by: int) -> None:
        """Count a report at the devices above it, or no longer."""
        if report.path and report.spot is not None:
            await self._evidence.count(
                report.path, report.sizes, report.spot, bucket_of(report.at), by, lateral=report.lateral
            )

    async def flush(self) -> None:
        """Write the evidence."""
        await self._evidence.flush()

    # ------------------------------------------------------------------------------------- what has changed

    async def settle(self, report: ReportRecord, why: str = "") -> None:
        """After a report was counted, or no longer is: which devices above it are suspected now.

        A device that becomes suspected gets an incident, and the work to gather what is below it; one that no longer is
        gives its incident up.
        """
        rules, bucket = await self.rules(), bucket_of(report.at)
        reach = rules.separation
        await self._evidence.load(report.path, bucket, max(reach, SILENCE))
        covered: list[Run] = []
        pinned = await self._pinned_on(report.path)
        for device in reversed(await self.devices(report.path)):
            runs = await self._evidence.runs_within(device.mrid, bucket - reach, bucket + reach, reach)
            await self._mend(device, bucket, runs)
            is_split = len(runs) > 1 and runs[0].last < bucket < runs[1].first
            for run in runs:
                is_below = any(above.first <= run.first and run.last <= above.last for above in covered)
                is_confirmed = any(
                    report.path.index(device.mrid) <= at and (since is None or since < instant_of(run.last + 1))
                    for at, since, _ in pinned
                )
                is_own = not is_below and not is_confirmed and is_suspected(device, run, rules)
                if is_own:
                    covered.append(run)
                    await self._incident_of(device, run, None)
                    if await self._evidence.is_bridge(device.mrid, bucket, reach):
                        why = f"{say_evidence(device, run)}: it is suspected"
                        self._work.add(Regrouping(device=device.mrid, first=run.first, last=run.last, why=why))
                for number, mrid in await self._evidence.anchors(device.mrid, run.first, run.last):
                    if not is_own:
                        reason = why or f"{say_evidence(device, run)}: it is no longer suspected"
                        await self._cast_off(device.mrid, number, mrid, reason)
                    elif is_split:
                        self._work.add(Regrouping(incident=mrid, why="the calls are of different times"))

    async def _mend(self, device: DeviceRecord, bucket: int, runs: Sequence[Run]) -> None:
        """Tie an incident to another bucket of its cluster where the one that it was tied to has no calls any more."""
        if any(run.first <= bucket <= run.last for run in runs) and await self._evidence.has_calls(device.mrid, bucket):
            return
        for number, mrid in await self._evidence.anchors(device.mrid, bucket, bucket):
            if not runs:
                await self._cast_off(device.mrid, number, mrid, "nothing is reported below it any more")
                continue
            await self._evidence.anchor(device.mrid, number, None)
            run = runs[0]
            await self._tie(device.mrid, run.last if run.last < bucket else run.first, mrid)
            # It may have been tied to another part of what was one cluster, and others may belong to this one.
            why = f"{say_evidence(device, run)}: the calls are of different times"
            self._work.add(Regrouping(incident=mrid, why=why))
            self._work.add(Regrouping(device=device.mrid, first=run.first, last=run.last, why=why))

    async def _tie(self, device: MRID, bucket: int, mrid: MRID) -> None:
        await self._evidence.anchor(device, bucket, mrid)
        incident = await self._openings.find(mrid)
        if incident is not None:
            extent = msgspec.structs.replace(await self._openings.extent(mrid), anchor=bucket)
            await self._openings.write(incident, incident.body, extent)

    async def _cast_off(self, device: MRID, bucket: int, mrid: MRID, why: str) -> None:
        """The incident has this device no longer. One that has ended keeps it until nothing in it counts any more."""
        incident = await self._openings.find_open(mrid)
        if incident is None:
            return
        await self._evidence.anchor(device, bucket, None)
        extent = msgspec.structs.replace(await self._openings.extent(mrid), anchor=None, is_adrift=True)
        await self._openings.write(incident, incident.body, extent)
        self._work.add(Regrouping(incident=mrid, why=why))

    async def release(self, mrid: MRID) -> None:
        """The incident has ended, and nothing in it counts any more."""
        extent = await self._openings.extent(mrid)
        if extent.device is not None and extent.anchor is not None:
            await self._evidence.anchor(extent.device, extent.anchor, None)

    # ------------------------------------------------------------------------------------- where it belongs

    async def loosen(self, incident: Stored[Incident]) -> None:
        """Before the premises of an incident are looked at again: whether its device still is the one."""
        extent = await self._openings.extent(incident.mrid)
        if extent.device is None or extent.anchor is None or extent.is_adrift:
            return
        rules = await self.rules()
        top = await self._topmost((extent.device, *extent.path), extent.anchor, rules)
        if top is None or top[0].mrid != extent.device:
            why = f"{say_evidence(*top)}: the device above is suspected" if top is not None else "no longer suspected"
            await self._cast_off(extent.device, extent.anchor, incident.mrid, why)

    async def target(
        self, report: ReportRecord, adrift: Stored[Incident] | None = None
    ) -> tuple[Stored[Incident] | None, str]:
        """The incident where a report belongs, and why; None if the premises stand for themselves.

        Args:
            report: A report that is counted.
            adrift: Incident that may be given to a suspected device which has none.
        """
        if not report.path:
            return await self._of_stated(report)
        pinned = await self._pinned_above(report)
        if pinned is not None:
            return pinned
        rules, bucket = await self.rules(), bucket_of(report.at)
        if await self._is_void(report.path, bucket, rules):
            return None, "it was reported after the outage above it had ended"
        top = await self._topmost(report.path, bucket, rules)
        if top is None:
            nearest = await self.devices(report.path[:1])
            run = await self._evidence.run_at(report.path[0], bucket, rules.separation)
            said = say_evidence(nearest[0], run) if nearest and run is not None else "the calls are few"
            return None, f"{said}: no device is suspected"
        device, run = top
        return await self._incident_of(device, run, adrift), say_evidence(device, run)

    async def _topmost(
        self, path: Sequence[MRID], bucket: int, rules: GroupingRules
    ) -> tuple[DeviceRecord, Run] | None:
        """The topmost device of a path that is suspected for the cluster of a bucket."""
        await self._evidence.load(path, bucket, max(rules.separation, SILENCE))
        for device in reversed(await self.devices(path)):
            run = await self._evidence.run_at(device.mrid, bucket, rules.separation)
            if run is not None and is_suspected(device, run, rules):
                return device, run
        return None

    async def _is_void(self, path: Sequence[MRID], bucket: int, rules: GroupingRules) -> bool:
        """Whether the calls around are those of an incident that has ended and is being cleared."""
        await self._evidence.load(path, bucket, max(rules.separation, SILENCE))
        for device in path:
            run = await self._evidence.run_at(device, bucket, rules.separation)
            if run is None:
                continue
            for _, mrid in await self._evidence.anchors(device, run.first, run.last):
                if await self._openings.find_open(mrid) is None:
                    return True
        return False

    async def _of_stated(self, report: ReportRecord) -> tuple[Stored[Incident] | None, str]:
        """Without a path: the incident at the device that was stated."""
        if not report.stated:
            return None, "the network model does not know the place"
        wanted = Selection(keys=((Key("device", report.stated),),), states=(OPEN,), limit=1)
        found = await self._records.select(INCIDENTS.collection, wanted)
        incident = await self._openings.find_open(found[0].mrid) if found else None
        why = f"the network model does not know the place; a call names device {report.stated}"
        return incident, why

    async def _pinned_above(self, report: ReportRecord) -> tuple[Stored[Incident], str] | None:
        """The incident of the nearest device above that somebody has confirmed."""
        for _, since, mrid in await self._pinned_on(report.path):
            incident = await self._openings.find_open(mrid)
            if incident is not None and (since is None or since <= report.at):
                extent = await self._openings.extent(mrid)
                return incident, f"{extent.kind} {extent.device_name} above it is confirmed to be out"
        return None

    async def _pinned_on(self, path: Sequence[MRID]) -> list[tuple[int, datetime | None, MRID]]:
        """Open incidents of confirmed devices on a path, the nearest first: which device, since when, which one."""
        keys = tuple(Key("pinned", mrid) for mrid in path)
        if not keys:
            return []
        found = await self._records.select(EXTENTS, Selection(keys=(keys,), states=(OPEN,), limit=_MOST_PINNED))
        pinned = [
            (path.index(one.body.device), one.body.pinned_since, one.mrid) for one in found if one.body.device in path
        ]
        return sorted(pinned, key=lambda one: (one[0], one[2]))

    async def _incident_of(
        self, device: DeviceRecord, run: Run, adrift: Stored[Incident] | None
    ) -> Stored[Incident] | None:
        """The incident of a suspected device; the oldest one where there are several, a new one where there is none."""
        anchors = await self._evidence.anchors(device.mrid, run.first, run.last)
        standing = [
            (await self._openings.extent(mrid), mrid, number)
            for number, mrid in anchors
            if await self._openings.find_open(mrid) is not None
        ]
        if anchors and not standing:
            return None
        if standing:
            standing.sort(key=lambda one: (one[0].first_at or instant_of(one[2]), one[1]))
            for _, mrid, number in standing[1:]:
                why = f"{say_evidence(device, run)}: one outage with incident {standing[0][1]}"
                await self._cast_off(device.mrid, number, mrid, why)
            return await self._openings.find_open(standing[0][1])
        why = f"{say_evidence(device, run)}: it is suspected"
        incident = adrift or await self._oldest_below(device, run)
        if incident is None:
            extent = ExtentRecord(anchor=run.first)
            incident = await self._openings.open_at(device, why, instant_of(run.first), extent)
        else:
            before = await self._openings.extent(incident.mrid)
            if before.device is not None and before.anchor is not None:
                await self._evidence.anchor(before.device, before.anchor, None)
            incident = await self._openings.place(incident, device, why, anchor=run.first)
        await self._evidence.anchor(device.mrid, run.first, incident.mrid)
        self._work.add(Regrouping(device=device.mrid, first=run.first, last=run.last, why=why))
        return incident

    async def _oldest_below(self, device: DeviceRecord, run: Run) -> Stored[Incident] | None:
        """The open incident below a device that began first within a cluster, but for those placed by somebody."""
        wanted = Selection(
            keys=((Key("above", device.mrid),),),
            states=(OPEN,),
            since=instant_of(run.first),
            until=instant_of(run.last + 1) - timedelta(microseconds=1),
            limit=_MOST_PINNED,
        )
        for stored in await self._records.select(EXTENTS, wanted):
            incident = await self._openings.find_open(stored.mrid)
            extent = await self._openings.extent(stored.mrid)
            is_elsewhere = extent.anchor is not None and not run.first <= extent.anchor <= run.last
            if incident is not None and not extent.is_pinned and not extent.is_placed and not is_elsewhere:
                return incident
        return None
