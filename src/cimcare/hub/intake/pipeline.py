"""The way in for every message: who is let in, the order of steps, and what happens when the hub itself fails.

Whatever comes is answered in words of the standard: a reply where the header could be read, a fault where it could not.
An OK leaves when the message, its effects and the events that it caused are on disk, and not before.

Source: IEC 61968-100:2013, processing of requests and events; guarantees G1, G2 and G8.
"""

import asyncio
from collections.abc import Hashable
from datetime import timedelta

import msgspec
import structlog

from cimcare.errors import finding_of
from cimcare.exchange.patterns import build_fault
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.store import Store
from cimcare.hub.config.settings import Settings
from cimcare.hub.intake.admission import Admission
from cimcare.hub.intake.passage import Passage
from cimcare.hub.intake.passing import Passing
from cimcare.hub.intake.replying import Means
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import OnPut
from cimcare.hub.metrics import Metrics
from cimcare.model.nouns import Role
from cimcare.schema import Catalog
from cimcare.transport.channel import Answer, Channel, Received

__all__ = ["Pipeline"]

_TOO_BUSY = "EXC-108"


class Pipeline:
    """Takes what a transport received and gives the answer. One object serves all transports, on one event loop."""

    def __init__(
        self,
        *,
        store: Store,
        setup: Setup,
        passing: Passing,
        catalog: Catalog,
        settings: Settings,
        clock: Clock,
        new_id: NewID,
        metrics: Metrics,
        logger: structlog.typing.FilteringBoundLogger,
        on_put: OnPut = lambda *_: None,
    ) -> None:
        """Put together."""
        self.setup = setup
        self._hub = settings.hub
        self._metrics = metrics
        self._admission = Admission(
            limit=settings.hub.queue_limit,
            reserve=settings.hub.hazard_reserve,
            wait_seconds=settings.hub.wait_seconds,
            question_wait_seconds=settings.hub.question_wait_seconds,
            now=lambda: asyncio.get_running_loop().time(),
        )
        self._refusals: dict[Hashable, Answer] = {}  # one for each form there is
        self._means = Means(
            store=store,
            passing=passing,
            catalog=catalog,
            limits=settings.limits.limits,
            hub=settings.hub,
            window=timedelta(days=settings.hub.repeat_window_days),
            clock=clock,
            new_id=new_id,
            metrics=metrics,
            logger=logger,
            on_put=on_put,
        )

    @property
    def waiting(self) -> int:
        """Messages in work."""
        return self._admission.in_work

    async def receive(self, received: Received) -> Answer:
        """Do all steps for one message and return its answer. Raises nothing."""
        place = self._admission.enter(received.raw)
        if place is None:
            return self._too_busy(received.channel)
        self._metrics.set_waiting(self._admission.in_work)
        try:
            if not await place.turn():
                return self._too_busy(received.channel)
            return await Passage(self._means, self.setup, received, place).run()
        finally:
            place.leave()
            self._metrics.set_waiting(self._admission.in_work)

    def _too_busy(self, channel: Channel) -> Answer:
        """Said at once and without a look at the message: whoever is overloaded must not work more."""
        self._metrics.count_refusal(_TOO_BUSY)
        answer = self._refusals.get(channel.form)
        if answer is None:
            finding = finding_of(
                _TOO_BUSY,
                "/",
                "as many messages in work as can be answered in time",
                f"the same message after {self._hub.retry_after_seconds} seconds",
                "IEC 61968-100:2013, reply codes; settings hub.queue_limit and hub.wait_seconds",
            )
            fault = build_fault((finding,), node=self.setup.sources[Role.CIS])
            rendered = channel.render_fault(fault, finding)
            answer = msgspec.structs.replace(rendered, retry_after_seconds=self._hub.retry_after_seconds, is_kept=False)
            self._refusals[channel.form] = answer
        return answer
