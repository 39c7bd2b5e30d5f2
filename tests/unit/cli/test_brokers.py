"""brokers: what each process of a hub saw last, with the exit codes that scripts go by."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cimcare.hub.intake.listening import BrokerState, ConsumerState
from cimcare.hub.operation.broker_states import list_brokers, note_brokers
from cimcare.store.opening import open_store
from cimcare.transport.broker.life import LinkState
from tests.unit.cli.conftest import Run

DATABASE = "sqlite:///hub.db"
HOLD = timedelta(seconds=20)


def a_broker(name: str = "main", *, trouble: str = "") -> BrokerState:
    now = datetime.now(UTC)
    link = LinkState(
        purpose="queues",
        is_open=not trouble,
        address="stomp://b:61613",
        since=now,
        opened=1,
        failures=0,
        reason="NET-120 could not connect" if trouble else "",
    )
    consumers = (
        ConsumerState(destination="jms:queue:T.REQUESTS.>", attached=not trouble, waits=False, proven_at=now),
        ConsumerState(destination="jms:topic:T.EVENTS.>", attached=False, waits=True, proven_at=None),
    )
    return BrokerState(
        name=name,
        links=(link,),
        consumers=consumers,
        holding=3,
        counts={"served": 7, "expired": 0},
        trouble=trouble,
        trouble_since=now if trouble else None,
    )


def note(states: Sequence[BrokerState], *, process: str = "p1", ago: float = 0.0) -> list[tuple[str, str]]:
    """Note it, and give what is there then."""

    async def run() -> list[tuple[str, str]]:
        store = await open_store(DATABASE)
        try:
            now = datetime.now(UTC) - timedelta(seconds=ago)
            await note_brokers(store, states, process=process, now=now, hold=HOLD)
            return [(one.broker.name, one.process) for one in await list_brokers(store.reader.records)]
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _settings(run: Run) -> None:
    Path("cimcare.toml").write_text(f'database = "{DATABASE}"\n')


def test_all_is_well_where_it_is(run: Run) -> None:
    """One look before the storm."""
    note([a_broker()])
    result = run("brokers")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("main: well (process p1, ")
    assert lines[1].startswith("  queues: connected to stomp://b:61613 since ")
    assert lines[2].startswith("  jms:queue:T.REQUESTS.>: attached, proven ")
    assert lines[3] == "  jms:topic:T.EVENTS.>: another process's turn"
    assert lines[4] == "  served 7"


def test_what_is_amiss_is_the_answer_no(run: Run) -> None:
    """For a script that watches."""
    note([a_broker(trouble="no session for queues")])
    result = run("brokers")
    assert result.exit_code == 1
    assert "main: TROUBLE: no session for queues" in result.stdout
    assert "not connected to stomp://b:61613" in result.stdout
    assert "jms:queue:T.REQUESTS.>: NOT ATTACHED" in result.stdout


def test_as_json(run: Run) -> None:
    """One object a line."""
    note([a_broker()])
    data = json.loads(run("brokers", "--json").stdout)
    assert (data["process"], data["broker"]["name"]) == ("p1", "main")


def test_without_a_hub_there_is_no_answer(run: Run) -> None:
    """Silence must not look like health."""
    note([])
    result = run("brokers")
    assert result.exit_code == 1
    assert "no hub with a broker runs" in result.stderr


def test_a_process_that_has_ended_is_forgotten(run: Run) -> None:
    """What it saw last would else be trouble for ever."""
    assert note([a_broker()], process="old", ago=30) == [("main", "old")]
    assert note([a_broker()], process="new") == [("main", "new")]


def test_a_broker_that_is_no_longer_configured_is_forgotten(run: Run) -> None:
    """A restart with another file is seen at once."""
    assert note([a_broker(), a_broker("second")]) == [("main", "p1"), ("second", "p1")]
    assert note([a_broker("second")], process="p2") == [("main", "p1"), ("second", "p1"), ("second", "p2")]
    assert note([a_broker("second")]) == [("second", "p1"), ("second", "p2")]
