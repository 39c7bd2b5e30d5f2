"""Consents: what a side agreement says, who said it last, and until when it holds."""

from datetime import UTC, datetime, timedelta

import pytest

from cimcare.model.customer_agreement import AuxiliaryAgreementIdentity, Customer, CustomerAgreement
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.cis.consents import (
    ConsentRecord,
    Spoken,
    find_consent,
    give,
    list_consents,
    scopes_of,
    spoken_in,
    withdraw,
)
from cimcare.systems.cis.disclosure import Scope
from tests.unit.systems.utility import MONDAY, Utility, codes_of, items_of, mrid, names

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)


def side(text: str, party: str = "RETAIL") -> AuxiliaryAgreementIdentity:
    return AuxiliaryAgreementIdentity(sub_type=text, names=names(party, scheme="ThirdParty"))


@pytest.mark.parametrize(
    ("text", "scopes", "from_at", "until_at"),
    [
        ("consent agreement", (Scope.AGREEMENT,), None, None),
        ("consent agreement special-need", (Scope.AGREEMENT, Scope.SPECIAL_NEED), None, None),
        (
            "consent agreement from 2026-04-01 until 2027-04-01T00:00:00+02:00",
            (Scope.AGREEMENT,),
            datetime(2026, 4, 1, tzinfo=UTC),
            datetime(2027, 3, 31, 22, tzinfo=UTC),
        ),
        ("consent withdrawn", (), None, None),
    ],
)
def test_a_side_agreement_says_a_consent(
    text: str, scopes: tuple[Scope, ...], from_at: datetime | None, until_at: datetime | None
) -> None:
    """By message, in members that the CIM has."""
    wanted = Spoken(third_party="RETAIL", scopes=scopes, from_at=from_at, until_at=until_at)
    assert spoken_in(side(text)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "consent",
        "consent everything",
        "consent agreement until",
        "consent agreement until soon",
        "consent agreement from 2026-04-01 from 2026-05-01",
        "consent agreement from 2026-05-01 until 2026-04-01",
        "consent withdrawn agreement",
    ],
)
async def test_what_cannot_be_read_is_refused_and_gives_nothing(text: str) -> None:
    """A consent that somebody guessed is none."""
    utility = Utility()
    body = CustomerAgreement(mrid=mrid("a-1"), customer=Customer(mrid=mrid("c-1")), auxiliary_agreements=(side(text),))
    served = await utility.ask(Verb.CREATE, CA, body)
    assert (served.result, codes_of(served)) == (Result.FAILED, ["BUS-164"])
    assert await list_consents(utility.records, limit=10) == ()


def test_other_side_agreements_are_none() -> None:
    """Paying off a debt is no consent."""
    assert spoken_in(AuxiliaryAgreementIdentity(sub_type="debt", names=names("D-1"))) is None
    assert spoken_in(AuxiliaryAgreementIdentity(names=names("D-1"))) is None
    assert isinstance(spoken_in(AuxiliaryAgreementIdentity(sub_type="consent agreement")), str)


async def test_a_consent_by_message_is_given_changed_and_withdrawn() -> None:
    """The latest word holds, and says who passed it on."""
    utility = Utility()
    customer = Customer(mrid=mrid("c-1"))
    await utility.ask(
        Verb.CREATE,
        CA,
        CustomerAgreement(mrid=mrid("a-1"), customer=customer, auxiliary_agreements=(side("consent agreement"),)),
    )
    found = await find_consent(utility.records, mrid("c-1"), "RETAIL")
    assert found is not None
    assert (found.scopes, found.from_at, found.said_by) == ((Scope.AGREEMENT,), MONDAY, "bench")
    for text, scopes in (
        ("consent agreement contact", {Scope.AGREEMENT, Scope.CONTACT}),
        ("consent withdrawn", set()),
        ("consent agreement", {Scope.AGREEMENT}),
    ):
        utility.pass_time(hours=1)
        patch = CustomerAgreement(mrid=mrid("a-1"), auxiliary_agreements=(side(text),))
        assert (await utility.ask(Verb.CHANGE, CA, patch)).result is Result.OK
        body = CustomerAgreement(customer=customer)
        assert await scopes_of(utility.records, body, "RETAIL", utility.now) == scopes


async def test_a_customer_who_is_not_known_cannot_consent() -> None:
    """It would be nobody's consent."""
    utility = Utility()
    body = CustomerAgreement(mrid=mrid("a-1"), auxiliary_agreements=(side("consent agreement"),))
    assert codes_of(await utility.ask(Verb.CREATE, CA, body)) == ["BUS-164"]


def a_record(**members: object) -> ConsentRecord:
    return ConsentRecord(
        **{  # type: ignore[arg-type]
            "customer": mrid("c-1"),
            "third_party": "RETAIL",
            "scopes": (Scope.AGREEMENT,),
            "from_at": MONDAY,
            "until_at": MONDAY + DAY,
            "said_at": MONDAY,
            "said_by": "x",
            **members,
        }
    )


def test_a_consent_holds_from_its_start_on_and_before_its_end() -> None:
    """To the second, for that is what is argued about."""
    record = a_record()
    second = timedelta(seconds=1)
    held = [record.holds_at(at) for at in (MONDAY - second, MONDAY, MONDAY + DAY - second, MONDAY + DAY)]
    assert held == [False, True, True, False]
    assert not a_record(withdrawn_at=MONDAY + second).holds_at(MONDAY + second)


async def test_what_was_withdrawn_is_not_withdrawn_again_and_keeps_its_instant() -> None:
    """The first word is the one that counts in a dispute."""
    records = Utility().records
    words = {"customer": mrid("c-1"), "third_party": "RETAIL"}
    assert await withdraw(records, **words, now=MONDAY, said_by="x") is None  # type: ignore[arg-type]
    await give(
        records,
        customer=mrid("c-1"),
        third_party="RETAIL",
        scopes=[Scope.AGREEMENT],
        from_at=MONDAY,
        until_at=None,
        now=MONDAY,
        said_by="x",
    )
    first = await withdraw(records, **words, now=MONDAY + DAY, said_by="y")  # type: ignore[arg-type]
    assert await withdraw(records, **words, now=MONDAY + 2 * DAY, said_by="z") is None  # type: ignore[arg-type]
    assert await find_consent(records, mrid("c-1"), "RETAIL") == first


async def test_consents_of_parties_with_bars_in_their_names_are_two() -> None:
    """`A|B` and customer `C` is not `A` and customer `B|C`."""
    records = Utility().records
    for party, customer in (("A|B", "C"), ("A", "B|C")):
        await give(
            records,
            customer=mrid(customer),
            third_party=party,
            scopes=[Scope.AGREEMENT],
            from_at=MONDAY,
            until_at=None,
            now=MONDAY,
            said_by="x",
        )
    assert len(await list_consents(records, limit=10)) == 2


async def test_a_get_without_a_filter_looks_at_a_bounded_number_of_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so; the list for reconciliation goes through all."""
    from cimcare.systems.cis import permitting, sight

    for module in (sight, permitting):
        monkeypatch.setattr(module, "MOST_CUSTOMERS", 2)
    utility = Utility()
    for number in range(3):
        await give(
            utility.records,
            customer=mrid(f"c-{number}"),
            third_party="RETAIL",
            scopes=[Scope.AGREEMENT],
            from_at=MONDAY,
            until_at=None,
            now=MONDAY,
            said_by="x",
        )
        body = CustomerAgreement(mrid=mrid(f"a-{number}"), customer=Customer(mrid=mrid(f"c-{number}")))
        await utility.ask(Verb.CREATE, CA, body)
    utility.third_party = "RETAIL"
    served = await utility.ask(Verb.GET, CA)
    assert [getattr(one, "mrid", None) for one in items_of(served.payload)] == ["a-0", "a-1"]
    assert codes_of(served) == ["EXC-112"]
    assert codes_of(await utility.ask(Verb.GET, CA, ids=("a-2",))) == []


async def test_a_customer_known_by_number_alone_is_found_in_a_get_without_a_filter() -> None:
    """The agreement names the number, the consent the mRID."""
    utility = Utility()
    both = Customer(mrid=mrid("c-1"), names=names("C-1", scheme="CustomerNumber"))
    await utility.ask(Verb.CREATE, CA, CustomerAgreement(mrid=mrid("a-1"), customer=both))
    number = Customer(names=names("C-1", scheme="CustomerNumber"))
    await utility.ask(Verb.CREATE, CA, CustomerAgreement(mrid=mrid("a-2"), customer=number))
    await give(
        utility.records,
        customer=mrid("c-1"),
        third_party="RETAIL",
        scopes=[Scope.AGREEMENT],
        from_at=MONDAY,
        until_at=None,
        now=MONDAY,
        said_by="x",
    )
    utility.third_party = "RETAIL"
    served = await utility.ask(Verb.GET, CA)
    assert [getattr(one, "mrid", None) for one in items_of(served.payload)] == ["a-1", "a-2"]
