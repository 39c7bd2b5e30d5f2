"""Kills a hub under load, again and again, and counts what was lost, doubled or put out of order.

A hub process takes tickets (each created, changed twice and closed) and work requests whose noun a partner owns, and
tells five partners of the tickets: one that accepts, one that refuses for good, one that hangs, one that dies in the
middle of its answer, one that answers twice. At a random instant the hub gets SIGKILL. The sender sends again what has
no answer yet, with the same MessageID, to the next one. In the end the partners recover, the outbox empties, and all is
held against what was answered.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.limits import parse_xml
from cimcare.exchange.log import Direction, LogEntry, Transport
from cimcare.exchange.outbox import DeliveryKind, NewDelivery
from cimcare.exchange.store import Store
from cimcare.model.envelope import RequestMessage, ResponseMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_store
from tests.crash.judging import Report, judge, until_empty
from tests.crash.sending import Ask, Sending
from tests.support.hub import HubProcess, hub_process

__all__ = ["first_delivery", "run_cycles"]

BEHAVIOURS = {
    "accepts": "accept",
    "refuses": "refuse",
    "hangs": "hang",
    "dies": "die=2,accept=1",
    "twice": "twice",
    "owner": "accept=4,die=1,busy=1,fault=1,twice=1",
}
LISTENERS = tuple(name for name in BEHAVIOURS if name != "owner")
_LAST_ROUNDS = 20
"""How often what has no answer is sent again to the last hub, which nobody kills."""

_QUICK = """
deadline_seconds = 0.5
retry_first_seconds = 0.05
retry_most_seconds = 0.4
"""


@asynccontextmanager
async def _asking(address: str) -> AsyncIterator[Ask]:
    connector = aiohttp.TCPConnector(limit=20)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield lambda message: _post(session, address, message)


async def _post(session: aiohttp.ClientSession, address: str, message: RequestMessage) -> ResponseMessage | None:
    try:
        headers = {"content-type": "application/xml"}
        async with session.post(f"{address}/messages", data=render_message(message), headers=headers) as answer:
            raw = await answer.read()
            if answer.status != 200:
                return None
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
    reply = read_message(parse_xml(raw))
    return reply if isinstance(reply, ResponseMessage) else None


@contextlib.contextmanager
def _partners(folder: Path) -> Iterator[dict[str, SimulatedPartner]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running_partner(name=name.upper(), behaviour=behaviour, seed=name, journal=folder / f"{name}.journal")
            )
            for name, behaviour in BEHAVIOURS.items()
        }


def _settings(partners: dict[str, SimulatedPartner]) -> str:
    parts = [
        "[hub]\nqueue_limit = 5000\nwait_seconds = 600\nquestion_wait_seconds = 600\n",
        "[delivery]\nlease_seconds = 1\npoll_seconds = 0.1\n",
    ]
    for name, partner in partners.items():
        owns = 'owns = ["WorkRequests"]\n' if name == "owner" else ""
        parts.append(f'[partners.{name}]\nurl = "{partner.address}/soap"\nsource = "{name.upper()}"\n{owns}{_QUICK}')
        if name != "owner":
            parts.append(f'[subscriptions.{name}]\npartner = "{name}"\nnouns = ["TroubleTickets"]\n')
    return "".join(parts)


async def run_cycles(folder: Path, *, database: str, cycles: int, tickets: int, seed: int) -> Report:
    """Kill a hub `cycles` times while it takes `tickets` tickets each time, and look at what is left.

    Args:
        folder: For journals, logs and, where `database` is empty, the database.
        database: URL of an empty database.
        cycles: How often the hub is killed.
        tickets: New tickets of each cycle.
        seed: Of all chance on this side; when which step is hit is up to the machine.
    """
    chance = random.Random(seed)
    sending = Sending(chance)
    url = database or f"sqlite:///{folder / 'hub.db'}"
    with _partners(folder) as partners:
        settings = _settings(partners)
        for _ in range(cycles):
            sending.add(tickets)
            with hub_process(folder, settings, database=url) as hub:
                await _until_killed(hub, sending, after_seconds=chance.uniform(0.05, 1.5))
        for partner in partners.values():
            partner.behave("accept")
        with hub_process(folder, settings, database=url) as hub:
            for _ in range(_LAST_ROUNDS):
                if sending.open:
                    async with _asking(hub.address) as ask:
                        await sending.run(ask)
            await until_empty(url)
            assert hub.stop() == 0
        return await judge(
            url,
            sending,
            cycles=cycles,
            heard={name: [entry.message_id for entry in partners[name].effects] for name in LISTENERS},
            owned=Counter(entry.message_id for entry in partners["owner"].effects),
            refuses="refuses",
        )


async def _until_killed(hub: HubProcess, sending: Sending, *, after_seconds: float) -> None:
    async def kill() -> None:
        await asyncio.sleep(after_seconds)
        await asyncio.to_thread(hub.kill)

    async with _asking(hub.address) as ask:
        await asyncio.gather(sending.run(ask), kill())


# ------------------------------------------------------------------------------------- the first one after a restart


async def first_delivery(folder: Path, *, database: str, pending: int) -> float:
    """Seconds from the start of a hub process to its first delivery, with so many pending and some leases left over."""
    url = database or f"sqlite:///{folder / 'hub.db'}"
    async with AsyncExitStack() as stack:
        partner = stack.enter_context(running_partner(name="ACCEPTS"))
        store = await stack.enter_async_context(_opened(url))
        await _fill(store, pending)
        await store.close()
        settings = (
            "[delivery]\nlease_seconds = 15\n"
            f'[partners.accepts]\nurl = "{partner.address}/soap"\nsource = "ACCEPTS"\n'
            '[subscriptions.accepts]\npartner = "accepts"\n'
        )
        started = time.monotonic()
        with hub_process(folder, settings, database=url):
            while True:
                await asyncio.sleep(0.01)
                if partner.entries:
                    return time.monotonic() - started


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def _fill(store: Store, pending: int) -> None:
    now = datetime.now(UTC)
    event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=1)
    raw = render_message(event)
    async with store.transaction() as transaction:
        entry = LogEntry(
            received_at=now,
            direction=Direction.OUT,
            transport=Transport.INTERNAL,
            archetype="EventMessage",
            verb="created",
            noun="TroubleTickets",
            message_id="e-1",
            content_type="application/xml",
            size_bytes=len(raw),
        )
        sequence = await transaction.log.append(entry, raw)
    for start in range(0, pending, 5000):
        async with store.transaction() as transaction:
            for number in range(start, min(start + 5000, pending)):
                await transaction.outbox.enqueue(
                    NewDelivery(
                        message=sequence,
                        cause=sequence,
                        partner="accepts",
                        kind=DeliveryKind.EVENT,
                        object_keys=(f"TroubleTickets {number % (pending // 2 + 1)}",),
                        verb="created",
                        noun="TroubleTickets",
                        message_id=f"e-{number}",
                        created_at=now,
                    )
                )
    async with store.transaction() as transaction:
        await transaction.outbox.claim("accepts", now=now, until=now + timedelta(seconds=15), limit=4)
