"""The first page: is anything stuck? What was looked at, what was found, and the flow of each destination.

It says that all is well only when every check was made and none found anything.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

import msgspec

from cimcare.console.curves import Curve, Ink, Shape, Step, Trace
from cimcare.exchange.ledger import Account, Balance, hour_of
from cimcare.exchange.log import Counted, LogEntry, LogSelection
from cimcare.hub.operation.alarms import Alarm, Severity
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.minutes import Pace, load_recent
from cimcare.hub.operation.watching import list_alarms
from cimcare.hub.outgoing.destinations import Destination, list_destinations
from cimcare.hub.rest.inside import Inside

__all__ = [
    "YARDSTICK_PER_HOUR",
    "Check",
    "Flow",
    "Overview",
    "came_between",
    "curve_of_course",
    "flows_of",
    "look_over",
    "went_between",
]

YARDSTICK_PER_HOUR = 150_000
"""Calls of the worst hour of a utility of 1.1 million customers in August 2020: the yardstick of the field."""

_HOURS = 24
_LATEST = 12
_HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_OLD = timedelta(minutes=5)
_STORM = (timedelta(minutes=1), timedelta(minutes=15))


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `found` says what is wrong, or what was seen where nothing is."""

    name: str
    is_fine: bool
    found: str
    href: str = ""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What passes between the hub and one other this hour and in the 24 hours up to now, that is from `since` on.

    `source` is how it calls itself, empty where it does not.
    """

    name: str
    since: datetime
    source: str
    kind: str
    received: int
    refused: int
    sent: int
    waiting: int
    awaiting: int
    dead: int
    oldest: timedelta | None
    state: str
    is_trouble: bool

    @property
    def came(self) -> str:
        """Address of the messages that it sent; empty where it has no Source to find them by."""
        return self._came(Counted.RECEIVED)

    @property
    def came_refused(self) -> str:
        """Address of those that were refused; empty as `came`."""
        return self._came(Counted.REFUSED)

    def _came(self, counted: Counted) -> str:
        return f"{came_between(self.since, counted=counted)}&source={quote(self.source, '')}" if self.source else ""

    @property
    def went(self) -> str:
        """Address of what was delivered to it, of what was put in since then: so the ledger counts."""
        return f"{went_between(self.since)}&state=delivered&partner={quote(self.name, '')}"


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All of the page. `hourly` is what came in by hour, oldest first; `rate` is this hour's, as for a whole hour.

    `storm` is how fast it came in over the last minute and the last quarter of an hour, as far as minutes are kept;
    `course` how fast from each of these minutes to the next.
    """

    at: datetime
    checks: tuple[Check, ...]
    alarms: tuple[Alarm, ...]
    flows: tuple[Flow, ...]
    hourly: tuple[tuple[datetime, int], ...]
    rate: float
    storm: tuple[Pace, ...]
    course: tuple[tuple[datetime, Pace | None], ...]
    latest: tuple[LogEntry, ...]

    @property
    def is_well(self) -> bool:
        """Whether all that was looked at is as it should be."""
        return all(check.is_fine for check in self.checks)

    @property
    def bars(self) -> tuple[tuple[datetime, int, str], ...]:
        """What came in by hour, with the address of what it was."""
        return tuple((hour, count, came_between(hour, hour + _HOUR)) for hour, count in self.hourly)

    @property
    def meters(self) -> tuple[tuple[str, timedelta, float, str], ...]:
        """The storm meter, the shortest first: over what, how long that is, the rate as for a whole hour, address."""
        names = ("last minute", "last 15 minutes")
        storm = [(name, pace.over, pace.per_hour) for name, pace in zip(names, self.storm, strict=False)]
        rates = (*storm, ("this hour", self.at - hour_of(self.at), self.rate))
        return tuple((name, over, rate, came_between(self.at - over)) for name, over, rate in rates)


def came_between(since: datetime, until: datetime | None = None, *, counted: Counted = Counted.RECEIVED) -> str:
    """Address of what came in from an instant on, and before another one, and is counted so in the ledger."""
    last = f"&until={until - _TICK:%Y-%m-%dT%H:%M:%S.%fZ}" if until is not None else ""
    return f"/console/messages?counted={counted}&since={since:%Y-%m-%dT%H:%M:%SZ}{last}"


def curve_of_course(seen: Overview) -> Curve | None:
    """The storm meter's last minutes beside the yardstick; None while fewer than two of them are known."""
    known = [pace.per_hour for _, pace in seen.course if pace is not None]
    if len(known) < 2:
        return None
    steps = [
        Step(
            at=at,
            values=(round(pace.per_hour) if pace is not None else None,),
            href=came_between(at - pace.over, at) if pace is not None and pace.received else "",
        )
        for at, pace in seen.course
    ]
    return Curve(
        since=steps[0].at,
        until=steps[-1].at,
        width=timedelta(),
        traces=(Trace(name="Messages in, as for an hour", shape=Shape.LINE, ink=Ink.BRAND),),
        steps=tuple(steps),
        mark=YARDSTICK_PER_HOUR,
        mark_name="yardstick",
    )


def went_between(since: datetime, until: datetime | None = None) -> str:
    """Address of the deliveries that were put in from an instant on, and before another one."""
    last = f"&before={until - _TICK:%Y-%m-%dT%H:%M:%S.%fZ}" if until is not None else ""
    return f"/console/deliveries?since={since:%Y-%m-%dT%H:%M:%SZ}{last}"


async def look_over(inside: Inside) -> Overview:
    """Look at everything, now. Costs the same however many messages there are.

    Raises:
        StoreError: The database cannot be read; then nothing can be said.
    """
    now = inside.clock()
    first = hour_of(now) - (_HOURS - 1) * _HOUR
    alarms = await list_alarms(inside.reader.records)
    books = await balances(inside.reader, first, now + _HOUR)
    destinations = await list_destinations(inside.reader)
    latest = await inside.reader.log.select(LogSelection(limit=_LATEST, newest_first=True))
    hourly = _by_hour(books, first)
    recent = await load_recent(inside.reader, now, _STORM[-1])
    elapsed = max((now - hour_of(now)) / _HOUR, 1 / 60)
    return Overview(
        at=now,
        checks=_checks(inside, alarms, books, destinations, now),
        alarms=alarms,
        flows=flows_of(inside, books, destinations, now),
        hourly=hourly,
        rate=hourly[-1][1] / elapsed,
        storm=tuple(pace for time in _STORM if (pace := recent.pace(time)) is not None),
        course=recent.course(),
        latest=latest,
    )


def _checks(
    inside: Inside,
    alarms: Sequence[Alarm],
    books: Sequence[Balance],
    destinations: Sequence[Destination],
    now: datetime,
) -> tuple[Check, ...]:
    critical = [alarm for alarm in alarms if alarm.level is Severity.CRITICAL]
    missing = [balance for balance in books if balance.missing]
    dead = sum(one.backlog.dead for one in destinations)
    waiting = sum(one.backlog.waiting for one in destinations)
    late = [one for one in destinations if one.backlog.oldest_at and now - one.backlog.oldest_at > _OLD]
    halted = [one for one in destinations if one.halt is not None]
    spared = [name for name, circuit in inside.circuits().items() if circuit.is_open]
    return (
        Check(name="Database", is_fine=True, found="was read just now"),
        Check(
            name="Alarms",
            is_fine=not alarms,
            found=f"{len(alarms)} active, {len(critical)} critical" if alarms else "none active",
            href="#alarms",
        ),
        Check(
            name="Ledger",
            is_fine=not missing,
            found=_listed(f"{one.line.partner or 'nobody'} misses {one.missing}" for one in missing)
            or f"balances: {len(books)} accounts of {_HOURS} hours",
        ),
        Check(
            name="Queues",
            is_fine=not late,
            found=_listed(f"{one.name} waits too long" for one in late)
            or (f"{waiting} waiting, none for more than {_OLD.seconds // 60} min" if waiting else "nothing waits"),
            href="/console/deliveries",
        ),
        Check(
            name="Dead letters",
            is_fine=not dead,
            found=f"{dead} given up: look at why, then send again or discard" if dead else "none",
            href="/console/deliveries?state=dead",
        ),
        Check(
            name="Partners",
            is_fine=not spared,
            found=_listed(f"{name} does not answer" for name in spared)
            or (f"{len(destinations)} known, none is spared" if destinations else "all systems are built in"),
            href="/console/partners",
        ),
        Check(
            name="Halts",
            is_fine=not halted,
            found=_listed(f"{one.name} is halted" for one in halted) or "delivery goes on everywhere",
            href="/console/partners",
        ),
    )


def flows_of(
    inside: Inside, books: Iterable[Balance], destinations: Iterable[Destination], now: datetime
) -> tuple[Flow, ...]:
    """What passes between the hub and each other, by name; of what `books` counted, and what waits now."""
    received: dict[str, int] = {}
    refused: dict[str, int] = {}
    sent: dict[str, int] = {}
    for one in books:
        name = _name_of(one.line.partner, inside)
        if one.line.account is Account.OUT:
            sent[name] = sent.get(name, 0) + one.line.delivered
        else:
            received[name] = received.get(name, 0) + one.line.received
            refused[name] = refused.get(name, 0) + one.line.refused
    places = {one.name: one for one in destinations}
    circuits = inside.circuits()
    flows = []
    for name in sorted(received.keys() | sent.keys() | places.keys()):
        place = places.get(name)
        circuit = circuits.get(name)
        backlog = place.backlog if place is not None else None
        state = "listens and sends"
        if place is not None and place.halt is not None:
            state = "halted"
        elif circuit is not None and circuit.is_open:
            state = f"does not answer ({circuit.failures} times)"
        elif place is None:
            state = "sends"
        flows.append(
            Flow(
                name=name or "(no Source)",
                since=hour_of(now) - (_HOURS - 1) * _HOUR,
                source=place.partner.source if place is not None and place.partner is not None else name,
                kind=place.partner.wire.value if place is not None and place.partner is not None else "",
                received=received.get(name, 0),
                refused=refused.get(name, 0),
                sent=sent.get(name, 0),
                waiting=backlog.waiting if backlog else 0,
                awaiting=backlog.awaiting if backlog else 0,
                dead=backlog.dead if backlog else 0,
                oldest=now - backlog.oldest_at if backlog and backlog.oldest_at else None,
                state=state,
                is_trouble=state.startswith(("halted", "does not")) or bool(backlog and backlog.dead),
            )
        )
    return tuple(flows)


def _name_of(source: str, inside: Inside) -> str:
    """A partner by its name, whichever of its Source and its name the account is kept under."""
    partner = inside.setup().routes.by_source(source)
    return partner.name if partner is not None else source


def _by_hour(books: Iterable[Balance], first: datetime) -> tuple[tuple[datetime, int], ...]:
    counts = {first + number * _HOUR: 0 for number in range(_HOURS)}
    for one in books:
        if one.line.account is Account.IN and one.line.hour in counts:
            counts[one.line.hour] += one.line.received
    return tuple(counts.items())


def _listed(texts: Iterable[str], most: int = 3) -> str:
    """The first few of them, and how many more there are."""
    found = list(texts)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
