"""Every zoo model, in every mode, cut at every place, gives the whole model's bytes; and the comparison would notice."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph, extract_partition, list_cuts, plan_partitions
from tests import zoo
from tests.partitioning.composition import Frame, differing, model_inputs, run_file, run_part, run_whole

CASES = [(name, mode) for name in zoo.NAMES for mode in zoo.supported(name)]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_parts_give_the_whole_models_bytes_at_every_cut(name: str, mode: str) -> None:
    model = zoo.load(name, mode)
    graph = Graph.from_bytes(model)
    sample = zoo.inputs(name)
    inputs = model_inputs(graph, sample)
    expected = run_whole(graph, model, inputs)

    halved = run_whole(graph, model, model_inputs(graph, {k: v / 2 for k, v in sample.items()}))
    assert differing(expected, halved) == sorted(graph.outputs), "an answer that ignores the input proves nothing"

    cuts = list_cuts(graph)
    # The fused LSTM keeps its state in one operator and WHILE its own in its subgraphs: no cut separates sharers.
    assert [(c.cut_index, c.obstacle) for c in cuts if c.obstacle is not None] == []

    faults = [
        *_faults_of_the_chain(graph, inputs, expected),
        *(f for cut in cuts for f in _faults_at(graph, cut.cut_index, inputs, expected)),
    ]
    assert not faults, f"{name} {mode} differs from the whole model:\n" + "\n".join(faults)


def _faults_of_the_chain(graph: Graph, inputs: Frame, expected: Frame) -> list[str]:
    """What the chain of all single-operator parts gets wrong."""
    frame = inputs
    for spec in plan_partitions(graph, range(1, len(graph.operators))):
        frame = run_part(graph, spec, frame)
    return [f"chain of single operators: {_names(graph, differing(expected, frame))}"] * (
        differing(expected, frame) != []
    )


def _faults_at(graph: Graph, cut_index: int, inputs: Frame, expected: Frame) -> list[str]:
    head, tail = plan_partitions(graph, [cut_index])
    wrong = differing(expected, run_part(graph, tail, run_part(graph, head, inputs)))
    return [f"cut {cut_index}: {_names(graph, wrong)}"] if wrong else []


def _names(graph: Graph, indices: list[int]) -> str:
    return ", ".join(graph.tensors[t].name for t in indices)


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _weight_place(part: bytes, item_bytes: int) -> int:
    """Where in the file the top byte of a weight in the middle of the part's first filter lies.

    A filter meets every pixel, so that one weight of it matters; one of a dense layer may only ever meet a zero.
    """
    model = schema.Model.GetRootAs(part, 0)
    graph = model.Subgraphs(0)
    buffer = model.Buffers(graph.Tensors(graph.Operators(0).Inputs(1)).Buffer())
    middle = buffer.DataLength() // 2 // item_bytes * item_bytes
    return int(buffer._tab.Vector(buffer._tab.Offset(4)) + middle + item_bytes - 1)


@pytest.mark.parametrize(("mode", "item_bytes"), [("float32", 4), ("int8", 1)])
def test_comparison_notices_one_bit_of_one_weight_of_one_part(mode: str, item_bytes: int) -> None:
    model = zoo.load("chain", mode)
    graph = Graph.from_bytes(model)
    inputs = model_inputs(graph, zoo.inputs("chain"))
    expected = run_whole(graph, model, inputs)
    head, tail = plan_partitions(graph, [5])
    files = [extract_partition(graph, spec) for spec in (head, tail)]
    assert differing(expected, run_file(files[1], tail, run_file(files[0], head, inputs))) == []
    for index, file in enumerate(files):
        place = _weight_place(file, item_bytes)
        changed = [*files[:index], _flipped(file, place, 6), *files[index + 1 :]]
        assert sum(a != b for a, b in zip(file, changed[index])) == 1
        got = run_file(changed[1], tail, run_file(changed[0], head, inputs))
        assert differing(expected, got) == list(graph.outputs), f"part {index}"


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_comparison_notices_one_bit_of_one_crossing_tensor(mode: str) -> None:
    model = zoo.load("residual", mode)
    graph = Graph.from_bytes(model)
    inputs = model_inputs(graph, zoo.inputs("residual"))
    expected = run_whole(graph, model, inputs)
    inside_a_block = next(c.cut_index for c in list_cuts(graph) if len(c.crossing) > 1)
    head, tail = plan_partitions(graph, [inside_a_block])
    frame = run_part(graph, head, inputs)
    assert len(frame) > 1
    for index, values in frame.items():
        # The top bit of the exponent, or the one below an int8's sign, of the biggest value: no ReLU and no rounding hides it.
        place = int(values.argmax() + 1) * values.itemsize - 1
        changed = np.frombuffer(_flipped(values.tobytes(), place, 6), values.dtype).reshape(values.shape)
        assert differing(frame, {**frame, index: changed}) == [index]
        got = run_part(graph, tail, {**frame, index: changed})
        assert differing(expected, got) == list(graph.outputs), graph.tensors[index].name


def test_comparison_notices_what_equality_of_numbers_would_not() -> None:
    zero = {1: np.zeros(2, np.float32)}
    assert differing(zero, {1: -zero[1]}) == [1]
    assert differing(zero, {1: np.zeros(2, np.int32)}) == [1]
    assert differing(zero, {1: zero[1].reshape(1, 2)}) == [1]
    assert differing(zero, {}) == differing({}, zero) == [1]
    assert differing({1: np.array([np.nan])}, {1: np.array([np.nan])}) == []
