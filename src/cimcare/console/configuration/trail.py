"""The audit trail: who did what, newest first, each row with links to what it is about.

What messages left in it is shown when it is asked for; all else has an index of its own. A page looks at so many rows
and no more, and says where to look on.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec

from cimcare.exchange.audit import Action, AuditReader, AuditRow
from cimcare.exchange.removal import runs_of
from cimcare.hub.operation.trail import find_head
from cimcare.hub.rest.filters import AUDIT_FILTERS, DELIVERY_FILTERS, Parameter, read_table
from cimcare.hub.rest.inside import Inside

__all__ = ["Link", "ShownRow", "TrailView", "links_of", "look_back"]

_PER_PAGE = 50
_STEP = 500
_MOST_LOOKED_AT = 10_000
_UNEVEN = timedelta(minutes=1)
_MOST_RUNS = 6

_FILTERS: dict[str, Parameter] = {
    "action": AUDIT_FILTERS["action"],
    "actor": msgspec.structs.replace(DELIVERY_FILTERS["noun"], field="actor", text="Who did it."),
    "object": msgspec.structs.replace(DELIVERY_FILTERS["noun"], field="object", text="What it was done to."),
    "since": DELIVERY_FILTERS["since"],
    "before": DELIVERY_FILTERS["before"],
    "after": AUDIT_FILTERS["after"],
}

_DELIVERY = re.compile(r"delivery (\d{1,18}) to (.+)", re.DOTALL)
_DELIVERIES = re.compile(r"deliveries to (.+)", re.DOTALL)
_MESSAGE = re.compile(r"message (\d{1,18})")
_CUSTOMER = re.compile(r"customer ([^,]+)(?:, third party (.+))?", re.DOTALL)
_PLACES = {
    Action.NETWORK: "/console/map",
    Action.OPERATE: "/console/map",
    Action.DIRECTORY: "/console/customers",
    Action.ALARM: "/console/#alarms",
    Action.DRILL: "/console/readiness",
    Action.SUBSCRIBE: "/console/configuration",
    Action.UNSUBSCRIBE: "/console/configuration",
}


class Link(msgspec.Struct, frozen=True):
    """Words, and where they lead; nowhere if empty."""

    text: str
    href: str = ""


class ShownRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row with what it is about."""

    row: AuditRow
    about: tuple[Link, ...]


class TrailView(msgspec.Struct, frozen=True, kw_only=True):
    """A page. `looked_until` says up to when was looked, where not everything was."""

    items: tuple[ShownRow, ...]
    given: Mapping[str, str]
    next: str
    looked_until: datetime | None
    is_first: bool

    @property
    def is_live(self) -> bool:
        """Whether new rows come into it by themselves: on the first page, which has no end in the past."""
        return self.is_first and "before" not in self.given


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    action: Action | None = None
    actor: str = ""
    object: str = ""
    since: datetime | None = None
    before: datetime | None = None
    after: int | None = None

    def matches(self, row: AuditRow) -> bool:
        return (
            (self.action is None or row.action is self.action)
            and (not self.actor or self.actor.casefold() in row.actor.casefold())
            and (not self.object or _is_about(row, self.object))
            and (self.since is None or row.at >= self.since)
            and (self.before is None or row.at <= self.before)
        )


def _is_about(row: AuditRow, wanted: str) -> bool:
    """Whether the subject has these words in it, whole."""
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", row.subject, re.IGNORECASE) is not None


async def look_back(inside: Inside, given: Iterable[tuple[str, str]]) -> TrailView:
    """A page of the trail. Raises FilterError, StoreError, TrailError."""
    filled = [(name, value.strip()) for name, value in given if value.strip()]
    wanted = msgspec.structs.replace(_Wanted(), **read_table(filled, _FILTERS))
    trail = inside.reader.audit
    before = wanted.after
    if wanted.before is not None:
        bound = await _number_at(trail, wanted.before + _UNEVEN)
        before = bound if before is None or bound < before else before
    found: list[AuditRow] = []
    seen, following, until = 0, None, None
    rows = _messages(trail, before) if wanted.action is Action.MESSAGES else _acts(trail, before)
    async for row in rows:
        if len(found) == _PER_PAGE:
            following = found[-1].number
            break
        if wanted.since is not None and row.at < wanted.since - _UNEVEN:
            break
        seen += 1
        if wanted.matches(row):
            found.append(row)
        if seen == _MOST_LOOKED_AT:
            following, until = row.number, row.at
            break
    kept = [(name, value) for name, value in filled if name != "after"]
    return TrailView(
        items=tuple(ShownRow(row=row, about=links_of(row)) for row in found),
        given=dict(filled),
        next=f"/console/audit?{urlencode([*kept, ('after', str(following))])}" if following is not None else "",
        looked_until=until,
        is_first=wanted.after is None,
    )


async def _acts(trail: AuditReader, before: int | None) -> AsyncIterator[AuditRow]:
    while True:
        page = await trail.acts(before, _STEP)
        for row in page:
            yield row
        if len(page) < _STEP:
            return
        before = page[-1].number


async def _messages(trail: AuditReader, before: int | None) -> AsyncIterator[AuditRow]:
    """Rows about messages. Numbers of rows have no gaps, so a step back is one of numbers."""
    if before is None:
        head = await find_head(trail)
        before = head.number + 1 if head is not None else 1
    while before > 1:
        first = max(0, before - 1 - _STEP)
        for row in reversed(await trail.rows(first, before - 1 - first)):
            yield row
        before = first + 1


async def _number_at(trail: AuditReader, at: datetime) -> int:
    """The number behind the last row that was written up to then; by halving."""
    head = await find_head(trail)
    low, high = 0, head.number + 1 if head is not None else 1
    while high - low > 1:
        middle = (low + high) // 2
        rows = await trail.rows(middle - 1, 1)
        if rows and rows[0].at <= at:
            low = middle
        else:
            high = middle
    return high


def links_of(row: AuditRow) -> tuple[Link, ...]:
    """What a row is about, as links to it."""
    subject = row.subject
    if row.action is Action.MESSAGES:
        runs = list(runs_of(sorted(one.sequence for one in row.messages)))
        found = [Link(f"message {number}", f"/console/messages/{number}") for number in _ends(runs[:_MOST_RUNS])]
        return (*found, Link(f"and {len(runs) - _MOST_RUNS} more runs")) if len(runs) > _MOST_RUNS else tuple(found)
    if match := _DELIVERY.fullmatch(subject):
        return Link(f"delivery {match[1]}", f"/console/deliveries/{match[1]}"), _partner(match[2])
    if match := _DELIVERIES.fullmatch(subject):
        return Link("deliveries", f"/console/deliveries?{urlencode({'partner': match[1]})}"), _partner(match[1])
    if match := _MESSAGE.fullmatch(subject):
        return (Link(subject, f"/console/messages/{match[1]}"),)
    if match := _CUSTOMER.fullmatch(subject):
        customer = Link(f"customer {match[1]}", f"/console/customers/{quote(match[1], '')}")
        return (customer, _partner(match[2])) if match[2] else (customer,)
    if row.action in (Action.HALT, Action.RELEASE):
        return (_partner(subject),)
    if row.action is Action.CONFIGURE:
        return (Link(subject, _CONFIGURED.get(subject.partition(" ")[0], "/console/configuration")),)
    return (Link(subject, _PLACES.get(row.action, "")),) if subject else ()


_CONFIGURED = {"grouping": "/console/configuration/rules", "crews": "/console/work"}


def _partner(name: str) -> Link:
    return Link(name, f"/console/partners/{quote(name, '')}")


def _ends(runs: Iterable[range]) -> Iterable[int]:
    """First and last of each run."""
    for run in runs:
        yield run.start
        if len(run) > 1:
            yield run.stop - 1
