"""Drill messages: how one is marked, how one is built, and what is kept of one.

Pure. The mark is `Header/Property` with the name `cimcare.drill`, whose value is the number of the drill. Whoever knows
it answers as he would answer the message, and does nothing of what it asks. An answer need not carry the mark: it is
linked by the identifier, which begins with `drill-` so that people recognise it in logs of those who drop properties.

Our own profile; the standard has no message for it. Decision 0095.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from cimcare.exchange.partners import Drill, Partner, Wire
from cimcare.exchange.ports import Collection
from cimcare.model.envelope import (
    EventMessage,
    Header,
    IDKind,
    MessageProperty,
    ObjectID,
    Payload,
    Request,
    RequestMessage,
)
from cimcare.model.identity import MRID, MessageID, Name
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb

__all__ = [
    "DRILLED",
    "DRILLS",
    "HEARD",
    "PREFIX",
    "PROPERTY",
    "REPLIES",
    "Drilled",
    "Ending",
    "Heard",
    "LaterReply",
    "build_drill",
    "drill_of",
    "is_marked",
    "new_drill_id",
]

PROPERTY = "cimcare.drill"
"""Name of the Header/Property that marks a drill."""

PREFIX = "drill-"
"""How the MessageID of a drill begins. By itself it marks nothing: a partner may number its messages so by chance."""

_NOWHERE = "DRILL"
_WORDS = "DRILL of cimcare, no real ticket: nobody is out, nothing is to be done"


class Ending(StrEnum):
    """What became of a drill.

    `answered`: the partner was there and answered, whatever it said. `failed`: no answer, or none that could be read.
    `spared`: it was not sent. `under-way`: nobody has heard of its end.
    """

    ANSWERED = "answered"
    FAILED = "failed"
    SPARED = "spared"
    UNDER_WAY = "under-way"


class Drilled(msgspec.Struct, frozen=True, kw_only=True):
    """One drill of one partner.

    `kind` is what was done, `seconds` there and back. `failure` says why there was no answer, or why it was spared, and
    `code` is the row of the error table. Of an answer: its `result` and `codes`, what it said (`words`), its `context`
    and `revision` as texts, whether the mark came back (`is_known`), and what is wrong with it by our schemas
    (`breach`). `sent_context` is the Context that was sent, empty for none. `clock_seconds` is by how much the clock of
    the partner is ahead, None where its answer has no instant. `certificate_ends_at` is the end of the certificate that
    it showed, `tls_failure` why that was not accepted.
    """

    id: str
    partner: str
    kind: Drill
    began_at: datetime
    ending: Ending = Ending.UNDER_WAY
    seconds: float | None = None
    failure: str = ""
    code: str = ""
    result: str = ""
    codes: tuple[str, ...] = ()
    words: str = ""
    sent_context: str = ""
    context: str = ""
    revision: str = ""
    is_known: bool = False
    breach: str = ""
    clock_seconds: float | None = None
    certificate_ends_at: datetime | None = None
    tls_failure: str = ""


class LaterReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply to a drill that came in an exchange of its own, until whoever waits for it has taken it."""

    received_at: datetime
    result: str
    codes: tuple[str, ...]
    words: str
    context: str
    revision: str
    timestamp: datetime | None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Drills of others that came here: how many, when last, and what was said to that one."""

    count: int
    last_at: datetime
    result: str


DRILLS: Collection[Drilled] = Collection("hub.drills", Drilled)
"""Every drill that was sent, under its number, until retention removes it."""

DRILLED: Collection[Drilled] = Collection("hub.drilled", Drilled)
"""The last drill of each partner, under its name; while it is under way nobody begins another."""

REPLIES: Collection[LaterReply] = Collection("hub.drill-replies", LaterReply)
"""Later replies to drills, under the number of the drill."""

HEARD: Collection[Heard] = Collection("hub.drills-heard", Heard)
"""Drills that came from partners, under their names; those of all others together under `others`."""


def new_drill_id(identifier: str) -> str:
    """Number of a drill, which is also its MessageID."""
    return f"{PREFIX}{identifier}"


def is_marked(properties: Iterable[MessageProperty]) -> bool:
    """Whether a message with these properties is a drill."""
    return any(each.name == PROPERTY for each in properties)


def drill_of(partner: Partner) -> Drill:
    """What a drill of this partner is, where its setting leaves that to us: nothing that could be taken for real."""
    if partner.drill is not Drill.AUTO:
        return partner.drill
    return Drill.GET if partner.owns and partner.wire is not Wire.WEBHOOK else Drill.CONNECT


def build_drill(
    partner: Partner, drill_id: str, *, source: str, context: str, now: datetime
) -> RequestMessage | EventMessage:
    """The message of a drill.

    A `get` asks for one object that cannot be there. A `ticket` is created where the partner owns tickets, and told of
    as created where it does not.

    Args:
        partner: Where it goes; `drill_of` it is `get` or `ticket`.
        drill_id: Number of the drill.
        source: Header/Source of who speaks.
        context: Header/Context; empty for none.
        now: Instant.
    """
    owns_tickets = Noun.TROUBLE_TICKETS in partner.owns
    is_get = drill_of(partner) is Drill.GET
    verb = Verb.GET if is_get else Verb.CREATE if owns_tickets else Verb.CREATED
    noun = partner.owns[0] if is_get and partner.owns and not owns_tickets else Noun.TROUBLE_TICKETS
    header = Header(
        verb=verb,
        noun=noun.value,
        revision="1",
        context=context or None,
        timestamp=now,
        source=source,
        message_id=MessageID(drill_id),
        comment=_WORDS,
        property=(MessageProperty(name=PROPERTY, value=drill_id),),
    )
    if is_get:
        absent = ObjectID(value=drill_id.removeprefix(PREFIX), kind=IDKind.uuid)
        return RequestMessage(header=header, request=Request(id=(absent,)))
    ticket = TroubleTicket(
        mrid=MRID(drill_id.removeprefix(PREFIX)),
        comment=_WORDS,
        date_time_of_report=now,
        type=_NOWHERE,
        service_location=ServiceLocationIdentity(names=(Name(name=_NOWHERE),)),
    )
    payload = Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),))
    if verb is Verb.CREATE:
        return RequestMessage(header=header, payload=payload)
    return EventMessage(header=header, payload=payload)
