"""Command `ledger`: what came from and went to each partner, hour by hour, and whether all of it is accounted for."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from cimcare.cli.place import INSTANT, Place, ask, place_options
from cimcare.errors import finding_of
from cimcare.exchange.ledger import Balance
from cimcare.exchange.store import Reader
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.hours import BEGINNING, within_reason
from cimcare.hub.rest.operator_views import BalanceView, view_balance

__all__ = ["ledger"]

F = TypeVar("F", bound=Callable[..., object])

_COLUMNS = ("received", "delivered", "waiting", "refused", "dead", "repeats", "missing")


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which hours and partner are wanted, and of which database."""

    place: Place
    since: datetime | None
    until: datetime | None
    partner: str
    as_json: bool

    def look(self, otherwise: Callable[[datetime], datetime]) -> list[BalanceView]:
        """Accounts of these hours. `otherwise` gives the first one by the end, where none was named."""
        until = within_reason(self.until or datetime.now(UTC))
        since = within_reason(self.since) if self.since is not None else otherwise(until)

        async def read(reader: Reader) -> Sequence[Balance]:
            return await balances(reader, since, until, self.partner)

        return [view_balance(one) for one in ask(self.place, read)]


def _period(command: F) -> F:
    since = click.option("--since", type=INSTANT, help="From the hour that holds this instant on.")
    until = click.option("--until", type=INSTANT, help="Hours that begin before this instant.  [default: now]")
    partner = click.option("--partner", default="", help="Only this partner: its source for in, its name for out.")
    as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    return since(until(partner(as_json(command))))


@click.group(invoke_without_command=True)
@place_options
@_period
@click.pass_context
def ledger(
    context: click.Context,
    *,
    database: str | None,
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    partner: str,
    as_json: bool,
) -> None:
    """What came from and went to each partner, hour by hour: one line an hour, partner and account.

    received = delivered + waiting + refused + dead + repeats; `missing` is what is left over, and should be 0. The
    account `in` counts what came from a partner by the hour of receipt, `out` what was to be delivered to it by the
    hour in which that was put in, however long it takes. Hours are in UTC. Without --since the last 24 hours.
    """
    wanted = _Wanted(place=Place(database, config), since=since, until=until, partner=partner, as_json=as_json)
    context.obj = wanted
    if context.invoked_subcommand is None:
        _print(wanted.look(lambda end: end - timedelta(hours=24)), as_json=as_json)


@ledger.command()
@_period
@click.pass_obj
def check(given: _Wanted, *, since: datetime | None, until: datetime | None, partner: str, as_json: bool) -> None:
    """Check that nothing is missing; without --since in all hours since the beginning.

    Exit code 0: every account balances. 1: some do not, and only they are printed; a negative number stands for what
    was counted twice.
    """
    wanted = _Wanted(
        place=given.place,
        since=since or given.since,
        until=until or given.until,
        partner=partner or given.partner,
        as_json=as_json or given.as_json,
    )
    found = wanted.look(lambda _: BEGINNING)
    wrong = [one for one in found if one.missing]
    if not wrong:
        click.echo(f"{len(found)} accounts balance", err=True)
        return
    _print(wrong, as_json=wanted.as_json)
    for one in wrong:
        place = f"{one.hour.isoformat(timespec='minutes')} {one.partner or '-'} {one.account}"
        accepted = "0: received is the sum of all the others"
        click.echo(
            finding_of("EXC-137", place, f"{one.missing} missing", accepted, "guarantee G7").describe(), err=True
        )
    raise SystemExit(1)


def _print(found: Sequence[BalanceView], *, as_json: bool) -> None:
    lines = (msgspec.json.encode(one).decode() for one in found) if as_json else _table(found)
    for line in lines:
        click.echo(line)


def _table(found: Sequence[BalanceView]) -> Iterator[str]:
    width = max([len("partner"), *(len(one.partner) for one in found)])
    yield f"{'hour':16} {'partner':{width}} account " + " ".join(f"{name:>9}" for name in _COLUMNS)
    for one in found:
        numbers = " ".join(f"{getattr(one, name):9}" for name in _COLUMNS)
        yield f"{one.hour:%Y-%m-%dT%H:%M} {one.partner or '-':{width}} {one.account:7} {numbers}"
