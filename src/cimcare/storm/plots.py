"""Plots as SVG: stacked bars and lines over minutes. Pure; colours are those of the page that shows them."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Series", "draw_bars", "draw_lines"]

_WIDTH, _HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 8, 30


class Series(NamedTuple):
    """Values by minute under a name; `colour` is the letter of a colour of the page. None is a gap."""

    name: str
    colour: str
    values: Sequence[float | None]


def draw_bars(series: Sequence[Series]) -> str:
    """Bars on top of one another, the first series lowest."""
    shown = [one for one in series if any(one.values)] or list(series[:1])
    count = len(shown[0].values)
    sums = [sum(one.values[place] or 0.0 for one in shown) for place in range(count)]
    top, step = _nice(max(sums, default=0.0))
    width = (_WIDTH - _LEFT - _RIGHT) / max(count, 1)
    parts = []
    for place in range(count):
        height = 0.0
        for one in shown:
            value = one.values[place] or 0.0
            if value:
                y, low = _y(height + value, top), _y(height, top)
                parts.append(
                    f'<rect x="{_LEFT + place * width + width * 0.08:.1f}" y="{y:.1f}" width="{width * 0.84:.1f}" '
                    f'height="{max(low - y, 0.5):.1f}" fill="var(--{one.colour})"><title>minute {place}: '
                    f"{value:,.0f} {escape(one.name)}</title></rect>"
                )
            height += value
    return _frame("".join(parts), top, step, count, "", shown)


def draw_lines(series: Sequence[Series], *, unit: str, mark: float | None = None) -> str:
    """Lines with a point for each minute; `mark` is a level line that is always seen."""
    values = [value for one in series for value in one.values if value is not None]
    count = max((len(one.values) for one in series), default=0)
    top, step = _nice(max([*values, mark * 1.1 if mark else 0.0], default=0.0))
    width = (_WIDTH - _LEFT - _RIGHT) / max(count, 1)
    parts = []
    if mark is not None:
        y = _y(mark, top)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="var(--d)" '
            'stroke-dasharray="5 4"/>'
        )
    for one in reversed(series):
        points = [
            (_LEFT + (place + 0.5) * width, _y(value, top), place, value)
            for place, value in enumerate(one.values)
            if value is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="var(--{one.colour})" stroke-width="1.8"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="var(--{one.colour})"><title>minute {place}: '
            f"{escape(one.name)} {value:.3f} {unit}</title></circle>"
            for x, y, place, value in points
        ]
    return _frame("".join(parts), top, step, count, f" {unit}", series)


def _frame(content: str, top: float, step: float, count: int, unit: str, series: Sequence[Series]) -> str:
    parts = []
    for number in range(round(top / step) + 1):
        value = number * step
        y = _y(value, top)
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="label" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}{unit}</text>'
        )
    every = max(1, _nice(count)[1] if count > 12 else 1)
    width = (_WIDTH - _LEFT - _RIGHT) / max(count, 1)
    for minute in range(0, count, math.ceil(every)):
        x = _LEFT + (minute + 0.5) * width
        parts.append(f'<text class="label" x="{x:.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{minute}</text>')
    parts.append(
        f'<text class="label" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">minute of the storm</text>'
    )
    keys = "".join(f'<span><i style="background:var(--{one.colour})"></i>{escape(one.name)}</span>' for one in series)
    names = escape(", ".join(one.name for one in series))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{names} by minute">'
        f"{''.join(parts)}{content}</svg>"
        f'<div class="key">{keys}</div>'
    )


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _nice(most: float) -> tuple[float, float]:
    """Top of an axis and the step of its lines, both round numbers."""
    if most <= 0:
        return 1.0, 1.0
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return math.ceil(most / step - 1e-9) * step, step


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.10g}" if value >= 1 or not value else f"{value:.2g}"
