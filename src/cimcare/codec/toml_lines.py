"""On which line of a file in TOML each key stands, which the parser of the standard library does not tell.

Pure. It reads what that parser has accepted, and so needs to know where a value ends but not what it is.
"""

import re
import tomllib
from collections.abc import Mapping

__all__ = ["lines_of"]

Path = tuple[str, ...]

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANKS = re.compile(r"[ \t]*")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"""{1,3}|\'\'\'.*?\'\'\'{1,3}|"(?:\\.|[^"\\])*"|'[^']*\'''', re.DOTALL
)  # three quotes that end a string of several lines may be preceded by two more that belong to it
_PLAIN = re.compile(r"[^,\[\]{}#\n]+")  # number, instant or truth value; instants may hold a blank


def lines_of(text: str) -> Mapping[Path, int]:
    """Line of each key and each table, counted from 1, by the names on the way to it.

    Of what is written in several places, as a table that has sub-tables elsewhere, it is the first.

    Args:
        text: A file that `tomllib` has accepted.
    """
    return _Reader(text).read()


class _Reader:
    """Goes through the text from key to key."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._counted = 0
        self._line = 1
        self._lines: dict[Path, int] = {}

    def read(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_GAP) < len(self._text):
            if self._text[self._at] != "[":
                self._read_pair(table)
                continue
            line = self._line_here()
            while self._text[self._at] == "[":
                self._at += 1
            table = self._read_key((), line)
            while self._text[self._at : self._at + 1] == "]":
                self._at += 1
        return self._lines

    def _read_pair(self, table: Path) -> None:
        path = self._read_key(table, self._line_here())
        self._at += 1  # the equals sign
        self._read_value(path)

    def _read_key(self, table: Path, line: int) -> Path:
        """A key, which may have several parts; afterwards at what follows it."""
        path = table
        while True:
            self._skip(_BLANKS)
            part = _PART.match(self._text, self._at)
            assert part is not None, f"no key in line {line}"
            self._at = part.end()
            path = (*path, _plain(part[0]))
            self._lines.setdefault(path, line)
            self._skip(_BLANKS)
            if self._text[self._at : self._at + 1] != ".":
                return path
            self._at += 1

    def _read_value(self, path: Path) -> None:
        self._skip(_GAP)
        opening = self._text[self._at]
        if opening not in "[{":
            found = (_STRING if opening in "\"'" else _PLAIN).match(self._text, self._at)
            assert found is not None, f"no value in line {self._line_here()}"
            self._at = found.end()
            return
        self._at += 1
        while self._text[self._skip(_GAP)] not in "]}":
            if self._text[self._at] == ",":
                self._at += 1
            elif opening == "{":
                self._read_pair(path)
            else:
                self._read_value(path)
        self._at += 1

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._at)
        assert found is not None  # it may be empty
        self._at = found.end()
        return self._at

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _plain(part: str) -> str:
    """A part of a key without its quotes and escapes."""
    return part if part[0] not in "\"'" else next(iter(tomllib.loads(f"{part} = 0")))
