"""The page of simulated partners: acts and behaviours, from the code and the files that have them."""

from cimcare.simulator.acts import MEANINGS, WITHOUT_EFFECT
from cimcare.simulator.behaviours import SHIPPED, find_behaviour, shipped_text
from cimcare.simulator.scenarios import SHIPPED_SCENARIOS, scenario_text
from docs.markdown import code, fence, page, table

__all__ = ["pages"]

_KEYS = {
    "about": "One sentence about it.",
    "order": "`by chance` (default): drawn by seed, message and attempt, whatever the order of messages. `in turn`: "
    "each message gets the next of the acts, weights do not count.",
    "unknown": "What becomes of a request about an object that the role has never heard of: `refuse` (default) with "
    "2.15, or `accept`.",
    "certificate": "With `--tls`: `good` (default), `expired`, `other-name`, `unknown-issuer`.",
    "acts": "Table of acts and weights, for all messages that no rule is for.",
    "rules": "List of tables, the first that fits has its say: `verbs`, `nouns`, `attempts` (only the first so many "
    "attempts at a message), `acts`.",
}
_STEP_KEYS = {
    "name": "By which later steps refer to it.",
    "sample": "Sends a sample message: `{ noun = ..., verb = ..., seed = ... }`; all verbs of one seed speak of one "
    "object. `--seed` makes it others.",
    "message": "Sends a document, XML, SOAP or JSON, in the form asked for. With `--seed` its UUIDs and names are "
    "others, the same ones throughout.",
    "file": "The same from a file beside the scenario.",
    "again": "Sends the message of a step once more, the same.",
    "arrives": "Waits for a message at our own address: `verb`, `noun`, `result`, `answers` (the step whose message it "
    "is linked to), `within_seconds` (30).",
    "wait_seconds": "Waits.",
    "at_seconds": "When the step is due after the beginning; without it, when the one before has ended. `--speed` "
    "divides both.",
    "object": "The message is about the object whose ID came back in that step.",
    "reply_to_us": "Asks for the reply at our own address, later.",
    "badly": "Sends it `cut` (breaks off), `drip:SECONDS` (in small pieces), `truncate` (half a document), `garbage`, "
    "`wrong-type`, `huge:MEGABYTES` (with so much behind it).",
    "gave": "IDs that came back when it was recorded; later messages that name them speak of those that come back now.",
    "expect": "What the answer has to be, see below.",
}
_EXPECTATIONS = {
    "result": "`OK`, `PARTIAL` or `FAILED`.",
    "codes": "Codes that are among those of the reply.",
    "ids, found": "At least so many IDs, or objects in the payload.",
    "status": "One of these HTTP statuses.",
    "fault": "A fault.",
    "no_answer": "None, or one that is no message.",
    "not_taken": "Anything but OK, PARTIAL, or an acknowledgement.",
    "same_as": "The reply of that step once more.",
    "within_seconds": "Longest time for the answer; 30 if not given.",
}


def pages() -> dict[str, str]:
    """Pages by path below docs/."""
    return {"reference/simulator.md": _page()}


def _page() -> str:
    acts = table(
        ["Act", "What the partner does", "Takes effect"],
        [[code(form), text, "no" if act in WITHOUT_EFFECT else "yes"] for act, (form, text) in MEANINGS.items()],
    )
    names = table(["Name", "What it does"], [[code(name), find_behaviour(name).about] for name in SHIPPED])
    files = "\n\n".join(fence(f"# {name}.toml\n{shipped_text(name)}", "toml") for name in SHIPPED)
    keys = table(["Key", "Meaning"], [[code(key), meaning] for key, meaning in _KEYS.items()])
    steps = table(["Key of a step", "Meaning"], [[_codes(key), meaning] for key, meaning in _STEP_KEYS.items()])
    expectations = table(["Key", "The answer is"], [[_codes(key), meaning] for key, meaning in _EXPECTATIONS.items()])
    scenarios = "\n\n".join(fence(f"# {name}.toml\n{scenario_text(name)}", "toml") for name in SHIPPED_SCENARIOS)
    return page(
        "Simulated partners",
        "scripts/make_docs.py from the acts and the files of behaviours",
        f"""`cimcare simulate --behaviour` takes the name of a behaviour, a file, or acts; the
[guide](../guides/simulate.md) says what for. All of this is our own; no standard says how a partner misbehaves.

## Acts

An act is what is done with one message. Several are written with their weights: `accept=6,die=1,slow:2=1`.

{acts}

A message that takes effect does so once for its Source and MessageID, however often it comes.

## Behaviours that come with it

{names}

## Files

{keys}

The files of the names above:

{files}

## Scenarios

`cimcare simulate --scenario` takes a file, or the name of one that comes with the product. It begins with `about`; with
`source` and `context` it says what stands in the headers of all that is sent. Then come steps, each of which does one
thing. A reply that names another message is never what was expected.

{steps}

What `expect` may hold:

{expectations}

{scenarios}
""",
    )


def _codes(names: str) -> str:
    return ", ".join(code(name) for name in names.split(", "))
