"""A row of the directory that a utility brings: one of its premises, and who is supplied there. Our own profile."""

import msgspec

from cimcare.model.enumerations import CustomerKind

__all__ = ["DirectoryRow"]


class DirectoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """Premises by number, with address, supply and customer; what is not known is empty.

    `transformer` and `feeder` are names of devices of the network. Without `customer` the premises are vacant.
    `special_need` says what depends on supply there, if anything does. `line` is where it stood, for findings.
    """

    premises: str
    usage_point: str = ""
    street: str = ""
    house_number: str = ""
    postal_code: str = ""
    town: str = ""
    section: str = ""
    state: str = ""
    country: str = ""
    transformer: str = ""
    feeder: str = ""
    customer: str = ""
    name: str = ""
    kind: CustomerKind = CustomerKind.residential
    telephone: str = ""
    email: str = ""
    account: str = ""
    special_need: str = ""
    line: int = 0
