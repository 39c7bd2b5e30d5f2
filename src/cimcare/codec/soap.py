"""SOAP 1.1 and 1.2 envelopes: a message out of any body shape met in the field, and a message into a body.

The published WSDL names both wrapper elements and plain messages, so partners differ; every shape is brought into the
standard one here: `RequestMessage`, `ResponseMessage`, `EventMessage` or `FaultMessage` in the envelope's namespace.
Strongly typed services keep their outer elements in a namespace of the noun.

Source: IEC 61968-100:2013, SOAP binding; W3C SOAP 1.1 and SOAP 1.2.
"""

from enum import StrEnum

import msgspec
from lxml import etree

from cimcare.codec.envelope import MESSAGE_NAMESPACE, element_of, write_element, write_sections
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.values import escape_attribute, escape_text
from cimcare.errors import InputError, finding_of
from cimcare.model.envelope import AnyMessage, FaultMessage
from cimcare.model.nouns import ENTRIES, NOUNS, Noun
from cimcare.model.verbs import EVENT_VERBS

__all__ = [
    "ABSTRACT_NAMESPACE",
    "BodyShape",
    "SoapBody",
    "SoapFault",
    "SoapVersion",
    "TypedNames",
    "is_soap",
    "read_soap",
    "render_soap",
    "render_soap_fault",
    "wrap_document",
]

ABSTRACT_NAMESPACE = "http://iec.ch/TC57/2011/abstract"
"""Namespace of the generic WSDL, in which some partners wrap the message."""

_CLAUSE = "IEC 61968-100:2013, SOAP binding"
_EVENT_VERBS = frozenset(verb.value for verb in EVENT_VERBS)


class SoapVersion(StrEnum):
    """Version of SOAP, by the namespace of its envelope."""

    V11 = "http://schemas.xmlsoap.org/soap/envelope/"
    V12 = "http://www.w3.org/2003/05/soap-envelope"

    @property
    def content_type(self) -> str:
        """Media type of a message of this version."""
        return "text/xml; charset=utf-8" if self is SoapVersion.V11 else "application/soap+xml; charset=utf-8"


class BodyShape(StrEnum):
    """How the message stood in the body."""

    MESSAGE = "message"
    WRAPPER = "wrapper element with Header inside"
    NESTED = "operation element around a message element"
    TEXT = "operation element with the message as text"
    TYPED = "strongly typed"
    FAULT = "SOAP fault"


class TypedNames(msgspec.Struct, frozen=True, kw_only=True):
    """Outer names of a strongly typed message: the noun, its message namespace, and the operation."""

    noun: Noun
    namespace: str
    operation: str

    @property
    def response(self) -> str:
        """Name of the answer's element."""
        return f"{self.noun}ResponseMessage"

    @property
    def fault(self) -> str:
        """Name of the element in a fault's detail."""
        return f"{self.noun}FaultMessage"


class SoapFault(msgspec.Struct, frozen=True, kw_only=True):
    """What a received SOAP fault says: code and reason."""

    code: str
    reason: str


class SoapBody(msgspec.Struct, frozen=True, kw_only=True):
    """A SOAP message, opened.

    `element` is the message in the standard form (the tree is changed in place), None only for a fault without a
    FaultMessage. `operation` is the local name of the body's child. `not_understood` lists the header blocks that had
    to be understood and are not.
    """

    version: SoapVersion
    element: etree._Element | None
    operation: str
    shape: BodyShape
    typed: TypedNames | None = None
    fault: SoapFault | None = None
    not_understood: tuple[str, ...] = ()


_VERSIONS = {version.value: version for version in SoapVersion}
_ROOT_OF = {"Request": "RequestMessage", "Response": "ResponseMessage", "PublishEvent": "EventMessage"}
_MESSAGES = frozenset({"RequestMessage", "ResponseMessage", "EventMessage", "FaultMessage", "Message"})
_TYPED = {entry.message_namespace: entry for entry in ENTRIES} | {
    # The query service of a noun has a message namespace of its own.
    entry.query_namespace.removesuffix("#") + "Message": entry
    for entry in ENTRIES
}
_SECTIONS = frozenset({"Header", "Request", "Reply", "Payload"})
_PAYLOAD_PARTS = frozenset({"OperationSet", "Compressed", "Format"})


def is_soap(root: etree._Element) -> bool:
    """Whether a document's root is a SOAP envelope of a version that is served."""
    name = etree.QName(root)
    return name.localname == "Envelope" and name.namespace in _VERSIONS


def read_soap(root: etree._Element, limits: Limits | None = None) -> SoapBody:
    """Open a SOAP envelope and bring the message in its body into the standard form.

    Raises:
        InputError: ENV-108, no SOAP envelope, or a body that holds no message.
    """
    if not is_soap(root):
        raise _no_message(root, "a SOAP 1.1 or 1.2 Envelope")
    namespace = etree.QName(root).namespace or ""
    version = _VERSIONS[namespace]
    header = root.find(f"{{{namespace}}}Header")
    not_understood = tuple(
        str(block.tag)
        for block in (header if header is not None else ())
        if block.get(f"{{{namespace}}}mustUnderstand") in ("1", "true")
    )
    body = root.find(f"{{{namespace}}}Body")
    child = next(iter(body), None) if body is not None else None
    if child is None:
        raise _no_message(root, "a Body with one message in it")
    name = etree.QName(child)
    if name.namespace == namespace and name.localname == "Fault":
        return SoapBody(
            version=version,
            element=_fault_message(child),
            operation="Fault",
            shape=BodyShape.FAULT,
            fault=_read_fault(child, version),
        )
    element, shape, typed = _open(child, limits)
    return SoapBody(
        version=version,
        element=element,
        operation=name.localname,
        shape=shape,
        typed=typed,
        not_understood=not_understood,
    )


def _open(child: etree._Element, limits: Limits | None) -> tuple[etree._Element, BodyShape, TypedNames | None]:
    name = etree.QName(child)
    if name.namespace == MESSAGE_NAMESPACE and name.localname in _MESSAGES:
        return child, BodyShape.MESSAGE, None
    entry = _TYPED.get(name.namespace or "")
    if entry is not None:
        names = TypedNames(noun=entry.noun, namespace=name.namespace or "", operation=name.localname)
        return _from_typed(child, names), BodyShape.TYPED, names
    if name.localname in _ROOT_OF and child.find(f"{{{MESSAGE_NAMESPACE}}}Header") is not None:
        child.tag = f"{{{MESSAGE_NAMESPACE}}}{_ROOT_OF[name.localname]}"
        return child, BodyShape.WRAPPER, None
    for inner in child:
        inner_name = etree.QName(inner)
        if inner_name.namespace == MESSAGE_NAMESPACE and inner_name.localname in _MESSAGES:
            return inner, BodyShape.NESTED, None
        if inner_name.localname == "message" and inner.find(f"{{{MESSAGE_NAMESPACE}}}Header") is not None:
            inner.tag = f"{{{MESSAGE_NAMESPACE}}}{_ROOT_OF.get(name.localname, 'Message')}"
            return inner, BodyShape.NESTED, None
    text = _text_within(child)
    if text:
        element = parse_xml(text.encode(), limits)
        if etree.QName(element).localname in _MESSAGES:
            return element, BodyShape.TEXT, None
    raise _no_message(child, f"RequestMessage, EventMessage or ResponseMessage in {MESSAGE_NAMESPACE}")


def _text_within(child: etree._Element) -> str:
    """The one string argument of an operation element that holds a document as text; empty if there is none."""
    holder = child
    while len(holder) == 1:
        holder = holder[0]
    text = (holder.text or "").strip()
    return text if not len(holder) and text.startswith("<") else ""


def _no_message(element: etree._Element, accepted: str) -> InputError:
    name = etree.QName(element)
    return InputError(
        finding_of(
            "ENV-108",
            f"/{name.localname}",
            f"element {element.tag!s}",
            accepted,
            _CLAUSE,
            line=element.sourceline,
        )
    )


def _from_typed(child: etree._Element, names: TypedNames) -> etree._Element:
    """Bring a strongly typed message into the envelope's namespace; only the outer elements differ."""
    own = f"{{{names.namespace}}}"
    if names.operation == names.response:
        root = "ResponseMessage"
    elif names.operation == names.fault:
        root = "FaultMessage"
    else:
        verb = names.operation.removesuffix(names.noun).lower()
        root = "EventMessage" if verb in _EVENT_VERBS else "RequestMessage"
    child.tag = f"{{{MESSAGE_NAMESPACE}}}{root}"
    for section in child:
        name = etree.QName(section)
        if name.namespace != names.namespace or name.localname not in _SECTIONS:
            continue
        section.tag = f"{{{MESSAGE_NAMESPACE}}}{name.localname}"
        if name.localname == "Payload":
            for part in list(section):
                part_name = etree.QName(part)
                if part_name.localname in _PAYLOAD_PARTS and str(part.tag).startswith(own):
                    part.tag = f"{{{MESSAGE_NAMESPACE}}}{part_name.localname}"
                    if part_name.localname != "Format":
                        _drop_empty_noun(section, names.noun)
    return child


def _drop_empty_noun(payload: etree._Element, noun: Noun) -> None:
    """The typed form asks for a noun element, empty where the content is compressed; the generic form is a choice."""
    for element in list(payload):
        if etree.QName(element).localname == noun and not len(element):
            payload.remove(element)


def _fault_message(fault: etree._Element) -> etree._Element | None:
    for element in fault.iter():
        name = etree.QName(element)
        if name.namespace == MESSAGE_NAMESPACE and name.localname == "FaultMessage":
            return element
        entry = _TYPED.get(name.namespace or "")
        if entry is not None and name.localname == f"{entry.noun}FaultMessage":
            names = TypedNames(noun=entry.noun, namespace=name.namespace or "", operation=name.localname)
            return _from_typed(element, names)
    return None


def _read_fault(fault: etree._Element, version: SoapVersion) -> SoapFault:
    own = f"{{{version}}}"
    if version is SoapVersion.V11:
        return SoapFault(code=fault.findtext("faultcode") or "", reason=fault.findtext("faultstring") or "")
    return SoapFault(
        code=fault.findtext(f"{own}Code/{own}Value") or "",
        reason=fault.findtext(f"{own}Reason/{own}Text") or "",
    )


def _envelope(version: SoapVersion, content: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soap:Envelope xmlns:soap="{version}"><soap:Body>{content}</soap:Body></soap:Envelope>'
    ).encode()


def _typed_element(message: AnyMessage, name: str, names: TypedNames, inner_namespace: str) -> str:
    sections = ""
    for section, text in write_sections(message):
        inner = text
        if section == "Payload":
            inner = _typed_payload(text)
            if not _has_content(message):
                inner = f'<{names.noun} xmlns="{NOUNS[names.noun].namespace}"/>{inner}'
        sections += f"<t:{section}>{inner}</t:{section}>"
    namespace = names.namespace
    return f'<t:{name} xmlns:t="{escape_attribute(namespace)}" xmlns="{inner_namespace}">{sections}</t:{name}>'


def _has_content(message: AnyMessage) -> bool:
    return isinstance(message, FaultMessage) or message.payload is None or bool(message.payload.content)


def _typed_payload(text: str) -> str:
    """Inner text of a typed Payload: OperationSet, Compressed and Format stand in the noun's message namespace."""
    for part in ("OperationSet", "Compressed", "Format"):
        start, end = f"<{part}>", f"</{part}>"
        at = text.find(start) if part == "OperationSet" else text.rfind(start)
        if text.endswith(end) and (at == 0 or part == "Format"):
            return f"{_typed_payload(text[:at])}<t:{part}>{text[at + len(start) : -len(end)]}</t:{part}>"
    return text


def render_soap(
    message: AnyMessage,
    version: SoapVersion,
    *,
    typed: TypedNames | None = None,
    namespace: str = MESSAGE_NAMESPACE,
) -> bytes:
    """A SOAP message with `message` as the only child of its body.

    With `typed` the outer elements are those of the strongly typed service: the operation's element for a request or an
    event, `<Noun>ResponseMessage` for an answer. `namespace` is the one of the envelope, for partners that speak an
    older one.
    """
    if typed is None:
        return _envelope(version, write_element(message, namespace=namespace))
    is_answer = type(message).__name__ == "ResponseMessage"
    name = typed.response if is_answer else typed.operation
    return _envelope(version, _typed_element(message, name, typed, namespace))


def wrap_document(document: bytes, version: SoapVersion) -> bytes:
    """A SOAP message with an envelope document that `render_message` wrote as the only child of its body."""
    return _envelope(version, element_of(document))


def render_soap_fault(
    fault: FaultMessage | None,
    version: SoapVersion,
    *,
    reason: str,
    server: bool = False,
    code: str | None = None,
    typed: TypedNames | None = None,
    namespace: str = MESSAGE_NAMESPACE,
) -> bytes:
    """A SOAP fault whose detail holds the FaultMessage.

    Args:
        fault: Content of the detail; None leaves the detail out.
        version: Version of SOAP to speak.
        reason: One sentence for people.
        server: Whether the receiver is at fault (Server, Receiver) and not the sender (Client, Sender).
        code: Other fault code than these, such as `MustUnderstand` or `VersionMismatch`.
        typed: Names of the strongly typed service that answers, if one does.
        namespace: Namespace of the envelope.
    """
    detail = ""
    if fault is not None and typed is not None:
        detail = _typed_element(fault, typed.fault, typed, namespace)
    elif fault is not None:
        detail = write_element(fault, namespace=namespace)
    text = escape_text(reason)
    if version is SoapVersion.V11:
        code = code or ("Server" if server else "Client")
        inner = f"<faultcode>soap:{code}</faultcode><faultstring>{text}</faultstring>"
        inner += f"<detail>{detail}</detail>" if detail else ""
    else:
        code = code or ("Receiver" if server else "Sender")
        inner = (
            f"<soap:Code><soap:Value>soap:{code}</soap:Value></soap:Code>"
            f'<soap:Reason><soap:Text xml:lang="en">{text}</soap:Text></soap:Reason>'
        )
        inner += f"<soap:Detail>{detail}</soap:Detail>" if detail else ""
    return _envelope(version, f"<soap:Fault>{inner}</soap:Fault>")
