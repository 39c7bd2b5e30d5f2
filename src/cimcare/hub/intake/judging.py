"""From an opened message to a value that may be served: header, schema, context, compressed content, binding.

Pure. What is wrong becomes findings; nothing here knows of store or transport.
"""

import msgspec

from cimcare.codec.envelope import Glimpse, read_message
from cimcare.codec.limits import Limits
from cimcare.errors import Finding, InputError, Level, finding_of
from cimcare.exchange.patterns import Asked
from cimcare.model.envelope import AnyMessage, EventMessage, FaultMessage, Message, RequestMessage, ResponseMessage
from cimcare.model.nouns import Noun, find_noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.rules.conventions import REVISIONS, is_known_revision
from cimcare.schema import Catalog, check_message
from cimcare.transport.channel import Opened
from cimcare.validation import read_compressed

__all__ = ["Judged", "Readable", "Refusal", "asked_of", "check_header", "is_fatal", "judge", "settle"]

Readable = RequestMessage | EventMessage | ResponseMessage
"""Messages that can be served."""

_OPERATION_SET = "OperationSet"
_CLAUSE = "IEC 61968-100:2013, HeaderType"
_CLAUSE_SET = "IEC 61968-100:2013, OperationSet"


class Refusal(Exception):  # noqa: N818 - an answer to the sender, not an error of the program
    """A message that is answered with FAILED, and why."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(finding.code for finding in findings))
        self.findings = findings


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A message that conforms, and what is worth telling its sender all the same.

    `message` has compressed content unpacked; `as_came` has not, for that is how it goes on to others.
    """

    message: Readable
    as_came: Readable
    notes: tuple[Finding, ...]


def asked_of(glimpse: Glimpse) -> Asked:
    """What the answer must know, from what could be read of the header."""
    return Asked(
        noun=glimpse.noun or "",
        verb=glimpse.verb or "",
        archetype=glimpse.archetype,
        # Who asks in a revision that is not spoken here is answered in the one that is.
        revision=glimpse.revision if glimpse.revision is None or is_known_revision(glimpse.revision) else "1",
        context=glimpse.context,
        source=glimpse.source,
        message_id=glimpse.message_id,
        correlation_id=glimpse.correlation_id,
    )


def is_fatal(findings: tuple[Finding, ...]) -> bool:
    """Whether one of the findings keeps the message from being served."""
    return any(finding.level is Level.FATAL for finding in findings)


def check_header(glimpse: Glimpse) -> tuple[Finding, ...]:
    """Findings that make even an answer impossible, since it could not say what it answers."""
    root = f"/{glimpse.archetype}"
    if glimpse.archetype == "FaultMessage":
        accepted = "RequestMessage, EventMessage or ResponseMessage"
        return (finding_of("ENV-101", root, "a FaultMessage", accepted, "IEC 61968-100:2013, FaultMessage"),)
    if glimpse == Glimpse(archetype=glimpse.archetype):
        return (finding_of("ENV-102", root, "no Header with content", "a Header with Verb and Noun", _CLAUSE),)
    missing = []
    if not glimpse.verb:
        missing.append(finding_of("ENV-103", f"{root}/Header", "no Verb", f"one of {', '.join(Verb)}", _CLAUSE))
    if not glimpse.noun:
        missing.append(finding_of("ENV-104", f"{root}/Header", "no Noun", f"one of {', '.join(Noun)}", _CLAUSE))
    return tuple(missing)


def judge(opened: Opened, *, catalog: Catalog, limits: Limits, context: str) -> Judged:
    """The message, if it conforms to the schemas and belongs here.

    Args:
        opened: What came.
        catalog: Schemas.
        limits: Bounds for compressed content.
        context: The only context that is served; empty serves all.

    Raises:
        Refusal: It does not.
    """
    glimpse = opened.glimpse
    if words := _check_words(glimpse):
        raise Refusal(words)
    findings = opened.findings
    if is_fatal(findings) or opened.element is None:
        raise Refusal(findings)
    findings = (*findings, *check_message(opened.element, catalog))
    if is_fatal(findings):
        raise Refusal(findings)
    if context and glimpse.context is not None and glimpse.context != context:
        where = f"/{glimpse.archetype}/Header/Context"
        found = finding_of("EXC-105", where, f"context {glimpse.context}", f"{context}, or no Context", _CLAUSE)
        raise Refusal((*findings, found))
    try:
        as_came = settle(read_message(opened.element))
        message = _unpack(as_came, catalog, limits)
    except InputError as error:
        raise Refusal((*findings, error.finding)) from error
    return Judged(message=message, as_came=as_came, notes=findings)


def _check_words(glimpse: Glimpse) -> tuple[Finding, ...]:
    """Verb, noun and revision, which the reply codes tell apart where a schema would not."""
    header = f"/{glimpse.archetype}/Header"
    findings = []
    if glimpse.verb not in frozenset(Verb):
        accepted = f"one of {', '.join(Verb)}"
        findings.append(finding_of("ENV-105", f"{header}/Verb", f"verb {glimpse.verb}", accepted, _CLAUSE))
    if glimpse.noun != _OPERATION_SET and find_noun(glimpse.noun or "") is None:
        entry = find_noun(glimpse.noun or "", aliases=True)
        accepted = entry.noun.value if entry else f"one of {', '.join(Noun)}"
        findings.append(finding_of("ENV-106", f"{header}/Noun", f"noun {glimpse.noun}", accepted, _CLAUSE))
    if glimpse.revision and not is_known_revision(glimpse.revision):
        findings.append(finding_of("ENV-109", f"{header}/Revision", f"revision {glimpse.revision}", REVISIONS, _CLAUSE))
    return tuple(findings)


def settle(message: AnyMessage) -> Readable:
    """The generic form as the one that its verb calls for."""
    if isinstance(message, Message):
        verb, parts = message.header.verb, message
        if verb in REQUEST_VERBS and parts.reply is None:
            return RequestMessage(header=parts.header, request=parts.request, payload=parts.payload)
        if verb in EVENT_VERBS and parts.reply is None and parts.request is None:
            return EventMessage(header=parts.header, payload=parts.payload)
        if verb is Verb.REPLY and parts.reply is not None and parts.request is None:
            return ResponseMessage(header=parts.header, reply=parts.reply, payload=parts.payload)
        raise InputError(
            finding_of(
                "CNV-101",
                "/Message",
                f"{verb} with other parts than it has",
                "Request with a request, Reply with a reply, neither with an event",
                "IEC 61968-100:2013, Message.xsd",
            )
        )
    if isinstance(message, FaultMessage):  # has no header, and was answered before
        raise InputError(finding_of("ENV-101", "/FaultMessage", "a FaultMessage", "a message with a Header"))
    return message


def _unpack(message: Readable, catalog: Catalog, limits: Limits) -> Readable:
    """The message with compressed content unpacked, checked and bound like any other."""
    payload = message.payload
    if payload is None or payload.compressed is None:
        return message
    start = f"/{type(message).__name__}/Payload/Compressed"
    if message.header.noun == _OPERATION_SET:
        if isinstance(message, ResponseMessage):
            return message
        accepted = "the OperationSet itself; a payload element inside an operation cannot be compressed either"
        raise InputError(finding_of("CNV-111", start, "a compressed OperationSet", accepted, _CLAUSE_SET))
    if (payload.format or "XML").upper() != "XML":
        found, accepted = f"content in the format {payload.format}", "XML: no Format, or Format XML"
        raise InputError(
            finding_of("XML-108", start, found, accepted, "IEC 61968-100:2013, Payload/Format; not served here")
        )
    content, findings = read_compressed(message, catalog, limits=limits)
    if content is None:
        raise Refusal(findings)
    return msgspec.structs.replace(
        message, payload=msgspec.structs.replace(payload, compressed=None, format=None, content=(content,))
    )
