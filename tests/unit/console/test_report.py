"""The after-action report: the figures of a small storm, on a page, in a file, as PDF and by the command."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from cimcare.cli import main
from cimcare.console.report.document import render_document
from cimcare.console.report.pdf import render_pdf
from cimcare.exchange.ledger import Account, Ends
from cimcare.hub.operation.aftermath import LONGEST, Report, load_report
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.dead_letters import deliver, put, put_dead
from tests.unit.console.control import call, keep_minutes, links_with_counts, restore, tell_end
from tests.unit.hub.conftest import NOON, HeldHub


async def storm(held: HeldHub) -> str:
    """Ten minutes: an outage with a hazard, told of twice and restored, one that goes on, a delivery given up."""
    incident = await call(held, 0, hazard="wire down")
    await keep_minutes(held, 4)
    await tell_end(held, incident, 30)
    await keep_minutes(held, 20)
    await tell_end(held, incident, 60, who="Bo")
    await call(held, 40)
    await put_dead(held.store, created_at=held.now)
    await keep_minutes(held, 20)
    await restore(held, incident)
    await held.hub.upkeep.ticking.round()  # points are gone through by the clock
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CANCEL))  # of a ticket that is not there
    await keep_minutes(held, 1)
    return incident


async def report_of(held: HeldHub, **changes: object) -> Report:
    given: dict[str, object] = {"since": NOON - timedelta(minutes=1), "until": held.now, "now": held.now, **changes}
    return await load_report(held.inside.reader, **given)


async def test_the_figures_are_those_of_what_happened(held: HeldHub) -> None:
    """Each of them can be counted by hand."""
    incident = await storm(held)
    report = await report_of(held)
    assert (report.incoming.offered, report.incoming.done, report.incoming.refused, report.lost) == (6, 5, 1, 0)
    assert (report.outgoing.offered, report.outgoing.dead) == (1, 1)
    assert (report.count, report.open_count) == (2, 1)
    (one,) = [each for each in report.incidents if each.mrid == incident]
    # Told at 12:04 for 12:34, at 12:24 for 13:24; back at 12:44.
    assert (one.first_error, one.last_error, one.changes) == (-10, 40, 1)
    assert one.acted_after == timedelta(minutes=4)
    assert report.first_error.count == 1
    assert (report.first_error.distance, report.first_error.bias, report.first_error.near) == (10, -10, 1)
    assert (report.last_error.distance, report.last_error.near) == (40, 0)
    assert [each.hazards for each in report.hazards] == [("wire down",)]
    assert report.peak == 2
    assert report.unplanned is not None
    assert report.unplanned.interruptions == 1
    assert report.unplanned.saidi == pytest.approx(44 / report.served)
    assert one.customer_minutes == pytest.approx(44)
    assert [(each.partner, each.reason) for each in report.dead] == [("gis", "FAILED: 2.15 no such premises")]
    assert report.answers is None
    assert any(one.startswith("how long 6 of the requests") for one in report.unsaid)
    assert sum(bar.received or 0 for bar in report.bars) == 6
    assert '<svg class="curve"' in render_document(report), "as a file it has the drawing of the server alone"


async def test_figures_lead_to_what_they_count(held: HeldHub) -> None:
    """Whoever doubts one opens it. As a file the report leads nowhere."""
    await storm(held)
    linked = r'<(?:dd|td class="num")><a href="(/console/(?:messages|deliveries)\?[^"]+)">(\d+)</a>'
    counts = await links_with_counts(held, "/console/report", linked)
    assert counts[:4] == ["6", "5", "1", "1"]  # offered, answered, refused, given up
    assert len(counts) > 5, "and by partner"
    assert not re.findall(linked, render_document(await report_of(held)))


async def test_the_longest_time_and_the_most_out_lead_to_what_they_tell_of(held: HeldHub) -> None:
    """The one delivery that took so long, and the minute in which so many were out."""
    numbers = [await put(held.store, f"after-{one}", created_at=NOON - timedelta(seconds=one)) for one in (20, 9, 5)]
    for number in numbers:
        await deliver(held.store, number)
    await storm(held)
    text = (await held.get("/console/report")).body.decode()
    assert f'<a href="/console/deliveries/{numbers[0]}">20.123 s</a>' in text
    ((address, count),) = re.findall(r'<dd><a href="(/console/history\?at=[^"]+)">(\d+)</a>', text)
    assert count == "2"
    assert (await held.get(address)).status == 200


async def test_what_lies_outside_of_the_span_is_not_in_it(held: HeldHub) -> None:
    """Or two reports of two days would not add up."""
    await storm(held)
    held.later(hours=3)
    report = await report_of(held, since=held.now - timedelta(hours=1))
    assert (report.incoming.offered, report.count, report.hazards, report.dead) == (0, 0, (), ())
    assert report.first_error.count == 0
    assert report.unplanned is not None
    assert report.unplanned.saidi == 0


async def test_what_the_ledger_misses_is_lost(held: HeldHub) -> None:
    """The one figure that nobody may overlook, whichever end misses it."""
    async with held.store.transaction() as transaction:
        await transaction.ledger.count("CIS", NOON, Account.IN, Ends.RECEIVED)
        await transaction.ledger.count("gis", NOON, Account.OUT, Ends.DELIVERED, 2)
    held.later(minutes=1)
    assert (await report_of(held)).lost == 3


async def test_the_slowest_partner_stands_first(held: HeldHub) -> None:
    """By what nineteen of twenty deliveries took."""
    for number in range(3):
        for partner, seconds in (("gis", 2), ("slow", 50)):
            created_at = NOON - timedelta(seconds=seconds)
            await deliver(held.store, await put(held.store, f"{partner}{number}", partner, created_at=created_at))
    held.later(minutes=5)
    report = await report_of(held)
    assert [(one.partner, round(one.spread.most), one.spread.count) for one in report.deliveries] == [
        ("slow", 50, 3),
        ("gis", 2, 3),
    ]


async def test_what_is_not_known_is_said(held: HeldHub) -> None:
    """An empty table alone would say that there was nothing."""
    held.later(minutes=1)
    report = await report_of(held)
    assert any(one.startswith("which partner was slow") for one in report.unsaid)
    assert any(one.startswith("how messages came in") for one in report.unsaid)


@pytest.mark.parametrize(("since", "until"), [(0, 0), (5, 1), (-60 * 24 * 40, 0), (30, 60)])
async def test_a_span_that_is_none_is_refused(held: HeldHub, since: int, until: int) -> None:
    """Empty, backwards, too long, and not begun."""
    first, last = (NOON + timedelta(minutes=minutes) for minutes in (since, until))
    with pytest.raises(ValueError, match="wanted is one"):
        await report_of(held, since=first, until=last)
    answer = await held.get(f"/console/report?since={first:%Y-%m-%dT%H:%M:%SZ}&until={last:%Y-%m-%dT%H:%M:%SZ}")
    assert answer.status == 400
    assert "EXC-110" in answer.body.decode()


async def test_a_long_span_is_drawn_by_hours(held: HeldHub) -> None:
    """Its minutes would be too many."""
    await storm(held)
    report = await report_of(held, since=held.now - LONGEST)
    assert len(report.bars) <= 61
    assert sum(bar.received or 0 for bar in report.bars) == 6


async def test_the_page_has_its_files(held: HeldHub) -> None:
    """One click each; the file needs nothing from elsewhere and runs nothing."""
    incident = await storm(held)
    page = (await held.get("/console/report?since=2030-06-01T11:00:00Z")).body.decode()
    assert f"/console/incidents/{incident}" in page
    assert "wire down" in page
    links = re.findall(r'href="(/console/report\.[^"]*)"', page)
    assert len(links) == 3
    for link in links:
        answer = await held.get(link.replace("&amp;", "&"))
        assert answer.status == 200
        assert answer.headers["content-disposition"].startswith('attachment; filename="report-20300601T1100Z-')
        if ".pdf" in link:
            assert answer.body.startswith(b"%PDF-")
        elif ".json" in link:
            assert msgspec.json.decode(answer.body)["incoming"]["offered"] == 6
        else:
            text = answer.body.decode()
            assert "wire down" in text
            for word in ("href=", "src=", "<script", "@import", "url("):
                assert word not in text


async def test_hostile_text_is_text_in_every_form(held: HeldHub) -> None:
    """Hazards are typed by whoever takes the call."""
    await call(held, 0, hazard="<b>dog</b> & <script>x</script>")
    held.later(minutes=1)
    report = await report_of(held)
    document = render_document(report)
    assert "<script" not in document
    assert "x-data" not in document
    assert "<b>dog" not in (await held.get("/console/report")).body.decode()
    assert render_pdf(report).startswith(b"%PDF-")


async def test_the_pdf_goes_on_over_pages(held: HeldHub) -> None:
    """A storm has more than one page takes."""
    await storm(held)
    report = await report_of(held)
    long = msgspec.structs.replace(report, dead=report.dead * 100)
    assert render_pdf(long).count(b"/Type /Page\n") > render_pdf(report).count(b"/Type /Page\n")


async def test_the_command_makes_the_same(held: HeldHub, tmp_path: Path) -> None:
    """From the database alone, also beside a hub that is running."""
    await storm(held)
    database, out = f"sqlite:///{tmp_path / 'hub.db'}", tmp_path / "report"
    given = ["report", "--since", "2030-06-01T11:59:00Z", "--until", "2030-06-01T13:00:00Z", "--database", database]
    run = await asyncio.to_thread(CliRunner().invoke, main, [*given, "--form", "json"])
    # The clock of the command is that of the machine, to which this day is the future.
    assert run.exit_code == 2
    assert "has begun" in run.output
    given[2], given[4] = "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"
    for form, start in (("html", b"<!doctype html>"), ("pdf", b"%PDF-"), ("json", b"{")):
        run = await asyncio.to_thread(CliRunner().invoke, main, [*given, "--form", form, "--out", str(out)])
        assert run.exit_code == 0, run.output
        assert out.read_bytes().startswith(start)
