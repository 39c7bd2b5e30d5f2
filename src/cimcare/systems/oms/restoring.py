"""Restoration: what becomes of points, tickets and incidents when somebody says that supply is back.

The word of who switches or repairs covers all that the device feeds, but for outages below that are not over, and for
those who have called since. The word of a meter or of a caller covers its own point.

Source: guarantee G12; IEC 61968-8:2015, clause 5.3 for the messages.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from cimcare.exchange.ports import Event, Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, UsagePointIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.systems.identity import labels_of, lookup_keys, mrid_of
from cimcare.systems.merging import difference, merge
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, note_entry
from cimcare.systems.oms.devices import DeviceRecord, ServicePointRecord, Supply, point_keys, points_below
from cimcare.systems.oms.estimating import load_rules, note_duration
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import CLOSED, EXTENTS, OPEN, RESOLVED, TICKETS, ExtentRecord, incident_of
from cimcare.systems.oms.points import Points
from cimcare.systems.oms.reports import reported_at
from cimcare.systems.oms.restored import (
    INTERRUPTIONS,
    PENDING,
    Evidence,
    EvidenceKind,
    InterruptionRecord,
    RestorationRecord,
    Restored,
    find_interruption,
    is_planned,
    outages_above,
    save_interruption,
    save_word,
    start_of,
)
from cimcare.systems.oms.words import (
    find_restored,
)
from cimcare.systems.premises import PREMISES

__all__ = ["FIRST", "GOES_ON", "MOST_LATE", "STILL_OUT", "Restorer", "is_later", "place_keys"]

STILL_OUT = "stillOut"
"""`status.reason` of a ticket of premises that were said to have supply again."""

MOST_LATE = 200
"""Tickets reported after the instant of a restoration that are set apart at once; more of them contradict it."""

GOES_ON = "the outage there goes on, though the one above it is over"
"""Why tickets below an outage that goes on are moved into it."""

FIRST = datetime.min.replace(tzinfo=UTC)
_PAGE = 250


class Restorer:
    """Restores points and outages during the service of one message, or of one tick."""

    def __init__(self, context: ServingContext, book: IncidentBook) -> None:
        self._context = context
        self._records = context.records
        self._book = book
        self.points = Points(context, book.find_open, book.count_restored)
        self._resolved: list[TroubleTicket] = []

    # ------------------------------------------------------------------------------------------- single points

    async def go_out_again(self, ticket: Stored[TroubleTicket]) -> None:
        """Somebody calls who contradicts nothing, in an outage that had let go of his premises: they are out anew."""
        incident = await self._book.find_open(incident_of(ticket.body))
        if incident is not None:
            point, customers, path = await self.point_of(ticket)
            at = reported_at(ticket.body, self._context.now)
            await self.points.lose_again(incident, point, customers, at, path[0].mrid if path else None)

    async def settle(
        self, ticket: Stored[TroubleTicket], at: datetime, evidence: Evidence, *, is_by_point: bool = True
    ) -> None:
        """The premises of a ticket have supply again, by the word of its caller or of who speaks for them."""
        mrid = incident_of(ticket.body)
        incident = await self._book.find(mrid) if mrid is not None else None
        if incident is None:
            return
        point, customers, path = await self.point_of(ticket)
        if customers > 1 and not evidence.kind.covers_device:
            return  # the point stands for several customers, of whom one has spoken
        await self.points.restore(incident, point, customers, at, evidence, path, is_by_point=is_by_point)

    async def enter_word(self, ticket: Stored[TroubleTicket], at: datetime) -> None:
        """Whoever was called back says that there is supply: that is entered, whatever a meter there says."""
        point, customers, _ = await self.point_of(ticket)
        if customers == 1:
            entry = EntryRecord(point=point, sort=EntrySort.BACK, at=at)
            await note_entry(self._records, entry, self._context.now)

    async def out_above(self, supply: Supply, at: datetime, *, but: MRID) -> Stored[Incident] | None:
        """An open outage above a place that keeps it out; `but` is not looked at."""
        for one in await outages_above(self._records, supply.path, but=but, since_before=at):
            known = await find_interruption(self._records, one.mrid, supply.point.mrid) if supply.point else None
            if known is None or known.body.ended_at is None:
                return one
        return None

    async def supply_of(self, ticket: Stored[TroubleTicket], transformer: str = "") -> Supply:
        """What supplies the place of a ticket: its point in the model, failing that what the directory says."""
        supply = await self._book.supply(ticket.keys, transformer)
        if supply.path or transformer:
            return supply
        for key in ticket.keys:
            premises = await self._records.find(PREMISES, MRID(key.value)) if key.sort == "premises" else None
            if premises is not None and premises.body.transformer:
                return await self._book.supply(ticket.keys, premises.body.transformer)
        return supply

    async def point_of(
        self, ticket: Stored[TroubleTicket], transformer: str = ""
    ) -> tuple[str, int, tuple[DeviceRecord, ...]]:
        """The point that a ticket means: its usage point, failing that its premises; who is there; devices above.

        The directory knows usage points that the model does not have, or not any more: it is the same place all the
        same. `transformer` is what feeds it by the directory of premises, if that was looked at already.
        """
        supply = await self.supply_of(ticket, transformer)
        if supply.point is not None:
            return supply.point.mrid, supply.point.customers, supply.path
        key = next((key.value for key in sorted(ticket.keys) if key.sort == "premises"), ticket.mrid)
        premises = await self._records.find(PREMISES, MRID(key))
        return premises.body.usage_point if premises is not None else key, 1, supply.path

    async def open_tickets(
        self, incident: MRID, named: UsagePointIdentity, point: ServicePointRecord | None
    ) -> tuple[Stored[TroubleTicket], ...]:
        """Open tickets of an incident that mean this point, as it is named or as the model knows it."""
        keys = set(lookup_keys("usage-point", mrid_of(named), labels_of(named)))
        if point is not None:
            keys |= place_keys(point)
        wanted = Selection(keys=((Key("incident", incident),), tuple(sorted(keys))), states=(OPEN,))
        return await self._records.select(TICKETS.collection, wanted) if keys else ()

    async def resolve(
        self, ticket: Stored[TroubleTicket], at: datetime, remark: str, reason: EvidenceKind | None = None
    ) -> Stored[TroubleTicket]:
        """Resolve a ticket and note what is to be told of it. It is not taken out of its incident.

        `reason` goes into its status: `callback` where its own premises have said so, and need not be told.
        """
        now = self._context.now
        status = msgspec.structs.replace(
            ticket.body.status or Status(), value=RESOLVED, date_time=now, remark=remark, reason=reason
        )
        body = msgspec.structs.replace(ticket.body, resolved_date_time=at, last_modified_date_time=now, status=status)
        stored = msgspec.structs.replace(ticket, body=body, state=RESOLVED, modified_at=now)
        await self._records.save(TICKETS.collection, stored)
        bare = TICKETS.identity_only(body)
        altered = difference(ticket.body, body)
        shown = bare if altered is None else merge(bare, altered)
        self._resolved.append(TICKETS.told(shown, body, with_state=True))
        return stored

    def events(self) -> tuple[Event, ...]:
        """The tickets that were resolved, in one message."""
        return (TICKETS.event(Verb.CLOSED, self._resolved),) if self._resolved else ()

    # ----------------------------------------------------------------------------------------------- whole outages

    async def restore_whole(
        self, incident: Stored[Incident], evidence: Evidence, at: datetime, excepted: Sequence[ExtentRecord]
    ) -> None:
        """The outage is over by the word of who switches or repairs. What follows for points and tickets comes by tick.

        Those who have called after the instant are set apart before.
        """
        for late in await self.late_tickets(incident.mrid, at):
            await self._set_apart(late, incident, evidence, at)
        for one in excepted:
            if one.device is not None:
                await self._hand_over(incident, one.device)
        current = await self._book.find_open(incident.mrid)
        if current is None:
            return
        below = ", ".join(sorted(one.device_name or "premises" for one in excepted))
        but = f", except below {below}, where an outage goes on" if below else ""
        extent = await self._book.extent(incident.mrid)
        word = RestorationRecord(
            incident=incident.mrid,
            at=at,
            started_at=start_of(incident),
            evidence=evidence,
            device=extent.device,
            device_name=extent.device_name,
            excepted=tuple(one.device for one in excepted if one.device is not None),
            is_planned=is_planned(incident),
        )
        await save_word(self._records, word, PENDING, self._context.now)
        if extent.kind and not is_planned(incident):
            await note_duration(self._records, extent.kind, at - start_of(incident), self._context.now)
        await self._book.end(current, CLOSED, f"restored, by {evidence}{but}", at)

    async def _hand_over(self, incident: Stored[Incident], device: MRID) -> None:
        """Tickets below an outage that goes on belong to it, before anybody hears that the one above is over.

        The cost follows the size of the outage below, and not that of the one above.
        """
        target = await self.open_at(device)
        after: MRID | None = None
        while target is not None:
            page = await points_below(self._records, device, after, _PAGE)
            keys = tuple(sorted(key for point in page for key in place_keys(point)))
            wanted = Selection(keys=((Key("incident", incident.mrid),), keys), states=(OPEN,))
            for ticket in await self._records.select(TICKETS.collection, wanted) if keys else ():
                fresh = await self._records.find(TICKETS.collection, ticket.mrid)
                if fresh is not None and incident_of(fresh.body) == incident.mrid:
                    await self._book.move(fresh, target, GOES_ON)
            if len(page) < _PAGE:
                return
            after = page[-1].mrid

    async def open_at(self, device: MRID) -> Stored[Incident] | None:
        """The open incident of a device."""
        wanted = Selection(keys=((Key("above", device),),), states=(OPEN,))
        for stored in await self._records.select(EXTENTS, wanted):
            if stored.body.device == device:
                return await self._book.find_open(stored.mrid)
        return None

    async def late_tickets(self, incident: MRID, at: datetime) -> tuple[Stored[TroubleTicket], ...]:
        """Open tickets that were reported after an instant, `MOST_LATE` and one more at most."""
        wanted = Selection(keys=((Key("incident", incident),),), states=(OPEN,), since=at, limit=MOST_LATE + 1)
        found = await self._records.select(TICKETS.collection, wanted)
        return tuple(one for one in found if is_later(one, at))

    async def _set_apart(
        self, ticket: Stored[TroubleTicket], incident: Stored[Incident], evidence: Evidence, at: datetime
    ) -> None:
        """A call that came after the restoration says that it is not true there: an incident of its own."""
        current = await self._records.find(TICKETS.collection, ticket.mrid)
        if current is None or incident_of(current.body) != incident.mrid:
            return  # it went with another ticket of its premises
        said = Restored(incident=incident.mrid, at=at, started_at=start_of(incident), evidence=evidence)
        supply = await self.supply_of(ticket)
        reason = _still_out_sentence(said)
        opened = await self._book.open_for(
            None,
            reason,
            reported_at(ticket.body, ticket.created_at),
            path=tuple(device.mrid for device in supply.path),
            is_unresolved=not supply.path,
        )
        await self._book.move(current, opened, reason)
        moved = await self._records.find(TICKETS.collection, ticket.mrid)
        if moved is not None:
            await self._records.save(TICKETS.collection, await self.go_on(moved, said))

    # --------------------------------------------------------------------------------------------------- still out

    async def find_contradicted(self, ticket: Stored[TroubleTicket], transformer: str = "") -> Restored | None:
        """The word that the caller of a new ticket contradicts: supply was said to be back there, not long ago."""
        at = reported_at(ticket.body, self._context.now)
        rules = await load_rules(self._records)
        point, _, above = await self.point_of(ticket, transformer)
        path = tuple(device.mrid for device in above)
        since = at - min(rules.still_out, at - FIRST)
        return await find_restored(self._records, point, path, since=since, until=at)

    async def go_on(self, ticket: Stored[TroubleTicket], said: Restored) -> Stored[TroubleTicket]:
        """The interruption of the premises goes on since it truly began, and the ticket says so. It is not saved."""
        mrid = incident_of(ticket.body)
        assert mrid is not None  # every open ticket is in an incident
        point, customers, path = await self.point_of(ticket)
        begun = InterruptionRecord(
            point=point,
            incident=mrid,
            started_at=said.started_at,
            customers=customers,
            device=path[0].mrid if path else None,
            contradicted=said,
        )
        known = await find_interruption(self._records, mrid, point)
        if known is not None:
            begun = _gone_on(known.body, begun, reported_at(ticket.body, self._context.now))
        was_restored = known is not None and known.body.ended_at is not None
        await self._book.count_restored(mrid, -customers if was_restored and begun.ended_at is None else 0)
        await save_interruption(self._records, begun, self._context.now)
        await self._book.explain(mrid, _still_out_sentence(said))
        status = msgspec.structs.replace(
            ticket.body.status or Status(), reason=STILL_OUT, remark=_still_out_sentence(said)
        )
        return msgspec.structs.replace(ticket, body=msgspec.structs.replace(ticket.body, status=status))

    async def forget(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket was cancelled: nothing went on because of it, unless others of its premises say so, or their meter.

        What it had contradicted holds again.
        """
        mrid = incident_of(ticket.body)
        point, customers, _ = await self.point_of(ticket)
        known = await find_interruption(self._records, mrid, point) if mrid is not None else None
        if mrid is None or known is None or known.body.ended_at is not None or await self._is_out_still(ticket, mrid):
            return
        said = known.body.contradicted
        if said is None or said.incident != mrid or said.evidence is None:
            await self._records.drop(INTERRUPTIONS, known.mrid)
            return
        restored = msgspec.structs.replace(
            known.body, ended_at=said.at, evidence=said.evidence, is_by_point=True, contradicted=None
        )
        await save_interruption(self._records, restored, self._context.now)
        await self._book.count_restored(mrid, customers)

    async def _is_out_still(self, ticket: Stored[TroubleTicket], incident: MRID) -> bool:
        """Whether there is other evidence than a ticket that its premises are out: another ticket, or their meter."""
        keys = tuple(key for key in ticket.keys if key.sort == "premises")
        wanted = Selection(keys=((Key("incident", incident),), keys), states=(OPEN,))
        found = await self._records.select(TICKETS.collection, wanted) if keys else ()
        if any(one.mrid != ticket.mrid for one in found):
            return True
        report = await self._book.current_report(keys[0].value) if keys else None
        return report is not None and report.off_at is not None and report.on_at is None


def place_keys(point: ServicePointRecord) -> frozenset[Key]:
    """Keys under which tickets of a point are found."""
    return frozenset(key for key in point_keys(point) if key.sort != "device")


def is_later(ticket: Stored[TroubleTicket], at: datetime) -> bool:
    """Whether a ticket was reported after an instant."""
    return reported_at(ticket.body, ticket.created_at) > at


def _gone_on(known: InterruptionRecord, begun: InterruptionRecord, reported: datetime) -> InterruptionRecord:
    """What is noted of a point once somebody has called from there who contradicts a word.

    A word after the call stands. Of two that were contradicted the later one is kept: calls come in any order.
    """
    contradicted = begun.contradicted
    if known.contradicted is not None and contradicted is not None and known.contradicted.at > contradicted.at:
        contradicted = known.contradicted
    stands = known.ended_at is not None and known.evidence is not None and known.ended_at > reported
    return msgspec.structs.replace(
        known if stands else begun,
        started_at=min(known.started_at, begun.started_at),
        contradicted=contradicted,
        is_again=known.is_again,
    )


def _still_out_sentence(said: Restored) -> str:
    whose = f" by {said.evidence}" if said.evidence is not None else ""
    return (
        f"still out: supply was said to be back at {said.at.isoformat(timespec='seconds')}{whose} "
        f"(incident {said.incident}), out since {said.started_at.isoformat(timespec='seconds')}"
    )
