"""Several processes on one file of SQLite: none fails, nothing is lost, and the audit trail stays one chain."""

import subprocess
import sys
from pathlib import Path

from cimcare.exchange.audit import START, hash_of_message, hash_of_row
from cimcare.exchange.ledger import hour_of
from cimcare.exchange.outbox import DeliverySelection
from cimcare.exchange.ports import Selection
from cimcare.store.opening import open_reader
from tests.support.stored import NOON, THINGS

PROCESSES = 3
CLIENTS = 5
MESSAGES = 30

_PROGRAM = """
import asyncio
import sys
from cimcare.exchange.ledger import Account, Ends
from cimcare.store.opening import open_store
from tests.support.stored import NOON, THINGS, a_delivery, a_thing, an_entry

async def run(url, name, clients, messages):
    store = await open_store(url)

    async def work(client):
        for number in range(messages):
            async with store.transaction() as transaction:
                message = f"{name}-{client}-{number}"
                sequence = await transaction.log.append(an_entry(message_id=message), message.encode())
                await transaction.records.save(THINGS, a_thing(message))
                await transaction.outbox.enqueue(a_delivery("k", message=sequence, cause=sequence))
                await transaction.ledger.count("GIS", NOON, Account.OUT, Ends.RECEIVED)

    await asyncio.gather(*(work(client) for client in range(clients)))
    await store.close()

asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def run_together(url: str) -> list[int]:
    """Start all processes, wait for their ends; their exit codes."""
    root = Path(__file__).parents[2]
    counts = (str(CLIENTS), str(MESSAGES))
    running = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, url, f"p{number}", *counts], cwd=root)
        for number in range(PROCESSES)
    ]
    return [process.wait(120) for process in running]


async def test_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    """They start at once, on a file that none of them has made yet, and write as fast as they can."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    assert run_together(url) == [0] * PROCESSES
    wanted = {
        f"p{process}-{client}-{number}"
        for process in range(PROCESSES)
        for client in range(CLIENTS)
        for number in range(MESSAGES)
    }
    async with open_reader(url) as reader:
        things = await reader.records.select(THINGS, Selection(limit=10_000))
        assert {thing.mrid for thing in things} == wanted
        rows = await reader.audit.rows(limit=10_000)
        assert [row.number for row in rows] == list(range(1, len(wanted) + 1))
        previous = START
        for row in rows:
            assert (row.previous, row.hash) == (previous, hash_of_row(row))
            previous = row.hash
            (sealed,) = row.messages
            entry, raw = await reader.log.find(sealed.sequence), await reader.log.find_raw(sealed.sequence)
            assert entry is not None
            assert raw is not None
            assert hash_of_message(entry, raw) == sealed.hash
        (line,) = await reader.ledger.lines(hour_of(NOON), NOON)
        assert line.received == len(wanted)
        heads = [row.number for row in await reader.outbox.select(DeliverySelection(limit=10_000)) if row.is_head]
        assert heads == [1]
