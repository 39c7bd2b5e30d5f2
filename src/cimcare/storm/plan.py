"""What a storm sends, and when: drawn from profile, scale and seed before anything is sent. Pure.

Nothing here depends on an answer. Whoever asks how far it is asks about a ticket of the plan; who says that supply is
still out was called back in the plan, too. `random.Random` promises `random()` alone to be the same in every version of
Python, so nothing else of it is used.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import IntEnum
from hashlib import sha256
from itertools import accumulate
from random import Random
from typing import TypeVar

import msgspec

from cimcare.storm.profile import Bursts, Profile
from cimcare.storm.town import FEEDER, LATERAL, TRANSFORMER, StormTown, town_of

__all__ = ["Hazard", "Item", "Origin", "Plan", "draw_plan"]

T = TypeVar("T")
_Draw = Callable[[], float]
"""Gives a number from 0 to below 1."""

_SOON_SECONDS = 20.0
"""Nobody asks about a ticket in less than this after the report."""

_CALLED_BACK_SECONDS = 90.0
"""Between the call-back that closes a ticket and the call that says that supply is still out."""

_TABLE_SECONDS = 15.0
"""How long the head end of the meters gathers before it sends a table."""


class Item(IntEnum):
    """A sort of message."""

    TICKET = 0
    AGAIN = 1
    """A ticket sent a second time, as it is."""
    CLOSE = 2
    """A ticket is closed since the caller was called back."""
    ASK_INCIDENT = 3
    ASK_TICKET = 4
    METERS = 5


class Hazard(IntEnum):
    """A danger that a ticket reports."""

    NONE = 0
    WIRE_DOWN = 1
    FIRE = 2
    GAS = 3


class Origin(IntEnum):
    """Why somebody calls."""

    FIRST = 0
    REPEAT = 1
    STILL_OUT = 2
    WRONG_ACCOUNT = 3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A storm, drawn.

    `at` are seconds from the beginning, in order; `kinds` and `subjects` say for each of them which message it is: the
    number of a ticket, of a question (`asked` is the ticket that it is about) or of a table of meters. `reported`,
    `premises`, `hazards` and `origins` go by the number of the ticket. `key` is what identifiers follow from.
    """

    key: str
    town: StormTown
    seconds: float
    at: "array[float]"
    kinds: bytes
    subjects: "array[int]"
    reported: "array[float]"
    premises: "array[int]"
    hazards: bytes
    origins: bytes
    asked: "array[int]"
    tables: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def tickets(self) -> int:
        """How many tickets are reported."""
        return self.kinds.count(Item.TICKET)

    def cut(self, seconds: float) -> "Plan":
        """The same storm up to this instant."""
        end = bisect_right(self.at, seconds)
        return msgspec.structs.replace(
            self,
            seconds=min(seconds, self.seconds),
            at=self.at[:end],
            kinds=self.kinds[:end],
            subjects=self.subjects[:end],
        )

    def without(self, kind: Item) -> "Plan":
        """The same storm without messages of a sort."""
        kept = [number for number, each in enumerate(self.kinds) if each != kind]
        return msgspec.structs.replace(
            self,
            at=array("d", (self.at[number] for number in kept)),
            kinds=bytes(self.kinds[number] for number in kept),
            subjects=array("l", (self.subjects[number] for number in kept)),
        )


def draw_plan(profile: Profile, *, scale: float, seed: int) -> Plan:
    """Draw a storm: the same for the same profile, scale and seed, on every machine."""
    key = sha256(f"{profile.digest}/{scale!r}/{seed}".encode()).hexdigest()
    return _Drawing(profile, scale, key).drawn()


class _Drawing:
    """One storm while it is drawn."""

    def __init__(self, profile: Profile, scale: float, key: str) -> None:
        self._profile = profile
        self._key = key
        self._random = Random(key).random  # noqa: S311 - no secret, and has to come again
        self._town = town_of(profile, scale)
        self._count = max(1, round(profile.tickets_in_all * scale))
        self._seconds = profile.minutes * 60.0
        self._premises = array("l")
        self._hazards = bytearray()
        self._origins = bytearray()
        self._at: list[float] = []
        self._items: list[tuple[float, int, int]] = []
        self._silent: list[tuple[float, int]] = []
        """Meters that lost supply: when they say so, and the premises."""
        self._faults = _Faults(profile, self._town, self._random)

    def drawn(self) -> Plan:
        tickets = self._profile.tickets
        patience = tickets.still_out_after_minutes * 60 + _CALLED_BACK_SECONDS
        still_outs = round(self._count * tickets.still_outs) if patience < self._seconds else 0
        self._draw_calls(self._count - still_outs)
        self._draw_still_outs(still_outs, patience)
        self._draw_calls(self._count - len(self._at))  # where too few have called early enough to call again
        asked = self._draw_questions()
        tables = self._draw_tables()
        self._items.sort()
        return Plan(
            key=self._key,
            town=self._town,
            seconds=self._seconds,
            at=array("d", (at for at, _, _ in self._items)),
            kinds=bytes(kind for _, kind, _ in self._items),
            subjects=array("l", (subject for _, _, subject in self._items)),
            reported=array("d", self._at),
            premises=self._premises,
            hazards=bytes(self._hazards),
            origins=bytes(self._origins),
            asked=asked,
            tables=tables,
        )

    def _draw_calls(self, count: int) -> None:
        draw, tickets = self._random, self._profile.tickets
        others = tickets.wrong_accounts + tickets.repeats
        for at in _arrivals(self._profile, count, draw):
            chance = draw()
            if chance < tickets.wrong_accounts:
                self._report(at, int(draw() * self._town.premises), Origin.WRONG_ACCOUNT)
            elif chance < others and self._at:
                self._report(at, self._earlier(), Origin.REPEAT)
            else:
                caller, new = self._faults.next_caller()
                self._lose_supply(at, new)
                if caller is None:  # everybody has called who would
                    self._report(at, self._earlier(), Origin.REPEAT)
                else:
                    self._report(at, caller, Origin.FIRST)

    def _report(self, at: float, premises: int, origin: Origin) -> None:
        number = len(self._at)
        self._at.append(at)
        self._premises.append(premises)
        self._origins.append(origin)
        self._hazards.append(self._draw_hazard())
        self._items.append((at, Item.TICKET, number))
        tickets = self._profile.tickets
        if self._random() < tickets.resent:
            self._items.append((at + tickets.resent_after_seconds, Item.AGAIN, number))

    def _draw_hazard(self) -> Hazard:
        hazards = self._profile.hazards
        if self._random() >= hazards.share:
            return Hazard.NONE
        kind = self._random() * (hazards.wire_down + hazards.fire + hazards.gas)
        if kind < hazards.wire_down:
            return Hazard.WIRE_DOWN
        return Hazard.FIRE if kind < hazards.wire_down + hazards.fire else Hazard.GAS

    def _earlier(self) -> int:
        """Premises of one who has called before."""
        return self._premises[int(self._random() * len(self._premises))] if self._premises else 0

    def _draw_still_outs(self, count: int, patience: float) -> None:
        last = bisect_right(self._at, self._seconds - patience)
        first_calls = [number for number in range(last) if self._origins[number] == Origin.FIRST]
        for number in _some(first_calls, count, self._random):
            closed_at = self._at[number] + patience - _CALLED_BACK_SECONDS
            self._items.append((closed_at, Item.CLOSE, number))
            self._report(closed_at + _CALLED_BACK_SECONDS, self._premises[number], Origin.STILL_OUT)

    def _draw_questions(self) -> "array[int]":
        status, draw, end = self._profile.status, self._random, self._seconds
        asked = array("l")
        span = status.within_minutes * 60
        known = len(self._at)
        for number in range(round(known * status.per_ticket)):
            ticket = int(draw() * known)
            first = self._at[ticket] + _SOON_SECONDS
            at = first + draw() * min(span, max(end - first, _SOON_SECONDS))
            asked.append(ticket)
            self._items.append((at, Item.ASK_INCIDENT if draw() < status.incidents else Item.ASK_TICKET, number))
        return asked

    def _lose_supply(self, at: float, premises: range) -> None:
        meters = self._profile.meters
        if meters.share:
            self._silent += [
                (at + self._random() * meters.late_seconds, one) for one in premises if self._random() < meters.share
            ]

    def _draw_tables(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        tables: list[tuple[tuple[int, float], ...]] = []
        rows: list[tuple[int, float]] = []

        def send(at: float) -> None:
            self._items.append((at, Item.METERS, len(tables)))
            tables.append(tuple(rows))
            rows.clear()

        for at, premises in sorted(self._silent):
            if rows and (len(rows) == self._profile.meters.rows or at - rows[0][1] > _TABLE_SECONDS):
                send(rows[0][1] + _TABLE_SECONDS if at - rows[0][1] > _TABLE_SECONDS else at)
            rows.append((premises, at))
        if rows:
            send(rows[-1][1] + 1)
        return tuple(tables)


class _Faults:
    """Faults one after another, and who calls about them. Each part of the network fails once."""

    def __init__(self, profile: Profile, town: StormTown, draw: _Draw) -> None:
        self._town, self._rules, self._draw = town, profile.town, draw
        feeders = list(range(-(-town.premises // FEEDER)))
        self._feeders = _some(feeders, len(feeders), draw)
        self._laterals: list[int] = []
        self._transformers: list[int] = []
        self._active: list[list[int]] = []

    def next_caller(self) -> tuple[int | None, range]:
        """Premises from which the next call comes, None if there are none left; and those that just lost supply."""
        new = range(0)
        while len(self._active) < self._rules.active_faults:
            out = self._next_fault()
            if not out:
                break
            new = out
            calling = [one for one in out if self._draw() < self._rules.calling]
            if calling:
                self._active.append(_some(calling, len(calling), self._draw))
                break  # one new fault a call: they do not begin all at once
        if not self._active:
            return None, new
        place = int(self._draw() * len(self._active))
        callers = self._active[place]
        caller = callers.pop()
        if not callers:
            self._active[place] = self._active[-1]
            self._active.pop()
        return caller, new

    def _next_fault(self) -> range:
        kind = self._draw()
        if kind < self._rules.feeder_faults and self._feeders:
            return self._below(self._feeders.pop(), FEEDER)
        is_lateral = kind < self._rules.feeder_faults + self._rules.lateral_faults
        if is_lateral and self._fill_laterals():
            return self._below(self._laterals.pop(), LATERAL)
        if not self._transformers and self._fill_laterals():
            taken = [self._laterals.pop() for _ in range(min(10, len(self._laterals)))]
            found = [one for lateral in taken for one in range(lateral * 8, lateral * 8 + 8)]
            self._transformers = _some(found, len(found), self._draw)
        while self._transformers:
            below = self._below(self._transformers.pop(), TRANSFORMER)
            if below:
                return below
        return self._below(self._laterals.pop(), LATERAL) if self._fill_laterals() else range(0)

    def _fill_laterals(self) -> bool:
        """Whether there are laterals left; those of several feeders are mixed."""
        while not self._laterals and self._feeders:
            taken = [self._feeders.pop() for _ in range(min(5, len(self._feeders)))]
            found = [
                one for feeder in taken for one in range(feeder * 12, feeder * 12 + 12) if self._below(one, LATERAL)
            ]
            self._laterals = _some(found, len(found), self._draw)
        return bool(self._laterals)

    def _below(self, number: int, size: int) -> range:
        return range(number * size, min((number + 1) * size, self._town.premises))


def _arrivals(profile: Profile, count: int, draw: _Draw) -> list[float]:
    """Instants of so many calls, in seconds and in order, by the curve and its bursts."""
    parts: list[tuple[float, float, float]] = []  # begin and length in seconds, weight
    for minute in range(profile.minutes):
        weight = (_rate(profile.curve, minute) + _rate(profile.curve, minute + 1)) / 2
        parts += _parts_of_minute(minute, weight, profile.bursts, draw)
    totals = list(accumulate(weight for _, _, weight in parts))
    found = []
    for place in sorted(draw() for _ in range(count)):
        number = min(bisect_right(totals, place * totals[-1]), len(parts) - 1)
        begin, length, weight = parts[number]
        passed = (place * totals[-1] - (totals[number] - weight)) / weight if weight else 0.0
        found.append(begin + min(max(passed, 0.0), 1.0) * length)
    return found


def _parts_of_minute(minute: int, weight: float, bursts: Bursts, draw: _Draw) -> list[tuple[float, float, float]]:
    begin = minute * 60.0
    if not bursts.seconds or minute % bursts.every_minutes:
        return [(begin, 60.0, weight)]
    crowded = weight * bursts.factor * bursts.seconds / 60
    quiet = 60.0 - bursts.seconds
    before = draw() * quiet
    rest = weight - crowded
    return [
        (begin, before, rest * before / quiet if quiet else 0.0),
        (begin + before, float(bursts.seconds), crowded),
        (begin + before + bursts.seconds, quiet - before, rest * (quiet - before) / quiet if quiet else 0.0),
    ]


def _rate(curve: Sequence[tuple[float, float]], minute: float) -> float:
    """Height of the curve; level before its first and behind its last point."""
    if not curve:
        return 1.0
    place = bisect_right(curve, minute, key=lambda point: point[0])
    if place == 0:
        return curve[0][1]
    if place == len(curve):
        return curve[-1][1]
    (first, low), (second, high) = curve[place - 1], curve[place]
    return low + (high - low) * (minute - first) / (second - first)


def _some(among: Sequence[T], count: int, draw: _Draw) -> list[T]:
    """So many of them, or all if there are fewer, in an order by chance."""
    rest = list(among)
    for place in range(min(count, len(rest))):
        other = place + int(draw() * (len(rest) - place))
        rest[place], rest[other] = rest[other], rest[place]
    return rest[:count]
