"""OpenAPI description of the pages for operators and auditors."""

import msgspec

from cimcare.hub.rest.filters import AUDIT_FILTERS, DELIVERY_FILTERS, LEDGER_FILTERS, Parameter
from cimcare.hub.rest.openapi_parts import Json, json_answer, parameters, path_parameter, problem
from cimcare.hub.rest.operator_views import AuditList, BalanceList, DeliveryDetail, DeliveryList, DestinationList

__all__ = ["describe_operating"]

_DOWN = problem("The database cannot be used now.")
_BAD = problem("A filter that is not served, or a value that it cannot have.")


def describe_operating(reference: str) -> tuple[Json, Json]:
    """Paths, and the schemas to which they refer by `reference`."""
    (deliveries, detail, partners, ledger, audit), schemas = msgspec.json.schema_components(
        [DeliveryList, DeliveryDetail, DestinationList, BalanceList, AuditList], ref_template=reference
    )
    number = path_parameter(
        "number", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "Number of the delivery."
    )
    paths: Json = {
        "/api/v1/deliveries": _get(
            "listDeliveries", "What goes to partners, page by page, oldest first.", deliveries, DELIVERY_FILTERS
        ),
        "/api/v1/deliveries/{number}": {
            "get": {
                "operationId": "getDelivery",
                "tags": ["operation"],
                "summary": "One delivery, with what became of its last attempt.",
                "parameters": [number],
                "responses": {
                    "200": json_answer("The delivery.", detail),
                    "404": problem("No delivery with this number."),
                    "503": _DOWN,
                },
            }
        },
        "/api/v1/partners": _get(
            "listPartners", "All destinations: what they have not got, who halted them, whether they answer.", partners
        ),
        "/api/v1/ledger": _get(
            "listLedger",
            "What came and went, by hour, partner and account. A page holds 31 days; it may be empty and not the last.",
            ledger,
            LEDGER_FILTERS,
        ),
        "/api/v1/audit": _get(
            "listAudit",
            "The audit trail, page by page, oldest first. With a filter a page may be empty and not the last.",
            audit,
            AUDIT_FILTERS,
            {"500": problem("A row cannot be read: somebody has altered it.")},
        ),
    }
    return paths, dict(schemas)


def _get(
    name: str, summary: str, schema: object, table: dict[str, Parameter] | None = None, more: Json | None = None
) -> Json:
    responses: Json = {"200": json_answer("The answer.", schema), "400": _BAD, "503": _DOWN, **(more or {})}
    return {
        "get": {
            "operationId": name,
            "tags": ["operation"],
            "summary": summary,
            "parameters": parameters(table or {}),
            "responses": responses,
        }
    }
