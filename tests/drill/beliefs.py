"""What anybody must believe who has heard all that the hub has told: who was out, from when to when.

Reckoned from messages and the network alone, point by point and minute by minute, with nothing of the arithmetic by
which the hub comes to its indices.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cimcare.model.envelope import EventMessage
from cimcare.model.incident import Incident, Incidents
from cimcare.model.trouble_ticket import TroubleTicket
from tests.drill.places import Places
from tests.drill.play import belongs, device_of, mrid_of, state_of
from tests.drill.world import MINUTE, World

__all__ = ["Count", "believed", "count"]

_STILL_OUT = timedelta(hours=24)
_MOMENTARY = timedelta(minutes=5)

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
) -> Intervals:
    """When each point was out, by incidents that have ended.

    Who calls after supply was said to be back at a point says that it was not, as long as that is less than a day ago:
    what was said of that outage is void there, and the point was dark from its beginning to the call. Who calls once
    more contradicts no more than that.

    What was said of a single point holds in every incident that has it, whichever it was said in: incidents are merged
    and come apart, and supply does not depend on it.
    """
    known = {mrid_of(one): one for one in incidents}
    ended = {mrid: one for mrid, one in known.items() if state_of(one) == "closed"}
    alone: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    calls: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    words: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for (mrid, point), ats in _steps(events, {point.mrid: point.name for point in world.network.points}).items():
        alone[point] += [(at, mrid) for at in ats]
    for mrid, one in ended.items():
        own = [ticket for ticket in tickets.values() if belongs(ticket, one) and _state(ticket) != "cancelled"]
        covered = {places.point_of(ticket) for ticket in own}
        device = device_of(one)
        if device and device in world.known:
            covered |= world.below(device)
        for ticket in own:
            point, reported, resolved = places.point_of(ticket), ticket.date_time_of_report, ticket.resolved_date_time
            assert reported is not None
            assert resolved is not None
            calls[point].append((reported, mrid))
            if resolved < _end_of(one):  # by the customer's own word
                alone[point].append((resolved, mrid))
        for point in covered:
            words[point].append((_end_of(one), mrid))
    out: Intervals = defaultdict(list)
    for point in {**words, **alone}:
        whole = words[point]
        said = whole + alone[point]
        void: dict[str, datetime] = {}
        since: dict[str, datetime] = {}
        for reported, now in sorted(calls[point]):
            before = [word for word in said if word[0] <= reported <= word[0] + _STILL_OUT]
            if before:
                last = max(before)[1]
                void[last] = void[now] = reported
                since[now] = min(since.get(one, _start_of(known[one])) for one in (now, last))
        for mrid in {mrid for _, mrid in said}:
            first = _start_of(known[mrid])
            start = since.get(mrid, first)
            last = _end_of(known[mrid]) if mrid in ended else first  # of one that was absorbed what was said in it
            own = [word for word in whole if word[1] == mrid]
            own += [word for word in alone[point] if word[1] == mrid or first <= word[0] <= last]
            valid = [at for at, by in own if all(one not in void or at > void[one] for one in (mrid, by))]
            out[point].append((start, max(min(valid, default=start), void.get(mrid, start), start)))
    return out


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
