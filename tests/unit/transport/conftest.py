"""A partner whose behaviour the test decides, a peer that answers word for word, and a sender to reach them."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from cimcare.codec.limits import Limits
from cimcare.hub.app import TYPED_SERVICES
from cimcare.simulator.partner import SimulatedPartner
from cimcare.transport.partners import HttpSender
from tests.support.fake_peer import FakePeer, fake_peer

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
async def remote() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner()
    await partner.start()
    yield partner
    await partner.stop()


@pytest.fixture
async def hanging() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner(behaviour="hang")
    await partner.start()
    yield partner
    await partner.stop()


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with fake_peer() as peer:
        yield peer


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender(services=TYPED_SERVICES, limits=Limits(max_bytes=100_000), clock=lambda: NOON)
    yield sender
    await sender.close()
