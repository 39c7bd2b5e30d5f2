"""Command `messages`: list and show what a hub has kept, and remove what is too old, also while it runs."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, NUMBER, Place, act, ask, place_options
from cimcare.exchange.log import Counted, Direction, LogEntry, Outcome
from cimcare.exchange.searching import words_of
from cimcare.exchange.store import Reader, Store
from cimcare.hub.operation.retention import Ages, Retention, Swept, count_expired
from cimcare.hub.rest.queries import MessageFilter, Queries

__all__ = ["messages"]


@click.group()
@place_options
@click.pass_context
def messages(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """The messages that a hub has received and sent."""
    context.obj = Place(database, config)


@messages.command("list")
@click.option("--verb", default="", help="Only this verb.")
@click.option("--noun", default="", help="Only this noun.")
@click.option("--source", default="", help="Only messages from this source, or to it.")
@click.option("--message-id", default="", help="Only the message with this MessageID, repeats included.")
@click.option("--correlation", default="", help="Only messages with this CorrelationID.")
@click.option(
    "--outcome",
    "outcomes",
    type=click.Choice([one.value for one in Outcome if one.value]),
    multiple=True,
    help="Only this outcome; give it again for alternatives.",
)
@click.option("--direction", type=click.Choice([one.value for one in Direction]), help="Only in, or only out.")
@click.option(
    "--counted",
    type=click.Choice([one.value for one in Counted]),
    help="Only what came in and the ledger counts as this.",
)
@click.option("--premises", default="", help="Only about this service location or usage point: mRID or name.")
@click.option("--account", default="", help="Only about this customer, account or agreement: mRID or name.")
@click.option("--object", "object_", default="", help="Only with this object, or with its ID: mRID or name.")
@click.option("--text", default="", help="Only with these words.")
@click.option("--since", type=INSTANT, help="Only from this instant on.")
@click.option("--until", type=INSTANT, help="Only up to this instant.")
@click.option("--after", type=NUMBER, help="Go on behind this sequence.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most messages.")
@click.option("--newest", is_flag=True, help="Newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_messages(
    place: Place,
    *,
    verb: str,
    noun: str,
    source: str,
    message_id: str,
    correlation: str,
    outcomes: tuple[str, ...],
    direction: str | None,
    counted: str | None,
    premises: str,
    account: str,
    object_: str,
    text: str,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
    limit: int,
    newest: bool,
    as_json: bool,
) -> None:
    """List messages: sequence, time, direction, partner, verb and noun, outcome, MessageID."""
    if text and not words_of(text):
        raise click.BadParameter("no word of three characters or more", param_hint="--text")
    wanted = MessageFilter(
        after=after,
        limit=limit,
        newest_first=newest,
        verb=verb,
        noun=noun,
        partner=source,
        message_id=message_id,
        correlation_id=correlation,
        outcomes=tuple(map(Outcome, outcomes)),
        direction=Direction(direction) if direction else None,
        counted=Counted(counted) if counted else None,
        since=since,
        until=until,
        premises=premises,
        account=account,
        object=object_,
        text=text,
    )
    page = ask(place, lambda reader: Queries(reader).list_messages(wanted))
    for entry in page.items:
        click.echo(msgspec.json.encode(_data_of(entry)).decode() if as_json else _line_of(entry))
    if page.looked_to is not None:
        click.echo(
            f"looked as far as {page.looked_to.isoformat(timespec='seconds')}; more: --after {page.after}", err=True
        )
    elif page.after is not None:
        click.echo(f"more: --after {page.after}", err=True)


def _line_of(entry: LogEntry) -> str:
    outcome = entry.outcome.value or "-"
    codes = f" {','.join(entry.codes)}" if entry.codes else ""
    cause = f" (to {entry.answer_to})" if entry.answer_to else ""
    return (
        f"{entry.sequence} {entry.received_at.isoformat(timespec='milliseconds')} {entry.direction:3} "
        f"{entry.transport} {entry.partner or '-'} {entry.verb or '-'} {entry.noun or '-'} {outcome}{codes} "
        f"{entry.message_id or '-'}{cause}"
    )


def _data_of(entry: LogEntry) -> dict[str, object]:
    data = msgspec.to_builtins(msgspec.structs.replace(entry, digest=b""), str_keys=True)
    return {**data, "digest": entry.digest.hex()}


@messages.command()
@click.argument("sequence", type=NUMBER)
@click.option("--raw", is_flag=True, help="Only the bytes, as received or sent.")
@click.pass_obj
def show(place: Place, sequence: int, *, raw: bool) -> None:
    """Show one message: what is known of it, then its bytes."""

    async def question(reader: Reader) -> tuple[LogEntry | None, bytes | None]:
        return await reader.log.find(sequence), await reader.log.find_raw(sequence)

    entry, content = ask(place, question)
    if entry is None or content is None:
        fail(f"no message with sequence {sequence}; `cimcare messages list` shows those that are there", code=1)
    if not raw:
        for name, value in _data_of(entry).items():
            if value not in ("", None, [], False):
                click.echo(f"{name}: {value}")
        click.echo()
        sys.stdout.flush()
    sys.stdout.buffer.write(content)
    if not raw and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")


@messages.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@actor_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def purge(place: Place, *, dry_run: bool, actor: str | None, as_json: bool) -> None:
    """Remove what is older than the settings `retention.*` say, now and not only when the hub gets to it.

    Nothing goes that anybody needs: what waits, is under way, awaits a reply, is dead, has no outcome yet or may still
    be repeated. The audit trail names what went.
    """
    ages = Ages.of(place.settings())

    async def count(reader: Reader) -> Swept:
        return await count_expired(reader, ages, datetime.now(UTC))

    async def sweep(store: Store) -> Swept:
        return await Retention(store, ages, lambda: datetime.now(UTC)).sweep(actor=actor or find_user())

    swept = ask(place, count) if dry_run else act(place, sweep)
    if as_json:
        click.echo(msgspec.json.encode(swept).decode())
        return
    for kind, number in swept.messages.items():
        click.echo(f"messages, {kind}: {number}")
    click.echo(f"deliveries: {swept.deliveries}")
