"""Business rules of the profiles, noun by noun: what a message must say to be of any use.

A create and a created show an object in full, so what is mandatory is asked of these two. A change shows only what is
otherwise: there the receiver judges the object that results. Order of instants inside an object (resolved after
reported, periods, appointments) is checked in `values`, for every verb.
"""

from cimcare.model import service_request
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.incident import Incident, IncidentCustomerNotification
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import CustomerNotification, TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.rules.references import has_identity
from cimcare.rules.report import OUR_RULE, Path, Report, index_of

__all__ = ["check_business"]

_IN_FULL = frozenset({Verb.CREATE, Verb.CREATED})


def check_business(item: Structure, verb: Verb, path: Path, report: Report) -> None:
    """Check one object of a payload by the rules of its class; service orders and work requests have none."""
    if verb not in _IN_FULL:
        return
    if isinstance(item, TroubleTicket):
        _check_ticket(item, path, report)
    elif isinstance(item, service_request.Work):
        _check_service_request(item, path, report)
    elif isinstance(item, Incident):
        count = len(item.customer_notifications)
        for position, each in enumerate(item.customer_notifications):
            _check_notification(each, (path, "CustomerNotifications", index_of(position, count)), report)
    elif isinstance(item, CustomerAgreement) and verb is Verb.CREATE:
        # A created event leaves the company: what is personal in it may have been left out on purpose.
        _check_agreement(item, path, report)


def _check_ticket(ticket: TroubleTicket, path: Path, report: Report) -> None:
    if ticket.date_time_of_report is None:
        _add_missing("dateTimeOfReport", "the instant at which the trouble was reported", path, report)
    if not (ticket.hazards or has_identity(ticket.service_location) or _leads_somewhere(ticket)):
        # A passer-by who reports a wire down has neither account nor premises, and that call must not be lost.
        report.add(
            "BUS-105",
            path,
            "no customer, place or hazard that could be identified",
            "Customer or ServiceLocation with mRID or name, or a hazard",
            clause=report.clause + OUR_RULE,
        )
    if ticket.notification is not None:
        _check_notification(ticket.notification, (path, "Notification", 0), report)


def _leads_somewhere(ticket: TroubleTicket) -> bool:
    """Whether the customer is identified, or at least a place of one of the customer's agreements."""
    customer = ticket.customer
    if customer is None:
        return False
    return has_identity(customer) or any(
        has_identity(agreement)
        or any(has_identity(place) for place in agreement.service_locations)
        or any(has_identity(point) for point in agreement.usage_points)
        for agreement in customer.customer_agreements
    )


def _check_notification(
    notification: CustomerNotification | IncidentCustomerNotification, path: Path, report: Report
) -> None:
    if notification.trigger is None:
        return
    for name, text in (("contactType", notification.contact_type), ("contactValue", notification.contact_value)):
        if text is None or not text.strip():
            report.add(
                "BUS-103",
                (path, name, 0),
                f"trigger is {notification.trigger}, but {name} is not given",
                "contactType and contactValue beside trigger: without them nobody can be told",
                clause=report.clause + OUR_RULE,
            )


def _check_service_request(work: service_request.Work, path: Path, report: Report) -> None:
    if work.kind is None:
        _add_missing("kind", "the kind of work that is wished", path, report)
    if work.request_date_time is None:
        _add_missing("requestDateTime", "the instant of the wish", path, report)
    places = (work.work_location, *(task.work_location for task in work.work_tasks))
    if any(has_identity(each) for each in work.customers) or any(_is_place(each) for each in places):
        return
    report.add(
        "BUS-109",
        path,
        "no customer and no place that could be identified",
        "Customers with mRID or name, or WorkLocation with mRID, name, usage point or mainAddress",
        clause=report.clause + OUR_RULE,
    )


def _is_place(place: service_request.ServiceLocation | None) -> bool:
    if place is None:
        return False
    return (
        has_identity(place) or place.main_address is not None or any(has_identity(each) for each in place.usage_points)
    )


def _check_agreement(agreement: CustomerAgreement, path: Path, report: Report) -> None:
    for name, far_end in (
        ("Customer", agreement.customer),
        ("CustomerAccount", agreement.customer_account),
        ("ServiceSupplier", agreement.service_supplier),
    ):
        if far_end is None:
            report.add(
                "BUS-106",
                (path, name, 0),
                f"{name} is not given",
                "Customer, CustomerAccount and ServiceSupplier: an agreement has exactly one of each",
                clause=report.clause + OUR_RULE,
            )


def _add_missing(name: str, accepted: str, path: Path, report: Report) -> None:
    report.add("BUS-101", (path, name, 0), f"{name} is not given", accepted, clause=report.clause + OUR_RULE)
