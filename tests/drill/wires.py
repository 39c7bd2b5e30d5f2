"""How a network was switched in the course of time, whatever has failed in it: what is below which device, and when."""

from collections.abc import Iterator
from datetime import datetime
from heapq import heappop, heappush

from cimcare.model.network import DeviceKind, Network

__all__ = ["Wires"]


class Wires:
    """A network and its switches. A point hangs by the way that needs the fewest contacts closed, if it has none now.

    Contacts that are normally open are closed in thought only where nothing else helps. Instants do not go back.
    """

    def __init__(self, network: Network, at: datetime) -> None:
        self.network = network
        self.open = {device.name for device in network.devices if device.is_open}
        self.gone: set[str] = set()
        self._history: list[tuple[datetime, dict[str, tuple[str, ...]]]] = []
        self._note(at)

    def switch(self, name: str, *, is_open: bool, at: datetime) -> None:
        """Contacts are opened or closed."""
        (self.open.add if is_open else self.open.discard)(name)
        self._note(at)

    def leave(self, point: str, at: datetime) -> None:
        """A point is no longer in the network."""
        self.gone.add(point)
        self._note(at)

    def below(self, device: str, start: datetime, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
        """The points that were below a device between two instants, each from when to when."""
        for number, (since, ways) in enumerate(self._history):
            until = self._history[number + 1][0] if number + 1 < len(self._history) else end
            first, last = (start if number == 0 else max(since, start)), min(until, end)
            if first < last:
                yield from ((point, first, last) for point, way in ways.items() if device in way)

    def points_below(self, device: str) -> frozenset[str]:
        """The points that are below a device now."""
        return frozenset(point for point, way in self._history[-1][1].items() if device in way)

    def _note(self, at: datetime) -> None:
        self._history.append((at, self._ways()))

    def _ways(self) -> dict[str, tuple[str, ...]]:
        """The devices by which each point hangs."""
        lines: dict[str, set[str]] = {}
        for one, other in self.network.lines:
            lines.setdefault(one, set()).add(other)
            lines.setdefault(other, set()).add(one)
        at = {node: [device for device in self.network.devices if node in device.nodes] for node in self._nodes()}
        waiting: list[tuple[tuple[int, int], int, str, tuple[str, ...]]] = []
        number = 0
        for device in self.network.devices:
            if device.kind is DeviceKind.SOURCE:
                for node in device.nodes:
                    heappush(waiting, ((0, 0), number, node, (device.name,)))
                    number += 1
        ways: dict[str, tuple[str, ...]] = {}
        while waiting:
            cost, _, node, way = heappop(waiting)
            if node in ways:
                continue
            ways[node] = way
            steps = [(cost, other, way) for other in lines.get(node, ())]
            for device in at[node]:
                is_open = device.name in self.open
                dearer = (cost[0] + (is_open and device.is_normally_open), cost[1] + is_open)
                steps += [(dearer, other, (*way, device.name)) for other in device.nodes if other != node]
            for dearer, other, longer in steps:
                if other not in ways:
                    heappush(waiting, (dearer, number, other, longer))
                    number += 1
        return {
            point.name: ways[point.node]
            for point in self.network.points
            if point.node in ways and point.name not in self.gone
        }

    def _nodes(self) -> set[str]:
        nodes = {node for pair in self.network.lines for node in pair} | {point.node for point in self.network.points}
        return nodes | {node for device in self.network.devices for node in device.nodes}
