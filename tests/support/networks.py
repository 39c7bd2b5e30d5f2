"""Networks for tests: built from short lines of text, drawn at random, and judged by walking them the slow way."""

from collections import Counter
from collections.abc import Iterable

import msgspec
from hypothesis import strategies as st

from cimcare.model.identity import MRID
from cimcare.model.network import Device, DeviceKind, Network, ServicePoint

OPENABLE = tuple(kind for kind in DeviceKind if kind.has_contacts)


def a_network(text: str) -> Network:
    """A network of rows of text.

    source S > s            a source S at node s
    breaker B s > b         a breaker B between nodes s and b; `breaker! B ...` is open now, `tie T ...` normally
    line b > c              a line
    point UP-1 c 3 *        a point of three customers at node c, critical; one customer if no number is given
    """
    devices: list[Device] = []
    lines: list[tuple[str, str]] = []
    points: list[ServicePoint] = []
    for row in text.strip().splitlines():
        kind, *rest = row.replace(">", " ").split()
        if kind == "line":
            lines.append((rest[0], rest[1]))
        elif kind == "point":
            numbers = [int(one) for one in rest[2:] if one != "*"]
            points.append(
                ServicePoint(
                    mrid=MRID(f"id-{rest[0]}"),
                    name=rest[0],
                    node=rest[1],
                    customers=numbers[0] if numbers else 1,
                    is_critical="*" in rest,
                )
            )
        else:
            is_tie = kind.startswith("tie")
            devices.append(
                Device(
                    mrid=MRID(f"id-{rest[0]}"),
                    name=rest[0],
                    kind=DeviceKind.SWITCH if is_tie else DeviceKind(kind.rstrip("!")),
                    nodes=tuple(rest[1:]),
                    is_normally_open=is_tie,
                    is_open=is_tie != kind.endswith("!"),
                )
            )
    return Network(devices=tuple(devices), lines=tuple(lines), points=tuple(points))


TOWN = """
source S > s
breaker B1 s > a0
line a0 > a1
fuse F1 a1 > f1
transformer T1 f1 > t1
transformer T2 f1 > t2
recloser R a1 > a2
fuse F2 a2 > f2
transformer T3 f2 > t3
breaker B2 s > b0
line b0 > b1
switch SW b1 > b2
transformer T4 b2 > t4
tie TIE a2 > b2
point UP-1 t1
point UP-2 t1 1 *
point UP-3 t2
point UP-4 t3 5
point UP-5 t4
point UP-6 t4
point UP-7 b2
"""
"""Two feeders of one source with a tie between them."""

TWO_SOURCES = TOWN.replace("breaker B2 s > b0", "source S2 > s2\nbreaker B2 s2 > b0")
"""The same, each feeder with a source of its own."""


@st.composite
def radial_networks(draw: st.DrawFn, sources: int = 2, most: int = 25, *, has_islands: bool = True) -> Network:
    """Trees below one or two sources, with points anywhere, and ties that are normally open between any two nodes.

    Devices, lines and points stand in random order, some devices are open now, and some ties are closed. With islands
    some trees have no source.
    """
    count = draw(st.integers(1, sources))
    rows = [f"source S{at} > n{at}" for at in range(count)]
    nodes = count
    for at in range(draw(st.integers(0, most))):
        above = draw(st.integers(0, nodes - 1))
        kind = draw(st.sampled_from(["line", "transformer", *OPENABLE] + ["nothing"] * has_islands))
        if kind == "nothing":
            nodes += 1
            continue
        mark = "!" if kind in OPENABLE and draw(st.integers(0, 4)) == 0 else ""
        name = "" if kind == "line" else f"D{at}"
        rows.append(f"{kind}{mark} {name} n{above} > n{nodes}")
        nodes += 1
    for at in range(draw(st.integers(0, 4))):
        ends = draw(st.integers(0, nodes - 1)), draw(st.integers(0, nodes - 1))
        mark = "!" if draw(st.integers(0, 4)) == 0 else ""
        rows.append(f"tie{mark} X{at} n{ends[0]} > n{ends[1]}")
    for at in range(draw(st.integers(0, 12))):
        critical = "*" if draw(st.booleans()) else ""
        rows.append(f"point P{at} n{draw(st.integers(0, nodes - 1))} {draw(st.integers(0, 3))} {critical}")
    return a_network("\n".join(draw(st.permutations(rows))))


def with_states(network: Network, opened: Iterable[str]) -> Network:
    """The network with these devices open and all others closed."""
    names = set(opened)
    devices = tuple(
        msgspec.structs.replace(one, is_open=one.kind.has_contacts and one.name in names) for one in network.devices
    )
    return msgspec.structs.replace(network, devices=devices)


def without_ties(network: Network) -> Network:
    """The network without what is normally open."""
    return msgspec.structs.replace(network, devices=tuple(one for one in network.devices if not one.is_normally_open))


def walk_up(network: Network, start: str) -> list[str] | None:
    """Names of all devices from a node up to a source, nearest first, by trying every way; None if there is none.

    Only for networks in which there is one way.
    """
    steps: list[tuple[str, frozenset[str], tuple[str, ...]]] = [(start, frozenset({start}), ())]
    while steps:
        node, seen, way = steps.pop()
        for device in network.devices:
            if device.kind is DeviceKind.SOURCE and node in device.nodes:
                return [*way, device.name]
        ends = [(pair, "") for line in network.lines for pair in (line, line[::-1])]
        for device in network.devices:
            ends += [((one, other), device.name) for one in device.nodes for other in device.nodes if one != other]
        for (one, other), name in ends:
            if one == node and other not in seen:
                steps.append((other, seen | {other}, (*way, name) if name else way))
    return None


def count_below(network: Network, device: str) -> tuple[int, int]:
    """Customers and critical customers whose way up passes a device."""
    total: Counter[bool] = Counter()
    for point in network.points:
        if device in (walk_up(network, point.node) or ()):
            total[point.is_critical] += point.customers
    return total[True] + total[False], total[True]
