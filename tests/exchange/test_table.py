"""The whole table of exchanges: verb, noun and kind of message, each served as stated or refused with the stated code.

The table is written out here by hand, so that a change of the rules or of the dispatch tables cannot change it too.
"""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

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
from cimcare.samples.build import BASE_INSTANT
from tests.support.channels import CHANNELS, Channel
from tests.unit.hub.conftest import HeldHub

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "exchanges.md"

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


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HeldHub]:
    """A hub at the instant at which the samples play, so that what was agreed has begun and can end."""
    held = HeldHub()
    held.now = BASE_INSTANT
    await held.open(tmp_path)
    yield held
    await held.hub.close()
    assert held.logged == []


async def drive(hub: HeldHub, cell: Cell, channel: Channel, seed: int) -> str:
    """Send the message of a cell; what is wrong with the answer, empty if nothing is."""
    if cell.is_served and cell.root == "RequestMessage" and cell.verb != "execute":
        prepared = Noun(cell.noun)
        for verb in BEFORE.get(cell.verb, ()):
            made = await hub.ask(build_message(prepared, verb, seed=seed))
            assert made.reply.result is Result.OK, (cell, verb, made.reply.error)
    answer = await hub.ask(build_cell(cell, seed), channel)
    if not isinstance(answer, ResponseMessage):
        return f"{cell}: {answer}"
    said = wrong_about(cell, answer.header, answer.reply, has_payload=answer.payload is not None)
    return f"{cell} over {channel.name}: {said}; {answer.reply}" if said else ""


def wrong_about(cell: Cell, header: Header, reply: Reply, *, has_payload: bool) -> str:
    """What of an answer is not as the table says; empty if all is."""
    first = reply.error[0]
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


def seeds() -> Iterator[int]:
    """Every message speaks of an object of its own. By multiples of 4, so that a get asks by identifier."""
    yield from range(0, 100_000, 4)


async def test_every_cell_over_the_generic_soap_service(hub: HeldHub) -> None:
    """Whoever connects a system reads from this table what works; each of its 294 cells is tried, none is inferred."""
    channels = (CHANNELS["soap11"], CHANNELS["soap12"])
    wrong = [
        problem
        for number, (cell, seed) in enumerate(zip(CELLS, seeds(), strict=False))
        if (problem := await drive(hub, cell, channels[number % 2], seed))
    ]
    assert wrong == []
    assert len(CELLS) == 294


@pytest.mark.parametrize("name", ["rest-xml", "rest-json"])
async def test_plain_messages_fare_like_soap(hub: HeldHub, name: str) -> None:
    """Who can send no SOAP is served all the same: every cell that is served, and one of each refusal."""
    refused = {cell.expected: cell for cell in CELLS if not cell.is_served}
    chosen = [*(cell for cell in CELLS if cell.is_served), *refused.values()]
    assert set(refused) == set(REPLY_CODES)
    wrong = [
        problem
        for cell, seed in zip(chosen, seeds(), strict=False)
        if (problem := await drive(hub, cell, CHANNELS[name], seed))
    ]
    assert wrong == []


async def test_typed_services_fare_like_the_generic_one(hub: HeldHub) -> None:
    """A strongly typed client gets what the table says, refusals by the owner included."""
    chosen = [
        cell
        for cell in CELLS
        if cell.noun != "OperationSet"
        and cell.verb not in EXECUTES
        and (cell.verb in REQUEST_TABLE[cell.noun] or cell.verb in EVENT_TABLE[cell.noun])
        and cell.expected != WRONG_ROOT
    ]
    assert len(chosen) == 6 * 6 + 6 * 5
    wrong = [
        problem
        for cell, seed in zip(chosen, seeds(), strict=False)
        if (problem := await drive(hub, cell, CHANNELS["soap-typed"], seed))
    ]
    assert wrong == []


async def test_the_generic_root_is_taken_for_what_its_verb_calls_for(hub: HeldHub) -> None:
    """Some partners send `Message` for everything."""
    create = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    event = build_message(Noun.INCIDENTS, Verb.CREATED)
    assert isinstance(create, RequestMessage)
    assert isinstance(event, EventMessage)
    for message in (create, event):
        answer = await hub.ask(Message(header=message.header, payload=message.payload))
        assert answer.reply.result is Result.OK, answer.reply.error


async def test_a_reply_to_a_known_request_is_kept(hub: HeldHub) -> None:
    """The other half of the cell for replies: one that answers something is taken."""
    request = build_message(Noun.SERVICE_ORDERS, Verb.CREATE)
    reply = build_message(Noun.SERVICE_ORDERS, Verb.REPLY)
    assert isinstance(request, RequestMessage)
    assert isinstance(reply, ResponseMessage)
    assert reply.header.correlation_id == request.header.message_id
    assert (await hub.ask(request, CHANNELS["soap11"])).reply.result is Result.OK
    answer = await hub.ask(reply, CHANNELS["soap11"])
    assert answer.reply.result is Result.OK
    assert [error.code for error in answer.reply.error] == ["0.3"]


async def test_refused_cells_leave_nothing_behind(hub: HeldHub) -> None:
    """A refusal is an answer and a line in the log, and nothing else."""
    for cell, seed in zip([cell for cell in CELLS if not cell.is_served], seeds(), strict=False):
        assert await drive(hub, cell, CHANNELS["soap11"], seed) == ""
    log = await hub.log()
    assert {entry.archetype for entry in log if entry.direction == "out"} == {"ResponseMessage"}
    for noun in Noun:
        assert (await hub.get(f"/api/v1/{noun}")).body == b'{"items":[],"next":null}'


def test_the_documented_table_is_this_one() -> None:
    """The page is made from the rules and dispatch tables; that they say what was meant is shown here."""
    if not PAGE.exists():
        pytest.skip("docs/reference/exchanges.md is not there")
    noun, documented = "", {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            noun = line[3:].strip()
        elif noun in NOUNS and line.startswith("| `"):
            verb, *texts = (part.strip() for part in line.strip("|").split(" | "))
            for root, text in zip(ROOTS, texts, strict=True):
                documented[Cell(noun, verb.strip("`"), root)] = text
    assert set(documented) == set(CELLS)
    wrong = {cell: text for cell, text in documented.items() if not says(text, cell)}
    assert wrong == {}


def says(text: str, cell: Cell) -> bool:
    """Whether the documented text of a cell says what the table says."""
    if cell.expected == REPLIES:
        return text.startswith("kept if it answers") and f"`{REPLIES}` ({REPLY_CODES[REPLIES]})" in text
    if not cell.is_served:
        return text == f"refused: `{cell.expected}` ({REPLY_CODES[cell.expected]})"
    if cell.verb == "execute":
        return text == "served by the owner of each operation's noun"
    if cell.verb == "executed":
        return text == "kept, told operation by operation"
    if cell.root == "RequestMessage":
        return text == f"served by {cell.expected}"
    return re.match(rf"kept, told to {cell.expected}\b", text) is not None
