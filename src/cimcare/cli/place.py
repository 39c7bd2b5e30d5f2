"""The database that a command works on, beside a hub that may be running: which it is, and opening it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from cimcare.cli.input import fail
from cimcare.errors import CimcareError
from cimcare.exchange.store import Reader, Store
from cimcare.hub.config.settings import Settings, load_settings
from cimcare.store.opening import open_reader, open_store

__all__ = ["INSTANT", "NUMBER", "Place", "act", "ask", "place_options", "run"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

NUMBER = click.IntRange(0, 2**63 - 1)
"""Numbers that a database gives."""

INSTANT = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"])
"""An instant with offset."""


class Place(NamedTuple):
    """Where the database is named; looked up when it is needed, so that `--help` needs no settings."""

    database: str | None
    config: Path | None

    def find(self) -> str:
        """URL of the database."""
        return self.database or self.settings().database

    def settings(self) -> Settings:
        """Settings of file and environment. Ends the program with code 2 if they cannot be used."""
        try:
            return load_settings(self.config, os.environ, files=False)
        except CimcareError as error:
            fail(error, code=2)


def place_options(command: F) -> F:
    """Options `--database` and `--config`, of which a `Place` is made."""
    database = click.option(
        "--database", help="Database, such as sqlite:///cimcare.db.  [default: the setting `database`]"
    )
    config = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="File of settings.")
    return database(config(command))


def ask(place: Place, question: Callable[[Reader], Awaitable[T]]) -> T:
    """Read what is committed. Ends the program with code 2 if the database cannot be used."""
    database = place.find()

    async def read() -> T:
        async with open_reader(database) as reader:
            return await question(reader)

    return run(read())


def act(place: Place, deed: Callable[[Store], Awaitable[T]]) -> T:
    """Do something to a database that is there. Ends the program with code 2 if it cannot be used."""
    database = place.find()

    async def write() -> T:
        async with open_reader(database):
            pass  # a database that is not there is a mistyped name, and not to be made
        store = await open_store(database)
        try:
            return await deed(store)
        finally:
            await store.close()

    return run(write())


def run(work: Coroutine[object, object, T]) -> T:
    """Run it. An error of ours ends the program with code 2."""
    try:
        return asyncio.run(work)
    except CimcareError as error:
        fail(error, code=2)
