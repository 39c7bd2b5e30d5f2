"""Query elements: the `Get<Noun>` element inside Request, one a noun.

The standards known to us define no Get profile for IEC 61968-8; sister schemas name the classes to filter by, each
with identity and a few members. These six are our choice in that manner. Filters of one kind are alternatives (any
may match), filters of different kinds add up (all must match).

Source: habit of IEC 61968-6 test schemas of 2015 (namespace, place in Request); members ours.
"""

from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import TroubleReportingKind, WorkKind, WorkStatusKind
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import CustomerIdentity, IncidentIdentity, UsagePointIdentity
from cimcare.model.structure import OURS, Member, Structure
from cimcare.model.trouble_ticket import ServiceLocationIdentity

__all__ = [
    "AssetIdentity",
    "CrewIdentity",
    "CustomerAccountIdentity",
    "CustomerAgreementFilter",
    "GetCustomerAgreements",
    "GetIncidents",
    "GetServiceOrders",
    "GetServiceRequests",
    "GetTroubleTickets",
    "GetWorkRequests",
    "IncidentFilter",
    "OrganisationIdentity",
    "ServiceSupplierIdentity",
    "TroubleTicketFilter",
    "WorkFilter",
]


class AssetIdentity(Structure, frozen=True):
    """Asset, by identity."""

    XML_TYPE: ClassVar[str] = "Asset"
    CIM_CLASS: ClassVar[str | None] = "Asset"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class CrewIdentity(Structure, frozen=True):
    """Crew, by identity."""

    XML_TYPE: ClassVar[str] = "Crew"
    CIM_CLASS: ClassVar[str | None] = "Crew"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class CustomerAccountIdentity(Structure, frozen=True):
    """Customer account, by identity."""

    XML_TYPE: ClassVar[str] = "CustomerAccount"
    CIM_CLASS: ClassVar[str | None] = "CustomerAccount"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class OrganisationIdentity(Structure, frozen=True):
    """Organisation, by identity."""

    XML_TYPE: ClassVar[str] = "Organisation"
    CIM_CLASS: ClassVar[str | None] = "Organisation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class ServiceSupplierIdentity(Structure, frozen=True):
    """Service supplier, by identity."""

    XML_TYPE: ClassVar[str] = "ServiceSupplier"
    CIM_CLASS: ClassVar[str | None] = "ServiceSupplier"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class TroubleTicketFilter(Structure, frozen=True):
    """Tickets by identity, channel, code or state."""

    XML_TYPE: ClassVar[str] = "TroubleTicket"
    CIM_CLASS: ClassVar[str | None] = "TroubleTicket"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    reporting_kind: Annotated[TroubleReportingKind | None, Member("TroubleTicket.reportingKind", OURS)] = None
    state: Annotated[str | None, Member(None, OURS, "State of the ticket: open, resolved, cancelled.")] = None
    trouble_code: Annotated[str | None, Member("TroubleTicket.troubleCode", OURS)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class IncidentFilter(Structure, frozen=True):
    """Incidents by identity or state."""

    XML_TYPE: ClassVar[str] = "Incident"
    CIM_CLASS: ClassVar[str | None] = "Incident"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    state: Annotated[str | None, Member(None, OURS, "State of the incident: open, closed, cancelled.")] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class WorkFilter(Structure, frozen=True):
    """Work by identity, kind or state."""

    XML_TYPE: ClassVar[str] = "Work"
    CIM_CLASS: ClassVar[str | None] = "Work"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    kind: Annotated[WorkKind | None, Member("BaseWork.kind", OURS)] = None
    status_kind: Annotated[WorkStatusKind | None, Member("BaseWork.statusKind", OURS)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class CustomerAgreementFilter(Structure, frozen=True):
    """Agreements by identity or state."""

    XML_TYPE: ClassVar[str] = "CustomerAgreement"
    CIM_CLASS: ClassVar[str | None] = "CustomerAgreement"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", OURS)] = field(default=None, name="mRID")
    state: Annotated[str | None, Member(None, OURS, "State of the agreement: active, ended, cancelled.")] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", OURS)] = field(default=(), name="Names")


class GetTroubleTickets(Structure, frozen=True, tag_field="noun", tag="GetTroubleTickets"):
    """Filter of a get for TroubleTickets."""

    XML_TYPE: ClassVar[str] = "GetTroubleTickets"

    customer: Annotated[tuple[CustomerIdentity, ...], Member(None, OURS)] = field(default=(), name="Customer")
    incident: Annotated[tuple[IncidentIdentity, ...], Member(None, OURS)] = field(default=(), name="Incident")
    service_location: Annotated[tuple[ServiceLocationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceLocation"
    )
    trouble_ticket: Annotated[tuple[TroubleTicketFilter, ...], Member(None, OURS)] = field(
        default=(), name="TroubleTicket"
    )
    usage_point: Annotated[tuple[UsagePointIdentity, ...], Member(None, OURS)] = field(default=(), name="UsagePoint")


class GetIncidents(Structure, frozen=True, tag_field="noun", tag="GetIncidents"):
    """Filter of a get for Incidents."""

    XML_TYPE: ClassVar[str] = "GetIncidents"

    customer: Annotated[tuple[CustomerIdentity, ...], Member(None, OURS)] = field(default=(), name="Customer")
    incident: Annotated[tuple[IncidentFilter, ...], Member(None, OURS)] = field(default=(), name="Incident")
    service_location: Annotated[tuple[ServiceLocationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceLocation"
    )
    trouble_ticket: Annotated[tuple[TroubleTicketFilter, ...], Member(None, OURS)] = field(
        default=(), name="TroubleTicket"
    )
    usage_point: Annotated[tuple[UsagePointIdentity, ...], Member(None, OURS)] = field(default=(), name="UsagePoint")


class GetServiceRequests(Structure, frozen=True, tag_field="noun", tag="GetServiceRequests"):
    """Filter of a get for ServiceRequests."""

    XML_TYPE: ClassVar[str] = "GetServiceRequests"

    asset: Annotated[tuple[AssetIdentity, ...], Member(None, OURS)] = field(default=(), name="Asset")
    crew: Annotated[tuple[CrewIdentity, ...], Member(None, OURS)] = field(default=(), name="Crew")
    customer: Annotated[tuple[CustomerIdentity, ...], Member(None, OURS)] = field(default=(), name="Customer")
    service_location: Annotated[tuple[ServiceLocationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceLocation"
    )
    usage_point: Annotated[tuple[UsagePointIdentity, ...], Member(None, OURS)] = field(default=(), name="UsagePoint")
    work: Annotated[tuple[WorkFilter, ...], Member(None, OURS)] = field(default=(), name="Work")


class GetServiceOrders(Structure, frozen=True, tag_field="noun", tag="GetServiceOrders"):
    """Filter of a get for ServiceOrders."""

    XML_TYPE: ClassVar[str] = "GetServiceOrders"

    asset: Annotated[tuple[AssetIdentity, ...], Member(None, OURS)] = field(default=(), name="Asset")
    crew: Annotated[tuple[CrewIdentity, ...], Member(None, OURS)] = field(default=(), name="Crew")
    customer: Annotated[tuple[CustomerIdentity, ...], Member(None, OURS)] = field(default=(), name="Customer")
    service_location: Annotated[tuple[ServiceLocationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceLocation"
    )
    usage_point: Annotated[tuple[UsagePointIdentity, ...], Member(None, OURS)] = field(default=(), name="UsagePoint")
    work: Annotated[tuple[WorkFilter, ...], Member(None, OURS)] = field(default=(), name="Work")


class GetWorkRequests(Structure, frozen=True, tag_field="noun", tag="GetWorkRequests"):
    """Filter of a get for WorkRequests."""

    XML_TYPE: ClassVar[str] = "GetWorkRequests"

    asset: Annotated[tuple[AssetIdentity, ...], Member(None, OURS)] = field(default=(), name="Asset")
    crew: Annotated[tuple[CrewIdentity, ...], Member(None, OURS)] = field(default=(), name="Crew")
    organisation: Annotated[tuple[OrganisationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="Organisation"
    )
    work: Annotated[tuple[WorkFilter, ...], Member(None, OURS)] = field(default=(), name="Work")


class GetCustomerAgreements(Structure, frozen=True, tag_field="noun", tag="GetCustomerAgreements"):
    """Filter of a get for CustomerAgreements."""

    XML_TYPE: ClassVar[str] = "GetCustomerAgreements"

    customer: Annotated[tuple[CustomerIdentity, ...], Member(None, OURS)] = field(default=(), name="Customer")
    customer_account: Annotated[tuple[CustomerAccountIdentity, ...], Member(None, OURS)] = field(
        default=(), name="CustomerAccount"
    )
    customer_agreement: Annotated[tuple[CustomerAgreementFilter, ...], Member(None, OURS)] = field(
        default=(), name="CustomerAgreement"
    )
    service_location: Annotated[tuple[ServiceLocationIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceLocation"
    )
    service_supplier: Annotated[tuple[ServiceSupplierIdentity, ...], Member(None, OURS)] = field(
        default=(), name="ServiceSupplier"
    )
    usage_point: Annotated[tuple[UsagePointIdentity, ...], Member(None, OURS)] = field(default=(), name="UsagePoint")
