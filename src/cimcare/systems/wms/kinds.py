"""What the work management keeps: three nouns, all of them work."""

from collections.abc import Sequence
from typing import cast

import msgspec

from cimcare.exchange.ports import Collection
from cimcare.model import service_order, service_request, work_request
from cimcare.model.nouns import Noun, PayloadRoot, Role
from cimcare.model.structure import Structure
from cimcare.model.work_request import WorkRequests
from cimcare.systems.identity import has_identity, is_same
from cimcare.systems.objects import Kind, kind_of

__all__ = [
    "ORDER_REFERENCES",
    "SERVICE_ORDERS",
    "SERVICE_REQUESTS",
    "WORK_REQUESTS",
    "WORK_TYPE",
    "work_requests_kind",
]


ORDER_REFERENCES = {
    "ServiceRequest": "service-request",
    "ServiceRequestNumber": "service-request",
    "WorkRequest": "work-request",
    "WorkRequestNumber": "work-request",
    "Incident": "incident",
}
"""Types of names of an order that name what it is for, and not the order; one request may lead to several orders."""

WORK_TYPE = "WorkType"
"""Type of the name by which a work request says its type, since its class has no member for it."""


def work_requests_kind(role: Role) -> Kind[WorkRequests]:
    """WorkRequests as a system keeps them: each work in a root of its own, with the organisations that came with it.

    Organisation and Work stand side by side under the root, so which organisation asked for which work is not said.
    """
    return Kind(
        noun=Noun.WORK_REQUESTS,
        role=role,
        collection=Collection(f"{role}.{Noun.WORK_REQUESTS}", WorkRequests),
        item=work_request.Work,
        split=_split,
        join=_join,
        core=_core,
        with_core=lambda body, core: msgspec.structs.replace(body, work=(cast("work_request.Work", core),)),
        alone=lambda core: WorkRequests(work=(cast("work_request.Work", core),)),
        references={WORK_TYPE: "work-type"},
    )


def _core(body: WorkRequests) -> Structure:
    return body.work[0] if body.work else work_request.Work()


def _split(root: PayloadRoot) -> tuple[WorkRequests, ...]:
    if not isinstance(root, WorkRequests):
        return ()
    return tuple(msgspec.structs.replace(root, work=(one,)) for one in root.work)


def _join(bodies: Sequence[WorkRequests]) -> WorkRequests:
    organisations: list[work_request.Organisation] = []
    for organisation in (one for body in bodies for one in body.organisation):
        is_there = any(
            organisation == other or (has_identity(organisation) and is_same(organisation, other))
            for other in organisations
        )
        if not is_there:
            organisations.append(organisation)
    works = tuple(work for body in bodies for work in body.work)
    extensions = tuple(dict.fromkeys(extension for body in bodies for extension in body.extensions))
    return WorkRequests(organisation=tuple(organisations), work=works, extensions=extensions)


SERVICE_REQUESTS = kind_of(Noun.SERVICE_REQUESTS, Role.WMS, service_request.Work)
SERVICE_ORDERS = kind_of(
    Noun.SERVICE_ORDERS,
    Role.WMS,
    service_order.Work,
    references=ORDER_REFERENCES,
)
WORK_REQUESTS = work_requests_kind(Role.WMS)
