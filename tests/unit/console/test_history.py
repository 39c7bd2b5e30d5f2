"""How it stood at an instant: told from what is kept, and nothing is made up for what is not."""

import re
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
import pytest

from cimcare.console.history.looking import Past, look_back
from cimcare.console.history.window import SPANS, read_window
from cimcare.hub.operation.minutes import bars_of, list_minutes
from cimcare.hub.outgoing.halting import halt
from cimcare.hub.rest.filters import FilterError
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.dead_letters import put, put_dead
from tests.unit.console.control import call, keep_minutes, links_with_counts, restore, tell_end
from tests.unit.hub.conftest import NOON, HeldHub


async def test_messages_are_those_that_had_come_by_then(held: HeldHub) -> None:
    """To the instant, also where minutes of it are not kept."""
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    held.later(minutes=8)
    before = held.now
    held.later(minutes=2)
    await held.ask(build_message(Noun.SERVICE_REQUESTS, Verb.CREATE))
    held.later(seconds=5)
    past = await look_back(held.inside, before)
    assert {entry.noun for entry in past.latest} == {"TroubleTickets", "Incidents"}
    assert (past.in_minute, past.minute) == (0, None)
    now = await look_back(held.inside, held.now)
    assert "ServiceRequests" in {entry.noun for entry in now.latest}
    assert now.in_minute == 1
    assert now.is_now
    assert (await look_back(held.inside, NOON - timedelta(days=1))).latest == ()


async def test_figures_of_the_minute_lead_to_its_messages(held: HeldHub) -> None:
    """In and out, to the instant."""
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    held.later(minutes=1, microseconds=-1)
    await held.ask(build_message(Noun.SERVICE_REQUESTS, Verb.CREATE))
    linked = r'<dd><a href="(/console/messages[^"]+)">(\d+)</a></dd>'
    came, went = await links_with_counts(held, "/console/history", linked)
    assert (came, int(went) > 2) == ("2", True)
    held.later(microseconds=1)
    assert (await links_with_counts(held, "/console/history", linked))[0] == "1"


async def test_queues_and_alarms_are_as_they_were_counted(held: HeldHub) -> None:
    """A queue that is empty today does not look as if it had always been."""
    await keep_minutes(held, 1)
    held.later(seconds=45)
    await put(held.store, "one", created_at=held.now)
    await put_dead(held.store)
    await held.hub.upkeep.watcher.look()
    async with held.store.transaction() as transaction:
        await halt(transaction, "gis", actor="op", reason="works", now=held.now)
    await keep_minutes(held, 1)
    quiet = await look_back(held.inside, NOON + timedelta(minutes=1, seconds=30))
    assert (quiet.backlogs, quiet.alarms) == ((), ())
    held.later(seconds=30)
    busy = await look_back(held.inside, held.now - timedelta(seconds=10))
    (backlog,) = busy.backlogs
    assert (backlog.partner, backlog.waiting, backlog.dead) == ("gis", 1, 1)
    assert [alarm.name.value for alarm in busy.alarms] == ["dead-letters"]
    assert busy.minute is not None
    assert busy.minute.halted == ("gis",)
    assert [row.action.value for row in busy.acts] == ["halt", "alarm"]
    assert [row.action.value for row in quiet.acts] == []
    assert {one.state for one in busy.deliveries} <= {"not there yet", "dead"}


async def test_an_incident_is_there_from_when_it_was_known_to_its_end(held: HeldHub) -> None:
    """With the customers of that minute and what was told by then, not with what is known today."""
    await keep_minutes(held, 1)
    incident = await call(held, 0)
    await keep_minutes(held, 1)
    await tell_end(held, incident, 30)
    await keep_minutes(held, 2)
    await tell_end(held, incident, 90, who="Bo")
    await keep_minutes(held, 1)
    await restore(held, incident)
    await keep_minutes(held, 1)

    async def stood(minutes: float) -> Past:
        return await look_back(held.inside, NOON + timedelta(minutes=minutes))

    before = await stood(0.9)
    assert before.minute is not None
    assert (before.incidents, before.minute.incidents, before.minute.customers) == ((), 0, 0)
    (one,) = (await stood(2)).incidents
    assert (one.mrid, one.customers, one.said, one.where) == (incident, 1, 1, one.where)
    assert one.told is not None
    assert one.told.at == NOON + timedelta(minutes=32)
    assert (one.ended_at, one.how) == (NOON + timedelta(minutes=5), "restored by crew 7")
    (one,) = (await stood(4.5)).incidents
    assert one.told is not None
    assert (one.told.who, one.told.at, one.said) == ("Bo", NOON + timedelta(minutes=94), 2)
    after = await stood(6)
    assert after.minute is not None
    assert (after.incidents, after.minute.incidents, after.minute.customers) == ((), 0, 0)
    page = (await held.get("/console/history?at=2030-06-01T12:02:00Z")).body.decode()
    assert f"/console/incidents/{incident}" in page
    assert "restored by crew 7" in page


async def test_what_is_not_kept_is_said_to_be_so(held: HeldHub) -> None:
    """An empty queue and an unknown one are not the same."""
    page = (await held.get(f"/console/history?at={quote((NOON - timedelta(hours=1)).isoformat())}")).body.decode()
    assert "Not kept for this instant" in page
    assert "Nothing waited" not in page
    await keep_minutes(held, 2)
    page = (await held.get(f"/console/history?at={quote(held.now.isoformat())}")).body.decode()
    assert "Nothing waited" in page


async def test_the_knob_shows_the_instant_where_it_is(held: HeldHub) -> None:
    """Its place and the end of the stretch are the whole address, so that it can be passed on."""
    await keep_minutes(held, 70)
    page = (await held.get("/console/history?until=2030-06-01T13:10:00Z&span=1h&step=20")).body.decode()
    assert '<time datetime="2030-06-01T12:30:00+00:00">' in page
    assert 'max="60" value="20"' in page
    for href in re.findall(r'href="(/console/history[^"]*)"', page):
        assert (await held.get(href.replace("&amp;", "&"))).status == 200


@pytest.mark.parametrize("span", SPANS)
def test_a_stretch_holds_its_instant(span: str) -> None:
    """Wherever it is asked for, and never later than now."""
    for minutes in (-3000, -61, -7, 0, 5):
        at = NOON + timedelta(minutes=minutes, seconds=7)
        window = read_window([("at", at.isoformat()), ("span", span)], NOON)
        assert window.at == min(at, NOON)
        assert window.since <= window.at <= window.until
        assert 0 <= window.place <= window.steps


@pytest.mark.parametrize(
    ("since", "until", "minutes", "word"),
    [
        ("11:17:20", "11:43:05", (17, 44), "1h"),  # the whole minutes that hold it
        ("11:17:00", "11:43:00", (17, 43), "1h"),
        ("11:17:20", "11:17:21", (17, 19), "10m"),  # two at least: one has no course
        ("11:00:00", "12:00:00", (0, 60), "1h"),
    ],
)
def test_a_stretch_may_have_any_ends(since: str, until: str, minutes: tuple[int, int], word: str) -> None:
    """A part taken out of a curve; its address leads to it again, with every place of the knob."""
    given = [("since", f"2030-06-01T{since}Z"), ("until", f"2030-06-01T{until}Z")]
    window = read_window(given, NOON + timedelta(hours=5))
    ends = tuple(int((at - NOON) / timedelta(minutes=1)) + 60 for at in (window.since, window.until))
    assert ends == minutes
    assert (window.at, window.word) == (window.until, word)
    query = parse_qsl(urlsplit(window.address(at=window.since)).query)
    assert read_window(query, NOON + timedelta(hours=5)) == msgspec.structs.replace(window, at=window.since)
    knob = read_window([*window.fields.items(), ("step", str(window.steps))], NOON + timedelta(hours=5))
    assert (knob.at, knob.place) == (window.until, window.steps)
    outside = parse_qsl(urlsplit(window.address(at=NOON + timedelta(hours=2))).query)
    assert read_window(outside, NOON + timedelta(hours=5)).span == word


def test_the_longest_stretch_of_any_ends_is_a_page_too() -> None:
    """Whole minutes that hold a day are a little more than one."""
    window = read_window([("since", "2030-05-31T00:00:30Z"), ("until", "2030-06-01T00:00:30Z")], NOON)
    assert (window.until - window.since, window.word) == (timedelta(hours=24, minutes=1), "24h")


@pytest.mark.parametrize("until", ["2030-06-01T11:00:00Z", "2030-06-02T11:00:01Z"])
async def test_a_stretch_that_is_none_or_too_long_is_told(held: HeldHub, until: str) -> None:
    """A day is what minutes are shown of."""
    answer = await held.get(f"/console/history?since=2030-06-01T11:00:00Z&until={until}")
    assert answer.status == 400
    assert "up to 24 hours" in answer.body.decode()


@pytest.mark.parametrize("query", ["at=noon", "span=2h", "step=-1", "step=99999", "foo=1", "at=2030-06-01T12:00:00"])
async def test_an_address_that_means_nothing_is_told(held: HeldHub, query: str) -> None:
    """With what would pass."""
    name, _, value = query.partition("=")
    with pytest.raises(FilterError):
        read_window([(name, value)], NOON)
    answer = await held.get(f"/console/history?{query}")
    assert answer.status == 400
    assert "EXC-110" in answer.body.decode()


async def test_the_ends_of_time_are_pages_too(held: HeldHub) -> None:
    """Whatever somebody types."""
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-06-01T12:00:00-14:00"):
        assert (await held.get(f"/console/history?at={at}&span=24h")).status == 200


async def test_the_curve_has_what_came_in_each_minute_and_gaps_where_no_hub_ran(held: HeldHub) -> None:
    """A gap drawn as zero would tell of a quiet time."""
    await held.hub.upkeep.keep_minute()
    await keep_minutes(held, 1)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    await keep_minutes(held, 2)
    held.later(minutes=20)
    await keep_minutes(held, 2)
    window = read_window([("span", "1h")], held.now)
    minutes = await list_minutes(held.inside.reader.records, window.since, window.until, limit=100)
    bars, width = bars_of(minutes, since=window.since, until=window.until)
    received = [bar.received for bar in bars if bar.received is not None]
    assert (len(bars), width) == (60, timedelta(minutes=1))
    assert received == [0, 2, 0, 0]


async def test_hostile_text_is_text(held: HeldHub) -> None:
    """Names of partners come from outside."""
    async with held.store.transaction() as transaction:
        await halt(transaction, "gis", actor="<script>x</script>", reason="<img src=x>", now=held.now)
    await put(held.store, "one", created_at=held.now, partner="<b>gis</b>")
    page = (await held.get("/console/history")).body.decode()
    assert "<script>x" not in page
    assert "<img src=x>" not in page
    assert "<b>gis" not in page
