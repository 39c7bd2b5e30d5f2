"""What a process of the hub is there for."""

from enum import Enum

__all__ = ["Duty"]


class Duty(Enum):
    """Which part of the work a process does; what it does not do another one on the same database has to."""

    ALL = "all"
    """All of it: a hub in one process, or one of several that are alike."""

    TAKE = "take"
    """It takes messages and answers them, and carries nothing to partners but what somebody waits for at the door."""

    CARRY = "carry"
    """It carries to partners and customers what was put in for them, and does what is due by the clock. It takes no
    messages."""

    @property
    def takes(self) -> bool:
        """Whether it takes messages."""
        return self is not Duty.CARRY

    @property
    def carries(self) -> bool:
        """Whether it carries deliveries."""
        return self is not Duty.TAKE
