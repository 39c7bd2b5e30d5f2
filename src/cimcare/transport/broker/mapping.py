"""What of an envelope stands also in the headers and properties of JMS, and the names of destinations.

Pure. Source: IEC 61968-100:2013, JMS binding (names and mapping are advice there; the names of properties are ours).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from html import unescape
from urllib.parse import quote, unquote

from cimcare.codec.completing import complete_header
from cimcare.codec.limits import Limits
from cimcare.exchange.outbox import Priority
from cimcare.model.envelope import EventMessage, Header, RequestMessage, ResponseMessage
from cimcare.transport.broker.ports import BrokerError, BrokerMessage, Destination, parse_destination
from cimcare.transport.channel import Origin

__all__ = [
    "HUB",
    "PRIORITIES",
    "PROBE",
    "as_kept",
    "is_expired",
    "keys_in",
    "named_reply_to",
    "origin_of",
    "place_of",
    "properties_in",
    "properties_of",
    "reply_place",
    "resolve",
]

HUB = "Hub"
"""Property that names the hub that sent a message, so that it knows its own events again."""

PROBE = "Probe"
"""Property of messages by which a hub finds out whether its consumers are attached."""

PRIORITIES: Mapping[Priority, int] = {Priority.NORMAL: 4, Priority.LIFE_SUPPORT: 7, Priority.HAZARD: 9}
"""JMSPriority by urgency; 4 is the usual one."""

_BEGINNING = 16 * 1024
_MOST_RESOLVED = 1000
_HAS_ID = re.compile(rb"<(?:[\w.-]+:)?MessageID[\s>]")
_IS_LATER = re.compile(rb"<(?:[\w.-]+:)?AsyncReplyFlag[^>]*>\s*(?:true|1)\s*<")
_IS_RESPONSE = re.compile(rb"<(?:[\w.-]+:)?ResponseMessage[\s>]")
_HAS_CORRELATION = re.compile(rb"<(?:[\w.-]+:)?CorrelationID[\s>]")
_REPLY_ADDRESS = re.compile(rb"<(?:[\w.-]+:)?ReplyAddress[^>]*>\s*([^<]*?)\s*<")
_NAME_TYPE = re.compile(rb"<(?:[\w.-]+:)?NameType[\s>].*?</(?:[\w.-]+:)?NameType>", re.DOTALL)
_KEY = re.compile(rb"<(?:[\w.-]+:)?(?:mRID|name|ID)(?:\s[^>]*)?>\s*([^<]{1,200}?)\s*<")

_WRITTEN = {
    name: re.compile(rf"<{name}>([^<]*)</{name}>".encode())
    for name in ("Verb", "Noun", "Context", "Source", "Revision", "MessageID")
}


def properties_of(header: Header, *, hub: str = "") -> dict[str, str]:
    """The properties by which others select messages."""
    found = {
        "Verb": header.verb.value,
        "Noun": header.noun,
        "Context": header.context,
        "Source": header.source,
        "Revision": header.revision,
        "MessageID": header.message_id,
        HUB: hub,
    }
    return {name: text for name, text in found.items() if text}


def properties_in(answer: bytes, *, hub: str = "") -> dict[str, str]:
    """The same of an answer, from the bytes that we wrote of it; a fault has no header, and so none of them."""
    header = answer.partition(b"<Header>")[2].partition(b"</Header>")[0]
    found = {
        name: unescape(text.decode()) for name, pattern in _WRITTEN.items() for text in pattern.findall(header)[:1]
    }
    return {**found, HUB: hub} if hub else found


def resolve(pattern: str, message: RequestMessage | EventMessage | ResponseMessage) -> Destination:
    """The destination of a message from the pattern of its partner. Raises BrokerError NET-126."""
    return _resolved(pattern, message.header.noun, message.header.verb.value)


@lru_cache(maxsize=_MOST_RESOLVED)
def _resolved(pattern: str, noun: str, verb: str) -> Destination:
    return parse_destination(pattern.replace("{noun}", noun).replace("{verb}", verb), path="destination")


def place_of(broker: str, destination: Destination) -> str:
    """An address that names the broker too: a destination alone means one at any broker."""
    return f"{destination}?broker={quote(broker, safe='')}"


def reply_place(address: str) -> tuple[str, Destination]:
    """Broker and destination of an address; the broker is empty where it names none. Raises BrokerError NET-126."""
    _, _, options = address.partition("?")
    named = [option.removeprefix("broker=") for option in options.split("&") if option.startswith("broker=")]
    return unquote(named[0]) if named else "", parse_destination(address, path="/Header/ReplyAddress")


def as_kept(message: BrokerMessage, broker: str, limits: Limits) -> bytes:
    """The envelope with what JMS said in its place.

    Repeats are known by MessageID, for which JMSMessageID stands in. Where the reply comes later, ReplyAddress names a
    destination at the broker that the message came from, and JMSReplyTo stands in for it; a later reply may be linked
    by JMSCorrelationID alone. Most messages need nothing of this and stay as they are.
    """
    raw = message.body
    head = raw[:_BEGINNING]
    missing: dict[str, str] = {}
    instead: dict[str, str] = {}
    if not _HAS_ID.search(head):
        missing["MessageID"] = message.message_id
    if _IS_RESPONSE.search(head) and not _HAS_CORRELATION.search(head):
        missing["CorrelationID"] = message.correlation_id
    if _IS_LATER.search(head):
        if message.reply_to is not None:
            missing["ReplyAddress"] = place_of(broker, message.reply_to)
        named = named_reply_to(raw)
        if named is not None:
            instead["ReplyAddress"] = place_of(broker, named)
    if not missing and not instead:
        return raw
    return complete_header(raw, limits, missing=missing, instead=instead)


def origin_of(message: BrokerMessage, destination: Destination, broker: str) -> Origin:
    """Where it came from. Without a JMSMessageID, which AMQP does not ask for, its bytes say which it is."""
    return Origin(
        broker=broker,
        place=str(destination),
        key=message.message_id or f"sha256:{sha256(message.body).hexdigest()}",
        redeliveries=message.redeliveries,
    )


def named_reply_to(raw: bytes) -> Destination | None:
    """The destination that ReplyAddress names; None if it names none, or something else."""
    found = _REPLY_ADDRESS.search(raw[:_BEGINNING])
    try:
        return parse_destination(found[1].decode()) if found is not None else None
    except (BrokerError, UnicodeDecodeError):
        return None  # an address of another kind: it is judged as any other


def keys_in(raw: bytes) -> frozenset[bytes]:
    """Texts that may name objects of a message, without reading it: too many do no harm, but to speed."""
    return frozenset(_KEY.findall(_NAME_TYPE.sub(b"", raw)))


def is_expired(message: BrokerMessage, now: datetime) -> bool:
    """Whether who sent it does not want it served any more."""
    return message.expires_at is not None and message.expires_at <= now
