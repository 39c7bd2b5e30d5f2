"""What was said of single points, in whatever incident the points come to be.

Incidents are merged and come apart as calls come in; that somebody has supply again does not depend on it, nor that a
meter has lost it once more. Words of an outage as a whole are not looked at here: they end with their incident.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, note_entry
from cimcare.systems.oms.devices import DEVICES
from cimcare.systems.oms.restored import (
    INTERRUPTIONS,
    RESTORATIONS,
    Evidence,
    InterruptionRecord,
    Restored,
    find_interruption,
    find_past,
    is_planned,
    save_interruption,
    start_of,
)

__all__ = [
    "WORDS",
    "Out",
    "WordRecord",
    "carry_words",
    "find_restored",
    "note_word",
    "outs_between",
    "save_outs",
    "words_about",
]

_PAGE = 500


class WordRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a point has supply again, or with `is_off` that it had supply until then and has lost it.

    `incident` is the one of which it was said.
    """

    point: str
    incident: MRID
    at: datetime
    evidence: Evidence
    is_off: bool = False


WORDS: Collection[WordRecord] = Collection("oms.Words", WordRecord)
"""Found by the key `point`, in the order of their instants."""


class Out(NamedTuple):
    """A time without supply: from when, until when, and by whose word it ended; None while it goes on.

    With `is_by_point` that word was about the point alone.
    """

    start: datetime
    end: datetime | None = None
    evidence: Evidence | None = None
    is_by_point: bool = False


async def note_word(records: Records, word: WordRecord, now: datetime) -> None:
    """Keep what was said of a point."""
    stored = Stored(
        mrid=MRID(f"{word.point}@{word.at.isoformat()}@{'off' if word.is_off else 'on'}"),
        body=word,
        created_at=word.at,
        modified_at=now,
        keys=frozenset({Key("point", word.point)}),
    )
    await records.save(WORDS, stored)
    sort = EntrySort.LOST if word.is_off else EntrySort.BACK
    await note_entry(records, EntryRecord(point=word.point, sort=sort, at=word.at), now)


async def words_about(
    records: Records, points: Sequence[str], since: datetime, until: datetime
) -> dict[str, list[WordRecord]]:
    """What was said of each of these points between two instants, in order; of one instant the loss comes last."""
    found: dict[str, list[WordRecord]] = {point: [] for point in points}
    wanted = Selection(keys=(tuple(Key("point", point) for point in points),), since=since, until=until, limit=_PAGE)
    while points:
        page = await records.select(WORDS, wanted)
        for stored in page:
            found[stored.body.point].append(stored.body)
        if len(page) < wanted.limit:
            break
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    for words in found.values():
        words.sort(key=lambda word: (word.at, word.is_off))
    return found


def outs_between(words: Sequence[WordRecord], start: datetime, end: datetime) -> list[Out]:
    """When a point was out that went out at `start`, by what was said of it up to `end`; at least one. Pure."""
    outs: list[Out] = []
    since: datetime | None = start
    for word in words:
        if not start <= word.at <= end:
            continue
        if word.is_off:
            since = since or word.at
        elif since is not None:
            outs.append(Out(since, word.at, word.evidence, is_by_point=True))
            since = None
    if since is not None:
        outs.append(Out(since))
    return outs


async def save_outs(records: Records, row: InterruptionRecord, outs: Sequence[Out], now: datetime) -> None:
    """Write when the point of a row was out by its incident: the last time as the row itself, those before beside it.

    What was noted of it before is replaced. A time that goes on has no end and no evidence.
    """
    for stored in await find_past(records, (row,)):
        await records.drop(INTERRUPTIONS, stored.mrid)
    for number, out in enumerate(outs):
        one = msgspec.structs.replace(
            row,
            started_at=out.start,
            ended_at=out.end,
            evidence=out.evidence,
            is_by_point=out.is_by_point,
            is_again=number > 0,
            is_past=number < len(outs) - 1,
        )
        await save_interruption(records, one, now)


async def find_restored(
    records: Records, point: str, path: tuple[MRID, ...], *, since: datetime, until: datetime
) -> Restored | None:
    """The last word that a point had supply again, said between two instants; None if nobody said so.

    Whose meter has lost supply since contradicts nothing: it was back in between. One that was contradicted already
    is the last one all the same: who calls once more contradicts nothing before it.

    Args:
        records: Objects of the store.
        point: mRID of the usage point, failing that the key of the premises.
        path: Devices above, nearest first.
        since: Words before this instant do not matter any more.
        until: When the caller reported; a word after it does not contradict.
    """
    found: list[Restored] = []
    lost_at: datetime | None = None
    for noted in await records.find_by_key(INTERRUPTIONS, Key("point", point)) if point else ():
        one = noted.body
        if one.contradicted is not None and since <= one.contradicted.at <= until:
            found.append(one.contradicted)
        if one.ended_at is not None and one.evidence is not None and since <= one.ended_at <= until:
            found.append(
                Restored(incident=one.incident, at=one.ended_at, started_at=one.started_at, evidence=one.evidence)
            )
    spoken = Selection(keys=((Key("point", point),),), since=since, until=until, limit=_PAGE)
    for stored in (await records.select(WORDS, spoken))[-1:] if point else ():
        said = stored.body
        row = await find_interruption(records, said.incident, point)
        lost_at = said.at if said.is_off else None
        if not said.is_off and row is not None:
            found.append(
                Restored(incident=said.incident, at=said.at, started_at=row.body.started_at, evidence=said.evidence)
            )
        elif not said.is_off and found:  # it has said once more what was known already
            before = max(found, key=lambda one: (one.at, one.incident))
            found.append(msgspec.structs.replace(before, at=max(before.at, said.at), evidence=said.evidence))
    if path:
        keys = tuple(Key("device", mrid) for mrid in path)
        for word in await records.select(RESTORATIONS, Selection(keys=(keys,), since=since, until=until)):
            whole = word.body
            if frozenset(whole.excepted).isdisjoint(path):
                found.append(
                    Restored(incident=whole.incident, at=whole.at, started_at=whole.started_at, evidence=whole.evidence)
                )
    last = max(found, key=lambda one: (one.at, one.incident), default=None)
    return None if last is None or (lost_at is not None and last.at <= lost_at) else last


async def carry_words(
    records: Records,
    page: Sequence[Stored[InterruptionRecord]],
    target: Stored[Incident],
    device: MRID | None,
    now: datetime,
) -> tuple[int, bool]:
    """Note in an incident what was said of points elsewhere, as far as they are below its device.

    What is noted there already stays, but for a word that a caller has contradicted since.

    Returns: how many customers more have supply again (less than none if it was contradicted), and whether anything was
    noted.
    """
    rows = [stored.body for stored in page if stored.body.ended_at is None or stored.body.is_by_point]
    below = await _below(records, rows, device) if device is not None else frozenset()
    rows = [row for row in rows if row.device in below]
    if not rows:
        return 0, False
    mrids = tuple(MRID(f"{target.mrid}/{row.point}") for row in rows)
    known = await records.select(INTERRUPTIONS, Selection(mrids=mrids, limit=len(mrids)))
    own = {stored.body.point: stored.body for stored in known}
    restored, start, is_any = 0, start_of(target), False
    words = await words_about(records, tuple({row.point for row in rows}), start, now)
    for row in rows:
        before = own.get(row.point)
        after = msgspec.structs.replace(row, incident=target.mrid, is_planned=is_planned(target))
        if row.contradicted is not None and (before is None or _is_contradicted(before, row)):
            if row.ended_at is not None and row.ended_at < start:
                continue
            outs = [Out(min(start, row.started_at), row.ended_at, row.evidence, row.is_by_point)]
        elif before is None:
            outs = outs_between(words[row.point], start, now)
            if len(outs) == 1 and outs[0].end is None:
                continue
        else:
            continue
        was_restored = before is not None and before.ended_at is not None
        restored += row.customers * ((outs[-1].end is not None) - was_restored)
        await save_outs(records, after, outs, now)
        is_any = True
    return restored, is_any


def _is_contradicted(before: InterruptionRecord, row: InterruptionRecord) -> bool:
    """Whether a caller has contradicted what was noted."""
    if before.ended_at is None or row.contradicted is None or before.ended_at > row.contradicted.at:
        return False
    return row.ended_at is None or row.ended_at > before.ended_at


async def _below(records: Records, rows: Sequence[InterruptionRecord], device: MRID) -> frozenset[MRID]:
    """Of the devices of these rows, those that are at or below a device."""
    own = tuple({row.device for row in rows if row.device is not None})
    found = await records.select(DEVICES, Selection(mrids=own, limit=len(own))) if own else ()
    return frozenset(one.mrid for one in found if device in (one.mrid, *one.body.path))
