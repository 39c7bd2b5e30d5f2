"""Estimated restoration times: who said them, how sure they are, how long they hold, and which may be told. Pure.

An estimate is never made up here. Its stages:

==================  ================================================================================================
from                to
==================  ================================================================================================
none                assessing, areaEstimate, crewEstimate
assessing           areaEstimate, crewEstimate
areaEstimate        areaEstimate (another one), crewEstimate, withdrawn
crewEstimate        crewEstimate (another one), withdrawn: what a crew has seen is not replaced by a guess for the area
withdrawn           assessing, areaEstimate, crewEstimate
==================  ================================================================================================

How messages carry an estimate, and read it: `cimcare.systems.etr`.

Source: IEC 61968-8:2015, clause 5.3 for estimatedPeriod; stages and rules of holding are ours.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise

import msgspec

from cimcare.systems.etr import Etr, EtrStage

__all__ = [
    "MOVES",
    "NOTHING_SAID",
    "Decision",
    "Estimate",
    "EstimateRules",
    "EstimateSource",
    "Stage",
    "StormMode",
    "churn_of",
    "decide_estimate",
    "estimate_of",
    "is_expired",
    "may_follow",
    "say_estimate",
    "told_of",
    "withdrawal_of",
]


Stage = EtrStage
"""How far the utility is in saying when supply is back."""


class EstimateSource(StrEnum):
    """What sort of source an estimate has: a person in the control room, a crew, past outages, a rule of validity."""

    OPERATOR = "operator"
    CREW = "crew"
    HISTORY = "history"
    RULE = "rule"


class StormMode(StrEnum):
    """Whether storm assessment is switched on, off, or follows from the number of incidents."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.NONE: frozenset({Stage.ASSESSING, Stage.AREA, Stage.CREW}),
    Stage.ASSESSING: frozenset({Stage.AREA, Stage.CREW}),
    Stage.AREA: frozenset({Stage.AREA, Stage.CREW, Stage.WITHDRAWN}),
    Stage.CREW: frozenset({Stage.CREW, Stage.WITHDRAWN}),
    Stage.WITHDRAWN: frozenset({Stage.ASSESSING, Stage.AREA, Stage.CREW}),
}
"""Where each stage may lead."""

_TIMED = frozenset({Stage.AREA, Stage.CREW})
_LONGEST_SOURCE = 200


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about the end of an outage.

    `at` is the instant at which supply is expected back, there in the stages areaEstimate and crewEstimate alone.
    `who` names the source, `confidence` is from 0 to 1 and None where the source stated none. An estimate holds until
    `valid_until`; where that is None, until `at`.
    """

    stage: Stage = Stage.NONE
    at: datetime | None = None
    source: EstimateSource | None = None
    who: str = ""
    confidence: float | None = None
    valid_until: datetime | None = None
    said_at: datetime | None = None

    def __post_init__(self) -> None:
        if (self.at is not None) != (self.stage in _TIMED):
            raise ValueError("an instant of restoration belongs to the stages areaEstimate and crewEstimate alone")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError("confidence is from 0 to 1")
        if self.stage is not Stage.NONE and (self.source is None or not self.who or self.said_at is None):
            raise ValueError("an estimate says from whom it is, and when it was said")

    @property
    def holds_until(self) -> datetime | None:
        """Until when the estimate may be told: its validity, at the latest its own instant; None without an instant."""
        if self.at is None:
            return None
        return self.at if self.valid_until is None else min(self.at, self.valid_until)


NOTHING_SAID = Estimate()
"""The state of an incident of which nobody has said anything."""


class EstimateRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the utility has decided about estimates and restoration; kept as one record, changed by an operator.

    `storm` switches storm assessment; by itself it begins with more than `storm_incidents` incidents that began within
    the last hour and are open. An estimate that differs by less than `least_change` from what was told goes to nobody.
    With `automatic` an incident of which nobody has said anything gets an estimate for its area, `automatic_after` it
    was opened, from past outages of the same kind of device, of which there have to be `history_least`. A call from
    premises restored less than `still_out` ago means that they are still out.
    """

    storm: StormMode = StormMode.AUTO
    storm_incidents: int = 50
    least_change: timedelta = timedelta(minutes=15)
    automatic: bool = False
    automatic_after: timedelta = timedelta(minutes=10)
    history_least: int = 10
    still_out: timedelta = timedelta(hours=24)

    def is_storm(self, opened_within_the_hour: int) -> bool:
        """Whether storm assessment holds, with so many open incidents that began within the last hour."""
        if self.storm is StormMode.AUTO:
            return opened_within_the_hour > self.storm_incidents
        return self.storm is StormMode.ON


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of an estimate: taken over or not, told to the outside or not, and why, in a sentence."""

    is_taken: bool
    is_told: bool
    reason: str


def may_follow(old: Stage, new: Stage) -> bool:
    """Whether the stage may follow; see the table at the head."""
    return new in MOVES[old]


def decide_estimate(told: Estimate, new: Estimate, *, now: datetime, rules: EstimateRules, is_storm: bool) -> Decision:
    """Whether an estimate may follow the one that was told last, and whether anybody hears of it.

    Refused are a stage that may not follow, a time that is not in the future, and in storm assessment every estimate
    for an area that no operator has given. One that differs from what was told by less than `least_change`, at the same
    stage, is taken and not told: measured against what was told, so that small steps add up.
    """
    if not may_follow(told.stage, new.stage):
        return _no(f"the stage {new.stage} does not follow {told.stage}")
    if new.at is not None and new.at <= now:
        return _no(f"the time {_iso(new.at)} is not in the future")
    if new.holds_until is not None and new.holds_until <= now:
        return _no(f"its validity ended at {_iso(new.holds_until)}")
    if is_storm and new.stage is Stage.AREA and new.source is not EstimateSource.OPERATOR:
        return _no("in storm assessment only an operator gives estimates for an area")
    if new.at is not None and told.at is not None and new.stage is told.stage:
        shift = abs(new.at - told.at)
        if shift < rules.least_change:
            minutes = rules.least_change // timedelta(minutes=1)
            return Decision(is_taken=True, is_told=False, reason=f"it moves by {_span(shift)}, less than {minutes} min")
    return Decision(is_taken=True, is_told=True, reason=f"{told.stage} becomes {new.stage}")


def is_expired(estimate: Estimate, now: datetime) -> bool:
    """Whether the estimate may not be told any longer."""
    return estimate.holds_until is not None and estimate.holds_until <= now


def withdrawal_of(estimate: Estimate, now: datetime) -> Estimate:
    """What takes the place of an estimate whose validity is over."""
    over = estimate.holds_until or now
    return Estimate(
        stage=Stage.WITHDRAWN, source=EstimateSource.RULE, who=f"validity ended at {_iso(over)}", said_at=now
    )


def churn_of(told: Iterable[Estimate]) -> int:
    """How often customers heard another time than before, of estimates told in this order; the first one is no change.

    A withdrawal counts, since it takes back a time that people have planned with.
    """
    times = [estimate.at for estimate in told]
    return sum(1 for before, after in pairwise(times) if before is not None and before != after)


def told_of(estimate: Estimate) -> Etr:
    """The estimate as an incident carries it; its source begins with what sort of source it is."""
    source = "" if estimate.source is None else f"{estimate.source} {estimate.who}"
    return Etr(
        stage=estimate.stage,
        at=estimate.at,
        source=source[:_LONGEST_SOURCE].rstrip(),
        confidence=estimate.confidence,
        said_at=estimate.said_at,
        valid_until=estimate.valid_until,
    )


def estimate_of(etr: Etr) -> Estimate:
    """The estimate that an incident of this OMS carries; nothing was said where it does not say by whom and when."""
    sort, _, who = etr.source.partition(" ")
    if etr.stage is Stage.NONE or sort not in frozenset(EstimateSource) or not who or etr.said_at is None:
        return NOTHING_SAID
    return Estimate(
        stage=etr.stage,
        at=etr.at,
        source=EstimateSource(sort),
        who=who,
        confidence=etr.confidence,
        valid_until=etr.valid_until,
        said_at=etr.said_at,
    )


def say_estimate(estimate: Estimate, *, zone: tzinfo = UTC) -> str:
    """What a caller hears about the restoration time, in one sentence; times of day are those of `zone`."""
    if estimate.stage is Stage.NONE or estimate.said_at is None:
        return "No restoration time is known yet."
    said = f"said {_clock(estimate.said_at, zone)}"
    if estimate.stage is Stage.ASSESSING:
        return f"The damage is being assessed; no restoration time is known yet ({estimate.who}, {said})."
    if estimate.at is None:
        return f"The former estimate was withdrawn; no restoration time is known ({said})."
    whose = "an estimate for the area" if estimate.stage is Stage.AREA else "an estimate for this outage"
    sure = f", confidence {_percent(estimate.confidence)} %" if estimate.confidence is not None else ""
    return (
        f"Supply is expected back {_clock(estimate.at, zone)}: {whose} by {estimate.who} ({estimate.source}{sure}, "
        f"{said})."
    )


def _no(reason: str) -> Decision:
    return Decision(is_taken=False, is_told=False, reason=reason)


def _percent(share: float) -> str:
    return f"{share * 100:.4f}".rstrip("0").rstrip(".")


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _clock(instant: datetime, zone: tzinfo) -> str:
    there = instant.astimezone(zone)
    return f"{there:%Y-%m-%d %H:%M} {there.tzname()}"


def _span(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{minutes} min" if not seconds else f"{minutes} min {seconds} s"
