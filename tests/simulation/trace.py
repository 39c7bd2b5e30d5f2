"""What happened in a run, line by line, and what was wrong with it."""

from collections.abc import Iterator

from tests.simulation.loop import VirtualLoop

__all__ = ["Trace", "ViolationError"]


class ViolationError(AssertionError):
    """A promise that was not kept, seen while the world runs."""


class Trace:
    """The conversation of a run: instant, step of the loop, who, and what."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._lines: list[tuple[float, int, str, str, tuple[object, ...]]] = []

    def note(self, who: str, what: str, *values: object) -> None:
        """Keep a line; it is put into words only if somebody wants to read it."""
        self._lines.append((self._loop.time(), self._loop.steps, who, what, values))

    def lines(self, about: str = "") -> Iterator[str]:
        """The lines in words, or those of them in which a word occurs."""
        for at, step, who, what, values in self._lines:
            line = f"{at:11.4f} #{step:<6} {who:<14} {what.format(*values)}"
            if about in line:
                yield line
