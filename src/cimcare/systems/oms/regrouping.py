"""What is left to be regrouped: work that one message has caused and that is too much for it.

A message moves fifty premises at most, so that a call is answered at once even where it turns a hundred thousand
single calls into one feeder outage. The rest is kept, and done part by part by the clock.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, ServingContext, Stored
from cimcare.model.identity import MRID

__all__ = ["FOR_EVER", "REGROUPINGS", "Regrouping", "Worklist", "behind", "is_quiet", "next_page"]

FOR_EVER = 10**9
"""As `last` of a regrouping: reports of any time from the first on."""


class Regrouping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the work.

    With `incident` its premises are looked at again, one by one; with `into` what was said of its points is taken along
    into that incident instead; with `device` the incidents below it are whose first
    report is of the buckets `first` to `last`; with neither all open incidents are. With `is_ended` the incident has
    ended, and what was reported counts no longer. `after` is the last object that is done, and `after_at` its instant:
    if it is gone or of another instant by now, the work begins anew.
    """

    why: str
    incident: MRID | None = None
    into: MRID | None = None
    device: MRID | None = None
    first: int = 0
    last: int = 0
    is_ended: bool = False
    after: MRID | None = None
    after_at: datetime | None = None


BodyT = TypeVar("BodyT", bound=msgspec.Struct)

REGROUPINGS: Collection[Regrouping] = Collection("oms.Regroupings", Regrouping)


class Worklist:
    """Work of one message, in order; each incident is on it once at a time."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._items: list[Regrouping] = []

    def add(self, item: Regrouping) -> None:
        """Something is to be done."""
        if item not in self._items:
            self._items.append(item)

    def take(self) -> Regrouping | None:
        """What is to be done next; None if nothing is left."""
        return self._items.pop(0) if self._items else None

    def put_back(self, item: Regrouping) -> None:
        """It is not done yet."""
        self._items.insert(0, item)

    async def keep(self) -> None:
        """Keep what is left for later."""
        now = self._context.now
        for item in self._items:
            mrid = MRID(self._context.new_id())
            stored = Stored(mrid=mrid, body=item, created_at=now, modified_at=now)
            await self._context.records.save(REGROUPINGS, stored)
        self._items = []

    async def recall(self, limit: int) -> bool:
        """Take up what was kept, the oldest first. Whether there was anything."""
        found = await self._context.records.select(REGROUPINGS, Selection(limit=limit))
        for stored in found:
            self.add(stored.body)
            await self._context.records.drop(REGROUPINGS, stored.mrid)
        return bool(found)


async def next_page(
    records: Records, collection: Collection[BodyT], wanted: Selection, item: Regrouping
) -> tuple[Stored[BodyT], ...]:
    """The objects that come after those that are done."""
    if item.after is not None:
        last = await records.find(collection, item.after)
        if last is not None and last.created_at == item.after_at:
            wanted = msgspec.structs.replace(wanted, after=item.after)
    return await records.select(collection, wanted)


def behind(item: Regrouping, last: Stored[BodyT]) -> Regrouping:
    """What is left of the work once this object is done."""
    return msgspec.structs.replace(item, after=last.mrid, after_at=last.created_at)


async def is_quiet(records: Records) -> bool:
    """Whether nothing is left to be regrouped."""
    return not await records.select(REGROUPINGS, Selection(limit=1))
