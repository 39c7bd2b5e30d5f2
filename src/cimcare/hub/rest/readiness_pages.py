"""The part of the REST interface that is for readiness: the sheet as it stands, and having partners drilled for it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.hub.operation.doctor import Doctor
from cimcare.hub.rest.answering import json_answer
from cimcare.hub.rest.bodies import actor_of
from cimcare.hub.rest.filters import read_no_filters

__all__ = ["ReadinessPages"]


class ReadinessPages:
    """Handlers of the routes.

    Args:
        doctor: Makes the sheet.
    """

    def __init__(self, doctor: Doctor) -> None:
        self._doctor = doctor

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/readiness", self.show, methods=["GET"]),
            Route("/api/v1/readiness", self.examine, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The sheet; nobody is sent anything, and nothing is written."""
        read_no_filters(request.query_params.multi_items())
        return json_answer(await self._doctor.read())

    async def examine(self, request: Request) -> Response:
        """Drill all partners, and then the sheet."""
        read_no_filters(request.query_params.multi_items())
        return json_answer(await self._doctor.examine(actor=actor_of(request)))
