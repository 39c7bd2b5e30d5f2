"""Draws the network as SVG: each state has a colour and a shape of its own, and every outage leads to its incident.

Each sign is drawn around a point of its own, so that a script can keep its size while it zooms, and each thing may say
(`data-at`) where it truly is, for a script to put it there.
"""

from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from cimcare.console.incidents.ground import Ground
from cimcare.console.incidents.layout import Drawn, Placed
from cimcare.console.incidents.mapping import Node, Supply
from cimcare.model.network import DeviceKind, Position

__all__ = ["CLASSES", "draw_sign", "draw_town"]

CLASSES = {
    Supply.SUPPLIED: "fed",
    Supply.OUT: "out",
    Supply.SUSPECTED: "sus",
    Supply.REPORTED: "rep",
    Supply.BACK: "back",
}
"""Class of each state in the style sheet."""

_NAMED = frozenset(DeviceKind) - {DeviceKind.TRANSFORMER}
_MOST_NAMES = 40


def draw_town(drawn: Drawn, title: str, ground: Ground | None = None) -> str:
    """The drawing, to stand in a page; with `ground`, it also says where things truly are."""
    width, height = round(drawn.width), round(drawn.height)
    true = ""
    if ground is not None:
        true = f' data-box="{ground.width:.2f} {ground.height:.2f}"'
        if ground.bounds is not None:
            true += f' data-bounds="{" ".join(f"{one:.7f}" for one in ground.bounds)}"'
    shown = sum(one.node.device.kind in _NAMED for one in drawn.placed)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="town" viewBox="0 0 {width} {height}" width="{width}"'
            f' height="{height}" role="group" aria-label="{escape(title)}"{true}>',
            *(line for one in drawn.placed for line in _draw_lines(one, ground)),
            *(spot for one in drawn.placed for spot in _draw_spots(one, ground)),
            *(_draw_device(one, ground, is_named=shown <= _MOST_NAMES) for one in drawn.placed),
            "</svg>",
        ]
    )


def draw_sign(supply: Supply, size: float, x: float = 0.0, y: float = 0.0) -> str:
    """The shape of a state: disc, square with a cross, triangle, ring with a dot, ring."""
    name = CLASSES[supply]
    if supply is Supply.OUT:
        half, arm = size, size * 0.55
        return (
            f'<rect class="{name}" x="{x - half:.1f}" y="{y - half:.1f}" width="{2 * half:.1f}" height="{2 * half:.1f}"'
            f' rx="1"/><path class="cross" d="M{x - arm:.1f},{y - arm:.1f} l{2 * arm:.1f},{2 * arm:.1f}'
            f' M{x + arm:.1f},{y - arm:.1f} l{-2 * arm:.1f},{2 * arm:.1f}"/>'
        )
    if supply is Supply.SUSPECTED:
        tip, base = size * 1.25, size * 0.95
        return (
            f'<polygon class="{name}" points="{x:.1f},{y - tip:.1f} {x + tip:.1f},{y + base:.1f}'
            f' {x - tip:.1f},{y + base:.1f}"/>'
        )
    at = f'cx="{x:.1f}" cy="{y:.1f}"' if x or y else ""
    if supply is Supply.REPORTED:
        return (
            f'<circle class="{name}" {at} r="{size * 1.2:.1f}"/><circle class="{name} dot" {at} r="{size * 0.5:.1f}"/>'
        )
    return f'<circle class="{name}" {at} r="{size:.1f}"/>'


def _draw_lines(one: Placed, ground: Ground | None) -> Iterator[str]:
    device = one.node.device
    name = CLASSES[one.node.supply]
    true = ground.devices[device.mrid] if ground is not None else None
    if one.above is not None:
        above = ground.devices[device.upstream] if ground is not None and device.upstream is not None else None
        yield _draw_line(f"{name} open" if device.is_open else name, (one.above, (one.x, one.y)), (above, true))
    for number, (spot, x, y) in enumerate(one.spots):
        place = ground.spots[device.mrid][number] if ground is not None else None
        yield _draw_line(f"thin {CLASSES[spot.supply]}", ((one.x, one.y), (x, y)), (true, place))


def _draw_line(name: str, ends: tuple[Position, Position], true: tuple[Position | None, Position | None]) -> str:
    (x1, y1), (x2, y2) = ends
    there = ""
    if true[0] is not None and true[1] is not None:
        there = f' data-at="{_written(true[0])} {_written(true[1])}"'
    return f'<line class="wire {name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{there}/>'


def _draw_spots(one: Placed, ground: Ground | None) -> Iterator[str]:
    places = ground.spots[one.node.device.mrid] if ground is not None else (None,) * len(one.spots)
    for (spot, x, y), true in zip(one.spots, places, strict=True):
        told = f"{spot.label}: {spot.supply}{', somebody has called' if spot.is_reported else ''}"
        if spot.number > 1:
            sign = f'{draw_sign(spot.supply, 8)}<text class="many" x="12" y="4">{spot.number}</text>'
        else:
            ring = '<circle class="called" r="7"/>' if spot.is_reported else ""
            name = f'<text class="many nearer" x="9" y="4">{escape(spot.label)}</text>'
            sign = f"{ring}{draw_sign(spot.supply, 3.6)}{name}"
        told += ", depends on supply" if spot.is_critical else ""
        yield _draw_at((x, y), true, told, f'<g class="sign">{sign}</g>')


def _draw_device(one: Placed, ground: Ground | None, *, is_named: bool) -> str:
    node = one.node
    device = node.device
    told = f"{device.kind} {device.name}: {node.supply}, {device.customers} customers below"
    if device.is_open:
        told += ", open"
    if ground is not None and device.position is None:
        told += ", place not known"
    size = 8.5 if device.kind is DeviceKind.SOURCE else 6.5 if device.kind in _NAMED else 5.0
    sign = f'<circle class="gap" r="{size:.1f}"/>' if device.is_open else draw_sign(node.supply, size)
    when = " own" if node.row is not None else "" if is_named and device.kind in _NAMED else " near"
    name = f'<text class="name{when}" x="{size + 4:.1f}" y="{-size:.1f}">{escape(device.name)}</text>'
    more = f'<text class="many" x="{size + 4:.1f}" y="12">+{node.hidden} customers</text>' if node.hidden else ""
    true = ground.devices[device.mrid] if ground is not None else None
    body = _draw_at((one.x, one.y), true, told, f'<g class="sign dev">{sign}{name}{more}</g>')
    address = _address_of(node, layout="" if ground is None else "&amp;as=places")
    label = escape(f"{device.kind} {device.name}, {node.supply}", quote=True)
    # By its id a link stays the same element, with the focus, whatever comes before it when the drawing is made anew.
    return (
        f'<a id="sign-{quote(device.mrid, "")}" href="{address}" aria-label="{label}">{body}</a>' if address else body
    )


def _draw_at(here: Position, true: Position | None, told: str, sign: str) -> str:
    there = f' data-at="{_written(true)}"' if true is not None else ""
    return f'<g transform="translate({here[0]:.1f},{here[1]:.1f})"{there}><title>{escape(told)}</title>{sign}</g>'


def _written(position: Position) -> str:
    return f"{position[0]:.2f} {position[1]:.2f}"


def _address_of(node: Node, *, layout: str) -> str:
    if node.row is not None:
        return f"/console/incidents/{quote(node.row.mrid, '')}"
    return f"/console/map?root={quote(node.device.mrid, '')}{layout}" if node.hidden else ""
