"""Commands of `outages` about grouping: by what rules, with what reasons, and which places the model does not know."""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import fail, find_user
from cimcare.cli.place import Place, act, ask
from cimcare.exchange.ports import Key, Selection, Stored
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.rules import put_grouping
from cimcare.hub.config.rules_text import written_grouping
from cimcare.hub.new_identifiers import fresh_id
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.identity import labels_of
from cimcare.systems.oms.decisions import DecisionRecord, decisions_of
from cimcare.systems.oms.judgement import DEFAULT_RULES, GroupingRules
from cimcare.systems.oms.kinds import EXTENTS, INCIDENTS, OPEN, ExtentRecord
from cimcare.systems.oms.rules import RulesRecord, load_rules, rules_versions

__all__ = ["decisions", "rules", "unresolved"]


@click.command()
@click.option(
    "--set",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Put the rules of this TOML file in force; what it leaves out is as the product brings it.",
)
@click.option("--who", help="Who says so.  [default: the user of the machine]")
@click.option(
    "--versions", "with_versions", is_flag=True, help="All versions that were ever in force, the oldest first."
)
@click.option("--json", "as_json", is_flag=True, help="JSON, a version a line.")
@click.pass_obj
def rules(place: Place, *, file: Path | None, who: str | None, with_versions: bool, as_json: bool) -> None:
    """Show the rules by which calls are grouped, as TOML, or put others in force.

    What is open is grouped anew by them within a minute, by the hub that runs on the database.
    """
    if file is not None:
        _set(place, _read(file), who or find_user())

    async def question(reader: Reader) -> tuple[RulesRecord, ...]:
        if with_versions:
            return await rules_versions(reader.records)
        record = await load_rules(reader.records)
        return (record,) if record is not None else ()

    found = ask(place, question)
    for record in found:
        if as_json:
            click.echo(msgspec.json.encode(record).decode())
            continue
        click.echo(f"# version {record.version}, by {record.by}, since {record.at.isoformat(timespec='seconds')}")
        click.echo(written_grouping(record.rules))
    if not found and not with_versions:
        bare = msgspec.json.encode({"version": 0, "rules": DEFAULT_RULES}).decode()
        click.echo(bare if as_json else f"# as the product brings them\n{written_grouping(DEFAULT_RULES)}")


def _read(file: Path) -> GroupingRules:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=GroupingRules)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}; `cimcare outages rules` shows what a file looks like", code=2)


def _set(place: Place, wanted: GroupingRules, by: str) -> None:
    async def deed(store: Store) -> RulesRecord | None:
        async with store.transaction() as transaction:
            now = datetime.now(UTC)
            return await put_grouping(transaction, wanted, actor=by, now=now, new_id=fresh_id)

    if act(place, deed) is None:
        click.echo("these rules are in force already", err=True)


@click.command()
@click.argument("incident")
@click.option("--after", default="", help="Go on behind the decision with this number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Most decisions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def decisions(place: Place, incident: str, *, after: str, limit: int, as_json: bool) -> None:
    """Show why an incident is as it is: every decision about it as a sentence, the oldest first."""
    mrid = MRID(incident)

    async def question(reader: Reader) -> tuple[Stored[Incident] | None, tuple[Stored[DecisionRecord], ...]]:
        known = await reader.records.find(INCIDENTS.collection, mrid)
        return known, await decisions_of(reader.records, mrid, MRID(after) if after else None, limit + 1)

    known, found = ask(place, question)
    if known is None:
        fail(f"no incident {incident} is known", code=1)
    for stored in found[:limit]:
        one = stored.body
        ticket = f" [ticket {one.ticket}]" if one.ticket is not None else ""
        line = f"{one.at.isoformat(timespec='seconds')} {one.why}{ticket}"
        click.echo(msgspec.json.encode(one).decode() if as_json else line)
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1].mrid}", err=True)


@click.command()
@click.option("--after", default="", help="Go on behind the incident with this mRID.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Most incidents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def unresolved(place: Place, *, after: str, limit: int, as_json: bool) -> None:
    """List open incidents at places that the network model does not know, the one that began first before the others.

    Somebody has to find out where they are: put the place into the model, or move their tickets.
    """
    wanted = Selection(
        keys=((Key("unresolved", "1"),),), states=(OPEN,), after=MRID(after) if after else None, limit=limit + 1
    )

    async def question(reader: Reader) -> list[tuple[Stored[ExtentRecord], Stored[Incident] | None]]:
        found = await reader.records.select(EXTENTS, wanted)
        return [(one, await reader.records.find(INCIDENTS.collection, one.mrid)) for one in found]

    found = ask(place, question)
    for extent, incident in found[:limit]:
        location = incident.body.location if incident is not None else None
        devices = [label.name for label in labels_of(location)] if location is not None else []
        if as_json:
            shown = {
                "incident": extent.mrid,
                "since": extent.created_at,
                "premises": extent.body.premises,
                "place": extent.body.service,
                "devices": devices,
            }
            click.echo(msgspec.json.encode(shown).decode())
            continue
        named = f", callers name {', '.join(devices)}" if devices else ""
        since = extent.created_at.isoformat(timespec="minutes")
        click.echo(f"{extent.mrid} {since} {extent.body.premises} premises at {extent.body.service or '?'}{named}")
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1][0].mrid}", err=True)
