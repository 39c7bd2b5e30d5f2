"""Markdown, as far as the generated pages need it."""

from collections.abc import Iterable, Sequence

__all__ = ["anchor", "code", "fence", "page", "table"]


def page(title: str, source: str, *parts: str) -> str:
    """A page: title, a line that says what it is made from, and its parts."""
    note = f"<!-- Made by scripts/make_docs.py from {source}. Change that, then run `make docs`. -->"
    return "\n\n".join([f"# {title}", note, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold Markdown, but no bars."""
    lines = [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def code(text: str) -> str:
    """Text as code; nothing for no text."""
    return f"`{text}`" if text else ""


def fence(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def anchor(title: str) -> str:
    """Anchor of a heading, as the usual renderers make it."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")
