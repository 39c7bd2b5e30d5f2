"""Service requests and work requests: taken, given an appointment, turned into service orders, followed through them.

Which orders follow from which type of request says `cimcare.systems.wms.catalog`. A request leads to its orders when
it can be planned (approved, waitingToBeScheduled, scheduled), once, unless a planner has made orders that name it. From
then on its progress is theirs: it is completed when a crew has reported the last of them. A request of a type that
leads to no orders, or that was handed over under way, is reported upon itself.

Source: IEC 61968-8:2015, clauses 5.4 and 5.6 (our reading of their exchanges).
"""

from collections.abc import Sequence
from typing import TypeVar

from cimcare.errors import Finding
from cimcare.exchange.ports import Event, ServingContext, Stored
from cimcare.model import service_order
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.rules.lifecycle import UNDER_WAY, is_begun, is_ended, work_transition
from cimcare.systems.objects import Kind, Said, as_utc
from cimcare.systems.serving import Verdict, file_object
from cimcare.systems.wms.appointments import Demand, Window, appointment_of, interval_of
from cimcare.systems.wms.catalog import DIG_NOTICE, OTHER_ORDER, WorkType, type_of_order, type_of_request
from cimcare.systems.wms.jobs import JOBS, Parent, demand_of
from cimcare.systems.wms.kinds import SERVICE_ORDERS
from cimcare.systems.wms.links import orders_of
from cimcare.systems.wms.making import build_order
from cimcare.systems.wms.notices import answer_notice, flaw_of_notice, keep_notice
from cimcare.systems.wms.office import READY, Office, appointments_of, held_by, schedules_of, status_of, wish_of
from cimcare.systems.wms.orders import Orders

__all__ = ["Requests"]

BodyT = TypeVar("BodyT", bound=Structure)

_DONE = frozenset({WorkStatusKind.completed, WorkStatusKind.closed})


class Requests(Office[BodyT]):
    """Judges service requests or work requests."""

    def __init__(self, kind: Kind[BodyT], context: ServingContext) -> None:
        super().__init__(kind, context)
        self._orders = Orders(context, self._calendar)
        self._more: list[Event] = []

    async def open(self, said: Said[BodyT], body: BodyT) -> Verdict[BodyT]:
        """A new request, with an appointment and orders where that is due."""
        core = self._kind.core(body)
        work_type = type_of_request(core)
        flaw = self._flaw(said, core, work_type)
        if flaw is not None:
            return flaw
        given, appointments = status_of(core), appointments_of(core)
        initial = WorkStatusKind.waitingToBeScheduled
        if self._kind.noun is Noun.WORK_REQUESTS:
            initial = WorkStatusKind.waitingOnApproval
        status = given or (WorkStatusKind.scheduled if appointments else initial)
        demands = self._demands(core, work_type)
        appointments, status = await self._offered(core, work_type, demands, appointments, status)
        body = self._kind.put(
            body,
            appointments=appointments,
            status_kind=status,
            created_date_time=getattr(core, "created_date_time", None) or self._context.now,
            last_modified_date_time=self._context.now,
        )
        return await self._settled(said, None, body, work_type)

    async def change(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """A request as a change wants it, if its state, its orders and the room in the windows allow it."""
        refusal = self._refusal(said, stored, Verb.CHANGE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        before, core = self._kind.core(stored.body), self._kind.core(wanted)
        old, new = status_of(before), status_of(core)
        work_type = type_of_request(core)
        flaw = self._flaw(said, core, work_type)
        if flaw is not None:
            return flaw
        if new is not None:
            refusal = work_transition(old, new, path=said.path, object_id=stored.mrid)
            if refusal is not None:
                return Verdict(findings=(refusal,))
        orders = await self._orders_of(stored)
        if new is not old:
            by_orders = self._carried_out(said, old, new, work_type, orders)
            if by_orders is not None:
                return by_orders
        if new is WorkStatusKind.cancelled:  # said as a state, it means what the verb means
            body = self._kind.put(wanted, last_modified_date_time=self._context.now)
            return await self._ended(said, stored, body, Verb.CANCELED)
        demands = await self._open_demands(orders) if orders else self._demands(core, work_type)
        appointments = appointments_of(core)
        is_moved = appointments != appointments_of(before)
        if not is_moved and self._is_other_wish(before, core):
            window = await self._wished(core, demands)
            if window is None and await self._calendar.crews():
                return self._no_room(said, demands)
            held = interval_of(appointments[-1]) if appointments else None
            if window is not None and window != held:
                appointments, is_moved = (*appointments, appointment_of(window)), True
        if is_moved:
            if old is not None and is_begun(old):
                return self._has_begun(said, old)
            if new is old and new in READY:
                new = WorkStatusKind.scheduled
        elif not orders and new is not old and new is not None:
            appointments, new = await self._offered(core, work_type, demands, appointments, new)
        body = self._kind.put(
            wanted, appointments=appointments, status_kind=new, last_modified_date_time=self._context.now
        )
        return await self._settled(said, stored, body, work_type)

    async def cancel(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of a request that is not to be carried out, and of its orders."""
        refusal = self._refusal(said, stored, Verb.CANCEL)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        body = self._kind.put(wanted, status_kind=WorkStatusKind.cancelled, last_modified_date_time=self._context.now)
        return await self._ended(said, stored, body, Verb.CANCELED)

    async def close(self, said: Said[BodyT], stored: Stored[BodyT], wanted: BodyT) -> Verdict[BodyT]:
        """The end of a request that was done, with its actual end: as told, failing that now."""
        refusal = self._refusal(said, stored, Verb.CLOSE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        orders = await self._orders_of(stored)
        to_do = [one for one in orders if status_of(one.body) not in _DONE | {WorkStatusKind.cancelled}]
        if to_do:
            return self._refused(
                "BUS-155",
                said,
                f"close of a request whose order {to_do[0].mrid} is {to_do[0].state}",
                f"close once a crew has reported its orders as completed ({len(to_do)} to go), or cancel",
            )
        body = self._kind.put(
            wanted,
            status_kind=WorkStatusKind.closed,
            time_schedules=self._with_actual_end(schedules_of(self._kind.core(wanted))),
            last_modified_date_time=self._context.now,
        )
        return await self._ended(said, stored, body, Verb.CLOSED)

    async def release(self, stored: Stored[BodyT]) -> None:
        """Give back what a deleted request held, and delete its orders with it."""
        core = self._kind.core(stored.body)
        held = held_by(core)
        if held is not None:
            await self._calendar.release(held, self._demands(core, type_of_request(core)))
        gone = []
        for order in await self._orders_of(stored):
            await self._context.records.drop(SERVICE_ORDERS.collection, order.mrid)
            await self._orders.release(order)
            gone.append(SERVICE_ORDERS.identity_only(order.body))
        if gone:
            self._more.append(SERVICE_ORDERS.event(Verb.DELETED, gone))
        await self._context.records.drop(JOBS, stored.mrid)

    async def follow(self) -> Sequence[Event]:
        """What came of it for orders."""
        more = tuple(self._more)
        self._more.clear()
        return more

    async def expire(self, stored: Stored[BodyT]) -> Event:
        """End a dig notice whose time is over: closed if it was approved, else cancelled."""
        core = self._kind.core(stored.body)
        was_approved = status_of(core) is not WorkStatusKind.waitingOnApproval
        verb = Verb.CLOSED if was_approved else Verb.CANCELED
        status = WorkStatusKind.closed if was_approved else WorkStatusKind.cancelled
        for order in await self._orders_of(stored):
            state = status_of(order.body)
            if state is not None and not is_ended(state):
                ends = Verb.CLOSED if state is WorkStatusKind.completed else Verb.CANCELED
                self._more.append(await self._orders.end(order, ends))
        body = self._kind.put(stored.body, status_kind=status, last_modified_date_time=self._context.now)
        now = await file_object(self._kind, body, self._context, state=status, before=stored)
        await self._context.records.save(self._kind.collection, now)
        shown = self._kind.put(self._kind.identity_only(body), status_kind=status)
        return self._kind.event(verb, (self._kind.told(shown, body, with_state=True),))

    async def _ended(self, said: Said[BodyT], stored: Stored[BodyT], body: BodyT, verb: Verb) -> Verdict[BodyT]:
        for order in await self._orders_of(stored):
            state = status_of(order.body)
            if state is None or is_ended(state) or (verb is Verb.CANCELED and state is WorkStatusKind.completed):
                continue
            self._more.append(await self._orders.end(order, verb))
        return await self._settled(said, stored, body, type_of_request(self._kind.core(body)))

    async def _settled(
        self, said: Said[BodyT], before: Stored[BodyT] | None, body: BodyT, work_type: WorkType
    ) -> Verdict[BodyT]:
        """The request to be kept, with its visits put down and its orders made or moved."""
        core = self._kind.core(body)
        filed_at = as_utc(getattr(core, "request_date_time", None) or getattr(core, "created_date_time", None))
        status = status_of(core)
        stored = await file_object(
            self._kind, body, self._context, state=status or "", filed_at=filed_at, before=before
        )
        orders = await orders_of(self._context.records, self._kind.noun, stored.mrid, core)
        if orders:
            refused = await self._follow_up(said, before, core, orders)
        else:
            refused = await self._held(said, before, stored.mrid, core, work_type)
            if refused is None and work_type.orders and status in READY:
                await self._make_orders(stored.mrid, core, work_type)
        if refused is not None:
            return refused
        findings: tuple[Finding, ...] = ()
        if work_type is DIG_NOTICE and status is not None and not is_ended(status):
            await keep_notice(self._context, stored.mrid, core)
            if before is None:
                findings = (await answer_notice(self._context, said.path, stored.mrid, core),)
        elif work_type is DIG_NOTICE:
            await self._context.records.drop(JOBS, stored.mrid)
        return Verdict(stored=stored, shown=body, findings=findings)

    async def _held(
        self, said: Said[BodyT], before: Stored[BodyT] | None, mrid: MRID, core: Structure, work_type: WorkType
    ) -> Verdict[BodyT] | None:
        """Put down the visits of a request that has no orders (yet); a refusal if there is no room."""
        held: Window | None = None
        before_demands: tuple[Demand, ...] = ()
        if before is not None:
            known = self._kind.core(before.body)
            held, before_demands = held_by(known), self._demands(known, type_of_request(known))
        wanted, demands = held_by(core), self._demands(core, work_type)
        if (wanted, demands) == (held, before_demands):
            return None
        if wanted is not None and not await self._calendar.has_room(wanted, demands):
            return self._no_room(said, demands)
        if held is not None:
            await self._calendar.release(held, before_demands)
        if wanted is not None:
            await self._calendar.book(wanted, demands)
        return None

    async def _follow_up(
        self,
        said: Said[BodyT],
        before: Stored[BodyT] | None,
        core: Structure,
        orders: Sequence[Stored[service_order.Work]],
    ) -> Verdict[BodyT] | None:
        """Give the orders that are still to be done the appointment and the access note of their request."""
        if before is None:
            return None
        known = self._kind.core(before.body)
        appointments = appointments_of(core)
        status = status_of(core)
        to_do = [one for one in orders if status_of(one.body) in READY]
        if status is None or is_ended(status):
            return None
        if appointments and appointments != appointments_of(known) and to_do:
            refused = await self._move(said, appointments[-1], to_do)
            if refused is not None:
                return refused
            to_do = list(
                filter(None, [await self._context.records.find(SERVICE_ORDERS.collection, one.mrid) for one in to_do])
            )
        method = _access_of(core)
        if method and method != _access_of(known):
            self._more.extend([await self._orders.admit(one, method) for one in to_do])
        return None

    async def _move(
        self, said: Said[BodyT], appointment: Appointment, to_do: Sequence[Stored[service_order.Work]]
    ) -> Verdict[BodyT] | None:
        """Another appointment for all orders that are still to be done, or a refusal if there is no room."""
        jobs = [await self._context.records.find(JOBS, order.mrid) for order in to_do]
        demands = await self._open_demands(to_do)
        wanted = interval_of(appointment)
        if wanted is not None and not await self._calendar.has_room(wanted, demands):
            return self._no_room(said, demands)
        for job, demand in zip(jobs, demands, strict=True):
            if job is not None and job.body.held is not None:
                await self._calendar.release(job.body.held, (demand,))
        if wanted is not None:
            await self._calendar.book(wanted, demands)
        for order in to_do:
            self._more.append(await self._orders.move(order, appointment, wanted))
        return None

    async def _make_orders(self, mrid: MRID, core: Structure, work_type: WorkType) -> None:
        appointments = appointments_of(core)
        held = held_by(core)
        made = []
        for order_type, demand in zip(work_type.orders, self._demands(core, work_type), strict=True):
            window = held if held is not None else await self._calendar.find((demand,))
            order = await build_order(
                self._context,
                self._kind.noun,
                mrid,
                core,
                order_type,
                appointments[-1:] if held is not None else (),
                window[0] if window is not None else None,
            )
            stored = await self._orders.adopt(order, Parent(self._kind.noun, mrid), held)
            made.append(stored.body)
        self._more.append(SERVICE_ORDERS.event(Verb.CREATED, made))

    async def _offered(
        self,
        core: Structure,
        work_type: WorkType,
        demands: Sequence[Demand],
        appointments: tuple[Appointment, ...],
        status: WorkStatusKind,
    ) -> tuple[tuple[Appointment, ...], WorkStatusKind]:
        """The appointment that is offered where the request can be planned: within the wish, failing that after it."""
        is_due = self._kind.noun is Noun.SERVICE_REQUESTS and work_type.has_appointment and status in READY
        if not is_due or appointments:
            return appointments, status
        window = await self._wished(core, demands)
        if window is None:
            earliest, _ = wish_of(core)
            window = await self._calendar.find(demands, earliest=earliest)
        if window is None:
            return appointments, status
        return (appointment_of(window),), WorkStatusKind.scheduled

    async def _wished(self, core: Structure, demands: Sequence[Demand]) -> Window | None:
        earliest, latest = wish_of(core)
        return await self._calendar.find(demands, earliest=earliest, latest=latest)

    def _is_other_wish(self, before: Structure, core: Structure) -> bool:
        """Whether the customer of a service request that can be planned now wishes for another time."""
        status = status_of(core)
        if self._kind.noun is not Noun.SERVICE_REQUESTS or status is None or is_begun(status) or is_ended(status):
            return False
        is_planned = type_of_request(core).has_appointment and status is not WorkStatusKind.waitingOnApproval
        return is_planned and wish_of(core) != wish_of(before)

    def _flaw(self, said: Said[BodyT], core: Structure, work_type: WorkType) -> Verdict[BodyT] | None:
        flaw = flaw_of_notice(core) if work_type is DIG_NOTICE else None
        return None if flaw is None else self._refused("BUS-156", said, *flaw)

    def _carried_out(
        self,
        said: Said[BodyT],
        old: WorkStatusKind | None,
        new: WorkStatusKind | None,
        work_type: WorkType,
        orders: Sequence[Stored[service_order.Work]],
    ) -> Verdict[BodyT] | None:
        """A refusal of progress that only a report upon the orders can bring."""
        progress = UNDER_WAY | _DONE
        if orders and (new in progress or old in progress):
            numbers = ", ".join(one.mrid for one in orders[:3])
            return self._refused(
                "BUS-155",
                said,
                f"{new} for a request that is carried out by {len(orders)} orders",
                f"change of ServiceOrders {numbers}: the request follows them",
            )
        if not orders and work_type.orders and new in progress and old not in progress:
            return self._refused(
                "BUS-155",
                said,
                f"{new} for a {work_type.name} request that has no orders yet",
                "approved first: its orders follow then, and a crew reports upon them",
            )
        return None

    async def _orders_of(self, stored: Stored[BodyT]) -> tuple[Stored[service_order.Work], ...]:
        core = self._kind.core(stored.body)
        return await orders_of(self._context.records, self._kind.noun, stored.mrid, core)

    async def _open_demands(self, orders: Sequence[Stored[service_order.Work]]) -> tuple[Demand, ...]:
        """The time of crews that orders need which are still to be done."""
        found = []
        for order in orders:
            job = await self._context.records.find(JOBS, order.mrid)
            if job is not None and status_of(order.body) in READY:
                found.append(demand_of(job.body, type_of_order(order.body)))
        return tuple(found)

    def _demands(self, core: Structure, work_type: WorkType) -> tuple[Demand, ...]:
        """The time of crews that a request will need, by the orders that follow from it."""
        mrid = MRID(getattr(core, "mrid", "") or "")
        return tuple(
            Demand(work=mrid, part=one.name, skills=one.skills, minutes=one.minutes)
            for one in work_type.orders or (OTHER_ORDER,)
        )


def _access_of(core: Structure) -> str | None:
    place = getattr(core, "work_location", None)
    method = getattr(place, "access_method", None)
    return method if isinstance(method, str) else None
