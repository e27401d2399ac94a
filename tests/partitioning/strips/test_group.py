"""Groups of boards that share a whole model: nothing is computed from what was not sent, and the bits are the whole's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from partitioning import Graph, Operator
from partitioning.strips import SegmentError, SharedAxis, segment_obstacles
from partitioning.strips.group import SharedSegment, piece_bytes, plan_group
from partitioning.strips.programs import Compute, list_programs
from partitioning.strips.site import Site
from tests import zoo
from tests.partitioning.composition import Frame, differing, model_inputs, run_whole
from tests.partitioning.strips.cluster import run_group

Shares = tuple[float, ...]


def every(graph: Graph, shares: Shares, lengths: int, rng: np.random.Generator) -> list[SharedSegment]:
    """All operators in segments of random lengths, shared by rows, else by channels, else on one board."""
    rows, channels = (set(segment_obstacles(graph, axis)) for axis in (SharedAxis.ROWS, SharedAxis.CHANNELS))
    found, start = [], 0
    while start < len(graph.operators):
        axis = SharedAxis.ROWS if start not in rows else SharedAxis.CHANNELS if start not in channels else None
        ending = rows if axis is SharedAxis.ROWS else channels if axis else {*range(len(graph.operators))}
        stop = start + 1
        while stop < len(graph.operators) and stop not in ending and stop - start < lengths:
            stop += 1
        if axis is None:
            chosen = int(rng.integers(len(shares)))
            used = tuple(float(board == chosen) for board in range(len(shares)))
        else:
            used = tuple(rng.permutation(shares))
        found.append(SharedSegment(start, stop, axis, used))
        start = stop
    return found


def case(name: str, mode: str) -> tuple[Graph, Frame, Frame]:
    model = zoo.load(name, mode)
    graph = Graph.from_bytes(model)
    inputs = model_inputs(graph, zoo.inputs(name))
    return graph, inputs, run_whole(graph, model, inputs)


@pytest.mark.parametrize("shares", [(1, 1), (3, 2, 1), (1, 1, 0, 1), (1,) * 7])
@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("name", ["residual", "squeeze_excite", "unet", "yolo_neck", "two_inputs", "attention", "mlp"])
def test_shared_models_give_the_whole_models_bytes(name: str, mode: str, shares: Shares) -> None:
    graph, inputs, expected = case(name, mode)
    rng = np.random.default_rng(len(shares))
    for longest in (1, 4, 100):
        plan = plan_group(graph, every(graph, shares, longest, rng))
        wrong = differing(expected, run_group(graph, plan, inputs))
        assert not wrong, (longest, [graph.tensors[t].name for t in wrong])


def test_each_element_is_sent_to_a_board_once_and_by_its_owner() -> None:
    graph, _, _ = case("residual", "int8")
    plan = plan_group(graph, every(graph, (1, 1, 1), 3, np.random.default_rng(0)))
    sent: dict[tuple[int, int], set[int]] = {}
    for transfer in plan.transfers:
        assert transfer.source != transfer.target
        rows = set(range(transfer.piece.span.start, transfer.piece.span.stop))
        before = sent.setdefault((transfer.target, transfer.piece.tensor_index), set())
        assert not before & rows
        before |= rows


@pytest.mark.parametrize("name", ["residual", "yolo_neck"])
def test_gathered_segments_pass_everything_through_the_first_board(name: str) -> None:
    graph, inputs, expected = case(name, "int8")
    segments = [replace(s, gathered=True) for s in every(graph, (1, 1, 1), 3, np.random.default_rng(0))]
    plan = plan_group(graph, segments)
    assert all(0 in (transfer.source, transfer.target) for transfer in plan.transfers)
    assert not differing(expected, run_group(graph, plan, inputs))
    for program in list_programs(plan)[1:]:
        assert {action.peer for action in program if not isinstance(action, Compute)} == {0}


def window(graph: Graph, op: Operator) -> tuple[int, int]:
    """Rows of a convolution's weights, and its stride."""
    site = Site(graph, op)
    return site.tensor(site.operands[1]).usual_shape[1], site.options.strideH


def test_two_boards_exchange_halos_only() -> None:
    """A 3x3 convolution after the image is spread: one row each way."""
    graph, _, _ = case("residual", "float32")
    second = next(op.op_index for op in graph.operators[1:] if op.kind == "CONV_2D" and window(graph, op) == (3, 1))
    segments = [
        SharedSegment(0, second, SharedAxis.ROWS, (1, 1)),
        SharedSegment(second, second + 1, SharedAxis.ROWS, (1, 1)),
    ]
    (_, step) = plan_group(graph, segments).steps
    halo = {(t.source, t.target, t.piece.span.count) for t in step.transfers}
    assert halo == {(0, 1, 1), (1, 0, 1)}
    image = graph.tensors[step.transfers[0].piece.tensor_index]
    assert piece_bytes(graph, step.transfers[0].piece) == image.size_bytes // image.usual_shape[1]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([SharedSegment(0, 3, SharedAxis.ROWS, (1, 1)), SharedSegment(4, 33, None, (1, 0))], "operators 3 to 4 out"),
        ([SharedSegment(0, 33, SharedAxis.ROWS, (1, 1))], "ends a segment: it works along the rows|has no rows"),
        ([SharedSegment(0, 33, None, (1, 1))], "one board alone must have a share"),
        ([SharedSegment(0, 33, None, (0, 0))], "not all of them 0"),
    ],
)
def test_what_cannot_be_shared_is_refused(segments: list[SharedSegment], message: str) -> None:
    graph, _, _ = case("residual", "float32")
    with pytest.raises(SegmentError, match=message):
        plan_group(graph, segments)
