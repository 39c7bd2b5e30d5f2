"""What an operator does about work, as the message that says it. Pure."""

from cimcare.console.frame import Sent
from cimcare.console.work.looking import Deed, WorkView
from cimcare.model import service_order, service_request, work_request
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import Payload
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.model.work import Crew, MeterReading, Reading, ReadingType

__all__ = ["message_for"]

_REPORTED = {
    Deed.EN_ROUTE: WorkStatusKind.enroute,
    Deed.ON_SITE: WorkStatusKind.onSite,
    Deed.COMPLETE: WorkStatusKind.completed,
    Deed.INCOMPLETE: WorkStatusKind.waitingToBeScheduled,
    Deed.DISPATCH: WorkStatusKind.dispatched,
}
_METER = NameType(name="MeterNumber")


def message_for(deed: str, work: WorkView, sent: Sent) -> tuple[Verb, Role, Payload]:
    """Verb, in whose name, and content. What a crew does is said by the work management, an end by the customer system.

    What is missing in the form is left out: who serves the message says what has to be there.
    """
    if deed in (Deed.CANCEL, Deed.CLOSE):
        verb = Verb.CANCEL if deed == Deed.CANCEL else Verb.CLOSE
        return verb, Role.CIS, Payload(content=(_identity_of(work),))
    task = _task_for(deed, work, sent)
    order = service_order.Work(
        mrid=work.mrid, status_kind=_REPORTED[deed], work_tasks=(task,) if task is not None else ()
    )
    return Verb.CHANGE, Role.WMS, Payload(content=(service_order.ServiceOrders(work=(order,)),))


def _identity_of(
    work: WorkView,
) -> service_order.ServiceOrders | service_request.ServiceRequests | work_request.WorkRequests:
    if work.noun is Noun.SERVICE_ORDERS:
        return service_order.ServiceOrders(work=(service_order.Work(mrid=work.mrid),))
    if work.noun is Noun.SERVICE_REQUESTS:
        return service_request.ServiceRequests(work=(service_request.Work(mrid=work.mrid),))
    return work_request.WorkRequests(work=(work_request.Work(mrid=work.mrid),))


def _task_for(deed: str, work: WorkView, sent: Sent) -> service_order.WorkTask | None:
    crew, reason = sent.one("crew"), sent.one("reason")
    if deed == Deed.DISPATCH and crew:
        names = next((one.names for one in work.able if one.mrid == crew), ())
        return service_order.WorkTask(crews=(Crew(mrid=MRID(crew), names=names),))
    if deed == Deed.INCOMPLETE and reason:
        return service_order.WorkTask(work_location=service_order.ServiceLocation(site_access_problem=reason))
    if deed == Deed.COMPLETE:
        left, found = _meter_in(sent, "left"), _meter_in(sent, "found")
        if left is not None or found is not None:
            return service_order.WorkTask(assets=(left,) if left is not None else (), old_asset=found)
    return None


def _meter_in(sent: Sent, which: str) -> service_order.Asset | None:
    """The meter of a form, with its reading; None if the form says neither."""
    meter, value = sent.one(f"{which}-meter"), sent.one(f"{which}-reading")
    if not meter and not value:
        return None
    reading = Reading(value=value, reading_type=ReadingType())
    return service_order.Asset(
        names=(Name(name=meter, name_type=_METER),) if meter else (),
        meter_readings=(MeterReading(readings=(reading,)),) if value else (),
    )
