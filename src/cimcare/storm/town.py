"""The town of a storm: premises, customers and network by rule, so that any number of them can be called from.

Everything follows from the number of the premises: ten hang on a transformer, eight transformers on a lateral fuse,
twelve laterals on a feeder, ten feeders on a substation. It can be written as the tables that `cimcare network import`
and `cimcare customers import` read. Nobody in it exists. Pure, but for writing the tables.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cimcare.storm.profile import Profile

__all__ = ["FEEDER", "LATERAL", "TRANSFORMER", "StormTown", "town_of", "write_town"]

TRANSFORMER = 10
"""Premises of a transformer."""

LATERAL = 8 * TRANSFORMER
FEEDER = 12 * LATERAL
_FEEDERS_OF_SOURCE = 10
_NEEDS = ("home ventilator", "home dialysis", "oxygen concentrator")
_FAMILIES = (
    "Abara",
    "Bergstrom",
    "Castell",
    "Dhillon",
    "Ellery",
    "Fontaine",
    "Garrow",
    "Halvorsen",
    "Ibarra",
    "Jansen",
)
_STREETS = ("Alder", "Beech", "Cedar", "Dogwood", "Elm", "Fir", "Hazel", "Larch", "Maple", "Oak", "Pine", "Willow")


class StormTown(msgspec.Struct, frozen=True, kw_only=True):
    """Premises 0 to `premises` - 1; in one of `need_every` somebody depends on supply, in none if it is 0."""

    premises: int
    need_every: int

    def need(self, number: int) -> str:
        """What depends on supply at the premises; empty if nothing does."""
        if not self.need_every or number % self.need_every != self.need_every // 2:
            return ""
        return _NEEDS[number // self.need_every % len(_NEEDS)]

    def devices(self) -> Iterator[str]:
        """Rows of the table of devices, with its head."""
        yield "device,kind,from"
        for substation in range(-(-self.premises // (FEEDER * _FEEDERS_OF_SOURCE))):
            yield f"ST-SUB-{substation},source,"
        for feeder in range(-(-self.premises // FEEDER)):
            yield f"ST-CB-{feeder},breaker,ST-SUB-{feeder // _FEEDERS_OF_SOURCE}"
        for lateral in range(-(-self.premises // LATERAL)):
            yield f"ST-F-{lateral},fuse,ST-CB-{lateral // (FEEDER // LATERAL)}"
        for transformer in range(-(-self.premises // TRANSFORMER)):
            yield f"ST-TX-{transformer},transformer,ST-F-{transformer // (LATERAL // TRANSFORMER)}"

    def points(self) -> Iterator[str]:
        """Rows of the table of points of supply, with its head."""
        yield "point,at,location,critical,meter"
        for number in range(self.premises):
            critical = "yes" if self.need(number) else ""
            yield f"ST-UP-{number},ST-TX-{number // TRANSFORMER},ST-SL-{number},{critical},ST-M-{number}"

    def customers(self) -> Iterator[str]:
        """Rows of the directory of premises, with its head."""
        yield "premises,usage_point,street,house_number,town,feeder,customer,name,telephone,account,special_need"
        for number in range(self.premises):
            street, house = divmod(number, 60)
            yield (
                f"ST-SL-{number},ST-UP-{number},{_STREETS[street % 12]} Street {street // 12 + 1},{house + 1},Stormton,"
                f"ST-CB-{number // FEEDER},ST-C-{number},{_FAMILIES[number % 10]} {number},"
                f"+1-906-555-01{number % 100:02},ST-AC-{number},{self.need(number)}"
            )


def town_of(profile: Profile, scale: float) -> StormTown:
    """The town of a profile at a scale: never less than one lateral."""
    share = profile.town.special_needs
    return StormTown(
        premises=max(LATERAL, round(profile.town.premises * scale)), need_every=round(1 / share) if share else 0
    )


def write_town(town: StormTown, folder: Path) -> tuple[Path, Path, Path]:
    """Write devices.csv, points.csv and customers.csv into a folder, which is made; their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "devices.csv", folder / "points.csv", folder / "customers.csv")
    for path, rows in zip(paths, (town.devices(), town.points(), town.customers()), strict=True):
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{row}\n" for row in rows)
    return paths
