"""Parts of field work that several nouns share, and the forms of common values that IEC 61968-6 makes mandatory.

Source: IEC 61968-6 draft schemas (namespace year 2014); CIM classes around Work.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import ReadingReasonKind, WorkTimeScheduleKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import OURS, READING, STANDARD, Member, Structure
from cimcare.model.values import DateTimeInterval

__all__ = [
    "ActivityRecord",
    "Appointment",
    "AssetLocationHazard",
    "Crew",
    "CrewMember",
    "CustomerAgreementIdentity",
    "MeterReading",
    "Person",
    "Reading",
    "ReadingQuality",
    "ReadingType",
    "TownDetail",
    "WorkCoordinateSystem",
    "WorkTimeSchedule",
]


class Appointment(Structure, frozen=True):
    """Agreed time window for a visit."""

    XML_TYPE: ClassVar[str] = "Appointment"
    CIM_CLASS: ClassVar[str | None] = "Appointment"

    call_ahead: Annotated[bool | None, Member("Appointment.callAhead", READING)] = None
    meeting_interval: Annotated[DateTimeInterval | None, Member("Appointment.meetingInterval", READING)] = None


class CustomerAgreementIdentity(Structure, frozen=True):
    """CustomerAgreement as ServiceRequests shows it.

    Contract between customer and supplier for a service at one or more premises.
    """

    XML_TYPE: ClassVar[str] = "CustomerAgreement"
    CIM_CLASS: ClassVar[str | None] = "CustomerAgreement"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class WorkTimeSchedule(Structure, frozen=True):
    """Wanted, estimated or actual times of work."""

    XML_TYPE: ClassVar[str] = "WorkTimeSchedule"
    CIM_CLASS: ClassVar[str | None] = "WorkTimeSchedule"

    kind: Annotated[WorkTimeScheduleKind | None, Member("WorkTimeSchedule.kind", READING)] = None
    schedule_interval: Annotated[DateTimeInterval | None, Member("TimeSchedule.scheduleInterval", READING)] = None


class Person(Structure, frozen=True):
    """A human being with names and contact data."""

    XML_TYPE: ClassVar[str] = "Person"
    CIM_CLASS: ClassVar[str | None] = "Person"

    first_name: Annotated[str | None, Member("Person.firstName", READING)] = None
    last_name: Annotated[str | None, Member("Person.lastName", READING)] = None


class CrewMember(Structure, frozen=True):
    """A person in a crew."""

    XML_TYPE: ClassVar[str] = "CrewMember"
    CIM_CLASS: ClassVar[str | None] = "CrewMember"

    person: Annotated[Person | None, Member("PersonRole.Person", READING)] = field(default=None, name="Person")


class Crew(Structure, frozen=True):
    """Field team."""

    XML_TYPE: ClassVar[str] = "Crew"
    CIM_CLASS: ClassVar[str | None] = "Crew"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    crew_members: Annotated[tuple[CrewMember, ...], Member("Crew.CrewMembers", READING)] = field(
        default=(), name="CrewMembers"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class ReadingQuality(Structure, frozen=True):
    """Quality flag on a value."""

    XML_TYPE: ClassVar[str] = "ReadingQuality"
    CIM_CLASS: ClassVar[str | None] = "ReadingQuality"

    comment: Annotated[str | None, Member("ReadingQuality.comment", STANDARD)] = None
    source: Annotated[str | None, Member("ReadingQuality.source", STANDARD)] = None
    time_stamp: Annotated[datetime | None, Member("ReadingQuality.timeStamp", STANDARD)] = None


class ReadingType(Structure, frozen=True):
    """Coded description of what was measured."""

    XML_TYPE: ClassVar[str] = "ReadingType"
    CIM_CLASS: ClassVar[str | None] = "ReadingType"

    accumulation: Annotated[str | None, Member("ReadingType.accumulation", STANDARD)] = None
    aggregate: Annotated[str | None, Member("ReadingType.aggregate", STANDARD)] = None
    commodity: Annotated[str | None, Member("ReadingType.commodity", STANDARD)] = None
    consumption_tier: Annotated[int | None, Member("ReadingType.consumptionTier", STANDARD)] = None
    cpp: Annotated[int | None, Member("ReadingType.cpp", STANDARD)] = None
    currency: Annotated[str | None, Member("ReadingType.currency", STANDARD)] = None
    flow_direction: Annotated[str | None, Member("ReadingType.flowDirection", STANDARD)] = None
    macro_period: Annotated[str | None, Member("ReadingType.macroPeriod", STANDARD)] = None
    measurement_kind: Annotated[str | None, Member("ReadingType.measurementKind", STANDARD)] = None
    measuring_period: Annotated[str | None, Member("ReadingType.measuringPeriod", STANDARD)] = None
    multiplier: Annotated[str | None, Member("ReadingType.multiplier", STANDARD)] = None
    phases: Annotated[str | None, Member("ReadingType.phases", STANDARD)] = None
    tou: Annotated[int | None, Member("ReadingType.tou", STANDARD)] = None
    unit: Annotated[str | None, Member("ReadingType.unit", STANDARD)] = None


class Reading(Structure, frozen=True):
    """One value."""

    XML_TYPE: ClassVar[str] = "Reading"
    CIM_CLASS: ClassVar[str | None] = "Reading"

    reason: Annotated[ReadingReasonKind | None, Member("Reading.reason", STANDARD)] = None
    reported_date_time: Annotated[datetime | None, Member("BaseReading.reportedDateTime", STANDARD)] = None
    source: Annotated[str | None, Member("BaseReading.source", STANDARD)] = None
    time_stamp: Annotated[datetime | None, Member("MeasurementValue.timeStamp", STANDARD)] = None
    value: Annotated[str | None, Member("BaseReading.value", STANDARD)] = None
    reading_qualities: Annotated[tuple[ReadingQuality, ...], Member("BaseReading.ReadingQualities", STANDARD)] = field(
        default=(), name="ReadingQualities"
    )
    reading_type: Annotated[ReadingType | None, Member("Reading.ReadingType", STANDARD, required=True)] = field(
        default=None, name="ReadingType"
    )
    time_period: Annotated[DateTimeInterval | None, Member("BaseReading.timePeriod", STANDARD)] = None


class MeterReading(Structure, frozen=True):
    """Set of values from a meter."""

    XML_TYPE: ClassVar[str] = "MeterReading"
    CIM_CLASS: ClassVar[str | None] = "MeterReading"

    readings: Annotated[tuple[Reading, ...], Member("MeterReading.Readings", OURS)] = field(default=(), name="Readings")
    values_interval: Annotated[DateTimeInterval | None, Member("MeterReading.valuesInterval", READING)] = None


class AssetLocationHazard(Structure, frozen=True):
    """Danger at the place of an asset."""

    XML_TYPE: ClassVar[str] = "AssetLocationHazard"
    CIM_CLASS: ClassVar[str | None] = "AssetLocationHazard"

    type: Annotated[
        str | None,
        Member("Hazard.type", READING, "Free text; inherited by both hazard kinds; moved/dropped at cim100."),
    ] = None


class ActivityRecord(Structure, frozen=True):
    """One log entry about something that happened or is planned."""

    XML_TYPE: ClassVar[str] = "ActivityRecord"
    CIM_CLASS: ClassVar[str | None] = "ActivityRecord"

    created_date_time: Annotated[datetime | None, Member("ActivityRecord.createdDateTime", STANDARD)] = None
    reason: Annotated[str | None, Member("ActivityRecord.reason", STANDARD)] = None
    severity: Annotated[str | None, Member("ActivityRecord.severity", STANDARD)] = None
    type: Annotated[str | None, Member("ActivityRecord.type", STANDARD)] = None


class WorkCoordinateSystem(Structure, frozen=True):
    """Names the reference system of the points by a URN."""

    XML_TYPE: ClassVar[str] = "CoordinateSystem"
    CIM_CLASS: ClassVar[str | None] = "CoordinateSystem"

    crs_urn: Annotated[str | None, Member("CoordinateSystem.crsUrn", STANDARD, required=True)] = None


class TownDetail(Structure, frozen=True):
    """Town part."""

    XML_TYPE: ClassVar[str] = "TownDetail"
    CIM_CLASS: ClassVar[str | None] = "TownDetail"

    code: Annotated[str | None, Member("TownDetail.code", STANDARD)] = None
    country: Annotated[str | None, Member("TownDetail.country", STANDARD)] = None
    name: Annotated[str | None, Member("TownDetail.name", STANDARD, required=True)] = None
    section: Annotated[str | None, Member("TownDetail.section", STANDARD)] = None
    state_or_province: Annotated[str | None, Member("TownDetail.stateOrProvince", STANDARD)] = None
