"""Partners: the systems beyond the wire, how each is reached, and how patient one is with it.

A partner plays a role of the reference model in place of the built-in system, owns nouns, listens to events, or all of
these. Whoever subscribes with an address of his own is a partner that only listens.
"""

from datetime import timedelta
from enum import StrEnum

import msgspec

from cimcare.model.nouns import Noun, Role

__all__ = ["BROKER", "DIRECT", "Drill", "Edition", "Forward", "Partner", "Replies", "Retry", "Tls", "Wire"]

DIRECT = "reply"
"""Name of the destination of replies that go to the ReplyAddress of somebody who is no partner."""

BROKER = "broker"
"""First word of the destination of what came from a broker and could not be taken in; that of the broker follows."""


class Wire(StrEnum):
    """How a partner is spoken to: generic or strongly typed SOAP, plain envelope over HTTP, signed webhook, or JMS."""

    SOAP = "soap"
    SOAP_TYPED = "soap-typed"
    REST = "rest"
    WEBHOOK = "webhook"
    JMS = "jms"


class Edition(StrEnum):
    """Which namespace a partner's envelope is in: that of edition 1, or that of its late drafts, still met in tools."""

    E2013 = "2013"
    E2013_DRAFT = "2013-draft"


class Forward(StrEnum):
    """How a request gets to the partner that owns its noun.

    `through`: it is passed on while its sender waits. `queue`: its sender gets a receipt (0.3) at once, and it is
    delivered like an event; a `get` is always passed through.
    """

    THROUGH = "through"
    QUEUE = "queue"


class Replies(StrEnum):
    """When a partner answers requests: in the same exchange, or later to our own address."""

    AT_ONCE = "at-once"
    LATER = "later"


class Drill(StrEnum):
    """What a drill of a partner is: how it is found out that it answers, without anything that is meant.

    `auto`: `get` where it owns nouns, else `connect`. `get`: it is asked for an object that cannot be there. `ticket`:
    a trouble ticket that is marked as a drill; for partners that know the mark. `connect`: a connection, TLS included,
    over which nothing is sent. `none`: nothing.
    """

    AUTO = "auto"
    GET = "get"
    TICKET = "ticket"
    CONNECT = "connect"
    NONE = "none"


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When a delivery is tried again, and when it is given up.

    The n-th pause is `first * factor ** (n - 1)`, at most `most`, made shorter by up to the part `jitter` of it at
    random (0 to 1). A delivery is given up when it is older than `patience`, or was tried `attempts` times.
    """

    first: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    most: timedelta = timedelta(minutes=5)
    jitter: float = 0.3
    patience: timedelta = timedelta(hours=24)
    attempts: int = 1000


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Files in PEM for https: who is trusted (the machine's authorities if empty), and our own certificate and key."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """One partner.

    `source` is Header/Source of what it sends. `url` is the address of its generic service or of its webhook; of a
    strongly typed partner the address below which its services are. `parallel` deliveries are under way at once, and
    not more than `rate` are begun a second (0: no bound). `deadline` is for one answer, `reply_within` for a reply
    that is to come later. Payloads above `compress_above_bytes` are sent compressed (0: never). `secret_file` holds the
    key with which webhooks are signed. A `third_party` is outside of the utility: what it is told is cut to what
    customers consent to. `drill` says how it is found out that it answers.

    Of a partner behind a broker `url` is the destination of requests, and of events and replies too where `event_url`
    is empty; `{noun}` and `{verb}` in them stand for those of the message. `broker` is the broker's name, and
    `reply_to` the destination to which it sends later replies.
    """

    name: str
    wire: Wire = Wire.SOAP
    url: str
    source: str
    role: Role | None = None
    owns: tuple[Noun, ...] = ()
    edition: Edition = Edition.E2013
    soap_12: bool = False
    as_json: bool = False
    compress_above_bytes: int = 0
    forward: Forward = Forward.THROUGH
    replies: Replies = Replies.AT_ONCE
    deadline: timedelta = timedelta(seconds=30)
    reply_within: timedelta = timedelta(hours=1)
    parallel: int = 4
    rate: float = 0.0
    retry: Retry = Retry()
    tls: Tls = Tls()
    secret_file: str = ""
    third_party: bool = False
    drill: Drill = Drill.AUTO
    broker: str = ""
    event_url: str = ""
    reply_to: str = ""

    @property
    def is_third_party(self) -> bool:
        """Whether it is outside of the utility; who plays the role always is."""
        return self.third_party or self.role is Role.THIRD_PARTY

    @property
    def takes_kept(self) -> bool:
        """Whether an event that was written here goes out as it was written: nothing of its payload has to be known."""
        is_plain = self.wire in (Wire.SOAP, Wire.JMS) or (self.wire in (Wire.REST, Wire.WEBHOOK) and not self.as_json)
        return is_plain and self.edition is Edition.E2013 and not self.compress_above_bytes and not self.is_third_party
