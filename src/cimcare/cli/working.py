"""Command `work`: orders, crews and windows of the built-in work management; also beside a running hub.

What people do about orders they do by message, through every channel alike; here it is looked at, and crews are set.
"""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import Place, act, ask, place_options
from cimcare.errors import InputError
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.crews import put_crews
from cimcare.hub.new_identifiers import fresh_id
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.systems.wms.board import OPEN_STATES, Board, CrewView, OrderView, list_orders, load_board, view_crew
from cimcare.systems.wms.crewing import CrewEntry, read_crews
from cimcare.systems.wms.crews import load_crews, name_of_crew

__all__ = ["work"]


@click.group()
@place_options
@click.pass_context
def work(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """Field work of the built-in work management: what is to be done, who is at it, and when there is room."""
    context.obj = Place(database, config)


@work.command("list")
@click.option("--state", type=click.Choice([one.value for one in WorkStatusKind]), help="Only this state.")
@click.option("--crew", default="", help="Only orders that name this crew.")
@click.option("--after", default=None, help="Go on behind the order with this mRID.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most orders.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_work(place: Place, *, state: str | None, crew: str, after: str | None, limit: int, as_json: bool) -> None:
    """List service orders that have not ended, oldest first: state, order, type, crews, appointment, place, reason."""

    async def look(reader: Reader) -> tuple[OrderView, ...] | None:
        mrid = next(
            (one.mrid for one in await load_crews(reader.records) if crew in (name_of_crew(one), one.mrid)), None
        )
        if crew and mrid is None:
            return None
        return await list_orders(
            reader.records,
            states=(state,) if state else OPEN_STATES,
            crew=mrid if crew else None,
            after=MRID(after) if after else None,
            limit=limit,
        )

    found = ask(place, look)
    if found is None:
        fail(f"no crew {crew}; `cimcare work crews` shows those that are there", code=1)
    for order in found:
        click.echo(_json(order) if as_json else _line_of(order))
    if len(found) == limit:
        click.echo(f"more: --after {found[-1].order}", err=True)


@work.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def board(place: Place, *, as_json: bool) -> None:
    """Show each crew with what it has in hand, how many orders wait for one, and how full the next windows are."""
    now = datetime.now(UTC)

    async def look(reader: Reader) -> Board:
        return await load_board(reader.records, now)

    found = ask(place, look)
    if as_json:
        click.echo(_json(found))
        return
    for crew, order in found.crews:
        click.echo(f"{crew.crew} {_line_of(order)}" if order is not None else f"{crew.crew} {_is_there(crew)}")
    click.echo(f"due and without a crew: {found.to_send}")
    for window in found.windows:
        taken = ", ".join(f"{name} {put} of {has}" for name, (put, has) in window.minutes.items())
        click.echo(f"{window.start:%Y-%m-%d %H:%M}-{window.end:%H:%M}Z minutes: {taken}")


@work.command()
@click.option(
    "--set",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="TOML file with all crews; those that are not in it are removed.",
)
@actor_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def crews(place: Place, *, file: Path | None, actor: str | None, as_json: bool) -> None:
    """List the crews, or with --set make those of a file the crews that there are, at once and in a running hub too.

    A crew that has an order in hand cannot be removed. What is put down for a crew that goes stays put down, and when
    it is due another crew is sent. Exit code 1: a crew cannot be removed.
    """
    now = datetime.now(UTC)
    if file is not None:
        entries = _read(file)

        async def put(store: Store) -> tuple[int, int, int] | InputError:
            try:
                return await put_crews(store, entries, actor=actor or find_user(), now=now, new_id=fresh_id)
            except InputError as error:
                return error

        done = act(place, put)
        if isinstance(done, InputError):
            fail(done, code=1)
        click.echo("crews: {} added, {} changed, {} removed".format(*done), err=True)

    async def look(reader: Reader) -> tuple[CrewView, ...]:
        return tuple(view_crew(one, now) for one in await load_crews(reader.records))

    for crew in ask(place, look):
        if as_json:
            click.echo(_json(crew))
        else:
            told = f"{crew.crew} {_is_there(crew)}: {', '.join(crew.skills) or 'no skill'}"
            click.echo(told if crew.order is None else f"{told}; order {crew.order}")


def _read(file: Path) -> dict[str, CrewEntry]:
    try:
        return read_crews(tomllib.loads(file.read_text("utf-8")), file.name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        fail(f"{file}: {error}", code=2)
    except InputError as error:
        fail(error, code=2)


def _is_there(crew: CrewView) -> str:
    state = "busy" if crew.order is not None else "free"
    duty = "on duty" if crew.on_duty else "on call" if crew.on_call else "off duty"
    return f"{state}, {duty}" + ("" if crew.takes_jobs else ", sent by people alone")


def _line_of(order: OrderView) -> str:
    visit = f"{order.due:%Y-%m-%d %H:%M}-{order.until:%H:%M}Z" if order.due and order.until else "-"
    told = [order.status, str(order.order), order.type or "-", ",".join(order.crews) or "-", visit, order.place or "-"]
    line = " ".join(told)
    return f"{line} (last visit: {' '.join(order.reason.split())})" if order.reason else line


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
