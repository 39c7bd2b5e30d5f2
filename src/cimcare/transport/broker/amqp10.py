"""Sessions over AMQP 1.0: RabbitMQ; Artemis, IBM MQ, Solace, Azure Service Bus and others by their usual addresses.

AMQP 1.0 says how messages travel, not what an address means. With RabbitMQ, known by the name that it gives, addresses
are those of its plugin. With all others a queue or topic is addressed by its bare name, and what it is stands in the
capabilities, as the mapping of JMS to AMQP has it; a broker may then need its names set to that.

What this protocol cannot do as JMS does it:

- There are no patterns over queues (NET-126). Patterns over topics are for RabbitMQ.
- A selector is a filter of the link. A broker that has none attaches without it, which is refused (NET-124).
- With RabbitMQ a durable subscription is not made, but used: it is a durable queue `CLIENT.NAME` that somebody has
  declared and bound to the exchange `amq.topic`. A session over AMQP 0-9-1 makes the same one.
- RabbitMQ 3 accepts, and drops, what is sent to a queue that was deleted after the link to it was made. Nor does it say
  where a message was sent to; with a pattern that is known of senders over AMQP 1.0 only.
- RabbitMQ 3 passes properties of the application to other consumers over AMQP 1.0 only, and takes none from elsewhere.
- RabbitMQ has no temporary queues over AMQP 1.0. Replies come to a topic that only its own session listens to; one that
  comes after the end of the session is dropped.

Source: AMQP 1.0, part 3; RabbitMQ's plugin after its manual; JMS mapping (draft) for capabilities.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from proton import Delivery, Described, Link, Message, Terminus, symbol

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.amqp10_message import render_amqp10
from cimcare.transport.broker.amqp10_wire import LinkEndedError, Receiving, Sending, Wire, WireEndedError
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

__all__ = ["Amqp10Session", "open_session"]

_CLOSE_SECONDS = 2.0
_MOST_SENDERS = 200
_DECLARED_OTHERWISE = "amqp:precondition-failed"
_NO_ROOM = "amqp:resource-limit-exceeded"
_CONTENT_TYPE = "application/xml"
_FILTER = symbol("jms-selector")
_SELECTOR = symbol("apache.org:selector-filter:string")
"""A selector of JMS, as clients register it for AMQP 1.0."""
_EXPIRES = "expires"
"""Property with the instant of expiry, in milliseconds since 1970: RabbitMQ does not pass on AMQP's own."""
_PREFIXES = {
    "/topic/": DestinationKind.TOPIC,
    "/queue/": DestinationKind.QUEUE,
    "/amq/queue/": DestinationKind.QUEUE,
    "/reply-queue/": DestinationKind.QUEUE,
    "topic://": DestinationKind.TOPIC,
    "queue://": DestinationKind.QUEUE,
}


class _Token(msgspec.Struct, frozen=True):
    """By which a message is settled."""

    receiving: Receiving
    delivery: Delivery


class Amqp10Subscription:
    """A consumer that is attached."""

    def __init__(self, receiving: Receiving, destination: Destination, *, is_durable: bool) -> None:
        self._receiving = receiving
        self._is_durable = is_durable
        self.destination = destination

    async def close(self) -> None:
        """Stop consuming; what was not settled is handed out again."""
        if self._receiving.ended is None:
            self._receiving.close(forget=not self._is_durable)


class Amqp10Session:
    """One connection. Made by `open_session`."""

    def __init__(self, address: BrokerAddress, wire: Wire, *, client_id: str) -> None:
        self.address = address
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self._wire = wire
        self._client_id = client_id
        self._is_rabbitmq = False
        self._senders: OrderedDict[Destination, Sending] = OrderedDict()
        self._attaching: dict[Destination, asyncio.Task[Sending]] = {}
        self._numbers = 0
        wire.lost.add_done_callback(lambda lost: self._note_lost(str(lost.result())))

    def note_opened(self, properties: Mapping[str, object]) -> None:
        """What the broker says about itself."""
        self._is_rabbitmq = properties.get("product") == "RabbitMQ"

    # ------------------------------------------------------------------------------------------------- sending

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Send, and wait until the broker has accepted it."""
        self._require()
        encoded = self._encoded(destination, message)
        async with self._answered("a message", within):
            sending = self._senders.get(destination)
            if sending is None or sending.ended is not None:
                sending = await self._sender(destination)
            else:
                self._senders.move_to_end(destination)
            await sending.send(encoded)

    async def _sender(self, destination: Destination) -> Sending:
        """The link to a destination; who comes while it is being attached waits for the same."""
        task = self._attaching.get(destination)
        if task is None:
            task = self._attaching[destination] = asyncio.create_task(self._attach_sender(destination))
            task.add_done_callback(lambda done: self._note_attached(destination, done))
        return await asyncio.shield(task)

    def _note_attached(self, destination: Destination, done: "asyncio.Task[Sending]") -> None:
        self._attaching.pop(destination, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._senders[destination] = done.result()
        self._senders.move_to_end(destination)
        for old, sending in list(self._senders.items())[: max(len(self._senders) - _MOST_SENDERS, 0)]:
            if sending.is_idle:
                del self._senders[old]
                sending.close()

    async def _attach_sender(self, destination: Destination) -> Sending:
        """Attach to a queue that is there, or have it made."""
        first, *others = self._shapes(destination, is_source=False)
        try:
            sending = self._wire.attach_sender(self._next(), first)
            await sending.ready
        except LinkEndedError as error:
            if error.condition != _DECLARED_OTHERWISE or not others:
                raise
            sending = self._wire.attach_sender(self._next(), others[0])
            await sending.ready
        return sending

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
    ) -> Amqp10Subscription:
        """Attach a consumer, and wait until the broker has attached its end."""
        self._require()
        found, accepted = f"a selector ({selector})", "none: this broker has no selectors"
        if selector and self._is_rabbitmq:  # which gives the filter back, and hands out everything
            raise self._error("NET-124", found, accepted, blames_us=True)
        async with self._answered("a consumer", within):
            receiving = await self._receive(destination, durable, prefetch, on_arrival, selector=selector)
            if selector and not _is_filtering(receiving.link):
                receiving.close(forget=not durable)
                raise self._error("NET-124", found, accepted, blames_us=True)
            return Amqp10Subscription(receiving, destination, is_durable=bool(durable))

    async def open_reply_queue(self, on_arrival: OnArrival, *, within: float = 30.0) -> Destination:
        """A temporary queue, or with RabbitMQ a topic that nobody else knows."""
        self._require()
        async with self._answered("a reply queue", within):
            if self._is_rabbitmq:
                topic = Destination(kind=DestinationKind.TOPIC, name=f"reply.{uuid4().hex}", is_temporary=True)
                await self._receive(topic, "", 50, on_arrival, settles=True)
                return topic
            receiving = self._attach_receiver(self._next(), _dynamic, 50, on_arrival, None, settles=True)
            return Destination(kind=DestinationKind.QUEUE, name=await receiving.ready, is_temporary=True)

    async def _receive(
        self,
        destination: Destination,
        durable: str,
        prefetch: int,
        on_arrival: OnArrival,
        *,
        settles: bool = False,
        selector: str = "",
    ) -> Receiving:
        shapes = self._shapes(destination, is_source=True, durable=durable)
        first, *others = [_filtered(shape, selector) for shape in shapes] if selector else shapes
        name = durable if durable and not self._is_rabbitmq else self._next()
        receiving = self._attach_receiver(name, first, prefetch, on_arrival, destination, settles=settles)
        try:
            await receiving.ready
        except LinkEndedError as error:
            if error.condition != _DECLARED_OTHERWISE or not others:
                raise
            name = self._next()
            receiving = self._attach_receiver(name, others[0], prefetch, on_arrival, destination, settles=settles)
            await receiving.ready
        return receiving

    def _attach_receiver(
        self,
        name: str,
        shape: Callable[[Link], None],
        prefetch: int,
        on_arrival: OnArrival,
        destination: Destination | None,
        *,
        settles: bool,
    ) -> Receiving:
        def arrive(encoded: bytes, delivery: Delivery) -> None:
            if not self.lost.done():
                on_arrival(_arrived(encoded, None if settles else _Token(receiving, delivery), destination))

        receiving = self._wire.attach_receiver(name, shape, prefetch=prefetch, on_message=arrive, settles=settles)
        receiving.watch(lambda error: self._note_lost(f"the broker ended a consumer ({error})"))
        return receiving

    async def acknowledge(self, arrived: Arrived) -> None:
        """Settle it as accepted."""
        self._require()
        if isinstance(token := arrived.token, _Token):
            token.receiving.settle(token.delivery, Delivery.ACCEPTED)

    # ------------------------------------------------------------------------------------------------- life

    async def close(self) -> None:
        """End the connection."""
        self._note_lost("closed by us")
        await self._wire.close(_CLOSE_SECONDS)

    def _note_lost(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(self._error("NET-123", reason, "a connection that lasts", is_gone=True))

    def _require(self) -> None:
        if self.lost.done():
            raise self.lost.result()

    @asynccontextmanager
    async def _answered(self, what: str, within: float) -> AsyncIterator[None]:
        """Turns into a BrokerError what the connection and its links raise."""
        try:
            async with asyncio.timeout(within):
                yield
        except TimeoutError as error:
            found = f"{what} was not confirmed within {within:g} s"
            raise self._error("NET-122", found, "an answer by then") from error
        except WireEndedError as error:
            self._note_lost(str(error))
            raise self.lost.result() from error
        except LinkEndedError as error:
            found = f"the broker refused {what} ({error})"
            if error.condition == _NO_ROOM:
                raise self._error("NET-130", found, "a broker, and a queue, with room") from error
            raise self._error("NET-124", found, "what is there and its rules allow") from error

    def _next(self) -> str:
        self._numbers += 1
        return f"cimcare-{self._numbers}"

    def _error(
        self, code: str, found: str, accepted: str, *, is_gone: bool = False, blames_us: bool = False
    ) -> BrokerError:
        return BrokerError(code, str(self.address), found, accepted, is_gone=is_gone, blames_us=blames_us)

    # ------------------------------------------------------------------------------------------------- addresses

    def _shapes(self, destination: Destination, *, is_source: bool, durable: str = "") -> list[Callable[[Link], None]]:
        """How a link to a destination may be described, the best first."""
        if destination.is_pattern and not (destination.kind is DestinationKind.TOPIC and self._is_rabbitmq):
            found, accepted = f"a pattern over {destination.kind}s ({destination.name})", "their names"
            raise self._error("NET-126", found, accepted, blames_us=True)
        if not self._is_rabbitmq:
            return [_bare(destination, is_source=is_source, is_durable=bool(durable))]
        if destination.kind is DestinationKind.TOPIC:
            if durable:
                queue = f"{self._client_id}.{durable}" if self._client_id else durable
                return [_addressed(f"/amq/queue/{queue}", is_source=is_source)]
            name = destination.name
            name = name if not name.endswith(">") else "#" if name == ">" else f"{name[:-1]}*.#"
            return [_addressed(f"/topic/{name}", is_source=is_source)]
        existing = _addressed(f"/amq/queue/{destination.name}", is_source=is_source)
        if destination.is_temporary:
            return [existing]
        # The first makes the queue, and is refused where there is one that was declared with arguments of its own. The
        # second would accept what is sent to a queue that does not exist, and drop it.
        return [_addressed(f"/queue/{destination.name}", is_source=is_source, is_durable=True), existing]

    def _encoded(self, destination: Destination, message: BrokerMessage) -> bytes:
        """The message as AMQP has it: XML as data, with its content type, which clients of JMS take for text."""
        now = datetime.now(UTC)
        properties, ttl = message.properties, None
        if message.expires_at is not None:
            properties = {**properties, _EXPIRES: str(int(message.expires_at.timestamp() * 1000))}
            ttl = max((message.expires_at - now).total_seconds(), 0.001)
        return render_amqp10(
            message.body,
            message_id=uuid4().hex,
            to=self._text_of(destination),
            reply_to="" if message.reply_to is None else self._text_of(message.reply_to),
            correlation_id=message.correlation_id,
            content_type=_CONTENT_TYPE,
            durable=message.persistent,
            priority=message.priority,
            ttl_seconds=ttl,
            expires_at=message.expires_at,
            created_at=message.sent_at or now,
            properties=properties,
        )

    def _text_of(self, destination: Destination) -> str:
        """A destination as an address in reply-to."""
        return f"/{destination.kind}/{destination.name}" if self._is_rabbitmq else destination.name


async def open_session(
    address: BrokerAddress,
    *,
    client_id: str,
    credentials: Credentials,
    tls: Tls,
    heart_beat: HeartBeat,
    within: float,
) -> Amqp10Session:
    """Open a session; as `OpenSession`. Without a user it is the certificate that says who we are, or nothing."""
    mechanisms = "PLAIN" if credentials.user else "EXTERNAL ANONYMOUS" if tls.certificate_file else "ANONYMOUS"
    wire = Wire(
        container=client_id or f"cimcare-{uuid4().hex}",
        hostname=address.host,
        user=credentials.user,
        password=credentials.password,
        mechanisms=mechanisms,
        silence=heart_beat.seconds * heart_beat.tolerance,
    )
    session = Amqp10Session(address, wire, client_id=client_id)

    def refused(code: str, found: str, accepted: str) -> BrokerError:
        return BrokerError(code, str(address), found, accepted)

    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within):
            context = _context_of(tls) if address.is_tls else None
            await loop.create_connection(lambda: wire, address.host, address.port, ssl=context)
            session.note_opened(await wire.opened)
    except TimeoutError as error:
        await session.close()
        raise refused("NET-120", f"no session within {within:g} s", "a broker that answers") from error
    except WireEndedError as error:
        await session.close()
        if error.is_refusal:
            found = f"the broker refused ({error})"
            raise refused("NET-121", found, "user and password that it accepts") from error
        raise refused("NET-120", str(error), "a broker that speaks AMQP 1.0 there") from error
    except ssl.SSLError as error:
        await session.close()
        found = f"TLS refused ({getattr(error, 'verify_message', '') or error.reason or error})"
        raise refused("NET-120", found, "certificates that both sides trust") from error
    except OSError as error:
        await session.close()
        found = f"could not connect ({error.strerror or error})"
        raise refused("NET-120", found, "a broker that listens there") from error
    except BaseException:
        await session.close()
        raise
    return session


def _context_of(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    return context


# ----------------------------------------------------------------------------------------------------- shapes


def _addressed(address: str, *, is_source: bool, is_durable: bool = False) -> Callable[[Link], None]:
    """A terminus by its address."""

    def shape(link: Link) -> None:
        terminus = link.source if is_source else link.target
        terminus.address = address
        if is_durable:
            terminus.durability = Terminus.DELIVERIES

    return shape


def _bare(destination: Destination, *, is_source: bool, is_durable: bool) -> Callable[[Link], None]:
    """A terminus by bare name, and what it is as capability; a durable subscription is one that does not expire."""

    def shape(link: Link) -> None:
        terminus = link.source if is_source else link.target
        terminus.address = destination.name
        if not destination.is_temporary:
            terminus.capabilities.put_object(symbol(str(destination.kind)))
        if is_durable:
            terminus.durability = Terminus.DELIVERIES
            terminus.expiry_policy = Terminus.EXPIRE_NEVER

    return shape


def _filtered(shape: Callable[[Link], None], selector: str) -> Callable[[Link], None]:
    """The same, with a selector as filter."""

    def filtered(link: Link) -> None:
        shape(link)
        link.source.filter.put_dict({_FILTER: Described(_SELECTOR, selector)})

    return filtered


def _is_filtering(link: Link) -> bool:
    """Whether the broker says that it filters; one that cannot leaves the filter out of its answer."""
    data = link.remote_source.filter
    data.rewind()
    return bool(data.next()) and _FILTER in (data.get_object() or {})


def _dynamic(link: Link) -> None:
    """A queue that the broker makes and names, for as long as the link."""
    link.source.dynamic = True
    link.source.capabilities.put_object(symbol("temporary-queue"))


# ----------------------------------------------------------------------------------------------------- mapping


def _arrived(encoded: bytes, token: _Token | None, source: Destination | None) -> Arrived:
    message = Message()
    message.decode(encoded)
    body, problem = _body_of(message.body)
    properties = dict(message.properties or {})
    expires = properties.pop(_EXPIRES, None)
    expiry = int(expires) / 1000 if isinstance(expires, str) and expires.isdigit() else message.expiry_time
    return Arrived(
        message=BrokerMessage(
            body=body,
            message_id=str(message.id or ""),
            correlation_id=str(message.correlation_id or ""),
            reply_to=_destination_of(message.reply_to or ""),
            sent_at=_instant(message.creation_time),
            expires_at=_instant(expiry),
            priority=min(message.priority, 9),
            persistent=bool(message.durable),
            properties={str(name): str(text) for name, text in properties.items() if isinstance(text, str)},
            redeliveries=max(message.delivery_count, 0 if message.first_acquirer else 1),
        ),
        destination=_destination_to(message, source),
        token=token,
        problem=problem,
    )


def _body_of(body: object) -> tuple[bytes, str]:
    """The XML, from data or a text; and why it is none."""
    if isinstance(body, bytes | memoryview):
        return bytes(body), ""
    if isinstance(body, str):
        return body.encode(), ""
    return b"", f"a body of type {type(body).__name__}"


def _instant(seconds: float) -> datetime | None:
    """Seconds since 1970; None for never, and for what no calendar has."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 1e11 else None


def _destination_of(text: str) -> Destination | None:
    """What an address means."""
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), "")
    name = text.removeprefix(prefix)
    if not name:
        return None
    kind = _PREFIXES.get(prefix, DestinationKind.QUEUE)
    return Destination(kind=kind, name=name, is_temporary=name.startswith(("amq.", "reply.")))


def _destination_to(message: Message, source: Destination | None) -> Destination:
    """Where a message was sent to: what was subscribed to, or with a pattern as the sender wrote it."""
    if source is not None and not source.is_pattern:
        return source
    return _destination_of(message.address or "") or source or Destination(kind=DestinationKind.QUEUE, name="unknown")
