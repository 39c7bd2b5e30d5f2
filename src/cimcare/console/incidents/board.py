"""The outage board: every open incident, what is worst first, and apart from the others what nobody is working on.

One look reads open incidents alone, at most `MOST_OPEN` of them; how many were ever kept does not matter.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.rules.lifecycle import UNDER_WAY
from cimcare.systems.cis.wording import shown_address
from cimcare.systems.identity import Label, labels_of
from cimcare.systems.oms.devices import DEVICES, DeviceRecord
from cimcare.systems.oms.estimates import Estimate, EstimateRules, Stage
from cimcare.systems.oms.estimating import estimate_shown, is_storm, load_rules
from cimcare.systems.oms.kinds import CLOSED, EXTENTS, INCIDENTS, OPEN, ExtentRecord
from cimcare.systems.oms.restored import is_planned, start_of
from cimcare.systems.oms.standing import GOING_ON
from cimcare.systems.oms.works import WORKS
from cimcare.systems.premises import PREMISES, PremisesRecord
from cimcare.systems.wms.crews import CREWS, name_of_crew

__all__ = [
    "MOST_OPEN",
    "Board",
    "Certainty",
    "Crew",
    "Filters",
    "Progress",
    "Row",
    "Totals",
    "find_open",
    "look_at_board",
    "rows_of",
    "select_rows",
    "total",
]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

MOST_OPEN = 2000
"""Open incidents that one look reads, those that began first; with more of them the page says so."""

_PAGE = 250
_SCHEME = re.compile(r" \(\w+\)\Z")
"""The type of a name, as it stands behind it in the key of a place that nobody knows."""

_MOST_ENDED = 12
_ENDED_WITHIN = timedelta(hours=24)


class Certainty(StrEnum):
    """How sure it is which device is out."""

    CONFIRMED = "confirmed"
    SUSPECTED = "suspected"
    PREMISES = "one premises"
    UNKNOWN = "place unknown"


class Progress(StrEnum):
    """How far help has come."""

    NOBODY = "nobody sent"
    DISPATCHED = "dispatched"
    EN_ROUTE = "en route"
    ON_SITE = "on site"
    CLOSED = "restored"
    CANCELLED = "taken back"


_PROGRESS = {
    WorkStatusKind.dispatched: Progress.DISPATCHED,
    WorkStatusKind.enroute: Progress.EN_ROUTE,
    WorkStatusKind.onSite: Progress.ON_SITE,
    WorkStatusKind.inProgress: Progress.ON_SITE,
}
_FURTHEST = (Progress.NOBODY, Progress.DISPATCHED, Progress.EN_ROUTE, Progress.ON_SITE)


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """A crew at an incident: its name, how far it is, and the service order by which it was sent, if there is one."""

    name: str
    status: WorkStatusKind | None
    order: MRID | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One incident of the board.

    `out` customers are believed to be without supply, `of` are below the device; `premises` have reported, and `dark`
    of them still have to be heard. `above` are the devices between its own and the source.
    """

    mrid: MRID
    place: str
    kind: str
    feeder: str
    device: MRID | None
    above: tuple[MRID, ...]
    since: datetime
    out: int
    of: int
    restored: int
    critical: int
    premises: int
    dark: int
    hazards: tuple[str, ...]
    is_planned: bool
    certainty: Certainty
    progress: Progress
    estimate: Estimate
    crews: tuple[Crew, ...]
    cause: str
    why: str
    ended_at: datetime | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether nobody is working on it, and somebody should."""
        return self.progress is Progress.NOBODY and not self.is_planned

    @property
    def is_untold(self) -> bool:
        """Whether nobody can tell a caller when supply will be back."""
        return self.estimate.at is None and not self.is_planned

    @property
    def is_partly_back(self) -> bool:
        """Whether some of its customers have supply again."""
        return self.restored > 0

    @property
    def urgency(self) -> tuple[int, int, int, datetime, MRID]:
        """What is worst comes first: danger, who depends on supply, how many are out, how long already."""
        return (-bool(self.hazards), -bool(self.critical), -self.out, self.since, self.mrid)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The board in a few numbers. Customers below two outages count once."""

    customers: int
    planned: int
    critical: int
    incidents: int
    waiting: int
    waiting_customers: int
    untold: int
    hazards: int
    oldest: Row | None


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What of the board is wanted; what is empty does not filter."""

    state: str = ""
    feeder: str = ""
    hazards: bool = False


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `ended` were over last; `is_whole` says whether there are no more open incidents than were read."""

    at: datetime
    rows: tuple[Row, ...]
    ended: tuple[Row, ...]
    is_whole: bool
    rules: EstimateRules
    is_storm: bool

    @property
    def feeders(self) -> tuple[str, ...]:
        """Feeders that have open incidents."""
        return tuple(sorted({row.feeder for row in self.rows if row.feeder}))


async def look_at_board(records: Records, now: datetime) -> Board:
    """Look at every open incident, and at those that ended last.

    Raises:
        StoreError: The database cannot be read.
    """
    found = await find_open(records, MOST_OPEN + 1)
    recent = Selection(states=(CLOSED,), since=now - _ENDED_WITHIN, limit=_MOST_ENDED, newest_first=True)
    ended = await records.select(INCIDENTS.collection, recent)
    rules = await load_rules(records)
    return Board(
        at=now,
        rows=await rows_of(records, found[:MOST_OPEN]),
        ended=await rows_of(records, ended),
        is_whole=len(found) <= MOST_OPEN,
        rules=rules,
        is_storm=await is_storm(records, rules, now),
    )


async def find_open(records: Records, most: int, *, newest_first: bool = False) -> tuple[Stored[Incident], ...]:
    """Open incidents, that which began first before the others, or the other way round.

    By the key of what is open: a state has no index, and to look for it would be to walk past all that has ended.
    """
    wanted = Selection(keys=((GOING_ON,),), limit=most, newest_first=newest_first)
    mrids = [one.mrid for one in await records.select(EXTENTS, wanted)]
    by_mrid = {one.mrid: one for one in await _select_all(records, INCIDENTS.collection, mrids)}
    return tuple(by_mrid[mrid] for mrid in mrids if mrid in by_mrid)


async def rows_of(records: Records, incidents: Iterable[Stored[Incident]]) -> tuple[Row, ...]:
    """The rows of these incidents, in their order."""
    every = tuple(incidents)
    extents = await _find_all(records, EXTENTS, (one.mrid for one in every))
    devices = await _find_all(records, DEVICES, (one.device for one in extents.values() if one.device is not None))
    services = (MRID(one.service) for one in extents.values() if one.device is None and one.service)
    homes = await _find_all(records, PREMISES, services)
    orders = await _find_all(records, WORKS, (work.mrid for one in every for work in one.body.works if work.mrid))
    crews = await _find_all(records, CREWS, (MRID(one.crew) for one in orders.values() if one.crew))
    called = {mrid: name_of_crew(crew) for mrid, crew in crews.items()}
    names = called | {mrid: called.get(MRID(order.crew), order.crew) for mrid, order in orders.items()}
    return tuple(_row(one, extents.get(one.mrid, ExtentRecord()), devices, homes, names) for one in every)


async def _find_all(records: Records, collection: Collection[BodyT], mrids: Iterable[MRID]) -> dict[MRID, BodyT]:
    """These objects by their mRID."""
    return {stored.mrid: stored.body for stored in await _select_all(records, collection, mrids)}


async def _select_all(records: Records, collection: Collection[BodyT], mrids: Iterable[MRID]) -> list[Stored[BodyT]]:
    """These objects, page by page; messages wait meanwhile."""
    wanted = tuple(dict.fromkeys(mrids))
    found: list[Stored[BodyT]] = []
    for first in range(0, len(wanted), _PAGE):
        part = wanted[first : first + _PAGE]
        found += await records.select(collection, Selection(mrids=part, limit=len(part)))
        await asyncio.sleep(0)
    return found


def _row(
    stored: Stored[Incident],
    extent: ExtentRecord,
    devices: Mapping[MRID, DeviceRecord],
    homes: Mapping[MRID, PremisesRecord],
    names: Mapping[MRID, str],
) -> Row:
    body = stored.body
    summary = body.outage.summary if body.outage is not None else None
    out = (summary.total_count or 0) if summary is not None else 0
    device = devices.get(extent.device) if extent.device is not None else None
    home = homes.get(MRID(extent.service))
    crews = tuple(
        Crew(
            name=(names.get(work.mrid, "") if work.mrid else "") or _name_of(labels_of(work)) or "crew not named yet",
            status=work.status_kind,
            order=work.mrid,
        )
        for work in body.works
    )
    estimate = estimate_shown(body)
    period = body.outage.actual_period if body.outage is not None else None
    return Row(
        mrid=stored.mrid,
        place=_place_of(body, extent, home),
        kind=extent.kind or "",
        feeder=device.feeder if device is not None else home.feeder if home is not None else "",
        device=extent.device,
        above=extent.path,
        since=start_of(stored),
        out=out if stored.state == OPEN else 0,
        of=max(extent.customers, extent.premises),
        restored=extent.restored,
        critical=(summary.critical_count or 0) if summary is not None else 0,
        premises=extent.premises,
        dark=extent.dark,
        hazards=tuple(one.type or one.description or "danger" for one in body.hazards),
        is_planned=is_planned(stored),
        certainty=_certainty(extent),
        progress=_progress(stored.state, crews),
        estimate=msgspec.structs.replace(estimate, who=names.get(MRID(estimate.who), estimate.who)),
        crews=crews,
        cause=body.cause or "",
        why=body.comment or "",
        ended_at=period.end if period is not None and stored.state == CLOSED else None,
    )


def _place_of(body: Incident, extent: ExtentRecord, home: PremisesRecord | None) -> str:
    """Where an incident is, in a few words: its device, its premises, or what callers name."""
    if extent.device is not None:
        return f"{extent.kind} {extent.device_name}".strip()
    if home is not None:
        return shown_address(home.address) or "One premises"
    named = _name_of(labels_of(body.location)) if body.location is not None else ""
    return named or _SCHEME.sub("", extent.service.partition(":")[2]) or "Place not named"


def _name_of(labels: Iterable[Label]) -> str:
    return next((label.name for label in labels), "")


def _certainty(extent: ExtentRecord) -> Certainty:
    if extent.device is not None:
        return Certainty.CONFIRMED if extent.is_pinned else Certainty.SUSPECTED
    return Certainty.UNKNOWN if extent.is_unresolved else Certainty.PREMISES


def _progress(state: str, crews: Iterable[Crew]) -> Progress:
    if state != OPEN:
        return Progress.CLOSED if state == CLOSED else Progress.CANCELLED
    reached = [_PROGRESS[crew.status] for crew in crews if crew.status in UNDER_WAY and crew.status is not None]
    return max(reached, key=_FURTHEST.index, default=Progress.NOBODY)


def total(rows: Iterable[Row]) -> Totals:
    """The numbers of these rows."""
    every = tuple(rows)
    devices = {row.device for row in every if row.device is not None}
    counted = [row for row in every if devices.isdisjoint(row.above)]  # who is below another outage counts there
    waiting = [row for row in every if row.is_waiting]
    unassessed = [row for row in waiting if row.estimate.stage is Stage.NONE]
    return Totals(
        customers=sum(row.out for row in counted),
        planned=sum(row.out for row in counted if row.is_planned),
        critical=sum(row.critical for row in counted),
        incidents=len(every),
        waiting=len(waiting),
        waiting_customers=sum(row.out for row in waiting),
        untold=sum(1 for row in every if row.is_untold),
        hazards=sum(1 for row in every if row.hazards),
        oldest=min(unassessed, key=lambda row: (row.since, row.mrid), default=None),
    )


def select_rows(rows: Iterable[Row], wanted: Filters) -> tuple[Row, ...]:
    """The rows that match, what is worst first."""
    return tuple(sorted((row for row in rows if _matches(row, wanted)), key=lambda row: row.urgency))


def _matches(row: Row, wanted: Filters) -> bool:
    if wanted.feeder and row.feeder != wanted.feeder:
        return False
    if wanted.hazards and not row.hazards:
        return False
    if not wanted.state:
        return True
    if wanted.state == "partly back":
        return row.is_partly_back
    if wanted.state == "planned":
        return row.is_planned
    if wanted.state == "life support":
        return row.critical > 0
    if wanted.state == "no time":
        return row.is_untold
    if wanted.state == Progress.NOBODY:
        return row.is_waiting
    return wanted.state in (row.certainty, row.progress)
