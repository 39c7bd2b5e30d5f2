"""Behaviour of the built-in outage management."""

from datetime import UTC, datetime, timedelta

import pytest

from cimcare.errors import Level
from cimcare.model.enumerations import TroubleReportingKind
from cimcare.model.envelope import IDKind, ObjectID, Result
from cimcare.model.incident import Incident, IncidentHazard, IncidentIdentity, UsagePointIdentity
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises, name_of
from cimcare.systems import oms
from cimcare.systems.cis import seed_town
from cimcare.systems.oms.kinds import INCIDENTS, TICKETS
from tests.unit.systems.utility import (
    MONDAY,
    Utility,
    codes_of,
    events_of,
    ids_of,
    items_of,
    mrid,
    name_id,
    names,
    shown_in,
    uuid_id,
)

TT = Noun.TROUBLE_TICKETS


@pytest.fixture
def utility() -> Utility:
    return Utility()


@pytest.fixture
async def town() -> Utility:
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    return utility


def at_place(place: str, **members: object) -> TroubleTicket:
    import msgspec

    ticket = TroubleTicket(service_location=ServiceLocationIdentity(mrid=mrid(place)), date_time_of_report=MONDAY)
    return msgspec.structs.replace(ticket, **members)


async def incident_of(utility: Utility, ticket: str) -> Incident:
    stored = await utility.records.find(TICKETS.collection, mrid(ticket))
    assert stored is not None
    assert stored.body.incident is not None
    found = await utility.records.find(INCIDENTS.collection, mrid(stored.body.incident.mrid or ""))
    assert found is not None
    return found.body


async def ticket_of(utility: Utility, ticket: str) -> TroubleTicket:
    stored = await utility.records.find(TICKETS.collection, mrid(ticket))
    assert stored is not None
    return stored.body


# ------------------------------------------------------------------------------------------------------ create


async def test_create_mints_an_mrid_and_shows_what_is_known_now(utility: Utility) -> None:
    """The CIS learns the identity from the reply, and everybody else from the event."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=None, comment="No light."))
    assert served.result is Result.OK
    assert [(one.kind, one.object_type) for one in served.ids] == [
        (IDKind.uuid, "TroubleTicket"),
        (IDKind.uuid, "Incident"),
    ]
    assert events_of(served) == [("created", "TroubleTickets", 1), ("created", "Incidents", 1)]
    shown = shown_in(served, Verb.CREATED, TT)
    assert isinstance(shown, TroubleTicket)
    assert shown.mrid == ids_of(served)[0]
    assert shown.comment == "No light."
    assert shown.created_date_time == shown.last_modified_date_time == MONDAY
    assert shown.status == Status(value="open", date_time=MONDAY)
    incident = shown_in(served, Verb.CREATED, Noun.INCIDENTS)
    assert isinstance(incident, Incident)
    assert shown.incident == IncidentIdentity(mrid=incident.mrid)
    assert [one.mrid for one in incident.trouble_tickets] == [shown.mrid]


async def test_create_keeps_the_identity_that_was_given(utility: Utility) -> None:
    """Partners with a shared registry find their tickets under their own mRIDs."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=names("TT-1")))
    assert ids_of(served) == ["t-1"]


async def test_create_refuses_an_identity_that_exists(utility: Utility) -> None:
    """EPRI case 1b: FAILED, 6.1, with the identity at fault."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=names("1", scheme="No", authority="C")))
    for twin in (
        at_place("p-2", mrid=mrid("t-1")),
        at_place("p-2", names=names("1", scheme="No", authority="C")),
    ):
        served = await utility.ask(Verb.CREATE, TT, twin)
        assert served.result is Result.FAILED
        assert codes_of(served) == ["LIF-103"]
        assert served.findings[0].level is Level.FATAL
        assert served.findings[0].object_id in ("t-1", "1 (No, C)")
        assert served.events == ()
    served = await utility.ask(Verb.CREATE, TT, at_place("p-2", names=names("1", scheme="No", authority="Other")))
    assert served.result is Result.OK


async def test_create_judges_each_ticket_of_a_message(utility: Utility) -> None:
    """EPRI case 1d: the good ones are taken, the bad one is named, and only the good ones are told of."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    served = await utility.ask(
        Verb.CREATE,
        TT,
        at_place("p-2", mrid=mrid("t-2")),
        at_place("p-3", mrid=mrid("t-1")),
        at_place("p-3", mrid=mrid("t-3")),
    )
    assert served.result is Result.PARTIAL
    assert ids_of(served) == ["t-2", "t-3"]
    assert [(one.code, one.object_id, one.path) for one in served.findings if one.level is not Level.INFORM] == [
        ("LIF-103", "t-1", "/RequestMessage/Payload/TroubleTickets/TroubleTicket[2]")
    ]
    assert [one.mrid for one in items_of(served.events[0].payload)] == ["t-2", "t-3"]  # type: ignore[attr-defined]


async def test_create_refuses_the_second_of_two_equal_identities(utility: Utility) -> None:
    """Twins inside one message are no better than twins in two."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t")), at_place("p", mrid=mrid("t")))
    assert (served.result, codes_of(served)) == (Result.PARTIAL, ["LIF-103"])


async def test_create_without_tickets_fails(utility: Utility) -> None:
    """Nothing asked, nothing done, and said so."""
    served = await utility.ask(Verb.CREATE, TT)
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["CNV-110"], ())


async def test_create_ignores_a_state_that_is_not_the_partners_to_set(utility: Utility) -> None:
    """A ticket starts open whatever the sender calls it; reason and remark are kept."""
    await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t"), status=Status(value="in work", reason="storm")))
    assert (await ticket_of(utility, "t")).status == Status(value="open", reason="storm", date_time=MONDAY)


async def test_a_ticket_that_was_resolved_before_it_came_opens_no_incident(utility: Utility) -> None:
    """History that is loaded later must not make outages."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t"), resolved_date_time=MONDAY))
    assert events_of(served) == [("created", "TroubleTickets", 1)]
    status = (await ticket_of(utility, "t")).status
    assert status is not None
    assert status.value == "resolved"


# ---------------------------------------------------------------------------------------------------- grouping


async def test_a_second_call_from_the_same_premises_joins_the_incident(utility: Utility) -> None:
    """Repeat callers must not become new outages."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-2"), trouble_code="OUT"))
    assert events_of(served) == [("created", "TroubleTickets", 1), ("changed", "Incidents", 1)]
    first, second = await incident_of(utility, "t-1"), await incident_of(utility, "t-2")
    assert first == second
    assert first.outage is not None
    assert first.outage.summary is not None
    assert first.outage.summary.total_count == 1
    told = shown_in(served, Verb.CHANGED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert [(one.mrid, one.trouble_code) for one in told.trouble_tickets] == [("t-2", "OUT")]
    assert told.mrid == first.mrid
    assert told.outage is None  # the same premises


async def test_calls_from_other_premises_do_not_join(utility: Utility) -> None:
    """Without a network model two places have nothing in common."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    await utility.ask(Verb.CREATE, TT, at_place("p-2", mrid=mrid("t-2")))
    assert (await incident_of(utility, "t-1")).mrid != (await incident_of(utility, "t-2")).mrid


async def test_calls_that_state_one_device_join(utility: Utility) -> None:
    """The network model may not know the place, and the caller does."""
    device = names("TX-7", scheme="Device")
    created = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=device))
    first = shown_in(created, Verb.CREATED, Noun.INCIDENTS)
    assert isinstance(first, Incident)
    assert first.outage is not None
    assert first.outage.is_planned is False
    assert first.location is not None
    assert (first.location.type, first.location.names) == ("unresolved", device)

    utility.pass_time(minutes=5)
    second = await utility.ask(
        Verb.CREATE, TT, at_place("p-2", mrid=mrid("t-2"), names=device, date_time_of_report=utility.now)
    )
    told = shown_in(second, Verb.CHANGED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert told.outage is not None
    assert told.outage.summary is not None
    assert told.outage.summary.total_count == 2
    assert (await incident_of(utility, "t-1")).mrid == (await incident_of(utility, "t-2")).mrid


async def test_no_restoration_time_is_made_up(utility: Utility) -> None:
    """A time that nobody has said is worse than none: people throw food away by it, or do not."""
    for number in range(3):
        await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid(f"t-{number}")))
    incident = await incident_of(utility, "t-1")
    assert incident.outage is not None
    assert incident.outage.estimated_period is not None
    assert (incident.outage.estimated_period.start, incident.outage.estimated_period.end) == (MONDAY, None)
    assert incident.status == Status(value="open", reason="none", date_time=MONDAY)


async def test_a_device_is_no_identity_of_the_ticket(utility: Utility) -> None:
    """A hundred calls may name one transformer."""
    device = names("TX-7", scheme="Device")
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=device))
    assert (await utility.ask(Verb.CHANGE, TT, TroubleTicket(names=device, comment="x"))).findings[0].code == "REF-101"


async def test_tickets_of_one_message_give_one_event_an_incident(utility: Utility) -> None:
    """Listeners see the incident as it is after the message."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1"), at_place("p-1"), at_place("p-2"))
    assert events_of(served) == [
        ("created", "TroubleTickets", 3),
        ("created", "Incidents", 2),
    ]
    incident = items_of(served.events[1].payload)[0]
    assert isinstance(incident, Incident)
    assert len(incident.trouble_tickets) == 2


async def test_hazards_are_copied_to_the_incident_once(utility: Utility) -> None:
    """A wire on the street must be known wherever the incident is."""
    wire = IncidentHazard(type="wire down")
    await utility.ask(Verb.CREATE, TT, at_place("p-1", hazards=(wire,)))
    served = await utility.ask(
        Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-2"), hazards=(wire, IncidentHazard(type="fire")))
    )
    told = shown_in(served, Verb.CHANGED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert [hazard.type for hazard in told.hazards] == ["fire"]
    assert [hazard.type for hazard in (await incident_of(utility, "t-2")).hazards] == ["wire down", "fire"]


async def test_a_ticket_may_name_its_incident(utility: Utility) -> None:
    """The agent on the phone sees which outage the caller means."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    incident = await incident_of(utility, "t-1")
    served = await utility.ask(
        Verb.CREATE, TT, at_place("p-2", mrid=mrid("t-2"), incident=IncidentIdentity(mrid=incident.mrid))
    )
    assert codes_of(served) == []
    assert (await incident_of(utility, "t-2")).mrid == incident.mrid
    served = await utility.ask(
        Verb.CREATE, TT, at_place("p-3", mrid=mrid("t-3"), incident=IncidentIdentity(mrid=mrid("nonsense")))
    )
    assert (served.result, codes_of(served)) == (Result.OK, ["REF-107"])
    assert (await incident_of(utility, "t-3")).mrid not in (incident.mrid, "nonsense")


async def test_a_call_without_place_or_customer_is_not_dropped(town: Utility) -> None:
    """Somebody on the road reports a wire down: it is taken, warned of, and grouped with nothing."""
    served = await town.ask(Verb.CREATE, TT, TroubleTicket(mrid=mrid("t-1")), TroubleTicket(mrid=mrid("t-2")))
    assert (served.result, codes_of(served)) == (Result.OK, ["REF-105", "REF-105"])
    assert {finding.level for finding in served.findings if finding.code == "REF-105"} == {Level.WARNING}
    first, second = await incident_of(town, "t-1"), await incident_of(town, "t-2")
    assert first.mrid != second.mrid
    assert first.outage is not None
    assert first.outage.summary is not None
    assert first.outage.summary.total_count == 1


async def test_an_unknown_place_is_taken_with_a_warning(town: Utility) -> None:
    """The directory may be behind; the caller is not to suffer for it."""
    customer = TroubleTicketCustomer(mrid=mrid("nobody"))
    served = await town.ask(Verb.CREATE, TT, at_place("nowhere", mrid=mrid("t-1"), customer=customer))
    assert (served.result, codes_of(served)) == (Result.OK, ["REF-105", "REF-106"])
    await town.ask(Verb.CREATE, TT, at_place("nowhere", mrid=mrid("t-2")))
    assert (await incident_of(town, "t-1")).mrid == (await incident_of(town, "t-2")).mrid


async def test_without_a_directory_no_place_is_called_unknown(utility: Utility) -> None:
    """Where a real CIS keeps the premises, every ticket would carry the warning."""
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1"))
    assert codes_of(served) == []


async def test_the_caller_hears_the_incident_and_what_is_known_of_its_end(utility: Utility) -> None:
    """Report once, attach many: whoever calls, first or fifth, is told which outage it is, in the reply itself."""
    for ticket in ("t-1", "t-2"):
        served = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid(ticket)))
        incident = (await incident_of(utility, ticket)).mrid
        assert [(one.object_type, one.value) for one in served.ids] == [
            ("TroubleTicket", ticket),
            ("Incident", incident),
        ]
        (said,) = served.findings
        assert (said.code, said.level, said.object_id) == ("BUS-120", Level.INFORM, ticket)
        assert f"is in incident {incident}" in said.found
        assert "No restoration time is known yet." in said.found
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-1"), comment="again"))
    assert [one.code for one in served.findings] == ["BUS-120"]


async def test_premises_are_one_by_whatever_they_are_named(town: Utility) -> None:
    """One caller gives the premises, one the meter point, one only the customer number: one incident."""
    home = find_premises(3)
    tickets = (
        TroubleTicket(mrid=mrid("t-1"), service_location=ServiceLocationIdentity(mrid=home.mrid("location"))),
        TroubleTicket(
            mrid=mrid("t-2"),
            service_location=ServiceLocationIdentity(names=name_of(home.location, "ServiceLocationNumber")),
        ),
        TroubleTicket(
            mrid=mrid("t-3"),
            customer=TroubleTicketCustomer(
                customer_agreements=(
                    CustomerAgreementPlace(
                        usage_points=(UsagePointIdentity(names=name_of(home.usage_point, "UsagePointNumber")),)
                    ),
                )
            ),
        ),
        TroubleTicket(mrid=mrid("t-4"), customer=TroubleTicketCustomer(names=name_of(home.customer, "CustomerNumber"))),
        TroubleTicket(
            mrid=mrid("t-5"),
            customer=TroubleTicketCustomer(
                customer_agreements=(CustomerAgreementPlace(names=name_of(home.agreement, "AgreementNumber")),)
            ),
        ),
        TroubleTicket(mrid=mrid("t-6"), service_location=ServiceLocationIdentity(names=names(home.location))),
    )
    served = await town.ask(Verb.CREATE, TT, *tickets)
    assert codes_of(served) == []
    assert events_of(served) == [("created", "TroubleTickets", 6), ("created", "Incidents", 1)]
    incident = await incident_of(town, "t-1")
    assert incident.outage is not None
    assert incident.outage.summary is not None
    assert (incident.outage.summary.total_count, incident.outage.summary.critical_count) == (1, 1)


async def test_an_earlier_report_moves_the_start_of_the_outage(utility: Utility) -> None:
    """Calls arrive in any order; the outage began with the first report, not with the first message."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    earlier = MONDAY - timedelta(minutes=30)
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-2"), date_time_of_report=earlier))
    outage = (await incident_of(utility, "t-1")).outage
    assert outage is not None
    assert outage.estimated_period is not None
    assert outage.estimated_period.start == earlier


async def test_the_outage_begins_with_the_first_report_that_counts(utility: Utility) -> None:
    """The call that was an error began nothing."""
    earlier = MONDAY - timedelta(minutes=30)
    device = names("TX-7", scheme="Device")
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=device))
    for place, ticket in (("p-1", "t-2"), ("p-2", "t-3")):
        wrong = at_place(place, mrid=mrid(ticket), names=device, date_time_of_report=earlier)
        await utility.ask(Verb.CREATE, TT, wrong)
        assert (await start_of(utility, "t-1")) == earlier
        await utility.ask(Verb.CANCEL, TT, ids=(ticket,))
        assert (await start_of(utility, "t-1")) == MONDAY


async def start_of(utility: Utility, ticket: str) -> datetime | None:
    outage = (await incident_of(utility, ticket)).outage
    assert outage is not None
    assert outage.estimated_period is not None
    return outage.estimated_period.start


async def test_an_incident_costs_the_same_however_many_tickets_it_has(utility: Utility) -> None:
    """A storm has a hundred thousand calls; what is written for one must not hold those before it."""
    device = names("TX-7", scheme="Device")
    for number in range(30):
        await utility.ask(Verb.CREATE, TT, at_place(f"p-{number}", mrid=mrid(f"t-{number}"), names=device))
    body = await incident_of(utility, "t-29")
    stored = await utility.records.find(INCIDENTS.collection, mrid(body.mrid or ""))
    assert stored is not None
    assert stored.body.trouble_tickets == ()
    assert len(stored.keys) < 5
    (shown,) = items_of((await utility.ask(Verb.GET, Noun.INCIDENTS)).payload)
    assert isinstance(shown, Incident)
    assert [one.mrid for one in shown.trouble_tickets] == [f"t-{number}" for number in range(30)]


# ------------------------------------------------------------------------------------------------------ change


async def test_change_merges_and_tells_the_change(utility: Utility) -> None:
    """A second call adds a hazard; the incident learns of it; the event carries the request's content."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=names("TT-1"), comment="dark"))
    utility.pass_time(minutes=3)
    served = await utility.ask(
        Verb.CHANGE, TT, TroubleTicket(names=names("TT-1"), hazards=(IncidentHazard(type="fire"),))
    )
    assert served.result is Result.OK
    assert events_of(served) == [("changed", "TroubleTickets", 1), ("changed", "Incidents", 1)]
    assert shown_in(served, Verb.CHANGED, TT) == TroubleTicket(
        mrid=mrid("t-1"),
        names=names("TT-1"),
        hazards=(IncidentHazard(type="fire"),),
        last_modified_date_time=utility.now,
    )
    ticket = await ticket_of(utility, "t-1")
    assert (ticket.comment, ticket.hazards) == ("dark", (IncidentHazard(type="fire"),))
    assert (await incident_of(utility, "t-1")).hazards == (IncidentHazard(type="fire"),)


async def test_change_of_an_unknown_or_unnamed_ticket_fails(utility: Utility) -> None:
    """Reply code 2.15 with the identity, so that the sender can find its mistake."""
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-9"), comment="x"))
    assert (served.result, codes_of(served), served.findings[0].object_id) == (Result.FAILED, ["REF-103"], "t-9")
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(names=names("TT-9")))
    assert (codes_of(served), served.findings[0].object_id) == (["REF-103"], "TT-9")
    assert codes_of(await utility.ask(Verb.CHANGE, TT, TroubleTicket(comment="x"))) == ["REF-101"]


async def test_change_by_a_name_of_several_tickets_fails(utility: Utility) -> None:
    """Guessing which ticket is meant would be worse than asking."""
    for scheme in ("CIS", "IVR"):
        await utility.ask(Verb.CREATE, TT, at_place("p-1", names=names("17", scheme=scheme)))
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(names=names("17"), comment="x"))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["REF-104"])
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(names=names("17", scheme="IVR"), comment="x"))
    assert served.result is Result.OK


async def test_change_by_the_id_of_the_request_section(utility: Utility) -> None:
    """A change may name its object in Request/ID and leave the payload to what changes."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(comment="x"), ids=("t-1",))
    assert (served.result, ids_of(served)) == (Result.OK, ["t-1"])


async def test_change_may_not_take_the_name_of_another_ticket(utility: Utility) -> None:
    """Afterwards the name would mean two tickets."""
    await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t-1"), names=names("TT-1")))
    await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t-2"), names=names("TT-2")))
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-2"), names=names("TT-1")))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["REF-102"])


async def test_change_does_not_resolve(utility: Utility) -> None:
    """`resolved` needs the verb that says so, or a dark house counts as lit."""
    await utility.ask(Verb.CREATE, TT, at_place("p", mrid=mrid("t-1")))
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-1"), resolved_date_time=MONDAY))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["LIF-102"])
    served = await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-1"), status=Status(value="resolved")))
    assert (served.result, codes_of(served), served.findings[0].level) == (Result.OK, ["LIF-102"], Level.WARNING)
    status = (await ticket_of(utility, "t-1")).status
    assert status is not None
    assert status.value == "open"


async def test_another_place_takes_the_ticket_to_another_incident(utility: Utility) -> None:
    """The agent took the wrong premises first; the false outage must not stay."""
    await utility.ask(Verb.CREATE, TT, at_place("wrong", mrid=mrid("t-1")))
    await utility.ask(Verb.CREATE, TT, at_place("right", mrid=mrid("t-2")))
    false = await incident_of(utility, "t-1")
    served = await utility.ask(
        Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-1"), service_location=ServiceLocationIdentity(mrid=mrid("right")))
    )
    assert events_of(served) == [
        ("changed", "TroubleTickets", 1),
        ("changed", "Incidents", 1),
        ("canceled", "Incidents", 1),
    ]
    right = await incident_of(utility, "t-2")
    shown = shown_in(served, Verb.CHANGED, TT)
    assert isinstance(shown, TroubleTicket)
    assert shown.incident == IncidentIdentity(mrid=right.mrid)
    stored = await utility.records.find(INCIDENTS.collection, mrid(false.mrid or ""))
    assert stored is not None
    assert stored.state == "cancelled"


async def test_a_device_stated_later_joins_its_incident(utility: Utility) -> None:
    """The second call names the transformer that others have named."""
    device = names("TX-7", scheme="Device")
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=device))
    await utility.ask(Verb.CREATE, TT, at_place("p-2", mrid=mrid("t-2")))
    await utility.ask(Verb.CHANGE, TT, TroubleTicket(mrid=mrid("t-2"), names=device))
    incident = await incident_of(utility, "t-2")
    assert incident.mrid == (await incident_of(utility, "t-1")).mrid
    assert incident.outage is not None
    assert incident.outage.summary is not None
    assert incident.outage.summary.total_count == 2


# ----------------------------------------------------------------------------------------- cancel, close, delete


async def test_closing_the_last_open_ticket_closes_the_incident(utility: Utility) -> None:
    """All restored, with the actual end; not before the last caller is served."""
    for ticket in ("t-1", "t-2"):
        await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid(ticket)))
    restored = MONDAY + timedelta(minutes=50)
    utility.pass_time(hours=1)
    served = await utility.ask(Verb.CLOSE, TT, TroubleTicket(mrid=mrid("t-1"), resolved_date_time=restored))
    assert events_of(served) == [("closed", "TroubleTickets", 1)]
    assert shown_in(served, Verb.CLOSED, TT) == TroubleTicket(
        mrid=mrid("t-1"),
        resolved_date_time=restored,
        last_modified_date_time=utility.now,
        status=Status(value="resolved", date_time=utility.now),
    )
    served = await utility.ask(Verb.CLOSE, TT, ids=("t-2",))
    assert events_of(served) == [("closed", "TroubleTickets", 1), ("closed", "Incidents", 1)]
    told = shown_in(served, Verb.CLOSED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert told.outage is not None
    assert told.outage.actual_period is not None
    assert (told.outage.actual_period.start, told.outage.actual_period.end) == (MONDAY, utility.now)
    assert told.status is not None
    assert told.status.value == "closed"
    assert (await ticket_of(utility, "t-2")).resolved_date_time == utility.now


async def test_cancelling_every_ticket_cancels_the_incident(utility: Utility) -> None:
    """The predicted outage proved false."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")), at_place("p-1", mrid=mrid("t-2")))
    served = await utility.ask(Verb.CANCEL, TT, ids=("t-1", "t-2"))
    assert events_of(served) == [("canceled", "TroubleTickets", 2), ("canceled", "Incidents", 1)]
    told = shown_in(served, Verb.CANCELED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert told.outage is not None
    assert told.outage.cancelled_date_time == MONDAY
    assert told.status is not None
    assert told.status.value == "cancelled"


async def test_a_resolved_and_a_cancelled_ticket_close_the_incident(utility: Utility) -> None:
    """One of the calls was real."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")), at_place("p-1", mrid=mrid("t-2")))
    await utility.ask(Verb.CLOSE, TT, ids=("t-1",))
    served = await utility.ask(Verb.CANCEL, TT, ids=("t-2",))
    assert events_of(served) == [("canceled", "TroubleTickets", 1), ("closed", "Incidents", 1)]


async def test_a_cancelled_ticket_no_longer_counts(utility: Utility) -> None:
    """Wrong premises must not stay in the number of customers without supply."""
    device = names("TX-7", scheme="Device")
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=device))
    await utility.ask(Verb.CREATE, TT, at_place("p-2", mrid=mrid("t-2"), names=device))
    await utility.ask(Verb.CANCEL, TT, ids=("t-2",))
    outage = (await incident_of(utility, "t-1")).outage
    assert outage is not None
    assert outage.summary is not None
    assert outage.summary.total_count == 1


async def test_trouble_after_the_end_is_a_new_incident(utility: Utility) -> None:
    """A customer who says "still out" is believed."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    await utility.ask(Verb.CLOSE, TT, ids=("t-1",))
    served = await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-2")))
    assert events_of(served) == [("created", "TroubleTickets", 1), ("created", "Incidents", 1)]


@pytest.mark.parametrize("verb", [Verb.CHANGE, Verb.CANCEL, Verb.CLOSE])
@pytest.mark.parametrize("end", [Verb.CANCEL, Verb.CLOSE])
async def test_nothing_more_happens_to_a_ticket_that_has_ended(utility: Utility, end: Verb, verb: Verb) -> None:
    """Its history stands."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    await utility.ask(end, TT, ids=("t-1",))
    served = await utility.ask(verb, TT, TroubleTicket(mrid=mrid("t-1"), comment="x"))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["LIF-105"], ())


async def test_a_ticket_is_not_resolved_before_it_was_reported(utility: Utility) -> None:
    """Such a ticket has a negative outage."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    early = TroubleTicket(mrid=mrid("t-1"), resolved_date_time=MONDAY - timedelta(seconds=1))
    served = await utility.ask(Verb.CLOSE, TT, early)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-102"])


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.CLOSE])
async def test_objects_are_named_in_every_allowed_place(utility: Utility, verb: Verb) -> None:
    """Request/ID, Payload/ID and payload objects are all met in the field; one object counts once."""
    for ticket in ("t-1", "t-2", "t-3"):
        await utility.ask(
            Verb.CREATE, TT, at_place(ticket, mrid=mrid(ticket), names=names(ticket.upper(), scheme="No"))
        )
    assert ids_of(await utility.ask(verb, TT, ids=(name_id("T-1", id_type="No"), "t-1"))) == ["t-1"]
    assert ids_of(await utility.ask(verb, TT, payload_ids=(uuid_id("t-2"),))) == ["t-2"]
    assert ids_of(await utility.ask(verb, TT, TroubleTicket(names=names("T-3")), ids=("t-3",))) == ["t-3"]
    served = await utility.ask(verb, TT)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["CNV-105"])


async def test_some_unknown_ids_make_a_cancel_partial(utility: Utility) -> None:
    """What can be done is done, what cannot is named."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    served = await utility.ask(Verb.CANCEL, TT, ids=("t-1", "t-9", uuid_id("t-8")))
    assert (served.result, ids_of(served)) == (Result.PARTIAL, ["t-1"])
    assert [(one.code, one.object_id) for one in served.findings] == [("REF-103", "t-9"), ("REF-103", "t-8")]


async def test_an_id_of_another_class_does_not_name_a_ticket(utility: Utility) -> None:
    """A meter with the number of a ticket must not cancel it."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1")))
    served = await utility.ask(Verb.CANCEL, TT, ids=(ObjectID(value="t-1", object_type="Meter"),))
    assert (served.result, codes_of(served)) == (Result.FAILED, ["REF-103"])
    served = await utility.ask(Verb.CANCEL, TT, ids=(ObjectID(value="t-1", object_type="TroubleTicket"),))
    assert served.result is Result.OK


async def test_delete_only_after_the_end(utility: Utility) -> None:
    """An open call must not vanish."""
    await utility.ask(Verb.CREATE, TT, at_place("p-1", mrid=mrid("t-1"), names=names("TT-1")))
    served = await utility.ask(Verb.DELETE, TT, ids=("t-1",))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["LIF-101"], ())
    await utility.ask(Verb.CLOSE, TT, ids=("t-1",))
    served = await utility.ask(Verb.DELETE, TT, ids=("t-1",))
    assert served.result is Result.OK
    assert shown_in(served, Verb.DELETED, TT) == TroubleTicket(mrid=mrid("t-1"), names=names("TT-1"))
    assert codes_of(await utility.ask(Verb.GET, TT, ids=("t-1",))) == ["REF-103"]


# ----------------------------------------------------------------------------------------------------- listening


async def test_a_ticket_that_was_only_told_of_is_taken_like_a_request(utility: Utility) -> None:
    """The CIS may publish instead of ask; the OMS then tells what it has added, as a change."""
    ticket = at_place("p-1", mrid=mrid("t-1"), comment="dark")
    served = await utility.tell(oms.LISTENS, Verb.CREATED, TT, ticket)
    assert events_of(served) == [("changed", "TroubleTickets", 1), ("created", "Incidents", 1)]
    shown = shown_in(served, Verb.CHANGED, TT)
    assert isinstance(shown, TroubleTicket)
    assert (shown.mrid, shown.comment) == ("t-1", None)
    assert shown.incident is not None
    assert (await ticket_of(utility, "t-1")).comment == "dark"


async def test_an_event_that_comes_twice_has_no_second_effect(utility: Utility) -> None:
    """Deliveries are repeated; incidents must not be."""
    ticket = at_place("p-1", mrid=mrid("t-1"), hazards=(IncidentHazard(type="fire"),))
    for _ in range(2):
        served = await utility.tell(oms.LISTENS, Verb.CREATED, TT, ticket)
        assert (served.result, ids_of(served)) == (Result.OK, ["t-1"])
    assert events_of(served) == []
    change = TroubleTicket(mrid=mrid("t-1"), hazards=(IncidentHazard(type="wire down"),))
    served = await utility.tell(oms.LISTENS, Verb.CHANGED, TT, change)
    assert events_of(served) == [("changed", "Incidents", 1)]
    assert events_of(await utility.tell(oms.LISTENS, Verb.CHANGED, TT, change)) == []
    served = await utility.tell(oms.LISTENS, Verb.CLOSED, TT, ids=("t-1",))
    assert events_of(served) == [("closed", "Incidents", 1)]
    served = await utility.tell(oms.LISTENS, Verb.CLOSED, TT, ids=("t-1",))
    assert (served.result, events_of(served)) == (Result.OK, [])


async def test_own_events_that_come_back_start_no_loop(utility: Utility) -> None:
    """A hub may deliver events to their sender."""
    for verb, objects in (
        (Verb.CREATE, (at_place("p-1", mrid=mrid("t-1")),)),
        (Verb.CHANGE, (TroubleTicket(mrid=mrid("t-1"), comment="again"),)),
        (Verb.CANCEL, (TroubleTicket(mrid=mrid("t-1")),)),
    ):
        served = await utility.ask(verb, TT, *objects)
        echo = served.events[0]
        heard = await utility.tell(oms.LISTENS, echo.verb, TT, payload=echo.payload)
        assert (heard.result, heard.events) == (Result.OK, ())


async def test_a_change_of_an_unknown_ticket_is_taken_as_a_ticket(utility: Utility) -> None:
    """The event before it was lost; the call is not."""
    served = await utility.tell(oms.LISTENS, Verb.CHANGED, TT, at_place("p-1", mrid=mrid("t-1")))
    assert events_of(served) == [("changed", "TroubleTickets", 1), ("created", "Incidents", 1)]


async def test_the_end_of_an_unknown_ticket_is_noted_and_left(utility: Utility) -> None:
    """There is nothing to end, and nobody to blame."""
    served = await utility.tell(oms.LISTENS, Verb.CANCELED, TT, ids=("t-9",))
    assert (served.result, codes_of(served), served.findings[0].level) == (Result.OK, ["REF-103"], Level.WARNING)


# ------------------------------------------------------------------------------------------------- odd content


async def test_odd_content_is_served_without_an_exception(utility: Utility) -> None:
    """Handlers run inside the transaction of the hub; bad content must become a finding, not a fault."""
    odd = (
        TroubleTicket(),
        at_place("", mrid=mrid(" "), names=names("")),
        at_place("p|q", mrid=mrid("t|1"), names=names("a|b", scheme="c|d", authority="e|f")),
        at_place("p", date_time_of_report=datetime(1, 1, 1), created_date_time=datetime(9999, 12, 31, 23, 59)),  # noqa: DTZ001
        at_place(
            "p", date_time_of_report=datetime(9999, 12, 31, 23, tzinfo=UTC), reporting_kind=TroubleReportingKind.ivr
        ),
    )
    for ticket in odd:
        served = await utility.ask(Verb.CREATE, TT, ticket)
        assert served.result is Result.OK
        for verb in (Verb.CHANGE, Verb.CLOSE, Verb.CANCEL, Verb.DELETE):
            await utility.ask(verb, TT, ticket)
            await utility.ask(verb, TT, payload=TroubleTickets())
    assert (await utility.ask(Verb.GET, TT)).result is Result.OK
