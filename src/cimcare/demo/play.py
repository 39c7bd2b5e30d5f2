"""The exchanges themselves: six figures of IEC 61968-8, one function each.

The standard's figures name the parties; which verbs go to and fro is our reading. The town is Northlake, which the
built-in customer system knows from its first start.
"""

from datetime import timedelta

import msgspec

from cimcare.client import Peer
from cimcare.codec.soap import SoapVersion
from cimcare.demo.stage import Stage
from cimcare.demo.steps import Demo
from cimcare.model import customer_agreement as agreement
from cimcare.model import incident as outage
from cimcare.model import service_order, service_request, trouble_ticket, work_request
from cimcare.model.enumerations import (
    NotificationTriggerKind,
    ServiceKind,
    SupplierKind,
    TroubleReportingKind,
    WorkKind,
    WorkStatusKind,
)
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.queries import GetIncidents, TroubleTicketFilter
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.model.work import Crew as SentCrew
from cimcare.samples.build import build_payload
from cimcare.samples.northlake import CREWS, Crew, Premises, find_premises, name_of

__all__ = ["play_demo"]


async def play_demo(address: str) -> Demo:
    """Play all six exchanges against the hub at `address`.

    Raises:
        NoAnswerError: The hub cannot be reached, or answers with something that is no message.
    """
    async with Peer(address) as peer:
        stage = Stage(peer)
        tickets: list[str] = []
        with stage.exchange(2, "Trouble ticket, CIS and OMS", Noun.TROUBLE_TICKETS):
            tickets.extend(await _play_trouble_tickets(stage))
        with stage.exchange(4, "Incident information, OMS and CIS", Noun.INCIDENTS):
            await _play_incidents(stage, tuple(tickets))
        with stage.exchange(6, "Service request, CIS and WMS", Noun.SERVICE_REQUESTS):
            await _play_service_requests(stage)
        with stage.exchange(8, "Service order, CIS and WMS", Noun.SERVICE_ORDERS):
            await _play_service_orders(stage)
        with stage.exchange(9, "Work request, CIS and WMS", Noun.WORK_REQUESTS):
            await _play_work_requests(stage)
        with stage.exchange(10, "Customer agreement, third party and CIS", Noun.CUSTOMER_AGREEMENTS):
            await _play_agreements(stage)
        return Demo(address=address, exchanges=stage.exchanges)


def _ticket(stage: Stage, premises: Premises, code: str, **members: object) -> trouble_ticket.TroubleTickets:
    """A ticket as an agent enters it while the caller is on the line; the OMS gives it its identity."""
    ticket = trouble_ticket.TroubleTicket(
        date_time_of_report=stage.now(),
        reporting_kind=TroubleReportingKind.call,
        trouble_code=code,
        customer=trouble_ticket.TroubleTicketCustomer(
            mrid=premises.mrid("customer"), names=name_of(premises.customer, "CustomerNumber")
        ),
        service_location=trouble_ticket.ServiceLocationIdentity(
            mrid=premises.mrid("location"), names=name_of(premises.location, "ServiceLocationNumber")
        ),
    )
    return trouble_ticket.TroubleTickets(trouble_ticket=(msgspec.structs.replace(ticket, **members),))


async def _play_trouble_tickets(stage: Stage) -> tuple[str, ...]:
    noun = Noun.TROUBLE_TICKETS
    home, elsewhere = find_premises(3), find_premises(58)
    first = await stage.say(
        "CIS", "OMS", Verb.CREATE, noun, f"{home.address}: no light", payload=_ticket(stage, home, "NO_SUPPLY")
    )
    hazard = outage.IncidentHazard(type="wireDown", description="line lies across the pavement")
    second = await stage.say(
        "CIS",
        "OMS",
        Verb.CREATE,
        noun,
        f"{home.address}: same house calls again, a wire is down",
        payload=_ticket(stage, home, "NO_SUPPLY", hazards=(hazard,)),
        version=SoapVersion.V12,
    )
    wish = trouble_ticket.CustomerNotification(
        contact_type="phone", contact_value=home.telephone, trigger=NotificationTriggerKind.powerRestored
    )
    change = trouble_ticket.TroubleTicket(mrid=MRID(first[0]), notification=wish)
    await stage.say(
        "CIS",
        "OMS",
        Verb.CHANGE,
        noun,
        "caller wants to hear when the power is back",
        payload=trouble_ticket.TroubleTickets(trouble_ticket=(change,)),
    )
    wrong = await stage.say(
        "CIS",
        "OMS",
        Verb.CREATE,
        noun,
        f"{elsewhere.address}: no light",
        payload=_ticket(stage, elsewhere, "NO_SUPPLY"),
        service="ExecuteTroubleTickets",
    )
    await stage.say("CIS", "OMS", Verb.CANCEL, noun, "it was the caller's own fuse", ids=wrong)
    nobody = trouble_ticket.TroubleTicket(date_time_of_report=stage.now(), trouble_code="NO_SUPPLY")
    await stage.say(
        "CIS",
        "OMS",
        Verb.CREATE,
        noun,
        "a ticket that says neither who nor where",
        payload=trouble_ticket.TroubleTickets(trouble_ticket=(nobody,)),
        expected="FAILED 5.8",
    )
    await stage.say("CIS", "OMS", Verb.GET, noun, "agent looks the tickets up", ids=first + second)
    return first + second


async def _play_incidents(stage: Stage, tickets: tuple[str, ...]) -> None:
    noun = Noun.INCIDENTS
    asked = tuple(TroubleTicketFilter(mrid=MRID(ticket)) for ticket in tickets[:1])
    await stage.say(
        "CIS",
        "OMS",
        Verb.GET,
        noun,
        "agent asks what is known about the caller's outage",
        query=GetIncidents(trouble_ticket=asked),
    )
    feeder, start = stage.new_id(), stage.now()

    def told(**members: object) -> outage.Incidents:
        return outage.Incidents(incident=(msgspec.structs.replace(outage.Incident(mrid=feeder), **members),))

    out = outage.IncidentOutage(
        is_planned=False,
        actual_period=DateTimeInterval(start=start),
        summary=outage.ServicePointOutageSummary(total_count=100, critical_count=4),
    )
    await stage.say(
        "OMS",
        "CIS",
        Verb.CREATED,
        noun,
        "telemetry shows feeder NL-11 dead",
        payload=told(
            cause="breaker trip",
            names=name_of(f"INC-{start:%Y%m%d}-{stage.mark}", "IncidentNumber", "Northlake OMS"),
            outage=out,
            status=Status(date_time=start, value="open"),
        ),
    )
    estimate = DateTimeInterval(start=start, end=start + timedelta(hours=3))
    await stage.say(
        "OMS",
        "CIS",
        Verb.CHANGED,
        noun,
        "first estimate of restoration",
        payload=told(last_modified_date_time=stage.now(), outage=outage.IncidentOutage(estimated_period=estimate)),
        version=SoapVersion.V12,
    )
    await stage.say(
        "OMS",
        "CIS",
        Verb.CLOSED,
        noun,
        "breaker closed, meters answer",
        payload=told(
            outage=outage.IncidentOutage(actual_period=DateTimeInterval(start=start, end=stage.now())),
            status=Status(date_time=stage.now(), value="closed"),
        ),
        service="ReceiveIncidents",
    )
    await stage.say(
        "CIS", "OMS", Verb.CLOSE, Noun.TROUBLE_TICKETS, "callers confirm that the light is back", ids=tickets
    )


def _seed(stage: Stage, number: int) -> int:
    """A seed that is another one at every run, so that a database may be used again."""
    return stage.mark * 10 + number


async def _play_service_requests(stage: Stage) -> None:
    noun = Noun.SERVICE_REQUESTS

    def wish(number: int, kind: WorkKind) -> service_request.ServiceRequests:
        sample = build_payload(noun, seed=_seed(stage, number), now=stage.now())
        assert isinstance(sample, service_request.ServiceRequests)
        work = msgspec.structs.replace(
            sample.work[0], mrid=stage.new_id(), kind=kind, status_kind=None, appointments=(), time_schedules=()
        )
        return service_request.ServiceRequests(work=(work,))

    made = await stage.say(
        "CIS", "WMS", Verb.CREATE, noun, "new customer asks for supply", payload=wish(1, WorkKind.connect)
    )
    day = stage.now().replace(hour=13, minute=0, second=0, microsecond=0) + timedelta(days=7)
    day += timedelta(days=(7 - day.weekday()) % 7)  # a Monday
    afternoon = Appointment(call_ahead=True, meeting_interval=DateTimeInterval(start=day, end=day + timedelta(hours=4)))
    moved = service_request.Work(mrid=MRID(made[0]), appointments=(afternoon,))
    await stage.say(
        "CIS",
        "WMS",
        Verb.CHANGE,
        noun,
        "customer is at home on Monday afternoon only",
        payload=service_request.ServiceRequests(work=(moved,)),
        version=SoapVersion.V12,
    )
    second = await stage.say(
        "CIS", "WMS", Verb.CREATE, noun, "another customer asks for an inspection", payload=wish(2, WorkKind.inspection)
    )
    await stage.say("CIS", "WMS", Verb.CANCEL, noun, "which the customer withdraws", ids=second)
    orders = await stage.say(
        "WMS",
        "WMS",
        Verb.GET,
        Noun.SERVICE_ORDERS,
        "which jobs came of it?",
        ids=made,
        object_type="ServiceRequest",
    )
    for number, (order, crew) in enumerate(zip(orders, (CREWS[0], CREWS[2]), strict=True)):
        await _send_crew(stage, order, crew)
        if number == 0:
            late = "too late: the work has begun"
            await stage.say("CIS", "WMS", Verb.CANCEL, noun, late, ids=made, expected="FAILED 6.1")
        await _report(stage, order, WorkStatusKind.completed, "the crew reports that it is done")
    await stage.say("WMS", "WMS", Verb.CLOSE, noun, "papers filed", ids=made)
    await stage.say("CIS", "WMS", Verb.GET, noun, "agent looks it up", ids=made, service="GetServiceRequests")


async def _send_crew(stage: Stage, order: str, crew: Crew) -> None:
    named = SentCrew(mrid=crew.mrid, names=name_of(crew.name, "CrewName", "Northlake WMS"))
    sent = service_order.Work(
        mrid=MRID(order),
        status_kind=WorkStatusKind.dispatched,
        work_tasks=(service_order.WorkTask(crews=(named,)),),
    )
    root = service_order.ServiceOrders(work=(sent,))
    await stage.say("WMS", "WMS", Verb.CHANGE, Noun.SERVICE_ORDERS, f"{crew.name} is sent", payload=root)
    await _report(stage, order, WorkStatusKind.onSite, "it has arrived")


async def _report(stage: Stage, order: str, status: WorkStatusKind, why: str) -> None:
    root = service_order.ServiceOrders(work=(service_order.Work(mrid=MRID(order), status_kind=status),))
    await stage.say("WMS", "WMS", Verb.CHANGE, Noun.SERVICE_ORDERS, why, payload=root)


async def _play_service_orders(stage: Stage) -> None:
    noun = Noun.SERVICE_ORDERS
    sample = build_payload(noun, seed=_seed(stage, 3), now=stage.now())
    assert isinstance(sample, service_order.ServiceOrders)
    order = msgspec.structs.replace(sample.work[0], mrid=stage.new_id(), status_kind=None)
    made = await stage.say(
        "CIS",
        "WMS",
        Verb.CREATE,
        noun,
        "meter is to be exchanged",
        payload=service_order.ServiceOrders(work=(order,)),
        service="ExecuteServiceOrders",
    )
    change = service_order.Work(mrid=MRID(made[0]), status_kind=WorkStatusKind.scheduled)
    await stage.say(
        "WMS",
        "WMS",
        Verb.CHANGE,
        noun,
        "planner sets the day",
        payload=service_order.ServiceOrders(work=(change,)),
        service="ExecuteServiceOrders",
        version=SoapVersion.V12,
    )
    await stage.say("CIS", "WMS", Verb.GET, noun, "how far is it?", ids=made, service="GetServiceOrders")
    await stage.say("CIS", "WMS", Verb.CANCEL, noun, "the meter was read, no need any more", ids=made)


async def _play_work_requests(stage: Stage) -> None:
    noun = Noun.WORK_REQUESTS
    sample = build_payload(noun, seed=_seed(stage, 4), now=stage.now())
    assert isinstance(sample, work_request.WorkRequests)
    work = msgspec.structs.replace(sample.work[0], mrid=stage.new_id(), status_kind=None)
    made = await stage.say(
        "CIS",
        "WMS",
        Verb.CREATE,
        noun,
        "builder asks for a new supply",
        payload=work_request.WorkRequests(work=(work,)),
        version=SoapVersion.V12,
    )
    for status, why in (
        (WorkStatusKind.approved, "planner approves"),
        (WorkStatusKind.completed, "line crew reports the end"),
    ):
        change = work_request.Work(mrid=MRID(made[0]), status_kind=status)
        await stage.say("WMS", "WMS", Verb.CHANGE, noun, why, payload=work_request.WorkRequests(work=(change,)))
    await stage.say("WMS", "WMS", Verb.CLOSE, noun, "work accepted", ids=made)
    await stage.say("CIS", "WMS", Verb.GET, noun, "for the file", ids=made)


async def _play_agreements(stage: Stage) -> None:
    noun = Noun.CUSTOMER_AGREEMENTS
    home, start = find_premises(39), stage.now()  # vacant, so somebody can move in
    names = name_of(f"AG-{start:%Y%m%d}-{stage.mark}", "AgreementNumber", "Bluefield Energy")

    def said(**members: object) -> agreement.CustomerAgreements:
        return agreement.CustomerAgreements(
            customer_agreement=(msgspec.structs.replace(agreement.CustomerAgreement(), **members),)
        )

    def supplier(name: str) -> agreement.ServiceSupplier:
        return agreement.ServiceSupplier(kind=SupplierKind.retailer, names=name_of(name, "SupplierName"))

    made = await stage.say(
        "THIRD-PARTY",
        "CIS",
        Verb.CREATE,
        noun,
        f"retailer brings a customer who moves in at {home.address}",
        payload=said(
            names=names,
            sign_date=start.date(),
            validity_interval=DateTimeInterval(start=start),
            customer=agreement.Customer(names=name_of(f"C-{stage.mark}", "CustomerNumber")),
            customer_account=agreement.CustomerAccount(names=name_of(f"AC-{stage.mark}", "AccountNumber")),
            service_category=agreement.ServiceCategory(kind=ServiceKind.electricity),
            service_supplier=supplier("Bluefield Energy"),
            service_locations=(
                agreement.ServiceLocation(
                    mrid=home.mrid("location"), names=name_of(home.location, "ServiceLocationNumber")
                ),
            ),
        ),
    )
    switched = await stage.say(
        "THIRD-PARTY",
        "CIS",
        Verb.CHANGE,
        noun,
        "customer switches to another supplier",
        payload=said(mrid=MRID(made[0]), service_supplier=supplier("Harbour Power")),
        service="ExecuteCustomerAgreements",
    )
    current = switched[1:]  # the agreement with the new supplier, behind the one that it follows
    await stage.say("THIRD-PARTY", "CIS", Verb.GET, noun, "periodic check of the record", ids=current)
    await stage.say("THIRD-PARTY", "CIS", Verb.CLOSE, noun, "customer moves out", ids=current, version=SoapVersion.V12)
    await stage.say(
        "CIS",
        "THIRD-PARTY",
        Verb.CLOSED,
        noun,
        "subscribers are told",
        payload=said(mrid=MRID(current[0]), validity_interval=DateTimeInterval(start=start, end=stage.now())),
        service="SendCustomerAgreements",
    )
