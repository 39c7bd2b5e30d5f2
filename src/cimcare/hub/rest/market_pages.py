"""The part of the REST interface for the list for reconciliation, and for points of sale. Our own profile."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import InputError, finding_of
from cimcare.exchange.ports import Clock, Served, ServingContext
from cimcare.exchange.store import Reader
from cimcare.hub.acts.acting import Acting, NotBuiltInError
from cimcare.hub.rest.answering import json_answer, next_address, problem
from cimcare.hub.rest.bodies import read_json
from cimcare.hub.rest.filters import RECEIPT_FILTERS, RECONCILIATION_FILTERS, FilterError, read_table
from cimcare.hub.rest.viewing import Viewing
from cimcare.model.envelope import Result
from cimcare.model.nouns import Role
from cimcare.systems.cis.point_of_sale import (
    CloseShift,
    OpenShift,
    ReceiptRecord,
    Reversal,
    Sale,
    ShiftRecord,
    close_shift,
    find_shift,
    list_receipts,
    open_shift,
    reverse,
    sell,
)
from cimcare.systems.cis.reconciling import CursorError, Listed, reconcile

__all__ = ["SALES", "MarketPages", "ReceiptList", "ReconciliationList", "ShiftView"]

AskedT = TypeVar("AskedT", bound=msgspec.Struct)

SALES = "/api/v1/sales"
_OUR_RULE = "our profile"


class ReconciliationList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list. `next` is the address of the next page, null on the last."""

    items: tuple[Listed, ...]
    next: str | None


class ReceiptList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of receipts, oldest first. `next` is the address of the next page, null on the last."""

    items: tuple[ReceiptRecord, ...]
    next: str | None


class ShiftView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shift, and whether what was taken is what was paid for."""

    shift: ShiftRecord
    is_balanced: bool


class _ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    partner: str = ""
    as_of: datetime | None = None
    changed_since: datetime | None = None
    after: str = ""
    limit: int = 100


class _ReceiptQuery(msgspec.Struct, frozen=True, kw_only=True):
    account: str = ""
    shift: str = ""
    after: str = ""
    limit: int = 100


class _Ending(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    counted_cash: Decimal


class MarketPages:
    """Handlers of the routes.

    Args:
        reader: Where it is.
        viewing: Who a partner is.
        acting: By whom receipts are taken.
        clock: Now.
    """

    def __init__(self, reader: Reader, viewing: Viewing, acting: Acting, clock: Clock) -> None:
        self._reader = reader
        self._viewing = viewing
        self._acting = acting
        self._clock = clock

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/reconciliation", self.reconciliation),
            Route(f"{SALES}/receipts", self.receipts, methods=["GET", "POST"]),
            Route(f"{SALES}/reversals", self.reversals, methods=["POST"]),
            Route(f"{SALES}/shifts", self.shifts, methods=["POST"]),
            Route(f"{SALES}/shifts/{{number}}", self.shift),
            Route(f"{SALES}/shifts/{{number}}/end", self.end, methods=["POST"]),
        ]

    async def reconciliation(self, request: Request) -> Response:
        """A page of the agreements of a third party."""
        asked = msgspec.structs.replace(
            _ListQuery(), **read_table(request.query_params.multi_items(), RECONCILIATION_FILTERS)
        )
        third_party = self._viewing.third_party(asked.partner)
        if not third_party:
            found = f"partner {asked.partner!r}" if asked.partner else "no partner"
            raise FilterError(finding_of("REF-103", "?partner", found, "a partner outside of the utility", _OUR_RULE))
        try:
            page = await reconcile(
                self._reader.records,
                third_party,
                as_of=asked.as_of,
                changed_since=asked.changed_since,
                after=asked.after,
                limit=asked.limit,
                now=self._clock(),
            )
        except CursorError as error:
            finding = finding_of(
                "REF-103", "?after", "no place of the list", "the address that `next` named", _OUR_RULE
            )
            raise FilterError(finding) from error
        return json_answer(ReconciliationList(items=page.items, next=next_address(request, page.after)))

    async def receipts(self, request: Request) -> Response:
        """Receipts, or one more."""
        if request.method == "POST":
            return await self._do(request, Sale, sell, f"{SALES}/receipts")
        asked = msgspec.structs.replace(
            _ReceiptQuery(), **read_table(request.query_params.multi_items(), RECEIPT_FILTERS)
        )
        found = await list_receipts(
            self._reader.records,
            account=asked.account,
            shift=asked.shift,
            after=_place_of(asked.after),
            limit=asked.limit + 1,  # one more shows whether there is another page
        )
        if found is None:
            accepted = "number or mRID of an account"
            raise FilterError(
                finding_of("REF-103", "?account", f"no account {asked.account[:100]!r}", accepted, _OUR_RULE)
            )
        items = found[: asked.limit]
        last = items[-1] if len(found) > len(items) else None
        after = msgspec.json.encode((last.point_of_sale, last.number)).decode() if last is not None else None
        return json_answer(ReceiptList(items=items, next=next_address(request, after)))

    async def reversals(self, request: Request) -> Response:
        """One more reversal."""
        return await self._do(request, Reversal, reverse, f"{SALES}/receipts")

    async def shifts(self, request: Request) -> Response:
        """One more shift."""
        return await self._do(request, OpenShift, open_shift, f"{SALES}/shifts")

    async def shift(self, request: Request) -> Response:
        """One shift."""
        found = await find_shift(self._reader.records, request.path_params["number"])
        if found is None:
            return problem(finding_of("REF-103", request.url.path, "no such shift", "number of a shift"))
        return json_answer(ShiftView(shift=found, is_balanced=found.totals.is_balanced))

    async def end(self, request: Request) -> Response:
        """The end of a shift."""
        number = request.path_params["number"]

        async def work(asked: _Ending, context: ServingContext) -> Served:
            return await close_shift(CloseShift(number=number, counted_cash=asked.counted_cash), context)

        return await self._do(request, _Ending, work, f"{SALES}/shifts")

    async def _do(
        self,
        request: Request,
        kind: type[AskedT],
        work: Callable[[AskedT, ServingContext], Awaitable[Served]],
        where: str,
    ) -> Response:
        """Read what is asked, do it in one transaction, and say by which number it is known."""
        path = request.url.path
        try:
            asked = await read_json(request, kind)
            served = await self._acting.act(Role.CIS, lambda context: work(asked, context))
        except ClientDisconnect:  # nobody is there to be answered
            return Response(status_code=400)
        except InputError as error:
            return problem(error.finding)
        except NotBuiltInError as error:
            return problem(finding_of(error.code, path, str(error), "a hub whose customer system is built in"))
        if served.result is Result.FAILED:
            return problem(served.findings[0])
        number = served.ids[0].value
        return json_answer({"number": number}, 201, {"location": where})


def _place_of(after: str) -> tuple[str, str] | None:
    if not after:
        return None
    try:
        return msgspec.json.decode(after, type=tuple[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_place() from error


def _no_place() -> FilterError:
    accepted = "the address that `next` named"
    return FilterError(finding_of("REF-103", "?after", "no place of the list", accepted, _OUR_RULE))
