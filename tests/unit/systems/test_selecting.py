"""Behaviour of get, for every way of asking."""

from datetime import timedelta

import pytest

from cimcare.errors import Level
from cimcare.model.enumerations import TroubleReportingKind, WorkKind, WorkStatusKind
from cimcare.model.envelope import IDKind, ObjectID, Result
from cimcare.model.incident import CustomerIdentity, Incident, IncidentIdentity
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.queries import (
    CrewIdentity,
    CustomerAccountIdentity,
    CustomerAgreementFilter,
    GetCustomerAgreements,
    GetIncidents,
    GetServiceOrders,
    GetTroubleTickets,
    GetWorkRequests,
    IncidentFilter,
    OrganisationIdentity,
    TroubleTicketFilter,
    WorkFilter,
)
from cimcare.model.service_order import Work as Order
from cimcare.model.service_order import WorkTask
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTicketCustomer
from cimcare.model.verbs import Verb
from cimcare.model.work import Crew
from cimcare.model.work_request import Organisation, WorkRequests
from cimcare.model.work_request import Work as Wish
from cimcare.samples.northlake import find_premises, name_of
from cimcare.systems import selecting
from cimcare.systems.cis import seed_town
from cimcare.systems.oms import looking
from tests.unit.systems.utility import MONDAY, Utility, codes_of, items_of, mrid, name_id, names, uuid_id

TT = Noun.TROUBLE_TICKETS


@pytest.fixture
async def utility() -> Utility:
    """Three tickets: t-1 and t-2 of one place and two customers, t-3 of another place, resolved."""
    utility = Utility()
    tickets = (
        TroubleTicket(
            mrid=mrid("t-1"),
            names=names("TT-1", scheme="No", authority="CIS"),
            date_time_of_report=MONDAY,
            trouble_code="OUT",
            reporting_kind=TroubleReportingKind.call,
            customer=TroubleTicketCustomer(mrid=mrid("c-1")),
            service_location=ServiceLocationIdentity(mrid=mrid("p-1")),
        ),
        TroubleTicket(
            mrid=mrid("t-2"),
            date_time_of_report=MONDAY + timedelta(hours=1),
            trouble_code="FLICKER",
            customer=TroubleTicketCustomer(names=names("C-2", scheme="Customer")),
            service_location=ServiceLocationIdentity(mrid=mrid("p-1")),
        ),
        TroubleTicket(
            mrid=mrid("t-3"),
            date_time_of_report=MONDAY + timedelta(hours=2),
            trouble_code="OUT",
            customer=TroubleTicketCustomer(mrid=mrid("c-1")),
            service_location=ServiceLocationIdentity(names=names("P-2")),
        ),
    )
    await utility.ask(Verb.CREATE, TT, *tickets)
    utility.pass_time(hours=3)
    await utility.ask(Verb.CLOSE, TT, ids=("t-3",))
    return utility


async def asked(utility: Utility, noun: Noun = TT, **parts: object) -> list[str]:
    served = await utility.ask(Verb.GET, noun, **parts)  # type: ignore[arg-type]
    assert served.result is Result.OK
    assert served.findings == ()
    assert served.events == ()
    return [one.mrid for one in items_of(served.payload)]  # type: ignore[attr-defined]


async def test_a_get_without_filter_gives_all(utility: Utility) -> None:
    """First load of a partner."""
    assert await asked(utility) == ["t-1", "t-2", "t-3"]


async def test_ids_are_mrids_or_names(utility: Utility) -> None:
    """Every manner of naming an object in Request/ID."""
    assert await asked(utility, ids=("t-2",)) == ["t-2"]
    assert await asked(utility, ids=(uuid_id("t-2"), "TT-1")) == ["t-1", "t-2"]
    assert await asked(utility, ids=(name_id("t-3"),)) == ["t-3"]
    assert await asked(utility, ids=(name_id("TT-1", id_type="No"),)) == ["t-1"]
    assert await asked(utility, ids=(name_id("TT-1", id_type="No", authority="CIS"),)) == ["t-1"]


@pytest.mark.parametrize(
    "identifier",
    [
        uuid_id("TT-1"),
        name_id("TT-1", id_type="Other"),
        name_id("TT-1", id_type="No", authority="OMS"),
        name_id("t-1", id_type="No"),
        ObjectID(value="t-1", kind=IDKind.transaction),
        ObjectID(value="t-1", object_type="Meter"),
        ObjectID(value=" "),
    ],
    ids=str,
)
async def test_an_id_means_only_what_it_says(utility: Utility, identifier: ObjectID) -> None:
    """A name is no uuid, and the number of one scheme is not that of another."""
    served = await utility.ask(Verb.GET, TT, ids=(identifier,))
    assert (served.result, codes_of(served), served.payload) == (Result.FAILED, ["REF-103"], None)


async def test_some_unknown_ids_make_the_answer_partial(utility: Utility) -> None:
    """What is there is sent, what is not is named as a warning."""
    served = await utility.ask(Verb.GET, TT, ids=("t-1", "t-8", "t-9"))
    assert served.result is Result.PARTIAL
    assert [(one.code, one.level, one.object_id) for one in served.findings] == [
        ("REF-103", Level.WARNING, "t-8"),
        ("REF-103", Level.WARNING, "t-9"),
    ]
    assert len(items_of(served.payload)) == 1


async def test_only_unknown_ids_fail(utility: Utility) -> None:
    """2.15 for each of them, and no payload."""
    served = await utility.ask(Verb.GET, TT, ids=("t-8", "t-9"))
    assert (served.result, codes_of(served), served.payload) == (Result.FAILED, ["REF-103"] * 2, None)
    assert all(finding.level is Level.FATAL for finding in served.findings)


async def test_times_bound_the_report(utility: Utility) -> None:
    """StartTime and EndTime are included, and mean when the trouble was reported."""
    hour = MONDAY + timedelta(hours=1)
    assert await asked(utility, start=hour) == ["t-2", "t-3"]
    assert await asked(utility, end=hour) == ["t-1", "t-2"]
    assert await asked(utility, start=hour, end=hour) == ["t-2"]
    assert await asked(utility, ids=("t-1",), start=hour) == []
    assert await asked(utility, start=hour.replace(tzinfo=None), end=hour) == ["t-2"]


async def test_an_answer_to_a_filter_that_nothing_matches_is_empty_and_fine(utility: Utility) -> None:
    """An empty root, not an error."""
    served = await utility.ask(Verb.GET, TT, start=MONDAY + timedelta(days=1))
    assert served.result is Result.OK
    assert served.payload == NOUNS[TT].payload()


async def test_related_ids_filter(utility: Utility) -> None:
    """EPRI case 5b: all jobs of a crew, by an ID with the class of the related object."""
    assert await asked(utility, ids=(ObjectID(value="c-1", object_type="Customer"),)) == ["t-1", "t-3"]
    assert await asked(utility, ids=(ObjectID(value="C-2", object_type="Customer", kind=IDKind.name),)) == ["t-2"]
    assert await asked(
        utility,
        ids=(ObjectID(value="c-1", object_type="Customer"), ObjectID(value="P-2", object_type="ServiceLocation")),
    ) == ["t-3"]
    assert await asked(utility, ids=(ObjectID(value="c-9", object_type="Customer"),)) == []


async def test_filters_of_a_query(utility: Utility) -> None:
    """One kind: any. Several kinds: all. Members of one filter: all."""

    async def tickets(**filters: object) -> list[str]:
        return await asked(utility, query=GetTroubleTickets(**filters))  # type: ignore[arg-type]

    first, second = CustomerIdentity(mrid=mrid("c-1")), CustomerIdentity(names=names("C-2"))
    assert await tickets(customer=(first,)) == ["t-1", "t-3"]
    assert await tickets(customer=(first, second)) == ["t-1", "t-2", "t-3"]
    place = ServiceLocationIdentity(mrid=mrid("p-1"))
    assert await tickets(customer=(first,), service_location=(place,)) == ["t-1"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(state="open"),)) == ["t-1", "t-2"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(trouble_code="OUT"),)) == ["t-1", "t-3"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(trouble_code="OUT", state="resolved"),)) == ["t-3"]
    assert await tickets(
        trouble_ticket=(TroubleTicketFilter(trouble_code="FLICKER"), TroubleTicketFilter(state="resolved"))
    ) == ["t-2", "t-3"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(reporting_kind=TroubleReportingKind.call),)) == ["t-1"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(names=names("TT-1")),)) == ["t-1"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-2")),)) == ["t-2"]
    assert await tickets(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-9")),)) == []
    listed = await utility.ask(Verb.GET, TT, ids=("t-2",))
    incident = items_of(listed.payload)[0].incident  # type: ignore[attr-defined]
    assert await tickets(incident=(IncidentIdentity(mrid=incident.mrid),)) == ["t-1", "t-2"]


async def test_a_query_wins_over_times_and_ids(utility: Utility) -> None:
    """61968-100: filters of the Get element replace those of the Request section. An empty one states none."""
    query = GetTroubleTickets(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-2")),))
    assert await asked(utility, query=query, ids=("t-9",), end=MONDAY) == ["t-2"]
    assert await asked(utility, query=GetTroubleTickets(), ids=("t-1",)) == ["t-1"]
    blank = GetTroubleTickets(trouble_ticket=(TroubleTicketFilter(),))
    assert await asked(utility, query=blank, ids=("t-1",)) == ["t-1"]


async def test_a_query_for_another_noun_is_refused(utility: Utility) -> None:
    """To ignore a filter would send more than was asked for."""
    served = await utility.ask(Verb.GET, TT, query=GetIncidents(incident=(IncidentFilter(state="open"),)))
    assert (served.result, codes_of(served), served.payload) == (Result.FAILED, ["CNV-106"], None)


async def test_options_limit_and_state(utility: Utility) -> None:
    """The two options that are served."""
    assert await asked(utility, options={"limit": "2"}) == ["t-1", "t-2"]
    assert await asked(utility, options={"state": "resolved"}) == ["t-3"]
    assert await asked(utility, options={"state": "nonsense"}) == []
    open_ones = GetTroubleTickets(trouble_ticket=(TroubleTicketFilter(state="open"),))
    assert await asked(utility, options={"state": "resolved"}, query=open_ones) == []


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "many"), ("limit", "²"), ("sort", "up"), ("state", "")]
)
async def test_other_options_are_ignored_with_a_warning(utility: Utility, name: str, value: str) -> None:
    """The answer is whole all the same, so it is OK."""
    served = await utility.ask(Verb.GET, TT, options={name: value})
    assert (served.result, codes_of(served)) == (Result.OK, ["EXC-110"])
    assert served.findings[0].level is Level.WARNING
    assert len(items_of(served.payload)) == 3


async def test_an_answer_that_was_cut_off_says_so(utility: Utility, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner that takes a part for the whole closes tickets that are open."""
    monkeypatch.setattr(selecting, "LIMIT", 2)
    served = await utility.ask(Verb.GET, TT)
    assert (served.result, codes_of(served), len(items_of(served.payload))) == (Result.PARTIAL, ["EXC-112"], 2)
    served = await utility.ask(Verb.GET, TT, options={"limit": "3"})
    assert (served.result, len(items_of(served.payload))) == (Result.PARTIAL, 2)
    served = await utility.ask(Verb.GET, TT, options={"limit": "1"})
    assert (served.result, len(items_of(served.payload))) == (Result.OK, 1)


async def test_a_get_of_incidents_names_a_bounded_number_of_tickets(
    utility: Utility, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The incident of a storm has a hundred thousand tickets; whoever asks hears that some are not named."""
    every = await utility.ask(Verb.GET, Noun.INCIDENTS)
    named = [[one.mrid for one in incident.trouble_tickets] for incident in items_of(every.payload)]  # type: ignore[attr-defined]
    assert (every.result, named) == (Result.OK, [["t-1", "t-2"], ["t-3"]])
    monkeypatch.setattr(looking, "LIMIT", 2)
    cut = await utility.ask(Verb.GET, Noun.INCIDENTS)
    named = [[one.mrid for one in incident.trouble_tickets] for incident in items_of(cut.payload)]  # type: ignore[attr-defined]
    assert (cut.result, codes_of(cut), named) == (Result.PARTIAL, ["EXC-112"], [["t-1", "t-2"], []])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (GetIncidents(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-2")),)), ["t-2"]),
        (GetIncidents(customer=(CustomerIdentity(names=names("C-2", scheme="Customer")),)), ["t-2"]),
        (GetIncidents(incident=(IncidentFilter(state="open"),)), ["t-1", "t-2"]),
    ],
    ids=["by a ticket", "by a customer", "by its state"],
)
async def test_an_incident_names_the_tickets_by_which_it_was_asked_for(
    utility: Utility, query: GetIncidents, named: list[str]
) -> None:
    """How far it is with one call must not cost as much as all calls together, nor tell of them."""
    served = await utility.ask(Verb.GET, Noun.INCIDENTS, query=query)
    (incident,) = items_of(served.payload)
    assert isinstance(incident, Incident)
    assert (served.result, [one.mrid for one in incident.trouble_tickets]) == (Result.OK, named)


async def test_incidents_by_ids_of_what_their_tickets_refer_to(utility: Utility) -> None:
    """An incident has no place and no customer of its own; its tickets have."""
    first, second = await asked(utility, Noun.INCIDENTS)
    at_first = (ObjectID(value="p-1", object_type="ServiceLocation"),)
    assert await asked(utility, Noun.INCIDENTS, ids=at_first) == [first]
    both = (ObjectID(value="c-1", object_type="Customer"), ObjectID(value="P-2", object_type="ServiceLocation"))
    assert await asked(utility, Noun.INCIDENTS, ids=both) == [second]
    assert await asked(utility, Noun.INCIDENTS, ids=(ObjectID(value="c-9", object_type="Customer"),)) == []


async def test_incidents_by_their_tickets_and_places(utility: Utility) -> None:
    """The agent on the phone asks what is known about a place or a ticket."""
    every = await asked(utility, Noun.INCIDENTS)
    assert len(every) == 2
    first, second = every

    async def incidents(**filters: object) -> list[str]:
        return await asked(utility, Noun.INCIDENTS, query=GetIncidents(**filters))  # type: ignore[arg-type]

    assert await incidents(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-2")),)) == [first]
    assert await incidents(trouble_ticket=(TroubleTicketFilter(state="resolved"),)) == [second]
    assert await incidents(trouble_ticket=(TroubleTicketFilter(trouble_code="OUT"),)) == every
    assert await incidents(trouble_ticket=(TroubleTicketFilter(mrid=mrid("t-9")),)) == []
    assert await incidents(service_location=(ServiceLocationIdentity(mrid=mrid("p-1")),)) == [first]
    assert await incidents(customer=(CustomerIdentity(mrid=mrid("c-1")),)) == every
    assert await incidents(incident=(IncidentFilter(state="open"),)) == [first]
    assert await incidents(incident=(IncidentFilter(mrid=mrid(second)),)) == [second]
    assert await asked(utility, Noun.INCIDENTS, options={"state": "closed"}) == [second]


async def test_work_by_crew_kind_and_state() -> None:
    """All jobs of a crew, as EPRI's case 5b asks."""
    utility = Utility()
    for number, crew in ((1, "CREW-1"), (2, "CREW-2"), (3, "CREW-1")):
        tasks = (WorkTask(crews=(Crew(names=names(crew, scheme="Crew")),)),)
        kind = WorkKind.connect if number == 1 else WorkKind.repair
        order = Order(mrid=mrid(f"o-{number}"), kind=kind, work_tasks=tasks)
        await utility.ask(Verb.CREATE, Noun.SERVICE_ORDERS, order)

    async def orders(**filters: object) -> list[str]:
        return await asked(utility, Noun.SERVICE_ORDERS, query=GetServiceOrders(**filters))  # type: ignore[arg-type]

    assert await orders(crew=(CrewIdentity(names=names("CREW-1")),)) == ["o-1", "o-3"]
    assert await orders(crew=(CrewIdentity(names=names("CREW-1")),), work=(WorkFilter(kind=WorkKind.repair),)) == [
        "o-3"
    ]
    waiting = WorkFilter(status_kind=WorkStatusKind.waitingToBeScheduled)
    assert await orders(work=(waiting,)) == ["o-1", "o-2", "o-3"]
    assert await orders(work=(WorkFilter(status_kind=WorkStatusKind.closed),)) == []


async def test_work_requests_by_the_organisation_that_asked() -> None:
    """Organisation and work stand side by side, and come back side by side, each organisation once."""
    utility = Utility()
    for number, organisation in ((1, "Builders"), (2, "Roads"), (3, "Builders")):
        root = WorkRequests(
            organisation=(Organisation(names=names(organisation)),), work=(Wish(mrid=mrid(f"w-{number}")),)
        )
        await utility.ask(Verb.CREATE, Noun.WORK_REQUESTS, payload=root)
    query = GetWorkRequests(organisation=(OrganisationIdentity(names=names("Builders")),))
    served = await utility.ask(Verb.GET, Noun.WORK_REQUESTS, query=query)
    assert isinstance(served.payload, WorkRequests)
    assert [one.mrid for one in served.payload.work] == ["w-1", "w-3"]
    assert served.payload.organisation == (Organisation(names=names("Builders")),)


async def test_agreements_by_customer_account_and_place() -> None:
    """What a supplier asks for to check its books."""
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    home = find_premises(12)

    async def agreements(**filters: object) -> list[str]:
        query = GetCustomerAgreements(**filters)  # type: ignore[arg-type]
        return await asked(utility, Noun.CUSTOMER_AGREEMENTS, query=query)

    wanted = [home.mrid("agreement")]
    assert await agreements(customer=(CustomerIdentity(names=name_of(home.customer, "CustomerNumber")),)) == wanted
    assert await agreements(customer_account=(CustomerAccountIdentity(mrid=home.mrid("account")),)) == wanted
    assert await agreements(service_location=(ServiceLocationIdentity(names=names(home.location)),)) == wanted
    assert len(await agreements(customer_agreement=(CustomerAgreementFilter(state="active"),))) == 190
