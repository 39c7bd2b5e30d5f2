"""The checks of the readiness sheet, each judged from the facts. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from cimcare.exchange.drills import Drilled, Ending
from cimcare.exchange.partners import Drill
from cimcare.hub.operation.alarms import Severity
from cimcare.hub.operation.readiness import (
    BrokerFacts,
    Check,
    CheckName,
    Facts,
    Limits,
    PartnerFacts,
    Sheet,
    State,
    sheet_of,
)
from cimcare.rules.conventions import REVISIONS, is_known_revision

__all__ = ["judge_readiness"]

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_TOLD = 3
_PROOFS = 3
"""A proof may be missed; not three in a row."""

_MARGIN = timedelta(seconds=5)
_FINE_RESULTS = ("OK", "PARTIAL")
_NOT_FOUND = "2."
"""Codes of what is asked for and not there: the right answer to a get of a drill."""

_OF_FORM = "1."


def judge_readiness(facts: Facts, limits: Limits) -> Sheet:
    """The sheet."""
    unseen: list[str] = []
    checks = [*_hub(facts, limits)]
    for broker in facts.brokers:
        checks += _broker(broker, facts.now)
    for one in facts.partners:
        checks += _partner(one, facts.now, limits, unseen)
    return sheet_of(facts, checks, unseen)


def _check(
    name: CheckName, state: State | bool, found: str, accepted: str, remedy: str = "", *, partner: str = ""
) -> Check:
    if isinstance(state, bool):
        state = State.GO if state else State.NO_GO
    return Check(
        name=name,
        partner=partner,
        state=state,
        found=found,
        accepted=accepted,
        remedy="" if state is State.GO else remedy,
    )


# ----------------------------------------------------------------------------------------------------------- the hub


def _hub(facts: Facts, limits: Limits) -> Iterator[Check]:
    yield _check(
        CheckName.DATABASE,
        not facts.database,
        facts.database or "can be written to, and has the tables of this release",
        "a database of this release that takes writes",
        "see the log of the hub; `cimcare serve` brings tables up to its release when it starts",
    )
    if facts.database:
        return
    yield from _disk(facts, limits)
    if facts.database_clock_seconds is not None:
        yield _clock(facts.database_clock_seconds, limits, "the clock of the database", "")
    if facts.overload is not None:
        remedy = "give the hub more processes, or have senders slow down; settings hub.queue_limit and hub.wait_seconds"
        found = facts.overload or "messages are taken at once"
        yield _check(CheckName.LOAD, not facts.overload, found, "room for messages", remedy)
    wrong = "; ".join(facts.schema_failures[:_TOLD])
    yield _check(
        CheckName.SCHEMAS,
        not wrong,
        f"schemas in force refuse what this hub sends: {wrong}" if wrong else "take all that this hub sends",
        "schemas that take the messages of this hub",
        "compare them, with `cimcare schema compare`; setting schema.directory",
    )
    yield from _alarms(facts)
    yield from _audit(facts, limits)
    for name, partner in sorted(facts.lost.items()):
        yield _check(
            CheckName.SUBSCRIBER,
            False,
            f"subscription {name} leads to {partner}, which is not there",
            "a destination that is there",
            "configure the partner, or remove the subscription",
            partner=partner,
        )


def _disk(facts: Facts, limits: Limits) -> Iterator[Check]:
    accepted = f"{limits.disk_share:.0%} free, and not full within {_told(limits.disk)}"
    remedy = "make room or give it a larger disk; `cimcare messages` and settings retention.* say what is kept for long"
    if facts.disk_failure:
        yield _check(CheckName.DISK, State.UNKNOWN, facts.disk_failure, accepted, remedy)
    disk = facts.disk
    if disk is None:
        return
    share = disk.free_bytes / disk.size_bytes if disk.size_bytes else 0.0
    found = f"{_bytes(disk.free_bytes)} of {_bytes(disk.size_bytes)} free in {disk.folder} ({share:.0%})"
    fills = disk.fills or 0.0
    hours = disk.free_bytes / fills if fills > 0 else None
    if hours is not None:
        found = f"{found}; {_bytes(int(fills))} an hour less, so full in {hours:.0f} hours"
    is_soon = hours is not None and hours < limits.disk / _HOUR
    yield _check(CheckName.DISK, share >= limits.disk_share and not is_soon, found, accepted, remedy)


def _alarms(facts: Facts) -> Iterator[Check]:
    grave = [alarm for alarm in facts.alarms if alarm.level is Severity.CRITICAL]
    found = "; ".join(f"{alarm.key}: {alarm.found}" for alarm in grave[:_TOLD])
    more = f"; and {len(grave) - _TOLD} more" if len(grave) > _TOLD else ""
    light = f"none that is critical, {len(facts.alarms)} warnings" if facts.alarms else "none"
    remedy = "see `GET /api/v1/alarms`, which says for each what to do"
    yield _check(CheckName.ALARMS, not grave, f"{found}{more}" if grave else light, "no critical alarm", remedy)


def _audit(facts: Facts, limits: Limits) -> Iterator[Check]:
    if limits.audit is None:
        return
    accepted = f"verified within {_told(limits.audit)}, and whole"
    remedy = "run `cimcare audit verify --note`"
    last = facts.verified
    since = last.at if last is not None else facts.trail_began_at
    if since is None:
        yield _check(CheckName.AUDIT, True, "the trail has no row yet", accepted)
        return
    what = (
        f"verified {_ago(facts.now - since)}" if last is not None else f"began {_ago(facts.now - since)}, not verified"
    )
    if last is not None and not last.is_whole:
        yield _check(
            CheckName.AUDIT, False, f"{what}, with findings", accepted, f"{remedy}, and find out what they are"
        )
        return
    yield _check(CheckName.AUDIT, facts.now - since <= limits.audit, what, accepted, remedy)


def _broker(one: BrokerFacts, now: datetime) -> Iterator[Check]:
    """Whether there are sessions, and whether what is sent to the hub comes through."""
    name, state = one.state.name, one.state
    closed = [link for link in state.links if not link.is_open]
    found = "; ".join(f"no session for {link.purpose} ({link.reason or 'not yet tried'})" for link in closed)
    remedy = "bring the broker or the way to it back; see `cimcare brokers`"
    at = ", ".join(dict.fromkeys(link.address for link in state.links))
    yield _check(CheckName.BROKER, not closed, found or f"sessions at {at}", "a session", remedy, partner=name)
    accepted = "consumers through which a message of ours comes back"
    remedy = "see at the broker who consumes there; the hub opens the session anew if nothing comes through"
    for consumer in state.consumers:
        if consumer.waits:
            continue  # another process has its turn
        state_of, told = State.GO, "attached, and not watched"
        if not consumer.attached:
            state_of, told = State.NO_GO, "is not attached"
        elif one.watch and consumer.proven_at is None:
            before = next((link.reason for link in state.links if consumer.destination in link.reason), "")
            state_of = State.NO_GO if before else State.UNKNOWN
            told = f"attached, and nothing has come through yet{f'; in the session before, {before}' if before else ''}"
        elif one.watch and consumer.proven_at is not None:
            age = now - consumer.proven_at
            state_of = State.GO if age <= _PROOFS * one.watch + _MARGIN else State.NO_GO
            told = f"a message came through {_ago(age)}"
        found = f"{consumer.destination}: {told}"
        yield _check(CheckName.CONSUMER, state_of, found, accepted, remedy, partner=name)


# ------------------------------------------------------------------------------------------------------- the partners


def _partner(one: PartnerFacts, now: datetime, limits: Limits, unseen: list[str]) -> Iterator[Check]:
    if one.partner is not None:
        yield from _answer(one, now, limits)
        yield from _said(one, limits, unseen)
        yield from _certificates(one, now, limits)
    yield from _waiting(one, now, limits)
    yield from _subscriber(one, now, limits)


def _answer(one: PartnerFacts, now: datetime, limits: Limits) -> Iterator[Check]:
    """Whether it is there, and how fast."""
    accepted = "an answer"
    drilled = one.drilled if one.is_drilled else None
    is_drill = drilled is not None and drilled.ending in (Ending.ANSWERED, Ending.FAILED)
    if drilled is None or not is_drill:
        yield _unasked(one, now, limits, drilled)
        return
    if one.spared and drilled.ending is Ending.ANSWERED:
        found = f"spared: {one.spared}"
        yield _check(CheckName.ANSWER, False, found, accepted, _BRING_BACK, partner=one.name)
        return
    if drilled.ending is Ending.FAILED:
        yield _check(CheckName.ANSWER, False, drilled.failure, accepted, _BRING_BACK, partner=one.name)
        return
    seconds = drilled.seconds or 0.0
    told = "connected to" if drilled.kind is Drill.CONNECT else f"answered a {drilled.kind}"
    within = "by a session that is open" if drilled.seconds is None else f"in {seconds:.3f} s"
    at = f"{told} {within}, {_ago(now - drilled.began_at)}"
    is_old = now - drilled.began_at > limits.answer
    if is_old:
        yield _check(
            CheckName.ANSWER, State.UNKNOWN, at, f"a drill within {_told(limits.answer)}", _DRILL, partner=one.name
        )
        return
    if _is_unwell(drilled):
        found = f"{at}, and said {drilled.result}: {drilled.words}"
        remedy = "ask the partner what keeps it from serving"
        yield _check(CheckName.ANSWER, False, found, accepted, remedy, partner=one.name)
    else:
        yield _check(CheckName.ANSWER, True, at, accepted, partner=one.name)
    if drilled.seconds is None:
        return
    yield _check(
        CheckName.SPEED,
        seconds <= limits.slow_seconds,
        f"{seconds:.3f} s there and back",
        f"{limits.slow_seconds:g} s",
        "find out where the time goes: network, TLS, the partner; setting doctor.slow_seconds",
        partner=one.name,
    )


_BRING_BACK = "bring the partner or the way to it back; check url, certificates and firewall"
_DRILL = "drill it, with `cimcare doctor`"


def _unasked(one: PartnerFacts, now: datetime, limits: Limits, drilled: Drilled | None) -> Check:
    """Without a drill, what it took of real traffic speaks for it."""
    accepted = f"an answer within {_told(limits.answer)}"
    if one.spared:
        return _check(CheckName.ANSWER, False, f"spared: {one.spared}", accepted, _BRING_BACK, partner=one.name)
    if one.delivered_at is not None and now - one.delivered_at <= limits.answer:
        found = f"took a delivery in the hour until {one.delivered_at.isoformat(timespec='minutes')}"
        return _check(CheckName.ANSWER, True, found, accepted, partner=one.name)
    reason = "no drill so far"
    if not one.is_drilled:
        reason = "it is not drilled, and nothing was delivered to it lately"
    elif drilled is not None and drilled.ending is Ending.SPARED:
        reason = f"not drilled: {drilled.failure}"
    elif drilled is not None:
        reason = "a drill is under way"
    remedy = _DRILL if one.is_drilled else "set `drill` of the partner, such as connect"
    return _check(CheckName.ANSWER, State.UNKNOWN, reason, accepted, remedy, partner=one.name)


def _is_unwell(drilled: Drilled) -> bool:
    """Whether it answered that it does not serve us; that an object is unknown is what a drill wants to hear."""
    if not drilled.result or drilled.result in _FINE_RESULTS:
        return False
    if _speaks_of_context(drilled.words.lower()):
        return False
    failed = [code for code in drilled.codes if not code.startswith("0.")]
    return not failed or any(not code.startswith((_NOT_FOUND, _OF_FORM)) for code in failed)


def _said(one: PartnerFacts, limits: Limits, unseen: list[str]) -> Iterator[Check]:
    """What the answer of a drill says of schema, Context and clock."""
    drilled = one.drilled
    if drilled is None or not one.is_drilled or drilled.kind is Drill.CONNECT:
        return
    if drilled.ending is Ending.ANSWERED or drilled.code in ("NET-104", "NET-111", "NET-113"):
        yield _schema(one, drilled)
        yield from _context(one, drilled, limits, unseen)
    if drilled.ending is not Ending.ANSWERED:
        return
    if drilled.clock_seconds is None:
        unseen.append(f"clock of {one.name}: its answer has neither Timestamp nor Date")
    else:
        yield _clock(drilled.clock_seconds, limits, "its clock", one.name)


def _schema(one: PartnerFacts, drilled: Drilled) -> Check:
    accepted = "answers and refusals after the schemas in force here"
    remedy = (
        "compare edition, namespaces and Revision of both ends; settings edition of the partner and schema.directory"
    )
    wrong = drilled.breach
    told = f"{drilled.failure} {drilled.words}".lower()
    is_fault = drilled.code == "NET-113" and not _speaks_of_context(told)
    if not wrong and (is_fault or drilled.code == "NET-104"):
        wrong = drilled.failure
    elif not wrong and any(code.startswith(_OF_FORM) for code in drilled.codes):
        wrong = f"it refused the form of the drill: {drilled.words}"
    elif not wrong and drilled.revision and not is_known_revision(drilled.revision):
        wrong, accepted = f"Revision {drilled.revision}", REVISIONS
    found = wrong or f"as here, Revision {drilled.revision or 'not told'}"
    return _check(CheckName.SCHEMA, not wrong, found, accepted, remedy, partner=one.name)


def _context(one: PartnerFacts, drilled: Drilled, limits: Limits, unseen: list[str]) -> Iterator[Check]:
    remedy = "agree on one Context with the partner; setting hub.context"
    told = f"{drilled.failure} {drilled.words}"
    if _speaks_of_context(told.lower()) and (drilled.result not in _FINE_RESULTS):
        sent = f"Context {drilled.sent_context}" if drilled.sent_context else "no Context"
        yield _check(CheckName.CONTEXT, False, f"{sent} was refused: {told.strip()}", sent, remedy, partner=one.name)
        return
    if not limits.context:
        return
    if not drilled.context:
        if drilled.ending is Ending.ANSWERED:
            unseen.append(f"Context of {one.name}: its answer has none")
        return
    is_same = drilled.context == limits.context
    found = f"answers for {drilled.context}"
    yield _check(CheckName.CONTEXT, is_same, found, limits.context, remedy, partner=one.name)


def _speaks_of_context(words: str) -> bool:
    return "context" in words


def _clock(seconds: float, limits: Limits, whose: str, partner: str) -> Check:
    way = "ahead of" if seconds > 0 else "behind"
    found = f"{whose} is {abs(seconds):.1f} s {way} ours" if seconds else f"{whose} agrees with ours"
    remedy = "set both by a time server; where several differ by the same, it is ours that is off"
    is_fine = abs(seconds) <= limits.clock_seconds
    return _check(CheckName.CLOCK, is_fine, found, f"{limits.clock_seconds:g} s", remedy, partner=partner)


def _certificates(one: PartnerFacts, now: datetime, limits: Limits) -> Iterator[Check]:
    accepted = f"valid for {_told(limits.certificate)} and more"
    drilled = one.drilled
    if drilled is not None and (drilled.tls_failure or drilled.certificate_ends_at is not None):
        ends_at = drilled.certificate_ends_at
        until = f"ends {ends_at.isoformat(timespec='minutes')} ({(ends_at - now) // _DAY} days)" if ends_at else ""
        found = "; ".join(part for part in (drilled.tls_failure, until) if part)
        is_fine = not drilled.tls_failure and ends_at is not None and ends_at - now >= limits.certificate
        remedy = "have the partner renew it, or trust its authority (setting ca_file)"
        yield _check(CheckName.CERTIFICATE, is_fine, found, accepted, remedy, partner=one.name)
    for file in one.files:
        left = file.ends_at - now if file.ends_at is not None else None
        found = f"{file.file}: {file.failure}" if left is None else f"{file.file}: {left // _DAY} days left"
        is_fine = left is not None and left >= limits.certificate
        remedy = "renew it; a hub that runs takes the new file at the next delivery"
        yield _check(CheckName.FILES, is_fine, found, accepted, remedy, partner=one.name)


def _waiting(one: PartnerFacts, now: datetime, limits: Limits) -> Iterator[Check]:
    backlog = one.backlog
    age = now - backlog.oldest_at if backlog.oldest_at is not None else timedelta()
    found = f"{backlog.waiting} waiting" + (f", the oldest for {_told(age)}" if backlog.waiting else "")
    remedy = "see what the partner says to them, with `cimcare deliveries list`"
    accepted = f"none that waits longer than {_told(limits.queue)}"
    yield _check(CheckName.QUEUE, age <= limits.queue, found, accepted, remedy, partner=one.name)
    remedy = "read why, with `cimcare deadletters list`; then resend or discard them, with a reason"
    yield _check(CheckName.DEAD_LETTERS, not backlog.dead, f"{backlog.dead}", "none", remedy, partner=one.name)


def _subscriber(one: PartnerFacts, now: datetime, limits: Limits) -> Iterator[Check]:
    """Who is to hear of things and takes none of them."""
    accepted = "takes what is for it"
    if one.halt is not None:
        found = f"halted {_ago(now - one.halt.at)} by {one.halt.actor}: {one.halt.reason}"
        remedy = "let delivery go on when the reason is gone, with `cimcare deliveries release`"
        yield _check(CheckName.SUBSCRIBER, False, found, accepted, remedy, partner=one.name)
    elif one.takes_since is not None and now - one.takes_since > limits.silent:
        found = f"has taken nothing, and the oldest of {one.backlog.waiting} waits for {_told(now - one.takes_since)}"
        remedy = "see what becomes of the attempts, with `cimcare deliveries list`; ask the partner whether it listens"
        yield _check(CheckName.SUBSCRIBER, False, found, accepted, remedy, partner=one.name)
    elif one.is_subscriber:
        found = "nothing waits" if not one.backlog.waiting else f"{one.backlog.waiting} on their way"
        yield _check(CheckName.SUBSCRIBER, True, found, accepted, partner=one.name)


# -------------------------------------------------------------------------------------------------------------- words


def _told(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds / size
            return f"{number:.0f} {word}{'s' if round(number) != 1 else ''}"
    return f"{seconds:.0f} s"


def _ago(span: timedelta) -> str:
    return "just now" if span < timedelta(seconds=1) else f"{_told(span)} ago"


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
