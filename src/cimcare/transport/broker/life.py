"""A session to a broker that is made anew whenever it is lost, at whichever address answers.

Pauses between attempts grow, with jitter. What belongs to a session (consumers, a reply queue) is set up anew each time
before it counts as there.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import structlog

from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import grown_pause
from cimcare.transport.broker.brokers import Broker, credentials_of
from cimcare.transport.broker.opening import OpenSession
from cimcare.transport.broker.ports import BrokerAddress, BrokerError, Session

__all__ = ["Link", "LinkState"]

_SETTLED_SECONDS = 10.0
"""A session that has lasted so long was a good one: the next pause is a short one again."""


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How it is with one connection.

    `address` is where it is or was last. `since` is when it came about, or when it was lost; `opened` how often it came
    about; `failures` how many attempts in a row failed, `reason` why the last one did, or why the session before ended.
    """

    purpose: str
    is_open: bool
    address: str
    since: datetime
    opened: int
    failures: int
    reason: str


class Link:
    """Keeps a session to one broker. `start` and `stop` frame its life.

    Args:
        broker: Which.
        purpose: What for, in a word.
        client_id: As whom; empty for nobody in particular.
        open_session: How a session is opened.
        on_open: Sets up what belongs to a session. Raises BrokerError if that fails; then it is given up.
        clock: Now.
        chance: Jitter.
        logger: Where it is noted what came and went.
    """

    def __init__(
        self,
        broker: Broker,
        purpose: str,
        *,
        client_id: str = "",
        open_session: OpenSession,
        on_open: Callable[[Session], Awaitable[None]],
        clock: Clock,
        chance: random.Random,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._broker = broker
        self._purpose = purpose
        self._client_id = client_id
        self._open_session = open_session
        self._on_open = on_open
        self._clock = clock
        self._chance = chance
        self._log = logger
        self._session: Session | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._since = clock()
        self._address = ""
        self._opened = 0
        self._failures = 0
        self._error: BrokerError | None = None
        self._given_up = ""
        self._dropped = asyncio.Event()
        self._is_stopping = False

    def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._is_stopping = False
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the session for good."""
        task, self._task = self._task, None
        if task is not None:
            self._is_stopping = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def session(self) -> Session | None:
        """The session, set up; None while there is none."""
        session = self._session
        return session if session is not None and not session.lost.done() and not self._given_up else None

    @property
    def state(self) -> LinkState:
        """How it is."""
        return LinkState(
            purpose=self._purpose,
            is_open=self.session is not None,
            address=self._address,
            since=self._since,
            opened=self._opened,
            failures=self._failures,
            reason=self._error.finding.describe() if self._error is not None else "",
        )

    async def require(self) -> Session:
        """The session, waited for while an attempt is under way that may bring it. Raises BrokerError."""
        while self.session is None:
            if self._error is not None and self._failures:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        return self.session

    def give_up(self, reason: str) -> None:
        """End the session that is there, for it is of no use; another is made."""
        self._given_up = reason
        self._dropped.set()

    async def _run(self) -> None:
        tries = 0
        while True:
            session = await self._open()
            if self._is_stopping:  # a library may swallow that we were cancelled while it opened
                if session is not None:
                    await session.close()
                return
            if session is None:
                pause = grown_pause(self._broker.reconnect, tries, self._chance)
                tries += 1
                await asyncio.sleep(pause.total_seconds())
                continue
            began = asyncio.get_running_loop().time()
            self._session, self._failures, self._error = session, 0, None
            self._since = self._clock()
            self._opened += 1
            self._given_up = ""
            self._dropped.clear()
            self._log.info("broker session", broker=self._broker.name, purpose=self._purpose, address=self._address)
            self._changed.set()
            try:
                await self._watch(session)
            finally:
                self._session = None
                with contextlib.suppress(Exception):
                    await asyncio.shield(session.close())
            self._since = self._clock()
            self._failures += 1
            self._changed.set()
            if asyncio.get_running_loop().time() - began > _SETTLED_SECONDS:
                tries = 0
            pause = grown_pause(self._broker.reconnect, tries, self._chance)
            tries += 1
            await asyncio.sleep(pause.total_seconds())

    async def _watch(self, session: Session) -> None:
        """Until the session is lost or given up."""
        waiting = asyncio.ensure_future(self._dropped.wait())
        try:
            await asyncio.wait((waiting, session.lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if session.lost.done():
            self._error = session.lost.result()
        else:
            self._error = BrokerError(
                "NET-129", str(session.address), self._given_up, "messages that come through", is_gone=True
            )
        self._log.warning("broker session lost", broker=self._broker.name, purpose=self._purpose, code=self._error.code)

    async def _open(self) -> Session | None:
        """A session at the first address that gives one, set up; None if none does."""
        for address in self._broker.addresses:
            session: Session | None = None
            self._address = str(address)
            try:
                session = await self._open_at(address)
                await self._on_open(session)
                return session
            except BrokerError as error:
                self._note(error)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                found = f"password_file {self._broker.password_file} cannot be used ({reason})"
                self._note(BrokerError("NET-121", str(address), found, "a file with the password"))
            except asyncio.CancelledError:
                if session is not None:
                    await session.close()
                raise
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the next attempt is to come
                found = f"an error that was not foreseen ({type(error).__name__})"
                self._note(BrokerError("NET-120", str(address), found, "a broker that is there"))
            if session is not None:
                await session.close()
        self._failures += 1
        self._changed.set()
        return None

    async def _open_at(self, address: BrokerAddress) -> Session:
        return await self._open_session(
            address,
            client_id=self._client_id,
            credentials=credentials_of(self._broker),
            tls=self._broker.tls,
            heart_beat=self._broker.heart_beat,
            within=self._broker.connect.total_seconds(),
        )

    def _note(self, error: BrokerError) -> None:
        if self._error is None or str(self._error) != str(error):
            self._log.warning(
                "broker not reached",
                broker=self._broker.name,
                purpose=self._purpose,
                code=error.code,
                reason=str(error),
            )
        self._error = error
