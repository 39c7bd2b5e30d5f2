"""Grouping of calls: what a call costs as the network grows, a storm of one hour, and how often the device is right.

Three parts, each of which prints its figures:

- `cost`: a call at 1,000 to 1,000,000 premises, by rounds that take turns, in memory and on SQLite; the ratio to the
  smallest network. In each round as many calls come from one feeder of the same shape, and are cancelled again.
- `storm`: 150,000 calls in one incident hour, faults of all sizes at once; the cost of the last ten thousand beside
  that of the first, and how long the longest message took. In memory, with Python's collector of garbage off.
- `devices`: 1,000 random faults with 10 %, 30 % and 100 % of the customers calling, one and three at a time: precision
  and recall of the suspected device on Northlake, on feeders with realistic laterals, and on the IEEE test feeders
  where they lie beside the project. The rules that come with the product were tuned by `--seed 1` on the first two;
  what is printed is drawn by another seed.

`python bench/grouping.py [cost|storm|devices ...] [--most N] [--calls N] [--faults N] [--seed N] [--json]`.
"""

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cimcare.codec.network import parse_network
from cimcare.exchange.ports import Records, Selection, ServingContext, Stored
from cimcare.exchange.store import Store
from cimcare.model.envelope import Header, Payload, RequestMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import UsagePointIdentity
from cimcare.model.network import DeviceKind
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import CustomerAgreementPlace, TroubleTicket, TroubleTicketCustomer, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples.northlake_network import build_network
from cimcare.store.memory import MemoryRecords
from cimcare.store.opening import open_store
from cimcare.systems import oms
from cimcare.systems.oms.devices import (
    DEVICES,
    SERVICE_POINTS,
    DeviceRecord,
    ServicePointRecord,
    device_keys,
    names_of_device,
    point_keys,
)
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.judgement import (
    DEFAULT_RULES,
    SILENCE,
    Bucket,
    GroupingRules,
    bucket_of,
    is_suspected,
    runs_of,
)
from cimcare.systems.oms.quieting import regroup

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FEEDERS = tuple(above / "shared" / "data" / "feeders" for above in Path(__file__).parents[2:4])
"""Beside the project, or beside a folder of working trees of it."""

POINTS_OF_TRANSFORMER, TRANSFORMERS_OF_FUSE, FUSES_OF_FEEDER, FEEDERS_OF_SOURCE = 10, 8, 12, 10
POINTS_OF_FEEDER = POINTS_OF_TRANSFORMER * (TRANSFORMERS_OF_FUSE * FUSES_OF_FEEDER + 4)
"""A feeder has twelve laterals and four transformers on its trunk: a thousand premises."""


# ------------------------------------------------------------------------------------------------------- networks


def device_of(
    name: str,
    kind: DeviceKind,
    path: Sequence[str],
    customers: int,
    branches: Sequence[tuple[int, int]],
    spots: Sequence[tuple[int, int]],
    direct: int = 0,
    near: int = 0,
    laterals: Sequence[tuple[int, int]] = (),
) -> DeviceRecord:
    return DeviceRecord(
        mrid=MRID(name),
        name=name,
        names=names_of_device(name),
        kind=kind,
        upstream=MRID(path[0]) if path else None,
        path=tuple(MRID(one) for one in path),
        customers=customers,
        branches=tuple(branches),
        direct=direct,
        spots=tuple(spots),
        near=near,
        laterals=tuple(laterals),
    )


def grid(premises: int) -> Iterator[DeviceRecord | ServicePointRecord]:
    """A network of this many premises, in feeders of a thousand: breaker, recloser, fuses, transformers."""
    per_transformer, per_fuse = POINTS_OF_TRANSFORMER, POINTS_OF_TRANSFORMER * TRANSFORMERS_OF_FUSE
    feeders = max(1, premises // POINTS_OF_FEEDER)
    half = per_fuse * (FUSES_OF_FEEDER // 2)
    for feeder in range(feeders):
        source = f"S{feeder // FEEDERS_OF_SOURCE}"
        if feeder % FEEDERS_OF_SOURCE == 0:
            below = min(FEEDERS_OF_SOURCE, feeders - feeder)
            customers = below * POINTS_OF_FEEDER
            spots = ((per_transformer, customers // per_transformer),)
            yield device_of(source, DeviceKind.SOURCE, (), customers, ((POINTS_OF_FEEDER, below),), spots)
        breaker, recloser = f"B{feeder}", f"R{feeder}"
        trunk = 4
        branches = [(per_fuse, FUSES_OF_FEEDER // 2), (half, 1), (per_transformer, trunk)]
        spots = ((per_transformer, POINTS_OF_FEEDER // per_transformer),)
        yield device_of(breaker, DeviceKind.BREAKER, (source,), POINTS_OF_FEEDER, branches, spots)
        spots = ((per_transformer, half // per_transformer),)
        yield device_of(
            recloser, DeviceKind.RECLOSER, (breaker, source), half, [(per_fuse, FUSES_OF_FEEDER // 2)], spots
        )
        laterals = [(f"F{feeder}-{fuse}", TRANSFORMERS_OF_FUSE) for fuse in range(FUSES_OF_FEEDER)]
        for number, (fuse, count) in enumerate([*laterals, ("", trunk)]):
            above = (recloser, breaker, source) if number >= FUSES_OF_FEEDER // 2 and fuse else (breaker, source)
            if fuse:
                spots = ((per_transformer, count),)
                yield device_of(fuse, DeviceKind.FUSE, above, per_fuse, spots, spots)
                above = (fuse, *above)
            for at in range(count):
                transformer = f"T{feeder}-{number}-{at}"
                every = per_transformer
                kind = DeviceKind.TRANSFORMER
                yield device_of(transformer, kind, above, every, [(1, every)], [(every, 1)], direct=every)
                for point in range(per_transformer):
                    name = f"P{feeder}-{number * per_fuse + at * per_transformer + point}"
                    yield ServicePointRecord(mrid=MRID(name), device=MRID(transformer))


async def write(records: Records, parts: Sequence[DeviceRecord | ServicePointRecord]) -> None:
    for part in parts:
        if isinstance(part, DeviceRecord):
            keys = device_keys(part)
            await records.save(DEVICES, Stored(mrid=part.mrid, body=part, created_at=NOON, modified_at=NOON, keys=keys))
        else:
            keys = point_keys(part)
            stored = Stored(mrid=part.mrid, body=part, created_at=NOON, modified_at=NOON, keys=keys)
            await records.save(SERVICE_POINTS, stored)


# ---------------------------------------------------------------------------------------------------------- calls


class Desk:
    """Takes calls over a store: a transaction for each, in memory none."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._records: Records = MemoryRecords()
        self._minted = 0
        self.longest = 0.0
        self.ticks = 0.0

    @asynccontextmanager
    async def records(self) -> AsyncIterator[Records]:
        if self._store is None:
            yield self._records
            return
        async with self._store.transaction() as transaction:
            yield transaction.records

    def _mint(self) -> str:
        self._minted += 1
        return f"minted-{self._minted}"

    def _context(self, records: Records, verb: Verb, now: datetime) -> ServingContext:
        header = Header(verb=verb, noun=Noun.TROUBLE_TICKETS, message_id=MessageID("bench"), timestamp=now)
        return ServingContext(records=records, now=now, new_id=self._mint, header=header)

    async def say(self, verb: Verb, tickets: Sequence[TroubleTicket], now: datetime) -> float:
        """Serve a message; the seconds of this process that it took, whatever else the machine does."""
        payload = Payload(content=(TroubleTickets(trouble_ticket=tuple(tickets)),))
        clock = time.process_time()
        async with self.records() as records:
            context = self._context(records, verb, now)
            served = await oms.SERVES[verb, Noun.TROUBLE_TICKETS](
                RequestMessage(header=context.header, payload=payload), context
            )
            assert served.result is Result.OK, served.findings
        took = time.process_time() - clock
        self.longest = max(self.longest, took)
        return took

    async def quiet(self, now: datetime) -> None:
        """Let the clock do what is left; `ticks` adds up how long it took."""
        has_more = True
        while has_more:
            began = time.perf_counter()
            async with self.records() as records:
                has_more = (await regroup(self._context(records, Verb.CHANGE, now))).has_more
            self.ticks += time.perf_counter() - began


def a_call(ticket: str, point: str, at: datetime) -> TroubleTicket:
    place = CustomerAgreementPlace(usage_points=(UsagePointIdentity(mrid=MRID(point)),))
    return TroubleTicket(
        mrid=MRID(ticket), date_time_of_report=at, customer=TroubleTicketCustomer(customer_agreements=(place,))
    )


async def measure_cost(sizes: Sequence[int], rounds: int, calls: int, *, is_durable: bool) -> dict[int, float]:
    """Seconds of a call by premises: the median of all, by rounds that take turns."""
    with tempfile.TemporaryDirectory() as folder:
        desks: dict[int, Desk] = {}
        stores: list[Store] = []
        for size in sizes:
            store = None
            if is_durable:
                store = await open_store(f"sqlite:///{folder}/{size}.db")
                stores.append(store)
            desks[size] = desk = Desk(store)
            parts = list(grid(size))
            for at in range(0, len(parts), 20_000):
                async with desk.records() as records:
                    await write(records, parts[at : at + 20_000])
            del parts
        took: dict[int, list[float]] = {size: [] for size in sizes}
        for number in range(rounds + 1):
            for size, desk in desks.items():
                draw = random.Random(number)
                feeder = draw.randrange(max(1, size // POINTS_OF_FEEDER))
                begin = NOON + timedelta(days=number)
                tickets = []
                for at in range(calls):
                    ticket = f"r{number}-{at}"
                    minute = timedelta(seconds=draw.randrange(3600))
                    one = a_call(ticket, f"P{feeder}-{draw.randrange(POINTS_OF_FEEDER)}", begin + minute)
                    spent = await desk.say(Verb.CREATE, [one], begin + timedelta(hours=1))
                    tickets.append(TroubleTicket(mrid=MRID(ticket)))
                    if number:  # the first round warms up
                        took[size].append(spent)
                await desk.quiet(begin)
                await desk.say(Verb.CANCEL, tickets, begin + timedelta(hours=2))
                await desk.quiet(begin)
        for store in stores:
            await store.close()
    return {size: statistics.median(spent) for size, spent in took.items()}


async def measure_storm(calls: int, premises: int, seed: int) -> dict[str, float]:
    """So many calls in one hour, from faults of all sizes that happen at once."""
    desk, draw = Desk(None), random.Random(seed)
    await write(desk._records, list(grid(premises)))
    gc.disable()  # it would walk millions of records in memory, which no hub on a database has
    feeders = premises // POINTS_OF_FEEDER
    reports: list[tuple[float, str]] = []
    seen: set[str] = set()
    while len(reports) < calls:
        feeder, begin = draw.randrange(feeders), 1800 * draw.random()
        kind = draw.choices(("feeder", "lateral", "transformer"), (5, 60, 35))[0]
        if kind == "feeder":
            below = range(POINTS_OF_FEEDER)
        elif kind == "lateral":
            first = 80 * draw.randrange(FUSES_OF_FEEDER)
            below = range(first, first + 80)
        else:
            first = 10 * draw.randrange(POINTS_OF_FEEDER // 10)
            below = range(first, first + 10)
        for point in below:
            name = f"P{feeder}-{point}"
            is_again = name in seen
            if draw.random() < (0.1 if is_again else 0.6) and len(reports) < calls:
                seen.add(name)
                reports.append((begin + min(draw.expovariate(1 / 600), 1800.0), name))
    reports.sort()
    began = time.perf_counter()
    spent = []
    for at, (second, point) in enumerate(reports):
        now = NOON + timedelta(seconds=second)
        spent.append(await desk.say(Verb.CREATE, [a_call(f"t{at}", point, now)], now))
        if at % 2500 == 2499:
            await desk.quiet(now)
    await desk.quiet(NOON + timedelta(hours=1))
    gc.enable()
    whole = time.perf_counter() - began
    tenth = max(1, len(spent) // 15)
    return {
        "calls": len(spent),
        "calls a second, ticks included": len(spent) / whole,
        "cost of the last fifteenth / the first": statistics.median(spent[-tenth:]) / statistics.median(spent[:tenth]),
        "longest message, in milliseconds of the processor": 1000 * desk.longest,
        "share of time in ticks": desk.ticks / whole,
    }


# -------------------------------------------------------------------------------------------------------- devices


class Grid:
    """A network to draw faults in."""

    def __init__(self, parts: Sequence[DeviceRecord | ServicePointRecord]) -> None:
        self.devices = {one.mrid: one for one in parts if isinstance(one, DeviceRecord)}
        self.points = [one for one in parts if isinstance(one, ServicePointRecord) and one.device in self.devices]
        self.below: dict[MRID, list[int]] = {mrid: [] for mrid in self.devices}
        self.paths: list[tuple[DeviceRecord, ...]] = []
        for number, point in enumerate(self.points):
            assert point.device is not None
            nearest = self.devices[point.device]
            path = (nearest, *(self.devices[mrid] for mrid in nearest.path))
            self.paths.append(path)
            for device in path:
                self.below[device.mrid].append(number)

    def suspects(self, calls: dict[int, int], rules: GroupingRules) -> set[tuple[MRID, int]]:
        """Devices that calls (point and bucket) make suspected, the topmost of each call, and when they began."""
        concerned = {device.mrid: device for point in calls for device in self.paths[point]}
        runs = {}
        for mrid, device in concerned.items():
            mine = sorted((calls[point], point) for point in self.below[mrid] if point in calls)
            last: dict[str, int] = {}
            buckets: dict[int, list[int]] = {}
            for number, point in mine:
                path = self.paths[point]
                at = path.index(device)
                branch = path[at - 1].mrid if at else f"point {point}"
                size = path[at - 1].customers if at else self.points[point].customers
                held = buckets.setdefault(number, [0, 0, 0, 0, 0])
                held[0] += 1
                if branch not in last or number - last[branch] > SILENCE:
                    held[1] += size
                    held[2] += 1
                last[branch] = number
                spot = f"spot {path[0].mrid}"
                if spot not in last or number - last[spot] > SILENCE:
                    held[3] += path[0].direct
                last[spot] = number
                if at == 0 or len(path) < 2:
                    continue
                lateral = f"lateral {path[1].mrid}"
                if lateral not in last or number - last[lateral] > SILENCE:
                    held[4] += path[1].near
                last[lateral] = number
            every = [Bucket(number, *held) for number, held in sorted(buckets.items())]
            runs[mrid] = [(run, is_suspected(device, run, rules)) for run in runs_of(every, rules.separation)]
        found = set()
        for point, number in calls.items():
            for device in reversed(self.paths[point]):
                top = next((run for run, yes in runs[device.mrid] if yes and run.first <= number <= run.last), None)
                if top is not None:
                    found.add((device.mrid, top.first))
                    break
        return found


def precision_and_recall(
    grid: Grid, faults: int, rate: float, rules: GroupingRules, seed: int, *, at_once: int = 1
) -> dict[str, float]:
    """Random faults, `at_once` of them at a time: how often a suspected device has failed, and a failed one is found.

    A device counts as found if the one suspected feeds the same customers: calls cannot tell two in a row apart.
    """
    draw = random.Random(seed)
    candidates = sorted(mrid for mrid, below in grid.below.items() if len(below) >= 2)
    told = right = found = drawn = heard = found_of_heard = 0
    kinds: dict[str, list[int]] = {}
    while drawn < faults:
        failed: list[DeviceRecord] = []
        for _ in range(50 * at_once):
            one = grid.devices[MRID(draw.choice(candidates))]
            if len(failed) < at_once and all(set(grid.below[one.mrid]).isdisjoint(grid.below[o.mrid]) for o in failed):
                failed.append(one)
        calls: dict[int, int] = {}
        for one in failed:
            below = grid.below[one.mrid]
            for point in [point for point in below if draw.random() < rate] or [draw.choice(below)]:
                calls[point] = bucket_of(NOON + timedelta(minutes=min(draw.expovariate(1 / 15), 110.0)))
        suspects = [grid.below[mrid] for mrid, _ in grid.suspects(calls, rules)]
        told += len(suspects)
        right += sum(any(below == grid.below[one.mrid] for one in failed) for below in suspects)
        for one in failed:
            drawn += 1
            hit = grid.below[one.mrid] in suspects
            has_several = sum(point in calls for point in grid.below[one.mrid]) > 1
            found += hit
            heard += has_several
            found_of_heard += hit and has_several
            kinds.setdefault(one.kind.value, []).append(int(hit))
    return {
        "precision": right / told if told else 1.0,
        "recall": found / drawn,
        "recall where two or more have called": found_of_heard / heard if heard else 1.0,
        **{f"recall {kind}": sum(hits) / len(hits) for kind, hits in sorted(kinds.items())},
    }


async def imported(network: object) -> Grid:
    records = MemoryRecords()
    await import_network(records, network, NOON)  # type: ignore[arg-type]
    parts: list[DeviceRecord | ServicePointRecord] = []
    parts += [one.body for one in await records.select(DEVICES, Selection(limit=10**6))]
    parts += [one.body for one in await records.select(SERVICE_POINTS, Selection(limit=10**6))]
    return Grid(parts)


def histogram(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return [(size, sizes.count(size)) for size in sorted(set(sizes))]


def laterals(seed: int) -> Iterator[DeviceRecord | ServicePointRecord]:
    """Feeders as they are: laterals of very different sizes, some with a second fuse, transformers of 1 to 14."""
    draw = random.Random(seed)
    parents: dict[str, str | None] = {}
    kinds: dict[str, DeviceKind] = {}
    homes: list[tuple[str, str]] = []

    def add(name: str, kind: DeviceKind, above: str | None) -> str:
        parents[name], kinds[name] = above, kind
        return name

    def transformers(above: str, count: int) -> None:
        for at in range(count):
            transformer = add(f"{above}/T{at}", DeviceKind.TRANSFORMER, above)
            homes.extend(
                (f"{transformer}/P{number}", transformer) for number in range(draw.choice((1, 3, 5, 7, 10, 14)))
            )

    source = add("S", DeviceKind.SOURCE, None)
    for feeder in range(4):
        section = add(f"B{feeder}", DeviceKind.BREAKER, source)
        for part in range(draw.choice((2, 3))):
            if part:
                section = add(f"{section}/R{part}", DeviceKind.RECLOSER, section)
            transformers(section, draw.randrange(2, 7))
            for lateral in range(draw.randrange(4, 10)):
                fuse = add(f"{section}/F{lateral}", DeviceKind.FUSE, section)
                transformers(fuse, draw.choice((1, 2, 3, 5, 8, 13)))
                if draw.random() < 0.3:
                    transformers(add(f"{fuse}/F", DeviceKind.FUSE, fuse), draw.choice((1, 2, 4)))
    below = dict.fromkeys(parents, 0)
    for _, device in homes:
        at: str | None = device
        while at is not None:
            below[at] += 1
            at = parents[at]
    direct = dict.fromkeys(parents, 0)
    for _, device in homes:
        direct[device] += 1
    near = dict.fromkeys(parents, 0)
    for name, up in parents.items():
        if up is not None:
            near[up] += direct[name]
    ways: dict[str, list[str]] = {}
    for name, up in parents.items():
        ways[name] = []
        while up is not None:
            ways[name].append(up)
            up = parents[up]
    for name, kind in kinds.items():
        sizes = [below[child] for child, above in parents.items() if above == name and below[child]]
        sizes += [1] * direct[name]
        below_it = [one for one in parents if one == name or name in ways[one]]
        spots = [direct[one] for one in below_it if direct[one]]
        laterals = [near[one] for one in below_it if near[one]]
        yield device_of(
            name,
            kind,
            ways[name],
            below[name],
            histogram(sizes),
            histogram(spots),
            direct[name],
            near[name],
            histogram(laterals),
        )
    for name, device in homes:
        yield ServicePointRecord(mrid=MRID(name), device=MRID(device))


async def measure_devices(faults: int, seed: int, rules: GroupingRules) -> dict[str, dict[str, dict[str, float]]]:
    grids = {"Northlake": await imported(build_network()), "laterals": Grid(list(laterals(seed)))}
    for file in sorted(file for folder in FEEDERS if folder.is_dir() for file in folder.glob("*.xml")):
        grids[file.stem] = await imported(parse_network([(file.name, file.read_bytes())]).network)
    return {
        name: {
            f"{rate:.0%} calling{words}": precision_and_recall(one, faults, rate, rules, seed, at_once=at_once)
            for at_once, words in ((1, ""), (3, ", three faults at once"))
            for rate in (0.1, 0.3, 1.0)
        }
        for name, one in grids.items()
        if any(len(below) >= 2 for below in one.below.values())
    }


# ----------------------------------------------------------------------------------------------------------- main


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Bench of the grouping of calls.")
    parser.add_argument("parts", nargs="*", default=["cost", "storm", "devices"])
    parser.add_argument("--most", type=int, default=100_000, help="premises of the largest network (cost)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=150_000, help="calls of the storm")
    parser.add_argument("--premises", type=int, default=300_000, help="premises of the storm")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2, help="the rules were tuned by seed 1")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    figures: dict[str, object] = {}
    if "cost" in given.parts:
        sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= given.most]
        for name, is_durable in (("memory", False), ("SQLite", True)):
            took = asyncio.run(measure_cost(sizes, given.rounds, 250, is_durable=is_durable))
            ratios = {f"{size:,} premises": took[size] / took[sizes[0]] for size in sizes}
            figures[f"cost of a call, {name}, beside that at 1,000 premises"] = ratios
    if "storm" in given.parts:
        figures["storm of one hour"] = asyncio.run(measure_storm(given.calls, given.premises, given.seed))
    if "devices" in given.parts:
        name = f"suspected device over {given.faults:,} random faults, seed {given.seed}"
        figures[name] = asyncio.run(measure_devices(given.faults, given.seed, DEFAULT_RULES))
    if given.json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        return 0
    show(figures)
    return 0


def show(figures: dict[str, object], indent: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, f"{indent}  ")
        else:
            print(f"{indent}{name:50} {value:,.2f}" if isinstance(value, float) else f"{indent}{name:50} {value:,}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
