"""The directory of premises: whatever a place is called, it is looked up once."""

from typing import TypeVar

import msgspec
import pytest

from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.trouble_ticket import ServiceLocationIdentity
from cimcare.samples.northlake import find_premises as find_sample
from cimcare.store.memory import MemoryRecords
from cimcare.systems.cis import seed_town
from cimcare.systems.identity import Label, identity_keys, stored_keys
from cimcare.systems.premises import PREMISES, find_premises, widen_keys
from tests.unit.systems.utility import MONDAY, mrid, names

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


class Counting(MemoryRecords):
    """Records that count how often something is looked up."""

    looked = 0

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        self.looked += 1
        return await super().find_by_key(collection, key)

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        self.looked += 1
        return await super().select(collection, selection)


@pytest.fixture
async def town() -> Counting:
    records = Counting()
    await seed_town(records, MONDAY)
    records.looked = 0
    return records


async def test_a_place_with_many_names_is_looked_up_once(town: Counting) -> None:
    """A call has up to a dozen ways to name its place, and each look-up is a step to the database."""
    home = find_sample(12)
    location = ServiceLocationIdentity(mrid=home.mrid("location"), names=(*names("no such"), *names(home.location)))
    found = await find_premises(town, "service-location", location)
    assert [stored.mrid for stored in found] == [home.mrid("location")]
    assert town.looked == 1
    wide = await widen_keys(town, identity_keys("service-location", location) | {Key("name", "x")})
    assert Key("usage-point", home.mrid("usage_point")) in wide
    assert Key("name", "x") in wide
    assert town.looked == 2


async def test_nothing_is_looked_up_without_a_place(town: Counting) -> None:
    """Objects that name none are many."""
    assert await find_premises(town, "service-location", ServiceLocationIdentity()) == ()
    assert await widen_keys(town, {Key("name", "x")}) == {Key("name", "x")}
    assert town.looked == 0


async def test_the_mrid_decides_before_a_name(town: Counting) -> None:
    """Who names one place by its mRID and another by its name means the first."""
    home, other = find_sample(12), find_sample(13)
    location = ServiceLocationIdentity(mrid=home.mrid("location"), names=names(other.location))
    (found,) = await find_premises(town, "service-location", location)
    assert found.mrid == home.mrid("location")
    unknown = ServiceLocationIdentity(mrid=mrid("gone"), names=names(other.location))
    (found,) = await find_premises(town, "service-location", unknown)
    assert found.mrid == other.mrid("location")


async def test_a_name_that_means_several_places_means_none(town: Counting) -> None:
    """All keys of both would make one place of two."""
    shared = stored_keys("service-location", [Label("", "", "same")])
    for index in (12, 13):
        (stored,) = await town.find_by_key(PREMISES, Key("service-location", find_sample(index).mrid("location")))
        await town.save(PREMISES, msgspec.structs.replace(stored, keys=stored.keys | shared))
    assert await widen_keys(town, shared) == shared
    own = Key("service-location", find_sample(12).mrid("location"))
    assert Key("usage-point", find_sample(12).mrid("usage_point")) in await widen_keys(town, shared | {own})
    assert Key("usage-point", find_sample(13).mrid("usage_point")) not in await widen_keys(town, shared | {own})
    assert len(await find_premises(town, "service-location", ServiceLocationIdentity(names=names("same")))) == 2
