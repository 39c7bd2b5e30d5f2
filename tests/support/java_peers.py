"""Peers in Java: compiles `tests/peers/java` and runs it with ActiveMQ's JMS client, as Debian has it."""

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest

__all__ = ["JavaError", "JavaPeer", "JavaPeers", "NoJavaError", "compile_peers", "java_peers"]

SOURCES = Path(__file__).resolve().parents[1] / "peers" / "java"
JARS = Path("/usr/share/java")
API = "geronimo-jms_1.1_spec.jar"
"""javax.jms: all that the programs may be compiled against."""

RUNTIME = (
    API,
    "activemq-client.jar",
    "geronimo-j2ee-management-1.1-spec.jar",
    "hawtbuf.jar",
    "slf4j-api.jar",
    "slf4j-nop.jar",
)
FACTORY = "org.apache.activemq.jndi.ActiveMQInitialContextFactory"
_LONGEST_LINE = 16 * 1024 * 1024

Fields = dict[str, str]


class JavaError(Exception):
    """The program could not do what it was told."""


class JavaPeer:
    """A program that runs. `news` is what it said unasked, in order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._asked: dict[str, asyncio.Future[Fields]] = {}
        self._told = asyncio.Condition()
        self.news: list[Fields] = []

    async def order(self, order: str, **fields: str | int) -> Fields:
        """Have something done and return the answer. A name such as `property_Verb` stands for `property.Verb`.

        Raises:
            JavaError: It could not be done.
        """
        assert self._process.stdin is not None
        number = str(next(self._ids))
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        named = {name.replace("_", "."): str(value) for name, value in fields.items()}
        self._process.stdin.write(urlencode({"id": number, "do": order, **named}).encode() + b"\n")
        await self._process.stdin.drain()
        found = await answer
        if "error" in found:
            raise JavaError(found["error"])
        return found

    def told(self, kind: str) -> list[Fields]:
        """News of a kind so far."""
        return [one for one in self.news if one["news"] == kind]

    async def until(self, is_enough: Callable[[list[Fields]], bool], kind: str, *, within: float = 30) -> list[Fields]:
        """Wait for news of a kind until they are enough."""
        async with asyncio.timeout(within), self._told:
            await self._told.wait_for(lambda: is_enough(self.told(kind)))
        return self.told(kind)

    async def hear(self, kind: str, count: int, *, within: float = 30) -> list[Fields]:
        """Wait until so many news of a kind have come; all of that kind."""
        return await self.until(lambda told: len(told) >= count, kind, within=within)

    async def listen(self) -> None:
        """Read what it says until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            fields = dict(parse_qsl(line.decode().rstrip("\n"), keep_blank_values=True))
            if "news" in fields:
                async with self._told:
                    self.news.append(fields)
                    self._told.notify_all()
            else:
                self._asked.pop(fields["id"]).set_result(fields)
        for answer in self._asked.values():
            answer.set_exception(JavaError("the program has ended"))


class JavaPeers(msgspec.Struct, frozen=True):
    """The compiled programs."""

    classes: Path

    def run(self, source: str, program: str, url: str, *arguments: str) -> str:
        """Compile a program that is given as text against javax.jms alone, run it to its end, and return its output."""
        folder = self.classes / program
        folder.mkdir(exist_ok=True)
        (folder / f"{program}.java").write_text(source)
        command = ["javac", "-Xlint:all", "-Werror", "-cp", str(JARS / API), f"{program}.java"]
        subprocess.run(command, cwd=folder, check=True)
        ran = subprocess.run(
            [*_java([folder], url), program, *arguments], check=True, capture_output=True, text=True, timeout=60
        )
        return ran.stdout

    @asynccontextmanager
    async def start(self, program: str, url: str, *, log: Path) -> AsyncIterator[JavaPeer]:
        """Run a program against the broker at a URL of its own client; its standard error goes to `log`."""
        with log.open("a") as errors:
            process = await asyncio.create_subprocess_exec(
                *_java([self.classes], url),
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                limit=_LONGEST_LINE,
            )
        peer = JavaPeer(process)
        listening = asyncio.create_task(peer.listen())
        try:
            yield peer
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself then, unless it hangs in the broker's client
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await listening

    @asynccontextmanager
    async def cis(self, url: str, *, client_id: str, log: Path) -> AsyncIterator[JavaPeer]:
        """A customer system that is connected."""
        async with self.start("CisClient", url, log=log) as peer:
            await peer.order("connect", clientID=client_id)
            yield peer

    @asynccontextmanager
    async def oms(self, url: str, *, log: Path, **served: str | int) -> AsyncIterator[JavaPeer]:
        """An owner of nouns that serves: `destination`, `source`, `events` (the beginning of its topics' names)."""
        async with self.start("OmsServer", url, log=log) as peer:
            await peer.order("serve", **served)
            yield peer


def _java(classes: Sequence[Path], url: str) -> list[str]:
    """The command up to the name of the program: which broker it uses is found by JNDI."""
    path = ":".join(map(str, [*classes, *(JARS / name for name in RUNTIME)]))
    options = [f"-Djava.naming.factory.initial={FACTORY}", f"-Djava.naming.provider.url={url}"]
    return ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, *options]


class NoJavaError(Exception):
    """What the programs need is not on this machine."""


def compile_peers(classes: Path) -> JavaPeers:
    """Compile the programs against javax.jms alone: another import and they do not compile.

    Raises:
        NoJavaError: No compiler, or no JMS client.
    """
    missing = [str(JARS / name) for name in RUNTIME if not (JARS / name).exists()]
    missing += [name for name in ("java", "javac") if shutil.which(name) is None]
    if missing:
        raise NoJavaError(f"not there: {', '.join(missing)}; `scripts/test-services install` installs them")
    command = ["javac", "--release", "11", "-Xlint:all", "-Werror", "-cp", str(JARS / API), "-d", str(classes)]
    sources = sorted(map(str, SOURCES.glob("*.java")))
    subprocess.run([*command, *sources], check=True, env={**os.environ, "LC_ALL": "C"})
    return JavaPeers(classes)


@pytest.fixture(scope="session")
def java_peers(tmp_path_factory: pytest.TempPathFactory) -> JavaPeers:
    """The programs, compiled."""
    try:
        return compile_peers(tmp_path_factory.mktemp("java"))
    except NoJavaError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
