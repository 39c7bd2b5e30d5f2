"""Service orders: planned, given to a crew, followed on its way, and done only when a crew says so.

A crew that is sent has the skills that the type of the order asks for, and no other order in hand. It reports by
change: dispatched, enroute, onSite, inProgress, completed; or back to waitingToBeScheduled (or scheduled, with an
appointment) with the reason why the visit was not completed. A meter exchange is completed with both meters and their
readings.

Source: IEC 61968-8:2015, clause 5.5; members of IEC 61968-6; who may be sent and what a report has to show is our rule.
"""

from collections.abc import Sequence

import msgspec

from cimcare.exchange.ports import Event, ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew
from cimcare.rules.lifecycle import UNDER_WAY, is_begun, work_transition
from cimcare.systems.identity import has_identity, is_same
from cimcare.systems.objects import Said, as_utc, find_said, said_in
from cimcare.systems.serving import Verdict, file_object
from cimcare.systems.wms.appointments import Calendar, Window
from cimcare.systems.wms.catalog import OrderType, type_of_order
from cimcare.systems.wms.crews import (
    CrewRecord,
)
from cimcare.systems.wms.evidence import accepted_evidence, missing_evidence
from cimcare.systems.wms.jobs import JOBS, LAST_RANK, JobRecord, Parent, demand_of, save_job
from cimcare.systems.wms.kinds import SERVICE_ORDERS
from cimcare.systems.wms.links import parent_of, progressed
from cimcare.systems.wms.office import READY, Office, appointments_of, held_by, schedules_of, status_of
from cimcare.systems.wms.order_tasks import (
    crews_in,
    named_tasks,
    place_of,
    place_with,
    reason_in,
    with_crews,
    without_crews,
)
from cimcare.systems.wms.sending import Sending, able, listed

__all__ = ["Orders"]

_BACK = frozenset({WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled})
_REPORTED = frozenset({WorkStatusKind.completed, WorkStatusKind.closed})


class Orders(Office[service_order.Work]):
    """Judges service orders."""

    def __init__(self, context: ServingContext, calendar: Calendar | None = None) -> None:
        super().__init__(SERVICE_ORDERS, context, calendar)
        self._sending = Sending(context)
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
        return named_tasks(order, self._context.new_id, only)

    async def open(self, said: Said[service_order.Work], body: service_order.Work) -> Verdict[service_order.Work]:
        """A new order, scheduled if it comes with an appointment."""
        appointments = appointments_of(body)
        status = status_of(body) or (WorkStatusKind.scheduled if appointments else WorkStatusKind.waitingToBeScheduled)
        body = named_tasks(body, self._context.new_id)
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
        if new in UNDER_WAY and old not in UNDER_WAY and said.body is not None and crews_in(said.body):
            # Who is named when a crew is sent is sent, whoever was planned.
            wanted, removed = without_crews(wanted, keep=crews_in(said.body))
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
        await self._sending.hand_over(job, (), place_of(stored.body))
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
                mrid=task.mrid, names=task.names, work_location=place_with(task.work_location, method)
            )
            for task in stored.body.work_tasks
            if has_identity(task)
        )
        whole = tuple(
            msgspec.structs.replace(task, work_location=place_with(task.work_location, method, whole=True))
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
        await self._sending.hand_over(job, (crew,), place_of(stored.body))
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
        reason = reason_in(said.body) or (self._context.header.comment or "").strip()
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
        wanted, removed = without_crews(wanted, keep=())
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
        crews = await self._sending.crews_for(said, before, body, job, kind)
        if not isinstance(crews, tuple):
            return Verdict(findings=(crews,))
        old = status_of(before.body) if before is not None else None
        if status in _REPORTED and old not in _REPORTED:
            unproven = await self._unproven(said, body, kind, crews)
            if unproven is not None:
                return unproven
        if status in UNDER_WAY:
            body = named_tasks(with_crews(body, crews), self._context.new_id)
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
        await self._sending.hand_over(job, sent, place_of(body))
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
            who = listed(able(await self._calendar.crews(), kind))
            return self._refused(
                "BUS-152",
                said,
                f"{kind.name} is reported as done, and no crew was sent or is named",
                f"the crew that did it, in WorkTasks/Crews: {who}",
            )
        return None

    async def _freed(self, stored: Stored[service_order.Work], job: JobRecord) -> None:
        if job.held is not None:
            await self._calendar.release(job.held, (demand_of(job, type_of_order(stored.body)),))
        await self._sending.hand_over(job, (), place_of(stored.body))

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
