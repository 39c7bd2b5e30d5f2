"""OpenAPI description of the list for reconciliation and of the door for points of sale."""

import msgspec

from cimcare.hub.rest.filters import RECEIPT_FILTERS, RECONCILIATION_FILTERS
from cimcare.hub.rest.market_pages import SALES, ReceiptList, ReconciliationList, ShiftView
from cimcare.hub.rest.openapi_parts import Json, json_answer, parameters, path_parameter, problem
from cimcare.systems.cis.point_of_sale import OpenShift, Reversal, Sale

__all__ = ["describe_market"]

_DOWN = problem("The database cannot be used now.")
_BAD = problem("A filter that is not served, or a value that it cannot have.")
_NUMBER: Json = {"type": "object", "required": ["number"], "properties": {"number": {"type": "string"}}}
_ENDING: Json = {
    "type": "object",
    "required": ["countedCash"],
    "properties": {"countedCash": {"type": "string", "format": "decimal"}},
}


def describe_market(reference: str) -> tuple[Json, Json]:
    """Paths, and the schemas to which they refer by `reference`."""
    (listed, receipts, shift, sale, reversal, opening), schemas = msgspec.json.schema_components(
        [ReconciliationList, ReceiptList, ShiftView, Sale, Reversal, OpenShift], ref_template=reference
    )
    number = path_parameter("number", {"type": "string"}, "Number of the shift.")
    paths: Json = {
        "/api/v1/reconciliation": {
            "get": {
                "operationId": "listForReconciliation",
                "tags": ["objects"],
                "summary": "Agreements that a third party may see, as of a date or changed since, with digests.",
                "parameters": parameters(RECONCILIATION_FILTERS),
                "responses": {
                    "200": json_answer("A page.", listed),
                    "400": _BAD,
                    "404": problem("No partner of this name outside of the utility, or no place of its list."),
                    "503": _DOWN,
                },
            }
        },
        f"{SALES}/receipts": {
            "get": {
                "operationId": "listReceipts",
                "tags": ["sales"],
                "summary": "Receipts, page by page, oldest first.",
                "parameters": parameters(RECEIPT_FILTERS),
                "responses": {
                    "200": json_answer("A page.", receipts),
                    "400": _BAD,
                    "404": problem("No account of this name, or no place of the list."),
                    "503": _DOWN,
                },
            },
            "post": _post("takeReceipt", "Take a receipt; taken twice alike, it is one.", sale),
        },
        f"{SALES}/reversals": {"post": _post("reverseReceipt", "Undo a receipt by another one.", reversal)},
        f"{SALES}/shifts": {"post": _post("openShift", "Begin a shift.", opening)},
        f"{SALES}/shifts/{{number}}": {
            "get": {
                "operationId": "getShift",
                "tags": ["sales"],
                "summary": "One shift with its totals.",
                "parameters": [number],
                "responses": {"200": json_answer("The shift.", shift), "404": problem("No shift of this number.")},
            }
        },
        f"{SALES}/shifts/{{number}}/end": {
            "post": {**_post("endShift", "End a shift; it says what is missing.", _ENDING), "parameters": [number]}
        },
    }
    return paths, dict(schemas)


def _post(name: str, summary: str, schema: object) -> Json:
    return {
        "operationId": name,
        "tags": ["sales"],
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "201": json_answer("By which number it is known.", _NUMBER),
            "400": problem("Something about it is wrong."),
            "404": problem("What it refers to is not known."),
            "409": problem("It does not go together with what is there."),
            "413": problem("Too long."),
            "503": _DOWN,
        },
    }
