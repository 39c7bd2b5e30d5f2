"""An AMQP 1.0 connection on the event loop: bytes in and out, and links with what passes over them.

The library's engine does no input or output of its own, so it runs here as a protocol of asyncio, without a thread.
Each link has a session of its own, since some brokers end the session over an error of one link.

Source: AMQP 1.0, parts 2 (transport), 3 (messaging) and 5 (security).
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from proton import Collector, Connection, Delivery, Event, Link, Session, Terminus, Transport, TransportException

__all__ = ["LinkEndedError", "Receiving", "Sending", "Wire", "WireEndedError"]

_MOST_BYTES_AT_ONCE = 65536
_UNAUTHORIZED = "amqp:unauthorized-access"


class WireEndedError(Exception):
    """The connection is over. `is_refusal` says that the broker did not accept who we are."""

    def __init__(self, reason: str, *, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.is_refusal = is_refusal


class LinkEndedError(Exception):
    """The broker refused a link or a message, or ended the link. `condition` is AMQP's name of the reason."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition


class _Attached:
    """One end of a link, ours. `ready` is done when the broker has attached its own."""

    def __init__(self, wire: "Wire", link: Link) -> None:
        self.wire = wire
        self.link = link
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ended: Exception | None = None
        self.is_closing = False

    def on_open(self) -> None:
        """The broker has attached; with an empty terminus if only to refuse."""
        remote = self.link.remote_target if self.link.is_sender else self.link.remote_source
        if remote.type != Terminus.UNSPECIFIED and not self.ready.done():
            self.ready.set_result(remote.address or "")

    def on_end(self, error: Exception) -> None:
        """It is over."""
        self.ended = self.ended or error
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # whoever waits gets it; nobody may

    def on_flow(self) -> None:
        """The broker gave credit."""

    def on_delivery(self, delivery: Delivery) -> None:
        """Something came, or was settled."""
        raise NotImplementedError

    def close(self, *, forget: bool = True) -> None:
        """End it; a subscription that the broker keeps is kept unless it is to be forgotten."""
        self.is_closing = True
        if forget:
            self.link.close()
        else:
            self.link.detach()
        self.link.session.close()
        self.wire.pump()


class Sending(_Attached):
    """A link that sends, in the order of the calls, as the broker gives credit."""

    def __init__(self, wire: "Wire", link: Link) -> None:
        super().__init__(wire, link)
        self._waiting: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._sent: dict[str, asyncio.Future[None]] = {}
        self._tags = itertools.count()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._waiting and not self._sent

    def send(self, encoded: bytes) -> "asyncio.Future[None]":
        """Send a message. The future is done when the broker has accepted it; raises LinkEndedError if it did not."""
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.ended is not None:
            outcome.set_exception(self.ended)
        else:
            self._waiting.append((encoded, outcome))
            self.on_flow()
            self.wire.pump_soon()
        return outcome

    def on_flow(self) -> None:
        """Send what waits, as far as credit reaches; what nobody waits for any more is not sent."""
        while self._waiting and self.link.credit > 0:
            encoded, outcome = self._waiting.popleft()
            if outcome.done():
                continue
            tag = str(next(self._tags))
            self._sent[tag] = outcome
            self.link.delivery(tag)
            self.link.stream(encoded)
            self.link.advance()

    def on_delivery(self, delivery: Delivery) -> None:
        """The broker has decided."""
        if not delivery.updated or not delivery.remote_state:
            return
        outcome = self._sent.pop(delivery.tag, None)
        if outcome is not None and not outcome.done():
            if delivery.remote_state == Delivery.ACCEPTED:
                outcome.set_result(None)
            else:
                condition = delivery.remote.condition
                name = condition.name if condition is not None else str(delivery.remote_state).lower()
                outcome.set_exception(LinkEndedError(name, (condition and condition.description) or ""))
        delivery.settle()

    def on_end(self, error: Exception) -> None:
        """What is under way fails."""
        super().on_end(error)
        for outcome in [*self._sent.values(), *(outcome for _, outcome in self._waiting)]:
            if not outcome.done():
                outcome.set_exception(error)
        self._sent.clear()
        self._waiting.clear()


class Receiving(_Attached):
    """A link that receives, up to `prefetch` messages unsettled."""

    def __init__(
        self, wire: "Wire", link: Link, prefetch: int, on_message: Callable[[bytes, Delivery], None], *, settles: bool
    ) -> None:
        super().__init__(wire, link)
        self._prefetch = prefetch
        self._on_message = on_message
        self._settles = settles
        self._owed = 0
        self._watch: Callable[[Exception], None] | None = None

    def watch(self, on_end: Callable[[Exception], None]) -> None:
        """Have somebody told when the broker ends the link after it was attached."""
        self._watch = on_end

    def on_end(self, error: Exception) -> None:
        """Tell who watches."""
        was_attached = self.ready.done() and self.ended is None
        super().on_end(error)
        if was_attached and not self.is_closing and self._watch is not None:
            self._watch(error)

    def on_open(self) -> None:
        """Ask for messages."""
        super().on_open()
        if self.ready.done():
            self.link.flow(self._prefetch)

    def on_delivery(self, delivery: Delivery) -> None:
        """Hand on a message that is complete."""
        if not delivery.readable or delivery.partial:
            return
        encoded = self.link.recv(delivery.pending)
        self.link.advance()
        if not self.is_closing:
            self._on_message(encoded or b"", delivery)
        if self._settles:
            self.settle(delivery, Delivery.ACCEPTED)
        self._ask_for_more()

    def settle(self, delivery: Delivery, outcome: int) -> None:
        """Say what became of a message."""
        if self.ended is None and not self.is_closing:
            delivery.update(outcome)
            delivery.settle()
            self._owed += 1
            self._ask_for_more()
            self.wire.pump()

    def _ask_for_more(self) -> None:
        """Give credit for what was settled, once all that was asked for before is here.

        RabbitMQ 3 takes a credit for the new total without looking at what is on its way, and would send too many.
        """
        if self._owed >= max(self._prefetch // 2, 1) and self.link.credit == 0:
            self.link.flow(self._owed)
            self._owed = 0


class Wire(asyncio.Protocol):
    """One connection. `lost` is done, with the reason, when it is over."""

    def __init__(
        self, *, container: str, hostname: str, user: str, password: str, mechanisms: str, silence: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[Mapping[str, object]] = self._loop.create_future()
        self.lost: asyncio.Future[WireEndedError] = self._loop.create_future()
        self._connection = connection = Connection()
        self._engine = engine = Transport()
        self._collector = Collector()
        self._links: dict[str, _Attached] = {}
        self._tcp: asyncio.WriteTransport | None = None
        self._is_pumping = self._is_pump_due = False
        self._ticking: asyncio.TimerHandle | None = None
        connection.collect(self._collector)
        connection.container = container
        connection.hostname = hostname
        if user:
            connection.user, connection.password = user, password
        sasl = engine.sasl()
        sasl.allow_insecure_mechs = True  # whether passwords may go without TLS is said by the address
        sasl.allowed_mechs(mechanisms)
        engine.idle_timeout = silence
        engine.bind(connection)
        connection.open()

    # ------------------------------------------------------------------------------------------------- links

    def attach_sender(self, name: str, shape: Callable[[Link], None]) -> Sending:
        """A link that sends; `shape` says to what."""
        link = self._session().sender(name)
        sending = Sending(self, link)
        self._attach(name, link, sending, shape)
        return sending

    def attach_receiver(
        self,
        name: str,
        shape: Callable[[Link], None],
        *,
        prefetch: int,
        on_message: Callable[[bytes, Delivery], None],
        settles: bool = False,
    ) -> Receiving:
        """A link that receives; `shape` says from what. With `settles` messages are settled as they come."""
        link = self._session().receiver(name)
        receiving = Receiving(self, link, prefetch, on_message, settles=settles)
        self._attach(name, link, receiving, shape)
        return receiving

    def _session(self) -> Session:
        session = self._connection.session()
        session.open()
        return session

    def _attach(self, name: str, link: Link, attached: _Attached, shape: Callable[[Link], None]) -> None:
        self._links[name] = attached
        shape(link)
        link.open()
        self.pump()

    # ------------------------------------------------------------------------------------------------- bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection of the system is there."""
        self._tcp = cast("asyncio.WriteTransport", transport)  # that of uvloop is one, and no subclass
        self.pump()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        view = memoryview(data)
        while view and (room := self._engine.capacity()) > 0:
            try:
                self._engine.push(bytes(view[:room]))
            except TransportException:
                break  # told by an event
            view = view[room:]
            self._handle_events()
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection of the system is gone."""
        del exc
        self._note_lost(WireEndedError("the connection broke off"))

    def pump(self) -> None:
        """Handle what has happened, and write what is to be written."""
        if self._is_pumping or self._tcp is None:
            return
        self._is_pumping = True
        try:
            self._handle_events()
            deadline = self._engine.tick(self._loop.time())
            while (pending := self._engine.pending()) > 0:
                self._tcp.write(self._engine.peek(min(pending, _MOST_BYTES_AT_ONCE)))
                self._engine.pop(min(pending, _MOST_BYTES_AT_ONCE))
            self._handle_events()
        finally:
            self._is_pumping = False
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self.lost.done():
            self._end()
        elif deadline:
            self._ticking = self._loop.call_at(deadline, self.pump)

    def pump_soon(self) -> None:
        """The same, once for all that is sent until the loop turns to something else."""
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump_what_is_due)

    def _pump_what_is_due(self) -> None:
        self._is_pump_due = False
        self.pump()

    async def close(self, within: float) -> None:
        """Say goodbye, and end. Raises nothing."""
        self._connection.close()
        self.pump()
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self.lost)
        except TimeoutError:
            self._note_lost(WireEndedError("closed by us"))
        if self._tcp is not None:
            self._tcp.abort()

    # ------------------------------------------------------------------------------------------------- events

    def _handle_events(self) -> None:
        while (event := self._collector.peek()) is not None:
            kind = event.type
            if kind in (Event.DELIVERY, Event.LINK_FLOW, Event.LINK_REMOTE_OPEN):
                self._handle_link(kind, event)
            elif kind in (Event.LINK_REMOTE_CLOSE, Event.LINK_REMOTE_DETACH):
                self._end_link(event.link, event.link.remote_condition)
            elif kind is Event.SESSION_REMOTE_CLOSE:
                for attached in list(self._links.values()):
                    if attached.link.session == event.session:
                        self._end_link(attached.link, event.session.remote_condition)
                event.session.close()
            elif kind is Event.CONNECTION_REMOTE_OPEN:
                if not self.opened.done():
                    self.opened.set_result(dict(event.connection.remote_properties or {}))
            elif kind is Event.CONNECTION_REMOTE_CLOSE:
                condition = event.connection.remote_condition
                self._note_lost(WireEndedError(f"the broker ended it ({_told(condition)})"))
            elif kind is Event.TRANSPORT_ERROR:
                condition = self._engine.condition
                refusal = condition is not None and condition.name == _UNAUTHORIZED
                self._note_lost(WireEndedError(_told(condition), is_refusal=refusal))
            self._collector.pop()

    def _handle_link(self, kind: object, event: Event) -> None:
        attached = self._links.get(event.link.name)
        if attached is None:
            return
        if kind is Event.DELIVERY:
            attached.on_delivery(event.delivery)
        elif kind is Event.LINK_FLOW:
            attached.on_flow()
        else:
            attached.on_open()

    def _end_link(self, link: Link, condition: object) -> None:
        attached = self._links.pop(link.name, None)
        if attached is not None:
            name = getattr(condition, "name", None) or "ended"
            attached.on_end(LinkEndedError(name, getattr(condition, "description", None) or ""))
            if not attached.is_closing:
                link.close()

    def _note_lost(self, error: WireEndedError) -> None:
        if self.lost.done():
            return
        self.lost.set_result(error)
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()
        for attached in self._links.values():
            attached.on_end(error)
        self._links.clear()
        if self._ticking is not None:
            self._ticking.cancel()
        self._end()

    def _end(self) -> None:
        """Let the connection of the system end. Over TLS a second `close` would keep `abort` from having any effect."""
        if self._tcp is not None and not self._tcp.is_closing():
            self._tcp.close()


def _told(condition: object) -> str:
    """What a condition says."""
    words = (getattr(condition, "name", None), getattr(condition, "description", None))
    return ": ".join(word for word in words if word)[:300] or "no reason given"
