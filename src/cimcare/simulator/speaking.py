"""A simulated partner as the one who begins: it tells of events and sends later replies, until somebody takes them."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import aiohttp

from cimcare.codec.envelope import render_message
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.simulator.forms import Spoken
from cimcare.simulator.journal import Said

__all__ = ["Speaker", "is_soap_address", "said_of"]

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_TIMEOUT_SECONDS = 30.0


def is_soap_address(url: str) -> bool:
    """Whether SOAP is spoken there: everywhere but at an address of plain messages."""
    return not url.split("?", maxsplit=1)[0].rstrip("/").endswith("/messages")


class Speaker:
    """Sends messages in the order in which they are given, each until an answer says that it was taken.

    Args:
        note: Told of every attempt: the message, the address, the HTTP status (0 for none), and why it failed.
    """

    def __init__(self, note: Callable[[Spoken, str, int, str], None]) -> None:
        self._note = note
        self._session: aiohttp.ClientSession | None = None

    async def say(self, url: str, message: Spoken) -> None:
        """Send it again and again until it is taken; an answer that blames it (below 500) counts as that too."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            status, failure = await self._post(url, message)
            self._note(message, url, status, failure)
            if status and status < 500 and status != 429:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, message: Spoken) -> tuple[int, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        if is_soap_address(url):
            operation = "Response"
            if isinstance(message, EventMessage):
                operation = "PublishEvent"
            elif isinstance(message, RequestMessage):
                operation = "Request"
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"http://iec.ch/61968/{operation}"'}
            raw = render_soap(message, SoapVersion.V11)
        else:
            headers, raw = {"Content-Type": "application/xml"}, render_message(message)
        try:
            async with self._session.post(url, data=raw, headers=headers) as response:
                await response.read()
                return response.status, "" if response.status < 400 else f"HTTP status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}"


def said_of(message: Spoken, *, at: datetime, to: str, about: int = 0, status: int = 0, failure: str = "") -> Said:
    """The line of the journal about a message that was said."""
    header = message.header
    reply = message.reply if isinstance(message, ResponseMessage) else None
    return Said(
        at=at,
        to=to,
        about=about,
        archetype=message.ARCHETYPE.value,
        verb=header.verb.value,
        noun=header.noun,
        message_id=header.message_id or "",
        correlation_id=header.correlation_id or "",
        result=reply.result.value if reply is not None else "",
        codes=tuple(error.code for error in reply.error) if reply is not None else (),
        status=status,
        failure=failure,
    )
