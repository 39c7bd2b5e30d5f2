"""A broker in memory, for tests of what is built on sessions: it keeps, hands out, forgets and fails as it is told."""

import asyncio
from collections.abc import Callable
from itertools import count

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
    parse_destination,
)

__all__ = ["MemoryBroker", "MemorySession", "a_place"]


def a_place(text: str) -> Destination:
    """A destination or pattern."""
    return parse_destination(text, patterns=True)


class _Consumer:
    def __init__(self, session: "MemorySession", destination: Destination, take: OnArrival, *, durable: str) -> None:
        self.session = session
        self.destination = destination
        self.take = take
        self.durable = durable

    async def close(self) -> None:
        if self in self.session.broker.consumers:
            self.session.broker.consumers.remove(self)


class MemoryBroker:
    """One broker. `sessions` are those that are open; `published` all that was confirmed."""

    def __init__(self) -> None:
        self.is_up = True
        self.deaf: set[str] = set()
        """Names of destinations whose consumers get nothing, though they were confirmed."""
        self.refuses: Callable[[Destination], str] = lambda _: ""
        """Code with which a message to this destination fails; empty if it does not."""
        self.sessions: list[MemorySession] = []
        self.consumers: list[_Consumer] = []
        self.published: list[tuple[Destination, BrokerMessage]] = []
        self.waiting: list[tuple[Destination, BrokerMessage]] = []
        self.durable: dict[str, tuple[Destination, list[tuple[Destination, BrokerMessage]]]] = {}
        self.selectors: dict[str, str] = {}
        """What consumers of a destination asked for, by its name."""
        self.opened = 0
        self._numbers = count(1)

    async def open_session(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        credentials: Credentials,
        tls: Tls,
        heart_beat: HeartBeat,
        within: float,
    ) -> "MemorySession":
        """As `OpenSession`."""
        del credentials, tls, heart_beat, within
        if not self.is_up or address.host == "away":
            raise BrokerError("NET-120", str(address), "could not connect (Connection refused)", "a broker")
        self.opened += 1
        session = MemorySession(self, address, client_id)
        self.sessions.append(session)
        return session

    def break_off(self) -> None:
        """Lose all sessions; what was not acknowledged is handed out again."""
        for session in list(self.sessions):
            session.end("the connection broke off")

    def put(self, text: str, message: BrokerMessage) -> None:
        """A message from somebody else."""
        self.deliver(parse_destination(text), message)

    def sent_to(self, text: str) -> list[BrokerMessage]:
        """What was published to a destination."""
        return [message for destination, message in self.published if str(destination) == str(parse_destination(text))]

    def deliver(self, destination: Destination, message: BrokerMessage) -> None:
        """Hand it out, or keep it."""
        message = msgspec.structs.replace(message, message_id=message.message_id or f"ID:{next(self._numbers)}")
        if destination.kind is DestinationKind.TOPIC:
            for pattern, kept in self.durable.values():
                if pattern.matches(destination):
                    kept.append((destination, message))
        else:
            self.waiting.append((destination, message))
        self.hand_out()

    def hand_out(self) -> None:
        """All that somebody consumes."""
        for item in list(self.waiting):
            consumer = next((each for each in self.consumers if each.destination.matches(item[0])), None)
            if consumer is not None and consumer.destination.name not in self.deaf:
                self.waiting.remove(item)
                consumer.session.hand_over(consumer, *item)
        for consumer in self.consumers:
            if consumer.durable and consumer.destination.name not in self.deaf:
                kept = self.durable[consumer.durable][1]
                items, kept[:] = list(kept), []
                for item in items:
                    consumer.session.hand_over(consumer, *item)


class MemorySession:
    """One connection to it."""

    def __init__(self, broker: MemoryBroker, address: BrokerAddress, client_id: str) -> None:
        self.broker = broker
        self.address = address
        self.client_id = client_id
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self.unsettled: dict[int, tuple[_Consumer, Destination, BrokerMessage]] = {}
        self.acknowledged: list[BrokerMessage] = []
        self._tokens = count(1)

    def hand_over(self, consumer: _Consumer, destination: Destination, message: BrokerMessage) -> None:
        token = next(self._tokens)
        if not destination.is_temporary:
            self.unsettled[token] = (consumer, destination, message)
        consumer.take(Arrived(message=message, destination=destination, token=token))

    async def publish(self, destination: Destination, message: BrokerMessage, *, within: float) -> None:
        del within
        self._require()
        await asyncio.sleep(0)
        code = self.broker.refuses(destination)
        if code == "NET-123":
            self.end("the connection broke off")
        self._require()
        if code:
            raise BrokerError(code, str(self.address), "not confirmed", "a confirmation")
        self.broker.published.append((destination, message))
        self.broker.deliver(destination, msgspec.structs.replace(message, message_id=""))

    async def subscribe(
        self,
        destination: Destination,
        on_arrival: OnArrival,
        *,
        durable: str = "",
        selector: str = "",
        prefetch: int = 50,
        within: float = 30.0,
    ) -> _Consumer:
        del prefetch, within
        self._require()
        self.broker.selectors[destination.name] = selector
        if code := self.broker.refuses(destination):
            raise BrokerError(code, str(self.address), f"no consumer for {destination}", "another destination")
        consumer = _Consumer(self, destination, on_arrival, durable=durable)
        if durable:
            self.broker.durable.setdefault(durable, (destination, []))
        self.broker.consumers.append(consumer)
        asyncio.get_running_loop().call_soon(self.broker.hand_out)
        return consumer

    async def open_reply_queue(self, on_arrival: OnArrival, *, within: float = 30.0) -> Destination:
        del within
        name = f"reply{self.broker.opened}-{next(self._tokens)}"
        destination = Destination(kind=DestinationKind.QUEUE, name=name, is_temporary=True)
        self.broker.consumers.append(_Consumer(self, destination, on_arrival, durable=""))
        return destination

    async def acknowledge(self, arrived: Arrived) -> None:
        self._require()
        assert isinstance(arrived.token, int)
        if self.unsettled.pop(arrived.token, None) is not None:
            self.acknowledged.append(arrived.message)

    async def close(self) -> None:
        self.end("closed by us")

    def end(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(BrokerError("NET-123", str(self.address), reason, "a connection", is_gone=True))
        self.broker.sessions.remove(self)
        self.broker.consumers = [each for each in self.broker.consumers if each.session is not self]
        back = [(consumer, each, message) for consumer, each, message in self.unsettled.values()]
        self.unsettled.clear()
        for consumer, destination, message in reversed(back):
            again = msgspec.structs.replace(message, redeliveries=message.redeliveries + 1)
            kept = self.broker.durable[consumer.durable][1] if consumer.durable else self.broker.waiting
            kept.insert(0, (destination, again))
        self.broker.hand_out()

    def _require(self) -> None:
        if self.lost.done():
            raise self.lost.result()
