"""Command `consents`: what customers let third parties see, given, withdrawn and listed beside a running hub."""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import INSTANT, Place, act, ask, place_options
from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, Store
from cimcare.model.customer_agreement import Customer
from cimcare.model.identity import MRID, Name
from cimcare.systems.cis.consents import ConsentRecord, find_consent, give, list_consents, withdraw
from cimcare.systems.cis.directory import customers_of
from cimcare.systems.cis.disclosure import MEMBERS, Scope
from cimcare.systems.premises import CUSTOMERS

__all__ = ["consents"]

_MOST = 1000


@click.group()
@place_options
@click.pass_context
def consents(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """What customers let third parties see of their agreements, and do with them.

    Works on the database beside running hubs; the next message already goes by it. A third party is named by the
    Header/Source under which it speaks, a customer by mRID or number.
    """
    context.obj = Place(database, config)


@consents.command("give")
@click.argument("customer")
@click.argument("third_party", metavar="THIRD-PARTY")
@click.argument(
    "scopes", metavar="SCOPE...", nargs=-1, required=True, type=click.Choice([scope.value for scope in Scope])
)
@click.option("--from", "from_at", type=INSTANT, help="From when on.  [default: now]")
@click.option("--until", "until_at", type=INSTANT, help="Until when.  [default: until it is withdrawn]")
@actor_option
@click.pass_obj
def give_one(
    place: Place,
    customer: str,
    third_party: str,
    scopes: tuple[str, ...],
    *,
    from_at: datetime | None,
    until_at: datetime | None,
    actor: str | None,
) -> None:
    """Give a consent in the place of what the customer said to this third party before.

    Scopes are agreement, premises, contact, billing, load, special-need and contract; `cimcare consents scopes` tells
    what each shows. Without agreement nothing is seen at all. Exit code 1 if the customer is not known.
    """
    now = datetime.now(UTC)
    start = (from_at or now).astimezone(UTC)
    end = until_at.astimezone(UTC) if until_at is not None else None
    if end is not None and end <= start:
        fail(f"--until {end.isoformat()} is not behind {start.isoformat()}", code=2)
    who = actor or find_user()

    async def do(store: Store) -> ConsentRecord | None:
        async with store.transaction() as transaction:
            mrid = await _find_customer(transaction.records, customer)
            if mrid is None:
                return None
            record = await give(
                transaction.records,
                customer=mrid,
                third_party=third_party,
                scopes=[Scope(scope) for scope in scopes],
                from_at=start,
                until_at=end,
                now=now,
                said_by=who,
            )
            await transaction.audit.append(_note(record, who, f"given: {' '.join(record.scopes)}{_span(record)}"))
            return record

    record = act(place, do)
    if record is None:
        fail(f"no customer {customer}; name one by mRID or number", code=1)
    click.echo(_line(record, now))


@consents.command("withdraw")
@click.argument("customer")
@click.argument("third_party", metavar="THIRD-PARTY")
@actor_option
@click.pass_obj
def withdraw_one(place: Place, customer: str, third_party: str, *, actor: str | None) -> None:
    """Withdraw a consent. What was sent before cannot be called back. Exit code 1 if there is none that holds."""
    now = datetime.now(UTC)
    who = actor or find_user()

    async def do(store: Store) -> ConsentRecord | None:
        async with store.transaction() as transaction:
            mrid = await _find_customer(transaction.records, customer)
            if mrid is None:
                return None
            record = await withdraw(transaction.records, customer=mrid, third_party=third_party, now=now, said_by=who)
            if record is not None:
                await transaction.audit.append(_note(record, who, "withdrawn"))
            return record

    record = act(place, do)
    if record is None:
        fail(f"no consent of {customer} to {third_party} that could be withdrawn", code=1)
    click.echo(_line(record, now))


@consents.command("list")
@click.option("--customer", help="Only of this customer.")
@click.option("--third-party", default="", help="Only to this third party.")
@click.option("--after", help="Go on behind this customer; with --third-party.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="Most consents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_all(
    place: Place, *, customer: str | None, third_party: str, after: str | None, limit: int, as_json: bool
) -> None:
    """List consents in the order in which they were given first, those that hold no longer included."""
    if after is not None and not third_party:
        fail("--after goes with --third-party", code=2)
    now = datetime.now(UTC)

    async def look(reader: Reader) -> tuple[ConsentRecord, ...] | None:
        mrid = await _find_customer(reader.records, customer) if customer else None
        if customer and mrid is None:
            return None
        if after is not None and await find_consent(reader.records, MRID(after), third_party) is None:
            return None
        behind = MRID(after) if after is not None else None
        return await list_consents(
            reader.records, third_party=third_party, customer=mrid, after=behind, limit=limit + 1
        )

    found = ask(place, look)
    if found is None:
        fail(f"no customer {customer or after}", code=1)
    for record in found[:limit]:
        click.echo(msgspec.json.encode(record).decode() if as_json else _line(record, now))
    if len(found) > limit:
        click.echo(f"more: --third-party PARTY --after {found[limit - 1].customer}", err=True)


@consents.command()
def scopes() -> None:
    """Show which members of an agreement each scope shows; what is in none is seen by nobody outside."""
    for scope, members in MEMBERS.items():
        click.echo(f"{scope}: {', '.join(members) or 'nothing; may make, change and end agreements'}")


async def _find_customer(records: Records, said: str) -> MRID | None:
    """MRID of a customer who is given by mRID or number."""
    if await records.find(CUSTOMERS, MRID(said)) is not None:
        return MRID(said)
    found = await customers_of(records, Customer(names=(Name(name=said),)))
    return found[0] if found else None


def _note(record: ConsentRecord, actor: str, details: str) -> Note:
    subject = f"customer {record.customer}, third party {record.third_party}"
    return Note(at=record.said_at, action=Action.CONSENT, actor=actor, subject=subject, details=details)


def _span(record: ConsentRecord) -> str:
    until = f" until {record.until_at.isoformat()}" if record.until_at is not None else ""
    return f" from {record.from_at.isoformat()}{until}"


def _line(record: ConsentRecord, now: datetime) -> str:
    state = "holds" if record.holds_at(now) else "withdrawn" if record.withdrawn_at is not None else "holds not"
    return f"{record.customer}  {record.third_party}  {state}  {' '.join(record.scopes)}{_span(record)}"
