"""Migrations: how a database comes to the tables of this release, from nothing or from an earlier one."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["UnknownRevisionError", "upgrade"]


class UnknownRevisionError(Exception):
    """The database was written by a release that this one does not know."""


def upgrade(connection: Connection) -> None:
    """Bring the tables up to this release; nothing happens if they are.

    Raises:
        UnknownRevisionError: The database is at a revision that is not among the migrations.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    current = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(current) - known:
        raise UnknownRevisionError(", ".join(sorted(unknown)))
    if set(current) != set(scripts.get_heads()):
        command.upgrade(config, "head")
