"""Keys of the file of settings: what each is, how its value is read, and how a mistake is told.

A group of keys is a Struct whose fields carry description, unit and bounds; the reference page and the messages are
made of them.
"""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from cimcare.errors import Finding, finding_of

__all__ = [
    "PREFIX",
    "Key",
    "Mistake",
    "Place",
    "Plain",
    "Setting",
    "closest",
    "described",
    "keys_of",
    "nearest",
    "read_value",
    "written",
]

PREFIX = "CIMCARE_"
"""How variables of the environment begin that are meant for us."""

Plain: TypeAlias = str | int | float | bool | tuple[str, ...] | Mapping[str, str] | None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about one setting. `kind` says in words what would pass."""

    name: str
    kind: str
    default: Plain
    unit: str
    text: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.replace(".", "_").replace("-", "_").upper()

    @property
    def accepted(self) -> str:
        """What would pass, with its unit."""
        return f"{self.kind} ({self.unit})" if self.unit else self.kind


class Key(NamedTuple):
    """A setting with the annotated type of its values, and whether a list may be one parted text also in the file."""

    setting: Setting
    hint: object
    is_parted: bool


class Place(NamedTuple):
    """Where a value was given: the file, or `environment`; the path in it, or the variable; the line if it has one."""

    file: str
    path: str
    line: int | None = None


class Mistake(NamedTuple):
    """Something in the settings that cannot be used: in which file, and what."""

    file: str
    finding: Finding

    @classmethod
    def at(cls, place: Place, code: str, found: str, accepted: str, why: str = "") -> "Mistake":
        """A mistake at a place; `why` is for the reader who asks what the key is for."""
        return cls(place.file, finding_of(code, place.path, found, accepted, why, line=place.line))

    def describe(self) -> str:
        """The mistake in one line: `file:line: path: CODE found; accepted; why`."""
        return self.finding.describe(self.file)


def described(
    text: str,
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    shortest: int | None = None,
    is_parted: bool = False,
) -> Meta:
    """Facts of a key.

    Args:
        text: What it is, in one sentence.
        unit: Unit of a number.
        least: Least number, included.
        most: Greatest number, included.
        shortest: Least length of a text.
        is_parted: Whether a list may also be given as one text that is parted by commas or blanks. In the environment
            every list is.
    """
    extra: dict[str, object] = {"unit": unit, "is_parted": is_parted}
    if shortest is not None:
        return Meta(description=text, min_length=shortest, extra=extra)
    return Meta(description=text, ge=least, le=most, extra=extra)


def keys_of(default: msgspec.Struct, prefix: str = "") -> Iterator[Key]:
    """Keys of a group and of the groups inside it, with the values of `default` as their defaults."""
    hints = get_type_hints(type(default), include_extras=True)
    for field, name in zip(default.__struct_fields__, default.__struct_encode_fields__, strict=True):
        value = getattr(default, field)
        if isinstance(value, msgspec.Struct):
            yield from keys_of(value, f"{prefix}{name}.")
            continue
        hint = hints[field]
        if get_origin(hint) is not Annotated:  # tables whose names are the user's
            continue
        inner, meta = get_args(hint)[:2]
        yield Key(
            Setting(
                name=f"{prefix}{name}",
                kind=_kind(inner, meta),
                default=value,
                unit=(meta.extra or {}).get("unit", ""),
                text=meta.description or "",
            ),
            hint,
            _is_parted(meta),
        )


def _kind(inner: object, meta: Meta) -> str:
    if get_origin(inner) is Literal:
        return _one_of(get_args(inner))
    if get_origin(inner) in (Union, types.UnionType):
        inner = next(part for part in get_args(inner) if part is not type(None))
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        return _one_of(tuple(inner))
    if get_origin(inner) is tuple:
        return "a list of texts" + (", or one text that parts them by commas or blanks" if _is_parted(meta) else "")
    if get_origin(inner) is dict:
        return "a table of texts"
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    kind = next((word for plain, word in words.items() if inner is plain), "a value")
    if meta.min_length:
        return f"{kind} that is not empty"
    if meta.ge is not None and meta.le is not None:
        return f"{kind} from {_number(meta.ge)} to {_number(meta.le)}"
    return kind if meta.ge is None else f"{kind} from {_number(meta.ge)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _is_parted(meta: Meta) -> bool:
    return bool((meta.extra or {}).get("is_parted"))


def _one_of(values: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f'"{value}"' for value in values)


def read_value(key: Key, value: object, place: Place, *, strict: bool = True) -> object | Mistake:
    """The value as the key has it, or why it cannot be.

    Args:
        key: The key.
        value: As it stands in the file, or a text of the environment.
        place: Where it stands.
        strict: Whether a text that spells a number or truth value is refused, as in a file.
    """
    given = value
    if isinstance(value, str) and isinstance(key.setting.default, tuple) and (key.is_parted or not strict):
        given = value.replace(",", " ").split()
    try:
        converted: object = msgspec.convert(given, key.hint, strict=strict)
    except msgspec.ValidationError:
        return Mistake.at(place, "SET-101", _shown(value), key.setting.accepted, key.setting.text)
    return converted


def _shown(value: object) -> str:
    return "a table" if isinstance(value, dict) else repr(value)


def closest(name: str, known: Sequence[str]) -> str:
    """The known name that is spelt much like this one; empty if none is."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), "")


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that somebody may have meant, by its spelling or by its last part; empty if none is like it."""
    last = name.rpartition(".")[2]
    return closest(name, known) or next((other for other in known if other.rpartition(".")[2] == last), "")


def written(value: Plain) -> str:
    """The value as it stands in a file in TOML; empty if there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple):
        return f"[{', '.join(written(each) for each in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{written(name)} = {written(each)}" for name, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return _number(value)
