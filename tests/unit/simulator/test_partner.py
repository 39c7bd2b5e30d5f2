"""A simulated partner over real sockets: it must do what it is told, or whoever faces it learns nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.client.soap import SoapClient
from cimcare.codec.envelope import DRAFT_NAMESPACE, render_message
from cimcare.codec.limits import Limits
from cimcare.codec.soap import SoapVersion
from cimcare.exchange.facts import object_keys_of
from cimcare.exchange.partners import Edition, Partner, Wire
from cimcare.exchange.sending import Next, Sent, judge_attempt
from cimcare.hub.app import TYPED_SERVICES
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.acts import Act
from cimcare.simulator.forms import glance_at_event
from cimcare.simulator.journal import read_journal
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.transport.partners import HttpSender
from tests.support.partner import partner_process

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
CANCEL = build_message(Noun.TROUBLE_TICKETS, Verb.CANCEL)
GET = build_message(Noun.TROUBLE_TICKETS, Verb.GET)
CREATED = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED)
assert isinstance(CREATE, RequestMessage)
assert isinstance(CANCEL, RequestMessage)
assert isinstance(GET, RequestMessage)
assert isinstance(CREATED, EventMessage)


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender(services=TYPED_SERVICES, limits=Limits(), clock=lambda: datetime.now(UTC))
    yield sender
    await sender.close()


@pytest.fixture
async def remote() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner()
    await partner.start()
    yield partner
    await partner.stop()


def to(address: str, **more: object) -> Partner:
    partner = Partner(name="P", url=address, source="PARTNER", deadline=timedelta(seconds=30))
    return msgspec.structs.replace(partner, **more)


def reply_in(sent: Sent) -> ResponseMessage:
    assert sent.reply is not None, sent.failure
    return sent.reply


async def test_owner_answers_transactions_with_ids_and_get_with_content(
    remote: SimulatedPartner, sender: HttpSender
) -> None:
    """As a system of record does."""
    created = reply_in(await sender.send(to(remote.address), CREATE))
    assert created.reply.result is Result.OK
    assert [identifier.value for identifier in created.reply.id]
    assert CANCEL.request is not None
    assert reply_in(await sender.send(to(remote.address), CANCEL)).reply.id == CANCEL.request.id
    got = reply_in(await sender.send(to(remote.address), GET))
    assert got.payload is not None
    assert got.payload.content[0].XML_TYPE == "TroubleTickets"
    assert reply_in(await sender.send(to(remote.address), CREATED)).header.correlation_id == (
        CREATED.header.correlation_id
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"soap_12": True},
        {"wire": Wire.SOAP_TYPED},
        {"wire": Wire.REST},
        {"wire": Wire.REST, "as_json": True},
        {"edition": Edition.E2013_DRAFT},
        {"compress_above_bytes": 1},
    ],
)
async def test_every_wire_is_written_down_alike(
    remote: SimulatedPartner, sender: HttpSender, changes: dict[str, object]
) -> None:
    """The journal tells of messages, however they came."""
    assert reply_in(await sender.send(to(f"{remote.address}/in", **changes), CREATE)).reply.result is Result.OK
    (entry,) = remote.entries
    assert (entry.order, entry.archetype, entry.verb, entry.noun) == (1, "RequestMessage", "create", "TroubleTickets")
    assert (entry.source, entry.message_id) == (CREATE.header.source, CREATE.header.message_id)
    assert entry.objects == object_keys_of(CREATE)
    assert (entry.act, entry.attempt, entry.is_effect) == (Act.ACCEPT, 1, True)


async def test_a_repeat_is_delivered_twice_and_takes_effect_once(remote: SimulatedPartner, sender: HttpSender) -> None:
    """That is how a doubled effect is told from a doubled delivery; the answer is the same."""
    partner = to(remote.address)
    remote.behave("die")
    assert (await sender.send(partner, CREATE)).failure
    remote.behave("refuse")
    first = reply_in(await sender.send(partner, CREATE))
    remote.behave("accept")
    assert reply_in(await sender.send(partner, CREATE)) == first
    anew = msgspec.structs.replace(CREATE, header=msgspec.structs.replace(CREATE.header, message_id=MessageID("new")))
    await sender.send(partner, anew)
    assert [(entry.attempt, entry.is_effect) for entry in remote.entries] == [
        (1, True),
        (2, False),
        (3, False),
        (1, True),
    ]
    assert [entry.message_id for entry in remote.effects] == [CREATE.header.message_id, "new"]


@pytest.mark.parametrize("behaviour", ["refuse", "busy", "fault", "fault:client"])
async def test_what_is_not_done_takes_no_effect(remote: SimulatedPartner, sender: HttpSender, behaviour: str) -> None:
    """Only what was done counts, and it can be done later."""
    remote.behave(behaviour)
    assert judge_attempt(await sender.send(to(remote.address), CREATE), awaits_reply=False).next is not Next.DELIVERED
    assert remote.effects == ()
    remote.behave("slow:0")
    assert reply_in(await sender.send(to(remote.address), CREATE)).reply.result is Result.OK
    assert len(remote.effects) == 1


async def test_later_replies_go_to_the_reply_address(remote: SimulatedPartner, sender: HttpSender) -> None:
    """A receipt at once, then parts, then the end, which may come twice; over SOAP or our own profile."""
    asked = SimulatedPartner(behaviour="later:2:0:2")
    await asked.start()
    for number, path in enumerate(("/soap", "/messages")):
        header = msgspec.structs.replace(
            GET.header, reply_address=remote.address + path, message_id=MessageID(f"m-{number}"), correlation_id=None
        )
        receipt = reply_in(await sender.send(to(asked.address), msgspec.structs.replace(GET, header=header)))
        assert [error.code for error in receipt.reply.error] == ["0.3"]
        await remote.received(4 * (number + 1))
    await asked.stop()
    replies = [message for message in remote.messages if isinstance(message, ResponseMessage)]
    assert [[error.code for error in message.reply.error] for message in replies] == [
        ["0.1"],
        ["0.1"],
        ["0.0"],
        ["0.0"],
    ] * 2
    assert [message.header.correlation_id for message in replies] == ["m-0"] * 4 + ["m-1"] * 4
    assert [entry.is_effect for entry in remote.entries] == [True, True, True, False] * 2
    assert {entry.path for entry in remote.entries} == {"/soap", "/messages"}


async def test_later_replies_wait_for_who_is_away(sender: HttpSender) -> None:
    """A hub that was killed gets them when it is back."""
    asked, asker = SimulatedPartner(behaviour="later"), SimulatedPartner()
    await asked.start()
    await asker.start()
    address = asker.address
    await asker.stop()
    header = msgspec.structs.replace(CREATE.header, reply_address=address)
    await sender.send(to(asked.address), msgspec.structs.replace(CREATE, header=header))
    back = SimulatedPartner()
    await back.start(int(address.rpartition(":")[2]))
    await back.received(1)
    await asked.stop()
    await back.stop()


async def test_who_wants_no_later_reply_is_answered_at_once(remote: SimulatedPartner, sender: HttpSender) -> None:
    """Without ReplyAddress there is nowhere to send it."""
    remote.behave("later")
    header = msgspec.structs.replace(CREATE.header, reply_address=None)
    answer = reply_in(await sender.send(to(remote.address), msgspec.structs.replace(CREATE, header=header)))
    assert [error.code for error in answer.reply.error] == ["0.0"]


async def test_a_partner_in_a_thread_serves_who_blocks(sender: HttpSender) -> None:
    """Tests without an event loop have partners too."""
    with running_partner(name="OMS", behaviour="twice") as partner:
        assert reply_in(await sender.send(to(partner.address), CREATE)).header.source == "OMS"
    assert len(partner.effects) == 1


async def test_a_process_keeps_its_journal_over_its_death(sender: HttpSender, tmp_path: Path) -> None:
    """What it did before it was killed is not done again after it."""
    journal = tmp_path / "journal"
    with partner_process(journal, behaviour="hang") as partner:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(partner.address.rpartition(":")[2]))
            writer.write(b"PUT /behaviour HTTP/1.1\r\nContent-Length: 6\r\n\r\naccept")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 204")
            writer.close()
        assert reply_in(await sender.send(to(partner.address), CREATE)).reply.result is Result.OK
        partner.kill()
        assert [entry.is_effect for entry in partner.entries] == [True]
    journal.write_bytes(journal.read_bytes() + b'{"order": 2, "ha')
    assert len(read_journal(journal)) == 1
    with partner_process(journal) as partner:
        await sender.send(to(partner.address), CREATE)
        assert [(entry.order, entry.attempt, entry.is_effect) for entry in partner.entries] == [
            (1, 1, True),
            (2, 2, False),
        ]


async def test_an_event_is_acknowledged_without_reading_it_as_it_is_with(sender: HttpSender) -> None:
    """Under load the partner must cost little, and say the same."""
    quick, whole = SimulatedPartner(behaviour="good", keeps=False), SimulatedPartner(behaviour="good")
    await quick.start()
    await whole.start()
    more: dict[str, object]
    for more in ({}, {"soap_12": True}, {"wire": Wire.REST}):
        for header in (
            CREATED.header,
            msgspec.structs.replace(CREATED.header, correlation_id=None, context=None),
            msgspec.structs.replace(CREATED.header, correlation_id=None, message_id=None, source="A & B"),
        ):
            event = msgspec.structs.replace(CREATED, header=header)
            said = [reply_in(await sender.send(to(each.address, **more), event)) for each in (quick, whole)]
            assert said[0] == said[1]
    assert quick.counts()["received"] == 9
    await quick.stop()
    await whole.stop()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (render_message(CREATE), "a request may ask for content"),
        (render_message(CREATED).replace(b"<Source>", b"<Source><!-- a -->"), "a comment"),
        (render_message(CREATED).replace(b"<Source>", b"<Source>&#65;"), "an entity"),
        (render_message(CREATED).replace(b"<Source>", b"<Source><![CDATA[x]]>"), "CDATA"),
        (render_message(CREATED, namespace=DRAFT_NAMESPACE), "another namespace"),
        (b"", "nothing"),
    ],
)
def test_what_a_glance_may_get_wrong_is_read_instead(raw: bytes, why: str) -> None:
    """Quick is worth nothing where it is wrong."""
    assert glance_at_event(raw) is None, why


async def test_clients_of_all_makes_are_understood(remote: SimulatedPartner) -> None:
    """Some send in chunks, some ask before they send, some send the next before the answer."""
    body = render_message(CREATE)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(remote.address.rpartition(":")[2]))
    head = b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/xml\r\n"
    writer.write(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    async with asyncio.timeout(30):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunked += b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
        writer.write(body + chunked)
        for _ in range(2):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert b"<Result>OK</Result>" in await reader.readexactly(length)
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert [entry.attempt for entry in remote.entries] == [1, 2]


async def test_what_is_no_message_gets_a_fault_and_a_line_that_says_why(tmp_path: Path) -> None:
    """Whoever tries out a product has to see what was wrong with what it sent."""
    partner = SimulatedPartner(journal=tmp_path / "journal")
    await partner.start()
    async with aiohttp.ClientSession() as session:
        for kind, raw, status in (
            ("application/xml", b"<nothing/>", 400),
            ("text/xml", b"<soap", 400),
            ("application/json", b"{}", 400),
            ("application/soap+xml", b"<x/>", 500),
        ):
            async with session.post(partner.address, data=raw, headers={"Content-Type": kind}) as answer:
                assert answer.status == status
                assert b"1.8" in await answer.read()
    await partner.stop()
    lines = read_journal(tmp_path / "journal")
    assert [line.form for line in lines] == ["xml", "xml", "json", "soap12"]
    assert all("accepted" in line.findings[0] or line.findings[0] for line in lines)


async def test_it_describes_its_services(remote: SimulatedPartner) -> None:
    """Stacks that are made from a WSDL want one."""
    async with aiohttp.ClientSession() as session:
        client = await SoapClient.from_wsdl(session, f"{remote.address}/soap/ExecuteTroubleTickets?wsdl")
        answer = await client.send(CREATE)
        assert answer.message is not None
        assert answer.message.reply.result is Result.OK
        generic = await SoapClient.from_wsdl(session, f"{remote.address}/soap?wsdl", version=SoapVersion.V12)
        assert (await generic.send(CREATED)).message is not None
        async with session.get(f"{remote.address}/soap?xsd=Message.xsd") as schema:
            assert b"RequestMessage" in await schema.read()
        async with session.get(f"{remote.address}/soap?xsd=../x") as nothing:
            assert nothing.status == 404
        async with session.get(f"{remote.address}/") as counts:
            assert (await counts.json())["received"] == 2
        async with session.delete(f"{remote.address}/") as refused:
            assert refused.status == 405
        async with session.put(f"{remote.address}/behaviour", data="nonsense") as refused:
            assert refused.status == 400
            assert "behaviours are" in (await refused.text()).lower()
    assert [entry.form for entry in remote.entries] == ["soap-typed", "soap12"]
