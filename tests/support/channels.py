"""The ways into the hub, each with its form of a message and of an answer."""

from collections.abc import Callable

import msgspec

from cimcare.codec.envelope import parse_message, read_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import SoapVersion, TypedNames, read_soap, render_soap
from cimcare.model.envelope import AnyMessage, EventMessage, FaultMessage, RequestMessage, ResponseMessage
from cimcare.model.nouns import NOUNS, Noun
from tests.support.hub import Response

__all__ = ["CHANNELS", "Channel", "answer_of"]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One way in: where to post, what to say about the content, how to write and read it."""

    name: str
    content_type: str
    render: Callable[[AnyMessage], bytes]
    parse: Callable[[bytes], AnyMessage]
    is_soap: bool
    typed: bool = False

    def path(self, message: AnyMessage) -> str:
        """Address for a message."""
        if not self.typed:
            return "/soap" if self.is_soap else "/messages"
        assert isinstance(message, RequestMessage | EventMessage)
        role = "Request" if isinstance(message, RequestMessage) else "Receive"
        return f"/soap/{role}{message.header.noun}"


def _parse_soap(raw: bytes) -> AnyMessage:
    element = read_soap(parse_xml(raw)).element
    assert element is not None, raw
    return read_message(element)


def _render_typed(message: AnyMessage) -> bytes:
    assert isinstance(message, RequestMessage | EventMessage)
    noun = Noun(message.header.noun)
    operation = f"{message.header.verb.capitalize()}{noun}"
    names = TypedNames(noun=noun, namespace=NOUNS[noun].message_namespace, operation=operation)
    return render_soap(message, SoapVersion.V11, typed=names)


def _soap(name: str, version: SoapVersion) -> Channel:
    return Channel(
        name=name,
        content_type=version.content_type,
        render=lambda message: render_soap(message, version),
        parse=_parse_soap,
        is_soap=True,
    )


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        _soap("soap11", SoapVersion.V11),
        _soap("soap12", SoapVersion.V12),
        Channel(
            name="soap-typed",
            content_type="text/xml",
            render=_render_typed,
            parse=_parse_soap,
            is_soap=True,
            typed=True,
        ),
        Channel(
            name="rest-xml",
            content_type="application/xml",
            render=render_message,
            parse=parse_message,
            is_soap=False,
        ),
        Channel(
            name="rest-json",
            content_type="application/json",
            render=render_json,
            parse=parse_json,
            is_soap=False,
        ),
    )
}
"""All of them, by the name that the log gives them."""


def answer_of(channel: Channel, response: Response | None) -> ResponseMessage | FaultMessage:
    """The message in a response."""
    assert response is not None
    message = channel.parse(response.body)
    assert isinstance(message, ResponseMessage | FaultMessage)
    return message
