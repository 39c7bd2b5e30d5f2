"""The demonstration: what it plays, what it writes down, and what it does when something goes wrong."""

from pathlib import Path

import msgspec
import pytest

from cimcare.client import NoAnswerError, Peer
from cimcare.demo.play import play_demo
from cimcare.demo.show import print_demo
from cimcare.demo.stage import Stage
from cimcare.demo.steps import Demo, Exchange, Step
from cimcare.model.nouns import Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from tests.support.fake_peer import fake_peer
from tests.support.hub import local_hub

FIGURES = {
    2: ("TroubleTickets", {"create", "change", "cancel", "get"}),
    4: ("Incidents", {"get", "created", "changed", "closed"}),
    6: ("ServiceRequests", {"create", "change", "cancel", "close", "get"}),
    8: ("ServiceOrders", {"create", "change", "cancel", "get"}),
    9: ("WorkRequests", {"create", "change", "close", "get"}),
    10: ("CustomerAgreements", {"create", "change", "close", "get", "closed"}),
}
"""What each figure is about, and the verbs that are sent with its noun."""

STEP = Step(
    sender="CIS",
    receiver="OMS",
    verb="create",
    noun="TroubleTickets",
    kind="request",
    why="no light",
    service="generic, SOAP 1.1",
    message_id="1234567890",
    result="OK",
    codes=("0.0",),
    ids=("abcdefghij",),
    expected="OK",
    stored_as=7,
)


async def test_plays_six_figures_as_expected_and_twice(tmp_path: Path) -> None:
    """A whole utility talks: each figure with its noun, over both versions of SOAP and typed services."""
    async with local_hub(tmp_path, seed_town=True) as hub:
        for _ in range(2):
            played = await play_demo(hub.address)
            assert played.went_as_expected
            assert {exchange.figure for exchange in played.exchanges} == set(FIGURES)
            for exchange in played.exchanges:
                noun, verbs = FIGURES[exchange.figure]
                sent = [step for step in exchange.steps if step.kind != "consequent event"]
                assert {step.verb for step in sent if step.noun == noun} == verbs
                assert all(step.result and step.service and step.message_id for step in sent)
                assert all(step.correlation_id for step in sent)
            services = {step.service for step in played.sent}
            assert {"generic, SOAP 1.1", "generic, SOAP 1.2", "ReceiveIncidents, SOAP 1.1"} <= services
            assert [step.expected for step in played.sent if step.result == "FAILED"] == ["FAILED 5.8", "FAILED 6.1"]


async def test_events_follow_what_caused_them(tmp_path: Path) -> None:
    """The reader sees consequences where they belong: below the step, linked by the CorrelationID."""
    async with local_hub(tmp_path, seed_town=True) as hub:
        played = await play_demo(hub.address)
    for exchange in played.exchanges:
        cause = exchange.steps[0]
        assert cause.kind != "consequent event"
        for step in exchange.steps:
            if step.kind == "consequent event":
                assert Verb(step.verb) in EVENT_VERBS
                assert step.correlation_id == cause.correlation_id
                assert cause.result == "OK"
                assert step.receiver != step.sender
            else:
                cause = step
                assert Verb(step.verb) in (EVENT_VERBS if step.kind == "event" else REQUEST_VERBS)


async def test_a_reply_that_was_not_expected_ends_its_exchange_and_no_other(tmp_path: Path) -> None:
    """Against a hub in another state the demo must end in a verdict and not in a traceback."""
    async with local_hub(tmp_path) as hub, Peer(hub.address) as peer:
        stage = Stage(peer)
        with stage.exchange(2, "Trouble ticket", Noun.TROUBLE_TICKETS):
            await stage.say("CIS", "OMS", Verb.CANCEL, Noun.TROUBLE_TICKETS, "nothing there", ids=("x",))
            raise AssertionError("the exchange ends at the reply that was not expected")
        with stage.exchange(4, "Incidents", Noun.INCIDENTS):
            assert (
                await stage.say("CIS", "OMS", Verb.GET, Noun.INCIDENTS, "asks", ids=("x",), expected="FAILED 2.15")
                == ()
            )
    demo = Demo(address=hub.address, exchanges=stage.exchanges)
    assert not demo.went_as_expected
    first, second = demo.exchanges
    assert [(step.result, step.codes, step.stored_as) for step in first.steps] == [("FAILED", ("2.15",), 1)]
    assert "REF-103" in first.steps[0].detail
    assert not first.steps[0].went_as_expected
    assert [step.went_as_expected for step in second.steps] == [True]


async def test_nobody_there_is_told() -> None:
    """The one error that is not a step of the play."""
    with fake_peer() as peer, pytest.raises(NoAnswerError, match="status 404; a WSDL was expected"):
        await play_demo(peer.address)
    with pytest.raises(NoAnswerError, match="could not connect"):
        await play_demo(peer.address)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"stored_as": None}, False),
        ({"result": "FAILED", "codes": ("5.8",)}, False),
        ({"result": "FAILED", "codes": ("5.8",), "expected": "FAILED 5.8"}, True),
        ({"result": "FAILED", "codes": ("2.9",), "expected": "FAILED 5.8"}, False),
        ({"result": "FAILED", "codes": (), "expected": "FAILED 5.8"}, False),
        ({"result": "", "expected": "OK"}, False),
        ({"kind": "consequent event", "result": "", "expected": ""}, True),
    ],
)
def test_a_step_went_well_if_reply_and_store_say_so(change: dict[str, object], expected: bool) -> None:
    """The exit code of `demo --once` hangs on this."""
    step = msgspec.structs.replace(STEP, **change)
    assert step.went_as_expected is expected
    demo = Demo(address="http://x", exchanges=(Exchange(figure=2, title="t", clause="c", steps=(STEP, step)),))
    assert demo.went_as_expected is expected
    assert demo.as_data()["ok"] is expected


def test_print_marks_what_was_not_expected(capsys: pytest.CaptureFixture[str]) -> None:
    """In three pages of transcript the wrong step must catch the eye, with its reason."""
    wrong = msgspec.structs.replace(STEP, result="FAILED", codes=("5.8",), detail="BUS-105 nobody named")
    event = msgspec.structs.replace(
        STEP, kind="consequent event", verb="created", why="open", receiver="CIS", sender="OMS", expected="", result=""
    )
    exchange = Exchange(figure=2, title="Trouble ticket", clause="5.2", steps=(STEP, event, wrong))
    print_demo(Demo(address="http://x", exchanges=(exchange,)))
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if "<--" in line]
    assert len(marked) == 1
    assert marked[0].endswith("<-- expected OK")
    assert "FAILED 5.8" in marked[0]
    assert any("BUS-105 nobody named" in line for line in lines)
    assert any(
        "OMS ..> CIS" in line and "created TroubleTickets" in line and "abcdefgh: open" in line for line in lines
    )
    assert (
        lines[-1]
        == "2 messages sent over SOAP, 2 found stored, 1 events followed; NOT every reply was the expected one."
    )
