"""A hub without sockets, whose clock and identifiers the test holds."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog
from starlette.routing import BaseRoute

from cimcare.exchange.dispatch import Dispatcher
from cimcare.exchange.log import LogEntry, LogSelection
from cimcare.exchange.partners import Partner
from cimcare.exchange.sending import Sender
from cimcare.exchange.store import Store
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.app import Hub
from cimcare.hub.duty import Duty
from cimcare.hub.rest.inside import Inside, Pages, no_pages
from cimcare.model.envelope import AnyMessage, FaultMessage, ResponseMessage
from cimcare.store.opening import open_store
from tests.support.channels import CHANNELS, Channel, answer_of
from tests.support.hub import Response, call, hub_settings

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class HeldHub:
    """A hub in the hands of a test."""

    def __init__(self) -> None:
        self.now = NOON
        self.ids = 0
        self.hub: Hub
        self.inside: Inside
        self.store: Store
        self.logged: list[structlog.typing.EventDict] = []

    def clock(self) -> datetime:
        return self.now

    def new_id(self) -> str:
        self.ids += 1
        return f"00000000-0000-4000-9000-{self.ids:012}"

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def open(
        self,
        folder: Path,
        more: str = "",
        *,
        seed_town: bool = False,
        sender: Sender | None = None,
        partners: Sequence[Partner] = (),
        subscriptions: Sequence[Subscription] = (),
        pages: Pages = no_pages,
        duty: Duty = Duty.ALL,
        on_put: Callable[[], None] = lambda: None,
    ) -> None:
        capture = structlog.testing.LogCapture()
        self.logged = capture.entries
        logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture])
        settings = msgspec.structs.replace(
            hub_settings(folder, more, seed_town=seed_town),
            partners=tuple(partners),
            subscriptions=tuple(subscriptions),
        )
        self.store = await open_store(settings.database)

        def look_inside(inside: Inside) -> Sequence[BaseRoute]:
            self.inside = inside
            return pages(inside)

        self.hub = await Hub.open(
            settings,
            clock=self.clock,
            new_id=self.new_id,
            logger=logger,
            store=self.store,
            sender=sender,
            pages=look_inside,
            duty=duty,
            on_put=on_put,
        )

    def replace(self, **means: object) -> None:
        """Go on with other means."""
        self.hub.pipeline._means = msgspec.structs.replace(self.hub.pipeline._means, **means)

    def serve_by(self, dispatcher: Dispatcher) -> None:
        """Go on with other handlers and listeners."""
        self.hub.pipeline.setup = msgspec.structs.replace(self.hub.pipeline.setup, dispatcher=dispatcher)

    async def post(self, message: AnyMessage, channel: Channel = CHANNELS["rest-xml"]) -> Response:
        """Send a message and return what came back."""
        response = await call(
            self.hub.app,
            channel.path(message),
            channel.render(message),
            headers={"content-type": channel.content_type},
        )
        assert response is not None
        return response

    async def ask(self, message: AnyMessage, channel: Channel = CHANNELS["rest-xml"]) -> ResponseMessage | FaultMessage:
        """Send a message and return the message that came back."""
        return answer_of(channel, await self.post(message, channel))

    async def log(self, **selection: object) -> tuple[LogEntry, ...]:
        """The log."""
        wanted = msgspec.structs.replace(LogSelection(limit=1000), **selection)
        return (await self.hub.queries.list_messages(wanted)).items

    async def get(self, path: str, method: str = "GET") -> Response:
        response = await call(self.hub.app, path, method=method)
        assert response is not None
        return response


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[HeldHub]:
    held = HeldHub()
    await held.open(tmp_path)
    yield held
    await held.hub.close()
