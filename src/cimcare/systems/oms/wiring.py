"""A network as read from a file, made into what is kept: parts, devices and points, and what is odd about it.

Pure. Sections are named after the device that feeds them while every switch stands as it normally does, so that the
same network has the same sections at the next import.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from cimcare.errors import Finding, InputError, finding_of
from cimcare.model.identity import MRID, Name
from cimcare.model.network import Device, DeviceKind, Network, ServicePoint
from cimcare.systems.oms.devices import DeviceRecord, ServicePointRecord, names_of_device
from cimcare.systems.oms.parts import Link, NetworkPart, Section, Stand, Standing, stand
from cimcare.systems.oms.tracing import NOTHING, Joint, Loop, Trace, join_nodes, trace

__all__ = ["DEEPEST", "Wired", "check_network", "wire"]

DEEPEST = 1000
"""Devices in a row between a source and a point of supply; real feeders have some tens."""

_MOST_TOLD = 20
"""Findings of one code that are told one by one; the others are counted."""

_CLAUSE = "our reading of a radial network"


class Wired(msgspec.Struct, frozen=True, kw_only=True):
    """A network made ready to be kept. `findings` are warnings; points are made one by one, as there may be many."""

    devices: tuple[DeviceRecord, ...]
    parts: tuple[NetworkPart, ...]
    findings: tuple[Finding, ...]
    source: Network
    sections: Mapping[str, str]
    feeders: Mapping[str, MRID | None]

    def points(self) -> Iterator[ServicePointRecord]:
        """Points of supply, in the order of the file."""
        return map(self.point_of, self.source.points)

    def point_of(self, point: ServicePoint) -> ServicePointRecord:
        """A point of the network, as it is kept."""
        section = self.sections[point.node]
        return _point_of(point, section, self.feeders.get(section))


def check_network(network: Network) -> tuple[Finding, ...]:
    """What makes a network unusable: REF-122 an identity given twice, REF-124 no source; empty if nothing does."""
    doubles = [
        *_doubles("device", "mRID", (device.mrid for device in network.devices)),
        *_doubles("device", "name", (device.name for device in network.devices)),
        *_doubles("point", "mRID", (point.mrid for point in network.points)),
        *_doubles("point", "name", (point.name for point in network.points if point.name)),
    ]
    if not any(device.kind is DeviceKind.SOURCE for device in network.devices):
        doubles.append(
            finding_of(
                "REF-124", "network", f"{len(network.devices)} devices and no source", "at least one source", _CLAUSE
            )
        )
    return tuple(doubles)


def _doubles(what: str, member: str, values: Iterable[str]) -> Iterator[Finding]:
    counts = Counter(values)
    several = [value for value, count in counts.items() if count > 1]
    for value in several[:_MOST_TOLD]:
        found = f"{member} {value} belongs to {counts[value]} of the {what}s"
        yield finding_of("REF-122", f"{what} {value}", found, f"a {member} that no other {what} has", _CLAUSE)
    if len(several) > _MOST_TOLD:
        found = f"{len(several) - _MOST_TOLD} more {member}s that belong to several {what}s"
        yield finding_of("REF-122", f"{what}s", found, f"a {member} that no other {what} has", _CLAUSE)


def wire(network: Network, states: Mapping[MRID, bool] | None = None) -> Wired:
    """Make the records of a network that `check_network` finds nothing wrong with.

    Args:
        network: The network.
        states: For devices by mRID, whether they are open; of the others the file says it.

    Raises:
        InputError: REF-129, more than `DEEPEST` devices in a row.
    """
    given = states or {}
    devices = [  # in the order in which `stand` takes them
        msgspec.structs.replace(device, is_open=given.get(device.mrid, device.is_open))
        for device in sorted(network.devices, key=lambda device: device.mrid)
    ]
    numbers, count = join_nodes(network.lines, _nodes(devices, network.points))
    joints = [_joint_of(device, numbers) for device in devices]
    found = trace(joints, count)
    _require_shallow(found, devices)
    names = _name_sections(devices, joints, found, count)
    parts = _cut(devices, joints, names, network.points, numbers)
    state = stand(parts)
    members: dict[MRID, list[MRID]] = {}
    for part in parts:
        for link in part.links:
            members.setdefault(link.mrid, []).append(part.mrid)
    records = tuple(
        _device_of(device, state.devices[device.mrid], feeder, tuple(members[device.mrid]))
        for device, feeder in zip(devices, _feeders(devices, found), strict=True)
    )
    sections = {node: names[number] for node, number in numbers.items()}
    return Wired(
        devices=records,
        parts=parts,
        findings=tuple(_odd(network, devices, joints, found, sections, state)),
        source=network,
        sections=sections,
        feeders=state.feeders,
    )


def _nodes(devices: Iterable[Device], points: Iterable[ServicePoint]) -> Iterator[str]:
    for device in devices:
        yield from device.nodes
    for point in points:
        yield point.node


def _joint_of(device: Device, numbers: Mapping[str, int]) -> Joint:
    """The device as it normally stands."""
    sections = tuple(dict.fromkeys(numbers[node] for node in device.nodes))
    return Joint(device.kind, sections, device.is_normally_open, device.is_normally_open)


def _require_shallow(found: Trace, devices: Sequence[Device]) -> None:
    depth = [0] * len(devices)
    for number in found.order:
        above = found.upstream[number]
        depth[number] = depth[above] + 1 if above != NOTHING else 0
        if depth[number] > DEEPEST:
            place = f"device {devices[number].name}"
            accepted = "a network whose switches and fuses stand where customers can be told apart"
            raise InputError(finding_of("REF-129", place, f"more than {DEEPEST} devices above it", accepted, _CLAUSE))


def _name_sections(devices: Sequence[Device], joints: Sequence[Joint], found: Trace, count: int) -> list[str]:
    """A name for each section: the mRID of the device above, with a number behind a comma from the second one on.

    A section that nothing feeds is called after the first device that it touches, with a comma in front: so it comes
    first when sections are sorted, and an island is traced from its top.
    """
    names = [""] * count
    for number, joint in enumerate(joints):
        below = [section for section in joint.sections if found.feeder[section] == number]
        for at, section in enumerate(below):
            names[section] = f"{devices[number].mrid},{at}" if at else devices[number].mrid
    for number, joint in enumerate(joints):
        for at, section in enumerate(joint.sections):
            names[section] = names[section] or f",{devices[number].mrid},{at}"
    return [name or f",{number}" for number, name in enumerate(names)]


def _cut(
    devices: Sequence[Device],
    joints: Sequence[Joint],
    names: Sequence[str],
    points: Iterable[ServicePoint],
    numbers: Mapping[str, int],
) -> tuple[NetworkPart, ...]:
    """The parts, cut where switches are normally open. A section without any device belongs to none."""
    joined = ((str(joint.sections[0]), str(other)) for joint in joints if not joint.is_open for other in joint.sections)
    part_of, _ = join_nodes(joined, map(str, range(len(names))))
    homes = [tuple(dict.fromkeys(part_of[str(section)] for section in joint.sections)) for joint in joints]
    called: dict[int, MRID] = {}
    with_source: set[int] = set()
    for device, home in zip(devices, homes, strict=True):
        for part in home:
            if device.kind is DeviceKind.SOURCE and part not in with_source:
                with_source.add(part)
                called[part] = device.mrid
            # Two parts of one tie that have nothing else need two names.
            called.setdefault(part, device.mrid if part == home[0] else MRID(f"{device.mrid},{part}"))
    links: dict[int, list[Link]] = {part: [] for part in called}
    for device, joint, home in zip(devices, joints, homes, strict=True):
        for part in home:
            links[part].append(
                Link(
                    device.mrid,
                    device.kind,
                    tuple(names[section] for section in joint.sections),
                    device.is_open,
                    device.is_normally_open,
                    tuple(called[other] for other in home if other != part),
                )
            )
    sections: dict[int, list[Section]] = {part: [] for part in called}
    spread, critical = _count_points(points, numbers, len(names))
    for number, name in enumerate(names):
        part = part_of[str(number)]
        if part in called:
            sections[part].append(Section(name, tuple(sorted(spread[number].items())), critical[number]))
    return tuple(
        NetworkPart(
            mrid=mrid,
            has_source=part in with_source,
            sections=tuple(sorted(sections[part], key=lambda section: section.name)),
            links=tuple(links[part]),
        )
        for part, mrid in called.items()
    )


def _count_points(
    points: Iterable[ServicePoint], numbers: Mapping[str, int], count: int
) -> tuple[list[Counter[int]], list[int]]:
    spread: list[Counter[int]] = [Counter() for _ in range(count)]
    critical = [0] * count
    for point in points:
        section = numbers[point.node]
        spread[section][point.customers] += 1
        critical[section] += point.customers if point.is_critical else 0
    return spread, critical


def _feeders(devices: Sequence[Device], found: Trace) -> list[str]:
    """The feeder of each device: what the file says, failing that the name of the first breaker from the source.

    Where there is no breaker it is the name of the source, and empty where there is no way to one.
    """
    feeders = [""] * len(devices)
    heads = [""] * len(devices)
    for number in found.order:
        above, device = found.upstream[number], devices[number]
        if device.kind is DeviceKind.SOURCE:
            feeders[number] = device.feeder or device.name
            continue
        heads[number] = heads[above] if above != NOTHING else ""
        if not heads[number] and device.kind in (DeviceKind.BREAKER, DeviceKind.RECLOSER) and above != NOTHING:
            heads[number] = device.feeder or device.name
        feeders[number] = device.feeder or heads[number] or (feeders[above] if above != NOTHING else "")
    return feeders


def _device_of(device: Device, standing: Standing, feeder: str, parts: tuple[MRID, ...]) -> DeviceRecord:
    return DeviceRecord(
        mrid=device.mrid,
        name=device.name,
        names=names_of_device(device.name),
        kind=device.kind,
        feeder=feeder,
        upstream=standing.upstream,
        path=standing.path,
        customers=standing.customers,
        critical=standing.critical,
        branches=standing.branches,
        direct=standing.direct,
        spots=standing.spots,
        near=standing.near,
        laterals=standing.laterals,
        is_open=standing.is_open,
        is_normally_open=device.is_normally_open,
        position=device.position,
        is_fed=standing.is_fed,
        parts=parts,
    )


def _point_of(point: ServicePoint, section: str, device: MRID | None) -> ServicePointRecord:
    return ServicePointRecord(
        mrid=point.mrid,
        names=(Name(name=point.name),) if point.name else (),
        location_mrid=point.location_mrid,
        location_names=(Name(name=point.location),) if point.location else (),
        meter=point.meter,
        device=device,
        section=section,
        customers=point.customers,
        is_critical=point.is_critical,
        position=point.position,
    )


def _odd(
    network: Network,
    devices: Sequence[Device],
    joints: Sequence[Joint],
    found: Trace,
    sections: Mapping[str, str],
    state: Stand,
) -> Iterator[Finding]:
    """What is odd about the network as it normally stands: warnings, some of a sort and the number of the others."""
    yield from _told(
        "REF-126",
        (
            (f"device {devices[loop.joints[0]].name}", _way([devices[joint].name for joint in loop.joints], loop))
            for loop in found.loops
        ),
        "a radial network: each customer has one way to one source; mark the tie as normally open",
    )
    lone = [
        device.name
        for device, joint in zip(devices, joints, strict=True)
        if len(joint.sections) < 2 and device.kind is not DeviceKind.SOURCE
    ]
    yield from _told(
        "REF-127",
        ((f"device {name}", "both sides are joined without it, or it has one side only") for name in lone),
        "a device between two pieces of the network",
    )
    dead = [device for number, device in enumerate(devices) if not found.is_live[number]]
    yield from _told(
        "REF-125",
        ((f"device {device.name}", "no supply while every switch stands as it normally does") for device in dead),
        "a way to a source",
    )
    loose = [point for point in network.points if state.feeders.get(sections[point.node]) is None]
    yield from _told(
        "REF-125",
        ((f"point {point.name or point.mrid}", "no device above it") for point in loose),
        "a way to a source",
    )


def _way(names: Sequence[str], loop: Loop) -> str:
    way = ", ".join(names[:_MOST_TOLD]) + (", ..." if len(names) > _MOST_TOLD else "")
    return f"{'a way between two sources' if loop.is_between_sources else 'a loop'} of {len(names)} devices: {way}"


def _told(code: str, cases: Iterable[tuple[str, str]], accepted: str) -> Iterator[Finding]:
    rest = 0
    for at, (place, found) in enumerate(cases):
        if at < _MOST_TOLD:
            yield finding_of(code, place, found, accepted, _CLAUSE)
        else:
            rest += 1
    if rest:
        yield finding_of(code, "network", f"{rest} more of the same", accepted, _CLAUSE)
