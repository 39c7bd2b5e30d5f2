"""The table of exchanges, driven whole against a running hub."""

import re
from pathlib import Path

import aiohttp
import msgspec
import pytest
from docs.exchanges import ARCHETYPES, NOUN_NAMES, Cell, build_cell_message, cells

from cimcare.codec.envelope import parse_message, render_message
from cimcare.errors import ERRORS
from cimcare.hub.serving.lifespan import running_hub
from cimcare.model.envelope import AnyMessage, ResponseMessage, Result
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Archetype, Verb
from cimcare.samples import build_message
from cimcare.samples.build import BASE_INSTANT
from tests.support.hub import hub_settings, local_hub

CODE = re.compile(r": ([A-Z]{3}-\d{3}) ")
BEFORE: dict[Verb, tuple[Verb, ...]] = {
    Verb.CHANGE: (Verb.CREATE,),
    Verb.CANCEL: (Verb.CREATE,),
    Verb.CLOSE: (Verb.CREATE,),
    Verb.DELETE: (Verb.CREATE, Verb.CLOSE),
    Verb.GET: (Verb.CREATE,),
}
"""What must have happened to an object before a verb can succeed."""


class Sender:
    """Sends messages to a hub and reads the answers."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def send(self, message: AnyMessage) -> ResponseMessage:
        async with self._session.post(
            f"{self._address}/messages", data=render_message(message), headers={"content-type": "application/xml"}
        ) as answer:
            assert answer.status == 200
            reply = parse_message(await answer.read())
        assert isinstance(reply, ResponseMessage)
        assert all(error.xpath is None for error in reply.reply.error)  # an xs:QName, which no path can be
        return reply

    async def prepare(self, cell: Cell, seed: int) -> None:
        """Make what the verb of a served cell is about."""
        noun = Noun(cell.noun)
        for verb in BEFORE.get(cell.verb, ()):
            reply = await self.send(anonymous(build_message(noun, verb, seed=seed)))
            assert reply.reply.result is Result.OK, (cell, verb, reply.reply.error)


def anonymous(message: AnyMessage) -> AnyMessage:
    """Without MessageID nothing is a repeat."""
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, message_id=None))


def codes_of(reply: ResponseMessage) -> list[tuple[str, str]]:
    """Our code and the reply code of each error that is a refusal."""
    found = []
    for error in reply.reply.error:
        ours = CODE.search(error.details or "")
        if ours and error.level == "FATAL":
            found.append((ours[1], error.code))
    return found


def is_as_said(cell: Cell, reply: ResponseMessage) -> bool:
    """Whether a reply is what the cell says."""
    if cell.code:
        expected = (cell.code, ERRORS[cell.code].reply_code)
        return reply.reply.result is Result.FAILED and codes_of(reply)[:1] == [expected]
    if cell.verb is Verb.REPLY:
        return codes_of(reply) == [("EXC-107", "2.15")]
    owner = NOUNS[Noun(cell.noun)].owner if cell.noun in frozenset(Noun) else None
    speaks = reply.header.source
    if cell.verb is Verb.EXECUTE:
        owner = NOUNS[Noun.TROUBLE_TICKETS].owner  # of the noun of the operations
    is_named = cell.verb in EVENT_VERBS or (owner is not None and speaks == owner.upper())
    if cell.verb in REQUEST_VERBS and cell.verb is not Verb.EXECUTE:
        is_named = is_named and cell.by == f"served by {speaks}"
    return reply.reply.result is Result.OK and reply.reply.error[0].code == "0.0" and is_named


async def test_every_cell_is_as_the_hub_does(tmp_path: Path) -> None:
    """Who connects a system plans by this table; a cell that is wrong costs a day at the other end."""
    wrong = []
    # At the instant at which the samples play, so that an agreement has begun and can end.
    hub = running_hub(hub_settings(tmp_path), clock=lambda: BASE_INSTANT)
    async with hub as running, aiohttp.ClientSession() as session:
        sender = Sender(session, running.address)
        for seed, cell in enumerate(cells()):
            message = build_cell_message(cell.verb, cell.noun, cell.archetype, seed=seed * 4)
            if not cell.code and cell.verb in REQUEST_VERBS and cell.verb is not Verb.EXECUTE:
                await sender.prepare(cell, seed * 4)
            reply = await sender.send(message)
            if not is_as_said(cell, reply):
                wrong.append((cell.verb, cell.noun, cell.archetype, cell.text, reply.reply.result, codes_of(reply)))
    assert wrong == []


async def test_a_reply_that_answers_something_is_kept(tmp_path: Path) -> None:
    """The other half of the cell for replies: with the identifier of a message that is known, it is taken."""
    async with local_hub(tmp_path) as running, aiohttp.ClientSession() as session:
        sender = Sender(session, running.address)
        asked = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
        assert (await sender.send(asked)).reply.result is Result.OK
        later = build_message(Noun.TROUBLE_TICKETS, Verb.REPLY)
        assert isinstance(later, ResponseMessage)
        assert later.header.correlation_id == asked.header.message_id
        reply = await sender.send(later)
    assert reply.reply.result is Result.OK
    assert [error.code for error in reply.reply.error] == ["0.3"]


def test_the_table_is_whole() -> None:
    """A case that is missing would be a case that nobody thought of."""
    assert {(cell.verb, cell.noun, cell.archetype) for cell in cells()} == {
        (verb, noun, archetype) for verb in Verb for noun in NOUN_NAMES for archetype in ARCHETYPES
    }
    assert len(cells()) == 14 * 7 * 3


@pytest.mark.parametrize("archetype", ARCHETYPES)
def test_no_verb_is_taken_in_the_wrong_root(archetype: Archetype) -> None:
    """The standard's own rule, apart from anything that our systems serve."""
    own = {
        Archetype.REQUEST: REQUEST_VERBS,
        Archetype.EVENT: EVENT_VERBS,
        Archetype.RESPONSE: frozenset({Verb.REPLY}),
    }[archetype]
    taken = {cell.verb for cell in cells() if cell.archetype is archetype and not cell.code}
    assert taken <= own
