"""The crash harness with a broker, small; `make crash-brokers` is its long form."""

from pathlib import Path

import pytest

from tests.crash.brokers import run_broker_cycles
from tests.crash.bus import java_bus, session_bus
from tests.support.brokers import require_library
from tests.support.java_peers import JavaPeers
from tests.support.services import Broker


@pytest.mark.parametrize("victim", ["broker", "hub"])
async def test_jms_programs_and_the_hub_go_through_deaths_and_nothing_is_lost_or_doubled(
    tmp_path: Path, activemq: Broker, broker_context: str, java_peers: JavaPeers, victim: str
) -> None:
    """ActiveMQ or the hub is killed under load in both directions; all that was confirmed is there once, and
    consumers are back by themselves.
    """
    report = await run_broker_cycles(
        tmp_path,
        broker=activemq,
        scheme="stomp",
        open_bus=lambda folder: java_bus(java_peers, activemq.url("tcp"), broker_context, folder),
        context=broker_context,
        cycles=2,
        tickets=4,
        seed=11,
        victim=victim,
    )
    assert report.accepted > 0
    assert report.is_clean, report


@pytest.mark.parametrize("scheme", ["amqp", "amqp10", "stomp"])
async def test_rabbitmq_dies_and_nothing_is_lost_or_doubled(
    tmp_path: Path, rabbitmq: Broker, broker_context: str, scheme: str
) -> None:
    """The same over each protocol of RabbitMQ; the hub is a process of its own on its own event loop."""
    if scheme == "amqp10":
        require_library("proton")
    report = await run_broker_cycles(
        tmp_path,
        broker=rabbitmq,
        scheme=scheme,
        open_bus=lambda _: session_bus(rabbitmq, "amqp", broker_context),
        context=broker_context,
        cycles=2,
        tickets=4,
        seed=12,
    )
    assert report.accepted > 0
    assert report.is_clean, report
