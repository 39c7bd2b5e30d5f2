"""What an event is about, which objects a message touches, and how urgent it is."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given

from cimcare.exchange.facts import LONGEST_KEY, Facts, facts_of, fold, object_keys_of, priority_of
from cimcare.exchange.outbox import Priority
from cimcare.model.envelope import (
    EventMessage,
    Header,
    MessageProperty,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Reply,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import Incident, IncidentHazard, IncidentLocation, Incidents
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot
from cimcare.model.service_order import Customer, ServiceOrders, UsagePointLocation
from cimcare.model.service_order import ServiceLocation as OrderLocation
from cimcare.model.service_order import UsagePoint as OrderUsagePoint
from cimcare.model.service_order import Work as Order
from cimcare.model.service_order import WorkTask as OrderTask
from cimcare.model.structure import Extension, Structure
from cimcare.model.trouble_ticket import (
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import StreetAddress, StreetDetail, TownDetail
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.model.work import AssetLocationHazard
from cimcare.samples.build import build_message
from tests.support.strategies import structures, texts


def tickets(*found: TroubleTicket) -> TroubleTickets:
    return TroubleTickets(trouble_ticket=found)


def an_event(
    *content: PayloadRoot | Extension, verb: Verb = Verb.CREATED, noun: str = "TroubleTickets"
) -> EventMessage:
    return EventMessage(
        header=Header(verb=verb, noun=noun, source="OMS"), payload=Payload(content=content) if content else None
    )


def an_executed(*operations: Operation) -> EventMessage:
    return EventMessage(
        header=Header(verb=Verb.EXECUTED, noun="OperationSet"),
        payload=Payload(operation_set=OperationSet(operation=operations)),
    )


def a_ticket(mrid: str, *names: str) -> TroubleTicket:
    return TroubleTicket(mrid=MRID(mrid), names=tuple(Name(name=name) for name in names))


def a_customer(need: str | None) -> TroubleTicket:
    return TroubleTicket(customer=TroubleTicketCustomer(special_need=need))


# ------------------------------------------------------------------------------------------------------------- facts


def test_facts_name_premises_by_mrid_and_by_every_name_in_folded_case() -> None:
    """Who subscribes to a building knows it by the one or the other."""
    place = ServiceLocationIdentity(mrid=MRID("AB-1"), names=(Name(name=" SL-7 "), Name(name="Straße 5")))
    facts = facts_of(an_event(tickets(TroubleTicket(service_location=place))))
    assert facts == Facts(
        verb=Verb.CREATED,
        noun="TroubleTickets",
        source="OMS",
        premises=frozenset({"ab-1", "sl-7", "strasse 5"}),
    )


def test_facts_name_the_areas_of_addresses_and_leave_streets_out() -> None:
    """An area is something that many premises share."""
    address = StreetAddress(
        postal_code="49811",
        street_detail=StreetDetail(name="Mill Lane", code="ML"),
        town_detail=TownDetail(
            name="Northlake", section="Old Town", state_or_province="NL", code="0042", country="Elsewhere"
        ),
    )
    facts = facts_of(an_event(Incidents(incident=(Incident(location=IncidentLocation(main_address=address)),))))
    assert facts.areas == {"49811", "northlake", "old town", "nl", "0042"}
    assert not facts.premises


def test_facts_of_a_message_without_content_are_those_of_its_header() -> None:
    """Properties are for routing and filtering; an unknown payload hides nothing of them."""
    header = Header(
        verb=Verb.CHANGED,
        noun="IncidentInformation",
        property=(MessageProperty(name="region", value="north"), MessageProperty(name="urgent")),
    )
    expected = Facts(verb=Verb.CHANGED, noun="Incidents", source="", properties=(("region", "north"), ("urgent", "")))
    assert facts_of(EventMessage(header=header)) == expected
    unknown = Payload(content=(Extension(xml='<a xmlns="urn:x"/>'),))
    assert facts_of(EventMessage(header=header, payload=unknown)) == expected
    assert facts_of(EventMessage(header=header, payload=Payload(compressed="H4sI"))) == expected


def test_operations_count_as_the_events_that_they_are() -> None:
    """Subscribers of `created TroubleTickets` want those that came in a set with others, too."""
    event = an_executed(
        Operation(operation_id=1, verb="create", noun="TroubleTicket", content=tickets(a_ticket("t"))),
        Operation(operation_id=2, verb="closed", content=Incidents(incident=(Incident(mrid=MRID("i")),))),
        Operation(operation_id=3, verb="deleted", noun="Incidents", element_operation=True),
        Operation(operation_id=4, verb="created", noun="TroubleTickets"),
        Operation(operation_id=5, verb="explode", noun="TroubleTickets"),
        Operation(operation_id=6, noun="TroubleTickets"),
        Operation(operation_id=7, verb="deleted", content=Extension(xml='<a xmlns="urn:x"/>')),
    )
    facts = facts_of(event)
    assert facts.noun == "OperationSet"
    assert facts.operations == (
        (Verb.CREATED, "TroubleTickets"),
        (Verb.CLOSED, "Incidents"),
        (Verb.CHANGED, "Incidents"),
    )


def everything_below(value: object) -> Iterator[Structure]:
    """All Structures in a value, found without any knowledge of types."""
    if isinstance(value, Structure):
        yield value
        for field in value.__struct_fields__:
            yield from everything_below(getattr(value, field))
    elif isinstance(value, tuple):
        for one in value:
            yield from everything_below(one)


@given(event=structures(EventMessage))
def test_facts_miss_nothing_wherever_it_stands(event: EventMessage) -> None:
    """The routes to places are worked out from types; a plain search through the whole value finds the same."""
    premises: set[str] = set()
    areas: set[str] = set()
    for found in everything_below(event.payload):
        if found.CIM_CLASS in {"ServiceLocation", "UsagePoint"}:
            premises |= {fold(getattr(found, "mrid", None) or ""), *(fold(name.name) for name in found.names)}
        elif found.CIM_CLASS in {"TownDetail", "StreetAddress"}:
            parts = ("postal_code", "name", "section", "state_or_province", "code")
            areas |= {fold(getattr(found, part, None) or "") for part in parts}
    facts = facts_of(event)
    assert facts.premises == premises - {""}
    assert facts.areas == areas - {""}


@given(text=texts())
def test_folding_twice_changes_nothing(text: str) -> None:
    """A filter that was folded once must still meet what was folded once."""
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("one", "other"), [("Zürich", "Zu\u0308rich"), ("MASSE", "maße"), (" Old Town\n", "old town"), ("ÉPINAL", "épinal")]
)
def test_spellings_of_one_place_fold_to_one(one: str, other: str) -> None:
    """Two systems rarely agree on case, on sharp s, or on how an accent is put on a letter."""
    assert fold(one) == fold(other)


# ------------------------------------------------------------------------------------------------------- object keys


def test_object_keys_are_mrid_and_names_of_each_object_sorted_and_once() -> None:
    """Two messages go in order where they share a key, whichever identity the second one uses."""
    event = an_event(tickets(a_ticket("b", "TT-2", " "), a_ticket(" a ", "TT-2"), TroubleTicket()))
    assert object_keys_of(event) == ("TroubleTickets TT-2", "TroubleTickets a", "TroubleTickets b")


def test_objects_inside_an_object_are_no_keys() -> None:
    """A ticket waits for events of the ticket, not for all that happens at the premises."""
    place = ServiceLocationIdentity(mrid=MRID("place"))
    assert object_keys_of(an_event(tickets(TroubleTicket(mrid=MRID("t"), service_location=place)))) == (
        "TroubleTickets t",
    )


def test_a_set_of_operations_has_the_keys_of_all_of_them() -> None:
    """Order holds between a set and single messages in both directions."""
    event = an_executed(
        Operation(operation_id=1, verb="created", content=tickets(a_ticket("t"))),
        Operation(operation_id=2, verb="closed", content=Incidents(incident=(Incident(mrid=MRID("i")),))),
    )
    assert object_keys_of(event) == ("Incidents i", "TroubleTickets t")


def test_identifiers_count_with_the_noun_of_the_header() -> None:
    """cancel, close and delete name their objects in Request/ID; replies say in Reply/ID what they made."""
    header = Header(verb=Verb.CANCEL, noun="TroubleTicket")
    one, two = ObjectID(value="a"), ObjectID(value="b")
    request = RequestMessage(header=header, request=Request(id=(one, two)), payload=Payload(id=(ObjectID(value="c"),)))
    assert object_keys_of(request) == ("TroubleTickets a", "TroubleTickets b", "TroubleTickets c")
    response = ResponseMessage(
        header=Header(verb=Verb.REPLY, noun="X"), reply=Reply(result=Result.OK, id=(two,)), payload=Payload()
    )
    assert object_keys_of(response) == ("X b",)
    assert object_keys_of(RequestMessage(header=header)) == ()


def test_a_large_message_shares_a_key_with_each_single_one() -> None:
    """However many objects there are, none is overtaken by a message about it alone."""
    large = object_keys_of(an_event(tickets(*(a_ticket(f"t{number}") for number in range(500)))))
    assert len(large) == 500
    for number in (0, 499):
        assert set(object_keys_of(an_event(tickets(a_ticket(f"t{number}"))))) <= set(large)


def test_keys_stay_short_and_distinct_whatever_a_partner_takes_for_an_identity() -> None:
    """An index has an upper bound for its entries, and a text in a database cannot hold every character."""
    long = "x" * 10_000
    (first,) = object_keys_of(an_event(tickets(a_ticket(long))))
    (second,) = object_keys_of(an_event(tickets(a_ticket(long + "y"))))
    (third,) = object_keys_of(an_event(tickets(a_ticket("a\0b"))))
    assert len(first) == len(second) == LONGEST_KEY
    assert first != second
    assert first == object_keys_of(an_event(tickets(a_ticket(long))))[0]
    assert "\0" not in third
    assert third.startswith("TroubleTickets a?b ")


@pytest.mark.parametrize("verb", sorted(EVENT_VERBS | {Verb.CANCEL, Verb.CREATE, Verb.REPLY}))
@pytest.mark.parametrize("noun", list(Noun))
def test_all_verbs_of_one_object_share_its_key(noun: Noun, verb: Verb) -> None:
    """create, its reply, the event and the cancellation of one object go out in this order."""
    message = build_message(noun, verb, seed=4)
    created = build_message(noun, Verb.CREATED, seed=4)
    assert isinstance(message, RequestMessage | EventMessage | ResponseMessage)
    assert isinstance(created, EventMessage)
    (item,) = getattr(created.payload.content[0] if created.payload else None, NOUNS[noun].item)
    assert f"{noun} {item.mrid}" in object_keys_of(message)
    assert f"{noun} {item.mrid}" in object_keys_of(created)


@given(event=structures(EventMessage))
def test_keys_are_sorted_unique_and_bounded(event: EventMessage) -> None:
    keys = object_keys_of(event)
    assert list(keys) == sorted(set(keys))
    assert all(0 < len(key) <= LONGEST_KEY for key in keys)


# ----------------------------------------------------------------------------------------------------------- urgency


def test_a_reported_danger_is_the_most_urgent() -> None:
    """A wire on the pavement goes before everything else, in whichever noun it is told."""
    hazard = (IncidentHazard(type="wire down"),)
    assert priority_of(an_event(tickets(TroubleTicket(hazards=hazard)))) is Priority.HAZARD
    assert priority_of(an_event(Incidents(incident=(Incident(hazards=hazard),)))) is Priority.HAZARD
    within = Operation(
        operation_id=1, verb="created", content=tickets(a_customer("ventilator"), TroubleTicket(hazards=hazard))
    )
    assert priority_of(an_executed(within)) is Priority.HAZARD


def test_a_permanent_hazard_of_a_place_is_no_emergency() -> None:
    """If every visit to a house with a dog were an emergency, none would be."""
    dog = (AssetLocationHazard(type="dog"),)
    place = OrderLocation(
        hazards=dog, usage_points=(OrderUsagePoint(usage_point_location=UsagePointLocation(hazards=dog)),)
    )
    orders = ServiceOrders(work=(Order(work_tasks=(OrderTask(work_location=place),)),))
    assert priority_of(an_event(orders)) is Priority.NORMAL


@pytest.mark.parametrize("need", ["life support", "Home dialysis", "true", "Y", "yes", "hospital"])
def test_a_special_need_is_urgent_whatever_its_words(need: str) -> None:
    """The text is free: a list of the words that count would miss somebody's ventilator."""
    assert priority_of(an_event(tickets(a_customer(None), a_customer(need)))) is Priority.LIFE_SUPPORT
    order = ServiceOrders(work=(Order(customers=(Customer(special_need=need),)),))
    assert priority_of(an_event(order)) is Priority.LIFE_SUPPORT


@pytest.mark.parametrize("need", [None, "", "  ", "none", "No", "FALSE", "n/a", "0", "-"])
def test_no_need_is_no_need_however_it_is_said(need: str | None) -> None:
    """Systems that keep a flag send `false` for everybody; urgent for all is urgent for none."""
    assert priority_of(an_event(tickets(a_customer(need)))) is Priority.NORMAL


def test_a_message_without_content_is_not_urgent() -> None:
    assert priority_of(RequestMessage(header=Header(verb=Verb.GET, noun="Incidents"))) is Priority.NORMAL
    assert priority_of(an_event(Extension(xml='<a xmlns="urn:x"/>'))) is Priority.NORMAL


@given(message=structures(RequestMessage))
def test_urgency_is_that_of_the_most_urgent_part(message: RequestMessage) -> None:
    """Found by a plain search through the whole value, too."""
    found = list(everything_below(message.payload))
    needs = [getattr(one, "special_need", None) for one in found]
    if any(one.CIM_CLASS == "IncidentHazard" for one in found):
        assert priority_of(message) is Priority.HAZARD
    elif any(need and need.strip() and fold(need) not in {"-"} for need in needs):
        assert priority_of(message) is Priority.LIFE_SUPPORT
    else:
        assert priority_of(message) is Priority.NORMAL


def test_facts_do_not_depend_on_extensions() -> None:
    """Elements that nobody knows pass through and decide nothing."""
    plain = an_event(tickets(a_ticket("t")))
    marked = msgspec.structs.replace(
        plain, payload=msgspec.structs.replace(plain.payload, extensions=(Extension(xml='<a xmlns="urn:x"/>'),))
    )
    assert facts_of(plain) == facts_of(marked)
