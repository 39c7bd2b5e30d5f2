"""Which place a ticket means."""

from collections.abc import Iterator

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.identity import Label, describe_identity, has_identity, label_of, labels_of, lookup_keys, mrid_of
from cimcare.systems.oms.devices import SERVICE_POINTS, ServicePointRecord
from cimcare.systems.oms.kinds import DEVICE_NAMES
from cimcare.systems.premises import PremisesRecord, find_premises, has_directory

__all__ = ["Place", "devices_of", "find_place", "key_of_point"]

_PLACE_SORTS = ("premises", "service-location", "usage-point")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trouble of a ticket is.

    `key` is the same for all tickets of one premises; empty if the ticket names neither a place nor a customer. `keys`
    are those under which the ticket is found by its place. `transformer` names what feeds it by the directory of
    premises, empty if that does not say. `findings` are warnings.
    """

    key: str = ""
    transformer: str = ""
    keys: frozenset[Key] = frozenset()
    findings: tuple[Finding, ...] = ()


def devices_of(ticket: TroubleTicket) -> tuple[str, ...]:
    """Names of the devices that a ticket states."""
    labels = (label_of(name) for name in ticket.names)
    return tuple(label.name for label in labels if label.type in DEVICE_NAMES and label.name)


async def find_place(records: Records, ticket: TroubleTicket, path: str) -> Place:
    """The place of a ticket: stated, failing that by its agreement, failing that by its customer.

    REF-105 and REF-106 warn of what the directory does not know; a ticket is never refused for it.
    """
    stated = tuple(_stated_places(ticket)) or tuple(_agreements(ticket))
    for sort, value in stated:
        found = await find_premises(records, sort, value)
        if len(found) == 1:
            return _known(found[0])
    customer = ticket.customer
    is_customer_given = customer is not None and has_identity(customer)
    homes: tuple[Stored[PremisesRecord], ...] = ()
    if customer is not None and is_customer_given:
        homes = await find_premises(records, "customer", customer)
        if not stated and len(homes) == 1:
            return _known(homes[0])
    point = await _point_of(records, stated)
    pointers = stated or ((("customer", customer),) if customer is not None and is_customer_given else ())
    key = f"{pointers[0][0]}:{describe_identity(pointers[0][1])}" if pointers else ""
    findings: list[Finding] = []
    if await has_directory(records):
        findings.append(_place_unknown(stated, len(homes), path))
        if customer is not None and is_customer_given and not homes:
            findings.append(_customer_unknown(customer, path))
    keys = {Key("premises", key)} if key else set()
    if point is not None:
        key = key_of_point(point)
        keys = {Key("premises", key), Key("usage-point", point.mrid)}
    return Place(key=key, keys=frozenset(keys), findings=tuple(findings))


def key_of_point(point: ServicePointRecord) -> str:
    """The key of premises that only the network model knows, however they are named."""
    return f"point:{point.mrid}"


async def _point_of(records: Records, stated: tuple[tuple[str, Structure], ...]) -> ServicePointRecord | None:
    """The point of supply that a place means, if it is one."""
    keys: list[Key] = []
    for sort, value in stated:
        if sort in _PLACE_SORTS:
            bare = (Label("", "", label.name) for label in labels_of(value))
            keys.extend(lookup_keys(sort, mrid_of(value), bare))
    if not keys:
        return None
    found = await records.select(SERVICE_POINTS, Selection(keys=(tuple(keys),), limit=2))
    return found[0].body if len(found) == 1 else None


def _stated_places(ticket: TroubleTicket) -> Iterator[tuple[str, Structure]]:
    agreements = ticket.customer.customer_agreements if ticket.customer is not None else ()
    locations = [ticket.service_location] if ticket.service_location is not None else []
    locations += [location for agreement in agreements for location in agreement.service_locations]
    yield from (("service-location", location) for location in locations if has_identity(location))
    points = [point for agreement in agreements for point in agreement.usage_points]
    yield from (("usage-point", point) for point in points if has_identity(point))


def _agreements(ticket: TroubleTicket) -> Iterator[tuple[str, Structure]]:
    agreements = ticket.customer.customer_agreements if ticket.customer is not None else ()
    yield from (("agreement", agreement) for agreement in agreements if has_identity(agreement))


def _known(premises: Stored[PremisesRecord]) -> Place:
    keys = {key for key in premises.keys if key.sort in _PLACE_SORTS}
    keys.add(Key("premises", premises.mrid))
    if premises.body.is_critical:
        keys.add(Key("critical", premises.mrid))
    return Place(key=premises.mrid, keys=frozenset(keys), transformer=premises.body.transformer)


def _place_unknown(stated: tuple[tuple[str, Structure], ...], homes: int, path: str) -> Finding:
    if stated:
        found = f"{stated[0][0]} {describe_identity(stated[0][1])} is not in the directory of premises"
    elif homes > 1:
        found = f"no place, and the customer has {homes} premises"
    else:
        found = "no place that the directory of premises knows"
    return finding_of(
        "REF-105", path, found, "a ServiceLocation or UsagePoint of the directory", "IEC 61968-8:2015, 5.2"
    )


def _customer_unknown(customer: Structure, path: str) -> Finding:
    return finding_of(
        "REF-106",
        f"{path}/Customer",
        f"customer {describe_identity(customer)} is not in the directory",
        "a customer of the directory",
        "IEC 61968-8:2015, 5.2",
    )
