"""Gathers what the readiness sheet is judged from: database, disk, alarms, audit trail, and each destination.

The cost does not grow with the number of messages stored. What only a running hub knows (circuits, overload) is asked
of it where there is one.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.exchange.drills import DRILLED, drill_of
from cimcare.exchange.ledger import Account, Line, hour_of
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Drill, Partner
from cimcare.exchange.ports import Clock, Selection, Stored
from cimcare.exchange.ports import Collection as Shelf
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Reader, Store, StoreError
from cimcare.hub.config.configuration import InForce, in_force
from cimcare.hub.config.settings import Settings
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.operation.readiness import BrokerFacts, CertificateFile, Disk, Facts, PartnerFacts, Verified
from cimcare.hub.operation.watching import list_alarms
from cimcare.hub.outgoing.destinations import list_destinations
from cimcare.model.identity import MRID
from cimcare.model.nouns import ENTRIES
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.schema import Catalog
from cimcare.store.looking import folder_of, look_at
from cimcare.transport.certificates import ends_of_file
from cimcare.validation import judge

__all__ = ["Gatherer", "note_verified", "read_certificates"]

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MANY = 10_000
_LEAST_SPAN = timedelta(minutes=30)
"""Below this time two looks at a disk say nothing of how it fills."""

_MOST_SAMPLES = 48
_ONE = MRID("one")


class _Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Free bytes of the disk, at some instants, oldest first."""

    samples: tuple[tuple[datetime, int], ...] = ()


class _Touched(msgspec.Struct, frozen=True, kw_only=True):
    """When the database was last written to only to see whether that can be done."""

    at: datetime


_SAMPLES: Shelf[_Samples] = Shelf("hub.disk", _Samples)
_TOUCHED: Shelf[_Touched] = Shelf("hub.touched", _Touched)
_VERIFIED: Shelf[Verified] = Shelf("hub.verified", Verified)


async def note_verified(store: Store, verified: Verified) -> None:
    """Keep what a verification of the audit trail came to. Raises StoreError."""
    async with store.transaction() as transaction:
        stored = Stored(mrid=_ONE, body=verified, created_at=verified.at, modified_at=verified.at)
        await transaction.records.save(_VERIFIED, stored)


class Gatherer:
    """Gathers facts.

    Args:
        store: The durable state.
        settings: All settings.
        catalog: Schemas in force.
        clock: Now.
        circuits: All circuits that are known here by name; None beside a hub, which has its own.
        overload: Why no messages are taken, empty if they are; None where nobody takes any.
        brokers: How it is with each broker; None beside a hub, which has the sessions.
    """

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        catalog: Catalog,
        clock: Clock,
        circuits: Callable[[], Mapping[str, Circuit]] | None = None,
        overload: Callable[[], str] | None = None,
        brokers: Callable[[], Collection[BrokerState]] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self._circuits = circuits
        self._overload = overload
        self._brokers = brokers
        self._schema_failures: tuple[str, ...] | None = None

    async def gather(self, *, writes: bool) -> Facts:
        """All facts.

        Args:
            writes: Whether it is tried to write to the database, and a look at the disk is kept.
        """
        now = self._clock()
        look = await look_at(self._settings.database)
        facts = Facts(now=now, database=look.failure, overload=self._overload() if self._overload else None)
        if look.failure:
            return facts
        try:
            if writes:
                await self._touch(now)
            return await self._look(facts, _ahead(look.clock_at, look.began_at, look.ended_at), writes=writes)
        except StoreError as error:
            return msgspec.structs.replace(facts, database=str(error))

    async def _touch(self, now: datetime) -> None:
        async with self._store.transaction() as transaction:
            stored = Stored(mrid=_ONE, body=_Touched(at=now), created_at=now, modified_at=now)
            await transaction.records.save(_TOUCHED, stored)

    async def _look(self, facts: Facts, clock_seconds: float | None, *, writes: bool) -> Facts:
        reader = self._store.reader
        disk, disk_failure = await self._disk(facts.now, writes=writes)
        found = await in_force(reader.records)
        rows = await reader.audit.rows(limit=1)
        verified = await reader.records.find(_VERIFIED, _ONE)
        names = {partner.name for partner in found.partners}
        return msgspec.structs.replace(
            facts,
            database_clock_seconds=clock_seconds,
            disk=disk,
            disk_failure=disk_failure,
            schema_failures=await self._schemas(),
            alarms=await list_alarms(reader.records),
            verified=verified.body if verified is not None else None,
            trail_began_at=rows[0].at if rows else None,
            partners=await self._partners(reader, found, facts.now),
            lost={each.name: each.partner for each in found.subscriptions if each.partner not in names},
            brokers=self._at_brokers(),
            unseen=self._unseen(),
        )

    def _unseen(self) -> tuple[str, ...]:
        unseen = []
        if folder_of(self._settings.database) is None:
            unseen.append("disk of the database: it is not on this machine, or there is none")
        if self._circuits is None:
            unseen.append("who is spared by a running hub, and whether it is overloaded: no hub was asked")
        if self._brokers is None and self._settings.brokers:
            unseen.append("sessions and consumers at brokers: no hub was asked")
        return tuple(unseen)

    def _at_brokers(self) -> tuple[BrokerFacts, ...]:
        watches = {broker.name: broker.watch for broker in self._settings.brokers}
        states = self._brokers() if self._brokers is not None else ()
        return tuple(BrokerFacts(state=state, watch=watches.get(state.name, timedelta())) for state in states)

    # --------------------------------------------------------------------------------------------------------- disk

    async def _disk(self, now: datetime, *, writes: bool) -> tuple[Disk | None, str]:
        folder = folder_of(self._settings.database)
        if folder is None:
            return None, ""
        try:
            space = os.statvfs(folder)
        except OSError as error:
            return None, f"{folder} cannot be looked at ({error.strerror})"
        free = space.f_bavail * space.f_frsize
        samples = await self._samples(now, free, writes=writes)
        disk = Disk(folder=str(folder), size_bytes=space.f_blocks * space.f_frsize, free_bytes=free)
        return msgspec.structs.replace(disk, fills=_fills(samples, now, free)), ""

    async def _samples(self, now: datetime, free: int, *, writes: bool) -> tuple[tuple[datetime, int], ...]:
        stored = await self._store.reader.records.find(_SAMPLES, _ONE)
        samples = stored.body.samples if stored is not None else ()
        if not writes or (samples and timedelta() <= now - samples[-1][0] < _LEAST_SPAN):
            return samples
        kept = (*samples, (now, free))[-_MOST_SAMPLES:]
        async with self._store.transaction() as transaction:
            body = Stored(mrid=_ONE, body=_Samples(samples=kept), created_at=now, modified_at=now)
            await transaction.records.save(_SAMPLES, body)
        return samples

    # ------------------------------------------------------------------------------------------------------ schemas

    async def _schemas(self) -> tuple[str, ...]:
        """What of our own messages the user's schemas refuse; looked at once, for they are read once."""
        if self._schema_failures is None:
            found = []
            for entry in ENTRIES if self._settings.schema.directory else ():
                raw = render_message(build_message(entry.noun, Verb.CREATED))
                wrong = [each for each in judge(raw, self._catalog).findings if each.code.startswith("SCH")]
                found += [f"{Verb.CREATED} {entry.noun}: {wrong[0].describe()}"] if wrong else []
                await asyncio.sleep(0)
            self._schema_failures = tuple(found)
        return self._schema_failures

    # ----------------------------------------------------------------------------------------------------- partners

    async def _partners(self, reader: Reader, found: InForce, now: datetime) -> tuple[PartnerFacts, ...]:
        drilled = {str(one.mrid): one.body for one in await reader.records.select(DRILLED, Selection(limit=_MANY))}
        lines = await reader.ledger.lines(hour_of(now - _DAY), now + _HOUR)
        out = [line for line in lines if line.account is Account.OUT and line.delivered]
        circuits = self._circuits() if self._circuits else {}
        listens = {each.partner for each in found.subscriptions}
        facts = []
        for one in await list_destinations(reader):
            taken = [line.hour for line in out if line.partner == one.name]
            circuit = circuits.get(one.name)
            partner = one.partner
            facts.append(
                PartnerFacts(
                    name=one.name,
                    partner=partner,
                    is_subscriber=one.name in listens or (partner is not None and partner.role is not None),
                    is_drilled=partner is not None and drill_of(partner) is not Drill.NONE,
                    drilled=drilled.get(one.name),
                    backlog=one.backlog,
                    halt=one.halt,
                    delivered_at=min(max(taken) + _HOUR, now) if taken else None,
                    takes_since=_takes_since(one.backlog, out, one.name),
                    spared=circuit.reason if circuit is not None and circuit.is_open else "",
                    files=await read_certificates(partner) if partner is not None else (),
                )
            )
        return tuple(facts)


def _ahead(clock_at: datetime | None, began_at: datetime, ended_at: datetime) -> float | None:
    if clock_at is None:
        return None
    if clock_at > ended_at:
        return (clock_at - ended_at).total_seconds()
    return min((clock_at - began_at).total_seconds(), 0.0)


def _fills(samples: tuple[tuple[datetime, int], ...], now: datetime, free: int) -> float | None:
    """Bytes an hour by which the disk is fuller than at the oldest look; None while that is too fresh."""
    if not samples or now - samples[0][0] < _LEAST_SPAN:
        return None
    at, before = samples[0]
    return max(before - free, 0) / ((now - at) / _HOUR)


def _takes_since(backlog: Backlog, delivered: list[Line], name: str) -> datetime | None:
    """Since when the oldest waits, if nothing was taken in that hour or after it."""
    if backlog.oldest_at is None or not backlog.waiting:
        return None
    since = hour_of(backlog.oldest_at)
    return None if any(line.partner == name and line.hour >= since for line in delivered) else backlog.oldest_at


async def read_certificates(partner: Partner) -> tuple[CertificateFile, ...]:
    """When our certificates for a partner end: our own, and those of authorities."""
    # Aside, for files may be large, or far away.
    has_files = partner.tls.certificate_file or partner.tls.ca_file
    return await asyncio.to_thread(_files_of, partner) if has_files else ()


def _files_of(partner: Partner) -> tuple[CertificateFile, ...]:
    """Our own certificate ends with itself; of authorities one that is valid is enough."""
    found = []
    for file, choose in ((partner.tls.certificate_file, _first), (partner.tls.ca_file, max)):
        if not file:
            continue
        try:
            found.append(CertificateFile(file=file, ends_at=choose(ends_of_file(file))))
        except (OSError, ValueError) as error:
            found.append(CertificateFile(file=file, failure=str(getattr(error, "strerror", None) or error)))
    return tuple(found)


def _first(ends: tuple[datetime, ...]) -> datetime:
    return ends[0]
