"""Who looks, where somebody looks by himself: over REST, for which partner is said by a parameter.

A partner outside of the utility is shown what customers consent to; for all others, and where nobody is named, all is
shown. Who may reach the port at all is for the network to say: nobody's name is checked here.
"""

from collections.abc import Callable

import msgspec

from cimcare.errors import finding_of
from cimcare.exchange.ports import Clock, Stored
from cimcare.exchange.routing import Routes
from cimcare.exchange.store import Reader
from cimcare.hub.intake.builtin import Body
from cimcare.hub.intake.veiling import Viewer, viewer_of
from cimcare.hub.rest.filters import FilterError
from cimcare.hub.rest.queries import ObjectFilter, ObjectPage, Queries
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.nouns import Noun
from cimcare.systems.cis.sight import Sight, VeiledRecords

__all__ = ["Viewing"]

_OUR_RULE = "consents (our profile)"


class Viewing:
    """What each partner is shown.

    Args:
        reader: Where it is.
        routes: The partners in force.
        clock: Now.
    """

    def __init__(self, reader: Reader, routes: Callable[[], Routes], clock: Clock) -> None:
        self._reader = reader
        self._routes = routes
        self._clock = clock

    def third_party(self, name: str) -> str:
        """Header/Source of the partner of this name if it is outside of the utility, else nothing.

        Raises:
            FilterError: REF-103, there is no partner of this name.
        """
        if not name:
            return ""
        partner = self._routes().partner(name)
        if partner is None:
            raise FilterError(finding_of("REF-103", "?partner", f"no partner {name[:100]!r}", "name of a partner"))
        return self._routes().third_party(partner.source)

    def viewer(self, name: str) -> Viewer | None:
        """How a partner sees events; None if it sees them whole. Raises FilterError."""
        return self.viewer_under(self.third_party(name))

    def viewer_under(self, third_party: str) -> Viewer | None:
        """How who speaks under a Header/Source outside of the utility sees events; None where none is given."""
        return viewer_of(self._reader.records, third_party, self._clock) if third_party else None

    async def list_objects(self, noun: Noun, wanted: ObjectFilter) -> ObjectPage:
        """A page of objects as the partner that the filter names sees them. Raises FilterError."""
        third_party = self.third_party(wanted.partner)
        if not third_party:
            return await Queries(self._reader).list_objects(noun, wanted)
        _require_open(noun)
        if wanted.customer:
            found, accepted = "a filter by customer from a third party", "a filter by premises, name or state"
            raise FilterError(finding_of("BUS-163", "?customer", found, accepted, _OUR_RULE))
        page = await Queries(self._reader, self._veiled(third_party)).list_objects(noun, wanted)
        seen = [await self._seen(third_party, stored) for stored in page.items]
        return msgspec.structs.replace(page, items=tuple(stored for stored in seen if stored is not None))

    async def find_object(self, noun: Noun, mrid: str, name: str) -> Stored[Body] | None:
        """An object as a partner sees it; None if there is none for it. Raises FilterError."""
        third_party = self.third_party(name)
        if not third_party:
            return await Queries(self._reader).find_object(noun, mrid)
        _require_open(noun)
        stored = await Queries(self._reader, self._veiled(third_party)).find_object(noun, mrid)
        return None if stored is None else await self._seen(third_party, stored)

    def _veiled(self, third_party: str) -> VeiledRecords:
        return VeiledRecords(self._reader.records, third_party, self._clock())

    async def _seen(self, third_party: str, stored: Stored[Body]) -> Stored[Body] | None:
        assert isinstance(stored.body, CustomerAgreement)
        body = await Sight(self._reader.records, third_party, self._clock()).agreement(stored.body)
        return None if body is None else msgspec.structs.replace(stored, body=body)


def _require_open(noun: Noun) -> None:
    if noun is not Noun.CUSTOMER_AGREEMENTS:
        found = f"{noun} for a third party"
        raise FilterError(finding_of("BUS-163", "?partner", found, Noun.CUSTOMER_AGREEMENTS.value, _OUR_RULE))
