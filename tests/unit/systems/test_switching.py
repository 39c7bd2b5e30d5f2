"""Switch of supplier, and what waits for its date."""

from datetime import datetime, timedelta

import pytest

from cimcare.exchange.ports import Event, Selection
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAgreement,
    PricingStructure,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
)
from cimcare.model.enumerations import ServiceKind
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems.cis import keep_dates
from cimcare.systems.cis.due import DUE
from tests.unit.systems.utility import MONDAY, Utility, codes_of, events_of, ids_of, items_of, mrid, names, shown_in

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)
APRIL = datetime.fromisoformat("2026-04-01T00:00:00+00:00")


@pytest.fixture
async def utility() -> Utility:
    utility = Utility()
    await utility.ask(Verb.CREATE, CA, agreement())
    return utility


def agreement(
    number: str = "a-1", place: str = "p-1", start: datetime = MONDAY - DAY, end: datetime | None = None
) -> CustomerAgreement:
    return CustomerAgreement(
        mrid=mrid(number),
        names=names(f"AG-{number}", scheme="AgreementNumber"),
        customer=Customer(mrid=mrid("c-1")),
        pricing_structures=(PricingStructure(code="RES-1", names=names("RES-1")),),
        service_category=ServiceCategory(kind=ServiceKind.electricity),
        service_locations=(ServiceLocation(mrid=mrid(place)),),
        service_supplier=ServiceSupplier(mrid=mrid("s-1")),
        validity_interval=DateTimeInterval(start=start, end=end),
    )


def switch(at: datetime | None, supplier: str = "s-2", number: str = "a-1") -> CustomerAgreement:
    return CustomerAgreement(
        mrid=mrid(number),
        pricing_structures=(PricingStructure(code="GREEN", names=names("GREEN")),),
        service_supplier=ServiceSupplier(mrid=mrid(supplier)),
        validity_interval=DateTimeInterval(start=at) if at is not None else None,
    )


def until_april() -> CustomerAgreement:
    return CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=APRIL))


async def told(utility: Utility) -> list[tuple[str, str, int]]:
    return events_of(await keep_dates(utility.context()))


async def kept(utility: Utility, number: str) -> tuple[CustomerAgreement, str]:
    (body,) = items_of((await utility.ask(Verb.GET, CA, ids=(number,))).payload)
    assert isinstance(body, CustomerAgreement)
    assert body.status is not None
    return body, body.status.value or ""


async def waiting(utility: Utility) -> int:
    return len(await utility.records.select(DUE, Selection()))


async def test_a_switch_at_once_ends_the_one_and_begins_the_other(utility: Utility) -> None:
    """Listeners learn of both, in the order in which they happen."""
    served = await utility.ask(Verb.CHANGE, CA, switch(None))
    assert (served.result, ids_of(served)) == (Result.OK, ["a-1", "minted-1"])
    assert events_of(served) == [("closed", str(CA), 1), ("created", str(CA), 1)]
    old, state = await kept(utility, "a-1")
    assert (state, old.service_supplier) == ("ended", ServiceSupplier(mrid=mrid("s-1")))
    assert old.validity_interval == DateTimeInterval(start=MONDAY - DAY, end=MONDAY)
    new, state = await kept(utility, "minted-1")
    assert (state, new.service_supplier) == ("active", ServiceSupplier(mrid=mrid("s-2")))
    assert new.validity_interval == DateTimeInterval(start=MONDAY)
    assert new.status == Status(value="active", date_time=MONDAY, reason="switch of supplier")
    assert shown_in(served, Verb.CREATED, CA) == new


async def test_the_new_agreement_has_the_new_suppliers_prices_and_no_name_of_the_old(utility: Utility) -> None:
    """The old supplier's tariff is not the new one's, and a number means one agreement."""
    await utility.ask(Verb.CHANGE, CA, switch(None))
    new, _ = await kept(utility, "minted-1")
    assert [one.code for one in new.pricing_structures] == ["GREEN"]
    assert new.names == ()
    assert new.customer == Customer(mrid=mrid("c-1"))
    assert new.service_locations == (ServiceLocation(mrid=mrid("p-1")),)


async def test_a_switch_to_come_waits_and_is_told_at_its_date_and_not_before(utility: Utility) -> None:
    """Who is told of a switch in March bills the customer in March."""
    served = await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    assert (served.result, codes_of(served), served.events) == (Result.OK, ["BUS-162"], ())
    assert (await kept(utility, "a-1"))[1] == "active"
    assert (await kept(utility, "minted-1"))[1] == "proposed"
    utility.now = APRIL - timedelta(seconds=1)
    assert await told(utility) == []
    utility.now = APRIL
    assert await told(utility) == [("closed", str(CA), 1), ("created", str(CA), 1)]
    old, state = await kept(utility, "a-1")
    assert (state, old.validity_interval) == ("ended", DateTimeInterval(start=MONDAY - DAY, end=APRIL))
    new, state = await kept(utility, "minted-1")
    assert (state, new.validity_interval) == ("active", DateTimeInterval(start=APRIL))
    assert await told(utility) == []
    assert await waiting(utility) == 0


async def test_what_is_due_is_done_before_a_message_is_judged(utility: Utility) -> None:
    """Between the date and the next look of the clock nobody can change what is over."""
    await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    utility.now = APRIL + timedelta(seconds=1)
    served = await utility.ask(Verb.CHANGE, CA, CustomerAgreement(mrid=mrid("minted-1"), comment="x"))
    assert [event[0] for event in events_of(served)] == ["closed", "created", "changed"]


@pytest.mark.parametrize("at", [MONDAY - 2 * DAY, APRIL, APRIL + DAY])
async def test_a_switch_outside_the_agreement_is_refused(at: datetime) -> None:
    """Nothing can follow on what has not begun, or on what is over by then."""
    utility = Utility()
    await utility.ask(Verb.CREATE, CA, agreement(end=APRIL))
    served = await utility.ask(Verb.CHANGE, CA, switch(at))
    assert (served.result, codes_of(served), served.events) == (Result.FAILED, ["BUS-104"], ())


async def test_two_switches_of_one_agreement_are_refused(utility: Utility) -> None:
    """Two retailers both believe that they have won the customer; the second one hears that he has not."""
    await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    for at in (APRIL - 7 * DAY, APRIL, APRIL + 7 * DAY):
        assert codes_of(await utility.ask(Verb.CHANGE, CA, switch(at, "s-3"))) == ["BUS-161"]
    assert await waiting(utility) == 2


async def test_a_switch_into_the_agreement_of_another_is_refused(utility: Utility) -> None:
    """Somebody has signed for the place from May on already."""
    await utility.ask(
        Verb.CLOSE, CA, CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=APRIL))
    )
    await utility.ask(Verb.CREATE, CA, agreement("a-2", start=APRIL))
    open_end = CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=APRIL + DAY))
    assert codes_of(await utility.ask(Verb.CHANGE, CA, open_end)) == ["BUS-108"]
    served = await utility.ask(Verb.CHANGE, CA, switch(APRIL - DAY))
    assert served.result is Result.OK
    new, _ = await kept(utility, ids_of(served)[1])
    assert new.validity_interval == DateTimeInterval(start=APRIL - DAY, end=APRIL)


async def test_a_switch_that_is_cancelled_leaves_all_as_it_was(utility: Utility) -> None:
    """The customer withdraws in time: nobody hears of anything, and the old agreement has no end."""
    before, _ = await kept(utility, "a-1")
    await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    served = await utility.ask(Verb.CANCEL, CA, ids=("minted-1",))
    assert (served.result, served.events) == (Result.OK, ())
    assert (await kept(utility, "a-1"))[0].validity_interval == before.validity_interval
    utility.now = APRIL
    assert await told(utility) == []
    assert (await kept(utility, "a-1"))[1] == "active"
    assert (await utility.ask(Verb.CHANGE, CA, switch(APRIL + DAY, "s-3"))).result is Result.OK


async def test_a_switch_that_is_deleted_leaves_all_as_it_was(utility: Utility) -> None:
    """As by cancel, and nothing stays."""
    await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    await utility.ask(Verb.DELETE, CA, ids=("minted-1",))
    assert (await kept(utility, "a-1"))[0].validity_interval == DateTimeInterval(start=MONDAY - DAY)
    assert await waiting(utility) == 0


async def test_an_end_agreed_before_the_switch_comes_back_with_its_cancel() -> None:
    """A contract until the end of the year is one again."""
    utility = Utility()
    end = APRIL + 200 * DAY
    await utility.ask(Verb.CREATE, CA, agreement(end=end))
    await utility.ask(Verb.CHANGE, CA, switch(APRIL))
    await utility.ask(Verb.CANCEL, CA, ids=("minted-1",))
    assert (await kept(utility, "a-1"))[0].validity_interval == DateTimeInterval(start=MONDAY - DAY, end=end)
    utility.now = end
    assert await told(utility) == [("closed", str(CA), 1)]


async def test_a_change_to_come_is_made_at_its_date(utility: Utility) -> None:
    """Other prices from April on: a bill for March is at the old ones."""
    patch = CustomerAgreement(
        mrid=mrid("a-1"), load_mgmt="LM-2", comment="evening tariff", status=Status(date_time=APRIL)
    )
    served = await utility.ask(Verb.CHANGE, CA, patch)
    assert (served.result, codes_of(served), served.events) == (Result.OK, ["BUS-162"], ())
    assert (await kept(utility, "a-1"))[0].load_mgmt is None
    utility.now = APRIL
    served = await keep_dates(utility.context())
    shown = shown_in(served, Verb.CHANGED, CA)
    assert isinstance(shown, CustomerAgreement)
    assert (shown.load_mgmt, shown.comment) == ("LM-2", "evening tariff")
    body, state = await kept(utility, "a-1")
    assert (body.load_mgmt, state, body.last_modified_date_time) == ("LM-2", "active", APRIL)


async def test_a_change_to_come_that_has_become_impossible_is_told_in_a_remark(utility: Utility) -> None:
    """Meanwhile somebody else has signed for the place; that does not vanish in silence."""
    patch = CustomerAgreement(
        mrid=mrid("a-1"), service_locations=(ServiceLocation(mrid=mrid("p-2")),), status=Status(date_time=APRIL)
    )
    assert (await utility.ask(Verb.CHANGE, CA, patch)).result is Result.OK
    await utility.ask(Verb.CREATE, CA, agreement("a-2", "p-2"))
    utility.now = APRIL
    shown = shown_in(await keep_dates(utility.context()), Verb.CHANGED, CA)
    assert isinstance(shown, CustomerAgreement)
    assert shown.status is not None
    assert shown.status.remark == (
        "change of 2026-04-01T00:00:00+00:00 not made: overlaps agreement a-2 at the same place"
    )
    body, state = await kept(utility, "a-1")
    assert (body.service_locations, body.status, state) == (
        (ServiceLocation(mrid=mrid("p-1")),),
        shown.status,
        "active",
    )
    assert (await told(utility), await waiting(utility)) == ([], 0)


async def test_a_move_out_to_come_is_told_at_its_date(utility: Utility) -> None:
    """The last bill goes out when the customer has left."""
    await utility.ask(
        Verb.CLOSE, CA, CustomerAgreement(mrid=mrid("a-1"), validity_interval=DateTimeInterval(end=APRIL))
    )
    utility.now = APRIL + DAY
    served = await keep_dates(utility.context())
    shown = shown_in(served, Verb.CLOSED, CA)
    assert isinstance(shown, CustomerAgreement)
    assert shown.status == Status(value="ended", date_time=APRIL)


async def test_nothing_waits_for_an_agreement_that_was_cancelled(utility: Utility) -> None:
    """A record entered by mistake has no future."""
    patch = CustomerAgreement(mrid=mrid("a-1"), load_mgmt="LM-2", status=Status(date_time=APRIL))
    await utility.ask(Verb.CHANGE, CA, patch)
    await utility.ask(Verb.CANCEL, CA, ids=("a-1",))
    utility.now = APRIL
    assert (await told(utility), await waiting(utility)) == ([], 0)


async def test_many_at_one_instant_are_told_in_one_event_and_in_bounded_slices() -> None:
    """On the first of January thousands of contracts begin; one transaction does not do them all."""
    utility = Utility()
    await utility.ask(Verb.CREATE, CA, *(agreement(f"a-{n}", f"p-{n}", APRIL) for n in range(120)))
    utility.now = APRIL
    seen: list[Event] = []
    while (served := await keep_dates(utility.context())).ids:
        assert len(served.ids) <= 100
        seen.extend(served.events)
    assert [(event.verb, len(items_of(event.payload))) for event in seen] == [(Verb.CHANGED, 100), (Verb.CHANGED, 20)]
