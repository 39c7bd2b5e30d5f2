"""A message for a partner as an HTTP request: where it goes, what stands in its headers, its body.

Pure. Source: IEC 61968-100:2013, SOAP binding (generic and strongly typed services); plain XML, JSON and webhooks are
our own profile.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime

import msgspec

from cimcare.codec.compressed import compress_payload
from cimcare.codec.envelope import DRAFT_NAMESPACE, MESSAGE_NAMESPACE, render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, TypedNames, render_soap, wrap_document
from cimcare.exchange.log import Transport
from cimcare.exchange.partners import Edition, Partner, Wire
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.verbs import Archetype, Verb
from cimcare.transport.soap import TypedService
from cimcare.transport.webhook import sign_webhook

__all__ = ["Call", "Outgoing", "Renderings", "build_call"]

Outgoing = RequestMessage | EventMessage | ResponseMessage
"""What can be sent to a partner."""

_MOST_KEPT = 64
_LARGEST_KEPT_BYTES = 64 * 1024
"""Writing a larger one takes less than sending it."""

_ACTIONS = {
    Archetype.REQUEST: "http://iec.ch/61968/Request",
    Archetype.EVENT: "http://iec.ch/61968/PublishEvent",
    Archetype.RESPONSE: "http://iec.ch/61968/Response",
}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A POST of `body` to `url`. `content_type` is among the headers."""

    transport: Transport
    url: str
    content_type: str
    body: bytes
    headers: dict[str, str]


class Renderings:
    """Bodies of events that were written lately, so that what goes to several partners in one form is written once."""

    def __init__(self) -> None:
        # The message is held with them, so that its place in memory is not that of another one meanwhile.
        self._known: OrderedDict[int, tuple[Outgoing, dict[Hashable, bytes]]] = OrderedDict()

    def body(self, message: Outgoing, form: Hashable, render: Callable[[], bytes]) -> bytes:
        """The message in a form, rendered if it was not before."""
        if not isinstance(message, EventMessage):
            return render()
        known = self._known.get(id(message))
        if known is not None and form in known[1]:
            return known[1][form]
        body = render()
        if len(body) <= _LARGEST_KEPT_BYTES:
            self._known.setdefault(id(message), (message, {}))[1][form] = body
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return body


def build_call(
    partner: Partner,
    message: Outgoing,
    *,
    services: Mapping[str, TypedService],
    now: datetime,
    address: str = "",
    keys: tuple[bytes, ...] = (),
    renderings: Renderings | None = None,
    kept: bytes = b"",
) -> Call:
    """The request that brings a message to a partner.

    A strongly typed partner has its services below its address: `Execute<Noun>` for transactions, `Get<Noun>` for get,
    `Receive<Noun>` for events. What they have no operation for goes to the address itself, as to a generic service: a
    reply, an OperationSet, and a payload of identifiers alone.

    Args:
        partner: Who it goes to, and how.
        message: What goes.
        services: Strongly typed services by name.
        now: Instant of the attempt, aware; it is signed with a webhook.
        address: Where it goes instead of the partner's own address.
        keys: Keys with which a webhook is signed.
        renderings: Bodies written before; none if None.
        kept: The message as an envelope document that was written here; empty to write it anew.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    url = address or partner.url
    renderings = renderings or Renderings()
    packed = compress_payload(message, above_bytes=partner.compress_above_bytes)
    if packed is not message or _namespace_of(partner) != MESSAGE_NAMESPACE:
        kept = b""
    if partner.wire in (Wire.SOAP, Wire.SOAP_TYPED):
        service = _find_service(message, services) if partner.wire is Wire.SOAP_TYPED else None
        return _soap_call(partner, packed, url, service, renderings, kept)
    call = _plain_call(partner, packed, url, renderings, kept)
    if partner.wire is Wire.REST:
        return call
    signed = sign_webhook(str(message.header.message_id or ""), call.body, keys=keys, now=now)
    return msgspec.structs.replace(call, headers=call.headers | signed)


def _namespace_of(partner: Partner) -> str:
    return DRAFT_NAMESPACE if partner.edition is Edition.E2013_DRAFT else MESSAGE_NAMESPACE


def _plain_call(partner: Partner, message: Outgoing, url: str, renderings: Renderings, kept: bytes) -> Call:
    if partner.as_json:
        transport, content_type, body = (
            Transport.REST_JSON,
            "application/json",
            (renderings.body(message, "JSON", lambda: render_json(message))),
        )
    else:
        transport, content_type = Transport.REST_XML, "application/xml; charset=utf-8"
        namespace = _namespace_of(partner)
        body = kept or renderings.body(message, namespace, lambda: render_message(message, namespace=namespace))
    return Call(
        transport=transport, url=url, content_type=content_type, body=body, headers={"Content-Type": content_type}
    )


def _find_service(message: Outgoing, services: Mapping[str, TypedService]) -> TypedService | None:
    """The service that has an operation for the message; None if none has."""
    if isinstance(message, ResponseMessage) or (message.payload is not None and message.payload.id):
        return None
    request_role = "Get" if message.header.verb is Verb.GET else "Execute"
    role = "Receive" if isinstance(message, EventMessage) else request_role
    service = services.get(f"{role}{message.header.noun}")
    return service if service is not None and _operation_of(message) in service.actions else None


def _operation_of(message: Outgoing) -> str:
    return f"{message.header.verb.capitalize()}{message.header.noun}"


def _soap_call(
    partner: Partner, message: Outgoing, url: str, service: TypedService | None, renderings: Renderings, kept: bytes
) -> Call:
    version = SoapVersion.V12 if partner.soap_12 else SoapVersion.V11
    typed: TypedNames | None = None
    if service is None:
        transport = Transport.SOAP12 if partner.soap_12 else Transport.SOAP11
        action = _ACTIONS[message.ARCHETYPE]
    else:
        transport = Transport.SOAP_TYPED
        operation = _operation_of(message)
        action = service.actions[operation]
        url = f"{url.rstrip('/')}/{service.name}"
        typed = TypedNames(noun=service.noun, namespace=service.message_namespace, operation=operation)
    content_type = version.content_type
    headers = {"Content-Type": content_type, "SOAPAction": f'"{action}"'}
    if version is SoapVersion.V12:
        content_type = f'{content_type}; action="{action}"'
        headers = {"Content-Type": content_type}
    namespace = _namespace_of(partner)
    body = renderings.body(
        message,
        (version, typed, namespace),
        lambda: (
            wrap_document(kept, version)
            if kept and typed is None
            else render_soap(message, version, typed=typed, namespace=namespace)
        ),
    )
    return Call(transport=transport, url=url, content_type=content_type, body=body, headers=headers)
