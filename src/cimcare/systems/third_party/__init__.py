"""Built-in third party: a retailer or market hub that keeps a copy of the agreements it is told of.

Owner of nothing (IEC 61968-8:2015, clause 5.7).
"""

from cimcare.exchange.ports import EventHandler, Handler
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.systems.keeping import listeners_of
from cimcare.systems.objects import kind_of

__all__ = ["AGREEMENTS", "COLLECTIONS", "LISTENS", "SERVES"]

AGREEMENTS = kind_of(Noun.CUSTOMER_AGREEMENTS, Role.THIRD_PARTY, CustomerAgreement)
"""Agreements as their owner told of them."""

SERVES: dict[tuple[Verb, Noun], Handler] = {}
"""Requests that this system serves: none."""

LISTENS: dict[tuple[Verb, Noun], EventHandler] = {**listeners_of(AGREEMENTS)}
"""Events that this system takes."""

COLLECTIONS = (AGREEMENTS.collection,)
"""What this system keeps."""
