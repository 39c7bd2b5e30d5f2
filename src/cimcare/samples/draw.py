"""Choices that depend on a key alone: the same on every machine and with every version of Python."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from cimcare.model.identity import MRID

__all__ = ["Draw", "mrid_for"]

T = TypeVar("T")


class Draw:
    """A stream of choices, fixed by its key.

    The standard library promises only `Random.random()` to be the same in every version; a hash in counter mode is the
    same for ever. Not for secrets.
    """

    __slots__ = ("_count", "_key")

    def __init__(self, *key: object) -> None:
        self._key = "/".join(map(str, key)).encode()
        self._count = 0

    def bits(self, count: int) -> int:
        """The next `count` bits, at most 256, as a number."""
        self._count += 1
        digest = sha256(self._key + b"#" + str(self._count).encode()).digest()
        return int.from_bytes(digest) >> (256 - count)

    def between(self, least: int, most: int) -> int:
        """A whole number, both bounds included."""
        return least + self.bits(64) % (most - least + 1)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.between(0, len(items) - 1)]

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self.between(1, 100) <= percent

    def uuid(self) -> str:
        """A UUID in the form of version 4."""
        return str(UUID(int=self.bits(128), version=4))


def mrid_for(*key: object) -> MRID:
    """The mRID of the sample object with this key."""
    return MRID(Draw("mRID", *key).uuid())
