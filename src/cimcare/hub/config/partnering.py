"""Tables of partners and subscriptions in the file of settings, and the values that they become.

`[brokers.<name>]` is a broker, `[systems.<role>]` with an address is the partner that plays the role,
`[partners.<name>]` any other one, `[subscriptions.<name>]` who wants which events. Everything is checked, and each
mistake is told with its place.
"""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from cimcare.exchange.partners import BROKER, DIRECT, Drill, Partner, Replies, Retry, Tls, Wire
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.config.brokers import ACCEPTED_DESTINATION, OF_BROKERS, build_broker, find_unusable
from cimcare.hub.config.clashes import clashes_of, find_wrong_address
from cimcare.hub.config.keys import Key, Mistake, Place, nearest, read_value
from cimcare.hub.config.partner_keys import (
    OF_PARTNERS,
    OF_SUBSCRIPTIONS,
    REACHED,
    ROLE_KEYS,
    ROLE_VARIABLES,
    PartnerKeys,
)
from cimcare.model.envelope import OperationSet
from cimcare.model.nouns import ENTRIES, Noun, Role, find_noun
from cimcare.model.payment import OWN_NOUN
from cimcare.model.verbs import EVENT_OF, EVENT_VERBS, Verb
from cimcare.transport.broker.brokers import Broker
from cimcare.transport.broker.ports import BrokerError, parse_destination
from cimcare.transport.webhook import parse_secrets

__all__ = ["Tables", "read_tables"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ACCEPTED_NAME = "1 to 64 letters, digits, - and _"
_ACCEPTED_ADDRESS = "an address such as https://host:8443/path, without name, password and fragment"
_NO_BROKER = "a table [brokers.<name>], and its name here"
_EDITION_2 = "2022"
_LIBRARY_LINE = re.compile(r" ?\(_ssl\.c:\d+\)")  # where in Python's sources an error of TLS was noticed
_FOR_REQUESTS = ("forward", "replies", "reply_seconds")
_FOR_HTTP = ("url", "soap_version", "format", "ca_file", "certificate_file", "key_file", "secret_file")
_FOR_BROKERS = ("broker", "destination", "event_destination")
_EVENTS = "topic:{context}.EVENTS.{noun}.{verb}"
_REQUESTS = "queue:{context}.REQUESTS.{noun}.{verb}"


class Tables(NamedTuple):
    """What the tables come to. Partners of roles first, then the others, then destinations of subscriptions."""

    brokers: tuple[Broker, ...]
    partners: tuple[Partner, ...]
    subscriptions: tuple[Subscription, ...]
    mistakes: tuple[Mistake, ...]


class _Table:
    """One table, with the values that could be read and the places of all keys that were given."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.values: dict[str, object] = {}
        self.places: dict[str, Place] = {}
        self.is_whole = True

    def place_of(self, key: str) -> Place:
        """Place of a key that was given, else of the table."""
        return self.places.get(key, self.place)

    def get(self, keys: Mapping[str, Key]) -> dict[str, object]:
        """Values of these keys, with their defaults."""
        return {name: self.values.get(name, key.setting.default) for name, key in keys.items()}


class _Reader:
    """Reads the tables and gathers the mistakes."""

    def __init__(self, file: str, lines: Mapping[tuple[str, ...], int], address: str) -> None:
        self._file = file
        self._lines = lines
        self._address = address
        self.brokers: dict[str, Broker] = {}
        self.broker_names: set[str] = set()
        self.mistakes: list[Mistake] = []

    def note(self, place: Place, code: str, found: str, accepted: str, why: str = "") -> None:
        """A mistake."""
        self.mistakes.append(Mistake.at(place, code, found, accepted, why))

    def place_of(self, *path: str) -> Place:
        """Place of a key in the file."""
        shown = ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)
        return Place(self._file, shown, self._lines.get(path))

    def read_table(self, keys: Mapping[str, Key], given: object, *path: str) -> _Table:
        """The values of a table. What cannot be read is noted and left out."""
        table = _Table(self.place_of(*path))
        if not isinstance(given, dict):
            self.note(table.place, "SET-101", repr(given), f"a table [{table.place.path}]")
            table.is_whole = False
            return table
        for name, value in given.items():
            place = self.place_of(*path, name)
            key = keys.get(name)
            if key is None:
                near = nearest(name, list(keys))
                accepted = f"perhaps {'.'.join((*path, near))}" if near else f"one of {', '.join(keys)}"
                self.note(place, "SET-101", "no such setting", accepted)
                continue
            self.read_key(table, key, value, place)
        return table

    def read_key(self, table: _Table, key: Key, value: object, place: Place, *, strict: bool = True) -> None:
        """One value of a table."""
        name = key.setting.name
        table.places[name] = place
        if name == "edition" and str(value) == _EDITION_2:
            why = "what is publicly known of edition 2 (IEC 61968-100:2022) is not enough to speak it"
            self.note(place, "SET-112", repr(value), key.setting.accepted, why)
            return
        read = read_value(key, value, place, strict=strict)
        if isinstance(read, Mistake):
            self.mistakes.append(read)
        else:
            table.values[name] = read

    def read_nouns(self, table: _Table, key: str, *, more: Sequence[str] = ()) -> tuple[str, ...]:
        """Nouns of a list; those that are unknown are noted and left out."""
        known = [*(entry.noun.value for entry in ENTRIES), *more]
        found = []
        for name in cast("tuple[str, ...]", table.values.get(key, ())):
            if name in known:
                found.append(name)
                continue
            alias = find_noun(name, aliases=True)
            near = alias.noun.value if alias is not None else nearest(name, known)
            accepted = f"perhaps {near}" if near else f"one of {', '.join(known)}"
            self.note(table.place_of(key), "SET-111", f"noun {name!r}", accepted)
        return tuple(dict.fromkeys(found))

    def read_verbs(self, table: _Table) -> tuple[str, ...]:
        """Verbs of events; others are noted and left out."""
        known = sorted(EVENT_VERBS)
        found = []
        for name in cast("tuple[str, ...]", table.values.get("verbs", ())):
            if name in EVENT_VERBS:
                found.append(name)
                continue
            event = EVENT_OF.get(Verb(name)) if name in frozenset(Verb) else None
            near = event or nearest(name, known)
            why = "subscriptions are for events, whose verbs are in the past tense" if event else ""
            accepted = f"perhaps {near}" if near else f"one of {', '.join(known)}"
            self.note(table.place_of("verbs"), "SET-111", f"verb {name!r}", accepted, why)
        return tuple(dict.fromkeys(found))

    def check_name(self, name: str, table: _Table, *, is_partner: bool) -> None:
        """Names stand in paths, metrics and commands, and roles have theirs."""
        if not _NAME.fullmatch(name):
            self.note(table.place, "SET-106", f"name {name!r}", _ACCEPTED_NAME)
        elif is_partner and name in frozenset(Role):
            why = "the name is that of a role"
            self.note(table.place, "SET-106", f"name {name!r}", f"[systems.{name}], or another name", why)
        elif is_partner and name == DIRECT:
            why = "the name is that of replies which go to somebody who is no partner"
            self.note(table.place, "SET-106", f"name {name!r}", "another name", why)
        elif is_partner and name == BROKER:
            why = "the name is that of what came from brokers and could not be taken in"
            self.note(table.place, "SET-106", f"name {name!r}", "another name", why)

    def check_reached(self, table: _Table, *, why: str) -> None:
        """What the keys of how a partner is reached must be together; `why` it needs an address."""
        values = table.get(OF_PARTNERS)
        url = cast("str", values["url"])
        if values["kind"] == Wire.JMS:
            self._check_broker(table)
            return
        for key in _FOR_BROKERS:
            if table.values.get(key):
                self.together(table, key, f'with kind "{values["kind"]}"', f'kind = "jms", or no {key}')
        if "url" not in table.places:
            self.note(table.place, "SET-116", "no url", f"url: {_ACCEPTED_ADDRESS}", why)
        elif "url" in table.values and (wrong := find_wrong_address(url)):
            self.note(table.place_of("url"), "SET-107", wrong, _ACCEPTED_ADDRESS)
        kind = cast("Wire", values["kind"])
        is_soap = kind in (Wire.SOAP, Wire.SOAP_TYPED)
        if is_soap and values["format"] == "json":
            self.together(table, "format", f'"json" with kind "{kind}"', 'format = "xml", or kind = "rest"')
        if kind is Wire.WEBHOOK and values["drill"] == Drill.GET:
            why = "a webhook takes events and answers no request"
            self.together(table, "drill", '"get" with kind "webhook"', 'drill = "connect" or "ticket"', why)
        if not is_soap and "soap_version" in table.values:
            self.together(table, "soap_version", f'with kind "{kind}"', "no soap_version, or a kind of SOAP")
        if kind is not Wire.WEBHOOK and values["secret_file"]:
            why = "only webhooks are signed"
            self.together(table, "secret_file", f'with kind "{kind}"', 'no secret_file, or kind = "webhook"', why)
        self._check_pauses(table)
        for key in ("ca_file", "certificate_file", "key_file"):
            if values[key] and url.startswith("http:"):
                why = "without TLS nothing is checked"
                self.together(table, key, "with an address of http", f"an https address, or no {key}", why)
        if values["key_file"] and not values["certificate_file"]:
            self.together(table, "key_file", "without certificate_file", "both, or none")

    def _check_pauses(self, table: _Table) -> None:
        values = table.get(OF_PARTNERS)
        if cast("float", values["retry_most_seconds"]) < cast("float", values["retry_first_seconds"]):
            found = f"longest pause {values['retry_most_seconds']} below the first, {values['retry_first_seconds']}"
            key = "retry_most_seconds" if "retry_most_seconds" in table.places else "retry_first_seconds"
            self.together(table, key, found, "a longest pause that is not shorter than the first")

    def _check_broker(self, table: _Table) -> None:
        """What the keys of a partner behind a broker must be together."""
        self._check_pauses(table)
        for key in _FOR_HTTP:
            if table.values.get(key, OF_PARTNERS[key].setting.default) != OF_PARTNERS[key].setting.default:
                why = "where the broker is, and by what certificates, stands in its own table"
                self.together(table, key, 'with kind "jms"', f"no {key}, or a kind over HTTP", why)
        name = cast("str", table.get(OF_PARTNERS)["broker"])
        if not name:
            accepted = f"broker = one of {', '.join(sorted(self.broker_names))}" if self.broker_names else _NO_BROKER
            self.note(table.place, "SET-116", "no broker", accepted, "kind is jms")
        elif name not in self.broker_names:
            near = nearest(name, sorted(self.broker_names))
            accepted = f"perhaps {near}" if near else f"a table [brokers.{name}]"
            self.note(table.place_of("broker"), "SET-132", f"broker {name!r}", accepted)

    def build_places(self, table: _Table, *, owns: bool) -> tuple[str, str, str]:
        """Of a partner behind a broker: destination of requests, that of events, and where it replies later."""
        values = table.get(OF_PARTNERS)
        broker = self.brokers.get(cast("str", values["broker"]))
        if broker is None:
            return "", "", ""
        wanted = cast("str", values["destination"])
        requests = self._pattern(table, "destination", wanted or (_REQUESTS if owns else _EVENTS), broker)
        events = cast("str", values["event_destination"]) or ("" if wanted or not owns else _EVENTS)
        pattern = self._pattern(table, "event_destination", events, broker) if events else ""
        if owns and requests:
            self._check_loop(table, requests, broker)
        return requests, pattern, str(broker.replies)

    def _pattern(self, table: _Table, key: str, text: str, broker: Broker) -> str:
        if "{context}" in text and not broker.context:
            why = "{context} stands for it"
            self.note(
                table.place_of(key), "SET-116", "neither context of the broker nor hub.context", "one of them", why
            )
            return ""
        plain = text.replace("{context}", broker.context)
        try:
            parse_destination(plain.replace("{noun}", "N").replace("{verb}", "v"))
        except BrokerError as error:
            self.note(table.place_of(key), "SET-133", error.finding.found, ACCEPTED_DESTINATION)
            return ""
        return plain if plain.startswith("jms:") else f"jms:{plain}"

    def _check_loop(self, table: _Table, pattern: str, broker: Broker) -> None:
        """Requests that the hub itself consumes would never get to the partner."""
        sample = parse_destination(pattern.replace("{noun}", "TroubleTickets").replace("{verb}", "create"))
        for each in broker.consumed:
            if each.destination.matches(sample):
                found = f"requests to {pattern}, which the hub itself consumes from broker {broker.name} ({each})"
                accepted = "a destination of its own, such as queue:OMS.{context}.REQUESTS.{noun}.{verb}"
                why = "the partner would never get them; setting listen of the broker"
                self.note(table.place_of("destination"), "SET-133", found, accepted, why)
                return

    def together(self, table: _Table, key: str, found: str, accepted: str, why: str = "") -> None:
        """Settings that do not go together."""
        self.note(table.place_of(key), "SET-114", found, accepted, why)

    def check_requests(self, table: _Table, partner: Partner) -> None:
        """What is for requests needs nouns, and later replies an address to come to."""
        if not partner.owns:
            for key in _FOR_REQUESTS:
                if key in table.values:
                    why = f"it is for requests, and {partner.name} owns no noun"
                    self.together(table, key, f"without nouns that {partner.name} owns", f"owns, or no {key}", why)
            return
        if partner.is_third_party:
            key = "owns" if "owns" in table.places else "third_party"
            found = f"a third party that owns {', '.join(partner.owns)}"
            why = "requests go to the owner as they come, and would tell it what customers have not consented to"
            self.together(table, key, found, "owns = [], or a partner inside of the utility", why)
        if partner.wire is Wire.WEBHOOK:
            key = "owns" if "owns" in table.places else "kind"
            found = f'kind "webhook" that owns {", ".join(partner.owns)}'
            why = "a webhook takes events and answers no request"
            self.together(table, key, found, "a kind of SOAP or rest, or owns = []", why)
        if partner.replies is Replies.LATER and not self._address and partner.wire is not Wire.JMS:
            why = "the partner is to send its replies there"
            self.together(table, "replies", '"later" without hub.address', "hub.address, or at-once", why)


def read_tables(
    given: Mapping[str, object],
    variables: Mapping[str, str],
    *,
    file: str,
    lines: Mapping[tuple[str, ...], int],
    sources: Mapping[Role, str],
    address: str,
    context: str,
    files: bool,
    brokers: Sequence[Broker] = (),
) -> Tables:
    """Brokers, partners and subscriptions of a file of settings, with all that is wrong about them.

    Args:
        given: The file's `brokers`, `systems`, `partners` and `subscriptions`; of the second only what makes a role
            remote.
        variables: The environment; those that `ROLE_VARIABLES` names count.
        file: Name of the file, for mistakes.
        lines: Line of each key.
        sources: Header/Source of each role.
        address: The setting `hub.address`.
        context: The setting `hub.context`.
        files: Whether files for TLS and signatures are opened, and libraries for brokers looked for.
        brokers: Brokers that are there besides those of the file.
    """
    reader = _Reader(file, lines, address)
    reader.brokers.update((each.name, each) for each in brokers)
    reader.broker_names.update(reader.brokers)
    _read_brokers(reader, given, context, files=files)
    tables: dict[str, _Table] = {}
    roles: dict[str, Role] = {}
    for role, table in _read_roles(reader, given.get("systems", {}), variables):
        tables[role.value] = table
        roles[role.value] = role
    for name, content in _named(reader, given, "partners"):
        table = reader.read_table(OF_PARTNERS, content, "partners", name)
        reader.check_name(name, table, is_partner=True)
        if name not in tables:
            tables[name] = table
    wants: dict[str, _Table] = {}
    for name, content in _named(reader, given, "subscriptions"):
        table = reader.read_table(OF_SUBSCRIPTIONS, content, "subscriptions", name)
        is_own = _has_own_destination(reader, table)
        if is_own or "partner" in table.values:
            wants[name] = table
        reader.check_name(name, table, is_partner=is_own)
        if is_own and name in tables:
            found = f"a destination named {name}, as the partner at {_told(tables[name].place)}"
            accepted = f'partner = "{name}" and no address here, or another name'
            reader.note(table.place, "SET-106", found, accepted)
        elif is_own:
            tables[name] = table
    partners = _build_partners(reader, tables, roles, sources)
    subscriptions = tuple(_build_subscription(reader, name, table) for name, table in wants.items())
    for name, table in tables.items():
        if table.is_whole:
            why = "a role is built in while it has no address" if name in roles else ""
            reader.check_reached(table, why=why)
        if files:
            _check_files(reader, table, partners[name])
    for partner in partners.values():
        reader.check_requests(tables[partner.name], partner)
    for clash in clashes_of(tuple(partners.values()), subscriptions, sources):
        if clash.code == "SET-109" and clash.subject.name in roles:
            continue  # two roles, of which the settings of the roles tell
        table = (tables if isinstance(clash.subject, Partner) else wants)[clash.subject.name]
        reader.note(table.place_of(clash.key), clash.code, clash.found, clash.accepted, clash.why)
    return Tables(tuple(reader.brokers.values()), tuple(partners.values()), subscriptions, tuple(reader.mistakes))


def _read_brokers(reader: _Reader, given: Mapping[str, object], context: str, *, files: bool) -> None:
    for name, content in _named(reader, given, "brokers"):
        table = reader.read_table(OF_BROKERS, content, "brokers", name)
        reader.check_name(name, table, is_partner=False)
        reader.broker_names.add(name)
        if not table.is_whole:
            continue
        values = table.get(OF_BROKERS)

        def note(key: str, code: str, found: str, accepted: str, why: str, table: _Table = table) -> None:
            reader.note(table.place_of(key), code, found, accepted, why)

        broker = build_broker(name, values, context, note)
        if broker is None:
            continue
        reader.brokers[name] = broker
        if files:
            for key, code, found, accepted in find_unusable(broker, values):
                reader.note(table.place_of(key), code, found, accepted)
            _check_tls_files(reader, table, broker.tls)


def _read_roles(reader: _Reader, given: object, variables: Mapping[str, str]) -> Iterator[tuple[Role, _Table]]:
    """Tables of the roles that are remote, or have keys that only a remote one has."""
    keys = {name: key for name, key in OF_PARTNERS.items() if name in ROLE_KEYS}
    content = given if isinstance(given, dict) else {}
    for role in Role:
        found = content.get(role.value)
        known = {name: value for name, value in found.items() if name in keys} if isinstance(found, dict) else {}
        table = reader.read_table(keys, known, "systems", role.value)
        for variable, (of, name) in ROLE_VARIABLES.items():
            if of is role and variable in variables:
                place = Place("environment", variable)
                reader.read_key(table, keys[name], variables[variable], place, strict=False)
        if table.values.get("url") == "":
            del table.values["url"], table.places["url"]
        if table.places:
            yield role, table


def _named(reader: _Reader, given: Mapping[str, object], section: str) -> Iterator[tuple[str, object]]:
    """Tables of a section by name."""
    content = given.get(section, {})
    if isinstance(content, dict):
        yield from content.items()
    else:
        reader.note(reader.place_of(section), "SET-101", repr(content), f"tables [{section}.<name>]")


def _has_own_destination(reader: _Reader, table: _Table) -> bool:
    """Whether a subscription has a destination of its own; noted if it has none at all, or two."""
    reached = [name for name in table.places if name in REACHED]
    if "partner" in table.places:
        if reached:
            accepted = "partner, or how its own destination is reached"
            reader.together(table, reached[0], "beside partner", accepted, "a subscription has one destination")
        return False
    if not reached and table.is_whole:
        accepted = "partner, or url (kind jms: broker) and what else says how a destination of its own is reached"
        reader.note(table.place, "SET-116", "neither partner nor url", accepted)
    return bool(reached)


def _build_partners(
    reader: _Reader, tables: Mapping[str, _Table], roles: Mapping[str, Role], sources: Mapping[Role, str]
) -> dict[str, Partner]:
    claims = {name: reader.read_nouns(table, "owns") for name, table in tables.items()}
    claimed = {noun for nouns in claims.values() for noun in nouns}
    partners = {}
    for name, table in tables.items():
        role = roles.get(name)
        owns = tuple(Noun(noun) for noun in claims[name])
        if role is not None and "owns" not in table.places:
            owns = tuple(entry.noun for entry in ENTRIES if entry.owner is role and entry.noun not in claimed)
        source = sources[role] if role is not None else cast("str", table.values.get("source", name))
        partners[name] = _build_partner(reader, table, name=name, source=source, role=role, owns=owns)
    return partners


def _build_partner(
    reader: _Reader, table: _Table, *, name: str, source: str, role: Role | None, owns: tuple[Noun, ...]
) -> Partner:
    keys = msgspec.convert(
        {key: value for key, value in table.get(OF_PARTNERS).items() if key not in ("source", "owns")}, PartnerKeys
    )
    url, event_url, reply_to = keys.url, "", ""
    if keys.kind is Wire.JMS:
        url, event_url, reply_to = reader.build_places(table, owns=bool(owns))
    return Partner(
        name=name,
        wire=keys.kind,
        url=url,
        broker=keys.broker,
        event_url=event_url,
        reply_to=reply_to if keys.replies is Replies.LATER else "",
        source=source,
        role=role,
        owns=owns,
        edition=keys.edition,
        soap_12=keys.soap_version == "1.2",
        as_json=keys.format == "json",
        compress_above_bytes=keys.compress_above_bytes,
        forward=keys.forward,
        replies=keys.replies,
        deadline=timedelta(seconds=keys.deadline_seconds),
        reply_within=timedelta(seconds=keys.reply_seconds),
        parallel=keys.parallel,
        rate=keys.rate_per_second,
        retry=Retry(
            first=timedelta(seconds=keys.retry_first_seconds),
            factor=keys.retry_factor,
            most=timedelta(seconds=keys.retry_most_seconds),
            jitter=keys.retry_jitter,
            patience=timedelta(hours=keys.retry_hours),
            attempts=keys.retry_attempts,
        ),
        tls=Tls(
            ca_file=_absolute(keys.ca_file),
            certificate_file=_absolute(keys.certificate_file),
            key_file=_absolute(keys.key_file),
        ),
        secret_file=_absolute(keys.secret_file),
        third_party=keys.third_party,
        drill=keys.drill,
    )


def _absolute(file: str) -> str:
    """The file from anywhere: processes that go by the configuration may run in other folders."""
    return str(Path(file).absolute()) if file else ""


def _build_subscription(reader: _Reader, name: str, table: _Table) -> Subscription:
    values = table.get(OF_SUBSCRIPTIONS)
    lists = {key: cast("tuple[str, ...]", values[key]) for key in ("premises", "areas", "sources")}
    return Subscription(
        name=name,
        partner=cast("str", table.values.get("partner", name)),
        filter=Filter(
            verbs=reader.read_verbs(table),
            nouns=reader.read_nouns(table, "nouns", more=(OperationSet.XML_TYPE, OWN_NOUN)),
            properties=cast("dict[str, str]", values["properties"]),
            **lists,
        ),
    )


def _check_files(reader: _Reader, table: _Table, partner: Partner) -> None:
    """Files for TLS and signatures, by doing with them what is done at the first delivery."""
    if partner.wire is not Wire.JMS and not partner.url.startswith("http:"):
        _check_tls_files(reader, table, partner.tls)
    if not partner.secret_file or partner.wire is not Wire.WEBHOOK:
        return
    try:
        parse_secrets(Path(partner.secret_file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        found = _failure(partner.secret_file, error)
        reader.note(table.place_of("secret_file"), "SET-113", found, "a file with keys, one a line")


def _check_tls_files(reader: _Reader, table: _Table, tls: Tls) -> None:
    if tls.ca_file:
        try:
            ssl.create_default_context(cafile=tls.ca_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is the former; the latter is for an impossible name
            reader.note(table.place_of("ca_file"), "SET-113", _failure(tls.ca_file, error), "certificates in PEM")
    if tls.certificate_file:
        key = tls.key_file or None
        try:
            ssl.create_default_context().load_cert_chain(tls.certificate_file, key, password=_no_password)
        except (OSError, ValueError) as error:
            shown = f"{tls.certificate_file} and {key}" if key else tls.certificate_file
            accepted = "a certificate in PEM, and its key without password in key_file or beside it"
            reader.note(table.place_of("certificate_file"), "SET-113", _failure(shown, error), accepted)


def _no_password() -> str:
    """Without this, a key that has a password would ask for it on the terminal."""
    raise ValueError("the key has a password")


def _failure(file: str, error: Exception) -> str:
    reason = "not in UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or str(error)
    return f"{file} ({_LIBRARY_LINE.sub('', reason)})"


def _told(place: Place) -> str:
    return f"{place.file}:{place.line}" if place.line else place.path
