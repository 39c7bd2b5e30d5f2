"""The other side of a broker in the crash harness: who asks, who tells, who hears and who owns."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from tests.support.broker_peer import BrokerPeer, broker_peer
from tests.support.java_peers import JavaError, JavaPeer, JavaPeers
from tests.support.listening import PASSWORD, USER, request_queue
from tests.support.services import Broker

__all__ = ["HEARD", "OWNER", "Bus", "java_bus", "session_bus"]

HEARD = "HEARD"
"""Second level of the names of topics on which the hub tells of tickets; the first one is the context."""

OWNER = "OWNER"
"""Header/Source of the owner of work requests, and the second level of the names of the queues that it serves."""

_REPLY_WITHIN_SECONDS = 3


class Bus(Protocol):
    """The parties on the other side of the broker. They go through its deaths as they would in the field."""

    @property
    def heard(self) -> list[str]:
        """MessageIDs of the hub's events, each once, in the order in which they were heard first."""
        ...

    @property
    def owned(self) -> Counter[str]:
        """How often each request took effect at the owner, by MessageID."""
        ...

    async def ask(self, message: RequestMessage) -> ResponseMessage | None:
        """Send a request and wait for the reply; None if there is none in time, or no broker."""
        ...

    async def tell(self, message: EventMessage) -> bool:
        """Publish an event; whether the broker has confirmed it."""
        ...


class _JavaBus:
    """Two programs in Java, which know JMS alone."""

    def __init__(self, context: str, cis: JavaPeer, oms: JavaPeer) -> None:
        self._context = context
        self._cis = cis
        self._oms = oms

    @property
    def heard(self) -> list[str]:
        ids = [str(parse_message(one["text"].encode()).header.message_id) for one in self._cis.told("event")]
        return list(dict.fromkeys(ids))

    @property
    def owned(self) -> Counter[str]:
        return Counter(one["messageID"] for one in self._oms.told("request") if one["isEffect"] == "true")

    async def ask(self, message: RequestMessage) -> ResponseMessage | None:
        header = message.header
        try:
            answer = await self._cis.order(
                "ask",
                destination=f"queue:{self._context}.REQUESTS.{header.noun}.{header.verb}",
                text=render_message(message).decode(),
                within=_REPLY_WITHIN_SECONDS * 1000,
                property_Verb=header.verb,
                property_Noun=header.noun,
            )
        except JavaError:
            return None
        reply = parse_message(answer["text"].encode()) if "text" in answer else None
        return reply if isinstance(reply, ResponseMessage) else None

    async def tell(self, message: EventMessage) -> bool:
        header = message.header
        try:
            await self._cis.order(
                "send",
                destination=f"topic:{self._context}.EVENTS.{header.noun}.{header.verb}",
                text=render_message(message).decode(),
                property_Verb=header.verb,
                property_Noun=header.noun,
            )
        except JavaError:
            return False
        return True


@asynccontextmanager
async def java_bus(peers: JavaPeers, openwire: str, context: str, folder: Path) -> AsyncIterator[Bus]:
    """The parties as Java programs, which find the broker again by themselves as its client does."""
    # Its client may take what comes again after a failover for a duplicate and drop it unheard: who listens here knows
    # repeats by MessageID.
    quick = "timeout=3000&initialReconnectDelay=100&maxReconnectDelay=500&jms.checkForDuplicates=false"
    url = f"failover:({openwire})?{quick}"
    log = folder / "java.log"
    async with AsyncExitStack() as stack:
        cis = await stack.enter_async_context(peers.cis(url, client_id=f"{context}-cis", log=log))
        await cis.order("subscribe", topic=f"{context}.{HEARD}.>", name="events", selector="Noun = 'TroubleTickets'")
        served = peers.oms(url, log=log, destination=f"queue:{context}.{OWNER}.>", source=OWNER)
        yield _JavaBus(context, cis, await stack.enter_async_context(served))


class _SessionBus:
    """One party in Python."""

    def __init__(self, broker: Broker, context: str, peer: BrokerPeer) -> None:
        self._broker = broker
        self._context = context
        self._peer = peer

    @property
    def heard(self) -> list[str]:
        ids = [str(parse_message(one.message.body).header.message_id) for one in self._peer.heard]
        return list(dict.fromkeys(ids))

    @property
    def owned(self) -> Counter[str]:
        return Counter({str(one.header.message_id) for one in self._peer.served})

    async def ask(self, message: RequestMessage) -> ResponseMessage | None:
        destination = request_queue(self._broker, self._context, message.header.noun, message.header.verb)
        arrived = await self._peer.ask(destination, message, within=_REPLY_WITHIN_SECONDS)
        reply = parse_message(arrived.message.body) if arrived is not None else None
        return reply if isinstance(reply, ResponseMessage) else None

    async def tell(self, message: EventMessage) -> bool:
        destination = f"topic:{self._context}.EVENTS.{message.header.noun}.{message.header.verb}"
        return await self._peer.send(destination, message, within=_REPLY_WITHIN_SECONDS)


@asynccontextmanager
async def session_bus(broker: Broker, scheme: str, context: str) -> AsyncIterator[Bus]:
    """The parties by a session of an adapter."""
    named = {"client_id": f"{context}-peer", "user": USER, "password": PASSWORD}
    async with broker_peer(broker.url(scheme), **named) as peer:
        await peer.hear(f"topic:{context}.{HEARD}.TroubleTickets", durable="events")
        await peer.serve(f"queue:{context}.{OWNER}.WorkRequests.create", source=OWNER)
        yield _SessionBus(broker, context, peer)
