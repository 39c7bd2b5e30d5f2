"""Several hub processes behind one address: who serves, what a dead one takes with it, and how all of them end."""

import asyncio
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from cimcare.exchange.log import LogSelection
from cimcare.hub.config.configuration import apply, in_force
from cimcare.model.envelope import Result
from cimcare.store.opening import open_reader, open_store
from cimcare.store.postgres_session import LOCK
from tests.support.hub import HubProcess, hub_process, hub_settings
from tests.system.test_kill import LIMIT, a_create, effects_of, result_of, send_all, stored_tickets

MANY = 300
PATIENCE_SECONDS = 60.0
COUNTED = re.compile(r'^cimcare_messages_total\{[^}]*verb="create"[^}]*\} (\S+)$', re.MULTILINE)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; a test that waits in vain fails."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def logged(folder: Path, event: str) -> list[dict[str, object]]:
    """Lines of the hub's log about an event; every whole line is JSON."""
    lines = (folder / "hub.log").read_text().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry for entry in entries if entry["event"] == event]


def pids(folder: Path) -> dict[int, int]:
    """Process of each worker that was ready; the latest of each."""
    return {int(str(entry["worker"])): int(str(entry["pid"])) for entry in logged(folder, "worker ready")}


async def all_ready(folder: Path, count: int) -> dict[int, int]:
    """Wait until so many workers became ready, counting those that took the place of others."""
    await until(lambda: len(logged(folder, "worker ready")) >= count)
    return pids(folder)


def watch(pid: int) -> Callable[[], bool]:
    """Whether a process has ended, even if nobody asked for its exit code, and whoever has its number then."""
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    return lambda: bool(poll.poll(0))


class Line:
    """A connection that stays what it is: no client opens another one in its place."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> str | None:
        """Body of the answer; None if the connection has ended."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head)
            assert length
            return (await self._reader.readexactly(int(length[1]))).decode()
        return None

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@asynccontextmanager
async def lines_to(hub: HubProcess, count: int) -> AsyncIterator[list[Line]]:
    """So many connections, opened at once and served."""
    host, port = hub.address.removeprefix("http://").split(":")
    opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(count)))
    lines = [Line(*streams) for streams in opened]
    assert set(await asyncio.gather(*(line.get("/healthz") for line in lines))) == {'{"status":"ok"}'}
    yield lines
    for line in lines:
        await line.close()


async def test_connections_are_shared_evenly_and_a_worker_takes_only_its_own_with_it(tmp_path: Path) -> None:
    """Partners keep few connections and keep them for days: a worker left without any is a processor that idles."""
    with hub_process(tmp_path, workers=2) as hub:
        workers = await all_ready(tmp_path, 2)
        async with lines_to(hub, 32) as lines:
            os.kill(workers[1], signal.SIGKILL)
            await until(watch(workers[1]))
            answers = await asyncio.gather(*(line.get("/healthz") for line in lines))
            assert Counter(answers) == {None: 16, '{"status":"ok"}': 16}
        assert hub.stop() == 0


async def test_whoever_is_asked_tells_what_all_have_counted(tmp_path: Path) -> None:
    """A collector reaches one worker by chance; the count of messages must not jump between them, or fall with one."""
    with hub_process(tmp_path, LIMIT, workers=2) as hub:
        workers = await all_ready(tmp_path, 2)
        replies = await send_all(hub.address, dict(a_create(number) for number in range(40)))
        assert {result_of(reply) for reply in replies.values()} == {Result.OK}
        async with lines_to(hub, 2) as lines:  # one to each
            for line in lines:
                page = await line.get("/metrics")
                assert page
                assert sum(float(count) for count in COUNTED.findall(page)) == 40
                assert "\ncimcare_workers 2.0\n" in page
                assert "\ncimcare_queue_depth 0.0\n" in page
        os.kill(workers[2], signal.SIGKILL)
        await all_ready(tmp_path, 3)
        replies = await send_all(hub.address, dict(a_create(number) for number in range(40, 50)))
        async with lines_to(hub, 2) as lines:
            for line in lines:
                page = await line.get("/metrics")
                assert page
                assert sum(float(count) for count in COUNTED.findall(page)) == 50
                assert "\ncimcare_workers 2.0\n" in page
        hub.process.send_signal(signal.SIGINT)
        assert hub.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_one_that_is_killed_is_replaced_and_nothing_accepted_is_lost(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    """Out of memory in the worst hour: the others go on, and who got no answer sends again."""
    database = request.getfixturevalue("postgres_url") if store == "postgresql" else f"sqlite:///{tmp_path / 'hub.db'}"
    messages = dict(a_create(number) for number in range(MANY))
    with hub_process(tmp_path, LIMIT, database=database, workers=2) as hub:
        workers = await all_ready(tmp_path, 2)
        assert logged(tmp_path, "worker ended") == [], "both open a new database at once"
        oks = 0

        def count() -> None:
            nonlocal oks
            oks += 1
            if oks == MANY // 6:
                os.kill(workers[1], signal.SIGKILL)

        replies = await send_all(hub.address, messages, count)
        assert all(result_of(reply) in (Result.OK, None) for reply in replies.values())
        accepted = {mrid for mrid, reply in replies.items() if result_of(reply) is Result.OK}
        assert MANY // 6 <= len(accepted) < MANY, "killed before the first or after the last answer"
        replaced = await all_ready(tmp_path, 3)
        assert replaced[1] != workers[1]
        assert replaced[2] == workers[2]
        (ended,) = logged(tmp_path, "worker ended")
        assert (ended["worker"], ended["code"], ended["reason"]) == (1, "SET-121", "ended by SIGKILL")

        again = await send_all(hub.address, messages)
        assert {result_of(reply) for reply in again.values()} == {Result.OK}
        for mrid in accepted:
            assert again[mrid] == replies[mrid], "a repeat gets the reply of the first time"
        assert hub.stop() == 0
    async with open_reader(database) as reader:
        wanted = LogSelection(verb="created", noun="TroubleTickets", limit=10_000)
        effects = Counter(entry.correlation_id for entry in await reader.log.select(wanted))
    assert len(effects) == MANY
    assert set(effects.values()) == {1}, "a request took effect twice"


async def test_one_that_takes_the_place_of_another_leaves_in_force_what_was_applied_since(tmp_path: Path) -> None:
    """The death of a process must not undo what an operator did, with the file of last month."""
    partner = '[partners.billing]\nurl = "http://127.0.0.1:9/"\nsource = "BILLING"\n'
    with hub_process(tmp_path, workers=2) as hub:
        workers = await all_ready(tmp_path, 2)
        store = await open_store(f"sqlite:///{tmp_path / 'hub.db'}")
        async with store.transaction() as transaction:
            await apply(transaction, hub_settings(tmp_path, partner), actor="ann", now=datetime.now(UTC))
        os.kill(workers[1], signal.SIGTERM)
        await all_ready(tmp_path, 3)
        (ended,) = logged(tmp_path, "worker ended")
        assert ended["reason"] == "ended with exit code 0"
        assert [one.name for one in (await in_force(store.reader.records)).partners] == ["billing"]
        await store.close()
        assert hub.stop() == 0


async def test_asked_to_stop_all_answer_what_is_under_way(tmp_path: Path) -> None:
    """An upgrade must look like a pause, with however many processes."""
    messages = dict(a_create(number) for number in range(MANY))
    with hub_process(tmp_path, LIMIT, workers=2) as hub:
        ended = [watch(pid) for pid in (await all_ready(tmp_path, 2)).values()]

        def stop() -> None:
            hub.process.terminate()

        replies = await send_all(hub.address, messages, stop)
        assert hub.process.wait(PATIENCE_SECONDS) == 0
        assert all(has() for has in ended), "left behind"
    accepted = {mrid for mrid, reply in replies.items() if result_of(reply) is Result.OK}
    assert accepted
    assert set(stored_tickets(tmp_path / "hub.db")) == accepted, "taken in, but not answered"
    assert set(effects_of(tmp_path / "hub.db").values()) == {1}
    assert not (tmp_path / "hub.db-wal").exists(), "the log of writes was not moved into the file"
    assert len(logged(tmp_path, "worker ready")) == 2, "one that was to end was replaced"


async def test_workers_end_when_their_parent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left behind, they would hold the database and go on delivering beside the hub that is started next."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with hub_process(tmp_path, workers=2) as hub:
        ended = [watch(pid) for pid in (await all_ready(tmp_path, 2)).values()]
        (folder,) = scratch.iterdir()
        assert is_locked(folder), "cleaned up after ten days, with all that was counted"
        async with lines_to(hub, 4):
            hub.kill()
            await until(lambda: all(has() for has in ended))
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "hub.db-wal").exists(), "they did not drain"


async def test_workers_that_wait_for_the_database_end_with_their_parent_too(tmp_path: Path, postgres_url: str) -> None:
    """Another hub upgrades, which takes its time, and the operator loses patience in the hardest way."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})")

    async def until_waiting(count: int) -> None:
        """Wait until so many wait for the lock."""
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await connection.fetchval(waiting) != count:
                await asyncio.sleep(0.01)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cimcare", "serve", "--workers", "2", "--port", "0", "--database", postgres_url),
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await until_waiting(2)
        process.kill()
        await until_waiting(0)
        output, log = await process.communicate()  # until all have closed their ends
        assert (output, log) == (b"", b"")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await connection.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--database", "sqlite:///missing/hub.db"], "database missing/hub.db cannot be used"),
        (["--schema-dir", "own"], "own/bad.xsd"),
    ],
)
def test_workers_that_cannot_start_say_why(tmp_path: Path, arguments: list[str], told: str) -> None:
    """The reason is known in processes that nobody sees; it has to reach who gave the command."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/bad.xsd").write_text("<a/>")
    done = subprocess.run(
        [sys.executable, "-m", "cimcare", "serve", "--workers", "2", "--port", "0", *arguments],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    *log, last = done.stderr.splitlines()
    assert last.startswith("cimcare: workers cannot start: ")
    assert told in last
    assert "Traceback" not in done.stderr
    ends = [entry for entry in map(json.loads, log) if entry["event"] == "worker ended"]
    assert {entry["worker"] for entry in ends} == {1, 2}
    assert all(told in entry["reason"] for entry in ends)
