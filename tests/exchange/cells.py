"""The whole table of exchanges: verb, noun and kind of message, each served as stated or refused with the stated code.

The table is written out here by hand, so that a change of the rules or of the dispatch tables cannot change it too.
"""

import msgspec

from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    Header,
    Message,
    Payload,
    Reply,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message

__all__ = [
    "BEFORE",
    "CELLS",
    "NOUNS",
    "REPLIES",
    "REPLY_CODES",
    "ROOTS",
    "SERVED_AND_ONE_OF_EACH_REFUSAL",
    "TYPED",
    "Cell",
    "build_cell",
    "wrong_about",
]

REQUESTS = """
                    create   change   cancel   close    delete   get      execute
TroubleTickets      OMS      OMS      OMS      OMS      OMS      OMS      CNV-116
Incidents           OMS      OMS      OMS      OMS      EXC-102  OMS      CNV-116
ServiceRequests     WMS      WMS      WMS      WMS      WMS      WMS      CNV-116
ServiceOrders       WMS      WMS      WMS      WMS      WMS      WMS      CNV-116
WorkRequests        WMS      WMS      WMS      WMS      WMS      WMS      CNV-116
CustomerAgreements  CIS      CIS      CIS      CIS      CIS      CIS      CNV-116
OperationSet        CNV-116  CNV-116  CNV-116  CNV-116  CNV-116  CNV-116  OMS
"""
"""A RequestMessage with a verb of requests: the system that serves it and answers, or the code of the refusal.

The operations of the OperationSet are of trouble tickets, so the owner of those answers.
"""

EVENTS = """
                    created      changed      canceled     closed       deleted      executed
TroubleTickets      OMS          OMS          OMS          OMS          CIS          CNV-116
Incidents           CIS          CIS          CIS          CIS          CIS          CNV-116
ServiceRequests     CIS          CIS          CIS          CIS          CIS          CNV-116
ServiceOrders       OMS          OMS          OMS          OMS          OMS          CNV-116
WorkRequests        CIS          CIS          CIS          CIS          CIS          CNV-116
CustomerAgreements  THIRD-PARTY  THIRD-PARTY  THIRD-PARTY  THIRD-PARTY  THIRD-PARTY  CNV-116
OperationSet        CNV-116      CNV-116      CNV-116      CNV-116      CNV-116      OMS
"""
"""An EventMessage with a verb of events: the first system that hears it, which answers. Operations are of tickets."""

REPLIES = "EXC-107"
"""A ResponseMessage with the verb reply, of any noun, to which there is no request."""

ODD_PAIR = "CNV-116"
"""execute and executed with a noun, and any other verb but reply with OperationSet: whatever the root element."""

WRONG_ROOT = "CNV-101"
"""A verb in a root element to which it does not belong, noun and verb fitting one another."""

REPLY_CODES = {"CNV-101": "2.9", "CNV-116": "2.5", "EXC-102": "2.9", "EXC-107": "2.15"}

NOUNS = [*(noun.value for noun in Noun), "OperationSet"]
ROOTS = ("RequestMessage", "ResponseMessage", "EventMessage")
EXECUTES = ("execute", "executed")

BEFORE: dict[str, tuple[Verb, ...]] = {
    "change": (Verb.CREATE,),
    "cancel": (Verb.CREATE,),
    "close": (Verb.CREATE,),
    "delete": (Verb.CREATE, Verb.CLOSE),
    "get": (Verb.CREATE,),
}
"""What must have happened to an object so that a verb can succeed."""


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Cells by noun and verb."""
    head, *rows = text.strip("\n").splitlines()
    verbs = head.split()
    return {noun: dict(zip(verbs, cells, strict=True)) for noun, *cells in (row.split() for row in rows)}


REQUEST_TABLE, EVENT_TABLE = read_table(REQUESTS), read_table(EVENTS)


def expected(noun: str, verb: str, root: str) -> str:
    """What the table says of a cell: a system or a code."""
    if (verb in EXECUTES) != (noun == "OperationSet") and verb != "reply":
        return ODD_PAIR
    if verb == "reply":
        return REPLIES if root == "ResponseMessage" else WRONG_ROOT
    own = {"RequestMessage": REQUEST_TABLE, "EventMessage": EVENT_TABLE, "ResponseMessage": {}}[root]
    return own.get(noun, {}).get(verb, WRONG_ROOT)


class Cell(msgspec.Struct, frozen=True):
    """A cell and what it says."""

    noun: str
    verb: str
    root: str

    @property
    def expected(self) -> str:
        return expected(self.noun, self.verb, self.root)

    @property
    def is_served(self) -> bool:
        return self.expected not in REPLY_CODES


CELLS = [Cell(noun, verb.value, root) for noun in NOUNS for verb in Verb for root in ROOTS]

SERVED_AND_ONE_OF_EACH_REFUSAL = [
    *(cell for cell in CELLS if cell.is_served),
    *{cell.expected: cell for cell in CELLS if not cell.is_served}.values(),
]
"""For ways in that differ from another one in their carrier alone."""

TYPED = [
    cell
    for cell in CELLS
    if cell.noun != "OperationSet"
    and cell.verb not in EXECUTES
    and (cell.verb in REQUEST_TABLE[cell.noun] or cell.verb in EVENT_TABLE[cell.noun])
    and cell.expected != WRONG_ROOT
]
"""What has an operation at a strongly typed service: nothing else can be said to it."""


def build_cell(cell: Cell, seed: int) -> AnyMessage:
    """The message of a cell: content as the verb has it, in the root asked for."""
    noun = Noun.TROUBLE_TICKETS if cell.noun == "OperationSet" else Noun(cell.noun)
    is_odd = expected(cell.noun, cell.verb, cell.root) == ODD_PAIR
    sample = build_message(noun, Verb.CREATE if is_odd else Verb(cell.verb), seed=seed)
    assert not isinstance(sample, Message)
    header = msgspec.structs.replace(
        getattr(sample, "header", None) or Header(verb=Verb.GET, noun=cell.noun),
        verb=Verb(cell.verb),
        noun=cell.noun,
        message_id=MessageID(f"cell {cell.noun} {cell.verb} {cell.root} {seed}"),
        correlation_id=CorrelationID(f"nobody {seed}") if cell.root == "ResponseMessage" else None,
    )
    payload: Payload | None = getattr(sample, "payload", None)
    request: Request | None = getattr(sample, "request", None)
    if cell.root == "RequestMessage":
        return RequestMessage(header=header, request=request, payload=payload)
    if cell.root == "EventMessage":
        return EventMessage(header=header, payload=payload)
    reply = build_message(noun, Verb.REPLY, seed=0)
    assert isinstance(reply, ResponseMessage)
    return ResponseMessage(header=header, reply=reply.reply)


def wrong_about(cell: Cell, header: Header, reply: Reply, *, has_payload: bool) -> str:
    """What of an answer is not as the table says; empty if all is."""
    first = reply.error[0]
    if any(error.xpath is not None for error in reply.error):
        return "Error/xpath is an xs:QName, which no path can be"
    if not cell.is_served:
        code = cell.expected
        if reply.result is not Result.FAILED or first.code != REPLY_CODES[code] or reply.id or has_payload:
            return f"not refused with {REPLY_CODES[code]}"
        return "" if f": {code} " in (first.details or "") else f"{code} is not named"
    if reply.result is not Result.OK or first.code != "0.0":
        return "not served"
    if header.source != cell.expected:
        return f"served by {header.source}"
    names_objects = cell.verb != "get"
    if bool(reply.id) != names_objects:
        return "identifiers are not as they should be"
    return "" if has_payload == (cell.verb == "get") else "payload is not as it should be"
