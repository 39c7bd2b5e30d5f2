"""Events through a broker beside two floors, in one run: a hub delivers to a queue, a bare library publishes to one.

The floors are the library of the protocol with nothing around it. It publishes the same bytes, persistent, and waits
for the broker's confirmation of each: `bare` before it publishes the next, as the plain call does; `gathered` with as
many under way at once as the hub has. The hub has the same events in its outbox when it starts, and does what a courier
does: claim, read, write the envelope, publish, wait for the confirmation, keep what came of it. All run as a process of
their own; a consumer takes and acknowledges everything, and its clock is what counts. They take turns. Wanted: the hub
beside each of them >= 0.6.
`python bench/broker.py [--events N] [--rounds N] [--parallel N] [--database sqlite|postgresql] [--ways NAME ...]
[--json]`; `--bare` measures the libraries alone, with the processor time of the client for a message.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from bench.delivery import an_event, fill
from bench.load import cpu_seconds, run
from cimcare.codec.envelope import render_message
from cimcare.exchange.partners import Tls
from cimcare.model.envelope import EventMessage
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    Arrived,
    Credentials,
    Destination,
    DestinationKind,
    HeartBeat,
    parse_address,
)
from tests.support.hub import hub_process
from tests.support.postgres import a_database
from tests.support.services import BROKERS, Broker

WAYS = {
    "stomp-activemq": ("stomp", "activemq"),
    "stomp-rabbitmq": ("stomp", "rabbitmq"),
    "amqp091-rabbitmq": ("amqp", "rabbitmq"),
    "amqp10-rabbitmq": ("amqp10", "rabbitmq"),
}
WANTED = 0.6
_PATIENCE_SECONDS = 120.0
_GUEST = Credentials(user="guest", password="guest")


# ---------------------------------------------------------------------------------------------------------- floor


def publish_stomp(host: str, port: int, queue: str, bodies: list[bytes], parallel: int) -> None:
    """By stomp.py, a receipt for each."""
    import stomp  # noqa: PLC0415

    free, done, receipts = threading.Semaphore(parallel), threading.Event(), 0

    class Listener(stomp.ConnectionListener):
        def on_receipt(self, _frame: object) -> None:
            nonlocal receipts
            receipts += 1
            free.release()
            if receipts == len(bodies):
                done.set()

    connection = stomp.Connection12([(host, port)], vhost="/", auto_content_length=False)
    connection.set_listener("", Listener())
    connection.connect("guest", "guest", wait=True)
    for number, body in enumerate(bodies):
        free.acquire()
        connection.send(f"/queue/{queue}", body, receipt=str(number), persistent="true")
    done.wait()
    connection.disconnect()


def publish_amqp091(host: str, port: int, queue: str, bodies: list[bytes], parallel: int) -> None:
    """By aiormq, with publisher confirms."""
    import aiormq  # noqa: PLC0415

    async def publish() -> None:
        connection = await aiormq.connect(f"amqp://guest:guest@{host}:{port}/")
        channel = await connection.channel(publisher_confirms=True)
        await channel.queue_declare(queue, durable=True)
        free = asyncio.Semaphore(parallel)
        properties = aiormq.spec.Basic.Properties

        async def one(body: bytes) -> None:
            await channel.basic_publish(body, routing_key=queue, properties=properties(delivery_mode=2), wait=False)
            free.release()

        async with asyncio.TaskGroup() as group:
            for body in bodies:
                await free.acquire()
                group.create_task(one(body))
        await connection.close()

    run(publish)


def publish_amqp10(host: str, port: int, queue: str, bodies: list[bytes], parallel: int) -> None:
    """By the reactor of Qpid Proton, each accepted."""
    from proton import Message, Terminus  # noqa: PLC0415
    from proton.handlers import MessagingHandler  # noqa: PLC0415
    from proton.reactor import Container, SenderOption  # noqa: PLC0415

    class Durable(SenderOption):
        def apply(self, sender: object) -> None:
            sender.target.durability = Terminus.DELIVERIES  # type: ignore[attr-defined]

    class Publisher(MessagingHandler):
        sent = accepted = 0

        def on_start(self, event: object) -> None:
            url = f"amqp://guest:guest@{host}:{port}"
            container = event.container  # type: ignore[attr-defined]
            connection = container.connect(url, allowed_mechs="PLAIN", allow_insecure_mechs=True)
            container.create_sender(connection, f"/queue/{queue}", options=Durable())

        def on_sendable(self, event: object) -> None:
            self.go_on(event.link)  # type: ignore[attr-defined]

        def on_accepted(self, event: object) -> None:
            self.accepted += 1
            self.go_on(event.link)  # type: ignore[attr-defined]
            if self.accepted == len(bodies):
                event.connection.close()  # type: ignore[attr-defined]

        def go_on(self, link: object) -> None:
            while link.credit and self.sent < len(bodies) and self.sent - self.accepted < parallel:  # type: ignore[attr-defined]
                link.send(Message(bodies[self.sent], durable=True))  # type: ignore[attr-defined]
                self.sent += 1

    Container(Publisher()).run()


FLOORS: dict[str, Callable[[str, int, str, list[bytes], int], None]] = {
    "stomp": publish_stomp,
    "amqp": publish_amqp091,
    "amqp10": publish_amqp10,
}


def run_floor(url: str, queue: str, file: Path, parallel: int) -> None:
    """In a process of its own: publish all, and print the processor seconds of a message."""
    logging.disable(logging.CRITICAL)
    address = parse_address(url)
    bodies = msgspec.msgpack.decode(file.read_bytes(), type=list[bytes])
    before = time.process_time()
    FLOORS[address.scheme](address.host, address.port, queue, bodies, parallel)
    print((time.process_time() - before) / len(bodies))


# -------------------------------------------------------------------------------------------------------- the two sides


class Counted:
    """What the consumer of a queue had, and the rate of it once all are here."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._count = 0
        self._first = self._last = 0.0
        self.done = asyncio.Event()

    def count(self) -> None:
        """One more."""
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self._count += 1
        if self._count >= self._wanted:
            self.done.set()

    @property
    def rate(self) -> float:
        """Messages a second."""
        return (self._count - 1) / (self._last - self._first)


async def consume(
    url: str, queue: str, wanted: int, produce: Callable[[threading.Event], float]
) -> tuple[float, float]:
    """Rate at which so many came while something produced; and what that said once told that all are here."""
    session = await open_session(
        parse_address(url), client_id="", credentials=_GUEST, tls=Tls(), heart_beat=HeartBeat(), within=30
    )
    counted = Counted(wanted)
    arrivals: asyncio.Queue[Arrived] = asyncio.Queue()

    async def settle() -> None:
        while True:
            arrived = await arrivals.get()
            counted.count()
            await session.acknowledge(arrived)

    await session.subscribe(Destination(kind=DestinationKind.QUEUE, name=queue), arrivals.put_nowait, prefetch=500)
    settling = asyncio.create_task(settle())
    all_are_here = threading.Event()
    producing = asyncio.create_task(asyncio.to_thread(produce, all_are_here))
    counting = asyncio.create_task(counted.done.wait())
    await asyncio.wait({counting, producing}, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    all_are_here.set()
    told = await producing
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await counting
    settling.cancel()
    await session.close()
    return counted.rate, told


def floor(url: str, queue: str, bodies: list[bytes], parallel: int) -> tuple[float, float]:
    """Rate of a bare library, and its processor seconds for a message."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(msgspec.msgpack.encode(bodies))
        command = [sys.executable, __file__, "--floor", url, queue, str(file), "--parallel", str(parallel)]

        def produce(_: threading.Event) -> float:
            return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        return asyncio.run(consume(url, queue, len(bodies), produce))


def hub(url: str, queue: str, events: Sequence[EventMessage], parallel: int, kind: str) -> tuple[float, float]:
    """Rate of a hub, and its processor seconds for a message."""
    with tempfile.TemporaryDirectory() as text, a_database(kind, Path(text)) as database:
        asyncio.run(fill(database, events, ("field",)))
        password = Path(text) / "password"
        password.write_text("guest")
        settings = (
            f'[brokers.bus]\nurls = ["{url}"]\ncontext = "BENCH"\nlisten = ["none"]\n'
            f'user = "guest"\npassword_file = "{password}"\n'
            f'[partners.field]\nkind = "jms"\nbroker = "bus"\ndestination = "queue:{queue}"\nparallel = {parallel}\n'
        )

        def produce(all_are_here: threading.Event) -> float:
            with hub_process(Path(text), settings, database=database) as process:
                before = cpu_seconds(process.process.pid)
                all_are_here.wait(_PATIENCE_SECONDS)
                return (cpu_seconds(process.process.pid) - before) / len(events)

        return asyncio.run(consume(url, queue, len(events), produce))


def measure(way: str, broker: Broker, options: argparse.Namespace, events: Sequence[EventMessage]) -> dict[str, object]:
    """Floor and hub in turns, for one protocol and broker."""
    url = broker.url(WAYS[way][0])
    bodies = [render_message(event) for event in events]
    rates: dict[str, list[float]] = {"bare": [], "gathered": [], "hub": []}
    seconds: dict[str, list[float]] = {"bare": [], "gathered": [], "hub": []}
    for number in range(options.rounds):
        told = {
            "bare": floor(url, f"BENCH.{way}.bare.{number}", bodies, 1),
            "gathered": floor(url, f"BENCH.{way}.gathered.{number}", bodies, options.parallel),
        }
        if not options.bare:
            told["hub"] = hub(url, f"BENCH.{way}.hub.{number}", events, options.parallel, options.database)
        for side, (rate, cpu) in told.items():
            rates[side].append(rate)
            seconds[side].append(cpu)
    result: dict[str, object] = {"rates": rates, "cpu_seconds": seconds}
    if not options.bare:
        result["ratios"] = {side: max(rates["hub"]) / max(rates[side]) for side in ("bare", "gathered")}
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    # With 2,000 a round lasts half a second, and shows how a hub begins and not how it goes on.
    parser.add_argument("--events", type=int, default=10_000, help="events a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=32, help="messages under way at once")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--bare", action="store_true", help="the libraries alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--floor", nargs=3, metavar=("URL", "QUEUE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.floor:
        url, queue, file = options.floor
        run_floor(url, queue, Path(file), options.parallel)
        return 0

    events = [an_event(number) for number in range(options.events)]
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted({WAYS[way][1] for way in options.ways}):
            broker = BROKERS[name](Path(folder) / name)
            try:
                broker.start()
                for way in options.ways:
                    if WAYS[way][1] == name:
                        results[way] = measure(way, broker, options, events)
            finally:
                broker.stop()
    if options.json:
        print(json.dumps(results))
        return 0
    for way, result in results.items():
        print(way)
        for side, rates in result["rates"].items():  # type: ignore[attr-defined]
            if rates:
                cpu = min(result["cpu_seconds"][side]) * 1e6  # type: ignore[index]
                rounds = ", ".join(f"{rate:.0f}" for rate in rates)
                print(f"  {side:8} {max(rates):8.0f} a second (rounds: {rounds}); {cpu:.0f} us of processor time each")
        if "ratios" in result:
            ratios = result["ratios"]
            told = ", ".join(f"hub / {side} {ratio:.2f}" for side, ratio in ratios.items())  # type: ignore[attr-defined]
            print(f"  {told}; wanted {WANTED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
