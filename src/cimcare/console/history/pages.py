"""Routes of the past: how it stood at any instant, and what became of a span of time."""

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from cimcare.console.curves import curve_of_bars
from cimcare.console.frame import Area, Frame, Page
from cimcare.console.history.looking import look_back
from cimcare.console.history.window import read_window
from cimcare.console.report.pages import report_pages
from cimcare.hub.operation.minutes import bars_of, list_minutes

__all__ = ["history_area"]

_MARGIN = timedelta(minutes=3)
_MOST_MINUTES = 1500


def history_area(frame: Frame) -> Area:
    """The past of a hub."""
    pages = _History(frame)
    return Area(
        title="History",
        href="/console/history",
        starts=("/console/report",),
        pages=[Page("/history", pages.history), *report_pages(frame)],
    )


class _History:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def history(self, request: Request) -> Response:
        inside = self._frame.inside
        now = inside.clock()
        window = read_window(request.query_params.multi_items(), now)
        past = await look_back(inside, window.at)
        minutes = await list_minutes(inside.reader.records, window.since - _MARGIN, window.until, limit=_MOST_MINUTES)
        bars, width = bars_of(minutes, since=window.since, until=window.until)
        curve = curve_of_bars(
            bars,
            width,
            until=window.until,
            href=lambda at: window.address(at=min(at, window.until, now)),
            zoom="/console/history?",
            here=window.at,
        )
        values = {
            "window": window,
            "past": past,
            "curve": curve,
            "now": now,
            "of_minute": _of_minute(past.at),
            "is_newest": not request.query_params.keys() & {"at", "until", "step"},
        }
        return self._frame.show(request, "history/history.html", values)


def _of_minute(at: datetime) -> str:
    """Address of the messages of the minute before an instant."""
    first = at - timedelta(minutes=1) + timedelta(microseconds=1)
    return f"/console/messages?since={first:%Y-%m-%dT%H:%M:%S.%fZ}&until={at:%Y-%m-%dT%H:%M:%S.%fZ}"
