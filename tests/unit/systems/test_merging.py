"""Behaviour of `merge` and `difference`."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cimcare.model.customer_agreement import CustomerAgreement, PricingStructure, ServiceSupplier
from cimcare.model.identity import MRID
from cimcare.model.incident import IncidentHazard, IncidentIdentity
from cimcare.model.service_request import ServiceLocation, UsagePoint, Work, WorkTask
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    CustomerNotification,
    TroubleTicket,
    TroubleTicketCustomer,
)
from cimcare.model.values import Priority, Status
from cimcare.model.work import Crew
from cimcare.systems.merging import difference, merge
from tests.unit.systems.utility import mrid, names

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_replaces_simple_members_and_leaves_the_others() -> None:
    """A change names only what changes."""
    known = TroubleTicket(mrid=mrid("t"), comment="old", trouble_code="OUT")
    assert merge(known, TroubleTicket(comment="new")) == TroubleTicket(
        mrid=mrid("t"), comment="new", trouble_code="OUT"
    )


def test_merges_compounds_member_by_member() -> None:
    """A new rank does not wipe out the reason of the priority."""
    known = Work(priority=Priority(justification="life support", rank=3))
    merged = merge(known, Work(priority=Priority(rank=1)))
    assert merged.priority == Priority(justification="life support", rank=1)


def test_merges_the_list_item_with_the_known_identity_and_adds_the_new_one() -> None:
    """A second crew is added; a changed task stays one task; tasks that are not mentioned stay."""
    known = Work(
        work_tasks=(
            WorkTask(mrid=mrid("a"), subject="first", crews=(Crew(names=names("CREW-1")),)),
            WorkTask(mrid=mrid("b"), subject="second"),
        )
    )
    patch = Work(
        work_tasks=(
            WorkTask(mrid=mrid("a"), instruction="ring twice", crews=(Crew(names=names("CREW-2")),)),
            WorkTask(mrid=mrid("c"), subject="third"),
        )
    )
    merged = merge(known, patch)
    assert [task.mrid for task in merged.work_tasks] == ["a", "b", "c"]
    first = merged.work_tasks[0]
    assert (first.subject, first.instruction) == ("first", "ring twice")
    assert [crew.names[0].name for crew in first.crews] == ["CREW-1", "CREW-2"]


def test_takes_names_as_identity_where_no_mrid_is_given() -> None:
    """EPRI's messages name objects rather than give an mRID."""
    known = Work(work_location=ServiceLocation(usage_points=(UsagePoint(mrid=mrid("u"), names=names("UP-1")),)))
    patch = Work(work_location=ServiceLocation(usage_points=(UsagePoint(names=names("UP-1"), grounded=True),)))
    location = merge(known, patch).work_location
    assert location is not None
    assert location.usage_points == (UsagePoint(mrid=mrid("u"), names=names("UP-1"), grounded=True),)


def test_does_not_double_items_without_identity() -> None:
    """A message that comes again must not report the same hazard twice."""
    known = TroubleTicket(hazards=(IncidentHazard(type="wire down"),))
    patch = TroubleTicket(hazards=(IncidentHazard(type="wire down"), IncidentHazard(type="fire")))
    assert [hazard.type for hazard in merge(known, patch).hazards] == ["wire down", "fire"]


def test_does_not_double_a_name_and_keeps_the_same_name_of_another_scheme() -> None:
    """The number 17 of the CIS and the number 17 of the OMS are two names."""
    known = TroubleTicket(names=names("17", scheme="Ticket", authority="CIS"))
    patch = TroubleTicket(
        names=(*names("17", scheme="Ticket", authority="CIS"), *names("17", scheme="Ticket", authority="OMS"))
    )
    assert len(merge(known, patch).names) == 2


def test_replaces_a_reference_to_another_object_as_a_whole() -> None:
    """After a switch of supplier nothing of the old supplier may be left under the new one's identity."""
    known = CustomerAgreement(
        service_supplier=ServiceSupplier(mrid=mrid("s1"), issuer_identification_number="8111", names=names("Old Light"))
    )
    patch = CustomerAgreement(service_supplier=ServiceSupplier(mrid=mrid("s2")))
    assert merge(known, patch).service_supplier == ServiceSupplier(mrid=mrid("s2"))


def test_merges_a_reference_to_the_same_object() -> None:
    """More about the supplier is no other supplier."""
    known = CustomerAgreement(service_supplier=ServiceSupplier(mrid=mrid("s1"), names=names("Light")))
    patch = CustomerAgreement(service_supplier=ServiceSupplier(mrid=mrid("s1"), issuer_identification_number="8111"))
    assert merge(known, patch).service_supplier == ServiceSupplier(
        mrid=mrid("s1"), names=names("Light"), issuer_identification_number="8111"
    )


def test_removes_nothing() -> None:
    """Removal is an operation of its own; an empty list in a change means nothing."""
    known = CustomerAgreement(mrid=mrid("a"), pricing_structures=(PricingStructure(code="RES"),), comment="kept")
    assert merge(known, CustomerAgreement(mrid=mrid("a"))) is known


_words = st.sampled_from(["", "a", "b", "c"])
_names = st.lists(st.sampled_from(["n1", "n2", "n3"]), unique=True, max_size=2).map(lambda chosen: names(*chosen))
_optional = st.none() | st.sampled_from(["x", "y"])
_hazards = st.lists(st.builds(IncidentHazard, type=_optional, description=_optional), max_size=3).map(tuple)
_places = st.lists(
    st.builds(CustomerAgreementPlace, mrid=st.sampled_from([MRID("p1"), MRID("p2"), MRID("p3")]), names=_names),
    max_size=3,
    unique_by=lambda place: place.mrid,
).map(tuple)
_customers = st.builds(
    TroubleTicketCustomer,
    mrid=st.sampled_from([MRID("c1"), MRID("c2")]),
    special_need=_optional,
    customer_agreements=_places,
)
_tickets = st.builds(
    TroubleTicket,
    mrid=st.just(MRID("t")),
    comment=_optional,
    multiple_premises=st.none() | st.booleans(),
    customer=st.none() | _customers,
    hazards=_hazards,
    incident=st.none() | st.builds(IncidentIdentity, mrid=st.sampled_from([MRID("i1"), MRID("i2")])),
    notification=st.none() | st.builds(CustomerNotification, contact_type=_optional, contact_value=_optional),
    status=st.none() | st.builds(Status, value=_optional, remark=_optional),
)


@given(_tickets, _tickets)
def test_a_change_that_comes_twice_has_no_second_effect(known: TroubleTicket, patch: TroubleTicket) -> None:
    """Deliveries are repeated; state must not depend on how often."""
    once = merge(known, patch)
    assert merge(once, patch) == once


@given(_tickets)
def test_a_change_to_what_is_known_is_none(known: TroubleTicket) -> None:
    """An object merged with itself is itself, unless it held the same hazard twice to begin with."""
    assert merge(known, known) == known


@given(_tickets, _tickets)
def test_the_difference_is_the_change_that_leads_there(known: TroubleTicket, patch: TroubleTicket) -> None:
    """A changed event carries the least that brings a listener from the old value to the new one."""
    now = merge(known, patch)
    told = difference(known, now)
    assert (told is None) == (now == known)
    if told is not None:
        assert told.mrid == "t"
        assert merge(known, told) == now


def test_the_difference_tells_nothing_else() -> None:
    """What has not changed is not in the event."""
    known = TroubleTicket(mrid=mrid("t"), comment="kept", names=names("TT-1"), status=Status(value="open", remark="r"))
    now = merge(known, TroubleTicket(status=Status(value="resolved"), hazards=(IncidentHazard(type="fire"),)))
    assert difference(known, now) == TroubleTicket(
        mrid=mrid("t"), status=Status(value="resolved"), hazards=(IncidentHazard(type="fire"),)
    )


def test_the_difference_names_an_object_by_its_names_where_it_has_no_mrid() -> None:
    """Otherwise nobody could tell which object changed."""
    known = TroubleTicket(names=names("TT-1"), comment="old")
    assert difference(known, TroubleTicket(names=names("TT-1"), comment="new")) == TroubleTicket(
        names=names("TT-1"), comment="new"
    )
