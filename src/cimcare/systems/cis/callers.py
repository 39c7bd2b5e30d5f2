"""Recognising who calls: by telephone, by a number of account, customer or place, by name, by address, as typed.

For each of the premises stands a record with the beginnings of all words by which somebody may ask, so that a question
is answered by look-ups of an index, however large the town is.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID, Name
from cimcare.model.values import StreetAddress
from cimcare.systems.cis.wording import shown_address
from cimcare.systems.premises import (
    ACCOUNTS,
    CUSTOMERS,
    AccountRecord,
    CustomerRecord,
    PremisesRecord,
)

__all__ = ["CALLERS", "MOST_FOUND", "SHORTEST_WORD", "Caller", "caller_of", "find_callers", "index_premises"]

MOST_FOUND = 20
"""Callers that are shown; who asks so that more fit has to say more."""

SHORTEST_WORD = 3
"""Characters of the beginning of a word that are looked for; a shorter one has to be the whole word."""

_LONGEST_WORD = 10
"""Characters of a word that are looked up; what is behind them is compared with what was found."""

_LAST_DIGITS = 7
"""Digits by which a telephone number is looked up, since people leave out codes of country and area."""

_WORD = re.compile(r"[^\W_]+")
_SORT = "asked"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may call: the premises and who is supplied there; what is not known is empty."""

    premises: MRID
    place: str
    address: str
    town: str = ""
    usage_point: str = ""
    customer: MRID | None = None
    customer_number: str = ""
    account_number: str = ""
    name: str = ""
    telephone: str = ""
    special_need: str | None = None


CALLERS: Collection[Caller] = Collection("cis.Callers", Caller)
"""Callers by the mRID of their premises."""


def caller_of(
    premises: PremisesRecord, customer: CustomerRecord | None = None, account: AccountRecord | None = None
) -> Caller:
    """What is known of somebody who calls from these premises."""
    return Caller(
        premises=premises.mrid,
        place=_first(premises.names),
        address=shown_address(premises.address),
        town=_town_of(premises.address),
        usage_point=_first(premises.usage_point_names),
        customer=customer.mrid if customer is not None else None,
        customer_number=_first(customer.names) if customer is not None else "",
        account_number=_first(account.names) if account is not None else "",
        name=customer.full_name if customer is not None else "",
        telephone=customer.telephone if customer is not None else "",
        special_need=customer.special_need if customer is not None else None,
    )


async def index_premises(records: Records, premises: Stored[PremisesRecord]) -> None:
    """Bring what callers are recognised by up to the directory."""
    body = premises.body
    customer = await records.find(CUSTOMERS, body.customer) if body.customer is not None else None
    account = await records.find(ACCOUNTS, body.account) if body.account is not None else None
    caller = caller_of(
        body, customer.body if customer is not None else None, account.body if account is not None else None
    )
    known = await records.find(CALLERS, premises.mrid)
    if known is not None and known.body == caller:
        return
    stored = Stored(
        mrid=premises.mrid,
        body=caller,
        created_at=known.created_at if known is not None else premises.created_at,
        modified_at=premises.modified_at,
        keys=keys_of(caller),
    )
    await records.save(CALLERS, stored)


async def find_callers(records: Records, asked: str) -> tuple[tuple[Stored[Caller], ...], bool]:
    """Who fits what was typed, at most `MOST_FOUND`, and whether there are more.

    A number is looked for as a whole, then as the end of a telephone number, then with all other words as the beginning
    of a word of name or address. Nothing is found by words that are all too short.
    """
    number = _squeezed(asked)
    exact = await records.select(CALLERS, Selection(keys=((Key(_SORT, f"={number}"),),), limit=MOST_FOUND + 1))
    if number and exact:
        return exact[:MOST_FOUND], len(exact) > MOST_FOUND
    digits = "".join(sign for sign in asked if sign.isdigit())
    if len(digits) >= _LAST_DIGITS and not any(sign.isalpha() for sign in asked):
        return await _by_telephone(records, digits)
    words = _words(asked)
    if not any(len(word) >= SHORTEST_WORD for word in words):
        return (), False
    groups = tuple((Key(_SORT, _beginning(word)),) for word in dict.fromkeys(words))
    found = await records.select(CALLERS, Selection(keys=groups, limit=MOST_FOUND + 1))
    long = [word for word in words if len(word) > _LONGEST_WORD]
    fitting = tuple(one for one in found if all(_has_beginning(one.body, word) for word in long))
    return fitting[:MOST_FOUND], len(found) > MOST_FOUND


async def _by_telephone(records: Records, digits: str) -> tuple[tuple[Stored[Caller], ...], bool]:
    key = Key(_SORT, f"t{digits[-_LAST_DIGITS:]}")
    found = await records.select(CALLERS, Selection(keys=((key,),), limit=MOST_FOUND + 1))
    fitting = tuple(one for one in found if _is_number(_digits(one.body.telephone), digits))
    return fitting[:MOST_FOUND], len(found) > MOST_FOUND


def _is_number(known: str, asked: str) -> bool:
    """Whether two numbers are one, of which either may lack codes, or have a zero in place of the country's."""
    short, long = sorted((known.lstrip("0"), asked.lstrip("0")), key=len)
    return long.endswith(short)


def keys_of(caller: Caller) -> frozenset[Key]:
    """Keys under which a caller is found."""
    values = {f"={_squeezed(text)}" for text in (caller.place, caller.usage_point, *_numbers(caller)) if text}
    values |= {f"={mrid.casefold()}" for mrid in (caller.premises, caller.customer) if mrid}
    digits = _digits(caller.telephone)
    if len(digits) >= _LAST_DIGITS:
        values.add(f"t{digits[-_LAST_DIGITS:]}")
    for word in _words(f"{caller.name} {caller.address} {caller.town}"):
        values.add(f"{word[:_LONGEST_WORD]}.")
        values.update(word[:end] for end in range(SHORTEST_WORD, min(len(word), _LONGEST_WORD) + 1))
    return frozenset(Key(_SORT, value) for value in values)


def _beginning(word: str) -> str:
    """What a word is looked up by: its beginning, or all of it where it is short."""
    return word[:_LONGEST_WORD] if len(word) >= SHORTEST_WORD else f"{word}."


def _has_beginning(caller: Caller, word: str) -> bool:
    return any(known.startswith(word) for known in _words(f"{caller.name} {caller.address} {caller.town}"))


def _words(text: str) -> list[str]:
    """Words without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(sign for sign in plain if not unicodedata.combining(sign)))


def _squeezed(text: str) -> str:
    """A number without case, blanks and hyphens; an mRID keeps its hyphens."""
    plain = text.strip().casefold()
    return plain if len(plain) >= 32 else "".join(_words(plain))


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _numbers(caller: Caller) -> Iterator[str]:
    yield caller.customer_number
    yield caller.account_number


def _first(names: Iterable[Name]) -> str:
    return next((name.name for name in names), "")


def _town_of(address: StreetAddress) -> str:
    town = address.town_detail
    return (town.name or "") if town is not None else ""
