"""Routes of the outage board, of single incidents, and of the map."""

from datetime import timedelta
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cimcare.console.frame import Area, Frame, Page, Sent, read_sent
from cimcare.console.incidents.answers import Said, find_said
from cimcare.console.incidents.board import Board, Certainty, Filters, Progress, look_at_board, select_rows, total
from cimcare.console.incidents.drawing import draw_sign, draw_town
from cimcare.console.incidents.ground import survey
from cimcare.console.incidents.layout import Layout, has_places, lay_out
from cimcare.console.incidents.mapping import Supply, look_at_map
from cimcare.console.incidents.reading import MOST_LISTED, MOST_POINTS, Seen, find_incident
from cimcare.console.incidents.saying import Typed, saying_of
from cimcare.console.messages.browsing import list_messages
from cimcare.errors import Finding, InputError, finding_of
from cimcare.hub.acts.asking import MessageRefusedError
from cimcare.hub.acts.estimate_rules import alter_estimate_rules
from cimcare.hub.config.tiles import origin_of
from cimcare.hub.rest.bodies import actor_of
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.systems.oms.estimates import StormMode
from cimcare.systems.oms.kinds import INCIDENTS, OPEN
from cimcare.systems.oms.sayings import Saying, build_cancellation
from cimcare.systems.wms.crews import load_crews, name_of_crew

__all__ = ["incidents_area"]

_MOST_ROWS = 200
"""Rows of one table of the board; what is worst is among them."""

_MOST_MESSAGES = 15
_GOES_ON = timedelta(hours=1)
"""How long after its end an incident is looked at again by itself: notices and customer-minutes follow it."""

_STATES = (
    Progress.NOBODY.value,
    Progress.DISPATCHED.value,
    Progress.EN_ROUTE.value,
    Progress.ON_SITE.value,
    "partly back",
    "planned",
    "life support",
    "no time",
    *(one.value for one in Certainty),
)


def incidents_area(frame: Frame) -> Area:
    """The outages of a hub."""
    pages = _Incidents(frame)
    return Area(
        title="Incidents",
        href="/console/incidents",
        starts=("/console/incidents/", "/console/map"),
        pages=[
            Page("/incidents", pages.board),
            Page("/incidents/storm", pages.switch_storm, takes_form=True),
            Page("/map", pages.map),
            Page("/incidents/{mrid}", pages.incident),
            Page("/incidents/{mrid}", pages.say, takes_form=True),
        ],
    )


def _values(board: Board, wanted: Filters) -> dict[str, object]:
    rows = select_rows(board.rows, wanted)
    waiting = [row for row in rows if row.is_waiting]
    served = [row for row in rows if not row.is_waiting and not row.is_planned]
    planned = [row for row in rows if row.is_planned]
    return {
        "board": board,
        "now": board.at,
        "totals": total(board.rows),
        "wanted": wanted,
        "most": _MOST_ROWS,
        "groups": [
            ("waiting", "Nobody is working on these", waiting),
            ("served", "Somebody is working on these", served),
            ("planned", "Planned work", planned),
        ],
    }


class _Incidents:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def board(self, request: Request) -> Response:
        wanted = _read_filters(request)
        inside = self._frame.inside
        board = await self._look(request)
        values = {
            **_values(board, wanted),
            "states": _STATES,
            "is_built_in": inside.acting.is_built_in(Role.OMS),
        }
        return self._frame.show(request, "incidents/board.html", values)

    async def switch_storm(self, request: Request) -> Response:
        """Switch storm assessment on or off, or let it follow from the number of outages."""
        inside, given = self._frame.inside, (await read_sent(request)).one("mode")
        if given not in frozenset(StormMode):
            accepted = f"one of {', '.join(StormMode)}"
            raise InputError(finding_of("EXC-128", request.url.path, f"mode {given[:100]!r}", accepted))
        inside.acting.require_built_in(Role.OMS)
        changes = {"storm": StormMode(given)}
        await alter_estimate_rules(inside.store, changes, actor=actor_of(request), now=inside.clock())
        return RedirectResponse("/console/incidents", 303)

    async def map(self, request: Request) -> Response:
        """The network, from the sources or a device down, with what is out."""
        given = request.query_params
        board = await self._look(request)
        root, feeder = given.get("root", "").strip(), given.get("feeder", "").strip()
        rows = select_rows(board.rows, Filters())
        town = await look_at_map(self._frame.inside.reader.records, rows, root=root, feeder=feeder)
        if town is None:
            found = f"no device {root}" if root else f"no feeder {feeder}"
            finding = finding_of("REF-130", request.url.path, found, "a device or feeder of the network model")
            return self._frame.problem(request, finding, 404)
        knows = has_places(town.roots)
        layout = Layout.PLACES if knows and given.get("as", "") == Layout.PLACES else Layout.SCHEME
        nodes = town.nodes()
        names = {node.device.mrid: node.device.name for node in nodes}
        out = sum(row.out for row in town.rows)
        ground = survey(town.roots) if layout is Layout.PLACES else None
        settings = self._frame.inside.settings.console
        has_tiles = ground is not None and ground.bounds is not None and bool(settings.tiles)
        values = {
            "town": town,
            "now": board.at,
            "layout": layout.value,
            "has_places": knows,
            "drawing": draw_town(lay_out(town.roots, layout), f"{len(nodes)} devices, {out} customers out", ground),
            "tiles": settings if has_tiles else None,
            "unknown": ground.unknown if ground is not None else 0,
            "legend": [(supply.value, draw_sign(supply, 6, 9, 9)) for supply in Supply],
            "nodes": [(node, names.get(node.device.upstream) if node.device.upstream else None) for node in nodes],
            "hidden": sum(node.hidden for node in nodes),
            "feeders": sorted({node.device.feeder for node in nodes if node.device.feeder}),
        }
        images = origin_of(settings.tiles) if has_tiles else ""
        return self._frame.show(request, "incidents/map.html", values, images=images)

    async def _look(self, request: Request) -> Board:
        """The board; one look for all its filters and all maps that go on at once."""
        inside = self._frame.inside
        return await self._frame.sharing.look(
            request, _Incidents, lambda: look_at_board(inside.reader.records, inside.clock())
        )

    async def incident(self, request: Request) -> Response:
        """One incident."""
        seen = await self._find(request)
        if seen is None:
            return self._no_incident(request)
        said = await find_said(self._frame.inside, request.query_params, seen)
        return await self._show_incident(request, seen, said=said)

    async def say(self, request: Request) -> Response:
        """Somebody says something of an incident; what is refused is shown with what was typed."""
        inside, sent = self._frame.inside, await read_sent(request)
        seen = await self._find(request)
        if seen is None:
            return self._no_incident(request)
        act = sent.one("act")
        try:
            saying = saying_of(act, seen, Typed(sent, inside.clock(), request.url.path), inside.new_id)
            message_id = MessageID(inside.new_id())
            await self._ask(request, saying, message_id)
            left = await inside.reader.records.find(INCIDENTS.collection, seen.row.mrid) if act == "merge" else None
            if left is not None and left.state == OPEN:  # it was confirmed, and does not end by itself
                await self._ask(request, build_cancellation(left.mrid, who=sent.one("who")), MessageID(inside.new_id()))
        except (InputError, MessageRefusedError) as error:
            return await self._show_incident(request, seen, sent=sent, refusal=error.finding)
        shown = saying.incident.mrid if act in ("split", "merge") else seen.row.mrid
        told = urlencode({"did": act, "said": message_id})
        return RedirectResponse(f"/console/incidents/{quote(shown or seen.row.mrid, '')}?{told}", 303)

    async def _ask(self, request: Request, saying: Saying, message_id: MessageID) -> None:
        await self._frame.inside.asking.ask(
            saying.verb,
            Noun.INCIDENTS,
            actor=actor_of(request),
            role=Role.OMS,
            message_id=message_id,
            payload=saying.payload,
        )

    async def _find(self, request: Request) -> Seen | None:
        inside, after = self._frame.inside, request.query_params.get("after", "")
        mrid = MRID(request.path_params["mrid"])
        return await find_incident(inside.reader.records, mrid, inside.clock(), MRID(after) if after else None)

    async def _show_incident(
        self,
        request: Request,
        seen: Seen,
        *,
        said: Said | None = None,
        sent: Sent | None = None,
        refusal: Finding | None = None,
    ) -> Response:
        inside = self._frame.inside
        crews = await load_crews(inside.reader.records)
        about = [("object", seen.row.mrid), ("limit", str(_MOST_MESSAGES))]
        values = {
            "messages": (await list_messages(inside, about)).items,
            "seen": seen,
            "said": said,
            "typed": sent or Sent({}),
            "failed": sent.one("act") if sent is not None else "",
            "refusal": refusal,
            "actor": actor_of(request) if "x-actor" in request.headers else "",
            "device": seen.row.place.removeprefix(f"{seen.row.kind} ") if seen.row.device is not None else "",
            "crews": [name_of_crew(one) for one in crews],
            "is_built_in": inside.acting.is_built_in(Role.OMS),
            "is_live": seen.is_open or (seen.row.ended_at is not None and seen.at - seen.row.ended_at < _GOES_ON),
            "most": MOST_LISTED,
            "most_points": MOST_POINTS,
        }
        status = 200 if refusal is None else 422
        return self._frame.show(request, "incidents/incident.html", values, status=status)

    def _no_incident(self, request: Request) -> Response:
        found = finding_of("REF-103", request.url.path, "no such incident", "mRID of an incident that is kept here")
        return self._frame.problem(request, found, 404)


def _read_filters(request: Request) -> Filters:
    given = request.query_params
    state = given.get("state", "")
    return Filters(
        state=state if state in _STATES else "",
        feeder=given.get("feeder", "").strip(),
        hazards=given.get("hazards", "") == "yes",
    )
