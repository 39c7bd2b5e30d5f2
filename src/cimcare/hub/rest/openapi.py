"""OpenAPI 3.1 description of the REST interface, made from the model and the table of filters."""

from collections.abc import Sequence

import msgspec

from cimcare import __version__
from cimcare.errors import Finding
from cimcare.hub.config.partner_keys import OF_SUBSCRIPTIONS
from cimcare.hub.config.subscribing import SubscriptionView
from cimcare.hub.intake.builtin import collection_of
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.operation.broker_states import SeenBroker
from cimcare.hub.rest.customer_openapi import describe_customers
from cimcare.hub.rest.events import EventView
from cimcare.hub.rest.filters import (
    EVENT_FILTERS,
    MESSAGE_FILTERS,
    OBJECT_FILTERS,
    PAGE_FILTERS,
    STREAM_FILTERS,
)
from cimcare.hub.rest.market_openapi import describe_market
from cimcare.hub.rest.meter_openapi import describe_metering
from cimcare.hub.rest.openapi_parts import Json, json_answer, page_of, parameters, path_parameter, problem
from cimcare.hub.rest.operator_openapi import describe_operating
from cimcare.hub.rest.readiness_openapi import describe_readiness
from cimcare.hub.rest.views import MessageView
from cimcare.model.envelope import AnyMessage
from cimcare.model.nouns import ENTRIES, NounEntry

__all__ = ["build_openapi"]

_REFERENCE = "#/components/schemas/{name}"
_XML = {"schema": {"type": "string", "description": "Envelope of IEC 61968-100:2013 as XML."}}


def build_openapi() -> Json:
    """The whole document."""
    bodies = {entry.noun: collection_of(entry.noun).body for entry in ENTRIES}
    keys = [key.hint for key in OF_SUBSCRIPTIONS.values()]
    (message, finding, view, event, subscription, alarm, broker, *more), components = msgspec.json.schema_components(
        [AnyMessage, Finding, MessageView, EventView, SubscriptionView, Alarm, SeenBroker, *bodies.values(), *keys],
        ref_template=_REFERENCE,
    )
    by_noun = dict(zip(bodies, more, strict=False))
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
                "findings": {"type": "array", "items": finding, "description": "All of them, where several may be."},
            },
        },
        "NewSubscription": _new_subscription(more[len(bodies) :]),
        "MessagePage": page_of(view),
        "EventPage": _event_page(event),
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
        schemas[f"{entry.noun}Page"] = page_of(item)
        paths |= _noun_paths(entry, item)
    paths |= _message_paths(view)
    paths |= _event_paths()
    paths |= _subscription_paths(subscription)
    operator_paths, operator_schemas = describe_operating(_REFERENCE)
    paths |= operator_paths
    schemas |= operator_schemas
    customer_paths, customer_schemas = describe_customers(_REFERENCE)
    paths |= customer_paths
    schemas |= customer_schemas
    market_paths, market_schemas = describe_market(_REFERENCE)
    paths |= market_paths
    schemas |= market_schemas
    readiness_paths, readiness_schemas = describe_readiness(_REFERENCE)
    paths |= readiness_paths
    schemas |= readiness_schemas
    meter_paths, meter_schemas = describe_metering(_REFERENCE)
    paths |= meter_paths
    schemas |= meter_schemas
    paths |= _alarm_paths(alarm)
    paths |= _broker_paths(broker)
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
            {"name": "events", "description": "What happened, to be read by whoever was away, or as it comes."},
            {"name": "objects", "description": "Objects of the nouns, to be read."},
            {"name": "sales", "description": "Points of sale: shifts and receipts. Not of the standard."},
            {
                "name": "customers",
                "description": "For who talks with customers: calls, notices, call-back lists, preferences.",
            },
            {
                "name": "operation",
                "description": "How the hub is, what it delivered, and who did what; to be read.",
            },
        ],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _event_page(item: object) -> Json:
    text = "Place up to which the log was looked through: `after` of the next time."
    more: Json = {
        "type": "object",
        "required": ["last"],
        "properties": {"last": {"type": "integer", "description": text}},
    }
    return {"allOf": [page_of(item), more]}


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
            "405": problem("Another method than POST."),
            "413": {"description": "FaultMessage: too large.", "content": both},
            "415": {"description": "FaultMessage: neither XML nor JSON.", "content": both},
            "503": {"description": "FaultMessage: too busy; see Retry-After.", "content": both},
        },
    }


def _noun_paths(entry: NounEntry, item: Json) -> Json:
    page = {"$ref": f"#/components/schemas/{entry.noun}Page"}
    mrid = path_parameter("mrid", {"type": "string"}, "mRID of the object.")
    return {
        f"/api/v1/{entry.noun}": {
            "get": {
                "operationId": f"list{entry.noun}",
                "tags": ["objects"],
                "summary": f"{entry.noun}, oldest first, page by page.",
                "parameters": parameters(OBJECT_FILTERS),
                "responses": {
                    "200": json_answer("A page.", page),
                    "400": problem("A filter that is not served, or a value that it cannot have."),
                    "403": problem("Not open to third parties."),
                    "404": problem("No partner of this name."),
                },
            }
        },
        f"/api/v1/{entry.noun}/{{mrid}}": {
            "get": {
                "operationId": f"get{entry.item_name}Of{entry.noun}",
                "tags": ["objects"],
                "summary": f"One object of {entry.noun}.",
                "parameters": [mrid, *parameters({"partner": OBJECT_FILTERS["partner"]})],
                "responses": {
                    "200": json_answer("The object.", item),
                    "403": problem("Not open to third parties."),
                    "404": problem("No partner of this name, or no object with this mRID that it may see."),
                },
            }
        },
    }


def _message_paths(view: object) -> Json:
    sequence = path_parameter(
        "sequence", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "Number of the message in the log."
    )
    missing: Json = {"404": problem("No message with this number.")}
    return {
        "/api/v1/messages": {
            "get": {
                "operationId": "listMessages",
                "tags": ["messages"],
                "summary": "The log of messages, page by page.",
                "parameters": parameters(MESSAGE_FILTERS),
                "responses": {
                    "200": json_answer("A page.", {"$ref": "#/components/schemas/MessagePage"}),
                    "400": problem("A filter that is not served, or a value that it cannot have."),
                },
            }
        },
        "/api/v1/messages/{sequence}": {
            "get": {
                "operationId": "getMessage",
                "tags": ["messages"],
                "summary": "One message of the log.",
                "parameters": [sequence],
                "responses": missing | {"200": json_answer("The message, without its bytes.", view)},
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


def _event_paths() -> Json:
    bad = problem("A filter that is not served, or a value that it cannot have.")
    stream: Json = {"text/event-stream": {"schema": {"type": "string"}}}
    known = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The `id` with which a client comes again; it goes before `after`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    }
    return {
        "/api/v1/events": {
            "get": {
                "operationId": "listEvents",
                "tags": ["events"],
                "summary": "Events behind a place in the log, oldest first, each once. A page may be empty and not the"
                " last.",
                "parameters": parameters(EVENT_FILTERS),
                "responses": {
                    "200": json_answer("A page.", {"$ref": "#/components/schemas/EventPage"}),
                    "400": bad,
                    "404": problem("No partner of this name."),
                },
            }
        },
        "/api/v1/events/stream": {
            "get": {
                "operationId": "streamEvents",
                "tags": ["events"],
                "summary": "Events as they come: server-sent events with the sequence as `id`, `verb.noun` as `event`"
                " and the event in JSON as `data`.",
                "parameters": [*parameters(STREAM_FILTERS), known],
                "responses": {
                    "200": {"description": "The stream, without end.", "content": stream},
                    "400": bad,
                    "404": problem("No partner of this name."),
                    "503": problem("As many clients listen as may; see Retry-After."),
                },
            }
        },
    }


def _alarm_paths(alarm: object) -> Json:
    bad = problem("A filter; none is served.")
    stream: Json = {"text/event-stream": {"schema": {"type": "string"}}}
    listed: Json = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": alarm}},
    }
    return {
        "/api/v1/alarms": {
            "get": {
                "operationId": "listAlarms",
                "tags": ["operation"],
                "summary": "Active alarms, the oldest first.",
                "responses": {"200": json_answer("The alarms.", listed), "400": bad},
            }
        },
        "/api/v1/alarms/stream": {
            "get": {
                "operationId": "streamAlarms",
                "tags": ["operation"],
                "summary": "Alarms as they come and go: server-sent events `raised`, first for all that are active, and"
                " `cleared`, with the alarm in JSON as `data`.",
                "responses": {
                    "200": {"description": "The stream, without end.", "content": stream},
                    "400": bad,
                    "503": problem("As many clients listen as may; see Retry-After."),
                },
            }
        },
    }


def _broker_paths(broker: object) -> Json:
    listed: Json = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": broker}},
    }
    return {
        "/api/v1/brokers": {
            "get": {
                "operationId": "listBrokers",
                "tags": ["operation"],
                "summary": "Message brokers: connections and consumers, as each process of the hub sees them.",
                "responses": {
                    "200": json_answer("The brokers.", listed),
                    "400": problem("A filter; none is served."),
                },
            }
        }
    }


def _new_subscription(schemas: Sequence[object]) -> Json:
    """Body of a request for a subscription: its name, and the keys of a table of the file of settings."""
    name: Json = {
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]{1,64}$",
        "description": "Name, and that of a destination.",
    }
    keys = {
        key: {"allOf": [schema], "description": " ".join(of.setting.text.split())}
        for (key, of), schema in zip(OF_SUBSCRIPTIONS.items(), schemas, strict=True)
    }
    return {
        "type": "object",
        "description": "Either `partner`, or `url` and what else says how a destination of its own is reached.",
        "required": ["name"],
        "properties": {"name": name, **keys},
        "additionalProperties": False,
    }


def _subscription_paths(view: object) -> Json:
    name = path_parameter("name", {"type": "string"}, "Name of the subscription.")
    actor = {
        "name": "X-Actor",
        "in": "header",
        "required": False,
        "description": "Who asks, for the audit trail; the address of the client if not said. Nobody checks it.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,100}$"},
    }
    missing = problem("No subscription of this name.")
    down = problem("The database cannot be used now.")
    body: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/NewSubscription"}}}
    everything: Json = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": view}},
    }
    return {
        "/api/v1/subscriptions": {
            "get": {
                "operationId": "listSubscriptions",
                "tags": ["events"],
                "summary": "All subscriptions, those of the file of settings first.",
                "responses": {"200": json_answer("All of them.", everything), "503": down},
            },
            "post": {
                "operationId": "makeSubscription",
                "tags": ["events"],
                "summary": "Make a subscription. Asked for twice alike, it is made once.",
                "parameters": [actor],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "200": json_answer("It was there already.", view),
                    "201": json_answer("It is made.", view),
                    "400": problem("Something about it is wrong; `findings` says all of it."),
                    "403": problem("The hub may not send to this address."),
                    "409": problem("The name is taken."),
                    "413": problem("Too large."),
                    "415": problem("Not application/json."),
                    "503": down,
                },
            },
        },
        "/api/v1/subscriptions/{name}": {
            "get": {
                "operationId": "getSubscription",
                "tags": ["events"],
                "summary": "One subscription.",
                "parameters": [name],
                "responses": {"200": json_answer("The subscription.", view), "404": missing, "503": down},
            },
            "delete": {
                "operationId": "removeSubscription",
                "tags": ["events"],
                "summary": "Remove a subscription that was made by API. What waits for its destination stays.",
                "parameters": [name, actor],
                "responses": {
                    "204": {"description": "It is removed."},
                    "404": missing,
                    "409": problem("It stands in the file of settings."),
                    "503": down,
                },
            },
        },
        "/api/v1/subscriptions/{name}/events": {
            "get": {
                "operationId": "listMissedEvents",
                "tags": ["events"],
                "summary": "Events that pass the filter of a subscription, without those that its partner told of.",
                "parameters": [name, *parameters(PAGE_FILTERS)],
                "responses": {
                    "200": json_answer("A page.", {"$ref": "#/components/schemas/EventPage"}),
                    "400": problem("A filter that is not served, or a value that it cannot have."),
                    "404": missing,
                    "503": down,
                },
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
                "responses": {"200": json_answer("It does.", status)},
            }
        },
        "/readyz": {
            "get": {
                "operationId": "getReadiness",
                "tags": ["operation"],
                "summary": "Whether messages can be taken.",
                "responses": {"200": json_answer("They can.", status), "503": problem("They cannot now.")},
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
