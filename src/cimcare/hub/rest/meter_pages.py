"""The part of the REST interface that takes meter events: `POST /api/v1/meter-events`."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import InputError, finding_of
from cimcare.hub.acts.acting import NotBuiltInError
from cimcare.hub.acts.meter_table import TableError
from cimcare.hub.acts.metering import BusyError, Metering
from cimcare.hub.rest.answering import SAFE, problem
from cimcare.hub.rest.bodies import actor_of, read_raw

__all__ = ["MeterPages"]

_SENDER = "meter-events"


class MeterPages:
    """Handler of the route.

    Args:
        metering: Takes the tables.
        most_bytes: Longest table.
        receive_seconds: Time in which one has to arrive.
        retry_after_seconds: When a sender that met an overload may come again.
    """

    def __init__(
        self, metering: Metering, *, most_bytes: int, receive_seconds: float, retry_after_seconds: int
    ) -> None:
        self._metering = metering
        self._most_bytes = most_bytes
        self._receive_seconds = receive_seconds
        self._retry_after_seconds = retry_after_seconds

    def routes(self) -> list[Route]:
        """It goes before those of the nouns."""
        return [Route("/api/v1/meter-events", self.take, methods=["GET", "POST"])]

    async def take(self, request: Request) -> Response:
        """Take a table."""
        if request.method != "POST":  # without this it would be taken for a question for objects
            raise HTTPException(405, headers={"Allow": "POST"})
        path = request.url.path
        try:
            raw = await read_raw(request, most=self._most_bytes, seconds=self._receive_seconds)
            answer = await self._metering.receive(
                raw,
                request.headers.get("content-type", ""),
                sender=actor_of(request, _SENDER),
                key=request.headers.get("idempotency-key", "").strip().strip('"'),
            )
        except ClientDisconnect:  # nobody is there to be answered
            return Response(status_code=400)
        except InputError as error:
            return problem(error.finding)
        except TableError as error:
            return problem(error.findings[0], findings=error.findings)
        except NotBuiltInError as error:
            accepted = "an outage management that is built in here, or the events at that partner"
            return problem(finding_of(error.code, path, str(error), accepted))
        except BusyError as error:
            accepted = f"the same table after {self._retry_after_seconds} seconds"
            return problem(
                finding_of(error.code, path, str(error), accepted), {"retry-after": str(self._retry_after_seconds)}
            )
        return Response(answer, headers=SAFE, media_type="application/json")
