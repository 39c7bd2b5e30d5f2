"""Identity, values and business rules of the objects in a payload: a good and a bad case for each rule."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given

from cimcare.errors import ERRORS, Finding, Level
from cimcare.model import service_order, service_request, work_request
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAccount,
    CustomerAgreement,
    CustomerAgreements,
    PricingStructure,
    ServiceSupplier,
    Tariff,
)
from cimcare.model.enumerations import NotificationTriggerKind, WorkKind
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    Header,
    ObjectID,
    Payload,
    ReplayDetection,
    Request,
    RequestMessage,
)
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import (
    Incident,
    IncidentCustomerNotification,
    IncidentHazard,
    IncidentOutage,
    Incidents,
    UsagePointIdentity,
)
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import DateTimeInterval, Status, StreetAddress
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.model.work import Appointment, WorkTimeSchedule
from cimcare.rules import MAX_FINDINGS, check_rules
from tests.support.strategies import messages

NOON = datetime(2031, 2, 11, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAIVE = NOON.replace(tzinfo=None)
BACKWARDS = DateTimeInterval(start=NOON, end=NOON - HOUR)
TICKET = TroubleTicket(
    mrid=MRID("T-1"), date_time_of_report=NOON, service_location=ServiceLocationIdentity(mrid=MRID("SL-1"))
)
REQUEST = service_request.Work(
    mrid=MRID("W-1"),
    kind=WorkKind.connect,
    request_date_time=NOON,
    customers=(service_request.Customer(mrid=MRID("C-1")),),
)
AGREEMENT = CustomerAgreement(
    mrid=MRID("A-1"),
    customer=Customer(mrid=MRID("C-1")),
    customer_account=CustomerAccount(mrid=MRID("AC-1")),
    service_supplier=ServiceSupplier(mrid=MRID("S-1")),
)


def a_message(root: PayloadRoot, verb: Verb) -> AnyMessage:
    header = Header(verb=verb, noun=root.XML_TYPE)
    payload = Payload(content=(root,))
    if verb in EVENT_VERBS:
        return EventMessage(header=header, payload=payload)
    return RequestMessage(header=header, payload=payload)


def check(*items: msgspec.Struct, verb: Verb = Verb.CREATE) -> tuple[Finding, ...]:
    """Findings on one payload with these objects."""
    roots = {
        TroubleTicket: (TroubleTickets, "trouble_ticket"),
        Incident: (Incidents, "incident"),
        service_request.Work: (service_request.ServiceRequests, "work"),
        service_order.Work: (service_order.ServiceOrders, "work"),
        work_request.Work: (work_request.WorkRequests, "work"),
        CustomerAgreement: (CustomerAgreements, "customer_agreement"),
    }
    root, field = roots[type(items[0])]
    return check_rules(a_message(root(**{field: items}), verb))


def only(found: tuple[Finding, ...]) -> Finding:
    (finding,) = found
    return finding


def with_parts(item: msgspec.Struct, **parts: object) -> msgspec.Struct:
    return msgspec.structs.replace(item, **parts)


# ------------------------------------------------------------------------------------------------ identity

NAMELESS = [
    TroubleTicket(comment="x"),
    Incident(cause="x"),
    service_request.Work(comment="x"),
    service_order.Work(type="x"),
    work_request.Work(kind=WorkKind.repair),
    CustomerAgreement(comment="x"),
]


@pytest.mark.parametrize("verb", [Verb.CHANGE, *sorted(EVENT_VERBS - {Verb.EXECUTED}), Verb.DELETE])
@pytest.mark.parametrize("item", NAMELESS, ids=lambda item: type(item).__module__.rsplit(".", 1)[1])
def test_whatever_speaks_of_an_object_says_which(item: msgspec.Struct, verb: Verb) -> None:
    """A change of nobody would be lost, or worse, done to somebody."""
    assert "REF-101" in {each.code for each in check(item, verb=verb)}
    assert "REF-101" not in {each.code for each in check(with_parts(item, mrid=MRID("X-1")), verb=verb)}
    assert "REF-101" not in {each.code for each in check(with_parts(item, names=(Name(name="X-1"),)), verb=verb)}


@pytest.mark.parametrize("item", NAMELESS, ids=lambda item: type(item).__module__.rsplit(".", 1)[1])
def test_a_create_may_leave_identity_to_the_master(item: msgspec.Struct) -> None:
    """A call centre without numbers of its own gets them in Reply/ID."""
    assert "REF-101" not in {each.code for each in check(item)}


def test_two_objects_of_one_payload_are_two() -> None:
    """Which of the two would be meant, nobody could say."""
    other = with_parts(TICKET, mrid=MRID("T-2"))

    assert check(TICKET, other) == ()
    finding = only(check(TICKET, other, TICKET))
    assert (finding.code, finding.path) == ("REF-102", "/RequestMessage/Payload/TroubleTickets/TroubleTicket[3]")
    assert "TroubleTicket[1]" in finding.found


def test_twins_are_found_deep_inside_too() -> None:
    """The same usage point twice would be counted twice."""
    points = (UsagePointIdentity(mrid=MRID("UP-1")), UsagePointIdentity(mrid=MRID("UP-1")))

    finding = only(check(Incident(mrid=MRID("I-1"), outage=IncidentOutage(usage_points=points)), verb=Verb.CREATED))

    assert (finding.code, finding.object_id) == ("REF-102", "I-1")
    assert finding.path == "/EventMessage/Payload/Incidents/Incident/Outage/UsagePoints[2]"


def test_one_place_may_stand_in_several_objects() -> None:
    """Ten tickets of one house name one house."""
    assert check(TICKET, with_parts(TICKET, mrid=MRID("T-2"))) == ()


def test_several_names_need_types() -> None:
    """Two bare numbers cannot be told apart; it is a warning, for the mRID may do."""
    typed = Name(name="17", name_type=NameType(name="Badge"))
    bare = Name(name="18")

    assert check(with_parts(TICKET, names=(typed, typed, bare))) == ()
    finding = only(check(with_parts(TICKET, names=(bare, typed, bare))))
    assert (finding.code, finding.level) == ("REF-108", Level.WARNING)
    assert finding.path == "/RequestMessage/Payload/TroubleTickets/TroubleTicket/Names[3]"


def test_an_identifier_has_text() -> None:
    """An empty identifier would match every other empty one."""
    no_id = RequestMessage(
        header=Header(verb=Verb.CANCEL, noun=Noun.INCIDENTS), request=Request(id=(ObjectID(value=" "),))
    )
    no_message_id = RequestMessage(
        header=Header(verb=Verb.GET, noun=Noun.INCIDENTS, message_id=MessageID("")), request=Request()
    )

    for found, path in (
        (check_rules(no_id), "/RequestMessage/Request/ID"),
        (check_rules(no_message_id), "/RequestMessage/Header/MessageID"),
        (
            check(with_parts(TICKET, names=(Name(name="\t"),))),
            "/RequestMessage/Payload/TroubleTickets/TroubleTicket/Names/name",
        ),
        (check(with_parts(TICKET, mrid=MRID(""))), "/RequestMessage/Payload/TroubleTickets/TroubleTicket/mRID"),
    ):
        finding = only(found)
        assert (finding.code, finding.path) == ("REF-109", path)


def test_a_blank_name_is_no_identity() -> None:
    """Blank is not a number."""
    codes = {each.code for each in check(TroubleTicket(mrid=MRID(" "), names=(Name(name=""),)), verb=Verb.CHANGE)}

    assert codes == {"REF-101", "REF-109"}


# ------------------------------------------------------------------------------------------------ instants


def test_every_instant_has_a_zone_wherever_it_stands() -> None:
    """A restoration time without zone is an hour wrong twice a year."""
    header = Header(
        verb=Verb.CREATE,
        noun=Noun.TROUBLE_TICKETS,
        timestamp=NAIVE,
        replay_detection=ReplayDetection(nonce="n", created=NAIVE),
    )
    ticket = with_parts(TICKET, hazards=(IncidentHazard(), IncidentHazard(status=Status(date_time=NAIVE))))
    message = RequestMessage(
        header=header,
        request=Request(start_time=NAIVE),
        payload=Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),)),
    )

    found = check_rules(message)

    assert {each.code for each in found} == {"CNV-108"}
    assert {each.path for each in found} == {
        "/RequestMessage/Header/Timestamp",
        "/RequestMessage/Header/ReplayDetection/Created",
        "/RequestMessage/Request/StartTime",
        "/RequestMessage/Payload/TroubleTickets/TroubleTicket/Hazards[2]/status/dateTime",
    }
    assert found[0].accepted == "Z or an offset at the end, such as 2031-02-11T12:00:00Z"


def test_a_bare_instant_beside_one_with_zone_is_one_finding() -> None:
    """They cannot be compared; that must not end in an error of our own."""
    finding = only(check(with_parts(TICKET, resolved_date_time=NAIVE)))

    assert finding.code == "CNV-108"


def test_a_request_asks_for_a_period_that_exists() -> None:
    """Start after end would select nothing, silently."""

    def asks(start: datetime, end: datetime) -> list[tuple[str, str]]:
        header = Header(verb=Verb.GET, noun=Noun.INCIDENTS)
        found = check_rules(RequestMessage(header=header, request=Request(start_time=start, end_time=end)))
        return [(each.code, each.path) for each in found]

    assert asks(NOON, NOON + HOUR) == asks(NOON, NOON) == []
    assert asks(NOON, NOON - HOUR) == [("CNV-112", "/RequestMessage/Request/EndTime")]


PERIODS = [
    (Incident(mrid=MRID("I"), outage=IncidentOutage(estimated_period=BACKWARDS)), "Outage/estimatedPeriod/end"),
    (Incident(mrid=MRID("I"), outage=IncidentOutage(actual_period=BACKWARDS)), "Outage/actualPeriod/end"),
    (with_parts(AGREEMENT, validity_interval=BACKWARDS), "validityInterval/end"),
    (with_parts(REQUEST, appointments=(Appointment(meeting_interval=BACKWARDS),)), "Appointments/meetingInterval/end"),
    (
        service_order.Work(
            mrid=MRID("W"),
            time_schedules=(WorkTimeSchedule(), WorkTimeSchedule(schedule_interval=BACKWARDS)),
        ),
        "TimeSchedules[2]/scheduleInterval/end",
    ),
    (
        with_parts(
            AGREEMENT,
            pricing_structures=(
                PricingStructure(tariffs=(Tariff(start_date=date(2031, 2, 1), end_date=date(2031, 1, 1)),)),
            ),
        ),
        "PricingStructures/Tariffs/endDate",
    ),
    (
        with_parts(
            TICKET,
            notification=CustomerNotification(earliest_date_time_to_call=NOON, latest_date_time_to_call=NOON - HOUR),
        ),
        "Notification/latestDateTimeToCall",
    ),
]


@pytest.mark.parametrize(("item", "path"), PERIODS)
@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.CHANGE, Verb.CHANGED])
def test_no_period_ends_before_it_starts(item: msgspec.Struct, path: str, verb: Verb) -> None:
    """A crew sent for a window that ends before it starts never goes."""
    finding = only(check(item, verb=verb))

    assert finding.code == "BUS-104"
    assert finding.path.endswith("/" + path)


def test_a_period_may_be_open_or_a_moment() -> None:
    """An outage without end is one that goes on; a flicker has no length."""
    for interval in (
        DateTimeInterval(start=NOON),
        DateTimeInterval(end=NOON),
        DateTimeInterval(start=NOON, end=NOON),
        DateTimeInterval(),
    ):
        assert check(Incident(mrid=MRID("I-1"), outage=IncidentOutage(actual_period=interval))) == ()


def test_a_ticket_is_not_resolved_before_it_was_reported() -> None:
    """Performance indices count from report to resolution."""
    assert check(with_parts(TICKET, resolved_date_time=NOON + HOUR), verb=Verb.CLOSED) == ()
    finding = only(check(with_parts(TICKET, resolved_date_time=NOON - HOUR), verb=Verb.CLOSED))
    assert finding.code == "BUS-102"
    assert finding.path == "/EventMessage/Payload/TroubleTickets/TroubleTicket/resolvedDateTime"
    assert finding.clause == "IEC 61968-8:2015, 5.2; our rule"


# ------------------------------------------------------------------------------------------------ trouble tickets


def test_a_new_ticket_says_when_it_was_reported() -> None:
    """Tickets are grouped and counted by that instant."""
    ticket = with_parts(TICKET, date_time_of_report=None)

    for verb in (Verb.CREATE, Verb.CREATED):
        finding = only(check(ticket, verb=verb))
        assert finding.code == "BUS-101"
        assert finding.path.endswith("/TroubleTicket/dateTimeOfReport")
    assert check(ticket, verb=Verb.CHANGE) == ()


AGREEMENT_PLACES = CustomerAgreementPlace(service_locations=(ServiceLocationIdentity(mrid=MRID("SL-1")),))
AGREEMENT_POINTS = CustomerAgreementPlace(usage_points=(UsagePointIdentity(names=(Name(name="UP-1"),)),))
WHERE = [
    ({"service_location": ServiceLocationIdentity(names=(Name(name="SL-1"),))}, True),
    ({"customer": TroubleTicketCustomer(mrid=MRID("C-1"))}, True),
    ({"customer": TroubleTicketCustomer(customer_agreements=(AGREEMENT_PLACES,))}, True),
    ({"customer": TroubleTicketCustomer(customer_agreements=(AGREEMENT_POINTS,))}, True),
    ({"hazards": (IncidentHazard(type="wire down"),)}, True),
    ({}, False),
    ({"customer": TroubleTicketCustomer(special_need="dialysis")}, False),
    ({"service_location": ServiceLocationIdentity()}, False),
]


@pytest.mark.parametrize(("parts", "accepted"), WHERE)
def test_a_new_ticket_leads_somewhere(parts: dict[str, object], accepted: bool) -> None:
    """A crew needs a customer, a place, or at least word of a danger: a passer-by's call must not be lost."""
    ticket = with_parts(TroubleTicket(mrid=MRID("T-1"), date_time_of_report=NOON), **parts)

    assert [each.code for each in check(ticket)] == ([] if accepted else ["BUS-105"])
    assert check(ticket, verb=Verb.CHANGE) == ()


def test_a_wish_to_be_told_says_how() -> None:
    """Whoever is promised a call must be reachable."""
    trigger = NotificationTriggerKind.powerRestored
    full = CustomerNotification(trigger=trigger, contact_type="phone", contact_value="555-0100")

    assert check(with_parts(TICKET, notification=full)) == ()
    assert check(with_parts(TICKET, notification=CustomerNotification(contact_type="phone"))) == ()
    found = check(with_parts(TICKET, notification=CustomerNotification(trigger=trigger, contact_value=" ")))
    assert [(each.code, each.path.rsplit("/", 2)[1:]) for each in found] == [
        ("BUS-103", ["Notification", "contactType"]),
        ("BUS-103", ["Notification", "contactValue"]),
    ]
    # A change of the trigger alone leaves the contact as it is.
    assert check(with_parts(TICKET, notification=CustomerNotification(trigger=trigger)), verb=Verb.CHANGE) == ()


def test_the_same_holds_for_the_notifications_of_an_incident() -> None:
    """They come from the tickets."""
    bad = IncidentCustomerNotification(trigger=NotificationTriggerKind.powerOut, contact_type="phone")
    incident = Incident(mrid=MRID("I-1"), customer_notifications=(IncidentCustomerNotification(), bad))

    finding = only(check(incident, verb=Verb.CREATED))

    assert finding.code == "BUS-103"
    assert finding.path == "/EventMessage/Payload/Incidents/Incident/CustomerNotifications[2]/contactValue"
    assert finding.clause == "IEC 61968-8:2015, 5.3; our rule"


# ------------------------------------------------------------------------------------------------ service requests


@pytest.mark.parametrize(("field", "name"), [("kind", "kind"), ("request_date_time", "requestDateTime")])
def test_a_new_service_request_says_what_and_since_when(field: str, name: str) -> None:
    """Work that says not what it is cannot be planned."""
    assert check(REQUEST) == ()
    finding = only(check(with_parts(REQUEST, **{field: None})))
    assert (finding.code, finding.path) == ("BUS-101", f"/RequestMessage/Payload/ServiceRequests/Work/{name}")
    assert check(with_parts(REQUEST, **{field: None}), verb=Verb.CHANGE) == ()


PLACE = service_request.ServiceLocation
PLACES = [
    ({"customers": (service_request.Customer(names=(Name(name="C-1"),)),)}, True),
    ({"work_location": PLACE(mrid=MRID("SL-1"))}, True),
    ({"work_location": PLACE(main_address=StreetAddress())}, True),
    ({"work_location": PLACE(usage_points=(service_request.UsagePoint(mrid=MRID("UP-1")),))}, True),
    ({"work_tasks": (service_request.WorkTask(work_location=PLACE(mrid=MRID("SL-1"))),)}, True),
    ({}, False),
    ({"customers": (service_request.Customer(vip=True),)}, False),
    ({"work_location": PLACE(direction="north")}, False),
]


@pytest.mark.parametrize(("parts", "accepted"), PLACES)
def test_a_new_service_request_leads_to_a_customer_or_a_place(parts: dict[str, object], accepted: bool) -> None:
    """A crew has to go somewhere."""
    work = with_parts(with_parts(REQUEST, customers=()), **parts)

    assert [each.code for each in check(work)] == ([] if accepted else ["BUS-109"])


# ------------------------------------------------------------------------------------------------ agreements


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("customer", "Customer"),
        ("customer_account", "CustomerAccount"),
        ("service_supplier", "ServiceSupplier"),
    ],
)
def test_a_new_agreement_has_its_three_far_ends(field: str, name: str) -> None:
    """A contract without customer, account or supplier is none."""
    partial = with_parts(AGREEMENT, **{field: None})

    assert check(AGREEMENT) == ()
    finding = only(check(partial))
    assert finding.code == "BUS-106"
    assert finding.path == f"/RequestMessage/Payload/CustomerAgreements/CustomerAgreement/{name}"
    # An event may leave the company without what is personal, and a change holds what changes.
    assert check(partial, verb=Verb.CREATED) == check(partial, verb=Verb.CHANGE) == ()


# ------------------------------------------------------------------------------------------------ all of it


def test_findings_name_the_object_they_belong_to() -> None:
    """With ten tickets in a message the reply has to say which one is meant."""
    named = TroubleTicket(names=(Name(name="TT-9"),), date_time_of_report=NOON)

    found = check(TICKET, with_parts(named, hazards=()), with_parts(TICKET, mrid=MRID("T-3"), date_time_of_report=None))

    assert [(each.code, each.object_id) for each in found] == [("BUS-105", "TT-9"), ("BUS-101", "T-3")]


def test_fifty_findings_are_enough() -> None:
    """A message of ten thousand broken tickets must not become a reply of ten thousand errors."""
    broken = tuple(TroubleTicket(mrid=MRID(f"T-{number}")) for number in range(200))

    assert len(check(*broken)) == MAX_FINDINGS


@given(messages())
def test_any_message_is_judged_without_an_error_of_our_own(message: AnyMessage) -> None:
    """Whatever the codec can read, the rules can answer, with codes of the table and its levels."""
    found = check_rules(message)

    assert len(found) <= MAX_FINDINGS
    for each in found:
        assert each.level is ERRORS[each.code].level
        assert each.path.startswith(f"/{message.ARCHETYPE}")
        assert each.accepted
