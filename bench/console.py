"""What pages of the console cost with many messages stored, beside what they cost with few.

Two hubs in this process, each on a database of its own: one with some thousands of messages, one with a million. Both
have the same day of a utility, only longer: requests, replies and events about premises and accounts, refusals,
deliveries that arrived and two hundred that died, rows of ledger and audit trail; and what the built-in systems have
kept meanwhile (`bench/utility.py`): a town with outages, tickets, orders and call-backs that are open now, the same for
both, and what is over and who is supplied, which is the more the longer the log is.

Both sides show as much: a page that has less to show, or less to go through until the log ends, costs less whatever the
length of the log does to it. So words, refusals and the place from which a page far back starts are such that the small
log has behind it the messages that a search may look at, too. How many rows each side shows is printed beside its cost.

The databases are filled by the tables, not
through the hub, which would take an hour; terms are made as the hub makes them (`exchange/searching.py`). Time goes on
between two pages, so that no look is shared.

Each page is asked for in turn at both, and again; the figures are milliseconds from request to rendered page, the least
of all rounds, since whatever else the machine does only adds to them; and their ratio. Compare within one run only. A
page is good if it costs 3 times as much at most.

`python bench/console.py [--few N] [--many N] [--rounds N] [--store sqlite|postgresql ...] [--json]`.
"""

import argparse
import itertools
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import asyncpg
import msgspec

from bench.load import run
from bench.utility import Utility, fill_records, live_a_day
from cimcare.console.pages import console_pages
from cimcare.exchange.audit import seal
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.searching import Subject, facets_of, term_of
from cimcare.hub.app import Hub
from cimcare.hub.config.settings import read_settings
from cimcare.store.instants import to_micros
from cimcare.store.opening import open_store
from cimcare.store.sealing import text_of
from tests.support.hub import call
from tests.support.postgres import a_database

BOUND = 3.0
"""Times that a page may cost what it costs with few messages."""

_STEP_MILLISECONDS = 200
"""By how much the clock of a hub goes on each time that it is asked."""

_REFUSED = 14
"""One conversation in so many is refused. More than in the field, so that three quarters of the small log have all the
refusals that one search looks at (`LOOK`)."""

_TOGETHER = 20_000
_NOUNS = ("TroubleTickets", "TroubleTickets", "TroubleTickets", "Incidents", "Incidents", "ServiceRequests",
          "ServiceOrders", "WorkRequests", "CustomerAgreements")  # fmt: skip
_VERBS = {"create": "created", "change": "changed", "cancel": "canceled", "close": "closed"}
_PARTNERS = ("CIS", "OMS", "WMS", "AMI", "GIS", "RETAILER", "PORTAL", "SCADA")
_WORDS = ("street", "wire", "down", "lights", "flicker", "meter", "pole", "branch", "smoke", "noise", "water", "gate")
_MESSAGES = (
    "sequence", "received_at", "direction", "transport", "partner", "archetype", "verb", "noun", "message_id",
    "correlation_id", "context", "outcome", "codes", "answer_to", "repeat_of", "digest", "content_type", "status",
    "truncated", "size_bytes", "raw", "terms",
)  # fmt: skip
_DELIVERIES = (
    "number", "message", "cause", "partner", "kind", "object_keys", "priority", "address", "verb", "noun", "message_id",
    "created_at", "state", "is_head", "due_at", "attempts", "attempts_before", "reason", "received",
)  # fmt: skip
_BACKLOGS = ("partner", "waiting", "awaiting", "dead")
_LEDGER = ("hour", "partner", "account", "received", "delivered", "refused", "dead", "repeats")
_AUDIT = ("number", "at", "action", "actor", "subject", "details", "messages", "previous", "hash")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page: what it is called, its address for a log of so many messages, and what must stand in it."""

    name: str
    path: str
    told: str = ""


# -------------------------------------------------------------------------------------------------- what is stored


class Rows(msgspec.Struct, kw_only=True):
    """Rows of one piece of the log, by table."""

    messages: list[tuple[Any, ...]] = msgspec.field(default_factory=list)
    terms: list[tuple[int, ...]] = msgspec.field(default_factory=list)
    deliveries: list[tuple[Any, ...]] = msgspec.field(default_factory=list)
    audit: list[tuple[Any, ...]] = msgspec.field(default_factory=list)


def rows_of(count: int, ends_at: datetime) -> Iterator[Rows]:
    """A log that ends at an instant: four messages a conversation, ten conversations a second at the end.

    Conversation `c` is about premises `P-<c modulo a twentieth of their number>`, so that each premises has about
    twenty of them however long the log is.
    """
    draw = random.Random(7)
    conversations = count // 4
    places = max(conversations // 20, 1)
    previous = b"\0" * 32
    rows = Rows()
    for number in range(conversations):
        at = ends_at - timedelta(seconds=(conversations - number) / 10)
        noun, verb = draw.choice(_NOUNS), draw.choice(tuple(_VERBS))
        partner = _PARTNERS[number % 5]
        outcome = Outcome.FAILED if _is_refused(number) else Outcome.OK
        place, first = number % places, 4 * number + 1
        identity = f"{number:08x}-0000-4000-8000-{place:012}"
        words = {*draw.sample(_WORDS, 4), f"remark{number}"}
        about = {
            term_of(Subject.PREMISES, f"P-{place}"),
            term_of(Subject.PREMISES, f"{place:08x}-1111-4000-8000-000000000000"),
            term_of(Subject.ACCOUNT, f"A-{place}"),
            term_of(Subject.ACCOUNT, f"C-{place}"),
            term_of(Subject.OBJECT, identity),
            term_of(Subject.OBJECT, f"TT-{number}"),
        }
        said = {term_of(Subject.WORD, word) for word in words}
        kept = []
        for offset, (direction, archetype, said_verb, other) in enumerate(
            (
                (Direction.IN, "RequestMessage", verb, partner),
                (Direction.OUT, "ResponseMessage", "reply", partner),
                (Direction.OUT, "EventMessage", _VERBS[verb], "CIS OMS"),
                (Direction.OUT, "EventMessage", "changed", "CIS"),
            )
        ):
            raw = _raw(archetype, said_verb, noun, identity, number, place, words)
            entry = LogEntry(
                sequence=first + offset,
                received_at=at,
                direction=direction,
                transport=Transport.INTERNAL if archetype == "EventMessage" else Transport.REST_XML,
                partner=other,
                archetype=archetype,
                verb=said_verb,
                noun="Incidents" if offset == 3 else noun,
                message_id=f"m-{first + offset}",
                correlation_id=f"c-{number}",
                context="TESTING",
                outcome=outcome,
                codes=("2.15",) if outcome is Outcome.FAILED else (),
                answer_to=first if offset else None,
                content_type="application/xml",
                status=200 if offset == 1 else 0,
                size_bytes=len(raw),
            )
            terms = {*facets_of(entry), *(about if offset != 1 else ()), *(said if not offset else ())}
            kept.append((entry, raw))
            rows.messages.append(_row(entry, raw))
            rows.terms.append(tuple(sorted(terms)))
        hash_ = number.to_bytes(32)
        sealed = text_of(seal(kept)) if number % 1000 == 0 else "[]"
        rows.audit.append((number + 1, to_micros(at), "messages", "", "", "", sealed, previous, hash_))
        previous = hash_
        state = "dead" if _is_dead(number, conversations) else "delivered"
        keys = json.dumps([f"{noun} {identity}"])
        rows.deliveries.append(
            (number + 1, first + 2, first, ("gis", "portal", "ami")[number % 3], "event", keys, 0, "", _VERBS[verb],
             noun, f"m-{first + 2}", to_micros(at), state, False, to_micros(at), 3, 0,
             "refused: 2.15" if state == "dead" else "", b"")
        )  # fmt: skip
        if len(rows.messages) >= _TOGETHER:
            yield rows
            rows = Rows()
    if rows.messages:
        yield rows


def ledger_of(count: int, ends_at: datetime) -> list[tuple[Any, ...]]:
    """Hours of the ledger that fit the log: what came in, and what went to three partners, all of it ended."""
    lines: dict[tuple[int, str, str], list[int]] = {}
    conversations = count // 4
    for number in range(conversations):
        at = ends_at - timedelta(seconds=(conversations - number) / 10)
        hour = to_micros(at.replace(minute=0, second=0, microsecond=0))
        into = lines.setdefault((hour, _PARTNERS[number % 5], "in"), [0, 0, 0, 0, 0])
        into[0] += 1
        into[2 if _is_refused(number) else 1] += 1
        out = lines.setdefault((hour, ("gis", "portal", "ami")[number % 3], "out"), [0, 0, 0, 0, 0])
        out[0] += 1
        out[3 if _is_dead(number, conversations) else 1] += 1
    return [(*key, *counts) for key, counts in lines.items()]


def backlogs_of(count: int) -> list[tuple[Any, ...]]:
    """What partners have not got: the dead letters."""
    conversations = count // 4
    dead = Counter(
        ("gis", "portal", "ami")[number % 3] for number in range(conversations) if _is_dead(number, conversations)
    )
    return [(partner, 0, 0, number) for partner, number in dead.items()]


def _is_refused(number: int) -> bool:
    return number % _REFUSED == _REFUSED - 1


def _is_dead(number: int, conversations: int) -> bool:
    """Two hundred deliveries died, however long the log is: dead letters are work to be done, and not what is kept."""
    return number % max(conversations // 200, 1) == 0


def _raw(archetype: str, verb: str, noun: str, identity: str, number: int, place: int, words: set[str]) -> bytes:
    item = noun[:-1]
    body = "<Reply><Result>OK</Result></Reply>" if archetype == "ResponseMessage" else ""
    return (
        f'<{archetype} xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>{verb}</Verb><Noun>{noun}</Noun>'
        f"<Timestamp>2031-02-11T07:42:05Z</Timestamp><Source>CIS</Source><CorrelationID>c-{number}</CorrelationID>"
        f"</Header>{body}<Payload><{noun}><{item}><mRID>{identity}</mRID><comment>{' '.join(sorted(words))}</comment>"
        f"<ServiceLocation><Names><name>P-{place}</name></Names></ServiceLocation></{item}></{noun}></Payload>"
        f"</{archetype}>"
    ).encode()


def _row(entry: LogEntry, raw: bytes) -> tuple[Any, ...]:
    return (
        entry.sequence, to_micros(entry.received_at), entry.direction.value, entry.transport.value, entry.partner,
        entry.archetype, entry.verb, entry.noun, entry.message_id, entry.correlation_id, entry.context,
        entry.outcome.value, " ".join(entry.codes), entry.answer_to, entry.repeat_of, entry.digest, entry.content_type,
        entry.status, entry.truncated, entry.size_bytes, raw,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ filling


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def fill_sqlite(path: Path, count: int, ends_at: datetime) -> None:
    """Fill a file that has its tables."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    for rows in rows_of(count, ends_at):
        connection.execute("BEGIN")
        texts = [" ".join(f"{term:x}" for term in terms) for terms in rows.terms]
        connection.executemany(
            _insert("messages", _MESSAGES),
            ((*row, text) for row, text in zip(rows.messages, texts, strict=True)),
        )
        connection.executemany(
            "INSERT INTO message_terms (rowid, terms) VALUES (?, ?)",
            ((row[0], text) for row, text in zip(rows.messages, texts, strict=True)),
        )
        connection.executemany(_insert("deliveries", _DELIVERIES), rows.deliveries)
        connection.executemany(_insert("audit", _AUDIT), rows.audit)
        connection.execute("COMMIT")
    connection.executemany(_insert("ledger", _LEDGER), ledger_of(count, ends_at))
    connection.executemany(_insert("backlogs", _BACKLOGS), backlogs_of(count))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def fill_postgres(url: str, count: int, ends_at: datetime) -> None:
    """Fill a database that has its tables; indexes of terms are built in the end."""
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE message_terms DROP CONSTRAINT pk_message_terms")
    for rows in rows_of(count, ends_at):
        await connection.copy_records_to_table(
            "messages",
            records=[(*row, list(terms)) for row, terms in zip(rows.messages, rows.terms, strict=True)],
            columns=_MESSAGES,
        )
        pairs = [(term, row[0]) for row, terms in zip(rows.messages, rows.terms, strict=True) for term in terms]
        await connection.copy_records_to_table("message_terms", records=pairs, columns=("term", "sequence"))
        await connection.copy_records_to_table("deliveries", records=rows.deliveries, columns=_DELIVERIES)
        await connection.copy_records_to_table("audit", records=rows.audit, columns=_AUDIT)
    await connection.copy_records_to_table("ledger", records=ledger_of(count, ends_at), columns=_LEDGER)
    await connection.copy_records_to_table("backlogs", records=backlogs_of(count), columns=_BACKLOGS)
    await connection.execute("SET maintenance_work_mem = '1GB'")
    await connection.execute(
        "ALTER TABLE message_terms ADD CONSTRAINT pk_message_terms PRIMARY KEY (term, sequence)", timeout=600
    )
    for sequence, table, column in (
        ("messages_sequence_seq", "messages", "sequence"),
        ("deliveries_number_seq", "deliveries", "number"),
    ):
        await connection.execute(f"SELECT setval('{sequence}', (SELECT max({column}) FROM {table}))")
    await connection.execute("VACUUM ANALYZE", timeout=600)
    await connection.close()


@asynccontextmanager
async def a_hub(url: str, count: int, ends_at: datetime, utility: Utility) -> AsyncIterator[Hub]:
    """A hub that has so many messages, and what they have led to."""
    began = time.monotonic()
    store = await open_store(url)
    await fill_records(store, utility, count)
    await store.close()
    if url.startswith("sqlite"):
        fill_sqlite(Path(url.removeprefix("sqlite:///")), count, ends_at)
    else:
        await fill_postgres(url, count, ends_at)
    print(f"  filled with {count:,} messages in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    partners = "".join(
        f'[subscriptions.{name}]\nurl = "http://127.0.0.1:9/soap"\nsource = "{name.upper()}"\n'
        for name in ("gis", "portal", "ami")
    )
    steps = itertools.count()

    def clock() -> datetime:
        return ends_at + timedelta(milliseconds=_STEP_MILLISECONDS * next(steps))

    settings = read_settings(f'port = 0\ndatabase = "{url}"\nsystems.seed_town = false\n{partners}')
    hub = await Hub.open(settings, store=await open_store(url), pages=console_pages, clock=clock)
    try:
        yield hub
    finally:
        await hub.close()


# ------------------------------------------------------------------------------------------------------------ pages


def pages_for(count: int, ends_at: datetime, utility: Utility) -> list[Page]:
    """Pages of a hub that has so many messages: the first, and one with three quarters of the log behind it."""
    conversations = count // 4
    place, deep = max(conversations // 20, 1) // 2, count * 3 // 4
    common = conversations // 2
    day = f"{ends_at - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    since = (ends_at - timedelta(seconds=conversations / 20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    filters = {
        "all": "",
        "noun": "noun=ServiceOrders",
        "verb": "verb=cancel",
        "partner": "source=AMI",
        "way": "direction=in",
        "refused": "outcome=FAILED",
        "premises": f"premises=P-{place}",
        "account": f"account=A-{place}",
        "object": f"object=TT-{common}",
        "a common word": "text=smoke",
        "a rare word": f"text=remark{common}",
        "three words": "text=smoke+water+gate",
        "MessageID": f"message=m-{4 * common}",
        "CorrelationID": f"correlation=c-{common}",
        "until": f"until={since}",
        "since, oldest first": f"since={since}&order=oldest",
        "noun, verb, partner, way": "noun=ServiceOrders&verb=cancel&source=AMI&direction=in",
        "noun, verb, refused": "noun=Incidents&verb=close&outcome=FAILED",
        "what never comes together": "verb=reply&noun=Incidents&source=CIS+OMS",
        "word, noun, until": f"text=smoke&noun=Incidents&until={since}",
        "premises and word": f"premises=P-{place}&text=smoke",
    }
    pages = []
    for name, query in filters.items():
        pages.append(Page(name=f"messages: {name}", path=f"/console/messages?{query}", told="Messages"))
        if name not in ("MessageID", "CorrelationID", "object", "a rare word"):
            after = f"{query}&after={deep}"
            pages.append(Page(name=f"messages: {name}, far back", path=f"/console/messages?{after}", told="Messages"))
    middle = 4 * common + 1
    pages += [
        Page(name="a message", path=f"/console/messages/{middle}", told=f"c-{common}"),
        Page(name="a message, changes", path=f"/console/messages/{middle + 2}?as=changes", told=f"c-{common}"),
        Page(name="a conversation", path=f"/console/conversations/c-{common}", told=f"c-{common}"),
        Page(name="overview", path="/console/", told="Overview"),
        Page(name="REST: messages", path="/api/v1/messages?limit=50&noun=Incidents", told="items"),
    ]
    for name, path in (
        ("deliveries", "/console/deliveries"),
        ("deliveries, dead", "/console/deliveries?state=dead"),
        ("deliveries, delivered", "/console/deliveries?state=delivered"),
        ("deliveries, of a partner", "/console/deliveries?partner=gis&state=delivered"),
        ("deliveries, of a noun", "/console/deliveries?noun=ServiceOrders"),
        ("a delivery", f"/console/deliveries/{common}"),
        ("partners", "/console/partners"),
        ("a partner", "/console/partners/gis"),
        ("audit trail", "/console/audit"),
        ("ledger", f"/api/v1/ledger?since={day}"),
        ("incidents", "/console/incidents"),
        ("an incident", f"/console/incidents/{utility.incident}"),
        ("map", "/console/map"),
        ("map of a feeder", "/console/map?feeder=NL-11"),
        ("tickets", "/console/tickets"),
        ("tickets: who is calling", f"/console/tickets?q={utility.account}"),
        ("a ticket", f"/console/tickets/{utility.ticket}"),
        ("call-backs", "/console/tickets/callbacks"),
        ("work", "/console/work"),
        ("calendar", "/console/work/calendar"),
        ("an order", f"/console/work/{utility.order}"),
        ("customers", "/console/customers"),
        ("customers: who depends on supply", "/console/customers?depends=yes"),
        ("customers: by account", f"/console/customers?q={utility.account}"),
        ("a customer and agreements", f"/console/customers/{utility.account}"),
        ("history", "/console/history"),
        ("history, two minutes ago", f"/console/history?at={(ends_at - timedelta(minutes=2)):%Y-%m-%dT%H:%M}Z"),
        ("report", "/console/report"),
        ("configuration", "/console/configuration"),
        ("readiness", "/console/readiness"),
    ):
        pages.append(Page(name=name, path=path))
    return pages


class Cost(msgspec.Struct, kw_only=True):
    """Milliseconds of a page in each round, with few and with many, and the rows of its tables."""

    few: list[float] = msgspec.field(default_factory=list)
    many: list[float] = msgspec.field(default_factory=list)
    rows: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times as much it costs with many."""
        return min(self.many) / min(self.few)


async def measure(url: tuple[str, str], sizes: tuple[int, int], rounds: int) -> dict[str, Cost]:
    """Costs by page; a page that this release does not have is left out."""
    ends_at = datetime.now(UTC).replace(microsecond=0)
    costs: dict[str, Cost] = {}
    utility = await live_a_day(ends_at)
    async with AsyncExitStack() as stack:
        hubs = [
            await stack.enter_async_context(a_hub(one, size, ends_at, utility))
            for one, size in zip(url, sizes, strict=True)
        ]
        both = list(zip(*(pages_for(size, ends_at, utility) for size in sizes), strict=True))
        for attempt in range(rounds + 1):
            for pages in both:
                for hub, page, field in zip(hubs, pages, ("few", "many"), strict=True):
                    began = time.perf_counter()
                    response = await call(hub.app, page.path, method="GET")
                    took = 1000 * (time.perf_counter() - began)
                    assert response is not None
                    if response.status == 404 and not page.told:
                        break
                    assert response.status == 200, (page, response.status, response.body[:2000])
                    assert page.told.encode() in response.body, (page, response.body[-2000:])
                    cost = costs.setdefault(page.name, Cost())
                    cost.rows[field] = response.body.count(b"<tr")
                    if attempt:  # the first is to warm up
                        getattr(cost, field).append(took)
    return costs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--store", action="append", choices=("sqlite", "postgresql"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told: dict[str, dict[str, dict[str, float]]] = {}
    is_good = True
    for kind in options.store or ("sqlite", "postgresql"):
        with (
            tempfile.TemporaryDirectory() as first,
            tempfile.TemporaryDirectory() as second,
            a_database(kind, Path(first)) as few,
            a_database(kind, Path(second)) as many,
        ):
            costs = run(partial(measure, (few, many), (options.few, options.many), options.rounds))
        told[kind] = {
            name: {
                "few": min(one.few),
                "many": min(one.many),
                "ratio": one.ratio,
                "rows_few": one.rows["few"],
                "rows_many": one.rows["many"],
            }
            for name, one in costs.items()
        }
        if not options.json:
            print(f"{kind}: milliseconds with {options.few:,} messages, with {options.many:,}, the ratio, and rows")
            for name, one in told[kind].items():
                mark = "" if one["ratio"] <= BOUND else f"  more than {BOUND:.0f} times"
                rows = f"{one['rows_few']}/{one['rows_many']}"
                print(f"  {name:42} {one['few']:8.1f} {one['many']:8.1f} {one['ratio']:6.2f} {rows:>9}{mark}")
            print(f"  largest ratio {max(one['ratio'] for one in told[kind].values()):.2f}", flush=True)
        is_good &= all(one["ratio"] <= BOUND for one in told[kind].values())
    if options.json:
        print(json.dumps(told))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
