"""Notices over HTTP: to a webhook of the utility, signed, and to a gateway for text messages, in the form it asks for.

What ends before the connection is there has certainly not left. An answer of 2xx says that it was taken; one that says
the request is bad says that it never will be; what blames the server leaves it unknown.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec

from cimcare.exchange.notices import Handed, HandOver, Outgoing
from cimcare.exchange.partners import Tls
from cimcare.exchange.ports import Clock
from cimcare.transport.connections import Pools, TlsFilesError
from cimcare.transport.webhook import parse_secrets, sign_webhook

__all__ = ["SmsChannel", "SmsGateway", "WebhookChannel", "WebhookGateway", "check_template"]

_LATER = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 410, 415, 429, 503})
"""Statuses that say that nothing was done with the notice, and that somebody may put right."""

_UNKNOWN = frozenset({408})
_KEPT_OF_ANSWER = 200
_MARKS = ("{to}", "{text}", "{id}")
_MARK = re.compile("|".join(map(re.escape, _MARKS)))


class WebhookGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that notices are posted to. Without `secret_file` they are not signed."""

    url: str
    secret_file: str = ""
    tls: Tls = Tls()
    deadline: timedelta = timedelta(seconds=30)


class SmsGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway for text messages.

    `template` is an object in JSON; in its texts `{to}`, `{text}` and `{id}` stand for number, text and identifier.
    `authorization_file` holds the value of the header Authorization.
    """

    url: str
    template: str
    authorization_file: str = ""
    tls: Tls = Tls()
    deadline: timedelta = timedelta(seconds=30)


def check_template(template: str) -> str:
    """What is wrong about a template; empty if nothing is."""
    try:
        content = msgspec.json.decode(template, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        return "no object in JSON"
    written = msgspec.json.encode(content).decode()
    missing = [mark for mark in _MARKS[:2] if mark not in written]
    return f"without {' and '.join(missing)}" if missing else ""


class _HttpChannel:
    """What both have in common: one POST over a connection of its own."""

    def __init__(self, url: str, tls: Tls, deadline: timedelta) -> None:
        self._url = url
        self._tls = tls
        self._deadline = deadline
        self._pools = Pools()

    async def close(self) -> None:
        """Close what is open."""
        await self._pools.close()

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> HandOver:
        seconds = self._deadline.total_seconds()
        given = {"Content-Type": "application/json", "Connection": "close", **headers}
        timeout = aiohttp.ClientTimeout(total=seconds, connect=seconds / 2)
        try:
            async with (
                self._pools.use(self._tls) as session,
                session.post(self._url, data=body, headers=given, timeout=timeout, allow_redirects=False) as response,
            ):
                said = b""
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):  # the status has said it
                    said = await response.content.read(_KEPT_OF_ANSWER)
                return _judge(response.status, " ".join(said.decode("utf-8", "replace").split()))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            return HandOver(result=Handed.LATER, reason=f"no connection: {_reason_of(error)}")
        except TlsFilesError as error:
            return HandOver(result=Handed.LATER, reason=str(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return HandOver(result=Handed.UNKNOWN, reason=f"no answer: {_reason_of(error)}")


class WebhookChannel(_HttpChannel):
    """Posts a notice as JSON, signed as all webhooks are."""

    def __init__(self, gateway: WebhookGateway, clock: Clock) -> None:
        super().__init__(gateway.url, gateway.tls, gateway.deadline)
        self._secret_file = gateway.secret_file
        self._clock = clock

    async def send(self, notice: Outgoing) -> HandOver:
        """Hand one notice over; see `Channel`."""
        body = msgspec.json.encode(
            {
                "id": notice.id,
                "trigger": notice.trigger,
                "incident": notice.incident,
                "contactType": notice.kind,
                "contactValue": notice.address,
                "subject": notice.subject,
                "text": notice.text,
            }
        )
        keys: tuple[bytes, ...] = ()
        if self._secret_file:
            try:
                keys = parse_secrets(await asyncio.to_thread(Path(self._secret_file).read_text, "utf-8"))
            except (OSError, ValueError) as error:
                return HandOver(result=Handed.LATER, reason=f"secret_file cannot be used: {_reason_of(error)}")
        return await self._post(body, sign_webhook(notice.id, body, keys=keys, now=self._clock()))


class SmsChannel(_HttpChannel):
    """Posts a notice in the form of the gateway's template."""

    def __init__(self, gateway: SmsGateway) -> None:
        super().__init__(gateway.url, gateway.tls, gateway.deadline)
        self._template = msgspec.json.decode(gateway.template, type=dict[str, object])
        self._authorization_file = gateway.authorization_file

    async def send(self, notice: Outgoing) -> HandOver:
        """Hand one notice over; see `Channel`."""
        values = dict(zip(_MARKS, (notice.address, notice.text, notice.id), strict=True))
        headers: dict[str, str] = {}
        if self._authorization_file:
            try:
                text = await asyncio.to_thread(Path(self._authorization_file).read_text, "utf-8")
            except (OSError, ValueError) as error:
                reason = f"authorization_file cannot be used: {_reason_of(error)}"
                return HandOver(result=Handed.LATER, reason=reason)
            headers["Authorization"] = text.strip()
        return await self._post(msgspec.json.encode(_filled(self._template, values)), headers)


def _filled(part: object, values: Mapping[str, str]) -> object:
    """The template with its marks replaced; what a value holds is not looked at again."""
    if isinstance(part, str):
        return _MARK.sub(lambda found: values[found[0]], part)
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    return part


def _judge(status: int, said: str) -> HandOver:
    reason = f"HTTP status {status}{': ' if said else ''}{said}"
    if 200 <= status < 300:
        return HandOver(result=Handed.SENT, reason=reason)
    if status in _LATER:
        return HandOver(result=Handed.LATER, reason=reason)
    if 400 <= status < 500 and status not in _UNKNOWN:
        return HandOver(result=Handed.REFUSED, reason=reason)
    return HandOver(result=Handed.UNKNOWN, reason=reason)


def _reason_of(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
