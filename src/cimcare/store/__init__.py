"""The storage ports, implemented: in memory as the reference, on SQLite, and on PostgreSQL."""

__all__: list[str] = []
