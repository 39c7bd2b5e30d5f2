"""What every way of carrying a message has in common: open what came, render what goes back.

A channel is made for one message. It learns from what came how to answer: the version of SOAP, the names of a strongly
typed service, XML or JSON.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

import msgspec

from cimcare.codec.envelope import Glimpse
from cimcare.codec.limits import Limits
from cimcare.codec.values import Tree
from cimcare.errors import ERRORS, CimcareError, Finding
from cimcare.exchange.log import Transport
from cimcare.model.envelope import FaultMessage, ResponseMessage

__all__ = [
    "KEPT_OF_REFUSED_BYTES",
    "Answer",
    "Channel",
    "Opened",
    "Origin",
    "Receive",
    "Received",
    "RefusedError",
    "fault_status",
]


KEPT_OF_REFUSED_BYTES = 64 * 1024
"""How much is kept of what is too large to be kept."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response, or what corresponds to it.

    `retry_after_seconds` says when a busy server wants to be asked again; 0 says nothing. Without `is_kept` nothing of
    the message was kept, so whoever still has it may offer it again.
    """

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after_seconds: int = 0
    is_kept: bool = True


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A message out of what carried it, not yet judged.

    `glimpse` is what could be read of its header. `element` is the message in the standard form; None if it could not
    be brought into that, which `findings` then explain. Other findings are about the carrier: what was forgiven, or
    that operation and message do not belong together.
    """

    glimpse: Glimpse
    element: Tree | None
    findings: tuple[Finding, ...] = ()


class RefusedError(CimcareError):
    """What came was refused before a header could be read; it becomes a fault."""

    def __init__(self, finding: Finding, *, soap_code: str | None = None) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code
        self.soap_code = soap_code


class Channel(Protocol):
    """One message's way in and its answer's way out."""

    @property
    def transport(self) -> Transport:
        """How the message came, as far as is known."""
        ...

    @property
    def form(self) -> Hashable:
        """What shapes an answer: channels of equal forms answer the same in the same bytes."""
        ...

    def open(self, raw: bytes, limits: Limits, *, lenient: bool) -> Opened:
        """The message in `raw`.

        Raises:
            InputError: Not readable.
            RefusedError: Readable, but not to be served.
        """
        ...

    def render_reply(self, reply: ResponseMessage) -> Answer:
        """Response with a reply."""
        ...

    def render_fault(self, fault: FaultMessage, finding: Finding, *, soap_code: str | None = None) -> Answer:
        """Response with a fault. `finding` decides the status and the side at fault."""
        ...


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where at a broker a message came from.

    `place` is its destination there, such as `jms:queue:NAME`. `key` is what the broker knows it by.
    `redeliveries` is how often it was handed out before, as far as that is known.
    """

    broker: str
    place: str
    key: str
    redeliveries: int = 0


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came in one HTTP request, or as one message of a broker.

    `refusal` says why reading it was given up; then `raw` is only the beginning, and `size_bytes` what was announced.
    `aside` says why it is not to be served although it may be readable; it is kept with all of its bytes. What has an
    `origin` and ends in a fault becomes a dead letter in the transaction that keeps it.
    """

    channel: Channel
    raw: bytes
    size_bytes: int
    content_type: str
    refusal: Finding | None = None
    aside: Finding | None = None
    origin: Origin | None = None


Receive = Callable[[Received], Awaitable[Answer]]
"""Takes what came, does what it asks, and gives the answer."""

_SPEAKS_FOR_ITSELF = frozenset({404, 405, 413, 415, 503})


def fault_status(finding: Finding, default: int) -> int:
    """HTTP status of a fault: the one of HTTP's own matters (size, method, media type, overload), else `default`."""
    status = ERRORS[finding.code].http
    return status if status in _SPEAKS_FOR_ITSELF else default
