"""Service orders: planned, given to a crew, followed on its way, and done only when a crew says so.

A crew that is sent has the skills that the type of the order asks for, and no other order in hand. It reports by
change: dispatched, enroute, onSite, inProgress, completed; or back to waitingToBeScheduled (or scheduled, with an
appointment) with the reason why the visit was not completed. A meter exchange is completed with both meters and their
readings.

Source: IEC 61968-8:2015, clause 5.5; members of IEC 61968-6; who may be sent and what a report has to show is our rule.
"""

from collections.abc import Sequence

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Event, ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew
from cimcare.rules.lifecycle import UNDER_WAY, is_begun, is_ended, work_transition
from cimcare.systems.identity import has_identity, is_same
from cimcare.systems.objects import Said, as_utc, find_said, said_in
from cimcare.systems.serving import Verdict, file_object
from cimcare.systems.wms.appointments import Calendar, Window
from cimcare.systems.wms.catalog import OrderType, type_of_order
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
from cimcare.systems.wms.evidence import accepted_evidence, missing_evidence
from cimcare.systems.wms.jobs import JOBS, LAST_RANK, JobRecord, Parent, demand_of, save_job
from cimcare.systems.wms.kinds import SERVICE_ORDERS
from cimcare.systems.wms.links import parent_of, progressed
from cimcare.systems.wms.office import READY, Office, appointments_of, held_by, schedules_of, status_of

__all__ = ["Orders", "nearest_first", "place_of"]

_BACK = frozenset({WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled})
_REPORTED = frozenset({WorkStatusKind.completed, WorkStatusKind.closed})


class Orders(Office[service_order.Work]):
    """Judges service orders."""

    def __init__(self, context: ServingContext, calendar: Calendar | None = None) -> None:
        super().__init__(SERVICE_ORDERS, context, calendar)
        self._touched: dict[Parent, str | None] = {}

    async def named(self, message: RequestMessage) -> RequestMessage:
        """The message with its tasks named: one without identity means the only task of its order, else it is new."""
        if message.payload is None or self._context.removes:
            return message
        orders = {id(said.body): said for said in said_in(message, self._kind)}
        content = []
        for root in message.payload.content:
            if isinstance(root, service_order.ServiceOrders):
                works = [await self._with_tasks(orders[id(one)]) for one in root.work]
                root = msgspec.structs.replace(root, work=tuple(works))
            content.append(root)
        payload = msgspec.structs.replace(message.payload, content=tuple(content))
        return msgspec.structs.replace(message, payload=payload)

    async def _with_tasks(self, said: Said[service_order.Work]) -> service_order.Work:
        order = said.body
        assert order is not None  # what stands in a payload is said by its value
        if all(has_identity(task) for task in order.work_tasks):
            return order
        stored = await find_said(self._context.records, self._kind, said)
        known = stored.body.work_tasks if isinstance(stored, Stored) else ()
        only = known[0] if len(known) == 1 and has_identity(known[0]) else None
        return self._with_named_tasks(order, only)

    def _with_named_tasks(
        self, order: service_order.Work, only: service_order.WorkTask | None = None
    ) -> service_order.Work:
        tasks = tuple(
            task
            if has_identity(task)
            else msgspec.structs.replace(
                task,
                mrid=only.mrid if only is not None else MRID(self._context.new_id()),
                names=only.names if only is not None else (),
            )
            for task in order.work_tasks
        )
        return msgspec.structs.replace(order, work_tasks=tasks)

    async def open(self, said: Said[service_order.Work], body: service_order.Work) -> Verdict[service_order.Work]:
        """A new order, scheduled if it comes with an appointment."""
        appointments = appointments_of(body)
        status = status_of(body) or (WorkStatusKind.scheduled if appointments else WorkStatusKind.waitingToBeScheduled)
        body = self._with_named_tasks(body)
        body = msgspec.structs.replace(body, status_kind=status, last_modified_date_time=self._context.now)
        assert body.mrid is not None  # every new object has one
        parent = await parent_of(self._context.records, body)
        job = JobRecord(mrid=body.mrid, type=type_of_order(body).name, slot=body.mrid, parent=parent)
        return await self._settled(said, None, body, job)

    async def adopt(self, body: service_order.Work, parent: Parent, held: Window | None) -> Stored[service_order.Work]:
        """Keep an order that follows from a request. Its visit is put down already, in the name of the request."""
        assert body.mrid is not None  # minted when it was built
        job = JobRecord(mrid=body.mrid, type=type_of_order(body).name, slot=parent.mrid, parent=parent, held=held)
        stored = await self._filed(body, None)
        await self._context.records.save(SERVICE_ORDERS.collection, stored)
        await self._keep_job(stored, job)
        return stored

    async def change(
        self, said: Said[service_order.Work], stored: Stored[service_order.Work], wanted: service_order.Work
    ) -> Verdict[service_order.Work]:
        """What a planner or a crew says of an order."""
        refusal = self._refusal(said, stored, Verb.CHANGE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        job = await self._job_of(stored)
        old, new = status_of(stored.body), status_of(wanted)
        if new is not None:
            refusal = work_transition(old, new, path=said.path, object_id=stored.mrid)
            if refusal is not None:
                return Verdict(findings=(refusal,))
        if old in UNDER_WAY and new in _BACK:
            return await self._incomplete(said, stored, wanted, job)
        if wanted.appointments != stored.body.appointments:
            if old is not None and is_begun(old):
                return self._has_begun(said, old)
            if new is old and new in READY:
                new = WorkStatusKind.scheduled
        removed = None
        if new in UNDER_WAY and old not in UNDER_WAY and said.body is not None and _crews_in(said.body):
            # Who is named when a crew is sent is sent, whoever was planned.
            wanted, removed = _without_crews(wanted, keep=_crews_in(said.body))
        body = msgspec.structs.replace(wanted, status_kind=new, last_modified_date_time=self._context.now)
        verdict = await self._settled(said, stored, body, job)
        return verdict if verdict.stored is None else msgspec.structs.replace(verdict, removed=removed)

    async def cancel(
        self, said: Said[service_order.Work], stored: Stored[service_order.Work], wanted: service_order.Work
    ) -> Verdict[service_order.Work]:
        """The end of an order that is not to be carried out."""
        refusal = self._refusal(said, stored, Verb.CANCEL)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = msgspec.structs.replace(
            wanted, status_kind=WorkStatusKind.cancelled, last_modified_date_time=self._context.now
        )
        return await self._settled(said, stored, body, await self._job_of(stored))

    async def close(
        self, said: Said[service_order.Work], stored: Stored[service_order.Work], wanted: service_order.Work
    ) -> Verdict[service_order.Work]:
        """The end of an order that was done, with its actual end: as told, failing that now."""
        refusal = self._refusal(said, stored, Verb.CLOSE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = self._kind.put(
            wanted,
            status_kind=WorkStatusKind.closed,
            time_schedules=self._with_actual_end(schedules_of(wanted)),
            last_modified_date_time=self._context.now,
        )
        return await self._settled(said, stored, body, await self._job_of(stored))

    async def release(self, stored: Stored[service_order.Work]) -> None:
        """Give back the time and the crews of a deleted order."""
        job = await self._job_of(stored)
        if job.held is not None:
            await self._calendar.release(job.held, (demand_of(job, type_of_order(stored.body)),))
        await self._send(job, (), place_of(stored.body))
        await self._context.records.drop(JOBS, stored.mrid)
        self.touch(job)

    def touch(self, job: JobRecord) -> None:
        """Note that the request of an order has to be brought up to it."""
        if job.parent is not None:
            self._touched.setdefault(job.parent, None)

    async def follow(self) -> tuple[Event, ...]:
        """The progress of the requests whose orders the message was about."""
        events = [await progressed(self._context, parent, remark) for parent, remark in self._touched.items()]
        self._touched.clear()
        return tuple(event for event in events if event is not None)

    async def move(self, stored: Stored[service_order.Work], appointment: Appointment, held: Window | None) -> Event:
        """Another appointment for an order, which its request was given. The visit is put down already."""
        job = await self._job_of(stored)
        status = WorkStatusKind.scheduled if status_of(stored.body) in READY else status_of(stored.body)
        patch = service_order.Work(mrid=stored.mrid, status_kind=status, appointments=(appointment,))
        body = msgspec.structs.replace(
            stored.body,
            appointments=(*stored.body.appointments, appointment),
            status_kind=status,
            last_modified_date_time=self._context.now,
        )
        return await self._kept(stored, body, patch, msgspec.structs.replace(job, held=held))

    async def admit(self, stored: Stored[service_order.Work], method: str) -> Event:
        """Another word about how to get in."""
        tasks = tuple(
            service_order.WorkTask(
                mrid=task.mrid, names=task.names, work_location=_place_with(task.work_location, method)
            )
            for task in stored.body.work_tasks
            if has_identity(task)
        )
        whole = tuple(
            msgspec.structs.replace(task, work_location=_place_with(task.work_location, method, whole=True))
            if has_identity(task)
            else task
            for task in stored.body.work_tasks
        )
        body = msgspec.structs.replace(stored.body, work_tasks=whole, last_modified_date_time=self._context.now)
        patch = service_order.Work(mrid=stored.mrid, work_tasks=tasks)
        return await self._kept(stored, body, patch, await self._job_of(stored))

    async def end(self, stored: Stored[service_order.Work], verb: Verb) -> Event:
        """End an order with its request: cancel one that is to be done, close one that was."""
        job = await self._job_of(stored)
        status = WorkStatusKind.cancelled if verb is Verb.CANCELED else WorkStatusKind.closed
        body = msgspec.structs.replace(stored.body, status_kind=status, last_modified_date_time=self._context.now)
        await self._freed(stored, job)
        job = msgspec.structs.replace(job, held=None, crews=())
        patch = msgspec.structs.replace(SERVICE_ORDERS.identity_only(stored.body), status_kind=status)
        event = await self._kept(stored, body, patch, job)
        return msgspec.structs.replace(event, verb=verb)

    async def dispatch(self, stored: Stored[service_order.Work], crew: CrewRecord, held: Window | None) -> Event:
        """Give an order to a free crew with the skills: what the clock does, not a message."""
        job = await self._job_of(stored)
        tasks = stored.body.work_tasks
        named = Crew(mrid=crew.mrid, names=crew.names)
        first = tasks[0] if tasks else service_order.WorkTask(mrid=MRID(self._context.new_id()))
        sent = msgspec.structs.replace(first, crews=(*(one for one in first.crews if not is_same(one, named)), named))
        status = WorkStatusKind.dispatched
        shown = service_order.WorkTask(mrid=first.mrid, names=first.names, crews=(named,))
        body = msgspec.structs.replace(
            stored.body,
            status_kind=status,
            work_tasks=(sent, *tasks[1:]),
            last_modified_date_time=self._context.now,
        )
        patch = service_order.Work(mrid=stored.mrid, status_kind=status, work_tasks=(shown,))
        await self._send(job, (crew,), place_of(stored.body))
        job = msgspec.structs.replace(job, crews=(crew.mrid,), held=held or job.held)
        return await self._kept(stored, body, patch, job)

    async def _kept(
        self,
        before: Stored[service_order.Work],
        body: service_order.Work,
        patch: service_order.Work,
        job: JobRecord,
    ) -> Event:
        stored = await self._filed(body, before)
        await self._context.records.save(SERVICE_ORDERS.collection, stored)
        await self._keep_job(stored, job)
        return SERVICE_ORDERS.event(Verb.CHANGED, (SERVICE_ORDERS.told(patch, body),))

    async def _incomplete(
        self,
        said: Said[service_order.Work],
        stored: Stored[service_order.Work],
        wanted: service_order.Work,
        job: JobRecord,
    ) -> Verdict[service_order.Work]:
        """A visit that was not completed: the crew is free, and the work is to be scheduled again."""
        reason = _reason_in(said.body) or (self._context.header.comment or "").strip()
        if not reason:
            return self._refused(
                "BUS-153",
                said,
                f"the crew leaves work that is {status_of(stored.body)}, and no reason is given",
                "Header/Comment, or WorkTasks/WorkLocation/siteAccessProblem, with the reason",
            )
        is_replanned = wanted.appointments != stored.body.appointments
        if status_of(wanted) is WorkStatusKind.scheduled and not is_replanned:
            # The old appointment is over; nobody has agreed to another one.
            wanted = msgspec.structs.replace(wanted, status_kind=WorkStatusKind.waitingToBeScheduled)
        wanted, removed = _without_crews(wanted, keep=())
        body = msgspec.structs.replace(wanted, last_modified_date_time=self._context.now)
        job = msgspec.structs.replace(job, reason=reason)
        verdict = await self._settled(said, stored, body, job, remark=f"Visit not completed: {reason}")
        return verdict if verdict.stored is None else msgspec.structs.replace(verdict, removed=removed)

    async def _settled(
        self,
        said: Said[service_order.Work],
        before: Stored[service_order.Work] | None,
        body: service_order.Work,
        job: JobRecord,
        *,
        remark: str | None = None,
    ) -> Verdict[service_order.Work]:
        """The order to be kept, with its time held and its crews sent; or why that cannot be."""
        kind, status = type_of_order(body), status_of(body)
        job = msgspec.structs.replace(job, type=kind.name)
        crews = await self._crews_for(said, before, body, job, kind)
        if not isinstance(crews, tuple):
            return Verdict(findings=(crews,))
        old = status_of(before.body) if before is not None else None
        if status in _REPORTED and old not in _REPORTED:
            unproven = await self._unproven(said, body, kind, crews)
            if unproven is not None:
                return unproven
        if status in UNDER_WAY:
            body = self._with_named_tasks(_with_crews(body, crews))
        held = self._wanted(body, job)
        demand = demand_of(job, kind)
        if held != job.held:
            if held is not None and not await self._calendar.has_room(held, (demand,)):
                return self._no_room(said, (demand,))
            if job.held is not None:
                await self._calendar.release(job.held, (demand,))
            if held is not None:
                await self._calendar.book(held, (demand,))
        sent = crews if status in UNDER_WAY else ()
        await self._send(job, sent, place_of(body))
        stored = await self._filed(body, before)
        await self._keep_job(stored, msgspec.structs.replace(job, held=held, crews=tuple(one.mrid for one in sent)))
        if job.parent is not None:
            self._touched[job.parent] = remark or self._touched.get(job.parent)
        return Verdict(stored=stored, shown=body)

    def _wanted(self, body: service_order.Work, job: JobRecord) -> Window | None:
        """The time to be held: the appointment's; failing that, while a crew has it, what was held for it."""
        if body.appointments:
            return held_by(body)
        status = status_of(body)
        return job.held if status in UNDER_WAY or status is WorkStatusKind.completed else None

    async def _crews_for(
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
        for each in _crews_in(body):
            crew = await crew_named(self._context.records, each)
            if crew is None:
                return self._finding(
                    "REF-103", said, f"no crew {_text_of(each)} is known", f"one of {_listed(_able(known, kind))}"
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
                    f"a crew with {', '.join(sorted(kind.skills))}: {_listed(_able(known, kind))}",
                )
            if status in UNDER_WAY and crew.order not in (None, body.mrid):
                free = [one for one in _able(known, kind) if one.order is None]
                return self._finding(
                    "BUS-151",
                    said,
                    f"crew {name_of_crew(crew)} has order {crew.order} in hand",
                    f"the report that order {crew.order} is completed or not, or another crew: {_listed(free)}",
                )
        if status in UNDER_WAY and not found and kind.name:
            free = [one for one in _able(known, kind) if one.order is None]
            ready = nearest_first(free, place_of(body), kind, self._context)
            if not ready:
                busy = ", ".join(f"{name_of_crew(one)} (order {one.order})" for one in _able(known, kind) if one.order)
                return self._finding(
                    "BUS-152",
                    said,
                    f"no crew for {kind.name} is free and on duty; busy: {busy or 'none'}",
                    "a crew by name, or the same again when one is free",
                )
            return (ready[0],)
        return tuple(found.values())

    async def _unproven(
        self,
        said: Said[service_order.Work],
        body: service_order.Work,
        kind: OrderType,
        crews: Sequence[CrewRecord],
    ) -> Verdict[service_order.Work] | None:
        """Why this is no report of a completion; None if it is one."""
        missing = missing_evidence(kind, body)
        if missing:
            return self._refused(
                "BUS-154",
                said,
                f"{kind.name} is reported as done without {' and without '.join(missing)}",
                accepted_evidence(kind),
            )
        if kind.name and not crews and await self._calendar.crews():
            able = _listed(_able(await self._calendar.crews(), kind))
            return self._refused(
                "BUS-152",
                said,
                f"{kind.name} is reported as done, and no crew was sent or is named",
                f"the crew that did it, in WorkTasks/Crews: {able}",
            )
        return None

    async def _send(self, job: JobRecord, crews: Sequence[CrewRecord], place: Place | None) -> None:
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

    async def _freed(self, stored: Stored[service_order.Work], job: JobRecord) -> None:
        if job.held is not None:
            await self._calendar.release(job.held, (demand_of(job, type_of_order(stored.body)),))
        await self._send(job, (), place_of(stored.body))

    async def _job_of(self, stored: Stored[service_order.Work]) -> JobRecord:
        found = await self._context.records.find(JOBS, stored.mrid)
        if found is not None:
            return found.body
        parent = await parent_of(self._context.records, stored.body)
        kind = type_of_order(stored.body)
        return JobRecord(mrid=stored.mrid, type=kind.name, slot=stored.mrid, parent=parent)

    async def _keep_job(self, stored: Stored[service_order.Work], job: JobRecord) -> None:
        body = stored.body
        rank = body.priority.rank if body.priority is not None and body.priority.rank is not None else LAST_RANK
        job = msgspec.structs.replace(job, rank=rank, place=place_of(body))
        due_at = job.held[0] if job.held is not None else as_utc(body.request_date_time) or stored.created_at
        await save_job(
            self._context.records,
            job,
            status_of(body),
            due_at,
            self._context.now,
            skills=type_of_order(body).skills,
        )

    async def _filed(
        self, body: service_order.Work, before: Stored[service_order.Work] | None
    ) -> Stored[service_order.Work]:
        filed_at = as_utc(body.request_date_time)
        state = status_of(body) or ""
        return await file_object(self._kind, body, self._context, state=state, filed_at=filed_at, before=before)

    def _finding(self, code: str, said: Said[service_order.Work], found: str, accepted: str) -> Finding:
        return finding_of(code, said.path, found, accepted, self._clause, object_id=said.identity(self._kind) or None)


def nearest_first(
    crews: Sequence[CrewRecord], place: Place | None, kind: OrderType, context: ServingContext
) -> list[CrewRecord]:
    """Crews that can be sent now, the nearest first, of equal ones by name: on duty, or on call for what is urgent."""
    ready = [one for one in crews if is_on_duty(one, context.now) or (kind.is_urgent and one.is_on_call)]
    return sorted(ready, key=lambda one: (distance(one.place, place), name_of_crew(one)))


def place_of(order: service_order.Work) -> Place | None:
    """Where an order is, by the first point of the place of its tasks."""
    for task in order.work_tasks:
        points = task.work_location.position_points if task.work_location is not None else ()
        for point in points:
            try:
                return float(point.x_position or ""), float(point.y_position or "")
            except ValueError:
                continue
    return None


def _able(crews: Sequence[CrewRecord], kind: OrderType) -> list[CrewRecord]:
    return [one for one in crews if has_skills(one, kind.skills)]


def _listed(crews: Sequence[CrewRecord]) -> str:
    return ", ".join(name_of_crew(one) for one in crews) or "there is none"


def _text_of(crew: Crew) -> str:
    return crew.names[0].name if crew.names else crew.mrid or "without identity"


def _crews_in(order: service_order.Work) -> tuple[Crew, ...]:
    """Crews that an order names, each once."""
    named: list[Crew] = []
    for crew in (crew for task in order.work_tasks for crew in task.crews):
        if has_identity(crew) and not any(is_same(crew, other) for other in named):
            named.append(crew)
    return tuple(named)


def _with_crews(order: service_order.Work, crews: Sequence[CrewRecord]) -> service_order.Work:
    """The order with these crews in its first task, where it does not name them."""
    named = _crews_in(order)
    new = tuple(Crew(mrid=one.mrid, names=one.names) for one in crews)
    new = tuple(one for one in new if not any(is_same(one, other) for other in named))
    if not new:
        return order
    first = order.work_tasks[0] if order.work_tasks else service_order.WorkTask()
    return msgspec.structs.replace(
        order, work_tasks=(msgspec.structs.replace(first, crews=(*first.crews, *new)), *order.work_tasks[1:])
    )


def _without_crews(
    order: service_order.Work, *, keep: Sequence[Crew]
) -> tuple[service_order.Work, service_order.Work | None]:
    """The order without the crews that are not to be kept, and the path to those that went; None if none did.

    Of a task without identity nobody could be told which one has lost a crew, so it keeps them.
    """
    tasks, gone = [], []
    for task in order.work_tasks:
        leaving = tuple(one for one in task.crews if not any(is_same(one, other) for other in keep))
        if leaving and has_identity(task):
            gone.append(
                service_order.WorkTask(
                    mrid=task.mrid,
                    names=task.names,
                    crews=tuple(Crew(mrid=one.mrid, names=one.names) for one in leaving),
                )
            )
            task = msgspec.structs.replace(task, crews=tuple(one for one in task.crews if one not in leaving))
        tasks.append(task)
    if not gone:
        return order, None
    path = service_order.Work(mrid=order.mrid, names=(), work_tasks=tuple(gone))
    return msgspec.structs.replace(order, work_tasks=tuple(tasks)), path


def _reason_in(said: service_order.Work | None) -> str:
    for task in said.work_tasks if said is not None else ():
        problem = task.work_location.site_access_problem if task.work_location is not None else None
        if problem and problem.strip():
            return problem.strip()
    return ""


def _place_with(
    place: service_order.ServiceLocation | None, method: str, *, whole: bool = False
) -> service_order.ServiceLocation:
    if whole:
        return msgspec.structs.replace(place or service_order.ServiceLocation(), access_method=method)
    return service_order.ServiceLocation(mrid=place.mrid if place is not None else None, access_method=method)
