"""Which crews an order is given to: those it names, failing that the nearest that is free; and what they have in hand.

Who may be sent is our rule.
"""

from collections.abc import Sequence

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import NOUNS
from cimcare.model.work import Crew
from cimcare.rules.lifecycle import UNDER_WAY, is_ended
from cimcare.systems.objects import Said
from cimcare.systems.wms.catalog import OrderType
from cimcare.systems.wms.crews import (
    CREWS,
    CrewRecord,
    Place,
    crew_named,
    distance,
    has_skills,
    is_on_duty,
    load_crews,
    name_of_crew,
    save_crew,
)
from cimcare.systems.wms.jobs import JobRecord
from cimcare.systems.wms.kinds import SERVICE_ORDERS
from cimcare.systems.wms.office import status_of
from cimcare.systems.wms.order_tasks import crews_in, place_of

__all__ = ["Sending", "able", "listed", "nearest_first"]

_CLAUSE = NOUNS[SERVICE_ORDERS.noun].clause


class Sending:
    """Finds the crews for orders during one message, and notes which have one in hand."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context

    async def crews_for(
        self,
        said: Said[service_order.Work],
        before: Stored[service_order.Work] | None,
        body: service_order.Work,
        job: JobRecord,
        kind: OrderType,
    ) -> tuple[CrewRecord, ...] | Finding:
        """The crews that the order names, or the nearest free one if it is to be sent and names none."""
        known = await load_crews(self._context.records)
        if not known:
            return ()
        status = status_of(body)
        if status is None or status is WorkStatusKind.cancelled or (before is not None and is_ended(status)):
            return tuple(one for one in known if one.mrid in job.crews)
        found: dict[MRID, CrewRecord] = {one.mrid: one for one in known if one.mrid in job.crews}
        for each in crews_in(body):
            crew = await crew_named(self._context.records, each)
            if crew is None:
                return self._finding(
                    "REF-103", said, f"no crew {_text_of(each)} is known", f"one of {listed(able(known, kind))}"
                )
            found[crew.mrid] = crew
        for crew in found.values():
            if crew.mrid in job.crews:
                continue
            if not has_skills(crew, kind.skills):
                missing = ", ".join(sorted(kind.skills - crew.skills))
                return self._finding(
                    "BUS-150",
                    said,
                    f"crew {name_of_crew(crew)} has no skill {missing}, which {kind.name} asks for",
                    f"a crew with {', '.join(sorted(kind.skills))}: {listed(able(known, kind))}",
                )
            if status in UNDER_WAY and crew.order not in (None, body.mrid):
                free = [one for one in able(known, kind) if one.order is None]
                return self._finding(
                    "BUS-151",
                    said,
                    f"crew {name_of_crew(crew)} has order {crew.order} in hand",
                    f"the report that order {crew.order} is completed or not, or another crew: {listed(free)}",
                )
        if status in UNDER_WAY and not found and kind.name:
            free = [one for one in able(known, kind) if one.order is None]
            ready = nearest_first(free, place_of(body), kind, self._context)
            if not ready:
                busy = ", ".join(f"{name_of_crew(one)} (order {one.order})" for one in able(known, kind) if one.order)
                return self._finding(
                    "BUS-152",
                    said,
                    f"no crew for {kind.name} is free and on duty; busy: {busy or 'none'}",
                    "a crew by name, or the same again when one is free",
                )
            return (ready[0],)
        return tuple(found.values())

    async def hand_over(self, job: JobRecord, crews: Sequence[CrewRecord], place: Place | None) -> None:
        """Note which crews have the order in hand now; those that had it and have it no more are where it is."""
        records, now = self._context.records, self._context.now
        sent = {crew.mrid for crew in crews}
        for mrid in job.crews:
            if mrid not in sent:
                stored = await records.find(CREWS, mrid)
                if stored is not None and stored.body.order == job.mrid:
                    freed = msgspec.structs.replace(stored.body, order=None, place=place or stored.body.place)
                    await save_crew(records, freed, now)
        for crew in crews:
            if crew.order != job.mrid:
                await save_crew(records, msgspec.structs.replace(crew, order=job.mrid), now)

    def _finding(self, code: str, said: Said[service_order.Work], found: str, accepted: str) -> Finding:
        return finding_of(code, said.path, found, accepted, _CLAUSE, object_id=said.identity(SERVICE_ORDERS) or None)


def nearest_first(
    crews: Sequence[CrewRecord], place: Place | None, kind: OrderType, context: ServingContext
) -> list[CrewRecord]:
    """Crews that can be sent now, the nearest first, of equal ones by name: on duty, or on call for what is urgent."""
    ready = [one for one in crews if is_on_duty(one, context.now) or (kind.is_urgent and one.is_on_call)]
    return sorted(ready, key=lambda one: (distance(one.place, place), name_of_crew(one)))


def able(crews: Sequence[CrewRecord], kind: OrderType) -> list[CrewRecord]:
    """Crews that have the skills for an order of this type."""
    return [one for one in crews if has_skills(one, kind.skills)]


def listed(crews: Sequence[CrewRecord]) -> str:
    """Names of crews, as a finding lists what would pass."""
    return ", ".join(name_of_crew(one) for one in crews) or "there is none"


def _text_of(crew: Crew) -> str:
    return crew.names[0].name if crew.names else crew.mrid or "without identity"
