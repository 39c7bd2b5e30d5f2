"""A day at the desk: calls and who calls again, call-backs, work in every stage, a customer who pays in advance.

Nora calls from Chapel Lane and again, her neighbour too, and a crew is sent; gas is smelled where nobody is known. One
house of Juniper Close was restored, and those who could not be told for certain are on the list; one of them is still
out. Field work stands in each column of the board.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen
from uuid import uuid4

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model import service_order, service_request
from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTaskKind
from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result, User
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import Incident, IncidentOutage, Incidents
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.values import DateTimeInterval, Status, StreetDetail
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew, MeterReading, Reading, ReadingType, TownDetail
from cimcare.samples.northlake import CREWS, find_premises, name_of
from tests.support.console.shown import Shown
from tests.support.hub import HubProcess

__all__ = ["DISPATCHED", "ON_SITE", "PAGES", "REPORTED_HOME", "Desk", "seed"]

REPORTED_HOME = 62
"""Premises whose trouble is reported, and where a crew is sent."""

DISPATCHED, ON_SITE = "SO-DESK-1", "SO-DESK-2"
"""Orders to which a crew was sent, and at which one has arrived."""

_AGENT = "Nadia Berg"


class Desk:
    """What people at the desk and in the field say to a hub."""

    def __init__(self, hub: HubProcess) -> None:
        self._address = hub.address

    def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """What the REST interface answers."""
        headers = {"content-type": "application/json", "x-actor": _AGENT}
        request = Request(f"{self._address}/api/v1/{path}", json.dumps(body).encode(), headers)
        with urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def call(self, index: int, **said: object) -> dict[str, object]:
        """Somebody calls from one of the premises."""
        return self.post("calls", {"premises": find_premises(index).location, "trouble": "noPower", **said})

    def say(self, verb: Verb, noun: Noun, content: PayloadRoot, source: str = "CIS") -> ResponseMessage:
        """A system says something."""
        header = Header(
            verb=verb,
            noun=noun,
            revision="1",
            timestamp=datetime.now(UTC),
            source=source,
            user=User(user_id="planner"),
            message_id=MessageID(str(uuid4())),
        )
        raw = render_message(RequestMessage(header=header, payload=Payload(content=(content,))))
        with urlopen(Request(f"{self._address}/messages", raw, {"content-type": "application/xml"})) as answer:
            reply = parse_message(answer.read())
        assert isinstance(reply, ResponseMessage)
        assert reply.reply.result is not Result.FAILED, reply.reply.error
        return reply

    def ask_for(self, index: int, kind: str, mrid: str) -> None:
        """A customer asks for field work, of a kind of the catalogue."""
        premises = find_premises(index)
        place = service_request.ServiceLocation(
            mrid=premises.mrid("location"),
            access_method="ring twice, the dog is friendly",
            names=name_of(premises.location, "ServiceLocationNumber"),
        )
        customer = service_request.Customer(
            mrid=premises.mrid("customer"), names=name_of(premises.customer, "CustomerNumber")
        )
        work = service_request.Work(
            mrid=MRID(mrid),
            type=kind,
            kind=WorkKind.connect if kind == "connect" else WorkKind.service,
            request_date_time=datetime.now(UTC),
            names=name_of(mrid, "ServiceRequestNumber"),
            customers=(customer,) if premises.index % 20 != 19 else (),
            work_location=place,
        )
        self.say(Verb.CREATE, Noun.SERVICE_REQUESTS, service_request.ServiceRequests(work=(work,)))

    def order(self, index: int, kind: str, mrid: str, days: int, *names: Name) -> None:
        """A planner makes an order, with an appointment so many working days from now."""
        premises = find_premises(index)
        start = _morning(days)
        visit = Appointment(call_ahead=True, meeting_interval=DateTimeInterval(start=start, end=start.replace(hour=12)))
        place = service_order.ServiceLocation(
            mrid=premises.mrid("location"),
            access_method="key at the neighbour's",
            main_address=service_order.StreetAddress(
                street_detail=StreetDetail(
                    number=premises.house_number, name=premises.street, type=premises.street_type
                ),
                town_detail=TownDetail(name="Northlake", section=premises.section),
            ),
        )
        task = service_order.WorkTask(
            crew_eta=start,
            subject=kind,
            task_kind=WorkTaskKind.investigate,
            instruction=f"{kind} at {premises.address}",
            work_location=place,
        )
        work = service_order.Work(
            mrid=MRID(mrid),
            type=kind,
            request_date_time=datetime.now(UTC),
            names=(*name_of(mrid, "OrderNumber", "Northlake WMS"), *names),
            customers=(service_order.Customer(mrid=premises.mrid("customer")),),
            appointments=(visit,),
            work_tasks=(task,),
        )
        self.say(Verb.CREATE, Noun.SERVICE_ORDERS, service_order.ServiceOrders(work=(work,)), "WMS")

    def report(self, mrid: str, status: WorkStatusKind, task: service_order.WorkTask | None = None) -> None:
        """A crew says how far it is."""
        work = service_order.Work(mrid=MRID(mrid), status_kind=status, work_tasks=(task,) if task is not None else ())
        self.say(Verb.CHANGE, Noun.SERVICE_ORDERS, service_order.ServiceOrders(work=(work,)), "WMS")

    def send(self, mrid: str, crew: int) -> None:
        """A crew is sent."""
        task = service_order.WorkTask(crews=(Crew(mrid=CREWS[crew].mrid),))
        self.report(mrid, WorkStatusKind.dispatched, task)

    def restore(self, incident: str, who: str) -> None:
        """Supply is back."""
        now = datetime.now(UTC)
        body = Incident(
            mrid=MRID(incident),
            outage=IncidentOutage(actual_period=DateTimeInterval(end=now)),
            status=Status(reason=who.split(maxsplit=1)[0], remark=who),
        )
        self.say(Verb.CLOSE, Noun.INCIDENTS, Incidents(incident=(body,)), "control-room")

    def wait_for_call_backs(self, incident: str, count: int) -> None:
        """Until so many of an incident are on the list: whom to call is found out beside the messages."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with urlopen(f"{self._address}/api/v1/callbacks?incident={incident}") as answer:
                if len(json.load(answer)["items"]) >= count:
                    return
            time.sleep(0.2)
        raise AssertionError(f"{count} call-backs of {incident} did not come")


def _morning(days: int) -> datetime:
    """Eight o'clock so many working days from now."""
    day = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day


def seed(hub: HubProcess) -> None:
    """Let the day pass."""
    desk = Desk(hub)
    _restore_juniper_close(desk)
    incident = _report_chapel_lane(desk)
    _do_field_work(desk, incident)
    _sell(desk)


def _report_chapel_lane(desk: Desk) -> str:
    desk.call(REPORTED_HOME, comment="a bang, then all dark")
    desk.call(64)
    desk.call(78, comment="the ventilator runs on its battery")
    desk.call(188, trouble="partialPower")
    desk.post("calls", {"caller": "Station Road, by the bridge", "hazards": ["gas"], "comment": "smells of gas"})
    again = desk.call(REPORTED_HOME, comment="the freezer is thawing", multiplePremises=True)
    return str(again["incident"])


def _restore_juniper_close(desk: Desk) -> None:
    incident = ""
    for index in (141, 142, 143, 144):
        phone = find_premises(index).telephone
        wish = {"trigger": "powerRestored", "contactType": "phone", "contactValue": phone}
        incident = str(desk.call(index, notify=wish)["incident"])
    desk.restore(incident, "operator Ana Ruiz")
    desk.wait_for_call_backs(incident, 4)
    with urlopen(f"{desk._address}/api/v1/callbacks?incident={incident}") as answer:
        calls = [one["id"] for one in json.load(answer)["items"]]
    for call, answer in zip(calls, ("stillOut", "noAnswer", "restored"), strict=False):
        desk.post(f"callbacks/{call}/claim", {"agent": _AGENT})
        desk.post(f"callbacks/{call}/answer", {"agent": _AGENT, "answer": answer, "remark": "said so on the phone"})


def _do_field_work(desk: Desk, incident: str) -> None:
    for_it = Name(name=incident, name_type=NameType(name="Incident"))
    desk.order(REPORTED_HOME, "repair", "SO-DESK-0", 1, for_it)
    desk.send("SO-DESK-0", 1)
    desk.order(90, "special read", DISPATCHED, 1)
    desk.send(DISPATCHED, 2)
    desk.order(92, "service line", ON_SITE, 1)
    desk.send(ON_SITE, 0)
    desk.report(ON_SITE, WorkStatusKind.onSite)
    desk.order(94, "meter exchange", "SO-DESK-3", 2)
    desk.send("SO-DESK-3", 3)
    desk.report("SO-DESK-3", WorkStatusKind.onSite)
    task = service_order.WorkTask(old_asset=_meter(94, "M-OLD", "88213"), assets=(_meter(94, "M-NEW", "0"),))
    desk.report("SO-DESK-3", WorkStatusKind.completed, task)
    desk.order(96, "inspection", "SO-DESK-4", 1)
    desk.send("SO-DESK-4", 3)
    desk.report("SO-DESK-4", WorkStatusKind.onSite)
    nobody = service_order.WorkTask(work_location=service_order.ServiceLocation(site_access_problem="nobody at home"))
    desk.report("SO-DESK-4", WorkStatusKind.waitingToBeScheduled, nobody)
    for index, kind in ((66, "meter exchange"), (70, "inspection"), (79, "connect"), (84, "special read")):
        desk.ask_for(index, kind, f"SR-DESK-{index}")
    desk.say(
        Verb.CREATE,
        Noun.SERVICE_ORDERS,
        service_order.ServiceOrders(
            work=(
                service_order.Work(
                    mrid=MRID("SO-DESK-5"),
                    type="tree cutting",
                    names=name_of("SO-DESK-5", "OrderNumber", "Northlake WMS"),
                    status_kind=WorkStatusKind.waitingToBeScheduled,
                ),
            )
        ),
        "WMS",
    )


def _meter(index: int, mark: str, value: str) -> service_order.Asset:
    number = f"{mark}-{find_premises(index).serial_number}"
    reading = Reading(value=value, time_stamp=datetime.now(UTC), reading_type=ReadingType())
    return service_order.Asset(
        names=(Name(name=number, name_type=NameType(name="MeterNumber")),),
        meter_readings=(MeterReading(readings=(reading,)),),
    )


def _sell(desk: Desk) -> None:
    shift = {"number": "S-1", "pointOfSale": "Harbour kiosk", "cashier": "Ole", "currency": "USD", "cashFloat": 50}
    desk.post("sales/shifts", shift)
    for number, amount in (("R-1", 20), ("R-2", 35)):
        desk.post(
            "sales/receipts",
            {
                "number": number,
                "shift": "S-1",
                "account": find_premises(66).account,
                "tenders": [{"kind": "cash", "amount": amount}],
                "transactions": [{"kind": "accountPayment", "amount": amount}],
            },
        )


def find_reported(hub: HubProcess) -> str:
    """The ticket of the house that has called twice."""
    number = find_premises(REPORTED_HOME).location
    with urlopen(f"{hub.address}/api/v1/TroubleTickets?premises={number}") as answer:
        return f"/console/tickets/{json.load(answer)['items'][-1]['object']['mRID']}"


PAGES = {
    "tickets": Shown(path=f"/console/tickets?q={find_premises(REPORTED_HOME).account}", told="reported already"),
    "ticket": Shown(path=find_reported, told="the freezer is thawing"),
    "ticket-taken": Shown(path=lambda hub: f"{find_reported(hub)}?taken=known", told="is reported already"),
    "callbacks": Shown(path="/console/tickets/callbacks", told="To be called"),
    "work": Shown(path="/console/work", told="meter exchange"),
    "calendar": Shown(path="/console/work/calendar", told="CREW-21"),
    "work-order": Shown(path="/console/work/SO-DESK-3", told="as found"),
    "work-request": Shown(path="/console/work/SR-DESK-79", told="service line", is_pictured=False),
    "customers": Shown(path="/console/customers?q=chapel", told="Chapel Lane"),
    "customer": Shown(path=lambda _: f"/console/customers/{find_premises(66).account}", told="R-1"),
}
