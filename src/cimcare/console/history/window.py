"""The stretch of time that a slider and a curve cover, and where the knob is.

A stretch ends at a full step, so that its address shows the same again whenever it is opened.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec

from cimcare.errors import InputError, finding_of
from cimcare.hub.operation.hours import BEGINNING, within_reason
from cimcare.hub.rest.filters import MESSAGE_FILTERS, Parameter, read_table

__all__ = ["SPANS", "Window", "read_window", "window_at"]

SPANS = {"10m": timedelta(minutes=10), "1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(hours=24)}
"""How long a stretch may be, by the word that names it in an address."""

_SPAN = "1h"
_LONGEST = max(SPANS.values())
_MINUTE = timedelta(minutes=1)
_SHORT_STEP = timedelta(seconds=10)
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
    "since": _instant("since"),
    "until": _instant("until"),
    "span": Parameter(field="span", read=lambda text: SPANS[text], schema={"enum": list(SPANS)}, text="The stretch."),
    "step": Parameter(
        field="step", read=_read_place, schema={"type": "integer", "minimum": 0}, text="Place of the knob."
    ),
}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time, and the instant in it that is shown."""

    since: datetime
    until: datetime
    at: datetime

    @property
    def span(self) -> str:
        """The word for a stretch of this length; empty where there is none."""
        return next((word for word, length in SPANS.items() if length == self.until - self.since), "")

    @property
    def word(self) -> str:
        """The word for a stretch of this length, or else of the next longer one."""
        longer = (word for word, length in SPANS.items() if length >= self.until - self.since)
        return next(longer, "24h")  # which whole minutes that hold a day are longer than

    @property
    def step(self) -> timedelta:
        """How far apart two places of the knob are."""
        return _step_of(self.until - self.since)

    @property
    def steps(self) -> int:
        """The last place of the knob; the first is 0."""
        return (self.until - self.since) // self.step

    @property
    def place(self) -> int:
        """Where the knob is."""
        return min(max(round((self.at - self.since) / self.step), 0), self.steps)

    @property
    def share(self) -> float:
        """Where the instant is, from 0 to 1."""
        return min(max((self.at - self.since) / (self.until - self.since), 0.0), 1.0)

    @property
    def fields(self) -> dict[str, str]:
        """What names the stretch in an address."""
        begin = {"span": self.span} if self.span else {"since": _text(self.since)}
        return {**begin, "until": _text(self.until)}

    def address(self, *, at: datetime, span: str = "") -> str:
        """Where another instant is shown: in this stretch, if it lies there, or in one of another length."""
        given = {"at": _text(at)}
        if span or not self.since <= at <= self.until:
            given["span"] = span or self.word
        else:
            given.update(self.fields)
        return f"/console/history?{urlencode(given)}"

    def jumps(self, now: datetime) -> list[tuple[str, str]]:
        """Words and addresses of instants before and behind."""
        return [(word, self.address(at=self.at + by)) for word, by in _JUMPS if self.at + by <= now]

    def stretches(self) -> list[tuple[str, str, bool]]:
        """Words and addresses of stretches of other lengths around the instant, and whether it is this one."""
        return [(word, self.address(at=self.at, span=word), word == self.span) for word in SPANS]


def read_window(given: Iterable[tuple[str, str]], now: datetime) -> Window:
    """The window of an address: a stretch of the length that a word names, or from `since` to `until`.

    Raises:
        FilterError: A parameter is unknown or wrong.
        InputError: EXC-110 the stretch is empty or too long.
    """
    values = msgspec.convert(read_table(given, _PARAMETERS), _Asked)
    until = within_reason(values.until) if values.until is not None else None
    at = within_reason(values.at) if values.at is not None else None
    if values.since is not None:
        since, until = _stretch(within_reason(values.since), until or now)
    elif until is not None:
        since = until - values.span
    else:
        return window_at(at or now, values.span, None, now)
    if values.step is not None:
        at = since + values.step * _step_of(until - since)
    return window_at(min(at or until, now), until - since, until, now)


def _stretch(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The whole minutes that hold a stretch, two at least."""
    if not timedelta() < until - since <= _LONGEST:
        found, accepted = f"{since.isoformat()} to {until.isoformat()}", "up to 24 hours"
        raise InputError(finding_of("EXC-110", "?since", found, accepted))
    first = since - (since - BEGINNING) % _MINUTE
    return first, max(_up_to(until, _MINUTE), first + 2 * _MINUTE)


class _Asked(msgspec.Struct, kw_only=True):
    at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    span: timedelta = SPANS[_SPAN]
    step: int | None = None


def window_at(at: datetime, length: timedelta, until: datetime | None, now: datetime) -> Window:
    """The stretch that holds an instant: the one that is asked for if it does, else one with the instant amid it."""
    at = min(at, now)
    if until is None or not until - length <= at <= until:
        until = min(at + length / 2, now)
        until = max(_up_to(until, _step_of(length)), at)
    return Window(since=until - length, until=until, at=at)


def _step_of(length: timedelta) -> timedelta:
    return _SHORT_STEP if length <= 10 * _MINUTE else _MINUTE


def _up_to(at: datetime, step: timedelta) -> datetime:
    left = (at - BEGINNING) % step
    return at if not left else at + step - left


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
