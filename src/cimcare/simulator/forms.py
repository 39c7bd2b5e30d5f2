"""The form in which a message came, and so the form in which it is answered.

Source: IEC 61968-100:2013, SOAP binding (generic and strongly typed); plain XML and JSON are our own profile.
"""

import re

import msgspec

from cimcare.codec.compressed import unpack_payload
from cimcare.codec.envelope import DRAFT_NAMESPACE, MESSAGE_NAMESPACE, read_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import SoapVersion, TypedNames, is_soap, read_soap, render_soap, render_soap_fault
from cimcare.errors import InputError, finding_of
from cimcare.model.envelope import EventMessage, FaultMessage, Message, RequestMessage, ResponseMessage
from cimcare.model.verbs import EVENT_VERBS, Verb

__all__ = ["Form", "Glance", "Spoken", "glance_at_event", "guess_form", "read_any"]

Spoken = RequestMessage | EventMessage | ResponseMessage
"""What one system says to another."""

_REASON = "at fault"


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a message came. `version` is None for a plain message; `namespace` is the one of the envelope."""

    version: SoapVersion | None = None
    typed: TypedNames | None = None
    is_json: bool = False
    namespace: str = MESSAGE_NAMESPACE

    @property
    def name(self) -> str:
        """In a word, for people."""
        if self.version is None:
            return "json" if self.is_json else "xml"
        if self.typed is not None:
            return "soap-typed"
        return "soap11" if self.version is SoapVersion.V11 else "soap12"

    @property
    def content_type(self) -> str:
        """Media type of an answer."""
        if self.version is not None:
            return self.version.content_type
        return "application/json" if self.is_json else "application/xml; charset=utf-8"

    def render(self, reply: ResponseMessage) -> bytes:
        """A reply in this form."""
        if self.version is not None:
            return render_soap(reply, self.version, typed=self.typed, namespace=self.namespace)
        return render_json(reply) if self.is_json else render_message(reply, namespace=self.namespace)

    def render_fault(self, fault: FaultMessage, *, server: bool) -> bytes:
        """A fault in this form; `server` says that the receiver is to blame."""
        if self.version is not None:
            return render_soap_fault(
                fault, self.version, reason=_REASON, server=server, typed=self.typed, namespace=self.namespace
            )
        return render_json(fault) if self.is_json else render_message(fault, namespace=self.namespace)


def guess_form(raw: bytes, content_type: str) -> Form:
    """The form in which something that cannot be read is best answered."""
    if "json" in content_type.lower() or raw.lstrip()[:1] == b"{":
        return Form(is_json=True)
    if SoapVersion.V12.encode() in raw or "soap+xml" in content_type:
        return Form(version=SoapVersion.V12)
    if SoapVersion.V11.encode() in raw or b"Envelope" in raw[:300]:
        return Form(version=SoapVersion.V11)
    return Form()


def read_any(raw: bytes, content_type: str) -> tuple[Spoken, Form]:
    """The message in a body, and its form. Variants met in the field are read, compressed content is unpacked.

    Raises:
        InputError: It is no request, event or reply.
    """
    if "json" in content_type.lower() or raw.lstrip()[:1] == b"{":
        message, form = parse_json(raw), Form(is_json=True)
    else:
        namespace = DRAFT_NAMESPACE if f'"{DRAFT_NAMESPACE}"'.encode() in raw else MESSAGE_NAMESPACE
        root, _ = forgive(parse_xml(raw))
        form = Form(namespace=namespace)
        if is_soap(root):
            body = read_soap(root)
            if body.element is None:
                raise _no_message("a SOAP fault")
            root, _ = forgive(body.element)
            form = Form(version=body.version, typed=body.typed, namespace=namespace)
        message = read_message(root)
    if isinstance(message, Message):
        message = _specific(message)
    if not isinstance(message, RequestMessage | EventMessage | ResponseMessage):
        raise _no_message(f"a {type(message).__name__}")
    return unpack_payload(message, lenient=True), form


def _no_message(found: str) -> InputError:
    accepted = "RequestMessage, EventMessage or ResponseMessage"
    return InputError(finding_of("ENV-101", "/", found, accepted, "IEC 61968-100:2013, Message.xsd"))


def _specific(message: Message) -> Spoken:
    """The generic message as the one that its verb calls for."""
    header = message.header
    if header.verb is Verb.REPLY:
        if message.reply is None:
            raise InputError(finding_of("CNV-115", "/Message", "a reply without Reply", "the section Reply"))
        return ResponseMessage(header=header, reply=message.reply, payload=message.payload)
    if header.verb in EVENT_VERBS:
        return EventMessage(header=header, payload=message.payload)
    return RequestMessage(header=header, request=message.request, payload=message.payload)


# -------------------------------------------------------------------------------------------------- without parsing


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What an acknowledgement of an event needs of it, as bytes that stand in XML as they are."""

    version: SoapVersion | None
    noun: bytes
    context: bytes
    source: bytes
    message_id: bytes
    correlation_id: bytes


_VERB = re.compile(rb"<(?:[\w.-]+:)?Verb>(\w+)</")
_TEXTS = {
    name: re.compile(rb"<(?:[\w.-]+:)?" + name.encode() + rb">([^<>&\"]*)</")
    for name in ("Noun", "Context", "Source", "MessageID", "CorrelationID")
}
_EVENT_VERBS = frozenset(verb.encode() for verb in EVENT_VERBS)
_OWN_NAMESPACE = b'"' + MESSAGE_NAMESPACE.encode() + b'"'


def glance_at_event(raw: bytes) -> Glance | None:
    """What stands in the header of an event, found without parsing; None where that would not be certain to be right.

    It costs a twentieth of reading the message. Strongly typed events, other namespaces, comments, CDATA and entities
    in the header are left to who reads.
    """
    verb = _VERB.search(raw)
    if verb is None or verb[1] not in _EVENT_VERBS:
        return None
    before = raw[: verb.start()]
    end = raw.find(b"Header>", verb.end())
    header = raw[verb.end() : end]
    if b"EventMessage" not in before or _OWN_NAMESPACE not in before or end < 0 or b"<!" in raw[:end] or b"&" in header:
        return None
    texts = {name: found[1].strip() if (found := text.search(header)) else b"" for name, text in _TEXTS.items()}
    version = None
    if b"Envelope" in before:
        version = next((each for each in SoapVersion if each.encode() in before), None)
        if version is None:
            return None
    return Glance(
        version=version,
        noun=texts["Noun"],
        context=texts["Context"],
        source=texts["Source"],
        message_id=texts["MessageID"],
        correlation_id=texts["CorrelationID"],
    )
