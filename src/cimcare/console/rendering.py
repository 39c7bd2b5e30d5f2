"""Templates, and responses that let a browser do nothing but show them: one strict content policy for all pages."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.responses import HTMLResponse, Response

from cimcare import __version__
from cimcare.exchange.log import LogEntry

__all__ = ["SAFE", "Rendering", "read_static"]

_POLICY = "content-security-policy"

SAFE = {
    _POLICY: (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
"""Header fields of every page. Nothing is inline, so the policy has no unsafe word."""

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_MOST_PARTS = 1000
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def read_static(name: str) -> Response | None:
    """A file that pages use, kept by browsers for good, since its address changes with its content; None for none."""
    suffix = name.rpartition(".")[2]
    if suffix not in _TYPES or "/" in name or name.startswith("."):
        return None
    file = files("cimcare.console") / "static" / name
    if not file.is_file():
        return None
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(file.read_bytes(), headers=headers, media_type=_TYPES[suffix])


class Rendering:
    """Makes pages of templates. One object for a console."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("cimcare.console", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            instant=show_instant,
            minute=show_minute,
            clock=show_clock,
            lasting=show_lasting,
            grouped=show_grouped,
            size=show_size,
        )
        self._templates.globals.update(static=_static_address, version=__version__, quote=lambda one: quote(one, ""))
        self._templates.globals.update(self._parts())  # which are read with what is known by then

    def _parts(self) -> dict[str, Callable[[LogEntry], str]]:
        """Parts of a line about a message, which stand on many pages, and in each in many lines that are the same."""
        parts: Any = self._templates.get_template("_parts.html").module
        outcome, way, said = (lru_cache(_MOST_PARTS)(part) for part in (parts.outcome, parts.way, parts.said))
        return {
            "outcome": lambda entry: outcome(entry.outcome, entry.archetype, entry.direction),
            "way": lambda entry: way(entry.direction),
            "said": lambda entry: said(entry.verb, entry.noun),
        }

    def fragment(self, template: str, values: Mapping[str, object]) -> str:
        """A part of a page."""
        return self._templates.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, object], *, status: int = 200, images: str = "") -> Response:
        """A page; it is never kept, for it shows what is now. `images`: an origin that it may have images of, too."""
        headers = {**SAFE, "cache-control": "no-store"}
        if images:
            headers[_POLICY] = SAFE[_POLICY].replace("img-src 'self'", f"img-src 'self' {images}")
        return HTMLResponse(self.fragment(template, values), status, headers=headers)


def show_instant(at: datetime) -> str:
    """Date and time in UTC, such as `2030-06-01 12:00:00 Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} Z"


def show_minute(at: datetime) -> str:
    """Date and time in UTC to the minute, such as `06-01 12:00`."""
    return f"{at.astimezone(UTC):%m-%d %H:%M}"


def show_clock(at: datetime) -> str:
    """Time of day in UTC, to the millisecond."""
    return f"{at.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def show_lasting(time: timedelta) -> str:
    """A duration in its two largest units, such as `3 min 20 s`."""
    left = max(int(time.total_seconds()), 0)
    parts = []
    for seconds, unit in _UNITS:
        number, left = divmod(left, seconds)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def show_grouped(number: float) -> str:
    """A number with its thousands apart, by a narrow space."""
    return f"{number:,.0f}".replace(",", " ")


def show_size(number: int) -> str:
    """A size such as `3.1 kB`."""
    return f"{number} B" if number < 1000 else f"{number / 1000:.1f} kB" if number < 1e6 else f"{number / 1e6:.1f} MB"


@cache
def _static_address(name: str) -> str:
    """Where a file is had, looked at once, for what is installed does not change under a hub that runs."""
    content = (files("cimcare.console") / "static" / name).read_bytes()
    return f"/console/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"
