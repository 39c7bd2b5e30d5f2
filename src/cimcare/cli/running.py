"""Commands that run a hub: serve, demo."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import fail
from cimcare.console.pages import console_pages
from cimcare.demo.play import play_demo
from cimcare.demo.show import print_demo
from cimcare.demo.steps import Demo
from cimcare.errors import CimcareError
from cimcare.hub.config.settings import Settings, load_settings
from cimcare.hub.serving.lifespan import running_hub
from cimcare.hub.serving.lifespan import serve as serve_hub
from cimcare.hub.serving.workers import serve_workers

__all__ = ["demo", "serve"]

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of settings; without it CIMCARE_CONFIG, then cimcare.toml in the working directory.",
)


def _load(config: Path | None, **given: object) -> Settings:
    """Settings from file and environment, with what the command line gives on top."""
    try:
        settings = load_settings(config, os.environ)
    except CimcareError as error:
        fail(error, code=2)
    return msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value is not None})


@click.command()
@_CONFIG
@click.option("--host", help="Address on which to listen.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port on which to listen; 0 takes a free one.")
@click.option("--database", help="Database, such as sqlite:///cimcare.db.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Hub processes behind the address, all on the one database.",
)
@click.option(
    "--couriers",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Processes that carry deliveries, and take no messages; with none, the workers carry them.",
)
@click.option(
    "--schema-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory with your own XSD files; they replace the built-in ones of the same target namespace.",
)
def serve(
    *,
    config: Path | None,
    host: str | None,
    port: int | None,
    database: str | None,
    workers: int,
    couriers: int,
    schema_dir: Path | None,
) -> None:
    """Run the hub with its built-in systems until SIGTERM or SIGINT.

    Prints the address to stdout when it listens.
    """
    settings = _load(config, host=host, port=port, database=database)
    if schema_dir is not None:
        schema = msgspec.structs.replace(settings.schema, directory=str(schema_dir))
        settings = msgspec.structs.replace(settings, schema=schema)
    try:
        if workers == 1 and not couriers:
            serve_hub(settings, on_start=click.echo, pages=console_pages)
        else:
            serve_workers(
                settings,
                workers=workers,
                couriers=couriers,
                on_start=click.echo,
                program="cimcare.console.worker",
            )
    except CimcareError as error:
        fail(error, code=1)


@click.command()
@click.option("--once", is_flag=True, help="Stop after the exchanges; exit code 0 only if all went as expected.")
@click.option("--json", "as_json", is_flag=True, help="Print the steps as one JSON document.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on which to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port on which to listen.  [default: 8968; a free one with --once]"
)
@click.option("--database", help="Database to keep.  [default: a new one in a temporary folder]")
def demo(*, once: bool, as_json: bool, host: str, port: int | None, database: str | None) -> None:
    """Show a whole utility on this machine: CIS, OMS, WMS and a third party exchange all six message types.

    Starts a hub, plays the exchanges of Figures 2, 4, 6, 8, 9 and 10 of IEC 61968-8 over SOAP with a client that knows
    of the hub only its WSDL, prints who said what to whom, and leaves the hub up until Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="cimcare-demo-") as folder:
        settings = Settings(
            host=host,
            port=port if port is not None else 0 if once else Settings().port,
            database=database or f"sqlite:///{Path(folder) / 'demo.db'}",
        )
        settings = msgspec.structs.replace(settings, hub=msgspec.structs.replace(settings.hub, log_level="error"))
        try:
            played = asyncio.run(_demo(settings, once=once, as_json=as_json))
        except CimcareError as error:
            fail(error, code=1)
        except KeyboardInterrupt:
            return
    raise SystemExit(0 if played.went_as_expected else 1)


async def _demo(settings: Settings, *, once: bool, as_json: bool) -> Demo:
    async with running_hub(settings, pages=console_pages) as running:
        played = await play_demo(running.address)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(played.as_data()), indent=2).decode())
        else:
            print_demo(played)
        if not once:
            click.echo(
                f"\nThe hub stays up at {running.address} (Ctrl-C stops it). Look at\n"
                f"  {running.address}/console              is all well, every message, every conversation\n"
                f"  {running.address}/                     what runs here, and all addresses\n"
                f"  {running.address}/api/v1/messages      every message, oldest first\n"
                f"  {running.address}/api/v1/Incidents     what the OMS made of the tickets\n"
                f"  {running.address}/soap?wsdl            the generic SOAP service",
                err=as_json,
            )
            sys.stdout.flush()
            await asyncio.Event().wait()
    return played
