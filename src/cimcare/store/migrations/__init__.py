"""Migrations: how a database comes to the tables of this release, from nothing or from an earlier one."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["UnknownRevisionError", "heads", "is_current", "upgrade"]


class UnknownRevisionError(Exception):
    """The database was written by a release that this one does not know."""


@cache
def heads() -> frozenset[str]:
    """Revisions of the tables of this release."""
    return frozenset(ScriptDirectory.from_config(_config()).get_heads())


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this release. Looks, and changes nothing.

    Raises:
        UnknownRevisionError: The database is at a revision that is not among the migrations.
    """
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    current = set(MigrationContext.configure(connection).get_current_heads())
    if unknown := current - known:
        raise UnknownRevisionError(", ".join(sorted(unknown)))
    return current == set(scripts.get_heads())


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the tables up to this release, or to a revision before it; nothing happens if they are of this release.

    Raises:
        UnknownRevisionError: The database is at a revision that is not among the migrations.
    """
    if is_current(connection):
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
