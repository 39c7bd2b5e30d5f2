"""The network between everybody: it takes its time and loses messages, until the world heals.

What is on its way belongs to the network and not to who sent it, so it arrives although its sender has died.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import DIRECT, Partner
from cimcare.exchange.sending import Sent
from cimcare.transport.channel import Answer
from tests.simulation.hubs import Process, State
from tests.simulation.loop import VirtualLoop
from tests.simulation.messages import Sendable, name_of
from tests.simulation.peers import PeerModel, sent_without_answer
from tests.simulation.plan import Network, stream
from tests.simulation.trace import Trace

__all__ = ["Line", "SimulatedNetwork"]

_NEVER = 1e6


class SimulatedNetwork:
    """Carries messages to the hub and from it.

    Args:
        seed: Of the run.
        network: What it is like.
        processes: All of the hub.
        peers: Partners by name, and mailboxes by the host of their address.
        troubled: Whether it may still lose anything.
        answered: Told of each answer in the instant in which the hub gives it.
    """

    def __init__(
        self,
        seed: int,
        network: Network,
        loop: VirtualLoop,
        trace: Trace,
        *,
        processes: Sequence[Process],
        peers: dict[str, PeerModel],
        troubled: Callable[[], bool],
        answered: Callable[[Process, bytes, Answer], None],
    ) -> None:
        self._network = network
        self._loop = loop
        self._trace = trace
        self._processes = processes
        self._peers = peers
        self._troubled = troubled
        self._answered = answered
        self._chance = stream(seed, "network")
        self._world = contextvars.copy_context()

    async def ask(self, raw: bytes, transport: Transport) -> Answer | None:
        """Carry a message to one of the processes; its answer, or None if no connection can be made or it breaks.

        Waits for ever if something gets lost, as whoever asks does by himself.
        """
        await asyncio.sleep(self._delay())
        if self._loses():
            await asyncio.sleep(_NEVER)
        process = self._chance.choice(self._processes)
        if process.state is not State.UP:
            process = next((one for one in self._processes if one.state is State.UP), process)
        answer = await process.receive(raw, transport)
        if answer is None:
            return None
        self._answered(process, raw, answer)
        await asyncio.sleep(self._delay())
        if self._loses():
            await asyncio.sleep(_NEVER)
        return answer

    async def carry(self, process: Process, partner: Partner, message: Sendable, address: str) -> Sent:
        """Send a message of a process, and wait for the answer as long as the partner's deadline is."""
        sent: asyncio.Future[Sent] = self._loop.create_future()
        self._loop.create_task(self._carry(sent, process, partner, message, address), context=self._world)
        return await sent

    async def _carry(
        self, sent: asyncio.Future[Sent], process: Process, partner: Partner, message: Sendable, address: str
    ) -> None:
        raw = render_message(message)
        model = self._peers[partner.name if not partner.name.startswith(f"{DIRECT} ") else urlsplit(address).netloc]
        self._trace.note(process.tag, "-> {}: {}", model.name, name_of(message))
        ends_at = self._loop.time() + partner.deadline.total_seconds()
        result: Sent | None = None
        await asyncio.sleep(min(self._delay(), partner.deadline.total_seconds() / 2))
        if not self._loses():
            response = model.respond(message, raw, partner)
            arrives_at = self._loop.time() + response.after + self._delay()
            if response.sent is not None and arrives_at < ends_at and not self._loses():
                result, ends_at = response.sent, arrives_at
        await asyncio.sleep(ends_at - self._loop.time())
        if result is None:
            result = sent_without_answer(raw, f"no answer within {partner.deadline.total_seconds():g} s")
        told = result.failure or (name_of(result.reply) if result.reply is not None else "acknowledged")
        self._trace.note(process.tag, "<- {}: {} ({})", model.name, told, message.header.message_id)
        if not sent.done():
            sent.set_result(result)

    def _delay(self) -> float:
        return self._chance.uniform(0.001, self._network.delay)

    def _loses(self) -> bool:
        return bool(self._network.loses) and self._troubled() and self._chance.random() < self._network.loses


class Line:
    """Implements `cimcare.exchange.sending.Sender` for one life of a process."""

    def __init__(self, network: SimulatedNetwork, process: Process) -> None:
        self._network = network
        self._process = process
        self._tag = process.tag

    async def send(
        self,
        partner: Partner,
        message: Sendable,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        """Send the message; a process that is gone sends nothing."""
        if self._process.tag != self._tag or not self._process.is_alive:
            raise asyncio.CancelledError
        return await self._network.carry(self._process, partner, _sent(message, partner, kept), address)


def _sent(message: Sendable, partner: Partner, kept: bytes) -> Sendable:
    """What goes out: an event that was kept comes with its header alone."""
    if not kept or not partner.takes_kept:
        return message
    whole = parse_message(kept)
    assert isinstance(whole, Sendable)
    return whole
