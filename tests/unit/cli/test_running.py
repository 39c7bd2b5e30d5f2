"""serve and demo: start, what is printed, stop."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

FIGURES = [2, 4, 6, 8, 9, 10]


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """The command as a process, in a directory of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "cimcare", *(str(argument) for argument in arguments)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_address_and_ends_when_told(tmp_path: Path, signal_number: signal.Signals) -> None:
    """What a service manager needs: an address on stdout once it listens, a clean end on a signal."""
    process = start("serve", "--port", 0, "--database", f"sqlite:///{tmp_path}/hub.db", folder=tmp_path)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30):
            pass
        process.send_signal(signal_number)
        output, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, log
    assert output == ""
    assert "Traceback" not in log
    assert (tmp_path / "hub.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--config", "missing.toml"], 2, "missing.toml"),
        (["--config", "bad.toml"], 2, "bad.toml:1: nonsense: SET-101"),
        (["--database", "nonsense"], 1, "nonsense"),
        (["--database", "sqlite:///missing/hub.db"], 1, "missing/hub.db"),
        (["--schema-dir", "own"], 1, "own/bad.xsd"),
        (["--host", "192.0.2.1", "--port", "0"], 1, "192.0.2.1"),
    ],
)
def test_serve_that_cannot_start_says_why(run: Run, arguments: list[str], code: int, told: str) -> None:
    """One line with the reason, no traceback, and nothing on stdout that looks like an address."""
    Path("bad.toml").write_text("nonsense = 1\n")
    Path("own").mkdir()
    Path("own/bad.xsd").write_text("<a/>")
    result = run("serve", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("cimcare: ")
    assert told in result.stderr


def test_serve_does_not_take_the_port_of_another(run: Run) -> None:
    """Two hubs by mistake: the second says which port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", "--port", port, "--database", "sqlite:///hub.db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(port) in result.stderr


def test_demo_once_for_programs(run: Run) -> None:
    """The proof of a fresh installation: six exchanges, every reply as expected, every message found stored."""
    result = run("demo", "--once", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    played = json.loads(result.stdout)
    assert played["ok"] is True
    assert [exchange["figure"] for exchange in played["exchanges"]] == FIGURES
    assert played["messagesSent"] == played["messagesFoundStored"] > 30
    steps = [step for exchange in played["exchanges"] for step in exchange["steps"]]
    assert all(step["ok"] and step["storedAs"] for step in steps)
    assert {step["noun"] for step in steps} == {
        "TroubleTickets", "Incidents", "ServiceRequests", "ServiceOrders", "WorkRequests", "CustomerAgreements",
    }  # fmt: skip
    assert not list(Path().iterdir()), "nothing is left in the working directory"


def test_demo_once_for_people(run: Run) -> None:
    """Who to whom, what, with which outcome; and one line that sums it up."""
    result = run("demo", "--once")
    assert (result.exit_code, result.stderr) == (0, "")
    for figure in FIGURES:
        assert f"\nFigure {figure}: " in result.stdout
    assert result.stdout.rstrip().endswith("every reply was the expected one.")
    assert "expected FAILED" not in result.stdout


def test_demo_keeps_a_database_that_is_named(run: Run) -> None:
    """Played twice over the same database it goes well twice, and the messages are there to be looked at."""
    for _ in range(2):
        assert run("demo", "--once", "--database", "sqlite:///demo.db").exit_code == 0
    listed = run("messages", "--database", "sqlite:///demo.db", "list", "--limit", "1000").stdout.splitlines()
    assert len(listed) > 150


def test_demo_stays_up_until_it_is_told(tmp_path: Path) -> None:
    """`make demo` leaves the hub running and says where to look; Ctrl-C ends it without a fuss."""
    process = start("demo", "--port", 0, folder=tmp_path)
    try:
        assert process.stdout is not None
        shown = []
        while not shown or "/soap?wsdl" not in shown[-1]:
            shown.append(process.stdout.readline())
            assert shown[-1], process.stderr and process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert any(line.startswith("The hub stays up at http://127.0.0.1:") for line in shown)
    assert not list(tmp_path.iterdir())


def test_demo_that_cannot_start_says_why(run: Run) -> None:
    """No half of a transcript."""
    result = run("demo", "--once", "--database", "nonsense")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("cimcare: ")
    assert "nonsense" in result.stderr
