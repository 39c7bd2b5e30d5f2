"""How things stood at each minute: what was counted, what waited, which alarms stood, how many customers were out.

Ledger, queues, alarms and extents of outages say how it is now, and not how it was. So once a minute one process reads
them and keeps what they say; nothing is added to the way of a message. Everything else about the past is kept with
instants anyway: messages, deliveries, estimates, words of restoration, the audit trail.

A minute in which no hub ran is not there, and no minute is made up for it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from cimcare.exchange.ledger import Account, Line, hour_of
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.ports import Collection, Records, Selection
from cimcare.exchange.ports import Stored as Kept
from cimcare.exchange.store import Reader, Store
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.operation.watching import list_alarms
from cimcare.hub.outgoing.halting import list_halts
from cimcare.model.identity import MRID
from cimcare.systems.oms.standing import Standing, list_standings

__all__ = [
    "MINUTES",
    "STANDINGS",
    "Bar",
    "Counted",
    "MinuteRecord",
    "Pace",
    "Recent",
    "StandingsRecord",
    "bars_of",
    "counted_between",
    "counted_of",
    "find_minute",
    "find_standings",
    "keep_minute",
    "keeps_since",
    "list_minutes",
    "load_recent",
]

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_GAP = 3 * _MINUTE
"""Longer than this between two minutes that are kept, no hub was running."""

_MOST_PARTNERS = 200
_MOST_STANDINGS = 200
_LOOKED_BACK = 5
"""How many minutes before an instant the last one that is kept may lie; before that no hub was running."""

_FORGOTTEN_TOGETHER = 10
"""Minutes removed with each that is kept, so that a shorter setting is caught up with."""


class Counted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger had counted of one hour, all partners together.

    `received`, `accepted`, `refused` and `repeats` are of what came in; `put_out` is what was to be delivered, with its
    ends `delivered` and `dead`.
    """

    hour: datetime
    received: int = 0
    accepted: int = 0
    refused: int = 0
    repeats: int = 0
    put_out: int = 0
    delivered: int = 0
    dead: int = 0


class MinuteRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it stood at an instant. Its mRID is the minute that holds it.

    `counted` are the hour and the one before. `incidents` are open ones, `customers` those out by them, each once;
    None where the outage management is not built in here.
    """

    at: datetime
    counted: tuple[Counted, ...] = ()
    backlogs: tuple[Backlog, ...] = ()
    halted: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    incidents: int | None = None
    customers: int | None = None


class StandingsRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What open incidents covered at the instant of the minute; the largest, and how many `more` there were."""

    standings: tuple[Standing, ...]
    more: int = 0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast messages came in over a time up to now."""

    received: int
    over: timedelta

    @property
    def per_hour(self) -> float:
        """As for a whole hour."""
        return self.received / (self.over / _HOUR)


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes kept of late, in order, and what the ledger counts `now`."""

    now: datetime
    kept: tuple[MinuteRecord, ...]
    current: tuple[Counted, ...]

    def pace(self, time: timedelta) -> Pace | None:
        """How fast messages came in over this time up to now.

        Reckoned from the last minute kept that is at least so long ago, failing that from the oldest one; None where no
        minute is kept.
        """
        since = next((one for one in reversed(self.kept) if self.now - one.at >= time), next(iter(self.kept), None))
        if since is None or self.now <= since.at:
            return None
        return Pace(received=_came_in(since, self.current), over=self.now - since.at)

    def course(self) -> tuple[tuple[datetime, Pace | None], ...]:
        """The pace from each minute kept to the next, with the instant of the latter, and that of the last minute, now.

        None where no hub ran in between.
        """
        found: list[tuple[datetime, Pace | None]] = []
        for before, after in pairwise(self.kept):
            over = after.at - before.at
            pace = Pace(received=_came_in(before, after.counted), over=over) if over <= _GAP else None
            found.append((after.at, pace))
        latest = self.pace(_MINUTE)
        if latest is not None and latest.over <= _GAP:
            found.append((self.now, latest))
        return tuple(found)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What came in from `at` on over a part of a stretch; None where no hub ran. `customers` were out at its end."""

    at: datetime
    received: int | None = None
    refused: int = 0
    customers: int | None = None


MINUTES: Collection[MinuteRecord] = Collection("hub.Minutes", MinuteRecord)
STANDINGS: Collection[StandingsRecord] = Collection("hub.Standings", StandingsRecord)
"""Beside a minute, under its mRID; none where nothing was out."""


async def keep_minute(store: Store, now: datetime, *, has_outages: bool, keep: timedelta) -> bool:
    """Keep how it stands, unless this minute has it already; and remove what is older than `keep`.

    Reads a bounded number of rows but for open incidents, of which each is read. Raises StoreError.
    """
    reader, mrid = store.reader, _mrid_of(now)
    if await reader.records.find(MINUTES, mrid) is not None:
        return False
    standings = await list_standings(reader.records) if has_outages else ()
    record = MinuteRecord(
        at=now,
        counted=counted_of(await reader.ledger.lines(hour_of(now) - _HOUR, now + _HOUR)),
        backlogs=(await reader.outbox.backlogs())[:_MOST_PARTNERS],
        halted=tuple(await list_halts(reader.records))[:_MOST_PARTNERS],
        alarms=(await list_alarms(reader.records))[:_MOST_PARTNERS],
        incidents=len(standings) if has_outages else None,
        customers=sum(one.customers for one in standings if not one.is_within) if has_outages else None,
    )
    largest = sorted(standings, key=lambda one: -one.customers)[:_MOST_STANDINGS]
    async with store.transaction() as transaction:
        records = transaction.records
        if await records.find(MINUTES, mrid) is not None:
            return False
        await records.save(MINUTES, Kept(mrid=mrid, body=record, created_at=now, modified_at=now))
        if largest:
            body = StandingsRecord(standings=tuple(largest), more=len(standings) - len(largest))
            await records.save(STANDINGS, Kept(mrid=mrid, body=body, created_at=now, modified_at=now))
        for old in await records.select(MINUTES, Selection(until=now - keep, limit=_FORGOTTEN_TOGETHER)):
            await records.drop(MINUTES, old.mrid)
            await records.drop(STANDINGS, old.mrid)
    return True


def counted_of(lines: Iterable[Line]) -> tuple[Counted, ...]:
    """Lines of the ledger by hour, all partners together."""
    found: dict[datetime, Counted] = {}
    for line in lines:
        one = found.get(line.hour) or Counted(hour=line.hour)
        if line.account is Account.IN:
            found[line.hour] = msgspec.structs.replace(
                one,
                received=one.received + line.received,
                accepted=one.accepted + line.delivered,
                refused=one.refused + line.refused,
                repeats=one.repeats + line.repeats,
            )
        else:
            found[line.hour] = msgspec.structs.replace(
                one,
                put_out=one.put_out + line.received,
                delivered=one.delivered + line.delivered,
                dead=one.dead + line.dead,
            )
    return tuple(found[hour] for hour in sorted(found))


def counted_between(before: Sequence[Counted], after: Sequence[Counted], since: datetime) -> Counted:
    """What was counted from one look, at `since`, to a later one.

    Only of hours that both of them could see: the one that holds `since`, the one before it, and those behind it.
    """
    known = {one.hour: one for one in before}
    total = Counted(hour=hour_of(since))
    for one in after:
        if one.hour < hour_of(since) - _HOUR:
            continue
        then = known.get(one.hour) or Counted(hour=one.hour)
        total = Counted(
            hour=total.hour,
            **{
                name: getattr(total, name) + getattr(one, name) - getattr(then, name)
                for name in Counted.__struct_fields__
                if name != "hour"
            },
        )
    return total


def _came_in(before: MinuteRecord, after: Sequence[Counted]) -> int:
    return max(counted_between(before.counted, after, before.at).received, 0)


def bars_of(
    minutes: Sequence[MinuteRecord], *, since: datetime, until: datetime, most: int = 60
) -> tuple[tuple[Bar, ...], timedelta]:
    """What came in over each part of a stretch, by the minutes that are kept, and how long a part is.

    There are at most `most` parts of at least a minute. What came in between two minutes belongs to the part of the
    first of them.
    """
    width = max((until - since) / most, _MINUTE)
    bars = [Bar(at=since + place * width) for place in range(max(round((until - since) / width), 1))]
    for before, after in pairwise(minutes):
        place = (before.at - since) // width
        if not 0 <= place < len(bars) or after.at - before.at > _GAP:
            continue
        counted, bar = counted_between(before.counted, after.counted, before.at), bars[place]
        bars[place] = Bar(
            at=bar.at,
            received=(bar.received or 0) + max(counted.received, 0),
            refused=bar.refused + max(counted.refused, 0),
            customers=after.customers,
        )
    return tuple(bars), width


async def find_minute(records: Records, at: datetime) -> MinuteRecord | None:
    """How it stood at an instant: as it was kept last by then; None where nothing was kept in the minutes before."""
    for back in range(_LOOKED_BACK):
        found = await records.find(MINUTES, _mrid_of(at - back * _MINUTE))
        if found is not None and found.body.at <= at:
            return found.body
    return None


async def find_standings(records: Records, minute: MinuteRecord) -> StandingsRecord:
    """What open incidents covered in a minute that is kept."""
    found = await records.find(STANDINGS, _mrid_of(minute.at))
    return found.body if found is not None else StandingsRecord(standings=())


async def list_minutes(records: Records, since: datetime, until: datetime, *, limit: int) -> tuple[MinuteRecord, ...]:
    """Minutes kept from one instant to another, in order, at most `limit`."""
    found = await records.select(MINUTES, Selection(since=since, until=until, limit=limit))
    return tuple(one.body for one in found)


async def keeps_since(records: Records) -> datetime | None:
    """The first minute that is kept; None if none is."""
    first = await records.select(MINUTES, Selection(limit=1))
    return first[0].body.at if first else None


async def load_recent(reader: Reader, now: datetime, longest: timedelta) -> Recent:
    """What was counted over the last time, of up to an hour, as far as minutes are kept. Raises StoreError."""
    kept = await list_minutes(reader.records, now - longest - 2 * _MINUTE, now, limit=int(longest / _MINUTE) + 3)
    current = counted_of(await reader.ledger.lines(hour_of(now) - 2 * _HOUR, now + _HOUR))
    return Recent(now=now, kept=kept, current=current)


def _mrid_of(at: datetime) -> MRID:
    return MRID(f"{at:%Y-%m-%dT%H:%MZ}")
