"""ActiveMQ and RabbitMQ from Debian's packages, as processes of our own on loopback.

Each has a folder, ports and, with Erlang, a port mapper and a cookie of its own, so that nothing of the machine's is
touched. A broker is ended by process id, and ends also when the process that started it dies. `python -m
tests.support.services` is what `scripts/test-services` runs.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["BROKERS", "ActiveMQ", "Broker", "NotInstalledError", "RabbitMQ", "SmallActiveMQ"]

_START_SECONDS = 60
_STOP_SECONDS = 20
_POLL_SECONDS = 0.02
_STATE = "broker.json"
_ACTIVEMQ = Path("/usr/share/activemq")
_RABBITMQ = Path("/usr/lib/rabbitmq/bin")
_TLS = Path(__file__).parent / "tls"
_CERTIFICATE = "certificate.pem"
_LOG4J = """\
log4j.rootLogger=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c %m%n
"""
_STOMP_CONNECT = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0"


class NotInstalledError(Exception):
    """The programs of a broker are not on this machine."""


class Broker:
    """A broker that can be started, killed, frozen and started again, on the same ports and with the same store.

    `ports` are by scheme. With `watched` the broker ends with this process; without, it stays until it is stopped.
    """

    name = ""
    schemes: tuple[str, ...] = ()

    def __init__(self, folder: Path, *, watched: bool = True) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports: Mapping[str, int] = dict(zip(self.schemes, _free_ports(len(self.schemes)), strict=True))
        self._watched = watched
        self._server: subprocess.Popen[bytes] | None = None
        self._watchers: dict[int, subprocess.Popen[bytes]] = {}

    def url(self, scheme: str) -> str:
        """Address of a listener, such as `stomp://127.0.0.1:20123`."""
        port = self.ports[scheme.replace("amqp10", "amqp")]
        return f"{scheme}://127.0.0.1:{port}"

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self.folder / "log"

    @property
    def is_running(self) -> bool:
        """Whether its process lives; a frozen one does."""
        return self._server is not None and self._server.poll() is None

    @property
    def pids(self) -> list[int]:
        """Processes that were started here, the broker's own first."""
        return [self._server.pid] if self._server is not None and self.is_running else []

    def start(self) -> None:
        """Start it, and return when it answers on each port. Nothing happens if it runs."""
        if self.is_running:
            return
        self._server = self._spawn(*self._prepare())
        deadline = time.monotonic() + _START_SECONDS
        for is_ready in self._probes():
            while not is_ready():
                if self._server.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')}")
                time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End the broker as a crash does: SIGKILL, nothing is tidied up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by its own hand, with all that belongs to it."""
        self.thaw()
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Crash, and start again."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """The broker says nothing more and its connections stay open, as if its machine was cut off."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _prepare(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """Write what it needs into the folder. Gives command and environment."""
        raise NotImplementedError

    def _probes(self) -> list[Callable[[], bool]]:
        return [lambda: _answers(self.ports["stomp"], _STOMP_CONNECT, b"CONNECTED")]

    def _spawn(self, command: list[str | Path], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own, and no Ctrl-C
            )
        if self._watched:
            # A line ends the watcher; the end of the pipe, which is that of this process, ends the broker first.
            end = 'read -r word && exit 0; kill -KILL "-$1"'
            self._watchers[process.pid] = subprocess.Popen(
                ["/bin/sh", "-c", end, "sh", str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
            )
        return process

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None and self.is_running:
            os.killpg(self._server.pid, number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._server is not None:
            self._await_end(self._server)

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        watcher = self._watchers.pop(process.pid, None)
        if watcher is not None:
            watcher.communicate(b"\n")


class ActiveMQ(Broker):
    """ActiveMQ Classic: OpenWire for clients in Java, STOMP; store KahaDB, each message on disk before its receipt."""

    name = "activemq"
    schemes = ("stomp", "tcp")

    def _prepare(self) -> tuple[list[str | Path], Mapping[str, str]]:
        java = shutil.which("java")
        if java is None or not (_ACTIVEMQ / "lib/activemq-broker.jar").exists():
            raise NotInstalledError("ActiveMQ is not installed")
        data = self.folder / "data"
        (self.folder / "log4j.properties").write_text(_LOG4J)
        listeners = (
            f"tcp://127.0.0.1:{self.ports['tcp']},"
            # A heart-beat that is a little late on a busy machine is not the end.
            f"stomp://127.0.0.1:{self.ports['stomp']}?transport.hbGracePeriodMultiplier=2"
        )
        command = [
            *(java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED"),
            *(f"-Dactivemq.home={_ACTIVEMQ}", f"-Dactivemq.base={self.folder}", f"-Dactivemq.data={data}"),
            f"-Dlog4j.configuration=file:{self.folder / 'log4j.properties'}",
            *("-cp", f"{_ACTIVEMQ}/lib/*:{_ACTIVEMQ}/lib/optional/*", "org.apache.activemq.console.Main", "start"),
            self._configuration(listeners, data),
        ]
        return command, {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _configuration(self, listeners: str, data: Path) -> str:
        return f"broker:({listeners})?useJmx=false&persistent=true&dataDirectory={data}&brokerName=tests"


class SmallActiveMQ(ActiveMQ):
    """ActiveMQ whose store is soon full, like a disk. It then keeps senders waiting, or with `says_so` refuses."""

    def __init__(self, folder: Path, *, watched: bool = True, says_so: bool = False) -> None:
        super().__init__(folder, watched=watched)
        self._says_so = says_so

    def _configuration(self, listeners: str, data: Path) -> str:
        connectors = "".join(
            f'<transportConnector name="c{number}" uri="{escape(uri)}"/>'
            for number, uri in enumerate(listeners.split(","))
        )
        (self.folder / "activemq.xml").write_text(
            f"""<beans xmlns="http://www.springframework.org/schema/beans"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://www.springframework.org/schema/beans
 http://www.springframework.org/schema/beans/spring-beans.xsd
 http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
<broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="tests" dataDirectory="{data}">
<persistenceAdapter><kahaDB directory="{data}/kahadb" journalMaxFileLength="256kb" cleanupInterval="300"/>
</persistenceAdapter>
<systemUsage><systemUsage sendFailIfNoSpace="{str(self._says_so).lower()}">
<storeUsage><storeUsage limit="2 mb"/></storeUsage></systemUsage></systemUsage>
<transportConnectors>{connectors}</transportConnectors></broker></beans>"""
        )
        return f"xbean:file:{self.folder / 'activemq.xml'}"


class RabbitMQ(Broker):
    """RabbitMQ: AMQP 0-9-1 and, by plugins, AMQP 1.0 on the same port and STOMP; user and password are guest.

    All three also over TLS, with the certificate that `present` names; it asks for ours, and takes none too.
    """

    name = "rabbitmq"
    schemes = ("amqp", "stomp", "amqps", "stomp+ssl", "distribution", "epmd")

    def __init__(self, folder: Path, *, watched: bool = True) -> None:
        super().__init__(folder, watched=watched)
        self._mapper: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        mapper = [self._mapper.pid] if self._mapper is not None and self._mapper.poll() is None else []
        return [*super().pids, *mapper]

    def stop(self) -> None:
        super().stop()
        if self._mapper is not None:
            self._mapper.kill()
            self._await_end(self._mapper)

    def present(self, file: str) -> None:
        """Who connects over TLS from now on is shown the certificate in this file of `tests/support/tls`."""
        shutil.copy(_TLS / file, self.folder / _CERTIFICATE)
        self._control("eval", "ssl:clear_pem_cache().")

    def block(self) -> None:
        """Let it believe that its memory is full: it takes nothing more from those who publish."""
        self._control("set_vm_memory_high_watermark", "0.0000001")

    def unblock(self) -> None:
        """It takes messages again."""
        self._control("set_vm_memory_high_watermark", "0.4")

    def _control(self, *arguments: str) -> None:
        command = [_RABBITMQ / "rabbitmqctl", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # where Erlang's cookie is made
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "RABBITMQ_NODENAME": f"tests{self.ports['amqp']}@localhost",
            "RABBITMQ_DIST_PORT": str(self.ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.config"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "environment"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes the server, whose process id is then ours
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 1:1"
            ),
        }

    def _prepare(self) -> tuple[list[str | Path], Mapping[str, str]]:
        epmd = shutil.which("epmd")
        if epmd is None or not (_RABBITMQ / "rabbitmq-server").exists():
            raise NotInstalledError("RabbitMQ is not installed")
        plain, ciphered = '{tcp_listeners, [{"127.0.0.1", %d}]}', '{ssl_listeners, [{"127.0.0.1", %d}]}'
        shutil.copy(_TLS / "server.pem", self.folder / _CERTIFICATE)
        own = self.folder / _CERTIFICATE
        tls = f'{{cacertfile, "{_TLS / "ca.pem"}"}}, {{certfile, "{own}"}}, {{keyfile, "{own}"}}'
        # In Erlang's own terms, which saves a second of the start.
        (self.folder / "rabbitmq.config").write_text(
            f"[{{rabbit, [{plain % self.ports['amqp']}, {ciphered % self.ports['amqps']},"
            f" {{ssl_options, [{tls}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, false}}]}},"
            " {log, [{console, [{enabled, true}, {level, warning}]}, {file, [{file, false}]}]}]},"
            f" {{rabbitmq_stomp, [{plain % self.ports['stomp']}, {ciphered % self.ports['stomp+ssl']}]}}].\n"
        )
        (self.folder / "enabled_plugins").write_text("[rabbitmq_amqp1_0,rabbitmq_stomp].\n")
        (self.folder / "environment").touch()
        environment = self._environment()
        if self._mapper is None or self._mapper.poll() is not None:
            self._mapper = self._spawn([epmd], environment)
            while not _answers(self.ports["epmd"], b"\0\1n", b"\0\0"):  # the names it knows: its port, in four bytes
                time.sleep(_POLL_SECONDS)
        return [_RABBITMQ / "rabbitmq-server"], environment

    def _probes(self) -> list[Callable[[], bool]]:
        return [lambda: _answers(self.ports["amqp"], b"AMQP\0\0\x09\x01", b"\1"), *super()._probes()]


BROKERS: Mapping[str, type[Broker]] = {"activemq": ActiveMQ, "rabbitmq": RabbitMQ}


def _answers(port: int, greeting: bytes, answer: bytes) -> bool:
    """Whether a listener takes a connection and answers a greeting as expected."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(greeting)
            return connection.recv(64).startswith(answer)
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses, and that the system gives to no connection either.

    A client that tries again and again to reach a broker that is down would else meet itself one day: a connection to
    a port of loopback which happens to be given the same port succeeds.
    """
    lowest = 32768
    with contextlib.suppress(OSError):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.SystemRandom().sample(range(10240, max(lowest, 12288)), 200)
    free: list[int] = []
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise AssertionError("no free ports")


# -------------------------------------------------------------------------------------------------- command line


def _start(name: str, folder: Path) -> None:
    broker = BROKERS[name](folder.resolve(), watched=False)
    broker.start()
    processes = {str(pid): _command_of(pid) for pid in broker.pids}
    state = {"name": name, "folder": str(broker.folder), "ports": dict(broker.ports), "processes": processes}
    (folder / _STATE).write_text(json.dumps(state))
    json.dump({**state, "processes": list(processes)}, sys.stdout)
    sys.stdout.write("\n")


def _stop(folder: Path) -> None:
    state = json.loads((folder / _STATE).read_text())
    for pid, command in state["processes"].items():
        if not command or _command_of(int(pid)) != command:  # gone, and the number may be somebody else's by now
            continue
        os.kill(int(pid), signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _command_of(int(pid)) == command:
            if time.monotonic() > deadline:
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
    (folder / _STATE).unlink()


def _command_of(pid: int) -> str:
    """Command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def main() -> None:
    """Start or stop a broker, as told by the command line."""
    parser = argparse.ArgumentParser(prog="scripts/test-services")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start")
    start.add_argument("broker", choices=list(BROKERS))
    stop = commands.add_parser("stop")
    for command in (start, stop):
        command.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    try:
        if chosen.command == "start":
            _start(chosen.broker, chosen.folder)
        else:
            _stop(chosen.folder)
    except (NotInstalledError, FileNotFoundError) as error:
        sys.exit(f"test-services: {error}")


if __name__ == "__main__":
    main()
