"""Two hubs on one database of PostgreSQL: what they decide together, and what happens when one of them dies."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.log import LogSelection, Outcome
from cimcare.hub.app import Hub, make_logger
from cimcare.hub.rest.queries import ObjectFilter
from cimcare.model.enumerations import WorkKind
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.service_request import Customer, ServiceRequests, Work
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.samples import build_message
from cimcare.store.opening import open_reader
from tests.support.channels import CHANNELS, answer_of
from tests.support.hub import call, hub_process, hub_settings
from tests.system.test_kill import LIMIT, a_create, result_of, send_all

REPORTED = datetime(2030, 6, 3, 12, tzinfo=UTC)
"""A Monday."""

CHANNEL = CHANNELS["rest-xml"]


CAPACITY = 8
"""Inspections of an hour that the two crews of Northlake who can do them make in the four hours of a morning."""


@pytest.fixture
async def hubs(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[Hub, Hub]]:
    """Two hubs that started at the same time, both with the town to seed."""
    settings = hub_settings(tmp_path, seed_town=True, database=postgres_url)
    logger = make_logger("error")
    first, second = await asyncio.gather(*(Hub.open(settings, logger=logger) for _ in range(2)))
    yield first, second
    await first.close()
    await second.close()


def a_request(noun: Noun, number: int, payload: PayloadRoot) -> RequestMessage:
    message = build_message(noun, Verb.CREATE, seed=2)
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    return msgspec.structs.replace(
        message,
        header=msgspec.structs.replace(message.header, source="BOTH", message_id=MessageID(f"both-{number}")),
        payload=msgspec.structs.replace(message.payload, content=(payload,)),
    )


def a_call(number: int) -> RequestMessage:
    """A call from one and the same premises."""
    ticket = TroubleTicket(
        mrid=MRID(f"00000000-0000-4000-8000-{number:012}"),
        service_location=ServiceLocationIdentity(mrid=MRID("00000000-0000-4000-8000-000000000abc")),
        date_time_of_report=REPORTED,
    )
    return a_request(Noun.TROUBLE_TICKETS, number, TroubleTickets(trouble_ticket=(ticket,)))


def a_visit(number: int) -> RequestMessage:
    """A visit in one and the same window of Tuesday morning."""
    morning = DateTimeInterval(start=REPORTED.replace(day=4, hour=8), end=REPORTED.replace(day=4, hour=12))
    work = Work(
        mrid=MRID(f"00000000-0000-4000-8000-{number:012}"),
        kind=WorkKind.inspection,
        request_date_time=REPORTED,
        customers=(Customer(mrid=MRID("00000000-0000-4000-8000-000000000def")),),
        appointments=(Appointment(meeting_interval=morning),),
    )
    return a_request(Noun.SERVICE_REQUESTS, number, ServiceRequests(work=(work,)))


async def ask(hub: Hub, message: RequestMessage) -> ResponseMessage:
    response = await call(
        hub.app, CHANNEL.path(message), CHANNEL.render(message), headers={"content-type": CHANNEL.content_type}
    )
    assert response is not None
    answer = answer_of(CHANNEL, response)
    assert isinstance(answer, ResponseMessage)
    return answer


async def test_calls_from_one_house_over_two_hubs_are_one_incident(hubs: tuple[Hub, Hub]) -> None:
    """Two crews at one door is what a duplicate incident costs; a lost ticket costs more."""
    answers = await asyncio.gather(*(ask(hubs[number % 2], a_call(number)) for number in range(30)))
    assert {answer.reply.result for answer in answers} == {Result.OK}
    assert len((await hubs[0].queries.list_objects(Noun.TROUBLE_TICKETS, ObjectFilter())).items) == 30
    assert len((await hubs[1].queries.list_objects(Noun.INCIDENTS, ObjectFilter())).items) == 1


async def test_a_window_is_not_overbooked_by_two_hubs(hubs: tuple[Hub, Hub]) -> None:
    """A crew that cannot come is a customer who waited at home for nothing."""
    answers = await asyncio.gather(*(ask(hubs[number % 2], a_visit(number)) for number in range(2 * CAPACITY)))
    assert Counter(answer.reply.result for answer in answers) == {Result.OK: CAPACITY, Result.FAILED: CAPACITY}


async def test_one_message_sent_to_both_at_once_has_one_effect(hubs: tuple[Hub, Hub]) -> None:
    """A sender with two addresses that lost its patience, ten times over."""
    for number in range(10):
        first, second, third = await asyncio.gather(
            ask(hubs[0], a_call(number)), ask(hubs[1], a_call(number)), ask(hubs[0], a_call(number))
        )
        assert first == second == third
        assert first.reply.result is Result.OK
    page = await hubs[0].queries.list_messages(LogSelection(partner="BOTH", limit=1000))
    came = [entry for entry in page.items if entry.archetype == "RequestMessage"]
    assert Counter(entry.repeat_of is None for entry in came) == {True: 10, False: 20}
    assert {entry.outcome for entry in came} == {Outcome.OK}
    assert len((await hubs[0].queries.list_objects(Noun.TROUBLE_TICKETS, ObjectFilter())).items) == 10


async def test_the_town_is_seeded_once(hubs: tuple[Hub, Hub], tmp_path: Path) -> None:
    """Hubs of a cluster come up together, and each would make the customers."""
    alone = await Hub.open(hub_settings(tmp_path, seed_town=True), logger=make_logger("error"))
    for noun in Noun:
        expected = (await alone.queries.list_objects(noun, ObjectFilter(limit=1000))).items
        found = (await hubs[0].queries.list_objects(noun, ObjectFilter(limit=1000))).items
        assert [stored.mrid for stored in found] == [stored.mrid for stored in expected]
    await alone.close()


async def test_one_of_two_is_killed_and_the_other_has_all(tmp_path: Path, postgres_url: str) -> None:
    """What got an OK from the dead one is there; what got none may be sent to the other, with one effect."""
    messages = dict(a_create(number) for number in range(300))
    numbers = {mrid: number for number, mrid in enumerate(messages)}
    left = {mrid: raw for mrid, raw in messages.items() if numbers[mrid] % 2}
    right = {mrid: raw for mrid, raw in messages.items() if not numbers[mrid] % 2}
    with (
        hub_process(tmp_path, LIMIT, database=postgres_url) as dying,
        hub_process(tmp_path, LIMIT, database=postgres_url) as living,
    ):
        oks = 0

        def count() -> None:
            nonlocal oks
            oks += 1
            if oks == 50:
                dying.process.kill()

        replies, others = await asyncio.gather(send_all(dying.address, left, count), send_all(living.address, right))
        dying.process.wait()
        assert {result_of(reply) for reply in others.values()} == {Result.OK}
        replies |= others
        again = await send_all(living.address, messages)
        assert {result_of(reply) for reply in again.values()} == {Result.OK}
        for mrid, reply in replies.items():
            assert reply is None or again[mrid] == reply, "a repeat gets the reply of the first time"
        assert living.stop() == 0
    async with open_reader(postgres_url) as reader:
        wanted = LogSelection(verb="created", noun="TroubleTickets", limit=10_000)
        effects = Counter(entry.correlation_id for entry in await reader.log.select(wanted))
    assert len(effects) == 300
    assert set(effects.values()) == {1}, "a request took effect twice"
