"""Consents: what a customer lets a third party see and do, from when, and until when.

There is one record for each customer and third party; the latest word holds, and every word is in the audit trail or in
the message that said it. A third party is known by the Header/Source under which it speaks.

By message a consent is a side agreement of the customer's agreement: an AuxiliaryAgreement with the third party as name
of the type `ThirdParty` and a subType such as `consent agreement contact until 2027-01-01`. That is our convention: the
CIM has no class for consents.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.customer_agreement import AuxiliaryAgreementIdentity, CustomerAgreement
from cimcare.model.identity import MRID
from cimcare.systems.cis.directory import customers_of
from cimcare.systems.cis.disclosure import Scope
from cimcare.systems.identity import labels_of

__all__ = [
    "CONSENTS",
    "GRAMMAR",
    "NAME_TYPE",
    "ConsentRecord",
    "Spoken",
    "find_consent",
    "give",
    "list_consents",
    "scopes_of",
    "spoken_in",
    "withdraw",
]

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

NAME_TYPE = "ThirdParty"
"""Type of the name of a side agreement that says to whom a consent is given."""

GRAMMAR = (
    "consent, then scopes out of " + ", ".join(Scope) + ", then if wanted from and until with a date or an instant;"
    " or consent withdrawn"
)
"""What the subType of a side agreement about a consent is made of."""


class ConsentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A consent of a customer. It holds from `from_at` on, before `until_at`, and not once it was withdrawn.

    `said_by` gave or withdrew it last, at `said_at`.
    """

    customer: MRID
    third_party: str
    scopes: tuple[Scope, ...]
    from_at: datetime
    until_at: datetime | None = None
    withdrawn_at: datetime | None = None
    said_at: datetime
    said_by: str

    def holds_at(self, instant: datetime) -> bool:
        """Whether the third party may rely on it at an instant."""
        return (
            self.from_at <= instant
            and (self.until_at is None or instant < self.until_at)
            and (self.withdrawn_at is None or instant < self.withdrawn_at)
        )

    def ended_between(self, after: datetime, instant: datetime) -> bool:
        """Whether it held after one instant, or might have, and does no more at the other."""
        ends = [end for end in (self.until_at, self.withdrawn_at) if end is not None]
        return bool(ends) and after < min(ends) <= instant


CONSENTS: Collection[ConsentRecord] = Collection("cis.Consents", ConsentRecord)


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """A consent as a side agreement says it: to whom, and what; no scopes if it is withdrawn."""

    third_party: str
    scopes: tuple[Scope, ...]
    from_at: datetime | None = None
    until_at: datetime | None = None


async def give(
    records: Records,
    *,
    customer: MRID,
    third_party: str,
    scopes: Iterable[Scope],
    from_at: datetime,
    until_at: datetime | None,
    now: datetime,
    said_by: str,
) -> ConsentRecord:
    """Keep a consent in the place of what the customer said to this third party before."""
    record = ConsentRecord(
        customer=customer,
        third_party=third_party,
        scopes=tuple(scope for scope in Scope if scope in frozenset(scopes)),
        from_at=from_at,
        until_at=until_at,
        said_at=now,
        said_by=said_by,
    )
    await _save(records, record, now)
    return record


async def withdraw(
    records: Records, *, customer: MRID, third_party: str, now: datetime, said_by: str
) -> ConsentRecord | None:
    """Let a consent hold no longer; None if there is none that does. What was sent before cannot be called back."""
    before = await find_consent(records, customer, third_party)
    if before is None or before.withdrawn_at is not None:
        return None
    record = msgspec.structs.replace(before, withdrawn_at=now, said_at=now, said_by=said_by)
    await _save(records, record, now)
    return record


async def find_consent(records: Records, customer: MRID, third_party: str) -> ConsentRecord | None:
    """What a customer said to a third party last; None if nothing."""
    stored = await records.find(CONSENTS, _mrid_of(customer, third_party))
    return stored.body if stored is not None else None


async def list_consents(
    records: Records, *, third_party: str = "", customer: MRID | None = None, after: MRID | None = None, limit: int
) -> tuple[ConsentRecord, ...]:
    """Consents to a third party, or of a customer, or all; in the order in which they were given first.

    `after` is the customer of the last one of the page before, and goes with a third party.
    """
    keys = []
    if third_party:
        keys.append((Key("third-party", third_party),))
    if customer:
        keys.append((Key("customer", customer),))
    behind = _mrid_of(after, third_party) if after else None
    found = await records.select(CONSENTS, Selection(keys=tuple(keys), after=behind, limit=limit))
    return tuple(stored.body for stored in found)


async def scopes_of(
    records: Records, agreement: CustomerAgreement, third_party: str, now: datetime
) -> frozenset[Scope]:
    """What a third party may see and do about an agreement: what all customers meant by it consent to."""
    scopes: set[Scope] = set()
    for customer in await customers_of(records, agreement.customer):
        consent = await find_consent(records, customer, third_party)
        if consent is not None and consent.holds_at(now):
            scopes |= set(consent.scopes)
    return frozenset(scopes)


def spoken_in(side: AuxiliaryAgreementIdentity) -> Spoken | str | None:
    """The consent that a side agreement says; None if it is about something else, a text if it cannot be read."""
    words = (side.sub_type or "").split()
    if not words or words[0] != "consent":
        return None
    parties = [label.name for label in labels_of(side) if label.type == NAME_TYPE]
    if len(parties) != 1:
        return f"{len(parties)} names of the type {NAME_TYPE}"
    if words[1:] == ["withdrawn"]:
        return Spoken(third_party=parties[0], scopes=())
    scopes: list[Scope] = []
    bounds: dict[str, datetime] = {}
    rest = iter(words[1:])
    for word in rest:
        if word in frozenset(Scope):
            scopes.append(Scope(word))
            continue
        instant = _instant(next(rest, "")) if word in ("from", "until") and word not in bounds else None
        if instant is None:
            return f"{side.sub_type!r}"
        bounds[word] = instant
    if not scopes or bounds.get("until", datetime.max.replace(tzinfo=UTC)) <= bounds.get("from", _LONG_AGO):
        return f"{side.sub_type!r}"
    return Spoken(
        third_party=parties[0], scopes=tuple(scopes), from_at=bounds.get("from"), until_at=bounds.get("until")
    )


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


async def _save(records: Records, record: ConsentRecord, now: datetime) -> None:
    mrid = _mrid_of(record.customer, record.third_party)
    before = await records.find(CONSENTS, mrid)
    stored = Stored(
        mrid=mrid,
        body=record,
        created_at=before.created_at if before is not None else now,
        modified_at=now,
        keys=frozenset({Key("customer", record.customer), Key("third-party", record.third_party)}),
    )
    await records.save(CONSENTS, stored)


def _mrid_of(customer: MRID, third_party: str) -> MRID:
    # A bar inside of the name must not look like the one behind it; the customer comes last and needs no care.
    return MRID(f"{third_party.replace('|', '%7C')}|{customer}")
