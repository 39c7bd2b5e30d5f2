"""Deliveries, dead letters and partners: every state, what operators do, and what goes wrong."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from cimcare.console.pages import console_pages
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.booking import book_abandoned
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState
from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.outgoing.dead_letter_jobs import Jobs, JobTimes
from cimcare.hub.outgoing.halting import find_halt, halt
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.dead_letters import put, put_dead
from tests.support.hub import Response, call
from tests.support.sender import ScriptedSender, replied, silent
from tests.support.stored import NOON
from tests.unit.hub.conftest import HeldHub

GIS = Partner(name="gis", wire=Wire.REST, url="https://gis.example/in?key=s3cret", source="GIS")
REFUSAL = replied(Result.FAILED, "2.15")
CRM = Partner(name="crm", wire=Wire.REST, url="https://crm.example/in", source="CRM")


@pytest.fixture
def sender() -> ScriptedSender:
    return ScriptedSender()


async def opened(folder: Path, sender: ScriptedSender, more: str) -> HeldHub:
    held = HeldHub()
    tickets = Filter(nouns=("TroubleTickets",), verbs=("created",))
    subscriptions = tuple(Subscription(name=f"to-{name}", partner=name, filter=tickets) for name in ("gis", "crm"))
    await held.open(
        folder,
        more,
        seed_town=True,
        sender=sender,
        partners=(GIS, CRM),
        subscriptions=subscriptions,
        pages=console_pages,
    )
    return held


@pytest.fixture
async def held(tmp_path: Path, sender: ScriptedSender) -> AsyncIterator[HeldHub]:
    """A hub whose couriers do not look by themselves: what is put in stays as it is."""
    held = await opened(tmp_path, sender, "delivery.poll_seconds = 60")
    yield held
    await held.hub.close()


@pytest.fixture
async def busy(tmp_path: Path, sender: ScriptedSender) -> AsyncIterator[HeldHub]:
    """A hub that has three dead letters for `gis`, which takes them now; all of it was delivered to `crm`."""
    held = await opened(tmp_path, sender, "delivery.poll_seconds = 0.05")
    sender.answers["gis"] = [REFUSAL]
    for seed in (1, 2, 3):
        await held.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed))
    await until_state(held, DeliveryState.DEAD, 3)
    await until_state(held, DeliveryState.DELIVERED, 3, "crm")
    sender.answers["gis"] = [replied()]
    sender.given.clear()
    yield held
    await held.hub.close()


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def submit(held: HeldHub, path: str, *fields: tuple[str, str]) -> Response:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = await call(held.hub.app, path, urlencode(fields).encode(), headers=headers)
    assert response is not None
    return response


async def deliveries(held: HeldHub, **wanted: object) -> tuple[Delivery, ...]:
    return await held.store.reader.outbox.select(DeliverySelection(**wanted))  # type: ignore[arg-type]


async def until_state(held: HeldHub, state: DeliveryState, count: int, partner: str = "gis") -> None:
    async with asyncio.timeout(30):
        while len(await deliveries(held, partner=partner, states=(state,))) < count:
            await asyncio.sleep(0.01)


async def acts(held: HeldHub) -> list[AuditRow]:
    rows = await held.store.reader.audit.rows()
    return [row for row in rows if row.action in (Action.RESEND, Action.DISCARD, Action.HALT, Action.RELEASE)]


async def test_what_was_given_up_and_what_waits_stand_first(busy: HeldHub) -> None:
    """They are what somebody has to look at."""
    await put_dead(busy.store, 1, partner="gone")
    text = await page_of(busy, "/console/deliveries")
    assert text.index("Given up") < text.index("Under way") < text.index("Ended last")
    assert "FAILED: 2.15" in text
    assert "2.15 no such premises" in text
    assert "Nothing waits" in text
    assert "delivered" in text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=dead", 3),
        ("state=dead&partner=gis", 2),
        ("state=dead&kind=event", 3),
        ("state=dead&kind=reply", 0),
        ("state=dead&noun=Incidents", 0),
        ("state=dead&verb=closed", 1),
        ("state=dead&before=2030-06-01T12:01:30Z", 1),
        ("state=dead&since=2030-06-01T12:01:30Z", 2),
        ("state=delivered", 0),
        ("state=waiting&partner=nobody", 0),
    ],
)
async def test_filters_choose(held: HeldHub, query: str, count: int) -> None:
    """By partner, state, kind and time."""
    await put_dead(held.store, 2)
    await put_dead(held.store, 1, partner="crm", verb="closed")
    text = await page_of(held, f"/console/deliveries?{query}")
    assert len(re.findall(r'<td class="num"><a href="/console/deliveries/\d+"', text)) == count
    assert ("No delivery matches." in text) == (not count)


async def test_the_list_goes_back_page_by_page(held: HeldHub) -> None:
    """Nothing is out of reach."""
    numbers = await put_dead(held.store, 55)
    seen: list[int] = []
    path = "/console/deliveries?state=dead"
    while path:
        text = await page_of(held, path)
        seen += [int(one) for one in re.findall(r'<td class="num"><a href="/console/deliveries/(\d+)"', text)]
        found = re.search(r'rel="next" href="([^"]+)"', text)
        path = found[1].replace("&amp;", "&") if found else ""
    assert seen == sorted(numbers, reverse=True)


async def test_a_page_looks_at_so_many_and_no_more(busy: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among millions that ended, those of one partner may be far back; it says so, and goes on from there."""
    monkeypatch.setattr("cimcare.console.deliveries.browsing._MOST_LOOKED_AT", 2)
    monkeypatch.setattr("cimcare.console.deliveries.browsing._STEP", 1)
    seen, path = 0, "/console/deliveries?state=delivered&partner=crm"
    pages = 0
    while path:
        text = await page_of(busy, path)
        seen += len(re.findall(r'<td class="num"><a href="/console/deliveries/', text))
        found = re.search(r'rel="next" href="([^"]+)"', text)
        path, pages = found[1].replace("&amp;", "&") if found else "", pages + 1
        assert ("Looked at those put in since" in text) == bool(path)
    assert (seen, pages) == (3, 4)


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("/console/deliveries/99", "REF-103", 404),
        ("/console/deliveries/none", "REF-103", 404),
        ("/console/deliveries?kind=letter", "EXC-110", 400),
        ("/console/deliveries?colour=red", "EXC-110", 400),
        ("/console/deliveries/jobs/none", "REF-103", 404),
        ("/console/deliveries/preview?act=resend", "EXC-135", 400),
        ("/console/deliveries/preview?act=resend&number=x", "EXC-135", 400),
        ("/console/deliveries/preview?act=resend&numbers=1-99999999", "EXC-135", 400),
        ("/console/deliveries/preview?act=burn&number=1", "EXC-110", 400),
        ("/console/deliveries/preview?act=resend&code=x", "EXC-110", 400),
        ("/console/deliveries/preview?act=resend&colour=red", "EXC-110", 400),
        ("/console/partners/nobody", "SET-110", 404),
    ],
)
async def test_what_is_wrong_is_said_as_a_page(held: HeldHub, path: str, code: str, status: int) -> None:
    """With the code, and what would do."""
    text = await page_of(held, path, status)
    assert code in text
    assert "Would do:" in text


async def test_one_delivery_says_why_and_shows_both_sides(held: HeldHub) -> None:
    """Until one message lies on the table."""
    (number,) = await put_dead(held.store, 1, received=b"<Fault>&no</Fault>", reason="NET-109 <script>")
    text = await page_of(held, f"/console/deliveries/{number}")
    assert "NET-109 &lt;script&gt;" in text
    assert "&lt;Fault&gt;&amp;no&lt;/Fault&gt;" in text
    assert "&lt;message&gt;" in text
    assert "https://gis.example/in?..." in text
    assert "s3cret" not in text
    assert 'href="/console/messages/1"' in text
    assert 'href="/console/conversations/' in text
    assert 'value="discard"' in text


async def test_a_partner_that_does_not_answer_is_seen_with_its_circuit(busy: HeldHub, sender: ScriptedSender) -> None:
    """Whoever waits wants to know for what."""
    sender.answers["crm"] = [silent()]
    for seed in range(4, 10):
        await busy.post(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed))
    async with asyncio.timeout(30):
        while not busy.inside.circuits()["crm"].is_open:
            await asyncio.sleep(0.01)
    (first, *_) = await deliveries(busy, partner="crm", states=(DeliveryState.WAITING,))
    text = await page_of(busy, f"/console/deliveries/{first.number}")
    assert "no answer within 30 s" in text
    assert 'value="resend"' not in text
    assert "does not answer" in await page_of(busy, "/console/partners")
    assert "does not answer" in await page_of(busy, "/console/partners/crm")
    preview = await page_of(busy, f"/console/deliveries/preview?act=resend&number={first.number}")
    assert "No dead letter matches" in preview
    assert "EXC-135" in preview


async def test_what_a_broker_brought_and_could_not_be_taken_in_is_one_of_them(held: HeldHub) -> None:
    """An operator looks in one place for what went wrong."""
    facts = {"kind": DeliveryKind.INTAKE, "address": "jms:queue:IN", "verb": "", "noun": ""}
    number = await put(held.store, "poison", "broker main", **facts)
    async with held.store.transaction() as transaction:
        await book_abandoned(transaction, "broker main", now=held.now, reason="XML-101: poison", limit=1)
    assert "not readable" in await page_of(held, "/console/deliveries?state=dead&kind=intake")
    text = await page_of(held, f"/console/deliveries/{number}")
    assert "Came from" in text
    assert "jms:queue:IN" in text
    assert "As it came" in text
    assert "&lt;message&gt;" in text
    assert "in force" not in text
    text = await page_of(held, f"/console/deliveries/preview?act=resend&number={number}")
    assert "came from jms:queue:IN" in text
    assert "it waits until there is one" not in text
    assert "what a broker brought" in await page_of(held, "/console/partners/broker main")
    assert "for this hub" in await page_of(held, "/console/partners")


# ------------------------------------------------------------------------------------------------- sending again


async def test_a_preview_shows_what_would_go_where_and_does_nothing(held: HeldHub) -> None:
    """Nobody sends a thousand messages by mistake."""
    numbers = await put_dead(held.store, 3)
    text = await page_of(held, "/console/deliveries/preview?act=resend&partner=gis&code=2.15")
    assert "Send again: 3 dead letters" in text
    assert text.count("https://gis.example/in?...") == 3
    assert "&lt;message&gt;" in text
    assert 'name="numbers" value="1-3"' in text
    assert [one.state for one in await deliveries(held)] == [DeliveryState.DEAD] * len(numbers)
    assert not await acts(held)


async def dead(held: HeldHub) -> str:
    """Numbers of the dead letters, as a form has them."""
    return " ".join(str(one.number) for one in await deliveries(held, states=(DeliveryState.DEAD,)))


async def until_said(held: HeldHub, address: str, words: str) -> str:
    async with asyncio.timeout(30):
        while words not in (text := await page_of(held, address)):
            await asyncio.sleep(0.05)
    return text


async def test_what_was_previewed_is_sent_again_and_watched(busy: HeldHub, sender: ScriptedSender) -> None:
    """With its row in the audit trail, each."""
    numbers = await dead(busy)
    fields = [("act", "resend"), ("numbers", numbers), ("reason", "  gis is mended ")]
    response = await submit(busy, "/console/deliveries/jobs", *fields)
    assert response.status == 303
    await until_state(busy, DeliveryState.DELIVERED, 3)
    assert [given.partner for given in sender.given] == ["gis"] * 3
    rows = await acts(busy)
    assert [(row.action, row.subject, row.details) for row in rows] == [
        (Action.RESEND, f"delivery {number} to gis", "gis is mended") for number in numbers.split()
    ]
    text = await until_said(busy, response.headers["location"], "Done")
    assert "3 of 3 sent again" in text
    assert "gis is mended" in await page_of(busy, "/console/deliveries/jobs")
    (first, *_) = numbers.split()
    text = await page_of(busy, f"/console/deliveries/{first}")
    assert "1 of them before it was sent again" in text


async def test_what_dies_again_is_said(busy: HeldHub, sender: ScriptedSender) -> None:
    """The cause was not mended."""
    sender.answers["gis"] = [REFUSAL]
    fields = [("act", "resend"), ("numbers", (await dead(busy)).split()[0]), ("reason", "once more")]
    response = await submit(busy, "/console/deliveries/jobs", *fields)
    text = await until_said(busy, response.headers["location"], "Done")
    assert re.search(r"Given up again</dt><dd>1<", text)


async def test_a_job_is_halted_and_gone_on_with(held: HeldHub) -> None:
    """Somebody sees that it goes wrong."""
    await put_dead(held.store, 6)
    fields = [("act", "resend"), ("numbers", "1-6"), ("reason", "slowly"), ("rate", "0.5")]
    response = await submit(held, "/console/deliveries/jobs", *fields)
    address = response.headers["location"]
    text = await page_of(held, address)
    assert "At work" in text
    assert "hx-trigger" in text
    assert (await submit(held, f"{address}/halt")).status == 303
    text = await until_said(held, address, "Halted")
    assert "hx-trigger" not in text
    assert "127.0.0.1 asked it to stop" in text
    left = [one.number for one in await deliveries(held, states=(DeliveryState.DEAD,))]
    assert left
    job = address.rpartition("/")[2]
    preview = await page_of(held, f"/console/deliveries/preview?act=resend&job={job}")
    assert f"Send again: {len(left)} dead letters" in preview


async def test_nothing_is_done_without_a_reason(held: HeldHub) -> None:
    """The audit trail says why; what was typed stays."""
    await put_dead(held.store, 2)
    fields = [("act", "discard"), ("numbers", "1-2"), ("reason", "  "), ("rate", "")]
    response = await submit(held, "/console/deliveries/jobs", *fields)
    assert response.status == 400
    assert b"EXC-136" in response.body
    assert b"Discard: 2 dead letters" in response.body
    fields = [("act", "resend"), ("numbers", "1-2"), ("reason", "kept text"), ("rate", "fast")]
    response = await submit(held, "/console/deliveries/jobs", *fields)
    assert response.status == 400
    assert b"EXC-110" in response.body
    assert b"kept text" in response.body
    assert len(await deliveries(held, states=(DeliveryState.DEAD,))) == 2


async def test_discarded_is_over(held: HeldHub) -> None:
    """The reason stays with it."""
    await put_dead(held.store, 2)
    fields = [("act", "discard"), ("numbers", "2"), ("reason", "was told by telephone")]
    response = await submit(held, "/console/deliveries/jobs", *fields)
    assert "Done" in await page_of(held, response.headers["location"])
    assert [one.state for one in await deliveries(held)] == [DeliveryState.DEAD, DeliveryState.DISCARDED]
    assert "was told by telephone" in await page_of(held, "/console/deliveries/2")
    assert [row.action for row in await acts(held)] == [Action.DISCARD]


async def test_more_than_one_job_does_is_left_for_the_next(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form is bounded."""
    monkeypatch.setattr("cimcare.console.deliveries.previewing.MOST_CHOSEN", 2)
    await put_dead(held.store, 3)
    text = await page_of(held, "/console/deliveries/preview?act=discard&partner=gis")
    assert "Discard: 2 dead letters" in text
    assert "More match than one job does" in text


async def test_a_job_whose_process_died_is_seen_to_be_lost(held: HeldHub) -> None:
    """Nobody waits for it for ever."""
    await put_dead(held.store, 1)
    step = timedelta(seconds=3600)
    jobs = Jobs(held.store, clock=held.clock, new_id=held.new_id, is_stopping=lambda: False, times=JobTimes(step=step))
    job = await jobs.begin(Action.RESEND, [1, 2], actor="test", reason="why", rate=0.001)
    for task in jobs._running.values():
        task.cancel()
    held.later(minutes=2)
    text = await page_of(held, f"/console/deliveries/jobs/{job.id}")
    assert "Not heard of any more" in text
    assert "Go on with the 2" in text


# ------------------------------------------------------------------------------------------------------ partners


async def test_partners_are_shown_with_what_they_have_not_got(held: HeldHub) -> None:
    """What is stuck, and where."""
    await put_dead(held.store, 2)
    text = await page_of(held, "/console/partners")
    assert 'href="/console/deliveries?partner=gis&amp;state=dead">2<' in text
    assert "https://gis.example/in?..." in text
    text = await page_of(held, "/console/partners/gis")
    assert "to-gis" in text
    assert "s3cret" not in text
    assert "2.15 no such premises" in text


async def test_a_partner_is_halted_and_let_go_on(held: HeldHub) -> None:
    """With the reason, for whoever comes next."""
    response = await submit(held, "/console/partners/gis/halt", ("reason", "they restart at noon"))
    assert (response.status, response.headers["location"]) == (303, "/console/partners/gis")
    assert await find_halt(held.store.reader.records, "gis") is not None
    assert "they restart at noon" in await page_of(held, "/console/partners/gis")
    await put_dead(held.store, 1)
    assert "gis is halted by" in await page_of(held, "/console/deliveries/preview?act=resend&number=1")
    assert (await submit(held, "/console/partners/gis/release", ("reason", "back"))).status == 303
    assert await find_halt(held.store.reader.records, "gis") is None
    assert [(row.action, row.subject) for row in await acts(held)] == [(Action.HALT, "gis"), (Action.RELEASE, "gis")]


async def test_a_halt_needs_a_reason_and_a_destination(held: HeldHub) -> None:
    """A mistyped name would halt nobody."""
    response = await submit(held, "/console/partners/gis/halt", ("reason", ""))
    assert (response.status, b"EXC-136" in response.body) == (400, True)
    response = await submit(held, "/console/partners/gsi/halt", ("reason", "x"))
    assert (response.status, b"SET-110" in response.body) == (404, True)
    assert not await acts(held)


async def test_where_the_console_only_shows_there_are_no_buttons(tmp_path: Path) -> None:
    """Whoever reaches the hub is not known."""
    held = HeldHub()
    await held.open(tmp_path, '[console]\nacts = "never"', partners=(GIS,), pages=console_pages)
    await put_dead(held.store, 1)
    async with held.store.transaction() as transaction:
        await halt(transaction, "gis", actor="x", reason="y", now=NOON)
    for path in ("deliveries", "deliveries/1", "partners", "partners/gis", "deliveries/preview?act=resend&number=1"):
        text = await page_of(held, f"/console/{path}")
        assert 'method="post"' not in text
        assert 'value="resend"' not in text
    response = await submit(held, "/console/deliveries/jobs", ("act", "resend"), ("numbers", "1"), ("reason", "x"))
    assert response.status == 403
    await held.hub.close()
