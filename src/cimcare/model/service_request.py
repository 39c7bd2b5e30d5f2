"""Service request: wish for work at a customer's premises.

Source: IEC 61968-8:2015, clause 5.4; content by analogy with the service order of IEC 61968-6.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.customer_agreement import Organisation, ServiceCategory
from cimcare.model.enumerations import (
    CustomerKind,
    MeterMultiplierKind,
    PhaseCode,
    ServiceMultiplierKind,
    SupplierKind,
    UsagePointConnectedKind,
    WorkKind,
    WorkStatusKind,
    WorkTaskKind,
)
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import IncidentIdentity
from cimcare.model.structure import OURS, READING, Member, Structure
from cimcare.model.values import (
    CoordinateSystem,
    CurrentFlow,
    PositionPoint,
    Priority,
    Status,
    StreetAddress,
    TelephoneNumber,
    Voltage,
)
from cimcare.model.work import (
    Appointment,
    AssetLocationHazard,
    Crew,
    CustomerAgreementIdentity,
    MeterReading,
    WorkTimeSchedule,
)

__all__ = [
    "Asset",
    "Customer",
    "MeterMultiplier",
    "ServiceLocation",
    "ServiceMultiplier",
    "ServiceRequests",
    "ServiceSupplier",
    "UsagePoint",
    "UsagePointLocation",
    "Work",
    "WorkTask",
]


class Customer(Structure, frozen=True):
    """Role of an organisation (or person) that receives a service.

    Names and addresses sit on the associated Organisation.
    """

    XML_TYPE: ClassVar[str] = "Customer"
    CIM_CLASS: ClassVar[str | None] = "Customer"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[CustomerKind | None, Member("Customer.kind", READING)] = None
    puc_number: Annotated[str | None, Member("Customer.pucNumber", READING, "Regulator number.")] = None
    special_need: Annotated[str | None, Member("Customer.specialNeed", READING, "e.g. life support.")] = None
    vip: Annotated[
        bool | None,
        Member("Customer.vip", READING, "Deprecated in favour of priority; read, not written."),
    ] = None
    customer_agreements: Annotated[
        tuple[CustomerAgreementIdentity, ...], Member("Customer.CustomerAgreements", READING)
    ] = field(default=(), name="CustomerAgreements")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    organisation: Annotated[Organisation | None, Member("OrganisationRole.Organisation", READING)] = field(
        default=None, name="Organisation"
    )
    status: Annotated[Status | None, Member("Customer.status", READING)] = None


class ServiceMultiplier(Structure, frozen=True):
    """Transformer ratio at a usage point."""

    XML_TYPE: ClassVar[str] = "ServiceMultiplier"
    CIM_CLASS: ClassVar[str | None] = "ServiceMultiplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[ServiceMultiplierKind | None, Member("ServiceMultiplier.kind", READING)] = None
    value: Annotated[float | None, Member("ServiceMultiplier.value", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class ServiceSupplier(Structure, frozen=True):
    """Role of an organisation that supplies service."""

    XML_TYPE: ClassVar[str] = "ServiceSupplier"
    CIM_CLASS: ClassVar[str | None] = "ServiceSupplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[SupplierKind | None, Member("ServiceSupplier.kind", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class UsagePointLocation(Structure, frozen=True):
    """Exact place of a usage point."""

    XML_TYPE: ClassVar[str] = "UsagePointLocation"
    CIM_CLASS: ClassVar[str | None] = "UsagePointLocation"

    access_method: Annotated[str | None, Member("UsagePointLocation.accessMethod", READING)] = None
    remark: Annotated[str | None, Member("UsagePointLocation.remark", READING)] = None
    site_access_problem: Annotated[str | None, Member("UsagePointLocation.siteAccessProblem", READING)] = None
    coordinate_system: Annotated[CoordinateSystem | None, Member("Location.CoordinateSystem", READING)] = field(
        default=None, name="CoordinateSystem"
    )
    hazards: Annotated[tuple[AssetLocationHazard, ...], Member("Location.Hazards", READING)] = field(
        default=(), name="Hazards"
    )
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", READING)] = None
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", READING)] = field(
        default=(), name="PositionPoints"
    )


class UsagePoint(Structure, frozen=True):
    """Point at which supply is taken or given; a meter need not be there."""

    XML_TYPE: ClassVar[str] = "UsagePoint"
    CIM_CLASS: ClassVar[str | None] = "UsagePoint"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    check_billing: Annotated[bool | None, Member("UsagePoint.checkBilling", READING)] = None
    connection_state: Annotated[UsagePointConnectedKind | None, Member("UsagePoint.connectionState", READING)] = None
    grounded: Annotated[bool | None, Member("UsagePoint.grounded", READING)] = None
    is_sdp: Annotated[bool | None, Member("UsagePoint.isSdp", READING)] = None
    is_virtual: Annotated[bool | None, Member("UsagePoint.isVirtual", READING)] = None
    nominal_service_voltage: Annotated[Voltage | None, Member("UsagePoint.nominalServiceVoltage", READING)] = None
    phase_code: Annotated[PhaseCode | None, Member("UsagePoint.phaseCode", READING)] = None
    rated_current: Annotated[CurrentFlow | None, Member("UsagePoint.ratedCurrent", READING)] = None
    service_delivery_remark: Annotated[str | None, Member("UsagePoint.serviceDeliveryRemark", READING)] = None
    service_priority: Annotated[str | None, Member("UsagePoint.servicePriority", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    service_category: Annotated[ServiceCategory | None, Member("UsagePoint.ServiceCategory", READING)] = field(
        default=None, name="ServiceCategory"
    )
    service_multipliers: Annotated[tuple[ServiceMultiplier, ...], Member("UsagePoint.ServiceMultipliers", READING)] = (
        field(default=(), name="ServiceMultipliers")
    )
    service_supplier: Annotated[ServiceSupplier | None, Member("UsagePoint.ServiceSupplier", READING)] = field(
        default=None, name="ServiceSupplier"
    )
    usage_point_location: Annotated[UsagePointLocation | None, Member("UsagePoint.UsagePointLocation", READING)] = (
        field(default=None, name="UsagePointLocation")
    )


class ServiceLocation(Structure, frozen=True):
    """The premises where service is delivered; where crews go."""

    XML_TYPE: ClassVar[str] = "ServiceLocation"
    CIM_CLASS: ClassVar[str | None] = "ServiceLocation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    access_method: Annotated[str | None, Member("ServiceLocation.accessMethod", READING, "How to get in.")] = None
    direction: Annotated[str | None, Member("Location.direction", READING)] = None
    needs_inspection: Annotated[
        bool | None, Member("ServiceLocation.needsInspection", READING, "Facilities there should be inspected.")
    ] = None
    site_access_problem: Annotated[
        str | None, Member("ServiceLocation.siteAccessProblem", READING, "What made access hard before.")
    ] = None
    coordinate_system: Annotated[CoordinateSystem | None, Member("Location.CoordinateSystem", READING)] = field(
        default=None, name="CoordinateSystem"
    )
    hazards: Annotated[tuple[AssetLocationHazard, ...], Member("Location.Hazards", READING)] = field(
        default=(), name="Hazards"
    )
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    phone1: Annotated[TelephoneNumber | None, Member("Location.phone1", READING)] = None
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", READING)] = field(
        default=(), name="PositionPoints"
    )
    status: Annotated[Status | None, Member("Location.status", READING)] = None
    usage_points: Annotated[tuple[UsagePoint, ...], Member("ServiceLocation.UsagePoints", READING)] = field(
        default=(), name="UsagePoints"
    )


class MeterMultiplier(Structure, frozen=True):
    """Factor of a meter."""

    XML_TYPE: ClassVar[str] = "MeterMultiplier"
    CIM_CLASS: ClassVar[str | None] = "MeterMultiplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[MeterMultiplierKind | None, Member("MeterMultiplier.kind", READING)] = None
    value: Annotated[float | None, Member("MeterMultiplier.value", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class Asset(Structure, frozen=True):
    """Meter as ServiceRequests shows it: end device that measures."""

    XML_TYPE: ClassVar[str] = "Asset"
    CIM_CLASS: ClassVar[str | None] = "Meter"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    amr_system: Annotated[str | None, Member("EndDevice.amrSystem", READING)] = None
    critical: Annotated[bool | None, Member("Asset.critical", READING)] = None
    form_number: Annotated[str | None, Member("Meter.formNumber", READING)] = None
    serial_number: Annotated[str | None, Member("Asset.serialNumber", READING)] = None
    utc_number: Annotated[str | None, Member("Asset.utcNumber", READING)] = None
    meter_multipliers: Annotated[tuple[MeterMultiplier, ...], Member("Meter.MeterMultipliers", READING)] = field(
        default=(), name="MeterMultipliers"
    )
    meter_readings: Annotated[tuple[MeterReading, ...], Member("Meter.MeterReadings", READING)] = field(
        default=(), name="MeterReadings"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class WorkTask(Structure, frozen=True):
    """One step of a work."""

    XML_TYPE: ClassVar[str] = "WorkTask"
    CIM_CLASS: ClassVar[str | None] = "WorkTask"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    crew_eta: Annotated[datetime | None, Member("WorkTask.crewETA", READING)] = field(default=None, name="crewETA")
    instruction: Annotated[str | None, Member("WorkTask.instruction", READING)] = None
    status_kind: Annotated[
        WorkStatusKind | None,
        Member("BaseWork.statusKind", READING, "dcim12 onwards; cim15 draft used a compound workStatus."),
    ] = None
    subject: Annotated[str | None, Member("Document.subject", READING)] = None
    task_kind: Annotated[WorkTaskKind | None, Member("WorkTask.taskKind", READING)] = None
    assets: Annotated[tuple[Asset, ...], Member("WorkTask.Assets", READING)] = field(default=(), name="Assets")
    crews: Annotated[tuple[Crew, ...], Member("WorkTask.Crews", READING)] = field(default=(), name="Crews")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    old_asset: Annotated[
        Asset | None, Member("WorkTask.OldAsset", READING, "0..1 at dcim12 and cim17; 0..* at cim100.")
    ] = field(default=None, name="OldAsset")
    time_schedules: Annotated[tuple[WorkTimeSchedule, ...], Member("BaseWork.TimeSchedules", READING)] = field(
        default=(), name="TimeSchedules"
    )
    work_location: Annotated[ServiceLocation | None, Member("BaseWork.WorkLocation", READING)] = field(
        default=None, name="WorkLocation"
    )


class Work(Structure, frozen=True):
    """Asks for, starts and follows work. Basis of service request, service order, work request."""

    XML_TYPE: ClassVar[str] = "Work"
    CIM_CLASS: ClassVar[str | None] = "Work"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    comment: Annotated[str | None, Member("Document.comment", READING)] = None
    created_date_time: Annotated[datetime | None, Member("Document.createdDateTime", READING)] = None
    description: Annotated[str | None, Member("IdentifiedObject.description", OURS)] = None
    kind: Annotated[WorkKind | None, Member("BaseWork.kind", READING, "On Work at cim15.")] = None
    last_modified_date_time: Annotated[datetime | None, Member("Document.lastModifiedDateTime", READING)] = None
    request_date_time: Annotated[datetime | None, Member("Work.requestDateTime", READING)] = None
    status_kind: Annotated[
        WorkStatusKind | None,
        Member("BaseWork.statusKind", READING, "dcim12 onwards; cim15 draft used a compound workStatus."),
    ] = None
    subject: Annotated[str | None, Member("Document.subject", READING)] = None
    type: Annotated[str | None, Member("Document.type", READING, "Company-specific class of the document.")] = None
    appointments: Annotated[tuple[Appointment, ...], Member("Work.Appointments", READING)] = field(
        default=(), name="Appointments"
    )
    customers: Annotated[tuple[Customer, ...], Member("Work.Customers", READING)] = field(default=(), name="Customers")
    incidents: Annotated[tuple[IncidentIdentity, ...], Member("Work.Incidents", OURS)] = field(
        default=(), name="Incidents"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    priority: Annotated[
        Priority | None, Member("BaseWork.priority", READING, "Compound from dcim12; a string on Work at cim15.")
    ] = None
    time_schedules: Annotated[tuple[WorkTimeSchedule, ...], Member("BaseWork.TimeSchedules", READING)] = field(
        default=(), name="TimeSchedules"
    )
    work_location: Annotated[ServiceLocation | None, Member("BaseWork.WorkLocation", READING)] = field(
        default=None, name="WorkLocation"
    )
    work_tasks: Annotated[tuple[WorkTask, ...], Member("Work.WorkTasks", READING)] = field(default=(), name="WorkTasks")


class ServiceRequests(Structure, frozen=True, tag_field="noun", tag="ServiceRequests"):
    """Payload root of the noun ServiceRequests."""

    XML_TYPE: ClassVar[str] = "ServiceRequests"

    work: Annotated[tuple[Work, ...], Member(None, OURS)] = field(default=(), name="Work")
