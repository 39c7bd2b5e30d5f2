"""Partners and mailboxes of clients as models: what they take, what they remember, and how they behave.

A model keeps its promises even where it behaves badly: it knows a message again by Source and MessageID, takes it once,
and says the same of it every time. So what it counts tells what the hub did.
"""

import random
from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Transport
from cimcare.exchange.partners import Partner, Replies
from cimcare.exchange.sending import Sent
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from tests.simulation.messages import Sendable, a_reply
from tests.simulation.plan import Mood
from tests.simulation.trace import ViolationError

__all__ = ["Behaviour", "Known", "PeerModel", "Response", "Way", "sent_without_answer"]

_XML = "application/xml; charset=utf-8"


class Way(Enum):
    """How a message that a model refuses for good is refused."""

    REPLY = auto()
    FAULT = auto()
    GONE = auto()


class Known(msgspec.Struct):
    """A message that a model has met, at `met_at` virtual seconds for the first time, as `raw`.

    `arrivals` are the numbers of its arrivals among all at this model; `taken` is the one by which it took effect, None
    without any. `refused` tells how it is refused for good. `later` are the replies that it gets later, in order, once
    they are made; `is_answering` while they are under way. `begun` is the first of them where it is the answer itself.
    """

    message: Sendable
    raw: bytes
    met_at: float
    arrivals: list[int]
    taken: int | None = None
    refused: Way | None = None
    later: list[ResponseMessage] = []
    is_answering: bool = False
    begun: ResponseMessage | None = None


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is like. See `plan.Peer`."""

    moods: tuple[tuple[float, Mood], ...] = ()
    refuses: float = 0.0
    bare: float = 0.0
    begun: float = 0.0
    replies: Replies = Replies.AT_ONCE


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What a model does with one arrival: `sent` after so many seconds, or nothing ever."""

    after: float
    sent: Sent | None


class PeerModel:
    """One destination.

    Args:
        name: What the trace calls it.
        source: Header/Source of what it says.
        chance: Its own.
        clock: Now, in the messages.
        time: Now, in virtual seconds.
        new_id: Identifiers of its replies.
        reply_later: Told of a request that it is to answer later, whose reply may overtake the receipt.
    """

    def __init__(
        self,
        name: str,
        source: str,
        behaviour: Behaviour,
        *,
        chance: random.Random,
        clock: Callable[[], datetime],
        time: Callable[[], float],
        new_id: Callable[[], str],
        reply_later: Callable[["PeerModel", Known], None],
    ) -> None:
        self.name = name
        self.source = source
        self.known: dict[tuple[str, str], Known] = {}
        self.turned_away: set[str] = set()
        """MessageIDs of messages that it has answered with FAILED for being busy."""
        self.heals = False
        self._behaviour = behaviour
        self._chance = chance
        self._clock = clock
        self._time = time
        self._new_id = new_id
        self._reply_later = reply_later
        self._arrivals = 0

    @property
    def mood(self) -> Mood:
        """How it behaves now."""
        if self.heals:
            return Mood.WELL
        return next((mood for until, mood in self._behaviour.moods if self._time() < until), Mood.WELL)

    def respond(self, message: Sendable, raw: bytes, partner: Partner) -> Response:
        """What comes of a message that arrives."""
        mood, chance, deadline = self.mood, self._chance, partner.deadline.total_seconds()
        if mood is Mood.DOWN:
            return Response(
                after=chance.uniform(0, 0.1), sent=_sent(raw, failure="connection refused", is_reached=False)
            )
        if mood is Mood.BUSY:
            return Response(after=chance.uniform(0, 0.3), sent=self._busy(message, raw))
        if mood is Mood.BROKEN:
            return Response(after=chance.uniform(0, 0.3), sent=_sent(raw, status=500, failure="fault: out of order"))
        if mood is Mood.HANGING:
            if chance.random() < 0.5:
                self._take(message, raw)
            return Response(after=deadline, sent=None)
        sent = self._answer(message, raw, self._take(message, raw))
        if mood is Mood.FORGETFUL and chance.random() < 0.7:
            return Response(after=deadline, sent=None)
        return Response(after=chance.uniform(0, deadline * 1.5 if mood is Mood.SLOW else 0.3), sent=sent)

    def _take(self, message: Sendable, raw: bytes) -> Known:
        """Know the message; the first time decides what is said of it ever after."""
        source, message_id = message.header.source or "", message.header.message_id or ""
        if not message_id:
            raise ViolationError(f"G3: {self.name} got {message.header.verb} {message.header.noun} without MessageID")
        self._arrivals += 1
        known = self.known.get((source, message_id))
        if known is None:
            known = self.known[source, message_id] = Known(message=message, raw=raw, met_at=self._time(), arrivals=[])
            if not self.heals and self._chance.random() < self._behaviour.refuses:
                known.refused = self._chance.choice(tuple(Way))
            else:
                known.taken = self._arrivals
        elif known.raw != raw:
            raise ViolationError(
                f"G3: {self.name} got other content under MessageID {message_id} of {source} than before"
            )
        known.arrivals.append(self._arrivals)
        if self.heals and known.taken is None:  # whatever made it refuse the message has been mended
            known.taken = self._arrivals
        return known

    def _answer(self, message: Sendable, raw: bytes, known: Known) -> Sent:
        if known.taken is not None:
            return self._accept(message, raw, known)
        if known.refused is Way.FAULT:
            return _sent(raw, status=400, failure="fault: not understood", blames_us=True)
        if known.refused is Way.GONE:
            return _sent(raw, status=410, failure="HTTP status 410")
        return self._replied(message, raw, Result.FAILED, "2.15")

    def _accept(self, message: Sendable, raw: bytes, known: Known) -> Sent:
        if isinstance(message, RequestMessage) and self._behaviour.replies is Replies.LATER:
            if not known.is_answering:
                known.is_answering = True
                if not known.later and self._chance.random() < self._behaviour.begun:
                    known.begun = self._reply(message, Result.PARTIAL, "0.1")
                self._reply_later(self, known)
            if known.begun is not None:
                return _sent(raw, status=200, reply=known.begun, received=render_message(known.begun))
            return self._acknowledged(message, raw, "0.3")
        if isinstance(message, RequestMessage):
            return self._replied(message, raw, Result.OK, "0.0")
        return self._acknowledged(message, raw, "0.0")

    def _acknowledged(self, message: Sendable, raw: bytes, code: str) -> Sent:
        if self._chance.random() < self._behaviour.bare:
            return _sent(raw, status=202)
        return self._replied(message, raw, Result.OK, code)

    def _busy(self, message: Sendable, raw: bytes) -> Sent:
        if self._chance.random() < 0.5:
            return _sent(raw, status=503, failure="fault: too busy")
        self.turned_away.add(message.header.message_id or "")
        return self._replied(message, raw, Result.FAILED, "5.1")

    def _replied(self, message: Sendable, raw: bytes, result: Result, code: str) -> Sent:
        reply = self._reply(message, result, code)
        return _sent(raw, status=200, reply=reply, received=render_message(reply))

    def _reply(self, message: Sendable, result: Result, code: str) -> ResponseMessage:
        return a_reply(
            message, source=self.source, message_id=self._new_id(), now=self._clock(), result=result, codes=(code,)
        )


def sent_without_answer(raw: bytes, failure: str) -> Sent:
    """An attempt of which nothing came back."""
    return _sent(raw, failure=failure, is_reached=False)


def _sent(
    raw: bytes,
    *,
    status: int = 0,
    received: bytes = b"",
    reply: ResponseMessage | None = None,
    failure: str = "",
    blames_us: bool = False,
    is_reached: bool = True,
) -> Sent:
    return Sent(
        transport=Transport.REST_XML,
        sent=raw,
        content_type=_XML,
        status=status,
        received=received,
        received_type=_XML if received else "",
        reply=reply,
        failure=failure,
        blames_us=blames_us,
        is_reached=is_reached,
    )
