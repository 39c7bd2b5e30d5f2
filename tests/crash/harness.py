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
import msgspec

from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.limits import parse_xml
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.outbox import DeliveryKind, DeliverySelection, DeliveryState, NewDelivery
from cimcare.exchange.store import Reader, Store
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_reader, open_store
from tests.support.hub import HubProcess, hub_process
from tests.support.partner import RemotePartner, parse_behaviour, remote_partner

__all__ = ["Report", "first_delivery", "run_cycles"]

BEHAVIOURS = {
    "accepts": "accept",
    "refuses": "refuse",
    "hangs": "hang",
    "dies": "flaky:1:die=2,accept=1",
    "twice": "twice",
    "owner": "flaky:2:accept=4,die=1,busy=1,fault=1,twice=1",
}
LISTENERS = tuple(name for name in BEHAVIOURS if name != "owner")
_STEPS = (Verb.CREATE, Verb.CHANGE, Verb.CHANGE, Verb.CLOSE)
_LAST_ROUNDS = 20
"""How often what has no answer is sent again to the last hub, which nobody kills."""

_PATIENCE_SECONDS = 60.0
"""What has not become less for so long is stuck."""

_QUICK = """
deadline_seconds = 0.5
retry_first_seconds = 0.05
retry_most_seconds = 0.4
"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. All but the first three have to be 0."""

    cycles: int
    sent: int
    accepted: int
    lost: int
    doubled: int
    disordered: int
    undelivered: int
    unbalanced: int
    unaudited: int
    stuck: int

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(getattr(self, name) for name in self.__struct_fields__[3:])


class Sending:
    """The sender: it remembers what has no answer yet, over all deaths of the hub."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next = 0
        self.open: dict[int, list[RequestMessage]] = {}
        self.accepted: dict[str, ResponseMessage] = {}
        self.sent = 0
        self.differing = 0

    def add(self, count: int) -> None:
        """So many more tickets, and a quarter as many work requests."""
        for _ in range(count):
            self._next += 1
            self.open[self._next] = [_a_step(self._next, number) for number in range(len(_STEPS))]
            if self._next % 4 == 0:
                self.open[-self._next] = [_a_work_request(self._next)]

    async def run(self, address: str) -> None:
        """Send what is open, object by object in order, until all is answered or the hub is gone."""
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:
            keys = list(self.open)
            self._chance.shuffle(keys)
            await asyncio.gather(*(self._one(session, address, key) for key in keys))

    async def _one(self, session: aiohttp.ClientSession, address: str, key: int) -> None:
        messages = self.open[key]
        while messages:
            message = messages[0]
            reply = await _post(session, address, message)
            self.sent += 1
            if reply is None:
                return  # the hub is gone, or will take it later
            if reply.reply.result is Result.FAILED:
                await asyncio.sleep(0.05)
                continue
            message_id = str(message.header.message_id)
            if self.accepted.setdefault(message_id, reply) != reply:
                self.differing += 1
            if self._chance.random() < 0.05 and (again := await _post(session, address, message)) is not None:
                self.differing += again.reply.result is not Result.FAILED and again != reply
            del messages[0]
        self.open.pop(key, None)


def _a_step(number: int, step: int) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, _STEPS[step], seed=number)
    assert isinstance(message, RequestMessage)
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    header = msgspec.structs.replace(
        message.header, source="CALLS", message_id=MessageID(f"t-{number}-{step}"), correlation_id=None
    )
    if _STEPS[step] is Verb.CLOSE:
        assert message.request is not None
        identity = msgspec.structs.replace(message.request.id[0], value=str(mrid), kind=None, id_type=None)
        request = msgspec.structs.replace(message.request, id=(identity,))
        return msgspec.structs.replace(message, header=header, request=request)
    assert message.payload is not None
    (tickets,) = message.payload.content
    assert isinstance(tickets, TroubleTickets)
    ticket = msgspec.structs.replace(
        tickets.trouble_ticket[0], mrid=mrid, names=(), incident=None, comment=f"step {step}", resolved_date_time=None
    )
    content = TroubleTickets(trouble_ticket=(ticket,))
    return RequestMessage(header=header, payload=Payload(content=(content,)))


def _a_work_request(number: int) -> RequestMessage:
    message = build_message(Noun.WORK_REQUESTS, Verb.CREATE, seed=number)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, source="CALLS", message_id=MessageID(f"w-{number}"))
    return msgspec.structs.replace(message, header=header)


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
def _partners(folder: Path) -> Iterator[dict[str, RemotePartner]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                remote_partner(name=name.upper(), behaviour=behaviour, journal=folder / f"{name}.journal")
            )
            for name, behaviour in BEHAVIOURS.items()
        }


def _settings(partners: dict[str, RemotePartner]) -> str:
    parts = ["[hub]\nqueue_limit = 5000\nwait_seconds = 600\n[delivery]\nlease_seconds = 1\npoll_seconds = 0.1\n"]
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
            partner.behaviour = parse_behaviour("accept")
        with hub_process(folder, settings, database=url) as hub:
            for _ in range(_LAST_ROUNDS):
                if sending.open:
                    await sending.run(hub.address)
            await _until_empty(url)
            assert hub.stop() == 0
        return await _judge(url, sending, partners, cycles)


async def _until_killed(hub: HubProcess, sending: Sending, *, after_seconds: float) -> None:
    async def kill() -> None:
        await asyncio.sleep(after_seconds)
        await asyncio.to_thread(hub.kill)

    await asyncio.gather(sending.run(hub.address), kill())


async def _until_empty(url: str) -> None:
    """Wait until nothing waits any more, as long as it becomes less."""
    async with open_reader(url) as reader:
        least, since = 2**63, time.monotonic()
        while time.monotonic() - since < _PATIENCE_SECONDS:
            left = sum(one.waiting + one.awaiting for one in await reader.outbox.backlogs())
            if not left:
                return
            if left < least:
                least, since = left, time.monotonic()
            await asyncio.sleep(0.1)


# ---------------------------------------------------------------------------------------------------------- judgement


async def _judge(url: str, sending: Sending, partners: dict[str, RemotePartner], cycles: int) -> Report:
    async with open_reader(url) as reader:
        entries = [entry async for entry in _log(reader)]
        events = [one for one in entries if one.transport is Transport.INTERNAL and one.noun == "TroubleTickets"]
        came = {one.message_id: one for one in entries if _is_taken(one)}
        backlogs = await reader.outbox.backlogs()
        start = min(entry.received_at for entry in entries)
        unbalanced = sum(bool(one.missing) for one in await balances(reader, start, start + timedelta(hours=24)))
        verification = await verify(reader)
        dead = [
            one
            for one in await reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=1_000_000))
            if one.partner != "refuses"
        ]
        refused = await reader.outbox.select(DeliverySelection(partner="refuses", limit=1_000_000))
    owned = Counter(entry.message_id for entry in partners["owner"].effects)
    effects = Counter((event.correlation_id, event.verb) for event in events)
    lost = [one for one in sending.accepted if one not in came or not _took_effect(one, effects, owned)]
    doubled = [key for key, count in effects.items() if count > 1] + [key for key, count in owned.items() if count > 1]
    undelivered = 0
    disordered = 0
    dead_at_refuser = {one.message_id for one in refused if one.state is DeliveryState.DEAD}
    for name in LISTENERS:
        due = [event.message_id for event in events]
        if name == "refuses":
            due = [one for one in due if one not in dead_at_refuser]
        has = [entry.message_id for entry in partners[name].effects]
        undelivered += len(set(due) - set(has))
        disordered += _disorder(events, has)
    return Report(
        cycles=cycles,
        sent=sending.sent,
        accepted=len(sending.accepted),
        lost=len(lost) + sum(len(messages) for messages in sending.open.values()),
        doubled=len(doubled) + sending.differing,
        disordered=disordered,
        undelivered=undelivered + len(dead),
        unbalanced=unbalanced,
        unaudited=len(verification.flaws) + verification.more,
        stuck=sum(one.waiting + one.awaiting for one in backlogs),
    )


def _is_taken(entry: LogEntry) -> bool:
    return (
        entry.direction is Direction.IN
        and entry.partner == "CALLS"
        and entry.repeat_of is None
        and entry.outcome in (Outcome.OK, Outcome.PARTIAL)
    )


def _took_effect(message_id: str, effects: Counter[tuple[str, str]], owned: Counter[str]) -> bool:
    if message_id.startswith("w-"):
        return owned[message_id] > 0
    return any(correlation == message_id for correlation, _ in effects)


def _disorder(events: list[LogEntry], received: list[str]) -> int:
    """Events that a partner took in before an older one of the same ticket."""
    ticket_of = {event.message_id: event.correlation_id.rpartition("-")[0] for event in events}
    rank = {event.message_id: number for number, event in enumerate(events)}
    newest: dict[str, int] = {}
    wrong = 0
    for message_id in received:
        if message_id not in rank:
            continue
        ticket = ticket_of[message_id]
        wrong += rank[message_id] < newest.get(ticket, -1)
        newest[ticket] = max(rank[message_id], newest.get(ticket, -1))
    return wrong


async def _log(reader: Reader) -> AsyncIterator[LogEntry]:
    after = 0
    while page := await reader.log.select(LogSelection(after=after, limit=1000)):
        for entry in page:
            yield entry
        after = page[-1].sequence


# ------------------------------------------------------------------------------------- the first one after a restart


async def first_delivery(folder: Path, *, database: str, pending: int) -> float:
    """Seconds from the start of a hub process to its first delivery, with so many pending and some leases left over."""
    url = database or f"sqlite:///{folder / 'hub.db'}"
    async with AsyncExitStack() as stack:
        partner = stack.enter_context(remote_partner(name="ACCEPTS"))
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
