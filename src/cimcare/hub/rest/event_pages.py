"""The part of the REST interface that is for events: the feed, the stream, and subscriptions."""

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import InputError, finding_of
from cimcare.hub.config.subscribing import Subscribing, SubscriptionError
from cimcare.hub.rest.answering import SAFE, json_answer, next_address, problem
from cimcare.hub.rest.bodies import actor_of, read_json
from cimcare.hub.rest.events import EventPage, Events
from cimcare.hub.rest.filters import (
    EVENT_FILTERS,
    PAGE_FILTERS,
    STREAM_FILTERS,
    read_event_filters,
    read_last_event_id,
)
from cimcare.hub.rest.streaming import Streams, TooManyStreamsError
from cimcare.hub.rest.viewing import Viewing

__all__ = ["EventPages"]

_SUBSCRIPTIONS = "/api/v1/subscriptions"


class EventPages:
    """Handlers of the routes."""

    def __init__(self, events: Events, streams: Streams, subscribing: Subscribing, viewing: Viewing) -> None:
        self._viewing = viewing
        self._events = events
        self._streams = streams
        self._subscribing = subscribing

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/events", self.list_events),
            Route("/api/v1/events/stream", self.stream_events),
            Route(_SUBSCRIPTIONS, self.subscriptions, methods=["GET", "POST"]),
            Route(f"{_SUBSCRIPTIONS}/{{name}}", self.subscription, methods=["GET", "DELETE"]),
            Route(f"{_SUBSCRIPTIONS}/{{name}}/events", self.list_missed),
        ]

    async def list_events(self, request: Request) -> Response:
        """The feed."""
        asked = read_event_filters(request.query_params.multi_items(), EVENT_FILTERS)
        viewer = self._viewing.viewer(asked.partner)
        page = await self._events.page(asked.wanted, after=asked.after or 0, limit=asked.limit, viewer=viewer)
        return _listed(request, page)

    async def list_missed(self, request: Request) -> Response:
        """The feed through the filter of a subscription."""
        asked = read_event_filters(request.query_params.multi_items(), PAGE_FILTERS)
        wanted = await self._subscribing.wanted(request.path_params["name"])
        if wanted is None:
            return _no_subscription(request)
        page = await self._events.page(
            wanted.filter,
            after=asked.after or 0,
            limit=asked.limit,
            sender=wanted.sender,
            viewer=self._viewing.viewer_under(wanted.third_party),
        )
        return _listed(request, page)

    async def stream_events(self, request: Request) -> Response:
        """The stream."""
        asked = read_event_filters(request.query_params.multi_items(), STREAM_FILTERS)
        known = read_last_event_id(request.headers.get("last-event-id", ""))
        try:
            after = asked.after if known is None else known
            viewer = self._viewing.viewer(asked.partner)
            return self._streams.open(asked.wanted, after=after, headers=SAFE, viewer=viewer)
        except TooManyStreamsError as error:
            accepted = "a later attempt, or the feed without stream"
            return problem(finding_of(error.code, request.url.path, str(error), accepted), {"retry-after": "30"})

    async def subscriptions(self, request: Request) -> Response:
        """All of them, or one more."""
        if request.method != "POST":
            return json_answer({"items": await self._subscribing.all()})
        try:
            made = await self._subscribing.make(await read_json(request, dict[str, object]), actor_of(request))
        except ClientDisconnect:  # nobody is there to be answered
            return Response(status_code=400)
        except InputError as error:
            return problem(error.finding)
        except SubscriptionError as error:
            return problem(error.findings[0], findings=error.findings)
        address = f"{_SUBSCRIPTIONS}/{made.view.name}"
        return json_answer(made.view, 201 if made.is_new else 200, {"location": address})

    async def subscription(self, request: Request) -> Response:
        """One of them, or one less."""
        name = request.path_params["name"]
        if request.method != "DELETE":
            view = await self._subscribing.find(name)
            return _no_subscription(request) if view is None else json_answer(view)
        try:
            was_there = await self._subscribing.remove(name, actor_of(request))
        except SubscriptionError as error:
            return problem(error.findings[0])
        return Response(status_code=204, headers=SAFE) if was_there else _no_subscription(request)


class _EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, each in JSON already."""

    items: list[msgspec.Raw]
    last: int
    next: str | None


def _listed(request: Request, page: EventPage) -> Response:
    following = next_address(request, None if page.is_end else page.last)
    return json_answer(
        _EventList(items=[msgspec.Raw(told.body) for told in page.items], last=page.last, next=following)
    )


def _no_subscription(request: Request) -> Response:
    return problem(finding_of("REF-103", request.url.path, "no such subscription", "name of a subscription"))
