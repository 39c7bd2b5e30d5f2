"""A utility on this machine for a storm: a hub, simulated partners that listen to it, and a town to call from.

All of it runs in processes of its own, started by the commands that anybody would use, on free ports of the loopback
and in a folder that is gone afterwards. Partners fail when the profile says so.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from cimcare.errors import finding_of
from cimcare.storm.asking import Asking
from cimcare.storm.control import give_times
from cimcare.storm.profile import ControlRoom, Partner, Profile
from cimcare.storm.result import PartnerEnd
from cimcare.storm.run import Running, StormError
from cimcare.storm.town import town_of, write_town
from cimcare.storm.wording import Form, Target

__all__ = ["Stage", "running_stage"]

_COMMAND = (sys.executable, "-m", "cimcare")
_END_SECONDS = 30.0


class _Counts(msgspec.Struct):
    """What a partner prints when it ends, as far as it is looked at."""

    received: int
    effects: int


class _Played(msgspec.Struct):
    """A simulated partner, where it listens, and the process that it is."""

    partner: Partner
    address: str
    process: subprocess.Popen[str]


class Stage:
    """A utility that runs. `address` is that of its hub."""

    def __init__(self, address: str, partners: Sequence[_Played], rules: ControlRoom) -> None:
        self.address = address
        self._rules = rules
        self._partners = partners

    async def play(self, running: Running) -> None:
        """Do what belongs to the side of the utility, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fail_partners(running))
            if self._rules.per_minute:
                context, speed = running.target.context, running.speed
                group.create_task(give_times(self._rules, self.address, context=context, speed=speed))

    async def fail_partners(self, running: Running) -> None:
        """Let each partner fail at its time, and get well again. Ends when the last one is well."""
        async with asyncio.TaskGroup() as group:
            for played in self._partners:
                if played.partner.fails_for_minutes:
                    group.create_task(self._fail(played, running))

    async def _fail(self, played: _Played, running: Running) -> None:
        begin = played.partner.fails_at_minute * 60
        for at, behaviour in (
            (begin, played.partner.fails_as),
            (begin + played.partner.fails_for_minutes * 60, "good"),
        ):
            await running.sending.pass_to(at)
            await behave(played.address, behaviour)

    def end_partners(self) -> tuple[PartnerEnd, ...]:
        """End the partners; what each of them took."""
        found = []
        for played in self._partners:
            played.process.terminate()
            _, said = played.process.communicate(timeout=_END_SECONDS)
            counts = msgspec.json.decode(said.strip().splitlines()[-1], type=_Counts)
            found.append(
                PartnerEnd(
                    name=played.partner.name,
                    behaviour=_words(played.partner),
                    taken=counts.effects,
                    again=counts.received - counts.effects,
                )
            )
        return tuple(found)


async def behave(address: str, behaviour: str) -> None:
    """Let a simulated partner behave otherwise. Raises StormError if it cannot."""
    asking = Asking(Target(url=address, form=Form.XML), None, timeout=10.0)
    body = behaviour.encode()
    host = address.partition("//")[2]
    head = f"PUT /behaviour HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    got = await asking.send(address, head + body)
    if got.status != 204:
        found = got.body.decode(errors="replace") or "no answer"
        accepted = "a behaviour as `cimcare simulate --behaviour` takes it"
        raise StormError(finding_of("SIM-112", f"partner that fails as {behaviour!r}", found, accepted).describe())


@contextmanager
def running_stage(
    profile: Profile,
    scale: float,
    *,
    database: str = "",
    workers: int = 1,
    couriers: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Stage]:
    """Start a utility; it is gone afterwards, whatever happens, but for a database that was named.

    Raises:
        StormError: Something of it could not be started.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cimcare-storm-")))
        partners = []
        for partner in profile.partners:
            process = stack.enter_context(_process("simulate", "--quiet", "--name", partner.name, folder=folder))
            partners.append(_Played(partner, _address(process, f"partner {partner.name}"), process))
            asyncio.run(_try(partners[-1]))
        config = folder / "cimcare.toml"
        config.write_text(_settings(database or f"sqlite:///{folder / 'storm.db'}", partners), encoding="utf-8")
        tell("starting a utility on this machine")
        hub = stack.enter_context(
            _process(
                *("serve", "--config", str(config), "--workers", str(workers), "--couriers", str(couriers)),
                folder=folder,
                log=folder / "hub.log",
            )
        )
        address = _address(hub, "hub", folder / "hub.log")
        town = town_of(profile, scale)
        tell(f"giving it a town of {town.premises:,} premises")
        devices, points, customers = write_town(town, folder / "town")
        _do("network", "--config", str(config), "import", str(devices), str(points))
        _do("customers", "--config", str(config), "import", str(customers))
        yield Stage(address, partners, profile.control_room)


async def _try(played: _Played) -> None:
    await behave(played.address, played.partner.fails_as)
    await behave(played.address, "good")


def _settings(database: str, partners: Sequence[_Played]) -> str:
    """A file of settings: the built-in systems, and each partner with its subscription."""
    parts = [f'database = {_quoted(database)}\nport = 0\n[hub]\nlog_level = "warning"\n[systems]\nseed_town = false\n']
    for played in partners:
        name = _quoted(played.partner.name)
        nouns = ", ".join(map(_quoted, played.partner.nouns))
        parts.append(
            f'[partners.{name}]\nkind = "rest"\nurl = "{played.address}/messages"\nparallel = 8\ndeadline_seconds = 5\n'
            "retry_first_seconds = 0.5\nretry_most_seconds = 5\n"
            f"[subscriptions.{name}]\npartner = {name}\nnouns = [{nouns}]\n"
        )
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


@contextmanager
def _process(*arguments: str, folder: Path, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command as a process in a session of its own, so that Ctrl-C at the terminal is not for it."""
    with contextlib.ExitStack() as stack:
        errors: int | IO[str] = subprocess.PIPE if log is None else stack.enter_context(log.open("w"))
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _address(process: subprocess.Popen[str], what: str, log: Path | None = None) -> str:
    """The first line that it prints."""
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        process.wait(_END_SECONDS)
        said = log.read_text() if log is not None else process.stderr.read() if process.stderr is not None else ""
        raise StormError(finding_of("SIM-112", what, f"it did not start: {said.strip()}", "a free machine").describe())
    return address


def _do(*arguments: str) -> None:
    """A command that ends."""
    done = subprocess.run(  # noqa: S603 - our own command
        [*_COMMAND, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise StormError(finding_of("SIM-112", f"cimcare {arguments[0]}", said, "exit code 0").describe())


def _words(partner: Partner) -> str:
    if not partner.fails_for_minutes:
        return "good"
    end = partner.fails_at_minute + partner.fails_for_minutes
    return f"{partner.fails_as} from minute {partner.fails_at_minute:g} to {end:g}, else good"
