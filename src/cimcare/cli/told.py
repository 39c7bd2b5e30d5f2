"""Deliveries as the commands `deliveries` and `deadletters` print them."""

import sys
from collections.abc import Iterable

import click
import msgspec

from cimcare.exchange.outbox import Delivery
from cimcare.exchange.store import Reader
from cimcare.hub.outgoing.exchanged import load_carried
from cimcare.hub.rest.operator_views import DeliveryDetail, view_delivery, view_detail

__all__ = ["Shown", "load_shown", "print_deliveries", "print_shown"]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with the bytes that belong to it; `sent` is what went out last, else the message as the log has it."""

    detail: DeliveryDetail
    sent: bytes
    received: bytes


async def load_shown(reader: Reader, delivery: Delivery) -> Shown:
    """All about one delivery."""
    carried = await load_carried(reader, delivery)
    return Shown(detail=view_detail(delivery, carried.exchanged), sent=carried.sent, received=carried.received)


def print_deliveries(deliveries: Iterable[Delivery], *, as_json: bool) -> None:
    """A line each."""
    for delivery in deliveries:
        click.echo(msgspec.json.encode(view_delivery(delivery)).decode() if as_json else _line_of(delivery))


def _line_of(delivery: Delivery) -> str:
    reason = f": {' '.join(delivery.reason.split())}" if delivery.reason else ""
    return (
        f"{delivery.number} {delivery.created_at.isoformat(timespec='milliseconds')} {delivery.state:9} "
        f"{delivery.partner} {delivery.verb} {delivery.noun} message {delivery.message}, attempts "
        f"{delivery.attempts}{reason}"
    )


def print_shown(shown: Shown, *, as_json: bool) -> None:
    """Facts, then what was sent and what came back; as JSON with both as text."""
    facts = msgspec.to_builtins(shown.detail)
    sent, received = (raw.decode("utf-8", "replace") for raw in (shown.sent, shown.received))
    if as_json:
        click.echo(msgspec.json.encode(facts | {"sent": sent, "received": received}).decode())
        return
    del facts["received"]
    for name, value in facts.items():
        if value not in ("", None, [], ()):
            click.echo(f"{name}: {', '.join(value) if isinstance(value, list | tuple) else value}")
    detail = shown.detail
    as_sent = f"sent, message {detail.sent_as} of the log"
    as_kept = f"to be sent, as it is kept: message {detail.message} of the log"
    _print_part(as_kept if detail.sent_as is None else as_sent, shown.sent)
    if shown.received:
        where = f", message {detail.received_as} of the log" if detail.received_as is not None else ""
        _print_part(f"received{where}", shown.received)


def _print_part(title: str, raw: bytes) -> None:
    click.echo(f"\n--- {title}")
    sys.stdout.flush()
    sys.stdout.buffer.write(raw if raw.endswith(b"\n") else raw + b"\n")
    sys.stdout.buffer.flush()
