"""The network in pieces, as it is kept so that a switch can be operated without reading all of it.

A part is what is connected while every switch stands as it normally does: a substation with its feeders, up to the ties
to its neighbours. Inside it, sections hold points of supply, and links are the devices that join sections. A tie is a
link of both its parts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from cimcare.exchange.ports import Collection
from cimcare.model.identity import MRID
from cimcare.model.network import DeviceKind
from cimcare.systems.oms.tracing import NOTHING, Joint, Totals, Trace, sum_up, trace

__all__ = ["PARTS", "Link", "NetworkPart", "Section", "Stand", "Standing", "stand"]


class Section(msgspec.Struct, frozen=True, array_like=True):
    """What is joined for good between devices. `points` are pairs: so many customers, so many such points of supply."""

    name: str
    points: tuple[tuple[int, int], ...] = ()
    critical: int = 0


class Link(msgspec.Struct, frozen=True, array_like=True):
    """A device that joins sections while it is closed. `beyond` are other parts to which it leads."""

    mrid: MRID
    kind: DeviceKind
    sections: tuple[str, ...]
    is_open: bool = False
    is_normally_open: bool = False
    beyond: tuple[MRID, ...] = ()


class NetworkPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the network. `mrid` is that of its first source, failing that of its first device."""

    mrid: MRID
    has_source: bool
    sections: tuple[Section, ...]
    links: tuple[Link, ...]


PARTS: Collection[NetworkPart] = Collection("oms.NetworkParts", NetworkPart)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device stands in the network: what the trace says of it (see `DeviceRecord`)."""

    upstream: MRID | None = None
    path: tuple[MRID, ...] = ()
    customers: int = 0
    critical: int = 0
    branches: tuple[tuple[int, int], ...] = ()
    direct: int = 0
    spots: tuple[tuple[int, int], ...] = ()
    near: int = 0
    laterals: tuple[tuple[int, int], ...] = ()
    is_open: bool = False
    is_fed: bool = False


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """How the network stands, by mRID of devices and name of sections.

    `feeders` has the device above each section, `is_fed` says whether supply comes there. `loops` and `between_sources`
    are ways that close on themselves, and ways between two sources.
    """

    devices: dict[MRID, Standing]
    feeders: dict[str, MRID | None]
    is_fed: dict[str, bool]
    loops: tuple[tuple[MRID, ...], ...]
    between_sources: tuple[tuple[MRID, ...], ...]


def stand(parts: Iterable[NetworkPart]) -> Stand:
    """Trace these parts together. A link of several parts is taken once, and its states must agree."""
    links: dict[MRID, Link] = {}
    sections: dict[str, Section] = {}
    for part in parts:
        links.update((link.mrid, link) for link in part.links)
        sections.update((section.name, section) for section in part.sections)
    ordered = [links[mrid] for mrid in sorted(links)]
    sections = {name: sections[name] for name in sorted(sections)}  # the same whatever parts come with it
    numbers = {name: number for number, name in enumerate(sections)}
    # A tie may lead to a part that is not at hand; what it would join there is nobody's concern.
    joints = [
        Joint(
            link.kind,
            tuple(numbers[name] for name in link.sections if name in numbers),
            link.is_open,
            link.is_normally_open,
        )
        for link in ordered
    ]
    found = trace(joints, len(sections))
    totals = sum_up(
        found,
        [Counter(dict(section.points)) for section in sections.values()],
        [section.critical for section in sections.values()],
    )
    mrids = [link.mrid for link in ordered]
    standings = _describe(found, totals, mrids, joints)
    above = (mrids[joint] if joint != NOTHING else None for joint in found.feeder)
    ways = [(tuple(mrids[joint] for joint in loop.joints), loop.is_between_sources) for loop in found.loops]
    return Stand(
        devices=dict(zip(mrids, standings, strict=True)),
        feeders=dict(zip(sections, above, strict=True)),
        is_fed=dict(zip(sections, found.is_fed, strict=True)),
        loops=tuple(way for way, is_between in ways if not is_between),
        between_sources=tuple(way for way, is_between in ways if is_between),
    )


def _describe(found: Trace, totals: Totals, mrids: Sequence[MRID], joints: Sequence[Joint]) -> list[Standing]:
    """What a trace says of each joint, with mRIDs in the place of numbers."""
    paths: list[tuple[MRID, ...]] = [()] * len(mrids)
    for number in found.order:
        above = found.upstream[number]
        if above != NOTHING:
            paths[number] = (mrids[above], *paths[above])
    return [
        Standing(
            upstream=path[0] if path else None,
            path=path,
            customers=totals.customers[number],
            critical=totals.critical[number],
            branches=tuple(sorted(totals.branches[number].items())),
            direct=totals.direct[number],
            spots=tuple(sorted(totals.spots[number].items())),
            near=totals.near[number],
            laterals=tuple(sorted(totals.laterals[number].items())),
            is_open=joints[number].is_open,
            is_fed=found.is_live[number],
        )
        for number, path in enumerate(paths)
    ]
