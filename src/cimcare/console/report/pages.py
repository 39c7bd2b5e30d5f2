"""Routes of the after-action report: the page, and the same as a file."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cimcare.console.frame import Frame, Page
from cimcare.console.overview.looking import came_between, went_between
from cimcare.console.rendering import SAFE
from cimcare.console.report.document import curve_of, render_document
from cimcare.errors import InputError, finding_of
from cimcare.exchange.ledger import Account
from cimcare.exchange.log import Counted
from cimcare.hub.operation.aftermath import LONGEST, Report, Totals, load_report
from cimcare.hub.operation.hours import within_reason
from cimcare.hub.rest.filters import MESSAGE_FILTERS, read_table

__all__ = ["report_pages"]

_SPAN = timedelta(hours=24)
_SPANS = (
    ("last hour", timedelta(hours=1)),
    ("last 6 hours", timedelta(hours=6)),
    ("last 24 hours", _SPAN),
    ("last 7 days", timedelta(days=7)),
    ("last 31 days", LONGEST),
)
_PARAMETERS = {name: MESSAGE_FILTERS[name] for name in ("since", "until")}


def report_pages(frame: Frame) -> list[Page]:
    """The pages of the report."""
    pages = _Reports(frame)
    return [
        Page("/report", pages.report),
        Page("/report.html", pages.document),
        Page("/report.pdf", pages.pdf),
        Page("/report.json", pages.figures),
    ]


class _Reports:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def report(self, request: Request) -> Response:
        report = await self._load(request)
        now = self._frame.inside.clock()
        spans = [(word, f"/console/report?{_query(now - span, now)}") for word, span in _SPANS]
        query = _query(report.since, report.until)
        values = {
            "report": report,
            "curve": curve_of(report),
            "spans": spans,
            "query": query,
            "is_linked": True,
            "is_live": "until" not in request.query_params,
            "leads": lambda totals: _leads(report, totals),
        }
        return self._frame.show(request, "report/report.html", values)

    async def document(self, request: Request) -> Response:
        report = await self._load(request)
        return _file(render_document(report).encode(), "text/html; charset=utf-8", report, "html")

    async def pdf(self, request: Request) -> Response:
        from cimcare.console.report.pdf import render_pdf  # noqa: PLC0415 - what a hub seldom needs is loaded late

        report = await self._load(request)
        return _file(await asyncio.to_thread(render_pdf, report), "application/pdf", report, "pdf")

    async def figures(self, request: Request) -> Response:
        report = await self._load(request)
        return _file(msgspec.json.encode(report), "application/json", report, "json")

    async def _load(self, request: Request) -> Report:
        inside = self._frame.inside
        now = inside.clock()
        since, until = _read(request.query_params.multi_items(), now)
        if not timedelta() < min(until, now) - since <= LONGEST:
            found, accepted = (
                f"{since.isoformat()} to {until.isoformat()}",
                f"up to {LONGEST.days} days that have begun",
            )
            raise InputError(finding_of("EXC-110", "?since", found, accepted))
        return await load_report(inside.reader, since=since, until=until, now=now)


def _read(given: Iterable[tuple[str, str]], now: datetime) -> tuple[datetime, datetime]:
    values = msgspec.convert(read_table(given, _PARAMETERS), _Asked)
    until = within_reason(values.until) if values.until is not None else now
    since = within_reason(values.since) if values.since is not None else until - _SPAN
    return since, until


_COUNTED = {
    "offered": Counted.RECEIVED,
    "done": Counted.DELIVERED,
    "refused": Counted.REFUSED,
    "repeats": Counted.REPEATS,
    "waiting": Counted.WAITING,
}
"""Columns of the report, of what came in, and what they are in the ledger."""


class _Asked(msgspec.Struct, kw_only=True):
    since: datetime | None = None
    until: datetime | None = None


def _query(since: datetime, until: datetime) -> str:
    return urlencode({"since": since.isoformat(), "until": until.isoformat()})


def _leads(report: Report, totals: Totals) -> dict[str, str]:
    """Where that lies which a column counts: of a partner, or of all together. Of the same whole hours."""
    partner = quote(totals.partner, "")
    if totals.account is Account.IN:
        source = f"&source={partner}" if partner else ""
        return {
            column: f"{came_between(report.first_hour, report.last_hour, counted=counted)}{source}"
            for column, counted in _COUNTED.items()
        }
    went = went_between(report.first_hour, report.last_hour)
    whose = f"&partner={partner}" if partner else ""
    states = {"done": "delivered", "refused": "discarded", "dead": "dead", "waiting": "waiting"}
    return {column: f"{went}&state={state}{whose}" for column, state in states.items()}


def _file(content: bytes, media_type: str, report: Report, suffix: str) -> Response:
    name = f"report-{report.since:%Y%m%dT%H%MZ}-{report.until:%Y%m%dT%H%MZ}.{suffix}"
    headers = {**SAFE, "cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type)
