"""Agreements with their dates, consents, lists and receipts on every store; and that none of it walks a collection."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from cimcare.exchange.outbox import DeliveryKind, DeliverySelection
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Records, Served, Stored
from cimcare.exchange.store import Store
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.acts.acting import Acting
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.operation.auditing import verify
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAgreement,
    CustomerAgreements,
    ServiceLocation,
    ServiceSupplier,
)
from cimcare.model.envelope import Header, Payload, Request, RequestMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.model.payment import TransactionKind
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.systems.cis import SERVES, TICKS
from cimcare.systems.cis.consents import give
from cimcare.systems.cis.disclosure import Scope
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.point_of_sale import OpenShift, Paid, Sale, Sold, find_shift, list_receipts, open_shift, sell
from cimcare.systems.cis.reconciling import reconcile
from cimcare.systems.premises import ACCOUNTS, AccountRecord
from tests.support.stored import NOON

CA = Noun.CUSTOMER_AGREEMENTS
DAY = timedelta(days=1)
SOURCES = {Role.CIS: "CIS", Role.OMS: "OMS", Role.WMS: "WMS", Role.THIRD_PARTY: "TP"}
RETAIL = Partner(name="retail", url="http://retail.example/soap", source="RETAIL", third_party=True)
BILLING = Partner(name="billing", url="http://billing.example/soap", source="BILLING")
SUBSCRIPTIONS = tuple(Subscription(name=one, partner=one, filter=Filter()) for one in ("retail", "billing"))


class Scene:
    """A store, a retailer outside and billing inside, and what acts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ids = 0
        self.now = NOON
        setup = setup_of(SOURCES, (RETAIL, BILLING), SUBSCRIPTIONS)
        self.acting = Acting(store=store, setup=lambda: setup, clock=lambda: self.now, new_id=self.new_id)

    def new_id(self) -> str:
        self.ids += 1
        return f"00000000-0000-4000-9000-{self.ids:012}"

    async def ask(self, verb: Verb, *bodies: CustomerAgreement) -> Served:
        message = RequestMessage(
            header=Header(verb=verb, noun=CA, message_id=MessageID(self.new_id()), source="CLERK"),
            request=Request(),
            payload=Payload(content=(CustomerAgreements(customer_agreement=bodies),)),
        )
        served = await self.acting.act(
            Role.CIS,
            lambda context: SERVES[verb, CA](message, msgspec.structs.replace(context, header=message.header)),
        )
        assert served.result is Result.OK, served.findings
        return served

    async def tick(self) -> Served:
        (tick,) = [one for one in TICKS if one.__name__ == "keep_dates"]
        return await self.acting.act(Role.CIS, tick)

    async def told(self, partner: str) -> list[str]:
        wanted = DeliverySelection(partner=partner, limit=1000)
        found = await self.store.reader.outbox.select(wanted)
        assert all(one.kind is DeliveryKind.EVENT for one in found)
        return [one.verb for one in found]


def agreement(number: int, customer: int, **members: object) -> CustomerAgreement:
    body = CustomerAgreement(
        mrid=MRID(f"a-{number}"),
        comment="SECRET",
        customer=Customer(mrid=MRID(f"c-{customer}")),
        service_locations=(ServiceLocation(mrid=MRID(f"l-{number}")),),
        service_supplier=ServiceSupplier(mrid=MRID("s-1")),
    )
    return msgspec.structs.replace(body, **members)


async def consent(records: Records, customer: int) -> None:
    await give(
        records,
        customer=MRID(f"c-{customer}"),
        third_party="RETAIL",
        scopes=[Scope.AGREEMENT],
        from_at=NOON,
        until_at=None,
        now=NOON,
        said_by="x",
    )


async def test_a_switch_waits_is_made_and_told_to_each_as_far_as_it_may_see(store: Store) -> None:
    """Inside all of it, outside a copy; and the trail holds."""
    scene = Scene(store)
    async with store.transaction() as transaction:
        await consent(transaction.records, 1)
    await scene.ask(Verb.CREATE, agreement(1, 1), agreement(2, 2))
    switch = CustomerAgreement(
        mrid=MRID("a-1"),
        service_supplier=ServiceSupplier(mrid=MRID("s-2")),
        validity_interval=DateTimeInterval(start=NOON + DAY),
    )
    await scene.ask(Verb.CHANGE, switch)
    assert (await scene.tick()).ids == ()
    scene.now = NOON + DAY
    assert len((await scene.tick()).ids) == 2
    assert (await scene.tick()).ids == ()
    assert await scene.told("billing") == await scene.told("retail") == ["created", "closed", "created"]
    for one in await store.reader.outbox.select(DeliverySelection(partner="retail", limit=10)):
        assert b"SECRET" not in (await store.reader.log.find_raw(one.message) or b"SECRET")
    assert (await verify(store.reader)).is_whole


async def test_the_list_goes_through_all_pages(store: Store) -> None:
    """Over more consents than are read at once, and a customer with more agreements than a page."""
    owners = [0] * 7 + list(range(1, 121))
    async with store.transaction() as transaction:
        for customer in range(121):
            await consent(transaction.records, customer)
        for number, owner in enumerate(owners):
            body = agreement(number, owner)
            stored = Stored(
                mrid=MRID(f"a-{number}"),
                body=body,
                created_at=NOON,
                modified_at=NOON,
                state="active",
                keys=AGREEMENTS.own_keys(body),
            )
            await transaction.records.save(AGREEMENTS.collection, stored)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await reconcile(
            store.reader.records, "RETAIL", as_of=None, changed_since=None, after=after, limit=5, now=NOON
        )
        assert len(page.items) <= 5
        found += [one.mrid for one in page.items]
        after = page.after
    assert sorted(found) == sorted(f"a-{number}" for number in range(len(owners)))


async def test_receipts_are_kept_to_the_cent(store: Store) -> None:
    """Decimals come back as they went in, and the outbox has one event for each receipt."""
    scene = Scene(store)
    async with store.transaction() as transaction:
        account = AccountRecord(mrid=MRID("ac-1"), names=(), customer=MRID("c-1"), agreements=())
        await transaction.records.save(
            ACCOUNTS, Stored(mrid=account.mrid, body=account, created_at=NOON, modified_at=NOON)
        )
    opening = OpenShift(number="S-1", point_of_sale="KIOSK|7", cashier="Ada", currency="EUR")
    await scene.acting.act(Role.CIS, lambda context: open_shift(opening, context))
    for number in range(3):
        amount = Decimal("90071992547409930.01")
        asked = Sale(
            number=f"R-{number}",
            shift="S-1",
            account="ac-1",
            tenders=(Paid(amount=amount),),
            transactions=(Sold(kind=TransactionKind.accountPayment, amount=amount),),
        )
        for _ in range(2):

            def work(context: object, asked: Sale = asked) -> object:
                return sell(asked, context)  # type: ignore[arg-type]

            served = await scene.acting.act(Role.CIS, work)  # type: ignore[arg-type]
            assert served.result is Result.OK
    shift = await find_shift(store.reader.records, "S-1")
    assert shift is not None
    assert shift.totals.transactions == Decimal("270215977642229790.03")
    receipts = await list_receipts(store.reader.records, shift="S-1", after=("KIOSK|7", "R-0"), limit=10)
    assert [one.number for one in receipts or ()] == ["R-1", "R-2"]
    assert await scene.told("billing") == ["created"] * 3
    assert await scene.told("retail") == []
