"""What all pages of the console have: the frame they are shown in, how problems are told, and how forms are taken."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cimcare.console.rendering import Rendering
from cimcare.console.sharing import MADE_AT, Sharing, made_of
from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.bodies import LONGEST_BODY, read_raw
from cimcare.hub.rest.filters import FilterError
from cimcare.hub.rest.inside import Inside

__all__ = ["Area", "Frame", "Handler", "Page", "Sent", "itself_of", "read_sent"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_FORM_SECONDS = 30.0
_TELLING = ("hx-request", "x-actor")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Page(msgspec.Struct, frozen=True):
    """One address below `/console` and who answers there; one that `takes_form` is sent a form (POST)."""

    path: str
    handler: Handler
    takes_form: bool = False


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """Pages that belong together, with one word in the menu.

    `href` is where the menu leads; `starts` are starts of addresses at which the word is marked, besides `href` itself.
    """

    title: str
    href: str
    pages: Sequence[Page]
    starts: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Whether a page of this address belongs here."""
        return path == self.href or any(path.startswith(start) for start in self.starts)


class Sent(msgspec.Struct, frozen=True):
    """What a form has in it: each field by name, with all its values as they were written, without space around."""

    fields: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """The first value of a field; empty if there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All values of a field that are not empty."""
        return [value.strip() for value in self.fields.get(name, ()) if value.strip()]


async def read_sent(request: Request) -> Sent:
    """The fields of a form.

    Raises:
        InputError: NET-102 it is not a form, XML-103 it is too long, NET-106 it is not there in time.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    wanted = "application/x-www-form-urlencoded"
    if media_type != wanted:
        raise InputError(finding_of("NET-102", request.url.path, f"content type {media_type or 'none'}", wanted))
    raw = await read_raw(request, most=LONGEST_BODY, seconds=_FORM_SECONDS)
    return Sent(parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True))


class Frame:
    """The frame of all pages over one hub.

    Attributes:
        inside: The hub.
        rendering: The templates.
        sharing: What others who watch have just looked up.
    """

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        self.rendering = Rendering()
        self.sharing = Sharing(inside.clock)
        self._areas: tuple[Area, ...] = ()

    def routes(self, areas: Sequence[Area]) -> list[Route]:
        """The routes of the areas, which make the menu in this order."""
        self._areas = tuple(areas)
        return [
            Route(page.path, self.guarded(page), methods=["POST"] if page.takes_form else ["GET"])
            for area in areas
            for page in area.pages
        ]

    @property
    def may_act(self) -> bool:
        """Whether pages may change something here: `console.acts`."""
        acts = self.inside.settings.console.acts
        return acts == "always" or (acts == "local" and self.inside.settings.host in _LOOPBACK)

    def guarded(self, page: Page) -> Handler:
        """What goes wrong is told as a page; a form is taken only from a page of this console, and where it may act."""

        async def guarded(request: Request) -> Response:
            path = request.url.path
            self.sharing.begin(request)
            try:
                if page.takes_form and not _is_from_here(request):
                    found, accepted = "sent by a page from elsewhere", "a page of this console"
                    return self.problem(request, finding_of("EXC-126", path, found, accepted), 403)
                if page.takes_form and not self.may_act:
                    found = f"console.acts = {self.inside.settings.console.acts}, host = {self.inside.settings.host}"
                    return self.problem(request, finding_of("EXC-127", path, found, 'console.acts = "always"'), 403)
                if page.takes_form:
                    return await page.handler(request)
                shown = await self.sharing.look(request, _asked(request), lambda: page.handler(request))
                shown.headers[MADE_AT] = made_of(request)
                return shown
            except FilterError as error:
                return self.problem(request, error.finding, 400)
            except InputError as error:
                return self.problem(request, error.finding, 400)
            except StoreError as error:
                found, accepted = "the database cannot be used now", "a later attempt"
                return self.problem(request, finding_of(error.code, path, found, accepted), 503)

        return guarded

    def problem(self, request: Request, finding: Finding, status: int) -> Response:
        """A page that tells a finding."""
        return self.show(request, "problem.html", {"finding": finding, "status": status}, status=status)

    def show(
        self,
        request: Request,
        template: str,
        values: Mapping[str, object],
        *,
        status: int = 200,
        images: str = "",
    ) -> Response:
        """A page. Templates know `path`, `context`, `menu`, `may_act`, `itself` and `made` beside the values.

        `itself` is the address at which the page is had again, empty if it answers a form; `made` is the instant from
        which on was looked up what it shows. `images` is an origin from which this page may have images besides those
        of the hub.
        """
        path = request.url.path
        context = self.inside.settings.hub.context
        menu = [(area.href, area.title, area.has(path)) for area in self._areas]
        given = {
            "path": path,
            "context": context,
            "menu": menu,
            "may_act": self.may_act,
            "itself": itself_of(request),
            "made": made_of(request),
        }
        return self.rendering.page(template, {**given, **values}, status=status, images=images)


def itself_of(request: Request) -> str:
    """Address at which a page is had again; empty for what answers a form."""
    if request.method == "POST":
        return ""
    query = request.url.query
    return quote(request.url.path) + (f"?{query}" if query else "")


def _asked(request: Request) -> tuple[str, ...]:
    """What an answer depends on: who are shown the same must have asked the same."""
    return (request.url.path, request.url.query, *(request.headers.get(name, "") for name in _TELLING))


def _is_from_here(request: Request) -> bool:
    """Whether a browser says that the page it shows is of this address; what is no browser says nothing."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    if site:
        return site in ("same-origin", "none")
    return not origin or origin.partition("://")[2] == request.headers.get("host", "")
