"""The message endpoints as one plain ASGI callable: `/soap`, `/soap/<Role><Noun>` and `/messages`.

No framework stands between the server and the hub: these paths carry the load. What else is asked for goes to another
application. Bodies are read up to a limit and within a time; whoever sends more gets an answer at once.

Source: IEC 61968-100:2013, SOAP binding; the rest is our profile.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol

import msgspec

from cimcare.errors import ERRORS, Finding, finding_of
from cimcare.transport.channel import KEPT_OF_REFUSED_BYTES, Answer, Channel, Receive, Received
from cimcare.transport.rest import JsonChannel, XmlChannel
from cimcare.transport.soap import SoapChannel, TypedService, action_of

__all__ = [
    "AsgiApp",
    "Documents",
    "MessageEndpoints",
    "ReceiveEvent",
    "Scope",
    "Send",
    "problem_of",
    "respond",
]

Scope = MutableMapping[str, Any]  # the three types of ASGI, which leaves their values open
Event = MutableMapping[str, Any]
ReceiveEvent = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
AsgiApp = Callable[[Scope, ReceiveEvent, Send], Awaitable[None]]

_HOST = re.compile(r"\A[A-Za-z0-9.\-_]+(:\d{1,5})?\Z|\A\[[0-9A-Fa-f:.]+\](:\d{1,5})?\Z")
_JSON = re.compile(r"\Aapplication/(?:[a-z0-9.+-]+\+)?json\Z")
_XML = re.compile(r"\A(?:application|text)/(?:[a-z0-9.+-]+\+)?xml\Z")
_UNSAID = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})  # what tools say by default
_METHODS = ("GET", "HEAD", "POST")


class Documents(Protocol):
    """Service descriptions. `service` is empty for the generic one; None means that there is no such document."""

    def find_wsdl(self, service: str, address: str) -> bytes | None:
        """The WSDL of a service for clients that reach it at `address`."""
        ...

    def find_schema(self, service: str, file: str, address: str) -> bytes | None:
        """A schema of a service by file name."""
        ...


class _GoneError(Exception):
    """The client went away before its request was complete."""


class MessageEndpoints:
    """ASGI callable for the message endpoints; other paths go to `otherwise`.

    Args:
        receive: Takes what came.
        services: Strongly typed services by name.
        documents: Service descriptions.
        otherwise: Application for all other paths.
        max_bytes: Longest body.
        receive_seconds: Time in which a body must arrive.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        services: Mapping[str, TypedService],
        documents: Documents,
        otherwise: AsgiApp,
        max_bytes: int,
        receive_seconds: float,
    ) -> None:
        self._receive = receive
        self._services = services
        self._documents = documents
        self._otherwise = otherwise
        self._max_bytes = max_bytes
        self._receive_seconds = receive_seconds

    async def __call__(self, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        """Serve one request."""
        path: str = scope.get("path", "") if scope["type"] == "http" else ""
        if path == "/messages":
            await self._messages(scope, receive, send)
        elif path == "/soap":
            await self._soap(None, scope, receive, send)
        elif path.startswith("/soap/"):
            service = self._services.get(path.removeprefix("/soap/"))
            if service is None:
                await self._no_service(path, scope, receive, send)
            else:
                await self._soap(service, scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)

    async def _messages(self, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        if scope["method"] != "POST":
            await _refuse_method(scope, send, ("POST",))
            return
        headers = _headers_of(scope)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await self._body(headers, receive, send)
        if body is None:
            return
        raw, size, refusal = body
        channel: Channel
        if _JSON.match(media_type) or (media_type in _UNSAID and raw.lstrip()[:1] == b"{"):
            channel = JsonChannel()
        else:
            channel = XmlChannel()
            if not _XML.match(media_type) and media_type not in _UNSAID:
                accepted = "application/xml, text/xml or application/json"
                refusal = finding_of("NET-102", "/", f"content type {media_type}", accepted, "our profile")
        await self._hand_over(channel, headers, raw, size, refusal, send)

    async def _soap(self, service: TypedService | None, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self._describe(service, scope, send)
            return
        if scope["method"] != "POST":
            await _refuse_method(scope, send, _METHODS)
            return
        headers = _headers_of(scope)
        content_type = headers.get("content-type", "")
        channel = SoapChannel(content_type, action_of(content_type, headers.get("soapaction")), service)
        body = await self._body(headers, receive, send)
        if body is None:
            return
        raw, size, refusal = body
        if content_type.lower().startswith("multipart/"):
            found, accepted = f"content type {content_type}", "text/xml or application/soap+xml, without attachments"
            refusal = finding_of("NET-102", "/", found, accepted, "IEC 61968-100:2013, Payload/Compressed instead")
        await self._hand_over(channel, headers, raw, size, refusal, send)

    async def _hand_over(
        self, channel: Channel, headers: Mapping[str, str], raw: bytes, size: int, refusal: Finding | None, send: Send
    ) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if refusal is None and encoding not in ("identity", ""):
            found = f"content encoding {encoding}"
            accepted = "no Content-Encoding; large content goes into Payload/Compressed"
            refusal = finding_of("NET-102", "/", found, accepted, "our profile")
        answer = await self._receive(
            Received(
                channel=channel,
                raw=raw,
                size_bytes=size,
                content_type=headers.get("content-type", ""),
                refusal=refusal,
            )
        )
        await respond(send, answer)

    async def _body(
        self, headers: Mapping[str, str], receive: ReceiveEvent, send: Send
    ) -> tuple[bytes, int, Finding | None] | None:
        """Body, its size, and why reading it was given up. None if the client went away; then nothing is to be said."""
        announced = headers.get("content-length", "")
        size = int(announced) if announced.isdigit() else 0
        if size > self._max_bytes and "expect" in headers:
            return b"", size, self._too_large(size)  # it asked before sending, so it is told before it sends
        chunks: list[bytes] = []
        length = 0
        most = KEPT_OF_REFUSED_BYTES if size > self._max_bytes else self._max_bytes
        try:
            async with asyncio.timeout(self._receive_seconds):
                more = True
                while more and length <= most:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise _GoneError
                    chunks.append(event.get("body", b""))
                    length += len(chunks[-1])
                    more = event.get("more_body", False)
        except _GoneError:
            await self._note_incomplete(b"".join(chunks), headers)
            return None
        except TimeoutError:
            found = f"{length} bytes of a body that did not arrive within {self._receive_seconds:g} s"
            finding = finding_of("NET-106", "/", found, "the whole body in that time", "setting hub.receive_seconds")
            return b"".join(chunks), max(size, length), finding
        raw = b"".join(chunks)
        if max(size, length) > self._max_bytes:
            return raw[:KEPT_OF_REFUSED_BYTES], max(size, length), self._too_large(max(size, length))
        return raw, length, None

    def _too_large(self, size: int) -> Finding:
        return finding_of(
            "XML-103", "/", f"{size} bytes or more", f"at most {self._max_bytes} bytes", "setting limits.max_bytes"
        )

    async def _note_incomplete(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """Keep what came of a message whose sender went away."""
        found = f"{len(raw)} bytes of {headers.get('content-length', 'an unknown number')}, then the connection ended"
        await self._receive(
            Received(
                channel=XmlChannel(),
                raw=raw,
                size_bytes=len(raw),
                content_type=headers.get("content-type", ""),
                refusal=finding_of("NET-106", "/", found, "the whole body", "RFC 9110, 8.6"),
            )
        )

    async def _describe(self, service: TypedService | None, scope: Scope, send: Send) -> None:
        """WSDL for `?wsdl` and for no query at all, a schema for `?xsd=FILE`."""
        query = scope.get("query_string", b"").decode("latin-1")
        name = service.name if service else ""
        address = _address_of(scope)
        kind, _, file = query.partition("=")
        found: bytes | None = None
        if kind.lower() in ("", "wsdl"):
            found = self._documents.find_wsdl(name, address)
        elif kind.lower() == "xsd":
            found = self._documents.find_schema(name, file, address)
        if found is None:
            finding = finding_of("NET-103", scope["path"], f"no document ?{query}", "?wsdl or ?xsd=FILE", "our profile")
            await respond(send, problem_of(finding), is_head=scope["method"] == "HEAD")
            return
        answer = Answer(status=200, content_type="text/xml; charset=utf-8", body=found)
        await respond(send, answer, is_head=scope["method"] == "HEAD")

    async def _no_service(self, path: str, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        finding = finding_of(
            "NET-103",
            path,
            "no such service",
            f"/soap, or /soap/ and one of {', '.join(self._services)}",
            "IEC 61968-100:2013, strongly typed services",
        )
        if scope["method"] != "POST":
            await respond(send, problem_of(finding), is_head=scope["method"] == "HEAD")
            return
        headers = _headers_of(scope)
        body = await self._body(headers, receive, send)
        if body is not None:
            raw, size, _ = body
            channel = SoapChannel(headers.get("content-type", ""))
            await self._hand_over(channel, headers, raw, size, finding, send)


def problem_of(finding: Finding) -> Answer:
    """RFC 9457 problem details for a finding, with the finding as extension member."""
    row = ERRORS[finding.code]
    problem = {
        "type": f"urn:cimcare:error:{finding.code}",
        "title": row.title,
        "status": row.http,
        "detail": finding.describe(),
        "finding": finding,
    }
    return Answer(status=row.http, content_type="application/problem+json", body=msgspec.json.encode(problem))


async def respond(
    send: Send, answer: Answer, *, headers: Iterable[tuple[str, str]] = (), is_head: bool = False
) -> None:
    """Send a response."""
    lines = [(b"content-length", str(len(answer.body)).encode())]
    if answer.content_type:
        lines.append((b"content-type", answer.content_type.encode("latin-1")))
    if answer.retry_after_seconds:
        lines.append((b"retry-after", str(answer.retry_after_seconds).encode()))
    lines.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})


async def _refuse_method(scope: Scope, send: Send, allowed: tuple[str, ...]) -> None:
    finding = finding_of(
        "NET-101", scope["path"], f"method {scope['method']}", " or ".join(allowed), "RFC 9110, 15.5.6"
    )
    await respond(send, problem_of(finding), headers=[("allow", ", ".join(allowed))], is_head=scope["method"] == "HEAD")


def _headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _address_of(scope: Scope) -> str:
    """Address by which the client reached this path."""
    host = _headers_of(scope).get("host", "")
    if not _HOST.match(host):
        name, port = scope.get("server") or ("127.0.0.1", 80)
        host = f"{name}:{port}"
    return f"{scope.get('scheme', 'http')}://{host}{scope['path']}"
