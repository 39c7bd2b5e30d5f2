"""Where things truly are, as far as the model knows it: for a map that is moved and zoomed. Pure.

Positions that can be degrees (longitude and latitude, WGS 84) lie on the map of the world as tiles have it, which is
Web Mercator (EPSG:3857). All others are taken for metres on a plane, and are drawn to scale.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from cimcare.console.incidents.layout import each_node, guess_positions
from cimcare.console.incidents.mapping import Node
from cimcare.model.identity import MRID
from cimcare.model.network import Position

__all__ = ["Ground", "survey"]

_SIZE = 1000.0
"""Width or height of the ground in the units of the drawing, whichever is more."""

_LEAST_METRES = 300.0
_APART_METRES = 8.0
"""From one thing to the next where several are at one place, to within a metre."""

_MARGIN = 0.06
_RADIUS = 6378137.0
_FURTHEST_NORTH = 85.0
_GOLDEN = math.pi * (3 - math.sqrt(5))


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are in a picture that is `width` by `height`, from the upper left corner, which is north-west.

    `spots` has the premises of each device in their order. `bounds` are south, west, north and east of the picture in
    degrees, None on a plane. `unknown` devices stand where they are only because of what is above or below them.
    """

    width: float
    height: float
    bounds: tuple[float, float, float, float] | None
    devices: Mapping[MRID, Position]
    spots: Mapping[MRID, tuple[Position, ...]]
    unknown: int


def survey(roots: Sequence[Node]) -> Ground:
    """The ground under a drawing.

    Premises without a position stand around their device, a device without one in the middle of what it feeds, or at
    the one above; what is at the same place as something else is set beside it. At least one position must be known.
    """
    known = guess_positions(roots)
    nodes = [node for root in roots for node in each_node(root)]
    every = [*known.values(), *(spot.position for node in nodes for spot in node.spots if spot.position is not None)]
    is_earth = all(abs(x) <= 180 and abs(y) <= _FURTHEST_NORTH for x, y in every)
    places = _Places(known, is_earth=is_earth)
    first = next(iter(known.values()))
    at: dict[MRID, Position] = {}
    for node in nodes:  # each before those that it feeds
        mrid, above = node.device.mrid, node.device.upstream
        known.setdefault(mrid, known.get(above, first) if above is not None else first)
        at[mrid] = places.take(known[mrid])
    spots = {
        node.device.mrid: tuple(places.take(spot.position or known[node.device.mrid]) for spot in node.spots)
        for node in nodes
    }
    frame = _Frame([*at.values(), *(one for group in spots.values() for one in group)], places.metre)
    return Ground(
        width=frame.width,
        height=frame.height,
        bounds=frame.bounds if is_earth else None,
        devices={mrid: frame.place(one) for mrid, one in at.items()},
        spots={mrid: tuple(frame.place(one) for one in group) for mrid, group in spots.items()},
        unknown=sum(node.device.position is None for node in nodes),
    )


class _Places:
    """Positions on a plane, in radians of Web Mercator on earth, so that no two are the same.

    Attributes:
        metre: How long a metre is there.
    """

    def __init__(self, known: Mapping[MRID, Position], *, is_earth: bool) -> None:
        self._is_earth = is_earth
        self._taken: Counter[tuple[int, int]] = Counter()
        latitude = sum(y for _, y in known.values()) / len(known) if is_earth else 0.0
        self.metre = 1 / (_RADIUS * math.cos(math.radians(latitude))) if is_earth else 1.0

    def take(self, position: Position) -> Position:
        """Where it is; if something is there already, a little beside it, further out for each that is there."""
        x, y = _project(position) if self._is_earth else position
        cell = (round(x / self.metre), round(y / self.metre))
        number = self._taken[cell]
        self._taken[cell] += 1
        out, turn = _APART_METRES * self.metre * math.sqrt(number), _GOLDEN * number
        return x + out * math.sin(turn), y + out * math.cos(turn)


class _Frame:
    """The picture around all places, with a margin."""

    def __init__(self, places: Sequence[Position], metre: float) -> None:
        columns, lines = zip(*places, strict=True)
        wide, tall = max(columns) - min(columns), max(lines) - min(lines)
        margin = _MARGIN * max(wide, tall)
        wide, tall = (max(one + 2 * margin, _LEAST_METRES * metre) for one in (wide, tall))
        self._west = (min(columns) + max(columns) - wide) / 2
        self._north = (min(lines) + max(lines) + tall) / 2
        self._scale = _SIZE / max(wide, tall)
        self.width, self.height = wide * self._scale, tall * self._scale

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north and east in degrees."""
        east, south = self._west + self.width / self._scale, self._north - self.height / self._scale
        return _latitude(south), math.degrees(self._west), _latitude(self._north), math.degrees(east)

    def place(self, position: Position) -> Position:
        """Where it is in the picture."""
        return (position[0] - self._west) * self._scale, (self._north - position[1]) * self._scale


def _project(position: Position) -> Position:
    return math.radians(position[0]), math.asinh(math.tan(math.radians(position[1])))


def _latitude(y: float) -> float:
    return math.degrees(math.atan(math.sinh(y)))
