"""Sessions over STOMP 1.2: ActiveMQ Classic, Artemis, RabbitMQ.

The library has threads of its own, and its calls block while the broker does not read. So each session has one thread
that writes; what the broker sends comes from the library's thread to the event loop. How much is on its way is bounded
by who waits for receipts, and by the prefetch of subscriptions. Silence is watched from here as well, since the
library's own watch stands still where its heart-beat cannot be written.

ActiveMQ makes a Java TextMessage of what comes without the header content-length, so none is sent.

Source: STOMP 1.2; headers of ActiveMQ, Artemis and RabbitMQ after their manuals.
"""

import asyncio
import contextlib
import logging
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

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

os.environ.setdefault("STOMP_SKIP_HOSTNAME_SCAN", "1")  # importing it would ask the resolver for our own name
import stomp

__all__ = ["StompSession", "open_session"]

logging.getLogger("stomp.py").setLevel(logging.CRITICAL + 1)  # it would log what messages contain, and every failure

_CLOSE_SECONDS = 2.0
_DIAGNOSIS_SECONDS = 2.0
_OWN = frozenset(
    {
        "ack",
        "breadcrumbId",
        "content-length",
        "content-type",
        "correlation-id",
        "destination",
        "expires",
        "message-id",
        "persistent",
        "priority",
        "receipt",
        "redelivered",
        "reply-to",
        "subscription",
        "timestamp",
        "type",
    }
)
"""Headers of a MESSAGE frame that are no properties of the application."""

_NO_ROOM = re.compile(r"\b(?:is full|usage manager|resource ?allocation)", re.IGNORECASE)
"""What ActiveMQ says where it is told to refuse rather than to keep a sender waiting (`sendFailIfNoSpace`)."""

_KINDS = {
    "queue": (DestinationKind.QUEUE, False),
    "topic": (DestinationKind.TOPIC, False),
    "temp-queue": (DestinationKind.QUEUE, True),
    "temp-topic": (DestinationKind.TOPIC, True),
    "remote-temp-queue": (DestinationKind.QUEUE, True),
    "remote-temp-topic": (DestinationKind.TOPIC, True),
    "reply-queue": (DestinationKind.QUEUE, True),
}


class _Token(msgspec.Struct, frozen=True):
    """By which a message is settled."""

    ack: str


class StompSubscription:
    """A consumer that is attached."""

    def __init__(self, session: "StompSession", number: str, destination: Destination) -> None:
        self._session = session
        self._number = number
        self.destination = destination

    async def close(self) -> None:
        """Stop consuming."""
        await self._session.unsubscribe(self._number)


class StompSession:
    """One connection. Made by `open_session`."""

    def __init__(self, address: BrokerAddress, heart_beat: HeartBeat) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[BrokerError] = self._loop.create_future()
        self._heart_beat = heart_beat
        self._connected: asyncio.Future[Mapping[str, str]] = self._loop.create_future()
        self._receipts: dict[str, asyncio.Future[None]] = {}
        self._arrivals: dict[str, OnArrival] = {}
        self._automatic: set[str] = set()
        self._replies: set[str] = set()
        self._server = ""
        self._numbers = 0
        self._prefix = uuid4().hex[:8]
        self._heard_at = time.monotonic()
        self._is_closing = False
        self._watch: asyncio.Task[None] | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name=f"stomp {address.host}", daemon=True)
        self._connection: stomp.Connection12 | None = None

    # ------------------------------------------------------------------------------------------------- opening

    async def open(self, *, client_id: str, credentials: Credentials, tls: Tls, within: float) -> None:
        """Connect. Raises BrokerError NET-120 or NET-121."""
        milliseconds = int(self._heart_beat.seconds * 1000)
        self._connection = connection = stomp.Connection12(
            [(self.address.host, self.address.port)],
            prefer_localhost=False,
            try_loopback_connect=False,
            reconnect_attempts_max=1,
            reconnect_sleep_initial=0.0,
            timeout=within,
            heartbeats=(milliseconds, milliseconds),
            heart_beat_receive_scale=self._heart_beat.tolerance,
            vhost="/",  # that of RabbitMQ; the others do not look at it
            auto_decode=False,
            auto_content_length=False,
        )
        if self.address.is_tls:
            connection.set_ssl(
                [(self.address.host, self.address.port)],
                ca_certs=tls.ca_file or None,
                cert_file=tls.certificate_file or None,
                key_file=tls.key_file or None,
            )
        connection.set_listener("", _Listener(self))
        headers = {"client-id": client_id} if client_id else {}
        user, password = credentials.user or None, credentials.password or None
        self._thread.start()
        self._jobs.put(lambda: self._connect(connection, user, password, headers))
        try:
            async with asyncio.timeout(within):
                answered = await self._connected
        except TimeoutError as error:
            self._end()
            raise self._error("NET-120", f"no session within {within:g} s", "a broker that answers") from error
        except _NotConnectedError as error:
            self._end()
            found = await _diagnose(self.address, tls) or f"could not connect ({error})"
            raise self._error("NET-120", found, "a broker that listens there") from error
        except BrokerError:
            self._end()
            raise
        except asyncio.CancelledError:
            self._end()
            raise
        self._server = answered.get("server", "")
        theirs = answered.get("heart-beat", "0,0").partition(",")[0].strip()
        every = max(milliseconds, int(theirs)) / 1000 if theirs.isdigit() and int(theirs) else 0.0
        if every:
            self._watch = asyncio.create_task(self._listen_for_silence(every))

    def _connect(
        self, connection: stomp.Connection12, user: str | None, password: str | None, headers: dict[str, str]
    ) -> None:
        """In the thread that writes."""
        try:
            connection.connect(user, password, wait=False, headers=headers)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, there is no connection
            self._call(self._note_unconnected, _NotConnectedError(type(error).__name__))

    def _note_unconnected(self, error: Exception) -> None:
        if not self._connected.done():
            self._connected.set_exception(error)

    # ------------------------------------------------------------------------------------------------- sending

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Send, and wait for the receipt."""
        headers = self._headers_of(message)
        await self._confirmed("SEND", {"destination": self._name_of(destination), **headers}, message.body, within)

    async def subscribe(
        self,
        destination: Destination,
        on_arrival: OnArrival,
        *,
        durable: str = "",
        selector: str = "",
        prefetch: int = 50,
        within: float = 30.0,
    ) -> StompSubscription:
        """Attach a consumer, and wait for the receipt."""
        if self._is_rabbitmq and destination.is_pattern and destination.kind is DestinationKind.QUEUE:
            found, accepted = (
                f"a pattern over queues ({destination.name})",
                "their names: this broker has no such patterns",
            )
            raise BrokerError("NET-126", str(self.address), found, accepted, blames_us=True)
        if selector and self._is_rabbitmq:  # which would hand out everything and say nothing
            found, accepted = f"a selector ({selector})", "none: this broker has no selectors"
            raise BrokerError("NET-124", str(self.address), found, accepted, blames_us=True)
        number = durable if durable and self._is_rabbitmq else self._next()
        headers = {
            "id": number,
            "destination": self._name_of(destination),
            "ack": "client-individual",
            "activemq.prefetchSize": str(prefetch),
            "prefetch-count": str(prefetch),
        }
        if durable:
            headers |= {
                "activemq.subscriptionName": durable,
                "durable-subscription-name": durable,
                "durable": "true",
                "auto-delete": "false",
            }
        if selector:
            headers["selector"] = selector
        self._arrivals[number] = on_arrival
        try:
            await self._confirmed("SUBSCRIBE", headers, b"", within)
        except BrokerError:
            self._arrivals.pop(number, None)
            raise
        return StompSubscription(self, number, destination)

    async def unsubscribe(self, number: str) -> None:
        """Detach a consumer. Raises nothing."""
        if self._arrivals.pop(number, None) is not None and not self.lost.done():
            with contextlib.suppress(BrokerError):
                await self._confirmed("UNSUBSCRIBE", {"id": number}, b"", _CLOSE_SECONDS)

    async def open_reply_queue(self, on_arrival: OnArrival, *, within: float = 30.0) -> Destination:
        """A temporary queue. RabbitMQ makes it when it is first named as reply-to, and consumes it by itself."""
        name = f"{self._prefix}-{self._next()}"
        destination = Destination(kind=DestinationKind.QUEUE, name=name, is_temporary=True)
        self._replies.add(name)
        if self._is_rabbitmq:
            self._arrivals[f"/temp-queue/{name}"] = on_arrival
            self._automatic.add(f"/temp-queue/{name}")
            return destination
        number = self._next()
        self._arrivals[number] = on_arrival
        self._automatic.add(number)
        headers = {"id": number, "destination": f"/temp-queue/{name}", "ack": "auto"}
        await self._confirmed("SUBSCRIBE", headers, b"", within)
        return destination

    async def acknowledge(self, arrived: Arrived) -> None:
        """Settle it."""
        self._require()
        token = arrived.token
        if isinstance(token, _Token) and token.ack:
            self._put("ACK", {"id": token.ack}, b"")

    async def close(self) -> None:
        """Say goodbye, so that all that was acknowledged has arrived, and end."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self.lost.done():
            with contextlib.suppress(BrokerError):
                await self._confirmed("DISCONNECT", {}, b"", _CLOSE_SECONDS)
        self.note_lost("closed by us")
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _confirmed(self, command: str, headers: dict[str, str], body: bytes, within: float) -> None:
        """Send a frame, and wait for its receipt."""
        self._require()
        receipt = f"{self._prefix}-{self._next()}"
        confirmed: asyncio.Future[None] = self._loop.create_future()
        self._receipts[receipt] = confirmed
        self._put(command, {**headers, "receipt": receipt}, body)
        try:
            async with asyncio.timeout(within):
                await confirmed
        except TimeoutError as error:
            found = f"no receipt for {command} within {within:g} s"
            raise self._error("NET-122", found, "a receipt in that time") from error
        finally:
            self._receipts.pop(receipt, None)

    def _put(self, command: str, headers: dict[str, str], body: bytes) -> None:
        connection = self._connection
        assert connection is not None
        self._jobs.put(lambda: connection.send_frame(command, headers, body))

    def _require(self) -> None:
        if self.lost.done():
            raise self.lost.result()

    def _write(self) -> None:
        """The thread that writes: one frame after another, until the session ends."""
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever the library raises, the connection is of no more use
                self._call(self.note_lost, f"could not be written to ({type(error).__name__})")

    # ------------------------------------------------------------------------------------------------- receiving

    def hear(self, callback: Callable[..., None] | None = None, *arguments: object) -> None:
        """Something came; in the library's thread."""
        self._heard_at = time.monotonic()
        if callback is not None:
            self._call(callback, *arguments)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        """Do something on the event loop, if there still is one."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def note_connected(self, headers: Mapping[str, str]) -> None:
        """CONNECTED."""
        if not self._connected.done():
            self._connected.set_result(headers)

    def note_receipt(self, receipt: str) -> None:
        """RECEIPT."""
        confirmed = self._receipts.get(receipt)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)

    def note_error(self, headers: Mapping[str, str]) -> None:
        """ERROR: about one frame, or about the session."""
        told = " ".join(headers.get("message", "an error without words").split())[:300]
        if not self._connected.done():
            self._connected.set_exception(
                self._error("NET-121", f"the broker refused ({told})", "user, password and client_id that it accepts")
            )
            return
        confirmed = self._receipts.get(headers.get("receipt-id", ""))
        if confirmed is not None and not confirmed.done():
            code, accepted = "NET-124", "what its rules allow"
            if _NO_ROOM.search(told):
                code, accepted = "NET-130", "a broker with room in its memory and store"
            confirmed.set_exception(self._error(code, f"the broker refused ({told})", accepted))
        else:
            self.note_lost(f"the broker ended it ({told})")

    def note_message(self, headers: Mapping[str, str], body: bytes) -> None:
        """MESSAGE."""
        on_arrival = self._arrivals.get(headers.get("subscription", ""))
        if on_arrival is None or self.lost.done():
            return  # its subscription was closed; the broker hands it to somebody else
        on_arrival(self._arrived(headers, body))

    def note_lost(self, reason: str) -> None:
        """The session is over."""
        self._note_unconnected(_NotConnectedError(reason))
        if not self.lost.done():
            self.lost.set_result(self._error("NET-123", reason, "a connection that lasts", is_gone=True))
        error = self.lost.result()
        for confirmed in self._receipts.values():
            if not confirmed.done():
                confirmed.set_exception(error)
        self._end()

    async def _listen_for_silence(self, every: float) -> None:
        most = every * self._heart_beat.tolerance
        while not self.lost.done():
            silent = time.monotonic() - self._heard_at
            if silent > most:
                self.note_lost(f"nothing was heard of the broker for {silent:.1f} s")
                return
            await asyncio.sleep(min(every / 2, most - silent + 0.01))

    def _end(self) -> None:
        """End both threads: the writer, and by the socket also the reader."""
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()  # it has been looked at
        self._jobs.put(None)
        connection = self._connection
        transport_socket = connection.transport.socket if connection is not None else None
        if connection is not None:
            connection.transport.running = False
        if transport_socket is not None:
            with contextlib.suppress(OSError):
                transport_socket.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------------------------------------- mapping

    @property
    def _is_rabbitmq(self) -> bool:
        return self._server.startswith("RabbitMQ")

    def _next(self) -> str:
        self._numbers += 1
        return str(self._numbers)

    def _name_of(self, destination: Destination) -> str:
        name = destination.name
        if destination.is_temporary:
            if name in self._replies:
                return f"/temp-{destination.kind}/{name}"
            return f"/reply-queue/{name}" if self._is_rabbitmq else f"/remote-temp-{destination.kind}/{name}"
        if name.split(".")[-1] == ">":  # to these brokers the rest may also be nothing
            name = f"{name[:-1]}*.{'>' if self._server.startswith('ActiveMQ/') else '#'}"
        return f"/{destination.kind}/{name}"

    def _headers_of(self, message: BrokerMessage) -> dict[str, str]:
        headers = {name: text for name, text in message.properties.items() if name not in _OWN}
        headers |= {
            "persistent": "true" if message.persistent else "false",
            "priority": str(message.priority),
            "content-type": "application/xml",
        }
        if message.correlation_id:
            headers["correlation-id"] = message.correlation_id
        if message.reply_to is not None:
            headers["reply-to"] = self._name_of(message.reply_to)
        if message.expires_at is not None:
            headers["expires"] = str(int(message.expires_at.timestamp() * 1000))
            if self._is_rabbitmq:
                left = message.expires_at - datetime.now(UTC)
                headers["expiration"] = str(max(int(left.total_seconds() * 1000), 0))
        return headers

    def _arrived(self, headers: Mapping[str, str], body: bytes) -> Arrived:
        is_settled = headers.get("subscription", "") in self._automatic
        expires_at = _instant(headers.get("expires", ""))
        return Arrived(
            message=BrokerMessage(
                body=body,
                message_id=headers.get("message-id", ""),
                correlation_id=headers.get("correlation-id", ""),
                reply_to=_destination_of(headers.get("reply-to", "")),
                sent_at=_instant(headers.get("timestamp", "")),
                expires_at=expires_at,
                priority=_priority(headers.get("priority", "")),
                persistent=headers.get("persistent", "") == "true",
                properties={name: text for name, text in headers.items() if name not in _OWN},
                redeliveries=1 if headers.get("redelivered") == "true" else 0,
            ),
            destination=_destination_of(headers.get("destination", ""))
            or Destination(kind=DestinationKind.QUEUE, name=headers.get("destination", "") or "unknown"),
            token=None if is_settled else _Token(headers.get("ack", "")),
        )

    def _error(self, code: str, found: str, accepted: str, *, is_gone: bool = False) -> BrokerError:
        return BrokerError(code, str(self.address), found, accepted, is_gone=is_gone)


class _NotConnectedError(Exception):
    """No connection came about; the library does not say why."""


class _Listener(stomp.ConnectionListener):  # type: ignore[misc]  # the library has no types
    """What the library's thread brings goes to the event loop."""

    def __init__(self, session: StompSession) -> None:
        self._session = session

    def on_connected(self, frame: stomp.utils.Frame) -> None:
        """The session is there."""
        self._session.hear(self._session.note_connected, dict(frame.headers))

    def on_heartbeat(self) -> None:
        """The broker lives."""
        self._session.hear()

    def on_receipt(self, frame: stomp.utils.Frame) -> None:
        """A frame was taken."""
        self._session.hear(self._session.note_receipt, frame.headers.get("receipt-id", ""))

    def on_error(self, frame: stomp.utils.Frame) -> None:
        """Something was refused."""
        self._session.hear(self._session.note_error, dict(frame.headers))

    def on_message(self, frame: stomp.utils.Frame) -> None:
        """A message for a subscription."""
        body = frame.body if isinstance(frame.body, bytes) else (frame.body or "").encode()
        self._session.hear(self._session.note_message, frame.headers, body)

    def on_disconnected(self) -> None:
        """The connection is gone."""
        self._session.hear(self._session.note_lost, "the connection broke off")

    def on_heartbeat_timeout(self) -> None:
        """Too long a silence."""
        self._session.hear(self._session.note_lost, "no heart-beat of the broker came in time")


async def open_session(
    address: BrokerAddress,
    *,
    client_id: str,
    credentials: Credentials,
    tls: Tls,
    heart_beat: HeartBeat,
    within: float,
) -> StompSession:
    """Open a session; as `OpenSession`."""
    session = StompSession(address, heart_beat)
    await session.open(client_id=client_id, credentials=credentials, tls=tls, within=within)
    return session


async def _diagnose(address: BrokerAddress, tls: Tls) -> str:
    """Why no connection came about, by making one; empty if this one comes about."""
    try:
        context = None
        if address.is_tls:
            context = ssl.create_default_context(cafile=tls.ca_file or None)
            if tls.certificate_file:
                context.load_cert_chain(tls.certificate_file, tls.key_file or None)
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except ssl.SSLError as error:
        return f"TLS refused ({getattr(error, 'verify_message', '') or error.reason or error})"
    except TimeoutError:
        return f"not connected within {_DIAGNOSIS_SECONDS:g} s"
    except OSError as error:
        number = error.errno or 0
        return f"could not connect ({os.strerror(number) if number > 0 else error.strerror or error})"
    return ""


def _destination_of(text: str) -> Destination | None:
    """A destination as STOMP names it, or a queue as clients of RabbitMQ do; None if it is none that we know."""
    if text and "/" not in text:
        return Destination(kind=DestinationKind.QUEUE, name=text, is_temporary=text.startswith("amq."))
    _, slash, rest = text.partition("/")
    kind, slash, name = rest.partition("/")
    if not slash or kind not in _KINDS or not name:
        return None
    found, is_temporary = _KINDS[kind]
    return Destination(kind=found, name=name, is_temporary=is_temporary)


def _instant(text: str) -> datetime | None:
    """Milliseconds since 1970; None for never, and for nonsense."""
    if not text.isdigit() or len(text) > 15 or int(text) == 0:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _priority(text: str) -> int:
    return min(int(text), 9) if text.isdigit() and len(text) < 4 else 4
