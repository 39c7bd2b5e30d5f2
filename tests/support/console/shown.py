"""What the suite knows of a page of the console: where it is, and words that it shows of the seeded day."""

from collections.abc import Callable

import msgspec

from tests.support.hub import HubProcess

__all__ = ["Shown"]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One page. `path` below the address of the hub, or how it is found there or at a hub beside it.

    `told`: words of it, without scripts.

    `is_pictured`: a picture of it stands in the docs, `whole` of it, or what a window of 1280 to 800 shows.
    """

    path: str | Callable[[HubProcess], str]
    told: str
    is_pictured: bool = True
    whole: bool = True

    def address(self, hub: HubProcess) -> str:
        """Where it is at a running hub."""
        path = self.path if isinstance(self.path, str) else self.path(hub)
        return path if path.startswith("http") else hub.address + path
