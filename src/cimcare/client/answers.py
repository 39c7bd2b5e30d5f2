"""What comes back from a peer: an answer, a fault, or nothing."""

import aiohttp
import msgspec

from cimcare.errors import CimcareError
from cimcare.model.envelope import FaultMessage, ResponseMessage

__all__ = ["Answer", "FaultReceivedError", "NoAnswerError", "post"]

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
    """The peer could not be reached, broke off, or sent something that is no message."""

    code = "NET-105"


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    """Status, media type and body of the answer to a POST; raises NoAnswerError if there is none."""
    try:
        async with session.post(url, data=body, headers=headers) as response:
            return response.status, response.content_type, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NoAnswerError(f"{url}: no answer ({type(error).__name__}: {error}); {_CONNECTION}") from error
