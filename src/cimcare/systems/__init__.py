"""The built-in systems of a utility, each replaceable by a real one: a message in, a reply and events out.

Each subpackage exports `SERVES`, `LISTENS` and `COLLECTIONS`, and `TICKS` if it does something by the clock.
"""

__all__: list[str] = []
