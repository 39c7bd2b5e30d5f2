"""Estimated restoration times have a birth certificate, and only real changes leave the house."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.systems.etr import Etr, parse_remark, render_remark
from cimcare.systems.oms.estimates import (
    MOVES,
    NOTHING_SAID,
    Estimate,
    EstimateRules,
    EstimateSource,
    Stage,
    StormMode,
    churn_of,
    decide_estimate,
    estimate_of,
    is_expired,
    may_follow,
    say_estimate,
    told_of,
    withdrawal_of,
)

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
RULES = EstimateRules()


def area(hours: float = 2, **more: object) -> Estimate:
    given = {"source": EstimateSource.OPERATOR, "who": "Ana Ruiz", "said_at": NINE, **more}
    return Estimate(stage=Stage.AREA, at=NINE + timedelta(hours=hours), **given)  # type: ignore[arg-type]


def crew(hours: float = 2, **more: object) -> Estimate:
    given = {"source": EstimateSource.CREW, "who": "crew 7", "said_at": NINE, **more}
    return Estimate(stage=Stage.CREW, at=NINE + timedelta(hours=hours), **given)  # type: ignore[arg-type]


def decide(told: Estimate, new: Estimate, *, is_storm: bool = False, now: datetime = NINE) -> tuple[bool, bool]:
    decision = decide_estimate(told, new, now=now, rules=RULES, is_storm=is_storm)
    assert decision.reason
    return decision.is_taken, decision.is_told


def test_the_table_of_stages_is_this_one() -> None:
    """Written out by hand, so that a slip in the table cannot change what is promised."""
    allowed = {
        ("none", "assessing"),
        ("none", "areaEstimate"),
        ("none", "crewEstimate"),
        ("assessing", "areaEstimate"),
        ("assessing", "crewEstimate"),
        ("areaEstimate", "areaEstimate"),
        ("areaEstimate", "crewEstimate"),
        ("areaEstimate", "withdrawn"),
        ("crewEstimate", "crewEstimate"),
        ("crewEstimate", "withdrawn"),
        ("withdrawn", "assessing"),
        ("withdrawn", "areaEstimate"),
        ("withdrawn", "crewEstimate"),
    }
    assert {(old.value, new.value) for old in Stage for new in Stage if may_follow(old, new)} == allowed
    assert set(MOVES) == set(Stage)


def test_an_estimate_by_nobody_cannot_be_made() -> None:
    """The time that no one has said is the lie that customers remember."""
    for lacking in ({"who": ""}, {"source": None}, {"said_at": None}):
        with pytest.raises(ValueError, match="from whom"):
            area(**lacking)


def test_a_time_belongs_to_the_stages_of_estimates_alone() -> None:
    """While damage is assessed there is no time that anybody could tell."""
    with pytest.raises(ValueError, match="alone"):
        Estimate(stage=Stage.ASSESSING, at=NINE, source=EstimateSource.OPERATOR, who="Ana", said_at=NINE)
    with pytest.raises(ValueError, match="alone"):
        Estimate(stage=Stage.CREW, source=EstimateSource.CREW, who="crew 7", said_at=NINE)


def test_a_time_that_is_past_is_refused() -> None:
    """Supply that is expected back an hour ago is no estimate."""
    assert decide(NOTHING_SAID, area(hours=-1)) == (False, False)
    assert decide(NOTHING_SAID, area(hours=0)) == (False, False)
    assert decide(NOTHING_SAID, area(hours=1, valid_until=NINE)) == (False, False)
    assert decide(NOTHING_SAID, area(hours=1)) == (True, True)


def test_an_area_estimate_does_not_replace_what_a_crew_said() -> None:
    """Who stands before the broken pole knows better than who draws circles on a map."""
    assert decide(crew(), area(hours=5)) == (False, False)
    assert decide(area(), crew(hours=5)) == (True, True)


def test_in_storm_assessment_nothing_but_an_operator_estimates_an_area() -> None:
    """The first hours of a storm are when automatic times are worst."""
    automatic = area(source=EstimateSource.HISTORY, who="median of 40 outages of fuses")
    assert decide(NOTHING_SAID, automatic, is_storm=True) == (False, False)
    assert decide(NOTHING_SAID, automatic) == (True, True)
    assert decide(NOTHING_SAID, area(), is_storm=True) == (True, True)
    assert decide(NOTHING_SAID, crew(), is_storm=True) == (True, True)


def test_storm_assessment_begins_by_number_or_by_switch() -> None:
    """An operator overrules the count, both ways."""
    assert [EstimateRules(storm_incidents=3).is_storm(many) for many in (3, 4)] == [False, True]
    assert EstimateRules(storm=StormMode.ON).is_storm(0)
    assert not EstimateRules(storm=StormMode.OFF).is_storm(10_000)


def test_small_changes_go_to_nobody_until_they_add_up() -> None:
    """A time that moves by five minutes each quarter of an hour is noise; by half an hour it is news."""
    told = crew(hours=2)
    assert decide(told, crew(hours=2)) == (True, False)
    assert decide(told, crew(hours=2.2)) == (True, False)
    assert decide(told, crew(hours=2.25)) == (True, True)
    assert decide(told, crew(hours=1.7)) == (True, True)


def test_an_estimate_ends_with_its_validity_and_at_the_latest_with_its_time() -> None:
    """What was expected for two o'clock is no answer at three."""
    assert not is_expired(area(hours=2), NINE + timedelta(minutes=119))
    assert is_expired(area(hours=2), NINE + timedelta(hours=2))
    short = area(hours=2, valid_until=NINE + timedelta(hours=1))
    assert is_expired(short, NINE + timedelta(hours=1))
    late = area(hours=2, valid_until=NINE + timedelta(hours=9))
    assert is_expired(late, NINE + timedelta(hours=2))
    assert not is_expired(NOTHING_SAID, NINE + timedelta(days=900))
    withdrawn = withdrawal_of(short, NINE + timedelta(hours=1))
    assert (withdrawn.stage, withdrawn.at) == (Stage.WITHDRAWN, None)
    assert "2026-03-02T10:00:00Z" in withdrawn.who


def test_churn_counts_what_customers_heard_change() -> None:
    """The measure of how often people were told otherwise."""
    first, same, later = area(2), crew(2), crew(3)
    gone = withdrawal_of(later, NINE)
    assert churn_of([]) == churn_of([first]) == churn_of([first, same]) == 0
    assert churn_of([first, same, later]) == 1
    assert churn_of([first, later, gone]) == 2
    assert churn_of([first, later, gone, first]) == 2


def test_an_incident_names_the_source_and_what_sort_it_is() -> None:
    """Who reads the message sees whether a crew or the control room has spoken."""
    assert render_remark(told_of(area(confidence=0.6, valid_until=NINE + timedelta(hours=1)))) == (
        "by operator Ana Ruiz, confidence 60 %, said 2026-03-02T09:00:00Z, valid until 2026-03-02T10:00:00Z"
    )
    assert render_remark(told_of(crew())) == "by crew crew 7, said 2026-03-02T09:00:00Z"
    assert render_remark(told_of(NOTHING_SAID)) == ""


instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
people = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    stage = draw(st.sampled_from([stage for stage in Stage if stage is not Stage.NONE]))
    is_timed = stage in (Stage.AREA, Stage.CREW)
    words = draw(st.lists(people | st.sampled_from(["(crew)", "confidence", "said", "by"]), min_size=1))
    return Estimate(
        stage=stage,
        at=draw(instants) if is_timed else None,
        source=draw(st.sampled_from(EstimateSource)),
        who=" ".join(words),
        confidence=draw(st.none() | st.integers(0, 100).map(lambda percent: percent / 100)) if is_timed else None,
        valid_until=draw(st.none() | instants) if is_timed else None,
        said_at=draw(instants),
    )


@given(estimates())
def test_an_estimate_is_read_back_as_it_was_meant(estimate: Estimate) -> None:
    """The next decision rests on what stands in the incident, so nothing of it may get lost."""
    told = told_of(estimate)
    read = msgspec.structs.replace(parse_remark(render_remark(told)), stage=told.stage, at=told.at)
    assert estimate_of(read) == estimate


def test_what_others_wrote_is_no_estimate_of_ours() -> None:
    """A time without source, or without the instant when it was said, has no birth certificate."""
    assert estimate_of(Etr(stage=Stage.AREA, at=NINE, source="the weather")) == NOTHING_SAID
    assert estimate_of(Etr(stage=Stage.CREW, at=NINE, source="crew 7")) == NOTHING_SAID


def test_a_caller_hears_the_time_with_its_source() -> None:
    """What the agent reads out: never a bare time, and never silence."""
    assert say_estimate(NOTHING_SAID) == "No restoration time is known yet."
    assert say_estimate(crew(confidence=0.8)) == (
        "Supply is expected back 2026-03-02 11:00 UTC: an estimate for this outage by crew 7 (crew, confidence 80 %, "
        "said 2026-03-02 09:00 UTC)."
    )
    assessing = Estimate(stage=Stage.ASSESSING, source=EstimateSource.OPERATOR, who="Ana Ruiz", said_at=NINE)
    assert "no restoration time is known yet" in say_estimate(assessing)
    assert "was withdrawn" in say_estimate(withdrawal_of(crew(), NINE))
