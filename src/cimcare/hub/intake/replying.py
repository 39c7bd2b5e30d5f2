"""Answers to one message: replies and faults as they are said, what is kept of them, what is counted.

Whatever goes wrong inside the hub becomes an answer too; none leaves that is not true.

Source: IEC 61968-100:2013, Reply and FaultMessage; guarantees G1 and G7.
"""

import traceback
from datetime import timedelta

import msgspec
import structlog

from cimcare.codec.limits import Limits
from cimcare.errors import Finding, Level, finding_of
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Content, Outcome
from cimcare.exchange.outbox import Priority
from cimcare.exchange.patterns import Asked, build_fault, build_reply, codes_of
from cimcare.exchange.ports import Clock, Event, ExecutedEvent, NewID
from cimcare.exchange.store import Store, StoreError, Transaction
from cimcare.hub.config.settings import HubSettings
from cimcare.hub.intake.aside import put_aside
from cimcare.hub.intake.entries import count_of, entry_of_answer, entry_of_received
from cimcare.hub.intake.passing import Passing
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import OnPut
from cimcare.hub.metrics import Metrics
from cimcare.model.envelope import ObjectID, ResponseMessage, Result
from cimcare.model.nouns import PayloadRoot, Role, find_noun
from cimcare.schema import Catalog
from cimcare.systems.cis.sight import discreet
from cimcare.transport.channel import KEPT_OF_REFUSED_BYTES, Answer, Received

__all__ = ["ACCEPTED", "Means", "Replying", "Work", "not_kept"]

ACCEPTED = Answer(status=202)


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a message needs on its way.

    `on_put` is told for whom something was put into the outbox, and of the events that were written, once all is on
    disk.
    """

    store: Store
    passing: Passing
    catalog: Catalog
    limits: Limits
    hub: HubSettings
    window: timedelta
    clock: Clock
    new_id: NewID
    metrics: Metrics
    logger: structlog.typing.FilteringBoundLogger
    on_put: OnPut


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What serving came to. `is_receipt`: the reply says no more than that the message came."""

    result: Result
    findings: tuple[Finding, ...] = ()
    ids: tuple[ObjectID, ...] = ()
    payload: PayloadRoot | None = None
    events: tuple[Event | ExecutedEvent, ...] = ()
    source: str
    answer_to: int | None = None
    is_receipt: bool = False


class Replying:
    """One message and all that is said in answer to it, with the set-up that is in force when it comes."""

    def __init__(self, means: Means, setup: Setup, received: Received) -> None:
        self._m = means
        self._setup = setup
        self._received = received
        self._channel = received.channel
        self._now = means.clock()
        self._asked = Asked(noun="")
        self._ack_required = True
        self._digest = b""
        self._priority = Priority.NORMAL
        self._content: Content | None = None

    @property
    def _third_party(self) -> str:
        """Header/Source of a sender outside of the utility; empty for all others."""
        return self._setup.routes.third_party(self._asked.source or "")

    # ------------------------------------------------------------------------------------------------ answers

    async def _refuse(self, findings: tuple[Finding, ...]) -> Answer:
        """FAILED: stored with its answer in a transaction of its own, since the first was undone."""
        work = Work(result=Result.FAILED, source=self._node())
        async with self._m.store.transaction(self._priority) as transaction:
            sequence = await self._keep(transaction, outcome=Outcome.FAILED, findings=findings)
            answer = await self._reply(transaction, work, findings, sequence)
        self._count("FAILED", findings)
        return answer

    async def _acknowledge(
        self, transaction: Transaction, source: str, findings: tuple[Finding, ...], sequence: int
    ) -> Answer:
        """OK with code 0.3: the message is taken, and no more is known yet."""
        return await self._reply(
            transaction, Work(result=Result.OK, source=source, is_receipt=True), findings, sequence
        )

    async def _reply(
        self, transaction: Transaction, work: Work, findings: tuple[Finding, ...], sequence: int
    ) -> Answer:
        if not self._ack_required:
            return ACCEPTED
        reply = self._build_reply(work, findings)
        answer = self._channel.render_reply(reply)
        await self._keep_reply(
            transaction, reply, answer, sequence, outcome=Outcome(work.result.value), codes=codes_of(findings)
        )
        return answer

    def _build_reply(self, work: Work, findings: tuple[Finding, ...]) -> ResponseMessage:
        return build_reply(
            self._asked,
            result=work.result,
            findings=discreet(findings) if self._third_party else findings,
            ids=work.ids,
            payload=work.payload,
            source=work.source,
            now=self._now,
            message_id=self._m.new_id(),
            acknowledged=work.is_receipt,
        )

    async def _fault(self, findings: tuple[Finding, ...], *, soap_code: str | None = None) -> Answer:
        fault = build_fault(findings, node=self._setup.sources[Role.CIS])
        answer = self._channel.render_fault(fault, findings[0], soap_code=soap_code)
        async with self._m.store.transaction() as transaction:
            sequence = await self._keep(transaction, outcome=Outcome.FAULT, findings=findings)
            entry = entry_of_answer(
                answer,
                self._asked,
                transport=self._channel.transport,
                sequence=sequence,
                now=self._now,
                archetype="FaultMessage",
                outcome=Outcome.FAULT,
                codes=codes_of(findings),
            )
            await transaction.log.append(entry, answer.body)
            if self._received.origin is not None:
                await put_aside(
                    transaction,
                    self._received.origin,
                    self._asked,
                    sequence=sequence,
                    raw=self._kept_bytes(),
                    reason=findings[0].describe(),
                    now=self._now,
                )
        self._count("FAULT", findings)
        return answer

    async def _broken(self, error: Exception) -> Answer:
        """An error of the program: kept and said, without its insides."""
        finding = finding_of(
            "EXC-109",
            "/",
            f"an error inside the hub while it worked on this message ({self._note_broken(error)})",
            "nothing was kept but the message; the operator's log says more",
            "IEC 61968-100:2013, reply codes",
        )
        try:
            if not self._asked.noun:
                return await self._fault((finding,))
            return await self._refuse((finding,))
        except Exception as failure:  # noqa: BLE001 - as above: even what cannot be kept is answered
            self._m.logger.error("not stored", code=finding.code, error=type(failure).__name__, **self._facts())
            return self._unstored(not_kept(StoreError.code))

    def _note_broken(self, error: Exception) -> str:
        """A line for the operator, without the error's text, which may quote content; the name of the error."""
        name = type(error).__name__
        trace = "".join(traceback.format_tb(error.__traceback__))
        self._m.logger.error("message failed", code="EXC-109", error=name, trace=trace, **self._facts())
        return name

    def _unstored(self, finding: Finding) -> Answer:
        """FAILED, of which nothing could be kept; the sender may try again."""
        self._count("FAILED", (finding,))
        if not self._asked.noun or not self._asked.verb:
            fault = build_fault((finding,), node=self._setup.sources[Role.CIS])
            answer = self._channel.render_fault(fault, finding)
        else:
            reply = self._build_reply(Work(result=Result.FAILED, source=self._node()), (finding,))
            answer = self._channel.render_reply(reply)
        return msgspec.structs.replace(answer, is_kept=False)

    def _busy(self, found: str = "") -> Answer:
        """Not now; nothing was kept."""
        finding = finding_of(
            "EXC-108",
            "/",
            found or "as many messages in work as can be answered in time",
            f"the same message after {self._m.hub.retry_after_seconds} seconds",
            "IEC 61968-100:2013, reply codes; settings hub.queue_limit and hub.wait_seconds",
        )
        self._count("FAILED", (finding,))
        fault = build_fault((finding,), node=self._setup.sources[Role.CIS])
        answer = self._channel.render_fault(fault, finding)
        return msgspec.structs.replace(answer, retry_after_seconds=self._m.hub.retry_after_seconds, is_kept=False)

    def _node(self) -> str:
        """Header/Source of the system that owns the noun."""
        entry = find_noun(self._asked.noun)
        return self._setup.sources[entry.owner if entry else Role.CIS]

    # ---------------------------------------------------------------------------------------------------- log

    async def _keep(
        self,
        transaction: Transaction,
        *,
        outcome: Outcome,
        findings: tuple[Finding, ...] = (),
        codes: tuple[str, ...] = (),
        answer_to: int | None = None,
        repeat_of: int | None = None,
        link: str = "",
    ) -> int:
        """Put the received message into the log, and count it. `link` stands in for the identifiers that it lacks."""
        received = self._received
        raw = self._kept_bytes()
        entry = entry_of_received(
            received,
            self._asked,
            kept_bytes=len(raw),
            now=self._now,
            outcome=outcome,
            codes=codes or codes_of(findings),
            answer_to=answer_to,
            repeat_of=repeat_of,
            digest=self._digest,
        )
        if link:
            entry = msgspec.structs.replace(entry, correlation_id=link)
        if outcome is Outcome.FAULT and received.origin is not None and not entry.message_id:
            entry = msgspec.structs.replace(entry, message_id=received.origin.key)
        await self._book(transaction, Ends.RECEIVED)
        if (column := count_of(entry)) is not None:
            await self._book(transaction, column)
        return await transaction.log.append(entry, raw, self._content)

    def _kept_bytes(self) -> bytes:
        """What is kept of the message that was received."""
        received = self._received
        is_too_much = received.refusal is not None or len(received.raw) > self._m.limits.max_bytes
        return received.raw[:KEPT_OF_REFUSED_BYTES] if is_too_much else received.raw

    async def _book(self, transaction: Transaction, column: Ends) -> None:
        await transaction.ledger.count(self._asked.source or "", self._now, Account.IN, column)

    async def _keep_reply(
        self,
        transaction: Transaction,
        reply: ResponseMessage,
        answer: Answer,
        sequence: int,
        *,
        outcome: Outcome,
        codes: tuple[str, ...],
    ) -> None:
        """Put the reply into the log, as sent."""
        entry = entry_of_answer(
            answer,
            self._asked,
            transport=self._channel.transport,
            sequence=sequence,
            now=self._now,
            archetype="ResponseMessage",
            verb="reply",
            message_id=reply.header.message_id or "",
            correlation_id=reply.header.correlation_id or "",
            outcome=outcome,
            codes=codes,
        )
        await transaction.log.append(entry, answer.body, reply)

    def _count(self, outcome: str, findings: tuple[Finding, ...] = ()) -> None:
        self._m.metrics.count_message(
            verb=self._asked.verb, noun=self._asked.noun, outcome=outcome, transport=self._channel.transport.value
        )
        for code in {finding.code for finding in findings if finding.level is Level.FATAL}:
            self._m.metrics.count_refusal(code)

    def _facts(self) -> dict[str, str]:
        """What a log line says of a message; never its content."""
        asked = self._asked
        return {
            "verb": asked.verb,
            "noun": asked.noun,
            "source": asked.source or "",
            "message_id": asked.message_id or "",
            "transport": self._channel.transport.value,
        }


def not_kept(code: str) -> Finding:
    """The store did not take the message, so it did not happen."""
    found = "the message could not be made durable, and nothing of it was kept"
    return finding_of(code, "/", found, "the same message later", "guarantee G1")
