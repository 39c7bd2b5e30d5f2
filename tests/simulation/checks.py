"""The promises, held against what everybody in a run has seen.

Checks know nothing of how the hub works: they compare what clients and partners have heard with what is durable at the
end. Each violation begins with the promise that it breaks.
"""

from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from cimcare.exchange.ledger import Account, Balance, Line, hour_of
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState
from cimcare.exchange.partners import DIRECT, Partner
from cimcare.exchange.ports import Selection
from cimcare.exchange.store import Reader
from cimcare.exchange.subscriptions import Filter
from cimcare.hub.intake.builtin import collection_of
from cimcare.hub.operation.auditing import Verification, verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot
from cimcare.model.verbs import EVENT_OF, Verb
from tests.simulation.actors import Errand, Heard
from tests.simulation.hubs import START
from tests.simulation.messages import Sendable, codes_in, name_of
from tests.simulation.peers import Known, PeerModel
from tests.simulation.plan import Manner, Plan, TroubleKind

__all__ = ["Evidence", "check_answer", "check_evidence", "check_swept", "gather_evidence"]

T = TypeVar("T")
_MANY = 1_000_000
_ACCEPTED = (Outcome.OK, Outcome.PARTIAL)
_LONGEST = timedelta(hours=2)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known when a run has come to rest. `objects` are the mRIDs of what the built-in systems keep."""

    plan: Plan
    errands: tuple[Errand, ...]
    models: Mapping[str, PeerModel]
    mailboxes: Mapping[str, PeerModel]
    log: tuple[LogEntry, ...]
    deliveries: tuple[Delivery, ...]
    balances: tuple[Balance, ...]
    trail: Verification
    in_work: tuple[LogEntry, ...]
    objects: frozenset[str]

    def originals(self) -> dict[tuple[str, str], list[LogEntry]]:
        """Messages that were accepted and not as repeats, by Source and MessageID, as the log has them.

        Answers of partners, which came in the exchange of a request and so have a status, are not among them.
        """
        found: dict[tuple[str, str], list[LogEntry]] = defaultdict(list)
        for entry in self.log:
            is_answer = entry.direction is Direction.OUT or entry.status
            if not is_answer and entry.outcome in _ACCEPTED and entry.repeat_of is None:
                found[entry.partner, entry.message_id].append(entry)
        return found

    def model_of(self, delivery: Delivery) -> PeerModel:
        """The model to which a delivery goes."""
        if delivery.partner.startswith(f"{DIRECT} "):
            return self.mailboxes[delivery.partner.removeprefix(f"{DIRECT} ")]
        return self.models[delivery.partner]

    def counts(self) -> Counter[str]:
        """How much happened."""
        return Counter(
            errands=len(self.errands),
            answers=sum(len(errand.heard) for errand in self.errands),
            accepted=sum(errand.is_accepted for errand in self.errands),
            messages=len(self.log),
            deliveries=len(self.deliveries),
            attempts=sum(delivery.attempts for delivery in self.deliveries),
            dead=sum(delivery.state is DeliveryState.DEAD for delivery in self.deliveries),
            repeats=sum(entry.repeat_of is not None for entry in self.log),
        )


async def gather_evidence(
    plan: Plan,
    reader: Reader,
    errands: Iterable[Errand],
    models: Mapping[str, PeerModel],
    mailboxes: Mapping[str, PeerModel],
) -> Evidence:
    """Read all that is durable."""
    return Evidence(
        plan=plan,
        errands=tuple(errands),
        models=models,
        mailboxes=mailboxes,
        log=await reader.log.select(LogSelection(limit=_MANY)),
        deliveries=await reader.outbox.select(DeliverySelection(limit=_MANY)),
        balances=await balances(reader, START, START + _LONGEST),
        trail=await verify(reader),
        in_work=await reader.log.find_in_work(START + _LONGEST, _MANY),
        objects=frozenset(
            [
                stored.mrid
                for noun in NOUNS
                for stored in await reader.records.select(collection_of(noun), Selection(limit=_MANY))
            ]
        ),
    )


# ------------------------------------------------------------------------------------------- while the world runs


def check_answer(reader: Reader, errand: Errand, heard: Heard) -> str | None:
    """What is wrong with an answer in the instant in which it is given; None if nothing is."""
    if not errand.source or not errand.message_id:
        return None
    if errand.clashes:
        return f"G2: other content under {errand.message_id} was accepted" if heard.is_accepted else None
    if heard.is_accepted:
        wanted = LogSelection(partner=errand.source, message_id=errand.message_id, direction=Direction.IN, limit=_MANY)
        kept = _now(reader.log.select(wanted))
        if errand.manner is Manner.ONE_WAY:
            return None if kept else f"G1: {errand.message_id} was acknowledged and is not in the log"
        if not any(entry.outcome in _ACCEPTED and entry.repeat_of is None for entry in kept):
            return f"G1: {errand.message_id} was answered OK and is not accepted in the log"
        first = next(one for one in errand.heard if one.is_accepted)
        if heard.answer.body != first.answer.body:
            return f"G2: {errand.message_id} was accepted twice with different answers"
    elif not heard.is_passing and any(one.is_accepted for one in errand.heard) and errand.manner is not Manner.ONE_WAY:
        assert heard.message is not None
        return f"G2: {errand.message_id} was refused with {codes_in(heard.message)} after it had been accepted"
    return None


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of reading a store that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise TypeError("the store suspends")


# ----------------------------------------------------------------------------------------------------- at the end


def check_evidence(evidence: Evidence) -> list[str]:
    """All that is wrong."""
    checks = (
        _check_kept,
        _check_effects,
        _check_objects,
        _check_events,
        _check_receipt,
        _check_order,
        _check_ends,
        _check_rest,
        _check_ledger,
        _check_trail,
        _check_replies,
    )
    return [violation for check in checks for violation in check(evidence)]


async def check_swept(reader: Reader) -> list[str]:
    """What is wrong after retention has removed what it may."""
    flaws = [f"G10: after retention: {flaw.describe()}" for flaw in (await verify(reader)).flaws]
    found = [
        f"G9: of the dead letter {delivery.number} message {sequence} is gone"
        for delivery in await reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=_MANY))
        for sequence in (delivery.message, delivery.cause)
        if await reader.log.find_raw(sequence) is None
    ]
    missing = [
        f"G7: after retention {balance.missing} missing in {_told(balance.line)}"
        for balance in await balances(reader, START, START + _LONGEST)
        if balance.missing
    ]
    return flaws + found + missing


def _check_kept(evidence: Evidence) -> Iterator[str]:
    """G1, G2: what was accepted is in the log, once."""
    originals = evidence.originals()
    for errand in evidence.errands:
        found = originals.get((errand.source, errand.message_id), [])
        is_to_be_found = errand.is_accepted and errand.message_id and not errand.clashes
        if is_to_be_found and errand.manner is not Manner.ONE_WAY and not found:
            yield f"G1: {errand.message_id} of {errand.source} was accepted and is gone"
    for (source, message_id), found in originals.items():
        if message_id and len(found) > 1:
            yield f"G2: {message_id} of {source} was taken {len(found)} times: {[entry.sequence for entry in found]}"


def _check_effects(evidence: Evidence) -> Iterator[str]:
    """G1, G2: what was accepted had its effect, once: the event that tells of it, or the partner that took it."""
    originals = evidence.originals()
    told: dict[int, list[LogEntry]] = defaultdict(list)
    for entry in evidence.log:
        if entry.direction is Direction.OUT and entry.archetype == "EventMessage" and entry.answer_to is not None:
            told[entry.answer_to].append(entry)
    queued = {delivery.cause for delivery in evidence.deliveries if delivery.kind is DeliveryKind.REQUEST}
    owners, removed = _owners(evidence.plan), evidence.plan.struck_by(TroubleKind.REMOVE)
    for errand in evidence.errands:
        message = errand.message
        if not isinstance(message, RequestMessage) or message.header.verb is Verb.GET:
            continue
        if errand.clashes or not errand.message_id:
            continue
        for entry in originals.get((errand.source, errand.message_id), []):
            noun = _noun_of(message)
            owner = owners.get(noun)
            wanted = (EVENT_OF[message.header.verb].value, message.header.noun)
            count = sum((event.verb, event.noun) == wanted for event in told[entry.sequence])
            if owner is not None and not count:
                known = evidence.models[owner].known.get((errand.source, errand.message_id))
                if entry.sequence not in queued and (known is None or known.taken is None):
                    yield f"G1: {errand.message_id} was answered OK, and {owner} never took it"
            elif count != 1:
                yield f"G2: {errand.message_id} ({message.header.verb} {noun}) had its effect {count} times"
            elif owner is not None and owner not in removed:
                yield f"G2: {errand.message_id} was served here, although {owner} owns {noun}"


def _check_objects(evidence: Evidence) -> Iterator[str]:
    """G1: what a built-in system was told to create is there, unless somebody has deleted it."""
    originals, owners = evidence.originals(), _owners(evidence.plan)
    created: dict[str, str] = {}
    deleted: set[str] = set()
    for errand in evidence.errands:
        message = errand.message
        if not isinstance(message, RequestMessage) or not errand.message_id or errand.clashes:
            continue
        if not originals.get((errand.source, errand.message_id)):
            continue
        if message.header.verb is Verb.CREATE and _noun_of(message) not in owners:
            created.update(dict.fromkeys(_objects_of(message), errand.message_id))
        elif message.header.verb in (Verb.DELETE, Verb.EXECUTE):
            deleted |= _objects_of(message)
    for mrid in sorted(created.keys() - deleted - evidence.objects):
        yield f"G1: {mrid}, created by {created[mrid]}, is gone"


def _check_events(evidence: Evidence) -> Iterator[str]:
    """G3: for each event and each subscriber whose filter it passes there is one delivery.

    No customer of a history has consented to anything, so a third party is told nothing.
    """
    queued = Counter(
        (delivery.message, delivery.partner) for delivery in evidence.deliveries if delivery.kind is DeliveryKind.EVENT
    )
    partners = {peer.partner.name: peer.partner for peer in evidence.plan.peers}
    removed = evidence.plan.struck_by(TroubleKind.REMOVE)
    outside = {name for name, partner in partners.items() if partner.is_third_party}
    for message, name in queued:
        if name in outside:
            yield f"message {message} is told to {name}, a third party, without any consent"
    for entry in evidence.log:
        if entry.archetype != "EventMessage" or entry.repeat_of is not None or entry.outcome is Outcome.FAILED:
            continue
        if entry.direction is Direction.IN and (entry.outcome not in _ACCEPTED or "EXC-118" in entry.codes):
            continue
        if entry.direction is Direction.OUT and entry.transport is not Transport.INTERNAL:
            continue  # an attempt that was kept with its dead letter
        for subscription in evidence.plan.settings.subscriptions:
            partner = partners[subscription.partner]
            if (
                _passes(subscription.filter, entry)
                and _speaker(entry) != partner.source
                and partner.name not in outside
            ):
                count = queued[entry.sequence, partner.name]
                if count > 1 or (not count and partner.name not in removed):
                    yield f"G3: {entry.verb} {entry.noun} {entry.message_id} has {count} deliveries to {partner.name}"


def _check_receipt(evidence: Evidence) -> Iterator[str]:
    """G3: what counts as delivered did arrive, be it that a request was answered with FAILED."""
    for delivery in evidence.deliveries:
        if delivery.state is not DeliveryState.DELIVERED or _arrivals(evidence, delivery):
            continue
        is_request = delivery.kind is DeliveryKind.REQUEST
        if not is_request or delivery.message_id not in evidence.model_of(delivery).turned_away:
            yield f"G3: delivery {delivery.number} to {delivery.partner} counts as delivered and never arrived"


def _check_order(evidence: Evidence) -> Iterator[str]:
    """G4: of two deliveries to one destination that share an object, the older one arrives and takes effect first."""
    by_partner: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in evidence.deliveries:
        by_partner[delivery.partner].append(delivery)
    for partner, deliveries in by_partner.items():
        if evidence.plan.resends and partner in evidence.plan.struck_by(TroubleKind.ABANDON):
            continue  # what never was tried may have been a dead letter
        last: dict[str, tuple[Delivery, list[int]]] = {}
        counted: set[int] = set()
        for delivery in sorted(deliveries, key=lambda one: one.number):
            known = _known(evidence, delivery)
            if known is None or id(known) in counted:
                continue  # an owner that is asked again repeats a reply, which has arrived by an older delivery
            counted.add(id(known))
            arrivals = known.arrivals
            for key in sorted(_objects_of(known.message)):
                if key in last:
                    older, before = last[key]
                    if before[0] > arrivals[0] and not older.attempts_before and not _was_given_up(older):
                        yield (f"G4: {partner} got delivery {delivery.number} before {older.number} of the same {key}")
                if key not in last or arrivals[0] > last[key][1][0]:
                    last[key] = (delivery, arrivals)


def _check_ends(evidence: Evidence) -> Iterator[str]:
    """G5: a dead letter has a reason, and was refused for good or has used up all patience."""
    retries = {peer.partner.name: peer.partner.retry for peer in evidence.plan.peers}
    for delivery in evidence.deliveries:
        if delivery.state is not DeliveryState.DEAD:
            continue
        if not delivery.reason:
            yield f"G5: dead letter {delivery.number} has no reason"
        known = _known(evidence, delivery)
        is_refused = known is not None and known.refused is not None
        retry = retries.get(delivery.partner, Partner(name="", url="", source="").retry)
        is_exhausted = (
            delivery.attempts - delivery.attempts_before >= retry.attempts
            or delivery.due_at - delivery.created_at >= retry.patience
        )
        is_unanswered = delivery.kind is DeliveryKind.REQUEST and known is not None and known.taken is not None
        is_abandoned = delivery.reason.startswith("abandoned")
        if not (is_refused or is_exhausted or is_unanswered or is_abandoned):
            yield (
                f"G5: delivery {delivery.number} to {delivery.partner} was given up after {delivery.attempts} attempts"
                f" without need: {delivery.reason}"
            )


def _check_rest(evidence: Evidence) -> Iterator[str]:
    """G6: nothing is stuck."""
    for delivery in evidence.deliveries:
        if delivery.state in (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING):
            yield f"G6: delivery {delivery.number} to {delivery.partner} is {delivery.state.value} for ever"
    for entry in evidence.in_work:
        yield f"G6: {entry.verb} {entry.noun} {entry.message_id} of {entry.partner} never got an outcome"


def _check_ledger(evidence: Evidence) -> Iterator[str]:
    """G7: the ledger balances, and agrees with log and outbox."""
    for balance in evidence.balances:
        if balance.missing:
            yield f"G7: {balance.missing} missing in {_told(balance.line)}, {balance.waiting} waiting"
    counted = {(one.line.hour, one.line.partner, one.line.account): one.line for one in evidence.balances}
    rows: dict[tuple[datetime, str, Account], Counter[str]] = defaultdict(Counter)
    for delivery in evidence.deliveries:
        columns = rows[hour_of(delivery.created_at), delivery.partner, Account.OUT]
        columns["received"] += 1
        columns[_COLUMNS.get(delivery.state, "")] += 1
    for key, columns in rows.items():
        line = counted.get(key)
        if line is None:
            yield f"G7: no line for {key}"
            continue
        for column in ("received", "delivered", "refused", "dead"):
            if getattr(line, column) != columns[column]:
                yield f"G7: {_told(line)}: {column} should be {columns[column]}"


_COLUMNS = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.DISCARDED: "refused",
    DeliveryState.DEAD: "dead",
}


def _check_trail(evidence: Evidence) -> Iterator[str]:
    """G10: the audit trail is whole."""
    for flaw in evidence.trail.flaws:
        yield f"G10: {flaw.describe()}"


def _check_replies(evidence: Evidence) -> Iterator[str]:
    """Whoever was promised a later reply gets one, unless he refuses it."""
    given_up = {
        delivery.cause
        for delivery in evidence.deliveries
        if delivery.kind is DeliveryKind.REPLY and delivery.state in (DeliveryState.DEAD, DeliveryState.DISCARDED)
    }
    resent = {
        delivery.cause
        for delivery in evidence.deliveries
        if delivery.kind is DeliveryKind.REQUEST and delivery.attempts_before
    }
    originals = evidence.originals()
    partners = {peer.partner.source: peer.partner.name for peer in reversed(evidence.plan.peers)}
    boxes = {client.source: client.host for client in evidence.plan.clients}
    for errand in evidence.errands:
        if errand.manner is not Manner.LATER or not errand.is_accepted or errand.clashes:
            continue
        (entry, *_) = originals.get((errand.source, errand.message_id), [None])
        if entry is None or entry.sequence in given_up:
            continue
        known_by_all = list(evidence.mailboxes[boxes[errand.source]].known.values())
        if errand.source in partners:
            known_by_all += evidence.models[partners[errand.source]].known.values()
        finals = [
            known.message
            for known in sorted(known_by_all, key=lambda known: known.met_at)
            if isinstance(known.message, ResponseMessage)
            and known.message.header.correlation_id == errand.message_id
            and known.taken is not None
            and "0.1" not in codes_in(known.message)
        ]
        if not finals:
            yield f"G6: {errand.message_id} of {errand.source} was promised a later reply and got none"
        # The hub's own word that no reply has come is a last one until the reply comes, or an operator sends it again.
        told = [message.reply.result.value for message in finals if not _says_none_came(message)]
        if entry.sequence not in resent and (len(told) > 1 or (told and _says_none_came(finals[-1]))):
            yield (
                f"G2: {errand.message_id} of {errand.source} got {len(finals)} final replies:"
                f" {'; '.join(name_of(message) for message in finals)}"
            )


def _says_none_came(message: ResponseMessage) -> bool:
    return message.reply.result is Result.FAILED and "4.1" in codes_in(message)


# ----------------------------------------------------------------------------------------------------------- parts


def _known(evidence: Evidence, delivery: Delivery) -> Known | None:
    """What the destination knows of the message of a delivery."""
    found = [
        known
        for (_, message_id), known in evidence.model_of(delivery).known.items()
        if message_id == delivery.message_id
    ]
    return found[0] if found else None


def _arrivals(evidence: Evidence, delivery: Delivery) -> list[int]:
    known = _known(evidence, delivery)
    return known.arrivals if known is not None else []


def _objects_of(message: Sendable) -> set[str]:
    """What a message is about: mRIDs of the objects in it, and for a later reply the request that it answers."""
    if isinstance(message, ResponseMessage):
        return {f"reply to {message.header.correlation_id}"}
    payload = message.payload
    found = {one.value for one in payload.id} if payload is not None else set()
    if isinstance(message, RequestMessage) and message.request is not None:
        found |= {one.value for one in message.request.id}
    contents = list(payload.content) if payload is not None else []
    if payload is not None and payload.operation_set is not None:
        contents += [operation.content for operation in payload.operation_set.operation]
    for content in contents:
        if isinstance(content, PayloadRoot):
            found |= {one.mrid for one in getattr(content, NOUNS[Noun(content.XML_TYPE)].item) if one.mrid}
    return found


def _was_given_up(delivery: Delivery) -> bool:
    return delivery.state in (DeliveryState.DEAD, DeliveryState.DISCARDED)


def _owners(plan: Plan) -> dict[str, str]:
    """The partner that owns each noun."""
    roles = {peer.partner.role: peer.partner.name for peer in plan.peers if peer.partner.role is not None}
    return {noun.value: roles[entry.owner] for noun, entry in NOUNS.items() if entry.owner in roles}


def _noun_of(message: RequestMessage) -> str:
    """The noun of a request, or that of the operations of its set."""
    if message.header.verb is not Verb.EXECUTE:
        return message.header.noun
    assert message.payload is not None and message.payload.operation_set is not None
    return message.payload.operation_set.operation[0].noun or ""


def _passes(wanted: Filter, entry: LogEntry) -> bool:
    """Whether an event passes a filter as the plans have it. Operations of a set are not looked into."""
    if entry.noun == "OperationSet":
        return not wanted.verbs and not wanted.nouns
    return (not wanted.verbs or entry.verb in wanted.verbs) and (not wanted.nouns or entry.noun in wanted.nouns)


def _speaker(entry: LogEntry) -> str:
    """Header/Source of an event, if it is that of a partner."""
    return entry.partner if entry.direction is Direction.IN else ""


def _told(line: Line) -> str:
    return (
        f"{line.account.value} of {line.partner or '-'} at {line.hour:%H:%M}: received {line.received}, delivered"
        f" {line.delivered}, refused {line.refused}, dead {line.dead}, repeats {line.repeats}"
    )
