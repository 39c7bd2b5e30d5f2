"""Looks whether somebody listens at an address, and which certificate he shows. Nothing is sent over the connection."""

import asyncio
import ssl
import time
from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from cimcare.exchange.partners import Tls
from cimcare.transport.certificates import end_of
from cimcare.transport.connections import context_of

__all__ = ["Probe", "probe"]

_PORTS = {"http": 80, "https": 443}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    `failure` says why there is no connection that could be used; empty if there is one. `seconds` is how long it took.
    `certificate_ends_at` is the end of the certificate that was shown, also of one that was not accepted; then
    `is_refused` is true.
    """

    seconds: float
    failure: str = ""
    is_refused: bool = False
    certificate_ends_at: datetime | None = None


async def probe(url: str, tls: Tls, *, within: float) -> Probe:
    """Connect as a message would be sent, with TLS where the address asks for it, and close. Raises nothing.

    Args:
        url: Address; what is behind the port does not count.
        tls: Who is trusted, and our own certificate.
        within: Seconds that it may take.
    """
    began = time.perf_counter()

    def after(failure: str = "", *, is_refused: bool = False, ends_at: datetime | None = None) -> Probe:
        seconds = time.perf_counter() - began
        return Probe(seconds=seconds, failure=failure, is_refused=is_refused, certificate_ends_at=ends_at)

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = _context(tls) if parts.scheme == "https" else None
    except (OSError, ValueError, KeyError) as error:
        return after(f"cannot be tried ({getattr(error, 'strerror', None) or error})")
    try:
        async with asyncio.timeout(within):
            ends_at = await _connect(host, port, context)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return after(
            f"TLS refused ({reason})", is_refused=True, ends_at=await _end_of_untrusted(host, port, tls, within)
        )
    except TimeoutError:
        return after(f"not connected within {within:g} s")
    except (OSError, ValueError) as error:
        return after(f"could not connect ({getattr(error, 'strerror', None) or error})")
    return after(ends_at=ends_at)


def _context(tls: Tls) -> ssl.SSLContext:
    context = context_of(tls)
    return context if isinstance(context, ssl.SSLContext) else ssl.create_default_context()


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> datetime | None:
    """Connect and close; the end of the certificate."""
    _, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=host if context is not None else None
    )
    try:
        shown = writer.get_extra_info("ssl_object")
        raw = shown.getpeercert(binary_form=True) if shown is not None else None
        return end_of(raw) if raw else None
    finally:
        writer.close()


async def _end_of_untrusted(host: str, port: int, tls: Tls, within: float) -> datetime | None:
    """The end of a certificate that was not accepted, for who has to say why; nothing is ever sent over this."""
    try:
        context = _context(tls)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with asyncio.timeout(within):
            return await _connect(host, port, context)
    except (OSError, ValueError):
        return None
