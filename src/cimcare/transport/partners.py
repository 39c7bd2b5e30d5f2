"""Sends messages to partners over HTTP: SOAP, strongly typed SOAP, REST and signed webhooks.

Every attempt ends within the partner's deadline as a `Sent`, whatever happens to it. Redirects are not followed, for
whoever can answer could lead us anywhere. Nothing is logged here.

Source: IEC 61968-100:2013, SOAP binding; guarantees G3, G5 and G11.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from cimcare.codec.limits import Limits
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Edition, Partner, Wire
from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Sent
from cimcare.transport.answers import instant_of_date, judge_answer, seconds_of_retry_after, shown_address
from cimcare.transport.calls import Call, Outgoing, Renderings, build_call
from cimcare.transport.channel import KEPT_OF_REFUSED_BYTES
from cimcare.transport.connections import Places, Pools, Stamp, TlsFilesError, on_connected, stamp_of
from cimcare.transport.sending import reason_of
from cimcare.transport.soap import TypedService
from cimcare.transport.webhook import parse_secrets

__all__ = ["HttpSender"]

_SILENT = frozenset({"NET-105", "NET-107", "NET-108", "NET-109", "NET-110", "NET-114"})
"""Codes of failures without any answer."""


class _Attempt:
    """One POST: how far it has come, and what came back."""

    def __init__(self, call: Call, url: str, limits: Limits) -> None:
        self.call = call
        self.url = url
        self._limits = limits
        self.has_place = False
        self.is_connected = False
        self.status = 0
        self.content_type = ""
        self.location = ""
        self.retry_after = ""
        self.date = ""
        self.received = bytearray()
        self.problem: Finding | None = None

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Send it, and read the answer up to the limit. Raises what the HTTP library raises."""
        before = on_connected.set(self._connected)
        try:
            await self._run(session)
        finally:
            on_connected.reset(before)

    async def _run(self, session: aiohttp.ClientSession) -> None:
        async with session.post(
            self.call.url, data=self.call.body, headers=self.call.headers, allow_redirects=False
        ) as response:
            self.status = response.status
            self.content_type = response.content_type if "Content-Type" in response.headers else ""
            self.location = response.headers.get("Location", "")
            self.retry_after = response.headers.get("Retry-After", "")
            self.date = response.headers.get("Date", "")
            announced = response.content_length or 0
            most = KEPT_OF_REFUSED_BYTES if announced > self._limits.max_bytes else self._limits.max_bytes
            async for chunk in response.content.iter_any():
                self.received += chunk
                if len(self.received) > most:
                    self.problem = self._too_large(max(announced, len(self.received)))
                    del self.received[KEPT_OF_REFUSED_BYTES:]
                    response.close()  # or the rest would be read all the same, to use the connection again
                    return
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            if encoding not in ("", "identity") and self.received:
                self.problem = self._found(
                    "NET-104", "an answer in a Content-Encoding", "an answer without one, as it was asked for"
                )

    def _connected(self) -> None:
        self.is_connected = True

    def failed(self, error: Exception, partner: Partner) -> None:
        """Learn why it came to nothing."""
        self.problem = self._finding_of(error, partner)

    def _finding_of(self, error: Exception, partner: Partner) -> Finding:
        tls = _tls_error_of(error)
        if isinstance(error, TimeoutError):
            return self._timed_out(partner)
        if tls is not None:
            reason = getattr(tls, "verify_message", "") or tls.reason or str(tls)
            clause = "settings ca_file, certificate_file and key_file of the partner"
            return self._found("NET-108", f"TLS refused ({reason})", "certificates that both ends accept", clause)
        if isinstance(error, ValueError | aiohttp.NonHttpUrlClientError):
            return self._found("NET-114", "an address that cannot be used", "an address that begins with http or https")
        if isinstance(error, aiohttp.ClientConnectorError):
            if isinstance(error.os_error, ConnectionResetError):
                return self._broken("while it was made", partner)
            found = f"could not connect ({reason_of(error.os_error)})"
            return self._found("NET-107", found, "a server that listens there")
        if isinstance(error, aiohttp.ClientResponseError):
            return self._found("NET-104", "an answer that is no HTTP", "an answer after HTTP/1.1")
        if self.status:
            found = f"connection broke off after {len(self.received)} bytes of the answer"
            return self._found("NET-110", f"{found} with HTTP status {self.status}", "the whole answer")
        return self._broken("before any answer", partner)

    def _broken(self, when: str, partner: Partner) -> Finding:
        accepted = "an answer"
        if self.url.startswith("https:") and not partner.tls.certificate_file:
            accepted = "an answer, or a certificate of ours if the partner asks for one (setting certificate_file)"
        return self._found("NET-110", f"connection broke off {when}", accepted)

    def _timed_out(self, partner: Partner) -> Finding:
        seconds = f"{partner.deadline.total_seconds():g} s"
        setting = "setting deadline_seconds of the partner"
        if not self.has_place:
            found = f"no place within {seconds}, for all {partner.parallel} were taken"
            return self._found("NET-109", found, "an answer to what is under way", "setting parallel of the partner")
        if not self.is_connected:
            return self._found("NET-107", f"not connected within {seconds}", "a server that listens there", setting)
        if not self.status:
            return self._found("NET-109", f"no answer within {seconds}", "an answer in that time", setting)
        found = f"{len(self.received)} bytes of an answer that was not complete within {seconds}"
        return self._found("NET-109", found, "the whole answer in that time", setting)

    def _too_large(self, size: int) -> Finding:
        most = self._limits.max_bytes
        found = f"an answer of {size} bytes or more, given up"
        return self._found("NET-112", found, f"at most {most} bytes", "setting limits.max_bytes")

    def _found(self, code: str, found: str, accepted: str, clause: str = "") -> Finding:
        return finding_of(code, self.url, found, accepted, clause)


class HttpSender:
    """Sends messages to partners. One object for a hub; end it with `close`.

    Args:
        services: Strongly typed services by name.
        limits: Bounds of answers.
        clock: Now.
        lenient: Whether variants met in the field are read in answers. Partners of an older edition are always read so.
    """

    def __init__(
        self, *, services: Mapping[str, TypedService], limits: Limits, clock: Clock, lenient: bool = False
    ) -> None:
        self._services = services
        self._limits = limits
        self._clock = clock
        self._lenient = lenient
        self._places = Places()
        self._pools = Pools()
        self._renderings = Renderings()
        self._keys: dict[str, tuple[Stamp, tuple[bytes, ...]]] = {}

    async def send(
        self,
        partner: Partner,
        message: Outgoing,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        """Send the message to the partner, or to `address` where one is given. Raises nothing but cancellation."""
        del priority  # for which HTTP has no place
        url = shown_address(address or partner.url)
        try:
            keys = self._keys_of(partner)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            found = f"secret_file {partner.secret_file} cannot be used ({reason})"
            return _unsent(partner, found, "a file with keys, one a line", url=url)
        try:
            call = build_call(
                partner,
                message,
                services=self._services,
                now=self._clock(),
                address=address,
                keys=keys,
                renderings=self._renderings,
                kept=kept,
            )
        except InputError as error:  # its message cannot be written, however often that is tried
            found = f"a message that cannot be written ({error})"
            return _unsent(partner, found, "a message that XML can carry", url=url, blames_us=True)
        attempt = _Attempt(call, shown_address(call.url), self._limits)
        try:
            async with asyncio.timeout(partner.deadline.total_seconds()):
                destination = (partner.name, _host_of(call.url) if address else "")
                async with self._places.take(destination, partner.parallel):
                    attempt.has_place = True
                    async with self._pools.use(partner.tls) as session:
                        await attempt.run(session)
        except TlsFilesError as error:
            return _unsent(partner, str(error), "certificates and keys in PEM, and a hub that runs", url=url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            attempt.failed(error, partner)
        return self._judge(attempt, partner, message)

    async def close(self) -> None:
        """Close all connections. What is under way fails."""
        await self._pools.close()

    def _judge(self, attempt: _Attempt, partner: Partner, message: Outgoing) -> Sent:
        call = attempt.call
        raw = bytes(attempt.received)
        sent = Sent(
            transport=call.transport,
            sent=call.body,
            content_type=call.content_type,
            status=attempt.status,
            received=raw,
            received_type=attempt.content_type,
            retry_after_seconds=seconds_of_retry_after(attempt.retry_after, now=self._clock()),
            dated_at=instant_of_date(attempt.date),
        )
        if attempt.problem is not None:
            code = attempt.problem.code
            return msgspec.structs.replace(
                sent, failure=attempt.problem.describe(), code=code, is_reached=code not in _SILENT
            )
        judged = judge_answer(
            message,
            partner.wire,
            url=attempt.url,
            status=attempt.status,
            content_type=attempt.content_type,
            raw=raw,
            location=attempt.location,
            limits=self._limits,
            lenient=self._lenient or partner.edition is Edition.E2013_DRAFT,
        )
        if judged.finding is None:
            return msgspec.structs.replace(sent, reply=judged.reply)
        return msgspec.structs.replace(
            sent,
            failure=judged.finding.describe(),
            code=judged.finding.code,
            fault=judged.fault,
            blames_us=judged.blames_us,
            is_reached=judged.is_reached,
        )

    def _keys_of(self, partner: Partner) -> tuple[bytes, ...]:
        """Keys of a webhook, read again when their file has changed. Raises OSError or ValueError."""
        if partner.wire is not Wire.WEBHOOK or not partner.secret_file:
            return ()
        stamp = stamp_of(partner.secret_file)
        known = self._keys.get(partner.secret_file)
        if known is None or known[0] != stamp:
            keys = parse_secrets(Path(partner.secret_file).read_text("utf-8"))
            known = self._keys[partner.secret_file] = (stamp, keys)
        return known[1]


def _unsent(partner: Partner, found: str, accepted: str, *, url: str, blames_us: bool = False) -> Sent:
    """Nothing left the house."""
    transports = {
        Wire.SOAP: Transport.SOAP12 if partner.soap_12 else Transport.SOAP11,
        Wire.SOAP_TYPED: Transport.SOAP_TYPED,
    }
    plain = Transport.REST_JSON if partner.as_json else Transport.REST_XML
    finding = finding_of("NET-114", url, found, accepted)
    return Sent(
        transport=transports.get(partner.wire, plain),
        sent=b"",
        content_type="",
        failure=finding.describe(),
        code=finding.code,
        blames_us=blames_us,
        is_reached=False,
    )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return url


def _tls_error_of(error: Exception) -> ssl.SSLError | ssl.CertificateError | None:
    """What TLS had against it; None if it was not TLS."""
    inner = (getattr(error, "certificate_error", None), getattr(error, "os_error", None), error.__cause__, error)
    return next((each for each in inner if isinstance(each, ssl.SSLError)), None)
