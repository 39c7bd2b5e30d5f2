"""Routes of the overview and of readiness."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.frame import Area, Frame, Page
from cimcare.console.overview.looking import YARDSTICK_PER_HOUR, curve_of_course, look_over
from cimcare.hub.rest.bodies import actor_of

__all__ = ["overview_area", "readiness_area"]


def overview_area(frame: Frame) -> Area:
    """The overview over a hub."""
    pages = _Overview(frame)
    return Area(title="Overview", href="/console/", pages=[Page("/", pages.overview)])


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

    async def overview(self, request: Request) -> Response:
        seen = await look_over(self._frame.inside)
        values = {"seen": seen, "yardstick": YARDSTICK_PER_HOUR, "course": curve_of_course(seen)}
        return self._frame.show(request, "overview/overview.html", values)


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
