"""What every message log has to do when messages are searched, while its transaction runs and when it is committed."""

from datetime import timedelta

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Content, Counted, Direction, LogEntry, LogSelection, MessageReader, Outcome, Transport
from cimcare.exchange.searching import LOOK, MOST_WORDS, Subject, term_of, word_groups
from cimcare.exchange.store import Store, StoreError
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store import searching
from tests.support.stored import NOON, an_entry

TICKET = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
"""A ticket of SL-30021, of a customer C-70033 and an agreement AG-40015; wires are down at Harbour Street."""


async def keep(store: Store, *messages: tuple[dict[str, object], bytes, Content | None]) -> list[int]:
    """Keep messages, all in one transaction; their sequences."""
    async with store.transaction() as transaction:
        return [await transaction.log.append(an_entry(**changes), raw, about) for changes, raw, about in messages]


def said(text: str, **changes: object) -> tuple[dict[str, object], bytes, None]:
    """A message with a text, that nobody could read as a message."""
    return changes, f"<Payload><comment>{text}</comment></Payload>".encode(), None


async def found(log: MessageReader, *groups: frozenset[int], **wanted: object) -> list[int]:
    page = await log.search(LogSelection(**wanted), groups)  # type: ignore[arg-type]  # as a test names them
    return [entry.sequence for entry in page.entries]


def about(subject: Subject, value: str) -> frozenset[int]:
    return frozenset({term_of(subject, value)})


@pytest.mark.parametrize(
    ("subject", "value"),
    [
        (Subject.PREMISES, "SL-30021"),
        (Subject.PREMISES, "up-88009"),
        (Subject.ACCOUNT, "C-70033"),
        (Subject.ACCOUNT, " ag-40015 "),
        (Subject.OBJECT, "TT-304237"),
        (Subject.WORD, "Harbour"),
        (Subject.VERB, "create"),
        (Subject.NOUN, "TroubleTickets"),
        (Subject.PARTNER, "CIS-NORTHLAKE"),
        (Subject.DIRECTION, "in"),
    ],
)
async def test_a_message_is_found_by_each_thing_it_says(store: Store, subject: Subject, value: str) -> None:
    """Whatever of a message somebody knows leads to it, and to no other."""
    entry = {"verb": "create", "noun": "TroubleTickets", "partner": "CIS-NORTHLAKE"}
    other = {"verb": "get", "noun": "Incidents", "partner": "OMS", "direction": Direction.OUT}
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(**entry), render_message(TICKET), TICKET)
        await transaction.log.append(an_entry(**other), b"<a/>")
        assert await found(transaction.log, about(subject, value)) == [sequence]
    assert await found(store.reader.log, about(subject, value)) == [sequence]


async def test_words_are_found_with_and_without_what_is_an_identity(store: Store) -> None:
    """Who types a number does not say what it numbers."""
    (sequence,) = await keep(store, ({}, render_message(TICKET), TICKET))
    for text in ("harbour STREET", "SL-30021", "tt-304237 wire", "wire-down", "Dialysis, home"):
        assert await found(store.reader.log, *word_groups(text)) == [sequence], text
    for text in ("harbour road", "SL-30022"):
        assert await found(store.reader.log, *word_groups(text)) == [], text


async def test_pages_go_both_ways_and_leave_nothing_out(store: Store) -> None:
    """Each page begins where the one before ended."""
    sequences = await keep(store, *(said("storm" if number % 3 else "calm") for number in range(40)))
    wanted = [sequence for number, sequence in enumerate(sequences) if number % 3]
    for newest_first in (False, True):
        seen: list[int] = []
        after: int | None = None
        for _ in range(20):
            page = await store.reader.log.search(
                LogSelection(limit=4, newest_first=newest_first, after=after), word_groups("storm")
            )
            seen += [entry.sequence for entry in page.entries]
            if (after := page.after) is None:
                break
            assert page.looked_to is None
        assert seen == (wanted[::-1] if newest_first else wanted)


async def test_all_that_is_asked_for_has_to_be_true(store: Store) -> None:
    """Filters narrow, whatever they are of: columns, words, instants, identifiers."""
    first, second, third, fourth = await keep(
        store,
        said("red", noun="A", verb="create", received_at=NOON, message_id="m1"),
        said("red", noun="A", verb="change", received_at=NOON + timedelta(hours=1), correlation_id="c"),
        said("blue", noun="A", verb="create", received_at=NOON + timedelta(hours=2), correlation_id="c"),
        said("red blue", noun="B", verb="create", received_at=NOON + timedelta(hours=3), answer_to=7),
    )
    log, red, blue = store.reader.log, *word_groups("blue red")[::-1]
    assert await found(log, red, noun="A") == [first, second]
    assert await found(log, red, blue) == [fourth]
    assert await found(log, red | blue, verb="create") == [first, third, fourth]
    assert await found(log, blue, noun="A", verb="create") == [third]
    assert await found(log, red, noun="A", verb="get") == []
    assert await found(log, red, since=NOON + timedelta(hours=1)) == [second, fourth]
    assert await found(log, red, until=NOON + timedelta(hours=1), newest_first=True) == [second, first]
    assert await found(log, since=NOON + timedelta(minutes=1), until=NOON + timedelta(hours=2)) == [second, third]
    assert await found(log, red, correlation_id="c") == [second]
    assert await found(log, blue, correlation_id="c", newest_first=True) == [third]
    assert await found(log, red, message_id="m1", noun="A") == [first]
    assert await found(log, red, answer_to=7) == [fourth]
    assert await found(log, red, noun="A", after=first) == [second]
    assert await found(log, red, noun="A", after=second, newest_first=True) == [first]


async def test_an_outcome_that_comes_later_is_found_then(store: Store) -> None:
    """A request that was passed on has none until its partner has answered."""
    sequence, other = await keep(store, said("ours"), said("others"))
    ok, failed = about(Subject.OUTCOME, "OK"), about(Subject.OUTCOME, "FAILED")
    assert await found(store.reader.log, ok) == []
    async with store.transaction() as transaction:
        assert await transaction.log.settle(sequence, Outcome.OK)
        assert await found(transaction.log, ok, *word_groups("ours")) == [sequence]
        same = await transaction.log.append(an_entry(), b"<a>ours</a>")
        assert await transaction.log.settle(same, Outcome.FAILED)
    assert await found(store.reader.log, ok) == [sequence]
    assert await found(store.reader.log, failed, *word_groups("ours")) == [same]
    async with store.transaction() as transaction:
        await transaction.log.remove([sequence, same])
    assert await found(store.reader.log, ok | failed | word_groups("ours")[0]) == []
    assert await found(store.reader.log) == [other]


async def test_what_is_removed_is_found_no_more_and_its_number_never_again(store: Store) -> None:
    """Retention and erasure leave nothing by which somebody could be found."""
    first, second = await keep(store, ({}, render_message(TICKET), TICKET), said("harbour"))
    async with store.transaction() as transaction:
        await transaction.log.remove([first])
        assert await found(transaction.log, *word_groups("harbour")) == [second]
    assert await found(store.reader.log, about(Subject.PREMISES, "SL-30021")) == []
    assert await store.reader.log.terms([first]) == {}  # type: ignore[attr-defined]
    third, *_ = await keep(store, said("other"))
    assert await found(store.reader.log, *word_groups("harbour")) == [second]
    assert third > second


async def test_what_is_undone_is_not_found(store: Store) -> None:
    """A message that was not kept has no place in the index, whether its part was written by then or not."""
    async with store.transaction() as transaction:
        await transaction.log.append(an_entry(), b"<a>kept</a>")
        for is_looked_for in (False, True):
            with pytest.raises(StoreError):
                async with transaction.savepoint():
                    await transaction.log.append(an_entry(), b"<a>undone</a>")
                    if is_looked_for:
                        assert len(await found(transaction.log, *word_groups("undone"))) == 1
                    raise StoreError("undone")
            assert await found(transaction.log, *word_groups("undone")) == []
        await transaction.log.append(an_entry(), b"<a>kept</a>")
    with pytest.raises(StoreError):
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(), b"<a>undone</a>")
            raise StoreError("undone")
    assert await found(store.reader.log, *word_groups("undone")) == []
    assert len(await found(store.reader.log, *word_groups("kept"))) == 2


async def test_a_search_says_how_far_it_has_looked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two common things that rarely come together: the search is cut into steps of the same cost, and tells so."""
    monkeypatch.setattr(searching, "LOOK", 10)
    minutes = [timedelta(minutes=number) for number in range(61)]
    sequences = await keep(
        store,
        said("red blue", received_at=NOON),
        *(said("red" if number % 2 else "blue", received_at=NOON + minutes[number]) for number in range(1, 61)),
    )
    groups = word_groups("red blue")
    for newest_first in (True, False):
        seen: list[LogEntry] = []
        after: int | None = None
        steps = 0
        while True:
            selection = LogSelection(limit=5, newest_first=newest_first, after=after)
            page = await store.reader.log.search(selection, groups)
            seen += page.entries
            if page.after is None:
                break
            assert page.looked_to is not None
            assert page.after in sequences
            after, steps = page.after, steps + 1
        assert [entry.sequence for entry in seen] == sequences[:1]
        assert steps == 3


async def test_a_rare_thing_is_found_however_far_back(store: Store) -> None:
    """One step is enough where any of the things asked for is rare."""
    first, *_ = await keep(store, said("rare red"), *(said("red") for _ in range(300)))
    for newest_first in (True, False):
        page = await store.reader.log.search(LogSelection(newest_first=newest_first), word_groups("red rare"))
        assert [entry.sequence for entry in page.entries] == [first]
        assert (page.after, page.looked_to) == (None, None)


async def test_a_message_of_very_many_words_is_found_by_the_first(store: Store) -> None:
    """A table of a million rows in one message must not fill the index."""
    text = " ".join(f"word{number}" for number in range(MOST_WORDS + 300))
    (sequence,) = await keep(store, said(text))
    assert await found(store.reader.log, *word_groups("word0")) == [sequence]
    assert await found(store.reader.log, *word_groups(f"word{MOST_WORDS + 200}")) == []


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b'{"Payload": {"comment": "Fallen tr\\u00e4ger \\"oak\\""}}', "träger oak"),
        ("<?xml version='1.0' encoding='utf-16'?><a>Überlandwerk</a>".encode("utf-16"), "überlandwerk"),
        ("<?xml version='1.0' encoding='latin-1'?><a>Straße</a>".encode("latin-1"), "STRASSE"),
        (b"<a>Smith &amp; S&#246;hne, Smith-Jones</a>", "söhne jones smith-jones"),
        (b"<a><![CDATA[half <b> of it]]></a>", "half"),
        (b"<a>cut off in the midd", "cut off"),
        (b"\xff\xfe\x00<", ""),
    ],
)
async def test_words_are_found_however_they_were_written(store: Store, raw: bytes, word: str) -> None:
    """JSON, other encodings, references and what is no message at all."""
    (sequence,) = await keep(store, ({}, raw, None))
    assert not word or await found(store.reader.log, *word_groups(word)) == [sequence]


async def test_words_are_found_where_they_entered_the_log(store: Store) -> None:
    """What follows from a message says the same again, and is found by what it is about; errors are new."""
    raw = render_message(TICKET)
    failed = b"<M><Reply><Error><details>missing pole</details></Error></Reply><Payload><a>harbour</a></Payload></M>"
    out = {"direction": Direction.OUT}
    came, told, _, alone, _ = await keep(
        store,
        ({}, raw, TICKET),
        (out | {"answer_to": 1}, raw, TICKET),
        (out | {"answer_to": 1, "archetype": "ResponseMessage", "outcome": Outcome.OK}, failed, None),
        (out, raw, TICKET),
        (out | {"answer_to": 1, "archetype": "ResponseMessage", "outcome": Outcome.FAILED}, failed, None),
    )
    assert await found(store.reader.log, *word_groups("harbour")) == [came, alone]
    assert await found(store.reader.log, *word_groups("SL-30021")) == [came, told, alone]
    assert await found(store.reader.log, *word_groups("missing pole")) == [alone + 1]


async def test_the_header_and_tables_have_no_words(store: Store) -> None:
    """A header is searched by its own fields, and a table of meters would be nothing but numbers."""
    head = b"<M><Header><Source>sender</Source></Header><Payload><a>content</a></Payload></M>"
    first, _ = await keep(store, ({}, head, None), ({"transport": Transport.REST_TABLE}, b"content,content", None))
    assert await found(store.reader.log, *word_groups("sender")) == []
    assert await found(store.reader.log, *word_groups("content")) == [first]


def test_the_bound_is_one_that_people_do_not_notice() -> None:
    """Of common things so many are gone through that a page is nearly always full."""
    assert LOOK >= 500


@pytest.mark.parametrize("newest_first", [False, True])
async def test_messages_are_found_by_what_the_ledger_counts_them_as(store: Store, newest_first: bool) -> None:
    """Whoever opens a count of the ledger finds these and no others; answers within our own exchanges are none."""
    entries: dict[str, dict[str, object]] = {
        "ok": {"outcome": Outcome.OK},
        "partial": {"outcome": Outcome.PARTIAL},
        "failed": {"outcome": Outcome.FAILED},
        "fault": {"outcome": Outcome.FAULT},
        "repeat": {"outcome": Outcome.OK, "repeat_of": 1},
        "failed again": {"outcome": Outcome.FAILED, "repeat_of": 1},
        "waits": {},
        "later reply": {"outcome": Outcome.OK, "answer_to": 1, "archetype": "ResponseMessage"},
        "answer": {"outcome": Outcome.OK, "answer_to": 1, "archetype": "ResponseMessage", "status": 200},
        "refusal": {"outcome": Outcome.FAULT, "answer_to": 1, "archetype": "FaultMessage", "status": 500},
        "told": {"outcome": Outcome.OK, "direction": Direction.OUT},
    }
    sequences = await keep(store, *(said(name, partner="OMS", **entry) for name, entry in entries.items()))
    names = dict(zip(sequences, entries, strict=True))
    wanted = {
        Counted.RECEIVED: ["ok", "partial", "failed", "fault", "repeat", "failed again", "waits", "later reply"],
        Counted.DELIVERED: ["ok", "partial", "later reply"],
        Counted.REFUSED: ["failed", "fault"],
        Counted.REPEATS: ["repeat", "failed again"],
        Counted.WAITING: ["waits"],
    }
    for counted, those in wanted.items():
        for more in ({}, {"partner": "OMS"}, {"outcomes": tuple(Outcome)}, {"direction": Direction.IN}):
            asked = {"counted": counted, "newest_first": newest_first, **more}
            seen = [names[sequence] for sequence in await found(store.reader.log, **asked)]
            assert (seen[::-1] if newest_first else seen) == those, (counted, more)
            selected = await store.reader.log.select(LogSelection(**asked))  # type: ignore[arg-type]  # as named here
            seen = [names[entry.sequence] for entry in selected]
            assert (seen[::-1] if newest_first else seen) == those, (counted, more)


async def test_a_count_among_many_answers_costs_no_walk_through_all_of_them(store: Store) -> None:
    """A partner that is told everything and never says anything has a million answers in the log, and no message."""
    await keep(store, said("said", partner="OMS", outcome=Outcome.OK))
    answer = {"partner": "OMS", "outcome": Outcome.OK, "status": 200, "archetype": "ResponseMessage", "answer_to": 1}
    await keep(store, *(said("answer", **answer) for _ in range(3 * LOOK)))
    wanted = LogSelection(counted=Counted.RECEIVED, newest_first=True, limit=10)
    pages = []
    while True:
        page = await store.reader.log.search(wanted)
        pages.append([entry.sequence for entry in page.entries])
        if page.after is None:
            break
        assert page.looked_to is not None
        wanted = msgspec.structs.replace(wanted, after=page.after)
    assert [len(page) for page in pages if page] == [1]
    assert 2 <= len(pages) <= 4, "each page looks at some hundreds, and says how far"
