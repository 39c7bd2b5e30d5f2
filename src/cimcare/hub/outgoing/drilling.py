"""Drills partners: finds out whether each answers, how long there and back takes, and what it says of itself.

A drill goes straight to the partner and never through the outbox, so it holds up no delivery and nothing is counted of
it. It stands behind everything: none is begun while messages wait at the door, while a partner has as much before it as
may be under way at once, while it is halted, or spared for not answering; then that is the finding. A partner has one
drill under way, whichever process began it, and few are begun in a second.

Decision 0095.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from cimcare.errors import Level
from cimcare.exchange.drills import (
    DRILLED,
    DRILLS,
    PROPERTY,
    REPLIES,
    Drilled,
    Ending,
    LaterReply,
    build_drill,
    drill_of,
    new_drill_id,
)
from cimcare.exchange.partners import Drill, Edition, Partner, Wire
from cimcare.exchange.ports import Clock, NewID, Stored
from cimcare.exchange.sending import Circuit, Sender, Sent
from cimcare.exchange.store import Store
from cimcare.hub.config.settings import DoctorSettings
from cimcare.hub.intake.drilled import words_of
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.intake.passing import comes_later, for_partner
from cimcare.hub.outgoing.halting import list_halts
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.nouns import Role
from cimcare.schema import Catalog
from cimcare.transport.probing import probe
from cimcare.validation import judge

__all__ = ["Driller", "breach_of"]

_TOGETHER = 8
_PAUSE_SECONDS = 0.2
"""Between the beginnings of two drills: five in a second."""

_MARGIN = timedelta(seconds=30)
"""Beyond the deadline of a drill; then whoever began it is gone."""

_LOOK_SECONDS = 0.1
_SECOND = timedelta(seconds=1)
_OF_FORM = ("XML", "ENV", "SCH", "COD")


class Driller:
    """Drills partners. One object for a process.

    Args:
        store: Where drills are kept.
        sender: The way to partners.
        catalog: Schemas against which answers are held.
        settings: Bounds.
        sources: Header/Source of each role.
        context: Header/Context that is sent; empty for none.
        address: Our own address, for later replies.
        circuits: All circuits that are known here by name of the partner.
        is_busy: Whether messages wait at the door.
        brokers: How it is with each broker; None beside a hub, which has the sessions.
        clock: Now.
        new_id: New identifiers.
    """

    def __init__(
        self,
        *,
        store: Store,
        sender: Sender,
        catalog: Catalog,
        settings: DoctorSettings,
        sources: Mapping[Role, str],
        context: str,
        address: str,
        circuits: Callable[[], Mapping[str, Circuit]],
        is_busy: Callable[[], bool],
        brokers: Callable[[], Collection[BrokerState]] | None = None,
        clock: Clock,
        new_id: NewID,
    ) -> None:
        self._store = store
        self._sender = sender
        self._catalog = catalog
        self._settings = settings
        self._sources = sources
        self._context = context
        self._address = address
        self._circuits = circuits
        self._is_busy = is_busy
        self._brokers = brokers
        self._clock = clock
        self._new_id = new_id
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(_TOGETHER)

    async def drill(self, partners: Collection[Partner]) -> tuple[Drilled, ...]:
        """Drill these partners, but those whose setting is `none`; what came of each. Raises StoreError."""
        wanted = [partner for partner in partners if drill_of(partner) is not Drill.NONE]
        return tuple(await asyncio.gather(*(self._drill(partner) for partner in wanted)))

    async def _drill(self, partner: Partner) -> Drilled:
        async with self._places:
            async with self._turn:
                begun, is_new = await self._begin(partner)
                if is_new:
                    await asyncio.sleep(_PAUSE_SECONDS)
            if not is_new:
                return begun
            ended = msgspec.structs.replace(
                begun, ending=Ending.FAILED, failure="the hub was stopped meanwhile", code="NET-105"
            )
            try:
                ended = await self._go(partner, begun)
            except Exception as error:  # noqa: BLE001 - one partner must not take the sheet of all others with it
                failure = f"an error inside the hub ({type(error).__name__})"
                ended = msgspec.structs.replace(ended, failure=failure, code="EXC-109")
            finally:
                await self._keep(ended)
            return ended

    # ---------------------------------------------------------------------------------------------- begin and end

    async def _begin(self, partner: Partner) -> tuple[Drilled, bool]:
        """The drill that is to be made now, or the one that stands for it, which is not new."""
        now = self._clock()
        begun = Drilled(
            id=new_drill_id(self._new_id()),
            partner=partner.name,
            kind=drill_of(partner),
            began_at=now,
            sent_context=self._context,
        )
        async with self._store.transaction() as transaction:
            stored = await transaction.records.find(DRILLED, MRID(partner.name))
            last = stored.body if stored is not None else None
            if last is not None and self._stands(last, begun, self._deadline(partner)):
                return last, False
            reason = await self._find_reason_to_spare(partner)
            if reason:
                begun = msgspec.structs.replace(begun, ending=Ending.SPARED, failure=reason)
            await transaction.records.save(DRILLED, _stored(partner.name, begun))
            if not reason:
                await transaction.records.save(DRILLS, _stored(begun.id, begun))
        return begun, not reason

    def _stands(self, last: Drilled, begun: Drilled, deadline: timedelta) -> bool:
        """Whether the last drill is under way, or of just now; one of the future, by a clock set back, is neither."""
        age = begun.began_at - last.began_at
        if last.kind is not begun.kind or age < timedelta():
            return False
        if last.ending is Ending.UNDER_WAY:
            return age < 2 * deadline + _MARGIN
        return last.ending is not Ending.SPARED and age < timedelta(seconds=self._settings.pause_seconds)

    async def _find_reason_to_spare(self, partner: Partner) -> str:
        """Why no drill is sent now; empty if nothing stands against it."""
        if self._is_busy():
            return "messages wait at the door of the hub"
        if partner.wire is Wire.JMS and self._brokers is None:
            return f"it is reached by way of broker {partner.broker}, to which only a running hub has a session"
        halt = (await list_halts(self._store.reader.records)).get(partner.name)
        if halt is not None:
            return f"halted by {halt.actor}: {halt.reason}"
        circuit = self._circuits().get(partner.name)
        if circuit is not None and circuit.is_open:
            return f"it has not answered {circuit.failures} times in a row: {circuit.reason}"
        waiting = sum(
            each.waiting for each in await self._store.reader.outbox.backlogs() if each.partner == partner.name
        )
        if waiting >= partner.parallel:
            return f"{waiting} deliveries go before it, and it takes {partner.parallel} at once"
        return ""

    async def _keep(self, drilled: Drilled) -> None:
        async with self._store.transaction() as transaction:
            await transaction.records.save(DRILLED, _stored(drilled.partner, drilled))
            await transaction.records.save(DRILLS, _stored(drilled.id, drilled))
            await transaction.records.drop(REPLIES, MRID(drilled.id))

    # ------------------------------------------------------------------------------------------------ there and back

    def _deadline(self, partner: Partner) -> timedelta:
        return min(partner.deadline, timedelta(seconds=self._settings.deadline_seconds))

    async def _go(self, partner: Partner, begun: Drilled) -> Drilled:
        drilled = begun
        if begun.kind is Drill.CONNECT or partner.url.startswith("https:"):
            drilled = await self._connect(partner, begun)
            if begun.kind is Drill.CONNECT or drilled.tls_failure:
                return drilled
        source = next((each for each in self._sources.values() if each != partner.source), "")
        message = build_drill(partner, begun.id, source=source, context=self._context, now=self._clock())
        if isinstance(message, RequestMessage):
            message = for_partner(message, partner, self._address)
        hurried = msgspec.structs.replace(partner, deadline=self._deadline(partner))
        began_at, began = self._clock(), time.perf_counter()
        sent = await self._sender.send(hurried, message)
        drilled = self._judged(partner, msgspec.structs.replace(drilled, failure=""), sent, began_at)
        if isinstance(message, RequestMessage) and not sent.failure and comes_later(partner, message, sent):
            reply = await self._later(drilled, hurried.deadline.total_seconds() - (time.perf_counter() - began))
            drilled = _with_later(drilled, reply, hurried.deadline, began_at)
        elif isinstance(message, RequestMessage) and not sent.failure and sent.reply is None:
            drilled = msgspec.structs.replace(
                drilled, ending=Ending.FAILED, code="EXC-117", failure="it acknowledged without any reply"
            )
        return msgspec.structs.replace(drilled, seconds=time.perf_counter() - began)

    async def _connect(self, partner: Partner, begun: Drilled) -> Drilled:
        if partner.wire is Wire.JMS:
            return self._connect_to_broker(partner, begun)
        found = await probe(partner.url, partner.tls, within=self._deadline(partner).total_seconds())
        code = "NET-108" if found.is_refused else "NET-107"
        return msgspec.structs.replace(
            begun,
            ending=Ending.FAILED if found.failure else Ending.ANSWERED,
            seconds=found.seconds,
            failure=found.failure,
            code=code if found.failure else "",
            certificate_ends_at=found.certificate_ends_at,
            tls_failure=found.failure if found.is_refused else "",
        )

    def _connect_to_broker(self, partner: Partner, begun: Drilled) -> Drilled:
        """Who is behind a broker shows itself by answers alone; that the broker is there is known."""
        states = self._brokers() if self._brokers is not None else ()
        links = [link for state in states if state.name == partner.broker for link in state.links]
        closed = next((link for link in links if not link.is_open), None)
        if links and closed is None:
            return msgspec.structs.replace(begun, ending=Ending.ANSWERED)
        reason = closed.reason if closed is not None else ""
        failure = f"no session with broker {partner.broker}{f' ({reason})' if reason else ''}"
        return msgspec.structs.replace(begun, ending=Ending.FAILED, failure=failure, code="NET-107")

    def _judged(self, partner: Partner, drilled: Drilled, sent: Sent, began_at: datetime) -> Drilled:
        """What the answer of the same exchange says."""
        ended_at = self._clock()
        reply = sent.reply
        header = reply.header if reply is not None else None
        said_at = header.timestamp if header is not None else None
        return msgspec.structs.replace(
            drilled,
            ending=Ending.FAILED if sent.failure else Ending.ANSWERED,
            failure=sent.failure,
            code=sent.code,
            result=reply.reply.result.value if reply is not None else "",
            codes=tuple(error.code for error in reply.reply.error) if reply is not None else (),
            words=words_of(reply) if reply is not None else "",
            context=(header.context or "") if header is not None else "",
            revision=(header.revision or "") if header is not None else "",
            is_known=header is not None and any(each.name == PROPERTY for each in header.property),
            breach=breach_of(sent.received, self._catalog, partner) if reply is not None else "",
            clock_seconds=_ahead(said_at, sent.dated_at, began_at, ended_at),
        )

    async def _later(self, drilled: Drilled, seconds: float) -> LaterReply | None:
        """The reply that comes in an exchange of its own, to whichever process."""
        ends = time.perf_counter() + seconds
        while True:
            stored = await self._store.reader.records.find(REPLIES, MRID(drilled.id))
            if stored is not None:
                return stored.body
            if time.perf_counter() >= ends:
                return None
            await asyncio.sleep(_LOOK_SECONDS)


def breach_of(raw: bytes, catalog: Catalog, partner: Partner) -> str:
    """What is wrong with an answer by our schemas, in one line; empty if nothing is."""
    judged = judge(raw, catalog, lenient=partner.edition is Edition.E2013_DRAFT)
    wrong = [each for each in judged.findings if each.level is Level.FATAL and each.code.startswith(_OF_FORM)]
    return wrong[0].describe() if wrong else ""


def _with_later(drilled: Drilled, reply: LaterReply | None, deadline: timedelta, began_at: datetime) -> Drilled:
    if reply is None:
        failure = f"it has the drill and has not replied within {deadline.total_seconds():g} s"
        return msgspec.structs.replace(drilled, ending=Ending.FAILED, code="NET-105", failure=failure)
    ahead = _ahead(reply.timestamp, None, began_at, reply.received_at)
    return msgspec.structs.replace(
        drilled,
        ending=Ending.ANSWERED,
        result=reply.result,
        codes=reply.codes,
        words=reply.words,
        context=reply.context,
        revision=reply.revision,
        clock_seconds=ahead if ahead is not None else drilled.clock_seconds,
    )


def _ahead(said_at: datetime | None, dated_at: datetime | None, began_at: datetime, ended_at: datetime) -> float | None:
    """By how many seconds another clock is ahead, at least; 0.0 if it may be right, None if it says nothing.

    Args:
        said_at: What it showed when the answer was made.
        dated_at: The same, cut to the second.
        began_at: When the exchange began by our clock.
        ended_at: When it ended.
    """
    first, last = (said_at, said_at) if said_at is not None else (dated_at, dated_at and dated_at + _SECOND)
    if first is None or last is None:
        return None
    if first > ended_at:
        return (first - ended_at).total_seconds()
    return (last - began_at).total_seconds() if last < began_at else 0.0


def _stored(name: str, drilled: Drilled) -> Stored[Drilled]:
    return Stored(mrid=MRID(name), body=drilled, created_at=drilled.began_at, modified_at=drilled.began_at)
