"""The outage board, the page of one incident, and what a dispatcher says there."""

import itertools
import math
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from cimcare.console.incidents.board import (
    Certainty,
    Filters,
    Progress,
    Row,
    look_at_board,
    select_rows,
    total,
)
from cimcare.console.incidents.layout import Layout, has_places, lay_out
from cimcare.console.incidents.mapping import MOST_DEVICES, look_at_map
from cimcare.console.incidents.reading import find_incident, reckon
from cimcare.console.incidents.saying import read_instant
from cimcare.console.pages import console_pages
from cimcare.exchange.audit import Action
from cimcare.exchange.ports import Collection, Records, Selection
from cimcare.exchange.store import StoreError
from cimcare.hub.operation.trail import list_rows
from cimcare.model.enumerations import TroubleReportingKind, WorkStatusKind
from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import IncidentHazard
from cimcare.model.network import Device, DeviceKind, Network, ServicePoint
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.samples.northlake_network import build_network
from cimcare.systems.oms.estimates import NOTHING_SAID
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.kinds import INCIDENTS, OPEN
from cimcare.systems.oms.restored import EvidenceKind, InterruptionRecord
from cimcare.systems.oms.sayings import Saying, build_confirmation, build_dispatch, build_restoration
from tests.support.hub import Response, call
from tests.unit.console.control import links_with_counts
from tests.unit.hub.conftest import NOON, HeldHub

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
HOSTILE = "<script>alert(1)</script>"


async def report(held: HeldHub, index: int, **members: object) -> MRID:
    """Somebody calls from one of the premises; the incident in which that is."""
    ticket = TroubleTicket(
        mrid=MRID(f"ticket-{index}"),
        date_time_of_report=held.clock() - timedelta(minutes=30),
        reporting_kind=TroubleReportingKind.call,
        trouble_code="noPower",
        service_location=ServiceLocationIdentity(mrid=find_premises(index).mrid("location")),
    )
    content = TroubleTickets(trouble_ticket=(msgspec.structs.replace(ticket, **members),))
    reply = await send(held, Verb.CREATE, Noun.TROUBLE_TICKETS, Payload(content=(content,)))
    return MRID(next(one.value for one in reply.reply.id if one.object_type == "Incident"))


async def tell(held: HeldHub, saying: Saying) -> None:
    await send(held, saying.verb, Noun.INCIDENTS, saying.payload)


async def send(held: HeldHub, verb: Verb, noun: Noun, payload: Payload) -> ResponseMessage:
    header = Header(
        verb=verb, noun=noun, revision="1", timestamp=held.clock(), source="desk", message_id=MessageID(held.new_id())
    )
    reply = await held.ask(RequestMessage(header=header, payload=payload))
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is not Result.FAILED, reply.reply.error
    return reply


async def fuse_out(held: HeldHub) -> MRID:
    """F-113 is suspected: three of its transformers have called."""
    for index in (41, 46, 52):
        incident = await report(held, index)
    return incident


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def say(held: HeldHub, path: str, **fields: object) -> Response:
    response = await call(held.hub.app, path, urlencode(fields, doseq=True).encode(), headers=FORM)
    assert response is not None
    return response


def has_ticket(text: str, ticket: str) -> bool:
    """Whether a page lists the ticket as one of its incident."""
    return f'name="tickets" value="{ticket}"' in text


async def shown_after(held: HeldHub, response: Response) -> str:
    """The page to which a form leads."""
    assert response.status == 303, response.body.decode()
    return await page_of(held, response.headers["location"])


# ------------------------------------------------------------------------------------------------------------- board


async def test_a_quiet_evening_shows_that_nothing_is_out(held: HeldHub) -> None:
    """An empty board must not look like a broken one."""
    text = await page_of(held, "/console/incidents")
    assert "Nothing is out" in text
    assert "Nobody is working on these" not in text


async def test_what_nobody_is_working_on_stands_apart_and_the_worst_first(held: HeldHub) -> None:
    """Within five seconds a dispatcher sees what to do next."""
    served = await fuse_out(held)
    await tell(held, build_dispatch(served, crew="7", state=WorkStatusKind.onSite))
    harmless = await report(held, 15)
    dangerous = await report(held, 190, hazards=(IncidentHazard(type="wireDown"),))
    text = await page_of(held, "/console/incidents")
    waiting, _, working = text.partition("Somebody is working on these")
    assert waiting.index(f'id="row-{dangerous}"') < waiting.index(f'id="row-{harmless}"')
    assert "wireDown" in waiting
    assert "fuse F-113" in working
    assert "fuse F-113" not in waiting
    assert "on site" in working


async def test_the_board_counts_customers_and_what_is_not_known(held: HeldHub) -> None:
    """The numbers on top are those of the rows below."""
    await fuse_out(held)
    await report(held, 15)
    board = await look_at_board(held.store.reader.records, held.clock())
    sums = total(board.rows)
    assert (sums.customers, sums.incidents, sums.waiting, sums.untold) == (21, 2, 2, 2)
    assert sums.oldest is not None
    assert board.feeders == ("NL-11",)


async def test_what_the_board_counts_is_what_it_leads_to(held: HeldHub) -> None:
    """Whoever reads that nobody was sent to three wants to see which three."""
    served = await fuse_out(held)
    await tell(held, build_dispatch(served, crew="7", state=WorkStatusKind.onSite))
    await report(held, 15)
    await report(held, 190, hazards=(IncidentHazard(type="wireDown"),))
    counted = r'<b><a href="(/console/incidents\?[^"]+)">(\d+)</a>'
    assert await links_with_counts(held, "/console/incidents", counted) == ["2", "1", "3"]  # unsent, hazard, no time
    text = await page_of(held, "/console/incidents?hazards=yes")
    assert '<a href="/console/incidents">3</a> open incidents in all' in text


async def test_an_incident_that_is_over_is_among_those_that_ended(held: HeldHub) -> None:
    """What was just closed must not be gone."""
    incident = await fuse_out(held)
    await tell(held, build_restoration(incident, at=None, kind=EvidenceKind.CREW, who="7"))
    text = await page_of(held, "/console/incidents")
    assert "Nothing is out" in text
    assert "fuse F-113" in text.partition('id="ended"')[2]


@pytest.mark.parametrize(
    ("query", "is_there"),
    [
        ("state=suspected", True),
        ("state=nobody+sent", True),
        ("state=confirmed", False),
        ("state=partly+back", False),
        ("state=planned", False),
        ("feeder=NL-11", True),
        ("feeder=NL-12", False),
        ("hazards=yes", False),
        ("state=no+time", True),
        ("state=life+support", True),
        ("state=nothing+of+the+kind", True),
    ],
)
async def test_the_board_shows_what_was_asked_for(held: HeldHub, query: str, is_there: bool) -> None:
    """By state, feeder and hazards."""
    incident = await fuse_out(held)
    text = await page_of(held, f"/console/incidents?{query}")
    assert (f'id="row-{incident}"' in text) is is_there
    assert ("No open incident matches" in text) is not is_there


async def test_hostile_words_are_text(held: HeldHub) -> None:
    """What callers and crews are called comes from outside."""
    incident = await report(held, 15, comment=HOSTILE, hazards=(IncidentHazard(type=HOSTILE),))
    await tell(held, build_dispatch(incident, crew=HOSTILE, state=WorkStatusKind.dispatched))
    for path in ("/console/incidents", f"/console/incidents/{incident}", f"/console/incidents?feeder={HOSTILE}"):
        text = await page_of(held, path)
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text


async def test_without_the_database_the_board_says_so(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not go on showing what was."""

    async def broken(*_: object) -> None:
        raise StoreError("gone")

    monkeypatch.setattr("cimcare.console.incidents.pages.look_at_board", broken)
    assert "database cannot be used" in await page_of(held, "/console/incidents", 503)


def a_row(**members: object) -> Row:
    row = Row(
        mrid=MRID("one"),
        place="fuse F-1",
        kind="fuse",
        feeder="A",
        device=MRID("F-1"),
        above=(),
        since=NOON,
        out=10,
        of=10,
        restored=0,
        critical=0,
        premises=1,
        dark=1,
        hazards=(),
        is_planned=False,
        certainty=Certainty.SUSPECTED,
        progress=Progress.NOBODY,
        estimate=NOTHING_SAID,
        crews=(),
        cause="",
        why="",
    )
    return msgspec.structs.replace(row, **members)


def test_danger_goes_before_dependence_before_numbers_before_age() -> None:
    """In whatever order they came."""
    wanted = [
        a_row(mrid=MRID("wire"), out=1, hazards=("wireDown",)),
        a_row(mrid=MRID("dialysis"), out=2, critical=1),
        a_row(mrid=MRID("many"), out=500),
        a_row(mrid=MRID("older"), since=NOON - timedelta(hours=1)),
        a_row(mrid=MRID("newer")),
    ]
    mixed = list(wanted)
    random.Random(7).shuffle(mixed)
    assert list(select_rows(mixed, Filters())) == wanted


def test_who_is_below_two_outages_counts_once() -> None:
    """A transformer that burnt below a feeder that is out."""
    rows = (a_row(device=MRID("CB"), out=100), a_row(mrid=MRID("two"), device=MRID("TX"), above=(MRID("CB"),), out=5))
    assert total(rows).customers == 100


# ---------------------------------------------------------------------------------------------------------- incident


async def test_the_page_of_an_incident_tells_all_that_is_known(held: HeldHub) -> None:
    """Who, where, why, what was said."""
    incident = await fuse_out(held)
    text = await page_of(held, f"/console/incidents/{incident}")
    for words in ("fuse F-113", "suspected", "reported within", "No restoration time is known yet", "ticket-41"):
        assert words in text
    assert find_premises(52).location in text
    assert "nobody has spoken of it" in text
    assert f"Premises {find_premises(46).location} joins" in text


async def test_the_messages_about_an_incident_lie_on_its_page(held: HeldHub) -> None:
    """From what is known to who said it."""
    incident = await fuse_out(held)
    await tell(held, build_dispatch(incident, crew="7", state=WorkStatusKind.dispatched))
    text = await page_of(held, f"/console/incidents/{incident}")
    listed = text.partition('id="messages-head"')[2]
    entry = (await held.log(verb="change", noun="Incidents"))[0]
    assert f'<a href="/console/messages/{entry.sequence}"><b>change</b> Incidents</a>' in listed
    assert f"/console/messages?object={incident}" in listed


@pytest.mark.parametrize("path", ["/console/incidents/none", "/console/incidents/%3Cscript%3E"])
async def test_an_incident_that_is_not_there_is_said_so(held: HeldHub, path: str) -> None:
    """With the code, and what would do."""
    text = await page_of(held, path, 404)
    assert "REF-103" in text
    assert "<script>" not in text


async def test_customer_minutes_are_those_of_each_for_as_long_as_it_was_out(held: HeldHub) -> None:
    """One of ten was back after half of the hour."""
    back = InterruptionRecord(
        point="p", incident=MRID("one"), started_at=NOON, ended_at=NOON + timedelta(minutes=30), customers=1
    )
    hour = NOON + timedelta(minutes=60)
    assert reckon(a_row(), (), hour) == 600
    assert reckon(a_row(), (back,), hour) == 570
    over = a_row(ended_at=NOON + timedelta(minutes=40))
    assert reckon(over, (), hour) == 400
    assert reckon(over, (back,), hour) == 30  # each of them was noted when it ended


# ----------------------------------------------------------------------------------------------------------- sayings


async def test_a_crew_is_sent_and_damage_is_being_assessed(held: HeldHub) -> None:
    """One form, and the page shows what came of it."""
    incident = await fuse_out(held)
    path = f"/console/incidents/{incident}"
    text = await shown_after(held, await say(held, path, act="crew", crew="CREW-11", state="dispatched"))
    assert "CREW-11 is dispatched" in text
    assert "being assessed" in text
    entry = (await held.log(verb="change", noun="Incidents"))[0]
    assert f"/console/messages/{entry.sequence}" in text


async def test_an_estimate_is_told_with_who_and_how_sure(held: HeldHub) -> None:
    """As the command would send it."""
    incident = await fuse_out(held)
    path = f"/console/incidents/{incident}"
    fields = {"act": "estimate", "at": "90", "confidence": "60", "kind": "operator", "who": "Ana Ruiz"}
    text = await shown_after(held, await say(held, path, **fields))
    assert "it was told" in text.lower()
    assert "60 %" in text
    nearly = await shown_after(held, await say(held, path, **{**fields, "at": "95"}))
    assert "less than 15 min" in nearly
    assert "it was not told" in nearly.lower()
    withdrawn = await shown_after(held, await say(held, path, act="withdraw", who="Ana Ruiz"))
    assert "The former estimate was withdrawn" in withdrawn


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"act": "estimate", "at": "yesterday", "kind": "operator", "who": "Ana"}, "EXC-128"),
        ({"act": "estimate", "at": "", "kind": "operator", "who": "Ana"}, "at is empty"),
        ({"act": "estimate", "at": "2001-01-01T00:00Z", "kind": "operator", "who": "Ana"}, "not in the future"),
        ({"act": "estimate", "at": "90", "confidence": "300", "kind": "operator", "who": "Ana"}, "0 to 100"),
        ({"act": "estimate", "at": "90", "kind": "gossip", "who": "Ana"}, "one of operator"),
        ({"act": "estimate", "at": "90", "kind": "crew", "who": " "}, "who says it"),
        ({"act": "crew", "crew": "", "state": "onSite"}, "the name of the crew"),
        ({"act": "crew", "crew": "7", "state": "asleep"}, "one of dispatched"),
        ({"act": "cancel", "who": "Ana"}, "BUS-133"),
        ({"act": "restore", "at": "", "kind": "meter", "who": "M-1"}, "BUS-142"),
        ({"act": "part", "kind": "crew", "who": "7"}, "ticked"),
        ({"act": "split", "who": "Ana"}, "ticked"),
        ({"act": "merge", "into": "", "who": "Ana"}, "an open incident"),
        ({"act": "dance", "who": "Ana"}, "one of estimate"),
        ({"act": "crew", "crew": "\x01", "state": "onSite"}, "BUS-141"),
    ],
)
async def test_what_is_refused_is_shown_with_what_was_typed(held: HeldHub, fields: dict[str, str], words: str) -> None:
    """And nothing is changed."""
    incident = await fuse_out(held)
    before = await held.store.reader.records.find(INCIDENTS.collection, incident)
    response = await say(held, f"/console/incidents/{incident}", **fields)
    text = response.body.decode()
    assert response.status == 422
    assert words in text
    assert "Nothing was changed" in text
    assert await held.store.reader.records.find(INCIDENTS.collection, incident) == before
    if fields.get("who", "").strip() and fields["act"] not in ("dance",):
        assert f'value="{fields["who"]}"' in text


async def test_a_device_is_confirmed(held: HeldHub) -> None:
    """One above two incidents makes one of them."""
    incident = await fuse_out(held)
    path = f"/console/incidents/{incident}"
    fields = {"act": "confirm", "device": "R-11", "kind": "operator", "who": "Ana Ruiz"}
    text = await shown_after(held, await say(held, path, **fields))
    assert "recloser R-11" in text
    assert "has confirmed recloser R-11" in text
    unknown = await shown_after(held, await say(held, path, **{**fields, "device": "R-99"}))
    assert "R-99 is not in the network model" in unknown


async def test_the_whole_and_a_part_are_restored_with_evidence(held: HeldHub) -> None:
    """Ten minutes ago, by the crew."""
    incident = await fuse_out(held)
    path = f"/console/incidents/{incident}"
    point = find_premises(41).mrid("usage_point")
    fields = {"act": "part", "at": "10", "kind": "crew", "who": "7", "points": [point]}
    text = await shown_after(held, await say(held, path, **fields))
    assert "1 of 20 customers are known to have supply again" in text
    seen = await find_incident(held.store.reader.records, incident, held.clock())
    assert seen is not None
    assert [one.word for one in seen.standings].count("back") == 1
    over = await shown_after(held, await say(held, path, act="restore", at="5", kind="crew", who="7"))
    assert "restored" in over
    assert "What you can say" not in over
    again = await say(held, path, act="restore", kind="crew", who="7")
    assert again.status == 422


async def test_a_ticket_is_split_off_moved_and_merged_back(held: HeldHub) -> None:
    """What the rules have put together wrongly, somebody takes apart; and the reverse."""
    incident = await fuse_out(held)
    path = f"/console/incidents/{incident}"
    response = await say(held, path, act="split", tickets=["ticket-52"], device="", who="Ana Ruiz")
    text = await shown_after(held, response)
    other = response.headers["location"].partition("?")[0].rpartition("/")[2]
    assert other != incident
    assert has_ticket(text, "ticket-52")
    assert not has_ticket(await page_of(held, path), "ticket-52")
    merged = await shown_after(
        held, await say(held, f"/console/incidents/{other}", act="merge", into=incident, who="Ana")
    )
    assert "ticket-52" in merged
    left = await held.store.reader.records.find(INCIDENTS.collection, MRID(other))
    assert left is not None
    assert left.state != OPEN
    alone = await report(held, 190)
    await shown_after(held, await say(held, path, act="move", tickets=["ticket-52"], into=alone, who="Ana"))
    assert has_ticket(await page_of(held, f"/console/incidents/{alone}"), "ticket-52")


async def test_an_incident_that_was_confirmed_is_merged_too(held: HeldHub) -> None:
    """It does not end by itself when nobody is left in it."""
    incident, other = await fuse_out(held), await report(held, 190)
    await tell(held, build_confirmation(other, device="F-125", kind=EvidenceKind.OPERATOR, who="Ana"))
    await shown_after(held, await say(held, f"/console/incidents/{other}", act="merge", into=incident, who="Ana"))
    left = await held.store.reader.records.find(INCIDENTS.collection, other)
    assert left is not None
    assert left.state != OPEN


async def test_estimates_are_held_in_a_storm(held: HeldHub) -> None:
    """With a row in the audit trail."""
    response = await say(held, "/console/incidents/storm", mode="on")
    assert "Storm assessment holds" in await shown_after(held, response)
    rows = await list_rows(held.store.reader.audit, limit=100, action=Action.CONFIGURE)
    assert any("storm auto -> on" in row.details for row in rows.items)
    assert (await say(held, "/console/incidents/storm", mode="maybe")).status == 400


async def test_where_pages_may_not_act_there_are_no_forms(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that anybody reaches shows and does not act."""
    incident = await fuse_out(held)
    monkeypatch.setattr("cimcare.console.frame.Frame.may_act", property(lambda _: False))
    for path in ("/console/incidents", f"/console/incidents/{incident}"):
        assert 'method="post"' not in await page_of(held, path)
    assert (await say(held, f"/console/incidents/{incident}", act="crew", crew="7", state="onSite")).status == 403


@pytest.mark.parametrize(
    ("text", "ahead", "ago"),
    [
        ("90", "2030-06-01T13:30:00Z", "2030-06-01T10:30:00Z"),
        ("+ 15 min", "2030-06-01T12:15:00Z", "2030-06-01T11:45:00Z"),
        ("14:30", "2030-06-01T14:30:00Z", "2030-05-31T14:30:00Z"),
        ("9:05", "2030-06-02T09:05:00Z", "2030-06-01T09:05:00Z"),
        ("2030-06-01T14:30+02:00", "2030-06-01T12:30:00Z", "2030-06-01T12:30:00Z"),
        ("25:00", None, None),
        ("2030-06-01T14:30", None, None),
        ("soon", None, None),
    ],
)
def test_instants_are_read_as_people_type_them(text: str, ahead: str | None, ago: str | None) -> None:
    """A time of day is the next one, or the last one."""
    now = datetime(2030, 6, 1, 12, tzinfo=UTC)
    for is_ahead, wanted in ((True, ahead), (False, ago)):
        found = read_instant(text, now, is_ahead=is_ahead)
        assert found == (None if wanted is None else datetime.fromisoformat(wanted))


# --------------------------------------------------------------------------------------------------------------- map


async def test_the_map_shows_each_outage_and_says_the_same_in_words(held: HeldHub) -> None:
    """Shapes for who sees, lists for who does not."""
    incident = await fuse_out(held)
    await report(held, 15)
    text = await page_of(held, "/console/map")
    assert f'href="/console/incidents/{incident}" aria-label="fuse F-113, out, suspected">' in text
    assert f"{find_premises(41).location}: out, suspected, somebody has called" in text
    assert f"{find_premises(15).location}: reported, somebody has called" in text
    assert f"{find_premises(190).location}: supplied" in text
    listed = text.partition("as a list")[2]
    assert "5 out, suspected" in listed
    assert "1 reported; 4 supplied" in listed
    assert "data-at" not in text  # the scheme is nowhere on earth


async def test_places_are_drawn_apart_and_say_where_they_truly_are(held: HeldHub) -> None:
    """What can be read on paper, and what is true on a map that is zoomed."""
    text = await page_of(held, "/console/map?as=places")
    assert text.count("<g transform=") == text.count('<g transform="translate(')
    assert len(re.findall(r'<g transform="translate\([\d.]+,[\d.]+\)" data-at="[\d.]+ [\d.]+">', text)) == 56 + 200
    assert len(re.findall(r'<line [^>]*data-at="[\d.]+ [\d.]+ [\d.]+ [\d.]+"/>', text)) == 55 + 200
    assert 'data-box="' in text
    assert "does not say where" not in text


async def test_what_has_no_place_is_said_not_to_have_one(held: HeldHub) -> None:
    """A guess must not look like a fact."""
    network = build_network()
    devices = tuple(
        msgspec.structs.replace(one, position=None) if one.name in ("R-11", "F-113") else one for one in network.devices
    )
    async with held.store.transaction() as transaction:
        await import_network(transaction.records, msgspec.structs.replace(network, devices=devices), NOON)
    text = await page_of(held, "/console/map?as=places")
    assert "does not say where 2 of these devices are" in text
    assert "fuse F-113: supplied, 20 customers below, place not known" in text


async def test_on_a_plane_there_are_no_tiles(tmp_path: Path) -> None:
    """Nobody knows where metres of some projection are on earth."""
    held = HeldHub()
    settings = '[console]\ntiles = "https://tiles.example/{z}/{x}/{y}.png"\ntiles_attribution = "© <i>T</i>"'
    await held.open(tmp_path, settings, seed_town=True, pages=console_pages)
    tiled = await held.get("/console/map?as=places")
    network = build_network()
    devices = tuple(
        msgspec.structs.replace(one, position=(one.position[0] * 1e5, one.position[1] * 1e5)) if one.position else one
        for one in network.devices
    )
    async with held.store.transaction() as transaction:
        plane = msgspec.structs.replace(network, devices=devices, points=())
        await import_network(transaction.records, plane, NOON)
    held.later(minutes=1)
    plain = await held.get("/console/map?as=places")
    await held.hub.close()
    assert "img-src 'self' https://tiles.example;" in tiled.headers["content-security-policy"]
    assert 'data-tiles="https://tiles.example/{z}/{x}/{y}.png"' in tiled.body.decode()
    assert "© &lt;i&gt;T&lt;/i&gt;" in tiled.body.decode()
    assert "data-bounds" in tiled.body.decode()
    assert "img-src 'self';" in plain.headers["content-security-policy"]
    assert "data-box" in plain.body.decode()
    assert "data-bounds" not in plain.body.decode()
    assert "data-tiles" not in plain.body.decode()


async def test_the_map_shows_who_is_back(held: HeldHub) -> None:
    """What is confirmed looks other than what is suspected."""
    incident = await fuse_out(held)
    await tell(held, build_confirmation(incident, device="F-113", kind=EvidenceKind.CREW, who="7"))
    point = find_premises(41).mrid("usage_point")
    at = held.clock() - timedelta(minutes=1)
    await tell(held, build_restoration(incident, at=at, kind=EvidenceKind.CREW, who="7", points=[point]))
    text = await page_of(held, "/console/map?root=F-113")
    assert 'aria-label="fuse F-113, out, confirmed"' in text
    assert f"{find_premises(41).location}: back again" in text
    assert "CB-11" in text.partition("<h1>")[0]  # the way up
    assert "F-121" not in text


@pytest.mark.parametrize("query", ["feeder=NL-11", "feeder=NL-12", "as=places", "as=scheme", "root=CB-12&as=places"])
async def test_parts_of_the_network_can_be_drawn(held: HeldHub, query: str) -> None:
    """By feeder, from a device down, by scheme and by place."""
    text = await page_of(held, f"/console/map?{query}")
    assert ("F-121" in text) is (query != "feeder=NL-11")
    assert ("F-111" in text) is (query not in ("feeder=NL-12", "root=CB-12&as=places"))
    assert "Nothing that is drawn is out" in text


@pytest.mark.parametrize("query", ["feeder=nowhere", f"root={HOSTILE}"])
async def test_what_is_not_in_the_network_is_said_so(held: HeldHub, query: str) -> None:
    """With what would do."""
    text = await page_of(held, f"/console/map?{query}", 404)
    assert "REF-130" in text
    assert HOSTILE not in text


async def test_without_a_network_the_map_says_how_to_get_one(tmp_path: Path) -> None:
    """And is no error."""
    held = HeldHub()
    await held.open(tmp_path, pages=console_pages)
    assert "cimcare network import" in await page_of(held, "/console/map")
    await held.hub.close()


async def a_country(held: HeldHub) -> None:
    """A network of forty feeders with fifty transformers each, of odd names, in the place of the town."""
    devices = [Device(mrid=MRID("S"), name="S", kind=DeviceKind.SOURCE, nodes=("s",))]
    points = []
    for feeder in range(40):
        top = f"B{feeder} {HOSTILE}"
        devices.append(Device(mrid=MRID(top), name=top, kind=DeviceKind.BREAKER, nodes=("s", top), feeder=f"N{feeder}"))
        for number in range(50):
            name = f"T{feeder}-{number}"
            devices.append(
                Device(mrid=MRID(name), name=name, kind=DeviceKind.TRANSFORMER, nodes=(top, name), feeder=f"N{feeder}")
            )
            points.append(ServicePoint(mrid=MRID(f"P{name}"), name=f"P{name}", node=name, customers=30))
    async with held.store.transaction() as transaction:
        await import_network(transaction.records, Network(devices=tuple(devices), points=tuple(points)), NOON)


class Counted:
    """Records that count how often they are asked, and for how many objects at most."""

    def __init__(self, records: Records) -> None:
        self.asked = 0
        self.given = 0
        self._records = records

    async def select(self, collection: Collection[msgspec.Struct], wanted: Selection) -> Sequence[object]:
        found = await self._records.select(collection, wanted)
        self.asked += 1
        self.given += len(found)
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._records, name)


async def test_a_big_network_is_drawn_in_parts_and_what_is_out_is_in_it(held: HeldHub) -> None:
    """Sixty thousand customers: the drawing is bounded, and so is what it reads."""
    await a_country(held)
    row = a_row(device=MRID("T39-49"), above=(MRID(f"B39 {HOSTILE}"), MRID("S")))
    counted = Counted(held.store.reader.records)
    town = await look_at_map(counted, (row,))  # type: ignore[arg-type]
    assert town is not None
    nodes = town.nodes()
    assert len(nodes) == MOST_DEVICES
    assert any(node.row == row for node in nodes)
    assert sum(node.hidden for node in nodes) > 0
    assert counted.asked < 12
    assert counted.given < 3 * 1000
    assert all(spot.number == 30 for node in nodes for spot in node.spots)
    text = await page_of(held, "/console/map")
    assert HOSTILE not in text
    assert "are not drawn" in text
    assert "/console/map?root=" in text


@pytest.mark.parametrize("layout", list(Layout))
async def test_no_two_things_stand_at_one_place(held: HeldHub, layout: Layout) -> None:
    """Whatever the model says of where they are; and the same network gives the same drawing."""
    town = await look_at_map(held.store.reader.records, ())
    assert town is not None
    assert has_places(town.roots)
    drawn = lay_out(town.roots, layout)
    assert drawn == lay_out(town.roots, layout)
    places = [(one.x, one.y) for one in drawn.placed] + [(x, y) for one in drawn.placed for _, x, y in one.spots]
    assert len(places) == 56 + 200
    nearest = min(math.dist(one, other) for one, other in itertools.combinations(places, 2))
    assert nearest > 8
    assert all(0 < x < drawn.width and 0 < y < drawn.height for x, y in places)
