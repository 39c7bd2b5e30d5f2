"""What can be wrong with a database as a whole."""

from cimcare.exchange.store import StoreError

__all__ = ["DatabaseError"]


class DatabaseError(StoreError):
    """The database cannot be opened or used at all."""

    code = "SET-104"
