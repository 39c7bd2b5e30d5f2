"""What the hub needs of a message broker, as a Protocol, and the values that it exchanges with one.

JMS is an interface of Java, not a protocol. A `Session` is what an adapter makes of a protocol that JMS brokers speak:
STOMP, AMQP 1.0, AMQP 0-9-1. All of them mean the same by the values of this module.

Source: IEC 61968-100:2013, JMS binding; JMS 1.1; the text form of destinations is that of RFC 6167.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from cimcare.errors import CimcareError, finding_of

__all__ = [
    "PROTOCOLS",
    "Arrived",
    "BrokerAddress",
    "BrokerError",
    "BrokerMessage",
    "Credentials",
    "Destination",
    "DestinationKind",
    "HeartBeat",
    "OnArrival",
    "Session",
    "Subscription",
    "parse_address",
    "parse_destination",
]

_ACCEPTED_DESTINATION = "queue:NAME or topic:NAME, in front of it jms: or nothing"
_CLAUSE_DESTINATION = "RFC 6167, 4"
_NAME = re.compile(r"[^\s/?#*>\x00-\x1f]+")
_PATTERN = re.compile(r"[^\s/?#\x00-\x1f]+")


class DestinationKind(StrEnum):
    """A queue, which hands each message to one, or a topic, which hands it to all who listen."""

    QUEUE = "queue"
    TOPIC = "topic"


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A place at a broker. Levels of the name are parted by dots.

    For subscribing a level may be `*` (any one) and the last one `>` (all that follow, one or more). A temporary
    destination belongs to the connection that opened it and is gone with it; its name is the broker's affair.
    """

    kind: DestinationKind
    name: str
    is_temporary: bool = False

    def __str__(self) -> str:
        return f"jms:{'temp-' if self.is_temporary else ''}{self.kind}:{self.name}"

    @property
    def is_pattern(self) -> bool:
        """Whether several destinations are meant."""
        return any(level in ("*", ">") for level in self.name.split("."))

    def matches(self, other: "Destination") -> bool:
        """Whether this pattern, or plain name, means the other destination, which is a plain one."""
        if self.kind is not other.kind:
            return False
        wanted, levels = self.name.split("."), other.name.split(".")
        for index, level in enumerate(wanted):
            if level == ">":
                return len(levels) > index
            if index >= len(levels) or level not in ("*", levels[index]):
                return False
        return len(wanted) == len(levels)


def parse_destination(text: str, *, path: str = "", patterns: bool = False) -> Destination:
    """A destination from its text form: `jms:queue:NAME`, `jms:topic:NAME`, both also without `jms:`.

    For temporary ones RFC 6167 has no form; ours is `jms:temp-queue:NAME`. What follows a `?` says how to deliver, not
    where, and is passed over.

    Args:
        text: The text form.
        path: Where the text was found, for the finding.
        patterns: Whether `*` and `>` may stand for levels.

    Raises:
        BrokerError: NET-126, it is none.
    """
    plain = text.strip().removeprefix("jms:").partition("?")[0]
    kind, parted, name = plain.partition(":")
    is_temporary = kind.startswith("temp-")
    kind = kind.removeprefix("temp-")
    if parted and kind in ("queue", "topic") and (_PATTERN if patterns else _NAME).fullmatch(name):
        destination = Destination(kind=DestinationKind(kind), name=name, is_temporary=is_temporary)
        if is_temporary:
            return destination
        levels = name.split(".")
        if (
            ">" not in levels[:-1]
            and all(levels)
            and all(level in ("*", ">") or not ("*" in level or ">" in level) for level in levels)
        ):
            return destination
    accepted = _ACCEPTED_DESTINATION + (
        ", a level being a name, * (any one) or at the end > (the rest)" if patterns else ""
    )
    raise BrokerError("NET-126", path or "destination", f"{text[:200]!r}", accepted, _CLAUSE_DESTINATION)


class BrokerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message at a broker: the envelope as XML, and what JMS puts beside it.

    `body` is XML in UTF-8; it travels as text, as a Java `TextMessage`. `message_id` is JMSMessageID as received; a
    broker gives its own, so what is sent carries the envelope's MessageID as property. `priority` is 0 to 9.
    `properties` are those of the application (Verb, Noun, Context, Source, Revision, MessageID). `redeliveries` counts
    how often it was handed out before, as far as the broker tells. Instants are aware, in UTC; `expires_at` None means
    never.
    """

    body: bytes
    message_id: str = ""
    correlation_id: str = ""
    reply_to: Destination | None = None
    sent_at: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 4
    persistent: bool = True
    properties: Mapping[str, str] = {}
    redeliveries: int = 0


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a subscription brought. `token` is the adapter's own, for `acknowledge`.

    `destination` is where it was sent to, not the pattern that matched. `problem` says why the body is not what it
    should be (such as a message that is not a text); then `body` holds what there is.
    """

    message: BrokerMessage
    destination: Destination
    token: object = None
    problem: str = ""


OnArrival = Callable[[Arrived], None]
"""Called on the event loop, once for each message. It must not block or raise; at most `prefetch` are not settled."""


class BrokerError(CimcareError):
    """The broker is not there, refused, or did not confirm. `code` is the row in the error table.

    `is_gone` says that the connection cannot be used any more. `blames_us` says that the same message would be refused
    another time too.
    """

    def __init__(
        self,
        code: str,
        where: str,
        found: str,
        accepted: str,
        clause: str = "",
        *,
        is_gone: bool = False,
        blames_us: bool = False,
    ) -> None:
        self.finding = finding_of(code, where, found, accepted, clause)
        super().__init__(self.finding.describe())
        self.code = code
        self.is_gone = is_gone
        self.blames_us = blames_us


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """User and password; empty ones are not sent."""

    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class HeartBeat(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection that is dead without having been closed is noticed.

    Each side is to be heard of every `seconds`; silence for longer than `seconds * tolerance` ends the session.
    """

    seconds: float = 10.0
    tolerance: float = 2.5


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker listens, and by which protocol. `virtual_host` is AMQP's; empty means the broker's default."""

    scheme: str
    host: str
    port: int
    virtual_host: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{'/' + self.virtual_host if self.virtual_host else ''}"

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return PROTOCOLS[self.scheme].is_tls

    @property
    def protocol(self) -> str:
        """`stomp`, `amqp091` or `amqp10`."""
        return PROTOCOLS[self.scheme].name


class _Protocol(msgspec.Struct, frozen=True):
    name: str
    port: int
    is_tls: bool


PROTOCOLS = {
    "stomp": _Protocol("stomp", 61613, False),
    "stomp+ssl": _Protocol("stomp", 61614, True),
    "amqp": _Protocol("amqp091", 5672, False),
    "amqps": _Protocol("amqp091", 5671, True),
    "amqp10": _Protocol("amqp10", 5672, False),
    "amqp10s": _Protocol("amqp10", 5671, True),
}
"""Schemes of addresses, with the adapter's name, the usual port, and whether TLS is spoken."""


def parse_address(text: str, *, path: str = "") -> BrokerAddress:
    """The address in a URL such as `stomp://host:61613`; the port may be left out.

    Raises:
        BrokerError: SET-130, it is none.
    """
    accepted = f"{', '.join(f'{scheme}://' for scheme in PROTOCOLS)} with a host and, if need be, :PORT"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise BrokerError("SET-130", path or "urls", f"an address that cannot be read ({error})", accepted) from error
    if parts.scheme not in PROTOCOLS or not parts.hostname:
        found = f"{parts.scheme or 'no scheme'}{', no host' if not parts.hostname else ''}"
        raise BrokerError("SET-130", path or "urls", found, accepted)
    if "@" in parts.netloc:
        raise BrokerError(
            "SET-130", path or "urls", "user or password in the address", "user and password_file beside it"
        )
    virtual_host = unquote(parts.path.removeprefix("/"))
    if parts.query or parts.fragment or (virtual_host and PROTOCOLS[parts.scheme].name != "amqp091"):
        raise BrokerError("SET-130", path or "urls", "something behind host and port", accepted)
    return BrokerAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=PROTOCOLS[parts.scheme].port if port is None else port,
        virtual_host=virtual_host,
    )


class Subscription(Protocol):
    """A consumer that is attached to a broker."""

    @property
    def destination(self) -> Destination:
        """What was subscribed to."""
        ...

    async def close(self) -> None:
        """Stop consuming. A durable subscription stays at the broker and goes on collecting. Raises nothing."""
        ...


class Session(Protocol):
    """One connection to one broker. Made by `open_session`; when it is lost, a new one is made.

    Every method but `close` raises BrokerError with `is_gone` once the session is lost.
    """

    @property
    def lost(self) -> "asyncio.Future[BrokerError]":
        """Done when the connection is gone, half-open ones included, with the reason; also after `close`."""
        ...

    @property
    def address(self) -> BrokerAddress:
        """The broker."""
        ...

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Send the message, and return when the broker has confirmed that it keeps it.

        Several may be under way at once; they reach the broker in the order of the calls.

        Args:
            destination: A plain one, no pattern.
            message: What is sent; its `message_id` and `redeliveries` are not looked at.
            within: Seconds for all of it, waiting behind others included.

        Raises:
            BrokerError: NET-122 it was not confirmed in time (whether the broker has it is not known), NET-123 the
                connection broke off, NET-124 the broker refused it.
        """
        ...

    async def subscribe(
        self,
        destination: Destination,
        on_arrival: OnArrival,
        *,
        durable: str = "",
        selector: str = "",
        prefetch: int = 50,
        within: float = 30.0,
    ) -> Subscription:
        """Attach a consumer, and return when the broker has confirmed it.

        Each message is to be settled by `acknowledge`; the broker hands out at most `prefetch` that are not. Messages
        come in the order in which the broker hands them out.

        Args:
            destination: A plain one or a pattern.
            on_arrival: Who gets the messages.
            durable: Name of a durable subscription of a topic; empty for none.
            selector: Which messages, in the selector language of JMS; refused (NET-124) where the broker has none.
            prefetch: How many may be here unsettled, 1 to 65535.
            within: Seconds.

        Raises:
            BrokerError: As `publish`.
        """
        ...

    async def open_reply_queue(self, on_arrival: OnArrival, *, within: float = 30.0) -> Destination:
        """A temporary queue of this session, consumed by `on_arrival`; what comes there needs no `acknowledge`.

        Its destination can be given to others as JMSReplyTo and works until the session ends.
        """
        ...

    async def acknowledge(self, arrived: Arrived) -> None:
        """The message is done with; the broker forgets it. Returns when that has been handed to the connection.

        If the connection breaks before the broker got it, the message comes again.
        """
        ...

    async def close(self) -> None:
        """End the session; what is not acknowledged is handed out again. Raises nothing, may be called twice."""
        ...
