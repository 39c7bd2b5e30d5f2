"""Who owns a noun, who gets an event, and where a later reply may go."""

import pytest

from cimcare.exchange.facts import Facts
from cimcare.exchange.partners import Partner
from cimcare.exchange.routing import Routes
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb

LISTENS = {
    Role.CIS: frozenset({(Verb.CREATED, "TroubleTickets"), (Verb.CLOSED, "Incidents")}),
    Role.OMS: frozenset({(Verb.CHANGED, "ServiceOrders")}),
}
CREATED = Facts(verb=Verb.CREATED, noun="TroubleTickets", source="OMS", areas=frozenset({"northlake"}))


def a_partner(name: str, *, role: Role | None = None, owns: tuple[Noun, ...] = (), url: str = "") -> Partner:
    return Partner(name=name, url=url or f"http://{name}.example/soap", source=name.upper(), role=role, owns=owns)


def a_subscription(partner: str, wanted: Filter | None = None, name: str = "s") -> Subscription:
    return Subscription(name=name, partner=partner, filter=wanted or Filter())


def names(partners: tuple[Partner, ...]) -> list[str]:
    return [partner.name for partner in partners]


def test_partners_are_found_by_name_and_by_what_they_call_themselves() -> None:
    """A reply goes to the partner that asked, whichever address it came from."""
    crm, gis = a_partner("crm"), a_partner("gis")
    routes = Routes([crm, gis], [], {})
    assert routes.partners == (crm, gis)
    assert routes.partner("gis") is gis
    assert routes.partner("GIS") is None
    assert routes.by_source("GIS") is gis
    assert routes.by_source("gis") is None


def test_nobody_is_found_by_a_source_that_was_not_given() -> None:
    """A webhook has no Header/Source of its own; a message without one is not from it."""
    webhook = Partner(name="hook", url="http://hook.example/", source="")
    assert Routes([webhook], [], {}).by_source("") is None


def test_a_remote_system_owns_the_nouns_of_its_role() -> None:
    """One line of configuration replaces a whole built-in system."""
    oms = a_partner("oms", role=Role.OMS)
    routes = Routes([oms, a_partner("crm")], [], {})
    assert routes.owner_of("TroubleTickets") is oms
    assert routes.owner_of("TroubleTicket") is oms
    assert routes.owner_of("ServiceOrders") is None
    assert routes.owner_of("OperationSet") is None
    assert routes.remote_roles() == {Role.OMS}


def test_the_named_owner_of_a_noun_comes_before_who_plays_the_role() -> None:
    """Work requests in one system and service orders in another are one role, and two partners."""
    wms, mobile = a_partner("wms", role=Role.WMS), a_partner("mobile", owns=(Noun.SERVICE_ORDERS,))
    routes = Routes([wms, mobile], [], {})
    assert routes.owner_of("ServiceOrders") is mobile
    assert routes.owner_of("WorkRequests") is wms


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (a_partner("a"), "a and a have the name a"),
        (a_partner("b", role=Role.OMS), "a and b both play the role oms"),
        (a_partner("b", owns=(Noun.INCIDENTS,)), "a and b both own Incidents"),
    ],
)
def test_two_partners_for_one_place_do_not_construct(other: Partner, why: str) -> None:
    """Which of them would get a message must not depend on the order of a file."""
    with pytest.raises(ValueError, match=why):
        Routes([a_partner("a", role=Role.OMS, owns=(Noun.INCIDENTS,)), other], [], {})


def test_each_subscriber_gets_an_event_once() -> None:
    """Two subscriptions that overlap are no reason to tell somebody twice."""
    subscriptions = [
        a_subscription("crm", Filter(nouns=("TroubleTickets",))),
        a_subscription("crm", Filter(areas=("Northlake",))),
        a_subscription("gis", Filter(areas=("Southlake",))),
        a_subscription("gone"),
    ]
    routes = Routes([a_partner("crm"), a_partner("gis"), a_partner("mute")], subscriptions, LISTENS)
    assert names(routes.receivers(CREATED, sender="OMS")) == ["crm"]


def test_a_remote_system_hears_what_the_built_in_one_would_have_heard() -> None:
    """Nothing has to be subscribed to again when a role is handed over; more may be."""
    cis = a_partner("cis", role=Role.CIS)
    routes = Routes([cis], [a_subscription("cis", Filter(verbs=("deleted",)))], LISTENS)
    assert names(routes.receivers(CREATED, sender="OMS")) == ["cis"]
    assert not routes.receivers(Facts(verb=Verb.CHANGED, noun="Incidents", source=""), sender="OMS")
    assert names(routes.receivers(Facts(verb=Verb.DELETED, noun="Incidents", source=""), sender="OMS")) == ["cis"]
    within = Facts(verb=Verb.EXECUTED, noun="OperationSet", source="", operations=((Verb.CLOSED, "Incidents"),))
    assert names(routes.receivers(within, sender="OMS")) == ["cis"]


def test_a_role_that_listens_to_nothing_gets_nothing_unasked() -> None:
    """As its built-in counterpart."""
    routes = Routes([a_partner("retail", role=Role.THIRD_PARTY)], [], LISTENS)
    assert not routes.receivers(CREATED, sender="OMS")


def test_nobody_is_told_what_it_has_told_itself() -> None:
    """Two hubs that subscribe to each other would otherwise never come to rest."""
    twin = Partner(name="crm-2", url="http://other.example/", source="CRM")
    routes = Routes(
        [a_partner("crm"), twin, a_partner("gis")], [a_subscription(one) for one in ("crm", "crm-2", "gis")], {}
    )
    assert names(routes.receivers(CREATED, sender="CRM")) == ["gis"]
    assert names(routes.receivers(CREATED, sender="")) == ["crm", "crm-2", "gis"]


def test_a_sender_without_name_is_nobody_in_particular() -> None:
    """Subscribers without a Header/Source get events whose sender did not say who it is."""
    webhook = Partner(name="hook", url="http://hook.example/", source="")
    assert names(Routes([webhook], [a_subscription("hook")], {}).receivers(CREATED, sender="")) == ["hook"]


def test_whether_anybody_listens_is_known_without_looking_at_a_message() -> None:
    """A hub without partners does no work for them."""
    assert not Routes([], [], LISTENS).has_receivers
    assert not Routes([a_partner("crm")], [a_subscription("gone")], LISTENS).has_receivers
    assert Routes([a_partner("crm")], [a_subscription("crm")], LISTENS).has_receivers
    assert Routes([a_partner("oms", role=Role.OMS)], [], LISTENS).has_receivers


ROUTES = Routes([a_partner("crm"), a_partner("v6", url="https://[2001:db8::1]:8443/")], [], {})


@pytest.mark.parametrize(
    "address",
    [
        "http://crm.example/replies",
        "HTTPS://CRM.Example:8443/a@b?c",
        "http://crm.example./",
        "http://[2001:DB8::1]/",
        "http://desk.example:8080",
        "http://[::1]:9000/x",
    ],
)
def test_replies_go_to_hosts_of_partners_and_to_those_allowed(address: str) -> None:
    """The port and the path are the partner's own affair."""
    assert ROUTES.may_reply_to(address, ("Desk.example", "[::1]"))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "crm.example/replies",
        "ftp://crm.example/",
        "jms:queue:replies",
        "http://",
        "http:///replies",
        "http://evil.example/crm.example",
        "http://crm.example.evil.example/",
        "http://sub.crm.example/",
        "http://crm.example@evil.example/",
        "http://evil.example@crm.example/",
        "http://evil.example\\@crm.example/",
        "http://crm.example:port/",
        "http://crm.example:0/",
        "http://[::1",
        "http://crm.example/\r\nX-Evil: 1",
        " http://crm.example/",
    ],
)
def test_replies_go_nowhere_else(address: str) -> None:
    """Whoever can send a message could otherwise reach any service inside the hub's own network."""
    assert not ROUTES.may_reply_to(address, ("desk.example",))


def test_a_star_allows_every_host_and_still_no_other_scheme() -> None:
    """For networks in which all hosts are known to be friends."""
    assert ROUTES.may_reply_to("http://anybody.example/", ("*",))
    assert not ROUTES.may_reply_to("file:///etc/hosts", ("*",))
    assert ROUTES.may_reply_to(f"http://{'a' * 253}/", ("*",))
    assert not ROUTES.may_reply_to(f"http://{'a' * 254}/", ("*",))


def test_a_host_that_folds_to_an_allowed_one_is_another_host() -> None:
    """`faß.example` and `fass.example` are two entries in the name service."""
    assert not ROUTES.may_reply_to("http://faß.example/", ("fass.example",))
