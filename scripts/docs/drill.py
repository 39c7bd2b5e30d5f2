"""The page of scenarios: what the built-in systems are drilled with, made from the data that the tests play."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from docs.markdown import code, page, table
from docs.tables import ROOT

__all__ = ["pages", "read_scenarios"]

FOLDER = ROOT / "tests/drill/scenarios"

_Read = Mapping[str, Any]

_INTRODUCTION = """
Each scenario is played by `tests/drill` before a hub of its own: all that comes in goes over SOAP, the clock is the
test's. *Happens* is what is so in the world and what the hub is told; what fails or is mended tells nobody by itself.
Premises of [Northlake](../tutorial/first-trouble-ticket.md) go by number, 0 to 199; twenty are on a lateral fuse, five
on a transformer. *Has to be so* names every incident that is open, and every notice since it was last asked.
"""


def pages() -> dict[str, str]:
    """The page by its path below docs/."""
    parts = [_INTRODUCTION]
    for title, scenarios in read_scenarios().items():
        parts.append(f"## {title}")
        for scenario in scenarios:
            parts.append(f"### {scenario['title']}")
            parts.append(f"{code(scenario['name'])}{_where(scenario)}. {scenario['why']}")
            parts.append(table(["When", "Happens", "Has to be so"], _rows(scenario["steps"])))
    return {"reference/scenarios.md": page("Scenarios", "tests/drill/scenarios", *parts)}


def read_scenarios() -> dict[str, list[_Read]]:
    """Scenarios by the question that stands at the head of their file."""
    found = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        text = file.read_text("utf-8")
        title = text.partition("\n")[0].removeprefix("# ").rstrip(".")
        found[title] = yaml.load(text, Loader=yaml.BaseLoader)
    return found


def _where(scenario: _Read) -> str:
    network = scenario.get("network", "northlake")
    where = "" if network == "northlake" else f", on the feeder {network}"
    rules = ", ".join(f"{name} {value}" for name, value in scenario.get("rules", {}).items())
    return where + (f", with the rules {code(rules)}" if rules else "")


def _rows(steps: Sequence[_Read]) -> Iterator[list[str]]:
    for step in steps:
        happens = [*_happens(step)]
        if step.get("refused"):
            happens.append(f"refused: {code(step['refused'])}")
        expected = [*_expected(step.get("expect", {}))]
        expected += [f"the reply says “{words}”" for words in step.get("hears", ())]
        if not happens and not expected:
            happens = ["the clock ticks"]
        yield [step["at"], "; ".join(happens), "; ".join(expected)]


def _happens(step: _Read) -> Iterator[str]:
    if step.get("fails"):
        yield f"{_list(step['fails'])} fails" if len(step["fails"]) == 1 else f"{_list(step['fails'])} fail"
    if step.get("mends"):
        yield f"{_list(step['mends'])} leads again"
    if step.get("generators"):
        yield f"generators feed what is behind {_list(step['generators'])}"
    switches = step.get("switches", {})
    if switches.get("opens"):
        yield f"{_list(switches['opens'])} is opened"
    if switches.get("closes"):
        yield f"{_list(switches['closes'])} is closed"
    if step.get("calls"):
        yield "calls: " + ", ".join(_call(label, call) for label, call in step["calls"].items())
    for label, more in step.get("again", {}).items():
        yield f"more about {label}: {_call('', more)}"
    meters = step.get("meters", {})
    for state in ("off", "on"):
        if meters.get(state):
            yield f"meters say {state}: {', '.join(meters[state])}"
    if step.get("withdraws"):
        yield f"withdrawn: {', '.join(step['withdraws'])}"
    for label, target in step.get("moves", {}).items():
        yield f"{label} is moved to the incident of {target}"
    for name, plan in step.get("plans", {}).items():
        yield f"planned as “{name}”: {code(plan['device'])} from {plan['start']} to {plan['end']}"
    for act in step.get("acts", ()):
        yield _act(act)
    for split in step.get("splits", {}).values():
        yield f"{', '.join(split['tickets'])} are split off"
    for label, answer in step.get("answers", {}).items():
        yield f"{label} is called back: {answer}"


def _call(label: str, call: str | _Read) -> str:
    if isinstance(call, str):
        return f"{label} from {call}"
    said = [
        f"{word} {call[word]}" for word in ("hazard", "device", "account", "wants", "hours", "reported") if word in call
    ]
    said += [call["code"]] if "code" in call else []
    return f"{label} from {call['place']}".strip() + (f" ({', '.join(said)})" if said else "")


def _act(act: _Read) -> str:
    who = f"{act.get('evidence', 'operator') or 'nobody'} on the incident of {act['of']}"
    said = [f"{word} {act[word]}" for word in ("device", "stage", "etr", "crew", "valid", "cause") if word in act]
    if "confidence" in act:
        said.append(f"confidence {act['confidence']} %")
    if "restored" in act:
        said.append(f"restored {', '.join(act['restored'])}")
    if "merges" in act:
        said.append(f"takes in that of {', '.join(act['merges'])}")
    said += [word for word in ("close", "cancel") if act.get(word) == "true"]
    if "restored_at" in act:
        said.append(f"restored at {act['restored_at']}")
    return f"{who}: {', '.join(said)}"


def _expected(expected: _Read) -> Iterator[str]:
    for which, word in (("incidents", "open"), ("ended", "ended")):
        if which in expected:
            each = [_incident(one) for one in expected[which]]
            yield f"{word}: {'; '.join(each) if each else 'none'}"
    if "unresolved" in expected:
        yield f"unresolved: {', '.join(expected['unresolved']) or 'none'}"
    if "told" in expected:
        yield f"told: {', '.join(expected['told']) or 'nobody'}"
    if expected.get("not_told"):
        yield f"never told: {', '.join(expected['not_told'])}"
    if "call_backs" in expected:
        yield f"to be called back: {', '.join(expected['call_backs']) or 'nobody'}"
    for word in ("dark", "customer_minutes", "interruptions", "momentary"):
        if word in expected:
            yield f"{word.replace('_', '-')}: {expected[word]}"


def _incident(one: _Read) -> str:
    what = code(one["device"]) if "device" in one else one.get("kind", "incident")
    tickets = f" ({', '.join(one['tickets'])})" if one.get("tickets") else ""
    facts = [f"{one[word]} {word}" for word in ("customers", "critical") if word in one]
    facts += [f"{word} {one[word]}" for word in ("stage", "crew", "state", "start", "end") if one.get(word)]
    if one.get("etr"):
        facts.append(f"time {one['etr']}")
    if one.get("planned") == "true":
        facts.append("planned")
    facts += [f"hazard {hazard}" for hazard in one.get("hazards", ())]
    return what + tickets + (f": {', '.join(facts)}" if facts else "")


def _list(names: Sequence[str]) -> str:
    return ", ".join(code(name) for name in names)
