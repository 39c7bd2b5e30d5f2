"""The long form: `python -m tests.simulation --seeds 1:100000`, and one seed again: `--seed 4711 --trace`.

Exit code 0 if every promise was kept, 1 if not, 2 for wrong use. What was found goes to standard output, progress to
standard error.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from time import monotonic

import msgspec

from tests.simulation.durable import DURABLES
from tests.simulation.world import Run, simulate

__all__ = ["main"]

_TOGETHER = 25
_SHOWN_SECONDS = 10.0


class Result(msgspec.Struct, frozen=True):
    """What the long form keeps of a run."""

    seed: int
    violations: tuple[str, ...]
    counts: Counter[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code."""
    wanted = _parser().parse_args(arguments)
    if wanted.seed is not None:
        return _run_one(wanted.seed, wanted.store, is_traced=wanted.trace, about=wanted.about)
    return _run_many(wanted.seeds, wanted.store, jobs=wanted.jobs, most=wanted.most)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seeds", type=_seeds, metavar="FIRST:LAST", help="run all of these, the last one included")
    what.add_argument("--seed", type=int, metavar="N", help="run this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print the whole conversation")
    parser.add_argument("--about", default="", metavar="TEXT", help="with --trace: only lines with this text")
    parser.add_argument("--store", choices=sorted(DURABLES), default="memory", help="on which store (memory)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each processor)")
    parser.add_argument("--most", type=int, default=10, metavar="N", help="stop after so many seeds that failed (10)")
    return parser


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last or first) + 1)


def _run_one(seed: int, store: str, *, is_traced: bool, about: str) -> int:
    run = _simulate(seed, store)
    lines = run.describe(about)
    for line in lines if is_traced else islice(lines, 1 + len(run.violations)):
        print(line)
    return 1 if run.violations else 0


def _run_many(seeds: range, store: str, *, jobs: int, most: int) -> int:
    failed: list[Result] = []
    counts: Counter[str] = Counter()
    begun = shown = monotonic()
    for done, result in enumerate(_results(seeds, store, jobs), 1):
        counts.update(result.counts)
        if result.violations:
            failed.append(result)
            print(f"seed {result.seed}: `python -m tests.simulation --store {store} --seed {result.seed} --trace`")
            print("".join(f"  ! {violation}\n" for violation in result.violations), end="", flush=True)
        if monotonic() - shown > _SHOWN_SECONDS:
            shown = monotonic()
            print(f"{done} of {len(seeds)} seeds, {len(failed)} failed", file=sys.stderr, flush=True)
        if len(failed) >= most:
            break
    told = ", ".join(f"{number} {what}" for what, number in counts.items())
    print(f"{done} seeds on {store} in {monotonic() - begun:.0f} s, {len(failed)} failed: {told}")
    return 1 if failed else 0


def _results(seeds: range, store: str, jobs: int) -> Iterator[Result]:
    """The results in the order of the seeds."""
    if jobs <= 1:
        yield from (_result(seed, store) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(_result, seeds, [store] * len(seeds), chunksize=_TOGETHER)
        finally:
            pool.shutdown(cancel_futures=True)


def _result(seed: int, store: str) -> Result:
    run = _simulate(seed, store)
    return Result(seed, run.violations, run.counts)


def _simulate(seed: int, store: str) -> Run:
    return simulate(seed, DURABLES[store]())


if __name__ == "__main__":
    sys.exit(main())
