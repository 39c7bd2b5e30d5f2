"""Notices by mail: against a real server that takes them, refuses them, hangs and breaks off."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.transport.mail import MailChannel, MailSecurity, MailServer, is_mail_address
from tests.support.mail import Mail, mail_server

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
TLS = Path(__file__).parents[2] / "support" / "tls"
NOTICE = Outgoing(
    id="n1",
    kind=ContactKind.EMAIL,
    address="ada@post.example",
    subject="Power outage: when supply is expected back",
    text="Supply is expected back at 14:00 on Monday, 2 March (CET), an estimate by crew Øst. " * 3,
    trigger="initialEtr",
    incident="INC-1",
)


def a_server(port: int, **changes: object) -> MailServer:
    server = MailServer(
        host="127.0.0.1",
        port=port,
        sender="notices@utility.example",
        security=MailSecurity.NONE,
        deadline=timedelta(seconds=5),
    )
    return msgspec.structs.replace(server, **changes)


async def handed(mail: Mail, notice: Outgoing = NOTICE, **changes: object) -> HandOver:
    return await MailChannel(a_server(mail.port, **changes), lambda: NOON).send(notice)


def a_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem")
    return context


async def test_a_notice_arrives_as_mail() -> None:
    """With the text as it is, however long, and marked so that no machine answers it."""
    async with mail_server() as mail:
        assert (await handed(mail)).result is Handed.SENT

    (message,) = mail.box.taken
    assert mail.box.recipients == ["ada@post.example"]
    assert message["From"] == "notices@utility.example"
    assert message["Subject"] == NOTICE.subject
    assert message["Message-ID"] == "<n1@utility.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().strip() == NOTICE.text.strip()  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_tls_first", [False, True])
async def test_over_tls_to_who_is_trusted(is_tls_first: bool) -> None:
    """Addresses of customers do not travel in the clear."""
    security = MailSecurity.TLS if is_tls_first else MailSecurity.STARTTLS
    async with mail_server(a_context(), is_tls_first=is_tls_first) as mail:
        sent = await handed(mail, security=security, ca_file=str(TLS / "ca.pem"))
        assert sent.result is Handed.SENT
        distrusted = await handed(mail, security=security, ca_file=str(TLS / "elsewhere.pem"))
        assert distrusted.result is Handed.LATER
    assert len(mail.box.taken) == 1


async def test_without_the_tls_that_was_asked_for_nothing_leaves() -> None:
    """A server that does not offer TLS any more does not get the notice in the clear."""
    async with mail_server() as mail:
        assert (await handed(mail, security=MailSecurity.STARTTLS)).result is Handed.LATER
    assert mail.box.taken == []


@pytest.mark.parametrize(
    ("answer", "result"), [("550 no such user", Handed.REFUSED), ("451 try again later", Handed.LATER)]
)
async def test_a_recipient_that_is_refused(answer: str, result: Handed) -> None:
    """For good or for now; either way nothing has left."""
    async with mail_server() as mail:
        mail.box.refuses_recipient = answer
        outcome = await handed(mail)
    assert outcome.result is result
    assert answer[4:] in outcome.reason


@pytest.mark.parametrize(("answer", "result"), [("554 spam", Handed.REFUSED), ("452 full", Handed.LATER)])
async def test_a_message_that_is_refused(answer: str, result: Handed) -> None:
    """The answer behind the data is as certain as any."""
    async with mail_server() as mail:
        mail.box.refuses_data = answer
        assert (await handed(mail)).result is result


@pytest.mark.parametrize("fault", ["hangs", "breaks"])
async def test_without_an_answer_behind_the_data_it_is_unknown(fault: str) -> None:
    """The server may have delivered it; a second one would be a second one."""
    async with mail_server() as mail:
        setattr(mail.box, fault, True)
        outcome = await handed(mail, deadline=timedelta(seconds=1))
    assert outcome.result is Handed.UNKNOWN


async def test_without_a_server_nothing_has_left() -> None:
    """So it may be tried again."""
    async with mail_server() as mail:
        pass
    assert (await handed(mail)).result is Handed.LATER


async def test_a_password_that_cannot_be_read_keeps_it_for_later(tmp_path: Path) -> None:
    """An operator can put that right before the attempts are over."""
    async with mail_server() as mail:
        outcome = await handed(mail, user="u", password_file=str(tmp_path / "none"))
    assert outcome.result is Handed.LATER


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "a b@c.example", "a@b.example, c@d.example", "a@b.example\r\nBcc: x@y.example", "ü@x"],
)
async def test_what_is_no_address_is_refused(address: str) -> None:
    """And nobody slips a header or another recipient in by it."""
    assert not is_mail_address(address)
    async with mail_server() as mail:
        outcome = await handed(mail, msgspec.structs.replace(NOTICE, address=address))
    assert outcome.result is Handed.REFUSED
    assert mail.box.recipients == []
