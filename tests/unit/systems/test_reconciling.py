"""The list for reconciliation: complete, bounded, comparable, and no more than may be seen."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.ports import Stored
from cimcare.model.customer_agreement import Customer, CustomerAgreement, ServiceLocation
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState
from cimcare.store.memory import MemoryRecords
from cimcare.systems.cis.consents import give, withdraw
from cimcare.systems.cis.disclosure import Scope
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.reconciling import CursorError, Listed, digest_of, reconcile
from tests.unit.systems.utility import MONDAY, Utility, ids_of, mrid, names

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)


def agreement(number: int, customer: str, **members: object) -> CustomerAgreement:
    body = CustomerAgreement(
        mrid=mrid(f"a-{number}"),
        comment="hidden",
        customer=Customer(mrid=mrid(customer)),
        names=names(f"AG-{number}", scheme="AgreementNumber"),
        service_locations=(ServiceLocation(mrid=mrid(f"l-{number}")),),
        validity_interval=DateTimeInterval(start=MONDAY - 10 * DAY),
    )
    return msgspec.structs.replace(body, **members)


async def consent(records: object, customer: str, until_at: datetime | None = None) -> None:
    await give(
        records,  # type: ignore[arg-type]
        customer=mrid(customer),
        third_party="RETAIL",
        scopes=[Scope.AGREEMENT],
        from_at=MONDAY - 10 * DAY,
        until_at=until_at,
        now=MONDAY,
        said_by="x",
    )


async def listed(
    records: object,
    now: datetime = MONDAY,
    as_of: datetime | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[Listed]:
    """All pages, one behind the other."""
    items: list[Listed] = []
    after = ""
    while True:
        page = await reconcile(
            records,  # type: ignore[arg-type]
            "RETAIL",
            as_of=as_of,
            changed_since=since,
            after=after,
            limit=limit,
            now=now,
        )
        items.extend(page.items)
        if page.after is None:
            return items
        assert page.after != after
        after = page.after


def seen(items: list[Listed]) -> list[tuple[str, str]]:
    return [(one.mrid, one.state) for one in items]


async def test_lists_what_is_seen_as_it_is_seen() -> None:
    """The copy that a third party was sent can be compared with it, member by member or by digest."""
    utility = Utility()
    await consent(utility.records, "c-1")
    await utility.ask(Verb.CREATE, CA, agreement(1, "c-1"), agreement(2, "c-2"))
    (one,) = await listed(utility.records)
    assert one.agreement is not None
    assert (one.mrid, one.state, one.agreement.comment) == ("a-1", "active", None)
    assert one.digest == digest_of(one.agreement)
    await utility.ask(Verb.CHANGE, CA, CustomerAgreement(mrid=mrid("a-1"), comment="other hidden thing"))
    assert (await listed(utility.records))[0].digest == one.digest
    await utility.ask(Verb.CHANGE, CA, CustomerAgreement(mrid=mrid("a-1"), revision_number="2"))
    assert (await listed(utility.records))[0].digest != one.digest


async def test_as_of_a_date_lists_what_is_valid_then() -> None:
    """Both sides of a switch are right, each on its day."""
    utility = Utility()
    await consent(utility.records, "c-1")
    from cimcare.model.customer_agreement import ServiceSupplier

    first = agreement(1, "c-1", service_supplier=ServiceSupplier(mrid=mrid("s-1")))
    await utility.ask(Verb.CREATE, CA, first)
    april = MONDAY + 30 * DAY
    switch = CustomerAgreement(
        mrid=mrid("a-1"),
        service_supplier=ServiceSupplier(mrid=mrid("s-2")),
        validity_interval=DateTimeInterval(start=april),
    )
    new = ids_of(await utility.ask(Verb.CHANGE, CA, switch))[1]
    before = await listed(utility.records, as_of=april - timedelta(seconds=1))
    assert seen(before) == [("a-1", "active")]
    assert seen(await listed(utility.records, as_of=april)) == [(new, "proposed")]
    assert len(await listed(utility.records)) == 2


async def test_what_changed_since_names_what_is_gone_and_what_is_hidden() -> None:
    """Or a copy of it would be kept for ever."""
    utility = Utility()
    for number in range(1, 6):
        await consent(utility.records, f"c-{number}", until_at=MONDAY + 2 * DAY if number == 4 else None)
        await utility.ask(Verb.CREATE, CA, agreement(number, f"c-{number}"))
    since = utility.now
    utility.pass_time(days=1)
    await utility.ask(Verb.CLOSE, CA, ids=("a-1",))
    await utility.ask(Verb.CLOSE, CA, ids=("a-2",))
    await utility.ask(Verb.DELETE, CA, ids=("a-2",))
    await withdraw(utility.records, customer=mrid("c-3"), third_party="RETAIL", now=utility.now, said_by="x")
    utility.pass_time(days=1)
    items = await listed(utility.records, utility.now, since=since)
    assert seen(items) == [("a-1", "ended"), ("a-2", "deleted"), ("a-3", "hidden"), ("a-4", "hidden")]
    assert [one.agreement is None for one in items] == [False, True, True, True]
    assert await listed(utility.records, utility.now, since=utility.now) == []


async def test_somebody_without_consents_has_an_empty_list() -> None:
    """However many agreements there are."""
    utility = Utility()
    await utility.ask(Verb.CREATE, CA, agreement(1, "c-1"))
    assert await listed(utility.records) == []


async def test_a_place_that_no_page_named_is_refused() -> None:
    """Neither text that is none, nor a customer who has not consented."""
    records = Utility().records
    for after in ("x", "[1]", '["c-1",null]'):
        with pytest.raises(CursorError):
            await reconcile(records, "RETAIL", as_of=None, changed_since=None, after=after, limit=1, now=MONDAY)


async def test_an_agreement_that_is_deleted_between_two_pages_costs_none_of_the_others() -> None:
    """The place is gone, and the list goes on all the same."""
    utility = Utility()
    await consent(utility.records, "c-1")
    await utility.ask(Verb.CREATE, CA, *(agreement(number, "c-1") for number in range(1, 5)))
    arguments = {"as_of": None, "changed_since": None, "limit": 2, "now": MONDAY}
    first = await reconcile(utility.records, "RETAIL", after="", **arguments)  # type: ignore[arg-type]
    await utility.ask(Verb.CLOSE, CA, ids=("a-2",))
    await utility.ask(Verb.DELETE, CA, ids=("a-2",))
    found = {one.mrid for one in first.items}
    after = first.after
    while after is not None:
        page = await reconcile(utility.records, "RETAIL", after=after, **arguments)  # type: ignore[arg-type]
        found |= {one.mrid for one in page.items}
        after = page.after
    assert found == {"a-1", "a-2", "a-3", "a-4"}


@given(
    owners=st.lists(st.integers(0, 5), max_size=25),
    consenting=st.sets(st.integers(0, 5)),
    limit=st.integers(1, 7),
)
async def test_pages_of_any_size_list_each_agreement_once(owners: list[int], consenting: set[int], limit: int) -> None:
    """Neither a landlord with twenty agreements nor a customer without any upsets it."""
    records = MemoryRecords()
    for customer in sorted(consenting):
        await consent(records, f"c-{customer}")
    for number, owner in enumerate(owners):
        body = agreement(number, f"c-{owner}")
        stored = Stored(
            mrid=mrid(f"a-{number}"),
            body=body,
            created_at=MONDAY,
            modified_at=MONDAY,
            state=AgreementState.ACTIVE,
            keys=AGREEMENTS.own_keys(body),
        )
        await records.save(AGREEMENTS.collection, stored)
    found = [one.mrid for one in await listed(records, limit=limit)]
    wanted = {f"a-{number}" for number, owner in enumerate(owners) if owner in consenting}
    assert len(found) == len(set(found))
    assert set(found) == wanted
