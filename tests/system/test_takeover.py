"""Two hub processes on one database: what one has in its hands when it is killed, the other one delivers (G6)."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import Result
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.support.hub import hub_process
from tests.support.postgres import a_database
from tests.system.test_kill import a_create, result_of, send_all

TICKETS = 30


def settings_for(partner: SimulatedPartner) -> str:
    return (
        f'[partners.gis]\nurl = "{partner.address}/soap"\nsource = "GIS"\ndeadline_seconds = 20\n'
        'retry_first_seconds = 0.1\n[subscriptions.gis]\npartner = "gis"\nnouns = ["TroubleTickets"]\n'
        "[delivery]\nlease_seconds = 1\npoll_seconds = 0.1\n[hub]\nwait_seconds = 600\n"
    )


async def states(url: str) -> Counter[DeliveryState]:
    async with open_reader(url) as reader:
        return Counter(one.state for one in await reader.outbox.select(DeliverySelection(limit=10_000)))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_the_other_process_takes_over_what_was_under_way(tmp_path: Path, store: str) -> None:
    """The first one dies with requests open to a partner that does not answer; the leases run out, and nothing is lost
    and nothing takes effect twice.
    """
    messages = dict(a_create(number) for number in range(TICKETS))
    with a_database(store, tmp_path) as url, running_partner(name="GIS", behaviour="hang") as partner:
        settings = settings_for(partner)
        with hub_process(tmp_path, settings, database=url) as dying:
            replies = await send_all(dying.address, messages)
            assert {result_of(reply) for reply in replies.values()} == {Result.OK}
            async with asyncio.timeout(30):
                while (await states(url))[DeliveryState.LEASED] < 4:
                    await asyncio.sleep(0.05)
            with hub_process(tmp_path, settings, database=url) as living:
                dying.kill()
                partner.behave("accept")
                async with asyncio.timeout(60):
                    while await states(url) != {DeliveryState.DELIVERED: TICKETS}:
                        await asyncio.sleep(0.05)
                again = await send_all(living.address, messages)
                assert again == replies
                assert living.stop() == 0
        effects = Counter((entry.source, entry.message_id) for entry in partner.effects)
        assert len(effects) == TICKETS
        assert set(effects.values()) == {1}
        async with open_reader(url) as reader:
            now = datetime.now(UTC)
            assert [one for one in await balances(reader, now - timedelta(hours=2), now) if one.missing] == []
            assert (await verify(reader)).flaws == ()
