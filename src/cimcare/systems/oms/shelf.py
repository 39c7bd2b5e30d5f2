"""The incidents that the service of one message touches: read once, written at once, told of at the end.

Each incident that has changed is told of once, however many of its tickets the message held, and all that have changed
in one manner are told of in one message. An event names the tickets that are new in an incident, not all it has. Who
else has called in an incident of many is told later (`cimcare.systems.oms.holding`).

Source: IEC 61968-8:2015, clause 5.3.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Event, Key, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import (
    Incident,
    IncidentOutage,
    ServicePointOutageSummary,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.systems.identity import labels_of
from cimcare.systems.merging import difference
from cimcare.systems.oms.devices import DEVICE_TYPE
from cimcare.systems.oms.holding import HELD, is_told_later, still_of, with_held
from cimcare.systems.oms.kinds import (
    CANCELLED,
    CLOSED,
    EXTENTS,
    INCIDENTS,
    OPEN,
    TICKETS,
    ExtentRecord,
    Held,
)
from cimcare.systems.oms.standing import GOING_ON, customers_out

__all__ = ["Shelf"]

BodyT = TypeVar("BodyT", Incident, TroubleTicket)

_MOST_TOLD = 500
"""Objects in one event message, so that no merger makes one that a partner has to refuse for its size."""

_END_VERBS = {CLOSED: Verb.CLOSED, CANCELLED: Verb.CANCELED}


class Shelf:
    """Reads and writes incidents with their extents, and remembers what is to be told."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._before: dict[MRID, Stored[Incident] | None] = {}
        self._now: dict[MRID, Stored[Incident]] = {}
        self._extents: dict[MRID, ExtentRecord] = {}
        self._named: dict[MRID, dict[MRID, TroubleTicketIdentity]] = {}
        self._moved: dict[MRID, TroubleTicket] = {}
        self._restored: dict[MRID, dict[datetime, tuple[UsagePointIdentity, ...]]] = {}

    async def find(self, mrid: MRID) -> Stored[Incident] | None:
        """The incident; None if there is none."""
        return self._now.get(mrid) or await self._context.records.find(INCIDENTS.collection, mrid)

    async def extent(self, mrid: MRID) -> ExtentRecord:
        """What the incident covers."""
        if mrid not in self._extents:
            stored = await self._context.records.find(EXTENTS, mrid)
            self._extents[mrid] = stored.body if stored is not None else ExtentRecord()
        return self._extents[mrid]

    def is_new(self, mrid: MRID) -> bool:
        """Whether the incident was opened during this service."""
        return mrid in self._before and self._before[mrid] is None

    def add(self, stored: Stored[Incident]) -> None:
        """An incident that is new. It is written by the first `write`."""
        self._before[stored.mrid] = None
        self._now[stored.mrid] = stored

    def name(self, mrid: MRID, ticket: Stored[TroubleTicket]) -> None:
        """The ticket is new in the incident."""
        body = ticket.body
        self._named.setdefault(mrid, {})[ticket.mrid] = TroubleTicketIdentity(
            mrid=ticket.mrid, trouble_code=body.trouble_code, names=body.names
        )

    def tell_moved(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket of which the message itself does not speak has another incident now."""
        self._moved[ticket.mrid] = msgspec.structs.replace(
            TICKETS.identity_only(ticket.body),
            incident=ticket.body.incident,
            last_modified_date_time=ticket.body.last_modified_date_time,
        )

    def tell_restored(self, mrid: MRID, at: datetime, points: tuple[UsagePointIdentity, ...]) -> None:
        """Points of an incident have supply again since an instant. It is told, and not kept in the incident."""
        said = self._restored.setdefault(mrid, {})
        said[at] = (*said.get(at, ()), *points)

    async def write(
        self, incident: Stored[Incident], body: Incident, extent: ExtentRecord, state: str | None = None
    ) -> Stored[Incident]:
        """Write an incident and its extent. Of an incident in which nothing else differs the times stay as they are."""
        now, mrid = self._context.now, incident.mrid
        if mrid not in self._before:
            self._before[mrid] = await self._context.records.find(INCIDENTS.collection, mrid)
        state = incident.state if state is None else state
        if state == OPEN:
            body = _with_counts(body, extent)
        current = self._now.get(mrid) or self._before[mrid]
        is_new = current is None or (mrid not in self._now and self._before[mrid] is None)
        is_same = current is not None and state == current.state and incident.created_at == current.created_at
        if not is_new and current is not None and is_same and _is_equal(body, current.body):
            stored = current
        else:
            body = msgspec.structs.replace(body, last_modified_date_time=now)
            keys = INCIDENTS.own_keys(body) | {Key("incident", mrid)} | _device_keys(body)
            keys = frozenset(key for key in keys if key.sort != "ticket")
            stored = msgspec.structs.replace(incident, body=body, modified_at=now, state=state, keys=keys)
            await self._context.records.save(INCIDENTS.collection, stored)
        self._now[mrid] = stored
        before = self._extents.get(mrid)
        if extent != before or is_new or state != OPEN:
            await self._save_extent(stored, extent)
        return stored

    async def _save_extent(self, incident: Stored[Incident], extent: ExtentRecord) -> None:
        self._extents[incident.mrid] = extent
        keys = set()
        if incident.state == OPEN:
            keys = {GOING_ON, *(Key("above", mrid) for mrid in extent.path)}
            if extent.device is not None:
                keys |= {Key("above", extent.device)} | ({Key("pinned", extent.device)} if extent.is_pinned else set())
            elif extent.is_unresolved:
                keys.add(Key("unresolved", "1"))
            if extent.held is not None:
                keys.add(HELD)
        stored = Stored(
            mrid=incident.mrid,
            body=extent,
            created_at=extent.first_at or incident.created_at,  # so that the oldest comes first, and is found by time
            modified_at=self._context.now,
            state=incident.state,
            keys=frozenset(keys),
        )
        await self._context.records.save(EXTENTS, stored)

    async def events(self) -> tuple[Event, ...]:
        """What was opened, then what has changed, then tickets that have moved, then what has ended."""
        told: dict[Verb, list[Incident]] = {
            verb: [] for verb in (Verb.CREATED, Verb.CHANGED, Verb.CANCELED, Verb.CLOSED)
        }
        for mrid, stored in self._now.items():
            before = self._before.get(mrid)
            tickets = tuple(self._named.get(mrid, {}).values())
            if before is None:
                told[Verb.CREATED].append(msgspec.structs.replace(stored.body, trouble_tickets=tickets))
                shown: Incident | None = INCIDENTS.identity_only(stored.body)
            else:
                shown = difference(before.body, stored.body) if stored is not before else None
                said = sorted(self._restored.get(mrid, {}).items())
                if not said and await self._is_held(before, stored, tickets):
                    continue
                held = (await self.extent(mrid)).held
                if held is not None:
                    shown = with_held(shown, stored.body)
                    tickets = (*await still_of(self._context.records, mrid, held.tickets), *tickets)
                    await self._save_extent(stored, msgspec.structs.replace(self._extents[mrid], held=None))
                for number, (at, points) in enumerate(said, 1):
                    if number == len(said) and _end_of(stored.body) in (None, at):
                        shown = _with_points(shown or INCIDENTS.identity_only(stored.body), at, points)
                    else:  # one message about an incident tells of one instant
                        earlier = _with_points(INCIDENTS.identity_only(stored.body), at, points)
                        told[Verb.CHANGED].append(INCIDENTS.told(earlier, stored.body))
                if tickets:
                    shown = msgspec.structs.replace(
                        shown or INCIDENTS.identity_only(stored.body), trouble_tickets=tickets
                    )
            if shown is None:
                continue
            verb = _END_VERBS.get(stored.state)
            if verb is not None:
                told[verb].append(INCIDENTS.told(shown, stored.body, with_state=True))
            elif before is not None:
                told[Verb.CHANGED].append(INCIDENTS.told(shown, stored.body))
        moved = [TICKETS.event(Verb.CHANGED, page) for page in _pages(list(self._moved.values()))]
        events = {verb: [INCIDENTS.event(verb, page) for page in _pages(bodies)] for verb, bodies in told.items()}
        # Who hears that an incident has ended has heard before which tickets are no longer of it.
        events[Verb.CHANGED] += moved
        return tuple(event for own in events.values() for event in own)

    async def _is_held(
        self, before: Stored[Incident], now: Stored[Incident], tickets: tuple[TroubleTicketIdentity, ...]
    ) -> bool:
        """Whether what there is to tell of an incident is told later; then it is kept until that."""
        extent = await self.extent(now.mrid)
        is_open = before.state == now.state == OPEN
        if not is_open or not is_told_later(before.body, now.body, extent, len(tickets)):
            return False
        if tickets or now is not before:
            known = extent.held.tickets if extent.held is not None else ()
            held = Held(tickets=(*known, *tickets))
            await self._save_extent(now, msgspec.structs.replace(extent, held=held))
        return True


def _end_of(body: Incident) -> datetime | None:
    """When the outage was over; None while it goes on."""
    outage = body.outage
    return outage.actual_period.end if outage is not None and outage.actual_period is not None else None


def _with_points(shown: Incident, at: datetime, points: tuple[UsagePointIdentity, ...]) -> Incident:
    """What is told of an incident, with the points that have supply again."""
    outage = shown.outage or IncidentOutage()
    period = outage.actual_period or DateTimeInterval()
    outage = msgspec.structs.replace(outage, actual_period=msgspec.structs.replace(period, end=period.end or at))
    return msgspec.structs.replace(shown, outage=msgspec.structs.replace(outage, usage_points=points))


def _pages(bodies: list[BodyT]) -> Iterable[list[BodyT]]:
    return (bodies[at : at + _MOST_TOLD] for at in range(0, len(bodies), _MOST_TOLD))


def _is_equal(one: Incident, other: Incident) -> bool:
    return one == msgspec.structs.replace(other, last_modified_date_time=one.last_modified_date_time)


def _device_keys(body: Incident) -> frozenset[Key]:
    labels = labels_of(body.location) if body.location is not None else ()
    return frozenset(Key("device", label.name) for label in labels if label.type == DEVICE_TYPE)


def _with_counts(body: Incident, extent: ExtentRecord) -> Incident:
    """The body with its number of customers and the beginning of the outage brought up to date."""
    if body.outage is None:
        return body
    total = customers_out(extent)
    critical = extent.critical_below if extent.device is not None else extent.critical
    summary = ServicePointOutageSummary(critical_count=min(max(critical, extent.critical), total), total_count=total)
    return msgspec.structs.replace(body, outage=msgspec.structs.replace(body.outage, summary=summary))
