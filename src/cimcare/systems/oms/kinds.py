"""What the outage management keeps: trouble tickets and incidents with their states, and what it has made of them."""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, TroubleTicketIdentity
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.rules.lifecycle import IncidentState, TicketState
from cimcare.systems.objects import kind_of

__all__ = [
    "CANCELLED",
    "CLOSED",
    "DEVICE_NAMES",
    "EXTENTS",
    "INCIDENTS",
    "OPEN",
    "REPORTS",
    "RESOLVED",
    "TICKETS",
    "ExtentRecord",
    "Held",
    "ReportRecord",
    "incident_of",
]

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

TICKETS = kind_of(
    Noun.TROUBLE_TICKETS, Role.OMS, TroubleTicket, references=dict.fromkeys(sorted(DEVICE_NAMES), "device")
)
"""Tickets are open, resolved or cancelled. The key `incident` leads from an incident to its tickets."""

INCIDENTS = kind_of(Noun.INCIDENTS, Role.OMS, Incident)
"""Incidents are open, closed or cancelled. Their tickets are not in them: an incident may have very many."""


class ReportRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is reported of one of the premises: it counts once, however often somebody calls.

    `premises` is the key of the place and the mRID of the record. `at` is the earliest report that counts. `tickets`
    are open, `settled` resolved in the same incident.

    `path` are the devices above, nearest first, as they were when it was reported; none where the model does not know
    the place. `sizes` are the customers of the branch by which each of them is reached from here, `spot` says where
    the calls of those are counted that the first of them supplies directly, and how many these are; `lateral` the same
    for the near customers of the second. `stated` names the device that callers have named first; with `is_by_stated`
    the path is that of this device, since the place is not known.

    `off_at` is when the meter lost supply, `on_at` when it said that supply is back; `point` is by what interruptions
    of the place are known, where a meter has spoken, and `customers` how many are there. With `is_placed` somebody has
    said to which incident it belongs, and no rule moves it.
    """

    premises: str
    incident: MRID
    at: datetime
    tickets: int = 0
    settled: int = 0
    path: tuple[MRID, ...] = ()
    sizes: tuple[int, ...] = ()
    spot: tuple[MRID, int] | None = None
    lateral: tuple[MRID, int] | None = None
    stated: str = ""
    is_by_stated: bool = False
    is_critical: bool = False
    is_placed: bool = False
    off_at: datetime | None = None
    on_at: datetime | None = None
    point: str = ""
    customers: int = 1

    @property
    def is_dark(self) -> bool:
        """Whether somebody there still has to be heard: an open ticket, or a meter without supply."""
        return self.tickets > 0 or (self.off_at is not None and self.on_at is None)


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an incident is yet to be told: these tickets are new in it, and how many are out may have changed."""

    tickets: tuple[TroubleTicketIdentity, ...] = ()


class ExtentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an incident covers, in numbers that do not grow with it. Its mRID is that of the incident.

    `premises` have reported and belong to it, `critical` of them depend on supply, `dark` of them still have to be
    heard. `first_at` and `last_at` bound their reports. `settled_at` is the latest instant at which one was settled.

    `device` is the one suspected or confirmed, `path` all above it (above the premises if no device is suspected).
    `customers` and `critical_below` count what is below the device. `restored` customers are known to have supply
    again; with `has_words` somebody has spoken of single points, or a caller against it. With `is_pinned` the device is
    confirmed, and `pinned_since` bounds the reports that it attracts. `anchor` is the bucket of the evidence by which
    the incident of a suspected device is known. `is_adrift`: its device is no longer suspected, and what is left is not
    yet known.

    `service` is the premises of an incident that has no device. `is_unresolved`: the model does not know the place.
    `is_placed`: somebody has opened it, and no rule gives it another device.

    `held` is what is yet to be told of it, if anything is.
    """

    premises: int = 0
    critical: int = 0
    dark: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    settled_at: datetime | None = None
    device: MRID | None = None
    device_name: str = ""
    kind: str = ""
    path: tuple[MRID, ...] = ()
    customers: int = 0
    critical_below: int = 0
    restored: int = 0
    has_words: bool = False
    is_pinned: bool = False
    anchor: int | None = None
    service: str = ""
    is_adrift: bool = False
    is_unresolved: bool = False
    is_placed: bool = False
    pinned_since: datetime | None = None
    held: Held | None = None


REPORTS: Collection[ReportRecord] = Collection("oms.Reports", ReportRecord)
"""One for each of the premises of which something is reported. The key `incident` leads from an incident to them."""

EXTENTS: Collection[ExtentRecord] = Collection("oms.Extents", ExtentRecord)
"""One for each incident. The key `going` leads to the open ones, `above` from a device to those at it and below it,
`pinned` to those that are confirmed there, `unresolved` to those at places that the model does not know, `held` to
those of which something is yet to be told."""


def incident_of(ticket: TroubleTicket) -> MRID | None:
    """The incident that a ticket names by its mRID."""
    return ticket.incident.mrid if ticket.incident is not None else None
