"""Sessions over STOMP 1.2: ActiveMQ Classic, Artemis, RabbitMQ.

How much is on its way is bounded by who waits for receipts, and by the prefetch of subscriptions.

ActiveMQ makes a Java TextMessage of what comes without the header content-length, so none is sent.

Source: STOMP 1.2; headers of ActiveMQ, Artemis and RabbitMQ after their manuals.
"""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Mapping
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
from cimcare.transport.broker.stomp_wire import Frame, Wire

__all__ = ["StompSession", "open_session"]

_CLOSE_SECONDS = 2.0
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
        self._is_closing = False
        self._watch: asyncio.Task[None] | None = None
        self._wire = Wire(self._take, self.note_lost)

    # ------------------------------------------------------------------------------------------------- opening

    async def open(self, *, client_id: str, credentials: Credentials, tls: Tls, within: float) -> None:
        """Connect. Raises BrokerError NET-120 or NET-121."""
        milliseconds = int(self._heart_beat.seconds * 1000)
        headers = {"accept-version": "1.2", "host": "/"}  # that of RabbitMQ; the others do not look at it
        headers["heart-beat"] = f"{milliseconds},{milliseconds}"
        if client_id:
            headers["client-id"] = client_id
        if credentials.user:
            headers["login"] = credentials.user
        if credentials.password:
            headers["passcode"] = credentials.password
        try:
            async with asyncio.timeout(within):
                context = _context_of(tls) if self.address.is_tls else None
                await self._loop.create_connection(
                    lambda: self._wire, self.address.host, self.address.port, ssl=context
                )
                self._wire.send("STOMP", headers)
                answered = await self._connected
        except BaseException as error:
            self._end()
            found = self._why_not(error, within)
            if found is None:
                raise
            raise found from error
        self._server = answered.get("server", "")
        sends, _, wants = answered.get("heart-beat", "0,0").partition(",")
        if every := _beat_of(sends, milliseconds):
            self._watch = asyncio.create_task(self._listen_for_silence(every))
        if every := _beat_of(wants, milliseconds):
            self._wire.beat(every)

    def _why_not(self, error: BaseException, within: float) -> BrokerError | None:
        """What is said of a failure to connect; None if it is said already, or is none."""
        if isinstance(error, TimeoutError):
            return self._error("NET-120", f"no session within {within:g} s", "a broker that answers")
        if isinstance(error, ssl.SSLError):
            found = f"TLS refused ({getattr(error, 'verify_message', '') or error.reason or error})"
            return self._error("NET-120", found, "certificates that both sides trust")
        if isinstance(error, _NotConnectedError | OSError):
            number = getattr(error, "errno", None) or 0
            told = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
            return self._error("NET-120", f"could not connect ({told})", "a broker that listens there")
        return None

    # ------------------------------------------------------------------------------------------------- sending

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Send, and wait for the receipt."""
        if self._is_rabbitmq and destination.is_temporary and destination.name in self._replies:
            name = await self._open_way_round(destination.name, within)
        else:
            name = self._name_of(destination)
        await self._confirmed("SEND", {"destination": name, **self._headers_of(message)}, message.body, within)

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

    async def _open_way_round(self, name: str, within: float) -> str:
        """By which a message of ours gets to our own reply queue at RabbitMQ; opened when it is first wanted.

        RabbitMQ takes nothing for a temporary queue but as a reply, and ends the session of who sends there. So there
        is a queue beside it for what we send ourselves, named as it names those of topics: who may listen to these may
        have it.
        """
        queue = f"stomp-subscription-{name}"
        if queue not in self._arrivals:
            self._arrivals[queue] = self._arrivals[f"/temp-queue/{name}"]
            self._automatic.add(queue)
            headers = {"id": queue, "destination": f"/queue/{queue}", "ack": "auto"}
            headers |= {"durable": "false", "auto-delete": "true", "exclusive": "true"}
            try:
                await self._confirmed("SUBSCRIBE", headers, b"", within)
            except BrokerError:
                self._arrivals.pop(queue, None)
                raise
        return f"/amq/queue/{queue}"

    async def acknowledge(self, arrived: Arrived) -> None:
        """Settle it."""
        self._require()
        token = arrived.token
        if isinstance(token, _Token) and token.ack:
            self._wire.send("ACK", {"id": token.ack})

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
        self._wire.send(command, {**headers, "receipt": receipt}, body)
        late = self._loop.call_later(within, self._note_late, command, confirmed, within)
        try:
            await confirmed
        finally:
            late.cancel()
            self._receipts.pop(receipt, None)

    def _note_late(self, command: str, confirmed: asyncio.Future[None], within: float) -> None:
        if not confirmed.done():
            found = f"no receipt for {command} within {within:g} s"
            confirmed.set_exception(self._error("NET-122", found, "a receipt in that time"))

    def _require(self) -> None:
        if self.lost.done():
            raise self.lost.result()

    # ------------------------------------------------------------------------------------------------- receiving

    def _take(self, frame: Frame) -> None:
        """A frame came."""
        command, headers, body = frame
        if command == "RECEIPT":
            self._note_receipt(headers.get("receipt-id", ""))
        elif command == "MESSAGE":
            self._note_message(headers, body)
        elif command == "ERROR":
            self._note_error(headers)
        elif command == "CONNECTED" and not self._connected.done():
            self._connected.set_result(headers)

    def _note_receipt(self, receipt: str) -> None:
        """RECEIPT."""
        confirmed = self._receipts.get(receipt)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)

    def _note_error(self, headers: Mapping[str, str]) -> None:
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

    def _note_message(self, headers: Mapping[str, str], body: bytes) -> None:
        """MESSAGE."""
        on_arrival = self._arrivals.get(headers.get("subscription", ""))
        if on_arrival is None or self.lost.done():
            return  # its subscription was closed; the broker hands it to somebody else
        on_arrival(self._arrived(headers, body))

    def note_lost(self, reason: str) -> None:
        """The session is over."""
        if not self._connected.done():
            self._connected.set_exception(_NotConnectedError(reason))
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
            silent = self._loop.time() - self._wire.heard_at
            if silent > most:
                self.note_lost(f"nothing was heard of the broker for {silent:.1f} s")
                return
            await asyncio.sleep(min(every / 2, most - silent + 0.01))

    def _end(self) -> None:
        """End the connection."""
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()  # it has been looked at
        self._wire.end()

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
        if message.persistent:  # RabbitMQ takes a "false" for a word about the queue, and refuses one that is kept
            headers["persistent"] = "true"
        headers |= {"priority": str(message.priority), "content-type": "application/xml"}
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
    """The connection ended before it was one of STOMP."""


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


def _context_of(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    return context


def _beat_of(theirs: str, ours: int) -> float:
    """Seconds between two heart-beats that were agreed, from milliseconds of both; 0.0 for none."""
    text = theirs.strip()
    return max(int(text), ours) / 1000 if text.isdigit() and int(text) and ours else 0.0


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
