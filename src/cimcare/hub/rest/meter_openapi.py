"""OpenAPI description of where meter events are taken."""

import msgspec

from cimcare.hub.acts.meter_table import CSV, JSON, MOST_EVENTS
from cimcare.hub.acts.metering import TableTaken
from cimcare.hub.rest.openapi_parts import Json, json_answer, problem

__all__ = ["describe_metering"]

_ROW: Json = {
    "type": "object",
    "required": ["point", "state", "at"],
    "properties": {
        "point": {"type": "string", "description": "The mRID or a name of a usage point.", "maxLength": 200},
        "state": {"type": "string", "description": "`off` or `on`.", "enum": ["off", "on"]},
        "at": {"type": "string", "format": "date-time", "description": "When it went off or on."},
    },
}
_HEADERS = (
    (
        "Idempotency-Key",
        "By which a repeat is known; without one it is known by its events. Other content under it is refused.",
        "^[!#-~]{1,200}$",
    ),
    ("X-Actor", "Who sends it, such as the head end of the meters; nobody checks it.", "^[!-~]{1,100}$"),
)


def describe_metering(reference: str) -> tuple[Json, Json]:
    """Paths, and the schemas to which they refer by `reference`."""
    (taken,), schemas = msgspec.json.schema_components([TableTaken], ref_template=reference)
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string", "pattern": pattern},
        }
        for name, text, pattern in _HEADERS
    ]
    table: Json = {"type": "array", "items": _ROW, "minItems": 1, "maxItems": MOST_EVENTS}
    text = "A line with the columns `point`, `state` and `at` first, in any order and among others."
    operation: Json = {
        "operationId": "takeMeterEvents",
        "tags": ["events"],
        "summary": "Take what meters say of their supply: all events of a table, or none of them.",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": table}, CSV: {"schema": {"type": "string", "description": text}}},
        },
        "responses": {
            "200": json_answer("The table was taken; `findings` names events that could not be used.", taken),
            "400": problem("Something in the table is wrong; `findings` says what, by event."),
            "404": problem("None of the meters is known."),
            "409": problem("A partner is the outage management."),
            "413": problem("Too large, or too many events."),
            "415": problem("Neither application/json nor text/csv."),
            "503": problem("The database cannot be used now, or too many tables are in work; see Retry-After."),
        },
    }
    return {"/api/v1/meter-events": {"post": operation}}, dict(schemas)
