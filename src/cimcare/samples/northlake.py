"""Northlake: an invented town of 200 premises on two feeders, with its customers, meters, crews and suppliers.

Numbers: accounts `AC-…`, customers `C-…`, premises `SL-…`, usage points `UP-…`, meters `M-…`, transformers `TX-…`. All
of it follows from the number of the premises, 0 to 199. Nobody and nothing here exists; telephone numbers are of the
range that is kept free for fiction, and the coordinates (WGS 84, degrees) lie in a lake.
"""

from functools import lru_cache

import msgspec

from cimcare.model.enumerations import CustomerKind
from cimcare.model.identity import MRID, Name, NameType, NameTypeAuthority
from cimcare.samples.draw import Draw, mrid_for

__all__ = [
    "AREA_CODE",
    "COUNTRY",
    "CREWS",
    "CRS_URN",
    "PREMISES_COUNT",
    "STATE",
    "TOWN",
    "Crew",
    "Premises",
    "find_premises",
    "name_of",
]

PREMISES_COUNT = 200
TOWN = "Northlake"
STATE = "North Shore"
COUNTRY = "US"
AREA_CODE = "906"
CRS_URN = "urn:ogc:def:crs:EPSG::4326"

_STREETS = (
    ("Harbour", "Street", "Old Town"),
    ("Lighthouse", "Road", "Old Town"),
    ("Cooper", "Street", "Old Town"),
    ("Chapel", "Lane", "Old Town"),
    ("Mill", "Street", "Millside"),
    ("Sawyer", "Avenue", "Millside"),
    ("Birch", "Avenue", "Birchwood"),
    ("Juniper", "Close", "Birchwood"),
    ("Quarry", "Road", "East Hill"),
    ("Station", "Road", "East Hill"),
)
_FIRST_NAMES = (
    "Ada", "Amir", "Beatriz", "Bjorn", "Carmen", "Chidi", "Dora", "Emil", "Farah", "Gus", "Hana", "Ivo", "Joan", "Kofi",
    "Lena", "Malik", "Nora", "Oskar", "Priya", "Ruth", "Sami", "Tess", "Viktor", "Wen", "Yara",
)  # fmt: skip
_LAST_NAMES = (
    "Abara", "Bergstrom", "Castell", "Dhillon", "Ellery", "Fontaine", "Garrow", "Halvorsen", "Ibarra", "Jansen",
    "Kowal", "Lindqvist", "Moreau", "Nakata", "Okafor", "Pritchard", "Quist", "Rahimi", "Sorrell", "Tanaka", "Ueland",
    "Varga", "Whitlock", "Yilmaz", "Zeller",
)  # fmt: skip
_BUSINESSES = ("Bakery", "Boatyard", "Pharmacy", "School", "Cold Store", "Hotel", "Laundry", "Printing Works")
_NEEDS = ("home ventilator", "home dialysis", "oxygen concentrator")


class Premises(msgspec.Struct, frozen=True, kw_only=True):
    """One of the premises and what belongs to it: customer, account, agreement, usage point, meter, transformer."""

    index: int
    street: str
    street_type: str
    section: str
    house_number: str
    postal_code: str
    x_position: str
    y_position: str
    feeder: str
    device: str
    location: str
    usage_point: str
    meter: str
    serial_number: str
    account: str
    customer: str
    agreement: str
    first_name: str
    last_name: str
    organisation: str
    kind: CustomerKind
    special_need: str | None
    local_number: str
    email: str

    def mrid(self, sort: str) -> MRID:
        """The mRID of what belongs to the premises: `location`, `usage_point`, `meter`, `customer`, and so on."""
        return mrid_for(TOWN, sort, self.index)

    @property
    def address(self) -> str:
        """Street address in one line."""
        return f"{self.house_number} {self.street} {self.street_type}, {TOWN}"

    @property
    def telephone(self) -> str:
        """Telephone number in one line, international form."""
        return f"+1-{AREA_CODE}-{self.local_number}"


@lru_cache(maxsize=PREMISES_COUNT)
def find_premises(index: int) -> Premises:
    """The premises with this number, 0 to 199.

    Raises:
        IndexError: there are no such premises.
    """
    if not 0 <= index < PREMISES_COUNT:
        raise IndexError(f"premises {index} of {TOWN}: the numbers go from 0 to {PREMISES_COUNT - 1}")
    draw = Draw(TOWN, "premises", index)
    # Twenty premises a street, two by two: the first five streets hang on one feeder, the others on the other.
    row, place = divmod(index, PREMISES_COUNT // len(_STREETS))
    street, street_type, section = _STREETS[row]
    first, last = draw.pick(_FIRST_NAMES), draw.pick(_LAST_NAMES)
    business = index % 10 == 7
    organisation = f"{last} {draw.pick(_BUSINESSES)}" if business else f"{first} {last}"
    return Premises(
        index=index,
        street=street,
        street_type=street_type,
        section=section,
        house_number=str(2 * place + 1 + row % 2),
        postal_code=f"498{10 + row}",
        x_position=f"{-87.5 + 0.0040 * row + 0.0001 * draw.between(0, 9):.4f}",
        y_position=f"{47.6 + 0.0006 * place:.4f}",
        feeder=f"NL-{11 + 2 * row // len(_STREETS)}",
        device=f"TX-{11 + 2 * row // len(_STREETS)}{1 + index // 5:02}",
        location=f"SL-{30000 + 7 * index}",
        usage_point=f"UP-{88000 + 3 * index}",
        meter=f"M-{510000 + 13 * index}",
        serial_number=f"NLK{draw.between(10_000_000, 99_999_999)}",
        account=f"AC-{20000 + 9 * index}",
        customer=f"C-{70000 + 11 * index}",
        agreement=f"AG-{40000 + 5 * index}",
        first_name=first,
        last_name=last,
        organisation=organisation,
        kind=CustomerKind.commercialIndustrial if business else CustomerKind.residential,
        special_need=None if business or index % 25 != 3 else draw.pick(_NEEDS),
        local_number=f"555-01{index % 100:02}",
        email=f"{first}.{last}.{index}@post.northlake.example".lower(),
    )


class Crew(msgspec.Struct, frozen=True):
    """A field team: its name and its members as (first name, last name)."""

    name: str
    members: tuple[tuple[str, str], ...]

    @property
    def mrid(self) -> MRID:
        """The mRID of the crew."""
        return mrid_for(TOWN, "crew", self.name)


CREWS = (
    Crew("CREW-11", (("Petra", "Lund"), ("Omar", "Haddad"))),
    Crew("CREW-12", (("Isla", "Murray"), ("Tomas", "Reyes"))),
    Crew("CREW-21", (("Greta", "Falk"),)),
    Crew("CREW-22", (("Joel", "Tran"), ("Mina", "Costa"), ("Eero", "Salo"))),
)
"""The crews: 11 and 12 for lines, 21 and 22 for meters."""


def name_of(name: str, name_type: str, authority: str = "Northlake CIS") -> tuple[Name, ...]:
    """One name of a numbering scheme, as the list that `Names` wants."""
    return (Name(name=name, name_type=NameType(name=name_type, name_type_authority=NameTypeAuthority(name=authority))),)
