"""Plain messages over HTTP: the envelope as XML or JSON in a POST. Our own profile; the standards define none."""

import aiohttp

from cimcare.client.answers import Answer, post
from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.model.envelope import AnyMessage
from cimcare.transport.sending import read_any_answer

__all__ = ["RestClient", "send_document"]


class RestClient:
    """Sends messages to the `/messages` address of a peer. The session belongs to the caller, who closes it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.url = url
        self._session = session

    async def send(self, message: AnyMessage, *, as_json: bool = False) -> Answer:
        """Send a message and read the answer. Raises FaultReceivedError or NoAnswerError."""
        if as_json:
            return await self.send_raw(render_json(message), "application/json")
        return await self.send_raw(render_message(message), "application/xml")

    async def send_raw(self, body: bytes, content_type: str, *, action: str | None = None) -> Answer:
        """Send bytes as they are, SOAP included, and read the answer. Raises FaultReceivedError or NoAnswerError."""
        headers = {"Content-Type": content_type}
        if action is not None:
            headers["SOAPAction"] = f'"{action}"'
        status, answered_type, raw = await post(self._session, self.url, body, headers)
        return read_any_answer(status, answered_type, raw, self.url)


async def send_document(
    url: str, body: bytes, content_type: str, *, action: str | None = None, timeout_seconds: float = 30.0
) -> Answer:
    """Send bytes once, over a connection of their own. Raises FaultReceivedError or NoAnswerError."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as session:
        return await RestClient(session, url).send_raw(body, content_type, action=action)
