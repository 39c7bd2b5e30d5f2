"""Tables of brokers in the file of settings, `[brokers.<name>]`, and the values that they become."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from cimcare.exchange.partners import Retry, Tls
from cimcare.hub.config.keys import Key, Plain, Setting, described, keys_of
from cimcare.model.envelope import OperationSet
from cimcare.model.nouns import ENTRIES
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.transport.broker.brokers import Broker, Consumed, credentials_of
from cimcare.transport.broker.opening import require_adapter
from cimcare.transport.broker.ports import BrokerError, Destination, HeartBeat, parse_address, parse_destination

__all__ = [
    "ACCEPTED_DESTINATION",
    "BROKER_KEYS",
    "OF_BROKERS",
    "BrokerKeys",
    "broker_keys",
    "build_broker",
    "find_unusable",
]

ACCEPTED_DESTINATION = "queue: or topic: and a name with dots, such as queue:{context}.REQUESTS.{noun}.{verb}"
_EVENTS = "topic:{context}.EVENTS.>"
_REQUESTS = "queue:{context}.REQUESTS.>"
_EACH_REQUEST = "queue:{context}.REQUESTS.{noun}.{verb}"
"""For brokers that have no patterns over queues."""

Note = Callable[[str, str, str, str, str], None]
"""Takes a mistake: key (empty for the table), code, what was found, what would pass, why."""


class BrokerKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A broker."""

    urls: Annotated[
        tuple[str, ...],
        described(
            "Its addresses in the order of preference: stomp, stomp+ssl, amqp, amqps (AMQP 0-9-1), amqp10 or amqp10s"
            " (AMQP 1.0), with :// and host and port.",
            is_parted=True,
        ),
    ] = ()
    context: Annotated[
        str,
        described(
            "Top level of the names of destinations, for which {context} stands in them.  Default: `hub.context`."
        ),
    ] = ""
    user: Annotated[str, described("User by which the hub is known to the broker; empty for none.")] = ""
    password_file: Annotated[str, described("File with the password, in one line; read at each connection.")] = ""
    client_id: Annotated[
        str,
        described(
            "Name of this hub, unique among all clients of the broker: it keeps durable subscriptions under it.",
            shortest=1,
        ),
    ] = "cimcare"
    ca_file: Annotated[
        str, described("File in PEM with the authorities that are trusted; empty for those of the machine.")
    ] = ""
    certificate_file: Annotated[str, described("File in PEM with our certificate, where the broker asks for one.")] = ""
    key_file: Annotated[str, described("File in PEM with its key; empty if it stands beside the certificate.")] = ""
    listen: Annotated[
        tuple[str, ...],
        described(
            "Queues and topics that the hub consumes, topics durably; a level may be * (any one), the last one > (the"
            " rest), and {noun} and {verb} stand for each noun with each verb of its requests, or of its events.  WHERE"
            " and a selector of JMS behind it take only what matches, as far as the broker has selectors."
            f"  Default: `{_EVENTS}` and `{_REQUESTS}`, over AMQP `{_EACH_REQUEST}`;"
            ' "none" for nothing but later replies.',
            is_parted=True,
        ),
    ] = ()
    replies: Annotated[
        str,
        described(
            "Queue to which partners of this broker send later replies.  Default: `queue:{context}.REPLIES.` and the"
            " client_id."
        ),
    ] = ""
    prefetch: Annotated[
        int, described("Most messages of one queue or topic that are here unsettled.", least=1, most=10000)
    ] = 50
    redelivery_limit: Annotated[
        int,
        described(
            "How often a message that comes again may have been begun and not ended, since the hub died each time,"
            " before it becomes a dead letter; 0 for ever.",
            least=0,
            most=1000,
        ),
    ] = 5
    connect_seconds: Annotated[
        float, described("How long one waits for a connection.", unit="seconds", least=0.1, most=600)
    ] = 10.0
    confirm_seconds: Annotated[
        float,
        described(
            "How long one waits for the broker to confirm; then the connection is made anew.",
            unit="seconds",
            least=0.1,
            most=600,
        ),
    ] = 10.0
    heart_beat_seconds: Annotated[
        float,
        described("How often each side lets the other hear that it lives.", unit="seconds", least=0.1, most=3600),
    ] = 10.0
    reconnect_first_seconds: Annotated[
        float, described("First pause before another attempt to connect.", unit="seconds", least=0.01, most=3600)
    ] = 0.5
    reconnect_most_seconds: Annotated[
        float, described("Longest pause before another attempt to connect.", unit="seconds", least=0.01, most=3600)
    ] = 30.0
    watch_seconds: Annotated[
        float,
        described(
            "How often a message of the hub's own proves that its consumers are attached; 0 never.",
            unit="seconds",
            least=0,
            most=86400,
        ),
    ] = 30.0
    expires: Annotated[
        bool,
        described("Whether a request expires at the broker when the hub has ceased to wait for its reply."),
    ] = True


OF_BROKERS: dict[str, Key] = {key.setting.name: key for key in keys_of(BrokerKeys())}

BROKER_KEYS: tuple[Setting, ...] = tuple(key.setting for key in OF_BROKERS.values())
"""Keys of a table of a broker."""


def build_broker(name: str, values: Mapping[str, object], context: str, note: Note) -> Broker | None:
    """The broker of a table, with all that is wrong about it told; None if something is.

    Args:
        name: Its name.
        values: Values of its keys, those with defaults included.
        context: The setting `hub.context`.
        note: Takes mistakes.
    """
    keys = msgspec.convert(values, BrokerKeys)
    problems: list[str] = []

    def wrong(key: str, code: str, found: str, accepted: str, why: str = "") -> None:
        problems.append(code)
        note(key, code, found, accepted, why)

    if not keys.urls:
        wrong("urls", "SET-116", "no urls", "urls = [...] with the broker's addresses", "")
    for url in keys.urls:
        try:
            parse_address(url)
        except BrokerError as error:
            wrong("urls", error.code, error.finding.found, error.finding.accepted)
    top = keys.context or context
    if not top and any("{context}" in text for text in _texts(keys)):
        why = "it is the top level of destinations, so that training never reaches production"
        wrong("context", "SET-116", "neither context here nor hub.context", 'such as context = "PRODUCTION"', why)
    if keys.key_file and not keys.certificate_file:
        wrong("key_file", "SET-114", "without certificate_file", "both, or none")
    if keys.password_file and not keys.user:
        wrong("password_file", "SET-114", "without user", "both, or none")
    if keys.reconnect_most_seconds < keys.reconnect_first_seconds:
        found = f"longest pause {keys.reconnect_most_seconds:g} below the first, {keys.reconnect_first_seconds:g}"
        wrong("reconnect_most_seconds", "SET-114", found, "a longest pause that is not shorter than the first")
    listen, replies = _destinations(keys, top or "CONTEXT", wrong)
    _check_selectors(listen, keys.urls, wrong)
    if problems or replies is None:
        return None
    return Broker(
        name=name,
        urls=keys.urls,
        context=top,
        user=keys.user,
        password_file=_absolute(keys.password_file),
        client_id=keys.client_id,
        tls=Tls(
            ca_file=_absolute(keys.ca_file),
            certificate_file=_absolute(keys.certificate_file),
            key_file=_absolute(keys.key_file),
        ),
        heart_beat=HeartBeat(seconds=keys.heart_beat_seconds),
        listen=listen,
        replies=replies,
        prefetch=keys.prefetch,
        redelivery_limit=keys.redelivery_limit,
        connect=timedelta(seconds=keys.connect_seconds),
        confirm=timedelta(seconds=keys.confirm_seconds),
        reconnect=Retry(
            first=timedelta(seconds=keys.reconnect_first_seconds), most=timedelta(seconds=keys.reconnect_most_seconds)
        ),
        watch=timedelta(seconds=keys.watch_seconds),
        expires=keys.expires,
    )


def _texts(keys: BrokerKeys) -> tuple[str, ...]:
    replies = keys.replies or "queue:{context}.REPLIES.{client}"
    has_patterns = all(url.startswith("stomp") for url in keys.urls)
    usual = (_REQUESTS if has_patterns else _EACH_REQUEST, _EVENTS)
    listen = () if keys.listen == ("none",) else keys.listen or usual
    return (*listen, replies)


def _each(text: str) -> Iterator[str]:
    """The text with each noun and verb for which {noun} and {verb} stand in it."""
    if "{noun}" not in text and "{verb}" not in text:
        yield text
        return
    is_topic = text.removeprefix("jms:").startswith("topic:")
    every, whole = (EVENT_VERBS, Verb.EXECUTED) if is_topic else (REQUEST_VERBS, Verb.EXECUTE)
    pairs = [(entry.noun.value, verb) for entry in ENTRIES for verb in sorted(every - {whole})]
    for noun, verb in (*pairs, (OperationSet.XML_TYPE, whole)):
        yield text.replace("{noun}", noun).replace("{verb}", verb)


def _destinations(
    keys: BrokerKeys, context: str, wrong: Callable[[str, str, str, str], None]
) -> tuple[tuple[Consumed, ...], Destination | None]:
    *listen, replies = _texts(keys)

    def read(key: str, text: str, *, patterns: bool) -> Destination | None:
        plain = text.replace("{context}", context).replace("{client}", keys.client_id)
        try:
            return parse_destination(plain, patterns=patterns)
        except BrokerError as error:
            wrong(key, "SET-133", error.finding.found, error.finding.accepted)
            return None

    found: list[Consumed] = []
    for text in listen:
        place, parted, selector = _split(text)
        if parted and not _is_selector(selector):
            accepted = "a selector of JMS behind WHERE, such as Noun = 'TroubleTickets' AND Verb <> 'get'"
            wrong("listen", "SET-133", f"{text[:200]!r}", accepted)
            continue
        for each in _each(place):
            destination = read("listen", each, patterns=True)
            if destination is not None:
                found.append(Consumed(destination=destination, selector=selector.replace("{context}", context)))
    return tuple(dict.fromkeys(found)), read("replies", replies, patterns=False)


def _split(text: str) -> tuple[str, bool, str]:
    """Destination and selector of an entry of `listen`, and whether it has one; no name holds a blank."""
    place, *rest = re.split(r"\s+where(?:\s+|$)", text.strip(), maxsplit=1, flags=re.IGNORECASE)
    return place, bool(rest), "".join(rest).strip()


def _is_selector(text: str) -> bool:
    """Whether it may be one, as far as that can be said without a broker: its quotes and brackets come in pairs."""
    bare = re.sub(r"'(?:[^']|'')*'", "", text)
    return bool(text) and "'" not in bare and text.isprintable() and bare.count("(") == bare.count(")")


def _check_selectors(
    listen: Iterable[Consumed], urls: Iterable[str], wrong: Callable[[str, str, str, str], None]
) -> None:
    """Nobody has selectors over AMQP 0-9-1; and where a destination is consumed twice, one takes the other's."""
    without = [url for url in urls if url.partition(":")[0] in ("amqp", "amqps")]
    seen: set[Destination] = set()
    for each in listen:
        if each.selector and without:
            found = f"{each} with {without[0]}, AMQP 0-9-1, which has no selectors"
            wrong("listen", "SET-133", found, "no WHERE; or STOMP or AMQP 1.0 and a broker that has selectors")
            return
        if each.destination in seen:
            wrong("listen", "SET-133", f"{each.destination} twice", "one entry; conditions are joined by OR")
        seen.add(each.destination)


def find_unusable(broker: Broker, values: Mapping[str, object]) -> Iterator[tuple[str, str, str, str]]:
    """What a broker needs of this machine and is not there: key, code, found, accepted."""
    for address in broker.addresses:
        try:
            require_adapter(address)
        except BrokerError as error:
            yield "urls", error.code, error.finding.found, error.finding.accepted
            break
    if values.get("password_file"):
        try:
            credentials_of(broker)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not in UTF-8"
            yield "password_file", "SET-113", f"{broker.password_file} ({reason})", "a file with the password"


def broker_keys(broker: Broker) -> dict[str, Plain]:
    """The broker as the keys of its table."""
    return {
        "urls": broker.urls,
        "context": broker.context,
        "user": broker.user,
        "password_file": broker.password_file,
        "client_id": broker.client_id,
        "ca_file": broker.tls.ca_file,
        "certificate_file": broker.tls.certificate_file,
        "key_file": broker.tls.key_file,
        "listen": tuple(str(each) for each in broker.listen) or ("none",),
        "replies": str(broker.replies),
        "prefetch": broker.prefetch,
        "redelivery_limit": broker.redelivery_limit,
        "connect_seconds": broker.connect.total_seconds(),
        "confirm_seconds": broker.confirm.total_seconds(),
        "heart_beat_seconds": broker.heart_beat.seconds,
        "reconnect_first_seconds": broker.reconnect.first.total_seconds(),
        "reconnect_most_seconds": broker.reconnect.most.total_seconds(),
        "watch_seconds": broker.watch.total_seconds(),
        "expires": broker.expires,
    }


def _absolute(file: str) -> str:
    return str(Path(file).absolute()) if file else ""
