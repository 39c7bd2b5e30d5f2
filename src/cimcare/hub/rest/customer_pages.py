"""The part of the REST interface for people who talk with customers: calls, callers, notices, call-backs, preferences.

Calls and answers become messages; what is read is what the built-in customer system keeps.
"""

from datetime import datetime

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.errors import CimcareError, InputError, finding_of
from cimcare.exchange.ports import Key, Selection
from cimcare.exchange.store import Reader, StoreError
from cimcare.hub.acts.acting import NotBuiltInError
from cimcare.hub.acts.asking import MessageRefusedError
from cimcare.hub.acts.calling import Calling, PreferencesError
from cimcare.hub.acts.customer_views import (
    CallBackList,
    CallerList,
    CustomerDetail,
    CustomerList,
    NoticeList,
    PreferencesView,
    preferences_of,
    view_call_back,
    view_caller,
    view_customer,
    view_notice,
    view_preferences,
)
from cimcare.hub.rest.answering import SAFE, json_answer, next_address, problem
from cimcare.hub.rest.bodies import actor_of, read_json
from cimcare.hub.rest.filters import (
    CustomerFilter,
    LineFilter,
    read_call_back_filters,
    read_caller_filters,
    read_customer_filters,
    read_notice_filters,
)
from cimcare.model.identity import MRID
from cimcare.systems.cis.callbacks import CALL_BACKS, CallBackAnswer, CallBackError
from cimcare.systems.cis.callers import CALLERS, find_callers
from cimcare.systems.cis.contacts import PREFERENCES
from cimcare.systems.cis.intake import Call, CallError, find_open_ticket
from cimcare.systems.cis.notices import NOTICES, QUEUE
from cimcare.systems.identity import Label, stored_keys
from cimcare.systems.premises import ACCOUNTS, CUSTOMERS, PREMISES

__all__ = ["AnswerBody", "ClaimBody", "CustomerPages", "NextBody", "find_customer"]


class NextBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for a call, and of which group; of any if that is not said."""

    agent: str
    group: str = ""


class ClaimBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who claims a call."""

    agent: str


class AnswerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a call."""

    agent: str
    answer: CallBackAnswer
    remark: str = ""


class CustomerPages:
    """Handlers of the routes.

    Args:
        reader: The durable state.
        calling: Takes calls and answers.
    """

    def __init__(self, reader: Reader, calling: Calling) -> None:
        self._reader = reader
        self._calling = calling

    def routes(self) -> list[Route]:
        """All of them; they go before those of the nouns."""
        return [
            Route("/api/v1/calls", self.take_call, methods=["POST"]),
            Route("/api/v1/callers", self.callers),
            Route("/api/v1/notices", self.notices),
            Route("/api/v1/notices/{id}", self.notice),
            Route("/api/v1/callbacks", self.call_backs),
            Route("/api/v1/callbacks/next", self.next_call_back, methods=["POST"]),
            Route("/api/v1/callbacks/{id}", self.call_back),
            Route("/api/v1/callbacks/{id}/claim", self.claim, methods=["POST"]),
            Route("/api/v1/callbacks/{id}/answer", self.answer, methods=["POST"]),
            Route("/api/v1/customers", self.customers),
            Route("/api/v1/customers/{id}", self.customer),
            Route("/api/v1/customers/{id}/preferences", self.preferences, methods=["PUT"]),
        ]

    # ---------------------------------------------------------------------------------------------------- calls

    async def take_call(self, request: Request) -> Response:
        """Take a call; 201 for a new ticket, 200 where one was open."""
        try:
            taken = await self._calling.take(await read_json(request, Call), actor_of(request))
        except CallError as error:
            return _several(error) if error.callers else problem(error.finding)
        except (CimcareError, ClientDisconnect) as error:
            return _refused(error)
        return json_answer(taken, 201 if taken.is_new else 200)

    async def callers(self, request: Request) -> Response:
        """Who fits what was typed."""
        asked = read_caller_filters(request.query_params.multi_items())
        found, has_more = await find_callers(self._reader.records, asked)
        items = []
        for one in found:
            known = await find_open_ticket(self._reader.records, one.mrid)
            ticket = known.ticket.mrid if known is not None else None
            items.append(view_caller(one.body, ticket, known.incident if known is not None else None))
        return json_answer(CallerList(items=items, more=has_more))

    # -------------------------------------------------------------------------------------------------- notices

    async def notices(self, request: Request) -> Response:
        """A page of notices, oldest first."""
        wanted = read_notice_filters(request.query_params.multi_items())
        found = await self._reader.records.select(NOTICES, _selection_of(wanted))
        items = found[: wanted.limit]
        views = [view_notice(one, await self._due_at(one.mrid)) for one in items]
        after = items[-1].mrid if len(found) > len(items) else None
        return json_answer(NoticeList(items=views, next=next_address(request, after)))

    async def notice(self, request: Request) -> Response:
        """One notice."""
        stored = await self._reader.records.find(NOTICES, MRID(request.path_params["id"]))
        if stored is None:
            return _missing(request, "no such notice")
        return json_answer(view_notice(stored, await self._due_at(stored.mrid)))

    async def _due_at(self, mrid: MRID) -> datetime | None:
        queued = await self._reader.records.find(QUEUE, mrid)
        return queued.created_at if queued is not None else None

    # ----------------------------------------------------------------------------------------------- call-backs

    async def call_backs(self, request: Request) -> Response:
        """A page of call-backs, oldest first."""
        wanted = read_call_back_filters(request.query_params.multi_items())
        found = await self._reader.records.select(CALL_BACKS, _selection_of(wanted))
        items = found[: wanted.limit]
        after = items[-1].mrid if len(found) > len(items) else None
        return json_answer(
            CallBackList(items=[view_call_back(one) for one in items], next=next_address(request, after))
        )

    async def call_back(self, request: Request) -> Response:
        """One call-back."""
        stored = await self._reader.records.find(CALL_BACKS, MRID(request.path_params["id"]))
        return _missing(request, "no such call-back") if stored is None else json_answer(view_call_back(stored))

    async def next_call_back(self, request: Request) -> Response:
        """The next call for an agent; 204 if there is none."""
        try:
            body = await read_json(request, NextBody)
            found = await self._calling.next_call_back(body.group.strip(), _agent_of(request, body.agent))
        except (CimcareError, ClientDisconnect) as error:
            return _refused(error)
        return Response(status_code=204, headers=SAFE) if found is None else json_answer(view_call_back(found))

    async def claim(self, request: Request) -> Response:
        """One call for an agent."""
        try:
            body = await read_json(request, ClaimBody)
            claimed = await self._calling.claim(MRID(request.path_params["id"]), _agent_of(request, body.agent))
        except (CimcareError, ClientDisconnect) as error:
            return _refused(error)
        return json_answer(view_call_back(claimed))

    async def answer(self, request: Request) -> Response:
        """What became of a call."""
        try:
            body = await read_json(request, AnswerBody)
            noted = await self._calling.answer(
                MRID(request.path_params["id"]), _agent_of(request, body.agent), body.answer, body.remark.strip()[:1000]
            )
        except (CimcareError, ClientDisconnect) as error:
            return _refused(error)
        return json_answer(view_call_back(noted))

    # ------------------------------------------------------------------------------------------------ customers

    async def customers(self, request: Request) -> Response:
        """A page of customers, oldest first."""
        wanted = read_customer_filters(request.query_params.multi_items())
        found = await self._reader.records.select(CUSTOMERS, _customers_of(wanted))
        items = found[: wanted.limit]
        after = items[-1].mrid if len(found) > len(items) else None
        views = [view_customer(one.body) for one in items]
        return json_answer(CustomerList(items=views, next=next_address(request, after)))

    async def customer(self, request: Request) -> Response:
        """One customer, by mRID or number."""
        detail = await find_customer(self._reader, request.path_params["id"])
        return _missing(request, "no such customer") if detail is None else json_answer(detail)

    async def preferences(self, request: Request) -> Response:
        """How a customer wants to be told, from now on."""
        try:
            view = await read_json(request, PreferencesView)
            kept = await self._calling.prefer(MRID(request.path_params["id"]), preferences_of(view))
        except (CimcareError, ClientDisconnect) as error:
            return _refused(error)
        return _missing(request, "no such customer") if kept is None else json_answer(view_preferences(kept))


async def find_customer(reader: Reader, asked: str) -> CustomerDetail | None:
    """All that is known of a customer, by mRID or by a number; None if there is none, or several."""
    records = reader.records
    stored = await records.find(CUSTOMERS, MRID(asked))
    if stored is None:
        label = Label("", "", asked)
        found = [one for key in stored_keys("name", (label,)) for one in await records.find_by_key(CUSTOMERS, key)]
        stored = found[0] if len(found) == 1 else None
    if stored is None:
        return None
    accounts = await records.find_by_key(ACCOUNTS, Key("customer", stored.mrid))
    homes = []
    for premises in await records.find_by_key(PREMISES, Key("customer", stored.mrid)):
        caller = await records.find(CALLERS, premises.mrid)
        if caller is not None:
            known = await find_open_ticket(records, premises.mrid)
            ticket = known.ticket.mrid if known is not None else None
            homes.append(view_caller(caller.body, ticket, known.incident if known is not None else None))
    preferences = await records.find(PREFERENCES, stored.mrid)
    return CustomerDetail(
        **msgspec.structs.asdict(view_customer(stored.body)),
        accounts=tuple(name.name for account in accounts for name in account.body.names[:1]),
        premises=tuple(homes),
        preferences=view_preferences(preferences.body if preferences is not None else None),
    )


def _selection_of(wanted: LineFilter) -> Selection:
    keys: tuple[tuple[Key, ...], ...] = ()
    for sort in ("incident", "customer", "group"):
        value = getattr(wanted, sort)
        if value:
            keys = (*keys, (Key(sort, value),))
    return Selection(
        keys=keys,
        states=(wanted.state,) if wanted.state else (),
        after=MRID(wanted.after) if wanted.after else None,
        limit=wanted.limit + 1,  # one more shows whether there is another page
    )


def _customers_of(wanted: CustomerFilter) -> Selection:
    return Selection(
        keys=((Key("special-need", "yes"),),) if wanted.special_need else (),
        after=MRID(wanted.after) if wanted.after else None,
        limit=wanted.limit + 1,
    )


def _agent_of(request: Request, agent: str) -> str:
    """The name of an agent; raises InputError if there is none."""
    name = " ".join(agent.split())
    if not name or len(name) > 100:
        raise InputError(
            finding_of("COD-105", request.url.path, "no name of an agent", "a name of 1 to 100 characters")
        )
    return name


def _several(error: CallError) -> Response:
    """Problem details with those of whom one has to be chosen."""
    answer = problem(error.finding)
    body = msgspec.json.decode(bytes(answer.body))
    callers = [view_caller(one) for one in error.callers]
    return Response(
        msgspec.json.encode({**body, "callers": callers}),
        answer.status_code,
        headers=SAFE,
        media_type="application/problem+json",
    )


def _refused(error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):  # nobody is there to be answered
        return Response(status_code=400)
    if isinstance(error, MessageRefusedError):
        retry = {"retry-after": str(error.retry_after_seconds)} if error.retry_after_seconds else None
        return problem(error.finding, retry)
    if isinstance(error, InputError | CallBackError | PreferencesError | CallError):
        return problem(error.finding)
    if isinstance(error, NotBuiltInError):
        return problem(finding_of(error.code, "/", str(error), "the customer system that plays this role"))
    assert isinstance(error, StoreError)
    raise error


def _missing(request: Request, found: str) -> Response:
    return problem(finding_of("REF-103", request.url.path, found, "an identifier of a list"))
