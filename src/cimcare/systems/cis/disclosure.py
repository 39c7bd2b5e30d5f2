"""What a third party may see of an agreement: one table of scopes and members, and the cut by it.

Pure. What no scope names is seen by nobody: a member that is added to the model is hidden until somebody puts it here.
Free text (comment, subject, title, reasons and remarks) is in no scope, since nobody knows what people write into it.

Source: our own profile; the standard leaves personal data to whoever sends it.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from typing import TypeVar

import msgspec
from msgspec.structs import fields

from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.structure import Element, Structure, elements_of

__all__ = ["MEMBERS", "Scope", "cut", "tells_nothing"]

StructureT = TypeVar("StructureT", bound=Structure)


class Scope(StrEnum):
    """What a customer may consent to. Without `agreement` nothing is seen at all."""

    AGREEMENT = "agreement"
    PREMISES = "premises"
    CONTACT = "contact"
    BILLING = "billing"
    LOAD = "load"
    SPECIAL_NEED = "special-need"
    CONTRACT = "contract"


MEMBERS: dict[Scope, tuple[str, ...]] = {
    Scope.AGREEMENT: (
        "mRID",
        "Names",
        "createdDateTime",
        "lastModifiedDateTime",
        "revisionNumber",
        "signDate",
        "type",
        "status/value",
        "status/dateTime",
        "validityInterval",
        "Customer/mRID",
        "CustomerAccount/mRID",
        "PricingStructures",
        "ServiceCategory",
        "ServiceLocations/mRID",
        "ServiceLocations/Names",
        "ServiceSupplier/mRID",
        "ServiceSupplier/Names",
        "ServiceSupplier/kind",
        "ServiceSupplier/issuerIdentificationNumber",
        "UsagePoints/mRID",
        "UsagePoints/Names",
        "UsagePoints/isSdp",
        "UsagePoints/isVirtual",
    ),
    Scope.PREMISES: (
        "ServiceLocations/mainAddress",
        "ServiceLocations/secondaryAddress",
        "ServiceLocations/type",
        "ServiceLocations/direction",
        "ServiceLocations/geoInfoReference",
        "ServiceLocations/CoordinateSystem",
        "ServiceLocations/PositionPoints",
        "ServiceLocations/status/value",
        "UsagePoints/connectionState",
    ),
    Scope.CONTACT: (
        "Customer/Names",
        "Customer/kind",
        "Customer/locale",
        "Customer/Organisation/Names",
        "Customer/Organisation/phone1",
        "Customer/Organisation/phone2",
        "Customer/Organisation/postalAddress",
        "Customer/Organisation/streetAddress",
        "Customer/Organisation/electronicAddress/email1",
        "Customer/Organisation/electronicAddress/email2",
    ),
    Scope.BILLING: (
        "isPrePay",
        "shutOffDateTime",
        "CustomerAccount/Names",
        "CustomerAccount/billingCycle",
        "CustomerAccount/budgetBill",
        "CustomerAccount/lastBillAmount",
        "CustomerAccount/status/value",
    ),
    Scope.LOAD: (
        "loadMgmt",
        "DemandResponsePrograms",
        "UsagePoints/readCycle",
    ),
    Scope.SPECIAL_NEED: (
        "Customer/specialNeed",
        "Customer/priority",
    ),
    Scope.CONTRACT: (),
}
"""Members that each scope shows, as paths of XML names from the agreement down; a path to a class shows all of it.

`contract` shows nothing: with it a third party may make, change and end agreements of the customer.
"""


class _Tree(dict[str, "_Tree"]):
    """Fields that are seen, each with what is seen below it; nothing said below means all."""


def cut(agreement: CustomerAgreement, scopes: Iterable[Scope]) -> CustomerAgreement | None:
    """The agreement as it is seen with these scopes; None if it is not seen at all."""
    wanted = frozenset(scopes)
    return _cut(agreement, _tree_of(wanted)) if Scope.AGREEMENT in wanted else None


def tells_nothing(agreement: CustomerAgreement) -> bool:
    """Whether nothing but an identity and the time of a modification is left. Names beside an mRID may be new ones."""
    names = agreement.names if agreement.mrid else ()
    bare = msgspec.structs.replace(agreement, mrid=None, names=names, last_modified_date_time=None)
    return bare == CustomerAgreement()


@cache
def _tree_of(scopes: frozenset[Scope]) -> _Tree:
    tree = _Tree()
    for scope in scopes:
        for path in MEMBERS[scope]:
            place: _Tree = tree
            kind: type[Structure] = CustomerAgreement
            for name in path.split("/"):
                element = _elements(kind)[name]
                place = place.setdefault(element.field, _Tree())
                kind = element.kind
    return tree


@cache
def _elements(kind: type[Structure]) -> dict[str, Element]:
    return {element.name: element for element in elements_of(kind)}


@cache
def _blanks(kind: type[Structure]) -> dict[str, object]:
    """What stands in a field of which nothing is said. Mandatory fields have nothing of the kind."""
    return {one.name: one.default for one in fields(kind) if one.default is not msgspec.NODEFAULT}


def _cut(value: StructureT, tree: _Tree) -> StructureT:
    """The value with the fields of the tree, and with all of them where the tree names none; never with extensions."""
    changes: dict[str, object] = {"extensions": ()}
    for field in value.__struct_fields__:
        content, below = getattr(value, field), tree.get(field)
        if field == "extensions":
            continue
        if tree and below is None:
            changes[field] = _blanks(type(value))[field]
        elif isinstance(content, Structure):
            part = _cut(content, below or _Tree())
            changes[field] = None if _is_bare(part) else part
        elif isinstance(content, tuple):
            parts = [_cut(one, below or _Tree()) if isinstance(one, Structure) else one for one in content]
            changes[field] = tuple(one for one in parts if not isinstance(one, Structure) or not _is_bare(one))
    return msgspec.structs.replace(value, **changes)


def _is_bare(value: Structure) -> bool:
    blanks = _blanks(type(value))
    return all(name in blanks and getattr(value, name) == blanks[name] for name in value.__struct_fields__)
