"""Routes of tickets and of call-back lists."""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.about import messages_about
from cimcare.console.frame import Area, Frame, Page, Sent, read_sent
from cimcare.console.masking import mask_contact
from cimcare.console.tickets.calling_back import ANSWERS, look_at_list
from cimcare.console.tickets.intake import DANGERS, TRIGGERS, TROUBLES, WAYS, call_in
from cimcare.console.tickets.looking import Callers, find_ticket, list_tickets, look_up
from cimcare.errors import Finding, finding_of
from cimcare.hub.acts.acting import NotBuiltInError
from cimcare.hub.acts.asking import MessageRefusedError
from cimcare.hub.rest.bodies import actor_of
from cimcare.model.identity import MRID
from cimcare.systems.cis.callbacks import CallBackAnswer, CallBackError
from cimcare.systems.cis.intake import CallError

__all__ = ["tickets_area"]

_HERE = "/console/tickets"
_LISTS = f"{_HERE}/callbacks"
_LONGEST_REMARK = 1000
_LONGEST_AGENT = 100


def tickets_area(frame: Frame) -> Area:
    """Tickets: taking calls, looking at what became of them, calling back."""
    pages, lists = _Tickets(frame), _CallBacks(frame)
    return Area(
        title="Tickets",
        href=_HERE,
        starts=(f"{_HERE}/",),
        pages=[
            Page("/tickets", pages.intake),
            Page("/tickets", pages.take, takes_form=True),
            Page("/tickets/callers", pages.callers, takes_form=True),
            Page("/tickets/callbacks", lists.listed),
            Page("/tickets/callbacks/next", lists.next, takes_form=True),
            Page("/tickets/callbacks/{id}/claim", lists.claim, takes_form=True),
            Page("/tickets/callbacks/{id}/answer", lists.answer, takes_form=True),
            Page("/tickets/{mrid:path}", pages.ticket),
        ],
    )


class _Tickets:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def intake(self, request: Request) -> Response:
        """The form, with whom another page has in hand."""
        return await self._form(request, Sent({"q": request.query_params.getlist("q")}), None)

    async def take(self, request: Request) -> Response:
        """Take a call, or look who may be calling; whatever is wrong, what was typed stays."""
        sent = await read_sent(request)
        if sent.one("do") == "find":
            return await self._form(request, sent, await look_up(self._frame.inside, sent.one("q")))
        try:
            taken = await self._frame.inside.calling.take(call_in(sent), actor_of(request))
        except CallError as error:
            callers = await look_up(self._frame.inside, sent.one("q")) if error.callers else None
            return await self._form(request, sent, callers, error.finding)
        except MessageRefusedError as error:
            return await self._form(request, sent, None, error.finding)
        except NotBuiltInError as error:
            return await self._form(request, sent, None, _not_here(error))
        how = "new" if taken.is_new else "known"
        return RedirectResponse(f"{_HERE}/{quote(taken.ticket, '')}?taken={how}", 303)

    async def callers(self, request: Request) -> Response:
        """Who fits what was typed, as a part of the form."""
        sent = await read_sent(request)
        found = await look_up(self._frame.inside, sent.one("q"))
        given = {"callers": found, "sent": sent, "asks": bool(sent.one("q"))}
        return self._frame.rendering.page("tickets/_callers.html", given)

    async def ticket(self, request: Request) -> Response:
        taken = request.query_params.get("taken", "")
        mrid = MRID(request.path_params["mrid"])
        shown = await find_ticket(self._frame.inside, mrid, taken=taken if taken in ("new", "known") else "")
        if shown is None:
            found = finding_of("REF-103", request.url.path, "no such ticket", "the mRID of a ticket of the list")
            return self._frame.problem(request, found, 404)
        about = await messages_about(self._frame.inside, mrid)
        values = {"shown": shown, "taken": taken, "mask": mask_contact, "about": about}
        return self._frame.show(request, "tickets/ticket.html", values)

    async def _form(
        self, request: Request, sent: Sent, callers: Callers | None, problem: Finding | None = None
    ) -> Response:
        inside = self._frame.inside
        if callers is None and sent.one("q"):
            callers = await look_up(inside, sent.one("q"))
        after, incident = request.query_params.get("after", ""), request.query_params.get("incident", "")
        values = {
            "sent": sent,
            "callers": callers,
            "asks": bool(sent.one("q")),
            "problem": problem,
            "latest": await list_tickets(inside, after=MRID(after) if after else None, incident=incident),
            "older": bool(after),
            "label": "Older" if after else "Latest",
            "incident": incident,
            "dangers": DANGERS,
            "troubles": TROUBLES,
            "triggers": TRIGGERS,
            "ways": WAYS,
        }
        status = 200 if problem is None else 409 if callers is not None and callers.items else 422
        return self._frame.show(request, "tickets/tickets.html", values, status=status)


class _CallBacks:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def listed(self, request: Request) -> Response:
        asked = request.query_params
        return await self._show(request, asked.get("agent", ""), asked.get("group", ""), done=asked.get("done", ""))

    async def next(self, request: Request) -> Response:
        """The next call of a list, for who asks."""
        sent = await read_sent(request)
        agent, group = _agent_in(sent), sent.one("group")
        if not agent:
            return await self._show(request, "", group, _nobody(request))
        try:
            found = await self._frame.inside.calling.next_call_back(group, agent)
        except NotBuiltInError as error:
            return await self._show(request, agent, group, _not_here(error))
        return _back(agent, group, "" if found is not None else "none")

    async def claim(self, request: Request) -> Response:
        """One call of the list, for who asks."""
        sent = await read_sent(request)
        agent, group = _agent_in(sent), sent.one("group")
        if not agent:
            return await self._show(request, "", group, _nobody(request))
        try:
            await self._frame.inside.calling.claim(MRID(request.path_params["id"]), agent)
        except CallBackError as error:
            return await self._show(request, agent, group, error.finding)
        except NotBuiltInError as error:
            return await self._show(request, agent, group, _not_here(error))
        return _back(agent, group)

    async def answer(self, request: Request) -> Response:
        """What became of a call."""
        sent = await read_sent(request)
        agent, group, remark = _agent_in(sent), sent.one("group"), sent.one("remark")[:_LONGEST_REMARK]
        said, mrid = sent.one("answer"), MRID(request.path_params["id"])
        if said not in frozenset(CallBackAnswer):
            accepted = f"one of {', '.join(CallBackAnswer)}"
            finding = finding_of("COD-105", request.url.path, "no answer", accepted)
            return await self._show(request, agent, group, finding, remark=remark)
        try:
            await self._frame.inside.calling.answer(mrid, agent, CallBackAnswer(said), remark)
        except (CallBackError, MessageRefusedError) as error:
            return await self._show(request, agent, group, error.finding, remark=remark)
        except NotBuiltInError as error:
            return await self._show(request, agent, group, _not_here(error), remark=remark)
        return _back(agent, group, said)

    async def _show(
        self,
        request: Request,
        agent: str,
        group: str,
        problem: Finding | None = None,
        *,
        done: str = "",
        remark: str = "",
    ) -> Response:
        values = {
            "agent": agent,
            "group": group,
            "problem": problem,
            "done": done,
            "remark": remark,
            "answers": ANSWERS,
            "seen": await look_at_list(self._frame.inside, agent, group),
        }
        return self._frame.show(request, "tickets/callbacks.html", values, status=200 if problem is None else 409)


def _agent_in(sent: Sent) -> str:
    return " ".join(sent.one("agent").split())[:_LONGEST_AGENT]


def _nobody(request: Request) -> Finding:
    return finding_of("COD-105", request.url.path, "no name of an agent", "a name of 1 to 100 characters")


def _not_here(error: NotBuiltInError) -> Finding:
    return finding_of(error.code, "/", str(error), "the customer system that plays this role")


def _back(agent: str, group: str, done: str = "") -> Response:
    told = {name: value for name, value in (("agent", agent), ("group", group), ("done", done)) if value}
    return RedirectResponse(f"{_LISTS}?{urlencode(told)}", 303)
