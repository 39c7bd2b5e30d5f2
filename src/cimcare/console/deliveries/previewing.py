"""What sending dead letters again, or discarding them, would do: exactly which they are, and where each would go."""

from collections.abc import Iterable, Mapping

import msgspec

from cimcare.console.deliveries.browsing import address_of
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.audit import Action
from cimcare.exchange.outbox import Delivery, OutboxReader
from cimcare.exchange.removal import describe_runs
from cimcare.hub.config.configuration import in_force
from cimcare.hub.outgoing.dead_letters import Chosen, DeadFilter, choose, choose_numbers, explain, is_code
from cimcare.hub.outgoing.destinations import list_destinations, needs_partner
from cimcare.hub.rest.filters import FilterError, read_delivery_filters
from cimcare.hub.rest.inside import Inside

__all__ = ["ACTS", "MOST_CHOSEN", "Going", "Preview", "preview", "read_numbers"]

ACTS = {"resend": Action.RESEND, "discard": Action.DISCARD}

MOST_CHOSEN = 5000
"""Dead letters of one job; more are left for the next."""

_MOST_LISTED = 200
_MOST_SHOWN = 20
_MOST_BYTES = 6000
_LONGEST = 60_000
_FILTERS = ("partner", "noun", "verb", "code", "since", "before")


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter and where it would go. `content` is the beginning of the message, of the first few alone."""

    delivery: Delivery
    address: str
    kind: str
    content: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done.

    `runs` names all numbers, as the form sends them. `is_more`: more match than one job does. `warnings` say which
    destinations take nothing now. `findings` are about numbers that are no dead letters.
    """

    act: str
    chosen: Chosen
    runs: str
    going: tuple[Going, ...]
    is_more: bool
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    given: Mapping[str, str]


async def preview(inside: Inside, act: str, given: Iterable[tuple[str, str]]) -> Preview:
    """What would be done to the dead letters that are named by `number` or `numbers`, else to those that match.

    Raises:
        FilterError: A parameter is unknown or wrong.
        InputError: EXC-135 none was named.
        StoreError: The database cannot be read.
    """
    filled = [(name, value.strip()) for name, value in given if value.strip() and name not in ("act", "state", "after")]
    outbox = inside.reader.outbox
    words = [value for name, value in filled if name in ("number", "numbers")]
    if words:
        numbers = read_numbers(" ".join(words))
        chosen = await choose_numbers(outbox, numbers)
        missing = [number for number in numbers if number not in frozenset(chosen.numbers)]
        return await _preview(inside, act, chosen, {}, await explain(outbox, missing[:_MOST_SHOWN]))
    if not filled:
        accepted = "some that are ticked, or at least one filter"
        raise InputError(finding_of("EXC-135", "numbers", "no dead letter was chosen", accepted, "guarantee G5"))
    chosen = await choose(outbox, _filter_of(filled), most=MOST_CHOSEN + 1)
    return await _preview(inside, act, chosen, dict(filled), ())


def read_numbers(text: str) -> tuple[int, ...]:
    """Numbers and runs of them, such as `3-7 9`. Raises InputError if it is anything else, or too many."""
    numbers: set[int] = set()
    for word in text.split():
        first, _, last = word.partition("-")
        bounds = (first, last or first)
        if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in bounds):
            raise _wrong(f"{word[:40]!r}")
        run = range(int(bounds[0]), int(bounds[1]) + 1)
        if len(numbers) + len(run) > MOST_CHOSEN:
            raise _wrong(f"more than {MOST_CHOSEN}")
        numbers.update(run)
    return tuple(sorted(numbers))


def _wrong(found: str) -> InputError:
    accepted = f"up to {MOST_CHOSEN} numbers of deliveries and runs of them, such as 3-7 9"
    return InputError(finding_of("EXC-135", "numbers", found, accepted, "guarantee G5"))


def _filter_of(filled: list[tuple[str, str]]) -> DeadFilter:
    code = dict(filled).get("code", "")
    if code and not is_code(code):
        raise FilterError(finding_of("EXC-110", "code", repr(code), "a code such as 2.15 or NET-109"))
    unknown = [name for name, _ in filled if name not in _FILTERS]
    if unknown:
        raise FilterError(finding_of("EXC-110", unknown[0], "no such filter", f"one of {', '.join(_FILTERS)}"))
    wanted = read_delivery_filters([(name, value) for name, value in filled if name != "code"])
    return DeadFilter(
        partner=wanted.partner,
        noun=wanted.noun,
        verb=wanted.verb,
        code=code,
        since=wanted.since,
        before=wanted.before,
    )


async def _preview(
    inside: Inside, act: str, chosen: Chosen, given: Mapping[str, str], findings: tuple[Finding, ...]
) -> Preview:
    is_more = len(chosen.numbers) > MOST_CHOSEN
    if is_more:
        chosen = await choose_numbers(inside.reader.outbox, chosen.numbers[:MOST_CHOSEN])
    runs = describe_runs(chosen.numbers)
    while len(runs) > _LONGEST:  # a form is bounded
        is_more = True
        chosen = await choose_numbers(inside.reader.outbox, chosen.numbers[: len(chosen.numbers) // 2])
        runs = describe_runs(chosen.numbers)
    return Preview(
        act=act,
        chosen=chosen,
        runs=runs,
        going=await _going(inside, inside.reader.outbox, chosen),
        is_more=is_more,
        warnings=await _warnings(inside, {group.partner for group in chosen.groups}) if act == "resend" else (),
        findings=findings,
        given=given,
    )


async def _going(inside: Inside, outbox: OutboxReader, chosen: Chosen) -> tuple[Going, ...]:
    partners = {one.name: one for one in (await in_force(inside.reader.records)).partners}
    found: list[Going] = []
    for number in chosen.numbers[:_MOST_LISTED]:
        delivery = await outbox.find(number)
        if delivery is None:
            continue
        partner = partners.get(delivery.partner)
        raw = await inside.reader.log.find_raw(delivery.message) if len(found) < _MOST_SHOWN else None
        found.append(
            Going(
                delivery=delivery,
                address=address_of(delivery, partner),
                kind=partner.wire.value if partner is not None else "",
                content=(raw or b"")[:_MOST_BYTES].decode("utf-8", "replace"),
            )
        )
    return tuple(found)


async def _warnings(inside: Inside, names: set[str]) -> tuple[str, ...]:
    """Which of these destinations take nothing now."""
    circuits = inside.circuits()
    found: list[str] = []
    for one in await list_destinations(inside.reader):
        circuit = circuits.get(one.name)
        if one.name not in names:
            continue
        if one.halt is not None:
            found.append(f"{one.name} is halted by {one.halt.actor} ({one.halt.reason}): it waits until it goes on")
        elif one.partner is None and needs_partner(one.name):
            found.append(f"no partner {one.name} is in force: it waits until there is one")
        elif circuit is not None and circuit.is_open:
            found.append(f"{one.name} does not answer ({circuit.reason}): it waits until {one.name} is back")
    return tuple(found)
