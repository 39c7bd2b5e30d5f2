"""Who gets which connection, and what both sides know of it."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from cimcare.hub.serving import handing
from cimcare.hub.serving.handing import Acceptor, Giver, Taker, choose, read_order, send_order


class Worker:
    """The other side, which keeps the connections that it is given until it is told to end one."""

    def __init__(self, acceptor: Acceptor) -> None:
        ours, theirs = socket.socketpair()
        self.channel = theirs
        self.was_ready = 0
        self.has_ended = asyncio.Event()
        self.held: list[tuple[socket.socket, Callable[[], None]]] = []
        self.is_broken = False
        self.giver = acceptor.add(ours, self._note_ready)
        self.taker = Taker(theirs, self.has_ended.set)

    def _note_ready(self) -> None:
        self.was_ready += 1

    async def take(self, connection: socket.socket, when_lost: Callable[[], None]) -> None:
        if self.is_broken:
            raise ConnectionResetError
        self.held.append((connection, when_lost))

    async def begin(self) -> None:
        self.taker.begin(self.take)
        await until(lambda: self.giver.was_ready)

    def end_one(self) -> None:
        connection, when_lost = self.held.pop()
        connection.close()
        when_lost()
        when_lost()  # it may be said twice

    def close(self) -> None:
        for connection, _ in self.held:
            connection.close()
        if self.channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.channel)
            self.channel.close()


class Door:
    """A socket that listens, workers behind it, and connections to it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.troubles: list[int | None] = []
        self.acceptor = Acceptor(self.listener, lambda error: self.troubles.append(error.errno))
        self.workers: list[Worker] = []
        self.clients: list[socket.socket] = []

    async def worker(self) -> Worker:
        worker = Worker(self.acceptor)
        self.workers.append(worker)
        await worker.begin()
        return worker

    def knock(self) -> socket.socket:
        client = socket.create_connection(self.address)
        self.clients.append(client)
        return client

    async def enter(self) -> None:
        """Knock, and wait until somebody has the connection."""
        before = sum(len(worker.held) for worker in self.workers)
        self.knock()
        await until(lambda: sum(len(worker.held) for worker in self.workers) > before)

    def close(self) -> None:
        self.acceptor.close()
        for worker in self.workers:
            self.acceptor.drop(worker.giver)
            worker.close()
        for client in self.clients:
            client.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0)


@pytest.fixture
async def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def held(door: Door) -> list[int]:
    return [len(worker.held) for worker in door.workers]


async def test_each_gets_as_many_as_the_others(door: Door) -> None:
    """Two connections of a partner keep two processors busy, not one."""
    for _ in range(3):
        await door.worker()
    for _ in range(9):
        await door.enter()
    assert held(door) == [3, 3, 3]


async def test_a_burst_is_shared_too(door: Door) -> None:
    """All connect at once after a break of the network."""
    await door.worker()
    await door.worker()
    for _ in range(100):
        door.knock()
    await until(lambda: sum(held(door)) == 100)
    assert held(door) == [50, 50]


async def test_connections_that_ended_count_no_more(door: Door) -> None:
    """Probes that come and go between lasting connections must not push all of these to one worker."""
    first, second = await door.worker(), await door.worker()
    for _ in range(4):
        await door.enter()
    first.end_one()
    first.end_one()
    await until(lambda: first.giver.open == 0)
    await door.enter()
    await door.enter()
    assert held(door) == [2, 2]
    assert (first.giver.open, second.giver.open) == (2, 2)


async def test_while_nobody_is_ready_they_wait(door: Door) -> None:
    """Between the death of the last worker and the start of the next nobody is turned away."""
    door.knock()
    worker = await door.worker()
    await until(lambda: held(door) == [1])
    assert worker.was_ready == 1


async def test_one_that_takes_no_more_gets_no_more(door: Door) -> None:
    """A worker that drains on its own account."""
    first, _ = await door.worker(), await door.worker()
    first.taker.end()
    await until(lambda: not first.giver.has_room)
    for _ in range(3):
        await door.enter()
    assert held(door) == [0, 3]


async def test_one_that_is_gone_gets_no_more(door: Door) -> None:
    """Before it is noticed that it died, too."""
    first, _ = await door.worker(), await door.worker()
    first.close()
    for _ in range(3):
        await door.enter()
    assert held(door) == [0, 3]


async def test_one_that_does_not_look_gets_a_few_and_then_others_get_all(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that hangs holds up no more than what is on its way to it."""
    monkeypatch.setattr(handing, "_MOST_UNSEEN", 2)
    hanging = await door.worker()
    asyncio.get_running_loop().remove_reader(hanging.channel)
    for _ in range(5):
        door.knock()
    await until(lambda: hanging.giver.open == 2)
    assert not hanging.giver.has_room
    await door.worker()
    await until(lambda: held(door) == [0, 3])


async def test_a_connection_that_has_ended_on_the_way_is_counted_out(door: Door) -> None:
    """Else a worker would seem busier for ever."""
    worker = await door.worker()
    worker.is_broken = True
    client = door.knock()
    client.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    await until(lambda: worker.giver.open == 0)
    assert worker.giver.has_room


async def test_a_worker_without_free_descriptors_does_not_lose_count(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system then delivers the byte and drops the connection."""
    worker = await door.worker()
    receive = socket.recv_fds

    def without(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int], int, object]:
        said, descriptors, flags, address = receive(channel, size, most)
        for descriptor in descriptors:
            socket.socket(fileno=descriptor).close()
        return said, [], flags, address

    monkeypatch.setattr(socket, "recv_fds", without)
    client = door.knock()
    client.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    await until(lambda: worker.giver.open == 0)
    assert worker.giver.has_room
    assert worker.held == []


async def test_trouble_with_accepting_is_told_and_tried_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files open: that passes, and must not end the hub or spin."""
    monkeypatch.setattr(handing, "_TROUBLE_SECONDS", 0.0)
    left = [errno.EMFILE, errno.EMFILE, errno.ECONNABORTED]
    accept = socket.socket.accept

    def failing(listener: socket.socket) -> object:
        if left:
            number = left.pop(0)
            raise OSError(number, "no")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    await door.worker()
    await door.enter()
    assert door.troubles == [errno.EMFILE, errno.EMFILE]


async def test_if_nobody_can_be_given_a_connection_it_is_closed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender sees at once that it was not taken, and may come again."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ETOOMANYREFS, "no")

    worker = await door.worker()
    with monkeypatch.context() as patched:
        patched.setattr(socket, "send_fds", refuse)
        client = door.knock()
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    assert not worker.giver.has_room
    worker.taker.begin(worker.take)  # whatever it says, it is heard of again
    await until(lambda: worker.giver.has_room)
    await door.enter()


async def test_after_the_end_nobody_is_accepted(door: Door) -> None:
    """A sender turns to another address at once, instead of waiting for nobody."""
    worker = await door.worker()
    door.acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        door.knock()
    worker.taker.end()  # a late word changes nothing
    await until(lambda: not worker.giver.has_room)


async def test_a_worker_sees_that_its_parent_is_gone(door: Door) -> None:
    """However it ended: the system closes what it had open."""
    worker = await door.worker()
    assert not worker.taker.is_alone
    door.acceptor.drop(worker.giver)
    door.acceptor.drop(worker.giver)
    await asyncio.wait_for(worker.has_ended.wait(), 30)
    assert worker.taker.is_alone
    worker.taker.end()  # said to nobody
    worker.taker.fail(b"no")
    await asyncio.sleep(0)


async def test_a_parent_that_died_before_it_had_heard_all_is_gone_too() -> None:
    """The system then speaks of a broken connection and not of an end."""
    ours, theirs = socket.socketpair()
    ended = asyncio.Event()
    taker = Taker(theirs, ended.set)
    taker.fail(b"unheard")
    ours.close()
    await asyncio.wait_for(ended.wait(), 30)
    assert taker.is_alone
    theirs.close()


async def test_why_it_cannot_start_is_the_last_that_it_says() -> None:
    """Heard in whatever pieces, and also after its end."""
    ours, theirs = socket.socketpair()
    ready: list[bool] = []
    giver = Giver(ours, on_ready=lambda: ready.append(True), on_word=lambda: None)
    taker = Taker(theirs, lambda: None)
    taker.fail(b"-R+ no ")
    await until(lambda: giver.failure != b"")
    theirs.send(b"D database-F")
    asyncio.get_running_loop().remove_reader(theirs)
    theirs.close()
    giver.close()
    assert giver.failure == b"-R+ no D database-F"
    assert (giver.open, giver.was_ready, ready) == (0, False, [])


async def test_what_cannot_be_said_now_is_said_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent is held up, and the worker must not wait for it, nor lose count."""
    monkeypatch.setattr(handing, "_AGAIN_SECONDS", 0.0)
    ours, theirs = socket.socketpair()
    taker = Taker(theirs, lambda: None)
    filled = 0
    while True:
        try:
            filled += theirs.send(b"x" * 4096)
        except BlockingIOError:
            break
    taker.end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    giver = Giver(ours, on_ready=lambda: None, on_word=lambda: None)
    taker.begin(lambda _connection, _when_lost: asyncio.sleep(0))
    await until(lambda: giver.was_ready)
    asyncio.get_running_loop().remove_reader(theirs)
    theirs.close()
    giver.close()
    assert filled


async def test_orders_arrive_whole_or_not_at_all() -> None:
    """Settings with many partners are longer than a buffer."""
    order = b"x" * 3_000_000
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    reading = asyncio.get_running_loop().run_in_executor(None, read_order, theirs)
    await send_order(ours, order)
    assert await reading == order
    ours.send(b"\x00\x00\x00\x09abc")
    ours.close()
    assert read_order(theirs) == b""
    assert read_order(theirs) == b""
    theirs.close()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    await send_order(ours, order)  # to nobody
    ours.close()


def test_nobody_is_chosen_of_nobody() -> None:
    """Then connections wait."""
    assert choose([]) is None


class Carrier:
    """A courier, whose looks a test lets end one by one."""

    def __init__(self) -> None:
        ours, self.channel = socket.socketpair()
        self.looks = 0
        self.may_end = asyncio.Event()
        self.ready = 0
        self.giver = Giver(ours, on_ready=self._note_ready)
        self.taker = Taker(self.channel, lambda: None)

    def _note_ready(self) -> None:
        self.ready += 1

    async def look(self) -> None:
        self.looks += 1
        await self.may_end.wait()
        self.may_end.clear()

    def close(self) -> None:
        self.giver.close()
        asyncio.get_running_loop().remove_reader(self.channel)
        self.channel.close()


@pytest.fixture
async def carrier() -> Iterator[Carrier]:
    carrier = Carrier()
    yield carrier
    carrier.close()


async def some_rounds() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_put_while_somebody_looks_is_looked_for_once_more(carrier: Carrier) -> None:
    """A thousand tickets a second must not become a thousand looks, and the last of them must not be overlooked."""
    carrier.taker.begin_to_look(carrier.look)
    await until(lambda: carrier.ready)
    carrier.giver.let_look()
    await until(lambda: carrier.looks == 1)
    for _ in range(1000):
        carrier.giver.let_look()
    await some_rounds()
    assert carrier.looks == 1
    carrier.may_end.set()
    await until(lambda: carrier.looks == 2)
    carrier.may_end.set()
    await some_rounds()
    assert carrier.looks == 2, "nothing was put since"
    carrier.giver.let_look()
    await until(lambda: carrier.looks == 3)


async def test_what_is_put_before_a_courier_is_ready_is_looked_for_then(carrier: Carrier) -> None:
    """It starts, or takes the place of one that died, while tickets come in."""
    carrier.giver.let_look()
    await some_rounds()
    assert carrier.looks == 0
    carrier.taker.begin_to_look(carrier.look)
    await until(lambda: carrier.looks == 1)


async def test_a_look_that_fails_is_not_the_last(carrier: Carrier, caplog: pytest.LogCaptureFixture) -> None:
    """Else an error of a moment would leave polling alone for as long as the process lives."""

    async def fail() -> None:
        carrier.looks += 1
        raise ValueError

    carrier.taker.begin_to_look(fail)
    await until(lambda: carrier.ready)
    for number in (1, 2):
        carrier.giver.let_look()
        await until(lambda number=number: carrier.looks == number)
        await some_rounds()


async def test_nobody_is_told_to_look_who_is_gone(carrier: Carrier) -> None:
    """The process has died, and its parent does not know yet."""
    carrier.taker.begin_to_look(carrier.look)
    await until(lambda: carrier.ready)
    asyncio.get_running_loop().remove_reader(carrier.channel)
    carrier.channel.shutdown(socket.SHUT_RDWR)
    carrier.giver.let_look()
    carrier.giver.let_look()


async def test_a_worker_says_that_it_has_put_something(door: Door) -> None:
    """Once for all that it has put in a moment, and again for what comes later."""
    told = 0

    def note() -> None:
        nonlocal told
        told += 1

    ours, theirs = socket.socketpair()
    giver = door.acceptor.add(ours, lambda: None, note)
    taker = Taker(theirs, lambda: None)
    for number in (1, 2):
        for _ in range(50):
            taker.tell_put()
        await until(lambda number=number: told == number)
        await some_rounds()
        assert told == number
    door.acceptor.drop(giver)
    asyncio.get_running_loop().remove_reader(theirs)
    theirs.close()
