"""Watches for alarms: gathers what is judged, keeps what was found, and tells of what is new.

Active alarms are in the database, so that several processes raise each once and a restart does not forget since when
it stands. What one process has found another does not clear, for each knows its own wires and its own overload; unless
the one that found it has not been heard of for long.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
import structlog

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ledger import Account, Balance, Line
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Clock, Records, Selection, Stored
from cimcare.exchange.ports import Collection as Shelf
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Reader, Store, StoreError
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation.alarms import Alarm, AlarmLimits, AlarmName, Situation, evaluate, is_watched
from cimcare.hub.operation.balance import balances
from cimcare.hub.outgoing.halting import list_halts
from cimcare.model.identity import MRID

__all__ = ["ALARMS", "Changes", "KeptAlarm", "Watcher", "changes_of", "list_alarms"]

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_LEDGER_DAYS = 7
"""How far back the ledger is held against what waits. Older hours are left to `cimcare ledger`."""

_WHOLE_LEDGER_EVERY = timedelta(hours=1)
_MOST_LOOKED_AT_AGAIN = 100
_MANY = 10_000
_ACTOR = "hub"


class KeptAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An active alarm in the database: which process found it, and when it did last."""

    alarm: Alarm
    seen_at: datetime
    seen_by: str


ALARMS: Shelf[KeptAlarm] = Shelf("hub.alarms", KeptAlarm)
"""Active alarms under their keys."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be written. `seen` are those that stand as they stood, with what was found now."""

    raised: tuple[Alarm, ...] = ()
    seen: tuple[Alarm, ...] = ()
    cleared: tuple[Alarm, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.raised or self.seen or self.cleared)


async def list_alarms(records: Records) -> tuple[Alarm, ...]:
    """All active alarms, the oldest first. Raises StoreError."""
    return tuple(kept.alarm for kept in (await _kept(records)).values())


def changes_of(
    kept: Mapping[str, KeptAlarm], found: Mapping[str, Alarm], *, process: str, now: datetime, hold: timedelta
) -> Changes:
    """What follows from what one process has found.

    Args:
        kept: Active alarms by key.
        found: What it has found, by key.
        process: Its name.
        now: When.
        hold: How long an alarm stands that the process that found it does not see to.
    """

    def may_change(key: str) -> bool:
        return kept[key].seen_by == process or now - kept[key].seen_at > hold

    return Changes(
        raised=tuple(alarm for key, alarm in found.items() if key not in kept),
        seen=tuple(
            msgspec.structs.replace(alarm, since=kept[key].alarm.since)
            for key, alarm in found.items()
            if key in kept and may_change(key)
        ),
        cleared=tuple(one.alarm for key, one in kept.items() if key not in found and may_change(key)),
    )


class Watcher:
    """Looks for alarms from time to time. One object for a process.

    Args:
        store: What is judged, and where alarms are kept.
        limits: When an alarm is raised.
        partners: All partners that are configured now.
        circuits: The circuits of this process by name of the partner.
        metrics: Where gauges are set, and overload is counted.
        clock: Now.
        process: A name that no other process has.
        every: How often it looks.
        logger: Where it is noted what was raised and cleared.
        brokers: How it is with the brokers, seen from this process.
        on_change: Told when other alarms are active than before.
    """

    def __init__(
        self,
        *,
        store: Store,
        limits: AlarmLimits,
        partners: Callable[[], Collection[Partner]],
        circuits: Callable[[], Mapping[str, Circuit]],
        metrics: Metrics,
        clock: Clock,
        process: str,
        every: timedelta,
        logger: structlog.typing.FilteringBoundLogger,
        brokers: Callable[[], Collection[BrokerState]] = tuple,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.active: dict[str, Alarm] = {}
        self._store = store
        self._limits = limits
        self._partners = partners
        self._circuits = circuits
        self._metrics = metrics
        self._clock = clock
        self._process = process
        self._hold = 4 * every
        self._log = logger
        self._brokers = brokers
        self._on_change = on_change
        self._books = _Books(store.reader)
        self._receipts = _Receipts()
        self._turned_away = 0
        self._turned_away_at: datetime | None = None

    async def look(self) -> None:
        """Look once. Raises StoreError; what was found is shown all the same."""
        now = self._clock()
        situation = await self._situation(now)
        self._set_gauges(situation)
        found = {alarm.key: alarm for alarm in evaluate(situation, self._limits)}
        try:
            changes, active = await self._keep(found, now)
        except StoreError:
            self._show({**found, **{key: alarm for key, alarm in self.active.items() if key in found}})
            raise
        for alarm in changes.raised:
            self._log.warning("alarm raised", **_told(alarm))
        for alarm in changes.cleared:
            self._log.info("alarm cleared", **_told(alarm))
        self._show(active)

    async def _situation(self, now: datetime) -> Situation:
        reader = self._store.reader
        partners = tuple(self._partners())
        silence = self._limits.silence or timedelta()
        kept = await _kept(reader.records)
        books = await self._books.look(now, now - max(_LEDGER_DAYS * _DAY, silence + 2 * _HOUR))
        if self._metrics.turned_away > self._turned_away:
            self._turned_away, self._turned_away_at = self._metrics.turned_away, now
        names = [partner.name for partner in partners]
        self._metrics.know_partners(names)
        return Situation(
            now=now,
            partners=partners,
            backlogs=await reader.outbox.backlogs(),
            halts=await list_halts(reader.records),
            circuits={name: circuit for name, circuit in self._circuits().items() if name in names},
            balances=books,
            received_at=self._receipts.note([one.line for one in books], partners, kept, silence, now),
            turned_away_at=self._turned_away_at,
            brokers=tuple(self._brokers()),
        )

    def _set_gauges(self, situation: Situation) -> None:
        self._metrics.set_backlogs(situation.backlogs, situation.now)
        self._metrics.set_circuits({name: circuit.is_open for name, circuit in situation.circuits.items()})
        for broker in situation.brokers:
            sessions = {link.purpose: link.is_open for link in broker.links}
            self._metrics.set_broker(broker.name, sessions, sum(one.attached for one in broker.consumers))
        self._metrics.set_missing(sum(abs(one.missing) for one in situation.balances))

    async def _keep(self, found: Mapping[str, Alarm], now: datetime) -> tuple[Changes, dict[str, Alarm]]:
        """Write what follows, each change once whichever process sees it first; what it was, and all that is active."""
        kept = await _kept(self._store.reader.records)
        changes = changes_of(kept, found, process=self._process, now=now, hold=self._hold)
        if not changes.is_nothing:
            async with self._store.transaction() as transaction:
                kept = await _kept(transaction.records)
                changes = changes_of(kept, found, process=self._process, now=now, hold=self._hold)
                for alarm in (*changes.raised, *changes.seen):
                    body = KeptAlarm(alarm=alarm, seen_at=now, seen_by=self._process)
                    stored = Stored(mrid=MRID(alarm.key), body=body, created_at=alarm.since, modified_at=now)
                    await transaction.records.save(ALARMS, stored)
                for alarm in changes.cleared:
                    await transaction.records.drop(ALARMS, MRID(alarm.key))
                for word, alarms in (("raised", changes.raised), ("cleared", changes.cleared)):
                    for alarm in alarms:
                        details = f"{word}: {alarm.found}"
                        await transaction.audit.append(
                            Note(at=now, action=Action.ALARM, actor=_ACTOR, subject=alarm.key, details=details)
                        )
        active = {key: one.alarm for key, one in kept.items()}
        active.update({alarm.key: alarm for alarm in (*changes.raised, *changes.seen)})
        for alarm in changes.cleared:
            del active[alarm.key]
        return changes, active

    def _show(self, active: dict[str, Alarm]) -> None:
        is_other = active.keys() != self.active.keys()
        self.active = active
        self._metrics.set_alarms([(alarm.name.value, alarm.partner) for alarm in active.values()])
        if is_other:
            self._on_change()


class _Books:
    """The ledger, looked at as a whole from time to time, and else where it moves or is off."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._whole_at: datetime | None = None
        self._off: list[Line] = []

    async def look(self, now: datetime, since: datetime) -> tuple[Balance, ...]:
        """Balances of the hours that count: the last two, and those that are off; of all since then at times."""
        found: dict[tuple[datetime, str, Account], Balance] = {}
        is_long_ago = self._whole_at is None or now - self._whole_at >= _WHOLE_LEDGER_EVERY
        if is_long_ago or len(self._off) > _MOST_LOOKED_AT_AGAIN:
            days = [since + number * _DAY for number in range((now - since) // _DAY + 1)]
            for first, last in pairwise((*days, now + _HOUR)):
                found.update(_by_key(await balances(self._reader, first, last)))
                await asyncio.sleep(0)
            self._whole_at = now
        else:
            found.update(_by_key(await balances(self._reader, now - _HOUR, now + _HOUR)))
            for line in self._off:
                again = _by_key(await balances(self._reader, line.hour, line.hour + _HOUR, line.partner))
                found.update({key: balance for key, balance in again.items() if key == _key_of(line)})
        self._off = [one.line for one in found.values() if one.missing]
        return tuple(found.values())


def _by_key(found: Collection[Balance]) -> dict[tuple[datetime, str, Account], Balance]:
    return {_key_of(one.line): one for one in found}


def _key_of(line: Line) -> tuple[datetime, str, Account]:
    return line.hour, line.partner, line.account


class _Receipts:
    """When something came last from each partner, as far as the ledger shows: it counts by the hour.

    So the instant is that of the look that saw the count of an hour rise; at first it is the end of the last hour in
    which anything was counted, or the first look.
    """

    def __init__(self) -> None:
        self._counts: dict[str, tuple[datetime, int]] = {}
        self._last: dict[str, datetime] = {}

    def note(
        self,
        lines: Collection[Line],
        partners: Collection[Partner],
        kept: Mapping[str, KeptAlarm],
        silence: timedelta,
        now: datetime,
    ) -> dict[str, datetime]:
        """The instants by name, for all partners that are watched."""
        newest: dict[str, tuple[datetime, int]] = {}
        for line in lines:
            if line.account is Account.IN and line.received:
                newest[line.partner] = max(newest.get(line.partner, (line.hour, 0)), (line.hour, line.received))
        for partner in partners:
            if not is_watched(partner):
                continue
            count = newest.get(partner.source)
            if partner.name not in self._last:
                self._last[partner.name] = _first_guess(partner, count, kept, silence, now)
            elif count is not None and self._counts.get(partner.name) != count:
                self._last[partner.name] = now
            if count is not None:
                self._counts[partner.name] = count
        return {partner.name: self._last[partner.name] for partner in partners if is_watched(partner)}


def _first_guess(
    partner: Partner,
    count: tuple[datetime, int] | None,
    kept: Mapping[str, KeptAlarm],
    silence: timedelta,
    now: datetime,
) -> datetime:
    if count is not None:
        return min(count[0] + _HOUR, now)
    known = kept.get(f"{AlarmName.SILENT} {partner.name}")
    return now if known is None else known.alarm.since - silence


async def _kept(records: Records) -> dict[str, KeptAlarm]:
    found = await records.select(ALARMS, Selection(limit=_MANY))
    return {str(stored.mrid): stored.body for stored in found}


def _told(alarm: Alarm) -> dict[str, str]:
    return {"alarm": alarm.name.value, "partner": alarm.partner, "level": alarm.level.value, "found": alarm.found}
