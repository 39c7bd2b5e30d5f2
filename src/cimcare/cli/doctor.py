"""Command `doctor`: the readiness sheet, of a running hub or beside it."""

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cimcare.cli.input import find_user
from cimcare.cli.place import Place, run
from cimcare.cli.sending import require_http
from cimcare.client import FaultReceivedError, NoAnswerError, send_document
from cimcare.client.api import ask_api
from cimcare.codec.envelope import render_message
from cimcare.errors import CimcareError
from cimcare.exchange.drills import build_drill, new_drill_id
from cimcare.exchange.partners import Drill, Partner
from cimcare.hub.app import TYPED_SERVICES
from cimcare.hub.new_identifiers import fresh_id
from cimcare.hub.operation.beside import examine_beside
from cimcare.hub.operation.readiness import Check, CheckName, Sheet, State
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun

__all__ = ["doctor"]

_COLOURS = {State.GO: "green", State.NO_GO: "bold red", State.UNKNOWN: "yellow"}
_WIDTH_OF_FILES = 160
_SOURCE = "cimcare-doctor"


@click.command()
@click.option(
    "--to", "url", callback=lambda *given: given[2] and require_http(*given), help="Address of a running hub."
)
@click.option("--database", help="Database, where no hub is asked.  [default: the setting `database`]")
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="File of settings, where no hub is asked."
)
@click.option("--no-drill", is_flag=True, help="Send nobody anything; judge by what is known.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds to wait for a hub.",
)
@click.option("--json", "as_json", is_flag=True, help="The sheet as one JSON document.")
def doctor(
    *, url: str | None, database: str | None, config: Path | None, no_drill: bool, timeout: float, as_json: bool
) -> None:
    """Is all ready for a storm? Drills every partner and prints a sheet: go or no-go, and what to do.

    With --to a running hub does it, which also knows its own load; a drill is sent to its door, too. Without it this
    program does it by settings and database, as a hub would that ran here.

    A drill is marked as such and counted nowhere. What each partner is sent is its setting `drill`.

    Exit code 0: go. 1: no-go, or not known. 2: wrong use.
    """
    if url is not None and (database is not None or config is not None):
        raise click.UsageError("--to asks a hub, which has its own settings; leave out --database and --config")
    if url is not None:
        sheet = asyncio.run(_ask(url, drills=not no_drill, seconds=timeout))
    else:
        place = Place(database, config)
        settings = place.settings()
        if database is not None:
            settings = msgspec.structs.replace(settings, database=database)
        sheet = run(examine_beside(settings, services=TYPED_SERVICES, drills=not no_drill, actor=find_user()))
    if as_json:
        click.echo(msgspec.json.encode(sheet).decode())
    else:
        _print(sheet)
    raise SystemExit(0 if sheet.state is State.GO else 1)


# ------------------------------------------------------------------------------------------------------ a running hub


async def _ask(url: str, *, drills: bool, seconds: float) -> Sheet:
    """The sheet of a hub, with what is seen of its door from here."""
    door = await _knock(url, seconds)
    checks: tuple[Check, ...] = (door,)
    try:
        answer = await ask_api(
            url, "readiness", method="POST" if drills else "GET", actor=find_user(), timeout_seconds=seconds
        )
        if answer.status != 200:
            raise NoAnswerError(f"HTTP status {answer.status}: {answer.detail}")
        sheet = msgspec.convert(answer.body, Sheet)
    except (CimcareError, msgspec.ValidationError) as error:
        remedy = "start it, or name where it runs; it has to be of this release"
        checks = (door, _no_go(CheckName.HUB, f"no sheet: {error}", "a hub that answers", remedy))
        return Sheet(at=datetime.now(UTC), state=State.NO_GO, checks=checks)
    state = sheet.state if door.state is State.GO else State.NO_GO
    found = (door, *sheet.checks) if door.state is State.NO_GO else (*sheet.checks, door)
    return msgspec.structs.replace(sheet, state=state, checks=found)


async def _knock(url: str, seconds: float) -> Check:
    """A drill ticket at the door of a hub: taken in, held against schemas and rules, answered from behind a commit."""
    self = Partner(name="hub", url=url, source=_SOURCE, owns=(Noun.TROUBLE_TICKETS,), drill=Drill.TICKET)
    message = build_drill(self, new_drill_id(fresh_id()), source=_SOURCE, context="", now=datetime.now(UTC))
    accepted, remedy = "OK to a drill ticket", "see the log of the hub"
    began = time.perf_counter()
    try:
        answer = await send_document(
            f"{url.rstrip('/')}/messages", render_message(message), "application/xml", timeout_seconds=seconds
        )
    except NoAnswerError as error:
        return _no_go(CheckName.DOOR, str(error), accepted, "start it, or name where it runs")
    except FaultReceivedError as error:
        return _no_go(CheckName.DOOR, str(error), accepted, remedy)
    reply = answer.message.reply if answer.message is not None else None
    if reply is None or reply.result is not Result.OK:
        told = (
            "; ".join(f"{one.code} {one.details or one.reason or ''}".strip() for one in reply.error) if reply else ""
        )
        return _no_go(CheckName.DOOR, told or "no reply", accepted, remedy)
    found = f"a drill ticket was answered in {time.perf_counter() - began:.3f} s"
    return Check(name=CheckName.DOOR, state=State.GO, found=found, accepted=accepted)


def _no_go(name: CheckName, found: str, accepted: str, remedy: str) -> Check:
    return Check(name=name, state=State.NO_GO, found=found, accepted=accepted, remedy=remedy)


# ----------------------------------------------------------------------------------------------------------- printing


def _print(sheet: Sheet) -> None:
    """The sheet for people: the answer first, then what stands in its way, then all else."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(Text(sheet.state.value.upper(), style=_COLOURS[sheet.state]), f"at {sheet.at:%Y-%m-%d %H:%M:%S} UTC")
    if sheet.slowest is not None:
        console.print(f"slowest link: {sheet.slowest.partner}, {sheet.slowest.seconds:.3f} s there and back")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "check", "partner", "found"):
        table.add_column(title, no_wrap=title != "found", overflow="fold")
    for check in sheet.checks:
        found = Text(check.found)
        if check.state is not State.GO:
            found.append(f"\nwould pass: {check.accepted}", style="dim")
            found.append(f"\nto do: {check.remedy}" if check.remedy else "", style="dim")
        state = Text(check.state.value, style=_COLOURS[check.state])
        table.add_row(state, Text(check.name.value), Text(check.partner), found)
    with console.capture() as lines:
        console.print(table)
    for line in lines.get().splitlines():
        click.echo(line.rstrip(), color=console.is_terminal)
    for unseen in sheet.unseen:
        console.print(Text(f"not seen from here: {unseen}", style="dim"))
