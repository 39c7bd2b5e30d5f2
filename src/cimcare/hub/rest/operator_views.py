"""What REST interface and commands show of deliveries, destinations, ledger and audit trail."""

from datetime import datetime
from typing import Any

import msgspec

from cimcare.exchange.audit import AuditRow, Sealed
from cimcare.exchange.ledger import Balance
from cimcare.exchange.outbox import Delivery
from cimcare.exchange.sending import Circuit
from cimcare.hub.config.differences import shown_address
from cimcare.hub.outgoing.destinations import Destination
from cimcare.hub.outgoing.exchanged import Exchanged
from cimcare.hub.outgoing.halting import Halt

__all__ = [
    "AuditList",
    "AuditView",
    "BalanceList",
    "BalanceView",
    "CircuitView",
    "DeliveryDetail",
    "DeliveryList",
    "DeliveryView",
    "DestinationList",
    "DestinationView",
    "view_balance",
    "view_delivery",
    "view_destination",
    "view_detail",
    "view_row",
]


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A delivery: one message for one destination.

    `message` is the sequence of the message in the log, `cause` that of the one that led to it. `dueAt` is the next
    attempt, the end of the lease or of patience, or the end of one that ended. `address` is the one place where it
    goes, without options; empty for that of the partner.
    """

    number: int
    state: str
    partner: str
    kind: str
    verb: str
    noun: str
    message: int
    cause: int
    message_id: str
    priority: str
    created_at: datetime
    due_at: datetime
    attempts: int
    attempts_before: int
    address: str
    object_keys: tuple[str, ...]
    reason: str


class DeliveryDetail(DeliveryView, frozen=True, kw_only=True, rename="camel"):
    """A delivery with what became of its last attempt.

    `received` is the beginning of what came back from one that failed, as text; `sentAs` and `receivedAs` are sequences
    of the log, where it has what went out and what came back.
    """

    received: str
    sent_as: int | None
    received_as: int | None


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, oldest first. `next` is the address of the next page, null on the last."""

    items: list[DeliveryView]
    next: str | None


class CircuitView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether this process spares the partner, after how many failures in a row, and until when."""

    open: bool
    failures: int
    reason: str
    next_probe_at: datetime | None


class DestinationView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A destination.

    `inForce` is false where no partner of this name is in force; then `role` to `owns` are empty. `url` is without
    options. `circuit` is null where nothing was sent by this process yet.
    """

    name: str
    in_force: bool
    role: str | None
    kind: str
    url: str
    source: str
    owns: tuple[str, ...]
    subscriptions: tuple[str, ...]
    waiting: int
    awaiting: int
    dead: int
    oldest_at: datetime | None
    halted: Halt | None
    circuit: CircuitView | None


class DestinationList(msgspec.Struct, frozen=True, kw_only=True):
    """All destinations, by name."""

    items: list[DestinationView]


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One account of one partner in one hour. `received` is the sum of all the others; `missing` should be 0."""

    hour: datetime
    partner: str
    account: str
    received: int
    delivered: int
    waiting: int
    refused: int
    dead: int
    repeats: int
    missing: int


class BalanceList(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts by hour. `next` is the address of the following hours, null where these are the last."""

    items: list[BalanceView]
    next: str | None


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit trail; hashes in hexadecimal digits."""

    number: int
    at: datetime
    action: str
    actor: str
    subject: str
    details: str
    messages: tuple[Sealed, ...]
    previous: str
    hash: str


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the trail, oldest first. `next` is the address of the next page, null on the last."""

    items: list[AuditView]
    next: str | None


def view_delivery(delivery: Delivery) -> DeliveryView:
    """What is shown of a delivery in a list."""
    return DeliveryView(**_facts_of(delivery))


def view_detail(delivery: Delivery, exchanged: Exchanged) -> DeliveryDetail:
    """All that is shown of a delivery."""
    return DeliveryDetail(
        **_facts_of(delivery),
        received=delivery.received.decode("utf-8", "replace"),
        sent_as=exchanged.sent.sequence if exchanged.sent is not None else None,
        received_as=exchanged.received.sequence if exchanged.received is not None else None,
    )


def view_destination(one: Destination, circuit: Circuit | None = None) -> DestinationView:
    """What is shown of a destination."""
    partner = one.partner
    return DestinationView(
        name=one.name,
        in_force=partner is not None,
        role=partner.role.value if partner is not None and partner.role is not None else None,
        kind=partner.wire.value if partner is not None else "",
        url=shown_address(partner.url) if partner is not None else "",
        source=partner.source if partner is not None else "",
        owns=tuple(noun.value for noun in partner.owns) if partner is not None else (),
        subscriptions=one.subscriptions,
        waiting=one.backlog.waiting,
        awaiting=one.backlog.awaiting,
        dead=one.backlog.dead,
        oldest_at=one.backlog.oldest_at,
        halted=one.halt,
        circuit=None
        if circuit is None
        else CircuitView(
            open=circuit.is_open,
            failures=circuit.failures,
            reason=circuit.reason,
            next_probe_at=circuit.next_probe_at,
        ),
    )


def view_balance(balance: Balance) -> BalanceView:
    """What is shown of an account."""
    line = balance.line
    return BalanceView(
        hour=line.hour,
        partner=line.partner,
        account=line.account.value,
        received=line.received,
        delivered=line.delivered,
        waiting=balance.waiting,
        refused=line.refused,
        dead=line.dead,
        repeats=line.repeats,
        missing=balance.missing,
    )


def view_row(row: AuditRow) -> AuditView:
    """What is shown of a row."""
    return AuditView(
        number=row.number,
        at=row.at,
        action=row.action.value,
        actor=row.actor,
        subject=row.subject,
        details=row.details,
        messages=row.messages,
        previous=row.previous.hex(),
        hash=row.hash.hex(),
    )


def _facts_of(delivery: Delivery) -> dict[str, Any]:
    facts = {name: getattr(delivery, name) for name in DeliveryView.__struct_fields__}
    return facts | {"priority": delivery.priority.name.lower(), "address": shown_address(delivery.address)}
