"""Draws the network as SVG: each state has a colour and a shape of its own, and every outage leads to its incident."""

from html import escape
from urllib.parse import quote

from cimcare.console.incidents.layout import Drawn, Placed
from cimcare.console.incidents.mapping import Node, Spot, Supply
from cimcare.model.network import DeviceKind

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


def draw_town(drawn: Drawn, title: str) -> str:
    """The drawing, to stand in a page."""
    width, height = round(drawn.width), round(drawn.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="town" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="group" aria-labelledby="town-title"><title id="town-title">{escape(title)}</title>'
    ]
    parts += [_draw_lines(one) for one in drawn.placed]
    parts += [_draw_spots(one) for one in drawn.placed]
    shown = sum(one.node.device.kind in _NAMED for one in drawn.placed)
    parts += [_draw_device(one, is_named=shown <= _MOST_NAMES) for one in drawn.placed]
    return "".join([*parts, "</svg>"])


def draw_sign(supply: Supply, x: float, y: float, size: float) -> str:
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
    if supply is Supply.REPORTED:
        return (
            f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{size * 1.2:.1f}"/>'
            f'<circle class="{name} dot" cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.5:.1f}"/>'
        )
    return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'


def _draw_lines(one: Placed) -> str:
    name = CLASSES[one.node.supply]
    parts = []
    if one.above is not None:
        dashes = " open" if one.node.device.is_open else ""
        parts.append(
            f'<line class="wire {name}{dashes}" x1="{one.above[0]:.1f}" y1="{one.above[1]:.1f}" x2="{one.x:.1f}"'
            f' y2="{one.y:.1f}"/>'
        )
    parts += [
        f'<line class="wire thin {CLASSES[spot.supply]}" x1="{one.x:.1f}" y1="{one.y:.1f}" x2="{x:.1f}" y2="{y:.1f}"/>'
        for spot, x, y in one.spots
    ]
    return "".join(parts)


def _draw_spots(one: Placed) -> str:
    return "".join(_draw_spot(spot, x, y) for spot, x, y in one.spots)


def _draw_spot(spot: Spot, x: float, y: float) -> str:
    told = f"{spot.label}: {spot.supply}{', somebody has called' if spot.is_reported else ''}"
    title = f"<title>{escape(told + (', depends on supply' if spot.is_critical else ''))}</title>"
    if spot.number > 1:
        return (
            f"<g>{title}{draw_sign(spot.supply, x, y, 8)}"
            f'<text class="many" x="{x + 12:.1f}" y="{y + 4:.1f}">{spot.number}</text></g>'
        )
    ring = f'<circle class="called" cx="{x:.1f}" cy="{y:.1f}" r="7"/>' if spot.is_reported else ""
    return f"<g>{title}{ring}{draw_sign(spot.supply, x, y, 3.6)}</g>"


def _draw_device(one: Placed, *, is_named: bool) -> str:
    node = one.node
    device = node.device
    told = f"{device.kind} {device.name}: {node.supply}, {device.customers} customers below"
    title = f"<title>{escape(told + (', open' if device.is_open else ''))}</title>"
    size = 8.5 if device.kind is DeviceKind.SOURCE else 6.5 if device.kind in _NAMED else 5.0
    sign = draw_sign(node.supply, one.x, one.y, size)
    if device.is_open:
        sign = f'<circle class="gap" cx="{one.x:.1f}" cy="{one.y:.1f}" r="{size:.1f}"/>'
    name = ""
    if node.row is not None or (is_named and device.kind in _NAMED):
        place = " own" if node.row is not None else ""
        name = (
            f'<text class="name{place}" x="{one.x + size + 4:.1f}" y="{one.y - size:.1f}">{escape(device.name)}</text>'
        )
    more = ""
    if node.hidden:
        more = f'<text class="many" x="{one.x + size + 4:.1f}" y="{one.y + 12:.1f}">+{node.hidden} customers</text>'
    body = f'<g class="dev">{title}{sign}{name}{more}</g>'
    address = _address_of(node)
    label = escape(f"{device.kind} {device.name}, {node.supply}", quote=True)
    return f'<a href="{address}" aria-label="{label}">{body}</a>' if address else body


def _address_of(node: Node) -> str:
    if node.row is not None:
        return f"/console/incidents/{quote(node.row.mrid, '')}"
    return f"/console/map?root={quote(node.device.mrid, '')}" if node.hidden else ""
