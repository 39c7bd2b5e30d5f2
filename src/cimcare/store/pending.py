"""Rows of a database transaction that are kept in memory, to be written all at once."""

from typing import Generic, Protocol, TypeAlias, TypeVar

__all__ = ["Mark", "Pending", "Undoable"]

T = TypeVar("T")

Mark: TypeAlias = tuple[int, int]
"""How many rows there were, and how many of them were written."""


class Undoable(Protocol):
    """What can go back to where it was."""

    def mark(self) -> Mark:
        """Where a part begins."""
        ...

    def undo(self, mark: Mark) -> None:
        """What was added since the mark was undone, in the database too."""
        ...


class Pending(Generic[T]):
    """Rows in the order in which they were added. What was written for a part that is then undone is not written."""

    def __init__(self) -> None:
        self._rows: list[T] = []
        self._written = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: T) -> None:
        """Put a row at the end."""
        self._rows.append(row)

    @property
    def last(self) -> T | None:
        """The row added last; None if there is none."""
        return self._rows[-1] if self._rows else None

    @property
    def unwritten(self) -> list[T]:
        """What the database does not have yet, oldest first."""
        return self._rows[self._written :]

    def note_written(self) -> None:
        """The database has all of them."""
        self._written = len(self._rows)

    def mark(self) -> Mark:
        """Where a part begins, for `undo`."""
        return len(self._rows), self._written

    def undo(self, mark: Mark) -> None:
        """What was added since the mark was undone, in the database too."""
        kept, self._written = mark
        del self._rows[kept:]

    def clear(self) -> None:
        """The transaction has ended."""
        self._rows.clear()
        self._written = 0
