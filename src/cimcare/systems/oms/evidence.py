"""Calls counted by device and time, and which incident a cluster of them has.

A record holds four hours of one device, so that it stays small however many call and however long calls stay open. A
call is counted at each device above it, and at each touches two buckets at most.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.judgement import SILENCE, Bucket, Run, join_run

__all__ = ["EVIDENCE", "Evidence", "EvidenceRecord"]

_SLOT = 48
"""Buckets in one record."""


class EvidenceRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Four hours of one device: buckets that have calls, and the incidents of clusters, each by one of its buckets."""

    buckets: tuple[Bucket, ...] = ()
    anchors: tuple[tuple[int, MRID], ...] = ()


EVIDENCE: Collection[EvidenceRecord] = Collection("oms.Evidence", EvidenceRecord)


class _Slot:
    """One record while it is worked upon."""

    __slots__ = ("anchors", "buckets", "is_new", "is_touched")

    def __init__(self, record: EvidenceRecord | None) -> None:
        self.is_new = record is None
        self.is_touched = False
        self.buckets = {one.number: one for one in record.buckets} if record is not None else {}
        self.anchors = dict(record.anchors) if record is not None else {}


class Evidence:
    """Evidence during one message: read as needed, written by `flush`."""

    def __init__(self, records: Records, now: datetime) -> None:
        self._records = records
        self._now = now
        self._slots: dict[tuple[MRID, int], _Slot] = {}
        self._runs: dict[tuple[MRID, int, int], Run | None] = {}  # as long as nothing changes

    async def load(self, devices: Iterable[MRID], bucket: int, around: int) -> None:
        """Read what is needed around a bucket, `around` buckets to either side, in one look-up."""
        slots = range((bucket - around) // _SLOT, (bucket + around) // _SLOT + 1)
        wanted = [(device, slot) for device in devices for slot in slots if (device, slot) not in self._slots]
        if not wanted:
            return
        mrids = tuple(_mrid(*one) for one in wanted)
        found = await self._records.select(EVIDENCE, Selection(mrids=mrids, limit=len(mrids)))
        by_mrid = {stored.mrid: stored.body for stored in found}
        for one, mrid in zip(wanted, mrids, strict=True):
            self._slots[one] = _Slot(by_mrid.get(mrid))

    async def count(
        self,
        path: Sequence[MRID],
        sizes: Sequence[int],
        spot: tuple[MRID, int],
        bucket: int,
        by: int,
        *,
        lateral: tuple[MRID, int] | None = None,
    ) -> None:
        """Count one premises more (`by` 1) or less (-1) at all devices of its path, nearest first.

        Args:
            path: Devices above, nearest first; not empty.
            sizes: Customers of the branch by which each of them is reached: the point of supply itself for the first.
            spot: Where the calls of the customers are counted that the first device supplies directly, and their
                number: the device itself if it supplies all it feeds directly.
            bucket: When.
            by: 1 or -1.
            lateral: Where the calls of the near customers of the second device are counted, and their number.
        """
        place, customers = spot
        await self.load((*path, place, *((lateral[0],) if lateral is not None else ())), bucket, SILENCE)
        at_spot = await self._begins(place, bucket, by)
        if place not in path:
            await self._change(place, bucket, [by, 0, 0, 0, 0])
        at_lateral: list[tuple[int, int]] = []
        near = lateral[1] if lateral is not None else 0
        if lateral is not None:
            at_lateral = await self._begins(lateral[0], bucket, by)
            await self._change(lateral[0], bucket, [by, 0, 0, 0, 0])
        begins: list[tuple[int, int]] = [(bucket, by)]
        for height, (device, size) in enumerate(zip(path, sizes, strict=True)):
            upwards = await self._begins(device, bucket, by)
            changes = {bucket: [by, 0, 0, 0, 0]}
            for number, sign in begins:
                change = changes.setdefault(number, [0, 0, 0, 0, 0])
                change[1] += sign * size
                change[2] += sign
            for number, sign in at_spot:
                changes.setdefault(number, [0, 0, 0, 0, 0])[3] += sign * customers
            for number, sign in at_lateral if height > 0 else ():
                changes.setdefault(number, [0, 0, 0, 0, 0])[4] += sign * near
            for number, change in changes.items():
                await self._change(device, number, change)
            begins = upwards

    async def _begins(self, device: MRID, bucket: int, by: int) -> list[tuple[int, int]]:
        """Buckets in which the device begins to call (1) or no longer does (-1), once a call has come or gone."""
        before = await self._calls(device, bucket)
        if before != (0 if by > 0 else 1):
            return []
        earlier = await self._next(device, bucket, -1, SILENCE)
        later = await self._next(device, bucket, 1, SILENCE)
        begins = [(bucket, by)] if earlier is None else []
        if later is not None and (earlier is None or later - earlier > SILENCE):
            begins.append((later, -by))
        return begins

    async def _next(self, device: MRID, bucket: int, step: int, within: int) -> int | None:
        """The nearest bucket with calls before (`step` -1) or after (1) this one, at most `within` away."""
        slot, held = None, None
        for number in range(bucket + step, bucket + step * (within + 1), step):
            if held is None or number // _SLOT != slot:
                slot = number // _SLOT
                held = await self._slot(device, slot)
            if number in held.buckets:
                return number
        return None

    async def _slot(self, device: MRID, slot: int) -> _Slot:
        held = self._slots.get((device, slot))
        if held is None:
            stored = await self._records.find(EVIDENCE, _mrid(device, slot))
            held = self._slots[device, slot] = _Slot(stored.body if stored is not None else None)
        return held

    async def _calls(self, device: MRID, bucket: int) -> int:
        one = (await self._slot(device, bucket // _SLOT)).buckets.get(bucket)
        return one.calls if one is not None else 0

    async def _change(self, device: MRID, bucket: int, change: list[int]) -> None:
        held = await self._slot(device, bucket // _SLOT)
        one = held.buckets.get(bucket, Bucket(bucket))
        counts = (max(0, old + new) for old, new in zip(one[1:], change, strict=True))
        calls, reached, branches, covered, spanned = counts
        self._runs.clear()
        held.is_touched = True
        if calls == 0:
            held.buckets.pop(bucket, None)
        else:
            held.buckets[bucket] = Bucket(bucket, calls, reached, branches, covered, spanned)

    async def has_calls(self, device: MRID, bucket: int) -> bool:
        """Whether anybody below the device has called in this bucket."""
        return await self._calls(device, bucket) > 0

    async def is_bridge(self, device: MRID, bucket: int, separation: int) -> bool:
        """Whether one call in this bucket alone holds what is before it and what is behind it together."""
        if await self._calls(device, bucket) != 1:
            return False
        earlier = await self._next(device, bucket, -1, separation)
        later = await self._next(device, bucket, 1, separation)
        return earlier is not None and later is not None and later - earlier > separation

    async def run_at(self, device: MRID, bucket: int, separation: int) -> Run | None:
        """The cluster in which this bucket is; None if it has no calls."""
        known = (device, bucket, separation)
        if known not in self._runs:
            self._runs[known] = await self._find_run(device, bucket, separation)
        return self._runs[known]

    async def _find_run(self, device: MRID, bucket: int, separation: int) -> Run | None:
        one = (await self._slot(device, bucket // _SLOT)).buckets.get(bucket)
        if one is None:
            return None
        run = Run(one.number, *one)
        for step in (-1, 1):
            at: int | None = bucket
            while at is not None:
                at = await self._next(device, at, step, separation)
                if at is not None:
                    run = join_run(run, (await self._slot(device, at // _SLOT)).buckets[at])
        return run

    async def runs_within(self, device: MRID, first: int, last: int, separation: int) -> list[Run]:
        """Clusters that have a bucket from `first` to `last`, both included."""
        runs: list[Run] = []
        number = first
        while number <= last:
            run = await self.run_at(device, number, separation)
            if run is not None:
                runs.append(run)
                number = run.last
            following = await self._next(device, number, 1, last - number)
            if following is None:
                break
            number = following
        return runs

    async def anchors(self, device: MRID, first: int, last: int) -> list[tuple[int, MRID]]:
        """Incidents of clusters of the device from bucket `first` to `last`: the bucket by which each is known."""
        found: list[tuple[int, MRID]] = []
        for slot in range(first // _SLOT, last // _SLOT + 1):
            held = await self._slot(device, slot)
            found += [(number, mrid) for number, mrid in sorted(held.anchors.items()) if first <= number <= last]
        return found

    async def anchor(self, device: MRID, bucket: int, incident: MRID | None) -> None:
        """The cluster with this bucket has this incident; None for none."""
        held = await self._slot(device, bucket // _SLOT)
        held.is_touched = True
        if incident is None:
            held.anchors.pop(bucket, None)
        else:
            held.anchors[bucket] = incident

    async def flush(self) -> None:
        """Write what has changed; a record with nothing in it goes."""
        for (device, slot), held in self._slots.items():
            if not held.is_touched:
                continue
            mrid, held.is_touched = _mrid(device, slot), False
            if not held.buckets and not held.anchors:
                if not held.is_new:
                    await self._records.drop(EVIDENCE, mrid)
                held.is_new = True
                continue
            record = EvidenceRecord(
                buckets=tuple(held.buckets[number] for number in sorted(held.buckets)),
                anchors=tuple(sorted(held.anchors.items())),
            )
            stored = Stored(mrid=mrid, body=record, created_at=self._now, modified_at=self._now)
            await self._records.save(EVIDENCE, stored)
            held.is_new = False


def _mrid(device: MRID, slot: int) -> MRID:
    return MRID(f"{device}@{slot}")
