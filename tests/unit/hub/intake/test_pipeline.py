"""What becomes of a message, step by step, over every way in."""

import base64
import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.codec.payload import render_payload
from cimcare.errors import ERRORS
from cimcare.exchange.dispatch import Dispatcher, System
from cimcare.exchange.log import Direction, Outcome
from cimcare.exchange.ports import Event, Served, ServingContext
from cimcare.exchange.store import StoreError
from cimcare.model.envelope import (
    ErrorLevel,
    EventMessage,
    FaultMessage,
    Header,
    Message,
    ObjectID,
    Payload,
    Reply,
    ReplyError,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message, sample_mrid
from tests.support.channels import CHANNELS, Channel, answer_of
from tests.support.hub import call
from tests.unit.hub.conftest import NOON, HeldHub

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2)
assert isinstance(CREATE, RequestMessage)
MRID = sample_mrid(Noun.TROUBLE_TICKETS, 2)


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest) -> Channel:
    return CHANNELS[request.param]


def with_header(message: RequestMessage, **changes: object) -> RequestMessage:
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **changes))


def a_get(mrid: str = MRID, **changes: object) -> RequestMessage:
    header = msgspec.structs.replace(CREATE.header, verb=Verb.GET, message_id=MessageID("get-1"))
    message = RequestMessage(header=header, request=Request(id=(ObjectID(value=mrid),)))
    return with_header(message, **changes)


def codes_in(answer: ResponseMessage | FaultMessage) -> list[str]:
    """Codes of a reply, without those that say where a ticket belongs."""
    return [error.code for error in answer.reply.error if "BUS-120" not in (error.details or "")]


def tickets_in(answer: ResponseMessage | FaultMessage) -> list[str]:
    """Tickets that a reply names; it names their incidents, too."""
    return [one.value for one in answer.reply.id if one.object_type == "TroubleTicket"]


def our_codes(answer: ResponseMessage | FaultMessage) -> set[str]:
    """Codes of findings that the details of a reply's errors name."""
    words = " ".join(error.details or "" for error in answer.reply.error).replace(":", " ").split()
    return {word for word in words if word in ERRORS}


# ---------------------------------------------------------------------------------------------------- answers


async def test_a_create_is_answered_stored_and_told(held: HeldHub, channel: Channel) -> None:
    """The whole way once: reply by the book, request and reply in the log as sent, effect and event."""
    response = await held.post(CREATE, channel)
    assert response.status == 200
    answer = answer_of(channel, response)
    assert isinstance(answer, ResponseMessage)
    header = answer.header
    assert (header.verb, header.noun, header.source, header.timestamp) == (Verb.REPLY, "TroubleTickets", "OMS", NOON)
    assert (header.revision, header.context) == (CREATE.header.revision, CREATE.header.context)
    assert header.correlation_id == CREATE.header.message_id
    assert header.message_id not in (None, CREATE.header.message_id)
    assert answer.reply.result is Result.OK
    assert codes_in(answer) == ["0.0"]
    assert tickets_in(answer) == [MRID]
    assert [one.object_type for one in answer.reply.id] == ["TroubleTicket", "Incident"]
    assert answer.payload is None

    came, went, *events = await held.log()
    assert (came.direction, came.transport, came.outcome) == (Direction.IN, channel.name, Outcome.OK)
    assert (came.partner, came.verb, came.noun, came.message_id) == (
        CREATE.header.source,
        "create",
        "TroubleTickets",
        CREATE.header.message_id,
    )
    assert await held.hub.queries.find_raw(came.sequence) == channel.render(CREATE)
    assert (went.direction, went.answer_to, went.status) == (Direction.OUT, came.sequence, 200)
    assert await held.hub.queries.find_raw(went.sequence) == response.body
    assert ("created", "TroubleTickets") in {(event.verb, event.noun) for event in events}
    assert {event.correlation_id for event in events} == {CREATE.header.message_id}
    assert {event.context for event in events} == {CREATE.header.context}
    assert events[0].answer_to == came.sequence
    assert len({entry.message_id for entry in (came, went, *events)}) == 2 + len(events)


async def test_a_get_is_answered_with_a_payload(held: HeldHub, channel: Channel) -> None:
    """What was created is read back over every way in."""
    await held.ask(CREATE)
    answer = await held.ask(a_get(), channel)
    assert isinstance(answer, ResponseMessage)
    assert answer.payload is not None
    (content,) = answer.payload.content
    assert isinstance(content, TroubleTickets)
    assert [ticket.mrid for ticket in content.trouble_ticket] == [MRID]


async def test_correlation_id_of_the_request_is_repeated(held: HeldHub) -> None:
    """A conversation of several messages hangs together by it."""
    answer = await held.ask(with_header(CREATE, correlation_id=CorrelationID("case-7")))
    assert isinstance(answer, ResponseMessage)
    assert answer.header.correlation_id == "case-7"
    assert {entry.correlation_id for entry in await held.log()} == {"case-7"}


async def test_reply_without_identifiers_has_none_to_repeat(held: HeldHub) -> None:
    """Neither identifier given, neither is made up."""
    answer = await held.ask(with_header(CREATE, message_id=None))
    assert isinstance(answer, ResponseMessage)
    assert answer.header.correlation_id is None


async def test_one_way_message_is_served_and_answered_with_202(held: HeldHub, channel: Channel) -> None:
    """AckRequired false: the effect, and no reply."""
    response = await held.post(with_header(CREATE, ack_required=False), channel)
    assert (response.status, response.body) == (202, b"")
    answer = await held.ask(a_get())
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    again = await held.post(with_header(CREATE, ack_required=False), channel)
    assert (again.status, again.body) == (202, b"")


async def test_one_way_message_that_fails_is_kept_with_its_codes(held: HeldHub) -> None:
    """Nobody is told, so the log must tell."""
    response = await held.post(with_header(CREATE, ack_required=False, noun="Meters"))
    assert response.status == 202
    (entry,) = await held.log()
    assert (entry.outcome, entry.codes) == (Outcome.FAILED, ("ENV-106",))


# --------------------------------------------------------------------------------------------- refusals, by code


def _without_object(message: RequestMessage) -> RequestMessage:
    return RequestMessage(
        header=msgspec.structs.replace(message.header, verb=Verb.CANCEL), request=Request(id=(ObjectID(value="none"),))
    )


REFUSED: dict[str, tuple[Callable[[RequestMessage], RequestMessage], str, str]] = {
    "revision not supported": (lambda message: with_header(message, revision="2"), "1.9", "ENV-109"),
    "asynchronous": (
        lambda message: with_header(message, async_reply_flag=True, reply_address="http://x.example/"),
        "7.7",
        "EXC-116",
    ),
    "object unknown": (_without_object, "2.15", "REF-103"),
    "rule broken": (
        lambda message: RequestMessage(header=message.header),
        "1.7",
        "CNV-102",
    ),
    "schema broken": (
        lambda message: msgspec.structs.replace(message, payload=Payload(content=(TroubleTickets(),))),
        "1.8",
        "SCH-102",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_with_a_reply_that_says_why(held: HeldHub, channel: Channel, case: str) -> None:
    """Readable header, wrong content: FAILED with the code of the standard and our finding; nothing takes effect."""
    change, code, ours = REFUSED[case]
    message = change(CREATE)
    response = await held.post(message, channel)
    assert response.status == 200
    answer = answer_of(channel, response)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.FAILED
    assert code in codes_in(answer)
    assert ours in our_codes(answer)
    assert all(error.level is ErrorLevel.FATAL and error.reason and error.location for error in answer.reply.error)
    assert (answer.header.verb, answer.header.source) == (Verb.REPLY, "OMS")
    assert answer.header.correlation_id == CREATE.header.message_id
    came, went = await held.log()
    assert (came.outcome, went.outcome, went.answer_to) == (Outcome.FAILED, Outcome.FAILED, came.sequence)
    assert ours in came.codes
    assert (await held.get("/api/v1/TroubleTickets")).body == b'{"items":[],"next":null}'


@pytest.mark.parametrize("name", ["soap11", "soap12", "rest-xml", "rest-json"])
@pytest.mark.parametrize(
    ("old", "new", "code", "ours"),
    [("create", "invent", "2.9", "ENV-105"), ("TroubleTickets", "TroubleTocks", "2.5", "ENV-106")],
)
async def test_unknown_words_in_the_header(held: HeldHub, name: str, old: str, new: str, code: str, ours: str) -> None:
    """Codes 2.9 and 2.5 tell a partner which word it is; a breach of the schema would not."""
    channel = CHANNELS[name]
    raw = channel.render(CREATE)
    for form in (f">{old}<", f'"{old}"'):
        raw = raw.replace(form.encode(), form.replace(old, new).encode(), 1)
    response = await call(held.hub.app, channel.path(CREATE), raw, headers={"content-type": channel.content_type})
    answer = answer_of(channel, response)
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_in(answer), our_codes(answer)) == (Result.FAILED, [code], {ours})


async def test_a_request_that_nobody_serves_is_refused(held: HeldHub) -> None:
    """What was an outage is not deleted, since customers were out; which verbs are served is said."""
    answer = await held.ask(build_message(Noun.INCIDENTS, Verb.DELETE, seed=2))
    assert isinstance(answer, ResponseMessage)
    assert our_codes(answer) == {"EXC-102"}
    assert "for Incidents one of cancel, change, close, create, get" in (answer.reply.error[0].details or "")


@pytest.mark.parametrize("context", ["TESTING", None])
async def test_context_that_fits_or_is_not_said_is_served(tmp_path: Path, context: str | None) -> None:
    """The guard keeps test traffic away; a sender that says nothing is no test traffic."""
    held = HeldHub()
    await held.open(tmp_path, 'hub.context = "TESTING"\n')
    answer = await held.ask(with_header(CREATE, context=context))
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    await held.hub.close()


async def test_other_context_is_refused(tmp_path: Path, channel: Channel) -> None:
    """A message of the training system must not open a ticket in the real one."""
    held = HeldHub()
    await held.open(tmp_path, 'hub.context = "PRODUCTION"\n')
    answer = await held.ask(CREATE, channel)
    assert isinstance(answer, ResponseMessage)
    assert (codes_in(answer), our_codes(answer)) == (["7.7"], {"EXC-105"})
    await held.hub.close()


# ----------------------------------------------------------------------------------------------------- faults


UNREADABLE = {
    "not well-formed": (b"<RequestMessage", "XML-101"),
    "empty": (b"", "XML-101"),
    "document type": (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "XML-102"),
    "no message": (b"<a/>", None),
    "wrong bytes": (b"\xff\xfe\x00", None),
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_unreadable_input_gets_a_fault_and_is_kept(held: HeldHub, channel: Channel, case: str) -> None:
    """Not even a header to answer: a FaultMessage, over SOAP in a fault; the bytes are kept for whoever looks."""
    raw, code = UNREADABLE[case]
    response = await call(held.hub.app, channel.path(CREATE), raw, headers={"content-type": channel.content_type})
    assert response is not None
    assert response.status == (500 if channel.is_soap else 400)
    answer = answer_of(channel, response)
    assert isinstance(answer, FaultMessage)
    assert answer.reply.result is Result.FAILED
    assert codes_in(answer) == ["1.8"]
    if code and channel.name != "rest-json":
        assert our_codes(answer) == {code}
    if channel.is_soap:
        assert b"Fault" in response.body
        fault = b"TroubleTicketsFaultMessage" if channel.typed else b"<FaultMessage"
        assert fault in response.body
    came, went = await held.log()
    assert (came.outcome, went.outcome, went.archetype) == (Outcome.FAULT, Outcome.FAULT, "FaultMessage")
    assert await held.hub.queries.find_raw(came.sequence) == raw
    assert await held.hub.queries.find_raw(went.sequence) == response.body


@pytest.mark.parametrize(
    ("piece", "code", "ours"),
    [
        ("<Verb>create</Verb>", "1.5", "ENV-103"),
        ("<Noun>TroubleTickets</Noun>", "1.5", "ENV-104"),
        ("Header", "1.5", "ENV-102"),
    ],
)
async def test_header_without_the_least_gets_a_fault(held: HeldHub, piece: str, code: str, ours: str) -> None:
    """Without verb or noun a reply could not say what it answers."""
    raw = render_message(CREATE).decode()
    raw = raw.replace(piece, "") if piece != "Header" else f"{raw.partition('<Header>')[0]}</RequestMessage>"
    response = await call(held.hub.app, "/messages", raw.encode())
    answer = answer_of(CHANNELS["rest-xml"], response)
    assert isinstance(answer, FaultMessage)
    assert (codes_in(answer), our_codes(answer)) == ([code], {ours})


@pytest.mark.parametrize("name", ["soap11", "soap12", "rest-xml", "rest-json"])
async def test_a_fault_message_sent_to_us_gets_a_fault(held: HeldHub, name: str) -> None:
    """It asks nothing and answers nothing."""
    channel = CHANNELS[name]
    fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8"),)))
    response = await call(
        held.hub.app,
        "/soap" if channel.is_soap else "/messages",
        channel.render(fault),
        headers={"content-type": channel.content_type},
    )
    answer = answer_of(channel, response)
    assert isinstance(answer, FaultMessage)
    assert our_codes(answer) == {"ENV-101"}


async def test_json_with_a_readable_header_gets_a_reply(held: HeldHub) -> None:
    """JSON that does not fit the model still says what it wanted to be."""
    raw = b'{"message":"RequestMessage","Header":{"Verb":"create","Noun":"TroubleTickets","MessageID":"m1"},"Pay":1}'
    response = await call(held.hub.app, "/messages", raw, headers={"content-type": "application/json"})
    answer = answer_of(CHANNELS["rest-json"], response)
    assert isinstance(answer, ResponseMessage)
    assert (answer.header.correlation_id, our_codes(answer)) == ("m1", {"COD-105"})


# ---------------------------------------------------------------------------------------------------- repeats


async def test_a_repeat_gets_the_same_answer_byte_for_byte(held: HeldHub, channel: Channel) -> None:
    """A sender whose connection broke sends again; nothing may happen twice."""
    first = await held.post(CREATE, channel)
    before = await held.log()
    held.later(days=6.9)
    second = await held.post(CREATE, channel)
    assert second == first
    after = await held.log()
    assert len(after) == len(before) + 1, "the repeat itself, and nothing else"
    assert (after[-1].repeat_of, after[-1].outcome) == (before[0].sequence, Outcome.OK)


@pytest.mark.parametrize("other", CHANNELS)
async def test_a_repeat_may_come_another_way(held: HeldHub, channel: Channel, other: str) -> None:
    """A gateway that retries over its second path is still the same sender with the same message."""
    first = await held.ask(CREATE, channel)
    again = await held.ask(CREATE, CHANNELS[other])
    assert again == first


async def test_a_repeat_may_have_a_new_timestamp(held: HeldHub) -> None:
    """Many stacks stamp each attempt anew."""
    first = await held.ask(CREATE)
    assert await held.ask(with_header(CREATE, timestamp=NOON, comment="second try")) == first


async def test_other_content_under_the_same_identifier_is_refused(held: HeldHub, channel: Channel) -> None:
    """A sender that uses numbers again would otherwise get the answer to another question."""
    await held.ask(CREATE, channel)
    answer = await held.ask(with_header(CREATE, correlation_id=CorrelationID("other")), channel)
    assert isinstance(answer, ResponseMessage)
    assert (codes_in(answer), our_codes(answer)) == (["2.29"], {"EXC-101"})
    original = (await held.log())[0]
    details = answer.reply.error[0].details or ""
    assert f"message {original.sequence}," in details
    assert original.digest.hex() in details
    refused = (await held.log(outcomes=(Outcome.FAILED,)))[0]
    assert refused.digest.hex() in details


async def test_a_failed_message_is_processed_anew(held: HeldHub) -> None:
    """What failed for want of an object may succeed when the object is there."""
    change = build_message(Noun.TROUBLE_TICKETS, Verb.CHANGE, seed=2)
    first = await held.ask(change)
    await held.ask(CREATE)
    second = await held.ask(change)
    assert isinstance(first, ResponseMessage)
    assert isinstance(second, ResponseMessage)
    assert (first.reply.result, second.reply.result) == (Result.FAILED, Result.OK)


async def test_after_the_window_a_message_is_new(held: HeldHub) -> None:
    """Bounded memory: after seven days the identifier is free, and the rules decide."""
    await held.ask(CREATE)
    held.later(days=7, seconds=1)
    answer = await held.ask(CREATE)
    assert isinstance(answer, ResponseMessage)
    assert our_codes(answer) == {"LIF-103"}


@pytest.mark.parametrize("missing", ["message_id", "source"])
async def test_without_source_and_identifier_nothing_is_a_repeat(held: HeldHub, missing: str) -> None:
    """Identifiers are unique within a source; two strangers may both count from one."""
    message = with_header(a_get(), **{missing: None})
    await held.ask(CREATE)
    await held.ask(message)
    await held.ask(message)
    assert [entry.repeat_of for entry in await held.log()] == [None] * len(await held.log())


async def test_same_identifier_of_another_source_is_another_message(held: HeldHub) -> None:
    """Each sender counts for itself."""
    await held.ask(CREATE)
    answer = await held.ask(with_header(a_get(), source="ELSEWHERE", message_id=CREATE.header.message_id))
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK


# ------------------------------------------------------------------------------------------- events, responses


async def test_an_event_nobody_wants_is_kept_and_acknowledged(held: HeldHub) -> None:
    """The sender did right; that nobody here listens is not its concern."""
    message = build_message(Noun.SERVICE_ORDERS, Verb.DELETED, seed=2)
    answer = await held.ask(message)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    assert [entry.outcome for entry in await held.log()] == [Outcome.OK, Outcome.OK]


def a_response(correlation_id: str | None) -> ResponseMessage:
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun="TroubleTickets",
            source="OMS-FAR",
            message_id=MessageID("r1"),
            correlation_id=CorrelationID(correlation_id) if correlation_id else None,
        ),
        reply=Reply(result=Result.OK, error=(ReplyError(code="0.0"),)),
    )


@pytest.mark.parametrize("name", ["soap11", "soap12", "rest-xml", "rest-json"])
async def test_a_later_reply_is_kept_with_what_it_answers(held: HeldHub, name: str) -> None:
    """The Response operation: a plain receipt, and the log knows what belongs together."""
    await held.ask(CREATE)
    answer = await held.ask(a_response(CREATE.header.message_id), CHANNELS[name])
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_in(answer)) == (Result.OK, ["0.3"])
    entries = await held.log(partner="OMS-FAR", direction=Direction.IN)
    assert [entry.answer_to for entry in entries] == [1]


@pytest.mark.parametrize("correlation_id", ["never-asked", None])
async def test_a_reply_to_nothing_is_refused(held: HeldHub, correlation_id: str | None) -> None:
    """A reply that fits no request is somebody else's, or a mistake; and it is no less so the second time."""
    for _ in range(2):
        answer = await held.ask(a_response(correlation_id))
        assert isinstance(answer, ResponseMessage)
        assert (answer.reply.result, our_codes(answer)) == (Result.FAILED, {"EXC-107"})


@pytest.mark.parametrize("name", ["soap11", "rest-json"])
async def test_generic_message_is_taken_for_what_its_verb_says(held: HeldHub, name: str) -> None:
    """Intermediaries send `Message`; it is served like the root that its verb calls for."""
    message = Message(header=CREATE.header, payload=CREATE.payload)
    response = await call(
        held.hub.app,
        "/soap" if name == "soap11" else "/messages",
        CHANNELS[name].render(message),
        headers={"content-type": CHANNELS[name].content_type},
    )
    answer = answer_of(CHANNELS[name], response)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK


# -------------------------------------------------------------------------------------------------- compressed


def compressed(content: bytes, **more: object) -> RequestMessage:
    packed = base64.b64encode(gzip.compress(content)).decode()
    return msgspec.structs.replace(CREATE, payload=Payload(compressed=packed, **more))


def the_tickets() -> bytes:
    assert CREATE.payload is not None
    (content,) = CREATE.payload.content
    assert isinstance(content, TroubleTickets)
    return render_payload(content)


@pytest.mark.parametrize("name", ["soap11", "rest-xml", "rest-json"])
async def test_compressed_payload_is_unpacked_and_served(held: HeldHub, name: str) -> None:
    """Large payloads travel so by agreement; nothing behind the door sees a difference."""
    answer = await held.ask(compressed(the_tickets(), format="XML"), CHANNELS[name])
    assert isinstance(answer, ResponseMessage)
    assert tickets_in(answer) == [MRID]


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (compressed(the_tickets().replace(b"TroubleTicket>", b"TroubleTocket>")), "SCH-101"),
        (compressed(b"<broken"), "XML-101"),
        (compressed(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "XML-102"),
        (compressed(b"<a/>"), "SCH-106"),
        (compressed(the_tickets(), format="CSV"), "XML-108"),
        (compressed(b" " * 40_000_000), "XML-107"),
        (msgspec.structs.replace(CREATE, payload=Payload(compressed="no base64!")), "XML-108"),
    ],
    ids=["schema", "broken", "doctype", "no noun", "format", "bomb", "no base64"],
)
async def test_bad_compressed_payload_is_refused(held: HeldHub, message: RequestMessage, ours: str) -> None:
    """Whatever hides inside is judged like what lies open, and a bomb does not go off."""
    answer = await held.ask(message)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.FAILED
    assert ours in our_codes(answer)
    assert "/RequestMessage/Payload" in (answer.reply.error[0].details or "") or ours.startswith("XML")


# ------------------------------------------------------------------------------------------ when things go wrong


async def test_too_many_at_once_are_told_to_come_again(tmp_path: Path, channel: Channel) -> None:
    """Overload is answered at once, with the time at which to try again."""
    held = HeldHub()
    await held.open(tmp_path, "hub.queue_limit = 1\nhub.retry_after_seconds = 7\n")
    held.hub.pipeline._admission.in_work = 1
    response = await held.post(CREATE, channel)
    assert response.status == 503
    assert response.headers["retry-after"] == "7"
    answer = answer_of(channel, response)
    assert isinstance(answer, FaultMessage)
    assert (codes_in(answer), our_codes(answer)) == (["5.1"], {"EXC-108"})
    assert (await held.get("/readyz")).status == 503
    held.hub.pipeline._admission.in_work = 0
    assert (await held.get("/readyz")).status == 200
    assert await held.log() == ()
    await held.hub.close()


async def test_what_cannot_be_stored_is_not_said_to_be_done(held: HeldHub, channel: Channel) -> None:
    """A full disk answers 5.1, and the sender keeps its message."""
    writer = held.hub._store._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    answers = []
    for number in range(30):
        ticket = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=10 + number)
        response = await held.post(ticket, channel)
        assert response.status == 200
        answers.append(answer_of(channel, response))
    codes = {code for answer in answers for code in codes_in(answer)}
    assert "5.1" in codes
    failed = [answer for answer in answers if answer.reply.result is Result.FAILED]
    assert all(our_codes(answer) == {"EXC-111"} for answer in failed)
    done = [answer for answer in answers if answer.reply.result is Result.OK]
    stored = msgspec.json.decode((await held.get("/api/v1/TroubleTickets?limit=1000")).body)
    assert len(stored["items"]) == len(done)
    writer.execute("PRAGMA max_page_count = 1000000")
    answer = await held.ask(CREATE, channel)
    assert answer.reply.result is Result.OK


async def test_unreadable_input_on_a_full_disk_is_a_fault(held: HeldHub) -> None:
    """Even that which cannot be read and cannot be kept is answered in the words of the standard."""

    class NoStore:
        def transaction(self) -> object:
            raise StoreError("no")

    held.replace(store=NoStore())  # stands in for a store that refuses
    response = await call(held.hub.app, "/messages", b"<a")
    answer = answer_of(CHANNELS["rest-xml"], response)
    assert isinstance(answer, FaultMessage)
    assert our_codes(answer) == {"EXC-111"}


def serve_with(held: HeldHub, handler: object, listener: object = None) -> None:
    listens = {(Verb.CREATED, Noun.TROUBLE_TICKETS): listener} if listener else {}
    system = System(role=Role.OMS, serves={(Verb.CREATE, Noun.TROUBLE_TICKETS): handler}, listens=listens)
    held.serve_by(Dispatcher([system]))


async def test_an_error_of_the_program_undoes_all_and_tells_nothing_of_its_insides(
    held: HeldHub, channel: Channel
) -> None:
    """Half an effect is worse than none; a traceback in a reply is a gift to an attacker."""
    from cimcare.systems.oms.tickets import create_trouble_tickets

    async def fail(message: RequestMessage, context: ServingContext) -> Served:
        await create_trouble_tickets(message, context)
        raise LookupError(f"customer {4700 + 11} at 12 Elm Street")

    serve_with(held, fail)
    response = await held.post(CREATE, channel)
    assert response.status == 200
    answer = answer_of(channel, response)
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_in(answer), our_codes(answer)) == (Result.FAILED, ["5.3"], {"EXC-109"})
    assert b"Traceback" not in response.body
    assert b"4711" not in response.body
    came, went = await held.log()
    assert (came.outcome, came.codes, went.outcome) == (Outcome.FAILED, ("EXC-109",), Outcome.FAILED)
    assert (await held.get("/api/v1/TroubleTickets")).body == b'{"items":[],"next":null}'
    (line,) = held.logged
    assert line["error"] == "LookupError"
    assert "4711" not in str(line)
    assert "in fail" in line["trace"]


async def test_a_handler_that_fails_leaves_no_effect(held: HeldHub) -> None:
    """FAILED means that nothing was done, even if the handler had begun."""
    from cimcare.systems.oms.tickets import create_trouble_tickets

    async def refuse(message: RequestMessage, context: ServingContext) -> Served:
        served = await create_trouble_tickets(message, context)
        return msgspec.structs.replace(served, result=Result.FAILED)

    serve_with(held, refuse)
    answer = await held.ask(CREATE)
    assert answer.reply.result is Result.FAILED
    assert (await held.get("/api/v1/TroubleTickets")).body == b'{"items":[],"next":null}'
    assert len(await held.log()) == 2


async def test_events_that_go_in_circles_are_stopped(held: HeldHub) -> None:
    """Two systems that answer each other's events for ever must not hang the hub."""

    def tell(source: Role) -> Served:
        assert CREATE.payload is not None
        (content,) = CREATE.payload.content
        assert isinstance(content, TroubleTickets)
        event = Event(verb=Verb.CREATED, noun=Noun.TROUBLE_TICKETS, payload=content, source=source)
        return Served(result=Result.OK, events=(event,))

    async def handler(_: RequestMessage, __: ServingContext) -> Served:
        return tell(Role.WMS)

    async def listener(_: EventMessage, __: ServingContext) -> Served:
        return tell(Role.WMS)

    serve_with(held, handler, listener)
    answer = await held.ask(CREATE)
    assert our_codes(answer) == {"EXC-109"}
    assert len(await held.log()) == 2


async def test_metrics_count_by_what_became_of_messages(held: HeldHub) -> None:
    """Who watches the hub sees refusals and repeats without reading the log."""
    await held.ask(CREATE)
    await held.ask(CREATE)
    await held.ask(with_header(CREATE, noun="Nonsense" * 10, message_id=None))
    text = (await held.get("/metrics")).body.decode()
    assert 'cimcare_messages_total{noun="TroubleTickets",outcome="OK",transport="rest-xml",verb="create"} 2.0' in text
    assert 'cimcare_messages_total{noun="other",outcome="FAILED",transport="rest-xml",verb="create"} 1.0' in text
    assert 'cimcare_refused_total{code="ENV-106"} 1.0' in text
    assert "cimcare_repeats_total 1.0" in text
    assert "cimcare_commit_batch_count" in text
    assert "Nonsense" not in text


async def test_lenient_reading_reports_what_it_forgave(tmp_path: Path) -> None:
    """A partner with an old habit is served, and told of it in each reply."""
    held = HeldHub()
    await held.open(tmp_path, "hub.lenient = true\n")
    raw = render_message(CREATE).replace(b">create<", b">Create<")
    response = await call(held.hub.app, "/messages", raw)
    answer = answer_of(CHANNELS["rest-xml"], response)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    assert {error.level for error in answer.reply.error} == {ErrorLevel.INFORM}
    assert codes_in(answer) == ["0.0", "0.0"]
    assert our_codes(answer) == {"BUS-120", "LEN-101"}
    await held.hub.close()


async def test_an_error_that_cannot_even_be_kept_is_answered(held: HeldHub) -> None:
    """Whatever breaks, the sender gets a message of the standard."""

    class BrokenStore:
        def transaction(self) -> object:
            raise LookupError("defect")

    held.replace(store=BrokenStore())  # stands in for a defect
    answer = await held.ask(CREATE)
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_in(answer)) == (Result.FAILED, ["5.1"])
    assert [line["event"] for line in held.logged] == ["message failed", "not stored"]


@pytest.mark.parametrize(
    ("message", "result"),
    [
        (build_message(Noun.INCIDENTS, Verb.CREATED, seed=2), Result.OK),
        (a_response("asked-1"), Result.OK),
        (a_get("none"), Result.FAILED),
    ],
    ids=["event", "reply", "request"],
)
async def test_generic_message_of_every_kind(
    held: HeldHub, message: RequestMessage | EventMessage | ResponseMessage, result: Result
) -> None:
    """The verb decides which of the three it stands for, and the parts must be those of that kind."""
    await held.ask(with_header(CREATE, message_id=MessageID("asked-1")))
    parts = {name: getattr(message, name) for name in ("request", "reply", "payload") if hasattr(message, name)}
    answer = await held.ask(Message(header=message.header, **parts))
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is result
    assert "CNV-101" not in our_codes(answer)
    wrong = {"request": Request()} if isinstance(message, ResponseMessage) else {"reply": a_response("x").reply}
    header = msgspec.structs.replace(message.header, message_id=MessageID("other"))
    answer = await held.ask(Message(header=header, **{**parts, **wrong}))
    assert our_codes(answer) == {"CNV-101"}
