"""The table of exchanges, driven over every way into the hub, and held against the page that documents it."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cimcare.model.envelope import EventMessage, Message, RequestMessage, ResponseMessage, Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.exchange.cells import BEFORE, CELLS, NOUNS, REPLIES, REPLY_CODES, ROOTS, TYPED, Cell, build_cell, wrong_about
from tests.exchange.ways import WAYS, Asked, Way

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "exchanges.md"


GENERIC = [name for name, way in WAYS.items() if way.cells is not TYPED]
"""A strongly typed operation names its root, and none takes replies of others."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def means(request: pytest.FixtureRequest, way: Way) -> list[object]:
    """What the way needs, and no other: a broker is started for who wants it."""
    return [request.getfixturevalue(name) for name in way.needs]


@pytest.fixture
async def asked(way: Way, means: list[object], tmp_path: Path) -> AsyncIterator[Asked]:
    async with way.opened(tmp_path, *means) as asked:
        yield asked


async def drive(asked: Asked, cell: Cell, seed: int) -> str:
    """Send the message of a cell; what is wrong with the answer, empty if nothing is."""
    if cell.is_served and cell.root == "RequestMessage" and cell.verb != "execute":
        prepared = Noun(cell.noun)
        for verb in BEFORE.get(cell.verb, ()):
            made = await asked.hub.ask(build_message(prepared, verb, seed=seed))
            assert made.reply.result is Result.OK, (cell, verb, made.reply.error)
    answer = await asked.ask(build_cell(cell, seed))
    if not isinstance(answer, ResponseMessage):
        return f"{cell}: {answer}"
    said = wrong_about(cell, answer.header, answer.reply, has_payload=answer.payload is not None)
    return f"{cell}: {said}; {answer.reply}" if said else ""


def seeds() -> Iterator[int]:
    """Every message speaks of an object of its own. By multiples of 4, so that a get asks by identifier."""
    yield from range(0, 100_000, 4)


async def test_every_cell_fares_as_the_table_says(asked: Asked, way: Way) -> None:
    """Whoever connects a system reads from this table what works, whatever the transport; each cell is tried, none is
    inferred.
    """
    wrong = [
        problem for cell, seed in zip(way.cells, seeds(), strict=False) if (problem := await drive(asked, cell, seed))
    ]
    assert wrong == []


def test_the_table_is_whole() -> None:
    """A cell that is missing would be a case that nobody thought of; what stands for others must stand for all."""
    assert len({(cell.noun, cell.verb, cell.root) for cell in CELLS}) == 7 * 14 * 3
    assert len(TYPED) == 6 * 6 + 6 * 5
    assert {cell.expected for cell in CELLS if not cell.is_served} == set(REPLY_CODES)
    assert WAYS["soap"].cells == CELLS


@pytest.mark.parametrize("way", GENERIC, indirect=True)
async def test_the_generic_root_is_taken_for_what_its_verb_calls_for(asked: Asked) -> None:
    """Some partners send `Message` for everything."""
    create = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    event = build_message(Noun.INCIDENTS, Verb.CREATED)
    assert isinstance(create, RequestMessage)
    assert isinstance(event, EventMessage)
    for message in (create, event):
        answer = await asked.ask(Message(header=message.header, payload=message.payload))
        assert answer.reply.result is Result.OK, answer.reply.error


@pytest.mark.parametrize("way", GENERIC, indirect=True)
async def test_a_reply_to_a_known_request_is_kept(asked: Asked) -> None:
    """The other half of the cell for replies: one that answers something is taken."""
    request = build_message(Noun.SERVICE_ORDERS, Verb.CREATE)
    reply = build_message(Noun.SERVICE_ORDERS, Verb.REPLY)
    assert isinstance(request, RequestMessage)
    assert isinstance(reply, ResponseMessage)
    assert reply.header.correlation_id == request.header.message_id
    assert (await asked.ask(request)).reply.result is Result.OK
    answer = await asked.ask(reply)
    assert answer.reply.result is Result.OK
    assert [error.code for error in answer.reply.error] == ["0.3"]


async def test_refused_cells_leave_nothing_behind(asked: Asked, way: Way) -> None:
    """A refusal is an answer and a line in the log, and nothing else."""
    for cell, seed in zip([cell for cell in way.cells if not cell.is_served], seeds(), strict=False):
        assert await drive(asked, cell, seed) == ""
    log = await asked.hub.log()
    assert {entry.archetype for entry in log if entry.direction == "out"} == {"ResponseMessage"}
    for noun in Noun:
        assert (await asked.hub.get(f"/api/v1/{noun}")).body == b'{"items":[],"next":null}'


def test_the_documented_table_is_this_one() -> None:
    """The page is made from the rules and dispatch tables; that they say what was meant is shown here."""
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
