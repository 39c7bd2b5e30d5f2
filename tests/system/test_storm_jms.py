"""A storm by way of a broker: the same tickets, questions and verdict as over HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.services import Broker

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--profile", "gust", "--scale", "0.005", "--minutes", "4", "--speed", "60")


@contextmanager
def _hub(folder: Path, url: str, context: str, password: str) -> Iterator[str]:
    """A hub that listens at a broker; its own address."""
    (folder / "password").write_text(password)
    (folder / "hub.toml").write_text(
        f'port = 0\ndatabase = "sqlite:///{folder / "hub.db"}"\n[hub]\ncontext = "{context}"\n'
        f'[brokers.main]\nurls = ["{url}"]\nuser = "guest"\npassword_file = "{folder / "password"}"\n'
    )
    command = [sys.executable, "-m", "cimcare", "serve", "--config", str(folder / "hub.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _storm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cimcare", "storm", *SMALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=ROOT)


def test_a_storm_goes_through_a_broker(tmp_path: Path, activemq: Broker, broker_context: str) -> None:
    """Requests to the queues of the default scheme, replies to a temporary one; tickets asked for by messages."""
    url = activemq.url("stomp")
    with _hub(tmp_path, url, broker_context, "guest") as address:
        common = ("--to", url, "--transport", "jms", "--context", broker_context, "--resend", "20", "--json")
        user = ("--user", "guest", "--password-file", str(tmp_path / "password"), "--hazard-seconds", "60")
        ran = _storm(*common, *user)
        with_api = _storm(*common, *user, "--seed", "2", "--api", address)

    for one in (ran, with_api):
        assert one.returncode == 0, one.stdout + one.stderr
        result = json.loads(one.stdout)
        assert result["proof"]["lost"] == result["proof"]["doubled"] == 0
        assert result["proof"]["accepted"] == result["tickets"] > 10
        assert all(group["accepted"] == group["offered"] for group in result["groups"])
    assert json.loads(ran.stdout)["proof"]["how"] == "get messages"
    assert json.loads(ran.stdout)["ledger"] == []
    assert json.loads(with_api.stdout)["proof"]["how"] == "REST, by pages"
    assert any(line["partner"] == "STORM" for line in json.loads(with_api.stdout)["ledger"])


def test_a_broker_that_dies_is_counted_and_ends_nothing(tmp_path: Path, activemq: Broker, broker_context: str) -> None:
    """What was under way got no answer, and the report is written."""
    command = [
        *(sys.executable, "-m", "cimcare", "storm", "--profile", "gust", "--scale", "0.01", "--speed", "60"),
        *("--to", activemq.url("stomp"), "--context", broker_context, "--no-proof", "--json", "--timeout", "3"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    while "drawing" not in process.stderr.readline():
        pass
    activemq.kill()
    said, errors = process.communicate(timeout=120)

    assert process.returncode == 1, errors
    if said:  # else it had not begun yet, and was told so
        result = json.loads(said)
        assert sum(group["unanswered"] for group in result["groups"]) == result["planned"]
    else:
        assert "SIM-112" in errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--to", "stomp://127.0.0.1:9"), "SIM-112"),
        (("--to", "stomp://user@127.0.0.1:9"), "user or password in the address"),
        (("--to", "http://127.0.0.1:9", "--transport", "jms"), "does not go with"),
        (("--to", "stomp://127.0.0.1:9", "--transport", "soap"), "does not go with"),
    ],
)
def test_what_cannot_be_is_told(arguments: tuple[str, ...], expected: str) -> None:
    """Nobody there, or an address of the wrong kind."""
    ran = _storm(*arguments)

    assert ran.returncode == (1 if expected == "SIM-112" else 2)
    assert expected in " ".join(ran.stderr.split())
