"""Pages that show the past of what the other areas have put there."""

from tests.support.console.shown import Shown
from tests.support.hub import HubProcess

__all__ = ["PAGES", "seed"]


def seed(_: HubProcess) -> None:
    """Nothing of its own: the past is that of the whole day."""


PAGES = {
    "history": Shown(path="/console/history?span=10m", told="Incidents as they stood"),
    "report": Shown(path="/console/report", told="Restoration times"),
}
