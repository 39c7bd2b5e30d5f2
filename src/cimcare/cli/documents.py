"""Commands on documents: validate, convert, sample."""

import sys
from pathlib import Path

import click
import msgspec

from cimcare.cli.input import fail, open_catalog, read_file, schema_directory_option
from cimcare.codec.convert import Form, convert_document
from cimcare.errors import Finding, InputError
from cimcare.model.nouns import Noun, find_noun
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message
from cimcare.validation import Judgement, judge

__all__ = ["convert", "sample", "validate"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--lenient", is_flag=True, help="Accept the variants met in the field, and say what was forgiven.")
@click.option(
    "--verb",
    type=click.Choice([verb.value for verb in Verb]),
    help="For a bare payload: the verb it is meant for. `create` asks for all mandatory members.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document with all findings.")
@schema_directory_option
def validate(
    files: tuple[str, ...], *, lenient: bool, verb: str | None, as_json: bool, schema_dir: Path | None
) -> None:
    """Judge envelopes, SOAP messages and bare payloads, in XML or JSON. FILE may be - for standard input.

    Exit code 0: all valid, and what was checked is printed. Exit code 1: findings, each as
    `file:line: path: CODE what was found; what would pass; clause`.
    """
    catalog = open_catalog(schema_dir)
    judgements = {name: judge(read_file(name), catalog, lenient=lenient, verb=verb) for name in files}
    if as_json:
        click.echo(msgspec.json.encode([_as_data(name, one) for name, one in judgements.items()]).decode())
    else:
        for name, judgement in judgements.items():
            _print(name, judgement)
    raise SystemExit(0 if all(judgement.is_valid for judgement in judgements.values()) else 1)


def _print(name: str, judgement: Judgement) -> None:
    for finding in judgement.findings:
        click.echo(("forgiven: " if finding.forgiven else "") + finding.describe(name))
    if judgement.is_valid:
        what = f"{judgement.kind} {judgement.title}".strip()
        click.echo(f"{name}: valid: {what}; checked: {'; '.join(judgement.checked)}")


def _as_data(name: str, judgement: Judgement) -> dict[str, object]:
    return {
        "file": name,
        "valid": judgement.is_valid,
        "kind": judgement.kind,
        "title": judgement.title,
        "checked": judgement.checked,
        "findings": [_finding_data(finding) for finding in judgement.findings],
    }


def _finding_data(finding: Finding) -> dict[str, object]:
    return {
        "line": finding.line,
        "path": finding.path,
        "code": finding.code,
        "level": finding.level,
        "found": finding.found,
        "accepted": finding.accepted,
        "clause": finding.clause,
        "forgiven": finding.forgiven,
    }


@click.command()
@click.argument("file", default="-")
@click.option("--to", "form", type=click.Choice([form.value for form in Form]), required=True, help="Form to write.")
@click.option(
    "--lenient", is_flag=True, help="Accept the variants met in the field; they are written in standard form."
)
def convert(file: str, *, form: str, lenient: bool) -> None:
    """Write a message in another form: XML envelope, SOAP 1.1 or 1.2, JSON. FILE may be - for standard input."""
    try:
        written, forgiven = convert_document(read_file(file), Form(form), lenient=lenient)
    except InputError as error:
        fail(error.finding.describe(file), code=1)
    for finding in forgiven:
        click.echo(f"forgiven: {finding.describe(file)}", err=True)
    sys.stdout.buffer.write(written)
    sys.stdout.buffer.write(b"\n")


@click.command()
@click.argument("noun")
@click.option(
    "--verb", type=click.Choice([verb.value for verb in Verb]), default="create", show_default=True, help="Verb."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same message.")
@click.option("--soap", "form", flag_value=Form.SOAP11.value, help="As SOAP 1.1 message.")
@click.option("--soap12", "form", flag_value=Form.SOAP12.value, help="As SOAP 1.2 message.")
@click.option("--json", "form", flag_value=Form.JSON.value, help="As JSON.")
@click.option("--xml", "form", flag_value=Form.XML.value, default=True, help="As XML envelope (the default).")
def sample(noun: str, *, verb: str, seed: int, form: str) -> None:
    """Print a valid sample message for NOUN (TroubleTickets, Incidents, ServiceRequests, ...)."""
    entry = find_noun(noun, aliases=True)
    if entry is None:
        fail(f"unknown noun {noun}; nouns: {', '.join(Noun)}", code=2)
    message = build_message(entry.noun, Verb(verb), seed=seed)
    sys.stdout.buffer.write(Form(form).render(message))
    sys.stdout.buffer.write(b"\n")
