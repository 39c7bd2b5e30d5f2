"""Command `audit`: read the audit trail, and verify it against the log."""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import fail
from cimcare.cli.place import NUMBER, Place, act, ask, place_options
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.removal import runs_of
from cimcare.hub.operation.auditing import Verification
from cimcare.hub.operation.auditing import verify as verify_trail
from cimcare.hub.operation.readiness import Verified
from cimcare.hub.operation.readiness_facts import note_verified
from cimcare.hub.operation.trail import find_head, list_rows
from cimcare.hub.rest.operator_views import view_row

__all__ = ["audit"]

_EVERYTHING = 2**63 - 1
_HASH_CHARACTERS = 64


@click.group()
@place_options
@click.pass_context
def audit(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """The audit trail: which messages were kept, and what operators did, as a chain of hashes.

    All of it reads beside a running hub, and writes nothing but what `verify --note` keeps.
    """
    context.obj = Place(database, config)


@audit.command("list")
@click.option("--after", type=NUMBER, default=0, help="Go on behind this number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most rows.")
@click.option("--action", type=click.Choice([one.value for one in Action]), help="Only rows that tell of this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_trail(place: Place, *, after: int, limit: int, action: str | None, as_json: bool) -> None:
    """List rows, oldest first: number, time, action, actor, subject, details, messages sealed."""
    wanted = Action(action) if action is not None else None
    page = ask(
        place,
        lambda reader: list_rows(reader.audit, after=after, limit=limit, action=wanted, most=_EVERYTHING),
    )
    for row in page.items:
        click.echo(msgspec.json.encode(view_row(row)).decode() if as_json else _line_of(row))
    if page.after is not None:
        click.echo(f"more: --after {page.after}", err=True)


def _line_of(row: AuditRow) -> str:
    told = [
        f"{row.number} {row.at.isoformat(timespec='milliseconds')} {row.action}",
        row.actor and f"by {row.actor}",
        row.subject,
        row.details and f"({' '.join(row.details.split())})",
        *(_told_run(run) for run in runs_of(sorted(one.sequence for one in row.messages))),
    ]
    return " ".join(part for part in told if part)


def _told_run(run: range) -> str:
    return f"{run.start}-{run.stop - 1}" if len(run) > 1 else str(run.start)


def _hash(_: click.Context, __: click.Parameter, value: str | None) -> bytes:
    if value is None:
        return b""
    try:
        raw = bytes.fromhex(value)
    except ValueError as error:
        raise click.BadParameter(f"not {_HASH_CHARACTERS} hexadecimal digits") from error
    if len(value) != _HASH_CHARACTERS or len(raw) * 2 != _HASH_CHARACTERS:
        raise click.BadParameter(f"not {_HASH_CHARACTERS} hexadecimal digits")
    return raw


@audit.command()
@click.option("--head", callback=_hash, help="Hash of a row that was kept elsewhere; it has to be in the chain.")
@click.option(
    "--since",
    type=NUMBER,
    default=0,
    help="Messages before this sequence need no row: a release without a trail has kept them.",
)
@click.option("--note", is_flag=True, help="Keep in the database that this was done, for `cimcare doctor`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def verify(place: Place, *, head: bytes, since: int, note: bool, as_json: bool) -> None:
    """Verify the whole chain, and each message of the log against it.

    Finds rows that were altered, removed or moved, and messages that were altered, removed or put in. Whoever may write
    to the database can make the whole chain anew: keep the head that this command prints where he cannot write, and
    give it as --head the next time.

    Exit code 0: nothing was found. 1: findings, a line each.
    """
    found = ask(place, lambda reader: verify_trail(reader, head=head, since=since))
    if note:
        verified = Verified(at=datetime.now(UTC), is_whole=found.is_whole, rows=found.rows)
        act(place, lambda store: note_verified(store, verified))
    if as_json:
        click.echo(msgspec.json.encode({"whole": found.is_whole, **msgspec.to_builtins(found)}).decode())
    else:
        _print(found)
    raise SystemExit(0 if found.is_whole else 1)


def _print(found: Verification) -> None:
    for flaw in found.flaws:
        click.echo(flaw.describe())
    if found.more:
        click.echo(f"and {found.more} more")
    click.echo(f"rows: {found.rows}")
    click.echo(f"messages as sealed: {found.messages}")
    click.echo(f"messages removed by retention: {found.removed}")
    click.echo(f"head: {found.head_number} {found.head or '-'}")


@audit.command("head")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def head_of_trail(place: Place, *, as_json: bool) -> None:
    """Print number and hash of the newest row, to be kept elsewhere. Nothing is verified."""
    row = ask(place, lambda reader: find_head(reader.audit))
    if row is None:
        fail("the audit trail has no row yet", code=1)
    if as_json:
        click.echo(msgspec.json.encode({"number": row.number, "hash": row.hash.hex()}).decode())
    else:
        click.echo(f"{row.number} {row.hash.hex()}")
