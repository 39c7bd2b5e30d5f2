"""One incident with all that is known of it: why it is as it is, what was said of its end, who is out and who is not.

Every list has a bound of its own; what is behind it is said, and never counted.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cimcare.console.incidents.board import Row, find_open, rows_of
from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.cis.notices import NOTICES, NoticeRecord
from cimcare.systems.cis.wording import shown_address
from cimcare.systems.identity import label_of, labels_of
from cimcare.systems.oms.decisions import DECISIONS, DecisionRecord
from cimcare.systems.oms.devices import ServicePointRecord, points_below
from cimcare.systems.oms.estimates import say_estimate
from cimcare.systems.oms.estimating import EstimateHistory, load_history
from cimcare.systems.oms.interruptions import clip
from cimcare.systems.oms.kinds import INCIDENTS, OPEN, REPORTS, TICKETS, ReportRecord
from cimcare.systems.oms.restored import (
    INTERRUPTIONS,
    PENDING,
    RESTORATIONS,
    InterruptionRecord,
    RestorationRecord,
    find_past,
)
from cimcare.systems.premises import PREMISES, PremisesRecord

__all__ = ["MOST_LISTED", "MOST_POINTS", "Place", "Seen", "Standing", "Ticket", "find_incident", "reckon"]

MOST_LISTED = 50
"""Decisions, tickets, notices of one page."""

MOST_POINTS = 500
"""Premises of which somebody has spoken that a page tells singly."""

_MOST_QUIET = 100
"""With at most so many customers below its device a page names also those of whom nobody has spoken."""

_KEY_OF_PREMISES = re.compile(r"\b([Pp]remises) ([^\s:,;]+)")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One of the premises: its number, its address as far as the directory knows it, who depends on supply there.

    `point` is the mRID of its usage point.
    """

    label: str
    address: str = ""
    account: MRID | None = None
    is_critical: bool = False
    point: MRID | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the supply of one of the premises.

    `word` is `out`, `back`, or `still out` where somebody had said that it was back and was contradicted. `says` is how
    that is known. `point` can be named as having supply again.
    """

    place: Place
    word: str
    says: str
    since: datetime
    reported_at: datetime | None = None
    back_at: datetime | None = None
    point: MRID | None = None


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket of the incident."""

    mrid: MRID
    place: Place
    reported_at: datetime | None
    code: str
    hazards: tuple[str, ...]
    comment: str
    state: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All of the page.

    `quiet` customers are believed out, and nobody has spoken of them one by one. `minutes` are customer-minutes up to
    now, None while a restoration is still being gone through. `next_tickets` is the last ticket of this page, if there
    are more. `others` are open incidents into which this one could be merged.
    """

    row: Row
    body: Incident
    state: str
    at: datetime
    sentence: str
    history: EstimateHistory
    decisions: tuple[DecisionRecord, ...]
    tickets: tuple[Ticket, ...]
    next_tickets: MRID | None
    standings: tuple[Standing, ...]
    is_whole: bool
    quiet: int
    minutes: float | None
    word: RestorationRecord | None
    notices: tuple[tuple[Stored[NoticeRecord], Place], ...]
    others: tuple[Row, ...]

    @property
    def is_open(self) -> bool:
        """Whether anything can be said of it."""
        return self.state == OPEN


async def find_incident(records: Records, mrid: MRID, now: datetime, after: MRID | None = None) -> Seen | None:
    """One incident; None if there is none.

    Args:
        records: Objects of the store.
        mrid: That of the incident.
        now: An aware instant in UTC.
        after: The last ticket of the page before.

    Raises:
        StoreError: The database cannot be read.
    """
    stored = await records.find(INCIDENTS.collection, mrid)
    if stored is None:
        return None
    (row,) = await rows_of(records, (stored,))
    key = ((Key("incident", mrid),),)
    newest = Selection(keys=key, limit=MOST_LISTED, newest_first=True)
    decisions = await records.select(DECISIONS, newest)
    notices = await records.select(NOTICES, newest)
    tickets = await records.select(TICKETS.collection, Selection(keys=key, after=after, limit=MOST_LISTED + 1))
    reports = await records.select(REPORTS, Selection(keys=key, limit=MOST_POINTS + 1))
    outs = await records.select(INTERRUPTIONS, Selection(keys=key, limit=MOST_POINTS + 1))
    word = await records.find(RESTORATIONS, mrid)
    below: tuple[ServicePointRecord, ...] = ()
    if row.device is not None and row.of <= _MOST_QUIET and stored.state == OPEN:
        below = await points_below(records, row.device, limit=_MOST_QUIET)
    places = await _places(records, reports, outs, tickets, notices, below)
    is_whole = len(reports) <= MOST_POINTS and len(outs) <= MOST_POINTS
    standings = _standings(reports[:MOST_POINTS], outs[:MOST_POINTS], below, places, row)
    past = await find_past(records, [one.body for one in outs[:MOST_POINTS]])
    minutes = reckon(row, [one.body for one in (*outs, *past)], now) if is_whole else None
    if word is not None and word.state == PENDING:
        minutes = None
    others = await find_open(records, MOST_LISTED, newest_first=True)
    return Seen(
        row=row,
        body=stored.body,
        state=stored.state,
        at=now,
        sentence=say_estimate(row.estimate) if stored.state == OPEN else "",
        history=await load_history(records, mrid),
        decisions=tuple(_named(one.body, places) for one in decisions),
        tickets=tuple(_ticket(one, places) for one in tickets[:MOST_LISTED]),
        next_tickets=tickets[MOST_LISTED - 1].mrid if len(tickets) > MOST_LISTED else None,
        standings=standings,
        is_whole=is_whole,
        quiet=max(0, row.out - sum(1 for one in standings if one.word != "back")) if stored.state == OPEN else 0,
        minutes=minutes,
        word=word.body if word is not None else None,
        notices=tuple((one, places.get(one.body.place, Place(label=one.body.place))) for one in notices),
        others=tuple(one for one in await rows_of(records, others) if one.mrid != mrid),
    )


def reckon(row: Row, outs: Sequence[InterruptionRecord], now: datetime) -> float:
    """Customer-minutes without supply: of those spoken of one by one as was said, of all others for all of the time."""
    until = row.ended_at or now
    total = timedelta()
    for one in outs:
        start, end = clip(one.interval, until)
        total += (min(end or until, until) - start) * one.customers if start < until else timedelta()
    others = max(0, row.of - sum(one.customers for one in outs if not one.is_past))
    if row.ended_at is None or not outs:
        total += max(until - row.since, timedelta()) * others
    return total / timedelta(minutes=1)


async def _places(
    records: Records,
    reports: Sequence[Stored[ReportRecord]],
    outs: Sequence[Stored[InterruptionRecord]],
    tickets: Sequence[Stored[TroubleTicket]],
    notices: Sequence[Stored[NoticeRecord]],
    below: Sequence[ServicePointRecord],
) -> dict[str, Place]:
    """Premises by their key and by their usage point."""
    keys = dict.fromkeys(one.body.premises for one in reports)
    keys.update(dict.fromkeys(key.value for one in tickets for key in one.keys if key.sort == "premises"))
    keys.update(dict.fromkeys(one.body.place for one in notices))
    keys.update(dict.fromkeys(one.body.point for one in outs))
    found: dict[MRID, PremisesRecord] = {}
    mrids = tuple(MRID(key) for key in keys)
    if mrids:
        known = await records.select(PREMISES, Selection(mrids=mrids, limit=len(mrids)))
        found.update((one.mrid, one.body) for one in known)
    named = dict.fromkeys((*(MRID(one.body.point) for one in outs), *(one.mrid for one in below)))
    points = tuple(Key("usage-point", one) for one in named if one not in found)
    if points:
        known = await records.select(PREMISES, Selection(keys=(points,), limit=len(points)))
        found.update((one.mrid, one.body) for one in known)
    places = {key: Place(label=_bare(key)) for key in keys}
    for point in below:
        named_so = (*point.location_names, *point.names)
        called = named_so[0].name if named_so else str(point.mrid)
        places[point.mrid] = Place(label=called, is_critical=point.is_critical, point=point.mrid)
    for mrid, body in found.items():
        label = label_of(body.names[0]).name if body.names else mrid
        place = Place(
            label=label,
            address=shown_address(body.address),
            account=body.account,
            is_critical=body.is_critical,
            point=body.usage_point,
        )
        places[mrid] = place
        places[body.usage_point] = place
    return places


def _bare(key: str) -> str:
    """What people call a place of which only the key is known."""
    return key.partition(":")[2] or key


def _standings(
    reports: Sequence[Stored[ReportRecord]],
    outs: Sequence[Stored[InterruptionRecord]],
    below: Sequence[ServicePointRecord],
    places: Mapping[str, Place],
    row: Row,
) -> tuple[Standing, ...]:
    """What is known of each place; who is still out first, and of those who was said not to be."""
    by_label: dict[str, Standing] = {}
    for one in reports:
        report = one.body
        place = places.get(report.premises, Place(label=report.premises))
        is_back = report.on_at is not None or not report.is_dark
        says = "reported"
        if report.off_at is not None:
            says = "its meter has lost supply" if report.on_at is None else "its meter has supply"
        elif is_back:
            says = "its tickets are settled"
        by_label[place.label] = Standing(
            place=place,
            word="back" if is_back else "out",
            says=says,
            since=report.off_at or report.at,
            reported_at=report.at,
            back_at=report.on_at,
            point=place.point,
        )
    for each in outs:
        out = each.body
        place = places.get(out.point, Place(label=out.point))
        known = by_label.get(place.label)
        by_label[place.label] = _standing(out, place, known.reported_at if known is not None else None)
    for point in below:
        place = places[point.mrid]
        says = f"below {row.place}; nobody has spoken of it"
        quiet = Standing(place=place, word="out", says=says, since=row.since, point=point.mrid)
        by_label.setdefault(place.label, quiet)
    order = {"still out": 0, "out": 1, "back": 2}
    found = by_label.values()
    return tuple(sorted(found, key=lambda one: (order[one.word], one.reported_at is None, not one.place.is_critical)))


def _named(decision: DecisionRecord, places: Mapping[str, Place]) -> DecisionRecord:
    """A decision with premises called as people call them, where they are at hand."""

    def name(found: re.Match[str]) -> str:
        place = places.get(found[2])
        return f"{found[1]} {place.label}" if place is not None else found[0]

    return msgspec.structs.replace(decision, why=_KEY_OF_PREMISES.sub(name, decision.why))


def _standing(out: InterruptionRecord, place: Place, reported_at: datetime | None) -> Standing:
    contradicted = out.contradicted
    if out.ended_at is None and contradicted is not None:
        word = "still out"
        by = f" by {contradicted.evidence}" if contradicted.evidence is not None else ""
        says = f"was said to be back since {contradicted.at:%H:%M}{by}"
    elif out.ended_at is None:
        word, says = "out", "has lost supply once more" if out.is_again else "reported"
    elif out.evidence is None:
        word, says = "out", "nobody has said that it has supply"
    else:
        word, says = "back", str(out.evidence)
    return Standing(
        place=place,
        word=word,
        says=says,
        since=out.started_at,
        reported_at=reported_at,
        back_at=out.ended_at if word == "back" else None,
        point=MRID(out.point),
    )


def _ticket(stored: Stored[TroubleTicket], places: Mapping[str, Place]) -> Ticket:
    body = stored.body
    key = next((key.value for key in stored.keys if key.sort == "premises"), "")
    named = labels_of(body.service_location) if body.service_location is not None else ()
    return Ticket(
        mrid=stored.mrid,
        place=places.get(key, Place(label=named[0].name if named else "place not said")),
        reported_at=body.date_time_of_report,
        code=body.trouble_code or "",
        hazards=tuple(one.type or one.description or "danger" for one in body.hazards),
        comment=body.comment or "",
        state=stored.state,
    )
