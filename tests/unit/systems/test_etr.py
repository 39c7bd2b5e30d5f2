"""The restoration time as messages carry it: what one system writes, another reads, and nobody invents."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.model.incident import Incident, IncidentOutage
from cimcare.model.values import DateTimeInterval, Status
from cimcare.systems.etr import Etr, EtrStage, etr_of, parse_remark, render_remark

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
INSTANTS = st.timedeltas(timedelta(), timedelta(days=73_000)).map(lambda age: datetime(2000, 1, 1, tzinfo=UTC) + age)


def an_incident(*, reason: str | None, remark: str | None = None, end: datetime | None = None) -> Incident:
    return Incident(
        status=Status(reason=reason, remark=remark, value="open"),
        outage=IncidentOutage(estimated_period=DateTimeInterval(end=end)),
    )


@given(
    st.text(st.characters(categories=("L", "N"), include_characters=" -"), min_size=1, max_size=40).filter(str.strip),
    st.none() | st.integers(0, 100).map(lambda part: part / 100),
    st.none() | INSTANTS,
    st.none() | INSTANTS,
)
def test_what_is_written_is_read_again(
    source: str, confidence: float | None, said_at: datetime | None, valid_until: datetime | None
) -> None:
    """A validity that gets lost on the wire would let an old promise stand for ever."""
    etr = Etr(source=" ".join(source.split()), confidence=confidence, said_at=said_at, valid_until=valid_until)

    assert parse_remark(render_remark(etr)) == etr


def test_the_sentence_is_readable() -> None:
    """Dispatchers of other systems read it as it stands."""
    etr = Etr(source="crew CREW-11", confidence=0.8, said_at=NOON, valid_until=NOON + timedelta(hours=2))

    assert render_remark(etr) == (
        "by crew CREW-11, confidence 80 %, said 2026-03-02T12:00:00Z, valid until 2026-03-02T14:00:00Z"
    )


@pytest.mark.parametrize(
    "remark", ["", "soon", "estimate by rule: 2 h", "by x, said 2026-13-02T12:00:00Z", "by x\n, confidence 5 %"]
)
def test_other_remarks_say_nothing(remark: str) -> None:
    """What an OMS of another make writes there is not taken for a source or a validity."""
    assert parse_remark(remark).valid_until is None
    assert parse_remark(remark).said_at is None


@pytest.mark.parametrize("reason", ["none", "assessing", "withdrawn"])
def test_a_time_beside_a_stage_that_knows_none_is_not_believed(reason: str) -> None:
    """A restoration time that was withdrawn must not reach a customer because it still stands in a field."""
    assert etr_of(an_incident(reason=reason, end=NOON)) == Etr(stage=EtrStage(reason))


def test_a_stage_without_its_time_is_no_estimate() -> None:
    """Nobody is told that a time is known where none is given."""
    assert etr_of(an_incident(reason="crewEstimate")).stage is EtrStage.NONE


def test_a_time_without_a_stage_is_an_estimate_of_unknown_source() -> None:
    """A real OMS that does not know our profile still gets its restoration time through."""
    etr = etr_of(an_incident(reason=None, remark="storm", end=NOON))

    assert (etr.stage, etr.at, etr.source) == (EtrStage.AREA, NOON, "")
    assert etr_of(Incident()) == Etr()
    assert msgspec.json.decode(msgspec.json.encode(etr), type=Etr) == etr
