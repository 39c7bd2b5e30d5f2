"""Files named on the command line, and options that several commands share."""

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from cimcare.codec.limits import Limits
from cimcare.errors import CimcareError
from cimcare.schema.catalog import Catalog, SchemaFileError

__all__ = ["actor_option", "fail", "find_user", "open_catalog", "read_file", "schema_directory_option"]

F = TypeVar("F", bound=Callable[..., object])


_MOST_BYTES = Limits().max_bytes + 1
"""No document may be longer, so one byte more is enough to see that it is, also where a file has no end."""


def read_file(name: str, *, most: int = _MOST_BYTES) -> bytes:
    """Bytes of a file, of standard input for `-`; `most` are as many as a document may have and one more.

    Ends the program with code 2 if it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(most)
    try:
        with Path(name).open("rb") as file:
            return file.read(most)
    except OSError as error:
        fail(f"{name}: cannot be read ({error.strerror}); name a file that exists, or - for standard input", code=2)


def schema_directory_option(command: F) -> F:
    """Option `--schema-dir`, which overrides the built-in schemas with the user's own."""
    return click.option(
        "--schema-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        envvar="CIMCARE_SCHEMA_DIRECTORY",
        help="Directory with your own XSD files; they replace the built-in ones of the same target namespace.",
    )(command)


def actor_option(command: F) -> F:
    """Option `--actor`, which names who acts in the audit trail; `find_user` where it is not given."""
    return click.option("--actor", help="Who does it, for the audit trail.  [default: the user of the machine]")(
        command
    )


def find_user() -> str:
    """Name of the user who runs the program."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())


def open_catalog(directory: Path | None) -> Catalog:
    """Catalogue of schemas. Ends the program with code 2 if the directory holds an unusable file."""
    try:
        return Catalog(directory)
    except SchemaFileError as error:
        fail(error, code=2)


def fail(reason: str | CimcareError, *, code: int) -> NoReturn:
    """Print a reason to stderr and end the program."""
    click.echo(f"cimcare: {reason}", err=True)
    raise SystemExit(code)
