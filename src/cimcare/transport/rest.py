"""Plain HTTP: the envelope as XML or as JSON, without SOAP. Our own profile.

Source: IEC 61968-100:2013 only remarks that web services could be done so; the rules here are ours.
"""

import msgspec

from cimcare.codec.envelope import Glimpse, glimpse_header, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import is_soap
from cimcare.codec.values import name_of
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.log import Transport
from cimcare.exchange.patterns import writable
from cimcare.model.envelope import FaultMessage, ResponseMessage
from cimcare.transport.channel import Answer, Opened, RefusedError, fault_status

__all__ = ["JsonChannel", "XmlChannel"]

_XML = "application/xml; charset=utf-8"
_JSON = "application/json"
_ROOTS = frozenset({"RequestMessage", "ResponseMessage", "EventMessage", "FaultMessage", "Message"})


class XmlChannel:
    """One envelope as an XML document."""

    transport: Transport = Transport.REST_XML
    form: Transport = Transport.REST_XML

    def open(self, raw: bytes, limits: Limits, *, lenient: bool) -> Opened:
        """The document's root."""
        root = parse_xml(raw, limits)
        findings: tuple[Finding, ...] = ()
        if lenient:
            root, findings = forgive(root)
        if name_of(root) not in _ROOTS:
            accepted = "POST to /soap" if is_soap(root) else f"one of {', '.join(sorted(_ROOTS))}"
            raise RefusedError(
                finding_of("ENV-101", f"/{name_of(root)}", f"element {name_of(root)}", accepted, line=root.sourceline)
            )
        return Opened(glimpse=glimpse_header(root), element=root, findings=findings)

    def render_reply(self, reply: ResponseMessage) -> Answer:
        """Status 200: the message was answered, whatever it says."""
        return Answer(status=200, content_type=_XML, body=render_message(reply))

    def render_fault(self, fault: FaultMessage, finding: Finding, *, soap_code: str | None = None) -> Answer:
        """Status 400, unless HTTP itself has something to say."""
        del soap_code
        return Answer(status=fault_status(finding, 400), content_type=_XML, body=render_message(fault))


class _Outline(msgspec.Struct):
    """As much of a JSON message as is needed to answer it."""

    message: str = ""
    Header: dict[str, object] = {}


_outline = msgspec.json.Decoder(_Outline)
_GLIMPSED = {
    "verb": "Verb",
    "noun": "Noun",
    "revision": "Revision",
    "context": "Context",
    "source": "Source",
    "message_id": "MessageID",
    "correlation_id": "CorrelationID",
}


class JsonChannel:
    """One envelope as a JSON document."""

    transport = Transport.REST_JSON
    form = Transport.REST_JSON

    def open(self, raw: bytes, limits: Limits, *, lenient: bool) -> Opened:
        """The document, brought into the form of XML, so that the same schemas and rules judge it."""
        del lenient
        try:
            message = parse_json(raw, limits)
            element = parse_xml(render_message(message), limits)
        except InputError as error:
            glimpse = _glimpse_json(raw) if error.code != "XML-103" else None
            if glimpse is None:
                raise
            return Opened(glimpse=glimpse, element=None, findings=(error.finding,))
        return Opened(glimpse=glimpse_header(element), element=element)

    def render_reply(self, reply: ResponseMessage) -> Answer:
        """Status 200: the message was answered, whatever it says."""
        return Answer(status=200, content_type=_JSON, body=render_json(reply))

    def render_fault(self, fault: FaultMessage, finding: Finding, *, soap_code: str | None = None) -> Answer:
        """Status 400, unless HTTP itself has something to say."""
        del soap_code
        return Answer(status=fault_status(finding, 400), content_type=_JSON, body=render_json(fault))


def _glimpse_json(raw: bytes) -> Glimpse | None:
    """What can be read of the header of a JSON message; None if there is none."""
    try:
        outline = _outline.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    texts = {
        field: writable(text)  # it is going to be repeated in the answer
        for field, name in _GLIMPSED.items()
        if isinstance(text := outline.Header.get(name), str)
    }
    if outline.message not in _ROOTS or not outline.Header:
        return None
    given = outline.Header.get("Property")
    names = [each.get("Name") for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    properties = tuple(name.strip() for name in names if isinstance(name, str))
    return Glimpse(archetype=outline.message, properties=properties, **texts)
