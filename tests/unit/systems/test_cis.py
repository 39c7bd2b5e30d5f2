"""Behaviour of the built-in customer system: agreements, what it keeps of others, and its town."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from cimcare.errors import Level
from cimcare.exchange.ports import Key
from cimcare.model.customer_agreement import (
    CustomerAgreement,
    CustomerAgreements,
    PricingStructure,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
    UsagePoint,
)
from cimcare.model.enumerations import ServiceKind, WorkStatusKind
from cimcare.model.envelope import Result
from cimcare.model.incident import Incident, IncidentHazard, IncidentIdentity, IncidentOutage, TroubleTicketIdentity
from cimcare.model.nouns import Noun
from cimcare.model.service_request import Work
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.model.work_request import Organisation, WorkRequests
from cimcare.model.work_request import Work as Wish
from cimcare.samples.northlake import find_premises, name_of
from cimcare.store.memory import MemoryRecords
from cimcare.systems import cis, oms, third_party
from cimcare.systems.cis import build_town, kinds, seed_town
from cimcare.systems.cis.town import is_vacant
from cimcare.systems.keeping import DELETED
from cimcare.systems.objects import Kind
from tests.unit.systems.utility import (
    MONDAY,
    Utility,
    codes_of,
    events_of,
    ids_of,
    items_of,
    mrid,
    names,
    shown_in,
    uuid_id,
)

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)


@pytest.fixture
def utility() -> Utility:
    return Utility()


def agreement(
    number: str = "a-1",
    place: str = "p-1",
    start: datetime | None = MONDAY - DAY,
    end: datetime | None = None,
    kind: ServiceKind | None = ServiceKind.electricity,
    supplier: str = "s-1",
) -> CustomerAgreement:
    return CustomerAgreement(
        mrid=mrid(number),
        pricing_structures=(PricingStructure(code="RES-1", names=names("RES-1")),),
        service_category=ServiceCategory(kind=kind) if kind else None,
        service_locations=(ServiceLocation(mrid=mrid(place)),),
        service_supplier=ServiceSupplier(mrid=mrid(supplier), issuer_identification_number="8111"),
        validity_interval=DateTimeInterval(start=start, end=end) if start or end else None,
    )


async def agreement_of(utility: Utility, number: str = "a-1") -> CustomerAgreement:
    (found,) = items_of((await utility.ask(Verb.GET, CA, ids=(number,))).payload)
    assert isinstance(found, CustomerAgreement)
    return found


async def state_of(utility: Utility, number: str = "a-1") -> str | None:
    status = (await agreement_of(utility, number)).status
    assert status is not None
    return status.value


# -------------------------------------------------------------------------------------------------- agreements


async def test_move_in_makes_an_active_agreement(utility: Utility) -> None:
    """Suppliers learn of the new customer from the event, with all that is known now."""
    served = await utility.ask(Verb.CREATE, CA, agreement())
    assert (served.result, ids_of(served), served.findings) == (Result.OK, ["a-1"], ())
    assert events_of(served) == [("created", "CustomerAgreements", 1)]
    shown = shown_in(served, Verb.CREATED, CA)
    assert isinstance(shown, CustomerAgreement)
    assert shown.status == Status(value="active", date_time=MONDAY)
    assert shown.created_date_time == shown.last_modified_date_time == MONDAY
    assert await agreement_of(utility) == shown


@pytest.mark.parametrize(
    ("start", "end", "state"),
    [
        (None, None, "active"),
        (MONDAY, None, "active"),
        (MONDAY + DAY, None, "proposed"),
        (MONDAY - DAY, MONDAY + DAY, "active"),
        (MONDAY - DAY, MONDAY, "ended"),
    ],
)
async def test_the_state_follows_the_period(
    utility: Utility, start: datetime | None, end: datetime | None, state: str
) -> None:
    """A contract for next month is not in force today; one without start is in force from now on."""
    await utility.ask(Verb.CREATE, CA, agreement(start=start, end=end))
    assert await state_of(utility) == state
    validity = (await agreement_of(utility)).validity_interval
    assert validity is not None
    assert validity.start == (start or MONDAY)


async def test_two_agreements_for_one_place_and_service_are_refused_and_both_named(utility: Utility) -> None:
    """Two suppliers for one meter: somebody would be billed twice."""
    await utility.ask(Verb.CREATE, CA, agreement())
    served = await utility.ask(Verb.CREATE, CA, agreement("a-2", supplier="s-2"))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-108"], ())
    assert "a-1" in served.findings[0].found
    assert "a-2" in served.findings[0].found
    assert codes_of(await utility.ask(Verb.GET, CA, ids=("a-2",))) == ["REF-103"]


@pytest.mark.parametrize(
    "other",
    [
        agreement("a-2", place="p-2"),
        agreement("a-2", kind=ServiceKind.water),
        agreement("a-2", start=MONDAY - 9 * DAY, end=MONDAY - DAY),
        CustomerAgreement(mrid=mrid("a-2")),
    ],
    ids=["other place", "other service", "ended before", "no place"],
)
async def test_agreements_that_do_not_overlap_are_taken(utility: Utility, other: CustomerAgreement) -> None:
    """Water and electricity, neighbours, and those who moved out, are nobody's obstacle."""
    await utility.ask(Verb.CREATE, CA, agreement())
    assert (await utility.ask(Verb.CREATE, CA, other)).result is Result.OK


async def test_a_service_that_is_not_said_may_be_any(utility: Utility) -> None:
    """Without a category nobody can tell that the two do not collide."""
    await utility.ask(Verb.CREATE, CA, agreement())
    assert codes_of(await utility.ask(Verb.CREATE, CA, agreement("a-2", kind=None))) == ["BUS-108"]


async def test_one_place_is_one_by_whatever_it_is_named() -> None:
    """The old agreement names the premises, the new one the meter point."""
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    home = find_premises(12)
    points = (UsagePoint(names=name_of(home.usage_point, "UsagePointNumber")),)
    served = await utility.ask(Verb.CREATE, CA, CustomerAgreement(mrid=mrid("a-2"), usage_points=points))
    assert codes_of(served) == ["BUS-108"]
    assert home.mrid("agreement") in served.findings[0].found


async def test_move_out_and_move_in(utility: Utility) -> None:
    """The next customer can sign from the instant at which the last one leaves."""
    await utility.ask(Verb.CREATE, CA, agreement())
    leaves = MONDAY + 3 * DAY
    served = await utility.ask(
        Verb.CLOSE, CA, CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=leaves))
    )
    assert (served.result, codes_of(served), served.events) == (Result.OK, ["BUS-162"], ())
    assert await state_of(utility) == "active"
    assert codes_of(await utility.ask(Verb.CREATE, CA, agreement("a-2", start=leaves - DAY))) == ["BUS-108"]
    assert (await utility.ask(Verb.CREATE, CA, agreement("a-2", start=leaves))).result is Result.OK


async def test_a_move_out_shows_what_has_altered(utility: Utility) -> None:
    """Listeners learn of the state and of the end, and need not ask."""
    await utility.ask(Verb.CREATE, CA, agreement())
    left = MONDAY - timedelta(hours=3)
    served = await utility.ask(
        Verb.CLOSE, CA, CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=left))
    )
    assert events_of(served) == [("closed", "CustomerAgreements", 1)]
    assert shown_in(served, Verb.CLOSED, CA) == CustomerAgreement(
        mrid=mrid("a-1"),
        last_modified_date_time=MONDAY,
        status=Status(value="ended", date_time=MONDAY),
        validity_interval=DateTimeInterval(end=left),
    )


async def test_close_without_an_end_ends_now(utility: Utility) -> None:
    """By ID alone there is no other instant."""
    await utility.ask(Verb.CREATE, CA, agreement(end=MONDAY + 300 * DAY))
    utility.pass_time(hours=1)
    await utility.ask(Verb.CLOSE, CA, ids=("a-1",))
    validity = (await agreement_of(utility)).validity_interval
    assert validity is not None
    assert validity.end == utility.now


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.CHANGE, Verb.CLOSE])
async def test_an_agreement_does_not_end_before_it_begins(utility: Utility, verb: Verb) -> None:
    """BUS-104, whoever says so."""
    if verb is not Verb.CREATE:
        await utility.ask(Verb.CREATE, CA, agreement())
    served = await utility.ask(verb, CA, agreement(end=MONDAY - 2 * DAY))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-104"])


async def test_a_switch_before_the_agreement_began_is_refused(utility: Utility) -> None:
    """Nobody can be supplied by the new one before there was an agreement at all."""
    await utility.ask(Verb.CREATE, CA, agreement())
    switch = CustomerAgreement(
        mrid=mrid("a-1"),
        service_supplier=ServiceSupplier(mrid=mrid("s-2")),
        validity_interval=DateTimeInterval(start=MONDAY - 2 * DAY),
    )
    assert codes_of(await utility.ask(Verb.CHANGE, CA, switch)) == ["BUS-104"]
    assert (await agreement_of(utility)).service_supplier == ServiceSupplier(
        mrid=mrid("s-1"), issuer_identification_number="8111"
    )


async def test_change_may_not_lead_into_another_agreement(utility: Utility) -> None:
    """A place that is added by change counts like one that was there from the start."""
    await utility.ask(Verb.CREATE, CA, agreement(), agreement("a-2", place="p-2"))
    more = CustomerAgreement(mrid=mrid("a-2"), service_locations=(ServiceLocation(mrid=mrid("p-1")),))
    assert codes_of(await utility.ask(Verb.CHANGE, CA, more)) == ["BUS-108"]


async def test_the_state_is_the_owners_to_set(utility: Utility) -> None:
    """A change that says `ended` ends nothing, and is told so."""
    await utility.ask(Verb.CREATE, CA, agreement())
    served = await utility.ask(Verb.CHANGE, CA, CustomerAgreement(mrid=mrid("a-1"), status=Status(value="ended")))
    assert (served.result, codes_of(served), served.findings[0].level) == (Result.OK, ["LIF-102"], Level.WARNING)
    assert await state_of(utility) == "active"


async def test_a_cancelled_agreement_is_no_obstacle(utility: Utility) -> None:
    """Entered by mistake means that it never was."""
    await utility.ask(Verb.CREATE, CA, agreement())
    served = await utility.ask(Verb.CANCEL, CA, ids=("a-1",))
    assert events_of(served) == [("canceled", "CustomerAgreements", 1)]
    assert await state_of(utility) == "cancelled"
    assert (await utility.ask(Verb.CREATE, CA, agreement("a-2"))).result is Result.OK


@pytest.mark.parametrize("end", [Verb.CANCEL, Verb.CLOSE])
@pytest.mark.parametrize("verb", [Verb.CHANGE, Verb.CANCEL, Verb.CLOSE])
async def test_nothing_more_happens_to_an_agreement_that_has_ended(utility: Utility, end: Verb, verb: Verb) -> None:
    """The bill was sent."""
    await utility.ask(Verb.CREATE, CA, agreement())
    await utility.ask(end, CA, ids=("a-1",))
    served = await utility.ask(verb, CA, CustomerAgreement(mrid=mrid("a-1"), comment="x"))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-105"])


async def test_a_proposed_agreement_can_be_cancelled_or_deleted_but_not_closed(utility: Utility) -> None:
    """It has not begun, so it cannot end; a day later it has."""
    await utility.ask(Verb.CREATE, CA, agreement(start=MONDAY + DAY), agreement("a-2", "p-2", start=MONDAY + DAY))
    assert codes_of(await utility.ask(Verb.CLOSE, CA, ids=("a-1",))) == ["LIF-101"]
    assert (await utility.ask(Verb.DELETE, CA, ids=("a-2",))).result is Result.OK
    utility.pass_time(days=2)
    assert codes_of(await utility.ask(Verb.DELETE, CA, ids=("a-1",))) == ["LIF-101"]
    assert (await utility.ask(Verb.CLOSE, CA, ids=("a-1",))).result is Result.OK
    served = await utility.ask(Verb.DELETE, CA, ids=("a-1",))
    assert shown_in(served, Verb.DELETED, CA) == CustomerAgreement(mrid=mrid("a-1"))


async def test_twins_and_unknown_agreements(utility: Utility) -> None:
    """The cases that every noun has."""
    await utility.ask(Verb.CREATE, CA, agreement())
    assert codes_of(await utility.ask(Verb.CREATE, CA, agreement(place="p-2"))) == ["LIF-103"]
    for verb in (Verb.CHANGE, Verb.CANCEL, Verb.CLOSE, Verb.DELETE):
        served = await utility.ask(verb, CA, CustomerAgreement(mrid=mrid("a-9")))
        assert (served.result, codes_of(served)) == (Result.FAILED, ["REF-103"])
    served = await utility.ask(Verb.CREATE, CA, agreement("a-2", "p-2"), agreement("a-3"))
    assert (served.result, ids_of(served), codes_of(served)) == (Result.PARTIAL, ["a-2"], ["BUS-108"])


# --------------------------------------------------------------------------------------------- what is kept


async def kept(utility: Utility, kind: Kind[Incident], number: str) -> tuple[Incident | None, str]:
    stored = await utility.records.find(kind.collection, mrid(number))
    return (None, "") if stored is None else (stored.body, stored.state)


async def test_keeps_what_the_outage_management_tells(utility: Utility) -> None:
    """The agent on the phone sees ticket and incident, whatever the OMS told first."""
    place = ServiceLocationIdentity(mrid=mrid("p-1"))
    for verb, ticket in (
        (Verb.CREATE, TroubleTicket(mrid=mrid("t-1"), service_location=place, date_time_of_report=MONDAY)),
        (Verb.CHANGE, TroubleTicket(mrid=mrid("t-1"), hazards=(IncidentHazard(type="fire"),))),
        (Verb.CLOSE, TroubleTicket(mrid=mrid("t-1"))),
    ):
        utility.pass_time(minutes=10)
        served = await utility.ask(verb, Noun.TROUBLE_TICKETS, ticket)
        await utility.pass_on(cis.LISTENS, served.events)
        for collection, own in ((kinds.TICKETS, oms.TICKETS), (kinds.INCIDENTS, oms.INCIDENTS)):
            theirs = await utility.records.select(own.collection, _every())  # type: ignore[attr-defined]
            ours = await utility.records.select(collection.collection, _every())  # type: ignore[attr-defined]
            assert [one.body for one in ours] == [one.body for one in theirs]
            assert [one.state for one in ours] == [one.state for one in theirs]


def _every() -> object:
    from cimcare.exchange.ports import Selection

    return Selection()


async def test_copies_of_tickets_point_to_their_incident(utility: Utility) -> None:
    """An outage management that tells of incidents alone is understood; no copy grows with its tickets."""
    for number in range(3):
        told = Incident(mrid=mrid("i-1"), trouble_tickets=(TroubleTicketIdentity(mrid=mrid(f"t-{number}")),))
        await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, told)
    body, _ = await kept(utility, kinds.INCIDENTS, "i-1")
    assert body == Incident(mrid=mrid("i-1"))
    tickets = await utility.records.find_by_key(kinds.TICKETS.collection, Key("incident", "i-1"))
    assert [one.mrid for one in tickets] == ["t-0", "t-1", "t-2"]


async def test_what_is_told_of_a_ticket_later_holds(utility: Utility) -> None:
    """Events come out of order; a ticket that has moved does not move back."""
    moved = TroubleTicket(mrid=mrid("t-1"), incident=IncidentIdentity(mrid=mrid("i-2")))
    await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.TROUBLE_TICKETS, moved, at=MONDAY + DAY)
    old = Incident(mrid=mrid("i-1"), trouble_tickets=(TroubleTicketIdentity(mrid=mrid("t-1")),))
    await utility.tell(cis.LISTENS, Verb.CREATED, Noun.INCIDENTS, old, at=MONDAY)
    assert await utility.records.find_by_key(kinds.TICKETS.collection, Key("incident", "i-1")) == ()
    (ticket,) = await utility.records.find_by_key(kinds.TICKETS.collection, Key("incident", "i-2"))
    assert ticket.body.incident == IncidentIdentity(mrid=mrid("i-2"))


async def test_an_event_that_comes_twice_changes_nothing(utility: Utility) -> None:
    """Idempotent by identity and time."""
    incident = Incident(mrid=mrid("i-1"), hazards=(IncidentHazard(type="fire"),), last_modified_date_time=MONDAY)
    for _ in range(2):
        served = await utility.tell(cis.LISTENS, Verb.CREATED, Noun.INCIDENTS, incident)
        assert (served.result, ids_of(served), served.events) == (Result.OK, ["i-1"], ())
        assert await kept(utility, kinds.INCIDENTS, "i-1") == (incident, "")


async def test_an_older_event_does_not_overwrite_a_newer_one(utility: Utility) -> None:
    """It fills the gaps it knows of, and no more."""
    new = Incident(mrid=mrid("i-1"), cause="tree", last_modified_date_time=MONDAY + DAY)
    old = Incident(mrid=mrid("i-1"), cause="unknown", subject="Mill Street", last_modified_date_time=MONDAY)
    await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, new)
    await utility.tell(cis.LISTENS, Verb.CREATED, Noun.INCIDENTS, old)
    body, _ = await kept(utility, kinds.INCIDENTS, "i-1")
    assert body == Incident(mrid=mrid("i-1"), cause="tree", subject="Mill Street", last_modified_date_time=MONDAY + DAY)


async def test_the_timestamp_decides_where_the_object_has_no_time(utility: Utility) -> None:
    """Header/Timestamp is the next best."""
    for cause, hours in (("first", 1), ("third", 3), ("second", 2)):
        at = MONDAY + timedelta(hours=hours)
        await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, Incident(mrid=mrid("i-1"), cause=cause), at=at)
    body, _ = await kept(utility, kinds.INCIDENTS, "i-1")
    assert body is not None
    assert body.cause == "third"


async def test_an_end_is_final_whenever_it_was_told(utility: Utility) -> None:
    """A change that comes after the close does not open the incident again."""
    status = Status(value="open")
    await utility.tell(cis.LISTENS, Verb.CLOSED, Noun.INCIDENTS, Incident(mrid=mrid("i-1")), at=MONDAY)
    for hours in (-1, 1):
        change = Incident(mrid=mrid("i-1"), status=status, outage=IncidentOutage(cause="tree"))
        await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, change, at=MONDAY + timedelta(hours=hours))
    body, state = await kept(utility, kinds.INCIDENTS, "i-1")
    assert state == "closed"
    assert body is not None
    assert body.outage == IncidentOutage(cause="tree")


async def test_of_a_deleted_object_only_its_identity_stays(utility: Utility) -> None:
    """Removed means removed, and a late event does not bring it back."""
    await utility.tell(
        third_party.LISTENS, Verb.CREATED, CA, CustomerAgreement(mrid=mrid("a-1"), comment="personal"), at=MONDAY
    )
    await utility.tell(third_party.LISTENS, Verb.DELETED, CA, ids=(uuid_id("a-1"),), at=MONDAY + DAY)
    late = CustomerAgreement(mrid=mrid("a-1"), comment="personal")
    for at in (MONDAY, MONDAY + 2 * DAY):
        await utility.tell(third_party.LISTENS, Verb.CHANGED, CA, late, at=at)
    stored = await utility.records.find(third_party.AGREEMENTS.collection, mrid("a-1"))
    assert stored is not None
    assert (stored.body, stored.state) == (CustomerAgreement(mrid=mrid("a-1")), DELETED)


async def test_objects_known_by_name_are_one_with_their_mrid(utility: Utility) -> None:
    """The first event had a number only, the next one the mRID as well."""
    await utility.tell(cis.LISTENS, Verb.CREATED, Noun.INCIDENTS, Incident(names=names("IN-1"), cause="tree"))
    await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, Incident(names=names("IN-1"), subject="Mill Street"))
    served = await utility.tell(
        cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, Incident(mrid=mrid("i-1"), names=names("IN-1"))
    )
    assert ids_of(served) == ["i-1"]
    stored = await utility.records.select(kinds.INCIDENTS.collection, _every())  # type: ignore[arg-type]
    assert [one.body for one in stored] == [
        Incident(mrid=mrid("i-1"), names=names("IN-1"), cause="tree", subject="Mill Street")
    ]


async def test_an_event_without_identity_is_refused(utility: Utility) -> None:
    """Nobody could ever find it again."""
    served = await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.INCIDENTS, Incident(cause="tree"))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["REF-101"])


async def test_keeps_work_of_all_three_nouns(utility: Utility) -> None:
    """What the WMS tells, with the state of the work and the organisation that asked for it."""
    request = Work(mrid=mrid("w-1"), status_kind=WorkStatusKind.enroute)
    await utility.tell(cis.LISTENS, Verb.CHANGED, Noun.SERVICE_REQUESTS, request)
    stored = await utility.records.find(kinds.SERVICE_REQUESTS.collection, mrid("w-1"))
    assert stored is not None
    assert (stored.body, stored.state) == (request, "enroute")
    wish = WorkRequests(organisation=(Organisation(names=names("Roads")),), work=(Wish(mrid=mrid("w-2")),))
    await utility.tell(cis.LISTENS, Verb.CREATED, Noun.WORK_REQUESTS, payload=wish)
    await utility.tell(cis.LISTENS, Verb.CLOSED, Noun.WORK_REQUESTS, ids=("w-2",))
    copy = await utility.records.find(kinds.WORK_REQUESTS.collection, mrid("w-2"))
    assert copy is not None
    assert (copy.body, copy.state) == (wish, "closed")


async def test_a_third_party_follows_the_agreements(utility: Utility) -> None:
    """Move-in, switch and move-out, as a retailer sees them."""
    await utility.tell(third_party.LISTENS, Verb.CHANGED, CA, payload=CustomerAgreements())
    numbers = {"a-1"}
    for verb, body in (
        (Verb.CREATE, agreement()),
        (Verb.CHANGE, CustomerAgreement(mrid=mrid("a-1"), load_mgmt="LM-2")),
        (Verb.CHANGE, CustomerAgreement(mrid=mrid("a-1"), service_supplier=ServiceSupplier(mrid=mrid("s-2")))),
        (Verb.CLOSE, None),
    ):
        utility.pass_time(days=1)
        last = max(numbers)
        served = await utility.ask(verb, CA, body or CustomerAgreement(mrid=mrid(last)))
        assert served.result is Result.OK
        numbers |= set(ids_of(served))
        await utility.pass_on(third_party.LISTENS, served.events)
        for number in numbers:
            copy = await utility.records.find(third_party.AGREEMENTS.collection, mrid(number))
            assert copy is not None
            assert copy.body == await agreement_of(utility, number)
            assert copy.state == await state_of(utility, number)
    assert numbers == {"a-1", "minted-1"}


# ------------------------------------------------------------------------------------------------------- town


def test_the_town_is_the_same_every_time() -> None:
    """Tutorials and tests name its people."""
    assert build_town(MONDAY) == build_town(MONDAY)


def test_the_town_hangs_together() -> None:
    """Two hundred premises on two feeders; every agreement has its customer, account and place."""
    town = build_town(MONDAY)
    assert len(town.premises) == 200
    feeders = Counter(one.body.feeder for one in town.premises)
    assert len(feeders) == 2
    assert min(feeders.values()) == 100
    assert all(one.body.transformer.startswith("TX-") for one in town.premises)
    assert 3 <= sum(one.body.is_critical for one in town.premises) <= 20
    customers, accounts = ({one.mrid for one in part} for part in (town.customers, town.accounts))
    places = {one.mrid: one.body for one in town.premises}
    assert len(customers) == len(accounts) == len(town.agreements) == 190
    for stored in town.agreements:
        body = stored.body
        place = places[mrid(body.service_locations[0].mrid or "")]
        assert body.customer is not None
        assert body.customer.mrid == place.customer
        assert body.customer.mrid in customers
        assert body.customer_account is not None
        assert body.customer_account.mrid == place.account
        assert place.account in accounts
        assert place.agreement == body.mrid
        assert stored.state == "active"
    every = [one.mrid for part in (town.premises, town.customers, town.accounts, town.agreements) for one in part]
    assert len(every) == len(set(every))


async def test_the_town_is_seeded_once() -> None:
    """A restart must not undo what has happened since."""
    records = MemoryRecords()
    assert await seed_town(records, MONDAY) is True
    assert await seed_town(records, MONDAY + DAY) is False


async def test_somebody_can_move_in() -> None:
    """Some premises are vacant, or every tutorial would end in an overlap."""
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    vacant = next(find_premises(index) for index in range(200) if is_vacant(index))
    served = await utility.ask(Verb.CREATE, CA, agreement("a-1", vacant.mrid("location")))
    assert served.result is Result.OK
