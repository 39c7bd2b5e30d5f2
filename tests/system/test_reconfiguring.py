"""Another configuration for a hub that runs, by the command: nothing accepted is lost, done twice or forgotten."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cimcare.model.envelope import Result
from cimcare.simulator.running import running_partner
from tests.support.hub import hub_process
from tests.system.test_kill import a_create, result_of, send_all, stored_tickets

LOOKS = 6000
"""How often one looks at most; far more than it takes, so that a test that would hang ends."""

QUICK = "hub.queue_limit = 5000\nhub.wait_seconds = 600\ndelivery.poll_seconds = 0.05\n"
RETRY = "retry_first_seconds = 0.02\nretry_most_seconds = 0.1\n"


async def apply(folder: Path, text: str) -> str:
    """Put a file in force as an operator does, while the loop goes on; what the command prints."""
    (folder / "cimcare.toml").write_text(text)
    database = f"sqlite:///{folder / 'hub.db'}"
    command = [sys.executable, "-m", "cimcare", "config", "apply", "--actor", "ann", "--database", database]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")}
    ran = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to pass")


def deliveries(folder: Path) -> Counter[tuple[str, str]]:
    """How many deliveries there are, by partner and state."""
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        return Counter(connection.execute("SELECT partner, state FROM deliveries").fetchall())


async def test_a_noun_changes_its_owner_under_load_and_every_message_gets_there_once(tmp_path: Path) -> None:
    """The day on which the real OMS takes over; and the day on which it is taken out again."""
    accepted: list[str] = []

    async def send(hub: str, count: int) -> None:
        messages = dict(a_create(len(accepted) + number) for number in range(count))
        replies = await send_all(hub, messages)
        assert {result_of(reply) for reply in replies.values()} == {Result.OK}
        accepted.extend(messages)

    async def load(hub: str, *, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            await send(hub, 20)

    with running_partner(name="OMS") as oms, hub_process(tmp_path, QUICK) as hub:

        def built_in() -> set[str]:
            return set(stored_tickets(tmp_path / "hub.db"))

        def remote() -> Counter[str]:
            return Counter(mrid for entry in oms.effects for mrid in entry.objects)

        is_over = asyncio.Event()
        task = asyncio.create_task(load(hub.address, is_over=is_over))
        try:
            await until(lambda: len(accepted) >= 40)
            shown = await apply(tmp_path, f'[systems.oms]\nurl = "{oms.address}/soap"\n')
            assert "+ role oms" in shown
            await until(lambda: len(oms.effects) >= 40 or task.done())
            assert "- role oms" in await apply(tmp_path, "")
            before = len(built_in())
            await until(lambda: len(built_in()) >= before + 40 or task.done())
        finally:
            is_over.set()
            await task
        assert hub.stop() == 0
        at_home, away = built_in(), len(oms.effects)
    assert len(accepted) == len(set(accepted))
    assert 0 < away < len(accepted)
    assert len(at_home) + away == len(accepted), "each ticket is in one place, and in one only"
    assert max(remote().values()) == 1
    assert at_home < set(accepted)


async def test_what_waits_for_a_partner_outlives_its_removal(tmp_path: Path) -> None:
    """Taken out of the file by mistake on Friday, put back at another address on Monday."""
    count = 30

    def gis(address: str) -> str:
        return f'[subscriptions.gis]\nurl = "{address}/soap"\nverbs = ["created"]\nnouns = ["TroubleTickets"]\n{RETRY}'

    with running_partner(name="gis", behaviour="busy") as old, running_partner(name="gis") as new:
        with hub_process(tmp_path, QUICK + gis(old.address)) as hub:
            replies = await send_all(hub.address, dict(a_create(number) for number in range(count)))
            assert {result_of(reply) for reply in replies.values()} == {Result.OK}
            await until(lambda: len(old.entries) >= count)
            shown = await apply(tmp_path, "")
            assert "- partner gis\n" in shown
            assert f"gis is removed with deliveries that it has not got ({count} waiting" in shown
            assert sum(deliveries(tmp_path).values()) == count
            await apply(tmp_path, gis(new.address))
            await until(lambda: deliveries(tmp_path) == {("gis", "delivered"): count})
            assert hub.stop() == 0
        assert not old.effects
        assert len(new.effects) == len(new.entries) == count
        # What was tried at the old address carries the same identifiers at the new one.
        assert {entry.message_id for entry in old.entries} <= {entry.message_id for entry in new.effects}
