"""meter-events: tables from a file to a hub, in pieces, each once."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cimcare.cli import metering
from cimcare.hub.acts import meter_table
from tests.unit.cli.conftest import Run

HEAD = "point,state,at\n"
ROW = "UP-{},off,2030-06-01T12:00:00Z\n"


class Hub:
    """What a hub answers, in turn; the last one again and again. What it got stands in `got`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], list[dict[str, str]]]] = []
        self.answers: list[tuple[int, object]] = [(200, {"sequence": 1, "result": "OK", "events": 1, "findings": []})]
        self.address = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hub.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            status, told = hub.answers.pop(0) if len(hub.answers) > 1 else hub.answers[0]
            raw = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield hub
    server.shutdown()
    server.server_close()


def write(rows: int) -> str:
    Path("events.csv").write_text(HEAD + "".join(ROW.format(number) for number in range(rows)))
    return "events.csv"


def finding(row: int) -> dict[str, object]:
    return {
        "code": "REF-140", "level": "WARNING", "path": f"/events[{row}]/point", "found": "no UP-7", "accepted": "one",
    }  # fmt: skip


def test_a_long_file_goes_in_pieces_each_with_its_key(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent again after a break, the same pieces have the same keys, so nothing happens twice."""
    monkeypatch.setattr(metering, "MOST_EVENTS", 2)
    file = write(5)
    for _ in range(2):
        result = run("meter-events", file, "--to", hub.address, "--sender", "HEAD-END")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "events taken: 5, in tables: 3, remarks: 0\n"
    assert [len(rows) for _, _, rows in hub.got] == [2, 2, 1] * 2
    keys = [headers["idempotency-key"] for _, headers, _ in hub.got]
    assert keys[:3] == keys[3:]
    assert len(set(keys)) == 3
    assert {(path, headers["x-actor"]) for path, headers, _ in hub.got} == {("/api/v1/meter-events", "HEAD-END")}
    assert hub.got[0][2][0] == {"point": "UP-0", "state": "off", "at": "2030-06-01T12:00:00Z"}


def test_remarks_name_the_row_of_the_file(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the piece in which it went."""
    monkeypatch.setattr(metering, "MOST_EVENTS", 2)
    fine = {"sequence": 1, "result": "OK", "events": 2, "findings": []}
    hub.answers = [(200, fine), (200, fine | {"result": "PARTIAL", "findings": [finding(1)]})]
    result = run("meter-events", write(4), "--to", hub.address + "/", "--json")
    assert result.exit_code == 0
    assert "REF-140 /events[3]/point: no UP-7" in result.stderr
    told = json.loads(result.stdout)
    assert (told["events"], told["tables"], [one["path"] for one in told["findings"]]) == (4, 2, ["/events[3]/point"])


def test_a_wrong_file_is_not_sent(run: Run, hub: Hub) -> None:
    """Half of it would be worse than none."""
    result = run("meter-events", "-", "--to", hub.address, stdin=(HEAD + ROW.format(1) + "UP-2,away,now\n").encode())
    assert (result.exit_code, result.stdout, hub.got) == (1, "", [])
    assert "line 3: 'away'" in result.stderr


def test_json_is_known_by_its_bracket(run: Run, hub: Hub) -> None:
    """Or named."""
    raw = json.dumps([{"point": "a", "state": "on", "at": "2030-06-01T12:00:00Z"}]).encode()
    assert run("meter-events", "--to", hub.address, stdin=raw).exit_code == 0
    assert run("meter-events", "--to", hub.address, "--as", "csv", stdin=raw).exit_code == 1
    assert len(hub.got) == 1


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((409, {"detail": "EXC-138: the outage management is ADMS"}), "the outage management is ADMS"),
        ((502, b"<html>"), "HTTP status 502, and no JSON"),
    ],
)
def test_a_refusal_is_code_1(run: Run, hub: Hub, answer: tuple[int, object], word: str) -> None:
    """In the hub's words."""
    hub.answers = [answer]
    result = run("meter-events", write(1), "--to", hub.address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert word in result.stderr


def test_no_answer_is_code_1(run: Run) -> None:
    """With what may be done about it."""
    result = run("meter-events", write(1), "--to", "http://127.0.0.1:9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the same again has no second effect" in result.stderr
    assert run("meter-events", write(1), "--to", "hub").exit_code == 2
    assert meter_table.MOST_EVENTS == 1000
