"""Whom the processes that carry deliveries spare, for those that show it and carry none.

A process that carries writes its open circuits when they change, and again from time to time while there are any: what
one that has died wrote last goes after a while. Who decides whether to spare a partner goes by what it has seen itself.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.partners import Retry
from cimcare.exchange.ports import Clock, Collection, Selection, Stored
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Store
from cimcare.hub.intake.passing import Circuits
from cimcare.model.identity import MRID

__all__ = ["SharedCircuits"]

_MANY = 10_000
_RENEW = timedelta(seconds=5)
_HOLD = 4 * _RENEW


class _Open(msgspec.Struct, frozen=True, kw_only=True):
    """An open circuit."""

    partner: str
    failures: int
    reason: str
    next_probe_at: datetime

    def circuit(self) -> Circuit:
        """The same to be looked at."""
        circuit = Circuit(Retry())
        circuit.failures, circuit.reason, circuit.next_probe_at = self.failures, self.reason, self.next_probe_at
        return circuit


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All open circuits of a process, and until when they hold unless they are written again."""

    until: datetime
    circuits: tuple[_Open, ...]


_SEEN: Collection[_Seen] = Collection("hub.circuits", _Seen)
"""By process."""


class SharedCircuits:
    """The circuits of this process, with those that others have written. One object for a process.

    Args:
        store: Where they are written.
        circuits: Those of this process.
        process: A name that no other process has.
        clock: Now.
    """

    def __init__(self, store: Store, circuits: Circuits, process: str, clock: Clock) -> None:
        self._store = store
        self._circuits = circuits
        self._mrid = MRID(process)
        self._clock = clock
        self._seen: dict[str, Circuit] = {}
        self._written = _Seen(until=clock(), circuits=())

    def all(self) -> Mapping[str, Circuit]:
        """All that is known here, by the name of the partner: if it is spared by anybody, that."""
        known = self._circuits.all()
        for name, circuit in self._seen.items():
            own = known.get(name)
            if own is None or not own.is_open:
                known[name] = circuit
        return known

    async def look(self) -> None:
        """Read what others have written. Raises StoreError."""
        now = self._clock()
        seen: dict[str, Circuit] = {}
        for stored in await self._store.reader.records.select(_SEEN, Selection(limit=_MANY)):
            if stored.mrid != self._mrid and now <= stored.body.until:
                for one in stored.body.circuits:
                    known = seen.get(one.partner)
                    if known is None or known.failures < one.failures:
                        seen[one.partner] = one.circuit()
        self._seen = seen

    async def note(self) -> None:
        """Write those of this process if others are open than before, or it is time to renew it. Raises StoreError."""
        now = self._clock()
        found = tuple(
            _Open(partner=name, failures=circuit.failures, reason=circuit.reason, next_probe_at=circuit.next_probe_at)
            for name, circuit in sorted(self._circuits.all().items())
            if circuit.next_probe_at is not None
        )
        if found == self._written.circuits and (not found or self._written.until - now > _HOLD - _RENEW):
            return
        seen = _Seen(until=now + _HOLD, circuits=found)
        kept = await self._store.reader.records.select(_SEEN, Selection(limit=_MANY))
        async with self._store.transaction() as transaction:
            for stored in kept:
                if stored.mrid != self._mrid and now > stored.body.until:
                    await transaction.records.drop(_SEEN, stored.mrid)
            if found:
                await transaction.records.save(
                    _SEEN, Stored(mrid=self._mrid, body=seen, created_at=now, modified_at=now)
                )
            else:
                await transaction.records.drop(_SEEN, self._mrid)
        self._written = seen
