"""Sends messages to partners by way of brokers, and brings the replies that come in the same exchange.

An event is delivered when the broker has confirmed it. A request goes out with a temporary queue of ours as JMSReplyTo,
and its reply is known by JMSCorrelationID, or else by what its envelope says. Every attempt ends within the partner's
deadline as a `Sent`.

Source: IEC 61968-100:2013, JMS binding; guarantees G3, G5 and G11.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from cimcare.codec.compressed import compress_payload
from cimcare.codec.envelope import DRAFT_NAMESPACE, MESSAGE_NAMESPACE, glimpse_header, render_message
from cimcare.codec.limits import Limits, parse_xml
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.facts import priority_of
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Edition, Partner, Replies
from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Sent
from cimcare.model.envelope import Header, RequestMessage
from cimcare.transport.answers import judge_answer
from cimcare.transport.broker.brokers import Broker
from cimcare.transport.broker.life import Link
from cimcare.transport.broker.mapping import PRIORITIES, PROBE, properties_of, reply_place, resolve
from cimcare.transport.broker.opening import OpenSession
from cimcare.transport.broker.ports import Arrived, BrokerError, BrokerMessage, Destination, Session
from cimcare.transport.calls import Outgoing

__all__ = ["Blocked", "BrokerSender", "Outlet"]

CONTENT_TYPE = "application/xml"
_ANSWERED = 200
"""Stands in the log where an answer came in the same exchange."""


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that does not confirm: since when, when that was seen last, and in which words."""

    since: datetime
    last_at: datetime
    reason: str


class Outlet:
    """What sends to one broker: a link, and who waits for replies.

    Args:
        broker: Which.
        open_session: How a session is opened.
        limits: Bounds of what is read.
        clock: Now.
        chance: Jitter.
        logger: Where it is noted what came and went.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        open_session: OpenSession,
        limits: Limits,
        clock: Clock,
        chance: random.Random,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.broker = broker
        self.link = Link(
            broker,
            "sending",
            open_session=open_session,
            on_open=self._set_up,
            clock=clock,
            chance=chance,
            logger=logger,
        )
        self.stray = 0
        """Replies for which nobody waited."""
        self.on_probe: Callable[[str], None] = lambda _: None
        """Told of probes that came back."""
        self._limits = limits
        self._clock = clock
        self._blocked: Blocked | None = None
        self._confirmed = 0
        self._replies: Destination | None = None
        self._waiting: dict[str, tuple[asyncio.Future[BrokerMessage], Header]] = {}

    @property
    def blocked(self) -> Blocked | None:
        """That the broker takes nothing more, or hardly anything: it is short of memory or disk. None if it does."""
        return self._blocked

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        """Publish, and return when the broker has confirmed it. Raises BrokerError, `within` seconds at the latest."""
        session = self.link.session
        if session is None:
            try:
                async with asyncio.timeout(within):
                    session = await self.link.require()
            except TimeoutError as error:
                found = f"no session within {within:g} s"
                raise BrokerError("NET-120", self.link.state.address, found, "a broker that is there") from error
        await self._publish(session, destination, message, within)

    async def ask(
        self, destination: Destination, message: BrokerMessage, header: Header, *, within: float
    ) -> BrokerMessage:
        """Publish a request, and wait for its reply.

        Args:
            destination: Where to.
            message: The request; how its reply is linked is chosen here.
            header: That of its envelope.
            within: Seconds for all of it.

        Raises:
            BrokerError: NET-125 no reply in time, else as `publish`.
        """
        is_sent = False
        key = ""
        try:
            async with asyncio.timeout(within):
                session = await self.link.require()
                key = self._key_of(header)
                reply: asyncio.Future[BrokerMessage] = asyncio.get_running_loop().create_future()
                self._waiting[key] = (reply, header)
                asked = msgspec.structs.replace(message, correlation_id=key, reply_to=self._replies)
                await self._publish(session, destination, asked, within)
                is_sent = True
                await asyncio.wait((reply, session.lost), return_when=asyncio.FIRST_COMPLETED)
                if not reply.done():
                    raise session.lost.result()
                return reply.result()
        except TimeoutError as error:
            if is_sent:
                found = f"no reply to {destination} within {within:g} s"
                accepted, clause = "a reply to JMSReplyTo in that time", "setting deadline_seconds of the partner"
                raise BrokerError("NET-125", self.link.state.address, found, accepted, clause) from error
            found = f"no session within {within:g} s"
            raise BrokerError("NET-120", self.link.state.address, found, "a broker that is there") from error
        finally:
            self._waiting.pop(key, None)

    async def probe(self, destination: Destination, message: BrokerMessage) -> None:
        """Publish a probe, to be sent back to the reply queue by whoever takes it. Raises BrokerError."""
        within = self.broker.confirm.total_seconds()
        await self.publish(destination, msgspec.structs.replace(message, reply_to=self._replies), within=within)

    async def _publish(self, session: Session, destination: Destination, message: BrokerMessage, within: float) -> None:
        """A broker that does not confirm may have blocked this connection for good: it is made anew."""
        try:
            await session.publish(destination, message, within=min(within, self.broker.confirm.total_seconds()))
        except BrokerError as error:
            if error.code in _BLOCKED:
                self._note_blocked(error)
            if error.code == "NET-122":
                self.link.give_up(error.finding.found)
            raise
        if self._blocked is not None:
            # A blocked RabbitMQ takes the first message of each new connection over STOMP, and nothing behind it.
            self._confirmed += 1
            if self._confirmed > 1 or self._clock() - self._blocked.last_at > 2 * self.broker.confirm:
                self._blocked = None

    def _note_blocked(self, error: BrokerError) -> None:
        now, self._confirmed = self._clock(), 0
        since = self._blocked.since if self._blocked is not None else now
        self._blocked = Blocked(since=since, last_at=now, reason=error.finding.found)

    async def _set_up(self, session: Session) -> None:
        within = self.broker.confirm.total_seconds()
        self._replies = await session.open_reply_queue(self._take, within=within)

    def _key_of(self, header: Header) -> str:
        """What links the reply: CorrelationID, else MessageID, made unique among those that are waited for."""
        wanted = [str(each) for each in (header.correlation_id, header.message_id) if each]
        for key in wanted:
            if key not in self._waiting:
                return key
        number = 1
        while (key := f"{wanted[-1] if wanted else 'request'}#{number}") in self._waiting:
            number += 1
        return key

    def _take(self, arrived: Arrived) -> None:
        """A reply: by what JMS says, else by what its envelope says, which is how some stacks have it."""
        if PROBE in arrived.message.properties:
            self.on_probe(arrived.message.properties[PROBE])
            return
        found = self._waiting.get(arrived.message.correlation_id)
        if found is None:
            found = self._find_by_envelope(arrived.message.body)
        if found is None:
            self.stray += 1
        elif not found[0].done():
            found[0].set_result(arrived.message)

    def _find_by_envelope(self, body: bytes) -> tuple[asyncio.Future[BrokerMessage], Header] | None:
        try:
            correlation_id = glimpse_header(parse_xml(body, self._limits)).correlation_id
        except InputError:
            return None
        matching = [
            each
            for each in self._waiting.values()
            if correlation_id and correlation_id in (each[1].correlation_id, each[1].message_id)
        ]
        return matching[0] if len(matching) == 1 else None


class BrokerSender:
    """Sends messages to partners behind brokers. One object for a hub.

    Args:
        outlets: What sends to each broker, by its name.
        limits: Bounds of answers.
        clock: Now.
        lenient: Whether variants met in the field are read in answers.
    """

    def __init__(self, outlets: Iterable[Outlet], *, limits: Limits, clock: Clock, lenient: bool = False) -> None:
        self.outlets: Mapping[str, Outlet] = {outlet.broker.name: outlet for outlet in outlets}
        self._limits = limits
        self._clock = clock
        self._lenient = lenient

    async def send(
        self,
        partner: Partner,
        message: Outgoing,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        """Send the message to the partner, or to `address` where one is given. Raises nothing but cancellation."""
        sent = Sent(transport=Transport.JMS, sent=b"", content_type=CONTENT_TYPE)
        try:
            named, destination = self._place(partner, message, address)
            outlet = self.outlets.get(named)
            if outlet is None:
                known = ", ".join(sorted(self.outlets)) or "none is configured"
                found = f"broker {named!r}, which this process does not have"
                accepted = f"a table [brokers.{named}] at the start of the hub ({known})"
                return _unsent(sent, finding_of("NET-120", partner.name, found, accepted))
            body = self._render(partner, message, kept)
        except BrokerError as error:
            return _unsent(sent, error.finding)
        except InputError as error:  # its message cannot be written, however often that is tried
            found = f"a message that cannot be written ({error})"
            finding = finding_of("NET-114", str(address or partner.url), found, "a message that XML can carry")
            return msgspec.structs.replace(_unsent(sent, finding), blames_us=True)
        sent = msgspec.structs.replace(sent, sent=body)
        within = partner.deadline.total_seconds()
        asked = self._told(outlet, message, body, priority_of(message) if priority is None else priority)
        try:
            if not isinstance(message, RequestMessage) or _needs_no_reply(partner, message):
                await outlet.publish(destination, asked, within=within)
                return sent
            if outlet.broker.expires:
                asked = msgspec.structs.replace(asked, expires_at=self._clock() + timedelta(seconds=within))
            reply = await outlet.ask(destination, asked, message.header, within=within)
        except BrokerError as error:
            return msgspec.structs.replace(
                _unsent(sent, error.finding), blames_us=error.blames_us, is_reached=error.code in _REACHED
            )
        return self._judge(sent, partner, message, destination, reply)

    def _place(self, partner: Partner, message: Outgoing, address: str) -> tuple[str, Destination]:
        if address:
            named, destination = reply_place(address)
            return named or partner.broker, destination
        pattern = partner.url
        if partner.event_url and not isinstance(message, RequestMessage):
            pattern = partner.event_url
        return partner.broker, resolve(pattern, message)

    def _render(self, partner: Partner, message: Outgoing, kept: bytes) -> bytes:
        packed = compress_payload(message, above_bytes=partner.compress_above_bytes)
        namespace = DRAFT_NAMESPACE if partner.edition is Edition.E2013_DRAFT else MESSAGE_NAMESPACE
        if kept and packed is message and namespace == MESSAGE_NAMESPACE:
            return kept
        return render_message(packed, namespace=namespace)

    def _told(self, outlet: Outlet, message: Outgoing, body: bytes, priority: Priority) -> BrokerMessage:
        header = message.header
        return BrokerMessage(
            body=body,
            correlation_id=str(header.correlation_id or header.message_id or ""),
            priority=PRIORITIES[priority],
            properties=properties_of(header, hub=outlet.broker.client_id),
        )

    def _judge(
        self, sent: Sent, partner: Partner, message: Outgoing, destination: Destination, reply: BrokerMessage
    ) -> Sent:
        sent = msgspec.structs.replace(
            sent, status=_ANSWERED, received=reply.body[: self._limits.max_bytes], received_type=CONTENT_TYPE
        )
        judged = judge_answer(
            message,
            partner.wire,
            url=str(destination),
            status=_ANSWERED,
            content_type=CONTENT_TYPE,
            raw=reply.body,
            limits=self._limits,
            lenient=self._lenient or partner.edition is Edition.E2013_DRAFT,
        )
        if judged.finding is None:
            return msgspec.structs.replace(sent, reply=judged.reply)
        return msgspec.structs.replace(
            sent,
            failure=judged.finding.describe(),
            code=judged.finding.code,
            fault=judged.fault,
            blames_us=judged.blames_us,
            is_reached=judged.is_reached,
        )


_BLOCKED = frozenset({"NET-122", "NET-130"})
"""Failures of a broker that is there and takes nothing."""

_REACHED = frozenset({"NET-124"})
"""Failures by which a broker shows that it is there."""


def _needs_no_reply(partner: Partner, message: RequestMessage) -> bool:
    """Whether the reply of a request comes later, or never."""
    return partner.replies is Replies.LATER or message.header.ack_required is False


def _unsent(sent: Sent, finding: Finding) -> Sent:
    return msgspec.structs.replace(sent, failure=finding.describe(), code=finding.code, is_reached=False)
