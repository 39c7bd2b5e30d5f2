"""Command `deadletters`: look at what was given up, send it again or discard it, also beside a running hub."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NoReturn, TypeVar

import click
import msgspec

from cimcare.cli.acting import halted_by_ctrl_c, require_given
from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, NUMBER, Place, act, ask, place_options
from cimcare.cli.told import Shown, load_shown, print_deliveries, print_shown
from cimcare.errors import Finding
from cimcare.exchange.outbox import Delivery, DeliveryState
from cimcare.exchange.store import Reader, Store
from cimcare.hub.outgoing.dead_letters import (
    Chosen,
    Control,
    DeadFilter,
    DeadLetters,
    Group,
    Tally,
    choose,
    choose_numbers,
    each_dead,
    explain,
    is_code,
)
from cimcare.hub.outgoing.destinations import list_destinations, needs_partner
from cimcare.store.opening import shown_url

__all__ = ["deadletters"]

F = TypeVar("F", bound=Callable[..., object])

_MOST_GROUPS = 20
"""Groups of a preview that are printed."""


@click.group()
@place_options
@click.pass_context
def deadletters(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Dead letters: deliveries that were given up, each with its reason, and what went out and came back.

    So is what a broker brought and could not be taken in, as one to `broker NAME`; sent again, it is taken in again.

    Works on the database beside running hubs, which notice within `delivery.poll_seconds`.
    """
    context.obj = Place(database, config)


def _code(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and not is_code(value):
        raise click.BadParameter(f"{value!r} is no code; a code is such as 2.15 or NET-109")
    return value


_FILTERS = (
    click.option("--partner", default="", help="Only to this destination."),
    click.option("--noun", default="", help="Only this noun."),
    click.option("--verb", default="", help="Only this verb."),
    click.option("--code", default="", callback=_code, help="Only with this code in the reason, such as 2.15."),
    click.option("--since", type=INSTANT, help="Only put in from this instant on."),
    click.option("--before", type=INSTANT, help="Only put in up to this instant."),
    click.option("--after", type=NUMBER, help="Only behind this number; to go on after a halt."),
)


def _filters(command: F) -> F:
    """Options of which a `DeadFilter` is made."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@deadletters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most dead letters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_dead(place: Place, /, *, limit: int, as_json: bool, **filters: object) -> None:
    """List dead letters, oldest first: number, time, destination, verb and noun, message, attempts, reason."""

    async def look(reader: Reader) -> list[Delivery]:
        return await _first(each_dead(reader.outbox, _wanted(filters)), limit + 1)

    found = ask(place, look)
    print_deliveries(found[:limit], as_json=as_json)
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1].number}", err=True)


async def _first(found: AsyncIterator[Delivery], most: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async for delivery in found:
        taken.append(delivery)
        if len(taken) == most:
            break
    return taken


def _wanted(filters: Mapping[str, object]) -> DeadFilter:
    return msgspec.structs.replace(DeadFilter(), **filters)


@deadletters.command()
@click.argument("number", type=NUMBER)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with what was sent and received as text.")
@click.pass_obj
def show(place: Place, number: int, *, as_json: bool) -> None:
    """Show one dead letter: all facts with the reason, what was sent, what came back."""

    async def look(reader: Reader) -> Shown | tuple[Finding, ...]:
        delivery = await reader.outbox.find(number)
        if delivery is None or delivery.state is not DeliveryState.DEAD:
            return await explain(reader.outbox, [number])
        return await load_shown(reader, delivery)

    shown = ask(place, look)
    if isinstance(shown, tuple):
        _refuse(shown)
    print_shown(shown, as_json=as_json)


_NUMBERS = click.argument("numbers", metavar="[NUMBER]...", type=NUMBER, nargs=-1)
_REASON = click.option("--reason", help="Why, for the audit trail.  [required unless --dry-run]")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say how many and which they are.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@deadletters.command()
@_NUMBERS
@_filters
@_REASON
@actor_option
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Most that are sent again a second.  [default: no bound]"
)
@_DRY_RUN
@click.option("--watch", is_flag=True, help="Wait until all of them have ended.")
@_JSON
@click.pass_obj
def resend(
    place: Place,
    /,
    numbers: tuple[int, ...],
    *,
    reason: str | None,
    actor: str | None,
    rate: float | None,
    dry_run: bool,
    watch: bool,
    as_json: bool,
    **filters: object,
) -> None:
    """Send dead letters again: those with these NUMBERs, or all that match the options.

    Each waits again, due at once and with all its attempts, under its old MessageID, before younger ones of the same
    objects. It is done in small transactions, with a row in the audit trail each; Ctrl-C halts it between two of them.
    Which they are, and progress, are told on stderr.

    Exit code 0: done. 1: a NUMBER is no dead letter (the others are done), halted by Ctrl-C, or with --watch some are
    dead again or ended in another way than delivered.
    """
    job = _Job(place, "resend", numbers, filters, as_json=as_json)
    if dry_run:
        job.preview()
    given = require_given(reason)

    async def deed(store: Store) -> int:
        letters = DeadLetters(store, actor=actor or find_user(), reason=given, clock=_now)
        chosen = await job.choose(store.reader)
        await _warn(store.reader, {group.partner for group in chosen.groups})
        with halted_by_ctrl_c() as stop:
            control = _control(stop, "sent again", "meanwhile")
            tally = await letters.resend(numbers or chosen.numbers, control, rate=rate or 0.0)
            if watch and not tally.is_halted:
                tally = await letters.watch(control)
        options = {"reason": given, "actor": actor, "rate": rate, "watch": watch}
        return await job.end(store.reader, tally, "sent again", options, watched=watch)

    raise SystemExit(act(place, deed))


@deadletters.command()
@_NUMBERS
@_filters
@_REASON
@actor_option
@_DRY_RUN
@_JSON
@click.pass_obj
def discard(
    place: Place,
    /,
    numbers: tuple[int, ...],
    *,
    reason: str | None,
    actor: str | None,
    dry_run: bool,
    as_json: bool,
    **filters: object,
) -> None:
    """End dead letters for good: those with these NUMBERs, or all that match the options.

    The partner never gets them, and nobody can send them again; the message stays in the log as long as its class is
    kept. Done in small transactions, with a row in the audit trail each; Ctrl-C halts it between two of them.

    Exit code 0: done. 1: a NUMBER is no dead letter (the others are done), or halted by Ctrl-C.
    """
    job = _Job(place, "discard", numbers, filters, as_json=as_json)
    if dry_run:
        job.preview()
    given = require_given(reason)

    async def deed(store: Store) -> int:
        letters = DeadLetters(store, actor=actor or find_user(), reason=given, clock=_now)
        chosen = await job.choose(store.reader)
        with halted_by_ctrl_c() as stop:
            tally = await letters.discard(numbers or chosen.numbers, _control(stop, "discarded"))
        return await job.end(store.reader, tally, "discarded", {"reason": given, "actor": actor})

    raise SystemExit(act(place, deed))


# ------------------------------------------------------------------------------------------------------------ the job


class _Job:
    """Which dead letters a command is about, and how it ends."""

    def __init__(
        self, place: Place, name: str, numbers: tuple[int, ...], filters: Mapping[str, object], *, as_json: bool
    ) -> None:
        self._place = place
        self._name = name
        self._numbers = numbers
        self._filters = filters
        self._as_json = as_json
        narrowing = [key for key, value in filters.items() if value not in ("", None)]
        options = "--partner, --noun, --verb, --code, --since, --before"
        if numbers and narrowing:
            fail(f"either numbers or options that choose, not both: {', '.join(narrowing)}", code=2)
        if not numbers and not set(narrowing) - {"after"}:
            fail(f"which dead letters? Name their numbers, or give at least one of {options}", code=2)

    async def find(self, reader: Reader) -> Chosen:
        """The dead letters that are meant."""
        if self._numbers:
            return await choose_numbers(reader.outbox, self._numbers)
        return await choose(reader.outbox, _wanted(self._filters))

    def preview(self) -> NoReturn:
        """Say how many and which they are, and end the program."""

        async def look(reader: Reader) -> tuple[Chosen, tuple[Finding, ...]]:
            chosen = await self.find(reader)
            others = [number for number in self._numbers if number not in chosen.numbers]
            return chosen, await explain(reader.outbox, others)

        chosen, findings = ask(self._place, look)
        if self._as_json:
            click.echo(msgspec.json.encode(chosen).decode())
        else:
            click.echo("\n".join(_told_chosen(chosen)))
        if findings:
            _refuse(findings)
        raise SystemExit(0)

    async def choose(self, reader: Reader) -> Chosen:
        """The dead letters that are meant, told on stderr."""
        chosen = await self.find(reader)
        click.echo("\n".join(_told_chosen(chosen)), err=True)
        return chosen

    async def end(
        self, reader: Reader, tally: Tally, done: str, options: Mapping[str, object], *, watched: bool = False
    ) -> int:
        """Print what came of it; the exit code."""
        if self._as_json:
            click.echo(msgspec.json.encode(tally).decode())
        else:
            click.echo(f"{tally.done} of {tally.chosen} {done}{_told_ends(tally, ': ', with_open=watched)}")
        findings = await explain(reader.outbox, tally.skipped)
        for finding in findings:
            click.echo(finding.describe(), err=True)
        if tally.is_halted:
            self._tell_halt(tally, options)
        is_short = bool(self._numbers) and bool(findings)
        return 1 if is_short or tally.is_halted or (watched and tally.delivered < tally.done) else 0

    def _tell_halt(self, tally: Tally, options: Mapping[str, object]) -> None:
        """Where it stopped, and how to go on."""
        left = tally.chosen - tally.done - len(tally.skipped)
        if not left:
            click.echo("no longer watched; `cimcare deliveries list` shows what becomes of them", err=True)
            return
        last = -1 if tally.last is None else tally.last
        numbers = [number for number in sorted(set(self._numbers)) if number > last]
        filters = self._filters if tally.last is None or numbers else {**self._filters, "after": last}
        words = ["cimcare", "deadletters"]
        if self._place.database is not None:
            words += ["--database", shown_url(self._place.database)]  # without a password
        if self._place.config is not None:
            words += ["--config", str(self._place.config)]
        words += [self._name, *map(str, numbers), *chain.from_iterable(_words({**filters, **options}))]
        where = "before the first" if tally.last is None else f"behind {tally.last}"
        click.echo(f"halted {where}; {left} are left as they were. To go on:\n{shlex.join(words)}", err=True)


def _words(options: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for name, value in options.items():
        if isinstance(value, bool):
            if value:
                yield (f"--{name}",)
        elif isinstance(value, datetime):
            yield (f"--{name}", value.isoformat())
        elif value not in ("", None):
            yield (f"--{name}", str(value))


def _told_chosen(chosen: Chosen) -> Iterator[str]:
    yield f"{len(chosen.numbers)} dead letters"
    for group in chosen.groups[:_MOST_GROUPS]:
        yield f"  {_told_group(group)}"
    if len(chosen.groups) > _MOST_GROUPS:
        yield f"  and {len(chosen.groups) - _MOST_GROUPS} smaller groups"


def _told_group(group: Group) -> str:
    numbers = f"{group.first} to {group.last}" if group.count > 1 else str(group.first)
    reason = " ".join(group.reason.split())
    return f"{group.count} to {group.partner}, {group.verb} {group.noun} ({numbers}): {reason}"


def _told_ends(tally: Tally, before: str, *, with_open: bool = False) -> str:
    """What became of those that were sent again, as far as that was seen; empty if nothing was."""
    counts = {"delivered": tally.delivered, "dead again": tally.died, "discarded or removed": tally.other}
    if with_open:
        counts["not ended"] = tally.open
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{before}{told}" if told else ""


async def _warn(reader: Reader, names: Set[str]) -> None:
    """Say which of these destinations take nothing now."""
    for one in await list_destinations(reader):
        if one.name in names and one.halt is not None:
            click.echo(
                f"{one.name} is halted by {one.halt.actor} ({one.halt.reason}): what is sent again waits until"
                f" `cimcare deliveries release {one.name}`",
                err=True,
            )
        elif one.name in names and one.partner is None and needs_partner(one.name):
            click.echo(f"no partner {one.name} is in force: what is sent again waits until there is one", err=True)


def _control(stop: asyncio.Event, done: str, meanwhile: str = "") -> Control:
    """Progress on stderr, at most once a second, and a halt by the event."""
    told_at, is_through = 0.0, False

    def report(tally: Tally) -> None:
        nonlocal told_at, is_through
        was_through, is_through = is_through, tally.done + len(tally.skipped) == tally.chosen
        if time.monotonic() - told_at >= 1 or is_through > was_through:
            told_at = time.monotonic()
            ends = _told_ends(tally, f"; {meanwhile} ")
            click.echo(f"{tally.done} of {tally.chosen} {done}{ends}", err=True)

    async def pause(seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()

    return Control(is_halted=stop.is_set, pause=pause, report=report)


def _refuse(findings: Sequence[Finding]) -> NoReturn:
    for finding in findings:
        click.echo(finding.describe(), err=True)
    raise SystemExit(1)


def _now() -> datetime:
    return datetime.now(UTC)
