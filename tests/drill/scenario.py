"""Scenarios as data: what happens in the world, what comes in to the hub, and what has to be so afterwards.

They stand in `scenarios/*.yaml`, where a person who runs a control room can read them. A word that means nothing here
is refused, so that no expectation is left out by a slip of the pen.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import yaml

from cimcare.systems.oms.estimates import StormMode

__all__ = [
    "FOLDER",
    "Act",
    "Call",
    "Expected",
    "ExpectedIncident",
    "Meters",
    "Plan",
    "Rules",
    "Scenario",
    "Split",
    "Step",
    "Switching",
    "instant",
    "load_scenarios",
]

FOLDER = Path(__file__).parent / "scenarios"

_FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday


class _Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all that is read."""


class Call(_Read, kw_only=True):
    """A call. `place` is the number of the premises in Northlake, or the name of a point of supply.

    `reported` is when the customer says it was, the instant of the step if empty. `device` is what the caller names.
    `wants` are the trigger of a notice and the way, such as `powerRestored sms`; `hours` when it may come (UTC).
    """

    place: str
    reported: str = ""
    hazard: str = ""
    device: str = ""
    account: str = ""
    code: str = "NO_SUPPLY"
    wants: str = ""
    hours: str = ""


class Meters(_Read, kw_only=True):
    """What meters say; `at` is the instant that they state, that of the step if empty."""

    off: list[str] = []
    on: list[str] = []
    at: str = ""


class Act(_Read, kw_only=True):
    """What dispatcher or crew say of the incident to which the ticket `of` belongs, or of the plan of that name.

    `evidence` says how it is known, `by` who says it. `etr` gives a time, with `confidence` in percent and `valid`;
    `stage` a stage without a time. `restored` are points of supply, or `all`. `device` confirms where it is. `crew` is
    how far the crew is. `merges` are tickets that come over from another incident, `close` and `cancel` end it.
    """

    of: str
    evidence: str = "operator"
    by: str = "operator.03"
    etr: str = ""
    stage: str = ""
    confidence: int | None = None
    valid: str = ""
    restored: list[str] | str = ""
    restored_at: str = ""
    device: str = ""
    crew: str = ""
    cause: str = ""
    merges: list[str] = []
    close: bool = False
    cancel: bool = False


class Plan(_Read, kw_only=True):
    """Work for which supply will be interrupted: where, from when to when."""

    device: str
    start: str
    end: str


class Split(_Read, kw_only=True):
    """Tickets that the dispatcher takes out into an incident of their own; `device` where it is, if that is known."""

    tickets: list[str]
    device: str = ""


class Switching(_Read, kw_only=True):
    """Contacts that are operated, in the world and in the model alike."""

    opens: list[str] = []
    closes: list[str] = []


class ExpectedIncident(_Read, kw_only=True):
    """An incident as it has to be. What is not said may be as it likes, but for the tickets: those and no others.

    `says` are words that its comment has, `start` and `end` its period.
    """

    tickets: list[str] = []
    device: str | None = None
    kind: str | None = None
    customers: int | None = None
    critical: int | None = None
    stage: str | None = None
    etr: str | None = None
    crew: str | None = None
    state: str | None = None
    start: str | None = None
    end: str | None = None
    planned: bool | None = None
    hazards: list[str] | None = None
    says: list[str] = []


class Expected(_Read, kw_only=True):
    """What has to be so. `incidents` are all that are open, `ended` all that have ended.

    `told` are all notices since it was last asked, each as `place trigger`; `not_told` places that were told nothing at
    all since the beginning. `call_backs` are places on the list of those to be called. `customer_minutes` and the
    counts are those of the whole scenario. `dark` is how many points are dark in truth.
    """

    incidents: list[ExpectedIncident] | None = None
    ended: list[ExpectedIncident] | None = None
    told: list[str] | None = None
    not_told: list[str] = []
    call_backs: list[str] | None = None
    customer_minutes: int | None = None
    interruptions: int | None = None
    momentary: int | None = None
    unresolved: list[str] | None = None
    dark: int | None = None


class Step(_Read, kw_only=True):
    """One instant. What stands in it happens in the order of the fields; the clock ticks before it and after it.

    `fails` and `mends` change the world and tell nobody; `generators` stand behind devices that are cut off. `calls`
    are by name of the ticket. `again` adds to a ticket, `moves` takes it to the incident of another, `withdraws`
    cancels it. `answers` are what customers say when they are called back: `restored` or `still out`. `hears` are words
    that every caller of the step hears in the reply; `refused` is the code by which what comes in is refused.
    """

    at: str
    note: str = ""
    fails: list[str] = []
    mends: list[str] = []
    generators: list[str] = []
    switches: Switching | None = None
    calls: dict[str, str | Call] = {}
    again: dict[str, Call] = {}
    meters: Meters | None = None
    withdraws: list[str] = []
    moves: dict[str, str] = {}
    plans: dict[str, Plan] = {}
    acts: list[Act] = []
    splits: dict[str, Split] = {}
    answers: dict[str, str] = {}
    hears: list[str] = []
    refused: str = ""
    expect: Expected | None = None


class Rules(_Read, kw_only=True, rename="kebab"):
    """Rules of estimates that differ from those of the product."""

    storm: StormMode = StormMode.AUTO
    storm_incidents: int = 50
    automatic: bool = False
    history_least: int = 10


class Scenario(_Read, kw_only=True):
    """A scenario. `network` is `northlake`, `IEEE13` or `IEEE123`; `rules` are in force from its beginning.

    `lie` says that the utility errs on purpose: else nobody may be told that supply is back who is dark in truth.
    """

    name: str
    title: str
    why: str
    network: str = "northlake"
    settings: str = ""
    rules: Rules | None = None
    lie: bool = False
    stores: tuple[str, ...] = ("sqlite",)
    steps: list[Step]


def instant(text: str) -> datetime:
    """The instant of `09:05`, or of `+1 09:05` on the day after."""
    day, _, clock = text.rpartition(" ")
    hour, minute = clock.split(":")
    return _FIRST_DAY + timedelta(days=int(day or 0), hours=int(hour), minutes=int(minute))


def load_scenarios() -> list[Scenario]:
    """All scenarios, in the order of files and places."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        read = yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader)
        found += msgspec.convert(read, list[Scenario], strict=False)
    return found
