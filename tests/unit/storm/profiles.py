"""Profiles and plans for the tests of storms."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from cimcare.storm.plan import Plan, draw_plan
from cimcare.storm.profile import Profile

__all__ = ["START", "a_plan", "a_profile"]

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_profile(**values: Any) -> Profile:
    """A storm of two minutes in a small town; what is given is otherwise, tables as dictionaries."""
    known: dict[str, Any] = {
        "name": "test",
        "start": START,
        "minutes": 2,
        "tickets-in-all": 60,
        "town": {"premises": 400, "calling": 0.5, "active-faults": 4},
        "tickets": {"still-outs": 0.1, "still-out-after-minutes": 0.1, "resent": 0.1, "resent-after-seconds": 5.0},
        "status": {"per-ticket": 2.0, "within-minutes": 1.0},
        "hazards": {"share": 0.1},
    }
    return msgspec.convert(known | values, Profile)


def a_plan(seed: int = 1, **values: Any) -> Plan:
    """A plan of such a storm."""
    return draw_plan(a_profile(**values), scale=1.0, seed=seed)
