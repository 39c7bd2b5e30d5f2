"""Command `record`: what a hub has exchanged as a scenario, with everybody in it replaced."""

import secrets
import sys
from datetime import datetime
from pathlib import Path

import click

from cimcare.cli.input import fail
from cimcare.cli.place import INSTANT, Place, ask, place_options
from cimcare.errors import InputError
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Transport
from cimcare.exchange.store import Reader
from cimcare.model.envelope import FaultMessage, ResponseMessage
from cimcare.simulator.forms import Spoken, read_any
from cimcare.simulator.recording import Recorded, build_scenario
from cimcare.simulator.replacing import Replacer
from cimcare.transport.answers import read_body

__all__ = ["record"]

_PAGE = 500
_SAID = frozenset({"RequestMessage", "EventMessage", "ResponseMessage", "Message"})


@click.command()
@place_options
@click.option("--since", type=INSTANT, help="Only from this instant on.")
@click.option("--until", type=INSTANT, help="Only up to this instant.")
@click.option("--partner", default="", help="Only what came from this Header/Source.")
@click.option("--correlation", default="", help="Only messages with this CorrelationID.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Most messages.")
@click.option("--events", is_flag=True, help="Also what was told others: it has to arrive when the scenario is played.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Secret, 16 bytes or more, by which all is replaced; the same one replaces alike.  [default: drawn anew]",
)
@click.option("--keep", multiple=True, help="Keep this member, such as TroubleTicket.troubleCode. Repeatable.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File.  [default: standard output]")
def record(
    *,
    database: str | None,
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    partner: str,
    correlation: str,
    limit: int,
    events: bool,
    key_file: Path | None,
    keep: tuple[str, ...],
    output: Path | None,
) -> None:
    """Write what came to a hub, and how it was answered, as a scenario that `simulate` plays.

    Names, addresses, telephone numbers, accounts, identifiers, free texts: all is replaced but enumerations, times,
    verbs, codes and the like, the same by the same throughout. What the model does not know is left out.
    """
    selection = LogSelection(limit=_PAGE, partner=partner, correlation_id=correlation, since=since, until=until)
    try:
        replacer = Replacer(key_file.read_bytes() if key_file else secrets.token_bytes(32), kept=keep)
    except ValueError as error:
        fail(error.args[0], code=2)
    except OSError as error:
        fail(f"{key_file}: cannot be read ({error.strerror})", code=2)
    recorded, left_out = ask(Place(database, config), lambda reader: _read(reader, selection, limit, told=events))
    if not recorded:
        fail("no message fits; `cimcare messages list` shows those that are there", code=1)
    text = build_scenario(recorded, replacer, about=f"Recorded: {len(recorded)} messages, everybody in it replaced.")
    try:
        if output is None:
            sys.stdout.write(text)
        else:
            output.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{output}: cannot be written ({error.strerror})", code=2)
    click.echo(
        f"{len(recorded)} messages, {replacer.count} words, numbers and identifiers replaced; "
        f"{left_out} left out that could not be read",
        err=True,
    )


async def _read(reader: Reader, selection: LogSelection, limit: int, *, told: bool) -> tuple[list[Recorded], int]:
    """What came, and events that were told where they are wanted; how many messages could not be read."""
    recorded: list[Recorded] = []
    left_out = 0
    after: int | None = None
    while len(recorded) < limit:
        page = await reader.log.select(
            LogSelection(
                after=after,
                limit=_PAGE,
                partner=selection.partner,
                correlation_id=selection.correlation_id,
                since=selection.since,
                until=selection.until,
            )
        )
        for entry in page:
            if len(recorded) == limit:
                break
            is_told = entry.direction is Direction.OUT
            left_out += not is_told and not entry.archetype  # what no header could be read of
            if entry.archetype not in _SAID or (is_told and not (told and _is_told(entry))):
                continue
            answer = None if is_told else await reader.log.find_answer(entry.sequence)
            if entry.archetype == "ResponseMessage" and answer is None:
                continue  # it came as an answer itself
            message = await _message(reader, entry)
            if message is None:
                left_out += 1
                continue
            said = None if answer is None else await _answer(reader, answer)
            recorded.append(Recorded(at=entry.received_at, message=message, answer=said, is_told=is_told))
        if len(page) < _PAGE:
            break
        after = page[-1].sequence
    return recorded, left_out


def _is_told(entry: LogEntry) -> bool:
    return entry.transport is Transport.INTERNAL and entry.archetype == "EventMessage"


async def _message(reader: Reader, entry: LogEntry) -> Spoken | None:
    raw = await reader.log.find_raw(entry.sequence)
    if raw is None or entry.truncated:
        return None
    try:
        return read_any(raw, entry.content_type)[0]
    except InputError:
        return None


async def _answer(reader: Reader, entry: LogEntry) -> ResponseMessage | FaultMessage | None:
    raw = await reader.log.find_raw(entry.sequence)
    try:
        message = read_body(raw or b"", entry.content_type).message
    except InputError:
        return None
    return message if isinstance(message, ResponseMessage | FaultMessage) else None
