"""What a text that somebody has altered would change, and putting it in force: first seen, then done.

A proposal names the state it was made from. If that has changed meanwhile, nothing is done, and the differences are
shown anew.
"""

import asyncio
import difflib
from hashlib import sha256

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, Transaction
from cimcare.hub.acts.estimate_rules import alter_estimates
from cimcare.hub.acts.rules import load_rules, put_grouping
from cimcare.hub.config.configuration import (
    Configuration,
    ConfigurationError,
    OwnSubscription,
    apply,
    load,
    load_own,
    load_started,
)
from cimcare.hub.config.differences import Change, Difference, compare
from cimcare.hub.config.planning import Plan, plan
from cimcare.hub.config.rules_text import Rules, compare_rules, judge_rules, written_rules
from cimcare.hub.config.settings import Settings
from cimcare.hub.config.text import judge_text, written_configuration
from cimcare.hub.rest.inside import Inside

__all__ = [
    "InForcePage",
    "Line",
    "Proposal",
    "apply_configuration",
    "apply_rules",
    "propose_configuration",
    "propose_rules",
    "show_configuration",
    "show_rules",
]

_AROUND = 2
"""Lines that stay, shown around those that change."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the difference of two texts. `turn` is added, removed, kept, or gap for lines left out."""

    turn: str
    text: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A text and what it would change.

    `base` names the state that it was made from. `findings` say why it cannot be put in force. `changes` are those of
    rules, `plan` is that of partners and subscriptions.
    """

    text: str
    base: str
    findings: tuple[Finding, ...] = ()
    lines: tuple[Line, ...] = ()
    plan: Plan | None = None
    changes: tuple[Change, ...] = ()

    @property
    def is_change(self) -> bool:
        """Whether anything would change."""
        return not self.findings and bool(self.changes or (self.plan is not None and self.plan.differences))


class InForcePage(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force, as text. `base` names it.

    `restart` is what the file with which this process started would take back at the next start. `own` are
    subscriptions made by API.
    """

    text: str
    base: str
    configuration: Configuration | None = None
    restart: tuple[Difference, ...] = ()
    own: tuple[OwnSubscription, ...] = ()


# ------------------------------------------------------------------------------------- partners and subscriptions


async def show_configuration(inside: Inside) -> InForcePage:
    """Partners and subscriptions in force. Raises StoreError."""
    current = await load(inside.reader.records)
    return InForcePage(
        text=written_configuration(current),
        base=str(current.version),
        configuration=current,
        restart=compare(
            (current.partners, current.subscriptions), (inside.settings.partners, inside.settings.subscriptions)
        ),
        own=await load_own(inside.reader.records),
    )


async def propose_configuration(inside: Inside, text: str) -> Proposal:
    """What the text would change. Raises StoreError."""
    return (await _judge(inside.reader, text, inside.settings))[0]


async def _judge(reader: Reader | Transaction, text: str, settings: Settings) -> tuple[Proposal, Settings | None]:
    current = await load(reader.records)
    lines = _lines(written_configuration(current), text)
    proposal = Proposal(text=text, base=str(current.version), lines=lines)
    judged = await asyncio.to_thread(judge_text, text, current, settings)  # looks for files
    if judged.settings is None:
        return msgspec.structs.replace(proposal, findings=judged.findings), None
    try:
        made = plan(
            current,
            judged.settings,
            started=await load_started(reader.records),
            own=await load_own(reader.records),
            backlogs=await reader.outbox.backlogs(),
        )
    except ConfigurationError as error:
        return msgspec.structs.replace(proposal, findings=(error.finding,)), None
    return msgspec.structs.replace(proposal, plan=msgspec.structs.replace(made, restart=())), judged.settings


async def apply_configuration(inside: Inside, text: str, base: str, *, actor: str) -> Proposal | None:
    """Put the text in force, as `cimcare config apply` does; None if that was done, else why it was not.

    Raises:
        StoreError: It could not be stored.
    """
    async with inside.store.transaction() as transaction:
        proposal, wanted = await _judge(transaction, text, inside.settings)
        if wanted is None or proposal.base != base:
            return _unless_base(proposal, base)
        await apply(transaction, wanted, actor=actor, now=inside.clock())
    return None


def _unless_base(proposal: Proposal, base: str) -> Proposal:
    """The proposal, with what to say if it was made from another state."""
    if proposal.base == base or proposal.findings:
        return proposal
    found = finding_of(
        "SET-119",
        "/",
        f"made from {base[:12]}, and {proposal.base[:12]} is in force now",
        "another look at what it changes, which follows",
    )
    return msgspec.structs.replace(proposal, findings=(found,))


# --------------------------------------------------------------------------------------------------------- rules


async def show_rules(inside: Inside) -> InForcePage:
    """Rules in force. Raises StoreError."""
    text = written_rules(await load_rules(inside.reader.records))
    return InForcePage(text=text, base=_base_of(text))


async def propose_rules(inside: Inside, text: str) -> Proposal:
    """What the text would change. Raises StoreError."""
    return (await _judge_rules(inside.reader.records, text))[0]


async def _judge_rules(records: Records, text: str) -> tuple[Proposal, Rules | None]:
    before = await load_rules(records)
    now = written_rules(before)
    proposal = Proposal(text=text, base=_base_of(now), lines=_lines(now, text))
    wanted = judge_rules(text)
    if isinstance(wanted, Finding):
        return msgspec.structs.replace(proposal, findings=(wanted,)), None
    return msgspec.structs.replace(proposal, changes=compare_rules(before, wanted)), wanted


async def apply_rules(inside: Inside, text: str, base: str, *, actor: str) -> Proposal | None:
    """Put the rules in force, as `cimcare outages rules` and `etr-rules` do; None if done, else why it was not.

    Raises:
        StoreError: It could not be stored.
    """
    now = inside.clock()
    async with inside.store.transaction() as transaction:
        proposal, wanted = await _judge_rules(transaction.records, text)
        if wanted is None or proposal.base != base:
            return _unless_base(proposal, base)
        before = await load_rules(transaction.records)
        await put_grouping(transaction, wanted.grouping, actor=actor, now=now, new_id=inside.new_id)
        changes = {
            name: getattr(wanted.estimates, name)
            for name in wanted.estimates.__struct_fields__
            if getattr(wanted.estimates, name) != getattr(before.estimates, name)
        }
        if changes:
            await alter_estimates(transaction, changes, actor=actor, now=now)
    return None


def _base_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _lines(before: str, after: str) -> tuple[Line, ...]:
    """The difference of two texts, with a few lines around each change."""
    old, new = before.splitlines(), after.splitlines()
    found: list[Line] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_AROUND):
        if found:
            found.append(Line(turn="gap", text="…"))
        for tag, first, last, begin, end in group:
            if tag == "equal":
                found += [Line(turn="kept", text=line) for line in old[first:last]]
                continue
            found += [Line(turn="removed", text=line) for line in old[first:last]]
            found += [Line(turn="added", text=line) for line in new[begin:end]]
    return tuple(found)
