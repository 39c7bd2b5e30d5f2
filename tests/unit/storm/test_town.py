"""The town of a storm, as the tables that a hub takes."""

from pathlib import Path

from cimcare.codec.directory_csv import parse_directory_csv
from cimcare.codec.network import parse_network
from cimcare.storm.town import LATERAL, town_of, write_town
from tests.unit.storm.profiles import a_profile


def test_its_tables_can_be_imported_as_they_are(tmp_path: Path) -> None:
    """A storm about premises that nobody knows would group nothing."""
    town = town_of(a_profile(town={"premises": 2000, "special-needs": 0.01}), 1.0)
    devices, points, customers = write_town(town, tmp_path / "town")
    reading = parse_network([(path.name, path.read_bytes()) for path in (devices, points)])
    rows, findings = parse_directory_csv(customers.name, customers.read_bytes())

    assert reading.findings == ()
    assert findings == ()
    assert reading.network is not None
    assert len(reading.network.points) == len(rows) == town.premises == 2000
    assert {row.usage_point for row in rows} == {point.name for point in reading.network.points}
    assert (
        sum(1 for row in rows if row.special_need) == sum(1 for one in reading.network.points if one.is_critical) == 20
    )


def test_it_is_never_smaller_than_a_lateral() -> None:
    """A scale near 0 still has somebody who can call."""
    assert town_of(a_profile(), 1e-9).premises == LATERAL


def test_nobody_depends_on_supply_where_none_was_asked_for() -> None:
    """A share of 0 is nobody."""
    town = town_of(a_profile(town={"special-needs": 0.0}), 1.0)

    assert not any(town.need(number) for number in range(town.premises))
