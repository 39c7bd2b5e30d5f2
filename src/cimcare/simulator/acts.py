"""What a simulated partner can do with one message, well and badly, and how that is written.

An act is written as a word, some with parameters behind colons: `accept`, `slow:2.5`, `refuse:6.1`, `later:2:0.5:3`.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from cimcare.errors import CimcareError

__all__ = ["MEANINGS", "WITHOUT_EFFECT", "Act", "BehaviourError", "Deed", "parse_deed"]


class BehaviourError(CimcareError):
    """A behaviour, or the file that describes it, cannot be used."""

    code = "SIM-101"


class Act(StrEnum):
    """What is done with one message; `MEANINGS` says it in a sentence each."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    FAULT = "fault"
    REDIRECT = "redirect"
    HANG = "hang"
    SLOW = "slow"
    DRIP = "drip"
    DIE = "die"
    HALF_CLOSE = "half-close"
    RESET = "reset"
    TRUNCATE = "truncate"
    GARBAGE = "garbage"
    WRONG_TYPE = "wrong-type"
    HUGE = "huge"
    WRONG_ID = "wrong-id"
    TWICE = "twice"
    LATER = "later"
    OUT_OF_ORDER = "out-of-order"


WITHOUT_EFFECT = frozenset({Act.REFUSE, Act.BUSY, Act.UNAVAILABLE, Act.FAULT, Act.REDIRECT, Act.HANG})
"""Acts by which nothing is done of what was asked for; by all others it is done, whatever the sender hears of it."""


MEANINGS: dict[Act, tuple[str, str]] = {
    Act.ACCEPT: ("accept", "does what is asked, and answers at once"),
    Act.REFUSE: (
        "refuse[:CODE]",
        "FAILED with that code, 2.15 if none is given; what was done is not refused later",
    ),
    Act.BUSY: ("busy", "FAILED with 5.1"),
    Act.UNAVAILABLE: ("unavailable[:SECONDS]", "HTTP status 503 with Retry-After, 1 second if none is given"),
    Act.FAULT: ("fault[:client]", "a fault that blames itself, or the sender"),
    Act.REDIRECT: ("redirect[:URL]", "HTTP status 307 to that address, or to one of its own"),
    Act.HANG: ("hang", "never answers"),
    Act.SLOW: ("slow:SECONDS", "does it at once, and answers after that time"),
    Act.DRIP: ("drip:SECONDS", "does it, and answers in small pieces over that time"),
    Act.DIE: ("die", "does it, sends half of the answer, and closes the connection"),
    Act.HALF_CLOSE: ("half-close", "does it, sends half of the answer, says no more and keeps listening"),
    Act.RESET: ("reset", "does it, and resets the connection without an answer"),
    Act.TRUNCATE: (
        "truncate",
        "does it, and answers with half a document, in a whole HTTP answer",
    ),
    Act.GARBAGE: ("garbage", "does it, and answers with a page that is no message"),
    Act.WRONG_TYPE: ("wrong-type", "does it, and answers rightly as text/html"),
    Act.HUGE: ("huge[:MEGABYTES]", "does it, and answers with that much that is no message, 40 if none is given"),
    Act.WRONG_ID: ("wrong-id", "does it, and answers with the CorrelationID of another message"),
    Act.TWICE: ("twice", "does it once, and says the answer, and the event that follows, two times"),
    Act.LATER: (
        "later[:PARTS[:SECONDS[:TIMES]]]",
        "acknowledges a request that has a ReplyAddress with 0.3, and replies there after that time: so many PARTIAL "
        "ones with 0.1, then the last one so many times",
    ),
    Act.OUT_OF_ORDER: (
        "out-of-order[:PARTS[:SECONDS[:TIMES]]]",
        "as `later` with 2 parts, the last reply first; the event that follows goes behind the next, or a second late",
    ),
}
"""How each act is written, and what it means."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """An act with what belongs to it.

    `code` is the reply code of a refusal, `blames_sender` the side that a fault blames, `seconds` a pause, `parts` and
    `times` how many replies come later and how often the last of them, `megabytes` how much a huge answer has,
    `address` where a redirect leads.
    """

    act: Act = Act.ACCEPT
    code: str = "2.15"
    blames_sender: bool = False
    seconds: float = 0.0
    parts: int = 0
    times: int = 1
    megabytes: int = 0
    address: str = ""


def parse_deed(text: str) -> Deed:
    """Deed out of its text.

    Raises:
        BehaviourError: It is none, or has a parameter that does not belong to it.
    """
    name, _, rest = text.strip().partition(":")
    try:
        act = Act(name)
    except ValueError as error:
        raise BehaviourError(f"{text!r} is no act; acts are {', '.join(Act)}") from error
    build = _PARAMETERS.get(act)
    if build is None:
        if rest:
            raise BehaviourError(f"{text!r}: {name} takes nothing behind it")
        return Deed(act=act)
    try:
        return build(act, rest)
    except ValueError as error:
        raise BehaviourError(f"{text!r}: {error}; {_ACCEPTED[act]}") from error


def _refusal(act: Act, rest: str) -> Deed:
    return Deed(act=act, code=rest or "2.15")


def _fault(act: Act, rest: str) -> Deed:
    if rest not in ("", "client"):
        raise ValueError(f"{rest} is no side")
    return Deed(act=act, blames_sender=rest == "client")


def _pause(act: Act, rest: str) -> Deed:
    return Deed(act=act, seconds=_number(rest))


def _short_pause(act: Act, rest: str) -> Deed:
    return Deed(act=act, seconds=_number(rest or "1"))


def _later(act: Act, rest: str) -> Deed:
    parts, seconds, times, *more = [*rest.split(":"), "", "", ""] if rest.count(":") < 3 else rest.split(":")
    if any(more):
        raise ValueError(f"{':'.join(more)} is too much")
    default = "2" if act is Act.OUT_OF_ORDER else "0"
    deed = Deed(act=act, parts=int(parts or default), seconds=_number(seconds or "0"), times=int(times or 1))
    if deed.parts < 0 or deed.times < 1:
        raise ValueError("a number that is too small")
    return deed


def _huge(act: Act, rest: str) -> Deed:
    size = int(rest or 40)
    if not 1 <= size <= 4096:
        raise ValueError(f"{size} is no size")
    return Deed(act=act, megabytes=size)


def _redirect(act: Act, rest: str) -> Deed:
    return Deed(act=act, address=rest)


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 86_400:
        raise ValueError(f"{text} is no pause")
    return number


_PARAMETERS: dict[Act, Callable[[Act, str], Deed]] = {
    Act.REFUSE: _refusal,
    Act.FAULT: _fault,
    Act.UNAVAILABLE: _short_pause,
    Act.SLOW: _pause,
    Act.DRIP: _pause,
    Act.LATER: _later,
    Act.OUT_OF_ORDER: _later,
    Act.HUGE: _huge,
    Act.REDIRECT: _redirect,
}
_ACCEPTED = {
    Act.REFUSE: "write refuse or refuse:CODE",
    Act.FAULT: "write fault or fault:client",
    Act.UNAVAILABLE: "write unavailable or unavailable:SECONDS",
    Act.SLOW: "write slow:SECONDS, 0 to 86400",
    Act.DRIP: "write drip:SECONDS, 0 to 86400",
    Act.LATER: "write later[:PARTS[:SECONDS[:TIMES]]]",
    Act.OUT_OF_ORDER: "write out-of-order[:PARTS[:SECONDS[:TIMES]]]",
    Act.HUGE: "write huge or huge:MEGABYTES, 1 to 4096",
    Act.REDIRECT: "write redirect or redirect:URL",
}
