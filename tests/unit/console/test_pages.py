"""Pages of messages, and what goes wrong."""

import asyncio

import pytest
import structlog

from cimcare.console.overview.live import Live
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.audience import HELLO, Audience
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS
from tests.support.hub import call
from tests.unit.hub.conftest import HeldHub


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("form", ["tree", "source", "json"])
async def test_a_message_can_be_read_however_it_came(held: HeldHub, channel: str, form: str) -> None:
    """SOAP in both versions, typed, plain XML and JSON: in each form, with no finding."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE), CHANNELS[channel])
    text = await page_of(held, f"/console/messages/1?as={form}")
    assert "TroubleTicket" in text
    assert "no finding" in text
    assert "cannot be shown" not in text


async def test_what_is_no_message_is_shown_as_it_came(held: HeldHub) -> None:
    """It is what somebody has to look at."""
    raw = b'<RequestMessage xmlns="http://iec.ch/TC57/2011/schema/message">\n<Header><b>&lt;script&gt;'
    await call(held.hub.app, "/messages", raw, headers={"content-type": "application/xml"})
    text = await page_of(held, "/console/messages/1")
    assert "cannot be shown as tree" in text
    assert "XML-101" in text
    assert "<script>" not in text
    assert "&lt;Header&gt;" in text


async def test_bytes_that_are_no_text_are_shown_too(held: HeldHub) -> None:
    """Nothing that came is hidden."""
    await call(held.hub.app, "/messages", b"\xff\xfe\x00<", headers={"content-type": "application/xml"})
    assert "message" in (await page_of(held, "/console/messages/1")).lower()


async def test_a_finding_stands_beside_its_element_and_its_line(held: HeldHub) -> None:
    """The error message alone is enough to mend the message."""
    raw = (
        b'<RequestMessage xmlns="http://iec.ch/TC57/2011/schema/message">\n<Header>\n<Verb>create</Verb>\n'
        b"<Noun>TroubleTickets</Noun>\n<Wrong>1</Wrong></Header></RequestMessage>"
    )
    await call(held.hub.app, "/messages", raw, headers={"content-type": "application/xml"})
    tree = await page_of(held, "/console/messages/1?as=tree")
    source = await page_of(held, "/console/messages/1?as=source")
    for text in (tree, source):
        assert 'class="finding' in text
        assert "Would pass:" in text


async def test_filters_left_empty_do_not_filter(held: HeldHub) -> None:
    """As a form sends them."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    assert "TroubleTickets" in await page_of(held, "/console/messages?noun=&verb=create&source=+")
    assert "No message matches" in await page_of(held, "/console/messages?verb=delete")


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("/console/messages/99", "REF-103", 404),
        ("/console/messages/none", "REF-103", 404),
        ("/console/conversations/none", "REF-103", 404),
        ("/console/conversations/none.svg", "REF-103", 404),
        ("/console/conversations/none.mmd", "REF-103", 404),
        ("/console/nothing", "NET-103", 404),
        ("/console/static/0/nothing.css", "NET-103", 404),
        ("/console/static/0/README.md", "NET-103", 404),
        ("/console/messages?limit=0", "EXC-110", 400),
        ("/console/messages?colour=red", "EXC-110", 400),
    ],
)
async def test_what_is_not_there_is_said_as_a_page(held: HeldHub, path: str, code: str, status: int) -> None:
    """With the code, and what would do."""
    text = await page_of(held, path, status)
    assert code in text
    assert "Would do:" in text


async def test_without_the_database_the_console_says_so(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not say that all is well."""

    async def broken(*_: object, **__: object) -> None:
        raise StoreError("gone")

    monkeypatch.setattr("cimcare.console.overview.pages.look_over", broken)
    text = await page_of(held, "/console/", 503)
    assert "All is well" not in text
    assert "database cannot be used" in text


async def test_the_console_has_its_address_without_slash_too(held: HeldHub) -> None:
    """People type it."""
    response = await held.get("/console")
    assert (response.status, response.headers["location"]) == (308, "/console/")


class Looked:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> dict[str, str]:
        self.times += 1
        return {"overview": f"<p>\nlook {self.times}</p>"}


async def test_one_look_serves_all_who_watch_and_none_without_them() -> None:
    """Two hundred screens must not cost two hundred times as much."""
    looked = Looked()
    audience = Audience(structlog.wrap_logger(structlog.testing.ReturnLogger()))
    live = Live(audience, looked, pause_seconds=0)
    async with audience.listening(), audience.listening():
        streams = [live.frames() for _ in range(2)]
        assert [await anext(stream) for stream in streams] == [HELLO, HELLO]
        seen = [await asyncio.wait_for(anext(stream), 5) for stream in streams]
        assert all(frame.startswith(b"event: overview\ndata: <p>\ndata: look ") for frame in seen)
        assert all(frame.endswith(b"\n\n") for frame in seen)
    await asyncio.sleep(0.05)
    times = looked.times
    await asyncio.sleep(0.05)
    assert looked.times == times
    for stream in streams:
        await stream.aclose()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example", "host": "hub.example"}, 403),
        ({"origin": "https://hub.example", "host": "hub.example"}, 303),
        ({}, 303),
    ],
)
async def test_only_a_page_of_the_console_has_partners_drilled(
    held: HeldHub, headers: dict[str, str], status: int
) -> None:
    """Any page of the web can make a browser send a form here."""
    response = await call(held.hub.app, "/console/readiness", b"", headers=headers)
    assert response is not None
    assert response.status == status
