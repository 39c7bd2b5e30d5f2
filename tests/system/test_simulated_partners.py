"""A hub among simulated partners: scenarios against it, and partners that do to it whatever there is to be done."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.client import Peer
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.operation.balance import balances
from cimcare.hub.serving.lifespan import RunningHub
from cimcare.model.envelope import RequestMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.acts import WITHOUT_EFFECT, Act
from cimcare.simulator.behaviours import shipped_text
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.playing import Player
from cimcare.simulator.running import running_partner
from cimcare.simulator.scenarios import SHIPPED_SCENARIOS, find_scenario
from cimcare.store.opening import open_reader
from tests.support.hub import local_hub

QUICK = """
[delivery]
poll_seconds = 0.05
"""
PATIENT = """
deadline_seconds = 1
retry_first_seconds = 0.02
retry_most_seconds = 0.1
parallel = 8
"""
HOSTILE = "hostile-and-quick.toml"
REFUSED_FOR_GOOD = frozenset({Act.REFUSE, Act.FAULT})


@pytest.mark.parametrize("name", SHIPPED_SCENARIOS)
async def test_every_scenario_goes_well_with_a_hub(tmp_path: Path, name: str) -> None:
    """What the product asks of others it does itself."""
    ours = SimulatedPartner(name="CIS")
    await ours.start()
    async with local_hub(tmp_path, seed_town=True) as running:
        scenario = find_scenario(name)
        assert await Player(f"{running.address}/soap", ours=ours).play(scenario) == len(scenario.steps)
    await ours.stop()


async def test_every_hostile_act_leaves_nothing_lost_and_the_ledger_balanced(tmp_path: Path) -> None:
    """Whatever a partner does to it, each event takes effect once, or is a dead letter with a reason."""
    (tmp_path / HOSTILE).write_text(_quick_and_hostile())
    with (
        running_partner(name="GIS", behaviour=str(tmp_path / HOSTILE)) as partner,
        running_partner(name="WELL") as well,
    ):
        settings = "".join(
            f'[partners.{name}]\nurl = "{at}/soap"\nsource = "{name.upper()}"\n{PATIENT}'
            f'[subscriptions.{name}]\npartner = "{name}"\nnouns = ["TroubleTickets"]\nverbs = ["created"]\n'
            for name, at in (("gis", partner.address), ("well", well.address))
        )
        async with local_hub(tmp_path, QUICK + settings) as running:
            sent = [await _create(running, number) for number in range(60)]
            await _until_settled(tmp_path)
        async with open_reader(f"sqlite:///{tmp_path / 'hub.db'}") as reader:
            dead = await reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=1000))
            now = datetime.now(UTC)
            uneven = [one for one in await balances(reader, now - timedelta(hours=2), now) if one.missing]
    assert {entry.act for entry in partner.entries} == set(Act)
    assert not uneven
    assert len(well.effects) == len(sent)
    had, given_up = {entry.message_id for entry in partner.effects}, {one.message_id for one in dead}
    assert had | given_up == {entry.message_id for entry in well.effects}
    assert all(one.partner == "gis" and one.reason for one in dead)
    refusals = {entry.message_id for entry in partner.entries if entry.act in REFUSED_FOR_GOOD}
    assert given_up <= refusals
    assert all(entry.act not in WITHOUT_EFFECT for entry in partner.effects)


async def test_what_a_hostile_owner_has_done_is_what_the_hub_says_it_has_done(tmp_path: Path) -> None:
    """A sender that is told OK may rely on it; what failed was said to have failed; the ledger balances."""
    (tmp_path / HOSTILE).write_text(_quick_and_hostile())
    with running_partner(name="ADMS", behaviour=str(tmp_path / HOSTILE)) as partner:
        table = f'[systems.oms]\nsource = "ADMS"\nurl = "{partner.address}/soap"\n{PATIENT}'
        async with local_hub(tmp_path, QUICK + table) as running:
            answers = {f"m-{number}": await _ask(running, number) for number in range(2 * len(Act))}
            await _until_settled(tmp_path)
        async with open_reader(f"sqlite:///{tmp_path / 'hub.db'}") as reader:
            now = datetime.now(UTC)
            assert not [one for one in await balances(reader, now - timedelta(hours=2), now) if one.missing]
    assert {entry.act for entry in partner.entries} == set(Act)
    done = [entry.message_id for entry in partner.effects]
    assert len(done) == len(set(done))
    assert {message_id for message_id, result in answers.items() if result is Result.OK} <= set(done)
    assert set(answers.values()) == {Result.OK, Result.FAILED}


def _quick_and_hostile() -> str:
    """The shipped behaviour, with less patience asked of a test."""
    text = shipped_text("hostile")
    for old, new in (("slow:5", "slow:1.5"), ("drip:3", "drip:1.5"), ("huge:40", "huge:9")):
        assert old in text
        text = text.replace(old, new)
    return text


async def _create(running: RunningHub, number: int) -> str:
    assert await _ask(running, number) is Result.OK
    return f"m-{number}"


async def _ask(running: RunningHub, number: int) -> Result:
    """Report a trouble; what the reply says."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=number)
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    header = msgspec.structs.replace(message.header, source="CALLS", message_id=MessageID(f"m-{number}"))
    (root,) = message.payload.content
    (ticket,) = root.trouble_ticket  # type: ignore[union-attr]
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    ticket = msgspec.structs.replace(ticket, mrid=mrid, names=(), incident=None)
    root = msgspec.structs.replace(root, trouble_ticket=(ticket,))  # type: ignore[call-arg]
    payload = msgspec.structs.replace(message.payload, content=(root,))
    async with Peer(running.address) as peer:
        answer = await peer.send(msgspec.structs.replace(message, header=header, payload=payload))
    assert answer.message is not None
    return answer.message.reply.result


async def _until_settled(folder: Path) -> None:
    """Until nothing waits any more."""
    async with asyncio.timeout(60), open_reader(f"sqlite:///{folder / 'hub.db'}") as reader:
        while any(one.waiting + one.awaiting for one in await reader.outbox.backlogs()):
            await asyncio.sleep(0.1)
