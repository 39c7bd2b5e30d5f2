"""Runs commands in the test's process, as a shell would, and keeps what they print apart."""

from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from cimcare.cli import main

Run = Callable[..., click.testing.Result]
"""Run `cimcare` with these arguments; `stdin` are the bytes on standard input."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command, in a directory of its own and without settings of the machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("CIMCARE_CONFIG", "CIMCARE_DATABASE", "CIMCARE_SCHEMA_DIRECTORY", "CIMCARE_PORT", "CIMCARE_HOST"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, stdin: bytes = b"") -> click.testing.Result:
        runner = click.testing.CliRunner()
        result = runner.invoke(main, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
