"""The after-action report of a span of time.

What was offered, answered, refused and lost; how right estimates were, who was slow, how reliable supply was.

One function makes it for console and command. It reads what began within the span and nothing else, a page at a time,
and lets others work between two pages.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from cimcare.exchange.ledger import Account, Balance, hour_of
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.exchange.store import Reader
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.minutes import Bar, MinuteRecord, bars_of, counted_of, list_minutes
from cimcare.hub.operation.spreads import PartnerSpread, Spread, draw_answers, draw_deliveries
from cimcare.model.identity import MRID
from cimcare.systems.cis.notices import NOTICES
from cimcare.systems.oms.afterwards import EstimateErrors, IncidentReview, errors_of, review_incidents
from cimcare.systems.oms.indices import Indices, indices_of
from cimcare.systems.oms.reliability import count_customers, load_span
from cimcare.systems.oms.standing import list_standings

__all__ = ["LONGEST", "DeadLetter", "Report", "Totals", "load_report"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

LONGEST = timedelta(days=31)
"""The longest span."""

_HOUR = timedelta(hours=1)
_MARGIN = timedelta(minutes=3)
_BY_MINUTES = timedelta(hours=48)
"""Up to this the curve is drawn by minutes, of longer spans by hours of the ledger."""

_MOST_MINUTES = 3000
_MOST_INCIDENTS = 5000
_MOST_NOTICES = 50_000
_SHOWN = 20
_PAGE = 1000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a partner over the hours that the span touches, or of all partners together.

    Coming in: `offered` was received, `done` accepted. Going out: `offered` was put in, `done` the partner has.
    `missing` is what no column accounts for: lost, if it is not 0.
    """

    partner: str
    account: Account
    offered: int = 0
    done: int = 0
    refused: int = 0
    repeats: int = 0
    dead: int = 0
    waiting: int = 0
    missing: int = 0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was put in within the span and given up."""

    number: int
    partner: str
    verb: str
    noun: str
    given_up_at: datetime
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Rates and counts of the ledger are of whole hours, from `first_hour` to before `last_hour`.

    `served` are customers of the network; indices are None without any. `incidents` are the largest, `count` all that
    began, `open_count` those of them that have not ended. `peak` is the most customers that were out at a minute,
    `peak_at` the first such minute; None where nobody was.
    `first_error` and `last_error` are those of the first and last estimate told. `bars` cover `width` each. `unsaid`
    is what the report does not know, and why.
    """

    since: datetime
    until: datetime
    made_at: datetime
    first_hour: datetime
    last_hour: datetime
    incoming: Totals
    outgoing: Totals
    partners: tuple[Totals, ...]
    answers: Spread | None
    deliveries: tuple[PartnerSpread, ...]
    served: int
    unplanned: Indices | None
    planned: Indices | None
    count: int
    open_count: int
    peak: int | None
    peak_at: datetime | None
    first_error: EstimateErrors
    last_error: EstimateErrors
    incidents: tuple[IncidentReview, ...]
    hazards: tuple[IncidentReview, ...]
    notices: tuple[tuple[str, int], ...]
    dead: tuple[DeadLetter, ...]
    alarms: tuple[Alarm, ...]
    bars: tuple[Bar, ...]
    width: timedelta
    unsaid: tuple[str, ...]

    @property
    def lost(self) -> int:
        """What neither end accounts for."""
        return abs(self.incoming.missing) + abs(self.outgoing.missing)


async def load_report(
    reader: Reader, *, since: datetime, until: datetime, now: datetime, served: int | None = None
) -> Report:
    """Look back upon a span of time.

    Args:
        reader: The hub.
        since: Its begin.
        until: Its end, later than its begin by at most `LONGEST`; what lies behind now is left out.
        now: Now.
        served: Customers served; those of the network model if not said.

    Raises:
        StoreError: The database cannot be read.
        ValueError: The span is empty, or too long.
    """
    until = min(until, now)
    if not timedelta() < until - since <= LONGEST:
        raise ValueError(f"a span of {until - since}; wanted is one of up to {LONGEST.days} days that has begun")
    records = _Patient(reader.records)
    unsaid: list[str] = []
    books = await balances(reader, since, until)
    minutes = await list_minutes(records, since - _MARGIN, until, limit=_MOST_MINUTES)
    bars, width = _bars(books, minutes, since, until)
    if all(bar.received is None for bar in bars):
        unsaid.append("how messages came in over the span: fewer than two minutes of it in a row are kept")
    span = await load_span(records, since=since, until=until, now=now)
    served = served if served is not None else await count_customers(records)
    if not served:
        unsaid.append("indices: neither a network model nor premises say how many customers are served")
    reviews, is_whole = await review_incidents(
        records, since=since, until=until, minutes=span.minutes, most=_MOST_INCIDENTS
    )
    if not is_whole:
        unsaid.append(f"incidents behind the first {_MOST_INCIDENTS}: figures of incidents are of these")
    answers, at_once = await draw_answers(reader, since, until)
    if at_once:
        unsaid.append(
            f"how long {at_once} of the requests drawn waited for their answer: they were answered in one step by this"
            " hub, of which one instant is kept"
        )
    deliveries = await draw_deliveries(reader, since, until)
    if not deliveries:
        unsaid.append("which partner was slow: no delivery of the span that has arrived is kept")
    notices, is_counted = await _notices(records, since, until)
    if not is_counted:
        unsaid.append(f"notices behind the first {_MOST_NOTICES}")
    within = [one for one in minutes if since <= one.at <= until]
    if not within:
        unsaid.append("alarms and customers out by the minute: no minute of the span is kept")
    out = [(one.customers, one.at) for one in within if one.customers is not None]
    if until == now and out:
        out.append((sum(one.customers for one in await list_standings(records) if not one.is_within), now))
    peak, peak_at = max(out, key=lambda one: one[0], default=(None, None))
    largest = sorted(reviews, key=lambda one: (-one.customer_minutes, -one.customers, one.began_at))
    return Report(
        since=since,
        until=until,
        made_at=now,
        first_hour=hour_of(since),
        last_hour=hour_of(until - timedelta.resolution) + _HOUR,
        incoming=_total(books, Account.IN),
        outgoing=_total(books, Account.OUT),
        partners=_by_partner(books),
        answers=answers,
        deliveries=deliveries,
        served=served,
        unplanned=indices_of(span.unplanned, customers=served) if served else None,
        planned=indices_of(span.planned, customers=served) if served else None,
        count=len(reviews),
        open_count=sum(one.state == "open" for one in reviews),
        peak=peak,
        peak_at=peak_at if peak else None,
        first_error=errors_of(one.first_error for one in reviews if not one.is_planned),
        last_error=errors_of(one.last_error for one in reviews if not one.is_planned),
        incidents=tuple(largest[:_SHOWN]),
        hazards=tuple(one for one in reviews if one.hazards)[:_SHOWN],
        notices=notices,
        dead=await _dead(reader, books, since, until),
        alarms=_alarms(within),
        bars=bars,
        width=width,
        unsaid=tuple(unsaid),
    )


def _bars(
    books: Sequence[Balance], minutes: Sequence[MinuteRecord], since: datetime, until: datetime
) -> tuple[tuple[Bar, ...], timedelta]:
    if until - since <= _BY_MINUTES:
        return bars_of(minutes, since=since, until=until)
    counted = {one.hour: one for one in counted_of(book.line for book in books)}
    first, hours = hour_of(since), int((hour_of(until) - hour_of(since)) / _HOUR) + 1
    together = -(-hours // 60)
    bars = []
    for place in range(0, hours, together):
        own = [counted[hour] for at in range(place, place + together) if (hour := first + at * _HOUR) in counted]
        received, refused = sum(one.received for one in own), sum(one.refused for one in own)
        bars.append(Bar(at=first + place * _HOUR, received=received, refused=refused))
    return tuple(bars), together * _HOUR


def _total(books: Iterable[Balance], account: Account, partner: str = "") -> Totals:
    own = [one for one in books if one.line.account is account]
    return Totals(
        partner=partner,
        account=account,
        offered=sum(one.line.received for one in own),
        done=sum(one.line.delivered for one in own),
        refused=sum(one.line.refused for one in own),
        repeats=sum(one.line.repeats for one in own),
        dead=sum(one.line.dead for one in own),
        waiting=sum(one.waiting for one in own),
        missing=sum(abs(one.missing) for one in own),
    )


def _by_partner(books: Iterable[Balance]) -> tuple[Totals, ...]:
    found: dict[tuple[str, Account], list[Balance]] = {}
    for one in books:
        found.setdefault((one.line.partner, one.line.account), []).append(one)
    return tuple(_total(own, account, partner) for (partner, account), own in sorted(found.items()))


async def _notices(records: Records, since: datetime, until: datetime) -> tuple[tuple[tuple[str, int], ...], bool]:
    counts: Counter[str] = Counter()
    wanted = Selection(since=since, until=until, limit=_PAGE)
    while counts.total() < _MOST_NOTICES:
        page = await records.select(NOTICES, wanted)
        counts.update(one.state for one in page)
        if len(page) < _PAGE:
            return tuple(sorted(counts.items())), True
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return tuple(sorted(counts.items())), False


async def _dead(reader: Reader, books: Iterable[Balance], since: datetime, until: datetime) -> tuple[DeadLetter, ...]:
    """Dead letters as they are now, the first few of each partner that has some."""
    found: list[DeadLetter] = []
    for partner in sorted({one.line.partner for one in books if one.line.account is Account.OUT and one.line.dead}):
        wanted = DeliverySelection(
            partner=partner, states=(DeliveryState.DEAD,), since=since, before=until, limit=_SHOWN
        )
        found += [
            DeadLetter(
                number=one.number,
                partner=one.partner,
                verb=one.verb,
                noun=one.noun,
                given_up_at=one.due_at,
                reason=one.reason,
            )
            for one in await reader.outbox.select(wanted)
        ]
        if len(found) >= _SHOWN:
            break
    return tuple(found[:_SHOWN])


def _alarms(minutes: Iterable[MinuteRecord]) -> tuple[Alarm, ...]:
    """Each alarm that stood in the span once, as it was seen last."""
    found: dict[tuple[str, datetime], Alarm] = {}
    for minute in minutes:
        for alarm in minute.alarms:
            found[alarm.key, alarm.since] = alarm
    return tuple(sorted(found.values(), key=lambda one: one.since))


class _Patient:
    """Records to be read, which let others work before each page, and at times between two objects."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._found = 0

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        self._found += 1
        if self._found % 50 == 0:
            await asyncio.sleep(0)
        return await self._records.find(collection, mrid)

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        return await self._records.find_by_key(collection, key)

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        await asyncio.sleep(0)
        return await self._records.select(collection, selection)

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        await self._records.save(collection, stored)

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        await self._records.save_all(collection, stored)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        await self._records.drop(collection, mrid)
