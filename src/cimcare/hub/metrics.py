"""Counters of the hub, in a registry of their own.

Several processes behind one address keep their counters in files of one folder, and each shows the sum of all: whoever
collects reaches one of them by chance. What a process that died has counted stays counted.
"""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb

__all__ = ["Metrics", "forget_worker", "share_metrics"]

_NOUNS = frozenset(Noun) | {"OperationSet"}
_VERBS = frozenset(Verb)


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


class Metrics:
    """What is counted. Labels take known words only, so that no sender can make them without end.

    Each gauge says how those of several processes become one number.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
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
        self._workers.set(1)

    def count_message(self, *, verb: str, noun: str, outcome: str, transport: str) -> None:
        """One message received and answered."""
        self._messages.labels(
            verb if verb in _VERBS else "other", noun if noun in _NOUNS else "other", outcome, transport
        ).inc()

    def count_refusal(self, code: str) -> None:
        """One finding that kept a message from being accepted."""
        self._refused.labels(code).inc()

    def count_repeat(self) -> None:
        """One repeat."""
        self._repeats.inc()

    def observe_commit(self, transactions: int) -> None:
        """One commit."""
        self._batches.observe(transactions)

    def set_waiting(self, messages: int) -> None:
        """How many messages are in work now."""
        self._waiting.set(messages)

    def render(self) -> bytes:
        """All of it as text for a collector, with what the other processes counted."""
        if not _shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(_shared[0]))
        return generate_latest(registry)
