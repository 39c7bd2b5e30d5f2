"""What a hub takes at most: creates of trouble tickets of the profile `million`, one after another on each connection.

A hub of one process that takes and one that carries, with three simulated partners that take every event, and a town of
21,000 premises. Printed are tickets a second, milliseconds of the processor that each of the two processes spent on a
ticket until all was delivered, and which part of what there was to carry was carried while tickets came: with much less
than 1 the partners fall behind.

Times are those of the machine, and a machine may be busy with others: compare within one run. `--beside FOLDER` plays
the same with another tree of the project, in turns; the ratio is of medians.

`python bench/saturation.py [--tickets N] [--connections N] [--rounds N] [--beside FOLDER] [--json]`.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.load import cpu_seconds, play_in, play_in_turns, run
from bench.workers import drive

_SMALLER = 20
_WARM = 1000
_CARRIED_SECONDS = 12.0


class Figures(msgspec.Struct, kw_only=True):
    """What one round came to."""

    per_second: float
    taking_milliseconds: float
    carrying_milliseconds: float
    carried_in_time: float


def children_of(process: int) -> list[int]:
    """Processes that a process has started, the first one first."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=True)
    return sorted(int(one) for one in found.stdout.split())


def play(options: argparse.Namespace) -> Figures:
    """One round, with the code that is imported."""
    from cimcare.storm.plan import Item, draw_plan  # noqa: PLC0415 - of the tree that is measured
    from cimcare.storm.profile import load_profile  # noqa: PLC0415
    from cimcare.storm.run import find_target  # noqa: PLC0415
    from cimcare.storm.stage import running_stage  # noqa: PLC0415
    from cimcare.storm.wording import Form, Wording  # noqa: PLC0415

    profile = load_profile("million")
    town = msgspec.structs.replace(
        profile.town,
        premises=profile.town.premises // _SMALLER,
        active_faults=profile.town.active_faults // _SMALLER,
    )
    profile = msgspec.structs.replace(profile, town=town, tickets_in_all=profile.tickets_in_all // _SMALLER)
    plan = draw_plan(profile, scale=1.0, seed=options.seed)
    with running_stage(profile, 1.0, workers=1, couriers=1) as stage:
        wording = Wording(plan, find_target(stage.address, Form.SOAP11), profile.start)
        tickets = [number for number in range(len(plan.at)) if plan.kinds[number] == Item.TICKET]
        requests = [wording.request(number) for number in tickets[: _WARM + options.tickets]]
        serving = next(one for one in children_of(os.getpid()) if b"serve" in Path(f"/proc/{one}/cmdline").read_bytes())
        processes = children_of(serving)
        run(lambda: drive(stage.address, requests[:_WARM], options.connections))
        time.sleep(2.0)
        before = [cpu_seconds(one) for one in processes]
        per_second = run(lambda: drive(stage.address, requests[_WARM:], options.connections))
        sent = [cpu_seconds(one) for one in processes]
        time.sleep(_CARRIED_SECONDS)
        carried = [cpu_seconds(one) for one in processes]
    count = len(requests) - _WARM
    whole = [1000 * (after - at) / count for at, after in zip(before, carried, strict=True)]
    return Figures(
        per_second=per_second,
        taking_milliseconds=whole[0],
        carrying_milliseconds=whole[1],
        carried_in_time=(sent[1] - before[1]) / (carried[1] - before[1]),
    )


def round_of(tree: Path, options: argparse.Namespace) -> Figures:
    """A round with the code of a tree."""
    sizes = {"--tickets": options.tickets, "--connections": options.connections, "--seed": options.seed}
    arguments = [str(one) for pair in sizes.items() for one in pair]
    return msgspec.json.decode(play_in(tree, __file__, *arguments), type=Figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickets", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another tree of the project")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(msgspec.json.encode(play(options)).decode())
        return 0
    play_in_turns(options, lambda tree: round_of(tree, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
