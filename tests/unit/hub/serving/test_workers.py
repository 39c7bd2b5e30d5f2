"""The parent of workers, with programs in their place that do just one thing; the real ones are in the system tests."""

import asyncio
import errno
import json
import os
import signal
import socket
import time
from pathlib import Path

import msgspec
import pytest

from cimcare.hub.config.settings import Settings, read_settings
from cimcare.hub.serving import workers
from cimcare.hub.serving.workers import WorkerError, pause_after, run_worker, serve_workers
from tests.support.hub import hub_settings

_BEGIN = "import signal, socket, sys; channel = socket.socket(fileno=int(sys.argv[2])); "
_ENDS_BADLY = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); channel.send(b'R'); signal.pause()"
_NEVER_ENDS = (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); channel.send(b'R')\n"
    "while channel.recv(65536): pass"  # so that it does not outlive a test that fails
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(workers, "_GRACE_SECONDS", 0.0)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, more: str = "") -> None:
    """Serve with such workers; as soon as one is ready it is time to stop."""
    monkeypatch.setattr(workers, "_PROGRAM", program)
    serve_workers(hub_settings(folder, more), workers=2, on_start=lambda _: os.kill(os.getpid(), signal.SIGTERM))


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit(4)", "ended with exit code 4"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", "ended by signal 3"),
    ],
)
def test_workers_that_end_at_once_without_a_word_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, told: str
) -> None:
    """A service manager sees a failed service instead of one that starts again for ever."""
    with pytest.raises(WorkerError, match=told) as caught:
        run(tmp_path, monkeypatch, program)
    assert caught.value.code == "SET-121"
    assert "before it was ready" in str(caught.value)


def test_workers_do_not_share_what_is_in_memory(tmp_path: Path) -> None:
    """Each would have a database of its own, and a partner would find his ticket every second time."""
    settings = msgspec.structs.replace(hub_settings(tmp_path), database="memory:")
    for workers_and_couriers in ({"workers": 2}, {"workers": 1, "couriers": 1}):
        with pytest.raises(WorkerError, match="one worker and no courier") as caught:
            serve_workers(settings, **workers_and_couriers)
        assert caught.value.code == "SET-120"


def test_if_no_process_can_be_started_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of processes of a container, for example."""

    async def fail(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "_start", fail)
    with pytest.raises(WorkerError, match="no process can be started: Resource temporarily unavailable") as caught:
        run(tmp_path, monkeypatch, "")
    assert caught.value.code == "SET-120"


def test_a_worker_that_drains_badly_makes_the_end_a_bad_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 says that all went well, and deployment scripts believe it."""
    with pytest.raises(WorkerError, match=r"worker [12] ended with exit code 3 while it drained") as caught:
        run(tmp_path, monkeypatch, _BEGIN + _ENDS_BADLY)
    assert caught.value.code == "SET-122"


def test_a_courier_that_drains_badly_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the operator looks into the log of the wrong process."""
    is_up = tmp_path / "courier"
    program = (
        f"{_BEGIN}is_door = sys.argv[3] == 'the.door'\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if is_door else 3)); channel.send(b'R')\n"
        f"if not is_door: open({str(is_up)!r}, 'w')\n"
        "signal.pause()"
    )
    monkeypatch.setattr(workers, "_PROGRAM", program)

    def end(_: str) -> None:
        while not is_up.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(WorkerError, match="courier 1 ended with exit code 3 while it drained") as caught:
        serve_workers(hub_settings(tmp_path), workers=1, couriers=1, on_start=end, program="the.door")
    assert caught.value.code == "SET-122"


def test_couriers_that_cannot_start_leave_the_workers_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages are taken all the same, and what is to be delivered waits in the database."""
    program = (
        "import sys\nif sys.argv[3] != 'the.door': sys.exit(5)\n"
        + _BEGIN
        + "\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); channel.send(b'R'); signal.pause()"
    )
    monkeypatch.setattr(workers, "_PROGRAM", program)

    def end_later(_: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 2)

    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        serve_workers(hub_settings(tmp_path), workers=1, couriers=1, on_start=end_later, program="the.door")
    finally:
        signal.signal(signal.SIGALRM, before)
    ends = [
        entry for line in capsys.readouterr().err.splitlines() if (entry := json.loads(line))["event"][-5:] == "ended"
    ]
    assert len(ends) > 1
    assert {(entry["event"], entry["courier"], entry["reason"]) for entry in ends} == {
        ("courier ended", 1, "ended with exit code 5")
    }


def test_a_worker_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs must not keep the machine from going down."""
    with pytest.raises(WorkerError, match=r"worker [12] did not end within 1 s and was killed") as caught:
        run(tmp_path, monkeypatch, _BEGIN + _NEVER_ENDS, "hub.drain_seconds = 1\n")
    assert caught.value.code == "SET-122"


def test_an_error_while_telling_the_address_leaves_no_worker_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of stdout is gone, for example."""
    monkeypatch.setattr(workers, "_PROGRAM", _BEGIN + "channel.send(b'R' + b'x' * 9)\nwhile channel.recv(65536): pass")

    start, started = workers._start, []

    async def note(channel: socket.socket, program: str) -> asyncio.subprocess.Process:
        started.append(await start(channel, program))
        return started[-1]

    def fail(_: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(workers, "_start", note)

    with pytest.raises(ExceptionGroup) as caught:
        serve_workers(hub_settings(tmp_path), workers=2, on_start=fail)
    assert caught.group_contains(BrokenPipeError)
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_trouble_with_accepting_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Senders see nothing but a hub that does not answer."""
    clients: list[socket.socket] = []

    def knock(address: str) -> None:
        clients.append(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))))

    def fail(_: socket.socket) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(workers, "_PROGRAM", _BEGIN + "channel.send(b'R')\nwhile channel.recv(65536): pass")
    monkeypatch.setattr(socket.socket, "accept", fail)
    with pytest.raises(WorkerError, match="exit code -15 while it drained"):  # these programs know no better
        serve_workers(hub_settings(tmp_path), workers=1, on_start=knock)
    clients.pop().close()
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert ("no connection can be accepted", "Too many open files") in [
        (entry["event"], entry.get("error")) for entry in logged
    ]


def test_pauses_grow_up_to_a_bound() -> None:
    """A database that is away for a night costs a start every half minute, and no more."""
    pauses = [pause_after(failures) for failures in (1, 2, 3, 8, 100, 100_000)]
    assert pauses == [0.0] * 6  # as the fixture has it
    assert _pauses(0.25) == [0.25, 0.5, 1.0, 30.0, 30.0, 30.0]


def _pauses(first: float) -> list[float]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers, "_FIRST_PAUSE_SECONDS", first)
        return [pause_after(failures) for failures in (1, 2, 3, 8, 100, 100_000)]


def test_a_worker_without_an_order_ends() -> None:
    """Its parent died between making it and telling it what to do."""
    ours, theirs = socket.socketpair()
    ours.close()
    assert run_worker(theirs.detach()) == 0


def test_settings_get_to_workers_as_they_are() -> None:
    """Each worker has what the parent read, whatever became of the file since."""
    settings = read_settings(
        'port = 1\n[partners.billing]\nurl = "http://127.0.0.1:1/"\nsource = "BILLING"\n'
        '[subscriptions.all]\npartner = "billing"\nverbs = ["created"]\nnouns = ["Incidents"]\n'
    )
    assert settings.partners
    assert settings.subscriptions
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) == settings
