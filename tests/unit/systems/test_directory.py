"""The directory of premises follows the agreements: move-in, move-out, vacant premises."""

from datetime import timedelta

import msgspec
import pytest

from cimcare.exchange.ports import Key, Selection, Stored
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAccount,
    CustomerAgreement,
    Organisation,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
    UsagePoint,
)
from cimcare.model.enumerations import CustomerKind, ServiceKind
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval, ElectronicAddress, TelephoneNumber
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import PREMISES_COUNT, Premises, find_premises, name_of
from cimcare.systems.cis import keep_dates, seed_town
from cimcare.systems.cis.callers import find_callers
from cimcare.systems.cis.town import is_vacant
from cimcare.systems.premises import ACCOUNTS, CUSTOMERS, PREMISES, PremisesRecord
from cimcare.systems.premises import find_premises as find_in_directory
from tests.unit.systems.utility import MONDAY, Utility, mrid, names

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)
VACANT = next(find_premises(index) for index in range(PREMISES_COUNT) if is_vacant(index))
INHABITED = next(
    find_premises(index)
    for index in range(PREMISES_COUNT)
    if not is_vacant(index) and find_premises(index).special_need is not None
)


@pytest.fixture
async def utility() -> Utility:
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    return utility


def move_in(place: Premises, number: str = "a-1", **members: object) -> CustomerAgreement:
    body = CustomerAgreement(
        mrid=mrid(number),
        customer=Customer(
            mrid=mrid("c-1"),
            kind=CustomerKind.residential,
            special_need="home dialysis",
            names=names("C-9001", scheme="CustomerNumber"),
            organisation=Organisation(
                names=names("Ada Newman"),
                phone1=TelephoneNumber(area_code="555", local_number="0142"),
                electronic_address=ElectronicAddress(email1="ada@example.org"),
            ),
        ),
        customer_account=CustomerAccount(mrid=mrid("ac-1"), names=names("AC-9001", scheme="AccountNumber")),
        names=names("AG-9001", scheme="AgreementNumber"),
        usage_points=(UsagePoint(names=name_of(place.usage_point, "UsagePointNumber")),),
        service_supplier=ServiceSupplier(mrid=mrid("s-1")),
    )
    return msgspec.structs.replace(body, **members)


async def premises(utility: Utility, place: Premises) -> Stored[PremisesRecord]:
    stored = await utility.records.find(PREMISES, place.mrid("location"))
    assert stored is not None
    return stored


def who(stored: Stored[PremisesRecord]) -> tuple[str | None, str | None, str | None, bool]:
    record = stored.body
    return record.customer, record.account, record.agreement, record.is_critical


async def test_a_move_in_is_found_in_the_directory(utility: Utility) -> None:
    """Who calls the next day is recognised, and an outage there counts as one of somebody on dialysis."""
    assert who(await premises(utility, VACANT)) == (None, None, None, False)
    served = await utility.ask(Verb.CREATE, CA, move_in(VACANT))
    assert served.result is Result.OK
    assert who(await premises(utility, VACANT)) == ("c-1", "ac-1", "a-1", True)
    for sort, value in (
        ("customer", Customer(mrid=mrid("c-1"))),
        ("customer", Customer(names=names("C-9001"))),
        ("agreement", CustomerAgreement(names=names("AG-9001"))),
    ):
        (found,) = await find_in_directory(utility.records, sort, value)
        assert found.mrid == VACANT.mrid("location")


async def test_a_move_in_makes_the_records_of_customer_and_account(utility: Utility) -> None:
    """How to reach the customer is known from the agreement alone."""
    await utility.ask(Verb.CREATE, CA, move_in(VACANT))
    customer = await utility.records.find(CUSTOMERS, mrid("c-1"))
    account = await utility.records.find(ACCOUNTS, mrid("ac-1"))
    assert customer is not None
    assert (customer.body.full_name, customer.body.telephone, customer.body.email) == (
        "Ada Newman",
        "555 0142",
        "ada@example.org",
    )
    assert (customer.body.kind, customer.body.special_need) == (CustomerKind.residential, "home dialysis")
    assert account is not None
    assert (account.body.customer, account.body.agreements) == ("c-1", ("a-1",))


async def test_who_has_moved_in_is_recognised_when_they_call(utility: Utility) -> None:
    """By name, telephone and number, from that day on; and who has left is not."""

    async def found(asked: str) -> list[str]:
        callers, _ = await find_callers(utility.records, asked)
        return [one.mrid for one in callers]

    for asked in ("Ada Newman", "555 0142000", "C-9001", "AC-9001"):
        assert await found(asked) == []
    phone = TelephoneNumber(area_code="555", local_number="0142000")
    ada = Organisation(names=names("Ada Newman"), phone1=phone)
    customer = Customer(mrid=mrid("c-1"), names=names("C-9001", scheme="CustomerNumber"), organisation=ada)
    await utility.ask(Verb.CREATE, CA, move_in(VACANT, customer=customer))
    for asked in ("Ada Newman", "555 0142000", "C-9001", "AC-9001"):
        assert await found(asked) == [VACANT.mrid("location")]
    married = Customer(mrid=mrid("c-1"), organisation=Organisation(names=names("Ada Oldfield")))
    await utility.ask(Verb.CHANGE, CA, CustomerAgreement(mrid=mrid("a-1"), customer=married))
    assert await found("Ada Newman") == []
    assert await found("Ada Oldfield") == [VACANT.mrid("location")]
    await utility.ask(Verb.CLOSE, CA, CustomerAgreement(mrid=mrid("a-1")))
    for asked in ("Ada Oldfield", "555 0142000", "C-9001"):
        assert await found(asked) == []


async def test_a_special_need_of_a_new_customer_is_in_the_list_of_those(utility: Utility) -> None:
    """The list that is called first in a storm."""
    await utility.ask(Verb.CREATE, CA, move_in(VACANT))
    found = await utility.records.find_by_key(CUSTOMERS, Key("special-need", "yes"))
    assert "c-1" in [one.mrid for one in found]


async def test_a_customer_known_by_number_gets_no_second_record(utility: Utility) -> None:
    """Somebody who moves within the town stays one customer, with both agreements on the account."""
    home = INHABITED
    again = move_in(
        VACANT,
        customer=Customer(names=name_of(home.customer, "CustomerNumber")),
        customer_account=CustomerAccount(names=name_of(home.account, "AccountNumber")),
    )
    await utility.ask(Verb.CREATE, CA, again)
    assert who(await premises(utility, VACANT))[:2] == (home.mrid("customer"), home.mrid("account"))
    account = await utility.records.find(ACCOUNTS, home.mrid("account"))
    assert account is not None
    assert account.body.agreements == (home.mrid("agreement"), "a-1")


async def test_a_move_out_leaves_the_premises_vacant(utility: Utility) -> None:
    """Whoever has left is not told of outages there, and nobody's dialysis hurries a crew to an empty house."""
    assert who(await premises(utility, INHABITED))[3]
    await utility.ask(Verb.CLOSE, CA, CustomerAgreement(mrid=INHABITED.mrid("agreement")))
    stored = await premises(utility, INHABITED)
    assert who(stored) == (None, None, None, False)
    assert not {key.sort for key in stored.keys} & {"customer", "account", "agreement"}
    assert await find_in_directory(utility.records, "customer", Customer(mrid=INHABITED.mrid("customer"))) == ()


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.CLOSE])
async def test_the_end_of_another_agreement_leaves_the_premises_alone(utility: Utility, verb: Verb) -> None:
    """A contract for water says nothing of who is supplied with electricity."""
    before = who(await premises(utility, INHABITED))
    water = move_in(INHABITED, "w-1", names=(), service_category=ServiceCategory(kind=ServiceKind.water))
    assert (await utility.ask(Verb.CREATE, CA, water)).result is Result.OK
    assert who(await premises(utility, INHABITED)) == before
    await utility.ask(verb, CA, CustomerAgreement(mrid=mrid("w-1")))
    assert who(await premises(utility, INHABITED)) == before


async def test_a_move_in_to_come_takes_place_at_its_date(utility: Utility) -> None:
    """Until then the house is vacant, and an outage there is nobody's."""
    at = MONDAY + 3 * DAY
    await utility.ask(Verb.CREATE, CA, move_in(VACANT, validity_interval=DateTimeInterval(start=at)))
    await keep_dates(utility.context())
    assert who(await premises(utility, VACANT))[0] is None
    utility.now = at
    await keep_dates(utility.context())
    assert who(await premises(utility, VACANT)) == ("c-1", "ac-1", "a-1", True)


async def test_who_moves_in_on_the_day_the_last_one_leaves_is_there_afterwards(utility: Utility) -> None:
    """The end of the old agreement must not clear the house of the new customer."""
    at = MONDAY + 3 * DAY
    gone = CustomerAgreement(mrid=INHABITED.mrid("agreement"), validity_interval=DateTimeInterval(end=at))
    await utility.ask(Verb.CLOSE, CA, gone)
    await utility.ask(Verb.CREATE, CA, move_in(INHABITED, validity_interval=DateTimeInterval(start=at)))
    utility.now = at
    await keep_dates(utility.context())
    assert who(await premises(utility, INHABITED)) == ("c-1", "ac-1", "a-1", True)


async def test_a_changed_customer_is_changed_in_the_directory(utility: Utility) -> None:
    """A special need that is reported later counts from then on."""
    place = next(
        find_premises(index)
        for index in range(PREMISES_COUNT)
        if not is_vacant(index) and find_premises(index).special_need is None
    )
    patch = CustomerAgreement(
        mrid=place.mrid("agreement"), customer=Customer(mrid=place.mrid("customer"), special_need="ventilator")
    )
    await utility.ask(Verb.CHANGE, CA, patch)
    assert who(await premises(utility, place))[3]


async def test_a_place_that_the_directory_does_not_know_is_not_made_up(utility: Utility) -> None:
    """What feeds it is the network's to say."""
    body = move_in(VACANT, usage_points=(), service_locations=(ServiceLocation(mrid=mrid("nowhere")),))
    assert (await utility.ask(Verb.CREATE, CA, body)).result is Result.OK
    assert await utility.records.find(PREMISES, mrid("nowhere")) is None
    assert len(await utility.records.select(PREMISES, Selection())) == PREMISES_COUNT
