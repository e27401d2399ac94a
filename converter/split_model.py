"""Splits a converted model and proves the parts equal to the whole before the bundle is named finished."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bundle import Bundle, BundleWriter
from bundle.image_input import complete_image_input
from bundle.labels import check_labels
from bundle.manifest import FORMAT_VERSION
from bundle.partition_message import tensor_spec
from converter.convert import ConvertedModel
from converter.errors import BatchError, OptionError
from converter.layer_names import find_outputs, locate_layers
from converter.measurement import measure_operators
from converter.sample import make_sample
from converter.splitting_writer import Groups, OnProgress, run_whole, write_splittings
from partitioning import Cut, Graph, list_cuts, resolve_cuts, split_minimax
from partitioning.cuts import crossing_tensors
from partitioning.ordering import narrowed
from partitioning.runtime_floor import read_runtime_floor
from partitioning.taps import LayerOutputs, resolve_taps, with_taps
from protos.v1.manifest_pb2 import ImageInput, Manifest, Source
from protos.v1.tensor_pb2 import TensorSpec
from runtime import TfliteRuntime
from transport.tensor_spec import Array


@dataclass(frozen=True)
class SplitRequest:
    """What to split and how: into `n_parts` of equal time, or, without it, at `cut_lists`: each a splitting of its own.

    A list has the cuts of one splitting in order; an empty one leaves the model whole. `plan_text` is the plan that the
    splittings are for, its cuts as indices; the bundle keeps it. `groups`: for each list, which parts boards share.
    `image_input`, `labels`: how photographs become the input, and its classes; the bundle keeps them. `taps_boundaries`: whether
    what crosses a cut is a tap, too.
    """

    source_path: Path
    source_kind: str
    quantize: str
    n_parts: int | None
    cut_lists: Sequence[Sequence[str]]
    threads: int = 1
    plan_text: str | None = None
    groups: Sequence[Groups] = ()
    image_input: ImageInput | None = None
    labels: Sequence[str] = ()
    taps_boundaries: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A TFLite file with its graph, its cuts and where its Keras layers are.

    The graph's operators are in the order that crosses fewest bytes, which cut indices count; see `partitioning.ordering`.
    """

    data: bytes
    graph: Graph
    cuts: list[Cut]
    layer_ops: Mapping[str, int]
    output_names: Sequence[str]
    batch: int = 1
    layer_outputs: LayerOutputs = field(default_factory=LayerOutputs)
    tap_names: Sequence[str] = ()

    @classmethod
    def from_converted(cls, converted: ConvertedModel) -> LoadedModel:
        """Raises: ModelFormatError: the file is damaged."""
        data = converted.tflite.read_bytes()
        graph = narrowed(Graph.from_bytes(data))
        op_outputs = [[graph.tensors[t].name for t in op.outputs] for op in graph.operators]
        layer_ops = locate_layers(op_outputs, converted.layers) if converted.layers else {}
        layer_outputs = find_outputs(op_outputs, converted.layers)
        return cls(data, graph, list_cuts(graph), layer_ops, converted.output_names, converted.batch, layer_outputs)

    @classmethod
    def of_graph(cls, graph: Graph) -> LoadedModel:
        """Of a graph alone: no file, no names of Keras layers."""
        return cls(b"", graph, list_cuts(graph), {}, ())

    def tapped(self, names: Sequence[str]) -> LoadedModel:
        """The model whose partitions also give these layers' or tensors' values; each crosses every cut behind it.

        Raises: TapError: see `partitioning.taps.resolve_taps`. BatchError: a tap has no row for each input of a batch.
        """
        return self._tapped(resolve_taps(self.graph, names, self.layer_outputs), names)

    def tapped_at(self, cut_indices: Collection[int]) -> LoadedModel:
        """The model whose partitions also give what crosses these cuts, under the layers' names or the tensors' own.

        Raises: BatchError: as `tapped`.
        """
        graph = self.graph
        crossing = dict.fromkeys(t for cut in sorted(cut_indices) for t in crossing_tensors(graph, cut))
        added = [t for t in crossing if t in graph.producer and t not in graph.leaving]
        layer_of = {
            op_index: name for name, op_index in reversed([*self.layer_outputs.held.items()])
        }  # the first, of several
        names = [
            layer_of.get(op.op_index, graph.tensors[t].name) if len(op.outputs) == 1 else graph.tensors[t].name
            for t, op in ((t, graph.operators[graph.producer[t]]) for t in added)
        ]
        return self._tapped([*graph.taps, *added], [*self.tap_names, *names])

    def _tapped(self, taps: Sequence[int], names: Sequence[str]) -> LoadedModel:
        shapes = {name: self.graph.tensors[t].usual_shape for name, t in zip(names, taps)}
        odd = [f"{name} {list(shape)}" for name, shape in shapes.items() if not shape or shape[0] % self.batch]
        if self.batch > 1 and odd:
            raise BatchError(
                f"these taps have no row for each of {self.batch} inputs: {', '.join(odd)}. Tap others, or split without --batch."
            )
        graph = with_taps(self.graph, taps)
        return replace(self, graph=graph, cuts=list_cuts(graph), tap_names=tuple(names))

    @property
    def tap_specs(self) -> list[TensorSpec]:
        """The taps as the manifest describes them: the alias is what each was asked for by."""
        specs = [tensor_spec(self.graph, t) for t in self.graph.taps]
        for spec, name in zip(specs, self.tap_names):
            spec.alias = name
        return specs


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
    manifest = _manifest(model, request, runtime)
    # The wish is checked before anything is run: a wrong name must not cost a measurement.
    cut_lists = [resolve_cuts(model.graph, model.cuts, names, model.layer_ops) for names in request.cut_lists]
    inputs = make_sample(model.graph, sample)
    if request.n_parts is not None:
        cut_lists = [_equal_times(model, request, runtime, inputs, on_progress)]
    if request.taps_boundaries:
        model = model.tapped_at({cut for cuts in cut_lists for cut in cuts})
    graph = model.graph
    manifest.taps.extend(model.tap_specs)
    on_progress("running the whole model", None)
    whole = run_whole(graph, model.data, runtime, request.threads, inputs)
    manifest.whole.CopyFrom(writer.add_model(model.data, "whole"))
    manifest.whole.time_s = whole.time_s
    manifest.splittings.extend(
        write_splittings(graph, cut_lists, whole, writer, runtime, request.threads, on_progress, request.groups)
    )
    names = {t: graph.tensors[t].name for t in (*graph.inputs, *graph.leaving)}
    return writer.finish(
        manifest,
        {names[t]: whole.inputs[t] for t in graph.inputs},
        {names[t]: whole.outputs[t] for t in graph.leaving},
        request.plan_text,
    )


def _equal_times(
    model: LoadedModel,
    request: SplitRequest,
    runtime: TfliteRuntime,
    inputs: Mapping[int, Array],
    on_progress: OnProgress,
) -> list[int]:
    """Cut indices of the asked-for number of parts, as balanced as this machine's measurement says."""
    assert request.n_parts is not None
    op_s = measure_operators(model.graph, model.cuts, inputs, runtime, request.threads, request.n_parts, on_progress)
    forbidden = [c.cut_index for c in model.cuts if c.obstacle is not None]
    return split_minimax(op_s, request.n_parts, forbidden)


def _manifest(model: LoadedModel, request: SplitRequest, runtime: TfliteRuntime) -> Manifest:
    graph = model.graph
    outputs = {graph.aliases.get(t, ""): t for t in graph.outputs}
    # The author's order where the converter kept it; TFLite sorts outputs by name.
    in_order = [outputs[name] for name in model.output_names if name in outputs]
    operator_order = [op.source_index for op in graph.operators]
    manifest = Manifest(
        operator_order=operator_order if operator_order != sorted(operator_order) else [],
        format_version=FORMAT_VERSION,
        model_name=deployable_name(request.source_path),
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
        batch=model.batch if model.batch > 1 else 0,  # left out, so that bundles without a batch stay as they were
        labels=request.labels,
    )
    check_labels(manifest.labels, manifest.outputs)
    if request.image_input is not None:
        if len(manifest.inputs) != 1:
            raise OptionError(
                f"--images says how images become the input, and the model has {len(manifest.inputs)}: "
                f"{', '.join(spec.alias or spec.name for spec in manifest.inputs)}. Leave it out."
            )
        manifest.image_input.CopyFrom(complete_image_input(request.image_input, manifest.inputs[0].shape))
    return manifest


def deployable_name(path: Path) -> str:
    """The model's name in letters that may be part of a deployment's id: what its bundle and its plans call it."""
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
