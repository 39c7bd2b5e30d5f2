"""The doctor finds what is wrong: a real hub, real partners over the wire, one planted fault at a time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import msgspec
import pytest

from cimcare.client import Peer
from cimcare.client.api import ask_api
from cimcare.codec.envelope import DRAFT_NAMESPACE, parse_message, render_message
from cimcare.hub.operation.readiness import Check, Sheet, State
from cimcare.hub.outgoing import drilling
from cimcare.hub.serving.lifespan import RunningHub
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.answering import FINE, build_reply
from cimcare.simulator.behaviours import CertificateKind
from cimcare.simulator.certificates import AUTHORITY, server_context
from cimcare.simulator.forms import Form
from cimcare.simulator.partner import SimulatedPartner
from tests.support.hub import local_hub
from tests.support.stomp_broker import StompBroker

MORE = """
[hub]
context = "PRODUCTION"
[delivery]
poll_seconds = 0.05
[doctor]
pause_seconds = 0
deadline_seconds = 2
slow_seconds = 1.0
silent_minutes = 0.02
"""
OMS = """
[systems.oms]
source = "NEW-OMS"
url = "{}/soap"
"""
FIELD = """
[subscriptions.field]
kind = "rest"
url = "{}/messages"
nouns = ["TroubleTickets", "ServiceRequests"]
retry_first_seconds = 0.05
retry_attempts = 2
deadline_seconds = 20
"""


class Saying(Form, frozen=True, kw_only=True):
    """A form of answers that also say when they are made, and for which Context."""

    said_at: datetime
    context: str

    def render(self, reply: ResponseMessage) -> bytes:
        header = msgspec.structs.replace(reply.header, timestamp=self.said_at, context=self.context, revision="1")
        return super().render(msgspec.structs.replace(reply, header=header))


class Neighbour(SimulatedPartner):
    """A simulated partner whose clock, Context and namespace of envelopes may be wrong."""

    ahead = timedelta()
    context = "PRODUCTION"
    namespace = ""

    async def _answer(self, message: object, form: Form, *given: object) -> bool:
        saying = Saying(
            version=form.version,
            typed=form.typed,
            is_json=form.is_json,
            namespace=self.namespace or form.namespace,
            said_at=datetime.now(UTC) + self.ahead,
            context=self.context,
        )
        return await super()._answer(message, saying, *given)


class Town(SimpleNamespace):
    """A hub, its outage system, and somebody who subscribes."""

    running: RunningHub
    oms: Neighbour
    field: Neighbour

    async def examine(self) -> Sheet:
        answer = await ask_api(self.running.address, "readiness")
        assert answer.status == 200, answer
        return msgspec.convert(answer.body, Sheet)

    async def report(self, number: int = 1) -> None:
        """A request of which the subscriber is to hear."""
        message = build_message(Noun.SERVICE_REQUESTS, Verb.CREATE, seed=number)
        assert isinstance(message, RequestMessage)
        header = msgspec.structs.replace(
            message.header, context="PRODUCTION", source="CALLS", message_id=MessageID(f"real-{number}")
        )
        async with Peer(self.running.address) as peer:
            await (await peer.soap()).send(msgspec.structs.replace(message, header=header))

    async def until_no_go(self, name: str) -> Sheet:
        """Look again until the check fails."""
        async with asyncio.timeout(20):
            while True:
                sheet = await self.examine()
                if any(check.name == name and check.state is State.NO_GO for check in sheet.checks):
                    return sheet
                await asyncio.sleep(0.1)


@asynccontextmanager
async def a_town(folder: Path, text: str = MORE, *, kind: CertificateKind | None = None) -> AsyncIterator[Town]:
    """A town; with a kind of certificate its outage system is reached over TLS."""
    oms, field = Neighbour(name="NEW-OMS"), Neighbour(name="FIELD")
    tls = None if kind is None else server_context(folder / "tls", kind, host="127.0.0.1", now=datetime.now(UTC))
    await oms.start(tls=tls)
    await field.start()
    more = f'ca_file = "{folder / "tls" / AUTHORITY}"\n' if tls else ""
    try:
        async with local_hub(folder, text + OMS.format(oms.address) + more + FIELD.format(field.address)) as running:
            yield Town(running=running, oms=oms, field=field)
    finally:
        for partner in (oms, field):
            if partner._server is not None and partner._server.is_serving():
                await partner.stop()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with a_town(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling, "_PAUSE_SECONDS", 0.0)


def faults(sheet: Sheet) -> set[tuple[str, str]]:
    """Checks that are not go."""
    return {(check.name.value, check.partner) for check in sheet.checks if check.state is not State.GO}


def the(sheet: Sheet, name: str, partner: str = "") -> Check:
    (found,) = [check for check in sheet.checks if (check.name.value, check.partner) == (name, partner)]
    return found


async def test_it_is_green_where_nothing_is_wrong(town: Town) -> None:
    """Whoever is told no-go for nothing stops to listen."""
    await town.report()
    await town.field.received(1)
    sheet = await town.examine()
    assert (sheet.state, faults(sheet)) == (State.GO, set())
    names = {check.name.value for check in sheet.checks}
    assert names >= {"database", "disk", "load", "schemas", "alarms", "audit", "answer", "speed", "context", "schema"}
    assert {link.partner for link in sheet.links} == {"oms", "field"}
    (drill,) = [message for message in town.oms.messages if (message.header.message_id or "").startswith("drill-")]
    assert (drill.header.verb, drill.header.context) == (Verb.GET, "PRODUCTION")
    assert not any((one.header.message_id or "").startswith("drill-") for one in town.field.messages)


async def test_a_dead_partner(town: Town) -> None:
    """1: nobody listens any more."""
    await town.oms.stop()
    sheet = await town.examine()
    assert (sheet.state, faults(sheet)) == (State.NO_GO, {("answer", "oms")})
    assert "could not connect" in the(sheet, "answer", "oms").found


async def test_a_partner_that_hangs_is_dead_too(town: Town) -> None:
    """It takes the connection and never answers: worse than one that is off."""
    town.oms.behave("hang")
    sheet = await town.examine()
    assert faults(sheet) == {("answer", "oms")}
    assert "no answer within 2 s" in the(sheet, "answer", "oms").found


async def test_a_slow_partner_is_named_as_the_slowest_link(town: Town) -> None:
    """2: on a quiet day a second more is nothing; at the height of a storm it is the queue."""
    town.oms.behave("slow:1.2")
    sheet = await town.examine()
    assert faults(sheet) == {("speed", "oms")}
    assert sheet.slowest is not None
    assert (sheet.slowest.partner, sheet.slowest.seconds > 1.0) == ("oms", True)


@pytest.mark.parametrize(("days", "expected"), [(14, set()), (60, {("certificate", "oms")})])
async def test_a_certificate_that_is_about_to_end(tmp_path: Path, days: int, expected: set[tuple[str, str]]) -> None:
    """3: certificates end at night, at a weekend, in a storm. The one of this partner has 30 days."""
    text = f"{MORE}certificate_days = {days}\n"
    async with a_town(tmp_path, text, kind=CertificateKind.GOOD) as town:
        sheet = await town.examine()
    assert faults(sheet) == expected
    assert "(29 days)" in the(sheet, "certificate", "oms").found


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (CertificateKind.EXPIRED, "certificate has expired"),
        (CertificateKind.OTHER_NAME, "not valid for '127.0.0.1'"),
        (CertificateKind.UNKNOWN_ISSUER, "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_is_refused(tmp_path: Path, kind: CertificateKind, reason: str) -> None:
    """The day after: the partner cannot be reached at all, and the sheet says why and when it ended."""
    async with a_town(tmp_path, kind=kind) as town:
        sheet = await town.examine()
    assert faults(sheet) == {("answer", "oms"), ("certificate", "oms")}
    found = the(sheet, "certificate", "oms").found
    assert reason in found
    assert "ends 20" in found


async def test_a_clock_that_is_off(town: Town) -> None:
    """4: two minutes off, and estimates of restoration are wrong by two minutes, or are refused."""
    town.oms.ahead = timedelta(minutes=2)
    sheet = await town.examine()
    assert faults(sheet) == {("clock", "oms")}
    assert "its clock is 1" in the(sheet, "clock", "oms").found
    town.oms.ahead = timedelta(minutes=-2)
    assert "behind ours" in the(await town.examine(), "clock", "oms").found
    town.oms.ahead = timedelta(seconds=2)
    assert faults(await town.examine()) == set()


async def test_a_full_disk(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """5: a database that cannot grow takes no message."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=4096, f_blocks=1_000_000, f_bavail=20_000))
    sheet = await town.examine()
    assert faults(sheet) == {("disk", "")}
    assert "(2%)" in the(sheet, "disk").found


async def test_a_partner_that_speaks_another_edition(town: Town) -> None:
    """6: an upgrade on the other side, that nobody told of."""
    town.oms.namespace = DRAFT_NAMESPACE
    sheet = await town.examine()
    assert faults(sheet) == {("answer", "oms"), ("schema", "oms")}
    assert "NET-104" in the(sheet, "schema", "oms").found


BROKER = """
[brokers.bus]
urls = ["{}"]
listen = ["queue:PRODUCTION.REQUESTS.>"]
watch_seconds = 1
confirm_seconds = 3

[systems.oms]
source = "NEW-OMS"
kind = "jms"
broker = "bus"
destination = "queue:OMS.{{noun}}"
"""


def an_owner(raw: bytes) -> bytes:
    """The outage system behind the broker."""
    asked = parse_message(raw)
    assert isinstance(asked, RequestMessage)
    reply = build_reply("NEW-OMS", asked, Result.OK, FINE)
    header = msgspec.structs.replace(reply.header, timestamp=datetime.now(UTC))
    return render_message(msgspec.structs.replace(reply, header=header))


@asynccontextmanager
async def a_bus(folder: Path) -> AsyncIterator[tuple[Town, StompBroker]]:
    """A hub and its outage system on a broker."""
    broker = StompBroker()
    broker.answers["/queue/OMS.TroubleTickets"] = an_owner
    await broker.start()
    text = MORE + BROKER.format(broker.url)
    try:
        async with local_hub(folder, text) as running:
            town = Town(running=running)
            async with asyncio.timeout(30):
                while any(name == "consumer" for name, _ in faults(await town.examine())):
                    await asyncio.sleep(0.1)
            yield town, broker
    finally:
        await broker.stop()


async def test_a_partner_behind_a_broker_is_drilled_there_and_back(tmp_path: Path) -> None:
    """Green without the fault that comes next."""
    async with a_bus(tmp_path) as (town, _):
        sheet = await town.examine()
    assert (sheet.state, faults(sheet)) == (State.GO, set())
    assert [link.partner for link in sheet.links] == ["oms"]
    consumers = [check.found.partition(": ") for check in sheet.checks if check.name == "consumer"]
    assert {name for name, _, _ in consumers} == {
        "jms:queue:PRODUCTION.REQUESTS.>",
        "jms:queue:PRODUCTION.REPLIES.cimcare",
    }
    assert all(told.startswith("a message came through") for _, _, told in consumers)


async def test_a_consumer_that_is_not_attached(tmp_path: Path) -> None:
    """7: the broker is there and has confirmed all, and nothing that is sent to the hub comes through."""
    async with a_bus(tmp_path) as (town, broker):
        broker.is_deaf = True
        sheet = await town.until_no_go("consumer")
        assert faults(sheet) - {("broker", "bus")} == {("consumer", "bus")}, "its partner answers all the same"
        assert any(
            "jms:queue:PRODUCTION.REQUESTS.>" in check.found for check in sheet.checks if check.name == "consumer"
        )
        broker.is_deaf = False
        async with asyncio.timeout(30):
            while (await town.examine()).state is not State.GO:
                await asyncio.sleep(0.1)


async def test_a_broker_that_is_gone(tmp_path: Path) -> None:
    """Then nobody behind it can be reached either, and the sheet says where the cable is cut."""
    async with a_bus(tmp_path) as (town, broker):
        await broker.stop()
        sheet = await town.until_no_go("broker")
    assert faults(sheet) >= {("broker", "bus"), ("answer", "oms")}


async def test_dead_letters(town: Town) -> None:
    """8: what was given up is lost until somebody looks."""
    town.field.behave("refuse")
    await town.report()
    sheet = await town.until_no_go("dead-letters")
    assert faults(sheet) == {("dead-letters", "field")}


async def test_a_silent_subscriber(town: Town) -> None:
    """9: it takes the connection and never the message: all looks well until somebody misses something."""
    town.field.behave("hang")
    await town.report()
    sheet = await town.until_no_go("subscriber")
    assert faults(sheet) == {("subscriber", "field")}
    assert "has taken nothing" in the(sheet, "subscriber", "field").found


async def test_a_halted_subscriber(town: Town, tmp_path: Path) -> None:
    """Somebody halted it in spring, and it is autumn."""
    await command(tmp_path, "deliveries", "halt", "field", "--reason", "works on the line")
    sheet = await town.examine()
    assert faults(sheet) >= {("subscriber", "field")}
    assert "works on the line" in the(sheet, "subscriber", "field").found


async def test_a_partner_that_answers_for_another_context(town: Town) -> None:
    """10: tickets of customers end in the training system."""
    town.oms.context = "TRAINING"
    sheet = await town.examine()
    assert faults(sheet) == {("context", "oms")}
    assert "TRAINING" in the(sheet, "context", "oms").found


async def test_a_hub_that_refuses_the_context(tmp_path: Path) -> None:
    """The same seen from the other side: it refuses what is not for it. Both ends are hubs of ours."""
    (tmp_path / "other").mkdir()
    async with local_hub(tmp_path / "other", '[hub]\ncontext = "TRAINING"\n') as other:
        owner = OMS.format(other.address)
        async with local_hub(tmp_path, f"{MORE}{owner}") as running:
            sheet = await Town(running=running).examine()
            assert faults(sheet) == {("context", "oms")}
            ticket = owner.replace("[systems.oms]", '[systems.oms]\ndrill = "ticket"')
    async with local_hub(tmp_path / "other", '[hub]\ncontext = "PRODUCTION"\n') as other:
        ticket = ticket.replace(owner.split('"')[3], f"{other.address}/soap")
        async with local_hub(tmp_path, f"{MORE}{ticket}") as running:
            sheet = await Town(running=running).examine()
            assert faults(sheet) == set()
            page = await ask_api(other.address, "TroubleTickets", method="GET")
            assert page.body is not None
            assert page.body["items"] == []


async def test_all_is_green_again_when_it_is_mended(town: Town) -> None:
    """A sheet that stays red when all is mended is not looked at any more."""
    town.oms.context, town.oms.ahead = "TRAINING", timedelta(hours=1)
    assert (await town.examine()).state is State.NO_GO
    town.oms.context, town.oms.ahead = "PRODUCTION", timedelta()
    assert (await town.examine()).state is State.GO


# ---------------------------------------------------------------------------------------------------------- command


async def command(folder: Path, *words: str, config: str = "") -> tuple[int, str]:
    """Run a command beside the hub; its exit code, and what it printed."""
    file = folder / "doctor.toml"
    file.write_text(f'database = "sqlite:///{folder / "hub.db"}"\n{config or MORE}')
    given = [] if words[0] == "doctor" else ["--config", str(file)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cimcare",
        words[0],
        *given,
        *[word.replace("{config}", str(file)) for word in words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_the_command_says_go_or_no_go_by_its_exit_code(town: Town, tmp_path: Path) -> None:
    """For who runs it from a script, beside a running hub or without one."""
    code, out = await command(tmp_path, "doctor", "--to", town.running.address)
    assert (code, out.splitlines()[0].startswith("GO ")) == (0, True), out
    assert any(line.startswith("go") and " door " in line for line in out.splitlines())
    code, out = await command(tmp_path, "doctor", "--config", "{config}", "--json")
    assert (code, json.loads(out)["state"]) == (0, "go"), out
    town.oms.context = "TRAINING"
    code, out = await command(tmp_path, "doctor", "--config", "{config}")
    assert (code, out.splitlines()[0].startswith("NO-GO ")) == (1, True), out
    assert "would pass: PRODUCTION" in out
    code, _ = await command(tmp_path, "doctor", "--to", "http://127.0.0.1:1")
    assert code == 1
    code, _ = await command(tmp_path, "doctor", "--to", town.running.address, "--config", "{config}")
    assert code == 2


async def test_the_sheet_can_be_read_off_the_metrics(town: Town) -> None:
    """Whoever watches the hub at night watches this."""
    town.oms.context = "TRAINING"
    await town.examine()
    async with aiohttp.ClientSession() as session, session.get(f"{town.running.address}/metrics") as response:
        text = await response.text()
    assert 'cimcare_readiness{check="context",partner="oms"} 0.0' in text
    assert 'cimcare_readiness{check="answer",partner="oms"} 1.0' in text
    seconds = next(line for line in text.splitlines() if line.startswith('cimcare_drill_seconds{partner="oms"}'))
    assert float(seconds.split()[-1]) > 0
