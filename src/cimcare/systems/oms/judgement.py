"""Which device the calls make suspected: rules that people can read and change, and the arithmetic behind them. Pure.

Calls are counted in buckets of five minutes. Buckets with calls that follow one another without a longer pause than
`separation` make a cluster; since a pause is a pause in whatever order the calls come in, so is a cluster.

A device is suspected for a cluster of calls below it if there are enough of them, if they are a large enough share of
its customers, and if they are spread over its branches as calls would be were all of it out: customers who are out call
from all over, while calls from one branch alone speak for that branch.

Source: rules of outage management as utilities describe them; the measure of spread is ours.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, field

from cimcare.model.network import DeviceKind
from cimcare.systems.oms.devices import DeviceRecord

__all__ = [
    "BUCKET",
    "DEFAULT_RULES",
    "SILENCE",
    "Bucket",
    "GroupingRules",
    "Run",
    "Threshold",
    "bucket_of",
    "expected_reach",
    "instant_of",
    "is_suspected",
    "join_run",
    "runs_of",
    "say_evidence",
]

BUCKET = timedelta(minutes=5)
"""Calls within one bucket are of one time."""

SILENCE = 12
"""Buckets after which a branch that calls again counts once more in the spread: an hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What suspects a device of one kind: premises that called, their share of its customers, and their spread.

    `spread` is measured against what would be expected were all of it out; 0 asks for none.
    """

    calls: Count
    share: Share
    spread: Annotated[float, Meta(ge=0.0, le=2.0)]


def _threshold(calls: int, share: float, spread: float) -> Threshold:
    return field(default_factory=lambda: Threshold(calls=calls, share=share, spread=spread))


class GroupingRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """By what calls are grouped. `separation_minutes` is the longest pause within a cluster."""

    separation_minutes: Annotated[int, Meta(ge=5, le=1440)] = 120
    transformer: Threshold = _threshold(2, 0.1, 0.0)
    fuse: Threshold = _threshold(2, 0.05, 0.7)
    sectionalizer: Threshold = _threshold(3, 0.05, 0.75)
    switch: Threshold = _threshold(3, 0.05, 0.75)
    recloser: Threshold = _threshold(4, 0.04, 0.75)
    breaker: Threshold = _threshold(5, 0.04, 0.75)
    source: Threshold = _threshold(8, 0.04, 0.8)

    @property
    def separation(self) -> int:
        """The longest pause within a cluster, in buckets."""
        return max(1, self.separation_minutes * 60 // int(BUCKET.total_seconds()))

    def threshold(self, kind: DeviceKind) -> Threshold:
        """What suspects a device of this kind."""
        found = getattr(self, kind.value)
        assert isinstance(found, Threshold)
        return found


DEFAULT_RULES = GroupingRules()


class Bucket(NamedTuple):
    """Calls of five minutes below a device.

    `reached` are the customers of branches that begin to call in it, after silence or for the first time, and
    `branches` the number of these branches. `covered` are the customers of spots that begin to call: of devices that
    supply customers directly, wherever below. `spanned` are the same for laterals: what one device feeds next.
    """

    number: int
    calls: int = 0
    reached: int = 0
    branches: int = 0
    covered: int = 0
    spanned: int = 0


class Run(NamedTuple):
    """A cluster: the numbers of its first and last bucket, and what they hold together."""

    first: int
    last: int
    calls: int
    reached: int
    branches: int
    covered: int
    spanned: int = 0


def bucket_of(at: datetime) -> int:
    """Number of the bucket of an aware instant."""
    return (at - _EPOCH) // BUCKET


def instant_of(bucket: int) -> datetime:
    """When a bucket begins; the last instant there is for one beyond the calendar."""
    try:
        return _EPOCH + bucket * BUCKET
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if bucket > 0 else datetime.min.replace(tzinfo=UTC)


def runs_of(buckets: Sequence[Bucket], separation: int) -> list[Run]:
    """Clusters of buckets, which come in order and have calls. Two belong together at most `separation` apart."""
    runs: list[Run] = []
    for one in buckets:
        if one.calls <= 0:
            continue
        if runs and one.number - runs[-1].last <= separation:
            runs[-1] = join_run(runs[-1], one)
        else:
            runs.append(Run(one.number, *one))
    return runs


def join_run(run: Run, one: Bucket) -> Run:
    """The cluster with one more bucket."""
    return Run(
        min(run.first, one.number),
        max(run.last, one.number),
        run.calls + one.calls,
        run.reached + one.reached,
        run.branches + one.branches,
        run.covered + one.covered,
        run.spanned + one.spanned,
    )


def expected_reach(groups: Sequence[tuple[int, int]], rate: float) -> float:
    """Customers in groups from which somebody would call, if all are out and call at this rate.

    Args:
        groups: Pairs of the customers of a group and the number of such groups.
        rate: Share of the customers that call, from 0 to 1.
    """
    return sum(count * size * (1.0 - (1.0 - rate) ** size) for size, count in groups)


def is_suspected(device: DeviceRecord, run: Run, rules: GroupingRules) -> bool:
    """Whether a cluster of calls makes a device suspected.

    A device that feeds nothing but one other is not: calls cannot tell the two apart, and a crew begins at the lower.
    Neither is one of which a single branch calls. The spread is asked for three times: over the branches of the device,
    so that one lateral is no feeder; over all spots below it, so that one transformer of each lateral is none either;
    and over all laterals, so that one feeder and a lateral of another are no substation.
    """
    wanted = rules.threshold(device.kind)
    if sum(count for _, count in device.branches) < 2 or run.branches < 2:
        return False
    if run.calls < wanted.calls or run.calls < wanted.share * device.customers:
        return False
    rate = min(1.0, run.calls / device.customers)
    if min(run.reached, device.customers) < wanted.spread * expected_reach(device.branches, rate):
        return False
    if min(run.covered, device.customers) < wanted.spread * expected_reach(device.spots, rate):
        return False
    return min(run.spanned, device.customers) >= wanted.spread * expected_reach(device.laterals, rate)


def say_evidence(device: DeviceRecord, run: Run) -> str:
    """A cluster of calls in words: how many, of how many, from where, in which time."""
    minutes = (run.last - run.first + 1) * int(BUCKET.total_seconds()) // 60
    branches = sum(count for _, count in device.branches)
    return (
        f"{run.calls} of {device.customers} customers below {device.kind.value} {device.name} reported within"
        f" {minutes} minutes, from {min(run.branches, branches)} of {branches} branches"
    )
