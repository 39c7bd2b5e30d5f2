"""What a report of completion has to show: meters and readings, as found and as left.

Pure. In a service order the meter that was there stands as OldAsset of a task, the one that is there now among its
Assets, each with its MeterReadings.

Source: our rule; members of IEC 61968-6 service orders.
"""

from cimcare.model.service_order import Asset, Work, WorkTask
from cimcare.systems.identity import has_identity, is_same
from cimcare.systems.wms.catalog import Evidence, OrderType

__all__ = ["accepted_evidence", "missing_evidence"]

_ACCEPTED = {
    Evidence.EXCHANGE: "WorkTasks/OldAsset (the removed meter) and WorkTasks/Assets (the installed one), each with "
    "mRID, name or serial number and with MeterReadings/Readings/value",
    Evidence.READING: "WorkTasks/Assets with MeterReadings/Readings/value",
}


def accepted_evidence(kind: OrderType) -> str:
    """What would pass."""
    return _ACCEPTED.get(kind.evidence, "")


def missing_evidence(kind: OrderType, order: Work) -> tuple[str, ...]:
    """What the report of this order does not show; empty if it shows all that its type asks for."""
    if kind.evidence is Evidence.READING:
        meters = [asset for task in order.work_tasks for asset in _meters_of(task)]
        return () if any(_is_read(meter) for meter in meters) else ("a reading",)
    if kind.evidence is Evidence.EXCHANGE:
        old = [task.old_asset for task in order.work_tasks if task.old_asset is not None]
        removed = [meter for meter in old if _is_named(meter)]
        installed = [
            meter
            for task in order.work_tasks
            for meter in task.assets
            if _is_named(meter) and not any(_is_one(meter, other) for other in removed)
        ]
        return (*_lacking("removed", removed), *_lacking("installed", installed))
    return ()


def _lacking(which: str, meters: list[Asset]) -> tuple[str, ...]:
    if not meters:
        return (f"the {which} meter",)
    return () if any(_is_read(meter) for meter in meters) else (f"a reading of the {which} meter",)


def _meters_of(task: WorkTask) -> tuple[Asset, ...]:
    return (*task.assets, *((task.old_asset,) if task.old_asset is not None else ()))


def _is_named(meter: Asset) -> bool:
    return has_identity(meter) or bool((meter.serial_number or "").strip())


def _is_one(meter: Asset, other: Asset) -> bool:
    if has_identity(meter) and has_identity(other):
        return is_same(meter, other)
    return bool(meter.serial_number) and meter.serial_number == other.serial_number


def _is_read(meter: Asset) -> bool:
    return any((value.value or "").strip() for reading in meter.meter_readings for value in reading.readings)
