"""Has the sheet made: drills partners where that is asked for, gathers, judges, and shows it as metrics.

Source: decision 0095.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.drills import DRILLED, DRILLS, Ending
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Clock, Selection
from cimcare.exchange.store import Store
from cimcare.hub.config.settings import Settings
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation.readiness import CheckName, Limits, Sheet, State
from cimcare.hub.operation.readiness_checks import judge_readiness
from cimcare.hub.operation.readiness_facts import Gatherer
from cimcare.hub.outgoing.drilling import Driller

__all__ = ["Doctor", "metrics_of"]

_TOGETHER = 100
_FRESH_SECONDS = 1.0


_VALUES = {State.GO: 1.0, State.NO_GO: 0.0, State.UNKNOWN: -1.0}


def metrics_of(metrics: Metrics) -> Callable[[Sheet], None]:
    """Shows sheets as metrics; of several checks of one name the gravest counts, as they stand first."""

    def show(sheet: Sheet) -> None:
        checks: dict[tuple[str, str], float] = {}
        for check in sheet.checks:
            checks.setdefault((check.name.value, check.partner), _VALUES[check.state])
        metrics.set_readiness(checks, {link.partner: link.seconds for link in sheet.links})

    return show


class Doctor:
    """Makes sheets. One object for a process.

    Args:
        store: Where drills are kept, and the audit trail.
        settings: All settings.
        driller: Drills partners.
        gatherer: Gathers facts.
        partners: All partners that are configured now.
        clock: Now.
        on_sheet: Told of each sheet.
    """

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        driller: Driller,
        gatherer: Gatherer,
        partners: Callable[[], Collection[Partner]],
        clock: Clock,
        on_sheet: Callable[[Sheet], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._limits = Limits.of(settings)
        self._keeps = timedelta(days=settings.retention.drills_days)
        self._driller = driller
        self._gatherer = gatherer
        self._partners = partners
        self._clock = clock
        self._on_sheet = on_sheet
        self._examining: asyncio.Task[Sheet] | None = None
        self._seen: tuple[float, Sheet] | None = None

    async def look(self, *, writes: bool = True) -> Sheet:
        """The sheet by what is known now; nobody is sent anything.

        Args:
            writes: Whether it is tried to write to the database.
        """
        sheet = judge_readiness(await self._gatherer.gather(writes=writes), self._limits)
        self._seen = asyncio.get_running_loop().time(), sheet
        self._on_sheet(sheet)
        return sheet

    async def read(self) -> Sheet:
        """The sheet for who only reads: one of just now, else one for which nothing is written."""
        if self._seen is not None and asyncio.get_running_loop().time() - self._seen[0] < _FRESH_SECONDS:
            return self._seen[1]
        return await self.look(writes=False)

    async def examine(self, *, actor: str) -> Sheet:
        """Drill all partners, and then the sheet; who asks while that is under way is given the same one.

        Args:
            actor: Who is named in the audit trail.
        """
        if self._examining is None or self._examining.done():
            self._examining = asyncio.create_task(self._examine(actor))
        return await asyncio.shield(self._examining)

    async def stop(self) -> None:
        """Let go of what is under way; a drill that was sent counts as failed."""
        if self._examining is not None:
            self._examining.cancel()
            await asyncio.gather(self._examining, return_exceptions=True)

    async def _examine(self, actor: str) -> Sheet:
        sheet = await self.look()
        if any(check.name is CheckName.DATABASE and check.state is State.NO_GO for check in sheet.checks):
            return sheet  # without a database nobody can know what is under way
        drilled = await self._driller.drill(self._partners())
        sheet = await self.look()
        sent = [one for one in drilled if one.ending is not Ending.SPARED]
        details = f"{len(sent)} partners drilled: {sheet.state}"
        async with self._store.transaction() as transaction:
            await transaction.audit.append(
                Note(at=self._clock(), action=Action.DRILL, actor=actor, subject="readiness", details=details)
            )
        return sheet

    async def forget(self) -> None:
        """Remove drills that are too old, and the last ones of partners that are not there any more."""
        before = self._clock() - self._keeps
        while True:
            async with self._store.transaction() as transaction:
                old = await transaction.records.select(DRILLS, Selection(until=before, limit=_TOGETHER))
                for one in old:
                    await transaction.records.drop(DRILLS, one.mrid)
            if len(old) < _TOGETHER:
                break
            await asyncio.sleep(0)
        names = {partner.name for partner in self._partners()}
        async with self._store.transaction() as transaction:
            for last in await transaction.records.select(DRILLED, Selection(until=before, limit=_TOGETHER)):
                if str(last.mrid) not in names:
                    await transaction.records.drop(DRILLED, last.mrid)
