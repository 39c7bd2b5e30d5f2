"""Connections are accepted as they come, however long a round of the event loop is."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from cimcare.hub.serving import accepting
from cimcare.hub.serving.accepting import Accepting
from cimcare.hub.serving.lifespan import loop_factory


class Door:
    """A socket that listens, those who knock at it, and what was taken of them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.address = self.listener.getsockname()
        self.troubles: list[int | None] = []
        self.taken: list[socket.socket] = []
        self.clients: list[socket.socket] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.accepting = Accepting(self.listener, self.take, lambda error: self.troubles.append(error.errno))

    async def take(self, connection: socket.socket) -> None:
        await self.gate.wait()
        self.taken.append(connection)

    def knock(self, times: int = 1) -> None:
        self.clients += [socket.create_connection(self.address) for _ in range(times)]

    async def close(self) -> None:
        await self.accepting.end()
        for one in (*self.clients, *self.taken):
            one.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    door.gate.set()
    await door.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


def test_all_who_wait_are_accepted_in_one_round() -> None:
    """One a round, as the loop does by itself, leaves most of them where no bound holds and no hazard is seen (G8)."""

    async def knock_often() -> int:
        door = Door()
        door.knock(200)
        door.accepting.begin()
        rounds = 0
        while len(door.taken) < 200:
            await asyncio.sleep(0)
            rounds += 1
        await door.close()
        return rounds

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(knock_often()) <= 10


async def test_a_connection_is_ready_for_the_loop(door: Door) -> None:
    """One that blocks would hold up everybody; small answers must not wait for more."""
    door.accepting.begin()
    door.knock()
    await until(lambda: len(door.taken) == 1)
    assert not door.taken[0].getblocking()
    assert door.taken[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_trouble_is_told_and_tried_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files open: that passes, and must not end the hub or spin."""
    monkeypatch.setattr(accepting, "_TROUBLE_SECONDS", 0.0)
    left = [errno.EMFILE, errno.EMFILE, errno.ECONNABORTED]
    accept = socket.socket.accept

    def failing(listener: socket.socket) -> object:
        if left:
            raise OSError(left.pop(0), "no")  # of the kind that the number means
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    door.accepting.begin()
    door.knock()
    await until(lambda: len(door.taken) == 1)
    assert door.troubles == [errno.EMFILE, errno.EMFILE]


async def test_a_connection_that_cannot_be_served_is_closed() -> None:
    """It has ended already, and must not stay open here for ever."""
    given: list[socket.socket] = []

    async def refuse(connection: socket.socket) -> None:
        given.append(connection)
        raise OSError(errno.ENOTCONN, "no")

    listener = socket.create_server(("127.0.0.1", 0))
    one = Accepting(listener, refuse, lambda error: None)
    one.begin()
    with socket.create_connection(listener.getsockname()):
        await until(lambda: bool(given) and given[0].fileno() == -1)
    await one.end()


async def test_the_end_waits_for_what_was_accepted_and_takes_nobody_else(door: Door) -> None:
    """A request that was sent is answered; who comes later turns to another address at once."""
    door.accepting.begin()
    door.gate.clear()
    door.knock()
    await until(lambda: bool(door.accepting._taking))
    ending = asyncio.create_task(door.accepting.end())
    await asyncio.sleep(0)
    assert not ending.done()
    with pytest.raises(ConnectionRefusedError):
        door.knock()
    door.gate.set()
    await ending
    assert len(door.taken) == 1
    door.accepting.begin()  # what was planned before the end changes nothing
    with pytest.raises(ConnectionRefusedError):
        door.knock()
