"""Command `meter-events`: a table of what meters say of their supply, to a hub."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256

import click
import msgspec

from cimcare.cli.input import fail, find_user, read_file
from cimcare.cli.sending import require_http
from cimcare.client import NoAnswerError
from cimcare.client.api import ask_api
from cimcare.hub.acts.meter_table import CSV, JSON, MOST_EVENTS, TableError, read_events, render_events
from cimcare.model.network import MeterEvent

__all__ = ["meter_events"]


class _Sum(msgspec.Struct):
    """What has come of the tables so far."""

    events: int = 0
    tables: int = 0
    findings: list[dict[str, object]] = msgspec.field(default_factory=list)


@click.command("meter-events")
@click.argument("file", default="-")
@click.option("--to", "url", required=True, callback=require_http, help="Address of a running hub.")
@click.option(
    "--as",
    "form",
    type=click.Choice(["csv", "json"]),
    help="What the file is.  [default: JSON if it begins with a bracket, else CSV]",
)
@click.option("--sender", help="Who sends it, such as the head end of the meters.  [default: the user of the machine]")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def meter_events(file: str, *, url: str, form: str | None, sender: str | None, timeout: float, as_json: bool) -> None:
    """Send a table of meter events. FILE may be - for standard input.

    CSV has a first line with the columns point, state and at, in any order and among others; JSON is an array of
    objects with these members. point is the mRID or a name of a usage point, state is off or on, at is an instant with
    its offset, such as 2030-06-01T12:00:00Z. The file is checked as a whole before anything is sent, and sent in tables
    of 1,000 events. Sent again, what was taken before has no second effect.

    Exit code 0: all of it was taken, though meters may be unknown; they are named on standard error. 1: something in
    the file is wrong, a table was refused, or there was no answer.
    """
    raw = read_file(file)
    media_type = JSON if form == "json" or (form is None and raw.lstrip()[:1] in (b"[", b"{")) else CSV
    try:
        events = read_events(raw, media_type, most=None)
    except TableError as error:
        for finding in error.findings:
            click.echo(finding.describe(file), err=True)
        raise SystemExit(1) from error
    done = asyncio.run(_send(url, events, sender or find_user(), timeout))
    for one in done.findings:
        click.echo(f"{one['code']} {one['path']}: {one['found']}; accepted: {one['accepted']}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    else:
        click.echo(f"events taken: {done.events}, in tables: {done.tables}, remarks: {len(done.findings)}")


def _tables_of(events: tuple[MeterEvent, ...]) -> Iterator[tuple[int, bytes]]:
    """The events in tables that a hub takes, each with the number of events before it."""
    for start in range(0, len(events), MOST_EVENTS):
        yield start, render_events(events[start : start + MOST_EVENTS])


async def _send(url: str, events: tuple[MeterEvent, ...], sender: str, timeout_seconds: float) -> _Sum:
    done = _Sum()
    for start, table in _tables_of(events):
        try:
            answer = await ask_api(
                url,
                "meter-events",
                body=msgspec.Raw(table),
                actor=sender,
                key=sha256(table).hexdigest(),
                timeout_seconds=timeout_seconds,
            )
        except NoAnswerError as error:
            fail(f"{error}; {done.events} events were taken before; the same again has no second effect", code=1)
        if answer.status != 200 or answer.body is None:
            fail(f"{answer.detail or answer.status}; {done.events} events were taken before", code=1)
        found = answer.body.get("findings")
        done.findings += [_moved(finding, start) for finding in (found if isinstance(found, list) else [])]
        done.events += len(events[start : start + MOST_EVENTS])
        done.tables += 1
    return done


def _moved(finding: dict[str, object], start: int) -> dict[str, object]:
    """A finding of a table as one of the whole file."""
    path = str(finding["path"])
    head, _, rest = path.partition("[")
    number, bracket, more = rest.partition("]")
    if start and bracket and number.isdigit():
        return finding | {"path": f"{head}[{int(number) + start}]{more}"}
    return finding
