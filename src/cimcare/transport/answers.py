"""What a partner's answer to a message amounts to: a reply, an acknowledgement, a fault, or nothing of the kind.

Pure. An answer is never quoted but for what a fault says in its own words. Source: IEC 61968-100:2013, SOAP binding;
what a client must be ready for.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

import msgspec

from cimcare.codec.compressed import unpack_payload
from cimcare.codec.envelope import read_message
from cimcare.codec.json_body import parse_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import BodyShape, SoapFault, is_soap, read_soap
from cimcare.errors import ERRORS, Finding, InputError, finding_of
from cimcare.exchange.partners import Wire
from cimcare.model.envelope import AnyMessage, FaultMessage, ResponseMessage, Result
from cimcare.transport.calls import Outgoing

__all__ = ["Body", "Judged", "instant_of_date", "judge_answer", "read_body", "seconds_of_retry_after", "shown_address"]

_CLAUSE = "IEC 61968-100:2013, Reply"
_BLAMES = frozenset({"Client", "Sender", "MustUnderstand", "VersionMismatch", "DataEncodingUnknown"})
_REFUSED = frozenset({400, 422})
_PASSING = frozenset({408, 425, 429})
_AWAY = frozenset({502, 503, 504})
_LONGEST_WORDS = 500


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What the body of an answer holds: a message, a SOAP fault, or a fault with a FaultMessage."""

    message: AnyMessage | None
    fault: SoapFault | None = None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, judged. Without a `finding` it is a reply, or a bare acknowledgement. As for `Sent` otherwise."""

    reply: ResponseMessage | None = None
    finding: Finding | None = None
    fault: FaultMessage | None = None
    blames_us: bool = False
    is_reached: bool = True


def read_body(raw: bytes, content_type: str = "", *, limits: Limits | None = None, lenient: bool = False) -> Body:
    """The message in a body, be it JSON, SOAP or plain XML.

    Raises:
        InputError: It is none.
    """
    if "json" in content_type.lower() or raw.lstrip()[:1] == b"{":
        return Body(message=parse_json(raw, limits))
    root = parse_xml(raw, limits)
    if lenient:
        root, _ = forgive(root)
    if not is_soap(root):
        return Body(message=read_message(root))
    body = read_soap(root, limits)
    element = body.element
    if lenient and element is not None and body.shape is BodyShape.TEXT:
        element, _ = forgive(element)
    return Body(message=None if element is None else read_message(element), fault=body.fault)


def judge_answer(
    message: Outgoing,
    wire: Wire,
    *,
    url: str,
    status: int,
    content_type: str,
    raw: bytes,
    location: str = "",
    limits: Limits | None = None,
    lenient: bool = False,
) -> Judged:
    """What an answer amounts to.

    A reply counts whatever the status, unless it says OK beside a status that denies it. It has to be a reply to this
    message: an answer that is linked to another one is not believed. Of what answers a webhook only the status counts,
    if it is no reply. Compressed content of a reply is unpacked.

    Args:
        message: What was sent.
        wire: How.
        url: Where to, as it may be shown.
        status: HTTP status.
        content_type: Media type.
        raw: The whole body.
        location: Where a redirect leads.
        limits: Bounds of the input.
        lenient: Whether variants met in the field are read.
    """
    is_fine = 200 <= status < 300
    if is_fine and not raw.strip():
        return Judged()
    try:
        body = read_body(raw, content_type, limits=limits, lenient=lenient)
        if isinstance(body.message, ResponseMessage):
            reply = unpack_payload(body.message, limits=limits, lenient=lenient)
            return _judge_reply(message, reply, url, status)
    except InputError as error:
        if is_fine and wire is Wire.WEBHOOK:
            return Judged()
        return _judge_no_message(url, status, content_type, raw, location, error.finding)
    if body.fault is not None or isinstance(body.message, FaultMessage):
        return _judge_fault(body, url, status, how="" if wire is Wire.JMS else f"HTTP status {status}")
    if is_fine and wire is Wire.WEBHOOK:
        return Judged()
    found = f"a {type(body.message).__name__} in the answer"
    return Judged(finding=finding_of("NET-104", url, found, "a ResponseMessage", _CLAUSE))


def _judge_reply(message: Outgoing, reply: ResponseMessage, url: str, status: int) -> Judged:
    header = message.header
    given = reply.header.correlation_id
    ours = [each for each in (header.correlation_id, header.message_id) if each]
    if given and ours and given not in ours:
        found = f"an answer with CorrelationID {_words(given)}"
        accepted = f"CorrelationID {' or '.join(_words(each) for each in ours)}, or none"
        clause = "IEC 61968-100:2013, Header/CorrelationID"
        return Judged(finding=finding_of("NET-104", url, found, accepted, clause))
    if status >= 400 and reply.reply.result is Result.OK:
        found = f"HTTP status {status} beside the result OK"
        return Judged(finding=finding_of("NET-111", url, found, "a status that says the same"), is_reached=True)
    return Judged(reply=reply)


def _judge_no_message(url: str, status: int, content_type: str, raw: bytes, location: str, problem: Finding) -> Judged:
    what = f"{content_type or 'no media type'}, {len(raw)} bytes" if raw.strip() else "without a body"
    if 200 <= status < 300:
        found = f"HTTP status {status}, {what}, and no message in it"
        if url.startswith("jms:"):
            found = f"a reply of {len(raw)} bytes, and no message in it"
        reason = f"{problem.path}: {problem.code} {ERRORS[problem.code].title}"
        return Judged(finding=finding_of("NET-104", url, f"{found} ({reason})", "a ResponseMessage", _CLAUSE))
    accepted = "a ResponseMessage"
    if 300 <= status < 400:
        what = f"which leads to {shown_address(location)}" if location else "which leads nowhere"
        accepted = "the final address in the configuration, for redirects are not followed"
    return Judged(
        finding=finding_of("NET-111", url, f"HTTP status {status}, {what}", accepted),
        blames_us=status in _REFUSED,
        is_reached=status not in _AWAY,
    )


def _judge_fault(body: Body, url: str, status: int, *, how: str) -> Judged:
    message = body.message if isinstance(body.message, FaultMessage) else None
    errors = message.reply.error if message is not None else ()
    told = "; ".join(f"{error.code} {error.details or error.reason or ''}".strip() for error in errors)
    if body.fault is not None:
        words = f"{body.fault.code} {body.fault.reason}".strip()
        blames_us = body.fault.code.rpartition(":")[2].partition(".")[0] in _BLAMES
    else:
        words = how or "in the reply"
        blames_us = status < 500 and status not in _PASSING
    found = f"fault {_words(words)}{': ' + _words(told) if told and told not in words else ''}"
    return Judged(
        finding=finding_of("NET-113", url, found, "a ResponseMessage", _CLAUSE),
        fault=message,
        blames_us=blames_us,
        is_reached=status not in _AWAY,
    )


def _words(text: str) -> str:
    """Words of somebody else, in one line that can be shown: without control characters, and not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}..."


@lru_cache(maxsize=1024)
def shown_address(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
        return _words(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
    except ValueError:
        return "an address that is none"


def seconds_of_retry_after(text: str, *, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, a number or an instant; 0.0 where it is missing, past or nonsense."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    instant = instant_of_date(text)
    return max((instant - now).total_seconds(), 0.0) if instant is not None else 0.0


def instant_of_date(text: str) -> datetime | None:
    """The instant of a Date header; None where it is missing or nonsense."""
    try:
        instant = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
