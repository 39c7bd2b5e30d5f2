"""XML of the message envelope, edition 1 (2013): bytes <-> `Message` and its kin.

Source: IEC 61968-100:2013, Message.xsd.
"""

import msgspec
from lxml import etree

from cimcare.codec.binding import Binding, Reader, Wildcard, Writer, read_whole
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.payload import read_content, write_content
from cimcare.errors import InputError, finding_of
from cimcare.model.envelope import (
    MESSAGE_NAMESPACE,
    AnyMessage,
    EventMessage,
    FaultMessage,
    Header,
    Message,
    Operation,
    Payload,
    Reply,
    Request,
    RequestMessage,
    ResponseMessage,
)
from cimcare.model.nouns import ENTRIES
from cimcare.model.structure import Structure

__all__ = [
    "DRAFT_NAMESPACE",
    "MESSAGE_NAMESPACE",
    "Glimpse",
    "element_of",
    "glimpse_header",
    "parse_message",
    "read_beginning",
    "read_message",
    "render_message",
    "write_element",
    "write_sections",
]

DRAFT_NAMESPACE = "http://www.iec.ch/TC57/2011/schema/message"
"""Namespace of the envelope in late drafts of edition 1; read by `lenient.forgive`."""

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_BEGINNING_OF_EVENT = f'{_DECLARATION}<EventMessage xmlns="{MESSAGE_NAMESPACE}"><Header>'.encode()
_END_OF_HEADER = b"</Header>"
_END_OF_EVENT = b"</EventMessage>"
_ROOTS: tuple[type[AnyMessage], ...] = (RequestMessage, ResponseMessage, EventMessage, FaultMessage, Message)
_BINDING = Binding(
    MESSAGE_NAMESPACE,
    wildcards={Payload: Wildcard.CONTENT_MANY, Operation: Wildcard.CONTENT_ONE, Request: Wildcard.QUERY},
    read_other=read_content,
    write_other=write_content,
    query_tags=frozenset(f"{{{entry.query_namespace}}}Get{entry.noun}" for entry in ENTRIES),
)
_READERS: dict[object, Reader] = {f"{{{MESSAGE_NAMESPACE}}}{root.__name__}": _BINDING.reader(root) for root in _ROOTS}
_WRITERS: dict[type[Structure], Writer] = {root: _BINDING.writer(root) for root in _ROOTS}
_SECTIONS: tuple[tuple[str, str, Writer], ...] = (
    ("header", "Header", _BINDING.writer(Header)),
    ("request", "Request", _BINDING.writer(Request)),
    ("reply", "Reply", _BINDING.writer(Reply)),
    ("payload", "Payload", _BINDING.writer(Payload)),
)


def read_message(element: etree._Element) -> AnyMessage:
    """Value of a message element of a parsed document, which may stand inside a larger one.

    Raises:
        InputError: ENV-101 no message root, COD-1xx a value that the model cannot hold.
    """
    reader = _READERS.get(element.tag)
    if reader is None:
        raise InputError(
            finding_of(
                "ENV-101",
                f"/{etree.QName(element).localname}",
                f"element {element.tag!s}",
                f"RequestMessage, ResponseMessage, EventMessage, FaultMessage or Message in {MESSAGE_NAMESPACE}",
                "IEC 61968-100:2013, Message.xsd",
                line=element.sourceline,
            )
        )
    value: AnyMessage = read_whole(element, reader)
    return value


def parse_message(raw: bytes, limits: Limits | None = None) -> AnyMessage:
    """Value of an envelope document. Raises InputError as `parse_xml` and `read_message` do."""
    return read_message(parse_xml(raw, limits))


def render_message(message: AnyMessage, *, namespace: str = MESSAGE_NAMESPACE) -> bytes:
    """An envelope document: UTF-8 with XML declaration, the envelope in the default namespace, nothing indented.

    Equal values give equal bytes. `namespace` is the one of the envelope, for partners that speak an older one.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    return (_DECLARATION + write_element(message, namespace=namespace)).encode()


def read_beginning(document: bytes) -> EventMessage | None:
    """The event of a document that `render_message` wrote, with its header and without its payload.

    None if it is no such document, or its header cannot be told from the rest by sight.
    """
    head, end, _ = document.partition(_END_OF_HEADER)
    if not end or not head.startswith(_BEGINNING_OF_EVENT):
        return None
    try:
        message = parse_message(head + end + _END_OF_EVENT)
    except InputError:  # a part of the header is called so too
        return None
    return message if isinstance(message, EventMessage) else None


def element_of(document: bytes) -> str:
    """The message element of a document that `render_message` wrote, as text."""
    return document.decode().removeprefix(_DECLARATION)


def write_element(message: AnyMessage, *, namespace: str = MESSAGE_NAMESPACE) -> str:
    """The message element as text, without XML declaration."""
    name = type(message).__name__
    return f'<{name} xmlns="{namespace}">' + _WRITERS[type(message)](message) + f"</{name}>"


def write_sections(message: AnyMessage) -> tuple[tuple[str, str], ...]:
    """Name and inner text of Header, Request, Reply and Payload, as far as present, for other outer elements."""
    written = []
    for field, name, writer in _SECTIONS:
        section = getattr(message, field, None)
        if section is not None:
            written.append((name, writer(section)))
    return tuple(written)


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of a header, read without judging them: enough to answer a message whose content is refused.

    `properties` are the names of its Properties.
    """

    archetype: str
    verb: str | None = None
    noun: str | None = None
    revision: str | None = None
    context: str | None = None
    source: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    async_reply_flag: str | None = None
    ack_required: str | None = None
    properties: tuple[str, ...] = ()


_GLIMPSED: dict[object, str] = {
    f"{{{MESSAGE_NAMESPACE}}}{name}": field
    for name, field in {
        "Verb": "verb",
        "Noun": "noun",
        "Revision": "revision",
        "Context": "context",
        "Source": "source",
        "MessageID": "message_id",
        "CorrelationID": "correlation_id",
        "AsyncReplyFlag": "async_reply_flag",
        "AckRequired": "ack_required",
    }.items()
}


_PROPERTY = f"{{{MESSAGE_NAMESPACE}}}Property"
_PROPERTY_NAME = f"{{{MESSAGE_NAMESPACE}}}Name"


def glimpse_header(element: etree._Element) -> Glimpse:
    """What can be read of the header of a message element, however wrong the rest is."""
    texts: dict[str, str] = {}
    properties: list[str] = []
    header = element.find(f"{{{MESSAGE_NAMESPACE}}}Header")
    for child in header if header is not None else ():
        field = _GLIMPSED.get(child.tag)
        if field and field not in texts and child.text:
            texts[field] = child.text.strip()
        elif child.tag == _PROPERTY:
            properties.append((child.findtext(_PROPERTY_NAME) or "").strip())
    return Glimpse(archetype=etree.QName(element).localname, properties=tuple(properties), **texts)
