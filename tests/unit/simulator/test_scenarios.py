"""Scenarios: what is written of them is what is played, and what is not met is said where."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.codec.convert import Form
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import Role
from cimcare.simulator.answering import objects_of
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.playing import Played, Player, UnmetError
from cimcare.simulator.scenarios import (
    SHIPPED_SCENARIOS,
    ScenarioError,
    find_scenario,
    parse_scenario,
    scenario_text,
)

REPORT = """
[[steps]]
name = "report"
sample = { noun = "TroubleTickets", verb = "create", seed = 7 }
"""
ROLES = {
    "trouble-ticket": Role.OMS,
    "service-order": Role.WMS,
    "customer-agreement": Role.CIS,
    "asynchronous": Role.OMS,
    "bad-sender": Role.OMS,
}


@pytest.fixture
async def oms() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner(name="OMS", role=Role.OMS, behaviour="good")
    await partner.start()
    yield partner
    await partner.stop()


@pytest.fixture
async def ours() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner(name="CIS", role=Role.CIS)
    await partner.start()
    yield partner
    await partner.stop()


async def play(text: str, url: str, **more: object) -> list[Played]:
    played: list[Played] = []
    await Player(url, on_step=played.append, **more).play(parse_scenario(text))  # type: ignore[arg-type]
    return played


@pytest.mark.parametrize("name", SHIPPED_SCENARIOS)
async def test_what_comes_with_the_product_goes_well_with_a_good_partner(name: str, ours: SimulatedPartner) -> None:
    """Twice with one seed, since a partner may have met it before, and with another one."""
    behaviour = "later:1:0.01" if name == "asynchronous" else "good"
    partner = SimulatedPartner(name="THEM", role=ROLES[name], behaviour=behaviour)
    await partner.start()
    scenario = find_scenario(name)
    for seed, form in (("", None), ("2", Form.SOAP12), ("3", Form.JSON), ("4", Form.XML)):
        assert await Player(f"{partner.address}/soap", seed=seed, form=form, ours=ours).play(scenario) == len(
            scenario.steps
        )
    await partner.stop()


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("refuse:6.1", r"step 1 \(report\): create TroubleTickets: expected result OK; got FAILED \(6.1 not here\)"),
        ("wrong-id", r"expected a reply to MessageID .*; this one has CorrelationID"),
        ("fault", r"expected a reply OK; got fault: .*5.3, HTTP status 500"),
        ("garbage", r"expected a reply OK; got .*the body is no message"),
        ("die", r"expected a reply OK; got no answer"),
        ("hang", r"expected a reply OK; got no answer within 0.3 s"),
        ("redirect", r"expected a reply OK; got .*HTTP status 307"),
        ("truncate", r"expected a reply OK; got .*no message"),
    ],
)
async def test_what_is_not_met_is_said(oms: SimulatedPartner, behaviour: str, told: str) -> None:
    """In which step, what was expected, what came."""
    oms.behave(behaviour)
    with pytest.raises(UnmetError, match=told):
        await play(REPORT + 'expect = { result = "OK", within_seconds = 0.3 }', oms.address)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("status = [400, 500]", "HTTP status 400 or 500; got OK"),
        ("fault = true", "expected a fault"),
        ("no_answer = true", "expected no answer"),
        ("not_taken = true", "expected a refusal"),
        ('codes = ["0.0", "9.9"]', "expected code 9.9"),
        ("ids = 2", "at least 2 ID, not 1"),
        ("found = 1", "at least 1 objects, not 0"),
    ],
)
async def test_each_expectation_can_fail(oms: SimulatedPartner, expected: str, told: str) -> None:
    """One that cannot shows nothing."""
    with pytest.raises(UnmetError, match=told):
        await play(f"{REPORT}expect = {{ {expected} }}", oms.address)


async def test_another_reply_to_the_same_message_is_noticed(oms: SimulatedPartner) -> None:
    """A repeat that is done anew is a doubled effect."""
    again = '[[steps]]\nagain = "report"\nexpect = { same_as = "report" }'
    await play(REPORT + again, oms.address)
    asyncio.get_running_loop().call_later(0.1, oms.behave, "busy")
    with pytest.raises(UnmetError, match=r"step 3: .*: expected the reply of step 'report' once more"):
        await play(f"{REPORT}[[steps]]\nwait_seconds = 0.3\n{again}", oms.address, seed="9")


async def test_what_does_not_come_is_said(oms: SimulatedPartner, ours: SimulatedPartner) -> None:
    """With what came instead."""
    waits = '[[steps]]\narrives = { verb = "created", answers = "report", within_seconds = 0.2 }'
    with pytest.raises(UnmetError, match=r"expected created about step 'report' within 0.2 s; got nothing at http"):
        await play(REPORT + waits, oms.address, ours=ours)
    with pytest.raises(ScenarioError, match="we have to listen somewhere"):
        await play(REPORT + waits, oms.address)


async def test_a_role_tells_of_what_it_did(ours: SimulatedPartner) -> None:
    """As an event about the same object, after the answer."""
    oms = SimulatedPartner(name="OMS", role=Role.OMS, publish_to=[f"{ours.address}/soap"])
    await oms.start()
    text = f"""{REPORT}
[[steps]]
arrives = {{ verb = "created", noun = "TroubleTickets", answers = "report", within_seconds = 10 }}
"""
    assert len(await play(text, oms.address, ours=ours)) == 2
    await oms.stop()


async def test_speed_shortens_the_time_between_steps(oms: SimulatedPartner) -> None:
    """A day can be played in a minute."""
    text = f"{REPORT}at_seconds = 0\n[[steps]]\nagain = 'report'\nat_seconds = 3600\n[[steps]]\nwait_seconds = 3600"
    async with asyncio.timeout(30):
        assert len(await play(text, oms.address, speed=100_000)) == 3


async def test_a_step_about_an_object_needs_its_identifier(oms: SimulatedPartner) -> None:
    """And says so, instead of asking about nothing."""
    oms.behave("refuse")
    about = '[[steps]]\nobject = "report"\nsample = { noun = "TroubleTickets", verb = "close" }'
    with pytest.raises(UnmetError, match="step 2: the answer to step 'report' has no ID"):
        await play(REPORT + about, oms.address)


async def test_what_is_said_stands_at_the_head_of_the_scenario(oms: SimulatedPartner) -> None:
    """One file for several utilities."""
    await play(f'source = "MINE"\ncontext = "STUDY"\n{REPORT}', oms.address)
    assert oms.messages[0].header.source == "MINE"
    assert oms.messages[0].header.context == "STUDY"


async def test_messages_may_stand_in_files(oms: SimulatedPartner, tmp_path: Path) -> None:
    """Beside the scenario, wherever that is."""
    text = scenario_text("customer-agreement")
    (tmp_path / "agree.xml").write_text(text.split("'''")[1].strip())
    file = tmp_path / "mine.toml"
    file.write_text('[[steps]]\nfile = "agree.xml"\nexpect = { result = "FAILED", codes = ["2.5"] }')
    assert await Player(oms.address).play(find_scenario(str(file))) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "steps"),
        ("steps = []", "no steps"),
        ("[[steps]]\n", "does 0 things"),
        (f"{REPORT}wait_seconds = 1", "does 2 things"),
        ("[[steps]]\nwait_seconds = 1\nbadly = 'cut'", "sends nothing"),
        (f"{REPORT}badly = 'kindly'", "badly is 'kindly'"),
        (f"{REPORT}badly = 'drip'", "badly is 'drip'"),
        (f"{REPORT}badly = 'cut:1'", "badly is 'cut:1'"),
        (f"{REPORT}object = 'other'", "no step before it is called 'other'"),
        (REPORT + REPORT, "a step of that name"),
        ("[[steps]]\nmessage = '<x/>'", "ENV-101"),
        ("[[steps]]\nfile = 'nowhere.xml'", "cannot be read"),
        ("[[steps]]\nsample = { noun = 'Bills', verb = 'create' }", "Bills"),
        ("[[steps]]\ncolour = 1", "colour"),
        ("not toml", "="),
    ],
)
def test_a_file_that_cannot_be_played_says_why(text: str, told: str) -> None:
    """With the name of the file and the step."""
    with pytest.raises(ScenarioError, match=r"^mine\.toml") as caught:
        parse_scenario(text, place="mine.toml")
    assert told in str(caught.value)


def test_an_unknown_scenario_is_refused() -> None:
    """With the names of those that there are."""
    with pytest.raises(ScenarioError, match="trouble-ticket"):
        find_scenario("nowhere.toml")
    with pytest.raises(KeyError):
        scenario_text("nowhere")


GAVE = """
[[steps]]
name = "report"
sample = { noun = "TroubleTickets", verb = "create", seed = 7 }
gave = ["11111111-2222-4333-8444-555555555555"]

[[steps]]
message = '''<RequestMessage xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>get</Verb>
<Noun>TroubleTickets</Noun></Header><Request><ID>11111111-2222-4333-8444-555555555555</ID><ID>TT-2</ID>
</Request></RequestMessage>'''
"""


@pytest.mark.parametrize("seed", ["", "5"])
async def test_identifiers_that_came_back_then_stand_for_those_that_come_back_now(
    oms: SimulatedPartner, seed: str
) -> None:
    """Whoever recorded it had other ones; what nobody gave stays, or is another one for another seed."""
    await play(GAVE, oms.address, seed=seed)
    created, got = oms.messages
    assert isinstance(got, RequestMessage)
    assert got.request is not None
    mrid = next(text for text in objects_of(created) if "TT-" not in text).partition(" ")[2]
    first, second = (one.value for one in got.request.id)
    assert first == mrid
    assert second.startswith("TT-2")
    assert (second == "TT-2") is (seed == "")
