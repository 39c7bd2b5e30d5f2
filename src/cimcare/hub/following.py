"""Follows the configuration in the database, so that every process of the hub goes over to a new one by itself."""

import asyncio
import contextlib
from collections.abc import Mapping

import structlog

from cimcare.exchange.store import Reader, StoreError
from cimcare.hub.config.configuration import InForce, in_force
from cimcare.hub.intake.pipeline import Pipeline
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.outgoing.delivery import Couriers
from cimcare.model.nouns import Role

__all__ = ["Follower"]


class Follower:
    """Looks for another configuration from time to time, and gives it to who works by it.

    Messages and deliveries under way end with the set-up with which they began.

    Args:
        reader: Where the configuration is.
        known: The one with which the hub began.
        sources: Header/Source of each role as far as it is built in.
        pipeline: The way in.
        couriers: The way out.
        logger: Where a change is noted.
    """

    def __init__(
        self,
        reader: Reader,
        known: InForce,
        sources: Mapping[Role, str],
        pipeline: Pipeline,
        couriers: Couriers,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._sources = sources
        self._pipeline = pipeline
        self._couriers = couriers
        self._logger = logger
        self._known = known
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Look once. Raises StoreError."""
        found = await in_force(self._reader.records)
        if found == self._known:
            return
        setup = setup_of(self._sources, found.partners, found.subscriptions)
        self._known = found
        self._pipeline.setup = setup
        self._couriers.change(setup)
        self._logger.info(
            "configuration changed",
            partners=[partner.name for partner in found.partners],
            subscriptions=[subscription.name for subscription in found.subscriptions],
        )

    def start(self, seconds: float) -> None:
        """Look every so many seconds from now on."""
        self._task = asyncio.create_task(self._follow(seconds))

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.look()
            except StoreError as error:
                self._logger.error("configuration not looked at", code=error.code, reason=str(error))
            except Exception as error:  # noqa: BLE001 - a look that fails must not be the last one
                name = type(error).__name__
                self._logger.error("configuration not looked at", code="EXC-109", error=name)
