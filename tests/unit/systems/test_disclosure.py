"""The table of scopes and members, and the cut by it."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.model.customer_agreement import Customer, CustomerAgreement, Organisation, ServiceLocation
from cimcare.model.identity import Name
from cimcare.model.structure import Extension, Structure, elements_of
from cimcare.model.values import Status, StreetAddress
from cimcare.systems.cis.disclosure import MEMBERS, Scope, cut, tells_nothing
from tests.support.strategies import structures
from tests.unit.systems.utility import mrid, names

NEVER = {
    "comment",
    "subject",
    "title",
    "AuxiliaryAgreements",
    "docStatus",
    "status/reason",
    "status/remark",
    "Customer/pucNumber",
    "Customer/vip",
    "Customer/status",
    "Customer/Organisation/mRID",
    "Customer/Organisation/electronicAddress/lan",
    "Customer/Organisation/electronicAddress/mac",
    "Customer/Organisation/electronicAddress/password",
    "Customer/Organisation/electronicAddress/radio",
    "Customer/Organisation/electronicAddress/userID",
    "Customer/Organisation/electronicAddress/web",
    "CustomerAccount/status/dateTime",
    "CustomerAccount/status/reason",
    "CustomerAccount/status/remark",
    "ServiceLocations/accessMethod",
    "ServiceLocations/needsInspection",
    "ServiceLocations/siteAccessProblem",
    "ServiceLocations/electronicAddress",
    "ServiceLocations/phone1",
    "ServiceLocations/phone2",
    "ServiceLocations/status/dateTime",
    "ServiceLocations/status/reason",
    "ServiceLocations/status/remark",
    "ServiceSupplier/Organisation",
    "UsagePoints/readRoute",
    "UsagePoints/serviceDeliveryRemark",
    "UsagePoints/servicePriority",
}
"""What nobody outside sees, whatever a customer consents to."""


def paths(kind: type[Structure], named: set[str], before: str = "") -> set[str]:
    """Members down to where a path of the table ends, or down to the leaves."""
    found = set()
    for element in elements_of(kind):
        path = before + element.name
        deeper = any(one.startswith(f"{path}/") for one in named)
        found |= paths(element.kind, named, f"{path}/") if deeper else {path}
    return found


def test_every_member_of_an_agreement_is_in_one_scope_or_in_none_on_purpose() -> None:
    """A member that is new in the model must be thought about before anybody sees it."""
    listed = [path for members in MEMBERS.values() for path in members]
    assert len(listed) == len(set(listed))
    assert paths(CustomerAgreement, {*listed, *NEVER}) == {*listed, *NEVER}


def person() -> CustomerAgreement:
    return CustomerAgreement(
        mrid=mrid("a-1"),
        comment="owes money",
        is_pre_pay=True,
        sign_date=date(2026, 1, 2),
        names=names("AG-1"),
        customer=Customer(
            mrid=mrid("c-1"),
            special_need="dialysis",
            names=names("C-1"),
            organisation=Organisation(names=names("Ada Newman")),
        ),
        service_locations=(ServiceLocation(mrid=mrid("l-1"), main_address=StreetAddress(postal_code="12345")),),
        status=Status(value="active", reason="divorce", date_time=datetime(2026, 1, 2, tzinfo=UTC)),
        extensions=(Extension(xml="<secret xmlns='urn:x'/>"),),
    )


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        ({Scope.AGREEMENT}, ()),
        ({Scope.AGREEMENT, Scope.CONTACT}, ("Ada Newman", "C-1")),
        ({Scope.AGREEMENT, Scope.PREMISES}, ("12345",)),
        ({Scope.AGREEMENT, Scope.SPECIAL_NEED}, ("dialysis",)),
        ({Scope.AGREEMENT, Scope.CONTRACT}, ()),
    ],
)
def test_a_scope_shows_its_members_and_no_others(scopes: set[Scope], seen: tuple[str, ...]) -> None:
    """What a customer consents to is what is told, and nothing beside it."""
    shown = cut(person(), scopes)
    assert shown is not None
    text = msgspec.json.encode(shown).decode()
    for word in ("Ada Newman", "C-1", "12345", "dialysis", "owes money", "divorce", "secret"):
        assert (word in text) == (word in seen), word
    assert (shown.mrid, shown.sign_date, shown.names) == ("a-1", date(2026, 1, 2), names("AG-1"))
    assert shown.customer is not None
    assert shown.customer.mrid == "c-1"


@pytest.mark.parametrize("scopes", [set(), {Scope.CONTACT}, set(Scope) - {Scope.AGREEMENT}])
def test_without_the_agreement_itself_nothing_is_seen(scopes: set[Scope]) -> None:
    """Not even that there is one."""
    assert cut(person(), scopes) is None


def test_an_object_of_which_nothing_is_seen_is_not_there() -> None:
    """An empty element would tell that there is something."""
    shown = cut(CustomerAgreement(mrid=mrid("a-1"), customer=Customer(special_need="dialysis")), {Scope.AGREEMENT})
    assert shown == CustomerAgreement(mrid=mrid("a-1"))
    assert shown is not None
    assert tells_nothing(shown)


def test_extensions_are_never_seen() -> None:
    """Nobody knows what they hold, at any depth."""
    extension = Extension(xml="<secret/>")
    inner = msgspec.structs.replace(Name(name="AG-1"), extensions=(extension,))
    outer = CustomerAgreement(mrid=mrid("a-1"), names=(inner,), extensions=(extension,))
    assert cut(outer, set(Scope)) == CustomerAgreement(mrid=mrid("a-1"), names=(Name(name="AG-1"),))


def leaves(value: object, path: str = "") -> set[str]:
    """Paths of all members that say something."""
    if isinstance(value, tuple):
        return {one for item in value for one in leaves(item, path)}
    if not isinstance(value, Structure):
        return set() if value is None else {path}
    names_in_xml = dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True))
    found = set()
    for field, name in names_in_xml.items():
        found |= leaves(getattr(value, field), f"{path}/{name}" if path else name)
    return found


@given(agreement=structures(CustomerAgreement), scopes=st.sets(st.sampled_from(Scope)))
def test_nothing_is_seen_but_what_the_scopes_name(agreement: CustomerAgreement, scopes: set[Scope]) -> None:
    """Whatever an agreement holds: every member that is left is below a path of one of the scopes."""
    shown = cut(agreement, scopes)
    if shown is None:
        assert Scope.AGREEMENT not in scopes
        return
    allowed = [path for scope in scopes for path in MEMBERS[scope]]
    for leaf in leaves(shown):
        assert any(leaf == path or leaf.startswith(f"{path}/") for path in allowed), leaf
        assert "extensions" not in leaf
    assert leaves(shown) <= leaves(agreement)
    assert cut(shown, scopes) == shown
    whole = cut(agreement, set(Scope))
    assert whole is not None
    assert leaves(shown) <= leaves(whole)
