"""When supply is likely to be back: a first rule, by the number of premises.

A restoration time is only as good as its source, so the rule that gave it is told with it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

__all__ = ["Estimate", "estimate_restoration"]

_SINGLE = timedelta(hours=2)
_SEVERAL = timedelta(hours=4)


class Estimate(NamedTuple):
    """Estimated instant of restoration, and the rule that gave it, in words."""

    at: datetime
    rule: str


def estimate_restoration(first_report_at: datetime, premises_count: int) -> Estimate:
    """Two hours after the first report for a single premises, four for more. Nothing else moves the estimate."""
    span, extent = (_SEVERAL, "several premises") if premises_count > 1 else (_SINGLE, "a single premises")
    hours = span // timedelta(hours=1)
    try:
        at = first_report_at + span
    except OverflowError:  # reported in the last hours of year 9999
        at = first_report_at
    return Estimate(at, f"estimate by rule: {hours} h after the first report, {extent}")
