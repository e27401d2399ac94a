"""Runs partitions one after the other in memory, each from its own file, on nothing but what arrives at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning import Graph, PartitionSpec, extract_partition, plan_partitions
from runtime import Runner, load_runtime

Array = np.ndarray[Any, Any]
Frame = dict[int, Array]

RUNTIME = load_runtime()


def model_inputs(graph: Graph, by_name: Mapping[str, Array]) -> Frame:
    """Float arrays by signature name as the frame that the model takes, quantised where it takes integers."""
    return {t: _as_taken(graph, t, by_name[graph.aliases[t]]) for t in graph.inputs}


def run_whole(graph: Graph, model: bytes, inputs: Frame) -> Frame:
    """The uncut model's outputs by tensor index."""
    return dict(zip(graph.outputs, Runner(RUNTIME, model).run([inputs[t] for t in graph.inputs])))


def run_part(graph: Graph, spec: PartitionSpec, frame: Frame) -> Frame:
    """The frame that leaves a part, from the frame that arrives, which must hold `spec.arriving` and nothing else."""
    return run_file(extract_partition(graph, spec), spec, frame)


def run_file(model: bytes, spec: PartitionSpec, frame: Frame) -> Frame:
    """As `run_part`, for a partition file that is already there."""
    assert set(frame) == set(spec.arriving)
    computed = dict(zip(spec.outputs, Runner(RUNTIME, model).run([frame[t] for t in spec.inputs])))
    return {t: computed[t] if t in computed else frame[t] for t in spec.leaving}


def compose(graph: Graph, cut_indices: Sequence[int], inputs: Frame) -> Frame:
    """The outputs of the chain of parts between the cuts, by tensor index."""
    frame = dict(inputs)
    for spec in plan_partitions(graph, cut_indices):
        frame = run_part(graph, spec, frame)
    return frame


def differing(expected: Frame, got: Frame) -> list[int]:
    """Tensor indices whose dtype, shape or bytes are not the expected ones, or that only one side has."""
    return sorted(t for t in expected.keys() | got.keys() if _key(expected.get(t)) != _key(got.get(t)))


def _key(array: Array | None) -> Any:
    return None if array is None else (array.dtype.str, array.shape, array.tobytes())


def _as_taken(graph: Graph, index: int, values: Array) -> Array:
    tensor = graph.tensors[index]
    assert tensor.dtype is not None
    if tensor.scale is None:
        return values.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    levels = np.rint(values / tensor.scale) + tensor.zero_point
    return np.asarray(np.clip(levels, limits.min, limits.max), dtype=tensor.dtype)
