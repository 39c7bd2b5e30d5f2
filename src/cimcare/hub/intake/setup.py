"""Who plays which role now: built-in systems and partners, as one value that is replaced as a whole."""

from collections.abc import Iterable, Mapping

import msgspec

from cimcare.exchange.dispatch import Dispatcher, System
from cimcare.exchange.partners import Partner
from cimcare.exchange.routing import Routes
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.intake.builtin import SYSTEMS
from cimcare.model.nouns import Role

__all__ = ["Setup", "setup_of"]

_LISTENS = {system.role: frozenset((verb, noun.value) for verb, noun in system.listens) for system in SYSTEMS}


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves, who listens, and under which Header/Source each role speaks."""

    routes: Routes
    dispatcher: Dispatcher
    sources: Mapping[Role, str]

    @property
    def own_sources(self) -> frozenset[str]:
        """Header/Source of the systems that are built in."""
        return frozenset(source for role, source in self.sources.items() if role not in self.routes.remote_roles())


def setup_of(
    sources: Mapping[Role, str], partners: Iterable[Partner], subscriptions: Iterable[Subscription] = ()
) -> Setup:
    """The set-up in which partners with a role take the place of the built-in system of that role.

    Args:
        sources: Header/Source of each role as far as it is built in.
        partners: All partners.
        subscriptions: All subscriptions.
    """
    routes = Routes(tuple(partners), tuple(subscriptions), _LISTENS)
    remote = routes.remote_roles()
    return Setup(
        routes=routes,
        dispatcher=Dispatcher(_without(SYSTEMS, remote)),
        sources={**sources, **{one.role: one.source for one in partners if one.role is not None}},
    )


def _without(systems: Iterable[System], roles: frozenset[Role]) -> list[System]:
    return [system for system in systems if system.role not in roles]
