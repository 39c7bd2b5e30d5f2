"""The stretch of time that a slider covers, and where the knob is.

A stretch ends at a full step, so that its address shows the same again whenever it is opened.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec

from cimcare.hub.rest.filters import MESSAGE_FILTERS, Parameter, read_table

__all__ = ["SPANS", "Window", "read_window", "window_at"]

SPANS = {"10m": timedelta(minutes=10), "1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(hours=24)}
"""How long a stretch may be, by the word that names it in an address."""

_SPAN = "1h"
_MINUTE = timedelta(minutes=1)
_SHORT_STEP = timedelta(seconds=10)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_JUMPS = (
    ("1 h back", -timedelta(hours=1)),
    ("10 min back", -10 * _MINUTE),
    ("1 min back", -_MINUTE),
    ("1 min on", _MINUTE),
    ("10 min on", 10 * _MINUTE),
    ("1 h on", timedelta(hours=1)),
)


def _instant(field: str) -> Parameter:
    return msgspec.structs.replace(MESSAGE_FILTERS["since"], field=field)


def _read_place(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ValueError(text)
    return int(text)


_PARAMETERS = {
    "at": _instant("at"),
    "until": _instant("until"),
    "span": Parameter(field="span", read=lambda text: SPANS[text], schema={"enum": list(SPANS)}, text="The stretch."),
    "step": Parameter(
        field="step", read=_read_place, schema={"type": "integer", "minimum": 0}, text="Place of the knob."
    ),
}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch that ends at `until`, and the instant in it that is shown."""

    span: str
    until: datetime
    at: datetime

    @property
    def since(self) -> datetime:
        """Where it begins."""
        return self.until - SPANS[self.span]

    @property
    def step(self) -> timedelta:
        """How far apart two places of the knob are."""
        return _step_of(self.span)

    @property
    def steps(self) -> int:
        """The last place of the knob; the first is 0."""
        return SPANS[self.span] // self.step

    @property
    def place(self) -> int:
        """Where the knob is."""
        return min(max(round((self.at - self.since) / self.step), 0), self.steps)

    @property
    def share(self) -> float:
        """Where the instant lies in the stretch, from 0 to 1."""
        return min(max((self.at - self.since) / SPANS[self.span], 0.0), 1.0)

    def address(self, *, at: datetime, until: datetime | None = None, span: str = "") -> str:
        """Where another instant is shown: in this stretch, if it lies there."""
        given = {"at": _text(at), "span": span or self.span}
        end = until or self.until
        if end - SPANS[given["span"]] <= at <= end:
            given["until"] = _text(end)
        return f"/console/history?{urlencode(given)}"

    def jumps(self, now: datetime) -> list[tuple[str, str]]:
        """Words and addresses of instants before and behind."""
        return [(word, self.address(at=self.at + by)) for word, by in _JUMPS if self.at + by <= now]

    def stretches(self) -> list[tuple[str, str, bool]]:
        """Words and addresses of stretches of other lengths around the instant, and whether it is this one."""
        return [(word, self.address(at=self.at, span=word), word == self.span) for word in SPANS]


def read_window(given: Iterable[tuple[str, str]], now: datetime) -> Window:
    """The window of an address. Raises FilterError."""
    values = msgspec.convert(read_table(given, _PARAMETERS), _Asked)
    span = next(word for word, length in SPANS.items() if length == values.span)
    if values.step is not None and values.until is not None:
        until = _within_reason(values.until)
        return window_at(until - values.span + values.step * _step_of(span), span, until, now)
    return window_at(_within_reason(values.at or now), span, values.until and _within_reason(values.until), now)


class _Asked(msgspec.Struct, kw_only=True):
    at: datetime | None = None
    until: datetime | None = None
    span: timedelta = SPANS[_SPAN]
    step: int | None = None


def window_at(at: datetime, span: str, until: datetime | None, now: datetime) -> Window:
    """The stretch that holds an instant: the one that is asked for if it does, else one with the instant amid it."""
    at = min(at, now)
    length, step = SPANS[span], _step_of(span)
    if until is None or not until - length <= at <= until:
        until = min(at + length / 2, now)
        until = max(_up_to(until, step), at)
    return Window(span=span, until=until, at=at)


def _step_of(span: str) -> timedelta:
    return _SHORT_STEP if SPANS[span] <= 10 * _MINUTE else _MINUTE


def _up_to(at: datetime, step: timedelta) -> datetime:
    left = (at - _EARLIEST) % step
    return at if not left else at + step - left


def _within_reason(at: datetime) -> datetime:
    return min(max(at, _EARLIEST), _LATEST).astimezone(UTC)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
