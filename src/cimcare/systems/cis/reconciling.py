"""The list by which a third party sees whether its copies are right: its agreements as of a date, and what changed.

The list follows the consents to it, customer by customer, so that a page costs the same however many agreements there
are. What the third party may see no more, and what was deleted, is named so that it can drop its copy. Bodies are those
of today: earlier versions are not kept.

Source: our own profile; IEC 61968-8:2015, 5.7, shows the periodic check by `get` (our reading).
"""

from collections.abc import AsyncIterator
from datetime import datetime
from hashlib import sha256

import msgspec

from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.identity import MRID, Name
from cimcare.model.values import Status
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.consents import ConsentRecord, find_consent, list_consents
from cimcare.systems.cis.directory import customers_of, keys_of_customers
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.links import LINKS
from cimcare.systems.cis.sight import Sight
from cimcare.systems.cis.switching import period_of

__all__ = ["GONE", "HIDDEN", "CursorError", "Listed", "ReconciliationPage", "digest_of", "reconcile"]

GONE = "deleted"
HIDDEN = "hidden"
"""States of what is named only so that a copy of it can be dropped."""

_CONSENTS_AT_ONCE = 100
_MOST_CONSENTS = 1000
"""Consents that are looked at for one page."""


class CursorError(ValueError):
    """A place in the list that no page has named."""


class Listed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An agreement of the list. `digest` is `digest_of` what is seen of it; without a body there is none."""

    mrid: str = msgspec.field(name="mRID")
    names: tuple[Name, ...] = ()
    state: str
    modified_at: datetime
    digest: str = ""
    agreement: CustomerAgreement | None = None

    def as_agreement(self) -> CustomerAgreement:
        """The agreement as far as it is seen; of one that is not, its identity and that state."""
        return self.agreement or CustomerAgreement(
            mrid=MRID(self.mrid), names=self.names, status=Status(value=self.state)
        )


class ReconciliationPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list, of all that was looked through; `after` asks for the next one, None on the last."""

    items: tuple[Listed, ...]
    after: str | None


def digest_of(agreement: CustomerAgreement) -> str:
    """Digest of an agreement as somebody sees it: SHA-256, in hexadecimal digits, of its JSON form with sorted keys.

    The time of the last modification does not count, since what was modified may be hidden.
    """
    bare = msgspec.structs.replace(agreement, last_modified_date_time=None)
    return sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()


async def reconcile(
    records: Records,
    third_party: str,
    *,
    as_of: datetime | None,
    changed_since: datetime | None,
    after: str,
    limit: int,
    now: datetime,
) -> ReconciliationPage:
    """A page of the agreements of a third party.

    Args:
        records: Agreements and consents.
        third_party: Header/Source.
        as_of: Those are listed that are valid at this instant; None lists them whatever their period.
        changed_since: Those are listed that were modified behind this instant, whatever their period, and what was
            deleted or hidden since; None lists all.
        after: Place as a page named it; empty for the first page.
        limit: Agreements of a page; those of the last customer that were deleted may come on top.
        now: Consents that hold now count.

    Raises:
        CursorError: `after` is no place of the list.
    """
    walk = _Walk(records, third_party, as_of, changed_since, limit, now)
    return await walk.run(await _place_of(records, third_party, after))


class _Walk:
    """One page."""

    def __init__(
        self,
        records: Records,
        third_party: str,
        as_of: datetime | None,
        changed_since: datetime | None,
        limit: int,
        now: datetime,
    ) -> None:
        self._records = records
        self._third_party = third_party
        self._as_of = as_of
        self._since = changed_since
        self._limit = limit
        self._now = now
        self._sight = Sight(records, third_party, now)
        self._items: list[Listed] = []

    async def run(self, place: "_Place") -> ReconciliationPage:
        """Consent by consent, from a place on."""
        looked = 0
        async for consent in self._consents(place):
            start = place.agreement if consent.customer == place.customer else None
            last = await self._customer(consent, start)
            looked += 1
            if last is not None or looked == _MOST_CONSENTS or len(self._items) >= self._limit:
                return self._page(_Place(consent.customer, last))
        return self._page(None)

    def _page(self, end: "_Place | None") -> ReconciliationPage:
        return ReconciliationPage(items=tuple(self._items), after=str(end) if end is not None else None)

    async def _consents(self, place: "_Place") -> AsyncIterator[ConsentRecord]:
        customer = place.customer
        if customer is not None and not place.is_behind:
            consent = await find_consent(self._records, customer, self._third_party)
            if consent is not None:
                yield consent
        while True:
            page = await list_consents(
                self._records, third_party=self._third_party, after=customer, limit=_CONSENTS_AT_ONCE
            )
            for consent in page:
                yield consent
            if len(page) < _CONSENTS_AT_ONCE:
                return
            customer = page[-1].customer

    async def _customer(self, consent: ConsentRecord, start: MRID | None) -> MRID | None:
        """Agreements of one customer; the last one that was looked at if the page is full before their end."""
        is_held = consent.holds_at(self._now)
        if not is_held and (self._since is None or not consent.ended_between(self._since, self._now)):
            return None
        keys = await keys_of_customers(self._records, (consent.customer,))
        wanted = Selection(keys=(keys,), after=start, limit=self._limit)
        while True:
            page = await self._records.select(AGREEMENTS.collection, wanted)
            for stored in page:
                # A number may be that of several customers, if nobody says which numbering it is of.
                if consent.customer not in await customers_of(self._records, stored.body.customer):
                    continue
                await (self._list(stored) if is_held else self._hide(stored))
                if len(self._items) >= self._limit:
                    return stored.mrid
            if len(page) < wanted.limit:
                break
            wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
        if self._since is not None:
            await self._list_gone(consent.customer, self._since)
        return None

    async def _list(self, stored: Stored[CustomerAgreement]) -> None:
        if self._since is not None:
            if stored.modified_at <= self._since:
                return
        elif stored.state == AgreementState.CANCELLED:
            return
        start, end = period_of(stored.body)
        if self._since is None and self._as_of is not None and not start <= self._as_of < end:
            return
        seen = await self._sight.agreement(stored.body)
        if seen is None:
            return
        self._items.append(
            Listed(
                mrid=stored.mrid,
                names=seen.names,
                state=stored.state,
                modified_at=stored.modified_at,
                digest=digest_of(seen),
                agreement=seen,
            )
        )

    async def _hide(self, stored: Stored[CustomerAgreement]) -> None:
        if await self._sight.agreement(stored.body) is None:
            self._items.append(Listed(mrid=stored.mrid, state=HIDDEN, modified_at=stored.modified_at))

    async def _list_gone(self, customer: MRID, since: datetime) -> None:
        for link in await self._records.find_by_key(LINKS, Key("customer", customer)):
            gone_at = link.body.gone_at
            if gone_at is not None and gone_at > since:
                self._items.append(Listed(mrid=link.mrid, names=link.body.names, state=GONE, modified_at=gone_at))


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: at a customer, of whom all was looked through, or an agreement of theirs."""

    customer: MRID | None = None
    agreement: MRID | None = None
    is_behind: bool = True

    def __str__(self) -> str:
        """As it is handed out."""
        return msgspec.json.encode((self.customer, self.agreement)).decode()


async def _place_of(records: Records, third_party: str, after: str) -> _Place:
    if not after:
        return _Place()
    try:
        customer, agreement = msgspec.json.decode(after, type=tuple[MRID, MRID | None])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CursorError(after) from error
    if await find_consent(records, customer, third_party) is None:
        raise CursorError(after)
    if agreement is not None and await records.find(AGREEMENTS.collection, agreement) is None:
        # It was deleted since: the customer's agreements are listed once more, rather than some of them never.
        return _Place(customer, None, False)
    return _Place(customer, agreement, agreement is None)
