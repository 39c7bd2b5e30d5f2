"""Sessions over AMQP 0-9-1: RabbitMQ.

AMQP 0-9-1 has exchanges, queues and bindings where JMS has queues and topics. Here a queue is a durable queue of that
name, made when it is first used, and a topic a routing key of the exchange `amq.topic`: what RabbitMQ's own STOMP and
AMQP 1.0 plugins mean by `/queue/NAME` and `/topic/NAME`, so that clients of all three understand each other. What this
protocol cannot do as JMS does it:

- There are no patterns over queues and no selectors; both are refused (NET-126, NET-124).
- A durable subscription is a durable queue `CLIENT.NAME`. It is consumed by one at a time. Another pattern under the
  same name is added to what it collects, since bindings cannot be listed.
- A priority has an effect only in a queue that was declared with `x-max-priority`, by whoever declared it.
- Whether a message was handed out before is known, how often only in quorum queues.

A session is two connections: a broker that is short of memory or disk takes nothing more from a connection that
publishes, acknowledgements included, and those are what it is waiting for.

Source: AMQP 0-9-1; RabbitMQ's extensions (publisher confirms, consumer cancel notification) after its manual.
"""

import asyncio
import contextlib
import logging
import ssl
import struct
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import SupportsIndex, cast

import aiormq
import msgspec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from pamqp.common import FieldValue
from yarl import URL

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.ports import (
    Arrived,
    BrokerAddress,
    BrokerError,
    BrokerMessage,
    Credentials,
    Destination,
    DestinationKind,
    HeartBeat,
    OnArrival,
)

__all__ = ["Amqp091Session", "open_session"]

logging.getLogger("aiormq").setLevel(logging.CRITICAL + 1)  # it would log what messages contain, and every failure

_TOPICS = "amq.topic"
_CLOSE_SECONDS = 2.0
_SETTLE_SECONDS = 30.0
_LONGEST_NAME_BYTES = 255
_TEMPORARY = ("amq.gen-", "amq.rabbitmq.reply-to.")
_LONGEST_INSTANT = 15
_PREFIXES = {
    "/topic/": DestinationKind.TOPIC,
    "/queue/": DestinationKind.QUEUE,
    "/amq/queue/": DestinationKind.QUEUE,
    "/reply-queue/": DestinationKind.QUEUE,
}
_EXPIRES = "expires"
"""Header with the instant of expiry, in milliseconds since 1970, as JMS brokers write it over STOMP. AMQP's own
property says how long a message may wait, from which nobody can tell later when that is over."""


class _Token(msgspec.Struct, frozen=True):
    """By which a message is settled."""

    channel: AbstractChannel
    tag: int


class _HeardReader(asyncio.StreamReader):
    """Remembers when the broker was last heard of."""

    heard_at = 0.0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Something came."""
        self.heard_at = asyncio.get_running_loop().time()
        super().feed_data(data)


class _OnceClosedWriter(asyncio.StreamWriter):
    """Over TLS a second `close` would keep `abort` from having any effect."""

    def close(self) -> None:
        """End it when all is written."""
        if not self.is_closing():
            super().close()


class _Wire(aiormq.TransportFactory):
    """Makes the connection of a link, and keeps hold of it."""

    def __init__(self, address: BrokerAddress, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._context = context
        self.reader: _HeardReader | None = None
        self._transport: asyncio.WriteTransport | None = None

    async def create(self, url: URL, **_: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; as `asyncio.open_connection`, but for the reader."""
        del url
        loop = asyncio.get_running_loop()
        self.reader = reader = _HeardReader(limit=2**20, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _protocol = await loop.create_connection(
            lambda: protocol, self._address.host, self._address.port, ssl=self._context
        )
        self._transport = cast("asyncio.WriteTransport", transport)  # that of uvloop is one, and no subclass
        reader.heard_at = loop.time()
        return reader, _OnceClosedWriter(transport, protocol, reader, loop)

    def cut(self) -> None:
        """End the connection without waiting for anybody."""
        if self._transport is not None:
            self._transport.abort()


class Amqp091Subscription:
    """A consumer that is attached, on a channel of its own."""

    def __init__(self, session: "Amqp091Session", channel: AbstractChannel, destination: Destination) -> None:
        self._session = session
        self._channel = channel
        self.destination = destination

    async def close(self) -> None:
        """Stop consuming; what was not settled is handed out again."""
        await self._session.detach(self._channel)


class Amqp091Session:
    """Two connections, one that consumes and, from the first message on, one that publishes. See `open_session`."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        credentials: Credentials,
        context: ssl.SSLContext | None,
        heart_beat: HeartBeat,
    ) -> None:
        self.address = address
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self._client_id = client_id
        self._credentials = credentials
        self._context = context
        self._heart_beat = heart_beat
        self._wires: list[_Wire] = []
        self._connections: list[AbstractConnection] = []
        self._watches: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        self._consuming: AbstractConnection | None = None
        self._publishing: AbstractConnection | None = None
        self._channel: aiormq.Channel | None = None
        self._opening = asyncio.Lock()
        self._declared: set[str] = set()
        self._detached: set[AbstractChannel] = set()

    async def open(self, *, within: float) -> None:
        """Connect. Raises BrokerError NET-120 or NET-121."""
        try:
            async with asyncio.timeout(within):
                self._consuming = await self._connect()
        except TimeoutError as error:
            await self.close()
            raise self._error("NET-120", f"no session within {within:g} s", "a broker that answers") from error
        except BaseException:
            await self.close()
            raise

    # ------------------------------------------------------------------------------------------------- sending

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Send, and wait for the confirmation. A queue must be there, and is made; a topic may have no listener."""
        self._require()
        is_topic = destination.kind is DestinationKind.TOPIC
        key = self._key_of(destination)
        properties = _properties_of(message)
        async with self._answered("a message", within):
            channel = await self._publisher()
            if not is_topic and not destination.is_temporary and key not in self._declared:
                await self._declare(key)
            try:
                await channel.basic_publish(
                    message.body,
                    exchange=_TOPICS if is_topic else "",
                    routing_key=key,
                    properties=properties,
                    mandatory=not is_topic,
                    wait=False,
                )
            except aiormq.PublishError as error:  # handed back; somebody has deleted it
                self._declared.discard(key)
                raise self._error("NET-124", f"no queue {key}", "a queue that exists") from error
            except aiormq.DeliveryError as error:
                found, accepted = "the broker could not keep the message", "a broker, and a queue, with room"
                raise self._error("NET-130", found, accepted) from error

    async def _publisher(self) -> aiormq.Channel:
        """The channel that publishes; made anew when the broker has closed it over a message."""
        async with self._opening:
            if self._publishing is None:
                self._publishing = await self._connect()
            if self._channel is None or self._channel.is_closed:
                channel = await self._publishing.channel(publisher_confirms=True, on_return_raises=True)
                assert isinstance(channel, aiormq.Channel)
                self._channel = channel
            return self._channel

    async def _declare(self, name: str) -> None:
        """Make a queue unless there is one, whose arguments are then somebody else's affair."""
        assert self._consuming is not None
        channel = await self._consuming.channel(publisher_confirms=False)
        try:
            await channel.queue_declare(name, passive=True)
        except aiormq.ChannelNotFoundEntity:
            channel = await self._consuming.channel(publisher_confirms=False)
            await channel.queue_declare(name, durable=True)
        await channel.close()
        self._declared.add(name)

    # ------------------------------------------------------------------------------------------------- receiving

    async def subscribe(
        self,
        destination: Destination,
        on_arrival: OnArrival,
        *,
        durable: str = "",
        selector: str = "",
        prefetch: int = 50,
        within: float = 30.0,
    ) -> Amqp091Subscription:
        """Attach a consumer, and wait until the broker has said so."""
        self._require()
        if selector:
            raise self._error("NET-124", "a selector", "none: this broker has no selectors", blames_us=True)
        is_topic = destination.kind is DestinationKind.TOPIC
        name = self._key_of(destination)
        async with self._answered("a consumer", within):
            assert self._consuming is not None
            if not is_topic:
                await self._declare(name)
            channel = await self._consuming.channel(publisher_confirms=False)
            await channel.basic_qos(prefetch_count=prefetch)
            if is_topic:
                queue = ".".join(filter(None, (self._client_id, durable))) if durable else ""
                declared = await channel.queue_declare(queue, durable=bool(durable), exclusive=not durable)
                name, key = str(declared.queue), name
                await channel.queue_bind(name, _TOPICS, routing_key=key)
            await self._consume(channel, name, on_arrival, is_exclusive=is_topic)
            return Amqp091Subscription(self, channel, destination)

    async def open_reply_queue(self, on_arrival: OnArrival, *, within: float = 30.0) -> Destination:
        """A queue of this connection, named by the broker."""
        self._require()
        async with self._answered("a reply queue", within):
            assert self._consuming is not None
            channel = await self._consuming.channel(publisher_confirms=False)
            declared = await channel.queue_declare("", exclusive=True)
            name = str(declared.queue)
            await self._consume(channel, name, on_arrival, is_exclusive=True, is_settled=True)
            return Destination(kind=DestinationKind.QUEUE, name=name, is_temporary=True)

    async def _consume(
        self,
        channel: AbstractChannel,
        queue: str,
        on_arrival: OnArrival,
        *,
        is_exclusive: bool,
        is_settled: bool = False,
    ) -> None:
        """Consume a queue. Whatever ends that without our doing ends the session, so that it is noticed."""

        async def arrive(delivered: DeliveredMessage) -> None:
            if not self.lost.done():
                token = None if is_settled else _Token(channel, delivered.delivery_tag or 0)
                on_arrival(_arrived(delivered, queue, token))

        def cancelled(_: object) -> None:
            self._note_lost(f"the broker ended the consumer of {queue}")

        assert isinstance(channel, aiormq.Channel)
        channel.on_consumer_cancel_callbacks.add(cancelled)
        channel.closing.add_done_callback(lambda closed: self._note_closed(channel, closed))
        await channel.basic_consume(queue, arrive, no_ack=is_settled, exclusive=is_exclusive)

    async def acknowledge(self, arrived: Arrived) -> None:
        """Settle it."""
        self._require()
        if isinstance(token := arrived.token, _Token):
            async with self._answered("an acknowledgement", _SETTLE_SECONDS):
                await token.channel.basic_ack(token.tag, wait=False)

    async def detach(self, channel: AbstractChannel) -> None:
        """Close the channel of a subscription. Raises nothing."""
        self._detached.add(channel)
        if not self.lost.done():
            await _quietly(channel.close())

    # ------------------------------------------------------------------------------------------------- life

    async def close(self) -> None:
        """End both connections."""
        self._note_lost("closed by us")
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _connect(self) -> AbstractConnection:
        """A connection whose end is the end of the session."""
        wire = _Wire(self.address, self._context)
        self._wires.append(wire)
        seconds = max(1, round(self._heart_beat.seconds))
        url = URL.build(
            scheme="amqps" if self.address.is_tls else "amqp",
            user=self._credentials.user or "guest",
            password=self._credentials.password or "guest",
            host=self.address.host,
            port=self.address.port,
            path=f"/{self.address.virtual_host}",
            query={"heartbeat": str(seconds)},
        )
        connection = aiormq.Connection(
            url, transport_factory=wire, client_properties={"connection_name": self._client_id or "cimcare"}
        )
        try:
            await connection.connect()
        except (aiormq.ProbableAuthenticationError, aiormq.AuthenticationError, aiormq.ConnectionNotAllowed) as error:
            found = f"the broker refused ({_told(error)})"
            raise self._error("NET-121", found, "user, password and virtual host that it accepts") from error
        except ssl.SSLError as error:
            found = f"TLS refused ({getattr(error, 'verify_message', '') or error.reason or error})"
            raise self._error("NET-120", found, "certificates that both sides trust") from error
        except (OSError, aiormq.AMQPError) as error:
            found = f"could not connect ({_told(error)})"
            raise self._error("NET-120", found, "a broker that listens there") from error
        self._connections.append(connection)
        connection.closing.add_done_callback(lambda _: self._note_lost("the connection broke off"))
        self._watches.append(asyncio.create_task(self._listen_for_silence(wire, seconds * self._heart_beat.tolerance)))
        return connection

    async def _listen_for_silence(self, wire: _Wire, most: float) -> None:
        loop, reader = asyncio.get_running_loop(), wire.reader
        assert reader is not None
        while (silent := loop.time() - reader.heard_at) <= most:  # noqa: ASYNC110 - no event tells of silence
            await asyncio.sleep(most - silent + 0.01)
        self._note_lost(f"nothing was heard of the broker for {silent:.1f} s")

    def _note_closed(self, channel: AbstractChannel, closed: "asyncio.Future[object]") -> None:
        if channel not in self._detached:
            error = None if closed.cancelled() else closed.exception()
            self._note_lost(f"the broker closed a channel ({_told(error)})")

    def _note_lost(self, reason: str) -> None:
        """The session is over; what is left of it is cleared away."""
        if not self.lost.done():
            self.lost.set_result(self._error("NET-123", reason, "a connection that lasts", is_gone=True))
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        for watch in self._watches:
            watch.cancel()
        for connection in self._connections:
            await _quietly(connection.close())
        for wire in self._wires:
            wire.cut()
        if self._watches:  # an end that waits for the library may wait for ever
            await asyncio.wait(self._watches, timeout=_CLOSE_SECONDS)

    def _require(self) -> None:
        if self.lost.done():
            raise self.lost.result()

    def _answered(self, what: str, within: float) -> "_Answered":
        """Turns into a BrokerError whatever the library raises, and how it ends what waits when a connection ends."""
        return _Answered(self, what, within)

    def why_not(self, what: str, within: float, error: BaseException) -> BrokerError | None:
        """What an error of the library means; None if it is none of its errors."""
        if isinstance(error, TimeoutError):
            return self._error("NET-122", f"{what} was not confirmed within {within:g} s", "an answer by then")
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            is_ours = task is not None and task.cancelling()
            return None if is_ours else self._gone("the connection broke off")
        if isinstance(error, aiormq.ConnectionClosed | aiormq.ChannelInvalidStateError | OSError | RuntimeError):
            return self._gone(_told(error))
        if isinstance(error, aiormq.AMQPChannelError):
            return self._error("NET-124", f"the broker refused {what} ({_told(error)})", "what its rules allow")
        return self._gone(_told(error)) if isinstance(error, aiormq.AMQPError) else None

    def _gone(self, reason: str) -> BrokerError:
        self._note_lost(reason)
        return self.lost.result()

    def _key_of(self, destination: Destination) -> str:
        """Name of a queue, or routing key of a topic, in AMQP's form of patterns."""
        name = destination.name
        if destination.is_pattern:
            if destination.kind is DestinationKind.QUEUE:
                found, accepted = f"a pattern over queues ({name})", "their names: this broker has no such patterns"
                raise self._error("NET-126", found, accepted, blames_us=True)
            # The last level stands for one or more; # would also stand for none.
            name = name if not name.endswith(">") else "#" if name == ">" else f"{name[:-1]}*.#"
        if len(name.encode()) > _LONGEST_NAME_BYTES:
            found = f"a name of {len(name.encode())} bytes"
            raise self._error("NET-126", found, f"up to {_LONGEST_NAME_BYTES}", blames_us=True)
        return name

    def _error(
        self, code: str, found: str, accepted: str, *, is_gone: bool = False, blames_us: bool = False
    ) -> BrokerError:
        return BrokerError(code, str(self.address), found, accepted, is_gone=is_gone, blames_us=blames_us)


class _Answered:
    """As `Amqp091Session._answered` says. A generator for it would cost as much as the wait."""

    def __init__(self, session: Amqp091Session, what: str, within: float) -> None:
        self._session = session
        self._what = what
        self._within = within
        self._timeout = asyncio.timeout(within)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timed_out:
            error = timed_out
        found = self._session.why_not(self._what, self._within, error) if error is not None else None
        if found is not None:
            raise found from error


async def open_session(
    address: BrokerAddress,
    *,
    client_id: str,
    credentials: Credentials,
    tls: Tls,
    heart_beat: HeartBeat,
    within: float,
) -> Amqp091Session:
    """Open a session; as `OpenSession`. Without a user it is `guest`, which RabbitMQ lets in from its own machine."""
    session = Amqp091Session(
        address,
        client_id=client_id,
        credentials=credentials,
        context=_context_of(tls) if address.is_tls else None,
        heart_beat=heart_beat,
    )
    await session.open(within=within)
    return session


def _context_of(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    return context


async def _quietly(ending: Awaitable[object]) -> None:
    """Wait for the end of something that may be dead already."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await ending


def _told(error: BaseException | None) -> str:
    """What the broker, or the system, said of it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error or "").split())[:300] or type(error).__name__


# ----------------------------------------------------------------------------------------------------- mapping


class _Properties(aiormq.spec.Basic.Properties):
    """What stands beside a message, written in one go: the library looks up the type of each field."""

    def marshal(self) -> bytes:
        """As AMQP 0-9-1 has it. Raises TypeError for a text that is too long."""
        flags = 0
        parts = [b""]
        for flag, text in ((0x8000, self.content_type), (0x4000, self.content_encoding)):
            if text:
                flags |= flag
                parts.append(_word(text))
        if self.headers is not None:
            flags |= 0x2000
            table = b"".join([_word(name) + _long(str(text)) for name, text in sorted(self.headers.items())])
            parts.append(_LONG.pack(len(table)) + table)
        for flag, octet in ((0x1000, self.delivery_mode), (0x0800, self.priority)):
            if octet is not None:
                flags |= flag
                parts.append(_OCTET.pack(octet))
        for flag, text in (
            (0x0400, self.correlation_id),
            (0x0200, self.reply_to),
            (0x0100, self.expiration),
            (0x0080, self.message_id),
        ):
            if text:
                flags |= flag
                parts.append(_short(text))
        if self.timestamp is not None:
            flags |= 0x0040
            parts.append(_INSTANT.pack(int(self.timestamp.timestamp())))
        parts[0] = _FLAGS.pack(flags)
        return b"".join(parts)


_FLAGS, _OCTET, _LONG, _INSTANT = struct.Struct(">H"), struct.Struct(">B"), struct.Struct(">I"), struct.Struct(">Q")


def _short(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > _LONGEST_NAME_BYTES:
        raise TypeError(f"{len(raw)} bytes, accepted up to {_LONGEST_NAME_BYTES}")
    return _OCTET.pack(len(raw)) + raw


_word = lru_cache(maxsize=256)(_short)
"""The same, of a text that comes again with each message."""


def _long(text: str) -> bytes:
    raw = text.encode()
    return b"S%b%b" % (_LONG.pack(len(raw)), raw)


def _properties_of(message: BrokerMessage) -> aiormq.spec.Basic.Properties:
    headers: dict[str, FieldValue] = dict(message.properties)
    now = datetime.now(UTC)
    expiration = None
    if message.expires_at is not None:
        headers[_EXPIRES] = str(int(message.expires_at.timestamp() * 1000))
        expiration = str(max(int((message.expires_at - now).total_seconds() * 1000), 0))
    return _Properties(
        content_type="application/xml",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2 if message.persistent else 1,
        priority=message.priority,
        correlation_id=message.correlation_id or None,
        reply_to=None if message.reply_to is None else _text_of(message.reply_to),
        expiration=expiration,
        timestamp=message.sent_at or now,
    )


def _arrived(delivered: DeliveredMessage, queue: str, token: _Token | None) -> Arrived:
    properties = delivered.header.properties
    headers = dict(properties.headers or {})
    expires = str(headers.pop(_EXPIRES, ""))
    times = headers.pop("x-delivery-count", None)
    is_topic = delivered.exchange == _TOPICS
    return Arrived(
        message=BrokerMessage(
            body=delivered.body,
            message_id=properties.message_id or "",
            correlation_id=properties.correlation_id or "",
            reply_to=_destination_of(properties.reply_to or ""),
            sent_at=_instant(properties.timestamp),
            expires_at=datetime.fromtimestamp(int(expires) / 1000, UTC)
            if expires.isdigit() and 0 < len(expires) < _LONGEST_INSTANT
            else None,
            priority=min(properties.priority or 0, 9),
            persistent=properties.delivery_mode == 2,
            properties={name: text for name, text in headers.items() if isinstance(text, str)},
            redeliveries=max(times, 0) if isinstance(times, int) else int(bool(delivered.redelivered)),
        ),
        destination=Destination(
            kind=DestinationKind.TOPIC if is_topic else DestinationKind.QUEUE,
            name=(delivered.routing_key or queue) if is_topic or not delivered.exchange else queue,
        ),
        token=token,
    )


def _instant(timestamp: datetime | None) -> datetime | None:
    return (
        None if timestamp is None else timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    )


def _text_of(destination: Destination) -> str:
    """A destination in the property reply-to: the name of a queue, as is usual with this protocol."""
    return destination.name if destination.kind is DestinationKind.QUEUE else f"/topic/{destination.name}"


def _destination_of(text: str) -> Destination | None:
    """What reply-to means: the name of a queue, or what clients of the STOMP and AMQP 1.0 plugins write."""
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), "")
    name = text.removeprefix(prefix)
    if not name:
        return None
    kind = _PREFIXES.get(prefix, DestinationKind.QUEUE)
    return Destination(kind=kind, name=name, is_temporary=name.startswith(_TEMPORARY))
