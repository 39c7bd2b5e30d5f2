"""Work request: wish of another party for work on the network.

Source: IEC 61968-8:2015, clause 5.6, which leaves the content to IEC 61968-6; members from its draft schema.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import WorkKind, WorkStatusKind, WorkTaskKind, WorkTimeScheduleKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import STANDARD, Member, Structure
from cimcare.model.values import DateTimeInterval, PositionPoint, Priority, TelephoneNumber
from cimcare.model.work import TownDetail, WorkCoordinateSystem

__all__ = [
    "Asset",
    "Crew",
    "Organisation",
    "OrganisationStreetAddress",
    "OrganisationStreetDetail",
    "StreetAddress",
    "StreetDetail",
    "Work",
    "WorkLocation",
    "WorkRequests",
    "WorkTask",
    "WorkTimeSchedule",
]


class OrganisationStreetDetail(Structure, frozen=True):
    """StreetDetail as WorkRequests shows it: street part."""

    XML_TYPE: ClassVar[str] = "StreetDetail"
    CIM_CLASS: ClassVar[str | None] = "StreetDetail"

    address_general: Annotated[str | None, Member("StreetDetail.addressGeneral", STANDARD, required=True)] = None
    building_name: Annotated[str | None, Member("StreetDetail.buildingName", STANDARD)] = None
    code: Annotated[str | None, Member("StreetDetail.code", STANDARD)] = None
    name: Annotated[str | None, Member("StreetDetail.name", STANDARD)] = None
    number: Annotated[str | None, Member("StreetDetail.number", STANDARD)] = None
    prefix: Annotated[str | None, Member("StreetDetail.prefix", STANDARD)] = None
    suffix: Annotated[str | None, Member("StreetDetail.suffix", STANDARD)] = None
    suite_number: Annotated[str | None, Member("StreetDetail.suiteNumber", STANDARD)] = None
    type: Annotated[str | None, Member("StreetDetail.type", STANDARD)] = None
    within_town_limits: Annotated[bool | None, Member("StreetDetail.withinTownLimits", STANDARD)] = None


class OrganisationStreetAddress(Structure, frozen=True):
    """StreetAddress as WorkRequests shows it: street and town part with a status."""

    XML_TYPE: ClassVar[str] = "StreetAddress"
    CIM_CLASS: ClassVar[str | None] = "StreetAddress"

    street_detail: Annotated[
        OrganisationStreetDetail | None, Member("StreetAddress.streetDetail", STANDARD, required=True)
    ] = None
    town_detail: Annotated[TownDetail | None, Member("StreetAddress.townDetail", STANDARD, required=True)] = None


class Organisation(Structure, frozen=True):
    """A body with phone, electronic and street addresses."""

    XML_TYPE: ClassVar[str] = "Organisation"
    CIM_CLASS: ClassVar[str | None] = "Organisation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    phone1: Annotated[TelephoneNumber | None, Member("Organisation.phone1", STANDARD)] = None
    street_address: Annotated[OrganisationStreetAddress | None, Member("Organisation.streetAddress", STANDARD)] = None


class WorkTimeSchedule(Structure, frozen=True):
    """Wanted, estimated or actual times of work."""

    XML_TYPE: ClassVar[str] = "WorkTimeSchedule"
    CIM_CLASS: ClassVar[str | None] = "WorkTimeSchedule"

    kind: Annotated[WorkTimeScheduleKind | None, Member("WorkTimeSchedule.kind", STANDARD, required=True)] = None
    schedule_interval: Annotated[
        DateTimeInterval | None, Member("TimeSchedule.scheduleInterval", STANDARD, required=True)
    ] = None


class StreetDetail(Structure, frozen=True):
    """Street part."""

    XML_TYPE: ClassVar[str] = "StreetDetail"
    CIM_CLASS: ClassVar[str | None] = "StreetDetail"

    address_general: Annotated[str | None, Member("StreetDetail.addressGeneral", STANDARD, required=True)] = None
    address_general2: Annotated[str | None, Member("StreetDetail.addressGeneral2", STANDARD)] = None
    address_general3: Annotated[str | None, Member("StreetDetail.addressGeneral3", STANDARD)] = None
    building_name: Annotated[str | None, Member("StreetDetail.buildingName", STANDARD)] = None
    code: Annotated[str | None, Member("StreetDetail.code", STANDARD)] = None
    name: Annotated[str | None, Member("StreetDetail.name", STANDARD)] = None
    number: Annotated[str | None, Member("StreetDetail.number", STANDARD)] = None
    prefix: Annotated[str | None, Member("StreetDetail.prefix", STANDARD)] = None
    suffix: Annotated[str | None, Member("StreetDetail.suffix", STANDARD)] = None
    suite_number: Annotated[str | None, Member("StreetDetail.suiteNumber", STANDARD)] = None
    type: Annotated[str | None, Member("StreetDetail.type", STANDARD)] = None
    within_town_limits: Annotated[bool | None, Member("StreetDetail.withinTownLimits", STANDARD)] = None


class StreetAddress(Structure, frozen=True):
    """Street and town part with a status."""

    XML_TYPE: ClassVar[str] = "StreetAddress"
    CIM_CLASS: ClassVar[str | None] = "StreetAddress"

    street_detail: Annotated[StreetDetail | None, Member("StreetAddress.streetDetail", STANDARD, required=True)] = None
    town_detail: Annotated[TownDetail | None, Member("StreetAddress.townDetail", STANDARD, required=True)] = None


class WorkLocation(Structure, frozen=True):
    """Place where work is done."""

    XML_TYPE: ClassVar[str] = "WorkLocation"
    CIM_CLASS: ClassVar[str | None] = "WorkLocation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    direction: Annotated[str | None, Member("Location.direction", STANDARD)] = None
    coordinate_system: Annotated[WorkCoordinateSystem | None, Member("Location.CoordinateSystem", STANDARD)] = field(
        default=None, name="CoordinateSystem"
    )
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", STANDARD)] = None
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", STANDARD)] = field(
        default=(), name="PositionPoints"
    )


class Asset(Structure, frozen=True):
    """A tangible thing the utility owns or looks after."""

    XML_TYPE: ClassVar[str] = "Asset"
    CIM_CLASS: ClassVar[str | None] = "Asset"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    critical: Annotated[bool | None, Member("Asset.critical", STANDARD, required=True)] = None
    utc_number: Annotated[str | None, Member("Asset.utcNumber", STANDARD, required=True)] = None
    location: Annotated[WorkLocation | None, Member("Asset.Location", STANDARD, required=True)] = field(
        default=None, name="Location"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class Crew(Structure, frozen=True):
    """Field team."""

    XML_TYPE: ClassVar[str] = "Crew"
    CIM_CLASS: ClassVar[str | None] = "Crew"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class WorkTask(Structure, frozen=True):
    """One step of a work."""

    XML_TYPE: ClassVar[str] = "WorkTask"
    CIM_CLASS: ClassVar[str | None] = "WorkTask"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    crew_eta: Annotated[datetime | None, Member("WorkTask.crewETA", STANDARD)] = field(default=None, name="crewETA")
    instruction: Annotated[str | None, Member("WorkTask.instruction", STANDARD)] = None
    subject: Annotated[str | None, Member("Document.subject", STANDARD, required=True)] = None
    task_kind: Annotated[WorkTaskKind | None, Member("WorkTask.taskKind", STANDARD, required=True)] = None
    assets: Annotated[tuple[Asset, ...], Member("WorkTask.Assets", STANDARD)] = field(default=(), name="Assets")
    crews: Annotated[tuple[Crew, ...], Member("WorkTask.Crews", STANDARD)] = field(default=(), name="Crews")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class Work(Structure, frozen=True):
    """Asks for, starts and follows work. Basis of service request, service order, work request."""

    XML_TYPE: ClassVar[str] = "Work"
    CIM_CLASS: ClassVar[str | None] = "Work"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[WorkKind | None, Member("BaseWork.kind", STANDARD, "On Work at cim15.")] = None
    last_modified_date_time: Annotated[datetime | None, Member("Document.lastModifiedDateTime", STANDARD)] = None
    request_date_time: Annotated[datetime | None, Member("Work.requestDateTime", STANDARD)] = None
    status_kind: Annotated[
        WorkStatusKind | None,
        Member("BaseWork.statusKind", STANDARD, "dcim12 onwards; cim15 draft used a compound workStatus."),
    ] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    priority: Annotated[
        Priority | None, Member("BaseWork.priority", STANDARD, "Compound from dcim12; a string on Work at cim15.")
    ] = None
    time_schedules: Annotated[tuple[WorkTimeSchedule, ...], Member("BaseWork.TimeSchedules", STANDARD)] = field(
        default=(), name="TimeSchedules"
    )
    work_location: Annotated[WorkLocation | None, Member("BaseWork.WorkLocation", STANDARD)] = field(
        default=None, name="WorkLocation"
    )
    work_tasks: Annotated[tuple[WorkTask, ...], Member("Work.WorkTasks", STANDARD)] = field(
        default=(), name="WorkTasks"
    )


class WorkRequests(Structure, frozen=True, tag_field="noun", tag="WorkRequests"):
    """Payload root of the noun WorkRequests."""

    XML_TYPE: ClassVar[str] = "WorkRequests"

    organisation: Annotated[tuple[Organisation, ...], Member(None, STANDARD)] = field(default=(), name="Organisation")
    work: Annotated[tuple[Work, ...], Member(None, STANDARD)] = field(default=(), name="Work")
