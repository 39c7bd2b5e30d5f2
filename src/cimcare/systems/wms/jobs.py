"""What the work management keeps of each service order beside the order itself: whose it is, who is sent, what is held.

Also what has to be done by the clock: each job has an instant from which it is due, and is found by it.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Stored
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.rules.lifecycle import UNDER_WAY, is_ended
from cimcare.systems.wms.appointments import Demand, Window
from cimcare.systems.wms.catalog import OrderType
from cimcare.systems.wms.crews import Place

__all__ = [
    "DONE",
    "JOBS",
    "LAST_RANK",
    "NOTICE",
    "NOTICES",
    "SENT",
    "TO_SEND",
    "JobRecord",
    "Parent",
    "demand_of",
    "save_job",
    "skills_key",
]

TO_SEND = "to send"
"""A crew is to be sent, from the instant on at which the job is due."""
SENT = "sent"
"""A crew is at it."""
DONE = "done"
"""Nobody has to be sent (any more)."""
NOTICE = "notice"
"""No order but a dig notice, which is due when its time is over."""
NOTICES = Key("notice", "open")
"""Key of all dig notices that have not ended."""

LAST_RANK = 9
"""Rank of an order that does not say how urgent it is."""


class Parent(msgspec.Struct, frozen=True):
    """The request that an order carries out."""

    noun: Noun
    mrid: MRID


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A service order as the planner sees it.

    `slot` is whose visit is put down in the windows: the request's where the order followed from one, else the order's
    own. `held` is the time that is held there. `crews` are those that were sent. `reason` is why the last visit was not
    completed.
    """

    mrid: MRID
    type: str
    slot: MRID
    parent: Parent | None = None
    held: Window | None = None
    crews: tuple[MRID, ...] = ()
    reason: str | None = None
    rank: int = LAST_RANK
    place: Place | None = None


JOBS: Collection[JobRecord] = Collection("wms.Jobs", JobRecord)
"""Jobs by the mRID of the order; created_at is when they are due."""


def demand_of(job: JobRecord, kind: OrderType) -> Demand:
    """The time of a crew that an order needs."""
    return Demand(work=job.slot, part=kind.name or job.mrid, skills=kind.skills, minutes=kind.minutes)


def skills_key(skills: frozenset[str], rank: int) -> Key:
    """Key of all jobs to send a crew to that ask for exactly these skills and are as urgent: ranks go from 0 to 9."""
    return Key("skills", f"{min(max(rank, 0), LAST_RANK)} {' '.join(sorted(skills))}")


async def save_job(
    records: Records,
    job: JobRecord,
    status: WorkStatusKind | None,
    due_at: datetime,
    now: datetime,
    *,
    skills: frozenset[str],
) -> None:
    """Keep a job with what its order's state means for the clock."""
    if status in UNDER_WAY:
        state = SENT
    elif status is None or is_ended(status) or status is WorkStatusKind.completed:
        state = DONE
    else:
        waits = (WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled)
        state = TO_SEND if status in waits else DONE
    # Only what waits is looked for, so that the look does not grow with what was done.
    keys = frozenset({skills_key(skills, job.rank)}) if state == TO_SEND else frozenset[Key]()
    stored = Stored(mrid=job.mrid, body=job, created_at=due_at, modified_at=now, state=state, keys=keys)
    await records.save(JOBS, stored)
