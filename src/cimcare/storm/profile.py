"""Profiles: what a storm is made of, as files in TOML that people can read, check and change.

A profile says how many calls come and when, who calls, what else is asked meanwhile, and how partners behave. Numbers
are for a scale of 1; shares are of the tickets. Our own profile. Pure, but for reading the files.
"""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, field

from cimcare.codec.toml_lines import lines_of
from cimcare.errors import CimcareError, Finding, finding_of

__all__ = [
    "BUILT_IN",
    "TABLES",
    "Bursts",
    "ControlRoom",
    "Hazards",
    "Meters",
    "Partner",
    "Profile",
    "ProfileError",
    "Status",
    "Tickets",
    "Town",
    "load_profile",
    "parse_profile",
]

BUILT_IN = ("isaias", "gust", "blue-sky", "million")
"""Profiles that come with the product."""

_CLAUSE = "docs/reference/storm-profiles.md"

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Minutes = Annotated[float, Meta(gt=0.0, le=10_080.0)]
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]*\Z")]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A table of the file."""


def _about(text: str) -> Meta:
    return Meta(description=text)


class Town(_Table, frozen=True, kw_only=True):
    """The premises that may call, made by rule: ten on a transformer, eighty on a lateral, 960 on a feeder."""

    premises: Annotated[int, Meta(ge=10, le=20_000_000), _about("Premises at a scale of 1.")] = 200_000
    calling: Annotated[
        float, Meta(gt=0.0, le=1.0), _about("Part of those without supply from which somebody calls.")
    ] = 0.6
    special_needs: Annotated[Share, _about("Part of the premises in which somebody depends on supply.")] = 0.01
    feeder_faults: Annotated[Share, _about("Part of all faults that take a whole feeder.")] = 0.02
    lateral_faults: Annotated[Share, _about("Part that takes a lateral; all others take a transformer.")] = 0.28
    active_faults: Annotated[int, Meta(ge=1, le=100_000), _about("Faults about which people call at a time.")] = 60


class Bursts(_Table, frozen=True, kw_only=True):
    """How calls crowd within a minute, which has no more of them for that."""

    every_minutes: Annotated[int, Meta(ge=1, le=1440), _about("In each so many minutes there is one.")] = 5
    factor: Annotated[float, Meta(ge=1.0, le=60.0), _about("Its rate, as a multiple of the rate of the minute.")] = 5.0
    seconds: Annotated[int, Meta(ge=0, le=60), _about("How long it lasts; 0 for none.")] = 6


class Hazards(_Table, frozen=True, kw_only=True):
    """Tickets that report a danger; the kinds are weights."""

    share: Annotated[Share, _about("Part of all tickets.")] = 0.02
    wire_down: Annotated[float, Meta(ge=0.0), _about("A wire is down.")] = 0.8
    fire: Annotated[float, Meta(ge=0.0), _about("It burns.")] = 0.15
    gas: Annotated[float, Meta(ge=0.0), _about("It smells of gas.")] = 0.05


class Tickets(_Table, frozen=True, kw_only=True):
    """Tickets other than first calls, as parts of all tickets."""

    repeats: Annotated[Share, _about("From premises that have called before.")] = 0.15
    wrong_accounts: Annotated[Share, _about("Name premises and a customer that do not exist.")] = 0.03
    still_outs: Annotated[
        Share, _about("Say that supply is still out, after a call-back that has closed their first ticket.")
    ] = 0.01
    still_out_after_minutes: Annotated[Minutes, _about("From the first ticket to the call-back.")] = 8.0
    resent: Annotated[Share, _about("Messages that their sender sends a second time, as they are.")] = 0.01
    resent_after_seconds: Annotated[float, Meta(ge=1.0, le=3600.0), _about("How much later.")] = 90.0


class Status(_Table, frozen=True, kw_only=True):
    """Questions how far it is, each about a ticket of the storm."""

    per_ticket: Annotated[float, Meta(ge=0.0, le=1000.0), _about("Questions for each ticket.")] = 10.0
    within_minutes: Annotated[Minutes, _about("The last one comes up to so long after the report.")] = 30.0
    incidents: Annotated[
        Share, _about("Part that asks for the incident, with the time of restoration; the others for the ticket.")
    ] = 0.8


class Meters(_Table, frozen=True, kw_only=True):
    """Meters that say that they have lost supply. Only hubs with our REST interface take them."""

    share: Annotated[Share, _about("Part of the premises of each fault.")] = 0.0
    rows: Annotated[int, Meta(ge=1, le=1000), _about("Most events in one table.")] = 200
    late_seconds: Annotated[float, Meta(ge=0.0, le=3600.0), _about("They say so up to so much later.")] = 45.0


class ControlRoom(_Table, frozen=True, kw_only=True):
    """Times of restoration that operators give, at a utility that the storm starts itself."""

    per_minute: Annotated[float, Meta(ge=0.0, le=100_000.0), _about("Most of them in a minute; 0 for none.")] = 0.0
    hours: Annotated[float, Meta(gt=0.0, le=1000.0), _about("From now to the time that is given first.")] = 4.0
    revisions: Annotated[int, Meta(ge=0, le=100), _about("How often the same incident gets a later one.")] = 1


class Partner(_Table, frozen=True, kw_only=True):
    """A simulated partner of a utility that the storm starts itself. It is good but for the time of its failure."""

    name: Annotated[Name, _about("Name, once in the profile.")]
    nouns: Annotated[tuple[str, ...], _about("Nouns of the events that it is told; empty for all.")] = ()
    fails_as: Annotated[
        str,
        Meta(min_length=1, max_length=300),
        _about(
            "How it fails, as `cimcare simulate --behaviour` takes it, such as `slow:2`, `busy`, `reset` or `hang`."
        ),
    ] = "busy"
    fails_at_minute: Annotated[
        float, Meta(ge=0.0, le=10_080.0), _about("When it begins to fail, in minutes of the storm.")
    ] = 0.0
    fails_for_minutes: Annotated[float, Meta(ge=0.0, le=10_080.0), _about("How long it does; 0 for never.")] = 0.0


class Profile(_Table, frozen=True, kw_only=True):
    """A storm at a scale of 1."""

    name: Annotated[Name, _about("Name of the profile.")]
    title: Annotated[str, _about("What the report is headed.")] = ""
    about: Annotated[str, _about("What it stands for, for people.")] = ""
    start: Annotated[datetime, _about("What the clocks of the senders show when it begins; UTC without an offset.")]
    minutes: Annotated[int, Meta(ge=1, le=10_080), _about("How long it lasts.")]
    tickets_in_all: Annotated[int, Meta(ge=1, le=100_000_000), _about("Tickets that are reported.")]
    curve: Annotated[
        tuple[tuple[float, float], ...],
        _about(
            "Points of [minute, tickets a minute], with straight lines between them. Its form counts: it is stretched "
            "to the tickets in all. Without one they come evenly."
        ),
    ] = ()
    town: Annotated[Town, _about("Who may call.")] = field(default_factory=Town)
    bursts: Annotated[Bursts, _about("How calls crowd.")] = field(default_factory=Bursts)
    tickets: Annotated[Tickets, _about("Tickets other than first calls.")] = field(default_factory=Tickets)
    hazards: Annotated[Hazards, _about("Dangers.")] = field(default_factory=Hazards)
    status: Annotated[Status, _about("Questions.")] = field(default_factory=Status)
    meters: Annotated[Meters, _about("Meter events.")] = field(default_factory=Meters)
    control_room: Annotated[ControlRoom, _about("Who gives times.")] = field(default_factory=ControlRoom)
    partners: Annotated[tuple[Partner, ...], _about("Partners, as an array of tables.")] = ()

    @property
    def digest(self) -> str:
        """What tells profiles apart; the same for the same values, however the file is written."""
        return sha256(msgspec.json.encode(self)).hexdigest()[:16]


class ProfileError(CimcareError):
    """A profile cannot be used; `findings` are all that is wrong with it."""

    code = "SIM-111"

    def __init__(self, file: str, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(finding.describe(file) for finding in findings))
        self.findings = findings


def load_profile(name: str) -> Profile:
    """The built-in profile of this name, else that of a file.

    Raises:
        ProfileError: There is none, or it cannot be used.
    """
    if name in BUILT_IN:
        return parse_profile(f"{name}.toml", (files("cimcare.storm") / "profiles" / f"{name}.toml").read_bytes())
    try:
        raw = Path(name).read_bytes()
    except OSError as error:
        accepted = f"one of {', '.join(BUILT_IN)}, or a file in TOML that can be read"
        raise ProfileError(
            "", (finding_of("SIM-111", name, error.strerror or "no file", accepted, _CLAUSE),)
        ) from error
    return parse_profile(name, raw)


def parse_profile(file: str, raw: bytes) -> Profile:
    """The profile in a file. Raises ProfileError with line and what would pass."""
    text = ""
    try:
        text = raw.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _error(file, line, "/", f"byte {raw[error.start]:#04x}, which is no UTF-8", "TOML in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = str(error)
        _, _, after = found.partition("(at line ")
        line = int(after.partition(",")[0]) if after else text.count("\n") + 1
        raise _error(file, line, "/", found, "TOML") from error
    lines = lines_of(text)
    try:
        profile = msgspec.convert(values, Profile)
    except msgspec.ValidationError as error:
        found, _, place = str(error).partition(" - at `")
        path = tuple(part.partition("[")[0] for part in place.rstrip("`").removeprefix("$").split(".") if part)
        named = found.rpartition("field `")[2].rstrip("`") if "unknown field" in found else ""
        path = (*path, named) if named else path
        accepted = f"one of {', '.join(_keys(path[:-1]))}" if named else "what the reference of profiles says"
        raise _error(file, _line(lines, path), "/" + "/".join(path), found, accepted) from error
    wrong = _wrong(profile)
    if wrong:
        findings = tuple(
            finding_of("SIM-111", "/" + "/".join(path), found, accepted, _CLAUSE, line=_line(lines, path))
            for path, found, accepted in wrong
        )
        raise ProfileError(file, findings)
    if profile.start.tzinfo is None:
        profile = msgspec.structs.replace(profile, start=profile.start.replace(tzinfo=UTC))
    return profile


def _wrong(profile: Profile) -> list[tuple[tuple[str, ...], str, str]]:
    """What no type can say: path, what was found, what would pass."""
    found: list[tuple[tuple[str, ...], str, str]] = []
    curve = profile.curve
    if curve:
        if any(second[0] <= first[0] for first, second in pairwise(curve)) or curve[0][0] < 0:
            found.append((("curve",), "minutes that do not go up", "points in the order of their minutes, from 0 on"))
        if any(rate < 0 for _, rate in curve) or not any(rate > 0 for _, rate in curve):
            found.append((("curve",), "rates below 0, or 0 alone", "rates of 0 or more, not all of them 0"))
        elif curve[0][0] >= profile.minutes:
            found.append((("curve",), "no point within the storm", f"a first minute below {profile.minutes}"))
    bursts = profile.bursts
    if bursts.factor * bursts.seconds > 60:
        most = 60 / bursts.factor
        found.append(
            (
                ("bursts", "seconds"),
                f"{bursts.seconds} at {bursts.factor:g} times",
                f"at most {most:g}: a minute has 60",
            )
        )
    tickets = profile.tickets
    others = tickets.repeats + tickets.wrong_accounts + tickets.still_outs
    if others >= 1:
        found.append((("tickets", "repeats"), f"shares that add up to {others:g}", "less than 1 together"))
    hazards = profile.hazards
    if hazards.share and not hazards.wire_down + hazards.fire + hazards.gas:
        found.append((("hazards", "wire-down"), "no kind of hazard", "a weight above 0 for one of them"))
    town = profile.town
    if town.feeder_faults + town.lateral_faults > 1:
        found.append((("town", "lateral-faults"), "parts of more than 1 together", "1 together at most"))
    callers = round(profile.tickets_in_all * (1 - others))
    if callers > town.premises * town.calling:
        least = -(-callers // town.calling)
        found.append(
            (("town", "premises"), f"{town.premises} for {callers} callers", f"{least:.0f} or more, or calling up")
        )
    names = [partner.name for partner in profile.partners]
    if len(set(names)) < len(names):
        found.append((("partners", "name"), "a name twice", "each name once"))
    return found


def _error(file: str, line: int | None, path: str, found: str, accepted: str) -> ProfileError:
    return ProfileError(file, (finding_of("SIM-111", path, found, accepted, _CLAUSE, line=line),))


def _line(lines: object, path: tuple[str, ...]) -> int | None:
    """The line of what the path leads to, or of what is nearest above it."""
    assert isinstance(lines, dict)
    while path:
        if path in lines:
            return int(lines[path])
        path = path[:-1]
    return 1


TABLES: Mapping[tuple[str, ...], type[msgspec.Struct]] = {
    (): Profile,
    ("town",): Town,
    ("bursts",): Bursts,
    ("tickets",): Tickets,
    ("hazards",): Hazards,
    ("status",): Status,
    ("meters",): Meters,
    ("control-room",): ControlRoom,
    ("partners",): Partner,
}
"""Tables of a profile by their path."""


def _keys(path: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of the table at this path."""
    return tuple(one.encode_name for one in msgspec.structs.fields(TABLES[path]))
