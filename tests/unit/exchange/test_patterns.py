"""Answers, events, correlation, repeats and dispatch, as decisions without I/O."""

from datetime import UTC, datetime, timedelta

import pytest

from cimcare.errors import Finding, Level, finding_of
from cimcare.exchange.correlation import correlation_of
from cimcare.exchange.dispatch import Dispatcher, System
from cimcare.exchange.log import Direction, LogEntry, Transport
from cimcare.exchange.patterns import Asked, build_event, build_fault, build_reply, codes_of, error_of
from cimcare.exchange.ports import Event, Served, ServingContext
from cimcare.exchange.replay import check_original, is_identified, window_start
from cimcare.model.envelope import ErrorLevel, EventMessage, RequestMessage, Result
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
WARNING = finding_of("REF-105", "/a", "found", "accepted")
FATAL = finding_of("REF-103", "/b", "found", "accepted", object_id="TT-1")


def a_reply(result: Result, *findings: Finding, acknowledged: bool = False) -> list[str]:
    asked = Asked(noun="Incidents", message_id="m")
    reply = build_reply(
        asked, result=result, findings=findings, source="OMS", now=NOON, message_id="r", acknowledged=acknowledged
    )
    return [error.code for error in reply.reply.error]


@pytest.mark.parametrize(
    ("message_id", "correlation_id", "chosen"),
    [("m", "c", "c"), ("m", None, "m"), (None, "c", "c"), (None, None, None), ("m", "", "m")],
)
def test_correlation_follows_the_three_rules(
    message_id: str | None, correlation_id: str | None, chosen: str | None
) -> None:
    """CorrelationID, else MessageID, else none."""
    assert correlation_of(message_id, correlation_id) == chosen


def test_codes_of_a_reply_follow_its_result() -> None:
    """OK says 0.0 before warnings, PARTIAL 0.2 before what failed, FAILED what failed alone."""
    assert a_reply(Result.OK) == ["0.0"]
    assert a_reply(Result.OK, WARNING) == ["0.0", "2.16"]
    assert a_reply(Result.OK, acknowledged=True) == ["0.3"]
    assert a_reply(Result.PARTIAL, FATAL) == ["0.2", "2.15"]
    assert a_reply(Result.FAILED, FATAL, WARNING) == ["2.15", "2.16"]


def test_error_says_what_where_which_object_and_at_what_stage() -> None:
    """An error that only says "invalid" makes two engineers telephone."""
    error = error_of(FATAL, node="OMS")
    assert (error.code, error.level, error.reason) == ("2.15", ErrorLevel.FATAL, "object unknown")
    assert error.details == "/b: REF-103 found; accepted"
    assert error.location is not None
    assert (error.location.node, error.location.stage) == ("OMS", "rules")
    assert error.id is not None
    assert error.id.value == "TT-1"
    assert error.xpath is None, "the schema wants a name there, which no path is"


def test_error_can_always_be_written() -> None:
    """What a sender put into a text may be what XML cannot carry."""
    error = error_of(finding_of("COD-105", "/", "value \x00\ud800\ufffe", "text"), node="CIS")
    assert error.details == "/: COD-105 value \ufffd\ufffd\ufffd; text"


def test_fault_has_an_error_for_each_finding() -> None:
    """Header unreadable: all that can be said is what is wrong."""
    fault = build_fault((FATAL, WARNING), node="CIS")
    assert (fault.reply.result, len(fault.reply.error)) == (Result.FAILED, 2)


def test_event_carries_context_and_correlation_of_its_cause() -> None:
    """Listeners must be able to tell what led to it, and test traffic must stay test traffic."""
    asked = Asked(noun="TroubleTickets", revision="1", context="TESTING", message_id="m")
    event = Event(verb=Verb.CREATED, noun=Noun.INCIDENTS, payload=TroubleTickets(), source=Role.OMS)
    header = build_event(event, asked, source="OMS", now=NOON, message_id="e").header
    assert (header.verb, header.noun, header.source, header.timestamp) == (Verb.CREATED, "Incidents", "OMS", NOON)
    assert (header.context, header.correlation_id, header.message_id) == ("TESTING", "m", "e")
    assert header.revision is None, "the revision asked for is that of another noun"


def test_codes_are_listed_once_and_worst_first() -> None:
    """The log shows the reason before the remarks."""
    note = Finding(code="LEN-101", path="/", found="", accepted="", level=Level.INFORM)
    assert codes_of([note, WARNING, FATAL, FATAL]) == ("REF-103", "REF-105", "LEN-101")


def an_original(digest: bytes) -> LogEntry:
    return LogEntry(
        sequence=7,
        received_at=NOON,
        direction=Direction.IN,
        transport=Transport.SOAP11,
        partner="CIS",
        message_id="m",
        digest=digest,
    )


def test_repeat_is_told_from_other_content_by_its_digest() -> None:
    """Same digest, same message; else both are named."""
    assert check_original(an_original(b"\x01"), b"\x01") == ()
    (finding,) = check_original(an_original(b"\x01"), b"\x02")
    assert finding.code == "EXC-101"
    assert all(part in finding.found for part in ("'m'", "'CIS'", "message 7", "content 01", "content 02"))


def test_window_of_repeats_begins_its_span_ago() -> None:
    """An original at the very edge still counts."""
    assert window_start(NOON, timedelta(days=7)) == NOON - timedelta(days=7)
    assert is_identified("CIS", "m")
    assert not is_identified("CIS", None)
    assert not is_identified("", "m")


async def serve(_: RequestMessage, __: ServingContext) -> Served:
    return Served(result=Result.OK)


async def listen(_: EventMessage, __: ServingContext) -> Served:
    return Served(result=Result.OK)


OMS = System(
    role=Role.OMS,
    serves={(Verb.CREATE, Noun.TROUBLE_TICKETS): serve, (Verb.GET, Noun.INCIDENTS): serve},
    listens={(Verb.CREATED, Noun.TROUBLE_TICKETS): listen},
)
CIS = System(role=Role.CIS, serves={}, listens={(Verb.CREATED, Noun.TROUBLE_TICKETS): listen})


def test_requests_go_to_whoever_serves_them() -> None:
    """One owner for each verb and noun."""
    dispatcher = Dispatcher([OMS, CIS])
    assert dispatcher.find_handler(Verb.CREATE, "TroubleTickets") == (Role.OMS, serve)
    assert dispatcher.served() == {(Verb.CREATE, "TroubleTickets"), (Verb.GET, "Incidents")}


@pytest.mark.parametrize(
    ("verb", "noun", "code", "accepted"),
    [
        (Verb.CLOSE, "TroubleTickets", "EXC-102", "for TroubleTickets one of create"),
        (Verb.GET, "Meters", "EXC-103", "one of Incidents, TroubleTickets"),
        (Verb.EXECUTE, "TroubleTickets", "EXC-102", "for TroubleTickets one of create"),
    ],
)
def test_requests_that_nobody_serves_are_told_what_is_served(verb: Verb, noun: str, code: str, accepted: str) -> None:
    """A refusal without the alternative is half an answer."""
    finding = Dispatcher([OMS]).find_handler(verb, noun)
    assert isinstance(finding, Finding)
    assert finding.code == code
    assert accepted in finding.accepted


def test_events_go_to_all_listeners_but_the_speaker() -> None:
    """Whoever says it knows it."""
    dispatcher = Dispatcher([OMS, CIS])
    roles = [role for role, _ in dispatcher.listeners(Verb.CREATED, "TroubleTickets")]
    assert roles == [Role.OMS, Role.CIS]
    roles = [role for role, _ in dispatcher.listeners(Verb.CREATED, "TroubleTickets", but=Role.OMS)]
    assert roles == [Role.CIS]
    assert dispatcher.listeners(Verb.DELETED, "Meters") == ()


def test_two_owners_of_one_verb_and_noun_are_a_mistake() -> None:
    """Found at the start, not with the first message."""
    twin = System(role=Role.WMS, serves=OMS.serves, listens={})
    with pytest.raises(ValueError, match="create TroubleTickets is served by oms and by wms"):
        Dispatcher([OMS, twin])
