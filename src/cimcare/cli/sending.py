"""Command `send`: a document to a peer, as it is or in another form."""

import asyncio
import sys
from urllib.parse import urlsplit

import click

from cimcare.cli.input import fail, read_file
from cimcare.client import FaultReceivedError, NoAnswerError, send_document
from cimcare.codec.convert import Form, convert_document
from cimcare.errors import InputError
from cimcare.model.envelope import Result

__all__ = ["MESSAGES_HELP", "message_address", "require_http", "send"]

_TYPES = {
    Form.XML: "application/xml",
    Form.JSON: "application/json",
    Form.SOAP11: "text/xml; charset=utf-8",
    Form.SOAP12: "application/soap+xml; charset=utf-8",
}
_ACTIONS = {"RequestMessage": "Request", "EventMessage": "PublishEvent", "ResponseMessage": "Response"}


def require_http(context: click.Context, parameter: click.Parameter, url: str) -> str:
    """The address, if it is one of HTTP; else wrong use of the option."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        is_address = False
    if not is_address:
        raise click.BadParameter(f"{url!r} is no address; name one such as http://127.0.0.1:8968/soap")
    return url


def message_address(context: click.Context, parameter: click.Parameter, url: str) -> str:
    """Where messages go: the address itself, and of one without a path, which is that of a hub, its `/messages`."""
    url = require_http(context, parameter, url)
    return url if urlsplit(url).path else f"{url}/messages"


MESSAGES_HELP = "Address of a hub, for plain messages; or the whole address, such as .../soap for SOAP."


@click.command()
@click.argument("file", default="-")
@click.option(
    "--to",
    "url",
    required=True,
    callback=message_address,
    help=MESSAGES_HELP,
)
@click.option(
    "--as",
    "form",
    type=click.Choice([form.value for form in Form]),
    help="Form to send in.  [default: as the file is; SOAP 1.1 if the address ends in /soap]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
def send(file: str, *, url: str, form: str | None, timeout: float) -> None:
    """Send a message and print the answer. FILE may be - for standard input.

    Exit code 0: the reply is OK or PARTIAL (or the message was taken without a reply). Exit code 1: FAILED, a fault, or
    no answer.
    """
    raw = read_file(file)
    if form is None and url.split("?", maxsplit=1)[0].rstrip("/").endswith("/soap") and b"Envelope" not in raw[:400]:
        form = Form.SOAP11.value
    try:
        sent_as = Form(form) if form else _form_of(raw)
        body = convert_document(raw, sent_as)[0] if form else raw
    except InputError as error:
        fail(error.finding.describe(file), code=1)
    operation = next((name for root, name in _ACTIONS.items() if root.encode() in body), None)
    action = f"http://iec.ch/61968/{operation}" if operation and sent_as is Form.SOAP11 else None
    try:
        answer = asyncio.run(send_document(url, body, _TYPES[sent_as], action=action, timeout_seconds=timeout))
    except FaultReceivedError as error:
        sys.stdout.buffer.write(error.raw + b"\n")
        fail(error, code=1)
    except NoAnswerError as error:
        fail(error, code=1)
    sys.stdout.buffer.write(answer.raw + (b"\n" if answer.raw else b""))
    sys.stdout.flush()
    if answer.message is not None and answer.message.reply.result is Result.FAILED:
        for one in answer.message.reply.error:
            click.echo(f"{one.code} {one.details or one.reason or ''}", err=True)
        raise SystemExit(1)


def _form_of(raw: bytes) -> Form:
    if raw.lstrip()[:1] == b"{":
        return Form.JSON
    if b"http://www.w3.org/2003/05/soap-envelope" in raw:
        return Form.SOAP12
    return Form.SOAP11 if b"http://schemas.xmlsoap.org/soap/envelope/" in raw else Form.XML
