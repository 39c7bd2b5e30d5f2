"""Intake of the hub beside its floor, in one run: creates of trouble tickets a second over real sockets.

The floor does what nobody can leave out: take the bytes with the same server, parse, hold against the schemas, make the
raw message durable (SQLite, full sync, group commit on the loop), answer. The hub does all of its work besides: rules,
repeats, tickets to incidents, events, what the customer system keeps of them. Prints both rates, by rounds that take
turns, and their ratio. `python bench/intake.py [--messages N] [--connections N] [--rounds N] [--json]`.
"""

import argparse
import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import msgspec
import uvicorn

from cimcare.codec.envelope import MESSAGE_NAMESPACE, render_message
from cimcare.codec.limits import parse_xml
from cimcare.model.envelope import Payload, RequestMessage
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message
from cimcare.schema.catalog import Catalog
from cimcare.schema.validate import check_message

REPLY = (
    f'<ResponseMessage xmlns="{MESSAGE_NAMESPACE}"><Header><Verb>reply</Verb><Noun>TroubleTickets</Noun></Header>'
    "<Reply><Result>OK</Result></Reply></ResponseMessage>"
).encode()


def run_floor(database: str) -> None:
    """Serve the floor until the process is ended."""
    catalog = Catalog()
    connection = sqlite3.connect(database, isolation_level=None)
    for pragma in ("page_size=4096", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, raw BLOB)")
    waiters: list[asyncio.Future[None]] = []

    def flush() -> None:
        connection.execute("COMMIT")
        for waiter in waiters:
            waiter.set_result(None)
        waiters.clear()

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            event = await receive()  # type: ignore[operator]
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        assert not check_message(parse_xml(body), catalog)
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_soon(flush)
        connection.execute("INSERT INTO messages (raw) VALUES (?)", (body,))
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        await waiter
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/xml")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": REPLY})  # type: ignore[operator]

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", http="httptools", loop="uvloop")
    uvicorn.Server(config).run(sockets=[listener])


async def drive(address: str, messages: list[bytes], connections: int) -> float:
    """Creates a second; every one has to be answered with OK or PARTIAL."""
    waiting = iter(messages)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one_connection() -> None:
            for body in waiting:
                headers = {"Content-Type": "application/xml"}
                async with session.post(f"{address}/messages", data=body, headers=headers) as response:
                    answer = await response.read()
                    assert b"<Result>FAILED" not in answer, answer

        started = time.perf_counter()
        await asyncio.gather(*(one_connection() for _ in range(connections)))
        return len(messages) / (time.perf_counter() - started)


def a_create(seed: int) -> bytes:
    """A create with an mRID of its own; without the ticket's number, since sample numbers come again."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed)
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    (tickets,) = message.payload.content
    assert isinstance(tickets, TroubleTickets)
    (ticket,) = tickets.trouble_ticket
    content = TroubleTickets(trouble_ticket=(msgspec.structs.replace(ticket, names=()),))
    return render_message(msgspec.structs.replace(message, payload=Payload(content=(content,))))


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=1000, help="creates a round")
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--floor", metavar="DATABASE", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.floor:
        run_floor(options.floor)
        return 0

    with tempfile.TemporaryDirectory() as folder:
        hub = [sys.executable, "-m", "cimcare", "serve", "--port", "0"]
        started = {
            "floor": start([sys.executable, __file__, "--floor", str(Path(folder) / "floor.db")]),
            "hub": start([*hub, "--database", f"sqlite:///{Path(folder) / 'hub.db'}"]),
        }
        rates: dict[str, list[float]] = {name: [] for name in started}
        try:
            for number in range(options.rounds):
                seeds = range(number * options.messages, (number + 1) * options.messages)
                messages = [a_create(seed) for seed in seeds]
                for name, (_, address) in started.items():
                    rates[name].append(asyncio.run(drive(address, messages, options.connections)))
        finally:
            for process, _ in started.values():
                process.terminate()
                process.wait()
    best = {name: max(values) for name, values in rates.items()}
    ratio = best["hub"] / best["floor"]
    if options.json:
        print(json.dumps({"rates": rates, "ratio": ratio}))
    else:
        for name, values in rates.items():
            print(
                f"  {name:6} {best[name]:8.0f} creates a second (rounds: {', '.join(f'{one:.0f}' for one in values)})"
            )
        print(f"  hub / floor {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
