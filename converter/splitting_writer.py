"""Writes splittings into a bundle and proves each equal to the whole model on the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bundle import BundleWriter
from bundle.partition_files import partition_files
from bundle.partition_message import partition_message
from bundle.shares.message import group_partitions
from converter.errors import ConverterError
from converter.group_run import run_group
from converter.measurement import median_run_s
from partitioning import Graph, extract_partition, plan_partitions
from partitioning.boundaries import PartitionSpec, partition_between
from partitioning.strips import SharedSegment, StripSpec, extract_strip
from partitioning.taps import tapped_model
from protos.v1.manifest_pb2 import ModelFile, Partition, Splitting
from runtime import Runner, TfliteRuntime
from transport.tensor_spec import Array

# By the number of a part: the segments in which boards share it.
Groups = Mapping[int, Sequence[SharedSegment]]
OnProgress = Callable[[str, "float | None"], None]


class VerificationError(ConverterError):
    """The partitions, run one after the other, do not give the whole model's bytes."""


@dataclass(frozen=True)
class WholeRun:
    """The sample and the whole model's answer to it, taps among it, by tensor index, and the median time of one run."""

    inputs: Mapping[int, Array]
    outputs: Mapping[int, Array]
    time_s: float


def run_whole(graph: Graph, data: bytes, runtime: TfliteRuntime, threads: int, inputs: Mapping[int, Array]) -> WholeRun:
    """Runs the whole model on the sample. The interpreter is freed: its packed weights are as big as the model.

    Raises: VerificationError: with taps among its outputs, the model computes other bits than without.
    """
    runner = Runner(runtime, data, threads)
    arguments = [inputs[t] for t in graph.inputs]
    outputs = dict(zip(graph.outputs, runner.run(arguments)))
    time_s = median_run_s(runner, arguments)
    del runner
    if graph.taps:
        whole = partition_between(graph, 0, len(graph.operators))
        tapped = Runner(runtime, tapped_model(graph), threads).run([inputs[t] for t in whole.inputs])
        values = {**inputs, **dict(zip(whole.outputs, tapped))}
        _require_equal(graph, graph.outputs, outputs, values, "the whole model with its taps gives")
        outputs = {t: values[t] for t in graph.leaving}
    return WholeRun(inputs, outputs, time_s)


def write_splittings(
    graph: Graph,
    cut_lists: Sequence[Sequence[int]],
    whole: WholeRun,
    writer: BundleWriter,
    runtime: TfliteRuntime,
    threads: int,
    on_progress: OnProgress,
    groups: Sequence[Groups] = (),
) -> list[Splitting]:
    """Stores every splitting's partitions; those that several splittings have in common share their files.

    Args:
        cut_lists: the cut indices of each splitting, ascending and legal.
        groups: for each splitting, which of its parts boards share; none of any by default.
        on_progress: hears (what is done, share done).
    Raises: VerificationError: a partition computes other bits than the whole model.
    """
    plans = [plan_partitions(graph, cut_indices) for cut_indices in cut_lists]
    n_parts, done = sum(map(len, plans)), 0
    splittings = []
    for specs, shared in zip(plans, groups or [{}] * len(plans)):
        splitting = Splitting()
        values = dict(whole.inputs)
        for part, spec in enumerate(specs):
            on_progress(f"writing and checking partition {done + 1} of {n_parts}", done / n_parts)
            if part in shared:
                splitting.partitions.extend(_write_group(graph, spec, shared[part], writer, runtime, threads, values))
            else:
                splitting.partitions.append(_write_partition(graph, spec, writer, runtime, threads, values))
            values = {t: values[t] for t in spec.leaving}  # the next part has nothing else either
            done += 1
        _require_equal(graph, graph.leaving, whole.outputs, values, "the partitions, run one after the other, give")
        splittings.append(splitting)
    return splittings


def _write_partition(
    graph: Graph,
    spec: PartitionSpec,
    writer: BundleWriter,
    runtime: TfliteRuntime,
    threads: int,
    values: dict[int, Array],
) -> Partition:
    """Stores one partition, runs it from its file on what the parts before computed, and adds what it computes."""
    file = writer.add_model(extract_partition(graph, spec))
    runner = Runner(runtime, writer.path_of(file), threads)
    arguments = [values[t] for t in spec.inputs]
    values.update(zip(spec.outputs, runner.run(arguments)))
    file.time_s = median_run_s(runner, arguments)
    return partition_message(graph, spec, file)


def _write_group(
    graph: Graph,
    spec: PartitionSpec,
    segments: Sequence[SharedSegment],
    writer: BundleWriter,
    runtime: TfliteRuntime,
    threads: int,
    values: dict[int, Array],
) -> list[Partition]:
    """As `_write_partition`, for each board of a group that shares the operators."""
    open_sizes = [graph.tensors[t].name for t in (*spec.arriving, *spec.leaving) if -1 in graph.tensors[t].shape]
    if open_sizes:
        raise ConverterError(
            f"boards share tensors of a fixed size only, and {', '.join(open_sizes)} can have any. Convert the model for one size "
            "(--input-shape, --batch), or split it without shared stages."
        )

    def add_strip(strip: StripSpec) -> ModelFile:
        file = writer.add_model(extract_strip(graph, strip))
        runner = Runner(runtime, writer.path_of(file), threads)
        # A run on zeros takes as long as any.
        file.time_s = median_run_s(runner, [np.zeros(port.shape, port.dtype) for port in runner.inputs])
        return file

    group = group_partitions(graph, spec, segments, add_strip)
    files = {file.sha256: writer.path_of(file) for partition in group for file in partition_files(partition)}
    outputs = run_group(group, files, runtime, threads, [values[t] for t in spec.inputs])
    values.update(zip(spec.outputs, outputs))
    return group


def _require_equal(
    graph: Graph, tensors: Sequence[int], expected: Mapping[int, Array], values: Mapping[int, Array], what: str
) -> None:
    differing = [graph.tensors[t].name for t in tensors if expected[t].tobytes() != values[t].tobytes()]
    if differing:
        raise VerificationError(
            f"{what} other bytes than the whole model in {', '.join(differing)}; no bundle was written. Cut or tap elsewhere, and "
            "please report the model: this should not happen."
        )
