"""The page of storm profiles: tables and keys, made from the types that read them."""

from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any, get_args, get_origin

import msgspec

from cimcare.storm.profile import BUILT_IN, TABLES, load_profile
from docs.markdown import code, fence, page, table

__all__ = ["pages"]

_INTRODUCTION = """
A profile says what a storm is made of. The product comes with some; your own is a file in TOML, named by `--profile`.
Numbers are for a scale of 1, and `--scale` scales tickets and premises alike. What is unknown, of the wrong type or
does not go together is refused with file, line and what would pass (`SIM-111`). Keys without a default have to be
there. The form is ours. How to: [Storms](../guides/storms.md).
"""


def pages() -> dict[str, str]:
    """The page by its path below docs/."""
    shipped = [load_profile(name) for name in BUILT_IN]
    rows = [
        [code(one.name), one.title, f"{one.tickets_in_all:,}", str(one.minutes), f"{one.status.per_ticket:g}"]
        for one in shipped
    ]
    parts = [
        _INTRODUCTION,
        "## Profiles that come with the product",
        table(["Profile", "What", "Tickets", "Minutes", "Questions a ticket"], rows),
        "Where their numbers come from, and which are our assumption, stands at their head:",
        fence((files("cimcare.storm") / "profiles" / "isaias.toml").read_text("utf-8"), "toml"),
    ]
    for path, kind in TABLES.items():
        name = f"`[[{path[0]}]]`" if path == ("partners",) else f"`[{path[0]}]`" if path else "The file"
        parts.append(f"## {name}")
        parts.append((kind.__doc__ or "").strip())
        parts.append(table(["Key", "Value", "Default", "Meaning"], _rows(kind)))
    return {"reference/storm-profiles.md": page("Profiles of storms", "cimcare.storm.profile", *parts)}


def _rows(kind: type[msgspec.Struct]) -> list[list[str]]:
    return [
        [code(one.encode_name), _value(one.type), _default(one), _about(one.type)]
        for one in msgspec.structs.fields(kind)
        if one.encode_name not in {path[0] for path in TABLES if path}
    ]


def _metas(annotation: Any) -> list[msgspec.Meta]:
    return list(get_args(annotation)[1:]) if get_origin(annotation) is Annotated else []


def _about(annotation: Any) -> str:
    return next((one.description for one in _metas(annotation) if one.description), "")


def _value(annotation: Any) -> str:
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    names = {int: "a whole number", float: "a number", str: "a text", datetime: "an instant"}
    name = names.get(inner, "a list of texts" if str in get_args(inner) else "a list of points")
    least = next((x for m in _metas(annotation) for x in (m.ge, m.gt) if x is not None), None)
    most = next((m.le for m in _metas(annotation) if m.le is not None), None)
    bounds = [f"from {least:,g}" if least is not None and least < 1e6 else ""]
    bounds.append(f"to {most:,}" if most is not None else "")
    return " ".join(part for part in (name, *bounds) if part)


def _default(one: msgspec.structs.FieldInfo) -> str:
    if one.default is msgspec.NODEFAULT:
        return ""
    value = list(one.default) if isinstance(one.default, tuple) else one.default
    return code(msgspec.json.encode(value).decode())
