"""How incidents stand, in a few words and numbers: where they are, and what open ones cover now."""

import msgspec

from cimcare.exchange.ports import Key, Records, Selection
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.identity import labels_of
from cimcare.systems.oms.kinds import EXTENTS, OPEN, ExtentRecord

__all__ = ["GOING_ON", "Standing", "customers_out", "list_standings", "where_of"]

_PAGE = 500

GOING_ON = Key("going", "on")
"""Key of the extents of open incidents."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open incident: customers without supply, calls of how many premises, customers of it known to be back.

    `is_within`: an open incident at a device above has counted its customers already.
    """

    incident: MRID
    customers: int
    premises: int = 0
    restored: int = 0
    device: str = ""
    is_within: bool = False


def customers_out(extent: ExtentRecord) -> int:
    """Customers without supply. Who has said that supply is back is not believed out; who has not is."""
    total = extent.customers if extent.device is not None else extent.premises
    return max(max(total, extent.premises) - extent.restored, extent.dark)


def where_of(body: Incident) -> str:
    """Where an incident is: the sort of place and its first name."""
    if body.location is None:
        return "place unknown"
    labels = labels_of(body.location)
    return " ".join(part for part in (body.location.type, labels[0].name if labels else "") if part) or "place unknown"


async def list_standings(records: Records) -> tuple[Standing, ...]:
    """All open incidents, the one that began first before the others. Costs as much as there are open ones."""
    found = []
    wanted = Selection(keys=((GOING_ON,),), states=(OPEN,), limit=_PAGE)
    while True:
        page = await records.select(EXTENTS, wanted)
        found += [(one.mrid, one.body) for one in page]
        if len(page) < _PAGE:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    devices = {extent.device for _, extent in found if extent.device is not None}
    return tuple(
        Standing(
            incident=mrid,
            customers=customers_out(extent),
            premises=extent.premises,
            restored=extent.restored,
            device=extent.device_name,
            is_within=any(above in devices for above in extent.path if above != extent.device),
        )
        for mrid, extent in found
    )
