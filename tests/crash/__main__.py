"""`python -m tests.crash`: the crash harness as a command. Prints the table; exit code 1 if a promise was broken."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.crash.harness import first_delivery, run_cycles
from tests.crash.judging import Report
from tests.support.postgres import a_database

MOST_SECONDS = 5.0


def main() -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help="how often the hub is killed, on each store")
    parser.add_argument("--tickets", type=int, default=12, help="new tickets of each cycle")
    parser.add_argument("--pending", type=int, default=100_000, help="deliveries that wait at the restart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), action="append", help="default: both")
    given = parser.parse_args()
    names = [*Report.__struct_fields__, "first delivery"]
    print("store       " + " ".join(f"{name:>12}" for name in names))
    is_clean = True
    for store in given.store or ("sqlite", "postgresql"):
        report = asyncio.run(_cycles(store, given))
        seconds = asyncio.run(_first(store, given))
        values = [str(getattr(report, name)) for name in Report.__struct_fields__]
        print(f"{store:11} " + " ".join(f"{value:>12}" for value in [*values, f"{seconds:.2f} s"]), flush=True)
        is_clean = is_clean and report.is_clean and seconds < MOST_SECONDS
    return 0 if is_clean else 1


async def _cycles(store: str, given: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory() as name, a_database(store, Path(name)) as url:
        return await run_cycles(Path(name), database=url, cycles=given.cycles, tickets=given.tickets, seed=given.seed)


async def _first(store: str, given: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as name, a_database(store, Path(name)) as url:
        return await first_delivery(Path(name), database=url, pending=given.pending)


if __name__ == "__main__":
    sys.exit(main())
