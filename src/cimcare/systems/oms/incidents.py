"""Incidents during the service of one message: opened, joined, left, ended; and the events that tell of them.

Each incident that the message touches gives one event at the end, however many of its tickets the message held.

Source: IEC 61968-8:2015, clause 5.3; the end of estimatedPeriod is the estimated restoration time.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Event, Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import (
    Incident,
    IncidentHazard,
    IncidentOutage,
    ServicePointOutageSummary,
    TroubleTicketIdentity,
)
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems.merging import difference
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.kinds import CANCELLED, CLOSED, INCIDENTS, OPEN, RESOLVED, TICKETS
from cimcare.systems.oms.restoration import estimate_restoration

__all__ = ["IncidentBook", "reported_at"]

_CARRIED = frozenset(
    {"account", "agreement", "critical", "customer", "device", "premises", "service-location", "usage-point"}
)
"""Sorts of keys that an incident has from its tickets."""

_END_VERBS = {CLOSED: Verb.CLOSED, CANCELLED: Verb.CANCELED}


def reported_at(ticket: TroubleTicket, now: datetime) -> datetime:
    """When the trouble was reported; when it was entered if the ticket does not say, failing that now."""
    return as_utc(ticket.date_time_of_report) or as_utc(ticket.created_date_time) or now


class IncidentBook:
    """The incidents that one message touches."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._before: dict[MRID, Stored[Incident] | None] = {}
        self._now: dict[MRID, Stored[Incident]] = {}

    async def find_open(self, mrid: MRID | None) -> Stored[Incident] | None:
        """The incident, if it is there and open."""
        if mrid is None:
            return None
        stored = await self._context.records.find(INCIDENTS.collection, mrid)
        return stored if stored is not None and stored.state == OPEN else None

    async def join(self, ticket: Stored[TroubleTicket], incident: Stored[Incident] | None, reason: str) -> MRID:
        """Take a ticket into an incident, or open one for it. Gives the mRID of the incident."""
        if incident is None:
            incident = self._opened(ticket, reason)
        body = incident.body
        named = TroubleTicketIdentity(mrid=ticket.mrid, trouble_code=ticket.body.trouble_code, names=ticket.body.names)
        others = tuple(one for one in body.trouble_tickets if one.mrid != ticket.mrid)
        body = msgspec.structs.replace(body, trouble_tickets=(*others, named))
        await self._save(incident, self._with_hazards(body, ticket.body.hazards), _carried_of(ticket), ticket)
        return incident.mrid

    async def refresh(
        self, incident: Stored[Incident], before: Stored[TroubleTicket], now: Stored[TroubleTicket]
    ) -> None:
        """Take over what has changed in a ticket that stays in its incident."""
        body = self._with_hazards(incident.body, now.body.hazards)
        if body is not incident.body or _carried_of(now) != _carried_of(before):
            await self._save(incident, body, _carried_of(now), now)

    async def leave(self, incident: Stored[Incident], ticket: Stored[TroubleTicket]) -> None:
        """Take a ticket out of an incident to which it does not belong after all."""
        others = tuple(one for one in incident.body.trouble_tickets if one.mrid != ticket.mrid)
        body = msgspec.structs.replace(incident.body, trouble_tickets=others)
        await self._without(msgspec.structs.replace(incident, body=body), ticket)

    async def end(self, incident: Stored[Incident], ticket: Stored[TroubleTicket]) -> None:
        """Note that a ticket was resolved or cancelled; the last open one of an incident ends the incident."""
        if ticket.state == CANCELLED:
            await self._without(incident, ticket)
            return
        resolved = tuple(
            msgspec.structs.replace(one, resolved_date_time=ticket.body.resolved_date_time)
            if one.mrid == ticket.mrid
            else one
            for one in incident.body.trouble_tickets
        )
        body = msgspec.structs.replace(incident.body, trouble_tickets=resolved)
        if await self._others(incident, ticket, OPEN, limit=1):
            await self._save(incident, body, frozenset())
        else:
            await self._close(incident, body)

    def events(self) -> tuple[Event, ...]:
        """One event for each incident that was opened or has changed; a second one if it was opened and has ended."""
        events = []
        for mrid, stored in self._now.items():
            before = self._before[mrid]
            if before is None:
                events.append(INCIDENTS.event(Verb.CREATED, (stored.body,)))
                shown: Incident | None = INCIDENTS.identity_only(stored.body)
            else:
                shown = difference(before.body, stored.body)
            if shown is None:
                continue
            verb = _END_VERBS.get(stored.state)
            if verb is not None:
                events.append(INCIDENTS.event(verb, (INCIDENTS.told(shown, stored.body, with_state=True),)))
            elif before is not None:
                events.append(INCIDENTS.event(Verb.CHANGED, (INCIDENTS.told(shown, stored.body),)))
        return tuple(events)

    def _opened(self, ticket: Stored[TroubleTicket], reason: str) -> Stored[Incident]:
        now = self._context.now
        mrid = MRID(self._context.new_id())
        started_at = reported_at(ticket.body, now)
        body = Incident(
            mrid=mrid,
            comment=f"Opened for ticket {ticket.mrid}: {reason}.",
            created_date_time=now,
            type="unplanned",
            outage=IncidentOutage(is_planned=False, estimated_period=DateTimeInterval(start=started_at)),
            status=Status(date_time=now, value=OPEN),
        )
        self._before[mrid] = None
        return Stored(mrid=mrid, body=body, created_at=started_at, modified_at=now, state=OPEN)

    @staticmethod
    def _with_hazards(body: Incident, hazards: tuple[IncidentHazard, ...]) -> Incident:
        new = tuple(hazard for hazard in dict.fromkeys(hazards) if hazard not in body.hazards)
        return msgspec.structs.replace(body, hazards=(*body.hazards, *new)) if new else body

    async def _without(self, incident: Stored[Incident], ticket: Stored[TroubleTicket]) -> None:
        """The incident without what it had from this ticket alone; ended if no open ticket is left."""
        still_open = await self._others(incident, ticket, OPEN)
        resolved = await self._others(incident, ticket, RESOLVED)
        if not still_open:
            await (self._close if resolved else self._cancel)(incident, incident.body)
            return
        rest = frozenset(key for key in incident.keys if key.sort not in _CARRIED)
        carried = frozenset[Key]().union(*(_carried_of(other) for other in (*still_open, *resolved)))
        await self._save(msgspec.structs.replace(incident, keys=rest), incident.body, carried)

    async def _others(
        self, incident: Stored[Incident], ticket: Stored[TroubleTicket], state: str, *, limit: int | None = None
    ) -> tuple[Stored[TroubleTicket], ...]:
        """Tickets of the incident in this state other than the given one; all of them, or one if that will do."""
        wanted = Selection(keys=((Key("incident", incident.mrid),),), states=(state,))
        found: list[Stored[TroubleTicket]] = []
        while True:
            page = await self._context.records.select(TICKETS.collection, wanted)
            found.extend(stored for stored in page if stored.mrid != ticket.mrid)
            if len(page) < wanted.limit or (limit is not None and len(found) >= limit):
                return tuple(found)
            wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)

    async def _close(self, incident: Stored[Incident], body: Incident) -> None:
        ends = [as_utc(one.resolved_date_time) for one in body.trouble_tickets]
        end = max((instant for instant in ends if instant is not None), default=self._context.now)
        outage = body.outage or IncidentOutage()
        start = outage.estimated_period.start if outage.estimated_period is not None else None
        actual = DateTimeInterval(start=start, end=end)
        body = msgspec.structs.replace(body, outage=msgspec.structs.replace(outage, actual_period=actual))
        await self._finish(incident, body, CLOSED)

    async def _cancel(self, incident: Stored[Incident], body: Incident) -> None:
        outage = msgspec.structs.replace(body.outage or IncidentOutage(), cancelled_date_time=self._context.now)
        await self._finish(incident, msgspec.structs.replace(body, outage=outage), CANCELLED)

    async def _finish(self, incident: Stored[Incident], body: Incident, state: str) -> None:
        status = msgspec.structs.replace(body.status or Status(), date_time=self._context.now, value=state)
        await self._write(incident, msgspec.structs.replace(body, status=status), incident.keys, state)

    async def _save(
        self,
        incident: Stored[Incident],
        body: Incident,
        carried: frozenset[Key],
        joined: Stored[TroubleTicket] | None = None,
    ) -> None:
        """Write an open incident with its counts and estimate brought up to date."""
        keys = incident.keys | carried
        outage = body.outage or IncidentOutage()
        period = outage.estimated_period or DateTimeInterval()
        reports = [as_utc(period.start)] + ([reported_at(joined.body, self._context.now)] if joined else [])
        start = min((instant for instant in reports if instant is not None), default=self._context.now)
        total, critical = (sum(key.sort == sort for key in keys) for sort in ("premises", "critical"))
        estimate = estimate_restoration(start, total)
        outage = msgspec.structs.replace(
            outage,
            estimated_period=DateTimeInterval(start=start, end=estimate.at),
            summary=ServicePointOutageSummary(critical_count=critical, total_count=total),
        )
        status = msgspec.structs.replace(body.status or Status(), remark=estimate.rule)
        await self._write(incident, msgspec.structs.replace(body, outage=outage, status=status), keys, OPEN)

    async def _write(self, incident: Stored[Incident], body: Incident, keys: frozenset[Key], state: str) -> None:
        if incident.mrid not in self._before:
            before = await self._context.records.find(INCIDENTS.collection, incident.mrid)
            self._before[incident.mrid] = before
        body = msgspec.structs.replace(body, last_modified_date_time=self._context.now)
        own = await INCIDENTS.keys(body, self._context.records)
        keys = frozenset(key for key in keys if key.sort != "ticket")  # own has those of the tickets it still names
        stored = msgspec.structs.replace(
            incident, body=body, modified_at=self._context.now, state=state, keys=keys | own
        )
        await self._context.records.save(INCIDENTS.collection, stored)
        self._now[incident.mrid] = stored


def _carried_of(ticket: Stored[TroubleTicket]) -> frozenset[Key]:
    return frozenset(key for key in ticket.keys if key.sort in _CARRIED)
