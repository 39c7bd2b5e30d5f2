"""The REST interface of a hub beyond messages: JSON in, JSON or problem details back. Our own profile."""

from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec

from cimcare.client.answers import NoAnswerError, silence

__all__ = ["ApiAnswer", "ask_api"]


class ApiAnswer(NamedTuple):
    """Status, and what came back: JSON as it is, None if nothing did."""

    status: int
    body: dict[str, object] | None

    @property
    def detail(self) -> str:
        """What problem details say; empty if it is none."""
        return "" if self.body is None or self.status < 400 else str(self.body.get("detail", self.body))


async def ask_api(
    address: str,
    *path: str,
    body: object = None,
    method: str = "POST",
    actor: str = "",
    key: str = "",
    timeout_seconds: float = 30.0,
) -> ApiAnswer:
    """Ask a hub over a connection of its own.

    Args:
        address: Base of the hub, such as http://127.0.0.1:8968.
        path: Parts of the path below `/api/v1`, each as it is.
        body: What is sent as JSON; nothing if None.
        method: Method of HTTP.
        actor: Who asks, for the records of the hub.
        key: By which a repeat is known, where that is served.
        timeout_seconds: Longest time for all of it.

    Raises:
        NoAnswerError: No answer, or one that is not JSON.
    """
    url = "/".join((address.rstrip("/"), "api", "v1", *(quote(part, safe="") for part in path)))
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if actor:
        headers["X-Actor"] = quote(actor, safe=" !#$&'()*+,-./:;=?@_~")
    if key:
        headers["Idempotency-Key"] = key
    sent = None if body is None else msgspec.json.encode(body)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as session,
            session.request(method, url, data=sent, headers=headers) as response,
        ):
            raw, status = await response.read(), response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NoAnswerError(f"{url}: {silence(error)}") from error
    if not raw:
        return ApiAnswer(status, None)
    try:
        return ApiAnswer(status, msgspec.json.decode(raw, type=dict[str, object]))
    except msgspec.MsgspecError as error:
        text = raw[:300].decode(errors="replace")
        raise NoAnswerError(f"{url}: HTTP status {status}, and no JSON: {text}", raw=raw) from error
