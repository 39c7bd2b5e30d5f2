"""`cimcare storm` as a command: against a hub, against others, and against what dies, is not there, or is stopped."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.endpoint import OK, Answer, Arrived, Endpoint, answered

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--profile", "gust", "--scale", "0.004", "--minutes", "3", "--speed", "60")
TIMEOUT = 240


def _storm(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cimcare", "storm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=ROOT, **options)  # type: ignore[call-overload]


@contextmanager
def _endpoint(answer: Answer | None = None) -> Iterator[Endpoint]:
    """An endpoint in a thread of its own, for commands to face."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    endpoint = Endpoint(answer)
    try:
        asyncio.run_coroutine_threadsafe(endpoint.__aenter__(), loop).result(30)
        yield endpoint
        asyncio.run_coroutine_threadsafe(endpoint.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Page(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_whole_utility_gets_through_a_small_storm(tmp_path: Path) -> None:
    """The worst hour in small: grouping, partners of which two fail, meters, the ledger; nothing lost or doubled."""
    out, report = tmp_path / "storm.json", tmp_path / "storm.html"
    ran = _storm(
        "--profile", "isaias", "--scale", "0.0004", "--speed", "100", "--here",
        "--resend", "50", "--timeout", "60", "--hazard-seconds", "60", "--settle", "120",
        "--out", str(out), "--report", str(report),
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(out.read_bytes())
    assert (result["tickets"], result["proof"]["lost"], result["proof"]["doubled"]) == (60, 0, 0)
    assert [one["name"] for one in result["partners"]] == ["CONTACT-CENTRE", "WEB-PORTAL", "FIELD-MOBILE"]
    assert all(one["taken"] > 0 for one in result["partners"])
    assert [one["isMet"] for one in result["verdict"]] == [True] * 6
    assert result["estimatesTold"] > 0
    assert any(line["partner"] == "CONTROL-ROOM" for line in result["ledger"])
    (ours,) = [line for line in result["ledger"] if line["partner"] == "STORM"]
    assert ours["received"] == result["planned"]
    assert any(group["name"] == "other" and group["accepted"] for group in result["groups"])
    page = _Page(report.read_text())
    assert "script" not in page.tags
    assert page.addresses == []
    assert page.tags.count("svg") == 7


def test_an_endpoint_of_somebody_else_is_asked_by_messages(tmp_path: Path) -> None:
    """No REST interface, no ledger: it says so, and looks for the tickets as the standard allows."""
    with _endpoint() as endpoint:
        ran = _storm(*SMALL, "--to", f"{endpoint.address}/service/tickets", "--json", "--header", "X-Key: 7")
        result = json.loads(ran.stdout)

    assert ran.returncode == 1  # the endpoint says OK to everything and keeps nothing
    assert result["proof"]["how"] == "get messages"
    assert result["proof"]["lost"] == result["proof"]["accepted"] == result["tickets"] > 0
    assert result["ledger"] == []
    assert any("No REST interface" in note for note in result["notes"])
    assert all(b"X-Key: 7\r\n" in one.head for one in endpoint.arrived)
    assert all(one.head.startswith(b"POST /service/tickets ") for one in endpoint.arrived)


@pytest.mark.parametrize(
    ("options", "sign"),
    [
        (("--transport", "rest", "--format", "json"), b"application/json"),
        (("--soap-version", "1.2"), b"application/soap+xml"),
    ],
)
def test_it_speaks_as_it_is_told_to(options: tuple[str, ...], sign: bytes) -> None:
    """JSON or XML, SOAP 1.1 or 1.2."""
    with _endpoint() as endpoint:
        ran = _storm(*SMALL, *options, "--to", endpoint.address, "--no-proof")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert endpoint.arrived
    assert all(sign in one.head for one in endpoint.arrived)


def test_two_storms_of_one_seed_send_the_same_bytes_in_the_same_order() -> None:
    """Same seed, same storm, as the other side sees it. One connection, since several have no order among them."""
    seen = []
    for _ in range(2):
        with _endpoint() as endpoint:
            _storm(*SMALL, "--to", f"{endpoint.address}/soap", "--connections", "1", "--no-proof")
        seen.append([one.body for one in endpoint.arrived])

    assert seen[0] == seen[1]
    assert len(seen[0]) > 20


def test_an_endpoint_that_dies_is_reported_to_the_end(tmp_path: Path) -> None:
    """The report is what one has left of such an evening."""
    count = 0

    async def dies(_: Arrived) -> bytes | None:
        nonlocal count
        count += 1
        return OK if count < 10 else None

    with _endpoint(dies) as endpoint:
        ran = _storm(*SMALL, "--to", f"{endpoint.address}/soap", "--report", str(tmp_path / "r.html"), "--json")
        result = json.loads(ran.stdout)

    assert ran.returncode == 1
    silent = sum(group["unanswered"] for group in result["groups"])
    assert silent == result["planned"] - sum(group["accepted"] for group in result["groups"]) > 0
    assert "The answer is no" in (tmp_path / "r.html").read_text()


def test_ctrl_c_ends_it_and_the_report_is_written(tmp_path: Path) -> None:
    """Whoever stops a storm wants to know what it has done so far."""
    out = tmp_path / "storm.json"
    with _endpoint() as endpoint:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cimcare", "storm", "--profile", "gust", "--scale", "0.05"),
                *("--to", f"{endpoint.address}/soap", "--out", str(out), "--no-proof"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        deadline = 600
        while len(endpoint.arrived) < 10 and deadline:
            threading.Event().wait(0.1)
            deadline -= 1
        os.kill(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=60)

    assert process.returncode == 1, errors
    result = json.loads(out.read_bytes())
    assert result["interrupted"] is True
    assert 10 <= result["sent"] < result["planned"]
    assert "interrupted after" in said


def test_nobody_there_is_said_at_once() -> None:
    """A mistyped port is no storm."""
    ran = _storm(*SMALL, "--to", "http://127.0.0.1:9/soap")

    assert ran.returncode == 1
    assert "SIM-112 no connection" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Missing option '--profile'"),
        (("--profile", "gust"), "one of --to and --here"),
        (("--profile", "gust", "--to", "http://127.0.0.1:9", "--here"), "one of --to and --here"),
        (("--profile", "gusty", "--to", "http://127.0.0.1:9"), "one of isaias, gust, blue-sky, million, or a file"),
        (("--profile", "gust", "--to", "ftp://x"), "is no address"),
        (("--profile", "gust", "--to", "http://x", "--header", "nonsense"), "is no header"),
        (("--profile", "gust", "--to", "http://x", "--header", "A: b\r\nC: d"), "is no header"),
        (("--profile", "gust", "--to", "http://x", "--start", "yesterday"), "is no instant"),
        (("--profile", "gust", "--to", "http://x", "--start", "2026-01-01T00:00:00"), "with its offset"),
        (("--profile", "gust", "--to", "http://x", "--source", "@1@"), "letters, digits"),
        (("--profile", "gust", "--to", "https://x", "--ca-file", "README.md"), "no certificates in PEM"),
        (("--profile", "gust", "--here", "--report", "/nowhere/at/all.html"), "cannot be written"),
    ],
)
def test_wrong_use_is_told_with_what_would_pass(arguments: tuple[str, ...], expected: str) -> None:
    """Exit code 2, before anything is sent."""
    ran = _storm(*arguments)

    assert ran.returncode == 2, ran.stderr
    assert expected in " ".join(ran.stderr.split())


def test_the_town_is_written_with_what_to_do_next(tmp_path: Path) -> None:
    """For hubs that run elsewhere, and for other products."""
    ran = _storm("--profile", "gust", "--scale", "0.01", "--write-town", str(tmp_path / "town"))

    assert ran.returncode == 0
    assert [line.split()[:3] for line in ran.stdout.splitlines()] == [
        ["cimcare", "network", "import"],
        ["cimcare", "customers", "import"],
    ]
    assert sorted(path.name for path in (tmp_path / "town").iterdir()) == ["customers.csv", "devices.csv", "points.csv"]


def test_clocks_may_end_at_the_present() -> None:
    """An endpoint that refuses old messages takes these, and none is of the future."""
    with _endpoint() as endpoint:
        ran = _storm(*SMALL, "--start", "now", "--to", f"{endpoint.address}/soap", "--no-proof", "--json")
        result = json.loads(ran.stdout)

    assert result["start"] < result["beganAt"]
    assert ran.returncode == 0


def test_a_refusal_makes_the_answer_no() -> None:
    """A utility that refuses callers has not got through the storm."""

    async def busy(_: Arrived) -> bytes:
        return answered(b"", 503, "Retry-After: 1")

    with _endpoint(busy) as endpoint:
        ran = _storm(*SMALL, "--to", f"{endpoint.address}/soap", "--no-proof")

    assert ran.returncode == 1
    assert "refused as one too many" in ran.stdout
