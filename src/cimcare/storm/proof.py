"""Proof: asks the other side afterwards whether every ticket that it accepted is there, and none twice.

Over the REST interface of our hubs by pages, elsewhere by `get` messages, fifty tickets each. What the ledger of a hub
says is compared with what was sent.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from cimcare.client.answers import read_body
from cimcare.errors import InputError
from cimcare.model.envelope import ResponseMessage, Result
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.storm.asking import Asking, Got
from cimcare.storm.wording import Target, Wording, render_query

__all__ = ["LedgerLine", "Proof", "has_api", "prove", "read_ledger", "wait_for_deliveries"]

_BATCH = 50
_AT_ONCE = 4
_EXAMPLES = 20


class _Name(msgspec.Struct):
    name: str


class _Ticket(msgspec.Struct, rename={"names": "Names"}):
    names: list[_Name] = []


class _Item(msgspec.Struct):
    object: _Ticket


class _Page(msgspec.Struct):
    items: list[_Item]
    next: str | None = None


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a partner, summed over hours."""

    partner: str
    account: str
    received: int = 0
    delivered: int = 0
    waiting: int = 0
    refused: int = 0
    dead: int = 0
    repeats: int = 0
    missing: int = 0


class _LedgerPage(msgspec.Struct):
    items: list[LedgerLine]
    next: str | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was found. `how` says by what way; `complete` is false where not all could be asked.

    `lost` were accepted and are not there; `doubled` are there more than once; `in_doubt` got no answer, and of them
    `found_of_doubt` are there.
    """

    how: str
    complete: bool
    accepted: int
    found: int
    lost: int
    doubled: int
    in_doubt: int
    found_of_doubt: int
    examples: tuple[str, ...] = ()


class _Found(NamedTuple):
    how: str
    complete: bool
    names: Counter[str]


async def has_api(asking: Asking) -> bool:
    """Whether the REST interface of our hubs is there."""
    got = await asking.get("/api/v1/TroubleTickets", limit="1")
    try:
        msgspec.json.decode(got.body, type=_Page)
    except msgspec.MsgspecError:
        return False
    return got.status == 200


Post = Callable[[bytes], Awaitable[Got]]
"""Sends the body of a message, and gives its answer."""


async def prove(asking: Asking, post: Post, target: Target, wording: Wording, accepted: bytearray) -> Proof:
    """Look for every ticket that was accepted or is in doubt: by pages where there is an API, else by `post`."""
    wanted = [number for number, mark in enumerate(accepted) if mark]
    found = await (_by_pages(asking, wording) if target.api else _by_messages(post, target, wording, wanted))
    names = {number: found.names[wording.ticket_name(number)] for number in wanted}
    lost = [number for number in wanted if accepted[number] == 1 and not names[number]]
    doubled = [number for number in wanted if names[number] > 1]
    in_doubt = [number for number in wanted if accepted[number] == 2]
    return Proof(
        how=found.how,
        complete=found.complete,
        accepted=len(wanted) - len(in_doubt),
        found=sum(1 for number in wanted if accepted[number] == 1 and names[number]),
        lost=len(lost),
        doubled=len(doubled),
        in_doubt=len(in_doubt),
        found_of_doubt=sum(1 for number in in_doubt if names[number]),
        examples=tuple(wording.ticket_name(number) for number in (*lost, *doubled)[:_EXAMPLES]),
    )


async def _by_pages(asking: Asking, wording: Wording) -> _Found:
    names: Counter[str] = Counter()
    since = (wording.instant(0) - timedelta(seconds=1)).astimezone(UTC).isoformat()
    got = await asking.get("/api/v1/TroubleTickets", since=since, limit="1000")
    while True:
        try:
            page = msgspec.json.decode(got.body, type=_Page)
        except msgspec.MsgspecError:
            return _Found("REST, by pages", complete=False, names=names)
        # A ticket has several names only if somebody gave it more; a name of ours counts once for each ticket.
        for item in page.items:
            names.update({one.name for one in item.object.names if one.name.startswith(wording.name_prefix)})
        if page.next is None:
            return _Found("REST, by pages", complete=True, names=names)
        got = await asking.get(page.next)


async def _by_messages(post: Post, target: Target, wording: Wording, wanted: list[int]) -> _Found:
    names: Counter[str] = Counter()
    batches = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]
    waiting = iter(enumerate(batches))
    now = datetime.now(UTC).replace(microsecond=0)
    missed = 0

    async def ask() -> None:
        nonlocal missed
        for number, batch in waiting:
            request = render_query(target, wording, batch, f"{wording.name_prefix}-{now:%H%M%S}-{number}", now)
            got = await post(request)
            found = _names_in(got.body)
            if found is None:
                missed += 1
            else:
                names.update(found)

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
    return _Found("get messages", complete=not missed, names=names)


def _names_in(body: bytes) -> list[str] | None:
    """Names of the tickets of an answer; None if it is none."""
    try:
        message = read_body(body).message
    except InputError:
        return None
    if not isinstance(message, ResponseMessage) or message.reply.result is Result.FAILED:
        return None
    roots = message.payload.content if message.payload is not None else ()
    return [
        name
        for root in roots
        if isinstance(root, TroubleTickets)
        for ticket in root.trouble_ticket
        for name in {one.name for one in ticket.names if one.name}
    ]


# ------------------------------------------------------------------------------------------------------------- ledger


async def read_ledger(asking: Asking, since: datetime) -> tuple[LedgerLine, ...]:
    """Accounts of the hours from the one that holds `since`, summed by partner; empty if the hub tells nothing."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    got = await asking.get("/api/v1/ledger", since=since.astimezone(UTC).isoformat())
    while got.status == 200:
        try:
            page = msgspec.json.decode(got.body, type=_LedgerPage)
        except msgspec.MsgspecError:
            break
        for line in page.items:
            total = sums.setdefault((line.partner, line.account), dict.fromkeys(_COLUMNS, 0))
            for column in _COLUMNS:
                total[column] += getattr(line, column)
        if page.next is None:
            break
        got = await asking.get(page.next)
    return tuple(LedgerLine(partner=key[0], account=key[1], **total) for key, total in sorted(sums.items()))


_QUIET_SECONDS = 5.0
"""For so long nothing may have come to any account."""

_COLUMNS = ("received", "delivered", "waiting", "refused", "dead", "repeats", "missing")


def less(after: Iterable[LedgerLine], before: Iterable[LedgerLine]) -> tuple[LedgerLine, ...]:
    """What came to each account between two readings. What waits, or is missing, counts as it is now."""
    known: Mapping[tuple[str, str], LedgerLine] = {(line.partner, line.account): line for line in before}
    found = []
    for line in after:
        old = known.get((line.partner, line.account), LedgerLine(partner="", account=""))
        columns = {
            column: getattr(line, column) - (0 if column in ("waiting", "missing") else getattr(old, column))
            for column in _COLUMNS
        }
        if any(columns.values()):
            found.append(LedgerLine(partner=line.partner, account=line.account, **columns))
    return tuple(found)


async def wait_for_deliveries(asking: Asking, since: datetime, seconds: float) -> tuple[LedgerLine, ...]:
    """The ledger once nothing waits any more and nothing has come for a moment, or after so many seconds.

    What a hub tells by its clock, some seconds after the last message, belongs to the storm as well.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    moment = min(_QUIET_SECONDS, seconds / 4)
    known: tuple[LedgerLine, ...] = ()
    quiet_since = loop.time()
    while True:
        lines = await read_ledger(asking, since)
        now = loop.time()
        if lines != known or any(line.waiting for line in lines):
            known, quiet_since = lines, now
        if now - quiet_since >= moment or now >= until:
            return lines
        await asyncio.sleep(min(1.0, max(seconds / 10, 0.05)))
