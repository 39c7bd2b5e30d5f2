"""What anybody must believe who has heard all that the hub has told: who was out, from when to when.

Reckoned from messages and the network alone, point by point and minute by minute, with nothing of the arithmetic by
which the hub comes to its indices: for each minute it is asked anew what had been said by then.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cimcare.model.envelope import EventMessage
from cimcare.model.incident import Incident, Incidents
from cimcare.model.trouble_ticket import TroubleTicket
from tests.drill.places import Places
from tests.drill.play import belongs, device_of, mrid_of, state_of
from tests.drill.wires import Wires
from tests.drill.world import MINUTE

__all__ = ["Count", "Heard", "Outage", "Said", "believed", "count", "heard_of", "minutes_out"]

_STILL_OUT = timedelta(hours=24)
_MOMENTARY = timedelta(minutes=5)
_ALONE = frozenset({"service", "unresolved"})
"""Types of locations of incidents for which no device is suspected."""


class Heard(NamedTuple):
    """What a meter has said, whenever it was heard."""

    point: str
    is_off: bool
    at: datetime


class Outage(NamedTuple):
    """An outage that is over, and when it had a point; it may have got it later than it began, or lost it before."""

    end: datetime
    is_planned: bool
    is_of_places: bool
    spans: list[tuple[datetime, datetime]]

    @property
    def has_it_at_the_end(self) -> bool:
        """Whether whoever ends the outage speaks of the point."""
        return any(end == self.end for _, end in self.spans)


class Said(NamedTuple):
    """All that was heard of one point: outages that had it, and what was told of it and from it."""

    outages: dict[str, Outage]
    back: set[datetime]
    lost: set[datetime]
    calls: set[tuple[datetime, str]]


Dark = dict[bool, dict[str, set[datetime]]]
"""Minutes without supply of each point: by unplanned outages (False), and by planned ones (True)."""


class Count(NamedTuple):
    """Minutes without supply of sustained interruptions, and how many customers were interrupted, by length."""

    customer_minutes: int
    interruptions: int
    momentary: int


def believed(
    wires: Wires,
    places: Places,
    incidents: Iterable[Incident],
    tickets: Mapping[str, TroubleTicket],
    events: Sequence[EventMessage],
    meters: Sequence[Heard] = (),
    *,
    counted: Iterable[tuple[str, str]] = (),
    until: datetime,
) -> Dark:
    """The minutes of each point without supply, by incidents that have ended, up to an instant.

    `counted` are points of which a meter has told, each with an incident in which it was counted until that ended.
    """
    dark: Dark = {False: {}, True: {}}
    for point, said in heard_of(wires, places, incidents, tickets, events, meters, counted).items():
        dark[False][point], dark[True][point] = minutes_out(said, until)
    return dark


def minutes_out(said: Said, until: datetime) -> tuple[set[datetime], set[datetime]]:
    """The minutes without supply of one point: by unplanned outages, and by planned ones.

    An outage keeps out what it has, unless the last that was heard of the point since is that it has supply. What a
    meter has lost while no outage had the point, it has lost until somebody says otherwise. A caller says that the time
    since the point last got supply was none, if that is less than a day ago and nothing was heard from there since.
    """
    dark: tuple[set[datetime], set[datetime]] = (set(), set())
    instants = [at for one in said.outages.values() for span in one.spans for at in span]
    instants += [*said.back, *said.lost]
    at = min(instants, default=None)
    while at is not None and at < until:
        for is_planned in _kinds(said, at):
            dark[is_planned].add(at)
        at += MINUTE
    words = said.back | {one.end for one in said.outages.values() if one.has_it_at_the_end}
    losses = said.lost | {call for call, _ in said.calls}
    calls = sorted((call, call != said.outages[mrid].end, mrid) for call, mrid in said.calls)
    for number, (call, is_within, mrid) in enumerate(calls):
        if number and call == calls[number - 1][0]:
            continue  # somebody has said so already
        either = dark[False] | dark[True]
        if call in words and call - MINUTE in either and is_within and not _is_kept_out(said, call):
            continue  # it was back for no time at all
        turns = (word for word in words if word < call and word not in either and word - MINUTE in either)
        back_at = max(turns, default=None)
        if back_at is None or call - back_at > _STILL_OUT or any(back_at < one < call for one in losses):
            continue
        while back_at < call:
            dark[said.outages[mrid].is_planned].add(back_at)
            back_at += MINUTE
    return dark


def _kinds(said: Said, at: datetime) -> set[bool]:
    """Whether the point is out at an instant, and by which kind of outage."""
    keeping = {one.is_planned for one in said.outages.values() if _keeps_out(said, one, at)}
    for lost in said.lost:
        if lost > at or any(start <= lost < end for one in said.outages.values() for start, end in one.spans):
            continue
        if not any(lost < word <= at for word in _back(said)) and not any(
            one.has_it_at_the_end and lost < one.end <= at and not _is_kept_out(said, one.end)
            for one in said.outages.values()
        ):
            keeping.add(False)
    return keeping


def _back(said: Said) -> set[datetime]:
    """When somebody said of this very point that it has supply: also who ended a list of places has been there."""
    return said.back | {one.end for one in said.outages.values() if one.is_of_places and one.has_it_at_the_end}


def _is_kept_out(said: Said, at: datetime) -> bool:
    """Whether any outage keeps the point out when others end, before anybody calls who has heard of that."""
    return any(_keeps_out(said, one, at, told_before=at) for one in said.outages.values())


def _keeps_out(said: Said, outage: Outage, at: datetime, told_before: datetime | None = None) -> bool:
    for start, end in outage.spans:
        if start <= at < end:
            last_back = max((one for one in _back(said) if start <= one <= at), default=None)
            if last_back is None:
                return True
            # Who calls at the instant at which the outage of the call ends was heard before that.
            before = {call for call, mrid in said.calls if call == said.outages[mrid].end}
            after = said.lost | {call for call, mrid in said.calls if call != said.outages[mrid].end}
            if any(last_back < one <= at for one in before):
                return True
            return any(last_back <= one <= at and one != told_before for one in after)
    return False


# ------------------------------------------------------------------------------------------------------ what is heard


def heard_of(
    wires: Wires,
    places: Places,
    incidents: Iterable[Incident],
    tickets: Mapping[str, TroubleTicket],
    events: Sequence[EventMessage],
    meters: Sequence[Heard],
    counted: Iterable[tuple[str, str]],
) -> dict[str, Said]:
    """All that was heard of each point, by the point itself or by whatever is above it."""
    counted = tuple(counted)
    found: dict[str, Said] = defaultdict(lambda: Said({}, set(), set(), set()))
    names: dict[str, str] = {point.mrid: point.name for point in places.network.points}
    for point, at in _steps(events, names):
        found[point].back.add(at)
    for ticket in tickets.values():
        if ticket.status is not None and ticket.status.reason == "callback" and ticket.resolved_date_time is not None:
            found[places.point_of(ticket)].back.add(ticket.resolved_date_time)
    for each in meters:
        (found[each.point].lost if each.is_off else found[each.point].back).add(each.at)
    for one in incidents:
        if state_of(one) != "closed":
            continue  # it was taken back, or its premises are in another
        mrid, start, end = mrid_of(one), _start_of(one), _end_of(one)
        spans: dict[str, set[tuple[datetime, datetime]]] = defaultdict(set)
        for point, incident in counted:
            if incident == mrid:
                spans[point].add((start, end))
        for ticket in tickets.values():
            if belongs(ticket, one) and _state(ticket) != "cancelled":
                point, reported = places.point_of(ticket), ticket.date_time_of_report
                assert reported is not None
                found[point].calls.add((reported, mrid))
                spans[point].add((min(start, reported), end))
        is_of_places = one.location is None or one.location.type in _ALONE
        device = device_of(one)
        if device and not is_of_places:
            for point, since, until in wires.below(device, start, end):
                spans[point].add((since, until))
        is_planned = one.outage is not None and one.outage.is_planned is True
        for point, own in spans.items():
            found[point].outages[mrid] = Outage(end, is_planned, is_of_places, _joined(own))
    return found


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def count(minutes: Mapping[str, set[datetime]], customers: Mapping[str, int]) -> Count:
    """Minutes that follow one another are one interruption."""
    total = interruptions = momentary = 0
    for point, dark in minutes.items():
        for begin in sorted(dark):
            if begin - MINUTE in dark:
                continue
            length = 1
            while begin + length * MINUTE in dark:
                length += 1
            if length * MINUTE > _MOMENTARY:
                total += length * customers[point]
                interruptions += customers[point]
            else:
                momentary += customers[point]
    return Count(total, interruptions, momentary)


def _steps(events: Sequence[EventMessage], names: Mapping[str, str]) -> Iterator[tuple[str, datetime]]:
    """Points of incidents that were said to have supply again, and since when."""
    for event in events:
        for root in event.payload.content if event.payload is not None else ():
            if not isinstance(root, Incidents):
                continue
            for one in root.incident:
                period = one.outage.actual_period if one.outage is not None else None
                if one.outage is None or period is None or period.end is None:
                    continue
                for point in one.outage.usage_points:
                    yield names.get(point.mrid or "") or point.names[0].name, period.end


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
