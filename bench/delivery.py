"""Delivery of events beside its floor, in one run: deliveries a second to three partners out of one hub process.

The floor posts the same bytes to the same partners with the same HTTP client, as many at once, and reads the answers.
The hub has the same events in its outbox when it starts, and does what a courier does: claim, read, write the envelope,
send, read the answer as a message, keep what came of it. Partners are as thin as can be, in one process. Floor and hub
take turns; for each database the rates and their ratio are printed, and the processor time of the hub for a delivery.
`python bench/delivery.py [--events N] [--rounds N] [--parallel N] [--database sqlite|postgresql|both] [--json]`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
import msgspec

from bench.load import Client, cpu_seconds, run
from cimcare.codec.envelope import render_message
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.exchange.booking import book_put
from cimcare.exchange.facts import object_keys_of
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.outbox import DeliveryKind, NewDelivery
from cimcare.model.envelope import EventMessage, Header, Payload, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message
from cimcare.store.opening import open_store
from tests.support.hub import hub_process
from tests.support.postgres import a_database

PARTNERS = ("north", "east", "south")
_TOGETHER = 500
_PATIENCE_SECONDS = 300.0
_PATTERNS = 200


class Seen(msgspec.Struct):
    """What the partners have had since they were last asked to forget: how many, and when the first and the last."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return (self.count - 1) / (self.last - self.first)


# ---------------------------------------------------------------------------------------------------------- partners


class _Sink(asyncio.Protocol):
    """Takes whatever is posted, answers OK, and notes when."""

    seen = Seen()
    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not end or len(body) < length:
            return
        self._received.clear()
        if head.startswith(b"POST /seen"):
            seen, _Sink.seen = _Sink.seen, Seen() if body == b"forget" else _Sink.seen
            self._say(msgspec.json.encode(seen))
            return
        now = time.time()
        _Sink.seen.first = _Sink.seen.first or now
        _Sink.seen.last = now
        _Sink.seen.count += 1
        self._say(_Sink.answer)

    def _say(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def run_partners() -> None:
    """Serve until the process is ended, after the addresses were printed in one line."""
    reply = ResponseMessage(
        header=Header(verb=Verb.REPLY, noun=Noun.TROUBLE_TICKETS, source="SINK", message_id=MessageID("sink")),
        reply=Reply(result=Result.OK, error=(ReplyError(code="0.0"),)),
    )
    _Sink.answer = render_soap(reply, SoapVersion.V11)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(_Sink, "127.0.0.1", 0) for _ in PARTNERS]
        print(*(f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}" for one in servers), flush=True)
        await asyncio.Event().wait()

    run(serve)


@contextmanager
def partners_process() -> Iterator[list[str]]:
    """Addresses of the partners, which are there while the block lasts."""
    with subprocess.Popen([sys.executable, __file__, "--partners"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()
        finally:
            process.kill()


async def seen_by(address: str, *, forget: bool = False) -> Seen:
    """What the partners have had."""
    client = Client(address, path="/seen")
    _, body = await client.post(b"forget" if forget else b"?")
    client.close()
    return msgspec.json.decode(body, type=Seen)


# -------------------------------------------------------------------------------------------------------- the two sides


def an_event(number: int) -> EventMessage:
    """The event of a ticket of its own."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=number % _PATTERNS)
    assert isinstance(message, EventMessage)
    assert message.payload is not None
    (tickets,) = message.payload.content
    assert isinstance(tickets, TroubleTickets)
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    ticket = msgspec.structs.replace(tickets.trouble_ticket[0], mrid=mrid, names=())
    header = msgspec.structs.replace(message.header, message_id=MessageID(f"e-{number}"))
    return EventMessage(header=header, payload=Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),)))


async def drive_floor(addresses: list[str], bodies: list[bytes], parallel: int) -> Seen:
    """Post all of them to each partner, so many at once."""
    await seen_by(addresses[0], forget=True)
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"http://iec.ch/61968/PublishEvent"'}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def one_at_a_time(address: str, waiting: Iterator[bytes]) -> None:
            for body in waiting:
                async with session.post(f"{address}/soap", data=body, headers=headers) as response:
                    assert response.status == 200
                    await response.read()

        async with asyncio.TaskGroup() as group:
            for address in addresses:
                waiting = iter(bodies)
                for _ in range(parallel):
                    group.create_task(one_at_a_time(address, waiting))
    return await seen_by(addresses[0])


async def fill(database: str, events: Sequence[EventMessage], partners: Sequence[str] = PARTNERS) -> None:
    """Put them into an empty database, for each partner."""
    store = await open_store(database)
    now = datetime.now(UTC)
    for start in range(0, len(events), _TOGETHER):
        async with store.transaction() as transaction:
            for event in events[start : start + _TOGETHER]:
                raw = render_message(event)
                entry = LogEntry(
                    received_at=now,
                    direction=Direction.OUT,
                    transport=Transport.INTERNAL,
                    archetype="EventMessage",
                    verb=event.header.verb.value,
                    noun=event.header.noun,
                    message_id=event.header.message_id or "",
                    outcome=Outcome.OK,
                    content_type="application/xml",
                    size_bytes=len(raw),
                )
                sequence = await transaction.log.append(entry, raw)
                for name in partners:
                    await book_put(
                        transaction,
                        NewDelivery(
                            message=sequence,
                            cause=sequence,
                            partner=name,
                            kind=DeliveryKind.EVENT,
                            object_keys=object_keys_of(event),
                            verb=event.header.verb.value,
                            noun=event.header.noun,
                            message_id=event.header.message_id or "",
                            created_at=now,
                        ),
                    )
    await store.close()


def deliver(addresses: list[str], events: Sequence[EventMessage], parallel: int, kind: str) -> tuple[Seen, float]:
    """What the partners saw of a hub, and the processor seconds of a delivery."""
    settings = "".join(
        f'[partners.{name}]\nurl = "{address}/soap"\nsource = "{name.upper()}"\nparallel = {parallel}\n'
        for name, address in zip(PARTNERS, addresses, strict=True)
    )
    wanted = len(events) * len(PARTNERS)
    with tempfile.TemporaryDirectory() as text, a_database(kind, Path(text)) as database:
        asyncio.run(fill(database, events))
        run(lambda: seen_by(addresses[0], forget=True))
        with hub_process(Path(text), settings, database=database) as hub:
            before = cpu_seconds(hub.process.pid)
            ends_at = time.monotonic() + _PATIENCE_SECONDS
            seen = Seen()
            while seen.count < wanted and time.monotonic() < ends_at:
                time.sleep(0.2)
                seen = run(lambda: seen_by(addresses[0]))
            cpu = cpu_seconds(hub.process.pid) - before
    assert seen.count >= wanted, f"{seen.count} of {wanted} delivered"
    return seen, cpu / seen.count


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000, help="events a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=4, help="deliveries to a partner at once")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--partners", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.partners:
        run_partners()
        return 0

    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    events = [an_event(number) for number in range(options.events)]
    bodies = [render_soap(event, SoapVersion.V11) for event in events]
    rates: dict[str, list[float]] = {name: [] for name in ("floor", *kinds)}
    cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    with partners_process() as addresses:
        for _ in range(options.rounds):
            rates["floor"].append(run(lambda: drive_floor(addresses, bodies, options.parallel)).rate)
            for kind in kinds:
                seen, of_one = deliver(addresses, events, options.parallel, kind)
                rates[kind].append(seen.rate)
                cpu[kind].append(of_one)
    best = {name: max(values) for name, values in rates.items()}
    ratios = {kind: best[kind] / best["floor"] for kind in kinds}
    if options.json:
        print(json.dumps({"rates": rates, "ratios": ratios, "cpu_seconds": cpu}))
        return 0
    for name, values in rates.items():
        rounds = ", ".join(f"{one:.0f}" for one in values)
        print(f"  {name:10} {best[name]:8.0f} deliveries a second (rounds: {rounds})")
    for kind in kinds:
        print(f"  {kind} / floor {ratios[kind]:.2f}; {min(cpu[kind]) * 1e6:.0f} us of processor time for a delivery")
    return 0


if __name__ == "__main__":
    sys.exit(main())
