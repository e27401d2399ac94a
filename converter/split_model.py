"""Splits a converted model and proves the parts equal to the whole before the bundle is named finished."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle import Bundle, BundleWriter
from bundle.manifest import FORMAT_VERSION
from converter.convert import ConvertedModel
from converter.errors import ConverterError
from converter.layer_names import locate_layers
from converter.measurement import measure_operators, median_run_s
from converter.sample import make_sample
from converter.tensor_specs import tensor_spec
from partitioning import (
    Cut,
    Graph,
    extract_partition,
    list_cuts,
    plan_partitions,
    resolve_cuts,
    split_minimax,
)
from partitioning.boundaries import PartitionSpec
from partitioning.runtime_floor import read_runtime_floor
from protos.v1.manifest_pb2 import Manifest, Partition, Source
from runtime import Runner, TfliteRuntime
from transport.tensor_spec import Array

OnProgress = Callable[[str, "float | None"], None]


class VerificationError(ConverterError):
    """The partitions, run one after the other, do not give the whole model's bytes."""


@dataclass(frozen=True)
class SplitRequest:
    """What to split and how: either `n_parts` of equal time or `cut_names` in order."""

    source_path: Path
    source_kind: str
    quantize: str
    n_parts: int | None
    cut_names: Sequence[str]
    threads: int = 1


@dataclass(frozen=True)
class LoadedModel:
    """A TFLite file with its graph, its cuts and where its Keras layers are."""

    data: bytes
    graph: Graph
    cuts: list[Cut]
    layer_ops: Mapping[str, int]
    output_names: Sequence[str]

    @classmethod
    def from_converted(cls, converted: ConvertedModel) -> LoadedModel:
        """Raises: ModelFormatError: the file is damaged."""
        data = converted.tflite.read_bytes()
        graph = Graph.from_bytes(data)
        op_outputs = [[graph.tensors[t].name for t in op.outputs] for op in graph.operators]
        layer_ops = locate_layers(op_outputs, converted.layers) if converted.layers else {}
        return cls(data, graph, list_cuts(graph), layer_ops, converted.output_names)


def split_model(
    model: LoadedModel,
    request: SplitRequest,
    writer: BundleWriter,
    runtime: TfliteRuntime,
    sample: Mapping[str, Array] | None,
    on_progress: OnProgress,
) -> Bundle:
    """Writes the bundle.

    Args:
        sample: input by signature name, real or integer; a seeded random one is made without it.
        on_progress: hears (what is done, share done or None).
    Raises: CutError, InfeasibleSplitError: see partitioning. VerificationError: a partition computes other bits.
    """
    graph = model.graph
    # The wish is checked before anything is run: a wrong name must not cost a measurement.
    cut_indices = resolve_cuts(graph, model.cuts, request.cut_names, model.layer_ops) if request.n_parts is None else []
    on_progress("running the whole model", None)
    whole = Runner(runtime, model.data, request.threads)
    inputs = make_sample(graph, sample)
    expected = dict(zip(graph.outputs, whole.run([inputs[t] for t in graph.inputs])))
    whole_s = median_run_s(whole, [inputs[t] for t in graph.inputs])
    del whole  # its packed weights are as big as the model
    if request.n_parts is not None:
        op_s = measure_operators(graph, model.cuts, inputs, runtime, request.threads, request.n_parts, on_progress)
        forbidden = [c.cut_index for c in model.cuts if c.obstacle is not None]
        cut_indices = split_minimax(op_s, request.n_parts, forbidden)
    manifest = _manifest(model, request, runtime)
    manifest.whole.CopyFrom(writer.add_model(model.data, "whole"))
    manifest.whole.time_s = whole_s
    specs = plan_partitions(graph, cut_indices)
    values = dict(inputs)
    for index, spec in enumerate(specs):
        on_progress(f"writing and checking partition {index + 1} of {len(specs)}", index / len(specs))
        manifest.partitions.append(_write_partition(graph, spec, writer, runtime, request.threads, values))
        values = {t: values[t] for t in spec.leaving}  # the next part has nothing else either
    _require_equal(graph, expected, values)
    names = {t: graph.tensors[t].name for t in (*graph.inputs, *graph.outputs)}
    return writer.finish(
        manifest,
        {names[t]: inputs[t] for t in graph.inputs},
        {names[t]: expected[t] for t in graph.outputs},
    )


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
    return Partition(
        file=file,
        start_op=spec.start_op,
        stop_op=spec.stop_op,
        inputs=[tensor_spec(graph, t) for t in spec.inputs],
        outputs=[tensor_spec(graph, t) for t in spec.outputs],
        arriving=[tensor_spec(graph, t) for t in spec.arriving],
        leaving=[tensor_spec(graph, t) for t in spec.leaving],
    )


def _require_equal(graph: Graph, expected: Mapping[int, Array], values: Mapping[int, Array]) -> None:
    differing = [graph.tensors[t].name for t in graph.outputs if expected[t].tobytes() != values[t].tobytes()]
    if differing:
        raise VerificationError(
            f"the partitions, run one after the other, give other bytes than the whole model in {', '.join(differing)}; "
            "no bundle was written. Cut elsewhere, and please report the model: this should not happen."
        )


def _manifest(model: LoadedModel, request: SplitRequest, runtime: TfliteRuntime) -> Manifest:
    graph = model.graph
    outputs = {graph.aliases.get(t, ""): t for t in graph.outputs}
    # The author's order where the converter kept it; TFLite sorts outputs by name.
    in_order = [outputs[name] for name in model.output_names if name in outputs]
    return Manifest(
        format_version=FORMAT_VERSION,
        model_name=_deployable(request.source_path),
        source=Source(
            file_name=request.source_path.name,
            kind=request.source_kind,
            sha256=_hash_source(request.source_path),
            quantize=request.quantize,
        ),
        runtime_floor=read_runtime_floor(graph),
        inputs=[tensor_spec(graph, t) for t in dict.fromkeys(graph.inputs)],
        outputs=[tensor_spec(graph, t) for t in dict.fromkeys([*in_order, *graph.outputs])],
        measured_on=runtime.identity,
    )


def _deployable(path: Path) -> str:
    """The model's name in letters that may be part of a deployment's id."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem)
    return name.strip("._-")[:64] or "model"


def _hash_source(path: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()
