"""The books of restoration on every store: what is found by instant, key and state is the same everywhere."""

from datetime import timedelta

from cimcare.exchange.store import Store
from cimcare.systems.oms.interruptions import duration_of
from cimcare.systems.oms.reliability import count_customers, load_reliability
from tests.unit.systems.outages import ControlRoom
from tests.unit.systems.utility import MONDAY


async def test_an_evening_of_outages_ends_in_the_same_books(store: Store) -> None:
    """Nested outages, steps, a restoration that was not true, estimates that end: on the database that is in use."""
    async with store.transaction() as transaction:
        room = ControlRoom(transaction.records)
        await room.open()
        await room.outage("F", "B")
        await room.call("H11-1", "T1", incident="F")
        await room.call("H21-1", "T2", incident="F")
        await room.say("F", etr=room.minutes(25))
        room.pass_time(minutes=20)
        await room.outage("N", "T11")
        room.pass_time(minutes=10)
        await room.tick()
        assert await room.etr("F") == ("withdrawn", None)
        await room.close("F")
        await room.tick()
        assert (await room.incident_of("T1"), await room.state("T2")) == ("N", "resolved")
        assert await room.dark() == {"UP11-1", "UP11-2"}
        room.pass_time(minutes=10)
        await room.call("H22-2", "T9")
        room.pass_time(minutes=20)
        await room.close("N", kind="crew", who="crew 7")
        await room.hang_up("T9")
        await room.tick()
        assert await room.dark() == set()
    async with store.transaction() as transaction:
        room = ControlRoom(transaction.records)
        room.pass_time(minutes=60)
        spans = {
            point: duration_of([one.interval for one in await room.interruptions(point)], room.now)
            for point in ("UP11-2", "UP21-1", "UP22-2")
        }
        assert spans == {
            "UP11-2": timedelta(minutes=60),
            "UP21-1": timedelta(minutes=30),
            "UP22-2": timedelta(minutes=60),
        }
        customers = await count_customers(room.records)
        found = await load_reliability(
            room.records, since=MONDAY, until=MONDAY + timedelta(days=1), now=room.now, customers=customers
        )
        assert (found.unplanned.customers, found.unplanned.interruptions) == (8, 8)
        assert found.unplanned.customer_minutes == 3 * 60 + 5 * 30
