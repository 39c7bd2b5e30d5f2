"""The estimated restoration time (ETR) of an incident as messages carry it: written by the OMS, read by whoever tells.

Our profile, in members of the CIM alone: `Outage.estimatedPeriod.end` is the instant and is absent where no time is
known; `status.reason` is the stage; `status.remark` one sentence of fixed grammar:

    by crew CREW-11, confidence 80 %, said 2026-03-02T09:10:00Z, valid until 2026-03-02T12:00:00Z

Each part but the source may be missing, in this order. Of an OMS that does not follow the profile the instant alone is
read, and that nothing is known of where it comes from. Pure.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from cimcare.model.incident import Incident

__all__ = ["Etr", "EtrStage", "etr_of", "parse_remark", "render_remark"]


class EtrStage(StrEnum):
    """How much is known of when supply will be back, with the literals of `status.reason`."""

    NONE = "none"
    ASSESSING = "assessing"
    AREA = "areaEstimate"
    CREW = "crewEstimate"
    WITHDRAWN = "withdrawn"


class Etr(msgspec.Struct, frozen=True, kw_only=True):
    """What an incident tells of its restoration time.

    `at` is None unless the stage is an estimate. `source` is who says it, empty if that was not told. `confidence` goes
    from 0 to 1. `said_at` tells one estimate from another of the same instant. Instants are aware, in UTC.
    """

    stage: EtrStage = EtrStage.NONE
    at: datetime | None = None
    source: str = ""
    confidence: float | None = None
    said_at: datetime | None = None
    valid_until: datetime | None = None


_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z"
_REMARK = re.compile(
    rf"\Aby (?P<source>.{{1,200}}?)(?:, confidence (?P<confidence>\d{{1,3}}) %)?(?:, said (?P<said>{_INSTANT}))?"
    rf"(?:, valid until (?P<until>{_INSTANT}))?\Z"
)


def render_remark(etr: Etr) -> str:
    """`status.remark` of an incident; empty if nobody is named as the source."""
    if not etr.source:
        return ""
    parts = [f"by {' '.join(etr.source.split())}"]
    if etr.confidence is not None:
        parts.append(f"confidence {round(100 * etr.confidence)} %")
    if etr.said_at is not None:
        parts.append(f"said {_text(etr.said_at)}")
    if etr.valid_until is not None:
        parts.append(f"valid until {_text(etr.valid_until)}")
    return ", ".join(parts)


def parse_remark(remark: str | None) -> Etr:
    """Source, confidence, instant of saying and validity out of a remark; nothing where it is not of the grammar."""
    found = _REMARK.match(remark or "")
    if found is None:
        return Etr()
    confidence = found["confidence"]
    try:
        said_at, valid_until = _instant(found["said"]), _instant(found["until"])
    except ValueError:  # a thirteenth month
        return Etr()
    return Etr(
        source=found["source"],
        confidence=min(int(confidence), 100) / 100 if confidence else None,
        said_at=said_at,
        valid_until=valid_until,
    )


def etr_of(incident: Incident) -> Etr:
    """What an incident tells of its restoration time.

    An instant beside a stage that knows none is not believed; one without any stage is an estimate of unknown source.
    """
    status = incident.status
    period = incident.outage.estimated_period if incident.outage is not None else None
    end = period.end if period is not None else None
    at = end.astimezone(UTC) if end is not None and end.tzinfo is not None else None
    reason = status.reason if status is not None else None
    told = parse_remark(status.remark if status is not None else None)
    unsaid = EtrStage.NONE if at is None else EtrStage.AREA
    stage = EtrStage(reason) if reason in frozenset(EtrStage) else unsaid
    if stage not in (EtrStage.AREA, EtrStage.CREW):
        at = None
    elif at is None:
        stage = EtrStage.NONE
    return msgspec.structs.replace(told, stage=stage, at=at)


def _text(instant: datetime) -> str:
    text = instant.astimezone(UTC).isoformat(timespec="auto" if instant.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.removesuffix("Z") + "+00:00")
