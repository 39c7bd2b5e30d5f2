"""Which row of the table of keys stands for a key of an object.

An object is found by each of its names whether or not type and authority are said with it, so a name makes four keys:
`authority|type|name`, `authority||name`, `|type|name` and `||name`. They share the row of the last one. Which of them
an object has stands in the object, and is looked at there. So a ticket, which names half a dozen objects, is entered at
half as many places of a large table, and the same is found (decision 0135).
"""

from collections.abc import Iterable

from cimcare.exchange.ports import Key

__all__ = ["has_own_row", "row_of", "rows_of"]

_BAR = "|"
_BARE = "||"


def row_of(key: Key) -> Key:
    """The row in which a key is entered: its own, or that of the bare name."""
    if has_own_row(key):
        return key
    return Key(key.sort, _BARE + key.value.split(_BAR, 2)[2])


def rows_of(keys: Iterable[Key]) -> frozenset[Key]:
    """The rows in which these keys are entered."""
    return frozenset(map(row_of, keys))


def has_own_row(key: Key) -> bool:
    """Whether the row of a key is that of no other key. All that has two bars may share one."""
    return key.value.count(_BAR) < 2
