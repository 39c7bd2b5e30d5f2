"""The scene of one sample: which object it is about, where, and when."""

from datetime import UTC, datetime, timedelta
from enum import Enum

import msgspec

from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.samples.draw import Draw, mrid_for
from cimcare.samples.northlake import PREMISES_COUNT, Premises, find_premises

__all__ = ["BASE_INSTANT", "Form", "Scene", "build_scene", "sample_mrid"]

BASE_INSTANT = datetime(2031, 2, 11, 7, 42, 5, tzinfo=UTC)
"""When samples play unless another instant is given."""


class Form(Enum):
    """How much of an object a payload shows, and at which point of its life."""

    FULL = "full"
    """Everything, as in create and created."""
    CHANGE = "change"
    """Identity and what the asking side wants otherwise."""
    CHANGED = "changed"
    """Identity and what the owner of the object has altered."""
    CANCELED = "canceled"
    """Identity and the state after a cancel."""
    CLOSE = "close"
    """Identity and who says that it is over, as in a close; shown of incidents alone."""
    CLOSED = "closed"
    """Identity and how it ended."""
    IDENTITY = "identity"
    """Identity alone."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample of one noun and seed is about. All verbs of one seed speak of the same object."""

    noun: Noun
    seed: int
    base: datetime
    premises: Premises

    @property
    def mrid(self) -> MRID:
        """The mRID of the object."""
        return sample_mrid(self.noun, self.seed)

    def draw(self, subject: str) -> Draw:
        """Choices about one subject, independent of all others."""
        return Draw(self.noun, self.seed, subject)

    def number(self, prefix: str, noun: Noun | None = None) -> str:
        """The number of the object in a numbering scheme, or of the object of another noun with the same seed."""
        return f"{prefix}-{Draw(noun or self.noun, self.seed, 'number').between(100_000, 999_999)}"

    def at(self, **span: float) -> datetime:
        """The instant so far (`minutes`, `hours`, `days`) from the base instant; negative is before it."""
        return self.base + timedelta(**span)

    def day(self, days: int, hour: int) -> datetime:
        """The full hour `hour` so many days after the base instant."""
        return (self.base + timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


def sample_mrid(noun: Noun, seed: int) -> MRID:
    """The mRID of the object that the samples of this noun and seed are about."""
    return mrid_for("sample", noun, seed)


def build_scene(noun: Noun, seed: int, base: datetime) -> Scene:
    """The scene of a noun and a seed at an instant, which must be aware."""
    index = Draw(noun, seed, "premises").between(0, PREMISES_COUNT - 1)
    return Scene(noun=noun, seed=seed, base=base, premises=find_premises(index))
