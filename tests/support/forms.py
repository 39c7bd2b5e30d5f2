"""Forms of the console, sent to a hub without sockets as a browser would send them."""

from urllib.parse import urlencode

from tests.support.hub import Response, call
from tests.unit.hub.conftest import HeldHub

__all__ = ["send_form"]


async def send_form(held: HeldHub, path: str, **fields: str | list[str]) -> Response:
    """What a page answers to a form with these fields; a dash stands for an underscore."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    headers = {"content-type": "application/x-www-form-urlencoded", "x-actor": "nadia"}
    answer = await call(held.hub.app, path, urlencode(named, doseq=True).encode(), headers=headers)
    assert answer is not None
    return answer
