"""Any messages in any order: states keep to their tables, a crew is at one place, no window is promised twice over."""

import asyncio
from collections import defaultdict
from datetime import time, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.exchange.ports import Event, Selection, ServingContext
from cimcare.model import service_order, service_request
from cimcare.model.enumerations import WorkKind, WorkStatusKind
from cimcare.model.envelope import Header, Result
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew
from cimcare.rules.lifecycle import UNDER_WAY, is_ended, work_transition
from cimcare.samples.northlake import CREWS as NORTHLAKE
from cimcare.systems.wms import TICKS
from cimcare.systems.wms.appointments import WINDOWS, does_fit, windows_in
from cimcare.systems.wms.catalog import type_of_order
from cimcare.systems.wms.crews import CREWS, duty_within, has_skills, save_crew, seed_crews
from cimcare.systems.wms.jobs import JOBS
from cimcare.systems.wms.kinds import SERVICE_ORDERS, SERVICE_REQUESTS
from cimcare.systems.wms.office import status_of
from tests.unit.systems.utility import MONDAY, Utility, items_of, mrid

SR, SO = Noun.SERVICE_REQUESTS, Noun.SERVICE_ORDERS
KINDS = (WorkKind.connect, WorkKind.inspection, WorkKind.disconnect, WorkKind.repair, WorkKind.other)
VERBS = (Verb.CANCEL, Verb.CLOSE, Verb.DELETE)

hours = st.integers(0, 7)
which = st.integers(0, 4)
sending = st.tuples(st.just("send"), which, st.integers(0, 3))
steps = st.one_of(
    sending,  # twice, and as many orders of one kind: that is where two want the same crew
    st.tuples(st.just("order"), st.just(WorkKind.repair), st.sampled_from((None, 0, 0, 0))),
    st.tuples(st.just("ask"), st.sampled_from(KINDS), st.one_of(st.none(), hours)),
    st.tuples(st.just("order"), st.sampled_from(KINDS), st.one_of(st.none(), hours)),
    st.tuples(st.just("move"), which, hours),
    st.tuples(st.just("move order"), which, hours),
    sending,
    st.tuples(st.just("report"), which, st.sampled_from(WorkStatusKind)),
    st.tuples(st.just("request"), which, st.sampled_from(WorkStatusKind)),
    st.tuples(st.just("end"), which, st.sampled_from(VERBS)),
    st.tuples(st.just("end order"), which, st.sampled_from(VERBS)),
    st.tuples(st.just("wait"), st.integers(1, 300), st.none()),
)


class Yard:
    """One work management, and what its events have said of each object so far."""

    def __init__(self) -> None:
        self.utility = Utility()
        self.made: dict[Noun, list[str]] = {SR: [], SO: []}
        self.said: dict[str, WorkStatusKind] = {}
        self.taken = 0

    async def play(self, course: list[tuple[str, object, object]]) -> None:
        records, now = self.utility.records, self.utility.now
        await seed_crews(records, now)
        for stored in await records.select(CREWS, Selection()):  # half days, which are soon full
            shift = msgspec.structs.replace(stored.body.shifts[0], start=time(10), end=time(15))
            await save_crew(records, msgspec.structs.replace(stored.body, shifts=(shift,)), now)
        for name, one, other in course:
            await self.step(name, one, other)
            await self.check()

    async def step(self, name: str, one: object, other: object) -> None:
        if name in ("ask", "order"):
            noun = SR if name == "ask" else SO
            assert one is None or isinstance(one, WorkKind)
            number = mrid(f"{name} {len(self.made[noun])}")
            visits = (visit(other),) if isinstance(other, int) else ()
            body = service_request.Work if noun is SR else service_order.Work
            self.made[noun].append(number)
            await self.say(Verb.CREATE, noun, body(mrid=number, kind=one, appointments=visits))
            return
        if name == "wait":
            assert isinstance(one, int)
            self.utility.now += timedelta(minutes=one)
            for each in TICKS:
                await self.run(each)
            return
        noun = SR if name in ("move", "request", "end") else SO
        number = self.pick(noun, one)
        if number is None:
            return
        await self.act(name, noun, number, other)

    async def act(self, name: str, noun: Noun, number: str, other: object) -> None:
        body: service_request.Work | service_order.Work
        body = service_request.Work(mrid=mrid(number)) if noun is SR else service_order.Work(mrid=mrid(number))
        if name in ("end", "end order"):
            assert isinstance(other, Verb)
            await self.say(other, noun, body)
        elif name in ("move", "move order"):
            assert isinstance(other, int)
            await self.say(Verb.CHANGE, noun, msgspec.structs.replace(body, appointments=(visit(other),)))
        elif name == "send":
            assert isinstance(other, int)
            task = service_order.WorkTask(mrid=mrid(f"t {number}"), crews=(Crew(mrid=NORTHLAKE[other].mrid),))
            sent = service_order.Work(mrid=mrid(number), status_kind=WorkStatusKind.dispatched, work_tasks=(task,))
            await self.say(Verb.CHANGE, noun, sent)
        elif name == "report":
            place = service_order.ServiceLocation(site_access_problem="a dog")
            task = service_order.WorkTask(mrid=mrid(f"t {number}"), work_location=place)
            await self.say(Verb.CHANGE, noun, msgspec.structs.replace(body, status_kind=other, work_tasks=(task,)))
        else:
            await self.say(Verb.CHANGE, noun, msgspec.structs.replace(body, status_kind=other))

    def pick(self, noun: Noun, index: object) -> str | None:
        assert isinstance(index, int)
        known = self.made[noun]
        return known[index % len(known)] if known else None

    async def say(self, verb: Verb, noun: Noun, body: service_request.Work | service_order.Work) -> None:
        served = await self.utility.ask(verb, noun, body)
        assert served.result in (Result.OK, Result.FAILED)
        assert (served.result is Result.FAILED) == bool(served.findings)
        if served.result is Result.FAILED:
            assert served.events == ()
        self.taken += served.result is Result.OK
        self.hear(served.events)

    async def run(self, each: object) -> None:
        header = Header(verb=Verb.CHANGED, noun="", source="WMS", comment="late")
        context = ServingContext(
            records=self.utility.records, now=self.utility.now, new_id=self.utility._mint, header=header
        )
        self.hear((await each(context)).events)  # type: ignore[operator]

    def hear(self, events: tuple[Event, ...]) -> None:
        """Each event in turn: the state that it tells may follow the one that was told before."""
        for event in events:
            if event.removes:
                continue
            for item in items_of(event.payload):
                number = str(item.mrid)  # type: ignore[attr-defined]
                if event.verb is Verb.DELETED:
                    self.said.pop(number, None)
                    continue
                if number not in self.made[event.noun]:
                    self.made[event.noun].append(number)
                status = status_of(item)
                if status is not None:
                    assert work_transition(self.said.get(number), status) is None
                    self.said[number] = status

    async def check(self) -> None:
        records = self.utility.records
        crews = {one.mrid: one.body for one in await records.select(CREWS, Selection())}
        orders = {one.mrid: one for one in await records.select(SERVICE_ORDERS.collection, Selection())}
        jobs = {one.mrid: one.body for one in await records.select(JOBS, Selection())}
        # What was told is what is kept.
        kept = {one.mrid: one.state for one in await records.select(SERVICE_REQUESTS.collection, Selection())}
        kept |= {number: one.state for number, one in orders.items()}
        assert kept == {number: status.value for number, status in self.said.items()}
        # A crew has one order at a time, which is under way; and what is under way has the crews that say so.
        at_work: dict[str, list[str]] = defaultdict(list)
        for number, order in orders.items():
            if status_of(order.body) in UNDER_WAY:
                for crew in jobs[number].crews:
                    at_work[crew].append(number)
                    assert has_skills(crews[crew], type_of_order(order.body).skills)
            else:
                assert jobs[number].crews == ()
        assert {crew: [body.order] for crew, body in crews.items() if body.order is not None} == at_work
        # No crew is promised for more than it can do, and nothing is held for what has ended.
        held = set()
        for window in await records.select(WINDOWS, Selection()):
            by_crew = defaultdict(list)
            for made in window.body.visits:
                held.add(made.work)
                by_crew[made.crew].append(made)
            for crew, visits in by_crew.items():
                duty = duty_within(crews[crew], window.body.start, window.body.end)
                assert duty is not None
                assert does_fit(visits, duty)
                assert sum(one.minutes for one in visits) * 60 <= (duty[1] - duty[0]).total_seconds()
        for order_job in jobs.values():  # what an order counts on is put down
            assert order_job.held is None or not windows_in(*order_job.held) or order_job.slot in held
        assert all(number in kept and not is_ended(WorkStatusKind(kept[number])) for number in held)


def visit(hour: int) -> Appointment:
    """One of eight mornings and afternoons, from the next day on."""
    day = MONDAY + timedelta(days=1 + hour // 2)
    start, end = windows_in(day.replace(hour=0), day.replace(hour=23))[hour % 2]
    return Appointment(meeting_interval=DateTimeInterval(start=start, end=end))


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=40))
def test_no_course_of_messages_leaves_the_tables(course: list[tuple[str, object, object]]) -> None:
    """Whatever partners, planners, crews and the clock do, in whatever order."""
    asyncio.run(Yard().play(course))


def test_the_courses_reach_what_they_are_about() -> None:
    """A course that does what a good day does is taken: the property above is not about refusals alone."""
    yard = Yard()
    done: list[tuple[str, object, object]] = [
        ("ask", WorkKind.inspection, 0),
        ("ask", WorkKind.connect, None),
        ("send", 0, 2),
        ("report", 0, WorkStatusKind.onSite),
        ("report", 0, WorkStatusKind.completed),
        ("end", 0, Verb.CLOSE),
        ("move", 1, 4),
        ("wait", 300, None),
        ("order", WorkKind.repair, None),
        ("wait", 10, None),
    ]
    asyncio.run(yard.play(done))
    assert yard.taken == 8
    assert sorted(yard.said.values()) == ["closed", "closed", "dispatched", "scheduled", "scheduled", "scheduled"]
