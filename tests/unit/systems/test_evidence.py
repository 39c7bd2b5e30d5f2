"""Counting calls by device and time, against the plain count."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cimcare.model.identity import MRID
from cimcare.model.network import DeviceKind
from cimcare.store.memory import MemoryRecords
from cimcare.systems.oms.devices import DeviceRecord
from cimcare.systems.oms.evidence import EVIDENCE, Evidence
from cimcare.systems.oms.judgement import (
    DEFAULT_RULES,
    SILENCE,
    Bucket,
    Run,
    bucket_of,
    expected_reach,
    instant_of,
    is_suspected,
    runs_of,
    say_evidence,
)
from tests.unit.systems.utility import MONDAY

SOURCE, LEFT, RIGHT = MRID("source"), MRID("left"), MRID("right")
SIZES = {LEFT: 30, RIGHT: 12}
SEPARATION = 24


def brute_force(calls: list[tuple[MRID, int]], device: MRID) -> list[Run]:
    """Clusters of a device from the list of all calls: (nearest device, bucket)."""
    below = [(at, number) for at, number in calls if device in (at, SOURCE)]
    buckets = []
    for number in sorted({number for _, number in below}):
        here = [at for at, one in below if one == number]
        if device == SOURCE:
            begin = [
                child
                for child in SIZES
                if child in here and not any(at == child and number - SILENCE <= one < number for at, one in below)
            ]
            reached = sum(SIZES[child] for child in begin)
            buckets.append(Bucket(number, len(here), reached, len(begin), reached))
        else:
            begins = not any(number - SILENCE <= one < number for _, one in below)
            buckets.append(Bucket(number, len(here), len(here), len(here), SIZES[device] * begins))
    return runs_of(buckets, SEPARATION)


@given(st.lists(st.tuples(st.sampled_from((LEFT, RIGHT)), st.integers(-200, 200), st.booleans()), max_size=40))
async def test_counts_what_is_there_whatever_has_come_and_gone(history: list[tuple[MRID, int, bool]]) -> None:
    """Evidence that drifts from the calls makes outages that nobody has reported."""
    records = MemoryRecords()
    calls: list[tuple[MRID, int]] = []
    for at, (device, number, is_new) in enumerate(history):
        evidence = Evidence(records, MONDAY)
        if not is_new and not calls:
            continue
        where, when = (device, number) if is_new else calls.pop(at % len(calls))
        await evidence.count((where, SOURCE), (1, SIZES[where]), (where, SIZES[where]), when, 1 if is_new else -1)
        if is_new:
            calls.append((where, when))
        await evidence.flush()
    evidence = Evidence(records, MONDAY)
    for device in (SOURCE, LEFT, RIGHT):
        assert await evidence.runs_within(device, -300, 300, SEPARATION) == brute_force(calls, device)
    for device, number in calls:
        (run,) = (run for run in brute_force(calls, device) if run.first <= number <= run.last)
        assert await evidence.run_at(device, number, SEPARATION) == run


async def test_nothing_is_left_when_all_have_gone() -> None:
    """Calls that were settled years ago must not be read for ever."""
    records = MemoryRecords()
    evidence = Evidence(records, MONDAY)
    for by in (1, -1):
        await evidence.count((LEFT, SOURCE), (1, 30), (LEFT, 30), 7, by)
        await evidence.anchor(SOURCE, 7, MRID("i-1") if by > 0 else None)
        await evidence.flush()
        from cimcare.exchange.ports import Selection

        assert len(await records.select(EVIDENCE, Selection())) == (2 if by > 0 else 0)


async def test_an_incident_is_known_by_a_bucket_of_its_cluster() -> None:
    """A cluster grows at both ends; its incident stays."""
    evidence = Evidence(MemoryRecords(), MONDAY)
    await evidence.anchor(SOURCE, 5, MRID("i-1"))
    await evidence.anchor(SOURCE, 500, MRID("i-2"))
    assert await evidence.anchors(SOURCE, 0, 499) == [(5, "i-1")]
    assert await evidence.anchors(SOURCE, -60, 600) == [(5, "i-1"), (500, "i-2")]


def fuse(*branches: tuple[int, int], kind: DeviceKind = DeviceKind.FUSE) -> DeviceRecord:
    customers = sum(size * count for size, count in branches)
    return DeviceRecord(
        mrid=MRID("f"), name="F-113", names=(), kind=kind, customers=customers, branches=branches, spots=branches
    )


def test_a_device_is_suspected_by_calls_share_and_spread() -> None:
    """Too few, too small a share, or all from one corner: not the device."""
    device = fuse((10, 4))
    assert is_suspected(device, Run(0, 2, 7, 30, 3, 30), DEFAULT_RULES)
    assert not is_suspected(device, Run(0, 2, 1, 20, 2, 20), DEFAULT_RULES)
    assert not is_suspected(device, Run(0, 2, 7, 10, 1, 10), DEFAULT_RULES)
    assert not is_suspected(device, Run(0, 2, 12, 20, 2, 20), DEFAULT_RULES)
    assert not is_suspected(fuse((10, 40)), Run(0, 2, 7, 70, 7, 70), DEFAULT_RULES)


def test_a_device_that_feeds_one_other_is_never_suspected() -> None:
    """Calls cannot tell the two apart, and the crew begins below."""
    assert not is_suspected(fuse((40, 1)), Run(0, 20, 30, 80, 2, 40), DEFAULT_RULES)


def test_two_laterals_at_once_are_no_feeder() -> None:
    """Two trees on two laterals, and everybody on them calls; the other eight have light."""
    feeder = fuse((40, 10), kind=DeviceKind.BREAKER)
    assert not is_suspected(feeder, Run(0, 5, 70, 80, 2, 80), DEFAULT_RULES)
    assert is_suspected(feeder, Run(0, 5, 70, 400, 10, 400), DEFAULT_RULES)


def test_what_would_be_expected() -> None:
    """With one call in ten, half of the branches of seven customers are heard of, and of single ones a tenth."""
    assert round(expected_reach(((1, 100),), 0.1), 9) == 10.0
    assert round(expected_reach(((7, 10),), 0.1), 2) == 36.52
    assert expected_reach((), 0.1) == 0.0


def test_one_transformer_on_each_lateral_is_no_feeder() -> None:
    """All branches call, and from each of them the same few houses: three small outages, and not a big one."""
    feeder = DeviceRecord(
        mrid=MRID("b"),
        name="B",
        names=(),
        kind=DeviceKind.BREAKER,
        customers=240,
        branches=((80, 3),),
        spots=((10, 24),),
    )
    assert not is_suspected(feeder, Run(0, 5, 30, 240, 3, 30), DEFAULT_RULES)
    assert is_suspected(feeder, Run(0, 5, 30, 240, 3, 170), DEFAULT_RULES)


def test_a_feeder_and_a_lateral_of_another_are_no_substation() -> None:
    """Both feeders call, and most transformers: but of five laterals of the second feeder four are silent."""
    substation = DeviceRecord(
        mrid=MRID("s"),
        name="S",
        names=(),
        kind=DeviceKind.SOURCE,
        customers=200,
        branches=((100, 2),),
        spots=((5, 40),),
        laterals=((20, 10),),
    )
    assert not is_suspected(substation, Run(0, 5, 28, 200, 2, 120, 120), DEFAULT_RULES)
    assert is_suspected(substation, Run(0, 5, 28, 200, 2, 120, 180), DEFAULT_RULES)


def test_evidence_is_said_in_words() -> None:
    """A dispatcher who is told why can say no."""
    assert say_evidence(fuse((10, 4)), Run(0, 2, 7, 30, 3, 30)) == (
        "7 of 40 customers below fuse F-113 reported within 15 minutes, from 3 of 4 branches"
    )


def test_buckets_are_five_minutes() -> None:
    """From the hour on, whatever the year."""
    assert (
        bucket_of(MONDAY)
        == bucket_of(MONDAY + timedelta(minutes=4, seconds=59))
        == bucket_of(instant_of(bucket_of(MONDAY)))
    )
    assert instant_of(bucket_of(MONDAY) + 1) == MONDAY + timedelta(minutes=5)
    assert instant_of(10**12) > MONDAY > instant_of(-(10**12))
