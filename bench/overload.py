"""What an overload does to a hub, in one run: its pace is found, then half of it and three times as much is offered.

Offered are creates of trouble tickets; 2 % report a hazard and 1 % come from customers on life support. Printed
are how many were accepted and refused (503 with reply code 5.1), how long the accepted ones waited, as ratios to the
waits at half the pace and of hazards to the others, whether waits grew as the overload went on, and the processor time
of a refusal beside that of an acceptance.

Exit code 1 if a hazard was refused, if hazards waited longer than others, or if the waits of the last third were more
than 1.5 times those of the second (the first third fills the queue).
`python bench/overload.py [--times X] [--seconds N] [--postgresql] [--json]`.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.load import (
    Answered,
    Client,
    Outgoing,
    cpu_seconds,
    mixed_creates,
    percentile,
    run,
    send_at_rate,
    send_in_turn,
)
from cimcare.exchange.outbox import Priority
from tests.support.hub import HubProcess, hub_process
from tests.support.postgres import a_database

SHARES = {Priority.HAZARD: 0.02, Priority.LIFE_SUPPORT: 0.01, Priority.NORMAL: 0.97}
MOST_GROWTH = 1.5
_CONNECTIONS = 32
_WARM_UP = 300
_WAITS = (0.5, 0.95, 0.99)


class Phase(msgspec.Struct, frozen=True):
    """What was seen while so many messages a second were offered."""

    rate: float
    answered: list[Answered]
    cpu: float

    @property
    def accepted(self) -> int:
        return sum(one.is_ok for one in self.answered)

    def waits(self, *priorities: Priority) -> list[float]:
        """Seconds to the answer of those that were accepted."""
        return [one.seconds for one in self.answered if one.is_ok and one.message.priority in priorities]

    def waits_of_third(self, number: int) -> list[float]:
        """Of the ordinary ones of one third of the time."""
        ordered = sorted(self.answered, key=lambda one: one.sent_at)
        third = ordered[number * len(ordered) // 3 : (number + 1) * len(ordered) // 3]
        return [one.seconds for one in third if one.is_ok and one.message.priority is Priority.NORMAL]

    def share(self, priority: Priority) -> float:
        """Part of the messages of this priority that was accepted."""
        all_of_them = [one for one in self.answered if one.message.priority is priority]
        return sum(one.is_ok for one in all_of_them) / len(all_of_them) if all_of_them else 1.0


def find_pace(hub: HubProcess, messages: list[Outgoing]) -> tuple[float, float]:
    """Accepted a second over 32 connections, and processor seconds of one."""
    client = Client(hub.address)
    run(lambda: send_in_turn(client, messages[:_WARM_UP], _CONNECTIONS))
    client = Client(hub.address)
    before = cpu_seconds(hub.process.pid)
    rate = run(lambda: send_in_turn(client, messages[_WARM_UP:], _CONNECTIONS))
    return rate, (cpu_seconds(hub.process.pid) - before) / (len(messages) - _WARM_UP)


def offer(hub: HubProcess, rate: float, seconds: float, *, first: int) -> Phase:
    """Send so many a second for so long."""
    messages = mixed_creates(SHARES, int(rate * seconds), first=first, name="o")
    before = cpu_seconds(hub.process.pid)
    client = Client(hub.address)
    answered = run(lambda: send_at_rate(client, messages, rate))
    return Phase(rate, answered, cpu_seconds(hub.process.pid) - before)


def figures(light: Phase, heavy: Phase, cpu_of_one: float) -> dict[str, float]:
    """The ratios."""
    normal, hazard = Priority.NORMAL, Priority.HAZARD
    refused = len(heavy.answered) - heavy.accepted
    return {
        "accepted beside offered at the pace": heavy.accepted / (len(heavy.answered) / heavy.rate) / (2 * light.rate),
        "p99 of ordinary ones beside half the pace": percentile(heavy.waits(normal), 0.99)
        / percentile(light.waits(normal), 0.99),
        "p95 of hazards beside half the pace": percentile(heavy.waits(hazard), 0.95)
        / percentile(light.waits(hazard), 0.95),
        "p95 of hazards beside ordinary ones": percentile(heavy.waits(hazard), 0.95)
        / percentile(heavy.waits(normal), 0.95),
        "hazards accepted": heavy.share(hazard),
        "life support accepted": heavy.share(Priority.LIFE_SUPPORT),
        "p95 of the last third beside the second": percentile(heavy.waits_of_third(2), 0.95)
        / percentile(heavy.waits_of_third(1), 0.95),
        "processor time of a refusal beside an acceptance": (heavy.cpu - heavy.accepted * cpu_of_one)
        / refused
        / cpu_of_one
        if refused
        else float("nan"),
    }


def describe(name: str, phase: Phase) -> None:
    """Print what was seen."""
    statuses = Counter(one.status for one in phase.answered if not one.is_ok)
    refused = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items())) or "none"
    print(f"  {name}: {phase.rate:.0f} a second offered, {phase.accepted} accepted, refused {refused}")
    for what, priority in (
        ("ordinary", Priority.NORMAL),
        ("life support", Priority.LIFE_SUPPORT),
        ("hazards", Priority.HAZARD),
    ):
        waits = phase.waits(priority)
        told = "  ".join(f"p{share * 100:.0f} {percentile(waits, share) * 1000:7.1f} ms" for share in _WAITS)
        print(f"    {what:13} {told}  ({phase.share(priority):.1%} accepted)")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=float, default=3.0, help="how many times the pace of the hub is offered")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the overload")
    parser.add_argument("--messages", type=int, default=1500, help="to find the pace with")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder = Path(text)
        database = stack.enter_context(a_database("postgresql" if options.postgresql else "sqlite", folder))
        hub = stack.enter_context(hub_process(folder, database=database))
        pace, cpu_of_one = find_pace(hub, mixed_creates(SHARES, _WARM_UP + options.messages, first=0, name="p"))
        light = offer(hub, pace / 2, options.seconds / 2, first=1_000_000)
        heavy = offer(hub, pace * options.times, options.seconds, first=2_000_000)
    found = figures(light, heavy, cpu_of_one)
    if options.json:
        print(json.dumps(found))
    else:
        print(f"  pace over {_CONNECTIONS} connections: {pace:.0f} a second")
        describe("half the pace", light)
        describe(f"{options.times:g} times the pace", heavy)
        for name, value in found.items():
            print(f"  {name}: {value:.2f}")
    is_well = (
        found["hazards accepted"] == 1
        and found["p95 of hazards beside ordinary ones"] <= 1
        and found["p95 of the last third beside the second"] <= MOST_GROWTH
    )
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
