"""Service order: the job as the work management carries it out.

Source: IEC 61968-8:2015, clause 5.5, which leaves the content to IEC 61968-6; members from its draft schema.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import (
    CustomerKind,
    MeterMultiplierKind,
    PhaseCode,
    ServiceMultiplierKind,
    WorkKind,
    WorkStatusKind,
    WorkTaskKind,
)
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import STANDARD, Member, Structure
from cimcare.model.values import CoordinateSystem, CurrentFlow, PositionPoint, Priority, StreetDetail, Voltage
from cimcare.model.work import (
    Appointment,
    AssetLocationHazard,
    Crew,
    CustomerAgreementIdentity,
    MeterReading,
    TownDetail,
    WorkCoordinateSystem,
    WorkTimeSchedule,
)

__all__ = [
    "Asset",
    "Customer",
    "MeterMultiplier",
    "ServiceLocation",
    "ServiceLocationPositionPoint",
    "ServiceMultiplier",
    "ServiceOrders",
    "ShortStreetDetail",
    "Status",
    "StreetAddress",
    "UsagePoint",
    "UsagePointLocation",
    "UsagePointLocationStreetAddress",
    "Work",
    "WorkTask",
]


class Status(Structure, frozen=True):
    """Value, when, why, remark."""

    XML_TYPE: ClassVar[str] = "Status"
    CIM_CLASS: ClassVar[str | None] = "Status"

    date_time: Annotated[datetime | None, Member("Status.dateTime", STANDARD, required=True)] = None
    reason: Annotated[str | None, Member("Status.reason", STANDARD)] = None
    remark: Annotated[str | None, Member("Status.remark", STANDARD)] = None
    value: Annotated[str | None, Member("Status.value", STANDARD, "Free text state.", required=True)] = None


class Customer(Structure, frozen=True):
    """Role of an organisation (or person) that receives a service.

    Names and addresses sit on the associated Organisation.
    """

    XML_TYPE: ClassVar[str] = "Customer"
    CIM_CLASS: ClassVar[str | None] = "Customer"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[CustomerKind | None, Member("Customer.kind", STANDARD)] = None
    puc_number: Annotated[str | None, Member("Customer.pucNumber", STANDARD, "Regulator number.")] = None
    special_need: Annotated[str | None, Member("Customer.specialNeed", STANDARD, "e.g. life support.")] = None
    vip: Annotated[
        bool | None,
        Member("Customer.vip", STANDARD, "Deprecated in favour of priority; read, not written."),
    ] = None
    customer_agreements: Annotated[
        tuple[CustomerAgreementIdentity, ...], Member("Customer.CustomerAgreements", STANDARD)
    ] = field(default=(), name="CustomerAgreements")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    status: Annotated[Status | None, Member("Customer.status", STANDARD)] = None


class MeterMultiplier(Structure, frozen=True):
    """Factor of a meter."""

    XML_TYPE: ClassVar[str] = "MeterMultiplier"
    CIM_CLASS: ClassVar[str | None] = "MeterMultiplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[MeterMultiplierKind | None, Member("MeterMultiplier.kind", STANDARD, required=True)] = None
    value: Annotated[float | None, Member("MeterMultiplier.value", STANDARD, required=True)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class Asset(Structure, frozen=True):
    """A tangible thing the utility owns or looks after."""

    XML_TYPE: ClassVar[str] = "Asset"
    CIM_CLASS: ClassVar[str | None] = "Asset"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    amr_system: Annotated[str | None, Member("EndDevice.amrSystem", STANDARD)] = None
    critical: Annotated[bool | None, Member("Asset.critical", STANDARD)] = None
    form_number: Annotated[str | None, Member("Meter.formNumber", STANDARD)] = None
    serial_number: Annotated[str | None, Member("Asset.serialNumber", STANDARD)] = None
    utc_number: Annotated[str | None, Member("Asset.utcNumber", STANDARD)] = None
    meter_multipliers: Annotated[tuple[MeterMultiplier, ...], Member("Meter.MeterMultipliers", STANDARD)] = field(
        default=(), name="MeterMultipliers"
    )
    meter_readings: Annotated[tuple[MeterReading, ...], Member("Meter.MeterReadings", STANDARD)] = field(
        default=(), name="MeterReadings"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class StreetAddress(Structure, frozen=True):
    """Street and town part with a status."""

    XML_TYPE: ClassVar[str] = "StreetAddress"
    CIM_CLASS: ClassVar[str | None] = "StreetAddress"

    street_detail: Annotated[StreetDetail | None, Member("StreetAddress.streetDetail", STANDARD, required=True)] = None
    town_detail: Annotated[TownDetail | None, Member("StreetAddress.townDetail", STANDARD, required=True)] = None


class ServiceLocationPositionPoint(Structure, frozen=True):
    """One coordinate tuple; several make a line or an area."""

    XML_TYPE: ClassVar[str] = "PositionPoint"
    CIM_CLASS: ClassVar[str | None] = "PositionPoint"

    sequence_number: Annotated[int | None, Member("PositionPoint.sequenceNumber", STANDARD, required=True)] = None
    x_position: Annotated[str | None, Member("PositionPoint.xPosition", STANDARD, required=True)] = None
    y_position: Annotated[str | None, Member("PositionPoint.yPosition", STANDARD, required=True)] = None
    z_position: Annotated[str | None, Member("PositionPoint.zPosition", STANDARD, required=True)] = None


class ServiceMultiplier(Structure, frozen=True):
    """Transformer ratio at a usage point."""

    XML_TYPE: ClassVar[str] = "ServiceMultiplier"
    CIM_CLASS: ClassVar[str | None] = "ServiceMultiplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[ServiceMultiplierKind | None, Member("ServiceMultiplier.kind", STANDARD, required=True)] = None
    value: Annotated[float | None, Member("ServiceMultiplier.value", STANDARD, required=True)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")


class ShortStreetDetail(Structure, frozen=True):
    """StreetDetail as ServiceOrders shows it: street part."""

    XML_TYPE: ClassVar[str] = "StreetDetail"
    CIM_CLASS: ClassVar[str | None] = "StreetDetail"

    address_general: Annotated[str | None, Member("StreetDetail.addressGeneral", STANDARD)] = None
    building_name: Annotated[str | None, Member("StreetDetail.buildingName", STANDARD)] = None
    code: Annotated[str | None, Member("StreetDetail.code", STANDARD)] = None
    name: Annotated[str | None, Member("StreetDetail.name", STANDARD)] = None
    number: Annotated[str | None, Member("StreetDetail.number", STANDARD)] = None
    prefix: Annotated[str | None, Member("StreetDetail.prefix", STANDARD)] = None
    suffix: Annotated[str | None, Member("StreetDetail.suffix", STANDARD)] = None
    suite_number: Annotated[str | None, Member("StreetDetail.suiteNumber", STANDARD)] = None
    type: Annotated[str | None, Member("StreetDetail.type", STANDARD)] = None
    within_town_limits: Annotated[bool | None, Member("StreetDetail.withinTownLimits", STANDARD)] = None


class UsagePointLocationStreetAddress(Structure, frozen=True):
    """StreetAddress as ServiceOrders shows it: street and town part with a status."""

    XML_TYPE: ClassVar[str] = "StreetAddress"
    CIM_CLASS: ClassVar[str | None] = "StreetAddress"

    street_detail: Annotated[
        ShortStreetDetail | None, Member("StreetAddress.streetDetail", STANDARD, required=True)
    ] = None
    town_detail: Annotated[TownDetail | None, Member("StreetAddress.townDetail", STANDARD)] = None


class UsagePointLocation(Structure, frozen=True):
    """Exact place of a usage point."""

    XML_TYPE: ClassVar[str] = "UsagePointLocation"
    CIM_CLASS: ClassVar[str | None] = "UsagePointLocation"

    access_method: Annotated[str | None, Member("UsagePointLocation.accessMethod", STANDARD)] = None
    remark: Annotated[str | None, Member("UsagePointLocation.remark", STANDARD)] = None
    site_access_problem: Annotated[str | None, Member("UsagePointLocation.siteAccessProblem", STANDARD)] = None
    coordinate_system: Annotated[CoordinateSystem | None, Member("Location.CoordinateSystem", STANDARD)] = field(
        default=None, name="CoordinateSystem"
    )
    hazards: Annotated[tuple[AssetLocationHazard, ...], Member("Location.Hazards", STANDARD)] = field(
        default=(), name="Hazards"
    )
    main_address: Annotated[
        UsagePointLocationStreetAddress | None, Member("Location.mainAddress", STANDARD, required=True)
    ] = None
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", STANDARD)] = field(
        default=(), name="PositionPoints"
    )


class UsagePoint(Structure, frozen=True):
    """Point at which supply is taken or given; a meter need not be there."""

    XML_TYPE: ClassVar[str] = "UsagePoint"
    CIM_CLASS: ClassVar[str | None] = "UsagePoint"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    check_billing: Annotated[bool | None, Member("UsagePoint.checkBilling", STANDARD)] = None
    grounded: Annotated[bool | None, Member("UsagePoint.grounded", STANDARD)] = None
    is_sdp: Annotated[bool | None, Member("UsagePoint.isSdp", STANDARD)] = None
    is_virtual: Annotated[bool | None, Member("UsagePoint.isVirtual", STANDARD)] = None
    nominal_service_voltage: Annotated[Voltage | None, Member("UsagePoint.nominalServiceVoltage", STANDARD)] = None
    phase_code: Annotated[PhaseCode | None, Member("UsagePoint.phaseCode", STANDARD)] = None
    rated_current: Annotated[CurrentFlow | None, Member("UsagePoint.ratedCurrent", STANDARD, required=True)] = None
    service_delivery_remark: Annotated[str | None, Member("UsagePoint.serviceDeliveryRemark", STANDARD)] = None
    service_priority: Annotated[str | None, Member("UsagePoint.servicePriority", STANDARD)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    service_multipliers: Annotated[tuple[ServiceMultiplier, ...], Member("UsagePoint.ServiceMultipliers", STANDARD)] = (
        field(default=(), name="ServiceMultipliers")
    )
    usage_point_location: Annotated[UsagePointLocation | None, Member("UsagePoint.UsagePointLocation", STANDARD)] = (
        field(default=None, name="UsagePointLocation")
    )


class ServiceLocation(Structure, frozen=True):
    """The premises where service is delivered; where crews go."""

    XML_TYPE: ClassVar[str] = "ServiceLocation"
    CIM_CLASS: ClassVar[str | None] = "ServiceLocation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    access_method: Annotated[str | None, Member("ServiceLocation.accessMethod", STANDARD, "How to get in.")] = None
    direction: Annotated[str | None, Member("Location.direction", STANDARD)] = None
    needs_inspection: Annotated[
        bool | None, Member("ServiceLocation.needsInspection", STANDARD, "Facilities there should be inspected.")
    ] = None
    site_access_problem: Annotated[
        str | None, Member("ServiceLocation.siteAccessProblem", STANDARD, "What made access hard before.")
    ] = None
    coordinate_system: Annotated[WorkCoordinateSystem | None, Member("Location.CoordinateSystem", STANDARD)] = field(
        default=None, name="CoordinateSystem"
    )
    hazards: Annotated[tuple[AssetLocationHazard, ...], Member("Location.Hazards", STANDARD)] = field(
        default=(), name="Hazards"
    )
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", STANDARD)] = None
    position_points: Annotated[
        tuple[ServiceLocationPositionPoint, ...], Member("Location.PositionPoints", STANDARD)
    ] = field(default=(), name="PositionPoints")
    status: Annotated[Status | None, Member("Location.status", STANDARD)] = None
    usage_points: Annotated[tuple[UsagePoint, ...], Member("ServiceLocation.UsagePoints", STANDARD)] = field(
        default=(), name="UsagePoints"
    )


class WorkTask(Structure, frozen=True):
    """One step of a work."""

    XML_TYPE: ClassVar[str] = "WorkTask"
    CIM_CLASS: ClassVar[str | None] = "WorkTask"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", STANDARD, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    crew_eta: Annotated[datetime | None, Member("WorkTask.crewETA", STANDARD, required=True)] = field(
        default=None, name="crewETA"
    )
    instruction: Annotated[str | None, Member("WorkTask.instruction", STANDARD)] = None
    status_kind: Annotated[
        WorkStatusKind | None,
        Member("BaseWork.statusKind", STANDARD, "dcim12 onwards; cim15 draft used a compound workStatus."),
    ] = None
    subject: Annotated[str | None, Member("Document.subject", STANDARD, required=True)] = None
    task_kind: Annotated[WorkTaskKind | None, Member("WorkTask.taskKind", STANDARD, required=True)] = None
    assets: Annotated[tuple[Asset, ...], Member("WorkTask.Assets", STANDARD)] = field(default=(), name="Assets")
    crews: Annotated[tuple[Crew, ...], Member("WorkTask.Crews", STANDARD)] = field(default=(), name="Crews")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    old_asset: Annotated[
        Asset | None, Member("WorkTask.OldAsset", STANDARD, "0..1 at dcim12 and cim17; 0..* at cim100.")
    ] = field(default=None, name="OldAsset")
    time_schedules: Annotated[WorkTimeSchedule | None, Member("BaseWork.TimeSchedules", STANDARD)] = field(
        default=None, name="TimeSchedules"
    )
    work_location: Annotated[ServiceLocation | None, Member("BaseWork.WorkLocation", STANDARD)] = field(
        default=None, name="WorkLocation"
    )


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
    type: Annotated[str | None, Member("Document.type", STANDARD, "Company-specific class of the document.")] = None
    appointments: Annotated[tuple[Appointment, ...], Member("Work.Appointments", STANDARD)] = field(
        default=(), name="Appointments"
    )
    customers: Annotated[tuple[Customer, ...], Member("Work.Customers", STANDARD)] = field(default=(), name="Customers")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", STANDARD)] = field(default=(), name="Names")
    priority: Annotated[
        Priority | None, Member("BaseWork.priority", STANDARD, "Compound from dcim12; a string on Work at cim15.")
    ] = None
    time_schedules: Annotated[tuple[WorkTimeSchedule, ...], Member("BaseWork.TimeSchedules", STANDARD)] = field(
        default=(), name="TimeSchedules"
    )
    work_tasks: Annotated[tuple[WorkTask, ...], Member("Work.WorkTasks", STANDARD)] = field(
        default=(), name="WorkTasks"
    )


class ServiceOrders(Structure, frozen=True, tag_field="noun", tag="ServiceOrders"):
    """Payload root of the noun ServiceOrders."""

    XML_TYPE: ClassVar[str] = "ServiceOrders"

    work: Annotated[tuple[Work, ...], Member(None, STANDARD)] = field(default=(), name="Work")
