"""Brokers for tests: one ActiveMQ and one RabbitMQ for each test process, started at the first test that wants one.

A test may kill, freeze and restart them, since no other test of its process runs meanwhile; after it they run again.
Names are kept apart by a context of its own for each test (`PRODUCTION` in real life). Where a broker is not installed
its tests are skipped, which `CI=true` forbids.
"""

import os
import secrets
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.services import BROKERS, Broker, NotInstalledError

__all__ = ["activemq", "broker_context", "rabbitmq", "require_library", "running_brokers"]


class RunningBrokers:
    """The brokers of a test process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._brokers: dict[str, Broker] = {}

    def find(self, name: str) -> Broker:
        """The broker of that name, running; started anew if a test left it dead."""
        if name not in self._brokers:
            self._brokers[name] = BROKERS[name](self._folder / name)
        broker = self._brokers[name]
        try:
            broker.start()
        except NotInstalledError as error:
            _skip(error)
        return broker

    def stop(self) -> None:
        """Stop them all."""
        for broker in self._brokers.values():
            broker.kill()
            broker.stop()


def require_library(name: str) -> None:
    """Skip the test unless a library can be imported."""
    try:
        import_module(name)
    except ImportError as error:
        _skip(error)


def _skip(error: Exception) -> NoReturn:
    if os.environ.get("CI") == "true":
        raise error
    pytest.skip(f"{error}; `scripts/test-services install` does what it may")


@pytest.fixture(scope="session")
def running_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBrokers]:
    """The brokers of this test process."""
    brokers = RunningBrokers(tmp_path_factory.mktemp("brokers"))
    yield brokers
    brokers.stop()


@pytest.fixture
def activemq(running_brokers: RunningBrokers) -> Iterator[Broker]:
    """ActiveMQ, running."""
    broker = running_brokers.find("activemq")
    yield broker
    broker.thaw()


@pytest.fixture
def rabbitmq(running_brokers: RunningBrokers) -> Iterator[Broker]:
    """RabbitMQ, running."""
    broker = running_brokers.find("rabbitmq")
    yield broker
    broker.thaw()


@pytest.fixture
def broker_context() -> str:
    """First level of the names of a test's queues and topics, so that no test meets the messages of another."""
    return f"TEST{secrets.token_hex(4).upper()}"
