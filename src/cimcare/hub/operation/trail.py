"""The audit trail page by page, and its newest row."""

from collections.abc import AsyncIterator

import msgspec

from cimcare.errors import CimcareError, finding_of
from cimcare.exchange.audit import Action, AuditReader, AuditRow
from cimcare.hub.operation.auditing import UNREADABLE

__all__ = ["TrailError", "TrailPage", "each_row", "find_head", "list_rows"]

_PAGE = 1000
_MOST_LOOKED_AT = 10_000
"""Rows that one page is looked for in."""


class TrailPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one page. `after` asks for the next page; None if this is the last."""

    items: tuple[AuditRow, ...]
    after: int | None


class TrailError(CimcareError):
    """A row that no hub has written so, and that cannot be read."""

    code = "EXC-131"

    def __init__(self, after: int) -> None:
        found, accepted = "what stands in it cannot be read", "rows as written; `cimcare audit verify` names this one"
        place = f"audit trail, behind row {after}"
        self.finding = finding_of(self.code, place, found, accepted, "guarantee G10")
        super().__init__(self.finding.describe())


async def each_row(trail: AuditReader, *, after: int = 0, page: int = _PAGE) -> AsyncIterator[AuditRow]:
    """All rows behind a number, read in pages of that size. Raises TrailError, StoreError."""
    while True:
        rows = await _read(trail, after, page)
        for row in rows:
            yield row
        if len(rows) < page:
            return
        after = rows[-1].number


async def list_rows(
    trail: AuditReader, *, after: int = 0, limit: int, action: Action | None = None, most: int = _MOST_LOOKED_AT
) -> TrailPage:
    """A page of the trail. Where few rows tell of `action`, it may be empty and not be the last.

    Args:
        trail: The trail.
        after: Number of the last row that is known.
        limit: Most rows of the page.
        action: Only rows that tell of this.
        most: After so many rows that were looked at the page ends.
    """
    found: list[AuditRow] = []
    seen = 0
    page = min(limit + 1, _PAGE) if action is None else _PAGE
    async for row in each_row(trail, after=after, page=page):
        if len(found) == limit or seen == most:
            return TrailPage(items=tuple(found), after=after)
        seen, after = seen + 1, row.number
        if action is None or row.action is action:
            found.append(row)
    return TrailPage(items=tuple(found), after=None)


async def find_head(trail: AuditReader) -> AuditRow | None:
    """The newest row; None if there is none yet. Takes a number of reads that grows with the digits of its number."""
    low, step = 0, 1  # there is a row behind `low`, or the trail is empty
    newest: AuditRow | None = None
    while rows := await _read(trail, low + step - 1, 1):
        newest, low, step = rows[0], rows[0].number, step * 2
    high = low + step - 1  # there is none behind it
    while low < high:
        middle = (low + high) // 2
        rows = await _read(trail, middle, 1)
        if rows:
            newest, low = rows[0], rows[0].number
        else:
            high = middle
    return newest


async def _read(trail: AuditReader, after: int, limit: int) -> tuple[AuditRow, ...]:
    try:
        return await trail.rows(after, limit)
    except UNREADABLE as error:
        raise TrailError(after) from error
