"""What a report of an outage costs the hub, step by step: seconds of the processor, and statements to the database.

A hub in this process, on SQLite, with a network of feeders and a directory of premises. Creates of trouble tickets,
each of premises of its own, go the way of a message as transports hand it over: parsed, checked, grouped to incidents,
told to the customer system, kept. Once with nobody who has subscribed, and once with three partners that take every
event over HTTP, in another process. Then reads: `get` of a ticket.

Times are those of one process, medians of the rounds. They still depend on what else the machine does, so compare
within one run: `--beside FOLDER` plays the same with another tree of the project, at the same time. `--statements`
lists the statements with their share, `--profile tottime` where time goes.

`python bench/spending.py [--creates N] [--rounds N] [--together N] [--beside FOLDER] [--statements] [--json]`.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.delivery import PARTNERS, partners_process, seen_by
from bench.grouping import POINTS_OF_FEEDER, grid, write
from bench.load import run, show_beside
from cimcare.codec.envelope import render_message
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.app import Hub
from cimcare.hub.config.settings import read_settings
from cimcare.model.directory import DirectoryRow
from cimcare.model.enumerations import TroubleReportingKind
from cimcare.model.envelope import Header, IDKind, ObjectID, Payload, Request, RequestMessage
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTicketCustomer, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.store.opening import open_store
from cimcare.store.sqlite_session import Session
from cimcare.systems.cis.loading import load_row
from cimcare.transport.channel import Received
from cimcare.transport.rest import XmlChannel

try:
    from cimcare.hub.serving.collector import settle_collector
except ImportError:  # a tree from before it

    def settle_collector() -> None:
        """Nothing was set."""


T = TypeVar("T")

_HERE = Path(__file__).resolve().parents[1]
_WRITTEN_TOGETHER = 5000
_FEEDERS = 20
_ENDED = (DeliveryState.WAITING, DeliveryState.LEASED)
_PATIENCE_SECONDS = 120.0


class Figures(msgspec.Struct, kw_only=True):
    """What one round came to: milliseconds of the processor and statements, each for one report, delivery or read."""

    intake: float = 0.0
    with_deliveries: float = 0.0
    deliveries: float = 0.0
    read: float = 0.0
    statements_intake: float = 0.0
    statements_with_deliveries: float = 0.0
    statements_read: float = 0.0


# ----------------------------------------------------------------------------------------------------- what is sent


def a_report(number: int, point: str, at: datetime) -> bytes:
    """A create of a ticket for one of the premises, which are named by number as callers do."""
    ticket = TroubleTicket(
        mrid=MRID(f"00000000-0000-4000-8000-{number:012}"),
        date_time_of_report=at,
        reporting_kind=TroubleReportingKind.call,
        trouble_code="NOPOWER",
        customer=TroubleTicketCustomer(names=(_name(f"C-{point}", "CustomerNumber"),)),
        service_location=ServiceLocationIdentity(names=(_name(point, "ServiceLocationNumber"),)),
        names=(_name(f"TT-{number}", "TicketNumber"),),
    )
    header = Header(
        verb=Verb.CREATE,
        noun=Noun.TROUBLE_TICKETS,
        timestamp=at,
        source="CALLS",
        message_id=MessageID(f"report-{number}"),
        correlation_id=None,
    )
    payload = Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),))
    return render_message(RequestMessage(header=header, payload=payload))


def a_get(number: int, ticket: int, at: datetime) -> bytes:
    """Where does my ticket stand?"""
    header = Header(
        verb=Verb.GET,
        noun=Noun.TROUBLE_TICKETS,
        timestamp=at,
        source="CALLS",
        message_id=MessageID(f"get-{number}"),
    )
    identifier = ObjectID(value=f"00000000-0000-4000-8000-{ticket:012}", kind=IDKind.uuid)
    return render_message(RequestMessage(header=header, request=Request(id=(identifier,))))


def _name(value: str, scheme: str) -> Name:
    return Name(name=value, name_type=NameType(name=scheme))


# ------------------------------------------------------------------------------------------------------ one process


async def prepare(database: str, points: Sequence[str]) -> None:
    """A network, and a directory of the premises that will call."""
    store = await open_store(database)
    parts = list(grid(_FEEDERS * POINTS_OF_FEEDER))
    for at in range(0, len(parts), _WRITTEN_TOGETHER):
        async with store.transaction() as transaction:
            await write(transaction.records, parts[at : at + _WRITTEN_TOGETHER])
    now, minted = datetime.now(UTC), iter(range(10**9))
    async with store.transaction() as transaction:
        for point in points:
            row = DirectoryRow(
                premises=point,
                customer=f"C-{point}",
                account=f"A-{point}",
                name=f"Customer of {point}",
                street="Lake Street",
                house_number=point,
                town="Northlake",
                telephone="555 0100",
                transformer=_transformer_of(point),
            )
            await load_row(transaction.records, row, now, lambda: f"10000000-0000-4000-8000-{next(minted):012}")
    await store.close()


def _transformer_of(point: str) -> str:
    feeder, number = (int(part) for part in point[1:].split("-"))
    return f"T{feeder}-{number // 80}-{number % 80 // 10}"


class Counting:
    """Counts statements to SQLite while it is in force."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    @contextmanager
    def watched(self) -> Any:
        """Statements of this block are counted; a statement run for each of several rows counts once."""
        kept = {name: Session.__dict__[name] for name in ("run", "run_each", "all", "one")}

        def counted(method: Any) -> Any:
            def count(session: Session, statement: str, *rest: Any) -> Any:
                if method is kept["run_each"]:
                    rest = (list(rest[0]),)
                    if not rest[0]:
                        return method(session, statement, *rest)
                self.seen[re.sub(r"(\?, )+\?", "?..", statement)] += 1
                return method(session, statement, *rest)

            return count

        for name, method in kept.items():
            setattr(Session, name, counted(method))
        try:
            yield
        finally:
            for name, method in kept.items():
                setattr(Session, name, method)

    def each(self, count: int) -> float:
        """Statements for each of so many."""
        return sum(self.seen.values()) / count


async def ask(hub: Hub, raws: Sequence[bytes], together: int) -> None:
    """Hand over messages, so many at a time, and hold each answer to be an OK."""
    waiting = iter(raws)

    async def one_sender() -> None:
        for raw in waiting:
            received = Received(channel=XmlChannel(), raw=raw, size_bytes=len(raw), content_type="application/xml")
            answer = await hub.pipeline.receive(received)
            assert b"<Result>OK" in answer.body or b"<Result>PARTIAL" in answer.body, answer.body

    await asyncio.gather(*(one_sender() for _ in range(together)))


async def delivered(store: Any, wanted: int, address: str) -> int:
    """Wait until nothing is left to deliver; how many have come."""
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends_at:
        await asyncio.sleep(0.1)
        if not await store.reader.outbox.select(DeliverySelection(states=_ENDED, limit=1)):
            break
    return (await seen_by(address)).count


async def play(options: argparse.Namespace, addresses: Sequence[str]) -> tuple[Figures, dict[str, Counting]]:
    """One round: without partners, with them, and reads."""
    draw, count = random.Random(options.seed), options.creates
    every = [f"P{feeder}-{point}" for feeder in range(_FEEDERS) for point in range(960)]
    points = draw.sample(every, 3 * count + 200)
    figures = Figures()
    counts = {name: Counting() for name in ("intake", "with deliveries", "read")}
    partners = "".join(
        f'[subscriptions.{name}]\nurl = "{address}/soap"\nsource = "{name.upper()}"\n'
        for name, address in zip(PARTNERS, addresses, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/hub.db"
        await prepare(database, points)
        for name, more in (("intake", ""), ("with deliveries", partners)):
            first = 0 if name == "intake" else len(points) // 2
            settings = read_settings(f'port = 0\ndatabase = "{database}"\nsystems.seed_town = false\n{more}')
            store = await open_store(database)
            hub = await Hub.open(settings, store=store)
            settle_collector()
            at = datetime.now(UTC)
            raws = [a_report(first + number, points[first + number], at) for number in range(len(points) // 2)]
            warm, timed, counted = raws[:50], raws[50 : 50 + count], raws[50 + count : 100 + count + count // 2]
            await ask(hub, warm, options.together)
            await delivered(store, 0, addresses[0])
            await seen_by(addresses[0], forget=True)
            gc.collect()
            began = time.process_time()
            await ask(hub, timed, options.together)
            if more:
                came = await delivered(store, 0, addresses[0])
                figures.with_deliveries = 1000 * (time.process_time() - began) / count
                figures.deliveries = came / count
            else:
                figures.intake = 1000 * (time.process_time() - began) / count
            with counts[name].watched():
                await ask(hub, counted, options.together)
                if more:
                    await delivered(store, 0, addresses[0])
            if more:
                figures.statements_with_deliveries = counts[name].each(len(counted))
            else:
                figures.statements_intake = counts[name].each(len(counted))
                reads = [a_get(number, draw.randrange(50 + count), at) for number in range(2 * count)]
                began = time.process_time()
                await ask(hub, reads[:count], options.together)
                figures.read = 1000 * (time.process_time() - began) / count
                with counts["read"].watched():
                    await ask(hub, reads[count:], options.together)
                figures.statements_read = counts["read"].each(count)
            await hub.close()
    return figures, counts


def profile(options: argparse.Namespace, addresses: Sequence[str]) -> None:
    """The same under the profiler of the standard library, for whoever looks for the next gain."""
    import cProfile  # noqa: PLC0415 - for this alone
    import pstats  # noqa: PLC0415

    profiler = cProfile.Profile()
    profiler.enable()
    run(lambda: play(options, addresses))
    profiler.disable()
    pstats.Stats(profiler).sort_stats(options.profile).print_stats(80)


# ------------------------------------------------------------------------------------------------------------- main


def child(options: argparse.Namespace, tree: Path, addresses: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Begin a round in a process of its own, with the code of a tree."""
    command = [sys.executable, __file__, "--child", *addresses]
    command += ["--creates", str(options.creates), "--together", str(options.together), "--seed", str(options.seed)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONHASHSEED": "0"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def figures_of(process: "subprocess.Popen[bytes]") -> Figures:
    """What a round came to."""
    out, _ = process.communicate()
    assert process.returncode == 0, process.args
    return msgspec.json.decode(out.splitlines()[-1], type=Figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creates", type=int, default=500)
    parser.add_argument("--together", type=int, default=16, help="messages in work at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another tree of the project")
    parser.add_argument("--statements", action="store_true", help="list the statements of a round")
    parser.add_argument("--profile", metavar="ORDER", help="show where time goes: tottime or cumulative")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs="+", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        figures, _ = run(lambda: play(options, options.child))
        print(msgspec.json.encode(figures).decode())
        return 0
    with partners_process() as addresses, partners_process() as other_addresses:
        if options.statements:
            figures, counts = run(lambda: play(options, addresses))
            for name, counting in counts.items():
                print(f"{name}: {sum(counting.seen.values())}")
                for statement, times in counting.seen.most_common():
                    print(f"  {times / sum(counting.seen.values()):6.1%} {times:6} {statement[:150]}")
            return 0
        if options.profile:
            profile(options, addresses)
            return 0
        trees = {"this": _HERE} | ({"beside": options.beside.resolve()} if options.beside else {})
        rounds: dict[str, list[Figures]] = {name: [] for name in trees}
        for _ in range(options.rounds):
            # At the same time, so that both have the same machine.
            places = (addresses, other_addresses)
            begun = {name: child(options, tree, at) for (name, tree), at in zip(trees.items(), places, strict=False)}
            for name, process in begun.items():
                rounds[name].append(figures_of(process))
    best = {
        name: {field: statistics.median(getattr(one, field) for one in played) for field in Figures.__struct_fields__}
        for name, played in rounds.items()
    }
    if options.json:
        print(json.dumps(best))
        return 0
    show_beside(best)
    return 0


if __name__ == "__main__":
    sys.exit(main())
