"""The command `cimcare`: thin; each command reads its arguments, calls one function and prints.

Data goes to stdout, everything else to stderr. Exit code 0: fine; 1: the answer is no; 2: wrong use.
"""

import importlib
from typing import Any

import click

from cimcare import __version__
from cimcare.cli.open_files import allow_open_files

__all__ = ["main"]

_COMMANDS = {
    "audit": "cimcare.cli.trail",
    "brokers": "cimcare.cli.brokers",
    "call": "cimcare.cli.calling",
    "callbacks": "cimcare.cli.calling",
    "config": "cimcare.cli.configuring",
    "consents": "cimcare.cli.consents",
    "convert": "cimcare.cli.documents",
    "customers": "cimcare.cli.calling",
    "deadletters": "cimcare.cli.dead_letters",
    "deliveries": "cimcare.cli.deliveries",
    "doctor": "cimcare.cli.doctor",
    "demo": "cimcare.cli.running",
    "ledger": "cimcare.cli.balancing",
    "messages": "cimcare.cli.stored",
    "meter-events": "cimcare.cli.metering",
    "network": "cimcare.cli.network",
    "notices": "cimcare.cli.calling",
    "outages": "cimcare.cli.outages",
    "record": "cimcare.cli.recording",
    "report": "cimcare.cli.reporting",
    "sales": "cimcare.cli.sales",
    "sample": "cimcare.cli.documents",
    "schema": "cimcare.cli.schemas",
    "send": "cimcare.cli.sending",
    "serve": "cimcare.cli.running",
    "simulate": "cimcare.cli.simulating",
    "storm": "cimcare.cli.storm",
    "validate": "cimcare.cli.documents",
    "work": "cimcare.cli.working",
}


class _Commands(click.Group):
    """Loads a command's module when the command is called, so that `--help` and small commands start quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: Any = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cimcare")
def main() -> None:
    """The open implementation of IEC 61968-8, Interfaces for customer operations.

    Trouble tickets, incident information, service requests, service orders, work requests and customer agreements in
    the envelope of IEC 61968-100. `cimcare demo` shows a whole utility talking on this machine.

    Data is printed to stdout, everything else to stderr. Exit code 0: fine; 1: the answer is no; 2: wrong use.
    """
    allow_open_files()
