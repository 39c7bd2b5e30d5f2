"""Incident information: what the outage management tells of a problem in the field.

Source: IEC 61968-8:2015, clause 5.3; content derived from the CIM class Incident and its neighbours.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import NotificationTriggerKind, WorkStatusKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import OURS, READING, Member, Structure
from cimcare.model.values import CoordinateSystem, DateTimeInterval, PositionPoint, Status, StreetAddress

__all__ = [
    "CustomerIdentity",
    "Incident",
    "IncidentCustomerNotification",
    "IncidentHazard",
    "IncidentIdentity",
    "IncidentLocation",
    "IncidentOutage",
    "IncidentWork",
    "Incidents",
    "Operator",
    "ServicePointOutageSummary",
    "TroubleTicketIdentity",
    "UsagePointIdentity",
]


class IncidentIdentity(Structure, frozen=True):
    """Incident as TroubleTickets shows it.

    A problem in the field, from tickets or another source; may lead to an outage.
    """

    XML_TYPE: ClassVar[str] = "Incident"
    CIM_CLASS: ClassVar[str | None] = "Incident"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class IncidentHazard(Structure, frozen=True):
    """Danger reported with a ticket or an incident."""

    XML_TYPE: ClassVar[str] = "IncidentHazard"
    CIM_CLASS: ClassVar[str | None] = "IncidentHazard"

    description: Annotated[str | None, Member("IdentifiedObject.description", OURS)] = None
    type: Annotated[
        str | None,
        Member("Hazard.type", READING, "Free text; inherited by both hazard kinds; moved/dropped at cim100."),
    ] = None
    status: Annotated[Status | None, Member("Hazard.status", READING)] = None


class UsagePointIdentity(Structure, frozen=True):
    """UsagePoint as TroubleTickets shows it: point at which supply is taken or given; a meter need not be there."""

    XML_TYPE: ClassVar[str] = "UsagePoint"
    CIM_CLASS: ClassVar[str | None] = "UsagePoint"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class CustomerIdentity(Structure, frozen=True):
    """Customer as Incidents shows it.

    Role of an organisation (or person) that receives a service. Names and addresses sit on the associated
    Organisation.
    """

    XML_TYPE: ClassVar[str] = "Customer"
    CIM_CLASS: ClassVar[str | None] = "Customer"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class IncidentCustomerNotification(Structure, frozen=True):
    """CustomerNotification as Incidents shows it.

    What a customer wants to be told, how to reach them, and between which times. Not an IdentifiedObject - it has
    no mRID.
    """

    XML_TYPE: ClassVar[str] = "CustomerNotification"
    CIM_CLASS: ClassVar[str | None] = "CustomerNotification"

    contact_type: Annotated[str | None, Member("CustomerNotification.contactType", READING, "e.g. phone, e-mail.")] = (
        None
    )
    contact_value: Annotated[
        str | None, Member("CustomerNotification.contactValue", READING, "The number or address.")
    ] = None
    earliest_date_time_to_call: Annotated[
        datetime | None, Member("CustomerNotification.earliestDateTimeToCall", READING, "Do not call before.")
    ] = None
    latest_date_time_to_call: Annotated[
        datetime | None, Member("CustomerNotification.latestDateTimeToCall", READING, "Do not call after.")
    ] = None
    trigger: Annotated[
        NotificationTriggerKind | None, Member("CustomerNotification.trigger", READING, "Event that starts the notice.")
    ] = None
    customer: Annotated[CustomerIdentity | None, Member("CustomerNotification.Customer", READING)] = field(
        default=None, name="Customer"
    )


class IncidentLocation(Structure, frozen=True):
    """Location as Incidents shows it: a place, by addresses and/or coordinates."""

    XML_TYPE: ClassVar[str] = "Location"
    CIM_CLASS: ClassVar[str | None] = "Location"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    direction: Annotated[str | None, Member("Location.direction", READING)] = None
    geo_info_reference: Annotated[str | None, Member("Location.geoInfoReference", READING)] = None
    type: Annotated[str | None, Member("Location.type", READING)] = None
    coordinate_system: Annotated[CoordinateSystem | None, Member("Location.CoordinateSystem", READING)] = field(
        default=None, name="CoordinateSystem"
    )
    main_address: Annotated[StreetAddress | None, Member("Location.mainAddress", READING)] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    position_points: Annotated[tuple[PositionPoint, ...], Member("Location.PositionPoints", READING)] = field(
        default=(), name="PositionPoints"
    )


class ServicePointOutageSummary(Structure, frozen=True):
    """Counts of affected points."""

    XML_TYPE: ClassVar[str] = "ServicePointOutageSummary"
    CIM_CLASS: ClassVar[str | None] = "ServicePointOutageSummary"

    critical_count: Annotated[int | None, Member("ServicePointOutageSummary.criticalCount", READING)] = None
    total_count: Annotated[int | None, Member("ServicePointOutageSummary.totalCount", READING)] = None


class IncidentOutage(Structure, frozen=True):
    """Outage as Incidents shows it: interruption of supply, actual or planned."""

    XML_TYPE: ClassVar[str] = "Outage"
    CIM_CLASS: ClassVar[str | None] = "Outage"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    cancelled_date_time: Annotated[datetime | None, Member("Outage.cancelledDateTime", READING)] = None
    cause: Annotated[str | None, Member("Outage.cause", READING)] = None
    is_planned: Annotated[bool | None, Member("Outage.isPlanned", READING, "Replaced by subclasses later.")] = None
    actual_period: Annotated[DateTimeInterval | None, Member("Outage.actualPeriod", READING)] = None
    estimated_period: Annotated[
        DateTimeInterval | None,
        Member(
            "Outage.estimatedPeriod",
            READING,
            "Its end is the estimated restoration time at dcim12; end = estimated restoration time.",
        ),
    ] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    summary: Annotated[
        ServicePointOutageSummary | None, Member("Outage.summary", READING, "Counts of service points.")
    ] = None
    usage_points: Annotated[
        tuple[UsagePointIdentity, ...],
        Member("Outage.UsagePoints", READING, "Split into EnergizedUsagePoint and DeEnergizedUsagePoint at cim100."),
    ] = field(default=(), name="UsagePoints")


class Operator(Structure, frozen=True):
    """Control-room person; owns incidents."""

    XML_TYPE: ClassVar[str] = "Operator"
    CIM_CLASS: ClassVar[str | None] = "Operator"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class TroubleTicketIdentity(Structure, frozen=True):
    """TroubleTicket as Incidents shows it: a problem as a customer reported it."""

    XML_TYPE: ClassVar[str] = "TroubleTicket"
    CIM_CLASS: ClassVar[str | None] = "TroubleTicket"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    resolved_date_time: Annotated[
        datetime | None, Member("TroubleTicket.resolvedDateTime", READING, "When it was settled.")
    ] = None
    trouble_code: Annotated[
        str | None, Member("TroubleTicket.troubleCode", READING, "Free code (no power, partial power, flicker ...).")
    ] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class IncidentWork(Structure, frozen=True):
    """Work as Incidents shows it.

    Asks for, starts and follows work. Basis of service request, service order, work request.
    """

    XML_TYPE: ClassVar[str] = "Work"
    CIM_CLASS: ClassVar[str | None] = "Work"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    status_kind: Annotated[
        WorkStatusKind | None,
        Member("BaseWork.statusKind", READING, "dcim12 onwards; cim15 draft used a compound workStatus."),
    ] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class Incident(Structure, frozen=True):
    """A problem in the field, from tickets or another source; may lead to an outage."""

    XML_TYPE: ClassVar[str] = "Incident"
    CIM_CLASS: ClassVar[str | None] = "Incident"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    cause: Annotated[str | None, Member("Incident.cause", READING, "Free text.")] = None
    comment: Annotated[str | None, Member("Document.comment", READING)] = None
    created_date_time: Annotated[datetime | None, Member("Document.createdDateTime", READING)] = None
    description: Annotated[str | None, Member("IdentifiedObject.description", OURS)] = None
    last_modified_date_time: Annotated[datetime | None, Member("Document.lastModifiedDateTime", READING)] = None
    subject: Annotated[str | None, Member("Document.subject", READING)] = None
    type: Annotated[str | None, Member("Document.type", READING, "Company-specific class of the document.")] = None
    customer_notifications: Annotated[
        tuple[IncidentCustomerNotification, ...], Member("Incident.CustomerNotifications", READING)
    ] = field(default=(), name="CustomerNotifications")
    hazards: Annotated[
        tuple[IncidentHazard, ...], Member("Incident.Hazards", READING, "Role renamed IncidentHazard at cim100.")
    ] = field(default=(), name="Hazards")
    location: Annotated[IncidentLocation | None, Member("Incident.Location", READING, "Where it is.")] = field(
        default=None, name="Location"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    outage: Annotated[IncidentOutage | None, Member("Incident.Outage", READING, "At most one outage.")] = field(
        default=None, name="Outage"
    )
    owner: Annotated[Operator | None, Member("Incident.Owner", READING, "The operator in charge.")] = field(
        default=None, name="Owner"
    )
    status: Annotated[Status | None, Member("Document.status", READING, "State of the subject matter.")] = None
    trouble_tickets: Annotated[tuple[TroubleTicketIdentity, ...], Member("Incident.TroubleTickets", READING)] = field(
        default=(), name="TroubleTickets"
    )
    works: Annotated[tuple[IncidentWork, ...], Member("Incident.Works", READING)] = field(default=(), name="Works")


class Incidents(Structure, frozen=True, tag_field="noun", tag="Incidents"):
    """Payload root of the noun Incidents."""

    XML_TYPE: ClassVar[str] = "Incidents"

    incident: Annotated[tuple[Incident, ...], Member(None, OURS, required=True)] = field(default=(), name="Incident")
