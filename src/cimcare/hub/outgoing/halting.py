"""Destinations to which an operator has halted delivery: what is for them waits until he lets it go on."""

from datetime import datetime

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.exchange.store import Transaction
from cimcare.model.identity import MRID

__all__ = ["HALTS", "Halt", "find_halt", "halt", "list_halts", "release"]


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Who halted delivery, when and why."""

    at: datetime
    actor: str
    reason: str


HALTS: Collection[Halt] = Collection("hub.halts", Halt)
"""One for each halted destination, under its name."""


async def find_halt(records: Records, destination: str) -> Halt | None:
    """The halt of a destination; None if delivery goes on."""
    stored = await records.find(HALTS, MRID(destination))
    return stored.body if stored is not None else None


async def list_halts(records: Records) -> dict[str, Halt]:
    """All halts by the name of the destination."""
    return {str(stored.mrid): stored.body for stored in await records.select(HALTS, Selection())}


async def halt(transaction: Transaction, destination: str, *, actor: str, reason: str, now: datetime) -> bool:
    """Halt delivery to a destination; False if it is halted already."""
    if await find_halt(transaction.records, destination) is not None:
        return False
    body = Halt(at=now, actor=actor, reason=reason)
    await transaction.records.save(HALTS, Stored(mrid=MRID(destination), body=body, created_at=now, modified_at=now))
    await transaction.audit.append(Note(at=now, action=Action.HALT, actor=actor, subject=destination, details=reason))
    return True


async def release(transaction: Transaction, destination: str, *, actor: str, reason: str, now: datetime) -> bool:
    """Let delivery to a destination go on; False if it was not halted."""
    if await find_halt(transaction.records, destination) is None:
        return False
    await transaction.records.drop(HALTS, MRID(destination))
    await transaction.audit.append(
        Note(at=now, action=Action.RELEASE, actor=actor, subject=destination, details=reason)
    )
    return True
