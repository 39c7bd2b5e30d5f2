"""Identity of objects: mRID, names by numbering scheme, and the identifiers of messages.

Source: IEC 61968-100:2013 for the messages; shape of names as in the IEC 61968-6 and -9 schemas.
"""

from typing import Annotated, ClassVar, NewType

from msgspec import field

from cimcare.model.structure import READING, Member, Structure

__all__ = ["MRID", "CorrelationID", "MessageID", "Name", "NameType", "NameTypeAuthority"]

MRID = NewType("MRID", str)
"""Identity of an object, unique for all time and all systems; a UUID is advised."""

MessageID = NewType("MessageID", str)
"""Identity of a message, unique per sender and never used again (IEC 61968-100:2013, Header/MessageID)."""

CorrelationID = NewType("CorrelationID", str)
"""Links replies and events to the request that caused them (IEC 61968-100:2013, Header/CorrelationID)."""


class NameTypeAuthority(Structure, frozen=True):
    """The party that issues names of one type."""

    XML_TYPE: ClassVar[str] = "NameTypeAuthority"
    CIM_CLASS: ClassVar[str | None] = "NameTypeAuthority"
    SCHEMA_ORDER: ClassVar[tuple[str, ...]] = ("description", "name")

    name: Annotated[str, Member("NameTypeAuthority.name", READING)]
    description: Annotated[str | None, Member("NameTypeAuthority.description", READING)] = None


class NameType(Structure, frozen=True):
    """Says what kind of name it is (ticket number, account number, badge number)."""

    XML_TYPE: ClassVar[str] = "NameType"
    CIM_CLASS: ClassVar[str | None] = "NameType"
    SCHEMA_ORDER: ClassVar[tuple[str, ...]] = ("description", "name", "name_type_authority")

    name: Annotated[str, Member("NameType.name", READING)]
    description: Annotated[str | None, Member("NameType.description", READING)] = None
    name_type_authority: Annotated[NameTypeAuthority | None, Member("NameType.NameTypeAuthority", READING)] = field(
        default=None, name="NameTypeAuthority"
    )


class Name(Structure, frozen=True):
    """One further name of an object; qualified by a name type."""

    XML_TYPE: ClassVar[str] = "Name"
    CIM_CLASS: ClassVar[str | None] = "Name"

    name: Annotated[str, Member("Name.name", READING)]
    name_type: Annotated[NameType | None, Member("Name.NameType", READING)] = field(default=None, name="NameType")
