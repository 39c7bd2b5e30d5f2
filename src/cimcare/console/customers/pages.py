"""Routes of customers."""

from starlette.requests import Request
from starlette.responses import Response

from cimcare.console.customers.looking import CustomerSheet, find_sheet, list_customers
from cimcare.console.frame import Area, Frame, Page, itself_of, read_sent
from cimcare.console.masking import mask_contact
from cimcare.errors import finding_of
from cimcare.hub.acts.revealing import note_reveal
from cimcare.hub.rest.bodies import actor_of

__all__ = ["customers_area"]

_HERE = "/console/customers"
_PARTS = ("telephone", "mail", "address", "special need", "notices")


def customers_area(frame: Frame) -> Area:
    """Customers and their agreements."""
    pages = _Customers(frame)
    return Area(
        title="Customers",
        href=_HERE,
        starts=(f"{_HERE}/",),
        pages=[
            Page("/customers", pages.listed),
            Page("/customers/{account:path}", pages.customer),
            Page("/customers/{account:path}", pages.reveal, takes_form=True),
        ],
    )


class _Customers:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def listed(self, request: Request) -> Response:
        """Customers that fit what was typed; for a script the list alone."""
        asked = request.query_params.get("q", "").strip()
        depends = bool(request.query_params.get("depends"))
        found = await list_customers(
            self._frame.inside, asked, depends=depends, after=request.query_params.get("after", "")
        )
        values = {"asked": asked, "depends": depends, "found": found}
        if request.headers.get("hx-request"):
            itself = itself_of(request)
            return self._frame.rendering.page("customers/_found.html", {**values, "itself": itself})
        return self._frame.show(request, "customers/customers.html", values)

    async def customer(self, request: Request) -> Response:
        return await self._show(request, await find_sheet(self._frame.inside, request.path_params["account"]))

    async def reveal(self, request: Request) -> Response:
        """Personal data of one customer, once who asks for it is noted."""
        sent = await read_sent(request)
        inside, asked = self._frame.inside, request.path_params["account"]
        sheet = await find_sheet(inside, asked, is_open=True)
        if sheet is not None:
            why, now = sent.one("why"), inside.clock()
            await note_reveal(inside.store, sheet.mrid, _PARTS, actor=actor_of(request), why=why, now=now)
        return await self._show(request, sheet)

    async def _show(self, request: Request, sheet: CustomerSheet | None) -> Response:
        if sheet is None:
            found = "no such account or customer"
            finding = finding_of("REF-103", request.url.path, found, "number or mRID of an account or a customer")
            return self._frame.problem(request, finding, 404)
        return self._frame.show(request, "customers/customer.html", {"sheet": sheet, "mask": mask_contact})
