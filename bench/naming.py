"""What objects cost the store that have as many names as a trouble ticket: SQLite, 25 objects a commit.

Each object has 24 keys, by which it is found: five names, each by itself and with type and authority, and identifiers
of other objects. All are of numbers at random, as accounts and premises of callers are. Printed for an object are
milliseconds of the processor, KiB written (to the log of writes, and by the thread that moves it), bytes of the file
afterwards, and rows of the table of keys.

`--beside FOLDER` plays the same with another tree of the project, in turns; the ratio is of medians.

`python bench/naming.py [--objects N] [--rounds N] [--beside FOLDER] [--json]`.
"""

import argparse
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.load import play_in, play_in_turns, run
from cimcare.exchange.ports import Collection, Key, Stored
from cimcare.model.identity import MRID
from cimcare.store.sqlite import SqliteStore
from cimcare.systems.identity import Label, stored_keys

_TOGETHER = 25
_AT = datetime(2026, 1, 10, 12, tzinfo=UTC)
_BODY = "x" * 1150
_NAMED = (
    ("agreement", "AgreementNumber"),
    ("customer", "CustomerNumber"),
    ("name", "TroubleTicketNumber"),
    ("service-location", "ServiceLocationNumber"),
)


class Thing(msgspec.Struct, frozen=True):
    """What is stored."""

    text: str


class Figures(msgspec.Struct, kw_only=True):
    """What one object came to."""

    milliseconds: float
    kibibytes_written: float
    bytes_of_file: float
    rows_of_keys: float


THINGS = Collection("oms.TroubleTickets", Thing)


def a_thing(draw: random.Random) -> Stored[Thing]:
    """An object with the keys of a ticket."""

    def an_mrid() -> MRID:
        return MRID(str(UUID(int=draw.getrandbits(128))))

    number = draw.randrange(10**8)
    keys = {Key(sort, an_mrid()) for sort in ("incident", "premises", "service-location", "usage-point")}
    keys |= {Key("reporting-kind", "ivr"), Key("trouble-code", "NO_SUPPLY")}
    for sort, type in _NAMED:
        keys |= stored_keys(sort, [Label("Town CIS", type, f"T-{number}")])
    keys |= stored_keys("usage-point", [Label("", "UsagePointNumber", f"T-UP-{number}")])
    return Stored(
        mrid=an_mrid(), body=Thing(_BODY), created_at=_AT, modified_at=_AT, state="open", keys=frozenset(keys)
    )


def written_bytes() -> int:
    """Bytes that this process has given to files."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar: ")).split()[1])


async def play(objects: int) -> Figures:
    """One round, with the code that is imported."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="cimcare-naming-") as folder:
        path = Path(folder) / "hub.db"
        store = SqliteStore.open(path)
        spent, written = time.process_time(), written_bytes()
        for _ in range(objects // _TOGETHER):
            async with store.transaction() as transaction:
                for _ in range(_TOGETHER):
                    await transaction.records.save(THINGS, a_thing(draw))
        spent, written = time.process_time() - spent, written_bytes() - written
        rows: int = store._reader.execute("SELECT count(*) FROM record_keys").fetchone()[0]
        await store.close()
        return Figures(
            milliseconds=1000 * spent / objects,
            kibibytes_written=written / 1024 / objects,
            bytes_of_file=path.stat().st_size / objects,
            rows_of_keys=rows / objects,
        )


def round_of(tree: Path, objects: int) -> Figures:
    """A round with the code of a tree."""
    return msgspec.json.decode(play_in(tree, __file__, "--objects", str(objects)), type=Figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another tree of the project")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(msgspec.json.encode(run(lambda: play(options.objects))).decode())
        return 0
    play_in_turns(options, lambda tree: round_of(tree, options.objects))
    return 0


if __name__ == "__main__":
    sys.exit(main())
