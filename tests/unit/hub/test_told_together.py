"""Calls into an incident of many, through the hub: told together, in time, and also by the next process if one ends."""

import asyncio
from pathlib import Path

import pytest

from cimcare.codec.envelope import parse_message
from cimcare.exchange.log import Direction
from cimcare.hub.operation import upkeep
from cimcare.model.envelope import EventMessage, Header, Payload, RequestMessage
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import Incidents
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from tests.unit.hub.conftest import HeldHub

CALLS = [f"ticket-{number}" for number in range(30)]


async def call_in(held: HeldHub, tickets: list[str]) -> None:
    """Calls from places that nobody knows, about one device, which therefore share an incident."""
    device = Name(name="RECLOSER-7", name_type=NameType(name="Device"))
    for ticket in tickets:
        body = TroubleTicket(
            mrid=MRID(ticket),
            date_time_of_report=held.now,
            names=(device,),
            service_location=ServiceLocationIdentity(mrid=MRID(f"place-of-{ticket}")),
        )
        header = Header(
            verb=Verb.CREATE,
            noun=Noun.TROUBLE_TICKETS,
            source="CALLS",
            message_id=MessageID(held.new_id()),
            timestamp=held.now,
        )
        payload = Payload(content=(TroubleTickets(trouble_ticket=(body,)),))
        reply = await held.ask(RequestMessage(header=header, payload=payload))
        assert reply.reply.result.value == "OK", reply.reply.error  # type: ignore[union-attr]


async def named(held: HeldHub) -> list[str]:
    """Tickets that events of incidents have named so far, each as often as it was."""
    found = []
    for entry in await held.log(noun="Incidents", direction=Direction.OUT):
        raw = await held.store.reader.log.find_raw(entry.sequence)
        assert raw is not None
        message = parse_message(raw)
        assert isinstance(message, EventMessage)
        assert message.payload is not None
        (content,) = message.payload.content
        assert isinstance(content, Incidents)
        found += [str(ticket.mrid) for incident in content.incident for ticket in incident.trouble_tickets]
    return sorted(found)


async def test_what_is_held_is_told_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to do anything for it, nor to have switched on the clock of the systems."""
    monkeypatch.setattr(upkeep, "_NEWS_EVERY", upkeep._NEWS_EVERY / 20)
    held = HeldHub()
    await held.open(tmp_path, "hub.tick_seconds = 0\n")
    try:
        await call_in(held, CALLS)
        for _ in range(200):
            if len(await named(held)) == len(CALLS):
                break
            held.later(seconds=1)
            await asyncio.sleep(0.02)
        assert await named(held) == sorted(CALLS)
    finally:
        await held.hub.close()


async def test_the_next_process_tells_what_one_that_ended_held(tmp_path: Path) -> None:
    """It is kept with the ticket itself, in one transaction; and a burst of calls is told of in one message."""
    held = HeldHub()
    await held.open(tmp_path)
    await call_in(held, CALLS)
    before = await named(held)
    assert 0 < len(before) < len(CALLS)
    await held.hub.close()
    await held.open(tmp_path)
    try:
        entries = len(await held.log())
        await held.hub.upkeep.tell_news()
        assert await named(held) == sorted(CALLS)
        assert len(await held.log()) == entries + 1
    finally:
        await held.hub.close()
