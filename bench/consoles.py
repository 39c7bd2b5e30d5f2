"""Intake beside 200 open consoles, in one run: creates of trouble tickets a second with them and without, in turns.

A console is what a browser keeps open: the stream of news, and a page that is fetched again when something has
changed, a little after the word of it and no more often than the page says, as `live.js` does it: overview, board of
incidents, map, messages, partners, an incident, call-backs. A process of its own plays them all, as other machines
would, though here it takes its time from the same processors as the hub, and it opens a connection for each fetch,
which is dearer than what browsers do. Rounds with and without take turns on one hub, so that whatever else the machine
does falls on both; each pair of rounds has its ratio, and the median of these is printed with its bounds. Consoles that
got nothing are an error and no measurement. Beside it stands what part of a processor the hub spends on them, which
says more where the machine has other work: its processor time in rounds with consoles, less what messages cost it
without.

`python bench/consoles.py [--consoles N] [--messages N] [--pairs N] [--json]`; exit code 1 where the ratio is below 0.9.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.load import Client, cpu_seconds, creates, median, run, send_in_turn
from tests.support.hub import hub_process

_NEWS = "/console/news"
_INCIDENT = "/console/incidents/"
_PAGES = (  # with the seconds between two looks, as their templates have them
    ("/console/", 2.0),
    ("/console/incidents", 3.0),
    ("/console/", 2.0),
    ("/console/incidents", 3.0),
    ("/console/map", 10.0),
    ("/console/messages", 10.0),
    ("/console/partners", 10.0),
    (_INCIDENT, 10.0),
    ("/console/tickets/callbacks", 5.0),
)
_SPREAD_SECONDS = 1.0
_FLOOR = 0.9
_CONNECTIONS = 16
_WARM_UP = 300


class Console:
    """One window: a page, and the news by which it goes on. It counts the looks that news brought, and all bytes."""

    def __init__(self, address: str, path: str, apart: float, seed: int) -> None:
        self.looks = self.size = 0
        self._parts = urlsplit(address)
        self._path = path
        self._apart = apart
        self._chance = random.Random(seed)
        self._made = self._newest = ""
        self._word = ""
        self._came = asyncio.Event()
        self.opened = asyncio.Event()

    async def stay(self) -> None:
        """Be open until cancelled."""
        await self._fetch()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._go_on())

    async def _send(self, path: str, *fields: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        lines = (f"GET {path} HTTP/1.1", f"Host: {self._parts.netloc}", *fields, "", "")
        writer.write("\r\n".join(lines).encode())
        return reader, writer

    async def _fetch(self) -> None:
        asked = (f"X-Not-Before: {max(self._made, self._newest)}", "HX-Request: true") if self._made else ()
        reader, writer = await self._send(self._path, "Connection: close", *asked)
        answer = await reader.read(-1)
        writer.close()
        made = re.search(rb"\r\nx-made-at: (\S+)", answer)
        if not answer.startswith(b"HTTP/1.1 200") or b"data-goes-on" not in answer or made is None:
            raise AssertionError(f"{self._path}: {answer[:1000]!r}")
        self._made = made[1].decode()
        self.size += len(answer)

    async def _listen(self) -> None:
        reader, writer = await self._send(_NEWS, "Accept: text/event-stream")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        while line := await reader.readline():
            self.size += len(line)
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                self._word = value
            elif name == "data":
                self._newest = value
                self.opened.set()
                if self._word == "still" or self._made < value:
                    self._came.set()
        writer.close()  # which until then keeps the connection
        raise AssertionError("the hub closed a console")

    async def _go_on(self) -> None:
        loop, following = asyncio.get_running_loop(), 0.0
        while True:
            await self._came.wait()
            now = loop.time()
            wait = max(_SPREAD_SECONDS * self._chance.random(), following - self._apart - now)
            following = max(following, now + wait) + self._apart
            await asyncio.sleep(wait)
            self._came.clear()
            await self._fetch()
            self.looks += 1


def find_incident(address: str) -> str:
    """Address of the page of an incident of the board."""
    with urlopen(f"{address}/console/incidents") as answer:
        found = re.search(r'href="(/console/incidents/[0-9a-f-]{36})"', answer.read().decode())
    if found is None:
        raise SystemExit("no incident is open that could be looked at")
    return found[1]


async def watch(address: str, number: int, incident: str) -> None:
    """Keep so many consoles open until stdin ends; then say how many looks each has had at least, and all bytes."""
    consoles = []
    for place in range(number):
        path, apart = _PAGES[place % len(_PAGES)]
        consoles.append(Console(address, incident if path == _INCIDENT else path, apart, place))
    tasks = [asyncio.create_task(console.stay()) for console in consoles]
    opening = asyncio.gather(*(console.opened.wait() for console in consoles))
    await asyncio.wait([opening, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        for task in tasks:
            if task.done():
                task.result()
    print("open", flush=True)
    before = min(console.looks for console in consoles)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    looks = min(console.looks for console in consoles) - before
    print(json.dumps({"looks": looks, "bytes": sum(console.size for console in consoles)}), flush=True)


def open_consoles(address: str, number: int) -> subprocess.Popen[str]:
    """Consoles in a process of their own, all of which have heard the news."""
    command = [sys.executable, __file__, "--watch", address, "--consoles", str(number)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline().strip() != "open":
        raise SystemExit("the consoles could not be opened")
    return process


def close_consoles(process: subprocess.Popen[str]) -> dict[str, int]:
    """What they have got."""
    said, _ = process.communicate()
    got: dict[str, int] = json.loads(said)
    if not got["looks"]:
        raise SystemExit("a console got nothing")
    return got


def measure(consoles: int, messages: int, pairs: int) -> dict[str, object]:
    """Rates by rounds that take turns, and their ratios."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    spent: dict[bool, list[float]] = {False: [], True: []}
    lasted: list[float] = []
    got: list[dict[str, int]] = []
    seeds = iter(range(10**9))

    def round_of(address: str, count: int) -> float:
        batch = list(creates((next(seeds) for _ in range(count)), name="consoles"))

        async def send() -> float:
            client = Client(address)
            try:
                return await send_in_turn(client, batch, _CONNECTIONS)
            finally:
                client.close()

        return run(send)

    with tempfile.TemporaryDirectory(prefix="consoles-") as folder, hub_process(Path(folder), seed_town=True) as hub:
        round_of(hub.address, _WARM_UP)
        for pair in range(pairs):
            for is_watched in (pair % 2 == 0, pair % 2 == 1):
                process = open_consoles(hub.address, consoles) if is_watched else None
                before = cpu_seconds(hub.process.pid)
                try:
                    rate = round_of(hub.address, messages)
                    spent[is_watched].append(cpu_seconds(hub.process.pid) - before)
                finally:
                    if process is not None:
                        with suppress(BrokenPipeError):
                            got.append(close_consoles(process))
                rates[is_watched].append(rate)
                if is_watched:
                    lasted.append(messages / rate)
                print(f"{'with' if is_watched else 'without'} consoles: {rate:.0f} a second", file=sys.stderr)
    ratios = [with_ / without for with_, without in zip(rates[True], rates[False], strict=True)]
    return {
        "consoles": consoles,
        "without": round(median(rates[False]), 1),
        "with": round(median(rates[True]), 1),
        "ratio": round(median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "processor_share": round((sum(spent[True]) - sum(spent[False])) / sum(lasted), 3),
        "looks_of_each_at_least": min(one["looks"] for one in got),
        "megabytes": round(sum(one["bytes"] for one in got) / 1e6, 1),
        "floor": _FLOOR,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the floor was not reached."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--consoles", type=int, default=200)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--watch", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.watch:
        asyncio.run(watch(given.watch, given.consoles, find_incident(given.watch)))
        return 0
    found = measure(given.consoles, given.messages, given.pairs)
    if given.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['consoles']} consoles: {found['with']} a second with them, {found['without']} without;"
            f" ratio {found['ratio']} ({found['lowest']} to {found['highest']}), wanted {_FLOOR};"
            f" {found['processor_share']} of a processor of the hub goes to them;"
            f" each looked at least {found['looks_of_each_at_least']} times in a round, {found['megabytes']} MB in all"
        )
    return 0 if float(str(found["ratio"])) >= _FLOOR else 1


if __name__ == "__main__":
    raise SystemExit(main())
