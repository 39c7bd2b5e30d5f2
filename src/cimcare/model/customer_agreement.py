"""Customer agreement: contract between customer and supplier for a kind of service at places.

Source: IEC 61968-8:2015, clause 5.7; content derived from the CIM class CustomerAgreement and its neighbours.
"""

from datetime import date, datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import CustomerKind, RevenueKind, ServiceKind, SupplierKind, UsagePointConnectedKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import OURS, READING, Member, Structure
from cimcare.model.values import (
    CoordinateSystem,
    DateTimeInterval,
    ElectronicAddress,
    Money,
    PositionPoint,
    Priority,
    Status,
    StreetAddress,
    TelephoneNumber,
)

__all__ = [
    "AuxiliaryAgreementIdentity",
    "Customer",
    "CustomerAccount",
    "CustomerAgreement",
    "CustomerAgreements",
    "DemandResponseProgram",
    "Organisation",
    "PricingStructure",
    "ServiceCategory",
    "ServiceLocation",
    "ServiceSupplier",
    "Tariff",
    "UsagePoint",
]


class Organisation(Structure, frozen=True):
    """A body with phone, electronic and street addresses."""

    XML_TYPE: ClassVar[str] = "Organisation"
    CIM_CLASS: ClassVar[str | None] = "Organisation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    electronic_address: Annotated[ElectronicAddress | None, Member("Organisation.electronicAddress", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    phone1: Annotated[TelephoneNumber | None, Member("Organisation.phone1", READING)] = None
    phone2: Annotated[TelephoneNumber | None, Member("Organisation.phone2", READING)] = None
    postal_address: Annotated[
        StreetAddress | None,
        Member("Organisation.postalAddress", READING, "Type PostalAddress up to dcim12, StreetAddress later."),
    ] = None
    street_address: Annotated[StreetAddress | None, Member("Organisation.streetAddress", READING)] = None


class ServiceCategory(Structure, frozen=True):
    """Kind of commodity or service that is delivered."""

    XML_TYPE: ClassVar[str] = "ServiceCategory"
    CIM_CLASS: ClassVar[str | None] = "ServiceCategory"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[ServiceKind | None, Member("ServiceCategory.kind", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class AuxiliaryAgreementIdentity(Structure, frozen=True):
    """AuxiliaryAgreement as CustomerAgreements shows it: side agreement, e.g. paying off a debt."""

    XML_TYPE: ClassVar[str] = "AuxiliaryAgreement"
    CIM_CLASS: ClassVar[str | None] = "AuxiliaryAgreement"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    sub_type: Annotated[str | None, Member("AuxiliaryAgreement.subType", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


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
    locale: Annotated[str | None, Member("Customer.locale", READING, "Language to use.")] = None
    puc_number: Annotated[str | None, Member("Customer.pucNumber", READING, "Regulator number.")] = None
    special_need: Annotated[str | None, Member("Customer.specialNeed", READING, "e.g. life support.")] = None
    vip: Annotated[
        bool | None,
        Member("Customer.vip", READING, "Deprecated in favour of priority; read, not written."),
    ] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    organisation: Annotated[Organisation | None, Member("OrganisationRole.Organisation", READING)] = field(
        default=None, name="Organisation"
    )
    priority: Annotated[Priority | None, Member("Customer.priority", READING, "Compound from dcim12.")] = None
    status: Annotated[Status | None, Member("Customer.status", READING)] = None


class CustomerAccount(Structure, frozen=True):
    """Groups agreements of a customer for billing and payment."""

    XML_TYPE: ClassVar[str] = "CustomerAccount"
    CIM_CLASS: ClassVar[str | None] = "CustomerAccount"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    billing_cycle: Annotated[str | None, Member("CustomerAccount.billingCycle", READING, "Day of the cycle.")] = None
    budget_bill: Annotated[str | None, Member("CustomerAccount.budgetBill", READING, "Budget bill code.")] = None
    last_bill_amount: Annotated[Money | None, Member("CustomerAccount.lastBillAmount", OURS, "Later than dcim12.")] = (
        None
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    status: Annotated[Status | None, Member("Document.status", READING, "State of the subject matter.")] = None


class DemandResponseProgram(Structure, frozen=True):
    """Programme a customer has joined."""

    XML_TYPE: ClassVar[str] = "DemandResponseProgram"
    CIM_CLASS: ClassVar[str | None] = "DemandResponseProgram"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    type: Annotated[str | None, Member("DemandResponseProgram.type", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    validity_interval: Annotated[DateTimeInterval | None, Member("DemandResponseProgram.validityInterval", READING)] = (
        None
    )


class Tariff(Structure, frozen=True):
    """Approved price document."""

    XML_TYPE: ClassVar[str] = "Tariff"
    CIM_CLASS: ClassVar[str | None] = "Tariff"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    end_date: Annotated[date | None, Member("Tariff.endDate", READING)] = None
    start_date: Annotated[date | None, Member("Tariff.startDate", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class PricingStructure(Structure, frozen=True):
    """Set of price terms a customer can be put on."""

    XML_TYPE: ClassVar[str] = "PricingStructure"
    CIM_CLASS: ClassVar[str | None] = "PricingStructure"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    code: Annotated[str | None, Member("PricingStructure.code", READING)] = None
    daily_ceiling_usage: Annotated[int | None, Member("PricingStructure.dailyCeilingUsage", READING)] = None
    daily_estimated_usage: Annotated[int | None, Member("PricingStructure.dailyEstimatedUsage", READING)] = None
    daily_floor_usage: Annotated[int | None, Member("PricingStructure.dailyFloorUsage", READING)] = None
    revenue_kind: Annotated[RevenueKind | None, Member("PricingStructure.revenueKind", READING)] = None
    tax_exemption: Annotated[bool | None, Member("PricingStructure.taxExemption", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    tariffs: Annotated[tuple[Tariff, ...], Member("PricingStructure.Tariffs", READING)] = field(
        default=(), name="Tariffs"
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
    geo_info_reference: Annotated[str | None, Member("Location.geoInfoReference", READING)] = None
    needs_inspection: Annotated[
        bool | None, Member("ServiceLocation.needsInspection", READING, "Facilities there should be inspected.")
    ] = None
    site_access_problem: Annotated[
        str | None, Member("ServiceLocation.siteAccessProblem", READING, "What made access hard before.")
    ] = None
    type: Annotated[str | None, Member("Location.type", READING)] = None
    coordinate_system: Annotated[CoordinateSystem | None, Member("Location.CoordinateSystem", READING)] = field(
        default=None, name="CoordinateSystem"
    )
    electronic_address: Annotated[ElectronicAddress | None, Member("Location.electronicAddress", READING)] = None
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    phone1: Annotated[TelephoneNumber | None, Member("Location.phone1", READING)] = None
    phone2: Annotated[TelephoneNumber | None, Member("Location.phone2", READING)] = None
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", READING)] = field(
        default=(), name="PositionPoints"
    )
    secondary_address: Annotated[StreetAddress | None, Member("Location.secondaryAddress", READING)] = None
    status: Annotated[Status | None, Member("Location.status", READING)] = None


class ServiceSupplier(Structure, frozen=True):
    """Role of an organisation that supplies service."""

    XML_TYPE: ClassVar[str] = "ServiceSupplier"
    CIM_CLASS: ClassVar[str | None] = "ServiceSupplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    issuer_identification_number: Annotated[
        str | None, Member("ServiceSupplier.issuerIdentificationNumber", READING)
    ] = None
    kind: Annotated[SupplierKind | None, Member("ServiceSupplier.kind", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    organisation: Annotated[Organisation | None, Member("OrganisationRole.Organisation", READING)] = field(
        default=None, name="Organisation"
    )


class UsagePoint(Structure, frozen=True):
    """Point at which supply is taken or given; a meter need not be there."""

    XML_TYPE: ClassVar[str] = "UsagePoint"
    CIM_CLASS: ClassVar[str | None] = "UsagePoint"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    connection_state: Annotated[UsagePointConnectedKind | None, Member("UsagePoint.connectionState", READING)] = None
    is_sdp: Annotated[bool | None, Member("UsagePoint.isSdp", READING)] = None
    is_virtual: Annotated[bool | None, Member("UsagePoint.isVirtual", READING)] = None
    read_cycle: Annotated[str | None, Member("UsagePoint.readCycle", READING)] = None
    read_route: Annotated[str | None, Member("UsagePoint.readRoute", READING)] = None
    service_delivery_remark: Annotated[str | None, Member("UsagePoint.serviceDeliveryRemark", READING)] = None
    service_priority: Annotated[str | None, Member("UsagePoint.servicePriority", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class CustomerAgreement(Structure, frozen=True):
    """Contract between customer and supplier for a service at one or more premises."""

    XML_TYPE: ClassVar[str] = "CustomerAgreement"
    CIM_CLASS: ClassVar[str | None] = "CustomerAgreement"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    comment: Annotated[str | None, Member("Document.comment", READING)] = None
    created_date_time: Annotated[datetime | None, Member("Document.createdDateTime", READING)] = None
    is_pre_pay: Annotated[
        bool | None, Member("CustomerAgreement.isPrePay", READING, "Prepayment flag; later than dcim12.")
    ] = None
    last_modified_date_time: Annotated[datetime | None, Member("Document.lastModifiedDateTime", READING)] = None
    load_mgmt: Annotated[str | None, Member("CustomerAgreement.loadMgmt", READING, "Load management code.")] = None
    revision_number: Annotated[str | None, Member("Document.revisionNumber", READING)] = None
    shut_off_date_time: Annotated[
        datetime | None,
        Member(
            "CustomerAgreement.shutOffDateTime",
            READING,
            "Last moment billed to the leaving customer; later than dcim12.",
        ),
    ] = None
    sign_date: Annotated[date | None, Member("Agreement.signDate", READING)] = None
    subject: Annotated[str | None, Member("Document.subject", READING)] = None
    title: Annotated[str | None, Member("Document.title", READING)] = None
    type: Annotated[str | None, Member("Document.type", READING, "Company-specific class of the document.")] = None
    auxiliary_agreements: Annotated[
        tuple[AuxiliaryAgreementIdentity, ...], Member("CustomerAgreement.AuxiliaryAgreements", READING)
    ] = field(default=(), name="AuxiliaryAgreements")
    customer: Annotated[Customer | None, Member("CustomerAgreement.Customer", READING)] = field(
        default=None, name="Customer"
    )
    customer_account: Annotated[CustomerAccount | None, Member("CustomerAgreement.CustomerAccount", READING)] = field(
        default=None, name="CustomerAccount"
    )
    demand_response_programs: Annotated[
        tuple[DemandResponseProgram, ...],
        Member("CustomerAgreement.DemandResponsePrograms", READING, "Was a single DemandResponseProgram at cim15."),
    ] = field(default=(), name="DemandResponsePrograms")
    doc_status: Annotated[Status | None, Member("Document.docStatus", READING, "State of the document itself.")] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    pricing_structures: Annotated[
        tuple[PricingStructure, ...], Member("CustomerAgreement.PricingStructures", READING)
    ] = field(default=(), name="PricingStructures")
    service_category: Annotated[ServiceCategory | None, Member("CustomerAgreement.ServiceCategory", READING)] = field(
        default=None, name="ServiceCategory"
    )
    service_locations: Annotated[tuple[ServiceLocation, ...], Member("CustomerAgreement.ServiceLocations", READING)] = (
        field(default=(), name="ServiceLocations")
    )
    service_supplier: Annotated[ServiceSupplier | None, Member("CustomerAgreement.ServiceSupplier", READING)] = field(
        default=None, name="ServiceSupplier"
    )
    status: Annotated[Status | None, Member("Document.status", READING, "State of the subject matter.")] = None
    usage_points: Annotated[tuple[UsagePoint, ...], Member("CustomerAgreement.UsagePoints", READING)] = field(
        default=(), name="UsagePoints"
    )
    validity_interval: Annotated[DateTimeInterval | None, Member("Agreement.validityInterval", READING)] = None


class CustomerAgreements(Structure, frozen=True, tag_field="noun", tag="CustomerAgreements"):
    """Payload root of the noun CustomerAgreements."""

    XML_TYPE: ClassVar[str] = "CustomerAgreements"

    customer_agreement: Annotated[tuple[CustomerAgreement, ...], Member(None, OURS, required=True)] = field(
        default=(), name="CustomerAgreement"
    )
