"""The part of the REST interface that is for brokers: connections and consumers, as each process sees them."""

from collections.abc import Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.exchange.ports import Clock
from cimcare.exchange.store import Reader
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.operation.broker_states import SeenBroker, list_brokers
from cimcare.hub.rest.answering import json_answer
from cimcare.hub.rest.filters import read_no_filters

__all__ = ["BrokerPages"]


class BrokerPages:
    """Handlers of the routes.

    Args:
        reader: Where other processes write what they see.
        states: What this one sees now.
        process: Name of this one.
        clock: Now.
    """

    def __init__(
        self, reader: Reader, states: Callable[[], Collection[BrokerState]], process: str, clock: Clock
    ) -> None:
        self._reader = reader
        self._states = states
        self._process = process
        self._clock = clock

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [Route("/api/v1/brokers", self.list_brokers)]

    async def list_brokers(self, request: Request) -> Response:
        """All brokers: what this process sees now, and what others saw last."""
        read_no_filters(request.query_params.multi_items())
        now = self._clock()
        own = [SeenBroker(process=self._process, seen_at=now, broker=state) for state in self._states()]
        others = [one for one in await list_brokers(self._reader.records) if one.process != self._process]
        return json_answer({"items": sorted((*own, *others), key=lambda one: (one.broker.name, one.process))})
