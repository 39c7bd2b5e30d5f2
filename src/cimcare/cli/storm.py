"""Command `storm`: a utility's worst hour, sent to an endpoint, and what became of it."""

import asyncio
import re
import signal
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.live import Live

from cimcare.cli.input import fail
from cimcare.cli.sending import require_http
from cimcare.client.brokers import PROTOCOLS, BrokerError, Credentials, Tls, parse_address
from cimcare.errors import CimcareError
from cimcare.hub.serving.lifespan import loop_factory
from cimcare.storm.brokering import BrokerPlace
from cimcare.storm.page import render_page
from cimcare.storm.profile import BUILT_IN, Profile, load_profile
from cimcare.storm.result import Result
from cimcare.storm.run import Order, Running, find_target, play_storm
from cimcare.storm.sending import Pace
from cimcare.storm.stage import Stage, running_stage
from cimcare.storm.town import town_of, write_town
from cimcare.storm.watching import draw_progress, say_progress
from cimcare.storm.wording import Form, Target

__all__ = ["storm"]

_HEADER = re.compile(r"\A([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)\Z")
_WORD = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_QUIET_SECONDS = 15.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _read_start(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | str | None:
    if text is None or text == "now":
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(f"{text!r} is no instant; 2026-11-28T18:00:00Z, with its offset, or now would pass")
    return found.astimezone(UTC)


def _read_headers(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    found = [_HEADER.match(value) for value in values]
    for value, match in zip(values, found, strict=True):
        if match is None:
            raise click.BadParameter(f"{value!r} is no header; 'Authorization: Bearer ...' would pass")
    return tuple((match[1], match[2]) for match in found if match is not None)


def _read_word(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if not _WORD.match(text):
        raise click.BadParameter(f"{text!r}: letters, digits, dots, hyphens and underscores would pass, 80 at most")
    return text


def _read_to(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    if url is None or url.partition("://")[0] not in PROTOCOLS:
        return None if url is None else require_http(context, parameter, url)
    try:
        parse_address(url, path="--to")
    except BrokerError as error:
        raise click.BadParameter(str(error)) from error
    return url


def _read_api(context: click.Context, parameter: click.Parameter, url: str) -> str:
    return require_http(context, parameter, url).rstrip("/") if url else ""


@click.command()
@click.option(
    "--profile",
    "profile_name",
    required=True,
    help=f"What the storm is made of: {', '.join(BUILT_IN)}, or a file in TOML.",
)
@click.option(
    "--to",
    "url",
    callback=_read_to,
    help="Address: a hub's base, an endpoint such as .../soap, or a broker such as stomp://host:61613.",
)
@click.option(
    "--here",
    is_flag=True,
    help="Start a utility on this machine for it: a hub, the partners of the profile, and a town to call from.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Hub processes of --here.")
@click.option(
    "--couriers",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Processes of --here that carry deliveries and take no messages.",
)
@click.option("--database", default="", help="Database of --here.  [default: a new one in a temporary folder]")
@click.option(
    "--scale", type=click.FloatRange(0, 100, min_open=True), default=1.0, show_default=True, help="Part of it."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed is another storm.")
@click.option(
    "--transport",
    type=click.Choice(["soap", "rest", "jms"]),
    help="SOAP, plain messages (our profile), or by way of a broker.  [default: by the address; rest if it ends in "
    "/messages]",
)
@click.option("--soap-version", type=click.Choice(["1.1", "1.2"]), default="1.1", show_default=True, help="Of SOAP.")
@click.option(
    "--format", "body_format", type=click.Choice(["xml", "json"]), default="xml", show_default=True, help="Of rest."
)
@click.option(
    "--speed",
    type=click.FloatRange(0, 10_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds of the storm that pass in one second.",
)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Play the first minutes of the storm only.")
@click.option(
    "--start",
    callback=_read_start,
    help="What the clocks of the senders show at the beginning; `now` lets them end at the present.  [default: the "
    "profile's, so that messages are the same each time]",
)
@click.option("--source", callback=_read_word, default="STORM", show_default=True, help="Header/Source.")
@click.option(
    "--context", "message_context", callback=_read_word, default="TESTING", show_default=True, help="Header/Context."
)
@click.option(
    "--header", "headers", multiple=True, callback=_read_headers, help="Further header of HTTP; may be repeated."
)
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File in PEM with the authorities that are trusted for https.",
)
@click.option(
    "--certificate-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File in PEM with our certificate and its key, where the other side asks for one.",
)
@click.option("--user", default="", help="User at the broker.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the user's password at the broker.",
)
@click.option(
    "--destination",
    default="queue:{context}.REQUESTS.{noun}.{verb}",
    show_default=True,
    help="Where requests are put at the broker.",
)
@click.option("--api", callback=_read_api, default="", help="Base of the hub's REST interface.  [default: beside --to]")
@click.option("--connections", type=click.IntRange(1, 60_000), default=4000, show_default=True, help="Most at once.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds for an answer."
)
@click.option(
    "--resend",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="How often a message that was refused as one too many, or got no answer, is sent again as it is.",
)
@click.option(
    "--hazard-seconds",
    type=click.FloatRange(0.001, 3600),
    default=1.0,
    show_default=True,
    help="Within which a hazard has to be acknowledged.",
)
@click.option(
    "--settle",
    "settle_seconds",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds that a hub may take afterwards for its deliveries, before the ledger is read.",
)
@click.option("--proof/--no-proof", "proves", default=True, show_default=True, help="Ask for every ticket afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the result as JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="File for the report, one page of HTML."
)
@click.option(
    "--write-town",
    "town_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the town of the storm as tables into this folder instead of sending anything.",
)
def storm(
    *,
    profile_name: str,
    url: str | None,
    here: bool,
    workers: int,
    couriers: int,
    database: str,
    scale: float,
    seed: int,
    transport: str | None,
    soap_version: str,
    body_format: str,
    speed: float,
    minutes: float | None,
    start: datetime | str | None,
    source: str,
    message_context: str,
    headers: tuple[tuple[str, str], ...],
    ca_file: Path | None,
    certificate_file: Path | None,
    user: str,
    password_file: Path | None,
    destination: str,
    api: str,
    connections: int,
    timeout: float,
    resend: int,
    hazard_seconds: float,
    settle_seconds: float,
    proves: bool,
    as_json: bool,
    out: Path | None,
    report: Path | None,
    town_folder: Path | None,
) -> None:
    """Send a storm to any endpoint of IEC 61968-8, and see what becomes of it.

    Calls come when the profile says, whatever the answers do; what falls behind is counted as late. The same profile,
    scale and seed send the same messages in the same order. Afterwards each ticket that was accepted is asked for.
    Ctrl-C ends a storm early, and what was sent is reported; the second one waits for nothing more.

    Exit code 0: every ticket was taken and is there once, hazards in time, the ledger balances. 1: something of it is
    not so, or nobody answers at the address. 2: wrong use.
    """
    try:
        profile = load_profile(profile_name)
    except CimcareError as error:
        fail(error, code=2)
    if town_folder is not None:
        _write_town(profile, scale, town_folder)
        return
    for path in (out, report):
        if path is not None:
            _require_writable(path)
    if (url is None) is not here:
        fail("one of --to and --here; --to names an address such as http://127.0.0.1:8968/soap", code=2)
    pace = Pace(speed=speed, connections=connections, timeout=timeout, resend=resend, hazard_seconds=hazard_seconds)
    begins = _begin_of(profile, minutes, speed) if start == "now" else start
    assert not isinstance(begins, str)
    order = Order(
        profile=profile,
        scale=scale,
        seed=seed,
        minutes=minutes,
        start=begins,
        pace=pace,
        proves=proves,
        settle_seconds=settle_seconds,
    )
    is_messages = url is not None and url.partition("?")[0].rstrip("/").endswith("/messages")
    form = (
        Form(body_format)
        if transport == "rest" or (transport is None and is_messages)
        else Form(f"soap-{soap_version}")
    )

    is_broker = url is not None and url.partition("://")[0] in PROTOCOLS
    if transport is not None and (transport == "jms") is not is_broker:
        fail(f"--transport {transport} does not go with --to {url}", code=2)
    place: BrokerPlace | None = None
    if url is not None and is_broker:
        form = Form.XML
        password = _read_password(password_file)
        tls = Tls(ca_file=str(ca_file or ""), certificate_file=str(certificate_file or ""))
        place = BrokerPlace(
            address=url, credentials=Credentials(user=user, password=password), tls=tls, destination=destination
        )

    def aim(address: str) -> Target:
        return find_target(address, form, headers=headers, source=source, context=message_context, api=api)

    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started here is ended, too
        if url is not None:
            result = run_storm(order, aim(url), tls=_tls(url, ca_file, certificate_file), place=place)
        else:
            with running_stage(
                profile, scale, database=database, workers=workers, couriers=couriers, tell=_tell
            ) as stage:
                result = run_storm(order, aim(stage.address), stage=stage)
    except CimcareError as error:
        fail(error, code=1)
    except KeyboardInterrupt:
        fail("ended before the storm began", code=1)
    finish(result, as_json=as_json, out=out, report=report)


def run_storm(
    order: Order,
    target: Target,
    *,
    tls: ssl.SSLContext | None = None,
    place: BrokerPlace | None = None,
    stage: Stage | None = None,
) -> Result:
    """Play a storm with its progress on standard error. Raises StormError."""
    console = Console(stderr=True)

    async def play() -> Result:
        loop = asyncio.get_running_loop()
        watchers: list[asyncio.Task[None]] = []

        def begin(running: Running) -> None:
            for number in _SIGNALS:
                loop.add_signal_handler(number, running.sending.stop)
            watchers.append(loop.create_task(_watch(console, running)))
            if stage is not None:
                playing.append(loop.create_task(stage.play(running)))

        def tell(what: str) -> None:
            for watcher in watchers:
                watcher.cancel()
            _tell(what)

        def rest() -> None:
            for task in playing:
                task.cancel()

        playing: list[asyncio.Task[None]] = []
        ends = stage.end_partners if stage is not None else tuple
        try:
            return await play_storm(
                order, target, tls=tls, place=place, on_start=begin, on_end=rest, on_stage=tell, partners=ends
            )
        finally:
            for watcher in watchers:
                watcher.cancel()
            rest()
            await asyncio.gather(*watchers, *playing, return_exceptions=True)
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(play())


def _tell(what: str) -> None:
    if what:
        click.echo(f"{what} ...", err=True)


async def _watch(console: Console, running: Running) -> None:
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            click.echo(say_progress(running), err=True)
    with Live(draw_progress(running), console=console, auto_refresh=False) as live:
        try:
            while True:
                await asyncio.sleep(0.5)
                live.update(draw_progress(running), refresh=True)
        finally:
            live.update(draw_progress(running), refresh=True)


def finish(result: Result, *, as_json: bool, out: Path | None, report: Path | None) -> None:
    """Print the result, write the files, and end the program by the verdict."""
    document = msgspec.json.format(msgspec.json.encode(result), indent=2)
    for path, content in ((out, document + b"\n"), (report, render_page(result).encode())):
        if path is not None:
            try:
                path.write_bytes(content)
            except OSError as error:
                fail(f"{path}: cannot be written ({error.strerror})", code=2)
    if as_json:
        click.echo(document.decode())
    else:
        _print(result)
    sys.stdout.flush()
    raise SystemExit(0 if result.is_fine else 1)


def _print(result: Result) -> None:
    rate = result.sent / result.seconds if result.seconds else 0.0
    click.echo(f"{result.title}: scale {result.scale:g}, seed {result.seed}, to {result.address} as {result.form}")
    click.echo(
        f"{result.sent} sent in {result.seconds:.1f} s ({rate:.0f} a second), {result.late} late by more than 0.1 s"
    )
    names = ("offered", "accepted", "too many", "refused", "no answer", "p50", "p99", "slowest")
    click.echo(" " * 10 + "".join(f" {name:>9}" for name in names))
    for group in result.groups:
        numbers = (group.offered, group.accepted, group.busy, group.refused, group.unanswered)
        spans = (group.latency.p50, group.latency.p99, group.latency.most)
        cells = " ".join(f"{number:9}" for number in numbers) + " " + " ".join(f"{span:7.3f} s" for span in spans)
        click.echo(f"{group.name:10} {cells}")
    for reason in result.reasons[:10]:
        click.echo(f"  {reason.item}: {reason.reason} ({reason.count})")
    for note in result.notes:
        click.echo(note)
    for one in result.verdict:
        mark = {True: "yes", False: "NO", None: "-"}[one.is_met]
        click.echo(f"{mark:4} {one.name}: {one.found} (wanted: {one.wanted})")


def _read_password(file: Path | None) -> str:
    try:
        return "" if file is None else file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: cannot be read ({error})", code=2)


def _require_writable(path: Path) -> None:
    """End the program with code 2 if a file cannot be written: it is better known before a storm than after it."""
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        fail(f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists", code=2)


def _write_town(profile: Profile, scale: float, folder: Path) -> None:
    town = town_of(profile, scale)
    try:
        devices, points, customers = write_town(town, folder)
    except OSError as error:
        fail(f"{folder}: cannot be written ({error.strerror})", code=2)
    click.echo(
        f"{town.premises} premises. Give them to a hub without the made-up town (systems.seed_town = false):", err=True
    )
    click.echo(f"cimcare network import {devices} {points}")
    click.echo(f"cimcare customers import {customers}")


def _begin_of(profile: Profile, minutes: float | None, speed: float) -> datetime:
    """The beginning of a storm of which the virtual clock ends at the present, never beyond it."""
    span = min(minutes or profile.minutes, profile.minutes) * 60
    now = datetime.now(UTC).replace(microsecond=0)
    return now + timedelta(seconds=int(span / speed - span)) if speed > 1 else now


def _tls(url: str, ca_file: Path | None, certificate_file: Path | None) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    try:
        tls = ssl.create_default_context(cafile=ca_file)
        if certificate_file is not None:
            tls.load_cert_chain(certificate_file)
    except (ssl.SSLError, OSError) as error:
        fail(f"{certificate_file or ca_file}: no certificates in PEM that can be used ({error})", code=2)
    return tls
