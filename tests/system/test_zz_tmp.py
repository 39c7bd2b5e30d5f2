"""Two thousand mutations of valid messages: each is served, refused or faulted, and none is half done."""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from cimcare.model.envelope import FaultMessage, ResponseMessage, Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS, answer_of
from tests.support.hub import call
from tests.unit.hub.conftest import HeldHub

import os
SEED = int(os.environ["SEED"]); MANY = 3000
VALUES = [
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "NaN",
    "true",
    "2026-02-30T25:61:00Z",
    "\u00e4\U0001f525",
    "x" * 5000,
    "<",
    "]]>",
]
NAMES = ["mRID", "Verb", "Noun", "Header", "Payload", "status", "x", "TroubleTicket", "Work", "ID"]


def _pick(root: etree._Element, chance: random.Random) -> etree._Element:
    return chance.choice([element for element in root.iter(etree.Element) if element is not root])


def drop(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    element.getparent().remove(element)


def double(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    element.addnext(etree.fromstring(etree.tostring(element, with_tail=False)))


def swap(root: etree._Element, chance: random.Random) -> None:
    one, other = _pick(root, chance), _pick(root, chance)
    one.text, other.text = other.text, one.text
    one.tag, other.tag = other.tag, one.tag


def move(root: etree._Element, chance: random.Random) -> None:
    element, target = _pick(root, chance), _pick(root, chance)
    if target not in [element, *element.iterdescendants()]:
        target.append(element)


def misspell(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    name = etree.QName(element)
    other = chance.choice([*NAMES, name.localname.lower(), name.localname + "s", name.localname[1:] or "y"])
    element.tag = f"{{{name.namespace}}}{other}" if name.namespace else other


def rename_space(root: etree._Element, chance: random.Random) -> None:
    element = _pick(root, chance)
    element.tag = (
        chance.choice(["{urn:x}", "", "{http://www.iec.ch/TC57/2011/schema/message}"]) + etree.QName(element).localname
    )


def retype(root: etree._Element, chance: random.Random) -> None:
    _pick(root, chance).text = chance.choice(VALUES)


def fill(root: etree._Element, chance: random.Random) -> None:
    etree.SubElement(_pick(root, chance), chance.choice(NAMES)).text = chance.choice(VALUES)


def attribute(root: etree._Element, chance: random.Random) -> None:
    names = ["kind", "idType", "{http://www.w3.org/2001/XMLSchema-instance}nil", "{urn:x}y"]
    _pick(root, chance).set(chance.choice(names), chance.choice(["true", "uuid", "", "\u00e4"]))


TREE: list[Callable[[etree._Element, random.Random], None]] = [
    drop, double, swap, move, misspell, rename_space, retype, fill, attribute,
]  # fmt: skip


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


def encode(raw: bytes, chance: random.Random) -> bytes:
    text = raw.decode()
    return chance.choice(
        [
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.replace("UTF-8", "ISO-8859-1").encode(),
            text.replace("UTF-8", "KLINGON").encode(),
            text.replace("UTF-8", "UTF-16").encode(),
            b"\xef\xbb\xbf" + raw,
            raw.replace(b"a", b"\xe4", 3),
            raw.replace(b"e", b"\x00", 1),
        ]
    )


BYTES: list[Callable[[bytes, random.Random], bytes]] = [truncate, flip, cut, encode]


def mutate_json(raw: bytes, chance: random.Random) -> bytes:
    """Another value or name at one place of a JSON document."""
    places: list[tuple[dict[str, object] | list[object], str | int]] = []

    def walk(value: object) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            places.append((value, key))
            walk(inner)

    document = json.loads(raw)
    walk(document)
    holder, key = chance.choice(places)
    values = [None, 0, -1.5, True, [], {}, *VALUES, "\x00\x01", [[]], 10**30, {"xml": "<a>", "noun": "*"}]
    if isinstance(holder, dict) and chance.random() < 0.5:
        value = holder.pop(key)
        if chance.random() < 0.5:
            holder[chance.choice(NAMES)] = value
    else:
        holder[key] = chance.choice(values)
    return json.dumps(document).encode()


def effects(folder: Path) -> list[tuple[object, ...]]:
    """All objects as stored."""
    with sqlite3.connect(folder / "hub.db") as connection:
        rows = connection.execute(
            "SELECT collection, mrid, state, modified_at, body FROM records ORDER BY id"
        ).fetchall()
    connection.close()
    return rows


def count_log(folder: Path) -> Counter[str]:
    with sqlite3.connect(folder / "hub.db") as connection:
        rows = connection.execute("SELECT direction, count(*) FROM messages GROUP BY direction").fetchall()
    connection.close()
    return Counter(dict(rows))


async def test_two_thousand_mutations_are_all_answered_and_none_is_half_done(tmp_path: Path) -> None:
    """Partners' software has faults of every kind; the hub may be asked anything and must stay whole."""
    chance = random.Random(SEED)
    held = HeldHub()
    await held.open(tmp_path)
    verbs = sorted((REQUEST_VERBS | EVENT_VERBS) - {Verb.EXECUTED})
    outcomes: Counter[str] = Counter()
    for number in range(MANY):
        noun, verb = chance.choice(list(Noun)), chance.choice(verbs)
        message = build_message(noun, verb, seed=chance.randrange(20))
        names = ["soap11", "soap12", "rest-xml", "rest-json"]
        if Verb.EXECUTE is not verb:
            names.append("soap-typed")
        channel = CHANNELS[chance.choice(names)]
        raw = channel.render(message)
        if channel.name == "rest-json" and chance.random() < 0.7:
            raw = mutate_json(raw, chance)
        elif chance.random() < 0.3 or channel.name == "rest-json":
            raw = chance.choice(BYTES)(raw, chance)
        else:
            root = etree.fromstring(raw)
            chance.choice(TREE)(root, chance)
            raw = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
        held.later(seconds=1)
        before, logged = effects(tmp_path), count_log(tmp_path)
        response = await call(held.hub.app, channel.path(message), raw, headers={"content-type": channel.content_type})
        assert response is not None
        after = count_log(tmp_path)
        assert after["in"] == logged["in"] + 1, (number, raw)
        if response.status == 202:
            outcomes["one-way"] += 1
            continue
        answer = answer_of(channel, response)
        told = {error.details or "" for error in answer.reply.error}
        assert not any("EXC-109" in detail for detail in told), (number, held.logged[-1:], raw)
        assert b"Traceback" not in response.body
        if isinstance(answer, FaultMessage):
            assert response.status == (500 if channel.is_soap else 400)
            outcomes["fault"] += 1
        else:
            assert isinstance(answer, ResponseMessage)
            assert response.status == 200
            outcomes[answer.reply.result.value] += 1
        if answer.reply.result is Result.FAILED:
            assert effects(tmp_path) == before, (number, raw)
            assert answer.reply.error, (number, raw)
            assert all(error.reason and error.details for error in answer.reply.error)
    await held.hub.close()
    print(outcomes); assert held.logged == []
    assert min(outcomes[kind] for kind in ("OK", "FAILED", "fault")) > 100, outcomes
