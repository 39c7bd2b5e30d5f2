"""The part of the REST interface that is for alarms: those that are active, and a stream of raised and cleared ones."""

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import finding_of
from cimcare.exchange.store import Reader
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.operation.watching import Watcher, list_alarms
from cimcare.hub.rest.answering import SAFE, json_answer, problem
from cimcare.hub.rest.audience import HELLO, Audience, TooManyStreamsError
from cimcare.hub.rest.filters import read_no_filters

__all__ = ["AlarmPages"]

_SIGN_OF_LIFE = b":\n\n"


class AlarmPages:
    """Handlers of the routes.

    Args:
        reader: Where alarms are kept.
        watcher: Who knows which are active.
        audience: Clients of the stream.
    """

    def __init__(self, reader: Reader, watcher: Watcher, audience: Audience) -> None:
        self._reader = reader
        self._watcher = watcher
        self._audience = audience

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/alarms", self.list_alarms),
            Route("/api/v1/alarms/stream", self.stream_alarms),
        ]

    async def list_alarms(self, request: Request) -> Response:
        """All active alarms."""
        read_no_filters(request.query_params.multi_items())
        return json_answer({"items": await list_alarms(self._reader.records)})

    async def stream_alarms(self, request: Request) -> Response:
        """The stream: first what is active, then what changes."""
        read_no_filters(request.query_params.multi_items())
        try:
            return self._audience.admit(self._frames(), SAFE)
        except TooManyStreamsError as error:
            accepted = "a later attempt, or the list without stream"
            return problem(finding_of(error.code, request.url.path, str(error), accepted), {"retry-after": "30"})

    async def _frames(self) -> AsyncIterator[bytes]:
        """A client that falls behind misses what was raised and cleared meanwhile, and never what is active."""
        yield HELLO
        known: dict[str, Alarm] = {}
        while not self._audience.stopped.is_set():
            news, active = self._audience.news, self._watcher.active
            for key, alarm in known.items():
                if key not in active:
                    yield _frame_of("cleared", alarm)
            for key, alarm in active.items():
                if key not in known:
                    yield _frame_of("raised", alarm)
            known = active
            if not await self._audience.comes(news):
                yield _SIGN_OF_LIFE


def _frame_of(word: str, alarm: Alarm) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (word.encode(), msgspec.json.encode(alarm))
