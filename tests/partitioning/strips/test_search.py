"""Plans of groups: the best by their own costs, run to the whole model's bits, and none where sharing gains nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from partitioning import Graph, list_cuts
from partitioning.strips import SharedAxis, SharedSegment, plan_group, segment_obstacles
from partitioning.strips.bounds import least_compute_s, least_needed
from partitioning.strips.costs import MessageCost, SpanTimes, time_group
from partitioning.strips.search import SegmentSearch, plan_shared
from tests import zoo
from tests.partitioning.composition import differing, model_inputs, run_whole
from tests.partitioning.strips.cluster import run_group
from tests.partitioning.strips.made_up_times import FIXED_S, PER_ELEMENT_S, board, links


def graph_of(name: str, mode: str = "float32") -> Graph:
    return Graph.from_bytes(zoo.load(name, mode))


@pytest.mark.parametrize("name", ["residual", "yolo_neck", "squeeze_excite"])
def test_best_plan_of_fast_links_is_shared_and_gives_the_whole_models_bytes(name: str) -> None:
    model = zoo.load(name, "int8")
    graph = Graph.from_bytes(model)
    inputs = model_inputs(graph, zoo.inputs(name))
    boards = [board(graph, speed) for speed in (1.0, 0.5, 1.0)]
    plan = plan_shared(graph, boards, links(3, 1e-7, 1e9))
    alone_s = boards[0].whole_s.sum()
    assert plan.time.latency_s < 0.85 * alone_s
    assert not differing(run_whole(graph, model, inputs), run_group(graph, plan.group, inputs))


def test_slow_links_leave_the_model_on_one_board() -> None:
    graph = graph_of("residual")
    plan = plan_shared(graph, [board(graph)] * 4, links(4, 1e-3, 1e5))
    assert [segment.axis for segment in plan.segments] == [None]
    assert plan.time.sent_bytes == 0
    assert plan.time.latency_s == pytest.approx(board(graph).whole_s.sum() + 1e-5)


def test_unequal_boards_share_unequally_and_gain_by_it() -> None:
    graph = graph_of("inverted_residual")
    boards, between = [board(graph, speed) for speed in (1.0, 0.5, 0.25)], links(3, 1e-6, 1e9)
    plan = plan_shared(graph, boards, between)
    equal = [replace(s, shares=tuple(float(share > 0) for share in s.shares)) for s in plan.segments]
    assert plan.time.latency_s < 0.85 * time_group(graph, plan_group(graph, equal), boards, between).latency_s
    shares = next(segment.shares for segment in plan.segments if segment.axis is SharedAxis.ROWS)
    assert shares[0] > 1.5 * shares[1]


def test_slow_first_board_hands_all_to_a_fast_one() -> None:
    graph = graph_of("residual")
    plan = plan_shared(graph, [board(graph, 0.01), board(graph)], links(2, 1e-6, 1e9))
    assert all(segment.shares[1] > 0.9 for segment in plan.segments)


@pytest.mark.parametrize("gathered", [False, True])
def test_no_other_segments_and_ways_take_less(gathered: bool) -> None:
    """Against all plans of a small model, each followed by the same clock; links without latency make both models agree."""
    graph = graph_of("chain")
    places = [0, 4, 8, 11, 15]
    boards, between = [board(graph)] * 2, links(2, 0.0, 3e7)
    plan = plan_shared(graph, boards, between, places[1:-1], gathered=gathered)
    least_s = min(
        time_group(graph, plan_group(graph, segments), boards, between).latency_s
        for segments in all_plans(graph, places, gathered)
    )
    assert plan.time.latency_s == pytest.approx(least_s, rel=0.05)


def all_plans(graph: Graph, places: Sequence[int], gathered: bool = False) -> list[list[SharedSegment]]:
    obstacles = {axis: segment_obstacles(graph, axis) for axis in SharedAxis}
    found = []
    for n_inner in range(len(places) - 1):
        for inner in itertools.combinations(places[1:-1], n_inner):
            edges = [places[0], *inner, places[-1]]
            ways = []
            for begin, stop in zip(edges[:-1], edges[1:]):
                alone = [SharedSegment(begin, stop, None, shares, gathered) for shares in ((1.0, 0.0), (0.0, 1.0))]
                shared = [
                    SharedSegment(begin, stop, axis, (1.0, 1.0), gathered)
                    for axis in SharedAxis
                    if not any(op in obstacles[axis] for op in range(begin, stop))
                ]
                ways.append([*alone, *shared])
            found += [list(plan) for plan in itertools.product(*ways)]
    return found


def test_clock_counts_exchange_and_waiting() -> None:
    """Two halves of one operator: the second board waits for its half of the image and sends its half of the result."""
    graph = graph_of("chain")
    first = graph.operators[0]
    boards, between = [board(graph, strip_s=0.0)] * 2, links(2, 0.5, 1000.0)
    shared = SharedSegment(0, 1, SharedAxis.ROWS, (1, 1))
    rest = SharedSegment(1, len(graph.operators), None, (1, 0))
    plan = plan_group(graph, [shared, rest])
    time = time_group(graph, plan, boards, between)
    half_s = FIXED_S + PER_ELEMENT_S * graph.tensors[first.outputs[0]].size_bytes / 2
    sent = [sum(t.piece.span.count for t in step.transfers) for step in plan.steps]
    assert sent[0] >= 6
    to_s, back_s = (
        sum(graph.tensors[t.piece.tensor_index].size_bytes * t.piece.span.count / n / 1000 for t in step.transfers)
        for step, n in zip(
            plan.steps, [graph.tensors[step.transfers[0].piece.tensor_index].usual_shape[1] for step in plan.steps]
        )
    )
    rest_s = boards[0].whole_s[1:].sum()
    assert time.latency_s == pytest.approx(to_s + 0.5 + half_s + back_s + 0.5 + rest_s)
    assert time.compute_s[1] == pytest.approx(half_s)


@pytest.mark.parametrize("ops", [(0, 8), (4, 15), (4, 11)])
def test_run_of_operators_is_planned_like_a_model(ops: tuple[int, int]) -> None:
    graph = graph_of("chain")
    places = [place for place in (0, 4, 8, 11, 15) if ops[0] <= place <= ops[1]]
    boards, between = [board(graph)] * 2, links(2, 0.0, 3e7)
    plan = plan_shared(graph, boards, between, [0, 4, 8, 11, 15], ops)
    assert (plan.segments[0].start_op, plan.segments[-1].stop_op) == ops
    least_s = min(
        time_group(graph, plan_group(graph, segments), boards, between).latency_s
        for segments in all_plans(graph, places)
    )
    assert plan.time.latency_s == pytest.approx(least_s, rel=0.05)


@pytest.mark.parametrize("name", ["residual", "yolo_neck", "squeeze_excite"])
@pytest.mark.parametrize("bytes_per_s", [1e6, 1e9])
def test_every_run_costs_what_a_search_of_its_own_says_and_no_less_than_its_bound(
    name: str, bytes_per_s: float
) -> None:
    graph = graph_of(name)
    boards, between, speeds = [board(graph), board(graph, 0.5)], links(2, 1e-6, bytes_per_s), [1.0, 0.5]
    places = [0, *(cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None), len(graph.operators)]
    of_all, bound_s = SegmentSearch(graph, boards, between, places), least_compute_s(graph, boards)
    compared = 0
    for first, stop in itertools.combinations(places[:: max(1, len(places) // 6)], 2):
        inside = [place for place in places if first <= place <= stop]
        (least_s,) = SegmentSearch(graph, boards, between, inside).least_s(speeds, first, [stop])
        assert of_all.least_s(speeds, first, [stop]) == [pytest.approx(least_s)]
        assert least_s >= bound_s[first:stop].sum()
        assert least_s <= boards[0].whole_s[first:stop].sum() + boards[0].strip_s + 1e-12
        compared += 1
    assert compared >= 10


def test_bound_is_met_by_boards_whose_time_is_their_rows() -> None:
    graph = graph_of("chain")
    both = [replace(board(graph, speed), strip_s=0.0) for speed in (1.0, 0.5)]
    proportional = [
        replace(
            b, shared={k: SpanTimes(t.counts, t.counts / t.counts[-1] * t.seconds[-1]) for k, t in b.shared.items()}
        )
        for b in both
    ]
    assert least_compute_s(graph, proportional) == pytest.approx(both[0].whole_s / 1.5)
    alone = [replace(b, shared={}) for b in both]
    assert least_compute_s(graph, alone) == pytest.approx(both[0].whole_s)


def test_rows_that_strides_leave_over_are_the_only_ones_that_no_board_computes() -> None:
    """Operator 11 adds 12 rows; 12 and 13 read every other one: of two boards the first needs seven, the second three."""
    graph = graph_of("residual", "int8")
    share = least_needed(graph, 2)
    plan = plan_group(graph, [SharedSegment(11, 14, SharedAxis.ROWS, (2, 1))])
    (sum_11,) = graph.operators[11].outputs
    computed = [strip.spans[sum_11].count for step in plan.steps for strip in step.strips if strip is not None]
    assert computed == [7, 3]
    assert share[11] == pytest.approx(10 / 12)
    assert share[12] == share[13] == 1
    assert (least_needed(graph_of("chain"), 4) == 1).all()


def test_boards_are_busy_with_messages_and_what_is_in_them() -> None:
    """The first board has the other one do all: one message there, one back."""
    graph = graph_of("residual")
    cost = MessageCost(fixed_s=1e-5, receive_s_per_byte=2e-9, send_s_per_byte=1e-9)
    plan = plan_group(graph, [SharedSegment(0, len(graph.operators), None, (0, 1))])
    boards, between = [board(graph)] * 2, links(2, 0.0, 1e15)
    free_s = time_group(graph, plan, boards, between).latency_s
    busy = time_group(graph, plan, [replace(of_board, message=cost) for of_board in boards], between)
    (source,), (answer,) = graph.inputs, graph.outputs
    n_bytes = graph.tensors[source].size_bytes + graph.tensors[answer].size_bytes
    per_byte_s = cost.send_s_per_byte + cost.receive_s_per_byte
    assert busy.latency_s - free_s == pytest.approx(4 * cost.fixed_s + n_bytes * per_byte_s, rel=1e-3)
