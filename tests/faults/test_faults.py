"""Every write, fsync and socket call of a hub fails once, at each place in turn: the answer is honest each time (G1).

Honest is OK for what is on disk, FAILED for what is not, or no answer at all; the same message sent again then has one
effect. What was to be told to a partner is told.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.limits import parse_xml
from cimcare.exchange.log import LogSelection, Outcome, Transport
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.faults.control import Faults, Kind, build_shim
from tests.support.hub import HubProcess, hub_process

MOST_PLACES = 40
"""Calls of one message that are made to fail, one after another; those it makes are fewer."""

SOCKETS = [(Kind.SEND, errno.EPIPE), (Kind.RECEIVE, errno.ECONNRESET), (Kind.CONNECT, errno.ECONNREFUSED)]
DISK = [(Kind.WRITE, errno.ENOSPC), (Kind.WRITE, errno.EIO), (Kind.SYNC, errno.EIO)]
SLOW = [(Kind.SYNC, 0)]
CASES = [("sqlite", *case) for case in (*DISK, *SLOW, *SOCKETS)] + [("postgresql", *case) for case in SOCKETS[:2]]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_shim(tmp_path_factory.mktemp("shim"))
    if built is None:
        pytest.skip("no C compiler: faults of system calls cannot be injected")
    return built


class Stage:
    """A hub whose system calls fail on demand, and the partner that it tells of tickets."""

    def __init__(self, hub: HubProcess, faults: Faults, partner: SimulatedPartner, url: str) -> None:
        self.hub = hub
        self.faults = faults
        self.partner = partner
        self.url = url

    async def post(self, message: RequestMessage) -> tuple[int, ResponseMessage | None]:
        """Status and reply over a connection of its own; 0 without any answer."""
        timeout = aiohttp.ClientTimeout(total=30)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    f"{self.hub.address}/messages",
                    data=render_message(message),
                    headers={"content-type": "application/xml"},
                ) as answer,
            ):
                raw = await answer.read()
        except (aiohttp.ClientError, OSError):
            return 0, None
        reply = read_message(parse_xml(raw))
        return answer.status, reply if isinstance(reply, ResponseMessage) else None

    async def is_kept(self, message: RequestMessage) -> bool:
        """Whether the message is committed as accepted, seen from outside of the hub."""
        async with open_reader(self.url) as reader:
            selection = LogSelection(message_id=message.header.message_id or "", partner="CALLS")
            return any(entry.outcome is Outcome.OK for entry in await reader.log.select(selection))


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, shim: Path) -> Iterator[Stage]:
    store: str = request.param
    url = f"sqlite:///{tmp_path / 'hub.db'}" if store == "sqlite" else request.getfixturevalue("postgres_url")
    faults = Faults(tmp_path, shim)
    with ExitStack() as stack:
        partner = stack.enter_context(running_partner(name="GIS"))
        settings = (
            f'[partners.gis]\nurl = "{partner.address}/soap"\nsource = "GIS"\nretry_first_seconds = 0.05\n'
            'retry_most_seconds = 0.2\n[subscriptions.gis]\npartner = "gis"\nnouns = ["TroubleTickets"]\n'
            "[delivery]\npoll_seconds = 0.05\nlease_seconds = 1\ncircuit_after = 1000\n"
        )
        hub = stack.enter_context(hub_process(tmp_path, settings, database=url, environment=faults.environment))
        yield Stage(hub, faults, partner, url)
    faults.close()


def a_create(number: int) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2)
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    (tickets,) = message.payload.content
    assert isinstance(tickets, TroubleTickets)
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    ticket = msgspec.structs.replace(tickets.trouble_ticket[0], mrid=mrid, names=(), incident=None)
    header = msgspec.structs.replace(
        message.header, source="CALLS", message_id=MessageID(f"f-{number}"), correlation_id=None
    )
    return RequestMessage(header=header, payload=Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),)))


@pytest.mark.parametrize(
    ("stage", "kind", "error"),
    [pytest.param(*case, id=f"{case[0]}-{case[1].name}-{errno.errorcode.get(case[2], 'slow')}") for case in CASES],
    indirect=["stage"],
)
async def test_the_answer_is_honest_wherever_a_call_fails(stage: Stage, kind: Kind, error: int) -> None:
    """A full disk, a broken wire and a slow fsync are the weather of a storm; a lie told then costs most."""
    struck = 0
    number = 0
    for nth in range(1, MOST_PLACES + 1):
        number += 1
        message = a_create(number)
        stage.faults.arm(kind, nth=nth, error=error, delay_us=0 if error else 10_000)
        status, reply = await stage.post(message)
        if reply is not None and reply.reply.result is not Result.FAILED:
            assert await stage.is_kept(message), "told OK, and not on disk"
        elif reply is not None:
            assert {one.code for one in reply.reply.error} <= {"5.1", "5.3"}, reply.reply.error
        if kind is Kind.CONNECT and reply is not None:
            await _until_told(stage, number)  # it is the way to the partner that is opened
        hits = stage.faults.disarm()
        again, second = await stage.post(message)
        assert second is not None, f"no answer without any fault; before it was {status}, now {again}"
        assert second.reply.result is Result.OK
        if reply is not None and reply.reply.result is Result.OK:
            assert second == reply, "a repeat gets the answer of the first time"
        struck += hits >= nth
        if hits < nth:
            break
    assert struck, "no call was hit, so nothing was shown"
    await _until_told(stage, number)
    assert stage.hub.stop() == 0
    await _judge(stage, number)


async def _until_told(stage: Stage, count: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if len({entry.objects for entry in stage.partner.effects if entry.verb == "created"}) >= count:
                return
            await asyncio.sleep(0.05)


async def _judge(stage: Stage, count: int) -> None:
    """One effect each, nothing waits, ledger and audit trail are whole."""
    async with open_reader(stage.url) as reader:
        entries = await reader.log.select(LogSelection(verb="created", noun="TroubleTickets", limit=10_000))
        effects = Counter(entry.correlation_id for entry in entries if entry.transport is Transport.INTERNAL)
        assert effects == Counter(f"f-{number}" for number in range(1, count + 1))
        assert not any(one.waiting or one.dead for one in await reader.outbox.backlogs())
        start = min(entry.received_at for entry in entries)
        assert [one for one in await balances(reader, start, start + timedelta(hours=2)) if one.missing] == []
        assert (await verify(reader)).flaws == ()
