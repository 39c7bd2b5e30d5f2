"""The scripted partner that tests of the hub talk to: it must do what it is told, or they show nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.codec.limits import Limits
from cimcare.exchange.facts import object_keys_of
from cimcare.exchange.partners import Edition, Partner, Wire
from cimcare.exchange.sending import Next, Sent, judge_attempt
from cimcare.hub.app import TYPED_SERVICES
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.partners import HttpSender
from tests.support.partner import (
    Act,
    Behaviour,
    RemotePartner,
    main,
    parse_behaviour,
    partner_process,
    read_journal,
    remote_partner,
)

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
async def remote() -> AsyncIterator[RemotePartner]:
    partner = RemotePartner()
    await partner.start()
    yield partner
    await partner.stop()


def to(address: str, **more: object) -> Partner:
    partner = Partner(name="P", url=address, source="PARTNER", deadline=timedelta(seconds=30))
    return msgspec.structs.replace(partner, **more)


def reply_in(sent: Sent) -> ResponseMessage:
    assert sent.reply is not None, sent.failure
    return sent.reply


def test_behaviours_are_read_from_their_text() -> None:
    """A command line has nothing else."""
    assert parse_behaviour("accept") == Behaviour()
    assert parse_behaviour("refuse:6.1") == Behaviour(act=Act.REFUSE, code="6.1")
    assert parse_behaviour("fault:client") == Behaviour(act=Act.FAULT, blames_sender=True)
    assert parse_behaviour("slow:0.5") == Behaviour(act=Act.SLOW, seconds=0.5)
    assert parse_behaviour("later") == Behaviour(act=Act.LATER)
    assert parse_behaviour("later:2:0.5:3") == Behaviour(act=Act.LATER, parts=2, seconds=0.5, times=3)
    flaky = parse_behaviour("flaky:7:slow:0.1=2,busy=1")
    assert flaky.seed == "7"
    assert flaky.mixture == ((Behaviour(act=Act.SLOW, seconds=0.1), 2.0), (Behaviour(act=Act.BUSY), 1.0))


@pytest.mark.parametrize("text", ["", "nonsense", "slow", "slow:soon", "hang:5", "flaky:1:nonsense=1"])
def test_what_is_no_behaviour_is_refused(text: str) -> None:
    """A partner that does something else than the test believes shows nothing."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_behaviour(text)


def test_chance_is_the_same_for_the_same_seed() -> None:
    """A run that failed can be repeated, in whatever order messages come."""
    flaky, other = parse_behaviour("flaky:7"), parse_behaviour("flaky:8")
    drawn = [flaky.drawn("A", f"m-{number}", attempt).act for number in range(50) for attempt in (1, 2)]
    assert drawn == [flaky.drawn("A", f"m-{number}", attempt).act for number in range(50) for attempt in (1, 2)]
    assert drawn != [other.drawn("A", f"m-{number}", attempt).act for number in range(50) for attempt in (1, 2)]
    assert len(set(drawn)) >= 5


async def test_owner_answers_transactions_with_ids_and_get_with_content(
    remote: RemotePartner, sender: HttpSender
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
    remote: RemotePartner, sender: HttpSender, changes: dict[str, object]
) -> None:
    """The journal tells of messages, however they came."""
    assert reply_in(await sender.send(to(f"{remote.address}/in", **changes), CREATE)).reply.result is Result.OK
    (entry,) = remote.entries
    assert (entry.order, entry.archetype, entry.verb, entry.noun) == (1, "RequestMessage", "create", "TroubleTickets")
    assert (entry.source, entry.message_id) == (CREATE.header.source, CREATE.header.message_id)
    assert entry.objects == (object_keys_of(CREATE) if "compress_above_bytes" not in changes else ())
    assert (entry.act, entry.attempt, entry.is_effect) == (Act.ACCEPT, 1, True)


async def test_a_repeat_is_delivered_twice_and_takes_effect_once(remote: RemotePartner, sender: HttpSender) -> None:
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
async def test_what_is_not_done_takes_no_effect(remote: RemotePartner, sender: HttpSender, behaviour: str) -> None:
    """Only what was done counts, and it can be done later."""
    remote.behave(behaviour)
    assert judge_attempt(await sender.send(to(remote.address), CREATE), awaits_reply=False).next is not Next.DELIVERED
    assert remote.effects == ()
    remote.behave("slow:0")
    assert reply_in(await sender.send(to(remote.address), CREATE)).reply.result is Result.OK
    assert len(remote.effects) == 1


async def test_later_replies_go_to_the_reply_address(remote: RemotePartner, sender: HttpSender) -> None:
    """A receipt at once, then parts, then the end, which may come twice; over SOAP or our own profile."""
    asked = RemotePartner(behaviour="later:2:0:2")
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
    asked, asker = RemotePartner(behaviour="later"), RemotePartner()
    await asked.start()
    await asker.start()
    address = asker.address
    await asker.stop()
    header = msgspec.structs.replace(CREATE.header, reply_address=address)
    await sender.send(to(asked.address), msgspec.structs.replace(CREATE, header=header))
    back = RemotePartner()
    await back.start(int(address.rpartition(":")[2]))
    await back.received(1)
    await asked.stop()
    await back.stop()


async def test_who_wants_no_later_reply_is_answered_at_once(remote: RemotePartner, sender: HttpSender) -> None:
    """Without ReplyAddress there is nowhere to send it."""
    remote.behave("later")
    header = msgspec.structs.replace(CREATE.header, reply_address=None)
    answer = reply_in(await sender.send(to(remote.address), msgspec.structs.replace(CREATE, header=header)))
    assert [error.code for error in answer.reply.error] == ["0.0"]


async def test_a_partner_in_a_thread_serves_who_blocks(sender: HttpSender) -> None:
    """Tests without an event loop have partners too."""
    with remote_partner(name="OMS", behaviour="twice") as partner:
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


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Who writes a harness looks there first."""
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--journal" in capsys.readouterr().out
