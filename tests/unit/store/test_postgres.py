"""PostgreSQL: what it says of a database that it cannot use, lost connections, and several stores on one database."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from cimcare.exchange.log import LogSelection, Outcome
from cimcare.exchange.ports import Key, Selection
from cimcare.exchange.store import StoreError
from cimcare.store import migrations, postgres, postgres_session
from cimcare.store.errors import DatabaseError
from cimcare.store.opening import open_reader, open_store
from cimcare.store.postgres import PostgresStore
from cimcare.store.tables import METADATA
from cimcare.store.urls import shown_url
from tests.support.gate import COMMIT, Gate, cut, operator
from tests.support.postgres import PostgresServer
from tests.support.stored import NOON, THINGS, a_thing, an_entry, is_defined_for_all, save, stored_in


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(postgres_url)
    yield store
    await store.close()


@pytest.fixture
async def other(store: PostgresStore, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A second hub's store on the same database."""
    other = await PostgresStore.open(postgres_url)
    yield other
    await other.close()


def with_part(url: str, **parts: str) -> str:
    return urlunsplit(urlsplit(url)._replace(**parts))


# --------------------------------------------------------------------------------------------- what cannot be used


async def test_a_wrong_password_is_refused_and_not_shown(postgres_url: str) -> None:
    """The message goes into logs and tickets."""
    host = urlsplit(postgres_url).netloc.rpartition("@")[2]
    for open_ in (open_store(with_part(postgres_url, netloc=f"tester:s3cret@{host}")), _read(postgres_url, host)):
        with pytest.raises(DatabaseError, match=r"postgresql://tester@127\.0\.0\.1.*password authentication") as caught:
            await open_
        assert caught.value.code == "SET-104"
        assert "s3cret" not in str(caught.value)


async def _read(url: str, host: str) -> None:
    async with open_reader(with_part(url, netloc=f"tester:s3cret@{host}")):
        pass


async def test_a_database_that_is_not_there_is_refused(postgres_url: str) -> None:
    """With the name, and what makes it."""
    with pytest.raises(DatabaseError, match=r'database "nowhere" does not exist.*createdb'):
        await open_store(with_part(postgres_url, path="/nowhere"))


async def test_a_server_that_is_not_there_is_refused() -> None:
    """A wrong port is the commonest mistake after a wrong password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"postgresql://u:s3cret@127.0.0.1:{taken.getsockname()[1]}/db"
        with pytest.raises(
            DatabaseError, match=r"u@127\.0\.0\.1:\d+/db cannot be used: no server answers there"
        ) as caught:
            await open_store(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:p@ss:w/rd@host/db", "postgresql://u:secret@host:port/db"])
async def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    """A password with special characters must be written with %; what was written is not repeated."""
    with pytest.raises(DatabaseError, match=r"the URL cannot be read.*%40") as caught:
        await open_store(url)
    assert "w/rd" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_database_in_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    """It would take the first German name badly, months later."""
    postgres_server.execute("CREATE DATABASE cimcare_latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        with pytest.raises(DatabaseError, match=r"encoding LATIN1.*encoding UTF8"):
            await open_store(postgres_server.url_of("cimcare_latin"))
    finally:
        postgres_server.execute("DROP DATABASE cimcare_latin WITH (FORCE)")


async def test_a_database_of_a_later_release_is_refused(store: PostgresStore, postgres_url: str) -> None:
    """An old program must not write into tables that it does not understand."""
    async with operator(postgres_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="revision 9999, which a later release wrote"):
        await open_store(postgres_url)


async def test_a_user_without_rights_is_refused(postgres_server: PostgresServer, postgres_url: str) -> None:
    """From release 15 on a new user may make no tables; that is said before the first message comes."""
    async with operator(postgres_url) as connection:
        await connection.execute("DROP ROLE IF EXISTS cimcare_nobody; CREATE ROLE cimcare_nobody LOGIN PASSWORD 'x'")
    host = urlsplit(postgres_url).netloc.rpartition("@")[2]
    with pytest.raises(DatabaseError, match="permission denied for schema public"):
        await open_store(with_part(postgres_url, netloc=f"cimcare_nobody:x@{host}"))
    async with operator(postgres_url) as connection:
        await connection.execute("DROP ROLE cimcare_nobody")


async def test_reader_needs_the_tables_of_a_hub(postgres_url: str) -> None:
    """Listing messages of the wrong database must not make tables there."""
    with pytest.raises(DatabaseError, match='relation "backlogs" does not exist'):
        async with open_reader(postgres_url):
            pass
    async with operator(postgres_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


@pytest.mark.parametrize("package", ["asyncpg", "greenlet"])
async def test_missing_packages_are_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is an extra; who did not install it reads what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatabaseError, match=rf"not installed: {package}\..*pip install 'cimcare\[postgresql\]'"):
        await open_store("postgresql://host/db")
    with pytest.raises(DatabaseError, match=r"pip install 'cimcare\[postgresql\]'"):
        async with open_reader("postgres://host/db"):
            pass


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@host:5432/db?sslmode=require&password=x", "postgresql://u@host:5432/db"),
        ("postgres:///db", "postgres:///db"),
        ("postgresql://u:p%40ss@[::1]/db", "postgresql://u@[::1]/db"),
        ("postgresql://u:p@ss@host/db", "postgresql://..."),
        ("postgresql://u:p/ss@host/db", "postgresql://..."),
        ("postgresql://u:p?ss@host/db", "postgresql://..."),
        ("postgresql://u:p#ss@host/db", "postgresql://..."),
        ("mysql://u:p@host/db", "mysql://..."),
        ("u:p@host", "..."),
        ("sqlite:////srv/a@b/hub.db", "sqlite:////srv/a@b/hub.db"),
        ("hub.db", "hub.db"),
    ],
)
def test_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """Logs are read by more people than settings."""
    assert shown_url(url) == shown


# ------------------------------------------------------------------------------------------------- connections


async def test_a_connection_that_was_lost_while_idle_is_replaced(store: PostgresStore, postgres_url: str) -> None:
    """A restart of the server at night costs no message in the morning."""
    await save(store, "a")
    assert await stored_in(store) == ["a"]
    await cut(postgres_url)
    await save(store, "b")
    await cut(postgres_url)
    assert await stored_in(store) == ["a", "b"]


async def test_a_connection_lost_in_the_middle_leaves_nothing_half_done(
    store: PostgresStore, postgres_url: str
) -> None:
    """The message is refused with 5.x, and the next one is served."""
    with pytest.raises(StoreError) as caught:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            await transaction.log.append(an_entry(), b"")
            await cut(postgres_url)
            await transaction.records.save(THINGS, a_thing("other half"))
    assert caught.value.row.reply_code == "5.1"
    assert await stored_in(store) == []
    await save(store, "a")
    assert await stored_in(store) == ["a"]
    assert await store.reader.log.select(LogSelection()) == ()


async def test_a_connection_lost_before_the_commit_is_told_to_all_of_it(
    store: PostgresStore, postgres_url: str
) -> None:
    """Told and kept must agree, also for the one who was done already."""
    entered, may_leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("b"))
            entered.set()
            await may_leave.wait()

    first, second = asyncio.create_task(save(store, "a")), asyncio.create_task(hold())
    await entered.wait()
    await cut(postgres_url)
    may_leave.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [StoreError, StoreError]
    assert await stored_in(store) == []


async def test_a_statement_that_fails_is_undone_alone(store: PostgresStore) -> None:
    """An error of the database in one message is no error of its neighbours."""

    async def fail() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            await transaction.records.select(THINGS, Selection(limit=-1))

    results = await asyncio.gather(save(store, "a"), fail(), save(store, "b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert "LIMIT must not be negative" in str(results[1])
    assert await stored_in(store) == ["a", "b"]


async def test_a_failed_statement_that_was_overlooked_is_not_committed(store: PostgresStore) -> None:
    """PostgreSQL answers a COMMIT after an error with ROLLBACK, and without any error."""
    with pytest.raises(StoreError):
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            with pytest.raises(StoreError):
                await transaction.records.select(THINGS, Selection(limit=-1))
    assert await stored_in(store) == []
    await save(store, "a")
    assert await stored_in(store) == ["a"]


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_answer_to_a_commit_is_looked_up(postgres_url: str, arrives: bool) -> None:
    """Whoever is told FAILED sends again, and whoever is told OK does not: a guess would be wrong for one of them."""
    gate = Gate(postgres_url)
    gate.passes_on = arrives
    async with gate() as url:
        store = await PostgresStore.open(url)
        gate.loses = COMMIT
        result = (await asyncio.gather(save(store, "a"), return_exceptions=True))[0]
        assert gate.loses is None
        assert (result is None) is arrives
        assert await stored_in(store) == (["a"] if arrives else [])
        await save(store, "b")
        assert await stored_in(store) == (["a", "b"] if arrives else ["b"])
        await store.close()


async def test_a_commit_that_cannot_be_looked_up_is_called_unknown(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing better can be said; the sender's repeat with the same MessageID puts it right."""
    monkeypatch.setattr(postgres, "_PAUSES_SECONDS", (0.0, 0.0))
    gate = Gate(postgres_url)
    async with gate() as url:
        store = await PostgresStore.open(url)
        gate.loses, gate.refuses = COMMIT, True
        with pytest.raises(StoreError, match="whether the message was kept is unknown"):
            await save(store, "a")
        with pytest.raises(StoreError):
            await save(store, "b")
        gate.refuses = False
        await save(store, "c")
        assert await stored_in(store) == ["a", "c"]
        await store.close()


async def test_commits_are_synchronous_also_where_the_server_is_set_otherwise(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A database tuned for speed must not turn an OK into a hope."""
    name = urlsplit(postgres_url).path.removeprefix("/")
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = await PostgresStore.open(postgres_url)
    for _ in range(2):
        assert store._connection is not None
        assert await store._connection.fetchval("SHOW synchronous_commit") == "on"
        await cut(postgres_url)
        await save(store, "a")
    await store.close()


@pytest.mark.parametrize("text", ["plain", "Grün", "\U0001f600", "a" * 5000])
def test_texts_that_fit_stay_as_they_are(text: str) -> None:
    """The log is evidence."""
    assert postgres_session.as_text(text) == text
    assert postgres_session.as_key(text[:500]) == text[:500]


async def test_texts_that_the_database_cannot_hold_are_stored_all_the_same(store: PostgresStore) -> None:
    """A broken header from the wire must not end as an error of the database."""
    async with store.transaction() as transaction:
        odd = an_entry(partner="a\0b", message_id="\ud800x", content_type="\0", outcome=Outcome.OK)
        sequence = await transaction.log.append(odd, b"\0")
        await transaction.records.save(THINGS, a_thing("a", Key("name", "x\0y")))
    found = await store.reader.log.find(sequence)
    assert found is not None
    assert (found.partner, found.message_id) == ("a\ufffdb", "\ufffdx")
    assert await store.reader.log.find_original("a\0b", "\ud800x", NOON) == found
    assert await store.reader.log.select(LogSelection(partner="a\0b")) == (found,)
    assert len(await store.reader.records.find_by_key(THINGS, Key("name", "x\0y"))) == 1
    assert await store.reader.records.find_by_key(THINGS, Key("name", "x\0z")) == ()


# ----------------------------------------------------------------------------------------------- several hubs


async def test_several_hubs_may_start_at_once_on_an_empty_database(postgres_url: str) -> None:
    """A cluster that comes up after a power cut starts everything in the same second."""
    stores = await asyncio.gather(*(PostgresStore.open(postgres_url) for _ in range(4)))
    await asyncio.gather(*(save(store, f"t{number}") for number, store in enumerate(stores)))
    assert sorted(await stored_in(stores[0])) == ["t0", "t1", "t2", "t3"]
    for store in stores:
        await store.close()


async def test_two_hubs_see_each_other_before_they_decide(store: PostgresStore, other: PostgresStore) -> None:
    """Forty calls from one house over two hubs are one incident, and no call is lost."""

    async def call(through: PostgresStore, number: int) -> None:
        async with through.transaction() as transaction:
            records = transaction.records
            await records.save(THINGS, a_thing(f"ticket-{number}"))
            if not await records.find_by_key(THINGS, Key("place", "p")):
                await asyncio.sleep(0)
                await records.save(THINGS, a_thing(f"incident-{number}", Key("place", "p")))

    await asyncio.gather(*(call((store, other)[number % 2], number) for number in range(40)))
    kept = await stored_in(store)
    assert len([mrid for mrid in kept if mrid.startswith("ticket")]) == 40
    assert len([mrid for mrid in kept if mrid.startswith("incident")]) == 1


async def test_a_page_never_passes_a_sequence_that_is_committed_later(
    store: PostgresStore, other: PostgresStore
) -> None:
    """A follower that reads on behind the last sequence would miss that message for ever."""
    written: set[int] = set()

    async def write(through: PostgresStore, number: int) -> None:
        async with through.transaction() as transaction:
            given = await transaction.log.append(an_entry(message_id=str(number)), b"")
            if number % 7 == 3:
                raise LookupError("on purpose")
        written.add(given)

    seen: list[int] = []

    async def follow() -> None:
        while not seen or len(seen) < len(written) or len(written) < 51:
            after = seen[-1] if seen else None
            seen.extend(entry.sequence for entry in await store.reader.log.select(LogSelection(after=after, limit=5)))

    writing = (write((store, other)[number % 2], number) for number in range(60))
    results, _ = await asyncio.gather(asyncio.gather(*writing, return_exceptions=True), asyncio.wait_for(follow(), 60))
    assert sum(isinstance(result, LookupError) for result in results) == 9
    assert seen == sorted(written)


async def test_one_hub_that_dies_in_the_middle_holds_nobody_up(store: PostgresStore, other: PostgresStore) -> None:
    """What it had begun is undone by the server, and the lock is free."""

    async def die() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            assert store._connection is not None
            store._connection.terminate()

    with pytest.raises(StoreError):
        await die()
    await save(other, "b")
    assert await stored_in(other) == ["b"]


async def test_a_hub_that_holds_the_lock_too_long_makes_others_refuse(
    store: PostgresStore, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reason, and a reply that asks the sender to come again; afterwards all is as before."""
    monkeypatch.setitem(postgres_session._SETTINGS, "lock_timeout", "50ms")
    assert other._connection is not None
    other._connection.terminate()  # the next one has the setting
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("a"))
        with pytest.raises(StoreError, match="another hub wrote for longer than 50ms") as caught:
            await save(other, "b")
    assert caught.value.row.reply_code == "5.1"
    await save(other, "c")
    assert await stored_in(store) == ["a", "c"]


# ------------------------------------------------------------------------------------------------------ tables


async def _tables(url: str, make: Callable[[sqlalchemy.Connection], object]) -> tuple[list[tuple[object, ...]], object]:
    """Columns and indexes that PostgreSQL has after `make`, and what Alembic would still change."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))

    def differences(connection: sqlalchemy.Connection) -> object:
        opts = {"compare_type": True, "compare_server_default": True, "include_object": is_defined_for_all}
        context = MigrationContext.configure(connection, opts=opts)
        return compare_metadata(context, METADATA)

    async with engine.begin() as connection:
        await connection.run_sync(make)
        rows: list[tuple[object, ...]] = []
        for statement in (
            "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
            " ORDER BY table_name, ordinal_position",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            " ORDER BY indexname",
        ):
            rows += [tuple(row) for row in (await connection.exec_driver_sql(statement)).fetchall()]
        different = await connection.run_sync(differences)
    await engine.dispose()
    return rows, different


async def test_migrations_lead_to_the_tables_of_this_release(postgres_server: PostgresServer) -> None:
    """An upgraded database and a fresh one must not differ in a column or an index, on this dialect either."""
    with postgres_server.database() as migrated, postgres_server.database() as created:
        by_migration, left_over = await _tables(migrated, migrations.upgrade)
        by_definition, _ = await _tables(created, METADATA.create_all)
    assert by_migration == by_definition
    assert left_over == []


@pytest.mark.parametrize("revision", ["0001", "0002"])
async def test_a_database_of_any_earlier_release_is_brought_up_to_date(
    postgres_server: PostgresServer, postgres_url: str, revision: str
) -> None:
    """With all that it holds, and to the same tables as a fresh one."""

    def make_earlier(connection: sqlalchemy.Connection) -> None:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    await _tables(postgres_url, make_earlier)
    async with operator(postgres_url) as connection:
        await connection.execute(
            "INSERT INTO messages (received_at, direction, transport, partner, archetype, verb, noun, message_id,"
            " correlation_id, context, outcome, codes, digest, content_type, status, truncated, size_bytes, raw)"
            " VALUES (1, 'in', 'soap11', 'CRM', 'RequestMessage', 'create', 'TroubleTickets', 'm', '', '', 'OK', '',"
            " '', '', 200, false, 1, 'x')"
        )
    store = await PostgresStore.open(postgres_url)
    (entry,) = await store.reader.log.select(LogSelection(message_id="m"))
    async with store.transaction() as transaction:
        assert await transaction.log.append(an_entry(), b"") == entry.sequence + 1
    await store.close()
    upgraded, left_over = await _tables(postgres_url, migrations.upgrade)
    with postgres_server.database() as created:
        assert upgraded == (await _tables(created, METADATA.create_all))[0]
    assert left_over == []


async def test_long_contents_are_compressed_quickly_or_not_at_all(store: PostgresStore, postgres_url: str) -> None:
    """PostgreSQL's own choice costs half of the rate."""
    async with operator(postgres_url) as connection:
        rows = await connection.fetch(
            "SELECT attcompression, attstorage FROM pg_attribute"
            " WHERE attrelid IN ('messages'::regclass, 'records'::regclass, 'deliveries'::regclass, 'audit'::regclass)"
            " AND attname IN ('raw', 'body', 'keys', 'received', 'messages')"
        )
    assert len(rows) == 5
    assert all(row["attcompression"] == b"l" or row["attstorage"] == b"e" for row in rows)
