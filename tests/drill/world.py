"""The world as it is: a network, what of it leads, and who is dark from when to when.

The hub knows of all this only what it is told. Here it is found by brute force, with none of the product's own tracing
or arithmetic of intervals: a flood from the sources at each change, and a count of minutes one by one. What the hub
says is then held against it.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from cimcare.model.network import DeviceKind, Network

__all__ = ["MINUTE", "World", "count_minutes"]

MINUTE = timedelta(minutes=1)


class World:
    """A network in which devices fail and are switched. Instants of changes do not go back.

    What has failed does not lead, whatever its kind; a device that has contacts does not lead while it is open.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._devices = {device.name: device for device in network.devices}
        self._points = {point.name: point for point in network.points}
        self._lines: dict[str, set[str]] = defaultdict(set)
        for one, other in network.lines:
            self._lines[one].add(other)
            self._lines[other].add(one)
        self._at: dict[str, list[str]] = defaultdict(list)
        for device in network.devices:
            for node in device.nodes:
                self._at[node].append(device.name)
        self.failed: set[str] = set()
        self.generators: set[str] = set()
        self.open = {device.name for device in network.devices if device.is_open}
        self._history: list[tuple[datetime, frozenset[str]]] = []

    @property
    def known(self) -> frozenset[str]:
        """Names of all devices."""
        return frozenset(self._devices)

    # ------------------------------------------------------------------------------------------------ what happens

    def fail(self, *devices: str, at: datetime) -> None:
        """These do not lead any more."""
        self.failed |= {self._known(name) for name in devices}
        self._note(at)

    def mend(self, *devices: str, at: datetime) -> None:
        """These lead again."""
        self.failed -= {self._known(name) for name in devices}
        self.generators -= set(devices)
        self._note(at)

    def feed(self, *devices: str, at: datetime) -> None:
        """Generators feed what is behind these devices, which are cut off from all else; they end when it is mended."""
        self.generators |= {self._known(name) for name in devices}
        self.fail(*devices, at=at)

    def switch(self, *, opened: Iterable[str] = (), closed: Iterable[str] = (), at: datetime) -> None:
        """Contacts are opened and closed."""
        self.open |= {self._known(name) for name in opened}
        self.open -= {self._known(name) for name in closed}
        self._note(at)

    def _known(self, name: str) -> str:
        if name not in self._devices:
            raise KeyError(f"there is no device {name}")
        return name

    def _note(self, at: datetime) -> None:
        if self._history and at < self._history[-1][0]:
            raise ValueError("the past does not change")
        self._history.append((at, self.dark()))

    # ------------------------------------------------------------------------------------------------ what is so

    def fed(self, *, without: Iterable[str] = ()) -> frozenset[str]:
        """Nodes to which supply comes now, or would come if these devices did not lead."""
        stopped = self.failed | self.open | set(without)
        waiting = deque(
            node
            for device in self.network.devices
            if device.kind is DeviceKind.SOURCE and device.name not in stopped
            for node in device.nodes
        )
        waiting.extend(self._devices[name].nodes[-1] for name in self.generators)
        reached = set(waiting)
        while waiting:
            node = waiting.popleft()
            through = [name for name in self._at[node] if name not in stopped]
            beyond = {other for name in through for other in self._devices[name].nodes} | self._lines[node]
            for other in beyond - reached:
                reached.add(other)
                waiting.append(other)
        return frozenset(reached)

    def dark(self, at: datetime | None = None) -> frozenset[str]:
        """Names of the points without supply, now or at an instant that is over."""
        if at is not None:
            return next((points for since, points in reversed(self._history) if since <= at), frozenset())
        fed = self.fed()
        return frozenset(name for name, point in self._points.items() if point.node not in fed)

    def below(self, device: str) -> frozenset[str]:
        """Points that have supply as the network stands now, and would lose it if the device alone did not lead."""
        before, after = self.fed(), self.fed(without=(self._known(device),))
        return frozenset(
            name for name, point in self._points.items() if point.node in before and point.node not in after
        )

    def customers(self, points: Iterable[str]) -> int:
        """How many customers these points supply."""
        return sum(self._points[name].customers for name in points)

    def was_dark(self, point: str, since: datetime, until: datetime) -> bool:
        """Whether a point was without supply at any instant from `since` on and before or at `until`."""
        if point in self.dark(since):
            return True
        return any(since <= at <= until and point in points for at, points in self._history)

    def intervals(self, point: str, until: datetime) -> list[tuple[datetime, datetime]]:
        """When a point was without supply; what goes on is cut off at `until`."""
        found: list[tuple[datetime, datetime]] = []
        since: datetime | None = None
        for at, points in self._history:
            if at >= until:
                break
            if point in points and since is None:
                since = at
            elif point not in points and since is not None:
                found.append((since, at))
                since = None
        return [*found, (since, until)] if since is not None else found


def count_minutes(
    out: Mapping[str, Iterable[tuple[datetime, datetime]]], customers: Mapping[str, int], until: datetime
) -> int:
    """Customer-minutes, counted minute by minute, so that nobody is counted twice. Instants are whole minutes."""
    total = 0
    for point, intervals in out.items():
        minutes: set[datetime] = set()
        for start, end in intervals:
            at = start
            while at < min(end, until):
                minutes.add(at)
                at += MINUTE
        total += customers[point] * len(minutes)
    return total
