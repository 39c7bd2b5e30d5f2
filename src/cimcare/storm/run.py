"""Plays a storm from end to end: reach the other side, send, wait, ask, judge."""

import gc
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from cimcare.client.brokers import BrokerError
from cimcare.errors import CimcareError, finding_of
from cimcare.storm.asking import Asking
from cimcare.storm.brokering import BrokerAsking, BrokerPlace, BrokerSending
from cimcare.storm.plan import Item, Plan, draw_plan
from cimcare.storm.profile import Profile
from cimcare.storm.proof import LedgerLine, has_api, less, prove, read_ledger, wait_for_deliveries
from cimcare.storm.result import PartnerEnd, Reason, Result, groups_of, judge_storm, minutes_of, spread_of
from cimcare.storm.sending import Pace, Sending
from cimcare.storm.tally import Tally
from cimcare.storm.wording import Form, Target, Wording

__all__ = ["Order", "Running", "StormError", "find_target", "play_storm"]

_ENDPOINTS = ("/soap", "/messages")


class StormError(CimcareError):
    """The storm cannot begin: nobody answers at the address."""

    code = "SIM-112"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A storm as it is asked for.

    `minutes` are the first minutes of the storm that are played, all of it if None; `start` is what the virtual clock
    shows at its beginning, the profile's if None. `settle_seconds` is how long deliveries may take afterwards.
    """

    profile: Profile
    scale: float = 1.0
    seed: int = 1
    minutes: float | None = None
    start: datetime | None = None
    pace: Pace = Pace()
    proves: bool = True
    settle_seconds: float = 60.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A storm on its way, for whoever shows it or ends it."""

    plan: Plan
    tally: Tally
    sending: Sending
    target: Target
    speed: float


def find_target(
    url: str,
    form: Form,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    source: str = "STORM",
    context: str = "TESTING",
    api: str = "",
) -> Target:
    """The endpoint below an address, by the form: of a bare one `/soap` or `/messages`, else as it is.

    The REST interface, if there is one, is looked for beside it, or where `api` says. A broker has none beside it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return Target(url=url, form=form, headers=headers, source=source, context=context, api=api)
    path = parts.path.rstrip("/")
    ending = "/soap" if form in (Form.SOAP11, Form.SOAP12) else "/messages"
    base = f"{parts.scheme}://{parts.netloc}"
    known = next((one for one in _ENDPOINTS if path.endswith(one)), "")
    api = api or (f"{base}{path.removesuffix(known)}" if known or not path else base)
    return Target(
        url=url if path else f"{base}{ending}", form=form, headers=headers, source=source, context=context, api=api
    )


async def play_storm(
    order: Order,
    target: Target,
    *,
    tls: ssl.SSLContext | None = None,
    place: BrokerPlace | None = None,
    on_start: Callable[[Running], None] = lambda _: None,
    on_end: Callable[[], None] = lambda: None,
    on_stage: Callable[[str], None] = lambda _: None,
    partners: Callable[[], tuple[PartnerEnd, ...]] = tuple,
) -> Result:
    """Play it.

    Args:
        order: What is wanted.
        target: Where to. Its `api` is forgotten if nothing of the kind is there.
        tls: How TLS is done, for https.
        place: The broker by which messages go; over HTTP without.
        on_start: Called when all is drawn and the first message is about to be sent.
        on_end: Called when all is answered, before anything is asked.
        on_stage: Told in a few words what is done.
        partners: Tells, at the end, what simulated partners took.

    Raises:
        StormError: Nobody answers at the address.
    """
    on_stage("drawing the storm")
    profile, pace = order.profile, order.pace
    plan = draw_plan(profile, scale=order.scale, seed=order.seed)
    if order.minutes is not None:
        plan = plan.cut(order.minutes * 60)
    asking = Asking(target, tls)
    notes = []
    if not target.api or not await has_api(asking):
        target = msgspec.structs.replace(target, api="")
        asking = Asking(target, tls)
        notes.append("No REST interface of ours there: no ledger is shown, and tickets are asked for by messages.")
        if Item.METERS in plan.kinds:
            plan = plan.without(Item.METERS)
            notes.append("Meter events were left out: there is no message for them in IEC 61968-8.")
    start = order.start or profile.start
    tally, wording = Tally(plan), Wording(plan, target, start)
    try:
        sending = (
            Sending(plan, wording, tally, url=target.url, tls=tls, pace=pace)
            if place is None
            else BrokerSending(plan, wording, tally, target=target, place=place, pace=pace)
        )
        await sending.reach()
    except (OSError, TimeoutError, BrokerError) as error:
        accepted = "an address at which somebody listens"
        raise StormError(finding_of("SIM-112", target.url, f"no connection ({error})", accepted).describe()) from error
    began_at = datetime.now(UTC)
    before = await read_ledger(asking, began_at) if target.api else ()
    gc.collect()
    gc.freeze()
    on_stage("")
    on_start(Running(plan=plan, tally=tally, sending=sending, target=target, speed=pace.speed))
    processor, clock = time.process_time(), time.monotonic()
    try:
        await sending.run()
    finally:
        gc.unfreeze()
    processor, clock = time.process_time() - processor, time.monotonic() - clock
    on_end()
    ledger: tuple[LedgerLine, ...] = ()
    if target.api:
        on_stage("waiting for deliveries to partners")
        ledger = less(await wait_for_deliveries(asking, began_at, order.settle_seconds), before)
    proof = None
    if order.proves:
        on_stage("asking for every ticket")
        if place is None:
            proof = await prove(asking, asking.post, target, wording, tally.accepted)
        else:
            async with BrokerAsking(target, place) as messages:
                proof = await prove(asking, messages.post, target, wording, tally.accepted)
    ends = partners()
    groups = groups_of(tally)
    is_interrupted = sending.offered < len(plan.at)
    return Result(
        profile=profile.name,
        title=profile.title or profile.name,
        profile_digest=profile.digest,
        scale=order.scale,
        seed=order.seed,
        speed=pace.speed,
        start=start,
        began_at=began_at,
        seconds=clock,
        address=target.url,
        form=target.form.value,
        interrupted=is_interrupted,
        planned=len(plan.at),
        tickets=plan.tickets,
        premises=plan.town.premises,
        connections=pace.connections,
        processor_seconds=processor,
        sent=tally.sent,
        sent_again=tally.sent_again,
        late=sum(tally.late),
        starts=spread_of(tally.starts),
        groups=groups,
        minutes=minutes_of(tally),
        hazards_late=tally.hazards_late,
        hazard_seconds=pace.hazard_seconds,
        repeats_accepted=tally.accepted_again,
        estimates_told=sum(tally.estimates_told),
        estimates_changed=sum(tally.estimates_changed),
        reasons=tuple(
            Reason(item=item, reason=reason, count=count) for (item, reason), count in tally.reasons.most_common(50)
        ),
        proof=proof,
        ledger=ledger,
        partners=ends,
        notes=tuple(notes),
        verdict=judge_storm(
            plan,
            tally,
            groups,
            proof=proof,
            ledger=ledger,
            partners=ends,
            source=target.source,
            hazard_seconds=pace.hazard_seconds,
            interrupted=is_interrupted,
        ),
    )
