"""The address of a tile server: a template with `{z}`, `{x}` and `{y}`, and the origin that a content policy names.

Pure. Source of what an origin may be there: Content Security Policy Level 3, host-source.
"""

import re
from urllib.parse import urlsplit

from cimcare.hub.config.clashes import find_wrong_address

__all__ = ["find_wrong_tiles", "origin_of"]

_WANTED = ("z", "x", "y")
_HOST = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\Z")
_PORTS = {"http": 80, "https": 443}


def origin_of(template: str) -> str:
    """Scheme, host and port of a template in which nothing is wrong."""
    parts = urlsplit(template)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def find_wrong_tiles(template: str, *, here: tuple[str, str, int]) -> str:
    """What is wrong with a template, in words; empty if nothing is, or there is none.

    Args:
        template: Address of a tile.
        here: Address under which partners reach the hub, and host and port on which it listens.
    """
    if not template:
        return ""
    if wrong := find_wrong_address(template):
        return wrong
    parts = urlsplit(template)
    if not _HOST.match(parts.hostname or ""):
        return f"{parts.netloc!r} is no host that a content policy can name"
    found = re.findall(r"\{(.*?)\}", template)
    if missing := [f"{{{one}}}" for one in _WANTED if one not in found]:
        return f"{template!r} has no {', '.join(missing)}"
    if other := [f"{{{one}}}" for one in found if one not in _WANTED]:
        return f"{template!r} has {', '.join(other)}, which nothing is known for"
    address, host, port = here
    own = {(host.lower(), port), _place_of(address)}
    return f"{template!r} is on this hub, which has no tiles" if _place_of(template) in own else ""


def _place_of(address: str) -> tuple[str, int]:
    """Host and port."""
    parts = urlsplit(address)
    return (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
