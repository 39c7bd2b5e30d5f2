"""Commands `outages`: what is out, what is said of it, and how reliable supply was.

What changes something is a message that is built here and sent to a hub, like any other; what only reads looks into the
database, also beside a hub that is running.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec

from cimcare.cli.grouping import decisions, rules, unresolved
from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, Place, act, ask, place_options
from cimcare.cli.sending import MESSAGES_HELP, message_address
from cimcare.client import FaultReceivedError, NoAnswerError, send_document
from cimcare.codec.convert import Form, convert_document
from cimcare.codec.envelope import render_message
from cimcare.exchange.ports import Selection, Stored
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.estimate_rules import alter_estimate_rules
from cimcare.hub.new_identifiers import fresh_id
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Header, RequestMessage, Result, User
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun
from cimcare.rules.lifecycle import IncidentState
from cimcare.systems.identity import labels_of
from cimcare.systems.oms.estimates import EstimateRules, StormMode, say_estimate
from cimcare.systems.oms.estimating import EstimateHistory, estimate_shown, load_history, load_rules
from cimcare.systems.oms.indices import Indices
from cimcare.systems.oms.kinds import INCIDENTS
from cimcare.systems.oms.reliability import Reliability, count_customers, load_reliability
from cimcare.systems.oms.restored import RESTORATIONS, EvidenceKind, RestorationRecord
from cimcare.systems.oms.sayings import (
    CREW_STATES,
    Saying,
    build_cancellation,
    build_dispatch,
    build_estimate,
    build_restoration,
    build_withdrawal,
)
from cimcare.systems.oms.standing import where_of

__all__ = ["outages"]

_COUNT = click.IntRange(0, 100_000)
_COUNT_FROM_1 = click.IntRange(1, 100_000)

_to = click.option(
    "--to",
    "url",
    required=True,
    callback=message_address,
    help=MESSAGES_HELP,
)
_by = click.option(
    "--by",
    "kind",
    type=click.Choice([kind.value for kind in EvidenceKind]),
    default=EvidenceKind.OPERATOR.value,
    show_default=True,
    help="How it is known.",
)
_who = click.option("--who", help="Who says it.  [default: the user of the machine, for an operator]")


@click.group()
@place_options
@click.pass_context
def outages(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Outages: what is out, since when, what is said of it, and how reliable supply was."""
    context.obj = Place(database, config)


# ------------------------------------------------------------------------------------------------------------ reading


@outages.command("list")
@click.option("--state", type=click.Choice([state.value for state in IncidentState]), help="Only in this state.")
@click.option("--since", type=INSTANT, help="Only outages that began from this instant on.")
@click.option("--after", default="", help="Go on behind the incident with this mRID.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most incidents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_outages(
    place: Place, *, state: str | None, since: datetime | None, after: str, limit: int, as_json: bool
) -> None:
    """List incidents, the one that began first before the others: mRID, begin, state, where, customers, estimate."""
    wanted = Selection(
        states=(state,) if state else (), since=since, after=MRID(after) if after else None, limit=limit + 1
    )

    async def question(reader: Reader) -> tuple[Stored[Incident], ...]:
        return await reader.records.select(INCIDENTS.collection, wanted)

    found = ask(place, question)
    for stored in found[:limit]:
        click.echo(msgspec.json.encode(stored.body).decode() if as_json else _line_of(stored))
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1].mrid}", err=True)


def _line_of(stored: Stored[Incident]) -> str:
    body = stored.body
    summary = body.outage.summary if body.outage is not None else None
    customers = summary.total_count if summary is not None else None
    estimate = estimate_shown(body)
    until = f" until {estimate.at.isoformat(timespec='minutes')}" if estimate.at is not None else ""
    return (
        f"{stored.mrid} {stored.created_at.isoformat(timespec='minutes')} {stored.state:9} {where_of(body)}, "
        f"{'?' if customers is None else customers} customers, {estimate.stage}{until}"
    )


@outages.command()
@click.argument("incident")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show(place: Place, incident: str, *, as_json: bool) -> None:
    """Show one incident: what is believed, why, and what callers hear about its restoration time."""
    stored = _find(place, incident)
    body = stored.body
    if as_json:
        click.echo(msgspec.json.encode(body).decode())
        return
    click.echo(_line_of(stored))
    for name, text in (("why", body.comment), ("cause", body.cause), ("estimate", say_estimate(estimate_shown(body)))):
        if text:
            click.echo(f"{name}: {text}")
    for work in body.works:
        labels = labels_of(work)
        click.echo(f"crew: {labels[0].name if labels else work.mrid or '?'} {work.status_kind or ''}".rstrip())


@outages.command()
@click.argument("incident")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def history(place: Place, incident: str, *, as_json: bool) -> None:
    """Show who said what about the restoration of an incident, when, and whether it was told."""
    mrid = _find(place, incident).mrid

    async def question(reader: Reader) -> tuple[EstimateHistory, Stored[RestorationRecord] | None]:
        return await load_history(reader.records, mrid), await reader.records.find(RESTORATIONS, mrid)

    found, word = ask(place, question)
    if as_json:
        restored = word.body if word is not None else None
        click.echo(msgspec.json.encode({"estimates": found, "restored": restored}).decode())
        return
    for one in found.records:
        said_at = one.estimate.said_at.isoformat(timespec="minutes") if one.estimate.said_at else "-"
        until = one.estimate.at.isoformat(timespec="minutes") if one.estimate.at else "-"
        told = "told" if one.is_told else "not told"
        click.echo(
            f"{said_at} {one.estimate.stage} {until} by {one.estimate.source} {one.estimate.who}, {told}: {one.reason}"
        )
    click.echo(f"customers heard another time {found.churn} times")
    if word is not None:
        below = f", except below {', '.join(word.body.excepted)}" if word.body.excepted else ""
        click.echo(f"{word.body.at.isoformat(timespec='minutes')} restored by {word.body.evidence}{below}")


@outages.command()
@click.option("--since", type=INSTANT, required=True, help="Begin of the period.")
@click.option("--until", type=INSTANT, help="End of the period.  [default: now]")
@click.option("--customers", type=click.IntRange(1), help="Customers served.  [default: those of the model]")
@click.option("--zone", default="UTC", show_default=True, help="Where the days of the utility begin, as a zone name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def indices(
    place: Place, *, since: datetime, until: datetime | None, customers: int | None, zone: str, as_json: bool
) -> None:
    """Reliability of a period as IEEE 1366 has it: SAIDI, SAIFI, CAIDI, MAIFI, with and without major event days."""
    now = datetime.now(UTC)
    try:
        there = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"--zone: {zone!r} is no zone; name one such as Europe/Zurich", code=2)

    async def question(reader: Reader) -> Reliability | None:
        served = customers or await count_customers(reader.records)
        if not served:
            return None
        return await load_reliability(
            reader.records, since=since, until=until or now, now=now, customers=served, zone=there
        )

    found = ask(place, question)
    if found is None:
        fail("neither network model nor premises: say with --customers how many are served", code=2)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(f"customers served: {found.unplanned.customers}")
    for name, one in (
        ("unplanned", found.unplanned),
        ("unplanned without major event days", found.without_major),
        ("planned", found.planned),
    ):
        click.echo(f"{name}: {_indices_line(one)}")
    limit = found.threshold.minutes
    click.echo(f"T_MED: {'not known' if limit is None else f'{limit:.3f} min'} (from {found.threshold.days} days)")
    click.echo(f"major event days: {', '.join(day.isoformat() for day in found.major_days) or 'none'}")
    changes = "no time was told" if found.changes is None else f"{found.changes:.3f}"
    click.echo(f"changes of restoration times a customer: {changes}")


def _indices_line(one: Indices) -> str:
    caidi = "-" if one.caidi is None else f"{one.caidi:.3f}"
    return f"SAIDI {one.saidi:.3f} min, SAIFI {one.saifi:.4f}, CAIDI {caidi} min, MAIFI {one.maifi:.4f}"


def _find(place: Place, incident: str) -> Stored[Incident]:
    async def question(reader: Reader) -> Stored[Incident] | None:
        return await reader.records.find(INCIDENTS.collection, MRID(incident))

    stored = ask(place, question)
    if stored is None:
        fail(f"no incident with the mRID {incident}; `cimcare outages list` shows those that are there", code=1)
    return stored


# ------------------------------------------------------------------------------------------------------------- saying


@outages.command()
@click.argument("incident")
@click.option("--at", type=INSTANT, help="When supply is expected back.")
@click.option("--withdraw", is_flag=True, help="Take the present estimate back.")
@_by
@_who
@click.option("--confidence", type=click.IntRange(0, 100), help="How sure that is, in per cent.")
@click.option("--valid-until", type=INSTANT, help="Until when it may be told.  [default: until that time itself]")
@_to
def etr(
    incident: str,
    *,
    at: datetime | None,
    withdraw: bool,
    kind: str,
    who: str | None,
    confidence: int | None,
    valid_until: datetime | None,
    url: str,
) -> None:
    """Say when supply is expected back. An operator estimates an area, a crew its outage."""
    if withdraw == (at is not None):
        fail("either --at or --withdraw", code=2)
    sort, source = EvidenceKind(kind), _source(kind, who)
    sure = None if confidence is None else confidence / 100
    if at is None:
        saying = build_withdrawal(MRID(incident), kind=sort, who=source, confidence=sure, valid_until=valid_until)
    else:
        saying = build_estimate(MRID(incident), at=at, kind=sort, who=source, confidence=sure, valid_until=valid_until)
    _send(saying, url)


@outages.command()
@click.argument("incident")
@click.option("--crew", required=True, help="Name of the crew.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in CREW_STATES]),
    default=WorkStatusKind.dispatched.value,
    show_default=True,
    help="How far it is.",
)
@_to
def dispatch(incident: str, *, crew: str, state: str, url: str) -> None:
    """Say that a crew is sent to an outage, on its way, or there."""
    _send(build_dispatch(MRID(incident), crew=crew, state=WorkStatusKind(state)), url)


@outages.command()
@click.argument("incident")
@click.option("--at", type=INSTANT, help="Since when supply is back.  [default: now]")
@click.option("--point", "points", multiple=True, help="Only this usage point; may be given several times.")
@_by
@_who
@_to
def restore(
    incident: str, *, at: datetime | None, points: tuple[str, ...], kind: str, who: str | None, url: str
) -> None:
    """Say that supply is back: for the whole outage, or for the points named.

    Operators and crews speak for all below the device but for outages of their own there; a meter or a call-back speaks
    for its own point.
    """
    instant = at or (datetime.now(UTC) if points else None)
    named = tuple(MRID(point) for point in points)
    source = _source(kind, who)
    _send(build_restoration(MRID(incident), at=instant, kind=EvidenceKind(kind), who=source, points=named), url)


@outages.command()
@click.argument("incident")
@_who
@_to
def cancel(incident: str, *, who: str | None, url: str) -> None:
    """Take back an outage that proved false. Refused as long as somebody in it says otherwise."""
    _send(build_cancellation(MRID(incident), who=_source(EvidenceKind.OPERATOR, who)), url)


@outages.command()
@click.argument("mode", required=False, type=click.Choice([mode.value for mode in StormMode]))
@actor_option
@click.pass_obj
def storm(place: Place, mode: str | None, *, actor: str | None) -> None:
    """Switch storm assessment on or off, or let it follow from the number of outages. Without MODE: show it.

    While it holds, estimates for an area come from operators alone.
    """

    async def question(reader: Reader) -> StormMode:
        return (await load_rules(reader.records)).storm

    async def switch(store: Store) -> None:
        changes = {"storm": StormMode(str(mode))}
        await alter_estimate_rules(store, changes, actor=actor or find_user(), now=datetime.now(UTC))

    if mode is not None:
        act(place, switch)
    click.echo(f"storm assessment: {ask(place, question)}")


@outages.command("etr-rules")
@click.option("--storm-incidents", type=_COUNT, help="With more open outages an hour storm assessment begins.")
@click.option("--least-change", type=_COUNT, help="Minutes by which a time has to move to be told.")
@click.option("--automatic/--by-hand", default=None, help="Whether past outages estimate new ones.")
@click.option("--automatic-after", type=_COUNT, help="Minutes from the opening of an outage until they do.")
@click.option("--history-least", type=_COUNT_FROM_1, help="Fewest past outages of a kind of device for that.")
@click.option("--still-out", type=_COUNT_FROM_1, help="Hours for which a call contradicts a restoration.")
@actor_option
@click.pass_obj
def etr_rules(
    place: Place,
    *,
    storm_incidents: int | None,
    least_change: int | None,
    automatic: bool | None,
    automatic_after: int | None,
    history_least: int | None,
    still_out: int | None,
    actor: str | None,
) -> None:
    """Show the rules of estimates and restoration, or change those that are given."""
    changes: dict[str, object] = {
        "storm_incidents": storm_incidents,
        "least_change": _span(least_change, "minutes"),
        "automatic": automatic,
        "automatic_after": _span(automatic_after, "minutes"),
        "history_least": history_least,
        "still_out": _span(still_out, "hours"),
    }
    changes = {name: value for name, value in changes.items() if value is not None}

    async def change(store: Store) -> None:
        await alter_estimate_rules(store, changes, actor=actor or find_user(), now=datetime.now(UTC))

    async def question(reader: Reader) -> EstimateRules:
        return await load_rules(reader.records)

    if changes:
        act(place, change)
    rules = ask(place, question)
    click.echo(
        f"storm assessment: {rules.storm}, by itself with more than {rules.storm_incidents} open outages an hour"
    )
    click.echo(f"least change that is told: {rules.least_change // timedelta(minutes=1)} min")
    by = "past outages too" if rules.automatic else "operators and crews alone"
    click.echo(
        f"estimates by: {by} (after {rules.automatic_after // timedelta(minutes=1)} min, "
        f"from {rules.history_least} outages of the kind of device)"
    )
    click.echo(f"still out within: {rules.still_out // timedelta(hours=1)} h")


def _span(count: int | None, unit: str) -> timedelta | None:
    return None if count is None else timedelta(**{unit: count})


def _source(kind: str, who: str | None) -> str:
    """Who says it: as given, failing that the user of the machine, who is an operator and nobody else."""
    if who and who.strip():
        return who
    if kind != EvidenceKind.OPERATOR:
        fail(f"--who is missing: which {kind} says it", code=2)
    return find_user()


def _send(saying: Saying, url: str) -> None:
    """Send a request about an incident and print the answer; exit code 1 if it was refused."""
    message = RequestMessage(
        header=Header(
            verb=saying.verb,
            noun=Noun.INCIDENTS,
            revision="1",
            timestamp=datetime.now(UTC),
            source="control-room",
            user=User(user_id=find_user()),
            message_id=MessageID(fresh_id()),
        ),
        payload=saying.payload,
    )
    body, content_type, action = render_message(message), "application/xml", None
    if url.split("?", maxsplit=1)[0].rstrip("/").endswith("/soap"):
        body = convert_document(body, Form.SOAP11)[0]
        content_type, action = "text/xml; charset=utf-8", "http://iec.ch/61968/Request"
    try:
        answer = asyncio.run(send_document(url, body, content_type, action=action))
    except (FaultReceivedError, NoAnswerError) as error:
        fail(error, code=1)
    if answer.message is None:
        return
    reply = answer.message.reply
    for one in reply.error:
        if one.code != "0.0":
            click.echo(f"{one.code} {one.details or one.reason or ''}", err=True)
    click.echo(f"{reply.result} {saying.verb} {saying.incident.mrid}")
    sys.stdout.flush()
    if reply.result is Result.FAILED:
        raise SystemExit(1)


for _command in (rules, decisions, unresolved):
    outages.add_command(_command)
