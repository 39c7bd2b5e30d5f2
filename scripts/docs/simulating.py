"""The page of simulated partners: acts and behaviours, from the code and the files that have them."""

from cimcare.simulator.acts import MEANINGS, WITHOUT_EFFECT
from cimcare.simulator.behaviours import SHIPPED, find_behaviour, shipped_text
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
""",
    )
