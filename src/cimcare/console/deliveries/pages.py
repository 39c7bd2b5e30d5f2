"""Routes of deliveries, dead letters and partners."""

from collections.abc import Iterable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.deliveries.browsing import ENDED, find_delivery, list_deliveries
from cimcare.console.deliveries.partnered import find_partner, list_partners
from cimcare.console.deliveries.previewing import ACTS, preview, read_numbers
from cimcare.console.frame import Area, Frame, Page, Sent, read_sent
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.outbox import DeliveryKind, DeliveryState
from cimcare.hub.outgoing.dead_letter_jobs import Jobs
from cimcare.hub.outgoing.destinations import is_destination, list_destinations
from cimcare.hub.outgoing.halting import halt, release
from cimcare.hub.outgoing.reasons import ReasonError, require_reason
from cimcare.hub.rest.answering import number_of
from cimcare.hub.rest.bodies import actor_of
from cimcare.hub.rest.filters import FilterError

__all__ = ["deliveries_area"]

_FIRST_SECONDS = 1.0
"""How long the answer to a form waits for the work, so that what is done at once is shown as done."""

_MOST_RATE = 10_000.0


def deliveries_area(frame: Frame) -> Area:
    """Deliveries, dead letters and partners of a hub."""
    letters, partners = _Deliveries(frame), _Partners(frame)
    return Area(
        title="Deliveries",
        href="/console/deliveries",
        starts=("/console/deliveries/", "/console/partners"),
        pages=[
            Page("/deliveries", letters.deliveries),
            Page("/deliveries/preview", letters.preview),
            Page("/deliveries/jobs", letters.jobs),
            Page("/deliveries/jobs", letters.begin, takes_form=True),
            Page("/deliveries/jobs/{job}", letters.job),
            Page("/deliveries/jobs/{job}/halt", letters.halt, takes_form=True),
            Page("/deliveries/{number}", letters.delivery),
            Page("/partners", partners.partners),
            Page("/partners/{name:path}/halt", partners.halt, takes_form=True),
            Page("/partners/{name:path}/release", partners.release, takes_form=True),
            Page("/partners/{name:path}", partners.partner),
        ],
    )


class _Deliveries:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        inside = frame.inside
        ending = inside.open_audience(0)
        self._jobs = Jobs(inside.store, clock=inside.clock, new_id=inside.new_id, is_stopping=ending.stopped.is_set)

    async def deliveries(self, request: Request) -> Response:
        page = await list_deliveries(self._frame.inside, request.query_params.multi_items())
        values = {
            "page": page,
            "states": [state.value for state in DeliveryState],
            "kinds": [kind.value for kind in DeliveryKind],
            "now": self._frame.inside.clock(),
        }
        return self._frame.show(request, "deliveries/deliveries.html", values)

    async def delivery(self, request: Request) -> Response:
        number = number_of(request.path_params["number"])
        shown = await find_delivery(self._frame.inside, number) if number else None
        if shown is None:
            found = finding_of("REF-103", request.url.path, "no such delivery", "number of a delivery")
            return self._frame.problem(request, found, 404)
        # What was delivered or discarded stays as it is.
        values = {
            "shown": shown,
            "now": self._frame.inside.clock(),
            "is_live": shown.delivery.state not in ENDED,
        }
        return self._frame.show(request, "deliveries/delivery.html", values)

    async def preview(self, request: Request) -> Response:
        given = request.query_params.multi_items()
        act = _act_of(request.query_params.get("act", ""))
        return await self._preview(request, act, given)

    async def _preview(
        self,
        request: Request,
        act: str,
        given: Iterable[tuple[str, str]],
        sent: Sent | None = None,
        finding: Finding | None = None,
    ) -> Response:
        pairs = list(given)
        if job := next((value for name, value in pairs if name == "job"), ""):
            known = await self._jobs.find(job)
            left = known.left if known is not None else ()
            pairs = [("numbers", " ".join(map(str, left)))]
        values = {
            "preview": await preview(self._frame.inside, act, pairs),
            "reason": sent.one("reason") if sent is not None else "",
            "rate": sent.one("rate") if sent is not None else "",
            "finding": finding,
        }
        return self._frame.show(request, "deliveries/preview.html", values, status=400 if finding else 200)

    async def begin(self, request: Request) -> Response:
        """Begin a job with exactly those that the preview named."""
        sent = await read_sent(request)
        act = _act_of(sent.one("act"))
        numbers = read_numbers(sent.one("numbers"))
        try:
            reason = require_reason(sent.one("reason"))
            rate = _rate_of(sent.one("rate"))
        except (ReasonError, FilterError) as error:
            return await self._preview(request, act, [("numbers", sent.one("numbers"))], sent, error.finding)
        job = await self._jobs.begin(ACTS[act], numbers, actor=actor_of(request), reason=reason, rate=rate)
        await self._jobs.settle(job.id, _FIRST_SECONDS)
        return RedirectResponse(f"/console/deliveries/jobs/{job.id}", 303)

    async def jobs(self, request: Request) -> Response:
        found = await self._jobs.latest()
        return self._frame.show(request, "deliveries/jobs.html", {"jobs": found, "is_lost": self._jobs.is_lost})

    async def job(self, request: Request) -> Response:
        found = await self._jobs.find(request.path_params["job"])
        if found is None:
            finding = finding_of(
                "REF-103", request.url.path, "no such job", "one that `/console/deliveries/jobs` lists"
            )
            return self._frame.problem(request, finding, 404)
        values = {"job": found, "is_lost": self._jobs.is_lost(found)}
        return self._frame.show(request, "deliveries/job.html", values)

    async def halt(self, request: Request) -> Response:
        job = request.path_params["job"]
        await self._jobs.halt(job, actor=actor_of(request))
        await self._jobs.settle(job, _FIRST_SECONDS)
        return RedirectResponse(f"/console/deliveries/jobs/{quote(job, '')}", 303)


class _Partners:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def partners(self, request: Request) -> Response:
        found = await list_partners(self._frame.inside)
        return self._frame.show(request, "deliveries/partners.html", {"partners": found})

    async def partner(self, request: Request) -> Response:
        return await self._show(request, request.path_params["name"])

    async def _show(self, request: Request, name: str, *, reason: str = "", finding: Finding | None = None) -> Response:
        shown = await find_partner(self._frame.inside, name)
        if shown is None:
            found = finding_of("SET-110", request.url.path, f"no partner {name!r}", "one that the list of partners has")
            return self._frame.problem(request, found, 404)
        values = {"shown": shown, "now": self._frame.inside.clock(), "reason": reason, "finding": finding}
        return self._frame.show(request, "deliveries/partner.html", values, status=400 if finding else 200)

    async def halt(self, request: Request) -> Response:
        """Halt delivery to a destination."""
        return await self._change(request, is_halt=True)

    async def release(self, request: Request) -> Response:
        """Let delivery to a destination go on."""
        return await self._change(request, is_halt=False)

    async def _change(self, request: Request, *, is_halt: bool) -> Response:
        name, inside = request.path_params["name"], self._frame.inside
        sent = await read_sent(request)
        try:
            reason = require_reason(sent.one("reason"))
        except ReasonError as error:
            return await self._show(request, name, reason=sent.one("reason"), finding=error.finding)
        if is_halt and not is_destination(name, await list_destinations(inside.reader)):
            found = finding_of("SET-110", request.url.path, f"no destination {name!r}", "a partner that is sent to")
            return self._frame.problem(request, found, 404)
        async with inside.store.transaction() as transaction:
            change = halt if is_halt else release
            await change(transaction, name, actor=actor_of(request), reason=reason, now=inside.clock())
        return RedirectResponse(f"/console/partners/{quote(name, '')}", 303)


def _act_of(text: str) -> str:
    if text not in ACTS:
        raise InputError(finding_of("EXC-110", "act", repr(text), f"one of {', '.join(ACTS)}"))
    return text


def _rate_of(text: str) -> float:
    """Most a second; empty for no bound."""
    if not text:
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate <= _MOST_RATE:
        accepted = f"a number above 0, up to {_MOST_RATE:.0f}, or nothing for no bound"
        raise FilterError(finding_of("EXC-110", "rate", repr(text), accepted))
    return rate
