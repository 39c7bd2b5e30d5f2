"""The directory that a utility brings: loaded, loaded again, found by callers, used by calls."""

from pathlib import Path

import pytest

from cimcare.codec.directory_csv import parse_directory_csv
from cimcare.exchange.ports import Selection
from cimcare.exchange.store import Store
from cimcare.hub.acts.directory import LoadedDirectory, load_directory
from cimcare.store.opening import open_store
from cimcare.systems.cis.callers import find_callers
from cimcare.systems.premises import CUSTOMERS, PREMISES
from tests.support.stored import ALL_STORES, NOON
from tests.unit.hub.acts.test_calling import Desk

TABLE = (
    "premises,usage_point,street,house_number,town,transformer,feeder,customer,name,telephone,email,account,special_need\n"
    "SL-1,UP-1,Main Street,1,Oakton,TX-1,F-1,C-1,Ada Möller,+49 30 5550101,a@post.example,AC-1,home dialysis\n"
    "SL-2,UP-2,Main Street,2,Oakton,TX-1,F-1,C-2,Ben Okafor,+49 30 5550102,b@post.example,AC-2,\n"
    "SL-3,UP-3,Mill Lane,3,Oakton,TX-2,F-1,,,,,,\n"
)


async def load(store: Store, text: str = TABLE) -> LoadedDirectory:
    rows, findings = parse_directory_csv("table.csv", text.encode())
    assert findings == ()
    numbers = iter(range(10_000))
    return await load_directory(
        store, rows, file="table.csv", actor="kim", clock=lambda: NOON, new_id=lambda: f"new-{id(rows)}-{next(numbers)}"
    )


@pytest.mark.parametrize("kind", ALL_STORES)
async def test_a_table_is_loaded_and_loaded_again(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The file of next month alters what is otherwise, and makes nobody a second time."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'hub.db'}"}
    store = await open_store(urls.get(kind) or request.getfixturevalue("postgres_url"))
    records = store.reader.records

    assert await load(store) == LoadedDirectory(added=3, changed=0, same=0)
    before = {one.mrid for one in await records.select(PREMISES, Selection())}
    assert await load(store) == LoadedDirectory(added=0, changed=0, same=3)
    who = "C-2,Ben Okafor,+49 30 5550102,b@post.example,AC-2,"
    moved = TABLE.replace(who, ",,,,,").replace("TX-2,F-1,,,,,,", f"TX-2,F-1,{who}")
    assert await load(store, moved) == LoadedDirectory(added=0, changed=2, same=1)

    assert {one.mrid for one in await records.select(PREMISES, Selection())} == before
    assert len(await records.select(CUSTOMERS, Selection())) == 2
    (found,), _ = await find_callers(records, "okafor")
    assert found.body.place == "SL-3"
    assert [row.action for row in await store.reader.audit.rows()] == ["directory", "directory"]
    await store.close()


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        ("moller", ["SL-1"]),
        ("MÖLLER ada", ["SL-1"]),
        ("main", ["SL-1", "SL-2"]),
        ("2 main", ["SL-2"]),
        ("030 5550101", ["SL-1"]),
        ("5550101", ["SL-1"]),
        ("0049305550102", ["SL-2"]),
        ("040 5550101", []),
        ("ac 2", ["SL-2"]),
        ("up-3", ["SL-3"]),
        ("ma", []),
        ("%", []),
        ("", []),
    ],
)
async def test_callers_are_found_as_they_are_typed(asked: str, places: list[str], tmp_path: Path) -> None:
    """With codes or without, in any case, by the beginnings of words."""
    store = await open_store("memory:")
    await load(store)
    found, has_more = await find_callers(store.reader.records, asked)
    assert ([one.body.place for one in found], has_more) == (places, False)
    await store.close()


async def test_calls_of_a_directory_of_ones_own(tmp_path: Path) -> None:
    """Without the made-up town: the caller is recognised, and who depends on supply goes before others."""
    desk = Desk()
    await desk.open(tmp_path)
    await load(desk.store)
    taken = await desk.take(telephone="030 5550101", trouble="noPower")
    assert taken["caller"]["specialNeed"] == "home dialysis"  # type: ignore[index]
    assert "1 Main Street" in str(taken["sentence"])
    desk.later(minutes=1)
    assert (await desk.take(200, account="AC-1"))["ticket"] == taken["ticket"]
    await desk.hub.close()
