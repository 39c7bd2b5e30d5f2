"""What a get asks for, and the answer.

Filters of the `Get<Noun>` element win over StartTime, EndTime and ID of the Request section. Filters of one kind are
alternatives, filters of different kinds add up. An ID with the class of a related object (all jobs of a crew) is such a
filter. Nothing found for a filter is an empty answer; an ID that nobody has is an error.

Source: IEC 61968-100:2013, Request; the query elements and the options `limit` and `state` are ours.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Key, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import IDKind, ObjectID, Request, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.nouns import NOUNS, Query
from cimcare.model.structure import Structure
from cimcare.systems.identity import RELATED, label_of_id, labels_of, lookup_keys, mrid_of
from cimcare.systems.objects import Kind, Said, as_utc, find_by_id, unknown, warning_of

__all__ = ["LIMIT", "Join", "find_matching", "get_objects"]

BodyT = TypeVar("BodyT", bound=Structure)

LIMIT = 1000
"""Most objects in one answer; `limit` may ask for fewer."""

_UNBOUNDED = 10**9
"""In its place where the answer is sent in pieces."""

_NAMED_BY_STATE = ("state", "status_kind")

Join = Callable[[ServingContext, tuple[Structure, ...]], Awaitable[tuple[Key, ...]]]
"""Keys of the objects asked for, from filters by objects of another noun."""


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: selections that are alternatives, and how many objects at most."""

    selections: tuple[Selection, ...]
    limit: int
    is_limit_asked: bool
    findings: tuple[Finding, ...] = ()
    failed: bool = False


Through = Callable[[ServingContext, tuple[Key, ...]], Awaitable[tuple[Key, ...]]]
"""Keys of the objects asked for, from keys of the objects by which they are found."""


async def get_objects(
    message: RequestMessage,
    context: ServingContext,
    kind: Kind[BodyT],
    joins: Mapping[str, Join] | None = None,
    *,
    through: Through | None = None,
) -> Served:
    """Answer a get.

    `joins` serve the fields of the query element that need more than a key of the object, `through` the IDs of related
    objects.
    """
    wish = await _Reader(message.request or Request(), context, kind, joins or {}, through).read()
    if wish.failed:
        return Served(result=Result.FAILED, findings=wish.findings)
    found: dict[MRID, Stored[BodyT]] = {}
    for selection in wish.selections:
        for stored in await context.records.select(kind.collection, selection):
            found[stored.mrid] = stored
    ordered: Sequence[Stored[BodyT]] = list(found.values())
    if len(wish.selections) > 1:
        ordered = sorted(ordered, key=lambda stored: stored.created_at)
    findings = wish.findings
    if len(ordered) > wish.limit and not wish.is_limit_asked:
        findings = (*findings, _cut_off(wish.limit, kind))
    is_whole = all(finding.code == "EXC-110" for finding in findings)
    return Served(
        result=Result.OK if is_whole else Result.PARTIAL,
        findings=findings,
        payload=kind.join([stored.body for stored in ordered[: wish.limit]]),
    )


def _cut_off(limit: int, kind: Kind[BodyT]) -> Finding:
    return finding_of(
        "EXC-112",
        "/RequestMessage/Request",
        f"more than {limit} objects of {kind.noun} match; the oldest {limit} are sent",
        "narrower filters, or StartTime after the last object sent",
        "IEC 61968-100:2013, Reply/Result",
    )


class _Reader(Generic[BodyT]):
    """Reads one Request section."""

    def __init__(
        self,
        request: Request,
        context: ServingContext,
        kind: Kind[BodyT],
        joins: Mapping[str, Join],
        through: Through | None,
    ) -> None:
        self._through = through
        self._request = request
        self._context = context
        self._kind = kind
        self._joins = joins
        self._findings: list[Finding] = []
        self._states: list[str] = []
        self._most = _UNBOUNDED if context.is_unbounded else LIMIT
        self._limit = self._most
        self._is_limit_asked = False

    async def read(self) -> _Wish:
        self._read_options()
        query, expected = self._request.query, NOUNS[self._kind.noun].query
        if query is not None and not isinstance(query, expected):
            self._findings.append(
                finding_of(
                    "CNV-106",
                    f"/RequestMessage/Request/{query.XML_TYPE}",
                    f"{query.XML_TYPE} in a get of {self._kind.noun}",
                    expected.XML_TYPE,
                    "IEC 61968-100:2013, Request",
                )
            )
            return self._wish((), failed=True)
        filters = _filters_of(self._request.query)
        selections = await self._by_query(filters) if filters else await self._by_request()
        if selections is None:
            return self._wish((), failed=True)
        return self._wish(selections)

    def _wish(self, selections: tuple[Selection, ...], *, failed: bool = False) -> _Wish:
        return _Wish(
            selections=selections,
            limit=self._limit,
            is_limit_asked=self._is_limit_asked,
            findings=tuple(self._findings),
            failed=failed,
        )

    def _read_options(self) -> None:
        for at, option in enumerate(self._request.option, 1):
            name, value = option.name.strip(), (option.value or "").strip()
            if name == "state" and value:
                self._states.append(value)
            elif name == "limit" and value.isascii() and value.isdigit() and 0 < len(value) < 10 and int(value) > 0:
                self._limit = min(int(value), self._most)
                self._is_limit_asked = int(value) <= self._most
            else:
                self._findings.append(
                    warning_of(
                        finding_of(
                            "EXC-110",
                            f"/RequestMessage/Request/Option[{at}]",
                            f"option {name} with value {value} is not served and was ignored",
                            f"limit with a number from 1 to {LIMIT}, or state with a state of {self._kind.noun}",
                            "IEC 61968-100:2013, Request/Option",
                        )
                    )
                )

    def _selection(self, **members: object) -> Selection:
        # One more than wanted shows whether there are more.
        start = Selection(states=tuple(self._states), limit=self._limit + 1)
        return msgspec.structs.replace(start, **members)

    async def _by_request(self) -> tuple[Selection, ...] | None:
        """Selections by ID and time; None if all IDs are unknown."""
        mrids: list[MRID] = []
        groups: dict[str, list[Key]] = {}
        missing = 0
        for at, identifier in enumerate(self._request.id, 1):
            sort = self._kind.references.get(identifier.object_type or "")
            if sort:  # the name of what an object refers to is kept as it stands
                groups.setdefault(sort, []).append(Key(sort, identifier.value.strip()))
                continue
            sort = RELATED.get(identifier.object_type or "")
            if sort and identifier.object_type != self._kind.item_name:
                groups.setdefault(sort, []).extend(_keys_of_id(sort, identifier))
                continue
            found = await find_by_id(self._context.records, self._kind, identifier)
            mrids.extend(stored.mrid for stored in found)
            if not found:
                missing += 1
                said: Said[BodyT] = Said(path=f"/RequestMessage/Request/ID[{at}]", id=identifier)
                self._findings.append(unknown(self._kind, said))
        if missing and missing == len(self._request.id):
            return None
        self._findings = [warning_of(finding) for finding in self._findings]
        if missing and not mrids:  # filters by related objects next to unknown IDs: nothing can match both
            return ()
        related = [tuple(group) for group in groups.values()]
        if self._through is not None:
            related = [await self._through(self._context, group) for group in related]
            if not all(related):
                return ()
        return (
            self._selection(
                mrids=tuple(dict.fromkeys(mrids)),
                keys=tuple(related),
                since=as_utc(self._request.start_time),
                until=as_utc(self._request.end_time),
            ),
        )

    async def _by_query(self, filters: dict[str, tuple[Structure, ...]]) -> tuple[Selection, ...]:
        own = NOUNS[self._kind.noun].item
        groups: list[tuple[Key, ...]] = []
        for field, wanted in filters.items():
            if field == own:
                continue
            if field in self._joins:
                group = await self._joins[field](self._context, wanted)
            else:
                group = tuple(key for one in wanted for key in _keys_of_related(one))
            if not group:
                return ()
            groups.append(group)
        common = self._selection(keys=tuple(groups))
        return tuple(_with_own(common, one) for one in filters.get(own, ())) or (common,)


async def find_matching(
    context: ServingContext, kind: Kind[BodyT], wanted: Sequence[Structure]
) -> tuple[Stored[BodyT], ...]:
    """Objects that match one of these filters by their own members, at most `LIMIT` for each filter."""
    found: dict[MRID, Stored[BodyT]] = {}
    for one in wanted:
        for stored in await context.records.select(kind.collection, _with_own(Selection(limit=LIMIT), one)):
            found[stored.mrid] = stored
    return tuple(found.values())


def _with_own(selection: Selection, wanted: Structure) -> Selection:
    """The selection, narrowed by one filter by the object's own members, all of which must match."""
    keys, mrids, states = selection.keys, selection.mrids, selection.states
    mrid, labels = mrid_of(wanted), labels_of(wanted)
    if mrid:
        mrids = (mrid,)
    if labels:
        keys = (*keys, lookup_keys("name", None, labels))
    for name in wanted.__struct_fields__:
        value = getattr(wanted, name)
        if name in ("mrid", "names", "extensions") or value is None:
            continue
        if name in _NAMED_BY_STATE:
            # A state that the options exclude matches nothing; no object is in the empty one.
            states = (str(value),) if not states or str(value) in states else ("",)
        else:
            keys = (*keys, (Key(name.replace("_", "-"), str(value)),))
    return msgspec.structs.replace(selection, keys=keys, mrids=mrids, states=states)


def _filters_of(query: Query | None) -> dict[str, tuple[Structure, ...]]:
    """Filters that a query states, by field. An element that names nothing is no filter."""
    if query is None:
        return {}
    filters = {}
    for name in query.__struct_fields__:
        value = getattr(query, name)
        stated = tuple(one for one in value if isinstance(one, Structure) and one != type(one)())
        if stated:
            filters[name] = stated
    return filters


def _keys_of_related(wanted: Structure) -> tuple[Key, ...]:
    return lookup_keys(RELATED[wanted.XML_TYPE], mrid_of(wanted), labels_of(wanted))


def _keys_of_id(sort: str, identifier: ObjectID) -> tuple[Key, ...]:
    label = label_of_id(identifier)
    mrid = MRID(label.name) if identifier.kind is IDKind.uuid or not label.type else None
    return lookup_keys(sort, mrid, () if identifier.kind is IDKind.uuid else (label,))
