"""A hub that is killed while it sends a notice: afterwards the customer has at most one (kill -9, real mail server)."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Selection
from cimcare.hub.acts.notifying import Notifier
from cimcare.hub.config.notice_settings import open_channels
from cimcare.hub.metrics import Metrics
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.identity import MRID
from cimcare.store.opening import open_store
from cimcare.systems.cis.callbacks import CALL_BACKS
from cimcare.systems.cis.contacts import Contact, Hours, Wish
from cimcare.systems.cis.members import OUT, Member, save_member
from cimcare.systems.cis.notices import NOTICES, Planned, plan_notice
from tests.support.hub import hub_process, hub_settings
from tests.support.mail import mail_server

WISH = Wish(Contact(ContactKind.EMAIL, "ada@post.example"), frozenset(NotificationTriggerKind), Hours())


async def test_killed_between_mark_and_outcome_nobody_sends_it_again(tmp_path: Path) -> None:
    """The server had taken the mail and not yet said so: the worst instant."""
    now = datetime.now(UTC)
    async with mail_server() as mail:
        mail.box.hangs = True
        more = (
            f'notices.smtp.host = "127.0.0.1"\nnotices.smtp.port = {mail.port}\nnotices.smtp.security = "none"\n'
            'notices.smtp.sender = "notices@utility.example"\n'
        )
        settings = hub_settings(tmp_path, more)
        store = await open_store(settings.database)
        async with store.transaction() as transaction:
            body = Member(incident=MRID("INC"), place="p", since=now)
            member = await save_member(transaction.records, body, OUT, now)
            planned = Planned(trigger=NotificationTriggerKind.powerOut, content="out", text="Supply is out.")
            await plan_notice(transaction.records, WISH, member, planned, now)
        await store.close()
        await _run_until(lambda: bool(mail.box.taken), tmp_path, more)
        mail.box.hangs = False
        store = await open_store(settings.database)
        notifier = Notifier(
            store=store,
            channels=open_channels(settings.notices, lambda: now),
            lease=settings.notices.lease,
            parallel=1,
            poll=timedelta(seconds=1),
            process="heir",
            clock=lambda: now + timedelta(hours=1),
            new_id=iter("abc").__next__,
            metrics=Metrics(),
            logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()]),
        )
        while await notifier.round():
            pass

        (notice,) = await store.reader.records.select(NOTICES, Selection())
        (call,) = await store.reader.records.select(CALL_BACKS, Selection())
        await store.close()
    assert len(mail.box.taken) == 1
    assert notice.state == "unknown"
    assert call.state == "waiting"


async def _run_until(is_enough: Callable[[], bool], folder: Path, more: str) -> None:
    """Run a hub as a process, and kill it as soon as it is enough."""
    stop = threading.Event()

    def run() -> None:
        with hub_process(folder, more) as hub:
            stop.wait(60)
            hub.kill()

    running = asyncio.create_task(asyncio.to_thread(run))
    while not is_enough() and not running.done():
        await asyncio.sleep(0.02)
    stop.set()
    await running
