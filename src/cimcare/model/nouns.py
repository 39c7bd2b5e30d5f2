"""Registry of nouns: payload type, namespace, aliases, owner and clause, in one table.

A correction of a name or a namespace costs one line here.

Source: IEC 61968-8:2015, clauses 5.2 to 5.7; namespaces after the pattern of the sister schemas (year 2014).
"""

from enum import StrEnum

import msgspec

from cimcare.model.customer_agreement import CustomerAgreements
from cimcare.model.incident import Incidents
from cimcare.model.queries import (
    GetCustomerAgreements,
    GetIncidents,
    GetServiceOrders,
    GetServiceRequests,
    GetTroubleTickets,
    GetWorkRequests,
)
from cimcare.model.service_order import ServiceOrders
from cimcare.model.service_request import ServiceRequests
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.work import ActivityRecord
from cimcare.model.work_request import WorkRequests

__all__ = ["ENTRIES", "NOUNS", "Noun", "NounEntry", "PayloadRoot", "Query", "Role", "find_noun"]

PayloadRoot = TroubleTickets | Incidents | ServiceRequests | ServiceOrders | WorkRequests | CustomerAgreements
"""Any payload root."""

Query = (
    GetTroubleTickets | GetIncidents | GetServiceRequests | GetServiceOrders | GetWorkRequests | GetCustomerAgreements
)
"""Any `Get<Noun>` element."""


class Noun(StrEnum):
    """The six nouns: Header/Noun and name of the payload root."""

    TROUBLE_TICKETS = "TroubleTickets"
    INCIDENTS = "Incidents"
    SERVICE_REQUESTS = "ServiceRequests"
    SERVICE_ORDERS = "ServiceOrders"
    WORK_REQUESTS = "WorkRequests"
    CUSTOMER_AGREEMENTS = "CustomerAgreements"


class Role(StrEnum):
    """Systems of the reference model that exchange the nouns."""

    CIS = "cis"
    OMS = "oms"
    WMS = "wms"
    THIRD_PARTY = "third-party"


class NounEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One noun of one edition.

    `item` is the field of the payload root that holds the objects, `item_name` the class they are of. `owner` is the
    role that is master of the objects. `wrapper` is the element that some partners put between root and objects.
    `declared` lists types that the schema declares though no element uses them.
    """

    noun: Noun
    payload: type[PayloadRoot]
    query: type[Query]
    item: str
    item_name: str
    owner: Role
    clause: str
    namespace: str
    query_namespace: str
    message_namespace: str
    query_message_namespace: str
    aliases: tuple[str, ...]
    wrapper: str
    part_6: bool
    declared: tuple[type[Structure], ...]


def _entry(
    noun: Noun,
    payload: type[PayloadRoot],
    query: type[Query],
    item: str,
    owner: Role,
    clause: str,
    *aliases: str,
    part_6: bool = False,
    year: str = "2014",
) -> NounEntry:
    return NounEntry(
        noun=noun,
        payload=payload,
        query=query,
        item=item,
        item_name="".join(part.capitalize() for part in item.split("_")),
        owner=owner,
        clause=clause,
        namespace=f"http://iec.ch/TC57/{year}/{noun}#",
        query_namespace=f"http://iec.ch/TC57/{year}/Get{noun}#",
        message_namespace=f"http://iec.ch/TC57/{year}/{noun}Message",
        query_message_namespace=f"http://iec.ch/TC57/{year}/Get{noun}Message",
        aliases=aliases,
        wrapper=noun.removesuffix("s"),
        part_6=part_6,
        declared=(ActivityRecord,) if part_6 else (),
    )


ENTRIES: tuple[NounEntry, ...] = (
    _entry(
        Noun.TROUBLE_TICKETS,
        TroubleTickets,
        GetTroubleTickets,
        "trouble_ticket",
        Role.OMS,
        "IEC 61968-8:2015, 5.2",
        "TroubleTicket",
    ),
    _entry(
        Noun.INCIDENTS,
        Incidents,
        GetIncidents,
        "incident",
        Role.OMS,
        "IEC 61968-8:2015, 5.3",
        "IncidentInformation",
        "IncidentInformations",
        "Incident",
    ),
    _entry(
        Noun.SERVICE_REQUESTS,
        ServiceRequests,
        GetServiceRequests,
        "work",
        Role.WMS,
        "IEC 61968-8:2015, 5.4",
        "ServiceRequest",
    ),
    _entry(
        Noun.SERVICE_ORDERS,
        ServiceOrders,
        GetServiceOrders,
        "work",
        Role.WMS,
        "IEC 61968-8:2015, 5.5",
        "ServiceOrder",
        part_6=True,
    ),
    _entry(
        Noun.WORK_REQUESTS,
        WorkRequests,
        GetWorkRequests,
        "work",
        Role.WMS,
        "IEC 61968-8:2015, 5.6",
        "WorkRequest",
        part_6=True,
    ),
    _entry(
        Noun.CUSTOMER_AGREEMENTS,
        CustomerAgreements,
        GetCustomerAgreements,
        "customer_agreement",
        Role.CIS,
        "IEC 61968-8:2015, 5.7",
        "CustomerAgreement",
        "CustomerAgreementConfig",
    ),
)
"""The table, in the order of the clauses."""

NOUNS: dict[Noun, NounEntry] = {entry.noun: entry for entry in ENTRIES}
"""The table by noun."""

_BY_NAME = {entry.noun.value: entry for entry in ENTRIES}
_BY_ALIAS = {alias: entry for entry in ENTRIES for alias in entry.aliases}


def find_noun(name: str, *, aliases: bool = False) -> NounEntry | None:
    """Entry of the noun called `name`; with `aliases` also by the other names met in the field. None if unknown."""
    return _BY_NAME.get(name) or (_BY_ALIAS.get(name) if aliases else None)
