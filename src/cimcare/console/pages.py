"""All pages of the console over a hub: one area after the other, in the order of the menu."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cimcare.console.configuration.pages import configuration_area
from cimcare.console.customers.pages import customers_area
from cimcare.console.deliveries.pages import deliveries_area
from cimcare.console.frame import Frame, Page
from cimcare.console.history.pages import history_area
from cimcare.console.incidents.pages import incidents_area
from cimcare.console.live import MOST_WATCHERS, News
from cimcare.console.messages.pages import messages_area
from cimcare.console.overview.pages import overview_area, readiness_area
from cimcare.console.rendering import read_static
from cimcare.console.tickets.pages import tickets_area
from cimcare.console.work.pages import work_area
from cimcare.errors import finding_of
from cimcare.hub.rest.inside import Inside

__all__ = ["console_pages"]

_AREAS = (
    overview_area,
    messages_area,
    deliveries_area,
    incidents_area,
    tickets_area,
    work_area,
    customers_area,
    history_area,
    configuration_area,
    readiness_area,
)


def console_pages(inside: Inside) -> Sequence[BaseRoute]:
    """The routes of the console over a hub."""
    frame = Frame(inside)
    routes = frame.routes([area(frame) for area in _AREAS])

    async def nothing(request: Request) -> Response:
        found = finding_of("NET-103", request.url.path, "nothing here", "a page that the menu names")
        return frame.problem(request, found, 404)

    told = News(inside.open_audience(MOST_WATCHERS), inside.reader.version, inside.clock)

    async def news(_: Request) -> Response:
        return told.answer()

    async def static(request: Request) -> Response:
        found = read_static(request.path_params["name"])
        return found if found is not None else await nothing(request)

    async def home(_: Request) -> Response:
        return RedirectResponse("/console/", 308)

    rest = [
        Route("/news", news),
        Route("/static/{tag}/{name}", static),
        Route("/{rest:path}", frame.guarded(Page("", nothing))),
    ]
    return [Route("/console", home), Mount("/console", routes=[*routes, *rest])]
