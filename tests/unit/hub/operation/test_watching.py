"""The watcher: alarms raised once, kept, shown and cleared."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog

from cimcare.exchange.audit import Action
from cimcare.exchange.booking import book_put
from cimcare.exchange.ledger import Account, Ends, hour_of
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Partner, Retry
from cimcare.exchange.ports import Selection
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Store, StoreError, Transaction
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation import watching
from cimcare.hub.operation.alarms import Alarm, AlarmLimits, AlarmName, Severity
from cimcare.hub.operation.watching import ALARMS, Changes, KeptAlarm, Watcher, changes_of, list_alarms
from cimcare.model.nouns import Role
from cimcare.store.memory import MemoryStore
from tests.support.stored import a_delivery

NOON = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
EVERY = timedelta(seconds=15)
HOUR = timedelta(hours=1)
OMS = Partner(name="oms", source="OMS-REAL", url="http://oms", role=Role.OMS)
GIS = Partner(name="gis", source="GIS", url="http://gis")


class Scene:
    """A store, a clock, and the watchers of several processes."""

    def __init__(self) -> None:
        self.now = NOON
        self.store: Store = MemoryStore()
        self.partners = [OMS, GIS]
        self.logged: list[structlog.typing.EventDict] = []

    def clock(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def process(self, name: str = "one", *, silence: timedelta | None = None, store: Store | None = None) -> "Process":
        return Process(self, name, silence, store or self.store)

    async def put(self, partner: str = "oms", *, at: datetime | None = None) -> None:
        """Something to deliver, which nobody delivers."""
        async with self.store.transaction() as transaction:
            await book_put(transaction, a_delivery(partner=partner, created_at=at or self.now))

    async def count(
        self,
        column: Ends,
        *,
        partner: str = "oms",
        at: datetime | None = None,
        account: Account = Account.OUT,
        by: int = 1,
    ) -> None:
        async with self.store.transaction() as transaction:
            await transaction.ledger.count(partner, at or self.now, account, column, by)

    async def receive(self, source: str = "OMS-REAL", *, at: datetime | None = None) -> None:
        """Something came, and was taken."""
        for column in (Ends.RECEIVED, Ends.DELIVERED):
            await self.count(column, partner=source, account=Account.IN, at=at)

    async def trail(self) -> list[tuple[str, str]]:
        """Alarms in the audit trail: which, and whether raised or cleared."""
        rows = await self.store.reader.audit.rows()
        return [(row.subject, row.details.partition(":")[0]) for row in rows if row.action is Action.ALARM]

    async def kept(self) -> dict[str, KeptAlarm]:
        found = await self.store.reader.records.select(ALARMS, Selection())
        return {str(one.mrid): one.body for one in found}


class Process:
    """One process of a hub, as far as alarms go."""

    def __init__(self, scene: Scene, name: str, silence: timedelta | None, store: Store) -> None:
        capture = structlog.testing.LogCapture()
        capture.entries = scene.logged
        self.circuits: dict[str, Circuit] = {}
        self.metrics = Metrics()
        self.changes = 0
        self.watcher = Watcher(
            store=store,
            limits=AlarmLimits(queue=timedelta(minutes=5), silence=silence, failures=0.2),
            partners=lambda: scene.partners,
            circuits=lambda: self.circuits,
            metrics=self.metrics,
            clock=scene.clock,
            process=name,
            every=EVERY,
            logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture]),
            on_change=self.note_change,
        )

    def note_change(self) -> None:
        self.changes += 1

    async def look(self) -> list[str]:
        """Look; the keys of what is active."""
        await self.watcher.look()
        return list(self.watcher.active)

    def lose(self, partner: Partner) -> None:
        """The partner does not answer."""
        circuit = self.circuits.setdefault(partner.name, Circuit(Retry(), opens_after=1))
        circuit.note(is_reached=False, reason="refused", now=NOON, chance=random.Random(1))

    def gauges(self, start: str) -> dict[str, float]:
        lines = self.metrics.render().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(f"cimcare_{start}"))
        return {name.removeprefix("cimcare_"): float(value) for name, value in pairs}


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -------------------------------------------------------------------------------------------- raised and cleared


async def test_an_alarm_is_raised_once_and_cleared_once(scene: Scene) -> None:
    """The trail and the log tell of what changed, not of every look."""
    process = scene.process()
    await scene.put()
    assert await process.look() == []
    scene.later(minutes=6)
    for _ in range(3):
        assert await process.look() == ["queue-age oms"]
        scene.later(seconds=15)
    (alarm,) = await list_alarms(scene.store.reader.records)
    assert alarm.since == NOON + timedelta(minutes=6)
    async with scene.store.transaction() as transaction:
        (delivery,) = await transaction.outbox.claim("oms", now=scene.now, until=scene.now, limit=1)
        await transaction.outbox.succeed([(delivery.number, 1)], now=scene.now)
        await transaction.ledger.count("oms", delivery.created_at, Account.OUT, Ends.DELIVERED)
    assert await process.look() == []
    assert await process.look() == []
    assert await scene.trail() == [("queue-age oms", "raised"), ("queue-age oms", "cleared")]
    assert [(one["event"], one["log_level"], one["partner"]) for one in scene.logged] == [
        ("alarm raised", "warning", "oms"),
        ("alarm cleared", "info", "oms"),
    ]
    assert process.changes == 2


async def test_several_processes_raise_an_alarm_once(scene: Scene) -> None:
    """Each sees the same dead letter, and one message to the one on duty is enough."""
    processes = [scene.process("one"), scene.process("two")]
    await scene.put(at=NOON - HOUR)
    for process in processes * 2:
        assert await process.look() == ["queue-age oms"]
        scene.later(seconds=7)
    assert await scene.trail() == [("queue-age oms", "raised")]
    assert (await scene.kept())["queue-age oms"].seen_by == "one"


async def test_what_only_one_process_sees_another_does_not_clear(scene: Scene) -> None:
    """A circuit is open in the process that found it; the other has not tried."""
    one, two = scene.process("one"), scene.process("two")
    one.lose(OMS)
    for _ in range(10):
        assert await one.look() == await two.look() == ["not-answering oms"]
        scene.later(seconds=15)
    one.circuits["oms"].note(is_reached=True, reason="", now=NOON, chance=random.Random(1))
    assert await one.look() == await two.look() == []
    assert await scene.trail() == [("not-answering oms", "raised"), ("not-answering oms", "cleared")]


async def test_an_alarm_of_a_process_that_is_gone_is_cleared_after_a_while(scene: Scene) -> None:
    """Nobody else would."""
    one, two = scene.process("one"), scene.process("two")
    one.lose(OMS)
    await one.look()
    scene.later(seconds=60)
    assert await two.look() == ["not-answering oms"]
    scene.later(seconds=1)
    assert await two.look() == []


async def test_a_restart_does_not_forget_since_when_it_stands(scene: Scene) -> None:
    """Since when is the first thing that is asked."""
    await scene.put(at=NOON - HOUR)
    await scene.process("before").look()
    scene.later(hours=3)
    after = scene.process("after")
    assert await after.look() == ["queue-age oms"]
    assert after.watcher.active["queue-age oms"].since == NOON
    assert (await scene.kept())["queue-age oms"].seen_by == "after"
    assert await scene.trail() == [("queue-age oms", "raised")]


def an_alarm(name: AlarmName, since: datetime = NOON, found: str = "it") -> Alarm:
    return Alarm(name=name, partner="", level=Severity.WARNING, since=since, found=found, remedy="do")


def test_changes_keep_since_and_tell_what_was_found_now() -> None:
    """The list shows how it is, and when it began."""
    before, now = an_alarm(AlarmName.LEDGER), an_alarm(AlarmName.LEDGER, since=NOON + HOUR, found="more")
    kept = {"ledger": KeptAlarm(alarm=before, seen_at=NOON, seen_by="me")}
    changes = changes_of(kept, {"ledger": now}, process="me", now=NOON + HOUR, hold=HOUR)
    assert changes == Changes(seen=(msgspec.structs.replace(now, since=NOON),))
    assert changes_of(kept, {"ledger": now}, process="you", now=NOON + HOUR, hold=HOUR).is_nothing


class Broken:
    """A store that cannot write."""

    def __init__(self, store: Store) -> None:
        self.reader = store.reader

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        raise StoreError("disk full")
        yield

    async def reclaim(self) -> None: ...

    async def close(self) -> None: ...


async def test_what_cannot_be_kept_is_shown_all_the_same(scene: Scene) -> None:
    """A full disk is when alarms matter."""
    process = scene.process(store=Broken(scene.store))
    await scene.put(at=NOON - HOUR)
    for _ in range(2):
        with pytest.raises(StoreError):
            await process.watcher.look()
        scene.later(minutes=1)
    assert process.watcher.active["queue-age oms"].since == NOON
    assert process.gauges("alarm") == {'alarm{name="queue-age",partner="oms"}': 1}


# ---------------------------------------------------------------------------------------------------- ledger


async def test_an_imbalance_of_days_ago_is_found_and_stays_until_it_is_mended(scene: Scene) -> None:
    """It is not gone because nobody looks so far back all the time."""
    process = scene.process()
    await scene.count(Ends.RECEIVED, at=NOON - timedelta(days=3))
    assert await process.look() == ["ledger oms"]
    scene.later(minutes=5)
    assert await process.look() == ["ledger oms"]
    assert process.gauges("ledger") == {"ledger_missing": 1}
    await scene.count(Ends.REFUSED, at=NOON - timedelta(days=3))
    assert await process.look() == []
    assert process.gauges("ledger") == {"ledger_missing": 0}


async def test_the_whole_ledger_is_looked_at_once_an_hour(scene: Scene) -> None:
    """The last two hours always are; a week of them every few seconds would be a burden."""
    process = scene.process()
    assert await process.look() == []
    await scene.count(Ends.RECEIVED, at=NOON - timedelta(days=3))
    scene.later(minutes=59)
    assert await process.look() == []
    scene.later(minutes=1)
    assert await process.look() == ["ledger oms"]


async def test_hours_that_are_off_are_looked_at_again_even_if_they_are_many(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the whole is looked at."""
    monkeypatch.setattr(watching, "_MOST_LOOKED_AT_AGAIN", 1)
    process = scene.process()
    for hours in (30, 40, 50):
        await scene.count(Ends.RECEIVED, at=NOON - hours * HOUR)
    for _ in range(3):
        assert await process.look() == ["ledger oms"]
        assert process.gauges("ledger") == {"ledger_missing": 3}
        scene.later(seconds=15)


async def test_other_hours_of_the_partner_do_not_hide_one_that_is_off(scene: Scene) -> None:
    """Nor do other accounts of the same hour."""
    process = scene.process()
    await scene.count(Ends.RECEIVED, at=NOON - 30 * HOUR)
    await scene.count(Ends.REFUSED, at=NOON - 30 * HOUR, account=Account.IN)
    for missing in (2, 2):
        assert await process.look() == ["ledger", "ledger oms"]
        assert process.gauges("ledger") == {"ledger_missing": missing}
        scene.later(seconds=15)


# --------------------------------------------------------------------------------------------------- silence


async def test_a_partner_is_silent_from_when_it_was_heard_last(scene: Scene) -> None:
    """The ledger counts by the hour; while a process runs it knows better."""
    process = scene.process(silence=timedelta(minutes=10))
    await scene.receive()
    await process.look()
    scene.later(minutes=5)
    await scene.receive()
    assert await process.look() == []
    scene.later(minutes=10)
    assert await process.look() == []
    scene.later(seconds=1)
    assert await process.look() == ["silent oms"]
    await scene.receive()
    assert await process.look() == []


async def test_a_partner_heard_for_the_first_time_is_not_silent(scene: Scene) -> None:
    """Nor is one of which nothing has come since the hub was set up a moment ago."""
    process = scene.process(silence=timedelta(minutes=10))
    assert await process.look() == []
    scene.later(minutes=9)
    await scene.receive()
    assert await process.look() == []
    scene.later(minutes=9)
    assert await process.look() == []


async def test_silence_from_before_a_restart_counts(scene: Scene) -> None:
    """As far as the hours of the ledger tell."""
    await scene.receive(at=NOON - 3 * HOUR)
    process = scene.process(silence=3 * HOUR)
    assert await process.look() == []
    process = scene.process(silence=HOUR)
    assert await process.look() == ["silent oms"]


async def test_a_silence_longer_than_the_ledger_is_looked_back_goes_on_after_a_restart(scene: Scene) -> None:
    """An alarm that clears itself by a restart would hide what is worst."""
    await scene.receive(at=NOON)
    silence = timedelta(minutes=10)
    scene.later(hours=3)
    assert await scene.process("one", silence=silence).look() == ["silent oms"]
    scene.later(days=30)
    two = scene.process("two", silence=silence)
    assert await two.look() == ["silent oms"]
    assert two.watcher.active["silent oms"].since == NOON + 3 * HOUR


# --------------------------------------------------------------------------------------------------- overload


async def test_messages_turned_away_are_an_overload_for_a_while(scene: Scene) -> None:
    """The counter of the process tells; the alarm stands for some minutes after it stopped."""
    process = scene.process()
    assert await process.look() == []
    process.metrics.count_refusal("REF-103")
    assert await process.look() == []
    process.metrics.count_refusal("EXC-108")
    assert await process.look() == ["overload"]
    scene.later(minutes=5)
    assert await process.look() == ["overload"]
    scene.later(seconds=1)
    assert await process.look() == []


# ---------------------------------------------------------------------------------------------------- gauges


async def test_gauges_show_what_each_partner_has_not_got(scene: Scene) -> None:
    """A curve says more than an alarm."""
    process = scene.process()
    await scene.put(at=NOON - 2 * HOUR)
    await scene.put()
    await scene.put("reply host:1")
    await scene.put("reply host:2")
    await scene.put("gone")
    process.lose(OMS)
    process.lose(msgspec.structs.replace(GIS, name="gone"))
    await process.look()
    assert process.gauges("deliveries_waiting") == {
        'deliveries_waiting{partner="oms"}': 2,
        'deliveries_waiting{partner="gis"}': 0,
        'deliveries_waiting{partner="reply"}': 2,
        'deliveries_waiting{partner="other"}': 1,
    }
    assert process.gauges("delivery_oldest")['delivery_oldest_seconds{partner="oms"}'] == 7200
    assert process.gauges("circuit") == {'circuit_open{partner="oms"}': 1, 'circuit_open{partner="gis"}': 0}


async def test_partners_that_are_gone_have_nothing_left(scene: Scene) -> None:
    """A curve that stays at its last value looks like a partner that is stuck."""
    process = scene.process()
    await scene.put("gis")
    await process.look()
    scene.partners = [OMS]
    await process.look()
    assert process.gauges("deliveries_waiting") == {
        'deliveries_waiting{partner="oms"}': 0,
        'deliveries_waiting{partner="gis"}': 0,
        'deliveries_waiting{partner="other"}': 1,
    }


async def test_an_alarm_that_was_cleared_is_at_zero(scene: Scene) -> None:
    """So that a collector sees the end of it."""
    process = scene.process()
    process.metrics.count_refusal("EXC-108")
    await process.look()
    assert process.gauges("alarm") == {'alarm{name="overload",partner=""}': 1}
    scene.later(hours=1)
    await process.look()
    assert process.gauges("alarm") == {'alarm{name="overload",partner=""}': 0}


def test_labels_are_names_of_partners_alone() -> None:
    """A collector keeps every label that it ever saw."""
    metrics = Metrics()
    metrics.know_partners(["oms"])
    for partner in ("oms", "oms", "reply host:1", "reply host:2", "somebody"):
        metrics.count_delivery(partner, "delivered")
    metrics.set_circuits({"oms": True, "else": False})
    text = metrics.render().decode()
    assert 'cimcare_deliveries_total{outcome="delivered",partner="oms"} 2.0' in text
    assert 'cimcare_deliveries_total{outcome="delivered",partner="reply"} 2.0' in text
    assert 'cimcare_deliveries_total{outcome="delivered",partner="other"} 1.0' in text
    assert 'cimcare_circuit_open{partner="other"} 0.0' in text
    assert "host:" not in text


def test_hours_begin_where_the_ledger_begins_them() -> None:
    """The tests above count on it."""
    assert hour_of(NOON) == NOON.replace(minute=0)
