"""Takes tables of meter events: kept, judged by the outage management, answered, told of; each once.

A table is no message of the standard. It is kept in the log as what it is, with its answer, so that it is counted,
sealed, known again when it is repeated, and stands as the cause of the events that follow. Our own profile.

Source: guarantees G1, G2, G7 and G8.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.patterns import Asked, codes_of
from cimcare.exchange.ports import Clock, NewID, Served, ServingContext
from cimcare.exchange.replay import check_original, window_start
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.acts.acting import NotBuiltInError, tell_of
from cimcare.hub.acts.meter_table import TableError, read_events, render_events
from cimcare.hub.intake.setup import Setup
from cimcare.model.envelope import Header, ObjectID, Result
from cimcare.model.identity import MessageID
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Role
from cimcare.model.verbs import Verb

__all__ = ["NOUN", "BusyError", "Metering", "TableTaken"]

NOUN = "MeterEvents"
"""What stands as noun where a table of meter events is kept. The standard has no such noun."""

_TABLE, _ANSWER = "Table", "TableAnswer"
_MOST_IN_WORK = 8
_LONGEST_KEY = 200

Take = Callable[[tuple[MeterEvent, ...], ServingContext], Awaitable[Served]]


class BusyError(CimcareError):
    """As many tables in work as may be."""

    code = "EXC-108"


class TableTaken(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a table: where it stands in the log, how many events it had, and what is worth telling of them.

    `result` is OK, or PARTIAL where some could not be used; `findings` says which. `ids` are objects that resulted.
    """

    sequence: int
    result: Result
    events: int
    ids: tuple[ObjectID, ...] = ()
    findings: tuple[Finding, ...] = ()


class _RefusedError(Exception):
    """The way out of a transaction in which nothing is to stay."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("refused")
        self.findings = findings


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """What came, and from whom. `key` is what a repeat has in common with its original."""

    raw: bytes
    content_type: str
    sender: str
    now: datetime
    key: str = ""
    digest: bytes = b""
    events: tuple[MeterEvent, ...] = ()

    def entry(self, outcome: Outcome, codes: tuple[str, ...], repeat_of: int | None = None) -> LogEntry:
        """Entry of the log."""
        return LogEntry(
            received_at=self.now,
            direction=Direction.IN,
            transport=Transport.REST_TABLE,
            partner=self.sender,
            archetype=_TABLE,
            noun=NOUN,
            message_id=self.key,
            outcome=outcome,
            codes=codes,
            repeat_of=repeat_of,
            digest=self.digest,
            content_type=self.content_type,
            size_bytes=len(self.raw),
        )


class Metering:
    """The way in for tables of meter events.

    Args:
        store: Where all of it is kept.
        setup: Who plays which role now.
        take: Judges the events.
        window: How long a table is known again.
        clock: Now.
        new_id: New identifiers.
        on_put: Told for whom something was put into the outbox, once it is on disk.
    """

    def __init__(
        self,
        *,
        store: Store,
        setup: Callable[[], Setup],
        take: Take,
        window: timedelta,
        clock: Clock,
        new_id: NewID,
        on_put: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._setup = setup
        self._take = take
        self._window = window
        self._clock = clock
        self._new_id = new_id
        self._on_put = on_put
        self._in_work = 0

    async def receive(self, raw: bytes, content_type: str, *, sender: str, key: str = "") -> bytes:
        """Take a table; the answer, a `TableTaken` in JSON. A repeat gets the answer of the first time.

        Args:
            raw: The table.
            content_type: As the sender says it.
            sender: Who sends it.
            key: By which a repeat is known; without one it is known by what is in the table.

        Raises:
            BusyError: Too many at once; nothing was kept.
            NotBuiltInError: A partner is the outage management; nothing was kept.
            StoreError: It could not be made durable; nothing was kept.
            TableError: It is refused, and kept as such.
        """
        if self._in_work >= _MOST_IN_WORK:
            raise BusyError(f"{self._in_work} tables in work; accepted up to {_MOST_IN_WORK} at once")
        setup = self._setup()
        if Role.OMS in setup.routes.remote_roles():
            raise NotBuiltInError(f"the outage management is {setup.sources[Role.OMS]}, a partner; meters report to it")
        self._in_work += 1
        try:
            return await self._receive(
                setup, _Table(raw=raw, content_type=content_type, sender=sender, now=self._clock()), key
            )
        finally:
            self._in_work -= 1

    async def _receive(self, setup: Setup, table: _Table, key: str) -> bytes:
        try:
            if not (key.isascii() and key.isprintable() and len(key) <= _LONGEST_KEY):
                accepted = f"at most {_LONGEST_KEY} characters of ASCII that are printed"
                raise TableError(finding_of("COD-101", "/Idempotency-Key", f"{len(key)} characters", accepted))
            events = read_events(table.raw, table.content_type.partition(";")[0].strip().lower())
        except TableError as error:
            await self._refuse(table, error.findings)
            raise
        digest = sha256(render_events(events)).digest()
        table = msgspec.structs.replace(table, key=key or digest.hex(), digest=digest, events=events)
        try:
            return await self._serve(setup, table)
        except _RefusedError as refused:
            await self._refuse(table, refused.findings)
            raise TableError(*refused.findings) from refused

    async def _serve(self, setup: Setup, table: _Table) -> bytes:
        async with self._store.transaction() as transaction:
            repeated = await self._repeat(transaction, table)
            if repeated is not None:
                return repeated
            header = Header(
                verb=Verb.EXECUTE,
                noun=NOUN,
                timestamp=table.now,
                source=table.sender,
                message_id=MessageID(table.key),
            )
            context = ServingContext(records=transaction.records, now=table.now, new_id=self._new_id, header=header)
            served = await self._take(table.events, context)
            if served.result is Result.FAILED:
                raise _RefusedError(served.findings)
            entry = table.entry(Outcome(served.result.value), codes_of(served.findings))
            sequence = await self._keep(transaction, table, entry, Ends.DELIVERED)
            answer = msgspec.json.encode(
                TableTaken(
                    sequence=sequence,
                    result=served.result,
                    events=len(table.events),
                    ids=served.ids,
                    findings=served.findings,
                )
            )
            await self._keep_answer(transaction, entry, sequence, answer)
            asked = Asked(noun="", source=table.sender, message_id=table.key)
            destinations = await tell_of(transaction, setup, served, context, asked, cause=sequence)
        if destinations:
            self._on_put(destinations)
        return answer

    async def _repeat(self, transaction: Transaction, table: _Table) -> bytes | None:
        """The answer of the first time, if this is a repeat; raises _RefusedError for other content under its key."""
        since = window_start(table.now, self._window)
        original = await transaction.log.find_original(table.sender, table.key, since)
        if original is None:
            return None
        if findings := check_original(original, table.digest):
            raise _RefusedError(findings)
        wanted = LogSelection(answer_to=original.sequence, direction=Direction.OUT, limit=1)
        answers = await transaction.log.select(wanted)
        raw = await transaction.log.find_raw(answers[0].sequence) if answers else None
        entry = table.entry(original.outcome, original.codes, repeat_of=original.sequence)
        await self._keep(transaction, table, entry, Ends.REPEATS)
        return raw or b""

    async def _refuse(self, table: _Table, findings: tuple[Finding, ...]) -> None:
        async with self._store.transaction() as transaction:
            await self._keep(transaction, table, table.entry(Outcome.FAILED, codes_of(findings)), Ends.REFUSED)

    async def _keep(self, transaction: Transaction, table: _Table, entry: LogEntry, column: Ends) -> int:
        for each in (Ends.RECEIVED, column):
            await transaction.ledger.count(table.sender, table.now, Account.IN, each)
        return await transaction.log.append(entry, table.raw)

    async def _keep_answer(self, transaction: Transaction, entry: LogEntry, sequence: int, answer: bytes) -> None:
        kept = msgspec.structs.replace(
            entry,
            direction=Direction.OUT,
            archetype=_ANSWER,
            message_id="",
            answer_to=sequence,
            digest=b"",
            content_type="application/json",
            status=200,
            size_bytes=len(answer),
        )
        await transaction.log.append(kept, answer)
