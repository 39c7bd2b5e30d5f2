"""Bodies of requests of the REST interface: read up to a length and within a time, and who asks."""

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import Request

from cimcare.errors import InputError, finding_of

__all__ = ["LONGEST_BODY", "actor_of", "read_json", "read_raw"]

LONGEST_BODY = 64 * 1024
"""Bytes of what is asked for."""

_BODY_SECONDS = 30.0
_LONGEST_ACTOR = 100

T = TypeVar("T")


async def read_json(request: Request, kind: type[T]) -> T:
    """The object in JSON that was sent.

    Raises:
        InputError: NET-102 it is not said to be JSON, XML-103 too long, NET-106 not there in time, COD-105 not of the
            form that is wanted.
    """
    path = request.url.path
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":  # which a page in a browser cannot send here without asking first
        found = f"content type {media_type}" if media_type else "no content type"
        raise InputError(finding_of("NET-102", path, found, "application/json"))
    raw = await read_raw(request, most=LONGEST_BODY, seconds=_BODY_SECONDS)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(finding_of("COD-105", path, str(error), "one object in JSON, in UTF-8", "RFC 8259")) from error


async def read_raw(request: Request, *, most: int, seconds: float) -> bytes:
    """The bytes that were sent: at most so many, within so many seconds.

    Raises:
        InputError: XML-103 too long, NET-106 not there in time.
        ClientDisconnect: Nobody is there to be answered.
    """
    path, raw = request.url.path, b""
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                raw += piece
                if len(raw) > most:
                    raise InputError(finding_of("XML-103", path, f"{len(raw)} bytes or more", f"at most {most} bytes"))
    except TimeoutError as error:
        found = f"{len(raw)} bytes of a body that did not arrive within {seconds:g} s"
        raise InputError(finding_of("NET-106", path, found, "the whole body in that time")) from error
    return raw


def actor_of(request: Request, otherwise: str = "") -> str:
    """Who asks: what it says of itself, which nobody checks; without that `otherwise`, or its address."""
    given = request.headers.get("x-actor", "").encode("latin-1").decode("utf-8", "replace")
    said = "".join(sign for sign in given if sign.isprintable()).strip()
    if said:
        return said[:_LONGEST_ACTOR]
    if otherwise:
        return otherwise
    return request.client.host if request.client is not None else "api"
