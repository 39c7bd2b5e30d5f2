"""The plan: what changes, what waits for a restart, and what is worth a thought before."""

from datetime import UTC, datetime

from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Partner
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.configuration import Configuration, OwnSubscription
from cimcare.hub.config.differences import flat_settings
from cimcare.hub.config.planning import Plan, plan
from cimcare.hub.config.settings import Settings, read_settings

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
STARTED = flat_settings(Settings())
BILLING = "[partners.billing]\nkind = 'rest'\nurl = 'https://billing.example/in'\n"


def current(text: str) -> Configuration:
    settings = read_settings(text)
    return Configuration(version=4, partners=settings.partners, subscriptions=settings.subscriptions)


def own(name: str, *, to: str = "", url: str = "") -> OwnSubscription:
    return OwnSubscription(
        subscription=Subscription(name=name, partner=to or name),
        destination=Partner(name=name, url=url, source=name) if url else None,
        created_at=NOON,
        created_by="CRM",
    )


def backlog(partner: str) -> Backlog:
    return Backlog(partner=partner, waiting=12, awaiting=1, dead=2, oldest_at=NOON)


def told(made: Plan) -> list[str]:
    return [line for difference in made.differences for line in difference.describe().splitlines()]


def test_nothing_changes_if_nothing_differs() -> None:
    """A plan that is empty can be trusted to be empty."""
    assert plan(current(BILLING), read_settings(BILLING), started=STARTED, backlogs=[backlog("billing")]) == Plan(
        version=4
    )


def test_what_needs_a_restart_is_told_apart() -> None:
    """Or one would wait for a change that does not come."""
    wanted = read_settings("hub.queue_limit = 5\nsystems.oms.source = 'X'\nport = 9\n" + BILLING)
    made = plan(current(""), wanted, started=STARTED)
    assert told(made) == ['+ partner billing: kind = "rest", url = "https://billing.example/in", source = "billing"']
    assert [change.describe() for change in made.restart] == [
        "hub.queue_limit: 2000 -> 5",
        'systems.oms.source: "OMS" -> "X"',
    ]
    assert plan(current(""), wanted, started=STARTED, only="billing").restart == ()
    assert plan(current(""), wanted).restart == ()


def test_the_source_of_a_remote_role_needs_no_restart() -> None:
    """It is the partner's, and changes with it."""
    text = "[systems.third-party]\nurl = 'https://market.example'\n"
    made = plan(current(text), read_settings(text + "source = 'MARKET'"), started=STARTED)
    assert told(made) == ["~ role third-party", '    source: "THIRD-PARTY" -> "MARKET"']
    assert (made.restart, made.warnings) == ((), ())


def test_deliveries_of_a_removed_partner_are_pointed_out() -> None:
    """They stay; but nobody should think that they arrive."""
    made = plan(current(BILLING), read_settings(""), backlogs=[backlog("billing"), backlog("other")])
    assert told(made) == ["- partner billing"]
    assert made.warnings == (
        "billing is removed with deliveries that it has not got (12 waiting, 1 awaiting their reply, 2 dead letters):"
        " they stay, and go on when it is there again; if it never is, `cimcare deliveries abandon billing` makes dead"
        " letters of them",
    )


def test_deliveries_follow_a_partner_that_moves() -> None:
    """Right after a move to another address; worth a thought if it becomes another system."""
    moved = BILLING.replace("billing.example", "new.example")
    made = plan(current(BILLING), read_settings(moved), backlogs=[backlog("billing")])
    assert made.warnings == (
        "billing has deliveries that it has not got (12 waiting, 1 awaiting their reply, 2 dead letters):"
        " they go to where it is then",
    )
    assert plan(current(BILLING), read_settings(BILLING + "parallel = 9"), backlogs=[backlog("billing")]).warnings == ()


def test_a_subscription_of_the_name_of_a_partner_is_not_taken_for_it() -> None:
    """Its removal leaves the partner where it is."""
    text = BILLING + "[subscriptions.billing]\npartner = 'billing'\n"
    made = plan(current(text), read_settings(BILLING), backlogs=[backlog("billing")])
    assert told(made) == ["- subscription billing"]
    assert made.warnings == ()


def test_objects_that_are_not_handed_over_are_pointed_out() -> None:
    """Whoever asks the new owner for an old ticket gets none."""
    remote = "[systems.cis]\nurl = 'https://cis.example'\n"
    made = plan(current(remote), read_settings(remote + BILLING + "owns = ['CustomerAgreements']\n"))
    assert told(made) == [
        "~ role cis",
        '    owns: ["CustomerAgreements"] -> []',
        '+ partner billing: kind = "rest", url = "https://billing.example/in", source = "billing",'
        ' owns = ["CustomerAgreements"]',
    ]
    assert made.warnings == (
        "requests for CustomerAgreements go to billing, no more to the remote cis: objects that are there stay there,"
        " and are not handed over",
    )
    back = plan(current(remote), read_settings(""))
    assert "go to the built-in cis, no more to the remote cis" in back.warnings[0]


def test_clashes_with_subscriptions_by_api_are_pointed_out() -> None:
    """They are left alone by the file, which is no help to somebody who waits for events."""
    made = plan(
        current(BILLING),
        read_settings("[subscriptions.app]\nurl = 'https://file.example'\n"),
        own=[
            own("app", url="https://api.example"),
            own("b", to="billing"),
            own("c", url="https://c"),
            own("d", to="c"),
        ],
    )
    assert made.warnings == (
        "subscription app that CRM made by API has a destination of its own called app, as a partner of the file:"
        " it gets nothing while both are there",
        "subscription app is there twice, by the file and by API of CRM: both are served",
        "subscription b that CRM made by API leads to billing, which is not there: it gets nothing until it is",
    )


def test_a_later_reply_needs_an_address_that_the_running_hub_has() -> None:
    """The partner may change at once, the address of the hub at the next start alone."""
    text = "hub.address = 'https://hub.example'\n" + BILLING + "owns = ['Incidents']\nreplies = 'later'\n"
    wanted = read_settings(text)
    message = "billing replies later to hub.address, which a hub that runs takes over at its next start"
    assert message in plan(current(""), wanted, started=STARTED).warnings
    assert message not in plan(current(""), wanted, started=flat_settings(wanted)).warnings
    assert message not in plan(current(""), wanted).warnings


def test_a_partner_behind_a_broker_needs_one_that_the_running_hub_has() -> None:
    """The partner may change at once, a broker at the next start alone."""
    broker = "[brokers.main]\nurls = ['stomp://b']\ncontext = 'T'\n"
    partner = "[partners.billing]\nkind = 'jms'\nbroker = 'main'\ndestination = 'queue:B'\n"
    wanted = read_settings(f"{broker}{partner}owns = ['Incidents']\nreplies = 'later'\n", files=False)
    before = flat_settings(read_settings(""))
    message = "billing is behind broker main, which a hub that runs takes over at its next start"
    assert message in plan(Configuration(), wanted, started=before).warnings
    after = plan(Configuration(), wanted, started=flat_settings(wanted))
    assert not [told for told in after.warnings if "next start" in told]
