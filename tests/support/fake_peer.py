"""A peer that answers what a test tells it, over a real socket, from a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

__all__ = ["Asked", "FakePeer", "Told", "fake_peer"]


class Told(msgspec.Struct, frozen=True):
    """What the peer is to answer. `breaks_off` promises a body and closes the connection before it is complete."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/xml; charset=utf-8"
    breaks_off: bool = False
    headers: dict[str, str] = {}


class Asked(msgspec.Struct, frozen=True):
    """What the peer was asked. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FakePeer:
    """`answers` maps method and path (with query) to what is told; anything else is answered with 404."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[tuple[str, str], Told] = {}
        self.asked: list[Asked] = []

    def tell(self, path: str, told: Told, *, method: str = "POST") -> str:
        """Answer requests for `path` with `told`; the full address."""
        self.answers[method, path] = told
        return self.address + path

    def answer(self, asked: Asked) -> Told:
        self.asked.append(asked)
        return self.answers.get((asked.method, asked.path), Told(b"nothing here", 404, "text/plain"))


def _handler(peer: FakePeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = peer.answer(Asked(self.command, self.path, headers, body))
            self.send_response(told.status)
            if told.content_type:
                self.send_header("Content-Type", told.content_type)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body) + 100 * told.breaks_off))
            self.end_headers()
            self.wfile.write(told.body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test looks at `asked`."""

    return Handler


@contextmanager
def fake_peer() -> Iterator[FakePeer]:
    """A peer on a free port of this machine."""
    peer = FakePeer("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(peer))
    peer.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
