"""A link: a session that is made anew, at whichever address answers, with pauses that grow."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from cimcare.exchange.partners import Retry
from cimcare.transport.broker.brokers import Broker, credentials_of
from cimcare.transport.broker.life import Link
from cimcare.transport.broker.ports import BrokerError, Session
from tests.support.broker_sessions import MemoryBroker, a_place

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class House:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.set_up: list[Session] = []
        self.fails = 0
        self.link: Link
        self.events: list[structlog.typing.EventDict] = []

    async def on_open(self, session: Session) -> None:
        if self.fails:
            self.fails -= 1
            raise BrokerError("NET-124", "here", "no right to consume", "rights")
        self.set_up.append(session)

    def start(self, *urls: str, first: float = 0.01, **more: object) -> None:
        capture = structlog.testing.LogCapture()
        self.events = capture.entries
        settings = Broker(
            name="main",
            urls=urls or ("stomp://away", "stomp://here"),
            replies=a_place("queue:R"),
            reconnect=Retry(first=timedelta(seconds=first), most=timedelta(seconds=4 * first), jitter=0),
            **more,
        )
        self.link = Link(
            settings,
            "sending",
            open_session=self.broker.open_session,
            on_open=self.on_open,
            clock=lambda: NOON,
            chance=random.Random(1),
            logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture]),
        )
        self.link.start()

    async def require(self) -> Session:
        async with asyncio.timeout(5):
            while True:
                try:
                    return await self.link.require()
                except BrokerError:
                    await asyncio.sleep(0.005)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.link.stop()
    assert not made.broker.sessions


@pytest.mark.parametrize("fails", [False, True])
async def test_it_ends_though_a_library_swallows_that_it_is_to(house: House, fails: bool) -> None:
    """Found as a hub that did not stop: an answer of the broker came at the very moment of the cancellation."""
    begun = asyncio.Event()

    async def swallow(session: Session) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if fails:
                raise BrokerError("NET-124", "here", "the channel is closed", "an open one") from None

    house.on_open = swallow  # type: ignore[method-assign]
    house.start(first=60)
    await begun.wait()
    async with asyncio.timeout(5):
        await house.link.stop()
    assert not house.broker.sessions


async def test_the_next_address_is_tried_where_one_does_not_answer(house: House) -> None:
    """Fail-over: a pair of brokers is one to whoever uses it."""
    house.start()
    session = await house.require()
    assert session.address.host == "here"
    assert house.set_up == [session]
    state = house.link.state
    assert (state.is_open, state.address, state.opened, state.failures) == (True, "stomp://here:61613", 1, 0)


async def test_a_lost_session_is_made_anew_and_set_up_again(house: House) -> None:
    """Consumers come back by themselves."""
    house.start()
    first = await house.require()
    house.broker.break_off()
    assert house.link.session is None
    second = await house.require()
    assert second is not first
    assert house.set_up == [first, second]
    assert [event["event"] for event in house.events if event["event"] == "broker session lost"]


async def test_what_cannot_be_set_up_does_not_count_as_there(house: House) -> None:
    """A session without its consumers would look well and bring nothing."""
    house.fails = 1
    house.start("stomp://here")
    session = await house.require()
    assert house.broker.opened == 2
    assert house.broker.sessions == [session]


async def test_a_session_of_no_use_is_given_up(house: House) -> None:
    """It is not handed out any more from then on, however well it seems."""
    house.start("stomp://here")
    first = await house.require()
    house.link.give_up("nothing comes through")
    assert house.link.session is None
    assert await house.require() is not first
    assert first.lost.done()


async def test_while_a_broker_is_away_nobody_waits_for_it(house: House) -> None:
    """The attempt of a courier ends at once, so that its circuit knows."""
    house.broker.is_up = False
    house.start(first=10)
    with pytest.raises(BrokerError, match="Connection refused"):
        async with asyncio.timeout(2):
            await house.link.require()
    assert "Connection refused" in house.link.state.reason
    with pytest.raises(BrokerError):
        await house.link.require()


async def test_a_broker_that_stays_away_is_told_of_once(house: House) -> None:
    """A line for each attempt would hide what else happens in the night."""
    house.broker.is_up = False
    house.start("stomp://here", first=0.001)
    async with asyncio.timeout(5):
        while house.link.state.failures < 10:
            await asyncio.sleep(0.005)
    assert [event["event"] for event in house.events] == ["broker not reached"]


async def test_a_password_that_cannot_be_read_is_told(house: House, tmp_path: Path) -> None:
    """It may be mounted late; the next attempt reads it anew."""
    file = tmp_path / "password"
    house.start("stomp://here", user="hub", password_file=str(file))
    with pytest.raises(BrokerError, match="cannot be used"):
        await house.link.require()
    file.write_text("secret\n")
    await house.require()
    assert "secret" not in str(house.events)


async def test_an_error_that_nobody_foresaw_does_not_end_the_attempts(house: House) -> None:
    """Libraries raise what they like."""
    opening, house.broker.open_session = house.broker.open_session, None
    house.start("stomp://here")
    with pytest.raises(BrokerError, match="not foreseen"):
        await house.link.require()
    house.link._open_session = opening
    await house.require()


async def test_stopping_ends_an_attempt_that_is_under_way(house: House) -> None:
    """A hub stops however dead its broker is."""
    began = asyncio.Event()

    async def hang(session: Session) -> None:
        began.set()
        await asyncio.sleep(1000)

    house.on_open = hang
    house.start("stomp://here")
    await began.wait()
    async with asyncio.timeout(2):
        await house.link.stop()
    assert not house.broker.sessions


def test_a_password_is_read_without_its_line_end(tmp_path: Path) -> None:
    """Editors put one there; blanks may belong to it."""
    file = tmp_path / "password"
    file.write_text(" a b \r\n")
    settings = Broker(
        name="m",
        urls=("stomp://h",),
        user="u",
        password_file=str(file),
        replies=a_place("queue:R"),
    )
    assert credentials_of(settings).password == " a b "
