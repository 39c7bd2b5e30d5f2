"""Two thousand mutations of valid messages: each is served, refused or faulted, and none is half done."""

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.codec.json_body import render_json
from cimcare.exchange.log import Direction, LogEntry
from cimcare.model.envelope import EventMessage, FaultMessage, ResponseMessage, Result
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.samples import build_message
from cimcare.samples.build import BASE_INSTANT
from cimcare.schema import Catalog
from cimcare.validation import judge
from tests.support.channels import CHANNELS, answer_of
from tests.support.hub import Response, call
from tests.support.mutations import Mutation, build_mutations
from tests.unit.hub.conftest import HeldHub, held

__all__ = ["held"]  # a fixture, used by its name

MANY = 2000
NEEDS_OBJECT = frozenset({Verb.CHANGE, Verb.CANCEL, Verb.CLOSE, Verb.DELETE, Verb.GET})

OF_THE_DOCUMENT = ("XML", "ENV", "COD", "SCH", "CNV")
"""Refusals with these codes need nothing but the document, so `cimcare validate` must say no as well."""

OF_THE_RECEIVER = frozenset({"ENV-110", "ENV-112"})
"""But these depend on the hub: revisions it serves, the address at which the message came, SOAP headers it knows."""


def items_of(value: object, noun: Noun) -> list[Any]:
    """The objects in a payload root, or the one that is stored without its root."""
    return list(getattr(value, NOUNS[noun].item)) if isinstance(value, PayloadRoot) else [value]


QUIET = "alarms.every_seconds = 3600\nhub.tick_seconds = 0\n"
"""What a hub does by the clock would leave traces of its own."""


class Observer:
    """Watches what a hub does to its database, over a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "hub.db", isolation_level=None)
        self._connection.execute("CREATE TABLE touched (at INTEGER)")
        for table in ("records", "record_keys"):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                self._connection.execute(
                    f"CREATE TRIGGER watch_{table}_{verb} AFTER {verb} ON {table}"
                    " BEGIN INSERT INTO touched VALUES (1); END"
                )

    def touches(self) -> int:
        """How often objects and their keys were written, ever."""
        (count,) = self._connection.execute("SELECT count(*) FROM touched").fetchone()
        return int(count)

    def close(self) -> None:
        self._connection.close()


class Trial:
    """One hub, and what is asked of it."""

    def __init__(self, held: HeldHub, observer: Observer) -> None:
        self.held = held
        self.observer = observer
        self.catalog = Catalog()
        self.outcomes: Counter[str] = Counter()
        self.agreed: Counter[bool] = Counter()

    async def prepare(self, mutation: Mutation) -> None:
        """Make the object that the message speaks of, so that it could succeed; the town has room for most of them."""
        noun = mutation.message.header.noun
        if mutation.verb in NEEDS_OBJECT and noun != Noun.INCIDENTS:
            await self.held.ask(build_message(Noun(noun), Verb.CREATE, seed=mutation.number))

    async def send(self, mutation: Mutation) -> None:
        """Send one mutation and hold everything that follows from it against what may."""
        await self.prepare(mutation)
        self.held.later(seconds=1)
        before = self.observer.touches()
        (last,) = await self.held.log(newest_first=True, limit=1) or (None,)
        channel = mutation.channel
        response = await call(
            self.held.hub.app,
            channel.path(mutation.message),
            mutation.raw,
            headers={"content-type": channel.content_type},
        )
        assert response is not None
        log = await self.held.log(after=last.sequence if last else 0)
        received = log[0]
        assert [entry.direction for entry in log].count("in") == 1
        self.outcomes[received.outcome.value] += 1
        if received.outcome.value in ("OK", "PARTIAL"):
            await self.check_accepted(received, log)
        else:
            assert self.observer.touches() == before, "a refused message left something behind"
            assert all(entry.archetype != "EventMessage" for entry in log[1:]), "a refused message was told of"
        self.check_answer(mutation, response, received)
        self.check_agreement(mutation, received)

    def check_answer(self, mutation: Mutation, response: Response, received: LogEntry) -> None:
        """An answer of the standard, valid in itself; nothing of the program's insides in it."""
        assert b"Traceback" not in response.body
        assert not {"EXC-109", "EXC-111"} & set(received.codes), self.held.logged[-1:]
        if response.status == 202:
            assert response.body == b""
            return
        findings = judge(response.body, self.catalog).findings
        if "ENV-106" in received.codes:  # the reply repeats the noun that was asked for, though there is none such
            findings = tuple(one for one in findings if one.code != "ENV-106")
        assert not findings
        answer = answer_of(mutation.channel, response)
        if isinstance(answer, FaultMessage):
            assert response.status == (500 if mutation.channel.is_soap else 400)
            assert received.outcome.value == "FAULT"
        else:
            assert isinstance(answer, ResponseMessage)
            assert response.status == 200
            assert answer.reply.result.value == received.outcome.value
        if answer.reply.result is not Result.OK:
            problems = [error for error in answer.reply.error if not error.code.startswith("0.")]
            assert problems
            assert all(error.code and error.reason and error.details for error in problems)

    async def check_accepted(self, received: LogEntry, log: tuple[LogEntry, ...]) -> None:
        """What the reply says has happened has happened, and what was told of it is what is stored."""
        answers = [entry for entry in log if entry.archetype == "ResponseMessage"]
        if not answers or received.verb not in frozenset(Verb) or received.noun not in frozenset(Noun):
            return
        verb, noun = Verb(received.verb), Noun(received.noun)
        reply = await self.read_back(answers[0])
        own = (None, NOUNS[noun].item_name)  # a reply about tickets names their incidents besides
        named = [identifier.value for identifier in reply.reply.id if identifier.object_type in own]
        stored = {mrid: await self.held.hub.queries.find_object(noun, mrid) for mrid in named}
        if verb is Verb.DELETE:
            assert named
            assert set(stored.values()) == {None}
        elif verb in EVENT_OF:
            assert named
            for mrid, one in stored.items():
                assert one is not None, f"{mrid} was said to be there"
                assert one.modified_at == self.held.now
        elif verb is Verb.GET:
            assert reply.payload is not None
            for item in items_of(reply.payload.content[0], noun):
                one = await self.held.hub.queries.find_object(noun, item.mrid)
                assert one is not None
                assert items_of(one.body, noun) == [item]
        await self.check_events(verb, noun, stored, log)

    async def check_events(self, verb: Verb, noun: Noun, stored: dict[str, object], log: tuple[LogEntry, ...]) -> None:
        """Events are valid; the one about a new object tells it as it is stored."""
        for entry in log:
            if entry.archetype != "EventMessage" or entry.direction != "out":
                continue
            raw = await self.held.hub.queries.find_raw(entry.sequence)
            assert raw is not None
            judgement = judge(raw, self.catalog)
            assert judgement.is_valid, judgement.findings
            event = parse_message(raw)
            assert isinstance(event, EventMessage)
            if verb is Verb.CREATE and (event.header.verb, event.header.noun) == (Verb.CREATED, noun):
                assert event.payload is not None
                told = items_of(event.payload.content[0], noun)
                kept = [await self.held.hub.queries.find_object(noun, item.mrid) for item in told]
                assert [one and items_of(one.body, noun) for one in kept] == [[item] for item in told]
                assert {item.mrid for item in told} == set(stored)

    async def read_back(self, entry: LogEntry) -> ResponseMessage:
        """The reply as it was sent, in whichever form."""
        raw = await self.held.hub.queries.find_raw(entry.sequence)
        assert raw is not None
        reply = CHANNELS[entry.transport].parse(raw)
        assert isinstance(reply, ResponseMessage)
        return reply

    def check_agreement(self, mutation: Mutation, received: LogEntry) -> None:
        """`cimcare validate` says no to what the hub refuses for what stands in it, and to nothing that it takes."""
        judgement = judge(mutation.raw, self.catalog)
        is_taken = received.outcome.value in ("OK", "PARTIAL")
        if not judgement.is_valid:
            assert not is_taken, judgement.findings
        elif not is_taken:
            codes = set(received.codes) - OF_THE_RECEIVER
            assert not [code for code in codes if code.startswith(OF_THE_DOCUMENT)], received.codes
        self.agreed[judgement.is_valid] += 1


async def test_two_thousand_mutations_are_all_answered_and_none_is_half_done(tmp_path: Path) -> None:
    """Partners' software has faults of every kind; the hub may be asked anything and must stay whole."""
    held = HeldHub()
    held.now = BASE_INSTANT  # when the samples play, so that what was agreed can still be kept
    await held.open(tmp_path, QUIET)
    await held.hub.notifier.stop()  # so would notices to customers
    await held.hub.upkeep.stop()  # and what is looked at every minute
    trial = Trial(held, Observer(tmp_path))
    wrong = []
    for mutation in build_mutations(MANY, seed=61968):
        try:
            await trial.send(mutation)
        except AssertionError as error:
            wrong.append(f"{mutation.number} {mutation.how} {mutation.channel.name}: {error}")
    trial.observer.close()
    await held.hub.close()
    assert not wrong, "\n".join(wrong[:20])
    assert held.logged == [], "nothing went wrong inside"
    assert min(trial.outcomes[kind] for kind in ("OK", "FAILED", "FAULT")) > 200, trial.outcomes
    assert min(trial.agreed.values()) > 400, trial.agreed


def test_mutations_are_the_same_for_the_same_seed() -> None:
    """A failure must come back when the test is run again."""
    first, second = ([(one.how, one.raw) for one in build_mutations(60, seed=7)] for _ in range(2))
    assert first == second
    assert first != [(one.how, one.raw) for one in build_mutations(60, seed=8)]


def test_mutations_keep_the_identity_of_their_message() -> None:
    """Else the second of two would be taken for a repeat of the first, and nothing would be tried."""
    identifiers = [msgspec.structs.astuple(one.message.header) for one in build_mutations(60, seed=7)]
    assert len(set(identifiers)) == 60


async def test_extension_in_a_namespace_that_is_no_uri_is_refused(held: HeldHub) -> None:
    """Found by mutation: it has no canonical form, so it could not be kept, and was an internal error."""
    raw = render_message(build_message(Noun.INCIDENTS, Verb.GET))
    raw = raw.replace(b"</Request>", b'<x xmlns="relative"/></Request>')
    response = await call(held.hub.app, "/messages", raw, headers={"content-type": "application/xml"})
    assert response is not None
    assert b"XML-111" in response.body
    assert response.status == 200
    assert held.logged == []


@pytest.mark.parametrize("field", ["Noun", "Source", "MessageID", "CorrelationID"])
async def test_answer_repeats_nothing_that_xml_cannot_carry(held: HeldHub, field: str) -> None:
    """Found by mutation: JSON may hold any character, and the answer repeated it into the log and to the sender."""
    document = json.loads(render_json(build_message(Noun.INCIDENTS, Verb.GET)))
    document["Header"][field] = "a\x00b"
    channel = CHANNELS["rest-json"]
    response = await call(
        held.hub.app, "/messages", json.dumps(document).encode(), headers={"content-type": channel.content_type}
    )
    answer = answer_of(channel, response)
    assert answer.reply.result is Result.FAILED
    assert render_message(answer)
    (received,) = await held.log(direction=Direction.IN)
    assert "\x00" not in f"{received.noun}{received.partner}{received.message_id}{received.correlation_id}"
