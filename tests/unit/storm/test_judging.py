"""Answers at a glance: what each amounts to, in any form, and what is made of the unexpected."""

import pytest

from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, render_soap, render_soap_fault
from cimcare.model.envelope import FaultMessage, Header, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.verbs import Verb
from cimcare.storm.judging import Outcome, find_estimate, judge
from tests.support.endpoint import reply


def _message(result: Result, code: str) -> ResponseMessage:
    header = Header(verb=Verb.REPLY, noun="TroubleTickets")
    return ResponseMessage(header=header, reply=Reply(result=result, error=(ReplyError(code=code),)))


@pytest.mark.parametrize(
    ("result", "code", "expected"),
    [
        (Result.OK, "0.0", Outcome.OK),
        (Result.PARTIAL, "2.16", Outcome.PARTIAL),
        (Result.FAILED, "5.1", Outcome.BUSY),
        (Result.FAILED, "6.1", Outcome.FAILED),
    ],
)
def test_a_reply_is_understood_in_every_form(result: Result, code: str, expected: Outcome) -> None:
    """XML, SOAP of either version, JSON; with a prefix of the namespace, as other stacks write it."""
    message = _message(result, code)
    prefixed = reply(result.value, code).replace(b"<", b"<m:").replace(b"<m:/", b"</m:").replace(b"xmlns=", b"xmlns:m=")
    for body in (
        reply(result.value, code),
        prefixed,
        render_soap(message, SoapVersion.V11),
        render_soap(message, SoapVersion.V12),
        render_json(message),
    ):
        assert judge(200, body).outcome is expected


@pytest.mark.parametrize("status", [429, 503])
def test_an_overload_is_known_by_its_status_too(status: int) -> None:
    """A gateway before the endpoint refuses without any message."""
    assert judge(status, b"<html>later</html>").outcome is Outcome.BUSY


def test_the_codes_of_a_refusal_are_its_reason() -> None:
    """The report says why messages were not taken."""
    assert judge(200, reply("FAILED", "2.15")).reason == "2.15"


def test_an_ok_beside_a_status_that_denies_it_is_no_ok() -> None:
    """Whoever believes it counts as kept what is not."""
    assert judge(500, reply()).outcome is Outcome.FAILED


def test_a_result_that_stands_far_behind_is_found_by_the_parser() -> None:
    """A header may be long."""
    body = reply().replace(b"<Header>", b"<Header><!--" + b"x" * 5000 + b"-->")

    assert judge(200, body).outcome is Outcome.OK


def test_a_fault_is_told_with_its_code() -> None:
    """SOAP's way to refuse."""
    fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8"),)))
    found = judge(500, render_soap_fault(fault, SoapVersion.V11, reason="no"))

    assert found.outcome is Outcome.FAULT
    assert "1.8" in found.reason


@pytest.mark.parametrize("body", [b"", b"<html>It works!</html>", b"{}", b"\xff\xfe"])
def test_what_is_no_message_is_unreadable(body: bytes) -> None:
    """A page of a web server is not an acknowledgement, whatever its status."""
    assert judge(200, body).outcome is Outcome.UNREADABLE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b"<estimatedPeriod><end>2026-01-01T10:00Z</end><start>x</start></estimatedPeriod>",
            b"2026-01-01T10:00Z",
        ),
        (b"<a:estimatedPeriod><a:end>T</a:end></a:estimatedPeriod>", b"T"),
        (b"<estimatedPeriod><start>x</start></estimatedPeriod><actualPeriod><end>y</end></actualPeriod>", b""),
        (b'{"estimatedPeriod":{"start":"x","end":"T"}}', b"T"),
        (b'{"estimatedPeriod":{"start":"x"},"actualPeriod":{"end":"y"}}', b""),
        (b"<Incidents/>", b""),
    ],
)
def test_the_time_of_restoration_is_found(body: bytes, expected: bytes) -> None:
    """How often it changes is what customers complain of; the end of another period is none."""
    assert find_estimate(body) == expected
