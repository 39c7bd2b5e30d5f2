"""What goes over AMQP 1.0 to brokers that the tests do not have: a peer made of the library's own container."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import BrokerError, Credentials, HeartBeat, Session, parse_address
from tests.support.broker_sessions import a_place
from tests.support.brokers import require_library

require_library("proton")

from proton import Event, symbol  # noqa: E402
from proton.handlers import MessagingHandler  # noqa: E402
from proton.reactor import Container  # noqa: E402

SELECTOR = "Noun = 'TroubleTickets'"


class Peer(MessagingHandler):
    """A broker as far as it attaches links; `has_selectors` says whether it takes the filter that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.has_selectors = True
        self.asked: list[tuple[str, object]] = []
        self.port = 0
        self.is_listening = threading.Event()

    def on_start(self, event: Event) -> None:
        self.acceptor = event.container.listen("127.0.0.1:0")
        self.port = _port_of(self.acceptor._selectable.fileno())
        self.is_listening.set()

    def on_link_opening(self, event: Event) -> None:
        link = event.link
        if not link.is_sender:
            link.target.copy(link.remote_target)
            return
        link.source.address = link.remote_source.address
        data = link.remote_source.filter
        filters = data.get_object() if data.next() else {}
        self.asked.append((link.remote_source.address, filters))
        if filters and self.has_selectors:
            link.source.filter.put_object(filters)


def _port_of(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    container = Container(made)
    thread = threading.Thread(target=container.run, daemon=True)
    thread.start()
    assert made.is_listening.wait(10)
    yield made
    container.stop()
    thread.join(10)
    made.acceptor._selectable.close()


async def opened(peer: Peer) -> Session:
    return await open_session(
        parse_address(f"amqp10://127.0.0.1:{peer.port}"),
        client_id="",
        credentials=Credentials(),
        tls=Tls(),
        heart_beat=HeartBeat(),
        within=10,
    )


async def test_a_selector_goes_as_the_filter_of_the_link(peer: Peer) -> None:
    """In the form that the JMS clients for AMQP 1.0 have registered."""
    session = await opened(peer)
    try:
        await session.subscribe(a_place("queue:REQUESTS"), lambda _: None, selector=SELECTOR, within=10)
    finally:
        await session.close()
    ((address, filters),) = peer.asked
    assert address == "REQUESTS"
    (described,) = filters.values()
    assert (described.descriptor, described.value) == (symbol("apache.org:selector-filter:string"), SELECTOR)


async def test_a_broker_that_leaves_the_filter_out_is_not_believed(peer: Peer) -> None:
    """By the protocol, what it attaches with is what it does: this one would hand out everything."""
    peer.has_selectors = False
    session = await opened(peer)
    try:
        with pytest.raises(BrokerError, match="no selectors") as caught:
            await session.subscribe(a_place("queue:REQUESTS"), lambda _: None, selector=SELECTOR, within=10)
        assert (caught.value.code, caught.value.blames_us) == ("NET-124", True)
        await asyncio.wait_for(session.subscribe(a_place("queue:REQUESTS"), lambda _: None, within=10), 10)
    finally:
        await session.close()
