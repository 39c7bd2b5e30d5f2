"""What anybody must believe who has heard all that the hub has told: who was out, from when to when.

Reckoned from messages and the network alone, point by point and minute by minute, with nothing of the arithmetic by
which the hub comes to its indices.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from cimcare.model.envelope import EventMessage
from cimcare.model.incident import Incident, Incidents
from cimcare.model.trouble_ticket import TroubleTicket
from tests.drill.places import Places
from tests.drill.play import belongs, device_of, mrid_of, state_of
from tests.drill.world import MINUTE, World

__all__ = ["Count", "Heard", "believed", "count"]

_STILL_OUT = timedelta(hours=24)
_MOMENTARY = timedelta(minutes=5)
_ALONE = frozenset({"service", "unresolved"})
"""Types of locations of incidents for which no device is suspected."""


class Heard(NamedTuple):
    """What a meter has said, and in which incident its premises were in the end; empty if in none."""

    point: str
    is_off: bool
    at: datetime
    incident: str = ""


Intervals = dict[str, list[tuple[datetime, datetime]]]


class Count(NamedTuple):
    """Minutes without supply of sustained interruptions, and how many customers were interrupted, by length."""

    customer_minutes: int
    interruptions: int
    momentary: int


def believed(
    world: World,
    places: Places,
    incidents: Iterable[Incident],
    tickets: Mapping[str, TroubleTicket],
    events: Sequence[EventMessage],
    meters: Sequence[Heard] = (),
) -> dict[bool, Intervals]:
    """When each point was out, by incidents that have ended: unplanned ones (False), and planned ones (True).

    A point is out by an incident from when it began until somebody says that it has supply: of the outage as a whole,
    or of the point alone. What is said of a point alone holds in every incident that has it, whichever it was said in:
    incidents are merged and come apart, and supply does not depend on it. Whoever ends an incident for which no device
    is suspected has been at the very premises of it, and speaks of these alone.

    Who calls after supply was said to be back, less than a day ago, says that it never was: in the incident to which
    the call belongs the point was out all the time, since it went out as the word has it that is contradicted. A meter
    that loses supply later knows that it was there until then: the point is out anew in all that have it.
    """
    known = {mrid_of(one): one for one in incidents}
    evidence = _evidence(world, places, known, tickets, events, meters)
    out: dict[bool, Intervals] = {False: defaultdict(list), True: defaultdict(list)}
    for point, heard in evidence.items():
        states: dict[str, _State] = {}
        words: list[tuple[datetime, str | None]] = []
        for at, sort, mrid in sorted(heard):
            _step(_Sort(sort), at, mrid, states, words)
        for mrid, state in states.items():
            if state_of(known[mrid]) != "closed":
                continue  # it was taken back, or its premises are in another
            outage = known[mrid].outage
            is_planned = outage is not None and outage.is_planned is True
            out[is_planned][point] += [(start, end) for start, end in state.pieces if end is not None]
    for point, start, end in _brief(meters):
        out[False][point].append((start, end))
    return out


class _Sort(IntEnum):
    """What is heard of a point; what comes at one instant is taken in this order."""

    BEGUN = 0
    BACK = 1
    OVER = 2
    CALL = 3
    OFF = 4


class _State:
    """A point in one incident: when it was out, the last time perhaps still; whether the incident still has it."""

    def __init__(self, start: datetime) -> None:
        self.pieces: list[tuple[datetime, datetime | None]] = [(start, None)]
        self.is_over = False

    @property
    def is_out(self) -> bool:
        return self.pieces[-1][1] is None

    def back(self, at: datetime) -> None:
        if self.is_out and not self.is_over:
            self.pieces[-1] = (self.pieces[-1][0], at)

    def off(self, at: datetime) -> None:
        if not self.is_out and not self.is_over:
            self.pieces.append((at, None))

    def all_the_time(self, since: datetime) -> None:
        self.pieces[-1] = (min(self.pieces[-1][0], since), None)


def _step(
    sort: _Sort, at: datetime, mrid: str, states: dict[str, _State], words: list[tuple[datetime, str | None]]
) -> None:
    """One thing that is heard of a point, in the order of instants.

    `words` are those that it has supply, each with the incident in which it was said, and None for a loss of it.
    """
    if sort is _Sort.BEGUN:
        states[mrid] = _State(at)
    elif sort is _Sort.BACK:
        by = mrid if mrid in states else next((one for _, one in reversed(words) if one), "")
        words.append((at, by))
        for state in states.values():
            state.back(at)
    elif sort is _Sort.OVER:
        words.append((at, mrid))
        states[mrid].back(at)
        states[mrid].is_over = True
    elif sort is _Sort.OFF:
        words.append((at, None))
        for state in states.values():
            state.off(at)
    elif mrid not in states:
        pass  # it was put into an outage that began later
    elif words and words[-1][1] is not None and at <= words[-1][0] + _STILL_OUT:
        said_in = states.get(words[-1][1], states[mrid])
        states[mrid].all_the_time(said_in.pieces[-1][0])
    else:
        states[mrid].off(at)


def _evidence(
    world: World,
    places: Places,
    known: Mapping[str, Incident],
    tickets: Mapping[str, TroubleTicket],
    events: Sequence[EventMessage],
    meters: Sequence[Heard],
) -> dict[str, set[tuple[datetime, int, str]]]:
    """All that was heard of each point, by the point itself or by whatever is above it."""
    found: dict[str, set[tuple[datetime, int, str]]] = defaultdict(set)
    names = {point.mrid: point.name for point in world.network.points}
    for (mrid, point), ats in _steps(events, names).items():
        found[point] |= {(at, _Sort.BACK, mrid) for at in ats} | {(_start_of(known[mrid]), _Sort.BEGUN, mrid)}
    for mrid, one in known.items():
        if state_of(one) != "closed":
            continue
        own = [ticket for ticket in tickets.values() if belongs(ticket, one) and _state(ticket) != "cancelled"]
        covered = {places.point_of(ticket) for ticket in own} | {each.point for each in meters if each.incident == mrid}
        device, end = device_of(one), _end_of(one)
        if device and device in world.known:
            covered |= world.below(device)
        for ticket in own:
            point, reported, resolved = places.point_of(ticket), ticket.date_time_of_report, ticket.resolved_date_time
            assert reported is not None
            assert resolved is not None
            found[point].add((reported, _Sort.CALL, mrid))
            if resolved < end:  # by the customer's own word
                found[point].add((resolved, _Sort.BACK, mrid))
        for point in covered:
            found[point] |= {(_start_of(one), _Sort.BEGUN, mrid), (end, _Sort.OVER, mrid)}
            if one.location is None or one.location.type in _ALONE:
                found[point].add((end, _Sort.BACK, mrid))
    for each in meters:
        found[each.point].add((each.at, _Sort.OFF if each.is_off else _Sort.BACK, each.incident))
    return found


def _brief(meters: Sequence[Heard]) -> Iterator[tuple[str, datetime, datetime]]:
    """Interruptions for a moment, as meters tell of them."""
    last: dict[str, Heard] = {}
    for one in sorted(meters, key=lambda each: each.at):
        before = last.get(one.point)
        if before is not None and before.is_off and not one.is_off and one.at - before.at <= _MOMENTARY:
            yield one.point, before.at, one.at
        last[one.point] = one


def count(out: Intervals, customers: Mapping[str, int]) -> Count:
    """Counted minute by minute; minutes that follow one another are one interruption."""
    minutes = interruptions = momentary = 0
    for point, intervals in out.items():
        dark: set[datetime] = set()
        for start, end in intervals:
            at = start
            while at < end:
                dark.add(at)
                at += MINUTE
        for begin in sorted(dark):
            if begin - MINUTE in dark:
                continue
            length = 1
            while begin + length * MINUTE in dark:
                length += 1
            if length * MINUTE > _MOMENTARY:
                minutes += length * customers[point]
                interruptions += customers[point]
            else:
                momentary += customers[point]
    return Count(minutes, interruptions, momentary)


def _steps(events: Sequence[EventMessage], names: Mapping[str, str]) -> dict[tuple[str, str], list[datetime]]:
    """When points of incidents were said to have supply again, one step after another."""
    found: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for event in events:
        for root in event.payload.content if event.payload is not None else ():
            if not isinstance(root, Incidents):
                continue
            for one in root.incident:
                period = one.outage.actual_period if one.outage is not None else None
                if one.outage is None or period is None or period.end is None:
                    continue
                for point in one.outage.usage_points:
                    name = names.get(point.mrid or "") or point.names[0].name
                    found[mrid_of(one), name].append(period.end)
    return found


def _start_of(one: Incident) -> datetime:
    outage = one.outage
    assert outage is not None
    period = outage.actual_period or outage.estimated_period
    assert period is not None
    start = period.start or (outage.estimated_period.start if outage.estimated_period else None)
    assert start is not None
    return start


def _end_of(one: Incident) -> datetime:
    assert one.outage is not None
    assert one.outage.actual_period is not None
    end = one.outage.actual_period.end
    assert end is not None
    return end


def _state(ticket: TroubleTicket) -> str:
    return (ticket.status.value if ticket.status else None) or ""
