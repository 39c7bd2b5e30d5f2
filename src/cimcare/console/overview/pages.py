"""Routes of the overview and of readiness."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.frame import Area, Frame, Page
from cimcare.console.live import Live
from cimcare.console.overview.looking import YARDSTICK_PER_HOUR, Overview, curve_of_course, look_over
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.bodies import actor_of

__all__ = ["MOST_WATCHERS", "overview_area", "readiness_area"]

MOST_WATCHERS = 500
"""Browsers that are kept live by one process at once; more are told to come again."""


def overview_area(frame: Frame) -> Area:
    """The overview over a hub."""
    pages = _Overview(frame)
    return Area(title="Overview", href="/console/", pages=[Page("/", pages.overview), Page("/live", pages.live)])


def readiness_area(frame: Frame) -> Area:
    """The sheet of readiness of a hub, and the button that has partners drilled."""
    pages = _Readiness(frame)
    return Area(
        title="Readiness",
        href="/console/readiness",
        pages=[
            Page("/readiness", pages.readiness),
            Page("/readiness", pages.examine, takes_form=True),
        ],
    )


class _Overview:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._live = Live(frame.inside.open_audience(MOST_WATCHERS), self._parts)

    async def overview(self, request: Request) -> Response:
        seen = await look_over(self._frame.inside)
        return self._frame.show(request, "overview/overview.html", _values(seen))

    async def live(self, _: Request) -> Response:
        return self._live.answer()

    async def _parts(self) -> dict[str, str]:
        inside, rendering = self._frame.inside, self._frame.rendering
        try:
            seen = await look_over(inside)
        except StoreError:
            return {"overview": rendering.fragment("overview/_unreadable.html", {"at": inside.clock()})}
        return {"overview": rendering.fragment("overview/_overview.html", _values(seen))}


def _values(seen: Overview) -> dict[str, object]:
    return {"seen": seen, "yardstick": YARDSTICK_PER_HOUR, "course": curve_of_course(seen)}


class _Readiness:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def readiness(self, request: Request) -> Response:
        sheet = await self._frame.inside.doctor.look(writes=False)
        return self._frame.show(request, "overview/readiness.html", {"sheet": sheet})

    async def examine(self, request: Request) -> Response:
        """Drill all partners."""
        await self._frame.inside.doctor.examine(actor=actor_of(request))
        return RedirectResponse("/console/readiness", 303)
