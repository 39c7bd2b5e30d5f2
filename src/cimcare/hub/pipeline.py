"""The order of steps for one message: limits, parse, schema, context, repeats, rules, dispatch, store, reply.

Whatever comes is answered in words of the standard: a reply where the header could be read, a fault where it could not.
An OK leaves when the message, its effects and the events that it caused are on disk, and not before.

Source: IEC 61968-100:2013, processing of requests and events; guarantees G1, G2 and G8.
"""

import traceback
from collections import deque
from collections.abc import Mapping
from datetime import timedelta

import msgspec
import structlog

from cimcare.codec.digest import digest_of
from cimcare.codec.envelope import parse_message, read_message, render_message
from cimcare.codec.json_body import parse_json
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import read_soap
from cimcare.errors import Finding, InputError, Level, finding_of
from cimcare.exchange.dispatch import Dispatcher
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.patterns import Asked, build_event, build_fault, build_reply, codes_of
from cimcare.exchange.ports import Clock, Event, ExecutedEvent, NewID, Served, ServingContext
from cimcare.exchange.replay import check_original, is_identified, window_start
from cimcare.exchange.store import Store, StoreError, Transaction
from cimcare.hub.judging import Judged, Readable, Refusal, asked_of, check_header, is_fatal, judge
from cimcare.hub.metrics import Metrics
from cimcare.hub.operations import MakeContext, execute, hear, told
from cimcare.hub.settings import Settings
from cimcare.model.envelope import EventMessage, ObjectID, RequestMessage, ResponseMessage, Result
from cimcare.model.nouns import PayloadRoot, Role, find_noun
from cimcare.model.verbs import Verb
from cimcare.rules import check_rules
from cimcare.schema import Catalog
from cimcare.transport.channel import KEPT_OF_REFUSED_BYTES, Answer, Received, RefusedError

__all__ = ["Pipeline"]

_DEEPEST_CASCADE = 8
"""Events may cause events; more than this many generations would be a circle."""

_OWN_LIMITS = Limits(max_bytes=2**40, max_elements=2**40, max_attributes=2**40)
"""For reading back what was written here."""

_ACCEPTED = Answer(status=202)


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """What serving came to."""

    result: Result
    findings: tuple[Finding, ...] = ()
    ids: tuple[ObjectID, ...] = ()
    payload: PayloadRoot | None = None
    events: tuple[Event | ExecutedEvent, ...] = ()
    source: str
    answer_to: int | None = None
    acknowledged: bool = False


class Pipeline:
    """Takes what a transport received and gives the answer. One object serves all transports, on one event loop."""

    def __init__(
        self,
        *,
        store: Store,
        dispatcher: Dispatcher,
        catalog: Catalog,
        settings: Settings,
        clock: Clock,
        new_id: NewID,
        metrics: Metrics,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._catalog = catalog
        self._limits = settings.limits.limits
        self._hub = settings.hub
        self._sources: Mapping[Role, str] = {role: settings.systems.source_of(role) for role in Role}
        self._window = timedelta(days=settings.hub.repeat_window_days)
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics
        self._waiting = 0
        self._log = logger

    @property
    def waiting(self) -> int:
        """Messages in work."""
        return self._waiting

    async def receive(self, received: Received) -> Answer:
        """Do all steps for one message and return its answer. Raises nothing."""
        if self._waiting >= self._hub.queue_limit:
            return self._too_busy(received)
        self._waiting += 1
        self._metrics.set_waiting(self._waiting)
        try:
            return await _Passage(self, received).run()
        finally:
            self._waiting -= 1
            self._metrics.set_waiting(self._waiting)

    def _too_busy(self, received: Received) -> Answer:
        """Said at once and without a look at the message: whoever is overloaded must not work more."""
        finding = finding_of(
            "EXC-108",
            "/",
            f"{self._waiting} messages in work",
            f"the same message after {self._hub.retry_after_seconds} seconds",
            "IEC 61968-100:2013, reply codes; setting hub.queue_limit",
        )
        self._metrics.count_refusal(finding.code)
        answer = received.channel.render_fault(build_fault((finding,), node=self._sources[Role.CIS]), finding)
        return msgspec.structs.replace(answer, retry_after_seconds=self._hub.retry_after_seconds)


class _Passage:
    """One message on its way through."""

    def __init__(self, pipeline: Pipeline, received: Received) -> None:
        self._p = pipeline
        self._received = received
        self._channel = received.channel
        self._now = pipeline._clock()
        self._asked = Asked(noun="")
        self._ack_required = True
        self._digest = b""

    async def run(self) -> Answer:
        """All steps; what goes wrong inside the hub becomes an answer too."""
        try:
            return await self._run()
        except StoreError as error:
            self._p._log.error("not stored", code=error.code, reason=str(error), **self._facts())
            return self._unstored(error)
        except Exception as error:  # noqa: BLE001 - one of the two places where everything is caught: it is answered
            return await self._broken(error)

    async def _run(self) -> Answer:
        received = self._received
        try:
            if received.refusal is not None:
                raise RefusedError(received.refusal)
            opened = self._channel.open(received.raw, self._p._limits, lenient=self._p._hub.lenient)
        except InputError as error:
            return await self._fault((error.finding,))
        except RefusedError as error:
            return await self._fault((error.finding,), soap_code=error.soap_code)
        unanswerable = check_header(opened.glimpse)
        self._asked = asked_of(opened.glimpse)
        self._ack_required = opened.glimpse.ack_required not in ("false", "0")
        if unanswerable:
            return await self._fault(unanswerable)
        try:
            judged = judge(opened, catalog=self._p._catalog, limits=self._p._limits, context=self._p._hub.context)
            self._digest = digest_of(judged.message)
            return await self._serve(judged)
        except Refusal as refusal:
            return await self._refuse(refusal.findings)

    # ------------------------------------------------------------------------------------------------ serving

    async def _serve(self, judged: Judged) -> Answer:
        async with self._p._store.transaction() as transaction:
            repeated = await self._find_repeated(transaction)
            if repeated is not None:
                return await self._repeat(transaction, repeated)
            notes = (*judged.notes, *self._check(judged.message))
            if is_fatal(notes):
                raise Refusal(notes)
            work = await self._work(judged.message, transaction)
            findings = (*notes, *work.findings)
            if work.result is Result.FAILED:
                raise Refusal(findings)
            sequence = await self._keep(
                transaction, outcome=Outcome(work.result.value), findings=findings, answer_to=work.answer_to
            )
            answer = await self._reply(transaction, work, findings, sequence)
            await self._publish(transaction, work.events, sequence)
        self._count(work.result.value)
        return answer

    def _check(self, message: Readable) -> tuple[Finding, ...]:
        findings = check_rules(message)
        if message.header.async_reply_flag and not isinstance(message, ResponseMessage):
            findings = (
                *findings,
                finding_of(
                    "EXC-106",
                    f"/{type(message).__name__}/Header/AsyncReplyFlag",
                    "AsyncReplyFlag is true",
                    "false, or no AsyncReplyFlag: this release answers in the same exchange only",
                    "IEC 61968-100:2013, asynchronous request/reply",
                ),
            )
        return findings

    async def _work(self, message: Readable, transaction: Transaction) -> _Work:
        if isinstance(message, RequestMessage):
            return await self._work_on_request(message, transaction)
        if isinstance(message, EventMessage):
            return await self._work_on_event(message, transaction)
        return await self._work_on_response(message, transaction)

    async def _work_on_request(self, message: RequestMessage, transaction: Transaction) -> _Work:
        if message.header.verb is Verb.EXECUTE:
            done = await execute(message, transaction, self._p._dispatcher, self._contexts(transaction))
            return _Work(
                result=done.result,
                findings=done.findings,
                ids=done.ids,
                events=done.events,
                source=self._p._sources[done.role],
            )
        found = self._p._dispatcher.find_handler(message.header.verb, message.header.noun)
        if isinstance(found, Finding):
            raise Refusal((found,))
        role, handler = found
        served = await handler(message, self._contexts(transaction)(message, False))
        return _Work(
            result=served.result,
            findings=served.findings,
            ids=served.ids,
            payload=served.payload,
            events=served.events,
            source=self._p._sources[role],
        )

    async def _work_on_event(self, message: EventMessage, transaction: Transaction) -> _Work:
        heard = await hear(message, self._p._dispatcher, self._contexts(transaction))
        served = [one for _, one in heard]
        return _Work(
            result=_joint_result(served),
            findings=tuple(finding for one in served for finding in one.findings),
            ids=tuple(dict.fromkeys(identifier for one in served for identifier in one.ids)),
            events=tuple(event for one in served for event in one.events),
            source=self._p._sources[heard[0][0] if heard else Role.CIS],
        )

    async def _work_on_response(self, message: ResponseMessage, transaction: Transaction) -> _Work:
        """A later reply: it must belong to something."""
        correlation_id = message.header.correlation_id
        cause = await transaction.log.find_correlated(correlation_id) if correlation_id else None
        if cause is None:
            raise Refusal(
                (
                    finding_of(
                        "EXC-107",
                        "/ResponseMessage/Header/CorrelationID",
                        f"CorrelationID {correlation_id}" if correlation_id else "no CorrelationID",
                        "the CorrelationID of a request, or else its MessageID",
                        "IEC 61968-100:2013, asynchronous request/reply",
                    ),
                )
            )
        source = self._p._sources[Role.CIS]
        return _Work(result=Result.OK, source=source, answer_to=cause.sequence, acknowledged=True)

    def _contexts(self, transaction: Transaction) -> MakeContext:
        def make(message: RequestMessage | EventMessage, removes: bool) -> ServingContext:
            return ServingContext(
                records=transaction.records,
                now=self._now,
                new_id=self._p._new_id,
                header=message.header,
                removes=removes,
            )

        return make

    async def _publish(self, transaction: Transaction, events: tuple[Event | ExecutedEvent, ...], cause: int) -> None:
        """Keep each event as sent, and hand it to the built-in systems that listen, in the same transaction."""
        waiting = deque((told(event), cause, 1) for event in events)
        while waiting:
            event, caused_by, generation = waiting.popleft()
            if generation > _DEEPEST_CASCADE:
                raise RuntimeError(
                    f"{event.verb} {event.noun}: event of generation {generation}; listeners go in circles"
                )
            message = build_event(
                event,
                self._asked,
                source=self._p._sources[event.source],
                now=self._now,
                message_id=self._p._new_id(),
            )
            heard = await hear(message, self._p._dispatcher, self._contexts(transaction), speaker=event.source)
            served = [one for _, one in heard]
            raw = render_message(message)
            sequence = await transaction.log.append(
                LogEntry(
                    received_at=self._now,
                    direction=Direction.OUT,
                    transport=Transport.INTERNAL,
                    partner=" ".join(dict.fromkeys(self._p._sources[role] for role, _ in heard)),
                    archetype="EventMessage",
                    verb=event.verb.value,
                    noun=str(event.noun),
                    message_id=message.header.message_id or "",
                    correlation_id=message.header.correlation_id or "",
                    context=message.header.context or "",
                    outcome=Outcome(_joint_result(served).value),
                    codes=codes_of(finding for one in served for finding in one.findings),
                    answer_to=caused_by,
                    content_type="application/xml",
                    size_bytes=len(raw),
                ),
                raw,
            )
            waiting.extend((told(further), sequence, generation + 1) for one in served for further in one.events)

    # ------------------------------------------------------------------------------------------------ repeats

    async def _find_repeated(self, transaction: Transaction) -> LogEntry | None:
        """The accepted message that this one repeats; None if there is none."""
        source, message_id = self._asked.source, self._asked.message_id
        if not is_identified(source, message_id):
            return None
        since = window_start(self._now, self._p._window)
        original = await transaction.log.find_original(source or "", message_id or "", since)
        if original is not None and (findings := check_original(original, self._digest)):
            raise Refusal(findings)
        return original

    async def _repeat(self, transaction: Transaction, original: LogEntry) -> Answer:
        """The answer of the first time, byte for byte where the way is the same."""
        self._p._metrics.count_repeat()
        await self._keep(transaction, outcome=original.outcome, codes=original.codes, repeat_of=original.sequence)
        self._count(original.outcome.value)
        answered = await transaction.log.find_answer(original.sequence)
        raw = await transaction.log.find_raw(answered.sequence) if answered is not None else None
        if answered is None or raw is None or not self._ack_required:
            return _ACCEPTED
        answer = self._channel.render_reply(_read_back(answered, raw))
        if (answered.transport, answered.content_type) == (self._channel.transport, answer.content_type):
            return msgspec.structs.replace(answer, body=raw)
        return answer

    # ------------------------------------------------------------------------------------------------ answers

    async def _refuse(self, findings: tuple[Finding, ...]) -> Answer:
        """FAILED: stored with its answer in a transaction of its own, since the first was undone."""
        entry = find_noun(self._asked.noun)
        source = self._p._sources[entry.owner if entry else Role.CIS]
        work = _Work(result=Result.FAILED, source=source)
        async with self._p._store.transaction() as transaction:
            sequence = await self._keep(transaction, outcome=Outcome.FAILED, findings=findings)
            answer = await self._reply(transaction, work, findings, sequence)
        self._count("FAILED", findings)
        return answer

    async def _reply(
        self, transaction: Transaction, work: _Work, findings: tuple[Finding, ...], sequence: int
    ) -> Answer:
        if not self._ack_required:
            return _ACCEPTED
        reply = self._build_reply(work, findings)
        answer = self._channel.render_reply(reply)
        await self._keep_answer(
            transaction,
            answer,
            sequence,
            archetype="ResponseMessage",
            verb="reply",
            message_id=reply.header.message_id or "",
            correlation_id=reply.header.correlation_id or "",
            outcome=Outcome(work.result.value),
            codes=codes_of(findings),
        )
        return answer

    def _build_reply(self, work: _Work, findings: tuple[Finding, ...]) -> ResponseMessage:
        return build_reply(
            self._asked,
            result=work.result,
            findings=findings,
            ids=work.ids,
            payload=work.payload,
            source=work.source,
            now=self._now,
            message_id=self._p._new_id(),
            acknowledged=work.acknowledged,
        )

    async def _fault(self, findings: tuple[Finding, ...], *, soap_code: str | None = None) -> Answer:
        fault = build_fault(findings, node=self._p._sources[Role.CIS])
        answer = self._channel.render_fault(fault, findings[0], soap_code=soap_code)
        async with self._p._store.transaction() as transaction:
            sequence = await self._keep(transaction, outcome=Outcome.FAULT, findings=findings)
            await self._keep_answer(
                transaction,
                answer,
                sequence,
                archetype="FaultMessage",
                outcome=Outcome.FAULT,
                codes=codes_of(findings),
            )
        self._count("FAULT", findings)
        return answer

    async def _broken(self, error: Exception) -> Answer:
        """An error of the program: kept and said, without its insides."""
        self._p._log.error(
            "message failed",
            code="EXC-109",
            error=type(error).__name__,
            trace="".join(
                traceback.format_tb(error.__traceback__)
            ),  # without the error's text, which may quote content
            **self._facts(),
        )
        finding = finding_of(
            "EXC-109",
            "/",
            f"an error inside the hub while it worked on this message ({type(error).__name__})",
            "nothing was kept but the message; the operator's log says more",
            "IEC 61968-100:2013, reply codes",
        )
        try:
            if not self._asked.noun:
                return await self._fault((finding,))
            return await self._refuse((finding,))
        except Exception as failure:  # noqa: BLE001 - as above: even what cannot be kept is answered
            self._p._log.error("not stored", code=finding.code, error=type(failure).__name__, **self._facts())
            return self._unstored(StoreError(type(failure).__name__))

    def _unstored(self, error: StoreError) -> Answer:
        """The store did not take it, so it did not happen; the sender may try again."""
        finding = finding_of(
            error.code,
            "/",
            "the message could not be made durable, and nothing of it was kept",
            "the same message later",
            "guarantee G1",
        )
        self._count("FAILED", (finding,))
        if not self._asked.noun or not self._asked.verb:
            return self._channel.render_fault(build_fault((finding,), node=self._p._sources[Role.CIS]), finding)
        entry = find_noun(self._asked.noun)
        work = _Work(result=Result.FAILED, source=self._p._sources[entry.owner if entry else Role.CIS])
        return self._channel.render_reply(self._build_reply(work, (finding,)))

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
    ) -> int:
        """Put the received message into the log."""
        received, asked = self._received, self._asked
        raw = received.raw
        if received.refusal is not None or len(raw) > self._p._limits.max_bytes:
            raw = raw[:KEPT_OF_REFUSED_BYTES]
        return await transaction.log.append(
            LogEntry(
                received_at=self._now,
                direction=Direction.IN,
                transport=self._channel.transport,
                partner=asked.source or "",
                archetype=asked.archetype,
                verb=asked.verb[:16],
                noun=asked.noun,
                message_id=asked.message_id or "",
                correlation_id=asked.correlation_id or "",
                context=asked.context or "",
                outcome=outcome,
                codes=codes or codes_of(findings),
                answer_to=answer_to,
                repeat_of=repeat_of,
                digest=self._digest,
                content_type=received.content_type,
                truncated=len(raw) < received.size_bytes,
                size_bytes=received.size_bytes,
            ),
            raw,
        )

    async def _keep_answer(
        self,
        transaction: Transaction,
        answer: Answer,
        sequence: int,
        *,
        archetype: str,
        outcome: Outcome,
        codes: tuple[str, ...],
        verb: str = "",
        message_id: str = "",
        correlation_id: str = "",
    ) -> None:
        """Put the answer into the log, as sent."""
        await transaction.log.append(
            LogEntry(
                received_at=self._now,
                direction=Direction.OUT,
                transport=self._channel.transport,
                partner=self._asked.source or "",
                archetype=archetype,
                verb=verb,
                noun=self._asked.noun,
                message_id=message_id,
                correlation_id=correlation_id,
                context=self._asked.context or "",
                outcome=outcome,
                codes=codes,
                answer_to=sequence,
                content_type=answer.content_type,
                status=answer.status,
                size_bytes=len(answer.body),
            ),
            answer.body,
        )

    def _count(self, outcome: str, findings: tuple[Finding, ...] = ()) -> None:
        self._p._metrics.count_message(
            verb=self._asked.verb, noun=self._asked.noun, outcome=outcome, transport=self._channel.transport.value
        )
        for code in {finding.code for finding in findings if finding.level is Level.FATAL}:
            self._p._metrics.count_refusal(code)

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


def _joint_result(served: list[Served]) -> Result:
    """OK if all listeners said so, FAILED if none did anything, else PARTIAL."""
    results = {one.result for one in served}
    if results <= {Result.OK}:
        return Result.OK
    return Result.FAILED if results == {Result.FAILED} else Result.PARTIAL


def _read_back(entry: LogEntry, raw: bytes) -> ResponseMessage:
    """The reply that was stored as sent."""
    if entry.transport is Transport.REST_JSON:
        message = parse_json(raw, _OWN_LIMITS)
    elif entry.transport is Transport.REST_XML:
        message = parse_message(raw, _OWN_LIMITS)
    else:
        element = read_soap(parse_xml(raw, _OWN_LIMITS), _OWN_LIMITS).element
        assert element is not None
        message = read_message(element)
    assert isinstance(message, ResponseMessage)
    return message
