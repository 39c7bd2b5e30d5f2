"""Python's collector of garbage, set for a process that serves.

It counts what is made and not yet gone, and walks what is young each 700 objects, what is old each so often. A message
makes tens of thousands of objects, nearly all of which go by themselves; what stays are the schemas and classes of the
program, hundreds of thousands of objects that never go, and what stores remember. Walking these is a pause in which
nothing is served.

`bench/spending.py` counts the seconds of the processor that it takes.
"""

import gc

__all__ = ["settle_collector"]

_YOUNG = 20_000
"""So many objects more than before, about what one message makes: a walk over the young ones takes less than 1 ms."""

_MIDDLE = 20
_OLD = 50


def settle_collector() -> None:
    """Take what the program consists of out of the collector's sight, and let it walk less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
