"""What a third party may ask of the customer system, and consents that come with agreements."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Served, ServingContext
from cimcare.model.customer_agreement import AuxiliaryAgreementIdentity, CustomerAgreement
from cimcare.model.envelope import IDKind, Option, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.queries import GetCustomerAgreements
from cimcare.systems.cis.consents import GRAMMAR, Spoken, give, spoken_in, withdraw
from cimcare.systems.cis.directory import customers_of
from cimcare.systems.cis.disclosure import Scope
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.reconciling import reconcile
from cimcare.systems.cis.sight import MOST_CUSTOMERS, Sight, VeiledRecords
from cimcare.systems.cis.switching import CLAUSE
from cimcare.systems.identity import labels_of
from cimcare.systems.objects import Said, as_utc, find_twin, refused, warning_of
from cimcare.systems.selecting import LIMIT, get_objects

__all__ = ["check_consent", "get_seen", "hear_consents", "not_for_third_parties", "veiled"]

_OUR_RULE = "consents (our profile)"
_LISTING = ("asOf", "changedSince")
_PAGE = 100
_ASKED_BY_NAME = ("Customer", "CustomerAccount", "Organisation")


def veiled(context: ServingContext) -> ServingContext:
    """The context in which a third party finds what it sees; for all others the same."""
    if not context.third_party:
        return context
    records = VeiledRecords(context.records, context.third_party, context.now)
    return msgspec.structs.replace(context, records=records)


async def get_seen(message: RequestMessage, context: ServingContext) -> Served:
    """Answer a third party with the agreements that it sees. What of them it sees is cut where the answer leaves."""
    refusal = _check_question(message)
    if refusal is not None:
        return Served(result=Result.FAILED, findings=(refusal,))
    options = message.request.option if message.request is not None else ()
    if any(one.name.strip() in _LISTING for one in options):
        return await _get_list(options, context)
    records = VeiledRecords(context.records, context.third_party, context.now)
    served = await get_objects(message, msgspec.structs.replace(context, records=records), AGREEMENTS)
    request = message.request
    if request is None or (not (request.id or request.query) and await records.has_more_customers()):
        finding = finding_of(
            "EXC-112",
            "/RequestMessage/Request",
            f"more than {MOST_CUSTOMERS} customers have given a consent; agreements of the first are sent",
            "identifiers, or the list for reconciliation, which goes through all",
            _OUR_RULE,
        )
        served = msgspec.structs.replace(served, findings=(*served.findings, warning_of(finding)))
    return served


async def _get_list(options: Sequence[Option], context: ServingContext) -> Served:
    """A page of the list for reconciliation; the finding that it goes on names the option that asks for the rest."""
    given = {one.name.strip(): (one.value or "").strip() for one in options}
    try:
        page = await reconcile(
            context.records,
            context.third_party,
            as_of=_instant(given.get("asOf")),
            changed_since=_instant(given.get("changedSince")),
            after=given.get("after", ""),
            limit=min(max(int(given.get("limit") or _PAGE), 1), LIMIT),
            now=context.now,
        )
    except ValueError as error:
        finding = finding_of(
            "EXC-110",
            "/RequestMessage/Request/Option",
            f"an option that cannot be read ({type(error).__name__})",
            "asOf and changedSince with an instant and its offset, limit with a number, after as the page before said",
            _OUR_RULE,
        )
        return Served(result=Result.FAILED, findings=(finding,))
    payload = AGREEMENTS.join([one.as_agreement() for one in page.items])
    if page.after is None:
        return Served(result=Result.OK, payload=payload)
    found = f"{len(page.items)} agreements; there are more"
    more = finding_of("EXC-112", "/RequestMessage/Request", found, f"option after with {page.after}", _OUR_RULE)
    return Served(result=Result.PARTIAL, findings=(warning_of(more),), payload=payload)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if instant.tzinfo is None:
        raise ValueError(text)
    return as_utc(instant)


async def check_consent(
    context: ServingContext, said: Said[CustomerAgreement], *bodies: CustomerAgreement
) -> Finding | None:
    """BUS-160 where a third party does not have the customers' consent to deal with agreements; None if it has.

    Args:
        context: Who asks.
        said: The agreement as the message has it.
        bodies: The agreement before and after what is asked; the customers of both have to consent.
    """
    if not context.third_party:
        return None
    sight = Sight(context.records, context.third_party, context.now)
    for body in bodies:
        if Scope.CONTRACT not in await sight.scopes(body):
            return _no_consent(said, context.third_party)
    before, after = bodies[0], bodies[-1]
    said_before = before.auxiliary_agreements if len(bodies) > 1 else ()
    if _consents_in(said_before) != _consents_in(after.auxiliary_agreements):
        return not_for_third_parties(said.path, "a consent; it is the customer's to give")
    if len(bodies) > 1 and AGREEMENTS.labels(before) != AGREEMENTS.labels(after):
        twin = await find_twin(context.records, AGREEMENTS, after, after.mrid)
        if twin is not None:  # which the third party may not see, and could not find
            return refused("REF-102", said, AGREEMENTS, "a name that another agreement has", "another name")
    return None


async def hear_consents(
    context: ServingContext,
    said: Said[CustomerAgreement],
    before: CustomerAgreement | None,
    now: CustomerAgreement,
) -> Finding | None:
    """Keep the consents that an agreement says and did not say before, and withdraw those that it says no longer.

    BUS-164 for one that cannot be read, or whose customer is not known.
    """
    old = _consents_in(before.auxiliary_agreements if before is not None else ())
    new = _consents_in(now.auxiliary_agreements)
    if old == new:
        return None
    customers = await customers_of(context.records, now.customer)
    unread = [one for one in new - old if isinstance(one, str)]
    if unread or not customers:
        found = unread[0] if unread else "no customer whose consent it is"
        return refused("BUS-164", said, AGREEMENTS, found, f"{GRAMMAR}; and who the customer is", _OUR_RULE)
    gone = [Spoken(third_party=one.third_party, scopes=()) for one in old - new if isinstance(one, Spoken)]
    for one in (*gone, *(one for one in new - old if isinstance(one, Spoken))):
        for customer in customers:
            await _hear(context, customer, one)
    return None


async def _hear(context: ServingContext, customer: MRID, spoken: Spoken) -> None:
    records, now, by = context.records, context.now, context.header.source or ""
    party = spoken.third_party
    if not spoken.scopes:
        await withdraw(records, customer=customer, third_party=party, now=now, said_by=by)
        return
    await give(
        records,
        customer=customer,
        third_party=party,
        scopes=spoken.scopes,
        from_at=spoken.from_at or now,
        until_at=spoken.until_at,
        now=now,
        said_by=by,
    )


def not_for_third_parties(path: str, what: str) -> Finding:
    """BUS-163."""
    return finding_of("BUS-163", path, what, "what a third party may ask for", _OUR_RULE)


def _consents_in(sides: tuple[AuxiliaryAgreementIdentity, ...]) -> frozenset[Spoken | str]:
    """What side agreements say of consents, read or, as text, not."""
    return frozenset(one for side in sides if (one := spoken_in(side)) is not None)


def _no_consent(said: Said[CustomerAgreement], third_party: str) -> Finding:
    return refused(
        "BUS-160",
        said,
        AGREEMENTS,
        f"no consent with the scope {Scope.CONTRACT} of the customer to {third_party}",
        "the customer's consent, given to the utility first",
        CLAUSE,
    )


def _check_question(message: RequestMessage) -> Finding | None:
    """A question by a number that is not shown would tell whether it is right."""
    request = message.request
    if request is None:
        return None
    query = request.query
    by_name = isinstance(query, GetCustomerAgreements) and any(
        labels_of(one) for one in (*query.customer, *query.customer_account)
    )
    if by_name or any(one.object_type in _ASKED_BY_NAME and one.kind is not IDKind.uuid for one in request.id):
        accepted = "the mRID of the customer or account, or the agreement, place or supplier"
        return finding_of(
            "BUS-163", "/RequestMessage/Request", "a question by number of a customer or account", accepted, _OUR_RULE
        )
    return None
