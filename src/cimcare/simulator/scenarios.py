"""Scenarios: what is sent step by step, and what has to come of it; read from TOML files.

    about = "A caller reports no light, and calls again"
    source = "CIS"                      # Header/Source of all that is sent, instead of what stands in the messages
    context = "TESTING"                 # Header/Context likewise

    [[steps]]
    name = "report"                     # later steps refer to it
    sample = { noun = "TroubleTickets", verb = "create", seed = 7 }
    expect = { result = "OK", ids = 1, within_seconds = 5 }

    [[steps]]
    again = "report"                    # the same message once more
    expect = { same_as = "report" }

    [[steps]]
    arrives = { verb = "created", noun = "TroubleTickets", answers = "report", within_seconds = 10 }

A step does one thing: `sample`, `message` (a document), `file`, `again`, `arrives` or `wait_seconds`.
"""

import tomllib
from importlib import resources
from pathlib import Path

import msgspec

from cimcare.errors import CimcareError, InputError
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.simulator.forms import read_any

__all__ = [
    "SHIPPED_SCENARIOS",
    "Arrival",
    "Expectation",
    "Sample",
    "Scenario",
    "ScenarioError",
    "Step",
    "find_scenario",
    "parse_scenario",
    "scenario_text",
]

SHIPPED_SCENARIOS = ("trouble-ticket", "service-order", "customer-agreement", "asynchronous", "bad-sender")
"""Names of the scenarios that come with the product."""

BADLY = ("cut", "drip", "truncate", "garbage", "wrong-type", "huge")
"""Ways of sending badly."""


class ScenarioError(CimcareError):
    """A scenario cannot be played as it is written."""

    code = "SIM-102"


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sample message: any noun and verb; all verbs of one seed speak of the same object."""

    noun: Noun
    verb: Verb
    seed: int = 0


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer has to be; what is not named may be anything, except that a reply has to name the message.

    `codes` have to be among those of the reply; `ids` and `found` are how many IDs and objects it has at least;
    `status` the HTTP status; `fault` that it is a fault, `no_answer` that there is none, `not_taken` that it is
    anything but a reply that says OK or PARTIAL, or an acknowledgement; `same_as` names the step whose reply it has to
    be again.
    """

    result: str = ""
    codes: tuple[str, ...] = ()
    ids: int = 0
    found: int = 0
    status: tuple[int, ...] = ()
    fault: bool = False
    no_answer: bool = False
    not_taken: bool = False
    same_as: str = ""
    within_seconds: float = 30.0


class Arrival(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that has to come to us. `answers` names the step whose message it has to be linked to."""

    verb: str = ""
    noun: str = ""
    answers: str = ""
    result: str = ""
    within_seconds: float = 30.0


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `at_seconds` is when it is due after the beginning, at speed 1; None: when the one before has ended.

    `object` names a step: the message speaks of the object whose ID came back there. `reply_to_us` asks for the reply
    at our own address, later. `badly` is how it is sent, if not well: `cut`, `drip:SECONDS`, `truncate`, `garbage`,
    `wrong-type`, `huge:MEGABYTES`. `gave` lists the IDs that came back when it was recorded: later messages that name
    them speak of those that come back now.
    """

    name: str = ""
    at_seconds: float | None = None
    sample: Sample | None = None
    message: str = ""
    file: str = ""
    again: str = ""
    object: str = ""
    reply_to_us: bool = False
    badly: str = ""
    gave: tuple[str, ...] = ()
    expect: Expectation | None = None
    arrives: Arrival | None = None
    wait_seconds: float = 0.0

    @property
    def sends(self) -> bool:
        """Whether something is sent."""
        return bool(self.sample or self.message or self.file or self.again)


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The steps, and what is true of all of them."""

    steps: tuple[Step, ...]
    about: str = ""
    source: str = ""
    context: str = ""

    @property
    def needs_address(self) -> bool:
        """Whether something has to come to us."""
        return any(step.arrives or step.reply_to_us for step in self.steps)


def parse_scenario(text: str, *, place: str = "scenario", folder: Path | None = None) -> Scenario:
    """Scenario out of the text of a file; `folder` is where the files are that it names.

    Raises:
        ScenarioError: It cannot be played; says in which step.
    """
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScenarioError(f"{place}: {error}; docs/reference/simulator.md shows what it may hold") from error
    if not scenario.steps:
        raise ScenarioError(f"{place}: no steps; write [[steps]] with one thing to do each")
    known: set[str] = set()
    steps = []
    for number, step in enumerate(scenario.steps, 1):
        where = f"{place}: step {number}{f' ({step.name})' if step.name else ''}"
        steps.append(_checked(step, known, where, folder))
        if step.name in known:
            raise ScenarioError(f"{where}: there is a step of that name before it")
        if step.name and step.sends:
            known.add(step.name)
    return msgspec.structs.replace(scenario, steps=tuple(steps))


def _checked(step: Step, known: set[str], where: str, folder: Path | None) -> Step:
    kinds = [bool(each) for each in (step.sample, step.message, step.file, step.again, step.arrives, step.wait_seconds)]
    if sum(kinds) != 1:
        raise ScenarioError(
            f"{where}: does {sum(kinds)} things; one of sample, message, file, again, arrives and wait_seconds"
        )
    if not step.sends and (step.expect or step.object or step.reply_to_us or step.badly):
        raise ScenarioError(f"{where}: sends nothing, so that expect, object, reply_to_us and badly mean nothing")
    way, _, number = step.badly.partition(":")
    if step.badly and (way not in BADLY or bool(number) != (way in ("drip", "huge")) or not _is_number(number or "1")):
        raise ScenarioError(f"{where}: badly is {step.badly!r}; cut, drip:SECONDS, truncate, garbage, wrong-type, "
                            "huge:MEGABYTES")  # fmt: skip
    named = (step.again, step.object, step.expect.same_as if step.expect else "")
    for name in (*named, step.arrives.answers if step.arrives else ""):
        if name and name not in known:
            raise ScenarioError(f"{where}: no step before it is called {name!r} and sends something")
    if step.message or step.file:
        return msgspec.structs.replace(step, message=_read(step, where, folder), file="")
    return step


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() and len(text) < 6


def _read(step: Step, where: str, folder: Path | None) -> str:
    """The document of a step, which can be read as a message."""
    text = step.message
    if step.file:
        try:
            text = ((folder or Path()) / step.file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ScenarioError(f"{where}: {step.file}: cannot be read ({reason})") from error
    try:
        read_any(text.encode(), "")
    except InputError as error:
        raise ScenarioError(f"{where}: {error.finding.describe()}") from error
    return text


def scenario_text(name: str) -> str:
    """The file of a scenario that comes with the product. Raises KeyError if there is none of that name."""
    if name not in SHIPPED_SCENARIOS:
        raise KeyError(name)
    return (resources.files("cimcare.simulator") / "shipped" / "scenarios" / f"{name}.toml").read_text("utf-8")


def find_scenario(text: str) -> Scenario:
    """Scenario by its name, or by its file.

    Raises:
        ScenarioError: There is none, or it cannot be played.
    """
    if text in SHIPPED_SCENARIOS:
        return parse_scenario(scenario_text(text), place=text)
    file = Path(text)
    try:
        content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        names = ", ".join(SHIPPED_SCENARIOS)
        raise ScenarioError(f"{text}: cannot be read ({reason}); name a file, or one of {names}") from error
    return parse_scenario(content, place=text, folder=file.parent)
