"""One message on its way: limits, parse, schema, context, repeats, rules, then served here or passed on, store, reply.

Source: IEC 61968-100:2013, processing of requests and events; guarantees G1, G2 and G8.
"""

import msgspec

from cimcare.codec.digest import digest_of
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.booking import book_answered, book_put, book_settled
from cimcare.exchange.correlation import correlation_of, linked
from cimcare.exchange.drills import PROPERTY
from cimcare.exchange.facts import object_keys_of, priority_of
from cimcare.exchange.ledger import Ends
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome
from cimcare.exchange.outbox import DeliveryKind, DeliverySelection, DeliveryState, NewDelivery
from cimcare.exchange.partners import Forward, Partner
from cimcare.exchange.patterns import codes_of
from cimcare.exchange.ports import ServingContext
from cimcare.exchange.replay import check_original, is_identified, window_start
from cimcare.exchange.splitting import is_last
from cimcare.exchange.store import StoreError, Transaction
from cimcare.hub.intake.admission import Place
from cimcare.hub.intake.drilled import DrillReplying
from cimcare.hub.intake.entries import entry_of_exchange
from cimcare.hub.intake.judging import Judged, Readable, Refusal, asked_of, check_header, is_fatal, judge
from cimcare.hub.intake.later import (
    ReplyTo,
    check_reply_address,
    has_last_reply,
    is_answered_later,
    reply_to_of,
    split_reply,
)
from cimcare.hub.intake.operations import MakeContext, execute, hear, nouns_of
from cimcare.hub.intake.passing import AGAIN, Passed
from cimcare.hub.intake.reading import read_back
from cimcare.hub.intake.replying import ACCEPTED, Means, Work, not_kept
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import Teller, Written, joint_result
from cimcare.hub.intake.unanswered import find_asked, give_up, longest_passage
from cimcare.hub.intake.veiling import check_open, note_reply, seen_reply
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Role, find_noun
from cimcare.model.verbs import Verb
from cimcare.rules import check_rules
from cimcare.systems.cis.sight import Sight
from cimcare.transport.channel import Answer, Received, RefusedError

__all__ = ["Passage"]

_MOST_DEAD = 10
"""A request goes to one owner, so there is one delivery of it; more would be of an owner that it had before."""

_CLAUSE_LATER = "IEC 61968-100:2013, asynchronous request/reply"


class _InWorkError(Exception):
    """The message repeats one that is being passed on and has no outcome yet."""

    def __init__(self, original: LogEntry) -> None:
        super().__init__(original.sequence)
        self.original = original


class _BusyError(Exception):
    """The message was let in because it looked urgent, and is not."""


class Passage(DrillReplying):
    """One message on its way through, with the set-up that is in force when it comes."""

    def __init__(self, means: Means, setup: Setup, received: Received, place: Place) -> None:
        super().__init__(means, setup, received)
        self._place = place
        self._destinations: set[str] = set()
        self._written: tuple[Written, ...] = ()
        self._is_surplus = False

    async def run(self) -> Answer:
        """All steps; what goes wrong inside the hub becomes an answer too."""
        try:
            return await self._run()
        except StoreError as error:
            self._m.logger.error("not stored", code=error.code, reason=str(error), **self._facts())
            return self._unstored(not_kept(error.code))
        except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: it is answered
            return await self._broken(error)
        finally:
            if self._destinations:
                self._m.on_put(self._destinations, self._written)

    async def _run(self) -> Answer:
        received = self._received
        try:
            if received.refusal is not None:
                raise RefusedError(received.refusal)
            opened = self._channel.open(received.raw, self._m.limits, lenient=self._m.hub.lenient)
        except InputError as error:
            return await self._fault((received.aside or error.finding,))
        except RefusedError as error:
            return await self._fault((error.finding,), soap_code=error.soap_code)
        if received.aside is not None:
            self._asked = asked_of(opened.glimpse)
            return await self._fault((received.aside,))
        unanswerable = check_header(opened.glimpse)
        self._is_drill = PROPERTY in opened.glimpse.properties and not unanswerable
        self._asked = asked_of(opened.glimpse)
        self._ack_required = opened.glimpse.ack_required not in ("false", "0")
        if unanswerable:
            return await self._fault(unanswerable)
        try:
            judged = judge(opened, catalog=self._m.catalog, limits=self._m.limits, context=self._m.hub.context)
            if self._is_drill:
                return await self._go_through_drill(judged)
            self._digest = digest_of(judged.message)
            self._priority = priority_of(judged.message)
            self._content = judged.message
            if not await self._place.keep(self._priority):
                raise _BusyError
            return await self._go_on(judged)
        except Refusal as refusal:
            return await self._refuse(refusal.findings)
        except _InWorkError as found:
            return await self._join(found.original)
        except _BusyError:
            return self._busy()

    async def _go_through_drill(self, judged: Judged) -> Answer:
        """A drill has the place of an ordinary message, whatever it tells of, and ends where serving would begin.

        It goes behind everything: in a crowd it is told that we are busy.
        """
        if self._place.is_crowded or not await self._place.keep(self._priority):
            raise _BusyError
        message = judged.message
        if isinstance(message, ResponseMessage) and (answer := await self._take_drill_reply(message)) is not None:
            return answer
        notes = (*judged.notes, *self._check(message))
        if is_fatal(notes):
            raise Refusal(notes)
        return await self._answer_drill(notes)

    async def _go_on(self, judged: Judged) -> Answer:
        """Serve the message here, or pass it on to the partner that owns its noun."""
        message = judged.message
        if isinstance(message, ResponseMessage) and (answer := await self._take_drill_reply(message)) is not None:
            return answer
        notes = (*judged.notes, *self._check(message))
        if isinstance(message, RequestMessage) and not is_fatal(notes):
            partner = self._owner_of(message)
            if partner is not None:
                if self._is_queued(message, partner):
                    return await self._queue(message, notes, partner)
                assert isinstance(judged.as_came, RequestMessage)
                return await self._pass_through(judged.as_came, notes, partner)
        return await self._serve(message, notes)

    # ------------------------------------------------------------------------------------------------ serving

    async def _serve(self, message: Readable, notes: tuple[Finding, ...]) -> Answer:
        async with self._m.store.transaction(self._priority) as transaction:
            repeated = await self._find_repeated(transaction)
            if repeated is not None:
                return await self._repeat(transaction, repeated, await self._find_waiting(message, transaction))
            if is_fatal(notes):
                raise Refusal(notes)
            is_later = is_answered_later(message)
            work = await self._work(message, transaction, is_later=is_later)
            findings = (*notes, *work.findings)
            if work.result is Result.FAILED:
                raise Refusal(findings)
            sequence = await self._keep(
                transaction, outcome=Outcome(work.result.value), findings=findings, answer_to=work.answer_to
            )
            if self._third_party and message.header.verb is Verb.GET:
                await note_reply(transaction, self._third_party, of=sequence, now=self._now)
            if is_later:
                answer = await self._acknowledge(transaction, work.source, (), sequence)
                await self._reply_later(transaction, message, work, findings, sequence)
            else:
                answer = await self._reply(transaction, work, findings, sequence)
            written = await self._tell(transaction, message, work, sequence)
        self._written = written  # not before: what is not committed is nobody's to read
        self._count(work.result.value)
        return answer

    def _check_reply_address(self, message: RequestMessage) -> Finding | None:
        transport = self._channel.transport
        return check_reply_address(message.header, self._setup.routes, self._m.hub.reply_hosts, transport=transport)

    def _check(self, message: Readable) -> tuple[Finding, ...]:
        findings = check_rules(message)
        if isinstance(message, RequestMessage) and self._third_party:
            findings = (*findings, *check_open(message))
        if isinstance(message, EventMessage) and message.header.async_reply_flag:
            where = "/EventMessage/Header/AsyncReplyFlag"
            accepted = "false, or no AsyncReplyFlag: an event is answered in the same exchange"
            findings = (*findings, finding_of("EXC-106", where, "AsyncReplyFlag is true", accepted, _CLAUSE_LATER))
        return findings

    async def _work(self, message: Readable, transaction: Transaction, *, is_later: bool) -> Work:
        if isinstance(message, RequestMessage):
            return await self._work_on_request(message, transaction, is_later=is_later)
        if isinstance(message, EventMessage):
            return await self._work_on_event(message, transaction)
        return await self._work_on_response(message, transaction)

    async def _work_on_request(self, message: RequestMessage, transaction: Transaction, *, is_later: bool) -> Work:
        if is_later:
            refused = self._check_reply_address(message)
            if refused is not None:
                raise Refusal((refused,))
        contexts = self._contexts(transaction, is_unbounded=is_later)
        if message.header.verb is Verb.EXECUTE:
            done = await execute(message, transaction, self._setup.dispatcher, contexts)
            return Work(
                result=done.result,
                findings=done.findings,
                ids=done.ids,
                events=done.events,
                source=self._setup.sources[done.role],
            )
        found = self._setup.dispatcher.find_handler(message.header.verb, message.header.noun)
        if isinstance(found, Finding):
            raise Refusal((found,))
        role, handler = found
        served = await handler(message, contexts(message, False))
        payload = served.payload
        if self._third_party:
            payload = await Sight(transaction.records, self._third_party, self._now).payload(payload)
        return Work(
            result=served.result,
            findings=served.findings,
            ids=served.ids,
            payload=payload,
            events=served.events,
            source=self._setup.sources[role],
        )

    async def _work_on_event(self, message: EventMessage, transaction: Transaction) -> Work:
        if message.header.source in self._setup.own_sources and message.header.message_id:
            wanted = LogSelection(message_id=message.header.message_id, direction=Direction.OUT, limit=1)
            if await transaction.log.select(wanted):
                return self._own_event(message)
        heard = await hear(message, self._setup.dispatcher, self._contexts(transaction))
        served = [one for _, one in heard]
        return Work(
            result=joint_result(served),
            findings=tuple(finding for one in served for finding in one.findings),
            ids=tuple(dict.fromkeys(identifier for one in served for identifier in one.ids)),
            events=tuple(event for one in served for event in one.events),
            source=self._setup.sources[heard[0][0] if heard else Role.CIS],
        )

    def _own_event(self, message: EventMessage) -> Work:
        """Somebody gave back what he had from here; hearing it again would send it round for ever."""
        finding = finding_of(
            "EXC-118",
            "/EventMessage/Header/MessageID",
            f"{message.header.message_id} of {message.header.source} was sent from here",
            "events of others; this one was taken and has no effect",
            "guarantee G2",
        )
        return Work(result=Result.OK, findings=(finding,), source=self._setup.sources[Role.CIS])

    async def _work_on_response(self, message: ResponseMessage, transaction: Transaction) -> Work:
        """A later reply: it must belong to something."""
        cause = await self._cause_of(message, transaction)
        if cause is None:
            correlation_id = message.header.correlation_id
            raise Refusal(
                (
                    finding_of(
                        "EXC-107",
                        "/ResponseMessage/Header/CorrelationID",
                        f"CorrelationID {correlation_id}" if correlation_id else "no CorrelationID",
                        "the CorrelationID of a request, or else its MessageID",
                        _CLAUSE_LATER,
                    ),
                )
            )
        self._is_surplus = await has_last_reply(transaction.log, cause.sequence)
        source = self._setup.sources[Role.CIS]
        return Work(result=Result.OK, source=source, answer_to=cause.sequence, is_receipt=True)

    async def _cause_of(self, message: ResponseMessage, transaction: Transaction) -> LogEntry | None:
        correlation_id = message.header.correlation_id
        return await find_asked(transaction, correlation_id) if correlation_id else None

    def _contexts(self, transaction: Transaction, *, is_unbounded: bool = False) -> MakeContext:
        def make(message: RequestMessage | EventMessage, removes: bool) -> ServingContext:
            return ServingContext(
                records=transaction.records,
                now=self._now,
                new_id=self._m.new_id,
                header=message.header,
                removes=removes,
                is_unbounded=is_unbounded,
                third_party=self._third_party if isinstance(message, RequestMessage) else "",
            )

        return make

    async def _tell(
        self, transaction: Transaction, message: Readable, work: Work, sequence: int
    ) -> tuple[Written, ...]:
        """All that follows from a message that was accepted, in its transaction; the events that were written."""
        teller = Teller(
            transaction,
            self._setup,
            self._asked,
            cause=sequence,
            priority=self._priority,
            make_context=self._contexts(transaction),
            now=self._now,
            new_id=self._m.new_id,
        )
        if isinstance(message, EventMessage) and not any(one.code == "EXC-118" for one in work.findings):
            # Before what follows from it, for that is the order of things.
            await teller.pass_on(message, sequence, cause=sequence)
        await teller.tell(work.events)
        self._destinations |= teller.destinations
        if isinstance(message, ResponseMessage) and work.answer_to is not None:
            await self._take_reply(transaction, message, work.answer_to, sequence)
        return tuple(teller.written)

    async def _reply_later(
        self, transaction: Transaction, message: Readable, work: Work, findings: tuple[Finding, ...], sequence: int
    ) -> None:
        """What is known already goes to the ReplyAddress all the same, from the outbox."""
        reply_to: ReplyTo = reply_to_of(message.header, self._setup.routes, cause=sequence, priority=self._priority)
        whole = self._build_reply(msgspec.structs.replace(work, payload=None), findings)
        for part in split_reply(whole, work.payload, most=self._m.hub.reply_objects, new_id=self._m.new_id):
            await reply_to.keep_and_put(transaction, part, now=self._now)
        self._destinations.add(reply_to.destination)

    # ------------------------------------------------------------------------------- what a partner is to serve

    def _owner_of(self, message: RequestMessage) -> Partner | None:
        """The partner that owns the noun; None if it is served here.

        Raises:
            Refusal: The operations of a set belong to several systems, of which one is a partner.
        """
        routes = self._setup.routes
        if message.header.verb is not Verb.EXECUTE:
            entry = find_noun(message.header.noun)
            return routes.owner_of(entry.noun) if entry is not None else None
        owners = {noun: routes.owner_of(noun) for noun in nouns_of(message)}
        names = {partner.name if partner is not None else "" for partner in owners.values()}
        if len(names) > 1:
            told = ", ".join(
                f"{noun} to {owner.name if owner else 'a built-in system'}" for noun, owner in owners.items()
            )
            raise Refusal(
                (
                    finding_of(
                        "EXC-115",
                        "/RequestMessage/Payload/OperationSet",
                        f"operations on nouns that belong to different systems: {told}",
                        "an OperationSet for each system",
                        "IEC 61968-100:2013, OperationSet",
                    ),
                )
            )
        return next(iter(owners.values()), None)

    def _is_queued(self, message: RequestMessage, partner: Partner) -> bool:
        if is_answered_later(message) or not self._ack_required:
            return True
        return partner.forward is Forward.QUEUE and message.header.verb is not Verb.GET

    def _linked(self, message: RequestMessage) -> tuple[RequestMessage, str]:
        """The request with what a later reply can be linked by, and that itself where it had to be given one."""
        if correlation_of(message.header.message_id, message.header.correlation_id) is not None:
            return message, ""
        link = self._m.new_id()
        header = msgspec.structs.replace(message.header, message_id=MessageID(link))
        return msgspec.structs.replace(message, header=header), link

    async def _queue(self, message: RequestMessage, notes: tuple[Finding, ...], partner: Partner) -> Answer:
        """Take the request for the partner: it is delivered from the outbox, and its sender has a receipt."""
        async with self._m.store.transaction(self._priority) as transaction:
            repeated = await self._find_repeated(transaction)
            if repeated is not None:
                return await self._repeat(transaction, repeated)
            if is_answered_later(message):
                refused = self._check_reply_address(message)
                if refused is not None:
                    raise Refusal((refused,))
            message, link = self._linked(message)
            sequence = await self._keep(transaction, outcome=Outcome.OK, findings=notes, link=link)
            answer = await self._acknowledge(transaction, partner.source, notes, sequence)
            await book_put(
                transaction,
                NewDelivery(
                    message=sequence,
                    cause=sequence,
                    partner=partner.name,
                    kind=DeliveryKind.REQUEST,
                    object_keys=object_keys_of(message),
                    verb=message.header.verb.value,
                    noun=message.header.noun,
                    message_id=message.header.message_id or self._m.new_id(),
                    created_at=self._now,
                    priority=self._priority,
                ),
            )
            self._destinations.add(partner.name)
        self._count("OK")
        return answer

    async def _pass_through(self, message: RequestMessage, notes: tuple[Finding, ...], partner: Partner) -> Answer:
        """Keep the request, pass it on while its sender waits, and keep what came of it."""
        passing = self._m.passing
        has_place = False
        try:
            async with self._m.store.transaction(self._priority) as transaction:
                repeated = await self._find_repeated(transaction)
                if repeated is not None:
                    return await self._repeat(transaction, repeated)
                refused = passing.enter(partner)
                if refused is not None:
                    raise Refusal((*notes, refused))
                has_place = True
                message, link = self._linked(message)
                sequence = await self._keep(transaction, outcome=Outcome.NONE, findings=notes, link=link)
        except BaseException:
            if has_place:
                passing.leave(partner)
            raise
        self._place.suspend()
        try:
            return await passing.see_through(self._exchange(message, notes, partner, sequence))
        finally:
            self._place.resume()

    async def _exchange(
        self, message: RequestMessage, notes: tuple[Finding, ...], partner: Partner, sequence: int
    ) -> Answer:
        """The exchange with the partner, from sending to the outcome. Raises nothing."""
        passed = Passed()
        try:
            try:
                passed = await self._m.passing.pass_on(partner, message, sequence)
                return await self._settle(message, notes, partner, sequence, passed)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: it is answered
                found = f"an error inside the hub while {partner.name} had this message ({self._note_broken(error)})"
                finding = finding_of("EXC-109", "/", found, AGAIN, "IEC 61968-100:2013, reply codes")
                failed = Passed(sent=passed.sent, finding=finding)
                return await self._settle(message, notes, partner, sequence, failed)
            finally:
                self._m.passing.leave(partner)
        except StoreError as error:
            self._m.logger.error("not stored", code=error.code, reason=str(error), **self._facts())
            found = f"what came of passing the message on to {partner.name} could not be made durable"
            return self._unstored(finding_of(error.code, "/", found, AGAIN, "guarantee G1"))

    async def _settle(
        self,
        message: RequestMessage,
        notes: tuple[Finding, ...],
        partner: Partner,
        sequence: int,
        passed: Passed,
    ) -> Answer:
        """The exchange with the partner into the log, the outcome to the request, the reply to its sender."""
        now = self._m.clock()
        if passed.reply is not None:
            reply = await self._as_seen(self._as_answer(passed.reply), self._third_party)
            codes = tuple(dict.fromkeys(error.code for error in reply.reply.error))
        else:
            findings = (*notes, *((passed.finding,) if passed.finding is not None else ()))
            reply = self._build_reply(Work(result=Result.FAILED, source=partner.source), findings)
            codes = codes_of(findings)
        outcome = Outcome(reply.reply.result.value)
        answer = self._channel.render_reply(reply)
        async with self._m.store.transaction(self._priority) as transaction:
            if passed.sent is not None:
                exchange = entry_of_exchange(passed.sent, message.header, partner, answer_to=sequence, now=now)
                for (entry, raw), content in zip(exchange, (message, passed.sent.reply), strict=False):
                    await transaction.log.append(entry, raw, content)
            is_in_time = await transaction.log.settle(sequence, outcome, codes)
            if is_in_time:
                if self._third_party and passed.reply is not None:
                    await note_reply(transaction, self._third_party, of=sequence, now=now)
                await self._book(transaction, Ends.REFUSED if outcome is Outcome.FAILED else Ends.DELIVERED)
                await self._keep_reply(transaction, reply, answer, sequence, outcome=outcome, codes=codes)
        if not is_in_time:  # it was given up meanwhile, and an OK now would not be what the log says
            return self._busy("the same message took so long that it was given up")
        self._count(outcome.value)
        return answer

    def _as_answer(self, reply: ResponseMessage) -> ResponseMessage:
        """The partner's reply as ours to the sender, linked to the request as the standard wants it."""
        header = linked(reply.header, correlation_of(self._asked.message_id, self._asked.correlation_id))
        return msgspec.structs.replace(reply, header=header)

    async def _as_seen(self, reply: ResponseMessage, third_party: str) -> ResponseMessage:
        """The reply of a partner as far as whom it goes to may see it."""
        if not third_party:
            return reply
        return await seen_reply(self._m.store.reader.records, reply, third_party, self._now)

    async def _take_reply(self, transaction: Transaction, message: ResponseMessage, cause: int, sequence: int) -> None:
        """A later reply came: what awaited it is done if it is the last, and it goes on to who asked.

        What comes behind the last one is kept and goes nowhere, for it answers nothing any more.
        """
        if self._is_surplus:
            return
        if is_last(message.reply):
            await self._end_waiting(transaction, cause)
        entry, raw = await transaction.log.find(cause), await transaction.log.find_raw(cause)
        if entry is not None and raw is not None and entry.direction is Direction.IN:
            asked = read_back(entry, raw)
            if is_answered_later(asked):
                reply_to = reply_to_of(asked.header, self._setup.routes, cause=cause, priority=self._priority)
                third_party = self._setup.routes.third_party(asked.header.source or "")
                if third_party:
                    seen = await self._as_seen(message, third_party)
                    await reply_to.keep_and_put(transaction, seen, now=self._now)
                    await note_reply(transaction, third_party, of=cause, now=self._now)
                else:
                    await reply_to.put(transaction, sequence, message, now=self._now)
                self._destinations.add(reply_to.destination)
        self._m.passing.arrived(cause)

    async def _end_waiting(self, transaction: Transaction, cause: int) -> None:
        """The reply to the request with this sequence is whole: nothing awaits it any more, and nobody sends it again.

        One that was given up is settled: the partner has it, and whoever was told that it failed gets the reply now.
        """
        awaiting = await transaction.outbox.find_awaiting(cause)
        if awaiting is not None:
            await book_answered(transaction, awaiting, now=self._now)
        wanted = DeliverySelection(message=cause, states=(DeliveryState.DEAD,), limit=_MOST_DEAD)
        for dead in await transaction.outbox.select(wanted):
            if dead.kind is DeliveryKind.REQUEST:
                await book_settled(transaction, dead, now=self._now)

    # ------------------------------------------------------------------------------------------------ repeats

    async def _find_repeated(self, transaction: Transaction) -> LogEntry | None:
        """The accepted message that this one repeats; None if there is none."""
        source, message_id = self._asked.source, self._asked.message_id
        if not is_identified(source, message_id):
            return None
        since = window_start(self._now, self._m.window)
        original = await transaction.log.find_original(source or "", message_id or "", since)
        if original is None:
            return None
        if findings := check_original(original, self._digest):
            raise Refusal(findings)
        if original.outcome:
            return original
        if self._now - original.received_at < longest_passage(self._setup, original.noun):
            raise _InWorkError(original)
        await give_up(transaction, original)  # whoever worked on it is gone, and must not have a say if he comes back
        return None

    async def _join(self, original: LogEntry) -> Answer:
        """Wait for the outcome of the message that this one repeats, and answer the same."""
        self._place.suspend()
        try:
            settled = await self._m.passing.settled(original, longest_passage(self._setup, original.noun))
        finally:
            self._place.resume()
        if settled is None or settled.outcome is Outcome.FAILED:
            return self._busy("the same message is in work, or has just failed")
        async with self._m.store.transaction(self._priority) as transaction:
            return await self._repeat(transaction, settled)

    async def _find_waiting(self, message: Readable, transaction: Transaction) -> int | None:
        """The request that waits for this later reply, although it is a repeat: a request may be asked again, too."""
        cause = await self._cause_of(message, transaction) if isinstance(message, ResponseMessage) else None
        if cause is None or cause.outcome or cause.direction is not Direction.IN:
            return None
        self._m.passing.arrived(cause.sequence)
        return cause.sequence

    async def _repeat(self, transaction: Transaction, original: LogEntry, answer_to: int | None = None) -> Answer:
        """The answer of the first time, byte for byte where the way is the same."""
        self._m.metrics.count_repeat()
        await self._keep(
            transaction,
            outcome=original.outcome,
            codes=original.codes,
            answer_to=answer_to,
            repeat_of=original.sequence,
        )
        self._count(original.outcome.value)
        answered = await transaction.log.find_answer(original.sequence)
        raw = await transaction.log.find_raw(answered.sequence) if answered is not None else None
        if answered is None or raw is None or not self._ack_required:
            return ACCEPTED
        reply = read_back(answered, raw)
        assert isinstance(reply, ResponseMessage)
        answer = self._channel.render_reply(reply)
        if (answered.transport, answered.content_type) == (self._channel.transport, answer.content_type):
            return msgspec.structs.replace(answer, body=raw)
        return answer
