"""What messages of the log are searched by: terms, and groups of them.

A term is a number of 48 bits that stands for one thing that a message says: that it is about certain premises, or has a
certain word in it. It is a digest, so an index of terms can be read by nobody who does not know already what to ask
for. Two things with one term are so rare that nobody will meet them; what the columns of the log say is compared again.

Pure. It runs for every message that is kept, so it is written for speed.

Source: ours (decision 107).
"""

import codecs
import contextlib
import json
import re
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

from cimcare.errors import CimcareError
from cimcare.exchange.facts import fold, subjects_of
from cimcare.exchange.log import Content, Direction, Group, LogEntry, LogSelection, Outcome, Transport

__all__ = [
    "LOOK",
    "MOST_WORDS",
    "NoWordsError",
    "Subject",
    "facets_of",
    "groups_of",
    "outcome_term",
    "term_of",
    "terms_of",
    "word_groups",
    "words_of",
]

LOOK = 500
"""Messages that one search looks at, at most, where no index knows the answer by itself."""

MOST_WORDS = 500
"""Different words of a message by which it is found; what stands behind those is found by other means."""

_MOST_BYTES = 256 * 1024
"""Of a larger message only the beginning is looked through for words."""


class Subject(StrEnum):
    """Of what sort a term is. An object stands in the payload of a message; a reference is an ID of one."""

    VERB = "v"
    NOUN = "n"
    PARTNER = "s"
    DIRECTION = "d"
    OUTCOME = "x"
    PREMISES = "p"
    ACCOUNT = "a"
    OBJECT = "o"
    REFERENCE = "r"
    WORD = "w"


_SAID = (Subject.WORD, Subject.PREMISES, Subject.ACCOUNT, Subject.OBJECT, Subject.REFERENCE)
"""What somebody may mean who types a word."""


class NoWordsError(CimcareError):
    """A text in which there is no word to look for."""

    code = "EXC-110"


def term_of(subject: Subject, value: str) -> int:
    """The term of one thing; upper and lower case do not count."""
    return _digest(subject.value + fold(value))


@lru_cache(maxsize=16384)
def _digest(content: str) -> int:
    return int.from_bytes(blake2b(content.encode("utf-8", "surrogatepass"), digest_size=6).digest())


def facets_of(entry: LogEntry) -> tuple[int, ...]:
    """Terms of what the columns say, as far as they are searched by; the outcome only when there is one."""
    facets = [_digest(f"d{entry.direction.value}")]
    if entry.verb:
        facets.append(_digest(f"v{fold(entry.verb)}"))
    if entry.noun:
        facets.append(_digest(f"n{fold(entry.noun)}"))
    if entry.partner:
        facets.append(_digest(f"s{fold(entry.partner)}"))
    if entry.outcome:
        facets.append(outcome_term(entry.outcome))
    return tuple(facets)


def outcome_term(outcome: str) -> int:
    """The term of an outcome, which may come later than the message."""
    return term_of(Subject.OUTCOME, outcome)


def terms_of(entry: LogEntry, raw: bytes, about: Content | None) -> tuple[int, ...]:
    """All terms of a message, in order, each once.

    Words are those that somebody brought into the log: of what came in, of what nobody's message led to, and of errors.
    What was told or passed on because of a message says again what that said; it is found by what it is about.

    Args:
        entry: Its entry.
        raw: Its bytes, from which come the words.
        about: Its content, where it could be read: premises, accounts and objects.
    """
    terms = set(facets_of(entry))
    words: set[str] = set()
    if entry.transport is Transport.REST_TABLE:
        pass  # rows of numbers
    elif entry.direction is Direction.IN or entry.answer_to is None:
        words = _words_in(raw)
    elif entry.outcome in _NOT_WELL and entry.archetype in ("ResponseMessage", "FaultMessage"):
        words = _words_in(raw, end=_PAYLOAD)
    if about is not None:
        subjects = subjects_of(about)
        for subject, values in (
            ("p", subjects.premises),
            ("a", subjects.accounts),
            ("o", tuple(chain.from_iterable(subjects.objects))),
            ("r", subjects.references),
        ):
            if values:
                identities = set(map(fold, values))
                words -= identities  # `word_groups` finds them by what they are
                terms.update([_digest(subject + value) for value in identities])
    terms.update([_digest("w" + word) for word in words])
    return tuple(sorted(terms))


def groups_of(selection: LogSelection) -> list[Group]:
    """Groups of what a selection says of the columns that are searched by terms, what is likely to be rare first."""
    wanted = (
        (Subject.PARTNER, selection.partner),
        (Subject.NOUN, selection.noun),
        (Subject.VERB, selection.verb),
        (Subject.DIRECTION, Direction.IN if selection.counted else selection.direction),
    )
    groups = [frozenset({term_of(subject, value)}) for subject, value in wanted if value]
    if selection.outcomes and Outcome.NONE not in selection.outcomes:  # which has no term
        groups.insert(0, frozenset(map(outcome_term, selection.outcomes)))
    return groups


def word_groups(text: str) -> list[Group]:
    """A group for each word of what somebody looks for.

    Raises:
        NoWordsError: No word of three characters or more.
    """
    words = words_of(text)
    if not words:
        raise NoWordsError("no word of three characters or more")
    return [frozenset(term_of(subject, word) for subject in _SAID) for word in sorted(words)]


# ------------------------------------------------------------------------------------------------------------- words

_TAG = re.compile(r"<[^>]*>")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_JSON_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
_PIECE = re.compile(r"[^\s,;:()\"'!?/\\\[\]{}<>=|&]+")
_ENCODING = re.compile(rb"^\s*<\?xml[^>]*encoding=[\"']([\w.-]{1,40})[\"']")
_ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPED = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dt[\d.:z+-]*")
_ENDS = ",;:()\"'!?/\\[]{}<>=|&.-_"
_LEAST = 3
_LONGEST = 200
_HEADER = "Header>"
_FURTHEST_HEADER = 65536
_PAYLOAD = "Payload>"
_NOT_WELL = frozenset({Outcome.PARTIAL, Outcome.FAILED, Outcome.FAULT})


def words_of(text: str) -> set[str]:
    """Words of a text: of three characters or more, without case, what stands at their ends taken off.

    A word with hyphens counts as a whole, and if all its parts are letters each of those counts, too. Instants are no
    words, for they are searched by time.
    """
    words = set()
    for piece in set(fold(text).split()):
        word = piece if piece.isalnum() else piece.strip(_ENDS)
        if len(word) < _LEAST:
            continue
        if word.isalnum():
            words.add(word[:_LONGEST])
        elif (bare := word.replace("-", "")).isalnum():
            words.add(word[:_LONGEST])
            if bare.isalpha():
                words.update(part for part in word.split("-") if len(part) >= _LEAST)
        elif not (word[0].isdigit() and _INSTANT.fullmatch(word)):
            for part in _PIECE.findall(word):
                if part != word:
                    words |= words_of(part)
                else:
                    words.add(word[:_LONGEST])
    return words


def _words_in(raw: bytes, end: str = "") -> set[str]:
    """Words of the texts of a message behind its header, and before `end`.

    Of what is cut off or cannot be read they are found as far as it goes.
    """
    text = _decoded(raw[:_MOST_BYTES])
    if text.lstrip()[:1] == "{":
        found = " ".join(_unescaped(each) for each, colon in _JSON_TEXT.findall(text) if not colon)
    else:
        start = text.rfind(_HEADER, 0, _FURTHEST_HEADER)  # the last is that of the message, behind the one of SOAP
        found = text[start + len(_HEADER) :] if start >= 0 else text
        if end:
            found = found.partition(end)[0]
        if "<![CDATA[" in found:
            found = _CDATA.sub(r"\1", found)
        found = _TAG.sub(" ", found)
        if "&" in found:
            found = _ENTITY.sub(_meant, found)
    words = words_of(found)
    return words if len(words) <= MOST_WORDS else _first(found)


def _first(text: str) -> set[str]:
    """The first words of a text, so many that it is enough."""
    kept: set[str] = set()
    for piece in text.split():
        kept |= words_of(piece)
        if len(kept) >= MOST_WORDS:
            break
    return kept


def _decoded(raw: bytes) -> str:
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return raw.decode("utf-16", "replace")
    encoding = "utf-8"
    if (said := _ENCODING.match(raw)) is not None:
        with contextlib.suppress(LookupError):
            encoding = codecs.lookup(said[1].decode()).name
    try:
        return raw.decode(encoding, "replace")
    except (LookupError, UnicodeError):
        return raw.decode("utf-8", "replace")


def _meant(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    if name:
        return _NAMED[name]
    number = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return chr(number) if number <= 0x10FFFF else " "


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: str(json.loads(f'"{found[0]}"')), text)
