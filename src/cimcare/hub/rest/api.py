"""The REST interface that reads, the pages of operation, and the first page. Starlette serves them.

Errors are problem details (RFC 9457) with the finding. Our own profile.
"""

import html
import traceback
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from cimcare import __version__
from cimcare.errors import finding_of
from cimcare.exchange.store import StoreError
from cimcare.hub.config.subscribing import Subscribing
from cimcare.hub.metrics import Metrics
from cimcare.hub.rest.alarm_pages import AlarmPages
from cimcare.hub.rest.answering import SAFE, json_answer, next_address, number_of, problem, style_source
from cimcare.hub.rest.broker_pages import BrokerPages
from cimcare.hub.rest.customer_pages import CustomerPages
from cimcare.hub.rest.event_pages import EventPages
from cimcare.hub.rest.events import Events
from cimcare.hub.rest.filters import (
    FilterError,
    read_message_filters,
    read_object_filters,
)
from cimcare.hub.rest.market_pages import MarketPages
from cimcare.hub.rest.meter_pages import MeterPages
from cimcare.hub.rest.openapi import build_openapi
from cimcare.hub.rest.operator_pages import OperatorPages
from cimcare.hub.rest.queries import Queries
from cimcare.hub.rest.readiness_pages import ReadinessPages
from cimcare.hub.rest.streaming import Streams
from cimcare.hub.rest.viewing import Viewing
from cimcare.hub.rest.views import MessageList, ObjectList, view_message, view_object
from cimcare.model.nouns import ENTRIES, Noun
from cimcare.transport.http import AsgiApp, ReceiveEvent, Scope, Send

__all__ = ["build_api"]

_RESOURCES = (
    "messages",
    "events",
    "meter-events",
    "subscriptions",
    "brokers",
    "deliveries",
    "partners",
    "readiness",
    "ledger",
    "audit",
    "calls",
    "callers",
    "callbacks",
    "notices",
    "customers",
    "reconciliation",
    "sales",
    "openapi.json",
)


def build_api(
    queries: Queries,
    events: Events,
    streams: Streams,
    subscribing: Subscribing,
    viewing: Viewing,
    market: MarketPages,
    operating: OperatorPages,
    alarms: AlarmPages,
    readiness: ReadinessPages,
    brokers: BrokerPages,
    customers: CustomerPages,
    meters: MeterPages,
    metrics: Metrics,
    is_ready: Callable[[], Awaitable[str]],
    services: list[str],
    more: Sequence[BaseRoute],
    logger: structlog.typing.FilteringBoundLogger,
) -> AsgiApp:
    """Application for everything but the message endpoints.

    Args:
        queries: The read side.
        events: The feed of events.
        streams: The same as a stream.
        subscribing: Subscriptions.
        viewing: What each partner is shown.
        market: The pages for reconciliation and points of sale.
        operating: The pages for operators and auditors.
        alarms: The pages for alarms.
        readiness: The pages for readiness.
        brokers: The page for brokers.
        customers: The pages for who talks with customers.
        meters: Where meter events are taken.
        metrics: Counters.
        is_ready: Why messages cannot be taken now; empty if they can.
        services: Names of the strongly typed services, for the first page.
        more: Routes of other pages, such as those of the console.
        logger: Where errors of the program are noted.
    """
    starts = [each.path for each in more if isinstance(each, Route) and "GET" in (each.methods or ())]
    pages = _Pages(queries, viewing, metrics, is_ready, services, starts)
    pages_app = Starlette(
        routes=[
            Route("/", pages.index),
            *more,
            Route("/healthz", pages.health),
            Route("/readyz", pages.ready),
            Route("/metrics", pages.metrics),
            Route("/api/v1/openapi.json", pages.openapi),
            Route("/api/v1/messages", pages.list_messages),
            Route("/api/v1/messages/{sequence}", pages.get_message),
            Route("/api/v1/messages/{sequence}/raw", pages.get_raw),
            *EventPages(events, streams, subscribing, viewing).routes(),
            *market.routes(),
            *operating.routes(),
            *alarms.routes(),
            *readiness.routes(),
            *brokers.routes(),
            *customers.routes(),
            *meters.routes(),
            Route("/api/v1/{noun}", pages.list_objects),
            Route("/api/v1/{noun}/{mrid:path}", pages.get_object),
        ],
        exception_handlers={
            HTTPException: _http_problem,
            FilterError: _filter_problem,
            StoreError: _store_problem,
            Exception: _internal_problem,
        },
    )

    async def guarded(scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        try:
            await pages_app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - Starlette has answered; what is left is to note it
            _note_failure(logger, scope["path"], error)

    return guarded


class _Pages:
    """Handlers of the routes."""

    def __init__(
        self,
        queries: Queries,
        viewing: Viewing,
        metrics: Metrics,
        is_ready: Callable[[], Awaitable[str]],
        services: list[str],
        starts: list[str],
    ) -> None:
        self._queries = queries
        self._viewing = viewing
        self._metrics = metrics
        self._is_ready = is_ready
        self._services = services
        self._starts = starts
        self._openapi: bytes | None = None

    async def index(self, _: Request) -> Response:
        return HTMLResponse(_index(self._services, self._starts), headers=SAFE | _STYLED)

    async def health(self, _: Request) -> Response:
        return json_answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        reason = await self._is_ready()
        if not reason:
            return json_answer({"status": "ready"})
        return problem(finding_of("EXC-108", "/readyz", reason, "a hub that takes messages"))

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.render(), headers={"content-type": self._metrics.content_type})

    async def openapi(self, _: Request) -> Response:
        if self._openapi is None:
            self._openapi = msgspec.json.encode(build_openapi())
        return Response(self._openapi, media_type="application/json", headers=SAFE)

    async def list_objects(self, request: Request) -> Response:
        noun = _noun_of(request)
        if noun is None:
            return _no_resource(request)
        page = await self._viewing.list_objects(noun, read_object_filters(request.query_params.multi_items()))
        items = [view_object(stored) for stored in page.items]
        return json_answer(ObjectList(items=items, next=next_address(request, page.after)))

    async def get_object(self, request: Request) -> Response:
        noun = _noun_of(request)
        if noun is None:
            return _no_resource(request)
        mrid = request.path_params["mrid"]
        stored = await self._viewing.find_object(noun, mrid, request.query_params.get("partner", ""))
        if stored is None:
            where = str(request.url.path)
            return problem(finding_of("REF-103", where, f"no object {mrid[:200]!r}", f"mRID of an object of {noun}"))
        return json_answer(view_object(stored))

    async def list_messages(self, request: Request) -> Response:
        page = await self._queries.list_messages(read_message_filters(request.query_params.multi_items()))
        items = [view_message(entry) for entry in page.items]
        following = next_address(request, page.after)
        return json_answer(MessageList(items=items, next=following, looked_to=page.looked_to))

    async def get_message(self, request: Request) -> Response:
        sequence = number_of(request.path_params["sequence"])
        entry = await self._queries.find_message(sequence) if sequence else None
        return _no_message(request) if entry is None else json_answer(view_message(entry))

    async def get_raw(self, request: Request) -> Response:
        sequence = number_of(request.path_params["sequence"])
        raw = await self._queries.find_raw(sequence) if sequence else None
        if raw is None:
            return _no_message(request)
        # As plain text whatever it is: a browser must not run what a partner sent.
        return Response(raw, headers=SAFE | {"content-type": "text/plain; charset=utf-8"})


def _noun_of(request: Request) -> Noun | None:
    name = request.path_params["noun"]
    return Noun(name) if name in frozenset(Noun) else None


def _no_message(request: Request) -> Response:
    return problem(finding_of("REF-103", request.url.path, "no such message", "number of a message of the log"))


def _no_resource(request: Request) -> Response:
    accepted = f"{', '.join(_RESOURCES)}, or one of {', '.join(Noun)}"
    return problem(finding_of("NET-103", request.url.path, "no such resource", accepted))


async def _http_problem(request: Request, error: Exception) -> Response:
    path = request.url.path
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        finding = finding_of("NET-101", path, f"method {request.method}", allowed)
        return problem(finding, {"allow": allowed})
    return problem(finding_of("NET-103", path, "nothing here", "/ names all that is here"))


async def _filter_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, FilterError)
    return problem(error.finding)


async def _store_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    found, accepted = "the database cannot be used now", "a later attempt"
    return problem(finding_of(error.code, request.url.path, found, accepted))


async def _internal_problem(request: Request, error: Exception) -> Response:
    found, accepted = f"an error inside the hub ({type(error).__name__})", "a later attempt"
    return problem(finding_of("EXC-109", request.url.path, found, accepted))


def _note_failure(logger: structlog.typing.FilteringBoundLogger, path: str, error: Exception) -> None:
    """Log line without the text of the error, which may quote content."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("page failed", code="EXC-109", path=path, error=type(error).__name__, trace=trace)


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
ul{padding-left:1.2rem}code{background:#eee;padding:0 .2rem}@media(prefers-color-scheme:dark){
body{background:#111;color:#ddd}a{color:#8bf}code{background:#333}}"""

_STYLED = {"content-security-policy": f"{SAFE['content-security-policy']}; {style_source(_STYLE)}"}
"""The first page stands alone: its style is in it, and the policy knows that one by its digest."""


def _index(services: list[str], starts: list[str]) -> str:
    def link(href: str, text: str = "") -> str:
        return f'<li><a href="{html.escape(href)}">{html.escape(text or href)}</a></li>'

    looks = f"<h2>Look</h2><ul>{''.join(link(start) for start in starts)}</ul>" if starts else ""
    typed = "".join(link(f"/soap/{name}?wsdl", name) for name in services)
    nouns = "".join(link(f"/api/v1/{entry.noun}", f"{entry.noun}, {entry.clause}") for entry in ENTRIES)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>cimcare</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>cimcare {html.escape(__version__)}</h1>
<p>Messages of IEC 61968-8 in the envelope of IEC 61968-100, over SOAP and plain HTTP. Four systems of a utility are
built in: customer information, outage management, work management, third party.</p>
{looks}<h2>Send messages</h2>
<ul>{link("/soap?wsdl", "/soap, generic service in SOAP 1.1 and 1.2: WSDL")}
<li><code>POST /messages</code>, the envelope as XML or JSON (our profile)</li></ul>
<details><summary>Strongly typed services</summary><ul>{typed}</ul></details>
<h2>Read</h2>
<ul>{link("/api/v1/messages?order=newest", "Messages, newest first")}
{link("/api/v1/events", "Events")}{link("/api/v1/subscriptions", "Subscriptions")}
{link("/api/v1/deliveries", "Deliveries")}{link("/api/v1/partners", "Partners")}
{link("/api/v1/notices", "Notices to customers")}{link("/api/v1/callbacks", "Call-back lists")}
{link("/api/v1/customers", "Customers")}
{link("/api/v1/ledger", "Ledger")}{link("/api/v1/audit", "Audit trail")}{nouns}
{link("/api/v1/openapi.json", "Description of the REST interface (OpenAPI)")}</ul>
<h2>Operation</h2>
<ul>{link("/api/v1/alarms", "Active alarms")}{link("/api/v1/readiness", "Readiness")}
{link("/api/v1/brokers", "Brokers")}{link("/healthz")}{link("/readyz")}{link("/metrics")}</ul>
</body></html>
"""
