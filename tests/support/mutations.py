"""Valid messages with one thing wrong: dropped, doubled, misspelt, retyped, cut off. The same for the same seed."""

import json
import random
from collections.abc import Callable, Iterator

import msgspec
from lxml import etree

from cimcare.model.envelope import EventMessage, RequestMessage
from cimcare.model.identity import MessageID
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS, Channel

__all__ = ["Mutation", "build_mutations"]

VERBS = sorted(REQUEST_VERBS | EVENT_VERBS)
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ENVELOPE = "http://iec.ch/TC57/2011/schema/message"

VALUES = [
    "",
    " ",
    "0",
    "-1",
    "+1",
    "9" * 40,
    "1e999",
    "-INF",
    "NaN",
    "1,5",
    "true",
    "TRUE",
    "2026-02-30T25:61:00Z",
    "2026-02-28",
    "2026-02-28T24:00:00Z",
    "0000-01-01T00:00:00Z",
    "12026-01-01T00:00:00+14:00",
    "2026-01-01T00:00:00-99:99",
    "P1Y",
    "ä\U0001f525",
    "\u202e\ufeff",
    "x" * 5000,
    "a\nb\tc  d",
    "<",
    "]]>",
    "&amp;lt;",
    "' OR 1=1 --",
    "../../x",
]
"""Texts that are wrong for most types, and hard on careless software."""

NAMES = ["mRID", "Names", "name", "Verb", "Noun", "Header", "Payload", "status", "x", "TroubleTicket", "Work", "ID"]
SPACES = ["", "urn:x", "http://www.iec.ch/TC57/2011/schema/message", ENVELOPE, NOUNS[Noun.INCIDENTS].namespace]


class Mutation(msgspec.Struct, frozen=True, kw_only=True):
    """One mutation: the way on which it goes, the valid message it was made from, what was done to it, its bytes."""

    number: int
    channel: Channel
    message: RequestMessage | EventMessage
    how: str
    raw: bytes

    @property
    def verb(self) -> Verb:
        """Verb of the valid message."""
        return self.message.header.verb


def _pick(root: etree._Element, chance: random.Random) -> etree._Element:
    return chance.choice([element for element in root.iter(etree.Element) if element is not root])


def _copy(element: etree._Element) -> etree._Element:
    return etree.fromstring(etree.tostring(element, with_tail=False))


# ------------------------------------------------------------------------------------------------ of the tree


def drop(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def double(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    for _ in range(chance.choice([1, 1, 1, 30])):
        element.addnext(_copy(element))


def swap(root: etree._Element, chance: random.Random) -> None:
    """Two neighbours change places."""
    element = _pick(root, chance)
    follower = element.getnext()
    if follower is not None:
        follower.addnext(element)


def exchange(root: etree._Element, chance: random.Random) -> None:
    """Two elements anywhere change names and texts."""
    one, other = _pick(root, chance), _pick(root, chance)
    one.text, other.text = other.text, one.text
    one.tag, other.tag = other.tag, one.tag


def move(root: etree._Element, chance: random.Random) -> None:
    element, target = _pick(root, chance), _pick(root, chance)
    if target not in [element, *element.iterdescendants()]:
        target.append(element)


def hollow(root: etree._Element, chance: random.Random) -> None:
    """An element loses all that is in it."""
    element = _pick(root, chance)
    for child in list(element):
        element.remove(child)
    element.text = None


def misspell(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    name = etree.QName(element)
    local = name.localname
    other = chance.choice([*NAMES, local.lower(), local.upper(), local + "s", local[1:] or "y", local[::-1]])
    element.tag = f"{{{name.namespace}}}{other}" if name.namespace else other


def rename_space(root: etree._Element, chance: random.Random) -> None:
    """Another namespace, for one element or for all of the same."""
    element = _pick(root, chance)
    old, new = etree.QName(element).namespace, chance.choice(SPACES)
    same = [one for one in root.iter(etree.Element) if etree.QName(one).namespace == old]
    for one in same if chance.random() < 0.3 else [element]:
        one.tag = f"{{{new}}}{etree.QName(one).localname}" if new else etree.QName(one).localname


def retype(root: etree._Element, chance: random.Random) -> None:
    leaves = [element for element in root.iter(etree.Element) if not len(element)]
    chance.choice(leaves).text = chance.choice(VALUES)


def retype_header(root: etree._Element, chance: random.Random) -> None:
    """Every field of the header is worth a look of its own."""
    header = next(root.iter("{*}Header{*}", "{*}Header"), root)
    element = chance.choice([header, *header.iterdescendants()])
    element.text = chance.choice([*VALUES, "true", "reply", "execute", "OperationSet", "2", "uuid", "TESTING"])


def fill(root: etree._Element, chance: random.Random) -> None:
    """An element too much."""
    etree.SubElement(_pick(root, chance), chance.choice(NAMES)).text = chance.choice(VALUES)


def mix(root: etree._Element, chance: random.Random) -> None:
    """Text between elements."""
    _pick(root, chance).tail = chance.choice(VALUES)


def attribute(root: etree._Element, chance: random.Random) -> None:
    names = ["kind", "idType", "objectType", "schemaLocation", f"{XSI}nil", f"{XSI}type", f"{XSI}schemaLocation"]
    name = chance.choice([*names, "{urn:x}y", "{http://www.w3.org/XML/1998/namespace}lang"])
    _pick(root, chance).set(name, chance.choice(["true", "uuid", "", "ä", "xs:string", "urn:x file:///x.xsd"]))


def drop_attribute(root: etree._Element, chance: random.Random) -> None:
    holders = [element for element in root.iter(etree.Element) if element.attrib]
    if holders:
        element = chance.choice(holders)
        name = chance.choice(list(element.attrib))
        if chance.random() < 0.5:
            del element.attrib[name]
        else:
            element.set(name, chance.choice(["", "x", "UUID"]))


def comment(root: etree._Element, chance: random.Random) -> None:
    """A comment or an instruction in the middle of a text, which changes nothing."""
    element = chance.choice([one for one in root.iter(etree.Element) if one.text and one.text.strip()])
    text = element.text or ""
    inner = etree.Comment(" x ") if chance.random() < 0.5 else etree.ProcessingInstruction("x", "y")
    inner.tail = text[len(text) // 2 :]
    element.text = text[: len(text) // 2]
    element.insert(0, inner)


def deepen(root: etree._Element, chance: random.Random) -> None:
    """An element inside copies of its own name."""
    element = _pick(root, chance)
    parent = element.getparent()
    assert parent is not None
    place = parent.index(element)
    for _ in range(chance.choice([1, 1, 50, 300])):
        outer = etree.Element(element.tag)
        outer.append(element)
        element = outer
    parent.insert(place, element)


TREE: list[Callable[[etree._Element, random.Random], None]] = [
    drop,
    drop,
    double,
    swap,
    exchange,
    move,
    hollow,
    misspell,
    rename_space,
    retype,
    retype,
    retype_header,
    fill,
    mix,
    attribute,
    drop_attribute,
    comment,
    deepen,
]


# ------------------------------------------------------------------------------------------------ of the bytes


def truncate(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw))]


def flip(raw: bytes, chance: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.randint(1, 5)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def cut(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw))
    return raw[:start] + raw[start + chance.randint(1, 200) :]


def repeat(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw))
    end = start + chance.randint(1, 200)
    return raw[:end] + raw[start:]


def encode(raw: bytes, chance: random.Random) -> bytes:
    """Another encoding, told or not."""
    text = raw.decode()
    return chance.choice(
        [
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-16-be"),
            text.encode("utf-32"),
            text.encode("cp037"),
            text.encode("utf-7"),
            text.encode("utf-16")[:-1],
            text.replace("UTF-8", "ISO-8859-1").encode(),
            text.replace("UTF-8", "KLINGON").encode(),
            text.replace("UTF-8", "UTF-16").encode(),
            text.replace('"UTF-8"', '""').encode(),
            text.replace("1.0", "1.1", 1).encode(),
            b"\xef\xbb\xbf" + raw,
            b"\n " + raw,
            raw.replace(b"a", b"\xe4", 3),
            raw.replace(b"e", b"\xed\xa0\x80", 1),
            raw.replace(b"o", b"\xc0\xaf", 1),
        ]
    )


def control(raw: bytes, chance: random.Random) -> bytes:
    """What XML cannot carry, as itself and by number."""
    odd = chance.choice(
        [b"\x00", b"\x01", b"\x1f", b"\x7f", b"&#0;", b"&#x1;", b"&#xD800;", b"&#xFFFE;", b"&#99999999;"]
    )
    at = chance.choice([place for place, byte in enumerate(raw) if byte == ord(">")]) + 1
    return raw[:at] + odd + raw[at:]


def declare(raw: bytes, chance: random.Random) -> bytes:
    """A document type, an entity, a CDATA section, a second root."""
    head, mark, rest = raw.partition(b"?>")
    kinds = [
        head + mark + b"<!DOCTYPE a>" + rest,
        head + mark + b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + rest.replace(b"create", b"&x;"),
        raw.replace(b"</", b"&x;</", 1),
        raw.replace(b"</", b"<![CDATA[&x;<y>]]></", 1),
        raw + b"<a/>",
        raw + b"\x00",
        rest,
        b"<!-- -- -->" + rest,
        b"<?x ?><!-- y -->" + rest,
    ]
    return chance.choice(kinds)


BYTES: list[Callable[[bytes, random.Random], bytes]] = [truncate, flip, cut, repeat, encode, control, declare]


# ------------------------------------------------------------------------------------------------ of JSON


def mutate_json(raw: bytes, chance: random.Random) -> bytes:
    """Another value or name at one place of a JSON document."""
    places: list[tuple[dict[str, object] | list[object], str | int]] = []

    def walk(value: object) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            places.append((value, key))  # type: ignore[arg-type]  # `items` is empty unless it is one of the two
            walk(inner)

    document = json.loads(raw)
    walk(document)
    holder, key = chance.choice(places)
    odd = [None, 0, -1.5, True, [], {}, [[]], 10**30, "\x00\x01", "\ud800", {"xml": "<a>"}, {"xml": "<a/>"}]
    if isinstance(holder, dict) and chance.random() < 0.5:
        value = holder.pop(str(key))
        if chance.random() < 0.5:
            holder[chance.choice(NAMES)] = value
    else:
        holder[key] = chance.choice([*odd, *VALUES])  # type: ignore[index]  # the key is one of this holder
    return json.dumps(document).encode()


# ------------------------------------------------------------------------------------------------ all together


def _mutate(raw: bytes, channel: Channel, chance: random.Random) -> tuple[str, bytes]:
    if channel.name == "rest-json":
        if chance.random() < 0.7:
            return "mutate_json", mutate_json(raw, chance)
        of_bytes = chance.choice([truncate, flip, cut, repeat, encode])
        return of_bytes.__name__, of_bytes(raw, chance)
    if chance.random() < 0.3:
        of_bytes = chance.choice(BYTES)
        return of_bytes.__name__, of_bytes(raw, chance)
    root = etree.fromstring(raw)
    of_tree = chance.choice(TREE)
    of_tree(root, chance)
    return of_tree.__name__, etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def build_mutations(count: int, *, seed: int) -> Iterator[Mutation]:
    """`count` mutations over all nouns, verbs and ways in; each message has a MessageID and an object of its own."""
    chance = random.Random(seed)
    for number in range(count):
        noun, verb = chance.choice(list(Noun)), chance.choice(VERBS)
        message = build_message(noun, verb, seed=number)
        assert isinstance(message, RequestMessage | EventMessage)
        header = msgspec.structs.replace(message.header, message_id=MessageID(f"mutation-{number}"))
        message = msgspec.structs.replace(message, header=header)
        names = [name for name in CHANNELS if name != "soap-typed" or verb not in (Verb.EXECUTE, Verb.EXECUTED)]
        channel = CHANNELS[chance.choice(names)]
        how, raw = _mutate(channel.render(message), channel, chance)
        yield Mutation(number=number, channel=channel, message=message, how=how, raw=raw)
