"""Command `simulate`: a partner that plays well or badly, against anybody's implementation."""

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from cimcare.cli.input import fail
from cimcare.cli.sending import require_http
from cimcare.codec.convert import Form
from cimcare.errors import CimcareError
from cimcare.model.nouns import Role
from cimcare.schema.catalog import Catalog
from cimcare.simulator.certificates import server_context
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.playing import Played, Player, UnmetError
from cimcare.simulator.running import loop_factory, serve_partner
from cimcare.simulator.scenarios import Scenario, find_scenario
from cimcare.validation import judge

__all__ = ["simulate"]


_FORM_HELP = "Form to send in.  [default: xml if the address ends in /messages, else soap11]"


def _optional_http(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    return None if url is None else require_http(context, parameter, url)


@click.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    help="Whose nouns it serves, and keeps objects of.  [default: none: it agrees to everything and keeps nothing]",
)
@click.option(
    "--behaviour",
    default="good",
    show_default=True,
    help="good, slow, flaky, dying, hostile, a .toml FILE, or acts such as `accept=6,die=1,slow:2=1`.",
)
@click.option("--seed", default="", help="Seed of all chance; the same seed, the same course.")
@click.option("--name", help="Its Header/Source.  [default: the role in capitals, or PARTNER]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on which to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on which to listen.  [default: a free one]"
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to which everything received and said is appended, a JSON object a line.  [default: standard output]",
)
@click.option("--quiet", is_flag=True, help="No journal: for load, where it has to cost little.")
@click.option(
    "--publish-to",
    multiple=True,
    callback=lambda context, parameter, urls: tuple(require_http(context, parameter, url) for url in urls),
    help="Address that is told of what was done, as events; .../messages for plain ones, else SOAP. Repeatable.",
)
@click.option(
    "--tls",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Speak TLS, with a certificate that is made in this FOLDER; who connects has to trust FOLDER/ca.pem.",
)
@click.option(
    "--scenario", help="Play this scenario against --to, and end: a .toml FILE, or one of the names in --help."
)
@click.option("--to", "url", callback=_optional_http, help="Where the messages of the scenario go.")
@click.option("--as", "form", type=click.Choice([form.value for form in Form]), help=_FORM_HELP)
@click.option(
    "--speed",
    type=click.FloatRange(0.001, 1_000_000),
    default=1.0,
    show_default=True,
    help="How many times as fast as the scenario is written.",
)
def simulate(
    *,
    role: str | None,
    behaviour: str,
    seed: str,
    name: str | None,
    host: str,
    port: int,
    journal: Path | None,
    quiet: bool,
    publish_to: tuple[str, ...],
    folder: Path | None,
    scenario: str | None,
    url: str | None,
    form: str | None,
    speed: float,
) -> None:
    """Play a partner: listen for SOAP, plain XML and JSON until SIGTERM or SIGINT, and answer well or badly.

    Prints its address when it listens: as it is, or where the journal goes to standard output, as its first line.

    With --scenario it sends what the scenario says, step by step, prints what came of each, and ends. It also listens
    then, if the scenario waits for what comes. Scenarios that come with it: trouble-ticket, service-order,
    customer-agreement, asynchronous, bad-sender. Exit code 1: something else came than the scenario expects.
    """
    if (scenario is None) != (url is None):
        raise click.UsageError("--scenario and --to belong together")
    if quiet and journal is not None:
        raise click.UsageError("--quiet writes no journal; leave out --journal")
    to_stdout = not quiet and journal is None and scenario is None
    file: Path | BinaryIO | None = sys.stdout.buffer if to_stdout else journal
    try:
        partner = SimulatedPartner(
            name=name or (role.upper() if role else "PARTNER"),
            role=Role(role) if role else None,
            behaviour=behaviour,
            seed=seed,
            journal=file,
            keeps=scenario is not None,
            publish_to=publish_to,
            check=None if quiet else _checker(),
        )
        tls: ssl.SSLContext | None = None
        if folder is not None:
            tls = server_context(folder, partner.behaviour.certificate, host=host, now=datetime.now(UTC))
        work: Coroutine[object, object, None]
        if scenario is not None and url is not None:
            player = Player(
                url, form=Form(form) if form else None, speed=speed, seed=seed, ours=partner, on_step=_print_step
            )
            work = _play(player, find_scenario(scenario), partner, host=host, port=port, tls=tls)
        else:
            work = serve_partner(partner, host=host, port=port, tls=tls, on_start=_announce(as_json=to_stdout))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(work)
    except UnmetError as error:
        fail(error, code=1)
    except CimcareError as error:
        fail(error, code=2)
    except OSError as error:
        fail(f"{error.filename or f'{host}:{port}'}: {error.strerror or error}", code=2)
    if quiet and scenario is None:
        click.echo(msgspec.json.encode(partner.counts()).decode(), err=True)


async def _play(
    player: Player, scenario: Scenario, partner: SimulatedPartner, *, host: str, port: int, tls: ssl.SSLContext | None
) -> None:
    """Play a scenario; what comes to us meanwhile meets the partner."""
    if not scenario.needs_address:
        await player.play(scenario)
        return
    await partner.start(port, host=host, tls=tls)
    try:
        await player.play(scenario)
    finally:
        await partner.stop()


def _print_step(played: Played) -> None:
    name = f" {played.name}:" if played.name else ""
    click.echo(f"{played.number}{name} {played.text} ({played.seconds:.3f} s)")


def _announce(*, as_json: bool) -> Callable[[str], None]:
    def announce(address: str) -> None:
        text = msgspec.json.encode({"line": "listening", "address": address}).decode() if as_json else address
        click.echo(text)
        sys.stdout.flush()

    return announce


def _checker() -> Callable[[bytes], tuple[str, ...]]:
    """What says what is wrong with a document, in a line each."""
    catalog = Catalog()
    return lambda raw: tuple(finding.describe() for finding in judge(raw, catalog).findings)
