"""A hub for tests: inside the test's event loop, or as a process of its own that can be killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cimcare.hub.config.settings import Settings, read_settings
from cimcare.hub.serving.lifespan import RunningHub, running_hub
from cimcare.transport.http import AsgiApp

__all__ = [
    "HubProcess",
    "Response",
    "call",
    "exchange_raw",
    "hub_process",
    "hub_settings",
    "local_hub",
    "settings_text",
]

_PROGRAM = """
import sys
from cimcare.console.pages import console_pages
from cimcare.hub.serving.lifespan import serve
from cimcare.hub.config.settings import read_settings
from cimcare.hub.serving.workers import serve_workers
settings, workers, couriers = read_settings(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def tell(address):
    print(address, flush=True)
if workers == 1 and not couriers:
    serve(settings, on_start=tell, pages=console_pages)
else:
    serve_workers(
        settings, workers=workers, couriers=couriers, on_start=tell, program="cimcare.console.worker"
    )
"""


def settings_text(folder: Path, more: str = "", *, seed_town: bool = False, database: str = "") -> str:
    """Text of a file of settings: a free port, a database (in `folder` if none is named), and `more` lines."""
    town = f"systems.seed_town = {str(seed_town).lower()}\n"
    url = database or f"sqlite:///{folder / 'hub.db'}"
    return f'port = 0\ndatabase = "{url}"\n{town}{more}'


def hub_settings(folder: Path, more: str = "", *, seed_town: bool = False, database: str = "") -> Settings:
    """Settings with a free port and a database, in `folder` if none is named."""
    return read_settings(settings_text(folder, more, seed_town=seed_town, database=database))


@asynccontextmanager
async def local_hub(folder: Path, more: str = "", *, seed_town: bool = False) -> AsyncIterator[RunningHub]:
    """A hub on the running event loop, behind a socket."""
    async with running_hub(hub_settings(folder, more, seed_town=seed_town)) as running:
        yield running


class HubProcess(msgspec.Struct, frozen=True):
    """A hub in a process of its own."""

    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        """End it at once, without any chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to drain and end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def hub_process(
    folder: Path,
    more: str = "",
    *,
    seed_town: bool = False,
    database: str = "",
    workers: int = 1,
    couriers: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[HubProcess]:
    """Start a hub as a process and wait until it listens; whatever becomes of it, it is gone afterwards."""
    text = settings_text(folder, more, seed_town=seed_town, database=database)
    with (folder / "hub.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, text, str(workers), str(couriers)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")}
            | dict(environment or {}),
        )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, (folder / "hub.log").read_text()
        yield HubProcess(process, address)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


async def exchange_raw(address: str, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes to the hub as they are and read until it closes. `end` closes our side first.

    Empty if the hub cut the connection off while this side was still sending.
    """
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    if end:
        writer.write_eof()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


class Response(msgspec.Struct, frozen=True):
    """What an ASGI application sent back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def call(
    app: AsgiApp,
    path: str,
    body: bytes | Sequence[bytes] = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    breaks_off: bool = False,
) -> Response | None:
    """Call an ASGI application without any socket. `breaks_off` ends the connection after the body's last piece."""
    path, _, query = path.partition("?")
    pieces = [body] if isinstance(body, bytes) else list(body)
    given = {"host": "hub.example", "content-type": "text/xml", **(headers or {})}
    if isinstance(body, bytes) and not breaks_off:
        given.setdefault("content-length", str(len(body)))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    events: list[dict[str, object]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if breaks_off:
        events.append({"type": "http.disconnect"})
    else:
        events[-1]["more_body"] = False
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    await app(scope, receive, send)
    if not sent:
        return None
    lines = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Response(sent[0]["status"], lines, b"".join(event.get("body", b"") for event in sent[1:]))
