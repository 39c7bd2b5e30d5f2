"""The network: plain lists beside two graph libraries, and an import from tables to a database; all in one run.

`python bench/network.py trace [--edges N]...` finds for each node of a radial network the device above it, by the
product's own functions and by rustworkx and networkx where they are installed (the project needs neither). Each gets
the same edges as names of nodes, and all answers must agree. Prints seconds of the processor and ratios to the first.

`python bench/network.py import [--premises N]... [--database URL]` reads tables of a town of that size, wires it and
stores it, then imports it again unaltered and opens a breaker. Prints seconds of each step, microseconds per premises
with the ratio to the smallest town, and the most memory that the process had.
"""

import argparse
import asyncio
import gc
import importlib.util
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cimcare.codec.network import parse_network
from cimcare.model.network import DeviceKind
from cimcare.store.opening import open_store
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.tracing import Joint, join_nodes, trace
from cimcare.systems.oms.wiring import check_network, wire

Edge = tuple[str, str, bool]
"""Two nodes, and whether a device is between them."""

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def radial_edges(count: int) -> list[Edge]:
    """A tree of this many edges as feeders have it: long trunks, short laterals, a device at every fifth edge."""
    chance = random.Random(count)
    edges: list[Edge] = []
    for node in range(1, count + 1):
        above = node - 1 if chance.random() < 0.3 else chance.randrange(max(0, node - 2000), node)
        edges.append((f"node-{above}", f"node-{node}", node % 5 == 0))
    chance.shuffle(edges)
    return edges


def with_lists(edges: list[Edge]) -> dict[str, int]:
    """Number of the device above each node, by the product's own functions."""
    devices = [(one, other) for one, other, is_device in edges if is_device]
    numbers, count = join_nodes(
        ((one, other) for one, other, is_device in edges if not is_device),
        (node for ends in devices for node in ends),
    )
    joints = [Joint(DeviceKind.SOURCE, (numbers["node-0"],))]
    joints += [Joint(DeviceKind.FUSE, (numbers[one], numbers[other])) for one, other in devices]
    feeder = trace(joints, count).feeder
    return {node: feeder[number] for node, number in numbers.items()}


def with_rustworkx(edges: list[Edge]) -> dict[str, int]:
    """The same by rustworkx: one graph, breadth first, and the device carried along."""
    import rustworkx  # noqa: PLC0415 - it need not be there

    numbers: dict[str, int] = {}
    for one, other, _ in edges:
        numbers.setdefault(one, len(numbers))
        numbers.setdefault(other, len(numbers))
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(list(numbers))
    device = 0
    weighted = []
    for one, other, is_device in edges:
        device += is_device
        weighted.append((numbers[one], numbers[other], device if is_device else 0))
    graph.add_edges_from(weighted)
    above = [0] * len(numbers)

    class Visitor(rustworkx.visit.BFSVisitor):  # type: ignore[misc]
        def tree_edge(self, edge: tuple[int, int, int]) -> None:
            start, end, between = edge
            above[end] = between or above[start]

    rustworkx.bfs_search(graph, [numbers["node-0"]], Visitor())
    return {node: above[number] for node, number in numbers.items()}


def with_networkx(edges: list[Edge]) -> dict[str, int]:
    """The same by networkx."""
    import networkx as nx  # noqa: PLC0415 - it need not be there

    graph = nx.Graph()
    device = 0
    for one, other, is_device in edges:
        device += is_device
        graph.add_edge(one, other, device=device if is_device else 0)
    above = {"node-0": 0}
    for start, end in nx.bfs_edges(graph, "node-0"):
        above[end] = graph.edges[start, end]["device"] or above[start]
    return above


def compare(counts: list[int]) -> None:
    """Print seconds and ratios for each size."""
    ways: dict[str, Callable[[list[Edge]], dict[str, int]]] = {"lists": with_lists}
    for name, way in (("rustworkx", with_rustworkx), ("networkx", with_networkx)):
        if importlib.util.find_spec(name):
            ways[name] = way
        else:
            print(f"{name}: not installed, left out")
    for count in counts:
        edges = radial_edges(count)
        spent: dict[str, float] = {}
        answers = []
        for name, way in ways.items():
            gc.collect()
            best = float("inf")
            for _ in range(3 if count <= 100_000 else 1):
                start = time.process_time()  # nothing waits, and others may be at work on the machine
                answer = way(edges)
                best = min(best, time.process_time() - start)
            spent[name] = best
            answers.append(answer)
        assert all(answer == answers[0] for answer in answers), "the ways differ"
        told = ", ".join(f"{name} {seconds:.3f} s ({seconds / spent['lists']:.2f})" for name, seconds in spent.items())
        print(f"{count} edges: {told}")


def tables(premises: int) -> list[tuple[str, bytes]]:
    """Tables of a town: substations of four feeders, each with six laterals of eight transformers of six premises."""
    devices = ["device,kind,from,to,normally_open,x,y"]
    lines = ["from,to"]
    points = ["point,at,location,critical"]
    made = feeder = 0
    while made < premises:
        if feeder % 4 == 0:
            devices.append(f"SUB-{feeder // 4},source,,,,,")
        devices.append(f"CB-{feeder},breaker,SUB-{feeder // 4},,,,")
        if feeder:
            devices.append(f"TIE-{feeder},switch,N-{feeder - 1}-5,N-{feeder}-5,yes,,")
        for lateral in range(6):
            above = f"CB-{feeder}" if lateral == 0 else f"N-{feeder}-{lateral - 1}"
            lines.append(f"{above},N-{feeder}-{lateral}")
            fuse = f"F-{feeder}-{lateral}"
            devices.append(f"{fuse},fuse,N-{feeder}-{lateral},,,,")
            for unit in range(8):
                transformer = f"TX-{feeder}-{lateral}-{unit}"
                devices.append(f"{transformer},transformer,{fuse},,,-87.{unit},47.{lateral}")
                for _ in range(6):
                    points.append(f"UP-{made},{transformer},SL-{made},{'yes' if made % 100 == 0 else ''}")
                    made += 1
        feeder += 1
    return [
        (f"{name}.csv", "\n".join(rows).encode())
        for name, rows in (("devices", devices), ("lines", lines), ("points", points))
    ]


@contextmanager
def timed(name: str, spent: dict[str, float]) -> Iterator[None]:
    """Note how long it takes."""
    gc.collect()
    start = time.perf_counter()
    yield
    spent[name] = time.perf_counter() - start


async def run_import(premises: int, database: str) -> dict[str, float]:
    """Seconds of each step of an import."""
    spent: dict[str, float] = {}
    files = tables(premises)
    with timed("read", spent):
        network = parse_network(files).network
        assert network is not None
    with timed("wire", spent):
        assert check_network(network) == ()
        wired = wire(network)
        assert wired.findings == ()
        del wired
    store = await open_store(database)
    with timed("import", spent):
        async with store.transaction() as transaction:
            done = await import_network(transaction.records, network, NOW)
    assert done.points.added == len(network.points)
    with timed("again", spent):
        async with store.transaction() as transaction:
            done = await import_network(transaction.records, network, NOW)
    assert not done.is_change
    with timed("operate", spent):
        async with store.transaction() as transaction:
            operated = await operate(transaction.records, "CB-1", NOW, is_open=True)
    assert operated.lost == 288
    await store.close()
    return spent


def measure_import(counts: list[int], database: str | None) -> None:
    """Print seconds of each step, and what a premises costs beside the smallest town."""
    first: dict[str, float] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            spent = asyncio.run(run_import(count, database or f"sqlite:///{Path(folder) / 'bench.db'}"))
        each = {name: 1e6 * seconds / count for name, seconds in spent.items() if name != "operate"}
        first = first or each | {"operate": spent["operate"]}
        told = [
            f"{name} {spent[name]:.2f} s ({cost:.1f} us each, {cost / first[name]:.2f})" for name, cost in each.items()
        ]
        told.append(f"operate {1000 * spent['operate']:.1f} ms ({spent['operate'] / first['operate']:.2f})")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{count} premises: {', '.join(told)}; {memory} MB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    tracing = parts.add_parser("trace")
    tracing.add_argument("--edges", type=int, action="append")
    importing = parts.add_parser("import")
    importing.add_argument("--premises", type=int, action="append")
    importing.add_argument("--database")
    options = parser.parse_args()
    if options.part == "trace":
        compare(options.edges or [10_000, 1_000_000])
    else:
        measure_import(options.premises or [10_000, 100_000], options.database)


if __name__ == "__main__":
    main()
