"""Estimates as the outage management keeps and tells them: with history, validity, and the rules of holding.

An incident shows what was told last. Every estimate that was taken is kept, also one that differed too little to be
told. When what was told may not be told any longer, a newer one that still holds takes its place; failing that it is
withdrawn.
"""

import statistics
from datetime import UTC, datetime, timedelta

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Collection, Key, Records, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentOutage
from cimcare.model.values import DateTimeInterval, Status
from cimcare.systems.etr import etr_of, render_remark
from cimcare.systems.objects import Said, refused
from cimcare.systems.oms.estimates import (
    NOTHING_SAID,
    Decision,
    Estimate,
    EstimateRules,
    EstimateSource,
    Stage,
    StormMode,
    churn_of,
    decide_estimate,
    estimate_of,
    is_expired,
    told_of,
    withdrawal_of,
)
from cimcare.systems.oms.kinds import INCIDENTS, OPEN

__all__ = [
    "DURATIONS",
    "ESTIMATES",
    "ESTIMATE_RULES",
    "VALIDITIES",
    "DurationRecord",
    "EstimateHistory",
    "EstimateRecord",
    "ValidityRecord",
    "automatic_estimate",
    "due_incidents",
    "estimate_shown",
    "expect_estimate",
    "judge_estimate",
    "keep_estimate",
    "load_history",
    "load_rules",
    "note_duration",
    "renewed_estimate",
    "save_rules",
    "with_estimate",
]

_RULES = MRID("rules")
_MOST_DURATIONS = 200
_LAST = datetime.max.replace(tzinfo=UTC)
_CLAUSE = "IEC 61968-8:2015, 5.3"


class EstimateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One estimate in the history of an incident. `reason` says why it was told or not."""

    incident: MRID
    estimate: Estimate
    is_told: bool
    reason: str


class ValidityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of an incident and ends by itself, and the estimate that was taken last. Created when it ends."""

    told: Estimate
    latest: Estimate


class DurationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How long the last outages of one kind of device took, in minutes; the newest last."""

    minutes: tuple[float, ...] = ()


class EstimateHistory(msgspec.Struct, frozen=True, kw_only=True):
    """All estimates of an incident in order. `churn` is how often its customers heard another time than before."""

    records: tuple[EstimateRecord, ...]
    churn: int


ESTIMATES: Collection[EstimateRecord] = Collection("oms.Estimates", EstimateRecord)
VALIDITIES: Collection[ValidityRecord] = Collection("oms.Validities", ValidityRecord)
ESTIMATE_RULES: Collection[EstimateRules] = Collection("oms.EstimateRules", EstimateRules)
DURATIONS: Collection[DurationRecord] = Collection("oms.Durations", DurationRecord)


async def load_rules(records: Records) -> EstimateRules:
    """The rules in force; those of a fresh installation where none were set."""
    stored = await records.find(ESTIMATE_RULES, _RULES)
    return EstimateRules() if stored is None else stored.body


async def save_rules(records: Records, rules: EstimateRules, now: datetime) -> None:
    """Put rules in force."""
    await records.save(ESTIMATE_RULES, Stored(mrid=_RULES, body=rules, created_at=now, modified_at=now))


async def is_storm(records: Records, rules: EstimateRules, now: datetime) -> bool:
    """Whether storm assessment holds now. Looks at no more incidents than the rules ask for."""
    if rules.storm is not StormMode.AUTO:
        return rules.is_storm(0)
    recent = Selection(states=(OPEN,), since=now - timedelta(hours=1), limit=rules.storm_incidents + 1)
    return rules.is_storm(len(await records.select(INCIDENTS.collection, recent)))


def estimate_shown(body: Incident) -> Estimate:
    """The estimate that an incident of this OMS tells."""
    return estimate_of(etr_of(body))


def with_estimate(body: Incident, estimate: Estimate) -> Incident:
    """The incident with another estimate to be told."""
    outage = body.outage or IncidentOutage()
    start = outage.estimated_period.start if outage.estimated_period is not None else None
    period = DateTimeInterval(start=start, end=estimate.at)
    status = msgspec.structs.replace(
        body.status or Status(), reason=estimate.stage.value, remark=render_remark(told_of(estimate)) or None
    )
    return msgspec.structs.replace(body, outage=msgspec.structs.replace(outage, estimated_period=period), status=status)


async def judge_estimate(
    said: Said[Incident], body: Incident, new: Estimate, context: ServingContext
) -> Decision | Finding:
    """What comes of an estimate for an incident that stands so; BUS-132 if it is refused. Nothing is written."""
    rules = await load_rules(context.records)
    storm = new.stage is Stage.AREA and await is_storm(context.records, rules, context.now)
    decision = decide_estimate(estimate_shown(body), new, now=context.now, rules=rules, is_storm=storm)
    if decision.is_taken:
        return decision
    return refused(
        "BUS-132",
        said,
        INCIDENTS,
        f"the estimate was not taken: {decision.reason}",
        "a time in the future, at a stage that may follow, from somebody who is named",
        _CLAUSE,
    )


async def keep_estimate(
    context: ServingContext, incident: MRID, told: Estimate, new: Estimate, decision: Decision
) -> None:
    """Write an estimate into the history of its incident, and note when what is told ends by itself."""
    records, now = context.records, context.now
    record = EstimateRecord(incident=incident, estimate=new, is_told=decision.is_told, reason=decision.reason)
    await records.save(
        ESTIMATES,
        Stored(
            mrid=MRID(context.new_id()),
            body=record,
            created_at=now,
            modified_at=now,
            keys=frozenset({Key("incident", incident)}),
        ),
    )
    shown = new if decision.is_told else told
    due_at = shown.holds_until
    if due_at is None:
        await records.drop(VALIDITIES, incident)
        return
    validity = ValidityRecord(told=shown, latest=new)
    # Created when it is due, since that is by what records are found in order.
    await records.save(VALIDITIES, Stored(mrid=incident, body=validity, created_at=due_at, modified_at=now))


async def expect_estimate(records: Records, incident: MRID, now: datetime) -> None:
    """An incident was opened: where the rules want it, it is looked at again when its extent has become clear."""
    rules = await load_rules(records)
    if rules.automatic:
        nothing = ValidityRecord(told=NOTHING_SAID, latest=NOTHING_SAID)
        due_at = now + rules.automatic_after
        await records.save(VALIDITIES, Stored(mrid=incident, body=nothing, created_at=due_at, modified_at=now))


async def due_incidents(records: Records, now: datetime, limit: int) -> tuple[Stored[ValidityRecord], ...]:
    """What was told and may not be told any longer, at most `limit`, the longest over first."""
    return await records.select(VALIDITIES, Selection(until=now, limit=limit))


def renewed_estimate(validity: ValidityRecord, now: datetime) -> tuple[Estimate, Decision]:
    """What takes the place of an estimate that is over: the one taken last if that still holds, else its withdrawal."""
    if validity.latest != validity.told and not is_expired(validity.latest, now):
        return validity.latest, Decision(is_taken=True, is_told=True, reason="what was told is over, this still holds")
    return withdrawal_of(validity.told, now), Decision(is_taken=True, is_told=True, reason="its validity is over")


async def load_history(records: Records, incident: MRID) -> EstimateHistory:
    """The history of an incident."""
    found: list[EstimateRecord] = []
    wanted = Selection(keys=((Key("incident", incident),),))
    while True:
        page = await records.select(ESTIMATES, wanted)
        found.extend(stored.body for stored in page)
        if len(page) < wanted.limit:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return EstimateHistory(records=tuple(found), churn=churn_of(one.estimate for one in found if one.is_told))


async def note_duration(records: Records, kind: str, span: timedelta, now: datetime) -> None:
    """Remember how long an outage of a kind of device took."""
    mrid = MRID(kind)
    stored = await records.find(DURATIONS, mrid)
    known = stored.body.minutes if stored is not None else ()
    minutes = (*known, span / timedelta(minutes=1))[-_MOST_DURATIONS:]
    await records.save(
        DURATIONS, Stored(mrid=mrid, body=DurationRecord(minutes=minutes), created_at=now, modified_at=now)
    )


async def automatic_estimate(records: Records, kind: str, started_at: datetime, now: datetime) -> Estimate | None:
    """An estimate for a new incident from past outages of the same kind of device.

    None where the rules do not want one, in storm assessment, where too few are known, or where half of them were
    shorter than this one has lasted already. Its confidence is the share of past outages that were over by then.
    """
    rules = await load_rules(records)
    if not rules.automatic or not kind or await is_storm(records, rules, now):
        return None
    stored = await records.find(DURATIONS, MRID(kind))
    minutes = stored.body.minutes if stored is not None else ()
    if len(minutes) < rules.history_least:
        return None
    median = statistics.median(minutes)
    span = timedelta(minutes=median)
    if started_at + min(span, _LAST - started_at) <= now or span >= _LAST - started_at:
        return None
    at = started_at + span
    return Estimate(
        stage=Stage.AREA,
        at=at,
        source=EstimateSource.HISTORY,
        who=f"median of {len(minutes)} outages of the kind {kind}",
        confidence=sum(one <= median for one in minutes) / len(minutes),
        said_at=now,
    )
