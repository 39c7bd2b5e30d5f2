"""A day in the life: a storm from the first call to the last call-back, over SOAP alone.

What comes in by hand is the clock, and the position of a switch, which in a real utility come from elsewhere.

Every figure of the standard is touched: trouble tickets (2), incident information (4), service requests (6), service
orders (8), work requests (9), customer agreements (10). At the end the books balance, the trail is whole, and every
notice that left is held against the world.
"""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from cimcare.cli import main
from cimcare.model import service_order, service_request, work_request
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAccount,
    CustomerAgreement,
    Organisation,
    ServiceLocation,
    ServiceSupplier,
    UsagePoint,
)
from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTimeScheduleKind
from cimcare.model.envelope import IDKind, ObjectID, ResponseMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.model.work import Crew
from cimcare.samples.northlake import CREWS, find_premises, name_of
from tests.drill.beliefs import believed, count
from tests.drill.desk import Desk, a_wish, open_desk, said, settings_of
from tests.drill.places import Northlake
from tests.drill.play import device_of, mrid_of, state_of
from tests.drill.scenario import instant
from tests.drill.wires import Wires
from tests.drill.world import World

PLACES = Northlake()
CALLERS_OF_THE_FEEDER = (
    101,
    107,
    112,
    118,
    121,
    127,
    132,
    138,
    141,
    147,
    152,
    158,
    161,
    167,
    172,
    178,
    181,
    187,
    192,
    198,
)


class Day:
    """The day: the hub, the world, and who speaks with the one about the other."""

    def __init__(self, desk: Desk, world: World) -> None:
        self.desk = desk
        self.world = world
        self.calls: list[str] = []
        self.untrue_words: list[tuple[datetime, frozenset[str]]] = []

    async def at(self, clock: str) -> datetime:
        """Let it become this time, minute by minute."""
        at = instant(clock)
        while self.desk.now < at:
            await self.desk.move(min(at, self.desk.now + timedelta(minutes=5)))
        return at

    async def call(self, place: int, wants: str = "powerRestored sms", **more: str) -> ResponseMessage:
        """Somebody calls."""
        trigger, way = wants.split()
        label = f"CC-{len(self.calls) + 1}"
        self.calls.append(label)
        reply = await self.desk.call_in(
            label,
            PLACES.location(str(place)),
            customer=PLACES.customer(str(place), ""),
            wants=a_wish(trigger, way, PLACES.contact(str(place), way)),
            **more,  # type: ignore[arg-type]
        )
        assert reply.reply.result is Result.OK, reply.reply.error
        return reply

    async def crew_says(
        self, incident: MRID, crew: str = "CREW-11", *, verb: Verb = Verb.CHANGE, **more: object
    ) -> None:
        """A crew says something of an incident."""
        reply = await self.desk.change_incident(
            said(incident, evidence="crew", by=crew, crew_name=crew, **more),  # type: ignore[arg-type]
            verb=verb,
        )
        assert reply.reply.result is Result.OK, reply.reply.error

    async def open_at(self, device: str) -> MRID:
        """The open incident of a device; there has to be one, and no other."""
        found = [one for one in await self.desk.incidents() if state_of(one) == "open" and device_of(one) == device]
        assert len(found) == 1, [(device_of(one), one.comment) for one in await self.desk.incidents()]
        return mrid_of(found[0])


async def move_in(day: Day) -> MRID:
    """Figure 10: a customer moves into premises that were vacant, and the market hears of it."""
    home = find_premises(19)
    agreement = CustomerAgreement(
        names=name_of("AG-DAY-1", "AgreementNumber"),
        customer=Customer(
            names=name_of("C-DAY-1", "CustomerNumber"),
            organisation=Organisation(names=name_of("Ada Kowal", "LegalName")),
        ),
        customer_account=CustomerAccount(names=name_of("AC-DAY-1", "AccountNumber")),
        service_locations=(ServiceLocation(mrid=home.mrid("location")),),
        service_supplier=ServiceSupplier(names=name_of("SUP-1", "SupplierNumber")),
        usage_points=(UsagePoint(mrid=home.mrid("usage_point")),),
        validity_interval=DateTimeInterval(start=day.desk.now),
    )
    reply = await day.desk.do(Verb.CREATE, Noun.CUSTOMER_AGREEMENTS, agreement, source="RETAILER")
    (made,) = await day.desk.get(Noun.CUSTOMER_AGREEMENTS, ObjectID(value=reply.reply.id[0].value))
    assert isinstance(made, CustomerAgreement)
    assert made.status is not None
    assert made.status.value == "active"
    return mrid_of(made)  # type: ignore[arg-type]


async def dig_notice(day: Day) -> None:
    """Figure 9: the road authority is going to dig, and hears what lies there."""
    home = find_premises(30)
    period = DateTimeInterval(start=day.desk.now + timedelta(days=1), end=day.desk.now + timedelta(days=2))
    work = work_request.Work(
        kind=WorkKind.other,
        names=(*name_of("WR-DAY-1", "WorkRequestNumber"), *name_of("dig notice", "WorkType")),
        time_schedules=(work_request.WorkTimeSchedule(kind=WorkTimeScheduleKind.request, schedule_interval=period),),
        work_location=work_request.WorkLocation(mrid=home.mrid("location")),
    )
    reply = await day.desk.do(Verb.CREATE, Noun.WORK_REQUESTS, work, source="ROADS")
    assert any(home.device in (error.details or "") for error in reply.reply.error), reply.reply.error
    await day.desk.do(
        Verb.CHANGE,
        Noun.WORK_REQUESTS,
        work_request.Work(mrid=MRID(reply.reply.id[0].value), status_kind=WorkStatusKind.approved),
        source="ROADS",
    )


async def repair(day: Day, place: int) -> None:
    """Figures 6 and 8: the customer system asks for a repair; the order that follows is done by a crew."""
    home = find_premises(place)
    reply = await day.desk.do(
        Verb.CREATE,
        Noun.SERVICE_REQUESTS,
        service_request.Work(
            kind=WorkKind.repair,
            request_date_time=day.desk.now,
            names=name_of("SR-DAY-1", "ServiceRequestNumber"),
            work_location=service_request.ServiceLocation(mrid=home.mrid("location")),
        ),
        source="CIS",
    )
    request = reply.reply.id[0].value
    (order,) = await day.desk.get(
        Noun.SERVICE_ORDERS, ObjectID(value=request, kind=IDKind.uuid, object_type="ServiceRequest")
    )
    assert isinstance(order, service_order.Work)
    sent = service_order.WorkTask(mrid=order.work_tasks[0].mrid, crews=(Crew(mrid=CREWS[1].mrid),))
    for status in (
        WorkStatusKind.dispatched,
        WorkStatusKind.enroute,
        WorkStatusKind.onSite,
        WorkStatusKind.inProgress,
        WorkStatusKind.completed,
    ):
        (now,) = await day.desk.get(Noun.SERVICE_ORDERS, ObjectID(value=order.mrid or "", kind=IDKind.uuid))
        assert isinstance(now, service_order.Work)
        if now.status_kind is status:
            continue  # the clock has sent a crew already
        tasks = (sent,) if status is WorkStatusKind.dispatched else ()
        await day.desk.do(
            Verb.CHANGE,
            Noun.SERVICE_ORDERS,
            service_order.Work(mrid=order.mrid, status_kind=status, work_tasks=tasks),
            source="CREWS",
        )
        await day.desk.move(day.desk.now + timedelta(minutes=10))
    (done,) = await day.desk.get(Noun.SERVICE_REQUESTS, ObjectID(value=request, kind=IDKind.uuid))
    assert isinstance(done, service_request.Work)
    assert done.status_kind is WorkStatusKind.completed


async def test_a_storm_day_from_the_first_call_to_the_last_call_back(tmp_path: Path) -> None:
    """What no test of a part shows: that the parts make a utility."""
    database = f"sqlite:///{tmp_path / 'hub.db'}"
    world = World(PLACES.network)
    async with open_desk(settings_of(database), instant("07:30")) as desk:
        day = Day(desk, world)
        await live(day)
        await check(day)
    await asyncio.to_thread(check_books, database)


async def live(day: Day) -> None:
    """The day itself."""
    # The morning is quiet.
    await move_in(day)
    await day.at("08:00")
    await dig_notice(day)

    # 09:00: the wind comes up. A tree falls on a lateral; its customers call.
    at = await day.at("09:00")
    day.world.fail("F-113", at=at)
    reply = await day.call(40, hazard="wire down")
    assert "No restoration time is known yet" in words_of(reply)
    for place in (46, 51, 56, 53, 44, 48):
        await day.call(place)
    lateral = await day.open_at("F-113")

    # 09:20: a whole feeder goes.
    at = await day.at("09:20")
    day.world.fail("CB-12", at=at)
    for place in CALLERS_OF_THE_FEEDER:
        await day.call(place, "initialEtr sms" if place % 2 else "powerRestored sms")
    await day.call(103, "powerRestored phone")  # somebody who depends on supply, to be called by people
    feeder = await day.open_at("CB-12")

    # Crews are sent; the first time is given, and has to be moved.
    await day.at("09:40")
    await day.crew_says(lateral, crew=WorkStatusKind.dispatched)
    await day.at("10:00")
    await day.crew_says(lateral, etr=instant("11:00"))
    reply = await day.call(58)
    assert "11:00" in words_of(reply)
    await day.at("10:30")
    await day.crew_says(lateral, etr=instant("12:00"))

    # 11:40: the lateral is back, but for a transformer that the tree has taken with it.
    at = await day.at("11:30")
    day.world.fail("TX-1110", at=at)
    at = await day.at("11:40")
    day.world.mend("F-113", at=at)
    day.untrue_words.append((at, day.world.dark()))
    await day.crew_says(lateral, verb=Verb.CLOSE, restored_at=at)
    await day.at("11:50")
    reply = await day.call(46)
    assert "still out" in words_of(reply).lower() or reply.reply.result is Result.OK
    await day.call(48)
    transformer = await day.open_at("TX-1110")

    # The feeder comes back in steps.
    at = await day.at("12:30")
    day.world.switch(opened=["SW-12"], at=at)
    day.world.mend("CB-12", at=at)
    await PLACES.operate(day.desk, "SW-12", is_open=True)
    back = [str(place) for place in range(100, 140)]
    await day.crew_says(feeder, "CREW-12", restored_at=at, restored=[PLACES.point(place) for place in back])
    at = await day.at("14:00")
    day.world.switch(closed=["SW-12"], at=at)
    await PLACES.operate(day.desk, "SW-12", is_open=False)
    await day.crew_says(feeder, "CREW-12", verb=Verb.CLOSE, restored_at=at)

    # Whom nobody has called yet is dark again, and calls: twice, for it is urgent.
    at = await day.at("14:05")
    day.world.fail("TX-1221", at=at)
    for _ in range(2):
        reply = await day.call(103, "powerRestored phone")
        assert "No restoration time is known yet" in words_of(reply)

    # Field work: what the tree has torn off at a house is repaired by order.
    await day.at("14:10")
    await repair(day, 46)
    at = await day.at("16:00")
    day.world.mend("TX-1110", at=at)
    await day.crew_says(transformer, verb=Verb.CLOSE, restored_at=at)
    day.world.mend("TX-1221", at=await day.at("17:30"))

    # The evening: those are called back whom no machine may tell. She has light, and says so.
    await day.at("18:00")
    assert await PLACES.call_backs(day.desk) == ["103"]
    await call_back(day)
    await day.at("18:30")
    assert await PLACES.call_backs(day.desk) == []


async def call_back(day: Day) -> None:
    """An agent looks who is still said to be out and wants to be called, calls, and enters what was said."""
    waiting = [
        (label, one)
        for label, one in (await day.desk.tickets()).items()
        if one.status and one.status.value == "open" and one.notification and one.notification.contact_type == "phone"
    ]
    assert [PLACES.point_of(one) for _, one in waiting] == [PLACES.point_name("103")] * 2
    label, ticket = waiting[0]
    assert PLACES.point_name("103") not in day.world.dark()
    answer = TroubleTicket(
        mrid=ticket.mrid, resolved_date_time=day.desk.now, status=Status(reason="callback", remark="Agent 7")
    )
    reply = await day.desk.do(Verb.CLOSE, Noun.TROUBLE_TICKETS, answer, source="CALL-CENTRE", user="Agent 7")
    assert reply.reply.result is Result.OK, label


async def check(day: Day) -> None:
    """No call lost, no notice untrue, nobody told twice, each minute counted once."""
    tickets, incidents = await day.desk.tickets(), await day.desk.incidents()
    assert sorted(tickets) == sorted(day.calls)
    assert {one.status.value for one in tickets.values() if one.status} == {"resolved"}
    assert [one for one in incidents if state_of(one) == "open"] == []
    assert day.world.dark() == frozenset()

    notices = PLACES.notices(day.desk)
    assert notices
    for notice in notices:
        if notice.trigger == "powerRestored":
            point = PLACES.point_name(notice.place)
            is_dark = point in day.world.dark(notice.at)
            was_misled = any(at <= notice.at and point in points for at, points in day.untrue_words)
            assert not is_dark or was_misled, notice
    again = [one for one, times in Counter((one.place, one.trigger, one.text) for one in notices).items() if times > 1]
    assert again == []

    wires, events = Wires(PLACES.network, instant("00:00")), await day.desk.events()
    out = believed(wires, PLACES, incidents, tickets, events, until=day.desk.now)[False]
    expected = count(out, {point.name: point.customers for point in PLACES.network.points})
    found = await PLACES.indices(day.desk, day.desk.now)
    assert (round(found.customer_minutes), found.interruptions, found.momentary) == expected


def check_books(database: str) -> None:
    """The ledger balances and the trail is whole, by the commands that an auditor uses."""
    for command, action in (("ledger", "check"), ("audit", "verify")):
        ran = CliRunner().invoke(main, [command, "--database", database, action])
        assert ran.exit_code == 0, (command, ran.output)


def words_of(reply: ResponseMessage) -> str:
    """What a caller hears."""
    return " ".join(f"{one.reason} {one.details}" for one in reply.reply.error)
