"""Routes of messages and conversations."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from cimcare.console.frame import Area, Frame, Page
from cimcare.console.messages.browsing import MOST_BESIDE, Form, find_message, list_messages
from cimcare.console.messages.conversation import Conversation, find_conversation
from cimcare.console.messages.drawing import STYLE, draw_mermaid, draw_svg
from cimcare.console.rendering import SAFE
from cimcare.errors import finding_of
from cimcare.exchange.log import Counted, Outcome
from cimcare.hub.rest.answering import number_of, style_source
from cimcare.model.nouns import ENTRIES
from cimcare.model.verbs import Verb

__all__ = ["messages_area"]

_GOES_ON = timedelta(hours=1)
"""How long after its last message a conversation is looked at again by itself, and a message after it was received."""

_MOST_BYTES = 100_000
"""A larger message is not looked at again by itself: each look checks all of it."""


def messages_area(frame: Frame) -> Area:
    """The messages of a hub."""
    pages = _Messages(frame)
    return Area(
        title="Messages",
        href="/console/messages",
        starts=("/console/messages/", "/console/conversations/"),
        pages=[
            Page("/messages", pages.messages),
            Page("/messages/{sequence}", pages.message),
            Page("/conversations/{correlation:path}.svg", pages.drawing),
            Page("/conversations/{correlation:path}.mmd", pages.mermaid),
            Page("/conversations/{correlation:path}", pages.conversation),
        ],
    )


class _Messages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def messages(self, request: Request) -> Response:
        page = await list_messages(self._frame.inside, request.query_params.multi_items())
        values = {
            "page": page,
            "nouns": [entry.noun.value for entry in ENTRIES],
            "verbs": [verb.value for verb in Verb],
            "outcomes": [outcome.value for outcome in Outcome if outcome],
            "counted": [one.value for one in Counted],
        }
        return self._frame.show(request, "messages/messages.html", values)

    async def message(self, request: Request) -> Response:
        asked = request.query_params.get("as", Form.TREE)
        form = Form(asked) if asked in frozenset(Form) else Form.TREE
        sequence = number_of(request.path_params["sequence"])
        shown = await find_message(self._frame.inside, sequence, form) if sequence else None
        if shown is None:
            found = finding_of("REF-103", request.url.path, "no such message", "number of a message of the log")
            return self._frame.problem(request, found, 404)
        entry = shown.entry
        is_young = self._frame.inside.clock() - entry.received_at < _GOES_ON
        values = {"shown": shown, "most_beside": MOST_BESIDE, "is_live": is_young and entry.size_bytes <= _MOST_BYTES}
        return self._frame.show(request, "messages/message.html", values)

    async def conversation(self, request: Request) -> Response:
        found = await self._find(request)
        if found is None:
            return self._no_conversation(request)
        # What has been silent for long is over, and is not asked for again and again.
        last = max((arrow.at for arrow in found.arrows), default=None)
        is_live = last is not None and self._frame.inside.clock() - last < _GOES_ON
        values = {"conversation": found, "drawing": draw_svg(found), "is_live": is_live}
        return self._frame.show(request, "messages/conversation.html", values)

    async def drawing(self, request: Request) -> Response:
        found = await self._find(request)
        if found is None:
            return self._no_conversation(request)
        # The drawing has its style in it, which the policy of this one answer knows; it has no script.
        headers = {
            "content-security-policy": f"default-src 'none'; {style_source(STYLE)}; sandbox",
            "x-content-type-options": "nosniff",
            "content-disposition": 'inline; filename="conversation.svg"',
        }
        return Response(draw_svg(found, alone=True), headers=headers, media_type="image/svg+xml")

    async def mermaid(self, request: Request) -> Response:
        found = await self._find(request)
        if found is None:
            return self._no_conversation(request)
        headers = {**SAFE, "content-disposition": 'attachment; filename="conversation.mmd"'}
        return Response(draw_mermaid(found), headers=headers, media_type="text/plain; charset=utf-8")

    async def _find(self, request: Request) -> Conversation | None:
        inside = self._frame.inside
        return await find_conversation(inside.reader, inside.setup(), request.path_params["correlation"])

    def _no_conversation(self, request: Request) -> Response:
        found = "no message with this CorrelationID or MessageID"
        finding = finding_of("REF-103", request.url.path, found, "one that a message of the log has")
        return self._frame.problem(request, finding, 404)
