"""One look for all who watch the same, and nobody is shown what was before that which is shown already."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from cimcare.console.sharing import NOT_BEFORE, Sharing, made_of, stamp_of
from cimcare.exchange.store import StoreError
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import call
from tests.unit.hub.conftest import HeldHub

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
LONG_AGO = stamp_of(NOON - timedelta(hours=1))


class Board:
    """What is looked at: it says how often it was. A test may hold looks up."""

    def __init__(self) -> None:
        self.now = NOON
        self.looks = 0
        self.goes = asyncio.Event()
        self.goes.set()
        self.sharing = Sharing(lambda: self.now)

    async def make(self) -> int:
        self.looks += 1
        await self.goes.wait()
        if not self.looks:
            raise StoreError("gone")
        return self.looks

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def look(self, not_before: str = LONG_AGO, key: str = "board") -> tuple[int, str]:
        """What is shown, and how old it is said to be."""
        headers = [(NOT_BEFORE.encode(), not_before.encode())] if not_before else []
        request = Request({"type": "http", "headers": headers})
        self.sharing.begin(request)
        return await self.sharing.look(request, key, self.make), made_of(request)


async def test_two_hundred_who_ask_at_once_cost_one_look() -> None:
    """Also while it is under way."""
    board = Board()
    board.goes.clear()
    asking = [asyncio.ensure_future(board.look()) for _ in range(200)]
    await asyncio.sleep(0)
    board.goes.set()
    assert set(await asyncio.gather(*asking)) == {(1, stamp_of(NOON))}
    board.later(2.9)
    assert await board.look() == (1, stamp_of(NOON))


async def test_a_look_is_soon_too_old() -> None:
    """Who comes back to a page wants to see what is."""
    board = Board()
    await board.look()
    board.later(3)
    assert await board.look() == (2, stamp_of(NOON + timedelta(seconds=3)))


async def test_nobody_is_shown_what_was_before() -> None:
    """A page that shows an act must not go back behind it, nor miss the change of which it was told."""
    board = Board()
    await board.look()
    board.later(1)
    seen = stamp_of(board.now)
    assert await board.look(seen) == (2, seen)
    assert await board.look() == (2, seen)


async def test_a_person_who_opens_a_page_is_shown_what_is_now() -> None:
    """Somebody has just pressed a button, and looks for what it did."""
    board = Board()
    await board.look()
    assert (await board.look(""))[0] == 2
    assert (await board.look())[0] == 1


async def test_others_see_something_else() -> None:
    """What depends on an address is of that address alone."""
    board = Board()
    assert [(await board.look(key=key))[0] for key in ("a", "b", "a")] == [1, 2, 1]


async def test_a_page_is_as_old_as_what_it_is_made_of() -> None:
    """A filtered board that uses the look of another is not said to be younger than that."""
    board = Board()
    await board.look(key="inner")
    board.later(1)
    request = Request({"type": "http", "headers": [(NOT_BEFORE.encode(), LONG_AGO.encode())]})

    async def outer() -> int:
        return await board.sharing.look(request, "inner", board.make)

    board.sharing.begin(request)
    assert await board.sharing.look(request, "outer", outer) == 1
    assert made_of(request) == stamp_of(NOON)
    between = stamp_of(NOON + timedelta(seconds=0.5))
    assert await board.look(between, key="outer") == (2, stamp_of(NOON + timedelta(seconds=1)))


async def test_what_failed_is_tried_again() -> None:
    """A moment without database is not shown for three seconds."""
    board = Board()
    board.looks = -1
    with pytest.raises(StoreError):
        await board.look()
    assert (await board.look())[0] == 1


async def test_only_so_many_are_kept() -> None:
    """Whoever asks for thousands of addresses fills no memory with them."""
    board = Board()
    for number in range(200):
        await board.look(key=str(number))
    assert await board.look(key="199") == (201, stamp_of(NOON))
    assert await board.look(key="0") == (1, stamp_of(NOON))


async def test_a_page_says_how_old_it_is(held: HeldHub) -> None:
    """In its text, for who opens it, and beside it, for who goes on with it."""
    response = await held.get("/console/messages")
    made = response.headers["x-made-at"]
    assert made == stamp_of(held.now)
    assert f'<body data-made="{made}">' in response.body.decode()


async def test_pages_that_go_on_share_a_look(held: HeldHub) -> None:
    """A message that came is there as soon as somebody asks for what is not older."""

    async def is_empty(not_before: str) -> bool:
        headers = {"x-not-before": not_before} if not_before else {}
        response = await call(held.hub.app, "/console/messages", method="GET", headers=headers)
        assert response is not None
        return 'href="/console/messages/1"' not in response.body.decode()

    before = stamp_of(held.now)
    assert await is_empty(before)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    assert await is_empty(before)
    assert not await is_empty("")
    held.later(seconds=1)
    assert not await is_empty(stamp_of(held.now))
