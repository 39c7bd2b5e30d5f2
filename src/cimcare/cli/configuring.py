"""Command `config`: check the file of settings, show what it would change, and put it in force."""

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.errors import CimcareError
from cimcare.exchange.outbox import OutboxReader
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Records
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.clashes import owners_of
from cimcare.hub.config.configuration import Configuration, load, load_own, load_started
from cimcare.hub.config.configuration import apply as apply_change
from cimcare.hub.config.differences import partner_keys, shown_address, subscription_keys
from cimcare.hub.config.keys import Mistake, written
from cimcare.hub.config.planning import Plan
from cimcare.hub.config.planning import plan as plan_change
from cimcare.hub.config.settings import DEFAULT_FILE, Settings, find_file, judge_file
from cimcare.model.nouns import Role

__all__ = ["config"]

T = TypeVar("T")

_DATABASE_CODE = "SET-104"

_CONFIG = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File of settings; without it CIMCARE_CONFIG, then cimcare.toml in the working directory.",
)
_DATABASE = click.option(
    "--database", help="Database, such as sqlite:///cimcare.db.  [default: the setting `database`]"
)
_PARTNER = click.option("--partner", metavar="NAME", help="Only this partner or role, and what leads to it.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group()
def config() -> None:
    """The file of settings: what is wrong with it, what it would change, and putting it in force."""


@config.command()
@_CONFIG
@_JSON
def check(*, file: Path | None, as_json: bool) -> None:
    """Check the file of settings and the environment.

    Exit code 0: all can be used, and what was checked is printed. Exit code 1: mistakes, all of them, each as
    `file:line: path: CODE what was found; what would pass; why`.
    """
    judged = judge_file(file, os.environ)
    found = find_file(file, os.environ)
    settings = judged.settings
    if as_json:
        data: dict[str, object] = {"ok": settings is not None, "mistakes": [_as_data(one) for one in judged.mistakes]}
        if settings is not None:
            data |= _settings_data(settings)
        click.echo(msgspec.json.encode(data).decode())
    elif settings is not None:
        click.echo("\n".join(_told_settings(settings, found)))
    else:
        click.echo("\n".join(mistake.describe() for mistake in judged.mistakes))
    raise SystemExit(0 if settings is not None else 1)


def _as_data(mistake: Mistake) -> dict[str, object]:
    return {"file": mistake.file, **msgspec.to_builtins(mistake.finding)}


def _settings_data(settings: Settings) -> dict[str, object]:
    return {
        "partners": [_partner_data(partner) for partner in settings.partners],
        "subscriptions": [
            {"name": subscription.name, **subscription_keys(subscription)} for subscription in settings.subscriptions
        ],
        "owners": {
            noun: {"name": owner, "builtIn": True}
            if isinstance(owner, Role)
            else {"name": owner.name, "builtIn": False}
            for noun, owner in owners_of(settings.partners).items()
        },
    }


def _partner_data(partner: Partner) -> dict[str, object]:
    return {
        "name": partner.name,
        "role": partner.role,
        **partner_keys(partner),
        "url": shown_address(partner.url),
    }


def _told_settings(settings: Settings, file: Path | None) -> Iterable[str]:
    yield f"{file}: good" if file is not None else f"{DEFAULT_FILE} is not there; defaults and environment: good"
    for partner in settings.partners:
        sort = "role" if partner.role is not None else "partner"
        yield f"{sort} {partner.name}: {partner.wire} at {shown_address(partner.url)}, source {partner.source}"
    for subscription in settings.subscriptions:
        yield f"subscription {subscription.name}: to {subscription.partner}, {_told_filter(subscription)}"
    for noun, owner in owners_of(settings.partners).items():
        yield f"{noun}: {f'{owner}, built in' if isinstance(owner, Role) else owner.name}"


def _told_filter(subscription: Subscription) -> str:
    keys = {key: value for key, value in subscription_keys(subscription).items() if value and key != "partner"}
    return ", ".join(f"{key} {written(value)}" for key, value in keys.items()) or "all events"


@config.command()
@_CONFIG
@_DATABASE
@_PARTNER
@_JSON
def plan(*, file: Path | None, database: str | None, partner: str | None, as_json: bool) -> None:
    """Show what putting the file in force would change, also beside a running hub.

    `+` is added, `-` removed, `~` changed, `!` worth a thought; settings of a running hub's next start stand last.
    """
    from cimcare.store.opening import open_reader

    settings = _load(file)

    async def look() -> Plan:
        async with open_reader(database or settings.database) as reader:
            return await _plan(reader.records, reader.outbox, settings, partner)

    made = _run(look())
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    else:
        _print_plan(made)


@config.command()
@_CONFIG
@_DATABASE
@_PARTNER
@actor_option
@_JSON
def apply(*, file: Path | None, database: str | None, partner: str | None, actor: str | None, as_json: bool) -> None:
    """Put partners and subscriptions of the file in force, also beside a running hub.

    A running hub goes over to them within about a second; nothing that is to be delivered is dropped. Prints what
    changed, as `plan` does.
    """
    from cimcare.store.opening import open_reader, open_store

    settings = _load(file)
    if not settings.partners and find_file(file, os.environ) is None:
        fail(
            f"there is no {DEFAULT_FILE} here, and none would remove all partners; name the file by --config or"
            " CIMCARE_CONFIG",
            code=2,
        )

    async def change() -> tuple[Plan, Configuration]:
        async with open_reader(database or settings.database):
            pass  # a database that is not there is a mistyped name, and not to be made
        store = await open_store(database or settings.database)
        try:
            async with store.transaction() as transaction:
                made = await _plan(transaction.records, transaction.outbox, settings, partner)
                applied = await apply_change(
                    transaction, settings, only=partner, actor=actor or find_user(), now=datetime.now(UTC)
                )
            return made, applied
        finally:
            await store.close()

    made, applied = _run(change())
    if as_json:
        data = {"plan": msgspec.to_builtins(made), "version": applied.version}
        click.echo(msgspec.json.encode(data).decode())
        return
    _print_plan(made)
    if made.differences:
        click.echo(f"version {applied.version} is in force")


async def _plan(records: Records, outbox: OutboxReader, settings: Settings, only: str | None) -> Plan:
    return plan_change(
        await load(records),
        settings,
        only=only,
        started=await load_started(records),
        own=await load_own(records),
        backlogs=await outbox.backlogs(),
    )


def _print_plan(made: Plan) -> None:
    lines = [difference.describe() for difference in made.differences]
    lines += [f"! {warning}" for warning in made.warnings]
    lines += [f"at the next start: {change.describe()}" for change in made.restart]
    if not made.differences:
        lines.insert(0, "nothing to change")
    click.echo("\n".join(lines))


def _load(file: Path | None) -> Settings:
    judged = judge_file(file, os.environ)
    if judged.settings is None:
        _refuse(judged.mistakes)
    return judged.settings


def _refuse(mistakes: Sequence[Mistake]) -> NoReturn:
    for mistake in mistakes:
        click.echo(mistake.describe(), err=True)
    fail("the settings cannot be used; `cimcare config check` shows the same", code=2)


def _run(work: Coroutine[object, object, T]) -> T:
    try:
        return asyncio.run(work)
    except CimcareError as error:
        fail(error, code=2 if error.code == _DATABASE_CODE else 1)
