"""The generator of storms beside what it is to be faster than: messages a second that it offers from one core.

Against an endpoint that does nothing, in a process of its own: one sender, tickets and questions as they come, at a
rate that grows until it no longer keeps its instants (99 % begun within 50 ms). With `--hub` a hub takes creates over
the same transport in the same run, as fast as it can over 32 connections; the ratio is what counts. Seconds of the
processor tell what a message costs, however busy the machine is.

`python -m bench.storm [--seconds N] [--hub] [--json]`.
"""

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from cimcare.codec.envelope import MESSAGE_NAMESPACE
from cimcare.hub.serving.lifespan import loop_factory
from cimcare.storm.plan import Plan, draw_plan
from cimcare.storm.profile import parse_profile
from cimcare.storm.sending import Pace, Sending
from cimcare.storm.tally import Tally
from cimcare.storm.wording import Form, Target, Wording

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEPT_SECONDS = 0.05
_RATES = (1000, 2000, 3000, 4000, 5000, 6000, 8000, 10000, 12000)

_BODY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    f'<ResponseMessage xmlns="{MESSAGE_NAMESPACE}"><Header><Verb>reply</Verb><Noun>TroubleTickets</Noun></Header>'
    "<Reply><Result>OK</Result><Error><code>0.0</code></Error></Reply></ResponseMessage></s:Body></s:Envelope>"
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Null(asyncio.Protocol):
    """Answers OK to whatever is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            end = self._received.find(b"\r\n\r\n")
            length = _LENGTH.search(self._received, 0, end + 2) if end >= 0 else None
            if length is None or len(self._received) < end + 4 + int(length[1]):
                return
            self._received = self._received[end + 4 + int(length[1]) :]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


def serve_null() -> None:
    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        server = await asyncio.get_running_loop().create_server(Null, sock=listener)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())


def a_plan(rate: float, seconds: float, per_ticket: float, seed: int) -> Plan:
    tickets = max(1, round(rate * seconds / (1 + per_ticket)))
    text = (
        f'name = "bench"\nstart = 2026-03-02T12:00:00Z\nminutes = 1\ntickets-in-all = {tickets}\n'
        f"[town]\npremises = {tickets * 4}\n[tickets]\nstill-outs = 0.0\nresent = 0.0\n"
        f"[status]\nper-ticket = {per_ticket}\n[bursts]\nseconds = 0\n"
    )
    return draw_plan(parse_profile("bench", text.encode()), scale=1.0, seed=seed)


def offer(address: str, plan: Plan, seconds: float, *, source: str) -> dict[str, float]:
    """Offer a minute of storm in so many seconds; what was reached."""
    target = Target(url=f"{address}/soap", form=Form.SOAP11, source=source)
    tally = Tally(plan)
    wording = Wording(plan, target, datetime(2026, 3, 2, 12, tzinfo=UTC))
    pace = Pace(speed=60 / seconds, connections=1024, timeout=30)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:

        async def play() -> tuple[float, float]:
            sending = Sending(plan, wording, tally, url=target.url, tls=None, pace=pace)
            clock, processor = time.perf_counter(), time.process_time()
            await sending.run()
            return time.perf_counter() - clock, time.process_time() - processor

        clock, processor = runner.run(play())
    return {
        "offered": len(plan.at) / seconds,
        "accepted": sum(tally.total(one) for one in (0, 1)) / clock,  # type: ignore[arg-type]
        "startP99": tally.starts.percentile(99),
        "startMost": tally.starts.most,
        "processor": processor / clock,
        "processorMicros": processor / len(plan.at) * 1e6,
    }


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    arguments.add_argument("--per-ticket", type=float, default=0.0, help="questions for each ticket")
    arguments.add_argument("--hub", action="store_true", help="measure a hub in the same run, too")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--null", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.null:
        serve_null()
        return 0

    found: dict[str, object] = {}
    rates: list[dict[str, float]] = []
    process, address = start([sys.executable, "-m", "bench.storm", "--null"])
    try:
        for number, rate in enumerate(_RATES):
            plan = a_plan(rate, options.seconds, options.per_ticket, number)
            rates.append(offer(address, plan, options.seconds, source=f"BENCH-{number}"))
            if rates[-1]["startP99"] > _KEPT_SECONDS:
                break
    finally:
        process.terminate()
        process.wait()
    kept = [one for one in rates if one["startP99"] <= _KEPT_SECONDS]
    found["rates"] = rates
    found["kept"] = kept[-1]["offered"] if kept else 0.0
    if options.hub:
        found["hub"] = measure_hub()
        found["ratio"] = float(found["kept"]) / float(found["hub"])  # type: ignore[arg-type]
    if options.json:
        print(json.dumps(found))
        return 0
    for one in rates:
        print(
            f"  {one['offered']:8.0f} offered a second, {one['accepted']:8.0f} answered; begun within "
            f"{one['startP99'] * 1000:7.1f} ms (99 %), {one['startMost'] * 1000:7.1f} ms (all); "
            f"{one['processor']:.2f} of a core, {one['processorMicros']:.0f} us a message"
        )
    print(f"  kept: {found['kept']:.0f} a second")
    if options.hub:
        print(f"  hub takes {found['hub']:.0f} creates a second; ratio {found['ratio']:.1f}")
    return 0


def measure_hub() -> float:
    """Creates a second that a hub takes, offered at once over 32 connections."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'hub.db'}"
        process, address = start([sys.executable, "-m", "cimcare", "serve", "--port", "0", "--database", database])
        try:
            plan = a_plan(200, 5, 0.0, 99)
            target = Target(url=f"{address}/soap", form=Form.SOAP11, source="BENCH-HUB")
            tally, wording = Tally(plan), Wording(plan, target, datetime(2026, 3, 2, 12, tzinfo=UTC))

            async def play() -> float:
                # All are due at once: 32 connections take them in turn.
                pace = Pace(speed=100_000, connections=32, timeout=120)
                sending = Sending(plan, wording, tally, url=target.url, tls=None, pace=pace)
                clock = time.perf_counter()
                await sending.run()
                return sum(tally.total(one) for one in (0, 1)) / (time.perf_counter() - clock)  # type: ignore[arg-type]

            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                return runner.run(play())
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
