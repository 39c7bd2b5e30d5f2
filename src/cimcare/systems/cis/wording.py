"""What a notice says: short sentences of what is known, with source and validity, and of nothing else. Pure.

Instants are written in the time zone of whoever reads, with its name.
"""

from datetime import datetime, tzinfo

from cimcare.model.values import StreetAddress
from cimcare.systems.etr import Etr, EtrStage

__all__ = [
    "clock_text",
    "say_changed",
    "say_dispatched",
    "say_etr",
    "say_first",
    "say_out",
    "say_planned",
    "say_restored",
    "shown_address",
]

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip


def clock_text(at: datetime, zone: tzinfo) -> str:
    """An instant as people say it: `14:30 on Monday, 2 March (CET)`."""
    local = at.astimezone(zone)
    return f"{local:%H:%M} on {_DAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} ({local.tzname()})"


def shown_address(address: StreetAddress | None) -> str:
    """Street and number in one line; empty if neither is known."""
    street = address.street_detail if address is not None else None
    if street is None:
        return ""
    parts = (street.number, street.prefix, street.name, street.type, street.suffix, street.suite_number)
    return " ".join(part for part in parts if part)


def say_etr(etr: Etr, zone: tzinfo) -> str:
    """What is known of the restoration time: the time with its source and validity, or that none is known."""
    if etr.at is None:
        if etr.stage is EtrStage.ASSESSING:
            return "The damage is being assessed; no restoration time is known yet."
        return "No restoration time is known yet."
    source = f"by {etr.source}" if etr.source else "of a source that was not named"
    validity = f" It holds until {clock_text(etr.valid_until, zone)}." if etr.valid_until is not None else ""
    return f"Supply is expected back at {clock_text(etr.at, zone)}, an estimate {source}.{validity}"


def say_changed(etr: Etr, place: str, zone: tzinfo) -> str:
    """That what was told before no longer holds, and what holds instead."""
    return f"Power outage{_at(place)}: the restoration time that you were told no longer holds. {say_etr(etr, zone)}"


def say_first(etr: Etr, place: str, zone: tzinfo) -> str:
    """The first restoration time."""
    return f"Power outage{_at(place)}. {say_etr(etr, zone)}"


def say_dispatched(place: str) -> str:
    """That a crew was sent."""
    return f"Power outage{_at(place)}: a crew has been sent."


def say_out(place: str) -> str:
    """That supply is believed to be out."""
    return f"Supply{_at(place)} is believed to be interrupted."


def say_planned(starts_at: datetime, ends_at: datetime | None, place: str, zone: tzinfo) -> str:
    """That supply is going to be interrupted for work."""
    end = f" The work is planned to end at {clock_text(ends_at, zone)}." if ends_at is not None else ""
    return f"Supply{_at(place)} will be interrupted for planned work from {clock_text(starts_at, zone)}.{end}"


def say_restored(at: datetime, place: str, zone: tzinfo) -> str:
    """That supply is back, and what to do if it is not."""
    return (
        f"Supply{_at(place)} was restored at {clock_text(at, zone)}."
        " If you are still without power, please report it: you will be believed."
    )


def _at(place: str) -> str:
    return f" at {place}" if place else ""
