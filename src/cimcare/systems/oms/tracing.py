"""Which device feeds which: the trace from the sources through what is closed, as a pure function.

A network is a set of sections and of joints. A section is all that is joined for good, such as the lines between two
fuses; a joint is a device that joins sections while it is closed. The trace goes breadth first from all sources at
once, so of several ways the one with the fewest devices counts. It enters each section once: loops are told, not
followed.

Where supply does not come, the trace goes on through what is open: first through joints that are normally closed, then
through those that are normally open. So each device has the way by which supply would come, and is known to have none.

Plain lists and a plain queue: decision 0060 has the measurements.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from cimcare.model.network import DeviceKind, Line

__all__ = ["MOST_LOOPS", "NOTHING", "Joint", "Loop", "Totals", "Trace", "join_nodes", "sum_up", "trace"]

NOTHING = -1
"""No joint: in lists of numbers of joints."""


MOST_LOOPS = 1000
"""Loops that are told; a network with more of them is not radial at all."""


class Joint(NamedTuple):
    """A device as the trace sees it: numbers of the sections that it joins, without repeats, and its contacts."""

    kind: DeviceKind
    sections: tuple[int, ...]
    is_open: bool = False
    is_normally_open: bool = False


class Loop(NamedTuple):
    """Joints on a closed way, or on a way between two sources. `is_between_sources` tells which."""

    joints: tuple[int, ...]
    is_between_sources: bool


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace has found; all by number of joint or section.

    `order` has the joints that some way leads to, each behind the one above it. `upstream` is the joint above a joint,
    `feeder` the joint above a section; `NOTHING` at the top and where there is no way to a source. `is_fed` says for
    each section whether supply comes. A joint is fed if a section is that it touches. `islands` are sections at the top
    of what has no way to a source.
    """

    order: list[int]
    upstream: list[int]
    feeder: list[int]
    is_fed: list[bool]
    is_live: list[bool]
    loops: tuple[Loop, ...]
    islands: tuple[int, ...]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What is below each joint: customers, critical customers, and customers by branch with the number of such.

    `direct` are customers with no other joint between. `spots` are those of the joint and of all below it, by their
    direct customers with the number of such. `near` are the direct customers of the joints that this one feeds next,
    `laterals` those of the joint and of all below it, by their near customers with the number of such.
    """

    customers: list[int]
    critical: list[int]
    branches: list[Counter[int]]
    direct: list[int]
    spots: list[Counter[int]]
    near: list[int]
    laterals: list[Counter[int]]


def join_nodes(lines: Iterable[Line], others: Iterable[str] = ()) -> tuple[dict[str, int], int]:
    """Number of the section of each node, and how many sections there are.

    Args:
        lines: Pairs of nodes that are joined for good.
        others: Further nodes that there are; they may be on lines too.
    """
    numbers: dict[str, int] = {}
    above: list[int] = []
    for line in lines:
        ends = []
        for node in line:
            number = numbers.setdefault(node, len(above))
            if number == len(above):
                above.append(number)
            while above[number] != number:
                above[number] = above[above[number]]
                number = above[number]
            ends.append(number)
        first, second = ends
        # The older one stays on top, so that sections come in the order of the file.
        if first < second:
            above[second] = first
        else:
            above[first] = second
    for node in others:
        if numbers.setdefault(node, len(above)) == len(above):
            above.append(len(above))
    section: list[int] = []
    count = 0
    for number, parent in enumerate(above):  # a parent is older, so it has its section already
        section.append(count if parent == number else section[parent])
        count += parent == number
    return {node: section[number] for node, number in numbers.items()}, count


class _Tracer:
    """One trace under way."""

    def __init__(self, joints: Sequence[Joint], sections: int) -> None:
        self.joints = joints
        self.at: list[list[int]] = [[] for _ in range(sections)]
        for number, joint in enumerate(joints):
            for section in joint.sections:
                self.at[section].append(number)
        self.feeder = [NOTHING] * sections
        self.is_reached = [False] * sections
        self.is_fed = [False] * sections
        self.upstream = [NOTHING] * len(joints)
        self.is_seen = [False] * len(joints)
        self.is_live = [False] * len(joints)
        self.order: list[int] = []
        self.queue: deque[int] = deque()
        self.open: tuple[deque[int], deque[int]] = deque(), deque()
        self.loops: list[Loop] = []
        self.islands: list[int] = []

    def run(self) -> None:
        """From the sources, then through what is open, then over what is left."""
        for number, joint in enumerate(self.joints):
            if joint.kind is DeviceKind.SOURCE:
                self._begin(number)
        self._spread(is_fed=True)
        while self.open[0] or self.open[1]:
            number = (self.open[0] or self.open[1]).popleft()
            self._enter(number, is_fed=False)
            self._spread(is_fed=False)
        self._visit_islands()

    def _begin(self, source: int) -> None:
        self.is_seen[source] = self.is_live[source] = True
        self.order.append(source)
        for section in self.joints[source].sections:
            if self.is_reached[section]:
                self._note_loop(source, section)
            else:
                self._reach(section, source, is_fed=True)

    def _reach(self, section: int, joint: int, *, is_fed: bool) -> None:
        self.is_reached[section] = True
        self.is_fed[section] = is_fed
        self.feeder[section] = joint
        self.queue.append(section)

    def _spread(self, *, is_fed: bool) -> None:
        while self.queue:
            section = self.queue.popleft()
            for number in self.at[section]:
                if is_fed:
                    self.is_live[number] = True
                if self.is_seen[number]:
                    continue
                self.is_seen[number] = True
                self.upstream[number] = self.feeder[section]
                self.order.append(number)
                joint = self.joints[number]
                if joint.is_open:
                    self.open[joint.is_normally_open].append(number)
                else:
                    self._enter(number, section, is_fed=is_fed)

    def _enter(self, number: int, origin: int = NOTHING, *, is_fed: bool) -> None:
        for section in self.joints[number].sections:
            if not self.is_reached[section]:
                self._reach(section, number, is_fed=is_fed)
            elif section != origin and not self.joints[number].is_open:
                self._note_loop(number, section)

    def _note_loop(self, number: int, section: int) -> None:
        """The joint closes a way: from it up on this side, and up from the section on the other, to where they meet."""
        if len(self.loops) == MOST_LOOPS:
            return
        own, other = self._up(number), self._up(self.feeder[section])
        tops = {way[-1] for way in (own, other) if way and self.joints[way[-1]].kind is DeviceKind.SOURCE}
        while own and other and own[-1] == other[-1]:  # what is above both carries the loop and is not in it
            own.pop()
            other.pop()
        self.loops.append(Loop((*own, *reversed(other)), len(tops) == 2))

    def _up(self, number: int) -> list[int]:
        way = []
        while number != NOTHING:
            way.append(number)
            number = self.upstream[number]
        return way

    def _visit_islands(self) -> None:
        """What no way leads to: from the sections that no transformer feeds, failing that from any."""
        secondary = {
            section for joint in self.joints if joint.kind is DeviceKind.TRANSFORMER for section in joint.sections[1:]
        }
        every = range(len(self.at))
        for section in (*(one for one in every if one not in secondary), *every):
            if self.is_reached[section]:
                continue
            self.islands.append(section)
            self._reach(section, NOTHING, is_fed=False)
            self._spread(is_fed=False)
            while self.open[0] or self.open[1]:
                self._enter((self.open[0] or self.open[1]).popleft(), is_fed=False)
                self._spread(is_fed=False)


def trace(joints: Sequence[Joint], sections: int) -> Trace:
    """Trace a network of this many sections. The time grows with the number of joints, and for loops with their length.

    Of ways with equally many devices the one counts whose joints come first.
    """
    tracer = _Tracer(joints, sections)
    tracer.run()
    return Trace(
        order=tracer.order,
        upstream=tracer.upstream,
        feeder=tracer.feeder,
        is_fed=tracer.is_fed,
        is_live=tracer.is_live,
        loops=tuple(tracer.loops),
        islands=tuple(tracer.islands),
    )


def sum_up(found: Trace, points: Sequence[Counter[int]], critical: Sequence[int]) -> Totals:
    """What is below each joint.

    Args:
        found: The trace.
        points: For each section, how many of its points of supply have how many customers.
        critical: For each section, its critical customers.
    """
    count = len(found.upstream)
    totals = Totals(
        customers=[0] * count,
        critical=[0] * count,
        branches=[Counter() for _ in range(count)],
        direct=[0] * count,
        spots=[Counter() for _ in range(count)],
        near=[0] * count,
        laterals=[Counter() for _ in range(count)],
    )
    for section, joint in enumerate(found.feeder):
        if joint != NOTHING:
            totals.critical[joint] += critical[section]
            for customers, number in points[section].items():
                if customers:
                    totals.customers[joint] += customers * number
                    totals.direct[joint] += customers * number
                    totals.branches[joint][customers] += number
    for joint in reversed(found.order):
        above, customers = found.upstream[joint], totals.customers[joint]
        if totals.direct[joint]:
            totals.spots[joint][totals.direct[joint]] += 1
        if totals.near[joint]:
            totals.laterals[joint][totals.near[joint]] += 1
        if above != NOTHING:
            totals.critical[above] += totals.critical[joint]
            totals.spots[above].update(totals.spots[joint])
            totals.near[above] += totals.direct[joint]
            totals.laterals[above].update(totals.laterals[joint])
            if customers:
                totals.customers[above] += customers
                totals.branches[above][customers] += 1
    return totals
