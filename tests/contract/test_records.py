"""What every implementation of `Records` has to do; the memory store is the reference."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID
from cimcare.model.structure import Extension
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.store.opening import open_store
from tests.support.steps import steps_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    read_on: date | None = None
    amount: Decimal | None = None
    seen: tuple[datetime, ...] = ()


METERS = Collection("test.Meters", Meter)
OTHERS = Collection("test.Others", Meter)
TICKETS = Collection("test.Tickets", TroubleTicket)


@asynccontextmanager
async def _stored(url: str) -> AsyncIterator[Records]:
    store = await open_store(url)
    async with store.transaction() as transaction:
        yield transaction.records
    await store.close()


@pytest.fixture
def opened(store_url: str) -> AbstractAsyncContextManager[Records]:
    return _stored(store_url)


Opened = AbstractAsyncContextManager[Records]


def _meter(
    mrid: str, *keys: tuple[str, str], minutes: int = 0, state: str = "", number: str | None = None
) -> Stored[Meter]:
    instant = NOON + timedelta(minutes=minutes)
    return Stored(
        mrid=MRID(mrid),
        body=Meter(number=number or mrid),
        created_at=instant,
        modified_at=instant,
        state=state,
        keys=frozenset(Key(*key) for key in keys),
    )


def _mrids(found: tuple[Stored[Meter], ...]) -> list[str]:
    return [stored.mrid for stored in found]


async def test_gives_back_what_was_saved(opened: Opened) -> None:
    """Every kind of value in a body, and the state, keys and instants around it, come back as they went in."""
    stored = Stored(
        mrid=MRID("m-1"),
        body=Meter(
            number="M|1 Ünïcode <&>",
            read_on=date(2026, 2, 28),
            amount=Decimal("12.340"),
            seen=(NOON, datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))),
        ),
        created_at=NOON,
        modified_at=NOON + timedelta(microseconds=1),
        state="active",
        keys=frozenset({Key("name", "||M|1"), Key("premises", "p-1")}),
    )
    async with opened as records:
        await records.save(METERS, stored)
        assert await records.find(METERS, MRID("m-1")) == stored


async def test_keeps_extensions_of_a_payload(opened: Opened) -> None:
    """What the model does not know must survive the store, or a round trip loses it."""
    body = TroubleTicket(
        mrid=MRID("t-1"), extensions=(Extension(xml='<x:a xmlns:x="urn:x">1</x:a>', after=2),), comment="a < b"
    )
    stored = Stored(mrid=MRID("t-1"), body=body, created_at=NOON, modified_at=NOON)
    async with opened as records:
        await records.save(TICKETS, stored)
        assert await records.find(TICKETS, MRID("t-1")) == stored


async def test_knows_nothing_of_what_was_never_saved(opened: Opened) -> None:
    """An empty store answers, and does not fail."""
    async with opened as records:
        assert await records.find(METERS, MRID("m-1")) is None
        assert await records.find_by_key(METERS, Key("name", "x")) == ()
        assert await records.select(METERS, Selection()) == ()
        await records.drop(METERS, MRID("m-1"))


async def test_collections_do_not_see_one_another(opened: Opened) -> None:
    """The CIS's copy of an object has the mRID and the keys of the original."""
    async with opened as records:
        await records.save(METERS, _meter("m-1", ("name", "a"), number="one"))
        await records.save(OTHERS, _meter("m-1", ("name", "a"), number="two"))
        await records.drop(OTHERS, MRID("m-1"))
        found = await records.find_by_key(METERS, Key("name", "a"))
        assert [stored.body.number for stored in found] == ["one"]


async def test_saving_again_replaces_body_state_and_keys(opened: Opened) -> None:
    """An object that was renamed is not found under its old name."""
    async with opened as records:
        await records.save(METERS, _meter("m-1", ("name", "old"), ("kept", "k"), state="a"))
        await records.save(METERS, _meter("m-1", ("name", "new"), ("kept", "k"), state="b", number="again"))
        assert await records.find_by_key(METERS, Key("name", "old")) == ()
        assert _mrids(await records.find_by_key(METERS, Key("name", "new"))) == ["m-1"]
        assert _mrids(await records.find_by_key(METERS, Key("kept", "k"))) == ["m-1"]
        assert _mrids(await records.select(METERS, Selection(states=("a",)))) == []
        assert [one.body.number for one in await records.select(METERS, Selection(states=("b",)))] == ["again"]


@pytest.mark.parametrize("count", [0, 1, 1300])
async def test_many_are_saved_as_each_alone(opened: Opened, count: int) -> None:
    """A network of a city comes with one import; some of it is known already."""
    long = "m" * 5000
    mrids = [f"m-{at}" for at in range(count)] + [long]
    async with opened as records:
        for mrid in mrids[::7]:
            await records.save(METERS, _meter(mrid, ("name", f"old {mrid}"), ("kept", "k"), number="old"))
        every = [_meter(mrid, ("name", mrid), ("kept", "k"), minutes=1, state="a") for mrid in mrids]
        await records.save_all(METERS, every)
        known = set(mrids[::7])  # they are there already, and so come first
        in_order = [one for one in every if one.mrid in known] + [one for one in every if one.mrid not in known]
        assert await records.select(METERS, Selection(limit=2000)) == tuple(in_order)
        for mrid in (mrids[0], mrids[-1], mrids[len(mrids) // 2]):
            assert _mrids(await records.find_by_key(METERS, Key("name", mrid))) == [mrid]
            assert await records.find_by_key(METERS, Key("name", f"old {mrid}")) == ()
        assert len(await records.find_by_key(METERS, Key("kept", "k"))) == len(mrids)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_page_costs_the_same_wherever_it_begins(store: Store) -> None:
    """An import makes a million objects in one instant, and the next one looks at each of them."""
    mrids = [f"m-{at:05}" for at in range(20_000)]
    async with store.transaction() as transaction:
        await transaction.records.save_all(METERS, [_meter(mrid) for mrid in mrids])

    def page_behind(at: int) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            async with store.transaction() as transaction:
                found = await transaction.records.select(METERS, Selection(after=MRID(mrids[at]), limit=10))
            assert _mrids(found) == mrids[at + 1 : at + 11]

        return read

    early = await steps_of(store, page_behind(10))
    assert await steps_of(store, page_behind(19_900)) <= 1.5 * early


async def test_pages_go_on_through_instants(opened: Opened) -> None:
    """The last of one instant and the first of the next are on one page, and none is left out."""
    every = [_meter(f"m-{at}", minutes=at // 4, state="odd" if at % 2 else "even") for at in range(11)]
    async with opened as records:
        await records.save_all(METERS, list(reversed(every)))
        for limit in (1, 3, 4, 20):
            for states in ((), ("odd",)):
                whole = await records.select(METERS, Selection(states=states))
                found: list[Stored[Meter]] = []
                while page := await records.select(
                    METERS, Selection(after=found[-1].mrid if found else None, states=states, limit=limit)
                ):
                    found += page
                assert tuple(found) == whole
        assert await records.select(METERS, Selection(after=MRID("m-3"), limit=0)) == ()
        assert await records.select(METERS, Selection(after=MRID("gone"))) == ()


async def test_pages_go_back_from_the_newest(opened: Opened) -> None:
    """Who looks at what came in last must not have to read all that came before."""
    every = [
        _meter(f"m-{at}", ("third", str(at % 3)), minutes=at // 4, state="odd" if at % 2 else "") for at in range(11)
    ]
    async with opened as records:
        await records.save_all(METERS, every)
        for wanted in (Selection(), Selection(states=("odd",)), Selection(keys=((Key("third", "1"),),))):
            whole = await records.select(METERS, wanted)
            for limit in (1, 3, 20):
                back = msgspec.structs.replace(wanted, newest_first=True, limit=limit)
                found: list[Stored[Meter]] = []
                while page := await records.select(METERS, back):
                    found += page
                    back = msgspec.structs.replace(back, after=page[-1].mrid)
                assert tuple(found) == whole[::-1]
        last = Selection(newest_first=True, limit=2)
        assert _mrids(await records.select(METERS, last)) == ["m-10", "m-9"]
        assert await records.select(METERS, msgspec.structs.replace(last, after=MRID("gone"))) == ()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_newest_cost_the_same_however_many_are_older(store: Store) -> None:
    """A page of them stands on many a screen all day."""

    async def newest() -> None:
        async with store.transaction() as transaction:
            await transaction.records.select(METERS, Selection(newest_first=True, limit=10))

    steps = []
    for hundreds in (1, 99):
        async with store.transaction() as transaction:
            mrids = [f"m-{hundreds}-{at}" for at in range(hundreds * 100)]
            await transaction.records.save_all(METERS, [_meter(mrid) for mrid in mrids])
        steps.append(await steps_of(store, newest))
    assert steps[1] <= 1.5 * steps[0]


async def test_a_dropped_object_is_gone_from_every_way_of_finding(opened: Opened) -> None:
    """Deleted data must not come back through an index."""
    async with opened as records:
        await records.save(METERS, _meter("m-1", ("name", "a")))
        await records.drop(METERS, MRID("m-1"))
        assert await records.find(METERS, MRID("m-1")) is None
        assert await records.find_by_key(METERS, Key("name", "a")) == ()
        assert await records.select(METERS, Selection(keys=((Key("name", "a"),),))) == ()
        await records.save(METERS, _meter("m-1"))
        assert await records.find_by_key(METERS, Key("name", "a")) == ()


async def test_finds_by_key_in_order_of_creation(opened: Opened) -> None:
    """The oldest open incident of a place is the one that a call joins."""
    async with opened as records:
        for mrid, minutes in (("m-b", 2), ("m-c", 1), ("m-a", 3)):
            await records.save(METERS, _meter(mrid, ("place", "p"), minutes=minutes))
        await records.save(METERS, _meter("m-d", ("place", "q"), ("p", "place"), minutes=0))
        assert _mrids(await records.find_by_key(METERS, Key("place", "p"))) == ["m-c", "m-b", "m-a"]


async def test_objects_of_one_instant_come_in_the_order_of_saving(opened: Opened) -> None:
    """Two tickets of one message are told in the order in which the message had them."""
    async with opened as records:
        for mrid in ("m-z", "m-a", "m-k"):
            await records.save(METERS, _meter(mrid, ("place", "p")))
        await records.save(METERS, _meter("m-z", ("place", "p"), number="changed"))
        assert _mrids(await records.select(METERS, Selection())) == ["m-z", "m-a", "m-k"]
        assert _mrids(await records.find_by_key(METERS, Key("place", "p"))) == ["m-z", "m-a", "m-k"]


async def test_filters_of_one_kind_are_alternatives_and_of_different_kinds_add_up(opened: Opened) -> None:
    """The rule of every Get element rests on this."""
    async with opened as records:
        await records.save(METERS, _meter("m-1", ("customer", "c1"), ("place", "p1"), minutes=1, state="open"))
        await records.save(METERS, _meter("m-2", ("customer", "c2"), ("place", "p1"), minutes=2, state="closed"))
        await records.save(METERS, _meter("m-3", ("customer", "c2"), ("place", "p2"), minutes=3, state="open"))

        async def chosen(**members: object) -> list[str]:
            return _mrids(await records.select(METERS, msgspec.structs.replace(Selection(), **members)))

        either = (Key("customer", "c1"), Key("customer", "c2"))
        assert await chosen(keys=(either,)) == ["m-1", "m-2", "m-3"]
        assert await chosen(keys=(either, (Key("place", "p1"),))) == ["m-1", "m-2"]
        assert await chosen(keys=((Key("customer", "c1"),), (Key("place", "p2"),))) == []
        assert await chosen(keys=((Key("customer", "c2"),),), states=("open",)) == ["m-3"]
        assert await chosen(states=("open", "closed")) == ["m-1", "m-2", "m-3"]
        assert await chosen(mrids=(MRID("m-3"), MRID("m-1"), MRID("m-9"))) == ["m-1", "m-3"]
        assert await chosen(mrids=(MRID("m-3"),), states=("closed",)) == []


async def test_bounds_of_time_are_included(opened: Opened) -> None:
    """StartTime and EndTime of a get are instants, and an object of that very instant is meant."""
    async with opened as records:
        for minutes in range(4):
            await records.save(METERS, _meter(f"m-{minutes}", minutes=minutes))
        since, until = NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)
        assert _mrids(await records.select(METERS, Selection(since=since, until=until))) == ["m-1", "m-2"]
        assert _mrids(await records.select(METERS, Selection(since=until))) == ["m-2", "m-3"]
        later = since.astimezone(timezone(timedelta(hours=-7)))
        assert _mrids(await records.select(METERS, Selection(until=later))) == ["m-0", "m-1"]


async def test_pages_hold_every_object_once(opened: Opened) -> None:
    """A reader that goes on after the last object of a page misses none and sees none twice, even of one instant."""
    async with opened as records:
        for number in range(10):
            await records.save(METERS, _meter(f"m-{number}", ("even", str(number % 2 == 0)), minutes=number // 4))
        seen: list[str] = []
        after = None
        while page := await records.select(METERS, Selection(limit=3, after=after)):
            assert len(page) <= 3
            seen += _mrids(page)
            after = page[-1].mrid
        assert seen == [f"m-{number}" for number in range(10)]
        evens = Selection(keys=((Key("even", "True"),),), after=MRID("m-3"), limit=2)
        assert _mrids(await records.select(METERS, evens)) == ["m-4", "m-6"]


async def test_nothing_follows_an_object_that_is_not_there(opened: Opened) -> None:
    """A page after an object that was dropped meanwhile is empty, and does not start from the front again."""
    async with opened as records:
        await records.save(METERS, _meter("m-1"))
        assert await records.select(METERS, Selection(after=MRID("m-0"))) == ()


async def test_takes_many_keys_in_one_question(opened: Opened) -> None:
    """A get may name a thousand tickets."""
    async with opened as records:
        await records.save(METERS, _meter("m-1", ("ticket", "t-1999")))
        many = tuple(Key("ticket", f"t-{number}") for number in range(3000))
        mrids = tuple(MRID(f"m-{number}") for number in range(3000))
        assert _mrids(await records.select(METERS, Selection(keys=(many,), mrids=mrids))) == ["m-1"]


async def test_takes_identifiers_of_any_length(opened: Opened) -> None:
    """A sender chooses its names; a database that cannot index one must not make the message fail for ever."""
    odd = "".join(f"nä{number}" for number in range(3000))
    other = odd + "x"
    stored = _meter(odd, ("name", odd), minutes=1)
    async with opened as records:
        await records.save(METERS, stored)
        await records.save(METERS, _meter(other, ("name", other), minutes=2))
        assert await records.find(METERS, MRID(odd)) == stored
        assert await records.find_by_key(METERS, Key("name", odd)) == (stored,)
        assert _mrids(await records.select(METERS, Selection(mrids=(MRID(odd),)))) == [odd]
        assert _mrids(await records.select(METERS, Selection(keys=((Key("name", odd),),)))) == [odd]
        assert _mrids(await records.select(METERS, Selection(after=MRID(odd)))) == [other]
        await records.save(METERS, _meter(odd, ("name", "short")))
        assert await records.find_by_key(METERS, Key("name", odd)) == ()
        await records.drop(METERS, MRID(odd))
        assert await records.find(METERS, MRID(odd)) is None


async def test_groups_of_keys_in_any_order_find_the_same(opened: Opened) -> None:
    """Which of them is looked up first is a matter of speed alone."""
    async with opened as records:
        for number in range(150):
            keys = (("parity", str(number % 2)), ("third", str(number % 3)), ("name", str(number)))
            await records.save(METERS, _meter(f"m-{number:03}", *keys))
        groups = (
            (Key("parity", "0"),),
            (Key("third", "1"), Key("third", "2")),
            tuple(Key("name", str(number)) for number in range(20)),
        )
        expected = [f"m-{number:03}" for number in range(20) if number % 2 == 0 and number % 3]
        for order in permutations(groups):
            assert _mrids(await records.select(METERS, Selection(keys=order))) == expected
            assert _mrids(await records.select(METERS, Selection(keys=order, limit=2))) == expected[:2]
        assert await records.select(METERS, Selection(keys=(*groups, (Key("name", "none"),)))) == ()


_NAMES = {
    "cis": ("CIS|Number|7", "CIS||7", "|Number|7", "||7"),
    "gis": ("GIS|Number|7", "GIS||7", "|Number|7", "||7"),
    "bare": ("||7",),
    "bars": ("GIS|Number|CIS|Number|7", "||CIS|Number|7"),
}
"""Names of meters, for every manner of asking."""


async def _save_named(records: Records) -> None:
    for minutes, (mrid, values) in enumerate(_NAMES.items()):
        keys = [("name", value) for value in values]
        await records.save(METERS, _meter(mrid, *keys, ("kind", "m"), ("other", "||7"), minutes=minutes))


@pytest.mark.parametrize(
    "value", sorted({value for values in _NAMES.values() for value in values} | {"X||7", "7", "|7"})
)
async def test_names_are_told_apart_by_what_is_said_with_them(opened: Opened, value: str) -> None:
    """Numbers of two systems are alike, and a look-up that says whose it means must not find the other's."""
    expected = [mrid for mrid, values in _NAMES.items() if value in values]
    key, kind = Key("name", value), Key("kind", "m")
    many = tuple(Key("name", f"CIS|Number|{number}") for number in range(100, 200))
    async with opened as records:
        await _save_named(records)
        for groups in (((key,),), ((key, *many[:3]),), ((key, *many),), ((kind,), (key,)), ((key, *many), (kind,))):
            assert _mrids(await records.select(METERS, Selection(keys=groups))) == expected, groups
        assert _mrids(await records.find_by_key(METERS, key)) == expected
        first = await records.select(METERS, Selection(keys=((key,),), limit=1, newest_first=True))
        assert _mrids(first) == expected[-1:]
        among = Selection(keys=((key,),), mrids=(MRID("gis"), MRID("bare")))
        assert _mrids(await records.select(METERS, among)) == [one for one in expected if one in ("gis", "bare")]


async def test_of_several_names_one_may_go(opened: Opened) -> None:
    """Keys that are found at one place of an index come and go each by itself."""
    before = [("name", value) for value in _NAMES["cis"]]
    async with opened as records:
        await _save_named(records)
        await records.save(METERS, _meter("cis", *before[3:]))
        assert await records.find_by_key(METERS, Key("name", "CIS|Number|7")) == ()
        assert _mrids(await records.find_by_key(METERS, Key("name", "||7"))) == ["cis", "gis", "bare"]
        await records.save(METERS, _meter("cis", *before[:1]))
        assert _mrids(await records.find_by_key(METERS, Key("name", "CIS|Number|7"))) == ["cis"]
        assert _mrids(await records.find_by_key(METERS, Key("name", "||7"))) == ["gis", "bare"]
        await records.save(METERS, _meter("cis"))
        assert await records.find_by_key(METERS, Key("name", "CIS|Number|7")) == ()
        await records.drop(METERS, MRID("gis"))
        assert _mrids(await records.find_by_key(METERS, Key("name", "||7"))) == ["bare"]
