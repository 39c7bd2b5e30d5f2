"""The storage ports, implemented: in memory as the reference, and on SQLite."""

__all__: list[str] = []
