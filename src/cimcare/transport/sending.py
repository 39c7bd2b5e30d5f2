"""A POST to a peer, and what comes back: an answer, a fault, or nothing.

Source: IEC 61968-100:2013, SOAP binding; plain XML and JSON are our own profile.
"""

import os

import aiohttp
import msgspec

from cimcare.codec.envelope import read_message
from cimcare.codec.json_body import parse_json
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import is_soap, read_soap
from cimcare.errors import CimcareError, InputError
from cimcare.model.envelope import FaultMessage, ResponseMessage

__all__ = [
    "Answer",
    "FaultReceivedError",
    "NoAnswerError",
    "post",
    "read_answer",
    "read_any_answer",
    "reason_of",
    "silence",
]

_CONNECTION = "is the server running there? `cimcare serve` starts one"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's answer: HTTP status, media type, raw bytes, and the ResponseMessage in them (None for a bare 202)."""

    status: int
    content_type: str
    raw: bytes
    message: ResponseMessage | None = None


class FaultReceivedError(CimcareError):
    """The peer answered with a fault. `fault` is its FaultMessage where it sent one."""

    code = "NET-104"

    def __init__(self, reason: str, *, fault: FaultMessage | None, raw: bytes) -> None:
        errors = fault.reply.error if fault is not None else ()
        details = "; ".join(f"{error.code} {error.details or error.reason or ''}".strip() for error in errors)
        super().__init__(f"fault: {reason}{': ' + details if details else ''}")
        self.fault = fault
        self.raw = raw


class NoAnswerError(CimcareError):
    """The peer could not be reached, broke off, or sent something that is no message. `raw` is what it sent."""

    code = "NET-105"

    def __init__(self, reason: str, *, raw: bytes = b"") -> None:
        super().__init__(reason)
        self.raw = raw


def reason_of(error: OSError) -> str:
    """What went wrong in the words of the operating system, where it has any."""
    number = error.errno or 0  # those of look-ups of names are negative
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def silence(error: Exception) -> str:
    """Why there was no answer, in words for who reads a line in a terminal."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"could not connect: {reason_of(error.os_error)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"no answer ({type(error).__name__}: {error})"


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    """Status, media type and body of the answer to a POST; raises NoAnswerError if there is none."""
    try:
        async with session.post(url, data=body, headers=headers) as response:
            return response.status, response.content_type, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NoAnswerError(f"{url}: {silence(error)}; {_CONNECTION}") from error


def read_any_answer(status: int, content_type: str, raw: bytes, url: str) -> Answer:
    """Answer out of an HTTP response in JSON, SOAP, plain XML, or without a body. Raises as `read_answer`."""
    if "json" not in content_type or not raw.strip():  # an acknowledgement has no content, whatever its type
        return read_answer(status, content_type, raw, url)
    try:
        message = parse_json(raw)
    except InputError as error:
        text = raw[:500].decode(errors="replace")
        raise NoAnswerError(f"{url}: HTTP status {status}, no message in the JSON: {text}", raw=raw) from error
    if isinstance(message, FaultMessage):
        raise FaultReceivedError(f"HTTP status {status}", fault=message, raw=raw)
    if not isinstance(message, ResponseMessage):
        raise NoAnswerError(f"{url}: {type(message).__name__} received; a ResponseMessage was expected", raw=raw)
    return Answer(status=status, content_type=content_type, raw=raw, message=message)


def read_answer(status: int, content_type: str, raw: bytes, url: str) -> Answer:
    """Answer out of an HTTP response that holds SOAP, a plain message, or nothing.

    Raises:
        FaultReceivedError: A SOAP fault or a FaultMessage.
        NoAnswerError: Something else.
    """
    if not raw.strip():
        if status in (200, 202, 204):
            return Answer(status=status, content_type=content_type, raw=raw)
        raise NoAnswerError(f"{url}: HTTP status {status} without a body; a ResponseMessage was expected")
    try:
        root = parse_xml(raw)
        reason = f"HTTP status {status}"
        element = root
        if is_soap(root):
            body = read_soap(root)
            if body.fault is not None:
                reason = f"{body.fault.code} {body.fault.reason}"
            if body.element is None:
                raise FaultReceivedError(reason, fault=None, raw=raw)
            element = body.element
        message = read_message(element)
    except InputError as error:
        raise NoAnswerError(
            f"{url}: HTTP status {status}, {content_type or 'no media type'}, and the body is no message: {error}",
            raw=raw,
        ) from error
    if isinstance(message, FaultMessage):
        raise FaultReceivedError(reason, fault=message, raw=raw)
    if not isinstance(message, ResponseMessage):
        raise NoAnswerError(f"{url}: {type(message).__name__} received; a ResponseMessage was expected", raw=raw)
    return Answer(status=status, content_type=content_type, raw=raw, message=message)
