"""Configuration and rules as text, first seen and then put in force; and who did what."""

import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from cimcare.console.pages import console_pages
from cimcare.exchange.audit import Action, AuditRow, Note
from cimcare.hub.acts.rules import load_rules
from cimcare.hub.config.configuration import apply, load
from cimcare.hub.config.settings import Settings, read_settings
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import Response, call, settings_text
from tests.unit.hub.conftest import HeldHub

TOWN = """
[partners.crm]
kind = "rest"
url = "https://crm.example/in?key=s3cret"
deadline_seconds = 5

[systems.oms]
url = "https://oms.example/soap"
parallel = 2

[subscriptions.crm-events]
partner = "crm"
verbs = ["created"]
"""


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[HeldHub]:
    held = HeldHub()
    settings: Settings = read_settings(settings_text(tmp_path, TOWN))
    await held.open(tmp_path, partners=settings.partners, subscriptions=settings.subscriptions, pages=console_pages)
    yield held
    await held.hub.close()


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def submit(held: HeldHub, path: str, **fields: str) -> Response:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = await call(held.hub.app, path, urlencode(fields).encode(), headers=headers)
    assert response is not None
    return response


def text_of(page: str) -> str:
    """What stands in the field."""
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def field_of(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def line_of(page: str, words: str) -> int:
    """On which line of the field they stand."""
    text = text_of(page)
    return text[: text.index(words)].count("\n") + 1


async def acts(held: HeldHub) -> list[AuditRow]:
    return [
        row for row in await held.store.reader.audit.acts() if row.action is Action.CONFIGURE and row.actor != "start"
    ]


async def propose(held: HeldHub, path: str, old: str, new: str) -> tuple[int, str]:
    text = text_of(await page_of(held, path))
    assert old in text
    response = await submit(held, f"{path}/proposal", text=text.replace(old, new).replace("\n", "\r\n"))
    return response.status, response.body.decode()


# ------------------------------------------------------------------------------------- partners and subscriptions


async def test_what_is_in_force_reads_as_a_file_that_changes_nothing(held: HeldHub) -> None:
    """Whoever opens it and puts it back has done no harm."""
    page = await page_of(held, "/console/configuration")
    text = text_of(page)
    assert '[partners.crm]\nkind = "rest"\nurl = "https://crm.example/in?..."\ndeadline_seconds = 5\n' in text
    assert "[systems.oms]\n" in text
    assert 'owns = ["TroubleTickets", "Incidents"]' in text
    assert '[subscriptions.crm-events]\npartner = "crm"\nverbs = ["created"]\n' in text
    assert "s3cret" not in page
    status, page = await propose(held, "/console/configuration", "x", "x")
    assert status == 200
    assert "Nothing would change" in page
    assert "Put it in force" not in page


async def test_the_difference_is_shown_and_then_applied(held: HeldHub) -> None:
    """Two steps, and what is hidden is kept."""
    before = await load(held.store.reader.records)
    status, page = await propose(
        held,
        "/console/configuration",
        "deadline_seconds = 5",
        'deadline_seconds = 7\n\n[partners.new]\nurl = "https://n.example/"',
    )
    assert status == 200
    assert "deadline_seconds: 5 -&gt; 7" in page
    assert "partner <b>new</b>" in page
    assert 'class="removed"' in page
    assert await load(held.store.reader.records) == before
    form = {name: field_of(page, name) for name in ("text", "base")}
    response = await submit(held, "/console/configuration", **form)
    assert (response.status, response.headers["location"]) == (303, "/console/configuration?done=1")
    after = await load(held.store.reader.records)
    assert [one.name for one in after.partners] == ["oms", "crm", "new"]
    crm = next(one for one in after.partners if one.name == "crm")
    assert (crm.url, crm.deadline) == ("https://crm.example/in?key=s3cret", timedelta(seconds=7))
    (row,) = await acts(held)
    assert (row.actor, row.subject) == ("127.0.0.1", f"configuration {after.version}")
    assert "s3cret" not in row.details
    page = await page_of(held, "/console/configuration?done=1")
    assert "The file with which this hub started says otherwise" in page
    assert f"Version {after.version} is in force" in page


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("deadline_seconds = 5", "deadline_second = 5", "SET-101"),
        ("deadline_seconds = 5", 'deadline_seconds = "soon"', "SET-101"),
        ("deadline_seconds = 5", "deadline_seconds = ", "SET-102"),
        ("in?...", "elsewhere?...", "SET-107"),
        ('partner = "crm"', 'partner = "cmr"', "SET-110"),
        ("[subscriptions.crm-events]", "[subs.crm-events]", "SET-101"),
        ("[systems.oms]", "[systems.osm]", "SET-101"),
        ("parallel = 2", 'source = "X"', "SET-101"),
        ("[partners.crm]", "[partners.cis]", "SET-106"),
    ],
)
async def test_what_is_wrong_is_said_with_its_line(held: HeldHub, old: str, new: str, code: str) -> None:
    """And what was typed stays."""
    status, page = await propose(held, "/console/configuration", old, new)
    assert status == 400
    assert code in page
    assert f", line {line_of(page, new)}" in page
    assert "Put it in force" not in page


async def test_who_was_overtaken_sees_the_difference_anew(held: HeldHub) -> None:
    """Two people at two desks must not undo each other's work."""
    _, page = await propose(held, "/console/configuration", "deadline_seconds = 5", "deadline_seconds = 7")
    form = {name: field_of(page, name) for name in ("text", "base")}
    other: Settings = read_settings(TOWN.replace("parallel = 2", "parallel = 3"))
    async with held.store.transaction() as transaction:
        await apply(transaction, other, actor="somebody else", now=held.now)
    response = await submit(held, "/console/configuration", **form)
    page = response.body.decode()
    assert response.status == 400
    assert "SET-119" in page
    assert (await load(held.store.reader.records)).actor == "somebody else"
    response = await submit(held, "/console/configuration/proposal", text=text_of(page))
    page = response.body.decode()
    assert "parallel: 3 -&gt; 2" in page
    form = {name: field_of(page, name) for name in ("text", "base")}
    assert (await submit(held, "/console/configuration", **form)).status == 303


async def test_the_text_is_shown_and_not_run(held: HeldHub) -> None:
    """Whatever somebody pastes."""
    response = await submit(held, "/console/configuration/proposal", text="</textarea><script>alert(1)</script>")
    assert response.status == 400
    assert b"<script>alert" not in response.body


async def test_where_the_console_only_shows_nothing_is_put_in_force(tmp_path: Path) -> None:
    """Whoever reaches the hub is not known."""
    held = HeldHub()
    await held.open(tmp_path, '[console]\nacts = "never"', pages=console_pages)
    for path in ("/console/configuration", "/console/configuration/rules"):
        assert "<textarea" not in await page_of(held, path)
        assert 'method="post"' not in await page_of(held, path)
        assert (await submit(held, path, text="", base="1")).status == 403
        assert (await submit(held, f"{path}/proposal", text="")).status == 403
    await held.hub.close()


# --------------------------------------------------------------------------------------------------------- rules


async def test_rules_are_changed_in_two_steps(held: HeldHub) -> None:
    """The storm is no time for surprises."""
    path = "/console/configuration/rules"
    status, page = await propose(held, path, "storm-incidents = 50", "storm-incidents = 80")
    assert status == 200
    assert "estimates.storm-incidents: 50 -&gt; 80" in page
    text = field_of(page, "text").replace("fuse = { calls = 2", "fuse = { calls = 4")
    response = await submit(held, f"{path}/proposal", text=text)
    page = response.body.decode()
    assert "grouping.fuse.calls: 2 -&gt; 4" in page
    form = {name: field_of(page, name) for name in ("text", "base")}
    assert (await submit(held, path, **form)).status == 303
    rules = await load_rules(held.store.reader.records)
    assert (rules.grouping.fuse.calls, rules.estimates.storm_incidents) == (4, 80)
    assert {(row.actor, row.subject) for row in await acts(held)} == {
        ("127.0.0.1", "grouping rules 1"),
        ("127.0.0.1", "rules of estimates"),
    }
    response = await submit(held, path, **form)
    assert (response.status, b"SET-119" in response.body) == (400, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fuse = { calls = 2", "fuse = { calls = 0"),
        ("fuse = {", "fuze = {"),
        ("[estimates]", "[estimate]"),
        ('storm = "auto"', 'storm = "perhaps"'),
        ('storm = "auto"', "storm = auto"),
    ],
)
async def test_rules_that_cannot_be_are_refused_with_their_line(held: HeldHub, old: str, new: str) -> None:
    """Before anything is done."""
    status, page = await propose(held, "/console/configuration/rules", old, new)
    assert status == 400
    assert f", line {line_of(page, new)}" in page


# --------------------------------------------------------------------------------------------------------- trail


async def noted(held: HeldHub, *notes: tuple[Action, str, str]) -> None:
    for action, actor, subject in notes:
        held.later(minutes=1)
        async with held.store.transaction() as transaction:
            await transaction.audit.append(
                Note(at=held.now, action=action, actor=actor, subject=subject, details="<why>")
            )


def rows_in(page: str) -> int:
    return page.count('<td class="num">')


@pytest.mark.parametrize(
    ("action", "subject", "href"),
    [
        (Action.RESEND, "delivery 7 to gis", "/console/deliveries/7"),
        (Action.DISCARD, "delivery 7 to reply x.example", "/console/partners/reply%20x.example"),
        (Action.ABANDON, "deliveries to gis", "/console/deliveries?partner=gis"),
        (Action.HALT, "gis", "/console/partners/gis"),
        (Action.CONFIGURE, "configuration 3", "/console/configuration"),
        (Action.CONFIGURE, "grouping rules 3", "/console/configuration/rules"),
        (Action.CONFIGURE, "rules of estimates", "/console/configuration/rules"),
        (Action.FILTER, "message 12", "/console/messages/12"),
        (Action.CONSENT, "customer C-1, third party shop", "/console/customers/C-1"),
        (Action.REVEAL, "customer C-1", "/console/customers/C-1"),
        (Action.DRILL, "readiness", "/console/readiness"),
    ],
)
async def test_each_row_leads_to_what_it_is_about(held: HeldHub, action: Action, subject: str, href: str) -> None:
    """Who did what, and then: what is it now."""
    await noted(held, (action, "anna", subject))
    page = await page_of(held, "/console/audit?actor=anna")
    assert f'href="{href}"' in page
    assert "&lt;why&gt;" in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("actor=anna", 2),
        ("actor=ANN", 2),
        ("action=halt", 2),
        ("object=delivery+7", 1),
        ("object=gis", 2),
        ("object=gi", 0),
        ("actor=anna&action=halt", 1),
        ("since=2030-06-01T12:02:30Z&before=2030-06-01T12:03:30Z", 1),
        ("before=2030-06-01T12:02:30Z&actor=anna", 1),
        ("action=messages", 1),
    ],
)
async def test_rows_are_found_by_actor_action_object_and_time(held: HeldHub, query: str, count: int) -> None:
    """An auditor's questions."""
    await held.post(build_message(Noun.CUSTOMER_AGREEMENTS, Verb.GET))
    await noted(
        held,
        (Action.RESEND, "otto", "delivery 71 to crm"),
        (Action.RESEND, "anna", "delivery 7 to gis"),
        (Action.HALT, "anna", "gis"),
        (Action.HALT, "otto", "crm"),
    )
    page = await page_of(held, f"/console/audit?{query}")
    assert rows_in(page) == count
    assert ("No row matches" in page) == (not count)


async def test_the_trail_goes_back_page_by_page(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """To its first row, a bounded look at a time."""
    monkeypatch.setattr("cimcare.console.configuration.trail._PER_PAGE", 2)
    monkeypatch.setattr("cimcare.console.configuration.trail._STEP", 2)
    monkeypatch.setattr("cimcare.console.configuration.trail._MOST_LOOKED_AT", 3)
    await noted(held, *((Action.HALT, "anna" if number % 3 else "otto", f"p{number}") for number in range(9)))
    path, seen = "/console/audit?actor=otto", []
    while path:
        page = await page_of(held, path)
        seen += re.findall(r'href="/console/partners/(p\d)"', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(found[1]) if found else ""
    assert seen == ["p6", "p3", "p0"]


async def test_rows_of_messages_lead_to_them(held: HeldHub) -> None:
    """Every number can be opened."""
    await held.post(build_message(Noun.CUSTOMER_AGREEMENTS, Verb.GET))
    assert 'href="/console/messages/1"' in await page_of(held, "/console/audit?action=messages")
    assert (await held.get("/console/audit?colour=red")).status == 400
