"""Command `sales`: shifts and receipts of points of sale, beside a running hub."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from cimcare.cli.input import fail, read_file
from cimcare.cli.place import Place, act, ask, place_options
from cimcare.exchange.ports import Served, ServingContext
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.acting import Acting
from cimcare.hub.config.configuration import in_force
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.new_identifiers import fresh_id
from cimcare.model.envelope import Result
from cimcare.model.nouns import Role
from cimcare.systems.cis.point_of_sale import (
    CloseShift,
    OpenShift,
    ReceiptRecord,
    Reversal,
    Sale,
    ShiftRecord,
    Totals,
    close_shift,
    count_again,
    find_shift,
    list_receipts,
    open_shift,
    reverse,
    sell,
)

__all__ = ["sales"]

AskedT = TypeVar("AskedT", bound=msgspec.Struct)

_Work = Callable[[ServingContext], Awaitable[Served]]


class _Amount(click.ParamType[Decimal]):
    """An amount of money."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The amount, or wrong use."""
        try:
            return Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount", param, ctx)


@click.group()
@place_options
@click.pass_context
def sales(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Points of sale: shifts, receipts, reversals, totals. Not of the standard.

    Works on the database beside running hubs, which deliver what is to be told.
    """
    context.obj = Place(database, config)


@sales.command("open")
@click.argument("shift")
@click.option("--at", "point_of_sale", required=True, help="Name of the point of sale.")
@click.option("--cashier", required=True, help="Who works there.")
@click.option("--currency", required=True, help="Three letters of ISO 4217.")
@click.option("--float", "cash_float", type=_Amount(), default="0", show_default=True, help="Cash in the drawer.")
@click.pass_obj
def open_one(place: Place, shift: str, *, point_of_sale: str, cashier: str, currency: str, cash_float: Decimal) -> None:
    """Begin a shift."""
    given = {
        "number": shift,
        "pointOfSale": point_of_sale,
        "cashier": cashier,
        "currency": currency,
        "cashFloat": cash_float,
    }
    asked = _converted(given, OpenShift)
    click.echo(_do(place, lambda context: open_shift(asked, context)))


@sales.command("sell")
@click.argument("file", default="-")
@click.pass_obj
def sell_one(place: Place, file: str) -> None:
    """Take a receipt in JSON, from FILE or standard input, as POST /api/v1/sales/receipts takes it."""
    try:
        asked = msgspec.json.decode(read_file(file), type=Sale)
    except msgspec.MsgspecError as error:
        fail(f"{file}: {error}", code=2)
    click.echo(_do(place, lambda context: sell(asked, context)))


@sales.command("reverse")
@click.argument("receipt")
@click.option("--as", "number", required=True, help="Number of the receipt that undoes it.")
@click.option("--shift", required=True, help="Shift in which that is done, at the same point of sale.")
@click.option("--reason", required=True, help="Why.")
@click.pass_obj
def reverse_one(place: Place, receipt: str, *, number: str, shift: str, reason: str) -> None:
    """Undo a receipt by another one."""
    asked = _converted({"number": number, "shift": shift, "reverses": receipt, "reason": reason}, Reversal)
    click.echo(_do(place, lambda context: reverse(asked, context)))


@sales.command("close")
@click.argument("shift")
@click.option("--counted", type=_Amount(), required=True, help="Cash in the drawer now, as it was counted.")
@click.pass_obj
def close_one(place: Place, shift: str, *, counted: Decimal) -> None:
    """End a shift and say what is missing."""
    asked = _converted({"number": shift, "countedCash": counted}, CloseShift)
    _do(place, lambda context: close_shift(asked, context))
    closed = ask(place, lambda reader: find_shift(reader.records, shift))
    assert closed is not None
    click.echo(_shift_line(closed))


@sales.command("list")
@click.option("--account", default="", help="Only of this account, by number or mRID.")
@click.option("--shift", default="", help="Only of this shift.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most receipts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_some(place: Place, *, account: str, shift: str, limit: int, as_json: bool) -> None:
    """List receipts, oldest first."""
    found = ask(place, lambda reader: list_receipts(reader.records, account=account, shift=shift, limit=limit + 1))
    if found is None:
        fail(f"no account {account}", code=1)
    for receipt in found[:limit]:
        click.echo(msgspec.json.encode(receipt).decode() if as_json else _receipt_line(receipt))
    if len(found) > limit:
        click.echo("there are more: raise --limit, or ask for one shift", err=True)


@sales.command("check")
@click.argument("shift")
@click.pass_obj
def check_one(place: Place, shift: str) -> None:
    """Add up the receipts of a shift anew. Exit code 1 if that is not what the shift says, or does not balance."""

    async def look(reader: Reader) -> tuple[ShiftRecord, Totals] | None:
        found = await find_shift(reader.records, shift)
        return None if found is None else (found, await count_again(reader.records, found))

    checked = ask(place, look)
    if checked is None:
        fail(f"no shift {shift}", code=1)
    record, counted = checked
    click.echo(_shift_line(record))
    if counted != record.totals or not counted.is_balanced:
        fail(f"its receipts add up to {counted.transactions} in {counted.receipts} receipts", code=1)


def _do(place: Place, work: _Work) -> str:
    """Do it as the customer system, with all that follows; the number by which it is known."""
    settings = place.settings()
    sources = {role: settings.systems.source_of(role) for role in Role}

    async def deed(store: Store) -> Served:
        found = await in_force(store.reader.records)
        setup = setup_of(sources, found.partners, found.subscriptions)
        acting = Acting(store=store, setup=lambda: setup, clock=lambda: datetime.now(UTC), new_id=fresh_id)
        return await acting.act(Role.CIS, work)

    served = act(place, deed)
    if served.result is Result.FAILED:
        fail(served.findings[0].describe(), code=1)
    return served.ids[0].value


def _converted(given: dict[str, object], kind: type[AskedT]) -> AskedT:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        fail(str(error), code=2)


def _receipt_line(receipt: ReceiptRecord) -> str:
    total = sum((one.amount for one in receipt.transactions), Decimal(0))
    more = f"  reverses {receipt.reverses}" if receipt.reverses else ""
    more += f"  reversed by {receipt.reversed_by}" if receipt.reversed_by else ""
    return f"{receipt.at.isoformat()}  {receipt.number}  {receipt.account}  {total} {receipt.currency}{more}"


def _shift_line(shift: ShiftRecord) -> str:
    totals = shift.totals
    end = f"closed, missing {shift.missing}" if shift.closed_at is not None else "open"
    return (
        f"{shift.number}  {shift.point_of_sale}  {shift.cashier}  {end}  {totals.receipts} receipts,"
        f" {totals.transactions} {shift.currency}, of it {totals.cash} in cash"
    )
