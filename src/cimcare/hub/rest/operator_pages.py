"""The part of the REST interface that is for operators and auditors: deliveries, partners, ledger, audit trail.

It only reads: nobody is authenticated yet, so nothing is halted, sent again or discarded here.
"""

from collections.abc import Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import finding_of
from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Reader
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.hours import page_of_hours
from cimcare.hub.operation.trail import TrailError, list_rows
from cimcare.hub.outgoing.destinations import list_destinations
from cimcare.hub.outgoing.exchanged import find_exchanged
from cimcare.hub.rest.answering import json_answer, next_address, number_of, problem
from cimcare.hub.rest.filters import read_audit_filters, read_delivery_filters, read_ledger_filters, read_no_filters
from cimcare.hub.rest.operator_views import (
    AuditList,
    BalanceList,
    DeliveryList,
    DestinationList,
    view_balance,
    view_delivery,
    view_destination,
    view_detail,
    view_row,
)

__all__ = ["OperatorPages"]


class OperatorPages:
    """Handlers of the routes.

    Args:
        reader: The durable state.
        circuits: All circuits that are known here by the name of the partner.
        clock: Now.
    """

    def __init__(self, reader: Reader, circuits: Callable[[], Mapping[str, Circuit]], clock: Clock) -> None:
        self._reader = reader
        self._circuits = circuits
        self._clock = clock

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/deliveries", self.deliveries),
            Route("/api/v1/deliveries/{number}", self.delivery),
            Route("/api/v1/partners", self.partners),
            Route("/api/v1/ledger", self.ledger),
            Route("/api/v1/audit", self.audit),
        ]

    async def deliveries(self, request: Request) -> Response:
        """A page of deliveries, oldest first."""
        wanted = read_delivery_filters(request.query_params.multi_items())
        one_more = msgspec.structs.replace(wanted, limit=wanted.limit + 1)  # which shows whether there are any
        found = await self._reader.outbox.select(one_more)
        items = found[: wanted.limit]
        after = items[-1].number if len(found) > len(items) else None
        return json_answer(DeliveryList(items=[view_delivery(one) for one in items], next=next_address(request, after)))

    async def delivery(self, request: Request) -> Response:
        """One delivery, with what became of its last attempt."""
        number = number_of(request.path_params["number"])
        delivery = await self._reader.outbox.find(number) if number else None
        if delivery is None:
            return problem(finding_of("REF-103", request.url.path, "no such delivery", "number of a delivery"))
        return json_answer(view_detail(delivery, await find_exchanged(self._reader, delivery)))

    async def partners(self, request: Request) -> Response:
        """All destinations."""
        read_no_filters(request.query_params.multi_items())
        circuits = self._circuits()
        items = [view_destination(one, circuits.get(one.name)) for one in await list_destinations(self._reader)]
        return json_answer(DestinationList(items=items))

    async def ledger(self, request: Request) -> Response:
        """The accounts of some hours."""
        wanted = read_ledger_filters(request.query_params.multi_items())
        first, end, following = page_of_hours(wanted.since, wanted.until, now=self._clock())
        found = await balances(self._reader, first, end, wanted.partner) if first < end else ()
        after = following.isoformat() if following is not None else None
        address = next_address(request, after, name="since")
        return json_answer(BalanceList(items=[view_balance(one) for one in found], next=address))

    async def audit(self, request: Request) -> Response:
        """A page of the audit trail, oldest first."""
        wanted = read_audit_filters(request.query_params.multi_items())
        try:
            page = await list_rows(self._reader.audit, after=wanted.after, limit=wanted.limit, action=wanted.action)
        except TrailError as error:
            return problem(error.finding)
        return json_answer(
            AuditList(items=[view_row(row) for row in page.items], next=next_address(request, page.after))
        )
