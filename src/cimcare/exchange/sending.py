"""What sending a message to a partner came to, and what follows: delivered, awaited, tried again or given up.

Pure. Source: IEC 61968-100:2013, what a client must be ready for; guarantees G3 and G5.
"""

import math
import random
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Delivery, Priority
from cimcare.exchange.partners import Partner, Retry
from cimcare.model.envelope import EventMessage, FaultMessage, RequestMessage, ResponseMessage, Result

__all__ = ["Circuit", "Next", "Sender", "Sent", "Verdict", "grown_pause", "judge_attempt", "pause_of"]

_LATER_CODES = frozenset({"3.2", "5.1", "5.2", "5.3", "7.1"})
_LATER_GROUP = "4."
"""Codes of a FAILED that the same message may not get another time: too busy, not attempted, failing now, aborted."""

_FINAL_STATUSES = frozenset({410, 413, 414, 415, 422, 431})
"""HTTP statuses that another attempt will not change: they are about this message, or say that it is for good."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a message.

    `sent` and `received` are the bytes on the wire, `status` the HTTP status (0 without an answer). `reply` is what
    the partner answered, None for a bare acknowledgement. `failure` says in words why there is no answer that could
    be read: no connection, no answer in time, something that is no message, or a fault (then `fault` has its content
    where it had some, and `blames_us` tells whether the partner holds the message itself to be wrong); `code` is its
    row in the error table. `is_reached` is False where nobody was there to answer. `retry_after_seconds` is how long
    the partner wants to be left alone (0.0: it did not say). `dated_at` is what its clock
    showed when it answered, to the second; None where the transport does not say.
    """

    transport: Transport
    sent: bytes
    content_type: str
    status: int = 0
    received: bytes = b""
    received_type: str = ""
    reply: ResponseMessage | None = None
    failure: str = ""
    code: str = ""
    fault: FaultMessage | None = None
    blames_us: bool = False
    is_reached: bool = True
    retry_after_seconds: float = 0.0
    dated_at: datetime | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the partner holds the message to be wrong, so that the same one would fail another time too."""
        return bool(self.failure) and (self.blames_us or self.status in _FINAL_STATUSES)


class Sender(Protocol):
    """Sends one message to one partner and waits for the answer. Raises nothing."""

    async def send(
        self,
        partner: Partner,
        message: RequestMessage | EventMessage | ResponseMessage,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        """Send the message to the partner, or to `address` where one is given.

        `kept` is the message as an envelope document that was written here, where it is at hand: it goes out as it is
        where the partner takes that form. Without it the message is written anew. An event for a partner that
        `takes_kept` may come with its header alone. `priority` is how urgent it is; None where only its content says.
        """
        ...


class Next(StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    AWAIT = "await"
    RETRY = "retry"
    BURY = "bury"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of it, and why, in words for an operator."""

    next: Next
    reason: str = ""


def judge_attempt(sent: Sent, *, awaits_reply: bool) -> Verdict:
    """What follows from an attempt by itself; whether patience is at its end is `pause_of`'s.

    What is wrong with the message is final. What is wrong with the address or with our standing there (a redirect, 401,
    403, 404, 405) is tried again: somebody is going to mend it, and whatever waits then leaves by itself, in order.

    Args:
        sent: The attempt.
        awaits_reply: Whether a request was sent whose reply is to come later.
    """
    if sent.failure:
        return Verdict(next=Next.BURY if sent.is_refused else Next.RETRY, reason=sent.failure)
    if sent.reply is None:
        return Verdict(next=Next.AWAIT if awaits_reply else Next.DELIVERED)
    reply = sent.reply.reply
    if reply.result is not Result.FAILED:
        return Verdict(next=Next.AWAIT if awaits_reply else Next.DELIVERED)
    codes = [error.code for error in reply.error]
    told = "; ".join(f"{error.code} {error.details or error.reason or ''}".strip() for error in reply.error)
    is_passing = bool(codes) and all(code in _LATER_CODES or code.startswith(_LATER_GROUP) for code in codes)
    return Verdict(next=Next.RETRY if is_passing else Next.BURY, reason=f"FAILED: {told or 'no code'}")


def pause_of(
    retry: Retry, delivery: Delivery, *, now: datetime, chance: random.Random, at_least: timedelta = timedelta()
) -> timedelta | None:
    """How long to wait before the next attempt; None if the delivery is to be given up.

    Attempts and age count anew from when an operator sent the delivery again. `at_least` is what the partner asks for;
    it gets that, but not more than the longest pause.
    """
    tries = delivery.attempts - delivery.attempts_before
    if tries >= retry.attempts or (delivery.attempts_before == 0 and now - delivery.created_at >= retry.patience):
        return None
    if delivery.attempts_before and tries * retry.most >= 2 * retry.patience:
        return None  # sent again by hand: as many pauses as patience has room for
    return max(grown_pause(retry, tries - 1, chance), min(at_least, retry.most))


def grown_pause(retry: Retry, steps: int, chance: random.Random) -> timedelta:
    """The pause behind this many others, each longer than the one before, at random a bit shorter."""
    return _grown(retry, max(steps, 0)) * (1 - retry.jitter * chance.random())


def _grown(retry: Retry, steps: int) -> timedelta:
    """`first * factor ** steps`, at most `most`, however large the numbers are."""
    if retry.first >= retry.most:
        return retry.most
    if not retry.first or retry.factor <= 1:
        return retry.first
    room = math.log(retry.most / retry.first, retry.factor)
    return retry.most if steps >= room else min(retry.first * retry.factor**steps, retry.most)


class Circuit:
    """Whether a partner is spared: after several failures in a row one probe at a time finds out whether it is back.

    Only silence opens it: whoever answers, be it with FAILED, is there.
    """

    def __init__(self, retry: Retry, *, opens_after: int = 5) -> None:
        self._retry = retry
        self._opens_after = opens_after
        self.failures = 0
        self.reason = ""
        self.next_probe_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the partner is spared."""
        return self.next_probe_at is not None

    def allows(self, wanted: int, *, now: datetime, under_way: int = 0) -> int:
        """How many deliveries may be begun now, while `under_way` others have no answer yet."""
        if self.next_probe_at is None:
            return wanted
        return min(wanted, max(1 - under_way, 0)) if now >= self.next_probe_at else 0

    def note(
        self,
        *,
        is_reached: bool,
        reason: str,
        now: datetime,
        chance: random.Random,
        at_least: timedelta = timedelta(),
    ) -> None:
        """Learn from an attempt. `at_least` is for how long the partner wants to be left alone, as in `pause_of`."""
        if is_reached:
            self.failures, self.reason, self.next_probe_at = 0, "", None
            return
        self.failures += 1
        self.reason = reason
        if self.failures >= self._opens_after:
            pause = grown_pause(self._retry, self.failures - self._opens_after, chance)
            self.next_probe_at = now + max(pause, min(at_least, self._retry.most))
