"""Behaviour of `prune`, and of removal through the handlers of the owners."""

import msgspec
import pytest
from hypothesis import given

from cimcare.exchange.ports import EventHandler, Served, ServingContext
from cimcare.model.enumerations import WorkKind
from cimcare.model.envelope import EventMessage, Header, Payload, RequestMessage
from cimcare.model.identity import Name, NameType
from cimcare.model.incident import IncidentHazard
from cimcare.model.nouns import Noun
from cimcare.model.service_order import StreetAddress
from cimcare.model.service_request import Work, WorkTask
from cimcare.model.structure import Extension, Structure
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    CustomerNotification,
    TroubleTicket,
    TroubleTicketCustomer,
)
from cimcare.model.values import DateTimeInterval, Priority, Status, StreetDetail
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment, Crew, TownDetail
from cimcare.model.work_request import Organisation, WorkRequests
from cimcare.model.work_request import Work as RequestedWork
from cimcare.systems import cis, oms, wms
from cimcare.systems.cis.kinds import TICKETS as COPIES
from cimcare.systems.merging import merge
from cimcare.systems.oms.kinds import TICKETS
from cimcare.systems.pruning import prune
from cimcare.systems.wms.appointments import WINDOWS
from cimcare.systems.wms.crews import seed_crews
from cimcare.systems.wms.kinds import SERVICE_REQUESTS, WORK_REQUESTS
from tests.unit.systems.test_merging import _tickets
from tests.unit.systems.utility import MONDAY, Utility, codes_of, items_of, mrid, names, root_of


def left(known: Structure, doomed: Structure) -> Structure:
    """What is left where everything that was to go could go."""
    pruned = prune(known, doomed)
    assert (pruned.unknown, pruned.fixed) == ((), ())
    return pruned.value


def test_removes_the_simple_member_that_is_given_whatever_its_value() -> None:
    """Partners show the doomed member empty or with any value; the others stay."""
    known = TroubleTicket(mrid=mrid("t"), comment="gone", trouble_code="OUT")
    for shown in ("", "gone", "other"):
        assert left(known, TroubleTicket(mrid=mrid("t"), comment=shown)) == TroubleTicket(
            mrid=mrid("t"), trouble_code="OUT"
        )


def test_follows_the_path_through_compounds_and_lists() -> None:
    """Only the leaf goes; what stands on the way stays with its other members."""
    known = Work(
        work_tasks=(
            WorkTask(mrid=mrid("a"), subject="first", instruction="ring", crews=(Crew(names=names("C1")),)),
            WorkTask(mrid=mrid("b"), subject="second"),
        ),
        priority=Priority(rank=1, justification="life support"),
    )
    doomed = Work(
        work_tasks=(WorkTask(mrid=mrid("a"), instruction=""),), priority=Priority(justification="life support")
    )
    assert left(known, doomed) == Work(
        work_tasks=(
            WorkTask(mrid=mrid("a"), subject="first", crews=(Crew(names=names("C1")),)),
            WorkTask(mrid=mrid("b"), subject="second"),
        ),
        priority=Priority(rank=1),
    )


def test_removes_list_items_by_identity_or_by_equal_content() -> None:
    """Hazards have no identity, so the whole of one says which is meant."""
    fire, wire = IncidentHazard(type="fire"), IncidentHazard(type="wire", description="low")
    place, other = CustomerAgreementPlace(mrid=mrid("p1"), names=names("A1")), CustomerAgreementPlace(mrid=mrid("p2"))
    known = TroubleTicket(
        hazards=(fire, wire), customer=TroubleTicketCustomer(mrid=mrid("c"), customer_agreements=(place, other))
    )
    doomed = TroubleTicket(
        hazards=(wire,),
        customer=TroubleTicketCustomer(mrid=mrid("c"), customer_agreements=(CustomerAgreementPlace(mrid=mrid("p1")),)),
    )
    assert left(known, doomed) == TroubleTicket(
        hazards=(fire,), customer=TroubleTicketCustomer(mrid=mrid("c"), customer_agreements=(other,))
    )


def test_a_reference_goes_as_a_whole_and_an_emptied_compound_goes_too() -> None:
    """Nobody wants an empty element to stay behind."""
    known = TroubleTicket(
        mrid=mrid("t"),
        customer=TroubleTicketCustomer(mrid=mrid("c"), special_need="ramp"),
        notification=CustomerNotification(contact_type="sms"),
    )
    doomed = TroubleTicket(
        mrid=mrid("t"),
        customer=TroubleTicketCustomer(mrid=mrid("c")),
        notification=CustomerNotification(contact_type="sms"),
    )
    assert left(known, doomed) == TroubleTicket(mrid=mrid("t"))
    part = TroubleTicket(notification=CustomerNotification(contact_type=""))
    assert left(known, part) == msgspec.structs.replace(known, notification=None)


def test_names_are_identity_unless_they_stand_alone_beside_the_mrid() -> None:
    """A name on the way must not be lost; yet a wrong name can be taken away."""
    known = TroubleTicket(mrid=mrid("t"), names=names("N1", "N2"), comment="c")
    on_the_way = TroubleTicket(mrid=mrid("t"), names=names("N1"), comment="")
    assert left(known, on_the_way) == TroubleTicket(mrid=mrid("t"), names=names("N1", "N2"))
    assert left(known, TroubleTicket(mrid=mrid("t"), names=names("N1"))) == TroubleTicket(
        mrid=mrid("t"), names=names("N2"), comment="c"
    )
    assert left(known, TroubleTicket(names=names("N1"))) is known


def test_names_are_told_apart_by_their_type() -> None:
    """The same number may be a device and a ticket."""
    ours, theirs = Name(name="7", name_type=NameType(name="A")), Name(name="7", name_type=NameType(name="B"))
    known = TroubleTicket(mrid=mrid("t"), names=(ours, theirs))
    assert left(known, TroubleTicket(mrid=mrid("t"), names=(theirs,))) == TroubleTicket(mrid=mrid("t"), names=(ours,))


def test_unknown_elements_can_be_removed() -> None:
    """What the model does not know was kept, so it can be asked to go."""
    known = TroubleTicket(extensions=(Extension(xml="<x:a xmlns:x='u'></x:a>", after=3),), comment="c")
    doomed = TroubleTicket(extensions=(Extension(xml="<x:a xmlns:x='u'></x:a>"),))
    assert left(known, doomed) == TroubleTicket(comment="c")


@pytest.mark.parametrize(
    ("doomed", "paths"),
    [
        (TroubleTicket(trouble_code=""), ("troubleCode",)),
        (TroubleTicket(hazards=(IncidentHazard(type="fire"), IncidentHazard(type="flood"))), ("Hazards[2]",)),
        (TroubleTicket(customer=TroubleTicketCustomer(mrid=mrid("other"), special_need="")), ("Customer",)),
        (TroubleTicket(customer=TroubleTicketCustomer(mrid=mrid("c"), special_need="")), ("Customer/specialNeed",)),
    ],
)
def test_says_what_is_not_there(doomed: TroubleTicket, paths: tuple[str, ...]) -> None:
    """Whoever removes what is not there is mistaken about the object, and should hear where."""
    known = TroubleTicket(hazards=(IncidentHazard(type="fire"),), customer=TroubleTicketCustomer(mrid=mrid("c")))
    assert prune(known, doomed).unknown == paths


def test_what_every_object_of_a_class_must_have_stays() -> None:
    """An address without its town would be refused by the schema."""
    known = StreetAddress(street_detail=StreetDetail(name="Pine"), town_detail=TownDetail(name="Northlake"))
    pruned = prune(known, StreetAddress(town_detail=TownDetail(name="Northlake")))
    assert (pruned.value, pruned.fixed) == (known, ("townDetail",))


@given(_tickets, _tickets)
def test_what_was_taken_away_is_not_there_any_more(known: TroubleTicket, doomed: TroubleTicket) -> None:
    """Done twice, the second time finds nothing that could go: a repeated delivery has no second effect."""
    pruned = prune(known, doomed)
    again = prune(pruned.value, doomed)
    assert again.value == pruned.value
    assert prune(known, TroubleTicket()).value is known


@given(_tickets, _tickets)
def test_nothing_is_added_or_altered(known: TroubleTicket, doomed: TroubleTicket) -> None:
    """What is left is part of what was: merged into it, it says nothing new."""
    pruned = prune(known, doomed)
    whole = merge(known, pruned.value)
    assert whole == merge(known, known)


# ------------------------------------------------------------------------------------------- by the owners


async def remove(utility: Utility, noun: Noun, doomed: Structure) -> Served:
    """Ask the owner to remove."""
    header = Header(verb=Verb.CHANGE, noun=noun)
    content = doomed if isinstance(doomed, WorkRequests) else root_of(noun, doomed)
    message = RequestMessage(header=header, payload=Payload(content=(content,)))
    context = ServingContext(
        records=utility.records, now=utility.pass_time(minutes=5), new_id=utility._mint, header=header, removes=True
    )
    return await utility._serves[Verb.CHANGE, noun](message, context)


async def a_ticket(utility: Utility) -> TroubleTicket:
    ticket = TroubleTicket(
        mrid=mrid("t"),
        date_time_of_report=MONDAY,
        comment="dog in the yard",
        names=names("TT-1"),
        hazards=(IncidentHazard(type="fire"), IncidentHazard(type="wire")),
    )
    served = await utility.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, ticket)
    await utility.pass_on(cis.LISTENS, served.events)
    return ticket


async def test_the_owner_removes_and_says_what_went_and_what_else_has_altered() -> None:
    """The path goes to listeners as a removal; what the owner set besides goes as a change."""
    utility = Utility()
    await a_ticket(utility)
    doomed = TroubleTicket(mrid=mrid("t"), comment="", hazards=(IncidentHazard(type="wire"),))
    served = await remove(utility, Noun.TROUBLE_TICKETS, doomed)
    assert codes_of(served) == []
    stored = await utility.records.find(TICKETS.collection, mrid("t"))
    assert stored is not None
    assert (stored.body.comment, stored.body.hazards) == (None, (IncidentHazard(type="fire"),))
    assert stored.body.incident is not None
    gone, changed = served.events[:2]
    assert (gone.verb, gone.removes, items_of(gone.payload)) == (Verb.DELETED, True, (doomed,))
    assert (changed.verb, changed.removes) == (Verb.CHANGED, False)
    assert items_of(changed.payload) == (
        TroubleTicket(mrid=mrid("t"), names=names("TT-1"), last_modified_date_time=utility.now),
    )


@pytest.mark.parametrize(
    ("doomed", "code"),
    [
        (TroubleTicket(mrid=mrid("nobody"), comment=""), "REF-103"),
        (TroubleTicket(mrid=mrid("t"), trouble_code=""), "REF-110"),
        (TroubleTicket(mrid=mrid("t")), "REF-110"),
        (TroubleTicket(mrid=mrid("t"), status=Status(value="open")), "LIF-106"),
        (TroubleTicket(mrid=mrid("t"), date_time_of_report=MONDAY), "BUS-101"),
        (
            TroubleTicket(mrid=mrid("t"), hazards=(IncidentHazard(type="fire"), IncidentHazard(type="wire"))),
            "BUS-105",
        ),
    ],
)
async def test_refuses_what_cannot_go(doomed: TroubleTicket, code: str) -> None:
    """All or nothing for one object: it must not be left half pruned, nor without what makes it of any use."""
    utility = Utility()
    await a_ticket(utility)
    before = await utility.records.find(TICKETS.collection, mrid("t"))
    served = await remove(utility, Noun.TROUBLE_TICKETS, doomed)
    assert codes_of(served) == [code]
    assert served.events == ()
    assert await utility.records.find(TICKETS.collection, mrid("t")) == before


async def test_a_state_that_allows_no_change_allows_no_removal() -> None:
    """The state machine of the owner holds for parts too."""
    utility = Utility()
    await a_ticket(utility)
    await utility.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, ids=("t",))
    served = await remove(utility, Noun.TROUBLE_TICKETS, TroubleTicket(mrid=mrid("t"), comment=""))
    assert codes_of(served) == ["LIF-105"]


async def test_an_appointment_that_goes_gives_its_window_back() -> None:
    """Removal goes the way of a change, so what hangs on the object follows."""
    utility = Utility()
    await seed_crews(utility.records, utility.now)
    slot = DateTimeInterval(start=MONDAY.replace(day=3, hour=8), end=MONDAY.replace(day=3, hour=10))
    visit = Appointment(meeting_interval=slot)
    work = Work(mrid=mrid("w"), appointments=(visit,), comment="c")
    await utility.ask(Verb.CREATE, Noun.SERVICE_REQUESTS, work)
    assert await utility.records.find(WINDOWS, mrid("2026-03-03T08:00Z")) is not None
    served = await remove(utility, Noun.SERVICE_REQUESTS, Work(mrid=mrid("w"), appointments=(visit,)))
    assert codes_of(served) == []
    stored = await utility.records.find(SERVICE_REQUESTS.collection, mrid("w"))
    assert stored is not None
    assert (stored.body.appointments, stored.body.comment) == ((), "c")
    assert await utility.records.find(WINDOWS, mrid("2026-03-03T08:00Z")) is None


async def test_an_organisation_beside_the_work_can_go_and_the_work_stays() -> None:
    """WorkRequests hold organisations beside the work; the identity of the work is only the way."""
    utility = Utility()
    organisations = (Organisation(mrid=mrid("o1")), Organisation(mrid=mrid("o2")))
    created = WorkRequests(
        organisation=organisations, work=(RequestedWork(mrid=mrid("w"), kind=WorkKind.construction),)
    )
    await utility.ask(Verb.CREATE, Noun.WORK_REQUESTS, payload=created)
    doomed = WorkRequests(organisation=organisations[:1], work=(RequestedWork(mrid=mrid("w")),))
    assert codes_of(await remove(utility, Noun.WORK_REQUESTS, doomed)) == []
    stored = await utility.records.find(WORK_REQUESTS.collection, mrid("w"))
    assert stored is not None
    assert stored.body.organisation == organisations[1:]
    assert stored.body.work[0].kind is WorkKind.construction


# -------------------------------------------------------------------------------------------- by listeners


async def tell_removal(
    utility: Utility, listener: EventHandler, doomed: TroubleTicket, *, minutes: float = 0.0
) -> Served:
    """Tell a listener of a removal."""
    header = Header(verb=Verb.CHANGED, noun=Noun.TROUBLE_TICKETS, timestamp=utility.pass_time(minutes=minutes))
    message = EventMessage(header=header, payload=Payload(content=(root_of(Noun.TROUBLE_TICKETS, doomed),)))
    context = ServingContext(
        records=utility.records, now=utility.now, new_id=utility._mint, header=header, removes=True
    )
    return await listener(message, context)


CIS_HEARS = cis.LISTENS[Verb.CHANGED, Noun.TROUBLE_TICKETS]
OMS_HEARS = oms.LISTENS[Verb.CHANGED, Noun.TROUBLE_TICKETS]


async def test_a_copy_loses_what_its_owner_removed() -> None:
    """The customer system shows what the outage management knows, and nothing beyond it."""
    utility = Utility()
    await a_ticket(utility)
    doomed = TroubleTicket(mrid=mrid("t"), comment="")
    for _ in range(2):  # events are repeated
        served = await tell_removal(utility, CIS_HEARS, doomed, minutes=1)
        assert codes_of(served) == []
        copy = await utility.records.find(COPIES.collection, mrid("t"))
        assert copy is not None
        assert copy.body.comment is None
        assert copy.body.hazards
        assert copy.body.incident is not None


async def test_a_removal_that_comes_late_takes_nothing_newer() -> None:
    """Events overtake each other; what was said last holds."""
    utility = Utility()
    await a_ticket(utility)
    await tell_removal(utility, CIS_HEARS, TroubleTicket(mrid=mrid("t"), comment=""), minutes=-5)
    copy = await utility.records.find(COPIES.collection, mrid("t"))
    assert copy is not None
    assert copy.body.comment == "dog in the yard"


async def test_the_outage_management_takes_a_removal_of_which_it_is_told() -> None:
    """A call centre that only tells of its tickets may tell of this too; the state stays the OMS's."""
    utility = Utility()
    await a_ticket(utility)
    doomed = TroubleTicket(mrid=mrid("t"), comment="", status=Status(value="open"))
    assert codes_of(await tell_removal(utility, OMS_HEARS, doomed, minutes=1)) == []
    stored = await utility.records.find(TICKETS.collection, mrid("t"))
    assert stored is not None
    assert stored.body.comment is None
    assert stored.body.status is not None
    assert stored.body.status.value == "open"


@pytest.mark.parametrize("listener", [CIS_HEARS, OMS_HEARS])
async def test_a_removal_from_what_is_not_known_is_said(listener: EventHandler) -> None:
    """A path alone must not become an object that was never created."""
    utility = Utility()
    assert codes_of(await tell_removal(utility, listener, TroubleTicket(mrid=mrid("x"), comment=""))) == ["REF-103"]
    assert await utility.records.find(TICKETS.collection, mrid("x")) is None
    assert await utility.records.find(COPIES.collection, mrid("x")) is None


def test_the_work_management_listens_to_nothing() -> None:
    """Were that to change, it would have to take removals too."""
    assert wms.LISTENS == {}
