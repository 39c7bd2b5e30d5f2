"""Command `deliveries`: what goes to partners, and halting or abandoning a destination, also beside a running hub."""

import asyncio
import shlex
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.acting import halted_by_ctrl_c, require_given
from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, NUMBER, Place, act, ask, place_options
from cimcare.cli.told import Shown, load_shown, print_deliveries, print_shown
from cimcare.errors import finding_of
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.store import Reader, Store
from cimcare.hub.new_identifiers import fresh_id
from cimcare.hub.outgoing.abandoning import Abandonable, abandon, count_abandonable
from cimcare.hub.outgoing.destinations import Destination, is_destination, list_destinations, needs_partner
from cimcare.hub.outgoing.halting import Halt, find_halt, halt, release
from cimcare.hub.rest.operator_views import view_destination

__all__ = ["deliveries"]

_PAUSE_SECONDS = 0.01
"""Between two transactions of many: others write meanwhile, and Ctrl-C is heard."""


@click.group()
@place_options
@click.pass_context
def deliveries(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """What goes to partners: look at it, halt it, let it go on, abandon it.

    Works on the database beside running hubs, which notice within `delivery.poll_seconds`. Dead letters are sent again
    by `cimcare deadletters`.
    """
    context.obj = Place(database, config)


@deliveries.command("list")
@click.option("--partner", default="", help="Only to this destination.")
@click.option("--noun", default="", help="Only this noun.")
@click.option("--verb", default="", help="Only this verb.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([one.value for one in DeliveryState]),
    help="Only in this state; may be repeated.",
)
@click.option("--message", type=NUMBER, help="Only of the message with this sequence.")
@click.option("--cause", type=NUMBER, help="Only those to which the message with this sequence led.")
@click.option("--since", type=INSTANT, help="Only put in from this instant on.")
@click.option("--before", type=INSTANT, help="Only put in up to this instant.")
@click.option("--after", type=NUMBER, help="Go on behind this number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most deliveries.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_deliveries(
    place: Place,
    *,
    partner: str,
    noun: str,
    verb: str,
    states: tuple[str, ...],
    message: int | None,
    cause: int | None,
    since: datetime | None,
    before: datetime | None,
    after: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, oldest first: number, time, state, destination, verb and noun, message, attempts, reason."""
    selection = DeliverySelection(
        after=after,
        limit=limit + 1,  # one more shows whether there are any
        partner=partner,
        noun=noun,
        verb=verb,
        states=tuple(DeliveryState(state) for state in states),
        message=message,
        cause=cause,
        since=since,
        before=before,
    )
    found = ask(place, lambda reader: reader.outbox.select(selection))
    print_deliveries(found[:limit], as_json=as_json)
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1].number}", err=True)


@deliveries.command()
@click.argument("number", type=NUMBER)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with what was sent and received as text.")
@click.pass_obj
def show(place: Place, number: int, *, as_json: bool) -> None:
    """Show one delivery: all facts, what was sent, what came back.

    What was sent is kept of deliveries that were given up and of requests that were answered; of others the message is
    shown as the log has it.
    """

    async def look(reader: Reader) -> Shown | None:
        delivery = await reader.outbox.find(number)
        return None if delivery is None else await load_shown(reader, delivery)

    shown = ask(place, look)
    if shown is None:
        fail(f"no delivery {number}; `cimcare deliveries list` shows those that are there", code=1)
    print_shown(shown, as_json=as_json)


@deliveries.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def partners(place: Place, *, as_json: bool) -> None:
    """List destinations: how much waits, awaits a reply and is dead, since when, and whether somebody halted it."""
    for one in ask(place, list_destinations):
        click.echo(msgspec.json.encode(view_destination(one)).decode() if as_json else _line_of(one))


def _line_of(one: Destination) -> str:
    backlog = one.backlog
    oldest = f", oldest {backlog.oldest_at.isoformat(timespec='milliseconds')}" if backlog.oldest_at else ""
    missing = "" if one.partner is not None or not needs_partner(one.name) else ", no partner of this name is in force"
    halted = f", {_told(one.halt)}" if one.halt is not None else ""
    return (
        f"{one.name}: waiting {backlog.waiting}, awaiting {backlog.awaiting}, dead {backlog.dead}{oldest}{missing}"
        f"{halted}"
    )


def _told(found: Halt) -> str:
    return f"halted at {found.at.isoformat(timespec='seconds')} by {found.actor}: {found.reason}"


_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_REASON = click.option("--reason", required=True, help="Why, for the audit trail.")


@deliveries.command("halt")
@click.argument("partner")
@_REASON
@actor_option
@_JSON
@click.pass_obj
def halt_partner(place: Place, partner: str, *, reason: str, actor: str | None, as_json: bool) -> None:
    """Halt delivery to a destination; what is for it waits, in order, and nothing of it is given up.

    What is being sent at this moment ends as it would. Requests that are passed through while their sender waits are
    not halted: they never wait in the outbox.
    """
    why = require_given(reason)

    async def deed(store: Store) -> str | Halt:
        refused, _ = await _find_destination(store.reader, partner)
        if refused:
            return refused
        async with store.transaction() as transaction:
            before = await find_halt(transaction.records, partner)
            if before is not None:
                return f"{partner} is {_told(before)}"
            now, who = datetime.now(UTC), actor or find_user()
            await halt(transaction, partner, actor=who, reason=why, now=now)
        return Halt(at=now, actor=who, reason=why)

    halted = act(place, deed)
    if isinstance(halted, str):
        fail(halted, code=1)
    if as_json:
        _print_halt(partner, halted)
        return
    click.echo(f"{partner} is halted; `cimcare deliveries release {shlex.quote(partner)}` lets it go on", err=True)


@deliveries.command("release")
@click.argument("partner")
@_REASON
@actor_option
@_JSON
@click.pass_obj
def release_partner(place: Place, partner: str, *, reason: str, actor: str | None, as_json: bool) -> None:
    """Let delivery to a halted destination go on."""
    why = require_given(reason)

    async def deed(store: Store) -> bool:
        async with store.transaction() as transaction:
            return await release(transaction, partner, actor=actor or find_user(), reason=why, now=datetime.now(UTC))

    if not act(place, deed):
        fail(f"{partner} is not halted; `cimcare deliveries partners` shows who is", code=1)
    if as_json:
        _print_halt(partner, None)
        return
    click.echo(f"{partner} goes on", err=True)


def _print_halt(partner: str, found: Halt | None) -> None:
    click.echo(msgspec.json.encode({"partner": partner, "halted": found}).decode())


@deliveries.command("abandon")
@click.argument("partner")
@click.option(
    "--reason", help="Why, for the audit trail and for who waits for a later reply.  [required unless --dry-run]"
)
@click.option("--noun", default="", help="Only this noun.")
@click.option("--before", type=INSTANT, help="Only put in up to this instant.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@actor_option
@_JSON
@click.pass_obj
def abandon_partner(
    place: Place,
    partner: str,
    *,
    reason: str | None,
    noun: str,
    before: datetime | None,
    dry_run: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Make dead letters of what waits for a destination that is gone for good, or awaits its reply.

    From there `cimcare deadletters` discards them or sends them again. Who waits for a later reply to one of them is
    told that it failed. What is being sent at this moment is left as it is. Done in small transactions, with a row in
    the audit trail each; Ctrl-C halts it between two of them.

    Exit code 0: done. 1: there is no such destination, or halted by Ctrl-C.
    """
    wanted = DeliverySelection(partner=partner, noun=noun, before=before)

    async def look(reader: Reader) -> tuple[str, Abandonable]:
        refused, _ = await _find_destination(reader, partner)
        return refused, await count_abandonable(reader.outbox, wanted, _now)

    if dry_run:
        refused, found = ask(place, look)
        if refused:
            fail(refused, code=1)
        click.echo(msgspec.json.encode(found).decode() if as_json else f"{partner}: {_told_abandonable(found)}")
        return
    why = require_given(reason)

    async def deed(store: Store) -> int | str:
        refused, destination = await _find_destination(store.reader, partner)
        if refused:
            return refused
        if destination is not None and destination.partner is not None:
            click.echo(f"{partner} is in force: what is put in for it from now on is sent to it", err=True)
        done = 0
        batches = abandon(store, wanted, actor=actor or find_user(), reason=why, clock=_now, new_id=fresh_id)
        with halted_by_ctrl_c() as stop:
            async with aclosing(batches):
                async for batch in batches:
                    done += len(batch)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_PAUSE_SECONDS):
                            await stop.wait()
                    if stop.is_set():
                        break
        left = await count_abandonable(store.reader.outbox, wanted, _now)
        if as_json:
            click.echo(msgspec.json.encode({"abandoned": done, "left": left}).decode())
        else:
            click.echo(f"{done} deliveries to {partner} are dead letters")
        return _tell_left(left, is_halted=stop.is_set())

    ended = act(place, deed)
    if isinstance(ended, str):
        fail(ended, code=1)
    raise SystemExit(ended)


def _tell_left(left: Abandonable, *, is_halted: bool) -> int:
    """Say on stderr what was left; the exit code."""
    if left.leased:
        click.echo(f"{left.leased} are being sent, and were left; ask again when they have ended", err=True)
    if is_halted and (left.waiting or left.awaiting):
        click.echo(f"halted; {left.waiting + left.awaiting} are left as they were. To go on, say it again", err=True)
        return 1
    return 0


def _told_abandonable(found: Abandonable) -> str:
    left = f"; {found.leased} are being sent, and would be left" if found.leased else ""
    return f"{found.waiting} that wait and {found.awaiting} that await their reply would be dead letters{left}"


async def _find_destination(reader: Reader, name: str) -> tuple[str, Destination | None]:
    """Why there is no destination of this name, or nothing and what is known of it."""
    known = await list_destinations(reader)
    if not is_destination(name, known):
        accepted = f"one of {', '.join(one.name for one in known)}" if known else "a partner; none is in force"
        return finding_of("SET-110", "PARTNER", f"no destination {name!r}", accepted).describe(), None
    return "", next((one for one in known if one.name == name), None)


def _now() -> datetime:
    return datetime.now(UTC)
