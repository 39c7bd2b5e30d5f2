"""The sender of the crash harnesses: it remembers what has no answer yet, over all deaths of who should give it."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

from cimcare.model.envelope import Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message

__all__ = ["SOURCE", "Ask", "Sending"]

SOURCE = "CALLS"
"""Header/Source of all that is sent."""

Ask = Callable[[RequestMessage], Awaitable[ResponseMessage | None]]
"""Sends a request and returns the reply; None if there is none, or if it is to be sent again later."""

_STEPS = (Verb.CREATE, Verb.CHANGE, Verb.CHANGE, Verb.CLOSE)


class Sending:
    """Tickets, each created, changed twice and closed, and work requests; what has no answer is sent again as it is.

    `accepted` holds the replies by MessageID; `differing` counts replies to a repeat that are not the first one.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next = 0
        self.open: dict[int, list[RequestMessage]] = {}
        self.accepted: dict[str, ResponseMessage] = {}
        self.sent = 0
        self.differing = 0

    def add(self, count: int) -> None:
        """So many more tickets, and a quarter as many work requests."""
        for _ in range(count):
            self._next += 1
            self.open[self._next] = [_a_step(self._next, number) for number in range(len(_STEPS))]
            if self._next % 4 == 0:
                self.open[-self._next] = [_a_work_request(self._next)]

    async def run(self, ask: Ask) -> None:
        """Send what is open, object by object in order, until all is answered or nobody answers."""
        keys = list(self.open)
        self._chance.shuffle(keys)
        await asyncio.gather(*(self._one(ask, key) for key in keys))

    async def _one(self, ask: Ask, key: int) -> None:
        messages = self.open[key]
        while messages:
            message = messages[0]
            reply = await ask(message)
            self.sent += 1
            if reply is None:
                return  # the hub is gone, or will take it later
            if reply.reply.result is Result.FAILED:
                await asyncio.sleep(0.05)
                continue
            message_id = str(message.header.message_id)
            if self.accepted.setdefault(message_id, reply) != reply:
                self.differing += 1
            if self._chance.random() < 0.05 and (again := await ask(message)) is not None:
                self.differing += again.reply.result is not Result.FAILED and again != reply
            del messages[0]
        self.open.pop(key, None)


def _a_step(number: int, step: int) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, _STEPS[step], seed=number)
    assert isinstance(message, RequestMessage)
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    header = msgspec.structs.replace(
        message.header, source=SOURCE, message_id=MessageID(f"t-{number}-{step}"), correlation_id=None
    )
    if _STEPS[step] is Verb.CLOSE:
        assert message.request is not None
        identity = msgspec.structs.replace(message.request.id[0], value=str(mrid), kind=None, id_type=None)
        request = msgspec.structs.replace(message.request, id=(identity,))
        return msgspec.structs.replace(message, header=header, request=request)
    assert message.payload is not None
    (tickets,) = message.payload.content
    assert isinstance(tickets, TroubleTickets)
    ticket = msgspec.structs.replace(
        tickets.trouble_ticket[0], mrid=mrid, names=(), incident=None, comment=f"step {step}", resolved_date_time=None
    )
    content = TroubleTickets(trouble_ticket=(ticket,))
    return RequestMessage(header=header, payload=Payload(content=(content,)))


def _a_work_request(number: int) -> RequestMessage:
    message = build_message(Noun.WORK_REQUESTS, Verb.CREATE, seed=number)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, source=SOURCE, message_id=MessageID(f"w-{number}"))
    return msgspec.structs.replace(message, header=header)
