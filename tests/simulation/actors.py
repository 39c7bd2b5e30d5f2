"""Who sends messages to the hub: clients with their stories, and partners that answer later.

Most of them insist: a message is sent again, the same, until there is an answer that leaves nothing to be waited for.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from itertools import count

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Transport
from cimcare.model.envelope import FaultMessage, ResponseMessage, Result
from cimcare.transport.channel import Answer
from tests.simulation.loop import VirtualLoop
from tests.simulation.messages import Sendable, a_message, a_reply, codes_in, is_passing, name_of
from tests.simulation.peers import Known, PeerModel
from tests.simulation.plan import Client, Manner, Peer, Step, Story
from tests.simulation.trace import Trace
from tests.support.channels import CHANNELS

__all__ = ["Actors", "Errand", "Heard"]


class Heard(msgspec.Struct, frozen=True):
    """An answer, and the message in it; None if it has no body."""

    answer: Answer
    message: ResponseMessage | FaultMessage | None

    @property
    def is_accepted(self) -> bool:
        """Whether the message was taken, as far as the answer says."""
        return self.message is None or self.message.reply.result is not Result.FAILED

    @property
    def is_passing(self) -> bool:
        """Whether the same message may be sent again with better luck."""
        return self.message is not None and is_passing(self.message)


class Errand(msgspec.Struct, kw_only=True):
    """A message that somebody sends to the hub, and all answers that the hub gave, in the order in which it did.

    `manner` is how it wants to be answered. `clashes`: it bears the identifier of another message. `serves` is whether
    it is a later reply to a request of the hub.
    """

    message: Sendable
    raw: bytes
    transport: Transport = Transport.REST_XML
    manner: Manner = Manner.SYNC
    clashes: bool = False
    heard: list[Heard] = []

    @property
    def source(self) -> str:
        return self.message.header.source or ""

    @property
    def message_id(self) -> str:
        return self.message.header.message_id or ""

    @property
    def is_accepted(self) -> bool:
        """Whether the hub ever accepted it."""
        return any(heard.is_accepted for heard in self.heard)


class Actors:
    """Everybody who sends to the hub.

    Args:
        peers: Partners by name.
        ask: Carries a message to the hub; None if no answer came.
        new_id: Identifiers.
        clock: Now, in the messages.
        chance: For all of them.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        trace: Trace,
        *,
        peers: Mapping[str, Peer],
        ask: Callable[[bytes, Transport], Awaitable[Answer | None]],
        new_id: Callable[[], str],
        clock: Callable[[], datetime],
        chance: random.Random,
        troubled: Callable[[], bool],
    ) -> None:
        self.errands: dict[bytes, Errand] = {}
        self.unfinished = 0
        self._peers = peers
        self._loop = loop
        self._trace = trace
        self._ask = ask
        self._new_id = new_id
        self._clock = clock
        self._chance = chance
        self._troubled = troubled
        self._sent = 0

    def begin(self, clients: tuple[Client, ...]) -> None:
        """Let all stories take their course."""
        for client in clients:
            for story in client.stories:
                self._start(self._tell(client, story))

    def heard(self, raw: bytes, answer: Answer) -> tuple[Errand, Heard]:
        """The hub has given an answer, which may still get lost."""
        errand = self.errands[raw]
        message = CHANNELS[errand.transport].parse(answer.body) if answer.body else None
        assert message is None or isinstance(message, ResponseMessage | FaultMessage)
        heard = Heard(answer, message)
        errand.heard.append(heard)
        return errand, heard

    def reply_later(self, model: PeerModel, known: Known) -> None:
        """A partner has taken a request that it is to answer later, or is asked once more after it has answered."""
        self._start(self._reply_later(self._peers[model.name], model, known))

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        async def run() -> None:
            try:
                await coroutine
            finally:
                self.unfinished -= 1

        self.unfinished += 1
        self._loop.create_task(run())

    # ---------------------------------------------------------------------------------------------------- clients

    async def _tell(self, client: Client, story: Story) -> None:
        await asyncio.sleep(story.starts_at)
        for step in story.steps:
            await asyncio.sleep(step.pause)
            await self._take_step(client, step)

    async def _take_step(self, client: Client, step: Step) -> None:
        self._sent += 1
        message_id = f"{client.source}-{self._sent}"
        how = {"patience": client.patience, "pause": client.pause, "tries": client.tries}
        errand = self._errand(client, step, step.number, message_id)
        if step.manner is Manner.ANONYMOUS:  # nobody could tell a repeat from another message
            await self._insist(errand, **{**how, "tries": 1})
            return
        await asyncio.gather(*(self._insist(errand, **how) for _ in range(step.twins)))
        for _ in range(step.again):
            await asyncio.sleep(self._chance.uniform(0, 10))
            await self._insist(errand, **how)
        if step.clashes and errand.is_accepted and step.manner is not Manner.ONE_WAY:
            await self._insist(self._errand(client, step, step.number + 1, message_id, clashes=True), **how)

    def _errand(self, client: Client, step: Step, number: int, message_id: str, *, clashes: bool = False) -> Errand:
        message = a_message(
            step.noun,
            step.verb,
            number,
            source=client.source,
            message_id=message_id,
            manner=step.manner,
            address=client.address,
        )
        raw = CHANNELS[client.transport].render(message)
        return self._keep(
            Errand(message=message, raw=raw, transport=client.transport, manner=step.manner, clashes=clashes)
        )

    def _keep(self, errand: Errand) -> Errand:
        return self.errands.setdefault(errand.raw, errand)

    async def _insist(self, errand: Errand, *, patience: float, pause: float, tries: int = 0) -> None:
        """Send until there is an answer that ends it, or after so many tries give up."""
        for _ in range(tries) if tries else count():
            answer = None
            try:
                async with asyncio.timeout(patience):
                    self._trace.note(errand.source, "-> hub: {}", name_of(errand.message))
                    answer = await self._ask(errand.raw, errand.transport)
            except TimeoutError:
                self._trace.note(errand.source, "no answer to {} in time", errand.message_id)
            else:
                if answer is None:
                    self._trace.note(errand.source, "connection broken over {}", errand.message_id)
            if answer is not None:
                heard = next(one for one in errand.heard if one.answer is answer)
                told = "accepted" if heard.message is None else _told(heard.message)
                self._trace.note(errand.source, "<- hub: {} to {}", told, errand.message_id)
                if not heard.is_passing:
                    return
            await asyncio.sleep(pause)

    # --------------------------------------------------------------------------------------------- later replies

    async def _reply_later(self, peer: Peer, model: PeerModel, known: Known) -> None:
        chance, partner = self._chance, peer.partner
        is_first = not known.later
        known.later = known.later or self._later_replies(peer, model, known)
        if is_first and self._troubled() and chance.random() < peer.never:
            self._trace.note(model.name, "forgets to answer {}", name_of(known.message))
        else:
            if not is_first:
                await asyncio.sleep(chance.uniform(0, 0.3))
            elif chance.random() >= peer.early:
                await asyncio.sleep(chance.uniform(0, min(partner.reply_within.total_seconds(), 12)))
            for reply in known.later:
                await self._insist(self._keep(Errand(message=reply, raw=render_message(reply))), patience=8, pause=1)
            if chance.random() < peer.twice:
                await asyncio.sleep(chance.uniform(0, 5))
                await self._insist(self.errands[render_message(known.later[-1])], patience=8, pause=1)
        known.is_answering = False

    def _later_replies(self, peer: Peer, model: PeerModel, known: Known) -> list[ResponseMessage]:
        """One reply, or several of which all but the last say that more follows, without the first if that is said."""
        begun = 0 if known.begun is None else 1
        count = self._chance.randint(1, peer.pieces) + begun
        last = [(Result.OK, "0.0"), (Result.OK, "0.0"), (Result.FAILED, "2.15")]
        if count > 1:
            last = [(Result.OK, "0.0"), (Result.PARTIAL, "0.2")]
        said = [(Result.PARTIAL, "0.1")] * (count - 1) + [self._chance.choice(last)]
        return [
            a_reply(
                known.message,
                source=model.source,
                message_id=self._new_id(),
                now=self._clock(),
                result=result,
                codes=(code,),
            )
            for result, code in said[begun:]
        ]


def _told(message: ResponseMessage | FaultMessage) -> str:
    kind = "fault" if isinstance(message, FaultMessage) else message.reply.result.value
    details = "; ".join(error.details or "" for error in message.reply.error if error.code not in ("0.0", "0.3"))
    return f"{kind} {' '.join(codes_in(message))}{f' ({details})' if details else ''}"
