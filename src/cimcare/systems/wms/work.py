"""Handlers of the three nouns of field work: service requests, service orders and work requests.

One state machine for all three (see `cimcare.rules.lifecycle`); what each is judged by: see `requests` and `orders`.

Source: IEC 61968-8:2015, clauses 5.4 to 5.6 (our reading of their exchanges).
"""

from collections.abc import Callable
from typing import TypeVar

from cimcare.exchange.ports import Handler, Served, ServingContext
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.systems.objects import Kind
from cimcare.systems.selecting import get_objects
from cimcare.systems.serving import Course, change_each, create_each, delete_each, end_each
from cimcare.systems.wms.kinds import SERVICE_ORDERS, SERVICE_REQUESTS, WORK_REQUESTS
from cimcare.systems.wms.office import Office
from cimcare.systems.wms.orders import Orders
from cimcare.systems.wms.requests import Requests

__all__ = ["SERVES"]

BodyT = TypeVar("BodyT", bound=Structure)


def _handlers_of(
    kind: Kind[BodyT], make: Callable[[ServingContext], Office[BodyT]]
) -> dict[tuple[Verb, Noun], Handler]:
    """The handlers that serve one of the three nouns."""

    async def told(course: Course[BodyT], office: Office[BodyT], verb: Verb) -> Served:
        return course.served(verb, await office.follow())

    async def create_work(message: RequestMessage, context: ServingContext) -> Served:
        """Take wishes for work."""
        office = make(context)
        return await told(await create_each(message, context, kind, office.open), office, Verb.CREATED)

    async def change_work(message: RequestMessage, context: ServingContext) -> Served:
        """Another window, contact or access note; a crew that is sent; or the progress that it reports."""
        office = make(context)
        return await told(
            await change_each(await office.named(message), context, kind, office.change), office, Verb.CHANGED
        )

    async def cancel_work(message: RequestMessage, context: ServingContext) -> Served:
        """Withdraw work that has not begun."""
        office = make(context)
        return await told(await end_each(message, context, kind, office.cancel), office, Verb.CANCELED)

    async def close_work(message: RequestMessage, context: ServingContext) -> Served:
        """End work that was done."""
        office = make(context)
        return await told(await end_each(message, context, kind, office.close), office, Verb.CLOSED)

    async def delete_work(message: RequestMessage, context: ServingContext) -> Served:
        """Remove work that has not begun or has ended."""
        office = make(context)
        course = await delete_each(message, context, kind, office.is_deletable, office.release)
        return await told(course, office, Verb.DELETED)

    async def get_work(message: RequestMessage, context: ServingContext) -> Served:
        """Answer with work."""
        return await get_objects(message, context, kind)

    return {
        (Verb.CREATE, kind.noun): create_work,
        (Verb.CHANGE, kind.noun): change_work,
        (Verb.CANCEL, kind.noun): cancel_work,
        (Verb.CLOSE, kind.noun): close_work,
        (Verb.DELETE, kind.noun): delete_work,
        (Verb.GET, kind.noun): get_work,
    }


SERVES: dict[tuple[Verb, Noun], Handler] = {
    **_handlers_of(SERVICE_REQUESTS, lambda context: Requests(SERVICE_REQUESTS, context)),
    **_handlers_of(SERVICE_ORDERS, Orders),
    **_handlers_of(WORK_REQUESTS, lambda context: Requests(WORK_REQUESTS, context)),
}
"""Requests that the work management serves."""
