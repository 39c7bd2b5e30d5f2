"""A peer by its base address: its SOAP services by their WSDL, its plain messages, and what it lets one read."""

from types import TracebackType
from typing import Self

import aiohttp

from cimcare.client.answers import Answer, NoAnswerError, silence
from cimcare.client.rest import RestClient
from cimcare.client.soap import SoapClient
from cimcare.codec.soap import SoapVersion
from cimcare.model.envelope import AnyMessage

__all__ = ["Peer"]


class Peer:
    """A hub, or whatever serves the same addresses. Use it as an asynchronous context manager.

    `address` is the base, such as `http://127.0.0.1:8968`; every call waits `timeout_seconds` at most.
    """

    def __init__(self, address: str, *, timeout_seconds: float = 30.0) -> None:
        self.address = address.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._services: dict[tuple[str, SoapVersion], SoapClient] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a Peer is used inside `async with`")
        return self._session

    async def soap(self, service: str = "", *, version: SoapVersion = SoapVersion.V11) -> SoapClient:
        """Client of a SOAP service: the generic one, or a strongly typed one such as `ExecuteServiceOrders`.

        The WSDL is fetched once. Raises NoAnswerError if it cannot be had.
        """
        known = self._services.get((service, version))
        if known is None:
            path = f"/soap/{service}" if service else "/soap"
            known = await SoapClient.from_wsdl(self._open_session, f"{self.address}{path}?wsdl", version=version)
            self._services[service, version] = known
        return known

    async def send(self, message: AnyMessage, *, as_json: bool = False) -> Answer:
        """Send a plain message. Raises FaultReceivedError or NoAnswerError."""
        return await RestClient(self._open_session, f"{self.address}/messages").send(message, as_json=as_json)

    async def read(self, path: str, **parameters: str) -> bytes:
        """Body of a GET, such as `/api/v1/messages`. Raises NoAnswerError unless the status is 200."""
        url = f"{self.address}{path}"
        try:
            async with self._open_session.get(url, params=parameters) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswerError(f"{url}: {silence(error)}") from error
        if status != 200:
            raise NoAnswerError(f"{url}: HTTP status {status}: {body[:300].decode(errors='replace')}")
        return body
