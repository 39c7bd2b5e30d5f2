"""Sends a storm by way of a JMS broker: each message at its instant to the queue of its noun and verb.

There is one session. Replies come to a temporary queue, and are known by JMSCorrelationID. Latency counts from the
instant of the message to its reply, as over HTTP. A session that is lost is opened again, once a second; what was under
way got no answer. Source: IEC 61968-100:2013, JMS binding.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

import msgspec

from cimcare.client.brokers import (
    Arrived,
    BrokerError,
    BrokerMessage,
    Credentials,
    Destination,
    HeartBeat,
    Session,
    Tls,
    open_session,
    parse_address,
    parse_destination,
)
from cimcare.storm.asking import Got
from cimcare.storm.judging import Outcome
from cimcare.storm.plan import Item, Plan
from cimcare.storm.sending import Pace, Sending
from cimcare.storm.tally import Group, Tally
from cimcare.storm.wording import Target, Wording

__all__ = ["BrokerAsking", "BrokerPlace", "BrokerSending"]

_AGAIN_SECONDS = 1.0
_WORDS = {
    Item.TICKET: ("create", "TroubleTickets"),
    Item.AGAIN: ("create", "TroubleTickets"),
    Item.CLOSE: ("close", "TroubleTickets"),
    Item.ASK_INCIDENT: ("get", "Incidents"),
    Item.ASK_TICKET: ("get", "TroubleTickets"),
}
_URGENT, _USUAL = 9, 4


class BrokerPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A broker, and where on it requests are put; `destination` has `{context}`, `{noun}` and `{verb}`."""

    address: str
    credentials: Credentials = Credentials()
    tls: Tls = Tls()
    destination: str = "queue:{context}.REQUESTS.{noun}.{verb}"

    def find(self, target: Target, verb: str, noun: str) -> Destination:
        """Destination of a request. Raises BrokerError NET-126."""
        filled = self.destination.replace("{context}", target.context).replace("{noun}", noun).replace("{verb}", verb)
        return parse_destination(filled, path="destination")

    async def open(self, within: float) -> Session:
        """A session of its own. Raises BrokerError."""
        return await open_session(
            parse_address(self.address),
            client_id="",
            credentials=self.credentials,
            tls=self.tls,
            heart_beat=HeartBeat(),
            within=within,
        )


def _message(target: Target, verb: str, noun: str, body: bytes, key: str, reply_to: Destination) -> BrokerMessage:
    properties = {"Verb": verb, "Noun": noun, "Source": target.source, "Context": target.context, "Revision": "1"}
    return BrokerMessage(body=body, correlation_id=key, reply_to=reply_to, priority=_USUAL, properties=properties)


class BrokerSending(Sending):
    """One storm on its way over a broker. `connections` of the pace does not count: there is one session."""

    def __init__(
        self, plan: Plan, wording: Wording, tally: Tally, *, target: Target, place: BrokerPlace, pace: Pace
    ) -> None:
        super().__init__(plan, wording, tally, url=target.url, tls=None, pace=pace)
        self._target, self._place = target, place
        self._destinations = {item: place.find(target, *words) for item, words in _WORDS.items()}
        self._session: Session | None = None
        self._replies: Destination | None = None
        self._asked: dict[str, tuple[int, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Sessions that are open."""
        return int(self._session is not None)

    async def reach(self) -> None:
        """Open the session. Raises BrokerError."""
        await self._open()
        self._keep(self._watch())

    async def close(self) -> None:
        """End the session; what is under way got no answer."""
        for key in list(self._asked):
            self._give_up(key, Outcome.BROKEN)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> None:
        session = await self._place.open(self._pace.timeout)
        self._replies = await session.open_reply_queue(self._take, within=self._pace.timeout)
        self._session = session

    async def _watch(self) -> None:
        """Open the session again whenever it is lost."""
        while True:
            assert self._session is not None
            await asyncio.shield(self._session.lost)
            self._session = None
            for key in list(self._asked):
                self._give_up(key, Outcome.BROKEN)
            while self._session is None:
                with contextlib.suppress(BrokerError):
                    await self._open()
                if self._session is None:
                    await asyncio.sleep(_AGAIN_SECONDS)

    def _start(self, number: int, now: float) -> None:
        if self._session is None or self._replies is None:
            self._settle(number, Outcome.UNREACHABLE, "no session")
            return
        if number not in self._again:
            self._tally.started(number, now - self._begin - self._plan.at[number] / self._pace.speed)
        self._tally.sent += 1
        key = f"{self._wording.name_prefix}-{number}"
        self._asked[key] = (number, now)
        self._keep(self._publish(self._session, self._replies, number, key))

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, session: Session, replies: Destination, number: int, key: str) -> None:
        item = Item(self._plan.kinds[number])
        message = _message(self._target, *_WORDS[item], self._wording.body(number), key, replies)
        if self._tally.group(number) is Group.HAZARD:
            message = msgspec.structs.replace(message, priority=_URGENT)
        try:
            await session.publish(self._destinations[item], message, within=self._pace.timeout)
        except BrokerError as error:
            self._give_up(key, Outcome.BROKEN if error.is_gone else Outcome.UNREACHABLE, error.code)

    def _take(self, arrived: Arrived) -> None:
        asked = self._asked.pop(arrived.message.correlation_id, None)
        if asked is not None:
            self._judged(asked[0], 200, b"", arrived.message.body)

    def _give_up(self, key: str, outcome: Outcome, reason: str = "") -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and not self._come_again(asked[0]):
            self._settle(asked[0], outcome, reason)

    def _sweep_once(self, now: float) -> None:
        for key, (_, since) in list(self._asked.items()):
            if now - since <= self._pace.timeout:
                break  # they stand in the order of their instants
            self._give_up(key, Outcome.TIMEOUT)


class BrokerAsking:
    """Asks by messages over a broker, a session for all questions. Use it as an asynchronous context manager."""

    def __init__(self, target: Target, place: BrokerPlace, *, timeout: float = 60.0) -> None:
        self._target, self._place, self._timeout = target, place, timeout
        self._session: Session | None = None
        self._replies: Destination | None = None
        self._waiting: dict[str, asyncio.Future[Got]] = {}

    async def __aenter__(self) -> "BrokerAsking":
        self._session = await self._place.open(self._timeout)
        self._replies = await self._session.open_reply_queue(self._take, within=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, body: bytes) -> Got:
        """The answer to a request for tickets; status 0 if there is none."""
        assert self._session is not None
        assert self._replies is not None
        key = f"PROOF-{id(body)}-{len(self._waiting)}"
        answer: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        message = _message(self._target, "get", "TroubleTickets", body, key, self._replies)
        destination = self._place.find(self._target, "get", "TroubleTickets")
        try:
            async with asyncio.timeout(self._timeout):
                await self._session.publish(destination, message, within=self._timeout)
                return await answer
        except (BrokerError, TimeoutError):
            return Got(0, b"")
        finally:
            self._waiting.pop(key, None)

    def _take(self, arrived: Arrived) -> None:
        answer = self._waiting.get(arrived.message.correlation_id)
        if answer is not None and not answer.done():
            answer.set_result(Got(200, arrived.message.body))
