"""The migrations and the tables that the code relies on."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from cimcare.exchange.log import Outcome
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.ports import Collection, Key
from cimcare.model.identity import MRID
from cimcare.store import migrations, sqlite_file
from cimcare.store.errors import DatabaseError
from cimcare.store.instants import from_micros
from cimcare.store.opening import open_store
from cimcare.store.sqlite import SqliteStore, open_reader, path_of
from cimcare.store.tables import METADATA
from cimcare.systems.cis.callbacks import select_open
from tests.support.stored import a_delivery, an_entry, is_defined_for_all, make_with_pages


class _Named(msgspec.Struct, frozen=True):
    """An object of which its names are all."""


_NAMED: Collection[_Named] = Collection("test.Things", _Named)


def test_migrations_lead_to_the_tables_of_this_release(tmp_path: Path) -> None:
    """A column added to one of the two alone would break upgrades or fresh installs, whichever nobody tried."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        migrations.upgrade(connection)
        opts = {"compare_type": True, "compare_server_default": True, "include_object": is_defined_for_all}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_migrated_and_created_tables_have_the_same_sql(tmp_path: Path) -> None:
    """What comparison of metadata does not see (rows numbered once only, no row id) is compared as text.

    But for the order of its parts, since a column that is added comes behind the constraints.
    """
    sql = []
    for name in ("migrated", "created"):
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / name}.db")
        with engine.begin() as connection:
            if name == "migrated":
                migrations.upgrade(connection)
            else:
                METADATA.create_all(connection)
            rows = connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' AND sql NOT NULL ORDER BY name"
            )
            sql.append([(row[0], _parts_of(row[1])) for row in rows])
        engine.dispose()
    assert sql[0] == sql[1]


def _parts_of(statement: str) -> list[str]:
    return sorted(part.strip() for part in " ".join(statement.split()).strip(" )").split(","))


def test_upgrade_twice_changes_nothing(tmp_path: Path) -> None:
    """Every start upgrades; the second must be a matter of reading one row."""
    path = tmp_path / "hub.db"
    for _ in range(2):
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrations.upgrade(connection)
        engine.dispose()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    connection.close()


async def test_file_is_set_up_for_durable_writes(tmp_path: Path) -> None:
    """Without these an OK could leave before it is on disk, or cost twice as much, or the file could never shrink."""
    path = tmp_path / "hub.db"
    store = SqliteStore.open(path)
    writer = store._writer
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer.execute("PRAGMA page_size").fetchone() == (4096,)
    assert writer.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (32768,)
    await store.close()


async def test_a_file_of_larger_pages_keeps_them_and_a_log_of_the_same_bytes(tmp_path: Path) -> None:
    """Earlier releases made files so. Counted in pages, the log would grow to four times as much."""
    path = tmp_path / "hub.db"
    make_with_pages(path, 16384)
    store = SqliteStore.open(path)
    assert store._writer.execute("PRAGMA page_size").fetchone() == (16384,)
    assert store._writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (8192,)
    await store.close()


async def test_messages_of_an_early_release_are_there_after_the_upgrade(tmp_path: Path) -> None:
    """An upgrade keeps what was kept."""
    path = tmp_path / "hub.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, to="0002")
        connection.exec_driver_sql(
            "INSERT INTO messages VALUES (7, 1906545600123456, 'in', 'soap11', 'A', '', '', '', 'm', '', '', 'OK', '',"
            " NULL, NULL, x'', '', 0, 0, 0, x'00')"
        )
    engine.dispose()
    store = SqliteStore.open(path)
    found = await store.reader.log.find(7)
    assert found == an_entry(sequence=7, partner="A", message_id="m", outcome=Outcome.OK)
    async with store.transaction() as transaction:
        assert await transaction.log.append(an_entry(), b"") == 8
        assert await transaction.outbox.enqueue(a_delivery()) == 1
    await store.close()


_A_DELIVERY = (
    "INSERT INTO deliveries (message, cause, partner, kind, object_keys, priority, address, verb, noun, message_id,"
    " created_at, state, is_head, due_at, attempts, attempts_before, reason, received) VALUES (1, 1, '{}', 'event',"
    " '[]', 0, '', '', '', '', {}, '{}', {}, 0, 0, 0, '', '')"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind without tables."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'hub.db'}"


async def write_as_before(url: str, revision: str, statements: Iterable[str]) -> None:
    """What a release wrote whose tables were of this revision."""

    def write(connection: sqlalchemy.Connection) -> None:
        migrations.upgrade(connection, to=revision)
        for statement in statements:
            connection.exec_driver_sql(statement)

    if url.startswith("sqlite:"):
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            write(connection)
        engine.dispose()
    else:
        there = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1))
        async with there.begin() as beside:
            await beside.run_sync(write)
        await there.dispose()


async def rows_of(url: str, statement: str) -> list[tuple[object, ...]]:
    """What a statement finds, as text of the database."""

    def read(connection: sqlalchemy.Connection) -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    if url.startswith("sqlite:"):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            found = read(connection)
        engine.dispose()
        return found
    there = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1))
    async with there.connect() as beside:
        found = await beside.run_sync(read)
    await there.dispose()
    return found


async def test_an_upgrade_counts_what_partners_have_not_got(empty_url: str) -> None:
    """Dead letters of the release before are shown by this one."""
    states = ("waiting", "leased", "awaiting", "dead", "dead", "delivered", "discarded")
    rows = [_A_DELIVERY.format("GIS", at, state, "true") for at, state in enumerate(states, 1)]
    await write_as_before(empty_url, "0005", [*rows, _A_DELIVERY.format("CRM", 9, "delivered", "true")])
    store = await open_store(empty_url)
    assert await store.reader.outbox.backlogs() == (
        Backlog(partner="GIS", waiting=2, awaiting=1, dead=2, oldest_at=from_micros(1)),
    )
    await store.close()


_A_CALL = (
    "INSERT INTO records (collection, mrid, state, created_at, modified_at, keys, body)"
    """ VALUES ('cis.CallBacks', '{}', '{}', {}, 9, '[]', '{{"group":"NL-11","notice":"n","trigger":"powerRestored","""
    """"why":"","text":"","incident":"i","place":"p","contact_kind":"phone","contact":"1"}}')"""
)


async def test_after_an_upgrade_calls_that_have_not_ended_stand_in_line(empty_url: str) -> None:
    """In the order in which they may be made, and none that has ended."""
    calls = (("c", "waiting", 3), ("a", "answered", 1), ("b", "claimed", 2), ("d", "dropped", 4))
    await write_as_before(empty_url, "0007", [_A_CALL.format(*call) for call in calls])
    store = await open_store(empty_url)
    found = await select_open(store.reader.records, "", limit=10)
    assert [(one.mrid, one.state, one.created_at) for one in found] == [
        ("b", "claimed", from_micros(2)),
        ("c", "waiting", from_micros(3)),
    ]
    await store.close()


_A_NAMED = (
    "INSERT INTO records (id, collection, mrid, state, created_at, modified_at, keys, body)"
    " VALUES ({0}, 'test.Things', '{1}', '', {0}, {0}, CAST('{2}' AS {3}), CAST('{{}}' AS {3}))"
)
_A_KEY = "INSERT INTO record_keys VALUES ('test.Things', '{0}', '{1}', {2})"
_KEYS_BEFORE = {
    "a": ("CIS|Number|7", "CIS||7", "|Number|7", "||7"),
    "b": ("GIS|Number|7", "GIS||7", "|Number|7", "||7"),
    "c": ("x|y|7|8", "plain", "one|bar"),
}


async def test_after_an_upgrade_names_are_found_by_all_that_may_be_said_with_them(empty_url: str) -> None:
    """And take one row, for what is looked up by the others has the next row anyway."""
    kind = "BLOB" if empty_url.startswith("sqlite:") else "BYTEA"
    statements = []
    for number, (mrid, values) in enumerate(_KEYS_BEFORE.items(), 1):
        keys = json.dumps([["name", value] for value in sorted(values)], separators=(",", ":"))
        statements.append(_A_NAMED.format(number, mrid, keys, kind))
        statements += [_A_KEY.format("name", value, number) for value in values]
    await write_as_before(empty_url, "0008", statements)
    store = await open_store(empty_url)
    for value in sorted({value for values in _KEYS_BEFORE.values() for value in values}):
        found = await store.reader.records.find_by_key(_NAMED, Key("name", value))
        assert [one.mrid for one in found] == [mrid for mrid, values in _KEYS_BEFORE.items() if value in values], value
    async with store.transaction() as transaction:
        for mrid in _KEYS_BEFORE:
            await transaction.records.drop(_NAMED, MRID(mrid))
    await store.close()
    assert await rows_of(empty_url, "SELECT value FROM record_keys WHERE collection = 'test.Things'") == []


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the tables of a release are no use to either release."""
    path = tmp_path / "hub.db"

    real = migrations.upgrade

    def upgrade_and_fail(connection: sqlalchemy.Connection) -> None:
        real(connection)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(migrations, "upgrade", upgrade_and_fail)
    with pytest.raises(DatabaseError, match="disk I/O error"):
        SqliteStore.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    monkeypatch.undo()
    store = SqliteStore.open(path)
    store._writer.close()
    store._reader.close()


def test_a_start_waits_while_another_hub_makes_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that start together one upgrades, and none fails."""
    path = tmp_path / "hub.db"
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("PRAGMA journal_mode = WAL")
    busy.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        busy.rollback()

    monkeypatch.setattr(sqlite_file.time, "sleep", pause)
    store = SqliteStore.open(path)
    assert len(pauses) == 1
    store._writer.close()
    store._reader.close()
    busy.close()


def test_a_start_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A file that another program holds is named, with the reason."""
    path = tmp_path / "hub.db"
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("PRAGMA journal_mode = WAL")
    busy.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match=r"hub\.db cannot be used: database is locked"):
        SqliteStore.open(path, busy_timeout_seconds=0.0)
    busy.close()


async def test_a_start_on_current_tables_waits_for_nobody(tmp_path: Path) -> None:
    """A worker that comes back does not need the turn of those who write."""
    path = tmp_path / "hub.db"
    await SqliteStore.open(path).close()
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    store = SqliteStore.open(path, busy_timeout_seconds=0.0)
    busy.rollback()
    busy.close()
    await store.close()


def test_refuses_a_database_of_a_later_release(tmp_path: Path) -> None:
    """An old program must not write into tables that it does not understand."""
    path = tmp_path / "hub.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    with pytest.raises(DatabaseError, match=r"hub\.db.*revision 9999, which a later release wrote") as caught:
        SqliteStore.open(path)
    assert caught.value.code == "SET-104"


def test_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A mistyped path must name itself, not end in a traceback."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for the first page of one" * 20)
    with pytest.raises(DatabaseError, match=r"notes\.txt cannot be used: file is not a database"):
        SqliteStore.open(path)


def test_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """The commonest mistake of a first configuration."""
    with pytest.raises(DatabaseError, match="in a folder that exists"):
        SqliteStore.open(tmp_path / "missing" / "hub.db")


def test_reader_beside_the_hub_needs_a_file(tmp_path: Path) -> None:
    """Listing messages of a mistyped path must not create an empty database there."""
    with pytest.raises(DatabaseError, match=r"none\.db cannot be used"):
        open_reader(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_reader_beside_the_hub_needs_tables_of_this_release(tmp_path: Path) -> None:
    """The hub brings them up to date; who only looks does not."""
    path = tmp_path / "hub.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, to="0002")
    engine.dispose()
    with pytest.raises(DatabaseError, match=r"hub\.db cannot be used: no such table: backlogs"):
        open_reader(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://host/db", "hub.db"])
def test_refuses_a_url_that_names_no_file(url: str) -> None:
    """Said at once, with the two forms that are accepted."""
    with pytest.raises(DatabaseError, match=r"sqlite:///name\.db"):
        path_of(url)


@pytest.mark.parametrize(("url", "path"), [("sqlite:///a.db", "a.db"), ("sqlite:////var/a.db", "/var/a.db")])
def test_url_names_a_file(url: str, path: str) -> None:
    """Three slashes are relative, four absolute, as everywhere."""
    assert path_of(url) == Path(path)
