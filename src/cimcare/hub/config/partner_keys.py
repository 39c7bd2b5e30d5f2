"""Keys of the tables of partners and subscriptions in the file of settings."""

from typing import Annotated, Literal

import msgspec

from cimcare.exchange.partners import Drill, Edition, Forward, Replies, Wire
from cimcare.hub.config.keys import Key, Setting, described, keys_of
from cimcare.model.nouns import Role
from cimcare.transport.webhook import SHORTEST_KEY_BYTES

__all__ = [
    "OF_PARTNERS",
    "OF_SUBSCRIPTIONS",
    "PARTNER_KEYS",
    "REACHED",
    "ROLE_KEYS",
    "ROLE_VARIABLES",
    "SUBSCRIPTION_KEYS",
    "PartnerKeys",
]

_YEAR = 366 * 24 * 3600.0


class _ReachedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """How a partner is reached, and how patient one is with it."""

    kind: Annotated[
        Wire,
        described(
            "How the partner is spoken to: SOAP, generic or strongly typed, our REST profile, signed webhook, or JMS by"
            " way of a broker."
        ),
    ] = Wire.SOAP
    url: Annotated[
        str,
        described(
            "Address of its service, or of its webhook; of strongly typed services the address below which they are."
        ),
    ] = ""
    broker: Annotated[str, described("Broker by way of which it is reached, of a table `[brokers.<name>]`.")] = ""
    destination: Annotated[
        str,
        described(
            "Where it is sent messages, as queue: or topic: and a name, in which {context}, {noun} and {verb} stand for"
            " those of broker and message.  Default: events to `topic:{context}.EVENTS.{noun}.{verb}`, requests to"
            " `queue:{context}.REQUESTS.{noun}.{verb}`."
        ),
    ] = ""
    source: Annotated[
        str, described("Header/Source of what the partner sends.  Default: the name of the table.", shortest=1)
    ] = ""
    third_party: Annotated[
        bool,
        described(
            "Whether it is outside of the utility, so that what it is told is cut to what customers consent to.  The"
            " partner that plays the role third-party always is."
        ),
    ] = False
    soap_version: Annotated[Literal["1.1", "1.2"], described("Version of SOAP that it is sent.")] = "1.1"
    format: Annotated[
        Literal["xml", "json"], described("Form of the envelope that it is sent; json for rest and webhook alone.")
    ] = "xml"
    edition: Annotated[
        Edition, described("Namespace of the envelope: that of edition 1, or that of its late drafts.")
    ] = Edition.E2013
    compress_above_bytes: Annotated[
        int, described("Longer payloads are sent compressed; 0 never.", unit="bytes", least=0)
    ] = 0
    deadline_seconds: Annotated[
        float, described("How long one waits for an answer.", unit="seconds", least=0.1, most=3600)
    ] = 30.0
    parallel: Annotated[int, described("Most deliveries to it under way at once.", least=1, most=1000)] = 4
    rate_per_second: Annotated[
        float, described("Most deliveries that are begun in a second; 0 is no bound.", least=0, most=1e6)
    ] = 0.0
    retry_first_seconds: Annotated[
        float, described("Pause behind the first attempt that failed.", unit="seconds", least=0.01, most=86400)
    ] = 1.0
    retry_factor: Annotated[
        float, described("By how much each pause is longer than the one before.", least=1, most=100)
    ] = 2.0
    retry_most_seconds: Annotated[
        float, described("Longest pause between attempts.", unit="seconds", least=0.01, most=_YEAR)
    ] = 300.0
    retry_jitter: Annotated[
        float, described("Part of each pause by which it may be shorter, at random.", least=0, most=1)
    ] = 0.3
    retry_hours: Annotated[
        float, described("Age at which a delivery becomes a dead letter.", unit="hours", least=0, most=8784)
    ] = 24.0
    retry_attempts: Annotated[int, described("Most attempts.", least=1, most=1_000_000)] = 1000
    ca_file: Annotated[
        str, described("File in PEM with the authorities that are trusted; empty for those of the machine.")
    ] = ""
    certificate_file: Annotated[str, described("File in PEM with our certificate, where the partner asks for one.")] = (
        ""
    )
    key_file: Annotated[str, described("File in PEM with its key; empty if it stands beside the certificate.")] = ""
    secret_file: Annotated[
        str,
        described(
            "File with the keys with which webhooks are signed, one a line, such as whsec_ and base64 of"
            f" {SHORTEST_KEY_BYTES} bytes or more; all are used."
        ),
    ] = ""
    drill: Annotated[
        Drill,
        described(
            "What `cimcare doctor` sends it to see whether it answers: auto (get where it owns nouns, else connect),"
            " get, ticket (for partners that know the mark of a drill), connect, or none."
        ),
    ] = Drill.AUTO


class PartnerKeys(_ReachedKeys, frozen=True, kw_only=True):
    """A partner that may own nouns."""

    owns: Annotated[
        tuple[str, ...],
        described(
            "Nouns whose requests go to it.  Default: for a role those that it owns by the standard and nobody else"
            " claims, else none."
        ),
    ] = ()
    event_destination: Annotated[
        str,
        described("Where it is sent events and replies, if not to `destination` with the requests.  In the same form."),
    ] = ""
    forward: Annotated[
        Forward,
        described("Whether a request is passed through while its sender waits, or queued and acknowledged at once."),
    ] = Forward.THROUGH
    replies: Annotated[Replies, described("Whether it answers in the same exchange, or later to `hub.address`.")] = (
        Replies.AT_ONCE
    )
    reply_seconds: Annotated[
        float, described("How long one waits for a later reply.", unit="seconds", least=1, most=_YEAR)
    ] = 3600.0


class _SubscriptionKeys(_ReachedKeys, frozen=True, kw_only=True):
    """Which events are wanted, and by whom."""

    partner: Annotated[
        str,
        described(
            "Partner that gets the events; without it keys of a partner give the subscription a destination of its own."
        ),
    ] = ""
    verbs: Annotated[tuple[str, ...], described("Verbs of events that are wanted; empty for all.")] = ()
    nouns: Annotated[tuple[str, ...], described("Nouns that are wanted; empty for all.")] = ()
    premises: Annotated[
        tuple[str, ...], described("mRIDs or names of service locations and usage points; empty for all.")
    ] = ()
    areas: Annotated[
        tuple[str, ...], described("Towns, districts, postal codes or regions of addresses; empty for all.")
    ] = ()
    sources: Annotated[tuple[str, ...], described("Header/Source of events that are wanted; empty for all.")] = ()
    properties: Annotated[
        dict[str, str],
        described("Names and values of Header/Property of which the event has one; an empty value is any."),
    ] = {}


def _by_name(default: msgspec.Struct) -> dict[str, Key]:
    return {key.setting.name: key for key in keys_of(default)}


OF_PARTNERS = _by_name(PartnerKeys())
OF_SUBSCRIPTIONS = _by_name(_SubscriptionKeys())
REACHED = frozenset(_by_name(_ReachedKeys()))

PARTNER_KEYS: tuple[Setting, ...] = tuple(key.setting for key in OF_PARTNERS.values())
"""Keys of a table of a partner, and of one of a role."""

SUBSCRIPTION_KEYS: tuple[Setting, ...] = tuple(
    key.setting for name, key in OF_SUBSCRIPTIONS.items() if name not in REACHED
)
"""Keys of a table of a subscription, besides those that say how a destination of its own is reached."""

ROLE_KEYS = frozenset(OF_PARTNERS) - {"source"}
"""Keys of a table of a role that make it remote; its source is a setting either way."""

ROLE_VARIABLES: dict[str, tuple[Role, str]] = {
    msgspec.structs.replace(key.setting, name=f"systems.{role}.{name}").variable: (role, name)
    for role in Role
    for name, key in OF_PARTNERS.items()
    if name in ROLE_KEYS
}
"""Variables of the environment that stand for keys of a table of a role."""
