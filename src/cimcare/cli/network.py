"""Command `network`: read a network, look at it, say which switch was opened or closed; also beside a running hub."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from cimcare.cli.input import actor_option, fail, find_user
from cimcare.cli.place import Place, act, ask, place_options
from cimcare.codec.network import parse_network
from cimcare.codec.network_rdf import RDF_LIMITS
from cimcare.errors import Finding, InputError, Level
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.network import FeederView, each_device, operate_device, replace_network, sum_feeders
from cimcare.model.network import Network
from cimcare.systems.oms.devices import DeviceRecord, Supply, find_way
from cimcare.systems.oms.importing import Difference, Imported
from cimcare.systems.oms.operating import Operated
from cimcare.systems.oms.wiring import check_network, wire

__all__ = ["network"]

F = TypeVar("F", bound=Callable[..., object])

_FILES = click.argument("files", type=click.Path(path_type=Path, dir_okay=False), nargs=-1, required=True)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group()
@place_options
@click.pass_context
def network(context: click.Context, *, database: str | None, config: Path | None) -> None:
    """The network of the built-in outage management: devices, the way of supply to each customer, and switching.

    Works on the database beside running hubs, which see it with the next message.
    """
    context.obj = Place(database, config)


class _Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What `check` says of a network."""

    devices: dict[str, int]
    lines: int
    points: int
    customers: int
    findings: tuple[Finding, ...]


@network.command()
@_FILES
@_JSON
def check(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Read FILES and say what is in them and what is odd: loops, what has no way to a source, names used twice.

    All FILES together are one network: CIM RDF/XML, or tables with devices, lines and points. Nothing is stored.

    Exit code 0: it can be imported, warnings or not. 1: it cannot.
    """
    read, findings = _read(files)
    findings += tuple(check_network(read))
    if not _is_fatal(findings):
        try:
            findings += wire(read).findings
        except InputError as error:
            findings += (error.finding,)
    kinds = [device.kind.value for device in read.devices]
    checked = _Checked(
        devices={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        lines=len(read.lines),
        points=len(read.points),
        customers=sum(point.customers for point in read.points),
        findings=findings,
    )
    if as_json:
        click.echo(msgspec.json.encode(checked).decode())
    else:
        click.echo(f"devices: {len(kinds)} ({', '.join(f'{n} {kind}' for kind, n in checked.devices.items())})")
        click.echo(f"lines: {checked.lines}")
        click.echo(f"points: {checked.points}, customers: {checked.customers}")
        _tell(findings)
    raise SystemExit(1 if _is_fatal(findings) else 0)


@network.command("import")
@_FILES
@click.option("--dry-run", is_flag=True, help="Only say what would be new, altered and gone.")
@click.option("--take-states", is_flag=True, help="Known devices too are open or closed as the files say.")
@actor_option
@_JSON
@click.pass_obj
def import_(
    place: Place, files: tuple[Path, ...], *, dry_run: bool, take_states: bool, actor: str | None, as_json: bool
) -> None:
    """Make what FILES say the network that is kept, in one transaction; devices that are gone are removed.

    All FILES together are one network, the whole of it: CIM RDF/XML, or tables with devices, lines and points. Only
    what differs is written. Devices that are known stay open or closed as they are now, unless --take-states is given.

    Exit code 0: done. 1: the network cannot be used, and nothing was written.
    """
    read, findings = _read(files)
    if _is_fatal(findings):
        _tell(findings)
        raise SystemExit(1)

    async def replace(store: Store) -> Imported | InputError:
        try:
            return await replace_network(
                store,
                read,
                actor=actor or find_user(),
                takes_states=take_states,
                is_dry=dry_run,
                now=datetime.now(UTC),
            )
        except InputError as error:
            return error

    done = act(place, replace)
    if isinstance(done, InputError):
        _tell((*findings, *(check_network(read) or (done.finding,))))
        raise SystemExit(1)
    if as_json:
        whole = msgspec.structs.replace(done, findings=(*findings, *done.findings))
        click.echo(msgspec.json.encode(whole).decode())
        return
    for name, difference in (("devices", done.devices), ("points", done.points)):
        click.echo(f"{name}: {_told(difference)}")
    if done.kept:
        click.echo(f"left as they stand, other than in the files: {', '.join(done.kept)}", err=True)
    _tell((*findings, *done.findings))
    if dry_run:
        click.echo("nothing was written", err=True)


def _told(difference: Difference) -> str:
    parts = []
    for kind, count in (
        ("added", difference.added),
        ("changed", difference.changed),
        ("removed", difference.removed),
    ):
        names = difference.examples.get(kind, ())
        more = ", ..." if count > len(names) else ""
        parts.append(f"{count} {kind}" + (f" ({', '.join(names)}{more})" if names else ""))
    return f"{', '.join(parts)}, {difference.same} as they were"


@network.command()
@click.option("--feeder", help="The devices of this feeder, each below the one that feeds it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def show(place: Place, *, feeder: str | None, as_json: bool) -> None:
    """Show the feeders: customers, devices by kind, what is operated and what is not fed; or one feeder in full.

    Exit code 0: shown. 1: there is no network, or no such feeder.
    """
    if feeder is None:
        views = ask(place, lambda reader: sum_feeders(reader.records))
        if not views:
            fail("no network is known; `cimcare network import` reads one", code=1)
        for view in views:
            click.echo(msgspec.json.encode(view).decode() if as_json else _line_of_feeder(view))
        return

    async def own(reader: Reader) -> list[DeviceRecord]:
        return [device async for device in each_device(reader.records, feeder)]

    devices = ask(place, own)
    if not devices:
        fail(f"no device belongs to feeder {feeder}; `cimcare network show` names the feeders", code=1)
    for depth, device in _as_tree(devices):
        click.echo(msgspec.json.encode(device).decode() if as_json else f"{'  ' * depth}{_line_of(device)}")


def _line_of_feeder(view: FeederView) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in view.devices.items())
    told = [f"{view.name or '(no feeder)'}: {view.customers} customers, {view.critical} critical; {kinds}"]
    if view.operated:
        told.append(f"operated: {', '.join(view.operated)}")
    if view.not_fed:
        told.append(f"not fed: {view.not_fed} devices")
    return "; ".join(told)


def _line_of(device: DeviceRecord) -> str:
    told = [f"{device.kind} {device.name}: {device.customers} customers"]
    if device.critical:
        told.append(f"{device.critical} critical")
    if device.is_open:
        told.append("open, as it normally is" if device.is_normally_open else "open")
    elif device.is_normally_open:
        told.append("closed, normally open")
    if not device.is_fed:
        told.append("not fed")
    return ", ".join(told)


def _as_tree(devices: Sequence[DeviceRecord]) -> list[tuple[int, DeviceRecord]]:
    """Each device behind the one that feeds it, with the number of devices of these that are above."""
    own = {device.mrid for device in devices}
    below: dict[str | None, list[DeviceRecord]] = {}
    for device in sorted(devices, key=lambda device: device.name, reverse=True):
        below.setdefault(device.upstream if device.upstream in own else None, []).append(device)
    shown: list[tuple[int, DeviceRecord]] = []
    waiting = [(0, device) for device in below.get(None, ())]
    while waiting:
        depth, device = waiting.pop()
        shown.append((depth, device))
        waiting += [(depth + 1, child) for child in below.get(device.mrid, ())]
    return shown


@network.command()
@click.argument("name")
@_JSON
@click.pass_obj
def trace(place: Place, name: str, *, as_json: bool) -> None:
    """Show the way of supply of NAME, nearest device first: a device, usage point, meter or service location.

    Exit code 0: there is one. 1: the network does not know NAME, or no way leads to it.
    """
    supply = ask(place, lambda reader: find_way(reader.records, name))
    if as_json:
        click.echo(msgspec.json.encode(supply).decode())
    elif supply.device is not None:
        for device in supply.path:
            click.echo(_line_of(device))
    if supply.device is None:
        fail(_why_not(supply, name), code=1)


def _why_not(supply: Supply, name: str) -> str:
    if supply.point is not None:
        return f"{name} is known, and no device of the network leads to it"
    return f"the network knows no device, usage point, meter or service location {name}"


def _switching(command: F) -> F:
    device = click.argument("device")
    reason = click.option("--reason", default="", help="Why, for the audit trail.")
    return device(reason(actor_option(_JSON(command))))


@network.command("open")
@_switching
@click.pass_obj
def open_(place: Place, *, device: str, reason: str, actor: str | None, as_json: bool) -> None:
    """Say that DEVICE is open now: a breaker, recloser, sectionalizer, switch or fuse, by name or mRID.

    This records what was done in the field, and operates nothing there. Ways of supply are traced again.

    Exit code 0: it is recorded. 1: there is no such device, or none that can be opened.
    """
    _operate(place, device, reason, actor, is_open=True, as_json=as_json)


@network.command()
@_switching
@click.pass_obj
def close(place: Place, *, device: str, reason: str, actor: str | None, as_json: bool) -> None:
    """Say that DEVICE is closed now: a breaker, recloser, sectionalizer, switch or fuse, by name or mRID.

    This records what was done in the field, and operates nothing there. Ways of supply are traced again, and it is told
    if they have become a loop.

    Exit code 0: it is recorded. 1: there is no such device, or none that can be closed.
    """
    _operate(place, device, reason, actor, is_open=False, as_json=as_json)


def _operate(place: Place, device: str, reason: str, actor: str | None, *, is_open: bool, as_json: bool) -> None:
    async def deed(store: Store) -> Operated | InputError:
        try:
            return await operate_device(
                store,
                device,
                is_open=is_open,
                actor=actor or find_user(),
                reason=reason,
                now=datetime.now(UTC),
            )
        except InputError as error:
            return error

    done = act(place, deed)
    if isinstance(done, InputError):
        fail(done, code=1)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
        return
    click.echo(_line_of(done.device))
    if done.changed:
        click.echo(f"customers: {done.lost} without supply now, {done.gained} with supply again", err=True)
    else:
        click.echo("it stood so already", err=True)
    _tell(done.findings)


# ---------------------------------------------------------------------------------------------------------- the files


def _read(files: Iterable[Path]) -> tuple[Network, tuple[Finding, ...]]:
    """The network of these files, empty if a finding is fatal. Ends the program with code 2 if one cannot be read."""
    contents = []
    for file in files:
        try:
            with file.open("rb") as content:
                contents.append((str(file), content.read(RDF_LIMITS.max_bytes + 1)))
        except OSError as error:
            fail(f"{file}: cannot be read ({error.strerror})", code=2)
    try:
        reading = parse_network(contents)
    except InputError as error:
        return Network(), (error.finding,)
    return reading.network or Network(), reading.findings


def _is_fatal(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.FATAL for finding in findings)


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        path = f"{finding.path}, line {finding.line}" if finding.line else finding.path
        told = msgspec.structs.replace(finding, path=path, line=None)
        click.echo(f"{finding.level.value.lower()}: {told.describe()}", err=True)
