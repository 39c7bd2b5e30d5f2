"""Answers of the REST interface: JSON, problem details (RFC 9457), and the address of the next page."""

from base64 import b64encode
from hashlib import sha256
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cimcare.errors import Finding
from cimcare.transport.http import problem_of

__all__ = ["SAFE", "json_answer", "next_address", "number_of", "problem", "style_source"]

_LARGEST = 2**63 - 1

SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Header fields that keep a browser from doing anything else with an answer than showing it."""


def style_source(style: str) -> str:
    """How a content policy allows this one style, which stands in the answer itself."""
    return f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value in JSON."""
    body = msgspec.json.encode(value)
    return Response(body, status, headers=SAFE | (headers or {}), media_type="application/json")


def problem(finding: Finding, headers: dict[str, str] | None = None, *, findings: tuple[Finding, ...] = ()) -> Response:
    """Problem details with the finding, and with the status that the table of errors gives its code.

    `findings` are all of them, where there may be several.
    """
    answer = problem_of(finding)
    body = answer.body
    if findings:
        body = msgspec.json.encode({**msgspec.json.decode(body), "findings": findings})
    return Response(body, answer.status, headers=SAFE | (headers or {}), media_type=answer.content_type)


def next_address(request: Request, after: str | int | None, *, name: str = "after") -> str | None:
    """Address of the page behind `after`, with the same filters; None if there is none. `name` is its parameter."""
    if after is None:
        return None
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != name]
    return f"{request.url.path}?{urlencode([*kept, (name, str(after))])}"


def number_of(text: str) -> int:
    """Number in a path; 0 if it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number and int(text) <= _LARGEST else 0
