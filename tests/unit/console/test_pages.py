"""Pages of messages, and what goes wrong."""

import html
import re

import msgspec
import pytest

from cimcare.exchange.log import Transport
from cimcare.exchange.ports import Selection
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.queries import MessageFilter
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store import searching
from cimcare.systems.premises import PREMISES
from tests.support.channels import CHANNELS
from tests.support.hub import call
from tests.support.stored import an_entry
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


async def test_how_often_a_broker_had_handed_it_out_is_shown(held: HeldHub) -> None:
    """Who wonders why it came twice sees that the broker did it, and not its sender."""
    async with held.store.transaction() as transaction:
        for times in (0, 1, 2):
            entry = an_entry(transport=Transport.JMS, redeliveries=times)
            await transaction.log.append(entry, b"<m/>")
    pages = [await page_of(held, f"/console/messages/{number}") for number in (1, 2, 3)]
    assert "Redelivered" not in pages[0]
    assert "handed out 1 time before" in pages[1]
    assert "handed out 2 times before" in pages[2]


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


async def test_messages_are_searched_by_what_they_say(held: HeldHub) -> None:
    """By premises, account, object and words, each as people type it."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    for query in ("premises=sl-30021", "account=AG-40015", "object=TT-304237", "text=harbour+street"):
        assert 'href="/console/messages/1"' in await page_of(held, f"/console/messages?{query}&verb=create"), query
        assert "No message matches" in await page_of(held, f"/console/messages?{query}&verb=delete"), query


async def test_premises_are_found_by_any_name_that_the_directory_knows(held: HeldHub) -> None:
    """The caller gives one number, the message another, and both mean one house."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    await held.post(message)
    wanted = await held.hub.queries.list_messages(MessageFilter(premises="SL-30021"))
    others = [
        place
        for stored in await held.store.reader.records.select(PREMISES, Selection(limit=1000))
        if any(name.name == "SL-30021" for name in stored.body.names)
        for place in (stored.body.mrid, stored.body.usage_point)
    ]
    assert others
    for place in others:
        found = await held.hub.queries.list_messages(MessageFilter(premises=place))
        assert {one.sequence for one in found.items} >= {one.sequence for one in wanted.items}
        assert wanted.items


async def test_a_search_that_was_cut_says_so_and_goes_on(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty page is no proof that there is nothing."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    monkeypatch.setattr(searching, "LOOK", 1)
    text = await page_of(held, "/console/messages?direction=out&text=harbour")
    assert "Looked as far as" in text
    assert "Look further" in text


async def test_pages_lead_back_to_where_one_came_from(held: HeldHub) -> None:
    """Keyset pages go both ways in time."""
    for _ in range(3):
        await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    first = await page_of(held, "/console/messages?limit=2")
    assert 'rel="prev"' not in first
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = await page_of(held, html.unescape(older[1]))
    newer = re.search(r'rel="prev" href="([^"]+)">Newer<', second)
    assert newer is not None
    again = await page_of(held, html.unescape(newer[1]))
    rows = re.compile(r'<td class="num"><a href="/console/messages/(\d+)"')
    assert rows.findall(again) == rows.findall(first)[::-1]


def a_change(cause: str) -> RequestMessage:
    """A change of the ticket of `build_message`, whose comment it replaces."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    (root,) = message.payload.content
    assert isinstance(root, TroubleTickets)
    (ticket,) = root.trouble_ticket
    root = TroubleTickets(trouble_ticket=(msgspec.structs.replace(ticket, comment=cause),))
    header = msgspec.structs.replace(message.header, verb=Verb.CHANGE, message_id=MessageID("changed"))
    payload = msgspec.structs.replace(message.payload, content=(root,))
    return msgspec.structs.replace(message, header=header, payload=payload)


async def test_what_changed_since_the_message_before_is_shown_line_by_line(held: HeldHub) -> None:
    """Else one lies two trees beside one another and looks."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    before = max(entry.sequence for entry in await held.log(noun="TroubleTickets") if entry.archetype == "EventMessage")
    await held.post(a_change("the <b>pole</b> leans"), CHANNELS["rest-json"])
    (change,) = await held.log(verb="change")
    text = await page_of(held, f"/console/messages/{change.sequence}?as=changes")
    assert f'href="/console/messages/{before}"' in text
    assert "lines the same" in text
    new = re.findall(r'<li class="new d\d+">.*?</li>', text)
    gone = re.findall(r'<li class="gone d\d+">.*?</li>', text)
    assert any("the &lt;b&gt;pole&lt;/b&gt; leans" in line and "now:" in line for line in new)
    assert gone
    assert "<b>pole" not in text


async def test_the_first_message_of_an_object_has_nothing_before_it(held: HeldHub) -> None:
    """It says so, and does not compare it with another object."""
    await held.post(build_message(Noun.SERVICE_REQUESTS, Verb.CREATE))
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    (created,) = await held.log(verb="create", noun="TroubleTickets")
    assert "No earlier message holds" in await page_of(held, f"/console/messages/{created.sequence}?as=changes")
    (reply,) = [one for one in await held.log(answer_to=created.sequence) if one.archetype == "ResponseMessage"]
    assert "no object" in await page_of(held, f"/console/messages/{reply.sequence}?as=changes")


async def test_what_is_no_message_has_no_changes(held: HeldHub) -> None:
    """The page still opens."""
    await call(held.hub.app, "/messages", b"<RequestMessage", headers={"content-type": "application/xml"})
    assert "no object" in await page_of(held, "/console/messages/1?as=changes")


async def test_a_reply_stands_beside_what_it_answers(held: HeldHub) -> None:
    """Question and answer are read together."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    text = await page_of(held, "/console/messages/1")
    (reply,) = [one for one in await held.log(answer_to=1) if one.archetype == "ResponseMessage"]
    assert f'Its reply <a href="/console/messages/{reply.sequence}">' in text
    assert "Reply as a tree" in text
    assert "Its reply" not in await page_of(held, f"/console/messages/{reply.sequence}")


async def test_an_instant_may_be_written_without_seconds(held: HeldHub) -> None:
    """As the form shows it."""
    await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    assert "create" in await page_of(held, "/console/messages?since=2030-06-01T12:00Z&until=2030-06-01T14:00%2B02:00")
    assert "No message matches" in await page_of(held, "/console/messages?until=2030-06-01T11:59Z")
