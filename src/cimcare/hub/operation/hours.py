"""Hours of the ledger, asked for by instants with any offset: brought to UTC, in which hours are counted."""

from datetime import UTC, datetime, timedelta

from cimcare.exchange.ledger import hour_of

__all__ = ["BEGINNING", "page_of_hours", "within_reason"]

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Before the first hour of any ledger."""

_END = datetime(9000, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_PAGE = timedelta(days=31)


def within_reason(at: datetime) -> datetime:
    """The instant in UTC; one before any ledger or far behind all becomes the first or last that is looked at."""
    return min(max(at, BEGINNING), _END).astimezone(UTC)


def page_of_hours(
    since: datetime | None, until: datetime | None, *, now: datetime
) -> tuple[datetime, datetime, datetime | None]:
    """The hours of one page: first instant, end, and where the next page begins; None if there is none.

    Args:
        since: Where to begin; a day before the end if None.
        until: The end of all; now if None, and never more than a day later than now.
        now: Now.
    """
    last = within_reason(min(until or now, now + _DAY))
    first = within_reason(since) if since is not None else last - _DAY
    end = min(last, hour_of(first) + _PAGE)
    return first, end, end if end < last else None
