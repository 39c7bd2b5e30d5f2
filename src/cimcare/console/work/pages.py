"""Routes of field work: board, calendar, one order or request."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.about import messages_about
from cimcare.console.frame import Area, Frame, Page, Sent, read_sent
from cimcare.console.owned import service_orders
from cimcare.console.work.acting import message_for
from cimcare.console.work.history import history_of
from cimcare.console.work.looking import find_work
from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Records
from cimcare.hub.acts.asking import MessageRefusedError
from cimcare.hub.rest.bodies import actor_of
from cimcare.model.identity import MRID
from cimcare.systems.wms.appointments import Visit
from cimcare.systems.wms.board import load_calendar, load_columns, view_crew
from cimcare.systems.wms.crews import CrewRecord, load_crews, name_of_crew

__all__ = ["work_area"]

_HERE = "/console/work"
_WEEK = timedelta(days=7)
_SATURDAY = 5


def work_area(frame: Frame) -> Area:
    """Field work."""
    pages = _Work(frame)
    return Area(
        title="Work",
        href=_HERE,
        starts=(f"{_HERE}/",),
        pages=[
            Page("/work", pages.board),
            Page("/work/calendar", pages.calendar),
            Page("/work/{mrid:path}", pages.work),
            Page("/work/{mrid:path}", pages.act, takes_form=True),
        ],
    )


class _Work:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def board(self, request: Request) -> Response:
        inside, wanted = self._frame.inside, request.query_params.get("crew", "")
        records, now = inside.reader.records, inside.clock()
        crews = await load_crews(records)
        crew = next((one for one in crews if wanted in (name_of_crew(one), one.mrid)), None)
        values = {
            "columns": await load_columns(records, service_orders(inside)) if crew is None else (),
            "crews": [view_crew(one, now) for one in crews],
            "crew": view_crew(crew, now) if crew is not None else None,
            "visits": await _visits_of(records, crew, now) if crew is not None else (),
        }
        return self._frame.show(request, "work/board.html", values)

    async def calendar(self, request: Request) -> Response:
        inside = self._frame.inside
        now = inside.clock()
        first = _day_in(request.query_params.get("from", "")) or _working_day(now)
        first = (first - timedelta(days=first.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
        seen = await load_calendar(inside.reader.records, first)
        days = list(dict.fromkeys(window[0].date() for window, _ in seen.windows))
        asked = _day_in(request.query_params.get("day", ""))
        taken = [window[0].date() for window, visits in seen.windows if visits]
        coming = [day for day in taken if day >= now.date()]
        day = asked.date() if asked is not None and asked.date() in days else next(iter([*coming, *taken, *days]), None)
        values = {
            "seen": seen,
            "day": day,
            "days": days,
            "first": first,
            "before": first - _WEEK,
            "behind": first + _WEEK,
            "names": {one.mrid: name_of_crew(one) for one in seen.crews},
            "crews": [view_crew(one, now) for one in seen.crews],
        }
        return self._frame.show(request, "work/calendar.html", values)

    async def work(self, request: Request) -> Response:
        return await self._show(request, Sent({}))

    async def act(self, request: Request) -> Response:
        """Do what a button says, by message; a refusal is told beside it, and what was typed stays."""
        sent = await read_sent(request)
        inside, mrid = self._frame.inside, MRID(request.path_params["mrid"])
        work, deed = await find_work(inside, mrid), sent.one("deed")
        if work is None:
            return self._missing(request)
        if deed not in work.deeds:
            finding = finding_of(
                "LIF-102", request.url.path, f"{deed or 'nothing'} for work that is {work.state}", ", ".join(work.deeds)
            )
            return await self._show(request, sent, finding)
        verb, role, payload = message_for(deed, work, sent)
        try:
            await inside.asking.ask(verb, work.noun, actor=actor_of(request), role=role, payload=payload)
        except MessageRefusedError as error:
            return await self._show(request, sent, error.finding)
        return RedirectResponse(f"{_HERE}/{quote(mrid, '')}?done={deed}", 303)

    async def _show(self, request: Request, sent: Sent, problem: Finding | None = None) -> Response:
        work = await find_work(self._frame.inside, MRID(request.path_params["mrid"]))
        if work is None:
            return self._missing(request)
        inside = self._frame.inside
        about = await messages_about(inside, work.mrid)
        values = {
            "work": work,
            "sent": sent,
            "problem": problem,
            "done": request.query_params.get("done", ""),
            "about": about,
            "steps": await history_of(inside.reader, work.noun, work.mrid, about.entries),
        }
        return self._frame.show(request, "work/work.html", values, status=200 if problem is None else 409)

    def _missing(self, request: Request) -> Response:
        found = finding_of("REF-103", request.url.path, "no such order or request", "the mRID of one of the board")
        return self._frame.problem(request, found, 404)


async def _visits_of(records: Records, crew: CrewRecord, now: datetime) -> list[Visit]:
    """What is put down for a crew in the seven days to come."""
    seen = await load_calendar(records, now)
    return [one for _, visits in seen.windows for one in visits if one.crew == crew.mrid]


def _working_day(now: datetime) -> datetime:
    """Today, or Monday at a weekend: nobody asks then for the week that is over."""
    return now if now.weekday() < _SATURDAY else now + timedelta(days=7 - now.weekday())


def _day_in(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
