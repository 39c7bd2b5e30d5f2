"""Why the outage management did what it did: every decision about an incident as one sentence, kept."""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, ServingContext, Stored
from cimcare.model.identity import MRID

__all__ = ["DECISIONS", "DecisionRecord", "Decisions", "decisions_of", "sentence"]


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision: when, about which incident, and why, as a sentence. `ticket` is the one that gave cause to it."""

    at: datetime
    incident: MRID
    why: str
    ticket: MRID | None = None


DECISIONS: Collection[DecisionRecord] = Collection("oms.Decisions", DecisionRecord)
"""Kept for good; the key `incident` leads from an incident to its decisions, `ticket` from a ticket."""


class Decisions:
    """Keeps the decisions of one message. `cause` is the ticket that is being judged."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self.cause: MRID | None = None

    async def note(self, incident: MRID, why: str) -> str:
        """Keep a decision, and give it back as a sentence."""
        said = sentence(why)
        record = DecisionRecord(at=self._context.now, incident=incident, why=said, ticket=self.cause)
        keys = {Key("incident", incident)} | ({Key("ticket", self.cause)} if self.cause is not None else set())
        mrid, now = MRID(self._context.new_id()), self._context.now
        stored = Stored(mrid=mrid, body=record, created_at=now, modified_at=now, keys=frozenset(keys))
        await self._context.records.save(DECISIONS, stored)
        return said


def sentence(why: str) -> str:
    """Words as a sentence."""
    return f"{why[:1].upper()}{why[1:]}." if why and not why.endswith(".") else f"{why[:1].upper()}{why[1:]}"


async def decisions_of(
    records: Records, incident: MRID, after: MRID | None = None, limit: int = 1000
) -> tuple[Stored[DecisionRecord], ...]:
    """Decisions about an incident, the oldest first, a page at a time."""
    wanted = Selection(keys=((Key("incident", incident),),), after=after, limit=limit)
    return await records.select(DECISIONS, wanted)
