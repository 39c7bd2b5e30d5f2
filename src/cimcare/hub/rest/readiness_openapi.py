"""OpenAPI description of the pages for readiness."""

import msgspec

from cimcare.hub.operation.readiness import Sheet
from cimcare.hub.rest.openapi_parts import Json, json_answer, problem

__all__ = ["describe_readiness"]


def describe_readiness(reference: str) -> tuple[Json, Json]:
    """Paths, and the schemas to which they refer by `reference`."""
    (sheet,), schemas = msgspec.json.schema_components([Sheet], ref_template=reference)
    responses: Json = {
        "200": json_answer("The sheet.", sheet),
        "400": problem("A filter; there are none."),
        "503": problem("The database cannot be used now."),
    }
    told = {
        "get": ("showReadinessSheet", "Go or no-go, by what is known now. Nobody is sent anything."),
        "post": (
            "drillPartners",
            "Drill all partners, and then the sheet. A drill is marked as such and counted nowhere; each partner has"
            " one under way, and none sooner than `doctor.pause_seconds` after the last.",
        ),
    }
    methods = {
        method: {"operationId": name, "tags": ["operation"], "summary": summary, "responses": responses}
        for method, (name, summary) in told.items()
    }
    return {"/api/v1/readiness": methods}, dict(schemas)
