"""One bundle that holds every splitting of a model that a benchmark needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.keras_models import photograph_crops
from bundle import Bundle, BundleWriter
from converter.batched_conversion import Conversion, convert_batched
from converter.convert import ConvertedModel
from converter.split_model import LoadedModel, SplitRequest, split_model
from partitioning import Graph
from runtime import load_runtime
from transport.tensor_spec import Array

Cuts = tuple[int, ...]


@dataclass(frozen=True)
class BatchedBundle:
    """A model split for a batch.

    Attributes:
        cuts: where it is cut, by the cuts of the model for one image: a batch may need further operators.
        difference: the largest one between answers to a batch and to its images alone, 0 if all bits are equal.
    """

    bundle: Bundle
    cuts: Mapping[Cuts, Cuts]
    difference: float


def write_bundle(file: Path, cut_lists: Sequence[Sequence[int]], scratch: Path) -> Bundle:
    """Splits a .tflite file in all these ways, and into one part; the sample is a photograph where the input is an image.

    Args: scratch: an existing directory, for the bundle.
    """
    return write_batched(file, cut_lists, 1, scratch).bundle


def write_batched(file: Path, cut_lists: Sequence[Sequence[int]], batch: int, scratch: Path) -> BatchedBundle:
    """As `write_bundle`, for `batch` images in a frame; cut after the same operators.

    Args: cut_lists: of the model for one image.
    Raises: ConverterError: the model takes no batch, for instance.
    """
    converted = _converted(file, batch, scratch)
    model = LoadedModel.from_converted(converted)
    single = model if batch == 1 else LoadedModel.from_converted(_converted(file, 1, scratch))
    wanted: list[Cuts] = list(dict.fromkeys(((), *map(tuple, cut_lists))))
    name = str if batch == 1 else partial(_name, single.graph)
    request = SplitRequest(file, "tflite", "as-is", None, [[name(cut) for cut in cuts] for cuts in wanted])
    with BundleWriter(scratch / f"{file.stem}-batch{batch}-bundle") as writer:
        bundle = split_model(
            model, request, writer, load_runtime(), _photographs(model, batch), lambda what, share: None
        )
    cuts = {own: splitting.cut_indices for own, splitting in zip(wanted, bundle.splittings)}
    return BatchedBundle(bundle, cuts, converted.batch_difference)


def write_equal_parts(file: Path, parts: int, scratch: Path) -> Path:
    """Splits a .tflite file into so many parts of equal time; the bundle's path. Args: scratch: an existing directory."""
    model = LoadedModel.from_converted(_converted(file, 1, scratch))
    request = SplitRequest(file, "tflite", "as-is", parts, ((),))
    with BundleWriter(scratch / f"{file.stem}-{parts}-parts") as writer:
        return split_model(model, request, writer, load_runtime(), None, lambda what, share: None).path


def _converted(file: Path, batch: int, scratch: Path) -> ConvertedModel:
    return convert_batched(
        Conversion(file), batch, work_dir=scratch, runtime=load_runtime(), on_progress=lambda what, share: None
    )


def _name(graph: Graph, cut: int) -> str:
    """A cut by the tensor that the operator before it gives."""
    return graph.tensors[graph.operators[cut - 1].outputs[0]].name


def _photographs(model: LoadedModel, batch: int) -> dict[str, Array] | None:
    graph = model.graph
    if len(graph.inputs) != 1:
        return None
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.usual_shape
    if len(shape) != 4 or shape[0] != batch or shape[3] != 3:
        return None
    return {graph.aliases.get(graph.inputs[0], tensor.name): photograph_crops(batch, (shape[1], shape[2], shape[3]))}
