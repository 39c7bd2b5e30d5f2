"""The control room of a utility that a storm has started: gives incidents a time of restoration, and another one later.

The built-in outage management makes up no times, so without somebody who says them no caller is told any. This is the
side of the utility, not of the callers: it looks at what came of the calls, and so is not the same each time.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.model.envelope import Header, Payload, RequestMessage
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, IncidentOutage, Incidents
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.storm.asking import Asking
from cimcare.storm.profile import ControlRoom
from cimcare.storm.wording import Form, Target

__all__ = ["SOURCE", "give_times"]

SOURCE = "CONTROL-ROOM"
_LOOK_SECONDS = 1.0
_PAGE = "50"


class _Item(msgspec.Struct, rename={"mrid": "mRID"}):
    mrid: str


class _Page(msgspec.Struct):
    items: list[_Item]
    next: str | None = None


async def give_times(rules: ControlRoom, address: str, *, context: str, speed: float) -> None:
    """Give times until it is cancelled: at most `per_minute` in a minute of the storm, at the hub's own clock.

    Args:
        rules: What the profile says.
        address: Base of the hub.
        context: Header/Context.
        speed: Seconds of the storm that pass in one.
    """
    target = Target(url=f"{address}/messages", form=Form.XML, source=SOURCE, context=context, api=address)
    asking = Asking(target, None)
    run = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    told: dict[str, int] = {}
    numbers = count()
    path = ""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        got = await (asking.get(path) if path else asking.get("/api/v1/Incidents", state="open", limit=_PAGE))
        try:
            page = msgspec.json.decode(got.body, type=_Page)
        except msgspec.MsgspecError:
            page = _Page(items=[])
        path = page.next or ""  # round and round
        due = max(1, round(rules.per_minute * speed * _LOOK_SECONDS / 60))
        for item in page.items:
            times = told.get(item.mrid, 0)
            if due and times <= rules.revisions:
                due -= 1
                told[item.mrid] = times + 1
                now = datetime.now(UTC).replace(microsecond=0)
                at = now + timedelta(hours=rules.hours * (1 + times / 2))
                await asking.post(_change(target, item.mrid, at, MessageID(f"{SOURCE}-{run}-{next(numbers)}"), now))
        await asyncio.sleep(max(_LOOK_SECONDS - (loop.time() - began), 0.05))


def _change(target: Target, mrid: str, at: datetime, message_id: MessageID, now: datetime) -> bytes:
    """What an operator says of an incident."""
    said = Incident(
        mrid=MRID(mrid),
        outage=IncidentOutage(estimated_period=DateTimeInterval(end=at)),
        status=Status(reason="operator", remark="duty engineer"),
    )
    header = Header(
        verb=Verb.CHANGE,
        noun=Noun.INCIDENTS,
        revision="1",
        context=target.context,
        timestamp=now,
        source=target.source,
        message_id=message_id,
    )
    return render_message(RequestMessage(header=header, payload=Payload(content=(Incidents(incident=(said,)),))))
