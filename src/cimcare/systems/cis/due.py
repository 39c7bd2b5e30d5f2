"""What is to happen to agreements at an instant to come: one begins, one ends, one changes.

A record is filed under the instant at which it is due, so that what is due is found without looking at the rest.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.identity import MRID
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.objects import as_utc

__all__ = [
    "DUE",
    "DueKind",
    "DueRecord",
    "drop_due",
    "file_due",
    "find_due",
    "find_successor",
    "schedule",
]


class DueKind(StrEnum):
    """What is due."""

    BEGIN = "begin"
    END = "end"
    CHANGE = "change"


class DueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is due for one agreement.

    `change` is what a change says. An agreement that begins with a switch of supplier follows on its `predecessor`,
    whose period ended at `former_end` before (None: it had no end), and nobody was told of it so far.
    """

    agreement: MRID
    kind: DueKind
    at: datetime
    change: CustomerAgreement | None = None
    predecessor: MRID | None = None
    former_end: datetime | None = None


DUE: Collection[DueRecord] = Collection("cis.Due", DueRecord)


async def file_due(records: Records, record: DueRecord, now: datetime) -> None:
    """Keep a record in the place of one of its kind; of changes there may be one for each instant."""
    keys = {Key("agreement", record.agreement)}
    if record.predecessor is not None:
        keys.add(Key("predecessor", record.predecessor))
    stored = Stored(
        mrid=_mrid_of(record.kind, record.agreement, record.at),
        body=record,
        created_at=record.at,
        modified_at=now,
        keys=frozenset(keys),
    )
    await records.save(DUE, stored)


async def find_due(records: Records, kind: DueKind, agreement: MRID) -> DueRecord | None:
    """When an agreement begins or ends; None if that is not to come."""
    stored = await records.find(DUE, _mrid_of(kind, agreement))
    return stored.body if stored is not None else None


async def find_successor(records: Records, agreement: MRID) -> DueRecord | None:
    """The agreement that is to follow on this one by a switch of supplier; None if there is none."""
    found = await records.select(DUE, Selection(keys=((Key("predecessor", agreement),),), limit=1))
    return found[0].body if found else None


async def drop_due(records: Records, agreement: MRID) -> None:
    """Let nothing happen to an agreement any more."""
    for stored in await records.find_by_key(DUE, Key("agreement", agreement)):
        await records.drop(DUE, stored.mrid)


async def schedule(records: Records, agreement: Stored[CustomerAgreement], now: datetime) -> None:
    """Note when an agreement begins and ends, as its state and its period have it now."""
    state = AgreementState(agreement.state)
    if state not in (AgreementState.PROPOSED, AgreementState.ACTIVE):
        await drop_due(records, agreement.mrid)
        return
    validity = agreement.body.validity_interval
    start = as_utc(validity.start) if validity is not None else None
    end = as_utc(validity.end) if validity is not None else None
    for kind, at in (
        (DueKind.END, end),
        (DueKind.BEGIN, start if state is AgreementState.PROPOSED else None),
    ):
        before = await find_due(records, kind, agreement.mrid)
        if at is None:
            await records.drop(DUE, _mrid_of(kind, agreement.mrid))
        elif before is None or before.at != at:
            kept = before or DueRecord(agreement=agreement.mrid, kind=kind, at=at)
            await file_due(records, msgspec.structs.replace(kept, at=at), now)


def _mrid_of(kind: DueKind, agreement: MRID, at: datetime | None = None) -> MRID:
    when = f" {at.isoformat()}" if kind is DueKind.CHANGE and at is not None else ""
    return MRID(f"{kind}{when} {agreement}")
