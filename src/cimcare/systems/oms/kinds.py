"""What the outage management keeps: trouble tickets and incidents, and their states."""

from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.rules.lifecycle import IncidentState, TicketState
from cimcare.systems.objects import kind_of

__all__ = ["CANCELLED", "CLOSED", "DEVICE_NAMES", "INCIDENTS", "OPEN", "RESOLVED", "TICKETS"]

OPEN = TicketState.OPEN.value
"""State of tickets and incidents that are worked upon."""
RESOLVED = TicketState.RESOLVED.value
"""End of a ticket whose trouble is settled."""
CANCELLED = TicketState.CANCELLED.value
"""End of tickets and incidents that should not have been."""
CLOSED = IncidentState.CLOSED.value
"""End of an incident whose tickets are settled."""

DEVICE_NAMES = frozenset({"Device", "DeviceNumber"})
"""Types of names of a ticket that name the device which the caller or agent suspects, and not the ticket."""

TICKETS = kind_of(Noun.TROUBLE_TICKETS, Role.OMS, TroubleTicket, references=DEVICE_NAMES, reference_sort="device")
"""Tickets are open, resolved or cancelled."""

INCIDENTS = kind_of(Noun.INCIDENTS, Role.OMS, Incident)
"""Incidents are open, closed or cancelled."""
