"""Command `deliveries`: what goes to partners, and halting a destination, also beside a running hub."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, NUMBER, Place, act, ask, place_options
from cimcare.cli.told import Shown, load_shown, print_deliveries, print_shown
from cimcare.errors import finding_of
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.store import Reader, Store
from cimcare.hub.destinations import Destination, is_destination, is_direct, list_destinations
from cimcare.hub.halting import Halt, find_halt, halt, release
from cimcare.hub.operator_views import view_destination
from cimcare.hub.reasons import ReasonError, require_reason

__all__ = ["deliveries"]


@click.group()
@place_options
@click.pass_context
def deliveries(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """What goes to partners: look at it, halt a destination, let it go on.

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
    missing = "" if one.partner is not None or is_direct(one.name) else ", no partner of this name is in force"
    halted = f", {_told(one.halt)}" if one.halt is not None else ""
    return (
        f"{one.name}: waiting {backlog.waiting}, awaiting {backlog.awaiting}, dead {backlog.dead}{oldest}{missing}"
        f"{halted}"
    )


def _told(found: Halt) -> str:
    return f"halted at {found.at.isoformat(timespec='seconds')} by {found.actor}: {found.reason}"


_REASON = click.option("--reason", required=True, help="Why, for the audit trail.")


@deliveries.command("halt")
@click.argument("partner")
@_REASON
@actor_option
@click.pass_obj
def halt_partner(place: Place, partner: str, *, reason: str, actor: str | None) -> None:
    """Halt delivery to a destination; what is for it waits, in order, and nothing of it is given up.

    What is being sent at this moment ends as it would. Requests that are passed through while their sender waits are
    not halted: they never wait in the outbox.
    """
    why = _require(reason)

    async def deed(store: Store) -> str:
        known = await list_destinations(store.reader)
        if not is_destination(partner, known):
            accepted = f"one of {', '.join(one.name for one in known)}" if known else "a partner; none is in force"
            return finding_of("SET-110", "PARTNER", f"no destination {partner!r}", accepted).describe()
        async with store.transaction() as transaction:
            before = await find_halt(transaction.records, partner)
            await halt(transaction, partner, actor=actor or find_user(), reason=why, now=datetime.now(UTC))
        return "" if before is None else f"{partner} is {_told(before)}"

    refused = act(place, deed)
    if refused:
        fail(refused, code=1)
    click.echo(f"{partner} is halted; `cimcare deliveries release {shlex.quote(partner)}` lets it go on", err=True)


@deliveries.command("release")
@click.argument("partner")
@_REASON
@actor_option
@click.pass_obj
def release_partner(place: Place, partner: str, *, reason: str, actor: str | None) -> None:
    """Let delivery to a halted destination go on."""
    why = _require(reason)

    async def deed(store: Store) -> bool:
        async with store.transaction() as transaction:
            return await release(transaction, partner, actor=actor or find_user(), reason=why, now=datetime.now(UTC))

    if not act(place, deed):
        fail(f"{partner} is not halted; `cimcare deliveries partners` shows who is", code=1)
    click.echo(f"{partner} goes on", err=True)


def _require(text: str) -> str:
    """The reason. Ends the program with code 2 if it says nothing."""
    try:
        return require_reason(text)
    except ReasonError as error:
        fail(error, code=2)
