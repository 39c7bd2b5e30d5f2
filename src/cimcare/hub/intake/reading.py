"""Messages of the log as values again: what was kept as bytes is read back by the way it came or went."""

from typing import TypeVar

from cimcare.codec.compressed import unpack_payload
from cimcare.codec.envelope import read_message
from cimcare.codec.json_body import parse_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import is_soap, read_soap
from cimcare.exchange.log import LogEntry, Transport
from cimcare.hub.intake.judging import Readable, settle
from cimcare.model.envelope import EventMessage, ResponseMessage

__all__ = ["read_back", "read_kept", "unpacked"]

MessageT = TypeVar("MessageT", bound=EventMessage | ResponseMessage)

_OWN_LIMITS = Limits(max_bytes=2**40, max_unpacked_bytes=2**40, max_elements=2**40, max_attributes=2**40)
"""For what was judged when it came, or was written here."""


def read_back(entry: LogEntry, raw: bytes) -> Readable:
    """The message of an entry that was accepted or was written here, with its payload as it came.

    Raises:
        InputError: The bytes are no message.
    """
    return read_kept(raw, entry.transport)


def read_kept(raw: bytes, transport: Transport) -> Readable:
    """The same, of bytes that came or went by a transport. Raises InputError."""
    if transport is Transport.REST_JSON:
        return settle(parse_json(raw, _OWN_LIMITS))
    root = parse_xml(raw, _OWN_LIMITS)
    if transport not in (Transport.INTERNAL, Transport.FILTERED):
        # What was written here needs no forgiveness, which takes half the time.
        root, _ = forgive(root)  # changes nothing but what leniency had let in
    element = read_soap(root, _OWN_LIMITS).element if is_soap(root) else root
    assert element is not None
    return settle(read_message(element))


def unpacked(message: MessageT) -> MessageT:
    """A reply or event that was judged when it came, with compressed content in its place.

    Raises:
        InputError: The content cannot be unpacked.
    """
    return unpack_payload(message, limits=_OWN_LIMITS, lenient=True)
