"""The configuration in force: applied as a whole or in part, with its trail, and the same for all processes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.audit import Action
from cimcare.exchange.outbox import DeliveryKind, DeliverySelection, NewDelivery
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Stored
from cimcare.exchange.store import Store
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.config.configuration import (
    SUBSCRIPTIONS,
    Configuration,
    ConfigurationError,
    InForce,
    OwnSubscription,
    adopt,
    apply,
    in_force,
    load,
    load_started,
    merge,
)
from cimcare.hub.config.settings import Settings, read_settings
from cimcare.model.identity import MRID
from cimcare.store.opening import open_store

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
OMS = "[systems.oms]\nurl = 'https://oms.example/soap'\n"
BILLING = (
    "[partners.billing]\nkind = 'rest'\nurl = 'https://billing.example/in?key=secret'\nowns = ['CustomerAgreements']\n"
)
GIS = "[subscriptions.gis]\npartner = 'billing'\nnouns = ['Incidents']\n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    yield store
    await store.close()


async def apply_text(
    store: Store, text: str, *, only: str | None = None, now: datetime = NOON, actor: str = "ann"
) -> Configuration:
    async with store.transaction() as transaction:
        return await apply(transaction, read_settings(text), only=only, actor=actor, now=now)


async def trail(store: Store) -> list[tuple[Action, str, str, str]]:
    rows = await store.reader.audit.rows()
    return [(row.action, row.actor, row.subject, row.details) for row in rows]


async def save_own(store: Store, name: str, url: str | None, *, partner: str = "") -> OwnSubscription:
    own = OwnSubscription(
        subscription=Subscription(name=name, partner=partner or name),
        destination=None if url is None else Partner(name=name, url=url, source=name),
        created_at=NOON,
        created_by="CRM",
    )
    async with store.transaction() as transaction:
        stored = Stored(mrid=MRID(name), body=own, created_at=NOON, modified_at=NOON)
        await transaction.records.save(SUBSCRIPTIONS, stored)
    return own


async def test_nothing_is_in_force_before_anything_was_applied(store: Store) -> None:
    """A plain installation has no partners, and no row that says so."""
    assert await load(store.reader.records) == Configuration()
    assert await in_force(store.reader.records) == InForce()
    assert await load_started(store.reader.records) is None
    assert await adopt(store, Settings(), NOON) == Configuration()
    assert await trail(store) == []


async def test_a_change_is_kept_whole_with_its_row_in_the_trail(store: Store) -> None:
    """Who did what, when; and what may be a password is in no trail."""
    applied = await apply_text(store, OMS + BILLING + GIS)
    settings = read_settings(OMS + BILLING + GIS)
    assert applied == Configuration(
        version=1, applied_at=NOON, actor="ann", partners=settings.partners, subscriptions=settings.subscriptions
    )
    assert await load(store.reader.records) == applied
    assert await trail(store) == [
        (
            Action.CONFIGURE,
            "ann",
            "configuration 1",
            '+ role oms: url = "https://oms.example/soap", source = "OMS", owns = ["TroubleTickets", "Incidents"]\n'
            '+ partner billing: kind = "rest", url = "https://billing.example/in?...", source = "billing",'
            ' owns = ["CustomerAgreements"]\n'
            '+ subscription gis: partner = "billing", nouns = ["Incidents"]',
        )
    ]


async def test_applying_the_same_again_writes_nothing(store: Store) -> None:
    """A timer that applies the file every hour leaves no noise."""
    first = await apply_text(store, OMS + BILLING)
    again = await apply_text(store, BILLING + OMS, now=NOON + timedelta(hours=1), actor="bob")
    assert again == first
    assert len(await trail(store)) == 1


async def test_each_change_is_told_key_by_key(store: Store) -> None:
    """The trail answers what was changed, not only that something was."""
    await apply_text(store, OMS + BILLING + GIS)
    text = OMS + "retry_hours = 48\n" + BILLING.replace("secret", "other")
    applied = await apply_text(store, text, now=NOON + timedelta(hours=1), actor="bob")
    assert (applied.version, applied.actor, applied.applied_at) == (2, "bob", NOON + timedelta(hours=1))
    assert (await trail(store))[1][3] == (
        "~ role oms\n    retry_hours: 24 -> 48\n"
        '~ partner billing\n    url: "https://billing.example/in?..." -> "https://billing.example/in?..."'
        " (differs in what is not shown)\n"
        "- subscription gis"
    )


async def test_a_change_that_fails_leaves_all_as_it_was(store: Store) -> None:
    """Configuration and trail are of one transaction."""
    first = await apply_text(store, OMS)
    with pytest.raises(RuntimeError, match="after"):
        async with store.transaction() as transaction:
            await apply(transaction, read_settings(BILLING), actor="ann", now=NOON)
            raise RuntimeError("after")
    assert await load(store.reader.records) == first
    assert len(await trail(store)) == 1


async def test_one_partner_is_added_changed_and_removed_alone(store: Store) -> None:
    """The others stay as they are in force, whatever the file says of them; its subscriptions go with it."""
    await apply_text(store, OMS)
    wanted = OMS.replace("oms.example", "other.example") + BILLING + GIS
    added = await apply_text(store, wanted, only="billing")
    assert [partner.url for partner in added.partners] == [
        "https://oms.example/soap",
        "https://billing.example/in?key=secret",
    ]
    assert [one.name for one in added.subscriptions] == ["gis"]
    changed = await apply_text(
        store, wanted.replace("Incidents", "TroubleTickets") + "areas = ['North']\n", only="billing"
    )
    assert [one.filter for one in changed.subscriptions] == [Filter(nouns=("TroubleTickets",), areas=("North",))]
    moved = await apply_text(store, wanted, only="oms")
    assert [partner.url for partner in moved.partners] == [
        "https://other.example/soap",
        "https://billing.example/in?key=secret",
    ]
    assert moved.subscriptions == changed.subscriptions
    removed = await apply_text(store, "", only="billing")
    assert [partner.name for partner in removed.partners] == ["oms"]
    assert removed.subscriptions == ()


@pytest.mark.parametrize(
    ("before", "wanted", "only", "message"),
    [
        ("", BILLING, "biling", "SET-110 no partner 'biling'; one of billing"),
        ("", "", "x", "SET-110 no partner 'x'; a partner of the file or of what is in force"),
        (
            "[systems.cis]\nurl='http://c'\n",
            "[systems.cis]\nurl='http://c'\n" + BILLING,
            "billing",
            "SET-117 billing cannot be changed alone: of billing, CustomerAgreements, which cis owns",
        ),
        (
            "[systems.cis]\nurl='http://c'\n" + BILLING,
            "[systems.cis]\nurl='http://c'\n",
            "billing",
            "SET-117 billing cannot be changed alone: of cis, no owner of CustomerAgreements; a change of all",
        ),
        (
            "[partners.b]\nurl='http://b'\n" + BILLING + "[subscriptions.s]\nurl='http://s'\n",
            "[partners.b]\nurl='http://b'\nsource='billing'\n" + BILLING + "source='x'\n",
            "b",
            "SET-117 b cannot be changed alone: of billing, source 'billing', which is that of b",
        ),
    ],
)
async def test_what_cannot_be_changed_alone_is_refused(
    store: Store, before: str, wanted: str, only: str, message: str
) -> None:
    """Half of a change that belongs together would leave a noun with two owners, or none."""
    first = await apply_text(store, before)
    with pytest.raises(ConfigurationError) as caught:
        await apply_text(store, wanted, only=only)
    assert message in str(caught.value)
    assert caught.value.code == caught.value.finding.code
    assert await load(store.reader.records) == first


async def test_settings_made_in_a_program_are_held_to_the_same(store: Store) -> None:
    """They were never in a file that could be checked."""
    settings = Settings(partners=(Partner(name="a", url="http://a", source="OMS"),))
    with pytest.raises(ConfigurationError, match=r"a\.source: SET-109 source 'OMS', which is that of the built-in"):
        await adopt(store, settings, NOON)
    assert await load(store.reader.records) == Configuration()


async def test_the_start_puts_the_file_in_force(store: Store) -> None:
    """One line in the file and a restart is all it takes; and the trail knows with which settings it was."""
    settings = read_settings(OMS + "[hub]\ncontext = 'TESTING'\n")
    configuration = await adopt(store, settings, NOON)
    assert (configuration.version, configuration.actor) == (1, "start")
    assert configuration.partners == settings.partners
    assert [row[:3] for row in await trail(store)] == [
        (Action.CONFIGURE, "start", "configuration 1"),
        (Action.CONFIGURE, "start", "settings"),
    ]
    assert (await trail(store))[1][3] == 'hub.context: "" -> "TESTING"'


async def test_the_next_start_tells_only_what_differs(store: Store) -> None:
    """Several processes with one file start as one; what each may have for itself counts for none."""
    settings = read_settings("hub.queue_limit = 5")
    await adopt(store, settings, NOON)
    for own in ({"port": 1}, {"host": "::"}, {"database": "sqlite:///other.db"}):
        await adopt(store, msgspec.structs.replace(settings, **own), NOON)
    assert len(await trail(store)) == 1
    await adopt(store, read_settings("hub.queue_limit = 6"), NOON)
    assert [row[3] for row in await trail(store)] == ["hub.queue_limit: 2000 -> 5", "hub.queue_limit: 5 -> 6"]
    started = await load_started(store.reader.records)
    assert started is not None
    assert started["hub.queue_limit"] == "6"
    assert "database" not in started


async def test_what_is_to_be_delivered_is_untouched_by_any_change(store: Store) -> None:
    """A partner may be away from the file for a day, and its deliveries wait."""
    await apply_text(store, BILLING + GIS)
    async with store.transaction() as transaction:
        await transaction.outbox.enqueue(
            NewDelivery(
                message=1,
                cause=1,
                partner="billing",
                kind=DeliveryKind.EVENT,
                object_keys=("a",),
                verb="created",
                noun="Incidents",
                message_id="m",
                created_at=NOON,
            )
        )
    before = await store.reader.outbox.select(DeliverySelection())
    await apply_text(store, "")
    await apply_text(store, OMS)
    assert await store.reader.outbox.select(DeliverySelection()) == before
    assert len(before) == 1


async def test_subscriptions_by_api_stand_beside_the_file(store: Store) -> None:
    """Applying the file leaves them alone."""
    own = await save_own(store, "app", "https://app.example")
    second = await save_own(store, "second", None, partner="billing")
    applied = await apply_text(store, BILLING + GIS)
    assert own.destination is not None
    assert await in_force(store.reader.records) == InForce(
        partners=(*applied.partners, own.destination),
        subscriptions=(*applied.subscriptions, own.subscription, second.subscription),
    )


def test_the_file_wins_a_name_and_nobody_gets_events_of_another() -> None:
    """A destination by API whose name becomes that of a partner is left out, together with its subscription."""

    def own(url: str, name: str = "app") -> OwnSubscription:
        return OwnSubscription(
            subscription=Subscription(name=name, partner="app"),
            destination=Partner(name="app", url=url, source="app"),
            created_at=NOON,
            created_by="CRM",
        )

    file = Partner(name="app", url="https://file.example", source="app")
    assert merge(Configuration(partners=(file,)), [own("https://api.example")]) == InForce(partners=(file,))
    shared = merge(Configuration(), [own("http://a"), own("http://a", "more"), own("http://b", "other")])
    assert [partner.url for partner in shared.partners] == ["http://a"]
    assert [one.name for one in shared.subscriptions] == ["app", "more"]
