"""Command `brokers`: whether the hub's connections and consumers at its brokers are there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cimcare.cli.place import Place, ask, place_options
from cimcare.exchange.store import Reader
from cimcare.hub.operation.broker_states import SeenBroker, list_brokers

__all__ = ["brokers"]


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def brokers(*, database: str | None, config: Path | None, as_json: bool) -> None:
    """How it is with the brokers, as each process of a running hub saw it last.

    A line a broker and process, then its connections and consumers. Exit code 1 if anything is amiss, or if no hub with
    a broker runs.
    """

    async def read(reader: Reader) -> tuple[SeenBroker, ...]:
        return await list_brokers(reader.records)

    found = ask(Place(database=database, config=config), read)
    for one in found:
        click.echo(msgspec.json.encode(one).decode() if as_json else "\n".join(_told(one)))
    if not found and not as_json:
        click.echo("no hub with a broker runs on this database", err=True)
    raise SystemExit(0 if found and not any(one.broker.trouble for one in found) else 1)


def _told(seen: SeenBroker) -> Iterator[str]:
    broker = seen.broker
    age = (datetime.now(UTC) - seen.seen_at).total_seconds()
    trouble = f"TROUBLE: {broker.trouble}" if broker.trouble else "well"
    yield f"{broker.name}: {trouble} (process {seen.process[:8]}, {age:.0f} s ago; {broker.holding} in work)"
    for link in broker.links:
        how = "connected" if link.is_open else "not connected"
        reason = f"; {link.reason}" if link.reason else ""
        yield f"  {link.purpose}: {how} to {link.address or 'nowhere'} since {_shown(link.since)}{reason}"
    for consumer in broker.consumers:
        how = "attached" if consumer.attached else "another process's turn" if consumer.waits else "NOT ATTACHED"
        proven = f", proven {_shown(consumer.proven_at)}" if consumer.proven_at is not None else ""
        yield f"  {consumer.destination}: {how}{proven}"
    counts = ", ".join(f"{word} {number}" for word, number in broker.counts.items() if number)
    if counts:
        yield f"  {counts}"


def _shown(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
