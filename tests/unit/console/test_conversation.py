"""What a conversation is drawn from: the log and the outbox, and nothing else."""

import pytest

from cimcare.console.messages.conversation import Arrow, ArrowKind, Conversation, Lane, find_conversation
from cimcare.console.messages.drawing import draw_mermaid, draw_svg
from cimcare.exchange.log import Direction, Outcome, Transport
from cimcare.exchange.partners import Partner
from cimcare.exchange.store import Store
from cimcare.hub.intake.setup import Setup, setup_of
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_store
from tests.support.dead_letters import FAILED, put, put_dead
from tests.support.stored import an_entry
from tests.unit.hub.conftest import HeldHub

SOURCES = {Role.CIS: "CIS", Role.OMS: "OMS", Role.WMS: "WMS", Role.THIRD_PARTY: "THIRD-PARTY"}
OMS = Partner(name="oms", source="OMS", url="http://oms", role=Role.OMS, owns=(Noun.TROUBLE_TICKETS, Noun.INCIDENTS))
GIS = Partner(name="gis", source="GIS", url="http://gis")


async def drawn(store: Store, correlation: str, setup: Setup | None = None) -> Conversation:
    found = await find_conversation(store.reader, setup or setup_of(SOURCES, (GIS,)), correlation)
    assert found is not None
    return found


def told(conversation: Conversation) -> list[tuple[str, str, str, str]]:
    return [(one.sender, one.receiver, f"{one.verb} {one.noun}", one.kind.value) for one in conversation.arrows]


async def test_a_ticket_for_the_built_in_systems(held: HeldHub) -> None:
    """The figure of the standard, with the events that the customer system hears in the same transaction."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    await held.ask(message)
    correlation = str(message.header.correlation_id or message.header.message_id)  # type: ignore[union-attr]
    found = await find_conversation(held.store.reader, held.hub.pipeline.setup, correlation)
    assert found is not None
    source = str(message.header.source)  # type: ignore[union-attr]
    assert told(found)[:3] == [
        (source, "OMS", "create TroubleTickets", "request"),
        ("OMS", source, "reply TroubleTickets", "reply"),
        ("OMS", "CIS", "created TroubleTickets", "event"),
    ]
    assert found.arrows[1].outcome is Outcome.OK


async def test_what_the_hub_only_passes_on_goes_through_its_lane() -> None:
    """Who looks for a lost reply has to see on which leg it was."""
    store = await open_store("memory:")
    async with store.transaction() as transaction:
        facts = {"noun": "TroubleTickets", "correlation_id": "c", "transport": Transport.SOAP11}
        request, reply = {"archetype": "RequestMessage", "verb": "create"}, {"archetype": "ResponseMessage"}
        asked = await transaction.log.append(an_entry(partner="CIS", **facts, **request), b"")
        passed = await transaction.log.append(
            an_entry(direction=Direction.OUT, partner="oms", answer_to=asked, **facts, **request), b""
        )
        await transaction.log.append(an_entry(partner="OMS", answer_to=passed, verb="reply", **facts, **reply), b"")
        await transaction.log.append(
            an_entry(direction=Direction.OUT, partner="CIS", answer_to=asked, verb="reply", **facts, **reply), b""
        )
    found = await drawn(store, "c", setup_of(SOURCES, (OMS,)))
    assert [(sender, receiver) for sender, receiver, _, _ in told(found)] == [
        ("CIS", "hub"),
        ("hub", "oms"),
        ("OMS", "hub"),
        ("hub", "CIS"),
    ]
    assert {lane.name: lane.kind for lane in found.lanes}["hub"] == "passes on"
    await store.close()


async def test_what_waits_and_what_was_given_up_is_drawn_too() -> None:
    """Dead ends are what one looks for."""
    store = await open_store("memory:")
    await put(store, "waits")
    await put_dead(store)
    setup = setup_of(SOURCES, (GIS,))
    for message, kind in (("m-waits", ArrowKind.WAITING), (f"m-gis0{FAILED[:20]}{{}}", ArrowKind.DEAD)):
        found = await drawn(store, message, setup)
        (arrow,) = [one for one in found.arrows if one.delivery]
        assert (arrow.sender, arrow.receiver, arrow.kind) == ("OMS", "gis", kind)
        drawing = draw_svg(found)
        assert f'class="{kind}' in drawing
    assert FAILED in arrow.note
    assert "-x" in draw_mermaid(found)
    await store.close()


async def test_nothing_is_no_conversation() -> None:
    """The page says so."""
    store = await open_store("memory:")
    assert await find_conversation(store.reader, setup_of(SOURCES, ()), "none") is None
    await store.close()


@pytest.mark.parametrize("alone", [False, True])
def test_names_of_partners_are_texts_and_nothing_else(alone: bool) -> None:
    """What a partner calls itself must not become part of the page."""
    name = '</text><script>alert("1")</script>;end'
    arrow = Arrow(
        at=an_entry().received_at, sender=name, receiver=name, verb="create", noun='"<b>', kind=ArrowKind.REQUEST
    )
    conversation = Conversation(correlation=name, lanes=(Lane(name=name, kind="caller"),), arrows=(arrow,))
    assert "<script" not in draw_svg(conversation, alone=alone)
    assert "<b>" not in draw_svg(conversation, alone=alone)
    assert not set(draw_mermaid(conversation)) & set('<"')
