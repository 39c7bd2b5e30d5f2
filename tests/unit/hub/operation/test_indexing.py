"""Messages of an earlier release, which are not in the index by which messages are searched."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.searching import Subject, term_of, word_groups
from cimcare.exchange.store import Store
from cimcare.hub.operation.indexing import index_old
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store import searching
from cimcare.store.opening import open_store
from cimcare.store.sqlite import SqliteStore
from tests.support.stored import LASTING_STORES, an_entry

TICKET = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
PREMISES = frozenset({term_of(Subject.PREMISES, "SL-30021")})


@pytest.fixture(params=LASTING_STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    yield store
    await store.close()


async def forget_terms(store: Store, url: str) -> None:
    """Make the database one that was brought up to date just now."""
    if isinstance(store, SqliteStore):
        store._writer.execute("INSERT INTO message_terms(message_terms) VALUES ('delete-all')")
        store._writer.execute("UPDATE messages SET terms = NULL")
        return
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE messages SET terms = NULL; TRUNCATE message_terms")
    await connection.close()


async def found(store: Store, *groups: frozenset[int], **wanted: object) -> list[int]:
    page = await store.reader.log.search(LogSelection(**wanted), groups)  # type: ignore[arg-type]
    return [entry.sequence for entry in page.entries]


async def test_old_messages_are_found_by_columns_at_once_and_by_content_in_the_end(store: Store, url: str) -> None:
    """An upgrade takes nothing away, and what it brings holds for what was there before, too."""
    raw = render_message(TICKET)
    entry = an_entry(noun="TroubleTickets", verb="create", transport=Transport.INTERNAL)
    async with store.transaction() as transaction:
        for one, kept in ((entry, raw), (an_entry(noun="Incidents"), b"<broken"), (entry, raw[:600])):
            await transaction.log.append(one, kept)
    await forget_terms(store, url)
    async with store.transaction() as transaction:
        assert await transaction.log.append(entry, raw, TICKET) == 4

    for newest_first in (False, True):
        listed = await found(store, noun="TroubleTickets", verb="create", newest_first=newest_first)
        assert listed == ([4, 3, 1] if newest_first else [1, 3, 4])
    assert await found(store, PREMISES) == [4]
    assert await store.reader.log.find_unindexed(9) == (3, 2, 1)

    assert await index_old(store) == 3
    assert await store.reader.log.find_unindexed(9) == ()
    assert await found(store, PREMISES) == [1, 4]
    assert await found(store, *word_groups("harbour"), noun="TroubleTickets") == [1, 4]
    assert await found(store, *word_groups("broken")) == [2]
    assert await index_old(store) == 0


async def test_where_there_is_no_index_yet_a_search_takes_steps(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large log of an earlier release must not be read from end to end for one page."""
    async with store.transaction() as transaction:
        for number in range(30):
            await transaction.log.append(an_entry(noun="A" if number == 3 else "B"), b"")
    await forget_terms(store, url)
    monkeypatch.setattr(searching, "LOOK", 8)
    seen: list[LogEntry] = []
    after: int | None = None
    steps = 0
    while True:
        page = await store.reader.log.search(LogSelection(noun="A", newest_first=True, after=after))
        seen += page.entries
        if (after := page.after) is None:
            break
        assert page.looked_to is not None
        steps += 1
    assert [entry.sequence for entry in seen] == [4]
    assert steps == 3


async def test_what_is_settled_or_removed_meanwhile_is_put_in_as_it_is(store: Store, url: str) -> None:
    """The hub works on while its index grows."""
    async with store.transaction() as transaction:
        for _ in range(3):
            await transaction.log.append(an_entry(direction=Direction.IN), b"<a>word</a>")
    await forget_terms(store, url)
    async with store.transaction() as transaction:
        assert await transaction.log.settle(1, Outcome.OK)
        await transaction.log.remove([2])
        await transaction.log.index(2, None)
    assert await index_old(store) == 2
    assert await found(store, *word_groups("word"), outcomes=(Outcome.OK,)) == [1]
    assert await found(store, *word_groups("word")) == [1, 3]
    async with store.transaction() as transaction:
        await transaction.log.remove([1, 3])
    assert await found(store, *word_groups("word")) == []
