"""Payload/Compressed, both ways: large content packed, packed content read.

Pure. Source: IEC 61968-100:2013, Payload/Compressed (gzip, then base64); what counts as large is for the two ends.
"""

import base64
import zlib
from typing import TypeVar

import msgspec

from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml, unpack
from cimcare.codec.payload import read_payload, render_payload
from cimcare.errors import InputError, finding_of
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.nouns import PayloadRoot

__all__ = ["compress_payload", "pack", "unpack_payload"]

MessageT = TypeVar("MessageT", bound=RequestMessage | EventMessage | ResponseMessage)

_GZIP = 31
"""For zlib: a window of 32 KiB, and the frame of gzip, in which zlib writes neither a name nor an instant."""


def pack(content: bytes) -> str:
    """gzip, then base64 without line breaks. The same content gives the same text: no instant is in it."""
    machine = zlib.compressobj(wbits=_GZIP)
    return base64.b64encode(machine.compress(content) + machine.flush()).decode("ascii")


def compress_payload(message: MessageT, *, above_bytes: int) -> MessageT:
    """The message with its payload element in Compressed, if the XML of that takes more than `above_bytes`.

    Left as it is: content in another format than XML, an OperationSet, identifiers, and several elements, for which
    one compressed document has no place. With 0 nothing is compressed.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    payload = message.payload
    if not above_bytes or payload is None or len(payload.content) != 1 or not _is_xml(payload.format):
        return message
    (content,) = payload.content
    if not isinstance(content, PayloadRoot):
        return message
    raw = render_payload(content)
    if len(raw) <= above_bytes:
        return message
    packed = msgspec.structs.replace(payload, content=(), compressed=pack(raw), format="XML")
    return msgspec.structs.replace(message, payload=packed)


def unpack_payload(message: MessageT, *, limits: Limits | None = None, lenient: bool = False) -> MessageT:
    """The message with compressed XML in its place in the payload, as if it had been sent plainly.

    Left as it is: content in another format than XML, and what belongs to an OperationSet. The content is read, but not
    held against its schema.

    Args:
        message: Any.
        limits: Bounds of what is unpacked; the defaults if None.
        lenient: Whether variants met in the field are forgiven in the content.

    Raises:
        InputError: XML-1xx not to be unpacked or not to be parsed, SCH-106 no known payload, COD-1xx a bad value.
    """
    payload = message.payload
    if payload is None or payload.compressed is None or not _is_xml(payload.format):
        return message
    if message.header.noun == "OperationSet":
        return message
    limits = limits or Limits()
    raw = unpack(payload.compressed, format_name=payload.format, limits=limits)
    root = parse_xml(raw, msgspec.structs.replace(limits, max_bytes=limits.max_unpacked_bytes))
    if lenient:
        root, _ = forgive(root)
    content = read_payload(root)
    if not isinstance(content, PayloadRoot):
        found, clause = f"{content.XML_TYPE} as content", "IEC 61968-100:2013, Payload"
        raise InputError(finding_of("CNV-106", "Payload/Compressed", found, message.header.noun, clause))
    plain = msgspec.structs.replace(payload, compressed=None, format=None, content=(content,))
    return msgspec.structs.replace(message, payload=plain)


def _is_xml(format_name: str | None) -> bool:
    return (format_name or "XML").upper() == "XML"
