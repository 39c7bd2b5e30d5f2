"""How long a process waits for the file of SQLite while another one writes without a break.

One process saves objects for thirty clients at once. The other saves one object after another, and its loop has
something else to do all the time: it works for so many milliseconds, looks around, and works again, as a hub does that
reads messages. Printed are milliseconds that a save of the second took (half of them at most, 95 of 100 at most, and
the longest), and how many objects a second both saved.

`--beside FOLDER` plays the same with another tree of the project, in turns; the ratio is of medians.

`python bench/turns.py [--seconds N] [--work MS] [--rounds N] [--beside FOLDER] [--json]`.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.load import percentile, play_in, play_in_turns, run
from cimcare.exchange.ports import Collection, Stored
from cimcare.model.identity import MRID
from cimcare.store.sqlite import SqliteStore

_CLIENTS = 30
_AT = datetime(2026, 1, 10, 12, tzinfo=UTC)


class Thing(msgspec.Struct, frozen=True):
    """What is stored."""

    text: str


class Figures(msgspec.Struct, kw_only=True):
    """What one round came to."""

    half_milliseconds: float
    most_milliseconds: float
    longest_milliseconds: float
    waiting_per_second: float
    writing_per_second: float


THINGS = Collection("oms.TroubleTickets", Thing)


async def save(store: SqliteStore, name: str) -> None:
    """One object, as a message would."""
    async with store.transaction() as transaction:
        await transaction.records.save(
            THINGS, Stored(mrid=MRID(name), body=Thing("x" * 1000), created_at=_AT, modified_at=_AT)
        )


async def write_on(path: Path, seconds: float) -> float:
    """Save for many clients; how many objects a second."""
    store = SqliteStore.open(path)
    end = time.monotonic() + seconds
    numbers = count()

    async def go_on() -> None:
        while time.monotonic() < end:
            await save(store, f"w{next(numbers)}")

    await asyncio.gather(*(go_on() for _ in range(_CLIENTS)))
    await store.close()
    return next(numbers) / seconds


async def wait_often(path: Path, seconds: float, work: float) -> list[float]:
    """Save one after another on a loop that has much to do; seconds that each took."""
    store = SqliteStore.open(path)
    end = time.monotonic() + seconds
    took = []

    async def have_much_to_do() -> None:
        while time.monotonic() < end:
            until = time.monotonic() + work
            while time.monotonic() < until:
                pass
            await asyncio.sleep(0)

    busy = asyncio.create_task(have_much_to_do())
    while time.monotonic() < end:
        began = time.monotonic()
        await save(store, f"o{len(took)}")
        took.append(time.monotonic() - began)
    await busy
    await store.close()
    return took


def play(options: argparse.Namespace) -> Figures:
    """One round, with the code that is imported."""
    with tempfile.TemporaryDirectory(prefix="cimcare-turns-") as folder:
        path = Path(folder) / "hub.db"
        run(lambda: write_on(path, 0.1))
        command = [sys.executable, __file__, "--writer", str(path), "--seconds", str(options.seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            took = run(lambda: wait_often(path, options.seconds, options.work / 1000))
            said, _ = writer.communicate()
    return Figures(
        half_milliseconds=1000 * percentile(took, 0.5),
        most_milliseconds=1000 * percentile(took, 0.95),
        longest_milliseconds=1000 * max(took),
        waiting_per_second=len(took) / options.seconds,
        writing_per_second=float(said),
    )


def round_of(tree: Path, options: argparse.Namespace) -> Figures:
    """A round with the code of a tree."""
    arguments = ["--seconds", str(options.seconds), "--work", str(options.work)]
    return msgspec.json.decode(play_in(tree, __file__, *arguments), type=Figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--work", type=float, default=15.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another tree of the project")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        print(run(lambda: write_on(options.writer, options.seconds)))
    elif options.child:
        print(msgspec.json.encode(play(options)).decode())
    else:
        play_in_turns(options, lambda tree: round_of(tree, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
