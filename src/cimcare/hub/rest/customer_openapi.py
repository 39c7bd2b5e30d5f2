"""OpenAPI description of the pages for people who talk with customers."""

import msgspec

from cimcare.hub.acts.calling import Taken
from cimcare.hub.acts.customer_views import (
    CallBackList,
    CallBackView,
    CallerList,
    CallerView,
    CustomerDetail,
    CustomerList,
    NoticeList,
    NoticeView,
    PreferencesView,
)
from cimcare.hub.rest.customer_pages import AnswerBody, ClaimBody, NextBody
from cimcare.hub.rest.filters import CALL_BACK_FILTERS, CALLER_FILTERS, CUSTOMER_FILTERS, NOTICE_FILTERS, Parameter
from cimcare.hub.rest.openapi_parts import Json, json_answer, parameters, path_parameter, problem
from cimcare.systems.cis.intake import Call

__all__ = ["describe_customers"]

_DOWN = problem("The database cannot be used now.")
_BUSY = problem("The database cannot be used now, or too many messages are in work; see Retry-After.")
_BAD = problem("A filter that is not served, or a value that it cannot have.")
_BODY: Json = {
    "400": problem("The body is not of the form that is wanted."),
    "413": problem("Too large."),
    "415": problem("Not application/json."),
}
_ELSEWHERE = problem("Customers are kept by a partner.")
_ACTOR = {
    "name": "X-Actor",
    "in": "header",
    "required": False,
    "description": "Who takes the call; the address of the client if not said. Nobody checks it.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,100}$"},
}


def describe_customers(reference: str) -> tuple[Json, Json]:
    """Paths, and the schemas to which they refer by `reference`."""
    (
        (
            call,
            taken,
            callers,
            caller,
            notices,
            notice,
            call_backs,
            call_back,
            following,
            claim,
            answer,
            customers,
            customer,
            preferences,
        ),
        schemas,
    ) = msgspec.json.schema_components(
        [
            Call,
            Taken,
            CallerList,
            CallerView,
            NoticeList,
            NoticeView,
            CallBackList,
            CallBackView,
            NextBody,
            ClaimBody,
            AnswerBody,
            CustomerList,
            CustomerDetail,
            PreferencesView,
        ],
        ref_template=reference,
    )
    several: Json = {
        "allOf": [
            {"$ref": reference.format(name="Problem")},
            {"type": "object", "properties": {"callers": {"type": "array", "items": caller}}},
        ]
    }
    conflict: Json = {
        "description": "Several callers fit; `callers` are those of whom one is to be named.",
        "content": {"application/problem+json": {"schema": several}},
    }
    refused = problem("Whoever owns the tickets has refused what follows from it.")
    identifier = path_parameter("id", {"type": "string"}, "`id` of a list.")
    not_yours = problem("Somebody else has it, or it has ended, or it is not true any more.")
    paths: Json = {
        "/api/v1/calls": {
            "post": _post(
                "takeCall",
                "Take a call: a new ticket, or what is new for the one that is open at the premises.",
                call,
                {
                    "200": json_answer("A ticket was open; what is new was added.", taken),
                    "201": json_answer("A new ticket.", taken),
                    "409": conflict,
                    "502": refused,
                    "503": _BUSY,
                },
                [_ACTOR],
            )
        },
        "/api/v1/callers": _get("findCallers", "Who fits what was typed, at most 20.", callers, CALLER_FILTERS),
        "/api/v1/notices": _get("listNotices", "Notices to customers, page by page.", notices, NOTICE_FILTERS),
        "/api/v1/notices/{id}": _get_one("getNotice", "One notice.", notice, identifier),
        "/api/v1/callbacks": _get("listCallBacks", "Call-backs, page by page.", call_backs, CALL_BACK_FILTERS),
        "/api/v1/callbacks/next": {
            "post": _post(
                "claimNextCallBack",
                "The next call for an agent, who has it for 15 minutes.",
                following,
                {
                    "200": json_answer("The call.", call_back),
                    "204": {"description": "There is none."},
                    "404": _ELSEWHERE,
                    "409": _ELSEWHERE,
                    "503": _DOWN,
                },
            )
        },
        "/api/v1/callbacks/{id}": _get_one("getCallBack", "One call-back.", call_back, identifier),
        "/api/v1/callbacks/{id}/claim": {
            "post": _post(
                "claimCallBack",
                "One call for an agent, who has it for 15 minutes.",
                claim,
                {
                    "200": json_answer("The call.", call_back),
                    "404": problem("No such call-back."),
                    "409": not_yours,
                    "503": _DOWN,
                },
                [identifier],
            )
        },
        "/api/v1/callbacks/{id}/answer": {
            "post": _post(
                "answerCallBack",
                "What became of a call. `restored` closes the ticket of the place, `stillOut` is believed at once.",
                answer,
                {
                    "200": json_answer("It is noted.", call_back),
                    "404": problem("No such call-back."),
                    "409": not_yours,
                    "502": refused,
                    "503": _BUSY,
                },
                [identifier],
            )
        },
        "/api/v1/customers": _get("listCustomers", "Customers, page by page.", customers, CUSTOMER_FILTERS),
        "/api/v1/customers/{id}": _get_one("getCustomer", "One customer, by mRID or number.", customer, identifier),
        "/api/v1/customers/{id}/preferences": {
            "put": _post(
                "setPreferences",
                "How a customer wants to be told, from now on.",
                preferences,
                {
                    "200": json_answer("They are kept.", preferences),
                    "404": problem("No such customer."),
                    "409": _ELSEWHERE,
                    "503": _DOWN,
                },
                [identifier],
            )
        },
    }
    return paths, dict(schemas)


def _get(name: str, summary: str, schema: object, table: dict[str, Parameter]) -> Json:
    return {
        "get": {
            "operationId": name,
            "tags": ["customers"],
            "summary": summary,
            "parameters": parameters(table),
            "responses": {"200": json_answer("The answer.", schema), "400": _BAD, "503": _DOWN},
        }
    }


def _get_one(name: str, summary: str, schema: object, identifier: Json) -> Json:
    return {
        "get": {
            "operationId": name,
            "tags": ["customers"],
            "summary": summary,
            "parameters": [identifier],
            "responses": {
                "200": json_answer("The answer.", schema),
                "404": problem("There is none with this identifier."),
                "503": _DOWN,
            },
        }
    }


def _post(name: str, summary: str, body: object, responses: Json, more: list[Json] | None = None) -> Json:
    return {
        "operationId": name,
        "tags": ["customers"],
        "summary": summary,
        "parameters": more or [],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {**_BODY, **responses},
    }
