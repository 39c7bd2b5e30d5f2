"""The page of exchanges: every verb, noun and kind of message, and what the hub does with it.

Nothing is typed by hand: each cell is a sample message put to the same rules, and to the same tables of the built-in
systems, that the hub uses. `tests/exchange` sends a message of each cell to a hub and compares.
"""

from functools import cache

import msgspec

from cimcare.errors import ERRORS, Finding, Level
from cimcare.exchange.dispatch import Dispatcher
from cimcare.hub.intake.builtin import SYSTEMS
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Header,
    RequestMessage,
    ResponseMessage,
)
from cimcare.model.identity import CorrelationID
from cimcare.model.nouns import ENTRIES, Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Archetype, Verb
from cimcare.rules import check_rules
from cimcare.samples import build_message
from docs.markdown import code, page, table

__all__ = ["ARCHETYPES", "NOUN_NAMES", "Cell", "cells", "pages"]

OPERATION_SET = "OperationSet"

NOUN_NAMES: tuple[str, ...] = (*(entry.noun.value for entry in ENTRIES), OPERATION_SET)
"""Values of Header/Noun that the table speaks of."""

ARCHETYPES = (Archetype.REQUEST, Archetype.RESPONSE, Archetype.EVENT)
"""Kinds of messages that the table speaks of: columns Request, Reply, Event."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one verb of one noun in one root element.

    `code` is the code of the refusal, empty if it is served; `by` says in words who serves or hears it.
    """

    verb: Verb
    noun: str
    archetype: Archetype
    code: str = ""
    by: str = ""

    @property
    def text(self) -> str:
        """The cell of the table."""
        if not self.code:
            return self.by
        return f"refused: {code(self.code)} ({ERRORS[self.code].reply_code})"


def build_cell_message(verb: Verb, noun: str, archetype: Archetype, *, seed: int = 0) -> AnyMessage:
    """The message of a cell: a sample, in the root element asked for even where it does not belong there."""
    inner = ENTRIES[0].noun if noun == OPERATION_SET else Noun(noun)
    # Content of another verb would be a second reason for a refusal, so odd combinations take that of a kin.
    sample = build_message(inner, verb if _has_sample(verb, noun) else Verb.CREATE, seed=seed)
    assert not isinstance(sample, FaultMessage)
    header: Header = msgspec.structs.replace(
        sample.header, verb=verb, noun=noun, message_id=None, correlation_id=None, ack_required=None
    )
    payload = sample.payload
    if archetype is Archetype.REQUEST:
        request = sample.request if isinstance(sample, RequestMessage) else None
        return RequestMessage(header=header, request=request, payload=payload)
    if archetype is Archetype.EVENT:
        return EventMessage(header=header, payload=payload)
    reply = build_message(inner, Verb.REPLY, seed=0)
    assert isinstance(reply, ResponseMessage)
    header = msgspec.structs.replace(header, correlation_id=CorrelationID(f"nobody-asked-{verb}-{noun}"))
    return ResponseMessage(header=header, reply=reply.reply)


def _has_sample(verb: Verb, noun: str) -> bool:
    return noun != OPERATION_SET or verb in (Verb.EXECUTE, Verb.EXECUTED)


@cache
def _dispatcher() -> Dispatcher:
    return Dispatcher(SYSTEMS)


def find_cell(verb: Verb, noun: str, archetype: Archetype) -> Cell:
    """What becomes of a message: rules first, as in the hub, then the tables of the systems."""
    cell = Cell(verb=verb, noun=noun, archetype=archetype)
    fatal = [each for each in check_rules(build_cell_message(verb, noun, archetype)) if each.level is Level.FATAL]
    if fatal:
        return msgspec.structs.replace(cell, code=fatal[0].code)
    if verb is Verb.EXECUTE:
        return msgspec.structs.replace(cell, by="served by the owner of each operation's noun")
    if verb is Verb.EXECUTED:
        return msgspec.structs.replace(cell, by="kept, told operation by operation")
    if verb in REQUEST_VERBS:
        found = _dispatcher().find_handler(verb, noun)
        if isinstance(found, Finding):
            return msgspec.structs.replace(cell, code=found.code)
        return msgspec.structs.replace(cell, by=f"served by {found[0].upper()}")
    if verb in EVENT_VERBS:
        roles = [role.upper() for role, _ in _dispatcher().listeners(verb, noun)]
        told = f"kept, told to {', '.join(roles)}" if roles else "kept; nobody built in listens"
        return msgspec.structs.replace(cell, by=told)
    return msgspec.structs.replace(
        cell, by="kept if it answers a message that is known, else refused: `EXC-107` (2.15)"
    )


@cache
def cells() -> tuple[Cell, ...]:
    """The whole table."""
    return tuple(find_cell(verb, noun, archetype) for noun in NOUN_NAMES for verb in Verb for archetype in ARCHETYPES)


def pages() -> dict[str, str]:
    """Pages by path below docs/."""
    return {"reference/exchanges.md": _page()}


def _page() -> str:
    sections = []
    for noun in NOUN_NAMES:
        rows = []
        for verb in Verb:
            own = [cell for cell in cells() if cell.noun == noun and cell.verb is verb]
            rows.append([code(verb.value), *(cell.text for cell in own)])
        sections.append(f"## {noun}\n\n{table(['Verb', 'RequestMessage', 'ResponseMessage', 'EventMessage'], rows)}")
    served = sum(not cell.code for cell in cells())
    return page(
        "Exchanges",
        "the rules and the dispatch tables of the built-in systems",
        f"""\
Every verb of every noun in every kind of message, {len(cells())} cases, and what a hub with its built-in systems does:
{served} are taken, the others refused with a `FAILED` reply. The code is that of the [error table](errors.md), the
reply code stands behind it. Which verbs each system serves is **our reading** of IEC 61968-8. Which kind of verb is for
a request, which for a reply and which for an event is **the standard's**; its schema does not enforce it, we do.

- *served by*: a handler of the owner of the noun does it inside the transaction and answers at once. It may still
  refuse the content: unknown object, state that does not allow it, missing parts.
- *kept, told to*: the event is stored and handed to those who listen; the sender gets `OK`.
- `execute` and `executed`: each operation of the OperationSet is served, or told, as the table says of its own verb and
  noun; those of an `execute` in one transaction. The flags of the set say what one that fails does to the others.
- The generic root `Message` is taken for the one that its verb calls for.
- A test sends all {len(cells())} messages to a running hub and compares the answers with this table.""",
        *sections,
    )
