"""A party at a broker, in Python: asks, tells, hears, owns. It speaks by the session of any adapter, and when that is
lost it opens another one and goes on, as a partner in the field would.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.partners import Tls
from cimcare.model.envelope import (
    AnyMessage,
    Header,
    IDKind,
    ObjectID,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.verbs import Verb
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    Arrived,
    BrokerError,
    BrokerMessage,
    Credentials,
    Destination,
    HeartBeat,
    Session,
    parse_address,
    parse_destination,
)

__all__ = ["BrokerPeer", "broker_peer"]

_AGAIN_SECONDS = 0.1
_WITHIN_SECONDS = 5.0


class _Consumed(msgspec.Struct, frozen=True):
    """What is consumed. A message is settled at the session that brought it."""

    destination: Destination
    durable: str
    take: Callable[[Session, Arrived], Awaitable[None]]


class BrokerPeer:
    """A party. `heard` is what came on its subscriptions, `served` each request that came, repeats too."""

    def __init__(self, url: str, *, client_id: str, user: str = "", password: str = "") -> None:
        self._address = parse_address(url)
        self._client_id = client_id
        self._credentials = Credentials(user=user, password=password)
        self._consumed: list[_Consumed] = []
        self._waiting: dict[str, asyncio.Future[Arrived]] = {}
        self._session: Session | None = None
        self._replies: Destination | None = None
        self._there = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[tuple[str, str], bytes] = {}
        self.news = asyncio.Condition()
        self.heard: list[Arrived] = []
        self.served: list[RequestMessage] = []

    # ------------------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Keep a session open, until cancelled."""
        while True:
            try:
                self._session = session = await open_session(
                    self._address,
                    client_id=self._client_id,
                    credentials=self._credentials,
                    tls=Tls(),
                    heart_beat=HeartBeat(),
                    within=_WITHIN_SECONDS,
                )
            except BrokerError:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            try:
                self._replies = await session.open_reply_queue(self._take_reply, within=_WITHIN_SECONDS)
                for one in self._consumed:
                    await self._attach(session, one)
                self._there.set()
                await asyncio.shield(session.lost)
            except BrokerError:
                await asyncio.sleep(_AGAIN_SECONDS)
            finally:
                self._there.clear()
                await session.close()

    async def _attach(self, session: Session, one: _Consumed) -> None:
        def take(arrived: Arrived) -> None:
            self._start(self._settled(one.take(session, arrived)))

        await session.subscribe(one.destination, take, durable=one.durable, within=_WITHIN_SECONDS)

    @staticmethod
    async def _settled(work: Awaitable[None]) -> None:
        with contextlib.suppress(BrokerError):  # it comes again then
            await work

    async def _at_broker(self) -> Session:
        await self._there.wait()
        assert self._session is not None
        return self._session

    async def _consume(self, one: _Consumed) -> None:
        session = await self._at_broker()
        self._consumed.append(one)
        await self._attach(session, one)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------------------------------------- asking

    async def ask(self, destination: str, message: AnyMessage, *, within: float = 20, **sent: object) -> Arrived | None:
        """Send a request and return what came back; None if nothing did in time, or if there was no broker.

        Args:
            destination: Where to.
            message: What.
            within: Seconds for all of it.
            sent: Other fields of the broker's message, in place of those that it has.
        """
        token = str(uuid4())
        answer = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                session = await self._at_broker()
                fields = {**_fields(message), "correlation_id": token, "reply_to": self._replies, **sent}
                await session.publish(parse_destination(destination), BrokerMessage(**fields), within=within)
                return await answer
        except (TimeoutError, BrokerError):
            return None
        finally:
            del self._waiting[token]

    def _take_reply(self, arrived: Arrived) -> None:
        answer = self._waiting.get(arrived.message.correlation_id)
        if answer is not None and not answer.done():
            answer.set_result(arrived)

    async def send(self, destination: str, message: AnyMessage, *, within: float = 20, **sent: object) -> bool:
        """Publish a message; whether the broker has confirmed it. Arguments as of `ask`."""
        try:
            async with asyncio.timeout(within):
                session = await self._at_broker()
                whole = BrokerMessage(**{**_fields(message), **sent})
                await session.publish(parse_destination(destination), whole, within=within)
        except (TimeoutError, BrokerError):
            return False
        return True

    # ------------------------------------------------------------------------------------------------- hearing

    async def hear(self, destination: str, *, durable: str = "") -> None:
        """Hear what comes at a destination from now on."""
        await self._consume(_Consumed(parse_destination(destination, patterns=True), durable, self._take_heard))

    async def _take_heard(self, session: Session, arrived: Arrived) -> None:
        async with self.news:
            self.heard.append(arrived)
            self.news.notify_all()
        await session.acknowledge(arrived)

    async def until_heard(self, count: int, *, within: float = 30) -> list[Arrived]:
        """Wait until so many have been heard."""
        async with asyncio.timeout(within), self.news:
            await self.news.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    # ------------------------------------------------------------------------------------------------- owning

    async def serve(self, destination: str, *, source: str) -> None:
        """Answer the requests at a destination with OK. What comes again gets the same answer."""

        async def take(session: Session, arrived: Arrived) -> None:
            request = parse_message(arrived.message.body)
            assert isinstance(request, RequestMessage)
            key = str(request.header.source), str(request.header.message_id)
            self.served.append(request)
            reply = BrokerMessage(
                body=self._answers.setdefault(key, render_message(_reply_to(request, source))),
                correlation_id=arrived.message.correlation_id or arrived.message.message_id,
                properties={"Verb": "reply", "Noun": request.header.noun},
            )
            if arrived.message.reply_to is not None:
                await session.publish(arrived.message.reply_to, reply, within=_WITHIN_SECONDS)
            await session.acknowledge(arrived)

        await self._consume(_Consumed(parse_destination(destination, patterns=True), "", take))


def _fields(message: AnyMessage) -> dict[str, object]:
    header = getattr(message, "header", None) or Header(verb=Verb.REPLY, noun="")
    named = {"Verb": header.verb.value, "Noun": header.noun, "Source": header.source, "Context": header.context}
    return {"body": render_message(message), "properties": {name: value for name, value in named.items() if value}}


def _reply_to(request: RequestMessage, source: str) -> ResponseMessage:
    header = request.header
    roots = request.payload.content if request.payload is not None else ()
    items = [one for root in roots for one in getattr(root, root.__struct_fields__[0], ()) if hasattr(one, "mrid")]
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun=header.noun,
            source=source,
            message_id=MessageID(str(uuid4())),
            correlation_id=CorrelationID(str(header.correlation_id or header.message_id)),
        ),
        reply=Reply(
            result=Result.OK,
            error=(ReplyError(code="0.0"),),
            id=tuple(ObjectID(value=one.mrid, kind=IDKind.uuid) for one in items if one.mrid),
        ),
    )


@asynccontextmanager
async def broker_peer(url: str, *, client_id: str, user: str = "", password: str = "") -> AsyncIterator[BrokerPeer]:
    """A party with a session."""
    peer = BrokerPeer(url, client_id=client_id, user=user, password=password)
    running = asyncio.create_task(peer.run())
    try:
        yield peer
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
