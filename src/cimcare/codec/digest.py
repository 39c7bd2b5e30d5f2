"""Canonical digest of a message's content, by which a repeat is told from other content under the same identifier.

Two messages have one digest if they say the same: spelling of the XML, order of attributes, transport and SOAP
version do not matter, nor do the parts that a sender makes anew for each attempt (Timestamp, ReplayDetection) or that
nobody processes (Comment).

Source: ours; the identifiers are those of IEC 61968-100:2013, Header.
"""

import hashlib

import msgspec

from cimcare.codec.envelope import write_sections
from cimcare.model.envelope import AnyMessage, FaultMessage

__all__ = ["digest_of"]


def digest_of(message: AnyMessage) -> bytes:
    """SHA-256 (32 bytes) over the canonical content of a message.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    if not isinstance(message, FaultMessage):
        header = msgspec.structs.replace(message.header, timestamp=None, replay_detection=None, comment=None)
        message = msgspec.structs.replace(message, header=header)
    digest = hashlib.sha256(type(message).__name__.encode())
    for name, text in write_sections(message):
        digest.update(f"\x00{name}\x00{text}".encode())
    return digest.digest()
