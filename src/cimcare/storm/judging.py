"""What an answer amounts to, seen at a glance: the bytes are searched, and only the unexpected is parsed. Pure."""

import re
from enum import IntEnum
from typing import NamedTuple

from cimcare.client.answers import read_body
from cimcare.errors import InputError
from cimcare.model.envelope import FaultMessage, ResponseMessage, Result

__all__ = ["ACCEPTED", "UNANSWERED", "Outcome", "Verdict", "find_estimate", "judge"]


class Outcome(IntEnum):
    """What became of a message.

    `BUSY` is a refusal as one too many (reply code 5.1, HTTP status 503 or 429). `BROKEN` lost its connection before
    the answer, `TIMEOUT` waited too long for it, `UNREACHABLE` got no connection, `UNSENT` was still waiting for a
    free connection when its time was over.
    """

    OK = 0
    PARTIAL = 1
    BUSY = 2
    FAILED = 3
    FAULT = 4
    UNREADABLE = 5
    BROKEN = 6
    TIMEOUT = 7
    UNREACHABLE = 8
    UNSENT = 9


ACCEPTED = frozenset({Outcome.OK, Outcome.PARTIAL})
UNANSWERED = frozenset({Outcome.BROKEN, Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.UNSENT})

_PATTERNS = (
    (Outcome.OK, (b"Result>OK<", b'"Result":"OK"', b'"result":"OK"')),
    (Outcome.PARTIAL, (b"Result>PARTIAL<", b'"Result":"PARTIAL"', b'"result":"PARTIAL"')),
)
_BUSY = (b"code>5.1<", b'"code":"5.1"')
_BUSY_STATUS = frozenset({429, 503})
_GLANCE = 4096
"""The result stands before the payload, so it is looked for here; further behind only by the parser."""

_END = re.compile(rb'end>([^<]+)<|"end":\s*"([^"]+)"')


class Verdict(NamedTuple):
    """Outcome of a message, and for one that was not taken a reason: its codes or what else was found."""

    outcome: Outcome
    reason: str = ""


_OK, _PARTIAL = Verdict(Outcome.OK), Verdict(Outcome.PARTIAL)


def judge(status: int, body: bytes) -> Verdict:
    """Judge an answer by HTTP status and body."""
    if status < 300:
        for found, texts in _PATTERNS:
            for text in texts:
                if body.find(text, 0, _GLANCE) >= 0:
                    return _OK if found is Outcome.OK else _PARTIAL
    if status in _BUSY_STATUS or any(text in body for text in _BUSY):
        return Verdict(Outcome.BUSY, f"5.1, HTTP status {status}")
    return _parsed(status, body)


def _parsed(status: int, body: bytes) -> Verdict:
    try:
        found = read_body(body)
    except InputError as error:
        return Verdict(Outcome.UNREADABLE, f"HTTP status {status}, {error.finding.code} in the answer")
    message = found.message
    if isinstance(message, ResponseMessage) and found.fault is None:
        codes = ", ".join(dict.fromkeys(one.code for one in message.reply.error if one.code != "0.0"))
        if message.reply.result is Result.FAILED or status >= 300:
            return Verdict(Outcome.FAILED, codes or f"no code, HTTP status {status}")
        return _OK if message.reply.result is Result.OK else _PARTIAL
    codes = ", ".join(one.code for one in message.reply.error) if isinstance(message, FaultMessage) else ""
    what = found.fault.code if found.fault is not None else type(message).__name__
    return Verdict(Outcome.FAULT, f"{what} {codes}".strip())


def find_estimate(body: bytes) -> bytes:
    """The instant at which supply may be back, as the answer writes it; empty if it tells none."""
    begin = body.find(b"estimatedPeriod")
    if begin < 0:
        return b""
    is_json = body[begin + 15 : begin + 16] == b'"'
    end = body.find(b"}" if is_json else b"estimatedPeriod", begin + 15)
    found = _END.search(body, begin, end if end > 0 else len(body))
    return (found[1] or found[2]) if found else b""
