"""What every complex value of the model has in common: `Structure`, and the facts about a member, `Member`.

A Structure is a frozen value. Its fields stand in the order of the schema; the name of an element is the field's name
in lower camel case unless the field says otherwise. All facts that the schemas, the codec and the reference pages
need are read from the fields, so there is one place to correct.

Source: the design rules of IEC 61968 payload schemas (order, optionality, identity); the rest is ours.
"""

import types
from enum import StrEnum
from typing import Annotated, Any, ClassVar, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

__all__ = [
    "OURS",
    "READING",
    "STANDARD",
    "UNITS",
    "Confidence",
    "Element",
    "Extension",
    "Member",
    "Structure",
    "elements_of",
]


class Confidence(StrEnum):
    """How well founded a member is."""

    STANDARD = "standard"
    """Read from a schema of the standards, the published one or its final draft."""
    READING = "reading"
    """Follows from the CIM classes; the schema of IEC 61968-8 itself was not seen."""
    OURS = "ours"
    """Our addition, always optional."""


STANDARD = Confidence.STANDARD
READING = Confidence.READING
OURS = Confidence.OURS


UNITS = {"Voltage": "volts", "CurrentFlow": "amperes", "Money": "the agreed currency"}
"""Units of the CIM datatypes; the model fixes them and only the value is sent."""


class Member(msgspec.Struct, frozen=True):
    """Facts about one member of a Structure that its type cannot say.

    `cim` is the CIM member as `Class.member`, or None where there is none. `required` marks a member that the schema
    for `create` makes mandatory while a `change` may leave it out; the Python field stays optional so that both can be
    built. `attribute` and `text_content` mark the members of an element that has text and attributes (ID).
    """

    cim: str | None
    confidence: Confidence
    text: str = ""
    required: bool = False
    attribute: bool = False
    text_content: bool = False


class Extension(msgspec.Struct, frozen=True, kw_only=True, tag_field="noun", tag="*"):
    """An element that the model does not know, kept as it came and written back.

    `xml` is the element in exclusive canonical form. `after` counts the known child elements that stood before it.
    """

    xml: str
    after: int = 0


class Structure(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename="camel", gc=False
):
    """Base of every complex value. `extensions` holds child elements that the model does not know."""

    XML_TYPE: ClassVar[str]
    CIM_CLASS: ClassVar[str | None] = None
    SCHEMA_ORDER: ClassVar[tuple[str, ...]] = ()
    """Fields in the order of the schema, where a mandatory one stands behind an optional one there."""

    extensions: tuple[Extension, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Complete the docstring with the facts of the class's own members."""
        super().__init_subclass__(**kwargs)
        lines = []
        for name, hint in get_type_hints(cls, include_extras=True).items():
            for fact in getattr(hint, "__metadata__", ()):
                if isinstance(fact, Member):
                    text = f"{fact.text} " if fact.text else ""
                    source = f"CIM {fact.cim}, " if fact.cim else ""
                    kind = get_args(hint)[0]
                    names = [getattr(part, "__name__", "") for part in (get_args(kind) or (kind,))]
                    unit = next((f"in {UNITS[part]}, " for part in names if part in UNITS), "")
                    lines.append(f"    {name}: {text}({source}{unit}{fact.confidence})")
        if lines:
            cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n\nMembers, in the order of the schema:\n" + "\n".join(lines)


class Element(msgspec.Struct, frozen=True):
    """One member of a Structure, resolved: how it is called in XML and Python, what it holds, how often it may occur.

    `kind` is the Python type of one occurrence: a Structure class, an enumeration, or a simple type. `datatype` is the
    NewType behind it, if any (`MRID`, `Voltage`, ...). `least` is the lower bound where all mandatory members are asked
    for, `least_partial` where a part will do (change, replies). `many` says whether it may occur more than once.
    """

    field: str
    name: str
    kind: type[Any]
    datatype: str | None
    least: int
    least_partial: int
    many: bool
    member: Member

    @property
    def is_complex(self) -> bool:
        """Whether an occurrence has child elements of its own."""
        return issubclass(self.kind, Structure)


def elements_of(structure: type[Structure]) -> tuple[Element, ...]:
    """Members of a Structure in the order of the schema, without `extensions`."""
    hints = get_type_hints(structure, include_extras=True)
    found = []
    order = structure.SCHEMA_ORDER
    infos = msgspec.structs.fields(structure)
    if order:
        infos = tuple(sorted(infos, key=lambda info: order.index(info.name) if info.name in order else len(order)))
    for info in infos:
        hint = hints[info.name]
        if get_origin(hint) is not Annotated:
            continue
        inner, *facts = get_args(hint)
        member = next(fact for fact in facts if isinstance(fact, Member))
        many = get_origin(inner) is tuple
        optional = False
        if many:
            inner = get_args(inner)[0]
        elif get_origin(inner) in (Union, types.UnionType):
            optional = True
            inner = next(part for part in get_args(inner) if part is not type(None))
        datatype = None
        if isinstance(inner, NewType):
            datatype, inner = inner.__name__, inner.__supertype__
        always = 0 if many or optional else 1
        found.append(
            Element(
                field=info.name,
                name=info.encode_name,
                kind=inner,
                datatype=datatype,
                least=1 if member.required else always,
                least_partial=always,
                many=many,
                member=member,
            )
        )
    return tuple(found)
