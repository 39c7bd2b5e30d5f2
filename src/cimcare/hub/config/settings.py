"""Every setting: type, default, unit, one sentence; and how a file and the environment give values.

Values come from `cimcare.toml` and then from the environment, where `hub.queue_limit` is `CIMCARE_HUB_QUEUE_LIMIT`.
What is unknown, of the wrong type, out of range or does not go together is refused with file, line, what would pass and
the nearest name. Partners and subscriptions are in `cimcare.hub.config.partnering`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from cimcare.codec.limits import Limits
from cimcare.codec.toml_lines import lines_of
from cimcare.errors import CimcareError, Finding
from cimcare.exchange.partners import Partner
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.clashes import find_wrong_address
from cimcare.hub.config.keys import (
    PREFIX,
    Mistake,
    Place,
    Plain,
    Setting,
    closest,
    described,
    keys_of,
    nearest,
    read_value,
)
from cimcare.hub.config.notice_settings import NoticeSettings, check_notices
from cimcare.hub.config.partner_keys import ROLE_KEYS, ROLE_VARIABLES
from cimcare.hub.config.partnering import read_tables
from cimcare.hub.config.tiles import find_wrong_tiles
from cimcare.model.nouns import Role
from cimcare.transport.broker.brokers import Broker

__all__ = [
    "DEFAULT_FILE",
    "SETTINGS",
    "Judged",
    "Plain",
    "Setting",
    "Settings",
    "SettingsError",
    "find_file",
    "judge_file",
    "judge_settings",
    "load_settings",
    "read_settings",
]

DEFAULT_FILE = "cimcare.toml"
"""File that is read from the working directory if it is there and none is named."""

_FILE_VARIABLE = "CIMCARE_CONFIG"
_ENVIRONMENT = "environment"
_ROLES = [role.value for role in Role]


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds of one message."""

    max_bytes: Annotated[int, described("Longest message that is read.", unit="bytes", least=1024)] = 8 * 1024 * 1024
    max_elements: Annotated[int, described("Most XML elements of a message.", least=100)] = 200_000
    max_attributes: Annotated[int, described("Most XML attributes of a message.", least=100)] = 100_000
    max_unpacked_bytes: Annotated[
        int, described("Longest compressed content after unpacking.", unit="bytes", least=1024)
    ] = 32 * 1024 * 1024

    @property
    def limits(self) -> Limits:
        """The same for the codec."""
        return Limits(
            max_bytes=self.max_bytes,
            max_elements=self.max_elements,
            max_attributes=self.max_attributes,
            max_unpacked_bytes=self.max_unpacked_bytes,
        )


class SchemaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Schemas."""

    directory: Annotated[
        str | None, described("Folder with XSD files that take the place of the built-in ones of the same namespace.")
    ] = None


class HubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hub."""

    context: Annotated[
        str, described("The only Header/Context that is served, such as PRODUCTION; empty serves all of them.")
    ] = ""
    lenient: Annotated[
        bool,
        described("Whether variants met in the field (spelling of verbs, older namespaces) are read and reported."),
    ] = False
    repeat_window_days: Annotated[
        int, described("How long a message is known again when it is repeated.", unit="days", least=0, most=3650)
    ] = 7
    queue_limit: Annotated[
        int,
        described(
            "Most messages in work at once; more are answered with code 5.1 and status 503. Questions (the verb get)"
            " may take half of the places.",
            least=1,
        ),
    ] = 2000
    retry_after_seconds: Annotated[
        int, described("When a sender that met an overload may come again.", unit="seconds", least=1, most=3600)
    ] = 2
    receive_seconds: Annotated[
        float,
        described("Longest time in which the body of a request must arrive.", unit="seconds", least=0.1, most=3600),
    ] = 60.0
    wait_seconds: Annotated[
        float,
        described(
            "A message that would wait longer than this for its turn is refused with code 5.1; senders should wait"
            " longer than this for an answer.",
            unit="seconds",
            least=0.1,
            most=3600,
        ),
    ] = 10.0
    question_wait_seconds: Annotated[
        float,
        described(
            "A question (the verb get) that would wait longer than this for its turn is refused with code 5.1.",
            unit="seconds",
            least=0.1,
            most=3600,
        ),
    ] = 1.0
    hazard_reserve: Annotated[
        int, described("Places beyond `hub.queue_limit` that are kept for hazards and life support.", least=0)
    ] = 100
    address: Annotated[
        str,
        described(
            "Address under which partners reach this hub, such as https://hub.example:8968; needed where a partner"
            " replies later."
        ),
    ] = ""
    reply_hosts: Annotated[
        tuple[str, ...],
        described(
            "Hosts besides those of partners to which the ReplyAddress of a message or the address of a subscription"
            ' may point; "*" is any.',
            is_parted=True,
        ),
    ] = ("127.0.0.1", "localhost", "::1")
    key_directory: Annotated[
        str,
        described(
            "Folder with the files of keys and certificates that a subscription made by API may name; empty for none."
        ),
    ] = ""
    reply_objects: Annotated[
        int, described("Most objects of one later reply; more are sent as several, PARTIAL but for the last.", least=1)
    ] = 200
    tick_seconds: Annotated[
        float,
        described(
            "How often the built-in systems do what is due by the clock; 0 for never.",
            unit="seconds",
            least=0,
            most=3600,
        ),
    ] = 60.0
    drain_seconds: Annotated[
        int, described("Longest time that requests under way are given on stopping.", unit="seconds", least=0)
    ] = 10
    log_level: Annotated[Literal["debug", "info", "warning", "error"], described("Least severity that is logged.")] = (
        "info"
    )


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delivery to partners."""

    lease_seconds: Annotated[
        float,
        described(
            "How long a delivery belongs to the process that began it; work of one that died is taken over after it.",
            unit="seconds",
            least=1,
            most=3600,
        ),
    ] = 15.0
    poll_seconds: Annotated[
        float,
        described(
            "How often one looks for work, and for a changed configuration, that another process left.",
            unit="seconds",
            least=0.05,
            most=60,
        ),
    ] = 1.0
    circuit_after: Annotated[
        int,
        described(
            "Attempts in a row without any answer after which a partner is probed by one delivery at a time.", least=1
        ),
    ] = 5


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what has ended is kept. What waits, is under way or failed is never removed."""

    requests_days: Annotated[
        int, described("How long requests that change something are kept.", unit="days", least=1, most=36500)
    ] = 400
    events_days: Annotated[int, described("How long events are kept.", unit="days", least=1, most=36500)] = 90
    queries_days: Annotated[
        int, described("How long requests that only ask (get) are kept.", unit="days", least=1, most=36500)
    ] = 14
    refused_days: Annotated[
        int, described("How long messages that were refused are kept.", unit="days", least=1, most=36500)
    ] = 90
    deliveries_days: Annotated[
        int, described("How long deliveries that have ended are kept.", unit="days", least=1, most=36500)
    ] = 30
    notices_days: Annotated[
        int,
        described(
            "How long notices to customers that have ended are kept, with call-backs and who was out.",
            unit="days",
            least=1,
            most=36500,
        ),
    ] = 400
    drills_days: Annotated[
        int, described("How long drills of partners are kept.", unit="days", least=1, most=36500)
    ] = 30
    minutes_days: Annotated[
        int,
        described("How long it is kept how things stood at each minute.", unit="days", least=1, most=36500),
    ] = 35
    every_minutes: Annotated[
        int,
        described(
            "How often what is too old is removed; 0 never removes anything.", unit="minutes", least=0, most=10080
        ),
    ] = 60


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web console."""

    acts: Annotated[
        Literal["local", "always", "never"],
        described(
            "Whether pages of the console may change anything: local is only where the hub listens on loopback alone."
            " Nobody is authenticated."
        ),
    ] = "local"
    tiles: Annotated[
        str,
        described(
            "Address of the tiles under the map, such as https://tiles.example/{z}/{x}/{y}.png; browsers ask for them."
            " Empty for a map without."
        ),
    ] = ""
    tiles_attribution: Annotated[
        str, described("Whose the tiles are, as it is to stand on the map, such as © OpenStreetMap contributors.")
    ] = ""
    tiles_zoom: Annotated[
        int, described("Deepest zoom that the server has tiles of; deeper down they are enlarged.", least=1, most=24)
    ] = 19


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an alarm is raised."""

    queue_seconds: Annotated[
        int, described("The oldest delivery to a partner waits longer than this.", unit="seconds", least=1)
    ] = 300
    silence_minutes: Annotated[
        int, described("Nothing came from a partner for so long; 0 is off.", unit="minutes", least=0)
    ] = 0
    failure_percent: Annotated[
        int,
        described(
            "More than this part of what came from a partner was refused, or of what was for it given up, in an hour.",
            unit="percent",
            least=1,
            most=100,
        ),
    ] = 20
    every_seconds: Annotated[int, described("How often this is looked at.", unit="seconds", least=1, most=3600)] = 15


class DoctorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `cimcare doctor` holds for ready, and how often partners are drilled."""

    every_minutes: Annotated[
        int,
        described(
            "How often each partner is drilled; 0 only when it is asked for.", unit="minutes", least=0, most=10080
        ),
    ] = 0
    pause_seconds: Annotated[
        float,
        described(
            "Least time between two drills of a partner; who asks sooner is told what came of the last.",
            unit="seconds",
            least=0,
            most=3600,
        ),
    ] = 5.0
    deadline_seconds: Annotated[
        float,
        described(
            "Longest time that a drill waits, if the partner's own `deadline_seconds` is not shorter.",
            unit="seconds",
            least=0.1,
            most=600,
        ),
    ] = 10.0
    slow_seconds: Annotated[
        float, described("There and back takes a partner longer than this: slow.", unit="seconds", least=0.01, most=600)
    ] = 3.0
    certificate_days: Annotated[
        int, described("A certificate ends sooner than this.", unit="days", least=0, most=36500)
    ] = 14
    clock_seconds: Annotated[
        float, described("A clock differs by more than this.", unit="seconds", least=0.1, most=86400)
    ] = 5.0
    disk_percent: Annotated[
        float, described("Less than this of the disk of the database is free.", unit="percent", least=0, most=100)
    ] = 10.0
    disk_hours: Annotated[
        float, described("The disk will be full sooner than this, as it fills now.", unit="hours", least=0, most=8784)
    ] = 72.0
    silent_minutes: Annotated[
        float,
        described("Events wait for a subscriber for so long, and it has taken none.", unit="minutes", least=0.01),
    ] = 2.0
    answer_hours: Annotated[
        float,
        described(
            "Without a drill, a delivery that a partner took within this time shows that it answers.",
            unit="hours",
            least=1,
            most=168,
        ),
    ] = 24.0
    audit_days: Annotated[
        int,
        described("The audit trail has not been verified for longer than this; 0 does not ask.", unit="days", least=0),
    ] = 31


class SystemSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One built-in system."""

    source: Annotated[str, described("Header/Source of the system's messages, built in or remote.", shortest=1)]


class SystemsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The built-in systems."""

    seed_town: Annotated[
        bool,
        described(
            "Whether a small made-up town is there at the first start: customers and premises for the CIS, a network"
            " for the OMS."
        ),
    ] = True
    cis: SystemSettings = SystemSettings(source="CIS")
    oms: SystemSettings = SystemSettings(source="OMS")
    wms: SystemSettings = SystemSettings(source="WMS")
    third_party: SystemSettings = msgspec.field(name="third-party", default=SystemSettings(source="THIRD-PARTY"))

    def source_of(self, role: Role) -> str:
        """Header/Source of a role."""
        return {
            Role.CIS: self.cis,
            Role.OMS: self.oms,
            Role.WMS: self.wms,
            Role.THIRD_PARTY: self.third_party,
        }[role].source


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings."""

    host: Annotated[str, described("Address on which the hub listens.")] = "127.0.0.1"
    port: Annotated[int, described("Port on which the hub listens; 0 lets the system choose.", least=0, most=65535)] = (
        8968
    )
    database: Annotated[
        str,
        described(
            "Database: sqlite:/// and a file, relative to the working directory, or"
            " postgresql://user:password@host:port/name."
        ),
    ] = "sqlite:///cimcare.db"
    limits: LimitSettings = LimitSettings()
    schema: SchemaSettings = SchemaSettings()
    hub: HubSettings = HubSettings()
    delivery: DeliverySettings = DeliverySettings()
    retention: RetentionSettings = RetentionSettings()
    alarms: AlarmSettings = AlarmSettings()
    doctor: DoctorSettings = DoctorSettings()
    console: ConsoleSettings = ConsoleSettings()
    systems: SystemsSettings = SystemsSettings()
    notices: NoticeSettings = NoticeSettings()
    brokers: tuple[Broker, ...] = ()
    partners: tuple[Partner, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class SettingsError(CimcareError):
    """A setting, or the file of settings, cannot be used."""

    def __init__(self, finding: Finding, file: str = "") -> None:
        super().__init__(finding.describe(file))
        self.finding = finding
        self.code = finding.code


class Judged(NamedTuple):
    """Settings, or all that is wrong with them: those of the file by line, then those of the environment."""

    settings: Settings | None
    mistakes: tuple[Mistake, ...]

    def require(self) -> Settings:
        """The settings. Raises SettingsError with the first mistake if there is one."""
        if self.settings is None:
            file, finding = self.mistakes[0]
            raise SettingsError(finding, file)
        return self.settings


_KEYS = {key.setting.name: key for key in keys_of(Settings())}

SETTINGS: tuple[Setting, ...] = tuple(key.setting for key in _KEYS.values())
"""All settings whose names are ours, in the order of the reference page."""

_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}
_KNOWN = [*_KEYS, *(f"systems.{role}.{key}" for role in _ROLES for key in sorted(ROLE_KEYS))]
_TABLES = ("brokers", "partners", "subscriptions")
_SECTIONS = [*dict.fromkeys(name.partition(".")[0] for name in _KEYS if "." in name), *_TABLES]


def load_settings(
    file: Path | None = None, environment: Mapping[str, str] | None = None, *, files: bool = True
) -> Settings:
    """Settings from a file and the environment.

    Args:
        file: File to read. If None, the one that CIMCARE_CONFIG names, else `cimcare.toml` in the working
            directory, which may be missing.
        environment: Variables; those that start with CIMCARE_ count.
        files: Whether files that partners need for TLS and signatures are opened to see that they can be used. Who
            only wants to know where the database is need not be able to read a key.

    Raises:
        SettingsError: SET-102 the file cannot be read; else the first mistake in it.
    """
    return judge_file(file, environment, files=files).require()


def read_settings(
    text: str, environment: Mapping[str, str] | None = None, *, file: str = DEFAULT_FILE, files: bool = True
) -> Settings:
    """Settings from the text of a file and the environment. Raises SettingsError as `load_settings` does."""
    return judge_settings(text, environment, file=file, files=files).require()


def judge_file(file: Path | None = None, environment: Mapping[str, str] | None = None, *, files: bool = True) -> Judged:
    """The settings that `load_settings` would return, or all mistakes that are in them."""
    environment = environment or {}
    path = find_file(file, environment)
    text = ""
    if path is not None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not in UTF-8"
            place = Place(str(path), "/")
            return Judged(None, (Mistake.at(place, "SET-102", str(reason), "a readable file of settings"),))
    return judge_settings(text, environment, file=str(path or DEFAULT_FILE), files=files)


def find_file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file that is to be read: the one that is named, else the usual one if it is there."""
    if file is None and environment.get(_FILE_VARIABLE):
        file = Path(environment[_FILE_VARIABLE])
    usual = Path(DEFAULT_FILE)
    return file or (usual if usual.exists() else None)


def judge_settings(
    text: str, environment: Mapping[str, str] | None = None, *, file: str = DEFAULT_FILE, files: bool = True
) -> Judged:
    """Settings from the text of a file and the environment, or all mistakes that are in them."""
    environment = environment or {}
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = re.search(r"line (\d+)", str(error))
        place = Place(file, "/", int(where[1]) if where else None)
        return Judged(None, (Mistake.at(place, "SET-102", str(error), "a file in TOML"),))
    reading = _Reading(file, lines_of(text))
    reading.read_plain(content)
    reading.read_environment(environment)
    plain = msgspec.convert(_nest(reading.values), Settings)
    reading.check_together(plain, files=files)
    tables = read_tables(
        content,
        environment,
        file=file,
        lines=reading.lines,
        sources={role: plain.systems.source_of(role) for role in Role},
        address=plain.hub.address,
        context=plain.hub.context,
        files=files,
    )
    mistakes = sorted((*reading.mistakes, *tables.mistakes), key=_order)
    settings = msgspec.structs.replace(
        plain, brokers=tables.brokers, partners=tables.partners, subscriptions=tables.subscriptions
    )
    return Judged(None if mistakes else settings, tuple(mistakes))


def _order(mistake: Mistake) -> tuple[bool, int]:
    return (mistake.file == _ENVIRONMENT, mistake.finding.line or 0)


class _Reading:
    """Reads the settings whose names are ours, and gathers the mistakes."""

    def __init__(self, file: str, lines: Mapping[tuple[str, ...], int]) -> None:
        self._file = file
        self.lines = lines
        self.values: dict[str, object] = {}
        self._places: dict[str, Place] = {}
        self.mistakes: list[Mistake] = []

    def read_plain(self, content: Mapping[str, object]) -> None:
        """What the file says."""
        for path, value in _flatten(content):
            name = ".".join(path)
            place = Place(self._file, name, self.lines.get(path))
            if name in _KEYS:
                self._read(name, value, place)
            else:
                self.mistakes.append(_unknown(path, place))

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """What the environment says instead."""
        for variable, value in sorted(environment.items()):
            if not variable.startswith(PREFIX) or variable == _FILE_VARIABLE or variable in ROLE_VARIABLES:
                continue
            setting = _BY_VARIABLE.get(variable)
            place = Place(_ENVIRONMENT, variable)
            if setting is None:
                near = nearest(variable, [*_BY_VARIABLE, *ROLE_VARIABLES])
                accepted = f"perhaps {near}" if near else f"one of {', '.join(_BY_VARIABLE)}"
                self.mistakes.append(Mistake.at(place, "SET-101", "no such setting", accepted))
            else:
                self._read(setting.name, value, place, strict=False)

    def _read(self, name: str, value: object, place: Place, *, strict: bool = True) -> None:
        read = read_value(_KEYS[name], value, place, strict=strict)
        self._places[name] = place
        if isinstance(read, Mistake):
            self.mistakes.append(read)
        else:
            self.values[name] = read

    def check_together(self, plain: Settings, *, files: bool) -> None:
        """What several settings must be together, and addresses."""
        address = plain.hub.address
        if address and (wrong := find_wrong_address(address)):
            accepted = "an address such as https://hub.example:8968, without name, password and fragment"
            self._note("hub.address", "SET-107", wrong, accepted)
        for host in plain.hub.reply_hosts:
            if "/" in host:
                accepted = 'the name or number of a host, such as crm.example, or "*"'
                self._note("hub.reply_hosts", "SET-107", f"{host!r}", accepted)
        speakers: dict[str, Role] = {}
        for role in Role:
            source = plain.systems.source_of(role)
            other = speakers.setdefault(source, role)
            if other is not role:
                name = f"systems.{role if f'systems.{role}.source' in self._places else other}.source"
                found = f"source {source!r} of {other} and of {role}"
                why = "who sent a message is known by its Header/Source"
                self._note(name, "SET-109", found, "a source of its own for each role", why)
        if wrong := find_wrong_tiles(plain.console.tiles, here=(plain.hub.address, plain.host, plain.port)):
            accepted = "an address of another server such as https://tiles.example/{z}/{x}/{y}.png"
            self._note("console.tiles", "SET-107", wrong, accepted)
        check_notices(plain.notices, self._note, files=files)
        if plain.retention.every_minutes:
            self._check_retention(plain.retention, plain.hub.repeat_window_days)

    def _check_retention(self, retention: RetentionSettings, window: int) -> None:
        for name in ("requests_days", "events_days", "queries_days"):
            days = getattr(retention, name)
            if days < window:
                setting = f"retention.{name}"
                place = setting if setting in self._places else "hub.repeat_window_days"
                found = f"{setting} of {days} days, shorter than hub.repeat_window_days of {window}"
                why = "a message that is forgotten cannot be known again"
                self._note(place, "SET-115", found, "a retention that is not shorter than the window", why)

    def _note(self, name: str, code: str, found: str, accepted: str, why: str = "") -> None:
        # A mistake about what was not given, such as a sender, stands at the group it is missing from.
        group = name.rpartition(".")[0]
        place = self._places.get(name) or next(
            (place for known, place in self._places.items() if known.startswith(f"{group}.")), Place(self._file, name)
        )
        self.mistakes.append(Mistake.at(place, code, found, accepted, why))


def _unknown(path: tuple[str, ...], place: Place) -> Mistake:
    """A setting that is not there, with the one that may be meant."""
    name = ".".join(path)
    if any(known.startswith(f"{name}.") for known in _KNOWN):
        accepted = f"a table [{name}]"
    elif path[0] == "systems" and len(path) == 3 and path[1] not in _ROLES:
        role = closest(path[1], _ROLES)
        near = f"perhaps systems.{role}" if role else f"one of the roles {', '.join(_ROLES)}"
        accepted = f"{near}, or a table [partners.{path[1]}]"
    else:
        section = closest(path[0], _SECTIONS) if len(path) > 1 and path[0] not in _SECTIONS else ""
        near = closest(name, _KNOWN) or section or nearest(name, _KNOWN)
        accepted = f"perhaps {near}" if near else f"one of {', '.join(_KEYS)}"
    return Mistake.at(place, "SET-101", "no such setting", accepted)


def _flatten(table: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Values by path, but for tables whose names are the user's, and what makes a role remote."""
    for key, value in table.items():
        at = (*path, key)
        if at[0] in _TABLES or (len(at) == 3 and at[0] == "systems" and at[1] in _ROLES and at[2] in ROLE_KEYS):
            continue
        if isinstance(value, dict) and (value or any(name.startswith(f"{'.'.join(at)}.") for name in _KEYS)):
            yield from _flatten(value, at)
        else:
            yield at, value


def _nest(values: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for name, value in values.items():
        *parents, last = name.split(".")
        at = nested
        for parent in parents:
            inner = at.setdefault(parent, {})
            assert isinstance(inner, dict)
            at = inner
        at[last] = value
    return nested
