"""Ways to disturb a store on PostgreSQL from beside: connections that end, and answers that get lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import asyncpg

__all__ = ["COMMIT", "Gate", "cut", "operator"]

COMMIT = b"COMMIT\0"
"""The statement as it travels; BEGIN ... COMMITTED is none."""


class Gate:
    """A way to the server that can be shut: nothing goes through any more, and then the connections end."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._parts = parts
        self.loses: bytes | None = None
        self.refuses = False
        self.passes_on = True
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        try:
            yield urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="sslmode=disable"))
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(asyncio.CancelledError):  # the end of the gate
            if not self.refuses:
                await self._pass_on(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._to)
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            while piece := await reader.read(65536):
                if self.loses is not None and self.loses in piece:
                    self.loses = None
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                    if self.passes_on:
                        server_writer.write(piece)
                        await server_reader.read(65536)  # done, but nobody is told
                    return
                server_writer.write(piece)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
    writer.close()


@asynccontextmanager
async def operator(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection beside the store."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def cut(url: str, *, of: str = "pid <> pg_backend_pid()") -> None:
    """End all connections of the database but this one, and wait until the server has none of them any more."""
    async with operator(url) as connection:
        await connection.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND {of}"
        )
