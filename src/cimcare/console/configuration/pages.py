"""Routes of the configuration, the rules and the audit trail."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.configuration.proposing import (
    InForcePage,
    Proposal,
    apply_configuration,
    apply_rules,
    propose_configuration,
    propose_rules,
    show_configuration,
    show_rules,
)
from cimcare.console.configuration.trail import look_back
from cimcare.console.frame import Area, Frame, Page, Sent, read_sent
from cimcare.exchange.audit import Action
from cimcare.hub.operation.trail import TrailError
from cimcare.hub.rest.bodies import actor_of
from cimcare.hub.rest.inside import Inside

__all__ = ["configuration_area"]

_Show = Callable[[Inside], Awaitable[InForcePage]]
_Propose = Callable[[Inside, str], Awaitable[Proposal]]
_Apply = Callable[..., Awaitable[Proposal | None]]


def configuration_area(frame: Frame) -> Area:
    """Configuration, rules and audit trail of a hub."""
    partners = _Text(
        frame, "configuration/partners.html", show_configuration, propose_configuration, apply_configuration
    )
    rules = _Text(frame, "configuration/rules.html", show_rules, propose_rules, apply_rules)
    trail = _Trail(frame)
    return Area(
        title="Configuration",
        href="/console/configuration",
        starts=("/console/configuration/", "/console/audit"),
        pages=[
            Page("/configuration", partners.text),
            Page("/configuration", partners.apply, takes_form=True),
            Page("/configuration/proposal", partners.propose, takes_form=True),
            Page("/configuration/rules", rules.text),
            Page("/configuration/rules", rules.apply, takes_form=True),
            Page("/configuration/rules/proposal", rules.propose, takes_form=True),
            Page("/audit", trail.rows),
        ],
    )


class _Text:
    """A text that is shown, proposed, and put in force."""

    def __init__(self, frame: Frame, template: str, show: _Show, propose: _Propose, apply: _Apply) -> None:
        self._frame = frame
        self._template = template
        self._show = show
        self._propose = propose
        self._apply = apply

    async def text(self, request: Request) -> Response:
        return await self._page(request)

    async def propose(self, request: Request) -> Response:
        """Show what a text would change; nothing is done."""
        sent = await read_sent(request)
        return await self._page(request, await self._propose(self._frame.inside, _text_of(sent)))

    async def apply(self, request: Request) -> Response:
        """Put a text in force whose differences were shown."""
        sent = await read_sent(request)
        actor = actor_of(request)
        refused = await self._apply(self._frame.inside, _text_of(sent), sent.one("base"), actor=actor)
        if refused is not None:
            return await self._page(request, refused)
        return RedirectResponse(f"{request.url.path}?done=1", 303)

    async def _page(self, request: Request, proposal: Proposal | None = None) -> Response:
        values = {
            "page": await self._show(self._frame.inside),
            "proposal": proposal,
            "is_done": request.query_params.get("done") == "1",
        }
        status = 400 if proposal is not None and proposal.findings else 200
        return self._frame.show(request, self._template, values, status=status)


def _text_of(sent: Sent) -> str:
    """The text of the form; browsers end its lines in two signs."""
    return sent.one("text").replace("\r\n", "\n") + "\n"


class _Trail:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def rows(self, request: Request) -> Response:
        try:
            page = await look_back(self._frame.inside, request.query_params.multi_items())
        except TrailError as error:
            return self._frame.problem(request, error.finding, 500)
        values = {"page": page, "actions": [action.value for action in Action]}
        return self._frame.show(request, "configuration/audit.html", values)
