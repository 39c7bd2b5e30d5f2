"""A mail server for tests: a real one on a real socket, that can be told to misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import NamedTuple

from aiosmtpd.smtp import SMTP, Envelope, Session

__all__ = ["Mail", "MailBox", "mail_server"]


class MailBox:
    """What the server took, and how it behaves.

    `refuses_recipient` and `refuses_data` are answers, such as `550 no such user`; empty takes all. With `hangs` it
    takes the data and never answers; with `breaks` it takes the data and ends the connection.
    """

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.recipients: list[str] = []
        self.refuses_recipient = ""
        self.refuses_data = ""
        self.hangs = False
        self.breaks = False

    async def handle_RCPT(  # noqa: N802 - the library calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.refuses_recipient:
            return self.refuses_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        if self.refuses_data:
            return self.refuses_data
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken.append(message_from_bytes(content, policy=default))
        self.recipients.extend(envelope.rcpt_tos)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.breaks:
            assert server.transport is not None
            server.transport.abort()
        return "250 taken"


class Mail(NamedTuple):
    """A running server: what it took, and its port."""

    box: MailBox
    port: int


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None, *, is_tls_first: bool = False) -> AsyncIterator[Mail]:
    """A server on a free port of this machine. With `tls` it offers STARTTLS, or speaks TLS from the first byte."""
    box = MailBox()
    loop = asyncio.get_running_loop()
    protocols: list[SMTP] = []

    def serve() -> SMTP:
        offered = None if is_tls_first else tls
        protocols.append(SMTP(box, hostname="mail.example", tls_context=offered, require_starttls=offered is not None))
        return protocols[-1]

    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=tls if is_tls_first else None)
    try:
        yield Mail(box, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for protocol in protocols:
            if protocol._handler_coroutine is not None:
                protocol._handler_coroutine.cancel()
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)
