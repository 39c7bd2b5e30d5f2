"""What follows for customers from what incidents and tickets tell: members join and leave, announcements go out.

An announcement is one fact about an incident, for all of its members or for the points that it names. It is carried out
in slices, the first at once and the rest by whoever sends notices, so that no message waits for a hundred thousand
customers.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from cimcare.exchange.ports import Collection, NewID, Records, Selection, Stored
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, UsagePointIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.rules.lifecycle import IncidentState, TicketState
from cimcare.systems.cis import wording
from cimcare.systems.cis.callbacks import drop_call_backs_at
from cimcare.systems.cis.contacts import PREFERENCES, Preferences, Wish, notice_zone
from cimcare.systems.cis.kinds import INCIDENTS, TICKETS
from cimcare.systems.cis.members import (
    FOLLOWED,
    LEFT,
    OUT,
    PLANNED,
    RESTORED,
    SHELF_SIZE,
    Followed,
    Member,
    Spot,
    find_member,
    load_followed,
    members_at,
    members_at_each,
    members_of_ticket,
    members_on,
    out_at,
    save_member,
    spot_of_point,
    spot_of_ticket,
)
from cimcare.systems.cis.notices import WORKING, Planned, plan_notice, preferred, told_last, wishes_at
from cimcare.systems.etr import Etr, EtrStage, etr_of
from cimcare.systems.identity import has_identity, mrid_of
from cimcare.systems.objects import as_utc
from cimcare.systems.premises import PREMISES

__all__ = ["ANNOUNCEMENTS", "Announcement", "Following", "carry_on"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

Trigger = NotificationTriggerKind

_CALLBACK = "callback"
_SAID_SO = "somebody there was called back, and has said that supply is back"
"""Evidence of a ticket's end that is the customer's own word; nobody has to be told what he said."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One fact for the members of an incident.

    `at` is the instant of a restoration, or the start of planned work, which goes on `until`. `is_first` marks the
    first restoration time of an incident. With `points` it is for these alone. `next` is the shelf or the point at
    which it goes on, `shelves` how many there were when it was made: who joins later hears what is known then.
    """

    incident: MRID
    trigger: NotificationTriggerKind
    is_first: bool = False
    work: str = ""
    at: datetime | None = None
    until: datetime | None = None
    is_planned: bool = False
    points: tuple[UsagePointIdentity, ...] = ()
    shelves: int = 0
    next: int = 0


ANNOUNCEMENTS: Collection[Announcement] = Collection("cis.Announcements", Announcement)
"""Those that are not through yet."""


async def carry_on(records: Records, now: datetime, new_id: NewID) -> bool:
    """Do one slice of the oldest announcement that is not through. Whether there was any."""
    waiting = await records.select(ANNOUNCEMENTS, Selection(limit=1))
    for stored in waiting:
        await Following(records, now, new_id).carry_out(stored)
    return bool(waiting)


class Following:
    """Works out what one message, or one slice of an announcement, means for customers."""

    def __init__(self, records: Records, now: datetime, new_id: NewID) -> None:
        self._records = records
        self._now = now
        self._new_id = new_id

    # -------------------------------------------------------------------------------------------------- tickets

    async def ticket(self, stored: Stored[TroubleTicket], said: TroubleTicket | None) -> None:
        """Take what is known of a ticket now, and what a message has said of it just now."""
        memberships = await members_of_ticket(self._records, stored.mrid)
        if stored.state == TicketState.CANCELLED:
            for member in memberships:
                await self._save(member.body, LEFT)
        elif stored.state == TicketState.RESOLVED:
            await self._resolved(stored, memberships)
        elif stored.body.incident is not None:
            incident = mrid_of(stored.body.incident)
            if incident is not None:
                is_wish_new = said is not None and said.notification is not None
                await self._join(incident, stored, memberships, is_wish_new=is_wish_new)

    async def _join(
        self,
        incident: MRID,
        ticket: Stored[TroubleTicket],
        memberships: tuple[Stored[Member], ...],
        *,
        is_wish_new: bool = False,
        has_heard: bool = True,
    ) -> None:
        """A ticket becomes a member. With `has_heard` its caller heard with the answer what was known by then."""
        etr = await self._etr_of(incident)
        before: Stored[Member] | None = None
        for member in memberships:
            if member.body.incident == incident and member.state != LEFT:
                if is_wish_new and etr.at is not None:  # whoever calls again has heard it again
                    body = msgspec.structs.replace(member.body, heard=etr.at, heard_at=self._now)
                    await self._save(body, member.state)
                return
            if member.state == OUT:
                before = member
                await self._save(member.body, LEFT)
        spot = await spot_of_ticket(self._records, ticket)
        since = as_utc(ticket.body.date_time_of_report) or ticket.created_at
        ended_at = await self._closed_at(incident)
        heard = before.body.heard if before is not None else etr.at if has_heard else None
        member = await self._save(
            Member(
                incident=incident,
                place=spot.key,
                since=before.body.since if before is not None else since,
                ticket=ticket.mrid,
                premises=spot.premises.mrid if spot.premises is not None else None,
                customer=_customer_of(spot, ticket.body),
                times=await self._times(incident, spot.key),
                heard=heard,
                heard_at=None if heard is None else before.body.heard_at if before is not None else self._now,
                restored_at=ended_at if ended_at is not None and since <= ended_at else None,
            ),
            OUT if ended_at is None or since > ended_at else RESTORED,  # what comes late tells of what is over
        )
        if member.state != OUT:
            return
        if before is not None or not has_heard:
            await self._tell_etr((member,), etr, is_first=before is None)
        for work in (await load_followed(self._records, incident, self._now)).body.works:
            await self._tell((member,), _dispatched(work))

    async def _resolved(self, ticket: Stored[TroubleTicket], memberships: tuple[Stored[Member], ...]) -> None:
        status = ticket.body.status
        is_own_word = status is not None and status.reason == _CALLBACK
        at = as_utc(ticket.body.resolved_date_time) or ticket.modified_at
        for member in memberships:
            if member.state == OUT:
                await self._restore(member, at, is_own_word=is_own_word)
                if is_own_word:
                    await drop_call_backs_at(self._records, member.body.place, _SAID_SO, self._now)

    # ------------------------------------------------------------------------------------------------ incidents

    async def incident(self, stored: Stored[Incident], said: Incident | None) -> None:
        """Take what is known of an incident now, and what a message has said of it just now."""
        if said is not None:
            await self._join_named(stored, said)
        followed = await load_followed(self._records, stored.mrid, self._now)
        before, outage = followed.body, stored.body.outage
        is_planned = outage is not None and bool(outage.is_planned)
        announcements: list[Announcement] = []
        now_known = before
        if said is not None:
            announcements += self._of_points(stored, said, is_planned=is_planned)
        if stored.state in (IncidentState.CLOSED, IncidentState.CANCELLED):
            if not before.is_closed and stored.state == IncidentState.CLOSED:
                announcements.append(
                    Announcement(incident=stored.mrid, trigger=Trigger.powerRestored, at=_ended_at(stored))
                )
            now_known = msgspec.structs.replace(before, is_closed=True)
        else:
            if not is_planned:
                announcements += self._of_etr(stored, before)
                now_known = msgspec.structs.replace(before, etr=etr_of(stored.body))
            works = _works_of(stored.body)
            announcements += [
                Announcement(incident=stored.mrid, trigger=Trigger.informDispatched, work=work)
                for work in works
                if work not in before.works
            ]
            now_known = msgspec.structs.replace(now_known, works=tuple(dict.fromkeys((*before.works, *works))))
        if now_known != before:
            changed = msgspec.structs.replace(followed, body=now_known, modified_at=self._now)
            await self._records.save(FOLLOWED, changed)
        for announcement in announcements:
            await self._announce(announcement)

    async def _join_named(self, stored: Stored[Incident], said: Incident) -> None:
        """Tickets that an incident names: our copies of them have been linked to it, unless they are known better."""
        for identity in said.trouble_tickets:
            mrid = mrid_of(identity)
            ticket = await self._records.find(TICKETS.collection, mrid) if mrid is not None else None
            if ticket is None or ticket.state not in ("", TicketState.OPEN) or ticket.body.incident is None:
                continue
            if mrid_of(ticket.body.incident) != stored.mrid:
                continue
            member = await find_member(self._records, stored.mrid, ticket.mrid)
            if member is None or member.state != OUT:  # mostly the event of the ticket itself has come before
                memberships = await members_of_ticket(self._records, ticket.mrid)
                await self._join(stored.mrid, ticket, memberships, has_heard=False)

    def _of_points(self, stored: Stored[Incident], said: Incident, *, is_planned: bool) -> list[Announcement]:
        outage = said.outage
        points = tuple(one for one in outage.usage_points if has_identity(one)) if outage is not None else ()
        if outage is None or not points:
            return []
        ended_at = as_utc(outage.actual_period.end) if outage.actual_period is not None else None
        if ended_at is not None:
            return [Announcement(incident=stored.mrid, trigger=Trigger.powerRestored, at=ended_at, points=points)]
        if stored.state in (IncidentState.CLOSED, IncidentState.CANCELLED):
            return []
        period = stored.body.outage.estimated_period if stored.body.outage is not None else None
        starts_at = as_utc(period.start) if period is not None and is_planned else None
        return [
            Announcement(
                incident=stored.mrid,
                trigger=Trigger.powerOut,
                at=starts_at,
                until=as_utc(period.end) if period is not None and is_planned else None,
                is_planned=is_planned,
                points=points,
            )
        ]

    def _of_etr(self, stored: Stored[Incident], before: Followed) -> list[Announcement]:
        etr = etr_of(stored.body)
        if etr.at == before.etr.at:
            return []
        is_first = before.etr.stage in (EtrStage.NONE, EtrStage.ASSESSING)
        return [Announcement(incident=stored.mrid, trigger=Trigger.etrChange, is_first=is_first)]

    # -------------------------------------------------------------------------------------------- announcements

    async def _announce(self, announcement: Announcement) -> None:
        counted = (await load_followed(self._records, announcement.incident, self._now)).body.members
        shelves = -(-counted // SHELF_SIZE)
        stored = Stored(
            mrid=MRID(self._new_id()),
            body=msgspec.structs.replace(announcement, shelves=shelves),
            created_at=self._now,
            modified_at=self._now,
        )
        await self.carry_out(stored)

    async def carry_out(self, stored: Stored[Announcement]) -> None:
        """Do the next slice, and note where the rest begins."""
        announcement = stored.body
        if announcement.points:
            end = min(announcement.next + SHELF_SIZE, len(announcement.points))
            for point in announcement.points[announcement.next : end]:
                await self._tell_point(announcement, point)
            is_done = end >= len(announcement.points)
        else:
            end = announcement.next + 1
            members = await members_on(self._records, announcement.incident, announcement.next)
            places = dict.fromkeys(member.body.place for member in members)
            for here in await self._look_at(announcement.incident, places):
                await self._tell_place(announcement, here)
            is_done = end >= announcement.shelves
        if is_done:
            await self._records.drop(ANNOUNCEMENTS, stored.mrid)
            return
        body = msgspec.structs.replace(announcement, next=end)
        await self._records.save(ANNOUNCEMENTS, msgspec.structs.replace(stored, body=body, modified_at=self._now))

    async def _tell_place(self, announcement: Announcement, here: "_Here") -> None:
        out = tuple(member for member in here.everyone if member.state in (OUT, PLANNED))
        if announcement.trigger is Trigger.powerRestored:
            at = announcement.at or self._now
            for member in out:
                await self._restore(member, at)
        elif announcement.trigger is Trigger.informDispatched:
            await self._tell(out, _dispatched(announcement.work), here)
        else:
            etr = await self._etr_of(announcement.incident)  # what holds now; it may have changed since
            await self._tell_etr(out, etr, here, is_first=announcement.is_first)

    async def _tell_point(self, announcement: Announcement, point: UsagePointIdentity) -> None:
        spot = await spot_of_point(self._records, point)
        members = await members_at(self._records, announcement.incident, spot.key)
        if announcement.trigger is Trigger.powerRestored:
            at = announcement.at or self._now
            if not members:
                members = (await self._save(await self._member_of(announcement, spot, at), OUT),)
            for member in members:
                if member.state in (OUT, PLANNED):
                    await self._restore(member, at)
            return
        starts_at, ends_at = announcement.at or self._now, announcement.until
        if announcement.is_planned and starts_at > self._now:
            member = await self._save(await self._member_of(announcement, spot, starts_at), PLANNED)
            content = f"planned {starts_at.isoformat()} {ends_at.isoformat() if ends_at is not None else ''}"
            await self._tell((member,), _Plan(Trigger.powerOut, content, starts_at=starts_at, ends_at=ends_at))
        elif not any(member.state == OUT for member in members):
            member = await self._save(await self._member_of(announcement, spot, min(starts_at, self._now)), OUT)
            await self._tell((member,), _Plan(Trigger.powerOut, f"out {member.body.times}"))

    async def _member_of(self, announcement: Announcement, spot: Spot, since: datetime) -> Member:
        premises = spot.premises
        return Member(
            incident=announcement.incident,
            place=spot.key,
            since=since,
            premises=premises.mrid if premises is not None else None,
            customer=premises.body.customer if premises is not None else None,
            times=await self._times(announcement.incident, spot.key),
        )

    async def _restore(self, member: Stored[Member], at: datetime, *, is_own_word: bool = False) -> None:
        """Supply of a member is back; whoever reported later than that is without it all the same."""
        body = member.body
        if body.since > at:
            return
        await self._save(msgspec.structs.replace(body, restored_at=at, is_own_word=is_own_word), RESTORED)
        still_out = [other for other in await out_at(self._records, body.place) if other.mrid != member.mrid]
        if is_own_word or any(other.body.incident != body.incident or other.body.since > at for other in still_out):
            return
        restored = msgspec.structs.replace(member, body=msgspec.structs.replace(body, restored_at=at), state=RESTORED)
        await self._tell((restored,), _Plan(Trigger.powerRestored, f"restored {body.times}", restored_at=at))

    # -------------------------------------------------------------------------------------------------- telling

    async def _tell_etr(
        self,
        members: tuple[Stored[Member], ...],
        etr: Etr,
        here: "_Here | None" = None,
        *,
        is_first: bool,
    ) -> None:
        """Tell what holds of the restoration time, where it is not what they were told last."""
        for wish, member, time_zone in await self._wanted(members, here, Trigger.initialEtr, Trigger.etrChange):
            count, last, is_told = await told_last(self._records, wish.contact, member.body)
            if last == etr.at:
                continue
            if not is_told and etr.at is None:
                continue
            if is_told:
                trigger = Trigger.etrChange
            elif Trigger.initialEtr in wish.triggers:
                trigger = Trigger.initialEtr
            elif not is_first:
                trigger = Trigger.etrChange
            else:
                continue
            zone = await notice_zone(self._records, time_zone)
            place = await self._address_of(member.body)
            say = wording.say_changed if is_told else wording.say_first
            planned = Planned(
                trigger=trigger,
                content=f"etr {etr.at.isoformat() if etr.at is not None else 'none'} {count}",
                text=say(etr, place, zone),
                etr_at=etr.at,
            )
            await plan_notice(self._records, wish, member, planned, self._now, time_zone=time_zone)

    async def _tell(self, members: tuple[Stored[Member], ...], plan: "_Plan", here: "_Here | None" = None) -> None:
        for wish, member, time_zone in await self._wanted(members, here, plan.trigger):
            zone = await notice_zone(self._records, time_zone)
            place = await self._address_of(member.body)
            if plan.trigger is Trigger.powerRestored and plan.restored_at is not None:
                text = wording.say_restored(plan.restored_at, place, zone)
            elif plan.trigger is Trigger.informDispatched:
                text = wording.say_dispatched(place)
            elif plan.starts_at is not None:
                text = wording.say_planned(plan.starts_at, plan.ends_at, place, zone)
            else:
                text = wording.say_out(place)
            planned = Planned(
                trigger=plan.trigger,
                content=plan.content,
                text=text,
                work=plan.work,
                restored_at=plan.restored_at,
            )
            await plan_notice(self._records, wish, member, planned, self._now, time_zone=time_zone)

    async def _wanted(
        self, members: tuple[Stored[Member], ...], here: "_Here | None", *triggers: NotificationTriggerKind
    ) -> list[tuple[Wish, Stored[Member], str]]:
        """Who wants to be told one of these at the place of the members, with the time zone of the customer.

        `here` is what is known of the place, None if it is still to be looked at.
        """
        if not members:
            return []
        first = members[0]
        if here is None:
            (here,) = await self._look_at(first.body.incident, (first.body.place,))
        chosen = {member.mrid: member for member in members}
        wishes = wishes_at(here.everyone, here.tickets)
        if wishes:
            return [
                (wish, chosen.get(member.mrid, first), "")
                for wish, member in wishes
                if not wish.triggers.isdisjoint(triggers)
            ]
        stored = preferred(here.preferences.get(first.body.customer), *triggers) if first.body.customer else None
        return [] if stored is None else [(stored[0], first, stored[1])]

    async def _look_at(self, incident: MRID, places: Iterable[str]) -> "list[_Here]":
        """What is known of who is to be told at these places; three look-ups, however many there are."""
        found = await members_at_each(self._records, incident, places)
        bodies = [member.body for everyone in found.values() for member in everyone]
        tickets = await self._named(TICKETS.collection, (body.ticket for body in bodies))
        preferences = await self._named(PREFERENCES, (body.customer for body in bodies))
        return [_Here(everyone, tickets, preferences) for everyone in found.values()]

    async def _named(self, collection: Collection[BodyT], mrids: Iterable[MRID | None]) -> Mapping[MRID, Stored[BodyT]]:
        """Objects by their mRIDs."""
        wanted = tuple(dict.fromkeys(mrid for mrid in mrids if mrid is not None))
        if not wanted:
            return {}
        found = await self._records.select(collection, Selection(mrids=wanted, limit=len(wanted)))
        return {stored.mrid: stored for stored in found}

    # ------------------------------------------------------------------------------------------------- look-ups

    async def _save(self, member: Member, state: str) -> Stored[Member]:
        return await save_member(self._records, member, state, self._now)

    async def _etr_of(self, incident: MRID) -> Etr:
        stored = await self._records.find(INCIDENTS.collection, incident)
        if stored is None or stored.state in (IncidentState.CLOSED, IncidentState.CANCELLED):
            return Etr()
        return etr_of(stored.body)

    async def _closed_at(self, incident: MRID) -> datetime | None:
        """When an incident ended, if we were told that it has."""
        stored = await self._records.find(INCIDENTS.collection, incident)
        return _ended_at(stored) if stored is not None and stored.state == IncidentState.CLOSED else None

    async def _times(self, incident: MRID, place: str) -> int:
        """How often supply at a place was said to be back in this incident."""
        times = [one.body.times + (one.state == RESTORED) for one in await members_at(self._records, incident, place)]
        return max(times, default=0)

    async def _address_of(self, member: Member) -> str:
        premises = await self._records.find(PREMISES, member.premises) if member.premises is not None else None
        return wording.shown_address(premises.body.address) if premises is not None else ""


class _Here(NamedTuple):
    """Who may be to be told at one place: all members of the incident there, and by mRID what tells what they want."""

    everyone: tuple[Stored[Member], ...]
    tickets: Mapping[MRID, Stored[TroubleTicket]]
    preferences: Mapping[MRID, Stored[Preferences]]


class _Plan:
    """A notice before it has words."""

    def __init__(
        self,
        trigger: NotificationTriggerKind,
        content: str,
        *,
        work: str = "",
        restored_at: datetime | None = None,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        self.trigger = trigger
        self.content = content
        self.work = work
        self.restored_at = restored_at
        self.starts_at = starts_at
        self.ends_at = ends_at


def _dispatched(work: str) -> _Plan:
    return _Plan(Trigger.informDispatched, f"dispatched {work}", work=work)


def _works_of(incident: Incident) -> tuple[str, ...]:
    return tuple(mrid_of(one) or "" for one in incident.works if one.status_kind in WORKING)


def _ended_at(stored: Stored[Incident]) -> datetime:
    outage, status = stored.body.outage, stored.body.status
    period = outage.actual_period if outage is not None else None
    end = as_utc(period.end) if period is not None else None
    return end or (as_utc(status.date_time) if status is not None else None) or stored.modified_at


def _customer_of(spot: Spot, ticket: TroubleTicket) -> MRID | None:
    if spot.premises is not None:
        return spot.premises.body.customer
    return mrid_of(ticket.customer) if ticket.customer is not None else None
