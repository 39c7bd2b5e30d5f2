"""The trace over networks: ways up as somebody would walk them, sums as somebody would count them, loops told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.errors import InputError
from cimcare.model.network import DeviceKind, Network
from cimcare.systems.oms.devices import DeviceRecord
from cimcare.systems.oms.tracing import MOST_LOOPS, Joint, join_nodes, trace
from cimcare.systems.oms.wiring import DEEPEST, Wired, check_network, wire
from tests.support.networks import TOWN, a_network, count_below, radial_networks, walk_up, without_ties


def devices_of(wired: Wired) -> dict[str, DeviceRecord]:
    return {device.name: device for device in wired.devices}


def ways(wired: Wired) -> dict[str, list[str]]:
    names = {device.mrid: device.name for device in wired.devices}
    return {device.name: [names[mrid] for mrid in device.path] for device in wired.devices}


def above_points(wired: Wired) -> dict[str, str | None]:
    names = {device.mrid: device.name for device in wired.devices}
    return {one.names[0].name: names[one.device] if one.device else None for one in wired.points()}


def told(wired: Wired) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in wired.findings]


def test_each_device_has_its_way_to_the_source() -> None:
    """A call that moves up follows this way, nearest first."""
    assert ways(wire(a_network(TOWN))) == {
        "S": [],
        "B1": ["S"],
        "F1": ["B1", "S"],
        "T1": ["F1", "B1", "S"],
        "T2": ["F1", "B1", "S"],
        "R": ["B1", "S"],
        "F2": ["R", "B1", "S"],
        "T3": ["F2", "R", "B1", "S"],
        "B2": ["S"],
        "SW": ["B2", "S"],
        "T4": ["SW", "B2", "S"],
        "TIE": ["R", "B1", "S"],
    }


def test_each_device_counts_what_is_below_and_how_it_is_spread() -> None:
    """Whether calls are spread over the branches tells a blown fuse from two bad transformers."""
    devices = devices_of(wire(a_network(TOWN)))
    counts = {name: (device.customers, device.critical, device.branches) for name, device in devices.items()}
    assert counts == {
        "S": (11, 1, ((3, 1), (8, 1))),
        "B1": (8, 1, ((3, 1), (5, 1))),
        "F1": (3, 1, ((1, 1), (2, 1))),
        "T1": (2, 1, ((1, 2),)),
        "T2": (1, 0, ((1, 1),)),
        "R": (5, 0, ((5, 1),)),
        "F2": (5, 0, ((5, 1),)),
        "T3": (5, 0, ((5, 1),)),
        "B2": (3, 0, ((3, 1),)),
        "SW": (3, 0, ((1, 1), (2, 1))),
        "T4": (2, 0, ((1, 2),)),
        "TIE": (0, 0, ()),
    }


def test_points_hang_on_the_nearest_device() -> None:
    """With or without a transformer between."""
    found = above_points(wire(a_network(TOWN)))
    assert (found["UP-1"], found["UP-4"], found["UP-7"]) == ("T1", "T3", "SW")


def test_the_feeder_is_that_of_the_file_or_the_first_breaker() -> None:
    """An area estimate is said for a feeder, so each device has one."""
    feeders = {name: device.feeder for name, device in devices_of(wire(a_network(TOWN))).items()}
    assert (feeders["S"], feeders["T1"], feeders["R"], feeders["T4"]) == ("S", "B1", "B1", "B2")


def test_what_is_behind_an_open_switch_keeps_its_way_and_is_not_fed() -> None:
    """Callers behind a fuse that was taken out belong to that fuse."""
    wired = wire(a_network(TOWN.replace("fuse F1", "fuse! F1")))
    devices = devices_of(wired)
    assert ways(wired)["T1"] == ["F1", "B1", "S"]
    assert [devices[name].is_fed for name in ("B1", "F1", "T1", "R")] == [True, True, False, True]
    assert devices["F1"].is_open
    assert devices["B1"].customers == 8
    assert wired.findings == ()


def test_a_normally_closed_way_counts_before_a_tie() -> None:
    """While the breaker is open nobody says that the other feeder supplies these customers."""
    wired = wire(a_network(TOWN.replace("breaker B2", "breaker! B2")))
    assert ways(wired)["T4"] == ["SW", "B2", "S"]
    assert devices_of(wired)["TIE"].is_fed


def test_a_closed_tie_feeds_what_was_cut_off() -> None:
    """After switching, the devices above are those of the other feeder, in the order in which they stand there."""
    text = TOWN.replace("switch SW", "switch! SW").replace("tie TIE", "tie! TIE")
    wired = wire(a_network(text))
    assert ways(wired)["T4"] == ["TIE", "R", "B1", "S"]
    assert devices_of(wired)["B1"].customers == 11
    assert above_points(wired)["UP-7"] == "TIE"
    assert wired.findings == ()


def test_a_loop_is_told_with_its_devices() -> None:
    """A tie drawn closed by mistake is found by whoever reads the finding, and the trace ends."""
    wired = wire(a_network(TOWN.replace("tie TIE", "switch TIE")))
    (finding,) = wired.findings
    assert finding.code == "REF-126"
    assert "loop of 5 devices" in finding.found
    for name in ("TIE", "R", "B1", "B2", "SW"):
        assert name in finding.found
    assert "F1" not in finding.found


def test_a_way_between_two_sources_is_told() -> None:
    """Two sources in parallel: nobody can say which breaker supplies a customer there."""
    (finding,) = wire(a_network("source S1 > a\nsource S2 > b\nswitch X a > m\nswitch Y m > b\npoint P m")).findings
    assert finding.code == "REF-126"
    assert "between two sources" in finding.found
    assert all(name in finding.found for name in ("S1", "S2", "X", "Y"))


def test_sources_on_one_node_are_told() -> None:
    (finding,) = wire(a_network("source S1 > a\nsource S2 > a")).findings
    assert (finding.code, "between two sources of 2 devices: " in finding.found) == ("REF-126", True)


def test_what_has_no_way_to_a_source_is_told_and_has_none() -> None:
    """A piece that the mapping forgot to connect: nothing is guessed about it but what hangs together."""
    wired = wire(a_network(TOWN + "fuse F9 x > y\ntransformer T9 y > z\npoint UP-9 z\npoint UP-10 x\npoint UP-11 v"))
    assert told(wired) == [
        ("REF-125", "device F9"),
        ("REF-125", "device T9"),
        ("REF-125", "point UP-10"),
        ("REF-125", "point UP-11"),
    ]
    assert ways(wired)["T9"] == ["F9"]
    found = above_points(wired)
    assert (found["UP-9"], found["UP-10"], found["UP-11"]) == ("T9", None, None)
    assert not devices_of(wired)["T9"].is_fed


def test_a_transformer_of_an_island_feeds_its_second_side() -> None:
    """Its customers belong to it even if nobody knows what is above."""
    wired = wire(a_network("source S > s\ntransformer T x > y\npoint P y"))
    assert above_points(wired) == {"P": "T"}


def test_an_island_hangs_together_through_what_is_open() -> None:
    """Whoever finds out what feeds it wants to see it as one piece."""
    wired = wire(a_network("source S > s\nfuse! F a > b\ntransformer T b > c\npoint P c\ntie X c > d\nfuse G d > e"))
    assert ways(wired)["T"] == ["F"]
    assert ways(wired)["G"] == ["X", "T", "F"]
    assert above_points(wired) == {"P": "T"}


def test_a_piece_that_only_a_tie_leads_to_has_its_way_through_the_tie() -> None:
    """An emergency feed: no supply now, and one way by which it would come."""
    wired = wire(a_network("source S > s\nbreaker B s > b\ntie X b > c\ntransformer T c > d\npoint P d"))
    assert ways(wired)["T"] == ["X", "B", "S"]
    assert told(wired) == [("REF-125", "device T")]
    assert devices_of(wired)["X"].customers == 1


def test_a_device_with_both_sides_joined_is_told() -> None:
    """A fuse that is bridged in the drawing protects nothing."""
    wired = wire(a_network("source S > s\nfuse F s > t\nline t > s\nfuse G s\npoint P t"))
    assert told(wired) == [("REF-127", "device F"), ("REF-127", "device G")]
    assert above_points(wired) == {"P": "S"}


def test_a_device_may_have_more_than_two_sides() -> None:
    """A transformer with two secondaries feeds both."""
    wired = wire(a_network("source S > s\ntransformer T s > a b\npoint P a\nfuse F b > c\npoint Q c"))
    assert ways(wired)["F"] == ["T", "S"]
    assert devices_of(wired)["T"].branches == ((1, 2),)
    assert wired.findings == ()


def test_many_findings_of_a_sort_are_counted() -> None:
    """A thousand lines about one mistake would bury the other."""
    rows = "\n".join(f"point P{at} x{at}" for at in range(50))
    findings = wire(a_network(f"source S > s\n{rows}")).findings
    assert len(findings) == 21
    assert findings[-1].found == "30 more of the same"


def test_a_network_that_is_no_radial_one_ends_too() -> None:
    """Loops are told up to a bound, so that a mesh read by mistake costs little."""
    rows = [Joint(DeviceKind.SOURCE, (0,)), *(Joint(DeviceKind.SWITCH, (0, 1)) for _ in range(3 * MOST_LOOPS))]
    assert len(trace(rows, 2).loops) == MOST_LOOPS


def test_a_row_without_end_is_refused() -> None:
    """A chain of devices as long as the network costs the square of its length, and no feeder looks like that."""
    rows = "\n".join(f"switch D{at} n{at} > n{at + 1}" for at in range(DEEPEST + 1))
    with pytest.raises(InputError, match="REF-129"):
        wire(a_network(f"source S > n0\n{rows}"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fuse F a > b", "REF-124"),
        ("source S > s\nfuse S s > t", "REF-122"),
        ("source S > s\npoint P s\npoint P s", "REF-122"),
    ],
)
def test_what_makes_a_network_unusable_is_found(text: str, code: str) -> None:
    """Without a source there is no way up, and with one name for two devices nobody knows which is meant."""
    findings = check_network(a_network(text))
    assert {finding.code for finding in findings} == {code}


def test_many_doubles_are_counted() -> None:
    rows = "\n".join(f"fuse F{at % 30} a > b" for at in range(60))
    findings = check_network(a_network(f"source S > s\n{rows}"))
    assert [finding.found for finding in findings if "more" in finding.found] == [
        "10 more mRIDs that belong to several devices",
        "10 more names that belong to several devices",
    ]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12))), st.lists(st.integers(0, 15)))
def test_nodes_share_a_section_if_lines_lead_from_one_to_the_other(
    lines: list[tuple[int, int]], others: list[int]
) -> None:
    """However many lines lead there, and in whatever order they come."""
    numbers, count = join_nodes([(f"{one}", f"{other}") for one, other in lines], map(str, others))
    groups: list[set[int]] = [{node} for node in {*others, *(end for line in lines for end in line)}]
    for one, other in lines:
        merged = set().union(*(group for group in groups if group & {one, other}))
        groups = [group for group in groups if not group & merged] + [merged]
    assert count == len(groups)
    assert set(numbers.values()) == set(range(count))
    for group in groups:
        assert len({numbers[str(node)] for node in group}) == 1


@given(radial_networks(sources=1, has_islands=False))
def test_the_way_is_the_one_that_somebody_would_walk(network: Network) -> None:
    """In a tree there is one way; the slow walk tries all there are."""
    tree = without_ties(network)
    wired = wire(tree)
    found = above_points(wired)
    for point in tree.points:
        way = walk_up(tree, point.node)
        assert way is not None
        assert found[point.name] == way[0]
        assert ways(wired)[way[0]] == way[1:]


@given(radial_networks(sources=1, has_islands=False))
def test_the_sums_are_those_that_somebody_would_count(network: Network) -> None:
    """Customers below a device are those whose way up passes it, and its branches are all of them."""
    tree = without_ties(network)
    for device in wire(tree).devices:
        assert (device.customers, device.critical) == count_below(tree, device.name)
        assert sum(customers * number for customers, number in device.branches) == device.customers


@given(radial_networks())
def test_any_network_has_ways_without_repeats_that_agree(network: Network) -> None:
    """Loops and islands included: a way never comes back to itself, and is the next device's way and that device."""
    wired = wire(network)
    devices = {device.mrid: device for device in wired.devices}
    for device in devices.values():
        assert len(set(device.path)) == len(device.path)
        assert device.mrid not in device.path
        assert device.upstream == (device.path[0] if device.path else None)
        if device.upstream is not None:
            assert device.path == (device.upstream, *devices[device.upstream].path)
