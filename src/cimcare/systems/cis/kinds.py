"""What the customer system keeps: agreements as their owner, and what it was told of the objects of others."""

from cimcare.model import service_order, service_request
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.objects import kind_of
from cimcare.systems.wms.kinds import ORDER_REFERENCES, work_requests_kind

__all__ = ["AGREEMENTS", "INCIDENTS", "SERVICE_ORDERS", "SERVICE_REQUESTS", "TICKETS", "WORK_REQUESTS"]

AGREEMENTS = kind_of(Noun.CUSTOMER_AGREEMENTS, Role.CIS, CustomerAgreement)
"""Agreements are proposed, active, ended or cancelled."""

INCIDENTS = kind_of(Noun.INCIDENTS, Role.CIS, Incident)
TICKETS = kind_of(
    Noun.TROUBLE_TICKETS,
    Role.CIS,
    TroubleTicket,
    references={"Device": "device", "DeviceNumber": "device"},
)
SERVICE_REQUESTS = kind_of(Noun.SERVICE_REQUESTS, Role.CIS, service_request.Work)
SERVICE_ORDERS = kind_of(
    Noun.SERVICE_ORDERS,
    Role.CIS,
    service_order.Work,
    references=ORDER_REFERENCES,
)
WORK_REQUESTS = work_requests_kind(Role.CIS)
