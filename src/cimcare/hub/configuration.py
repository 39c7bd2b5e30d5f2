"""The configuration in force, kept in the database so that all processes of a hub go by the same.

Subscriptions that were made by API are objects of their own, beside what the file of settings says.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Collection
from cimcare.exchange.subscriptions import Subscription

__all__ = ["SUBSCRIPTIONS", "OwnSubscription"]


class OwnSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that was made by API.

    `destination` is the partner made for it, None if it leads to one that is there anyway. `created_by` says who
    made it.
    """

    subscription: Subscription
    destination: Partner | None
    created_at: datetime
    created_by: str


SUBSCRIPTIONS = Collection("hub.subscriptions", OwnSubscription)
"""Subscriptions made by API; the mRID of each is its name."""
