"""Routes of the console and their handlers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cimcare.console.conversation import find_conversation
from cimcare.console.drawing import draw_mermaid, draw_svg
from cimcare.console.live import Live
from cimcare.console.messages import Form, find_message, list_messages
from cimcare.console.overview import look_over
from cimcare.console.rendering import SAFE, Rendering, read_static
from cimcare.errors import Finding, finding_of
from cimcare.exchange.log import Outcome
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.answering import number_of
from cimcare.hub.rest.audience import TooManyStreamsError
from cimcare.hub.rest.bodies import actor_of
from cimcare.hub.rest.filters import FilterError
from cimcare.hub.rest.inside import Inside
from cimcare.model.nouns import ENTRIES
from cimcare.model.verbs import Verb

__all__ = ["MOST_WATCHERS", "console_pages"]

MOST_WATCHERS = 500
"""Browsers that are kept live by one process at once; more are told to come again."""

_Handler = Callable[[Request], Awaitable[Response]]


def console_pages(inside: Inside) -> Sequence[BaseRoute]:
    """The routes of the console over a hub."""
    return _Console(inside).routes()


class _Console:
    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._rendering = Rendering()
        self._live = Live(inside.open_audience(MOST_WATCHERS), self._parts)

    def routes(self) -> Sequence[BaseRoute]:
        """All of them, with and without the slash behind `/console`."""
        pages: list[tuple[str, _Handler]] = [
            ("/", self.overview),
            ("/live", self.live),
            ("/readiness", self.readiness),
            ("/messages", self.messages),
            ("/messages/{sequence}", self.message),
            ("/conversations/{correlation:path}.svg", self.drawing),
            ("/conversations/{correlation:path}.mmd", self.mermaid),
            ("/conversations/{correlation:path}", self.conversation),
            ("/static/{tag}/{name}", self.static),
            ("/{rest:path}", self.nothing),
        ]
        return [
            Route("/console", self.home),
            Route("/console/readiness", self._guarded(self.examine), methods=["POST"]),
            Mount("/console", routes=[Route(path, self._guarded(handler)) for path, handler in pages]),
        ]

    def _guarded(self, handler: _Handler) -> _Handler:
        """What goes wrong is told as a page, as the other pages are."""

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except FilterError as error:
                return self._problem(request, error.finding, 400)
            except StoreError as error:
                found, accepted = "the database cannot be used now", "a later attempt"
                return self._problem(request, finding_of(error.code, request.url.path, found, accepted), 503)

        return guarded

    async def home(self, _: Request) -> Response:
        return RedirectResponse("/console/", 308)

    async def overview(self, request: Request) -> Response:
        seen = await look_over(self._inside)
        return self._page(request, "overview.html", {"seen": seen})

    async def live(self, request: Request) -> Response:
        try:
            return self._live.audience.admit(self._live.frames(), SAFE)
        except TooManyStreamsError as error:
            return Response(str(error), 503, headers={**SAFE, "retry-after": "30"}, media_type="text/plain")

    async def _parts(self) -> dict[str, str]:
        try:
            seen = await look_over(self._inside)
        except StoreError:
            return {"overview": self._rendering.fragment("_unreadable.html", {"at": self._inside.clock()})}
        return {"overview": self._rendering.fragment("_overview.html", {"seen": seen})}

    async def readiness(self, request: Request) -> Response:
        sheet = await self._inside.doctor.look(writes=False)
        return self._page(request, "readiness.html", {"sheet": sheet})

    async def examine(self, request: Request) -> Response:
        """Drill all partners. Only a page of this console may ask for it, not one from elsewhere."""
        if not _is_from_here(request):
            finding = finding_of("EXC-126", request.url.path, "sent by a page from elsewhere", "a page of this console")
            return self._problem(request, finding, 403)
        await self._inside.doctor.examine(actor=actor_of(request))
        return RedirectResponse("/console/readiness", 303)

    async def messages(self, request: Request) -> Response:
        page = await list_messages(self._inside, request.query_params.multi_items())
        values = {
            "page": page,
            "nouns": [entry.noun.value for entry in ENTRIES],
            "verbs": [verb.value for verb in Verb],
            "outcomes": [outcome.value for outcome in Outcome if outcome],
        }
        return self._page(request, "messages.html", values)

    async def message(self, request: Request) -> Response:
        asked = request.query_params.get("as", Form.TREE)
        form = Form(asked) if asked in frozenset(Form) else Form.TREE
        sequence = number_of(request.path_params["sequence"])
        shown = await find_message(self._inside, sequence, form) if sequence else None
        if shown is None:
            found = finding_of("REF-103", request.url.path, "no such message", "number of a message of the log")
            return self._problem(request, found, 404)
        return self._page(request, "message.html", {"shown": shown})

    async def conversation(self, request: Request) -> Response:
        correlation = request.path_params["correlation"]
        found = await find_conversation(self._inside.reader, self._inside.setup(), correlation)
        if found is None:
            return self._no_conversation(request)
        return self._page(request, "conversation.html", {"conversation": found, "drawing": draw_svg(found)})

    async def drawing(self, request: Request) -> Response:
        found = await find_conversation(self._inside.reader, self._inside.setup(), request.path_params["correlation"])
        if found is None:
            return self._no_conversation(request)
        # The drawing has its style in it, which the policy of this one answer lets be; it has no script.
        headers = {
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "x-content-type-options": "nosniff",
            "content-disposition": 'inline; filename="conversation.svg"',
        }
        return Response(draw_svg(found, alone=True), headers=headers, media_type="image/svg+xml")

    async def mermaid(self, request: Request) -> Response:
        found = await find_conversation(self._inside.reader, self._inside.setup(), request.path_params["correlation"])
        if found is None:
            return self._no_conversation(request)
        headers = {**SAFE, "content-disposition": 'attachment; filename="conversation.mmd"'}
        return Response(draw_mermaid(found), headers=headers, media_type="text/plain; charset=utf-8")

    async def static(self, request: Request) -> Response:
        found = read_static(request.path_params["name"])
        return found if found is not None else await self.nothing(request)

    async def nothing(self, request: Request) -> Response:
        found = finding_of("NET-103", request.url.path, "nothing here", "a page that the menu names")
        return self._problem(request, found, 404)

    def _no_conversation(self, request: Request) -> Response:
        found = "no message with this CorrelationID or MessageID"
        finding = finding_of("REF-103", request.url.path, found, "one that a message of the log has")
        return self._problem(request, finding, 404)

    def _problem(self, request: Request, finding: Finding, status: int) -> Response:
        return self._page(request, "problem.html", {"finding": finding, "status": status}, status=status)

    def _page(self, request: Request, template: str, values: Mapping[str, object], *, status: int = 200) -> Response:
        context = self._inside.settings.hub.context
        return self._rendering.page(template, {"path": request.url.path, "context": context, **values}, status=status)


def _is_from_here(request: Request) -> bool:
    """Whether a browser says that the page it shows is of this address; what is no browser says nothing."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    if site:
        return site in ("same-origin", "none")
    return not origin or origin.partition("://")[2] == request.headers.get("host", "")
