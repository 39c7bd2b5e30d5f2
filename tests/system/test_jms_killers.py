"""A message that the hub dies of, time and again, at a real broker."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_reader
from tests.support.broker_peer import broker_peer
from tests.support.hub import hub_process
from tests.support.listening import broker_table, until_attached
from tests.support.services import Broker

SECONDS = 60.0
OWNER = """
[partners.owner]
url = "{address}"
source = "OWNER"
owns = ["TroubleTickets"]
deadline_seconds = 60
"""


class Trap:
    """An owner that takes requests and says nothing: while one is with it, the hub is in the midst of a message."""

    def __init__(self) -> None:
        self.taken = 0
        self._news = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            async with self._news:
                self.taken += 1
                self._news.notify_all()
            while await reader.read(4096):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until_taken(self, count: int) -> None:
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(lambda: self.taken >= count)


async def test_a_message_that_the_hub_died_of_becomes_a_dead_letter_and_others_are_served(
    activemq: Broker, broker_context: str, tmp_path: Path
) -> None:
    """Else one message would keep the hub of a utility down for a night."""
    trap = Trap()
    server = await asyncio.start_server(trap.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    table = broker_table(activemq, "stomp", broker_context, tmp_path, "redelivery_limit = 1\n")
    text = f"delivery.poll_seconds = 0.05\n{table}{OWNER.format(address=address)}"
    queue = f"queue:{broker_context}.REQUESTS"
    killer = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=1)
    header = msgspec.structs.replace(killer.header, source="CALLS", message_id=MessageID("killer"))
    async with broker_peer(activemq.url("stomp"), client_id=f"{broker_context}-peer") as peer:
        await peer.send(f"{queue}.TroubleTickets.create", msgspec.structs.replace(killer, header=header))
        with hub_process(tmp_path, text) as hub:
            await trap.until_taken(1)
            await asyncio.to_thread(hub.kill)
        with hub_process(tmp_path, text) as hub:
            await until_begun(tmp_path)
            await asyncio.to_thread(hub.kill)
        with hub_process(tmp_path, text) as hub:
            await until_attached(hub.address)
            (dead,) = await dead_letters(tmp_path)
            other = build_message(Noun.SERVICE_ORDERS, Verb.CREATE, seed=2)
            answer = await peer.ask(f"{queue}.ServiceOrders.create", other, within=SECONDS)
    server.close()
    assert dead.message_id == "killer"
    assert "NET-131" in dead.reason
    assert "begun 1 times" in dead.reason
    assert [entry.redeliveries for entry in await entries_of(tmp_path, "killer")] == [
        0,
        1,
    ]  # over STOMP no more is said
    assert answer is not None


async def until_begun(folder: Path) -> None:
    """Until the hub has noted that it began something that came again."""
    async with asyncio.timeout(SECONDS):
        while True:
            database = sqlite3.connect(f"file:{folder / 'hub.db'}?mode=ro", uri=True)
            ((count,),) = database.execute("SELECT count(*) FROM records WHERE collection = 'hub.begun'").fetchall()
            database.close()
            if count:
                return
            await asyncio.sleep(0.05)


async def entries_of(folder: Path, message_id: str) -> list[LogEntry]:
    """What the log has of a message, as it came each time."""
    async with open_reader(f"sqlite:///{folder / 'hub.db'}") as reader:
        return list(await reader.log.select(LogSelection(message_id=message_id, direction=Direction.IN)))


async def dead_letters(folder: Path) -> list[Delivery]:
    """Those there are, once there are any."""
    async with open_reader(f"sqlite:///{folder / 'hub.db'}") as reader, asyncio.timeout(SECONDS):
        while True:
            found = await reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,)))
            if found:
                return list(found)
            await asyncio.sleep(0.05)
