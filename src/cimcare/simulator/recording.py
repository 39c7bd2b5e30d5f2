"""Makes a scenario of what was exchanged, with everything replaced in it that could give somebody away.

Pure. Sent is what came to the hub; what has to come of it is the result that it had. The hub may give identifiers of
its own: `gave` names those that came back then, so that later messages speak of those that come back when it is played.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.model.envelope import EventMessage, FaultMessage, ResponseMessage
from cimcare.simulator.forms import Spoken
from cimcare.simulator.replacing import Replacer

__all__ = ["Recorded", "build_scenario"]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One message and what was answered.

    `at` is when it came (aware). `answer` is None where nothing was answered. `is_told` marks an event that the hub
    told others: something that has to arrive.
    """

    at: datetime
    message: Spoken
    answer: ResponseMessage | FaultMessage | None = None
    is_told: bool = False


def build_scenario(recorded: Sequence[Recorded], replacer: Replacer, *, about: str) -> str:
    """The text of a scenario file: the messages in their order, at their times, with everything replaced.

    Events that were told are steps only where they answer to a message that is one.
    """
    for each in recorded:
        replacer.learn(each.message)
        if isinstance(each.answer, ResponseMessage):
            replacer.learn(each.answer)
    begun = recorded[0].at if recorded else None
    steps: list[str] = [f"about = {_quoted(about)}\n"]
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    replied: set[str] = set()
    for number, each in enumerate(recorded, 1):
        assert begun is not None
        seconds = max((each.at - begun).total_seconds(), 0.0)
        message = replacer.replace(each.message)
        assert isinstance(message, Spoken)
        if each.is_told:
            if step := _arrival(message, names):
                steps.append(step)
            continue
        text = render_message(message).decode().partition("\n")[2]
        name = f"message {number}"
        said = "" if text in texts else _literal(text)
        lines = ["[[steps]]", f'name = "{name}"', f"at_seconds = {seconds:.3f}"]
        lines.append(f"message = {said}" if said else f'again = "{texts[text]}"')
        if said or each.answer is not None:
            lines += _expectation(each, replacer)
        elif texts[text] in replied:  # a repeat, whose answer is not kept a second time
            lines.append(f'expect = {{ same_as = "{texts[text]}" }}')
        if isinstance(each.answer, ResponseMessage):
            replied.add(name)
        steps.append("\n".join(lines) + "\n")
        texts.setdefault(text, name)
        for identifier in (message.header.message_id, message.header.correlation_id):
            if identifier:
                names.setdefault(identifier, name)
    return "\n".join(steps)


def _arrival(message: Spoken, names: dict[str, str]) -> str:
    """The step that waits for an event; empty where it answers to nothing that is played."""
    name = names.get(message.header.correlation_id or "")
    if name is None or not isinstance(message, EventMessage):
        return ""
    header = message.header
    return f'[[steps]]\narrives = {{ verb = "{header.verb}", noun = {_quoted(header.noun)}, answers = "{name}" }}\n'


def _expectation(each: Recorded, replacer: Replacer) -> list[str]:
    if isinstance(each.answer, FaultMessage):
        return ["expect = { fault = true }"]
    if each.answer is None:
        return []
    lines = [f'expect = {{ result = "{each.answer.reply.result}" }}']
    gave = [_quoted(replacer.replace_text(one.value)) for one in each.answer.reply.id]
    return [*lines, f"gave = [{', '.join(gave)}]"] if gave else lines


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in escaped) + '"'


def _literal(document: str) -> str:
    """A document as a literal string of TOML, which knows no escapes."""
    return "'''\n" + document.replace("'''", "&#39;&#39;&#39;").replace("\x7f", "&#127;") + "'''"
