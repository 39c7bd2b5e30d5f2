"""Intake beside 200 open consoles, in one run: creates of trouble tickets a second with them and without, in turns.

A console is what a browser keeps open: a stream of server-sent events, a third of them of the overview and a third of
the board of incidents; or the map of the town, which the last third asks for every ten seconds as its page does, not
all in one moment. A process of its own reads them all, as other machines would, though here it takes its time from
the same processors as the hub. Rounds with and without take turns on one hub, so that whatever else the machine does
falls on both; each pair of rounds has its ratio, and the median of these is printed with its bounds. Consoles that
got nothing are an error and no measurement. Beside it stands what part of a processor the hub spends on them, which
says more where the machine has other work: its processor time in rounds with consoles, less what messages cost it
without.

`python bench/consoles.py [--consoles N] [--messages N] [--pairs N] [--json]`; exit code 1 where the ratio is below 0.9.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.load import Client, cpu_seconds, creates, median, run, send_in_turn
from tests.support.hub import hub_process

_LIVE = ("/console/live", "/console/incidents/live")
_MAP = "/console/map"
_MAP_SECONDS = 10.0
_KINDS = len(_LIVE) + 1
_FLOOR = 0.9
_CONNECTIONS = 16
_WARM_UP = 300


async def watch(address: str, number: int) -> None:
    """Keep so many consoles open until stdin ends; then say how many events and bytes each has got at least."""
    parts = urlsplit(address)
    events, sizes = [0] * number, [0] * number
    opened = asyncio.Semaphore(0)

    async def map_(place: int) -> None:
        pause = _MAP_SECONDS * (place + 1) / number
        while True:
            # Anew each time: the hub does not keep a connection that is idle for so long.
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(f"GET {_MAP} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read(-1)
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200"), answer[:1000]
            assert b'id="town"' in answer, answer[:1000]
            sizes[place] += len(answer)
            if not events[place]:
                opened.release()
            events[place] += 1
            await asyncio.sleep(pause)  # the first is shorter, so that they do not all ask in one moment
            pause = _MAP_SECONDS

    async def console(place: int) -> None:
        if place % _KINDS == len(_LIVE):
            await map_(place)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        path = _LIVE[place % _KINDS]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        while chunk := await reader.read(65536):
            sizes[place] += len(chunk)
            if (came := chunk.count(b"event: ")) and not events[place]:
                opened.release()
            events[place] += came
        raise AssertionError("the hub closed a console")

    tasks = [asyncio.create_task(console(place)) for place in range(number)]
    for _ in range(number):
        taken = asyncio.ensure_future(opened.acquire())
        await asyncio.wait([taken, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    print(json.dumps({"events": min(events), "bytes": sum(sizes)}), flush=True)


def open_consoles(address: str, number: int) -> subprocess.Popen[str]:
    """Consoles in a process of their own, all of which have got their first event."""
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
    if not got["events"]:
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
        "events_of_each_at_least": min(one["events"] for one in got),
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
        asyncio.run(watch(given.watch, given.consoles))
        return 0
    found = measure(given.consoles, given.messages, given.pairs)
    if given.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['consoles']} consoles: {found['with']} a second with them, {found['without']} without;"
            f" ratio {found['ratio']} ({found['lowest']} to {found['highest']}), wanted {_FLOOR};"
            f" {found['processor_share']} of a processor of the hub goes to them;"
            f" each got at least {found['events_of_each_at_least']} events in a round, {found['megabytes']} MB in all"
        )
    return 0 if float(str(found["ratio"])) >= _FLOOR else 1


if __name__ == "__main__":
    raise SystemExit(main())
