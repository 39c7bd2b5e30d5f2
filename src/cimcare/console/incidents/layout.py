"""Where things stand in a drawing of the network: in rings around the sources, or where the model has them. Pure."""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import count
from typing import NamedTuple

import msgspec

from cimcare.console.incidents.mapping import Node, Spot
from cimcare.model.identity import MRID
from cimcare.model.network import Position

__all__ = ["Drawn", "Layout", "Placed", "each_node", "guess_positions", "has_places", "lay_out"]

_STEP = 15.0
"""The least distance of two things."""

_RING = 92.0
_EDGE = 46.0
_WIDEST = 1180.0
_TALLEST = 900.0


class Layout(StrEnum):
    """How the drawing is laid out."""

    SCHEME = "scheme"
    PLACES = "places"


class Placed(NamedTuple):
    """A device, and where it is; with where the one above it is, and its premises."""

    node: Node
    x: float
    y: float
    above: tuple[float, float] | None
    spots: tuple[tuple[Spot, float, float], ...]


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """All devices of a drawing, from the sources down, and how large it is."""

    placed: tuple[Placed, ...]
    width: float
    height: float


def has_places(roots: Sequence[Node]) -> bool:
    """Whether the model knows where most of these devices are, or premises at them."""
    every = [node for root in roots for node in each_node(root)]
    return sum(bool(_own_positions(node)) for node in every) * 2 > len(every)


def lay_out(roots: Sequence[Node], layout: Layout) -> Drawn:
    """Place everything. Same network, same drawing."""
    if not roots:
        return Drawn(placed=(), width=200, height=100)
    return _in_places(roots) if layout is Layout.PLACES else _in_rings(roots)


def each_node(node: Node) -> Iterator[Node]:
    """A device, and all below it."""
    yield node
    for child in node.children:
        yield from each_node(child)


def guess_positions(roots: Sequence[Node]) -> dict[MRID, Position]:
    """The position of each device; where the model has none, the middle of what it feeds, if that is known."""
    known: dict[MRID, Position] = {}
    for root in roots:
        _guess(root, known)
    return known


# ------------------------------------------------------------------------------------------------------------- rings


def _in_rings(roots: Sequence[Node]) -> Drawn:
    """Each device has the slice of the circle that what is below it needs; each step down is one ring out."""
    depth = max(_depth(root) for root in roots) + (len(roots) > 1)
    slots = sum(_slots(root) for root in roots)
    outer = max(_RING * depth, slots * _STEP / math.tau)
    ring = outer / max(depth, 1)
    middle = outer + _EDGE
    placed: list[Placed] = []

    def place(node: Node, first: float, level: int, above: tuple[float, float] | None) -> None:
        share = math.tau / slots
        turn = (first + _slots(node) / 2) * share
        x, y = middle + ring * level * math.sin(turn), middle - ring * level * math.cos(turn)
        spots = []
        for number, spot in enumerate(node.spots):
            at = (first + number + 0.5) * share
            out = min(ring * (level + 1), outer)
            spots.append((spot, middle + out * math.sin(at), middle - out * math.cos(at)))
        placed.append(Placed(node, x, y, above, tuple(spots)))
        first += len(node.spots)
        for child in node.children:
            place(child, first, level + 1, (x, y))
            first += _slots(child)

    first = 0.0
    for root in roots:
        place(root, first, 1 if len(roots) > 1 else 0, None)
        first += _slots(root)
    return Drawn(placed=tuple(placed), width=2 * middle, height=2 * middle)


def _slots(node: Node) -> int:
    return max(1, len(node.spots) + sum(_slots(child) for child in node.children))


def _depth(node: Node) -> int:
    own = 1 if node.spots else 0
    return max([own, *(1 + _depth(child) for child in node.children)])


# ------------------------------------------------------------------------------------------------------------ places


class _Grid:
    """Places that are taken: what comes to one stands at the next that is free, going round."""

    def __init__(self) -> None:
        self._taken: set[tuple[int, int]] = set()

    def take(self, x: float, y: float) -> tuple[float, float]:
        column, line = round(x / _STEP), round(y / _STEP)
        for radius in count():
            for across, down in _around(radius):
                cell = (column + across, line + down)
                if cell not in self._taken:
                    self._taken.add(cell)
                    return cell[0] * _STEP, cell[1] * _STEP
        raise AssertionError  # there is always a free one further out


def _around(radius: int) -> Iterator[tuple[int, int]]:
    """The cells of a square ring."""
    if radius == 0:
        yield 0, 0
        return
    for across in range(-radius, radius + 1):
        for down in range(-radius, radius + 1):
            if max(abs(across), abs(down)) == radius:
                yield across, down


def _in_places(roots: Sequence[Node]) -> Drawn:
    """Devices and premises stand where the model has them; north is up.

    Other devices stand in the middle of what they feed, other premises at their device.
    """
    known = guess_positions(roots)
    if not known:
        return _in_rings(roots)
    columns = [x for x, _ in known.values()]
    lines = [y for _, y in known.values()]
    west, north = min(columns), max(lines)
    wide, tall = max(columns) - west, north - min(lines)
    scale = min(_WIDEST / wide if wide else math.inf, _TALLEST / tall if tall else math.inf)
    # A narrow strip of land is stretched, at most threefold, so that it can be seen.
    across = min(_WIDEST / wide, scale * 3) if wide else 0.0
    down = min(_TALLEST / tall, scale * 3) if tall else 0.0

    def scaled(x: float, y: float) -> tuple[float, float]:
        return (x - west) * across, (north - y) * down

    grid = _Grid()
    standing: list[tuple[Node, float, float, tuple[float, float] | None]] = []

    def place(node: Node, above: tuple[float, float] | None) -> None:
        here = grid.take(*scaled(*known.get(node.device.mrid, (west, north))))
        standing.append((node, *here, above))
        for child in node.children:
            place(child, here)

    for root in roots:
        place(root, None)
    placed = [
        Placed(
            node,
            x,
            y,
            above,
            tuple((spot, *grid.take(*(scaled(*spot.position) if spot.position else (x, y)))) for spot in node.spots),
        )
        for node, x, y, above in standing
    ]
    every = [(one.x, one.y) for one in placed] + [(x, y) for one in placed for _, x, y in one.spots]
    left, upper = min(x for x, _ in every) - _EDGE, min(y for _, y in every) - _EDGE
    moved = tuple(
        Placed(
            one.node,
            one.x - left,
            one.y - upper,
            (one.above[0] - left, one.above[1] - upper) if one.above is not None else None,
            tuple((spot, x - left, y - upper) for spot, x, y in one.spots),
        )
        for one in placed
    )
    width = max(x for x, _ in every) - left + _EDGE
    return Drawn(placed=moved, width=width, height=max(y for _, y in every) - upper + _EDGE)


def _guess(node: Node, known: dict[MRID, Position]) -> None:
    for child in node.children:
        _guess(child, known)
    below = _own_positions(node) or [known[one.device.mrid] for one in node.children if one.device.mrid in known]
    if below:
        known[node.device.mrid] = (sum(x for x, _ in below) / len(below), sum(y for _, y in below) / len(below))


def _own_positions(node: Node) -> list[Position]:
    """Where the device is; failing that, the premises at it."""
    if node.device.position is not None:
        return [node.device.position]
    return [spot.position for spot in node.spots if spot.position is not None]
