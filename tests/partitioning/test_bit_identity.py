"""Every zoo model, in every mode, cut at every place, gives the whole model's bytes; and the comparison would notice."""

from __future__ import annotations

import numpy as np
import pytest

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
