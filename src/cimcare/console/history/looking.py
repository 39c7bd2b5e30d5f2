"""How it stood at an instant: messages, queues, incidents and their estimates, alarms, and who did what.

Everything is read by number or by time within bounds, whatever is stored. Exact to the instant are messages,
deliveries, estimates, words of restoration and acts; queues, alarms and customers out are as they were counted in the
minute. What is not kept is said to be so.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.log import Direction, LogEntry, LogSelection
from cimcare.exchange.outbox import Backlog, Delivery, DeliverySelection, DeliveryState
from cimcare.exchange.ports import Records, Selection, Stored
from cimcare.exchange.store import Reader
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.operation.minutes import MinuteRecord, find_minute, find_standings, keeps_since
from cimcare.hub.operation.positions import last_audit_row, last_delivery, last_message
from cimcare.hub.operation.watching import list_alarms
from cimcare.hub.rest.inside import Inside
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.estimates import Estimate
from cimcare.systems.oms.estimating import load_history
from cimcare.systems.oms.kinds import CANCELLED, INCIDENTS, OPEN
from cimcare.systems.oms.restored import RESTORATIONS, SKEW, EvidenceKind, RestorationRecord
from cimcare.systems.oms.standing import Standing, list_standings, where_of

__all__ = ["Heard", "Past", "PastDelivery", "PastIncident", "look_back"]

_MINUTE = timedelta(minutes=1)
_NOW = timedelta(seconds=1)
_MOST_MESSAGES = 1000
"""Messages before the instant that are looked at: the minute's, and the last of each partner among them."""

_SHOWN = 12
_MOST_INCIDENTS = 100
_MOST_LOOKED_AT = 1000
_BACK = timedelta(days=30)
"""How long before the instant an incident may have begun to be found."""

_ACT_ROWS = 300
_ENDED = (DeliveryState.DELIVERED, DeliveryState.DISCARDED, DeliveryState.DEAD)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The last message to or from a partner by then."""

    partner: str
    entry: LogEntry


class PastDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery, and how it stood."""

    delivery: Delivery
    state: str


class PastIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that was open, as far as was known by then.

    `customers` are as counted in the minute, None where that is not kept. `told` is what was told of its end by then,
    `said` how many estimates there had been. `ended_at` is when it ended later, as is known today, and `how`.
    """

    mrid: MRID
    where: str
    began_at: datetime
    known_at: datetime
    customers: int | None
    told: Estimate | None
    said: int
    ended_at: datetime | None
    how: str


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """How it stood at `at`.

    `in_minute` came in within the minute before; with `is_more` there were more than are looked at, and `in_minute` is
    reckoned from the pace of those. `minute` is what was counted last by then, None where no hub ran; with `is_now` it
    is what was counted just now. `looked_back` is since when incidents may have begun to be found, `more` how many are
    not shown.
    """

    at: datetime
    is_now: bool
    total: int
    in_minute: int
    out_minute: int
    is_more: bool
    latest: tuple[LogEntry, ...]
    heard: tuple[Heard, ...]
    minute: MinuteRecord | None
    deliveries: tuple[PastDelivery, ...]
    incidents: tuple[PastIncident, ...]
    more: int
    looked_back: datetime
    acts: tuple[AuditRow, ...]
    kept_since: datetime | None

    @property
    def backlogs(self) -> tuple[Backlog, ...]:
        """What waited."""
        return self.minute.backlogs if self.minute is not None else ()

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What stood."""
        return self.minute.alarms if self.minute is not None else ()


async def look_back(inside: Inside, at: datetime) -> Past:
    """Look at an instant; one in the future is now. Raises StoreError."""
    reader, now = inside.reader, inside.clock()
    at = min(at, now)
    is_now = now - at <= _NOW
    total = await last_message(reader.log, at)
    entries = await reader.log.select(LogSelection(after=total + 1, limit=_MOST_MESSAGES, newest_first=True))
    in_minute, out_minute, is_more = _rate(entries, at)
    minute, standings = await (_count_now(reader, at) if is_now else _count_then(reader, at))
    incidents, looked_back = await _incidents(reader.records, at, standings)
    return Past(
        at=at,
        is_now=is_now,
        total=total,
        in_minute=in_minute,
        out_minute=out_minute,
        is_more=is_more,
        latest=entries[:_SHOWN],
        heard=_heard(entries),
        minute=minute,
        deliveries=await _deliveries(reader, at),
        incidents=tuple(incidents[:_MOST_INCIDENTS]),
        more=max(len(incidents) - _MOST_INCIDENTS, 0),
        looked_back=looked_back,
        acts=await _acts(reader, at),
        kept_since=await keeps_since(reader.records),
    )


def _rate(entries: Sequence[LogEntry], at: datetime) -> tuple[int, int, bool]:
    """What came in and went out within the minute before, newest first; and whether it is reckoned from a part."""
    within = [one for one in entries if at - one.received_at < _MINUTE]
    received = sum(one.direction is Direction.IN for one in within)
    sent = len(within) - received
    if len(within) < _MOST_MESSAGES:
        return received, sent, False
    share = _MINUTE / max(at - within[-1].received_at, timedelta(milliseconds=1))
    return round(received * share), round(sent * share), True


def _heard(entries: Sequence[LogEntry]) -> tuple[Heard, ...]:
    last: dict[str, LogEntry] = {}
    for entry in entries:
        if entry.partner:
            last.setdefault(entry.partner, entry)
    return tuple(Heard(partner=name, entry=last[name]) for name in sorted(last)[:50])


_Counted = tuple[MinuteRecord | None, dict[MRID, Standing]]


async def _count_then(reader: Reader, at: datetime) -> _Counted:
    minute = await find_minute(reader.records, at)
    if minute is None:
        return None, {}
    return minute, {one.incident: one for one in (await find_standings(reader.records, minute)).standings}


async def _count_now(reader: Reader, at: datetime) -> _Counted:
    standings = await list_standings(reader.records)
    minute = MinuteRecord(
        at=at,
        backlogs=await reader.outbox.backlogs(),
        alarms=await list_alarms(reader.records),
        incidents=len(standings),
        customers=sum(one.customers for one in standings if not one.is_within),
    )
    return minute, {one.incident: one for one in standings}


async def _deliveries(reader: Reader, at: datetime) -> tuple[PastDelivery, ...]:
    last = await last_delivery(reader.outbox, at)
    found = await reader.outbox.select(DeliverySelection(after=max(last - _SHOWN, 0), limit=_SHOWN))
    return tuple(
        PastDelivery(delivery=one, state=_state_of(one, at)) for one in reversed(found) if one.created_at <= at
    )


def _state_of(one: Delivery, at: datetime) -> str:
    if one.state in _ENDED and one.due_at <= at:
        return one.state.value
    return "not there yet"


async def _incidents(
    records: Records, at: datetime, standings: dict[MRID, Standing]
) -> tuple[list[PastIncident], datetime]:
    """Those that were open, the most customers first, and since when they may have begun."""
    wanted = Selection(since=at - _BACK, until=at, newest_first=True, limit=_MOST_LOOKED_AT)
    page = await records.select(INCIDENTS.collection, wanted)
    since = page[-1].created_at if len(page) == _MOST_LOOKED_AT else at - _BACK
    # Whatever was changed last well before the instant, and is not open, had ended by then.
    open_then = [stored for stored in page if stored.state == OPEN or stored.modified_at + SKEW > at]
    ended = tuple(stored.mrid for stored in open_then if stored.state != OPEN)
    words = await records.select(RESTORATIONS, Selection(mrids=ended, limit=len(ended))) if ended else ()
    said = {word.mrid: word.body for word in words}
    known = [_incident(stored, at, standings.get(stored.mrid), said.get(stored.mrid)) for stored in open_then]
    found = [one for one in known if one is not None]
    found.sort(key=lambda one: (-(one.customers or 0), one.began_at))
    shown = [await _with_estimates(records, one, at) for one in found[:_MOST_INCIDENTS]]
    return [*shown, *found[_MOST_INCIDENTS:]], since


def _incident(
    stored: Stored[Incident], at: datetime, standing: Standing | None, word: RestorationRecord | None
) -> PastIncident | None:
    """The incident, if somebody knew of it by then and it had not ended."""
    body = stored.body
    known_at = as_utc(body.created_date_time) or stored.created_at
    if known_at > at:
        return None
    ended_at, how = None, ""
    if stored.state != OPEN:
        ended_at, how = _end(stored, word)
        if ended_at <= at:
            return None
    return PastIncident(
        mrid=stored.mrid,
        where=where_of(body),
        began_at=stored.created_at,
        known_at=known_at,
        customers=standing.customers if standing is not None else None,
        told=None,
        said=0,
        ended_at=ended_at,
        how=how,
    )


def _end(stored: Stored[Incident], word: RestorationRecord | None) -> tuple[datetime, str]:
    """When an incident ended: as was said, failing that when it was changed last."""
    if word is not None and stored.state != CANCELLED:
        how = word.evidence.who if word.evidence.kind is EvidenceKind.CALLBACK else str(word.evidence)
        return word.at, f"restored by {how}"
    return stored.modified_at, stored.state


async def _with_estimates(records: Records, one: PastIncident, at: datetime) -> PastIncident:
    history = await load_history(records, one.mrid)
    by_then = [each for each in history.records if each.estimate.said_at is not None and each.estimate.said_at <= at]
    told = [each.estimate for each in by_then if each.is_told]
    return msgspec.structs.replace(one, told=told[-1] if told else None, said=len(by_then))


async def _acts(reader: Reader, at: datetime) -> tuple[AuditRow, ...]:
    """What was done by then, the newest first, among the last rows of the audit trail."""
    last = await last_audit_row(reader.audit, at)
    rows = await reader.audit.rows(max(last - _ACT_ROWS, 0), min(_ACT_ROWS, last)) if last else ()
    return tuple(row for row in reversed(rows) if row.action is not Action.MESSAGES)[:_SHOWN]
