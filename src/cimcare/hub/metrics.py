"""Counters of the hub, in a registry of their own.

Several processes behind one address keep their counters in files of one folder, and each shows the sum of all: whoever
collects reaches one of them by chance. What a process that died has counted stays counted.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import BROKER, DIRECT
from cimcare.hub.duty import Duty
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb

__all__ = ["Metrics", "forget_worker", "share_metrics"]

_NOUNS = frozenset(Noun) | {"OperationSet"}
_VERBS = frozenset(Verb)
_BUSY_CODE = "EXC-108"


_shared: list[Path] = []
"""The folder, if counters are shared."""


def share_metrics(folder: Path, worker: int) -> None:
    """Share the counters of this process with others; to be called once, before there are any.

    Args:
        folder: Where all of them keep their counters; it must exist.
        worker: Number of this process among them. One that takes the place of another goes on with its counters.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # the library looks for it there
    values.ValueClass = values.MultiProcessValue(lambda: worker)
    _shared[:] = [folder]


def forget_worker(folder: Path, worker: int) -> None:
    """Forget what is true of a process only while it runs, after its end."""
    multiprocess.mark_process_dead(worker, str(folder))


def _gravity(value: float) -> int:
    """No-go before unknown before go."""
    return {0.0: 0, -1.0: 1}.get(value, 2)


class Metrics:
    """What is counted. Labels take known words only, so that no sender can make them without end.

    Each gauge says how those of several processes become one number.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, duty: Duty = Duty.ALL) -> None:
        self._registry = CollectorRegistry()
        self._messages = Counter(
            "cimcare_messages",
            "Messages received, by what they were and what became of them.",
            ("verb", "noun", "outcome", "transport"),
            registry=self._registry,
        )
        self._refused = Counter(
            "cimcare_refused", "Findings for which messages were refused, by code.", ("code",), registry=self._registry
        )
        self._repeats = Counter("cimcare_repeats", "Messages recognised as repeats.", registry=self._registry)
        self._batches = Histogram(
            "cimcare_commit_batch",
            "Transactions made durable by one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "cimcare_queue_depth", "Messages in work.", registry=self._registry, multiprocess_mode="livesum"
        )
        self._workers = Gauge(
            "cimcare_workers",
            "Processes that serve this address.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._workers.set(duty.takes)
        self._couriers = Gauge(
            "cimcare_couriers",
            "Processes that carry deliveries and take no messages.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._couriers.set(duty is Duty.CARRY)
        self._attempts = Counter(
            "cimcare_deliveries",
            "Attempts to deliver, by what became of them.",
            ("partner", "outcome"),
            registry=self._registry,
        )
        self._notices = Counter(
            "cimcare_notices",
            "Attempts to send a notice to a customer, by kind of contact and what became of it.",
            ("kind", "outcome"),
            registry=self._registry,
        )
        self._readiness = Gauge(
            "cimcare_readiness",
            "Checks of the readiness sheet: 1 go, 0 no-go, -1 unknown; without partner what is about the hub itself.",
            ("check", "partner"),
            registry=self._registry,
            multiprocess_mode="livemostrecent",
        )
        self._drill_seconds = self._by_partner(
            "drill_seconds", "There and back of the last drill, 0 without an answer."
        )
        self._drills_heard = Counter(
            "cimcare_drills_heard",
            "Drills of others that came here; they are counted nowhere else.",
            ("result",),
            registry=self._registry,
        )
        self._backlog_waiting = self._by_partner("deliveries_waiting", "Deliveries that wait or are under way.")
        self._backlog_awaiting = self._by_partner("deliveries_awaiting", "Requests whose reply is to come later.")
        self._backlog_dead = self._by_partner("deliveries_dead", "Dead letters.")
        self._oldest = self._by_partner("delivery_oldest_seconds", "Age of the oldest delivery that waits, else 0.")
        self._circuit = self._by_partner(
            "circuit_open", "1 if the partner is spared, for it does not answer.", "livemax"
        )
        self._broker_messages = Counter(
            "cimcare_broker_messages",
            "Messages that brokers brought, by what became of them; one may count more than once.",
            ("broker", "outcome"),
            registry=self._registry,
        )
        self._broker_sessions = Gauge(
            "cimcare_broker_sessions",
            "1 while there is a session to the broker for this purpose.",
            ("broker", "purpose"),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._broker_consumers = Gauge(
            "cimcare_broker_consumers",
            "Consumers that are attached to the broker.",
            ("broker",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._missing = Gauge(
            "cimcare_ledger_missing",
            "Messages for which the ledger does not account.",
            registry=self._registry,
            multiprocess_mode="livemostrecent",
        )
        self._alarm = Gauge(
            "cimcare_alarm",
            "1 while the alarm is active.",
            ("name", "partner"),
            registry=self._registry,
            multiprocess_mode="livemostrecent",
        )
        self._labels: dict[Gauge, set[tuple[str, ...]]] = {}
        self._partners: frozenset[str] = frozenset()
        self._brokers: frozenset[str] = frozenset()
        self.turned_away = 0
        """Messages that this process has refused as too busy."""

    def count_message(self, *, verb: str, noun: str, outcome: str, transport: str) -> None:
        """One message received and answered."""
        self._messages.labels(
            verb if verb in _VERBS else "other", noun if noun in _NOUNS else "other", outcome, transport
        ).inc()

    def count_refusal(self, code: str) -> None:
        """One finding that kept a message from being accepted."""
        self._refused.labels(code).inc()
        self.turned_away += code == _BUSY_CODE

    def count_repeat(self) -> None:
        """One repeat."""
        self._repeats.inc()

    def observe_commit(self, transactions: int) -> None:
        """One commit."""
        self._batches.observe(transactions)

    def set_waiting(self, messages: int) -> None:
        """How many messages are in work now."""
        self._waiting.set(messages)

    def know_partners(self, names: Collection[str]) -> None:
        """These are the partners whose names may be labels from now on."""
        self._partners = frozenset(names)

    def know_brokers(self, names: Collection[str]) -> None:
        """These are the brokers."""
        self._brokers = frozenset(names)

    def count_broker_message(self, broker: str, outcome: str) -> None:
        """A message of a broker came to this. `outcome` is a word of the program."""
        self._broker_messages.labels(broker, outcome).inc()

    def set_broker(self, broker: str, sessions: Mapping[str, bool], consumers: int) -> None:
        """Which sessions this process has to a broker, by their purpose, and how many consumers are attached."""
        for purpose, is_open in sessions.items():
            self._broker_sessions.labels(broker, purpose).set(is_open)
        self._broker_consumers.labels(broker).set(consumers)

    def count_delivery(self, partner: str, outcome: str) -> None:
        """One attempt to deliver has ended. `outcome` is a word of the program."""
        self._attempts.labels(self._label(partner), outcome).inc()

    def count_notice(self, kind: str, outcome: str) -> None:
        """One attempt to send a notice has ended. Both are words of the program."""
        self._notices.labels(kind, outcome).inc()

    def count_drill_heard(self, result: str) -> None:
        """A drill of somebody else has been answered. `result` is that of the reply."""
        self._drills_heard.labels(result).inc()

    def set_backlogs(self, backlogs: Iterable[Backlog], now: datetime) -> None:
        """What each destination has not got."""
        waiting, awaiting, dead, oldest = (dict.fromkeys(self._partners, 0.0) for _ in range(4))
        for backlog in backlogs:
            label = self._label(backlog.partner)
            age = (now - backlog.oldest_at).total_seconds() if backlog.oldest_at is not None else 0.0
            for values_of, value in ((waiting, backlog.waiting), (awaiting, backlog.awaiting), (dead, backlog.dead)):
                values_of[label] = values_of.get(label, 0.0) + value
            oldest[label] = max(oldest.get(label, 0.0), age)
        self._fill(self._backlog_waiting, waiting)
        self._fill(self._backlog_awaiting, awaiting)
        self._fill(self._backlog_dead, dead)
        self._fill(self._oldest, oldest)

    def set_circuits(self, are_open: Mapping[str, bool]) -> None:
        """Whether this process spares each partner."""
        values_of = dict.fromkeys(self._partners, 0.0)
        for name, is_open in are_open.items():
            label = self._label(name)
            values_of[label] = max(values_of.get(label, 0.0), float(is_open))
        self._fill(self._circuit, values_of)

    def set_missing(self, messages: int) -> None:
        """How many messages the ledger does not account for."""
        self._missing.set(messages)

    def set_readiness(self, checks: Mapping[tuple[str, str], float], seconds: Mapping[str, float]) -> None:
        """The readiness sheet: the least value of each check by partner, and how long drills took by partner."""
        known = self._labels.get(self._readiness, set())
        values_of: dict[tuple[str, ...], float] = {}
        for (name, partner), value in checks.items():
            key = (name, partner and self._label(partner))
            values_of[key] = min(values_of.get(key, 1.0), value, key=_gravity)
        self._set(self._readiness, {**dict.fromkeys(known, -1.0), **values_of})
        drilled = dict.fromkeys(self._partners, 0.0)
        drilled.update({self._label(partner): value for partner, value in seconds.items()})
        self._fill(self._drill_seconds, drilled)

    def set_alarms(self, alarms: Iterable[tuple[str, str]]) -> None:
        """Names of all active alarms, each with its partner, which may be empty."""
        self._set(self._alarm, {(name, partner and self._label(partner)): 1.0 for name, partner in alarms})

    def _by_partner(self, name: str, text: str, mode: Literal["livemax", "livemostrecent"] = "livemostrecent") -> Gauge:
        return Gauge(f"cimcare_{name}", text, ("partner",), registry=self._registry, multiprocess_mode=mode)

    def _label(self, partner: str) -> str:
        """The name of a partner as a label; whoever else something goes to shares one of three."""
        if partner in self._partners or partner in self._brokers:
            return partner
        if partner.startswith(f"{BROKER} "):
            return BROKER
        return DIRECT if partner.startswith(f"{DIRECT} ") else "other"

    def _fill(self, gauge: Gauge, values_of: Mapping[str, float]) -> None:
        """Set a gauge by partner."""
        self._set(gauge, {(label,): value for label, value in values_of.items()})

    def _set(self, gauge: Gauge, values_of: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge; labels of before that have no value any more are 0, since shared ones cannot be taken away."""
        known = self._labels.setdefault(gauge, set())
        known.update(values_of)
        for labels in known:
            gauge.labels(*labels).set(values_of.get(labels, 0.0))

    def render(self) -> bytes:
        """All of it as text for a collector, with what the other processes counted."""
        if not _shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(_shared[0]))
        return generate_latest(registry)
