"""What became of the incidents of a span of time: how right the estimates were, and how soon somebody did something.

An error is the estimate less the instant at which supply was back: below zero people were promised too early a time.
Only estimates that were told count, and only where somebody has said when supply was back.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.estimating import EstimateRecord, load_history
from cimcare.systems.oms.kinds import CANCELLED, EXTENTS, INCIDENTS
from cimcare.systems.oms.restored import RESTORATIONS, is_planned
from cimcare.systems.oms.standing import where_of

__all__ = ["EstimateErrors", "IncidentReview", "errors_of", "review_incidents"]

_MINUTE = timedelta(minutes=1)
_PAGE = 500
_NEAR = 30.0
"""Minutes within which an estimate counts as near."""


class IncidentReview(msgspec.Struct, frozen=True, kw_only=True):
    """One incident, looked back upon.

    `customers` are those it covered, `customer_minutes` their time without supply as far as points are known.
    `first_act_at` is when somebody first said something of its end, a crew was sent, or supply was back. `first_told`
    and `last_told` are the first and the last instant that was told for its end, `changes` how often another one was.
    """

    mrid: MRID
    where: str
    state: str
    began_at: datetime
    known_at: datetime
    restored_at: datetime | None
    customers: int
    customer_minutes: float
    is_planned: bool
    hazards: tuple[str, ...]
    first_act_at: datetime | None
    first_told: datetime | None
    last_told: datetime | None
    changes: int

    @property
    def first_error(self) -> float | None:
        """Error of the first estimate in minutes."""
        return _error(self.first_told, self.restored_at)

    @property
    def last_error(self) -> float | None:
        """Error of the last estimate in minutes."""
        return _error(self.last_told, self.restored_at)

    @property
    def acted_after(self) -> timedelta | None:
        """How long after it was known somebody did something; None if nobody has."""
        return max(self.first_act_at - self.known_at, timedelta()) if self.first_act_at is not None else None


class EstimateErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of `count` incidents in minutes.

    `distance` is the mean of their sizes, `bias` their mean with the sign, `near` the share of those within half an
    hour; None where there are none.
    """

    count: int
    distance: float | None = None
    bias: float | None = None
    near: float | None = None


def errors_of(errors: Iterable[float | None]) -> EstimateErrors:
    """Errors of several incidents, put together."""
    found = [one for one in errors if one is not None]
    if not found:
        return EstimateErrors(count=0)
    return EstimateErrors(
        count=len(found),
        distance=statistics.fmean(map(abs, found)),
        bias=statistics.fmean(found),
        near=sum(abs(one) <= _NEAR for one in found) / len(found),
    )


async def review_incidents(
    records: Records, *, since: datetime, until: datetime, minutes: Mapping[MRID, float], most: int
) -> tuple[tuple[IncidentReview, ...], bool]:
    """The incidents that began in a span, those taken back left out, and whether these are all.

    Looks at `most` of them at most, the oldest first; three look-ups for each.
    """
    found: list[IncidentReview] = []
    wanted = Selection(since=since, until=until, limit=_PAGE)
    looked_at = 0
    while looked_at < most:
        page = await records.select(INCIDENTS.collection, wanted)
        found += [await _review(records, stored, minutes) for stored in page if stored.state != CANCELLED]
        looked_at += len(page)
        if len(page) < _PAGE:
            return tuple(found), True
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return tuple(found), False


async def _review(records: Records, stored: Stored[Incident], minutes: Mapping[MRID, float]) -> IncidentReview:
    body = stored.body
    extent = await records.find(EXTENTS, stored.mrid)
    word = await records.find(RESTORATIONS, stored.mrid)
    history = await load_history(records, stored.mrid)
    told = _told(history.records)
    acts = [one.estimate.said_at for one in history.records if one.estimate.said_at is not None]
    acts += [word.body.at] if word is not None else []
    return IncidentReview(
        mrid=stored.mrid,
        where=where_of(body),
        state=stored.state,
        began_at=stored.created_at,
        known_at=as_utc(body.created_date_time) or stored.created_at,
        restored_at=word.body.at if word is not None else None,
        customers=max(extent.body.customers, extent.body.premises) if extent is not None else 0,
        customer_minutes=minutes.get(stored.mrid, 0.0),
        is_planned=is_planned(stored),
        hazards=tuple(one.type or one.description or "not named" for one in body.hazards),
        first_act_at=min(acts, default=None),
        first_told=told[0] if told else None,
        last_told=told[-1] if told else None,
        changes=history.churn,
    )


def _told(history: Sequence[EstimateRecord]) -> list[datetime]:
    return [one.estimate.at for one in history if one.is_told and one.estimate.at is not None]


def _error(told: datetime | None, actual: datetime | None) -> float | None:
    return (told - actual) / _MINUTE if told is not None and actual is not None else None
