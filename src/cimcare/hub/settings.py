"""Every setting: type, default, unit, one sentence; and how a file and the environment give values.

Values come from `cimcare.toml` and then from the environment, where `hub.queue_limit` is `CIMCARE_HUB_QUEUE_LIMIT`.
What is unknown, of the wrong type or out of range is refused with file, line, what would pass and the nearest name.
"""

import difflib
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from cimcare.codec.limits import Limits
from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.partners import Partner
from cimcare.exchange.subscriptions import Subscription
from cimcare.model.nouns import Role

__all__ = ["DEFAULT_FILE", "SETTINGS", "Setting", "Settings", "SettingsError", "load_settings", "read_settings"]

DEFAULT_FILE = "cimcare.toml"
"""File that is read from the working directory if it is there and none is named."""

_PREFIX = "CIMCARE_"
_FILE_VARIABLE = "CIMCARE_CONFIG"

Plain: TypeAlias = str | int | float | bool | tuple[str, ...] | None


def _meta(text: str, *, unit: str = "", least: float | None = None, most: float | None = None) -> Meta:
    return Meta(description=text, ge=least, le=most, extra={"unit": unit})


def _text(text: str) -> Meta:
    return Meta(description=text, extra={"unit": ""})


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds of one message."""

    max_bytes: Annotated[int, _meta("Longest message that is read.", unit="bytes", least=1024)] = 8 * 1024 * 1024
    max_elements: Annotated[int, _meta("Most XML elements of a message.", least=100)] = 200_000
    max_attributes: Annotated[int, _meta("Most XML attributes of a message.", least=100)] = 100_000
    max_unpacked_bytes: Annotated[
        int, _meta("Longest compressed content after unpacking.", unit="bytes", least=1024)
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
        str | None, _text("Folder with XSD files that take the place of the built-in ones of the same namespace.")
    ] = None


class HubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hub."""

    context: Annotated[
        str, _text("The only Header/Context that is served, such as PRODUCTION; empty serves all of them.")
    ] = ""
    lenient: Annotated[
        bool, _text("Whether variants met in the field (spelling of verbs, older namespaces) are read and reported.")
    ] = False
    repeat_window_days: Annotated[
        int, _meta("How long a message is known again when it is repeated.", unit="days", least=0, most=3650)
    ] = 7
    queue_limit: Annotated[
        int, _meta("Most messages in work at once; more are answered with code 5.1 and status 503.", least=1)
    ] = 1000
    retry_after_seconds: Annotated[
        int, _meta("When a sender that met an overload may come again.", unit="seconds", least=1, most=3600)
    ] = 2
    receive_seconds: Annotated[
        float, _meta("Longest time in which the body of a request must arrive.", unit="seconds", least=0.1)
    ] = 60.0
    wait_seconds: Annotated[
        float,
        _meta(
            "A message that would wait longer than this for its turn is refused with code 5.1.",
            unit="seconds",
            least=0.1,
            most=3600,
        ),
    ] = 10.0
    hazard_reserve: Annotated[
        int, _meta("Places beyond `hub.queue_limit` that are kept for hazards and life support.", least=0)
    ] = 100
    address: Annotated[
        str,
        _text(
            "Address under which partners reach this hub, such as https://hub.example:8968; needed where a partner"
            " replies later."
        ),
    ] = ""
    reply_hosts: Annotated[
        tuple[str, ...],
        _text(
            "Hosts besides those of partners to which the ReplyAddress of a message or the address of a subscription"
            ' may point; "*" is any.'
        ),
    ] = ("127.0.0.1", "localhost", "::1")
    reply_objects: Annotated[
        int, _meta("Most objects of one later reply; more are sent as several, PARTIAL but for the last.", least=1)
    ] = 200
    drain_seconds: Annotated[
        int, _meta("Longest time that requests under way are given on stopping.", unit="seconds", least=0)
    ] = 10
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _text("Least severity that is logged.")] = "info"


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delivery to partners."""

    lease_seconds: Annotated[
        float,
        _meta(
            "How long a delivery belongs to the process that began it; work of one that died is taken over after it.",
            unit="seconds",
            least=1,
            most=3600,
        ),
    ] = 15.0
    poll_seconds: Annotated[
        float,
        _meta(
            "How often one looks for work, and for a changed configuration, that another process left.",
            unit="seconds",
            least=0.05,
            most=60,
        ),
    ] = 1.0
    circuit_after: Annotated[
        int,
        _meta(
            "Attempts in a row without any answer after which a partner is probed by one delivery at a time.", least=1
        ),
    ] = 5


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what has ended is kept. What waits, is under way or failed is never removed."""

    requests_days: Annotated[
        int, _meta("How long requests that change something are kept.", unit="days", least=1, most=36500)
    ] = 400
    events_days: Annotated[int, _meta("How long events are kept.", unit="days", least=1, most=36500)] = 90
    queries_days: Annotated[
        int, _meta("How long requests that only ask (get) are kept.", unit="days", least=1, most=36500)
    ] = 14
    refused_days: Annotated[
        int, _meta("How long messages that were refused are kept.", unit="days", least=1, most=36500)
    ] = 90
    deliveries_days: Annotated[
        int, _meta("How long deliveries that have ended are kept.", unit="days", least=1, most=36500)
    ] = 30
    every_minutes: Annotated[
        int,
        _meta("How often what is too old is removed; 0 never removes anything.", unit="minutes", least=0, most=10080),
    ] = 60


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an alarm is raised."""

    queue_seconds: Annotated[
        int, _meta("The oldest delivery to a partner waits longer than this.", unit="seconds", least=1)
    ] = 300
    silence_minutes: Annotated[
        int, _meta("Nothing came from a partner for so long; 0 is off.", unit="minutes", least=0)
    ] = 0
    failure_percent: Annotated[
        int,
        _meta("More than this part of the attempts to deliver to a partner failed.", unit="percent", least=1, most=100),
    ] = 20
    every_seconds: Annotated[int, _meta("How often this is looked at.", unit="seconds", least=1, most=3600)] = 15


class SystemSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One built-in system."""

    source: Annotated[
        str, Meta(min_length=1, description="Header/Source of the system's messages.", extra={"unit": ""})
    ]


class SystemsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The built-in systems."""

    seed_town: Annotated[
        bool, _text("Whether the CIS is given the customers and premises of a small made-up town at the first start.")
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

    host: Annotated[str, _text("Address on which the hub listens.")] = "127.0.0.1"
    port: Annotated[int, _meta("Port on which the hub listens; 0 lets the system choose.", least=0, most=65535)] = 8968
    database: Annotated[
        str,
        _text(
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
    systems: SystemsSettings = SystemsSettings()
    partners: tuple[Partner, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about one setting. `kind` says in words what would pass."""

    name: str
    kind: str
    default: Plain
    unit: str
    text: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return _PREFIX + self.name.replace(".", "_").replace("-", "_").upper()


class SettingsError(CimcareError):
    """A setting, or the file of settings, cannot be used."""

    def __init__(self, finding: Finding, file: str = "") -> None:
        super().__init__(finding.describe(file))
        self.finding = finding
        self.code = finding.code


def _walk(default: msgspec.Struct, prefix: str = "") -> Iterator[tuple[Setting, object]]:
    """Each setting with its annotated type."""
    hints = get_type_hints(type(default), include_extras=True)
    for field, name in zip(default.__struct_fields__, default.__struct_encode_fields__, strict=True):
        value = getattr(default, field)
        if isinstance(value, msgspec.Struct):
            yield from _walk(value, f"{prefix}{name}.")
            continue
        hint = hints[field]
        if get_origin(hint) is not Annotated:  # tables whose names are the user's
            continue
        inner, meta = get_args(hint)[:2]
        yield (
            Setting(
                name=f"{prefix}{name}",
                kind=_kind(inner, meta),
                default=value,
                unit=(meta.extra or {}).get("unit", ""),
                text=meta.description or "",
            ),
            hint,
        )


def _kind(inner: object, meta: Meta) -> str:
    if get_origin(inner) is Literal:
        return "one of " + ", ".join(f'"{literal}"' for literal in get_args(inner))
    if get_origin(inner) in (Union, types.UnionType):
        inner = next(part for part in get_args(inner) if part is not type(None))
    if get_origin(inner) is tuple:
        return "a list of texts, or one text that parts them by commas or blanks"
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    kind = next((word for plain, word in words.items() if inner is plain), "a value")
    if meta.min_length:
        return f"{kind} that is not empty"
    if meta.ge is not None and meta.le is not None:
        return f"{kind} from {meta.ge:g} to {meta.le:g}"
    return kind if meta.ge is None else f"{kind} from {meta.ge:g}"


_HINTS: dict[str, object] = {}
_BY_NAME: dict[str, Setting] = {}
for _setting, _hint in _walk(Settings()):
    _BY_NAME[_setting.name] = _setting
    _HINTS[_setting.name] = _hint

SETTINGS: tuple[Setting, ...] = tuple(_BY_NAME.values())
"""All settings, in the order of the reference page."""

_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


def load_settings(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from a file and the environment.

    Args:
        file: File to read. If None, the one that CIMCARE_CONFIG names, else `cimcare.toml` in the working
            directory, which may be missing.
        environment: Variables; those that start with CIMCARE_ count.

    Raises:
        SettingsError: SET-102 the file cannot be read, SET-101 a setting is unknown or has no value that would pass.
    """
    environment = environment or {}
    named = file or (Path(environment[_FILE_VARIABLE]) if environment.get(_FILE_VARIABLE) else None)
    path = named or Path(DEFAULT_FILE)
    text = ""
    if named is not None or path.exists():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not in UTF-8"
            raise SettingsError(
                finding_of("SET-102", "/", str(reason), "a readable file of settings"), str(path)
            ) from (error)
    return read_settings(text, environment, file=str(path))


def read_settings(text: str, environment: Mapping[str, str] | None = None, *, file: str = DEFAULT_FILE) -> Settings:
    """Settings from the text of a file and the environment. Raises SettingsError as `load_settings` does."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = int(where[1]) if where else None
        raise SettingsError(finding_of("SET-102", "/", str(error), "a file in TOML", line=line), file) from error
    values: dict[str, object] = {}
    for name, value in _flatten(table):
        if name not in _BY_NAME:
            finding = _unknown(name, list(_BY_NAME), _line_of(name, text))
            raise SettingsError(finding, file)
        values[name] = _convert(name, value, file, strict=True, line=_line_of(name, text))
    for variable, given in sorted((environment or {}).items()):
        if not variable.startswith(_PREFIX) or variable == _FILE_VARIABLE:
            continue
        setting = _BY_VARIABLE.get(variable)
        if setting is None:
            raise SettingsError(_unknown(variable, list(_BY_VARIABLE), None), "environment")
        values[setting.name] = _convert(setting.name, given, "environment", strict=False, line=None)
    return msgspec.convert(_nest(values), Settings)


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and (value or any(name.startswith(f"{prefix}{key}.") for name in _BY_NAME)):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


def _convert(name: str, value: object, file: str, *, strict: bool, line: int | None) -> object:
    setting = _BY_NAME[name]
    hint = _HINTS[name]
    if isinstance(setting.default, tuple) and isinstance(value, str):
        value = value.replace(",", " ").split()
    try:
        converted: object = msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        unit = f" ({setting.unit})" if setting.unit else ""
        path = name if strict else setting.variable
        finding = finding_of("SET-101", path, repr(value), f"{setting.kind}{unit}", setting.text, line=line)
        raise SettingsError(finding, file) from error
    return converted


def _unknown(name: str, known: list[str], line: int | None) -> Finding:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    last = name.rpartition(".")[2]
    near = near or [other for other in known if other.rpartition(".")[2] == last]
    accepted = f"perhaps {near[0]}" if near else f"one of {', '.join(known)}"
    return finding_of("SET-101", name, "no such setting", accepted, line=line)


def _line_of(name: str, text: str) -> int | None:
    """Line on which a setting stands in a file in TOML; None if it is not written in one of the usual ways."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            table = f"{header[1]}."
            continue
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        if key and f"{table}{key[1]}".replace('"', "").replace("'", "") == name:
            return number
    return None
