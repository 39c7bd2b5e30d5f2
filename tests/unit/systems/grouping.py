"""A network on a bench, calls from it, and the grouping of them as it follows from the rules by plain counting."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Selection, ServingContext, Stored
from cimcare.model.envelope import Header
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import UsagePointIdentity
from cimcare.model.network import DeviceKind
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import CustomerAgreementPlace, TroubleTicket, TroubleTicketCustomer
from cimcare.model.verbs import Verb
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
from cimcare.systems.oms.judgement import SILENCE, Bucket, GroupingRules, bucket_of, is_suspected, runs_of
from cimcare.systems.oms.kinds import EXTENTS, OPEN, TICKETS
from tests.unit.systems.utility import MONDAY, Utility

Tree = Mapping[str, str | None]
"""Devices by name, each with the one above it."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """A network: its devices by name, and the device of each point."""

    devices: dict[str, DeviceRecord]
    points: dict[str, str]

    def path(self, point: str) -> tuple[DeviceRecord, ...]:
        device = self.devices[self.points[point]]
        return (device, *(self.devices[mrid] for mrid in device.path))


def network(tree: Tree, points: Mapping[str, str], kinds: Mapping[str, DeviceKind] | None = None) -> Bench:
    """The network of devices and of points with the device that supplies each; mRIDs are names."""

    def path_of(name: str) -> tuple[str, ...]:
        above = tree[name]
        return () if above is None else (above, *path_of(above))

    below = {name: sum(name in (at, *path_of(at)) for at in points.values()) for name in tree}

    def kind_of(name: str) -> DeviceKind:
        if kinds is not None and name in kinds:
            return kinds[name]
        is_leaf = name not in tree.values()
        return DeviceKind.SOURCE if tree[name] is None else DeviceKind.TRANSFORMER if is_leaf else DeviceKind.FUSE

    devices = {}
    for name, above in tree.items():
        branches = [below[child] for child, parent in tree.items() if parent == name and below[child]]
        own = sum(at == name for at in points.values())
        branches += [1] * own
        spots = [sum(at == one for at in points.values()) for one in tree if name in (one, *path_of(one))]
        devices[name] = DeviceRecord(
            mrid=MRID(name),
            name=name,
            names=names_of_device(name),
            kind=kind_of(name),
            upstream=MRID(above) if above is not None else None,
            path=tuple(MRID(one) for one in path_of(name)),
            customers=below[name],
            branches=tuple((size, branches.count(size)) for size in sorted(set(branches))),
            direct=own,
            spots=tuple((size, spots.count(size)) for size in sorted(set(spots)) if size),
        )
    return Bench(devices=devices, points=dict(points))


async def install(utility: Utility, bench: Bench) -> None:
    """Write the network into the records of a utility."""
    for device in bench.devices.values():
        stored = Stored(mrid=device.mrid, body=device, created_at=MONDAY, modified_at=MONDAY, keys=device_keys(device))
        await utility.records.save(DEVICES, stored)
    for name, device_name in bench.points.items():
        point = ServicePointRecord(mrid=MRID(name), device=MRID(device_name))
        await utility.records.save(
            SERVICE_POINTS,
            Stored(mrid=point.mrid, body=point, created_at=MONDAY, modified_at=MONDAY, keys=point_keys(point)),
        )


def a_call(ticket: str, point: str, at: datetime) -> TroubleTicket:
    agreement = CustomerAgreementPlace(usage_points=(UsagePointIdentity(mrid=MRID(point)),))
    return TroubleTicket(
        mrid=MRID(ticket),
        date_time_of_report=at,
        customer=TroubleTicketCustomer(mrid=MRID(f"customer-{point}"), customer_agreements=(agreement,)),
    )


async def call(utility: Utility, *tickets: tuple[str, str, float]) -> None:
    """Take calls: ticket, point, minutes after the beginning."""
    for ticket, point, minutes in tickets:
        await utility.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, a_call(ticket, point, MONDAY + timedelta(minutes=minutes)))


def context_of(utility: Utility) -> ServingContext:
    header = Header(verb=Verb.CHANGE, noun=Noun.INCIDENTS, timestamp=utility.now, message_id=MessageID("tick"))
    return utility._context(header)


async def until_quiet(utility: Utility) -> int:
    """Let the clock tick until nothing is left to be regrouped; how often it did."""
    for ticks in range(1000):
        has_more = False
        for tick in oms.TICKS:
            has_more |= (await tick(context_of(utility))).has_more
        if not has_more:
            return ticks
    raise AssertionError("it never becomes quiet")


Groups = frozenset[tuple[str, frozenset[str]]]
"""Incidents: the device, empty for one of the premises alone, and the tickets."""


async def groups(utility: Utility) -> Groups:
    """Open tickets by the incident in which they are."""
    found: dict[str, set[str]] = {}
    for stored in await utility.records.select(TICKETS.collection, Selection(states=(OPEN,), limit=100_000)):
        assert stored.body.incident is not None
        found.setdefault(stored.body.incident.mrid or "", set()).add(stored.mrid)
    extents = {one.mrid: one for one in await utility.records.select(EXTENTS, Selection(limit=100_000))}
    assert {mrid for mrid, one in extents.items() if one.state == OPEN} == set(found)
    return frozenset((extents[MRID(mrid)].body.device or "", frozenset(tickets)) for mrid, tickets in found.items())


def expected_groups(bench: Bench, calls: Sequence[tuple[str, str, float]], rules: GroupingRules) -> Groups:
    """The same by plain counting: (ticket, point, minutes) of all calls that count."""
    first: dict[str, int] = {}
    for _, point, minutes in calls:
        bucket = bucket_of(MONDAY + timedelta(minutes=minutes))
        first[point] = min(first.get(point, bucket), bucket)

    def runs(name: str) -> list[tuple[int, int, bool]]:
        device = bench.devices[name]
        below = {point: bucket for point, bucket in first.items() if device in bench.path(point)}
        branch = {
            point: (
                bench.path(point)[bench.path(point).index(device) - 1].mrid if bench.points[point] != name else point
            )
            for point in below
        }
        buckets = []
        for number in sorted(set(below.values())):
            begin = {
                one
                for point, one in branch.items()
                if below[point] == number
                and not any(branch[other] == one and number - SILENCE <= below[other] < number for other in below)
            }
            reached = sum(bench.devices[one].customers if one in bench.devices else 1 for one in begin)
            spots = {
                bench.points[point]
                for point in below
                if below[point] == number
                and not any(
                    bench.points[other] == bench.points[point] and number - SILENCE <= below[other] < number
                    for other in below
                )
            }
            covered = sum(bench.devices[one].direct for one in spots)
            calls_here = sum(one == number for one in below.values())
            buckets.append(Bucket(number, calls_here, reached, len(begin), covered))
        return [(run.first, run.last, is_suspected(device, run, rules)) for run in runs_of(buckets, rules.separation)]

    every = {name: runs(name) for name in bench.devices}

    def group_of(point: str) -> tuple[str, str]:
        for device in reversed(bench.path(point)):
            for start, end, suspected in every[device.name]:
                if start <= first[point] <= end and suspected:
                    return device.name, f"{device.name}@{start}"
        return "", point

    found: dict[tuple[str, str], set[str]] = {}
    for ticket, point, _ in calls:
        found.setdefault(group_of(point), set()).add(ticket)
    return frozenset((device, frozenset(tickets)) for (device, _), tickets in found.items())


async def cancel(utility: Utility, tickets: Iterable[str]) -> None:
    for ticket in tickets:
        await utility.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=(ticket,))
