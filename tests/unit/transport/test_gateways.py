"""Notices over HTTP: to a real server, which takes them, refuses them, is busy, hangs and breaks off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from cimcare.exchange.notices import ContactKind, Handed, Outgoing
from cimcare.transport.gateways import SmsChannel, SmsGateway, WebhookChannel, WebhookGateway, check_template
from cimcare.transport.webhook import verify_webhook

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU"
NOTICE = Outgoing(
    id="n1",
    kind=ContactKind.PHONE,
    address="+1 906 555 0108",
    subject="s",
    text='Supply at "5 {to} Street" is back.',
    trigger="powerRestored",
    incident="INC-1",
)


class Server:
    """What came, and what is answered."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.ok
        self.url = ""

    async def ok(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"reference": "m-1"}, status=202)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.came.append((dict(request.headers), await request.read()))
        return await self.answer(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/send", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/send"
    yield server
    await runner.cleanup()


def a_webhook(url: str, secret_file: str = "", seconds: float = 5) -> WebhookChannel:
    deadline = timedelta(seconds=seconds)
    return WebhookChannel(WebhookGateway(url=url, secret_file=secret_file, deadline=deadline), lambda: NOON)


async def test_a_webhook_gets_it_signed(server: Server, tmp_path: Path) -> None:
    """A voice server calls nobody on the word of a stranger."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    channel = a_webhook(server.url, str(secret))

    assert (await channel.send(NOTICE)).result is Handed.SENT

    await channel.close()
    ((headers, body),) = server.came
    assert verify_webhook(headers, body, secrets=SECRET, now=NOON) == "n1"
    assert msgspec.json.decode(body) == {
        "id": "n1",
        "trigger": "powerRestored",
        "incident": "INC-1",
        "contactType": "phone",
        "contactValue": "+1 906 555 0108",
        "subject": "s",
        "text": NOTICE.text,
    }


async def test_a_gateway_gets_it_in_its_own_form(server: Server, tmp_path: Path) -> None:
    """Whatever the text holds stays text: quotes, braces, and marks of the template."""
    token = tmp_path / "token"
    token.write_text("Bearer abc\n")
    gateway = SmsGateway(
        url=server.url,
        template='{"messages": [{"to": "{to}", "body": "{text}", "unicode": true}], "ref": "x-{id}"}',
        authorization_file=str(token),
    )
    channel = SmsChannel(gateway)

    assert (await channel.send(NOTICE)).result is Handed.SENT

    await channel.close()
    ((headers, body),) = server.came
    assert headers["Authorization"] == "Bearer abc"
    assert msgspec.json.decode(body) == {
        "messages": [{"to": "+1 906 555 0108", "body": NOTICE.text, "unicode": True}],
        "ref": "x-n1",
    }


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Handed.SENT),
        (302, Handed.LATER),
        (400, Handed.REFUSED),
        (401, Handed.LATER),
        (408, Handed.UNKNOWN),
        (422, Handed.REFUSED),
        (429, Handed.LATER),
        (500, Handed.UNKNOWN),
        (503, Handed.LATER),
    ],
)
async def test_what_a_status_says(server: Server, status: int, result: Handed) -> None:
    """Only an answer that says so makes it certain that nothing was done."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="because\nof this")

    server.answer = answer
    channel = a_webhook(server.url)
    outcome = await channel.send(NOTICE)
    await channel.close()

    assert outcome.result is result
    assert outcome.reason == f"HTTP status {status}: because of this"


async def test_no_answer_leaves_it_unknown(server: Server) -> None:
    """It came there, and may have been done."""

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for answer in (hang, break_off):
        server.answer = answer
        channel = a_webhook(server.url, seconds=1)
        assert (await channel.send(NOTICE)).result is Handed.UNKNOWN
        await channel.close()
    assert len(server.came) == 2


async def test_no_connection_means_that_nothing_left() -> None:
    """So it may be tried again."""
    channel = a_webhook("http://127.0.0.1:9/send")
    assert (await channel.send(NOTICE)).result is Handed.LATER
    await channel.close()


async def test_a_key_that_cannot_be_read_keeps_it_for_later(server: Server, tmp_path: Path) -> None:
    """Unsigned it must not go."""
    channel = a_webhook(server.url, str(tmp_path / "none"))
    assert (await channel.send(NOTICE)).result is Handed.LATER
    await channel.close()
    assert server.came == []


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ('{"a": "{to} {text}"}', ""),
        ("{", "no object in JSON"),
        ("[]", "no object in JSON"),
        ('{"a": "{to}"}', "without {text}"),
    ],
)
def test_a_template_has_to_hold_number_and_text(template: str, wrong: str) -> None:
    """Found when the settings are read, and not in the storm."""
    assert check_template(template) == wrong
