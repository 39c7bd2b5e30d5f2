"""The brokers that tests run against are ours alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.services import Broker

_TCP = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def _listeners(port: int) -> list[str]:
    """Addresses, in hexadecimal, on which somebody listens at a port."""
    rows = [line.split() for table in _TCP if table.exists() for line in table.read_text().splitlines()[1:]]
    return [row[1].split(":")[0] for row in rows if row[3] == _LISTENING and int(row[1].split(":")[1], 16) == port]


@pytest.fixture(params=["activemq", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    running: Broker = request.getfixturevalue(request.param)
    return running


@pytest.mark.skipif(not _TCP[0].exists(), reason="asks Linux who listens")
def test_nobody_else_on_the_network_reaches_a_broker_of_the_tests(broker: Broker) -> None:
    """A broker with the password guest, or Erlang's port mapper, is nothing to leave open on a developer's machine."""
    for name, port in broker.ports.items():
        # Java listens on the address of loopback by way of IPv6.
        addresses = [address.removeprefix("0000000000000000FFFF0000") for address in _listeners(port)]
        assert addresses, name
        assert set(addresses) <= set(_LOOPBACK), name


def test_a_killed_broker_comes_back_where_it_was(broker: Broker) -> None:
    """Tests of faults rely on it: same ports, same store, and nobody else's port mapper."""
    ports, before = dict(broker.ports), broker.pids
    broker.kill()
    assert not broker.is_running
    broker.start()
    assert dict(broker.ports) == ports
    assert broker.pids[0] != before[0]
    assert broker.pids[1:] == before[1:]


def test_a_broker_ends_with_the_process_that_started_it(tmp_path: Path, activemq: Broker) -> None:
    """A test run that is killed leaves nothing behind."""
    del activemq  # it is installed
    program = (
        "import os, sys; from pathlib import Path; from tests.support.services import ActiveMQ\n"
        f"broker = ActiveMQ(Path({str(tmp_path)!r})); broker.start(); print(broker.pids[0], flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.kill(pid, 0)
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not buried does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
