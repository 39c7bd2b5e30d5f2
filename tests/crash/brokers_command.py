"""`make crash-brokers`: the crash harness with a broker as a command.

Prints a line for each broker, protocol and victim; exit code 1 if a promise was broken.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.crash.brokers import VICTIMS, run_broker_cycles
from tests.crash.bus import java_bus, session_bus
from tests.crash.judging import Report
from tests.support.java_peers import compile_peers
from tests.support.services import BROKERS

SCHEMES = {"activemq": ("stomp",), "rabbitmq": ("amqp", "amqp10", "stomp")}


def main() -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=20, help="how often the victim is killed")
    parser.add_argument("--tickets", type=int, default=8, help="tickets in work at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=SCHEMES, action="append", help="default: both")
    parser.add_argument("--scheme", action="append", help="by which the hub speaks with it; default: all it knows")
    parser.add_argument("--victim", choices=VICTIMS, action="append", help="default: broker")
    given = parser.parse_args()
    names = Report.__struct_fields__
    print(f"{'broker':9} {'scheme':7} {'victim':7} " + " ".join(f"{name:>11}" for name in names))
    is_clean = True
    for broker in given.broker or SCHEMES:
        for scheme in given.scheme or SCHEMES[broker]:
            for victim in given.victim or ["broker"]:
                report = asyncio.run(_run(broker, scheme, victim, given))
                values = " ".join(f"{getattr(report, name):>11}" for name in names)
                print(f"{broker:9} {scheme:7} {victim:7} {values}", flush=True)
                is_clean = is_clean and report.is_clean
    return 0 if is_clean else 1


async def _run(name: str, scheme: str, victim: str, given: argparse.Namespace) -> Report:
    context = f"CRASH{secrets.token_hex(4).upper()}"
    with tempfile.TemporaryDirectory() as folder:
        broker = BROKERS[name](Path(folder) / "broker")
        classes = Path(folder) / "java"
        classes.mkdir()
        peers = compile_peers(classes) if name == "activemq" else None
        try:
            broker.start()
            return await run_broker_cycles(
                Path(folder),
                broker=broker,
                scheme=scheme,
                open_bus=lambda logs: (
                    java_bus(peers, broker.url("tcp"), context, logs)
                    if peers is not None
                    else session_bus(broker, "amqp", context)
                ),
                context=context,
                cycles=given.cycles,
                tickets=given.tickets,
                seed=given.seed,
                victim=victim,
            )
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main())
