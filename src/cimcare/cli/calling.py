"""Commands `call`, `callbacks`, `notices` and `customers`: what people do who talk with customers.

What changes something goes to a running hub (`--to`); what is read comes from its database.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user, read_file
from cimcare.cli.place import INSTANT, Place, act, ask, place_options
from cimcare.cli.sending import require_http
from cimcare.client import NoAnswerError
from cimcare.client.api import ApiAnswer, ask_api
from cimcare.codec.directory_csv import parse_directory_csv
from cimcare.exchange.ports import Key, Selection
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.customer_views import (
    CallBackView,
    CustomerDetail,
    CustomerView,
    NoticeView,
    view_call_back,
    view_customer,
    view_notice,
)
from cimcare.hub.acts.directory import LoadedDirectory, load_directory
from cimcare.hub.new_identifiers import fresh_id
from cimcare.hub.rest.customer_pages import find_customer
from cimcare.model.enumerations import NotificationTriggerKind, TroubleReportingKind
from cimcare.systems.cis.callbacks import CALL_BACKS, CallBackAnswer
from cimcare.systems.cis.contacts import PREFERENCE_KINDS
from cimcare.systems.cis.notices import NOTICES, QUEUE
from cimcare.systems.premises import CUSTOMERS

__all__ = ["call", "callbacks", "customers", "notices"]

T = TypeVar("T")

_LONGEST_TABLE = 512 * 1024 * 1024

_TRIGGERS = click.Choice([one.value for one in NotificationTriggerKind])
_LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most items.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_TO = click.option("--to", "url", required=True, callback=require_http, help="Address of a running hub.")


@click.command()
@click.option("--premises", default="", help="Number or mRID of the premises.")
@click.option("--account", default="", help="Number of the account.")
@click.option("--customer", default="", help="Number of the customer.")
@click.option("--phone", "telephone", default="", help="Telephone number.")
@click.option("--caller", default="", help="Name or address as typed.")
@click.option("--trouble", default="", help="What is wrong, such as noPower.")
@click.option("--hazard", "hazards", multiple=True, help="A danger, such as wireDown; may be given several times.")
@click.option("--comment", default="", help="What the caller said.")
@click.option("--neighbours", is_flag=True, default=None, help="The neighbours are out too.")
@click.option(
    "--by",
    "reporting_kind",
    type=click.Choice([one.value for one in TroubleReportingKind]),
    default="call",
    show_default=True,
    help="How it was reported.",
)
@click.option("--notify", "trigger", type=_TRIGGERS, help="Of what the caller wants to be told.")
@click.option("--contact", help="How: sms:NUMBER, email:ADDRESS, phone:NUMBER.")
@click.option("--not-before", "earliest", type=INSTANT, help="Not before this instant.")
@click.option("--not-after", "latest", type=INSTANT, help="Not after this instant.")
@click.option("--agent", help="Who takes the call.  [default: the user of the machine]")
@_JSON
@_TO
def call(
    *,
    url: str,
    as_json: bool,
    agent: str | None,
    trigger: str | None,
    contact: str | None,
    earliest: datetime | None,
    latest: datetime | None,
    neighbours: bool | None,
    **said: object,
) -> None:
    """Take a call: a new ticket, or what is new for the one that is open at the premises.

    Prints the ticket, its incident and what the caller is to be told. Exit code 1: the call was not taken; where
    several premises fit, they are listed.
    """
    body: dict[str, object] = {_camel(name): value for name, value in said.items() if value not in ("", ())}
    if neighbours:
        body["multiplePremises"] = True
    if bool(trigger) != bool(contact):
        fail("--notify and --contact belong together", code=2)
    if trigger and contact:
        kind, _, value = contact.partition(":")
        if kind not in PREFERENCE_KINDS or not value:
            fail(f"--contact {contact!r}: say it as sms:NUMBER, email:ADDRESS or phone:NUMBER", code=2)
        wish = {"trigger": trigger, "contactType": kind, "contactValue": value}
        wish |= {name: at.isoformat() for name, at in (("earliest", earliest), ("latest", latest)) if at is not None}
        body["notify"] = wish
    answer = _asked(url, "calls", body=body, actor=agent or find_user())
    taken = answer.body or {}
    if answer.status >= 400:
        several = taken.get("callers")
        for one in several if isinstance(several, list) else ():
            facts = (one["place"], f"{one['address']}, {one['town']}", one["name"], one["accountNumber"])
            click.echo("  ".join(facts), err=True)
        fail(answer.detail, code=1)
    if as_json:
        click.echo(msgspec.json.encode(taken).decode())
        return
    click.echo(f"ticket: {taken['ticket']}{'' if taken['isNew'] else ' (open already)'}")
    click.echo(f"incident: {taken['incident'] or '-'}")
    click.echo(f"say: {taken['sentence']}")


# ------------------------------------------------------------------------------------------------------- call-backs


@click.group()
@place_options
@click.pass_context
def callbacks(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Call-back lists: whom people have to call, since no notice could tell them for certain."""
    context.obj = Place(database, config)


@callbacks.command("list")
@click.option("--group", default="", help="Only this group, such as life-support or a feeder; those not ended.")
@click.option("--incident", default="", help="Only of this incident.")
@click.option("--state", default="", help="Only waiting, claimed, answered or dropped.")
@_LIMIT
@_JSON
@click.pass_obj
def list_call_backs(place: Place, *, group: str, incident: str, state: str, limit: int, as_json: bool) -> None:
    """List call-backs: state, group, whom to call, where, why."""
    keys = tuple((Key(sort, value),) for sort, value in (("group", group), ("incident", incident)) if value)
    wanted = Selection(keys=keys, states=(state,) if state else (), limit=limit)

    async def look(reader: Reader) -> list[CallBackView]:
        return [view_call_back(one) for one in await reader.records.select(CALL_BACKS, wanted)]

    _print(
        ask(place, look),
        lambda one: f"{one.id}  {one.state:8} {one.group}  {one.name} {one.contact}  {one.address}  {one.why}",
        as_json=as_json,
    )


@callbacks.command("next")
@click.option("--group", default="", help="Of this group; of any if not said.")
@click.option("--agent", help="Who calls.  [default: the user of the machine]")
@_JSON
@_TO
def next_call_back(*, url: str, group: str, agent: str | None, as_json: bool) -> None:
    """Claim the next call, for 15 minutes. Exit code 1: there is none."""
    answer = _asked(url, "callbacks", "next", body={"agent": agent or find_user(), "group": group})
    if answer.body is None:
        fail("nobody is to be called", code=1)
    _print_call_back(answer, as_json=as_json)


@callbacks.command("claim")
@click.argument("id")
@click.option("--agent", help="Who calls.  [default: the user of the machine]")
@_JSON
@_TO
def claim_call_back(id: str, *, url: str, agent: str | None, as_json: bool) -> None:
    """Claim the call ID, for 15 minutes."""
    answer = _asked(url, "callbacks", id, "claim", body={"agent": agent or find_user()})
    _print_call_back(answer, as_json=as_json)


@callbacks.command("answer")
@click.argument("id")
@click.argument("answer", type=click.Choice([one.value for one in CallBackAnswer]))
@click.option("--remark", default="", help="What else was said.")
@click.option("--agent", help="Who has called.  [default: the user of the machine]")
@_JSON
@_TO
def answer_call_back(id: str, answer: str, *, url: str, remark: str, agent: str | None, as_json: bool) -> None:
    """Say what became of the call ID: `restored` closes the ticket of the place, `stillOut` is believed at once."""
    body = {"agent": agent or find_user(), "answer": answer, "remark": remark}
    _print_call_back(_asked(url, "callbacks", id, "answer", body=body), as_json=as_json)


def _print_call_back(answer: ApiAnswer, *, as_json: bool) -> None:
    if answer.status >= 400 or answer.body is None:
        fail(answer.detail, code=1)
    if as_json:
        click.echo(msgspec.json.encode(answer.body).decode())
        return
    for name in ("id", "state", "group", "name", "contact", "address", "text", "remark"):
        if answer.body.get(name):
            click.echo(f"{name}: {answer.body[name]}")


# ---------------------------------------------------------------------------------------------------------- notices


@click.group()
@place_options
@click.pass_context
def notices(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Notices to customers: what was, is and will be told."""
    context.obj = Place(database, config)


@notices.command("list")
@click.option("--incident", default="", help="Only of this incident.")
@click.option("--customer", default="", help="Only for the customer with this mRID.")
@click.option("--state", default="", help="Only planned, sending, sent, refused, unknown, withdrawn or listed.")
@_LIMIT
@_JSON
@click.pass_obj
def list_notices(place: Place, *, incident: str, customer: str, state: str, limit: int, as_json: bool) -> None:
    """List notices, oldest first: state, trigger, contact, text or reason."""
    keys = tuple((Key(sort, value),) for sort, value in (("incident", incident), ("customer", customer)) if value)
    wanted = Selection(keys=keys, states=(state,) if state else (), limit=limit)

    async def look(reader: Reader) -> list[NoticeView]:
        found = await reader.records.select(NOTICES, wanted)
        queued = {one.mrid: await reader.records.find(QUEUE, one.mrid) for one in found}
        dues = {mrid: one.created_at for mrid, one in queued.items() if one is not None}
        return [view_notice(one, dues.get(one.mrid)) for one in found]

    _print(
        ask(place, look),
        lambda one: f"{one.id}  {one.state:9} {one.trigger}  {one.kind}:{one.contact}  {one.reason or one.text}",
        as_json=as_json,
    )


# -------------------------------------------------------------------------------------------------------- customers


@click.group()
@place_options
@click.pass_context
def customers(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Customers of the built-in customer system: special needs, premises, and how they want to be told."""
    context.obj = Place(database, config)


@customers.command("list")
@click.option("--special-need", is_flag=True, help="Only those who depend on supply.")
@_LIMIT
@_JSON
@click.pass_obj
def list_customers(place: Place, *, special_need: bool, limit: int, as_json: bool) -> None:
    """List customers: number, name, telephone, special need."""
    wanted = Selection(keys=((Key("special-need", "yes"),),) if special_need else (), limit=limit)

    async def look(reader: Reader) -> list[CustomerView]:
        return [view_customer(one.body) for one in await reader.records.select(CUSTOMERS, wanted)]

    _print(
        ask(place, look),
        lambda one: f"{one.number}  {one.name}  {one.telephone}{'  ' + one.special_need if one.special_need else ''}",
        as_json=as_json,
    )


@customers.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only look whether the table can be read.")
@actor_option
@click.pass_obj
def import_customers(place: Place, file: Path, *, dry_run: bool, actor: str | None) -> None:
    """Bring premises, customers and accounts up to the table in FILE (CSV), also beside a running hub.

    What the table does not name stays as it is. Exit code 1: something in it is wrong, and nothing was written.
    """
    rows, findings = parse_directory_csv(str(file), read_file(str(file), most=_LONGEST_TABLE))
    for finding in findings:
        click.echo(finding.describe(), err=True)
    if findings:
        raise SystemExit(1)
    if dry_run:
        click.echo(f"premises: {len(rows)}; nothing was written")
        return

    async def load(store: Store) -> LoadedDirectory:
        return await load_directory(
            store,
            rows,
            file=file.name,
            actor=actor or find_user(),
            clock=lambda: datetime.now(UTC),
            new_id=fresh_id,
        )

    done = act(place, load)
    click.echo(f"premises: {done.added} added, {done.changed} changed, {done.same} as they were")


@customers.command("show")
@click.argument("customer")
@_JSON
@click.pass_obj
def show_customer(place: Place, customer: str, *, as_json: bool) -> None:
    """Show a customer, by number or mRID: accounts, premises with what is open there, preferences."""
    detail = ask(place, lambda reader: find_customer(reader, customer))
    if detail is None:
        fail(f"no customer {customer!r}, or several", code=1)
    if as_json:
        click.echo(msgspec.json.encode(detail).decode())
        return
    _print_customer(detail)


def _print_customer(detail: CustomerDetail) -> None:
    click.echo(f"{detail.number}  {detail.name} ({detail.kind})  {detail.telephone}  {detail.email}")
    if detail.special_need:
        click.echo(f"special need: {detail.special_need}")
    for account in detail.accounts:
        click.echo(f"account: {account}")
    for home in detail.premises:
        ticket = f", open ticket {home.open_ticket}" if home.open_ticket else ""
        click.echo(f"premises: {home.place}  {home.address}, {home.town}{ticket}")
    zone = detail.preferences.time_zone
    for contact in detail.preferences.contacts:
        hours = f" from {contact.earliest} to {contact.latest}{' ' + zone if zone else ''}" if contact.earliest else ""
        click.echo(f"tell by: {contact.kind} {contact.value}{hours}: {', '.join(contact.triggers) or 'nothing'}")


@customers.command("prefer")
@click.argument("customer")
@click.option(
    "--contact", "contacts", multiple=True, help="sms:NUMBER, email:ADDRESS or phone:NUMBER; the best one first."
)
@click.option("--trigger", "triggers", type=_TRIGGERS, multiple=True, help="Of what; of everything if not said.")
@click.option("--earliest", default="", help="Not before this time of day, such as 08:00.")
@click.option("--latest", default="", help="Not after this time of day.")
@click.option("--time-zone", default="", help="The customer's time zone; that of the utility if not said.")
@_TO
def prefer(
    customer: str,
    *,
    url: str,
    contacts: tuple[str, ...],
    triggers: tuple[str, ...],
    earliest: str,
    latest: str,
    time_zone: str,
) -> None:
    """Say how a customer, named by mRID, wants to be told from now on; without any contact, not at all."""
    wanted = []
    for contact in contacts:
        kind, _, value = contact.partition(":")
        if kind not in PREFERENCE_KINDS or not value:
            fail(f"--contact {contact!r}: say it as sms:NUMBER, email:ADDRESS or phone:NUMBER", code=2)
        every = triggers or tuple(one.value for one in NotificationTriggerKind)
        hours = {"earliest": earliest, "latest": latest}
        wanted.append({"kind": kind, "value": value, "triggers": every, **hours})
    body = {"contacts": wanted, "timeZone": time_zone}
    answer = _asked(url, "customers", customer, "preferences", body=body, method="PUT")
    if answer.status >= 400:
        fail(answer.detail, code=1)
    click.echo(msgspec.json.encode(answer.body).decode())


# ---------------------------------------------------------------------------------------------------------- at work


def _asked(url: str, *path: str, body: object, method: str = "POST", actor: str = "") -> ApiAnswer:
    try:
        return asyncio.run(ask_api(url, *path, body=body, method=method, actor=actor))
    except NoAnswerError as error:
        fail(error, code=1)


def _print(items: Iterable[T], line: Callable[[T], str], *, as_json: bool) -> None:
    for item in items:
        click.echo(msgspec.json.encode(item).decode() if as_json else " ".join(line(item).splitlines()))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
