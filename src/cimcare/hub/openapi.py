"""OpenAPI 3.1 description of the REST interface, made from the model and the table of filters."""

import msgspec

from cimcare import __version__
from cimcare.errors import Finding
from cimcare.hub.builtin import collection_of
from cimcare.hub.filters import MESSAGE_FILTERS, OBJECT_FILTERS, Parameter
from cimcare.hub.views import MessageView
from cimcare.model.envelope import AnyMessage
from cimcare.model.nouns import ENTRIES, NounEntry

__all__ = ["build_openapi"]

Json = dict[str, object]

_REFERENCE = "#/components/schemas/{name}"
_XML = {"schema": {"type": "string", "description": "Envelope of IEC 61968-100:2013 as XML."}}


def build_openapi() -> Json:
    """The whole document."""
    bodies = {entry.noun: collection_of(entry.noun).body for entry in ENTRIES}
    (message, finding, view, *objects), components = msgspec.json.schema_components(
        [AnyMessage, Finding, MessageView, *bodies.values()], ref_template=_REFERENCE
    )
    by_noun = dict(zip(bodies, objects, strict=True))
    schemas: Json = {
        **components,
        "AnyMessage": message,
        "Problem": {
            "type": "object",
            "description": "Problem details (RFC 9457) with the finding.",
            "required": ["type", "title", "status", "detail", "finding"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "finding": finding,
            },
        },
        "MessagePage": _page(view),
    }
    paths: Json = {"/messages": {"post": _post_message()}}
    for entry in ENTRIES:
        one = {
            "type": "object",
            "required": ["mRID", "state", "createdAt", "modifiedAt", "object"],
            "properties": {
                "mRID": {"type": "string"},
                "state": {"type": "string"},
                "createdAt": {"type": "string", "format": "date-time"},
                "modifiedAt": {"type": "string", "format": "date-time"},
                "object": by_noun[entry.noun],
            },
        }
        schemas[f"{entry.noun}Item"] = one
        item: Json = {"$ref": f"#/components/schemas/{entry.noun}Item"}
        schemas[f"{entry.noun}Page"] = _page(item)
        paths |= _noun_paths(entry, item)
    paths |= _message_paths(view)
    paths |= _operations()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cimcare",
            "version": __version__,
            "summary": "IEC 61968-8 over plain HTTP: a profile of this product, not of the standard.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "messages", "description": "Messages in and the log of messages."},
            {"name": "objects", "description": "Objects of the nouns, to be read."},
            {"name": "operation", "description": "How the hub is."},
        ],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _page(item: object) -> Json:
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next": {"type": ["string", "null"], "description": "Address of the next page."},
        },
    }


def _problem(text: str) -> Json:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": text, "content": content}


def _json(text: str, schema: object) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _parameters(table: dict[str, Parameter]) -> list[Json]:
    return [
        {"name": name, "in": "query", "required": False, "description": one.text, "schema": one.schema}
        for name, one in table.items()
    ]


def _path_parameter(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}


def _post_message() -> Json:
    both = {"application/xml": _XML, "application/json": {"schema": {"$ref": "#/components/schemas/AnyMessage"}}}
    return {
        "operationId": "postMessage",
        "tags": ["messages"],
        "summary": "Send a request, an event or a later reply; the answer comes in the same form.",
        "requestBody": {"required": True, "content": both},
        "responses": {
            "200": {"description": "ResponseMessage, whatever its Result.", "content": both},
            "202": {"description": "Taken; no reply was wanted (AckRequired false)."},
            "400": {"description": "FaultMessage: not even the header could be read.", "content": both},
            "405": _problem("Another method than POST."),
            "413": {"description": "FaultMessage: too large.", "content": both},
            "415": {"description": "FaultMessage: neither XML nor JSON.", "content": both},
            "503": {"description": "FaultMessage: too busy; see Retry-After.", "content": both},
        },
    }


def _noun_paths(entry: NounEntry, item: Json) -> Json:
    page = {"$ref": f"#/components/schemas/{entry.noun}Page"}
    mrid = _path_parameter("mrid", {"type": "string"}, "mRID of the object.")
    return {
        f"/api/v1/{entry.noun}": {
            "get": {
                "operationId": f"list{entry.noun}",
                "tags": ["objects"],
                "summary": f"{entry.noun}, oldest first, page by page.",
                "parameters": _parameters(OBJECT_FILTERS),
                "responses": {
                    "200": _json("A page.", page),
                    "400": _problem("A filter that is not served, or a value that it cannot have."),
                },
            }
        },
        f"/api/v1/{entry.noun}/{{mrid}}": {
            "get": {
                "operationId": f"get{entry.item_name}Of{entry.noun}",
                "tags": ["objects"],
                "summary": f"One object of {entry.noun}.",
                "parameters": [mrid],
                "responses": {"200": _json("The object.", item), "404": _problem("No object with this mRID.")},
            }
        },
    }


def _message_paths(view: object) -> Json:
    sequence = _path_parameter(
        "sequence", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "Number of the message in the log."
    )
    missing: Json = {"404": _problem("No message with this number.")}
    return {
        "/api/v1/messages": {
            "get": {
                "operationId": "listMessages",
                "tags": ["messages"],
                "summary": "The log of messages, page by page.",
                "parameters": _parameters(MESSAGE_FILTERS),
                "responses": {
                    "200": _json("A page.", {"$ref": "#/components/schemas/MessagePage"}),
                    "400": _problem("A filter that is not served, or a value that it cannot have."),
                },
            }
        },
        "/api/v1/messages/{sequence}": {
            "get": {
                "operationId": "getMessage",
                "tags": ["messages"],
                "summary": "One message of the log.",
                "parameters": [sequence],
                "responses": missing | {"200": _json("The message, without its bytes.", view)},
            }
        },
        "/api/v1/messages/{sequence}/raw": {
            "get": {
                "operationId": "getRawMessage",
                "tags": ["messages"],
                "summary": "The bytes of a message, as received or sent.",
                "parameters": [sequence],
                "responses": missing
                | {"200": {"description": "The bytes.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            }
        },
    }


def _operations() -> Json:
    status: Json = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    return {
        "/healthz": {
            "get": {
                "operationId": "getHealth",
                "tags": ["operation"],
                "summary": "Whether the process answers.",
                "responses": {"200": _json("It does.", status)},
            }
        },
        "/readyz": {
            "get": {
                "operationId": "getReadiness",
                "tags": ["operation"],
                "summary": "Whether messages can be taken.",
                "responses": {"200": _json("They can.", status), "503": _problem("They cannot now.")},
            }
        },
        "/metrics": {
            "get": {
                "operationId": "getMetrics",
                "tags": ["operation"],
                "summary": "Counters, in the text form of Prometheus.",
                "responses": {
                    "200": {"description": "Counters.", "content": {"text/plain": {"schema": {"type": "string"}}}}
                },
            }
        },
    }
