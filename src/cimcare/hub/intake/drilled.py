"""Drills that come in: answered as the message would be that they stand for, and then nothing is done of it.

A drill is read, held against schemas, Context and rules like any message, and the answer waits for a commit: an answer
of OK has been everywhere but in the built-in systems. It is neither in the message log nor in the ledger, no event
follows from it, and it goes no further: each hub drills its own partners. What is kept is how many came, and when.

Our own profile. Decision 0095.
"""

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.drills import DRILLS, HEARD, PREFIX, PROPERTY, REPLIES, Heard, LaterReply
from cimcare.exchange.ports import Records, Stored
from cimcare.exchange.splitting import is_receipt
from cimcare.exchange.store import Store
from cimcare.hub.intake.replying import ACCEPTED, Means, Replying, Work
from cimcare.hub.intake.setup import Setup
from cimcare.model.envelope import MessageProperty, ResponseMessage, Result
from cimcare.model.identity import MRID
from cimcare.transport.channel import Answer, Received

__all__ = ["DrillReplying", "words_of"]

_OTHERS = "others"
_LONGEST_WORDS = 500


class DrillReplying(Replying):
    """A message that may turn out to be a drill, or the reply to one of ours."""

    def __init__(self, means: Means, setup: Setup, received: Received) -> None:
        super().__init__(means, setup, received)
        self._is_drill = False

    async def _answer_drill(self, notes: tuple[Finding, ...]) -> Answer:
        """OK, and a note that says what it is worth."""
        clause = "decision 0095 (our own profile)"
        found, accepted = f"Property {PROPERTY}", "the message without it, if it is meant"
        done = finding_of("DRL-101", "/Header/Property", found, accepted, clause)
        return await self._end_drill(Result.OK, (*notes, done))

    async def _refuse(self, findings: tuple[Finding, ...]) -> Answer:
        """FAILED for what is wrong with it; of a drill no message is kept."""
        if not self._is_drill:
            return await super()._refuse(findings)
        return await self._end_drill(Result.FAILED, findings)

    def _count(self, outcome: str, findings: tuple[Finding, ...] = ()) -> None:
        """A drill counts as a drill alone."""
        if not self._is_drill:
            super()._count(outcome, findings)

    async def _end_drill(self, result: Result, findings: tuple[Finding, ...]) -> Answer:
        partner = self._setup.routes.by_source(self._asked.source or "")
        name = partner.name if partner is not None else _OTHERS
        async with self._m.store.transaction() as transaction:
            heard = await transaction.records.find(HEARD, MRID(name))
            body = Heard(
                count=(heard.body.count if heard is not None else 0) + 1, last_at=self._now, result=result.value
            )
            created_at = heard.created_at if heard is not None else self._now
            await transaction.records.save(
                HEARD, Stored(mrid=MRID(name), body=body, created_at=created_at, modified_at=self._now)
            )
        self._m.metrics.count_drill_heard(result.value)
        if not self._ack_required:
            return ACCEPTED
        return self._channel.render_reply(
            _marked(self._build_reply(Work(result=result, source=self._node()), findings))
        )

    async def _take_drill_reply(self, message: ResponseMessage) -> Answer | None:
        """The answer to a later reply to a drill of ours; None if it is none."""
        drill_id = message.header.correlation_id or ""
        if not drill_id.startswith(PREFIX) or await _find(self._m.store, drill_id) is None:
            return None
        if not is_receipt(message.reply):
            async with self._m.store.transaction() as transaction:
                await _keep(transaction.records, drill_id, self._later_reply(message))
        if not self._ack_required:
            return ACCEPTED
        receipt = Work(result=Result.OK, source=self._node(), is_receipt=True)
        return self._channel.render_reply(_marked(self._build_reply(receipt, ())))

    def _later_reply(self, message: ResponseMessage) -> LaterReply:
        header, reply = message.header, message.reply
        return LaterReply(
            received_at=self._now,
            result=reply.result.value,
            codes=tuple(error.code for error in reply.error),
            words=words_of(message),
            context=header.context or "",
            revision=header.revision or "",
            timestamp=header.timestamp,
        )


def words_of(message: ResponseMessage) -> str:
    """What a reply says in words, in one line that can be shown."""
    told = "; ".join(f"{error.code} {error.details or error.reason or ''}".strip() for error in message.reply.error)
    line = " ".join("".join(each if each.isprintable() else " " for each in told).split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}..."


def _marked(reply: ResponseMessage) -> ResponseMessage:
    """The reply with the mark, so that nobody takes it for a real one."""
    mark = MessageProperty(name=PROPERTY, value=reply.header.correlation_id)
    return msgspec.structs.replace(reply, header=msgspec.structs.replace(reply.header, property=(mark,)))


async def _find(store: Store, drill_id: str) -> object | None:
    return await store.reader.records.find(DRILLS, MRID(drill_id))


async def _keep(records: Records, drill_id: str, reply: LaterReply) -> None:
    stored = Stored(mrid=MRID(drill_id), body=reply, created_at=reply.received_at, modified_at=reply.received_at)
    await records.save(REPLIES, stored)
