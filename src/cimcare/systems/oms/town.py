"""The network of the invented town of Northlake, for a hub whose directory of premises is that of the town."""

from datetime import datetime

from cimcare.exchange.ports import Records
from cimcare.samples.northlake import find_premises
from cimcare.samples.northlake_network import build_network
from cimcare.systems.oms.importing import has_network, import_network
from cimcare.systems.premises import PREMISES

__all__ = ["seed_network"]


async def seed_network(records: Records, now: datetime) -> bool:
    """Write the network unless one is known already, or the premises are not those of the town; whether it was done."""
    if await has_network(records) or await records.find(PREMISES, find_premises(0).mrid("location")) is None:
        return False
    await import_network(records, build_network(), now)
    return True
