"""Command `report`: what became of a span of time, as HTML, PDF or JSON; as the console has it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from cimcare.cli.input import fail
from cimcare.cli.place import INSTANT, Place, ask, place_options
from cimcare.exchange.store import Reader
from cimcare.hub.operation.aftermath import LONGEST, Report, load_report

__all__ = ["report"]

_FORMS = ("html", "pdf", "json")


@click.command()
@click.option("--since", type=INSTANT, required=True, help="Begin of the span.")
@click.option("--until", type=INSTANT, help=f"Its end, at most {LONGEST.days} days later.  [default: now]")
@click.option("--customers", type=click.IntRange(1), help="Customers served.  [default: those of the model]")
@click.option("--form", type=click.Choice(_FORMS), default="html", show_default=True, help="What is written.")
@click.option("--out", type=click.File("wb"), default="-", help="File to be written.  [default: stdout]")
@place_options
def report(
    since: datetime,
    until: datetime | None,
    customers: int | None,
    form: str,
    out: BinaryIO,
    database: str | None,
    config: Path | None,
) -> None:
    """After-action report: offered, answered, refused, lost; restoration times, indices, the slowest partner."""
    now = datetime.now(UTC)

    async def question(reader: Reader) -> Report:
        return await load_report(reader, since=since, until=until or now, now=now, served=customers)

    if form == "pdf" and sys.stdout.isatty() and out.fileno() == sys.stdout.fileno():
        fail("a PDF is nothing for a terminal: name a file with --out", code=2)
    try:
        found = ask(Place(database, config), question)
    except ValueError as error:
        fail(f"--since, --until: {error}", code=2)
    out.write(_render(found, form))


def _render(found: Report, form: str) -> bytes:
    if form == "json":
        return msgspec.json.encode(found) + b"\n"
    if form == "html":
        from cimcare.console.report.document import render_document

        return render_document(found).encode()
    from cimcare.console.report.pdf import render_pdf

    return render_pdf(found)
