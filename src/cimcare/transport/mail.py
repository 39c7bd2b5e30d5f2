"""Notices by electronic mail: one message to one recipient by SMTP, over TLS unless that was switched off.

What was said before the end of the data is certain: nothing has left. What comes, or does not come, behind it decides.

Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 3834 (automatic messages).
"""

import asyncio
import contextlib
import re
import ssl
from datetime import UTC, timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from enum import StrEnum
from pathlib import Path

import aiosmtplib
import msgspec

from cimcare.exchange.notices import Handed, HandOver, Outgoing
from cimcare.exchange.ports import Clock

__all__ = ["MailChannel", "MailSecurity", "MailServer", "is_mail_address"]

_ADDRESS = re.compile(r"\A[^\s<>,;:\"@\x00-\x20\x7f]{1,64}@[A-Za-z0-9.\-]{1,255}\Z")
_QUIT_SECONDS = 2.0
_LONGEST_REASON = 300


class MailSecurity(StrEnum):
    """`starttls`: TLS after a plain greeting, insisted upon; `tls`: from the first byte; `none`: without."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server that takes mail. `password_file` is read for every message, so that it can be renewed."""

    host: str
    port: int
    sender: str
    security: MailSecurity = MailSecurity.STARTTLS
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    deadline: timedelta = timedelta(seconds=30)


def is_mail_address(text: str) -> bool:
    """Whether a text is one plain address of mail, in ASCII."""
    return text.isascii() and _ADDRESS.match(text) is not None


class MailChannel:
    """Sends over a connection of its own for each notice."""

    def __init__(self, server: MailServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def send(self, notice: Outgoing) -> HandOver:
        """Hand one notice over; see `Channel`."""
        if not is_mail_address(notice.address):
            return HandOver(result=Handed.REFUSED, reason="the contact is no address of mail")
        attempt = _Attempt(self._server)
        try:
            async with asyncio.timeout(self._server.deadline.total_seconds()):
                return await attempt.run(notice.address, self._render(notice))
        except TimeoutError:
            return attempt.ended(f"no answer within {self._server.deadline.total_seconds():g} s")
        except aiosmtplib.SMTPResponseException as error:
            return attempt.refused(error)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return attempt.refused(error.recipients[0])
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return attempt.ended(str(error) or type(error).__name__)
        finally:
            attempt.close()

    async def close(self) -> None:
        """Nothing is kept open."""

    def _render(self, notice: Outgoing) -> bytes:
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._server.sender
        message["To"] = notice.address
        message["Subject"] = notice.subject
        message["Date"] = format_datetime(self._clock().astimezone(UTC))
        message["Message-ID"] = f"<{notice.id}@{self._server.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text, cte="quoted-printable")
        return message.as_bytes()


class _Attempt:
    """One attempt, and how far it has come."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._step = "connecting"
        self._is_sent = False

    async def run(self, recipient: str, message: bytes) -> HandOver:
        server = self._server
        context = ssl.create_default_context(cafile=server.ca_file or None)
        self._client = client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security is MailSecurity.TLS,
            start_tls=server.security is MailSecurity.STARTTLS,
            tls_context=None if server.security is MailSecurity.NONE else context,
            timeout=server.deadline.total_seconds(),
        )
        await client.connect()
        if server.user:
            self._step = "logging in"
            password = await asyncio.to_thread(Path(server.password_file).read_text, "utf-8")
            await client.login(server.user, password.strip())
        self._step = "naming the sender"
        await client.mail(server.sender)
        self._step = "naming the recipient"
        await client.rcpt(recipient)
        self._step = "data"
        taken = await client.data(message)
        self._is_sent = True
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(_QUIT_SECONDS):
                await client.quit()
        return HandOver(result=Handed.SENT, reason=_short(f"{taken.code} {taken.message}"))

    def refused(self, error: aiosmtplib.SMTPResponseException) -> HandOver:
        """The server has answered with no: for good if that is about the recipient or the message."""
        is_final = 500 <= error.code < 600 and self._step in ("naming the recipient", "data")
        reason = _short(f"{self._step}: {error.code} {error.message}")
        return HandOver(result=Handed.REFUSED if is_final else Handed.LATER, reason=reason)

    def ended(self, why: str) -> HandOver:
        """It ended without an answer."""
        if self._is_sent:
            return HandOver(result=Handed.SENT)
        result = Handed.UNKNOWN if self._step == "data" else Handed.LATER
        return HandOver(result=result, reason=_short(f"{self._step}: {why}"))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
