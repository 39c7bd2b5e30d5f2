"""The report: one page that tells all, by itself, whatever the names in it are."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

from cimcare.storm.judging import Outcome
from cimcare.storm.page import render_page
from cimcare.storm.plots import Series, draw_bars, draw_lines
from cimcare.storm.proof import LedgerLine, Proof
from cimcare.storm.result import PartnerEnd, Reason, Result, groups_of, judge_storm, minutes_of, spread_of
from cimcare.storm.tally import Tally
from tests.unit.storm.profiles import START, a_plan

PROOF = Proof(how="REST", complete=True, accepted=60, found=60, lost=0, doubled=0, in_doubt=0, found_of_doubt=0)


def a_result(outcome: Outcome = Outcome.OK, proof: Proof | None = PROOF, missing: int = 0, taken: int = 5) -> Result:
    """A storm in which all messages had the same outcome."""
    plan = a_plan()
    tally = Tally(plan)
    for number in range(len(plan.at)):
        tally.due(number)
        tally.settle(number, outcome, 0.1, "", allowed=1.0)
    groups = groups_of(tally)
    answered = len(plan.at) if outcome in (Outcome.OK, Outcome.FAILED) else 0
    ledger = (
        LedgerLine(partner="STORM", account="in", received=answered, delivered=answered, missing=missing),
        LedgerLine(partner="P", account="out", received=5, delivered=5),
    )
    partners = (PartnerEnd(name="P", behaviour="good", taken=taken, again=1),)
    verdict = judge_storm(
        plan, tally, groups, proof=proof, ledger=ledger, partners=partners, source="STORM", hazard_seconds=1.0,
        interrupted=False,
    )  # fmt: skip
    return Result(
        profile="test", title="A storm", profile_digest="0", scale=1.0, seed=1, speed=1.0, start=START, began_at=START,
        seconds=120.0, address="http://x", form="xml", interrupted=False, planned=len(plan.at), tickets=plan.tickets,
        premises=400, connections=8, processor_seconds=1.0, sent=len(plan.at), sent_again=0, late=0,
        starts=spread_of(tally.starts), groups=groups, minutes=minutes_of(tally), hazards_late=tally.hazards_late,
        hazard_seconds=1.0, repeats_accepted=0, estimates_told=0, estimates_changed=0, reasons=(), proof=proof,
        ledger=ledger, partners=partners, verdict=verdict,
    )  # fmt: skip


def _missed(result: Result) -> set[str]:
    return {one.name for one in result.verdict if one.is_met is False}


def test_a_storm_that_was_weathered_is_fine() -> None:
    """Every line says yes."""
    result = a_result()

    assert result.is_fine
    assert {one.is_met for one in result.verdict} == {True}
    assert "The answer is yes" in render_page(result)


@pytest.mark.parametrize(
    ("result", "missed"),
    [
        (a_result(Outcome.BUSY), {"tickets taken", "hazards"}),
        (a_result(Outcome.TIMEOUT), {"tickets taken", "hazards"}),
        (a_result(proof=msgspec.structs.replace(PROOF, lost=1)), {"lost"}),
        (a_result(proof=msgspec.structs.replace(PROOF, doubled=1)), {"doubled"}),
        (a_result(missing=-1), {"ledger"}),
        (a_result(taken=6), {"partners"}),
        (a_result(taken=4), {"partners"}),
    ],
    ids=["busy", "silent", "lost", "doubled", "ledger", "partner too many", "partner too few"],
)
def test_what_went_wrong_makes_the_answer_no(result: Result, missed: set[str]) -> None:
    """Each line of the verdict can say no, and says it for its own reason alone."""
    assert _missed(result) == missed
    assert not result.is_fine
    assert "The answer is no" in render_page(result)


def test_a_ledger_that_counts_otherwise_than_we_do_does_not_balance() -> None:
    """Both ends have to count the same."""
    result = a_result(Outcome.FAULT)  # we had an answer to each, and they count none

    assert "ledger" in _missed(result)


def test_what_was_not_asked_is_not_held_against_anybody() -> None:
    """--no-proof."""
    result = a_result(proof=None)

    assert result.is_fine
    assert any(one.is_met is None for one in result.verdict)


def test_all_of_it_goes_through_json_and_back() -> None:
    """For a program to read."""
    result = a_result()

    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


def test_names_of_others_are_text_and_nothing_else() -> None:
    """A reason is what somebody else's endpoint said."""
    evil = '<script>alert("x")</script>'
    result = msgspec.structs.replace(
        a_result(), title=evil, address=evil, reasons=(Reason(item="ticket", reason=evil, count=1),), notes=(evil,)
    )
    page = render_page(result)

    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_plots_are_whole_documents_of_svg() -> None:
    """A browser shows nothing of a broken one."""
    for svg in re.findall(r"<svg.*?</svg>", render_page(a_result()), re.DOTALL):
        assert ET.fromstring(svg).get("role") == "img"


def test_bars_stand_on_top_of_one_another() -> None:
    """Offered is what all of them reach together."""
    plot = draw_bars([Series("accepted", "b", [10.0, 0.0]), Series("refused", "c", [5.0, 5.0])])
    bars = [
        (float(y), float(h))
        for y, h in re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', plot)
    ]

    assert len(bars) == 3  # nothing is drawn of 0
    assert bars[1][0] + bars[1][1] == pytest.approx(bars[0][0], abs=0.11)
    assert bars[0][1] == pytest.approx(2 * bars[1][1], abs=0.11)


def test_a_minute_without_messages_has_no_point() -> None:
    """A line at 0 would say that answers took no time."""
    plot = draw_lines([Series("p50", "a", [0.5, None, 0.7])], unit="s", mark=1.0)

    assert plot.count("<circle") == 2
    assert "stroke-dasharray" in plot


def test_an_empty_plot_has_its_axis() -> None:
    """Nothing late is good news, and no reason for a gap on the page."""
    assert "<line" in draw_bars([Series("late", "d", [0.0] * 60)])
