"""Two hubs on one database that share the work: who takes messages, who carries, and what each does by the clock."""

import asyncio
from pathlib import Path

from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.duty import Duty
from tests.support.sender import ScriptedSender
from tests.unit.hub.conftest import HeldHub
from tests.unit.hub.outgoing.test_delivery import CRM, GIS, SUBSCRIPTIONS, a_create, ask_ok

RARELY = "[delivery]\npoll_seconds = 60\n"


class Sharing(HeldHub):
    """A process with its own way to partners."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = ScriptedSender()
        self.put = 0

    def note_put(self) -> None:
        self.put += 1

    async def begin(self, folder: Path, duty: Duty) -> None:
        self.ids = 1_000_000 * list(Duty).index(duty)  # two processes make no identifier twice
        await self.open(
            folder,
            RARELY,
            sender=self.sender,
            partners=(GIS, CRM),
            subscriptions=SUBSCRIPTIONS,
            duty=duty,
            on_put=self.note_put,
        )

    async def states(self) -> set[DeliveryState]:
        return {one.state for one in await self.store.reader.outbox.select(DeliverySelection(limit=1000))}

    def jobs(self) -> set[str]:
        """What it does by the clock."""
        return {task.get_name() for task in self.hub.upkeep._tasks}


async def test_one_takes_and_the_other_carries(tmp_path: Path) -> None:
    """The process at the door has told that something was put in, and has carried nothing."""
    door, carrier = Sharing(), Sharing()
    await door.begin(tmp_path, Duty.TAKE)
    await carrier.begin(tmp_path, Duty.CARRY)
    await asyncio.sleep(0.1)  # its first looks find nothing
    await ask_ok(door, a_create())
    assert door.put == 1
    await asyncio.sleep(0.1)
    assert await door.states() == {DeliveryState.WAITING}
    await carrier.hub.couriers.look()
    async with asyncio.timeout(30):
        while await door.states() != {DeliveryState.DELIVERED}:
            await asyncio.sleep(0.01)
    assert (door.sender.to("gis"), len(carrier.sender.to("gis"))) == ([], 1)
    await door.hub.close()
    await carrier.hub.close()


async def test_what_is_due_by_the_clock_is_due_in_one_part_of_the_hub(tmp_path: Path) -> None:
    """Nothing is left out, and what takes time is not done by who has messages to take."""
    jobs = {}
    for duty in Duty:
        process = Sharing()
        await process.begin(tmp_path, duty)
        jobs[duty] = process.jobs()
        await process.hub.close()
    shared = {"alarms", "circuits"}
    assert jobs[Duty.TAKE] | jobs[Duty.CARRY] == jobs[Duty.ALL] | shared
    assert jobs[Duty.TAKE] & jobs[Duty.CARRY] == shared
    assert {"ticks", "retention", "minutes", "stale requests", "search index"} <= jobs[Duty.CARRY]
    assert {"readiness"} <= jobs[Duty.TAKE]
