"""Trouble ticket: one problem as one customer reported it.

Source: IEC 61968-8:2015, clause 5.2; content derived from the CIM class TroubleTicket and its neighbours.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.enumerations import CustomerKind, NotificationTriggerKind, TroubleReportingKind
from cimcare.model.identity import MRID, Name
from cimcare.model.incident import IncidentHazard, IncidentIdentity, UsagePointIdentity
from cimcare.model.structure import OURS, READING, Member, Structure
from cimcare.model.values import Priority, Status

__all__ = [
    "CustomerAgreementPlace",
    "CustomerNotification",
    "ServiceLocationIdentity",
    "TroubleTicket",
    "TroubleTicketCustomer",
    "TroubleTickets",
]


class ServiceLocationIdentity(Structure, frozen=True):
    """ServiceLocation as TroubleTickets shows it: the premises where service is delivered; where crews go."""

    XML_TYPE: ClassVar[str] = "ServiceLocation"
    CIM_CLASS: ClassVar[str | None] = "ServiceLocation"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class CustomerAgreementPlace(Structure, frozen=True):
    """CustomerAgreement as TroubleTickets shows it.

    Contract between customer and supplier for a service at one or more premises.
    """

    XML_TYPE: ClassVar[str] = "CustomerAgreement"
    CIM_CLASS: ClassVar[str | None] = "CustomerAgreement"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    service_locations: Annotated[
        tuple[ServiceLocationIdentity, ...], Member("CustomerAgreement.ServiceLocations", READING)
    ] = field(default=(), name="ServiceLocations")
    usage_points: Annotated[tuple[UsagePointIdentity, ...], Member("CustomerAgreement.UsagePoints", READING)] = field(
        default=(), name="UsagePoints"
    )


class TroubleTicketCustomer(Structure, frozen=True):
    """Customer as TroubleTickets shows it.

    Role of an organisation (or person) that receives a service. Names and addresses sit on the associated
    Organisation.
    """

    XML_TYPE: ClassVar[str] = "Customer"
    CIM_CLASS: ClassVar[str | None] = "Customer"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    kind: Annotated[CustomerKind | None, Member("Customer.kind", READING)] = None
    special_need: Annotated[str | None, Member("Customer.specialNeed", READING, "e.g. life support.")] = None
    customer_agreements: Annotated[
        tuple[CustomerAgreementPlace, ...],
        Member("Customer.CustomerAgreements", READING, "path to the premises at dcim12."),
    ] = field(default=(), name="CustomerAgreements")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    priority: Annotated[Priority | None, Member("Customer.priority", READING, "Compound from dcim12.")] = None


class CustomerNotification(Structure, frozen=True):
    """What a customer wants to be told, how to reach them, and between which times.

    Not an IdentifiedObject - it has no mRID.
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


class TroubleTicket(Structure, frozen=True):
    """A problem as a customer reported it."""

    XML_TYPE: ClassVar[str] = "TroubleTicket"
    CIM_CLASS: ClassVar[str | None] = "TroubleTicket"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING, "Globally unique; UUID advised.")] = field(
        default=None, name="mRID"
    )
    comment: Annotated[
        str | None,
        Member(
            "TroubleTicket.comment",
            READING,
            "What the caller said. Document.comment up to cim17.",
        ),
    ] = None
    created_date_time: Annotated[datetime | None, Member("Document.createdDateTime", READING)] = None
    date_time_of_report: Annotated[
        datetime | None, Member("TroubleTicket.dateTimeOfReport", READING, "When the trouble was reported.")
    ] = None
    description: Annotated[str | None, Member("IdentifiedObject.description", OURS)] = None
    first_responder: Annotated[
        str | None,
        Member(
            "TroubleTicket.firstResponder",
            READING,
            "Police, fire brigade etc. on site; became firstResponderStatus later.",
        ),
    ] = None
    last_modified_date_time: Annotated[datetime | None, Member("Document.lastModifiedDateTime", READING)] = None
    multiple_premises: Annotated[
        bool | None, Member("TroubleTicket.multiplePremises", OURS, "Neighbours out too; cim100.")
    ] = None
    reporting_kind: Annotated[
        TroubleReportingKind | None, Member("TroubleTicket.reportingKind", READING, "Channel of the report.")
    ] = None
    resolved_date_time: Annotated[
        datetime | None, Member("TroubleTicket.resolvedDateTime", READING, "When it was settled.")
    ] = None
    trouble_code: Annotated[
        str | None, Member("TroubleTicket.troubleCode", READING, "Free code (no power, partial power, flicker ...).")
    ] = None
    type: Annotated[str | None, Member("Document.type", READING, "Company-specific class of the document.")] = None
    customer: Annotated[TroubleTicketCustomer | None, Member("TroubleTicket.Customer", READING)] = field(
        default=None, name="Customer"
    )
    hazards: Annotated[
        tuple[IncidentHazard, ...], Member("TroubleTicket.Hazards", READING, "Role renamed IncidentHazard at cim100.")
    ] = field(default=(), name="Hazards")
    incident: Annotated[IncidentIdentity | None, Member("TroubleTicket.Incident", READING)] = field(
        default=None, name="Incident"
    )
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    notification: Annotated[
        CustomerNotification | None,
        Member("TroubleTicket.Notification", READING, "0..1 at dcim12 and cim17; 0..* at cim100."),
    ] = field(default=None, name="Notification")
    service_location: Annotated[
        ServiceLocationIdentity | None,
        Member(
            "TroubleTicket.ServiceLocation",
            OURS,
            "Gives the OMS the premises directly; an association of cim100.",
        ),
    ] = field(default=None, name="ServiceLocation")
    status: Annotated[Status | None, Member("Document.status", READING, "State of the subject matter.")] = None


class TroubleTickets(Structure, frozen=True, tag_field="noun", tag="TroubleTickets"):
    """Payload root of the noun TroubleTickets."""

    XML_TYPE: ClassVar[str] = "TroubleTickets"

    trouble_ticket: Annotated[tuple[TroubleTicket, ...], Member(None, OURS, required=True)] = field(
        default=(), name="TroubleTicket"
    )
