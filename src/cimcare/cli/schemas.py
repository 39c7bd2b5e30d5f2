"""Command `schema`: list, export and compare."""

from pathlib import Path

import click
import msgspec

from cimcare.cli.input import fail, open_catalog, read_file, schema_directory_option
from cimcare.schema.catalog import Catalog, SchemaFileError
from cimcare.schema.compare import Difference, DifferenceKind, find_counterpart
from cimcare.schema.compare import compare as compare_schemas
from cimcare.schema.documents import DEFAULT_ADDRESS, list_documents
from cimcare.schema.documents import export as export_documents

__all__ = ["schema"]


@click.group()
def schema() -> None:
    """The schemas and service descriptions: list them, export them, compare them with official ones."""


@schema.command("list")
@schema_directory_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_schemas(*, schema_dir: Path | None, as_json: bool) -> None:
    """List all documents in force: kind, form, file, target namespace, where it comes from, clause."""
    for document in list_documents(open_catalog(schema_dir)):
        if as_json:
            click.echo(msgspec.json.encode(document).decode())
        else:
            origin = document.path if document.origin == "user" else document.origin
            click.echo(
                f"{document.kind:13} {document.form:7} {document.file:34} {document.namespace} ({origin}; "
                f"{document.clause})"
            )


@schema.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@schema_directory_option
@click.option(
    "--address",
    default=DEFAULT_ADDRESS,
    show_default=True,
    help="Address of the generic service for its WSDL; those of the typed services are below it.",
)
def export(directory: Path, *, schema_dir: Path | None, address: str) -> None:
    """Write all XSDs, WSDLs (each beside a folder xsd) and JSON Schemas below DIRECTORY; prints the files."""
    catalog = open_catalog(schema_dir)
    try:
        written = export_documents(directory, catalog=catalog, address=address.rstrip("/"))
    except OSError as error:
        fail(f"{directory}: cannot be written ({error.strerror}); name a folder you may write to", code=1)
    for file in written:
        click.echo(str(file))


@schema.command()
@click.argument("official", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def compare(official: str, *, as_json: bool) -> None:
    """Show every difference between OFFICIAL, an XSD that you own, and ours.

    Exit code 0: none. Exit code 1: differences, each as `path: kind; official: ...; ours: ...`. Notes on what could not
    be compared do not count.
    """
    raw = read_file(official)
    try:
        counterpart = find_counterpart(raw, Catalog(), name=official)
        if counterpart is None:
            fail(f"{official}: ours has no schema of that namespace or root; see `cimcare schema list`", code=2)
        document, ours = counterpart
        differences: tuple[Difference, ...] = compare_schemas(raw, ours, name=official)
    except SchemaFileError as error:
        fail(error, code=2)
    for difference in differences:
        click.echo(msgspec.json.encode(difference).decode() if as_json else difference.describe())
    counted = [difference for difference in differences if difference.kind is not DifferenceKind.NOTE]
    click.echo(f"{len(counted)} differences to {document.file} ({document.clause})", err=True)
    raise SystemExit(1 if counted else 0)
