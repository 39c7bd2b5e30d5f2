"""One hub process beside two behind one address, in one run: creates of trouble tickets a second over real sockets.

On a file of SQLite and on PostgreSQL. The two ways take turns, each over a new database and with connections of its
own; the client is a process beside them and takes its part of the machine. Prints the rates, their ratio, and how many
of the connections each worker was given. The server of PostgreSQL is the one of CIMCARE_TEST_POSTGRES, or one of its
own (then with fsync). `python bench/workers.py [--messages N] [--connections N] [--rounds N] [--workers N] [--json]`.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.intake import a_create
from tests.support.postgres import NoServerError, PostgresServer, a_server

HEAD = "POST /messages HTTP/1.1\r\nHost: hub\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n"


class Connection(asyncio.Protocol):
    """Sends one request after another; the cheapest client there is, since it shares the machine with the hub."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._answer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not blank or len(body) < int(length):
            return
        if not head.startswith(b"HTTP/1.1 200") or b"<Result>FAILED" in body:
            self._end(RuntimeError(self._answer.decode()))
            return
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or RuntimeError("the hub has closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        self._transport.close()
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


async def drive(address: str, requests: list[bytes], connections: int) -> float:
    """Creates a second."""
    host, port = address.removeprefix("http://").split(":")
    waiting = iter(requests)
    loop = asyncio.get_running_loop()

    async def one_connection() -> None:
        _, connection = await loop.create_connection(lambda: Connection(waiting), host, int(port))
        await connection.done

    started = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    return len(requests) / (time.perf_counter() - started)


@contextlib.contextmanager
def hub(database: str, workers: int) -> Iterator[str]:
    """Address of a hub with all its workers."""
    command = [sys.executable, "-m", "cimcare", "serve", "--port", "0", "--database", database]
    process = subprocess.Popen(
        [*command, "--workers", str(workers)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        while f"cimcare_workers {workers}.0" not in read(f"{address}/metrics"):
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def read(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read(), "utf-8")


@contextlib.contextmanager
def databases(server: PostgresServer | None, kind: str) -> Iterator[str]:
    """URL of a new database."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'hub.db'}"
    else:
        assert server is not None
        with server.database() as url:
            yield url


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=3000, help="creates a round")
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()

    bodies = [a_create(seed) for seed in range(options.messages)]
    requests = [HEAD.format(len(body)).encode() + body for body in bodies]
    rates: dict[str, dict[int, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        server = None
        with contextlib.suppress(NoServerError):
            server = stack.enter_context(a_server())
            for setting in ("fsync", "full_page_writes"):
                server.execute(f"ALTER SYSTEM SET {setting} = on")
            server.execute("SELECT pg_reload_conf()")
        for kind in ("sqlite", "postgresql") if server is not None else ("sqlite",):
            rates[kind] = {1: [], options.workers: []}
            for _ in range(options.rounds):
                for workers, found in rates[kind].items():
                    with databases(server, kind) as database, hub(database, workers) as address:
                        found.append(uvloop.run(drive(address, requests, options.connections)))
    ratios = {kind: max(found[options.workers]) / max(found[1]) for kind, found in rates.items()}
    if options.json:
        print(json.dumps({"rates": rates, "ratios": ratios}))
        return 0
    for kind, found in rates.items():
        for workers, values in found.items():
            rounds = ", ".join(f"{one:.0f}" for one in values)
            print(f"  {kind:10} {workers} workers {max(values):8.0f} creates a second (rounds: {rounds})")
        print(f"  {kind:10} {options.workers} / 1 {ratios[kind]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
