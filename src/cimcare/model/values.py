"""Compound values that several nouns share: addresses, telephone numbers, intervals, status, quantities.

Source: CIM (IEC 61968-11) compounds, level dcim12, as the IEC 61968 payload schemas show them.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, NewType

from msgspec import field

from cimcare.model.structure import OURS, READING, Member, Structure

__all__ = [
    "CoordinateSystem",
    "CurrentFlow",
    "DateTimeInterval",
    "ElectronicAddress",
    "Money",
    "PositionPoint",
    "Priority",
    "Status",
    "StreetAddress",
    "StreetDetail",
    "TelephoneNumber",
    "TownDetail",
    "Voltage",
]

Voltage = NewType("Voltage", float)
"""Electrical potential, in volts (V). CIM datatype Voltage; only the value is sent."""

CurrentFlow = NewType("CurrentFlow", float)
"""Electrical current, in amperes (A). CIM datatype CurrentFlow; only the value is sent."""

Money = NewType("Money", Decimal)
"""Amount of money; the currency is fixed by agreement and not sent. CIM datatype Money."""


class Status(Structure, frozen=True):
    """Value, when, why, remark."""

    XML_TYPE: ClassVar[str] = "Status"
    CIM_CLASS: ClassVar[str | None] = "Status"

    date_time: Annotated[datetime | None, Member("Status.dateTime", READING)] = None
    reason: Annotated[str | None, Member("Status.reason", READING)] = None
    remark: Annotated[str | None, Member("Status.remark", READING)] = None
    value: Annotated[str | None, Member("Status.value", READING, "Free text state.")] = None


class Priority(Structure, frozen=True):
    """Rank with reason and type."""

    XML_TYPE: ClassVar[str] = "Priority"
    CIM_CLASS: ClassVar[str | None] = "Priority"

    justification: Annotated[str | None, Member("Priority.justification", READING)] = None
    rank: Annotated[int | None, Member("Priority.rank", READING)] = None
    type: Annotated[str | None, Member("Priority.type", READING)] = None


class StreetDetail(Structure, frozen=True):
    """Street part."""

    XML_TYPE: ClassVar[str] = "StreetDetail"
    CIM_CLASS: ClassVar[str | None] = "StreetDetail"

    address_general: Annotated[str | None, Member("StreetDetail.addressGeneral", READING)] = None
    address_general2: Annotated[str | None, Member("StreetDetail.addressGeneral2", READING)] = None
    address_general3: Annotated[str | None, Member("StreetDetail.addressGeneral3", READING)] = None
    building_name: Annotated[str | None, Member("StreetDetail.buildingName", READING)] = None
    code: Annotated[str | None, Member("StreetDetail.code", READING)] = None
    name: Annotated[str | None, Member("StreetDetail.name", READING)] = None
    number: Annotated[str | None, Member("StreetDetail.number", READING)] = None
    prefix: Annotated[str | None, Member("StreetDetail.prefix", READING)] = None
    suffix: Annotated[str | None, Member("StreetDetail.suffix", READING)] = None
    suite_number: Annotated[str | None, Member("StreetDetail.suiteNumber", READING)] = None
    type: Annotated[str | None, Member("StreetDetail.type", READING)] = None
    within_town_limits: Annotated[bool | None, Member("StreetDetail.withinTownLimits", READING)] = None


class TownDetail(Structure, frozen=True):
    """Town part."""

    XML_TYPE: ClassVar[str] = "TownDetail"
    CIM_CLASS: ClassVar[str | None] = "TownDetail"

    code: Annotated[str | None, Member("TownDetail.code", READING)] = None
    country: Annotated[str | None, Member("TownDetail.country", READING)] = None
    name: Annotated[str | None, Member("TownDetail.name", READING)] = None
    section: Annotated[str | None, Member("TownDetail.section", READING)] = None
    state_or_province: Annotated[str | None, Member("TownDetail.stateOrProvince", READING)] = None


class StreetAddress(Structure, frozen=True):
    """Street and town part with a status."""

    XML_TYPE: ClassVar[str] = "StreetAddress"
    CIM_CLASS: ClassVar[str | None] = "StreetAddress"

    po_box: Annotated[str | None, Member("StreetAddress.poBox", OURS, "PostalAddress member up to dcim12.")] = None
    postal_code: Annotated[
        str | None, Member("StreetAddress.postalCode", OURS, "PostalAddress member up to dcim12.")
    ] = None
    status: Annotated[Status | None, Member("StreetAddress.status", READING)] = None
    street_detail: Annotated[StreetDetail | None, Member("StreetAddress.streetDetail", READING)] = None
    town_detail: Annotated[TownDetail | None, Member("StreetAddress.townDetail", READING)] = None


class CoordinateSystem(Structure, frozen=True):
    """Names the reference system of the points by a URN."""

    XML_TYPE: ClassVar[str] = "CoordinateSystem"
    CIM_CLASS: ClassVar[str | None] = "CoordinateSystem"

    crs_urn: Annotated[str | None, Member("CoordinateSystem.crsUrn", READING)] = None


class PositionPoint(Structure, frozen=True):
    """One coordinate tuple; several make a line or an area."""

    XML_TYPE: ClassVar[str] = "PositionPoint"
    CIM_CLASS: ClassVar[str | None] = "PositionPoint"

    sequence_number: Annotated[int | None, Member("PositionPoint.sequenceNumber", READING)] = None
    x_position: Annotated[str | None, Member("PositionPoint.xPosition", READING)] = None
    y_position: Annotated[str | None, Member("PositionPoint.yPosition", READING)] = None
    z_position: Annotated[str | None, Member("PositionPoint.zPosition", READING)] = None


class DateTimeInterval(Structure, frozen=True):
    """Start and end instants."""

    XML_TYPE: ClassVar[str] = "DateTimeInterval"
    CIM_CLASS: ClassVar[str | None] = "DateTimeInterval"

    end: Annotated[datetime | None, Member("DateTimeInterval.end", READING)] = None
    start: Annotated[datetime | None, Member("DateTimeInterval.start", READING)] = None


class TelephoneNumber(Structure, frozen=True):
    """Parts of a phone number."""

    XML_TYPE: ClassVar[str] = "TelephoneNumber"
    CIM_CLASS: ClassVar[str | None] = "TelephoneNumber"

    area_code: Annotated[str | None, Member("TelephoneNumber.areaCode", READING)] = None
    city_code: Annotated[str | None, Member("TelephoneNumber.cityCode", READING)] = None
    country_code: Annotated[str | None, Member("TelephoneNumber.countryCode", READING)] = None
    extension: Annotated[str | None, Member("TelephoneNumber.extension", READING)] = None
    local_number: Annotated[str | None, Member("TelephoneNumber.localNumber", READING)] = None


class ElectronicAddress(Structure, frozen=True):
    """E-mail, web, network and log-in data."""

    XML_TYPE: ClassVar[str] = "ElectronicAddress"
    CIM_CLASS: ClassVar[str | None] = "ElectronicAddress"

    email1: Annotated[str | None, Member("ElectronicAddress.email1", READING)] = None
    email2: Annotated[str | None, Member("ElectronicAddress.email2", READING)] = None
    lan: Annotated[str | None, Member("ElectronicAddress.lan", READING)] = None
    mac: Annotated[str | None, Member("ElectronicAddress.mac", READING)] = None
    password: Annotated[str | None, Member("ElectronicAddress.password", READING)] = None
    radio: Annotated[str | None, Member("ElectronicAddress.radio", READING)] = None
    user_id: Annotated[str | None, Member("ElectronicAddress.userID", READING)] = field(default=None, name="userID")
    web: Annotated[str | None, Member("ElectronicAddress.web", READING)] = None
